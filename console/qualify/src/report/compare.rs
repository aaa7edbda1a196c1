//! Two reports beside each other: what became better, what worse.
//!
//! Knows: when a difference is more than both intervals allow, than the machines' own noise, or
//! than chance makes of two runs of one link. Does not know: why the link changed.
//!
//! Intervals say how sure a figure is, not whose it is: from one run to the next a scheduler moves
//! a delay by some 0.04 ms, surely, and the link by nothing. So no difference of delays is the
//! link's that is not larger than what either machine added by itself at that quantile, just before
//! its run: the round trip over loopback, which no way of it exceeds.
//!
//! Of what is counted (outages, safe stops) the intervals say too little: whether 3 are more than
//! none is asked of the counts themselves. If both runs were of one link, each of the events had
//! fallen into the second run by chance, as its share of the time is: that makes a binomial
//! distribution, exact for any count (Przyborowski and Wilenski 1940). The same is asked of how
//! long the link was dark: each outage, with its length, may have fallen into either run. What may
//! have been an outage, where nobody knows what the link did, counts against the change.

use serde::Serialize;

use super::{Floor, Report};
use crate::measure::load::Within;
use crate::measure::outage::{Outages, TOGETHER_S, Way};
use crate::measure::quantile::{Quantile, Share};
use crate::measure::replay::Played;
use crate::measure::{Measures, long};
use crate::number::{len, real};

/// A change by chance is told once in so many comparisons, better or worse each. Chosen: a report
/// has some twenty figures, so that of ten pairs of runs of one link one is told wrong, as of
/// intervals of 90 % that do not meet.
const CHANCE: f64 = 0.005;
/// What is no clear change is called the same where it differs by this share at most. Chosen: a
/// tenth; nought against nine thousand is not the same, only because nobody can tell.
const SAME_WITHIN: f64 = 0.1;
/// Up to so many events every way in which they may have fallen is tried: 65536 at most.
const TRIED_MAX: usize = 16;
/// Up to so many events chances are summed one by one. Chosen: milliseconds.
const COUNTED_MAX: u64 = 1_000_000;
/// Of a normal distribution, [`CHANCE`] on one side.
const Z: f64 = 2.576;

/// How a figure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Lower than before, by more than chance makes.
    Better,
    /// No clear change, and no large one: by a tenth at most.
    Same,
    /// A larger difference, which chance alone may make: nobody can tell.
    Unclear,
    /// A sure difference, and no larger than what the machines add by themselves.
    WithinNoise,
    /// Higher than before, by more than chance makes.
    Worse,
    /// Nothing can be said: [`Compared::why`].
    Unjudged,
}

/// What makes two reports hard to compare: what it is, and what each says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Differs {
    /// What.
    pub what: &'static str,
    /// In the first.
    pub before: String,
    /// In the second.
    pub after: String,
}

/// What both reports should have had in common, and have not: figures of other packets, of another
/// road or of a much shorter run are no trend.
pub fn differs(before: &Report, after: &Report) -> Vec<Differs> {
    let both = told(before).into_iter().zip(told(after));
    let mut all: Vec<Differs> = both
        .filter(|((_, before), (_, after))| before != after)
        .map(|((what, before), (_, after))| Differs { what, before, after })
        .collect();
    let (was, is) = (before.quic.seconds, after.quic.seconds);
    // Chosen: a tenth; runs of one length differ by what was interrupted.
    if was.min(is) < 0.9 * was.max(is) {
        all.push(Differs { what: "length", before: long(was), after: long(is) });
    }
    all
}

