//! `qualify trend` on a folder of filed runs, as an engineer types it. The samples are made here,
//! so no network is needed and nothing depends on how fast this machine is.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use longhand_console::qualify::{RawFile, SESSION_SAMPLES};
use longhand_protocol::units::Micros;
use longhand_qualify::measure::Given;
use longhand_qualify::report::run::{Ended, RUN_SCHEMA, Run};
use longhand_qualify::report::{About, SCHEMA};
use longhand_qualify::slot::{Fate, Slot};
use longhand_qualify::verdict::Profile;
use longhand_quic::trust::{Role, Trust};
use serde_json::Value;

const SLOTS: u64 = 2_000;
/// So many that a change can be told, with one measure that changes and those that go with it.
const DAYS: i32 = 20;
/// The first day of the longer way.
const CHANGED: i32 = 12;

fn qualify(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-console"));
    command.arg("qualify").args(arguments).env_remove("LONGHAND_LOG").output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    // miette folds long lines and marks the folds.
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.split_whitespace().filter(|word| *word != "\u{2502}").collect::<Vec<_>>().join(" ")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A run's report: of that day, over a link that takes so long each way, signed where somebody
/// does.
fn filed(folder: &Path, day: i32, way_us: i32, identity: Option<&Path>) {
    fs::create_dir_all(folder).unwrap();
    let number = 1 + u64::try_from(day).unwrap();
    let mut file =
        RawFile::create(&folder.join(SESSION_SAMPLES), number, Micros::from_millis(1)).unwrap();
    // From day to day a little different; within a day, too.
    let us = |n: i32| way_us + (day * 37 % 11) * 20 + n % 5;
    let back = |n| Slot::of(Fate::Back { up_us: us(n), down_us: us(n) });
    file.write(&(0..i32::try_from(SLOTS).unwrap()).map(back).collect::<Vec<_>>()).unwrap();
    file.finish(0).unwrap();
    let run = Run {
        schema: RUN_SCHEMA.to_owned(),
        about: About {
            rate_hz: 1_000,
            robot: "or3:7400".to_owned(),
            begun: format!("2031-04-{:02} 12:00 UTC", day + 1),
            ..About::default()
        },
        requirements: Profile::shipped("xu-300").unwrap(),
        noise: None,
        noise_quic: None,
        loading: None,
        ended: Some(Ended {
            session: Given { period_us: 1_000, slots: SLOTS, ..Given::default() },
            ..Ended::default()
        }),
    };
    fs::write(folder.join("run.json"), serde_json::to_string(&run).unwrap()).unwrap();
    let folder = text(folder);
    let mut arguments = vec!["report", &folder];
    let identity = identity.map(text);
    if let Some(identity) = &identity {
        arguments.extend(["--identity", identity]);
    }
    let made = qualify(&arguments);
    assert!(matches!(made.status.code(), Some(0 | 3 | 4)), "{made:?}");
}

/// A hospital's trust, and two weeks and more of daily runs, filed by month; from one day on the
/// way is longer.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        Self::changed(CHANGED)
    }

    /// The same without a change.
    fn steady() -> Self {
        Self::changed(DAYS)
    }

    fn changed(on: i32) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        let trust = Trust::init(&scene.at("trust"), "Test Hospital").unwrap();
        trust.issue(Role::Engineer, "ann", 30, None).unwrap();
        for (folder, name) in [("elsewhere", "Another"), ("third", "A Third")] {
            let _other = Trust::init(&scene.at(folder), name).unwrap();
        }
        for day in 0..DAYS {
            let way_us = if day < on { 20_000 } else { 27_000 };
            let folder = scene.at(&format!("filed/2031/04/{day:02}"));
            filed(&folder, day, way_us, Some(&scene.at("trust/ann")));
        }
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn trend(&self, more: &[&str]) -> Output {
        qualify(&[&["trend", &text(&self.at("filed"))], more].concat())
    }

    fn object(&self, more: &[&str]) -> (Option<i32>, Value) {
        let output = self.trend(&[&["--json"], more].concat());
        let object =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), object)
    }
}

