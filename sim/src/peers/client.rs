//! A client of irtt's protocol 1: measures against any irtt server.
//!
//! Knows: the schedule, what came back, and what the server tells of what came to it. Does not
//! know: statistics (`longhand_qualify`), or how a figure is shown.
//!
//! As everywhere here: probes go out on absolute time, and every delay is counted from when the
//! probe was *due*. On which way a probe was lost the server tells in each answer: of the 64 probes
//! before it one by one, and of all by their count. Of a longer hole the count says which way it
//! was where none of it came, or all; where some did nobody knows which, and that is what is said.
//! A copy would be counted as a probe, so where answers came twice no count says that all came.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use irtt_proto::{
    Clock, EchoReply, FLAG_CLOSE, PROTOCOL_VERSION, Params, ProtoError, ReceivedStats,
    RequestToEncode, StampAt, decode_echo_reply, decode_open_reply, echo_packet_len,
    encode_request,
};
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_qualify::measure::{Given, Measures, measure as measured};
use longhand_qualify::slot::{Fate, Slot};
use longhand_quic::clock::console_now;
use longhand_quic::pace::{PUMP_PRIORITY, RealTime, Ticker};

use super::LONGEST;

/// How long an open is waited for, each time twice as long. Source: irtt's client, `--timeouts`.
const OPEN_WAITS_S: [u64; 4] = [1, 2, 4, 8];
/// What comes so long after the last probe is lost. Source: irtt's client, `--wait`.
const LAST_WAIT: Micros = Micros::from_secs(4);
/// How often the reading thread looks whether it is to end.
const LOOKS_EVERY: Duration = Duration::from_millis(50);
/// Probes of a run. Chosen: an hour at 1 kHz, 130 MB.
pub const PROBES_MAX: u64 = 3_600_000;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The server.
    pub to: SocketAddr,
    /// How long.
    pub lasts: Micros,
    /// Probes a second.
    pub rate_hz: u64,
    /// Bytes of a probe; more where the protocol needs them.
    pub bytes: u64,
    /// The server's key.
    pub key: Option<Vec<u8>>,
}

/// What came of it.
pub struct Found {
    /// Each slot of the schedule.
    pub slots: Vec<Slot>,
    /// What is known beside.
    pub given: Given,
    /// What it measured.
    pub measures: Measures,
    /// Whether the server stamps its answers: without, one-way figures are halves.
    pub is_stamped: bool,
    /// Whether it tells what came to it: without, nobody knows on which way a probe was lost.
    pub tells_way: bool,
    /// Bytes of a probe.
    pub bytes: usize,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ClientError {
    /// The socket.
    #[error("cannot reach {to}: {why}")]
    #[diagnostic(help("check the address, and this machine's network"))]
    Socket {
        /// Whom.
        to: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// No answer to an open.
    #[error("no irtt server answers at {to}")]
    #[diagnostic(help(
        "start one there (`irtt server`, or `longhand-sim link reflect --irtt ADDRESS:PORT`), let \
         UDP through, and say --hmac-key-file where it has a key"
    ))]
    Silent {
        /// Who did not.
        to: SocketAddr,
    },
    /// It answered that it will not.
    #[error("the server at {to} refuses to be measured against")]
    #[diagnostic(help("ask whoever runs it"))]
    Refused {
        /// Who.
        to: SocketAddr,
    },
    /// It grants less than was asked.
    #[error("the server at {to} grants {what}")]
    #[diagnostic(help("ask for that, or have its limits raised (`irtt server -i`, `-d`, `-l`)"))]
    Restricted {
        /// Who.
        to: SocketAddr,
        /// What it grants.
        what: String,
    },
    /// More probes than memory is kept for.
    #[error("{asked} probes are more than the {PROBES_MAX} of one run")]
    #[diagnostic(help("say a shorter --for or a lower --rate"))]
    Long {
        /// How many.
        asked: u64,
    },
    /// What cannot be said in the protocol.
    #[error("the request cannot be written: {0}")]
    #[diagnostic(help("this is a bug"))]
    Proto(ProtoError),
}

/// What became of one probe, while it may still change.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    spans: Option<(i32, i32)>,
    turn_16us: u8,
    is_reordered: bool,
    is_twice: bool,
    /// The server told of it: that it came, or of a later one that this had not.
    came: bool,
    missing: bool,
}

impl Entry {
    /// Whether it surely came to the server.
    const fn had_come(&self) -> bool {
        self.came || self.spans.is_some()
    }
}

