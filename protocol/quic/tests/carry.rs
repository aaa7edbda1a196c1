//! What is carried, how it ends, and how it comes back.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use common::{DATAGRAM, ROBOT, Seen, console, credentials, hospital, robot, robot_at, stranger};
use longhand_quic::pump::{Close, CloseCode, How, LinkState};
use longhand_quic::trust::{Credentials, Role, Trust};

#[test]
fn frames_and_datagrams_go_both_ways() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    console.connected();
    robot.accepted();
    for n in 0..100_u8 {
        console.send_datagram(&[n; DATAGRAM]);
        assert_eq!(robot.datagram(), [n; DATAGRAM]);
        robot.send_datagram(&[n ^ 0xff; DATAGRAM]);
        assert_eq!(console.datagram(), [n ^ 0xff; DATAGRAM]);
        console.send_frame(&[n; 512]);
        assert_eq!(robot.frame(), [n; 512]);
        assert_eq!(console.frame(), [n; 512]);
    }
}

#[test]
fn what_is_rung_before_there_is_a_connection_is_sent_once_there_is() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    // Most likely there is no link yet: the ring must not be lost on nobody.
    console.to_send.frames.lock().unwrap().push_back(b"hello".to_vec());
    console.bell.ring();
    assert_eq!(robot.frame(), b"hello");
}

#[test]
fn twenty_datagrams_of_one_ring_leave_only_the_newest_four() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    console.connected();
    console.send_frame(b"up");
    assert_eq!(console.frame(), b"up");
    console.to_send.datagrams.lock().unwrap().extend((0..20).map(|n| vec![n; DATAGRAM]));
    console.bell.ring();
    let got: Vec<u8> = (0..4).map(|_| robot.datagram()[0]).collect();
    assert_eq!(got, [16, 17, 18, 19]);
    let counters = console.until(|seen| match seen {
        Seen::Path(counters) if counters.datagrams_sent == 20 => Some(counters),
        _ => None,
    });
    assert_eq!(counters.datagrams_stale, 16);
}

#[test]
fn a_stopped_robot_says_so_and_a_new_one_is_found_again() {
    let authority = hospital();
    let robot_credentials = credentials(&authority, Role::Robot, "or3");
    let mut first = robot(robot_credentials.clone());
    let console = console(first.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    console.send_frame(b"one");
    assert_eq!(console.frame(), b"one");
    first.end();
    assert_eq!(first.closed().how, How::Stopped);
    assert_eq!(console.closed().how, How::There(CloseCode::Done));
    let second = robot_at(first.addr, robot_credentials, None, None);
    console.connected();
    console.send_frame(b"two");
    assert_eq!(console.frame(), b"two");
    assert_eq!(second.accepted().name, "dr-lopez");
}

#[test]
fn a_console_whose_lease_was_taken_over_stays_away_until_a_person_asks() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    console.send_frame(b"one");
    assert_eq!(console.frame(), b"one");
    robot.accepted();
    let close = Close::new(CloseCode::TakenOver, "taken over from 10.0.0.2:7");
    robot.to_send.closes.lock().unwrap().push_back(close);
    robot.bell.ring();
    // The very next thing after the end of the connection: it waits, and tells why.
    console.closed();
    let next = console.seen.recv().unwrap();
    let Seen::State(LinkState::TakenOver { why }) = next else { panic!("{next:?}") };
    assert_eq!(why.how, How::There(CloseCode::TakenOver));
    assert!(why.reason.contains("10.0.0.2"), "{why}");
    // Rings alone are nobody's wish: the attempt that is seen next is the one that was asked for.
    console.bell.ring();
    console.to_send.again.store(true, std::sync::atomic::Ordering::Relaxed);
    console.bell.ring();
    console.connected();
    assert_eq!(robot.accepted().name, "dr-lopez");
}

#[test]
fn a_stopped_console_says_so() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let mut console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    console.connected();
    robot.accepted();
    console.end();
    assert_eq!(robot.closed().how, How::There(CloseCode::Done));
    assert_eq!(console.closed().how, How::Stopped);
    assert!(!console.seen.try_iter().any(|seen| matches!(seen, Seen::Closed(_))), "closed twice");
}

/// A robot in a process of its own, which can die without a word.
struct Process(Child);

impl Process {
    fn start(identity: &std::path::Path, bind: &str) -> (Self, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "robot_process"])
            .env("LONGHAND_TEST_IDENTITY", identity)
            .env("LONGHAND_TEST_BIND", bind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let addr = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("bound to ").map(|(_, addr)| addr.to_owned()))
            .unwrap();
        (Self(child), addr)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Not a test: the other process of the one below.
#[test]
#[ignore = "started by another test, in a process of its own"]
fn robot_process() {
    let Some(identity) = std::env::var_os("LONGHAND_TEST_IDENTITY") else { return };
    let bind = std::env::var("LONGHAND_TEST_BIND").unwrap().parse().unwrap();
    let credentials = Credentials::load(identity.as_ref()).unwrap();
    let robot = robot_at(bind, credentials, None, None);
    println!("bound to {}", robot.addr);
    // Until the parent goes away or kills it.
    let _end = std::io::stdin().lines().count();
}

#[test]
fn a_killed_robot_that_comes_back_tells_the_console_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::init(&folder.path().join("trust"), "Ours").unwrap();
    let identity = trust.issue(Role::Robot, "or3", 30, Some(ROBOT)).unwrap().folder;
    let (mut first, addr) = Process::start(&identity, "127.0.0.1:0");
    let lopez = credentials(trust.authority(), Role::Surgeon, "dr-lopez");
    let console = console(addr.parse().unwrap(), lopez);
    console.send_frame(b"one");
    assert_eq!(console.frame(), b"one");
    first.kill();
    let (_second, again) = Process::start(&identity, &addr);
    assert_eq!(again, addr);
    // A stateless reset, not three seconds of silence.
    assert_eq!(console.closed().how, How::Restarted);
    console.connected();
    console.send_frame(b"two");
    assert_eq!(console.frame(), b"two");
}

#[test]
fn qlog_leaves_one_file_per_connection() {
    let folder = tempfile::tempdir().unwrap();
    let authority = hospital();
    let mut robot = robot_at(
        "127.0.0.1:0".parse().unwrap(),
        credentials(&authority, Role::Robot, "or3"),
        None,
        Some(folder.path().to_owned()),
    );
    for _ in 0..2 {
        let console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
        console.send_frame(b"hello");
        assert_eq!(console.frame(), b"hello");
    }
    robot.end();
    let logs: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .filter(|log| log.contains("packet_sent"))
        .collect();
    assert_eq!(logs.len(), 2);
}

#[test]
fn a_peer_that_opens_no_control_stream_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("trust");
    let trust = Trust::init(&home, "Ours").unwrap();
    let surgeon = trust.issue(Role::Surgeon, "dr-mute", 30, None).unwrap().folder;
    let robot = robot(credentials(trust.authority(), Role::Robot, "or3"));
    let error = stranger::runtime().block_on(async {
        let endpoint = stranger::endpoint();
        let config = stranger::config(&home, Some(&surgeon), b"longhand/1");
        stranger::connect(&endpoint, config, robot.addr).await.unwrap().closed().await
    });
    assert!(error.to_string().contains("no control stream"), "{error}");
    assert_eq!(robot.closed().how, How::Here(CloseCode::Nonsense));
}
