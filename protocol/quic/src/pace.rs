//! On time: real-time priority, and a tick that keeps its grid.
//!
//! Knows: what the kernel grants this thread, and how to sleep until an absolute instant. Does not
//! know: what is done in a tick, or what a late tick means for a motion (`follower` judges that).
//!
//! Used by both 1 kHz threads, the pumps and the relay. Works without privileges too: then it says
//! what it did not get, why, and what follows. After construction nothing here allocates.
//!
//! Source: performance.md section 4. Absolute sleep at FIFO 80 with memory locked and
//! `cpu_dma_latency` held: p50 15 us late; without holding it 50 us; at normal priority p99 831 us.

use crate::clock;
use core::fmt;
use core::marker::PhantomData;
use longhand_protocol::units::{Instant, Micros};
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, CpuSet};
use std::fs::File;
use std::io::Write;

/// The servo thread's priority. Source: performance.md section 4, measured at FIFO 80; above the
/// kernel's threaded interrupts (50), below its migration and watchdog threads (99).
pub const SERVO_PRIORITY: Priority = Priority::new(80);

/// The network thread's priority: above ordinary interrupts' work, below the servo thread, so that
/// a flood from outside cannot delay the loop. chosen: any value between 50 and the servo thread's.
pub const PUMP_PRIORITY: Priority = Priority::new(70);

/// From now on no terminal stops this process for being in the background: reading from it fails
/// (EIO), writing to it goes through. Else job control stops a process that does either, with every
/// thread of it, whatever their priority. A person's own Ctrl-Z still stops it.
///
/// Source: POSIX.1-2017 section 11.1.4: a process that ignores SIGTTIN is given EIO instead.
pub fn ignore_background_stops() {
    for signal in [libc::SIGTTIN, libc::SIGTTOU] {
        // SAFETY: SIG_IGN runs no code of ours in any signal context. It cannot fail for these two.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// A `SCHED_FIFO` priority, 1 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// The priority `level`, brought within Linux's 1 to 99.
    pub const fn new(level: u8) -> Self {
        match level {
            0 => Self(1),
            1..=99 => Self(level),
            100.. => Self(99),
        }
    }

    /// The priority as a number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What this thread holds of the machine, for as long as this value lives.
///
/// Cannot leave its thread: the priority is that thread's alone. [`Granted`] may travel.
#[derive(Debug)]
pub struct RealTime {
    granted: Granted,
    /// Open while processors must not sleep deeply; the kernel lets go when it closes.
    _cpu_dma_latency: Option<File>,
    this_thread: PhantomData<*const ()>,
}

impl RealTime {
    /// Asks for everything that a thread on time needs, for the calling thread and its process.
    ///
    /// `cpu`: the processor to stay on, or `None` to let the kernel choose. Never fails: what is
    /// refused is named in [`RealTime::granted`]. Call it first thing in the thread.
    /// Threads born of this one start at normal priority, so that no helper inherits it.
    pub fn acquire(priority: Priority, cpu: Option<usize>) -> Self {
        let scheduler = match set_fifo(priority) {
            Ok(()) => Scheduler::Fifo(priority),
            Err(why) => {
                // Normal threads are woken up to 50 us late on purpose (man 2 prctl,
                // PR_SET_TIMERSLACK) unless they ask not to be. A refusal changes nothing else.
                let _ = rustix::thread::set_current_timer_slack(core::num::NonZeroU64::new(1));
                Scheduler::Normal(why)
            }
        };
        let latency = hold_cpu_dma_latency();
        let granted = Granted {
            scheduler,
            pinned: cpu.map(pin),
            memory_locked: lock_memory(),
            cpu_dma_latency: latency.as_ref().map(|_| ()).map_err(|why| *why),
        };
        Self { granted, _cpu_dma_latency: latency.ok(), this_thread: PhantomData }
    }

    /// What was granted and what was not.
    pub const fn granted(&self) -> Granted {
        self.granted
    }
}

/// What the kernel granted. `Display` says it in one line; [`Granted::consequences`] what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The scheduling class of the thread.
    pub scheduler: Scheduler,
    /// Whether the thread stays on the processor asked for; `None` where none was asked for.
    pub pinned: Option<Result<(), Denied>>,
    /// Whether all memory of the process, now and later, stays in RAM.
    pub memory_locked: Result<(), Denied>,
    /// Whether processors are kept from sleep states that take long to leave.
    pub cpu_dma_latency: Result<(), Denied>,
}

impl Granted {
    /// Whether nothing was refused.
    pub const fn is_complete(&self) -> bool {
        matches!(self.scheduler, Scheduler::Fifo(_))
            && !matches!(self.pinned, Some(Err(_)))
            && self.memory_locked.is_ok()
            && self.cpu_dma_latency.is_ok()
    }

    /// What follows from each thing that was refused, and what to do about it. Empty where all was
    /// granted.
    pub fn consequences(&self) -> impl Iterator<Item = &'static str> {
        let normal = matches!(self.scheduler, Scheduler::Normal(_)).then_some(
            "normal priority: under load ticks may come milliseconds late. \
             Run as root, or grant CAP_SYS_NICE, or set `rtprio` in limits.conf",
        );
        let unpinned = matches!(self.pinned, Some(Err(_))).then_some(
            "not pinned: the thread may be moved between processors. \
             Ask for a processor that this process may use",
        );
        let unlocked = self.memory_locked.is_err().then_some(
            "memory not locked: a page fault may stall a tick for milliseconds. \
             Grant CAP_IPC_LOCK, or set `memlock unlimited` in limits.conf",
        );
        let sleepy = self.cpu_dma_latency.is_err().then_some(
            "cpu_dma_latency not held: ticks wake 35 us later (p50 50 us for 15 us measured). \
             Grant write access to /dev/cpu_dma_latency",
        );
        [normal, unpinned, unlocked, sleepy].into_iter().flatten()
    }
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheduler {
            Scheduler::Fifo(priority) => write!(f, "SCHED_FIFO {}", priority.get())?,
            Scheduler::Normal(why) => write!(f, "normal priority ({why})")?,
        }
        match self.pinned {
            None => {}
            Some(Ok(())) => write!(f, ", pinned")?,
            Some(Err(why)) => write!(f, ", not pinned ({why})")?,
        }
        match self.memory_locked {
            Ok(()) => write!(f, ", memory locked")?,
            Err(why) => write!(f, ", memory not locked ({why})")?,
        }
        match self.cpu_dma_latency {
            Ok(()) => write!(f, ", cpu_dma_latency 0"),
            Err(why) => write!(f, ", cpu_dma_latency not held ({why})"),
        }
    }
}

