//! A virtual trainee: a scripted operator that does peg transfer by looking at the picture.
//!
//! A model, not a person. It knows the task and sees only what it is shown, as late as it comes:
//! the tips, the jaws, the rings. Its hands move as far as they believe that the tool has to go, in
//! the time of Fitts's law, and miss by a share of the way; then they wait until the picture stands
//! still, look again, and correct: the move-and-wait of everybody who works over a delay. How long
//! the picture takes it learns from the picture. It does not know the link, the robot or the time.
//!
//! Sources. Fitts, J. Exp. Psychol. 47 (1954): time grows with the logarithm of way over width.
//! Schmidt et al., Psychol. Rev. 86 (1979): the miss grows with the way. Ferrell, "Remote
//! manipulation with transmission delay", IEEE Trans. Hum. Factors Electron. 6 (1965):
//! move-and-wait. The figures below are chosen, and not fitted: a transfer over a good link takes
//! 18 s (README, `train --table`) where UVA's people took 22 s (requirements.md); how it grows with
//! delay is what the model says.

use crate::dice::Dice;
use crate::episode::{RingView, Side, View};
use crate::instrument::BLADE_M;
use crate::task::{Carry, Goal, Insert, Task};
use longhand_protocol::geometry::{ArmId, PerArm};
use nalgebra::Vector3;

/// Seconds from something seen to something done. Source: visual reaction, about 0.2 s.
const REACTION_S: f64 = 0.2;
/// Fitts: seconds, and seconds a bit. Chosen: one and a half times a bare hand's
/// tenth, as with instruments.
const FITTS_S: f64 = 0.1;
const FITTS_S_A_BIT: f64 = 0.15;
/// No tip is led faster, metres a second. Chosen: two thirds of what the leader lets a goal do.
const SPEED_MAX: f64 = 0.06;
/// A movement misses by this share of its way, and by this much however short it is, metres, along
/// each axis (one deviation). Source of the share: Schmidt et al., a few per cent. Chosen.
const MISS_SHARE: f64 = 0.04;
const MISS_M: f64 = 0.15e-3;
/// Fingers, radians a second. Chosen.
const JAW_RATE: f64 = 2.0;
/// Open and closed, radians: wide over a ring's tube, and firmly on it. Chosen.
const JAW_OPEN: f64 = 1.3;
const JAW_SHUT: f64 = 0.6;
/// A jaw that is this far from where the fingers have it was lost in a hold, radians.
const JAW_LOST: f64 = 0.15;
/// A tip that moved less than this in the picture stands, metres. Chosen: what an eye sees.
const STANDS_M: f64 = 0.2e-3;
/// Close enough on the way, before a grasp, at a grasp and over a peg, metres. Chosen.
const ROUGH: f64 = 3e-3;
const FINE: f64 = 1.2e-3;
const FINEST: f64 = 0.8e-3;
/// How high a tip goes over what it will grasp, and a ring over the pegs, metres. Chosen.
const OVER_M: f64 = 25e-3;
const CARRY_M: f64 = 22e-3;
/// How low a ring is put, metres above the board. Chosen.
const PUT_M: f64 = 5e-3;
/// The jaw's pivot above the ring's middle at a grasp, metres: the blades reach half a millimetre
/// below it.
const GRASP_M: f64 = BLADE_M - 0.5e-3;
/// After so many vain tries a ring is left where it is. Chosen.
const TRIES_MAX: u32 = 30;
/// So long a trainee waits for what should happen, seconds, beyond the delay that it has learnt.
const PATIENCE_S: f64 = 1.0;
/// The delay that it expects before it has seen one, seconds. Chosen.
const DELAY_AT_FIRST_S: f64 = 0.3;

/// What the hands do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hands {
    /// How far each hand has gone since the beginning, metres of the *tip*: whoever hands this on
    /// divides it by the scale.
    pub way: PerArm<Vector3<f64>>,
    /// How far each grip is open, radians.
    pub jaw: PerArm<f64>,
}

