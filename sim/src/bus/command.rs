//! `longhand-sim bus`: the stand-in servos in real time, on a pseudo-terminal.
//!
//! Knows: the command line, the loop, the report. Does not know: what a servo answers (`super`).

use super::fault::{Fault, Kind};
use super::pty::{Pty, unlink};
use super::{Arm, Bus};
use clap::Args;
use longhand_protocol::units::Micros;
use longhand_quic::clock::monotonic_ns;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

const EXAMPLES: &str = "Examples:
  longhand-sim bus --model so101 --link /tmp/so101
      Six servos of an SO-101 behind /tmp/so101, until Ctrl-C.
  longhand-sim bus --model dynamixel --faults corrupt=0.2,stuck:12@5-8 --for 30 --json
      A fifth of the answers with a bit turned over; servo 12 stuck from 5 s to 8 s.

Faults: NAME[=SHARE][:ID][@FROM[-TO]], SHARE of the answers, times in seconds from the start
  stuck      does not move, and loads its motor       slow[=MS]  answers 5 ms late
  wrong-id   has another number (100 more)            corrupt    a bit of an answer turned over
  unplugged  the port is gone, then a new one         silent     the arm's cable is out
  half       the second half of an answer is missing  echo       the host hears its own bytes
  noise      bytes that mean nothing before an answer hot        heats up until it shuts down
  brownout   supply too low: starts anew, torque off";

/// `longhand-sim bus ...`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BusArgs {
    /// Whose servos
    #[arg(long, value_enum)]
    model: Arm,
    /// What is wrong with them, separated by commas
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    faults: Vec<Fault>,
    /// What is drawn is drawn from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How fast the wire is: what is said takes its time
    #[arg(long, default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(9_600..=4_500_000))]
    baud: u32,
    /// Let this name lead to the port, also after it was unplugged and plugged in again
    #[arg(long, value_name = "PATH")]
    link: Option<PathBuf>,
    /// Stop by itself after this time: 90 (seconds), 30s, 10m, 24h
    #[arg(long = "for", value_name = "TIME", value_parser = Micros::from_written_span,
          allow_negative_numbers = true)]
    limit: Option<Micros>,
    /// Print one JSON object a line: ready, unplugged, plugged, servo (each change), report
    #[arg(long)]
    json: bool,
}

/// The stand-in could not go on.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// There is no pseudo-terminal.
    #[error("no pseudo-terminal can be had: {0}; is /dev/pts mounted?")]
    Pty(io::Error),
    /// The link cannot be made.
    #[error("{path} cannot lead to the port: {error}; choose another name for --link")]
    Link {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The port failed.
    #[error("the port failed: {0}")]
    Port(io::Error),
    /// What happened could not be printed.
    #[error("what happened could not be printed: {0}")]
    Output(#[from] io::Error),
}

/// Runs until the time is up or somebody asks it to stop.
///
/// Errors: [`BusError`].
pub fn run(args: &BusArgs, stop: &AtomicBool) -> Result<ExitCode, BusError> {
    let begun = monotonic_ns();
    let now = || monotonic_ns().saturating_sub(begun) / 1_000;
    let mut scene = Scene {
        bus: Bus::new(args.model, args.baud, args.faults.clone(), args.seed),
        pty: None,
        args,
        late_us: 0,
        dropped: 0,
        seen: Vec::new(),
    };
    scene.plug(now())?;
    while !stop.load(Ordering::Relaxed) && args.limit.is_none_or(|limit| now() < limit.as_micros())
    {
        let unplugged = scene.bus.unplugged(now());
        match (unplugged, scene.pty.is_some()) {
            (true, true) => scene.pull(now())?,
            (false, false) => scene.plug(now())?,
            _ => (),
        }
        scene.turn(&now)?;
        scene.tell_changes(now())?;
    }
    scene.report(now())?;
    scene.away();
    Ok(ExitCode::SUCCESS)
}

struct Scene<'a> {
    bus: Bus,
    pty: Option<Pty>,
    args: &'a BusArgs,
    /// How late the latest answer left this process.
    late_us: u64,
    /// Bytes that the host did not read.
    dropped: usize,
    /// Per servo what was last told of it.
    seen: Vec<(u8, bool, i64)>,
}

