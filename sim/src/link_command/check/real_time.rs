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

use crate::link_command::{LinkError, run_json, say};
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
    let mut valid = true;
    for profile in links {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let stats = run(profile, seed, lasts, stop)?;
        valid &= stats.is_valid() == Some(true);
        tell(&mut text, profile.name, &stats);
        reports.push(serde_json::from_str(&run_json(profile.name, &stats)).unwrap_or(Value::Null));
    }
    let whole = reports.len() == links.len() && !stop.load(Ordering::Relaxed);
    if as_json {
        let value = json!({
            "schema": "longhand link check in real time v1",
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
    Ok(match (whole, valid) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(3),
    })
}

fn tell(out: &mut String, name: &str, stats: &RelayStats) {
    let error = &stats.error;
    let verdict = match stats.is_valid() {
        Some(true) => "valid",
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
