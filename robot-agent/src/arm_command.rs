//! `longhand-robot-agent arm scan | set-id`: the servos of a bus, one by one.
//!
//! Knows: arguments, and how results are printed. Does not know: how a servo is asked (`serial`).

use crate::serial::{Found, Host, HostError, LowLatency, Port, PortError};
use clap::{Args, Subcommand, ValueEnum};
use longhand_bus::{Id, Protocol};
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::path::PathBuf;
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
}

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
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// The port cannot be used.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A servo did not do what was asked.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The new number is taken.
    #[error("servo {0} is on the bus already: give it another number first, or unplug it")]
    Taken(u8),
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
    }
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
    let mut found = Vec::new();
    for id in (0..=asked.to).filter_map(Id::new) {
        found.extend(host.find(id)?);
    }
    let mut out = io::stdout().lock();
    let (noise, tally) = (host.noise(), host.tally());
    if asked.json {
        let report = json!({
            "schema": "longhand arm scan v1",
            "port": asked.bus.port, "baud": asked.bus.baud, "asked_to": asked.to,
            "low_latency": low_latency.word(),
            "servos": found.iter().map(told).collect::<Vec<_>>(),
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
    if host.find(to)?.is_some() {
        return Err(ArmError::Taken(asked.to));
    }
    let Some(servo) = host.find(from)? else {
        return Err(HostError::Silent { id: asked.from }.into());
    };
    let Some(model) = servo.model else {
        return Err(ArmError::Unknown { id: asked.from, number: servo.number });
    };
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