#[test]
fn a_longer_way_is_found_on_its_day_and_said_on_the_terminal_as_json_and_on_the_page() {
    let scene = Scene::new();
    let (page, trust) = (scene.at("trend.html"), text(&scene.at("trust")));
    let told = scene.trend(&["--authority", &trust, "--out", &text(&page)]);
    let words = said(&told.stdout);
    assert_eq!(told.status.code(), Some(4), "{words}");
    let rose = "between the runs of 2031-04-12 12:00 UTC and 2031-04-13 12:00 UTC";
    for word in [
        "20 runs, 2031-04-01 12:00 UTC to 2031-04-20 12:00 UTC",
        "signed by engineer \"ann\"",
        "round trip p50, ms",
        "The usual round trip rose from 40",
        rose,
        "WORSE",
        "▁",
        "█",
    ] {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert!(!words.contains("not checked") && !words.contains("LEFT OUT"), "{words}");
    let (code, object) = scene.object(&["--authority", &trust]);
    assert_eq!(
        (code, &object["worse"], &object["authority_checked"]),
        (Some(4), &true.into(), &true.into())
    );
    assert_eq!(object["schema"], "longhand qualify trend v2");
    let p50 = &object["groups"][0]["measures"][0];
    assert_eq!(p50["gauge"], "round trip p50, ms");
    let steps = p50["course"]["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["run"]), (1, &CHANGED.into()), "{p50}");
    assert!(
        (steps[0]["after"].as_f64().unwrap() - steps[0]["before"].as_f64().unwrap() - 14.0).abs()
            < 0.3
    );
    let page = fs::read_to_string(page).unwrap();
    for word in
        ["Something became worse", rose, "<svg", "2031/04/07", "time, from 2031-04-01 12:00 UTC"]
    {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn what_is_altered_unsigned_of_another_schema_or_no_report_is_told_by_name() {
    let scene = Scene::new();
    let month = scene.at("filed/2031/04");
    let report = |day: &str| month.join(day).join("report.json");
    let change = |day: &str, from: &str, to: &str| {
        let was = fs::read_to_string(report(day)).unwrap();
        assert!(was.contains(from), "{day}");
        fs::write(report(day), was.replacen(from, to, 1)).unwrap();
    };
    change("01", "\"sessions\":0", "\"sessions\":1");
    change("02", SCHEMA, "longhand qualify report v0");
    fs::write(report("03"), "{\"half\":").unwrap();
    // Its page says the same: it is read where the object is gone.
    fs::remove_file(report("04")).unwrap();
    fs::remove_file(report("05")).unwrap();
    fs::remove_file(month.join("05/report.html")).unwrap();
    let mut unsigned: Value =
        serde_json::from_str(&fs::read_to_string(report("06")).unwrap()).unwrap();
    unsigned.as_object_mut().unwrap().remove("seal");
    fs::write(report("06"), unsigned.to_string()).unwrap();
    // Beside a page that somebody signed it would be of another run.
    fs::remove_file(month.join("06/report.html")).unwrap();
    fs::copy(report("07"), scene.at("filed/by-mail.json")).unwrap();
    fs::write(scene.at("filed/notes.json"), "{\"not\": \"a report\"}").unwrap();
    let left = |object: &Value, name: &str| {
        let all = object["left_out"].as_array().unwrap();
        let of = all.iter().find(|out| out["file"].as_str().unwrap().ends_with(name));
        of.map(|out| (out["why"].as_str().unwrap().to_owned(), out["reason"].clone()))
    };
    let (code, told) = scene.object(&[]);
    // Altered: 4, whatever else.
    assert_eq!(code, Some(4));
    for (name, why, reason) in [
        ("04/01", "altered", "altered"),
        // Not what was signed, whatever it calls itself.
        ("04/02", "altered", "altered"),
        ("04/03", "no report", "unread"),
        ("04/05", "a run without a report", "unread"),
        ("by-mail.json", "the same run as 2031/04/07", "twice"),
        ("notes.json", "does not say its name", "unread"),
    ] {
        let (said, is) =
            left(&told, name).unwrap_or_else(|| panic!("{name}: {}", told["left_out"]));
        assert!(said.contains(why) && is == reason, "{name}: {said}");
    }
    assert_eq!(told["left_out"].as_array().unwrap().len(), 6, "{}", told["left_out"]);
    let runs = told["groups"][0]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 16);
    let unsigned: Vec<_> = runs.iter().filter(|run| run["signed_by"].is_null()).collect();
    assert_eq!(unsigned.len(), 1);
    let words = said(&scene.trend(&[]).stdout);
    for word in
        ["NOT SIGNED: 2031/04/06", "LEFT OUT 2031/04/01:", "authority signed is not checked"]
    {
        assert!(words.contains(word), "{word}: {words}");
    }
    // Nothing but altered ones: that, and not only that nothing can be read.
    let altered = qualify(&["trend", &text(&month.join("01"))]);
    assert_eq!(altered.status.code(), Some(4), "{altered:?}");
}

/// One unsigned report, or a colleague's of another hospital, would otherwise be a 4 for ever.
#[test]
fn under_an_authority_what_is_unsigned_or_anothers_is_left_out_and_no_alarm() {
    let scene = Scene::steady();
    let trust = text(&scene.at("trust"));
    let (code, _) = scene.object(&["--authority", &trust]);
    assert_eq!(code, Some(0));
    filed(&scene.at("filed/2031/04/25"), 25, 20_000, None);
    let theirs = Trust::open(&scene.at("elsewhere")).unwrap();
    theirs.issue(Role::Engineer, "bea", 30, None).unwrap();
    let bea = scene.at("elsewhere/bea");
    filed(&scene.at("filed/2031/04/26"), 26, 20_000, Some(&bea));
    let (code, told) = scene.object(&["--authority", &trust]);
    assert_eq!(code, Some(0), "{}", told["left_out"]);
    let left = |n: usize| (&told["left_out"][n]["file"], &told["left_out"][n]["reason"]);
    assert_eq!(left(0), (&"2031/04/25".into(), &"unsigned".into()));
    assert_eq!(left(1), (&"2031/04/26".into(), &"foreign".into()));
    // All of them are: nothing is left to look at.
    let none = scene.trend(&["--authority", &text(&scene.at("third"))]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none.stderr).contains("another authority"), "{none:?}");
}

#[test]
fn a_baseline_one_run_no_run_and_what_is_no_folder_are_answered_in_words() {
    let scene = Scene::new();
    let base = text(&scene.at("filed/2031/04/00"));
    let (_, told) = scene.object(&["--baseline", &base]);
    let outside = told["groups"][0]["measures"][0]["outside"].as_array().unwrap();
    let since = usize::try_from(CHANGED).unwrap();
    let worse = outside.iter().filter(|outside| outside["worse"] == true);
    assert!(worse.clone().count() >= 20 - since, "{outside:?}");
    let words = said(&scene.trend(&["--baseline", &base]).stdout);
    assert!(words.contains("worse than the baseline: 2031/04/"), "{words}");
    // One run: nothing is said of a trend, and what it would take is.
    let one = qualify(&["trend", &base]);
    let words = said(&one.stdout);
    assert_eq!(one.status.code(), Some(3), "{words}");
    for word in ["1 run, 2031-04-01", "TOO FEW RUNS", "6 more are needed", "there is 1 run"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    // Nothing else is cried out beside it.
    assert!(words.contains("nothing became worse that so few") && !words.contains("WORSE"));
    let empty = tempfile::tempdir().unwrap();
    let none = qualify(&["trend", &text(empty.path())]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none.stderr).contains("no report can be read below"), "{none:?}");
    let file = qualify(&["trend", &text(&scene.at("filed/2031/04/00/report.json"))]);
    assert_eq!(file.status.code(), Some(1));
    assert!(said(&file.stderr).contains("compare A B"), "{file:?}");
    let gone = scene.trend(&["--baseline", "nowhere"]);
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn a_page_is_written_over_an_earlier_one_and_over_nothing_else() {
    let scene = Scene::steady();
    let filed = scene.at("filed");
    let report = filed.join("2031/04/07/report.html");
    let whole = fs::read(&report).unwrap();
    let over = scene.trend(&["--out", &text(&report)]);
    assert_eq!(over.status.code(), Some(1), "{over:?}");
    assert!(said(&over.stderr).contains("no page of `trend`"), "{over:?}");
    assert_eq!(fs::read(&report).unwrap(), whole);
    // From within the folder, by other names of the same file: it is not taken for a report.
    for out in ["trend.html", "./trend.html", "2031/../trend.html"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-console"));
        let command = command.args(["qualify", "trend", ".", "--out", out]).current_dir(&filed);
        let told = command.output().unwrap();
        let words = said(&told.stdout);
        assert!(told.status.code() == Some(0) && !words.contains("LEFT OUT"), "{out}: {words}");
    }
    let names = fs::read_dir(&filed).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["2031", "trend.html"]);
}

/// Whoever sends a report need not have signed it, and must not write on this terminal.
#[test]
fn what_a_report_says_moves_no_cursor_and_begins_no_line() {
    let scene = Scene::steady();
    let month = scene.at("filed/2031/04");
    let hostile = "or3\u{1b}[2J\r\nsigned by nobody\u{202e}\u{9b}7";
    let change = |day: &str, member: &str, at: &str| {
        let file = month.join(day).join("report.json");
        let text = fs::read_to_string(&file).unwrap();
        let mut object: Value = serde_json::from_str(&text).unwrap();
        object.as_object_mut().unwrap().remove("seal");
        *object.pointer_mut(at).unwrap().get_mut(member).unwrap() = hostile.into();
        fs::write(file, object.to_string()).unwrap();
    };
    change("03", "robot", "/about");
    change("04", "begun", "/about");
    change("05", "schema", "");
    change("06", "name", "/profile");
    let of = |day: &str| text(&month.join(day).join("report.json"));
    let first = of("01");
    for told in [
        scene.trend(&[]),
        scene.trend(&["--baseline", &of("04")]),
        qualify(&["compare", &first, &of("03")]),
        qualify(&["compare", &of("06"), &first]),
        qualify(&["compare", &first, &of("05")]),
        qualify(&["trend", &text(&month.join("05"))]),
    ] {
        let all = [told.stdout, told.stderr].concat();
        let words = String::from_utf8(all).unwrap();
        assert!(words.contains('\u{fffd}'), "{words}");
        let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!words.contains(bad), "{words:?}");
        assert!(!words.contains("\nsigned by nobody"), "{words}");
    }
}
