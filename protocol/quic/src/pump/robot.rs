//! The robot's pump: many connections at once, each with its own link.
//!
//! Knows: how many may knock and stay. Does not know: who may command; [`Accept`] says that, from
//! the role in the certificate, before anything the peer sent is read (safety.md, A14).

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming, ServerConfig, VarInt};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use super::close::{Close, CloseCode, Closed, HandshakeError, How};
use super::connection::{Ears, carry};
use super::transport::{Options, command, endpoint as endpoint_config};
use super::{Accept, PumpError, bind, check_size, endpoint, listen, runtime};
use crate::doorbell::{Doorbell, Stop};
use crate::tls;
use crate::trust::{Credentials, PeerIdentity, Role};

/// Handshakes at once. Chosen: a handshake costs about 1 ms of this thread (performance.md section
/// 3), so that even a full house delays a command by less than the first stage's 10 ms.
pub const HANDSHAKES_MAX: usize = 8;
/// Connections at once. Chosen: two links each for a surgeon and a second console, and watchers.
pub const CONNECTIONS_MAX: usize = 8;
/// Connections of those who only look (engineer, observer). Chosen: half, so that a storm of
/// watchers cannot keep a surgeon out (safety.md section 6, F38).
pub const LOOKERS_MAX: usize = 4;
const _: () = assert!(LOOKERS_MAX < CONNECTIONS_MAX);
/// From so many handshakes on, a stranger must first prove that its address is its own (QUIC's
/// Retry): a flood with forged addresses then fills no more slots. Chosen: half.
const RETRY_FROM: usize = 4;
const _: () = assert!(RETRY_FROM < HANDSHAKES_MAX);
/// A handshake must be over by then. Chosen: two round trips of a geostationary path (620 ms) and
/// one lost packet.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(3);
/// How long goodbyes may take at a stop. Chosen: a person does not notice.
const GOODBYE: Duration = Duration::from_millis(200);
/// Connections that wait for the loop to look at them, and what they may have sent by then.
/// Chosen: far above what one turn of the loop lets in; quinn's default would keep 100 MB.
const KNOCKS_MAX: usize = 64;
const KNOCK_BYTES_MAX: u64 = 8 * 1_024;

/// How a robot's pump is to run.
#[derive(Clone, Debug)]
pub struct RobotConfig {
    /// The address of the interface to serve on; one pump per link.
    pub bind: SocketAddr,
    /// The robot's certificate and whom it trusts.
    pub credentials: Credentials,
    /// Size of the datagrams that the links send: their unsent queue is four of them.
    pub datagram_bytes: usize,
    /// A folder for one qlog file per connection, for diagnosis.
    pub qlog: Option<PathBuf>,
}

/// The robot's pump, bound but not yet running.
#[derive(Debug)]
pub struct RobotPump {
    socket: UdpSocket,
    local: SocketAddr,
    config: RobotConfig,
    server: ServerConfig,
    renewal: Renewal,
}

/// Hands a running pump new credentials: a renewed certificate, or a newer revocation list. They
/// count from the next handshake on. Live connections stay, whoever's certificate they are of:
/// whether one ends is its link's to say ([`super::Link::poll_close`]).
#[derive(Clone, Debug)]
pub struct Renewal {
    next: Arc<Mutex<Option<ServerConfig>>>,
    wake: Arc<Notify>,
}

impl Renewal {
    /// Checks the credentials here, on the caller's thread, and hands them over.
    pub fn renew(&self, credentials: &Credentials) -> Result<(), PumpError> {
        let server = server_config(credentials)?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        self.wake.notify_one();
        Ok(())
    }

