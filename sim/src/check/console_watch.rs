//! The console's end, as the robot never sees it: what was said, and what the hands meant by it.
//!
//! Knows: every command that set out, and what the leader was asked for. Does not know: how a
//! session judges, or how the leader makes a goal.

use super::{Found, Invariant, rule};
use crate::world::watch::ConsoleTick;
use longhand_follower::profile::Profile;
use longhand_leader::LeaderOutput;
use longhand_leader::advisory::Advisory;
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::{HandReading, Nature};
use longhand_protocol::geometry::{ArmId, PerArm, Pose, RobotBase, Tip};
use longhand_protocol::message::{ArmCommand, Intent, SessionKey, StateReport};
use longhand_protocol::session::Accepted;
use longhand_protocol::units::{Console, Epoch, Instant, Micros, Seq, TICK};
use nalgebra::Vector3;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::xxh3_128;

/// Commands remembered: two minutes, which is longer than any link holds one back. Chosen.
const KEPT: usize = 120_000;
/// Seconds in a tick.
const DT: f64 = TICK.as_secs_f64();
/// Lengths and angles go as `f32`. Chosen: ten times what that rounds off a metre.
const ROUNDING: f64 = 1e-6;
/// A grip may take the jaw over from so near. Source: dVRK's jaw match; 3 deg and a little.
const JAW_NEAR: f64 = 0.06;

/// Hand metres to tip metres. Source: dVRK's default, which every world has.
const SCALE: f64 = 0.2;
/// A goal may be this far from where the hand has it without hurrying there. Chosen: ten ticks of a
/// goal at full speed.
const OWED_M: f64 = 0.5e-3;
/// For how many ticks a goal that owes something is watched. Chosen: twice the leader's ramp.
const HURRY: u32 = 50;
/// The least of its speed limit that a goal hurries at. Source: safety.md 4.3, "25 %", and the
/// leader's own tenth below the limit.
const LEAST_SHARE: f64 = 0.2;
/// A pedal over a tracked hand that stands still counts no longer than this. Source: A24; ticks.
const VIGIL: Micros = Micros::from_millis(2_003);

/// What the leader was shown of the robot.
#[derive(Clone, Copy, Debug)]
struct Shown {
    number: Seq,
    setpoint: PerArm<Pose<RobotBase, Tip>>,
    /// Either arm is at a wall.
    limited: bool,
}

/// A hand and its goal, from the moment that they are tied together until something comes between:
/// a wall, a hand that is too fast. How far the goal is behind is known for so long.
#[derive(Clone, Copy, Debug)]
struct Tied {
    hand: Vector3<f64>,
    /// Where the hand has the goal, less where it is.
    owed: Vector3<f64>,
    hurried: f64,
    ticks: u32,
}

/// Watches the console.
#[derive(Clone, Debug)]
pub(super) struct ConsoleWatch {
    /// Somebody with a console's own key may speak, too: what is let through need not be the
    /// leader's.
    pub(super) insiders: bool,
    /// What was said and has not been let through yet, by a hash of the bytes: they are the same
    /// where it is.
    said: HashMap<u128, Intent, BuildHasherDefault<Hashed>>,
    order: VecDeque<u128>,
    /// The newest state that the leader was shown.
    shown: (Epoch, Seq),
    before: Option<(Engagement, Intent)>,
    /// The energy pedal has been down since the tool last stood.
    stayed: PerArm<bool>,
    state: Option<Shown>,
    tied: PerArm<Option<Tied>>,
    /// The tracked hands that have not changed since then, the pedal down.
    still: Option<(PerArm<HandReading>, Instant<Console>)>,
    tip_speed_max: f64,
    tip_rate_max: f64,
}

impl ConsoleWatch {
    pub(super) fn new(profile: &Profile) -> Self {
        Self {
            insiders: false,
            said: HashMap::default(),
            order: VecDeque::new(),
            shown: (Epoch::ZERO, Seq::ZERO),
            before: None,
            stayed: PerArm::default(),
            state: None,
            tied: PerArm::default(),
            still: None,
            tip_speed_max: profile.motion.tip.speed,
            tip_rate_max: profile.motion.rotation.speed,
        }
    }

