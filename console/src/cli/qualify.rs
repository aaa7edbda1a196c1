//! `qualify`: is this link good enough? From the arguments to the report.
//!
//! Knows: what is asked for, what is printed, and which files are written. Does not know: how a
//! link is measured (`longhand_console::qualify`) or judged (`longhand_qualify`).

mod again;
mod check;
mod tell;
mod trend;

use self::again::{Again, LOADED, NOT_LOADED, keep, make, who_signs};
use self::check::{beside, verify};
use self::tell::tell;
use super::run::{Speaker, resolve};
use super::{ANSWER_NO, CANNOT_TELL, Done, FAILED, Failed, USAGE, answered, failed, wrong};
use clap::{Args, Subcommand, ValueEnum};
use longhand_console::qualify::{
    Done as Measurement, LOAD_MAX, LOAD_MAX_BPS, Live, Load, QualifyConfig, QualifyError,
    RoadReport, SESSION_SAMPLES, SILENCES_MAX, has_samples, measure, new_folder, noise_floor,
    silence_takes,
};
use longhand_protocol::message::RobotId;
use longhand_protocol::units::Micros;
use longhand_qualify::measure::load::Within;
use longhand_qualify::measure::{Given, measure as measured};
use longhand_qualify::number::{count, whole};
use longhand_qualify::report::run::{Ended, LoadedRun, Loading, RUN_SCHEMA, Run as Kept};
use longhand_qualify::report::{About, Certificate, Floor, Report};
use longhand_qualify::trace::{self, Origin};
use longhand_qualify::verdict::{Profile, RUN_MAX_S, SHIPPED, Verdict};
use longhand_quic::clock::wall_ns;
use longhand_quic::trust::PeerIdentity;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What measures, and writes reports.
const RELEASE: &str = concat!("longhand-console ", env!("CARGO_PKG_VERSION"));