    fn take(&self) -> Option<ServerConfig> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl RobotPump {
    /// Binds the socket and checks the credentials. Packets that arrive before [`RobotPump::run`]
    /// wait in the socket.
    pub fn bind(config: RobotConfig) -> Result<Self, PumpError> {
        check_size(config.datagram_bytes)?;
        let server = server_config(&config.credentials)?;
        let socket = bind(config.bind)?;
        let local = socket.local_addr()?;
        let renewal = Renewal { next: Arc::default(), wake: Arc::default() };
        Ok(Self { socket, local, config, server, renewal })
    }

    /// Where it is bound; port 0 has become a real one.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// A handle for new credentials while the pump runs.
    pub fn renewal(&self) -> Renewal {
        self.renewal.clone()
    }

    /// Serves until stopped. Blocks: this thread is the pump's.
    ///
    /// Errors: the system refuses the runtime, or the socket dies.
    pub fn run<A: Accept>(
        self,
        accept: &mut A,
        doorbell: &Doorbell,
        stop: &Stop,
    ) -> Result<(), PumpError> {
        let runtime = runtime()?;
        runtime.block_on(async move {
            let ears = listen(doorbell, stop)?;
            let options = Options {
                datagram_bytes: self.config.datagram_bytes,
                streams: 1,
                qlog: self.config.qlog,
                side: "robot",
            };
            let server = with_transport(self.server, &options)?;
            let settings = endpoint_config(&self.config.credentials, self.local);
            let endpoint = endpoint(settings, Some(server.clone()), self.socket)?;
            let mut house = House {
                endpoint,
                server,
                options,
                ears,
                accept,
                handshakes: JoinSet::new(),
                connections: JoinSet::new(),
                roles: HashMap::new(),
            };
            let ended = house.serve(&self.renewal).await;
            house.leave().await;
            ended
        })
    }
}

fn server_config(credentials: &Credentials) -> Result<ServerConfig, PumpError> {
    Ok(bounded(ServerConfig::with_crypto(Arc::new(tls::server(credentials)?))))
}

/// The bounds on whoever knocks.
pub(crate) fn bounded(mut config: ServerConfig) -> ServerConfig {
    config
        .max_incoming(KNOCKS_MAX)
        .incoming_buffer_size(KNOCK_BYTES_MAX)
        .incoming_buffer_size_total(KNOCK_BYTES_MAX.saturating_mul(8));
    config
}

fn with_transport(mut server: ServerConfig, options: &Options) -> Result<ServerConfig, PumpError> {
    let transport = command(options).map_err(|source| PumpError::Qlog {
        folder: options.qlog.clone().unwrap_or_default(),
        source,
    })?;
    server.transport_config(Arc::new(transport));
    Ok(server)
}

type Shaken = (SocketAddr, Result<Connection, HandshakeError>);

struct House<'a, A: Accept> {
    endpoint: Endpoint,
    server: ServerConfig,
    options: Options,
    ears: Ears,
    accept: &'a mut A,
    handshakes: JoinSet<Shaken>,
    connections: JoinSet<()>,
    roles: HashMap<Id, Role>,
}

