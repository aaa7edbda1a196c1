//! One episode: the world, what has been done in it, and what counts as done, dropped or misplaced.
//!
//! Knows: the goal's rule, when a ring has come to rest and where. Does not know: forces
//! (`contact`), points (`score`), or who moves the arms.
//!
//! Terms: a *move* is one ring brought from one side to the other. With `there_and_back` a ring has
//! two, and no second one counts before every ring has had its first.

mod insertion;

use crate::contact::{ContactWorld, Loose, Scene, Tool, ring};
use crate::dice::Dice;
use crate::score::{ArmTick, Done, Kind, Score, SubStep, Tally};
use crate::task::{Carry, Goal, Task};
use insertion::Insertion;
use longhand_protocol::geometry::{ArmId, PerArm, Pose, RobotBase, Tip};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Micros, TICK};
use nalgebra::{Isometry3, Vector3};

/// What the robot says of one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArmSaid {
    /// The measured tip.
    pub tip: Pose<RobotBase, Tip>,
    /// The measured jaw, radians.
    pub jaw: f64,
}

/// Everything that one millisecond brings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tick {
    /// Both arms.
    pub arms: PerArm<ArmSaid>,
    /// The robot's stage.
    pub stage: Stage,
    /// The clutch is pressed.
    pub clutch: bool,
}

/// Which pegs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the rings lie first.
    From,
    /// Where they are brought.
    To,
}

/// A ring as the picture shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RingView {
    /// Its middle, in the board's frame.
    pub at: Vector3<f64>,
    /// Which hands hold it.
    pub held: PerArm<bool>,
    /// The peg it is about, if any: side, and which.
    pub peg: Option<(Side, usize)>,
    /// Moves that it has behind it.
    pub moves: u32,
    /// Out of the field.
    pub lost: bool,
}

/// What the picture shows.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Both tips, in the board's frame.
    pub tips: PerArm<Vector3<f64>>,
    /// Both jaws, radians.
    pub jaws: PerArm<f64>,
    /// The rings.
    pub rings: Vec<RingView>,
    /// The lead's end, where there is one.
    pub lead: Option<Vector3<f64>>,
    /// The robot follows.
    pub follows: bool,
    /// The task is done, or nothing is left to do.
    pub over: bool,
}

/// An episode.
pub struct Episode {
    task: Task,
    world: ContactWorld,
    tally: Tally,
    /// Empty where the goal is another.
    carry: Carry,
    rings: Vec<Ring>,
    insertion: Option<Insertion>,
    jaws: PerArm<JawWatch>,
    tips: PerArm<Tool>,
    stage: Stage,
    settling: u64,
    over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ring {
    moves: u32,
    /// The hand that took it up last, and whether it went on to the other in the air.
    first: Option<ArmId>,
    passed: bool,
    /// The hand that held it last, alone.
    last: Option<ArmId>,
    /// When both hands held it last, it was above the pegs.
    met_high: bool,
    /// It rests about a peg, and nobody has taken it up since.
    on_peg: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Rests,
    Held,
    /// Let go or knocked off its peg so many ticks ago, so many of them slow; in this sub-step, and
    /// by this hand where one let it go.
    Loose {
        ticks: u64,
        slow: u64,
        step: SubStep,
        by: Option<ArmId>,
    },
    Lost,
}

/// Whether a jaw closed on nothing.
#[derive(Clone, Copy, Debug, Default)]
struct JawWatch {
    closed: bool,
    /// Ticks since it closed with nothing between.
    empty: Option<u64>,
}

/// Ticks in which nothing is judged, while the rings settle. Chosen.
const SETTLING: u64 = 200;
/// A ring slower than this for so many ticks rests, metres a second. Chosen.
const RESTS: f64 = 5e-3;
const RESTS_FOR: u64 = 100;
/// Judged where it is, at the latest, after so many ticks. Chosen: a ring that rolls.
const JUDGED_AFTER: u64 = 1_500;
/// A jaw narrower than this is closed, and wider than this open again, radians. Chosen: a ring's
/// tube keeps both blades at about 0.8.
const CLOSED: f64 = 0.7;
const OPEN: f64 = 0.9;
/// So long a closed jaw may be without a hold, ticks. Chosen.
const EMPTY_AFTER: u64 = 100;
/// A closed jaw is a try only this near a ring, metres. Chosen: about a ring's width.
const NEAR_M: f64 = 20e-3;

impl Episode {
    /// The task from its beginning. The seed says where the rings lie.
    pub fn new(task: Task, seed: u64) -> Self {
        let (carry, insertion) = match &task.goal {
            Goal::Carry(carry) => (carry.clone(), None),
            Goal::Insert(insert) => (Carry::default(), Some(Insertion::new(insert))),
        };
        let mut dice = Dice::new(seed);
        let objects = carry.from.iter().map(|[x, y]| Loose {
            parts: ring(carry.ring_radius, carry.tube_radius),
            mass: carry.mass,
            at: Vector3::new(
                x + dice.draw() * carry.slack * 0.7,
                y + dice.draw() * carry.slack * 0.7,
                carry.tube_radius + 0.2e-3,
            ),
        });
        let scene = Scene {
            objects: objects.collect(),
            rcm: task.rcm,
            half: task.half,
            pegs: carry.from.iter().chain(&carry.to).copied().collect(),
            peg_radius: carry.peg_radius,
            peg_height: carry.peg_height,
        };
        let new = Ring {
            moves: 0,
            first: None,
            last: None,
            passed: false,
            met_high: false,
            on_peg: true,
            state: State::Rests,
        };
        let nowhere = Tool { tip: Isometry3::identity(), jaw: 0.0 };
        Self {
            rings: vec![new; carry.from.len()],
            insertion,
            world: ContactWorld::new(scene),
            tally: Tally::new(&task),
            jaws: PerArm::default(),
            tips: PerArm { psm1: nowhere, psm2: nowhere },
            stage: Stage::Disabled,
            settling: 0,
            over: false,
            carry,
            task,
        }
    }

