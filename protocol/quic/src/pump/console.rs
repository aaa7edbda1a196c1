//! The console's pump: one connection to one robot, made again whenever it is lost.
//!
//! Knows: when to try again, how long to wait, and that a lease which was taken over is not taken
//! back unasked. Does not know: what a new session needs; each connection gets a new link, and
//! nothing of the old one is carried over.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longhand_protocol::message::RobotId;
use longhand_protocol::units::Micros;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, VarInt};
use tokio::sync::watch;

use super::close::{Close, CloseCode, Closed, How};
use super::connection::{Ears, carry};
use super::transport::{Options, command, endpoint as endpoint_config};
use super::{Connect, PumpError, bind, check_size, endpoint, listen, runtime};
use crate::doorbell::{Doorbell, Stop};
use crate::tls;
use crate::trust::{Credentials, PeerIdentity, Role, robot_dns_name};

/// First wait after a loss. Chosen: short against the 50 ms in which a cold standby shall take over
/// (performance.md P7), long enough that a robot that refuses at once is not hammered.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// Longest wait. Chosen: a person waits half a second without asking why.
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// A handshake must be over by then, or a new one is begun. Chosen: two round trips of a
/// geostationary path (620 ms) and some; shorter than quinn's own growing pauses.
pub(crate) const ATTEMPT_TIME_MAX: Duration = Duration::from_millis(1_500);
/// How long the goodbye may take at a stop. Chosen: a person does not notice.
const GOODBYE: Duration = Duration::from_millis(200);

/// How a console's pump is to run.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// The address of the interface to use, port 0; `None` leaves the choice to the system.
    pub local: Option<SocketAddr>,
    /// The holder's certificate and whom it trusts.
    pub credentials: Credentials,
    /// Size of the datagrams that the links send: their unsent queue is four of them.
    pub datagram_bytes: usize,
    /// A folder for one qlog file per connection, for diagnosis.
    pub qlog: Option<PathBuf>,
}

/// The robot wanted: where, and which. Whoever answers there must prove to be that robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub addr: SocketAddr,
    /// Its number, which must be the one in its certificate.
    pub robot: RobotId,
}

/// How the console's link stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// A handshake is under way.
    Connecting {
        /// 1 for the first, then rising.
        attempt: u64,
    },
    /// The robot has proved who it is. It may still refuse this end's certificate or role: TLS 1.3
    /// tells the console only afterwards, and `Waiting` then says so.
    Connected {
        /// The robot.
        robot: PeerIdentity,
    },
    /// Not connected; it will be tried again.
    Waiting {
        /// What ended the connection or the attempt.
        why: Closed,
        /// When it is tried again.
        retry_in: Micros,
    },
    /// The lease is another connection's now; it is tried again once a person asks
    /// ([`Connect::may_try_again`]).
    TakenOver {
        /// What the robot said.
        why: Closed,
    },
    /// Stopped; nothing comes after this.
    Stopped,
}

/// The console's pump, not yet running.
pub struct ConsolePump {
    config: ConsoleConfig,
    tls: Arc<QuicClientConfig>,
}

