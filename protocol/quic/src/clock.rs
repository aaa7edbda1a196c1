//! The clock: `CLOCK_MONOTONIC`, under the name of whoever owns it.
//!
//! Knows: how to read the kernel's monotonic clock, its wall clock for records, and how far the two
//! are apart. Does not know: the peer's clock, or what time is good for. Beside the two thread
//! loops this is the only place that reads a clock; everything else is handed `now`, so that the
//! simulator can hand out virtual time.
//!
//! Why `CLOCK_MONOTONIC` and not `CLOCK_BOOTTIME`: absolute sleeps, timerfd and this clock must
//! share one origin. A machine that was suspended mid-session sees a lost link either way, since
//! the peer's stamps went on.

use longhand_protocol::units::{Console, Instant, Link, Robot};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now, on the robot's clock. Call it on the robot only.
pub fn robot_now() -> Instant<Robot> {
    now()
}

/// Now, on the console's clock. Call it on the console only.
pub fn console_now() -> Instant<Console> {
    now()
}

/// Now, on the clock of the link emulator's relay.
pub fn link_now() -> Instant<Link> {
    now()
}

/// The wall clock minus the robot's clock, microseconds. Only a measurement of the link carries it
/// (`probe`), for whoever declares that both ends' wall clocks agree; nothing else may use it.
pub fn wall_offset_us() -> u64 {
    (wall_ns() / 1_000).saturating_sub(now::<Robot>().as_micros())
}

/// Nanoseconds on the same clock, for benches and for what is shorter than a microsecond.
pub fn monotonic_ns() -> u64 {
    let (seconds, nanos) = parts(clock_gettime(ClockId::Monotonic));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// What the calling thread has had of a processor, microseconds: for benches and campaigns.
pub fn thread_us() -> u64 {
    let (seconds, nanos) = parts(clock_gettime(ClockId::ThreadCPUTime));
    seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
}

/// Wall time, nanoseconds since 1970: for records alone. It jumps, and somebody may set it.
pub fn wall_ns() -> u64 {
    let (seconds, nanos) = parts(clock_gettime(ClockId::Realtime));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Now, on whichever clock the caller's type names. Rounded down to the microsecond.
pub(crate) fn now<C>() -> Instant<C> {
    let (seconds, nanos) = parts(clock_gettime(ClockId::Monotonic));
    Instant::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
}

/// Where virtual time begins, as quinn writes time. Which instant it is makes no difference: only
/// spans from it are ever looked at, and `std` has no instant that is not a reading.
pub(crate) fn origin() -> std::time::Instant {
    std::time::Instant::now()
}

/// The kernel's form of an instant, for absolute sleeps.
pub(crate) fn timespec<C>(at: Instant<C>) -> Timespec {
    let (seconds, micros) = (at.as_micros() / 1_000_000, at.as_micros() % 1_000_000);
    Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(micros.saturating_mul(1_000)).unwrap_or(0),
    }
}

/// Seconds and nanoseconds. The monotonic clock starts at boot, so neither is ever negative.
fn parts(time: Timespec) -> (u64, u64) {
    (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let mut last = robot_now();
        for _ in 0..10_000 {
            let next = robot_now();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn microseconds_and_nanoseconds_read_one_clock() {
        let before = robot_now().as_micros();
        let between = monotonic_ns() / 1_000;
        let after = robot_now().as_micros();
        assert!((before..=after).contains(&between));
    }

    #[test]
    fn an_instant_survives_the_kernels_form() {
        for us in [0, 1, 999_999, 1_000_000, 1_000_001, 86_400_000_000] {
            let (seconds, nanos) = parts(timespec(Instant::<Robot>::from_micros(us)));
            assert_eq!(seconds * 1_000_000 + nanos / 1_000, us);
        }
    }
}
