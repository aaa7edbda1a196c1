//! A STAMP Session-Reflector, unauthenticated mode (RFC 8762), stateless or stateful.
//!
//! Knows: the 44 bytes of a test packet, and the extensions' frame (RFC 8972). Does not know:
//! sockets or clocks, or what any extension means: each is sent back marked as unrecognised.
//!
//! An answer is as long as its question. What must be zero in a sender's packet and is not, is no
//! sender's packet: another reflector's answer, which two reflectors would hand to and fro for
//! ever. That is stricter than RFC 8762, section 4.2.1, where a reflector ignores what stands in
//! those fields: a sender that fills them gets no answer here.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::guests::{GUESTS_MAX, Guests};
use super::{Answers, Ignored, Now};

/// The base packet, of either side. Source: RFC 8762 section 4.2.1 and 4.3.1.
pub const BASE: usize = 44;
/// Sessions that are counted at once. Chosen: a few of every guest.
pub const SESSIONS_MAX: usize = 4 * GUESTS_MAX;
/// A session that was silent so long is over, ns. Chosen: a minute, as irtt's.
const SILENT_NS: u64 = 60_000_000_000;
/// Between the NTP era's beginning and 1970, s. Source: RFC 868.
const ERA_S: u64 = 2_208_988_800;
/// What is said of this clock: not kept by anything that this program knows of (S 0), NTP format
/// (Z 0), and an error of the most that the field can say (scale 63, multiplier 255: centuries).
/// Nobody watches the clock, so any smaller one would be made up; a multiplier of zero would have
/// the packet thrown away. Source: RFC 4656 section 4.1.2.
const ERROR: [u8; 2] = [63, 255];
/// Where the sender's time to live is not known, as here. Source: RFC 5357 section 4.2, where
/// this field is from.
const TTL_UNKNOWN: u8 = 255;
/// Flags of an extension. Source: RFC 8972 section 4: U, unrecognised; M, malformed.
const UNRECOGNISED: u8 = 0x80;
const MALFORMED: u8 = 0x40;

/// A session: an address, and the sender's own number for it (RFC 8972).
type Session = (SocketAddr, [u8; 2]);

/// The reflector.
pub struct Stamp {
    /// Answers so far of each session, and when the last was, ns.
    numbers: Option<HashMap<Session, (u32, u64)>>,
    guests: Guests,
}

impl Stamp {
    /// Stateless, an answer's number is its question's; stateful, it counts answers, so that loss
    /// on the way back is told from loss on the way there.
    pub fn new(is_stateful: bool) -> Self {
        Self { numbers: is_stateful.then(HashMap::new), guests: Guests::default() }
    }

    fn number(&mut self, now_ns: u64, session: Session, asked: u32) -> Result<u32, Ignored> {
        let Some(numbers) = &mut self.numbers else { return Ok(asked) };
        if numbers.len() >= SESSIONS_MAX && !numbers.contains_key(&session) {
            numbers.retain(|_, (_, heard)| now_ns.saturating_sub(*heard) < SILENT_NS);
            if numbers.len() >= SESSIONS_MAX {
                // One that came once and not again; one that goes on would count anew, and would
                // call that loss.
                let once = numbers.iter().filter(|(_, (number, _))| *number == 1);
                let oldest = once.min_by_key(|(_, (_, heard))| *heard);
                let oldest = oldest.map(|(session, _)| *session).ok_or(Ignored::Full)?;
                numbers.remove(&oldest);
            }
        }
        let (number, heard) = numbers.entry(session).or_default();
        *heard = now_ns;
        let this = *number;
        *number = number.wrapping_add(1);
        Ok(this)
    }
}

impl Answers for Stamp {
    fn answer(
        &mut self,
        came: Now,
        from: SocketAddr,
        packet: &[u8],
        sends: &mut dyn FnMut() -> Now,
    ) -> Result<Option<Vec<u8>>, Ignored> {
        let (base, rest) = packet.split_first_chunk::<BASE>().ok_or(Ignored::NotOurs)?;
        let (sender, zero) = base.split_at(16);
        let (head, session) = sender.split_at(14);
        let (&number, &session) =
            head.first_chunk::<4>().zip(session.first_chunk::<2>()).ok_or(Ignored::NotOurs)?;
        if zero.iter().any(|byte| *byte != 0) {
            return Err(Ignored::NotOurs);
        }
        // Its questions show nothing: any address can be written into one.
        self.guests.admit(from.ip(), came.monotonic, false)?;
        let number = self.number(came.monotonic, (from, session), u32::from_be_bytes(number))?;
        let mut answer = Vec::with_capacity(packet.len());
        answer.extend(number.to_be_bytes());
        answer.extend(ntp(sends().wall).to_be_bytes());
        answer.extend(ERROR);
        answer.extend(session);
        answer.extend(ntp(came.wall).to_be_bytes());
        // Its number, its time and its error, as they came.
        answer.extend(head);
        answer.extend([0, 0, TTL_UNKNOWN, 0, 0, 0]);
        extensions(rest, &mut answer);
        Ok(Some(answer))
    }
}

/// A wall time, ns since 1970, in NTP's 64 bits: seconds of the era and parts of one.
pub fn ntp(wall_ns: u64) -> u64 {
    let (seconds, ns) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
    // The era's number is not in it: 2036 begins anew.
    let seconds = seconds.wrapping_add(ERA_S) & u64::from(u32::MAX);
    (seconds << 32) | ((ns << 32) / 1_000_000_000)
}

/// Copies what stands behind the base packet, each extension marked as what it is to us. Padding of
/// nothing but zeros is padding.
fn extensions(mut rest: &[u8], answer: &mut Vec<u8>) {
    if rest.iter().all(|byte| *byte == 0) {
        answer.extend(rest);
        return;
    }
    while let Some((&[flags, kind, high, low], behind)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, next)) = behind.split_at_checked(len) else {
            answer.extend([flags | MALFORMED, kind, high, low]);
            answer.extend(behind);
            return;
        };
        answer.extend([flags | UNRECOGNISED, kind, high, low]);
        answer.extend(value);
        rest = next;
    }
    answer.extend(rest);
}
