//! Asks servos and waits for their answers, no longer than it says; counts what goes wrong.
//!
//! Knows: which answer belongs to which request, when to give up, when to ask again. Does not know:
//! what a value means for an arm.
//!
//! It hears its own bytes come back without harm, since an answer is known by who says it and how
//! much (`longhand_bus::answer`), and it asks nothing whose answer could be the question itself.

use super::port::Line;
use longhand_bus::answer::{Complaint, FastAnswer, Status};
use longhand_bus::budget::Load;
use longhand_bus::model::{DoesNotFit, Model, Register, What, by_number};
use longhand_bus::packet::Packet;
use longhand_bus::receive::{Frame, Noise, Receiver};
use longhand_bus::request::{Request, Unsayable};
use longhand_bus::{Id, Protocol, Span, Target};
use std::io;

/// How long beyond the wire's own time an answer may take: the adapter's and the machine's delays.
/// Chosen: past FTDI's 16 ms, for a port that refuses the low-latency flag.
pub const PATIENCE_US: u64 = 20_000;

/// How often a request is said again. Chosen: a servo that misses three is not there.
pub const RETRIES: u32 = 2;

/// What a bus did, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests, each counted once however often it was said.
    pub asked: u64,
    /// Requests that were said again.
    pub retried: u64,
    /// Requests that stayed without an answer, or with too few.
    pub failed: u64,
    /// Whole frames that answered nothing: late answers, and the host's own bytes.
    pub strays: u64,
    /// Answers that complain of something.
    pub complaints: u64,
}

/// A request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The port is gone.
    #[error("the port is gone ({0}): plug the adapter in again, then start anew")]
    Gone(io::Error),
    /// Nobody answered, or not whole.
    #[error(
        "servo {id} does not answer: check its power, its cable and its number (`arm scan` lists \
         those that answer)"
    )]
    Silent {
        /// Who.
        id: u8,
    },
    /// A servo did not do what was asked.
    #[error("servo {id} refuses ({what}): {why}")]
    Refused {
        /// Who.
        id: u8,
        /// What was to be read or written.
        what: String,
        /// What it says.
        why: String,
    },
    /// A register does not hold what was written.
    #[error("servo {id} was told {told} as its {what}, and has {found}")]
    NotTaken {
        /// Who.
        id: u8,
        /// Which register.
        what: What,
        /// What was written.
        told: i64,
        /// What was read back.
        found: i64,
    },
    /// A servo has no such register.
    #[error("a {model} has no {what}")]
    NoRegister {
        /// The model's name.
        model: &'static str,
        /// Which register.
        what: What,
    },
    /// A value is too large for its register.
    #[error("{value} does not fit into the {what}")]
    DoesNotFit {
        /// Which register.
        what: What,
        /// The value.
        value: i64,
    },
    /// The request itself cannot be written.
    #[error(transparent)]
    Unsayable(#[from] Unsayable),
}

/// A servo that answered a scan.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its number.
    pub id: Id,
    /// The number of its model.
    pub number: u16,
    /// Its model, where it is one that is known here.
    pub model: Option<&'static Model>,
    /// Its firmware, as it says it.
    pub firmware: u16,
    /// What it complains of.
    pub complaint: Complaint,
    /// From the request's first byte to the answer's last, microseconds.
    pub took_us: u64,
}

/// What came of asking a number who it is.
#[derive(Clone, Copy, Debug)]
pub enum Sought {
    /// A servo that answered.
    Somebody(Found),
    /// Silence.
    Nobody,
    /// Something came that could not be understood: two servos of one number, or a bad cable.
    Garbled,
}

impl Sought {
    /// The servo, if one answered.
    pub const fn somebody(self) -> Option<Found> {
        match self {
            Self::Somebody(found) => Some(found),
            Self::Nobody | Self::Garbled => None,
        }
    }
}

/// The host of one bus.
pub struct Host<L> {
    line: L,
    protocol: Protocol,
    baud: u32,
    patience_us: u64,
    receiver: Receiver,
    tally: Tally,
}

impl<L: Line> Host<L> {
    /// A host that has said nothing yet.
    pub const fn new(line: L, protocol: Protocol, baud: u32) -> Self {
        let tally = Tally { asked: 0, retried: 0, failed: 0, strays: 0, complaints: 0 };
        let receiver = Receiver::new(protocol);
        Self { line, protocol, baud, patience_us: PATIENCE_US, receiver, tally }
    }

    /// The same, waiting so long beyond the wire's own time.
    #[must_use]
    pub const fn with_patience_us(mut self, us: u64) -> Self {
        self.patience_us = us;
        self
    }

    /// From now on it waits so long beyond the wire's own time.
    pub const fn set_patience_us(&mut self, us: u64) {
        self.patience_us = us;
    }

