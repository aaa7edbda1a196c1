//! `longhand-console qualify` beside irtt, at the same time over the same link: slots missed,
//! quantiles against what the relay really did, on which way packets were lost, memory.
//!
//! ```text
//! cargo test --release -p longhand-sim --test beside_irtt -- --ignored --nocapture
//! ```
//!
//! Both go through one relay at the same time, each to its own far end behind it, and share its
//! queue, jitter, loss and outages. The truth is the relay's log. A run in which the relay says
//! that this machine stalled says nothing and is done again, a few times.
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
use longhand_protocol::wire;
use scene::{CONSOLE, SIM, Scene};
use serde_json::Value;

const ANY: &str = "127.0.0.1:0";
/// Bytes of irtt's packets. Chosen: near those of a command.
const IRTT_BYTES: usize = 250;
/// Runs until one is of the link and not of this machine.
const ATTEMPTS: u32 = 5;
/// Programs, sockets and QUIC take their time, which the relay does not see: at p50, p99 and p99.9.
/// Chosen: three times what they took on a shared two-core VM.
const OWN_MS: [f64; 3] = [1.0, 3.0, 5.0];
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

/// One tool's packets in the relay's log.
struct Packets {
    /// The clients that are this tool: whoever sent to its door.
    clients: Vec<u64>,
    /// How many probes a packet up, or an answer down, of so many bytes holds.
    holds: fn(bool, usize) -> u64,
    /// Whether a packet with a wrong bit is as good as lost to this tool.
    corrupted_is_lost: bool,
}

