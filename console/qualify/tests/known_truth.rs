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
use longhand_protocol::probe::{Probe, Receipts};
use longhand_protocol::units::Instant;
use longhand_qualify::ledger::Ledger;
use longhand_qualify::measure::outage::{Mode, Way};
use longhand_qualify::measure::quantile::Spread;
use longhand_qualify::measure::{Measures, intervals, measure};
use longhand_qualify::slot::{Fate, Slot};

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
    let is = |way, at_s: f64, ms: f64, most_ms: f64| {
        let found = list.iter().any(|outage| {
            outage.way == way
                && outage.mode == Mode::Dropped
                && (outage.at_s - at_s).abs() <= 0.001
                && (outage.ms - ms).abs() <= 1.0
                // And what is said of how little is known of it holds.
                && (outage.low_ms..=outage.high_ms).contains(&ms)
                && outage.low_ms >= ms - 1.0
                && outage.high_ms <= most_ms
        });
        assert!(found, "{way:?} {at_s} {ms}: {list:?}");
    };
    is(Way::Up, 10.0, 5_000.0, 5_001.0);
    // Said by the probe whose answer was the first to be lost: it left 30 ms before.
    is(Way::Down, 19.970, 5_000.0, 5_001.0);
    is(Way::Up, 30.0, 5_000.0, 5_001.0);
    // While nothing comes up nothing can be lost down: it may have been dark for as long.
    is(Way::Down, 29.970, 30.0, 5_031.0);
    assert_eq!(list.len(), 4, "{list:?}");
}

/// Runs of lost slots as the emulator made them: first place and how many until the next that came.
fn true_holes(came: impl Iterator<Item = Option<bool>>) -> Vec<(usize, usize)> {
    let (mut holes, mut begin, mut end) = (Vec::new(), None, 0);
    for (place, came) in came.enumerate() {
        match came {
            Some(false) => {
                begin.get_or_insert(place);
                end = place + 1;
            }
            Some(true) => holes.extend(begin.take().map(|begin| (begin, end - begin))),
            None => {}
        }
    }
    holes.extend(begin.map(|begin| (begin, end - begin)));
    holes.into_iter().filter(|(_, slots)| *slots >= 100).collect()
}

#[test]
fn on_weather_too_every_hole_has_its_direction_start_and_length() {
    let hole = |directions, at: u64| -> Hole { (directions, at * SECOND, 5 * SECOND) };
    let holes = [hole(Directions::Up, 12), hole(Directions::Down, 24), hole(Directions::Both, 36)];
    for (seed, name) in [(3, "beijing-sanya-5g-public"), (4, "leo-starlink"), (5, "hospital-wifi")]
    {
        let run = run(model(name), seed, 60, RobotClock::default(), &holes);
        // How many, and which way, is exact. Which of them, in a hole on the way down that is
        // longer than an answer tells (1.9 s), is not: but none may become an outage.
        let measures = measured(&run);
        let lost = |is: fn(&(bool, bool)) -> bool| {
            u64::try_from(run.came.iter().filter(|came| is(came)).count()).unwrap()
        };
        assert_eq!(measures.up.loss.events, lost(|came| !came.0), "{name}");
        assert_eq!(measures.down.loss.events, lost(|came| came.0 && !came.1), "{name}");
        let up = true_holes(run.came.iter().map(|(up, _)| Some(*up)));
        let down = true_holes(run.came.iter().map(|(up, down)| up.then_some(*down)));
        for (way, truth) in [(Way::Up, up), (Way::Down, down)] {
            assert!(truth.iter().any(|(_, slots)| *slots >= 4_800), "{name}: the hole itself");
            let list = &measures.outages.list;
            let found = list.iter().filter(|o| o.way == way && o.mode == Mode::Dropped);
            let found = found.filter(|o| o.ms >= 100.0);
            let whole = |x: f64| usize::try_from(longhand_qualify::number::whole(x)).unwrap();
            let found: Vec<_> = found.map(|o| (whole(o.at_s * 1e3), whole(o.ms))).collect();
            assert_eq!(found.len(), truth.len(), "{name} {way:?}: {found:?} {truth:?}");
            for ((at, slots), (true_at, true_slots)) in found.iter().zip(&truth) {
                let near = at.abs_diff(*true_at) <= 1 && slots.abs_diff(*true_slots) <= 1;
                assert!(near, "{name} {way:?}: {found:?} {truth:?}");
            }
        }
    }
}