    /// What the bus speaks.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How fast the wire is.
    pub const fn baud(&self) -> u32 {
        self.baud
    }

    /// What happened so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// What came that was no frame.
    pub const fn noise(&self) -> Noise {
        self.receiver.noise()
    }

    /// The line.
    pub const fn line(&mut self) -> &mut L {
        &mut self.line
    }

    /// Who has this number. Silence is believed at once, since most numbers are nobody's; where
    /// something came that could not be understood, it asks again.
    ///
    /// Feetech's servos are asked for their first five registers: their ping would not do.
    /// Errors: [`HostError::Gone`].
    pub fn find(&mut self, id: Id) -> Result<Sought, HostError> {
        self.seek(id, |sought| !matches!(sought, Sought::Garbled))
    }

    /// The same, where somebody is expected: silence is not believed before the third time.
    ///
    /// Errors: [`HostError::Gone`].
    pub fn find_expected(&mut self, id: Id) -> Result<Sought, HostError> {
        self.seek(id, |sought| matches!(sought, Sought::Somebody(_)))
    }

    /// The same, before a number is given away: nobody only where it was silent three times.
    ///
    /// Errors: [`HostError::Gone`].
    pub fn find_free(&mut self, id: Id) -> Result<Sought, HostError> {
        for _ in 0..=RETRIES {
            let sought = self.find_once(id)?;
            if !matches!(sought, Sought::Nobody) {
                return Ok(sought);
            }
        }
        Ok(Sought::Nobody)
    }

    fn seek(&mut self, id: Id, enough: impl Fn(&Sought) -> bool) -> Result<Sought, HostError> {
        let mut sought = self.find_once(id)?;
        for _ in 0..RETRIES {
            if enough(&sought) {
                break;
            }
            self.tally.retried = self.tally.retried.saturating_add(1);
            // What was garbled once is somebody, even if it is silent then.
            sought = match (sought, self.find_once(id)?) {
                (Sought::Garbled, Sought::Nobody) => Sought::Garbled,
                (_, anew) => anew,
            };
        }
        Ok(sought)
    }

    fn find_once(&mut self, id: Id) -> Result<Sought, HostError> {
        let (request, bytes) = match self.protocol {
            Protocol::Dynamixel => (Request::Ping(Target::One(id)), 3),
            Protocol::Feetech => (Request::Read(id, Span { address: 0, bytes: 5 }), 5),
        };
        let (begun, before) = (self.line.now_us(), self.noise());
        let Some((complaint, data)) = self.once(&request, id, bytes)? else {
            self.settle(begun)?;
            let quiet = self.noise() == before;
            return Ok(if quiet { Sought::Nobody } else { Sought::Garbled });
        };
        let took_us = self.line.now_us().saturating_sub(begun);
        let (number, firmware) = match (self.protocol, data.as_slice()) {
            (Protocol::Dynamixel, [low, high, firmware]) => {
                (u16::from_le_bytes([*low, *high]), u16::from(*firmware))
            }
            (Protocol::Feetech, [major, minor, _, low, high]) => {
                let firmware =
                    u16::from(*major).saturating_mul(100).saturating_add((*minor).into());
                (u16::from_le_bytes([*low, *high]), firmware)
            }
            // It refuses to say who it is.
            _ => return Ok(Sought::Garbled),
        };
        let model = by_number(self.protocol, number);
        Ok(Sought::Somebody(Found { id, number, model, firmware, complaint, took_us }))
    }

    /// Reads registers of one servo, asking again where nobody answers.
    ///
    /// Errors: [`HostError`].
    pub fn read(&mut self, id: Id, span: Span) -> Result<Vec<u8>, HostError> {
        let what = format!("reading {} bytes at {}", span.bytes, span.address);
        let request = Request::Read(id, span);
        self.insist(&request, id, usize::from(span.bytes), &what)
    }

    /// What stands in a register. Errors: [`HostError`].
    pub fn get(&mut self, id: Id, model: &'static Model, what: What) -> Result<i64, HostError> {
        let register = register_of(model, what)?;
        // Two bytes alone could be Feetech's own echo: one more is read.
        let bytes = if register.bytes == 2 { 3 } else { register.bytes };
        let span = Span { address: register.address, bytes };
        let data = self.read(id, span)?;
        model.value(what, span, &data).ok_or(HostError::Silent { id: id.get() })
    }

    /// Writes a register, and reads it back: what is not there was not written.
    ///
    /// Errors: [`HostError`].
    pub fn set(
        &mut self,
        id: Id,
        model: &'static Model,
        what: What,
        value: i64,
    ) -> Result<(), HostError> {
        self.put(id, model, what, value)?;
        let found = self.get(id, model, what)?;
        if found == value {
            return Ok(());
        }
        Err(HostError::NotTaken { id: id.get(), what, told: value, found })
    }

