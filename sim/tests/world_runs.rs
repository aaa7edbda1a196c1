//! Whole runs of the virtual world, compared and checked.
//!
//! Goal: I16, I26, I27 hold between runs; every kind of fault does something; nothing is violated.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

use longhand_protocol::message::Stage;
use longhand_sim::campaign;
use longhand_sim::fault::{CATALOGUE, FaultEvent, FaultKind, Lives};
use longhand_sim::scenario::{Scenario, Transport};
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn run(scenario: &Scenario) -> longhand_sim::scenario::Outcome {
    let outcome = scenario.run(&AtomicBool::new(false), None).unwrap();
    if let Some((violation, tape)) = &outcome.violation {
        let file = serde_json::to_string(scenario).unwrap();
        panic!("{file}\n{tape}\n{violation}\n");
    }
    outcome
}

#[test]
fn quiet_runs_of_every_link_and_hand_violate_nothing() {
    for link in longhand_link::PROFILES.iter().map(|p| p.name) {
        for hand in longhand_sim::hands::NAMES {
            run(&Scenario::quiet(7, link, hand, 20));
        }
    }
}

#[test]
fn every_fault_of_the_world_does_something_and_violates_nothing() {
    for kind in CATALOGUE.iter() {
        let paths = match kind.lives {
            Lives::World => 1,
            Lives::TwoPaths => 2,
            Lives::Quic | Lives::Elsewhere(_) => continue,
        };
        let quiet = Scenario { paths, ..Scenario::quiet(3, "city-5g-sa", "peg-transfer", 12) };
        let mut faulty = quiet.clone();
        faulty.faults.push(FaultEvent::of(kind, 4_000, 1));
        let (without, with) = (run(&quiet), run(&faulty));
        assert_ne!(with.fired, [0], "{} {} never acted", kind.id, kind.name);
        assert_ne!(without.hash, with.hash, "{} {} changed nothing", kind.id, kind.name);
    }
}

/// A fault with its first values, from 5 s on, in a run over a good link: how often one stage
/// became another.
fn steps(hand: &str, kind: &str, for_ms: u64, values: &[f64], from: Stage, to: Stage) -> u64 {
    let mut scenario = Scenario::quiet(3, "ideal", hand, 9);
    let kind = FaultKind::by_id(kind).unwrap();
    let mut event = FaultEvent::of(kind, 5_000, 1);
    event.for_ms = for_ms;
    event.values[..values.len()].copy_from_slice(values);
    scenario.faults.push(event);
    run(&scenario).transitions.count(from, to)
}

#[test]
fn an_arm_overpowered_from_outside_is_noticed_and_latches() {
    for joint in [1.0, 2.0, 3.0] {
        let latched =
            steps("sweep", "F34", 600, &[3.0, joint, 0.01], Stage::Follow, Stage::Latched);
        assert_eq!(latched, 1, "joint {joint}");
    }
}

#[test]
fn a_hand_that_falls_silent_or_says_nonsense_or_stands_still_latches() {
    let latches = |hand, how, ms| steps(hand, "F36", ms, &[how], Stage::Follow, Stage::Latched);
    assert_eq!(latches("sweep", 3.0, 300), 1, "its device falls silent");
    assert_eq!(latches("sweep", 4.0, 300), 1, "no numbers");
    assert_eq!(latches("reach", 1.0, 2_500), 1, "a tracked hand that stands still");
    assert_eq!(latches("reach", 1.0, 1_900), 0, "not for that long");
    assert_eq!(latches("sweep", 1.0, 2_500), 0, "one that is not tracked");
}

#[test]
fn same_seed_gives_the_same_bits() {
    for seed in 0..6 {
        let scenario = Scenario::drawn(seed, 10, Transport::Plain);
        assert_eq!(run(&scenario).hash, run(&scenario).hash, "seed {seed}");
    }
}

/// Runs in which something once was violated, each with the sentence of its file's name.
#[test]
fn what_was_found_once_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut many = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        run(&Scenario::load(&entry.unwrap().path()).unwrap());
        many += 1;
    }
    assert!(many > 0, "the list is empty");
}

/// I26: nobody who looks changes anything; the hash is a watcher itself, so it is there both times.
#[test]
fn looking_on_changes_nothing() {
    let scenario = Scenario::drawn(11, 10, Transport::Plain);
    let mut seen = 0_u32;
    let watched = scenario.run(&AtomicBool::new(false), Some(&mut |_tick| seen += 1)).unwrap();
    assert_eq!(run(&scenario).hash, watched.hash);
    assert!(seen >= 9_000);
}

/// Every invariant of the checker can fail: a world whose profile promises less than the robot
/// does is violated, and the campaign's report says so.
#[test]
fn a_checker_that_expects_more_finds_a_violation() {
    let found = longhand_sim::scenario::Scenario::quiet(5, "city-5g-sa", "sweep", 10)
        .run_expecting(&AtomicBool::new(false), |profile| profile.motion.tip.speed = 0.01)
        .unwrap();
    let (violation, tape) = found.violation.unwrap();
    assert_eq!(violation.invariant, longhand_sim::check::Invariant::I05, "{violation}");
    assert!(tape.lines().count() > 40, "{tape}");
}

#[test]
fn a_short_campaign_covers_and_violates_nothing() {
    let stop = AtomicBool::new(false);
    let (transport, until_violation) = (Transport::Plain, false);
    let plan = campaign::Plan { seed: 1, runs: 40, transport, jobs: 2, until_violation };
    let report = campaign::run(&plan, &stop, false).unwrap();
    assert_eq!(report.violations, []);
    assert_eq!(report.runs, 40);
    assert!(report.faults.len() > 25, "{:?}", report.faults);
    assert!(report.bound_per_hour().unwrap() > 0.0);
}
