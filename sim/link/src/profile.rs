//! What a link profile says: delays, loss, outages, rates, and where each number comes from.
//!
//! Knows: the words a profile is written in, and the finished profiles by name. Does not know: how
//! any of it is drawn (`process`), or when a packet leaves (`emulator`).
//!
//! Terms. A *cell* is one millisecond of link time, the resolution of the delay process. *Jitter*
//! is the delay added to `base`. A *hold* keeps packets and lets them go when it ends; a *drop*
//! loses them. *Dwell* is how long a state lasts. *Slot edge* is second 12, 27, 42 or 57 of a link
//! minute.

mod catalogue;
mod drawn;

use core::fmt;

use longhand_protocol::units::Micros;

pub use catalogue::PROFILES;

/// One direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the console to the robot: commands.
    Up,
    /// From the robot to the console: states.
    Down,
}

impl Direction {
    /// Both, in the order every report uses.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    /// "up" or "down".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Which directions an event touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directions {
    /// Commands only.
    Up,
    /// States only.
    Down,
    /// Both at once.
    Both,
}

impl Directions {
    /// True where `direction` is one of them.
    pub const fn contains(self, direction: Direction) -> bool {
        match (self, direction) {
            (Self::Both, Direction::Up | Direction::Down)
            | (Self::Up, Direction::Up)
            | (Self::Down, Direction::Down) => true,
            (Self::Up, Direction::Down) | (Self::Down, Direction::Up) => false,
        }
    }
}

/// A named link, with the source of its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The name on the command line.
    pub name: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// Console to robot.
    pub up: Path,
    /// Robot to console.
    pub down: Path,
    /// Interruptions, in either direction or both.
    pub outages: &'static [Outage],
    /// Changes of the route that move the base delay of both directions.
    pub route_step: Option<RouteStep>,
    /// New base delay at every slot edge.
    pub rebase: Option<Rebase>,
    /// A fixed timetable of faults.
    pub drill: Option<Drill>,
    /// Where the numbers come from, one line per group.
    pub basis: &'static [Basis],
}

impl Profile {
    /// The model of one direction.
    pub const fn path(&self, direction: Direction) -> &Path {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// The profile called `name`.
    ///
    /// Errors: [`UnknownProfile`], with the nearest name there is.
    pub fn by_name(name: &str) -> Result<&'static Self, UnknownProfile> {
        PROFILES
            .iter()
            .find(|profile| profile.name == name)
            .ok_or_else(|| UnknownProfile { nearest: nearest(name) })
    }
}

/// One direction of a profile.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The least one-way delay.
    pub base: Micros,
    /// What is added to it.
    pub jitter: Jitter,
    /// Packets lost outside outages.
    pub loss: Loss,
    /// What the narrowest place carries; `None` is no limit.
    pub rate: Option<Rate>,
    /// The slots and repeats of a radio.
    pub radio: Radio,
}

/// The added delay: an exact distribution with a correlation in time.
#[derive(Clone, Copy, Debug)]
pub struct Jitter {
    /// The distribution of the added delay as delivered, order kept, radio slots and repeats
    /// included. Empty: no jitter.
    pub target: &'static [Knot],
    /// The time after which the (normal-scored) added delay has forgotten all but 1/e of itself.
    pub correlation: Micros,
    /// What is drawn so that `target` is what arrives; see [`Drawn`].
    pub drawn: Option<&'static Drawn>,
}

/// What the process draws, so that what it delivers is the target.
///
/// Keeping order lifts delays: behind a late packet nothing may overtake, so a drawn value is a
/// floor. The lift is undone beforehand. Computed by `examples/calibrate.rs`, never by hand.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The drawn distribution.
    pub knots: &'static [Knot],
    /// The drawn correlation time.
    pub correlation: Micros,
}

/// One point of a distribution. Between points the delay is linear in the logarithm of `above`
/// (so each piece is exponential, like a queue's tail); below the first point it runs to zero at
/// `above` = 1; beyond the last point it stays there, so the last point is the greatest delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knot {
    /// The share of time the added delay is above `at`. Between 0 and 1, falling along the list.
    pub above: f64,
    /// The added delay in milliseconds, rising along the list.
    pub at_ms: f64,
}

/// The probability at which "max" is pinned.
///
/// Chosen: 1e-6 of the time is 3.6 ms per hour, about what the longest data set here (134 285
/// samples) and an hour-long run at 1 kHz (3.6e6) can each say something about.
pub const MAX_ABOVE: f64 = 1e-6;

