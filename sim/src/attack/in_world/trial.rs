//! One trial: a world that follows, somebody who interferes, and what a witness saw.
//!
//! Knows: how a run is set up, watched and compared with the same run left alone. Does not know:
//! any attack, or what should come of one.
//!
//! Terms: what is *forged* is whatever an attacker said or changed; the witness tells its fate
//! apart from that of the true console's own words.

use crate::attack::Finding;
use crate::check::{Checker, dh};
use crate::measure::float;
use crate::scenario::{RunHash, Scenario, ScenarioError};
use crate::world::watch::{ConsoleTick, Judged, Meddler, RobotTick, Verdict, Watcher};
use crate::world::{World, WorldTick, profile_for};
use longhand_follower::profile::Profile;
use longhand_leader::DEFAULT_SCALE;
use longhand_leader::advisory::Advisory;
use longhand_leader::frames::{HAND_BASE, seen_from_arm};
use longhand_link::Direction;
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::{Reason, Stage};
use longhand_protocol::units::Micros;
use longhand_robot_agent::arm::ArmDrive;
use nalgebra::Vector3;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What an attacker and the trial both hold.
pub type Shared<T> = Rc<RefCell<T>>;

/// Links that stay up by themselves, so that what happens is the attack's doing.
pub const QUIET: [&str; 5] =
    ["ideal", "metro-fibre", "campus-5g-urllc", "city-5g-sa", "national-dedicated"];
/// Links of every kind, weather included.
pub const ANY: [&str; 9] = [
    "ideal",
    "metro-fibre",
    "city-5g-sa",
    "national-dedicated",
    "beijing-sanya-5g-public",
    "rome-beijing",
    "leo-starlink",
    "geo",
    "hospital-wifi",
];
/// Hands that move all the time, or as in an operation.
pub const HANDS: [&str; 3] = ["sweep", "peg-transfer", "tremor"];
/// A hand whose tips move at 50 mm/s, always.
pub const MOVING: [&str; 1] = ["sweep"];

/// Followed for so long, the robot is attacked. Chosen: past every blend.
const SETTLED_MS: u32 = 400;
/// Not following by then, it is not attacked at all. Chosen: three times what the slowest link
/// needs to engage.
const PATIENCE_MS: u64 = 20_000;

/// Everything random about an attack.
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// Dice of this seed, for this attack alone.
    pub fn new(seed: u64, salt: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed ^ salt.rotate_left(40) ^ 0x0a77_ac4b))
    }

    /// A number in 0 to 1, never 1.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    /// A number in `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A whole number below `many`; 0 where there is none.
    pub fn below(&mut self, many: u64) -> u64 {
        u64::from(self.0.next_u32()).checked_rem(many).unwrap_or(0)
    }

    /// A place in a list.
    pub fn index(&mut self, many: usize) -> usize {
        let many = u64::try_from(many).unwrap_or(0);
        usize::try_from(self.below(many)).unwrap_or(0)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// What is attacked.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed of the world and of the attacker.
    pub seed: u64,
    /// The link's profile.
    pub link: &'static str,
    /// Whose hand moves.
    pub hand: &'static str,
    /// One path or two.
    pub paths: usize,
}

impl Plan {
    /// Link and hand by the seed.
    pub fn drawn(seed: u64, links: &[&'static str], hands: &[&'static str]) -> Self {
        let mut dice = Dice::new(seed, 0x91a2);
        let link = links.get(dice.index(links.len())).copied().unwrap_or("ideal");
        let hand = hands.get(dice.index(hands.len())).copied().unwrap_or("sweep");
        Self { seed, link, hand, paths: 1 }
    }

    /// The robot's profile in such a world.
    pub fn profile(&self) -> Profile {
        profile_for(self.link).1
    }
}

/// One turn of the servo loop, as far as an oracle asks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// World time.
    pub at: Micros,
    /// The stage.
    pub stage: Stage,
    /// Why it does not follow.
    pub reason: Reason,
    /// The epoch granted last.
    pub epoch: u64,
    /// The command in use.
    pub number: u64,
    /// Its age.
    pub age: Micros,
    /// Age of view and command.
    pub loop_age: Micros,
    /// Where the drives were told to put both tips, base frame, metres.
    pub tips: [Vector3<f64>; 2],
    /// How far that is from what the follower decided, the worse tip; metres.
    pub stray_m: f64,
    /// Energy is on at either arm.
    pub energy: bool,
    /// A goal lies outside what may be reached.
    pub limited: bool,
}

