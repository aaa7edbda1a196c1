//! `longhand-sim link show`: one link, as a person or a program wants to see it.
//!
//! Knows: how to sample a link in virtual time and draw what came out. Does not know: real time.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use longhand_link::emulator::sample;
use longhand_link::profile::{DrillAct, Jitter, Loss, OutageMode, Path, When};
use longhand_link::trace::histogram::Histogram;
use longhand_link::{Direction, Directions, LinkModel, LinkStats, Profile};
use longhand_protocol::units::{Micros, TICK};
use serde_json::{Value, json};

use super::{LinkError, link_name, named, read, read_trace, whole};

/// Link time sampled for a picture. Chosen: 20 minutes, 1.2 million packets each way: a thousand
/// packets above p99.9, in about half a second.
const SAMPLED: Micros = Micros::from_secs(1_200);

/// Bytes of a sampled packet. Chosen: near a command and its carrier (about 300 bytes).
const PACKET_BYTES: usize = 300;

/// Rows and columns of the picture. Chosen: it fits a terminal of 80 by 24 for each direction.
const ROWS: u32 = 16;
const COLUMNS: u32 = 40;

const EXAMPLES: &str = "Examples:
  longhand-sim link show beijing-sanya-5g-public
  longhand-sim link show leo-starlink --json
  longhand-sim link show --trace sim/traces/leocc-starlink.csv
  longhand-sim link show city-5g-sa --minus-ms 1.3 --direction up \\
      --histogram sim/traces/det6g_ND_5G-midband-Uplink_PD-Wireless-5G-2a.csv
      How far the link's delay is from a measured histogram of the radio alone (1.3 ms is the \
       core).";

/// `longhand-sim link show`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// A link by name; `longhand-sim link list` lists them
    #[arg(value_name = "NAME", required_unless_present = "trace", conflicts_with = "trace",
          value_parser = link_name)]
    name: Option<String>,
    /// A link trace, version 1
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The seed of the sampled picture
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
          value_parser = whole::<0, { u64::MAX }>)]
    seed: u64,
    /// Compare with a histogram of one-way delay (lines of `bin_low_ms count`)
    #[arg(long, value_name = "FILE")]
    histogram: Option<PathBuf>,
    /// The direction to compare
    #[arg(long, value_enum, default_value = "up")]
    direction: Way,
    /// Take this off the link's delay before comparing, ms
    #[arg(long, value_name = "MS", default_value_t = 0.0, allow_negative_numbers = true,
          value_parser = milliseconds)]
    minus_ms: f64,
}

fn milliseconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Chosen: a minute, beyond any link's delay.
        Ok(ms) if (0.0..=60_000.0).contains(&ms) => Ok(ms),
        Ok(_) | Err(_) => Err(String::from("give milliseconds, 0 to 60000")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// Console to robot
    Up,
    /// Robot to console
    Down,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::Up => Self::Up,
            Way::Down => Self::Down,
        }
    }
}

/// Sorted delays of each direction in milliseconds, and the counts.
struct Seen {
    up_ms: Vec<f64>,
    down_ms: Vec<f64>,
    stats: LinkStats,
    span: Micros,
}

impl Seen {
    fn of(model: LinkModel, seed: u64) -> Self {
        // Behind its end a trace that declares no seam has nothing to say: no loss is counted
        // there.
        let span = super::lasts(&model).unwrap_or(SAMPLED).min(SAMPLED);
        let (mut up_ms, mut down_ms) = (Vec::new(), Vec::new());
        let stats = sample(model, seed, span, TICK, PACKET_BYTES, |packet| {
            let delays = match packet.direction {
                Direction::Up => &mut up_ms,
                Direction::Down => &mut down_ms,
            };
            delays.extend(packet.delay().map(Micros::as_millis_f64));
        });
        up_ms.sort_by(f64::total_cmp);
        down_ms.sort_by(f64::total_cmp);
        Self { up_ms, down_ms, stats, span }
    }

    fn delays(&self, direction: Direction) -> &[f64] {
        match direction {
            Direction::Up => &self.up_ms,
            Direction::Down => &self.down_ms,
        }
    }
}