/// Measures the link to a robot that nobody holds, inside the session that commands use, and says
/// whether it is good enough.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
    longhand-console qualify --robot or3.hospital:7400 --identity trust/ann --for 10m\n  \
    longhand-console qualify --robot or3.hospital:7400 --identity trust/ann --for 24h \
    --require xu-200 --distance-km 2200 --trace link.csv\n  \
    longhand-console qualify --robot or3.hospital:7400 --identity trust/ann --require ours.toml \
    --json\n  \
    longhand-console qualify verify longhand-report/2031-04-09-1200-UTC-qualify \
    --authority trust\n  \
    longhand-console qualify compare monday/report.json tuesday/report.json\n  \
    longhand-console qualify trend longhand-report --authority trust --out trend.html\n  \
    longhand-console qualify report longhand-report/2031-04-09-1200-UTC-qualify \
    --require ours.toml --out elsewhere\n\n\
    Exit codes: 0 PASS; 4 FAIL; 3 INSUFFICIENT EVIDENCE; 1 nothing was measured or written (robot \
    not reached, refused, disk full); 2 the command line is wrong."
)]
pub struct Qualify {
    #[command(subcommand)]
    also: Option<Also>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Also {
    /// Check the signatures of a report and of its page, and every file beside it that it names.
    /// Exit code: 0 they hold, 4 one does not or the page's was taken away, 3 the report's holds
    /// and the page, of an older schema, carries none of its own, 1 it cannot be read.
    Verify {
        /// A report, JSON or page; or a run's folder: its report.json, its report.html, and every
        /// file that they name must then be there.
        #[arg(value_name = "REPORT|FOLDER")]
        report: PathBuf,
        /// An identity's or authority's folder: the report must be signed under its authority.
        #[arg(long, value_name = "DIR")]
        authority: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Put two reports beside each other: what became better, what worse. A seal that does not
    /// hold, of the report or of a folder's page, is refused. Exit code: 0 nothing became worse, 4
    /// something did or a seal does not hold, 1 one of them cannot be read.
    Compare {
        /// The earlier report, A.
        #[arg(value_name = "A")]
        before: PathBuf,
        /// The later one, B.
        #[arg(value_name = "B")]
        after: PathBuf,
        /// An identity's or authority's folder: both must be signed under its authority.
        #[arg(long, value_name = "DIR")]
        authority: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Put all reports below a folder into their order: each measure's course over days, what
    /// changed when, and which runs lie outside a baseline. Exit code: 0 nothing became worse, 4
    /// something did or a report is not what was signed, 3 too few runs to tell, 1 no report can
    /// be read.
    Trend(trend::Course),
    /// Make a run's report again from its samples: after a crash, or against other requirements.
    /// In the run's folder, with --identity, it takes the place of one that nobody signed, which is
    /// kept under another name; a signed one whose seals hold stays. Exit codes as of a run.
    Report {
        /// The run's folder.
        folder: PathBuf,
        /// Who signs it, an engineer or a surgeon; left out, nobody does.
        #[arg(long, value_name = "DIR")]
        identity: Option<PathBuf>,
        /// Other requirements than the run's own: a name, or a TOML file.
        #[arg(long, value_name = "NAME|FILE")]
        require: Option<String>,
        /// Where it goes, with a copy of the samples, so that it can be verified there; left out,
        /// into the run's folder.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Print the report as one JSON object, and nothing else, on standard output.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// The robot's address. Nobody may hold the robot; it may be, and stays, Disabled.
    #[arg(long, value_name = "HOST:PORT", required = true)]
    robot: Option<String>,
    /// An engineer's or a surgeon's identity folder, as `trust issue` wrote it.
    #[arg(long, value_name = "DIR", required = true)]
    identity: Option<PathBuf>,
    /// How long: 30s, 10m, 24h, 90 (seconds).
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = run_time,
          allow_hyphen_values = true)]
    lasts: Micros,
    /// What is required: atis-laparoscopic, nankaku-100, xu-200, xu-300, 3gpp-local, geo, or a TOML
    /// file of your own; `console/qualify/profiles/README.md` says what stands in it, with an
    /// example.
    #[arg(long, value_name = "NAME|FILE", default_value = "atis-laparoscopic")]
    require: String,
    /// Probes a second, 50 to 2000, a whole number of microseconds apart. The watchdog is replayed
    /// at 1000 and 2000.
    #[arg(long, value_name = "HZ", default_value_t = 1_000, allow_negative_numbers = true,
          value_parser = probe_rate)]
    rate: u64,
    /// The robot's number, which its certificate must carry.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true,
          value_parser = whole_number::<0, { u64::MAX }>)]
    robot_id: u64,
    /// Length of the way between both ends: light needs its time, which narrows the one-way delay.
    #[arg(long, value_name = "KM", default_value_t = 0.0, value_parser = written_distance,
          allow_hyphen_values = true)]
    distance_km: f64,
    /// Declare that the wall clocks of both machines agree within so many microseconds (GPS, PTP).
    #[arg(long, value_name = "US", value_parser = whole_number::<0, 60_000_000>,
          allow_negative_numbers = true)]
    common_clock_us: Option<u64>,
    /// Where the robot answers probes on plain UDP; left out, at its own address, at the port that
    /// it names. Behind a relay or a port forwarding, say it.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "no_twin")]
    twin: Option<String>,
    /// Do not measure plain UDP beside the session.
    #[arg(long)]
    no_twin: bool,
    /// How long to measure this machine's own noise first: the same schedule over loopback, in a
    /// session and on plain UDP; 0s for not at all.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = written_time,
          allow_hyphen_values = true)]
    noise: Micros,
    /// Then measure again with so much other traffic on the same path: 5M, 20M, 500k (bit/s), up to
    /// 50M. Others on this link will feel it.
    #[arg(long, value_name = "RATE", value_parser = written_rate, allow_hyphen_values = true)]
    load: Option<u64>,
    /// What carries the load: the session itself, or plain UDP beside it, as video has a connection
    /// of its own; for that the robot must have been started with --probe-twin.
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = LoadIn::Session,
          requires = "load")]
    load_in: LoadIn,
    /// Which way to load.
    #[arg(long, value_name = "WAY", value_enum, default_value_t = Direction::Both,
          requires = "load")]
    load_direction: Direction,
    /// How long to load, up to 60s; it stops by itself.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = load_time,
          requires = "load", allow_hyphen_values = true)]
    load_for: Micros,
    /// Ask how long this console may be silent until an answer finds no way back: a NAT forgets.
    /// All silences at once. One that is not answered is asked once more, so --for must be twice as
    /// long as the longest, and 6 s more; without times, 10s to 5m as far as --for allows.
    #[arg(long, value_name = "TIMES", num_args = 0..=1, require_equals = true,
          value_delimiter = ',', value_parser = written_span, conflicts_with = "no_twin",
          default_missing_value = SILENCES)]
    idle_probe: Vec<Micros>,
    /// Also write what was measured as a link trace, which `longhand-sim` plays.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Where the report goes: a new folder in this one for each run.
    #[arg(long, value_name = "DIR", default_value = "longhand-report")]
    report: PathBuf,
    /// Do not ask for real-time priority.
    #[arg(long)]
    no_real_time: bool,
    /// Print the report as one JSON object, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
}

