//! Works out what each profile has to draw, so that its target is what arrives.
//!
//! Knows: the targets, and how to compare them with a long run. Does not know: why a target is what
//! it is. Prints the whole of `src/profile/drawn.rs`:
//!
//! ```text
//! cargo run --release -p longhand-link --example calibrate > /tmp/drawn.rs
//! mv /tmp/drawn.rs sim/link/src/profile/drawn.rs
//! ```
//!
//! Method: keeping order lifts delays, so each delay is drawn more rarely than it shall arrive, and
//! the correlation time is changed likewise, by stochastic approximation: each round runs hours of
//! link time with a new seed, and moves the share drawn above each point by the (logit) difference
//! of wanted to delivered, less each round.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::float_cmp,
    reason = "a tool for the builder; a panic is an answer"
)]

use longhand_link::emulator::sample;
use longhand_link::profile::{Drawn, Jitter, Knot, Loss, Path};
use longhand_link::{Direction, LinkModel, PROFILES, Profile};
use longhand_protocol::units::Micros;

/// Chosen: enough for the sum of the gains to undo any start and of their squares to average noise.
const ROUNDS: u64 = 12;
/// Hours of link time in the early rounds, and in the last four.
const HOURS: [u64; 2] = [1, 5];
/// Not a divisor of any slot length, so that every phase of a slot is met.
const INTERVAL: Micros = Micros::from_micros(997);
/// The rarest share that a round of hours can count.
const TAIL: f64 = 1e-4;
/// Delays are counted in microseconds up to this.
const BINS: usize = 3_000_000;

fn main() {
    let only = std::env::args().nth(1);
    println!("//! What is drawn, so that the targets of the catalogue are what arrives.");
    println!("//!");
    println!(
        "//! Written by `cargo run --release -p longhand-link --example calibrate`; do not edit by"
    );
    println!(
        "//! hand. Each drawn list fits the target of the same name; delays in milliseconds.\n"
    );
    println!("use super::{{Drawn, Knot}};");
    println!("use longhand_protocol::units::Micros;");
    for profile in PROFILES.iter().filter(|p| !p.up.jitter.target.is_empty()) {
        if only.as_ref().is_some_and(|name| name != profile.name) {
            continue;
        }
        let fits = calibrate(profile);
        for (direction, fit) in Direction::BOTH.into_iter().zip(&fits) {
            print(profile, direction, fit);
        }
    }
}

#[derive(Clone)]
struct Fit {
    wanted: Vec<Knot>,
    tau_ms: f64,
    knots: Vec<Knot>,
    drawn_tau_ms: f64,
}

fn calibrate(profile: &'static Profile) -> [Fit; 2] {
    let mut fits = Direction::BOTH.map(|direction| {
        let jitter = profile.path(direction).jitter;
        let tau_ms = jitter.correlation.as_millis_f64();
        let slot_ms = profile.path(direction).radio.slot.as_millis_f64();
        let wanted = with_tail(jitter.target);
        let wanted = if slot_ms > 0.0 { slotted(&wanted) } else { wanted };
        let knots = before_slot(&wanted, slot_ms);
        Fit { knots, wanted, tau_ms, drawn_tau_ms: tau_ms }
    });
    for round in 0..ROUNDS {
        let gain = 1.0 / (1.0 + round as f64 / 4.0);
        let runs = run(profile, &fits, 1_000 + round);
        for (fit, delays) in fits.iter_mut().zip(runs) {
            improve(fit, &delays, gain);
        }
        eprintln!("{} round {round}", profile.name);
    }
    fits
}

/// The target with one more point of its own curve, at 1e-4: p99.9 alone does not hold the tail.
fn with_tail(target: &[Knot]) -> Vec<Knot> {
    let mut knots = target.to_vec();
    let (max, before) = (target[target.len() - 1], target[target.len() - 2]);
    let part = (before.above / TAIL).ln() / (before.above / max.above).ln();
    let at_ms = before.at_ms + (max.at_ms - before.at_ms) * part;
    knots.insert(target.len() - 1, Knot { above: TAIL, at_ms });
    knots
}

/// The points a slotted path can fit: the wait for a slot is even over its length, so between the
/// start of the body and its middle, and between the middle and the tail, there is nothing to
/// choose.
fn slotted(wanted: &[Knot]) -> Vec<Knot> {
    let free = |knot: &&Knot| knot.above <= 0.051 || [0.95, 0.5].contains(&knot.above);
    wanted.iter().filter(free).copied().collect()
}

/// Where to draw what shall arrive at each point: before the part of a slot that is waited there.
fn before_slot(wanted: &[Knot], slot_ms: f64) -> Vec<Knot> {
    let mut reached = 0.0;
    let draw = wanted.iter().map(|knot| {
        let part = match knot.above {
            a if a >= 0.5 => 1.0 - a,
            a if a >= 0.05 => 0.75,
            a if a > 1e-6 => 0.5,
            _ => 0.0,
        };
        let at_ms = f64::max(knot.at_ms - part * slot_ms, reached);
        reached = at_ms + 1e-3;
        Knot { above: knot.above, at_ms }
    });
    draw.collect()
}

