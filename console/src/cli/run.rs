//! `run`: one console, from the arguments to the report.
//!
//! Knows: what is printed where, and when it ends. Does not know: how any of it comes about.

use super::{Done, FAILED, Failed, USAGE, failed, wrong};
use clap::Args;
use longhand_console::input::script::{Script, ScriptError};
use longhand_console::status::check_report_folder;
use longhand_console::{
    Console, ConsoleConfig, ConsoleReport, ConsoleStatus, HandChoice, PagePort, Practice,
    written_scale,
};
use longhand_protocol::message::RobotId;
use longhand_protocol::units::Micros;
use longhand_quic::clock::console_now;
use longhand_quic::trust::Credentials;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it looks whether it is to end, and renews the line on a terminal.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a line is printed where there is no terminal.
const LINE_EVERY: Micros = Micros::from_secs(5);

/// Connects to a robot and moves it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    longhand-console run --robot or3.hospital:7400 --identity trust/dr-lee\n  \
    longhand-console run --robot 127.0.0.1:7400 --identity trust/dr-lee --input script my.csv \
    --no-page\n  \
    longhand-console run --robot 127.0.0.1:7400 --identity trust/dr-lee --input peg-transfer \
    --for 30 --json")]
pub struct Run {
    /// The robot's address.
    #[arg(long, value_name = "HOST:PORT")]
    robot: String,
    /// This console's identity folder, as `trust issue` wrote it.
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
    /// The robot's number, which its certificate must carry.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    robot_id: u64,
    /// What moves the hands: `page`, `peg-transfer`, `tremor`, or `script FILE`.
    #[arg(long, value_names = ["INPUT", "FILE"], num_args = 1..=2, default_value = "page")]
    input: Vec<String>,
    /// Tip motion per hand motion, 0.05 to 1.
    #[arg(long, default_value_t = longhand_console::DEFAULT_SCALE, value_parser = written_scale,
          allow_negative_numbers = true)]
    scale: f64,
    /// The page's port on 127.0.0.1; left out, any free one.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "no_page")]
    page_port: u16,
    /// Serve no page.
    #[arg(long)]
    no_page: bool,
    /// End after this time, 90 (seconds), 30s, 10m, 24h; left out, at Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = Micros::from_written_span,
          allow_negative_numbers = true)]
    run_for: Option<Micros>,
    /// Write one qlog file per connection into this folder.
    #[arg(long, value_name = "DIR")]
    qlog: Option<PathBuf>,
    /// Print one JSON object at the end, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
    /// Where the histograms go, as .hlog files: a new folder in this one for each run.
    #[arg(long, value_name = "DIR", default_value = "longhand-report")]
    report: PathBuf,
    /// Folder for the black box, a new file each time; `record` in the --report folder if not
    /// given. It is signed with the identity, so the surgeon's certificate stands in it.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Keep no record.
    #[arg(long, conflicts_with = "record")]
    no_record: bool,
}

impl Run {
    /// Runs until it is told to end, then reports.
    pub fn run(self) -> Done {
        let console = Console::start(self.config()?).map_err(wrong)?;
        let mut out = Speaker::new(self.json);
        if let Some(url) = console.page_url() {
            out.line(&format!("Page: {url}"));
        }
        let told_to_end = Arc::new(AtomicBool::new(false));
        let ear = Arc::clone(&told_to_end);
        ctrlc::set_handler(move || ear.store(true, Ordering::Release)).map_err(wrong)?;
        let last = self.watch(&console, &mut out, &told_to_end);
        let report = console.stop();
        self.tell(&report, &last, &mut out)
    }

    fn config(&self) -> Result<ConsoleConfig, Failed> {
        let credentials = Credentials::load(&self.identity).map_err(wrong)?;
        if let Some(folder) = &self.qlog {
            std::fs::create_dir_all(folder).map_err(|error| {
                let what = format!("cannot make {} for qlog: {error}", folder.display());
                failed(FAILED, what, "name a folder that may be written, or leave out --qlog")
            })?;
        }
        check_report_folder(&self.report).map_err(wrong)?;
        Ok(ConsoleConfig {
            target: resolve("--robot", &self.robot)?,
            robot: RobotId::new(self.robot_id),
            credentials,
            hand: self.hand()?,
            page: (!self.no_page).then_some(PagePort(self.page_port)),
            scale: self.scale,
            link_name: self.robot.clone(),
            qlog: self.qlog.clone(),
            realtime: true,
            same_clock: false,
            practice: Practice::No,
            record: (!self.no_record)
                .then(|| self.record.clone().unwrap_or_else(|| self.report.join("record"))),
        })
    }

    fn hand(&self) -> Result<HandChoice, Failed> {
        let words: Vec<&str> = self.input.iter().map(String::as_str).collect();
        let name = match words.as_slice() {
            ["page"] if self.no_page => {
                let what = "--input page, but no page is served";
                return Err(failed(USAGE, what, "leave out --no-page, or use a script"));
            }
            ["page"] => return Ok(HandChoice::Page),
            ["script", file] => file,
            ["script"] => {
                return Err(failed(USAGE, "--input script needs a file", "name it: script FILE"));
            }
            [name] => name,
            more => {
                let what = format!("--input {} is not known", more.join(" "));
                return Err(failed(USAGE, what, "page, peg-transfer, tremor, or script FILE"));
            }
        };
        Script::load(name).map(HandChoice::Script).map_err(|error| match error {
            // A name that is none is a wrong command line; a script that is wrong is not.
            ScriptError::NotFound { .. } => Failed { code: USAGE, ..wrong(error) },
            ScriptError::Header { .. } | ScriptError::Row { .. } => wrong(error),
        })
    }

