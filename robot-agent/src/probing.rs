//! Answers to probes: how the link is measured while nobody holds the robot.
//!
//! Knows: which runs go on, and what has come of each. Does not know: sessions, leases or commands,
//! and has no way to any of them: what measures can neither arm nor move.
//!
//! One measures at a time: two would be each other's load, and neither would know. Whose
//! certificate measures is told to whoever else asks; of one certificate the newest run goes on,
//! since the one before may be of a console that is no more.
//!
//! Bounds, and what happens when they are reached: eight runs are remembered, the oldest is
//! forgotten; 64 answers wait, the newest is dropped; the twin answers 4000 probes a second, and
//! path probes (`path`) with 64 Mbit/s and 512 MB a run; a load inside a session (`filling`) with
//! as much. The twin reads 200 datagrams in 10 ms and then sleeps until these are over: of a flood
//! the kernel drops the rest, and a thread of real-time priority never keeps a processor.
//!
//! The *twin* answers the same bytes on a UDP socket of its own, so that QUIC's own cost can be
//! seen. It is off unless asked for, knows only runs that a certificate has begun, and answers only
//! to the address that the certificate came from: nobody can have it answer to somebody else.

mod awake;
mod filling;
mod path;

use longhand_protocol::message::Frame;
use longhand_protocol::message::Refusal;
use longhand_protocol::probe::{PATH_BYTES_MAX, ProbeAnswer, Receipts};
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_protocol::wire;
use longhand_quic::clock::{robot_now, wall_offset_us};
use longhand_quic::doorbell::Stop;
use longhand_quic::marked::{MarkedSocket, NO_MARK};
use longhand_quic::pace::{Priority, RealTime};
use longhand_quic::pump::{Close, CloseCode};
use longhand_quic::trust::PeerIdentity;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Runs remembered at once. Chosen: twice as many as may look at a time.
const RUNS_MAX: usize = 8;
/// Answers that may wait on one connection. Chosen: one datagram is answered before the next is
/// read; more than one never waits.
const WAITING_MAX: usize = 64;
/// Probes that the twin answers in a second. Chosen: twice the fastest schedule there is (2 kHz).
const TWIN_PER_SECOND: u64 = 4_000;
/// Below the pump's (70): a flood on the twin's port must not delay what may command.
const TWIN_PRIORITY: Priority = Priority::new(60);
/// The twin's turns. Chosen: short against what a link adds, long against what a sleep costs.
const TURN: Micros = Micros::from_millis(10);
/// Datagrams that the twin reads in one. Chosen: 20000 a second, above probes, a load of 50 Mbit/s
/// (5200 a second) and questions together.
const READS_A_TURN: u32 = 200;
/// How long the twin goes on behind the end of a connection. A hole ends the session after three
/// seconds, and where the twin fell silent with it, what came through would be taken for lost.
/// Chosen: longer than a session takes to come back; it tells nobody new anything.
const TWIN_OUTLIVES: Micros = Micros::from_secs(30);
/// How often the twin looks whether it is to end.
const TWIN_LOOKS_EVERY: Duration = Duration::from_millis(200);

/// What has come of the newest runs. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Runs {
    known: Arc<Mutex<VecDeque<Run>>>,
    filled: Arc<Mutex<filling::Second>>,
    twin_port: u16,
}

struct Run {
    /// Whose, by certificate.
    fingerprint: String,
    /// The same for people.
    who: String,
    /// Another of the same certificate has begun.
    is_replaced: bool,
    run: u64,
    /// Where its console is.
    from: IpAddr,
    receipts: Receipts,
    twin: Receipts,
    path: path::Counted,
    filled: path::Counted,
    /// How the pump's thread does, as of its last stall.
    awake: awake::Awake,
    /// Connections that measure with it now.
    live: u32,
    /// When the last of them was lost; `None`: none was, or it was ended for a surgeon.
    lost_at: Option<Instant<Robot>>,
}

