//! A million turns of the servo allocate nothing: goal P4, and style.md's LOOP.
//!
//! Knows: every call to the allocator of this thread. Does not know: time; the turns run in virtual
//! time, as fast as they can.
//!
//! Counted is what the servo thread and its session do in a tick: judge each datagram, turn the
//! servo with both simulated arms, show the tap, write the state. The tap's ring is now emptied,
//! now full. So that nothing hides in a rare branch, the script loses commands, repeats them,
//! damages them, floods, cuts the link for every length that the stages tell apart, starts new
//! sessions, and presses the emergency stop. The leader's step and the console's tap are
//! counted the same way.
#![allow(clippy::indexing_slicing, reason = "a test reads its own arrays")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use longhand_benches::hand::{SteadyHand, robot_time, session_key};
use longhand_console::record::Health as ConsoleHealth;
use longhand_console::record::tap::tap as console_tap;
use longhand_console::record::tick::{AlarmLevel, Counts, LeaderTick};
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_follower::supervisor::Request;
use longhand_follower::{Follower, PeerFaults, TickOutput};
use longhand_leader::Leader;
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::HandSample;
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{Command, FollowerState, Stage, StateReport, Terms};
use longhand_protocol::session::{ConsoleSession, RobotSession};
use longhand_protocol::units::{Instant, Micros, Seq, TICK};
use longhand_protocol::wire::COMMAND_LEN;
use longhand_quic::pace::Tick;
use longhand_record::ring::RingReader;
use longhand_robot_agent::arm::simulated::{PSM_CLASSIC, SimulatedPsm};
use longhand_robot_agent::record::Health;
use longhand_robot_agent::record::tap::{COMMAND_WORDS, CommandWords, Tap, tap};
use longhand_robot_agent::servo::{HOME, Servo, Turn};
use std::sync::Arc;

/// The system's allocator, counting what the watched thread asks of it.
struct Counting;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no cell any more, and is not the one that is watched.
    let watched = WATCHED.try_with(Cell::get).unwrap_or(false);
    if watched {
        let _ = CALLS.try_with(|calls| calls.set(calls.get().saturating_add(1)));
    }
}

// SAFETY: every call goes on to the system's allocator unchanged; counting touches only two cells
// of the calling thread, which are made without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract, which is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls to the allocator that `work` makes on this thread.
fn calls_of<T>(work: impl FnOnce() -> T) -> (u64, T) {
    CALLS.set(0);
    WATCHED.set(true);
    let made = work();
    WATCHED.set(false);
    (CALLS.get(), made)
}

const TICKS: u64 = 1_000_000;
/// The script begins anew after this many ticks.
const SCENE: u64 = 20_000;
/// What the tap is shown of commands: as many bytes as they have, whatever they say.
static RECEIVED: [CommandWords; INBOX] = [[0; COMMAND_WORDS]; INBOX];
/// Commands that may wait for one turn. Chosen: past the playout ring's 256.
const INBOX: usize = 512;
/// Words of the tap's ring. Chosen: it fills while the recorder sleeps.
const RING: usize = 100_000;

#[test]
fn a_million_turns_allocate_nothing() {
    let mut bench = Bench::new();
    let (calls, seen) = calls_of(|| {
        let mut seen = Seen::default();
        for tick in 1..=TICKS {
            seen.note(&bench.turn(tick));
        }
        seen.refused = bench.refused;
        seen
    });
    println!("ticks in {:?}: {:?}; way {} m", Stage::ALL, seen.stages, seen.way_m);
    assert_eq!(calls, 0, "the servo path used the heap {calls} times in {TICKS} ticks");
    assert!(seen.stages.iter().all(|n| *n > 0), "a stage was never entered: {seen:?}");
    assert!(seen.stages[0] > TICKS / 2, "the robot hardly followed: {seen:?}");
    assert!(seen.way_m > 1.0, "the tips hardly moved: {seen:?}");
    assert!(seen.refused > TICKS / 200, "hardly anything was refused: {seen:?}");
    assert!(bench.sessions > TICKS / SCENE, "no session began anew: {seen:?}");
    let (lost, recorded) = (bench.health.lost(), bench.recorded);
    assert_eq!(lost + recorded + bench.left_in_the_ring(), TICKS);
    assert!(lost > 1_000 && recorded > TICKS / 2, "{lost} lost, {recorded} recorded");
}

