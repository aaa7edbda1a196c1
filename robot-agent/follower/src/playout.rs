//! The playout buffer: commands leave it on the hand's own time grid.
//!
//! Knows: which command's turn it is, how late the link brings them, and how much delay makes
//! lateness rare. Does not know: what follows from a late command (`watchdog`, `supervisor`).
//!
//! Terms. A command's *raw delay* is its receive time minus its hand time, across two clocks whose
//! offset nobody knows; only differences of raw delays are used, and no safety decision rests on
//! them. The *base* is the smallest raw delay of late. A command is *effectively delayed* until it
//! or any later command arrives, so loss and jitter are sized by one histogram. `age` is measured
//! behind the buffer: jitter costs delay, only loss moves the stages.
//!
//! Policy when full: the ring holds the 256 newest numbers; older ones are overwritten.

use crate::profile::PlayoutLimits;
use longhand_protocol::geometry::{PerArm, Pose, RobotBase, Tip, Twist, clamp_norm};
use longhand_protocol::message::{ArmCommand, Command, Echo, Levels};
use longhand_protocol::units::{Console, Instant, Micros, Robot, Seq};
use nalgebra::UnitQuaternion;

/// A command as it enters the servo thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inbound {
    /// The command, already admitted by the session.
    pub command: Command,
    /// When the network side took it, robot clock.
    pub received_at: Instant<Robot>,
    /// The checksum of its bytes, for the surgeon to compare.
    pub checksum: u64,
}

/// Where one arm should be at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goal {
    /// Absolute tip pose.
    pub servo_cp: Pose<RobotBase, Tip>,
    /// How the goal moves.
    pub servo_cv: Twist,
    /// Jaw opening, radians.
    pub jaw: f64,
}

/// What the buffer gives for one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// Where each arm should be.
    pub goal: PerArm<Goal>,
    /// How long ago the newest command had its turn, by the hand's grid or the robot's clock,
    /// whichever is longer; zero while a later one is already here.
    pub age: Micros,
    /// How old the surgeon's view plus the command in use are together; one clock only.
    pub loop_age: Micros,
    /// The command in use may be used no longer than this after its turn.
    pub valid_for: Micros,
    /// The levels of the command in use. Taking away acts at once: a level is on only where the
    /// newest command received agrees.
    pub levels: Levels,
    /// The command in use; `applied_at` is left to the follower.
    pub echo: Echo,
}

const SLOTS: u64 = 256;
const SLOTS_LEN: usize = 256;

/// The buffer of one session.
#[derive(Clone, Debug)]
pub struct Playout {
    limits: PlayoutLimits,
    slots: [Option<Inbound>; SLOTS_LEN],
    newest: Option<Inbound>,
    in_use: Option<Inbound>,
    /// When the command in use had its turn, robot clock.
    in_use_since: Instant<Robot>,
    delay: DelayEstimate,
    /// Robot time minus hand time at which commands are played, microseconds.
    offset_us: Option<i64>,
}

impl Playout {
    /// An empty buffer. Its delay starts at the profile's most and shrinks with evidence.
    pub const fn new(limits: PlayoutLimits) -> Self {
        Self {
            limits,
            slots: [None; SLOTS_LEN],
            newest: None,
            in_use: None,
            in_use_since: Instant::ORIGIN,
            delay: DelayEstimate::new(),
            offset_us: None,
        }
    }

    /// Forgets everything: a new session has a new hand clock.
    pub fn reset(&mut self) {
        self.slots.fill(None);
        self.newest = None;
        self.in_use = None;
        self.delay = DelayEstimate::new();
        self.offset_us = None;
    }

    /// Takes a command in. Any order, duplicates harmless.
    pub fn push(&mut self, inbound: Inbound) {
        let number = inbound.command.number;
        let newest = self.newest.as_ref().map_or(Seq::ZERO, |n| n.command.number);
        if number > newest {
            self.delay.observe(self.newest.as_ref(), &inbound);
            self.newest = Some(inbound);
        } else if newest.get().saturating_sub(number.get()) >= SLOTS {
            return;
        }
        if let Some(slot) = self.slot_mut(number) {
            *slot = Some(inbound);
        }
    }

