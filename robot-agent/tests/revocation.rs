//! Revoking somebody, with the real agent and real QUIC: it takes effect while both run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use longhand_protocol::message::{Frame, PROTOCOL_VERSION, RobotId};
use longhand_protocol::wire;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::pump::{
    Close, Closed, Connect, ConsoleConfig, ConsolePump, How, Link, LinkState, Outbox, Target,
};
use longhand_quic::trust::{Credentials, PeerIdentity, Role, Trust};
use longhand_robot_agent::agent::{Agent, AgentConfig};
use longhand_robot_agent::profile_file::NamedProfile;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const ROBOT: RobotId = RobotId::new(1);

#[derive(Debug)]
enum Seen {
    Welcome,
    Ended(Closed),
}

/// A console that says hello and tells the test what it hears.
struct Console(Sender<Seen>);

struct Line {
    tell: Sender<Seen>,
    has_greeted: bool,
}

impl Connect for Console {
    type L = Line;

    fn link(&mut self, _robot: &PeerIdentity) -> Line {
        Line { tell: self.0.clone(), has_greeted: false }
    }

    fn state(&mut self, state: &LinkState) {
        if let LinkState::Waiting { why, .. } = state {
            let _test_is_over = self.0.send(Seen::Ended(why.clone()));
        }
    }
}

impl Link for Line {
    fn frame(&mut self, body: &[u8], _out: &mut Outbox) -> Result<(), Close> {
        if matches!(wire::decode_frame(body), Ok(Frame::Welcome { .. })) {
            let _test_is_over = self.tell.send(Seen::Welcome);
        }
        Ok(())
    }

    fn datagram(&mut self, _bytes: &[u8]) {}

    fn poll_datagram(&mut self, _buf: &mut [u8]) -> Option<usize> {
        None
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        if !self.has_greeted {
            let (version, half) = (PROTOCOL_VERSION, 7);
            let hello = Frame::Hello { version, robot: ROBOT, half, resume: 0 };
            let mut body = [0; wire::FRAME_MAX];
            let length = wire::encode_frame(&hello, &mut body);
            self.has_greeted = out.push(&body[..length]).is_ok();
        }
    }

    fn closed(&mut self, _why: &Closed) {}
}

/// Waits; the time is only there so that a broken test ends.
fn next(seen: &Receiver<Seen>) -> Seen {
    seen.recv_timeout(Duration::from_secs(30)).unwrap()
}

#[test]
fn a_list_copied_to_a_running_robot_ends_the_live_connection_and_lets_none_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut trust = Trust::init(&folder.path().join("trust"), "Test Hospital").unwrap();
    let robot = trust.issue(Role::Robot, "or3", 30, Some(ROBOT)).unwrap().folder;
    let lee = trust.issue(Role::Surgeon, "dr-lee", 30, None).unwrap().folder;
    let agent = Agent::start(AgentConfig {
        bind: "127.0.0.1:0".parse().unwrap(),
        robot: ROBOT,
        credentials: Credentials::load(&robot).unwrap(),
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
    let target = Target { addr: agent.local_addr(), robot: ROBOT };
    let credentials = Credentials::load(&lee).unwrap();
    let config = ConsoleConfig { local: None, credentials, datagram_bytes: 100, qlog: None };
    let (tell, seen) = channel();
    let (bell, stop) = (Doorbell::new().unwrap(), Stop::new().unwrap());
    let ending = stop.clone();
    let console = std::thread::spawn(move || {
        ConsolePump::new(config).unwrap().run(target, &mut Console(tell), &bell, &ending).unwrap();
    });
    assert!(matches!(next(&seen), Seen::Welcome));

    assert_eq!(agent.network().holder.as_deref(), Some("dr-lee"));

    // Writes the list into the robot's folder, too, as a person would copy it there.
    trust.revoke("dr-lee").unwrap();
    let Seen::Ended(closed) = next(&seen) else { panic!("welcomed again") };
    assert!(matches!(closed.how, How::There(_)), "{closed}");
    assert!(closed.reason.contains("the certificate was revoked"), "{closed}");
    // And it does not come back: the handshake knows, too.
    let Seen::Ended(closed) = next(&seen) else { panic!("welcomed again") };
    assert_eq!(closed.how, How::Certificate, "{closed}");
    assert_eq!(agent.network().holder, None);
    stop.stop();
    console.join().unwrap();
    agent.stop().unwrap();
}