/// Holes of any length within each other, on a link that loses single packets, too: every slot has
/// the direction in which it was lost, and nothing is unknown.
#[test]
fn holes_within_holes_have_their_directions_for_every_packet() {
    use Directions::{Both, Down, Up};
    let ms = |holes: &[(Directions, u64, u64)]| -> Vec<Hole> {
        holes.iter().map(|(way, from, lasts)| (*way, from * 1_000, lasts * 1_000)).collect()
    };
    let cases = [
        // Dark for a minute down; within it dark up three times, short and long.
        ms(&[(Down, 10_000, 60_000), (Up, 12_000, 40), (Up, 20_000, 15_000), (Up, 69_000, 900)]),
        // The reverse, and both at once within.
        ms(&[(Up, 10_000, 50_000), (Down, 15_000, 9_000), (Both, 30_000, 2_500)]),
        // Overlapping: up begins before, down ends behind.
        ms(&[(Up, 10_000, 10_000), (Down, 15_000, 12_000), (Up, 26_000, 3_000)]),
        // Down, with up holes of three seconds within it.
        (0..5).fold(ms(&[(Down, 10_000, 40_000)]), |mut holes, n| {
            holes.push((Up, (11_000 + n * 7_000) * 1_000, 3_000_000));
            holes
        }),
    ];
    for (seed, holes) in (60..).zip(cases) {
        for link in [constant(30_000, 10_000), model("beijing-sanya-5g-public")] {
            let run = run(link, seed, 90, RobotClock::default(), &holes);
            fates_are_true(&run);
            assert_eq!(run.count(Fate::LostSomewhere), 0);
            assert!(run.count(Fate::LostUp) + run.count(Fate::LostDown) > 10_000);
        }
    }
}

/// A robot that is started anew in the middle of a hole knows nothing of what came before: of that
/// nobody says that it was lost on the way up.
#[test]
fn what_a_robot_that_was_started_anew_cannot_know_is_lost_nobody_knows_where() {
    let mut ledger = Ledger::new(5_000_000, 1_000, 5_000);
    let mut receipts = Receipts::new();
    let mut slots = Vec::new();
    for number in 1..=5_000_u64 {
        let due = ledger.due_us(number);
        ledger.sent(number, due);
        if number == 2_500 {
            receipts = Receipts::new();
        }
        let probe = Probe { run: 1, number, ..Probe::default() };
        let answer = receipts.take(&probe, Instant::from_micros(due + 9_000)).unwrap();
        if !(2_000..3_000).contains(&number) {
            ledger.answer(&answer, due + 20_000);
        }
    }
    assert!(!ledger.is_told());
    ledger.finish(|slot| slots.push(slot));
    let count = |fate| slots.iter().filter(|slot: &&Slot| slot.fate == fate).count();
    assert_eq!((count(Fate::LostUp), count(Fate::LostDown)), (0, 0));
    assert_eq!(count(Fate::LostSomewhere), 1_000);
}

