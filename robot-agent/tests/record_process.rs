//! The black box of a real agent, as a process: killed at any moment, read by our command and by
//! programs that are not ours, and searched for what may not stand in it.
//!
//! Two tests run only when asked for. `a_thousand_kills` takes five minutes;
//! `foreign_readers` installs three packages from PyPI into a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

use longhand_protocol::message::RobotId;
use longhand_quic::clock::robot_now;
use longhand_quic::trust::{Believed, Role, Trust};
use longhand_record::seal::{Belief, Verdict, judge};
use longhand_robot_agent::record::Message;
use longhand_robot_agent::record::schema::{Topic, tick_of_cdr};
use longhand_robot_agent::record::tick::when;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

#[path = "../../protocol/record/tests/common/mod.rs"]
mod common;

use common::{ForeignReaders, moments, only_file, said, says_nothing_of};

/// What may stand in no record. Source: safety.md A37.
const CANARY: &str = "ZZTESTPATIENT-MRN-424242";

/// A hospital's trust and a robot's state in a folder that goes away with the test.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix(CANARY).tempdir().unwrap();
        let trust = Trust::init(&folder.path().join("trust"), "Test").unwrap();
        trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(1))).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn run(&self, more: &[&str]) -> Command {
        let mut command = agent();
        let (identity, state) = (self.path("trust/or3"), self.path("state"));
        command.args(["run", "--bind", "127.0.0.1:0", "--identity", &identity]);
        command.args(["--state", &state, "--no-real-time", "--tolerate-stalls"]).args(more);
        command.stdin(Stdio::null());
        command
    }

    fn believes(&self) -> Belief {
        Belief::Hospital(Box::new(Believed::load(&self.0.path().join("trust")).unwrap()))
    }

    /// The one record in a folder.
    fn record(&self, folder: &str) -> PathBuf {
        only_file(&self.0.path().join(folder))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-robot-agent"));
    command.env("LONGHAND_LOG", "info").env("NO_COLOR", "1");
    command
}

fn record(arguments: &[&str]) -> Output {
    agent().arg("record").args(arguments).output().unwrap()
}

