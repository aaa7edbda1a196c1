//! `longhand-robot-agent arm scan | set-id | calibrate | test`: the servos of a bus, one by one,
//! and together as an arm.
//!
//! Knows: arguments, and how results are printed. Does not know: how a servo is asked (`serial`),
//! or what must be so of an arm (`bench`, `arm_file`).

pub mod bench;

use crate::arm_file::{ArmFile, ArmFileError};
use crate::serial::cycle::{Measured, measure};
use crate::serial::host::PATIENCE_US;
use crate::serial::{Found, Host, HostError, LowLatency, Port, PortError, Sought};
use bench::Seen;
use clap::{Args, Subcommand, ValueEnum};
use longhand_bus::model::Model;
use longhand_bus::{Id, Protocol};
use longhand_protocol::units::Micros;
use longhand_quic::pace::{Priority, RealTime};
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `longhand-robot-agent arm ...`
#[derive(Subcommand)]
pub enum ArmCommand {
    /// List the servos that answer on a bus. Exit code: 0 somebody answers, 1 nobody does.
    #[command(after_help = SCAN_EXAMPLES)]
    Scan(Scan),
    /// Give a servo another number, so that it keeps it. Only one servo of the old number may be on
    /// the bus: with a new arm, plug them in one by one.
    #[command(after_help = SET_ID_EXAMPLES)]
    SetId(SetId),
    /// Find each joint's zero: put the arm at home by hand, and its file is written anew.
    #[command(after_help = CALIBRATE_EXAMPLES)]
    Calibrate(Calibrate),
    /// Compare an arm with its file: each servo's model, health and guards, and how fast the bus
    /// goes. Nothing moves, and nothing is written but with --set-guards and --let-go. Exit code: 0
    /// all is well, 1 it is not.
    #[command(after_help = TEST_EXAMPLES)]
    Test(Test),
}

const CALIBRATE_EXAMPLES: &str = "Examples:
  longhand-robot-agent arm calibrate so101 --port /dev/ttyACM0 --out my-arm.toml";

const TEST_EXAMPLES: &str = "Examples:
  longhand-robot-agent arm test my-arm.toml --port /dev/ttyACM0 --set-guards
  longhand-robot-agent arm test my-arm.toml --port /dev/ttyACM0 --for 10 --json";

const SCAN_EXAMPLES: &str = "Examples:
  longhand-robot-agent arm scan --port /dev/ttyACM0 --speaks feetech
  longhand-robot-agent arm scan --port /dev/ttyUSB0 --speaks dynamixel --baud 57600 --json
Without an arm:
  longhand-sim bus --model so101 --link /tmp/so101 &
  longhand-robot-agent arm scan --port /tmp/so101 --speaks feetech";

const SET_ID_EXAMPLES: &str = "Examples:
  longhand-robot-agent arm set-id --port /dev/ttyACM0 --speaks feetech --from 1 --to 6";

/// Which bus.
#[derive(Args)]
pub struct BusChoice {
    /// The serial port of the adapter.
    #[arg(long)]
    port: PathBuf,
    /// What the servos speak.
    #[arg(long, value_enum)]
    speaks: Speaks,
    /// How fast. Dynamixel servos begin with 57600, Feetech's with 1000000.
    #[arg(long, default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(9_600..=4_500_000))]
    baud: u32,
}

/// A protocol's name on the command line.
#[derive(Clone, Copy, ValueEnum)]
enum Speaks {
    /// ROBOTIS Dynamixel, Protocol 2.0.
    Dynamixel,
    /// Feetech STS and SMS (SO-101).
    Feetech,
}