/// All probes of a run, and what is known of them.
#[derive(Debug)]
pub struct Book {
    period_us: u64,
    entries: Vec<Entry>,
    offset_us: Option<i64>,
    newest: Option<u32>,
    /// The newest answer that told how many had come: its number, and how many.
    counted: Option<(u32, u32)>,
    has_copies: bool,
}

/// One answer, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Which probe's.
    pub sequence: u32,
    /// When it came, from the begin, us.
    pub came_us: u64,
    /// When the server had the probe, and when it answered, on its own clock, us.
    pub server_us: Option<(i64, i64)>,
    /// Which of the 64 probes up to this one the server had had; bit 0 is this one.
    pub window: Option<u64>,
    /// How many probes of the session the server had had.
    pub count: Option<u32>,
}

impl Book {
    /// Of so many probes, so far apart.
    pub fn new(period_us: u64, probes: usize) -> Self {
        let entries = vec![Entry::default(); probes];
        let (offset_us, newest, counted, has_copies) = (None, None, None, false);
        Self { period_us, entries, offset_us, newest, counted, has_copies }
    }

    fn entry(&mut self, sequence: u32) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(sequence).ok()?)
    }

    /// Takes an answer down. One of no probe of this run is nothing.
    pub fn answer(&mut self, answer: &Answer) {
        let due = u64::from(answer.sequence).saturating_mul(self.period_us);
        let signed = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
        let (due, came) = (signed(due), signed(answer.came_us));
        let newest = self.newest;
        let offset = self.offset_us;
        let Some(entry) = self.entry(answer.sequence) else { return };
        if entry.spans.is_some() {
            entry.is_twice = true;
            self.has_copies = true;
            return;
        }
        let small = |us: i64| i32::try_from(us).unwrap_or(if us < 0 { i32::MIN } else { i32::MAX });
        match answer.server_us {
            Some((had, answered)) => {
                let (up, down) = (had.saturating_sub(due), came.saturating_sub(answered));
                // Half of the first round trip each: only differences are ever told.
                let offset = offset.unwrap_or(up.saturating_sub(down) / 2);
                let down = down.saturating_add(offset);
                entry.spans = Some((small(up.saturating_sub(offset)), small(down)));
                let turn = answered.saturating_sub(had).clamp(0, 255 * 16) / 16;
                entry.turn_16us = u8::try_from(turn).unwrap_or(u8::MAX);
                entry.is_reordered = newest.is_some_and(|newest| newest > answer.sequence);
                self.offset_us = Some(offset);
            }
            None => {
                let trip = came.saturating_sub(due).max(0);
                entry.spans = Some((small(trip / 2), small(trip - trip / 2)));
                entry.is_reordered = newest.is_some_and(|newest| newest > answer.sequence);
            }
        }
        if newest.is_some_and(|newest| newest > answer.sequence) {
            // Whose 64 a late one's window is about is not agreed between servers.
            return;
        }
        self.newest = Some(answer.sequence);
        // A window in which the probe itself is not says nothing.
        if let Some(window) = answer.window.filter(|window| window & 1 == 1) {
            for back in 1..64_u32 {
                let Some(sequence) = answer.sequence.checked_sub(back) else { break };
                let Some(entry) = self.entry(sequence) else { break };
                match (window >> back) & 1 {
                    1 => entry.came = true,
                    _ => entry.missing = true,
                }
            }
        }
        if let Some(count) = answer.count {
            self.count(answer.sequence, count);
        }
    }

    /// What the count says of those between the newest two answers of which no window told.
    fn count(&mut self, sequence: u32, count: u32) {
        let before = self.counted.replace((sequence, count));
        let (first, was) = before.map_or((0, 0), |(last, was)| (last.saturating_add(1), was));
        let places = usize::try_from(first).ok().zip(usize::try_from(sequence).ok());
        let has_copies = self.has_copies;
        let hole = places.and_then(|(first, end)| self.entries.get_mut(first..end));
        let Some(hole) = hole else { return };
        let known = hole.iter().filter(|entry| entry.had_come()).count().saturating_add(1);
        let is_unknown = |entry: &&mut Entry| !entry.had_come() && !entry.missing;
        let unknown: Vec<&mut Entry> = hole.iter_mut().filter(is_unknown).collect();
        // One that had been on its way behind the answer before is counted here: more may seem to
        // have come than did, and never fewer.
        let came = usize::try_from(count.wrapping_sub(was)).ok();
        let came = came.and_then(|came| came.checked_sub(known));
        match came {
            Some(0) => unknown.into_iter().for_each(|entry| entry.missing = true),
            Some(all) if all == unknown.len() && !has_copies => {
                unknown.into_iter().for_each(|entry| entry.came = true);
            }
            Some(_) | None => {}
        }
    }

    /// Each slot of the schedule, and the offset. `late`: how late each probe was sent, us; of
    /// those that were not, nothing.
    pub fn finish(self, late: &[Option<u16>]) -> (Vec<Slot>, i64) {
        let slot = |(entry, late): (Entry, Option<&Option<u16>>)| {
            let fate = match (entry.spans, late.copied().flatten()) {
                (Some((up_us, down_us)), _) => Fate::Back { up_us, down_us },
                (None, None) => Fate::NotSent,
                (None, Some(_)) if entry.came => Fate::LostDown,
                (None, Some(_)) if entry.missing => Fate::LostUp,
                (None, Some(_)) => Fate::LostSomewhere,
            };
            Slot {
                late_us: late.copied().flatten().unwrap_or(0),
                turn_16us: entry.turn_16us,
                reordered_down: entry.is_reordered,
                duplicate_down: entry.is_twice,
                ..Slot::of(fate)
            }
        };
        let late = late.iter().map(Some).chain(std::iter::repeat(None));
        let slots = self.entries.into_iter().zip(late).map(slot).collect();
        (slots, self.offset_us.unwrap_or(0))
    }
}

