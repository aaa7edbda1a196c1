//! The relay that ships, on loopback, against the clock: how much later than due a packet left.
//!
//! Knows: two ends that send at 1 kHz each. Does not know: what the link does (`longhand_link`), or
//! how the relay measures itself (`relay`).

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use longhand_link::{LinkModel, Profile};
use longhand_protocol::units::{Link, Micros, TICK};
use longhand_quic::clock::link_now;
use longhand_quic::pace::Ticker;
use serde_json::{Value, json};

use crate::link_command::{LinkError, Ran, run_json, say};
use crate::measure::DelaySummary;
use crate::relay::{Relay, RelayError, RelayStats};

/// Source: links.md section 9, E3, on an idle host.
const P50_GOAL_US: u64 = 30;
const P99_GOAL_US: u64 = 150;

/// Bytes of a packet. Chosen: near a command and its carrier.
const BYTES: usize = 300;

/// Any port of this machine, for this machine alone.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) fn check(
    links: &[&'static Profile],
    seed: u64,
    lasts: Micros,
    as_json: bool,
    stop: &AtomicBool,
) -> Result<ExitCode, LinkError> {
    let (mut text, mut reports) = (String::new(), Vec::new());
    let (mut valid, mut meets) = (true, true);
    for profile in links {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let stats = run(profile, seed, lasts, stop)?;
        valid &= stats.is_valid() == Some(true);
        meets &= meets_goals(&stats.error);
        tell(&mut text, profile.name, &stats);
        let met = meets_goals(&stats.error);
        let ran = Ran { stats, trace_ended: false };
        let mut report = serde_json::from_str(&run_json(profile.name, &ran)).unwrap_or(Value::Null);
        if let Some(object) = report.as_object_mut() {
            object.insert(String::from("meets_goals"), json!(met));
        }
        reports.push(report);
    }
    let whole = reports.len() == links.len() && !stop.load(Ordering::Relaxed);
    if as_json {
        let value = json!({
            "schema": "longhand link check in real time v2",
            "seconds": lasts.as_secs_f64(),
            "seed": seed,
            "complete": whole,
            "goal_us": { "p50": P50_GOAL_US, "p99": P99_GOAL_US },
            "links": reports,
        });
        say(&format!("{value:#}\n"));
    } else {
        let goal = format!("goal on an idle machine: p50 {P50_GOAL_US}, p99 {P99_GOAL_US} us\n");
        say(&(text + &goal));
    }
    Ok(ExitCode::from(code(whole, valid, meets)))
}

/// A machine that stalled says nothing of the relay, whatever the figures; one that did not has
/// none to blame but the relay where a goal is missed.
const fn code(whole: bool, valid: bool, meets: bool) -> u8 {
    match (whole, valid, meets) {
        (false, ..) | (true, true, false) => 1,
        (true, true, true) => 0,
        (true, false, _) => 3,
    }
}

/// Both goals of E3.
const fn meets_goals(error: &DelaySummary) -> bool {
    error.p50 <= P50_GOAL_US && error.p99 <= P99_GOAL_US
}

fn tell(out: &mut String, name: &str, stats: &RelayStats) {
    let error = &stats.error;
    let verdict = match stats.is_valid() {
        Some(true) if meets_goals(error) => "valid, meets the goals",
        Some(true) => "valid, MISSES A GOAL",
        Some(false) => "INVALID: the machine stalled",
        None => "INVALID: no packet came through",
    };
    let _ = writeln!(
        out,
        "{name:24} added error p50 {} us, p99 {} us, p99.9 {} us, max {} us over {} packets; {} \
         more than 5 ms late; {verdict}",
        error.p50, error.p99, error.p999, error.max, error.count, stats.stalled
    );
}

fn run(
    profile: &'static Profile,
    seed: u64,
    lasts: Micros,
    stop: &AtomicBool,
) -> Result<RelayStats, LinkError> {
    let system = |why| LinkError::Relay(RelayError::System(why));
    let (near, far) = (socket().map_err(system)?, socket().map_err(system)?);
    let to = far.local_addr().map_err(system)?;
    let relay = Relay::start(LOOPBACK, to, LinkModel::from(profile), seed)?;
    let until = link_now().after(lasts);
    let going = || link_now() < until && !stop.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        let at = relay.local_addr();
        scope.spawn(move || send(&near, Some(at), going));
        scope.spawn(move || send(&far, None, going));
    });
    Ok(relay.stop()?)
}

fn socket() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(LOOPBACK)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends one packet each millisecond to `to`, or to whoever was heard last; empties the socket.
fn send(socket: &UdpSocket, mut to: Option<SocketAddr>, going: impl Fn() -> bool) {
    let mut ticker = Ticker::<Link>::new(TICK);
    let mut bytes = [0_u8; BYTES];
    while going() {
        let _tick = ticker.wait();
        loop {
            match socket.recv_from(&mut bytes) {
                Ok((_, from)) => to = Some(to.unwrap_or(from)),
                Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                // The other end is gone; the relay counts what it could not send.
                Err(_) => break,
            }
        }
        if let Some(to) = to {
            // What the system refuses never reaches the relay, which measures only what did.
            let _refused = socket.send_to(&bytes, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each goal at its bound, and a microsecond beyond.
    #[test]
    fn a_missed_goal_fails_and_a_stalled_machine_says_nothing() {
        let error = |p50, p99| DelaySummary { count: 10_000, p50, p99, ..DelaySummary::default() };
        assert!(meets_goals(&error(P50_GOAL_US, P99_GOAL_US)));
        assert!(!meets_goals(&error(P50_GOAL_US + 1, P99_GOAL_US)));
        assert!(!meets_goals(&error(P50_GOAL_US, P99_GOAL_US + 1)));
        assert_eq!((code(true, true, true), code(true, true, false)), (0, 1));
        assert_eq!((code(true, false, true), code(true, false, false)), (3, 3));
        assert_eq!((code(false, true, true), code(false, false, false)), (1, 1));
    }
}