    /// Shows the status until it is time to end. Gives the last status.
    fn watch(&self, console: &Console, out: &mut Speaker, end: &AtomicBool) -> ConsoleStatus {
        let begun = console_now();
        let mut next_line = begun;
        loop {
            let status = console.status();
            if out.is_terminal {
                out.renew(&status_line(&status));
            } else if console_now() >= next_line && status.ticks.0 > 0 {
                out.line(&status_line(&status));
                next_line = console_now().after(LINE_EVERY);
            }
            let is_hopeless = status.sessions == 0 && status.link.refused_for_good;
            let is_over = self.run_for.is_some_and(|limit| console_now().since(begun) >= limit);
            if is_hopeless || is_over || end.load(Ordering::Acquire) {
                return status;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn tell(&self, report: &ConsoleReport, last: &ConsoleStatus, out: &mut Speaker) -> Done {
        out.finish();
        if !self.json {
            out.line(&report.to_string());
        }
        let written =
            if report.was_connected() { report.write_hlogs(&self.report) } else { Ok(Vec::new()) };
        let files = written.as_deref().unwrap_or_default();
        if self.json {
            // Printed whatever became of the files: a report must not be lost with them.
            let mut object = serde_json::to_value(report).unwrap_or_default();
            if let Some(object) = object.as_object_mut() {
                let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
                object.insert("files".to_owned(), files.into());
            }
            println!("{object}");
        }
        for file in files {
            out.line(&format!("wrote {}", file.display()));
        }
        written.map_err(wrong)?;
        if report.was_connected() {
            return Ok(ExitCode::SUCCESS);
        }
        let why = last.link.refused.as_ref().unwrap_or(&last.link.words);
        let what = format!("never in session with the robot at {}: {why}", self.robot);
        let advice = "see `longhand-console doctor --identity DIR`, and whether the robot runs";
        Err(failed(FAILED, what, advice))
    }
}

/// The first address of `HOST:PORT`, given by this option.
///
/// Errors: it is not of that form, a wrong command line; or no machine is called so.
pub fn resolve(option: &str, place: &str) -> Result<SocketAddr, Failed> {
    let advice = "write it as HOST:PORT, as in or3.hospital:7400 or 10.0.0.3:7400";
    let bad = |code: u8, why: &str| failed(code, format!("{option} {place}: {why}"), advice);
    // What is no HOST:PORT is found out before any name is looked up.
    let is_form = |error: &std::io::Error| error.kind() == ErrorKind::InvalidInput;
    let mut found = place.to_socket_addrs().map_err(|error| {
        if is_form(&error) {
            bad(USAGE, "this is no HOST:PORT")
        } else {
            bad(FAILED, &error.to_string())
        }
    })?;
    found.next().ok_or_else(|| bad(FAILED, "no such host"))
}

/// Everything that matters, in one line.
fn status_line(status: &ConsoleStatus) -> String {
    let ms = |span: Option<Micros>| {
        span.map_or_else(|| "-".to_owned(), |span| format!("{:.0}", span.as_millis_f64()))
    };
    let Some(stage) = status.stage.filter(|_| status.state_age.is_some()) else {
        let words = status.link.refused.as_ref().unwrap_or(&status.link.words);
        return format!("no session  {words}");
    };
    let advisory = status.advisory.map_or("", |advisory| advisory.text());
    let next = status.advisory.map_or("", |advisory| advisory.do_next());
    if !next.is_empty() {
        // What to do matters more than figures, and the line is cut at its end.
        let age = ms(status.loop_age);
        return format!("{:<8} loop age {age} ms  {advisory}: {next}", stage.name());
    }
    let loss = status.link.loss_percent.map_or_else(|| "-".to_owned(), |l| format!("{l:.2}"));
    format!(
        "{:<8} {:<12} loop age {} ms  network rtt {} ms  playout {} ms  loss {loss} %  stops {}  \
         {advisory}",
        stage.name(),
        status.engagement.name(),
        ms(status.loop_age),
        ms(status.link.rtt),
        ms(status.playout_delay),
        status.counters.safe_stops,
    )
}

/// Where words for people go: standard output, or standard error beside `--json`.
pub struct Speaker {
    to_stderr: bool,
    /// Whether a line can be renewed.
    pub is_terminal: bool,
    has_line: bool,
}

impl Speaker {
    /// Standard error where JSON has standard output.
    pub fn new(json: bool) -> Self {
        let is_terminal =
            if json { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        Self { to_stderr: json, is_terminal, has_line: false }
    }

    fn write(&self, text: &str) {
        // A closed pipe must not end a console that moves a robot.
        let _closed = if self.to_stderr {
            std::io::stderr().write_all(text.as_bytes())
        } else {
            let mut out = std::io::stdout();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        self.finish();
        self.write(&format!("{text}\n"));
    }

    /// Writes over the line before. Cut, so that it never wraps: 110 columns.
    pub fn renew(&mut self, text: &str) {
        let cut: String = text.chars().take(110).collect();
        self.write(&format!("\r\x1b[2K{cut}"));
        self.has_line = true;
    }

    /// Ends the line that is renewed.
    pub fn finish(&mut self) {
        if self.has_line {
            self.has_line = false;
            self.write("\n");
        }
    }
}
