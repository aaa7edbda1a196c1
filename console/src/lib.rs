//! The surgeon's console: hand devices, the page, the 1 kHz leader thread, and what hangs them
//! together.
//!
//! Knows: threads, devices, the page, sessions as they come and go. Does not know: the law (what a
//! hand's motion becomes, and when: `longhand-leader`), the bytes (`longhand-protocol`), or sockets
//! (`longhand-quic`).
//!
//! | thread | what it does | who it may wait for |
//! | --- | --- | --- |
//! | leader, real-time, 1 kHz | states in, hand, `Leader::step`, one command out | nobody |
//! | pump, real-time | carries datagrams and frames | the network |
//! | clerk, 500 Hz | histograms, alarms, status, page views | nobody for long |
//! | page | HTTP and websocket on loopback | the browser |
//! | recorder | every tick onto a disk | the disk, as long as it likes |
//!
//! Start one with [`Console::start`]: the `longhand-console` command and the demo in `sim` both do.

pub mod alarms;
mod console;
pub mod input;
mod leader_thread;
mod network;
pub mod page;
mod practice;
pub mod qualify;
pub mod record;
pub mod status;

pub use console::{Console, ConsoleConfig, ConsoleError, HandChoice, PagePort, written_scale};
pub use leader_thread::LEADER_PRIORITY;
pub use longhand_leader::DEFAULT_SCALE;
pub use practice::{Practice, PracticeTask};
pub use status::{ArmStatus, ConsoleReport, ConsoleStatus, LinkStatus, Spread};