impl std::fmt::Debug for ConsolePump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsolePump").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ConsolePump {
    /// Checks the credentials.
    pub fn new(config: ConsoleConfig) -> Result<Self, PumpError> {
        check_size(config.datagram_bytes)?;
        let tls = Arc::new(tls::client(&config.credentials)?);
        Ok(Self { config, tls })
    }

    /// Connects to `target`, again and again, until stopped. Blocks: this thread is the pump's.
    ///
    /// Errors: the system refuses the runtime. A robot that cannot be reached is not an error here
    /// but a [`LinkState::Waiting`].
    pub fn run<C: Connect>(
        self,
        target: Target,
        connect: &mut C,
        doorbell: &Doorbell,
        stop: &Stop,
    ) -> Result<(), PumpError> {
        let runtime = runtime()?;
        runtime.block_on(async move {
            let ears = listen(doorbell, stop)?;
            self.stay_connected(target, connect, ears).await;
            connect.state(&LinkState::Stopped);
            Ok(())
        })
    }

    async fn stay_connected<C: Connect>(&self, target: Target, connect: &mut C, ears: Ears) {
        let mut stop = ears.stop.clone();
        let mut backoff = Backoff::new();
        let mut attempt = 0_u64;
        loop {
            attempt = attempt.saturating_add(1);
            connect.state(&LinkState::Connecting { attempt });
            let reached = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                reached = self.reach(target) => reached,
            };
            let why = match reached {
                Ok(reached) => {
                    let mut link = connect.link(&reached.robot);
                    connect.state(&LinkState::Connected { robot: reached.robot.clone() });
                    let control = Some(reached.control);
                    let carried =
                        carry(&reached.connection, control, &mut link, ears.clone()).await;
                    let _in_time =
                        tokio::time::timeout(GOODBYE, sent(&carried.closed, reached.endpoint))
                            .await;
                    if carried.heard {
                        backoff = Backoff::new();
                    }
                    carried.closed
                }
                Err(why) => why,
            };
            if why.how == How::Stopped {
                return;
            }
            if why.is_taken_over() {
                connect.state(&LinkState::TakenOver { why });
                if asked_again(connect, &mut ears.bell.clone(), &mut stop).await {
                    continue;
                }
                return;
            }
            let wait = backoff.after(&why);
            let retry_in = Micros::from_micros(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
            connect.state(&LinkState::Waiting { why, retry_in });
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One attempt, with a socket of its own: the old one's interface may be gone.
    async fn reach(&self, target: Target) -> Result<Reached, Closed> {
        let local = |error: &dyn std::fmt::Display| Closed::new(How::Local, error.to_string());
        let from = self.config.local.unwrap_or_else(|| any_address(target.addr));
        let socket = bind(from).map_err(|error| local(&error))?;
        let from = socket.local_addr().map_err(|error| local(&error))?;
        let options = Options {
            datagram_bytes: self.config.datagram_bytes,
            streams: 0,
            qlog: self.config.qlog.clone(),
            side: "console",
        };
        let transport = command(&options).map_err(|source| {
            local(&PumpError::Qlog { folder: options.qlog.clone().unwrap_or_default(), source })
        })?;
        let tls: Arc<QuicClientConfig> = Arc::clone(&self.tls);
        let mut config = ClientConfig::new(tls);
        config.transport_config(Arc::new(transport));
        let settings = endpoint_config(&self.config.credentials, from);
        let endpoint = endpoint(settings, None, socket).map_err(|error| local(&error))?;
        let connecting = endpoint
            .connect_with(config, target.addr, &robot_dns_name(target.robot))
            .map_err(|error| local(&error))?;
        let connection = match tokio::time::timeout(ATTEMPT_TIME_MAX, connecting).await {
            Ok(done) => done.map_err(|error| Closed::from_error(&error))?,
            Err(_) => {
                let words = format!(
                    "nothing answers at {}; check address, port and link, and that the robot runs",
                    target.addr
                );
                return Err(Closed::new(How::Silent, words));
            }
        };
        let robot = expect_robot(&connection, target.robot)?;
        let control = connection.open_bi().await.map_err(|error| Closed::from_error(&error))?;
        Ok(Reached { endpoint, connection, control, robot })
    }
}

/// Waits until a person asks for another try: true; or until stopped: false.
async fn asked_again<C: Connect>(
    connect: &mut C,
    bell: &mut watch::Receiver<u64>,
    stop: &mut watch::Receiver<bool>,
) -> bool {
    while !connect.may_try_again() {
        tokio::select! {
            _ = stop.wait_for(|stopped| *stopped) => return false,
            rung = bell.changed() => if rung.is_err() { return false },
        }
    }
    true
}

struct Reached {
    endpoint: Endpoint,
    connection: Connection,
    control: (SendStream, RecvStream),
    robot: PeerIdentity,
}

/// TLS has checked chain and name; the role is ours to check, before anything is sent.
fn expect_robot(connection: &Connection, wanted: RobotId) -> Result<PeerIdentity, Closed> {
    let wrong = match tls::identity(connection) {
        Ok(peer) if peer.role == Role::Robot && peer.robot == Some(wanted) => return Ok(peer),
        Ok(peer) => format!("robot {} was asked for, but {peer} answered", wanted.get()),
        Err(error) => error.to_string(),
    };
    let close = Close::new(CloseCode::WrongPeer, wrong);
    close.apply(connection);
    Err(Closed::here(&close))
}

/// Lets the last packet out before the socket goes. A peer that closed first needs no goodbye, and
/// one that is silent would not hear it.
async fn sent(closed: &Closed, endpoint: Endpoint) {
    match closed.how {
        How::Stopped | How::Here(_) => {
            endpoint.close(VarInt::from_u32(CloseCode::Done.number()), b"the console stopped");
            endpoint.wait_idle().await;
        }
        How::There(_)
        | How::Certificate
        | How::Silent
        | How::Restarted
        | How::Broken
        | How::Local => {}
    }
}

const fn any_address(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        SocketAddr::V6(_) => SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    }
}

/// Doubling waits, from [`BACKOFF_FIRST`] to [`BACKOFF_MAX`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: BACKOFF_FIRST }
    }

    /// How long to wait, now that this ended the connection or the attempt.
    pub(crate) fn after(&mut self, why: &Closed) -> Duration {
        if why.is_refusal() {
            // Nothing changes by itself soon, and each try costs the robot a handshake.
            return BACKOFF_MAX;
        }
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(BACKOFF_MAX);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound_and_a_refusal_waits_longest() {
        let silent = Closed::new(How::Silent, "");
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..7).map(|_| backoff.after(&silent).as_millis()).collect();
        assert_eq!(waits, [20, 40, 80, 160, 320, 500, 500]);
        let refused = Closed::new(How::There(CloseCode::Role), "");
        assert_eq!(Backoff::new().after(&refused), BACKOFF_MAX);
    }
}
