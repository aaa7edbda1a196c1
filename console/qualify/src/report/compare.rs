//! Two reports beside each other: what became better, what worse.
//!
//! Knows: when a difference is more than both intervals allow. Does not know: why the link changed.

use serde::Serialize;

use super::Report;
use crate::measure::quantile::{Quantile, Share, poisson};
use crate::measure::replay::Played;
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
    all.push(share("loss up", &b.up.loss, &a.up.loss));
    all.push(share("loss down", &b.down.loss, &a.down.loss));
    let hours = |seconds: f64| (seconds / 3_600.0).max(1e-9);
    let rate = |events: u64, seconds: f64| {
        let (few, many) = poisson(events);
        (real(events) / hours(seconds), few / hours(seconds), many / hours(seconds))
    };
    let (was, is) = (rate(b.outages.count, b.seconds), rate(a.outages.count, a.seconds));
    all.push(one("outages an hour".to_owned(), was, is));
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

fn quantile(what: String, before: &Quantile, after: &Quantile) -> Compared {
    let parts = |q: &Quantile| (q.ms, q.low_ms, q.high_ms.unwrap_or(f64::INFINITY));
    one(what, parts(before), parts(after))
}

fn share(what: &str, before: &Share, after: &Share) -> Compared {
    let parts = |share: &Share| (share.share, share.low, share.high);
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
