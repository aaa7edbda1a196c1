//! One tick of the robot's side: commands in, joints out.
//!
//! Knows: the order of the rooms. Does not know: what any of them decides.

use crate::fault::{Broken, Fault, ensure};
use crate::kinematics::PsmGeometry;
use crate::limits::{Checked, Limits};
use crate::playout::{Goal, Inbound, Pick, Playout};
use crate::profile::Profile;
use crate::shaper::Shaper;
use crate::supervisor::{Observation, Permit, Request, Supervisor, Transition};
use crate::watchdog::{Verdict, Watchdog};
use longhand_protocol::geometry::{ArmId, JointPositions, Mismatch, PerArm, Pose, RobotBase, Tip};
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
    pub answer: Transition,
}

/// A second corrupted message within this time latches. Source: I23, after OPC UA Safety's
/// `SafetyErrorIntervalLimit` of 600 minutes.
const CORRUPTED_WITHIN: Micros = Micros::from_secs(36_000);
/// A tick begun later than this after its time is counted as late. Source: I19, 200 us.
const LATE_AFTER: Micros = Micros::from_micros(200);
/// Held this long, the arm must be where it was told. Chosen: five times a drive's settling time.
const SETTLED_AFTER_TICKS: u32 = 100;

/// The robot's side of the law, for both arms.
#[derive(Debug)]
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
    peer_faults: PeerFaults,
    corrupted_at: Option<Instant<Robot>>,
}

