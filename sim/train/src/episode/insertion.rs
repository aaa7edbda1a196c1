//! An electrode's way along its planned trajectory: how far beside it, how askew, how deep.
//!
//! Knows: the line, the lead, the tissue's friction. Does not know: rings, points, arms.
//!
//! The lead is stiff and fixed in the jaw; it runs on along the tip's z. *Depth* is counted along
//! the planned line from the entry. Tissue here is a friction that grows with depth, and a hole in
//! bone whose edge pushes back: a model for practice, not a brain.

use crate::score::{Inserted, Spell};
use crate::task::Insert;
use nalgebra::{Isometry3, Vector3};

/// Slower than this the lead stands, metres a second, and so long it has to, ticks. Chosen: two
/// seconds in which somebody looks at the depth.
const STANDS: f64 = 0.5e-3;
const STANDS_FOR: u64 = 2_000;

/// What begins in a tick and counts as a mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Began {
    /// The lead went in beside the hole.
    pub missed_entry: bool,
    /// It went beyond the target.
    pub overshot: bool,
}

/// A lead on its way.
#[derive(Clone, Debug)]
pub struct Insertion {
    task: Insert,
    end: Option<Vector3<f64>>,
    inside: Spell,
    beyond: Spell,
    stood: u64,
    force_n: f64,
    now: Inserted,
}

impl Insertion {
    /// Nothing is in yet.
    pub fn new(task: &Insert) -> Self {
        Self {
            task: task.clone(),
            end: None,
            inside: Spell::default(),
            beyond: Spell::default(),
            stood: 0,
            force_n: 0.0,
            now: Inserted::default(),
        }
    }

    /// One tick, with the tip here.
    pub fn step(&mut self, tip: &Isometry3<f64>, dt: f64) -> Began {
        let task = &self.task;
        let way = task.target - task.entry;
        let planned = way.norm();
        let line = way / planned;
        let along = tip.rotation * Vector3::z();
        let end = tip.translation.vector + along * task.lead;
        let depth = (end - task.entry).dot(&line);
        let beside = (end - task.entry - line * depth).norm();
        let moved = self.end.map_or(f64::INFINITY, |before| (end - before).norm());
        self.end = Some(end);
        let mut began = Began::default();
        let now = &mut self.now;
        now.depth_mm = depth * 1e3;
        now.lateral_mm = beside * 1e3;
        now.depth_error_mm = (depth - planned) * 1e3;
        now.angle_deg = along.dot(&line).clamp(-1.0, 1.0);
        now.angle_deg = libm::acos(now.angle_deg).to_degrees();
        self.force_n = 0.0;
        // A hand that trembles at the bone or at the target crosses it once.
        let enters = self.inside.begins(depth > 0.0);
        if depth > 0.0 {
            began.missed_entry = enters && beside > task.hole_radius;
            now.lateral_max_mm = now.lateral_max_mm.max(beside * 1e3);
            now.overshoot_mm = now.overshoot_mm.max((depth - planned) * 1e3);
            // Where the lead crosses the bone: its edge pushes back.
            let share = depth / along.dot(&line).max(0.1);
            let crossing = end - along * share - task.entry;
            let against = (crossing.norm() - task.hole_radius).max(0.0);
            self.force_n = task.friction * depth + task.bone * against;
            now.force_max_n = now.force_max_n.max(self.force_n);
        }
        began.overshot = self.beyond.begins(depth > planned + task.depth_tolerance);
        let there = (depth - planned).abs() <= task.depth_tolerance
            && beside <= task.hole_radius
            && moved <= STANDS * dt;
        self.stood = if there { self.stood.saturating_add(1) } else { 0 };
        began
    }

    /// Newtons, along the lead and across it.
    pub const fn force_n(&self) -> f64 {
        self.force_n
    }

    /// Whether the lead has come to rest at its depth, no farther beside its line than the hole is
    /// wide.
    pub const fn is_placed(&self) -> bool {
        self.stood >= STANDS_FOR
    }

    /// Where the lead's end is.
    pub fn end(&self) -> Option<Vector3<f64>> {
        self.end
    }

    /// Where it is against where it should be.
    pub const fn inserted(&self) -> Inserted {
        self.now
    }
}
