//! One run of the virtual world: what it is made of, and what came of it.
//!
//! Knows: links, hands, faults, the people at the bedside, the checker. Does not know: how many
//! runs there are (`campaign`). A scenario is data: printed, kept in a file, replayed, shrunk.

use crate::check::{Checker, Transitions, Violation};
use crate::fault::{CATALOGUE, FaultEvent, FaultPlayer, Lives, draw};
use crate::hands;
use crate::link_command::{self, LinkError};
use crate::world::carrier::{Carrier, Plain};
use crate::world::quic::Quic;
use crate::world::watch::{ConsoleTick, RobotTick, Watcher};
use crate::world::{World, WorldConfig, WorldTick, profile_for};
use clap::ValueEnum;
use longhand_console::input::script::ScriptError;
use longhand_follower::profile::Profile;
use longhand_follower::supervisor::Request;
use longhand_link::{Disturb, Emulator, LinkModel, PROFILES};
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::Stage;
use longhand_protocol::units::Micros;
use longhand_quic::virtual_time::PairError;
use longhand_robot_agent::arm::ArmDrive;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::Xxh3;

/// The word that a scenario's file begins with.
pub const SCHEMA: &str = "longhand scenario v1";

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// [`SCHEMA`].
    pub schema: String,
    /// The seed of everything random.
    pub seed: u64,
    /// The link's profile; also says which robot profile is in force.
    pub link: String,
    /// A recording in place of the profile's own weather.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// Whose hand moves.
    pub hand: String,
    /// Virtual seconds.
    pub seconds: u64,
    /// One path or two.
    pub paths: usize,
    /// What carries the bytes.
    #[serde(default)]
    pub transport: Transport,
    /// What goes wrong.
    pub faults: Vec<FaultEvent>,
    /// When somebody at the bedside presses the emergency stop, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_stop_ms: Option<u64>,
}

/// What carries the bytes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// The link itself: the bytes go as they are.
    #[default]
    Plain,
    /// Real QUIC, in virtual time.
    Quic,
}

