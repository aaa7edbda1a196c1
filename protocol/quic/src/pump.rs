//! The pump: one thread that carries datagrams and frames between the network and a [`Link`].
//!
//! Knows: bytes, connections, and who the peer is. Does not know: a message, a session or a rule;
//! those are the link's. It runs on the caller's thread (which the caller makes real-time, `pace`:
//! the priority of this thread matters more than the protocol, performance.md section 1), on a
//! runtime of that thread alone.
//!
//! Terms: a *datagram* is unreliable and newest-wins; a *frame* is reliable and in order, on the
//! one control stream of a connection. The pump paces nothing: the 1 kHz threads ring the
//! [`Doorbell`] and every link is then asked until it is dry; what it
//! gives leaves in the same turn.
//!
//! Bounds, and what happens when they are reached: unsent datagrams, 4, the oldest is dropped;
//! unread datagrams, 128, the oldest is dropped; unsent frames, 16, the link is told; handshakes
//! and connections at the robot, 8 each, the newest is refused, and those who only look may take
//! at most half, so that they cannot keep a surgeon out.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use longhand_protocol::units::Micros;
use thiserror::Error;
use tokio::sync::watch;

use crate::doorbell::{Doorbell, Stop};
use crate::tls::TlsError;
use crate::trust::PeerIdentity;

mod close;
mod connection;
mod console;
mod frames;
mod robot;
mod transport;

pub(crate) use console::{ATTEMPT_TIME_MAX, Backoff};
pub(crate) use frames::Frames;
pub(crate) use robot::bounded;
pub(crate) use transport::{Options, command, endpoint as endpoint_config};

pub use close::{Close, CloseCode, Closed, HandshakeError, How};
pub use console::{ConsoleConfig, ConsolePump, LinkState, Target};
pub use frames::{FRAME_MAX, Outbox, OutboxError};
pub use robot::{CONNECTIONS_MAX, HANDSHAKES_MAX, LOOKERS_MAX, Renewal, RobotConfig, RobotPump};
pub use transport::{DATAGRAM_MAX, IDLE_TIMEOUT, KEEP_ALIVE};

/// What one end does with one connection.
///
/// Called on the pump's thread only, one call at a time; must not block, or nothing is carried.
pub trait Link: Send {
    /// A frame arrived, 1 to [`FRAME_MAX`] bytes. Answers go to `out`.
    ///
    /// Errors: ends the connection; the words reach the peer.
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close>;

    /// A datagram arrived, of any size and content.
    fn datagram(&mut self, bytes: &[u8]);

    /// After [`Link::datagram`]: what is to go back at once, without waiting for a ring; `None`
    /// when there is none, and asked again until then. As [`Link::poll_datagram`] otherwise.
    fn poll_answer(&mut self, buf: &mut [u8]) -> Option<usize> {
        let _nothing_to_say = buf;
        None
    }

    /// The doorbell rang, or the connection has just begun: writes the next datagram into `buf`
    /// ([`DATAGRAM_MAX`] bytes) and says how long it is; `None` when there is none, and asked again
    /// until then.
    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize>;

    /// After [`Link::poll_datagram`]: frames to send. A frame that `out` refuses as full is the
    /// link's to keep for the next ring.
    fn poll_frame(&mut self, out: &mut Outbox);

    /// After [`Link::poll_frame`]: whether this end wants the connection ended now, and why.
    fn poll_close(&mut self) -> Option<Close> {
        None
    }

    /// The path's counters, every 100 ms and once at the end, for display. Safety never uses them.
    fn path(&mut self, counters: &PathCounters) {
        let _not_wanted = counters;
    }

    /// The connection has ended. Called exactly once, last.
    fn closed(&mut self, why: &Closed);
}

/// What the robot decides about whoever has proved who they are. Called on the pump's thread.
pub trait Accept {
    /// What it does with a connection that it takes.
    type L: Link + 'static;