/// The console's side of the same: the leader's step, the session's bytes, and the black box's tap,
/// whose ring is now emptied, now full.
#[test]
fn a_million_ticks_of_the_leader_and_its_tap_allocate_nothing() {
    let health = Arc::new(ConsoleHealth::default());
    let (mut tap, mut tapped) = console_tap(RING, &health);
    let mut message = Vec::with_capacity(RING);
    let mut leader = Leader::new(Terms::default(), 0.2);
    let key = session_key(1);
    let mut session = ConsoleSession::new(key);
    let (mut recorded, mut followed) = (0, 0_u64);
    let (calls, ()) = calls_of(|| {
        for n in 1..=TICKS {
            let at = n % SCENE;
            let now = Instant::from_micros(n * 1_000);
            // A pedal that goes up and down, a clutch, a robot that holds, a link that is silent.
            let mut sample = HandSample {
                sampled_at: now,
                valid_for: Micros::from_millis(50),
                operator_present: at > 100,
                clutch: (5_000..6_000).contains(&at),
                ..HandSample::default()
            };
            sample.hands.psm1.jaw = 1e-6 * f64::from(u32::try_from(at).unwrap_or(0));
            let stage = if (8_000..9_000).contains(&at) { Stage::Latched } else { Stage::Follow };
            let state = FollowerState {
                robot_time: robot_time(n),
                stage,
                loop_age: Micros::from_millis(5),
                ..FollowerState::default()
            };
            let report = StateReport { key, number: Seq::new(n), state };
            let heard = (!(10_000..11_000).contains(&at)).then_some(&report);
            let output = leader.step(now, &sample, heard);
            followed += u64::from(output.engagement == Engagement::Following);
            let bytes = session.send(&output.intent);
            tap.see(&LeaderTick {
                tick: &Tick { scheduled_at: now, woke_at: now, missed: 0 },
                sample: &sample,
                output: &output,
                command: Some((session.sent(), &bytes)),
                newest: heard.map(|report| (report, now)),
                is_current: heard.is_some(),
                counts: Counts::default(),
                alarms: AlarmLevel::of(n % 1_024),
            });
            while at > SCENE / 5 && tapped.next(&mut message) {
                recorded += 1;
            }
        }
    });
    assert_eq!(calls, 0, "the leader's path used the heap {calls} times in {TICKS} ticks");
    while tapped.next(&mut message) {
        recorded += 1;
    }
    let lost = health.lost();
    assert_eq!(lost + recorded, TICKS);
    assert!(lost > 1_000 && recorded > TICKS / 2, "{lost} lost, {recorded} recorded");
    assert!(followed > TICKS / 2 && followed < TICKS, "{followed} followed");
}

#[test]
fn an_allocation_is_counted() {
    let (calls, _) = calls_of(|| drop(std::hint::black_box(Box::new([0_u8; 64]))));
    assert_eq!(calls, 2, "one alloc and one dealloc");
    let (calls, grown) = calls_of(|| {
        let mut grown = std::hint::black_box(vec![1_u64]);
        grown.push(2);
        grown
    });
    assert_eq!((calls, grown.len()), (2, 2), "one alloc and one realloc");
}

/// What the run passed through, to show that it was no walk in the park.
#[derive(Debug, Default)]
struct Seen {
    /// Ticks in each stage, in the order of `Stage::ALL`.
    stages: [u64; Stage::ALL.len()],
    /// How far the first arm's tip was told to go.
    way_m: f64,
    /// Datagrams that the session refused.
    refused: u64,
    last: Option<FollowerState>,
}

impl Seen {
    fn note(&mut self, output: &TickOutput) {
        let state = output.state;
        for (ticks, stage) in self.stages.iter_mut().zip(Stage::ALL) {
            *ticks += u64::from(stage == state.stage);
        }
        if let Some(last) = self.last {
            let (from, to) = (last.arms.psm1.setpoint_cp, state.arms.psm1.setpoint_cp);
            self.way_m += from.mismatch(&to).distance_m;
        }
        self.last = Some(state);
    }
}

/// Console, wire and robot, without a link: what arrives is the script's to say.
struct Bench {
    hand: SteadyHand,
    console: ConsoleSession,
    robot: RobotSession,
    servo: Servo<SimulatedPsm>,
    inbox: [Inbound; INBOX],
    /// Datagrams that the script kept back, to send them all at once.
    kept: [[u8; COMMAND_LEN]; INBOX],
    kept_len: usize,
    state: FollowerState,
    sessions: u64,
    refused: u64,
    chance: u64,
    tap: Tap,
    tapped: RingReader,
    message: Vec<u64>,
    health: Arc<Health>,
    recorded: u64,
}

impl Bench {
    fn new() -> Self {
        let key = session_key(1);
        let (joints, jaw) = HOME;
        let arm = SimulatedPsm::new(&PSM_CLASSIC, &joints, jaw, robot_time(0));
        let empty =
            Inbound { command: Command::default(), received_at: robot_time(0), checksum: 0 };
        let health = Arc::new(Health::default());
        let (tap, tapped) = tap(RING, &health);
        Self {
            hand: SteadyHand::default(),
            console: ConsoleSession::new(key),
            robot: RobotSession::new(key),
            servo: Servo::new(
                Follower::new(Profile::DEFAULT),
                PerArm { psm1: arm.clone(), psm2: arm },
            ),
            inbox: [empty; INBOX],
            kept: [[0; COMMAND_LEN]; INBOX],
            kept_len: 0,
            state: FollowerState::default(),
            sessions: 1,
            refused: 0,
            chance: 0x9e37_79b9_7f4a_7c15,
            tap,
            tapped,
            // The recorder's, which may use the heap; here it must not be counted.
            message: Vec::with_capacity(RING),
            health,
            recorded: 0,
        }
    }

