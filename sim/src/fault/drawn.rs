//! Drawing faults for a campaign.
//!
//! Knows: rates and ranges. Does not know: what a fault does.
//!
//! Swarm style: each run turns on a random subset of the kinds, so that pairs meet that would drown
//! each other out if all were always on.

use super::{CATALOGUE, FaultEvent, FaultKind, Lives};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A number in 0 to 1, never 1.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// The faults of one run of `seconds`: from the kinds that such a world has. Same seed, same
/// faults.
pub fn draw(seed: u64, seconds: u64, paths: usize, quic: bool) -> Vec<FaultEvent> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xfa17);
    let can = |kind: &&FaultKind| match kind.lives {
        Lives::World => true,
        Lives::TwoPaths => paths > 1,
        Lives::Quic => quic,
        Lives::Elsewhere(_) => false,
    };
    // Every eighth run is clean of faults but for what its link does.
    let share = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.1];
    let place = usize::try_from(rng.next_u32() % 8).unwrap_or(0);
    let share = share.get(place).copied().unwrap_or(0.1);
    let on: Vec<&FaultKind> =
        CATALOGUE.iter().filter(can).filter(|_| unit(&mut rng) < share).collect();
    let mut events = Vec::new();
    for kind in on {
        // About every eight seconds, the first after the robot follows for the first time.
        let mut at = 2_000.0;
        loop {
            at += -8_000.0 * libm::log(1.0 - unit(&mut rng)) + 50.0;
            let Some(at_ms) = millis(at).filter(|at| *at < seconds.saturating_mul(1_000)) else {
                break;
            };
            let lasts = kind.for_ms.max(1);
            let scale = libm::exp2(unit(&mut rng) * 3.0 - 1.5);
            let for_ms = millis(scale * f64::from(u32::try_from(lasts).unwrap_or(1_000)));
            let values = kind.params.iter().map(|p| one(&mut rng, p.low, p.high)).collect();
            events.push(FaultEvent {
                kind: kind.id.to_owned(),
                at_ms,
                for_ms: for_ms.unwrap_or(1).max(1),
                values,
                stream: u64::from(rng.next_u32()),
            });
        }
    }
    events.sort_by_key(|event| event.at_ms);
    events
}

/// One value: even over choices and ranges about zero, even over orders of magnitude else.
fn one(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    if low > 0.0 && high / low > 5.0 {
        return low * libm::pow(high / low, unit(rng));
    }
    low + (high - low) * unit(rng)
}

#[expect(clippy::as_conversions, reason = "checked: finite, positive, far below 2^53")]
const fn millis(ms: f64) -> Option<u64> {
    if ms.is_finite() && ms >= 0.0 && ms < 1e12 { Some(ms as u64) } else { None }
}
