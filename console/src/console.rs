//! One console: its threads, started together and ended together.
//!
//! Knows: which thread needs what from which, and in which order they start and end. Does not know:
//! what any of them does.

use crate::input::Hand;
use crate::input::page_hand::PageHand;
use crate::input::script::{Script, ScriptedHand};
use crate::leader_thread::{Board, LeaderThread, RECORD_SLOTS, RECORD_WORDS};
use crate::network::{ASKS_MAX, Door, Ends, NEWS_MAX, SESSIONS_MAX};
use crate::page::{
    self, PageConfig, PageError, PageHandReader, PageHandle, PageRequest, PageShared,
};
use crate::practice::Practice;
use crate::record::recorder::{Recorded, recorder};
use crate::record::tap::{RING_WORDS, Tap, tap};
use crate::record::{Health, Recorder};
use crate::status::books::Books;
use crate::status::clerk::{Clerk, Desk, RecordEnds, lock};
use crate::status::{ConsoleReport, ConsoleStatus, Fixed, RecordReport};
use longhand_leader::Leader;
use longhand_protocol::message::{RobotId, Terms};
use longhand_protocol::wire::COMMAND_LEN;
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::mailbox::Mailbox;
use longhand_quic::pace::{PUMP_PRIORITY, RealTime};
use longhand_quic::pump::{ConsoleConfig as PumpConfig, ConsolePump, PumpError, Target};
use longhand_quic::trust::Credentials;
use longhand_record::file::WriteError;
use longhand_record::recorder::{NewDisk, Recording, in_folder};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

/// How a console is to run.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// Where the robot is.
    pub target: SocketAddr,
    /// Which robot it must prove to be.
    pub robot: RobotId,
    /// This console's certificate and whom it trusts.
    pub credentials: Credentials,
    /// What moves the hands.
    pub hand: HandChoice,
    /// Where to serve the page; `None` serves none.
    pub page: Option<PagePort>,
    /// Hand metres to tip metres; the leader clamps it to 0.05 .. 1.
    pub scale: f64,
    /// The name of the link between, only shown.
    pub link_name: String,
    /// A folder for one qlog file per connection.
    pub qlog: Option<PathBuf>,
    /// Ask for real-time priority and locked memory. What was not granted is told, not fatal.
    pub realtime: bool,
    /// The robot runs on this very machine, so both ends read one clock and hand-to-joint can be
    /// told exactly. Never for safety.
    pub same_clock: bool,
    /// Whether the robot is one to practise on.
    pub practice: Practice,
    /// A folder for the black box; `None` keeps none.
    pub record: Option<PathBuf>,
}

/// A scale as a person writes it after `--scale`: 0.05 to 1, as the leader allows.
///
/// Errors: words for that person.
pub fn written_scale(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(scale) if (0.05..=1.0).contains(&scale) => Ok(scale),
        Ok(_) => Err("must be 0.05 to 1"),
        Err(_) => Err("not a number; 0.2 moves the tip a fifth as far as the hand"),
    }
}

/// What moves the hands.
#[derive(Clone, Debug)]
pub enum HandChoice {
    /// Mouse, keyboard or gamepad on the page.
    Page,
    /// A recorded path, played by a careful operator.
    Script(Script),
}

/// The page's port on 127.0.0.1; 0 takes any free one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagePort(pub u16);

/// Why a console cannot start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The hands are to come from a page that is not served.
    #[error("the hands are to come from the page, but no page is served; serve it or use a script")]
    NoPage,
    /// The page cannot be served.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The network side cannot start.
    #[error(transparent)]
    Network(#[from] PumpError),
    /// The black box cannot be written.
    #[error(
        "the record cannot be written ({0}); give the console a folder that it may write \
         (--record), or run it without (--no-record)"
    )]
    Record(WriteError),
    /// A thread or a file descriptor was refused.
    #[error("the system refused a thread or a file ({0}); see its limits (`ulimit -n -u`)")]
    System(#[from] io::Error),
    /// The histograms could not be made.
    #[error("the histograms cannot be made ({0}); this is a fault of the build")]
    Books(#[from] hdrhistogram::CreationError),
}

/// A console that runs. Dropping it ends it, without a report.
pub struct Console {
    board: Arc<Board>,
    desk: Arc<Desk>,
    requests: Arc<PageShared>,
    network_stop: Stop,
    page: Option<PageHandle>,
    /// Leader and pump; the clerk ends after them.
    threads: Vec<JoinHandle<()>>,
    clerk: Option<JoinHandle<()>>,
    /// The record, while it is written.
    recording: Option<Recording>,
    /// How it does; `None` where there is none.
    health: Option<Arc<Health>>,
    same_clock: bool,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("page", &self.page).finish_non_exhaustive()
    }
}