/// `arm scan ...`
#[derive(Args)]
pub struct Scan {
    #[command(flatten)]
    bus: BusChoice,
    /// The highest number to ask. Chosen: arms have low numbers; all 253 take ten times as long.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(0..=252))]
    to: u8,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `arm set-id ...`
#[derive(Args)]
pub struct SetId {
    #[command(flatten)]
    bus: BusChoice,
    /// The servo's number now.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=252))]
    from: u8,
    /// The number it is to have.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=252))]
    to: u8,
    /// Switch its motor off where it holds the arm: it may fall, so hold it.
    #[arg(long)]
    let_go: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `arm calibrate ...`
#[derive(Args)]
pub struct Calibrate {
    /// The arm's file, or so101, or open-manipulator-x.
    file: String,
    /// The serial port of the adapter.
    #[arg(long)]
    port: PathBuf,
    /// The new file; never over one that is there.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Switch the motors off where they hold the arm: it may fall, so hold it.
    #[arg(long)]
    let_go: bool,
    /// The arm is at home already: do not ask.
    #[arg(long)]
    at_home: bool,
}

/// `arm test ...`
#[derive(Args)]
pub struct Test {
    /// The arm's file, or so101, or open-manipulator-x.
    file: String,
    /// The serial port of the adapter.
    #[arg(long)]
    port: PathBuf,
    /// How long to measure the bus: 3 (seconds), 30s.
    #[arg(long = "for", value_name = "TIME", default_value = "3",
          value_parser = Micros::from_written_span, allow_negative_numbers = true)]
    span: Micros,
    /// Switch the motors off where they hold the arm: it may fall, so hold it.
    #[arg(long)]
    let_go: bool,
    /// Write the guards that differ from the file, if every joint is well. What they were is saved
    /// beside the file first. Without this they are compared alone.
    #[arg(long)]
    set_guards: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// The arm's file is wrong.
    #[error(transparent)]
    File(#[from] ArmFileError),
    /// Servos are missing.
    #[error("these do not answer: {0}; check power and cables, and `arm scan`")]
    Missing(String),
    /// The file names a model that is not known here.
    #[error("model {0:?} is not known here")]
    Unnamed(String),
    /// A servo is of another model.
    #[error("servo {id} is a {is}, and the file says {wanted}")]
    Model {
        /// Which.
        id: u8,
        /// What it is.
        is: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Motors hold the arm.
    #[error("these hold torque: {0}; hold the arm, since it may fall, and say --let-go")]
    Holding(String),
    /// The zeros are not this arm's.
    #[error(
        "this file was not calibrated, so its zeros are another arm's: nothing was written; run \
         `arm calibrate` and give the file that it writes"
    )]
    NotCalibrated,
    /// Servos are not where or how they should be.
    #[error("nothing was written, since not every joint is well: {0}")]
    Unfit(String),
    /// A new file cannot be written.
    #[error("{path} cannot be written: {error}; choose a name that is not taken")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The arm's file cannot be written as TOML.
    #[error("the arm cannot be written as TOML: {0}")]
    Toml(#[from] toml::ser::Error),
    /// The input ended.
    #[error(
        "the input ended before Enter was pressed: nothing was measured; say --at-home where the \
         arm is at home already"
    )]
    NoEnter,
    /// The bus's thread ended without a result.
    #[error("the bus's thread ended without a result: this is a bug")]
    Thread,
    /// The port cannot be used.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A servo did not do what was asked.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The new number is taken.
    #[error("servo {0} is on the bus already: give it another number first, or unplug it")]
    Taken(u8),
    /// Something answers, and not in words.
    #[error(
        "what answers to number {0} cannot be understood: two servos may have it (plug them in one \
         by one), or the cable is bad"
    )]
    Garbled(u8),
    /// A servo is of a model that is not known here.
    #[error("servo {id} is of model {number}, which is not known here; nothing was written")]
    Unknown {
        /// Which.
        id: u8,
        /// What it says.
        number: u16,
    },
    /// The result could not be printed.
    #[error("the result could not be printed: {0}")]
    Output(#[from] io::Error),
}

/// Does what was asked.
///
/// Errors: [`ArmError`], in words that say what to do.
pub fn run(command: &ArmCommand) -> Result<ExitCode, ArmError> {
    match command {
        ArmCommand::Scan(asked) => scan(asked),
        ArmCommand::SetId(asked) => set_id(asked),
        ArmCommand::Calibrate(asked) => calibrate(asked),
        ArmCommand::Test(asked) => test(asked),
    }
}