/// A trainee.
#[derive(Clone, Debug)]
pub struct Trainee {
    /// Empty where the goal is another.
    carry: Carry,
    insert: Option<Insert>,
    dice: Dice,
    hands: Hands,
    /// Where it believes the tips to be.
    belief: PerArm<Vector3<f64>>,
    /// Seconds in which the tool followed and the picture was there.
    clock: f64,
    eye: Eye,
    /// What is to be done, the next last.
    plan: Vec<Act>,
    doing: Doing,
    ring: Option<usize>,
    tries: Vec<u32>,
    begun: bool,
}

/// What it has seen move, and when.
#[derive(Clone, Debug)]
struct Eye {
    tips: PerArm<Vector3<f64>>,
    moved_at: PerArm<f64>,
    /// The delay learnt, and what it is being learnt from: whose movement, begun when, from where.
    delay: f64,
    watching: Option<(ArmId, f64, Vector3<f64>)>,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// Lead a tip there, this close.
    Go { arm: ArmId, to: To, within: f64 },
    /// Bring a grip there, and see it done: held or let go.
    Grip { arm: ArmId, jaw: f64, holds: bool },
}

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    /// This high above where the hand would grasp the ring.
    OverRing(f64),
    /// So that the ring comes to this place.
    Ring(Vector3<f64>),
    /// So that the ring comes this high, straight up.
    Lift(f64),
    /// So that the lead's end comes to this place.
    Lead(Vector3<f64>),
    /// By this much from where the tip is.
    By(Vector3<f64>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Nothing,
    /// A movement: how far, how long, since when; the act it serves.
    Moves {
        arm: ArmId,
        way: Vector3<f64>,
        takes: f64,
        since: f64,
        done: f64,
    },
    /// Waits for the picture to stand still, since then.
    Waits {
        arm: ArmId,
        since: f64,
    },
    /// The grip moves.
    Grips {
        arm: ArmId,
        jaw: f64,
    },
    /// Waits to see the ring held or let go, since then.
    Sees {
        arm: ArmId,
        holds: bool,
        since: f64,
    },
}

impl Trainee {
    /// A trainee who has been told the task. The seed says how the hands miss.
    pub fn new(task: &Task, seed: u64) -> Self {
        let (carry, insert) = match &task.goal {
            Goal::Carry(carry) => (carry.clone(), None),
            Goal::Insert(insert) => (Carry::default(), Some(insert.clone())),
        };
        let zero = PerArm { psm1: Vector3::zeros(), psm2: Vector3::zeros() };
        Self {
            tries: vec![0; carry.from.len()],
            carry,
            insert,
            dice: Dice::new(seed ^ 0x7261_696e_6565),
            hands: Hands::default(),
            belief: zero,
            clock: 0.0,
            eye: Eye {
                tips: zero,
                moved_at: PerArm::default(),
                delay: DELAY_AT_FIRST_S,
                watching: None,
            },
            plan: Vec::new(),
            doing: Doing::Nothing,
            ring: None,
            begun: false,
        }
    }

    /// The delay from hand to picture that it has learnt, seconds.
    pub const fn delay_s(&self) -> f64 {
        self.eye.delay
    }

    /// `dt` seconds later: whether the console says that the tool follows, and the newest picture.
    pub fn step(&mut self, dt: f64, follows: bool, picture: Option<&View>) -> Hands {
        let Some(view) = picture else { return self.hands };
        if !self.begun {
            self.begun = true;
            self.hands.jaw = view.jaws;
            self.believe(view);
            self.eye.tips = view.tips;
        }
        if !follows {
            // A hold is a clutch: the hands rest, and look anew when it is over.
            if let Doing::Moves { arm, .. } = self.doing {
                self.doing = Doing::Waits { arm, since: self.clock };
            }
            self.eye.watching = None;
            return self.hands;
        }
        self.clock += dt;
        self.look(view);
        if view.over {
            return self.hands;
        }
        match self.doing {
            Doing::Nothing => self.begin(view),
            Doing::Moves { arm, way, takes, since, done } => {
                let share = ((self.clock - since) / takes).min(1.0);
                // Minimum jerk, as a person reaches.
                let now = share * share * share * (10.0 - 15.0 * share + 6.0 * share * share);
                *self.hands.way.get_mut(arm) += way * (now - done);
                self.doing = Doing::Moves { arm, way, takes, since, done: now };
                if share >= 1.0 {
                    self.arrived(arm);
                }
            }
            Doing::Waits { arm, since } => self.wait(view, arm, since),
            Doing::Grips { arm, jaw } => self.grip(arm, jaw, dt),
            Doing::Sees { arm, holds, since } => self.see(view, arm, holds, since),
        }
        self.hands
    }

