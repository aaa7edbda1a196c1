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

/// What is said at most so often.
#[derive(Debug)]
pub struct Every {
    period: Duration,
    last: Option<Duration>,
}

impl Every {
    /// Due at once, and then a period later each time.
    pub const fn new(period: Duration) -> Self {
        Self { period, last: None }
    }

    /// Whether it is due, which is then behind it.
    pub fn is_due(&mut self) -> bool {
        let now = uptime();
        let is_due = self.last.is_none_or(|at| now.saturating_sub(at) >= self.period);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}