    /// What is to be done at `now`, or `None` before the first command had its turn.
    ///
    /// While `moving`, the buffer's delay changes only by stretching time: 5 % when it must grow
    /// (chosen: lateness is near), 1 % when it may shrink. While the arm stands it steps at once,
    /// which no one can feel; but the command in use never goes back to an older one.
    pub fn pick(&mut self, now: Instant<Robot>, moving: bool) -> Option<Pick> {
        let newest = self.newest.as_ref()?.command.number;
        let target = self.delay.target_us(&self.limits)?;
        let offset = match self.offset_us {
            Some(current) if moving => {
                current.saturating_add(target.saturating_sub(current).clamp(-SHRINK_US, GROW_US))
            }
            Some(_) | None => target,
        };
        self.offset_us = Some(offset);
        let floor = self.in_use.as_ref().map_or(Instant::ORIGIN, |u| u.command.intent.hand_time);
        let turn = hand_instant(now, offset).max(floor);
        let next = self.advance(now, turn, newest).and_then(|number| self.slot(number));
        let (used, newest) = (self.in_use.as_ref()?, self.newest.as_ref()?);
        // A hole longer than any this buffer is for is silence, whatever came behind it: a command
        // stamped far ahead must not vouch for the time between.
        let longest = self.limits.delay_max.saturating_add(HOLE_SLACK);
        let known = next.is_some_and(|next| {
            let hole = next.command.intent.hand_time.since(used.command.intent.hand_time);
            hole <= longest
        });
        let age = if known {
            // With a later command here already, the newest *known* truth is not old.
            Micros::ZERO
        } else {
            // A buffer that grows in a silence sets the hand's grid back; silence is as long as it
            // is by the clock.
            turn.since(used.command.intent.hand_time).max(now.since(self.in_use_since))
        };
        Some(Self::compose(now, turn, used, next, newest, age))
    }

    /// The delay that the buffer adds to the fastest command at present.
    pub fn added_delay(&self) -> Micros {
        let base = self.delay.base_us();
        let added = self.offset_us.zip(base).map_or(0, |(offset, base)| offset - base);
        Micros::from_micros(u64::try_from(added).unwrap_or(0))
    }

    /// Moves `in_use` to the newest command whose turn has come; gives the number of the one after
    /// it, if it is already here. Bounded by the ring.
    fn advance(&mut self, now: Instant<Robot>, turn: Instant<Console>, newest: Seq) -> Option<Seq> {
        let used = self.in_use.as_ref().map_or(Seq::ZERO, |used| used.command.number);
        let oldest = Seq::new(newest.get().saturating_sub(SLOTS - 1));
        let mut number = used.next().max(oldest);
        while number <= newest {
            if let Some(candidate) = self.slot(number) {
                if candidate.command.intent.hand_time > turn {
                    return Some(number);
                }
                self.in_use = Some(*candidate);
                self.in_use_since = now;
            }
            if number == newest {
                break;
            }
            number = number.next();
        }
        None
    }

    fn slot_index(number: Seq) -> usize {
        usize::try_from(number.get() % SLOTS).unwrap_or(0)
    }

    fn slot(&self, number: Seq) -> Option<&Inbound> {
        let held = self.slots.get(Self::slot_index(number))?.as_ref()?;
        (held.command.number == number).then_some(held)
    }

    fn slot_mut(&mut self, number: Seq) -> Option<&mut Option<Inbound>> {
        self.slots.get_mut(Self::slot_index(number))
    }

    fn compose(
        now: Instant<Robot>,
        turn: Instant<Console>,
        used: &Inbound,
        next: Option<&Inbound>,
        newest: &Inbound,
        age: Micros,
    ) -> Pick {
        let intent = &used.command.intent;
        let since = turn.since(intent.hand_time);
        let goal = PerArm::from_fn(|arm| {
            let from = intent.arms.get(arm);
            match next {
                Some(next) => between(
                    from,
                    next.command.intent.arms.get(arm),
                    since,
                    next.command.intent.hand_time.since(intent.hand_time),
                ),
                None => extrapolate(from, since),
            }
        });
        let (now_levels, last_levels) = (intent.levels, newest.command.intent.levels);
        Pick {
            goal,
            age,
            loop_age: now.since(intent.echo_robot_time),
            valid_for: intent.valid_for,
            levels: Levels {
                operator_present: now_levels.operator_present && last_levels.operator_present,
                clutch: now_levels.clutch || last_levels.clutch,
                // The way out of Hold asks for a leader that is *not* engaged: off is the leave.
                engaged: now_levels.engaged || last_levels.engaged,
                energy: PerArm::from_fn(|arm| {
                    *now_levels.energy.get(arm) && *last_levels.energy.get(arm)
                }),
            },
            echo: Echo {
                number: used.command.number,
                hand_time: intent.hand_time,
                received_at: used.received_at,
                applied_at: Instant::ORIGIN,
                checksum: used.checksum,
            },
        }
    }
}

