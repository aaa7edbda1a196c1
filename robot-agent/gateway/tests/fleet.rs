//! Many robots, and greedy readers: measured, and printed.
//!
//! Runs only when asked for, and says something only on a quiet machine with `--release`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::{Ends, Scene, begin, free_port, gateway};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zenoh::qos::{CongestionControl, Priority};
use zenoh::{Config, Session};

const BASE: &str = "longhand/general/or3/davinci";
const KEYS: [&str; 4] = ["state", "link", "stage", "alarms"];

async fn client(port: u16) -> Session {
    let endpoint = format!("tcp/127.0.0.1:{port}");
    let settings = json!({
        "mode": "client", "connect": { "endpoints": [endpoint], "timeout_ms": 10_000 },
        "scouting": { "multicast": { "enabled": false } },
    });
    zenoh::open(Config::from_json5(&settings.to_string()).unwrap()).await.unwrap()
}

fn router(port: u16) -> Ends {
    gateway(&["router", "--listen", &format!("tcp/127.0.0.1:{port}")], "routing on")
}

fn run(scene: &Scene, more: &[&str]) -> Ends {
    run_at(&scene.path("tap"), more)
}

fn run_at(tap: &str, more: &[&str]) -> Ends {
    let all = ["run", "--tap", tap, "--hospital", "general", "--room", "or3", "--robot", "davinci"];
    gateway(&[&all[..], more].concat(), "is shown below")
}

