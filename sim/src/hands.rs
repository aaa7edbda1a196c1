//! Hands for the virtual world: careful, sweeping, reaching, and out to break things.
//!
//! Knows: how hands and feet move. Does not know: what the robot should make of it. The recorded
//! paths (`peg-transfer`, `tremor`) are the console's own.

use longhand_console::input::script::{Script, ScriptError, ScriptedHand};
use longhand_console::input::{Hand, Seen};
use longhand_leader::hand::{HandReading, HandSample, Nature, Orientation};
use longhand_protocol::geometry::{ArmId, PerArm, Pose};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Console, Instant, Micros};
use nalgebra::{UnitQuaternion, Vector3};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The hands by name, as `--hand` takes them.
pub const NAMES: [&str; 5] = ["tremor", "peg-transfer", "sweep", "adversary", "reach"];

/// The hand of this name; the seed is for the one that draws.
///
/// Errors: [`ScriptError`] where it is neither a name nor a script's file.
pub fn by_name(name: &str, seed: u64) -> Result<Box<dyn Hand>, ScriptError> {
    Ok(match name {
        "sweep" => Box::new(Sweep::default()),
        "adversary" => Box::new(Adversary::new(seed)),
        "reach" => Box::new(Reach::new(seed)),
        script => Box::new(ScriptedHand::new(Script::load(script)?)),
    })
}

/// A hand's name on a command line: one that there is, or a file.
///
/// Errors: the words for people.
pub fn written(name: &str) -> Result<String, String> {
    if NAMES.contains(&name) || std::path::Path::new(name).exists() {
        return Ok(name.to_owned());
    }
    Err(format!("no hand and no file is called `{name}`; the hands are {}", NAMES.join(", ")))
}

/// A foot that does what a careful surgeon's does: down while the robot may move, and after a latch
/// up, then down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Foot {
    down: bool,
    since: Instant<Console>,
}

/// How long a careful foot stays up, and then down, before it tries again. Chosen: people.
const FOOT_UP: Micros = Micros::from_millis(400);
const FOOT_DOWN: Micros = Micros::from_millis(1_500);

impl Foot {
    /// Whether the pedal is down, seeing this stage.
    pub(crate) fn step(&mut self, now: Instant<Console>, stage: Option<Stage>) -> bool {
        let since = now.since(self.since);
        let wanted = match stage {
            Some(Stage::Follow | Stage::Coast | Stage::Brake | Stage::Hold) => true,
            Some(Stage::Latched) if self.down => since < FOOT_DOWN,
            Some(Stage::Latched) => since >= FOOT_UP,
            None | Some(Stage::Bedside | Stage::SafeOff | Stage::Disabled) => false,
        };
        if wanted != self.down {
            *self = Self { down: wanted, since: now };
        }
        self.down
    }
}

/// Both hands left and right at 250 mm/s: the tips at 50 mm/s, at the default scale.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    began: Option<Instant<Console>>,
    foot: Foot,
    energy: bool,
}

impl Sweep {
    /// The same hands with both energy pedals pressed while the robot follows.
    pub fn with_energy() -> Self {
        Self { energy: true, ..Self::default() }
    }
}

impl Hand for Sweep {
    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample {
        let began = *self.began.get_or_insert(now);
        let phase = (now.since(began).as_secs_f64() / 2.0).fract();
        let x = 0.25 * if phase < 0.5 { 2.0 * phase } else { 2.0 - 2.0 * phase };
        let energy = self.energy && seen.stage == Some(Stage::Follow);
        let mut sample = HandSample {
            sampled_at: now,
            valid_for: Micros::from_millis(20),
            operator_present: self.foot.step(now, seen.stage),
            energy: PerArm { psm1: energy, psm2: energy },
            ..HandSample::default()
        };
        for arm in ArmId::ALL {
            let turn = UnitQuaternion::from_scaled_axis(Vector3::new(0.0, 0.0, x));
            sample.hands.get_mut(arm).pose = Pose::new(Vector3::new(x, 0.0, 0.0), turn);
        }
        sample
    }

    fn name(&self) -> &str {
        "sweep"
    }
}

