//! A console against a robot that only knows words: real QUIC on loopback, real threads.
//!
//! The robot here answers hellos, believes commands by `RobotSession`, and sends a state for each.
//! Nothing is judged by the wall clock: every wait is for an event, and has a limit only so that a
//! broken test ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_enum_variant,
    reason = "a test: a panic is how it fails"
)]

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use longhand_console::input::script::Script;
use longhand_console::page::{AlarmPriority, AlarmView, LinkState, PageRequest};
use longhand_console::record::Message;
use longhand_console::record::schema::Topic;
use longhand_console::record::tick::{Known, TICK_WORDS};
use longhand_console::{Console, ConsoleConfig, ConsoleStatus, HandChoice, PagePort};
use longhand_leader::advisory::Advisory;
use longhand_protocol::message::{
    Echo, FollowerState, Frame, PROTOCOL_VERSION, ProfileHash, Refusal, RefusalKind, RobotId,
    SessionId, SessionKey, Stage, StateCommand, Terms,
};
use longhand_protocol::session::{Accepted, RobotSession};
use longhand_protocol::units::{Epoch, Micros};
use longhand_protocol::wire::{self, COMMAND_LEN, STATE_LEN};
use longhand_quic::clock::robot_now;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::pump::{
    Accept, Close, CloseCode, Closed, HandshakeError, Link, Outbox, RobotConfig, RobotPump,
};
use longhand_quic::trust::{Authority, Credentials, PeerIdentity, Role, Validity};
use longhand_record::schema::longs_of_cdr;
use longhand_record::seal::{Belief, Verdict, judge};

const ROBOT: RobotId = RobotId::new(7);
/// Only so that a broken test ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the robot treats a hello.
#[derive(Clone, Copy)]
enum Manner {
    Welcomes,
    Refuses(RefusalKind),
    /// Welcomes, with a session id that is not of the console's half.
    Replays,
    /// Welcomes, and hears other words than the console says, from this command on.
    Hears(u64),
}

enum Seen {
    Hello(u64),
    Command {
        connection: u64,
        accepted: Accepted,
    },
    /// A datagram that the session did not believe, by the reason's name.
    Rejected(&'static str),
    Asked(StateCommand),
    Closed(Closed),
}

/// By what a console may resume.
const WORD: u64 = 0x0123_4567_89ab_cdef;

struct FakeRobot {
    manner: Manner,
    seen: Sender<Seen>,
    bell: Doorbell,
    connections: u64,
}

struct FakeLink {
    manner: Manner,
    seen: Sender<Seen>,
    bell: Doorbell,
    connection: u64,
    session: Option<RobotSession>,
    /// The newest command, not answered by a state yet.
    newest: Option<Accepted>,
    odd_datagrams: u32,
}

fn terms() -> Terms {
    Terms {
        tip_speed_max: 0.1,
        tip_rate_max: 2.0,
        loop_age_max: Micros::from_millis(300),
        loop_age_warn: Micros::from_millis(200),
        latch_after: Micros::from_millis(200),
        ..Terms::default()
    }
}

fn say(out: &mut Outbox, frame: Frame) {
    let mut buffer = [0; wire::FRAME_MAX];
    let count = wire::encode_frame(&frame, &mut buffer);
    out.push(&buffer[..count]).unwrap();
}

impl Accept for FakeRobot {
    type L = FakeLink;

    fn accept(&mut self, _peer: &PeerIdentity, _from: SocketAddr) -> Result<FakeLink, Close> {
        self.connections += 1;
        Ok(FakeLink {
            manner: self.manner,
            seen: self.seen.clone(),
            bell: self.bell.clone(),
            connection: self.connections,
            session: None,
            newest: None,
            odd_datagrams: 1,
        })
    }

