//! One end in virtual time: an endpoint and its connections, without a socket.
//!
//! Knows: when to ask quinn-proto and what to do with what it says. Does not know: the other end,
//! the way between, or when to connect again.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn::{ConnectionError, VarInt};
use quinn_proto::{
    Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, Event as QuicEvent, StreamEvent,
    StreamId,
};

use super::{Event, Packet, Party};
use crate::pump::{CONNECTIONS_MAX, CloseCode, Frames, Outbox};

/// Where the robot is. Source: RFC 5737, an address of nobody's.
pub(super) const ROBOT_ADDR: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 7_400));

/// The console, as the robot sees it: behind an address translator, so only the port says which.
pub(super) const fn console_addr(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), port))
}

/// What came out of an end.
#[derive(Default)]
pub(super) struct Out {
    pub(super) packets: VecDeque<Packet>,
    pub(super) events: VecDeque<Event>,
    /// Buffers to use again.
    pub(super) spare: Vec<Vec<u8>>,
    /// What ended the console's connection or its attempt, and what it had been good for.
    pub(super) lost: Option<Lost>,
}

/// The end of a console's connection.
pub(super) struct Lost {
    pub(super) why: ConnectionError,
    pub(super) stood: bool,
    pub(super) heard: bool,
}

/// Buffers kept. Chosen: more than are ever under way between two ends at 1 kHz and 250 ms.
const SPARE_MAX: usize = 1_024;

impl Out {
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(buffer);
        }
    }

    fn filled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.buffer();
        buffer.extend_from_slice(bytes);
        buffer
    }
}

/// One connection.
struct Line {
    quic: Connection,
    control: Option<StreamId>,
    outbox: Outbox,
    frames: Frames,
    due: Option<Instant>,
    stands: bool,
    heard: bool,
}

impl Line {
    fn new(quic: Connection) -> Self {
        Self {
            quic,
            control: None,
            outbox: Outbox::new(),
            frames: Frames::new(),
            due: None,
            stands: false,
            heard: false,
        }
    }

    /// Puts waiting frames on the control stream, as far as it takes them.
    fn write(&mut self) {
        let Some(id) = self.control else { return };
        while !self.outbox.is_empty() {
            match self.quic.send_stream(id).write(self.outbox.bytes()) {
                Ok(count) if count > 0 => self.outbox.sent(count),
                // Blocked: a `Writable` event comes, and everything is driven after every event.
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn read(&mut self, now: Instant, mut take: impl FnMut(&[u8])) {
        let Some(id) = self.control else { return };
        let mut arrived: Vec<Bytes> = Vec::new();
        let mut stream = self.quic.recv_stream(id);
        if let Ok(mut chunks) = stream.read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                arrived.push(chunk.bytes);
            }
            // Whatever it wants to send is sent when everything is driven.
            let _driven_anyway = chunks.finalize();
        }
        for bytes in arrived {
            self.heard = true;
            let fed = self.frames.feed(&bytes, |body| {
                take(body);
                Ok(())
            });
            if let Err(close) = fed {
                let code = VarInt::from_u32(CloseCode::Nonsense.number());
                self.quic.close(now, code, Bytes::from(close.to_string()));
                return;
            }
        }
    }
}

/// One end.
pub(super) struct End {
    party: Party,
    pub(super) endpoint: Endpoint,
    lines: BTreeMap<usize, Line>,
    /// The connection that was the last to stand: the one that carries.
    newest: Option<usize>,
}

impl End {
    pub(super) fn new(party: Party, endpoint: Endpoint) -> Self {
        Self { party, endpoint, lines: BTreeMap::new(), newest: None }
    }

    pub(super) fn add(&mut self, handle: ConnectionHandle, quic: Connection) {
        self.lines.insert(handle.0, Line::new(quic));
    }

    fn carrying(&mut self) -> Option<(usize, &mut Line)> {
        let handle = self.newest?;
        Some((handle, self.lines.get_mut(&handle)?))
    }

    /// Whether a connection stands.
    pub(super) const fn stands(&self) -> bool {
        self.newest.is_some()
    }

    /// A datagram sets out; the oldest that waits goes where the queue is full.
    pub(super) fn datagram(&mut self, now: Instant, bytes: &[u8], sends: bool, out: &mut Out) {
        let Some((handle, line)) = self.carrying() else { return };
        // Too large is the caller's mistake and would show at once; a lost line says so itself.
        let _sent = line.quic.datagrams().send(Bytes::copy_from_slice(bytes), true);
        self.drive(handle, now, sends, out);
    }

    /// A frame sets out on the control stream; one that finds its queue full is dropped.
    pub(super) fn frame(&mut self, now: Instant, body: &[u8], sends: bool, out: &mut Out) {
        let Some((handle, line)) = self.carrying() else { return };
        let _full = line.outbox.push(body);
        self.drive(handle, now, sends, out);
    }

    /// New keys from the next packet on, where a connection stands.
    pub(super) fn update_keys(&mut self) -> bool {
        let Some((_, line)) = self.carrying() else { return false };
        line.quic.force_key_update();
        true
    }

