//! The leash: a goal behind a wall stays within reach of the tool that stands at it.
//!
//! Knows: what the goal was at every moment of late, and what the robot says became of it. Does not
//! know: where any wall is (the robot's limits are its own), or the hand.
//!
//! Why: the robot brings a goal outside its limits to the nearest place allowed and says `limited`.
//! A goal that ran on behind the wall would have to be fetched back by the hand before the tool
//! moved again. So the anchor slips, as if clutched, and the hand that turns back moves the tool
//! after at most [`LEASH_M`].
//!
//! How, with a report up to a second old: each state echoes which command it answers. The *trail*
//! says what the goal was in that command; goal against setpoint, both of that one moment, is how
//! far it lay behind the wall. All but [`LEASH_M`] of it is taken off the goal of now and off the
//! trail, so that what the hand has done since counts in full and no report counts twice. Until the
//! next report the goal goes no farther outward than the leash allows.
//!
//! The tool does not move by this: a goal taken back toward the setpoint, and left outside by the
//! leash, is brought to the same place at the wall. That holds where the tool *stands* at the wall,
//! so nothing slips before it does. `limited` alone does not say so: the goal may lie outside while
//! the tool is still far from the wall, or a step was refused for the joints' sake. A tool stands
//! if for [`STANDS_OVER`] it was blocked and hardly moved outward: below a fifth of a leash in a
//! second, the oldest loop. So when it hears of the goal that is left to it, it is short of it.
//!
//! What a setpoint has not caught up with yet is not behind a wall: along the way that it is
//! moving, [`LAG_S`] of its motion is left out. Where that does not explain the gap, the tool is on
//! its way or slowed, and nothing slips. A state that never comes slips nothing; the next one makes
//! up for it.

use longhand_protocol::geometry::{Pose, RobotBase, Tip};
use longhand_protocol::units::{Console, Instant, Micros, Robot};
use nalgebra::{UnitQuaternion, Vector3};

/// How far behind the wall a goal may stay. Chosen: 15 mm of hand at the default scale, enough to
/// feel the wall as a wall, and more than the tool's lag and what an oblique limit makes of it.
pub const LEASH_M: f64 = 3e-3;
/// The same for rotation: 5 deg, chosen: the alignment that dVRK asks for.
pub const LEASH_RAD: f64 = 0.087;
/// Less than this behind a wall does not say which way it faces. Chosen: a sixth of the leash.
const FACING: f64 = 1.0 / 6.0;
/// A moving setpoint may be this much of its motion behind its goal. Chosen: two and a half times
/// what the robot's shaper takes where nothing slows it (its gap gain is 50 per second).
const LAG_S: f64 = 0.05;
/// So long a tool must have been blocked, and have hardly moved outward, to stand at a wall.
/// Chosen: a free tool needs 60 ms to blend in after a stop, and as long again to show it.
const STANDS_OVER: Micros = Micros::from_millis(100);
/// A tool that goes no more leashes than this outward in a second stands. Chosen: a third of what a
/// tool goes whose joints slow it most (a fiftieth of 0.1 m/s, or of 2 rad/s); a shaper that comes
/// this slowly to a wall has 12 um to go.
const STANDS_BELOW: f64 = 0.2;
/// Marks in the trail. Chosen: with [`SPACING`], 1.02 s: the oldest loop that any profile allows.
const MARKS: usize = 128;
/// Between two marks. Chosen: the goal is a straight line over so short a time.
const SPACING: Micros = Micros::from_millis(8);

/// Where the goal was.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at: Instant<Console>,
    /// Without what has slipped since the beginning: `goal = place - slipped`.
    place: Vector3<f64>,
    /// Likewise: `goal = turn * turned`.
    turn: UnitQuaternion<f64>,
}

/// What the robot says of one arm in one state.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// When the state was made.
    pub robot_time: Instant<Robot>,
    /// The hand time of the command in use.
    pub hand_time: Instant<Console>,
    /// Where the tool was told to be.
    pub setpoint: Pose<RobotBase, Tip>,
    /// The goal lay outside what the arm may reach.
    pub limited: bool,
}

