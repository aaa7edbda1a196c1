//! The catalogue: every kind of fault, with parameters, ranges and defaults.
//!
//! Source: safety.md section 6, whose numbers and ranges these are; defaults are chosen in the
//! middle of a range, so that a run of a few seconds shows the effect.

/// Where a kind can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    /// In any world.
    World,
    /// In a world with two paths.
    TwoPaths,
    /// Where real QUIC carries the bytes.
    Quic,
    /// Not in a virtual world: the tests that do it where it lives.
    Elsewhere(&'static str),
}

/// One parameter of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Param {
    /// Its name in JSON and on the command line.
    pub name: &'static str,
    /// Its unit; empty for a number or a choice.
    pub unit: &'static str,
    /// The least that a campaign draws.
    pub low: f64,
    /// The most that a campaign draws.
    pub high: f64,
    /// What it is where nobody says.
    pub default: f64,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultKind {
    /// `F01` to `F40`.
    pub id: &'static str,
    /// What it is.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// How long it lasts where nobody says, milliseconds.
    pub for_ms: u64,
    /// Where it can happen.
    pub lives: Lives,
}

impl FaultKind {
    /// The kind of this number, in any case of letters.
    pub fn by_id(id: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|kind| kind.id.eq_ignore_ascii_case(id))
    }
}

const fn p(name: &'static str, unit: &'static str, low: f64, high: f64, default: f64) -> Param {
    Param { name, unit, low, high, default }
}

const fn kind(
    id: &'static str,
    name: &'static str,
    for_ms: u64,
    lives: Lives,
    params: &'static [Param],
) -> FaultKind {
    FaultKind { id, name, params, for_ms, lives }
}

use Lives::{Elsewhere, Quic, TwoPaths, World};