impl Scene<'_> {
    fn plug(&mut self, now_us: u64) -> Result<(), BusError> {
        let again = !self.seen.is_empty();
        let pty = Pty::open().map_err(BusError::Pty)?;
        if let Some(path) = &self.args.link {
            pty.link(path).map_err(|error| BusError::Link { path: path.clone(), error })?;
        }
        let ids: Vec<u8> = self.bus.shown().map(|servo| servo.id).collect();
        let event = json!({
            "event": if again { "plugged" } else { "ready" },
            "port": pty.name, "link": self.args.link, "servos": ids, "us": now_us,
        });
        let port = self.args.link.as_ref().unwrap_or(&pty.name).display();
        let words = if again { "plugged in again" } else { "servos are" };
        self.tell(&event, &format!("{words} at {port}: {ids:?}, {} baud", self.args.baud))?;
        self.seen = self.bus.shown().map(|s| (s.id, s.torque, s.error)).collect();
        self.pty = Some(pty);
        Ok(())
    }

    fn pull(&mut self, now_us: u64) -> Result<(), BusError> {
        self.pty = None;
        self.bus.pulled();
        self.away();
        self.tell(&json!({ "event": "unplugged", "us": now_us }), "unplugged")
    }

    /// The link leads nowhere, so it goes. Nobody else's does.
    fn away(&self) {
        if let Some(link) = &self.args.link {
            // If it is gone already, all is well.
            let _gone = unlink(link);
        }
    }

    /// Waits for bytes or for the time of an answer, and does what is due.
    fn turn(&mut self, now: &impl Fn() -> u64) -> Result<(), BusError> {
        let wait_us = self.bus.due().map_or(IDLE_US, |due| due.saturating_sub(now()).min(IDLE_US));
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(wait_us.saturating_mul(1_000)).unwrap_or(0),
        };
        let Some(pty) = &self.pty else {
            poll(&mut [], Some(&wait)).map_err(|e| BusError::Port(e.into()))?;
            self.bus.advance(now());
            return Ok(());
        };
        let mut ready = [PollFd::new(&pty.servos, PollFlags::IN)];
        match poll(&mut ready, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(BusError::Port(error.into())),
        }
        let mut bytes = [0_u8; 1024];
        let came = match rustix::io::read(&pty.servos, &mut bytes) {
            Ok(came) => came,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(BusError::Port(error.into())),
        };
        if came > 0 {
            self.bus.hear(now(), bytes.get(..came).unwrap_or(&[]));
        } else {
            self.bus.advance(now());
        }
        let at = now();
        if let Some(due) = self.bus.due().filter(|due| *due <= at) {
            self.late_us = self.late_us.max(at.saturating_sub(due));
        }
        let said = self.bus.say(at);
        if !said.is_empty() {
            // A host that does not read loses what it did not read, as on a real port.
            let written = rustix::io::write(&pty.servos, &said).unwrap_or(0);
            self.dropped = self.dropped.saturating_add(said.len().saturating_sub(written));
        }
        Ok(())
    }

    fn tell_changes(&mut self, now_us: u64) -> Result<(), BusError> {
        let shown: Vec<_> = self.bus.shown().collect();
        for (place, servo) in shown.iter().enumerate() {
            let is = (servo.id, servo.torque, servo.error);
            let Some(was) = self.seen.get_mut(place).filter(|was| **was != is) else { continue };
            *was = is;
            let event = json!({
                "event": "servo", "us": now_us, "id": servo.id, "torque": servo.torque,
                "hardware_error": servo.error, "position": servo.position,
            });
            let torque = if servo.torque { "on" } else { "off" };
            let words = format!(
                "servo {}: torque {torque}, hardware error {:#04x}, at {}",
                servo.id, servo.error, servo.position
            );
            self.tell(&event, &words)?;
        }
        Ok(())
    }

    fn report(&self, now_us: u64) -> Result<(), BusError> {
        let counts = self.bus.counts();
        let fired = Kind::ALL.iter().filter(|kind| counts.fired(**kind) > 0);
        let fired: serde_json::Map<String, Value> =
            fired.map(|kind| (kind.word().to_owned(), json!(counts.fired(*kind)))).collect();
        let servos: Vec<Value> = self.bus.shown().map(shown).collect();
        let report = json!({
            "event": "report", "schema": "longhand bus report v1", "us": now_us,
            "requests": counts.requests, "answers": counts.answers,
            "unanswered": counts.unanswered, "fired": fired, "late_us_max": self.late_us,
            "bytes_unread": self.dropped, "servos": servos,
        });
        let words = format!(
            "{} requests, {} answers, {} unanswered; faults {}; answers left {} us late at most",
            counts.requests,
            counts.answers,
            counts.unanswered,
            Value::Object(fired),
            self.late_us
        );
        self.tell(&report, &words)
    }

    fn tell(&self, event: &Value, words: &str) -> Result<(), BusError> {
        let mut out = io::stdout().lock();
        if self.args.json {
            writeln!(out, "{event}")?;
        } else {
            writeln!(out, "{words}")?;
        }
        Ok(out.flush()?)
    }
}

fn shown(servo: super::Shown) -> Value {
    json!({
        "id": servo.id, "position": servo.position, "torque": servo.torque,
        "temperature": servo.celsius, "hardware_error": servo.error,
    })
}

/// The longest sleep. Chosen: servos move on a hundred times a second at least.
const IDLE_US: u64 = 10_000;