    /// The leader has turned.
    pub(super) fn tick(&mut self, tick: &ConsoleTick<'_>) -> Found {
        let (out, sample) = (tick.output, tick.sample);
        let intent = &out.intent;
        if let Some(bytes) = tick.command {
            let hash = xxh3_128(bytes);
            self.said.insert(hash, *intent);
            self.order.push_back(hash);
            if self.order.len() > KEPT {
                self.order.pop_front().and_then(|oldest| self.said.remove(&oldest));
            }
        }
        let following = out.engagement == Engagement::Following;
        rule(!(following && sample.clutch), Invariant::I14, || {
            "the goal follows the hand and the clutch is pressed".to_owned()
        })?;
        let silent = intent.hand_time.since(sample.sampled_at) > sample.valid_for;
        rule(!(silent && intent.levels.operator_present), Invariant::I17, || {
            "the device is silent and the pedal counts as pressed".to_owned()
        })?;
        let stands = matches!(out.engagement, Engagement::Held | Engagement::Disconnected);
        for arm in ArmId::ALL {
            let (down, stayed) = (*sample.energy.get(arm), self.stayed.get_mut(arm));
            *stayed = down && (*stayed || stands);
            let asked = *intent.levels.energy.get(arm);
            rule(!(*stayed && asked), Invariant::I11, || {
                format!("{arm:?} asks for energy with a pedal that stayed down over a hold")
            })?;
        }
        self.vigil(tick)?;
        self.pinned(out)?;
        let before = self.before.replace((out.engagement, *intent));
        let Some((was, last)) = before else { return Ok(()) };
        if following && was != Engagement::Following {
            self.engaged(&last, intent)?;
        }
        self.follows(tick, &last, was)
    }

    /// I17, A24: a wedged pedal over a tracked hand that stands still is nobody's.
    fn vigil(&mut self, tick: &ConsoleTick<'_>) -> Found {
        let sample = tick.sample;
        if sample.nature != Nature::Tracked || !sample.operator_present {
            self.still = None;
            return Ok(());
        }
        let at = tick.output.intent.hand_time;
        let since = match self.still {
            Some((hands, since)) if hands == sample.hands => since,
            _ => at,
        };
        self.still = Some((sample.hands, since));
        let counts = tick.output.intent.levels.operator_present;
        rule(!counts || at.since(since) <= VIGIL, Invariant::I17, || {
            format!("a pedal counts over a hand that stood still for {}", at.since(since))
        })
    }

    /// I14: a hold is a clutch; the goal lies on the held tool.
    fn pinned(&self, out: &LeaderOutput) -> Found {
        let heard = |shown: &&Shown| shown.number == out.intent.echo_state;
        let held = self.state.as_ref().filter(heard);
        let Some(held) = held.filter(|_| out.engagement == Engagement::Held) else { return Ok(()) };
        for arm in ArmId::ALL {
            let goal = out.intent.arms.get(arm).servo_cp;
            let off = (goal.position() - held.setpoint.get(arm).position()).norm();
            rule(off <= ROUNDING, Invariant::I14, || {
                format!("{arm:?} is held, and its goal lies {:.4} mm beside it", off * 1e3)
            })?;
        }
        Ok(())
    }

    /// I13, I14: to engage makes no step: the goal stays, and the jaw waits for the grip. Behind a
    /// wall a goal may come back toward the tool, whenever it is heard that it lies there.
    fn engaged(&self, last: &Intent, now: &Intent) -> Found {
        for arm in ArmId::ALL {
            let (was, is) = (last.arms.get(arm), now.arms.get(arm));
            let step = (is.servo_cp.position() - was.servo_cp.position()).norm();
            let off = |goal: &ArmCommand, shown: &Shown| {
                (goal.servo_cp.position() - shown.setpoint.get(arm).position()).norm()
            };
            let walled = self.state.as_ref().filter(|shown| shown.limited);
            let back = walled.is_some_and(|shown| off(is, shown) < off(was, shown));
            rule(step <= ROUNDING || back, Invariant::I14, || {
                format!("{arm:?}'s goal made a step of {:.4} mm on engaging", step * 1e3)
            })?;
            let opened = (is.jaw - was.jaw).abs();
            rule(opened <= JAW_NEAR, Invariant::I13, || {
                format!("{arm:?}'s jaw made a step of {opened:.3} rad on engaging")
            })?;
        }
        Ok(())
    }

    /// I05, I07: a goal is a number, and no faster than a tip may be.
    fn follows(&mut self, tick: &ConsoleTick<'_>, last: &Intent, was: Engagement) -> Found {
        let out = tick.output;
        let follows = out.engagement == Engagement::Following;
        // A hand that is no number is not heard: the last that was one stands.
        let told = tick.sample.is_finite();
        for arm in ArmId::ALL {
            let (before, now) = (last.arms.get(arm).servo_cp, out.intent.arms.get(arm).servo_cp);
            rule(now.is_finite(), Invariant::I07, || format!("{arm:?}'s goal is no number"))?;
            let tied = self.tied.get_mut(arm);
            // One arm at a wall is what the surgeon is told, though the other's hand be too fast.
            let free = !self.state.as_ref().is_some_and(|shown| shown.limited);
            if !follows || !free || out.advisory == Advisory::TooFast {
                *tied = None;
                continue;
            }
            let hand = told.then(|| tick.sample.hands.get(arm).pose.position());
            if was != Engagement::Following {
                let owed = Vector3::zeros();
                *tied = hand.map(|hand| Tied { hand, owed, hurried: 0.0, ticks: 0 });
                continue;
            }
            let step = now.position() - before.position();
            let turned = now.rotation().angle_to(&before.rotation());
            let fast = step.norm() > self.tip_speed_max * DT + ROUNDING
                || turned > self.tip_rate_max * DT + 10.0 * ROUNDING;
            rule(!fast, Invariant::I05, || {
                let (fast, spin) = (step.norm() / DT, turned / DT);
                format!("{arm:?}'s goal moves at {fast} m/s and {spin} rad/s")
            })?;
            if let Some(tied) = tied {
                tied.go(hand, step, LEAST_SHARE * self.tip_speed_max * DT)?;
            }
        }
        Ok(())
    }