/// Silences that are asked for where nobody says which. Source: links.md section 8, V12: what NATs
/// are known to forget after.
const SILENCES: &str = "10s,20s,30s,45s,60s,90s,2m,3m,5m";

/// What carries the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoadIn {
    /// The session that commands use.
    Session,
    /// Plain UDP beside it.
    Udp,
}

/// Which way to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// To the robot.
    Up,
    /// To the surgeon.
    Down,
    /// Both ways.
    Both,
}

impl LoadIn {
    const fn within(self) -> Within {
        match self {
            Self::Session => Within::Session,
            Self::Udp => Within::Udp,
        }
    }
}

impl Qualify {
    /// Measures, or does what else was asked.
    pub fn run(self) -> Done {
        match self.also {
            Some(Also::Verify { report, authority, json }) => {
                verify(&report, authority.as_deref(), json)
            }
            Some(Also::Compare { before, after, authority, json }) => {
                answered(json, beside(&before, &after, authority.as_deref(), json))
            }
            Some(Also::Trend(course)) => answered(course.json, course.run()),
            Some(Also::Report { folder, identity, require, out, json }) => {
                let asked = Again { folder, identity, require, out, json };
                answered(json, asked.run())
            }
            None => {
                let json = self.run.json;
                answered(json, self.run.run())
            }
        }
    }
}

/// `20M`, `500k`, or bits a second.
fn written_rate(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix('M') {
        Some(number) => (number, 1e6),
        None => text.strip_suffix('k').map_or((text, 1.0), |number| (number, 1e3)),
    };
    let number: f64 = number.parse().map_err(|_| "write it as 20M or 500k".to_owned())?;
    let bps = count(number * unit);
    if !(100_000..=LOAD_MAX_BPS).contains(&bps) {
        return Err("from 100k to 50M bit/s, as 20M or 500k".to_owned());
    }
    Ok(bps)
}

/// Probes are due on whole microseconds, and none drifts from the rate that is reported.
fn probe_rate(text: &str) -> Result<u64, String> {
    let rate = whole_number::<50, 2_000>(text)?;
    if 1_000_000_u64.is_multiple_of(rate) {
        return Ok(rate);
    }
    let whole = |rate: &u64| 1_000_000_u64.is_multiple_of(*rate);
    let (below, above) = ((50..rate).rfind(whole), (rate..=2_000).find(whole));
    let near: Vec<String> = below.into_iter().chain(above).map(|rate| rate.to_string()).collect();
    Err(format!("probes must be a whole number of microseconds apart: {}", near.join(" or ")))
}

