//! What a person reads on the terminal behind a run.
//!
//! Knows: words and units. Does not know: any number that is not in the report.

use super::Speaker;
use longhand_qualify::measure::Measures;
use longhand_qualify::measure::path::{MarkFate, Mtu};
use longhand_qualify::number::{len, real, some};
use longhand_qualify::report::{Report, figure, needs, range, shown, stops, unknown_beside};
use longhand_qualify::verdict::Row;

pub(super) fn tell(report: &Report, out: &mut Speaker) {
    if report.about.cut_short {
        out.line("interrupted: this is of what was measured until then");
    }
    out.line(&format!("{}: {}", report.verdict.name(), report.profile.title));
    for row in &report.rows {
        let needs = needs(report, row).map_or_else(String::new, |span| {
            format!("; a clean run of about {span} could show it")
        });
        let beside =
            unknown_beside(report, row).map_or_else(String::new, |more| format!(" {more}"));
        out.line(&format!(
            "  {:<21} {}: {}{beside}\n{:24}{}{needs}",
            row.verdict.name(),
            row.requirement.what,
            measured(row),
            "",
            row.reason,
        ));
    }
    let of = |measures: &Measures| {
        let shown = |ms: Option<f64>| ms.map_or_else(|| "none".to_owned(), |ms| format!("{ms:.3}"));
        let at = |name| shown(measures.rtt.quantile(name).map(|quantile| quantile.ms));
        format!(
            "round trip p50 {} p99 {} p99.9 {} most {} ms; lost up {} down {} unknown {}; \
             {}, longest {:.0} ms",
            at("p50"),
            at("p99"),
            at("p99.9"),
            shown(measures.rtt.max_ms),
            measures.up.loss.events,
            measures.down.loss.events,
            measures.lost_unknown.events,
            some(measures.outages.count, "outage", "outages"),
            measures.outages.longest_ms,
        )
    };
    out.line(&format!("session: {}", of(&report.quic)));
    if let Some(twin) = &report.twin {
        out.line(&format!("udp:     {}", of(twin)));
    }
    for playout in [20, 100] {
        if let Some((seen, most)) = stops(report, playout) {
            let seen = figure(seen);
            out.line(&format!(
                "safe stops an hour of motion with {playout} ms of playout: {seen}, {most}"
            ));
        }
    }
    tell_road(report, out);
    for note in &report.about.notes {
        out.line(note);
    }
}

/// A row's figure and between what it may lie, or that there is none.
fn measured(row: &Row) -> String {
    let (r, range) = (&row.requirement, range(row));
    match (row.measured, row.low) {
        (Some(_), _) => format!("measured {} (may be {range})", shown(row.measured, r)),
        (None, Some(_)) if row.high.is_some() => format!("lies within {range}"),
        (None, Some(_)) => format!("is {range}"),
        (None, None) => "not measured".to_owned(),
    }
}

/// What was found of the road itself.
fn tell_road(report: &Report, out: &mut Speaker) {
    for step in &report.quic.routes {
        out.line(&format!(
            "route changed at {:.1} s: round trip {:+.2} ms",
            step.at_s, step.rtt_ms
        ));
    }
    if let Some(load) = &report.load {
        let roads = [("session", Some(&load.quic)), ("udp", load.twin.as_ref())];
        for (name, effect) in roads.into_iter().filter_map(|(name, e)| Some((name, e?))) {
            let (p50, p99, p999) = effect.adds_ms.unwrap_or_default();
            out.line(&format!(
                "load adds to {name}: p50 {p50:.3} p99 {p99:.3} p99.9 {p999:.3} ms; loss up {:.4} \
                 % (idle {:.4}), down {:.4} % (idle {:.4})",
                effect.loss_up.1.share * 100.0,
                effect.loss_up.0.share * 100.0,
                effect.loss_down.1.share * 100.0,
                effect.loss_down.0.share * 100.0,
            ));
        }
        for (name, traffic) in [("up", load.up), ("down", load.down)] {
            if let Some(traffic) = traffic {
                let mbit = |bps: u64| real(bps) / 1e6;
                out.line(&format!(
                    "load {name}: {:.1} Mbit/s asked, {:.1} offered, {:.1} came",
                    mbit(traffic.asked_bps),
                    mbit(traffic.offered_bps),
                    mbit(traffic.came_bps)
                ));
            }
        }
    }
    let Some(path) = &report.path else { return };
    let mtu =
        |mtu: Option<Mtu>| mtu.map_or_else(|| "not found".to_owned(), |mtu| mtu.passes.to_string());
    let count = |is: fn(MarkFate) -> bool| path.marks.iter().filter(|mark| is(mark.fate)).count();
    let unknown = count(|fate| fate == MarkFate::Unknown);
    let not_kept = count(|fate| !matches!(fate, MarkFate::Kept | MarkFate::Unknown));
    out.line(&format!(
        "path: longest packet up {} down {} bytes; {} of {} marks not kept, {unknown} cannot be \
         told; {} seen",
        mtu(path.mtu_up),
        mtu(path.mtu_down),
        not_kept,
        path.marks.len(),
        some(len(&path.sources), "address", "addresses")
    ));
    if let Some(idle) = &path.idle {
        let forgets = idle.forgets_s.map_or_else(String::new, |s| format!(", not {s:.0} s"));
        out.line(&format!("silence borne: {:.0} s{forgets}", idle.bears_s));
    }
}
