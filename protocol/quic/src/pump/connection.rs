//! One connection, carried until it ends.
//!
//! Knows: when to ask the link for bytes and when to hand it some. Does not know: which end it is,
//! beyond who opens the control stream; whether there will be another connection.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use longhand_protocol::units::Micros;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendDatagramError, SendStream};
use quinn::{VarInt, WriteError};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::close::{Close, Closed};
use super::frames::{Frames, Outbox};
use super::transport::DATAGRAM_MAX;
use super::{Link, PathCounters};

/// The path's counters are handed to the link so often. Source: safety.md 10.3, "every 100 ms".
const COUNTERS_EVERY: Duration = Duration::from_millis(100);
/// A peer that has not opened its control stream by then is closed: 3 s of counters. Chosen: the
/// lease; a console that says nothing for so long would lose it anyway.
const STREAM_DEADLINE_TICKS: u32 = 30;
/// Datagrams taken from a link per ring. Chosen: a link has one per tick; this many mean a link
/// that never runs dry, and the rest waits for the next ring.
const DATAGRAMS_PER_RING: u32 = 64;
/// Turns given to quinn before an answer is queued in any case. Chosen: one turn sends what waits;
/// where several do not, the path takes nothing, and the oldest answer is worth least.
const TURNS_MAX: u32 = 8;
/// Bytes read from the control stream at once.
const READ_MAX: usize = 1_024;

/// What every connection of a pump listens to.
#[derive(Clone, Debug)]
pub(crate) struct Ears {
    /// Changes with every ring.
    pub(crate) bell: watch::Receiver<u64>,
    /// True once stopped.
    pub(crate) stop: watch::Receiver<bool>,
}

/// How it went.
pub(crate) struct Carried {
    pub(crate) closed: Closed,
    /// The peer said something of its own: the handshake was not all there was.
    pub(crate) heard: bool,
}

/// Carries a connection until either end closes it, and tells the link so, once.
///
/// `control` is the stream where this end opened it; the other end waits for it.
pub(crate) async fn carry<L: Link>(
    connection: &Connection,
    control: Option<(SendStream, RecvStream)>,
    link: &mut L,
    ears: Ears,
) -> Carried {
    let mut carrier = Carrier::new(connection, control, ears);
    // A link may have something to say first, before any ring: the console's hello.
    let mut ended = carrier.outgoing(link).err();
    while ended.is_none() {
        let event = carrier.next().await;
        let came = matches!(event, Event::Datagram(_));
        ended = carrier.handle(event, link).err();
        if came && ended.is_none() {
            ended = carrier.answers(link).await.err();
        }
    }
    let closed = match ended {
        Some(Ended::There(error)) => Closed::from_error(&error),
        Some(Ended::Here(close)) => {
            close.apply(connection);
            Closed::here(&close)
        }
        Some(Ended::Stopped) | None => {
            connection.close(VarInt::from_u32(0), b"the other end was stopped");
            Closed::stopped()
        }
    };
    link.path(&carrier.counters());
    link.closed(&closed);
    Carried { closed, heard: carrier.counted.heard }
}

enum Ended {
    Here(Close),
    There(ConnectionError),
    Stopped,
}

impl From<Close> for Ended {
    fn from(close: Close) -> Self {
        Self::Here(close)
    }
}

impl From<ConnectionError> for Ended {
    fn from(error: ConnectionError) -> Self {
        Self::There(error)
    }
}

enum Event {
    Rung,
    Stopped,
    Datagram(Result<Bytes, ConnectionError>),
    Control(Result<(SendStream, RecvStream), ConnectionError>),
    Written(Result<usize, WriteError>),
    Read(Result<Option<usize>, ReadError>),
    Tick,
}

#[derive(Default)]
struct Counted {
    heard: bool,
    datagrams_sent: u64,
    datagrams_received: u64,
    datagrams_stale: u64,
    ticks_without_control: u32,
}

struct Carrier<'a> {
    connection: &'a Connection,
    send: Option<SendStream>,
    recv: Option<RecvStream>,
    ears: Ears,
    ticks: Interval,
    outbox: Outbox,
    frames: Frames,
    buffer: [u8; READ_MAX],
    counted: Counted,
}

impl<'a> Carrier<'a> {
    fn new(
        connection: &'a Connection,
        control: Option<(SendStream, RecvStream)>,
        ears: Ears,
    ) -> Self {
        let (send, recv) = control.unzip();
        let mut ticks = tokio::time::interval(COUNTERS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            connection,
            send,
            recv,
            ears,
            ticks,
            outbox: Outbox::new(),
            frames: Frames::new(),
            buffer: [0; READ_MAX],
            counted: Counted::default(),
        }
    }

    /// Waits for whatever comes first. Not `biased`: no kind of event can starve another.
    async fn next(&mut self) -> Event {
        let Self { connection, send, recv, ears, ticks, outbox, buffer, .. } = self;
        let waiting = recv.is_none();
        tokio::select! {
            rung = ears.bell.changed() => if rung.is_ok() { Event::Rung } else { Event::Stopped },
            _ = ears.stop.wait_for(|stopped| *stopped) => Event::Stopped,
            got = connection.read_datagram() => Event::Datagram(got),
            got = connection.accept_bi(), if waiting => Event::Control(got),
            got = write_some(send, outbox) => Event::Written(got),
            got = read_some(recv, buffer) => Event::Read(got),
            _ = ticks.tick() => Event::Tick,
        }
    }

