//! How a thread outside the runtime speaks to a pump: ring it awake, or stop it.
//!
//! Knows: an eventfd and a flag. Does not know: why it was rung, or who waits. Nothing paces here:
//! the 1 kHz threads do that (`pace`) and ring once per tick, so no timer of the runtime (whose
//! wheel is 1 ms coarse, performance.md section 1) stands between a tick and its datagram.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Wakes one pump. Clones ring the same pump; two pumps need two doorbells.
///
/// Any number of rings before the pump looks are one ring: the pump asks its links until they are
/// dry, so nothing is lost by that.
#[derive(Clone, Debug)]
pub struct Doorbell {
    fd: Event,
}

impl Doorbell {
    /// A new doorbell, not rung.
    ///
    /// Errors: the process has no file descriptor left; raise `ulimit -n`.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: Event::new()? })
    }

    /// Wakes the pump. One non-blocking `write(2)` of 8 bytes: no lock, no heap, never waits, so
    /// the servo thread may call it. Cost: about 1 us, most of it the wake-up itself.
    pub fn ring(&self) {
        self.fd.raise();
    }

    /// The listening side, for the runtime this is called in.
    pub(crate) fn ear(&self) -> io::Result<Ear> {
        self.fd.ear()
    }
}

/// Stops a pump, and tells whether it was asked to. Clones stop the same pumps; one `Stop` may be
/// given to several pumps, and stops them all. Cannot be taken back.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    fd: Event,
}

impl Stop {
    /// A new handle, not stopped.
    ///
    /// Errors: the process has no file descriptor left; raise `ulimit -n`.
    pub fn new() -> io::Result<Self> {
        Ok(Self { asked: Arc::new(AtomicBool::new(false)), fd: Event::new()? })
    }

    /// Asks every pump that holds this handle to close its connections and return.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.fd.raise();
    }

    /// Whether [`Stop::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    pub(crate) fn ear(&self) -> io::Result<Ear> {
        self.fd.ear()
    }
}

/// The side that waits. It lives in a tokio runtime.
#[derive(Debug)]
pub(crate) struct Ear {
    fd: AsyncFd<OwnedFd>,
}

impl Ear {
    /// Waits for a ring and takes it.
    pub(crate) async fn heard(&mut self) -> io::Result<()> {
        let mut guard = self.fd.readable().await?;
        let mut count = [0_u8; 8];
        // One read empties an eventfd. A ring after this read makes a new edge, which only this
        // thread's reactor can deliver, after `clear_ready`: it cannot be lost.
        match rustix::io::read(guard.get_inner(), &mut count) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits for a ring and leaves it for the others: a stop is heard by every pump.
    pub(crate) async fn heard_by_all(&mut self) -> io::Result<()> {
        self.fd.readable().await.map(|_guard| ())
    }
}

/// A non-blocking eventfd, shared.
#[derive(Clone, Debug)]
struct Event(Arc<OwnedFd>);

impl Event {
    fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self(Arc::new(fd)))
    }

    fn raise(&self) {
        // The only failure of a valid eventfd is a full counter (2^64 - 2 unheard rings): rung.
        let _already_rung = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn ear(&self) -> io::Result<Ear> {
        // A descriptor of its own: epoll takes each only once, and two ears may share a runtime.
        let own = self.0.try_clone()?;
        // SAFETY: the `AsyncFd` owns the one descriptor that `own` holds and `as_raw_fd` returns,
        // and nothing closes it before the `AsyncFd` is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }
            .map_err(io::Error::from)?;
        Ok(Ear { fd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn many_rings_before_listening_are_one_ring_and_the_next_ring_is_heard() {
        let bell = Doorbell::new().unwrap();
        for _ in 0..1_000 {
            bell.ring();
        }
        runtime().block_on(async {
            let mut ear = bell.ear().unwrap();
            ear.heard().await.unwrap();
            let other = bell.clone();
            let ringer = std::thread::spawn(move || other.ring());
            ear.heard().await.unwrap();
            ringer.join().unwrap();
        });
    }

    #[test]
    fn a_stop_is_heard_by_every_ear_and_stays() {
        let stop = Stop::new().unwrap();
        assert!(!stop.is_stopped());
        stop.clone().stop();
        assert!(stop.is_stopped());
        runtime().block_on(async {
            let (mut a, mut b) = (stop.ear().unwrap(), stop.ear().unwrap());
            for _ in 0..3 {
                a.heard_by_all().await.unwrap();
                b.heard_by_all().await.unwrap();
            }
        });
    }
}