/// The relay's log: the true delays by when a packet was sent, and what was dropped of the first
/// `probes` and of their answers. What comes behind the schedule only tells how it ended.
fn truth(log: &str, of: &Packets, probes: u64) -> Said {
    let text = std::fs::read_to_string(log).unwrap();
    let rows = text.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>());
    let mut rows: Vec<Vec<&str>> =
        rows.filter(|cells| of.clients.contains(&cells[7].parse().unwrap())).collect();
    rows.sort_by_key(|cells| cells[0].parse::<u64>().unwrap());
    // Of a packet that comes twice there are two rows.
    rows.dedup_by_key(|cells| (cells[0].to_owned(), cells[1].to_owned()));
    let mut said = Said::default();
    let mut ways: [Vec<(u64, u64)>; 2] = [Vec::new(), Vec::new()];
    let mut left = probes;
    for (way, trips) in ["up", "down"].into_iter().zip(&mut ways) {
        let mut came = 0;
        for cells in rows.iter().filter(|cells| cells[1] == way) {
            let holds = (of.holds)(way == "up", cells[2].parse().unwrap()).min(left);
            left -= holds;
            let is_lost =
                cells[3] != "delivered" && (cells[3] != "corrupted" || of.corrupted_is_lost);
            if is_lost {
                let lost = if way == "up" { &mut said.lost_up } else { &mut said.lost_down };
                *lost += holds;
            } else {
                came += holds;
                trips.push((cells[0].parse().unwrap(), cells[5].parse().unwrap()));
            }
        }
        // Each that came is answered once.
        left = came;
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

/// QUIC puts a probe into a packet of its own, or a few that waited; its header, tag and
/// acknowledgements add 24 to 90 bytes, and no other packet of these runs has such a length.
fn in_quic(up: bool, bytes: usize) -> u64 {
    // A datagram frame: the message, and three bytes for its kind and length.
    let each = if up { wire::PROBE_LEN } else { wire::PROBE_ANSWER_LEN } + 3;
    let fits = |n: &u64| {
        let all = usize::try_from(*n).unwrap() * each;
        (all + 24..=all + 90).contains(&bytes)
    };
    (1..=5).find(fits).unwrap_or(0)
}

/// What irtt was told to send (`-l`); its words at the beginning and the end are shorter.
fn in_irtt(_up: bool, bytes: usize) -> u64 {
    u64::from(bytes == IRTT_BYTES)
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
fn peak_kb_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What one run told: both tools, what really was of each, the most memory of each, kB.
struct Run {
    said: [Said; 2],
    truth: [Said; 2],
    peak_kb: [u64; 2],
    /// 0, or 3 where this machine stalled.
    relay: Option<i32>,
}

/// Both tools over one link for so many seconds.
fn beside(link: &str, seconds: u64) -> Run {
    let scene = Scene::new();
    scene.issue("trust", "engineer", "ann");
    let agent = scene.agent(&[]);
    // Free a moment ago; nobody else on this machine is asked for one meanwhile.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _server = irtt(&["server", "-b", &free, "-i", "0", "-d", "0"]);
    let log = scene.path("relay.csv");
    let doors = ["--listen", ANY, "--to", &agent.addr, "--listen", ANY, "--to", &free];
    let more = ["--link", link, "--seed", "1", "--json", "--log", &log];
    let mut relay = Process::start(SIM, &[&["link", "run"], &doors[..], &more[..]].concat());
    let at = [relay.word_after("relay "), relay.word_after("\nand ")];
    let (identity, reports) = (scene.path("trust/ann"), scene.path("report"));
    let lasts = format!("{seconds}s");
    let asked = ["qualify", "--robot", &at[0], "--identity", &identity, "--noise", "0s"];
    let more = ["--for", &lasts, "--report", &reports, "--json"];
    let told = scene.path("qualify.json");
    let out = Stdio::from(std::fs::File::create(&told).unwrap());
    let mut ours = started(&child::program(CONSOLE), &[&asked[..], &more[..]].concat(), out);
    let (file, bytes) = (scene.path("irtt.json"), IRTT_BYTES.to_string());
    let asked = ["client", "-i", "1ms", "-d", &lasts, "-l", &bytes, "-Q", "-o", &file];
    let mut theirs = irtt(&[&asked[..], &[&at[1]]].concat());
    let mut peak_kb = [0_u64; 2];
    loop {
        // Reaped, a process has no memory that could be read.
        let now = [&mut ours, &mut theirs].map(|process| {
            let ended = process.0.try_wait().unwrap().is_some();
            if ended { None } else { peak_kb_of(process.0.id()).or(Some(0)) }
        });
        if now == [None, None] {
            break;
        }
        for (peak, now) in peak_kb.iter_mut().zip(now) {
            *peak = (*peak).max(now.unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = std::fs::read_to_string(&told).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told}"));
    let ended = relay.stop();
    let clients = ended.json()["clients"].as_array().unwrap().clone();
    let of = |at: &String| {
        let at = clients.iter().filter(|client| client["at"] == **at);
        at.map(|client| client["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let quic = Packets { clients: of(&at[0]), holds: in_quic, corrupted_is_lost: true };
    let plain = Packets { clients: of(&at[1]), holds: in_irtt, corrupted_is_lost: false };
    let said = [qualify_said(&told), irtt_said(&file, seconds * 1_000)];
    let sent = said.each_ref().map(|said| said.slots - said.missed);
    let truth = [truth(&log, &quic, sent[0]), truth(&log, &plain, sent[1])];
    Run { said, truth, peak_kb, relay: ended.code }
}

fn print(link: &str, seconds: u64, run: &Run) {
    let stalled = if run.relay == Some(0) { "" } else { "; THIS MACHINE STALLED" };
    println!("\n{link}, {seconds} s at 1 kHz{stalled}");
    println!(
        "                 slots   missed      p50      p99    p99.9   lost up   down  either     MB"
    );
    for (n, name) in ["qualify", "irtt"].into_iter().enumerate() {
        row(name, &run.said[n], Some(run.peak_kb[n]));
        row("  the relay", &run.truth[n], None);
    }
}

/// Runs until one is valid, prints each, and holds what `qualify` said against the relay's log.
fn held_against_the_relay(link: &str, seconds: u64) -> Run {
    for _ in 0..ATTEMPTS {
        let run = beside(link, seconds);
        print(link, seconds, &run);
        if run.relay != Some(0) {
            continue;
        }
        let ([ours, _], [really, _]) = (&run.said, &run.truth);
        assert_eq!((ours.slots, ours.missed), (seconds * 1_000, 0), "{ours:?}");
        // Every loss, and its way, by the relay's own log.
        let told = (ours.lost_up, ours.lost_down, ours.lost);
        assert_eq!(told, (really.lost_up, really.lost_down, 0), "{ours:?} {really:?}");
        for ((said, is), own) in ours.rtt_ms.iter().zip(really.rtt_ms).zip(OWN_MS) {
            assert!((said - is).abs() <= 0.02 * is + own, "{ours:?} {really:?}");
        }
        assert!(run.peak_kb[0] < run.peak_kb[1], "{:?}", run.peak_kb);
        return run;
    }
    panic!("this machine stalled in each of {ATTEMPTS} attempts: nothing can be said");
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
#[ignore = "two minutes and more, needs irtt, and says something on a quiet machine alone"]
fn the_same_link_measured_by_both() {
    if !is_installed() {
        eprintln!("irtt is not installed: `apt-get install irtt`, or see github.com/heistp/irtt");
        return;
    }
    held_against_the_relay("beijing-sanya-5g-public", 60);
    let drill = held_against_the_relay("fail-safe-drill", 70);
    // Its black holes are longer than the 64 packets of which irtt knows the way.
    assert!(drill.said[1].lost > 0, "{:?}", drill.said[1]);
}