/// The bus's thread: below the servo thread, as the network's. chosen: a late bus costs a position
/// that is older, a late servo thread the loop.
const BUS_PRIORITY: Priority = Priority::new(70);

/// How long a cycle waits beyond the wire's time. Chosen: what is later than a bad USB host's
/// scheduling (a few ms) is the next cycle's; past FTDI's timer where that cannot be switched off.
const CYCLE_PATIENCE_US: u64 = 4_000;

fn open_arm(file: &str, port: &Path) -> Result<(ArmFile, Host<Port>, LowLatency), ArmError> {
    let arm = ArmFile::load(file)?;
    let model = arm.servos().ok_or_else(|| ArmError::Unnamed(arm.model.clone()))?;
    let port = Port::open(port, arm.baud)?;
    let low_latency = port.low_latency();
    let host = Host::new(port, model.protocol, arm.baud);
    Ok((arm, host, low_latency))
}

fn test(asked: &Test) -> Result<ExitCode, ArmError> {
    let (arm, mut host, low_latency) = open_arm(&asked.file, &asked.port)?;
    let model = bench::all_there(&mut host, &arm)?;
    bench::let_go(&mut host, &arm, model, asked.let_go)?;
    let tested = tested(asked, &arm, &mut host, model, low_latency);
    // On every path: nothing above switches a motor on, and a servo is believed only when asked.
    let held = bench::at_rest(&mut host, &arm, model);
    let (mut tested, held) = (tested?, held?);
    for joint in tested.seen.iter_mut().filter(|joint| held.contains(&joint.name)) {
        joint.wrong.push("its torque came on by itself; it was switched off".to_owned());
    }
    let well = tested.well();
    let (tally, noise) = (host.tally(), host.noise());
    let mut out = io::stdout().lock();
    if asked.json {
        let Tested { seen, set, measured, real_time, calibrated } = &tested;
        let report = json!({
            "schema": "longhand arm test v1", "arm": arm.name, "model": model.name, "well": well,
            "low_latency": low_latency.word(), "real_time": real_time,
            "calibrated": calibrated, "joints": seen.iter().map(seen_json).collect::<Vec<_>>(),
            "set": set.as_ref().map(|set| set.each().map(set_json).collect::<Vec<_>>()),
            "saved": set.as_ref().map(|set| &set.saved),
            "bus_watchdog": model.watchdog_unit_ms.is_some(),
            "bus": {
                "cycles": measured.cycles_us.len(), "missed": measured.missed,
                "wire_us": measured.wire_us, "goals_us": measured.goals_us,
                "rate_hz": measured.rate_hz(),
                "p50_us": measured.quantile_us(500), "p99_us": measured.quantile_us(990),
                "max_us": measured.quantile_us(1_000),
                "retried": tally.retried, "failed": tally.failed, "strays": tally.strays,
                "stray_bytes": noise.stray_bytes, "corrupt": noise.corrupt,
            },
        });
        writeln!(out, "{report}")?;
    } else {
        tested.tell(&mut out, model)?;
        if let Some(words) = low_latency.consequence() {
            writeln!(out, "{words}")?;
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `arm test` found.
struct Tested {
    seen: Vec<Seen>,
    set: Option<GuardsSet>,
    measured: Measured,
    real_time: String,
    calibrated: bool,
}

/// Guards that were written.
struct GuardsSet {
    /// How the joints were before.
    before: Vec<Seen>,
    /// Where that is saved.
    saved: PathBuf,
}

impl GuardsSet {
    /// Who, which, from what, to what.
    fn each(&self) -> impl Iterator<Item = (&Seen, &bench::Guarded)> {
        self.before.iter().flat_map(|joint| joint.differing().map(move |guard| (joint, guard)))
    }
}

/// Writes what the guards are before they are changed: a new file beside the arm's.
fn save_guards(file: &str, arm: &ArmFile, seen: &[Seen]) -> Result<PathBuf, ArmError> {
    let joints: Vec<Value> = seen.iter().map(seen_json).collect();
    let saved = json!({
        "schema": "longhand arm guards v1", "arm": arm.name, "model": arm.model, "joints": joints,
    });
    let name = |number: u32| PathBuf::from(format!("{file}.guards-before-{number}.json"));
    // Chosen: who has set guards a thousand times has files to tidy up.
    let path = (1..1_000).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(1_000));
    let write = |error| ArmError::Write { path: path.clone(), error };
    let mut new = std::fs::File::create_new(&path).map_err(write)?;
    writeln!(new, "{saved:#}").and_then(|()| new.sync_all()).map_err(write)?;
    Ok(path)
}

impl Tested {
    fn well(&self) -> bool {
        let joints = self.seen.iter().all(|joint| joint.wrong.is_empty());
        let guarded = self.seen.iter().all(|joint| joint.differing().next().is_none());
        self.calibrated && joints && guarded && self.measured.well()
    }

    fn tell(&self, out: &mut impl io::Write, model: &Model) -> io::Result<()> {
        for joint in &self.seen {
            writeln!(out, "{}", seen_words(joint))?;
        }
        if let Some(set) = &self.set {
            for (joint, guard) in set.each() {
                let bench::Guarded { what, is, wanted } = guard;
                writeln!(out, "{:>3} {:<14} {what}: was {is}, is {wanted}", joint.id, joint.name)?;
            }
            writeln!(out, "what they were is saved in {}", set.saved.display())?;
        }
        if !self.calibrated {
            writeln!(
                out,
                "This file was not calibrated: limits of position are not compared. Run `arm \
                 calibrate` and test the file that it writes."
            )?;
        }
        writeln!(out, "{}", bus_words(&self.measured))?;
        if model.watchdog_unit_ms.is_none() {
            writeln!(
                out,
                "A {} has no bus watchdog: where the cable is pulled it goes on to its last goal \
                 and stays there.",
                model.name
            )?;
        }
        Ok(())
    }
}

fn tested(
    asked: &Test,
    arm: &ArmFile,
    host: &mut Host<Port>,
    model: &'static Model,
    low_latency: LowLatency,
) -> Result<Tested, ArmError> {
    let mut seen = bench::examine(host, arm, model)?;
    let mut set = None;
    if asked.set_guards && bench::to_set(arm, &seen)? > 0 {
        let saved = save_guards(&asked.file, arm, &seen)?;
        bench::set_guards(host, model, &seen)?;
        let before = std::mem::replace(&mut seen, bench::examine(host, arm, model)?);
        set = Some(GuardsSet { before, saved });
    }
    let ids: Vec<u8> = arm.driven().map(|joint| joint.id).collect();
    let patience_us =
        if low_latency == LowLatency::Refused { PATIENCE_US } else { CYCLE_PATIENCE_US };
    host.set_patience_us(patience_us);
    // A thread of its own, as the bus has it whenever an arm is driven.
    let asked_us = asked.span.as_micros();
    let bus = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let real_time = RealTime::acquire(BUS_PRIORITY, None).granted().to_string();
            (measure(host, model, &ids, asked_us), real_time)
        });
        thread.join()
    });
    host.set_patience_us(PATIENCE_US);
    let (measured, real_time) = bus.map_err(|_panic| ArmError::Thread)?;
    Ok(Tested { seen, set, measured: measured?, real_time, calibrated: arm.calibrated })
}