    /// The handshake is done and `peer` is believed; nothing the peer sent has been read. The role
    /// is judged here.
    ///
    /// Errors: ends the connection; the words reach the peer.
    fn accept(&mut self, peer: &PeerIdentity, from: SocketAddr) -> Result<Self::L, Close>;

    /// Somebody did not become a connection. May be called as often as somebody cares to knock:
    /// count, do not log each.
    fn refused(&mut self, from: SocketAddr, why: &HandshakeError);
}

/// What the console does with connections as they come and go. Called on the pump's thread.
pub trait Connect {
    /// What it does with a connection.
    type L: Link;

    /// The robot has proved who it is: the link for this connection, a new one each time.
    fn link(&mut self, robot: &PeerIdentity) -> Self::L;

    /// How things stand, at every change.
    fn state(&mut self, state: &LinkState);

    /// The lease was taken over ([`Closed::is_taken_over`]) and the pump waits: whether a person
    /// has asked for another try. Asked at every ring of the doorbell, until it is so.
    fn may_try_again(&mut self) -> bool {
        false
    }
}

/// What one connection's path has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters {
    /// Round trip, smoothed.
    pub rtt: Micros,
    /// Shortest round trip seen.
    pub rtt_min: Micros,
    /// Bytes that may be in flight; fixed.
    pub window: u64,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// QUIC packets known to be lost on the way to the peer.
    pub packets_lost: u64,
    /// Datagrams that the link gave.
    pub datagrams_sent: u64,
    /// Datagrams handed to the link.
    pub datagrams_received: u64,
    /// Datagrams that were dropped unsent because newer ones came: the path was closed to them.
    pub datagrams_stale: u64,
}

/// The pump could not start, or cannot go on.
#[derive(Debug, Error)]
pub enum PumpError {
    /// The socket could not be bound.
    #[error("cannot use {addr} ({source}); is another process using it, is it this machine's?")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime or its files could not be made.
    #[error("the system refused what the network thread needs ({0}); see `doctor`")]
    System(#[from] io::Error),
    /// The qlog folder cannot be written.
    #[error(
        "cannot write qlog files in {} ({source}); make the folder, or leave out --qlog",
        folder.display()
    )]
    Qlog {
        /// The folder asked for.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The credentials cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Datagrams of that size never fit.
    #[error("datagrams of {got} bytes cannot be sent; at most {DATAGRAM_MAX}")]
    DatagramSize {
        /// The size asked for.
        got: usize,
    },
    /// The socket died under us.
    #[error("the socket was lost; restart this end")]
    SocketLost,
}

fn check_size(datagram_bytes: usize) -> Result<(), PumpError> {
    if datagram_bytes > DATAGRAM_MAX {
        return Err(PumpError::DatagramSize { got: datagram_bytes });
    }
    Ok(())
}

fn bind(addr: SocketAddr) -> Result<UdpSocket, PumpError> {
    UdpSocket::bind(addr).map_err(|source| PumpError::Bind { addr, source })
}

fn runtime() -> Result<tokio::runtime::Runtime, PumpError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn endpoint(
    config: quinn::EndpointConfig,
    server: Option<quinn::ServerConfig>,
    socket: UdpSocket,
) -> io::Result<quinn::Endpoint> {
    quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime))
}

/// Brings doorbell and stop into the runtime: from eventfds to what any number of tasks can await.
fn listen(doorbell: &Doorbell, stop: &Stop) -> io::Result<connection::Ears> {
    let (mut bell_ear, mut stop_ear) = (doorbell.ear()?, stop.ear()?);
    let (rung, bell) = watch::channel(0_u64);
    let (stopped, stop) = watch::channel(false);
    // When an ear fails its channel closes, and whoever listens takes that for a stop.
    tokio::spawn(async move {
        while bell_ear.heard().await.is_ok() {
            rung.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    });
    tokio::spawn(async move {
        let _either_way_stop = stop_ear.heard_by_all().await;
        stopped.send_replace(true);
    });
    Ok(connection::Ears { bell, stop })
}
