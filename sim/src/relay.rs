//! A real link's behaviour between real processes: the emulator as a UDP relay in real time.
//!
//! Knows: sockets, one thread at real-time priority, and how late each packet left. Does not know:
//! what a link does to a packet (`longhand_link`), or what is inside one.
//!
//! ```text
//! console ──► listen ──► Pipe (up)   ──► the client's own socket ──► robot
//! console ◄── listen ◄── Pipe (down) ◄── the client's own socket ◄── robot
//! ```
//!
//! Several programs may share one link: each address that sends is a client with a socket of its
//! own towards the far end (`clients`), and all meet the same queue, jitter, loss and outages.
//! Several far ends may, too: each has a door of its own. The thread sleeps until a packet comes or
//! is due, and never spins unless told to. It measures itself: the *error* of a packet is how much
//! later than due it left. A run is valid while at most one packet in [`STALLED_ONE_IN`] erred by
//! more than [`STALL`]; one that is not says so.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use longhand_link::emulator::TooManyBlackHoles;
use longhand_link::profile::DrillAct;
use longhand_link::{
    Delivery, Direction, Directions, Disturb, Emulator, Fate, LinkEvent, LinkModel, LinkStats, Pipe,
};
use longhand_protocol::units::{Instant, Link, Micros};
use longhand_quic::clock::link_now;
use longhand_quic::pace::{PUMP_PRIORITY, RealTime};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;

use crate::measure::{DelaySummary, Delays};

mod clients;
mod log;

pub use clients::CLIENTS_MAX;
use clients::{Clients, Door};
pub use log::LogFailure;

/// A packet that left later than this was stalled by the machine.
///
/// Source: the brief of the relay; half of the watchdog's shortest brake threshold (10 ms, design
/// section 6), so a stall alone cannot move the robot's stage.
pub const STALL: Micros = Micros::from_millis(5);

/// In a valid run at most one packet in this many was stalled.
///
/// Chosen: 10 000, a tenth of the lateness the playout buffer is sized for (1e-3, design section
/// 6), so that the machine never decides what the link is blamed for.
pub const STALLED_ONE_IN: u64 = 10_000;

/// The longest sleep. Bounds how long a change of the outage timeline stays untold.
///
/// Chosen: 50 ms, 20 wake-ups a second on an idle relay.
const SLEEP_MAX: Micros = Micros::from_millis(50);

/// With `spin`, the last stretch before a packet is due is waited awake.
///
/// Source: performance.md section 4, "sleep to 60 us before, then spin".
const SPIN: Micros = Micros::from_micros(60);

/// Packets taken from one socket in a row, before what is due is sent.
///
/// Chosen: 64 receives take about 100 us, a fifth of the goal's p99.9.
const BATCH: usize = 64;

/// The longest UDP payload.
const DATAGRAM_MAX: usize = 65_536;

/// Packet buffers made ready at the start, each of [`BUFFER`] bytes; more are made when needed and
/// kept, up to the room of the pipe.
const BUFFERS: usize = 2_048;

/// Source: an Ethernet frame's payload, which no QUIC datagram here exceeds.
const BUFFER: usize = 1_500;

/// Places to listen, each with the far end behind it. Chosen: a robot has two, commands and probes.
pub const DOORS_MAX: usize = 8;

/// Link events kept for the owner; when full the newest is dropped.
const EVENTS_MAX: usize = 256;

/// How a relay is set up beyond its addresses.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// The link.
    pub model: LinkModel,
    /// Its seed.
    pub seed: u64,
    /// Faults laid over it.
    pub disturb: Disturb,
    /// Where every packet is written down, if anywhere.
    pub log: Option<PathBuf>,
    /// Wait the last 60 us awake: smaller errors for up to a whole processor.
    pub spin: bool,
}

impl RelayOptions {
    /// The link alone: nothing laid over it, no log, no spinning.
    pub fn new(model: LinkModel, seed: u64) -> Self {
        Self { model, seed, disturb: Disturb::default(), log: None, spin: false }
    }
}

