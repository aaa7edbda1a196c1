//! Outages at every rate of the schedule: what is said of each holds whatever hole there was,
//! single losses are none, and nothing that a radio's frames do not explain vanishes.
//!
//! The arrivals are reckoned here, to the microsecond, without the emulator.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use longhand_qualify::measure::outage::{Mode, Outages, Way};
use longhand_qualify::measure::{Given, measure};
use longhand_qualify::number::{real, signed};
use longhand_qualify::slot::{Fate, Slot};
use longhand_qualify::verdict::{Profile, Verdict, judge};

/// 2 kHz, 1 kHz, 50 Hz: the period, us.
const PERIODS_US: [i64; 3] = [500, 1_000, 20_000];
const DELAY_US: i64 = 10_000;

/// So many seconds of a link on which a probe due at this time has this fate.
fn slots(period_us: i64, seconds: i64, fate: impl Fn(i64) -> Fate) -> (Vec<Slot>, Given) {
    let count = seconds * 1_000_000 / period_us;
    let all: Vec<Slot> = (0..count).map(|place| Slot::of(fate(place * period_us))).collect();
    let given = Given {
        period_us: u64::try_from(period_us).unwrap(),
        slots: u64::try_from(count).unwrap(),
        ..Given::default()
    };
    (all, given)
}

fn outages(run: &(Vec<Slot>, Given)) -> Outages {
    measure(&run.0, &run.1).outages
}

fn back(up_us: i64) -> Fate {
    let short = |us: i64| i32::try_from(us).unwrap();
    Fate::Back { up_us: short(up_us), down_us: short(DELAY_US) }
}

/// What was dark from then on for so long: dropped, or held and let go at once.
fn dark(period_us: i64, from_us: i64, long_us: i64, way: Way, mode: Mode) -> Outages {
    let until = from_us + long_us;
    outages(&slots(period_us, 2, |due| {
        let is_dark = (from_us..until).contains(&due);
        match (mode, way) {
            _ if !is_dark => back(DELAY_US),
            (Mode::Held, _) => back(DELAY_US + until - due),
            (Mode::Dropped, Way::Down) => Fate::LostDown,
            (Mode::Dropped, _) => Fate::LostUp,
        }
    }))
}

/// Every length from less than is counted to half a second, beginning anywhere between two probes.
#[test]
fn the_truth_lies_inside_what_is_said_of_every_outage_at_every_rate() {
    for period_us in PERIODS_US {
        let lengths = [
            777, 9_300, 9_999, 10_000, 10_001, 10_600, 11_100, 19_999, 20_001, 33_333, 60_000,
            500_000,
        ];
        let phases = [0, 1, period_us / 2, period_us - 1];
        let cases = lengths.into_iter().flat_map(|long_us| phases.map(|phase| (long_us, phase)));
        for (long_us, phase) in cases {
            let ways =
                [(Way::Up, Mode::Dropped), (Way::Down, Mode::Dropped), (Way::Up, Mode::Held)];
            for (way, mode) in ways {
                let from_us = 1_000_000 + phase;
                let found = dark(period_us, from_us, long_us, way, mode);
                let words = format!("{period_us} us, {long_us} us, {phase}, {mode:?}: {found:?}");
                let (period_ms, true_ms) = (signed(period_us) / 1e3, signed(long_us) / 1e3);
                let told = found.longest_possible_ms >= true_ms - 1e-9;
                // Of a hold a slow schedule may see so little that it looks like jitter.
                let is_slow = mode == Mode::Held && period_us > 1_000;
                let least_ms = if is_slow { 10.0 + 2.0 * period_ms } else { 10.0 };
                assert!(told || true_ms <= least_ms, "{words}");
                assert!(found.longest_sure_ms <= true_ms + 1e-9, "{words}");
                assert!(found.dark_sure_s <= true_ms / 1e3 + 1e-9, "{words}");
                assert!(found.dark_possible_s >= found.dark_s, "{words}");
                assert!(found.sure <= found.count && found.count <= found.possible, "{words}");
                // What lasted three periods and 10 ms more is seen, once.
                let must = long_us >= 10_000 + 3 * period_us;
                assert!(found.count <= 1 && (!must || found.count == 1), "{words}");
                assert!(long_us >= 10_000 || found.sure == 0, "{words}");
                if mode == Mode::Dropped && long_us >= 10_000.max(2 * period_us) {
                    assert!(found.possible == 1, "{words}");
                }
                for outage in &found.list {
                    assert_eq!((outage.way, outage.mode), (way, mode), "{words}");
                    let at_ms = signed(from_us) / 1e3;
                    let began = outage.at_s * 1e3 - period_ms - 1e-6..=outage.at_s * 1e3 + 1e-6;
                    assert!(began.contains(&at_ms), "{words}");
                    assert!(outage.low_ms <= true_ms + 1e-6, "{words}");
                    assert!(outage.high_ms >= true_ms - 1e-6, "{words}");
                    // As near as the schedule looks: a millisecond at 1 kHz.
                    assert!((outage.ms - true_ms).abs() <= period_ms + 1e-6, "{words}");
                    assert!(outage.high_ms - outage.low_ms <= 2.0 * period_ms + 1e-6, "{words}");
                }
            }
        }
    }
}

