//! Programs that are not ours, installed by name: a router of zenoh's between, an observer with a
//! certificate, one with none, a reader of OpenMetrics and one of OpenIGTLink, a client of ROS 2.
//!
//! Both run only when asked for: they install packages from PyPI into a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::{Ends, Scene, begin, free_port, gateway, must};
use longhand_quic::trust::Role;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

const BASE: &str = "longhand/general/or3/davinci";
const PACKAGES: [&str; 6] =
    ["eclipse-zenoh", "prometheus_client", "pyigtl", "zenoh-ros2-sdk", "rosbags", "websockets"];

/// Python with the packages, in the scene's folder; `LONGHAND_TEST_PYTHON` names one that has them.
struct Python(PathBuf);

impl Python {
    fn new(scene: &Scene) -> Self {
        if let Some(there) = std::env::var_os("LONGHAND_TEST_PYTHON") {
            return Self(PathBuf::from(there));
        }
        let python = PathBuf::from(scene.path("venv/bin/python"));
        must(Command::new("python3").args(["-m", "venv", &scene.path("venv")]));
        must(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
        Self(python)
    }

    fn peer(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/peers.py");
        command.arg(script).args(arguments);
        command
    }

    fn finds(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&must(&mut self.peer(arguments)).stdout).unwrap()
    }
}