/// A relay cannot start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The address to listen on is taken or not ours.
    #[error("cannot listen on {address}: {why}; choose a free port of this machine, or port 0")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// The far end cannot be reached from here.
    #[error("cannot send to {address}: {why}; check the address of the robot")]
    Target {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// The log cannot be written.
    #[error("cannot write the log {}: {why}; choose another file", path.display())]
    Log {
        /// Where.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The system gave no thread or event descriptor.
    #[error("cannot start the relay: {0}; raise `ulimit -n` and `ulimit -u`")]
    System(io::Error),
    /// The relay has stopped, so nothing can be asked of it.
    #[error("the relay has stopped; start it again")]
    Stopped,
    /// No door at all, or too many.
    #[error("a relay listens on 1 to {DOORS_MAX} addresses, not on {0}; start another beside it")]
    Doors(usize),
    /// Too many black holes at once.
    #[error(transparent)]
    BlackHoles(#[from] TooManyBlackHoles),
}

/// What a relay has done so far.
#[derive(Clone, Debug)]
pub struct RelayStats {
    /// The seed.
    pub seed: u64,
    /// What the link did.
    pub link: LinkStats,
    /// How much later than due packets left, microseconds.
    pub error: DelaySummary,
    /// Packets that left more than [`STALL`] late.
    pub stalled: u64,
    /// Packets that the link let through and the system refused to send: no route, no buffer, or
    /// the far end's machine had just said that nobody listens. They are lost, and the log says so.
    pub send_failed: Lanes,
    /// Times that a far end's machine said that nobody listens there: packets that left the relay,
    /// and found nobody. Which they were it does not say.
    pub nobody_there: u64,
    /// Packets under way now.
    pub under_way: usize,
    /// Who is relayed, in the order in which they came.
    pub clients: Vec<RelayedClient>,
    /// Clients that gave their place to another: there were more than [`CLIENTS_MAX`].
    pub clients_replaced: u64,
    /// Rows that are not in the log: they came too fast, or the disk refused them.
    pub log_lost: u64,
    /// Why the log is not whole, where the disk refused; known when the relay has stopped.
    pub log_failure: Option<LogFailure>,
    /// What the kernel granted the thread, for people.
    pub granted: String,
}

/// A count for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// To the far end.
    pub up: u64,
    /// To the clients.
    pub down: u64,
}

impl Lanes {
    /// Of one direction.
    pub const fn of(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }

    const fn count(&mut self, direction: Direction) {
        let lane = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        *lane = lane.saturating_add(1);
    }
}

/// A program that sends to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayedClient {
    /// Its number, which the log carries: from 1, in the order in which they came.
    pub number: u64,
    /// Its address.
    pub address: SocketAddr,
    /// Where the relay hears it.
    pub at: SocketAddr,
}

impl RelayStats {
    /// Whether the run says more of the link than of a machine that stalled; `None` where no packet
    /// came through, which says nothing of either.
    pub fn is_valid(&self) -> Option<bool> {
        (self.error.count > 0).then_some(self.stalled <= self.error.count / STALLED_ONE_IN)
    }
}

/// The relay.
#[derive(Debug)]
pub struct Relay;

impl Relay {
    /// Relays between clients of `listen` and the far end `to`, over the link.
    ///
    /// Errors: [`RelayError`] where a socket or the thread cannot be had.
    pub fn start(
        listen: SocketAddr,
        to: SocketAddr,
        model: LinkModel,
        seed: u64,
    ) -> Result<RelayHandle, RelayError> {
        Self::start_with(listen, to, RelayOptions::new(model, seed))
    }

    /// The same with every option.
    pub fn start_with(
        listen: SocketAddr,
        to: SocketAddr,
        options: RelayOptions,
    ) -> Result<RelayHandle, RelayError> {
        Self::start_doors(&[(listen, to)], options)
    }