/// What the goal and its anchor must give up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slip {
    /// Metres to take off the anchored tip.
    pub anchor: Vector3<f64>,
    /// The turn of the anchored tip, in the tip's own axes.
    pub anchor_turn: UnitQuaternion<f64>,
    /// Metres to take off the goal at once: as much as it lies behind the wall still. The rest is
    /// what the hand has come back since, and the goal goes there no faster than it ever does.
    pub goal: Vector3<f64>,
    /// Likewise, in the tip's own axes.
    pub goal_turn: UnitQuaternion<f64>,
}

impl Slip {
    /// Nothing to give up.
    pub fn none() -> Self {
        let still = UnitQuaternion::identity();
        let (anchor, goal) = (Vector3::zeros(), Vector3::zeros());
        Self { anchor, anchor_turn: still, goal, goal_turn: still }
    }
}

/// What lies behind a wall: how far and which way, metres or radians as a rotation vector.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// Outward, a unit vector.
    normal: Vector3<f64>,
    /// How far.
    depth: f64,
}

impl Behind {
    /// What `gap` (goal less setpoint) says, where the setpoint moves at `speed`; `None` where it
    /// says nothing about a wall.
    fn of(gap: Vector3<f64>, speed: Vector3<f64>, leash: f64) -> Option<Self> {
        let pace = speed.norm();
        let lag = if pace > 0.0 {
            let way = speed / pace;
            let ahead = gap.dot(&way).max(0.0);
            if pace > STANDS_BELOW * leash && ahead > pace * LAG_S {
                return None;
            }
            way * ahead.min(pace * LAG_S)
        } else {
            Vector3::zeros()
        };
        let blocked = gap - lag;
        let depth = blocked.norm();
        (depth > leash * FACING).then(|| Self { normal: blocked / depth, depth })
    }

    /// How much of the depth is to be given up.
    fn excess(&self, leash: f64) -> f64 {
        (self.depth - leash).max(0.0)
    }

    /// How much of that a goal that is now at `gap` gives up at once: it stays outside.
    fn at_once(&self, gap: &Vector3<f64>, leash: f64) -> f64 {
        (self.normal.dot(gap) - leash).max(0.0).min(self.excess(leash))
    }

    /// How much farther outward than allowed `wanted` is; a goal that is out there already stays.
    fn beyond(&self, wanted: &Vector3<f64>, is: &Vector3<f64>, leash: f64) -> f64 {
        (self.normal.dot(wanted) - self.normal.dot(is).max(leash)).max(0.0)
    }
}

/// Two earlier answers of the time that the tool has been blocked without moving outward. The
/// older becomes one to two [`STANDS_OVER`] old, so that what was long ago excuses nothing.
#[derive(Clone, Copy, Debug)]
struct Standing {
    older: Answer,
    newer: Answer,
}

impl Standing {
    const fn since(answer: &Answer) -> Self {
        Self { older: *answer, newer: *answer }
    }

    /// Takes in an answer; whether the tool has stood long enough. `outward` says how far it has
    /// come since another, metres or radians.
    fn note(&mut self, answer: &Answer, outward: impl Fn(&Answer) -> f64, leash: f64) -> bool {
        let over = STANDS_OVER.as_secs_f64();
        let seconds = answer.robot_time.since(self.older.robot_time).as_secs_f64();
        if outward(&self.older).abs() > STANDS_BELOW * leash * seconds.max(over) {
            *self = Self::since(answer);
            return false;
        }
        if answer.robot_time.since(self.newer.robot_time) >= STANDS_OVER {
            self.older = self.newer;
            self.newer = *answer;
        }
        seconds >= over
    }
}

/// The leash of one arm.
#[derive(Clone, Copy, Debug)]
pub struct Leash {
    trail: [Option<Mark>; MARKS],
    /// Where the newest mark lies.
    newest: usize,
    /// All that has slipped so far.
    slipped: Vector3<f64>,
    turned: UnitQuaternion<f64>,
    last: Option<Answer>,
    /// Since when the tool has been blocked and has not moved outward.
    standing: Option<Standing>,
    turn_standing: Option<Standing>,
    /// What the newest answer says lies behind a wall.
    wall: Option<Behind>,
    turn_wall: Option<Behind>,
}

impl Default for Leash {
    fn default() -> Self {
        Self {
            trail: [None; MARKS],
            newest: 0,
            slipped: Vector3::zeros(),
            turned: UnitQuaternion::identity(),
            last: None,
            standing: None,
            turn_standing: None,
            wall: None,
            turn_wall: None,
        }
    }
}