/// Delays over the base in microseconds, in the order sent.
fn run(profile: &'static Profile, fits: &[Fit; 2], seed: u64) -> [Vec<u32>; 2] {
    let path = |direction: Direction, fit: &Fit| {
        let drawn: &'static Drawn = Box::leak(Box::new(Drawn {
            knots: Box::leak(fit.knots.clone().into_boxed_slice()),
            correlation: Micros::from_secs_f64(fit.drawn_tau_ms * 1e-3),
        }));
        let known = profile.path(direction);
        let jitter = Jitter { drawn: Some(drawn), ..known.jitter };
        Path { jitter, loss: Loss::None, rate: None, ..*known }
    };
    let bare: &'static Profile = Box::leak(Box::new(Profile {
        up: path(Direction::Up, &fits[0]),
        down: path(Direction::Down, &fits[1]),
        outages: &[],
        route_step: None,
        rebase: None,
        ..*profile
    }));
    let mut delays = [Vec::new(), Vec::new()];
    let hours = HOURS[usize::from(seed + 4 >= 1_000 + ROUNDS)];
    let round = Micros::from_secs(hours * 3_600);
    sample(LinkModel::from(bare), seed, round, INTERVAL, 0, |packet| {
        let over = packet.delay().unwrap().saturating_sub(bare.path(packet.direction).base);
        let lane = usize::from(packet.direction == Direction::Down);
        delays[lane].push(u32::try_from(over.as_micros()).unwrap());
    });
    delays
}

fn improve(fit: &mut Fit, delays: &[u32], gain: f64) {
    let mut counts = vec![0_u64; BINS];
    for delay in delays {
        counts[(*delay as usize).min(BINS - 1)] += 1;
    }
    let total = delays.len() as f64;
    // The share above each whole microsecond.
    let mut above = Vec::with_capacity(BINS);
    let mut left = total;
    for n in &counts {
        left -= *n as f64;
        above.push(left / total);
    }
    let last = fit.knots.len() - 1;
    let mut least = 1.0_f64;
    for (i, wanted) in fit.wanted.iter().enumerate().take(last) {
        let got = above[(wanted.at_ms * 1e3).round() as usize].clamp(1e-8, 1.0 - 1e-8);
        eprint!(" {:.3}", got / wanted.above);
        let moved = logit(fit.knots[i].above) + gain * (logit(wanted.above) - logit(got));
        let share = 1.0 / (1.0 + (-moved).exp());
        least = share.min(least * 0.9999);
        fit.knots[i].above = least;
    }
    // The greatest delay is too rare to be counted: it keeps its distance to the knot before it.
    let before = last - 1;
    fit.knots[last].above =
        fit.knots[before].above * fit.wanted[last].above / fit.wanted[before].above;
    let lag = (fit.tau_ms * 1e3 / INTERVAL.as_micros() as f64).round() as usize;
    let kept = correlation(delays, &above, lag).clamp(0.01, 0.99);
    eprintln!("; {kept:.3} after {:.1} ms; draws {:.3}", fit.tau_ms, fit.drawn_tau_ms);
    let got_tau = -fit.tau_ms / kept.ln();
    let moved = fit.drawn_tau_ms * (fit.tau_ms / got_tau).powf(gain * 0.7);
    fit.drawn_tau_ms = moved.clamp(fit.tau_ms * 0.1, fit.tau_ms * 4.0);
}

fn logit(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

/// Correlation of normal scores at a lag.
fn correlation(delays: &[u32], above: &[f64], lag: usize) -> f64 {
    let scores: Vec<f64> = (0..above.len())
        .map(|bin| {
            let before = if bin == 0 { 1.0 } else { above[bin - 1] };
            // Bins nobody fell into are never asked for.
            if before > above[bin] { score((above[bin] + before) / 2.0) } else { 0.0 }
        })
        .collect();
    let at = |delay: u32| scores[(delay as usize).min(BINS - 1)];
    let (mut product, mut square) = (0.0, 0.0);
    for (a, b) in delays.iter().zip(delays.iter().skip(lag)) {
        product += at(*a) * at(*b);
        square += at(*a) * at(*a);
    }
    product / square
}

/// The standard normal value exceeded with this probability, by halving.
fn score(above: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        let share = 0.5 * libm::erfc(middle * std::f64::consts::FRAC_1_SQRT_2);
        if share > above { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

fn print(profile: &Profile, direction: Direction, fit: &Fit) {
    let name = format!("{}_{}", profile.name, direction.name()).replace('-', "_").to_uppercase();
    println!("\npub(super) const {name}: Option<&Drawn> = Some(&Drawn {{");
    println!("    knots: &[");
    for knot in &fit.knots {
        println!(
            "        Knot {{ above: {:?}, at_ms: {:?} }},",
            significant(knot.above),
            round4(knot.at_ms)
        );
    }
    println!("    ],");
    let tau_us = (fit.drawn_tau_ms * 1e3).round() as u64;
    println!("    correlation: Micros::from_micros({tau_us}),\n}});");
}

/// Five significant digits.
fn significant(share: f64) -> f64 {
    let text = if share > 0.5 { format!("{:.6}", share) } else { format!("{share:.4e}") };
    text.parse().unwrap()
}

fn round4(ms: f64) -> f64 {
    (ms * 1e4).round() / 1e4
}
