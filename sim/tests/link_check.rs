//! `longhand-sim link check`, as an engineer calls it: every link does what its profile asks, the
//! answer says so row by row, and the exit code too. Nothing here judges how fast anything was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::process::{Command, Output};
use tempfile::NamedTempFile;

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
    let (code, out, err) = check(&["--link", "ideal", "--real-time", "1s", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    let link = &report["links"][0];
    // How late the relay was depends on the machine; that the code says it does not.
    let of = |what: &str| link[what].as_bool().unwrap();
    let us = |what: &str| link[what].as_u64().unwrap();
    let goal = |name: &str| report["goal_us"][name].as_u64().unwrap();
    let meets = us("error_us_p50") <= goal("p50") && us("error_us_p99") <= goal("p99");
    assert_eq!(of("meets_goals"), meets, "{link}");
    let expected = match (of("valid"), meets) {
        (false, _) => 3,
        (true, false) => 1,
        (true, true) => 0,
    };
    assert_eq!(code, Some(expected), "{err}");
    assert!(link["packets"].as_u64().unwrap() > 100, "{link}");
    assert!(link["error_us_p50"].is_u64() && link["error_us_max"].is_u64(), "{link}");
    assert!(
        link["up"]["delivered"].as_u64() > Some(50)
            && link["down"]["delivered"].as_u64() > Some(50)
    );
}

/// What no catalogue has is a wrong command line, whichever command is told it: nothing was tried.
#[test]
fn a_name_that_is_none_ends_with_2_everywhere() {
    let program = env!("CARGO_BIN_EXE_longhand-sim");
    let far = ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:9"];
    let link = ["--link", "nosuch"];
    for (asked, word) in [
        ([&["link", "run"], &far[..], &link[..]].concat(), "nosuch"),
        (vec!["link", "show", "nosuch"], "nosuch"),
        (vec!["demo", "--headless", "--link", "nosuch"], "nosuch"),
        (vec!["demo", "--headless", "--input", "nosuch"], "peg-transfer"),
        (vec!["table", "--link", "nosuch"], "nosuch"),
        (vec!["cuts", "--link", "nosuch"], "nosuch"),
        (vec!["outages", "--link", "nosuch"], "nosuch"),
        (vec!["outages", "--hand", "nosuch"], "adversary"),
        (vec!["run", "--link", "nosuch"], "nosuch"),
        (vec!["run", "--hand", "nosuch"], "adversary"),
        (vec!["run", "--faults", "F01,F99"], "F99"),
        (vec!["attack", "A99"], "A99"),
        // No port, or none that there is: no name was looked up.
        (vec!["link", "run", "--link", "ideal", "--listen", "here", "--to", "::1:9"], "HOST:PORT"),
        (vec!["link", "measure", "--irtt", "host"], "HOST:PORT"),
        (vec!["link", "reflect", "--stamp", "host:none"], "HOST:PORT"),
        (vec!["link", "reflect", "--stamp", "127.0.0.1:0", "--for", "2d"], "30s"),
        // One more place to listen than far ends.
        (
            [&["link", "run", "--listen", "127.0.0.1:0", "--link", "ideal"], &far[..]].concat(),
            "pair",
        ),
    ] {
        let Output { status, stdout, stderr } =
            Command::new(program).args(&asked).output().unwrap();
        let err = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{asked:?}: {err}");
        assert!(
            err.contains(word) || word == "pair" && err.contains("far end"),
            "{asked:?}: {err}"
        );
    }
}

/// A trace that declares no seam: three quarters of a second, nothing lost.
fn seamless() -> NamedTempFile {
    let trace = NamedTempFile::new().unwrap();
    let header = r##"#{"format":"longhand-link-trace-1","kind":"owd","time_base":"relative_us","##;
    let more = r##""dirs":"ud","sampling_us":250000,"loss_semantics":"explicit","##;
    let end = r##""interpolation":"step","probe":"","source":"test","licence":""}"##;
    std::fs::write(&trace, format!("{header}{more}{end}\n0,b,5000\n500000,b,6000\n")).unwrap();
    trace
}

#[test]
fn behind_the_end_of_a_trace_show_counts_no_loss() {
    let trace = seamless();
    let program = env!("CARGO_BIN_EXE_longhand-sim");
    let show = ["link", "show", "--trace", trace.path().to_str().unwrap(), "--json"];
    let Output { stdout, .. } = Command::new(program).args(show).output().unwrap();
    let told: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(told["sampled"]["seconds"], 0.75, "{told}");
    let up = &told["sampled"]["up"]["counts"];
    assert_eq!((&up["offered"], &up["delivered"]), (&750.into(), &750.into()), "{up}");
}

#[test]
fn a_trace_without_a_seam_ends_the_run_in_words_and_loops_where_told() {
    let trace = seamless();
    let program = env!("CARGO_BIN_EXE_longhand-sim");
    let run = |more: &[&str]| {
        let asked = ["link", "run", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", "--json"];
        let all = [&asked[..], &["--trace", trace.path().to_str().unwrap()], more].concat();
        let Output { status, stdout, stderr } = Command::new(program).args(all).output().unwrap();
        let told: Value = serde_json::from_slice(&stdout).unwrap();
        (status.code(), told["trace_ended"].as_bool(), String::from_utf8(stderr).unwrap())
    };
    // Nobody ends it but the trace itself; 3: nothing came through.
    let (code, ended, err) = run(&[]);
    assert_eq!((code, ended), (Some(3), Some(true)), "{err}");
    assert!(err.contains("the trace ended after 0.8 s") && err.contains("--loop"), "{err}");
    let (code, ended, err) = run(&["--loop", "--for", "2s"]);
    assert_eq!((code, ended), (Some(3), Some(false)), "{err}");
}

#[test]
fn a_wrong_call_says_what_to_do() {
    let (code, _, err) = check(&[]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("Examples:") && err.contains("link check --all"), "{err}");
    assert_eq!(check(&["--all", "--link", "ideal"]).0, Some(2));
    assert_eq!(check(&["--all", "--minutes", "0"]).0, Some(2));
    assert_eq!(check(&["--all", "--minutes", "3", "--real-time", "3"]).0, Some(2));
    let (code, _, err) = check(&["--link", "starlink"]);
    assert!(code == Some(2) && err.contains("leo-starlink"), "{err}");
}
