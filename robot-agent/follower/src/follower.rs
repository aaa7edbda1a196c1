//! One tick of the robot's side: commands in, joints out.
//!
//! Knows: the order of the rooms. Does not know: what any of them decides.

use crate::fault::Fault;
use crate::kinematics::PsmGeometry;
use crate::limits::{Checked, Limits, Told};
use crate::playout::{Goal, Inbound, Pick, Playout};
use crate::profile::Profile;
use crate::shaper::{Motion, Shaper};
use crate::supervisor::{Denial, Observation, Outcome, Permit, Request, Supervisor};
use crate::watchdog::{Verdict, Watchdog};
use longhand_protocol::geometry::{
    ArmId, JointPositions, Mismatch, PerArm, Pose, RobotBase, Tip, Twist,
};
use longhand_protocol::message::{ArmState, Counters, FollowerState, Levels, SessionKey, Stage};
use longhand_protocol::units::{Epoch, Instant, Micros, Robot, Seq, TICK};

/// What was read from one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArmReading {
    /// Joint positions.
    pub measured_js: JointPositions,
    /// Jaw opening, radians.
    pub measured_jaw: f64,
    /// The drive reports a fault.
    pub drive_fault: bool,
    /// Where the drive says that it was told to go; `None` where it cannot say, or is off.
    pub told_js: Option<JointPositions>,
}

/// Everything that enters a tick.
#[derive(Clone, Copy, Debug)]
pub struct TickInput<'a> {
    /// Robot time at which the tick runs.
    pub now: Instant<Robot>,
    /// Robot time at which it should have run: on the grid.
    pub scheduled_at: Instant<Robot>,
    /// Commands admitted since the last tick, any order.
    pub inbox: &'a [Inbound],
    /// What was read from the arms.
    pub measured: PerArm<ArmReading>,
    /// The emergency stop is pressed.
    pub emergency_stop: bool,
    /// What the sessions have found wrong with their peer since the agent started.
    pub peer_faults: PeerFaults,
    /// What the bedside or the console asks.
    pub request: Option<Request>,
}

/// Things that no sound peer sends, counted over all sessions; the counts only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerFaults {
    /// Messages corrupted inside the black channel: two within ten hours latch.
    pub corrupted: u64,
    /// Messages that contradict others or themselves: one latches (A10).
    pub protocol: u64,
}

/// What the arms are told when they may be driven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Servo {
    /// Joint positions, checked.
    pub joints: PerArm<Checked<JointPositions>>,
    /// Jaw openings, radians, checked.
    pub jaw: PerArm<Checked<f64>>,
    /// Whether energy is on.
    pub energy: PerArm<bool>,
}

/// What the arms are told in one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drive {
    /// Go to these joint positions.
    Servo(Servo),
    /// Brakes on, power and energy off.
    Brake,
}

/// Everything that leaves a tick.
#[derive(Clone, Copy, Debug)]
pub struct TickOutput {
    /// What to tell the arms.
    pub drive: Drive,
    /// What to tell the world.
    pub state: FollowerState,
    /// What became of the request.
    pub outcome: Outcome,
    /// Sessions of this epoch and older are dead: the bedside has taken the robot since. Whoever
    /// grants sessions must grant a newer one before anybody can move the robot again.
    pub fence: Epoch,
}

/// A second corrupted message within this time latches. Source: I23, after OPC UA Safety's
/// `SafetyErrorIntervalLimit` of 600 minutes.
const CORRUPTED_WITHIN: Micros = Micros::from_secs(36_000);
/// A tick begun later than this after its time is counted as late. Source: I19, 200 us.
const LATE_AFTER: Micros = Micros::from_micros(200);
/// Held this long, the arm must be where it was told. Chosen: five times a drive's settling time.
const SETTLED_AFTER_TICKS: u32 = 100;
/// Off its setpoint for this long is a fault. Source: I24, an alarm within 100 ms; chosen: half of
/// it, the rest is the way to the surgeon.
const OFF_TRACK_TICKS: u32 = 50;
/// A stop that takes longer is none. Chosen: three times what the shipped profiles need at full
/// speed; the proof that an arm can stop looks no farther.
const STOP_TICKS_MAX: u32 = 100;

