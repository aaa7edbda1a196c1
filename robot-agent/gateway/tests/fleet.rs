//! Many robots, greedy readers and a router that dies: measured, and printed.
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

use common::{Ends, Scene, free_port, gateway};
use longhand_quic::pace::Lateness;
use serde_json::json;
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
    let tap = scene.path("tap");
    let all =
        ["run", "--tap", &tap, "--hospital", "general", "--room", "or3", "--robot", "davinci"];
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
    let scene = Scene::new("fleet");
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
    let scene = Scene::new("entries");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a minute: cargo test --release -p longhand-gateway --test fleet greedy -- --ignored \
            --nocapture"]
async fn a_hundred_greedy_and_stalled_readers_and_the_servo_loop() {
    let scene = Scene::new("greedy");
    let mut turns = Vec::new();
    // Interleaved, so that what else the machine does falls on both.
    for round in 0..6 {
        let agent = scene.robot_at(true);
        let port = free_port();
        let gateway = run(&scene, &["--listen", &format!("tcp/127.0.0.1:{port}")]);
        let mut kept = Vec::new();
        if round % 2 == 1 {
            for n in 0..100 {
                let session = client(port).await;
                // Half of them never read: their queue fills, then their socket.
                let full = zenoh::handlers::FifoChannel::new(if n % 2 == 0 { 1 } else { 4_096 });
                let heard = session.declare_subscriber("longhand/**").with(full).await.unwrap();
                if n % 2 == 1 {
                    let heard = Arc::new(heard);
                    let reading = Arc::clone(&heard);
                    tokio::spawn(async move { while reading.recv_async().await.is_ok() {} });
                    kept.push((session, heard));
                } else {
                    kept.push((session, Arc::new(heard)));
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(gateway);
        let report = agent.stop().unwrap();
        turns.push((round % 2 == 1, report.lateness));
        for (session, _heard) in kept {
            drop(session);
        }
    }
    let granted = scene.robot_at(true);
    let real_time = granted.granted().map_or("none".to_owned(), |granted| granted.to_string());
    println!("real time: {real_time}");
    granted.stop().unwrap();
    let of = |greedy: bool, parts: u64| {
        let all = turns.iter().filter(|(was, _)| *was == greedy);
        let mut all: Vec<u64> =
            all.map(|(_, late): &(bool, Lateness)| late.quantile(parts).as_micros()).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    for (name, parts) in [("p50", 500_000), ("p99", 990_000), ("p99.9", 999_000)] {
        let (alone, with) = (of(false, parts), of(true, parts));
        println!("lateness {name}: {alone} us alone, {with} us with 100 readers");
    }
}

/// Three robots, two routers that know each other; a router is killed, and whoever asked it goes to
/// the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "half a minute: cargo test -p longhand-gateway --test fleet dies -- --ignored \
            --nocapture"]
async fn a_router_dies_and_the_directory_heals() {
    let (first, second) = (free_port(), free_port());
    let at = |port: u16| format!("tcp/127.0.0.1:{port}");
    let one = router(first);
    let _two = gateway(&["router", "--listen", &at(second), "--connect", &at(first)], "routing on");
    let mut kept = Vec::new();
    for n in 0..3 {
        let scene = Scene::new(&format!("heal-{n}"));
        let agent = scene.robot();
        // Its own router first, the other where that is gone.
        let ends = if n == 2 { [at(second), at(first)] } else { [at(first), at(second)] };
        let room = format!("or{n}");
        let tap = scene.path("tap");
        let all = ["run", "--tap", &tap, "--room", &room, "--robot", "davinci", "--mode", "client"];
        let ends = ["--connect", &ends[0], "--connect", &ends[1]];
        kept.push((gateway(&[&all[..], &ends].concat(), "is shown below"), agent, scene));
    }
    let reader = client(second).await;
    let found = async || {
        let answers = reader.get("longhand/*/*/*/directory").timeout(Duration::from_secs(2));
        let answers = answers.await.unwrap();
        let mut count = 0;
        while let Ok(answer) = answers.recv_async().await {
            count += u32::from(answer.result().is_ok());
        }
        count
    };
    let whole = async || {
        let began = Instant::now();
        while found().await < 3 {
            assert!(began.elapsed() < Duration::from_secs(60), "it never came whole");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        began.elapsed()
    };
    println!("all three are found after {:?}", whole().await);
    drop(one);
    let healed = whole().await;
    println!("a router was killed; all three are found again after {healed:?}");
    for (gateway, agent, scene) in kept {
        drop(gateway);
        agent.stop().unwrap();
        drop(scene);
    }
}
