//! Scores: what a hand did, what went wrong and in which sub-step, and the points for it.
//!
//! Knows: paths, pauses, pedals, mistakes, the FLS-style rule. Does not know: contact, or when a
//! ring counts as dropped (`episode`).
//!
//! Points are FLS-style: the cut-off less the time less the penalties, never below zero, and zero
//! for what was not finished by the cut-off. Not the FLS's own: its constants are not public.

use crate::task::Task;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Micros, TICK};
use nalgebra::Vector3;
use serde::Serialize;

/// What can go wrong. Source of the kinds: UVA's error labels and the dVSS's metrics, training.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Let go where nothing holds it: it lies on the board.
    DroppedOnBoard,
    /// Let go and gone: it cannot be had again.
    DroppedOutOfField,
    /// Left on a peg where it does not belong.
    WrongPeg,
    /// Brought over without going from hand to hand in the air.
    NotPassed,
    /// The jaw closed beside the object.
    EmptyGrasp,
    /// An instrument against the board, a peg or the other instrument.
    Collision,
    /// A force beyond the task's limit.
    ExcessiveForce,
    /// A tip out of where it belongs.
    OutOfWorkspace,
    /// A lead went in beside its hole.
    MissedEntry,
    /// A lead went beyond its target.
    Overshoot,
}

/// Which part of a transfer was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubStep {
    /// Nothing is held.
    Reach,
    /// Held, still about its peg.
    Lift,
    /// Held by the first hand, in the air.
    Carry,
    /// Held by both.
    Pass,
    /// Held by the hand that puts it down.
    Place,
    /// The lead is inside.
    Insert,
}

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mistake {
    /// Seconds since the task began.
    pub at_s: f64,
    /// What.
    pub kind: Kind,
    /// While doing what.
    pub step: SubStep,
    /// Whose hand, where it was one hand's.
    pub hand: Option<&'static str>,
    /// Which ring, counted from zero.
    pub object: Option<usize>,
}

/// What one hand did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HandScore {
    /// The tip's path: economy of motion.
    pub path_mm: f64,
    /// The largest force.
    pub force_max_n: f64,
    /// How long the force was beyond the limit.
    pub excessive_force_s: f64,
    /// How long the tip was out of where it belongs.
    pub out_of_workspace_s: f64,
    /// How often what it held slid through the blades.
    pub slips: u32,
}

/// How often each sub-step went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByStep {
    /// See [`SubStep`].
    pub reach: u32,
    /// See [`SubStep`].
    pub lift: u32,
    /// See [`SubStep`].
    pub carry: u32,
    /// See [`SubStep`].
    pub pass: u32,
    /// See [`SubStep`].
    pub place: u32,
    /// See [`SubStep`].
    pub insert: u32,
}

/// How often each kind of mistake was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByKind {
    /// See [`Kind`].
    pub dropped_on_board: u32,
    /// See [`Kind`].
    pub dropped_out_of_field: u32,
    /// See [`Kind`].
    pub wrong_peg: u32,
    /// See [`Kind`].
    pub not_passed: u32,
    /// See [`Kind`].
    pub empty_grasp: u32,
    /// See [`Kind`].
    pub collision: u32,
    /// See [`Kind`].
    pub excessive_force: u32,
    /// See [`Kind`].
    pub out_of_workspace: u32,
    /// See [`Kind`].
    pub missed_entry: u32,
    /// See [`Kind`].
    pub overshoot: u32,
}

/// A lead against its planned line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Inserted {
    /// Along the line, from the entry.
    pub depth_mm: f64,
    /// Before the target (negative) or beyond it.
    pub depth_error_mm: f64,
    /// The farthest beyond the target.
    pub overshoot_mm: f64,
    /// The lead's end beside the line, now, and at most while it was inside.
    pub lateral_mm: f64,
    /// See `lateral_mm`.
    pub lateral_max_mm: f64,
    /// The lead against the line.
    pub angle_deg: f64,
    /// The largest force on the lead.
    pub force_max_n: f64,
}

