//! The servo thread: 1 kHz on absolute time.
//!
//! Knows: the loop and its mailboxes. Does not know: what a tick decides. After construction it
//! does not allocate, lock, log or wait for anything but its own timer.
//!
//! The emergency stop is latched here: presses are counted, not sampled, so none is too short to be
//! seen, and only a bedside's restart that knew of the last press may release it, in a tick after
//! one that ran with it asserted (I28).

use crate::arm::Arm;
use crate::record::tap::{COMMAND_WORDS, CommandWords, Tap};
use crate::servo::{Servo, Turn};
use longhand_follower::PeerFaults;
use longhand_follower::kinematics::Joint;
use longhand_follower::playout::Inbound;
use longhand_follower::supervisor::{Denial, Outcome, Request};
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::{
    Command, FollowerState, OperatingState, SessionKey, Stage, StateReport,
};
use longhand_protocol::units::{Epoch, Instant, Micros, Robot, TICK};
use longhand_protocol::wire;
use longhand_quic::clock::robot_now;
use longhand_quic::doorbell::Doorbell;
use longhand_quic::mailbox::{Mailbox, Reader, Writer, from_bytes, to_bytes};
use longhand_quic::pace::{Granted, Lateness, Priority, RealTime, Ticker};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A state's bytes, its key left open.
pub(crate) const STATE_WORDS: usize = wire::STATE_LEN.div_ceil(8);
/// Commands that may wait, in the mailbox and in one tick's inbox: what playout can hold. When full
/// the oldest is dropped: of more than a tick can take, the newest count.
const COMMAND_SLOTS: usize = 256;
/// States that may wait for a reader: 256 ms. When full the oldest is dropped.
const STATE_SLOTS: usize = 256;
/// Requests and answers that may wait. A full mailbox drops the oldest. Requests that the loop has
/// taken out wait in a line of as many, one a tick; a full line drops the newest, unanswered: who
/// asked first is served first.
const REQUEST_SLOTS: usize = 16;

// A command's bytes travel as they came, so that the CRC made by the leader's core is checked once
// more here, behind every copy between, and so that the record has them.
pub(crate) type CommandWriter = Writer<COMMAND_WORDS, COMMAND_SLOTS>;
pub(crate) type StateWriter = Writer<STATE_WORDS, STATE_SLOTS>;
pub(crate) type StateReader = Reader<STATE_WORDS, STATE_SLOTS>;
const REQUEST_WORDS: usize = 4;
const ANSWER_WORDS: usize = 3;
pub(crate) type RequestWriter = Writer<REQUEST_WORDS, REQUEST_SLOTS>;
pub(crate) type AnswerReader = Reader<ANSWER_WORDS, REQUEST_SLOTS>;
pub(crate) type RequestReader = Reader<REQUEST_WORDS, REQUEST_SLOTS>;
pub(crate) type AnswerWriter = Writer<ANSWER_WORDS, REQUEST_SLOTS>;

/// What somebody asks, as it lies in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// Comes back with the answer. Whoever asks never uses one twice.
    pub(crate) token: u64,
    /// Presses of the emergency stop that whoever asks knew of.
    pub(crate) presses: u64,
    /// When it was asked.
    pub(crate) asked_at: Instant<Robot>,
}

/// A request that has waited longer is answered [`Answer::outcome`] `None` and never handed on: who
/// asked has been told that the loop does not answer, or was given up, and a loop that runs again
/// must not switch on what nobody waits for. Chosen: a hundred ticks; a loop that needs more does
/// not run. The emergency stop is a count, no request: it is never too old.
pub(crate) const REQUEST_AGE_MAX: Micros = Micros::from_millis(100);

impl Asked {
    pub(crate) const fn words(&self) -> [u64; REQUEST_WORDS] {
        [code(self.request), self.token, self.presses, self.asked_at.as_micros()]
    }

    fn from_words([word, token, presses, asked_at]: [u64; REQUEST_WORDS]) -> Option<Self> {
        let request = REQUESTS.iter().find(|r| code(**r) == word).copied()?;
        Some(Self { request, token, presses, asked_at: Instant::from_micros(asked_at) })
    }
}

