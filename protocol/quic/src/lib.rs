//! The shell both ends share: QUIC, certificates, the pump, the clock, the mailbox.
//!
//! Knows: sockets, TLS, threads and the monotonic clock; it is the only crate that names quinn or
//! rustls. Does not know: what a message says. The pump carries bytes and hands them to a
//! [`pump::Link`]; words, sessions and safety live in the pure crates.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`trust`] | the hospital's certificate authority and the identities it issues |
//! | [`tls`] | what both ends demand of each other's certificate, in a handshake |
//! | [`pump`] | one thread that carries datagrams and frames, for the robot and for the console |
//! | [`doorbell`] | how a real-time thread wakes a pump, and how a pump is stopped |
//! | [`clock`] | the one place that reads the monotonic clock |
//! | [`mailbox`] | the lock-free place between the pump and the servo thread |
//! | [`marked`] | a UDP socket that sets and reads traffic classes and never fragments |
//! | [`pace`] | real-time priority and the absolute 1 kHz timer |
//! | [`random`] | random bytes of the system's own |
//! | [`stolen`] | processor time that the hypervisor took |
//! | [`virtual_time`] | both ends of one connection under a virtual clock, for the simulator |

pub mod clock;
pub mod doorbell;
pub mod mailbox;
pub mod marked;
pub mod pace;
pub mod pump;
pub mod random;
pub mod stolen;
pub mod tls;
pub mod trust;
pub mod virtual_time;

/// The mailbox's atomics. `tests/mailbox_loom.rs` compiles the same file with loom's instead.
mod atomics {
    pub use std::sync::Arc;
    pub use std::sync::atomic::{AtomicU64, Ordering, fence};
}
