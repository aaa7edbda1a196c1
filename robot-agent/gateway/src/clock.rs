//! The gateway's clocks: since it began, and the wall's.
//!
//! Knows: how to read them. Does not know: the robot's clock, which comes in its records.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long this process has run. Never goes back.
pub fn uptime() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}
