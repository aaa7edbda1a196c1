//! A hospital, a robot and processes of ours, for the tests of the gateway.
#![allow(dead_code, reason = "each test uses its part")]

use longhand_protocol::message::RobotId;
use longhand_quic::trust::{Credentials, Role, Trust};
use longhand_robot_agent::agent::{Agent, AgentConfig};
use longhand_robot_agent::controls;
use longhand_robot_agent::profile_file::NamedProfile;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A folder that goes away with the test, and in it a hospital's trust.
pub struct Scene {
    folder: TempDir,
    trust: Trust,
}

impl Scene {
    pub fn new() -> Self {
        Self::named("longhand-")
    }

    /// In a folder whose name begins so.
    pub fn named(prefix: &str) -> Self {
        let folder = TempDir::with_prefix(prefix).unwrap();
        let trust = Trust::init(&folder.path().join("trust"), "Test Hospital").unwrap();
        trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(7))).unwrap();
        Self { folder, trust }
    }

    pub fn issue(&self, role: Role, name: &str) -> String {
        self.trust.issue(role, name, 1, None).unwrap().folder.display().to_string()
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A robot that is enabled and belongs to the bedside.
    pub fn robot(&self) -> Agent {
        self.robot_at(false)
    }

    /// The same, with whatever real time the machine grants where it is asked for.
    pub fn robot_at(&self, real_time: bool) -> Agent {
        let agent = Agent::start(AgentConfig {
            bind: "127.0.0.1:0".parse().unwrap(),
            robot: RobotId::new(7),
            credentials: Credentials::load(&self.folder.path().join("trust/or3")).unwrap(),
            profile: NamedProfile::load("default").unwrap().tolerating_stalls().unwrap(),
            state: self.folder.path().join("state"),
            qlog: None,
            real_time,
            tolerate_stalls: true,
            observer: None,
            record: None,
            probe_twin: None,
            tap: Some(self.folder.path().join("tap")),
        });
        let agent = agent.unwrap();
        let told = controls::obey(&agent.bedside(), "enable");
        assert!(told.starts_with("ok"), "{told}");
        agent
    }
}

/// A process that ends with the test.
pub struct Ends(pub Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts the gateway and waits until it has said `ready`.
pub fn gateway(arguments: &[&str], ready: &str) -> Ends {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-gateway"));
    command.args(arguments).env_remove("LONGHAND_LOG").env("NO_COLOR", "1");
    begin(command, ready)
}

/// Starts a process and waits until it has said `ready` on its standard error; what it says after
/// that is shown where the test fails.
pub fn begin(mut command: Command, ready: &str) -> Ends {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let child = Ends(child);
    let mut said = String::new();
    let is_ready = lines.by_ref().map(Result::unwrap).any(|line| {
        said.push_str(&line);
        said.push('\n');
        line.contains(ready)
    });
    assert!(is_ready, "{command:?} never said {ready:?}:\n{said}");
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
    child
}

/// Runs a command to its end, which must be a good one.
pub fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
