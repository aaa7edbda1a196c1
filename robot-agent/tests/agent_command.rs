//! The command itself, as a process: exit codes, and words that say what to do.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

use longhand_protocol::message::RobotId;
use longhand_quic::trust::{Role, Trust};

/// A hospital's trust in a folder that goes away with the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::init(folder.path(), "Test Hospital").unwrap();
        trust.issue(Role::Surgeon, "dr", 30, None).unwrap();
        trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(1))).unwrap();
        Self(folder)
    }

    fn join(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

fn agent(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-robot-agent"));
    command.args(arguments).env_remove("LONGHAND_LOG").env_remove("NO_COLOR").output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    // miette folds long lines and marks the folds.
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.split_whitespace().filter(|word| *word != "\u{2502}").collect::<Vec<_>>().join(" ")
}

#[test]
fn a_run_that_cannot_begin_ends_with_1_and_says_what_to_do() {
    let folder = Folder::new();
    let (robot, surgeon, state) = (folder.join("or3"), folder.join("dr"), folder.join("state"));
    let run = |identity: &str, more: &[&str]| {
        let all = ["run", "--bind", "127.0.0.1:0", "--for", "0.01", "--identity", identity];
        let kept: &[&str] = if more.contains(&"--state") { &[] } else { &["--state", &state] };
        agent(&[&all[..], kept, more].concat())
    };
    for (output, words) in [
        (run(&folder.join("nobody"), &[]), "check that it exists"),
        (run(&surgeon, &[]), "--role robot --robot-id 1"),
        (run(&robot, &["--robot-id", "2"]), "not robot 2"),
        (run(&robot, &["--profile", "public-6g"]), "shipped are default, public-5g, satellite"),
        (run(&robot, &["--states-json", "/no/such/folder/x"]), "cannot write the states"),
        (run(&robot, &["--bedside-socket", "/no/such/folder/s"]), "cannot listen for bedside"),
        (run(&robot, &["--state", "/dev/null/state"]), "a folder it may write"),
    ] {
        let err = said(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {err}");
        assert!(err.contains(words), "{words}: {err}");
        assert!(!err.contains("serves on"), "{words}: {err}");
    }
    for wrong in [["--for", "0"], ["--for", "-1"], ["--for", "1e300"]] {
        let output = agent(&[&["run", "--identity", &robot], &wrong[..]].concat());
        let err = said(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("above 0, at most") && err.len() < 500, "{err}");
    }
}

#[test]
fn a_short_run_reports_one_object_and_ends_with_0() {
    let folder = Folder::new();
    let (robot, state) = (folder.join("or3"), folder.join("state"));
    let all = ["run", "--bind", "127.0.0.1:0", "--for", "0.01", "--json", "--identity", &robot];
    let done = agent(&[&all[..], &["--state", &state, "--no-real-time"]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", said(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report.get("schema").unwrap(), "longhand agent report v1");
    assert_eq!(report.pointer("/network/sessions").unwrap(), 0);
    assert!(report.pointer("/servo/late_us_p50").is_some(), "{report}");
    let stolen = report.get("stolen_ms").unwrap();
    assert!(stolen.is_u64() || stolen.is_null(), "{report}");
    // Nobody reads standard error here, and nobody says a word: no colours, no code words, no call
    // for words that cannot come.
    let err = said(&done.stderr);
    assert!(!err.contains('\x1b') && !err.contains("on standard input"), "{err}");
    assert!(err.contains("stage: Disabled (DISABLED)") && !err.contains("None"), "{err}");
}

/// `run &` in a shell: the bedside's thread reads a terminal that is the shell's. Ignored, the
/// signal that would stop the servo thread is an error of that read.
#[test]
fn a_terminal_cannot_stop_an_agent_in_the_background() {
    let folder = Folder::new();
    let (robot, state) = (folder.join("or3"), folder.join("state"));
    let all = ["run", "--bind", "127.0.0.1:0", "--no-record", "--no-real-time"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_longhand-robot-agent"))
        .args([&all[..], &["--identity", &robot, "--state", &state]].concat())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let serves = lines.any(|line| line.contains("serves on"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(serves);
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    // Source: signal(7), numbers of SIGTTIN and SIGTTOU; the mask counts from bit 0.
    for signal in [21, 22] {
        assert_ne!(ignored & (1 << (signal - 1)), 0, "signal {signal}: {ignored:x}");
    }
}

#[test]
fn trust_refuses_what_would_not_be_safe() {
    let folder = Folder::new();
    let dir = folder.join("");
    let issue = |more: &[&str]| agent(&[&["trust", "issue", "--dir", &dir], more].concat());
    for (output, words) in [
        (issue(&["--role", "robot", "--name", "or4"]), "--robot-id N"),
        (issue(&["--role", "surgeon", "--name", "../x"]), "cannot be a name"),
        (issue(&["--role", "surgeon", "--name", "dr"]), "never overwritten"),
        (agent(&["trust", "init", "--dir", &dir, "--hospital", "X"]), "never overwritten"),
        (
            agent(&["trust", "show", "--dir", "/no/such"]),
            "there is no authority in /no/such; make one with `trust init",
        ),
    ] {
        let err = said(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {err}");
        assert!(err.contains(words), "{words}: {err}");
    }
    let role = issue(&["--role", "nurse", "--name", "n"]);
    assert_eq!(role.status.code(), Some(2));
    assert!(said(&role.stderr).contains("surgeon, robot, engineer, observer"));
}