/// One arm's part.
#[derive(Clone, Copy, Debug)]
struct ArmLaw {
    limits: Limits,
    shaper: Shaper,
    /// What the arm was told last; its reading while the drives are off.
    told: JointPositions,
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
            request: input.request,
        };
        let (permit, answer) = self.supervisor.next(&seen);
        let drive = self.drive(&permit, input);
        self.close(pick.as_ref(), input.now, before);
        let state = self.report(input, pick.as_ref(), &verdict, &drive);
        TickOutput { drive, state, answer }
    }

    /// Ticks that never began since the last one.
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
            if !driven {
                law.rest_at_reading(input.measured.get(arm));
            } else if stalled {
                law.shaper.stand();
            }
            law.aim(pick.map(|p| p.goal.get(arm)));
        }
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
        let finite = input.measured.iter().all(|r| r.measured_js.is_finite());
        let strayed = held
            && ArmId::ALL.into_iter().any(|arm| {
                let law = self.arms.get(arm);
                let at = law.limits_geometry().forward(&input.measured.get(arm).measured_js);
                let off = (at.position() - law.shaper.setpoint().position()).norm();
                off > self.profile.motion.hold_error_max
            });
        [
            (missed > self.profile.stages.missed_ticks_max, Fault::MissedTicks),
            // With its power off a drive clears its fault; until then nobody is moving anyway.
            (drive && driven, Fault::Drive),
            (strayed, Fault::HoldError),
            (!finite, Fault::Drive),
            (input.emergency_stop, Fault::EmergencyStop),
        ]
        .into_iter()
        .filter_map(|(holds, fault)| holds.then_some(fault))
        .max()
    }

    /// Shapes, inverts, checks; a fault found here acts here.
    fn drive(&mut self, permit: &Permit, input: &TickInput<'_>) -> Drive {
        if !permit.may_drive() {
            self.settle_off(input);
            return Drive::Brake;
        }
        match self.servo(permit) {
            Ok(servo) => Drive::Servo(servo),
            Err(fault) => {
                self.supervisor.fault(fault);
                self.hold_last(permit, fault)
            }
        }
    }

    fn servo(&mut self, permit: &Permit) -> Result<Servo, Fault> {
        let psm1 = self.arms.psm1.tick(permit)?;
        let psm2 = self.arms.psm2.tick(permit)?;
        ensure(permit.may_drive())?;
        self.arms.psm1.told = psm1.0.get();
        self.arms.psm2.told = psm2.0.get();
        Ok(Servo {
            joints: PerArm { psm1: psm1.0, psm2: psm2.0 },
            jaw: PerArm { psm1: psm1.1, psm2: psm2.1 },
            energy: permit.energy(),
        })
    }

    /// A setpoint was refused: both arms stay where they were told last, energy off. Where not even
    /// that passes, or the software itself is broken, the drives brake.
    fn hold_last(&mut self, permit: &Permit, fault: Fault) -> Drive {
        let mut hold = |arm: ArmId| -> Result<(Checked<JointPositions>, Checked<f64>), Fault> {
            let law = self.arms.get_mut(arm);
            let told = law.told;
            law.shaper.rest_at(law.limits_geometry().forward(&told));
            Ok((
                law.limits.check(permit, told, &told)?,
                law.limits.check_jaw(permit, law.shaper.jaw())?,
            ))
        };
        let held = if fault == Fault::Limit {
            hold(ArmId::Psm1).and_then(|one| hold(ArmId::Psm2).map(|two| (one, two)))
        } else {
            Err(fault)
        };
        match held {
            Ok((one, two)) => Drive::Servo(Servo {
                joints: PerArm { psm1: one.0, psm2: two.0 },
                jaw: PerArm { psm1: one.1, psm2: two.1 },
                energy: PerArm::default(),
            }),
            Err(worse) => {
                self.supervisor.fault(worse.max(Fault::HoldError));
                Drive::Brake
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
                    measured_cp: law.limits_geometry().forward(&reading.measured_js),
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
        let geometry = PsmGeometry::CLASSIC_LND_400006;
        let pose = Pose::IDENTITY;
        Self {
            limits: Limits::new(profile.joints, profile.volume, geometry),
            shaper: Shaper::at_rest(profile.motion, profile.stages.blend_over, pose, 0.0),
            told: JointPositions::default(),
            fresh_from: pose,
            joint_scale: 1.0,
            goal: None,
            has_inverse: false,
            limited: false,
        }
    }

    const fn limits_geometry(&self) -> &PsmGeometry {
        self.limits.geometry()
    }

    /// The drives are off: the setpoint is where the arm is, so that power never makes it jump.
    fn rest_at_reading(&mut self, reading: &ArmReading) {
        if reading.measured_js.is_finite() {
            self.told = reading.measured_js;
            self.shaper.rest_at(self.limits_geometry().forward(&reading.measured_js));
        }
        if reading.measured_jaw.is_finite() {
            self.shaper.rest_jaw_at(self.limits.clamp_jaw(reading.measured_jaw));
        }
        self.fresh_from = self.shaper.setpoint();
    }

    fn aim(&mut self, goal: Option<&Goal>) {
        let near = self.told;
        let reachable = goal.map(|goal| self.limits.reachable(goal, &near));
        self.limited = matches!(reachable, Some(None))
            || reachable.flatten().is_some_and(|reachable| reachable.limited);
        self.has_inverse = matches!(reachable, Some(Some(_)));
        // A goal with no inverse: stay, which is the nearest place that surely has one.
        self.goal = match (reachable, goal) {
            (Some(Some(reachable)), _) => Some(reachable.goal),
            (Some(None), Some(goal)) => Some(Goal {
                servo_cp: self.shaper.setpoint(),
                servo_cv: longhand_protocol::geometry::Twist::ZERO,
                jaw: self.limits.clamp_jaw(goal.jaw),
            }),
            (_, None) | (None, _) => None,
        };
    }

    /// How far the tip will be from where the newest command left it, one tick on.
    fn blind_motion_after_this_tick(&self) -> Mismatch {
        let gone = self.fresh_from.mismatch(&self.shaper.setpoint());
        let twist = self.shaper.twist();
        let dt = TICK.as_secs_f64();
        Mismatch {
            distance_m: gone.distance_m + twist.linear.norm() * dt,
            angle_rad: gone.angle_rad + twist.angular.norm() * dt,
        }
    }

    /// One tick of one arm. Nothing is kept unless the check passes.
    fn tick(&mut self, permit: &Permit) -> Result<(Checked<JointPositions>, Checked<f64>), Fault> {
        let before = *self;
        let checked = self.try_tick(permit);
        if checked.is_err() {
            *self = before;
        }
        checked
    }

    fn try_tick(
        &mut self,
        permit: &Permit,
    ) -> Result<(Checked<JointPositions>, Checked<f64>), Fault> {
        self.shaper.shape(self.goal.as_ref(), permit.motion(), self.joint_scale);
        let setpoint = self.shaper.setpoint();
        ensure(setpoint.is_finite())?;
        let joints = self
            .limits_geometry()
            .inverse(&setpoint, &self.told)
            .map_err(|_unreachable| Fault::Limit)?;
        self.yield_to_joints(&joints);
        let checked = self.limits.check(permit, joints, &self.told)?;
        let jaw = self.limits.check_jaw(permit, self.shaper.jaw())?;
        self.agrees(&checked)?;
        Ok((checked, jaw))
    }

    /// Slows the tip before the joints reach their speed limit, and lets go slowly.
    fn yield_to_joints(&mut self, joints: &JointPositions) {
        // Chosen: from 70 % of any joint's speed on; 1 % a tick back.
        const EASE_AT: f64 = 0.7;
        let load = self.limits.joint_load(joints, &self.told);
        let wanted = if load > EASE_AT { self.joint_scale * EASE_AT / load } else { 1.0 };
        self.joint_scale = wanted.clamp(0.02, 1.0).min(self.joint_scale * 1.01 + 1e-3);
    }

    /// The joints that go out must put the tip where the shaper put it: the inverse, checked by the
    /// forward solution, to a nanometre.
    fn agrees(&self, joints: &Checked<JointPositions>) -> Result<(), Broken> {
        let tip = self.limits_geometry().forward(&joints.get());
        ensure((tip.position() - self.shaper.setpoint().position()).norm() <= 1e-9)
    }
}