impl Runs {
    /// Also binds the twin's socket, where one is wanted.
    pub(crate) fn with_twin(at: Option<SocketAddr>) -> io::Result<(Self, Option<Twin>)> {
        let mut runs = Self::default();
        let Some(at) = at else { return Ok((runs, None)) };
        let socket = MarkedSocket::bind(at, TWIN_LOOKS_EVERY)?;
        runs.twin_port = socket.local_addr()?.port();
        Ok((runs.clone(), Some(Twin { socket, runs })))
    }

    /// A surgeon has come: the twin answers nobody whose connection was lost.
    pub(crate) fn fall_silent(&self) {
        self.lock().iter_mut().for_each(|run| run.lost_at = None);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Run>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection measures.
pub(crate) struct Measuring {
    runs: Runs,
    fingerprint: String,
    who: String,
    from: IpAddr,
    run: Option<u64>,
    waiting: VecDeque<ProbeAnswer>,
    filling: filling::Filling,
    awake: awake::Awake,
}

impl Measuring {
    pub(crate) fn new(runs: Runs, peer: &PeerIdentity, from: SocketAddr) -> Self {
        let (fingerprint, from) = (peer.fingerprint.clone(), from.ip());
        let waiting = VecDeque::with_capacity(WAITING_MAX);
        let (filling, awake) = (filling::Filling::default(), awake::Awake::default());
        let who = peer.to_string();
        Self { runs, fingerprint, who, from, run: None, waiting, filling, awake }
    }

    /// Begins a run, or goes on with one of this certificate's.
    ///
    /// Errors: somebody else measures.
    pub(crate) fn begin(&mut self, run: u64) -> Result<Frame, Close> {
        self.end(Some(robot_now()));
        let mut known = self.runs.lock();
        let is_other = |one: &&Run| one.live > 0 && one.fingerprint != self.fingerprint;
        if let Some(other) = known.iter().find(is_other) {
            let words = format!(
                "{} at {} measures this robot's link now, and two at once would be each other's \
                 load: try again when that is over",
                other.who, other.from
            );
            return Err(Close::new(CloseCode::Refused, words));
        }
        let is_mine = |one: &Run| one.run == run && one.fingerprint == self.fingerprint;
        // A run that was ended by a newer one comes back by itself when its console reconnects.
        let is_newer_live = known.iter().any(|one| one.live > 0 && !is_mine(one));
        if is_newer_live && known.iter().any(|one| is_mine(one) && one.is_replaced) {
            return Err(over(ANOTHER));
        }
        for other in known.iter_mut().filter(|other| other.run != run) {
            other.is_replaced = true;
        }
        let mine = |known: &&mut Run| known.run == run && known.fingerprint == self.fingerprint;
        if let Some(mine) = known.iter_mut().find(mine) {
            mine.from = self.from;
            mine.is_replaced = false;
            mine.live = mine.live.saturating_add(1);
        } else {
            // Never one that is measured with: of those there is one a connection at most.
            if known.len() >= RUNS_MAX
                && let Some(oldest) = known.iter().position(|known| known.live == 0)
            {
                known.remove(oldest);
            }
            known.push_back(Run {
                fingerprint: self.fingerprint.clone(),
                who: self.who.clone(),
                is_replaced: false,
                run,
                from: self.from,
                receipts: Receipts::new(),
                twin: Receipts::new(),
                path: path::Counted::default(),
                filled: path::Counted::default(),
                awake: awake::Awake::default(),
                live: 1,
                lost_at: None,
            });
        }
        drop(known);
        self.run = Some(run);
        self.awake = awake::Awake::default();
        Ok(Frame::ProbeReady { run, twin_port: self.runs.twin_port })
    }

    /// The thread that answers runs: to be said each tick.
    pub(crate) fn look(&mut self, now: Instant<Robot>) {
        let Some(run) = self.run else { return };
        if let Some(stalled) = self.awake.look(now) {
            // The machine may have stood still altogether, and the twin's thread with it.
            let _known = self.with_mine(run, |mine| mine.awake = stalled);
        }
    }

    /// Takes a datagram, if it is a probe, or part of a load, of this connection's run.
    pub(crate) fn take(&mut self, now: Instant<Robot>, bytes: &[u8]) -> bool {
        let Some(run) = self.run else { return false };
        let Some(probe) = wire::decode_probe(bytes).ok().filter(|probe| probe.run == run) else {
            return self.fill(now, run, bytes);
        };
        self.look(now);
        let taken = self.with_mine(run, |mine| mine.receipts.take(&probe, now));
        if let Some(Some(answer)) = taken
            && self.waiting.len() < WAITING_MAX
        {
            self.waiting.push_back(ProbeAnswer { stalled: self.awake.stalled(now), ..answer });
        }
        taken.is_some()
    }

    /// The next answer, stamped and written; its length in bytes. Probes before any load.
    pub(crate) fn answer(&mut self, now: Instant<Robot>, buf: &mut [u8]) -> Option<usize> {
        let Some(answer) = self.waiting.pop_front() else { return self.fill_back(now, buf) };
        let bytes = written(answer, now);
        buf.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some(bytes.len())
    }

    /// Why this connection is to be closed: somebody has come to hold the robot meanwhile, or this
    /// certificate measures anew.
    pub(crate) fn must_end(&mut self, may: Result<(), Refusal>) -> Option<Close> {
        let run = self.run?;
        let is_replaced = self.with_mine(run, |mine| mine.is_replaced) == Some(true);
        let words = match may {
            Err(refusal) => refusal.why.advice(),
            Ok(()) if is_replaced => ANOTHER,
            Ok(()) => return None,
        };
        // Where a surgeon has come the twin does not outlive the session.
        self.end(None);
        Some(over(words))
    }

    /// This connection measures no more; since when the twin outlives it, if it does.
    fn end(&mut self, lost_at: Option<Instant<Robot>>) {
        let Some(run) = self.run.take() else { return };
        let _over = self.with_mine(run, |mine| {
            mine.live = mine.live.saturating_sub(1);
            mine.lost_at = lost_at;
        });
    }

    /// Does something with this certificate's run; `None` where there is none.
    fn with_mine<T>(&self, run: u64, act: impl FnOnce(&mut Run) -> T) -> Option<T> {
        let mut known = self.runs.lock();
        known.iter_mut().find(|one| one.run == run && one.fingerprint == self.fingerprint).map(act)
    }
}

/// Why a run of the same certificate is over.
const ANOTHER: &str = "another of the same certificate has begun";

fn over(words: &str) -> Close {
    Close::new(CloseCode::Refused, format!("the measurement is over: {words}"))
}

impl Drop for Measuring {
    fn drop(&mut self) {
        self.end(Some(robot_now()));
    }
}

fn written(mut answer: ProbeAnswer, now: Instant<Robot>) -> [u8; wire::PROBE_ANSWER_LEN] {
    answer.answered_at = now;
    answer.wall_offset_us = wall_offset_us();
    wire::encode_probe_answer(&answer)
}

/// Answers probes without QUIC.
pub(crate) struct Twin {
    socket: MarkedSocket,
    runs: Runs,
}

impl Twin {
    /// Answers until stopped. Blocks: this thread is the twin's.
    pub(crate) fn run(self, stop: &Stop, real_time: bool) {
        let _held = real_time.then(|| RealTime::acquire(TWIN_PRIORITY, None));
        let mut buf = vec![0; usize::from(PATH_BYTES_MAX) + 1];
        let mut out = vec![0; usize::from(PATH_BYTES_MAX)];
        let (mut second, mut answered) = (robot_now(), 0_u64);
        let mut kept = path::Kept::default();
        let mut turn = Turn::default();
        while !stop.is_stopped() {
            kept.answer_due(robot_now(), &self, &mut out);
            let Ok(came) = self.socket.recv(&mut buf) else { continue };
            let now = robot_now();
            if let Some(rest) = turn.read(now) {
                std::thread::sleep(Duration::from_micros(rest.as_micros()));
            }
            if now.since(second) >= Micros::from_secs(1) {
                (second, answered) = (now, 0);
                kept.begin_second();
            }
            let bytes = buf.get(..came.len).unwrap_or_default();
            if let Ok(probe) = wire::decode_path_probe(bytes) {
                kept.take(now, &probe, &came, &self, &mut out);
                continue;
            }
            if answered >= TWIN_PER_SECOND {
                continue;
            }
            let waited = came.waited.filter(|waited| *waited >= awake::STALL_MIN);
            let waited = waited.unwrap_or(Micros::ZERO);
            if let Some(answer) = self.take(now, bytes, came.from.ip(), waited) {
                answered = answered.saturating_add(1);
                // What the system does not take now is a lost answer, which the run will show.
                let _lost = self.socket.send_to(&written(answer, robot_now()), NO_MARK, came.from);
            }
        }
    }

    /// Does something with a live run at its own address; `None` where there is none.
    fn with_run<T>(
        &self,
        twin_run: u64,
        from: IpAddr,
        act: impl FnOnce(&mut Run) -> T,
    ) -> Option<T> {
        self.with_known(twin_run, from, |known| (known.live > 0).then(|| act(known)))?
    }

    /// The same with a run that may be over.
    fn with_known<T>(
        &self,
        twin_run: u64,
        from: IpAddr,
        act: impl FnOnce(&mut Run) -> T,
    ) -> Option<T> {
        let mut known = self.runs.lock();
        // The twin's run is the run with its bits inverted, so that neither is taken for the other.
        let mine = known.iter_mut().find(|known| known.run == !twin_run && known.from == from);
        mine.map(act)
    }

    /// `waited`: how long it lay in the socket, where that was long.
    fn take(
        &self,
        now: Instant<Robot>,
        bytes: &[u8],
        from: IpAddr,
        waited: Micros,
    ) -> Option<ProbeAnswer> {
        let probe = wire::decode_probe(bytes).ok()?;
        self.with_known(probe.run, from, |known| {
            // What came has come, also where nobody is answered: a later answer tells of it.
            let stalled = known.awake.stalled(now).max(waited);
            let answer = known.twin.take(&probe, now).filter(|_| known.twin_lives(now));
            answer.map(|answer| ProbeAnswer { stalled, ..answer })
        })?
    }
}

impl Run {
    /// Whether its probes are answered on plain UDP: while a connection measures with it, and for a
    /// while behind one that was lost.
    fn twin_lives(&self, now: Instant<Robot>) -> bool {
        let lost = self.lost_at.is_some_and(|at| now.since(at) < TWIN_OUTLIVES);
        self.live > 0 || lost
    }
}

/// What the twin has read in this turn.
#[derive(Debug, Default)]
struct Turn {
    begun: Option<Instant<Robot>>,
    reads: u32,
}

impl Turn {
    /// One more was read; how long to rest now, where that was the last of this turn.
    fn read(&mut self, now: Instant<Robot>) -> Option<Micros> {
        let begun = *self.begun.get_or_insert(now);
        if now.since(begun) >= TURN {
            *self = Self { begun: Some(now), reads: 0 };
        }
        self.reads = self.reads.saturating_add(1);
        if self.reads < READS_A_TURN {
            return None;
        }
        let rest = TURN.saturating_sub(now.since(self.begun.take()?));
        self.reads = 0;
        Some(rest).filter(|rest| *rest > Micros::ZERO)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use longhand_protocol::message::RefusalKind;
    use longhand_protocol::probe::Probe;
    use longhand_quic::trust::Role;
    use std::time::SystemTime;

    pub(super) fn engineer() -> PeerIdentity {
        PeerIdentity {
            role: Role::Engineer,
            name: "ann".to_owned(),
            robot: None,
            serial: String::new(),
            fingerprint: "print of ann".to_owned(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_twin_answers_a_live_run_at_its_own_address_and_nobody_else() {
        let (runs, twin) = Runs::with_twin(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let twin = twin.unwrap();
        let (here, elsewhere) = ([10, 0, 0, 2].into(), [10, 0, 0, 3].into());
        let mut ann = Measuring::new(runs, &engineer(), SocketAddr::new(here, 9));
        let probe = |run: u64, number| {
            wire::encode_probe(&Probe { run, number, ..Probe::default() }).to_vec()
        };
        let now = Instant::from_micros(5);
        assert!(twin.take(now, &probe(!7, 1), here, Micros::ZERO).is_none(), "no such run yet");
        let ready = ann.begin(7).unwrap();
        assert!(matches!(ready, Frame::ProbeReady { run: 7, twin_port } if twin_port > 0));
        assert!(
            twin.take(now, &probe(!7, 1), elsewhere, Micros::ZERO).is_none(),
            "it would hit a stranger"
        );
        assert!(twin.take(now, &probe(7, 1), here, Micros::ZERO).is_none(), "the other road's run");
        assert_eq!(twin.take(now, &probe(!7, 1), here, Micros::ZERO).unwrap().received, 1);
        assert!(twin.take(now, &probe(!7, 1), here, Micros::ZERO).is_none(), "a copy");
        assert!(twin.take(now, b"nonsense", here, Micros::ZERO).is_none());
        // A hole ended the session, not the measurement: what comes through is still told.
        let lost = robot_now();
        ann.end(Some(robot_now()));
        assert_eq!(twin.take(lost, &probe(!7, 2), here, Micros::ZERO).unwrap().received, 2);
        let later = robot_now().after(TWIN_OUTLIVES);
        assert!(twin.take(later, &probe(!7, 3), here, Micros::ZERO).is_none(), "nobody came back");
        let _ready = ann.begin(7);
        // Numbers 1 to 4: also the third had come.
        assert_eq!(twin.take(later, &probe(!7, 4), here, Micros::ZERO).unwrap().received, 4);
        ann.end(Some(robot_now()));
        twin.runs.fall_silent();
        let now = robot_now();
        assert!(
            twin.take(now, &probe(!7, 5), here, Micros::ZERO).is_none(),
            "a surgeon holds the robot"
        );
        let _ready = ann.begin(7);
        let held = Refusal { why: RefusalKind::LeaseHeld, expected: 0, got: 0 };
        assert!(ann.must_end(Err(held)).is_some());
        assert!(twin.take(now, &probe(!7, 5), here, Micros::ZERO).is_none(), "a surgeon has come");
    }

    #[test]
    fn both_roads_tell_what_lay_unread_while_this_machine_stalled() {
        let (runs, twin) = Runs::with_twin(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let (twin, here) = (twin.unwrap(), [10, 0, 0, 2].into());
        let mut ann = Measuring::new(runs, &engineer(), SocketAddr::new(here, 9));
        let _ready = ann.begin(7).unwrap();
        let at = |ms: u64| Instant::from_micros(1_000_000 + ms * 1_000);
        let probe = |run, number| wire::encode_probe(&Probe { run, number, ..Probe::default() });
        let mut both = |number, ms, waited| {
            assert!(ann.take(at(ms), &probe(7, number)));
            let mut buf = [0; wire::PROBE_ANSWER_LEN];
            ann.answer(at(ms), &mut buf).unwrap();
            let beside = twin.take(at(ms), &probe(!7, number), here, waited).unwrap();
            [wire::decode_probe_answer(&buf).unwrap(), beside].map(|answer| answer.stalled)
        };
        let ms = Micros::from_millis;
        assert_eq!(both(1, 0, ms(0)), [ms(0); 2]);
        assert_eq!(both(2, 1, ms(0)), [ms(0); 2]);
        // The pump's thread did not run for 40 ms, and then reads what came.
        assert_eq!(both(3, 41, ms(0)), [ms(40); 2]);
        assert_eq!(both(4, 42, ms(0)), [ms(41); 2]);
        assert_eq!(both(5, 44, ms(0)), [ms(43); 2]);
        assert_eq!(both(6, 46, ms(0)), [ms(0); 2], "read behind its backlog");
        assert_eq!(both(7, 47, ms(9)), [ms(0), ms(9)], "the twin's own thread was late");
    }

    #[test]
    fn a_flood_costs_the_twin_no_more_than_its_turn() {
        let (mut turn, mut now, mut read) = (Turn::default(), 1_000_000_u64, 0_u32);
        // A datagram every microsecond, for a second.
        while now < 2_000_000 {
            read += 1;
            let rest = turn.read(Instant::from_micros(now));
            now += 1 + rest.map_or(0, Micros::as_micros);
        }
        assert!((99 * READS_A_TURN..=101 * READS_A_TURN).contains(&read), "{read}");
        // What comes evenly below the bound is never kept waiting.
        let mut turn = Turn::default();
        let evenly = (0..20_000_u64).map(|n| Instant::from_micros(n * 51));
        assert_eq!(evenly.filter_map(|now| turn.read(now)).count(), 0);
    }

    #[test]
    fn who_comes_second_is_told_who_measures_and_the_same_certificate_begins_anew() {
        let runs = Runs::default();
        let [at, elsewhere] = [2, 3].map(|host| SocketAddr::from(([10, 0, 0, host], 9)));
        let mut ann = Measuring::new(runs.clone(), &engineer(), at);
        let _ready = ann.begin(7).unwrap();
        let bob = PeerIdentity {
            name: "bob".to_owned(),
            fingerprint: "print of bob".to_owned(),
            ..engineer()
        };
        let mut bob = Measuring::new(runs.clone(), &bob, elsewhere);
        let refused = bob.begin(8).unwrap_err();
        assert_eq!(refused.code, CloseCode::Refused);
        let words = "engineer \"ann\" at 10.0.0.2 measures this robot's link now";
        assert!(refused.reason.starts_with(words), "{refused}");
        assert!(bob.must_end(Ok(())).is_none() && ann.must_end(Ok(())).is_none());
        // She comes over a new connection, the old one not yet known to be lost; or begins anew.
        let mut again = Measuring::new(runs.clone(), &engineer(), at);
        let _ready = again.begin(7).unwrap();
        assert!(ann.must_end(Ok(())).is_none());
        let mut anew = Measuring::new(runs.clone(), &engineer(), at);
        let _ready = anew.begin(9).unwrap();
        assert!(again.must_end(Ok(())).unwrap().reason.contains("same certificate"));
        assert!(ann.must_end(Ok(())).is_some() && anew.must_end(Ok(())).is_none());
        // Her older console connects again by itself: the newest run goes on.
        let mut back = Measuring::new(runs.clone(), &engineer(), at);
        assert!(back.begin(7).unwrap_err().reason.contains("same certificate"));
        assert!(anew.must_end(Ok(())).is_none());
        assert!(bob.begin(8).is_err());
        drop(anew);
        assert!(bob.begin(8).is_ok());
    }

    #[test]
    fn the_ninth_run_forgets_the_oldest_that_nobody_measures_with() {
        let runs = Runs::default();
        let at = SocketAddr::from(([10, 0, 0, 2], 9));
        let mut all: Vec<Measuring> = Vec::new();
        for run in 0..9_u64 {
            let mut one = Measuring::new(runs.clone(), &engineer(), at);
            let _ready = one.begin(run);
            all.push(one);
        }
        let probe = |run| wire::encode_probe(&Probe { run, number: 1, ..Probe::default() });
        let now = Instant::from_micros(5);
        assert!(all[0].take(now, &probe(0)), "nine that are measured with");
        all[1].end(Some(robot_now()));
        let mut tenth = Measuring::new(runs.clone(), &engineer(), at);
        let _ready = tenth.begin(9);
        let _forgotten = all[1].begin(1);
        assert_eq!(runs.lock().iter().map(|run| run.run).collect::<Vec<_>>()[8..], [9, 1]);
        assert!(all[0].take(now, &probe(0)), "the oldest, and live");
        assert!(all[8].take(now, &probe(8)));
        assert!(all[8].answer(now, &mut [0; wire::PROBE_ANSWER_LEN]).is_some());
    }
}