/// Measures, until it is done or `stop`.
///
/// Errors: [`ClientError`].
pub fn measure(ask: &Ask, stop: &AtomicBool) -> Result<Found, ClientError> {
    let period = Micros::from_micros(1_000_000_u64.checked_div(ask.rate_hz).unwrap_or(1).max(1));
    let probes = ask.lasts.as_micros().div_ceil(period.as_micros());
    if probes > PROBES_MAX {
        return Err(ClientError::Long { asked: probes });
    }
    let socket = connected(ask.to).map_err(|why| ClientError::Socket { to: ask.to, why })?;
    let key = ask.key.as_deref();
    let (token, params) = open(&socket, ask, period, stop)?;
    let bytes = echo_packet_len(key.is_some(), &params).map_err(ClientError::Proto)?;
    let count = usize::try_from(probes).unwrap_or(usize::MAX);
    let last_us = AtomicU64::new(u64::MAX);
    let mut ticker = Ticker::<Console>::new(period);
    let begin = ticker.due();
    let book = Book::new(period.as_micros(), count);
    let session = (token, &params, key);
    let (socket, last_us) = (&socket, &last_us);
    let (book, late) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || read(socket, session, begin, book, last_us));
        let late = send(socket, session, (&mut ticker, period), count, stop);
        // What is still under way comes home; where all came, nothing is waited for.
        last_us.store(console_now().since(begin).as_micros(), Ordering::Release);
        (reader.join(), late)
    });
    let close =
        encode_request(RequestToEncode::Close { token }, key).map_err(ClientError::Proto)?;
    // A close that is lost is a session that the server ends by itself.
    let _lost = socket.send(&close);
    let book = book.unwrap_or_else(|_| Book::new(period.as_micros(), count));
    let (mut slots, offset_us) = book.finish(&late);
    // Of a run that was ended before its time, what was due until then.
    slots.truncate(late.len().max(1));
    let given = Given {
        period_us: period.as_micros(),
        slots: u64::try_from(slots.len()).unwrap_or(0),
        offset_us,
        ..Given::default()
    };
    let measures = measured(&slots, &given);
    let is_stamped = params.stamp_at == StampAt::Both && params.clock.has_mono();
    let tells_way = params.received_stats.has_window() || params.received_stats.has_count();
    Ok(Found { slots, given, measures, is_stamped, tells_way, bytes })
}

fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket)
}

