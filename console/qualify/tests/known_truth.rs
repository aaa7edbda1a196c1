//! Against links whose truth is known: what is reported is what was.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::{Hole, RobotClock, Run, constant, exact, model, run};
use longhand_link::Directions;
use longhand_qualify::measure::outage::{Mode, Way};
use longhand_qualify::measure::quantile::Spread;
use longhand_qualify::measure::{Measures, measure};
use longhand_qualify::slot::Fate;

const SECOND: u64 = 1_000_000;

fn measured(run: &Run) -> Measures {
    measure(&run.slots, &run.given)
}

/// Each quantile within 2 % of the truth, or within its own interval.
fn close(what: &str, spread: &Spread, mut truth: Vec<u64>) {
    for quantile in &spread.quantiles {
        let is = exact(&mut truth, quantile.above);
        let within = quantile.low_ms <= is && quantile.high_ms.is_none_or(|high| is <= high);
        // Two microseconds: the grid of time itself.
        let near = (quantile.ms - is).abs() <= (0.02 * is).max(0.002);
        assert!(within || near, "{what} {}: {quantile:?} is {is}", quantile.name);
    }
}

#[test]
fn every_quantile_is_within_two_percent_or_its_own_interval() {
    for (seed, name) in
        [(3, "ideal"), (4, "city-5g-sa"), (5, "national-dedicated"), (6, "beijing-sanya-5g-public")]
    {
        let run = run(model(name), seed, 120, RobotClock::default(), &[]);
        let measures = measured(&run);
        let both: Vec<(u64, u64)> = run.truth.iter().flatten().copied().collect();
        let of = |pick: fn(&(u64, u64)) -> u64| both.iter().map(pick).collect::<Vec<u64>>();
        close(name, &measures.rtt, of(|(up, down)| up + down));
        let above_least = |values: Vec<u64>| {
            let least = *values.iter().min().unwrap();
            values.into_iter().map(|value| value - least).collect::<Vec<u64>>()
        };
        close(name, &measures.up.relative, above_least(of(|both| both.0)));
        close(name, &measures.down.relative, above_least(of(|both| both.1)));
        assert_eq!(measures.rtt.count, u64::try_from(both.len()).unwrap());
    }
}

/// Every slot's fate against what the emulator did to it.
fn fates_are_true(run: &Run) {
    for (place, (slot, (came, back))) in run.slots.iter().zip(&run.came).enumerate() {
        let truth = match (came, back) {
            (false, _) => Fate::LostUp,
            (true, false) => Fate::LostDown,
            (true, true) => continue,
        };
        assert_eq!(slot.fate, truth, "slot {place}");
    }
    let back = run.slots.iter().filter(|slot| slot.rtt_us().is_some()).count();
    assert_eq!(back, run.came.iter().filter(|(_, back)| *back).count());
}

#[test]
fn random_loss_has_its_direction_for_every_packet() {
    let run = run(model("beijing-sanya-5g-public"), 8, 120, RobotClock::default(), &[]);
    fates_are_true(&run);
    let measures = measured(&run);
    let lost = |fate| u64::try_from(run.count(fate)).unwrap();
    assert!(lost(Fate::LostUp) > 100 && lost(Fate::LostDown) > 100);
    assert_eq!(measures.up.loss.events, lost(Fate::LostUp));
    assert_eq!(measures.down.loss.events, lost(Fate::LostDown));
    assert_eq!(measures.lost_unknown.events, 0);
}

#[test]
fn five_second_black_holes_have_their_direction_start_and_length() {
    let hole = |directions, at: u64| -> Hole { (directions, at * SECOND, 5 * SECOND) };
    let holes = [hole(Directions::Up, 10), hole(Directions::Down, 20), hole(Directions::Both, 30)];
    // The ways differ, so that a hole on both begins at another packet on each.
    let run = run(constant(30_000, 10_000), 1, 45, RobotClock::default(), &holes);
    fates_are_true(&run);
    let list = measured(&run).outages.list;
    let is = |way, at_s: f64, ms: f64| {
        let found = list.iter().any(|outage| {
            outage.way == way
                && outage.mode == Mode::Dropped
                && (outage.at_s - at_s).abs() <= 0.001
                && (outage.ms - ms).abs() <= 1.0
        });
        assert!(found, "{way:?} {at_s} {ms}: {list:?}");
    };
    is(Way::Up, 10.0, 5_000.0);
    // Said by the probe whose answer was the first to be lost: it left 30 ms before.
    is(Way::Down, 19.970, 5_000.0);
    is(Way::Up, 30.0, 5_000.0);
    is(Way::Down, 29.970, 30.0);
    assert_eq!(list.len(), 4, "{list:?}");
}

#[test]
fn a_hole_at_the_end_of_the_run_is_told_from_behind_it() {
    let holes = [(Directions::Down, 8 * SECOND, 3 * SECOND)];
    let run = run(constant(5_000, 5_000), 1, 10, RobotClock::default(), &holes);
    fates_are_true(&run);
}

