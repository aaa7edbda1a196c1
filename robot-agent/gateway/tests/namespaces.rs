//! Three gateways, two routers and a control room, each in a network of its own; a router dies.
//!
//! Runs only when asked for: it needs `ip` (iproute2) and the right to make namespaces. Everything
//! it makes goes with it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::{Ends, Scene, begin, must};
use longhand_quic::trust::Role;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Backstop: what has not healed by then never does. zenoh notices a silent peer after 10 s.
const AT_MOST: Duration = Duration::from_secs(90);

/// Namespaces on one switch, which is one more.
struct Network {
    switch: String,
    hosts: Vec<String>,
}

impl Network {
    /// Errors, as a panic: no `ip`, or no right to.
    fn new(scene: &Scene, names: &[&str]) -> Self {
        // The end of a tempdir's name is nobody else's.
        let unique = scene.path("").trim_end_matches('/').rsplit_once('-').unwrap().1.to_owned();
        let of = |name: &str| format!("longhand-{unique}-{name}");
        let hosts = names.iter().map(|name| of(name)).collect();
        // Made first, so that what is half made goes, too.
        let network = Self { switch: of("switch"), hosts };
        let switch = network.switch.as_str();
        ip(&["netns", "add", switch]);
        ip(&["-n", switch, "link", "add", "name", "hub", "type", "bridge"]);
        ip(&["-n", switch, "link", "set", "hub", "up"]);
        for (n, host) in network.hosts.iter().enumerate() {
            let (port, address) = (format!("p{n}"), format!("{}/24", Self::address(n)));
            ip(&["netns", "add", host]);
            let pair = ["link", "add", "eth0", "netns", host, "type", "veth", "peer"];
            ip(&[&pair[..], &["name", &port, "netns", switch]].concat());
            ip(&["-n", switch, "link", "set", &port, "master", "hub", "up"]);
            ip(&["-n", host, "addr", "add", &address, "dev", "eth0"]);
            ip(&["-n", host, "link", "set", "eth0", "up"]);
            ip(&["-n", host, "link", "set", "lo", "up"]);
        }
        network
    }

    fn address(host: usize) -> String {
        format!("10.77.0.{}", host + 1)
    }

