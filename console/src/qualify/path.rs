//! Looks at the path on plain UDP: marks, the longest packet, the address that the robot sees, and
//! how long silence may last.
//!
//! Knows: what to ask and how long to wait. Does not know: what it is worth
//! (`longhand_qualify::measure::path`).
//!
//! A socket of its own: its few packets a second must not stand between the probes that are timed.

use super::QualifyConfig;
use longhand_protocol::probe::{PATH_BYTES_MAX, PathAnswer, PathProbe};
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_protocol::wire;
use longhand_qualify::measure::outage::Way;
use longhand_qualify::measure::path::{Idle, Mark, Mtu, PathFound, Source};
use longhand_qualify::number::real;
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::Stop;
use longhand_quic::marked::{Came, MarkedSocket, NO_MARK};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Marks that are tried: expedited forwarding (46) with ECT(0); AF41 (34), as for video, with
/// ECT(1); nothing with congestion; and nothing at all, which the others are compared with.
/// Source: RFC 4594 (classes for real-time and interactive video), RFC 3168 (ECN).
const MARKS: [u8; 4] = [0xba, 0x89, 0x03, NO_MARK];
/// Probes of each mark, each way. Chosen: a majority even where a tenth is lost.
const EACH: u64 = 20;
/// Time between two of these.
const SPACING: Micros = Micros::from_millis(10);
/// The least that every IPv4 host must take (RFC 791), what Ethernet takes, and what jumbo frames
/// do; IP packets, bytes.
const SIZES: (u16, u16, u16) = (576, 1_500, 9_000);
/// How long to wait for an answer: three round trips, within these. Chosen: a satellite's 0.6 s.
const WAITS: (Micros, Micros) = (Micros::from_millis(200), Micros::from_secs(2));
/// Times that a size, or the small one that is asked behind it, is tried.
const TRIES: u32 = 3;
/// How often the robot is asked where it sees this console.
const SOURCE_EVERY: Micros = Micros::from_secs(1);
/// How long an answer behind a silence is waited for. Chosen: the slowest link, and the
/// robot's 0.2 s.
const SILENCE_SLACK: Micros = Micros::from_secs(2);
/// How often silent sockets are looked at. Chosen: nothing to a silence of seconds.
const LISTENS_EVERY: Duration = Duration::from_millis(100);
/// Sockets for each silence: one lost answer is no forgotten console.
const SOCKETS: usize = 2;
/// Their questions are so far apart that no burst of loss takes both, or both answers. Chosen:
/// longer than bursts are (links.md section 6: 2 to 40 ms on average), and than most outages.
const APART: Micros = Micros::from_millis(1_500);
/// Times that a silence whose answer does not come is tried: it is asked again before anybody
/// believes that it was too long.
const ROUNDS: u32 = 2;
/// How long a run must be to tell of a silence: it may have to be asked again, and the second
/// socket asks later.
pub fn silence_takes(span: Micros) -> Micros {
    let round = span.saturating_add(SILENCE_SLACK);
    round.saturating_mul(ROUNDS.into()).saturating_add(APART).saturating_add(LOOKS_SLACK)
}

/// Silences are looked at each 0.1 s, and begin when the session is ready. Chosen: five looks.
const LOOKS_SLACK: Micros = Micros::from_millis(500);
/// Silences at once. Source: the robot keeps 64 answers back, and each has two sockets.
pub const SILENCES_MAX: usize = 64 / SOCKETS;
/// Addresses kept. When full the newest are left out.
const SOURCES_MAX: usize = 100;

/// The survey, running.
pub(super) struct Survey {
    thread: JoinHandle<PathFound>,
    is_done: Arc<AtomicBool>,
}

impl Survey {
    /// Whether everything but the silences and changes of address is known.
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// What was found. Ends within two seconds of the stop.
    pub(super) fn join(self) -> Option<PathFound> {
        self.thread.join().ok()
    }
}