    /// Does this while what a servo keeps without power may be written; locked again on every path.
    ///
    /// Errors: `act`'s first, else the lock's.
    pub fn unlocked<T>(
        &mut self,
        id: Id,
        model: &'static Model,
        act: impl FnOnce(&mut Self) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        if model.register(What::Lock).is_none() {
            return act(self);
        }
        let done = self.set(id, model, What::Lock, 0).and_then(|()| act(self));
        let locked = self.set(id, model, What::Lock, 1);
        done.and_then(|done| locked.map(|()| done))
    }

    /// Gives a servo another number, so that it keeps it; its torque is off. It is locked again on
    /// every path, under whichever number it has then. Errors: [`HostError`].
    pub fn renumber(&mut self, from: Id, to: Id, model: &'static Model) -> Result<(), HostError> {
        let locks = model.register(What::Lock).is_some();
        let unlocked = if locks { self.set(from, model, What::Lock, 0) } else { Ok(()) };
        let renumbered = unlocked.and_then(|()| self.renumber_unlocked(from, to, model));
        if !locks {
            return renumbered;
        }
        if renumbered.is_ok() {
            return self.set(to, model, What::Lock, 1);
        }
        // Whoever of the two does not answer is not there.
        let _either = self.set(to, model, What::Lock, 1).or(self.set(from, model, What::Lock, 1));
        renumbered
    }

    fn renumber_unlocked(
        &mut self,
        from: Id,
        to: Id,
        model: &'static Model,
    ) -> Result<(), HostError> {
        // The answer comes from the old number or from the new: either will do, and so will none,
        // since what counts is who answers afterwards.
        let told = i64::from(to.get());
        let written = self.put(from, model, What::Id, told);
        if let Err(gone @ (HostError::Gone(_) | HostError::Refused { .. })) = written {
            return Err(gone);
        }
        let found = self.get(to, model, What::Id)?;
        if found == told {
            return Ok(());
        }
        Err(HostError::NotTaken { id: from.get(), what: What::Id, told, found })
    }

    fn put(
        &mut self,
        id: Id,
        model: &'static Model,
        what: What,
        value: i64,
    ) -> Result<(), HostError> {
        let register = register_of(model, what)?;
        let bytes =
            register.encode(value).map_err(|DoesNotFit| HostError::DoesNotFit { what, value })?;
        let data = bytes.get(..usize::from(register.bytes)).unwrap_or(&[]);
        let request = Request::Write(Target::One(id), register.address, data);
        self.insist(&request, id, 0, &what.to_string()).map(drop)
    }

