//! The attacks of the catalogue, a few seeds each, in the virtual world; the same six against
//! RAVEN II's rule; and that an oracle can fail.
//!
//! `longhand-sim attack --all --seeds 1000` is the same with more seeds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use longhand_sim::attack::catalogue::{Attack, CATALOGUE, Runs};
use longhand_sim::attack::command::tally;
use longhand_sim::attack::in_world::hands_on::Change;
use longhand_sim::attack::in_world::trial::{ACCEPTED, Plan, Trial};
use longhand_sim::attack::raven::beside;
use longhand_sim::compare;
use longhand_sim::compare::netfi::CONDITIONS;
use std::sync::atomic::AtomicBool;

/// Seeds of each attack here: every variant that it has, A21 the most. Chosen so, for all of them
/// to take well below a minute.
fn seeds(id: &str) -> u64 {
    if id == "A21" { 8 } else { 4 }
}

#[test]
fn every_attack_of_the_world_is_held_off() {
    let stop = AtomicBool::new(false);
    for attack in CATALOGUE.iter().filter(|attack| matches!(attack.runs, Runs::World(_))) {
        let tally = tally(attack, 0, seeds(attack.id), 2, &stop).unwrap();
        assert_eq!(tally.runs, seeds(attack.id), "{}", attack.id);
        assert!(tally.through.is_empty(), "{} {}: {:?}", attack.id, attack.action, tally.through);
    }
}

#[test]
fn the_same_seed_is_the_same_attack() {
    let stop = AtomicBool::new(false);
    for id in ["A05", "A06", "A17"] {
        let attack = Attack::by_id(id).unwrap();
        let one = tally(attack, 40, 1, 1, &stop).unwrap();
        assert_eq!(one, tally(attack, 40, 1, 1, &stop).unwrap(), "{id}");
        assert_ne!(one.most, tally(attack, 41, 1, 1, &stop).unwrap().most, "{id}");
    }
}

#[test]
fn ravens_rule_falls_for_each_of_the_six() {
    for id in beside::ATTACKS {
        for seed in 0..20 {
            let damage = beside::attack(id, seed).unwrap().unwrap();
            assert!(damage.succeeds(), "{id} seed {seed}: {}", damage.words());
        }
    }
    assert!(beside::attack("A24", 1).unwrap().is_none());
    let damage = |id| beside::attack(id, 1).unwrap().unwrap();
    assert!(damage("A05").displaced_mm > 1.0, "replayed increments move the tool");
    assert!(damage("A10").muted_ms >= 500, "one packet mutes the surgeon");
    assert!(damage("A17").step_mm >= 50.0, "a step is taken whole");
    assert!(damage("A21").halted, "one packet takes the power");
}

/// A defence taken away: what is forged is waved through as if the console had said it.
#[test]
fn an_oracle_fails_where_a_forged_command_is_believed() {
    let plan = Plan { seed: 5, link: "ideal", hand: "sweep", paths: 1 };
    let mut alone = Trial::begin(&plan).unwrap();
    alone.run(300);
    let alone = alone.end();
    let mut trial = Trial::begin(&plan).unwrap();
    // Nothing is changed but the claim that it is an attacker's.
    trial.meddle(Change::new(trial.witness(), |_, _: &mut Vec<u8>| true));
    trial.run(300);
    let record = trial.end();
    assert!(record.forged(ACCEPTED) > 0);
    let mut refused = record.finding();
    assert_eq!(refused.broken, None);
    record.all_refused(&mut refused);
    assert!(refused.broken.unwrap().contains("were believed"));
    let mut same = record.finding();
    record.same_as(&alone, &mut same);
    assert_eq!(same.broken, None, "the very same bytes");
}

/// I16 can fail: a command that is lost is not a command that was refused.
#[test]
fn an_oracle_fails_where_the_run_differs() {
    let plan = Plan { seed: 5, link: "ideal", hand: "sweep", paths: 1 };
    let mut alone = Trial::begin(&plan).unwrap();
    alone.run(300);
    let alone = alone.end();
    let mut trial = Trial::begin(&plan).unwrap();
    let mut seen = 0;
    trial.meddle(Change::new(trial.witness(), move |_, bytes: &mut Vec<u8>| {
        seen += 1;
        // Twenty in a row cut short: refused, and missed.
        if (100..120).contains(&seen) {
            bytes.truncate(10);
        }
        false
    }));
    trial.run(300);
    let record = trial.end();
    let mut finding = record.finding();
    record.same_as(&alone, &mut finding);
    assert!(finding.broken.unwrap().starts_with("I16"));
}

#[test]
fn what_is_not_built_is_never_counted_as_held() {
    let stop = AtomicBool::new(false);
    for attack in &CATALOGUE {
        let runs = tally(attack, 0, 1, 1, &stop).unwrap().runs;
        assert_eq!(runs == 1, matches!(attack.runs, Runs::World(_)), "{}", attack.id);
    }
}

#[test]
fn over_netfi_loss_costs_ravens_rule_motion_and_ours_time() {
    for condition in &CONDITIONS[..4] {
        let (theirs, own) = (compare::raven(condition, 1).unwrap(), compare::ours(condition, 1));
        let own = own.unwrap();
        assert!(own.finished && own.error_mm < 0.1, "{}: {own:?}", condition.name);
        assert!((own.path_ratio - 1.0).abs() < 0.02, "{}: {own:?}", condition.name);
        let spoiled = theirs.error_mm > 1.0 && theirs.path_ratio < 0.95;
        assert_eq!(spoiled, condition.name != "normal", "{}: {theirs:?}", condition.name);
        assert_eq!(own, compare::ours(condition, 1).unwrap(), "the same seed, the same run");
    }
}