fn whole_number<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("a whole number from {LEAST} to {MOST} is wanted"))
}

/// A run: nothing can be said of less than a second.
fn run_time(text: &str) -> Result<Micros, String> {
    let time = written_time(text).ok().filter(|time| *time >= Micros::from_secs(1));
    time.ok_or_else(|| "a time from 1 s to 864 h is wanted, as 30s, 10m or 24h".to_owned())
}

/// A load: at least a second, and not longer than others on the link should bear.
fn load_time(text: &str) -> Result<Micros, String> {
    let time = written_time(text).ok().filter(|time| *time >= Micros::from_secs(1));
    time.filter(|time| *time <= LOAD_MAX).ok_or_else(|| "1 s to 60 s, written as 30s".to_owned())
}

/// Half the way around the world is as far as it gets.
fn written_distance(text: &str) -> Result<f64, String> {
    let km = text.parse().ok().filter(|km| (0.0..=20_040.0).contains(km));
    km.ok_or_else(|| "kilometres are a number from 0 to 20040".to_owned())
}

/// No time, or one of a run.
fn written_time(text: &str) -> Result<Micros, String> {
    let time = Micros::from_written(text)?;
    if time > Micros::from_secs_f64(RUN_MAX_S) {
        return Err("0 s to 864 h, written as 30s, 10m or 24h".to_owned());
    }
    Ok(time)
}

/// The same above 0.
fn written_span(text: &str) -> Result<Micros, String> {
    Micros::from_written_span(text)?;
    written_time(text)
}

/// The requirements of this name, or in this file.
fn required(name: &str) -> Result<Profile, Failed> {
    if let Some(profile) = Profile::shipped(name) {
        return Ok(profile);
    }
    let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    let advice = format!(
        "one of {}, or a TOML file; `console/qualify/profiles/README.md` explains each key",
        names.join(", ")
    );
    let text = std::fs::read_to_string(name)
        .map_err(|error| failed(USAGE, format!("--require {name}: {error}"), advice.clone()))?;
    Profile::parse(&text)
        .map_err(|error| failed(USAGE, format!("--require {name}: {error}"), advice))
}

