//! `qualify report`, `verify` and `compare` on a run's folder, as an engineer types them. The
//! samples are made here, so no network is needed and nothing depends on how fast this machine is.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

use longhand_console::qualify::{RawFile, SESSION_SAMPLES, TWIN_SAMPLES};
use longhand_protocol::message::RobotId;
use longhand_protocol::units::Micros;
use longhand_qualify::measure::Given;
use longhand_qualify::measure::load::Traffic;
use longhand_qualify::report::run::{Ended, LoadedRun, Loading, RUN_SCHEMA, Run};
use longhand_qualify::report::{About, SCHEMA};
use longhand_qualify::slot::{Fate, Slot};
use longhand_qualify::verdict::Profile;
use longhand_quic::trust::{Role, Trust};
use serde_json::Value;

const SLOTS: u64 = 5_000;
const REPORTS: [&str; 2] = ["report.json", "report.html"];

fn qualify(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-console"));
    command.arg("qualify").args(arguments).env_remove("LONGHAND_LOG").output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    // miette folds long lines and marks the folds.
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.split_whitespace().filter(|word| *word != "\u{2502}").collect::<Vec<_>>().join(" ")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// A hospital's trust with an engineer in it, and a run's folder.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let within = tempfile::tempdir().unwrap();
        let path = within.path();
        let trust = Trust::init(&path.join("trust"), "Test Hospital").unwrap();
        trust.issue(Role::Engineer, "ann", 30, None).unwrap();
        let _other = Trust::init(&path.join("elsewhere"), "Another").unwrap();
        let folder = path.join("run");
        std::fs::create_dir_all(folder.join("loaded")).unwrap();
        for (n, file) in [SESSION_SAMPLES, TWIN_SAMPLES].into_iter().enumerate() {
            samples(&folder.join(file), 1 + i32::try_from(n).unwrap());
            samples(&folder.join("loaded").join(file), 5);
        }
        let scene = Self(within);
        scene.keep(|_| ());
        scene
    }

    /// Writes `run.json`, changed.
    fn keep(&self, change: impl FnOnce(&mut Run)) {
        let given = Given { period_us: 1_000, slots: SLOTS, ..Given::default() };
        let traffic = Traffic {
            asked_bps: 33_000_000,
            offered_bps: 33_000_000,
            came_bps: 32_000_000,
            untold_s: 0.1,
        };
        let load = LoadedRun {
            up: Some(traffic),
            down: Some(traffic),
            session: given.clone(),
            twin: Some(given.clone()),
            ..LoadedRun::default()
        };
        let mut run = Run {
            schema: RUN_SCHEMA.to_owned(),
            about: About { rate_hz: 1_000, robot: "or3:7400".to_owned(), ..About::default() },
            requirements: Profile::shipped("atis-laparoscopic").unwrap(),
            noise: None,
            noise_quic: None,
            loading: None,
            ended: Some(Ended {
                session: given.clone(),
                twin: Some(given),
                load: Some(load),
                path: None,
            }),
        };
        change(&mut run);
        let text = serde_json::to_string(&run).unwrap();
        std::fs::write(self.0.path().join("run/run.json"), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn report(&self, more: &[&str]) -> Output {
        qualify(&[&["report", &self.path("run"), "--json"], more].concat())
    }

    fn verify(&self, what: &str) -> Output {
        let trust = self.path("trust");
        qualify(&["verify", &self.path(what), "--authority", &trust, "--json"])
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A link of 20 ms each way, and a little.
fn samples(path: &Path, more_ms: i32) {
    let mut file = RawFile::create(path, 1, Micros::from_millis(1)).unwrap();
    let us = 20_000 + more_ms * 1_000;
    let slots = (0..SLOTS).map(|_| Slot::of(Fate::Back { up_us: us, down_us: us }));
    file.write(&slots.collect::<Vec<_>>()).unwrap();
    file.finish(0).unwrap();
}

/// Nothing half stands in the way of the same command once there is room again.
#[test]
fn a_full_disk_leaves_no_half_report() {
    let scene = Scene::new();
    let (identity, run) = (scene.path("trust/ann"), scene.path("run"));
    let mut full = Command::new("sh");
    // No file of more than 8 kB, told as an error and not by a signal.
    let small = "trap '' XFSZ; ulimit -f 16; exec \"$0\" qualify report \"$@\"";
    full.args(["-c", small, env!("CARGO_BIN_EXE_longhand-console"), &run]);
    let failed = full.args(["--identity", &identity]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(said(&failed.stderr).contains("cannot write"), "{}", said(&failed.stderr));
    let left = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    let is_half = |name: &String| REPORTS.contains(&name.as_str()) || name.contains(".new-");
    assert!(!left.iter().any(is_half), "{left:?}");
    assert_eq!(scene.report(&["--identity", &identity]).status.code(), Some(3));
    assert_eq!(scene.verify("run").status.code(), Some(0));
}

#[test]
fn a_report_is_made_again_signed_where_asked_and_never_over_another() {
    let scene = Scene::new();
    let identity = scene.path("trust/ann");
    let made = scene.report(&["--identity", &identity]);
    // A few seconds show no six nines of availability: not enough, and nothing fails.
    assert_eq!(made.status.code(), Some(3), "{made:?}");
    let object = json(&made);
    assert_eq!(object["schema"], "longhand qualify report v3");
    assert!((object["quic"]["rtt"]["min_ms"].as_f64().unwrap() - 42.0).abs() < 0.1);
    assert!(object["load"]["quic"]["adds_ms"][0].as_f64().unwrap() > 7.0, "{}", object["load"]);
    let passed = object["rows"].as_array().unwrap().iter().filter(|row| row["verdict"] == "PASS");
    // Round trip, jitter, and both rows of throughput, which only the loaded run can tell.
    assert!(passed.count() >= 4, "{}", object["rows"]);
    assert_eq!(scene.verify("run").status.code(), Some(0), "{:?}", scene.verify("run"));
    let again = scene.report(&["--identity", &identity]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again.stderr).contains("there already"), "{}", said(&again.stderr));
    // Elsewhere it is whole, too: with everything that it was made from.
    let out = scene.path("whole");
    scene.report(&["--out", &out, "--identity", &identity]);
    let whole = scene.verify("whole");
    assert_eq!((whole.status.code(), &json(&whole)["samples"]), (Some(0), &"match".into()));
    let again = scene.report(&["--out", &out, "--identity", &identity]);
    assert!(again.status.code() == Some(1) && said(&again.stderr).contains("there already"));
    // Another run's samples are not written over.
    for name in REPORTS {
        std::fs::remove_file(Path::new(&out).join(name)).unwrap();
    }
    let over = scene.report(&["--out", &out]);
    assert!(over.status.code() == Some(1) && said(&over.stderr).contains("there already"));
    // Against other requirements, unsigned: whoever verifies it is told.
    let out = scene.path("other");
    let other = scene.report(&["--out", &out, "--require", "xu-300"]);
    assert_eq!(json(&other)["profile"]["name"], "xu-300");
    let unsigned = scene.verify("other/report.html");
    assert_eq!(unsigned.status.code(), Some(4), "{unsigned:?}");
    assert!(said(&unsigned.stderr).contains("no signature"));
    let unknown = scene.report(&["--out", &out, "--require", "nosuch"]);
    assert_eq!(unknown.status.code(), Some(2));
}

/// Whoever reported a crashed run without an identity signs it where it lies, later: what lay there
/// is kept, and said. What somebody signed, and is whole, stays.
#[test]
fn an_unsigned_report_gives_way_to_a_signed_one_of_the_same_samples_and_is_kept() {
    let scene = Scene::new();
    let identity = scene.path("trust/ann");
    let read = |name: &str| std::fs::read(scene.path(name)).unwrap();
    scene.report(&["--require", "xu-300"]);
    let first = REPORTS.map(|name| read(&format!("run/{name}")));
    let unsigned = scene.report(&[]);
    assert_eq!(unsigned.status.code(), Some(1), "{unsigned:?}");
    assert!(said(&unsigned.stderr).contains("--identity DIR"), "{unsigned:?}");
    let signed = scene.report(&["--identity", &identity]);
    let words = said(&signed.stderr);
    assert_eq!(signed.status.code(), Some(3), "{words}");
    assert!(words.contains("(not signed) is kept") && words.contains("replaced-1"), "{words}");
    assert_eq!(REPORTS.map(|name| read(&format!("run/{name}.replaced-1"))), first);
    assert_eq!(scene.verify("run").status.code(), Some(0));
    // Whole and signed: by whom, and it stays, whoever comes.
    for more in [&["--identity", &*identity][..], &[]] {
        let stays = scene.report(more);
        let words = said(&stays.stderr);
        assert_eq!(stays.status.code(), Some(1), "{words}");
        assert!(words.contains("there already"), "{words}");
        assert_eq!(words.contains("its seals hold"), !more.is_empty(), "{words}");
    }
    // Altered: it gives way, and is kept for whoever wants to know how.
    let page = scene.path("run/report.html");
    let whole = std::fs::read_to_string(&page).unwrap();
    std::fs::write(&page, whole.replacen("Is this link", "Was this link", 1)).unwrap();
    let again = scene.report(&["--identity", &identity]);
    let words = said(&again.stderr);
    assert_eq!(again.status.code(), Some(3), "{words}");
    assert!(words.contains("(not what was signed") && words.contains("replaced-2"), "{words}");
    assert_eq!(scene.verify("run").status.code(), Some(0));
    // Its page lost with the power: it says who had signed.
    std::fs::remove_file(&page).unwrap();
    let again = scene.report(&["--identity", &identity]);
    let words = said(&again.stderr);
    assert!(words.contains("(signed by engineer \"ann\""), "{words}");
    assert_eq!(scene.verify("run").status.code(), Some(0));
    // Another run's does not give way.
    let other = Scene::new();
    other.report(&[]);
    let report = other.path("run/report.json");
    let text = std::fs::read_to_string(&report).unwrap();
    let object: Value = serde_json::from_str(&text).unwrap();
    let hash = object["raw"][1]["sha256"].as_str().unwrap();
    std::fs::write(&report, text.replace(hash, &"0".repeat(64))).unwrap();
    let stays = other.report(&["--identity", &other.path("trust/ann")]);
    assert_eq!(stays.status.code(), Some(1));
    assert!(said(&stays.stderr).contains("of other samples"), "{stays:?}");
}

/// Nothing is lost where there is no room for the new one: what lay there lies there.
#[test]
fn where_the_signed_report_cannot_be_written_the_unsigned_one_stays() {
    let scene = Scene::new();
    scene.report(&[]);
    let (identity, run) = (scene.path("trust/ann"), scene.path("run"));
    let all = || {
        let entries = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        let mut all: Vec<_> =
            files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        all.sort();
        all
    };
    let before = all();
    let mut full = Command::new("sh");
    let small = "trap '' XFSZ; ulimit -f 16; exec \"$0\" qualify report \"$@\"";
    full.args(["-c", small, env!("CARGO_BIN_EXE_longhand-console"), &run]);
    let failed = full.args(["--identity", &identity]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(before == all());
}

/// A wrong word on the command line is 2, before anything is tried, and says what would be right.
#[test]
fn who_may_not_sign_where_no_report_goes_and_what_is_no_address_are_wrong_usage() {
    let scene = Scene::new();
    let trust = Trust::open(&scene.0.path().join("trust")).unwrap();
    trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(7))).unwrap();
    trust.issue(Role::Observer, "eve", 30, None).unwrap();
    let (ann, file) = (scene.path("trust/ann"), scene.path("run/run.json"));
    let run = scene.path("run");
    for (arguments, words) in [
        (vec!["report", &run, "--identity", &scene.path("trust/or3")], "neither measure"),
        (vec!["report", &run, "--identity", &scene.path("trust/eve")], "an engineer's or a"),
        (vec!["report", &run, "--out", &file], "is a file"),
        (vec!["report", &run, "--out", &scene.path("trust")], "keys never are"),
        (vec!["report", &run, "--out", &ann], "keys never are"),
        (vec!["--robot", "or3", "--identity", &ann], "no HOST:PORT"),
        (vec!["--robot", "or3:seven", "--identity", &ann], "no HOST:PORT"),
        (vec!["--robot", "127.0.0.1:7", "--twin", "or3", "--identity", &ann], "no HOST:PORT"),
    ] {
        let wrong = qualify(&arguments);
        let text = said(&wrong.stderr);
        assert_eq!(wrong.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    assert!(!scene.0.path().join("run/report.json").exists());
    let mut run = Command::new(env!("CARGO_BIN_EXE_longhand-console"));
    let wrong = run.args(["run", "--robot", "or3", "--identity", &ann, "--no-page", "--input"]);
    let wrong = wrong.arg("tremor").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

/// A crash in the middle: nothing says how it ended, and of the last probes nothing was known.
#[test]
fn a_run_that_broke_off_is_reported_as_far_as_it_came() {
    let scene = Scene::new();
    scene.keep(|run| run.ended = None);
    for (name, slots) in [(SESSION_SAMPLES, 2_000), (TWIN_SAMPLES, 1_990)] {
        let file = scene.0.path().join("run").join(name);
        std::fs::remove_file(&file).unwrap();
        let road = RawFile::create(&file, 1, Micros::from_millis(1)).unwrap();
        let known = vec![Slot::of(Fate::Back { up_us: 20_000, down_us: 20_000 }); slots];
        road.write_ahead(0, &known).unwrap();
        road.write_due(0, 2_045).unwrap();
        // And a piece of one.
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.extend([0; 5]);
        std::fs::write(&file, bytes).unwrap();
    }
    let made = scene.report(&[]);
    assert_eq!(made.status.code(), Some(3), "{made:?}");
    let object = json(&made);
    assert_eq!(
        (&object["about"]["cut_short"], &object["quic"]["own"]["slots"]),
        (&true.into(), &2_000.into())
    );
    assert_eq!(object["twin"]["own"]["slots"], 1_990);
    let notes = object["about"]["notes"].to_string();
    for word in [
        "broke off",
        "2045 probes in the session",
        "of the last 45 nothing",
        "on plain UDP",
        "of the last 55 nothing",
    ] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
}

/// It ended, and the loaded run behind it did not: what of that lies on the disk is reported.
#[test]
fn a_loaded_run_that_broke_off_is_reported_as_far_as_it_came() {
    let scene = Scene::new();
    let loading = Loading { bps: 33_000_000, up: true, ..Loading::default() };
    scene.keep(|run| {
        run.ended.as_mut().unwrap().load = None;
        run.loading = Some(loading);
    });
    let loaded = scene.0.path().join("run/loaded");
    let file = loaded.join(SESSION_SAMPLES);
    std::fs::remove_file(&file).unwrap();
    let road = RawFile::create(&file, 1, Micros::from_millis(1)).unwrap();
    let known = [Slot::of(Fate::Back { up_us: 30_000, down_us: 30_000 }); 1_500];
    road.write_ahead(0, &known).unwrap();
    road.write_due(0, 1_545).unwrap();
    let made = scene.report(&[]);
    assert_eq!(made.status.code(), Some(3), "{made:?}");
    let object = json(&made);
    let load = &object["load"];
    assert_eq!(load["quic"]["loaded"]["count"], 1_500);
    assert!(load["quic"]["adds_ms"][0].as_f64().unwrap() > 10.0, "{load}");
    assert_eq!((&load["up"], load["twin"].is_null()), (&Value::Null, false));
    assert_eq!(object["about"]["cut_short"], true);
    let notes = object["about"]["notes"].to_string();
    for word in [
        "under load broke off",
        "33.0 Mbit/s to the robot were to be put on",
        "1545 probes in the session, under load, that",
        "of the last 45 nothing",
    ] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    // Every file that it is of is named, and verified.
    assert_eq!(object["raw"].as_array().unwrap().len(), 6, "{}", object["raw"]);
    // It broke off before anything was on the disk.
    std::fs::remove_dir_all(&loaded).unwrap();
    std::fs::create_dir(&loaded).unwrap();
    let out = scene.path("again");
    let object = json(&scene.report(&["--out", &out]));
    assert!(object["load"].is_null());
    let notes = object["about"]["notes"].to_string();
    assert!(notes.contains("broke off before it had any samples"), "{notes}");
}

/// A copy that broke off would be the report of a shorter run under the longer one's name.
#[test]
fn of_a_part_of_a_whole_runs_samples_no_report_is_made() {
    for part in ["run", "run/loaded"] {
        for name in [SESSION_SAMPLES, TWIN_SAMPLES] {
            let scene = Scene::new();
            let file = scene.0.path().join(part).join(name);
            let bytes = std::fs::read(&file).unwrap();
            std::fs::write(&file, &bytes[..bytes.len() - 12]).unwrap();
            let made = scene.report(&[]);
            assert_eq!(made.status.code(), Some(1), "{part}/{name}: {made:?}");
            assert!(said(&made.stderr).contains("find the whole file"), "{}", said(&made.stderr));
        }
    }
}

#[test]
fn every_file_that_a_report_names_is_checked() {
    let scene = Scene::new();
    assert_eq!(scene.report(&["--identity", &scene.path("trust/ann")]).status.code(), Some(3));
    let names = [
        "run.json",
        "samples-quic.lhq",
        "samples-udp.lhq",
        "loaded/samples-quic.lhq",
        "loaded/samples-udp.lhq",
        "round-trip.hlog",
    ];
    let told = json(&scene.verify("run"));
    let files: Vec<_> =
        told["files"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert_eq!(files, names);
    for name in names {
        let path = scene.0.path().join("run").join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut other = whole.clone();
        *other.last_mut().unwrap() ^= 1;
        std::fs::write(&path, other).unwrap();
        for what in ["run", "run/report.json", "run/report.html"] {
            let refused = scene.verify(what);
            assert_eq!(refused.status.code(), Some(4), "{name} {what}: {refused:?}");
            assert!(said(&refused.stderr).contains("is not the file"), "{name}");
        }
        // Missing: a folder is then not whole; a report handed on alone says what is not here.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(scene.verify("run").status.code(), Some(1), "{name}");
        let alone = json(&scene.verify("run/report.html"));
        assert_eq!(alone["samples"], "partly here", "{name}");
        std::fs::write(&path, whole).unwrap();
    }
    // A page of another run beside the report.
    let page = scene.0.path().join("run/report.html");
    let mine = std::fs::read(&page).unwrap();
    scene.report(&["--out", &scene.path("b"), "--identity", &scene.path("trust/ann")]);
    std::fs::copy(scene.0.path().join("b/report.html"), &page).unwrap();
    let mixed = scene.verify("run");
    assert!(mixed.status.code() == Some(4) && said(&mixed.stderr).contains("another run"));
    std::fs::write(&page, mine).unwrap();
    let elsewhere = scene.path("elsewhere");
    let stranger = qualify(&["verify", &scene.path("run"), "--authority", &elsewhere]);
    assert!(said(&stranger.stderr).contains("another authority"), "{stranger:?}");
}

#[test]
fn comparing_looks_at_seals_and_says_which_is_which_and_what_is_not_alike() {
    let scene = Scene::new();
    let (identity, trust) = (scene.path("trust/ann"), scene.path("trust"));
    let (a, b, c) = (scene.path("a"), scene.path("b"), scene.path("c"));
    scene.report(&["--out", &a, "--identity", &identity]);
    scene.report(&["--out", &b, "--identity", &identity, "--require", "xu-300"]);
    scene.report(&["--out", &c]);
    let same = qualify(&["compare", &a, &b, "--authority", &trust]);
    let words = said(&same.stdout);
    assert_eq!(same.status.code(), Some(0), "{words}");
    for word in [
        &*format!("A {a}"),
        &format!("B {b}"),
        "signed by engineer",
        "NOT ALIKE: requirements",
        "longest outage",
        "time dark",
        "nobody knows where",
    ] {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert!(!words.contains("not checked"), "{words}");
    // Without an authority it says that nobody looked; one that was never signed says so.
    let words = said(&qualify(&["compare", &a, &c]).stdout);
    assert!(words.contains("not checked") && words.contains("NOT SIGNED"), "{words}");
    let refused = qualify(&["compare", &a, &c, "--authority", &trust]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let object = json(&qualify(&["compare", &a, &b, "--json"]));
    assert_eq!(
        (&object["differs"][0]["what"], &object["authority_checked"]),
        (&"requirements".into(), &false.into())
    );
    // Altered: its figures are nobody's.
    let file = scene.0.path().join("b/report.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"events\":0", "\"events\":1", 1)).unwrap();
    let altered = qualify(&["compare", &a, &b]);
    assert!(altered.status.code() == Some(4) && said(&altered.stderr).contains("altered"));
}

/// The page is what people look at: a folder whose page was altered is as altered for `compare` and
/// `trend` as for `verify`, whether anybody signed it or not.
#[test]
fn a_folder_whose_page_was_altered_is_neither_compared_nor_counted() {
    let scene = Scene::new();
    let identity = scene.path("trust/ann");
    scene.keep(|run| run.about.begun = "2031-04-09 12:00 UTC".to_owned());
    let (a, b) = (scene.path("filed/a"), scene.path("filed/b"));
    for out in [&a, &b] {
        scene.report(&["--out", out, "--identity", &identity]);
    }
    let file = Path::new(&b).join("report.html");
    let page = std::fs::read_to_string(&file).unwrap();
    let seal = longhand_qualify::report::read(&page).unwrap().seal.unwrap();
    let its_seal = format!("\"page\":\"{}\",", seal.page.as_ref().unwrap());
    let unsigned = page.split_once("\"seal\":{").unwrap();
    let unsigned = [unsigned.0.trim_end_matches(','), unsigned.1.split_once('}').unwrap().1];
    for (altered, why) in [
        (page.replacen("Is this link good enough?", "This link is good enough.", 1), "does not"),
        (page.replacen("\"events\":0", "\"events\":1", 1), "altered"),
        (page.replacen(&its_seal, "", 1), "was taken away"),
        (unsigned.concat(), "no signature"),
    ] {
        assert_ne!(altered, page);
        std::fs::write(&file, altered).unwrap();
        for arguments in [
            vec!["verify", &b],
            vec!["compare", &a, &b],
            vec!["compare", &b, &a],
            vec!["trend", &b],
        ] {
            let refused = qualify(&arguments);
            let words = said(&refused.stderr);
            assert_eq!(refused.status.code(), Some(4), "{arguments:?}: {words}");
            assert!(words.contains("report.html") && words.contains(why), "{why}: {words}");
        }
        let told = json(&qualify(&["trend", &scene.path("filed"), "--json"]));
        let left = &told["left_out"][0];
        assert_eq!((&left["file"], &left["reason"]), (&"b".into(), &"altered".into()), "{left}");
    }
    // A page of another run beside it, and one that is not there: what was handed on without it.
    std::fs::write(&file, &page).unwrap();
    assert_eq!(qualify(&["compare", &a, &b]).status.code(), Some(0));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(qualify(&["compare", &a, &b]).status.code(), Some(0));
    scene.report(&["--require", "xu-300"]);
    std::fs::copy(scene.path("run/report.html"), &file).unwrap();
    assert_eq!(qualify(&["compare", &a, &b]).status.code(), Some(4));
}

/// A program that asked for JSON reads JSON, however it ends.
#[test]
fn with_json_there_is_one_object_however_it_ends() {
    let scene = Scene::new();
    let (identity, run) = (scene.path("trust/ann"), scene.path("run"));
    scene.report(&["--identity", &identity]);
    let report = scene.path("run/report.json");
    let text = std::fs::read_to_string(&report).unwrap();
    std::fs::write(&report, text.replacen("\"events\":0", "\"events\":1", 1)).unwrap();
    let nowhere = scene.path("nowhere");
    for (what, code, reason) in [(&run, 4, "altered"), (&nowhere, 1, "unread")] {
        let refused = qualify(&["verify", what, "--json"]);
        let object = json(&refused);
        assert_eq!(refused.status.code(), Some(code), "{object}");
        assert_eq!(object["schema"], "longhand qualify verify v4");
        assert_eq!(
            (&object["holds"], &object["reason"], &object["exit_code"]),
            (&false.into(), &reason.into(), &code.into())
        );
        assert!(!object["why"].as_str().unwrap().is_empty(), "{object}");
        let words = said(&refused.stderr);
        assert!(!words.is_empty());
    }
    // What holds has the same members.
    std::fs::write(&report, text).unwrap();
    let members = |what: &str| {
        let object = json(&qualify(&["verify", what, "--json"]));
        let members: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
        members
    };
    assert_eq!(members(&run), members(&nowhere));
    for arguments in [
        vec!["compare", &run, &nowhere, "--json"],
        vec!["trend", &nowhere, "--json"],
        vec!["report", &nowhere, "--json"],
        vec!["--robot", "127.0.0.1:1", "--identity", &nowhere, "--json"],
    ] {
        let failed = qualify(&arguments);
        let object = json(&failed);
        assert_eq!(object["schema"], "longhand failure v1", "{arguments:?}");
        assert_eq!(object["exit_code"], failed.status.code().unwrap(), "{arguments:?}");
        assert!(!object["why"].as_str().unwrap().is_empty(), "{arguments:?}");
    }
}

/// "Altered" is an accusation: what was never one of our reports is told as that.
#[test]
fn what_is_no_report_of_ours_is_told_as_that() {
    let scene = Scene::new();
    scene.report(&["--identity", &scene.path("trust/ann")]);
    let mine = scene.path("run/report.json");
    let foreign = |name: &str, bytes: &[u8]| {
        std::fs::write(scene.path(name), bytes).unwrap();
        scene.path(name)
    };
    for (file, why) in [
        (foreign("a.json", b"{\"package\": 1}"), "does not say its name"),
        (foreign("b.json", b"[1, 2]"), "does not say its name"),
        (foreign("c.json", b"{\"schema\": \"irtt v1\", \"seal\": 7}"), "no report"),
        (foreign("d.json", b"\xff\xfe"), "no text"),
        (foreign("e.html", b"<html>hello</html>"), "no report in this page"),
        (foreign("f.json", b""), "no report"),
        (scene.path("run/run.json"), "what was asked of a run"),
    ] {
        let trust = scene.path("trust");
        for arguments in [
            vec!["verify", &file],
            vec!["verify", &file, "--authority", &trust],
            vec!["compare", &mine, &file],
            vec!["compare", &file, &mine, "--authority", &trust],
            vec!["trend", &scene.path("run"), "--baseline", &file],
        ] {
            let refused = qualify(&arguments);
            let words = said(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {words}");
            assert!(words.contains(why), "{arguments:?}: {words}");
            assert!(!words.contains("altered") && !words.contains("signature"), "{words}");
        }
    }
}

/// The page of another release looks otherwise: its own seal says that it is as it was signed, and
/// no look at how this release would draw it.
#[test]
fn a_page_of_another_release_is_held_against_its_seal_and_not_against_this_one() {
    let scene = Scene::new();
    let identity = scene.path("trust/ann");
    let credentials = longhand_quic::trust::Credentials::load(Path::new(&identity)).unwrap();
    scene.keep(|run| run.about.release = "longhand-console 9.9.9".to_owned());
    scene.report(&["--identity", &identity]);
    let file = scene.0.path().join("run/report.html");
    let page = std::fs::read_to_string(&file).unwrap();
    assert_eq!(json(&scene.verify("run"))["page"], "as signed");
    // As that release would have drawn and signed it.
    let other = page.replacen("Is this link good enough?", "How good is this link?", 1);
    let unsealed = longhand_qualify::report::read(&other).unwrap();
    let seal = credentials.seal(unsealed.page_signed.unwrap().as_bytes()).unwrap();
    let was = unsealed.seal.unwrap();
    let signed = other.replacen(was.page.as_ref().unwrap(), &seal.signature, 1);
    std::fs::write(&file, &signed).unwrap();
    let held = scene.verify("run/report.html");
    assert_eq!(held.status.code(), Some(0), "{held:?}");
    assert!(json(&held)["page"].as_str().unwrap().contains("another release"), "{held:?}");
    // One letter of it altered, and nothing else.
    std::fs::write(&file, signed.replacen("How good", "How bad", 1)).unwrap();
    let altered = scene.verify("run/report.html");
    let words = said(&altered.stderr);
    assert_eq!(altered.status.code(), Some(4), "{words}");
    assert!(words.contains("the page around it does not"), "{words}");
    // Its seal taken away, whatever the words around it then say, and whichever release drew it:
    // pages of this schema have one.
    let member = format!("\"page\":\"{}\",", seal.signature);
    let mine = format!("\"page\":\"{}\",", was.page.as_ref().unwrap());
    assert!(signed.contains(&member) && page.contains(&mine));
    let stripped = signed.replacen(&member, "", 1);
    for stripped in
        [stripped.replacen("How good", "How bad", 1), stripped, page.replacen(&mine, "", 1)]
    {
        std::fs::write(&file, stripped).unwrap();
        for what in ["run/report.html", "run"] {
            let refused = scene.verify(what);
            let words = said(&refused.stderr);
            assert_eq!(refused.status.code(), Some(4), "{words}");
            assert!(words.contains("was taken away"), "{words}");
        }
    }
}

/// Older schemas sealed the object alone: the report holds, the page may be anything, and nobody is
/// told that either is altered.
#[test]
fn of_an_older_schemas_page_without_a_seal_nobody_can_tell() {
    let scene = Scene::new();
    let identity = scene.path("trust/ann");
    let credentials = longhand_quic::trust::Credentials::load(Path::new(&identity)).unwrap();
    scene.report(&["--identity", &identity]);
    let file = scene.0.path().join("run/report.html");
    let page = std::fs::read_to_string(&file).unwrap();
    let was = longhand_qualify::report::read(&page).unwrap();
    let page = page.replace(SCHEMA, "longhand qualify report v2");
    let old = longhand_qualify::report::read(&page).unwrap();
    let seal = credentials.seal(old.signed.as_bytes()).unwrap();
    let was = was.seal.unwrap();
    let page = page.replacen(&was.signature, &seal.signature, 1);
    let page = page.replacen(&format!("\"page\":\"{}\",", was.page.unwrap()), "", 1);
    std::fs::write(&file, &page).unwrap();
    let unknown = scene.verify("run/report.html");
    let words = said(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(3), "{words}");
    for word in ["report v2", "signature holds for the report in it", "nobody can tell"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    // What it is, and no more: with other figures in it, it is altered.
    std::fs::write(&file, page.replacen("\"sessions\":0", "\"sessions\":1", 1)).unwrap();
    assert_eq!(scene.verify("run/report.html").status.code(), Some(4));
}

#[test]
fn a_report_of_another_schema_is_refused_in_words_though_its_seal_holds() {
    let scene = Scene::new();
    let identity = scene.path("trust/ann");
    scene.report(&["--identity", &identity]);
    let file = scene.0.path().join("run/report.json");
    let mut object: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let members = object.as_object_mut().unwrap();
    members.remove("seal");
    members.insert("schema".to_owned(), "longhand qualify report v1".into());
    // As an older release wrote and signed it.
    let signed = longhand_qualify::report::read(&object.to_string()).unwrap().signed;
    let credentials = longhand_quic::trust::Credentials::load(Path::new(&identity)).unwrap();
    let seal = credentials.seal(signed.as_bytes()).unwrap();
    object["seal"] = serde_json::json!({
        "signature": seal.signature, "certificate": seal.certificate, "authority": seal.authority,
    });
    std::fs::write(&file, object.to_string()).unwrap();
    let old = scene.verify("run/report.json");
    let words = said(&old.stderr);
    assert_eq!(old.status.code(), Some(1), "{words}");
    for word in ["report v1", "report v3", "its signature holds", "engineer \"ann\""] {
        assert!(words.contains(word), "{word}: {words}");
    }
    // What it names can be held against it all the same.
    let samples = scene.0.path().join("run").join(SESSION_SAMPLES);
    let mut bytes = std::fs::read(&samples).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&samples, bytes).unwrap();
    let altered = scene.verify("run/report.json");
    assert_eq!(altered.status.code(), Some(4), "{altered:?}");
}
