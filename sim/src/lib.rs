//! The simulator: the virtual world, the link relay, and the demo that joins everything.
//!
//! Knows: both ends, as libraries, and the link between. Does not know: any rule of its own; it
//! runs the shipped cores, and no feature flag changes them.

pub mod attack;
pub mod bus;
pub mod campaign;
pub mod check;
pub mod compare;
pub mod demo;
pub mod fault;
pub mod figures;
pub mod hands;
pub mod link_command;
pub mod measure;
pub mod peers;
pub mod relay;
pub mod replay_record;
pub mod scenario;
pub mod share_out;
pub mod train;
pub mod world;
pub mod world_command;