/// The score of an episode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Every move is done of every ring that is not lost, and one at least is not; or the lead
    /// stands at its target.
    pub completed: bool,
    /// Seconds from the first motion allowed until it was done, or until now.
    pub time_s: f64,
    /// FLS-style; see the module.
    pub points: f64,
    /// What the mistakes cost, seconds.
    pub penalties_s: f64,
    /// Moves done, and how many there are.
    pub moves: u32,
    /// All there are to do.
    pub moves_in_all: u32,
    /// Neither tip moved.
    pub idle_s: f64,
    /// The robot did not follow.
    pub held_s: f64,
    /// Times the link stopped the arms.
    pub safe_stops: u32,
    /// Times the clutch was pressed.
    pub clutches: u32,
    /// Left and right.
    pub left: HandScore,
    /// Left and right.
    pub right: HandScore,
    /// How often each mistake.
    pub errors: ByKind,
    /// And in which sub-step.
    pub errors_by_step: ByStep,
    /// One by one.
    pub mistakes: Vec<Mistake>,
    /// Where the lead is, in a task that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inserted: Option<Inserted>,
}

/// Slower than this a tip stands, metres a second. Chosen: below what a hand does on purpose.
const STANDS: f64 = 2e-3;
/// Two contacts with less than this between them are one, ticks. Chosen: a bounce, not a second
/// mistake.
const SAME_AGAIN: u64 = 100;

/// What one arm did in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmTick {
    /// The tip, in the board's frame, metres.
    pub tip: Vector3<f64>,
    /// Newtons.
    pub force_n: f64,
    /// Against board, peg or instrument.
    pub bumps: bool,
    /// What it holds slid.
    pub slips: bool,
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// All of it.
    pub completed: bool,
    /// Moves done.
    pub moves: u32,
    /// Moves there are.
    pub moves_in_all: u32,
    /// Where the lead is.
    pub inserted: Option<Inserted>,
}

/// Adds an episode up.
#[derive(Clone, Debug)]
pub struct Tally {
    force_n: f64,
    room: [Vector3<f64>; 2],
    ticks: u64,
    idle: u64,
    held: u64,
    safe_stops: u32,
    clutches: u32,
    stage: Stage,
    clutch: bool,
    hands: PerArm<HandTally>,
    mistakes: Vec<Mistake>,
}

#[derive(Clone, Copy, Debug, Default)]
struct HandTally {
    last: Option<Vector3<f64>>,
    path: f64,
    force_max: f64,
    forced: u64,
    out: u64,
    slips: u32,
    slipping: Spell,
    bump: Spell,
    force: Spell,
    outside: Spell,
}

/// A condition that comes and goes; short gaps do not end it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spell {
    on: bool,
    off_for: u64,
}

impl Spell {
    /// Whether a new one begins in this tick.
    pub const fn begins(&mut self, is: bool) -> bool {
        if is {
            self.off_for = 0;
            return !std::mem::replace(&mut self.on, true);
        }
        self.off_for = self.off_for.saturating_add(1);
        if self.off_for >= SAME_AGAIN {
            self.on = false;
        }
        false
    }
}

impl Tally {
    /// Nothing yet.
    pub fn new(task: &Task) -> Self {
        Self {
            force_n: task.force_n,
            room: task.room,
            ticks: 0,
            idle: 0,
            held: 0,
            safe_stops: 0,
            clutches: 0,
            stage: Stage::Follow,
            clutch: false,
            hands: PerArm::default(),
            mistakes: Vec::new(),
        }
    }

    /// One millisecond of the task, in this sub-step.
    pub fn tick(&mut self, arms: &PerArm<ArmTick>, stage: Stage, clutch: bool, step: SubStep) {
        self.ticks = self.ticks.saturating_add(1);
        let stops = stage >= Stage::Brake && self.stage < Stage::Brake;
        self.safe_stops = self.safe_stops.saturating_add(u32::from(stops));
        self.held = self.held.saturating_add(u64::from(stage >= Stage::Brake));
        self.clutches = self.clutches.saturating_add(u32::from(clutch && !self.clutch));
        (self.stage, self.clutch) = (stage, clutch);
        let mut moved = false;
        for arm in ArmId::ALL {
            let seen = arms.get(arm);
            moved |= self.hand(arm, seen) > STANDS * TICK.as_secs_f64();
            let [low, high] = self.room;
            let tip = seen.tip;
            let outside =
                tip.iter().zip(low.iter().zip(high.iter())).any(|(x, (a, b))| x < a || x > b);
            let hand = self.hands.get_mut(arm);
            let forced = seen.force_n > self.force_n;
            hand.forced = hand.forced.saturating_add(u64::from(forced));
            hand.out = hand.out.saturating_add(u64::from(outside));
            let slips = hand.slipping.begins(seen.slips);
            hand.slips = hand.slips.saturating_add(u32::from(slips));
            let begun = [
                (hand.bump.begins(seen.bumps), Kind::Collision),
                (hand.force.begins(forced), Kind::ExcessiveForce),
                (hand.outside.begins(outside), Kind::OutOfWorkspace),
            ];
            for (_, kind) in begun.into_iter().filter(|(begun, _)| *begun) {
                self.add(kind, step, Some(arm), None);
            }
        }
        self.idle = self.idle.saturating_add(u64::from(!moved));
    }

