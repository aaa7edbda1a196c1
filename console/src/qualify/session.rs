//! The session's side: probes in QUIC datagrams, by the pump that carries commands.
//!
//! Knows: the word that begins a run, and what to make of the robot's answers. Does not know: the
//! schedule (`desk`), or any command: a link that measures has none to send.

use super::desk::{Desk, Event};
use super::load::Filler;
use super::{QualifyConfig, QualifyError};
use longhand_protocol::message::{Frame, RefusalKind};
use longhand_protocol::probe::Probe;
use longhand_protocol::units::Instant;
use longhand_protocol::wire;
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::Stop;
use longhand_quic::pace::{PUMP_PRIORITY, RealTime};
use longhand_quic::pump::{
    Close, CloseCode, Closed, Connect, ConsoleConfig, ConsolePump, DATAGRAM_MAX, How, Link,
    LinkState, Outbox, PumpError, Target,
};
use longhand_quic::trust::PeerIdentity;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Probes given to the pump at one ring. Chosen: one less than its queue of unsent datagrams, so
/// that of a backlog none is dropped; the rest is given at the next ring, which is rung at once.
const AT_ONCE: u32 = 3;

/// What to do where a console holds the robot. It may not move anything yet, and so not look as if
/// it held what it is connected to.
const HELD: &str = ". A console that only waits for the bedside's hand-over holds the robot, too: \
                    a measurement never competes with a surgeon. End that console (Ctrl-C where \
                    it runs), measure, and start it again";

/// Starts the pump on a thread of its own.
pub(super) fn start(
    config: &QualifyConfig,
    target: Target,
    run: u64,
    desk: &Arc<Desk>,
    filler: Option<Filler>,
    stop: &Stop,
) -> Result<JoinHandle<Result<(), PumpError>>, QualifyError> {
    let datagram_bytes = if filler.is_some() { DATAGRAM_MAX } else { wire::PROBE_LEN };
    let pump = ConsolePump::new(ConsoleConfig {
        local: None,
        credentials: config.credentials.clone(),
        datagram_bytes,
        qlog: None,
    })?;
    let (desk, stop, real_time) = (Arc::clone(desk), stop.clone(), config.real_time);
    let period_us = config.period.as_micros();
    let thread = std::thread::Builder::new().name("pump".to_owned()).spawn(move || {
        let _held = real_time.then(|| RealTime::acquire(PUMP_PRIORITY, None));
        let bell = desk.bell.clone();
        pump.run(target, &mut Roads { desk, run, period_us, filler }, &bell, &stop)
    })?;
    Ok(thread)
}

struct Roads {
    desk: Arc<Desk>,
    run: u64,
    period_us: u64,
    filler: Option<Filler>,
}

impl Connect for Roads {
    type L = ProbeLink;

    fn link(&mut self, robot: &PeerIdentity) -> ProbeLink {
        self.desk.meet(robot);
        let (desk, run, period_us) = (Arc::clone(&self.desk), self.run, self.period_us);
        let filler = self.filler.clone();
        ProbeLink { desk, run, period_us, filler, asked: false, given: 0 }
    }

    fn state(&mut self, state: &LinkState) {
        let (words, lasting) = match state {
            LinkState::Connecting { attempt } => {
                // What ended the attempt before says more than that there is another.
                if *attempt > 1 {
                    return;
                }
                ("connecting".to_owned(), false)
            }
            LinkState::Connected { robot } => (format!("connected to {robot}"), false),
            LinkState::Waiting { why, .. } => (why.to_string(), is_lasting(why)),
            LinkState::TakenOver { why } => (why.to_string(), true),
            LinkState::Stopped => return,
        };
        self.desk.say(words, lasting);
    }
}

/// Whether it is no use to try again by itself.
fn is_lasting(why: &Closed) -> bool {
    match why.how {
        How::Certificate | How::Local => true,
        How::Here(code) | How::There(code) => match code {
            CloseCode::Role | CloseCode::WrongPeer | CloseCode::TakenOver | CloseCode::Refused => {
                true
            }
            CloseCode::Done | CloseCode::Full | CloseCode::Nonsense | CloseCode::Unknown => false,
        },
        How::Stopped | How::Silent | How::Restarted | How::Broken => false,
    }
}

/// One connection.
pub(super) struct ProbeLink {
    desk: Arc<Desk>,
    run: u64,
    period_us: u64,
    filler: Option<Filler>,
    asked: bool,
    given: u32,
}

impl Link for ProbeLink {
    fn frame(&mut self, body: &[u8], _out: &mut Outbox) -> Result<(), Close> {
        let nonsense = |words: &str| Close::new(CloseCode::Nonsense, words);
        match wire::decode_frame(body).map_err(|error| nonsense(error.advice()))? {
            Frame::ProbeReady { run, twin_port } if run == self.run => {
                self.desk.begin(twin_port);
                Ok(())
            }
            Frame::Refused(refusal) => {
                let mut words = refusal.to_string();
                if refusal.why == RefusalKind::LeaseHeld {
                    words.push_str(HELD);
                }
                Err(Close::new(CloseCode::Refused, words))
            }
            Frame::ProbeReady { .. }
            | Frame::Hello { .. }
            | Frame::Welcome { .. }
            | Frame::Witness(_)
            | Frame::StateCommand(_)
            | Frame::StateAccepted(_)
            | Frame::ProbeBegin { .. } => Err(nonsense("a word that was not asked for")),
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let now = console_now();
        // Anything else is nobody's: there is no session that it could belong to.
        if let Ok(answer) = wire::decode_probe_answer(bytes)
            && answer.probe.run == self.run
        {
            self.desk.tell(Event::Answer(answer, now));
        } else if let Some(filler) = &self.filler {
            filler.take(bytes);
        }
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.desk.ready()?;
        if self.given >= AT_ONCE {
            self.given = 0;
            self.desk.bell.ring();
            return None;
        }
        let Some((number, _more)) = self.desk.next_due() else {
            // Behind the probes that are due, never before one.
            let filled = self.filler.as_ref().and_then(|filler| filler.next(buf));
            self.given = if filled.is_some() { self.given + 1 } else { 0 };
            return filled;
        };
        self.given += 1;
        let begin = self.desk.begun_us()?;
        let due = begin.saturating_add(self.period_us.saturating_mul(number.saturating_sub(1)));
        let sent_at = console_now();
        let probe =
            Probe { run: self.run, number, intended_at: Instant::from_micros(due), sent_at };
        let bytes = wire::encode_probe(&probe);
        buf.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        self.desk.tell(Event::Sent(number, sent_at));
        Some(bytes.len())
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        if self.asked {
            return;
        }
        let mut body = [0; wire::FRAME_MAX];
        let len = wire::encode_frame(&Frame::ProbeBegin { run: self.run }, &mut body);
        self.asked = out.push(body.get(..len).unwrap_or_default()).is_ok();
    }

    fn closed(&mut self, why: &Closed) {
        if why.how == How::Restarted {
            self.desk.tell(Event::Forgotten(console_now()));
        }
        self.desk.end();
        if why.how != How::Stopped {
            if is_lasting(why) {
                self.desk.be_over(why.to_string());
            }
            self.desk.say(why.to_string(), is_lasting(why));
        }
    }
}