    /// Takes down what moves in the picture.
    fn look(&mut self, view: &View) {
        for arm in ArmId::ALL {
            let (seen, before) = (*view.tips.get(arm), *self.eye.tips.get(arm));
            if (seen - before).norm() > STANDS_M {
                *self.eye.tips.get_mut(arm) = seen;
                *self.eye.moved_at.get_mut(arm) = self.clock;
            }
        }
        if let Some((arm, since, from)) = self.eye.watching
            && (*view.tips.get(arm) - from).norm() > 2.0 * STANDS_M
        {
            self.eye.watching = None;
            self.eye.delay += 0.5 * (self.clock - since - self.eye.delay);
        }
    }

    fn believe(&mut self, view: &View) {
        self.belief = view.tips;
    }

    /// The next thing to do.
    fn begin(&mut self, view: &View) {
        if self.plan.is_empty() {
            self.plan_next(view);
        }
        match self.plan.last().copied() {
            None => {}
            Some(Act::Go { arm, to, within }) => self.go(view, arm, to, within),
            Some(Act::Grip { arm, jaw, .. }) => self.doing = Doing::Grips { arm, jaw },
        }
    }

    /// One movement toward where the act leads, from where it believes the tip to be.
    fn go(&mut self, view: &View, arm: ArmId, to: To, within: f64) {
        let Some(way) = self.way(view, arm, to) else { return self.give_up_try() };
        let far = way.norm();
        if far <= within {
            self.plan.pop();
            return;
        }
        let bits = libm::log2(1.0 + far / within);
        let takes = (FITTS_S + FITTS_S_A_BIT * bits).max(1.875 * far / SPEED_MAX);
        let miss = MISS_SHARE * far + MISS_M;
        let mut off = || self.dice.about_normal() * miss;
        let missed = Vector3::new(off(), off(), off());
        // What it believes it has done is what it meant.
        *self.belief.get_mut(arm) += way;
        if let To::By(_) = to {
            // Said once: the rest of the way is none.
            self.plan.pop();
            self.plan.push(Act::Go { arm, to: To::By(Vector3::zeros()), within });
        }
        self.eye.watching = Some((arm, self.clock, *view.tips.get(arm)));
        let (since, done) = (self.clock, 0.0);
        self.doing = Doing::Moves { arm, way: way + missed, takes, since, done };
    }

    /// How far the tip still has to go; `None` where the ring that it is about cannot be had.
    fn way(&self, view: &View, arm: ArmId, to: To) -> Option<Vector3<f64>> {
        let tip = *self.belief.get(arm);
        let ring = || view.rings.get(self.ring?).filter(|ring| !ring.lost);
        Some(match to {
            To::By(way) => way,
            To::OverRing(height) => {
                let beside = Vector3::x() * self.carry.ring_radius * side(arm);
                ring()?.at + beside + Vector3::z() * height - tip
            }
            // The ring moves with the tip, if the hand still holds it.
            To::Ring(place) => {
                let ring = ring().filter(|ring| *ring.held.get(arm))?;
                place - (ring.at - view.tips.get(arm)) - tip
            }
            To::Lead(place) => place - (view.lead? - view.tips.get(arm)) - tip,
            To::Lift(height) => {
                let ring = ring().filter(|ring| *ring.held.get(arm))?;
                let now = ring.at + tip - view.tips.get(arm);
                Vector3::z() * (height - now.z)
            }
        })
    }

    /// A movement is over. A rough one is believed; after a fine one the picture is waited for.
    fn arrived(&mut self, arm: ArmId) {
        let rough = match self.plan.last() {
            Some(Act::Go { within, .. }) => *within >= ROUGH,
            Some(Act::Grip { .. }) | None => true,
        };
        self.doing = if rough {
            self.plan.pop();
            Doing::Nothing
        } else {
            Doing::Waits { arm, since: self.clock }
        };
    }

