//! `doctor`: what this machine grants the agent, what is missing, and what follows from it.
//!
//! Knows: what to look at. Does not know: how to mend it beyond saying so.

use longhand_protocol::message::RobotId;
use longhand_protocol::units::{Micros, Robot, TICK};
use longhand_quic::pace::{Lateness, RealTime, SERVO_PRIORITY, Ticker};
use longhand_quic::trust::{Credentials, Role, date};
use serde::Serialize;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

/// How one check came out. Ordered: the worst of all is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Good,
    /// It runs, with limits.
    Limited,
    /// It does not run.
    Bad,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// How it came out.
    pub health: Health,
    /// What was found, and what to do.
    pub found: String,
}

/// Looks at everything; takes about two seconds.
pub fn examine(bind: SocketAddr, identity: &Path, robot: RobotId, state: &Path) -> Vec<Check> {
    let mut checks = loop_checks();
    checks.push(port(bind));
    checks.push(certificate(identity, robot));
    checks.push(folder(state));
    checks
}

const fn check(what: &'static str, health: Health, found: String) -> Check {
    Check { what, health, found }
}

/// Runs an empty servo loop for two seconds on a thread of its own, so that the priority goes with
/// it.
fn loop_checks() -> Vec<Check> {
    let measured = thread::spawn(|| {
        let held = RealTime::acquire(SERVO_PRIORITY, None);
        let granted = held.granted();
        let mut lateness = Lateness::new();
        let mut ticker = Ticker::<Robot>::new(TICK);
        for _ in 0..2_000 {
            lateness.record(&ticker.wait());
        }
        (granted, lateness)
    })
    .join();
    let Ok((granted, lateness)) = measured else {
        return vec![check("servo loop", Health::Bad, "the test thread died".to_owned())];
    };
    let mut missing: Vec<String> = granted.consequences().map(str::to_owned).collect();
    let health = if missing.is_empty() { Health::Good } else { Health::Limited };
    missing.insert(0, granted.to_string());
    vec![check("real time", health, missing.join("; ")), loop_check(&lateness)]
}

/// A tick this late would already stop the arm.
const STALL: Micros = Micros::from_millis(10);

fn loop_check(lateness: &Lateness) -> Check {
    let (p50, p99) = (lateness.quantile(500_000), lateness.quantile(990_000));
    let (worst, missed) = (lateness.worst(), lateness.missed());
    let words = format!(
        "2000 ticks of 1 ms: p50 {} us, p99 {} us, worst {} us late; {missed} missed",
        p50.as_micros(),
        p99.as_micros(),
        worst.as_micros()
    );
    if worst >= STALL {
        let so = "a stall of 10 ms holds a moving arm: for simulated arms use --tolerate-stalls, \
                  for a real one another machine";
        return check("servo loop", Health::Limited, format!("{words}; {so}"));
    }
    let health = if missed > 0 { Health::Limited } else { Health::Good };
    check("servo loop", health, words)
}

fn port(bind: SocketAddr) -> Check {
    match UdpSocket::bind(bind) {
        Ok(_) => check("port", Health::Good, format!("{bind} is free")),
        Err(error) => {
            let found = format!("{bind}: {error}; stop what uses it, or choose another --bind");
            check("port", Health::Bad, found)
        }
    }
}

/// Pre-flight asks for a day of life: expiry in mid-case does not drop a live link, but a reconnect
/// would fail. Source: safety.md A16.
const LIFE_MIN: Duration = Duration::from_secs(24 * 3_600);

fn certificate(identity: &Path, robot: RobotId) -> Check {
    let what = "certificate";
    let (who, revoked) = match Credentials::load(identity) {
        Ok(credentials) => (credentials.who().clone(), credentials.revoked()),
        Err(error) => return check(what, Health::Bad, error.to_string()),
    };
    if revoked.contains(&who.serial) {
        return check(what, Health::Bad, "it was revoked; issue a new one".to_owned());
    }
    let until = date(who.not_after);
    if who.role != Role::Robot || who.robot != Some(robot) {
        let found = format!("it is {} {:?}, not robot {}", who.role, who.name, robot.get());
        return check(what, Health::Bad, format!("{found}; issue one with --role robot"));
    }
    match who.not_after.duration_since(SystemTime::now()) {
        Err(_past) => check(what, Health::Bad, format!("expired {until}; issue a new one")),
        Ok(left) if left < LIFE_MIN => {
            let found = format!("ends {until}, in less than a day; issue a new one before a case");
            check(what, Health::Limited, found)
        }
        Ok(_) => check(what, Health::Good, format!("robot {:?}, until {until}", who.name)),
    }
}

fn folder(state: &Path) -> Check {
    let what = "state folder";
    match crate::epoch::check(state) {
        Ok(()) if state.exists() => {
            check(what, Health::Good, format!("{} keeps the epoch", state.display()))
        }
        Ok(()) => {
            let found = format!("{} does not exist yet; `run` makes it", state.display());
            check(what, Health::Good, found)
        }
        Err(error) => check(what, Health::Bad, error.to_string()),
    }
}