/// One hand that reaches: where it left, where it goes.
#[derive(Clone, Copy, Debug, Default)]
struct Reaching {
    from: Vector3<f64>,
    to: Vector3<f64>,
    turned: Vector3<f64>,
    turn: Vector3<f64>,
    jaw: f64,
}

/// Tracked hands that reach for the walls of the work volume and beyond, turn their wrists as they
/// go, snap their jaws, and rest on the way: three seconds of reaching, one of resting. They
/// tremble, always: no living hand is still to the last bit. Seeded.
#[derive(Clone, Debug)]
pub struct Reach {
    rng: ChaCha8Rng,
    began: Option<Instant<Console>>,
    reached: u64,
    foot: Foot,
    hands: [Reaching; 2],
    energy: bool,
}

/// How long a reach takes with the rest after it, and how much of that it moves.
const REACH_EVERY: Micros = Micros::from_secs(4);
const REACH_MOVES: f64 = 3.0 / 4.0;
/// How far from where it began a hand reaches along each axis, metres. Chosen: at the default scale
/// 100 mm of tip, where every wall is within 80 mm of the middle.
const REACH_M: f64 = 0.5;
/// How far a wrist turns about each axis, radians. Chosen: well into what the tool's wrist can do.
const REACH_RAD: f64 = 0.7;
/// Metres of tremor at 10 Hz. Source: physiological tremor, tenths of a millimetre.
const REACH_TREMOR: f64 = 0.1e-3;

impl Reach {
    /// Hands of this seed, about to begin.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x0005_ea7c),
            began: None,
            reached: 0,
            foot: Foot::default(),
            hands: [Reaching { jaw: 0.3, ..Reaching::default() }; 2],
            energy: false,
        }
    }

    fn draw(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    fn vector(&mut self, size: f64) -> Vector3<f64> {
        Vector3::new(self.draw(), self.draw(), self.draw()) * size
    }

    /// The next place to go.
    fn choose(&mut self) {
        for index in 0..2 {
            let (to, turn) = (self.vector(REACH_M), self.vector(REACH_RAD));
            // Wide open or shut: the tool takes a while to follow.
            let jaw = if self.draw() > 0.0 { 1.2 } else { -0.3 };
            if let Some(hand) = self.hands.get_mut(index) {
                *hand = Reaching { from: hand.to, to, turned: hand.turn, turn, jaw };
            }
        }
        self.energy = self.draw() > 0.0;
    }
}

impl Hand for Reach {
    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample {
        let began = *self.began.get_or_insert(now);
        let since = now.since(began).as_secs_f64();
        let nth = since / REACH_EVERY.as_secs_f64();
        let u = (nth.fract() / REACH_MOVES).min(1.0);
        let number = now.since(began).as_micros() / REACH_EVERY.as_micros();
        if number != self.reached {
            self.reached = number;
            self.choose();
        }
        // Minimum jerk, as a person reaches.
        let s = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u);
        let shake = REACH_TREMOR * libm::sin(since * 10.0 * core::f64::consts::TAU);
        let mut sample = HandSample {
            sampled_at: now,
            valid_for: Micros::from_millis(20),
            nature: Nature::Tracked,
            operator_present: self.foot.step(now, seen.stage),
            energy: PerArm { psm1: self.energy, psm2: !self.energy },
            ..HandSample::default()
        };
        for (arm, hand) in ArmId::ALL.into_iter().zip(&self.hands) {
            let place = hand.from + (hand.to - hand.from) * s + Vector3::repeat(shake);
            let turn = hand.turned + (hand.turn - hand.turned) * s;
            let pose = Pose::new(place, UnitQuaternion::from_scaled_axis(turn));
            *sample.hands.get_mut(arm) = HandReading { pose, jaw: hand.jaw };
        }
        sample
    }

    fn name(&self) -> &str {
        "reach"
    }
}

/// One hand of the adversary.
#[derive(Clone, Copy, Debug, Default)]
struct Moving {
    /// Metres.
    place: Vector3<f64>,
    /// Metres a second.
    speed: Vector3<f64>,
    turned: UnitQuaternion<f64>,
    /// Radians a second.
    spin: Vector3<f64>,
}