    /// Reads the same registers of several servos in one exchange, once. What each answered, in the
    /// order of `ids`; `None` where one did not. `fast`: all in one frame (Dynamixel).
    ///
    /// Errors: [`HostError::Gone`], [`HostError::Unsayable`].
    pub fn sync_read(
        &mut self,
        span: Span,
        ids: &[u8],
        fast: bool,
        heard: &mut Vec<Option<Packet>>,
    ) -> Result<(), HostError> {
        heard.clear();
        heard.resize(ids.len(), None);
        let fast = fast && self.protocol == Protocol::Dynamixel;
        let request =
            if fast { Request::FastSyncRead(span, ids) } else { Request::SyncRead(span, ids) };
        let begun = self.line.now_us();
        let until = self.ask(&request)?;
        let mut left = ids.len();
        while left > 0 {
            let Some(frame) = self.next(until)? else { break };
            let before = left;
            let mut note = |status: Status<'_>| {
                let place = ids.iter().position(|id| *id == status.id.get());
                let slot = place.and_then(|place| heard.get_mut(place));
                let mut data = Packet::EMPTY;
                let fits = status.data.len() == usize::from(span.bytes);
                if let Some(slot @ None) = slot
                    && fits
                    && data.extend(status.data).is_ok()
                {
                    *slot = Some(data);
                    left = left.saturating_sub(1);
                }
            };
            if fast {
                FastAnswer::parts(&frame, span.bytes).for_each(&mut note);
            } else if let Some(status) = Status::of(&frame, self.protocol) {
                note(status);
            }
            if left == before {
                self.tally.strays = self.tally.strays.saturating_add(1);
            }
        }
        if left > 0 {
            self.tally.failed = self.tally.failed.saturating_add(1);
            self.settle(begun)?;
        }
        Ok(())
    }

    /// Asks until somebody answers. Errors: [`HostError`].
    fn insist(
        &mut self,
        request: &Request<'_>,
        id: Id,
        bytes: usize,
        what: &str,
    ) -> Result<Vec<u8>, HostError> {
        let begun = self.line.now_us();
        for again in 0..=RETRIES {
            if again > 0 {
                self.tally.retried = self.tally.retried.saturating_add(1);
                self.tally.asked = self.tally.asked.saturating_sub(1);
            }
            let Some((complaint, data)) = self.once(request, id, bytes)? else {
                self.settle(begun)?;
                continue;
            };
            if again > 0 {
                // This may be the first question's answer: the others' are still to come.
                self.settle(begun)?;
            }
            if complaint.refused() {
                let why: Vec<String> = complaint.troubles().map(|t| t.to_string()).collect();
                let (id, what, why) = (id.get(), what.to_owned(), why.join("; "));
                return Err(HostError::Refused { id, what, why });
            }
            return Ok(data);
        }
        self.tally.failed = self.tally.failed.saturating_add(1);
        Err(HostError::Silent { id: id.get() })
    }

    /// Asks one servo once. `None`: no answer in time.
    fn once(
        &mut self,
        request: &Request<'_>,
        id: Id,
        bytes: usize,
    ) -> Result<Option<(Complaint, Vec<u8>)>, HostError> {
        let until = self.ask(request)?;
        while let Some(frame) = self.next(until)? {
            let status = Status::of(&frame, self.protocol);
            let Some(status) = status.filter(|status| status.answers(id, bytes)) else {
                self.tally.strays = self.tally.strays.saturating_add(1);
                continue;
            };
            if !status.complaint.is_none() {
                self.tally.complaints = self.tally.complaints.saturating_add(1);
            }
            return Ok(Some((status.complaint, status.data.to_vec())));
        }
        Ok(None)
    }

    /// Says a request on a line that is quiet. Returns until when an answer may come.
    fn ask(&mut self, request: &Request<'_>) -> Result<u64, HostError> {
        let packet = request.encode(self.protocol)?;
        // What is left of an earlier answer answers nothing now.
        self.line.forget().map_err(HostError::Gone)?;
        while self.receiver.give_up().is_some() {
            self.tally.strays = self.tally.strays.saturating_add(1);
        }
        self.tally.asked = self.tally.asked.saturating_add(1);
        let load = Load::of(request, self.protocol).unwrap_or_default();
        let wire_us = load.wire_us(self.baud, RETURN_DELAY_MAX_US);
        let until = self.line.now_us().saturating_add(wire_us).saturating_add(self.patience_us);
        self.line.say(packet.as_slice()).map_err(HostError::Gone)?;
        Ok(until)
    }

    /// Listens until the line was quiet for the patience, and for as long as was waited since
    /// `begun`: an answer that is late does not say which question it answers, so it must not meet
    /// the next one. A servo that is later than six times the patience is not provided for.
    ///
    /// Errors: [`HostError::Gone`].
    fn settle(&mut self, begun_us: u64) -> Result<(), HostError> {
        let start = self.line.now_us();
        let quiet_us = start.saturating_sub(begun_us).max(self.patience_us);
        let last = start.saturating_add(quiet_us.saturating_mul(SETTLE_TIMES));
        let mut until = start.saturating_add(quiet_us);
        while self.line.now_us() < until.min(last) {
            let mut bytes = [0_u8; 256];
            let came = self.line.hear(&mut bytes, until.min(last)).map_err(HostError::Gone)?;
            if came == 0 {
                continue;
            }
            until = self.line.now_us().saturating_add(quiet_us);
            self.receiver.push(bytes.get(..came).unwrap_or(&[]));
            while self.receiver.next_frame().is_some() {
                self.tally.strays = self.tally.strays.saturating_add(1);
            }
        }
        while self.receiver.give_up().is_some() {
            self.tally.strays = self.tally.strays.saturating_add(1);
        }
        Ok(())
    }

    /// The next whole frame, until then.
    fn next(&mut self, until_us: u64) -> Result<Option<Frame>, HostError> {
        loop {
            if let Some(frame) = self.receiver.next_frame() {
                return Ok(Some(frame));
            }
            if self.line.now_us() >= until_us {
                return Ok(self.receiver.give_up());
            }
            let mut bytes = [0_u8; 256];
            let came = self.line.hear(&mut bytes, until_us).map_err(HostError::Gone)?;
            self.receiver.push(bytes.get(..came).unwrap_or(&[]));
        }
    }
}

/// A servo fresh from its box waits so long before it answers. Source: ROBOTIS e-manual, "Return
/// Delay Time": 250 units of 2 us; Feetech's begin with 0.
const RETURN_DELAY_MAX_US: u32 = 500;

/// A line that is not quiet for ten times as long is never quiet: it goes on. Chosen.
const SETTLE_TIMES: u64 = 10;

fn register_of(model: &'static Model, what: What) -> Result<&'static Register, HostError> {
    model.register(what).ok_or(HostError::NoRegister { model: model.name, what })
}
