//! What a whole link hides, shown by a variant of its profile that has nothing else: the line's
//! rate and queue, and how long loss stays good and bad.
//!
//! Knows: how to ask each process alone. Does not know: how much of the answer is right (`judged`).
//!
//! A variant draws from the same streams of chance as the whole link does: the spells seen here are
//! the ones that the packets of the whole link met.

use longhand_link::profile::{Jitter, Loss, Path, Radio};
use longhand_link::{Direction, DropCause, Emulator, Fate, LinkModel, Profile};
use longhand_protocol::units::{Instant, Micros, TICK};

use crate::link_command::show::count;

/// A packet of the overload takes the line this long. Chosen: coarse enough that rounding to the
/// microsecond shows nothing, fine enough for the shortest queue (5 ms).
pub(super) const TAKES: Micros = Micros::from_micros(200);

/// One is offered this often: twice what the line carries.
const OFFERED_EACH: Micros = Micros::from_micros(100);

/// For so long. Chosen: the deepest queue (800 ms) is full after as long again, so more than half
/// of this is a full queue.
const OVERLOAD: Micros = Micros::from_secs(4);

/// The queue is surely full by then.
const FULL_BY: Micros = Micros::from_secs(2);

/// What an overloaded line did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// Bits per second while the queue was full.
    pub(super) bits_per_s: f64,
    /// The longest wait for the line, ms.
    pub(super) wait_ms: f64,
}

/// How long loss stayed good, and bad, in whole milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dwells {
    pub(super) good: Runs,
    pub(super) bad: Runs,
}

/// Runs of milliseconds that were alike.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    pub(super) runs: u64,
    pub(super) millis: u64,
}

/// A quiet path with nothing but its base.
fn bare(path: &Path) -> Path {
    let jitter = Jitter { target: &[], correlation: Micros::ZERO, drawn: None };
    Path { jitter, loss: Loss::None, rate: None, radio: Radio::NONE, base: path.base }
}

/// The emulator holds a profile for ever, so a variant lives until the program ends: some hundred
/// bytes for each link that is checked.
fn variant(profile: &Profile, path: impl Fn(&Path) -> Path) -> LinkModel {
    LinkModel::from(&*Box::leak(Box::new(Profile {
        up: path(&profile.up),
        down: path(&profile.down),
        outages: &[],
        route_step: None,
        rebase: None,
        drill: None,
        ..*profile
    })))
}

/// Overloads each line of a profile; `None` where there is no limit.
pub(super) fn lines(profile: &Profile, seed: u64) -> [Option<Line>; 2] {
    let model = variant(profile, |path| Path { rate: path.rate, ..bare(path) });
    Direction::BOTH.map(|direction| {
        let rate = profile.path(direction).rate?;
        let bits = rate.bits_per_s.saturating_mul(TAKES.as_micros()) / 1_000_000;
        let bytes = usize::try_from(bits / 8).unwrap_or(usize::MAX);
        let mut link = Emulator::new(model.clone(), seed);
        let mut wait = Micros::ZERO;
        let (mut first, mut last, mut through) = (None, Instant::ORIGIN, 0_usize);
        for n in 0..OVERLOAD.as_micros() / OFFERED_EACH.as_micros() {
            let now = Instant::ORIGIN.after(OFFERED_EACH.saturating_mul(n));
            let Fate::Deliver(arrival) = link.offer(now, direction, bytes) else { continue };
            let own = profile.path(direction).base.saturating_add(TAKES);
            wait = wait.max(arrival.at.since(now).saturating_sub(own));
            if now.since(Instant::ORIGIN) < FULL_BY {
                continue;
            }
            last = arrival.at;
            match first {
                None => first = Some(arrival.at),
                Some(_) => through = through.saturating_add(1),
            }
        }
        let span = last.since(first.unwrap_or(last)).as_secs_f64();
        let bits_per_s = count(through) * count(bytes) * 8.0 / span;
        Some(Line { bits_per_s, wait_ms: wait.as_millis_f64() })
    })
}

/// Samples the good and bad states of a profile's loss: in this variant the bad one loses all.
pub(super) fn dwells(profile: &Profile, seed: u64, span: Micros) -> [Option<Dwells>; 2] {
    let seen = |path: &Path| match path.loss {
        Loss::Bursts { good, bad, .. } => Loss::Bursts { good, bad, loss_in_bad: 1.0 },
        Loss::None | Loss::Random { .. } => Loss::None,
    };
    let mut link =
        Emulator::new(variant(profile, |path| Path { loss: seen(path), ..bare(path) }), seed);
    let mut found = [Dwells::default(); 2];
    let mut before = [None; 2];
    for n in 0..span.as_micros() / TICK.as_micros() {
        let now = Instant::ORIGIN.after(TICK.saturating_mul(n));
        let lanes = Direction::BOTH.into_iter().zip(&mut found).zip(&mut before);
        for ((direction, dwells), before) in lanes {
            let bad = link.offer(now, direction, 0) == Fate::Drop(DropCause::Loss);
            let runs = if bad { &mut dwells.bad } else { &mut dwells.good };
            runs.millis = runs.millis.saturating_add(1);
            runs.runs = runs.runs.saturating_add(u64::from(*before != Some(bad)));
            *before = Some(bad);
        }
    }
    let mut all = Direction::BOTH.into_iter().zip(found);
    [all.next(), all.next()].map(|lane| {
        let (direction, dwells) = lane?;
        match profile.path(direction).loss {
            Loss::Bursts { .. } => Some(dwells),
            Loss::None | Loss::Random { .. } => None,
        }
    })
}