/// Begins to ask at `at`.
pub(super) fn start(
    at: SocketAddr,
    run: u64,
    config: &QualifyConfig,
    stop: &Stop,
) -> io::Result<Survey> {
    let asker = Asker::new(at, run, stop, Duration::from_millis(10))?;
    let mut silences = Vec::new();
    // What came while the sizes were tried is taken even behind the end.
    let never = Stop::new()?;
    for span in &config.silences {
        let mut starts_at = console_now();
        for _ in 0..SOCKETS {
            let asker = Asker::new(at, run, &never, Duration::from_millis(1))?;
            silences.push(Silence {
                span: *span,
                asker,
                starts_at,
                begun: None,
                rounds: 0,
                came: false,
            });
            starts_at = starts_at.after(APART);
        }
    }
    let is_done = Arc::new(AtomicBool::new(false));
    let (done, stop) = (Arc::clone(&is_done), stop.clone());
    let thread = std::thread::Builder::new()
        .name("path".to_owned())
        .spawn(move || survey(asker, silences, &done, &stop))?;
    Ok(Survey { thread, is_done })
}

fn survey(
    mut asker: Asker,
    silences: Vec<Silence>,
    is_done: &AtomicBool,
    stop: &Stop,
) -> PathFound {
    // Silences have their own time: to try the sizes takes seconds.
    let listening = stop.clone();
    let quiet = std::thread::Builder::new()
        .name("silence".to_owned())
        .spawn(move || listen(silences, &listening));
    let mut found = PathFound::default();
    asker.source(&mut found.sources);
    found.marks = asker.marks();
    found.mtu_up = asker.mtu(Way::Up);
    found.mtu_down = asker.mtu(Way::Down);
    asker.source(&mut found.sources);
    is_done.store(true, Ordering::Release);
    while !stop.is_stopped() {
        let next = console_now().after(SOURCE_EVERY);
        asker.source(&mut found.sources);
        asker.pause(next);
    }
    found.idle = quiet.ok().and_then(|quiet| quiet.join().ok().flatten());
    found
}

/// Waits for what comes behind each silence; `None` where none was asked for.
fn listen(mut silences: Vec<Silence>, stop: &Stop) -> Option<Idle> {
    if silences.is_empty() {
        return None;
    }
    while !stop.is_stopped() {
        silences.iter_mut().for_each(Silence::look);
        std::thread::sleep(LISTENS_EVERY);
    }
    silences.iter_mut().for_each(Silence::look);
    Some(Idle::of(tried(&silences)))
}

/// One line of questions.
struct Asker {
    socket: MarkedSocket,
    to: SocketAddr,
    run: u64,
    number: u64,
    begin: Instant<Console>,
    wait: Micros,
    stop: Stop,
    buf: Vec<u8>,
}

