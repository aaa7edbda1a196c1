//! Nonsense from outside and from inside: the pump counts it, drops it, and goes on serving.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::net::UdpSocket;

use common::{console, credentials, hospital, robot, stranger};
use longhand_quic::pump::{CloseCode, How};
use longhand_quic::trust::{Role, Trust};

/// xorshift64: small, seeded, good enough for garbage.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}

#[test]
fn garbage_on_the_stream_closes_that_connection_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("trust");
    let trust = Trust::init(&home, "Ours").unwrap();
    let surgeon = trust.issue(Role::Surgeon, "dr-noise", 30, None).unwrap().folder;
    let robot = robot(credentials(trust.authority(), Role::Robot, "or3"));
    let good = console(robot.addr, credentials(trust.authority(), Role::Surgeon, "dr-lopez"));
    good.connected();
    for seed in 1..=8 {
        let error = stranger::runtime().block_on(async {
            let endpoint = stranger::endpoint();
            let config = stranger::config(&home, Some(&surgeon), b"longhand/1");
            let noisy = stranger::connect(&endpoint, config, robot.addr).await.unwrap();
            let (mut send, _recv) = noisy.open_bi().await.unwrap();
            let mut bytes = vec![0; 64 * 1024];
            Garbage(seed).fill(&mut bytes);
            let _cut_short = send.write_all(&bytes).await;
            noisy.closed().await
        });
        let quinn::ConnectionError::ApplicationClosed(close) = error else { panic!("{error}") };
        assert_eq!(close.error_code.into_inner(), u64::from(CloseCode::Nonsense.number()));
        assert_eq!(robot.closed().how, How::Here(CloseCode::Nonsense), "seed {seed}");
    }
    good.send_frame(b"still here");
    assert_eq!(good.frame(), b"still here");
}

#[test]
fn a_frame_cut_short_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("trust");
    let trust = Trust::init(&home, "Ours").unwrap();
    let surgeon = trust.issue(Role::Surgeon, "dr-short", 30, None).unwrap().folder;
    let robot = robot(credentials(trust.authority(), Role::Robot, "or3"));
    for (bytes, words) in [
        (&[5_u8, 0, 1, 2][..], "cut short"),
        (&[1, 0, 1][..], "was ended"),
        (&[0, 0][..], "frame of 0 bytes"),
        (&[1, 2][..], "frame of 513 bytes"),
    ] {
        let error = stranger::runtime().block_on(async {
            let endpoint = stranger::endpoint();
            let config = stranger::config(&home, Some(&surgeon), b"longhand/1");
            let peer = stranger::connect(&endpoint, config, robot.addr).await.unwrap();
            let (mut send, _recv) = peer.open_bi().await.unwrap();
            send.write_all(bytes).await.unwrap();
            send.finish().unwrap();
            peer.closed().await
        });
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn ten_thousand_random_packets_leave_the_pump_serving() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let live = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    live.send_frame(b"before");
    assert_eq!(live.frame(), b"before");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut garbage = Garbage(0x10_0a4d);
    let mut packet = [0; 1_400];
    for n in 0..10_000 {
        garbage.fill(&mut packet);
        let length = usize::try_from(garbage.next() % 1_400).unwrap();
        match n % 4 {
            // A long header of QUIC version 1, as an Initial has, at a length that servers read.
            0 => {
                let first = 0xc0 | (packet[0] & 0xf);
                packet[..6].copy_from_slice(&[first, 0, 0, 0, 1, 8]);
                socket.send_to(&packet[..1_200], robot.addr).unwrap();
            }
            // The same with connection ids and token that parse, so that decryption is tried.
            1 => {
                packet[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
                packet[14..26].copy_from_slice(&[8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x44, 0x90]);
                socket.send_to(&packet[..1_200], robot.addr).unwrap();
            }
            // A short header.
            2 => {
                packet[0] = 0x40 | (packet[0] & 0x3f);
                socket.send_to(&packet[..length], robot.addr).unwrap();
            }
            _ => {
                socket.send_to(&packet[..length], robot.addr).unwrap();
            }
        }
    }
    live.send_frame(b"after");
    assert_eq!(live.frame(), b"after");
    let fresh = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-new"));
    fresh.send_frame(b"hello");
    assert_eq!(fresh.frame(), b"hello");
}
