//! `link reflect`: other people's clients measure against us.
//!
//! Knows: arguments, threads and what is printed. Does not know: any protocol (`crate::peers`).

use std::net::UdpSocket;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use longhand_protocol::units::Micros;
use longhand_quic::clock::link_now;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;

use super::{LinkError, address, say, written_time};
use crate::peers::irtt::Irtt;
use crate::peers::stamp::Stamp;
use crate::peers::{Answers, Counts, serve};

const EXAMPLES: &str = "Examples:
  longhand-sim link reflect --irtt 0.0.0.0:2112 --stamp 0.0.0.0:8620
      `irtt client -i 10ms -d 1m HOST` and any STAMP sender measure the way to this machine.
  longhand-sim link reflect --irtt 0.0.0.0:2112 --hmac-key-file key --for 10m --json
      Only who has the key (`irtt client --hmac=...`) is answered; counts as JSON at the end.

It answers whoever asks, so it is of no use to who would harm others: only what parses is answered,
an answer is never longer than its question (irtt's open: eight bytes more, ten a second in all),
64 addresses at once, 4000 answers a second each (all ports of an address, a /64 of IPv6), 8000 in
all. Keep --stamp off the internet: whoever writes another's address into a question has it answered
there; irtt's clients show that theirs is their own. STAMP's well-known port, 862, needs privileges.
It runs at normal priority, behind whatever has real time on this machine, as a robot's threads.

Exit codes: 0 done; 1 an address cannot be had; 2 wrong usage.";

/// How STAMP's answers are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// As the questions.
    Stateless,
    /// By themselves, from 0, each session's: loss on the way back is told from loss there.
    Stateful,
}

/// `longhand-sim link reflect`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReflectArgs {
    /// Answer irtt's clients (protocol 1) here; its usual port is 2112
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "stamp")]
    irtt: Option<String>,
    /// Answer STAMP senders (RFC 8762, unauthenticated) here
    #[arg(long, value_name = "ADDRESS:PORT")]
    stamp: Option<String>,
    /// How STAMP's answers are numbered
    #[arg(long, value_enum, default_value_t = Mode::Stateless, requires = "stamp")]
    stamp_mode: Mode,
    /// irtt's key: the file's bytes, without a line's end at its end
    #[arg(long, value_name = "FILE", requires = "irtt")]
    hmac_key_file: Option<PathBuf>,
    /// Stop after this time, 30s, 10m, 24h; without it, on Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = written_time,
          allow_negative_numbers = true)]
    lasts: Option<Micros>,
    /// Print what came as JSON
    #[arg(long)]
    json: bool,
}

/// A key as it lies in a file.
pub(super) fn key(path: &Path) -> Result<Vec<u8>, LinkError> {
    let failed = |why| LinkError::File { doing: "read", path: path.to_owned(), why };
    let mut key = std::fs::read(path).map_err(failed)?;
    while key.pop_if(|byte| matches!(byte, b'\n' | b'\r')).is_some() {}
    if key.is_empty() {
        let why = "it holds no key".to_owned();
        let help = "write the key that irtt's --hmac has into it";
        return Err(LinkError::Content { path: path.to_owned(), why, help });
    }
    Ok(key)
}

/// Reflects until the time is over, or `stop`.
pub(super) fn reflect(args: &ReflectArgs, stop: &AtomicBool) -> Result<ExitCode, LinkError> {
    let key = args.hmac_key_file.as_deref().map(key).transpose()?;
    let random = SystemRandom::new();
    let draw = move || {
        let mut bytes = [0; 8];
        // Without the system's randomness no token, and no session.
        random.fill(&mut bytes).ok()?;
        NonZeroU64::new(u64::from_le_bytes(bytes))
    };
    let is_stateful = args.stamp_mode == Mode::Stateful;
    let mut doors: Vec<(&str, UdpSocket, Box<dyn Answers>)> = Vec::new();
    if let Some(at) = &args.irtt {
        doors.push(("irtt", bound(at)?, Box::new(Irtt::new(key, draw))));
    }
    if let Some(at) = &args.stamp {
        doors.push(("stamp", bound(at)?, Box::new(Stamp::new(is_stateful))));
    }
    let ended = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for (name, socket, peer) in doors {
        let system = |why| LinkError::Address { text: name.to_owned(), purpose: "listen on", why };
        eprintln!("{name} {}; Ctrl-C ends it", socket.local_addr().map_err(system)?);
        let ended = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let running = thread.spawn(move || serve(&socket, peer, &ended)).map_err(system)?;
        threads.push((name, running));
    }
    let until = args.lasts.map(|lasts| link_now().after(lasts));
    while !stop.load(Ordering::Acquire) && until.is_none_or(|until| link_now() < until) {
        std::thread::sleep(Duration::from_millis(50));
    }
    ended.store(true, Ordering::Release);
    let mut all = json!({"schema": "longhand link reflect v1"});
    let mut lines = String::new();
    for (name, thread) in threads {
        let counts: Counts = thread.join().ok().and_then(Result::ok).unwrap_or_default();
        let Counts { came, not_read, answered, not_sent, ignored } = &counts;
        let why: Vec<String> = ignored.iter().map(|(why, n)| format!(", {why} {n}")).collect();
        lines += &format!(
            "{name}: {came} came, {not_read} not read, {answered} answered, {not_sent} not \
             sent{}\n",
            why.concat()
        );
        if let Some(members) = all.as_object_mut() {
            members.insert(name.to_owned(), json!(counts));
        }
    }
    say(&if args.json { format!("{all}\n") } else { lines });
    Ok(ExitCode::SUCCESS)
}

fn bound(text: &str) -> Result<UdpSocket, LinkError> {
    let purpose = "listen on";
    UdpSocket::bind(address(text, purpose)?).map_err(|why| LinkError::Address {
        text: text.to_owned(),
        purpose,
        why,
    })
}
