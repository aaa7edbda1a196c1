//! A console of the test's own, which does what no sound console does: it holds the pedal, says
//! garbage, repeats an old session.
//!
//! Knows: hello, numbers, a goal that goes to and fro. Does not know: hands, clutch, or advice.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use longhand_protocol::geometry::{ArmId, PerArm, Pose, Twist};
use longhand_protocol::message::{
    ArmCommand, Command, Frame, Intent, Levels, PROTOCOL_VERSION, RobotId, SessionKey, Stage,
    StateReport,
};
use longhand_protocol::session::ConsoleSession;
use longhand_protocol::units::{Console, Instant, Micros, TICK};
use longhand_protocol::wire::{self, COMMAND_LEN};
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::pace::Ticker;
use longhand_quic::pump::{
    Close, CloseCode, Closed, Connect, ConsoleConfig, ConsolePump, Link, LinkState, Outbox, Target,
};
use longhand_quic::trust::{Credentials, PeerIdentity};
use nalgebra::Vector3;

use crate::child::until;

const ROBOT: RobotId = RobotId::new(1);
/// Ticks that the goal moves one way: 10 mm at 10 mm/s.
const LEG_TICKS: u32 = 1_000;
const STEP_M: f64 = 1e-5;
/// As long as the scripted operator, 300 ms of commands.
const RELEASED_FOR: u64 = 300;
/// Pressed in vain for so many commands, the foot begins again: the machine stalled meanwhile.
const PRESSED_FOR: u64 = 3_000;

/// What the pump's thread, the ticking thread and the test share.
#[derive(Default)]
struct Inner {
    pedal: bool,
    session: Option<ConsoleSession>,
    keys: Vec<SessionKey>,
    /// As the newest welcome said it.
    resume: u64,
    last: Option<StateReport>,
    goals: PerArm<ArmCommand>,
    ticks: u32,
    /// The newest command as it went out.
    said: Option<Command>,
    /// Bytes that the test wants said beside the commands, one a tick.
    strange: VecDeque<Vec<u8>>,
    leaving: VecDeque<Vec<u8>>,
    refusals: Vec<String>,
    /// Says no commands, but stays connected.
    hushed: bool,
}

impl Inner {
    fn tick(&mut self, now: Instant<Console>) {
        if self.hushed {
            return;
        }
        let intent = self.intent(now);
        let Some(session) = &mut self.session else { return };
        let bytes = session.send(&intent);
        self.said = wire::decode_command(&bytes).ok();
        // A pump that stalled gets the newest, as the real one does.
        if self.leaving.len() > 2 {
            self.leaving.pop_front();
        }
        self.leaving.push_back(bytes.to_vec());
        self.leaving.extend(self.strange.pop_front());
    }

    fn intent(&mut self, now: Instant<Console>) -> Intent {
        let stage = self.last.map_or(Stage::Disabled, |report| report.state.stage);
        let follows = matches!(stage, Stage::Follow | Stage::Coast | Stage::Brake);
        self.ticks = self.ticks.wrapping_add(1);
        let forth = if (self.ticks / LEG_TICKS).is_multiple_of(2) { 1.0 } else { -1.0 };
        let step = Vector3::new(forth * STEP_M, 0.0, 0.0);
        for arm in ArmId::ALL {
            let goal = self.goals.get_mut(arm);
            if follows {
                let at = goal.servo_cp;
                goal.servo_cp = Pose::new(at.position() + step, at.rotation());
                goal.servo_cv = Twist { linear: step / TICK.as_secs_f64(), ..Twist::ZERO };
            } else if let Some(report) = &self.last {
                let held = report.state.arms.get(arm);
                goal.servo_cp = held.setpoint_cp;
                goal.servo_cv = Twist::ZERO;
                goal.jaw = held.setpoint_jaw;
            }
        }
        Intent {
            hand_time: now,
            echo_robot_time: self.last.map_or(Instant::ORIGIN, |report| report.state.robot_time),
            echo_state: self.last.map(|report| report.number).unwrap_or_default(),
            valid_for: Micros::from_millis(100),
            levels: Levels { operator_present: self.pedal, engaged: follows, ..Levels::default() },
            arms: self.goals,
        }
    }
}

