//! A robot on a network of ours: what is published, what is answered, who may do what.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::{Ends, Scene, begin, free_port, gateway};
use longhand_quic::trust::Role;
use longhand_robot_agent::controls;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use zenoh::sample::{Sample, SampleKind};
use zenoh::{Config, Session};

const BASE: &str = "longhand/general/or3/davinci";

fn config(settings: &Value) -> Config {
    Config::from_json5(&settings.to_string()).unwrap()
}

/// A client of this machine's own.
async fn client(port: u16) -> Session {
    let endpoint = format!("tcp/127.0.0.1:{port}");
    let settings = json!({
        "mode": "client", "connect": { "endpoints": [endpoint], "timeout_ms": 10_000 },
        "scouting": { "multicast": { "enabled": false } },
    });
    zenoh::open(config(&settings)).await.unwrap()
}

/// A client with a certificate, or without.
async fn with_certificate(scene: &Scene, identity: Option<&str>, port: u16) -> Option<Session> {
    let mut tls = json!({
        "root_ca_certificate": scene.path("trust/ca.pem"), "verify_name_on_connect": false,
    });
    if let Some(identity) = identity {
        tls["enable_mtls"] = json!(true);
        tls["connect_certificate"] = json!(format!("{identity}/identity.pem"));
        tls["connect_private_key"] = json!(format!("{identity}/identity.key"));
    }
    let settings = json!({
        "mode": "client",
        "connect": { "endpoints": [format!("tls/127.0.0.1:{port}")], "timeout_ms": 3_000 },
        "scouting": { "multicast": { "enabled": false } },
        "transport": { "link": { "tls": tls } },
    });
    zenoh::open(config(&settings)).await.ok()
}

fn run(scene: &Scene, more: &[&str]) -> Ends {
    let tap = scene.path("tap");
    let all =
        ["run", "--tap", &tap, "--hospital", "general", "--room", "or3", "--robot", "davinci"];
    gateway(&[&all[..], more].concat(), "is shown below")
}

fn read(sample: &Sample) -> Value {
    serde_json::from_slice(&sample.payload().to_bytes()).unwrap()
}

/// The next that comes; a test's patience ends where nothing ever would.
async fn next<T>(heard: impl Future<Output = zenoh::Result<T>>) -> T {
    tokio::time::timeout(PATIENCE, heard).await.expect("nothing comes").unwrap()
}

const PATIENCE: Duration = Duration::from_secs(60);