/// A wall clock that is set in the run moves what a declared common clock is worth; one reading
/// that a held-up robot spoilt does not.
#[test]
fn a_wall_clock_that_is_set_in_the_run_is_told() {
    let told = |offset: &dyn Fn(u64) -> u64| {
        let mut ledger = Ledger::new(5_000_000, 1_000, 100);
        let mut receipts = Receipts::new();
        for number in 1..=100_u64 {
            let due = ledger.due_us(number);
            ledger.sent(number, due);
            let probe = Probe { run: 1, number, ..Probe::default() };
            let mut answer = receipts.take(&probe, Instant::from_micros(due + 9_000)).unwrap();
            answer.wall_offset_us = offset(number);
            ledger.answer(&answer, due + 20_000);
        }
        ledger.told().wall_moved_us
    };
    assert_eq!(told(&|n| 7_000_000 + n % 3), 1);
    assert_eq!(told(&|n| if n == 50 { 7_040_000 } else { 7_000_000 }), 0);
    assert_eq!(told(&|n| if n < 50 { 7_000_000 } else { 6_500_000 }), 500_000);
}

/// In a session, a hole of 5 s ends it after 3: what was sent until then has its direction exactly,
/// and what was due without a session is told as that, never as a loss of the link's.
#[test]
fn a_session_that_a_hole_ended_still_knows_every_direction() {
    for (way, fate) in [(Directions::Up, Fate::LostUp), (Directions::Down, Fate::LostDown)] {
        let mut ledger = Ledger::new(5_000_000, 1_000, 12_000);
        let mut receipts = Receipts::new();
        let mut slots = Vec::new();
        for number in 1..=12_000_u64 {
            let due = ledger.due_us(number);
            match number {
                // Gone from 3 s behind the hole's beginning until a new session stands.
                6_001..=8_300 => {
                    ledger.unsent(number, Fate::NoSession);
                    continue;
                }
                _ => ledger.sent(number, due),
            }
            let is_dark = (3_001..=8_000).contains(&number);
            // Beside the hole, every hundredth is lost on the way up.
            let is_stray = number % 100 == 50;
            if is_stray || is_dark && way == Directions::Up {
                continue;
            }
            let probe = Probe { run: 1, number, ..Probe::default() };
            let answer = receipts.take(&probe, Instant::from_micros(due + 9_000)).unwrap();
            if !is_dark {
                ledger.answer(&answer, due + 20_000);
            }
        }
        ledger.finish(|slot| slots.push(slot));
        let count = |fate| slots.iter().filter(|slot: &&Slot| slot.fate == fate).count();
        let strays = (1..=12_000_usize).filter(|n| n % 100 == 50 && !(6_001..=8_300).contains(n));
        let strays = strays.filter(|n| way == Directions::Down || !(3_001..=6_000).contains(n));
        let in_hole = if way == Directions::Up { 3_000 } else { 2_970 };
        let up = strays.count() + if way == Directions::Up { 3_000 } else { 0 };
        assert_eq!(count(Fate::NoSession), 2_300, "{way:?}");
        assert_eq!(count(Fate::LostUp), up, "{way:?}");
        assert_eq!(count(Fate::LostDown), if fate == Fate::LostDown { in_hole } else { 0 });
        // None of those in the hole may have another fate than the hole's, but for the strays.
        let hole = slots.iter().skip(3_000).take(3_000);
        let other = hole.filter(|slot| slot.fate != fate).count();
        assert!(other <= 30, "{way:?}: {other}");
    }
}