/// In what reports must agree for their figures to be a trend: what, and what it is.
pub fn told(report: &Report) -> [(&'static str, String); 5] {
    let load = report.load.as_ref();
    let asked = load.and_then(|load| load.up.or(load.down)).map(|traffic| traffic.asked_bps);
    let way = load.map_or("", |load| match (load.up.is_some(), load.down.is_some()) {
        (true, true) => " both ways",
        (true, false) => " up",
        (false, _) => " down",
    });
    let within = load.map_or("", |load| match load.within {
        Within::Session => "in the session",
        Within::Udp => "on plain UDP",
    });
    let load = asked.map_or_else(
        || "none".to_owned(),
        |bps| format!("{:.1} Mbit/s{way} {within}", real(bps) / 1e6),
    );
    [
        ("requirements", report.profile.name.clone()),
        ("robot", report.about.robot.clone()),
        ("rate", format!("{} probes a second", report.about.rate_hz)),
        ("distance", format!("{} km", report.about.distance_km)),
        ("load", load),
    ]
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What it is, with its unit.
    pub what: String,
    /// In the first report; `null`: it was not measured.
    pub before: Option<f64>,
    /// In the second.
    pub after: Option<f64>,
    /// Whether the difference is one.
    pub change: Change,
    /// Why nothing can be said; `null` where something is.
    pub why: Option<String>,
}

impl Compared {
    fn judged(what: String, before: f64, after: f64, change: Change) -> Self {
        let is_near = (after - before).abs() <= SAME_WITHIN * before.abs().max(after.abs());
        let change = if change == Change::Same && !is_near { Change::Unclear } else { change };
        Self { what, before: Some(before), after: Some(after), change, why: None }
    }

    fn unjudged(what: String, before: Option<f64>, after: Option<f64>, why: &str) -> Self {
        Self { what, before, after, change: Change::Unjudged, why: Some(why.to_owned()) }
    }
}

/// What the machine of a run added to a round trip by itself at a quantile, ms: what the louder of
/// its noise floors says, in a session or on plain UDP. `None`: none was measured.
pub fn noise_ms(report: &Report, quantile: &str) -> Option<f64> {
    let floors = [report.noise, report.noise_quic].into_iter().flatten();
    let at = |floor: Floor| {
        let (p50, p99, p999, _) = floor.rtt_ms;
        match quantile {
            "p50" => Some(p50),
            "p99" => Some(p99),
            "p99.9" => Some(p999),
            _ => None,
        }
    };
    floors.filter_map(at).reduce(f64::max)
}

/// Compares the figures of two reports, `before` and `after`.
pub fn compare(before: &Report, after: &Report) -> Vec<Compared> {
    let mut all = Vec::new();
    let (b, a) = (&before.quic, &after.quic);
    let spreads = [
        ("round trip", &b.rtt, &a.rtt),
        ("jitter up", &b.up.relative, &a.up.relative),
        ("jitter down", &b.down.relative, &a.down.relative),
    ];
    for (what, b, a) in spreads {
        for name in ["p50", "p99", "p99.9"] {
            let noise = [before, after].into_iter().filter_map(|report| noise_ms(report, name));
            let noise = noise.fold(0.0, f64::max);
            let what = format!("{what} {name}, ms");
            match (b.quantile(name), a.quantile(name)) {
                (Some(b), Some(a)) => all.push(quantile(what, b, a, noise)),
                (None, None) => {}
                (b, a) => {
                    let (b, a) = (b.map(|b| b.ms), a.map(|a| a.ms));
                    all.push(Compared::unjudged(what, b, a, NOT_IN_ONE));
                }
            }
        }
    }
    all.push(share("loss up, %", &b.up.loss, &a.up.loss));
    all.push(share("loss down, %", &b.down.loss, &a.down.loss));
    all.push(share("lost nobody knows where, %", &b.lost_unknown, &a.lost_unknown));
    all.push(outages_an_hour(b, a));
    all.push(dark(b, a));
    all.push(Compared::unjudged(
        "longest outage, ms".to_owned(),
        Some(b.outages.longest_ms),
        Some(a.outages.longest_ms),
        "one outage of each run says nothing of a trend",
    ));
    all.extend(stops(b, a));
    all
}

/// Why a figure of one report is held against nothing.
const NOT_IN_ONE: &str = "it was measured in one of them alone";

fn stops(b: &Measures, a: &Measures) -> Vec<Compared> {
    let mut all = Vec::new();
    if b.replay.is_some() != a.replay.is_some() {
        let what = "safe stops an hour".to_owned();
        all.push(Compared::unjudged(what, None, None, NOT_IN_ONE));
    }
    if let Some((was, is)) = b.replay.as_ref().zip(a.replay.as_ref()) {
        for (b_played, a_played) in was.played.iter().zip(&is.played) {
            let stops = b_played.stops.first().zip(a_played.stops.first());
            let Some((was, is)) = stops.filter(|_| [20, 100].contains(&b_played.playout_ms)) else {
                continue;
            };
            let what = format!("safe stops an hour, playout {} ms", b_played.playout_ms);
            let counted = |of: &Measures, played: &Played, seen: u64| {
                let first = |list: &Vec<u64>| list.first().copied();
                let sure = first(&played.stops_sure).unwrap_or(seen);
                let seconds = played.moving_s.first().copied().unwrap_or(0.0);
                Counted { seen, sure, possible: seen.saturating_add(of.outages.hidden), seconds }
            };
            all.push(counted(b, b_played, *was).against(what, &counted(a, a_played, *is)));
        }
    }
    all
}

/// Events of a run, and in how long.
struct Counted {
    seen: u64,
    sure: u64,
    possible: u64,
    seconds: f64,
}

impl Counted {
    fn against(&self, what: String, after: &Self) -> Compared {
        let share = after.seconds / (self.seconds + after.seconds).max(1e-9);
        let change = if at_least_by_chance(self.possible, after.sure, share) <= CHANCE {
            Change::Worse
        } else if at_least_by_chance(after.possible, self.sure, 1.0 - share) <= CHANCE {
            Change::Better
        } else {
            Change::Same
        };
        let hourly = |run: &Self| real(run.seen) / (run.seconds / 3_600.0).max(1e-9);
        Compared::judged(what, hourly(self), hourly(after), change)
    }
}

/// How likely at least `here` of all events fall here, if each does with this chance.
fn at_least_by_chance(there: u64, here: u64, chance: f64) -> f64 {
    let all = there.saturating_add(here);
    let chance = chance.clamp(1e-12, 1.0 - 1e-12);
    if here == 0 {
        return 1.0;
    }
    // A report says what it likes; one by one it would take for ever.
    if all > COUNTED_MAX {
        return by_normal(all, here, chance);
    }
    // From one count to the next, in logarithms: of a thousand events the first is nothing.
    let step = (chance / (1.0 - chance)).ln();
    let mut log = real(all) * (1.0 - chance).ln();
    let mut below = 0.0;
    for count in 0..here {
        below += log.exp();
        log += (real(all - count) / real(count + 1)).ln() + step;
    }
    // What is far above its mean is summed from above, where nothing cancels.
    if below < 0.5 {
        return 1.0 - below;
    }
    let mut above = 0.0;
    for count in here..=all {
        above += log.exp();
        log += (real(all.saturating_sub(count)) / real(count + 1)).ln() + step;
    }
    above
}

/// The same of very many.
fn by_normal(all: u64, here: u64, chance: f64) -> f64 {
    let spread = (real(all) * chance * (1.0 - chance)).sqrt();
    // Far enough is sure, nearer is nothing: only whether it is seldomer than CHANCE is asked.
    if real(here) - real(all) * chance > Z * spread { 0.0 } else { 1.0 }
}

fn outages_an_hour(before: &Measures, after: &Measures) -> Compared {
    let counted = |measures: &Measures| {
        let Outages { count, possible, unknown, hidden, .. } = measures.outages;
        let events = of_one_cause(measures);
        let one_by_one = events.as_ref().map_or(measures.outages.sure, |events| len(events));
        // Losses that stood alone are told by the loss.
        let unseen = unknown.min(possible).saturating_add(hidden);
        let possible = one_by_one.saturating_add(unseen);
        Counted { seen: count, sure: one_by_one, possible, seconds: measures.seconds }
    };
    counted(before).against("outages an hour".to_owned(), &counted(after))
}

/// How long it was dark of each cause, s: ways that were dark together are one, and what is nearer
/// to each other than [`TOGETHER_S`]. `None` where more was seen than is kept.
fn of_one_cause(measures: &Measures) -> Option<Vec<f64>> {
    let outages = &measures.outages;
    let seen = outages.list.iter().filter(|outage| outage.way != Way::Unknown);
    let mut parts: Vec<(f64, f64)> =
        seen.map(|outage| (outage.at_s, outage.at_s + outage.ms / 1e3)).collect();
    if len(&parts) < outages.count {
        return None;
    }
    parts.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Until when, and how long of it.
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (begin, end) in parts {
        match joined.last_mut() {
            Some((until, dark)) if begin <= *until + TOGETHER_S => {
                *dark += (end - begin.max(*until)).max(0.0);
                *until = until.max(end);
            }
            Some(_) | None => joined.push((end, end - begin)),
        }
    }
    Some(joined.into_iter().map(|(_, dark)| dark).collect())
}

/// How much of the time was dark, in percent.
fn dark(before: &Measures, after: &Measures) -> Compared {
    let share = after.seconds / (before.seconds + after.seconds).max(1e-9);
    let percent = |measures: &Measures| {
        let share = measures.outages.dark_s / measures.seconds.max(1e-9);
        share.clamp(0.0, 1.0) * 1e2
    };
    // What nobody saw was as dark as it may have been, in the run that it would speak for.
    let unseen = |measures: &Measures| {
        let Outages { list, hidden_s, .. } = &measures.outages;
        let unknown = list.iter().filter(|outage| outage.way == Way::Unknown);
        hidden_s + unknown.map(|outage| outage.high_ms / 1e3).sum::<f64>()
    };
    let change = if is_more(before, after, share, unseen(before)) {
        Change::Worse
    } else if is_more(after, before, 1.0 - share, unseen(after)) {
        Change::Better
    } else {
        Change::Same
    };
    let what = "time dark, %".to_owned();
    Compared::judged(what, percent(before), percent(after), change)
}

/// Whether it was dark for longer here than chance makes, if each outage falls here with this one.
fn is_more(there: &Measures, here: &Measures, chance: f64, unseen_there_s: f64) -> bool {
    let lists = of_one_cause(there).zip(of_one_cause(here));
    let Some((mut all, seen)) = lists.filter(|(a, b)| a.len() + b.len() < TRIED_MAX) else {
        return is_more_of_many(there, here, chance, unseen_there_s);
    };
    all.extend((unseen_there_s > 0.0).then_some(unseen_there_s));
    let here_s: f64 = seen.iter().sum();
    if here_s <= 0.0 {
        return false;
    }
    all.extend(seen);
    // Every way to fall: how much of it is here, and how likely that is.
    let mut ways: Vec<(f64, f64)> = vec![(0.0, 1.0)];
    for long in all {
        let falls: Vec<(f64, f64)> =
            ways.iter().map(|(sum, likely)| (sum + long, likely * chance)).collect();
        ways.iter_mut().for_each(|(_, likely)| *likely *= 1.0 - chance);
        ways.extend(falls);
    }
    let as_much = ways.iter().filter(|(sum, _)| *sum >= here_s - 1e-9);
    as_much.map(|(_, likely)| likely).sum::<f64>() <= CHANCE
}

/// The same of many: their sum is nearly normal, and where one is most of it nothing is told.
fn is_more_of_many(there: &Measures, here: &Measures, chance: f64, unseen_there_s: f64) -> bool {
    let squares = |measures: &Measures| {
        let list = measures.outages.list.iter().filter(|outage| outage.way != Way::Unknown);
        let (mut sum, mut of) = (0.0, 0.0);
        for outage in list {
            sum += (outage.ms / 1e3).powi(2);
            of += 1.0;
        }
        // Of those that are not kept: as long as the others.
        sum * (real(measures.outages.count) / f64::max(of, 1.0)).max(1.0)
    };
    let (there_s, here_s) = (there.outages.dark_s + unseen_there_s, here.outages.dark_s);
    let squares = squares(there) + squares(here) + unseen_there_s.powi(2);
    let spread = (chance * (1.0 - chance) * squares).sqrt();
    here_s - chance * (there_s + here_s) > Z * spread && here_s > 0.0
}

fn quantile(what: String, before: &Quantile, after: &Quantile, noise_ms: f64) -> Compared {
    let parts = |q: &Quantile| (q.ms, q.low_ms, q.high_ms.unwrap_or(f64::INFINITY));
    // Without an upper end of the lower one nobody can say that the other is higher.
    let lower = if before.ms <= after.ms { before } else { after };
    if lower.high_ms.is_none() {
        let why = "too few packets for an upper end of the lower one";
        return Compared::unjudged(what, Some(before.ms), Some(after.ms), why);
    }
    let mut told = one(what, parts(before), parts(after));
    let is_told = matches!(told.change, Change::Better | Change::Worse);
    if is_told && (after.ms - before.ms).abs() <= noise_ms {
        told.change = Change::WithinNoise;
    }
    told
}

fn share(what: &str, before: &Share, after: &Share) -> Compared {
    let parts = |share: &Share| (share.share * 1e2, share.low * 1e2, share.high * 1e2);
    one(what.to_owned(), parts(before), parts(after))
}

fn one(what: String, before: (f64, f64, f64), after: (f64, f64, f64)) -> Compared {
    let change = if after.1 > before.2 {
        Change::Worse
    } else if after.2 < before.1 {
        Change::Better
    } else {
        Change::Same
    };
    Compared::judged(what, before.0, after.0, change)
}