    fn refused(&mut self, _from: SocketAddr, _why: &HandshakeError) {}
}

impl FakeLink {
    fn welcome(&mut self, half: u64, out: &mut Outbox) {
        let half = if matches!(self.manner, Manner::Replays) { !half } else { half };
        let key = SessionKey {
            robot: ROBOT,
            session: SessionId::from_halves(half, 0x5eed),
            epoch: Epoch::new(self.connection),
            profile: ProfileHash::new(9),
        };
        self.session = Some(RobotSession::new(key));
        say(out, Frame::Welcome { key, terms: terms(), resume: WORD });
    }
}

impl Link for FakeLink {
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close> {
        match wire::decode_frame(body).unwrap() {
            Frame::Hello { version, robot, half, resume } => {
                assert_eq!((version, robot), (PROTOCOL_VERSION, ROBOT));
                // A console says what the last welcome said, and nothing before the first.
                assert_eq!(resume, WORD * u64::from(self.connection > 1));
                self.seen.send(Seen::Hello(half)).ok();
                match self.manner {
                    Manner::Refuses(why) => {
                        say(out, Frame::Refused(Refusal { why, expected: 1, got: 2 }));
                    }
                    Manner::Welcomes | Manner::Replays | Manner::Hears(_) => {
                        self.welcome(half, out)
                    }
                }
            }
            Frame::StateCommand(command) => {
                self.seen.send(Seen::Asked(command)).ok();
                match command {
                    StateCommand::Pause => say(out, Frame::StateAccepted(command)),
                    // The test's way to end a connection.
                    StateCommand::Resume if self.connection == 1 => {
                        return Err(Close::new(CloseCode::Done, "the link is cut"));
                    }
                    StateCommand::Resume => {
                        let why = RefusalKind::State;
                        say(out, Frame::Refused(Refusal { why, expected: 2, got: 1 }));
                    }
                }
            }
            other @ (Frame::Welcome { .. }
            | Frame::Witness(_)
            | Frame::Refused(_)
            | Frame::StateAccepted(_)
            | Frame::ProbeBegin { .. }
            | Frame::ProbeReady { .. }) => {
                panic!("a console never says {other:?}")
            }
        }
        Ok(())
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let session = self.session.as_mut().expect("a command before the welcome");
        let seen = match session.handle_datagram(robot_now(), bytes) {
            Ok(accepted) => {
                self.newest = Some(accepted);
                self.bell.ring();
                Seen::Command { connection: self.connection, accepted }
            }
            Err(reject) => Seen::Rejected(reject.name()),
        };
        self.seen.send(seen).ok();
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        let session = self.session.as_mut()?;
        if self.odd_datagrams > 0 {
            self.odd_datagrams -= 1;
            buf[..5].copy_from_slice(b"what?");
            return Some(5);
        }
        let Accepted { command, received_at, checksum, .. } = self.newest.take()?;
        let number = command.number.get();
        let altered = matches!(self.manner, Manner::Hears(from) if number >= from);
        let checksum = if altered { !checksum } else { checksum };
        let now = robot_now();
        let state = FollowerState {
            robot_time: now,
            stage: Stage::Follow,
            loop_age: Micros::from_millis(1),
            echo: Echo {
                number: command.number,
                hand_time: command.intent.hand_time,
                received_at,
                applied_at: now,
                checksum,
            },
            ..FollowerState::default()
        };
        buf[..STATE_LEN].copy_from_slice(&session.report(state));
        Some(STATE_LEN)
    }

    fn poll_frame(&mut self, _out: &mut Outbox) {}

    fn closed(&mut self, why: &Closed) {
        self.seen.send(Seen::Closed(why.clone())).ok();
    }
}

/// A robot and a console that run.
struct Bench {
    console: Console,
    seen: Receiver<Seen>,
    stop: Stop,
    robot: JoinHandle<()>,
}

fn hospital() -> Authority {
    Authority::ephemeral("Test Hospital").unwrap()
}

fn identity(authority: &Authority, role: Role) -> Credentials {
    let robot = (role == Role::Robot).then_some(ROBOT);
    let days = Validity::days(1).unwrap();
    authority.credentials(&authority.issue(role, role.name(), robot, days).unwrap()).unwrap()
}

impl Bench {
    fn new(manner: Manner) -> Self {
        Self::with(manner, |_| {})
    }

    fn with(manner: Manner, change: impl FnOnce(&mut ConsoleConfig)) -> Self {
        let authority = hospital();
        let pump = RobotPump::bind(RobotConfig {
            bind: "127.0.0.1:0".parse().unwrap(),
            credentials: identity(&authority, Role::Robot),
            datagram_bytes: STATE_LEN,
            qlog: None,
        })
        .unwrap();
        let target = pump.local_addr();
        let (bell, stop) = (Doorbell::new().unwrap(), Stop::new().unwrap());
        let (tell, seen) = channel();
        let mut door = FakeRobot { manner, seen: tell, bell: bell.clone(), connections: 0 };
        let ears = stop.clone();
        let robot = std::thread::spawn(move || pump.run(&mut door, &bell, &ears).unwrap());
        let mut config = config(target, &authority);
        change(&mut config);
        let console = Console::start(config).unwrap();
        Self { console, seen, stop, robot }
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("nothing more happened")
    }