pub(super) fn show(args: &ShowArgs) -> Result<String, LinkError> {
    let model = match (&args.trace, &args.name) {
        (Some(path), _) => read_trace(path)?,
        (None, Some(name)) => named(name)?,
        (None, None) => return Err(LinkError::Nothing),
    };
    let seen = Seen::of(model.clone(), args.seed);
    let distance = args.histogram.as_ref().map(|path| compare(args, path, &seen)).transpose()?;
    if args.json {
        return Ok(json_text(&model, &seen, args.seed, distance));
    }
    let mut out = String::new();
    match &model {
        LinkModel::Profile(profile) => {
            let _ = writeln!(out, "{}: {}\n", profile.name, profile.summary);
            describe(&mut out, profile);
        }
        LinkModel::Trace(trace) => {
            let header = trace.header();
            let seam = if header.loop_us.is_some() { "begins again" } else { "ends there" };
            let length = trace.length().as_secs_f64();
            let _ = writeln!(out, "trace of {length:.1} s, {seam}: {}", header.source);
            let _ = writeln!(out, "licence: {}\n{}\n", header.licence, header.notes);
        }
    }
    pictures(&mut out, &seen, args.seed);
    if let LinkModel::Profile(profile) = &model {
        out.push_str("Where the numbers come from (D data, P published, E guess, C chosen):\n");
        for basis in profile.basis {
            let _ = writeln!(out, "  {} {}: {}", basis.evidence.letter(), basis.group, basis.text);
        }
    }
    if let Some(distance) = distance {
        let _ = writeln!(
            out,
            "\nKolmogorov-Smirnov distance to the histogram, {} less {} ms: {distance:.2}",
            Direction::from(args.direction).name(),
            args.minus_ms
        );
    }
    Ok(out)
}

/// The round trip expected half of the time: both bases and both median jitters.
pub(crate) fn rtt_p50_ms(profile: &Profile) -> f64 {
    let median = |jitter: &Jitter| {
        jitter.target.iter().find(|knot| knot.above <= 0.5).map_or(0.0, |knot| knot.at_ms)
    };
    let one_way = |path: &Path| path.base.as_millis_f64() + median(&path.jitter);
    // To a microsecond: sums of decimals leave float noise behind.
    ((one_way(&profile.up) + one_way(&profile.down)) * 1e3).round() / 1e3
}

pub(super) fn profile_json(profile: &Profile) -> Value {
    let basis: Vec<Value> = profile
        .basis
        .iter()
        .map(|b| json!({"group": b.group, "evidence": b.evidence.letter(), "text": b.text}))
        .collect();
    json!({
        "name": profile.name,
        "summary": profile.summary,
        "rtt_p50_ms": rtt_p50_ms(profile),
        "up": path_json(&profile.up),
        "down": path_json(&profile.down),
        "outages": profile.outages.iter().map(|o| json!({
            "name": o.name,
            "when": when_text(o.when),
            "p50_ms": o.p50.as_millis_f64(),
            "p99_ms": o.p99.as_millis_f64(),
            "mode": mode_name(o.mode),
        })).collect::<Vec<_>>(),
        "basis": basis,
    })
}

fn path_json(path: &Path) -> Value {
    let knots = path.jitter.target.iter();
    json!({
        "base_ms": path.base.as_millis_f64(),
        "jitter": knots.map(|k| json!({"share_above": k.above, "ms": k.at_ms})).collect::<Vec<_>>(),
        "correlation_ms": path.jitter.correlation.as_millis_f64(),
        "loss_mean": path.loss.mean(),
        "rate_bps": path.rate.map(|rate| rate.bits_per_s),
        "queue_max_ms": path.rate.map(|rate| rate.queue_max.as_millis_f64()),
    })
}

fn json_text(model: &LinkModel, seen: &Seen, seed: u64, distance: Option<f64>) -> String {
    let about = match model {
        LinkModel::Profile(profile) => profile_json(profile),
        LinkModel::Trace(trace) => serde_json::to_value(trace.header()).unwrap_or_default(),
    };
    let lane = |direction: Direction| {
        let delays = seen.delays(direction);
        let at = |above: f64| quantile(delays, above);
        json!({
            "counts": super::lane_json(&seen.stats, direction),
            "min_ms": at(1.0), "p50_ms": at(0.5), "p95_ms": at(0.05), "p99_ms": at(0.01),
            "p999_ms": at(0.001), "max_ms": at(0.0),
        })
    };
    let value = json!({
        "schema": "longhand link v1",
        "link": about,
        "sampled": {
            "seed": seed,
            "seconds": seen.span.as_secs_f64(),
            "interval_us": TICK.as_micros(),
            "packet_bytes": PACKET_BYTES,
            "up": lane(Direction::Up),
            "down": lane(Direction::Down),
        },
        "histogram_distance": distance,
    });
    format!("{value:#}\n")
}

