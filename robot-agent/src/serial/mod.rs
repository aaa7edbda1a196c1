//! Servo buses over a serial port: the host's side.
//!
//! Knows: ports, deadlines, retries, how long a bus takes. Does not know: the bytes
//! (`longhand-bus`), joints of an arm, or any rule of motion. Nothing here may run in the servo
//! thread: it waits.

pub mod cycle;
pub mod host;
pub mod port;

pub use host::{Found, Host, HostError, Sought, Tally};
pub use port::{Line, LowLatency, Port, PortError};
