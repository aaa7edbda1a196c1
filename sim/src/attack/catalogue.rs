//! The catalogue: every attack, what must come of it, and where that is shown.
//!
//! Source: safety.md section 3.3, whose numbers, actions and expectations these are.

use super::Tried;
use super::in_world::{insiders, times, words};

/// Where an attack is made.
#[derive(Clone, Copy)]
pub enum Runs {
    /// In the virtual world, once for every seed.
    World(fn(u64) -> Tried),
    /// Against real processes on loopback: a test of `sim/tests/attacks_live.rs`, or others.
    Live(&'static str),
    /// A type or a test holds it; nothing is left to attack. Where.
    Held(&'static str),
    /// What would be attacked does not exist yet.
    NotBuilt(&'static str),
}

/// One row.
#[derive(Clone, Copy)]
pub struct Attack {
    /// `A01` to `A40`.
    pub id: &'static str,
    /// What is done.
    pub action: &'static str,
    /// What must come of it.
    pub expected: &'static str,
    /// Where it is made.
    pub runs: Runs,
    /// What of the expectation nobody shows yet, and why.
    pub lacks: Option<&'static str>,
}

impl Attack {
    /// The attack of this number, in any case of letters.
    pub fn by_id(id: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|attack| attack.id.eq_ignore_ascii_case(id))
    }
}

const fn row(
    id: &'static str,
    action: &'static str,
    expected: &'static str,
    runs: Runs,
    lacks: Option<&'static str>,
) -> Attack {
    Attack { id, action, expected, runs, lacks }
}

use Runs::{Held, Live, NotBuilt, World};

/// The tests against real processes.
pub const LIVE: &str = "cargo test -p longhand-sim --test attacks_live --test processes";

/// The attacks, in order.
pub const CATALOGUE: [Attack; 40] = [
    row(
        "A01",
        "unauthenticated UDP flood at the robot's port",
        "the holder goes on, no stage changes",
        Live("attacks_live::a_flood_of_garbage_and_mutated_initials_changes_nothing"),
        Some("10k-100k packets a second for 60 s, and age p99.9: a shared machine cannot judge"),
    ),
    row(
        "A02",
        "a malformed Initial, and mutations of one",
        "no process ends",
        Live("attacks_live::a_flood_of_garbage_and_mutated_initials_changes_nothing"),
        Some(
            "a million mutations: the live test sends some thousands; protocol/fuzz has the codec",
        ),
    ),
    row(
        "A03",
        "version negotiation, Retry and stateless reset, spoofed off the path",
        "the connection stays, or Hold; never motion",
        Live("attacks_live::a_flood_of_garbage_and_mutated_initials_changes_nothing"),
        Some("spoofing the peer's own address needs raw sockets; sent from another one"),
    ),
    row(
        "A04",
        "0-RTT with a command, replayed",
        "refused: there is no 0-RTT",
        Held("protocol/quic/tests/handshake.rs: early_data_is_never_possible"),
        None,
    ),
    row(
        "A05",
        "recorded datagrams again: same connection, new session, other link, next day",
        "all refused with a reason; the run is the one without",
        World(words::replay),
        None,
    ),
    row(
        "A06",
        "reordering by 1 to 500 ms on the path",
        "an older command never follows a newer; no spike of speed",
        World(words::reorder),
        None,
    ),
    row(
        "A07",
        "delay that grows slowly to 300 ms and more",
        "slowed above the warning, latched above the limit, the surgeon told",
        World(times::ramp),
        None,
    ),
    row(
        "A08",
        "commands at once, the view late",
        "the same limits: the loop age is measured with one clock",
        World(times::one_sided),
        None,
    ),
    row(
        "A09",
        "bits flipped behind the cipher, 1e-3 to 1 of all messages",
        "refused; two within ten hours latch",
        World(words::bit_flips),
        None,
    ),
    row(
        "A10",
        "sequence leading: 2^40 at once, or up to 1000 once a second",
        "a jump latches and the true console is not locked out; a lead mutes for its own length",
        World(words::lead),
        None,
    ),
    row(
        "A11",
        "sequence reset: the number goes back by more than 1000",
        "always refused; the run is the one without",
        World(words::reset),
        None,
    ),
    row(
        "A12",
        "a stolen console certificate from another address",
        "no epoch while the lease is held, and it is said; after loss the bedside confirms",
        World(words::second_claimant),
        None,
    ),
    row(
        "A13",
        "a stopped console goes on after the hand-over, its queue full",
        "all refused: old session, old epoch",
        World(words::queued),
        None,
    ),
    row(
        "A14",
        "an observer's, an engineer's certificate sends motion",
        "refused by role before a command is read; recorded",
        Live("processes::nobody_without_the_right_certificate_moves_anything"),
        Some("the trainee's role: not built yet"),
    ),
    row(
        "A15",
        "a command for another robot; both arms' blocks exchanged",
        "refused by id and by checksum",
        World(words::misaddressed),
        None,
    ),
    row(
        "A16",
        "certificates: revoked, expired, of tomorrow, foreign, none, of another use",
        "refused at the handshake",
        Live(
            "processes::nobody_without_the_right_certificate_moves_anything; the rest in \
              protocol/quic/tests/handshake.rs",
        ),
        Some("pre-flight that asks for more than 24 h of validity: not shown here"),
    ),
    row(
        "A17",
        "an authorised console steps by 1 to 50 mm in a millisecond",
        "limits hold; beyond 20 mm it latches",
        World(insiders::step),
        None,
    ),
    row(
        "A18",
        "a drift out of the work volume, at last 0.1 mm/s",
        "it stops at the wall",
        World(insiders::drift),
        None,
    ),
    row(
        "A19",
        "NaN, Inf, denormals, quaternions of norm 0 and 2, sign flipped",
        "refused, or the same as before; no jump",
        World(words::strange_numbers),
        None,
    ),
    row(
        "A20",
        "a proxy with keys: x inverted, scale times ten, jaw inverted",
        "limits hold; the console notices within 100 ms",
        World(insiders::manipulated),
        None,
    ),
    row(
        "A21",
        "every way to stop the robot from afar, one packet where one is enough",
        "Hold or Latched, never without power; one acknowledgement brings it back",
        World(words::stops),
        None,
    ),
    row(
        "A22",
        "the pedal flaps at 50 Hz",
        "one brake, and no engagement before it is steady",
        World(insiders::flapping),
        None,
    ),
    row(
        "A23",
        "energy held on while the link dies",
        "off within 20 ms, before motion stops",
        World(insiders::energy),
        None,
    ),
    row(
        "A24",
        "the pedal wedged over a hand that does not move",
        "told after 0.5 s, paused after 2 s, back by release and press alone",
        World(insiders::dead_man),
        Some("a mouse, keys, a script rest without trembling: only a tracked hand is looked at"),
    ),
    row(
        "A25",
        "a relay says the last command under fresh numbers",
        "refused by hand time; an invented hand time ends by the echo rule",
        World(words::restamped),
        None,
    ),
    row(
        "A26",
        "clocks slewed by 500 ppm on either side; the wall clock off by an hour",
        "no decision changes",
        World(times::clocks),
        Some("wall clocks are read by no decision: benches/tests/tidy.rs holds where they are"),
    ),
    row(
        "A27",
        "the console's address changes every second (NAT)",
        "the path is validated; gaps stay within limits, or Hold",
        Live("attacks_live::a_console_behind_a_changing_address_is_held_or_goes_on"),
        None,
    ),
    row(
        "A28",
        "one of two links dead, then the other attacked",
        "limits hold; redundancy lost is said within 200 ms",
        World(times::one_of_two),
        Some("nobody says that redundancy is lost: two connections are not built yet"),
    ),
    row("A29", "zenoh: publishing on command keys", "no subscriber", NotBuilt("gateway"), None),
    row("A30", "zenoh: a slow reader", "telemetry drops", NotBuilt("gateway"), None),
    row("A31", "an observer fuzzes back", "the recorder lives", NotBuilt("gateway"), None),
    row(
        "A32",
        "the log tampered with",
        "the verifier says where",
        Held("robot-agent/tests/record.rs: what_was_edited_deleted_moved_or_put_in_is_named, ..."),
        None,
    ),
    row(
        "A33",
        "a console that holds other limits",
        "refused by the profile's hash: no engagement",
        World(words::other_profile),
        Some("signed profiles, and a downgrade to an older one: not built yet"),
    ),
    row(
        "A34",
        "an old signed program installed again",
        "it does not start",
        NotBuilt("signed releases"),
        None,
    ),
    row(
        "A35",
        "something below the checks changes what a drive is told",
        "read back in the next tick, and held",
        World(insiders::below_checks),
        None,
    ),
    row(
        "A36",
        "sizes and times of an engaged stream, for different hands",
        "the same, so there is nothing to learn",
        World(times::traffic),
        None,
    ),
    row(
        "A37",
        "a patient's name as a canary",
        "in no record",
        Held("robot-agent/tests/record_process.rs: no_name_no_path_and_no_case_of_a_person"),
        Some("logs and crash dumps are not searched"),
    ),
    row(
        "A38",
        "a mentor takes the robot while a trainee moves",
        "held first; never two holders",
        NotBuilt("mentor and trainee"),
        None,
    ),
    row(
        "A39",
        "files, memory, disk and log exhausted on the robot",
        "the loop goes on; the recorder says so",
        Held("robot-agent/tests/record.rs: a_full_disk_is_an_alarm, a_disk_that_stands_still"),
        Some("descriptors and memory; the loop itself takes none: benches/tests/no_alloc.rs"),
    ),
    row(
        "A40",
        "a dependency with a known advisory",
        "the build refuses",
        Held(".ci/run deny: cargo deny check advisories, where the database can be had"),
        Some("a diff of the bill of materials"),
    ),
];

#[cfg(test)]
mod tests {
    use super::CATALOGUE;

    #[test]
    fn the_forty_are_there_in_order() {
        for (n, attack) in (1..).zip(&CATALOGUE) {
            assert_eq!(attack.id, format!("A{n:02}"));
            assert!(!attack.action.is_empty() && !attack.expected.is_empty());
        }
    }
}
