//! The bedside's controls, typed on standard input or sent over a local socket.
//!
//! Knows: the words and how to answer them. Does not know: what they do to the robot (`follower`).
//! Local only: a Unix socket with the agent's own permissions, no network.
//!
//! Bounds: [`CLIENTS_MAX`] clients at once, a thread each, so that none waits for another; whoever
//! comes beyond that may only press the emergency stop. Standard input has a thread of its own.

use crate::agent::Bedside;
use longhand_follower::supervisor::{Denial, Outcome, Request};
use longhand_protocol::message::{RecordAlarm, Stage};
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_quic::clock::robot_now;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Every word, what it does, for help and for errors.
pub const WORDS: [(&str, &str); 8] = [
    ("enable", "power on, where the arms stand; the bedside keeps the robot"),
    ("hand-over", "give the robot to the console; the answer says whose"),
    ("release", "take the robot back: it holds, the lease ends, another surgeon may ask"),
    ("pause", "hold until resumed"),
    ("resume", "end the pause; the surgeon still has to engage"),
    ("disable", "power off, brakes on"),
    ("estop", "press the emergency stop"),
    ("restart", "release the emergency stop, restart after a fault; then enable"),
];

/// Longest line that is read: a word is short, and nobody may fill the memory.
const LINE_MAX: u64 = 256;
/// Clients of the socket at once. Chosen: a few panels and a person; the newest beyond is refused.
pub const CLIENTS_MAX: usize = 8;
/// Clients that wait to be let in. Chosen: what the standard library asks for.
const BACKLOG: i32 = 128;
/// A client that says nothing for so long is let go. Chosen: a person types slower, a panel does
/// not.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How often a terminal is tried that is another job's. Chosen: a word waits no longer than that
/// after `fg`.
const BACKGROUND_LOOK: Duration = Duration::from_millis(100);
/// The time of one beyond [`CLIENTS_MAX`], whom the next must wait for, for the whole line: who
/// drips bytes has no more. Chosen: `bedside estop` says its word at once.
const CROWDED_TIME_MAX: Micros = Micros::from_millis(200);
/// The longest line of such a one: `estop` and its end, and room to be told of a mistake.
const CROWDED_LINE_MAX: usize = 16;

/// Does what one line asks and says what came of it.
pub fn obey(bedside: &Bedside, line: &str) -> String {
    // A nurse's keyboard may be in capitals.
    let word = line.trim().to_ascii_lowercase();
    let request = match word.as_str() {
        "enable" => Request::Enable,
        "hand-over" => Request::HandOver,
        "release" => Request::Release,
        "pause" => Request::Pause,
        "resume" => Request::Resume,
        "disable" => Request::Disable,
        "estop" => return emergency_stop(bedside),
        "restart" => Request::Restart,
        "" => return String::new(),
        other => {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            return format!("error: no word {other:?}; the words are {}", words.join(", "));
        }
    };
    match bedside.ask(request) {
        Some(Outcome::Done) => {
            let is_given = request == Request::HandOver;
            let whom =
                if is_given { format!(" to {}", bedside.handed_to()) } else { String::new() };
            format!("ok: {word}{whom}{}", troubles(bedside))
        }
        Some(Outcome::Refused(denial)) => {
            format!("refused: {}", denial_words(&word, denial, bedside.stage()))
        }
        None => format!("error: the servo loop does not answer; {word} will not be done later"),
    }
}

/// What the bedside must know beside the answer to its word; empty where all is well.
fn troubles(bedside: &Bedside) -> String {
    let record = match bedside.record_alarm() {
        RecordAlarm::None => None,
        alarm @ (RecordAlarm::Behind | RecordAlarm::Failed) => Some(alarm.advice()),
    };
    let both = record.into_iter().chain(bedside.network_ended());
    both.map(|trouble| format!("; but {trouble}")).collect()
}

/// Why `word` was refused, and what to do.
fn denial_words(word: &str, denial: Denial, stage: Stage) -> String {
    match denial {
        Denial::Stage => stage_words(word, stage),
        Denial::Unreadable(arm) => {
            format!("{}'s position cannot be read; see to its encoders, then {word}", arm.name())
        }
        Denial::Outside(arm, joint) => format!(
            "{}'s {} stands outside its range; move the arm inside by hand, then {word}",
            arm.name(),
            joint.name()
        ),
    }
}

/// Why a word was refused in this stage, and which word leads on.
fn stage_words(word: &str, stage: Stage) -> String {
    let next = match stage {
        Stage::SafeOff => "say restart first, then enable",
        Stage::Disabled => "say enable first",
        Stage::Bedside if word == "enable" => "it is enabled; hand-over gives it to the console",
        Stage::Bedside => "hand-over gives it to the console first",
        Stage::Follow | Stage::Coast | Stage::Brake | Stage::Hold | Stage::Latched => {
            "the console has it; release takes it back, disable switches it off"
        }
    };
    format!("{word} is not allowed while the robot is in {}; {next}", stage.name())
}