#[test]
fn the_true_one_way_delay_lies_in_the_interval_whatever_the_clocks_do() {
    let step = |at: u64, by| Some((at * SECOND, by));
    let clocks = [
        RobotClock::default(),
        RobotClock { ahead_us: 7_000_000_000, ..RobotClock::default() },
        RobotClock { ahead_us: -1_000_000, ppm: 200, step: None },
        RobotClock { ahead_us: -1_000_000, ppm: -200, step: None },
        RobotClock { ahead_us: 500_000, ppm: 30, step: step(45, 50_000) },
        RobotClock { ahead_us: 500_000, ppm: -90, step: step(70, -50_000) },
    ];
    let links = [
        ("60/10", constant(60_000, 10_000)),
        ("5/105", constant(5_000, 105_000)),
        ("105/5", constant(105_000, 5_000)),
        ("city", model("city-5g-sa")),
        ("rural", model("rural-5g-nsa-handover")),
    ];
    for (name, link) in &links {
        for (index, clock) in clocks.iter().enumerate() {
            let run = run(link.clone(), 21, 120, *clock, &[]);
            let measures = measured(&run);
            let both: Vec<(u64, u64)> = run.truth.iter().flatten().copied().collect();
            assert!(both.len() > 100_000, "{name}: a link that carries nothing shows nothing");
            let mut up: Vec<u64> = both.iter().map(|both| both.0).collect();
            let mut down: Vec<u64> = both.iter().map(|both| both.1).collect();
            for (way, truth) in [(&measures.up, &mut up), (&measures.down, &mut down)] {
                for quantile in &way.absolute.high {
                    let is = exact(truth, quantile.above);
                    let (low, high) = way.absolute.bounds(&quantile.name).unwrap();
                    let inside = low <= is + 0.002 && high.is_none_or(|high| is <= high + 0.002);
                    let clocks = &measures.clocks;
                    assert!(
                        inside,
                        "{name} clock {index} {}: {is} not in {low} {high:?} {clocks:?}",
                        quantile.name
                    );
                }
            }
        }
    }
}

#[test]
fn drift_is_told_and_a_clock_step_is_not_taken_for_a_route() {
    let clock = RobotClock { ahead_us: 0, ppm: 200, step: Some((60 * SECOND, 50_000)) };
    let run = run(model("city-5g-sa"), 5, 120, clock, &[]);
    let clocks = measured(&run).clocks;
    assert_eq!(clocks.stretches.len(), 2, "{clocks:?}");
    for stretch in &clocks.stretches {
        assert!((stretch.drift_ppm - 200.0).abs() < 25.0, "{clocks:?}");
    }
    assert_eq!(clocks.steps.len(), 1);
    assert!((clocks.steps[0].by_ms - 50.0).abs() < 2.0, "{clocks:?}");
}

#[test]
fn what_was_held_is_told_from_what_was_dropped() {
    // Held for 80 ms on the way up, as a radio does in a handover: order kept, all at once behind.
    let mut run = run(constant(20_000, 20_000), 1, 20, RobotClock::default(), &[]);
    for (place, slot) in run.slots.iter_mut().enumerate().skip(7_000).take(80) {
        if let Fate::Back { up_us, .. } = &mut slot.fate {
            *up_us += i32::try_from(80_000 - (place - 7_000) * 1_000).unwrap();
        }
    }
    let list = measured(&run).outages.list;
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((list[0].way, list[0].mode), (Way::Up, Mode::Held));
    assert!((list[0].at_s - 7.0).abs() < 1e-6 && (list[0].ms - 80.0).abs() <= 1.0, "{list:?}");
}

#[test]
fn the_shipped_watchdog_stops_where_the_hole_is_longer_than_its_threshold() {
    // Ten holes of 60 ms: with little playout each stops at thresholds below 60 ms, and none above.
    let holes: Vec<Hole> = (1..=10).map(|n| (Directions::Up, n * 9 * SECOND, 60_000)).collect();
    let run = run(constant(10_000, 10_000), 1, 100, RobotClock::default(), &holes);
    let replay = measured(&run).replay.unwrap();
    let played = |ms| replay.played.iter().find(|played| played.playout_ms == ms).unwrap();
    let stops = |ms| replay.thresholds_ms.iter().copied().zip(played(ms).stops.iter().copied());
    for (threshold, stops) in stops(5) {
        let expected = if threshold <= 50 { 10 } else { 0 };
        assert_eq!(stops, expected, "threshold {threshold}: {replay:?}");
    }
    assert_eq!(replay.cell(5, 75).unwrap().0.to_bits(), 0.0_f64.to_bits());
    // A buffer longer than the holes bears them, but only until it has learnt that it need not be.
    assert!(stops(100).next().unwrap().1 <= stops(5).next().unwrap().1);
}
