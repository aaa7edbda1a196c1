//! The page's last card: each word that is not an everyday one, in a sentence.
//!
//! Knows: what the words mean. Does not know: any report.

/// Word and meaning, as they come up on the page.
const WORDS: [(&str, &str); 22] = [
    (
        "May be (95 %)",
        "between which values the truth lies, surely enough: of 100 such intervals 95 hold it. A \
         requirement is shown to hold only if the worse end holds it.",
    ),
    (
        "p50, p99, p99.9",
        "half, 99 %, 99.9 % of all are no longer than this: of 1000 probes one is longer than \
         p99.9.",
    ),
    (
        "Probe, slot",
        "a probe is a small packet that is sent to the robot and answered, as a command is; a slot \
         is the moment at which one is due, whether it was sent or not.",
    ),
    ("Round trip", "from when a probe was due until its answer came back."),
    (
        "One way",
        "the time to the robot, or back, alone. Two clocks never agree wholly, so only bounds can \
         be told.",
    ),
    (
        "Up, down",
        "up is from this console to the robot (commands), down from the robot to the surgeon \
         (pictures, what the arm does).",
    ),
    (
        "Jitter (PDV)",
        "how much later a packet came than the fastest one did (packet delay variation, RFC 5481).",
    ),
    (
        "Change (IPDV)",
        "by how much a packet's delay differs from that of the one before it (RFC 3393).",
    ),
    ("Lost", "sent, and never came. Lost nobody knows where: which way it went is not known."),
    (
        "Outage",
        "10 ms or more in which a way carried nothing. Lost: what was sent meanwhile never came. \
         Held: it waited, and came at once when the link did.",
    ),
    ("Availability", "share of the time in which both ways carried something, outside outages."),
    (
        "Playout buffer",
        "the robot may hold early commands back so that all move it equally late: it trades delay \
         for steadiness. At most: how much delay it may add.",
    ),
    (
        "Watchdog, safe stop",
        "the robot's watchdog brakes the arm to rest when it has heard no new command for so many \
         ms (10 as shipped). Each time is a safe stop.",
    ),
    ("An hour of motion", "an hour in which the arm may move, the time it stood taken out."),
    (
        "In the session, QUIC",
        "the encrypted connection that commands use; QUIC is its protocol (RFC 9000).",
    ),
    ("Plain UDP, twin", "the same packets at the same time without that connection, to compare."),
    (
        "Noise floor",
        "what this computer's own timers and threads add, measured without any network.",
    ),
    (
        "Route change",
        "the shortest time that a packet takes changed and stayed so: another way through the \
         network.",
    ),
    ("ppm", "millionths: 1 ppm is 3.6 ms of drift an hour between two clocks."),
    (
        "DSCP, ECN",
        "marks in a packet by which a network prefers it, or tells that it is full; a network \
         that takes them off does neither.",
    ),
    ("NAT", "a router that lets many share one address, and forgets who is silent for too long."),
    (
        "Seal, SHA-256",
        "a signature, and a fingerprint of a file: whoever alters one letter is found out.",
    ),
];

/// The card.
pub(super) fn words() -> String {
    let all = WORDS.map(|(word, means)| format!("<div><dt>{word}</dt><dd>{means}</dd></div>"));
    format!(
        "<section class=\"card\" id=\"words\"><h2>Words</h2><dl class=\"words\">{}</dl></section>",
        all.concat()
    )
}