/// The console. It ends when dropped.
pub struct Client {
    inner: Arc<Mutex<Inner>>,
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Client {
    /// Foot off the pedal.
    pub fn start(robot: &str, identity: &Path) -> Self {
        Self::start_with(robot, identity, false, 0)
    }

    /// Foot on the pedal, or off it, from the first command on; and the word by which it resumes
    /// what another held, or zero.
    pub fn start_with(robot: &str, identity: &Path, pedal: bool, resume: u64) -> Self {
        let pump = ConsolePump::new(ConsoleConfig {
            local: None,
            credentials: Credentials::load(identity).unwrap(),
            datagram_bytes: COMMAND_LEN,
            qlog: None,
        });
        let (pump, target) = (pump.unwrap(), Target { addr: robot.parse().unwrap(), robot: ROBOT });
        let inner = Arc::new(Mutex::new(Inner { pedal, resume, ..Inner::default() }));
        let (doorbell, stop) = (Doorbell::new().unwrap(), Stop::new().unwrap());
        let mut door = Door(Arc::clone(&inner));
        let (bell, end) = (doorbell.clone(), stop.clone());
        let carries = std::thread::spawn(move || pump.run(target, &mut door, &bell, &end).unwrap());
        let (ticked, end) = (Arc::clone(&inner), stop.clone());
        let ticks = std::thread::spawn(move || {
            let mut ticker = Ticker::<Console>::new(TICK);
            while !end.is_stopped() {
                let now = ticker.wait().woke_at;
                ticked.lock().unwrap().tick(now);
                doorbell.ring();
            }
        });
        Self { inner, stop, threads: vec![carries, ticks] }
    }

    /// Waits for the session after `sessions` others.
    pub fn key(&self, sessions: usize) -> SessionKey {
        until("a welcome", || self.inner.lock().unwrap().keys.get(sessions).copied())
    }

    /// The word by which it may resume.
    pub fn word(&self) -> u64 {
        self.inner.lock().unwrap().resume
    }

    /// How many sessions it was granted so far.
    pub fn sessions(&self) -> usize {
        self.inner.lock().unwrap().keys.len()
    }

    /// Waits for words of refusal.
    pub fn refusal(&self) -> String {
        until("a refusal", || self.inner.lock().unwrap().refusals.first().cloned())
    }

    pub fn refusals(&self) -> Vec<String> {
        self.inner.lock().unwrap().refusals.clone()
    }

    /// Stops saying commands, or goes on; the connection stays.
    pub fn hush(&self, hushed: bool) {
        self.inner.lock().unwrap().hushed = hushed;
    }

    pub fn pedal(&self, pressed: bool) {
        self.inner.lock().unwrap().pedal = pressed;
    }

    /// The newest command said.
    pub fn said(&self) -> Command {
        until("a command", || self.inner.lock().unwrap().said)
    }

    /// The newest state heard of this session.
    fn heard(&self) -> Option<StateReport> {
        let inner = self.inner.lock().unwrap();
        inner.last.filter(|report| inner.keys.last() == Some(&report.key))
    }

    /// Waits until the robot uses a command at least `more` later than the newest said; or until
    /// it follows. Says whether it follows.
    fn until_used(&self, more: u64) -> bool {
        let wanted = self.said().number.get() + more;
        until("the robot to use commands", || {
            let state = self.heard()?.state;
            let follows = state.stage == Stage::Follow;
            (follows || state.echo.number.get() >= wanted).then_some(follows)
        })
    }

    /// Releases the pedal, then presses it, until the robot follows.
    pub fn engage(&self) {
        for _ in 0..5 {
            self.pedal(false);
            self.until_used(RELEASED_FOR);
            self.pedal(true);
            if self.until_used(PRESSED_FOR) {
                return;
            }
        }
        panic!("the robot does not follow: {:?}", self.heard());
    }

    /// Says these bytes beside the commands, and waits until as many datagrams were rejected.
    pub fn say_strange(&self, strange: &[Vec<u8>]) {
        let rejected = || self.heard().map(|report| report.state.counters.rejected);
        let before = until("a state", rejected);
        let count = u64::try_from(strange.len()).unwrap();
        self.inner.lock().unwrap().strange.extend(strange.iter().cloned());
        until("every strange datagram to be rejected", || {
            rejected().filter(|now| *now >= before + count)
        });
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.stop();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ended = thread.join();
        }
    }
}

struct Door(Arc<Mutex<Inner>>);

impl Connect for Door {
    type L = Line;

    fn link(&mut self, _robot: &PeerIdentity) -> Line {
        Line { inner: Arc::clone(&self.0), has_greeted: false }
    }

    fn state(&mut self, state: &LinkState) {
        if let LinkState::Waiting { why, .. } | LinkState::TakenOver { why } = state
            && why.is_refusal()
        {
            self.0.lock().unwrap().refusals.push(why.reason.clone());
        }
    }
}

/// One connection.
struct Line {
    inner: Arc<Mutex<Inner>>,
    has_greeted: bool,
}

impl Link for Line {
    fn frame(&mut self, body: &[u8], _out: &mut Outbox) -> Result<(), Close> {
        let mut inner = self.inner.lock().unwrap();
        match wire::decode_frame(body).unwrap() {
            Frame::Welcome { key, resume, .. } => {
                inner.resume = resume;
                inner.session = Some(ConsoleSession::new(key));
                inner.keys.push(key);
                inner.said = None;
                Ok(())
            }
            Frame::Refused(refusal) => {
                inner.refusals.push(refusal.why.advice().to_owned());
                Err(Close::new(CloseCode::Refused, "as you say"))
            }
            Frame::Hello { .. }
            | Frame::Witness(_)
            | Frame::StateCommand(_)
            | Frame::StateAccepted(_)
            | Frame::ProbeBegin { .. }
            | Frame::ProbeReady { .. } => Ok(()),
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let mut inner = self.inner.lock().unwrap();
        let report = inner.session.as_mut().map(|s| s.handle_datagram(console_now(), bytes));
        if let Some(Ok(Some(report))) = report {
            inner.last = Some(report);
        }
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        let next = self.inner.lock().unwrap().leaving.pop_front()?;
        buf[..next.len()].copy_from_slice(&next);
        Some(next.len())
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        if !self.has_greeted {
            let half = console_now().as_micros();
            let resume = self.inner.lock().unwrap().resume;
            let hello = Frame::Hello { version: PROTOCOL_VERSION, robot: ROBOT, half, resume };
            let mut body = [0; wire::FRAME_MAX];
            let length = wire::encode_frame(&hello, &mut body);
            self.has_greeted = out.push(&body[..length]).is_ok();
        }
    }

    fn closed(&mut self, _why: &Closed) {
        let mut inner = self.inner.lock().unwrap();
        inner.session = None;
        inner.leaving.clear();
    }
}
