//! The page as a pair of hands: its rates, summed up to where the hands are.
//!
//! Knows: hand space (`page::input`) and how it lies in the hand base; how far one tick may carry a
//! hand. Does not know: sockets, the robot, the clutch rule, or what becomes of a pose.
//!
//! Why a rate from the browser and a pose from here: a message from the page that is lost, late or
//! repeated changes how long a rate holds and never where the hand is (`page`).

use crate::input::{Hand, Seen};
use crate::page::{HandRates, InputSource, PageHandReader};
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::{HandReading, HandSample, Nature, Orientation};
use longhand_protocol::geometry::{self, ArmId, HandBase, PerArm, Pose};
use longhand_protocol::message::FollowerState;
use longhand_protocol::units::{Console, Instant, Micros};
use nalgebra::{UnitQuaternion, Vector3};

/// How long one reading counts. Chosen: it is read every tick, so twenty missed ticks mean that the
/// leader thread itself has stalled; the page's own age is judged by its reader.
const VALID_FOR: Micros = Micros::from_millis(20);
/// A tick later than this carries the hand no further: after a stall the hand lacks some way, it
/// does not jump. Chosen: five ticks; at the page's fastest 1 m/s that is 5 mm of hand.
const STEP_MAX: Micros = Micros::from_millis(5);
/// The jaw that a page may ask for, radians. Chosen: the needle driver's own 80 deg, and 20 deg
/// past closed, which is grip. The robot's limits are its own (`Limits::clamp_jaw`).
const JAW_LOW: f64 = -20.0 * core::f64::consts::PI / 180.0;
const JAW_HIGH: f64 = 80.0 * core::f64::consts::PI / 180.0;

/// Why a pedal that the page shows pressed does not count.
pub(crate) const RELEASE_FIRST: &str = "the pedal was down before it was heard; release it first";

/// Mouse, keyboard or gamepad on the page.
#[derive(Debug)]
pub struct PageHand {
    reader: PageHandReader,
    poses: PerArm<Pose<HandBase, geometry::Hand>>,
    jaw: PerArm<f64>,
    /// The tool's own jaw, which the grip lies on while the tool does not follow.
    tool_jaw: Option<PerArm<f64>>,
    last: Option<Instant<Console>>,
    note: &'static str,
    /// Nothing was heard from the page: a pedal that was down then is not known to be down now, and
    /// must be seen released first.
    pedal_unknown: bool,
}

impl PageHand {
    /// Hands at the hand base's origin, jaws closed, nobody there yet.
    pub fn new(reader: PageHandReader) -> Self {
        Self {
            reader,
            poses: PerArm::default(),
            jaw: PerArm::default(),
            tool_jaw: None,
            last: None,
            note: "",
            pedal_unknown: false,
        }
    }

    fn advance(&mut self, rates: &PerArm<HandRates>, elapsed: Micros, seen: &Seen) {
        let dt = elapsed.min(STEP_MAX).as_secs_f64();
        for arm in ArmId::ALL {
            let rate = rates.get(arm);
            let pose = self.poses.get_mut(arm);
            let turn = UnitQuaternion::from_scaled_axis(in_hand_base(rate.angular_rad_s) * dt);
            *pose = Pose::new(
                pose.position() + in_hand_base(rate.linear_m_s) * dt,
                turn * pose.rotation(),
            );
            let jaw = self.jaw.get_mut(arm);
            match (seen.engagement, &self.tool_jaw) {
                // The grip lies on the jaw, so that it is caught the moment the tool follows.
                (
                    Engagement::Disconnected | Engagement::Held | Engagement::Aligning,
                    Some(tool),
                ) => *jaw = *tool.get(arm),
                // A page's jaw has no handle to move back: what it did unseen would be a step.
                (Engagement::Clutched, _) => {}
                (
                    Engagement::Disconnected
                    | Engagement::Held
                    | Engagement::Aligning
                    | Engagement::Following,
                    _,
                ) => *jaw = (*jaw + rate.jaw_rad_s * dt).clamp(JAW_LOW, JAW_HIGH),
            }
        }
    }
}

/// Hand space (x right, y up, z toward the surgeon) as the hand base has it: parallel to the arms'
/// bases, which the page shows as x right, y away, z up, and in which the scripts are written.
fn in_hand_base(v: [f64; 3]) -> Vector3<f64> {
    let [x, y, z] = v;
    Vector3::new(x, -z, y)
}

const fn source_words(source: Option<InputSource>) -> &'static str {
    match source {
        Some(source) => source.name(),
        None => "",
    }
}

impl Hand for PageHand {
    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample {
        let hands = self.reader.read(now);
        let elapsed = self.last.map_or(Micros::ZERO, |last| now.since(last));
        self.last = Some(now);
        self.advance(&hands.rates, elapsed, seen);
        if hands.absence.is_some() {
            self.pedal_unknown = true;
        } else if !hands.operator_present {
            self.pedal_unknown = false;
        }
        self.note = match hands.absence {
            Some(absence) => absence.words(),
            None if self.pedal_unknown => RELEASE_FIRST,
            None => source_words(hands.source),
        };
        HandSample {
            sampled_at: now,
            valid_for: VALID_FOR,
            hands: PerArm::from_fn(|arm| HandReading {
                pose: *self.poses.get(arm),
                jaw: *self.jaw.get(arm),
            }),
            orientation: Orientation::Relative,
            nature: Nature::Made,
            operator_present: hands.operator_present && !self.pedal_unknown,
            clutch: hands.clutch,
            energy: hands.energy,
        }
    }

    fn told(&mut self, state: &FollowerState) {
        self.tool_jaw = Some(PerArm::from_fn(|arm| state.arms.get(arm).setpoint_jaw));
    }

