//! One tick of the surgeon's side: hand in, intent out.
//!
//! Knows: the order of the rooms. Does not know: what any of them decides.

use crate::advisory::Advisory;
use crate::engagement::{Engagement, Event};
use crate::frames::{HAND_BASE, SeenHand, seen_from_arm};
use crate::hand::{Attendance, HandSample, Orientation, Resample, Vigil};
use crate::teleop::{Anchor, Teleop};
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::{
    ALIGN_MAX_RAD, FollowerState, Intent, Levels, REALIGN_MAX_RAD, Stage, StateReport, Terms,
};
use longhand_protocol::units::{Console, Instant, Micros, Robot, Seq};

/// Everything that leaves a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaderOutput {
    /// What to send.
    pub intent: Intent,
    /// Whether the goal follows the hand.
    pub engagement: Engagement,
    /// What the surgeon must be told.
    pub advisory: Advisory,
    /// The anchors in force: what the goal is measured from.
    pub anchors: PerArm<Anchor>,
    /// How old the newest state is, console clock.
    pub state_age: Micros,
}

/// Hand metres to tip metres. Source: dVRK's default, 0.2.
pub const DEFAULT_SCALE: f64 = 0.2;
/// No state for this long and the goal stands. Chosen: the robot has latched by then
/// (`latch_after`, 200 ms), and its word to say so needs another trip.
const STATE_LOST_AFTER: Micros = Micros::from_millis(400);
/// How long after its turn a command may be used. Chosen: as long as Hold needs to begin, doubled.
const VALID_FOR: Micros = Micros::from_millis(100);

/// The surgeon's side of the law, for both hands.
#[derive(Clone, Copy, Debug)]
pub struct Leader {
    terms: Terms,
    scale: f64,
    engagement: Engagement,
    /// The alignment asked for on the way in: tighter after a clutch, until it follows or holds.
    align_bound: f64,
    /// The device fell silent with the pedal down, or the leader let go: only a release that it
    /// reports itself counts.
    pedal_unknown: bool,
    vigil: Vigil,
    /// The newest sample that was all numbers.
    heard: HandSample,
    /// Each energy pedal was seen released since the tool last stood against the surgeon's will.
    energy_released: PerArm<bool>,
    resample: Resample,
    arms: PerArm<Teleop>,
    /// The newest state, and when the console received it.
    seen: Option<(StateReport, Instant<Console>)>,
}

impl Leader {
    /// A leader for a robot with these terms; `scale` is clamped to 0.05 .. 1.
    pub fn new(terms: Terms, scale: f64) -> Self {
        Self {
            terms,
            scale: if scale.is_finite() { scale.clamp(0.05, 1.0) } else { DEFAULT_SCALE },
            engagement: Engagement::Disconnected,
            align_bound: ALIGN_MAX_RAD,
            pedal_unknown: false,
            vigil: Vigil::default(),
            heard: HandSample::default(),
            energy_released: PerArm::default(),
            resample: Resample::default(),
            arms: PerArm::default(),
            seen: None,
        }
    }

    /// Hand metres to tip metres.
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    /// A new session: other terms, and nothing known of the robot yet.
    pub const fn begin_session(&mut self, terms: Terms) {
        self.terms = terms;
        self.seen = None;
        self.engagement = Engagement::Disconnected;
    }

    /// The robot does not do what this console says: the pedal does not count until it was released
    /// and pressed again.
    pub const fn let_go(&mut self) {
        self.pedal_unknown = true;
    }

