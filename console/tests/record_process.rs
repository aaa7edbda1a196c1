//! The black box of a real console, as a process: killed at any moment, read by our command and by
//! programs that are not ours, and searched for what may not stand in it.
//!
//! Two tests run only when asked for. `two_hundred_kills` takes a minute; `foreign_readers`
//! installs three packages from PyPI into a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

#[path = "record/rig.rs"]
mod rig;

use longhand_console::record::schema::Topic;
use longhand_quic::clock::console_now;
use longhand_quic::trust::{Believed, Credentials, Role, Trust};
use longhand_record::recorder::in_folder;
use longhand_record::schema::when;
use longhand_record::seal::{Belief, Verdict};
use rig::{ForeignReaders, Hospital, Rig, judged, moments, only_file, said, says_nothing_of};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What may stand in no record. Source: safety.md A37.
const CANARY: &str = "ZZTESTPATIENT-MRN-424242";

/// A hospital's trust, and a robot's port where nobody answers, for as long as the test lasts.
struct Scene(TempDir, UdpSocket);

impl Scene {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix(CANARY).tempdir().unwrap();
        let trust = Trust::init(&folder.path().join("trust"), "Test").unwrap();
        trust.issue(Role::Surgeon, "dr-lee", 30, None).unwrap();
        Self(folder, UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn run(&self, more: &[&str]) -> Command {
        let mut command = console();
        let (identity, report) = (self.path("trust/dr-lee"), self.path("report"));
        let robot = self.1.local_addr().unwrap().to_string();
        command.args(["run", "--robot", &robot, "--identity", &identity, "--no-page"]);
        command.args(["--report", &report]).args(more).stdin(Stdio::null());
        command
    }

    /// A run with nobody there for so long; its record.
    fn recorded(&self, more: &[&str]) -> Output {
        let all = [&["--input", "tremor", "--for", "0.4", "--json"], more].concat();
        self.run(&all).output().unwrap()
    }

    fn believes(&self) -> Belief {
        Belief::Hospital(Box::new(Believed::load(&self.0.path().join("trust")).unwrap()))
    }

    /// The one record in a folder.
    fn record(&self, folder: &str) -> PathBuf {
        only_file(&self.0.path().join(folder))
    }
}

fn console() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-console"));
    command.env("LONGHAND_LOG", "info").env("NO_COLOR", "1");
    command
}

fn record(arguments: &[&str]) -> Output {
    console().arg("record").args(arguments).output().unwrap()
}

/// Starts a console, kills it so many microseconds after its record began, and says how much of its
/// time before its death is in no proven block.
fn kill(scene: &Scene, turn: usize, after_us: u64) -> u64 {
    let folder = scene.path(&format!("record-{turn}"));
    let mut child = scene.run(&["--input", "tremor", "--record", &folder]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("recording to")));
    std::thread::sleep(Duration::from_micros(after_us));
    let died_at = console_now().as_micros();
    child.kill().unwrap();
    child.wait().unwrap();
    let bytes = std::fs::read(scene.record(&format!("record-{turn}"))).unwrap();
    let (judged, proven) = judged::<Topic>(&bytes, scene.believes());
    // Nothing of it, or what a seal proves and then no more.
    assert_eq!(judged.verdict, Verdict::Cut, "{after_us} us");
    let began = judged.start.map(|start| start.at_us);
    let ticks = proven.iter().filter(|message| message.topic == Topic::Tick);
    let newest = ticks.map(|tick| when::<Topic>(&tick.data).unwrap().1.as_micros()).max();
    std::fs::remove_dir_all(folder).unwrap();
    died_at.saturating_sub(newest.max(began).unwrap_or(died_at))
}

#[test]
fn a_killed_consoles_record_is_cut_and_nothing_in_it_is_false() {
    let scene = Scene::new();
    for (turn, after_us) in moments(8).enumerate() {
        // How much is lost on a busy machine is for the two hundred below.
        let lost_us = kill(&scene, turn, after_us);
        println!("killed after {after_us} us: {lost_us} us lost");
    }
}

#[test]
#[ignore = "a minute on a quiet machine: cargo test -p longhand-console --test record_process \
            two_hundred_kills -- --ignored --nocapture"]
fn two_hundred_kills_lose_100_ms_at_most() {
    let scene = Scene::new();
    let mut lost: Vec<u64> =
        moments(200).enumerate().map(|(turn, after_us)| kill(&scene, turn, after_us)).collect();
    lost.sort_unstable();
    println!("lost us: p50 {} p99 {} max {}", lost[100], lost[198], lost[199]);
    assert!(lost[199] <= 100_000, "{:?}", &lost[190..]);
}