    /// A hand's way in this tick, metres.
    fn hand(&mut self, arm: ArmId, seen: &ArmTick) -> f64 {
        let hand = self.hands.get_mut(arm);
        let way = hand.last.map_or(0.0, |last| (seen.tip - last).norm());
        hand.last = Some(seen.tip);
        hand.path += way;
        hand.force_max = hand.force_max.max(seen.force_n);
        way
    }

    /// A mistake, now.
    pub fn add(&mut self, kind: Kind, step: SubStep, arm: Option<ArmId>, object: Option<usize>) {
        let hand = arm.map(|arm| match arm {
            ArmId::Psm1 => "left",
            ArmId::Psm2 => "right",
        });
        self.mistakes.push(Mistake {
            at_s: self.ran_for().as_secs_f64(),
            kind,
            step,
            hand,
            object,
        });
    }

    /// Since the first tick.
    pub const fn ran_for(&self) -> Micros {
        TICK.saturating_mul(self.ticks)
    }

    /// The score as it stands.
    pub fn score(&self, task: &Task, done: &Done) -> Score {
        let seconds = |ticks: u64| TICK.saturating_mul(ticks).as_secs_f64();
        let hand = |arm| {
            let hand = self.hands.get(arm);
            HandScore {
                path_mm: hand.path * 1e3,
                force_max_n: hand.force_max,
                excessive_force_s: seconds(hand.forced),
                out_of_workspace_s: seconds(hand.out),
                slips: hand.slips,
            }
        };
        let errors = self.by_kind();
        let cost = &task.penalties;
        let penalties_s = f64::from(errors.dropped_on_board) * cost.drop_s
            + f64::from(errors.dropped_out_of_field) * cost.out_of_field_s
            + f64::from(errors.wrong_peg) * cost.wrong_peg_s
            + f64::from(errors.not_passed) * cost.not_passed_s
            + f64::from(errors.excessive_force) * cost.force_s
            + f64::from(errors.missed_entry) * cost.missed_entry_s
            + f64::from(errors.overshoot) * cost.overshoot_s
            + done.inserted.map_or(0.0, |lead| {
                lead.lateral_mm * cost.lateral_s_per_mm + lead.angle_deg * cost.angle_s_per_deg
            });
        let Done { completed, moves, moves_in_all, inserted } = *done;
        let time_s = seconds(self.ticks);
        let left = (task.time_s - time_s - penalties_s).max(0.0);
        Score {
            completed,
            time_s,
            points: if completed && time_s <= task.time_s { left } else { 0.0 },
            penalties_s,
            moves,
            moves_in_all,
            idle_s: seconds(self.idle),
            held_s: seconds(self.held),
            safe_stops: self.safe_stops,
            clutches: self.clutches,
            left: hand(ArmId::Psm1),
            right: hand(ArmId::Psm2),
            errors,
            errors_by_step: self.by_step(),
            mistakes: self.mistakes.clone(),
            inserted,
        }
    }

    fn by_kind(&self) -> ByKind {
        let of = |kind| count(self.mistakes.iter().filter(|m| m.kind == kind));
        ByKind {
            dropped_on_board: of(Kind::DroppedOnBoard),
            dropped_out_of_field: of(Kind::DroppedOutOfField),
            wrong_peg: of(Kind::WrongPeg),
            not_passed: of(Kind::NotPassed),
            empty_grasp: of(Kind::EmptyGrasp),
            collision: of(Kind::Collision),
            excessive_force: of(Kind::ExcessiveForce),
            out_of_workspace: of(Kind::OutOfWorkspace),
            missed_entry: of(Kind::MissedEntry),
            overshoot: of(Kind::Overshoot),
        }
    }

    fn by_step(&self) -> ByStep {
        let of = |step| count(self.mistakes.iter().filter(|m| m.step == step));
        ByStep {
            reach: of(SubStep::Reach),
            lift: of(SubStep::Lift),
            carry: of(SubStep::Carry),
            pass: of(SubStep::Pass),
            place: of(SubStep::Place),
            insert: of(SubStep::Insert),
        }
    }
}

fn count<'a>(mistakes: impl Iterator<Item = &'a Mistake>) -> u32 {
    u32::try_from(mistakes.count()).unwrap_or(u32::MAX)
}