/// A scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum ScenarioError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("{0} cannot be read: {1}; give a scenario file that `campaign` or `shrink` wrote")]
    File(PathBuf, std::io::Error),
    #[error("{0} is no scenario: {1}; give a file that `campaign` or `shrink` wrote")]
    Format(PathBuf, serde_json::Error),
    #[error("{0} begins with schema {1:?}; this program reads {SCHEMA:?}")]
    Schema(PathBuf, String),
    #[error("there is no fault {0:?}; the kinds are F01 to F40, `longhand-sim faults` lists them")]
    Fault(String),
    #[error("{0} ({1}) {2}")]
    Nowhere(&'static str, &'static str, String),
    #[error("{0} paths: a world has 1 or 2")]
    Paths(usize),
    #[error(transparent)]
    Quic(#[from] PairError),
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Over every tick's command, stage and joints: 128 bits, hexadecimal.
    pub hash: String,
    /// The first thing that must not have been, and the last ticks before it.
    pub violation: Option<(Violation, String)>,
    /// Which stage followed which.
    pub transitions: Transitions,
    /// Which engagement of the leader followed which.
    pub engagements: Engagements,
    /// How often each fault did something.
    pub fired: Vec<u64>,
    /// Virtual milliseconds.
    pub ticks: u64,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

/// The hash of a run: every tick's command, stage and joint output.
pub struct RunHash(Xxh3);

impl Default for RunHash {
    fn default() -> Self {
        Self(Xxh3::new())
    }
}

impl RunHash {
    /// The hash so far.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

impl Watcher for RunHash {
    fn robot_tick(&mut self, tick: &RobotTick<'_>) {
        let stage = Stage::ALL.iter().position(|s| *s == tick.output.state.stage);
        let stage = stage.and_then(|place| u8::try_from(place).ok());
        self.0.update(&[stage.unwrap_or(u8::MAX)]);
        for arm in ArmId::ALL {
            match tick.told.get(arm) {
                ArmDrive::Servo { joints, jaw, energy } => {
                    for value in joints.0.iter().chain([jaw]) {
                        self.0.update(&value.to_bits().to_le_bytes());
                    }
                    self.0.update(&[u8::from(*energy)]);
                }
                ArmDrive::Brake => self.0.update(&[2]),
                ArmDrive::Off => self.0.update(&[3]),
            }
        }
    }

    fn console_tick(&mut self, tick: &ConsoleTick<'_>) {
        self.0.update(tick.command.unwrap_or_default());
    }
}

/// Which engagement of the leader followed which, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engagements {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    last: Option<&'static str>,
}

impl Engagements {
    /// Every step that was taken.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        self.counts.iter().map(|((from, to), count)| (*from, *to, *count))
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (step, count) in &other.counts {
            let sum = self.counts.entry(*step).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
}

impl Watcher for Engagements {
    fn console_tick(&mut self, tick: &ConsoleTick<'_>) {
        let now = tick.output.engagement.name();
        let before = self.last.replace(now).unwrap_or(now);
        if before != now {
            let count = self.counts.entry((before, now)).or_default();
            *count = count.saturating_add(1);
        }
    }
}

/// The people at the bedside: they hand a robot back, and restart one that is off, after a while.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bedside {
    patience: u32,
    emergency_stop_ms: Option<u64>,
}

/// How long the emergency stop stays pressed, milliseconds. Chosen: longer than [`PATIENCE`], so
/// that a restart is asked for while it is still in.
const PRESSED: u64 = 900;

/// How long they look before they act, milliseconds. Chosen: short, so that a run goes on.
const PATIENCE: u32 = 600;

impl Bedside {
    pub(crate) fn step(&mut self, stage: Stage, world: &mut World) {
        if let Some(at) = self.emergency_stop_ms {
            let pressed_for = (world.now().as_micros() / 1_000).checked_sub(at);
            world.robot().press_emergency_stop(pressed_for.is_some_and(|ms| ms < PRESSED));
        }
        let waits = matches!(stage, Stage::Bedside | Stage::SafeOff | Stage::Disabled);
        self.patience = if waits { self.patience.saturating_add(1) } else { 0 };
        if self.patience < PATIENCE {
            return;
        }
        self.patience = 0;
        match stage {
            Stage::Bedside => world.robot().ask(Request::HandOver),
            Stage::SafeOff => world.robot().ask(Request::Restart),
            Stage::Disabled => world.robot().ask(Request::Enable),
            Stage::Follow | Stage::Coast | Stage::Brake | Stage::Hold | Stage::Latched => {}
        }
    }
}

/// Whoever wants to see every millisecond of a run.
pub type Look<'a> = &'a mut dyn FnMut(&WorldTick);

impl Scenario {
    /// A quiet run: no faults but the link's own.
    pub fn quiet(seed: u64, link: &str, hand: &str, seconds: u64) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            seed,
            link: link.to_owned(),
            trace: None,
            hand: hand.to_owned(),
            seconds,
            paths: 1,
            transport: Transport::Plain,
            faults: Vec::new(),
            emergency_stop_ms: None,
        }
    }

    /// The run that a campaign draws for this seed: link, hand, paths and faults, all from it.
    pub fn drawn(seed: u64, seconds: u64, transport: Transport) -> Self {
        let pick = |salt: u64, many: usize| {
            let mixed = (seed ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            usize::try_from(mixed).unwrap_or(0).checked_rem(many).unwrap_or(0)
        };
        let link = PROFILES.get(pick(1, PROFILES.len())).map_or("ideal", |profile| profile.name);
        let hand = hands::NAMES.get(pick(2, hands::NAMES.len())).copied().unwrap_or("tremor");
        let paths = if pick(3, 4) == 0 { 2 } else { 1 };
        let pressed = u64::try_from(pick(5, 20_000)).unwrap_or(0);
        Self {
            paths,
            transport,
            emergency_stop_ms: (pick(4, 4) == 0).then_some(pressed.saturating_add(3_000)),
            faults: draw(seed, seconds, paths, transport == Transport::Quic),
            ..Self::quiet(seed, link, hand, seconds)
        }
    }

    /// Reads a scenario's file.
    ///
    /// Errors: [`ScenarioError`].
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::File(path.to_owned(), error))?;
        let scenario: Self = serde_json::from_str(&text)
            .map_err(|error| ScenarioError::Format(path.to_owned(), error))?;
        if scenario.schema != SCHEMA {
            return Err(ScenarioError::Schema(path.to_owned(), scenario.schema));
        }
        scenario.check()?;
        Ok(scenario)
    }

    /// Adds a fault by its number, with defaults, a third of the way in.
    ///
    /// Errors: [`ScenarioError`] where there is none, or none in such a world.
    pub fn add_fault(&mut self, id: &str) -> Result<(), ScenarioError> {
        let kind = crate::fault::FaultKind::by_id(id.trim())
            .ok_or_else(|| ScenarioError::Fault(id.to_owned()))?;
        let at_ms = self.seconds.saturating_mul(1_000) / 3;
        let stream = u64::try_from(self.faults.len()).unwrap_or(0);
        self.faults.push(FaultEvent::of(kind, at_ms, stream));
        self.check()
    }

    /// Whether such a run can be.
    pub(crate) fn check(&self) -> Result<(), ScenarioError> {
        if self.paths == 0 || self.paths > 2 {
            return Err(ScenarioError::Paths(self.paths));
        }
        for fault in &self.faults {
            let kind = CATALOGUE.iter().find(|kind| kind.id == fault.kind);
            let kind = kind.ok_or_else(|| ScenarioError::Fault(fault.kind.clone()))?;
            let words = match kind.lives {
                Lives::World => continue,
                Lives::TwoPaths if self.paths == 2 => continue,
                Lives::TwoPaths => "needs two paths: add --paths 2".to_owned(),
                Lives::Quic if self.transport == Transport::Quic => continue,
                Lives::Quic => "needs real QUIC: add --transport quic".to_owned(),
                Lives::Elsewhere(test) => format!("does not happen in a world; {test} does it"),
            };
            return Err(ScenarioError::Nowhere(kind.id, kind.name, words));
        }
        Ok(())
    }

    fn model(&self) -> Result<LinkModel, ScenarioError> {
        Ok(match &self.trace {
            Some(path) => link_command::read_trace(path)?,
            None => link_command::named(&self.link)?,
        })
    }

    /// The world of this run, nothing watching it yet.
    ///
    /// Errors: [`ScenarioError`].
    pub fn world(&self) -> Result<World, ScenarioError> {
        self.check()?;
        let link = self.model()?;
        let (_, profile) = profile_for(&self.link);
        let mut links = vec![Emulator::new(link.clone(), self.seed)];
        if self.paths == 2 {
            // The other link is a leased line, with weather of its own.
            let model = link_command::named("national-dedicated")?;
            links.push(Emulator::new(model, self.seed.rotate_left(9)));
        }
        let carrier: Box<dyn Carrier> = match self.transport {
            Transport::Plain => Box::new(Plain::new(links)),
            Transport::Quic => Box::new(Quic::new(links, self.seed)?),
        };
        Ok(World::over(
            carrier,
            WorldConfig {
                link,
                disturb: Disturb::default(),
                seed: self.seed,
                profile,
                scale: longhand_leader::DEFAULT_SCALE,
                hand: hands::by_name(&self.hand, self.seed)?,
            },
        ))
    }

    /// Runs it to its end, to the first violation, or until `stop`.
    ///
    /// Errors: [`ScenarioError`].
    pub fn run(&self, stop: &AtomicBool, look: Option<Look<'_>>) -> Result<Outcome, ScenarioError> {
        let (_, profile) = profile_for(&self.link);
        self.run_checked(stop, look, profile)
    }

    /// The same, with a checker that expects another profile than the robot's: to see it fail.
    ///
    /// Errors: [`ScenarioError`].
    pub fn run_expecting(
        &self,
        stop: &AtomicBool,
        expect: impl FnOnce(&mut Profile),
    ) -> Result<Outcome, ScenarioError> {
        let (_, mut profile) = profile_for(&self.link);
        expect(&mut profile);
        self.run_checked(stop, None, profile)
    }

    fn run_checked(
        &self,
        stop: &AtomicBool,
        look: Option<Look<'_>>,
        profile: Profile,
    ) -> Result<Outcome, ScenarioError> {
        let mut world = self.world()?;
        let checker = Rc::new(RefCell::new(Checker::new(profile)));
        let hash = Rc::new(RefCell::new(RunHash::default()));
        let player = Rc::new(RefCell::new(FaultPlayer::new(&self.faults, self.seed)));
        world.watch(Box::new(Rc::clone(&checker)));
        world.watch(Box::new(Rc::clone(&hash)));
        let engagements = Rc::new(RefCell::new(Engagements::default()));
        world.watch(Box::new(Rc::clone(&engagements)));
        if !self.faults.is_empty() {
            world.meddle(Box::new(Rc::clone(&player)));
        }
        let mut look = look;
        let mut bedside =
            Bedside { emergency_stop_ms: self.emergency_stop_ms, ..Bedside::default() };
        let end = Micros::from_secs(self.seconds);
        let mut stopped = false;
        while world.now() < end && checker.borrow().violation().is_none() {
            let tick = world.tick();
            bedside.step(tick.state.stage, &mut world);
            if let Some(look) = &mut look {
                look(&tick);
            }
            if tick.at.as_micros() % 1_000_000 == 0 && stop.load(Ordering::Relaxed) {
                stopped = true;
                break;
            }
        }
        let checker = checker.borrow();
        let violation =
            checker.violation().map(|violation| (violation.clone(), checker.tape().to_string()));
        Ok(Outcome {
            hash: hash.borrow().hex(),
            violation,
            transitions: checker.transitions().clone(),
            engagements: engagements.borrow().clone(),
            fired: player.borrow().fired().collect(),
            ticks: checker.ticks(),
            stopped,
        })
    }
}
