//! Samples one hour of 1 kHz both ways of every profile, and says how long it took (goal P10: 2 s).
//!
//! Knows: wall time, which the crate does not. Does not know: what a good delay is.
//!
//! ```text
//! cargo run --release -p longhand-link --example sample
//! ```

use std::time::Instant as Wall;

use longhand_link::emulator::sample;
use longhand_link::{Direction, LinkModel, PROFILES};
use longhand_protocol::units::Micros;

const SEED: u64 = 42;

fn main() {
    println!("seed {SEED}; 1 h of link time, 1 kHz both ways, 256 bytes; delays in ms");
    for profile in PROFILES {
        let began = Wall::now();
        let hour = Micros::from_secs(3_600);
        let mut sum = Micros::ZERO;
        let millisecond = Micros::from_millis(1);
        let stats = sample(LinkModel::from(profile), SEED, hour, millisecond, 256, |packet| {
            sum = sum.saturating_add(packet.delay().unwrap_or_default());
        });
        let wall = began.elapsed();
        let lost = |direction| stats.lane(direction).dropped_total();
        println!(
            "{:24} {:6.3} s wall, lost {:7} up {:7} down, sum of delays {:.0} s",
            profile.name,
            wall.as_secs_f64(),
            lost(Direction::Up),
            lost(Direction::Down),
            sum.as_secs_f64(),
        );
    }
}