    /// Until the picture has had time to show the movement, and stands still.
    fn wait(&mut self, view: &View, arm: ArmId, since: f64) {
        let still = self.clock - self.eye.moved_at.get(arm);
        if self.clock - since >= self.eye.delay && still >= REACTION_S {
            self.believe(view);
            self.doing = Doing::Nothing;
        }
    }

    fn grip(&mut self, arm: ArmId, jaw: f64, dt: f64) {
        let now = self.hands.jaw.get_mut(arm);
        let left = jaw - *now;
        if left.abs() > JAW_RATE * dt {
            *now += JAW_RATE * dt * left.signum();
            return;
        }
        *now = jaw;
        let holds = match self.plan.last() {
            Some(Act::Grip { holds, .. }) => *holds,
            Some(Act::Go { .. }) | None => false,
        };
        self.doing = Doing::Sees { arm, holds, since: self.clock };
    }

    /// Until the ring is seen held, or let go, as it should be.
    fn see(&mut self, view: &View, arm: ArmId, holds: bool, since: f64) {
        let ring = self.ring.and_then(|ring| view.rings.get(ring));
        let is = ring.is_some_and(|ring| *ring.held.get(arm));
        let waited = self.clock - since;
        let jaw = *view.jaws.get(arm);
        if is == holds && waited >= self.eye.delay + REACTION_S {
            self.plan.pop();
            self.believe(view);
            self.doing = Doing::Nothing;
        } else if waited >= self.eye.delay + PATIENCE_S {
            // The jaw was pinned in a hold: the fingers go to where the jaw is, and begin anew.
            if (jaw - self.hands.jaw.get(arm)).abs() > JAW_LOST {
                *self.hands.jaw.get_mut(arm) = jaw;
                self.doing = Doing::Nothing;
            } else {
                self.give_up_try();
            }
        }
    }

    /// Begins this ring anew.
    fn give_up_try(&mut self) {
        self.plan.clear();
        self.doing = Doing::Nothing;
        if let Some(tries) = self.ring.and_then(|ring| self.tries.get_mut(ring)) {
            *tries = tries.saturating_add(1);
        }
    }

    /// What to do with which ring next.
    fn plan_next(&mut self, view: &View) {
        self.believe(view);
        if let Some(insert) = &self.insert {
            self.plan = advance(insert, view.lead);
            return;
        }
        let here = || view.rings.iter().enumerate().filter(|(_, ring)| !ring.lost);
        let phase = here().map(|(_, ring)| ring.moves).min().unwrap_or(0);
        let patient = |number: &usize| self.tries.get(*number).is_some_and(|t| *t < TRIES_MAX);
        let next = here().find(|(number, ring)| ring.moves == phase && patient(number));
        let Some((number, ring)) = next else { return };
        self.ring = Some(number);
        let there = phase.is_multiple_of(2);
        let Some(peg) = self.free_peg(view, number, there) else { return };
        let (giver, taker) =
            if there { (ArmId::Psm1, ArmId::Psm2) } else { (ArmId::Psm2, ArmId::Psm1) };
        let far = ring.at.x * side(taker) > CARRY_M && ring.peg.is_none();
        let (by_giver, by_taker) = (*ring.held.get(giver), *ring.held.get(taker));
        let mut acts = Vec::new();
        if !self.carry.hand_to_hand {
            acts.extend(if by_giver { Vec::new() } else { pick(giver) });
            acts.extend(put(giver, peg));
        } else if by_taker && !by_giver {
            acts.extend(put(taker, peg));
        } else if far && !by_giver {
            // It lies on the other side already: the hand there takes it.
            acts.extend(pick(taker));
            acts.extend(put(taker, peg));
        } else {
            acts.extend(if by_giver { Vec::new() } else { pick(giver) });
            acts.extend(pass(giver, taker));
            acts.extend(put(taker, peg));
        }
        acts.reverse();
        self.plan = acts;
    }

    /// The peg for a ring: its own number's, or the first that is free.
    fn free_peg(&self, view: &View, number: usize, there: bool) -> Option<[f64; 2]> {
        let (side, pegs) =
            if there { (Side::To, &self.carry.to) } else { (Side::From, &self.carry.from) };
        let free = |peg: usize| {
            let about = |ring: &RingView| ring.peg == Some((side, peg));
            let mut others = view.rings.iter().enumerate().filter(|(other, _)| *other != number);
            !others.any(|(_, ring)| about(ring))
        };
        let own = Some(number).filter(|peg| free(*peg));
        let peg = own.or_else(|| (0..pegs.len()).find(|peg| free(*peg)))?;
        pegs.get(peg).copied()
    }
}

