//! A hospital for one test: its trust, a robot, a link, a console, each a process on loopback.
//!
//! Knows: command lines, and what the agent writes of the robot. Does not know: what a test is
//! about.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tempfile::TempDir;

use crate::child::{Ended, Process, until};

pub const AGENT: &str = "longhand-robot-agent";
pub const CONSOLE: &str = "longhand-console";
pub const SIM: &str = "longhand-sim";
/// Backstop: a process that nobody is left to end, ends itself.
const AT_MOST_S: &str = "180";
/// Chosen: what a held arm's encoders may show; a hundredth of the hold error that is a fault.
const STANDS_WITHIN_MM: f64 = 0.02;

/// One test at a time: each keeps several 1 kHz threads, and the machine has two cores.
static TURN: Mutex<()> = Mutex::new(());

pub struct Scene {
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    /// A new hospital with a robot `or3` and a surgeon `dr-lee`.
    pub fn new() -> Self {
        // A test that failed has said so; it spoils no other.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let scene = Self { folder: tempfile::tempdir().unwrap(), _turn: turn };
        scene.init("trust");
        scene.issue("trust", "robot", "or3");
        scene.issue("trust", "surgeon", "dr-lee");
        scene
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn init(&self, trust: &str) {
        let dir = self.path(trust);
        let made = Process::run(AGENT, &["trust", "init", "--dir", &dir, "--hospital", "Test"]);
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    pub fn issue(&self, trust: &str, role: &str, name: &str) {
        let dir = self.path(trust);
        let mut asked = vec!["trust", "issue", "--dir", &dir, "--role", role, "--name", name];
        if role == "robot" {
            asked.extend(["--robot-id", "1"]);
        }
        let made = Process::run(AGENT, &asked);
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    pub fn identity(&self, name: &str) -> PathBuf {
        self.folder.path().join("trust").join(name)
    }

    /// Starts the robot. It is Disabled unless `more` says `--hand-over`.
    pub fn agent(&self, more: &[&str]) -> Agent {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let states = self.folder.path().join(format!("states-{count}.jsonl"));
        let (identity, state) = (self.path("trust/or3"), self.path("state"));
        let (socket, log) = (self.path("bedside.sock"), states.display().to_string());
        let mut asked = vec!["run", "--bind", "127.0.0.1:0", "--identity", &identity];
        asked.extend(["--state", &state, "--bedside-socket", &socket, "--states-json", &log]);
        asked.extend(["--profile", "public-5g", "--tolerate-stalls", "--json"]);
        asked.extend(["--for", AT_MOST_S]);
        asked.extend(more);
        let mut process = Process::start(AGENT, &asked);
        let addr = process.word_after("serves on ");
        let agent = Agent { process, addr, states };
        // The socket comes after the address; a bedside must not find it missing.
        until("the first state", || (!agent.moments().is_empty()).then_some(()));
        until("the bedside's socket", || {
            self.folder.path().join("bedside.sock").exists().then_some(())
        });
        agent
    }

    /// Says one word at the bedside.
    pub fn bedside(&self, word: &str) -> Ended {
        let socket = self.path("bedside.sock");
        Process::run(AGENT, &["bedside", "--socket", &socket, word])
    }

    /// Says one word at the bedside, which must be allowed.
    pub fn says(&self, word: &str) {
        let said = self.bedside(word);
        // A hand-over also says to whom.
        let is_done = said.out.trim_end() == format!("ok: {word}")
            || word == "hand-over" && said.out.starts_with("ok: hand-over to ");
        assert!(said.code == Some(0) && is_done, "{said:?}");
    }

    /// Starts a relay and gives its address.
    pub fn relay(&self, listen: &str, to: &str, link: &str) -> (Process, String) {
        let asked = ["link", "run", "--listen", listen, "--to", to, "--link", link, "--json"];
        let more = ["--seed", "1", "--for", AT_MOST_S];
        let mut process = Process::start(SIM, &[&asked[..], &more[..]].concat());
        let addr = process.word_after("relay ");
        (process, addr)
    }

    /// Starts the surgeon's console with a scripted hand.
    pub fn console(&self, robot: &str) -> Process {
        self.console_of("dr-lee", robot)
    }

    /// The same for another holder.
    pub fn console_of(&self, name: &str, robot: &str) -> Process {
        let (identity, report) = (self.path(&format!("trust/{name}")), self.path("report"));
        let asked = ["run", "--robot", robot, "--identity", &identity, "--report", &report];
        let more = ["--input", "peg-transfer", "--no-page", "--json", "--for", AT_MOST_S];
        Process::start(CONSOLE, &[&asked[..], &more[..]].concat())
    }

    /// Every epoch up to here may have been given out: the robot's reserve, as it is on disk.
    pub fn reserved(&self) -> u64 {
        let text = std::fs::read_to_string(self.folder.path().join("state/epoch")).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A failed test's files are there to be looked at.
        self.folder.disable_cleanup(std::thread::panicking());
    }
}

/// One line of the agent's `--states-json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Moment {
    pub robot_us: u64,
    pub stage: String,
    pub reason: String,
    pub age_us: Option<u64>,
    pub tips_mm: [[f64; 3]; 2],
}

impl Moment {
    pub fn has_fresh_commands(&self) -> bool {
        self.age_us.is_some_and(|age| age < 100_000)
    }

    /// The larger of both tips' distances.
    pub fn apart_mm(&self, other: &Self) -> f64 {
        let arms = self.tips_mm.iter().zip(&other.tips_mm);
        let one = |a: &[f64; 3], b: &[f64; 3]| {
            a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
        };
        arms.map(|(a, b)| one(a, b)).fold(0.0, f64::max)
    }
}

/// The robot.
pub struct Agent {
    process: Process,
    pub addr: String,
    states: PathBuf,
}

impl Agent {
    /// Everything written of it so far.
    pub fn moments(&self) -> Vec<Moment> {
        let text = std::fs::read_to_string(&self.states).unwrap_or_default();
        // What follows the last line's end is not a whole line yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The index of the first moment from `from` on that is so.
    pub fn until(&self, from: usize, what: &str, is_so: impl Fn(&Moment) -> bool) -> usize {
        until(&format!("the robot: {what} (after {:?})", self.stages(from)), || {
            let moments = self.moments();
            (from..moments.len()).find(|index| is_so(&moments[*index]))
        })
    }

    pub fn until_stage(&self, from: usize, stage: &str) -> usize {
        self.until(from, stage, |moment| moment.stage == stage)
    }

    /// Follow, and `mm` away from where it began to.
    pub fn until_in_motion(&self, from: usize, mm: f64) -> usize {
        let follow = self.until_stage(from, "Follow");
        let start = self.moments()[follow].clone();
        self.until(follow, "in motion", |moment| {
            moment.stage == "Follow" && moment.apart_mm(&start) > mm
        })
    }

    /// The stages from one moment on, each as often as it was entered.
    pub fn stages(&self, from: usize) -> Vec<String> {
        let mut stages: Vec<String> =
            self.moments().into_iter().skip(from).map(|moment| moment.stage).collect();
        stages.dedup();
        stages
    }

    /// Holds the tips, from one moment to another, against where they were at the first.
    pub fn must_stand(&self, from: usize, to: usize) {
        let moments = self.moments();
        for moment in &moments[from..=to] {
            let moved = moments[from].apart_mm(moment);
            assert!(moved < STANDS_WITHIN_MM, "{moved} mm: {moment:?} since {:?}", moments[from]);
        }
    }

    /// The stage must be `stage` from one moment to another.
    pub fn must_stay(&self, stage: &str, from: usize, to: usize) {
        for moment in &self.moments()[from..=to] {
            assert_eq!(moment.stage, stage, "{moment:?}");
        }
    }

    /// So much later, by the robot's own clock.
    pub fn until_later(&self, from: usize, millis: u64) -> usize {
        let then = self.moments()[from].robot_us + millis * 1_000;
        self.until(from, "later", |moment| moment.robot_us >= then)
    }

    /// The epoch of the newest session, as the log says it.
    pub fn epoch(&self) -> u64 {
        until("a session in the log", || {
            let log = self.log();
            let (_, newest) = log.rsplit_once(" epoch=")?;
            let digits = newest.find(|c: char| !c.is_ascii_digit())?;
            newest[..digits].parse().ok()
        })
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    #[allow(dead_code, reason = "for qualify_live.rs alone")]
    pub fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    pub fn kill(self) {
        self.process.kill();
    }

    /// Ctrl-C, and its report.
    pub fn stop(self) -> serde_json::Value {
        let ended = self.process.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.json()
    }
}