/// The answers to a question.
async fn ask(session: &Session, question: &str) -> Vec<Value> {
    let answers = session.get(question).await.unwrap();
    let mut all = Vec::new();
    while let Ok(answer) = answers.recv_async().await {
        match answer.result() {
            Ok(sample) => all.push(read(sample)),
            Err(error) => {
                let words = error.payload().try_to_string().unwrap().into_owned();
                all.push(json!({ "error": words }));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_is_published_answered_for_and_missed_when_it_is_gone() {
    let scene = Scene::new();
    let agent = scene.robot();
    let port = free_port();
    let endpoint = format!("tcp/127.0.0.1:{port}");
    let _gateway = run(&scene, &["--listen", &endpoint, "--history-min", "1"]);
    let session = client(port).await;

    let states = session.declare_subscriber(format!("{BASE}/state")).await.unwrap();
    let first = read(&next(states.recv_async()).await);
    assert_eq!(first["schema"], "longhand state v1");
    assert_eq!((&first["robot_id"], &first["stage"]), (&json!(7), &json!("Bedside")));
    assert_eq!(first["psm1"]["measured_js"][2], 0.12, "where it stands at the start");
    assert_eq!((&first["fresh"], &first["command"]), (&json!(true), &Value::Null));
    // About a hundred a second, by the robot's own clock; a busy machine says fewer, never more.
    let mut last = first.clone();
    for _ in 0..50 {
        let next = read(&next(states.recv_async()).await);
        assert!(next["robot_us"].as_u64() > last["robot_us"].as_u64());
        last = next;
    }
    let spent = last["robot_us"].as_u64().unwrap() - first["robot_us"].as_u64().unwrap();
    assert!(spent >= 400_000, "50 states in {spent} us");

    // What the bedside does is seen, and where the stage changed.
    assert!(controls::obey(&agent.bedside(), "hand-over").starts_with("ok"));
    let stages = session.declare_subscriber(format!("{BASE}/stage")).await.unwrap();
    loop {
        let stage = read(&next(stages.recv_async()).await);
        if stage["stage"] == "Latched" {
            assert!(stage["since_ns"].as_u64() <= stage["wall_ns"].as_u64());
            break;
        }
    }
    let alarms = ask(&session, &format!("{BASE}/alarms")).await;
    let names: Vec<&Value> =
        alarms[0]["alarms"].as_array().unwrap().iter().map(|alarm| &alarm["name"]).collect();
    assert_eq!(names, ["Latched", "NoConsole"], "{alarms:?}");

    // Who asks for everything is told where the robots are, and not their last minutes.
    let directory = ask(&session, "longhand/*/*/*/directory").await;
    assert_eq!(directory.len(), 1, "{directory:?}");
    let entry = &directory[0];
    assert_eq!((&entry["hospital"], &entry["room"]), (&json!("general"), &json!("or3")));
    assert_eq!(entry["link"]["connected"], false);
    let all = ask(&session, "longhand/**").await;
    assert_eq!(all.len(), 5, "{all:?}");
    let history = ask(&session, &format!("{BASE}/history?last_s=30;every_ms=50")).await;
    let kept = history[0]["states"].as_array().unwrap();
    assert!(kept.len() > 5, "{}", kept.len());
    for pair in kept.windows(2) {
        let [a, b] = pair else { panic!() };
        assert!(b["robot_us"].as_u64().unwrap() >= a["robot_us"].as_u64().unwrap() + 49_000);
    }
    let refused = ask(&session, &format!("{BASE}/history?last_s=lots")).await;
    assert!(refused[0]["error"].as_str().unwrap().contains("whole number"), "{refused:?}");

    // The agent dies: the token goes, and what is said is said to be old.
    let tokens = session.liveliness().declare_subscriber("longhand/**").history(true);
    let tokens = tokens.await.unwrap();
    let here = next(tokens.recv_async()).await;
    assert_eq!(here.key_expr().as_str(), format!("{BASE}/alive"));
    agent.stop().unwrap();
    let gone = next(tokens.recv_async()).await;
    assert_eq!((gone.kind(), gone.key_expr().as_str()), (SampleKind::Delete, &*here_key()));
    while read(&next(states.recv_async()).await)["fresh"] == true {}
    let alarms = ask(&session, &format!("{BASE}/alarms")).await;
    assert_eq!(alarms[0]["alarms"][0]["name"], "AgentSilent");

    // A control room sees it so, too.
    let watch = ["watch", "--json", "--for", "4", "--mode", "client", "--connect", &endpoint];
    let watch =
        std::process::Command::new(env!("CARGO_BIN_EXE_longhand-gateway")).args(watch).output();
    let lines = String::from_utf8(watch.unwrap().stdout).unwrap();
    let row: Value = serde_json::from_str(lines.lines().last().expect("a row")).unwrap();
    assert_eq!((&row["schema"], &row["robot"]), (&json!("longhand watch v1"), &json!("davinci")));
    assert_eq!((&row["alive"], &row["stage"]["fresh"]), (&json!(false), &json!(false)), "{row}");
    assert_eq!(row["alarms"][0]["name"], "AgentSilent", "{row}");

    // Another takes its place.
    let again = scene.robot();
    let back = next(tokens.recv_async()).await;
    assert_eq!((back.kind(), back.key_expr().as_str()), (SampleKind::Put, &*here_key()));
    again.stop().unwrap();
}

fn here_key() -> String {
    format!("{BASE}/alive")
}

/// A1: who may read reads; who may not, or has no certificate, does not; nobody but a gateway
/// publishes, and what is forged reaches nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_say_who_reads_and_only_a_gateway_publishes() {
    let scene = Scene::new();
    let agent = scene.robot();
    let port = free_port();
    let (router, own) =
        (scene.issue(Role::Gateway, "router-1"), scene.issue(Role::Gateway, "or3-gateway"));
    let listen = format!("tls/127.0.0.1:{port}");
    let ends = ["--identity", &router, "--listen", &listen];
    let gateways =
        ["--gateway", "or3-gateway=general/or3/davinci", "--gateway", "or9=general/or9/other"];
    let who = [&gateways[..], &["--reader", "ann", "--reader", "bob"]].concat();
    let _router = gateway(&[&["router"], &ends[..], &who].concat(), "routing on");
    let more = ["--identity", &own, "--mode", "client", "--connect", &listen, "--any-host"];
    let _gateway = run(&scene, &[&more[..], &["--reader", "router-1"]].concat());

    let ann = scene.issue(Role::Observer, "ann");
    let ann = with_certificate(&scene, Some(&ann), port).await.unwrap();
    let seen = ann.declare_subscriber("longhand/**").await.unwrap();
    let genuine = read(&next(seen.recv_async()).await);
    assert_eq!(genuine["robot"], "davinci");
    assert_eq!(ask(&ann, "longhand/*/*/*/directory").await.len(), 1);

    // Bob may read, so he is let in; whatever he publishes goes nowhere.
    let bob = scene.issue(Role::Observer, "bob");
    let bob = with_certificate(&scene, Some(&bob), port).await.unwrap();
    let forged = format!("{BASE}/state");
    for key in [&forged, "longhand/general/or9/other/state", "elsewhere"] {
        for _ in 0..20 {
            bob.put(key, json!({ "robot": "forged" }).to_string()).await.unwrap();
        }
    }
    let answers = bob.declare_queryable("longhand/*/*/*/directory").await.unwrap();
    let _token = bob.liveliness().declare_token("longhand/general/or9/other/alive").await.unwrap();
    // The gateway of another robot speaks for that one and for no other.
    let or9 = scene.issue(Role::Gateway, "or9");
    let or9 = with_certificate(&scene, Some(&or9), port).await.unwrap();
    let theirs = "longhand/general/or9/other/link";
    for _ in 0..20 {
        or9.put(&forged, json!({ "robot": "forged" }).to_string()).await.unwrap();
    }
    let _false = or9.declare_queryable(format!("{BASE}/*")).await.unwrap();
    // A certificate of this hospital whose name is on no list.
    let mallory = scene.issue(Role::Observer, "mallory");
    let mallory = with_certificate(&scene, Some(&mallory), port).await.unwrap();
    let unseen = mallory.declare_subscriber("longhand/**").await.unwrap();
    for _ in 0..200 {
        let sample = next(seen.recv_async()).await;
        assert!(sample.key_expr().as_str().starts_with(BASE), "{}", sample.key_expr());
        assert_eq!(read(&sample)["robot"], "davinci");
    }
    or9.put(theirs, json!({ "robot": "other" }).to_string()).await.unwrap();
    while next(seen.recv_async()).await.key_expr().as_str() != theirs {}
    assert_eq!(ask(&ann, "longhand/*/*/*/directory").await.len(), 1);
    assert_eq!(ask(&ann, &format!("{BASE}/stage")).await.len(), 1);
    assert!(answers.try_recv().unwrap().is_none(), "nobody asks Bob");
    assert!(unseen.try_recv().unwrap().is_none(), "who is on no list reads nothing");
    assert_eq!(ask(&mallory, "longhand/**").await, Vec::<Value>::new());
    let tokens = ann.liveliness().get("longhand/**").await.unwrap();
    let mut alive = Vec::new();
    while let Ok(reply) = tokens.recv_async().await {
        alive.push(reply.result().unwrap().key_expr().to_string());
    }
    assert_eq!(alive, [here_key()]);

    // No certificate, or another hospital's: no session at all.
    assert!(with_certificate(&scene, None, port).await.is_none());
    let other = Scene::new();
    let stranger = other.issue(Role::Observer, "ann");
    assert!(with_certificate(&scene, Some(&stranger), port).await.is_none());
    agent.stop().unwrap();
}

/// What may be said nowhere. Source: safety.md A37.
const CANARY: &str = "ZZTESTPATIENT-MRN-424242";

fn must_not_name(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.contains(CANARY), "{what} names the patient: {text}");
}

/// All that `address` says within two seconds to `question`.
fn said_at(address: &str, question: &str) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.write_all(question.as_bytes()).unwrap();
    let mut said = vec![0; 1 << 16];
    let mut count = 0;
    while let Ok(more @ 1..) = socket.read(&mut said[count..]) {
        count += more;
    }
    assert!(count > 100, "{address} said {count} bytes");
    said.truncate(count);
    said
}

/// A patient's name in whatever a bedside may name: folders, a socket, the environment, a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_output_names_a_patient() {
    let scene = Scene::named(CANARY);
    let agent = scene.robot();
    let told = controls::obey(&agent.bedside(), CANARY);
    assert!(told.starts_with("error"), "{told}");
    let [port, metrics, igtl] = [free_port(), free_port(), free_port()];
    let (listen, tap) = (format!("tcp/127.0.0.1:{port}"), scene.path("tap"));
    let [metrics, igtl] = [metrics, igtl].map(|port| format!("127.0.0.1:{port}"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_longhand-gateway"));
    command.args(["run", "--tap", &tap, "--room", "or3", "--robot", "davinci", "--ros2", "7"]);
    command.args(["--listen", &listen, "--metrics", &metrics, "--openigtlink", &igtl]);
    command.env("USER", CANARY).env("HOSTNAME", CANARY).current_dir(scene.path(""));
    let _gateway = begin(command, "is shown below");
    let session = client(port).await;
    for all in ["longhand/**", "7/**"] {
        let heard = session.declare_subscriber(all).await.unwrap();
        // A tick is said 100 times a second, the directory once.
        for _ in 0..500 {
            let sample = next(heard.recv_async()).await;
            must_not_name("a key", sample.key_expr().as_str().as_bytes());
            must_not_name("a message", &sample.payload().to_bytes());
            let more = sample.attachment().map(|more| more.to_bytes().into_owned());
            must_not_name("an attachment", &more.unwrap_or_default());
        }
    }
    for question in ["longhand/**", "longhand/hospital/or3/davinci/history"] {
        must_not_name(question, json!(ask(&session, question).await).to_string().as_bytes());
    }
    must_not_name("OpenMetrics", &said_at(&metrics, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
    must_not_name("OpenIGTLink", &said_at(&igtl, ""));
    agent.stop().unwrap();
}

/// Where names are not looked at (`--any-host`), an observer must not pass for a router.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observers_certificate_serves_nobody() {
    let scene = Scene::new();
    let port = free_port();
    let mallory = scene.issue(Role::Observer, "mallory");
    let listen = format!("tls/127.0.0.1:{port}");
    let all = ["router", "--identity", &mallory, "--listen", &listen, "--reader", "ann"];
    let _router = gateway(&all, "routing on");
    let ann = scene.issue(Role::Observer, "ann");
    assert!(with_certificate(&scene, Some(&ann), port).await.is_none());
    // The same with a certificate that may serve is a session.
    let (port, router) = (free_port(), scene.issue(Role::Gateway, "router-1"));
    let listen = format!("tls/127.0.0.1:{port}");
    let all = ["router", "--identity", &router, "--listen", &listen, "--reader", "ann"];
    let _router = gateway(&all, "routing on");
    assert!(with_certificate(&scene, Some(&ann), port).await.is_some());
}
