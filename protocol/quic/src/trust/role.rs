//! Who a certificate says its holder is.
//!
//! Knows: how role, name and robot number are written in a certificate, and how to read them back.
//! Does not know: whether the certificate may be believed (the handshake checks the chain first,
//! `tls`), or what a role may do (`robot-agent`, safety.md section 9).
//!
//! Written as subject alternative names, so that every TLS library in the world can show them:
//! `URI:urn:longhand:role:surgeon`, `URI:urn:longhand:name:dr-lopez`, and for a robot also
//! `DNS:robot-7.longhand.internal`, the name that a console asks for. (`.internal` is reserved by
//! ICANN for private use, so no public authority can ever issue it.) A gateway's is
//! `DNS:gateway-or3.longhand.internal`: it is both asked and asks, so it may be server and client.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use longhand_protocol::message::RobotId;
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const ROLE_URN: &str = "urn:longhand:role:";
const NAME_URN: &str = "urn:longhand:name:";
const ROBOT_DNS: (&str, &str) = ("robot-", ".longhand.internal");
const GATEWAY_DNS: (&str, &str) = ("gateway-", ".longhand.internal");
/// Longest name of a holder. Chosen: a DNS label's 63 minus room for what we put around it.
pub(crate) const NAME_MAX: usize = 48;

/// What the hospital lets the holder of a certificate be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// May hold the lease and move the arms.
    Surgeon,
    /// The bedside robot agent: the only role a console will connect to.
    Robot,
    /// May look and qualify the link; never moves.
    Engineer,
    /// May look.
    Observer,
    /// The process that shows a robot to the outside, or a router between such: never moves.
    Gateway,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Surgeon, Self::Robot, Self::Engineer, Self::Observer, Self::Gateway];

    /// The word for it, as in the certificate and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Surgeon => "surgeon",
            Self::Robot => "robot",
            Self::Engineer => "engineer",
            Self::Observer => "observer",
            Self::Gateway => "gateway",
        }
    }

    pub(crate) fn urn(self) -> String {
        format!("{ROLE_URN}{}", self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(word: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == word)
            .ok_or_else(|| IdentityError::UnknownRole { got: shown(word) })
    }
}

/// What is wrong with what a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Not an X.509 certificate.
    #[error("the certificate cannot be read ({why}); issue a new one with `trust issue`")]
    Unreadable {
        /// What the parser said.
        why: String,
    },
    /// The peer showed no certificate.
    #[error("no certificate was shown; connect with one issued by this hospital")]
    Missing,
    /// Not exactly one `urn:longhand:role:`.
    #[error("the certificate names {found} roles, not one; issue a new one with `trust issue`")]
    NotOneRole {
        /// How many it names.
        found: usize,
    },
    /// A role that this release does not know.
    #[error("unknown role `{got}`; it must be surgeon, robot, engineer, observer or gateway")]
    UnknownRole {
        /// The word found.
        got: String,
    },
    /// Not exactly one `urn:longhand:name:`, or it is not a plain name.
    #[error("the certificate has no plain name; issue a new one with `trust issue`")]
    NoName,
    /// A robot without a number, or somebody else with one.
    #[error("a robot's certificate carries one robot number and no other's does; issue a new one")]
    RobotNumber,
}

/// What a verified certificate says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// What the hospital lets the holder be.
    pub role: Role,
    /// The holder's name: a person, or a machine.
    pub name: String,
    /// Which robot, where the holder is one.
    pub robot: Option<RobotId>,
    /// The certificate's serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate, hexadecimal: what a person compares by eye.
    pub fingerprint: String,
    /// From when it is valid, wall time.
    pub not_before: SystemTime,
    /// Until when it is valid, wall time.
    pub not_after: SystemTime,
}

impl PeerIdentity {
    /// Reads a certificate. Says nothing about whether it may be believed: only the leaf of a
    /// chain that the handshake has verified is an identity.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, cert) = X509Certificate::from_der(der)
            .map_err(|error| IdentityError::Unreadable { why: error.to_string() })?;
        if !rest.is_empty() {
            return Err(IdentityError::Unreadable { why: "bytes after its end".to_owned() });
        }
        let said = Said::of(&cert)?;
        let [role] = said.roles.as_slice() else {
            return Err(IdentityError::NotOneRole { found: said.roles.len() });
        };
        let role: Role = role.parse()?;
        let [name] = said.names.as_slice() else { return Err(IdentityError::NoName) };
        if !is_plain_name(name) {
            return Err(IdentityError::NoName);
        }
        let robot = match (role, said.robots.as_slice()) {
            (Role::Robot, [Some(id)]) => Some(*id),
            (Role::Surgeon | Role::Engineer | Role::Observer, []) => None,
            // Its own name, which is no robot's.
            (Role::Gateway, [None]) => None,
            (Role::Robot | Role::Surgeon | Role::Engineer | Role::Observer | Role::Gateway, _) => {
                return Err(IdentityError::RobotNumber);
            }
        };
        Ok(Self {
            role,
            name: name.clone(),
            robot,
            serial: hex(cert.raw_serial()),
            fingerprint: fingerprint(der),
            not_before: wall_time(cert.validity().not_before.timestamp()),
            not_after: wall_time(cert.validity().not_after.timestamp()),
        })
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.robot {
            Some(id) => write!(f, "robot {} \"{}\"", id.get(), self.name),
            None => write!(f, "{} \"{}\"", self.role, self.name),
        }
    }
}