/// The robot's side of the law, for both arms.
#[derive(Clone, Debug)]
pub struct Follower {
    profile: Profile,
    playout: Playout,
    watchdog: Watchdog,
    supervisor: Supervisor,
    arms: PerArm<ArmLaw>,
    key: Option<SessionKey>,
    /// Commands of this epoch and older are dead: the bedside has taken the robot since.
    fence: Epoch,
    in_use: Seq,
    applied_at: Instant<Robot>,
    /// The place on the grid of the last tick.
    last_slot: Option<Instant<Robot>>,
    counters: Counters,
    held_ticks: u32,
    off_track_ticks: u32,
    peer_faults: PeerFaults,
    corrupted_at: Option<Instant<Robot>>,
}

/// One arm's part.
#[derive(Clone, Copy, Debug)]
struct ArmLaw {
    limits: Limits,
    shaper: Shaper,
    /// What the arm was told last; its reading while the drives are off.
    told: Told,
    /// The arm's reading, and where that puts its tip; `None` before the first.
    measured_js: Option<JointPositions>,
    measured_cp: Pose<RobotBase, Tip>,
    /// Where the setpoint was when the newest command had its turn: blind motion counts from here.
    fresh_from: Pose<RobotBase, Tip>,
    /// Slows the tip where the joints would be too fast.
    joint_scale: f64,
    /// The goal of this tick, brought inside the limits.
    goal: Option<Goal>,
    /// The goal that came has an inverse; else the arm stays, and is not near it.
    has_inverse: bool,
    limited: bool,
}

impl Follower {
    /// A robot that has just been switched on: Disabled.
    pub fn new(profile: Profile) -> Self {
        let law = ArmLaw::new(&profile);
        Self {
            profile,
            playout: Playout::new(profile.playout),
            watchdog: Watchdog::new(profile.stages),
            supervisor: Supervisor::new(profile),
            arms: PerArm { psm1: law, psm2: law },
            key: None,
            fence: Epoch::ZERO,
            in_use: Seq::ZERO,
            applied_at: Instant::ORIGIN,
            last_slot: None,
            counters: Counters::default(),
            held_ticks: 0,
            off_track_ticks: 0,
            peer_faults: PeerFaults::default(),
            corrupted_at: None,
        }
    }

    /// The stage after the last tick.
    pub const fn stage(&self) -> Stage {
        self.supervisor.stage()
    }

    /// Runs one tick. Total: whatever comes in, a [`Drive`] comes out.
    ///
    /// Cost: bounded by the inbox and the playout ring; no heap, no lock, no clock.
    pub fn step(&mut self, input: &TickInput<'_>) -> TickOutput {
        let missed = self.count_ticks(input);
        let new_session = self.take(input.inbox);
        let moving = matches!(self.stage(), Stage::Follow | Stage::Coast | Stage::Brake);
        let pick = self.playout.pick(input.now, moving);
        let verdict = self.watchdog.judge(pick.as_ref());
        let before = self.stage();
        let stalled = missed >= self.profile.stages.stall_ticks;
        self.prepare(input, pick.as_ref(), stalled);
        let integrity = self.peer_is_unsound(input);
        let seen = Observation {
            verdict,
            levels: pick.map_or_else(Levels::default, |p| p.levels),
            mismatch: self.mismatch(),
            at_rest: self.arms.iter().all(|a| a.shaper.is_near_rest()),
            coast_spent: self.coast_spent(),
            stalled,
            new_session,
            integrity,
            fault: self.find_fault(input, missed),
            unfit: self.unfit(input),
            request: input.request,
        };
        let (permit, outcome) = self.supervisor.next(&seen);
        let drive = self.drive(&permit, input);
        self.close(pick.as_ref(), input.now, before);
        let state = self.report(input, pick.as_ref(), &verdict, &drive);
        TickOutput { drive, state, outcome, fence: self.fence }
    }