    /// One millisecond. The clock of the task runs from the first one in which the robot follows.
    pub fn tick(&mut self, tick: &Tick) {
        let [one, two] = self.task.rcm;
        let placed = |arm: ArmId, rcm: Vector3<f64>| {
            let said = tick.arms.get(arm);
            let at = said.tip.position() + rcm;
            Tool { tip: Isometry3::from_parts(at.into(), said.tip.rotation()), jaw: said.jaw }
        };
        self.tips = PerArm { psm1: placed(ArmId::Psm1, one), psm2: placed(ArmId::Psm2, two) };
        self.stage = tick.stage;
        self.world.step(&self.tips);
        self.settling = self.settling.saturating_add(1);
        let begun = self.tally.ran_for().as_micros() > 0 || tick.stage == Stage::Follow;
        if self.settling <= SETTLING || !begun || self.over {
            return;
        }
        let step = self.step_now();
        let arms = PerArm::from_fn(|arm| {
            let (felt, tool) = (self.world.felt(arm), self.tips.get(arm));
            let tip = tool.tip.translation.vector;
            ArmTick { tip, force_n: self.force_n(arm), bumps: felt.bumps, slips: felt.slips }
        });
        self.tally.tick(&arms, tick.stage, tick.clutch, step);
        if let Some(insertion) = &mut self.insertion {
            let began = insertion.step(&self.tips.psm2.tip, TICK.as_secs_f64());
            let kinds =
                [(began.missed_entry, Kind::MissedEntry), (began.overshot, Kind::Overshoot)];
            for (_, kind) in kinds.into_iter().filter(|(began, _)| *began) {
                self.tally.add(kind, SubStep::Insert, Some(ArmId::Psm2), None);
            }
            self.over = insertion.is_placed();
            return;
        }
        for number in 0..self.rings.len() {
            self.judge(number, step);
        }
        for arm in ArmId::ALL {
            self.judge_jaw(arm, step);
        }
        let goal = self.moves_each();
        let done = |ring: &Ring| match ring.state {
            State::Lost => true,
            State::Rests => ring.moves >= goal,
            State::Held | State::Loose { .. } => false,
        };
        self.over = self.rings.iter().all(done);
    }

    /// Whether the task's clock runs: the robot has followed.
    pub fn has_begun(&self) -> bool {
        self.tally.ran_for() > Micros::ZERO
    }

    /// Whether there is nothing left to do.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// The task.
    pub const fn task(&self) -> &Task {
        &self.task
    }

    /// Over every object's pose and speed so far.
    pub const fn hash(&self) -> u64 {
        self.world.hash()
    }

    /// The score as it stands.
    pub fn score(&self) -> Score {
        if let Some(insertion) = &self.insertion {
            let (completed, moves) = (self.over, u32::from(self.over));
            let inserted = Some(insertion.inserted());
            return self
                .tally
                .score(&self.task, &Done { completed, moves, moves_in_all: 1, inserted });
        }
        let home = self.rings.iter().any(|ring| ring.state != State::Lost);
        let moves = self.rings.iter().map(|ring| ring.moves).sum();
        let rings = u32::try_from(self.rings.len()).unwrap_or(u32::MAX);
        let moves_in_all = rings.saturating_mul(self.moves_each());
        let completed = self.over && home;
        self.tally.score(&self.task, &Done { completed, moves, moves_in_all, inserted: None })
    }

