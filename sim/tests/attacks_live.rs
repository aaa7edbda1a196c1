//! Attacks that only a real process can be put to: floods, broken handshakes, addresses that
//! change. The robot agent runs as a process on loopback, and is watched by what it writes.
//!
//! Bounded in packets, never in seconds: each burst waits for the robot to have written of itself.
//! How many milliseconds anything costs is not judged here: a shared machine stalls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    missing_docs,
    reason = "a test: a panic is how it fails"
)]

#[allow(dead_code, reason = "shared with processes.rs, which uses all of it")]
#[path = "processes/child.rs"]
mod child;
#[allow(dead_code, reason = "shared with processes.rs, which uses all of it")]
#[path = "processes/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with processes.rs, which uses all of it")]
#[path = "processes/scene.rs"]
mod scene;

use client::Client;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use scene::{Agent, Scene};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const SEED: u64 = 1;
/// Packets of each kind. Chosen: some thousands in all, a few seconds on a shared machine.
const BURSTS: usize = 100;
const BURST: usize = 40;

/// The stages from a moment on are none but these of a link's troubles.
fn held_or_went_on(agent: &Agent, from: usize) {
    for stage in agent.stages(from) {
        let fine = ["Follow", "Coast", "Brake", "Hold", "Latched"].contains(&stage.as_str());
        assert!(fine, "{stage} in {:?}", agent.stages(from));
    }
}

/// Packets that no console of ours would send, by the header bytes of RFC 9000 section 17.
fn strange_packet(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = vec![0; 1_200];
    rng.fill_bytes(&mut bytes);
    let kind = rng.next_u32() % 6;
    let long = |first: u8, version: [u8; 4]| {
        let [a, b, c, d] = version;
        // Two connection ids of eight bytes, then no token, then a length.
        vec![first, a, b, c, d, 8]
    };
    let head = match kind {
        // An Initial of version 1, all behind the ids random.
        0 => long(0xc0, [0, 0, 0, 1]),
        // A Handshake and a 0-RTT packet for a connection that is none.
        1 => long(0xe0, [0, 0, 0, 1]),
        2 => long(0xd0, [0, 0, 0, 1]),
        // Version negotiation; Retry.
        3 => long(0x80, [0, 0, 0, 0]),
        4 => long(0xf0, [0, 0, 0, 1]),
        // A short header: what a stateless reset looks like.
        _ => vec![0x40],
    };
    bytes[..head.len()].copy_from_slice(&head);
    if kind == 0 {
        // Ids, token length and length made right, with mutations, so that the parser gets far.
        bytes[14] = 8;
        bytes[23] = u8::try_from(rng.next_u32() % 3).unwrap_or(0);
        bytes[24] = 0x44;
    }
    let keep = usize::try_from(rng.next_u32()).unwrap_or(0) % bytes.len() + 1;
    if rng.next_u32().is_multiple_of(4) {
        bytes.truncate(keep);
    }
    bytes
}

#[test]
fn a_flood_of_garbage_and_mutated_initials_changes_nothing() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let holder = Client::start(&agent.addr, &scene.identity("dr-lee"));
    holder.key(0);
    holder.engage();
    let moving = agent.until_in_motion(0, 1.0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&agent.addr).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..BURSTS {
        for _ in 0..BURST {
            // A full socket is the flood's own affair.
            let _refused = socket.send(&strange_packet(&mut rng));
        }
        // The robot has written of itself since: it lives, and its loop turns.
        let seen = agent.moments().len();
        agent.until(seen, "a state under the flood", |_| true);
    }
    let after = agent.moments().len();
    agent.until(after, "commands of the holder", scene::Moment::has_fresh_commands);
    held_or_went_on(&agent, moving);
    assert_eq!(holder.refusals(), [""; 0]);
    drop(holder);
    let robot = agent.stop();
    assert_eq!(robot["network"]["sessions"].as_u64(), Some(1), "{robot}");
}

/// A box on the way that gives the console another address now and then.
struct Nat {
    addr: String,
    changes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Packets of the console between two changes. Chosen: about a second of commands.
const PACKETS_AN_ADDRESS: u64 = 1_000;

impl Nat {
    fn before(robot: &str) -> Self {
        let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
        inside.set_nonblocking(true).unwrap();
        let (changes, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let nat = (inside.local_addr().unwrap().to_string(), robot.to_owned());
        let (counted, ended) = (Arc::clone(&changes), Arc::clone(&stop));
        let thread = std::thread::spawn(move || carry(&inside, &nat.1, &counted, &ended));
        Self { addr: nat.0, changes, stop, thread: Some(thread) }
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ended = thread.join();
        }
    }
}

fn outside(robot: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(robot).unwrap();
    // Waiting here is what keeps the thread from spinning; nothing is judged by it.
    socket.set_read_timeout(Some(Duration::from_micros(200))).unwrap();
    socket
}

fn carry(inside: &UdpSocket, robot: &str, changes: &AtomicU64, stop: &AtomicBool) {
    let (mut out, mut console, mut count) = (outside(robot), None, 0_u64);
    let mut bytes = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        while let Ok((len, from)) = inside.recv_from(&mut bytes) {
            console = Some(from);
            let _lost = out.send(&bytes[..len]);
            count += 1;
            if count.is_multiple_of(PACKETS_AN_ADDRESS) {
                out = outside(robot);
                changes.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let (Ok(len), Some(console)) = (out.recv(&mut bytes), console) {
            let _lost = inside.send_to(&bytes[..len], console);
        }
    }
}

#[test]
fn a_console_behind_a_changing_address_is_held_or_goes_on() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let nat = Nat::before(&agent.addr);
    let holder = Client::start(&nat.addr, &scene.identity("dr-lee"));
    holder.key(0);
    holder.engage();
    let moving = agent.until_in_motion(0, 1.0);
    let before = nat.changes();
    child::until("three changes of address", || (nat.changes() >= before + 3).then_some(()));
    let after = agent.moments().len();
    agent.until(after, "commands by the new path", scene::Moment::has_fresh_commands);
    held_or_went_on(&agent, moving);
    assert_eq!(holder.refusals(), [""; 0]);
    drop(holder);
    let robot = agent.stop();
    assert_eq!(robot["network"]["sessions"].as_u64(), Some(1), "{robot}");
}