    /// Ticks that never began since the last one. With fewer than `stall_ticks` nothing stands: the
    /// next setpoint is one tick on from the last, so the limits hold per tick, not per time.
    fn count_ticks(&mut self, input: &TickInput<'_>) -> u32 {
        // The place on the grid where this tick really runs: after a stall the first tick comes
        // with its old place and a late `now`, and must act in this very tick.
        let late = input.now.since(input.scheduled_at).as_micros() / TICK.as_micros();
        let slot = input.scheduled_at.after(TICK.saturating_mul(late));
        let missed = self
            .last_slot
            .map_or(0, |last| (slot.since(last).as_micros() / TICK.as_micros()).saturating_sub(1));
        self.last_slot = Some(self.last_slot.map_or(slot, |last| last.max(slot)));
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        let c = &mut self.counters;
        c.missed_ticks = c.missed_ticks.saturating_add(missed);
        if input.now.since(input.scheduled_at) > LATE_AFTER {
            c.late_ticks = c.late_ticks.saturating_add(1);
        }
        missed
    }

    /// Takes commands into playout; says whether a new session began. The fence stands here once
    /// more, before the joints, whatever the network side believes (safety.md section 9).
    fn take(&mut self, inbox: &[Inbound]) -> bool {
        let mut new_session = false;
        for inbound in inbox {
            let key = inbound.command.key;
            let held = self.key.map_or(self.fence, |k| k.epoch);
            if key.epoch <= self.fence || key.epoch < held {
                continue;
            }
            if self.key != Some(key) {
                if key.epoch <= held {
                    // Two sessions cannot share an epoch.
                    continue;
                }
                self.key = Some(key);
                self.playout.reset();
                self.in_use = Seq::ZERO;
                new_session = true;
            }
            self.playout.push(*inbound);
        }
        new_session
    }

    /// Whether the sessions found, since the last tick, what must latch.
    fn peer_is_unsound(&mut self, input: &TickInput<'_>) -> bool {
        let (before, now) = (self.peer_faults, input.peer_faults);
        self.peer_faults = now;
        let corrupted = now.corrupted.saturating_sub(before.corrupted);
        let soon = |at: Instant<Robot>| input.now.since(at) <= CORRUPTED_WITHIN;
        let second = corrupted >= 2 || (corrupted == 1 && self.corrupted_at.is_some_and(soon));
        if corrupted > 0 {
            self.corrupted_at = Some(input.now);
        }
        second || now.protocol > before.protocol
    }

    /// Brings the goals inside the limits, and the setpoints to where the arms are while no one
    /// drives them.
    fn prepare(&mut self, input: &TickInput<'_>, pick: Option<&Pick>, stalled: bool) {
        let driven = !matches!(self.stage(), Stage::SafeOff | Stage::Disabled);
        for arm in ArmId::ALL {
            let law = self.arms.get_mut(arm);
            law.measure(&input.measured.get(arm).measured_js);
            if !driven {
                law.rest_at_reading(input.measured.get(arm));
            } else if stalled {
                law.shaper.stand();
                law.told = law.told.standing();
            }
            law.aim(pick.map(|p| p.goal.get(arm)));
        }
        let bound = self.profile.motion.tracking_error_max;
        let off = driven && self.arms.iter().any(|law| law.tracking_error() > bound);
        self.off_track_ticks = if off { self.off_track_ticks.saturating_add(1) } else { 0 };
    }

    /// Why the arms cannot be enabled where they stand. The work volume is no reason: an arm that
    /// stands outside it may move, but only inward.
    fn unfit(&self, input: &TickInput<'_>) -> Option<Denial> {
        ArmId::ALL.into_iter().find_map(|arm| {
            let reading = input.measured.get(arm);
            if !reading.measured_js.is_finite() || !reading.measured_jaw.is_finite() {
                return Some(Denial::Unreadable(arm));
            }
            let outside = self.arms.get(arm).limits.joint_outside(&reading.measured_js);
            outside.map(|joint| Denial::Outside(arm, joint))
        })
    }