impl Console {
    /// Starts everything, and connects in the background: a robot that is not there is not an
    /// error but a status.
    ///
    /// Call it from a thread of ordinary priority: the page's thread inherits it.
    ///
    /// # Errors
    /// [`ConsoleError`]: nothing is left running then.
    pub fn start(config: ConsoleConfig) -> Result<Self, ConsoleError> {
        let disk = config.record.clone().map(in_folder);
        Self::start_on(config, disk)
    }

    /// As [`Console::start`], with the record's disk.
    fn start_on(config: ConsoleConfig, disk: Option<NewDisk>) -> Result<Self, ConsoleError> {
        if matches!(config.hand, HandChoice::Page) && config.page.is_none() {
            return Err(ConsoleError::NoPage);
        }
        let pump = ConsolePump::new(PumpConfig {
            local: None,
            credentials: config.credentials.clone(),
            datagram_bytes: COMMAND_LEN,
            qlog: config.qlog.clone(),
        })?;
        // Before anything runs: what cannot be recorded must not look as if it were.
        let black_box = disk.map(|disk| BlackBox::new(&config, disk)).transpose()?;
        let mut console = Self {
            board: Arc::new(Board::default()),
            desk: Arc::new(Desk {
                books: Mutex::new(Books::new()?),
                status: Mutex::default(),
                stop: AtomicBool::new(false),
            }),
            requests: Arc::new(PageShared::new()),
            network_stop: Stop::new()?,
            page: None,
            threads: Vec::new(),
            clerk: None,
            recording: None,
            health: None,
            same_clock: config.same_clock,
        };
        if let Some(PagePort(port)) = config.page {
            let port = (port != 0).then_some(port);
            let practice = config.practice.is_simulated();
            let cfg = PageConfig { port, now: Arc::new(console_now), practice };
            console.page = Some(page::serve(cfg, Arc::clone(&console.requests))?);
        }
        // From here on `console` ends whatever has begun when it is dropped by an error.
        console.start_threads(config, pump, black_box)?;
        Ok(console)
    }

    fn start_threads(
        &mut self,
        config: ConsoleConfig,
        pump: ConsolePump,
        black_box: Option<BlackBox>,
    ) -> Result<(), ConsoleError> {
        let (mut tap, mut record) = (None, None);
        if let Some(black_box) = black_box {
            self.health = Some(Arc::clone(&black_box.ends.health));
            self.recording = Some(Recording::start(black_box.recorder)?);
            (tap, record) = (Some(black_box.tap), Some(black_box.ends));
        }
        let hand: Box<dyn Hand> = match config.hand {
            HandChoice::Page => {
                Box::new(PageHand::new(PageHandReader::new(Arc::clone(&self.requests))))
            }
            HandChoice::Script(script) => Box::new(ScriptedHand::new(script)),
        };
        // The terms of the first session replace these before the first command.
        let leader = Leader::new(Terms::default(), config.scale);
        let doorbell = Doorbell::new()?;
        let (to_leader, network) = sync_channel(SESSIONS_MAX);
        let (to_clerk, news) = sync_channel(NEWS_MAX);
        let (asks, asked) = sync_channel(ASKS_MAX);
        let (records, written) = Mailbox::<RECORD_WORDS, RECORD_SLOTS>::pair();
        let clerk = Clerk {
            board: Arc::clone(&self.board),
            desk: Arc::clone(&self.desk),
            news,
            asks,
            doorbell: doorbell.clone(),
            records: written,
            page: Arc::clone(&self.requests),
            fixed: Fixed {
                link_name: config.link_name,
                input: hand.name().to_owned(),
                scale: leader.scale(),
                practice: config.practice,
            },
            record,
        };
        self.clerk = Some(spawn("clerk", move || clerk.run())?);
        let leader = LeaderThread {
            hand,
            leader,
            network,
            doorbell: doorbell.clone(),
            board: Arc::clone(&self.board),
            records,
            tap,
            same_clock: config.same_clock,
            realtime: config.realtime,
        };
        self.threads.push(spawn("leader", move || leader.run())?);
        let ends = Ends {
            leader: to_leader,
            clerk: to_clerk,
            asks: asked,
            news_lost: 0,
            had: None,
            resume: 0,
            why: String::new(),
        };
        let door = Door::new(config.robot, ends);
        let target = Target { addr: config.target, robot: config.robot };
        let (stop, board, realtime) =
            (self.network_stop.clone(), Arc::clone(&self.board), config.realtime);
        self.threads.push(spawn("pump", move || {
            carry(pump, target, door, &doorbell, &stop, &board, realtime);
        })?);
        Ok(())
    }