/// Hands and feet that do whatever might do harm: jumps, reversals, spins, bounced pedals, energy
/// and clutch at the worst moment. Seeded.
#[derive(Clone, Debug)]
pub struct Adversary {
    rng: ChaCha8Rng,
    last: Option<Instant<Console>>,
    foot: Foot,
    hands: [Moving; 2],
    jaw: [f64; 2],
    clutch: bool,
    energy: [bool; 2],
    careless_until: Instant<Console>,
}

impl Adversary {
    /// An adversary of this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x00ad_7e25),
            last: None,
            foot: Foot::default(),
            hands: [Moving::default(); 2],
            jaw: [0.5; 2],
            clutch: false,
            energy: [false; 2],
            careless_until: Instant::ORIGIN,
        }
    }

    /// A number in -1 to 1.
    fn draw(&mut self) -> f64 {
        let word = self.rng.next_u32();
        f64::from(word) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    /// Happens `per_s` times a second, on the average.
    fn chance(&mut self, dt: f64, per_s: f64) -> bool {
        self.draw().abs() < dt * per_s
    }

    fn vector(&mut self, size: f64) -> Vector3<f64> {
        Vector3::new(self.draw(), self.draw(), self.draw()) * size
    }

    fn move_hand(&mut self, index: usize, dt: f64) {
        let Some(mut hand) = self.hands.get(index).copied() else { return };
        if self.chance(dt, 3.0) {
            // Anything from standing to a thrown hand, as often slow as fast.
            let size = libm::exp(self.draw() * 3.0 - 2.0);
            hand.speed = self.vector(size);
            hand.spin = self.vector(3.0 * size);
        }
        if self.chance(dt, 0.2) {
            hand.place += self.vector(0.05);
        }
        if self.chance(dt, 0.1) {
            hand.turned = UnitQuaternion::from_scaled_axis(self.vector(0.3)) * hand.turned;
        }
        // A hand has an arm's reach: it comes back.
        if hand.place.norm() > 0.4 {
            hand.speed = hand.place * (-0.5 / hand.place.norm());
        }
        hand.place += hand.speed * dt;
        hand.turned = UnitQuaternion::from_scaled_axis(hand.spin * dt) * hand.turned;
        if let Some(kept) = self.hands.get_mut(index) {
            *kept = hand;
        }
    }
}

impl Hand for Adversary {
    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample {
        let dt = self.last.map_or(0.0, |last| now.since(last).as_secs_f64()).min(0.1);
        self.last = Some(now);
        let foot = self.foot.step(now, seen.stage);
        if self.chance(dt, 0.1) {
            // A spell in which the foot does as it likes.
            self.careless_until = now.after(Micros::from_millis(800));
        }
        let careless = now < self.careless_until;
        let down = if careless && self.chance(dt, 40.0) { !self.foot.down } else { foot };
        self.foot.down = if careless { down } else { self.foot.down };
        if self.chance(dt, 0.2) {
            self.clutch = !self.clutch;
        }
        let mut sample = HandSample {
            sampled_at: now,
            valid_for: Micros::from_millis(20),
            operator_present: self.foot.down,
            clutch: self.clutch,
            orientation: Orientation::Relative,
            nature: Nature::Tracked,
            ..HandSample::default()
        };
        for (index, arm) in ArmId::ALL.into_iter().enumerate() {
            self.move_hand(index, dt);
            let jaw = self.draw() * 2.0;
            let (new_jaw, switch) = (self.chance(dt, 1.0), self.chance(dt, 0.5));
            if let (Some(now), true) = (self.jaw.get_mut(index), new_jaw) {
                *now = jaw;
            }
            if let (Some(on), true) = (self.energy.get_mut(index), switch) {
                *on = !*on;
            }
            let hand = sample.hands.get_mut(arm);
            if let Some(moving) = self.hands.get(index) {
                hand.pose = Pose::new(moving.place, moving.turned);
            }
            hand.jaw = self.jaw.get(index).copied().unwrap_or_default();
            *sample.energy.get_mut(arm) = self.energy.get(index).copied().unwrap_or_default();
        }
        sample
    }

    fn name(&self) -> &str {
        "adversary"
    }
}