    /// The next accepted command.
    fn command(&self) -> (u64, Accepted) {
        loop {
            match self.next() {
                Seen::Command { connection, accepted } => return (connection, accepted),
                Seen::Rejected(why) => panic!("the robot refused a command: {why}"),
                Seen::Hello(_) | Seen::Asked(_) | Seen::Closed(_) => {}
            }
        }
    }

    /// Waits until the status is as wanted.
    fn status_where(&self, wanted: impl Fn(&ConsoleStatus) -> bool) -> ConsoleStatus {
        let begun = std::time::Instant::now();
        loop {
            let status = self.console.status();
            if wanted(&status) {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "never as wanted; last: {status:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(self) -> longhand_console::ConsoleReport {
        let report = self.console.stop();
        self.stop.stop();
        self.robot.join().unwrap();
        report
    }
}

fn config(target: SocketAddr, authority: &Authority) -> ConsoleConfig {
    ConsoleConfig {
        target,
        robot: ROBOT,
        credentials: identity(authority, Role::Surgeon),
        hand: HandChoice::Script(Script::load("tremor").unwrap()),
        page: Some(PagePort(0)),
        scale: 0.2,
        link_name: "loopback".to_owned(),
        qlog: None,
        realtime: false,
        practice: longhand_console::Practice::No,
        record: None,
        same_clock: true,
    }
}

#[test]
fn hello_is_welcomed_and_every_tick_sends_one_command() {
    let bench = Bench::new(Manner::Welcomes);
    let (_, mut last) = bench.command();
    for _ in 0..500 {
        let (_, next) = bench.command();
        // A thread that the machine held up for 4 ms may drop commands; never repeat or reorder.
        assert!(next.command.number > last.command.number);
        assert!(next.command.intent.hand_time > last.command.intent.hand_time);
        let numbers = next.command.number.checked_since(last.command.number).unwrap();
        let span = next.command.intent.hand_time.since(last.command.intent.hand_time);
        assert!(numbers <= span.as_micros().div_ceil(500), "{numbers} numbers in {span}");
        last = next;
    }
    let status = bench.status_where(|s| {
        s.link.rtt.is_some()
            && s.advisory == Some(Advisory::Following)
            && s.link.state == LinkState::Up
    });
    assert_eq!((status.stage, status.sessions), (Some(Stage::Follow), 1));
    assert!(bench.console.page_url().unwrap().starts_with("http://127.0.0.1:"));
    assert!(status.arms.psm1.goal.servo_cp.is_finite());
    bench.status_where(|s| s.link.wrong_size == 1);

    let report = bench.end();
    assert!(report.was_connected() && report.refused.is_empty());
    assert!(report.commands_sent <= report.leader.ticks, "one a tick at most");
    assert!(report.commands_sent >= last.command.number.get());
    assert!(report.round_trip.count > 0, "{report}");
    assert!(report.hand_to_joint.unwrap().count > 0, "{report}");
    assert_eq!(report.states_rejected, 0, "{report}");
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["round_trip"]["p999_ms"].is_f64());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(report.write_hlogs(folder.path()).unwrap().len(), 4);
}

#[test]
fn refused_hello_is_told_in_words_and_nothing_is_sent() {
    for (why, lasting) in [(RefusalKind::LeaseHeld, false), (RefusalKind::Version, true)] {
        let bench = Bench::new(Manner::Refuses(why));
        let status = bench.status_where(|s| s.link.refused.is_some());
        let words = status.link.refused.unwrap();
        assert!(words.contains(why.advice()), "{words}");
        assert_eq!(words, Refusal { why, expected: 1, got: 2 }.to_string());
        assert_eq!(status.link.refused_for_good, lasting);
        assert!(status.alarms.iter().any(|alarm| alarm.text.contains(why.advice())));
        let report = bench.end();
        assert!(!report.was_connected() && report.refused.len() == 1, "{report}");
        assert_eq!(report.commands_sent, 0);
    }
}

#[test]
fn a_welcome_of_another_half_is_not_believed() {
    let bench = Bench::new(Manner::Replays);
    let why = loop {
        if let Seen::Closed(why) = bench.next() {
            break why;
        }
    };
    assert!(why.reason.contains("console's half"), "{why}");
    let report = bench.end();
    assert_eq!((report.sessions, report.commands_sent), (0, 0));
}

#[test]
fn a_robot_that_hears_other_words_than_were_said_is_alarmed_and_let_go() {
    let bench = Bench::new(Manner::Hears(1_000));
    let mut pressed = 0;
    loop {
        let (_, accepted) = bench.command();
        let present = accepted.command.intent.levels.operator_present;
        if accepted.command.number.get() >= 1_000 && !present {
            break;
        }
        pressed += u32::from(present);
    }
    assert!(pressed > 0, "the pedal counted until then");
    let told = |a: &AlarmView| a.text.contains("commands that this console did not send");
    let status = bench.status_where(|s| s.alarms.iter().any(told));
    assert_eq!(status.alarms.iter().find(|a| told(a)).unwrap().priority, AlarmPriority::High);
    assert!(bench.end().commands_altered > 0);
}

#[test]
fn a_reconnect_is_a_new_session_and_sends_nothing_of_the_old() {
    let bench = Bench::new(Manner::Welcomes);
    let first = loop {
        let (_, accepted) = bench.command();
        if accepted.command.number.get() > 1_000 {
            break accepted;
        }
    };
    assert!(bench.console.request(PageRequest::StateCommand(StateCommand::Pause)));
    while !matches!(bench.next(), Seen::Asked(StateCommand::Pause)) {}
    // The robot cuts the connection at this.
    bench.status_where(|s| s.link.state == LinkState::Up);
    assert!(bench.console.request(PageRequest::StateCommand(StateCommand::Resume)));
    while !matches!(bench.next(), Seen::Asked(StateCommand::Resume)) {}
    let mut halves = Vec::new();
    let again = loop {
        match bench.next() {
            Seen::Hello(half) => halves.push(half),
            Seen::Command { connection: 2, accepted } => break accepted,
            Seen::Command { .. } | Seen::Asked(_) | Seen::Closed(_) => {}
            Seen::Rejected(why) => panic!("the robot refused a command: {why}"),
        }
    };
    assert_eq!(halves.len(), 1);
    let (old, new) = (first.command.key, again.command.key);
    assert_ne!(old.session, new.session);
    assert!(new.session.bytes().starts_with(&halves[0].to_le_bytes()));
    assert_eq!(new.epoch, Epoch::new(2));
    assert!(again.command.number < first.command.number, "numbers begin anew");
    for _ in 0..100 {
        let (connection, next) = bench.command();
        assert_eq!((connection, next.command.key), (2, new));
    }
    // The second connection refuses a resume, in words.
    bench.status_where(|s| s.link.state == LinkState::Up);
    assert!(bench.console.request(PageRequest::StateCommand(StateCommand::Resume)));
    let status =
        bench.status_where(|s| s.alarms.iter().any(|a| a.text.contains("resume was refused")));
    let alarm = status.alarms.iter().find(|a| a.text.contains("resume was refused")).unwrap();
    assert!(alarm.text.contains(RefusalKind::State.advice()), "{}", alarm.text);
    assert!(bench.console.request(PageRequest::Acknowledge(alarm.id)));
    bench.status_where(|s| !s.alarms.iter().any(|a| a.text.contains("resume was refused")));
    assert_eq!(bench.end().sessions, 2);
}

/// What the black box keeps is what went out and came in, whatever the threads did meanwhile.
#[test]
fn a_session_is_recorded_as_it_was() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), std::cell::OnceCell::new());
    let bench = Bench::with(Manner::Welcomes, |config| {
        authority.set(config.credentials.believes()).unwrap();
        config.record = Some(folder.path().to_owned());
    });
    let mut heard = std::collections::BTreeMap::new();
    while heard.len() < 300 {
        let (_, accepted) = bench.command();
        heard.insert(accepted.command.number.get(), accepted.command);
    }
    bench.status_where(|s| s.advisory == Some(Advisory::Following));
    let report = bench.end();
    assert_eq!(report.record.unwrap().lost_ticks, 0);
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let believes = Belief::Hospital(Box::new(authority.into_inner().unwrap()));
    let mut proven: Vec<Message> = Vec::new();
    let judged = judge(std::fs::File::open(file).unwrap(), believes, |_, block| {
        proven.extend_from_slice(block);
        Ok(())
    });
    assert_eq!(judged.unwrap().verdict, Verdict::Whole);
    let of = |topic| proven.iter().filter(move |message: &&Message| message.topic == topic);
    let ticks: Vec<[u64; TICK_WORDS]> =
        of(Topic::Tick).map(|tick| longs_of_cdr(&tick.data).unwrap()).collect();
    assert_eq!(u64::try_from(ticks.len()).unwrap(), report.leader.ticks);
    assert_eq!(of(Topic::Command).count(), usize::try_from(report.commands_sent).unwrap());
    for command in of(Topic::Command) {
        let bytes: &[u8; COMMAND_LEN] = command.data.last_chunk().unwrap();
        let command = wire::decode_command(bytes).unwrap();
        if let Some(heard) = heard.remove(&command.number.get()) {
            assert_eq!(heard, command);
        }
    }
    assert!(heard.is_empty(), "the robot heard what no record has: {heard:?}");
    let known = |words: &[u64; TICK_WORDS]| Known::of(words).unwrap();
    assert!(ticks.iter().any(|words| known(words).advisory == Advisory::Following));
    assert!(ticks.iter().any(|words| known(words).robot.is_some_and(|r| r.0 == Stage::Follow)));
    // The clerk's alarm of the first moments: nobody was there yet.
    assert!(of(Topic::Alarm).count() >= 1);
}