fn describe(out: &mut String, profile: &Profile) {
    for direction in Direction::BOTH {
        let path = profile.path(direction);
        let _ = write!(out, "{:4}  base {} + jitter", direction.name(), path.base);
        for knot in path.jitter.target {
            let _ = write!(out, "  p{} {} ms", percentile(knot.above), knot.at_ms);
        }
        let _ = writeln!(out, "\n      correlation {}", path.jitter.correlation);
        let _ = writeln!(out, "      loss {}", loss_text(path.loss));
        if let Some(rate) = path.rate {
            let mbit = rate.bits_per_s / 1_000_000;
            let _ = writeln!(out, "      rate {mbit} Mbit/s, queue {}", rate.queue_max);
        }
        if path.radio.slot > Micros::ZERO {
            let _ = writeln!(out, "      radio slots of {}", path.radio.slot);
        }
    }
    for outage in profile.outages {
        let (when, mode) = (when_text(outage.when), mode_name(outage.mode));
        let (p50, p99) = (outage.p50, outage.p99);
        let _ = writeln!(out, "      {}: {when}, median {p50}, p99 {p99}, {mode}", outage.name);
    }
    if let Some(step) = profile.route_step {
        let _ = writeln!(out, "      route step: {}, by {}", when_text(step.when), step.by);
    }
    if let Some(rebase) = profile.rebase {
        let (p50, p90, max) = (rebase.p50_ms, rebase.p90_ms, rebase.max_ms);
        let text = "new base at :12 :27 :42 :57";
        let _ = writeln!(out, "      {text}, change p50 {p50} ms, p90 {p90} ms, max {max} ms");
    }
    for step in profile.drill.iter().flat_map(|drill| drill.steps) {
        let _ = writeln!(
            out,
            "      at {:>5.1} s for {}: {}",
            step.at.as_secs_f64(),
            step.lasts,
            act_text(step.act)
        );
    }
    out.push('\n');
}

/// A share above as the percentile below, as people write it: 0.001 is 99.9.
pub(super) fn percentile(above: f64) -> f64 {
    (1e6 * (1.0 - above)).round() / 1e4
}

/// A share in percent, without the float's last noise.
fn percent(share: f64) -> f64 {
    (share * 1e10).round() / 1e8
}

fn loss_text(loss: Loss) -> String {
    match loss {
        Loss::None => String::from("none"),
        Loss::Random { p } => format!("{} % at random", percent(p)),
        Loss::Bursts { good, bad, loss_in_bad } => {
            let mean = loss.mean() * 100.0;
            let bad_percent = loss_in_bad * 100.0;
            format!("{mean:.4} %: good for {good}, bad for {bad}, {bad_percent} % lost when bad")
        }
    }
}

fn when_text(when: When) -> String {
    match when {
        When::PerHour(rate) if rate >= 1.0 => format!("{rate} per hour"),
        When::PerHour(rate) => format!("one in {:.0} h", 1.0 / rate),
        When::Between(low, high) => {
            format!("{:.0} s to {:.0} s apart", low.as_secs_f64(), high.as_secs_f64())
        }
        When::SlotEdge(p) => format!("at a slot edge, {} % of them", percent(p)),
    }
}

fn act_text(act: DrillAct) -> String {
    let way = |directions| match directions {
        Directions::Up => "up",
        Directions::Down => "down",
        Directions::Both => "both ways",
    };
    match act {
        DrillAct::BlackHole(directions) => format!("nothing gets through, {}", way(directions)),
        DrillAct::Lose(directions, share) => {
            format!("{} % lost, {}", percent(share), way(directions))
        }
        DrillAct::Duplicate(share) => format!("{} % come twice", percent(share)),
        DrillAct::Corrupt(share) => format!("one bit wrong in {} %", percent(share)),
        DrillAct::PathMtu(bytes) => format!("packets over {bytes} bytes are dropped"),
        DrillAct::NatRebind => String::from("the client's address changes"),
        DrillAct::DscpBleach => String::from("the priority mark is washed off"),
        DrillAct::ClockStep(ms) => format!("the far end's wall clock jumps by {ms} ms"),
    }
}

