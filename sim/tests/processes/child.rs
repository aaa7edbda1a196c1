//! A program that runs as a process of ours: what it says is kept, and it never outlives the test.
//!
//! Knows: cargo, pids, pipes, patience. Does not know: what the program is for.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Only so that a broken test ends: nothing is judged by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until there is something to see.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: waited {} s in vain", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One of our programs, built once for all tests, as this test was built.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // <target>[/<triple>]/<profile>/deps/processes-<hash>
    let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
    let profile = folder.file_name().unwrap().to_str().unwrap();
    let profile = if profile == "debug" { "dev" } else { profile };
    let above = folder.parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // The whole workspace is named, so that its crates have the features that `cargo test
    // --workspace` built them with, and are not built twice; a crate from elsewhere that some test
    // asks more features of is, the first time.
    cargo.args(["build", "--offline", "--workspace", "--profile", profile]);
    for program in ["longhand-robot-agent", "longhand-console", "longhand-sim"] {
        cargo.args(["--bin", program]);
    }
    if above.join("CACHEDIR.TAG").exists() {
        cargo.arg("--target-dir").arg(above);
    } else {
        cargo.arg("--target").arg(above.file_name().unwrap());
        cargo.arg("--target-dir").arg(above.parent().unwrap());
    }
    // What cargo tells a test is no setting of ours; build scripts would take it for one, and
    // build everything anew each time.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        let is_told = name.to_str().is_some_and(|name| told.iter().any(|p| name.starts_with(p)));
        if is_told || name == "OUT_DIR" || name == "CARGO_TARGET_TMPDIR" {
            cargo.env_remove(name);
        }
    }
    let done = cargo.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    folder
}

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Standard output as one JSON value, and nothing beside it.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why} in {self:?}"))
    }

    /// Standard error without the marks and folds of miette.
    pub fn words(&self) -> String {
        let words = self.err.split_whitespace().filter(|word| *word != "\u{2502}");
        words.collect::<Vec<_>>().join(" ")
    }
}

/// A process, killed and reaped when dropped.
pub struct Process {
    name: String,
    child: Child,
    out: Heard,
    err: Heard,
}

impl Process {
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program(name))
            .args(arguments)
            .env("LONGHAND_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Heard::listen(child.stdout.take().unwrap());
        let err = Heard::listen(child.stderr.take().unwrap());
        Self { name: name.to_owned(), child, out, err }
    }

    /// Runs it to its end.
    pub fn run(name: &str, arguments: &[&str]) -> Ended {
        Self::start(name, arguments).ended()
    }

    /// What it said on standard error so far.
    pub fn log(&self) -> String {
        self.err.text()
    }

    /// The word after `before` on standard error, once it was said.
    pub fn word_after(&mut self, before: &str) -> String {
        until(&format!("`{before}` from {}", self.name), || {
            let ended = self.child.try_wait().unwrap();
            let log = self.err.text();
            let word = log.split_once(before).and_then(|(_, after)| {
                let (word, _rest) = after.split_once(char::is_whitespace)?;
                Some(word.trim_end_matches(',').to_owned())
            });
            assert!(word.is_some() || ended.is_none(), "{} ended: {log}", self.name);
            word
        })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL: it has no time for a goodbye.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ctrl-C, then its end.
    pub fn stop(self) -> Ended {
        self.signal(Signal::INT);
        self.ended()
    }

    /// Its end, whenever it comes.
    pub fn ended(mut self) -> Ended {
        let what = format!("the end of {}", self.name);
        let status = until(&what, || self.child.try_wait().unwrap());
        Ended { code: status.code(), out: self.out.all(), err: self.err.all() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already: the pid is reaped and both calls know it.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.err.all());
        }
    }
}

/// One of its streams.
struct Heard {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Heard {
    fn listen(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                kept.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All of it; the process must have ended.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}
