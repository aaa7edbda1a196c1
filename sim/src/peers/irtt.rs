//! A reflector for irtt's clients (protocol 1).
//!
//! Knows: sessions, what each negotiated, and what came of it. Does not know: sockets or clocks.
//!
//! The bytes are `irtt-proto`'s. A session is bound to the address that opened it, and whoever does
//! not hear the open's answer does not know its token: nobody can have a third address answered.
//! Without a key anybody may open one; with a key (irtt's HMAC, which is MD5's) nothing without it
//! is answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;

use irtt_proto::{
    DecodedRequestKind, EchoReply, FLAG_CLOSE, FLAG_OPEN, FLAG_REPLY, OpenReply, PROTOCOL_VERSION,
    PacketLayout, Params, TimestampFields, decode_request, echo_packet_len, encode_echo_reply,
    encode_open_reply, verify_packet_hmac,
};

use super::guests::{Bucket, GUESTS_MAX, Guests};
use super::{Answers, Ignored, LONGEST, Now};

/// What the answer to an open may have more than the question: the token, bytes.
const TOKEN: usize = 8;
/// Opens a second, of all together, and at once.
const OPENS: (u64, u64) = (10, 20);
/// A session that was silent so long is over, ns. Chosen: a minute, as long as irtt's own server.
const SILENT_NS: u64 = 60_000_000_000;
/// An open that comes again so soon is the same open, ns: one that the client sent again because it
/// had not heard the answer yet, or that the network doubled. Source: irtt's client waits 1, 2, 4
/// and 8 s for an answer.
const OPEN_WAITS_NS: u64 = 15_000_000_000;
/// The shortest interval, ns: the rate at which one guest is answered.
const INTERVAL_MIN_NS: i64 = 250_000;
/// The longest test, ns. Chosen: a day.
const DURATION_MAX_NS: i64 = 86_400_000_000_000;

struct Session {
    from: SocketAddr,
    params: Params,
    count: u32,
    /// The highest number that came, and which of the 64 before it did: bit 0 is its own.
    came: Option<(u32, u64)>,
    opened_ns: u64,
    heard_ns: u64,
}

/// The reflector.
pub struct Irtt {
    key: Option<Vec<u8>>,
    draw: Box<dyn FnMut() -> Option<NonZeroU64> + Send>,
    sessions: HashMap<u64, Session>,
    guests: Guests,
    opens: Option<Bucket>,
}

impl Irtt {
    /// With a key, or for everybody. `draw` gives numbers that nobody can guess, or nothing where
    /// there are none: then nobody opens a session.
    pub fn new(
        key: Option<Vec<u8>>,
        draw: impl FnMut() -> Option<NonZeroU64> + Send + 'static,
    ) -> Self {
        let (sessions, guests) = (HashMap::new(), Guests::default());
        Self { key, draw: Box::new(draw), sessions, guests, opens: None }
    }

    fn open(
        &mut self,
        now_ns: u64,
        from: SocketAddr,
        (packet, asked): (&[u8], &[u8]),
        no_test: bool,
    ) -> Result<Vec<u8>, Ignored> {
        let asked = Params::decode(asked).map_err(|_| Ignored::NotOurs)?;
        if asked.protocol_version != PROTOCOL_VERSION {
            return Err(Ignored::NotOurs);
        }
        let mut flags = FLAG_OPEN | FLAG_REPLY;
        if no_test {
            flags |= FLAG_CLOSE;
        }
        // Any token is as long as the one that is given below.
        let mut reply = OpenReply { flags, token: u64::MAX, params: granted(asked) };
        let key = self.key.clone();
        let encode = |reply: &OpenReply| {
            encode_open_reply(reply, key.as_deref()).map_err(|_| Ignored::NotOurs)
        };
        // An interval that it leaves out, or that is too short, is answered by one of more bytes.
        if encode(&reply)?.len() > packet.len().saturating_add(TOKEN) {
            return Err(Ignored::Short);
        }
        let (rate, burst) = OPENS;
        let opens = self.opens.get_or_insert(Bucket::full(burst, now_ns));
        if !opens.take(now_ns, rate, burst) {
            return Err(Ignored::TooOften);
        }
        self.guests.admit(from.ip(), now_ns, false)?;
        reply.token = if no_test { 0 } else { self.session(now_ns, from, &reply.params)? };
        encode(&reply)
    }

    /// The token of the session that this open asks for. Whoever can write an address into a packet
    /// can send an open in its name, so an open ends no session that had a probe: not its address's
    /// own, and not another's where there is no place.
    fn session(&mut self, now_ns: u64, from: SocketAddr, params: &Params) -> Result<u64, Ignored> {
        let is_same = |session: &Session| {
            session.from == from
                && session.params == *params
                && now_ns.saturating_sub(session.opened_ns) <= OPEN_WAITS_NS
        };
        if let Some((token, _)) = self.sessions.iter().find(|(_, session)| is_same(session)) {
            return Ok(*token);
        }
        self.sessions.retain(|_, session| now_ns.saturating_sub(session.heard_ns) <= SILENT_NS);
        let token = (self.draw)().ok_or(Ignored::NoToken)?.get();
        if self.sessions.len() >= GUESTS_MAX {
            // Nobody measures in it; at ten opens a second it had its time to begin.
            let unused = self.sessions.iter().filter(|(_, session)| session.count == 0);
            let oldest = unused.min_by_key(|(_, session)| session.opened_ns);
            let oldest = oldest.map(|(token, _)| *token).ok_or(Ignored::Full)?;
            self.sessions.remove(&oldest);
        }
        let (opened_ns, heard_ns) = (now_ns, now_ns);
        let params = params.clone();
        let session = Session { from, params, count: 0, came: None, opened_ns, heard_ns };
        self.sessions.insert(token, session);
        Ok(token)
    }