/// A distribution from its p50, p95, p99, p99.9 and max, in milliseconds.
pub const fn quantiles(p50: f64, p95: f64, p99: f64, p999: f64, max: f64) -> [Knot; 5] {
    [
        Knot { above: 0.5, at_ms: p50 },
        Knot { above: 0.05, at_ms: p95 },
        Knot { above: 0.01, at_ms: p99 },
        Knot { above: 0.001, at_ms: p999 },
        Knot { above: MAX_ABOVE, at_ms: max },
    ]
}

/// Packets lost outside outages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    None,
    /// Each packet with the same probability.
    Random {
        /// Probability, 0 to 1.
        p: f64,
    },
    /// A good and a bad state in time, both with exponential dwell, loss in the bad one.
    Bursts {
        /// Mean dwell in the good state.
        good: Micros,
        /// Mean dwell in the bad state.
        bad: Micros,
        /// Probability of losing a packet sent in the bad state, 0 to 1.
        loss_in_bad: f64,
    },
}

impl Loss {
    /// The share of packets lost in the long run, 0 to 1.
    pub fn mean(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Random { p } => p,
            Self::Bursts { good, bad, loss_in_bad } => {
                let both = good.saturating_add(bad).as_secs_f64();
                if both > 0.0 { loss_in_bad * bad.as_secs_f64() / both } else { 0.0 }
            }
        }
    }
}

/// The narrowest place of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits per second; UDP payload counts, headers do not.
    pub bits_per_s: u64,
    /// The most a packet waits there; one that would wait longer is dropped (tail drop).
    pub queue_max: Micros,
}

/// Slots and repeats of a radio.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Radio {
    /// Deliveries happen only at whole multiples of this; zero is no slots.
    pub slot: Micros,
    /// Probability that one cell needs a repeat, 0 to 1.
    pub repeat: f64,
    /// What a repeat costs.
    pub repeat_delay: Micros,
}

impl Radio {
    /// No radio, or one whose slots do not show.
    pub const NONE: Self = Self { slot: Micros::ZERO, repeat: 0.0, repeat_delay: Micros::ZERO };
}

/// When something happens again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// At random, this often.
    PerHour(f64),
    /// A uniform time after the last one ended.
    Between(Micros, Micros),
    /// At a slot edge, each with this probability.
    SlotEdge(f64),
}

/// What an outage does to packets sent during it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutageMode {
    /// They are lost.
    Drop,
    /// They are kept and leave in order when it ends, as fast as the line carries them.
    HoldAndFlush,
}

/// A kind of interruption.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// What it is, for people.
    pub name: &'static str,
    /// How often.
    pub when: When,
    /// Median length.
    pub p50: Micros,
    /// 99 % of them are shorter; lengths are log-normal.
    pub p99: Micros,
    /// What happens to packets.
    pub mode: OutageMode,
    /// Which directions.
    pub directions: Directions,
    /// Afterwards the base delay of each touched direction is off by up to this, uniformly: a new
    /// cell.
    pub cell_shift: Micros,
}

/// A route that changes now and then, both directions alike: the base moves to one of
/// minus `by`, zero, plus `by`, other than where it was.
#[derive(Clone, Copy, Debug)]
pub struct RouteStep {
    /// How often.
    pub when: When,
    /// How far.
    pub by: Micros,
}

/// A new base delay at each slot edge, per direction.
#[derive(Clone, Copy, Debug)]
pub struct Rebase {
    /// Median size of a change, milliseconds.
    pub p50_ms: f64,
    /// 90 % are smaller, milliseconds.
    pub p90_ms: f64,
    /// The greatest, milliseconds.
    pub max_ms: f64,
    /// The base stays within this above its least, except for one slot after a greater change.
    pub span_ms: f64,
}

/// A timetable of faults that repeats.
#[derive(Clone, Copy, Debug)]
pub struct Drill {
    /// After this it starts again.
    pub period: Micros,
    /// In order of `at`, each over before the next.
    pub steps: &'static [DrillStep],
}

/// One entry of a drill.
#[derive(Clone, Copy, Debug)]
pub struct DrillStep {
    /// From the start of the period.
    pub at: Micros,
    /// How long.
    pub lasts: Micros,
    /// What.
    pub act: DrillAct,
}

/// A fault of the drill. The emulator does the first five; the last three belong to whoever owns
/// sockets and clocks, and are only announced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DrillAct {
    /// Nothing gets through.
    BlackHole(Directions),
    /// Loss with this probability.
    Lose(Directions, f64),
    /// A second copy with this probability.
    Duplicate(f64),
    /// One bit wrong with this probability.
    Corrupt(f64),
    /// Packets longer than this many bytes are dropped.
    PathMtu(u16),
    /// The client's address as the far end sees it changes.
    NatRebind,
    /// The priority mark is washed off.
    DscpBleach,
    /// The wall clock of the far end jumps by this many milliseconds.
    ClockStep(i32),
}

