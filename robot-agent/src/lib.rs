//! The bedside robot agent: the 1 kHz servo thread, the arms, and the network side that feeds them.
//!
//! Knows: threads, priorities, files, sockets' owners. Does not know: any rule of motion or safety
//! (`longhand-follower` holds them all).

pub mod agent;
pub mod arm;
pub mod arm_command;
pub mod arm_file;
pub mod controls;
pub mod doctor;
pub mod epoch;
pub mod network;
pub mod probing;
pub mod profile_file;
pub mod record;
mod revocations;
pub mod serial;
pub mod servo;
mod servo_thread;
pub mod states_json;
pub mod tap;
