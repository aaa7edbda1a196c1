//! How QUIC is set for a steady 1 kHz stream of small datagrams.
//!
//! Knows: every setting of the command connection, and why it is not quinn's default. Does not
//! know: what the datagrams mean. Video never shares these settings: it has its own connection.
//!
//! Left at quinn's defaults because measuring showed no gain above the noise (performance.md
//! section 1): acknowledgement frequency, segmentation offload. MTU discovery is off: no gain
//! either, and its probes would be the only packets of another size on the wire.

use std::any::Any;
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longhand_protocol::units::Micros;
use longhand_protocol::wire::{COMMAND_LEN, STATE_LEN};
use quinn::congestion::{Controller, ControllerFactory};
use quinn::{EndpointConfig, IdleTimeout, QlogConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;

use crate::trust::Credentials;

/// A connection that hears nothing for so long is over.
///
/// Source: design.md section 6, Bedside: "gap >= 3 s, lease ends". A connection that outlived its
/// lease would carry nothing that may move.
pub const IDLE_TIMEOUT: Micros = Micros::from_secs(3);

/// An otherwise silent connection says something so often.
///
/// Source: safety.md 10.3, a silent path is known after 100 ms. With 1 kHz traffic it never fires.
pub const KEEP_ALIVE: Micros = Micros::from_millis(100);

/// Largest datagram that a link may send: one QUIC packet of 1200 bytes, less its overhead.
pub const DATAGRAM_MAX: usize = 1_100;

/// UDP payload of our packets. Source: RFC 9000 section 14, every path carries 1200 bytes.
const MTU: u16 = 1_200;

/// Bytes that may be in flight.
///
/// Fixed, so that a lost packet never makes a command wait: with quinn's cubic a 1 kHz stream is
/// late by 10 ms at 1 % loss, with an open window by nothing (performance.md section 2). A stream
/// of constant rate cannot flood the path more by keeping its rate, and has no use for probing.
/// Size: everything one end can send until the lease ends, so that no outage within the lease
/// fills it and the first packet after it goes out at once: 3 s x 1000/s x [`PACKET`] = 2.0 MB. (On
/// a good link far less is in flight: 620 ms of a geostationary path need 161 kB for commands.)
const WINDOW: u64 = 2 * 1024 * 1024;
/// Our largest datagram in its QUIC packet, bytes: 60 is QUIC's short header, tag and frame header,
/// rounded up.
const PACKET: u64 = 680;
const _: () = assert!(STATE_LEN + 60 <= 680 && COMMAND_LEN + 60 <= 680);
const _: () = assert!(WINDOW > 3 * 1_000 * PACKET);
// quinn paces at 1.25 windows per round trip. Even where the estimate of the round trip is as long
// as the lease, that is above our rate: pacing never delays a command.
const _: () = assert!(WINDOW * 5 / 4 / 3 > 1_000 * PACKET);

/// Datagrams that may wait unsent; when full, the oldest is dropped (quinn's `send_datagram`).
///
/// Chosen: 4 ms. A command that could not leave for longer is worth less than the newest; quinn's
/// default of 1 MiB would hold ten seconds of stale commands.
const UNSENT_DATAGRAMS: usize = 4;

/// Datagrams that may wait unread; when full, the oldest is dropped.
///
/// Chosen: 128 ms at 1 kHz, above the longest playout delay (100 ms, design.md section 6): what is
/// dropped here could not have been used any more.
const UNREAD_DATAGRAMS: usize = 128;

/// What quinn counts for a queued datagram beside its bytes: the size of its handle.
const HANDLE: usize = size_of::<bytes::Bytes>();

/// Flow control of the control stream. Chosen: 16 of our largest frames each way; more unread
/// words than that mean a peer that does not keep to the protocol.
const STREAM_WINDOW: u32 = 16 * 1_024;

/// First guess of the round trip, before the first sample; it only times retransmissions of the
/// handshake. Chosen: 50 ms, so that a handshake packet lost in an outage is repeated after
/// 150 ms, not after the default second. On longer paths it costs a few spare packets.
const FIRST_RTT: Duration = Duration::from_millis(50);

/// What differs between one connection and another.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Size of the datagrams that this end sends.
    pub(crate) datagram_bytes: usize,
    /// How many streams the peer may open: one at the robot, none at the console.
    pub(crate) streams: u32,
    /// Where to write a qlog of every connection.
    pub(crate) qlog: Option<PathBuf>,
    /// First part of the qlog's file name.
    pub(crate) side: &'static str,
}