/// How the thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// `SCHED_FIFO` at this priority: runs before every ordinary thread.
    Fifo(Priority),
    /// As any other thread, and why.
    Normal(Denied),
}

/// Why something was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The kernel does not let this user: run as root or grant the capability.
    Permission,
    /// The user's limit on locked memory is finite: locking would make later allocations fail.
    MemoryLimit,
    /// This machine has no such thing.
    Absent,
    /// Some other refusal, as the kernel's error number.
    Other(i32),
}

impl Denied {
    const fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::PERM | Errno::ACCESS => Self::Permission,
            Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::NOSYS => Self::Absent,
            other => Self::Other(other.raw_os_error()),
        }
    }

    fn from_io(error: &std::io::Error) -> Self {
        Errno::from_io_error(error).map_or(Self::Other(0), Self::from_errno)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission => f.write_str("not permitted"),
            Self::MemoryLimit => f.write_str("limited by ulimit -l"),
            Self::Absent => f.write_str("not on this machine"),
            Self::Other(errno) => write!(f, "error {errno}"),
        }
    }
}

/// A tick on an absolute grid of the monotonic clock.
///
/// `C` is the clock's owner: `Ticker<Robot>` on the robot, `Ticker<Console>` on the console.
#[derive(Debug)]
pub struct Ticker<C> {
    next: Instant<C>,
    period: Micros,
}