impl Run {
    fn run(self) -> Done {
        let requirements = required(&self.require)?;
        let (config, robot) = self.config()?;
        if let Some(path) = &self.trace {
            // A path that cannot be written is found out now, not behind the run.
            let tried = File::options().append(true).create(true).open(path);
            drop(tried.map_err(bad_trace(path))?);
        }
        let told_to_end = Arc::new(AtomicBool::new(false));
        let ear = Arc::clone(&told_to_end);
        ctrlc::set_handler(move || ear.store(true, Ordering::Release)).map_err(wrong)?;
        let mut out = Speaker::new(self.json);
        let (folder, begun) = new_folder(&self.report, wall_ns() / 1_000).map_err(wrong)?;
        let go_on = || !told_to_end.load(Ordering::Acquire);
        let noise = self.noise_floor(&config, &folder, &mut out, &go_on)?;
        let mut line = Line::default();
        let look = |live: &Live| {
            line.show(&mut out, live, "measuring");
            go_on()
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut kept = self.kept(&requirements, &config, robot, (name, begun), noise);
        // What was asked lies beside the samples from now on: a run that breaks off can be
        // reported.
        keep(&folder, &kept)?;
        let done = match measure(&config, &folder, look) {
            Ok(done) => done,
            Err(error) => {
                // Where the disk is full it has no room for this either.
                kept.about.notes.push(format!("It ended with an error: {error}."));
                let _told = keep(&folder, &kept);
                return Err(without_a_report(&folder, wrong(error)));
            }
        };
        self.ended(&mut kept, &done);
        kept.loading = self.load_of(&done).map(|Load { bps, up, down, within }| {
            // Lies there before the load begins: its samples can be reported if it breaks off.
            Loading { within, bps, up, down }
        });
        keep(&folder, &kept)?;
        // What was measured is reported, whatever becomes of the load.
        let (loaded, not_loaded) = match self.loaded(&config, &folder, &done, &mut out, &go_on) {
            Ok(loaded) => (loaded, None),
            Err(failed) => (None, Some(failed.report.to_string())),
        };
        self.ended_load(&mut kept, &done, loaded.as_ref(), not_loaded);
        keep(&folder, &kept)?;
        out.finish();
        out.line("reckoning");
        let made = make(&folder, &kept).and_then(|made| {
            let json = made.write(&folder, Some(&config.credentials))?;
            Ok((made, json))
        });
        let (made, json) = made.map_err(|failed| without_a_report(&folder, failed))?;
        if let Some(path) = &self.trace {
            let given = kept.ended.as_ref().map(|ended| &ended.session);
            write_trace(path, &done.session, given.unwrap_or(&done.session.given), &made.report)?;
            out.line(&format!("wrote {}, the link as a trace", path.display()));
        }
        if self.json {
            println!("{json}");
        } else {
            tell(&made.report, &mut out);
        }
        out.line(&format!("wrote {}", folder.join("report.html").display()));
        Ok(code(made.report.verdict))
    }

    /// The load that is to be put on behind the idle run, if one can be.
    fn load_of(&self, idle: &Measurement) -> Option<Load> {
        let can = self.load_in == LoadIn::Session || idle.twin.is_some();
        let bps = self.load.filter(|_| can && !idle.cut_short)?;
        let (up, down) =
            (self.load_direction != Direction::Down, self.load_direction != Direction::Up);
        Some(Load { bps, up, down, within: self.load_in.within() })
    }

    /// Measures again under load, into a folder within the first one's.
    fn loaded(
        &self,
        config: &QualifyConfig,
        folder: &Path,
        idle: &Measurement,
        out: &mut Speaker,
        go_on: &impl Fn() -> bool,
    ) -> Result<Option<Measurement>, Failed> {
        let Some(load) = self.load_of(idle) else { return Ok(None) };
        let config = QualifyConfig { load: Some(load), lasts: self.load_for, ..config.clone() };
        let folder = folder.join(LOADED);
        std::fs::create_dir(&folder).map_err(wrong)?;
        let mut line = Line::default();
        let look = |live: &Live| {
            line.show(out, live, "loading");
            go_on()
        };
        measure(&config, &folder, look).map(Some).map_err(wrong)
    }

    /// What is known of a run before it begins.
    fn kept(
        &self,
        requirements: &Profile,
        config: &QualifyConfig,
        robot: String,
        (run, begun): (String, String),
        (notes, noise): Noise,
    ) -> Kept {
        let (name, sha256) = config.credentials.hospital();
        Kept {
            schema: RUN_SCHEMA.to_owned(),
            about: About {
                run,
                robot,
                robot_number: self.robot_id,
                by: config.credentials.who().to_string(),
                by_certificate: Some(certificate(config.credentials.who())),
                authority: Some(Certificate { name, sha256 }),
                begun,
                release: RELEASE.to_owned(),
                rate_hz: self.rate,
                distance_km: self.distance_km,
                common_clock_us: self.common_clock_us,
                notes,
                ..About::default()
            },
            requirements: requirements.clone(),
            noise: noise.map(|(_, udp)| udp),
            noise_quic: noise.map(|(session, _)| session),
            loading: None,
            ended: None,
        }
    }

    /// What is known of it at its end.
    fn ended(&self, kept: &mut Kept, done: &Measurement) {
        let about = &mut kept.about;
        (about.cut_short, about.sessions) = (done.cut_short, done.sessions);
        (about.real_time, about.stolen_ms) = (done.granted.clone(), done.stolen_ms);
        about.robot_certificate = done.robot.as_ref().map(certificate);
        about.notes.extend(done.notes.iter().cloned());
        about.notes.extend(self.silences().ok().and_then(|(_, unasked)| unasked));
        let missed = done.session.missed_events;
        if missed > 0 {
            let words =
                "This machine was too slow for its ledger, and some fates are wrong: events";
            about.notes.push(format!("{words} {missed}."));
        }
        kept.ended = Some(Ended {
            session: self.given(&done.session),
            twin: done.twin.as_ref().map(|twin| self.given(twin)),
            path: done.path.clone(),
            load: None,
        });
    }

    /// What is known of the loaded run, or why there is none.
    fn ended_load(
        &self,
        kept: &mut Kept,
        idle: &Measurement,
        loaded: Option<&Measurement>,
        not_loaded: Option<String>,
    ) {
        let load = loaded.and_then(|loaded| {
            let (up, down) = loaded.put?;
            let twin = loaded.twin.as_ref().map(|twin| self.given(twin));
            let session = self.given(&loaded.session);
            Some(LoadedRun { within: self.load_in.within(), up, down, session, twin })
        });
        if loaded.is_some_and(|loaded| loaded.cut_short) {
            kept.about.cut_short = true;
            kept.about.notes.push("The run under load was interrupted.".to_owned());
        }
        if self.load.is_some() && load.is_none() {
            let why = not_loaded.unwrap_or_else(|| {
                let why = if idle.cut_short {
                    "the run was interrupted before"
                } else {
                    "there is no plain UDP beside it (--load-in session needs none)"
                };
                why.to_owned()
            });
            kept.about.notes.push(format!("{NOT_LOADED}: {why}."));
        }
        kept.loading = None;
        if let Some(ended) = &mut kept.ended {
            ended.load = load;
        }
    }

    fn given(&self, road: &RoadReport) -> Given {
        Given {
            distance_km: self.distance_km,
            common_clock_us: self.common_clock_us,
            ..road.given.clone()
        }
    }

    fn config(&self) -> Result<(QualifyConfig, String), Failed> {
        let robot = self.robot.clone().unwrap_or_default();
        let identity = self.identity.clone().unwrap_or_default();
        let credentials = who_signs(&identity)?;
        let twin = self.twin.as_deref().map(|twin| resolve("--twin", twin)).transpose()?;
        let config = QualifyConfig {
            target: resolve("--robot", &robot)?,
            robot: RobotId::new(self.robot_id),
            credentials,
            period: Micros::from_micros(1_000_000 / self.rate.max(1)),
            lasts: self.lasts,
            twin,
            with_twin: !self.no_twin,
            real_time: !self.no_real_time,
            silences: self.silences()?.0,
            load: None,
            with_path: true,
        };
        Ok((config, robot))
    }

    /// The silences that the run is long enough for; and where nobody said which, a word of those
    /// that it is not.
    ///
    /// Errors: one that was asked for is too long, or they are too many.
    fn silences(&self) -> Result<(Vec<Micros>, Option<String>), Failed> {
        let many = self.idle_probe.len();
        if many > SILENCES_MAX {
            let what = format!("--idle-probe: {many} silences at once are too many");
            return Err(failed(USAGE, what, format!("ask for {SILENCES_MAX} at most")));
        }
        let (fit, too_long): (Vec<Micros>, Vec<Micros>) =
            self.idle_probe.iter().partition(|silence| silence_takes(**silence) <= self.lasts);
        let Some(longest) = too_long.iter().max() else { return Ok((fit, None)) };
        let seconds = |span: Micros| span.as_micros().div_ceil(1_000_000);
        let needs = format!("--for {}s", seconds(silence_takes(*longest)));
        let all: Vec<String> = too_long.iter().map(|s| format!("{}s", seconds(*s))).collect();
        let all = all.join(", ");
        let unsaid = SILENCES.split(',').map(written_time).collect::<Result<Vec<_>, _>>();
        if unsaid.is_ok_and(|unsaid| unsaid == self.idle_probe) {
            let words = "was not asked for silence of";
            return Ok((fit, Some(format!("The path {words} {all}: that takes {needs}."))));
        }
        let what = format!("--idle-probe {all}: this run is too short to tell");
        let advice = format!("a silence that is not answered is asked twice: say {needs}");
        Err(failed(USAGE, what, advice))
    }

    /// What this machine itself adds, in a session and on plain UDP; or in words why it is not
    /// known, which keeps nothing else from being measured.
    ///
    /// Errors: it was interrupted.
    fn noise_floor(
        &self,
        config: &QualifyConfig,
        folder: &Path,
        out: &mut Speaker,
        go_on: &impl Fn() -> bool,
    ) -> Result<Noise, Failed> {
        if self.noise == Micros::ZERO {
            return Ok((Vec::new(), None));
        }
        let mut line = Line::default();
        let look = |live: &Live| {
            line.show(out, live, "noise floor");
            go_on()
        };
        let folder = folder.join("noise");
        let done = noise_floor(config, self.noise, &folder, look);
        let floor = |road: &RoadReport| Floor::of(&measured(&road.samples, &road.given));
        let floors = done.map(|done| (floor(&done.session), done.twin.as_ref().map(floor)));
        // Only its figures are kept.
        let _gone = std::fs::remove_dir_all(&folder);
        let (session, udp) = match floors {
            Ok((session, udp)) => (session, udp.unwrap_or_default()),
            Err(error) => {
                let note = no_floor(error, go_on())?;
                out.line(&note);
                return Ok((vec![note], None));
            }
        };
        out.line(&floor_words("in a session", &session));
        out.line(&floor_words("on plain UDP", &udp));
        Ok((Vec::new(), Some((session, udp))))
    }
}

/// What is to be said of the noise floor, and where it was measured, that of a session and that of
/// plain UDP.
type Noise = (Vec<String>, Option<(Floor, Floor)>);

fn certificate(of: &PeerIdentity) -> Certificate {
    Certificate { name: of.name.clone(), sha256: of.fingerprint.clone() }
}

/// Why there is no noise floor, for the report. Errors: whoever asked for the run has ended it.
fn no_floor(error: QualifyError, goes_on: bool) -> Result<String, Failed> {
    if !goes_on {
        return Err(wrong(error));
    }
    Ok(format!("The noise floor of this machine was not measured: {error}."))
}

fn floor_words(road: &str, floor: &Floor) -> String {
    let (p50, p99, p999, most) = floor.rtt_ms;
    format!(
        "Noise floor of this machine, round trip over loopback {road}: p50 {p50:.3} ms, p99 \
         {p99:.3} ms, p99.9 {p999:.3} ms, most {most:.3} ms; {:.2} % late, {:.2} % not sent.",
        floor.late * 100.0,
        floor.not_sent * 100.0
    )
}

/// The live line, not more often than it can be read.
#[derive(Default)]
struct Line {
    looks: u32,
    is_explained: bool,
}

impl Line {
    fn show(&mut self, out: &mut Speaker, live: &Live, what: &str) {
        self.looks = self.looks.wrapping_add(1);
        // Looks come every 20 ms: ten lines a second on a terminal, one in ten seconds elsewhere.
        let every = if out.is_terminal { 5 } else { 500 };
        if !self.looks.is_multiple_of(every) {
            return;
        }
        if !live.roads.is_empty() && !self.is_explained {
            self.is_explained = true;
            out.line(LIVE_WORDS);
        }
        let text = live_line(live, what);
        if out.is_terminal { out.renew(&text) } else { out.line(&text) }
    }
}

/// What the live line's figures are.
const LIVE_WORDS: &str = "in the session that commands use, and on plain UDP beside it: the round \
                          trip on average, of late at most (max); probes not yet answered (open)";

/// The live line. Within the 110 columns that [`Speaker::renew`] leaves it.
fn live_line(live: &Live, what: &str) -> String {
    if live.roads.is_empty() {
        return format!("{what}: {}", live.words);
    }
    let tenths = usize::try_from(whole(live.done * 10.0)).unwrap_or(0).min(10);
    let bar = format!("{}{}", "#".repeat(tenths), ".".repeat(10_usize.saturating_sub(tenths)));
    let mut text = format!("{what} [{bar}] {:.0} %", live.done * 100.0);
    for (name, road) in ["session", "UDP"].iter().zip(&live.roads) {
        let open = road.sent.saturating_sub(road.back);
        text.push_str(&format!(
            "  {name} {:.1} ms, max {:.1}, {open} open",
            road.rtt_mean_ms, road.rtt_max_ms
        ));
    }
    text
}

/// A measurement broke off. Where nothing was measured no folder should say that something was;
/// what was measured stays.
fn without_a_report(folder: &Path, failed: Failed) -> Failed {
    let samples = folder.join(SESSION_SAMPLES);
    if has_samples(&samples) {
        let folder = folder.display();
        eprintln!(
            "what was measured until then is kept in {folder}; `longhand-console qualify report \
             {folder}` makes its report"
        );
    } else {
        let _empty = std::fs::remove_dir_all(folder);
    }
    failed
}

fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Pass => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::from(ANSWER_NO),
        Verdict::Insufficient => ExitCode::from(CANNOT_TELL),
    }
}