impl Leash {
    /// The goal as it goes out at `now`.
    pub fn remember(&mut self, now: Instant<Console>, goal: &Pose<RobotBase, Tip>) {
        let newest = self.trail.get(self.newest).copied().flatten();
        if newest.is_some_and(|mark| now.since(mark.at) < SPACING) {
            return;
        }
        self.newest = self.newest.wrapping_add(1) % MARKS;
        if let Some(slot) = self.trail.get_mut(self.newest) {
            *slot = Some(Mark {
                at: now,
                place: goal.position() + self.slipped,
                turn: goal.rotation() * self.turned.inverse(),
            });
        }
    }

    /// The goal lies on the held tool: there is no wall between them.
    pub const fn slacken(&mut self) {
        self.last = None;
        self.standing = None;
        self.turn_standing = None;
        self.wall = None;
        self.turn_wall = None;
    }

    /// Takes in what the robot says, and gives what is to be given up for it. `goal` is the goal of
    /// now. Call it once for each state.
    pub fn hear(&mut self, goal: &Pose<RobotBase, Tip>, answer: &Answer) -> Slip {
        let before = self.last.replace(*answer);
        self.wall = None;
        self.turn_wall = None;
        let (standing, turn_standing) = (self.standing.take(), self.turn_standing.take());
        let (true, Some(before)) = (answer.limited, before) else { return Slip::none() };
        let Some(then) = self.at(answer.hand_time) else { return Slip::none() };
        let seconds = answer.robot_time.since(before.robot_time).as_secs_f64();
        if seconds <= 0.0 {
            return Slip::none();
        }
        let from = &answer.setpoint;
        let (moved, spun) = apart(from, &before.setpoint);
        let (gap, turn) = apart(&then, from);
        if let Some(behind) = Behind::of(gap, moved / seconds, LEASH_M) {
            let mut standing = standing.unwrap_or(Standing::since(answer));
            let outward = |was: &Answer| behind.normal.dot(&apart(from, &was.setpoint).0);
            self.wall = standing.note(answer, outward, LEASH_M).then_some(behind);
            self.standing = Some(standing);
        }
        if let Some(behind) = Behind::of(turn, spun / seconds, LEASH_RAD) {
            let mut standing = turn_standing.unwrap_or(Standing::since(answer));
            let outward = |was: &Answer| behind.normal.dot(&apart(from, &was.setpoint).1);
            self.turn_wall = standing.note(answer, outward, LEASH_RAD).then_some(behind);
            self.turn_standing = Some(standing);
        }
        self.give(goal, &then, from)
    }

    /// What the walls that were found take off the goal, which was `then`.
    fn give(
        &mut self,
        goal: &Pose<RobotBase, Tip>,
        then: &Pose<RobotBase, Tip>,
        from: &Pose<RobotBase, Tip>,
    ) -> Slip {
        let (gap, turn) = apart(goal, from);
        let mut slip = Slip::none();
        if let Some(wall) = self.wall {
            slip.anchor = wall.normal * wall.excess(LEASH_M);
            slip.goal = wall.normal * wall.at_once(&gap, LEASH_M);
        }
        if let Some(wall) = self.turn_wall {
            let off = |angle: f64| in_tip(then, wall.normal * -angle);
            slip.anchor_turn = off(wall.excess(LEASH_RAD));
            slip.goal_turn = off(wall.at_once(&turn, LEASH_RAD));
        }
        self.slipped += slip.anchor;
        self.turned = unit(self.turned * slip.anchor_turn);
        slip
    }

    /// What the anchor gives up so that the goal does not go on outward from `goal` to `wanted`.
    pub fn hold(&self, wanted: &Pose<RobotBase, Tip>, goal: &Pose<RobotBase, Tip>) -> Slip {
        let mut slip = Slip::none();
        let Some(answer) = self.last else { return slip };
        let ((to, turn_to), (is, turn_is)) =
            (apart(wanted, &answer.setpoint), apart(goal, &answer.setpoint));
        if let Some(wall) = self.wall {
            slip.anchor = wall.normal * wall.beyond(&to, &is, LEASH_M);
        }
        if let Some(wall) = self.turn_wall {
            let over = wall.beyond(&turn_to, &turn_is, LEASH_RAD);
            slip.anchor_turn = in_tip(wanted, wall.normal * -over);
        }
        slip
    }

