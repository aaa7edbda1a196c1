//! The page in a real browser: a trainee sits down at `longhand-sim train`, with Chromium, driven
//! by Playwright.
//!
//! Set `LONGHAND_TEST_PICTURES` to a folder to keep what the page looked like.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The driver of the browser, the pictures' reader, the judge of accessibility.
const PACKAGES: [&str; 3] = ["playwright", "pillow", "axe-playwright-python"];

fn must(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// A Python that has the packages.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-browser");
    let python = folder.join("bin/python");
    must(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    must(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
    python
}

/// `longhand-sim train`, ended with the test.
struct Seat {
    child: Child,
    url: String,
}

impl Seat {
    fn take(folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_longhand-sim"))
            .args(["train", "--json", "--for", "600", "--report"])
            .arg(folder)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.find_map(|line| Some(line.unwrap().strip_prefix("page: ")?.to_owned()));
        // Goes on reading, so that nothing waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.unwrap() }
    }

    /// Ctrl-C, and what it then says.
    fn rise(mut self) -> Value {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let said = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
#[ignore = "needs chromium, and packages from PyPI; .ci/run does it: cargo test -p longhand-sim \
            --test page browser -- --ignored"]
fn a_browser_shows_the_task_and_moves_the_instruments() {
    let browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let Some(browser) = browsers.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: there is no chromium here (Debian: apt install chromium)");
        return;
    };
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let pictures = std::env::var_os("LONGHAND_TEST_PICTURES").map(PathBuf::from);
    let pictures = pictures.unwrap_or_else(|| folder.path().to_owned());
    let seat = Seat::take(&folder.path().join("report"), &["--link", "metro-fibre"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/drive.py");
    let said = must(Command::new(python).args([script, &seat.url, browser]).arg(&pictures));
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert!(said["errors"].as_array().unwrap().is_empty(), "{said}");
    assert!(said["colours"].as_u64().unwrap() > 40, "the picture is blank: {said}");
    assert!(said["task"].as_str().unwrap().contains("Six rings"), "{said}");
    assert_eq!(said["wider_than_the_screen"], false, "{said}");
    assert_eq!(said["axe"], serde_json::json!([]), "serious faults for people who cannot see it");
    assert_eq!(said["plain"], true);

    let near = |name: &str, way: [f64; 3]| {
        for (axis, wanted) in way.into_iter().enumerate() {
            let found = said["ways_mm"][name][axis].as_f64().unwrap();
            // A machine that stalls carries the hand less far, never farther.
            let least = wanted * 0.6 - 0.2;
            assert!((least..=wanted + 0.3).contains(&found), "{name}: {said}");
        }
    };
    // 60 px of 0.3 mm at scale 0.5: 9 mm to the right; 40 px up: 6 mm.
    near("right", [9.0, 0.0, 0.0]);
    near("up", [0.0, 0.0, 6.0]);
    near("clutched", [0.0; 3]);
    assert!(said["next"].as_str().unwrap().contains("pedal"), "{said}");
    assert!(said["alarms"].as_u64().unwrap() > 0, "{said}");

    let report = seat.rise();
    let attempts = report["practice"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "begun anew: {report}");
    assert!(attempts[0]["score"]["left"]["path_mm"].as_f64().unwrap() > 14.0, "{report}");
    assert!(attempts[0]["score"]["clutches"].as_u64().unwrap() > 0, "{report}");
}