/// The DNS name that robot `id` proves in its handshake.
pub fn robot_dns_name(id: RobotId) -> String {
    let (before, after) = ROBOT_DNS;
    format!("{before}{}{after}", id.get())
}

/// The DNS name that the gateway called `name` proves in its handshake.
pub(crate) fn gateway_dns_name(name: &str) -> String {
    let (before, after) = GATEWAY_DNS;
    format!("{before}{name}{after}")
}

/// A wall time as `2031-04-09 12:00 UTC`, for people.
pub fn date(time: SystemTime) -> String {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    };
    match x509_parser::time::ASN1Time::from_timestamp(seconds) {
        Ok(time) => {
            let t = time.to_datetime();
            let (month, day) = (u8::from(t.month()), t.day());
            format!("{:04}-{month:02}-{day:02} {:02}:{:02} UTC", t.year(), t.hour(), t.minute())
        }
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// Letters, digits, `-`, `_` and inner dots: safe as a file name, a DNS label and a log word.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

pub(crate) fn name_urn(name: &str) -> String {
    format!("{NAME_URN}{name}")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Words from the other end, made safe to print: a peer must not steer a terminal.
pub(crate) fn shown(words: &str) -> String {
    const SHOWN_MAX: usize = 300;
    words
        .chars()
        .take(SHOWN_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// The name that a certificate's subject bears; empty where there is none.
pub(super) fn common_name(der: &[u8]) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return String::new() };
    let mut names = certificate.subject().iter_common_name();
    let name = names.next().and_then(|name| name.as_str().ok());
    shown(name.unwrap_or_default())
}

fn fingerprint(der: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, der).as_ref())
}

fn wall_time(unix_seconds: i64) -> SystemTime {
    let span = Duration::from_secs(unix_seconds.unsigned_abs());
    let time = if unix_seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Every word of ours in the certificate, before any is judged.
#[derive(Default)]
struct Said {
    roles: Vec<String>,
    names: Vec<String>,
    /// One per DNS name; `None` where it is not of the form of ours.
    robots: Vec<Option<RobotId>>,
}

impl Said {
    fn of(cert: &X509Certificate<'_>) -> Result<Self, IdentityError> {
        let names = cert
            .subject_alternative_name()
            .map_err(|error| IdentityError::Unreadable { why: error.to_string() })?;
        let mut said = Self::default();
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            if let GeneralName::URI(uri) = name {
                if let Some(role) = uri.strip_prefix(ROLE_URN) {
                    said.roles.push(role.to_owned());
                } else if let Some(holder) = uri.strip_prefix(NAME_URN) {
                    said.names.push(holder.to_owned());
                }
            } else if let GeneralName::DNSName(dns) = name {
                said.robots.push(robot_of(dns));
            }
        }
        Ok(said)
    }
}

/// The robot whose name this is; `None` where it is not of the form of ours.
pub(crate) fn robot_of(dns: &str) -> Option<RobotId> {
    let (before, after) = ROBOT_DNS;
    let id = dns.strip_prefix(before)?.strip_suffix(after)?.parse().ok().map(RobotId::new)?;
    // `007` and `+7` are not the name of robot 7.
    (robot_dns_name(id) == dns).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robot_name_is_read_back_only_as_it_is_written() {
        for id in [0, 7, u64::MAX] {
            let id = RobotId::new(id);
            assert_eq!(robot_of(&robot_dns_name(id)), Some(id));
        }
        for other in ["robot-07.longhand.internal", "robot-+7.longhand.internal", "robot-7", ""] {
            assert_eq!(robot_of(other), None, "{other}");
        }
    }

    #[test]
    fn only_plain_names_are_names() {
        for name in ["dr-lopez", "or3.left", "A_1", "7"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".hidden", "-x", "a/b", "a b", "ä", "a\n", &"x".repeat(NAME_MAX + 1)] {
            assert!(!is_plain_name(name), "{name}");
        }
    }

    #[test]
    fn a_date_is_written_for_people() {
        assert_eq!(date(SystemTime::UNIX_EPOCH), "1970-01-01 00:00 UTC");
        let leap = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_210_096);
        assert_eq!(date(leap), "2024-02-29 12:34 UTC");
    }

    #[test]
    fn roles_read_back_and_others_are_named_in_the_error() {
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
        }
        let error = "nurse\u{7}".parse::<Role>().unwrap_err().to_string();
        assert!(error.contains("nurse") && !error.contains('\u{7}'), "{error}");
    }
}