impl<C> Ticker<C> {
    /// Ticks every `period`, first one period from now. A period of zero counts as one microsecond.
    pub fn new(period: Micros) -> Self {
        let period = period.max(Micros::from_micros(1));
        Self { next: clock::now().after(period), period }
    }

    /// Sleeps until the next tick is due.
    ///
    /// After a stall it returns once, at once, and tells how many further ticks were missed; then
    /// it goes on with the original grid. Why no burst to catch up: a loop that runs five ticks in
    /// a row moves an arm five ticks in no time.
    pub fn wait(&mut self) -> Tick<C> {
        let due = clock::timespec(self.next);
        // A signal may cut the sleep short; the instant is absolute, so sleeping on is exact. Any
        // other error would be a wrong argument, and there is none; the loop still ends.
        while rustix::thread::clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &due)
            == Err(Errno::INTR)
        {}
        let (tick, next) = judge(self.next, self.period, clock::now());
        self.next = next;
        tick
    }

    /// When the next tick is due.
    pub const fn due(&self) -> Instant<C> {
        self.next
    }
}

/// One tick.
#[derive(Debug, PartialEq, Eq)]
pub struct Tick<C> {
    /// When it was due; always on the grid.
    pub scheduled_at: Instant<C>,
    /// When the thread ran.
    pub woke_at: Instant<C>,
    /// Ticks that came due between those two and will never run.
    pub missed: u64,
}

impl<C> Tick<C> {
    /// How late the thread ran.
    pub const fn lateness(&self) -> Micros {
        self.woke_at.since(self.scheduled_at)
    }
}

impl<C> Clone for Tick<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Tick<C> {}

/// The tick that was due at `due`, seen at `now`, and when the next is due. Public so that the
/// virtual world's threads wake by the rule of the real ones.
pub fn judge<C>(due: Instant<C>, period: Micros, now: Instant<C>) -> (Tick<C>, Instant<C>) {
    let late = now.since(due).as_micros();
    let missed = late.checked_div(period.as_micros()).unwrap_or(0);
    let next = due.after(period.saturating_mul(missed.saturating_add(1)));
    // A clock that reads earlier than the sleep ended would be a broken kernel: no lateness then.
    (Tick { scheduled_at: due, woke_at: now.max(due), missed }, next)
}

/// How late ticks were: counts in buckets, fixed in size, written without a heap.
///
/// Below 16 us each microsecond has its bucket; above, each doubling has 16, so that a value read
/// back is at most 1/16 too large. Why not hdrhistogram here: it allocates, and this is written
/// from the servo thread; benches record every tick into an hdrhistogram instead.
#[derive(Clone, Debug)]
pub struct Lateness {
    buckets: [u64; BUCKETS],
    ticks: u64,
    missed: u64,
    worst: Micros,
}

/// Sixteen for each of the doublings from 16 us to 2^32 us (71 minutes), and sixteen below.
const BUCKETS: usize = 16 * 29;

impl Lateness {
    /// No tick yet.
    pub const fn new() -> Self {
        Self { buckets: [0; BUCKETS], ticks: 0, missed: 0, worst: Micros::ZERO }
    }

    /// Counts one tick.
    pub fn record<C>(&mut self, tick: &Tick<C>) {
        let late = tick.lateness();
        if let Some(bucket) = self.buckets.get_mut(bucket_of(late.as_micros())) {
            *bucket = bucket.saturating_add(1);
        }
        self.ticks = self.ticks.saturating_add(1);
        self.missed = self.missed.saturating_add(tick.missed);
        self.worst = self.worst.max(late);
    }

    /// Ticks that ran.
    pub const fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Ticks that never ran.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// The latest tick, exact.
    pub const fn worst(&self) -> Micros {
        self.worst
    }

    /// The lateness that `per_million` of a million ticks did not exceed: 500,000 is the median,
    /// 999,000 the p99.9. At most 1/16 too large, never above [`Lateness::worst`].
    pub fn quantile(&self, per_million: u64) -> Micros {
        let wanted = u128::from(self.ticks).saturating_mul(u128::from(per_million));
        let rank = wanted.div_ceil(1_000_000).max(1);
        let mut seen = 0_u128;
        for (index, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(u128::from(*count));
            if seen >= rank {
                return Micros::from_micros(bucket_top(index)).min(self.worst);
            }
        }
        self.worst
    }
}