/// zenoh's configuration of a client, in a file.
fn client(scene: &Scene, name: &str, identity: Option<&str>, port: u16) -> String {
    let authority = scene.path("trust/ca.pem");
    let mut tls = json!({ "root_ca_certificate": authority, "verify_name_on_connect": false });
    if let Some(identity) = identity {
        tls["enable_mtls"] = json!(true);
        tls["connect_certificate"] = json!(format!("{identity}/identity.pem"));
        tls["connect_private_key"] = json!(format!("{identity}/identity.key"));
    }
    let config = json!({
        "mode": "client",
        "connect": { "endpoints": [format!("tls/127.0.0.1:{port}")], "timeout_ms": 5_000 },
        "scouting": { "multicast": { "enabled": false } },
        "transport": { "link": { "tls": tls } },
    });
    let path = scene.path(&format!("{name}.json5"));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[test]
#[ignore = "installs packages from PyPI; .ci/run does it: cargo test -p longhand-gateway \
            --test foreign -- --ignored"]
fn foreign_peers_read_a_robot_and_cannot_say_anything() {
    let scene = Scene::new();
    let python = Python::new(&scene);
    let agent = scene.robot();
    let port = free_port();
    let endpoint = format!("tls/127.0.0.1:{port}");
    let (router, own) =
        (scene.issue(Role::Gateway, "router-1"), scene.issue(Role::Gateway, "or3-gateway"));

    // zenoh's own router, from the wheel, with the rules that ours would have.
    let mut rules = Command::new(env!("CARGO_BIN_EXE_longhand-gateway"));
    rules.args(["router", "--print-config", "--identity", &router, "--listen", &endpoint]);
    rules.args([
        "--gateway",
        "or3-gateway=general/or3/davinci",
        "--reader",
        "ann",
        "--reader",
        "bob",
    ]);
    let rules = must(&mut rules).stdout;
    let config = scene.path("router.json5");
    std::fs::write(&config, rules).unwrap();
    let _router: Ends = begin(python.peer(&["router", &config]), "routing");

    let (metrics, igtl) = (free_port(), free_port());
    let tap = scene.path("tap");
    let _gateway = gateway(
        &[
            &["run", "--tap", &tap, "--hospital", "general", "--room", "or3"][..],
            &["--robot", "davinci", "--identity", &own, "--mode", "client", "--any-host"],
            &["--connect", &endpoint, "--reader", "router-1"],
            &["--metrics", &format!("127.0.0.1:{metrics}")],
            &["--openigtlink", &format!("127.0.0.1:{igtl}")],
        ]
        .concat(),
        "is shown below",
    );

    // Bob publishes as hard as he can while Ann reads.
    let (ann, bob) = (scene.issue(Role::Observer, "ann"), scene.issue(Role::Observer, "bob"));
    let (ann, bob) =
        (client(&scene, "ann", Some(&ann), port), client(&scene, "bob", Some(&bob), port));
    let forged = [&format!("{BASE}/state")[..], "longhand/general/or9/other/state"];
    let mut forging = python.peer(&[&["forge", &bob], &forged[..]].concat()).spawn().unwrap();
    let found = python.finds(&["read", &ann, BASE]);
    assert!(forging.wait().unwrap().success());
    let keys =
        ["alarms", "directory", "link", "stage", "state"].map(|name| format!("{BASE}/{name}"));
    assert_eq!(found["keys"], json!(keys), "{found}");
    assert_eq!((&found["robots"], &found["rises"]), (&json!(["davinci"]), &json!(true)));
    assert_eq!(found["encodings"], json!(["application/json"]));
    assert!(found["states"].as_u64().unwrap() >= 200, "{found}");
    assert_eq!(found["last"]["stage"], "Bedside");
    assert_eq!(found["last"]["psm2"]["measured_js"][2], 0.12);
    assert_eq!(found["directory"][0]["robot_id"], 7);
    assert_eq!(found["directory"].as_array().unwrap().len(), 1);
    assert!(found["history"][0].as_u64().unwrap() > 10, "{found}");
    assert_eq!(found["alive"], json!([format!("{BASE}/alive")]));

    nobody_else_is_let_in(&scene, &python, port);

    scraped(&python, metrics);
    tracked(&python, igtl, &found);
    agent.stop().unwrap();
}

#[test]
#[ignore = "installs packages from PyPI; .ci/run does it: cargo test -p longhand-gateway \
            --test foreign -- --ignored"]
fn a_foreign_client_of_ros_2_lists_the_nodes_and_decodes_their_topics() {
    let scene = Scene::new();
    let python = Python::new(&scene);
    let agent = scene.robot();
    let port = free_port();
    let (tap, endpoint) = (scene.path("tap"), format!("tcp/127.0.0.1:{port}"));
    let all = ["run", "--tap", &tap, "--room", "or3", "--robot", "davinci", "--listen", &endpoint];
    let _gateway = gateway(&[&all[..], &["--ros2", "42"]].concat(), "is shown below");
    let found = python.finds(&["ros2", &port.to_string(), "42"]);
    assert_eq!(found["nodes"], json!(["PSM1", "PSM2", "longhand"]), "{found}");
    let topics = found["topics"].as_object().unwrap();
    assert_eq!(topics.len(), 12, "{found}");
    assert_eq!(topics["/PSM2/setpoint_cp"], json!(["geometry_msgs/msg/PoseStamped"]));
    assert_eq!(topics["/PSM1/operating_state"], json!(["crtk_msgs/msg/OperatingState"]));
    // Every one of them came under the hash that a library of others computes.
    assert_eq!(found["heard"], json!(topics.keys().collect::<Vec<_>>()), "{found}");
    assert_eq!(
        (&found["frame"], &found["state"]),
        (&json!("PSM1_base"), &json!(["PAUSED", true, false]))
    );
    assert!(found["sec"].as_u64().unwrap() > 1_700_000_000, "{found}");
    assert!((found["joints"]["outer_insertion"].as_f64().unwrap() - 0.12).abs() < 1e-6);
    assert!((found["jaw"][0].as_f64().unwrap() - 30.0_f64.to_radians()).abs() < 1e-6);
    assert_eq!(found["velocity"], json!([]));
    let norm: f64 =
        found["orientation"].as_array().unwrap().iter().map(|q| q.as_f64().unwrap().powi(2)).sum();
    assert!((norm - 1.0).abs() < 1e-5, "{found}");
    assert_eq!(found["tf"][1][1], "PSM2_tip");
    assert!(
        (found["tf"][0][2].as_f64().unwrap() - found["position"][2].as_f64().unwrap()).abs() < 1e-9
    );
    assert_eq!(found["diagnostics"][0][2]["stage"], "Bedside", "{found}");
    assert_eq!((&found["counted"], &found["publishers"]), (&json!(true), &json!(12)), "{found}");
    assert_eq!(found["qos"], json!(["::,10:,:,:,,"]));
    agent.stop().unwrap();
}

#[test]
#[ignore = "installs packages from PyPI; .ci/run does it: cargo test -p longhand-gateway \
            --test foreign -- --ignored"]
fn a_foreign_client_of_foxglove_reads_every_channel_and_every_path_of_the_layouts() {
    let scene = Scene::new();
    let python = Python::new(&scene);
    let agent = scene.robot();
    let (tap, port) = (scene.path("tap"), free_port());
    let all = ["run", "--tap", &tap, "--room", "or3", "--robot", "davinci"];
    let address = format!("127.0.0.1:{port}");
    let _gateway = gateway(&[&all[..], &["--foxglove", &address]].concat(), "Foxglove: ws://");
    let layouts = ["observer", "surgeon", "engineer"]
        .map(|role| format!("{}/layouts/{role}.json", env!("CARGO_MANIFEST_DIR")));
    let port = port.to_string();
    let asked: Vec<&str> =
        ["foxglove", &port].into_iter().chain(layouts.iter().map(|s| &**s)).collect();
    let found = python.finds(&asked);
    assert_eq!(found["name"], "longhand/hospital/or3/davinci", "{found}");
    // It offers nothing that a client could do.
    assert_eq!(found["capabilities"], json!([]), "{found}");
    assert_eq!(found["topics"].as_array().unwrap().len(), 16, "{found}");
    let hashes = found["hashes"].as_object().unwrap();
    assert_eq!(hashes.len(), 4, "{found}");
    assert!(hashes.values().all(|same| same == &json!(true)), "{found}");
    let paths = found["paths"].as_object().unwrap();
    let missing: Vec<_> = paths.iter().filter(|(_, there)| *there != &json!(true)).collect();
    assert!(paths.len() > 20 && missing.is_empty(), "{missing:?}");
    assert_eq!(found["unplaced"], json!([]), "{found}");
    assert_eq!((&found["stage"], &found["times"]), (&json!("Bedside"), &json!(true)));
    let tip = |name: &str| found[name][2].as_f64().unwrap();
    // JSON has eight digits of it, CDR all.
    assert!((tip("tip") - tip("said_tip")).abs() < 1e-8, "{found}");
    agent.stop().unwrap();
}

fn scraped(python: &Python, metrics: u16) {
    let scrape = python.finds(&["metrics", &format!("http://127.0.0.1:{metrics}/metrics")]);
    assert_eq!(scrape["kind"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let samples = &scrape["samples"];
    assert_eq!(samples["of"], json!(["general", "or3", "davinci"]));
    assert_eq!(samples["longhand_up"], 1);
    assert_eq!(
        (&samples["longhand_stage Bedside"], &samples["longhand_stage Hold"]),
        (&json!(1), &json!(0))
    );
    assert!(samples["longhand_ticks_total"].as_f64().unwrap() > 100.0, "{scrape}");
}

/// Both tips as OpenIGTLink says them, beside what zenoh said.
fn tracked(python: &Python, igtl: u16, found: &Value) {
    let heard = python.finds(&["igtl", &igtl.to_string()]);
    for arm in ["PSM1", "PSM2"] {
        let matrix = &heard[arm]["TRANSFORM"];
        // Straight down, 12 cm of insertion: where the tip is, the kinematics say; in millimetres.
        let z = matrix[2][3].as_f64().unwrap();
        let expected = agent_tip_mm(found, arm);
        assert!((z - expected).abs() < 0.01, "{arm}: {z}, {expected}");
    }
    assert_eq!(heard["Longhand"]["STRING"], "Bedside");
    assert_eq!(heard["PSM1"]["versions"], json!([1, 2]), "{heard}");
    // 2: an instrument with six degrees of freedom.
    assert_eq!(heard["tdata"], json!([["PSM1", 2], ["PSM2", 2]]), "{heard}");
}

/// Without a certificate, or with another hospital's, there is no session.
fn nobody_else_is_let_in(scene: &Scene, python: &Python, port: u16) {
    let none = client(scene, "none", None, port);
    assert!(!python.finds(&["refused", &none])["refused"].is_null());
    let other = Scene::new();
    let stranger = other.issue(Role::Observer, "ann");
    let stranger = client(scene, "stranger", Some(&stranger), port);
    assert!(!python.finds(&["refused", &stranger])["refused"].is_null());
}

/// The tip's height as zenoh says it.
fn agent_tip_mm(found: &Value, arm: &str) -> f64 {
    found["last"][arm.to_lowercase()]["measured_cp"]["position"][2].as_f64().unwrap() * 1e3
}