    /// Where to point the browser, token included; `None` where no page is served.
    pub fn page_url(&self) -> Option<&str> {
        self.page.as_ref().map(|page| page.url.as_str())
    }

    /// The newest of everything, at most about 10 ms old.
    pub fn status(&self) -> ConsoleStatus {
        lock(&self.desk.status).clone()
    }

    /// What was measured so far.
    pub fn report(&self) -> ConsoleReport {
        let mut report = lock(&self.desk.books).report(self.same_clock);
        report.record = self.health.as_ref().map(|h| RecordReport { lost_ticks: h.lost() });
        report
    }

    /// Forgets what was measured so far: a measurement begins once the robot follows.
    ///
    /// # Errors
    /// The histograms could not be made; what was measured is then kept.
    pub fn begin_books(&self) -> Result<(), ConsoleError> {
        let fresh = Books::new()?;
        *lock(&self.desk.books) = fresh;
        Ok(())
    }

    /// Asks what a page could ask: acknowledge an alarm, pause, resume. Says whether there was room
    /// for it; what becomes of it is seen in [`Console::status`].
    pub fn request(&self, request: PageRequest) -> bool {
        self.requests.put_requests(&[request]).is_ok()
    }

    /// Lays a scripted hand still where it is; its operator stays. Other hands rest by themselves.
    pub fn rest(&self) {
        self.board.rest.store(true, Ordering::Relaxed);
    }

    /// Ends everything: says goodbye to the robot, which holds, and gives the last report.
    pub fn stop(mut self) -> ConsoleReport {
        self.end();
        self.report()
    }

    /// Once or often. The clerk last, so that it writes down what the others still said.
    fn end(&mut self) {
        self.board.stop.store(true, Ordering::Release);
        self.network_stop.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error; the others end all the same.
            let _ended = thread.join();
        }
        self.desk.stop.store(true, Ordering::Release);
        if let Some(clerk) = self.clerk.take() {
            let _ended = clerk.join();
        }
        // After the last tick, and what the clerk still saw: the record ends with it.
        if let Some(Err(error)) = self.recording.take().map(Recording::end) {
            tracing::error!("{error}");
        }
        if let Some(page) = self.page.take() {
            page.shut_down();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end();
    }
}

/// The parts of a record that is about to begin.
struct BlackBox {
    tap: Tap,
    recorder: Recorder,
    ends: RecordEnds,
}

impl BlackBox {
    /// Opens the first file.
    fn new(config: &ConsoleConfig, disk: NewDisk) -> Result<Self, ConsoleError> {
        let signer = config.credentials.signer();
        let signer = signer.map_err(|error| ConsoleError::Record(error.into()))?;
        let recorded = Recorded { robot: config.robot, settings: settings(config), signer };
        let health = Arc::new(Health::default());
        let (tap, tapped) = tap(RING_WORDS, &health);
        let (alarms, changes) = Mailbox::pair();
        let recorder = recorder(console_now(), tapped, &health, recorded, disk, changes)
            .map_err(ConsoleError::Record)?;
        Ok(Self { tap, recorder, ends: RecordEnds { alarms, health } })
    }
}