#[test]
fn what_found_no_session_behind_a_hole_is_no_loss_of_the_links() {
    let mut ledger = Ledger::new(5_000_000, 1_000, 10_000);
    let mut receipts = Receipts::new();
    let mut slots = Vec::new();
    for number in 1..=10_000_u64 {
        let due = ledger.due_us(number);
        ledger.sent(number, due + 70);
        // A hole up from 1 s to 6 s; the robot forgets at 4 s, and says so a round trip of 20 ms
        // behind the hole's end. A new session stands from 6.1 s on.
        let came = number <= 1_000 || number > 6_100;
        if came {
            let probe = Probe { run: 1, number, ..Probe::default() };
            let answer = receipts.take(&probe, Instant::from_micros(due + 10_070)).unwrap();
            ledger.answer(&answer, due + 20_070);
        }
        if number == 6_020 {
            ledger.forgotten(due + 1_000 + 70);
        }
        if (6_021..=6_100).contains(&number) {
            ledger.unsent(number, Fate::NoSession);
        }
    }
    ledger.finish(|slot| slots.push(slot));
    let fates: Vec<Fate> = slots.iter().map(|slot| slot.fate).collect();
    assert!(fates[1_000..6_000].iter().all(|fate| *fate == Fate::LostUp), "the link's");
    assert!(fates[6_000..6_100].iter().all(|fate| *fate == Fate::NoSession), "nobody's");
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
            one_way_is_inside(
                &format!("{name} clock {index}"),
                &run(link.clone(), 21, 120, *clock, &[]),
            );
        }
    }
}

/// The truth lies within what is reported, at every quantile and of every slot, each way.
fn one_way_is_inside(name: &str, run: &Run) {
    let measures = measured(run);
    let mut seen = 0;
    intervals(&run.slots, &run.given, &mut |place, (up, down)| {
        let truth = run.truth[usize::try_from(place).unwrap()].unwrap();
        for ((low, high), is) in [(up, truth.0), (down, truth.1)] {
            let is = i64::try_from(is).unwrap();
            assert!(low <= is + 2 && is <= high + 2, "{name} {place}: {low} <= {is} <= {high}");
        }
        seen += 1;
    });
    assert!(seen > 100_000, "{name}: {seen}");
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
            let what = &quantile.name;
            assert!(inside, "{name} {what}: {is} not in {low} {high:?} {clocks:?}");
        }
    }
}

