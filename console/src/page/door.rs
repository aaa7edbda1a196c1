//! Who may speak to the page.
//!
//! Knows: the token of this run, the names this page answers to. Does not know: what is asked for.
//!
//! Three checks, all on every request: the token in the query (another user of this machine cannot
//! guess it), the `Host` header (a foreign name that was re-pointed at 127.0.0.1, "DNS rebinding",
//! does not match), and the `Origin` header (another web page in the same browser may not reach
//! in).

use longhand_quic::random::{NoRandom, random_bytes};
use longhand_quic::trust::hex;
use std::fmt;

/// 128 random bits that the address must carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token([u8; 16]);

impl Token {
    /// Draws a token from the kernel.
    ///
    /// Errors: the kernel has none.
    pub(super) fn draw() -> Result<Self, NoRandom> {
        random_bytes().map(Self)
    }

    /// The token as 32 lower-case hex digits.
    pub(super) fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Whether `text` is this token. Takes the same time wherever they first differ.
    fn is(&self, text: &str) -> bool {
        let hex = self.hex();
        let differing =
            hex.bytes().zip(text.bytes()).fold(0_u8, |seen, (ours, theirs)| seen | (ours ^ theirs));
        text.len() == hex.len() && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

/// What the door looks at. `None` where the request has no such header, or has it twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caller<'a> {
    /// The part of the address after `?`.
    pub(super) query: Option<&'a str>,
    /// The `Host` header.
    pub(super) host: Option<&'a str>,
    /// The `Origin` header, if there is one.
    pub(super) origin: Option<&'a str>,
}

/// Why the door stays shut. Each is the sentence that the caller reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DoorRefusal {
    /// The token is missing, wrong, or given twice.
    #[error(
        "This page opens only by the address that the console printed when it started. Copy the \
         whole line, token included."
    )]
    Token,
    /// The request was meant for another name.
    #[error("This page answers only as 127.0.0.1 on this machine. Use the address as printed.")]
    Host,
    /// Another web page is asking.
    #[error("Only the console's own page may ask for this. Open the address as printed.")]
    Origin,
}

/// The door of one run.
#[derive(Debug)]
pub(super) struct Door {
    token: Token,
    hosts: [String; 2],
}

impl Door {
    /// A door for a page on 127.0.0.1 and `port`.
    pub(super) fn new(token: Token, port: u16) -> Self {
        Self { token, hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")] }
    }

    /// The token, for the addresses within the page.
    pub(super) const fn token(&self) -> Token {
        self.token
    }

    /// The names that this page answers to, with the port.
    pub(super) const fn hosts(&self) -> &[String; 2] {
        &self.hosts
    }

    /// Lets the caller in, or says why not. Host first: a stranger learns nothing of the token.
    ///
    /// A missing `Origin` passes: a browser always sends one with a websocket and with a request
    /// from another page, and something that is not a browser could write any.
    pub(super) fn judge(&self, caller: Caller<'_>) -> Result<(), DoorRefusal> {
        let host = caller.host.ok_or(DoorRefusal::Host)?;
        if !self.hosts.iter().any(|ours| ours == host) {
            return Err(DoorRefusal::Host);
        }
        let from_us = |origin: &str| origin.strip_prefix("http://") == Some(host);
        if !caller.origin.is_none_or(from_us) {
            return Err(DoorRefusal::Origin);
        }
        let mut tokens =
            caller.query.unwrap_or("").split('&').filter_map(|pair| pair.strip_prefix("token="));
        let matches = tokens.next().is_some_and(|text| self.token.is(text));
        if !matches || tokens.next().is_some() {
            return Err(DoorRefusal::Token);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token([0xab; 16]);
    const QUERY: &str = "token=abababababababababababababababab";

    fn judge(query: &str, host: &str, origin: Option<&str>) -> Result<(), DoorRefusal> {
        Door::new(TOKEN, 4000).judge(Caller { query: Some(query), host: Some(host), origin })
    }

    #[test]
    fn right_token_and_host_is_let_in() {
        assert_eq!(judge(QUERY, "127.0.0.1:4000", None), Ok(()));
        assert_eq!(judge(QUERY, "localhost:4000", Some("http://localhost:4000")), Ok(()));
        assert_eq!(judge(&format!("a=b&{QUERY}"), "127.0.0.1:4000", None), Ok(()));
    }

    #[test]
    fn token_wrong_missing_short_or_twice_is_refused() {
        let twice = format!("{QUERY}&{QUERY}");
        let upper = QUERY.to_uppercase().replace("TOKEN", "token");
        for query in ["", "token=", "token=ab", &twice, &upper, &QUERY.replace("ab", "ac")] {
            assert_eq!(judge(query, "127.0.0.1:4000", None), Err(DoorRefusal::Token), "{query}");
        }
    }

    #[test]
    fn host_of_another_name_or_port_is_refused() {
        for host in ["evil.example:4000", "127.0.0.1:4001", "127.0.0.1", "", "[::1]:4000"] {
            assert_eq!(judge(QUERY, host, None), Err(DoorRefusal::Host), "{host}");
        }
        assert_eq!(Door::new(TOKEN, 1).judge(Caller::default()), Err(DoorRefusal::Host));
    }

    #[test]
    fn origin_of_another_page_is_refused() {
        for origin in ["http://evil.example", "null", "https://127.0.0.1:4000", "http://127.0.0.1"]
        {
            let judged = judge(QUERY, "127.0.0.1:4000", Some(origin));
            assert_eq!(judged, Err(DoorRefusal::Origin), "{origin}");
        }
    }

    #[test]
    fn tokens_differ_and_do_not_print_themselves() {
        let (a, b) = (Token::draw().unwrap(), Token::draw().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.hex().len(), 32);
        assert!(!format!("{a:?}").contains(&a.hex()));
    }
}
