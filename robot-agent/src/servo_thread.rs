//! The servo thread: 1 kHz on absolute time.
//!
//! Knows: the loop and its mailboxes. Does not know: what a tick decides. After construction it
//! does not allocate, lock, log or wait for anything but its own timer.

use crate::arm::Arm;
use crate::servo::{Servo, Turn};
use longhand_follower::PeerFaults;
use longhand_follower::playout::Inbound;
use longhand_follower::supervisor::{Request, Transition};
use longhand_protocol::message::{Command, FollowerState, StateReport};
use longhand_protocol::units::{Instant, Robot, TICK};
use longhand_protocol::wire;
use longhand_quic::clock::robot_now;
use longhand_quic::doorbell::Doorbell;
use longhand_quic::mailbox::{Mailbox, Reader, Writer, from_bytes, to_bytes};
use longhand_quic::pace::{Granted, Lateness, Priority, RealTime, Ticker};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A receive time and a command's bytes. The bytes travel as they came, so that the CRC made by the
/// leader's core is checked once more here, behind every copy between.
pub(crate) const COMMAND_WORDS: usize = 1 + wire::COMMAND_LEN.div_ceil(8);
/// A state's bytes, its key left open.
pub(crate) const STATE_WORDS: usize = wire::STATE_LEN.div_ceil(8);
/// Commands that may wait: what playout can hold. When full the oldest is dropped.
const COMMAND_SLOTS: usize = 256;
/// States that may wait for a reader: 256 ms. When full the oldest is dropped.
const STATE_SLOTS: usize = 256;
/// Requests and answers that may wait. When full the oldest is dropped.
const REQUEST_SLOTS: usize = 16;

pub(crate) type CommandWriter = Writer<COMMAND_WORDS, COMMAND_SLOTS>;
pub(crate) type StateReader = Reader<STATE_WORDS, STATE_SLOTS>;
pub(crate) type RequestWriter = Writer<1, REQUEST_SLOTS>;
pub(crate) type AnswerReader = Reader<2, REQUEST_SLOTS>;

/// Levels and counts that both sides read without waiting.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    pub(crate) emergency_stop: AtomicBool,
    pub(crate) corrupted: AtomicU64,
    pub(crate) protocol: AtomicU64,
    /// Commands whose bytes changed between the network side and here.
    pub(crate) damaged: AtomicU64,
}

/// The ends that others hold.
pub(crate) struct Ends {
    pub(crate) commands: CommandWriter,
    pub(crate) network_requests: RequestWriter,
    pub(crate) bedside_requests: RequestWriter,
    pub(crate) bedside_answers: AnswerReader,
    pub(crate) network_states: StateReader,
    pub(crate) watch_states: StateReader,
    pub(crate) shared: Arc<Shared>,
}

/// The loop's own ends.
pub(crate) struct ServoLoop {
    commands: Reader<COMMAND_WORDS, COMMAND_SLOTS>,
    network_requests: Reader<1, REQUEST_SLOTS>,
    bedside_requests: Reader<1, REQUEST_SLOTS>,
    bedside_answers: Writer<2, REQUEST_SLOTS>,
    network_states: Writer<STATE_WORDS, STATE_SLOTS>,
    watch_states: Writer<STATE_WORDS, STATE_SLOTS>,
    shared: Arc<Shared>,
    doorbell: Doorbell,
    inbox: Vec<Inbound>,
    bedside_waiting: VecDeque<Request>,
    network_waiting: VecDeque<Request>,
}

/// Makes the mailboxes.
pub(crate) fn mailboxes(doorbell: Doorbell) -> (ServoLoop, Ends) {
    let shared = Arc::new(Shared::default());
    let (command_writer, commands) = Mailbox::pair();
    let (network_request_writer, network_requests) = Mailbox::pair();
    let (bedside_request_writer, bedside_requests) = Mailbox::pair();
    let (bedside_answers, bedside_answer_reader) = Mailbox::pair();
    let (network_states, network_state_reader) = Mailbox::pair();
    let (watch_states, watch_state_reader) = Mailbox::pair();
    let servo = ServoLoop {
        commands,
        network_requests,
        bedside_requests,
        bedside_answers,
        network_states,
        watch_states,
        shared: Arc::clone(&shared),
        doorbell,
        inbox: Vec::with_capacity(COMMAND_SLOTS),
        bedside_waiting: VecDeque::with_capacity(REQUEST_SLOTS),
        network_waiting: VecDeque::with_capacity(REQUEST_SLOTS),
    };
    let ends = Ends {
        commands: command_writer,
        network_requests: network_request_writer,
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
        let bedside = take_request(&mut self.bedside_requests, &mut self.bedside_waiting);
        let network = match bedside {
            Some(_) => None,
            None => take_request(&mut self.network_requests, &mut self.network_waiting),
        };
        let output = servo.turn(&Turn {
            now,
            scheduled_at,
            inbox: &self.inbox,
            emergency_stop: self.shared.emergency_stop.load(Ordering::Relaxed),
            peer_faults: PeerFaults {
                corrupted: self.shared.corrupted.load(Ordering::Relaxed),
                protocol: self.shared.protocol.load(Ordering::Relaxed),
            },
            request: bedside.or(network),
        });
        if let Some(request) = bedside {
            self.bedside_answers.push(&[code(request), answer_code(output.answer)]);
        }
        self.publish(&output.state);
    }

    /// Commands out of the mailbox; a bounded number, the newest survive.
    fn take_commands(&mut self) {
        self.inbox.clear();
        let (inbox, shared) = (&mut self.inbox, &self.shared);
        let room = u64::try_from(COMMAND_SLOTS).unwrap_or(0);
        let _drained = self.commands.drain(room, |words| match unpack(words) {
            Some(inbound) if inbox.len() < inbox.capacity() => inbox.push(inbound),
            Some(_) => {}
            None => {
                shared.damaged.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    fn publish(&mut self, state: &FollowerState) {
        let report = StateReport { state: *state, ..StateReport::default() };
        let bytes = wire::encode_state(&report);
        if let Some(words) = from_bytes::<STATE_WORDS>(&bytes) {
            self.network_states.push(&words);
            self.watch_states.push(&words);
        }
        self.doorbell.ring();
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
    Some(Inbound { command, received_at: Instant::from_micros(*received_at) })
}

/// A state out of a mailbox. `None` where it cannot be read, which a sound servo never writes.
pub(crate) fn unpack_state(words: &[u64; STATE_WORDS]) -> Option<FollowerState> {
    let mut bytes = [0; wire::STATE_LEN];
    to_bytes(words, &mut bytes);
    wire::decode_state(&bytes).ok().map(|report| report.state)
}

/// The oldest request that waits. One a tick: each gets a tick of its own and an answer of its own.
fn take_request(
    mailbox: &mut Reader<1, REQUEST_SLOTS>,
    waiting: &mut VecDeque<Request>,
) -> Option<Request> {
    let _drained = mailbox.drain(u64::MAX, |[word]| {
        let request = REQUESTS.iter().find(|r| code(**r) == *word).copied();
        if let Some(request) = request
            && waiting.len() < waiting.capacity()
        {
            waiting.push_back(request);
        }
    });
    waiting.pop_front()
}

const REQUESTS: [Request; 9] = [
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

/// Whether a request was refused, as a word in a mailbox.
pub(crate) const REFUSED: u64 = 0;

const fn answer_code(answer: Transition) -> u64 {
    match answer {
        Transition::Refuse => REFUSED,
        Transition::Stay | Transition::To(_) => 1,
    }
}