/// A hole may be this much longer than the buffer's delay and still be interpolated. Chosen: as
/// long as the shortest silence that brakes.
const HOLE_SLACK: Micros = Micros::from_millis(10);
/// Time stretch per tick: 5 % of 1000 us when the delay must grow.
const GROW_US: i64 = 50;
/// 1 % when it may shrink.
const SHRINK_US: i64 = 10;

fn hand_instant(now: Instant<Robot>, offset_us: i64) -> Instant<Console> {
    let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    Instant::from_micros(u64::try_from(now.saturating_sub(offset_us)).unwrap_or(0))
}

/// Between two known commands: a cubic through both poses and velocities, so that a hole in the
/// stream bends with the hand; never farther from the chord than the velocities carry it.
fn between(from: &ArmCommand, to: &ArmCommand, since: Micros, span: Micros) -> Goal {
    let span_s = span.as_secs_f64();
    if span_s <= 0.0 {
        return extrapolate(from, Micros::ZERO);
    }
    let u = (since.as_secs_f64() / span_s).clamp(0.0, 1.0);
    let (p0, p1) = (from.servo_cp.position(), to.servo_cp.position());
    let chord = p1 - p0;
    // A velocity that does not fit the poses (a broken console) must not swing the curve out:
    // three times the chord is what keeps a cubic monotone (Fritsch and Carlson 1980).
    let bound = 3.0 * chord.norm();
    let m0 = clamp_norm(from.servo_cv.linear * span_s, bound);
    let m1 = clamp_norm(to.servo_cv.linear * span_s, bound);
    let (u2, u3) = (u * u, u * u * u);
    let position = p0 + m0 * (u3 - 2.0 * u2 + u) + chord * (3.0 * u2 - 2.0 * u3) + m1 * (u3 - u2);
    let velocity = (m0 * (3.0 * u2 - 4.0 * u + 1.0)
        + chord * (6.0 * u - 6.0 * u2)
        + m1 * (3.0 * u2 - 2.0 * u))
        / span_s;
    let (r0, r1) = (from.servo_cp.rotation(), to.servo_cp.rotation());
    let turn = (r1 * r0.inverse()).scaled_axis();
    let rotation = UnitQuaternion::from_scaled_axis(turn * u) * r0;
    Goal {
        servo_cp: Pose::new(position, rotation),
        servo_cv: Twist { linear: velocity, angular: turn / span_s },
        jaw: from.jaw + (to.jaw - from.jaw) * u,
    }
}

/// Past the newest command: on with its last velocity. How far is the supervisor's to bound.
fn extrapolate(from: &ArmCommand, since: Micros) -> Goal {
    // Beyond the longest Coast nobody looks at the goal any more; keep it near.
    let dt = since.as_secs_f64().min(0.020);
    let turn = UnitQuaternion::from_scaled_axis(from.servo_cv.angular * dt);
    Goal {
        servo_cp: Pose::new(
            from.servo_cp.position() + from.servo_cv.linear * dt,
            turn * from.servo_cp.rotation(),
        ),
        servo_cv: from.servo_cv,
        jaw: from.jaw,
    }
}

/// How late the link brings commands: a sliding least delay and a sliding histogram above it.
#[derive(Clone, Debug)]
struct DelayEstimate {
    /// The least raw delay in each of the last eight spans, newest first; half a second in all.
    least_us: [Option<i64>; 8],
    span_began: Instant<Robot>,
    /// Effective delays above the base, half a millisecond a bin; two generations.
    current: Histogram,
    previous: Histogram,
    generation_began: Instant<Robot>,
    /// The quantile, renewed every [`RENEW_EVERY`] arrivals: it scans a histogram.
    quantile_us: i64,
    arrivals: u32,
}

/// Chosen: eight of them are half a second. A route change is taken up that fast, and the cap
/// counts from the fastest command of late, not from the fastest ever; measured on public 5G, a
/// window of 4 s stops the arm a tenth more often.
const LEAST_SPAN: Micros = Micros::from_millis(60);
/// Chosen: a minute a generation; 60,000 commands show a lateness of 1e-4 six times.
const GENERATION: Micros = Micros::from_secs(60);
/// Chosen: 64 ms is quick against a minute's generation, and the scan is 512 additions.
const RENEW_EVERY: u32 = 64;
/// Chosen: fewer commands than this say nothing of a lateness of 1e-3.
const ENOUGH: u32 = 5_000;
const BIN_US: i64 = 500;
const BINS: usize = 512;

