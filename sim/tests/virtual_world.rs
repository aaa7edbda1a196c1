//! The spine in virtual time: figures that real processes cannot show without luck.

use longhand_console::input::script::{Script, ScriptedHand};
use longhand_console::input::{Hand, Seen};
use longhand_follower::profile::Profile;
use longhand_leader::hand::{HandReading, HandSample};
use longhand_link::{Direction, Directions, Disturb, LinkModel, PROFILES};
use longhand_protocol::geometry::{ArmId, PerArm, Pose};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_sim::measure::Measure;
use longhand_sim::world::{World, WorldConfig, WorldTick};
use nalgebra::{UnitQuaternion, Vector3};

fn link(name: &str) -> LinkModel {
    LinkModel::from(longhand_link::Profile::by_name(name).unwrap())
}

fn scripted(name: &str) -> Box<dyn Hand> {
    Box::new(ScriptedHand::new(Script::load(name).unwrap()))
}

fn world(name: &str, seed: u64, disturb: Disturb, profile: Profile) -> World {
    let hand = scripted("peg-transfer");
    World::new(WorldConfig { link: link(name), disturb, seed, profile, scale: 0.2, hand })
}

#[test]
#[ignore]
fn explore() {
    for p in PROFILES {
        let t = std::time::Instant::now();
        let profile = longhand_sim::world::profile_for(p.name).1;
        let mut w = world(p.name, 1, Disturb::default(), profile);
        let mut m = Measure::default();
        let n: u64 = std::env::var("MIN").map_or(2, |s| s.parse().unwrap());
        let mut last = Stage::Disabled;
        for i in 0..n * 60_000 {
            let t = w.tick();
            if t.state.stage != last && std::env::var("V").is_ok() {
                println!("{} {:?} -> {:?} ({:?}) age {} loop {} play {}", i, last, t.state.stage, t.state.reason, t.state.age, t.state.loop_age, t.state.playout_delay);
            }
            last = t.state.stage;
            m.observe(&t.state, Some(Micros::from_micros(t.state.echo.applied_at.as_micros().saturating_sub(7_000_000).saturating_sub(t.state.echo.hand_time.as_micros().saturating_sub(1_000_000_000)))));
        }
        println!("{:28} stops/h {:7.1} follow {:5.1}% latched {} bedside {} playout {:5.1} ms h2j {:?} loop p50 {} p99 {} ({:.1}s)", p.name, m.stops_per_hour().unwrap_or(-1.0), m.stages().follow.seconds/ (n as f64*0.6), m.stages().latched.entered, m.stages().bedside.entered, m.playout_mean_ms(), m.hand_to_joint().summary().p50, m.loop_age().summary().p50, m.loop_age().summary().p99, t.elapsed().as_secs_f64());
    }
}