/// Starts an agent, kills it so many microseconds after its record began, and says how much of the
/// robot's time before its death is in no proven block.
fn kill(scene: &Scene, turn: usize, after_us: u64) -> u64 {
    let folder = scene.path(&format!("record-{turn}"));
    let mut child = scene.run(&["--hand-over", "--record", &folder]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let serves = lines.by_ref().map(Result::unwrap).find(|line| line.contains("serves on"));
    assert!(serves.is_some());
    std::thread::sleep(Duration::from_micros(after_us));
    let died_at = robot_now().as_micros();
    child.kill().unwrap();
    child.wait().unwrap();
    let file = scene.record(&format!("record-{turn}"));
    let bytes = std::fs::read(&file).unwrap();
    let mut newest = None;
    let judged = judge(&bytes[..], scene.believes(), |start, block: &[Message]| {
        newest = newest.max(Some(start.at_us));
        let ticks = block.iter().filter(|message| message.topic == Topic::Tick);
        let at = ticks.map(|tick| when(&tick_of_cdr(&tick.data).unwrap()).1.as_micros());
        newest = newest.max(at.max());
        Ok(())
    });
    let judged = judged.unwrap();
    assert_eq!(judged.verdict, Verdict::Cut, "{after_us} us: {:?}", file.display());
    std::fs::remove_dir_all(folder).unwrap();
    died_at.saturating_sub(newest.unwrap())
}

#[test]
fn a_killed_agents_record_is_cut_and_nothing_in_it_is_false() {
    let scene = Scene::new();
    for (turn, after_us) in moments(8).enumerate() {
        // How much is lost on a busy machine is for the thousand below.
        let lost_us = kill(&scene, turn, after_us);
        println!("killed after {after_us} us: {lost_us} us lost");
    }
}

#[test]
#[ignore = "five minutes on a quiet machine: cargo test -p longhand-robot-agent \
            --test record_process a_thousand_kills -- --ignored --nocapture"]
fn a_thousand_kills_lose_100_ms_at_most() {
    let scene = Scene::new();
    let mut lost: Vec<u64> =
        moments(1_000).enumerate().map(|(turn, after_us)| kill(&scene, turn, after_us)).collect();
    lost.sort_unstable();
    println!("lost us: p50 {} p99 {} max {}", lost[500], lost[990], lost[999]);
    assert!(lost[999] <= 100_000, "{:?}", &lost[980..]);
}

#[test]
fn the_record_command_verifies_recovers_tells_and_exports() {
    let scene = Scene::new();
    let folder = scene.path("record");
    let ran = scene.run(&["--hand-over", "--for", "0.4", "--record", &folder, "--json"]).output();
    let ran = ran.unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(report.pointer("/record/lost_ticks").unwrap(), 0);
    let ticks = report.pointer("/servo/ticks").and_then(Value::as_u64).unwrap();
    let file = scene.record("record").display().to_string();
    let trust = scene.path("trust");

    let verdict = record(&["verify", "--trust", &trust, "--json", &file]);
    assert_eq!(verdict.status.code(), Some(0), "{}", said(&verdict));
    let verdict: Value = serde_json::from_slice(&verdict.stdout).unwrap();
    assert_eq!(verdict.get("verdict").unwrap(), "whole");
    let info: Value = serde_json::from_slice(&record(&["info", "--json", &file]).stdout).unwrap();
    assert_eq!(info.get("ticks").unwrap(), ticks);
    assert_eq!(info.get("missing_ticks").unwrap(), 0);
    assert!(info.pointer("/ticks_in/Latched").is_some(), "{info}");

    // Another hospital's.
    Trust::init(&scene.0.path().join("other"), "Other").unwrap();
    let stranger = record(&["verify", "--trust", &scene.path("other"), &file]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(said(&stranger).contains("record 0 is the first"), "{}", said(&stranger));

    // No index where there was one: readers that go by it are shown nothing.
    let mut hidden = std::fs::read(&file).unwrap();
    let end = hidden.len() - 8 - 20;
    let summary = u64::from_le_bytes(hidden[end..end + 8].try_into().unwrap());
    // No summary, and a footer that says so: its checksum then is not looked at.
    let footer = hidden.len() - 8 - 20 - 9;
    let tail = hidden.split_off(footer);
    hidden.truncate(usize::try_from(summary).unwrap());
    hidden.extend_from_slice(&tail[..9]);
    hidden.extend_from_slice(&[0; 20]);
    hidden.extend_from_slice(&tail[29..]);
    let fooled = scene.path("hidden.mcap");
    std::fs::write(&fooled, &hidden).unwrap();
    let verdict = record(&["verify", "--trust", &trust, &fooled]);
    assert_eq!(verdict.status.code(), Some(1), "{}", said(&verdict));
    assert!(said(&verdict).contains("whole:") && said(&verdict).contains("NOT PACKED"));

    // Cut, and mended as far as it goes.
    let bytes = std::fs::read(&file).unwrap();
    let (cut, mended) = (scene.path("cut.mcap"), scene.path("mended.mcap"));
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let verdict = record(&["verify", "--trust", &trust, &cut]);
    assert_eq!(verdict.status.code(), Some(1));
    assert!(said(&verdict).contains("CUT") && said(&verdict).contains("is missing"));
    let done = record(&["recover", &cut, "--out", &mended]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(record(&["recover", &cut, "--out", &mended]).status.code(), Some(1), "over it");
    let table = record(&["export", "--csv", &mended]);
    let rows = String::from_utf8(table.stdout).unwrap();
    let info: Value = serde_json::from_slice(&record(&["info", "--json", &mended]).stdout).unwrap();
    let kept = info.get("ticks").and_then(Value::as_u64).unwrap();
    assert!(kept > 0 && kept < ticks, "{kept} of {ticks}");
    assert_eq!(u64::try_from(rows.lines().count()).unwrap(), 1 + kept);
    let head: Vec<&str> = rows.lines().next().unwrap().split(',').collect();
    let row: Vec<&str> = rows.lines().nth(2).unwrap().split(',').collect();
    let cell = |name| row[head.iter().position(|column| *column == name).unwrap()];
    assert_eq!((head.len(), cell("tick"), cell("psm2_measured_js_2")), (row.len(), "1", "0.12"));

    assert_eq!(record(&["verify", &file]).status.code(), Some(2), "nobody is believed unnamed");
}

/// The right command can follow.
#[test]
fn what_is_no_record_or_not_there_leaves_nothing_behind() {
    let scene = Scene::new();
    let (text, out) = (scene.path("text"), scene.path("out"));
    std::fs::write(&text, "not a record\n").unwrap();
    for what in [&text, &scene.path("nowhere")] {
        for asked in [&["recover"][..], &["export", "--csv"]] {
            let refused = record(&[asked, &[what, "--out", &out]].concat());
            assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
            assert!(!std::path::Path::new(&out).exists(), "{asked:?}");
        }
    }
    assert!(said(&record(&["info", &text])).contains("holds no record"));
}

#[test]
fn no_name_no_path_and_no_case_of_a_person_stands_in_a_record() {
    let scene = Scene::new();
    let profile = scene.path(&format!("{CANARY}.toml"));
    let shipped = include_str!("../profiles/default.toml");
    std::fs::write(&profile, format!("# for {CANARY}\n{shipped}")).unwrap();
    let folder = scene.path(&format!("record-{CANARY}"));
    let more = ["--for", "0.2", "--profile", &profile, "--record", &folder];
    let ran = scene.run(&more).env("USER", CANARY).env("HOSTNAME", CANARY).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let file = scene.record(&format!("record-{CANARY}"));
    says_nothing_of::<Topic>(&file, &["ZZTEST", "424242", "or3/", "/tmp"]);
}

#[test]
#[ignore = "installs mcap, mcap-ros2-support and rosbags from PyPI; .ci/run does it: cargo test \
            -p longhand-robot-agent --test record_process foreign_readers -- --ignored"]
fn foreign_readers_read_a_record_and_a_mended_one() {
    let scene = Scene::new();
    let folder = scene.path("record");
    let ran = scene.run(&["--hand-over", "--for", "1", "--record", &folder]).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let whole = scene.record("record");
    let bytes = std::fs::read(&whole).unwrap();
    let (cut, mended) = (scene.path("cut.mcap"), scene.path("mended.mcap"));
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(record(&["recover", &cut, "--out", &mended]).status.code(), Some(0));

    let readers = ForeignReaders::install(&scene.0.path().join("venv"));
    for file in [whole, PathBuf::from(mended)] {
        let shown = file.display().to_string();
        let info: Value =
            serde_json::from_slice(&record(&["info", "--json", &shown]).stdout).unwrap();
        let read = readers.read(&file, "/longhand/");
        for reader in ["mcap_seeking", "mcap_streaming", "rosbags"] {
            let at = |path: &str| read.pointer(&format!("/{reader}/{path}")).unwrap();
            assert_eq!(at("topics/tick"), &info["ticks"], "{reader}");
            assert_eq!(at("topics/seal"), &info["seals"], "{reader}");
            assert_eq!(at("last"), &info["last_tick"], "{reader}");
            // How many stages the hand-over passes through is the first ticks' business.
            let stages = at("stages").as_array().unwrap();
            assert_eq!(stages.last().unwrap(), "Latched", "{reader}");
        }
    }
}