    fn name(&self) -> &str {
        "page"
    }

    fn note(&self) -> &'static str {
        self.note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{Absence, INPUT_FRESH_FOR, PageHands, PageShared};
    use std::sync::Arc;

    const ON: Seen = Seen { engagement: Engagement::Following, stage: None };
    const HELD: Seen = Seen { engagement: Engagement::Held, stage: None };

    fn at(ms: u64) -> Instant<Console> {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    fn moving(rates: HandRates) -> PageHands {
        PageHands {
            source: Some(InputSource::Keyboard),
            rates: PerArm { psm1: rates, psm2: HandRates::REST },
            operator_present: true,
            absence: None,
            ..PageHands::absent(Absence::NoPage)
        }
    }

    fn bench(rates: HandRates) -> (Arc<PageShared>, PageHand) {
        let shared = Arc::new(PageShared::new());
        shared.put_hands(moving(rates), at(0));
        let hand = PageHand::new(PageHandReader::new(Arc::clone(&shared)));
        (shared, hand)
    }

    fn right(m_s: f64) -> HandRates {
        HandRates { linear_m_s: [m_s, 0.0, 0.0], ..HandRates::REST }
    }

    #[test]
    fn a_rate_becomes_a_way_at_1_khz() {
        let (_shared, mut hand) = bench(right(0.1));
        for ms in 0..=100 {
            hand.read(at(ms), &ON);
        }
        let sample = hand.read(at(100), &ON);
        let moved = sample.hands.psm1.pose.position() - Vector3::new(0.01, 0.0, 0.0);
        assert!(moved.norm() < 1e-12, "{moved}");
        assert!(sample.operator_present && hand.note() == "keyboard");
        assert!(sample.hands.psm2.pose.position().norm() < 1e-15);
    }

    #[test]
    fn a_page_that_falls_silent_stops_the_hand_and_lifts_the_foot() {
        let (_shared, mut hand) = bench(right(0.1));
        let mut before = hand.read(at(0), &ON).hands.psm1.pose.position().x;
        let bound = INPUT_FRESH_FOR.as_micros() / 1_000;
        for ms in 1..=2 * bound {
            let sample = hand.read(at(ms), &ON);
            let x = sample.hands.psm1.pose.position().x;
            assert_eq!(sample.operator_present, ms <= bound, "{ms} ms");
            let step = if ms <= bound { 0.1e-3 } else { 0.0 };
            assert!((x - before - step).abs() < 1e-12, "{ms} ms: {}", x - before);
            before = x;
        }
        assert_eq!(hand.note(), Absence::Stale.words());
    }

    #[test]
    fn a_page_that_speaks_again_with_the_pedal_down_has_released_nothing() {
        let (shared, mut hand) = bench(right(0.1));
        assert!(hand.read(at(0), &ON).operator_present);
        assert!(!hand.read(at(400), &ON).operator_present, "silent");
        shared.put_hands(moving(right(0.1)), at(500));
        assert!(!hand.read(at(500), &ON).operator_present, "down again, or still: nobody knows");
        assert_eq!(hand.note(), RELEASE_FIRST);
        let mut released = moving(right(0.1));
        released.operator_present = false;
        shared.put_hands(released, at(600));
        assert!(!hand.read(at(600), &ON).operator_present);
        shared.put_hands(moving(right(0.1)), at(700));
        assert!(hand.read(at(700), &ON).operator_present);
    }

    #[test]
    fn a_stalled_leader_thread_does_not_make_the_hand_jump() {
        let (shared, mut hand) = bench(right(1.0));
        hand.read(at(0), &ON);
        shared.put_hands(moving(right(1.0)), at(10_000));
        let x = hand.read(at(10_000), &ON).hands.psm1.pose.position().x;
        assert!(x <= STEP_MAX.as_secs_f64() + 1e-12, "{x}");
    }

    #[test]
    fn hand_space_is_turned_into_the_hand_base() {
        for (hand_space, base) in [
            ([1.0, 0.0, 0.0], Vector3::x()),
            ([0.0, 1.0, 0.0], Vector3::z()),
            ([0.0, 0.0, 1.0], -Vector3::y()),
        ] {
            assert!((in_hand_base(hand_space) - base).norm() < 1e-15);
            let rates = HandRates { angular_rad_s: hand_space, ..HandRates::REST };
            let (_shared, mut hand) = bench(rates);
            hand.read(at(0), &ON);
            let turned = hand.read(at(1), &ON).hands.psm1.pose.rotation().scaled_axis();
            assert!((turned - base * 1e-3).norm() < 1e-12);
        }
    }

    #[test]
    fn the_grip_lies_on_the_tools_jaw_until_the_tool_follows_and_stays_in_range() {
        let opening = HandRates { jaw_rad_s: 10.0, ..HandRates::REST };
        let (_shared, mut hand) = bench(opening);
        let mut state = FollowerState::default();
        state.arms.psm1.setpoint_jaw = 0.3;
        hand.told(&state);
        for ms in 0..10 {
            let jaw = hand.read(at(ms), &HELD).hands.psm1.jaw;
            assert!((jaw - 0.3).abs() < 1e-15);
        }
        assert!((hand.read(at(10), &ON).hands.psm1.jaw - 0.31).abs() < 1e-12);
        let clutched = Seen { engagement: Engagement::Clutched, stage: None };
        assert!((hand.read(at(11), &clutched).hands.psm1.jaw - 0.31).abs() < 1e-12);
        let mut jaw = 0.0;
        for ms in 12..140 {
            jaw = hand.read(at(ms), &ON).hands.psm1.jaw;
        }
        assert!((jaw - JAW_HIGH).abs() < 1e-12);
    }
}
