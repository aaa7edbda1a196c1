//! One episode of the virtual trainee in the virtual world.
//!
//! Knows: how the world, the episode and the trainee hang together. Does not know: a command line,
//! real time. Same task, link and seed: the same score and the same world, bit for bit.

use super::hand::{Frames, Shutter, TraineeHand, said};
use crate::compare::Over;
use crate::compare::netfi::{Condition, Netfi};
use crate::measure::Measure;
use crate::scenario::Bedside;
use crate::world::{World, WorldConfig};
use longhand_console::Spread;
use longhand_follower::profile::Profile;
use longhand_leader::DEFAULT_SCALE;
use longhand_link::{Disturb, LinkModel};
use longhand_protocol::units::Micros;
use longhand_train::episode::Episode;
use longhand_train::score::Score;
use longhand_train::task::Task;
use longhand_train::trainee::Trainee;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an episode is made of.
#[derive(Clone)]
pub struct Practice {
    /// The exercise.
    pub task: Task,
    /// The link between.
    pub link: LinkModel,
    /// What is laid over the commands, as NetFI does.
    pub netfi: Option<&'static Condition>,
    /// The robot's profile.
    pub profile: Profile,
    /// Where the rings lie, how the hands miss, what the weather is.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Practised {
    /// The score.
    pub score: Score,
    /// Over every object's pose and speed of every millisecond.
    pub world_hash: u64,
    /// The delay from hand to picture that the trainee had learnt at the end, milliseconds.
    pub delay_learnt_ms: f64,
    /// Age of view plus command.
    pub loop_age: Spread,
    /// It was stopped before its end.
    pub stopped: bool,
}

/// The trainee goes on for this many times the cut-off; there are no points beyond the first.
/// Chosen: past what any link of the table takes. It is not enough under NetFI's heavier losses of
/// communication, and the table says so.
pub const PATIENCE: f64 = 5.0;

impl Practice {
    /// Runs it to its end, until patience is over, or until `stop`.
    pub fn run(&self, stop: &AtomicBool) -> Practised {
        let frames = Frames::default();
        let trainee = Trainee::new(&self.task, self.seed);
        let mut world = World::new(WorldConfig {
            link: self.link.clone(),
            disturb: Disturb::default(),
            seed: self.seed,
            profile: self.profile,
            scale: DEFAULT_SCALE,
            hand: Box::new(TraineeHand::new(trainee, frames.clone(), DEFAULT_SCALE)),
        });
        if let Some(condition) = self.netfi {
            world.meddle(Box::new(Over::new(Netfi::new(condition, self.seed))));
        }
        let mut episode = Episode::new(self.task.clone(), self.seed);
        let mut measure = Measure::default();
        let mut bedside = Bedside::default();
        let end = Micros::from_secs_f64(self.task.time_s * PATIENCE);
        let mut shutter = Shutter::default();
        let mut stopped = false;
        while world.now() < end && !episode.is_over() && !stopped {
            let tick = world.tick();
            bedside.step(tick.state.stage, &mut world);
            measure.observe(&tick.state, tick.hand_to_joint());
            episode.tick(&said(&tick.state, tick.hand.clutch));
            if shutter.opens(tick.at) {
                frames.take(tick.state.robot_time, episode.view());
            }
            let second = tick.at.as_micros().is_multiple_of(1_000_000);
            stopped = second && stop.load(Ordering::Relaxed);
        }
        Practised {
            score: episode.score(),
            world_hash: episode.hash(),
            delay_learnt_ms: frames.delay_s() * 1e3,
            loop_age: measure.loop_age().spread(),
            stopped,
        }
    }
}