/// What the servo thread made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The request's.
    pub(crate) token: u64,
    /// What became of it. `None`: it came too late and was not handed on.
    pub(crate) outcome: Option<Outcome>,
    /// The robot's operating state when that was decided.
    pub(crate) operating_state: OperatingState,
}

impl Answer {
    pub(crate) fn words(&self) -> [u64; ANSWER_WORDS] {
        let outcome = self.outcome.map_or(TOO_LATE, outcome_code);
        [self.token, outcome, self.operating_state.number()]
    }

    /// `None` where the words are no answer, which a sound servo never writes.
    pub(crate) fn from_words([token, outcome, state]: [u64; ANSWER_WORDS]) -> Option<Self> {
        let operating_state = OperatingState::ALL.into_iter().find(|s| s.number() == state)?;
        let outcome = if outcome == TOO_LATE { None } else { Some(outcome_of(outcome)?) };
        Some(Self { token, outcome, operating_state })
    }

    /// Whether it was not done.
    pub(crate) fn is_refused(&self) -> bool {
        self.outcome != Some(Outcome::Done)
    }
}

/// Levels and counts that both sides read without waiting.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    /// Presses of the emergency stop. Only ever rises.
    pub(crate) presses: AtomicU64,
    /// Of those, how many have acted: a tick has run with the stop asserted.
    pub(crate) presses_acted: AtomicU64,
    /// Messages whose CRC was wrong, wherever that was found; counts as [`PeerFaults::corrupted`].
    pub(crate) corrupted: AtomicU64,
    pub(crate) protocol: AtomicU64,
    /// Of the corrupted, the commands whose bytes changed between the network side and here.
    pub(crate) damaged: AtomicU64,
    /// The stage, as its place in [`Stage::ALL`]: for the words of a refusal, never to decide by.
    stage: AtomicUsize,
}

impl Shared {
    /// The stage after the newest tick.
    pub(crate) fn stage(&self) -> Stage {
        let place = self.stage.load(Ordering::Acquire);
        Stage::ALL.get(place).copied().unwrap_or(Stage::Disabled)
    }

    /// Before the answers of that tick, so that who has heard one sees the stage that it was given
    /// in.
    fn show(&self, stage: Stage) {
        let place = Stage::ALL.iter().position(|known| *known == stage).unwrap_or(usize::MAX);
        self.stage.store(place, Ordering::Release);
    }
}

/// The ends that others hold.
pub(crate) struct Ends {
    pub(crate) commands: CommandWriter,
    pub(crate) network_requests: RequestWriter,
    pub(crate) network_answers: AnswerReader,
    pub(crate) bedside_requests: RequestWriter,
    pub(crate) bedside_answers: AnswerReader,
    pub(crate) network_states: StateReader,
    pub(crate) watch_states: StateReader,
    pub(crate) shared: Arc<Shared>,
}

/// The loop's own ends.
pub(crate) struct ServoLoop {
    commands: Reader<COMMAND_WORDS, COMMAND_SLOTS>,
    network_requests: RequestReader,
    network_answers: AnswerWriter,
    bedside_requests: RequestReader,
    bedside_answers: AnswerWriter,
    network_states: StateWriter,
    watch_states: StateWriter,
    /// Where the tap takes every state; `None` where nobody may look.
    tap_states: Option<StateWriter>,
    shared: Arc<Shared>,
    doorbell: Doorbell,
    inbox: Vec<Inbound>,
    /// The bytes of the inbox, for the tap.
    received: Vec<CommandWords>,
    /// Where every tick goes; `None` where nothing is recorded.
    tap: Option<Tap>,
    bedside_waiting: VecDeque<Asked>,
    network_waiting: VecDeque<Asked>,
    emergency_stop: EmergencyStop,
    /// The stage after the last tick.
    stage: Stage,
}

