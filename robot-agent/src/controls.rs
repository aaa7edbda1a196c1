//! The bedside's controls, typed on standard input or sent over a local socket.
//!
//! Knows: the words and how to answer them. Does not know: what they do to the robot (`follower`).
//! Local only: a Unix socket with the agent's own permissions, no network.

use crate::agent::Bedside;
use longhand_follower::supervisor::Request;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Every word, what it does, for help and for errors.
pub const WORDS: [(&str, &str); 8] = [
    ("enable", "power on, home; the bedside keeps the robot"),
    ("hand-over", "give the robot to the console"),
    ("release", "take the robot back: it holds, the lease ends"),
    ("pause", "hold until resumed"),
    ("resume", "end the pause; the surgeon still has to engage"),
    ("disable", "power off, brakes on"),
    ("estop", "press the emergency stop"),
    ("restart", "release the emergency stop, restart and home after a fault"),
];

/// Longest line that is read: a word is short, and nobody may fill the memory.
const LINE_MAX: u64 = 256;

/// Does what one line asks and says what came of it.
pub fn obey(bedside: &Bedside, line: &str) -> String {
    let request = match line.trim() {
        "enable" => Request::Enable,
        "hand-over" => Request::HandOver,
        "release" => Request::Release,
        "pause" => Request::Pause,
        "resume" => Request::Resume,
        "disable" => Request::Disable,
        "estop" => {
            bedside.emergency_stop(true);
            return "ok: emergency stop pressed".to_owned();
        }
        "restart" => {
            bedside.emergency_stop(false);
            Request::Restart
        }
        "" => return String::new(),
        other => {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            return format!("error: no word {other:?}; the words are {}", words.join(", "));
        }
    };
    match bedside.ask(request) {
        Some(true) => format!("ok: {}", line.trim()),
        Some(false) => format!("refused: {} is not allowed in the present stage", line.trim()),
        None => "error: the servo loop does not answer".to_owned(),
    }
}

/// Obeys standard input until it ends.
pub fn obey_stdin(bedside: Bedside) -> io::Result<()> {
    thread::Builder::new().name("bedside".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let answer = obey(&bedside, &line);
            if !answer.is_empty() {
                eprintln!("{answer}");
            }
        }
    })?;
    Ok(())
}

/// Obeys a Unix socket at `path`, for its owner only. An old socket there is replaced.
///
/// Errors: the socket cannot be made.
pub fn obey_socket(bedside: Bedside, path: PathBuf) -> io::Result<()> {
    if UnixStream::connect(&path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent listens there"));
    }
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    thread::Builder::new().name("bedside".to_owned()).spawn(move || {
        // One at a time, in order: a bedside has one voice.
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let _gone = serve(&bedside, stream);
        }
    })?;
    Ok(())
}

fn serve(bedside: &Bedside, stream: UnixStream) -> io::Result<()> {
    // Somebody who connects and says nothing must not keep the emergency stop from others.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(io::Read::take(stream, LINE_MAX)).lines() {
        writeln!(answers, "{}", obey(bedside, &line?))?;
    }
    Ok(())
}

/// Says one word to an agent's socket and gives its answer.
///
/// Errors: nobody listens there.
pub fn say(path: &Path, word: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    writeln!(stream, "{word}")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