    fn echo(
        &mut self,
        came: Now,
        (from, packet): (SocketAddr, &[u8]),
        (token, sequence): (u64, u32),
        sends: &mut dyn FnMut() -> Now,
    ) -> Result<Vec<u8>, Ignored> {
        let session = self.sessions.get_mut(&token).filter(|session| session.from == from);
        let session = session.ok_or(Ignored::NoSession)?;
        let key = self.key.as_deref();
        let layout = PacketLayout::echo(key.is_some(), &session.params);
        let len = echo_packet_len(key.is_some(), &session.params).map_err(|_| Ignored::Short)?;
        if packet.len() < len {
            return Err(Ignored::Short);
        }
        // Its token was only told to this address.
        self.guests.admit(from.ip(), came.monotonic, true)?;
        session.heard_ns = came.monotonic;
        session.count = session.count.wrapping_add(1);
        let window = session.take(sequence);
        let payload = packet.get(layout.header_len()..len).unwrap_or(&[]).to_vec();
        let reply = EchoReply {
            flags: FLAG_REPLY,
            token,
            sequence,
            recv_count: layout.recv_count.then_some(session.count),
            recv_window: layout.recv_window.then_some(window),
            timestamps: stamps(layout, came, sends()),
            payload,
        };
        encode_echo_reply(&reply, &session.params, key).map_err(|_| Ignored::NotOurs)
    }
}

impl Answers for Irtt {
    fn answer(
        &mut self,
        came: Now,
        from: SocketAddr,
        packet: &[u8],
        sends: &mut dyn FnMut() -> Now,
    ) -> Result<Option<Vec<u8>>, Ignored> {
        let request = decode_request(packet).map_err(|_| Ignored::NotOurs)?;
        match &self.key {
            Some(key) => verify_packet_hmac(key, packet).map_err(|_| Ignored::Key)?,
            None if request.hmac_present => return Err(Ignored::Key),
            None => {}
        }
        match request.kind {
            DecodedRequestKind::Open { no_test, params } => {
                self.open(came.monotonic, from, (packet, params), no_test).map(Some)
            }
            DecodedRequestKind::Close { token } => {
                match self.sessions.get(&token) {
                    Some(session) if session.from == from => self.sessions.remove(&token),
                    Some(_) | None => return Err(Ignored::NoSession),
                };
                Ok(None)
            }
            DecodedRequestKind::Echo { token, sequence, .. } => {
                self.echo(came, (from, packet), (token, sequence), sends).map(Some)
            }
        }
    }
}

impl Session {
    /// Which of the 64 up to this one came; bit 0 is its own.
    fn take(&mut self, sequence: u32) -> u64 {
        let (highest, window) = self.came.unwrap_or((sequence, 0));
        let ahead = sequence.wrapping_sub(highest);
        let behind = highest.wrapping_sub(sequence);
        if ahead <= u32::MAX / 2 {
            let window = window.checked_shl(ahead).unwrap_or(0) | 1;
            self.came = Some((sequence, window));
            return window;
        }
        // Behind a later one: what came before it stands further up.
        let window = window | 1_u64.checked_shl(behind).unwrap_or(0);
        self.came = Some((highest, window));
        window.checked_shr(behind).unwrap_or(0) | 1
    }
}

/// What is granted of what was asked; irtt's clients refuse what is less, unless told `--loose`.
fn granted(asked: Params) -> Params {
    let longest = i64::try_from(LONGEST).unwrap_or(i64::MAX);
    Params {
        duration_ns: asked.duration_ns.clamp(0, DURATION_MAX_NS),
        interval_ns: asked.interval_ns.max(INTERVAL_MIN_NS),
        length: asked.length.clamp(0, longest),
        // Answers go out unmarked, and with the question's own filling.
        dscp: 0,
        server_fill: None,
        ..asked
    }
}

fn stamps(layout: PacketLayout, came: Now, sent: Now) -> TimestampFields {
    let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    let middle = |a: u64, b: u64| signed(a.midpoint(b));
    TimestampFields {
        recv_wall: layout.recv_wall.then(|| signed(came.wall)),
        recv_mono: layout.recv_mono.then(|| signed(came.monotonic)),
        midpoint_wall: layout.midpoint_wall.then(|| middle(came.wall, sent.wall)),
        midpoint_mono: layout.midpoint_mono.then(|| middle(came.monotonic, sent.monotonic)),
        send_wall: layout.send_wall.then(|| signed(sent.wall)),
        send_mono: layout.send_mono.then(|| signed(sent.monotonic)),
    }
}