    /// What the picture shows now.
    pub fn view(&self) -> View {
        let rings = self.rings.iter().enumerate().map(|(number, ring)| RingView {
            at: self.place(number),
            held: self.holders(number),
            peg: self.peg_of(number),
            moves: ring.moves,
            lost: ring.state == State::Lost,
        });
        View {
            rings: rings.collect(),
            lead: self.insertion.as_ref().and_then(Insertion::end),
            tips: PerArm::from_fn(|arm| self.tips.get(arm).tip.translation.vector),
            jaws: PerArm::from_fn(|arm| self.tips.get(arm).jaw),
            follows: self.stage == Stage::Follow,
            over: self.over,
        }
    }

    /// Where every ring is, in the board's frame.
    pub fn poses(&self) -> impl Iterator<Item = Isometry3<f64>> {
        self.world.objects().iter().map(|seen| seen.pose)
    }

    /// The force on one instrument, newtons, its lead's included.
    pub fn force_n(&self, arm: ArmId) -> f64 {
        let lead = self.insertion.as_ref().filter(|_| arm == ArmId::Psm2);
        self.world.felt(arm).force_n + lead.map_or(0.0, Insertion::force_n)
    }

    const fn carry(&self) -> &Carry {
        &self.carry
    }

    const fn moves_each(&self) -> u32 {
        if self.carry().there_and_back { 2 } else { 1 }
    }

    fn place(&self, number: usize) -> Vector3<f64> {
        let seen = self.world.objects().get(number);
        seen.map_or_else(Vector3::zeros, |seen| seen.pose.translation.vector)
    }

    fn holders(&self, number: usize) -> PerArm<bool> {
        PerArm::from_fn(|arm| self.world.felt(arm).holds == Some(number))
    }

    /// The peg that goes through a ring's hole.
    fn peg_of(&self, number: usize) -> Option<(Side, usize)> {
        let (carry, at) = (self.carry(), self.place(number));
        let about = |[x, y]: &[f64; 2]| {
            let hole = carry.ring_radius - carry.tube_radius;
            libm::hypot(at.x - x, at.y - y) < hole && at.z > 0.0 && at.z < carry.peg_height
        };
        let find = |side, pegs: &[[f64; 2]]| Some((side, pegs.iter().position(about)?));
        find(Side::From, &carry.from).or_else(|| find(Side::To, &carry.to))
    }

    /// Which part of a transfer is under way: the farthest of any ring.
    fn step_now(&self) -> SubStep {
        if self.insertion.as_ref().is_some_and(|lead| lead.inserted().depth_mm > 0.0) {
            return SubStep::Insert;
        }
        let step_of = |(number, ring): (usize, &Ring)| {
            let held = self.holders(number);
            match (held.psm1, held.psm2) {
                (false, false) => SubStep::Reach,
                (true, true) => SubStep::Pass,
                _ if ring.passed || (!self.carry().hand_to_hand && self.is_high(number)) => {
                    SubStep::Place
                }
                _ if self.peg_of(number).is_some() => SubStep::Lift,
                _ => SubStep::Carry,
            }
        };
        self.rings.iter().enumerate().map(step_of).max().unwrap_or(SubStep::Reach)
    }

    /// Above the pegs: in the air.
    fn is_high(&self, number: usize) -> bool {
        self.place(number).z > self.carry().peg_height
    }

    /// What has become of a ring in this tick, which belongs to sub-step `now`.
    fn judge(&mut self, number: usize, now: SubStep) {
        let Some(mut ring) = self.rings.get(number).copied() else { return };
        let held = self.holders(number);
        let holder = ArmId::ALL.into_iter().find(|arm| *held.get(*arm));
        let at = self.place(number);
        let [half_x, half_y] = self.task.half;
        let gone = at.x.abs() > half_x || at.y.abs() > half_y || at.z < 0.0;
        match (ring.state, holder) {
            (State::Lost, _) => {}
            (State::Rests, None) => self.watch_resting(number, &mut ring, gone, now),
            (State::Rests | State::Loose { .. }, Some(arm)) => {
                // What was passed and then dropped need not be passed again.
                ring.first = if ring.passed { ring.first } else { Some(arm) };
                ring.last = Some(arm);
                (ring.met_high, ring.on_peg) = (false, false);
                ring.state = State::Held;
            }
            (State::Held, Some(_)) if held.psm1 && held.psm2 => {
                ring.met_high = self.is_high(number)
            }
            (State::Held, Some(_)) => {
                ring.last = holder;
                // Taken over lower than that, it was only taken up by the other hand.
                let went_on = ring.first != holder && !ring.passed;
                ring.passed |= went_on && ring.met_high;
                ring.first = if went_on && !ring.passed { holder } else { ring.first };
            }
            (State::Held, None) => {
                let by = ring.last;
                let step = self.let_go_in(number, &ring);
                ring.state = State::Loose { ticks: 0, slow: 0, step, by };
            }
            (State::Loose { step: was, by, .. }, None) if gone => {
                self.lose(number, &mut ring, was, by);
            }
            (State::Loose { ticks, slow, step: was, by }, None) => {
                let seen = self.world.objects().get(number);
                let is_slow = seen.is_some_and(|seen| seen.speed < RESTS);
                let slow = if is_slow { slow.saturating_add(1) } else { 0 };
                let ticks = ticks.saturating_add(1);
                ring.state = State::Loose { ticks, slow, step: was, by };
                if slow >= RESTS_FOR || ticks >= JUDGED_AFTER {
                    self.come_to_rest(number, &mut ring, was, by);
                }
            }
        }
        if let Some(kept) = self.rings.get_mut(number) {
            *kept = ring;
        }
    }

