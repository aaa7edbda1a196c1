//! The console's end, as the robot never sees it: what was said, and what the hands meant by it.
//!
//! Knows: every command that set out, and what the leader was asked for. Does not know: how a
//! session judges, or how the leader makes a goal.

use super::{Found, Invariant, rule};
use crate::world::watch::ConsoleTick;
use longhand_leader::engagement::Engagement;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::{Intent, SessionKey, StateReport};
use longhand_protocol::session::Accepted;
use longhand_protocol::units::{Epoch, Seq};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::xxh3_128;

/// Commands remembered: two minutes, which is longer than any link holds one back. Chosen.
const KEPT: usize = 120_000;
/// Lengths and angles go as `f32`. Chosen: ten times what that rounds off a metre.
const ROUNDING: f64 = 1e-6;
/// A grip may take the jaw over from so near. Source: dVRK's jaw match; 3 deg and a little.
const JAW_NEAR: f64 = 0.06;

/// Watches the console.
#[derive(Clone, Debug, Default)]
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
}

impl ConsoleWatch {
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
        let before = self.before.replace((out.engagement, *intent));
        match before {
            Some((was, last)) if following && was != Engagement::Following => {
                engaged(&last, intent)
            }
            _ => Ok(()),
        }
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

/// I13, I14: to engage makes no step: the goal stays, and the jaw waits for the grip.
fn engaged(last: &Intent, now: &Intent) -> Found {
    for arm in ArmId::ALL {
        let (was, is) = (last.arms.get(arm), now.arms.get(arm));
        let step = (is.servo_cp.position() - was.servo_cp.position()).norm();
        rule(step <= ROUNDING, Invariant::I14, || {
            format!("{arm:?}'s goal made a step of {:.4} mm on engaging", step * 1e3)
        })?;
        let opened = (is.jaw - was.jaw).abs();
        rule(opened <= JAW_NEAR, Invariant::I13, || {
            format!("{arm:?}'s jaw made a step of {opened:.3} rad on engaging")
        })?;
    }
    Ok(())
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