    /// One tick: `hand` is the newest sample of the device, `report` the newest state if one has
    /// come since the last tick. Total: it always gives an intent. A sample in which something is
    /// no number is not heard: to the leader such a device is silent.
    pub fn step(
        &mut self,
        now: Instant<Console>,
        hand: &HandSample,
        report: Option<&StateReport>,
    ) -> LeaderOutput {
        if let Some(report) = report {
            self.seen = Some((*report, now));
        }
        if hand.is_finite() {
            self.heard = *hand;
        }
        let heard = self.heard;
        let hand = &heard;
        if self.engagement != Engagement::Following {
            // What a hand did before it is tied to its goal must not move the goal after: no ramp
            // from an old place may be under way then. While the goal stands there is nothing to
            // smooth.
            self.resample = Resample::default();
        }
        let hands = self.resample.step(hand).map(|reading| seen_from_arm(HAND_BASE, &reading));
        let attendance = self.vigil.step(now, hand);
        let present = self.is_present(now, hand) && attendance != Attendance::Absent;
        let state_age = self.seen.map_or(Micros::MAX, |(_, at)| now.since(at));
        let before = self.engagement;
        self.engagement = before.next(self.event(&hands, hand, state_age));
        self.align_bound = match self.engagement {
            Engagement::Clutched => REALIGN_MAX_RAD,
            Engagement::Aligning => self.align_bound,
            Engagement::Disconnected | Engagement::Held | Engagement::Following => ALIGN_MAX_RAD,
        };
        self.note_energy(hand, present);
        self.move_goals(before, &hands, report);
        for arm in ArmId::ALL {
            self.arms.get_mut(arm).remember(now);
        }
        self.output(now, hand, present, attendance, state_age)
    }

    /// Whether the foot is on the pedal. A device that falls silent with the pedal down has not
    /// released it: when it speaks again, it must be seen released before it counts as pressed.
    fn is_present(&mut self, now: Instant<Console>, hand: &HandSample) -> bool {
        let speaks = now.since(hand.sampled_at) <= hand.valid_for;
        if hand.operator_present && !speaks {
            self.pedal_unknown = true;
        } else if speaks && !hand.operator_present {
            self.pedal_unknown = false;
        }
        hand.operator_present && speaks && !self.pedal_unknown
    }

    /// A hold takes the energy, and its end does not give it back: a foot that stayed on the energy
    /// pedal would burn at a moment that the robot chose.
    fn note_energy(&mut self, hand: &HandSample, present: bool) {
        let stands = match self.engagement {
            Engagement::Disconnected | Engagement::Held => true,
            Engagement::Aligning | Engagement::Clutched | Engagement::Following => !present,
        };
        self.energy_released = PerArm::from_fn(|arm| {
            !*hand.energy.get(arm) || (*self.energy_released.get(arm) && !stands)
        });
    }

    fn event(&self, hands: &PerArm<SeenHand>, sample: &HandSample, state_age: Micros) -> Event {
        let Some((report, _)) = self.seen else { return Event::StateLost };
        if state_age > STATE_LOST_AFTER.max(self.terms.loop_age_max) {
            return Event::StateLost;
        }
        match report.state.stage {
            Stage::Hold | Stage::Latched | Stage::Bedside | Stage::SafeOff | Stage::Disabled => {
                Event::RobotHolds
            }
            Stage::Follow | Stage::Coast | Stage::Brake if sample.clutch => Event::ClutchPressed,
            Stage::Follow | Stage::Coast | Stage::Brake => {
                if sample.orientation == Orientation::Relative || self.is_aligned(hands) {
                    Event::Aligned
                } else {
                    Event::Misaligned
                }
            }
        }
    }

    /// Whether both hands point as their goals do, closely enough for the way in.
    fn is_aligned(&self, hands: &PerArm<SeenHand>) -> bool {
        ArmId::ALL.into_iter().all(|arm| {
            let goal = self.arms.get(arm).command().servo_cp.rotation();
            hands.get(arm).pose.rotation().angle_to(&goal) <= self.align_bound
        })
    }

    fn move_goals(
        &mut self,
        before: Engagement,
        hands: &PerArm<SeenHand>,
        news: Option<&StateReport>,
    ) {
        let speed = self.seen.map_or(0.0, |(r, _)| self.terms.speed_scale(r.state.loop_age));
        for arm in ArmId::ALL {
            let (teleop, hand) = (self.arms.get_mut(arm), hands.get(arm));
            if let Some(report) = news {
                teleop.hear(&report.state, arm);
            }
            match (self.engagement, self.seen) {
                (Engagement::Held, Some((report, _))) => teleop.pin(report.state.arms.get(arm)),
                (Engagement::Following, _) => {
                    if before != Engagement::Following {
                        teleop.anchor_here(hand);
                    }
                    teleop.servo_cp(hand, self.scale, speed, &self.terms);
                }
                (
                    Engagement::Held
                    | Engagement::Disconnected
                    | Engagement::Aligning
                    | Engagement::Clutched,
                    _,
                ) => teleop.stand(),
            }
        }
    }