/// The settings of one command connection.
///
/// Errors: the qlog file cannot be made.
pub(crate) fn command(options: &Options) -> io::Result<TransportConfig> {
    let datagram = options.datagram_bytes.saturating_add(HANDLE);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(options.streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(u64::from(STREAM_WINDOW))
        .datagram_send_buffer_size(datagram.saturating_mul(UNSENT_DATAGRAMS))
        .datagram_receive_buffer_size(Some(
            DATAGRAM_MAX.saturating_add(HANDLE).saturating_mul(UNREAD_DATAGRAMS),
        ))
        .congestion_controller_factory(Arc::new(FixedWindow))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            u32::try_from(IDLE_TIMEOUT.as_micros() / 1_000).unwrap_or(u32::MAX),
        ))))
        .keep_alive_interval(Some(Duration::from_micros(KEEP_ALIVE.as_micros())))
        .initial_mtu(MTU)
        .mtu_discovery_config(None)
        .initial_rtt(FIRST_RTT);
    if let Some(folder) = &options.qlog {
        config.qlog_stream(qlog(folder, options.side)?);
    }
    Ok(config)
}

/// The settings of the socket: a peer whose robot agent has restarted is told so at once.
///
/// A restarted agent knows none of its old connections. It can only answer their packets with a
/// stateless reset, which the console believes only if its key outlived the restart: so it is
/// derived from the robot's own private key. Source: RFC 9000 section 10.3.2. Without it the
/// console would wait out [`IDLE_TIMEOUT`].
///
/// The socket's address is part of the derivation: two sockets with one key (two links) would
/// reset each other's connections for anybody who asks. Source: RFC 9000 section 21.11.
pub(crate) fn endpoint(credentials: &Credentials, local: SocketAddr) -> EndpointConfig {
    let root = hmac::Key::new(hmac::HMAC_SHA256, credentials.key.secret_der());
    let reset = hmac::sign(&root, format!("longhand/1 stateless reset {local}").as_bytes());
    let ids = hmac::sign(&root, format!("longhand/1 connection ids {local}").as_bytes());
    let ids = ids.as_ref().iter().take(8).fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
    let key = hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref());
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// The congestion controller that does not control: [`WINDOW`], whatever is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedWindow;

impl Controller for FixedWindow {
    fn on_congestion_event(&mut self, _now: Instant, _sent: Instant, _all_lost: bool, _lost: u64) {}

    fn on_mtu_update(&mut self, _mtu: u16) {}

    fn window(&self) -> u64 {
        WINDOW
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }

    fn initial_window(&self) -> u64 {
        WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl ControllerFactory for FixedWindow {
    fn build(self: Arc<Self>, _now: Instant, _mtu: u16) -> Box<dyn Controller> {
        Box::new(*self)
    }
}

/// A new qlog file, one per connection. For diagnosis only: it is written from the pump's thread,
/// through a buffer, so a slow disk shows in the very timing it records.
fn qlog(folder: &Path, side: &str) -> io::Result<Option<quinn::QlogStream>> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{side}-{}-{count}.sqlog", std::process::id()));
    let mut config = QlogConfig::default();
    config.title(Some(format!("longhand {side}")));
    config.writer(Box::new(BufWriter::new(File::create_new(path)?)));
    Ok(config.into_stream())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_window_stays_after_any_loss() {
        let mut controller = Arc::new(FixedWindow).build(Instant::now(), MTU);
        let now = Instant::now();
        for lost in [0, 1_200, 1_000_000] {
            for all_lost in [false, true] {
                controller.on_congestion_event(now, now, all_lost, lost);
                assert_eq!(controller.window(), WINDOW);
            }
        }
        controller.on_mtu_update(9_000);
        assert_eq!(controller.clone_box().window(), controller.initial_window());
    }
}