    fn mismatch(&self) -> Option<Mismatch> {
        let mut worst = Mismatch::default();
        for law in self.arms.iter() {
            // A goal with no inverse is near nothing.
            let goal = law.goal.as_ref().filter(|_| law.has_inverse)?;
            worst = worst.worst(law.shaper.mismatch(goal));
        }
        Some(worst)
    }

    fn coast_spent(&self) -> bool {
        let bound = self.profile.motion.coast_max;
        self.arms.iter().any(|law| !law.blind_motion_after_this_tick().within(bound))
    }

    /// The worst that is wrong with the robot itself.
    fn find_fault(&self, input: &TickInput<'_>, missed: u32) -> Option<Fault> {
        let held = self.held_ticks >= SETTLED_AFTER_TICKS;
        let driven = !matches!(self.stage(), Stage::SafeOff | Stage::Disabled);
        let drive = input.measured.iter().any(|r| r.drive_fault);
        let starved = missed >= self.profile.stages.missed_ticks_max;
        let finite = input.measured.iter().all(|r| r.measured_js.is_finite());
        let strays = |law: &ArmLaw| law.tracking_error() > self.profile.motion.hold_error_max;
        let strayed = held && self.arms.iter().any(strays);
        [
            (missed > self.profile.stages.missed_ticks_max, Fault::MissedTicks),
            // A drive that nobody fed for so long trips its own dead-man: the stall is the cause.
            (drive && driven && starved, Fault::MissedTicks),
            // With its power off a drive clears its fault; until then nobody is moving anyway.
            (drive && driven && !starved, Fault::Drive),
            (strayed, Fault::HoldError),
            (self.off_track_ticks >= OFF_TRACK_TICKS, Fault::Tracking),
            (driven && self.is_told_otherwise(input), Fault::ReadBack),
            (!finite && driven, Fault::Drive),
            (input.emergency_stop, Fault::EmergencyStop),
        ]
        .into_iter()
        .filter_map(|(holds, fault)| holds.then_some(fault))
        .max()
    }

    /// Whether a drive was told anything but what left the last tick (I21, A35). Nothing may come
    /// between the check and the drive: what differs at all is wrong.
    fn is_told_otherwise(&self, input: &TickInput<'_>) -> bool {
        ArmId::ALL.into_iter().any(|arm| {
            let told = input.measured.get(arm).told_js.as_ref();
            told.is_some_and(|told| told != self.arms.get(arm).told.joints())
        })
    }

    /// Shapes, inverts, checks; a fault found here acts here.
    fn drive(&mut self, permit: &Permit, input: &TickInput<'_>) -> Drive {
        if !permit.may_drive() {
            self.settle_off(input);
            return Drive::Brake;
        }
        let refused = match self.servo(permit, permit.motion()) {
            Ok(servo) => return Drive::Servo(servo),
            Err(fault) => fault,
        };
        self.supervisor.fault(refused);
        // Both arms begin to stop instead, energy off. Where not even that passes, or the software
        // itself is broken, the drives brake: no setpoint that breaks a limit ever goes out.
        let stop =
            if refused == Fault::Limit { self.servo(permit, Motion::Stop) } else { Err(refused) };
        match stop {
            Ok(servo) => Drive::Servo(Servo { energy: PerArm::default(), ..servo }),
            Err(worse) => {
                self.supervisor.fault(worse.max(Fault::HoldError));
                self.settle_off(input);
                Drive::Brake
            }
        }
    }

