//! Is this link good enough? A link's samples in; statistics, verdict and report out.
//!
//! Knows: what was sent and what came back. Does not know: sockets, files or clocks; the console
//! hands everything in and writes everything out.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`ledger`] | from probes and answers to the fate of each slot of the schedule |
//! | [`slot`] | one slot in twelve bytes |
//! | [`measure`] | delays, losses, outages, clocks, and the watchdog replay |
//! | [`verdict`] | PASS, FAIL or not enough, against profiles with their sources |
//! | [`report`] | all of it as one signed object: JSON, and a page |
//! | [`trend`] | many reports: what changed where, over days |
#![forbid(unsafe_code)]

pub mod ledger;
pub mod measure;
pub mod number;
pub mod report;
pub mod trace;
pub mod trend;
pub mod verdict;

pub use ledger::slot;
