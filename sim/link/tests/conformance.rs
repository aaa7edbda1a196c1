//! Goal E11: what is delivered has the distribution and the correlation that the profile states.
//!
//! Knows: the targets, and how large a sampling error is. Does not know: how delays are drawn. The
//! seeds here are none of those the draw was calibrated with.
//!
//! The short run is for every build. The long one measures to the 3 % of the brief:
//!
//! ```text
//! cargo test --release -p longhand-link --test conformance -- --ignored --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use longhand_link::emulator::sample;
use longhand_link::profile::{Loss, Path};
use longhand_link::trace::histogram::Histogram;
use longhand_link::{Direction, LinkModel, PROFILES, Profile};
use longhand_protocol::units::Micros;

const SEED: u64 = 77;
/// Not a divisor of any slot length, so that every phase of a slot is met.
const INTERVAL: Micros = Micros::from_micros(997);

/// The profile's delay alone: no loss, outage, queue, or change of base.
fn bare(profile: &'static Profile) -> &'static Profile {
    let path = |path: &Path| Path { loss: Loss::None, rate: None, ..*path };
    Box::leak(Box::new(Profile {
        up: path(&profile.up),
        down: path(&profile.down),
        outages: &[],
        route_step: None,
        rebase: None,
        ..*profile
    }))
}

/// Added delays in microseconds of each direction, in the order sent.
fn delays(profile: &'static Profile, seed: u64, lasts: Micros) -> [Vec<u32>; 2] {
    let bare = bare(profile);
    let mut all = [Vec::new(), Vec::new()];
    sample(LinkModel::from(bare), seed, lasts, INTERVAL, 0, |packet| {
        let added = packet.delay().unwrap().saturating_sub(bare.path(packet.direction).base);
        let lane = usize::from(packet.direction == Direction::Down);
        all[lane].push(u32::try_from(added.as_micros()).unwrap());
    });
    all
}

fn float(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

/// Which place of a sorted list of `n` has the share `1 - above` below it.
fn place(above: f64, n: usize) -> usize {
    let behind = Micros::from_secs_f64(above * float(n) * 1e-6).as_micros();
    n.saturating_sub(usize::try_from(behind).unwrap()).min(n - 1)
}

/// Checks every profile over `lasts`; `allowed(share above)` is the relative error let pass.
fn check(lasts: Micros, allowed: fn(f64) -> f64) {
    let mut worst = Vec::new();
    for profile in PROFILES.iter().filter(|p| !p.up.jitter.target.is_empty()) {
        let lanes = delays(profile, SEED, lasts);
        for (direction, lane) in Direction::BOTH.into_iter().zip(lanes) {
            let mut sorted = lane;
            sorted.sort_unstable();
            let target = profile.path(direction).jitter.target;
            // The fastest one in a thousand sizes nothing, and the greatest is too rare to count.
            for knot in target.iter().take(target.len() - 1).filter(|knot| knot.above <= 0.99) {
                let got = f64::from(sorted[place(knot.above, sorted.len())]) * 1e-3;
                let error = got / knot.at_ms - 1.0;
                let line = format!(
                    "{} {} above {}: wants {} ms, gives {got:.3} ({:+.1} %)",
                    profile.name,
                    direction.name(),
                    knot.above,
                    knot.at_ms,
                    error * 100.0
                );
                println!("{line}");
                // An even wait for a slot has no quantiles to choose: 6 % is what is left of it.
                let slotted = profile.path(direction).radio.slot > Micros::ZERO;
                let limit = allowed(knot.above).max(if slotted { 0.06 } else { 0.0 });
                // Where the distribution is flat a small share is a large time: either may fit.
                let over =
                    sorted.len() - sorted.partition_point(|us| f64::from(*us) <= knot.at_ms * 1e3);
                let share_error = float(over) / float(sorted.len()) / knot.above - 1.0;
                // Two microseconds: the grid of time itself, which shows where delays are 0.01 ms.
                let grid = (got - knot.at_ms).abs() <= 0.002;
                if error.abs().min(share_error.abs()) > limit && !grid {
                    worst.push(line);
                }
            }
        }
    }
    assert!(worst.is_empty(), "seed {SEED}, {} s:\n{}", lasts.as_secs_f64(), worst.join("\n"));
}

/// Forty minutes. The errors let pass are three times the sampling error of a delay that is
/// correlated over 150 ms: 16 000 independent values, 160 of them above p99; above p99.9 there are
/// too few to judge here.
#[test]
fn delivered_delays_have_the_quantiles_the_profile_states() {
    check(Micros::from_secs(2_400), |above| match above {
        a if a >= 0.05 => 0.08,
        a if a >= 0.01 => 0.2,
        _ => f64::INFINITY,
    });
}

/// Ten hours: 3 % as briefed; 6 % at p99 and 20 % at p99.9, where ten hours of the slowest link
/// hold about 2400 and 100 independent values (a relative error of the count of 2 and 10 %, three
/// times).
#[test]
#[ignore = "minutes in release; run it after a calibration"]
fn delivered_delays_have_the_quantiles_to_three_percent() {
    check(Micros::from_secs(36_000), |above| match above {
        a if a >= 0.05 => 0.03,
        a if a >= 0.01 => 0.06,
        _ => 0.2,
    });
}

/// Normal scores of the delivered delay keep 1/e over the correlation time. The slots of the uplink
/// of geo are a saw of their own on top, so it is not judged.
#[test]
fn delivered_delays_have_the_correlation_the_profile_states() {
    for name in ["campus-5g-urllc", "city-5g-sa", "beijing-sanya-5g-public", "leo-starlink"] {
        let profile = Profile::by_name(name).unwrap();
        let [up, _] = delays(profile, SEED, Micros::from_secs(2_400));
        let mut order: Vec<usize> = (0..up.len()).collect();
        order.sort_by_key(|i| up[*i]);
        let mut rank = vec![0.0; up.len()];
        for (place, i) in order.into_iter().enumerate() {
            rank[i] = float(place) / float(up.len()) - 0.5;
        }
        let steps = profile.up.jitter.correlation.as_micros() / INTERVAL.as_micros();
        let lag = usize::try_from(steps).unwrap();
        let product: f64 = rank.iter().zip(rank.iter().skip(lag)).map(|(a, b)| a * b).sum();
        let square: f64 = rank.iter().map(|a| a * a).sum();
        let got = product / square;
        // Of two normal values with correlation 1/e (over the whole steps of the lag), the ranks
        // have 6/pi asin(r/2).
        let lag_us = float(lag) * 997.0;
        let kept = (-lag_us * 1e-3 / profile.up.jitter.correlation.as_millis_f64()).exp();
        let want = 6.0 / std::f64::consts::PI * (kept / 2.0).asin();
        assert!((got - want).abs() < 0.03, "{name} seed {SEED}: {got:.3} wants {want:.3}");
    }
}

/// Goal E7: within 0.03 of the measured histograms of set 2a.
#[test]
fn city_5g_fits_the_measured_histograms() {
    let city = Profile::by_name("city-5g-sa").unwrap();
    let lanes = delays(city, SEED, Micros::from_secs(2_400));
    let files = [("Uplink", city.up.base), ("Downlink", city.down.base)];
    for ((file, base), lane) in files.into_iter().zip(lanes) {
        let path = format!(
            "{}/../traces/det6g_ND_5G-midband-{file}_PD-Wireless-5G-2a.csv",
            env!("CARGO_MANIFEST_DIR")
        );
        let measured = Histogram::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        // 1.3 ms of the base is the core network, which the testbed did not have.
        let radio_ms = base.as_millis_f64() - 1.3;
        let mut ms: Vec<f64> = lane.iter().map(|us| f64::from(*us) * 1e-3 + radio_ms).collect();
        ms.sort_by(f64::total_cmp);
        let distance = measured.distance(&ms);
        println!("{file}: distance {distance:.4}");
        assert!(distance <= 0.03, "{file} seed {SEED}: {distance:.4}");
    }
}
