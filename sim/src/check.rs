//! The checker: watches every tick of the world and stops it at the first thing that must not be.
//!
//! Knows: the invariants of safety.md section 5, the profile's numbers, and the truth about the
//! arms. Does not know: how the follower works. It has its own kinematics ([`dh`]), its own notion
//! of age, its own table of what may follow what; the two share the numbers of the profile and the
//! types of the messages, no more.
//!
//! Its notion of age: the time for which no other command came into use, while none that is newer
//! was waiting either. A command that waits vouches only for as long as the playout buffer may hold
//! it back.

mod arm_watch;
mod commands;
mod console_watch;
pub mod dh;
mod follow_watch;
mod invariant;
mod stage_watch;
mod tape;

pub use arm_watch::Motion;
pub use invariant::{Invariant, Where};
pub use stage_watch::Transitions;
pub use tape::Tape;

use crate::world::watch::{ConsoleTick, Judged, RobotTick, Verdict, Watcher};
use arm_watch::{ArmSeen, ArmWatch};
use commands::{Commands, Used};
use console_watch::ConsoleWatch;
use follow_watch::FollowWatch;
use longhand_follower::Drive;
use longhand_follower::profile::Profile;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::SessionKey;
use longhand_protocol::session::Reject;
use longhand_protocol::units::{Instant, Micros, Robot, TICK};
use longhand_protocol::wire::WireError;
use longhand_robot_agent::arm::ArmDrive;
use stage_watch::StageWatch;
use std::fmt;

/// Something that must not be, was.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: Invariant,
    /// World time.
    pub at: Micros,
    /// What was seen, with figures.
    pub words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, at, words } = self;
        write!(f, "{} at {at}: {words} ({})", invariant.name(), invariant.sentence())
    }
}

/// What a rule found.
type Found = Result<(), (Invariant, String)>;

/// A rule that does not hold says why; the words are only made then.
fn rule(holds: bool, invariant: Invariant, words: impl FnOnce() -> String) -> Found {
    if holds { Ok(()) } else { Err((invariant, words())) }
}

/// The checker.
#[derive(Clone, Debug)]
pub struct Checker {
    profile: Profile,
    commands: Commands,
    console: ConsoleWatch,
    /// The session that held the robot at the last tick.
    key: Option<SessionKey>,
    stages: StageWatch,
    arms: PerArm<ArmWatch>,
    follows: PerArm<FollowWatch>,
    /// Robot clock at the last tick, and where the missed ticks have been counted to.
    last: Option<Instant<Robot>>,
    missed: u64,
    late: u64,
    corrupted: Vec<Instant<Robot>>,
    /// Ticks for which a drive has been told something else than what was decided.
    altered_for: u32,
    now: Instant<Robot>,
    ticks: u64,
    tape: Tape,
    violation: Option<Violation>,
}

/// What one tick looked like to the checker, for the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) tick: &'a RobotTick<'a>,
    /// Its own age of the command in use, robot clock.
    pub(crate) age: Micros,
    pub(crate) used: Option<Used>,
    /// Ticks that never ran before this one.
    pub(crate) missed: u64,
}

/// A second corrupted message within this time latches: I23.
const CORRUPTED_WITHIN: Micros = Micros::from_secs(36_000);

