//! Other people's tools: what measures against us, and what we measure against.
//!
//! Knows: sockets, and who may be answered how often. Does not know: any link; what is measured
//! here is the network that there is.
//!
//! A reflector answers strangers, so it must not be of use to one who would harm a third: it
//! answers only what parses; an answer is never longer than its question, but for irtt's open,
//! whose answer has eight bytes more (the token) and is given ten times a second at most; each
//! address, whatever its port, is answered so often and no oftener, all together too, and so many
//! addresses at once. Who asks for STAMP shows nothing, so a third can still be sent what a
//! stranger spends on it: not for the open internet.

pub mod client;
pub mod guests;
pub mod irtt;
pub mod stamp;

use std::collections::BTreeMap;
use std::io;
use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longhand_quic::clock::{monotonic_ns, wall_ns};
use serde::Serialize;

/// The longest datagram that is looked at. Source: what an Ethernet frame of 1500 bytes carries
/// (irtt's own longest usual one is 1472).
pub const LONGEST: usize = 1_472;
/// How often a reading thread looks whether it is to end.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// A moment on both clocks of this machine, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since some beginning.
    pub monotonic: u64,
    /// Since 1970.
    pub wall: u64,
}

impl Now {
    /// Now.
    pub fn read() -> Self {
        Self { monotonic: monotonic_ns(), wall: wall_ns() }
    }
}

/// Why a packet was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// Not of this protocol, or not whole.
    NotOurs,
    /// Its key is not ours, or it has one and we have none.
    Key,
    /// Of no session that there is, or not from where that session was opened.
    NoSession,
    /// Shorter than its answer would be; an open, by more than the token.
    Short,
    /// An open, while the system gives no number that nobody can guess.
    NoToken,
    /// As many as there may be are measuring already.
    Full,
    /// This address, or all together, is answered as often as it may be.
    TooOften,
}

impl Ignored {
    /// In a count's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::Key => "key",
            Self::NoSession => "no_session",
            Self::Short => "short",
            Self::NoToken => "no_token",
            Self::Full => "full",
            Self::TooOften => "too_often",
        }
    }
}

/// What a reflector does with one packet: the answer, or nothing where none is due.
pub trait Answers: Send {
    /// Answers a packet that came now; `sends` is asked just before the answer is made.
    ///
    /// Errors: why it is not answered.
    fn answer(
        &mut self,
        came: Now,
        from: SocketAddr,
        packet: &[u8],
        sends: &mut dyn FnMut() -> Now,
    ) -> Result<Option<Vec<u8>>, Ignored>;
}

/// What became of what came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Packets that came.
    pub came: u64,
    /// Times that the system could not say what came.
    pub not_read: u64,
    /// Answered.
    pub answered: u64,
    /// Answers that the system did not take.
    pub not_sent: u64,
    /// Not answered, by why.
    pub ignored: BTreeMap<&'static str, u64>,
}

/// Answers what comes to a socket until `stop`.
///
/// Asks for no real time, of whatever priority: on a robot's machine a stranger's flood gets a
/// share of a processor as any program does, never the time of a thread that moves or hears an arm.
/// Source: `longhand_quic::pace`: servo 80, network 70. What that costs a probe, irtt's client and
/// STAMP's sender see between the two times of an answer, but for the wake before the first.
///
/// Errors: the socket cannot be set up. One that fails later is counted, packet by packet.
pub fn serve(
    socket: &UdpSocket,
    mut peer: Box<dyn Answers>,
    stop: &AtomicBool,
) -> io::Result<Counts> {
    socket.set_read_timeout(Some(LOOKS_EVERY))?;
    let mut counts = Counts::default();
    let mut buffer = [0; LONGEST + 1];
    while !stop.load(Ordering::Acquire) {
        let (len, from) = match socket.recv_from(&mut buffer) {
            Ok(came) => came,
            // Nothing came meanwhile.
            Err(why) if matches!(why.kind(), WouldBlock | TimedOut | Interrupted) => continue,
            Err(_) => {
                counts.not_read += 1;
                continue;
            }
        };
        let came = Now::read();
        counts.came += 1;
        let packet = buffer.get(..len).filter(|packet| packet.len() <= LONGEST);
        let packet = packet.ok_or(Ignored::NotOurs);
        match packet.and_then(|packet| peer.answer(came, from, packet, &mut Now::read)) {
            Ok(Some(answer)) => match socket.send_to(&answer, from) {
                Ok(_) => counts.answered += 1,
                Err(_) => counts.not_sent += 1,
            },
            Ok(None) => {}
            Err(why) => *counts.ignored.entry(why.name()).or_default() += 1,
        }
    }
    Ok(counts)
}