/// Makes the mailboxes. `tap` is the black box's, `tap_states` the gateway's.
pub(crate) fn mailboxes(
    doorbell: Doorbell,
    tap: Option<Tap>,
    tap_states: Option<StateWriter>,
) -> (ServoLoop, Ends) {
    let shared = Arc::new(Shared::default());
    let (command_writer, commands) = Mailbox::pair();
    let (network_request_writer, network_requests) = Mailbox::pair();
    let (network_answers, network_answer_reader) = Mailbox::pair();
    let (bedside_request_writer, bedside_requests) = Mailbox::pair();
    let (bedside_answers, bedside_answer_reader) = Mailbox::pair();
    let (network_states, network_state_reader) = Mailbox::pair();
    let (watch_states, watch_state_reader) = Mailbox::pair();
    let servo = ServoLoop {
        commands,
        network_requests,
        network_answers,
        bedside_requests,
        bedside_answers,
        network_states,
        watch_states,
        tap_states,
        shared: Arc::clone(&shared),
        doorbell,
        inbox: Vec::with_capacity(COMMAND_SLOTS),
        received: Vec::with_capacity(COMMAND_SLOTS),
        tap,
        bedside_waiting: VecDeque::with_capacity(REQUEST_SLOTS),
        network_waiting: VecDeque::with_capacity(REQUEST_SLOTS),
        emergency_stop: EmergencyStop::default(),
        stage: Stage::Disabled,
    };
    let ends = Ends {
        commands: command_writer,
        network_requests: network_request_writer,
        network_answers: network_answer_reader,
        bedside_requests: bedside_request_writer,
        bedside_answers: bedside_answer_reader,
        network_states: network_state_reader,
        watch_states: watch_state_reader,
        shared,
    };
    (servo, ends)
}

impl ServoLoop {
    /// Runs until stopped. Blocks: this thread is the servo's.
    pub(crate) fn run<A: Arm>(
        mut self,
        mut servo: Servo<A>,
        priority: Option<Priority>,
        tell: impl FnOnce(Option<Granted>),
    ) -> (Option<Granted>, Lateness) {
        let real_time = priority.map(|priority| RealTime::acquire(priority, None));
        let granted = real_time.as_ref().map(RealTime::granted);
        tell(granted);
        let mut lateness = Lateness::new();
        let mut ticker = Ticker::<Robot>::new(TICK);
        while !self.shared.stop.load(Ordering::Relaxed) {
            let tick = ticker.wait();
            lateness.record(&tick);
            self.tick(&mut servo, tick.scheduled_at, tick.woke_at);
        }
        // Nobody will write to the drives again: brakes on now, not when their dead-man finds out.
        servo.brake(robot_now());
        drop(real_time);
        (granted, lateness)
    }

    fn tick<A: Arm>(
        &mut self,
        servo: &mut Servo<A>,
        scheduled_at: Instant<Robot>,
        now: Instant<Robot>,
    ) {
        self.take_commands();
        take_requests(&mut self.bedside_requests, &mut self.bedside_waiting);
        take_requests(&mut self.network_requests, &mut self.network_waiting);
        let state = self.stage.operating_state();
        refuse_late(now, &mut self.bedside_waiting, &mut self.bedside_answers, state);
        refuse_late(now, &mut self.network_waiting, &mut self.network_answers, state);
        // After the requests: every press that a restart knows of is then seen here, too.
        let presses = self.shared.presses.load(Ordering::Acquire);
        let restart = self.emergency_stop.judge(presses, self.bedside_waiting.front());
        // One request a tick: each gets a tick of its own and an answer of its own.
        let bedside = match restart {
            Restart::Waits => None,
            Restart::None | Restart::Releases | Restart::Refused => {
                self.bedside_waiting.pop_front()
            }
        };
        let network = match (bedside, restart) {
            (None, Restart::None) => self.network_waiting.pop_front(),
            _ => None,
        };
        let asked = bedside.or(network);
        let request = asked
            .map(|asked| asked.request)
            .filter(|request| restart != Restart::Refused && applies(*request, self.stage));
        let turn = Turn {
            now,
            scheduled_at,
            inbox: &self.inbox,
            emergency_stop: self.emergency_stop.is_asserted(restart),
            peer_faults: PeerFaults {
                corrupted: self.shared.corrupted.load(Ordering::Relaxed),
                protocol: self.shared.protocol.load(Ordering::Relaxed),
            },
            request,
        };
        let (tap, received) = (&mut self.tap, &self.received);
        let output = servo.turn_seen(&turn, |input, output| {
            if let Some(tap) = tap {
                tap.see(input, output, received);
            }
        });
        self.stage = output.state.stage;
        self.shared.show(self.stage);
        // Before the answers: once a bedside is told "handed over", the network side lets nobody
        // else in any more, and the name that it is given is the one that counts.
        self.publish(&output.state, output.fence);
        self.emergency_stop.settle(restart, output.outcome);
        self.shared.presses_acted.store(presses, Ordering::Release);
        if let Some(asked) = asked {
            let in_force = request.is_some() && applies(asked.request, self.stage);
            let outcome = match output.outcome {
                Outcome::Done if !in_force => Outcome::Refused(Denial::Stage),
                outcome @ (Outcome::Done | Outcome::Refused(_)) => outcome,
            };
            let answer = Answer {
                token: asked.token,
                outcome: Some(outcome),
                operating_state: self.stage.operating_state(),
            };
            let answers = if bedside.is_some() {
                &mut self.bedside_answers
            } else {
                &mut self.network_answers
            };
            answers.push(&answer.words());
        }
        self.doorbell.ring();
    }