    /// One tick of both arms. Nothing is kept unless both pass.
    fn servo(&mut self, permit: &Permit, motion: Motion) -> Result<Servo, Fault> {
        let kept = self.arms.map(|law| law.shaper);
        let psm1 = self.arms.psm1.tick(permit, motion);
        let psm2 = self.arms.psm2.tick(permit, motion);
        match (psm1, psm2) {
            (Ok(one), Ok(two)) => {
                self.arms.psm1.told = one.0.get();
                self.arms.psm2.told = two.0.get();
                Ok(Servo {
                    joints: PerArm { psm1: one.0.joints(), psm2: two.0.joints() },
                    jaw: PerArm { psm1: one.1, psm2: two.1 },
                    energy: permit.energy(),
                })
            }
            (one, two) => {
                self.arms.psm1.shaper = kept.psm1;
                self.arms.psm2.shaper = kept.psm2;
                Err(one.err().max(two.err()).unwrap_or(Fault::Broken))
            }
        }
    }

    fn settle_off(&mut self, input: &TickInput<'_>) {
        for arm in ArmId::ALL {
            self.arms.get_mut(arm).rest_at_reading(input.measured.get(arm));
        }
    }

    /// Keeps what the next tick needs to know of this one.
    fn close(&mut self, pick: Option<&Pick>, now: Instant<Robot>, before: Stage) {
        let number = pick.map_or(Seq::ZERO, |p| p.echo.number);
        let fresh = pick.is_some_and(|p| p.age == Micros::ZERO) || number != self.in_use;
        if number != self.in_use {
            self.in_use = number;
            self.applied_at = now;
        }
        for law in [&mut self.arms.psm1, &mut self.arms.psm2] {
            if fresh {
                law.fresh_from = law.shaper.setpoint();
            }
        }
        let holding = matches!(self.stage(), Stage::Hold | Stage::Latched | Stage::Bedside);
        let at_rest = self.arms.iter().all(|a| a.shaper.is_at_rest());
        self.held_ticks = if holding && at_rest { self.held_ticks.saturating_add(1) } else { 0 };
        if self.stage() == Stage::Bedside && before < Stage::Bedside {
            // The lease is over: what the old session still sends is dead. A session granted since
            // may speak, and waits for the bedside.
            self.fence = self.key.map_or(self.fence, |k| k.epoch.max(self.fence));
            self.playout.reset();
            self.in_use = Seq::ZERO;
        }
        self.counters.safe_stops = self.supervisor.safe_stops();
    }

    fn report(
        &self,
        input: &TickInput<'_>,
        pick: Option<&Pick>,
        verdict: &Verdict,
        drive: &Drive,
    ) -> FollowerState {
        let energy = match drive {
            Drive::Servo(servo) => servo.energy,
            Drive::Brake => PerArm::default(),
        };
        let mut echo = pick.map(|p| p.echo).unwrap_or_default();
        echo.applied_at = self.applied_at;
        FollowerState {
            robot_time: input.now,
            stage: self.stage(),
            reason: self.supervisor.reason(),
            is_homed: !matches!(self.stage(), Stage::Disabled | Stage::SafeOff),
            age: verdict.age,
            loop_age: verdict.loop_age,
            playout_delay: self.playout.added_delay(),
            echo,
            arms: PerArm::from_fn(|arm| {
                let (law, reading) = (self.arms.get(arm), input.measured.get(arm));
                ArmState {
                    measured_js: reading.measured_js,
                    measured_jaw: reading.measured_jaw,
                    measured_cp: law.measured_cp,
                    setpoint_cp: law.shaper.setpoint(),
                    setpoint_jaw: law.shaper.jaw(),
                    energy: *energy.get(arm),
                    limited: law.limited,
                }
            }),
            counters: self.counters,
        }
    }
}

impl ArmLaw {
    fn new(profile: &Profile) -> Self {
        let pose = Pose::IDENTITY;
        Self {
            limits: Limits::new(profile, PsmGeometry::CLASSIC_LND_400006),
            shaper: Shaper::at_rest(profile.motion, profile.stages.blend_over, pose, 0.0),
            told: Told::at_rest(JointPositions::default(), pose.position()),
            measured_js: None,
            measured_cp: pose,
            fresh_from: pose,
            joint_scale: 1.0,
            goal: None,
            has_inverse: false,
            limited: false,
        }
    }