    fn output(
        &self,
        now: Instant<Console>,
        hand: &HandSample,
        present: bool,
        attendance: Attendance,
        state_age: Micros,
    ) -> LeaderOutput {
        let state = self.seen.as_ref().map(|(report, _)| &report.state);
        let slipped = self.arms.iter().any(Teleop::slipped);
        let (terms, engagement) = (&self.terms, self.engagement);
        LeaderOutput {
            intent: Intent {
                hand_time: now,
                echo_robot_time: state.map_or(Instant::<Robot>::ORIGIN, |s| s.robot_time),
                echo_state: self.seen.map_or(Seq::ZERO, |(r, _)| r.number),
                valid_for: VALID_FOR,
                levels: Levels {
                    operator_present: present,
                    clutch: hand.clutch,
                    engaged: self.engagement == Engagement::Following,
                    energy: PerArm::from_fn(|arm| {
                        *hand.energy.get(arm) && *self.energy_released.get(arm) && present
                    }),
                },
                arms: PerArm::from_fn(|arm| self.arms.get(arm).command()),
            },
            engagement: self.engagement,
            advisory: Advisory::pick(state, engagement, terms, present, attendance, slipped),
            anchors: PerArm::from_fn(|arm| self.arms.get(arm).anchor()),
            state_age,
        }
    }