fn emergency_stop(bedside: &Bedside) -> String {
    if bedside.emergency_stop() {
        "ok: emergency stop pressed".to_owned()
    } else {
        "error: the servo loop does not answer; use the robot's own emergency stop".to_owned()
    }
}

/// Whether nobody can ever say a word on standard input: it is `/dev/null`, or closed.
pub fn stdin_is_nobodys() -> bool {
    let device = |path| std::fs::metadata(path).map(|about| about.rdev());
    match (device("/proc/self/fd/0"), device("/dev/null")) {
        (Ok(stdin), Ok(null)) => stdin == null,
        (Err(_), _) => true,
        (Ok(_), Err(_)) => false,
    }
}

/// Obeys standard input until it ends, and says so in the log. A terminal that is another job's
/// meanwhile is looked at again: who brings the agent to the foreground is heard.
pub fn obey_stdin(bedside: Bedside) -> io::Result<()> {
    thread::Builder::new().name("bedside".to_owned()).spawn(move || {
        let ended = obey_terminal(&bedside, io::stdin().lock(), || thread::sleep(BACKGROUND_LOOK));
        if let Err(error) = ended {
            tracing::error!("standard input cannot be read: {error}");
        }
        tracing::info!("standard input has ended: no more bedside words come from there");
    })?;
    Ok(())
}

/// Errors: the lines cannot be read, for another reason than that the agent is in the background.
fn obey_terminal(
    bedside: &Bedside,
    mut lines: impl BufRead,
    mut wait: impl FnMut(),
) -> io::Result<()> {
    let mut is_told = false;
    loop {
        let ended = obey_lines(bedside, &mut lines, |answer| {
            if !answer.is_empty() {
                eprintln!("{answer}");
            }
            Ok(())
        });
        match ended {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                if !is_told {
                    tracing::warn!(
                        "this agent is not in the terminal's foreground: bedside words come by \
                         --bedside-socket only, until `fg`"
                    );
                }
                is_told = true;
                wait();
            }
            ended => return ended,
        }
    }
}

/// A Unix socket at `path`, for its owner only. An old socket there is replaced. Who connects waits
/// until [`obey_socket`].
///
/// Errors: the socket cannot be made; another agent listens there; what is there is no socket, and
/// is left as it is.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent listens there"));
    }
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            let words = "something that is no socket is there; move it away, or name another file";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, words));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Before it has a name, so that nobody else can connect in between: Linux gives the file the
    // mode of the socket. Why not umask: that is the whole process's.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// Obeys whoever connects.
///
/// Errors: no thread.
pub fn obey_socket(bedside: Bedside, listener: UnixListener) -> io::Result<()> {
    thread::Builder::new().name("bedside".to_owned()).spawn(move || {
        let clients = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            // What cannot be answered any more is the client's loss; the word has been obeyed.
            let _gone = admit(&bedside, &clients, stream);
        }
    })?;
    Ok(())
}

/// A thread for the client, if there is room.
fn admit(bedside: &Bedside, clients: &Arc<AtomicUsize>, stream: UnixStream) -> io::Result<()> {
    if clients.load(Ordering::Acquire) >= CLIENTS_MAX {
        return serve_crowded(bedside, stream);
    }
    clients.fetch_add(1, Ordering::AcqRel);
    let (bedside, seat) = (bedside.clone(), Seat(Arc::clone(clients)));
    thread::Builder::new().name("bedside client".to_owned()).spawn(move || {
        let _gone = serve(&bedside, stream);
        drop(seat);
    })?;
    Ok(())
}

/// Given back however the client's thread ends, or where it never began.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn serve(bedside: &Bedside, stream: UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut answers = stream.try_clone()?;
    obey_lines(bedside, BufReader::new(stream), |answer| writeln!(answers, "{answer}"))
}

/// Obeys every line until there are no more. Whatever stands in one, the next is read: a stop may
/// come after any mistake.
///
/// Errors: the lines cannot be read, or the answers not said.
fn obey_lines(
    bedside: &Bedside,
    mut lines: impl BufRead,
    mut answer: impl FnMut(String) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        match next_line(&mut lines)? {
            Line::Said(line) => answer(obey(bedside, &line))?,
            Line::TooLong => answer(format!("error: a line is longer than {LINE_MAX} bytes"))?,
            Line::End => return Ok(()),
        }
    }
}