impl Moment {
    /// The larger of both tips' distances, metres.
    pub fn apart(&self, other: &Self) -> f64 {
        let pairs = self.tips.iter().zip(&other.tips);
        pairs.map(|(a, b)| (a - b).norm()).fold(0.0, f64::max)
    }
}

/// Sees everything, changes nothing.
#[derive(Default)]
pub struct Witness {
    /// The next datagram that is judged is an attacker's.
    pub forging: bool,
    moments: Vec<Moment>,
    forged: BTreeMap<&'static str, u64>,
    genuine_refused: BTreeMap<&'static str, u64>,
    advisories: Vec<Advisory>,
    sizes: Vec<(Micros, usize)>,
}

/// Under this name the witness counts what was believed.
pub const ACCEPTED: &str = "accepted";

impl Watcher for Witness {
    fn robot_tick(&mut self, tick: &RobotTick<'_>) {
        let state = &tick.output.state;
        let last = self.moments.last().map_or([Vector3::zeros(); 2], |moment| moment.tips);
        let (mut tips, mut stray_m, mut energy) = (last, 0.0_f64, false);
        for (tip, arm) in tips.iter_mut().zip(ArmId::ALL) {
            if let ArmDrive::Servo { joints, energy: on, .. } = tick.told.get(arm) {
                *tip = dh::tip(&joints.0).position;
                energy |= *on;
                let decided = state.arms.get(arm).setpoint_cp.position();
                stray_m = stray_m.max((*tip - decided).norm());
            }
        }
        self.moments.push(Moment {
            at: tick.at,
            stage: state.stage,
            reason: state.reason,
            epoch: tick.key.epoch.get(),
            number: state.echo.number.get(),
            age: state.age,
            loop_age: state.loop_age,
            tips,
            stray_m,
            energy,
            limited: state.arms.iter().any(|arm| arm.limited),
        });
    }

    fn console_tick(&mut self, tick: &ConsoleTick<'_>) {
        if !self.advisories.contains(&tick.output.advisory) {
            self.advisories.push(tick.output.advisory);
        }
        self.sizes.extend(tick.command.map(|bytes| (tick.at, bytes.len())));
    }

    fn judged(&mut self, judged: &Judged<'_>) {
        let forged = std::mem::take(&mut self.forging);
        let name = match judged.verdict {
            Verdict::Command(Ok(_)) | Verdict::State(Ok(_)) => ACCEPTED,
            Verdict::Command(Err(reject)) | Verdict::State(Err(reject)) => reject.name(),
        };
        let book = match (forged, name) {
            (true, _) => &mut self.forged,
            (false, ACCEPTED) => return,
            (false, _) => &mut self.genuine_refused,
        };
        let count = book.entry(name).or_default();
        *count = count.saturating_add(1);
    }
}

/// An attacker says something to the robot, as if it had come out of the link.
pub fn say(witness: &Shared<Witness>, world: &mut World, bytes: Vec<u8>) {
    witness.borrow_mut().forging = true;
    world.inject(Direction::Up, crate::world::carrier::Road::Datagram, bytes);
    // Where nobody judged it, nothing of it is left.
    witness.borrow_mut().forging = false;
}

/// How far the worse tip is from where hand and anchors say, metres.
pub fn off_goal(tick: &WorldTick) -> f64 {
    let one = |arm| {
        let hand = seen_from_arm(HAND_BASE, tick.hand.hands.get(arm));
        let goal = tick.leader.anchors.get(arm).goal(&hand.pose, DEFAULT_SCALE);
        (goal.position() - tick.state.arms.get(arm).measured_cp.position()).norm()
    };
    ArmId::ALL.into_iter().map(one).fold(0.0, f64::max)
}

/// A world under attack.
pub struct Trial {
    world: World,
    checker: Shared<Checker>,
    hash: Shared<RunHash>,
    witness: Shared<Witness>,
    from: Option<usize>,
}

