//! `longhand-console qualify` beside irtt, at the same time over the same link: slots missed,
//! quantiles against what the relay really did, on which way packets were lost, memory.
//!
//! ```text
//! cargo test --release -p longhand-sim --test beside_irtt -- --ignored --nocapture
//! ```
//!
//! Each tool has a relay of its own, for a relay serves one client; both play one link from one
//! seed, begun together, so both tools meet the same weather. The truth is each relay's log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    missing_docs,
    reason = "a test: a panic is how it fails"
)]

#[allow(dead_code, reason = "shared with processes.rs, which uses all of it")]
#[path = "processes/child.rs"]
mod child;
#[allow(dead_code, reason = "shared with processes.rs, which uses all of it")]
#[path = "processes/scene.rs"]
mod scene;

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use child::Process;
use scene::{CONSOLE, SIM, Scene};
use serde_json::Value;

const SHARES: [f64; 3] = [0.5, 0.01, 0.001];
/// The names that the report gives to the same shares.
const NAMES: [&str; 3] = ["p50", "p99", "p99.9"];

/// A process whose memory is looked at, ended when dropped.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn irtt(arguments: &[&str]) -> Foreign {
    started("irtt".as_ref(), arguments, Stdio::null())
}

fn started(program: &Path, arguments: &[&str], out: Stdio) -> Foreign {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    Foreign(command.spawn().unwrap())
}

fn is_installed() -> bool {
    let mut asked = Command::new("irtt");
    asked.arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What one tool said, or what really was.
#[derive(Debug, Default)]
struct Said {
    slots: u64,
    missed: u64,
    rtt_ms: [f64; 3],
    lost_up: u64,
    lost_down: u64,
    /// On a way that the tool does not know.
    lost: u64,
}

/// A relay's log: the true delays by when a packet was sent, and what was dropped.
fn truth(log: &str) -> Said {
    let text = std::fs::read_to_string(log).unwrap();
    let mut said = Said::default();
    let mut ways: [Vec<(u64, u64)>; 2] = [Vec::new(), Vec::new()];
    for row in text.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let up = cells[1] == "up";
        if cells[3] == "delivered" {
            let (sent, left): (u64, u64) = (cells[0].parse().unwrap(), cells[5].parse().unwrap());
            ways[usize::from(!up)].push((sent, left));
        } else if up {
            said.lost_up += 1;
        } else {
            said.lost_down += 1;
        }
    }
    let [mut up, mut down] = ways;
    up.sort_unstable();
    down.sort_unstable();
    // The link is a function of time: an answer meets what the next packet down met.
    let trips = up.iter().filter_map(|(sent, left)| {
        let (back, home) = down.get(down.partition_point(|(at, _)| at < left))?;
        (back - left < 2_000).then_some(left - sent + home - back)
    });
    let mut trips: Vec<u64> = trips.collect();
    said.rtt_ms = quantiles_ms(&mut trips);
    said
}

fn quantiles_ms(us: &mut [u64]) -> [f64; 3] {
    us.sort_unstable();
    let last = us.len().saturating_sub(1);
    let count = f64::from(u32::try_from(us.len()).unwrap());
    SHARES.map(|share| {
        let mut above = 0;
        while f64::from(above + 1) <= count * share {
            above += 1;
        }
        let value = us.get(last.saturating_sub(usize::try_from(above).unwrap()));
        value.map_or(f64::NAN, |us| f64::from(u32::try_from(*us).unwrap()) / 1e3)
    })
}

fn irtt_said(file: &str, slots: u64) -> Said {
    let told: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let trips = told["round_trips"].as_array().unwrap();
    let lost =
        |way: &str| u64::try_from(trips.iter().filter(|trip| trip["lost"] == way).count()).unwrap();
    let mut rtt: Vec<u64> =
        trips.iter().filter_map(|trip| Some(trip["delay"]["rtt"].as_u64()? / 1_000)).collect();
    Said {
        slots,
        missed: slots.saturating_sub(told["stats"]["packets_sent"].as_u64().unwrap()),
        rtt_ms: quantiles_ms(&mut rtt),
        lost_up: lost("true_up"),
        lost_down: lost("true_down"),
        lost: lost("true"),
    }
}