/// Which side of a ring a hand grasps.
const fn side(arm: ArmId) -> f64 {
    match arm {
        ArmId::Psm1 => -1.0,
        ArmId::Psm2 => 1.0,
    }
}

/// The way of a lead: over its entry, down to it, and in by small steps, each looked at.
fn advance(insert: &Insert, lead: Option<Vector3<f64>>) -> Vec<Act> {
    let arm = ArmId::Psm2;
    let way = insert.target - insert.entry;
    let (line, planned) = (way / way.norm(), way.norm());
    let depth = lead.map_or(-ABOVE_ENTRY_M, |end| (end - insert.entry).dot(&line));
    let at = |depth: f64| To::Lead(insert.entry + line * depth);
    let mut acts = Vec::new();
    if depth <= 0.0 {
        acts.push(Act::Go { arm, to: at(-ABOVE_ENTRY_M), within: FINEST });
        acts.push(Act::Go { arm, to: at(-JUST_ABOVE_M), within: LEAD_FINE });
    }
    let mut next = depth.max(0.0) + LEAD_STEP_M;
    while next < planned - LEAD_STEP_M / 2.0 {
        acts.push(Act::Go { arm, to: at(next), within: LEAD_FINE });
        next += LEAD_STEP_M;
    }
    acts.push(Act::Go { arm, to: at(planned - SHORT_M), within: LEAD_FINEST });
    acts.reverse();
    acts
}

/// Where a lead waits over its entry, and just above the bone, metres. Chosen.
const ABOVE_ENTRY_M: f64 = 6e-3;
const JUST_ABOVE_M: f64 = 1.5e-3;
/// A lead goes in by so much, then is looked at, metres. Chosen: a microdrive's pace by hand.
const LEAD_STEP_M: f64 = 3e-3;
/// How near is near enough for a lead, on its way and at its target, metres. Chosen.
const LEAD_FINE: f64 = 0.6e-3;
const LEAD_FINEST: f64 = 0.35e-3;
/// It aims so much short of the target: beyond is worse than before. Chosen.
const SHORT_M: f64 = 0.15e-3;

fn grasp(arm: ArmId) -> [Act; 4] {
    [
        Act::Grip { arm, jaw: JAW_OPEN, holds: false },
        Act::Go { arm, to: To::OverRing(OVER_M), within: FINE },
        Act::Go { arm, to: To::OverRing(GRASP_M), within: FINEST },
        Act::Grip { arm, jaw: JAW_SHUT, holds: true },
    ]
}

fn pick(arm: ArmId) -> Vec<Act> {
    let mut acts: Vec<Act> = grasp(arm).into();
    acts.push(Act::Go { arm, to: To::Lift(CARRY_M), within: ROUGH });
    acts
}

fn pass(giver: ArmId, taker: ArmId) -> Vec<Act> {
    let middle = To::Ring(Vector3::z() * CARRY_M);
    let mut acts = vec![Act::Go { arm: giver, to: middle, within: FINE }];
    acts.extend(grasp(taker));
    let away = Vector3::new(25e-3 * side(giver), 0.0, 10e-3);
    acts.extend([
        Act::Grip { arm: giver, jaw: JAW_OPEN, holds: false },
        Act::Go { arm: giver, to: To::By(Vector3::z() * 15e-3), within: ROUGH },
        Act::Go { arm: giver, to: To::By(away), within: ROUGH },
    ]);
    acts
}

fn put(arm: ArmId, [x, y]: [f64; 2]) -> Vec<Act> {
    vec![
        Act::Go { arm, to: To::Ring(Vector3::new(x, y, CARRY_M)), within: FINE },
        Act::Go { arm, to: To::Ring(Vector3::new(x, y, PUT_M)), within: FINE },
        Act::Grip { arm, jaw: JAW_OPEN, holds: false },
        Act::Go { arm, to: To::By(Vector3::z() * OVER_M), within: ROUGH },
    ]
}