/// How the console is set, TOML, for its record. No file's name: a person may have put another's
/// name into it.
fn settings(config: &ConsoleConfig) -> String {
    let input = match config.hand {
        HandChoice::Page => "page",
        HandChoice::Script(_) => "script",
    };
    let (scale, practice) = (config.scale, config.practice.is_simulated());
    // With a point, as TOML writes a float.
    format!("scale = {scale:?}\ninput = \"{input}\"\npractice = {practice}\n")
}

/// The pump's thread.
fn carry(
    pump: ConsolePump,
    target: Target,
    mut door: Door,
    doorbell: &Doorbell,
    stop: &Stop,
    board: &Board,
    realtime: bool,
) {
    let real_time = realtime.then(|| RealTime::acquire(PUMP_PRIORITY, None));
    if let Some(real_time) = &real_time {
        // Set once, here: the cell is empty.
        let _first = board.pump_granted.set(real_time.granted());
    }
    if let Err(error) = pump.run(target, &mut door, doorbell, stop) {
        door.dead(error.to_string());
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::AlarmPriority;
    use longhand_leader::DEFAULT_SCALE;
    use longhand_protocol::units::Micros;
    use longhand_quic::trust::{Authority, Role, Validity};
    use longhand_record::file::Disk;

    /// Room for the header and the start, and for a while.
    struct Small(usize);

    impl Disk for Small {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let left = self.0.checked_sub(bytes.len());
            self.0 = left.ok_or(io::ErrorKind::StorageFull)?;
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn config() -> ConsoleConfig {
        let authority = Authority::ephemeral("Test").unwrap();
        let life = Validity::days(1).unwrap();
        let surgeon = authority.issue(Role::Surgeon, "dr-lee", None, life).unwrap();
        ConsoleConfig {
            // Nobody answers at the discard port.
            target: "127.0.0.1:9".parse().unwrap(),
            robot: RobotId::new(1),
            credentials: authority.credentials(&surgeon).unwrap(),
            hand: HandChoice::Script(Script::load("tremor").unwrap()),
            page: None,
            scale: 0.2,
            link_name: "none".to_owned(),
            qlog: None,
            realtime: false,
            same_clock: false,
            practice: Practice::No,
            record: None,
        }
    }

    #[test]
    fn a_disk_that_fails_is_an_alarm_and_a_line_of_the_report_and_the_ticks_go_on() {
        let mut room = Some(30_000);
        let disk: NewDisk = Box::new(move |_, _| {
            let disk = room.take().map(|room| -> Box<dyn Disk> { Box::new(Small(room)) });
            disk.ok_or_else(|| io::ErrorKind::StorageFull.into())
        });
        let console = Console::start_on(config(), Some(disk)).unwrap();
        let alarm = || {
            let alarms = console.status().alarms;
            alarms.into_iter().find(|alarm| alarm.text.contains("console is not recorded"))
        };
        let begun = console_now();
        let patience = || {
            // Only so that a broken test ends.
            assert!(console_now().since(begun) < Micros::from_secs(60));
            std::thread::yield_now();
        };
        let shown = loop {
            match alarm() {
                Some(shown) => break shown,
                None => patience(),
            }
        };
        assert_eq!(shown.priority, AlarmPriority::Medium);
        let ticks = console.status().ticks.0;
        while console.status().ticks.0 < ticks + 200 {
            patience();
        }
        let report = console.stop();
        let lost = report.record.unwrap().lost_ticks;
        assert!(lost >= 200, "{lost}");
        assert!(report.to_string().contains(&format!("{lost} ticks are in no record")), "{report}");
    }

    #[test]
    fn a_record_that_cannot_begin_is_said_and_nothing_runs() {
        let disk: NewDisk = Box::new(|_, _| Err(io::ErrorKind::PermissionDenied.into()));
        let error = Console::start_on(config(), Some(disk)).unwrap_err();
        assert!(matches!(error, ConsoleError::Record(_)), "{error}");
    }

    #[test]
    fn the_default_scale_is_the_leaders() {
        let leader = Leader::new(Terms::default(), f64::NAN);
        assert!((leader.scale() - DEFAULT_SCALE).abs() < 1e-15);
    }
}
