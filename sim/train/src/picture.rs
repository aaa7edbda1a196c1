//! What a page draws of an episode: the board, what lies on it, and how the task stands.
//!
//! Knows: the JSON, in millimetres, and which of an episode's things are in it. Does not know: the
//! instruments (a page draws them from the robot's state), cameras, or how old a picture is.
//!
//! Frame: the board's, as in the crate. The members are those that `console/src/page/web` reads.

use crate::episode::{Episode, Side};
use crate::score::{ByKind, Inserted};
use crate::task::Goal;
use longhand_protocol::geometry::ArmId;
use nalgebra::Vector3;
use serde::Serialize;

/// A picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// The task's name.
    pub task: String,
    /// What is to be done, in a line.
    pub title: String,
    /// What goes wrong costs seconds; the task's own rule and source, for people.
    pub source: String,
    /// Where each arm's remote centre hangs.
    pub rcm_mm: [[f64; 3]; 2],
    /// Half of the board's sides.
    pub half_mm: [f64; 2],
    /// Every peg.
    pub pegs: Vec<Peg>,
    /// Zero where there is no peg.
    pub peg_radius_mm: f64,
    /// See `peg_radius_mm`.
    pub peg_height_mm: f64,
    /// To the middle of a ring's tube; zero where there is no ring.
    pub ring_radius_mm: f64,
    /// See `ring_radius_mm`.
    pub tube_radius_mm: f64,
    /// Every ring.
    pub rings: Vec<Ring>,
    /// The planned way of a lead, from entry to target.
    pub path_mm: Option<[[f64; 3]; 2]>,
    /// The lead's end.
    pub lead_mm: Option<[f64; 3]>,
    /// How the task stands.
    pub score: Standing,
}

/// A peg.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peg {
    /// x, y.
    pub at_mm: [f64; 2],
    /// `from` where the rings lie first, `to` where they are brought.
    pub side: &'static str,
}

/// A ring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ring {
    /// Its middle.
    pub position_mm: [f64; 3],
    /// The unit quaternion w, x, y, z; a ring's axis is its z.
    pub orientation_wxyz: [f64; 4],
    /// Which arms hold it, CRTK's names.
    pub held: Vec<&'static str>,
    /// Moves that it has behind it.
    pub moves: u32,
    /// Out of the field: it cannot be had again.
    pub lost: bool,
}

/// How the task stands: of [`crate::score::Score`] what a trainee wants to see while at it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// There is nothing left to do.
    pub over: bool,
    /// It was done.
    pub completed: bool,
    /// Seconds since the robot first followed.
    pub time_s: f64,
    /// The cut-off: no points beyond it.
    pub limit_s: f64,
    /// What it would be worth if it were done now.
    pub points: f64,
    /// What the mistakes have cost, seconds.
    pub penalties_s: f64,
    /// Moves done.
    pub moves: u32,
    /// Of so many.
    pub moves_in_all: u32,
    /// How often each mistake.
    pub errors: ByKind,
    /// Times the clutch was pressed.
    pub clutches: u32,
    /// Times the link stopped the arms.
    pub safe_stops: u32,
    /// Each tip's path, left and right.
    pub path_mm: [f64; 2],
    /// The force on each instrument now, left and right, newtons.
    pub force_n: [f64; 2],
    /// A force beyond this is too much, newtons.
    pub force_limit_n: f64,
    /// Where a lead is, in a task that has one.
    pub inserted: Option<Inserted>,
}

fn mm(v: &Vector3<f64>) -> [f64; 3] {
    [v.x * 1e3, v.y * 1e3, v.z * 1e3]
}

impl Picture {
    /// What `episode` looks like now.
    pub fn of(episode: &Episode) -> Self {
        let task = episode.task();
        let (carry, path_mm) = match &task.goal {
            Goal::Carry(carry) => (Some(carry), None),
            Goal::Insert(insert) => (None, Some([mm(&insert.entry), mm(&insert.target)])),
        };
        let view = episode.view();
        let rings = view.rings.iter().zip(episode.poses()).map(|(ring, pose)| {
            let turn = pose.rotation;
            let held = ArmId::ALL.into_iter().filter(|arm| *ring.held.get(*arm));
            Ring {
                position_mm: mm(&pose.translation.vector),
                orientation_wxyz: [turn.w, turn.i, turn.j, turn.k],
                held: held.map(ArmId::name).collect(),
                moves: ring.moves,
                lost: ring.lost,
            }
        });
        let [one, two] = &task.rcm;
        let size = |of: fn(&crate::task::Carry) -> f64| carry.map_or(0.0, |carry| of(carry) * 1e3);
        Self {
            task: task.name.clone(),
            title: task.title.clone(),
            source: task.source.clone(),
            rcm_mm: [mm(one), mm(two)],
            half_mm: task.half.map(|half| half * 1e3),
            pegs: carry.map(pegs).unwrap_or_default(),
            peg_radius_mm: size(|carry| carry.peg_radius),
            peg_height_mm: size(|carry| carry.peg_height),
            ring_radius_mm: size(|carry| carry.ring_radius),
            tube_radius_mm: size(|carry| carry.tube_radius),
            rings: rings.collect(),
            path_mm,
            lead_mm: view.lead.as_ref().map(mm),
            score: standing(episode),
        }
    }
}

fn pegs(carry: &crate::task::Carry) -> Vec<Peg> {
    let named = |side, pegs: &[[f64; 2]]| {
        let side = match side {
            Side::From => "from",
            Side::To => "to",
        };
        let pegs = pegs.iter().map(|peg| Peg { at_mm: peg.map(|at| at * 1e3), side });
        pegs.collect::<Vec<_>>()
    };
    [named(Side::From, &carry.from), named(Side::To, &carry.to)].concat()
}

fn standing(episode: &Episode) -> Standing {
    let score = episode.score();
    let task = episode.task();
    // What is not done yet is worth what it would be if it were done at once.
    let worth = (task.time_s - score.time_s - score.penalties_s).max(0.0);
    Standing {
        over: episode.is_over(),
        completed: score.completed,
        time_s: score.time_s,
        limit_s: task.time_s,
        points: if episode.is_over() { score.points } else { worth },
        penalties_s: score.penalties_s,
        moves: score.moves,
        moves_in_all: score.moves_in_all,
        errors: score.errors,
        clutches: score.clutches,
        safe_stops: score.safe_stops,
        path_mm: [score.left.path_mm, score.right.path_mm],
        force_n: ArmId::ALL.map(|arm| episode.force_n(arm)),
        force_limit_n: task.force_n,
        inserted: score.inserted,
    }
}