fn one_row(metric: &str, bound: &str) -> Profile {
    Profile::parse(&format!(
        "name = \"t\"\ntitle = \"t\"\n[[requirement]]\nwhat = \"w\"\nmetric = \"{metric}\"\n\
         {bound}\nsource = \"s\"\n"
    ))
    .unwrap()
}

/// A probe in a hundred is lost, each alone. That is loss, at any rate. What a slow schedule cannot
/// tell from an outage is for the worst end: it neither passes nor fails a row of outages.
#[test]
fn a_single_lost_probe_is_no_outage_at_any_rate() {
    use Verdict::{Insufficient, Pass};
    // At 200 Hz two periods are 10 ms: the slowest schedule that can tell.
    let rates = [(500, Pass), (1_000, Pass), (5_000, Pass), (20_000, Insufficient)];
    for (period_us, verdict) in rates {
        let run = slots(period_us, 60, |due| {
            if due / period_us % 100 == 50 { Fate::LostUp } else { back(DELAY_US) }
        });
        let measures = measure(&run.0, &run.1);
        let found = &measures.outages;
        assert!((measures.up.loss.share - 0.01).abs() < 1e-9);
        assert_eq!((found.count, found.sure, found.list.len()), (0, 0, 0), "{period_us}");
        assert_eq!(found.possible, if verdict == Pass { 0 } else { 30 }, "{period_us}");
        // Each may have been one of two periods.
        let dark_s = if verdict == Pass { 0.0 } else { 30.0 * 0.040 };
        assert!((found.dark_possible_s - dark_s).abs() < 1e-9, "{found:?}");
        let rows = judge(&one_row("outages_per_hour", "at_most = 200.0"), &measures);
        assert_eq!(rows[0].verdict, verdict, "{period_us}: {rows:?}");
        assert_eq!(rows[0].reason.contains("a higher --rate"), verdict != Pass, "{rows:?}");
    }
    // Two in a row are one, and say how little is known of how long.
    let run = slots(20_000, 60, |due| {
        if (30_000_000..30_040_000).contains(&due) { Fate::LostUp } else { back(DELAY_US) }
    });
    let found = outages(&run);
    let list: Vec<_> = found.list.iter().map(|o| (o.at_s, o.low_ms, o.ms, o.high_ms)).collect();
    assert_eq!(list, [(30.0, 20.0, 40.0, 60.0)]);
}

/// Every so often all is held for so long and then let go, us.
fn held_every(every_us: i64, long_us: i64) -> Outages {
    outages(&slots(1_000, 30, |due| {
        let into = due % every_us;
        back(DELAY_US + if into < long_us { long_us - into } else { 0 })
    }))
}

/// A hold longer than any radio's frame is an outage, however much of the time holds take; and what
/// is as short as a frame, but does not come all the time, is one, too.
#[test]
fn holds_that_no_frame_explains_do_not_vanish() {
    // Held all the time for 20 ms: a satellite's frames.
    let frames = held_every(20_000, 20_000);
    assert_eq!((frames.count, frames.possible), (0, 0), "{frames:?}");
    assert!((20.0..=21.0).contains(&frames.frames_ms.0), "{frames:?}");
    assert!((28.0..=31.0).contains(&frames.frames_s.0), "{frames:?}");
    assert_eq!((frames.frames_ms.1.to_bits(), frames.frames_s.1.to_bits()), (0, 0));
    let cases = [
        // All the time, but longer than any frame; a tenth, a seventh and half of the time.
        (30_000, 30_000),
        (600_000, 60_000),
        (300_000, 40_000),
        (200_000, 99_000),
        // As long as a frame, a tenth and a third of the time.
        (200_000, 20_000),
        (60_000, 20_000),
    ];
    for (every_us, long_us) in cases {
        let found = held_every(every_us, long_us);
        let there = real(u64::try_from(30_000_000 / every_us).unwrap());
        // The first and the last lie on the run's edges.
        assert!(real(found.count) >= there - 2.0, "{every_us} {long_us}: {found:?}");
        assert!((found.longest_ms - signed(long_us) / 1e3).abs() <= 1.0, "{found:?}");
        assert_eq!(found.frames_ms.0.to_bits(), 0, "{found:?}");
    }
    // Frames, and now and then a hold that is longer: that one is told.
    let found = outages(&slots(1_000, 30, |due| {
        let until = if (12_000_000..12_040_000).contains(&due) { 12_040_000 } else { 0 };
        back(DELAY_US + (20_000 - due % 20_000).max(until - due))
    }));
    assert_eq!(found.count, 1, "{found:?}");
    assert!((found.list[0].at_s - 12.0).abs() <= 0.001, "{found:?}");
}