impl Asker {
    fn new(to: SocketAddr, run: u64, stop: &Stop, looks_every: Duration) -> io::Result<Self> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = MarkedSocket::bind(any, looks_every)?;
        let buf = vec![0; usize::from(PATH_BYTES_MAX) + 1];
        let (begin, stop) = (console_now(), stop.clone());
        Ok(Self { socket, to, run, number: 0, begin, wait: WAITS.1, stop, buf })
    }

    fn header_bytes(&self) -> u16 {
        // IPv4's 20 or IPv6's 40, and UDP's 8.
        if self.to.is_ipv4() { 28 } else { 48 }
    }

    /// Asks once: `bytes` of UDP payload with a mark; says its number.
    fn ask(&mut self, probe: PathProbe, bytes: u16, mark: u8) -> io::Result<u64> {
        self.number += 1;
        let probe =
            PathProbe { run: self.run, number: self.number, sent_at: console_now(), ..probe };
        let head = wire::encode_path_probe(&probe);
        let mut datagram = vec![0; usize::from(bytes).max(head.len())];
        if let Some(front) = datagram.get_mut(..head.len()) {
            front.copy_from_slice(&head);
        }
        self.socket.send_to(&datagram, mark, self.to)?;
        Ok(self.number)
    }

    /// The next answer of this run until then.
    fn hear(&mut self, until: Instant<Console>) -> Option<(PathAnswer, Came)> {
        while console_now() < until && !self.stop.is_stopped() {
            let Ok(came) = self.socket.recv(&mut self.buf) else { continue };
            let answer = wire::decode_path_answer(self.buf.get(..came.len).unwrap_or_default());
            if let Some(answer) = answer.ok().filter(|answer| answer.run == self.run) {
                let rtt = console_now().since(answer.sent_at);
                self.wait = rtt.saturating_mul(3).max(WAITS.0).min(WAITS.1);
                return Some((answer, came));
            }
        }
        None
    }

    fn hear_number(&mut self, number: u64) -> Option<(PathAnswer, Came)> {
        let until = console_now().after(self.wait);
        loop {
            let heard = self.hear(until)?;
            if heard.0.number == number {
                return Some(heard);
            }
        }
    }

    fn pause(&mut self, until: Instant<Console>) {
        while self.hear(until).is_some() {}
    }

    /// Each mark each way, the others unmarked the other way, all mixed: a burst of loss hits all.
    fn marks(&mut self) -> Vec<Mark> {
        let ways = [Way::Up, Way::Down];
        let kinds: Vec<(Way, u8)> =
            ways.into_iter().flat_map(|way| MARKS.map(|mark| (way, mark))).collect();
        let mut came: Vec<Vec<Option<u8>>> = vec![Vec::new(); kinds.len()];
        let mut sent = vec![0_u64; kinds.len()];
        let first = self.number + 1;
        let count = longhand_qualify::number::len(&kinds);
        let mut take = |heard: Option<(PathAnswer, Came)>| {
            let Some((answer, packet)) = heard else { return false };
            let kind = answer.number.checked_sub(first).map(|past| past % count);
            let kind = kind.and_then(|kind| usize::try_from(kind).ok()).unwrap_or(usize::MAX);
            if let (Some(list), Some((way, _))) = (came.get_mut(kind), kinds.get(kind)) {
                list.push(if *way == Way::Up { answer.mark_seen } else { packet.mark });
            }
            true
        };
        for _ in 0..EACH {
            for ((way, mark), sent) in kinds.iter().zip(&mut sent) {
                let (up, down) = if *way == Way::Up { (*mark, NO_MARK) } else { (NO_MARK, *mark) };
                let probe = PathProbe { answers: 1, answer_mark: down, ..PathProbe::default() };
                let next = console_now().after(SPACING);
                if self.ask(probe, 0, up).is_ok() {
                    *sent += 1;
                }
                while take(self.hear(next)) {}
            }
            if self.stop.is_stopped() {
                break;
            }
        }
        let end = console_now().after(self.wait);
        while take(self.hear(end)) {}
        let plain = |way| kinds.iter().position(|kind| *kind == (way, NO_MARK));
        // A mark is dropped where others come: half of them at least, or the link itself is dark.
        let has_plain = ways.map(|way| {
            let list = plain(way).and_then(|place| came.get(place));
            list.is_some_and(|list| longhand_qualify::number::len(list) * 2 >= EACH)
        });
        let all = kinds.iter().zip(&sent).zip(&came);
        all.map(|(((way, mark), sent), came)| {
            let plain_came = if *way == Way::Up { has_plain[0] } else { has_plain[1] };
            Mark::of(*way, *mark, *sent, came, plain_came)
        })
        .collect()
    }

    /// The longest packet one way: Ethernet's size first, since it mostly is that.
    fn mtu(&mut self, way: Way) -> Option<Mtu> {
        let (least, usual, most) = SIZES;
        if !self.passes(way, least)? {
            return None;
        }
        let (mut passes, mut fails) = (least, None);
        for size in [usual, usual + 1, most] {
            if self.passes(way, size)? {
                passes = size;
            } else {
                fails = Some(size);
                break;
            }
        }
        while let Some(short) = fails.filter(|fails| fails - passes > 1) {
            let middle = passes.midpoint(short);
            if self.passes(way, middle)? {
                passes = middle;
            } else {
                fails = Some(middle);
            }
        }
        Some(Mtu { passes, fails })
    }

    /// Whether a packet of this size passes; `None` where the link is dark, or the end has come. A
    /// size fails where it is not answered and a small one behind it is, each time.
    fn passes(&mut self, way: Way, ip_bytes: u16) -> Option<bool> {
        let payload = ip_bytes.saturating_sub(self.header_bytes());
        let (mut missing, mut dark) = (0, 0);
        while missing < TRIES {
            let probe = PathProbe { answers: 1, ..PathProbe::default() };
            let asked = if way == Way::Up {
                self.ask(probe, payload, NO_MARK)
            } else {
                self.ask(PathProbe { answer_bytes: payload, ..probe }, 0, NO_MARK)
            };
            // The system itself does not take it: longer than the first link.
            let Ok(number) = asked else { return Some(false) };
            let whole = |(answer, came): (PathAnswer, Came)| {
                let got = if way == Way::Up { answer.bytes_seen.into() } else { came.len };
                got == usize::from(payload)
            };
            if self.hear_number(number).is_some_and(whole) {
                return Some(true);
            }
            let small = self.ask(probe, 0, NO_MARK).ok();
            if small.and_then(|number| self.hear_number(number)).is_some() {
                missing += 1;
            } else {
                dark += 1;
            }
            if dark > TRIES || self.stop.is_stopped() {
                return None;
            }
        }
        Some(false)
    }

    /// Where the robot sees this console now.
    fn source(&mut self, known: &mut Vec<Source>) {
        let probe = PathProbe { answers: 1, ..PathProbe::default() };
        let Ok(number) = self.ask(probe, 0, NO_MARK) else { return };
        let at = console_now();
        let Some((answer, _)) = self.hear_number(number) else { return };
        let ip = Ipv6Addr::from(answer.from_ip);
        let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
        let address = SocketAddr::new(ip, answer.from_port).to_string();
        let is_new = known.last().is_none_or(|last| last.address != address);
        if is_new && known.len() < SOURCES_MAX {
            let at_s = real(at.since(self.begin).as_micros()) * 1e-6;
            let local_port = self.socket.local_addr().map_or(0, |local| local.port());
            known.push(Source { at_s, address, local_port });
        }
    }
}