fn seen_json(joint: &Seen) -> Value {
    let guards = joint
        .guards
        .iter()
        .map(|guard| (guard.what.to_string(), json!({ "is": guard.is, "file": guard.wanted })));
    json!({
        "name": joint.name, "id": joint.id, "step": joint.step, "degrees": joint.degrees,
        "volts": joint.volts, "temperature": joint.celsius, "wrong": joint.wrong,
        "guards": guards.collect::<serde_json::Map<_, _>>(),
    })
}

fn set_json((joint, guard): (&Seen, &bench::Guarded)) -> Value {
    json!({
        "id": joint.id, "guard": guard.what.to_string(), "was": guard.is, "is": guard.wanted,
    })
}

fn seen_words(joint: &Seen) -> String {
    let Seen { name, id, degrees, volts, celsius, guards, wrong, .. } = joint;
    let mut wrong = wrong.clone();
    wrong.extend(joint.differing().map(|guard| {
        let bench::Guarded { what, is, wanted } = guard;
        format!("its {what} is {is}, the file says {wanted}")
    }));
    let wrong = if wrong.is_empty() { "well".to_owned() } else { wrong.join("; ") };
    let many = guards.len();
    format!(
        "{id:>3} {name:<14} {degrees:>7.1} deg {volts:>5.1} V {celsius:>3} C, {many} guards: \
         {wrong}"
    )
}