const fn mode_name(mode: OutageMode) -> &'static str {
    match mode {
        OutageMode::Drop => "drops",
        OutageMode::HoldAndFlush => "holds and flushes",
    }
}

fn pictures(out: &mut String, seen: &Seen, seed: u64) {
    let minutes = seen.span.as_secs_f64() / 60.0;
    let _ = writeln!(out, "Sampled: {minutes:.1} min at 1 kHz, {PACKET_BYTES} bytes, seed {seed}");
    for direction in Direction::BOTH {
        let delays = seen.delays(direction);
        let lane = seen.stats.lane(direction);
        let at = |above: f64| quantile(delays, above);
        let _ = writeln!(
            out,
            "\n{}: one-way delay p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, \
             max {:.2} ms; lost {} of {}",
            direction.name(),
            at(0.5),
            at(0.05),
            at(0.01),
            at(0.001),
            at(0.0),
            lane.dropped_total(),
            lane.offered
        );
        picture(out, delays);
    }
    out.push('\n');
}

/// One bar per slice of delay from the least to p99.5, and one for all above.
fn picture(out: &mut String, delays: &[f64]) {
    let (low, high) = (quantile(delays, 1.0), quantile(delays, 0.005));
    let width = (high - low) / f64::from(ROWS);
    if width <= 0.0 {
        let _ = writeln!(out, "  {low:8.3} ms  always");
        return;
    }
    let below = |ms: f64| delays.partition_point(|delay| *delay < ms);
    let edge = |row: u32| low + width * f64::from(row);
    let total = count(delays.len());
    let mut bars: Vec<(String, f64)> = (0..ROWS)
        .map(|row| {
            let inside = below(edge(row.saturating_add(1))).saturating_sub(below(edge(row)));
            let label = format!("{:8.2} .. {:8.2} ms", edge(row), edge(row.saturating_add(1)));
            (label, count(inside) / total)
        })
        .collect();
    let above = count(delays.len().saturating_sub(below(high))) / total;
    bars.push((format!("   above .. {:8.2} ms", quantile(delays, 0.0)), above));
    let tallest = bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
    for (label, share) in bars {
        let _ = writeln!(out, "  {label} {} {:.2} %", bar(share / tallest), share * 100.0);
    }
}

/// A bar of up to [`COLUMNS`] cells, to an eighth of a cell.
fn bar(share: f64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (0..COLUMNS.saturating_mul(8))
        .filter(|n| f64::from(*n) + 0.5 < share * f64::from(COLUMNS) * 8.0)
        .count();
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(EIGHTHS.get(eighths % 8).filter(|c| **c != ' '));
    bar
}

fn compare(args: &ShowArgs, path: &std::path::Path, seen: &Seen) -> Result<f64, LinkError> {
    let histogram = Histogram::parse(&read(path)?).map_err(|why| LinkError::Content {
        path: path.to_path_buf(),
        why: why.to_string(),
        help: "a histogram has lines of `bin_low_ms count`",
    })?;
    let direction = Direction::from(args.direction);
    let moved: Vec<f64> = seen.delays(direction).iter().map(|ms| ms - args.minus_ms).collect();
    Ok(histogram.distance(&moved))
}

/// The value a sorted list exceeds with the share `above`; zero where it is empty.
fn quantile(sorted: &[f64], above: f64) -> f64 {
    let above_count = floored(count(sorted.len()) * above);
    let last = sorted.len().saturating_sub(1);
    sorted.get(last.saturating_sub(above_count)).or(sorted.first()).copied().unwrap_or(0.0)
}

/// A length as a float; exact, for a sample has fewer than 2^32 packets.
pub(super) fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// A float as a length, rounded down, through the one conversion that says how it rounds.
pub(super) fn floored(x: f64) -> usize {
    usize::try_from(Micros::from_secs_f64(x.floor() * 1e-6).as_micros()).unwrap_or(usize::MAX)
}