fn write_trace(
    path: &Path,
    session: &RoadReport,
    given: &Given,
    report: &Report,
) -> Result<(), Failed> {
    let mut file = BufWriter::new(File::create(path).map_err(bad_trace(path))?);
    let mut result = Ok(());
    let source =
        format!("longhand-console qualify, {}, {}", report.about.robot, report.about.begun);
    let samples = &session.samples;
    let from = Origin {
        probe: "quic",
        source: &source,
        sha256: samples.sha256(),
        notes: "measured by longhand-console qualify; the shortest round trip is shared in halves",
    };
    trace::write(samples, given, &report.quic, &from, &mut |line| {
        if result.is_ok() {
            result = file.write_all(line.as_bytes());
        }
    });
    samples.intact().map_err(wrong)?;
    result.and_then(|()| file.flush()).map_err(bad_trace(path))
}

fn bad_trace(path: &Path) -> impl Fn(std::io::Error) -> Failed + '_ {
    move |error| {
        let what = format!("--trace {}: {error}", path.display());
        failed(FAILED, what, "name a file that can be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_console::qualify::LiveRoad;

    #[test]
    fn the_live_line_says_what_its_figures_are_and_keeps_within_a_terminal() {
        let road =
            LiveRoad { sent: 86_400_000, back: 86_399_000, rtt_mean_ms: 620.04, rtt_max_ms: 999.9 };
        let live = Live { done: 0.501, roads: vec![road, road], ..Live::default() };
        let line = live_line(&live, "noise floor");
        assert_eq!(
            line,
            "noise floor [#####.....] 50 %  session 620.0 ms, max 999.9, 1000 open  UDP 620.0 ms, \
             max 999.9, 1000 open"
        );
        assert!(line.chars().count() <= 110, "{line}");
        let waiting = Live { words: "connecting".to_owned(), ..Live::default() };
        assert_eq!(live_line(&waiting, "measuring"), "measuring: connecting");
    }

    #[test]
    fn without_a_noise_floor_the_run_goes_on_and_says_so_unless_it_was_ended() {
        let late = || QualifyError::Refused("the session is not ready".to_owned());
        let note = no_floor(late(), true).ok();
        assert!(
            note.is_some_and(|note| note.contains("not measured: cannot measure: the session"))
        );
        assert!(no_floor(late(), false).is_err());
    }
}