fn bus_words(measured: &Measured) -> String {
    let Measured { cycles_us, missed, wire_us, goals_us } = measured;
    let (Some(p50), Some(p99), Some(max), Some(rate)) = (
        measured.quantile_us(500),
        measured.quantile_us(990),
        measured.quantile_us(1_000),
        measured.rate_hz(),
    ) else {
        return format!("bus: in none of {missed} cycles did every servo answer");
    };
    format!(
        "bus: {} cycles of reading, {missed} incomplete; one is {wire_us} us on the wire, took \
         {p50} us at p50, {p99} at p99, {max} at most; goals, of which none was said, would add \
         {goals_us}: {rate} a second",
        cycles_us.len()
    )
}

fn calibrate(asked: &Calibrate) -> Result<ExitCode, ArmError> {
    let (arm, mut host, _) = open_arm(&asked.file, &asked.port)?;
    let model = bench::all_there(&mut host, &arm)?;
    bench::let_go(&mut host, &arm, model, asked.let_go)?;
    let mut out = io::stdout().lock();
    if !asked.at_home {
        for joint in arm.driven() {
            writeln!(out, "{:<14} to {} degrees", joint.name, joint.home_deg)?;
        }
        writeln!(out, "Put the arm there by hand, hold it still, and press Enter.")?;
        out.flush()?;
        enter(&mut io::stdin().lock())?;
    }
    let found = bench::calibrated(&mut host, &arm, model)?;
    let text = format!(
        "# Written by `arm calibrate` from {}. Fields: robot-agent/arms/ARMS.md.\n{}",
        asked.file,
        toml::to_string(&found)?
    );
    let write = |error| ArmError::Write { path: asked.out.clone(), error };
    let mut file = std::fs::File::create_new(&asked.out).map_err(write)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(write)?;
    for (old, new) in arm.driven().zip(found.driven()) {
        writeln!(out, "{:<14} zero {} (was {})", new.name, new.zero, old.zero)?;
    }
    writeln!(out, "written to {}", asked.out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for Enter. The end of input is none: nobody said that the arm is held still.
fn enter(input: &mut impl io::BufRead) -> Result<(), ArmError> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    if line.ends_with('\n') { Ok(()) } else { Err(ArmError::NoEnter) }
}

fn open(bus: &BusChoice) -> Result<(Host<Port>, LowLatency), ArmError> {
    let protocol = match bus.speaks {
        Speaks::Dynamixel => Protocol::Dynamixel,
        Speaks::Feetech => Protocol::Feetech,
    };
    let port = Port::open(&bus.port, bus.baud)?;
    let low_latency = port.low_latency();
    Ok((Host::new(port, protocol, bus.baud), low_latency))
}

fn scan(asked: &Scan) -> Result<ExitCode, ArmError> {
    let (mut host, low_latency) = open(&asked.bus)?;
    let (mut found, mut garbled) = (Vec::new(), Vec::new());
    for id in (0..=asked.to).filter_map(Id::new) {
        match host.find(id)? {
            Sought::Somebody(servo) => found.push(servo),
            Sought::Garbled => garbled.push(id.get()),
            Sought::Nobody => (),
        }
    }
    let mut out = io::stdout().lock();
    let (noise, tally) = (host.noise(), host.tally());
    if asked.json {
        let report = json!({
            "schema": "longhand arm scan v1",
            "port": asked.bus.port, "baud": asked.bus.baud, "asked_to": asked.to,
            "low_latency": low_latency.word(),
            "servos": found.iter().map(told).collect::<Vec<_>>(), "garbled": garbled,
            "strays": tally.strays, "stray_bytes": noise.stray_bytes, "corrupt": noise.corrupt,
            "cut_short": noise.cut_short,
        });
        writeln!(out, "{report}")?;
    } else {
        for servo in &found {
            writeln!(out, "{}", in_words(servo))?;
        }
        let many = found.len();
        writeln!(
            out,
            "{many} servos of numbers 0 to {}; low latency: {}; not understood: {} bytes, {} \
             broken and {} cut answers",
            asked.to,
            low_latency.word(),
            noise.stray_bytes,
            noise.corrupt,
            noise.cut_short,
        )?;
        for id in &garbled {
            writeln!(out, "{id:>3}  {}", ArmError::Garbled(*id))?;
        }
        if many == 0 {
            writeln!(
                out,
                "Nobody answers. Is the power on, the cable in, --speaks and --baud right? Servos \
                 of higher numbers are asked with --to 252."
            )?;
        }
        if let Some(words) = low_latency.consequence() {
            writeln!(out, "{words}")?;
        }
    }
    Ok(if found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn set_id(asked: &SetId) -> Result<ExitCode, ArmError> {
    let (mut host, _) = open(&asked.bus)?;
    let (Some(from), Some(to)) = (Id::new(asked.from), Id::new(asked.to)) else {
        return Err(ArmError::Taken(asked.to));
    };
    match host.find_free(to)? {
        Sought::Nobody => (),
        Sought::Somebody(_) => return Err(ArmError::Taken(asked.to)),
        Sought::Garbled => return Err(ArmError::Garbled(asked.to)),
    }
    let servo = match host.find_expected(from)? {
        Sought::Somebody(servo) => servo,
        Sought::Nobody => return Err(HostError::Silent { id: asked.from }.into()),
        Sought::Garbled => return Err(ArmError::Garbled(asked.from)),
    };
    let Some(model) = servo.model else {
        return Err(ArmError::Unknown { id: asked.from, number: servo.number });
    };
    let servo = [(from, format!("servo {}", asked.from))];
    bench::let_go_of(&mut host, model, &servo, asked.let_go)?;
    host.renumber(from, to, model)?;
    let mut out = io::stdout().lock();
    if asked.json {
        let done = json!({
            "schema": "longhand arm set-id v1", "model": model.name,
            "from": asked.from, "to": asked.to,
        });
        writeln!(out, "{done}")?;
    } else {
        writeln!(out, "the {} that was {} is {} now", model.name, asked.from, asked.to)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(servo: &Found) -> Value {
    json!({
        "id": servo.id.get(), "model": servo.model.map(|model| model.name),
        "model_number": servo.number, "firmware": servo.firmware, "took_us": servo.took_us,
        "complaints": servo.complaint.troubles().map(|t| t.to_string()).collect::<Vec<_>>(),
    })
}

fn in_words(servo: &Found) -> String {
    let model = servo.model.map_or_else(
        || format!("model {}, not known here", servo.number),
        |model| model.name.to_owned(),
    );
    let troubles: Vec<String> = servo.complaint.troubles().map(|t| t.to_string()).collect();
    let troubles =
        if troubles.is_empty() { String::new() } else { format!("; {}", troubles.join("; ")) };
    let id = servo.id.get();
    format!("{id:>3}  {model}, firmware {}, {} us{troubles}", servo.firmware, servo.took_us)
}