/// How well a group of numbers is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// Computed from measured data kept with the project.
    Data,
    /// Taken from a publication or a standard.
    Published,
    /// An engineering guess.
    Guess,
    /// Chosen for a purpose, which the text states.
    Chosen,
}

impl Evidence {
    /// One letter: D, P, E, or C.
    pub const fn letter(self) -> char {
        match self {
            Self::Data => 'D',
            Self::Published => 'P',
            Self::Guess => 'E',
            Self::Chosen => 'C',
        }
    }
}

/// Where a group of numbers comes from.
#[derive(Clone, Copy, Debug)]
pub struct Basis {
    /// Which numbers: base, jitter, correlation, loss, outage, rate, extra.
    pub group: &'static str,
    /// How well they are known.
    pub evidence: Evidence,
    /// The source.
    pub text: &'static str,
}

/// No profile has the name that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProfile {
    /// The name that was probably meant, where one is near.
    pub nearest: Option<&'static str>,
}

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no link profile has this name")?;
        if let Some(nearest) = self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        f.write_str(" The profiles are:")?;
        for profile in PROFILES {
            write!(f, " {}", profile.name)?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownProfile {}

/// The profile name with the fewest edits to `name`; the first of equals. `None` where every second
/// letter is another: that is no slip of the fingers.
fn nearest(name: &str) -> Option<&'static str> {
    let known = PROFILES.iter().map(|p| (edits(p.name, name), p.name));
    let (edits, nearest) = known.min_by_key(|(edits, _)| *edits)?;
    (edits.saturating_mul(2) < name.chars().count()).then_some(nearest)
}

/// A part shorter than this says nothing of the whole. Chosen: "leo" and "5g-" do.
const PART_MIN: usize = 3;

/// Edit distance (insert, delete, replace), one row at a time; a part that merely is missing
/// ("starlink" for "leo-starlink") costs nothing.
fn edits(known: &str, asked: &str) -> usize {
    if asked.chars().count() >= PART_MIN && known.contains(asked) {
        return 0;
    }
    let mut row: alloc::vec::Vec<usize> = (0..=asked.chars().count()).collect();
    for (i, a) in known.chars().enumerate() {
        let mut left = i.saturating_add(1);
        let mut diagonal = i;
        let mut next = alloc::vec![left];
        for (b, up) in asked.chars().zip(row.iter().skip(1)) {
            let replace = diagonal.saturating_add(usize::from(a != b));
            left = replace.min(up.saturating_add(1)).min(left.saturating_add(1));
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_name_suggests_the_nearest() {
        let near = |name| Profile::by_name(name).err().and_then(|e| e.nearest);
        assert_eq!(near("starlink"), Some("leo-starlink"));
        assert_eq!(near("rome-bejing"), Some("rome-beijing"));
        assert_eq!(near("city5gsa"), Some("city-5g-sa"));
        assert_eq!(near("idael"), Some("ideal"));
        for far in ["geo", "xyz", "", "my own hospital", "z"] {
            assert_eq!(near(far), None, "{far}");
        }
    }

    #[test]
    fn every_distribution_falls_in_share_and_rises_in_delay() {
        for profile in PROFILES {
            for direction in Direction::BOTH {
                let jitter = &profile.path(direction).jitter;
                let lists = [Some(jitter.target), jitter.drawn.map(|drawn| drawn.knots)];
                for pair in lists.into_iter().flatten().flat_map(|list| list.windows(2)) {
                    assert!(pair[0].above > pair[1].above, "{} {pair:?}", profile.name);
                    assert!(pair[0].at_ms <= pair[1].at_ms, "{} {pair:?}", profile.name);
                }
            }
        }
    }

    #[test]
    fn every_drill_step_ends_before_the_next_begins() {
        for drill in PROFILES.iter().filter_map(|p| p.drill) {
            for pair in drill.steps.windows(2) {
                assert!(pair[0].at.saturating_add(pair[0].lasts) <= pair[1].at, "{pair:?}");
            }
            let last = drill.steps[drill.steps.len() - 1];
            assert!(last.at.saturating_add(last.lasts) <= drill.period);
        }
    }

    #[test]
    fn every_profile_says_where_its_numbers_come_from() {
        for profile in PROFILES {
            assert!(!profile.basis.is_empty(), "{}", profile.name);
            assert!(profile.basis.iter().all(|b| !b.text.is_empty()), "{}", profile.name);
        }
    }
}
