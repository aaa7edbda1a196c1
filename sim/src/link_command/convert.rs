//! `longhand-sim link import` and `link export`: recordings of other tools, and traces for them.
//!
//! Knows: files, their hashes, the licences of data sets. Does not know: what a line means
//! (`longhand_link::trace::import`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use longhand_link::LinkModel;
use longhand_link::trace::import::{self, Late, Provenance};
use longhand_protocol::units::Micros;

use super::show::Way;
use super::{LinkError, read_trace, say, say_written};

/// A format that can be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What Mahimahi's mm-link reads: a line for each 1500 bytes that may leave, in milliseconds
    Mahimahi,
    /// irtt: `irtt client -o FILE`; unpack a .json.gz first
    Irtt,
    /// `ping -D HOST` of iputils
    Ping,
    /// CICV5G: round trips over public 5G from a moving car, one each 55 ms
    Cicv5g,
    /// LeoCC: one-way delay over Starlink, one line each 10 ms
    Leocc,
}

const IMPORT_EXAMPLES: &str = "Examples:
  irtt client -i 10ms -d 1m -o run.json HOST
  longhand-sim link import --format irtt run.json -o run.csv
  ping -D -i 0.2 -c 300 HOST > ping.txt
  longhand-sim link import --format ping ping.txt --source \"ward 3 to theatre 2\" -o ping.csv
  longhand-sim link import --format cicv5g --held rural.txt --source \"CICV5G, rural run 1\" \\
      -o rural.csv
      Then: longhand-sim link show --trace run.csv";

/// `longhand-sim link import`
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct ImportArgs {
    /// What wrote the file
    #[arg(long, value_enum)]
    format: Format,
    /// The file
    file: PathBuf,
    /// Where the file comes from, for the header; without it, its name
    #[arg(long)]
    source: Option<String>,
    /// Its licence, where it is not the data set's
    #[arg(long)]
    licence: Option<String>,
    /// Round trips over 150 ms were held and flushed, not lost (CICV5G's rural files)
    #[arg(long)]
    held: bool,
    /// Where to write the trace; without it, to standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const EXPORT_EXAMPLES: &str = "Examples:
  longhand-sim link export --format mahimahi lte.csv --direction down -o lte.down
      A trace with rates, as `link import --format mahimahi` makes it.
  longhand-sim link export --format mahimahi measured.csv --rate 20 --direction up -o measured.up
      A trace of delays, as `longhand-console qualify --trace` writes it, says no rate: declare one.
      Outages and gaps become moments without opportunities.

Delay and loss have no place in the file. Mahimahi keeps them in mm-delay and mm-loss, as constants:
the command with those of this direction is printed on standard error.";

/// A format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// What Mahimahi's mm-link reads: the rate of one direction, and nothing else
    Mahimahi,
}

/// `longhand-sim link export`
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct ExportArgs {
    /// What shall read the file
    #[arg(long, value_enum)]
    format: Target,
    /// The link trace
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    /// Which direction
    #[arg(long, value_enum, default_value = "up")]
    direction: Way,
    /// The rate where the trace says none, Mbit/s
    #[arg(long, value_name = "MBIT", value_parser = megabits, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Where to write; without it, to standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn megabits(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Chosen: below it an opportunity comes once in a second, above it 833 in a millisecond.
        Ok(mbit) if (0.012..=10_000.0).contains(&mbit) => Ok(mbit),
        Ok(_) | Err(_) => Err(String::from("give Mbit/s, 0.012 to 10000")),
    }
}

/// What a file compressed by gzip begins with. Source: RFC 1952, 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub(super) fn import(args: &ImportArgs) -> Result<(), LinkError> {
    let path = &args.file;
    let fail = |why: String, help| LinkError::Content { path: path.clone(), why, help };
    let failed = |why| LinkError::File { doing: "read", path: path.clone(), why };
    let bytes = std::fs::read(path).map_err(failed)?;
    if bytes.starts_with(&GZIP) {
        return Err(fail("it is compressed".to_owned(), "unpack it first: gunzip FILE"));
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let mut sha256 = String::with_capacity(64);
    for byte in digest.as_ref() {
        let _ = write!(sha256, "{byte:02x}");
    }
    let text = String::from_utf8(bytes).map_err(|why| {
        let before = why.as_bytes().get(..why.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        fail(format!("line {line} is no text"), OTHER_FORMAT)
    })?;
    let licence = args.licence.clone().unwrap_or_else(|| licence(args.format).to_owned());
    let named = || path.file_name().map(|name| name.to_string_lossy().into_owned());
    let source = args.source.clone().or_else(named).unwrap_or_default();
    let from = Provenance { source, licence, sha256 };
    let late = if args.held { Late::Held } else { Late::Lost };
    let trace = match args.format {
        Format::Mahimahi => import::mahimahi(&text, from),
        Format::Irtt => import::irtt(&text, from),
        Format::Ping => import::ping(&text, from),
        Format::Cicv5g => import::cicv5g(&text, late, from),
        Format::Leocc => import::leocc(&text, from),
    };
    let trace = trace.map_err(|why| fail(why.to_string(), OTHER_FORMAT))?;
    put(args.out.as_deref(), &trace.to_csv(), "a link trace")
}

const OTHER_FORMAT: &str = "check that --format names what wrote the file, and that it is whole";

const fn licence(format: Format) -> &'static str {
    match format {
        Format::Cicv5g => {
            "CC BY 4.0 (cite Zhang et al., CICV5G, Zenodo 2025, 10.5281/zenodo.17475688)"
        }
        Format::Leocc => {
            "MIT at the root of SpaceNetLab/LeoCC; that sub-tree also carries a GPL-3 text"
        }
        Format::Mahimahi | Format::Irtt | Format::Ping => "as its owner says",
    }
}

pub(super) fn export(args: &ExportArgs) -> Result<(), LinkError> {
    let LinkModel::Trace(trace) = read_trace(&args.trace)? else { return Err(LinkError::Nothing) };
    // Exact: through the one conversion that says how it rounds, in bit/s.
    let rate = args.rate.map(|mbit| Micros::from_secs_f64(mbit).as_micros());
    let direction = args.direction.into();
    let text = match args.format {
        Target::Mahimahi => import::to_mahimahi(&trace, direction, rate),
    };
    let text = text.map_err(|why| LinkError::Content {
        path: args.trace.clone(),
        why: why.to_string(),
        help: "declare the rate of such moments with --rate MBIT, for example --rate 20",
    })?;
    let (delay_ms, loss) = import::beside_mahimahi(&trace, direction);
    let link = match args.direction {
        Way::Up => "uplink",
        Way::Down => "downlink",
    };
    eprintln!("beside it: mm-delay {delay_ms} mm-loss {link} {loss:.6} mm-link UP DOWN");
    put(args.out.as_deref(), &text, "what mm-link reads")
}

fn put(out: Option<&Path>, text: &str, what: &str) -> Result<(), LinkError> {
    let Some(path) = out else {
        say(text);
        return Ok(());
    };
    let fail = |why| LinkError::File { doing: "write", path: path.to_path_buf(), why };
    std::fs::write(path, text).map_err(fail)?;
    let rows = text.lines().filter(|line| !line.starts_with('#')).count();
    say_written(path, &format!("{what}, {rows} lines"));
    Ok(())
}