    /// Takes a reading in. An arm that stands reads the same, and its tip is where it was.
    fn measure(&mut self, reading: &JointPositions) {
        let bits = |joints: &JointPositions| joints.0.map(f64::to_bits);
        if self.measured_js.as_ref().map(bits) != Some(bits(reading)) {
            self.measured_js = Some(*reading);
            self.measured_cp = self.limits.geometry().forward(reading);
        }
    }

    /// How far the tip is from where it was told to be a tick ago, metres.
    fn tracking_error(&self) -> f64 {
        (self.measured_cp.position() - self.told.tip()).norm()
    }

    /// The drives are off: the setpoint is where the arm is, so that power never makes it jump.
    fn rest_at_reading(&mut self, reading: &ArmReading) {
        if reading.measured_js.is_finite() {
            self.told = Told::at_rest(reading.measured_js, self.measured_cp.position());
            self.shaper.rest_at(self.measured_cp);
        }
        if reading.measured_jaw.is_finite() {
            self.shaper.rest_jaw_at(self.limits.clamp_jaw(reading.measured_jaw));
        }
        self.fresh_from = self.shaper.setpoint();
    }

    fn aim(&mut self, goal: Option<&Goal>) {
        let reachable = goal.map(|goal| self.limits.reachable(goal, &self.told));
        self.limited = matches!(reachable, Some(None))
            || reachable.flatten().is_some_and(|reachable| reachable.limited);
        self.has_inverse = matches!(reachable, Some(Some(_)));
        // A goal with no inverse: stay, which is the nearest place that surely has one.
        self.goal = match (reachable, goal) {
            (Some(Some(reachable)), _) => Some(reachable.goal),
            (Some(None), Some(goal)) => Some(Goal {
                servo_cp: self.shaper.setpoint(),
                servo_cv: Twist::ZERO,
                jaw: self.limits.clamp_jaw(goal.jaw),
            }),
            (_, None) | (None, _) => None,
        };
    }

    /// How far the tip will be at most from where the newest command left it, one tick on.
    fn blind_motion_after_this_tick(&self) -> Mismatch {
        let gone = self.fresh_from.mismatch(&self.shaper.setpoint());
        let next = self.shaper.farthest_step();
        Mismatch {
            distance_m: gone.distance_m + next.distance_m,
            angle_rad: gone.angle_rad + next.angle_rad,
        }
    }

    /// One tick of one arm. Away from open country a step toward the goal is taken only with the
    /// proof that the arm can stop after it; else the arm begins to stop now, which the step before
    /// proved it can. So neither a wall nor a joint's limit ever stops it abruptly.
    fn tick(
        &mut self,
        permit: &Permit,
        motion: Motion,
    ) -> Result<(Checked<Told>, Checked<f64>), Fault> {
        let kept = self.shaper;
        let mut joints = self.shape(motion);
        if motion != Motion::Stop && !joints.is_some_and(|joints| self.may_go_to(&joints)) {
            self.shaper = kept;
            self.limited = true;
            self.joint_scale = (self.joint_scale * EASE_REFUSED).max(SCALE_MIN);
            joints = self.shape(Motion::Stop);
        }
        if !permit.jaw_may_open() {
            let held = self.shaper.jaw().min(kept.jaw());
            self.shaper.rest_jaw_at(held);
        }
        let joints = joints.ok_or(Fault::Limit)?;
        let setpoint = self.shaper.setpoint();
        let checked = self.limits.check(permit, &joints, &setpoint, &self.told)?;
        self.yield_to_joints(&checked.get());
        Ok((checked, self.limits.check_jaw(permit, self.shaper.jaw())?))
    }

    /// Moves the setpoint one tick; the joints that make it, if any do.
    fn shape(&mut self, motion: Motion) -> Option<JointPositions> {
        self.shaper.shape(self.goal.as_ref(), motion, self.joint_scale);
        self.limits.geometry().inverse(&self.shaper.setpoint(), self.told.joints()).ok()
    }