impl Default for Lateness {
    fn default() -> Self {
        Self::new()
    }
}

/// Which bucket `us` falls into; past the last, the last.
fn bucket_of(us: u64) -> usize {
    let us = us.min(u64::from(u32::MAX));
    let octave = us.checked_ilog2().unwrap_or(0).saturating_sub(3);
    // Octaves 0 and 1 (below 32 us): one microsecond a bucket; each further one halves the scale.
    let within = us.checked_shr(octave.saturating_sub(1)).unwrap_or(0);
    let start = u64::from(octave.saturating_sub(1)).saturating_mul(16);
    usize::try_from(start.saturating_add(within)).unwrap_or(BUCKETS).min(BUCKETS.saturating_sub(1))
}

/// The largest lateness in bucket `index`, microseconds.
fn bucket_top(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let shift = (index / 16).saturating_sub(1);
    let within = index.saturating_sub(shift.saturating_mul(16));
    let scale = 1_u64.checked_shl(u32::try_from(shift).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
    within.saturating_add(1).saturating_mul(scale).saturating_sub(1)
}

/// Puts the calling thread into `SCHED_FIFO`.
fn set_fifo(priority: Priority) -> Result<(), Denied> {
    let param = libc::sched_param { sched_priority: i32::from(priority.get()) };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: thread 0 is the caller; `param` is a live, initialised struct that the call only
    // reads. rustix has no safe form of this call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const param) };
    if result == 0 { Ok(()) } else { Err(Denied::from_io(&std::io::Error::last_os_error())) }
}

/// Keeps the calling thread on processor `cpu`.
fn pin(cpu: usize) -> Result<(), Denied> {
    // `CpuSet::set` panics past its end.
    if cpu >= CpuSet::MAX_CPU {
        return Err(Denied::Absent);
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    match rustix::thread::sched_setaffinity(None, &set) {
        // The kernel's word for a processor that does not exist or is not this process's.
        Err(Errno::INVAL) => Err(Denied::Absent),
        other => other.map_err(Denied::from_errno),
    }
}

/// Keeps all memory of the process in RAM, unless a limit would turn that into failing allocations.
fn lock_memory() -> Result<(), Denied> {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let capable = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if !unlimited && !capable {
        return Err(Denied::MemoryLimit);
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(Denied::from_errno)
}

/// Asks that processors wake within 0 us, for as long as the file stays open.
///
/// Source: Linux Documentation/power/pm_qos_interface.rst: a 32-bit number in microseconds.
fn hold_cpu_dma_latency() -> Result<File, Denied> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/cpu_dma_latency")
        .map_err(|error| Denied::from_io(&error))?;
    file.write_all(&0_i32.to_ne_bytes()).map_err(|error| Denied::from_io(&error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::units::Robot;

    const PERIOD: Micros = Micros::from_millis(1);

    fn at(us: u64) -> Instant<Robot> {
        Instant::from_micros(us)
    }

    fn late_by(us: u64) -> Tick<Robot> {
        Tick { scheduled_at: at(0), woke_at: at(us), missed: 0 }
    }

    #[test]
    fn tick_within_its_period_misses_nothing() {
        for late in [0, 1, 999] {
            let (tick, next) = judge(at(5_000), PERIOD, at(5_000 + late));
            assert_eq!((tick.missed, tick.lateness().as_micros(), next), (0, late, at(6_000)));
        }
    }

    #[test]
    fn stalled_tick_counts_the_missed_and_keeps_the_grid() {
        for (late, missed, next) in
            [(1_000, 1, 7_000), (1_999, 1, 7_000), (2_000, 2, 8_000), (52_300, 52, 58_000)]
        {
            let (tick, then) = judge(at(5_000), PERIOD, at(5_000 + late));
            assert_eq!((tick.missed, tick.scheduled_at, then), (missed, at(5_000), at(next)));
        }
    }

    #[test]
    fn clock_behind_the_schedule_is_on_time() {
        let (tick, next) = judge(at(5_000), PERIOD, at(4_999));
        assert_eq!((tick.lateness(), tick.missed, next), (Micros::ZERO, 0, at(6_000)));
    }

    #[test]
    fn ticker_wakes_on_its_grid_and_never_early() {
        let mut ticker = Ticker::<Robot>::new(PERIOD);
        let first = ticker.due();
        let mut due = first;
        for _ in 0..20 {
            let tick = ticker.wait();
            assert_eq!(tick.scheduled_at, due);
            assert!(tick.woke_at >= tick.scheduled_at);
            assert_eq!(tick.missed, tick.lateness().as_micros() / PERIOD.as_micros());
            due = due.after(PERIOD.saturating_mul(tick.missed + 1));
            assert_eq!(ticker.due(), due);
        }
    }

    #[test]
    fn period_of_zero_still_ticks() {
        let mut ticker = Ticker::<Robot>::new(Micros::ZERO);
        let before = ticker.due();
        ticker.wait();
        assert!(ticker.due() > before);
    }

    #[test]
    fn acquire_says_what_it_got_and_what_follows() {
        // On its own thread: the priority must not stay with the test runner.
        let granted = std::thread::spawn(|| RealTime::acquire(PUMP_PRIORITY, Some(0)).granted());
        let granted = granted.join().unwrap();
        println!("{granted}");
        assert_eq!(granted.consequences().count() == 0, granted.is_complete());
        let nowhere = || RealTime::acquire(PUMP_PRIORITY, Some(usize::MAX)).granted().pinned;
        assert_eq!(std::thread::spawn(nowhere).join().unwrap(), Some(Err(Denied::Absent)));
    }

    #[test]
    fn thread_born_of_a_real_time_thread_is_normal() {
        std::thread::spawn(|| {
            let _held = RealTime::acquire(PUMP_PRIORITY, None);
            // SAFETY: asks about the calling thread only.
            let born = std::thread::spawn(|| unsafe { libc::sched_getscheduler(0) });
            assert_eq!(born.join().unwrap() & !libc::SCHED_RESET_ON_FORK, libc::SCHED_OTHER);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_was_refused_has_a_consequence_each() {
        let nothing = Granted {
            scheduler: Scheduler::Normal(Denied::Permission),
            pinned: Some(Err(Denied::Absent)),
            memory_locked: Err(Denied::MemoryLimit),
            cpu_dma_latency: Err(Denied::Other(5)),
        };
        assert_eq!(nothing.consequences().count(), 4);
        assert_eq!(
            nothing.to_string(),
            "normal priority (not permitted), not pinned (not on this machine), \
             memory not locked (limited by ulimit -l), cpu_dma_latency not held (error 5)"
        );
    }

    #[test]
    fn buckets_cover_every_lateness_without_gap_or_overlap() {
        let mut top = None;
        for index in 0..BUCKETS {
            let low = top.map_or(0, |t: u64| t + 1);
            let high = bucket_top(index);
            assert!(high >= low && high - low <= low / 16, "bucket {index}: {low}..={high}");
            assert_eq!((bucket_of(low), bucket_of(high)), (index, index));
            top = Some(high);
        }
        assert_eq!(top, Some(u64::from(u32::MAX)));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_never_below_the_truth() {
        let mut lateness = Lateness::new();
        assert_eq!(lateness.quantile(500_000), Micros::ZERO);
        (1..=1_000).for_each(|us| lateness.record(&late_by(us)));
        for (per_million, truth) in [(500_000, 500), (990_000, 990), (999_000, 999), (1, 1)] {
            let got = lateness.quantile(per_million).as_micros();
            assert!((truth..=truth + truth / 16).contains(&got), "{per_million}: {got}");
        }
        assert_eq!(lateness.quantile(1_000_000), Micros::from_micros(1_000));
        assert_eq!(lateness.worst(), Micros::from_micros(1_000));
        assert_eq!((lateness.ticks(), lateness.missed()), (1_000, 0));
    }
}