impl Trial {
    /// A world that has followed the hand for a while.
    ///
    /// Errors: [`ScenarioError`].
    pub fn begin(plan: &Plan) -> Result<Self, ScenarioError> {
        let scenario =
            Scenario { paths: plan.paths, ..Scenario::quiet(plan.seed, plan.link, plan.hand, 0) };
        let mut trial = Self::over(scenario.world()?, plan.profile());
        let mut followed = 0_u32;
        while trial.world.now() < Micros::from_millis(PATIENCE_MS) && followed < SETTLED_MS {
            let tick = trial.world.tick();
            let follows = tick.state.stage == Stage::Follow;
            followed = if follows { followed.saturating_add(1) } else { 0 };
        }
        let settled = followed >= SETTLED_MS;
        trial.from = settled.then(|| trial.witness.borrow().moments.len());
        Ok(trial)
    }

    fn over(mut world: World, profile: Profile) -> Self {
        let checker = Rc::new(RefCell::new(Checker::new(profile).with_insiders()));
        let hash = Rc::new(RefCell::new(RunHash::default()));
        let witness = Rc::new(RefCell::new(Witness::default()));
        // Most attackers change what the console said in the console's place.
        world.console().ignore_altered(true);
        world.watch(Box::new(Rc::clone(&checker)));
        world.watch(Box::new(Rc::clone(&hash)));
        world.watch(Box::new(Rc::clone(&witness)));
        Self { world, checker, hash, witness, from: None }
    }

    /// The world, to lay hands on it.
    pub const fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// World time.
    pub const fn now(&self) -> Micros {
        self.world.now()
    }

    /// Who sees what becomes of forged words.
    pub fn witness(&self) -> Shared<Witness> {
        Rc::clone(&self.witness)
    }

    /// Lets somebody interfere from now on.
    pub fn meddle(&mut self, meddler: impl Meddler + 'static) {
        self.world.meddle(Box::new(meddler));
    }

    /// Goes on for so many milliseconds, or to the first violation.
    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.world.tick();
            if self.checker.borrow().violation().is_some() {
                return;
            }
        }
    }

    /// Goes on until the robot follows again, for at most so many milliseconds.
    pub fn run_until_follows(&mut self, ms: u64) -> bool {
        (0..ms).any(|_| self.world.tick().state.stage == Stage::Follow)
    }

    /// The hand rests, the robot follows, a while goes by: how far is the worse tip from where hand
    /// and anchors say, metres? `None` where it does not follow.
    pub fn off_goal_at_rest(&mut self) -> Option<f64> {
        self.world.hand().rest();
        if !self.run_until_follows(5_000) {
            return None;
        }
        self.run(1_500);
        let tick = self.world.tick();
        (tick.state.stage == Stage::Follow).then(|| off_goal(&tick))
    }

    /// What came of it.
    pub fn end(self) -> Record {
        let witness = std::mem::take(&mut *self.witness.borrow_mut());
        let from = self.from.unwrap_or(witness.moments.len());
        let violation = self.checker.borrow().violation().map(ToString::to_string);
        Record {
            hash: self.hash.borrow().hex(),
            violation,
            settled: self.from.is_some(),
            moments: witness.moments.get(from..).unwrap_or_default().to_vec(),
            forged: witness.forged,
            genuine_refused: witness.genuine_refused,
            advisories: witness.advisories,
            sizes: witness.sizes,
        }
    }
}

/// What came of a trial; the moments are those since the attack began.
pub struct Record {
    /// Over every tick's command, stage and joints.
    pub hash: String,
    violation: Option<String>,
    settled: bool,
    /// Every turn since the attack began.
    pub moments: Vec<Moment>,
    /// What became of forged words, by name.
    pub forged: BTreeMap<&'static str, u64>,
    /// What of the true console's own words was refused, by reason.
    pub genuine_refused: BTreeMap<&'static str, u64>,
    /// What the surgeon was told.
    pub advisories: Vec<Advisory>,
    /// When commands set out, and how long they were.
    pub sizes: Vec<(Micros, usize)>,
}