    /// What the goal of that moment would be by now, had everything slipped before it.
    fn at(&self, moment: Instant<Console>) -> Option<Pose<RobotBase, Tip>> {
        let mut later: Option<Mark> = None;
        for back in 0..MARKS {
            let mark = (*self.trail.get(self.newest.wrapping_sub(back) % MARKS)?)?;
            if mark.at <= moment {
                return Some(self.between(&mark, later.as_ref(), moment));
            }
            later = Some(mark);
        }
        None
    }

    fn between(
        &self,
        mark: &Mark,
        later: Option<&Mark>,
        moment: Instant<Console>,
    ) -> Pose<RobotBase, Tip> {
        let (mut place, mut turn) = (mark.place, mark.turn);
        if let Some(later) = later {
            // Marks are at least `SPACING` apart.
            let span = later.at.since(mark.at).as_secs_f64().max(SPACING.as_secs_f64());
            let share = moment.since(mark.at).as_secs_f64() / span;
            let on = (later.turn * mark.turn.inverse()).scaled_axis();
            place += (later.place - mark.place) * share;
            turn = UnitQuaternion::from_scaled_axis(on * share) * turn;
        }
        Pose::new(place - self.slipped, turn * self.turned)
    }
}

/// From `from` to `to`: metres, and a rotation vector in the arm's base.
fn apart(to: &Pose<RobotBase, Tip>, from: &Pose<RobotBase, Tip>) -> (Vector3<f64>, Vector3<f64>) {
    let turn = to.rotation() * from.rotation().inverse();
    (to.position() - from.position(), turn.scaled_axis())
}

/// A turn about axes of the arm's base, as the same turn about the axes of a tip that is at `tip`:
/// multiplied from the right it does to an anchor what the turn itself does to the goal.
pub fn in_tip(tip: &Pose<RobotBase, Tip>, turn: Vector3<f64>) -> UnitQuaternion<f64> {
    let to_base = tip.rotation();
    unit(to_base.inverse() * UnitQuaternion::from_scaled_axis(turn) * to_base)
}