/// What somebody said up to the end of a line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// As text; what is no text in it stands as U+FFFD, and is no word.
    Said(String),
    /// More than [`LINE_MAX`] bytes: nothing of it counts.
    TooLong,
    /// Nobody will say anything any more.
    End,
}

/// The next line, its newline included where it has one. Keeps at most [`LINE_MAX`] bytes.
fn next_line(lines: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let got = Read::take(&mut *lines, LINE_MAX).read_until(b'\n', &mut line)?;
    if got == 0 {
        return Ok(Line::End);
    }
    let is_whole = line.ends_with(b"\n") || u64::try_from(got).is_ok_and(|got| got < LINE_MAX);
    if is_whole {
        return Ok(Line::Said(String::from_utf8_lossy(&line).into_owned()));
    }
    lines.skip_until(b'\n')?;
    Ok(Line::TooLong)
}

/// One word, on the accepting thread: the emergency stop, or a refusal.
fn serve_crowded(bedside: &Bedside, mut stream: UnixStream) -> io::Result<()> {
    // Silent or not, it is answered below.
    let line = crowded_line(&mut stream, robot_now);
    let answer = if line.trim_ascii().eq_ignore_ascii_case(b"estop") {
        emergency_stop(bedside)
    } else {
        format!("refused: {CLIENTS_MAX} clients are connected already; only estop is obeyed now")
    };
    stream.set_write_timeout(Some(Duration::from_micros(CROWDED_TIME_MAX.as_micros())))?;
    writeln!(stream, "{answer}")
}

/// What the client says until its line, its room or its time ends; an `estop` without its
/// newline then counts all the same.
fn crowded_line(stream: &mut UnixStream, mut now: impl FnMut() -> Instant<Robot>) -> Vec<u8> {
    let ends_at = now().after(CROWDED_TIME_MAX);
    let mut line = Vec::new();
    while line.len() < CROWDED_LINE_MAX && !line.ends_with(b"\n") {
        let left = Duration::from_micros(ends_at.since(now()).as_micros());
        // No time left is refused as a timeout, too.
        if stream.set_read_timeout(Some(left)).is_err() {
            break;
        }
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1..) => line.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    line
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

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_quic::mailbox::Mailbox;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut rest = bytes;
        let mut lines = Vec::new();
        while let line @ (Line::Said(_) | Line::TooLong) = next_line(&mut rest).unwrap() {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn no_line_ends_the_lines_and_each_has_the_whole_limit() {
        let said = |text: &str| Line::Said(text.to_owned());
        assert_eq!(lines(b"\xff\nestop\n"), [said("\u{fffd}\n"), said("estop\n")]);
        assert_eq!(lines(b"estop"), [said("estop")], "the last needs no newline");
        let fits = usize::try_from(LINE_MAX).unwrap() - 1;
        for (length, is_said) in [(fits - 1, true), (fits, true), (fits + 1, false)] {
            let long = format!("{}\n", "x".repeat(length));
            let all = lines(format!("{long}{long}estop\n").as_bytes());
            let one = || if is_said { said(&long) } else { Line::TooLong };
            assert_eq!(all, [one(), one(), said("estop\n")], "{length}");
        }
        assert_eq!(lines("x".repeat(100_000).as_bytes()), [Line::TooLong]);
    }

    /// A terminal whose foreground is another job's for the first looks.
    struct Terminal {
        looks: usize,
        rest: &'static [u8],
    }

    impl Read for Terminal {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.looks > 0 {
                self.looks -= 1;
                return Err(Errno::IO.into());
            }
            self.rest.read(buf)
        }
    }

    #[test]
    fn an_agent_in_the_background_waits_for_its_terminal_and_then_hears_every_word() {
        let shared = Arc::default();
        let bedside = Bedside::new(Mailbox::pair().0, Mailbox::pair().1, &shared);
        let mut waits = 0;
        let terminal = Terminal { looks: 3, rest: b"estop\n" };
        obey_terminal(&bedside, BufReader::new(terminal), || waits += 1).unwrap();
        assert_eq!(waits, 3);
        assert_eq!(shared.presses.load(Ordering::Acquire), 1);
    }

    /// Each look at the clock finds half the time gone.
    #[test]
    fn a_crowded_client_that_drips_has_one_time_for_its_whole_line() {
        let (mut client, mut stream) = UnixStream::pair().unwrap();
        client.write_all(b"release\n").unwrap();
        let mut at = Instant::from_micros(1_000_000);
        let mut heard = |step: Micros| {
            let clock = || {
                at = at.after(step);
                at
            };
            crowded_line(&mut stream, clock)
        };
        assert_eq!(heard(Micros::from_millis(90)), b"re", "the third look is too late");
        assert_eq!(heard(Micros::from_millis(1)), b"lease\n");
    }
}
