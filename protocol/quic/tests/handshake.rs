//! Who is let in, who is not, and what the refused are told. safety.md section 3.3: A04, A14, A16.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod common;

use std::time::{Duration, SystemTime};

use common::{
    ROBOT, Seen, console, console_for, credentials, credentials_within, hospital, robot, robot_at,
    stranger,
};
use longhand_protocol::message::RobotId;
use longhand_quic::pump::{
    CloseCode, ConsoleConfig, ConsolePump, HandshakeError, How, LOOKERS_MAX, RobotConfig,
    RobotPump, Target,
};
use longhand_quic::trust::{Authority, Credentials, Role, Trust, Validity};

const DAY: Duration = Duration::from_secs(86_400);

fn past() -> Validity {
    let now = SystemTime::now();
    Validity { not_before: now - 2 * DAY, not_after: now - DAY }
}

fn future() -> Validity {
    let now = SystemTime::now();
    Validity { not_before: now + DAY, not_after: now + 2 * DAY }
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    let peer = console.connected();
    assert_eq!((peer.role, peer.name.as_str(), peer.robot), (Role::Robot, "or3", Some(ROBOT)));
    let peer = robot.accepted();
    assert_eq!((peer.role, peer.name.as_str(), peer.robot), (Role::Surgeon, "dr-lopez", None));
    assert_eq!(peer.fingerprint.len(), 64);
}

#[test]
fn a_role_that_accept_refuses_is_told_why_before_anything_is_read() {
    let authority = hospital();
    let robot = robot_at(
        "127.0.0.1:0".parse().unwrap(),
        credentials(&authority, Role::Robot, "or3"),
        Some(Role::Surgeon),
        None,
    );
    for role in [Role::Engineer, Role::Observer, Role::Gateway] {
        let console = console(robot.addr, credentials(&authority, role, "somebody"));
        console.send_frame(b"please");
        let why = console.waiting();
        assert_eq!(why.how, How::There(CloseCode::Role));
        assert!(why.reason.contains("use a surgeon's certificate"), "{why}");
        assert!(matches!(robot.refused(), HandshakeError::Refused(_)));
    }
    assert!(!robot.seen.try_iter().any(|seen| matches!(seen, Seen::Frame(_))));
}

/// The robot refuses the console's certificate, and says which rule.
fn refused_by_robot(robot_list: &Authority, client: Credentials, words: &str) {
    let robot = robot(credentials(robot_list, Role::Robot, "or3"));
    let console = console(robot.addr, client);
    let why = console.waiting();
    assert_eq!(why.how, How::Certificate, "{why}");
    assert!(why.reason.contains(words), "{why}");
    let HandshakeError::Failed(closed) = robot.refused() else { panic!("refused otherwise") };
    assert_eq!(closed.how, How::Certificate);
    assert!(!robot.seen.try_iter().any(|seen| matches!(seen, Seen::Accepted(_))));
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = hospital();
    let late = credentials_within(&authority, Role::Surgeon, "dr-late", past());
    refused_by_robot(&authority, late, "expired or not yet valid");
}

#[test]
fn a_certificate_of_tomorrow_is_refused() {
    let authority = hospital();
    let early = credentials_within(&authority, Role::Surgeon, "dr-early", future());
    refused_by_robot(&authority, early, "expired or not yet valid");
}

#[test]
fn a_revoked_certificate_is_refused() {
    let mut authority = hospital();
    let gone = credentials(&authority, Role::Surgeon, "dr-gone");
    authority.revoke(&[gone.who()]).unwrap();
    refused_by_robot(&authority, gone, "revoked");
}

#[test]
fn a_revocation_handed_to_a_running_robot_counts_from_the_next_handshake_on() {
    let mut authority = hospital();
    let robot_identity =
        authority.issue(Role::Robot, "or3", Some(ROBOT), Validity::days(1).unwrap()).unwrap();
    let robot = robot(authority.credentials(&robot_identity).unwrap());
    let lopez = credentials(&authority, Role::Surgeon, "dr-lopez");
    let live = console(robot.addr, lopez.clone());
    live.connected();
    robot.accepted();
    authority.revoke(&[lopez.who()]).unwrap();
    let newer = authority.credentials(&robot_identity).unwrap();
    robot.renewal.as_ref().unwrap().renew(&newer).unwrap();
    // The pump takes the renewal in its own time: from some attempt on every one is refused.
    let why = loop {
        let again = console(robot.addr, lopez.clone());
        again.connected();
        again.send_frame(b"am I in?");
        let fate = again.until(|seen| match seen {
            Seen::Frame(_) => Some(None),
            Seen::Closed(why) => Some(Some(why)),
            _ => None,
        });
        if let Some(why) = fate {
            break why;
        }
    };
    assert_eq!(why.how, How::Certificate, "{why}");
    live.send_frame(b"never mid-case");
    assert_eq!(live.frame(), b"never mid-case");
}

#[test]
fn a_certificate_of_another_hospital_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let trust = Trust::init(&ours, "Ours").unwrap();
    let other = Trust::init(&theirs, "Theirs").unwrap();
    let spy = other.issue(Role::Surgeon, "spy", 30, None).unwrap().folder;
    // It believes our authority, but shows theirs.
    for file in ["ca.pem", "ca.crl"] {
        std::fs::copy(ours.join(file), spy.join(file)).unwrap();
    }
    refused_by_robot(trust.authority(), Credentials::load(&spy).unwrap(), "another hospital");
}