/// Processor time that a process has used. Source: proc(5), `utime` and `stime`, in 10 ms.
fn used(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = behind[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// One of each message, as a real gateway says it.
async fn messages(scene: &Scene, port: u16) -> Vec<Vec<u8>> {
    let agent = scene.robot();
    let _gateway = run(scene, &["--mode", "client", "--connect", &format!("tcp/127.0.0.1:{port}")]);
    let session = client(port).await;
    let mut all = Vec::new();
    for key in KEYS {
        let heard = session.declare_subscriber(format!("{BASE}/{key}")).await.unwrap();
        let sample = heard.recv_async().await.unwrap();
        all.push(sample.payload().to_bytes().into_owned());
    }
    agent.stop().unwrap();
    all
}

/// Publishes `robots` of them, a hundred times a second each, until `until`; says how many messages
/// were handed over.
async fn publish(session: Session, robots: Vec<String>, said: Vec<Vec<u8>>, until: Instant) -> u64 {
    let mut publishers = Vec::new();
    for robot in robots {
        for (key, message) in KEYS.into_iter().zip(&said) {
            let publisher = session
                .declare_publisher(format!("longhand/fleet/{robot}/davinci/{key}"))
                .congestion_control(CongestionControl::Drop)
                .priority(Priority::DataLow);
            publishers.push((publisher.await.unwrap(), message.clone()));
        }
    }
    let mut due = tokio::time::interval(Duration::from_millis(10));
    let mut count = 0;
    while Instant::now() < until {
        due.tick().await;
        for (publisher, message) in &publishers {
            publisher.put(message.clone()).await.unwrap();
            count += 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a minute: cargo test --release -p longhand-gateway --test fleet two_hundred -- \
            --ignored --nocapture"]
async fn two_hundred_robots_through_one_router() {
    let scene = Scene::new();
    let port = free_port();
    let router = router(port);
    let said = messages(&scene, port).await;
    let bytes: usize = said.iter().map(Vec::len).sum();
    let reader = client(port).await;
    let heard = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&heard);
    let _all = reader
        .declare_subscriber("longhand/fleet/**")
        .callback(move |_sample| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .await
        .unwrap();
    for robots in [20, 50, 100, 200] {
        const SECONDS: u64 = 8;
        let until = Instant::now() + Duration::from_secs(SECONDS);
        let (before, came) = (used(router.0.id()), heard.load(Ordering::Relaxed));
        let began = Instant::now();
        let mut tasks = Vec::new();
        for group in 0..4 {
            let session = client(port).await;
            let mine: Vec<String> =
                (0..robots).filter(|n| n % 4 == group).map(|n| format!("or{n}")).collect();
            tasks.push(tokio::spawn(publish(session, mine, said.clone(), until)));
        }
        let mut sent = 0;
        for task in tasks {
            sent += task.await.unwrap();
        }
        let spent = began.elapsed().as_secs_f64();
        let busy = used(router.0.id()).saturating_sub(before).as_secs_f64();
        let came = heard.load(Ordering::Relaxed) - came;
        let share = 1e3 * busy / spent / f64::from(robots);
        println!(
            "{robots} robots, {bytes} bytes a turn: {sent} messages sent, {came} heard by one \
             reader of all; the router used {:.2} of a processor, {share:.2} ms a second and robot",
            busy / spent,
        );
        assert!(came > 0);
    }
}

/// What a region sees of its hospitals: entries alone, once a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a minute: cargo test --release -p longhand-gateway --test fleet thousands -- \
            --ignored --nocapture"]
async fn thousands_of_entries_through_one_router() {
    let scene = Scene::new();
    let port = free_port();
    let router = router(port);
    let entry = {
        let agent = scene.robot();
        let at = format!("tcp/127.0.0.1:{port}");
        let _gateway = run(&scene, &["--mode", "client", "--connect", &at]);
        let heard = client(port).await.declare_subscriber(format!("{BASE}/directory")).await;
        let sample = heard.unwrap().recv_async().await.unwrap();
        agent.stop().unwrap();
        sample.payload().to_bytes().into_owned()
    };
    let reader = client(port).await;
    let heard = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&heard);
    let _all = reader
        .declare_subscriber("longhand/*/*/*/directory")
        .callback(move |_sample| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .await
        .unwrap();
    let hospitals = client(port).await;
    let mut publishers = Vec::new();
    for robots in [1_000, 2_000, 4_000] {
        for n in publishers.len()..robots {
            let key = format!("longhand/fleet/or{n}/davinci/directory");
            publishers.push(hospitals.declare_publisher(key).await.unwrap());
        }
        let (before, came, began) =
            (used(router.0.id()), heard.load(Ordering::Relaxed), Instant::now());
        const TURNS: u32 = 10;
        let mut due = tokio::time::interval(Duration::from_secs(1));
        for _ in 0..TURNS {
            due.tick().await;
            for publisher in &publishers {
                publisher.put(entry.clone()).await.unwrap();
            }
        }
        let spent = began.elapsed().as_secs_f64();
        let busy = used(router.0.id()).saturating_sub(before).as_secs_f64();
        let came = heard.load(Ordering::Relaxed) - came;
        println!(
            "{robots} robots, {} bytes an entry: {} sent, {came} heard by one reader of all; the \
             router used {:.3} of a processor",
            entry.len(),
            robots * 10,
            busy / spent,
        );
        assert!(came > 0);
    }
}

/// Where the readers' own process is told the gateway's port.
const READ_FROM: &str = "LONGHAND_TEST_READ_FROM";
const READERS: usize = 100;

/// The readers, in the process that [`a_hundred_greedy_and_stalled_readers_and_the_servo_loop`]
/// starts; otherwise nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a part of greedy"]
async fn greedy_readers_alone() {
    let Some(port) = std::env::var_os(READ_FROM) else { return };
    let port = port.to_str().unwrap().parse().unwrap();
    let mut kept = Vec::new();
    for n in 0..READERS {
        let session = client(port).await;
        // Half of them never read: their queue fills, then their socket.
        let stalls = n % 2 == 0;
        let queue = zenoh::handlers::FifoChannel::new(if stalls { 1 } else { 4_096 });
        let heard = session.declare_subscriber("longhand/**").with(queue).await.unwrap();
        if !stalls {
            let heard = heard.clone();
            tokio::spawn(async move { while heard.recv_async().await.is_ok() {} });
        }
        kept.push((session, heard));
    }
    eprintln!("all of them read");
    std::future::pending::<()>().await;
}

/// Who looks while the demo runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looking {
    Nobody,
    /// The same again: what differs from [`Looking::Nobody`] is the machine's.
    NobodyAgain,
    Gateway,
    Greedy,
}

impl Looking {
    const ALL: [Self; 4] = [Self::Nobody, Self::NobodyAgain, Self::Gateway, Self::Greedy];

    /// The demo's report, with these looking on while it runs.
    fn round(self, scene: &Scene, demo: &Path) -> Value {
        let tap = scene.path("demo.tap");
        let mut run = Command::new(demo);
        run.args(["demo", "--headless", "--for", "10", "--link", "ideal", "--seed", "1"]);
        run.args(["--input", "peg-transfer", "--profile", "default", "--json", "--tap", &tap]);
        run.current_dir(scene.path("")).stdout(Stdio::piped()).stderr(Stdio::null());
        let demo = run.spawn().unwrap();
        let port = free_port();
        let mut looking = Vec::new();
        if matches!(self, Self::Gateway | Self::Greedy) {
            while !Path::new(&tap).exists() {
                std::thread::yield_now();
            }
            looking.push(run_at(&tap, &["--listen", &format!("tcp/127.0.0.1:{port}")]));
        }
        if self == Self::Greedy {
            let mut readers = Command::new(std::env::current_exe().unwrap());
            readers.args(["--exact", "greedy_readers_alone", "--ignored", "--nocapture"]);
            readers.env(READ_FROM, port.to_string());
            looking.push(begin(readers, "all of them read"));
        }
        let told = demo.wait_with_output().unwrap().stdout;
        serde_json::from_slice(&told).unwrap()
    }
}

/// The whole chain in one process, the gateway in another, a hundred readers in a third.
#[test]
#[ignore = "eight minutes: cargo build --release -p longhand-sim && cargo test --release \
            -p longhand-gateway --test fleet a_hundred -- --ignored --nocapture"]
fn a_hundred_greedy_and_stalled_readers_and_the_servo_loop() {
    let scene = Scene::new();
    let gateway = Path::new(env!("CARGO_BIN_EXE_longhand-gateway"));
    let demo = gateway.with_file_name("longhand-sim");
    assert!(demo.exists(), "build longhand-sim first: {}", demo.display());
    let figures: [(&str, &[&str]); 7] = [
        ("servo late, p50, us", &["servo", "late_us_p50"]),
        ("servo late, p99, us", &["servo", "late_us_p99"]),
        ("servo ticks missed", &["servo", "missed"]),
        ("hand to joint, p50, ms", &["hand_to_joint", "p50_ms"]),
        ("hand to joint, p99, ms", &["hand_to_joint", "p99_ms"]),
        ("round trip, p50, ms", &["round_trip", "p50_ms"]),
        ("round trip, p99, ms", &["round_trip", "p99_ms"]),
    ];
    // Interleaved, so that what else the machine does falls on all alike.
    let mut rounds = Vec::new();
    for n in 0..9 {
        for looking in Looking::ALL {
            rounds.push((looking, looking.round(&scene, &demo)));
        }
        eprintln!("round {} of 9", n + 1);
    }
    let first = &rounds[0].1["servo"]["real_time"];
    println!("real time: {first}; medians of 9 rounds of 10 s each:");
    for (name, keys) in figures {
        let of = |which: Looking| {
            let told = rounds.iter().filter(|(looking, _)| *looking == which);
            let figure = |told: &Value| keys.iter().fold(told, |told, key| &told[key]).as_f64();
            let mut all: Vec<f64> = told.map(|(_, told)| figure(told).unwrap()).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let all = Looking::ALL.map(|looking| format!("{looking:?} {}", of(looking)));
        println!("{name}: {}", all.join(", "));
    }
}