/// Opens a session: its token, and what was granted.
fn open(
    socket: &UdpSocket,
    ask: &Ask,
    period: Micros,
    stop: &AtomicBool,
) -> Result<(u64, Params), ClientError> {
    let (to, key) = (ask.to, ask.key.as_deref());
    let ns = |span: Micros| i64::try_from(span.as_micros().saturating_mul(1_000)).unwrap_or(0);
    let asked = Params {
        protocol_version: PROTOCOL_VERSION,
        // The session outlives the last probe's answer.
        duration_ns: ns(ask.lasts),
        interval_ns: ns(period),
        length: i64::try_from(ask.bytes).unwrap_or(0),
        received_stats: ReceivedStats::Both,
        stamp_at: StampAt::Both,
        clock: Clock::Monotonic,
        ..Params::default()
    };
    let request = RequestToEncode::Open { params: &asked, no_test: false };
    let request = encode_request(request, key).map_err(ClientError::Proto)?;
    let failed = |why| ClientError::Socket { to, why };
    for wait in OPEN_WAITS_S {
        socket.set_read_timeout(Some(LOOKS_EVERY)).map_err(failed)?;
        // Refused where nobody listens: perhaps not yet.
        let _refused = socket.send(&request);
        let until = console_now().after(Micros::from_secs(wait));
        while console_now() < until && !stop.load(Ordering::Acquire) {
            let mut buffer = [0; LONGEST + 1];
            let Ok(len) = socket.recv(&mut buffer) else { continue };
            let reply = decode_open_reply(buffer.get(..len).unwrap_or_default(), key);
            let Ok(reply) = reply else { continue };
            if reply.flags & FLAG_CLOSE != 0 {
                return Err(ClientError::Refused { to });
            }
            let granted = [
                ("an interval of", reply.params.interval_ns, asked.interval_ns, "ns"),
                ("a test of", reply.params.duration_ns, asked.duration_ns, "ns"),
                ("packets of", reply.params.length, asked.length, "bytes"),
            ];
            if let Some((what, is, _, unit)) = granted.into_iter().find(|(_, is, was, _)| is != was)
            {
                return Err(ClientError::Restricted { to, what: format!("{what} {is} {unit}") });
            }
            return Ok((reply.token, reply.params));
        }
    }
    Err(ClientError::Silent { to })
}

/// A session: token, what was granted, key.
type Session<'a> = (u64, &'a Params, Option<&'a [u8]>);

/// Sends every probe when it is due. How late each was, us; `None`: the system took it not.
fn send(
    socket: &UdpSocket,
    (token, params, key): Session<'_>,
    (ticker, period): (&mut Ticker<Console>, Micros),
    probes: usize,
    stop: &AtomicBool,
) -> Vec<Option<u16>> {
    let _held = RealTime::acquire(PUMP_PRIORITY, None);
    let mut late = Vec::with_capacity(probes);
    let mut due = ticker.due();
    while late.len() < probes && !stop.load(Ordering::Acquire) {
        let tick = ticker.wait();
        // What this machine slept through goes out at once, late.
        for _ in 0..=tick.missed {
            let Ok(sequence) = u32::try_from(late.len()) else { return late };
            if late.len() >= probes {
                break;
            }
            let probe = RequestToEncode::Echo { token, sequence, params, payload: &[] };
            let sent = encode_request(probe, key).ok().and_then(|probe| socket.send(&probe).ok());
            let behind = console_now().since(due).as_micros();
            late.push(sent.map(|_| u16::try_from(behind).unwrap_or(u16::MAX)));
            due = due.after(period);
        }
    }
    late
}

/// Takes down what comes, until 4 s after the last probe, or until all came.
fn read(
    socket: &UdpSocket,
    (token, params, key): Session<'_>,
    begin: Instant<Console>,
    mut book: Book,
    last_us: &AtomicU64,
) -> Book {
    let _held = RealTime::acquire(PUMP_PRIORITY, None);
    let mut buffer = [0; LONGEST + 1];
    let mut open = book.entries.len();
    while open > 0 {
        let waits_until = last_us.load(Ordering::Acquire).saturating_add(LAST_WAIT.as_micros());
        if console_now().since(begin).as_micros() > waits_until {
            break;
        }
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let came_us = console_now().since(begin).as_micros();
        let packet = buffer.get(..len).unwrap_or_default();
        let Ok(reply) = decode_echo_reply(packet, params, key) else { continue };
        if reply.token != token {
            continue;
        }
        let is_new =
            |book: &mut Book| book.entry(reply.sequence).is_some_and(|e| e.spans.is_none());
        open -= usize::from(is_new(&mut book));
        book.answer(&answer(&reply, came_us));
    }
    book
}

fn answer(reply: &EchoReply, came_us: u64) -> Answer {
    let stamps = &reply.timestamps;
    let server_us = stamps.recv_mono.zip(stamps.send_mono).map(|(a, b)| (a / 1_000, b / 1_000));
    let (sequence, window, count) = (reply.sequence, reply.recv_window, reply.recv_count);
    Answer { sequence, came_us, server_us, window, count }
}