    /// The same for several far ends over one link: each place to listen with the far end behind
    /// it.
    pub fn start_doors(
        doors: &[(SocketAddr, SocketAddr)],
        options: RelayOptions,
    ) -> Result<RelayHandle, RelayError> {
        if doors.is_empty() || doors.len() > DOORS_MAX {
            return Err(RelayError::Doors(doors.len()));
        }
        let doors = doors.iter().map(|(listen, to)| Door::open(*listen, *to));
        let doors: Vec<Door> = doors.collect::<Result<_, _>>()?;
        let local = doors.iter().map(|door| door.local).collect();
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let wake = Arc::new(wake.map_err(|why| RelayError::System(why.into()))?);
        let log = options.log.as_deref().map(log::Log::create).transpose()?;
        let (orders, inbox) = channel();
        let (tell, events) = sync_channel(EVENTS_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let (known_stop, ear) = (Arc::clone(&stop), Arc::clone(&wake));
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || {
            let real_time = RealTime::acquire(PUMP_PRIORITY, None);
            let granted = real_time.granted().to_string();
            let worker = Worker::new(options, doors, tell, log, granted);
            worker.run(&inbox, &ear, &known_stop)
        });
        let thread = thread.map_err(RelayError::System)?;
        let shared = Shared { thread: Some(thread), last: None };
        Ok(RelayHandle { local, orders, events, wake, stop, shared: Mutex::new(shared) })
    }
}

/// A running relay. Dropping it stops the relay.
#[derive(Debug)]
pub struct RelayHandle {
    local: Vec<SocketAddr>,
    orders: Sender<Order>,
    events: Receiver<LinkEvent>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    thread: Option<JoinHandle<RelayStats>>,
    last: Option<RelayStats>,
}

/// What the owner asks of the thread.
enum Order {
    Report(SyncSender<RelayStats>),
    BlackHole(Directions, Micros, SyncSender<Result<(), TooManyBlackHoles>>),
    Model(LinkModel),
    Disturb(Disturb),
}

impl RelayHandle {
    /// Where clients send to; the port is known here where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        // There is at least one door.
        self.local.first().copied().unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
    }

    /// The same of every door, in the order in which they were asked for.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local
    }

    /// What the relay has done so far. Costs it about 50 us, so ask about once a second.
    ///
    /// Errors: [`RelayError::Stopped`] where its thread died.
    pub fn stats(&self) -> Result<RelayStats, RelayError> {
        let last = self.shared.lock().unwrap_or_else(PoisonError::into_inner).last.clone();
        match last {
            Some(last) => Ok(last),
            None => self.ask(Order::Report),
        }
    }

    /// Nothing gets through in `directions` for `lasts` from now on. Returns when it has begun.
    pub fn black_hole(&self, directions: Directions, lasts: Micros) -> Result<(), RelayError> {
        Ok(self.ask(|answer| Order::BlackHole(directions, lasts, answer))??)
    }

    /// Replaces the link from now on; packets under way keep their fate.
    pub fn set_model(&self, model: LinkModel) -> Result<(), RelayError> {
        self.tell(Order::Model(model))
    }

    /// Lays other faults over the link from now on.
    pub fn set_disturb(&self, disturb: Disturb) -> Result<(), RelayError> {
        self.tell(Order::Disturb(disturb))
    }

    /// The oldest link event not yet told: outages, base changes, drill steps.
    pub fn poll_event(&self) -> Option<LinkEvent> {
        self.events.try_recv().ok()
    }

    /// Stops the relay and says what it did. Packets under way are lost. Twice is the same as once.
    ///
    /// Errors: [`RelayError::Stopped`] where its thread died.
    pub fn stop(&self) -> Result<RelayStats, RelayError> {
        self.stop.store(true, Ordering::Release);
        self.ring();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = shared.thread.take() {
            shared.last = thread.join().ok();
        }
        shared.last.clone().ok_or(RelayError::Stopped)
    }

    fn tell(&self, order: Order) -> Result<(), RelayError> {
        self.orders.send(order).map_err(|_| RelayError::Stopped)?;
        self.ring();
        Ok(())
    }

    fn ask<A>(&self, order: impl FnOnce(SyncSender<A>) -> Order) -> Result<A, RelayError> {
        let (answer, heard) = sync_channel(1);
        self.tell(order(answer))?;
        heard.recv().map_err(|_| RelayError::Stopped)
    }

    fn ring(&self) {
        // The only failure of a valid eventfd is a full counter, and then it is rung.
        let _already_rung = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        let _last = self.stop();
    }
}

/// A packet under way.
#[derive(Clone, Debug)]
struct Packet {
    client: u64,
    sent: Instant<Link>,
    bytes: Vec<u8>,
}

