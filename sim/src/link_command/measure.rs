//! `link measure`: measure a way to somebody else's server, and write it as a link trace.
//!
//! Knows: arguments and what is printed. Does not know: the protocol (`crate::peers::client`), or
//! statistics (`longhand_qualify`).

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::Args;
use longhand_protocol::units::Micros;
use longhand_qualify::measure::long;
use longhand_qualify::trace::{self, Origin};
use serde_json::json;

use super::reflect::key;
use super::{LinkError, address, say, say_written, whole, written_time};
use crate::peers::client::{Ask, Found, measure};

const EXAMPLES: &str = "Examples:
  longhand-sim link measure --irtt measure.example:2112 --for 1m --rate 100 -o link.csv
      A trace that `longhand-sim link run --trace link.csv` plays; quantiles on the terminal.
  longhand-sim link measure --irtt 10.0.0.7:2112 --rate 1000 --for 10m --json
      The server must allow it: `irtt server -i 1ms`, or `longhand-sim link reflect`.

Every delay is counted from when its probe was due. On which way a probe was lost the server tells
of the last 64, and of a longer hole where none of it came, or all; where some did nobody knows
which, and that is told apart. One-way delays are differences.

Exit codes: 0 done; 1 the server does not answer, or grants less; 2 wrong usage; 3 nothing came.";

/// `longhand-sim link measure`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MeasureArgs {
    /// An irtt server (protocol 1)
    #[arg(long, value_name = "HOST:PORT")]
    irtt: String,
    /// How long: 30s, 10m
    #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = written_time,
          allow_negative_numbers = true)]
    lasts: Micros,
    /// Probes a second
    #[arg(long, value_name = "HZ", default_value_t = 100, value_parser = whole::<1, 4_000>,
          allow_negative_numbers = true)]
    rate: u64,
    /// Bytes of a probe, without IP's and UDP's own; more where irtt's own fields need more
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = whole::<0, 1_472>,
          allow_negative_numbers = true)]
    bytes: u64,
    /// The server's key: the file's bytes, without a line's end at its end
    #[arg(long, value_name = "FILE")]
    hmac_key_file: Option<PathBuf>,
    /// Write what was measured as a link trace; what is there stays where nothing was measured
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print what was measured as one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures until it is done, or `stop`.
pub(super) fn run(args: &MeasureArgs, stop: &AtomicBool) -> Result<ExitCode, LinkError> {
    let key = args.hmac_key_file.as_deref().map(key).transpose()?;
    let out = args.out.as_deref().map(|path| Place::at(path).map_err(written(path)));
    // Before anything is measured: a file that cannot be written is told now.
    let out = out.transpose()?;
    let to = address(&args.irtt, "measure against")?;
    let (lasts, rate_hz, bytes) = (args.lasts, args.rate, args.bytes);
    let found = measure(&Ask { to, lasts, rate_hz, bytes, key }, stop)?;
    let is_empty = found.measures.rtt.count == 0;
    if let Some(place) = out.filter(|_| !is_empty) {
        let path = place.path.clone();
        place.fill(|file| write(&found, &args.irtt, file)).map_err(written(&path))?;
        let sent = found.measures.own.sent;
        say_written(&path, &format!("a link trace of {sent} probes; `link run --trace` plays it"));
    } else if let Some(path) = &args.out {
        eprintln!("nothing came, and {} stays what it was", path.display());
    }
    say(&if args.json { object(args, &found) } else { text(&found) });
    Ok(if is_empty { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

fn written(path: &Path) -> impl FnOnce(std::io::Error) -> LinkError {
    let path = path.to_owned();
    move |why| LinkError::File { doing: "write", path, why }
}

/// Where a file is to be: written beside it, so that what is there stays until all is written.
struct Place {
    path: PathBuf,
    file: File,
    /// Gone when this is dropped; none where the path is no file, as `/dev/stdout`.
    beside: Option<PathBuf>,
}

impl Place {
    fn at(path: &Path) -> std::io::Result<Self> {
        // A link stays a link: what it leads to is replaced.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.exists() && !path.is_file() {
            let file = OpenOptions::new().write(true).open(&path)?;
            return Ok(Self { path, file, beside: None });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
        Ok(Self { path, file, beside: Some(beside) })
    }

    fn fill(self, write: impl FnOnce(&File) -> std::io::Result<()>) -> std::io::Result<()> {
        write(&self.file)?;
        let Some(beside) = &self.beside else { return Ok(()) };
        self.file.sync_all()?;
        std::fs::rename(beside, &self.path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // Renamed already, where all went well.
            let _gone = std::fs::remove_file(beside);
        }
    }
}

fn write(found: &Found, server: &str, file: &File) -> std::io::Result<()> {
    let mut file = BufWriter::new(file);
    let mut done = Ok(());
    let source = format!("irtt server {server}");
    let way = if found.tells_way {
        "the way of a loss is the server's word, which knows the last 64 probes, and how many came"
    } else {
        "the server does not tell on which way a probe was lost"
    };
    let stamps = if found.is_stamped {
        "the shortest round trip is shared in halves"
    } else {
        "every round trip is shared in halves"
    };
    let notes = format!("measured by longhand-sim link measure; {stamps}; {way}");
    let from = Origin { probe: "udp", source: &source, sha256: "", notes: &notes };
    trace::write(&found.slots, &found.given, &found.measures, &from, &mut |line| {
        if done.is_ok() {
            done = file.write_all(line.as_bytes());
        }
    });
    done.and_then(|()| file.flush())
}

fn object(args: &MeasureArgs, found: &Found) -> String {
    let object = json!({
        "schema": "longhand link measure v1", "server": args.irtt, "rate_hz": args.rate,
        "bytes": found.bytes, "stamped": found.is_stamped, "tells_way": found.tells_way,
        "measures": found.measures,
    });
    format!("{object}\n")
}

fn text(found: &Found) -> String {
    let measures = &found.measures;
    let mut text = format!(
        "{} probes of {} bytes in {}; {} not sent, {} more than 200 us late\n",
        measures.own.sent,
        found.bytes,
        long(measures.seconds),
        measures.own.not_sent,
        measures.own.late
    );
    for quantile in &measures.rtt.quantiles {
        let most = quantile.high_ms.map_or_else(|| "more".to_owned(), |high| format!("{high:.3}"));
        text += &format!(
            "round trip {:<8} {:>9.3} ms (95 %: {:.3} to {most})\n",
            quantile.name, quantile.ms, quantile.low_ms
        );
    }
    let lost = |share: &longhand_qualify::measure::quantile::Share| {
        format!("{} of {} ({:.4} %)", share.events, share.of, share.share * 1e2)
    };
    text += &format!(
        "lost up {}, down {}, nobody knows where {}\n",
        lost(&measures.up.loss),
        lost(&measures.down.loss),
        lost(&measures.lost_unknown)
    );
    text += &format!(
        "outages of 10 ms and more: {}, the longest {:.0} ms\n",
        measures.outages.count, measures.outages.longest_ms
    );
    if !found.is_stamped {
        text += "the server stamps nothing: only round trips are known\n";
    }
    if !found.tells_way {
        text += "the server does not tell what came to it: nobody knows where a probe was lost\n";
    }
    text
}
