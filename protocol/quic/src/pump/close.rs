//! Why a connection ends: what one end says, and what the other end makes of it.
//!
//! Knows: our close codes, QUIC's and TLS's, and plain words for each. Does not know: the rules
//! that lead to a close (`robot-agent`, `console`), or what is done after it (`console` pump).

use std::fmt;

use quinn::{ConnectionError, VarInt};
use thiserror::Error;

use crate::tls::alert_words;
use crate::trust::{IdentityError, robot_of, shown};

/// Longest reason sent to a peer, bytes. Chosen: fits one packet beside everything else.
const REASON_MAX: usize = 400;
/// TLS alerts are QUIC codes from here on. Source: RFC 9001 section 4.8.
const CRYPTO_BASE: u64 = 0x100;
/// "The server refuses to accept a new connection." Source: RFC 9000 section 20.1.
const CONNECTION_REFUSED: u64 = 0x02;

/// The kind of a close, as a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// This end is done, or its process is being stopped.
    Done,
    /// The certificate's role may not do this.
    Role,
    /// Well said but not now: the lease is held, the state forbids it.
    Refused,
    /// No room for another connection.
    Full,
    /// The bytes made no sense: a bad frame, no control stream, too large a datagram.
    Nonsense,
    /// The peer is not who this end asked for.
    WrongPeer,
    /// The lease is another connection's now: the same surgeon's, or another surgeon's whom the
    /// bedside let in. A person must ask before this end connects again, or the two would take it
    /// from each other for ever.
    TakenOver,
    /// A number that this release does not know.
    Unknown,
}

impl CloseCode {
    const ALL: [Self; 8] = [
        Self::Done,
        Self::Role,
        Self::Refused,
        Self::Full,
        Self::Nonsense,
        Self::WrongPeer,
        Self::TakenOver,
        Self::Unknown,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Role => 1,
            Self::Refused => 2,
            Self::Full => 3,
            Self::Nonsense => 4,
            Self::WrongPeer => 5,
            Self::TakenOver => 6,
            Self::Unknown => 255,
        }
    }

    fn from_number(number: u64) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| u64::from(code.number()) == number)
            .unwrap_or(Self::Unknown)
    }
}

/// This end's decision to end a connection. The words reach the peer: say what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Close {
    /// The kind.
    pub code: CloseCode,
    /// The words, for a person at the other end.
    pub reason: String,
}

impl Close {
    /// Ends the connection with `code` and words for the person at the other end.
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(crate) fn nonsense(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Nonsense, reason)
    }

    pub(crate) fn apply(&self, connection: &quinn::Connection) {
        let mut end = self.reason.len().min(REASON_MAX);
        while !self.reason.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let reason = self.reason.get(..end).unwrap_or_default();
        connection.close(VarInt::from_u32(self.code.number()), reason.as_bytes());
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// [`crate::doorbell::Stop`] was called at this end.
    Stopped,
    /// This end's own decision.
    Here(CloseCode),
    /// The peer's decision.
    There(CloseCode),
    /// One end did not accept the other's certificate.
    Certificate,
    /// Nothing was heard for [`crate::pump::IDLE_TIMEOUT`], or no handshake came about in time.
    Silent,
    /// The peer has restarted and knows nothing of this connection.
    Restarted,
    /// The peer broke QUIC's own rules.
    Broken,
    /// This end's socket or system would not do it.
    Local,
}

/// How and why a connection ended, or did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The kind, for programs.
    pub how: How,
    /// The words, for people. Safe to print, whoever said them.
    pub reason: String,
}

impl Closed {
    pub(crate) fn new(how: How, reason: impl Into<String>) -> Self {
        Self { how, reason: reason.into() }
    }

    pub(crate) fn stopped() -> Self {
        Self::new(How::Stopped, "this end was stopped")
    }

    pub(crate) fn here(close: &Close) -> Self {
        Self::new(How::Here(close.code), close.reason.clone())
    }