    /// I16: whatever is let through is what a console said, once; I03, I18: under the key held.
    pub(super) fn let_through(
        &mut self,
        bytes: &[u8],
        accepted: &Accepted,
        held: Option<SessionKey>,
    ) -> Found {
        let command = &accepted.command;
        let number = command.number.get();
        if let Some(held) = held {
            let key = command.key;
            // A session that was granted since the last tick has a newer epoch.
            rule(key.epoch > held.epoch || key.session == held.session, Invariant::I03, || {
                format!("command {number} of another session was let through")
            })?;
            rule(key.profile == held.profile, Invariant::I18, || {
                format!("command {number} was made for another profile")
            })?;
        }
        let meant = self.said.remove(&xxh3_128(bytes));
        if self.insiders {
            return Ok(());
        }
        rule(meant.is_some(), Invariant::I16, || {
            format!("command {number} was let through: twice, or no console said it")
        })?;
        let same = meant.is_some_and(|meant| is_same(&meant, &command.intent));
        rule(same, Invariant::I16, || format!("command {number} is not what the leader meant"))
    }

    /// I02: nor does the surgeon see an older state after a newer one.
    pub(super) fn shown(&mut self, report: &StateReport) -> Found {
        let (before, now) = (self.shown, (report.key.epoch, report.number));
        self.shown = now;
        let arms = &report.state.arms;
        self.state = Some(Shown {
            number: report.number,
            setpoint: PerArm::from_fn(|arm| arms.get(arm).setpoint_cp),
            limited: arms.iter().any(|arm| arm.limited),
        });
        rule(now > before, Invariant::I02, || {
            format!("the leader is shown state {} after {}", now.1.get(), before.1.get())
        })
    }
}

/// What is hashed already is not hashed again.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write_u128(&mut self, hash: u128) {
        // Half of its bits do.
        self.0 = u64::try_from(hash >> 64).unwrap_or(0);
    }

    fn write(&mut self, bytes: &[u8]) {
        // Never: the keys are whole numbers of 128 bits.
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.wrapping_mul(31) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Tied {
    /// I24: a tick on, the hand is at `hand`, metres, if it is heard, and its goal made `step`; one
    /// that is behind makes at least `least` in a tick.
    fn go(&mut self, hand: Option<Vector3<f64>>, step: Vector3<f64>, least: f64) -> Found {
        let owed = self.owed.norm();
        if owed > OWED_M {
            self.ticks = self.ticks.saturating_add(1);
            self.hurried += step.dot(&self.owed) / owed;
        } else {
            (self.ticks, self.hurried) = (0, 0.0);
        }
        let hand = hand.unwrap_or(self.hand);
        let moved = hand - std::mem::replace(&mut self.hand, hand);
        self.owed += moved * SCALE - step;
        if self.ticks < HURRY {
            return Ok(());
        }
        let hurried = self.hurried;
        (self.ticks, self.hurried) = (0, 0.0);
        rule(hurried >= least * f64::from(HURRY), Invariant::I24, || {
            let (owed, hurried) = (owed * 1e3, hurried * 1e3);
            format!(
                "a goal is {owed:.3} mm off where its hand has it, and came {hurried:.3} nearer"
            )
        })
    }
}

fn is_same(meant: &Intent, got: &Intent) -> bool {
    let stamps = |i: &Intent| (i.hand_time, i.echo_robot_time, i.echo_state, i.valid_for, i.levels);
    let arms = ArmId::ALL.into_iter().all(|arm| {
        let (a, b) = (meant.arms.get(arm), got.arms.get(arm));
        (a.servo_cp.position() - b.servo_cp.position()).norm() <= ROUNDING
            && a.servo_cp.rotation().angle_to(&b.servo_cp.rotation()) <= 10.0 * ROUNDING
            && (a.jaw - b.jaw).abs() <= ROUNDING
    });
    stamps(meant) == stamps(got) && arms
}