#[test]
fn no_certificate_another_protocol_or_a_robots_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("trust");
    let trust = Trust::init(&home, "Ours").unwrap();
    let robot_folder = trust.issue(Role::Robot, "or3", 30, Some(ROBOT)).unwrap().folder;
    let robot = robot(Credentials::load(&robot_folder).unwrap());
    let cases: [(Option<&std::path::Path>, &[u8], u64); 3] = [
        (None, b"longhand/1", 116),
        (Some(&robot_folder), b"longhand/1", 43),
        (Some(&robot_folder), b"h3", 120),
    ];
    stranger::runtime().block_on(async {
        for (identity, alpn, alert) in cases {
            let endpoint = stranger::endpoint();
            let config = stranger::config(&home, identity, alpn);
            let error = match stranger::connect(&endpoint, config, robot.addr).await {
                Ok(connection) => connection.closed().await,
                Err(error) => error,
            };
            let quinn::ConnectionError::ConnectionClosed(close) = error else {
                panic!("{error}");
            };
            assert_eq!(u64::from(close.error_code), 0x100 + alert);
            assert!(matches!(robot.refused(), HandshakeError::Failed(_)));
        }
    });
}

#[test]
fn the_console_refuses_a_robot_of_another_number() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let wanted = Target { addr: robot.addr, robot: RobotId::new(8) };
    let console = console_for(wanted, credentials(&authority, Role::Surgeon, "dr-lopez"));
    let why = console.waiting();
    assert_eq!(why.how, How::Certificate, "{why}");
    assert_eq!(why.reason, "this is robot 7, you asked for robot 8; check --robot-id");
}

#[test]
fn the_console_refuses_a_revoked_an_expired_and_a_foreign_robot() {
    let mut authority = hospital();
    let gone = credentials(&authority, Role::Robot, "or-gone");
    authority.revoke(&[gone.who()]).unwrap();
    let old = credentials_within(&authority, Role::Robot, "or-old", past());
    let foreign = credentials(&hospital(), Role::Robot, "or-foreign");
    for (robot_credentials, words) in [(gone, "revoked"), (old, "expired"), (foreign, "hospital")] {
        let robot = robot(robot_credentials);
        let console = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
        let why = console.waiting();
        assert_eq!(why.how, How::Certificate, "{why}");
        assert!(why.reason.contains(words), "{why}");
    }
}

#[test]
fn each_pump_takes_only_its_own_side() {
    let authority = hospital();
    let surgeon = credentials(&authority, Role::Surgeon, "dr-lopez");
    let bind = "127.0.0.1:0".parse().unwrap();
    let error =
        RobotPump::bind(RobotConfig { bind, credentials: surgeon, datagram_bytes: 1, qlog: None })
            .unwrap_err();
    assert!(error.to_string().contains("surgeon \"dr-lopez\""), "{error}");
    let credentials = credentials(&authority, Role::Robot, "or3");
    let error =
        ConsolePump::new(ConsoleConfig { local: None, credentials, datagram_bytes: 1, qlog: None })
            .unwrap_err();
    assert!(error.to_string().contains("robot 7 \"or3\""), "{error}");
}

#[test]
fn early_data_is_never_possible() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("trust");
    let trust = Trust::init(&home, "Ours").unwrap();
    let surgeon = trust.issue(Role::Surgeon, "dr-lopez", 30, None).unwrap().folder;
    let robot = robot(credentials(trust.authority(), Role::Robot, "or3"));
    stranger::runtime().block_on(async {
        let endpoint = stranger::endpoint();
        let config = stranger::config(&home, Some(&surgeon), b"longhand/1");
        let first = stranger::connect(&endpoint, config.clone(), robot.addr).await.unwrap();
        let (mut send, mut recv) = first.open_bi().await.unwrap();
        send.write_all(&[1, 0, 9]).await.unwrap();
        // An answer: whatever ticket there might be has come before it.
        recv.read_exact(&mut [0; 3]).await.unwrap();
        let again = endpoint.connect_with(config, robot.addr, "robot-7.longhand.internal").unwrap();
        assert!(again.into_0rtt().is_err(), "a ticket was given, early data was possible");
    });
}

#[test]
fn watchers_fill_half_the_seats_and_a_surgeon_still_gets_in() {
    let authority = hospital();
    let robot = robot(credentials(&authority, Role::Robot, "or3"));
    let mut watchers = Vec::new();
    for n in 0..LOOKERS_MAX {
        let watcher = credentials(&authority, Role::Observer, &format!("watcher-{n}"));
        watchers.push(console(robot.addr, watcher));
        robot.accepted();
    }
    let extra = console(robot.addr, credentials(&authority, Role::Engineer, "one-too-many"));
    assert_eq!(extra.waiting().how, How::There(CloseCode::Full));
    assert_eq!(robot.refused(), HandshakeError::Full);
    drop(extra);
    let surgeon = console(robot.addr, credentials(&authority, Role::Surgeon, "dr-lopez"));
    surgeon.send_frame(b"hello");
    assert_eq!(surgeon.frame(), b"hello");
}
