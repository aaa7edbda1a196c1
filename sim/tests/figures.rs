//! The promises about cut wires and broken links, by the commands that measure them, in small.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

use serde_json::Value;
use std::process::Command;

fn sim(arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-sim"));
    let output = command.args(arguments).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_slice(&output.stdout);
    (output.status.code(), json.unwrap_or_else(|error| panic!("{error}: {said}")))
}

#[test]
fn a_cut_wire_stops_every_arm_in_time_and_takes_its_energy() {
    let (code, report) = sim(&["cuts", "--count", "200", "--seed", "5"]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["schema"], "longhand cuts v1");
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), longhand_link::PROFILES.len());
    for row in rows {
        let figure = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
        assert_eq!(row["cuts"], 200, "{row}");
        // Arms that never moved, or had no energy, would keep every promise.
        assert!(figure("arms") > 100.0 && figure("fastest_mm_s") > 15.0, "{row}");
        assert!(row["energy_off"]["count"].as_u64().unwrap() > 100, "{row}");
        assert!(figure("travel_max_mm") > 0.1, "{row}");
        assert!(row["standstill"]["p50_ms"].as_f64().unwrap() > 5.0, "{row}");
    }
    let again = sim(&["cuts", "--count", "200", "--seed", "5", "--jobs", "1"]).1;
    assert_eq!(again, report, "the same seed is the same cuts, on any number of threads");
}

#[test]
fn motion_comes_back_gently_after_every_outage() {
    for hand in ["adversary", "reach"] {
        let arguments = ["outages", "--count", "20", "--link", "city-5g-sa", "--hand", hand];
        let (code, report) = sim(&arguments);
        assert_eq!(code, Some(0), "{report}");
        let row = &report["rows"][0];
        assert_eq!(row["outages"], 20, "{row}");
        assert!(row["came_back"].as_u64().unwrap() >= 5, "{row}");
        assert!(row["latched"].as_u64().unwrap() > 0, "{row}");
        let tip = &row["tip"];
        assert!(tip["speed"].as_f64().unwrap() > 0.02, "nothing moved: {row}");
        assert!(tip["jerk"].as_f64().unwrap() > 100.0, "{row}");
    }
}

#[test]
fn what_cannot_be_measured_is_an_error_in_words() {
    for (arguments, words) in [
        (["cuts", "--link", "nosuch"], "no link is called `nosuch`"),
        (["cuts", "--count", "0"], "0 is not in 1"),
        (["cuts", "--count", "-3"], "-3"),
        (["outages", "--hand", "nosuch"], "nosuch"),
        (["outages", "--jobs", "0"], "0 is not in 1"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-sim"));
        let output = command.args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
