//! The way of one command through the whole product, beside raw UDP of the same sizes: goal P1; and
//! the servo thread's lateness beside an empty loop: goal P3.
//!
//! Knows: the rounds and the tables. Does not know: how the product carries anything (`product`
//! starts the real agent and the real console), or how the limit is measured (`raw`).
//!
//! Terms: the *command way* is from the hand sample to the servo thread's mailbox; the *state way*
//! from the servo tick's stamp to the console's receipt; *both ways* is the round trip of one
//! command less its wait at the robot for the next tick. Inside the product's ways lies all that
//! the product does there: the leader's law and a tick of two simulated arms too.

mod product;
mod raw;

use std::thread;

use longhand_console::Spread;
use longhand_protocol::units::{Micros, Robot, TICK};
use longhand_quic::pace::{Lateness, PUMP_PRIORITY, RealTime, SERVO_PRIORITY, Ticker};

use crate::harness::{Bound, Figures, Goal, Quantile, Series, Unit, Watch, progress};
use crate::machine::float;
use crate::report::Table;

/// How long each subject is measured in each round. Chosen: p99.9 then rests on four samples of a
/// round and, as the median of nine rounds, on what five of them agree about.
const ROUND: Micros = Micros::from_secs(4);
const ROUND_TICKS: u64 = 4_000;
/// Where both ends of raw UDP stand when they share a processor. Chosen: every machine has it.
const ONE_CPU: usize = 0;

/// Source: performance.md, Goals.
const P1: &[Goal] = &[
    Goal { of: Quantile::P50, at_most: Bound::TimesFirst(1.7), source: "P1" },
    Goal { of: Quantile::P99, at_most: Bound::TimesFirst(1.6), source: "P1" },
];
const P3: &[Goal] = &[
    Goal { of: Quantile::P50, at_most: Bound::TimesFirst(1.1), source: "P3" },
    Goal { of: Quantile::P99, at_most: Bound::TimesFirst(1.1), source: "P3" },
];

/// Everything that is measured.
struct Said {
    up: [Series; 3],
    down: [Series; 3],
    both: [Series; 3],
    full: Series,
    late: [Series; 2],
}

/// The tables of this module.
///
/// Errors: a sentence, where a part did not start or the robot did not come to follow.
pub fn measure(rounds: u32) -> Result<Vec<Table>, String> {
    const RAW: &str = "raw UDP ping-pong";
    const ONE: &str = "raw UDP, both ends on one processor";
    const PRODUCT: &str = "console, QUIC and agent";
    let mut said = Said {
        up: [Series::new(RAW, 1, &[]), Series::new(ONE, 1, &[]), Series::new(PRODUCT, 1, &[])],
        down: [Series::new(RAW, 1, &[]), Series::new(ONE, 1, &[]), Series::new(PRODUCT, 1, &[])],
        both: [Series::new(RAW, 1, &[]), Series::new(ONE, 1, &[]), Series::new(PRODUCT, 1, P1)],
        full: Series::new(PRODUCT, 1, &[]),
        late: [Series::new("empty loop", 1, &[]), Series::new("servo thread", 1, P3)],
    };
    let stage = product::Stage::build()?;
    let mut watch = Watch::begin();
    let mut granted = String::new();
    for n in 1..=rounds {
        progress("loopback", n, rounds);
        round(&stage, &mut said, &mut granted)?;
        spin_undisturbed(&mut watch);
    }
    Ok(tables(rounds, &watch, &said, &granted))
}

fn round(stage: &product::Stage, said: &mut Said, granted: &mut String) -> Result<(), String> {
    let [free_up, one_up, product_up] = &mut said.up;
    let [free_down, one_down, product_down] = &mut said.down;
    let [free_both, one_both, product_both] = &mut said.both;
    let [empty, servo] = &mut said.late;
    for (cpu, up, down, both) in
        [(None, free_up, free_down, free_both), (Some(ONE_CPU), one_up, one_down, one_both)]
    {
        let limit = raw::ping_pong(ROUND_TICKS, cpu)?;
        up.add(&limit.up, Unit::Micros);
        down.add(&limit.down, Unit::Micros);
        both.add(&limit.both, Unit::Micros);
    }
    add_lateness(empty, &empty_loop()?);
    let run = stage.run(ROUND)?;
    product_up.add(&run.up, Unit::Micros);
    add_spread(product_down, &run.down);
    add_spread(product_both, &run.both);
    add_spread(&mut said.full, &run.full);
    add_lateness(servo, &run.late);
    *granted = run.granted;
    Ok(())
}

