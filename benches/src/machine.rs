//! The machine that measures: its name, and how much it disturbs what it measures.
//!
//! Knows: gaps in a spinning loop, the kernel's own count of stolen time, the processor's name.
//! Does not know: what is measured meanwhile (`harness` spins between the rounds).
//!
//! Why a spinning loop: nothing in it can be slow but the machine. Every gap is time that somebody
//! else took, and a measurement cannot be finer than that.

use longhand_quic::clock::monotonic_ns;

/// A pause between two clock reads longer than this is a gap. Chosen: fifty times a read of the
/// clock, and below every goal measured here.
const GAP_NS: u64 = 5_000;

/// What the machine took away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    /// How long the detector spun.
    pub spun_ns: u64,
    /// How many gaps it saw.
    pub gaps: u64,
    /// Their sum.
    pub lost_ns: u64,
    /// The longest.
    pub worst_ns: u64,
    /// The least time between two reads of the clock: what each sample costs at least.
    pub clock_ns: u64,
}

impl Noise {
    /// Spins for `span_ns` and adds what it saw.
    pub fn spin(&mut self, span_ns: u64) {
        let began = monotonic_ns();
        let mut last = began;
        let mut least = if self.clock_ns == 0 { u64::MAX } else { self.clock_ns };
        while last.saturating_sub(began) < span_ns {
            let now = monotonic_ns();
            let gap = now.saturating_sub(last);
            least = least.min(gap);
            if gap > GAP_NS {
                self.gaps = self.gaps.saturating_add(1);
                self.lost_ns = self.lost_ns.saturating_add(gap);
                self.worst_ns = self.worst_ns.max(gap);
            }
            last = now;
        }
        self.clock_ns = least;
        self.spun_ns = self.spun_ns.saturating_add(last.saturating_sub(began));
    }

    /// The share of the time that was taken away, 0 to 1.
    pub fn lost_share(&self) -> f64 {
        if self.spun_ns == 0 { 0.0 } else { float(self.lost_ns) / float(self.spun_ns) }
    }
}

/// Jiffies of all processors since boot: stolen by the hypervisor, and in all.
///
/// Zero where the kernel does not say.
pub fn stolen_and_all() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first.split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal: proc(5).
    let all = fields.iter().take(8).fold(0_u64, |sum, n| sum.saturating_add(*n));
    (fields.get(7).copied().unwrap_or(0), all)
}

/// The machine in one line: processor, how many of them, kernel, load.
pub fn name() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |m| m.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    format!("{}, {cores} cores, kernel {}, load {load}", model.trim(), kernel.trim())
}

/// A count as a float. Exact below 2^53.
pub fn float(n: u64) -> f64 {
    let half = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    half(n >> 32) * 4_294_967_296.0 + half(n & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_lasts_as_long_as_it_was_told() {
        let mut noise = Noise::default();
        noise.spin(2_000_000);
        assert!(noise.spun_ns >= 2_000_000);
        assert!(noise.clock_ns > 0 && noise.clock_ns < 1_000_000);
        assert!((0.0..=1.0).contains(&noise.lost_share()));
    }

    #[test]
    fn a_large_count_is_not_cut() {
        assert!((float(60_000_000_001) - 60_000_000_001.0).abs() < 1e-9);
        assert!((float(7) - 7.0).abs() < 1e-9);
    }
}