    fn handle<L: Link>(&mut self, event: Event, link: &mut L) -> Result<(), Ended> {
        match event {
            Event::Rung => self.outgoing(link),
            Event::Stopped => Err(Ended::Stopped),
            Event::Datagram(got) => {
                let bytes = got?;
                self.counted.heard = true;
                self.counted.datagrams_received = self.counted.datagrams_received.saturating_add(1);
                link.datagram(&bytes);
                Ok(())
            }
            Event::Control(got) => {
                let (send, recv) = got?;
                self.send = Some(send);
                self.recv = Some(recv);
                Ok(())
            }
            Event::Written(Ok(count)) => {
                self.outbox.sent(count);
                Ok(())
            }
            Event::Written(Err(WriteError::ConnectionLost(error))) => Err(error.into()),
            Event::Written(Err(
                WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected,
            )) => Err(Close::nonsense("the control stream was stopped").into()),
            Event::Read(got) => self.arrived(got, link),
            Event::Tick => self.tick(link),
        }
    }

    /// Sends what the link has: datagrams first, they are what the tick was for.
    fn outgoing<L: Link>(&mut self, link: &mut L) -> Result<(), Ended> {
        let mut buffer = [0_u8; DATAGRAM_MAX];
        for _ in 0..DATAGRAMS_PER_RING {
            let Some(count) = link.poll_datagram(&mut buffer) else { break };
            let Some(bytes) = buffer.get(..count) else {
                return Err(Close::nonsense("a datagram larger than its buffer was made").into());
            };
            self.datagram(bytes)?;
        }
        link.poll_frame(&mut self.outbox);
        link.poll_close().map_or(Ok(()), |close| Err(close.into()))
    }

    /// Sends what answers the datagram that just came. A burst (a link that held and lets go) is
    /// answered whole: where quinn's short queue is full, quinn is let run before the next.
    async fn answers<L: Link>(&mut self, link: &mut L) -> Result<(), Ended> {
        let mut buffer = [0_u8; DATAGRAM_MAX];
        while let Some(count) = link.poll_answer(&mut buffer) {
            let bytes = buffer.get(..count).unwrap_or_default();
            for _turn in 0..TURNS_MAX {
                if self.connection.datagram_send_buffer_space() >= bytes.len() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            self.datagram(bytes)?;
        }
        Ok(())
    }

    fn datagram(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        // quinn drops the oldest unsent without a word; all of ours have one size, so exactly one.
        if self.connection.datagram_send_buffer_space() < bytes.len() {
            self.counted.datagrams_stale = self.counted.datagrams_stale.saturating_add(1);
        }
        self.counted.datagrams_sent = self.counted.datagrams_sent.saturating_add(1);
        self.connection.send_datagram(Bytes::copy_from_slice(bytes)).map_err(|error| match error {
            SendDatagramError::ConnectionLost(error) => Ended::There(error),
            SendDatagramError::UnsupportedByPeer
            | SendDatagramError::Disabled
            | SendDatagramError::TooLarge => {
                let words = format!("a datagram of {} bytes: {error}", bytes.len());
                Ended::Here(Close::nonsense(words))
            }
        })
    }

    fn arrived<L: Link>(
        &mut self,
        got: Result<Option<usize>, ReadError>,
        link: &mut L,
    ) -> Result<(), Ended> {
        let count = match got {
            Ok(Some(count)) => count,
            Ok(None) if self.frames.is_between() => {
                return Err(Close::nonsense("the control stream was ended").into());
            }
            Ok(None) => return Err(Close::nonsense("the last frame was cut short").into()),
            Err(ReadError::ConnectionLost(error)) => return Err(error.into()),
            Err(
                ReadError::Reset(_)
                | ReadError::ClosedStream
                | ReadError::IllegalOrderedRead
                | ReadError::ZeroRttRejected,
            ) => return Err(Close::nonsense("the control stream was reset").into()),
        };
        self.counted.heard = true;
        let Self { frames, outbox, buffer, .. } = self;
        let bytes = buffer.get(..count).unwrap_or_default();
        frames.feed(bytes, |body| link.frame(body, outbox))?;
        Ok(())
    }

    fn tick<L: Link>(&mut self, link: &mut L) -> Result<(), Ended> {
        link.path(&self.counters());
        if self.recv.is_none() {
            self.counted.ticks_without_control =
                self.counted.ticks_without_control.saturating_add(1);
            if self.counted.ticks_without_control > STREAM_DEADLINE_TICKS {
                return Err(Close::nonsense("no control stream was opened").into());
            }
        }
        Ok(())
    }

    fn counters(&self) -> PathCounters {
        let path = self.connection.stats().path;
        PathCounters {
            rtt: micros(path.rtt),
            rtt_min: micros(path.min_rtt),
            window: path.cwnd,
            packets_sent: path.sent_packets,
            packets_lost: path.lost_packets,
            datagrams_sent: self.counted.datagrams_sent,
            datagrams_received: self.counted.datagrams_received,
            datagrams_stale: self.counted.datagrams_stale,
        }
    }
}

async fn write_some(send: &mut Option<SendStream>, outbox: &Outbox) -> Result<usize, WriteError> {
    match send {
        Some(send) if !outbox.is_empty() => send.write(outbox.bytes()).await,
        Some(_) | None => pending().await,
    }
}

async fn read_some(
    recv: &mut Option<RecvStream>,
    buffer: &mut [u8],
) -> Result<Option<usize>, ReadError> {
    match recv {
        Some(recv) => recv.read(buffer).await,
        None => pending().await,
    }
}

fn micros(span: Duration) -> Micros {
    Micros::from_micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}
