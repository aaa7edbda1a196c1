//! The console's local page: what the surgeon sees in a browser, and a mouse, keyboard or gamepad
//! as hands.
//!
//! Knows: loopback HTTP and websocket, who may open the page, the JSON that goes each way, and how
//! old a browser's input may be. Does not know: the robot, the link, the clutch rule, or what an
//! input will do; the browser never talks to the robot, and this module never talks to it either.
//! What it says about the robot is the [`PageView`] it was handed; what it takes in waits in
//! [`PageShared`] until the leader's side fetches it.
//!
//! Terms: a *view* goes console to browser, 60 times a second. An *input* goes browser to console:
//! rates and levels only, so an input that is lost, late or repeated can never make a jump; it ages
//! out after [`INPUT_FRESH_FOR`]. The *holder* is the one open page whose input counts; every other
//! page only watches. The leader integrates the rates into the absolute hand pose of design.md
//! section 4; the network never carries a rate.

mod door;
mod input;
mod routes;
mod shared;
mod view;

pub use input::{
    Absence, HAND_RATE_MAX, HandRates, INPUT_BYTES_MAX, INPUT_FRESH_FOR, InputError, InputSource,
    JAW_RATE_MAX, PageHands, PageRequest, TURN_RATE_MAX,
};
pub use shared::{PageHandReader, PageShared, REQUESTS_MAX};
pub use view::{
    Advisory, AlarmPriority, AlarmView, ArmView, CountersView, CpView, HistogramView, LinkState,
    LinkView, PageView,
};

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use longhand_protocol::units::{Console, Instant};
use longhand_quic::random::NoRandom;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use door::{Door, Token};

/// The console's monotonic clock, handed in: this module reads no clock of its own.
///
/// It must be the clock that stamps `PageView::state_received_at` and that the leader's side reads.
pub type ConsoleClock = Arc<dyn Fn() -> Instant<Console> + Send + Sync>;

/// How the page is to be served.
#[derive(Clone)]
pub struct PageConfig {
    /// The port on 127.0.0.1; `None` takes any free one.
    pub port: Option<u16>,
    /// The console's clock.
    pub now: ConsoleClock,
    /// The pedal may be locked: see [`crate::ConsoleConfig::practice`].
    pub practice: bool,
}

impl fmt::Debug for PageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageConfig").field("port", &self.port).finish_non_exhaustive()
    }
}

/// A page that is being served.
#[derive(Debug)]
pub struct PageHandle {
    /// Where to point the browser, token included. Print it; do not log it.
    pub url: String,
    /// Ends the page.
    pub stop: PageStop,
    /// The page's thread; ends after `stop`.
    pub join: JoinHandle<()>,
}

impl PageHandle {
    /// Ends the page and waits for its thread (at most about half a second).
    pub fn shut_down(self) {
        self.stop.stop();
        // A page thread that panicked has nothing left to close; its input slot is already
        // released.
        let _ = self.join.join();
    }
}

/// Ends the page from any thread, once or often. The page also ends when every copy is dropped.
#[derive(Clone, Debug)]
pub struct PageStop(Arc<watch::Sender<bool>>);

impl PageStop {
    /// Asks the page to end. Returns at once; open pages lose their socket and the operator is
    /// absent.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Why the page cannot be served. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The port is taken, or loopback is missing.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another port, or leave it out")]
    Bind {
        /// The port asked for; 0 stands for any.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// No random bytes for the token.
    #[error("no token for the page: {0}; the page is not served without it")]
    Token(NoRandom),
    /// The runtime or its thread could not be made.
    #[error("cannot start the page's thread: {0}; see the process's thread and file limits")]
    Thread(std::io::Error),
}

/// Serves the page on loopback, on a thread of its own, until it is stopped.
///
/// The thread inherits the caller's scheduling policy: call this from a thread of normal priority,
/// before the leader thread takes `SCHED_FIFO`. Every way to fail is found before this returns.
///
/// # Errors
/// [`PageError`] if the port is taken, no random token can be drawn, or no thread can be made.
pub fn serve(cfg: PageConfig, shared: Arc<PageShared>) -> Result<PageHandle, PageError> {
    let port = cfg.port.unwrap_or(0);
    let bind = |source| PageError::Bind { port, source };
    // Loopback is written here and nowhere else: there is no option that opens the page to a
    // network.
    let listener =
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;

    let token = Token::draw().map_err(PageError::Token)?;
    let url = format!("http://{address}/?token={}", token.hex());
    let door = Door::new(token, address.port());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(PageError::Thread)?;
    let (stop, stopped) = watch::channel(false);
    let house = routes::House::new(door, shared, cfg.now, cfg.practice);
    let join = Builder::new()
        .name("page".to_owned())
        .spawn(move || run(runtime, listener, house, stopped))
        .map_err(PageError::Thread)?;
    Ok(PageHandle { url, stop: PageStop(Arc::new(stop)), join })
}

/// How long open sockets get to close once the page is stopped. Chosen: nobody waits longer at
/// Ctrl-C.
const CLOSE_WITHIN: Duration = Duration::from_millis(400);

fn run(
    runtime: Runtime,
    listener: TcpListener,
    house: Arc<routes::House>,
    mut stopped: watch::Receiver<bool>,
) {
    let _guard = ReleaseAtEnd(Arc::clone(&house));
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        let frames = tokio::spawn(routes::send_views(Arc::clone(&house)));
        let served = axum::serve(listener, routes::router(&house));
        tokio::select! {
            _ = served => {}
            // An error means every PageStop was dropped: the same wish.
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        frames.abort();
    });
    runtime.shutdown_timeout(CLOSE_WITHIN);
}

/// Whatever ends the page's thread, a panic included, leaves the operator absent.
struct ReleaseAtEnd(Arc<routes::House>);

impl Drop for ReleaseAtEnd {
    fn drop(&mut self) {
        self.0.release();
    }
}
