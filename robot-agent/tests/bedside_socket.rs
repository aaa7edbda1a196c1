//! The bedside's socket, with the real agent behind it: nobody's silence keeps another from the
//! emergency stop.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use longhand_protocol::message::RobotId;
use longhand_quic::trust::{Credentials, Role, Trust};
use longhand_robot_agent::agent::{Agent, AgentConfig};
use longhand_robot_agent::controls::{self, CLIENTS_MAX};
use longhand_robot_agent::profile_file::NamedProfile;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use tempfile::TempDir;

/// Nobody has ever held the robot.
const HANDED: &str = "ok: hand-over to the first surgeon to connect";

struct Bench {
    folder: TempDir,
    agent: Option<Agent>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::init(folder.path(), "Test Hospital").unwrap();
        trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(1))).unwrap();
        let agent = Agent::start(AgentConfig {
            bind: "127.0.0.1:0".parse().unwrap(),
            robot: RobotId::new(1),
            credentials: Credentials::load(&folder.path().join("or3")).unwrap(),
            profile: NamedProfile::load("default").unwrap(),
            state: folder.path().join("state"),
            qlog: None,
            real_time: false,
            tolerate_stalls: true,
            observer: None,
            record: None,
            probe_twin: None,
            tap: None,
        })
        .unwrap();
        let listener = controls::listen(&folder.path().join("sock")).unwrap();
        controls::obey_socket(agent.bedside(), listener).unwrap();
        Self { folder, agent: Some(agent) }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("sock")).unwrap()
    }

    fn say(&self, word: &str) -> String {
        controls::say(&self.folder.path().join("sock"), word).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _stopped = self.agent.take().map(Agent::stop);
    }
}

/// Says a word and hears the answer; the client stays connected.
fn ask(client: &mut UnixStream, word: &str) -> String {
    writeln!(client, "{word}").unwrap();
    let mut answer = String::new();
    BufReader::new(client).read_line(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

#[test]
fn idle_clients_keep_nobody_from_the_emergency_stop() {
    let bench = Bench::new();
    // One that has said something and stays is served at the same time as the next.
    let mut first = bench.connect();
    assert_eq!(ask(&mut first, "enable"), "ok: enable");
    assert_eq!(bench.say("hand-over"), HANDED);
    assert_eq!(ask(&mut first, "release"), "ok: release", "still connected, never in the way");
    drop(first);

    // A full house: each has been heard, so each has its seat.
    let mut clients: Vec<UnixStream> = Vec::new();
    while clients.len() < CLIENTS_MAX {
        let mut client = bench.connect();
        // The seat of the one that has just left may not be free yet.
        if ask(&mut client, "release") == "ok: release" {
            clients.push(client);
        }
    }
    let refused = bench.say("hand-over");
    assert!(refused.starts_with("refused: 8 clients are connected already"), "{refused}");
    assert_eq!(bench.say("estop"), "ok: emergency stop pressed");
    // It has acted by the time it is answered, and only a restart releases it.
    let mut seated = clients.pop().unwrap();
    let refused = ask(&mut seated, "enable");
    assert!(refused.contains("SafeOff; say restart first"), "{refused}");
    assert_eq!(ask(&mut seated, "restart"), "ok: restart");
    assert_eq!(ask(&mut seated, "enable"), "ok: enable");
}

#[test]
fn a_stop_and_a_restart_in_one_breath_both_act() {
    let bench = Bench::new();
    for _ in 0..20 {
        let mut client = bench.connect();
        write!(client, "estop\nrestart\nenable\nrelease\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let answers: Vec<String> =
            BufReader::new(client).lines().map(|line| line.unwrap()).collect();
        let good = ["ok: emergency stop pressed", "ok: restart", "ok: enable", "ok: release"];
        assert_eq!(answers, good);
    }
}

/// One connection is a panel's for a whole case: neither its length nor a mistake ends it.
#[test]
fn the_sixtieth_word_is_obeyed_and_what_is_no_word_ends_nothing() {
    let bench = Bench::new();
    let mut client = bench.connect();
    for _ in 0..60 {
        assert!(ask(&mut client, "hand-over").starts_with("refused: hand-over is not allowed"));
    }
    let mut answers = BufReader::new(client.try_clone().unwrap()).lines();
    client.write_all(b"\xff\xfe\n").unwrap();
    assert!(answers.next().unwrap().unwrap().starts_with("error: no word"));
    writeln!(client, "{}", "x".repeat(1_000)).unwrap();
    assert_eq!(answers.next().unwrap().unwrap(), "error: a line is longer than 256 bytes");
    writeln!(client, "estop").unwrap();
    assert_eq!(answers.next().unwrap().unwrap(), "ok: emergency stop pressed");
}

#[test]
fn the_socket_is_its_owners_replaces_a_socket_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("sock"), folder.path().join("link"));
    for _ in 0..2 {
        // The second finds what the first has left.
        let listener = controls::listen(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(controls::listen(&path).unwrap_err().to_string().contains("another agent"));
        drop(listener);
    }
    let file = folder.path().join("notes");
    std::fs::write(&file, "of a nurse").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for not_a_socket in [file.as_path(), &link, folder.path()] {
        let error = controls::listen(not_a_socket).unwrap_err().to_string();
        assert!(error.contains("no socket is there"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "of a nurse");
}

#[test]
fn a_refusal_names_the_stage_and_the_word_that_leads_on() {
    let bench = Bench::new();
    let refused = bench.say("hand-over");
    assert!(refused.contains("Disabled") && refused.contains("enable first"), "{refused}");
    assert_eq!(bench.say(" ENABLE "), "ok: enable");
    let again = bench.say("Restart");
    assert!(again.contains("Bedside") && again.contains("hand-over"), "{again}");
    assert_eq!(bench.say("hand-over"), HANDED);
}
