//! `longhand-sim link check`, as an engineer calls it: every link does what its profile asks, the
//! answer says so row by row, and the exit code too. Nothing here judges how fast anything was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::process::{Command, Output};

use longhand_link::PROFILES;
use serde_json::Value;

fn check(asked: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_longhand-sim");
    let Output { status, stdout, stderr } =
        Command::new(program).args(["link", "check"]).args(asked).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The hour of each link is for release builds: `longhand-sim link check --all`.
#[test]
fn every_link_does_what_its_profile_asks() {
    let (code, out, err) = check(&["--all", "--minutes", "5", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    let links = report["links"].as_array().unwrap();
    assert_eq!(links.len(), PROFILES.len());
    for (link, profile) in links.iter().zip(PROFILES) {
        assert_eq!(link["link"], profile.name);
        let rows = link["rows"].as_array().unwrap();
        let failed: Vec<&Value> = rows.iter().filter(|row| row["verdict"] == "fail").collect();
        assert!(failed.is_empty(), "{}: {failed:?}", profile.name);
        let figures: BTreeSet<&str> = rows.iter().map(|r| r["figure"].as_str().unwrap()).collect();
        let always = ["least delay", "loss", "packets out of order", "packets astray", "rate"];
        assert!(always.iter().all(|name| figures.contains(name)), "{figures:?}");
        if !profile.up.jitter.target.is_empty() {
            for name in ["added delay p50", "added delay p99.9", "correlation time"] {
                assert!(figures.contains(name), "{}: {figures:?}", profile.name);
            }
        }
        for outage in profile.outages {
            assert!(figures.contains(&*format!("{}: how many", outage.name)), "{figures:?}");
        }
    }
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn the_same_seed_says_the_same_and_people_can_read_it() {
    let once = check(&["--link", "campus-5g-urllc", "--minutes", "1", "--seed", "7"]);
    assert_eq!(once.0, Some(0), "{}", once.2);
    assert!(once.1.contains("added delay p99.9") && once.1.contains("1 links do"), "{}", once.1);
    let rows = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let again = check(&["--link", "campus-5g-urllc", "--minutes", "1", "--seed", "7"]);
    assert_eq!(rows(&once.1), rows(&again.1));
    let other = check(&["--link", "campus-5g-urllc", "--minutes", "1", "--seed", "8"]);
    assert_ne!(rows(&once.1), rows(&other.1));
}

#[test]
fn the_relay_is_measured_in_real_time() {
    let (code, out, err) = check(&["--link", "ideal", "--real-time", "1", "--json"]);
    // 3 where this machine stalled: the report says so, and that is all this test asks.
    let report: Value = serde_json::from_str(&out).unwrap();
    let link = &report["links"][0];
    assert_eq!(
        (code, link["valid"].as_bool()),
        (Some(if code == Some(0) { 0 } else { 3 }), Some(code == Some(0))),
        "{err}"
    );
    assert!(link["packets"].as_u64().unwrap() > 100, "{link}");
    assert!(link["error_us_p50"].is_u64() && link["error_us_max"].is_u64(), "{link}");
    assert!(
        link["up"]["delivered"].as_u64() > Some(50)
            && link["down"]["delivered"].as_u64() > Some(50)
    );
}

#[test]
fn a_wrong_call_says_what_to_do() {
    assert_eq!(check(&[]).0, Some(2));
    assert_eq!(check(&["--all", "--link", "ideal"]).0, Some(2));
    assert_eq!(check(&["--all", "--minutes", "0"]).0, Some(2));
    assert_eq!(check(&["--all", "--minutes", "3", "--real-time", "3"]).0, Some(2));
    let (code, _, err) = check(&["--link", "starlink"]);
    assert!(code == Some(1) && err.contains("leo-starlink"), "{err}");
}
