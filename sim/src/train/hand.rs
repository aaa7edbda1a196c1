//! The virtual trainee's hands: what it sees comes with the robot's states, as late as they do.
//!
//! Knows: which picture belongs to which state. Does not know: how a trainee thinks
//! (`longhand-train`), or the world behind the picture.
//!
//! A picture is taken 60 times a second by the robot's clock. A state that arrives shows the newest
//! picture that was taken before it; a state that is lost shows nothing. Camera, codec and screen
//! are not in it: on a real console they add what requirements.md b.1 says.

use crate::hands::Foot;
use longhand_console::input::{Hand, Seen};
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::{HandReading, HandSample};
use longhand_protocol::geometry::{ArmId, PerArm, Pose};
use longhand_protocol::message::{FollowerState, Stage};
use longhand_protocol::units::{Console, Instant, Micros, Robot};
use longhand_train::episode::View;
use longhand_train::trainee::Trainee;
use nalgebra::UnitQuaternion;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// From one picture to the next. Chosen: an endoscope's 60 a second.
const FRAME: Micros = Micros::from_micros(16_667);
/// Pictures that are kept. Chosen: eight seconds, longer than any state is under way.
const KEPT: usize = 512;
/// Without a state for so long the page says that the picture is old, and nobody moves by it.
/// Chosen: six pictures.
const STALE: Micros = Micros::from_millis(100);

/// Says when a picture is taken: what one is late by, the next does not add to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shutter {
    next: Micros,
}

impl Shutter {
    /// Whether a picture is taken in the tick at `at`.
    pub fn opens(&mut self, at: Micros) -> bool {
        let due = at >= self.next;
        if due {
            self.next = self.next.saturating_add(FRAME);
        }
        due
    }
}

/// What lies between the world and the trainee: the pictures on their way.
pub struct Frames<P = View>(Arc<Mutex<Shared<P>>>);

impl<P> Clone for Frames<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> Default for Frames<P> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Shared { frames: VecDeque::new(), delay_s: 0.0 })))
    }
}

struct Shared<P> {
    /// Oldest first.
    frames: VecDeque<(Instant<Robot>, Arc<P>)>,
    delay_s: f64,
}

impl<P> Frames<P> {
    /// A picture, taken at this robot time.
    pub fn take(&self, at: Instant<Robot>, view: P) {
        let mut shared = self.shared();
        if shared.frames.len() >= KEPT {
            shared.frames.pop_front();
        }
        shared.frames.push_back((at, Arc::new(view)));
    }

    /// The delay that the trainee has learnt from the picture, seconds.
    pub fn delay_s(&self) -> f64 {
        self.shared().delay_s
    }

    /// The newest picture taken at `at` or before.
    pub fn at(&self, at: Instant<Robot>) -> Option<Arc<P>> {
        let shared = self.shared();
        let found = shared.frames.iter().rev().find(|(taken, _)| *taken <= at);
        found.map(|(_, view)| Arc::clone(view))
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trainee at a console.
pub struct TraineeHand {
    trainee: Trainee,
    foot: Foot,
    frames: Frames,
    picture: Option<Arc<View>>,
    news: bool,
    heard_at: Instant<Console>,
    last: Option<Instant<Console>>,
    scale: f64,
}

impl TraineeHand {
    /// A trainee before these pictures, at a console of this scale.
    pub fn new(trainee: Trainee, frames: Frames, scale: f64) -> Self {
        Self {
            trainee,
            foot: Foot::default(),
            frames,
            picture: None,
            news: false,
            heard_at: Instant::ORIGIN,
            last: None,
            scale,
        }
    }
}

impl Hand for TraineeHand {
    fn told(&mut self, state: &FollowerState) {
        self.picture = self.frames.at(state.robot_time).or_else(|| self.picture.take());
        self.news = true;
    }

    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample {
        let dt = self.last.map_or(Micros::ZERO, |last| now.since(last)).as_secs_f64();
        self.last = Some(now);
        if std::mem::take(&mut self.news) {
            self.heard_at = now;
        }
        let fresh = now.since(self.heard_at) < STALE;
        let follows = fresh
            && seen.engagement == Engagement::Following
            && matches!(seen.stage, Some(Stage::Follow | Stage::Coast));
        let hands = self.trainee.step(dt, follows, self.picture.as_deref());
        self.frames.shared().delay_s = self.trainee.delay_s();
        let mut sample = HandSample {
            sampled_at: now,
            valid_for: Micros::from_millis(20),
            operator_present: self.foot.step(now, seen.stage),
            ..HandSample::default()
        };
        for arm in ArmId::ALL {
            let place = *hands.way.get(arm) / self.scale;
            let pose = Pose::new(place, UnitQuaternion::identity());
            *sample.hands.get_mut(arm) = HandReading { pose, jaw: *hands.jaw.get(arm) };
        }
        sample
    }

    fn name(&self) -> &str {
        "virtual trainee"
    }
}

/// What an episode is handed of a state.
pub fn said(state: &FollowerState, clutch: bool) -> longhand_train::episode::Tick {
    let arms = PerArm::from_fn(|arm| {
        let arm = state.arms.get(arm);
        longhand_train::episode::ArmSaid { tip: arm.measured_cp, jaw: arm.measured_jaw }
    });
    longhand_train::episode::Tick { arms, stage: state.stage, clutch }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_a_millisecond_give_sixty_pictures_a_second() {
        let mut shutter = Shutter::default();
        let taken = (0..10_000).filter(|ms| shutter.opens(Micros::from_millis(*ms)));
        assert_eq!(taken.count(), 600);
    }
}