fn tables(rounds: u32, watch: &Watch, said: &Said, granted: &str) -> Vec<Table> {
    let table = |title, series: &[Series], notes: &[&str]| {
        let rows = series.iter().map(Series::row).collect();
        let mut table = Table::new(title, Unit::Micros, rounds, watch, rows);
        table.notes = notes.iter().map(|note| (*note).to_owned()).collect();
        table.notes.push(granted.to_owned());
        table
    };
    let coarse = "the product's stamps are whole microseconds: a figure is right to 1 us";
    let full = std::slice::from_ref(&said.full);
    let mut all = table(
        "round trip: hand sample to the first state that echoes it",
        full,
        &[
            "its floor is the two 1 kHz grids: where in its tick the robot finds the command is \
             the",
            "luck of the round, 0 to 1 ms, so rounds lie apart; playout adds its own",
        ],
    );
    all.spread_max = f64::INFINITY;
    vec![
        table("command way: hand sample to servo mailbox, 204 bytes", &said.up, &[coarse]),
        table("state way: servo tick to console's receipt, 336 bytes", &said.down, &[coarse]),
        table("both ways of one command", &said.both, &[coarse]),
        all,
        table(
            "lateness of 1 kHz ticks, each loop in its own part of the round",
            &said.late,
            &["whole microseconds, and from 32 us on at most 1/16 too large"],
        ),
    ]
}

fn add_spread(series: &mut Series, spread: &Spread) {
    let us = |ms: f64| ms * 1e3;
    let (p50, p90, p99) = (us(spread.p50_ms), us(spread.p90_ms), us(spread.p99_ms));
    let figures = Figures { p50, p90, p99, p999: us(spread.p999_ms), max: us(spread.max_ms) };
    series.add_figures(figures, spread.count, spread.out_of_range);
}

/// Ticks that never ran count as out of range: nobody knows how late they would have been.
fn add_lateness(series: &mut Series, late: &Lateness) {
    let at = |per_million| us(late.quantile(per_million));
    let (p50, p90, p99) = (at(500_000), at(900_000), at(990_000));
    let figures = Figures { p50, p90, p99, p999: at(999_000), max: us(late.worst()) };
    series.add_figures(figures, late.ticks(), late.missed());
}

fn us(span: Micros) -> f64 {
    float(span.as_micros())
}

/// What `cyclictest` does, with the servo's own ticker: wake up, and nothing else.
fn empty_loop() -> Result<Lateness, String> {
    on_thread("empty", || {
        let _held = RealTime::acquire(SERVO_PRIORITY, None);
        let mut late = Lateness::new();
        let mut ticker = Ticker::<Robot>::new(TICK);
        for _ in 0..ROUND_TICKS {
            late.record(&ticker.wait());
        }
        late
    })
}

/// The gap detector at the measured threads' own priority: what it then loses, the hypervisor took,
/// not a compiler in the next window.
fn spin_undisturbed(watch: &mut Watch) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let _held = RealTime::acquire(PUMP_PRIORITY, None);
            watch.spin();
        });
    });
}

/// Runs `work` on a thread of its own, so that its priority ends with it.
fn on_thread<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| format!("no thread for {name}: {error}"))?;
        thread.join().map_err(|_panic| format!("the thread {name} died; this is a defect"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_measure_every_command_and_the_ways_add_up() {
        let stage = product::Stage::build().unwrap();
        let run = stage.run(Micros::from_millis(500)).unwrap();
        let limit = raw::ping_pong(100, None).unwrap();
        for recorder in [&run.up, &limit.up, &limit.down, &limit.both] {
            assert!(recorder.samples() > 0);
        }
        assert!(run.both.count > 0 && run.down.count > 0 && run.full.count > 0);
        // A way cannot be shorter than nothing, nor the two ways longer than the round trip.
        assert!(run.both.p50_ms <= run.full.p50_ms);
        assert!(run.down.p50_ms <= run.both.p50_ms);
    }
}