    /// Whether the arm may take this step toward its goal.
    fn may_go_to(&self, joints: &JointPositions) -> bool {
        let tip = self.shaper.setpoint().position();
        let told = self.limits.judge(joints, tip, &self.told);
        // What open country lets through, the check judges again.
        self.limits.is_open_country(&self.told) || told.is_some_and(|told| self.can_stop(told))
    }

    /// Whether the arm, told this, comes to rest by braking alone without breaking a limit. Cost:
    /// an inverse for each tick of the stop.
    fn can_stop(&self, mut told: Told) -> bool {
        let mut shaper = self.shaper;
        for _ in 0..STOP_TICKS_MAX {
            if shaper.is_at_rest() {
                return true;
            }
            shaper.shape(None, Motion::Stop, 0.0);
            let setpoint = shaper.setpoint();
            let joints = self.limits.geometry().inverse(&setpoint, told.joints()).ok();
            let next = joints.and_then(|q| self.limits.judge(&q, setpoint.position(), &told));
            let Some(next) = next else { return false };
            told = next;
        }
        false
    }

    /// Slows the tip before the joints reach their speed limit, and lets go slowly.
    fn yield_to_joints(&mut self, told: &Told) {
        // Chosen: from 70 % of any joint's speed on; 1 % a tick back.
        const EASE_AT: f64 = 0.7;
        let load = self.limits.joint_load(told);
        let wanted = if load > EASE_AT { self.joint_scale * EASE_AT / load } else { 1.0 };
        self.joint_scale = wanted.clamp(SCALE_MIN, 1.0).min(self.joint_scale * 1.01 + 1e-3);
    }
}

/// The slowest that the joints' limits may make the tip, as a share. Chosen: still moving.
const SCALE_MIN: f64 = 0.02;
/// What a refused step leaves of the tip's speed. Chosen: ten refusals leave a third.
const EASE_REFUSED: f64 = 0.9;

#[cfg(test)]
mod tests {
    //! What follows a step that the door refuses; only defects make it, so the limits are tampered
    //! with in mid-motion.
    use super::*;
    use longhand_protocol::message::{ArmCommand, Command, Reason};
    use nalgebra::Vector3;

    const HOME: JointPositions = JointPositions([0.0, 0.0, 0.12, 0.0, 0.0, 0.0]);
    const SPEED: Vector3<f64> = Vector3::new(0.05, 0.0, 0.0);

    struct Rig {
        follower: Follower,
        tick: u64,
        arms: PerArm<ArmReading>,
        state: FollowerState,
        /// Where PSM1's tip is to be.
        goal: Option<Vector3<f64>>,
    }

    impl Rig {
        /// PSM1 moves along x at 50 mm/s.
        fn moving() -> Self {
            let arm = ArmReading { measured_js: HOME, ..ArmReading::default() };
            let arms = PerArm { psm1: arm, psm2: arm };
            let follower = Follower::new(Profile::DEFAULT);
            let state = FollowerState::default();
            let mut rig = Self { follower, tick: 0, arms, state, goal: None };
            rig.step(false, Some(Request::Enable));
            rig.step(false, Some(Request::HandOver));
            for _ in 0..700 {
                rig.step(false, None);
            }
            for _ in 0..400 {
                rig.step(true, None);
            }
            assert_eq!(rig.state.stage, Stage::Follow);
            let speed = rig.follower.arms.psm1.shaper.twist().linear.x;
            assert!((speed - 0.05).abs() < 1e-3, "{speed}");
            rig
        }

