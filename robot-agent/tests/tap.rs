//! The tap of a real agent: every tick is there to be read, and nothing that a reader does reaches
//! the agent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use longhand_protocol::message::{RobotId, Stage};
use longhand_protocol::tap::{HEADER_WORDS, Header, Record, SLOT_WORDS, SLOTS, WRITTEN_AT};
use longhand_quic::trust::{Credentials, Role, Trust};
use longhand_robot_agent::agent::{Agent, AgentConfig};
use longhand_robot_agent::controls;
use longhand_robot_agent::profile_file::NamedProfile;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use tempfile::TempDir;

struct Bench {
    folder: TempDir,
    agent: Option<Agent>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::init(folder.path(), "Test Hospital").unwrap();
        trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(7))).unwrap();
        let agent = Agent::start(AgentConfig {
            bind: "127.0.0.1:0".parse().unwrap(),
            robot: RobotId::new(7),
            credentials: Credentials::load(&folder.path().join("or3")).unwrap(),
            profile: NamedProfile::load("default").unwrap().tolerating_stalls().unwrap(),
            state: folder.path().join("state"),
            qlog: None,
            real_time: false,
            tolerate_stalls: true,
            observer: None,
            record: None,
            probe_twin: None,
            tap: Some(folder.path().join("tap")),
        });
        Self { agent: Some(agent.unwrap()), folder }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("tap")).unwrap()
    }

    /// What a gateway is handed.
    fn memory(&self) -> File {
        let socket = self.connect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut message = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0; 1];
        let into = &mut [IoSliceMut::new(&mut byte)];
        recvmsg(&socket, into, &mut message, RecvFlags::empty()).unwrap();
        let handed = message.drain().find_map(|part| {
            let RecvAncillaryMessage::ScmRights(mut files) = part else { return None };
            files.next()
        });
        File::from(handed.unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _stopped = self.agent.take().map(Agent::stop);
    }
}

fn words<const N: usize>(memory: &File, first: usize) -> [u64; N] {
    let mut bytes = vec![0; N * 8];
    memory.read_exact_at(&mut bytes, u64::try_from(first * 8).unwrap()).unwrap();
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|n| u64::from_le_bytes(words[n]))
}

fn written(memory: &File) -> u64 {
    let [written] = words(memory, WRITTEN_AT);
    written
}

fn record(memory: &File, number: u64) -> Option<Record> {
    let slot = usize::try_from((number - 1) % SLOTS).unwrap();
    Record::of(&words::<SLOT_WORDS>(memory, HEADER_WORDS + slot * SLOT_WORDS), number)
}

/// Waits until so many records more are there; the test's own patience ends it otherwise.
fn after(memory: &File, more: u64) -> u64 {
    let until = written(memory) + more;
    loop {
        let now = written(memory);
        if now >= until {
            return now;
        }
        std::thread::yield_now();
    }
}

#[test]
fn every_tick_stands_in_the_tap_as_it_was() {
    let bench = Bench::new();
    let mode = std::fs::metadata(bench.folder.path().join("tap")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner only");
    let memory = bench.memory();
    let header = Header::of(&words(&memory, 0)).unwrap();
    assert_eq!(header.robot, RobotId::new(7));
    let newest = after(&memory, 300);
    let first = record(&memory, newest - 200).unwrap();
    assert_eq!(first.state.state.stage, Stage::Disabled);
    assert_eq!(first.state.key.session.bytes(), [0; 16], "nobody outside needs the session");
    let mut last = first;
    for number in newest - 199..=newest {
        let next = record(&memory, number).unwrap();
        assert!(next.state.state.robot_time > last.state.state.robot_time, "{number}");
        last = next;
    }
    // What the bedside does is seen.
    let told = controls::obey(&bench.agent.as_ref().unwrap().bedside(), "enable");
    assert!(told.starts_with("ok"), "{told}");
    let newest = after(&memory, 100);
    assert_eq!(record(&memory, newest).unwrap().state.state.stage, Stage::Bedside);
}

#[test]
fn readers_that_stall_scribble_or_flood_leave_the_agent_as_it_was() {
    let bench = Bench::new();
    let memory = bench.memory();
    // Connected and never heard of again; more than the socket lets wait.
    let idle: Vec<_> = (0..200)
        .filter_map(|_| UnixStream::connect(bench.folder.path().join("tap")).ok())
        .collect();
    assert!(idle.len() > 100, "{}", idle.len());
    for (n, mut socket) in idle.iter().enumerate() {
        if n % 2 == 0 {
            // May find it closed: nobody reads.
            let _unheard = socket.write(&[0xff; 4_096]);
        }
    }
    // The same memory, opened anew with whatever right its owner can get.
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let _as_it_is = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777));
    if let Ok(writable) = File::options().read(true).write(true).open(&path) {
        assert!(writable.set_len(0).is_err());
        assert!(writable.write_all_at(&[0xff; 64], 0).is_err());
    }
    let before = written(&memory);
    let newest = after(&memory, 500);
    assert!((before..=newest).rev().take(1_000).all(|n| record(&memory, n).is_some()));
    assert!(bench.agent.as_ref().is_some_and(|agent| !agent.has_failed()));
    // The next one is served all the same.
    assert!(written(&bench.memory()) >= newest);
}