fn qualify_said(report: &Value) -> Said {
    let road = &report["quic"];
    let whole = |pointer: &str| road.pointer(pointer).and_then(Value::as_u64).unwrap();
    let quantile = |name: &str| {
        let all = road["rtt"]["quantiles"].as_array().unwrap();
        let found = all.iter().find(|quantile| quantile["name"] == name);
        found.and_then(|quantile| quantile["ms"].as_f64()).unwrap_or(f64::NAN)
    };
    Said {
        slots: whole("/own/slots"),
        missed: whole("/own/not_sent"),
        rtt_ms: NAMES.map(quantile),
        lost_up: whole("/up/loss/events"),
        lost_down: whole("/down/loss/events"),
        lost: whole("/lost_unknown/events"),
    }
}

/// The most memory that a process had so far, kB; a process that has ended has none.
fn peak_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Both tools over one link for so many seconds, and the table of what they said.
fn beside(link: &str, seconds: u64) {
    let scene = Scene::new();
    scene.issue("trust", "engineer", "ann");
    let agent = scene.agent(&[]);
    // Free a moment ago; nobody else on this machine is asked for one meanwhile.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _server = irtt(&["server", "-b", &free, "-i", "0", "-d", "0"]);
    let logs = [scene.path("qualify.csv"), scene.path("irtt.csv")];
    let relay = |to: &str, log: &str| {
        let asked = ["link", "run", "--listen", "127.0.0.1:0", "--to", to, "--link", link];
        let more = ["--seed", "1", "--json", "--log", log];
        let mut process = Process::start(SIM, &[&asked[..], &more[..]].concat());
        let at = process.word_after("relay ");
        (process, at)
    };
    let relays = [relay(&agent.addr, &logs[0]), relay(&free, &logs[1])];
    let (identity, reports) = (scene.path("trust/ann"), scene.path("report"));
    let lasts = format!("{seconds}s");
    let asked = ["qualify", "--robot", &relays[0].1, "--identity", &identity, "--noise", "0s"];
    let more = ["--for", &lasts, "--report", &reports, "--json"];
    let told = scene.path("qualify.json");
    let out = Stdio::from(std::fs::File::create(&told).unwrap());
    let mut ours = started(&child::program(CONSOLE), &[&asked[..], &more[..]].concat(), out);
    let file = scene.path("irtt.json");
    let asked = ["client", "-i", "1ms", "-d", &lasts, "-l", "250", "-Q", "-o", &file];
    let mut theirs = irtt(&[&asked[..], &[&relays[1].1]].concat());
    let mut peaks = [0_u64; 2];
    loop {
        // Reaped, a process has no memory that could be read.
        let now = [&mut ours, &mut theirs].map(|process| {
            let ended = process.0.try_wait().unwrap().is_some();
            if ended { None } else { peak_kb(process.0.id()).or(Some(0)) }
        });
        if now == [None, None] {
            break;
        }
        for (peak, now) in peaks.iter_mut().zip(now) {
            *peak = (*peak).max(now.unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = std::fs::read_to_string(&told).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told}"));
    let [valid_ours, valid_theirs] = relays.map(|(relay, _)| relay.stop().code);
    let slots = seconds * 1_000;
    let said = [qualify_said(&told), irtt_said(&file, slots)];
    let true_of = logs.map(|log| truth(&log));
    println!("\n{link}, {seconds} s at 1 kHz; relays ended {valid_ours:?} {valid_theirs:?}");
    println!(
        "                 slots   missed      p50      p99    p99.9   lost up   down  either     MB"
    );
    for (n, name) in ["qualify", "irtt"].into_iter().enumerate() {
        row(name, &said[n], Some(peaks[n]));
        row("  the relay", &true_of[n], None);
    }
}

fn row(name: &str, said: &Said, peak_kb: Option<u64>) {
    let counted = |n: u64| if peak_kb.is_some() { n.to_string() } else { String::from("-") };
    let memory = peak_kb.map_or_else(|| String::from("-"), |kb| (kb / 1_000).to_string());
    let [p50, p99, p999] = said.rtt_ms;
    println!(
        "{name:14} {:>7}  {:>7}  {p50:7.2}  {p99:7.2}  {p999:7.2}   {:>7} {:>6} {:>7} {memory:>6}",
        counted(said.slots),
        counted(said.missed),
        said.lost_up,
        said.lost_down,
        counted(said.lost),
    );
}

#[test]
#[ignore = "two minutes, needs irtt, and says something on a quiet machine alone"]
fn the_same_link_measured_by_both() {
    if !is_installed() {
        eprintln!("irtt is not installed: `apt-get install irtt`, or see github.com/heistp/irtt");
        return;
    }
    beside("beijing-sanya-5g-public", 60);
    beside("fail-safe-drill", 70);
}