/// The thread's own.
struct Worker {
    doors: Vec<Door>,
    clients: Clients,
    pipe: Pipe<Packet>,
    spare: Vec<Vec<u8>>,
    errors: Delays,
    stalled: u64,
    send_failed: Lanes,
    nobody_there: u64,
    tell: SyncSender<LinkEvent>,
    log: Option<log::Log>,
    spin: bool,
    granted: String,
}

impl Worker {
    fn new(
        options: RelayOptions,
        doors: Vec<Door>,
        tell: SyncSender<LinkEvent>,
        log: Option<log::Log>,
        granted: String,
    ) -> Self {
        let link = Emulator::starting_at(options.model, options.seed, link_now());
        Self {
            doors,
            clients: Clients::default(),
            pipe: Pipe::new(link.with_disturb(options.disturb)),
            spare: (0..BUFFERS).map(|_| Vec::with_capacity(BUFFER)).collect(),
            errors: Delays::new(),
            stalled: 0,
            send_failed: Lanes::default(),
            nobody_there: 0,
            tell,
            log,
            spin: options.spin,
            granted,
        }
    }

    fn run(mut self, inbox: &Receiver<Order>, ear: &OwnedFd, stop: &AtomicBool) -> RelayStats {
        let mut buffer = vec![0_u8; DATAGRAM_MAX];
        while !stop.load(Ordering::Acquire) {
            self.sleep(ear);
            self.obey(inbox, ear);
            self.send_due();
            for door in 0..self.doors.len() {
                self.take_up(door, &mut buffer);
                self.send_due();
            }
            for place in 0..self.clients.all().len() {
                self.take_down(place, &mut buffer);
                self.send_due();
            }
            self.pipe.link_mut().advance(link_now());
            self.tell_events();
        }
        let log = self.log.take();
        let mut report = self.report();
        if let Some(log) = log {
            (report.log_lost, report.log_failure) = log.finish();
        }
        report
    }

