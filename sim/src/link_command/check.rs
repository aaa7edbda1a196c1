//! `longhand-sim link check`: does each link do what its profile asks? In virtual time, by every
//! packet of an hour; in real time, by the error of the relay that ships.
//!
//! Knows: the command line and how the rows are told. Does not know: how a link is sampled
//! (`sampled`, `apart`), what chance allows (`judged`), or sockets (`real_time`).

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use longhand_link::{LinkModel, PROFILES, Profile};
use longhand_protocol::units::Micros;
use longhand_quic::clock::monotonic_ns;
use serde_json::{Value, json};

use super::show::floored;
use super::{LinkError, link_name, named, say, whole};
use judged::{Row, Verdict};

mod apart;
mod asked;
mod judged;
mod real_time;
mod sampled;

const EXAMPLES: &str = "Examples:
  longhand-sim link check --all
      Every link, an hour of each in virtual time, at 1 kHz both ways; half a minute.
  longhand-sim link check --link leo-starlink --minutes 600 --seed 7 --json
      Ten hours tell of what is rare.
  longhand-sim link check --link city-5g-sa --real-time 30s
      The relay's own error per packet on this machine, on loopback.

A row passes where the figure is as near to what was asked as four standard errors of a sample of
this length, or 2 %; `too few` is one that passed with fewer than ten events expected.

Exit codes: 0 every link does what it is asked; 1 one does not (in real time: the relay misses its
goal, 30 us at p50 and 150 us at p99, on a machine that did not stall), or it was interrupted; 2
wrong usage; 3 in real time: the machine stalled, so the figures say nothing.";

/// `longhand-sim link check`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct CheckArgs {
    /// The link to check
    #[arg(long, value_name = "NAME", required_unless_present = "all", conflicts_with = "all",
          value_parser = link_name)]
    link: Option<String>,
    /// Check every link there is
    #[arg(long)]
    all: bool,
    /// Virtual time to sample, minutes
    #[arg(long, default_value_t = 60, value_parser = whole::<1, 60_000>,
          allow_negative_numbers = true)]
    minutes: u64,
    /// Everything random comes from this number
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
          value_parser = whole::<0, { u64::MAX }>)]
    seed: u64,
    /// Instead, run the relay for this time (30s, 10m, up to 1h) on loopback and measure its own
    /// error
    #[arg(long, value_name = "TIME", conflicts_with = "minutes", value_parser = real_time,
          allow_negative_numbers = true)]
    real_time: Option<Micros>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn real_time(text: &str) -> Result<Micros, String> {
    let time = Micros::from_written(text)?;
    if (Micros::from_secs(1)..=Micros::from_secs(3_600)).contains(&time) {
        return Ok(time);
    }
    Err("1 s to 1 h are wanted, as 30s or 10m".to_owned())
}

/// One link, checked.
struct Checked {
    name: &'static str,
    rows: Vec<Row>,
    wall: Micros,
}

impl Checked {
    /// A link fails by one row, and passes though rows are too few to say much.
    fn passes(&self) -> bool {
        self.rows.iter().all(|row| row.verdict() != Verdict::Fail)
    }
}

