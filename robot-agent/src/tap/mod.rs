//! The tap: every tick, for whoever stands beside the robot and looks: the gateway.
//!
//! Knows: the way of a state from the servo thread into shared memory. Does not know: what the
//! words say (`longhand_protocol::tap`), who reads them, or anything of the outside world.
//!
//! ```text
//! servo thread ─► mailbox ─┐
//! pump thread  ─► mailbox ─┴► tap thread ─► sealed memory ─► any readers
//! ```
//!
//! One way by construction. The servo thread pushes forty words into a mailbox that drops the
//! oldest and never looks at who reads. The tap's own thread, of normal priority, copies them into
//! memory that the kernel has sealed: after that only this process can write it and nobody can make
//! it smaller. A reader is handed a descriptor that can only be read, over a socket from which
//! nothing is ever read. The black box has a tap of its own (`record::tap`), which loses nothing.

mod memory;

use crate::record::Health;
use crate::servo_thread::{STATE_WORDS, StateReader, unpack_state};
use longhand_protocol::message::{RecordAlarm, RobotId, SessionKey, StateReport};
use longhand_protocol::tap::{Header, LINK_WORDS, LinkHealth, Record};
use longhand_protocol::units::Seq;
use longhand_quic::clock::{robot_now, wall_ns};
use longhand_quic::doorbell::Stop;
use longhand_quic::mailbox::{Reader, Writer};
use memory::SealedRing;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// News of the link, from the pump's thread. A full mailbox drops the oldest: the newest counts.
pub type LinkWriter = Writer<LINK_WORDS, 8>;
/// The other end.
pub type LinkReader = Reader<LINK_WORDS, 8>;

/// How often the tap's thread looks. Chosen: half the time between two states at 100 Hz, and a
/// fiftieth of what the mailbox holds.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Readers that are served at one look; the rest wait for the next. Chosen: a look stays short.
const READERS_A_LOOK: usize = 8;

/// The tap's memory, its socket and where it gets its ticks.
pub(crate) struct Tap {
    ring: SealedRing,
    listener: UnixListener,
    states: StateReader,
    links: LinkReader,
    health: Option<Arc<Health>>,
    link: LinkHealth,
    number: u64,
    missed: u64,
}

/// What the agent's threads write to, and read from, for the tap.
pub(crate) struct TapEnds {
    pub(crate) states: StateReader,
    pub(crate) links: LinkReader,
    pub(crate) health: Option<Arc<Health>>,
}

impl Tap {
    /// Memory for the ticks of `robot`, offered on a socket at `path`, to its owner only.
    ///
    /// Errors: the socket cannot be made, or this kernel has no memory that can be sealed.
    pub(crate) fn offer(
        path: &Path,
        robot: RobotId,
        run: u64,
        ends: TapEnds,
    ) -> Result<Self, io::Error> {
        let listener = crate::controls::listen(path)?;
        listener.set_nonblocking(true)?;
        let ring = SealedRing::new(&Header { robot, run })?;
        let TapEnds { states, links, health } = ends;
        let link = LinkHealth::default();
        Ok(Self { ring, listener, states, links, health, link, number: 0, missed: 0 })
    }

    /// Shows ticks until `stop`. Waits for nobody.
    pub(crate) fn run(mut self, stop: &Stop) {
        while !stop.is_stopped() {
            self.look();
            self.serve();
            thread::sleep(LOOK_EVERY);
        }
        self.look();
    }

    /// Copies what has come.
    fn look(&mut self) {
        let link = &mut self.link;
        let _newest = self.links.drain(1, |words| *link = LinkHealth::of(words).unwrap_or(*link));
        let alarm = self.health.as_ref().map_or(RecordAlarm::None, |h| h.alarm(robot_now()));
        // Both clocks once a look: a tick's wall time is this one's less the tick's age.
        let (wall_ns, now) = (wall_ns(), robot_now());
        let Self { ring, states, link, number, missed, .. } = self;
        let drained = states.drain(u64::MAX, |words: &[u64; STATE_WORDS]| {
            let Some((state, fence)) = unpack_state(words) else { return };
            *number = number.saturating_add(1);
            let age_ns = now.since(state.robot_time).as_micros().saturating_mul(1_000);
            let key = SessionKey { epoch: fence, ..SessionKey::default() };
            ring.write(&Record {
                number: *number,
                wall_ns: wall_ns.saturating_sub(age_ns),
                missed: *missed,
                record_alarm: alarm,
                link: *link,
                state: StateReport { key, number: Seq::ZERO, state },
            });
        });
        *missed = missed.saturating_add(drained.lost());
    }

    /// Hands the memory to whoever has connected, to be read.
    fn serve(&self) {
        for _ in 0..READERS_A_LOOK {
            let Ok((reader, _)) = self.listener.accept() else { return };
            if let Err(error) = self.hand_to(&reader) {
                tracing::debug!("a reader of the tap could not be served: {error}");
            }
        }
    }

    fn hand_to(&self, reader: &UnixStream) -> io::Result<()> {
        let readable = [self.ring.readable().as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        if !message.push(SendAncillaryMessage::ScmRights(&readable)) {
            return Err(io::Error::other("no room for one descriptor"));
        }
        // A new socket has room for a byte; one that had none would be left, not waited for.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(reader, &[IoSlice::new(b"T")], &mut message, flags)?;
        Ok(())
    }
}