#[test]
fn no_robot_is_a_status_and_the_console_ends_all_the_same() {
    let authority = hospital();
    // Bound and never answered: nobody else can take the port.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let console = Console::start(config(nobody.local_addr().unwrap(), &authority)).unwrap();
    let begun = std::time::Instant::now();
    while console.status().ticks.0 < 100 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = console.status();
    assert_eq!(status.advisory, Some(Advisory::NoLink));
    assert!(status.alarms.iter().any(|alarm| alarm.text.contains("Not connected")));
    let report = console.stop();
    assert!(!report.was_connected() && report.commands_sent == 0, "{report}");
}

#[test]
fn hands_from_a_page_need_a_page() {
    let target = "127.0.0.1:1".parse().unwrap();
    let mut config = config(target, &hospital());
    config.hand = HandChoice::Page;
    config.page = None;
    let error = Console::start(config).unwrap_err();
    assert!(error.to_string().contains("no page is served"), "{error}");
}

/// What a browser says while the right key is down, and perhaps the pedal.
fn pressed(seq: u64, pedal: bool) -> String {
    let rest = r#"{"linear_m_s":[0,0,0],"angular_rad_s":[0,0,0],"jaw_rad_s":0}"#;
    let right = r#"{"linear_m_s":[0.02,0,0],"angular_rad_s":[0,0,0],"jaw_rad_s":0}"#;
    format!(
        r#"{{"seq":{seq},"hand_time_ms":{},"source":"keyboard","psm1":{right},"psm2":{rest},
        "operator_present":{pedal},"clutch":false,"energy":{{"psm1":false,"psm2":false}},
        "visible":true,"focused":true}}"#,
        seq * 10
    )
}