/// One socket that is silent until its answer comes.
struct Silence {
    span: Micros,
    asker: Asker,
    starts_at: Instant<Console>,
    begun: Option<Instant<Console>>,
    /// Times that it was asked.
    rounds: u32,
    came: bool,
}

impl Silence {
    /// Asks when it is time, hears what came, and asks again where nothing did.
    fn look(&mut self) {
        let now = console_now();
        if self.came || now < self.starts_at {
            return;
        }
        if self.begun.is_some_and(|begun| now >= begun.after(self.span)) {
            self.came = self.asker.hear(now.after(Micros::from_millis(2))).is_some();
        }
        let is_missed = !self.came && self.begun.is_none_or(|begun| now >= self.end_of(begun));
        if is_missed && self.rounds < ROUNDS {
            let probe = PathProbe { answers: 1, after: self.span, ..PathProbe::default() };
            // What the system does not take is asked at the next look.
            if self.asker.ask(probe, 0, NO_MARK).is_ok() {
                (self.begun, self.rounds) = (Some(now), self.rounds + 1);
            }
        }
    }

    fn end_of(&self, begun: Instant<Console>) -> Instant<Console> {
        begun.after(self.span.saturating_add(SILENCE_SLACK))
    }

    /// Whether it was asked as often as it is, and its time was up when the run ended.
    fn is_forgotten(&self) -> bool {
        let is_over = self.begun.is_some_and(|begun| console_now() >= self.end_of(begun));
        !self.came && self.rounds >= ROUNDS && is_over
    }
}

