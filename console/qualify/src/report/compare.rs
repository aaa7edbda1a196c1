//! Two reports beside each other: what became better, what worse.
//!
//! Knows: when a difference is more than both intervals allow. Does not know: why the link changed.

use serde::Serialize;

use super::Report;
use crate::measure::outage::Outages;
use crate::measure::quantile::{Quantile, Share, poisson};
use crate::measure::replay::Played;
use crate::measure::{Measures, long};
use crate::number::real;

/// How a figure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Lower than before, and the intervals do not meet.
    Better,
    /// The intervals meet: nothing that could be said.
    Same,
    /// Higher than before, and the intervals do not meet.
    Worse,
    /// One of a kind, without an interval: nothing is said of a trend.
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
    let load =
        asked.map_or_else(|| "none".to_owned(), |bps| format!("{:.1} Mbit/s", real(bps) / 1e6));
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
    /// In the first report.
    pub before: f64,
    /// In the second.
    pub after: f64,
    /// Whether the difference is one.
    pub change: Change,
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
            if let Some((b, a)) = b.quantile(name).zip(a.quantile(name)) {
                all.push(quantile(format!("{what} {name}, ms"), b, a));
            }
        }
    }
    all.push(share("loss up, %", &b.up.loss, &a.up.loss));
    all.push(share("loss down, %", &b.down.loss, &a.down.loss));
    all.push(share("lost nobody knows where, %", &b.lost_unknown, &a.lost_unknown));
    let hours = |seconds: f64| (seconds / 3_600.0).max(1e-9);
    let rate = |events: u64, seconds: f64| {
        let (few, many) = poisson(events);
        (real(events) / hours(seconds), few / hours(seconds), many / hours(seconds))
    };
    let (was, is) = (rate(b.outages.count, b.seconds), rate(a.outages.count, a.seconds));
    all.push(one("outages an hour".to_owned(), was, is));
    all.push(one("time dark, %".to_owned(), dark(b), dark(a)));
    all.push(Compared {
        what: "longest outage, ms".to_owned(),
        before: b.outages.longest_ms,
        after: a.outages.longest_ms,
        change: Change::Unjudged,
    });
    if let Some((b, a)) = b.replay.as_ref().zip(a.replay.as_ref()) {
        for (b_played, a_played) in b.played.iter().zip(&a.played) {
            let stops = b_played.stops.first().zip(a_played.stops.first());
            let Some((was, is)) = stops.filter(|_| [20, 100].contains(&b_played.playout_ms)) else {
                continue;
            };
            let what = format!("safe stops an hour, playout {} ms", b_played.playout_ms);
            let moving = |played: &Played| played.moving_s.first().copied().unwrap_or(0.0);
            let rates = (rate(*was, moving(b_played)), rate(*is, moving(a_played)));
            all.push(one(what, rates.0, rates.1));
        }
    }
    all
}

/// What availability lacks, in percent, with the interval that the count of outages leaves it.
fn dark(measures: &Measures) -> (f64, f64, f64) {
    let Outages { count, dark_s, .. } = measures.outages;
    let (few, many) = poisson(count);
    // None seen may be three, each of the shortest that counts.
    let mean_s = if count == 0 { 0.01 } else { dark_s / real(count) };
    let percent = |seconds: f64| (seconds / measures.seconds.max(1e-9)).clamp(0.0, 1.0) * 1e2;
    (percent(dark_s), percent(few * mean_s), percent(many * mean_s))
}

fn quantile(what: String, before: &Quantile, after: &Quantile) -> Compared {
    let parts = |q: &Quantile| (q.ms, q.low_ms, q.high_ms.unwrap_or(f64::INFINITY));
    one(what, parts(before), parts(after))
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
    Compared { what, before: before.0, after: after.0, change }
}