/// From a key in the browser to a goal at the robot, and back to a view; and nobody there when the
/// browser goes.
#[test]
fn the_pages_hands_reach_the_robot_and_let_go_with_the_page() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let bench = Bench::with(Manner::Welcomes, |config| config.hand = HandChoice::Page);
    let (_, first) = bench.command();
    assert!(!first.command.intent.levels.operator_present);
    let url = bench.console.page_url().unwrap();
    let socket = url.replace("http://", "ws://").replace("/?token", "/socket?token");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut browser = runtime.block_on(tokio_tungstenite::connect_async(socket)).unwrap().0;
    let mut shown = serde_json::Value::Null;
    let mut seq = 0;
    // Keys are said again and again, as a browser does, until the tool's goal has moved; the pedal
    // once the console has seen it up.
    let mut pedal = false;
    let goal = loop {
        seq += 1;
        runtime.block_on(browser.send(Message::text(pressed(seq, pedal)))).unwrap();
        let next = runtime.block_on(browser.next()).unwrap().unwrap();
        let said: serde_json::Value = serde_json::from_str(next.to_text().unwrap()).unwrap();
        if said["kind"] == "view" {
            shown = said["view"].clone();
        }
        pedal |= shown["input_in_use"] == "page: keyboard";
        while bench.seen.try_recv().is_ok() {}
        let (_, accepted) = bench.command();
        let goal = accepted.command.intent.arms;
        let follows = shown["stage"] == "Follow" && shown["operator_present"] == true;
        if goal.psm1.servo_cp.position().x > 0.2e-3 && follows {
            break goal;
        }
        assert!(seq < 100_000, "{shown}");
    };
    assert!(goal.psm2.servo_cp.position().norm() < 1e-12, "the other hand rests");
    let astray = (goal.psm1.servo_cp.position().y, goal.psm1.servo_cp.position().z);
    assert!(astray.0.abs() + astray.1.abs() < 1e-12, "right is x");
    assert_eq!(shown["link_profile"], "loopback");
    assert_eq!(shown["input_in_use"], "page: keyboard");
    drop(browser);
    while bench.command().1.command.intent.levels.operator_present {}
    bench.status_where(|s| s.input_note.contains("no page is open"));
    assert!(bench.end().was_connected());
}
