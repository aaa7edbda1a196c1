//! `doctor`: what this machine lacks, and what follows from it.
//!
//! Knows: what a console needs of a machine. Does not know: how it is used.

use super::{Done, FAILED};
use clap::Args;
use longhand_console::LEADER_PRIORITY;
use longhand_quic::pace::{Denied, Granted, RealTime, Scheduler};
use longhand_quic::trust::{Credentials, Role, date};
use serde::Serialize;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// A certificate must hold this much longer. Chosen: longer than any operation; it is never renewed
/// in the middle of one.
const VALID_AT_LEAST: Duration = Duration::from_secs(24 * 3_600);

/// Looks at priority, memory, ports and certificate.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  longhand-console doctor\n  \
    longhand-console doctor --identity trust/dr-lee --page-port 8080 --json")]
pub struct Doctor {
    /// The identity folder to look at, as `trust issue` wrote it.
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// The page's port on 127.0.0.1; left out, any free one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    page_port: u16,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

/// How bad one finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Good,
    Limited,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    health: Health,
    found: String,
    follows: String,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, health: Health::Good, found: found.into(), follows: String::new() }
    }

    fn bad(
        what: &'static str,
        health: Health,
        found: impl Into<String>,
        follows: impl Into<String>,
    ) -> Self {
        Self { what, health, found: found.into(), follows: follows.into() }
    }
}

#[derive(Debug, Serialize)]
struct Findings {
    schema: &'static str,
    health: Health,
    checks: Vec<Finding>,
}

impl Doctor {
    /// Prints every finding; the worst decides the exit code.
    pub fn run(self) -> Done {
        let mut findings = real_time();
        findings.push(network());
        findings.push(page_port(self.page_port));
        findings.push(match &self.identity {
            Some(folder) => certificate(&Credentials::load(folder), SystemTime::now()),
            None => Finding::bad(
                "certificate",
                Health::Limited,
                "not looked at",
                "name the folder with --identity to have it checked",
            ),
        });
        let health = findings.iter().map(|one| one.health).max().unwrap_or(Health::Good);
        let all = Findings { schema: "longhand console doctor v1", health, checks: findings };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&all).unwrap_or_default());
        } else {
            print(&all);
        }
        Ok(match health {
            Health::Good => ExitCode::SUCCESS,
            Health::Limited | Health::Bad => ExitCode::from(FAILED),
        })
    }
}

fn print(all: &Findings) {
    for one in &all.checks {
        let mark = match one.health {
            Health::Good => "good   ",
            Health::Limited => "limited",
            Health::Bad => "BAD    ",
        };
        println!("{mark}  {:<18} {}", one.what, one.found);
        if !one.follows.is_empty() {
            println!("{:29}{}", "", one.follows);
        }
    }
    println!(
        "{}",
        match all.health {
            Health::Good => "Everything is good.",
            Health::Limited => "Usable, with the limits above.",
            Health::Bad => "This console cannot run until what is BAD is mended.",
        }
    );
}

/// Asked on a thread of its own, which ends with what it was granted.
fn real_time() -> Vec<Finding> {
    let asked = std::thread::spawn(|| RealTime::acquire(LEADER_PRIORITY, None).granted()).join();
    match asked {
        Ok(granted) => granted_findings(&granted),
        Err(_) => vec![Finding::bad(
            "real-time priority",
            Health::Limited,
            "could not be asked for",
            "see the message above",
        )],
    }
}

fn granted_findings(granted: &Granted) -> Vec<Finding> {
    let refused = |what, error: &Denied, follows: &str| {
        Finding::bad(what, Health::Limited, error.to_string(), follows)
    };
    let priority = match granted.scheduler {
        Scheduler::Fifo(level) => {
            Finding::good("real-time priority", format!("SCHED_FIFO {}", level.get()))
        }
        Scheduler::Normal(why) => refused(
            "real-time priority",
            &why,
            "under load commands leave milliseconds late, and the robot brakes when they are 10 ms \
             late; run as root, grant CAP_SYS_NICE, or set `rtprio` in limits.conf",
        ),
    };
    let memory = match &granted.memory_locked {
        Ok(()) => Finding::good("memory lock", "all memory stays in RAM"),
        Err(why) => refused(
            "memory lock",
            why,
            "a page fault may stall a tick for milliseconds; grant CAP_IPC_LOCK, or set \
             `memlock unlimited` in limits.conf",
        ),
    };
    let sleep = match &granted.cpu_dma_latency {
        Ok(()) => Finding::good("processor sleep", "held awake"),
        Err(why) => refused(
            "processor sleep",
            why,
            "ticks wake about 35 us later; grant write access to /dev/cpu_dma_latency",
        ),
    };
    vec![priority, memory, sleep]
}

