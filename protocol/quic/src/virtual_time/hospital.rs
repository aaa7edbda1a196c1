//! The hospital of every virtual world: one authority, one robot, one surgeon, always the same.
//!
//! Knows: how to make certificates that are the same bytes everywhere. Does not know: how they are
//! used. Keys are Ed25519, whose signatures have no chance in them; the product's ECDSA has.

use std::time::Duration;

use longhand_protocol::message::RobotId;
use rcgen::{KeyPair, SerialNumber};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::draws::{Draws, WallTime};
use crate::trust::{Authority, Birth, Credentials, Role, TrustError, Validity};

/// The robot of every virtual world.
pub(super) const ROBOT: RobotId = RobotId::new(1);

/// What comes before the 32 bytes of an Ed25519 key. Source: RFC 8410 section 7, PKCS #8 version 1.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Life of a certificate either side of the world's beginning. Chosen: longer than any run.
const LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Both ends' credentials.
pub(super) struct Hospital {
    pub(super) robot: Credentials,
    pub(super) console: Credentials,
}

impl Hospital {
    /// The hospital. No seed of a run goes into it: certificates do not change between runs.
    pub(super) fn open() -> Result<Self, TrustError> {
        let mut draws = Draws::new(0, 0);
        let began = WallTime::beginning();
        let life = Validity {
            not_before: began.checked_sub(LIFE).unwrap_or(began),
            not_after: began.checked_add(LIFE).unwrap_or(began),
        };
        let authority = Authority::born("Virtual Hospital", life, birth(&mut draws)?)?.authority;
        let mut issue = |role, name, robot| {
            let identity = authority.issue_born(role, name, robot, life, birth(&mut draws)?)?;
            authority.credentials(&identity)
        };
        Ok(Self {
            robot: issue(Role::Robot, "or1", Some(ROBOT))?,
            console: issue(Role::Surgeon, "dr-virtual", None)?,
        })
    }
}

fn birth(draws: &mut Draws) -> Result<Birth, TrustError> {
    let mut der = PKCS8.to_vec();
    der.extend(draws.bytes::<32>());
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(der))?;
    let mut serial = draws.bytes::<16>();
    // As the product's serials: neither DER's sign nor its shortest form changes the length.
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(Birth { key, serial: SerialNumber::from_slice(&serial) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_hospital_is_the_same_bytes_every_time() {
        let (one, other) = (Hospital::open().unwrap(), Hospital::open().unwrap());
        assert_eq!(one.robot.certificate, other.robot.certificate);
        assert_eq!(one.console.certificate, other.console.certificate);
        assert_eq!(one.robot.revocations, other.robot.revocations);
        assert_ne!(one.robot.certificate, one.console.certificate);
    }
}
