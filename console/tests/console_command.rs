//! The command itself, as a process: exit codes, what goes to which stream, words for people.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use std::process::{Command, Output};
use tempfile::TempDir;

use longhand_quic::trust::{Role, Trust};
use serde_json::Value;

fn console(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand-console"))
        .args(arguments)
        .env_remove("LONGHAND_LOG")
        .output()
        .unwrap()
}

fn said(bytes: &[u8]) -> String {
    // miette folds long lines and marks the folds.
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.split_whitespace().filter(|word| *word != "\u{2502}").collect::<Vec<_>>().join(" ")
}

/// A surgeon's identity in a folder that goes away with the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::init(folder.path(), "Test Hospital").unwrap();
        trust.issue(Role::Surgeon, "dr", 30, None).unwrap();
        Self(folder)
    }

    fn join(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

#[test]
fn wrong_usage_ends_with_2_and_what_fails_with_1_and_both_say_what_to_do() {
    let folder = Folder::new();
    let identity = folder.join("dr");
    let run = |more: &[&str]| {
        let mut all = vec!["run", "--robot", "127.0.0.1:9", "--identity", identity.as_str()];
        all.extend(more);
        console(&all)
    };
    let (usage, fails) = (Some(2), Some(1));
    for (output, code, words) in [
        (console(&["run"]), usage, "--robot"),
        (run(&["--input", "page", "--no-page"]), usage, "no page is served"),
        (run(&["--input", "script"]), usage, "needs a file"),
        (run(&["--input", "no-such-script"]), usage, "peg-transfer"),
        (run(&["--scale", "3"]), usage, "0.05 to 1"),
        (run(&["--for", "0"]), usage, "above 0"),
        (run(&["--for", "-1"]), usage, "above 0"),
        (run(&["--scale", "-1"]), usage, "0.05 to 1"),
        (
            console(&["qualify", "--robot", "127.0.0.1:9", "--identity", "x", "--idle-probe=0s"]),
            usage,
            "above 0",
        ),
        (run(&["--report", "/dev/null/x"]), fails, "may be written"),
        (
            console(&["run", "--robot", "127.0.0.1:9", "--identity", "/nonexistent"]),
            fails,
            "check that it exists",
        ),
    ] {
        let error = said(&output.stderr);
        assert_eq!(output.status.code(), code, "{words}: {error}");
        assert!(error.contains(words), "{words}: {error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_robot_that_is_not_there_ends_with_1_and_one_json_object() {
    let folder = Folder::new();
    // Bound and never answered: nobody else can take the port.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let robot = nobody.local_addr().unwrap().to_string();
    let (identity, report) = (folder.join("dr"), folder.join("report"));
    let output = console(&[
        "run",
        "--robot",
        &robot,
        "--identity",
        &identity,
        "--input",
        "tremor",
        "--no-page",
        "--for",
        "0.3",
        "--json",
        "--report",
        &report,
    ]);
    let error = said(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("never in session") && error.contains("doctor"), "{error}");
    assert!(error.contains("nothing has answered yet"), "{error}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&object["sessions"], &object["commands_sent"]), (&0.into(), &0.into()));
    assert_eq!(object["round_trip"]["count"], 0);
    assert_eq!(object["files"], Value::Array(Vec::new()));
    let written: Vec<_> = std::fs::read_dir(report).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(written.len() == 1 && written[0].ends_with("record"), "nothing measured: {written:?}");
}

#[test]
fn scripts_are_listed_and_checked() {
    let list = console(&["script", "list"]);
    assert!(list.status.success() && said(&list.stdout).contains("peg-transfer"));
    let check = console(&["script", "check", "tremor"]);
    assert!(check.status.success() && said(&check.stdout).contains("good"));
    let wrong = console(&["script", "check", "/nonexistent.csv"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(said(&wrong.stderr).contains("shipped scripts are"), "{}", said(&wrong.stderr));
}

#[test]
fn doctor_says_what_follows_and_its_code_is_its_worst_finding() {
    let folder = Folder::new();
    let identity = folder.join("dr");
    let output = console(&["doctor", "--identity", &identity, "--json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let code = match object["health"].as_str().unwrap() {
        "good" => 0,
        _ => 1,
    };
    assert_eq!(output.status.code(), Some(code));
    let findings = object["checks"].as_array().unwrap();
    let of = |what: &str| findings.iter().find(|one| one["what"] == what).unwrap();
    assert_eq!(of("certificate")["health"], "good");
    for finding in findings {
        let is_good = finding["health"] == "good";
        assert_eq!(finding["follows"].as_str().unwrap().is_empty(), is_good, "{finding}");
    }
    let without = console(&["doctor", "--identity", "/nonexistent"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(said(&without.stdout).contains("no robot lets this console in"));
}