    /// Commands out of the mailbox; a bounded number, the newest survive.
    fn take_commands(&mut self) {
        self.inbox.clear();
        self.received.clear();
        let (inbox, received, shared) = (&mut self.inbox, &mut self.received, &self.shared);
        let room = u64::try_from(COMMAND_SLOTS).unwrap_or(0);
        let _drained = self.commands.drain(room, |words| match unpack(words) {
            Some(inbound) if inbox.len() < COMMAND_SLOTS => {
                inbox.push(inbound);
                received.push(*words);
            }
            Some(_) => {}
            // It was whole when the session took it: this machine damaged it. As much a corrupted
            // message as one off the wire, and two in ten hours latch (I23).
            None => {
                shared.damaged.fetch_add(1, Ordering::Relaxed);
                shared.corrupted.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    fn publish(&mut self, state: &FollowerState, fence: Epoch) {
        if let Some(words) = pack_state(state, fence) {
            self.network_states.push(&words);
            self.watch_states.push(&words);
            if let Some(tap) = &mut self.tap_states {
                tap.push(&words);
            }
        }
    }
}

/// A command's bytes and when they came, as words.
pub(crate) fn pack(received_at: Instant<Robot>, bytes: &[u8]) -> Option<[u64; COMMAND_WORDS]> {
    const BODY: usize = COMMAND_WORDS - 1;
    let body = from_bytes::<BODY>(bytes)?;
    let mut words = [0; COMMAND_WORDS];
    let (first, rest) = words.split_first_mut()?;
    *first = received_at.as_micros();
    rest.copy_from_slice(&body);
    Some(words)
}

fn unpack(words: &[u64; COMMAND_WORDS]) -> Option<Inbound> {
    let (received_at, body) = words.split_first()?;
    let body: &[u64; COMMAND_WORDS - 1] = body.try_into().ok()?;
    let mut bytes = [0; wire::COMMAND_LEN];
    to_bytes(body, &mut bytes);
    let command: Command = wire::decode_command(&bytes).ok()?;
    let received_at = Instant::from_micros(*received_at);
    Some(Inbound { command, received_at, checksum: wire::stored_crc(&bytes) })
}

/// A state as words. The key is the network side's to fill in; its epoch carries the follower's
/// fence as far as there.
pub(crate) fn pack_state(state: &FollowerState, fence: Epoch) -> Option<[u64; STATE_WORDS]> {
    let key = SessionKey { epoch: fence, ..SessionKey::default() };
    let report = StateReport { key, state: *state, ..StateReport::default() };
    from_bytes(&wire::encode_state(&report))
}

/// A state and the fence out of a mailbox. `None` where they cannot be read, which a sound servo
/// never writes.
pub(crate) fn unpack_state(words: &[u64; STATE_WORDS]) -> Option<(FollowerState, Epoch)> {
    let mut bytes = [0; wire::STATE_LEN];
    to_bytes(words, &mut bytes);
    wire::decode_state(&bytes).ok().map(|report| (report.state, report.key.epoch))
}

/// Requests out of a mailbox, behind those that wait in the line. When the line is full the newest
/// is dropped, unanswered.
fn take_requests(mailbox: &mut RequestReader, waiting: &mut VecDeque<Asked>) {
    let _drained = mailbox.drain(u64::MAX, |words| {
        if let Some(asked) = Asked::from_words(*words)
            && waiting.len() < REQUEST_SLOTS
        {
            waiting.push_back(asked);
        }
    });
}

/// Answers what has waited too long, and lets none of it through. At most as many as may wait.
fn refuse_late(
    now: Instant<Robot>,
    waiting: &mut VecDeque<Asked>,
    answers: &mut AnswerWriter,
    operating_state: OperatingState,
) {
    waiting.retain(|asked| {
        let is_late = now.since(asked.asked_at) > REQUEST_AGE_MAX;
        if is_late {
            answers.push(&Answer { token: asked.token, outcome: None, operating_state }.words());
        }
        !is_late
    });
}

/// A console's word is for a robot that is on and well. Otherwise it is not even handed on: told
/// "refused", the console must not find later that it was heeded all the same. What the bedside
/// may ask, the supervisor's table says.
const fn applies(request: Request, stage: Stage) -> bool {
    let is_on = match stage.operating_state() {
        OperatingState::Enabled | OperatingState::Paused => true,
        OperatingState::Disabled | OperatingState::Fault => false,
    };
    match request {
        Request::ConsolePause | Request::ConsoleResume => is_on,
        Request::Enable
        | Request::Disable
        | Request::Pause
        | Request::Resume
        | Request::Release
        | Request::HandOver
        | Request::Restart => true,
    }
}

/// The emergency stop, latched.
#[derive(Debug, Default)]
struct EmergencyStop {
    /// Presses counted in.
    seen: u64,
    is_pressed: bool,
}

/// What becomes, in this tick, of a restart while the emergency stop is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// None is asked for, or nothing is pressed.
    None,
    /// The press has not acted yet: the restart waits for the next tick.
    Waits,
    /// The stop was pressed again since it was asked for: it did not mean that press.
    Refused,
    /// The stop is not asserted in this tick, and released if the follower restarts.
    Releases,
}

impl EmergencyStop {
    /// Counts the presses in and looks at the bedside's next request.
    fn judge(&mut self, presses: u64, next: Option<&Asked>) -> Restart {
        let is_new = presses != self.seen;
        self.seen = presses;
        self.is_pressed |= is_new;
        match next {
            Some(asked) if self.is_pressed && asked.request == Request::Restart => {
                if asked.presses != presses {
                    Restart::Refused
                } else if is_new {
                    Restart::Waits
                } else {
                    Restart::Releases
                }
            }
            Some(_) | None => Restart::None,
        }
    }

    fn is_asserted(&self, restart: Restart) -> bool {
        self.is_pressed && restart != Restart::Releases
    }

    /// After the tick. A restart that the follower refused has released nothing.
    fn settle(&mut self, restart: Restart, outcome: Outcome) {
        if restart == Restart::Releases && outcome == Outcome::Done {
            self.is_pressed = false;
        }
    }
}

/// No outcome, as a word in a mailbox.
const TOO_LATE: u64 = u64::MAX;

/// An outcome as a word in a mailbox: 0 for done, else the denial's place.
pub(crate) fn outcome_code(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Refused(denial) => {
            denials().zip(1..).find_map(|(d, word)| (d == denial).then_some(word)).unwrap_or(1)
        }
    }
}

/// The outcome that a word in a mailbox stands for, if it does.
fn outcome_of(word: u64) -> Option<Outcome> {
    if word == 0 {
        return Some(Outcome::Done);
    }
    let denial = denials().zip(1..).find_map(|(denial, w)| (w == word).then_some(denial));
    denial.map(Outcome::Refused)
}

/// Every denial, `Stage` first.
fn denials() -> impl Iterator<Item = Denial> {
    let of_arm = |arm| {
        let outside = Joint::ALL.into_iter().map(move |joint| Denial::Outside(arm, joint));
        core::iter::once(Denial::Unreadable(arm)).chain(outside)
    };
    core::iter::once(Denial::Stage).chain(ArmId::ALL.into_iter().flat_map(of_arm))
}

pub(crate) const REQUESTS: [Request; 9] = [
    Request::Enable,
    Request::Disable,
    Request::Pause,
    Request::Resume,
    Request::Release,
    Request::HandOver,
    Request::Restart,
    Request::ConsolePause,
    Request::ConsoleResume,
];

/// A request as a word in a mailbox.
pub(crate) const fn code(request: Request) -> u64 {
    match request {
        Request::Enable => 1,
        Request::Disable => 2,
        Request::Pause => 3,
        Request::Resume => 4,
        Request::Release => 5,
        Request::HandOver => 6,
        Request::Restart => 7,
        Request::ConsolePause => 8,
        Request::ConsoleResume => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::simulated::{DEAD_MAN, PSM_CLASSIC, SimulatedPsm};
    use crate::arm::{ArmDrive, ArmReading};
    use crate::profile_file::NamedProfile;
    use crate::servo::HOME;
    use longhand_follower::Follower;
    use longhand_follower::profile::Profile;
    use longhand_protocol::geometry::PerArm;
    use longhand_protocol::message::Reason;
    use std::sync::Mutex;

    /// The loop under a clock of the test's own.
    struct Bench {
        servo: Servo<SimulatedPsm>,
        servo_loop: ServoLoop,
        ends: Ends,
        at: Instant<Robot>,
        token: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self::with(Profile::DEFAULT, DEAD_MAN)
        }

        /// One that a stall does not send into a fault.
        fn patient() -> Self {
            let profile = NamedProfile::load("default").unwrap().tolerating_stalls().unwrap();
            Self::with(profile.profile, Micros::from_millis(300))
        }

        fn with(profile: Profile, dead_man: Micros) -> Self {
            let (servo_loop, ends) = mailboxes(Doorbell::new().unwrap(), None, None);
            let at = Instant::from_micros(1_000_000);
            let arm =
                || SimulatedPsm::new(&PSM_CLASSIC, &HOME.0, HOME.1, at).with_dead_man(dead_man);
            let arms = PerArm { psm1: arm(), psm2: arm() };
            let servo = Servo::new(Follower::new(profile), arms);
            let mut bench = Self { servo, servo_loop, ends, at, token: 0 };
            for request in [Request::Enable, Request::HandOver] {
                bench.ask(request);
                bench.tick();
                assert!(!bench.answer().unwrap().is_refused());
            }
            bench
        }

        /// The bedside asks; it knows of every press so far.
        fn ask(&mut self, request: Request) -> u64 {
            self.token += 1;
            let (token, presses) = (self.token, self.ends.shared.presses.load(Ordering::Acquire));
            let asked = Asked { request, token, presses, asked_at: self.at };
            self.ends.bedside_requests.push(&asked.words());
            token
        }

        fn console_asks(&mut self, request: Request) {
            let asked = Asked { request, token: 9, presses: 0, asked_at: self.at };
            self.ends.network_requests.push(&asked.words());
        }

        fn press(&self) {
            self.ends.shared.presses.fetch_add(1, Ordering::AcqRel);
        }

        fn tick(&mut self) -> (Stage, Reason) {
            self.at = self.at.after(TICK);
            self.servo_loop.tick(&mut self.servo, self.at, self.at);
            let (words, _) = self.ends.watch_states.newest();
            let (state, _) = unpack_state(&words.unwrap()).unwrap();
            (state.stage, state.reason)
        }

        fn answer(&mut self) -> Option<Answer> {
            self.ends.bedside_answers.newest().0.and_then(Answer::from_words)
        }

        fn console_answer(&mut self) -> Answer {
            self.ends.network_answers.newest().0.and_then(Answer::from_words).unwrap()
        }
    }

    const STOPPED: (Stage, Reason) = (Stage::SafeOff, Reason::EmergencyStop);

    #[test]
    fn a_second_command_that_was_damaged_on_this_machine_latches_and_the_first_does_not() {
        let mut bench = Bench::new();
        let bytes = wire::encode_command(&Command::default());
        let mut words = pack(bench.at, &bytes).unwrap();
        words[COMMAND_WORDS / 2] ^= 1 << 17;
        for (nth, is_integrity) in [(1, false), (2, true)] {
            bench.ends.commands.push(&words);
            let (_, reason) = bench.tick();
            assert_eq!(reason == Reason::Integrity, is_integrity, "after {nth}: {reason:?}");
            let shared = &bench.ends.shared;
            assert_eq!(shared.damaged.load(Ordering::Relaxed), nth);
            assert_eq!(shared.corrupted.load(Ordering::Relaxed), nth);
        }
    }

    #[test]
    fn a_press_and_a_restart_within_one_tick_both_act_one_after_the_other() {
        let mut bench = Bench::new();
        bench.press();
        let token = bench.ask(Request::Restart);
        assert_eq!(bench.tick(), STOPPED);
        assert_eq!(bench.ends.shared.presses_acted.load(Ordering::Acquire), 1);
        assert_eq!(bench.answer(), None, "not even considered yet");
        assert_eq!(bench.tick().0, Stage::Disabled);
        let answer = bench.answer().unwrap();
        assert_eq!((answer.token, answer.is_refused()), (token, false));
        assert_eq!(bench.tick().0, Stage::Disabled, "released");
    }

    #[test]
    fn a_restart_does_not_release_a_press_that_came_after_it() {
        let mut bench = Bench::new();
        bench.press();
        assert_eq!(bench.tick(), STOPPED);
        bench.ask(Request::Restart);
        bench.press();
        for _ in 0..10 {
            assert_eq!(bench.tick(), STOPPED);
        }
        assert!(bench.answer().unwrap().is_refused());
        bench.ask(Request::Restart);
        assert_eq!(bench.tick().0, Stage::Disabled);
    }

    #[test]
    fn nothing_but_an_accepted_restart_releases_the_emergency_stop() {
        let mut bench = Bench::new();
        bench.press();
        bench.tick();
        for request in REQUESTS.into_iter().filter(|request| *request != Request::Restart) {
            bench.ask(request);
            assert_eq!(bench.tick(), STOPPED, "{request:?}");
            // A restart from the network: there is no such word, and it would not help.
            bench.console_asks(Request::Restart);
            assert_eq!(bench.tick(), STOPPED, "{request:?}");
        }
        let asked_at = Instant::from_micros(0);
        let restart = Asked { request: Request::Restart, token: 1, presses: 1, asked_at };
        let mut stop = EmergencyStop { seen: 1, is_pressed: true };
        assert_eq!(stop.judge(1, Some(&restart)), Restart::Releases);
        stop.settle(Restart::Releases, Outcome::Refused(Denial::Stage));
        assert!(stop.is_asserted(Restart::None), "the follower refused it");
    }

    #[test]
    fn an_answer_says_which_request_it_answers() {
        let mut bench = Bench::new();
        let first = bench.ask(Request::HandOver);
        let second = bench.ask(Request::HandOver);
        assert_ne!(first, second);
        bench.tick();
        assert_eq!(bench.answer().unwrap().token, first);
        bench.tick();
        assert_eq!(bench.answer().unwrap().token, second);
    }

    /// The loop stands still for so long between the asking and the next tick.
    #[test]
    fn a_request_of_before_a_stall_is_never_heeded_and_a_press_always() {
        let (tick, stall) = (TICK.as_micros(), Micros::from_millis(150));
        for (us, is_heeded) in [
            (REQUEST_AGE_MAX.as_micros() - tick, true),
            (REQUEST_AGE_MAX.as_micros(), true),
            (REQUEST_AGE_MAX.as_micros() + 1, false),
            (stall.as_micros(), false),
        ] {
            let mut bench = Bench::patient();
            bench.ask(Request::Disable);
            assert_eq!(bench.tick().0, Stage::Disabled);
            assert!(!bench.answer().unwrap().is_refused());
            let token = bench.ask(Request::Enable);
            bench.at = Instant::from_micros(bench.at.as_micros() + us - tick);
            let power = bench.tick().0;
            assert_eq!(power == Stage::Bedside, is_heeded, "{us} us: {power:?}");
            let answer = bench.answer().unwrap();
            assert_eq!((answer.token, answer.outcome.is_some()), (token, is_heeded), "{us} us");
        }
        let mut bench = Bench::patient();
        bench.console_asks(Request::ConsolePause);
        bench.at = bench.at.after(stall);
        bench.tick();
        assert_eq!(bench.console_answer().outcome, None);
        let mut bench = Bench::patient();
        bench.press();
        bench.at = bench.at.after(stall);
        assert_eq!(bench.tick().0, Stage::SafeOff);
        assert_eq!(bench.ends.shared.presses_acted.load(Ordering::Acquire), 1);
    }

    #[test]
    fn a_console_is_answered_what_was_decided_and_refused_is_not_heeded() {
        let mut bench = Bench::new();
        bench.console_asks(Request::ConsolePause);
        assert_eq!(bench.tick().0, Stage::Latched);
        let paused = bench.console_answer();
        assert!(!paused.is_refused() && paused.operating_state == OperatingState::Paused);
        bench.press();
        bench.console_asks(Request::ConsoleResume);
        // The stop acts in the very tick that would have resumed.
        assert_eq!(bench.tick(), STOPPED);
        let in_fault = bench.console_answer();
        assert!(in_fault.is_refused() && in_fault.operating_state == OperatingState::Fault);
        bench.ask(Request::Restart);
        bench.tick();
        bench.console_asks(Request::ConsolePause);
        bench.tick();
        let off = bench.console_answer();
        assert!(off.is_refused() && off.operating_state == OperatingState::Disabled);
    }

    /// An arm that keeps what it was told.
    struct Witness(Arc<Mutex<Vec<ArmDrive>>>);

    impl Arm for Witness {
        fn read(&mut self, _now: Instant<Robot>) -> ArmReading {
            ArmReading { measured_js: HOME.0, measured_jaw: HOME.1, ..ArmReading::default() }
        }

        fn write(&mut self, _now: Instant<Robot>, drive: &ArmDrive) {
            self.0.lock().unwrap().push(*drive);
        }
    }

    #[test]
    fn the_brakes_are_written_when_the_loop_ends() {
        let told: PerArm<Arc<Mutex<Vec<ArmDrive>>>> =
            PerArm { psm1: Arc::default(), psm2: Arc::default() };
        let arm = |told: &Arc<_>| Witness(Arc::clone(told));
        let arms = PerArm { psm1: arm(&told.psm1), psm2: arm(&told.psm2) };
        let servo = Servo::new(Follower::new(Profile::DEFAULT), arms);
        let (servo_loop, mut ends) = mailboxes(Doorbell::new().unwrap(), None, None);
        let thread = std::thread::spawn(move || servo_loop.run(servo, None, |_| ()));
        while ends.watch_states.newest().0.is_none() {
            std::thread::yield_now();
        }
        ends.shared.stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        for told in told.iter() {
            let told = told.lock().unwrap();
            // Disabled until then: off, not braked.
            assert_eq!(told.first(), Some(&ArmDrive::Off));
            assert_eq!(told.last(), Some(&ArmDrive::Brake));
            assert_eq!(told.iter().filter(|drive| **drive == ArmDrive::Brake).count(), 1);
        }
    }

    #[test]
    fn every_outcome_survives_the_mailbox() {
        let mut words = vec![outcome_code(Outcome::Done)];
        assert_eq!(outcome_of(0), Some(Outcome::Done));
        for denial in denials() {
            let word = outcome_code(Outcome::Refused(denial));
            assert_eq!(outcome_of(word), Some(Outcome::Refused(denial)));
            assert!(!words.contains(&word), "{denial:?} has a word of its own");
            words.push(word);
        }
        assert_eq!(words.len(), 1 + 1 + 2 * 7);
        assert_eq!(outcome_of(99), None);
    }
}