#[test]
fn the_record_command_verifies_recovers_tells_and_exports() {
    let scene = Scene::new();
    let ran = scene.recorded(&[]);
    assert_eq!(ran.status.code(), Some(1), "nobody is there: {}", said(&ran));
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(report.pointer("/record/lost_ticks").unwrap(), 0);
    let ticks = report.pointer("/leader/ticks").and_then(Value::as_u64).unwrap();
    let file = scene.record("report/record").display().to_string();
    let trust = scene.path("trust");

    let verdict = record(&["verify", "--trust", &trust, "--json", &file]);
    assert_eq!(verdict.status.code(), Some(0), "{}", said(&verdict));
    let verdict: Value = serde_json::from_slice(&verdict.stdout).unwrap();
    assert_eq!(verdict.get("verdict").unwrap(), "whole");
    let info: Value = serde_json::from_slice(&record(&["info", "--json", &file]).stdout).unwrap();
    assert_eq!(info.get("ticks").unwrap(), ticks);
    assert_eq!(info.get("missing_ticks").unwrap(), 0);
    assert_eq!(info.pointer("/ticks_in/Disconnected").unwrap(), ticks, "{info}");
    assert_eq!(info.get("of").unwrap(), "the console of robot");

    // Another hospital's.
    Trust::init(&scene.0.path().join("other"), "Other").unwrap();
    let stranger = record(&["verify", "--trust", &scene.path("other"), &file]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(said(&stranger).contains("record 0 is the first"), "{}", said(&stranger));

    let bytes = std::fs::read(&file).unwrap();
    let (cut, mended) = (scene.path("cut.mcap"), scene.path("mended.mcap"));
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let verdict = record(&["verify", "--trust", &trust, &cut]);
    assert_eq!(verdict.status.code(), Some(1));
    assert!(said(&verdict).contains("CUT") && said(&verdict).contains("is missing"));
    let done = record(&["recover", &cut, "--out", &mended]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let rows = String::from_utf8(record(&["export", "--csv", &mended]).stdout).unwrap();
    let head: Vec<&str> = rows.lines().next().unwrap().split(',').collect();
    let row: Vec<&str> = rows.lines().nth(2).unwrap().split(',').collect();
    let cell = |name| row[head.iter().position(|column| *column == name).unwrap()];
    assert_eq!((head.len(), cell("tick"), cell("command")), (row.len(), "1", "0"));
    assert_eq!(
        (cell("engagement"), cell("advisory"), cell("stage")),
        ("Disconnected", "NoLink", "255")
    );
    assert_eq!(record(&["verify", &file]).status.code(), Some(2), "nobody is believed unnamed");
    assert!(said(&record(&["info", &scene.path("trust/ca.pem")])).contains("a console's record"));

    // Only where it is wanted.
    let none = scene.recorded(&["--no-record"]);
    let report: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert!(report["record"].is_null());
    scene.record("report/record");
    let refused = scene.recorded(&["--record", "/dev/null/x"]);
    assert!(said(&refused).contains("or run it without"), "{}", said(&refused));
}

/// The surgeon's own name stands in it, in the certificate that vouches for it, and nobody else's.
#[test]
fn no_patients_name_and_no_path_stands_in_a_record() {
    let scene = Scene::new();
    let script = scene.path(&format!("{CANARY}.csv"));
    std::fs::write(&script, include_str!("../scripts/tremor.csv")).unwrap();
    let folder = scene.path(&format!("record-{CANARY}"));
    let more = ["--input", "script", &script, "--for", "0.3", "--record", &folder];
    let ran = scene.run(&more).env("USER", CANARY).env("HOSTNAME", CANARY).output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    let file = scene.record(&format!("record-{CANARY}"));
    says_nothing_of::<Topic>(&file, &["ZZTEST", "424242", "dr-lee/", "/tmp", "tremor"]);
}

#[test]
#[ignore = "installs mcap, mcap-ros2-support and rosbags from PyPI; .ci/run does it: cargo test \
            -p longhand-console --test record_process foreign_readers -- --ignored"]
fn foreign_readers_read_a_consoles_record_and_a_mended_one() {
    let (scene, hospital) = (Scene::new(), Hospital::new());
    let who: &Credentials = &hospital.surgeon;
    let mut rig = Rig::on(who, in_folder(scene.0.path().join("record")), 1 << 14);
    rig.run(2_500);
    let now = rig.now();
    rig.recorder.finish(now);
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
        let read = readers.read(&file, "/longhand/console/");
        for reader in ["mcap_seeking", "mcap_streaming", "rosbags"] {
            let at = |path: &str| read.pointer(&format!("/{reader}/{path}")).unwrap();
            assert_eq!(at("topics/tick"), &info["ticks"], "{reader}");
            assert_eq!(at("topics/command"), &info["commands"], "{reader}");
            assert_eq!(at("topics/seal"), &info["seals"], "{reader}");
            assert_eq!(at("last"), &info["last_tick"], "{reader}");
            assert!(at("topics/alarm").as_u64() >= Some(2), "{reader}");
            assert_eq!(at("stages").as_array().unwrap()[1..3], ["Hold", "Latched"], "{reader}");
        }
    }
}