    /// One millisecond: the hand's command, what the script does to it, and the robot's turn.
    fn turn(&mut self, tick: u64) -> TickOutput {
        let at = tick % SCENE;
        if at == 0 || self.state.stage == Stage::Bedside {
            // A new session, with a higher epoch, as after a reconnect. Once the bedside had the
            // robot, the old session's commands are dead.
            self.sessions += 1;
            let key = session_key(self.sessions);
            (self.console, self.robot) = (ConsoleSession::new(key), RobotSession::new(key));
        }
        let intent = self.hand.intent(tick, &self.state);
        let datagram = self.console.send(&intent);
        let taken = self.deliver(tick, &datagram);
        let late = if at == 9_000 { 12 } else { 0 };
        let due = robot_time(tick);
        let turn = Turn {
            now: due.after(TICK.saturating_mul(late)),
            scheduled_at: due,
            inbox: &self.inbox[..taken],
            emergency_stop: at == 17_000,
            // Once a scene the session finds that the peer contradicts itself.
            peer_faults: PeerFaults { corrupted: 0, protocol: (tick + 5_000) / SCENE },
            request: request(at, self.state.stage),
        };
        let (tap, received) = (&mut self.tap, &RECEIVED[..taken]);
        let output = self.servo.turn_seen(&turn, |input, output| tap.see(input, output, received));
        // A recorder that sleeps for the first fifth of each scene.
        while at > SCENE / 5 && self.tapped.next(&mut self.message) {
            self.recorded += 1;
        }
        self.state = output.state;
        // The state goes home as bytes, as in the agent.
        std::hint::black_box(self.robot.report(output.state));
        output
    }

    fn left_in_the_ring(&mut self) -> u64 {
        let mut left = 0;
        while self.tapped.next(&mut self.message) {
            left += 1;
        }
        left
    }

    /// What the script lets through in this tick; says how many commands the robot believed.
    fn deliver(&mut self, tick: u64, datagram: &[u8; COMMAND_LEN]) -> usize {
        let at = tick % SCENE;
        // Silences just past each stage's threshold: Coast, Brake, Hold, Latched, Bedside.
        let silences = [(3_000, 30), (4_000, 40), (5_000, 90), (6_500, 260), (12_000, 3_100)];
        if silences.iter().any(|(from, long)| (*from..from + long).contains(&at)) {
            return 0;
        }
        if (10_000..10_250).contains(&at) {
            // Kept back, to come as one flood.
            self.kept[self.kept_len] = *datagram;
            self.kept_len += 1;
            return 0;
        }
        let mut taken = 0;
        for n in 0..std::mem::take(&mut self.kept_len) {
            let kept = self.kept[n];
            taken += self.judge(tick, &kept, taken);
        }
        let dice = self.dice();
        if dice < 20 {
            return taken; // Lost: 2 %.
        }
        let mut damaged = *datagram;
        damaged[usize::try_from(dice).unwrap_or(0) % COMMAND_LEN] ^= 1;
        if dice < 30 {
            taken += self.judge(tick, &damaged, taken);
            taken += self.judge(tick, &damaged[..50], taken);
        }
        taken += self.judge(tick, datagram, taken);
        if dice > 980 {
            taken += self.judge(tick, datagram, taken); // Twice.
        }
        taken
    }

    /// 1 where the session believes the datagram, which is then in the inbox.
    fn judge(&mut self, tick: u64, datagram: &[u8], place: usize) -> usize {
        match self.robot.handle_datagram(robot_time(tick), datagram) {
            Ok(accepted) => {
                let (command, received_at) = (accepted.command, accepted.received_at);
                self.inbox[place] = Inbound { command, received_at, checksum: 0 };
                1
            }
            Err(_counted) => {
                self.refused += 1;
                0
            }
        }
    }

    /// A number below 1000. Xorshift, Marsaglia 2003; the seed is fixed, so every run is this one.
    fn dice(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % 1_000
    }
}

/// What the bedside asks: whatever brings the robot back to work.
fn request(at: u64, stage: Stage) -> Option<Request> {
    match stage {
        Stage::SafeOff => (at > 17_100).then_some(Request::Restart),
        Stage::Disabled => Some(Request::Enable),
        Stage::Bedside => Some(Request::HandOver),
        Stage::Follow | Stage::Coast | Stage::Brake | Stage::Hold | Stage::Latched => None,
    }
}