        fn step(&mut self, pedal: bool, request: Option<Request>) -> Drive {
            self.tick += 1;
            let now = Instant::from_micros(1_000_000 + self.tick * 1_000);
            let mut command = Command { number: Seq::new(self.tick), ..Command::default() };
            command.key.epoch = Epoch::new(1);
            let intent = &mut command.intent;
            intent.hand_time = Instant::from_micros(self.tick * 1_000);
            intent.echo_robot_time = now.before(Micros::from_millis(3));
            intent.valid_for = Micros::from_millis(100);
            intent.levels.operator_present = pedal;
            intent.levels.energy = PerArm { psm1: true, psm2: true };
            for arm in ArmId::ALL {
                let state = self.state.arms.get(arm);
                let moves = arm == ArmId::Psm1 && self.state.stage <= Stage::Coast;
                let (mut servo_cp, mut servo_cv) = (state.setpoint_cp, Twist::ZERO);
                if moves {
                    let was = self.goal.unwrap_or(servo_cp.position());
                    let goal = was + SPEED * TICK.as_secs_f64();
                    self.goal = Some(goal);
                    servo_cp = Pose::new(goal, servo_cp.rotation());
                    servo_cv.linear = SPEED;
                }
                *intent.arms.get_mut(arm) = ArmCommand { servo_cp, servo_cv, jaw: 0.0 };
            }
            let inbox = [Inbound { command, received_at: now, checksum: 0 }];
            let output = self.follower.step(&TickInput {
                now,
                scheduled_at: now,
                inbox: &inbox,
                measured: self.arms,
                emergency_stop: false,
                peer_faults: PeerFaults::default(),
                request,
            });
            self.state = output.state;
            if let Drive::Servo(servo) = &output.drive {
                for arm in ArmId::ALL {
                    self.arms.get_mut(arm).measured_js = servo.joints.get(arm).get();
                }
            }
            output.drive
        }

        /// From now on no joint may be faster than this share of what PSM1's yaw does.
        fn limit_yaw(&mut self, share: f64) {
            let law = &mut self.follower.arms.psm1;
            let mut joints = Profile::DEFAULT.joints;
            let load = law.limits.joint_load(&law.told);
            let [yaw, ..] = joints.speed_max;
            joints.speed_max = [yaw * load * share; 6];
            law.limits = law.limits.with_joints(joints);
        }

        fn yaw(&self) -> f64 {
            let [yaw, ..] = self.arms.psm1.measured_js.0;
            yaw
        }
    }

    #[test]
    fn a_refused_step_becomes_a_stop_within_the_limits() {
        let mut rig = Rig::moving();
        let energy = |drive: &Drive| match drive {
            Drive::Servo(servo) => servo.energy,
            Drive::Brake => PerArm::default(),
        };
        assert_eq!(energy(&rig.step(true, None)), PerArm { psm1: true, psm2: true });
        // Going on as before is too fast from here on; the first tick of a stop is not.
        let before = rig.yaw();
        rig.limit_yaw(0.995);
        let drive = rig.step(true, None);
        assert!(matches!(drive, Drive::Servo(_)), "{drive:?}");
        assert_eq!((rig.state.stage, rig.state.reason), (Stage::Latched, Reason::Limit));
        assert_eq!(energy(&drive), PerArm::default());
        let first = rig.yaw() - before;
        assert!(first > 0.9 * 0.05 * 1e-3 / 0.12, "it went on, a little slower: {first}");
        let (mut last, mut ticks) = (first, 0);
        while last.abs() > 0.0 {
            let at = rig.yaw();
            rig.step(true, None);
            let now = rig.yaw() - at;
            assert!(now.abs() <= last.abs() + 1e-12, "it only slows down: {last} to {now}");
            let deceleration = (last - now).abs() / 1e-6;
            assert!(deceleration <= 60.0, "{deceleration} rad/s2");
            (last, ticks) = (now, ticks + 1);
            assert!(ticks < 30, "it stands");
        }
        assert!(ticks > 10, "it took its time: {ticks} ticks");
    }

    #[test]
    fn a_refused_stop_brakes_and_breaks_no_limit() {
        let mut rig = Rig::moving();
        rig.limit_yaw(0.5);
        let before = rig.arms;
        assert_eq!(rig.step(true, None), Drive::Brake);
        assert_eq!(rig.state.stage, Stage::SafeOff);
        assert_eq!(rig.arms, before, "no setpoint went out");
    }
}