#[test]
fn a_route_that_turns_while_a_clock_drifts_and_steps_leaves_the_truth_inside() {
    let steps = [None, Some((70 * SECOND, 500_000)), Some((40 * SECOND, -8_000))];
    for (ppm, step) in [200, -200, 15].into_iter().zip(steps) {
        for (up, down) in [(100_000, 0), (0, 100_000)] {
            let clock = RobotClock { ahead_us: 3_000_000, ppm, step };
            let mut run = run(model("city-5g-sa"), 31, 150, clock, &[]);
            // 100 ms longer one way from the beginning, and 20 ms more from 95 s on.
            turn(&mut run, 0, up, down);
            turn(&mut run, 95_000, up / 5, down / 5);
            one_way_is_inside(&format!("{up}/{down} {clock:?}"), &run);
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

/// A satellite's uplink goes in frames of 20 ms, each of which holds what was sent meanwhile. That
/// is no outage; a hole of half a second is, on the same link, and a hold of 80 ms.
#[test]
fn the_frames_of_a_radio_are_no_outages_and_what_lasts_longer_is() {
    let holes = [(Directions::Down, 50 * SECOND, SECOND / 2)];
    let mut run = run(model("geo"), 14, 120, RobotClock::default(), &holes);
    for (place, slot) in run.slots.iter_mut().enumerate().skip(80_000).take(200) {
        if let Fate::Back { up_us, .. } = &mut slot.fate {
            *up_us += i32::try_from(200_000 - (place - 80_000) * 1_000).unwrap();
        }
    }
    let outages = measured(&run).outages;
    let long: Vec<_> = outages.list.iter().filter(|outage| outage.ms > 150.0).collect();
    assert_eq!(long.len(), 2, "{outages:?}");
    assert_eq!((long[0].way, long[0].mode), (Way::Down, Mode::Dropped), "{outages:?}");
    assert_eq!((long[1].way, long[1].mode), (Way::Up, Mode::Held), "{outages:?}");
    // What remains are the few jumps of several frames that the weather makes.
    assert!(outages.count < 60, "{} of them: {outages:?}", outages.count);
    assert!(outages.dark_s < 3.0, "{}", outages.dark_s);
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

/// Beside frames of 20 ms a buffer of 5 ms leaves the arm standing: it hardly ever stops, since it
/// never moves. That is not rare, and no buffer to recommend.
#[test]
fn an_arm_that_stands_all_the_time_does_not_stop_seldom() {
    let run = run(model("geo"), 14, 120, RobotClock::default(), &[]);
    let replay = measured(&run).replay.unwrap();
    let of = |ms: u64| replay.played.iter().find(|played| played.playout_ms == ms).unwrap();
    let (little, much) = (of(5), of(200));
    assert!(little.stops[0] < 10 && little.moving_s[0] < 5.0, "{little:?}");
    assert!(much.moving_s[0] > 100.0, "{much:?}");
    assert!(little.stops_per_hour[0] > much.stops_per_hour[0], "{little:?} {much:?}");
    assert!(replay.enough_ms(2_000.0).is_none_or(|ms| ms > 5), "{replay:?}");
}

/// The route becomes longer by so much from a slot on, us: up and down.
fn turn(run: &mut Run, from: usize, up: i32, down: i32) {
    for (slot, truth) in run.slots.iter_mut().zip(&mut run.truth).skip(from) {
        if let Fate::Back { up_us, down_us } = &mut slot.fate {
            *up_us += up;
            *down_us += down;
        }
        if let Some((true_up, true_down)) = truth {
            *true_up = true_up.saturating_add_signed(up.into());
            *true_down = true_down.saturating_add_signed(down.into());
        }
    }
}

#[test]
fn a_route_that_changes_is_told_with_its_time_its_size_and_its_way() {
    // On weather of 5G, with clocks that drift apart and step: none of that is a route.
    let clock = RobotClock { ahead_us: 0, ppm: 120, step: Some((170 * SECOND, -40_000)) };
    for (name, allowed_ms, allowed_s) in
        [("national-dedicated", 0.5, 0.1), ("city-5g-sa", 1.0, 1.0), ("rome-beijing", 1.0, 1.0)]
    {
        let mut run = run(model(name), 5, 210, clock, &[]);
        turn(&mut run, 35_400, 6_000, 0);
        turn(&mut run, 80_700, 0, -4_000);
        turn(&mut run, 130_100, 9_000, 7_000);
        let routes = measured(&run).routes;
        let truth = [
            (35.4, Way::Up, Some(6.0), None),
            (80.7, Way::Down, None, Some(-4.0)),
            (130.1, Way::Both, Some(9.0), Some(7.0)),
        ];
        assert_eq!(routes.len(), truth.len(), "{name}: {routes:?}");
        for (step, (at_s, way, up, down)) in routes.iter().zip(truth) {
            assert!((step.at_s - at_s).abs() <= allowed_s, "{name}: {step:?}");
            assert_eq!(step.way, way, "{name}: {step:?}");
            for (got, is) in [(step.up_ms, up), (step.down_ms, down)] {
                let near = got.zip(is).is_none_or(|(got, is)| (got - is).abs() < allowed_ms);
                assert!(got.is_some() == is.is_some() && near, "{name}: {step:?}");
            }
        }
    }
}

#[test]
fn weather_clocks_and_outages_are_not_taken_for_a_route() {
    let holes = [(Directions::Both, 60 * SECOND, 5 * SECOND)];
    let names = [
        "ideal",
        "metro-fibre",
        "campus-5g-urllc",
        "city-5g-sa",
        "national-dedicated",
        "beijing-sanya-5g-public",
        "rome-beijing",
        "geo",
        "hospital-wifi",
        "hospital-wifi-congested",
    ];
    for (seed, name) in (40..).zip(names) {
        let clock = RobotClock { ahead_us: 9, ppm: -150, step: Some((200 * SECOND, 25_000)) };
        let run = run(model(name), seed, 300, clock, &holes);
        let measures = measured(&run);
        assert!(measures.routes.is_empty(), "{name}: {:?}", measures.routes);
    }
}