impl DelayEstimate {
    const fn new() -> Self {
        Self {
            least_us: [None; 8],
            span_began: Instant::ORIGIN,
            current: Histogram::new(),
            previous: Histogram::new(),
            generation_began: Instant::ORIGIN,
            quantile_us: i64::MAX,
            arrivals: 0,
        }
    }

    /// Takes the newest command so far in; `before` is the one that was newest until now.
    fn observe(&mut self, before: Option<&Inbound>, inbound: &Inbound) {
        let raw = raw_delay_us(inbound);
        self.rotate(inbound.received_at);
        let least = self.least_us.first_mut();
        if let Some(least) = least {
            *least = Some(least.map_or(raw, |l| l.min(raw)));
        }
        let Some(base) = self.base_us() else { return };
        let Some(before) = before else { return };
        // Every number since the last arrival was effectively delayed until this one: the missing
        // ones, too. They lie on the hand's grid between the two.
        let number = inbound.command.number;
        let steps = number.checked_since(before.command.number).unwrap_or(1).clamp(1, SLOTS);
        let span = inbound.command.intent.hand_time.since(before.command.intent.hand_time);
        let step_us = i64::try_from(span.as_micros() / steps).unwrap_or(0);
        for missing in 0..i64::try_from(steps).unwrap_or(1) {
            self.current.add(raw - base + missing.saturating_mul(step_us));
        }
        self.arrivals = self.arrivals.wrapping_add(1);
    }

    fn rotate(&mut self, now: Instant<Robot>) {
        if now.since(self.span_began) >= LEAST_SPAN {
            self.span_began = now;
            self.least_us.rotate_right(1);
            if let Some(first) = self.least_us.first_mut() {
                *first = None;
            }
        }
        if now.since(self.generation_began) >= GENERATION {
            self.generation_began = now;
            core::mem::swap(&mut self.current, &mut self.previous);
            self.current = Histogram::new();
        }
    }

    fn base_us(&self) -> Option<i64> {
        self.least_us.iter().flatten().min().copied()
    }

    /// The offset at which commands should be played: base plus the delay that keeps lateness rare.
    fn target_us(&mut self, limits: &PlayoutLimits) -> Option<i64> {
        let base = self.base_us()?;
        let cap = i64::try_from(limits.delay_max.as_micros()).unwrap_or(0);
        if self.arrivals.is_multiple_of(RENEW_EVERY) {
            self.quantile_us = self.quantile(limits.lateness, cap);
        }
        Some(base.saturating_add(self.quantile_us.min(cap)))
    }

    /// The least delay that at most a share `lateness` of the commands exceeds, within `cap`. What
    /// came later than the histogram reaches no buffer could have saved: it is the stages' business
    /// and left out. Before there is enough evidence, the cap.
    fn quantile(&self, lateness: f64, cap: i64) -> i64 {
        let bins = || self.current.bins.iter().zip(&self.previous.bins);
        let total: u32 = bins().fold(0, |sum, (a, b)| sum.saturating_add(*a).saturating_add(*b));
        if total < ENOUGH {
            return cap;
        }
        let allowed = f64::from(total) * lateness;
        let mut above = f64::from(total);
        let mut edge = 0;
        for (a, b) in bins() {
            if above <= allowed || edge >= cap {
                break;
            }
            above -= f64::from(a.saturating_add(*b));
            edge += BIN_US;
        }
        edge.min(cap)
    }
}

fn raw_delay_us(inbound: &Inbound) -> i64 {
    let received = i64::try_from(inbound.received_at.as_micros()).unwrap_or(i64::MAX);
    let hand = i64::try_from(inbound.command.intent.hand_time.as_micros()).unwrap_or(i64::MAX);
    received.saturating_sub(hand)
}

#[derive(Clone, Debug)]
struct Histogram {
    bins: [u32; BINS],
}

impl Histogram {
    const fn new() -> Self {
        Self { bins: [0; BINS] }
    }