    /// The newest state that the leader has been handed.
    pub fn state(&self) -> Option<&FollowerState> {
        self.seen.as_ref().map(|(report, _)| &report.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand::Nature;
    use longhand_protocol::geometry::{Mismatch, Pose};
    use nalgebra::{UnitQuaternion, Vector3};

    const TERMS: Terms = Terms {
        tip_speed_max: 0.1,
        tip_rate_max: 2.0,
        blend_max: Mismatch { distance_m: 1e-3, angle_rad: 0.035 },
        anchor_max: Mismatch { distance_m: 20e-3, angle_rad: 0.087 },
        loop_age_max: Micros::from_millis(300),
        loop_age_warn: Micros::from_millis(200),
        latch_after: Micros::from_millis(200),
    };

    fn report(stage: Stage, x: f64) -> StateReport {
        let mut report = StateReport::default();
        report.state.stage = stage;
        for arm in ArmId::ALL {
            let s = report.state.arms.get_mut(arm);
            s.setpoint_cp = Pose::new(Vector3::new(x, 0.0, -0.1), UnitQuaternion::identity());
        }
        report
    }

    fn hand(ms: u64, x: f64) -> HandSample {
        let mut s = HandSample {
            sampled_at: Instant::from_micros(ms * 1_000),
            valid_for: Micros::from_millis(20),
            operator_present: true,
            ..HandSample::default()
        };
        for arm in ArmId::ALL {
            s.hands.get_mut(arm).pose =
                Pose::new(Vector3::new(x, 0.0, 0.0), UnitQuaternion::identity());
        }
        s
    }

    fn step(leader: &mut Leader, ms: u64, x: f64, report: &StateReport) -> LeaderOutput {
        leader.step(Instant::from_micros(ms * 1_000), &hand(ms, x), Some(report))
    }

    fn goal_x(out: &LeaderOutput) -> f64 {
        out.intent.arms.psm1.servo_cp.position().x
    }

    #[test]
    fn held_goal_lies_on_the_tool_whatever_the_hand_does() {
        let mut leader = Leader::new(TERMS, 0.2);
        for ms in 1..200 {
            let x = 1e-3 * f64::from(u32::try_from(ms).unwrap());
            let out = step(&mut leader, ms, x, &report(Stage::Hold, 0.03));
            assert_eq!(out.engagement, Engagement::Held);
            assert!((goal_x(&out) - 0.03).abs() < 1e-15);
        }
    }

    #[test]
    fn engaging_makes_no_step_and_then_follows_scaled() {
        let mut leader = Leader::new(TERMS, 0.2);
        step(&mut leader, 1, 0.5, &report(Stage::Hold, 0.03));
        let out = step(&mut leader, 2, 0.5, &report(Stage::Follow, 0.03));
        assert_eq!(out.engagement, Engagement::Following);
        assert!((goal_x(&out) - 0.03).abs() < 1e-12);
        // The hand moves 10 mm in 100 ms: the goal moves 2 mm.
        let mut last = out;
        for i in 1..=100u64 {
            let x = 0.5 + 1e-4 * f64::from(u32::try_from(i).unwrap());
            last = step(&mut leader, 2 + i, x, &report(Stage::Follow, 0.03));
        }
        assert!((goal_x(&last) - 0.032).abs() < 1e-9);
    }

    #[test]
    fn what_a_hand_did_while_the_console_stood_still_moves_no_goal_after_engaging() {
        let mut leader = Leader::new(TERMS, 0.2);
        step(&mut leader, 1, 0.0, &report(Stage::Hold, 0.03));
        // 62 ms are stolen; meanwhile the hand goes 15 mm, and the robot comes back.
        for ms in 63..200 {
            let out = step(&mut leader, ms, 0.015, &report(Stage::Follow, 0.03));
            assert_eq!(out.engagement, Engagement::Following);
            assert!((goal_x(&out) - 0.03).abs() < 1e-12, "{ms} ms: {}", goal_x(&out));
        }
    }

    #[test]
    fn a_clutch_moves_the_hand_and_not_the_goal() {
        let mut leader = Leader::new(TERMS, 0.2);
        step(&mut leader, 1, 0.0, &report(Stage::Hold, 0.0));
        step(&mut leader, 2, 0.0, &report(Stage::Follow, 0.0));
        for ms in 3..100 {
            let mut sample = hand(ms, 1e-3 * f64::from(u32::try_from(ms).unwrap()));
            sample.clutch = true;
            let out = leader.step(Instant::from_micros(ms * 1_000), &sample, None);
            assert!(goal_x(&out).abs() < 1e-15);
        }
        let out = step(&mut leader, 100, 0.1, &report(Stage::Follow, 0.0));
        assert!(goal_x(&out).abs() < 1e-15, "released where the hand is: no step");
    }

    #[test]
    fn a_hand_too_fast_slips_instead_of_being_chased() {
        let mut leader = Leader::new(TERMS, 1.0);
        step(&mut leader, 1, 0.0, &report(Stage::Hold, 0.0));
        step(&mut leader, 2, 0.0, &report(Stage::Follow, 0.0));
        // The hand jumps half a metre; the goal may follow 10 mm of it, at 90 mm/s.
        let mut last = step(&mut leader, 3, 0.5, &report(Stage::Follow, 0.0));
        assert_eq!(last.advisory, Advisory::TooFast);
        for ms in 4..2_000 {
            let before = goal_x(&last);
            last = step(&mut leader, ms, 0.5, &report(Stage::Follow, 0.0));
            assert!(goal_x(&last) - before <= 0.09e-3 + 1e-9);
        }
        assert!((goal_x(&last) - 10e-3).abs() < 0.2e-3, "{}", goal_x(&last));
    }

    #[test]
    fn a_wrist_turned_far_too_fast_slips_about_the_axis_that_it_turned_about() {
        let mut leader = Leader::new(TERMS, 1.0);
        let follow = report(Stage::Follow, 0.0);
        let turned = |ms: u64, about: UnitQuaternion<f64>| {
            let mut s = hand(ms, 0.0);
            for arm in ArmId::ALL {
                s.hands.get_mut(arm).pose = Pose::new(Vector3::zeros(), about);
            }
            s
        };
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let about = |axis: Vector3<f64>, rad: f64| UnitQuaternion::from_scaled_axis(axis * rad);
        step(&mut leader, 1, 0.0, &report(Stage::Hold, 0.0));
        leader.step(at(2), &turned(2, UnitQuaternion::identity()), Some(&follow));
        let mut ms = 2;
        // A quarter turn about x, slow enough to follow; then at once 1 rad more about y.
        for i in 1..=1_570 {
            ms += 1;
            let x = about(Vector3::x(), 1e-3 * f64::from(i));
            leader.step(at(ms), &turned(ms, x), Some(&follow));
        }
        let x = about(Vector3::x(), 1.57);
        let mut out = leader.step(at(ms), &turned(ms, x), Some(&follow));
        for _ in 0..1_000 {
            ms += 1;
            let both = about(Vector3::y(), 1.0) * x;
            out = leader.step(at(ms), &turned(ms, both), Some(&follow));
        }
        let made = out.intent.arms.psm1.servo_cp.rotation() * x.inverse();
        let axis = made.scaled_axis();
        assert!((axis.y - SLIP).abs() < 0.01, "only what the goal may lag is followed: {axis}");
        assert!(axis.x.abs() + axis.z.abs() < 0.01, "and about y alone: {axis}");
    }

    /// `SLIP_AFTER_RAD` of `teleop`, and the first tick's turn.
    const SLIP: f64 = 0.352;

    #[test]
    fn an_absolute_hand_must_be_aligned_on_the_way_in_only() {
        let mut leader = Leader::new(TERMS, 0.2);
        let turned = |ms: u64, deg: f64| {
            let mut s = hand(ms, 0.0);
            s.orientation = Orientation::Absolute;
            for arm in ArmId::ALL {
                let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), deg.to_radians());
                s.hands.get_mut(arm).pose = Pose::new(Vector3::zeros(), turn);
            }
            s
        };
        let r = report(Stage::Follow, 0.0);
        leader.step(Instant::from_micros(1_000), &turned(1, 0.0), Some(&report(Stage::Hold, 0.0)));
        let out = leader.step(Instant::from_micros(2_000), &turned(2, 6.0), Some(&r));
        assert_eq!((out.engagement, out.advisory), (Engagement::Aligning, Advisory::AlignHand));
        let out = leader.step(Instant::from_micros(3_000), &turned(3, 4.9), Some(&r));
        assert_eq!(out.engagement, Engagement::Following);
        let out = leader.step(Instant::from_micros(4_000), &turned(4, 8.0), Some(&r));
        assert_eq!(out.engagement, Engagement::Following);
        let mut clutched = turned(5, 8.0);
        clutched.clutch = true;
        leader.step(Instant::from_micros(5_000), &clutched, Some(&r));
        let goal = leader.arms.psm1.command().servo_cp.rotation().angle().to_degrees();
        let out = leader.step(Instant::from_micros(6_000), &turned(6, goal + 2.1), Some(&r));
        assert_eq!(out.engagement, Engagement::Aligning, "2 deg after a clutch");
        let out = leader.step(Instant::from_micros(7_000), &turned(7, goal + 2.1), Some(&r));
        assert_eq!(out.engagement, Engagement::Aligning, "and it stays 2 deg");
    }