    /// Sleeps until a packet comes, an order comes, or the next packet is due.
    fn sleep(&self, ear: &OwnedFd) {
        let now = link_now();
        let left = self.pipe.next_due().map_or(SLEEP_MAX, |due| due.since(now)).min(SLEEP_MAX);
        let asleep = if self.spin { left.saturating_sub(SPIN) } else { left };
        let near = self.doors.iter().map(|door| &door.near);
        let sockets = near.chain(self.clients.all().iter().map(|client| &client.far));
        let fds = sockets.map(|socket| PollFd::new(socket, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = fds.chain([PollFd::new(ear, PollFlags::IN)]).collect();
        // An interrupted sleep is a short one: the loop looks at everything and comes back.
        let _woken = poll(&mut fds, Some(&timespec(asleep)));
    }

    fn obey(&mut self, inbox: &Receiver<Order>, ear: &OwnedFd) {
        // Emptied before the orders are read, so that one given meanwhile rings again.
        let mut rings = [0_u8; 8];
        let _quiet = rustix::io::read(ear, &mut rings);
        loop {
            match inbox.try_recv() {
                Ok(Order::Report(answer)) => {
                    // Whoever asked may have gone.
                    let _unheard = answer.try_send(self.report());
                }
                Ok(Order::BlackHole(directions, lasts, answer)) => {
                    let begun = self.pipe.link_mut().black_hole(directions, link_now(), lasts);
                    let _unheard = answer.try_send(begun);
                }
                Ok(Order::Model(model)) => self.pipe.link_mut().set_model(link_now(), model),
                Ok(Order::Disturb(disturb)) => self.pipe.link_mut().set_disturb(disturb),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Takes what clients sent to a door, at most [`BATCH`] packets.
    fn take_up(&mut self, door: usize, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Some(at) = self.doors.get(door) else { return };
            let (len, from) = match at.near.recv_from(buffer) {
                Ok(came) => came,
                Err(why) if why.kind() == ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let now = link_now();
            match self.clients.heard(&mut self.doors, door, from, now) {
                Ok(client) => self.offer(Direction::Up, client, now, buffer.get(..len)),
                // It never came to the link: neither offered nor in the log.
                Err(_no_socket) => self.send_failed.count(Direction::Up),
            }
        }
    }

    /// Takes what the far end sent to one client, at most [`BATCH`] packets.
    fn take_down(&mut self, place: usize, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Some(client) = self.clients.all().get(place) else { return };
            let number = client.number;
            match client.far.recv(buffer) {
                Ok(len) => self.offer(Direction::Down, number, link_now(), buffer.get(..len)),
                Err(why) if why.kind() == ErrorKind::WouldBlock => return,
                Err(why) => self.refused(&why),
            }
        }
    }

    /// Word of an earlier packet: it left, and where it went nobody listened.
    fn refused(&mut self, why: &io::Error) {
        let is_refusal = why.kind() == ErrorKind::ConnectionRefused;
        self.nobody_there = self.nobody_there.saturating_add(u64::from(is_refusal));
    }

    /// Hands a packet to the link.
    fn offer(
        &mut self,
        direction: Direction,
        client: u64,
        sent: Instant<Link>,
        came: Option<&[u8]>,
    ) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(came.unwrap_or_default());
        let len = bytes.len();
        let fate = self.pipe.offer(sent, direction, len, Packet { client, sent, bytes });
        if let (Fate::Drop(cause), Some(log)) = (fate, &mut self.log) {
            log.dropped(log::Sent { at: sent, direction, client, bytes: len }, cause);
        }
    }

    /// Sends everything that is due; with `spin`, waits awake for what is due within [`SPIN`].
    fn send_due(&mut self) {
        loop {
            let now = link_now();
            if let Some(delivery) = self.pipe.poll(now) {
                self.send(delivery);
                continue;
            }
            let soon = self.pipe.next_due().is_some_and(|due| due.since(now) <= SPIN);
            if !(self.spin && soon) {
                return;
            }
            std::hint::spin_loop();
        }
    }

    fn send(&mut self, delivery: Delivery<Packet>) {
        let Delivery { direction, due, wrong_bit, payload } = delivery;
        let Packet { client, sent, mut bytes } = payload;
        let len = bytes.len();
        if let Some(bit) = wrong_bit {
            turn_over(&mut bytes, bit);
        }
        let left = link_now();
        let whose = self.clients.by_number(client);
        // Of a client that gave its place to another there is no socket any more.
        let gone = || io::Error::from(ErrorKind::NotConnected);
        let sent_on = whose.ok_or_else(gone).and_then(|client| match direction {
            Direction::Up => client.far.send(&bytes),
            Direction::Down => {
                let door = self.doors.get(client.door).ok_or_else(gone)?;
                door.near.send_to(&bytes, client.address)
            }
        });
        if let Err(why) = &sent_on {
            self.send_failed.count(direction);
            self.refused(why);
        }
        let error = left.since(due);
        self.errors.record(error);
        self.stalled = self.stalled.saturating_add(u64::from(error > STALL));
        if let Some(log) = &mut self.log {
            let sent = log::Sent { at: sent, direction, client, bytes: len };
            log.left(
                sent,
                log::Left { due, left, corrupted: wrong_bit.is_some(), sent_on: sent_on.is_ok() },
            );
        }
        self.spare.push(bytes);
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.pipe.link_mut().poll_event() {
            if let LinkEvent::Drill { act: DrillAct::NatRebind, .. } = event {
                // A new socket is a new address, which is what the far end sees of a NAT's rebind.
                self.clients.rebind(&self.doors);
            }
            // Nobody listening, or too slow: events are for people, the link goes on.
            let _untold = self.tell.try_send(event);
        }
    }

    fn report(&self) -> RelayStats {
        RelayStats {
            seed: self.pipe.link().seed(),
            link: *self.pipe.stats(),
            error: self.errors.summary(),
            stalled: self.stalled,
            send_failed: self.send_failed,
            nobody_there: self.nobody_there,
            under_way: self.pipe.len(),
            clients: self.clients.told(&self.doors),
            clients_replaced: self.clients.replaced(),
            log_lost: self.log.as_ref().map_or(0, log::Log::lost),
            log_failure: None,
            granted: self.granted.clone(),
        }
    }
}

fn turn_over(bytes: &mut [u8], bit: u64) {
    let place = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1_u8.rotate_left(u32::try_from(bit % 8).unwrap_or(0));
    }
}

fn timespec(span: Micros) -> Timespec {
    let (seconds, micros) = (span.as_micros() / 1_000_000, span.as_micros() % 1_000_000);
    Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(micros.saturating_mul(1_000)).unwrap_or(0),
    }
}