/// A rotation whose length rounding has moved a little off one, put back. Whatever is multiplied
/// into itself again and again needs it: each product doubles what is off.
pub fn unit(mut rotation: UnitQuaternion<f64>) -> UnitQuaternion<f64> {
    rotation.renormalize_fast();
    rotation
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::hand::HandSample;
    use crate::leader::{Leader, LeaderOutput};
    use longhand_protocol::geometry::{ArmId, Mismatch};
    use longhand_protocol::message::{Intent, Stage, StateReport, Terms};
    use std::collections::VecDeque;

    const TERMS: Terms = Terms {
        tip_speed_max: 0.1,
        tip_rate_max: 2.0,
        blend_max: Mismatch { distance_m: 1e-3, angle_rad: 0.035 },
        anchor_max: Mismatch { distance_m: 20e-3, angle_rad: 0.087 },
        loop_age_max: Micros::from_millis(1_000),
        loop_age_warn: Micros::from_millis(900),
        latch_after: Micros::from_millis(200),
    };
    /// The tool may go to 5 mm in x and y, and turn to 0.1 rad about any axis.
    const REACH_M: f64 = 5e-3;
    const REACH_RAD: f64 = 0.1;
    /// As the follower's shaper, 1/s, m/s and rad/s.
    const GAP_GAIN: f64 = 50.0;
    const TIP_SPEED: f64 = 0.095;
    const TIP_RATE: f64 = 1.9;
    /// As its blend after a stop, ticks.
    const BLEND: f64 = 60.0;

    /// A leader, and a robot with walls a delay away.
    struct Bench {
        leader: Leader,
        now_ms: u64,
        up: VecDeque<Intent>,
        down: VecDeque<StateReport>,
        one_way: usize,
        tool: Pose<RobotBase, Tip>,
        /// Every how many states one comes through.
        one_in: u64,
        /// How far the tool may go in x and y, metres.
        reach: f64,
        /// What the joints leave of the tool's speed.
        scale: f64,
        /// Ticks since the tool set out.
        blend: f64,
    }

    impl Bench {
        fn new(delay_ms: usize) -> Self {
            let mut bench = Self {
                leader: Leader::new(TERMS, 1.0),
                now_ms: 0,
                up: VecDeque::new(),
                down: VecDeque::new(),
                one_way: delay_ms / 2,
                tool: Pose::IDENTITY,
                one_in: 1,
                reach: REACH_M,
                scale: 1.0,
                blend: 0.0,
            };
            for _ in 0..2 * delay_ms + 4 {
                bench.tick(Vector3::zeros(), Vector3::zeros());
            }
            bench
        }

        fn tick(&mut self, at: Vector3<f64>, turn: Vector3<f64>) -> LeaderOutput {
            self.now_ms += 1;
            let now = Instant::from_micros(self.now_ms * 1_000);
            let mut hand = HandSample {
                sampled_at: now,
                valid_for: Micros::from_millis(20),
                operator_present: true,
                ..HandSample::default()
            };
            for arm in ArmId::ALL {
                hand.hands.get_mut(arm).pose =
                    Pose::new(at, UnitQuaternion::from_scaled_axis(turn));
            }
            let late = self.down.len() > self.one_way;
            let heard = if late { self.down.pop_front() } else { None };
            let heard = heard.filter(|_| self.now_ms.is_multiple_of(self.one_in));
            let out = self.leader.step(now, &hand, heard.as_ref());
            self.up.push_back(out.intent);
            let late = self.up.len() > self.one_way;
            let taken = if late { self.up.pop_front() } else { None };
            self.robot(taken);
            out
        }

        fn robot(&mut self, taken: Option<Intent>) {
            let mut report = StateReport::default();
            let state = &mut report.state;
            state.robot_time = Instant::from_micros(self.now_ms * 1_000);
            state.stage = Stage::Hold;
            if let Some(intent) = taken {
                state.stage = Stage::Follow;
                state.echo.hand_time = intent.hand_time;
                let goal = intent.arms.psm1.servo_cp;
                let (p, r) = (goal.position(), goal.rotation().scaled_axis());
                let reach = Vector3::new(self.reach, self.reach, 1.0);
                let boxed = p.inf(&reach).sup(&-reach);
                let capped = longhand_protocol::geometry::clamp_norm(r, REACH_RAD);
                let limited = (boxed - p).norm() + (capped - r).norm() > 0.0;
                let aim = Pose::new(boxed, UnitQuaternion::from_scaled_axis(capped));
                let (gap, turn) = apart(&aim, &self.tool);
                if gap.norm() + turn.norm() > 0.0 {
                    self.blend = (self.blend + 1.0 / BLEND).min(1.0);
                }
                let share = self.blend * self.blend * (3.0 - 2.0 * self.blend) * 1e-3;
                let pull = |gap: Vector3<f64>, most: f64| {
                    longhand_protocol::geometry::clamp_norm(gap * GAP_GAIN, most * self.scale)
                };
                let (step, spin) = (pull(gap, TIP_SPEED) * share, pull(turn, TIP_RATE) * share);
                self.tool = Pose::new(
                    self.tool.position() + step,
                    UnitQuaternion::from_scaled_axis(spin) * self.tool.rotation(),
                );
                for arm in ArmId::ALL {
                    state.arms.get_mut(arm).limited = limited;
                }
            }
            for arm in ArmId::ALL {
                state.arms.get_mut(arm).setpoint_cp = self.tool;
            }
            self.down.push_back(report);
        }
    }

    fn goal(out: &LeaderOutput) -> Vector3<f64> {
        out.intent.arms.psm1.servo_cp.position()
    }

    const SPEED: f64 = 50e-6; // metres a tick: 50 mm/s

    #[test]
    fn a_hand_that_turns_back_moves_the_tool_after_the_leash_at_any_delay() {
        for delay in [0, 2, 20, 50, 120, 250, 500] {
            let mut bench = Bench::new(delay);
            let mut hand = Vector3::zeros();
            let push = 1_500 + 2 * u32::try_from(delay).unwrap();
            for _ in 0..push {
                hand.x += SPEED;
                bench.tick(hand, Vector3::zeros());
            }
            assert!(bench.tool.position().x > REACH_M - 1e-4, "{delay} ms: at the wall");
            // Back by the leash and 2 mm; then wait until the robot has heard.
            let back = f64::from(100_u32) * SPEED;
            for _ in 0..100 {
                hand.x -= SPEED;
                bench.tick(hand, Vector3::zeros());
            }
            for _ in 0..delay + 300 {
                bench.tick(hand, Vector3::zeros());
            }
            let moved = REACH_M - bench.tool.position().x;
            let dead = back - moved;
            assert!((0.0..LEASH_M + 0.2e-3).contains(&dead), "{delay} ms: dead travel {dead}");
        }
    }

    #[test]
    fn a_hand_at_rest_at_the_wall_moves_nothing_however_late_the_word_comes() {
        for delay in [0, 20, 120, 500] {
            for other in [0.0, 0.4, 1.0] {
                let mut bench = Bench::new(delay);
                let mut hand = Vector3::zeros();
                // Straight at a wall, along it, into the corner.
                for _ in 0..600 {
                    hand += Vector3::new(SPEED, SPEED * other, 0.0);
                    bench.tick(hand, Vector3::zeros());
                }
                for _ in 0..delay / 2 + 150 {
                    bench.tick(hand, Vector3::zeros());
                }
                let stood = bench.tool;
                for _ in 0..1_500 {
                    bench.tick(hand, Vector3::zeros());
                    let (moved, _) = apart(&bench.tool, &stood);
                    assert!(moved.norm() < 50e-6, "{delay} ms, {other}: {moved}");
                }
            }
        }
    }

    /// Pushes a hand for `push` ticks along `way`, then rests it, and
    /// looks from that moment on. Returns the bench and the hand.
    fn push_and_rest(mut bench: Bench, way: Vector3<f64>, push: u32) -> (Bench, Vector3<f64>) {
        // Until the slowest is there: across the diagonal, and a loop.
        let seconds = 1.5 + 1.5 * bench.reach / TIP_SPEED / bench.scale;
        let wait = (0..60_000).take_while(|tick| f64::from(*tick) * 1e-3 < seconds);
        let mut hand = Vector3::zeros();
        for _ in 0..push {
            hand += way * SPEED;
            bench.tick(hand, Vector3::zeros());
        }
        let mut farthest = bench.tool.position();
        let said = (bench.one_way, bench.scale, bench.reach, way, push);
        for tick in wait {
            let goal = goal(&bench.tick(hand, Vector3::zeros()));
            let tool = bench.tool.position();
            for axis in 0..3 {
                let (past, is, to) = (farthest[axis], tool[axis], goal[axis]);
                assert!(is > past - 1e-6, "{said:?}, {tick}: went back from {past} to {is}");
                assert!(to > is - 1e-6, "{said:?}, {tick}: the goal {to} lies behind {is}");
            }
            farthest = farthest.sup(&tool);
        }
        // It comes to where the hand points, as far as it may go.
        let reach = Vector3::new(bench.reach, bench.reach, 1.0);
        let missed = (hand.inf(&reach) - bench.tool.position()).norm();
        assert!(missed < 50e-6, "{said:?}: it ends {missed} away");
        (bench, hand)
    }

    #[test]
    fn a_resting_hand_never_takes_a_tool_back_however_slow_the_tool_and_the_word() {
        for delay in [0, 20, 120, 300, 700] {
            for scale in [1.0, 0.25, 0.1, 0.02] {
                for (reach, push) in
                    [(5e-3, 110), (5e-3, 200), (5e-3, 900), (15e-3, 310), (15e-3, 900)]
                {
                    for other in [0.0, 0.4, 1.0] {
                        let mut bench = Bench::new(delay);
                        (bench.scale, bench.reach) = (scale, reach);
                        push_and_rest(bench, Vector3::new(1.0, other, 0.0), push);
                    }
                }
            }
        }
    }

    #[test]
    fn a_slow_tool_that_has_stopped_at_the_wall_leaves_no_more_dead_travel_than_the_leash() {
        for delay in [0, 120, 700] {
            for scale in [1.0, 0.25, 0.1, 0.02] {
                let mut bench = Bench::new(delay);
                bench.scale = scale;
                let (mut bench, mut hand) = push_and_rest(bench, Vector3::x(), 900);
                assert!(bench.tool.position().x > REACH_M - 1e-6, "{delay} ms: at the wall");
                for _ in 0..100 {
                    hand.x -= SPEED;
                    bench.tick(hand, Vector3::zeros());
                }
                for _ in 0..delay + 5_000 {
                    bench.tick(hand, Vector3::zeros());
                }
                let dead = 100.0 * SPEED - (REACH_M - bench.tool.position().x);
                assert!((0.0..LEASH_M + 0.2e-3).contains(&dead), "{delay} ms, {scale}: {dead}");
            }
        }
    }

    #[test]
    fn a_goal_never_runs_away_behind_a_wall() {
        for delay in [0, 120, 500] {
            let mut bench = Bench::new(delay);
            let mut hand = Vector3::zeros();
            let mut farthest = 0.0_f64;
            for _ in 0..30_000 {
                hand.x += SPEED;
                farthest = farthest.max(goal(&bench.tick(hand, Vector3::zeros())).x);
            }
            // What the hand did before the tool stood and the word of it came, and no more.
            let unheard = f64::from(u32::try_from(delay + 160).unwrap()) * SPEED;
            assert!(farthest < REACH_M + LEASH_M + unheard, "{delay} ms: {farthest}");
        }
    }

    #[test]
    fn along_the_wall_the_tool_follows_in_full() {
        for delay in [0, 120, 500] {
            let mut bench = Bench::new(delay);
            let mut hand = Vector3::zeros();
            for _ in 0..1_500 {
                hand.x += SPEED;
                bench.tick(hand, Vector3::zeros());
            }
            // On outward and to the side at once, without a wall to the side.
            for _ in 0..1_500 {
                hand += Vector3::new(SPEED, 0.0, SPEED);
                bench.tick(hand, Vector3::zeros());
            }
            for _ in 0..delay + 500 {
                bench.tick(hand, Vector3::zeros());
            }
            let at = bench.tool.position();
            assert!((at.z - 1_500.0 * SPEED).abs() < 1e-3, "{delay} ms: {at}");
            assert!((at.x - REACH_M).abs() < 1e-4, "{delay} ms: {at}");
        }
    }

    #[test]
    fn a_wrist_that_turns_back_turns_the_tool_after_the_leash() {
        for (delay, axis) in [(0, Vector3::x()), (120, Vector3::y()), (500, Vector3::z())] {
            let mut bench = Bench::new(delay);
            let mut turn = 0.0;
            for _ in 0..2_500 {
                turn += 1e-3;
                bench.tick(Vector3::zeros(), axis * turn);
            }
            for _ in 0..200 {
                turn -= 1e-3;
                bench.tick(Vector3::zeros(), axis * turn);
            }
            for _ in 0..delay + 300 {
                bench.tick(Vector3::zeros(), axis * turn);
            }
            let back = REACH_RAD - bench.tool.rotation().scaled_axis().dot(&axis);
            let dead = 0.2 - back;
            assert!((0.0..LEASH_RAD + 0.01).contains(&dead), "{delay} ms: dead turn {dead}");
        }
    }

    #[test]
    fn states_that_are_lost_change_no_end_where_no_wall_is() {
        let ends = [1, 7, 37, 300].map(|one_in| {
            let mut bench = Bench::new(120);
            bench.one_in = one_in;
            let mut out = bench.tick(Vector3::zeros(), Vector3::zeros());
            for tick in 0..800_u32 {
                let t = f64::from(tick) * 1e-3;
                let hand = Vector3::new(libm::sin(4.0 * t), libm::cos(3.0 * t) - 1.0, t) * 4e-3;
                out = bench.tick(hand, Vector3::new(0.05 * t, 0.0, 0.0));
            }
            out.intent.arms.psm1.servo_cp
        });
        for end in ends {
            assert!(end.mismatch(&ends[0]).within(Mismatch { distance_m: 1e-12, angle_rad: 1e-7 }));
        }
    }

    #[test]
    fn states_that_are_lost_at_the_wall_only_cost_time() {
        let ends = [1, 37, 150].map(|one_in| {
            let mut bench = Bench::new(120);
            bench.one_in = one_in;
            let mut hand = Vector3::zeros();
            for _ in 0..2_000 {
                hand.x += SPEED;
                bench.tick(hand, Vector3::zeros());
            }
            for _ in 0..1_000 {
                bench.tick(hand, Vector3::zeros());
            }
            for _ in 0..150 {
                hand.x -= SPEED;
                bench.tick(hand, Vector3::zeros());
            }
            for _ in 0..1_000 {
                bench.tick(hand, Vector3::zeros());
            }
            bench.tool.position().x
        });
        for end in ends {
            assert!((end - ends[0]).abs() < 0.2e-3, "{ends:?}");
        }
    }
}