    /// A packet came in from `from`.
    pub(super) fn packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        sends: bool,
        out: &mut Out,
    ) {
        let mut answer = out.buffer();
        let data = BytesMut::from(bytes);
        match self.endpoint.handle(now, from, None, None, data, &mut answer) {
            None => {}
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(line) = self.lines.get_mut(&handle.0) {
                    line.quic.handle_event(event);
                }
                self.drive(handle.0, now, sends, out);
            }
            Some(DatagramEvent::NewConnection(incoming)) if self.lines.len() >= CONNECTIONS_MAX => {
                let told = self.endpoint.refuse(incoming, &mut answer);
                return self.answer(told.destination, answer, out);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                match self.endpoint.accept(incoming, now, &mut answer, None) {
                    Ok((handle, quic)) => {
                        self.add(handle, quic);
                        self.drive(handle.0, now, sends, out);
                    }
                    Err(error) => {
                        if let Some(told) = error.response {
                            return self.answer(told.destination, answer, out);
                        }
                    }
                }
            }
            Some(DatagramEvent::Response(told)) => {
                return self.answer(told.destination, answer, out);
            }
        }
        out.recycle(answer);
    }

    fn answer(&self, to: SocketAddr, bytes: Vec<u8>, out: &mut Out) {
        out.packets.push_back(Packet { from: self.party, port: to.port(), bytes });
    }

    /// The earliest time at which a connection wants to be woken.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lines.values().filter_map(|line| line.due).min()
    }

    /// Wakes every connection whose time has come, or all of them.
    pub(super) fn turn(&mut self, now: Instant, all: bool, sends: bool, out: &mut Out) {
        let is_due = |line: &Line| all || line.due.is_some_and(|due| due <= now);
        let due = self.lines.iter().filter(|(_, line)| is_due(line)).map(|(handle, _)| *handle);
        for handle in due.collect::<Vec<_>>() {
            if let Some(line) = self.lines.get_mut(&handle) {
                line.quic.handle_timeout(now);
            }
            self.drive(handle, now, sends, out);
        }
    }

    /// Asks a connection until it is dry; `sends` says whether packets may leave.
    pub(super) fn drive(&mut self, handle: usize, now: Instant, sends: bool, out: &mut Out) {
        self.listen_inside(handle, now, out);
        if let Some(line) = self.lines.get_mut(&handle) {
            line.write();
            if sends && Self::transmit(line, self.party, now, out) {
                self.listen_inside(handle, now, out);
            }
        }
        let Some(line) = self.lines.get_mut(&handle) else { return };
        line.due = line.quic.poll_timeout();
        if line.quic.is_drained() {
            self.lines.remove(&handle);
        }
    }

    /// Hands on what a connection says to its endpoint and to its owner.
    fn listen_inside(&mut self, handle: usize, now: Instant, out: &mut Out) {
        let Some(line) = self.lines.get_mut(&handle) else { return };
        while let Some(event) = line.quic.poll_endpoint_events() {
            if let Some(back) = self.endpoint.handle_event(ConnectionHandle(handle), event) {
                line.quic.handle_event(back);
            }
        }
        while let Some(event) = self.lines.get_mut(&handle).and_then(|line| line.quic.poll()) {
            self.happened(handle, event, now, out);
        }
    }

    /// Whether anything was sent.
    fn transmit(line: &mut Line, party: Party, now: Instant, out: &mut Out) -> bool {
        let mut sent = false;
        loop {
            let mut bytes = out.buffer();
            let Some(told) = line.quic.poll_transmit(now, 1, &mut bytes) else {
                out.recycle(bytes);
                return sent;
            };
            sent = true;
            let port = told.destination.port();
            out.packets.push_back(Packet { from: party, port, bytes });
        }
    }

    fn happened(&mut self, handle: usize, event: QuicEvent, now: Instant, out: &mut Out) {
        let Some(line) = self.lines.get_mut(&handle) else { return };
        let party = self.party;
        let carries = self.newest == Some(handle);
        match event {
            QuicEvent::Connected => {
                line.stands = true;
                if party == Party::Console {
                    line.control = line.quic.streams().open(Dir::Bi);
                }
                self.newest = Some(handle);
                out.events.push_back(Event::Connected { at: party });
            }
            QuicEvent::ConnectionLost { reason } => {
                if party == Party::Console {
                    let (stood, heard) = (line.stands, line.heard);
                    out.lost = Some(Lost { why: reason, stood, heard });
                }
                if carries {
                    self.newest = None;
                    out.events.push_back(Event::Closed { at: party });
                }
            }
            QuicEvent::DatagramReceived => {
                while let Some(bytes) = line.quic.datagrams().recv() {
                    line.heard = true;
                    // What comes by a connection that carries no more holds no lease.
                    if carries {
                        let bytes = out.filled(&bytes);
                        out.events.push_back(Event::Datagram { at: party, bytes });
                    }
                }
            }
            QuicEvent::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                line.control = line.quic.streams().accept(Dir::Bi);
                self.listen(handle, now, out);
            }
            QuicEvent::Stream(StreamEvent::Readable { .. }) => self.listen(handle, now, out),
            QuicEvent::Stream(_)
            | QuicEvent::HandshakeDataReady
            | QuicEvent::DatagramsUnblocked => {}
        }
    }

    /// Takes what the control stream brought.
    fn listen(&mut self, handle: usize, now: Instant, out: &mut Out) {
        let (party, carries) = (self.party, self.newest == Some(handle));
        let Some(line) = self.lines.get_mut(&handle) else { return };
        line.read(now, |body| {
            if carries {
                out.events.push_back(Event::Frame { at: party, bytes: body.to_vec() });
            }
        });
    }
}

/// The settings of an endpoint, which every end shares.
pub(super) type Settings = Arc<quinn_proto::EndpointConfig>;