impl Record {
    /// A finding that starts from the invariants, and from there having been something to attack.
    pub fn finding(&self) -> Finding {
        let mut finding = Finding::default();
        finding.must(self.settled, || "the robot never followed: nothing was attacked".to_owned());
        if let Some(words) = &self.violation {
            finding.must(false, || words.clone());
        }
        finding
    }

    /// Forged words with this fate.
    pub fn forged(&self, fate: &str) -> u64 {
        self.forged.get(fate).copied().unwrap_or(0)
    }

    /// All forged words that were judged.
    pub fn forged_total(&self) -> u64 {
        self.forged.values().sum()
    }

    /// The worst stage since the attack began.
    pub fn worst(&self) -> Stage {
        self.moments.iter().map(|moment| moment.stage).max().unwrap_or(Stage::Follow)
    }

    /// The first moment of this stage or a worse one.
    pub fn first(&self, stage: Stage) -> Option<&Moment> {
        self.moments.iter().find(|moment| moment.stage >= stage)
    }

    /// How often one stage became another.
    pub fn steps(&self, is: impl Fn(Stage, Stage) -> bool) -> u64 {
        let pairs = self.moments.iter().zip(self.moments.iter().skip(1));
        let steps = pairs.filter(|(a, b)| a.stage != b.stage && is(a.stage, b.stage));
        u64::try_from(steps.count()).unwrap_or(u64::MAX)
    }

    /// The farthest that a tip was told to go from where the attack found it, metres.
    pub fn displaced(&self) -> f64 {
        let Some(first) = self.moments.first() else { return 0.0 };
        self.moments.iter().map(|moment| moment.apart(first)).fold(0.0, f64::max)
    }

    /// The fastest that a tip was told to go, m/s.
    pub fn fastest(&self) -> f64 {
        let pairs = self.moments.iter().zip(self.moments.iter().skip(1));
        pairs.map(|(a, b)| a.apart(b) / 1e-3).fold(0.0, f64::max)
    }

    /// Every forged word was refused, and there was one; gives how many.
    pub fn all_refused(&self, finding: &mut Finding) {
        let (said, believed) = (self.forged_total(), self.forged(ACCEPTED));
        finding.must(said > 0, || "nothing forged was judged".to_owned());
        finding.must(believed == 0, || format!("{believed} of {said} forged words were believed"));
        finding.figure("forged", float(said));
        for (name, count) in &self.forged {
            finding.figure(name, float(*count));
        }
    }

    /// Every forged word was refused, and nothing came of them.
    pub fn in_vain(&self, alone: &Self) -> Finding {
        let mut finding = self.finding();
        self.all_refused(&mut finding);
        self.same_as(alone, &mut finding);
        finding
    }

    /// No worse than this.
    pub fn at_most(&self, stage: Stage, finding: &mut Finding) {
        let worst = self.worst();
        finding.must(worst <= stage, || {
            format!("it came to {}, at most {} was due", worst.name(), stage.name())
        });
    }

    /// The tool must be where the surgeon leads it, as [`Trial::off_goal_at_rest`] found it.
    /// Chosen: 0.1 mm, which is what the links' own test asks for.
    pub fn at_goal(off: Option<f64>, finding: &mut Finding) {
        let Some(off) = off else { return };
        finding.must(off <= 1e-4, || format!("{:.3} mm beside where it is led", off * 1e3));
        finding.figure("tool_off_mm", off * 1e3);
    }

    /// I16: the same commands, stages and joints as in the run that was left alone.
    pub fn same_as(&self, alone: &Self, finding: &mut Finding) {
        let differs = self
            .moments
            .iter()
            .zip(&alone.moments)
            .find(|(a, b)| a.stage != b.stage || a.number != b.number || a.apart(b) > 0.0);
        let pairs = self.moments.iter().zip(&alone.moments);
        let apart = pairs.map(|(a, b)| a.apart(b)).fold(0.0, f64::max);
        finding.figure("tool_off_mm", apart * 1e3);
        finding.must(self.hash == alone.hash, || match differs {
            Some((a, b)) => format!(
                "I16: at {} it is in {} with command {}, left alone in {} with {}",
                a.at,
                a.stage.name(),
                a.number,
                b.stage.name(),
                b.number
            ),
            None => "I16: the run differs from the one left alone".to_owned(),
        });
    }
}