    /// Delays beyond the last bin (256 ms) are left out: no buffer reaches them.
    fn add(&mut self, delay_us: i64) {
        let bin = usize::try_from(delay_us.max(0) / BIN_US).unwrap_or(BINS);
        if let Some(bin) = self.bins.get_mut(bin) {
            *bin = bin.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use longhand_protocol::units::TICK;
    use nalgebra::Vector3;

    /// A hand moving at 50 mm/s along x; the console clock runs 7 s behind the robot's.
    fn inbound(n: u64, delay_us: u64) -> Inbound {
        let mut command = Command { number: Seq::new(n), ..Command::default() };
        command.intent.hand_time = Instant::from_micros(n * 1_000);
        command.intent.valid_for = Micros::from_secs(1);
        for arm in [&mut command.intent.arms.psm1, &mut command.intent.arms.psm2] {
            let x = 50e-6 * f64::from(u32::try_from(n).unwrap());
            arm.servo_cp = Pose::new(Vector3::new(x, 0.0, 0.0), UnitQuaternion::identity());
            arm.servo_cv.linear.x = 0.05;
        }
        let received_at = Instant::from_micros(7_000_000 + n * 1_000 + delay_us);
        Inbound { command, received_at, checksum: n }
    }

    fn run(limits: PlayoutLimits, arrivals: &mut [Inbound], ticks: u64) -> Vec<Option<Pick>> {
        arrivals.sort_by_key(|i| i.received_at);
        let mut playout = Playout::new(limits);
        let mut next = 0;
        let mut picks = Vec::new();
        for tick in 0..ticks {
            let now = Instant::from_micros(7_000_000 + tick * 1_000);
            while next < arrivals.len() && arrivals[next].received_at <= now {
                playout.push(arrivals[next]);
                next += 1;
            }
            picks.push(playout.pick(now, true));
        }
        picks
    }

    extern crate std;
    use std::vec::Vec;

    #[test]
    fn jitter_within_the_buffer_costs_no_age() {
        // 0 to 15 ms of deterministic jitter, default cap 20 ms.
        let mut arrivals: Vec<_> =
            (1..8_000).map(|n| inbound(n, 10_000 + (n * 7_919) % 15_000)).collect();
        let picks = run(Profile::DEFAULT.playout, &mut arrivals, 7_900);
        assert!(picks[100..].iter().all(|p| p.unwrap().age <= TICK));
    }

    #[test]
    fn a_hole_shorter_than_the_buffer_is_interpolated() {
        let mut arrivals: Vec<_> =
            (1..500).filter(|n| !(200..215).contains(n)).map(|n| inbound(n, 10_000)).collect();
        let picks = run(Profile::DEFAULT.playout, &mut arrivals, 480);
        let mut last = picks[100].unwrap().goal.psm1.servo_cp.position().x;
        for pick in &picks[101..] {
            let x = pick.unwrap().goal.psm1.servo_cp.position().x;
            assert!((x - last - 50e-6).abs() < 1e-8, "steady 50 mm/s through the hole");
            last = x;
        }
    }

    #[test]
    fn the_delay_shrinks_to_what_the_link_needs() {
        let mut arrivals: Vec<_> =
            (1..30_000).map(|n| inbound(n, 10_000 + (n * 7_919) % 3_000)).collect();
        arrivals.sort_by_key(|i| i.received_at);
        let mut playout = Playout::new(Profile::DEFAULT.playout);
        let mut next = 0;
        for tick in 0..29_000 {
            let now = Instant::from_micros(7_000_000 + tick * 1_000);
            while next < arrivals.len() && arrivals[next].received_at <= now {
                playout.push(arrivals[next]);
                next += 1;
            }
            playout.pick(now, true);
        }
        let added = playout.added_delay();
        assert!(added >= Micros::from_millis(2) && added <= Micros::from_millis(4), "{added}");
    }

    #[test]
    fn silence_ages_and_extrapolates() {
        let mut arrivals: Vec<_> = (1..200).map(|n| inbound(n, 10_000)).collect();
        let picks = run(Profile::DEFAULT.playout, &mut arrivals, 260);
        // The last hand time is 199 ms; it is played 10 + 20 ms later, at tick 229.
        assert_eq!(picks[229].unwrap().age, Micros::ZERO);
        assert_eq!(picks[240].unwrap().age, Micros::from_millis(11));
        let ahead = picks[232].unwrap().goal.psm1.servo_cp.position().x;
        assert!((ahead - 50e-6 * 202.0).abs() < 1e-8);
    }

    /// The buffer may grow at once when the arm stands; that makes no command younger.
    #[test]
    fn a_buffer_that_grows_in_a_silence_makes_nothing_younger() {
        let mut playout = Playout::new(Profile::DEFAULT.playout);
        // The link is even, and worse just before it falls silent.
        let last = 6_400;
        let late = |n: u64| if n > last - 70 { 28_000 } else { 10_000 };
        let mut arrivals: Vec<_> = (1..=last).map(|n| inbound(n, late(n))).collect();
        arrivals.sort_by_key(|i| i.received_at);
        let mut arrivals = arrivals.into_iter().peekable();
        let mut in_use = (Seq::ZERO, 0);
        for tick in 0..last + 300 {
            let now = Instant::from_micros(7_000_000 + tick * 1_000);
            while let Some(inbound) = arrivals.next_if(|i| i.received_at <= now) {
                playout.push(inbound);
            }
            let Some(pick) = playout.pick(now, tick < last + 60) else { continue };
            if pick.echo.number > in_use.0 {
                in_use = (pick.echo.number, tick);
            }
            if pick.echo.number == Seq::new(last) {
                assert!(pick.age >= TICK.saturating_mul(tick - in_use.1), "{}", pick.age);
            }
        }
        assert_eq!(in_use.0, Seq::new(last));
        assert!(playout.added_delay() > Micros::from_millis(10), "it never grew");
    }

    #[test]
    fn the_command_in_use_never_goes_back() {
        let mut playout = Playout::new(Profile::DEFAULT.playout);
        for n in 1..400 {
            playout.push(inbound(n, 10_000));
            playout.pick(Instant::from_micros(7_000_000 + n * 1_000 + 10_000), false);
        }
        let used = playout.in_use.unwrap().command.number;
        for n in 100..200 {
            playout.push(inbound(n, 900_000));
        }
        let pick = playout.pick(Instant::from_micros(7_420_000), false).unwrap();
        assert!(pick.echo.number >= used);
    }

    #[test]
    fn a_command_stamped_far_ahead_does_not_vouch_for_the_hole_before_it() {
        let mut playout = Playout::new(Profile::DEFAULT.playout);
        for n in 1..300 {
            playout.push(inbound(n, 10_000));
            playout.pick(Instant::from_micros(7_000_000 + n * 1_000 + 10_000), true);
        }
        let mut leaping = inbound(300, 10_000);
        leaping.command.intent.hand_time = Instant::from_micros(1_200_000);
        playout.push(leaping);
        let pick = playout.pick(Instant::from_micros(7_360_000), true).unwrap();
        assert!(pick.age >= Micros::from_millis(20), "{}", pick.age);
    }

    #[test]
    fn the_last_number_of_all_ends_the_search() {
        let mut playout = Playout::new(Profile::DEFAULT.playout);
        let mut last = inbound(1, 10_000);
        last.command.number = Seq::new(u64::MAX);
        playout.push(last);
        assert!(playout.pick(Instant::from_micros(7_500_000), false).is_some());
    }

    #[test]
    fn a_burst_of_thousands_is_bounded_and_ends_fresh() {
        let mut playout = Playout::new(Profile::DEFAULT.playout);
        for n in 1..5_000 {
            let mut held = inbound(n, 0);
            held.received_at = Instant::from_micros(12_010_000);
            playout.push(held);
        }
        let pick = playout.pick(Instant::from_micros(12_040_000), false).unwrap();
        assert!(pick.echo.number.get() > 4_900);
    }

    #[test]
    fn taking_away_a_level_acts_at_once() {
        let mut playout = Playout::new(Profile::DEFAULT.playout);
        for n in 1..100 {
            let mut i = inbound(n, 10_000);
            i.command.intent.levels.operator_present = n < 99;
            playout.push(i);
        }
        let pick = playout.pick(Instant::from_micros(7_109_000), false).unwrap();
        assert!(pick.echo.number.get() < 99);
        assert!(!pick.levels.operator_present);
    }

    #[test]
    fn a_leader_is_engaged_until_the_command_in_use_and_the_newest_both_deny_it() {
        for (earlier, newest) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut playout = Playout::new(Profile::DEFAULT.playout);
            for n in 1..100 {
                let mut i = inbound(n, 10_000);
                i.command.intent.levels.engaged = if n < 99 { earlier } else { newest };
                playout.push(i);
            }
            let pick = playout.pick(Instant::from_micros(7_109_000), false).unwrap();
            assert!(pick.echo.number.get() < 99);
            assert_eq!(pick.levels.engaged, earlier || newest, "{earlier}, then {newest}");
        }
    }
}