    /// A ring that rests can still be pushed: off its peg, and off the board.
    fn watch_resting(&mut self, number: usize, ring: &mut Ring, gone: bool, now: SubStep) {
        if gone {
            self.lose(number, ring, now, None);
        } else if ring.on_peg && self.peg_of(number).is_none() {
            // Judged where it comes to rest, as if somebody had let it go.
            ring.state = State::Loose { ticks: 0, slow: 0, step: now, by: None };
        }
    }

    /// A ring cannot be had again.
    fn lose(&mut self, number: usize, ring: &mut Ring, step: SubStep, by: Option<ArmId>) {
        self.tally.add(Kind::DroppedOutOfField, step, by, Some(number));
        ring.moves = self.moves_left(ring);
        ring.state = State::Lost;
    }

    /// The moves of a ring that lies about no peg: the last one is taken back if it had been placed
    /// and was knocked off, or was taken up before its next move was due.
    fn moves_left(&self, ring: &Ring) -> u32 {
        let undone = ring.on_peg || ring.moves > self.phase();
        ring.moves.saturating_sub(u32::from(undone))
    }

    /// In which sub-step a ring was let go: it is no longer held.
    fn let_go_in(&self, number: usize, ring: &Ring) -> SubStep {
        let home = if ring.moves.is_multiple_of(2) { Side::From } else { Side::To };
        match self.peg_of(number) {
            _ if ring.passed => SubStep::Place,
            Some((side, _)) if side == home => SubStep::Lift,
            None if self.carry().hand_to_hand => SubStep::Carry,
            Some(_) | None => SubStep::Place,
        }
    }

    /// A ring that was let go or knocked off lies somewhere: where it belongs, or not.
    fn come_to_rest(&mut self, number: usize, ring: &mut Ring, step: SubStep, by: Option<ArmId>) {
        ring.state = State::Rests;
        let phase = self.phase();
        let Some((side, _)) = self.peg_of(number) else {
            let moves = self.moves_left(ring);
            // Brought over once, it need not be passed again.
            ring.passed |= moves < ring.moves;
            (ring.moves, ring.on_peg) = (moves, false);
            return self.tally.add(Kind::DroppedOnBoard, step, by, Some(number));
        };
        ring.on_peg = true;
        let home = |moves: u32| if moves.is_multiple_of(2) { Side::From } else { Side::To };
        let brought = side == home(ring.moves.saturating_add(1));
        if side == home(ring.moves) {
            // Put back where it belongs already.
        } else if brought && ring.moves == phase && ring.moves < self.moves_each() {
            ring.moves = ring.moves.saturating_add(1);
            if self.carry().hand_to_hand && !ring.passed {
                self.tally.add(Kind::NotPassed, step, by, Some(number));
            }
        } else {
            self.tally.add(Kind::WrongPeg, step, by, Some(number));
            ring.moves = ring.moves.saturating_sub(1);
        }
        (ring.first, ring.passed) = (None, false);
    }

    /// How many moves every ring has behind it that is not lost.
    fn phase(&self) -> u32 {
        let here = self.rings.iter().filter(|ring| ring.state != State::Lost);
        here.map(|ring| ring.moves).min().unwrap_or(0)
    }

    fn judge_jaw(&mut self, arm: ArmId, step: SubStep) {
        let (tool, holds) = (*self.tips.get(arm), self.world.felt(arm).holds.is_some());
        let tip = tool.tip.translation.vector;
        let near = self
            .world
            .objects()
            .iter()
            .any(|seen| (seen.pose.translation.vector - tip).norm() < NEAR_M);
        let watch = self.jaws.get_mut(arm);
        if tool.jaw > OPEN {
            *watch = JawWatch::default();
        } else if tool.jaw < CLOSED && !watch.closed {
            *watch = JawWatch { closed: true, empty: near.then_some(0) };
        }
        if holds {
            watch.empty = None;
        }
        let ticks = watch.empty.map(|ticks| ticks.saturating_add(1));
        watch.empty = ticks.filter(|ticks| *ticks < EMPTY_AFTER);
        if ticks.is_some() && watch.empty.is_none() {
            self.tally.add(Kind::EmptyGrasp, step, Some(arm), None);
        }
    }
}
