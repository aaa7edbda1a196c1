//! The limit: two threads, two UDP sockets, nothing else.
//!
//! Knows: sockets and stamps. Does not know: the product; only its sizes and its pace.
//!
//! The caller sends once a millisecond and waits for the answer; the other end answers at once,
//! from a blocking `recv`. Both ends ask for the pump's priority. Packets are as large as the
//! product's QUIC packets, so that the kernel copies as much.
//!
//! The limit of goal P1 leaves both ends where the kernel puts them. Beside it stand both ends on
//! one processor, which spares an interrupt each way: on one machine the product may find itself
//! there too (its pumps stay with whoever rings), and that part of a ratio is no merit of its own.
//! Where the kernel puts two free ends is the luck of the minute, and worth a factor of four on the
//! machine at hand: read both rows.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use longhand_protocol::units::{Console, TICK};
use longhand_protocol::wire::{COMMAND_LEN, STATE_LEN};
use longhand_quic::clock::monotonic_ns;
use longhand_quic::pace::{PUMP_PRIORITY, RealTime, Ticker};

use super::on_thread;
use crate::harness::Recorder;

/// What QUIC puts round a datagram: first byte 1, connection id 8, packet number 2, frame type and
/// length 3, tag 16 (RFC 9000, RFC 9221).
const QUIC: usize = 30;
const UP: usize = COMMAND_LEN + QUIC;
const DOWN: usize = STATE_LEN + QUIC;
/// A packet that is not there by then is lost, which loopback does not do. Chosen.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen, nanoseconds.
pub(super) struct Limit {
    /// Caller's tick to receipt at the other end.
    pub(super) up: Recorder,
    /// The answer's stamp to its receipt.
    pub(super) down: Recorder,
    /// Caller's tick to the receipt of the answer.
    pub(super) both: Recorder,
}

/// Measures `count` exchanges; both ends on processor `cpu`, or where the kernel puts them.
///
/// Errors: a sentence, where sockets or threads were refused or a packet was lost.
pub(super) fn ping_pong(count: u64, cpu: Option<usize>) -> Result<Limit, String> {
    let fail = |error: std::io::Error| format!("raw UDP over loopback: {error}");
    let (near, far) = sockets().map_err(fail)?;
    let new = || Recorder::new().map_err(|error| error.to_string());
    let (mut up, mut down, mut both) = (new()?, new()?, new()?);
    let (up_ref, ways) = (&mut up, (&mut down, &mut both));
    std::thread::scope(|scope| {
        let far_end = scope.spawn(move || answer(&far, count, cpu, up_ref));
        let called = on_thread("raw", move || call(&near, count, cpu, ways));
        let answered = far_end.join().map_err(|_panic| "the raw UDP thread died".to_owned())?;
        called?.and(answered).map_err(fail)
    })?;
    Ok(Limit { up, down, both })
}

fn sockets() -> std::io::Result<(UdpSocket, UdpSocket)> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (near, far) = (UdpSocket::bind(any)?, UdpSocket::bind(any)?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    near.set_read_timeout(Some(PATIENCE))?;
    far.set_read_timeout(Some(PATIENCE))?;
    Ok((near, far))
}

fn call(
    near: &UdpSocket,
    count: u64,
    cpu: Option<usize>,
    (down, both): (&mut Recorder, &mut Recorder),
) -> std::io::Result<()> {
    let _held = RealTime::acquire(PUMP_PRIORITY, cpu);
    let mut ticker = Ticker::<Console>::new(TICK);
    let (mut packet, mut answer) = ([0_u8; UP], [0_u8; DOWN]);
    for _ in 0..count {
        let _tick = ticker.wait();
        let began = monotonic_ns();
        stamp(&mut packet, began);
        near.send(&packet)?;
        near.recv(&mut answer)?;
        let now = monotonic_ns();
        down.record(now.saturating_sub(stamped(&answer)));
        both.record(now.saturating_sub(began));
    }
    Ok(())
}

fn answer(
    far: &UdpSocket,
    count: u64,
    cpu: Option<usize>,
    up: &mut Recorder,
) -> std::io::Result<()> {
    let _held = RealTime::acquire(PUMP_PRIORITY, cpu);
    let (mut packet, mut answer) = ([0_u8; UP], [0_u8; DOWN]);
    for _ in 0..count {
        far.recv(&mut packet)?;
        let now = monotonic_ns();
        stamp(&mut answer, now);
        far.send(&answer)?;
        up.record(now.saturating_sub(stamped(&packet)));
    }
    Ok(())
}

fn stamp(packet: &mut [u8], ns: u64) {
    for (to, from) in packet.iter_mut().zip(ns.to_le_bytes()) {
        *to = from;
    }
}

fn stamped(packet: &[u8]) -> u64 {
    packet.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
