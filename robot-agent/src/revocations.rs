//! The hospital's revocation list, looked at while the robot runs.
//!
//! Knows: when to look, and who has to be told. Does not know: what makes a list believable
//! (`longhand_quic::trust`), or how a connection ends (`network`). Runs on the watch thread: it
//! reads a file and checks a signature, neither of which a real-time thread may wait for.

use crate::network::NetworkWatch;
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_quic::pump::Renewal;
use longhand_quic::trust::Credentials;

/// How often the list is looked at. Chosen: whoever revokes waits for it, and a file of some
/// kilobytes once a second costs nothing.
const LOOK_EVERY: Micros = Micros::from_secs(1);

/// Looks at `ca.crl` in the robot's identity folder.
pub(crate) struct Revocations {
    credentials: Credentials,
    renewal: Renewal,
    network: NetworkWatch,
    looked_at: Option<Instant<Robot>>,
    /// What was last wrong with the list there, so that it is said once.
    told: Option<String>,
}

impl Revocations {
    pub(crate) fn new(credentials: Credentials, renewal: Renewal, network: NetworkWatch) -> Self {
        Self { credentials, renewal, network, looked_at: None, told: None }
    }

    /// Once a second: takes the list that lies there now. One that cannot be believed changes
    /// nothing, and the log says so.
    pub(crate) fn look(&mut self, now: Instant<Robot>) {
        if self.looked_at.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return;
        }
        self.looked_at = Some(now);
        let taken = self.credentials.with_newer_list().map_err(|error| error.to_string());
        match taken.and_then(|newer| newer.map_or(Ok(()), |newer| self.take(newer))) {
            Ok(()) => self.told = None,
            Err(words) if self.told.as_ref() == Some(&words) => {}
            Err(words) => {
                tracing::error!("the revocation list in force stays: {words}");
                self.told = Some(words);
            }
        }
    }

    fn take(&mut self, newer: Credentials) -> Result<(), String> {
        let revoked = newer.revoked();
        // Those who are here first: whoever knocks between the two is refused at the door.
        let count = revoked.len();
        self.network.revoke(revoked);
        self.renewal.renew(&newer).map_err(|error| error.to_string())?;
        tracing::info!("a newer revocation list is in force: {count} certificates are revoked");
        self.credentials = newer;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::tests::Bench;
    use longhand_protocol::message::RobotId;
    use longhand_quic::pump::{Accept, RobotConfig, RobotPump};
    use longhand_quic::trust::{Role, Trust};
    use std::net::SocketAddr;

    #[test]
    fn a_list_is_looked_at_once_a_second_and_what_is_wrong_with_it_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut trust = Trust::init(folder.path(), "Test Hospital").unwrap();
        let robot = trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(1))).unwrap().folder;
        let lee = trust.issue(Role::Surgeon, "dr-lee", 30, None).unwrap().who;
        let credentials = Credentials::load(&robot).unwrap();
        let pump = RobotPump::bind(RobotConfig {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            credentials: credentials.clone(),
            datagram_bytes: 100,
            qlog: None,
        });
        let mut bench = Bench::new();
        let renewal = pump.unwrap().renewal();
        let mut revocations = Revocations::new(credentials, renewal, bench.watch());
        let at = |ms: u64| Instant::from_micros(5_000_000).after(Micros::from_millis(ms));
        let from = SocketAddr::from(([10, 0, 0, 2], 1));
        revocations.look(at(0));
        assert_eq!(revocations.told, None);
        std::fs::write(robot.join("ca.crl"), "half a list").unwrap();
        revocations.look(at(999));
        assert_eq!(revocations.told, None, "not looked at yet");
        revocations.look(at(1_000));
        assert!(revocations.told.as_ref().is_some_and(|told| told.contains("ca.crl")));
        assert!(bench.door.accept(&lee, from).is_ok());

        // Writes the list into the robot's folder, too, as a person would copy it there.
        trust.revoke("dr-lee").unwrap();
        revocations.look(at(2_000));
        assert_eq!(revocations.told, None);
        // The handshake was under way when the list came.
        let Err(close) = bench.door.accept(&lee, from) else { panic!("let in") };
        assert!(close.reason.contains("the certificate was revoked"), "{close}");
    }
}