impl<A: Accept> House<'_, A> {
    async fn serve(&mut self, renewal: &Renewal) -> Result<(), PumpError> {
        let mut stop = self.ears.stop.clone();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return Ok(()),
                knock = self.endpoint.accept() => match knock {
                    Some(incoming) => self.knock(incoming),
                    None => return Err(PumpError::SocketLost),
                },
                Some(done) = self.handshakes.join_next() => if let Ok(shaken) = done {
                    self.greet(shaken);
                },
                Some(left) = self.connections.join_next_with_id() => self.forget(left),
                () = renewal.wake.notified() => self.renew(renewal)?,
            }
        }
    }

    /// Somebody knocks: nothing is known of them but an address, which may be forged.
    fn knock(&mut self, incoming: Incoming) {
        let from = incoming.remote_address();
        if self.connections.len() >= CONNECTIONS_MAX {
            self.accept.refused(from, &HandshakeError::Full);
            return incoming.refuse();
        }
        if self.handshakes.len() >= HANDSHAKES_MAX {
            self.accept.refused(from, &HandshakeError::Busy);
            return incoming.refuse();
        }
        let is_stranger = !incoming.remote_address_validated() && incoming.may_retry();
        if self.handshakes.len() >= RETRY_FROM && is_stranger {
            // It fails only where a retry is not allowed, which was just checked.
            let _sent = incoming.retry();
            return;
        }
        let accepted = match self.own_transport() {
            Ok(Some(server)) => incoming.accept_with(Arc::new(server)),
            Ok(None) => incoming.accept(),
            Err(error) => {
                // No qlog, no connection: diagnosis was asked for and would be missing.
                incoming.refuse();
                let closed = Closed::new(How::Local, error.to_string());
                return self.accept.refused(from, &HandshakeError::Failed(closed));
            }
        };
        match accepted {
            Ok(connecting) => {
                self.handshakes.spawn(async move {
                    let done = tokio::time::timeout(HANDSHAKE_TIME_MAX, connecting).await;
                    let failed = |closed| Err(HandshakeError::Failed(closed));
                    let result = match done {
                        Ok(Ok(connection)) => Ok(connection),
                        Ok(Err(error)) => failed(Closed::from_error(&error)),
                        Err(_) => failed(Closed::new(How::Silent, "the handshake took too long")),
                    };
                    (from, result)
                });
            }
            Err(error) => {
                let failed = HandshakeError::Failed(Closed::from_error(&error));
                self.accept.refused(from, &failed);
            }
        }
    }

    /// With qlog every connection needs settings of its own, for a file of its own.
    fn own_transport(&self) -> Result<Option<ServerConfig>, PumpError> {
        match self.options.qlog {
            Some(_) => with_transport(self.server.clone(), &self.options).map(Some),
            None => Ok(None),
        }
    }

    /// A handshake is over: who is it, and may they stay?
    fn greet(&mut self, (from, result): Shaken) {
        let connection = match result {
            Ok(connection) => connection,
            Err(error) => return self.accept.refused(from, &error),
        };
        let (peer, link) = match self.admit(&connection, from) {
            Ok(admitted) => admitted,
            Err(error) => {
                let close = match &error {
                    HandshakeError::Refused(close) => close.clone(),
                    HandshakeError::Busy | HandshakeError::Full => {
                        Close::new(CloseCode::Full, "the robot has no room for another connection")
                    }
                    HandshakeError::Identity(_) | HandshakeError::Failed(_) => {
                        Close::new(CloseCode::Role, error.to_string())
                    }
                };
                close.apply(&connection);
                return self.accept.refused(from, &error);
            }
        };
        let ears = self.ears.clone();
        let mut link = link;
        let task = self.connections.spawn(async move {
            carry(&connection, None, &mut link, ears).await;
        });
        self.roles.insert(task.id(), peer.role);
    }

    fn admit(
        &mut self,
        connection: &Connection,
        from: SocketAddr,
    ) -> Result<(PeerIdentity, A::L), HandshakeError> {
        let peer = tls::identity(connection)?;
        let is_looker = |role: Role| match role {
            Role::Engineer | Role::Observer | Role::Gateway => true,
            Role::Surgeon | Role::Robot => false,
        };
        let lookers = self.roles.values().filter(|role| is_looker(**role)).count();
        let no_seat = is_looker(peer.role) && lookers >= LOOKERS_MAX;
        if no_seat || self.connections.len() >= CONNECTIONS_MAX {
            return Err(HandshakeError::Full);
        }
        let link = self.accept.accept(&peer, from).map_err(HandshakeError::Refused)?;
        Ok((peer, link))
    }

    fn forget(&mut self, left: Result<(Id, ()), JoinError>) {
        let id = match left {
            Ok((id, ())) => id,
            // A link that panicked: it is dropped, and its connection, which closes it; others live
            // on.
            Err(error) => error.id(),
        };
        self.roles.remove(&id);
    }

    fn renew(&mut self, renewal: &Renewal) -> Result<(), PumpError> {
        if let Some(server) = renewal.take() {
            self.server = with_transport(server, &self.options)?;
            self.endpoint.set_server_config(Some(self.server.clone()));
        }
        Ok(())
    }

    /// Says goodbye: every connection has heard the stop and closes itself, in its own words.
    async fn leave(mut self) {
        self.handshakes.abort_all();
        let all_gone = async {
            while self.connections.join_next().await.is_some() {}
            self.endpoint.close(VarInt::from_u32(CloseCode::Done.number()), b"the robot stopped");
            self.endpoint.wait_idle().await;
        };
        let _in_time = tokio::time::timeout(GOODBYE, all_gone).await;
    }
}