    #[test]
    fn a_silent_device_means_operator_absent() {
        let mut leader = Leader::new(TERMS, 0.2);
        let sample = hand(100, 0.0);
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        assert!(leader.step(at(119), &sample, None).intent.levels.operator_present);
        assert!(leader.step(at(120), &sample, None).intent.levels.operator_present);
        assert!(!leader.step(at(121), &sample, None).intent.levels.operator_present);
        // It speaks again, the pedal still down: that was no release.
        let again = hand(130, 0.0);
        assert!(!leader.step(at(130), &again, None).intent.levels.operator_present);
        let mut released = hand(140, 0.0);
        released.operator_present = false;
        leader.step(at(140), &released, None);
        let pressed = hand(150, 0.0);
        assert!(leader.step(at(150), &pressed, None).intent.levels.operator_present);
    }

    #[test]
    fn a_leader_that_let_go_waits_for_release_and_press() {
        let mut leader = Leader::new(TERMS, 0.2);
        let mut present = |ms: u64, pressed: bool, lets_go: bool| {
            if lets_go {
                leader.let_go();
            }
            let sample = HandSample { operator_present: pressed, ..hand(ms, 0.1) };
            let at = Instant::from_micros(ms * 1_000);
            let out = leader.step(at, &sample, Some(&report(Stage::Follow, 0.0)));
            out.intent.levels.operator_present
        };
        assert!(present(1, true, false));
        assert!(!present(2, true, true) && !present(3, true, false));
        assert!(!present(4, false, false) && present(5, true, false));
    }

    #[test]
    fn a_hand_that_is_no_number_is_a_silent_device() {
        let mut leader = Leader::new(TERMS, 0.2);
        step(&mut leader, 1, 0.1, &report(Stage::Hold, 0.03));
        let follow = report(Stage::Follow, 0.03);
        for ms in 2..100 {
            assert!(step(&mut leader, ms, 0.1, &follow).intent.levels.operator_present);
        }
        for ms in 100..200 {
            let out = step(&mut leader, ms, f64::NAN, &follow);
            assert!((goal_x(&out) - 0.03).abs() < 1e-12, "{}", goal_x(&out));
            assert_eq!(out.intent.levels.operator_present, ms < 120, "{ms}");
        }
        let out = step(&mut leader, 200, 0.1, &follow);
        assert!(!out.intent.levels.operator_present, "it speaks again, and released nothing");
        assert!((goal_x(&out) - 0.03).abs() < 1e-12);
    }