/// The kinds, in order.
pub const CATALOGUE: [FaultKind; 40] = [
    kind("F01", "independent loss", 5_000, World, &[p("share", "", 1e-5, 0.3, 0.05)]),
    kind(
        "F02",
        "bursts of loss (Gilbert-Elliott)",
        5_000,
        World,
        &[p("share", "", 1e-4, 0.1, 0.03), p("burst", "ms", 2.0, 100.0, 20.0)],
    ),
    kind(
        "F03",
        "bursts of loss with long tails (Pareto)",
        5_000,
        World,
        &[p("share", "", 0.1, 0.5, 0.3), p("alpha", "", 3.8, 5.0, 4.4)],
    ),
    kind(
        "F04",
        "reordering",
        5_000,
        World,
        &[p("share", "", 0.0, 0.2, 0.1), p("by", "ms", 1.0, 500.0, 20.0)],
    ),
    kind(
        "F05",
        "duplicates",
        5_000,
        World,
        &[
            p("share", "", 0.0, 0.5, 0.2),
            p("copies", "", 1.0, 10.0, 2.0),
            p("lag", "ms", 0.0, 2_000.0, 50.0),
        ],
    ),
    kind("F06", "more delay each way", 5_000, World, &[p("delay", "ms", 0.0, 600.0, 60.0)]),
    kind("F07", "jitter", 5_000, World, &[p("mean", "ms", 1.0, 100.0, 20.0)]),
    kind(
        "F08",
        "more delay one way (negative: down)",
        5_000,
        World,
        &[p("difference", "ms", -300.0, 300.0, 100.0)],
    ),
    kind(
        "F09",
        "delay step, then ramp",
        5_000,
        World,
        &[p("step", "ms", 1.0, 500.0, 40.0), p("ramp", "ms/s", 0.1, 100.0, 10.0)],
    ),
    kind("F10", "held back, then all at once", 150, World, &[]),
    kind("F11", "handover gap", 100, World, &[]),
    kind("F12", "radio link failure", 1_500, World, &[]),
    kind("F13", "line cut", 4_000, World, &[]),
    kind("F14", "one way dead (1 up, 0 down)", 500, World, &[p("up", "", 0.0, 1.0, 1.0)]),
    kind("F15", "flapping link", 3_000, World, &[p("rate", "Hz", 0.1, 50.0, 5.0)]),
    kind("F16", "long packets dropped", 2_000, World, &[p("most", "bytes", 100.0, 1_500.0, 300.0)]),
    kind(
        "F17",
        "rate limit with a queue",
        4_000,
        World,
        &[p("rate", "Mbit/s", 0.2, 10.0, 1.5), p("queue", "packets", 10.0, 1_000.0, 100.0)],
    ),
    kind(
        "F18",
        "bits wrong (1 behind the cipher, 0 before)",
        2_000,
        World,
        &[p("share", "", 1e-6, 1e-2, 2e-3), p("behind", "", 0.0, 1.0, 1.0)],
    ),
    kind(
        "F19",
        "address changes (NAT)",
        5_000,
        Quic,
        &[p("every", "ms", 1_000.0, 600_000.0, 1_000.0)],
    ),
    kind("F20", "both paths hit at once", 120, TwoPaths, &[]),
    kind(
        "F21",
        "the first path later than it was",
        4_000,
        TwoPaths,
        &[p("skew", "ms", 0.0, 200.0, 60.0)],
    ),
    kind("F22", "sender stalls, a few kept", 200, World, &[p("kept", "packets", 1.0, 16.0, 4.0)]),
    kind("F23", "key update", 1, Quic, &[]),
    kind(
        "F24",
        "certificate expired, revoked, authority gone",
        1,
        Elsewhere("protocol/quic/tests/handshake.rs"),
        &[],
    ),
    kind("F25", "console stops (1: its process dies)", 300, World, &[p("dies", "", 0.0, 1.0, 0.0)]),
    kind("F26", "robot's network side dies", 500, World, &[]),
    kind(
        "F27",
        "servo loop overruns",
        1_000,
        World,
        &[p("by", "ms", 0.2, 50.0, 8.0), p("every", "ms", 20.0, 1_000.0, 200.0)],
    ),
    kind(
        "F28",
        "clock fails (0 drift, 1 step, 2 freeze; of 0 robot, 1 console)",
        2_000,
        World,
        &[
            p("how", "", 0.0, 2.0, 0.0),
            p("console", "", 0.0, 1.0, 0.0),
            p("size", "ppm or ms", -500.0, 500.0, 300.0),
        ],
    ),
    kind(
        "F29",
        "processor stolen from both ends",
        1_000,
        World,
        &[p("by", "ms", 0.05, 20.0, 5.0), p("every", "ms", 10.0, 500.0, 50.0)],
    ),
    kind(
        "F30",
        "memory bit flips in a message",
        2_000,
        World,
        &[p("every", "messages", 50.0, 5_000.0, 400.0)],
    ),
    kind("F31", "disk slow, full, lying", 1, Elsewhere("robot-agent/src/epoch.rs"), &[]),
    kind("F32", "power cut while writing", 1, Elsewhere("robot-agent/src/epoch.rs"), &[]),
    kind(
        "F33",
        "sensor fails (0 sticks, 1 offset, 2 drops out)",
        300,
        World,
        &[
            p("how", "", 0.0, 2.0, 2.0),
            p("joint", "", 1.0, 6.0, 1.0),
            p("offset", "rad or m", -0.02, 0.02, 0.005),
        ],
    ),
    kind(
        "F34",
        "actuator fails (0 jams, 1 reversed, 2 told something else, 3 overpowered from outside)",
        600,
        World,
        &[
            p("how", "", 0.0, 4.5, 0.0),
            p("joint", "", 1.0, 6.0, 1.0),
            p("offset", "rad or m", -0.02, 0.02, 0.01),
        ],
    ),
    kind(
        "F35",
        "pedal fails (0 bounces, 1 stuck down, 2 stuck up)",
        500,
        World,
        &[p("how", "", 0.0, 2.0, 0.0), p("bounce", "ms", 1.0, 50.0, 8.0)],
    ),
    kind(
        "F36",
        "hand at its worst (0 jumps, 1 frozen, 2 shakes, 3 its device falls silent, 4 no numbers)",
        1_500,
        World,
        &[p("how", "", 0.0, 4.5, 0.0), p("size", "mm", 1.0, 300.0, 50.0)],
    ),
    kind("F37", "hand-over at the worst moment", 400, World, &[p("every", "ms", 1.0, 100.0, 20.0)]),
    kind("F38", "a storm of observers", 1, Elsewhere("sim/tests/processes.rs"), &[]),
    kind("F39", "console with another profile", 1_000, World, &[]),
    kind("F40", "roads clogged one by one, freed in any order", 800, World, &[]),
];