fn network() -> Finding {
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        Ok(_) => Finding::good("network", "UDP sockets can be opened"),
        Err(error) => Finding::bad(
            "network",
            Health::Bad,
            error.to_string(),
            "no robot can be reached; see the process's limits and sandbox",
        ),
    }
}

fn page_port(port: u16) -> Finding {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Finding::good("page", "can be served on 127.0.0.1"),
        Err(error) => Finding::bad(
            "page",
            Health::Limited,
            format!("127.0.0.1:{port}: {error}"),
            "no page: only scripts can move the hands; choose another --page-port",
        ),
    }
}

fn certificate(
    loaded: &Result<Credentials, longhand_quic::trust::TrustError>,
    now: SystemTime,
) -> Finding {
    let what = "certificate";
    let missing = |found: String, follows: &str| Finding::bad(what, Health::Bad, found, follows);
    let credentials = match loaded {
        Ok(credentials) => credentials,
        Err(error) => return missing(error.to_string(), "no robot lets this console in"),
    };
    let who = credentials.who();
    let until = format!("{who}, until {}", date(who.not_after));
    match who.role {
        Role::Surgeon | Role::Engineer => {}
        Role::Observer | Role::Gateway => {
            let follows = "this role may neither move a robot nor measure its link; use a \
                           surgeon's identity, or an engineer's to measure";
            return missing(until, follows);
        }
        Role::Robot => {
            let follows =
                "this is a robot's identity; use a surgeon's, or an engineer's to measure";
            return missing(until, follows);
        }
    }
    if credentials.revoked().contains(&who.serial) {
        return missing(format!("{who}, revoked"), "no robot lets it in; issue a new one");
    }
    if now < who.not_before {
        let from = format!("{who}, from {}", date(who.not_before));
        return missing(from, "not valid yet; check this machine's clock");
    }
    match who.not_after.duration_since(now) {
        Err(_) => missing(until, "it has expired; issue a new one"),
        Ok(left) if left < VALID_AT_LEAST => Finding::bad(
            what,
            Health::Limited,
            until,
            "less than 24 hours left: it may end in the middle of a case; issue a new one",
        ),
        Ok(_) if who.role == Role::Engineer => {
            Finding::good(what, format!("{until}; it measures links (qualify) and moves nothing"))
        }
        Ok(_) => Finding::good(what, until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::message::RobotId;
    use longhand_quic::trust::{Authority, TrustError, Validity};

    fn issued(role: Role) -> Result<Credentials, TrustError> {
        let authority = Authority::ephemeral("Test Hospital")?;
        let robot = (role == Role::Robot).then_some(RobotId::new(1));
        let identity = authority.issue(role, "somebody", robot, Validity::days(30)?)?;
        authority.credentials(&identity)
    }

    #[test]
    fn a_certificate_must_be_a_surgeons_or_an_engineers_and_hold_for_24_hours() {
        let good = issued(Role::Surgeon);
        let ends = good.as_ref().unwrap().who().not_after;
        let begins = good.as_ref().unwrap().who().not_before;
        let second = Duration::from_secs(1);
        for (now, health) in [
            (ends - VALID_AT_LEAST, Health::Good),
            (ends - VALID_AT_LEAST + second, Health::Limited),
            (ends + second, Health::Bad),
            (begins - second, Health::Bad),
        ] {
            assert_eq!(certificate(&good, now).health, health, "{now:?}");
        }
        let engineer = certificate(&issued(Role::Engineer), begins);
        assert_eq!(engineer.health, Health::Good);
        assert!(engineer.found.contains("moves nothing"), "{}", engineer.found);
        for role in [Role::Robot, Role::Observer, Role::Gateway] {
            assert_eq!(certificate(&issued(role), begins).health, Health::Bad, "{role}");
        }
    }

    #[test]
    fn a_revoked_certificate_is_bad_as_soon_as_the_list_says_so() {
        let mut authority = Authority::ephemeral("Test Hospital").unwrap();
        let life = Validity::days(30).unwrap();
        let identity = authority.issue(Role::Surgeon, "somebody", None, life).unwrap();
        let before = authority.credentials(&identity);
        let (who, at) = {
            let who = before.as_ref().unwrap().who();
            (who.clone(), who.not_before)
        };
        assert_eq!(certificate(&before, at).health, Health::Good);
        authority.revoke(&[&who]).unwrap();
        assert_eq!(certificate(&authority.credentials(&identity), at).health, Health::Bad);
    }

    #[test]
    fn what_is_refused_says_what_follows() {
        let denied = Granted {
            scheduler: Scheduler::Normal(Denied::Permission),
            pinned: None,
            memory_locked: Err(Denied::MemoryLimit),
            cpu_dma_latency: Err(Denied::Absent),
        };
        for finding in granted_findings(&denied) {
            assert_eq!(finding.health, Health::Limited);
            assert!(!finding.follows.is_empty() && !finding.found.is_empty());
        }
    }
}