    #[test]
    fn a_wedged_pedal_over_a_frozen_hand_pauses_until_it_is_released() {
        let mut leader = Leader::new(TERMS, 0.2);
        let mut told = |ms: u64, x: f64, nature: Nature, pressed: bool| {
            let sample = HandSample { nature, operator_present: pressed, ..hand(ms, x) };
            let at = Instant::from_micros(ms * 1_000);
            let out = leader.step(at, &sample, Some(&report(Stage::Follow, 0.0)));
            (out.intent.levels.operator_present, out.advisory)
        };
        for ms in 1..=501 {
            assert_eq!(told(ms, 0.1, Nature::Tracked, true), (true, Advisory::Following), "{ms}");
        }
        for ms in 502..=2_001 {
            assert_eq!(told(ms, 0.1, Nature::Tracked, true), (true, Advisory::HandStill), "{ms}");
        }
        for ms in 2_002..3_000 {
            assert_eq!(told(ms, 0.1, Nature::Tracked, true), (false, Advisory::NobodyHolds));
        }
        let moves = |ms: u64| 0.1 + 1e-6 * f64::from(u32::try_from(ms).unwrap());
        assert!(!told(3_000, moves(3_000), Nature::Tracked, true).0, "no release yet");
        told(3_001, moves(3_001), Nature::Tracked, false);
        for ms in 3_002..8_000 {
            assert!(told(ms, moves(ms), Nature::Tracked, true).0, "{ms}");
        }
        // A mouse or a script at rest stands still for as long as it likes.
        for ms in 8_000..13_000 {
            assert!(told(ms, 0.2, Nature::Made, true).0, "{ms}");
        }
    }

    #[test]
    fn a_hold_takes_the_energy_until_its_pedal_was_released() {
        let mut leader = Leader::new(TERMS, 0.2);
        let mut asks = |ms: u64, stage: Stage, pressed: bool| {
            let mut sample = hand(ms, 0.0);
            sample.energy.psm1 = pressed;
            let at = Instant::from_micros(ms * 1_000);
            leader.step(at, &sample, Some(&report(stage, 0.0))).intent.levels.energy.psm1
        };
        assert!(!asks(1, Stage::Hold, false));
        assert!(asks(2, Stage::Follow, true));
        assert!(asks(3, Stage::Coast, true), "a late command is no hold");
        assert!(!asks(4, Stage::Hold, true));
        assert!(!asks(5, Stage::Follow, true), "the foot was never lifted");
        assert!(!asks(6, Stage::Follow, false));
        assert!(asks(7, Stage::Follow, true));
    }

    #[test]
    fn an_open_hand_does_not_open_a_closed_jaw() {
        let mut leader = Leader::new(TERMS, 0.2);
        let mut sample = hand(1, 0.0);
        sample.hands.psm1.jaw = 0.8;
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        leader.step(at(1), &sample, Some(&report(Stage::Hold, 0.0)));
        let out = leader.step(at(2), &sample, Some(&report(Stage::Follow, 0.0)));
        assert!(out.intent.arms.psm1.jaw.abs() < 1e-12, "the tool's jaw is closed");
        sample.sampled_at = at(3);
        sample.hands.psm1.jaw = -0.1;
        leader.step(at(3), &sample, Some(&report(Stage::Follow, 0.0)));
        let out = leader.step(at(4), &sample, Some(&report(Stage::Follow, 0.0)));
        assert!((out.intent.arms.psm1.jaw + 0.1).abs() < 1e-12, "the grip passed the jaw");
    }

    #[test]
    fn no_state_for_too_long_the_goal_stands() {
        let mut leader = Leader::new(TERMS, 0.2);
        step(&mut leader, 1, 0.0, &report(Stage::Follow, 0.0));
        let out = leader.step(Instant::from_micros(402_000), &hand(402, 0.3), None);
        assert_eq!((out.engagement, out.advisory), (Engagement::Disconnected, Advisory::NoLink));
    }
}