/// Each silence that something is known of: one answer says that it was borne, and that it was not
/// only all that was asked, each time on each socket.
fn tried(silences: &[Silence]) -> Vec<(f64, bool)> {
    let of = |group: &[Silence]| {
        let span = real(group.first()?.span.as_micros()) * 1e-6;
        if group.iter().any(|silence| silence.came) {
            return Some((span, true));
        }
        group.iter().all(Silence::is_forgotten).then_some((span, false))
    };
    silences.chunks(SOCKETS).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_quic::marked::MarkedSocket;

    /// What a robot hears on its port, and answers at once for a silence of no time at all.
    fn heard(robot: &MarkedSocket, silences: &mut [Silence], answers: bool) -> u32 {
        let mut count = 0;
        silences.iter_mut().for_each(Silence::look);
        let mut buf = [0; 2_000];
        while let Ok(came) = robot.recv(&mut buf) {
            count += 1;
            let probe = wire::decode_path_probe(&buf[..came.len]).unwrap();
            if answers {
                let answer =
                    PathAnswer { run: probe.run, number: probe.number, ..PathAnswer::default() };
                robot.send_to(&wire::encode_path_answer(&answer), NO_MARK, came.from).unwrap();
            }
        }
        silences.iter_mut().for_each(Silence::look);
        count
    }

    fn silence(at: SocketAddr, starts_at: Instant<Console>, span: Micros) -> Silence {
        let never = Stop::new().unwrap();
        let asker = Asker::new(at, 7, &never, Duration::from_millis(1)).unwrap();
        Silence { span, asker, starts_at, begun: None, rounds: 0, came: false }
    }

    /// The time of a silence moves to the past: as if it had been asked then.
    fn pass(silences: &mut [Silence], time: Micros) {
        for silence in silences {
            silence.begun =
                silence.begun.map(|at| Instant::from_micros(at.as_micros() - time.as_micros()));
        }
    }

    #[test]
    fn a_silence_is_too_long_only_where_it_was_asked_again_on_every_socket() {
        let any = "127.0.0.1:0".parse().unwrap();
        let robot = MarkedSocket::bind(any, Duration::from_millis(20)).unwrap();
        let at = robot.local_addr().unwrap();
        let (now, span) = (console_now(), Micros::from_secs(30));
        let mut all = [silence(at, now, span), silence(at, now, span)];
        assert_eq!(heard(&robot, &mut all, false), 2);
        assert_eq!(tried(&all), [], "its time is not up");
        pass(&mut all, span.saturating_add(SILENCE_SLACK));
        assert_eq!(heard(&robot, &mut all, false), 2, "both are asked again");
        assert_eq!(tried(&all), [], "one burst of loss is not believed");
        pass(&mut all, span.saturating_add(SILENCE_SLACK));
        assert_eq!(heard(&robot, &mut all, false), 0);
        assert_eq!(tried(&all), [(30.0, false)]);
        // The first answers were lost; what is asked again is borne.
        let mut all = [silence(at, now, span), silence(at, now, span)];
        assert_eq!(heard(&robot, &mut all, false), 2);
        pass(&mut all, span.saturating_add(SILENCE_SLACK));
        assert_eq!(heard(&robot, &mut all, true), 2);
        pass(&mut all, span);
        heard(&robot, &mut all, false);
        assert_eq!(tried(&all), [(30.0, true)]);
        // One that is not asked yet is not asked before its time.
        let mut later = [silence(at, now.after(Micros::from_secs(60)), span)];
        assert_eq!(heard(&robot, &mut later, false), 0);
    }
}