impl Checker {
    /// A checker of a robot with this profile.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            commands: Commands::new(profile.playout.delay_max),
            console: ConsoleWatch::new(&profile),
            key: None,
            stages: StageWatch::default(),
            arms: PerArm::default(),
            follows: PerArm::default(),
            last: None,
            missed: 0,
            late: 0,
            corrupted: Vec::new(),
            altered_for: 0,
            now: Instant::ORIGIN,
            ticks: 0,
            tape: Tape::default(),
            violation: None,
        }
    }

    /// The same, where an attacker holds a console's key: what is let through need not be what the
    /// leader meant.
    #[must_use]
    pub const fn with_insiders(mut self) -> Self {
        self.console.insiders = true;
        self
    }

    /// The first thing that must not have been.
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The last ticks.
    pub const fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Which stage followed which, how often, and how long each lasted.
    pub const fn transitions(&self) -> &Transitions {
        self.stages.transitions()
    }

    /// How an arm's setpoint moves, by the checker's own kinematics.
    pub fn motion(&self, arm: ArmId) -> Motion {
        self.arms.get(arm).motion()
    }

    /// Ticks watched.
    pub const fn ticks(&self) -> u64 {
        self.ticks
    }

    fn look(&mut self, tick: &RobotTick<'_>) -> Found {
        let missed = self.count_ticks(tick)?;
        let state = &tick.output.state;
        let (age, used) = self.commands.look(tick)?;
        let seen = Seen { tick, age, used, missed };
        self.tape.keep(&seen, &self.arms);
        self.stages.look(&seen, &self.profile, &self.arms)?;
        self.emergency(&seen)?;
        self.integrity(&seen)?;
        self.read_back(&seen)?;
        let stalled = missed >= u64::from(self.profile.stages.stall_ticks);
        for arm in ArmId::ALL {
            let arm_seen = ArmSeen {
                stage: state.stage,
                age,
                stalled,
                state: state.arms.get(arm),
                truth: tick.truth.get(arm),
                decided: match &tick.output.drive {
                    Drive::Servo(servo) => Some((
                        servo.joints.get(arm).get(),
                        servo.jaw.get(arm).get(),
                        *servo.energy.get(arm),
                    )),
                    Drive::Brake => None,
                },
                command: used.as_ref().map(|used| (&used.levels, *used.energy.get(arm))),
            };
            self.arms.get_mut(arm).look(&arm_seen, &self.profile)?;
            let watch = self.arms.get(arm);
            let follows = self.follows.get_mut(arm);
            follows.blend(arm, &seen, watch, &self.profile)?;
            if !self.console.insiders {
                // A leader's goal keeps to what a tip can do; an attacker's need not.
                follows.at_goal(arm, &seen, watch, &self.profile)?;
            }
        }
        Ok(())
    }

    /// I19: nothing is skipped silently, and too much of it ends in SafeOff.
    fn count_ticks(&mut self, tick: &RobotTick<'_>) -> Result<u64, (Invariant, String)> {
        let counters = &tick.output.state.counters;
        let grid = |at: Instant<Robot>| at.as_micros() / TICK.as_micros();
        let gap = self.last.map_or(1, |last| grid(tick.now).saturating_sub(grid(last)));
        let missed = gap.saturating_sub(1);
        self.last = Some(self.last.map_or(tick.now, |last| last.max(tick.now)));
        self.now = tick.now;
        self.ticks = self.ticks.saturating_add(1);
        self.missed = self.missed.saturating_add(missed);
        if tick.now.since(tick.scheduled_at) > Micros::from_micros(200) {
            self.late = self.late.saturating_add(1);
        }
        let counted = (u64::from(counters.missed_ticks), u64::from(counters.late_ticks));
        // A tick that runs late by less than one is on the grid of the one before: counts may
        // differ by the two ends of a stall, never by what lies between.
        let off = self.missed.abs_diff(counted.0);
        rule(off <= self.late.saturating_add(1), Invariant::I19, || {
            format!("{} ticks never ran, {} counted", self.missed, counted.0)
        })?;
        rule(self.late == counted.1, Invariant::I19, || {
            format!("{} ticks were late, {} counted", self.late, counted.1)
        })?;
        Ok(missed)
    }

    /// I28: power goes off in the very tick, whatever arrives.
    fn emergency(&self, seen: &Seen<'_>) -> Found {
        let Seen { tick, .. } = seen;
        let off = matches!(tick.output.drive, Drive::Brake);
        let stage = tick.output.state.stage;
        rule(!tick.emergency_stop || off, Invariant::I28, || {
            format!("emergency stop pressed and the drives are on in {}", stage.name())
        })
    }

    /// I21: the drives are told what was decided; else the power is off within two ticks.
    fn read_back(&mut self, seen: &Seen<'_>) -> Found {
        let altered = ArmId::ALL.into_iter().any(|arm| {
            match (&seen.tick.output.drive, seen.tick.told.get(arm)) {
                (Drive::Servo(servo), ArmDrive::Servo { joints, .. }) => {
                    servo.joints.get(arm).get() != *joints
                }
                (Drive::Servo(_), ArmDrive::Brake | ArmDrive::Off) => false,
                (Drive::Brake, told) => matches!(told, ArmDrive::Servo { .. }),
            }
        });
        self.altered_for = if altered { self.altered_for.saturating_add(1) } else { 0 };
        rule(self.altered_for <= 2, Invariant::I21, || {
            format!("a drive has been told something else for {} ticks", self.altered_for)
        })
    }

    /// I23: the second corrupted message within ten hours latches.
    fn integrity(&self, seen: &Seen<'_>) -> Found {
        let mut recent = self.corrupted.iter().rev();
        let (Some(newest), Some(before)) = (recent.next(), recent.next()) else { return Ok(()) };
        let soon = newest.since(*before) <= CORRUPTED_WITHIN;
        // The tick after the one that it came before has surely heard of it.
        let heard = seen.tick.now.since(*newest) > TICK.saturating_mul(2);
        let just = seen.tick.now.since(*newest) < TICK.saturating_mul(4);
        let stage = seen.tick.output.state.stage;
        let latched = stage >= longhand_protocol::message::Stage::Latched;
        rule(!(soon && heard && just) || latched, Invariant::I23, || {
            format!("two corrupted messages, and the stage is {}", stage.name())
        })
    }
}

impl Checker {
    fn found(&mut self, at: Micros, found: Found) {
        if let Err((invariant, words)) = found
            && self.violation.is_none()
        {
            self.violation = Some(Violation { invariant, at, words });
        }
    }
}

impl Watcher for Checker {
    fn robot_tick(&mut self, tick: &RobotTick<'_>) {
        if self.violation.is_some() {
            return;
        }
        self.key = Some(tick.key);
        let found = self.look(tick);
        self.found(tick.at, found);
    }

    fn console_tick(&mut self, tick: &ConsoleTick<'_>) {
        let found = self.console.tick(tick);
        self.found(tick.at, found);
    }

    fn judged(&mut self, judged: &Judged<'_>) {
        let found = match judged.verdict {
            Verdict::Command(Ok(accepted)) => {
                self.commands.accepted(accepted);
                self.console.let_through(judged.bytes, accepted, self.key)
            }
            Verdict::Command(Err(Reject::Wire(WireError::Corrupt))) => {
                if self.corrupted.len() > 64 {
                    self.corrupted.remove(0);
                }
                self.corrupted.push(self.now);
                Ok(())
            }
            Verdict::State(Ok(Some(report))) => self.console.shown(report),
            Verdict::Command(Err(_)) | Verdict::State(Ok(None) | Err(_)) => Ok(()),
        };
        self.found(judged.at, found);
    }
}