pub(super) fn check(args: &CheckArgs, stop: &AtomicBool) -> Result<ExitCode, LinkError> {
    let mut links = Vec::new();
    match &args.link {
        None => links.extend(PROFILES),
        Some(name) => match named(name)? {
            LinkModel::Profile(profile) => links.push(profile),
            LinkModel::Trace(_) => return Err(LinkError::Nothing),
        },
    }
    if let Some(lasts) = args.real_time {
        return real_time::check(&links, args.seed, lasts, args.json, stop);
    }
    let span = Micros::from_secs(args.minutes.saturating_mul(60));
    let mut all = Vec::new();
    for profile in &links {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let checked = one(profile, args.seed, span);
        let verdict = if checked.passes() { "passes" } else { "FAILS" };
        eprintln!("{:24} {:6.2} s  {verdict}", checked.name, checked.wall.as_secs_f64());
        all.push(checked);
    }
    let whole = all.len() == links.len();
    say(&if args.json { to_json(args, &all, whole) } else { text(args, &all, whole) });
    let passes = whole && all.iter().all(Checked::passes);
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(profile: &'static Profile, seed: u64, span: Micros) -> Checked {
    let began = monotonic_ns();
    let seen = sampled::Seen::of(profile, LinkModel::from(profile), seed, span);
    let dwells = apart::dwells(profile, seed, span);
    let rows = judged::rows(profile, &seen, &apart::lines(profile, seed), &dwells);
    let wall = Micros::from_micros(monotonic_ns().saturating_sub(began) / 1_000);
    Checked { name: profile.name, rows, wall }
}

fn text(args: &CheckArgs, all: &[Checked], whole: bool) -> String {
    let mut out = String::new();
    for link in all {
        let wall = link.wall.as_secs_f64();
        let (name, minutes, seed) = (link.name, args.minutes, args.seed);
        let _ = writeln!(out, "{name}: {minutes} min at 1 kHz both ways, seed {seed}, {wall:.1} s");
        out.push_str(
            "  way   figure                                    asked         got  allowed\n",
        );
        for row in &link.rows {
            let way = row.way.map_or("", |way| way.name());
            let got = row.got.map_or_else(|| String::from("-"), digits);
            let allowed = format!("{} to {} {}", digits(row.least), digits(row.most), row.unit);
            let _ = writeln!(
                out,
                "  {way:4}  {:36} {:>10}  {got:>10}  {allowed:32} {}",
                row.what,
                digits(row.asked),
                row.verdict().name()
            );
        }
        out.push('\n');
    }
    let failed: Vec<&str> =
        all.iter().filter(|link| !link.passes()).map(|link| link.name).collect();
    let _ = match (failed.is_empty(), whole) {
        (_, false) => writeln!(out, "interrupted: {} links were checked", all.len()),
        (true, true) => writeln!(out, "{} links do what they are asked", all.len()),
        (false, true) => writeln!(out, "not what was asked: {}", failed.join(", ")),
    };
    out
}

/// A figure with as many decimals as it needs for four digits.
fn digits(x: f64) -> String {
    match x.abs() {
        size if size >= 1_000.0 => format!("{x:.0}"),
        size if size >= 10.0 => format!("{x:.2}"),
        size if size >= 0.1 => format!("{x:.3}"),
        size if size > 0.0 => format!("{x:.5}"),
        _ => String::from("0"),
    }
}

fn to_json(args: &CheckArgs, all: &[Checked], whole: bool) -> String {
    let row = |row: &Row| {
        json!({
            "direction": row.way.map(|way| way.name()),
            "figure": row.what,
            "unit": row.unit,
            "asked": row.asked,
            "got": row.got,
            "least": row.least,
            "most": row.most,
            "verdict": row.verdict().name().to_lowercase(),
        })
    };
    let link = |link: &Checked| {
        json!({
            "link": link.name,
            "passes": link.passes(),
            "wall_s": link.wall.as_secs_f64(),
            "rows": link.rows.iter().map(row).collect::<Vec<Value>>(),
        })
    };
    let value = json!({
        "schema": "longhand link check v1",
        "minutes": args.minutes,
        "seed": args.seed,
        "complete": whole,
        "links": all.iter().map(link).collect::<Vec<Value>>(),
    });
    format!("{value:#}\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]
mod tests {
    use longhand_link::Directions;
    use longhand_link::profile::{Jitter, Knot, Loss, Outage, OutageMode, Path, Rate, When};

    use super::*;

    const SEED: u64 = 1;
    const SPAN: Micros = Micros::from_secs(600);

    /// What `altered` asks for, held against what the link called `name` does: the rows that fail.
    fn failed(name: &str, altered: impl FnOnce(&mut Profile)) -> Vec<String> {
        let profile = Profile::by_name(name).unwrap();
        let mut other = *profile;
        altered(&mut other);
        let seen = sampled::Seen::of(&other, LinkModel::from(profile), SEED, SPAN);
        let dwells = apart::dwells(profile, SEED, SPAN);
        let rows = judged::rows(&other, &seen, &apart::lines(profile, SEED), &dwells);
        assert!(rows.len() > 10, "{}", rows.len());
        let failed = rows.into_iter().filter(|row| row.verdict() == Verdict::Fail);
        failed
            .map(|row| row.way.map_or("", |way| way.name()).to_owned() + " " + &row.what)
            .collect()
    }

    #[test]
    fn a_link_that_is_not_what_was_asked_fails_in_that_row_alone() {
        const LINK: &str = "beijing-sanya-5g-public";
        assert_eq!(failed(LINK, |_| ()), [""; 0]);
        let lossy = |p: &mut Profile| {
            p.up.loss = Loss::Bursts {
                good: Micros::from_millis(1_500),
                bad: Micros::from_millis(40),
                loss_in_bad: 0.9,
            };
        };
        assert_eq!(failed(LINK, lossy), ["up loss"]);
        let brief = |p: &mut Profile| {
            p.down.loss = Loss::Bursts {
                good: Micros::from_millis(750),
                bad: Micros::from_millis(20),
                loss_in_bad: 0.45,
            };
        };
        assert_eq!(failed(LINK, brief), ["down loss stays good for", "down loss stays bad for"]);
        let slow = |p: &mut Profile| {
            p.up = Path { rate: p.up.rate.map(|r| Rate { bits_per_s: 19_000_000, ..r }), ..p.up };
        };
        assert_eq!(failed(LINK, slow), ["up rate"]);
        let patient = |p: &mut Profile| {
            let queue_max = Micros::from_millis(151);
            p.up = Path { rate: p.up.rate.map(|r| Rate { queue_max, ..r }), ..p.up };
        };
        assert_eq!(failed(LINK, patient), ["up longest wait for the line"]);
        let slack = |p: &mut Profile| {
            let jitter = Jitter { correlation: Micros::from_millis(240), ..p.down.jitter };
            p.down = Path { jitter, ..p.down };
        };
        // The score a correlation time ago was kept for 120 ms.
        assert_eq!(failed(LINK, slack), ["down correlation time"]);
    }

    #[test]
    fn wrong_delays_bases_and_outages_are_seen() {
        const KNOTS: [Knot; 2] =
            [Knot { above: 0.5, at_ms: 9.5 }, Knot { above: 1e-6, at_ms: 250.0 }];
        let late = |p: &mut Profile| p.up.jitter = Jitter { target: &KNOTS, ..p.up.jitter };
        let rows = failed("beijing-sanya-5g-public", late);
        for row in ["up added delay p50", "up distance of added delay (KS)"] {
            assert!(rows.contains(&String::from(row)), "{rows:?}");
        }
        let far = |p: &mut Profile| p.down.base = Micros::from_micros(53);
        assert_eq!(failed("ideal", far), ["down packets astray"]);
        let near = |p: &mut Profile| p.down.base = Micros::from_micros(47);
        assert_eq!(failed("ideal", near), ["down least delay", "down greatest delay"]);
        const HANDOVER: Outage = Outage {
            name: "handover",
            when: When::PerHour(1_200.0),
            p50: Micros::from_secs(1),
            p99: Micros::from_secs(5),
            mode: OutageMode::HoldAndFlush,
            directions: Directions::Both,
            cell_shift: Micros::from_millis(5),
        };
        let hole = Profile::by_name("rural-5g-nsa-handover").unwrap().outages[1];
        let outages: &'static [Outage] = Box::leak(Box::new([HANDOVER, hole]));
        let rows = failed("rural-5g-nsa-handover", |p| p.outages = outages);
        let told = [" handover: how many", " handover: length p50", " handover: length p99"];
        assert_eq!(rows, told);
    }
}
