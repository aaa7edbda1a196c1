//! The bedside robot agent: the 1 kHz servo thread, the arms, and the network side that feeds them.
//!
//! Knows: threads, priorities, files, sockets' owners. Does not know: any rule of motion or safety
//! (`longhand-follower` holds them all).

pub mod agent;
pub mod arm;
pub mod controls;
pub mod doctor;
pub mod epoch;
pub mod network;
pub mod probing;
pub mod profile_file;
pub mod record;
pub mod record_command;
pub mod servo;
mod servo_thread;
pub mod states_json;

/// Random bytes of the system's own. Without them neither a session nor a case is worth its name,
/// so this waits for the system's pool, which is full long before anybody operates.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    use rustix::rand::{GetRandomFlags, getrandom};
    let mut bytes = [0_u8; N];
    while getrandom(&mut bytes, GetRandomFlags::empty()) != Ok(N) {}
    bytes
}
