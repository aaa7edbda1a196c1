//! Processor time that the hypervisor took for other machines: whose fault a stall was.
//!
//! Knows: the kernel's count of it. Does not know: what was late meanwhile.

/// The count, from one moment on.
#[derive(Clone, Copy, Debug)]
pub struct Stolen {
    before_ms: Option<u64>,
}

impl Stolen {
    /// Counts from now on.
    pub fn from_now() -> Self {
        Self { before_ms: since_boot_ms() }
    }

    /// What was taken since, of all processors together, milliseconds; `None` where the kernel
    /// does not count it.
    pub fn so_far_ms(&self) -> Option<u64> {
        let (now, before) = since_boot_ms().zip(self.before_ms)?;
        Some(now.saturating_sub(before))
    }
}

fn since_boot_ms() -> Option<u64> {
    steal_in(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Source: proc(5), `steal`: the eighth figure of the first line, in hundredths of a second.
fn steal_in(stat: &str) -> Option<u64> {
    let steal: u64 = stat.lines().next()?.split_whitespace().nth(8)?.parse().ok()?;
    Some(steal.saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_figure_in_milliseconds() {
        let stat = "cpu  9 0 7 80 1 0 2 35 0 0\ncpu0 9 0 7 80 1 0 2 99 0 0\n";
        assert_eq!(steal_in(stat), Some(350));
        // A kernel that does not count it.
        assert_eq!(steal_in("cpu  9 0 7 80\n"), None);
    }
}