    /// The gateway, as it is run on that host.
    fn command(&self, host: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.hosts[host], env!("CARGO_BIN_EXE_longhand-gateway")]);
        command.args(arguments).env_remove("LONGHAND_LOG").env("NO_COLOR", "1");
        command
    }

    /// Pulls a host's cable, or puts it back: nothing says goodbye.
    fn cable(&self, host: usize, state: &str) {
        ip(&["-n", &self.switch, "link", "set", &format!("p{host}"), state]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.hosts.iter().chain([&self.switch]) {
            let _gone = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn ip(arguments: &[&str]) {
    must(Command::new("ip").args(arguments));
}

/// A control room: what `watch --json` says.
struct Desk {
    lines: std::io::Lines<BufReader<ChildStdout>>,
    _ends: Ends,
}

impl Desk {
    fn new(mut watch: Command) -> Self {
        let mut child = watch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { lines, _ends: Ends(child) }
    }

    fn row(&mut self) -> (String, Value) {
        let row: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        (row["room"].as_str().unwrap().to_owned(), row)
    }

    /// Waits until three robots are alive and heard; how long that took.
    fn whole(&mut self) -> Duration {
        let (began, mut whole) = (Instant::now(), BTreeSet::new());
        while whole.len() < 3 {
            assert!(began.elapsed() < AT_MOST, "it never came whole, but for {whole:?}");
            let (room, row) = self.row();
            if row["alive"] == true && row["heard"] == true {
                whole.insert(room);
            } else {
                whole.remove(&room);
            }
        }
        began.elapsed()
    }

    /// Waits until one is not.
    fn broken(&mut self) -> Duration {
        let began = Instant::now();
        while self.row().1["heard"] == true {
            assert!(began.elapsed() < AT_MOST, "nobody noticed");
        }
        began.elapsed()
    }

    /// The longest time that each robot said nothing in, for as long.
    fn silences(&mut self, span: Duration) -> BTreeMap<String, Duration> {
        let began = Instant::now();
        let mut last: BTreeMap<String, (u64, Instant)> = BTreeMap::new();
        let mut longest = BTreeMap::new();
        while began.elapsed() < span {
            let (room, row) = self.row();
            assert!(row["alive"] == true, "{:?}: {row}", began.elapsed());
            let (now, said) = (Instant::now(), row["messages"].as_u64().unwrap());
            let (was, at) = last.entry(room.clone()).or_insert((said, began));
            let silence = longest.entry(room).or_insert(Duration::ZERO);
            *silence = (*silence).max(now - *at);
            if said > *was {
                (*was, *at) = (said, now);
            }
        }
        longest
    }
}

/// Hosts: two routers, three rooms, a desk.
const HOSTS: [&str; 6] = ["r1", "r2", "or1", "or2", "or3", "desk"];
const DESK: usize = 5;

#[test]
#[ignore = "two minutes, needs ip and root: cargo test -p longhand-gateway --test namespaces -- \
            --ignored --nocapture"]
fn a_router_in_another_network_dies_and_the_directory_heals() {
    let scene = Scene::new();
    let ann = scene.issue(Role::Observer, "ann");
    let gateways = ["or1", "or2", "or3"].map(|room| {
        let name = format!("{room}-gateway");
        (room, scene.issue(Role::Gateway, &name), format!("{name}=general/{room}/davinci"))
    });
    let network = Network::new(&scene, &HOSTS);
    let at = |host| format!("tls/{}:7447", Network::address(host));
    let identities = [1, 2].map(|n| scene.issue(Role::Gateway, &format!("router-{n}")));
    let route = |host: usize| {
        let other = format!("router-{}", 2 - host);
        let identity = &identities[host];
        let (listen, peer) = (at(host), at(1 - host));
        let mut all = vec!["router", "--identity", identity, "--any-host", "--listen", &listen];
        all.extend(["--router", &other, "--reader", "ann"]);
        all.extend(gateways.iter().flat_map(|(_, _, speaks)| ["--gateway", speaks]));
        if host == 1 {
            all.extend(["--connect", &peer]);
        }
        begin(network.command(host, &all), "routing on")
    };
    let first = route(0);
    let _second = route(1);
    let mut kept = Vec::new();
    for (n, (room, identity, _)) in gateways.iter().enumerate() {
        let robot = Scene::new();
        let agent = robot.robot();
        // Each has its own router first; two have the one that dies.
        let ends = if n == 2 { [at(1), at(0)] } else { [at(0), at(1)] };
        let tap = robot.path("tap");
        let mut all = vec!["run", "--tap", &tap, "--hospital", "general", "--room", room];
        all.extend(["--robot", "davinci", "--identity", identity, "--any-host"]);
        all.extend(["--mode", "client", "--connect", &ends[0], "--connect", &ends[1]]);
        all.extend(["--reader", "router-1", "--reader", "router-2"]);
        let gateway = begin(network.command(n + 2, &all), "is shown below");
        kept.push((gateway, agent, robot));
    }
    let end = at(1);
    let mut watch = vec!["watch", "--identity", &ann, "--any-host", "--mode", "client"];
    watch.extend(["--connect", &end, "--json", "--every-ms", "20"]);
    let mut desk = Desk::new(network.command(DESK, &watch));
    println!("all three are seen {:?} after the desk began", desk.whole());
    let span = Duration::from_secs(12);
    println!("the longest silence of each, of one message a second: {:?}", desk.silences(span));
    drop(first);
    println!("with a router killed at its beginning: {:?}", desk.silences(span * 5));
    desk.whole();
    let again = route(0);
    println!("with the router back at its beginning: {:?}", desk.silences(span));
    // Now they are all the second's, as it stays.
    network.cable(2, "down");
    println!("a room's cable is pulled: seen after {:?}", desk.broken());
    network.cable(2, "up");
    println!("and put back: all three are seen {:?} later", desk.whole());
    drop(again);
    for (gateway, agent, robot) in kept {
        drop(gateway);
        agent.stop().unwrap();
        drop(robot);
    }
}