    pub(crate) fn from_error(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(local) => {
                let said = shown(&local.reason);
                match alert_of(u64::from(local.code)) {
                    Some(alert) => {
                        let reason = another_robot(&local.reason).unwrap_or_else(|| {
                            format!("the other end's certificate or TLS: {}", alert_words(alert))
                        });
                        Self::new(How::Certificate, reason)
                    }
                    None => Self::new(How::Broken, format!("the other end broke QUIC: {said}")),
                }
            }
            ConnectionError::ConnectionClosed(peer) => {
                Self::from_peer_code(u64::from(peer.error_code), &peer.reason)
            }
            ConnectionError::ApplicationClosed(peer) => {
                let code = CloseCode::from_number(peer.error_code.into_inner());
                let said = shown(&String::from_utf8_lossy(&peer.reason));
                let reason = if said.is_empty() { "no reason given".to_owned() } else { said };
                Self::new(How::There(code), reason)
            }
            ConnectionError::Reset => {
                Self::new(How::Restarted, "the other end has restarted and forgot this connection")
            }
            ConnectionError::TimedOut => Self::new(
                How::Silent,
                "nothing was heard from the other end for too long; check the link and its address",
            ),
            ConnectionError::VersionMismatch => {
                Self::new(How::Broken, "the other end speaks another version of QUIC")
            }
            ConnectionError::LocallyClosed => Self::stopped(),
            ConnectionError::CidsExhausted => {
                Self::new(How::Local, "no connection ids left; restart this end")
            }
        }
    }

    fn from_peer_code(code: u64, reason: &[u8]) -> Self {
        if let Some(alert) = alert_of(code) {
            let words = alert_words(alert);
            return Self::new(How::Certificate, format!("refused by the other end: {words}"));
        }
        if code == CONNECTION_REFUSED {
            let words = "the robot takes no new connection now: it is ending, or all are in use";
            return Self::new(How::There(CloseCode::Full), words);
        }
        let said = shown(&String::from_utf8_lossy(reason));
        Self::new(How::Broken, format!("the other end gave up on QUIC, code {code:#x}: {said}"))
    }

    /// The lease went to another connection: this end must not take it back until a person asks.
    pub fn is_taken_over(&self) -> bool {
        match self.how {
            How::Here(code) | How::There(code) => code == CloseCode::TakenOver,
            How::Certificate
            | How::Stopped
            | How::Silent
            | How::Restarted
            | How::Broken
            | How::Local => false,
        }
    }

    /// Trying again soon is pointless: somebody must do something first.
    pub fn is_refusal(&self) -> bool {
        match self.how {
            How::Certificate => true,
            How::Here(code) | How::There(code) => code != CloseCode::Done,
            How::Stopped | How::Silent | How::Restarted | How::Broken | How::Local => false,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Why a peer never became a connection at the robot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// As many handshakes are under way as are allowed at once: the newest is refused.
    #[error("too many handshakes at once; the newest was refused")]
    Busy,
    /// As many connections exist as are allowed: the newest is refused.
    #[error("too many connections; the newest was refused")]
    Full,
    /// The handshake failed or was not finished in time.
    #[error("{0}")]
    Failed(Closed),
    /// The certificate is the hospital's, but does not say who its holder is.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// `accept` said no.
    #[error("refused: {0}")]
    Refused(Close),
}

/// Where rustls says that a certificate is not for the name asked for, which robot it is and which
/// was asked for, in words. rustls tells it as a sentence only: the two names in it are ours.
fn another_robot(said: &str) -> Option<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let mut robots = said.split(|c| !is_of_name(c)).filter_map(robot_of);
    let (asked, is) = (robots.next()?, robots.next()?);
    let (asked, is) = (asked.get(), is.get());
    Some(format!("this is robot {is}, you asked for robot {asked}; check --robot-id"))
}

fn alert_of(code: u64) -> Option<u8> {
    code.checked_sub(CRYPTO_BASE).and_then(|alert| u8::try_from(alert).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::message::RobotId;

    #[test]
    fn close_codes_read_back_and_strangers_are_unknown() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(u64::from(code.number())), code);
        }
        assert_eq!(CloseCode::from_number(77), CloseCode::Unknown);
    }

    #[test]
    fn a_peers_words_cannot_steer_a_terminal() {
        let closed = Closed::from_peer_code(7, b"\x1b[2Jhello\xff");
        assert!(!closed.reason.contains('\x1b'), "{closed}");
        assert!(closed.reason.contains("hello"), "{closed}");
    }

    #[test]
    fn another_robot_is_told_by_its_number_and_not_in_the_words_of_a_library() {
        use rustls::pki_types::ServerName;
        let names = [1, 2].map(|id| crate::trust::robot_dns_name(RobotId::new(id)));
        let [is, asked] = names;
        let error =
            rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
                expected: ServerName::try_from(asked).unwrap(),
                presented: vec![format!("DnsName(\"{is}\")")],
            });
        let words = another_robot(&error.to_string()).unwrap();
        assert_eq!(words, "this is robot 1, you asked for robot 2; check --robot-id");
        assert_eq!(another_robot("invalid peer certificate: Expired"), None);
    }

    #[test]
    fn tls_alerts_are_told_in_words() {
        let closed = Closed::from_peer_code(CRYPTO_BASE + 44, b"");
        assert_eq!(closed.how, How::Certificate);
        assert!(closed.reason.contains("revoked"), "{closed}");
        assert!(closed.is_refusal());
    }
}
