//! The report as one page that needs nothing else: no script, no font, no network.
//!
//! Knows: what a surgeon looks for first and an engineer last. Does not know: any number that is
//! not in the report.

mod head;
mod words;

use std::fmt::Write as _;

pub use self::head::finding;
use super::road::{load, path};
use super::svg::{Axis, Plot};
use super::{Floor, Report};
use crate::measure::outage::{Mode, Outage, Outages, Way};
use crate::measure::quantile::Spread;
use crate::measure::replay::{Played, Replay};
use crate::measure::{Measures, OneWay, long};
use crate::number::{len, real, some};
use crate::verdict::{Metric, RUN_MAX_S, Requirement, Row, Verdict};

/// Where the object begins and ends in the page.
const OPEN: &str = "<script type=\"application/json\" id=\"report\">";
const CLOSE: &str = "</script>";
/// Outages that the page lists; the object has more.
const LISTED: usize = 40;
/// The playout buffer that a requirement without one is judged with, ms. Source: `verdict`, the
/// default profile's.
const PLAYOUT_MS: u64 = 20;

/// The page of a report, with its object in it.
pub fn page(report: &Report, is_sealed: bool, json: &str) -> String {
    let title =
        format!("{} - {} - {}", report.verdict.name(), report.profile.name, report.about.robot);
    let parts = [
        head::first(report),
        rows(report),
        meaning(report),
        drawings(report),
        quantiles(report),
        watchdog(report),
        outages(&report.quic),
        routes(&report.quic),
        clocks(&report.quic),
        load(report),
        path(report),
        own(report),
        proof(report, is_sealed),
        words::words(),
    ];
    let object = in_script(json);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{}{}</style></head>\n<body><main>\n{}\n</main>\n\
         {OPEN}{object}{CLOSE}\n\
         </body></html>\n",
        safe(&title),
        include_str!("page.css"),
        head::sheets(report),
        parts.join("\n")
    )
}

/// `<` cannot stand in a script element as it is; in JSON it has another spelling.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// The same page with another object in it.
pub fn with_object(page: &str, json: &str) -> Option<String> {
    let (before, behind) = page.split_once(OPEN)?;
    let (_, after) = behind.split_once(CLOSE)?;
    Some(format!("{before}{OPEN}{}{CLOSE}{after}", in_script(json)))
}

/// The object in a page.
pub fn object_in(page: &str) -> Option<String> {
    let (_, behind) = page.split_once(OPEN)?;
    Some(behind.split_once(CLOSE)?.0.to_owned())
}

/// A table with a name for whoever hears it, each column and each row with its head; on a narrow
/// screen it is moved within its frame, and the page is not. `head` and `body` are of plain cells.
pub(crate) fn table(name: &str, class: &str, head: &str, body: &str) -> String {
    let head = head.replace("<th", "<th scope=\"col\"");
    let mut rows = String::new();
    for row in body.split("<tr>").filter(|row| !row.is_empty()) {
        let row = row.replacen("<td", "<th scope=\"row\"", 1).replacen("</td>", "</th>", 1);
        let _ = write!(rows, "<tr>{row}");
    }
    format!(
        "<div class=\"scroll{class}\" role=\"region\" tabindex=\"0\" aria-label=\"{name}\">\
         <table aria-label=\"{name}\"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>\
         </div>"
    )
}

/// A table whose rows become paragraphs on a narrow screen, and stay a table for whoever hears it.
pub(crate) fn rows_table(name: &str, head: &str, body: &str) -> String {
    let head = head.replace("<th", "<th role=\"columnheader\" scope=\"col\"");
    let mut rows = String::new();
    for row in body.split("<tr>").filter(|row| !row.is_empty()) {
        let row = row.replacen("<td", "<th role=\"rowheader\" scope=\"row\"", 1);
        let row = row.replacen("</td>", "</th>", 1).replace("<td", "<td role=\"cell\"");
        let _ = write!(rows, "<tr role=\"row\">{row}");
    }
    format!(
        "<table class=\"rows\" role=\"table\" aria-label=\"{name}\"><thead role=\"rowgroup\">\
         <tr role=\"row\">{head}</tr></thead><tbody role=\"rowgroup\">{rows}</tbody></table>"
    )
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Insufficient => "INSUFFICIENT",
    }
}

fn rows(report: &Report) -> String {
    let mut body = String::new();
    for row in &report.rows {
        let r = &row.requirement;
        let needs = needs(report, row).map_or_else(String::new, |span| {
            format!(" A clean run of about <b>{span}</b> could show it.")
        });
        let beside = unknown_beside(report, row);
        let beside = beside.map_or_else(String::new, |more| format!("<br><small>{more}</small>"));
        let _ = write!(
            body,
            "<tr><td><b>{}</b><br><small>{}</small></td>\
             <td class=\"n\" data-l=\"Measured\">{}{beside}</td>\
             <td class=\"n\" data-l=\"May be\">{}</td>\
             <td data-l=\"Verdict\"><b class=\"{}\">{}</b></td>\
             <td><small>{}.{needs}</small></td></tr>",
            safe(&r.what),
            safe(&r.source),
            joined(&shown(row.measured, r)),
            joined(&range(row)),
            class(row.verdict),
            row.verdict.name(),
            safe(&row.reason),
        );
    }
    let head = "<th>Required</th><th class=\"n\">Measured</th><th class=\"n\">May be (95 %)</th>\
                <th>Verdict</th><th>Why</th>";
    format!(
        "<section class=\"card\"><h2>Requirement by requirement</h2><p>{}</p>{}</section>",
        head::tally(&report.rows),
        rows_table("Requirement by requirement", head, &body)
    )
}

/// How long a clean run would have to be for a row's claim, in words, where a longer one than this
/// would help.
pub fn needs(report: &Report, row: &Row) -> Option<String> {
    // Chosen: a tenth more; what this run nearly was is no advice, nor what no run can be.
    let long_enough = row.needs_s.filter(|s| *s > 1.1 * report.quic.seconds);
    long_enough.filter(|s| *s <= RUN_MAX_S).map(long)
}

/// What a row of loss does not count on any way, for its place is unknown: it may belong to either.
pub fn unknown_beside(report: &Report, row: &Row) -> Option<String> {
    let unknown = &report.quic.lost_unknown;
    (row.requirement.metric == Metric::Loss && unknown.events > 0)
        .then(|| format!("and {} % nobody knows where", figure(unknown.share * 100.0)))
}

/// Between what a row's figure may lie, in its requirement's unit.
pub fn range(row: &Row) -> String {
    let Some(low) = row.low else { return "not known".to_owned() };
    let r = &row.requirement;
    match row.high {
        Some(high) => format!("{} to {}", shown(Some(low), r), shown(Some(high), r)),
        None => format!("{} or more", shown(Some(low), r)),
    }
}

/// A value in its requirement's unit, a share in percent; or why there is none.
pub fn shown(value: Option<f64>, requirement: &Requirement) -> String {
    let Some(value) = value else {
        // Of a delay one way no clock tells where between its bounds it lies.
        let is_bounds = requirement.metric == Metric::OneWay;
        return if is_bounds { "bounds only" } else { "not measured" }.to_owned();
    };
    // What a unit that is left out means.
    let (is_share, is_rate, own) = match requirement.metric {
        Metric::Loss | Metric::Availability => (true, false, "%"),
        Metric::OutagesPerHour | Metric::SafeStops => (false, true, ""),
        Metric::ThroughputUp | Metric::ThroughputDown => (false, false, "Mbit/s"),
        Metric::Rtt | Metric::OneWay | Metric::Jitter | Metric::OutageLongest => {
            (false, false, "ms")
        }
        Metric::NotMeasured => (false, false, ""),
    };
    match requirement.unit.as_str() {
        _ if is_rate => format!("{} an hour", figure(value)),
        // Of six nines the last must be seen, and rounding makes no hundred.
        "" if value > 0.9 && value < 1.0 => format!("{:.6} %", (value * 1e2).min(99.999_999)),
        "" if is_share => format!("{} %", figure(value * 100.0)),
        "" => format!("{} {own}", figure(value)),
        unit => format!("{} {unit}", figure(value)),
    }
}

/// Three digits that count.
pub fn figure(value: f64) -> String {
    match value.abs() {
        v if v < 1e-12 => "0".to_owned(),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v >= 0.01 => format!("{value:.3}"),
        v if v >= 1e-4 => format!("{value:.5}"),
        _ => format!("{value:.1e}"),
    }
}

/// A figure where there is one.
fn known(value: Option<f64>) -> String {
    value.map_or_else(|| "none".to_owned(), figure)
}

fn at(spread: &Spread, name: &str) -> String {
    let quantile = spread.quantile(name);
    quantile.map_or_else(|| "none came back".to_owned(), |q| format!("{} ms", figure(q.ms)))
}

fn meaning(report: &Report) -> String {
    let quic = &report.quic;
    let stops = |playout, name: &str| {
        let text = stops(report, playout).map_or_else(
            || "<b>not replayed</b>".to_owned(),
            |(seen, most)| format!("<b>{} an hour</b><span>{most}</span>", figure(seen)),
        );
        format!("<div class=\"figure\">{text}<br>safe stops, {name} ({playout} ms playout)</div>")
    };
    let buffer = match report.playout_for_rare_stops_ms {
        Some(ms) => format!(
            "A playout buffer of <b>{ms} ms</b> makes safe stops surely rarer \
            than one an hour."
        ),
        None => "No playout buffer tried makes safe stops <i>surely</i> rarer than one an hour in \
            a run \
                 of this length."
            .to_owned(),
    };
    let lost = |way: &OneWay| joined(&format!("{} %", figure(way.loss.share * 100.0)));
    format!(
        "<section class=\"card\"><h2>What the surgeon would feel</h2><div class=\"figures\">\
         <div class=\"figure\"><b>{}</b>round trip, usually (half of all)</div>\
         <div class=\"figure\"><b>{}</b>round trip, 1 in 1000 is longer</div>\
         <div class=\"figure\"><b>{} / {}</b>lost to the robot / to the surgeon</div>\
         <div class=\"figure\"><b>{} <small>(longest {} ms)</small></b>outages of 10 ms and \
         more</div>{}{}</div>\
         <p></p><p>{buffer} Cameras, codecs and displays add another 100 to 200 ms to what is \
         seen.</p>\
         </section>",
        at(&quic.rtt, "p50"),
        at(&quic.rtt, "p99.9"),
        lost(&quic.up),
        lost(&quic.down),
        quic.outages.count,
        figure(quic.outages.longest_ms),
        stops(20, "default profile"),
        stops(100, "public-5g profile"),
    )
}

/// Safe stops an hour of motion at the shipped threshold with this playout buffer; and how many
/// there may be, in words: by what was seen, and what the verdict uses where that is more.
pub fn stops(report: &Report, playout_ms: u64) -> Option<(f64, String)> {
    let (seen, most) = report.quic.replay.as_ref()?.cell(playout_ms, 10)?;
    let mut words = format!("at most {} (95 %)", figure(most));
    let judged = report.rows.iter().find(|row| {
        let r = &row.requirement;
        r.metric == Metric::SafeStops && r.playout_ms.unwrap_or(PLAYOUT_MS) == playout_ms
    });
    let hidden = report.quic.outages.hidden;
    if let Some(high) = judged.and_then(|row| row.high).filter(|_| hidden > 0) {
        let _ = write!(
            words,
            " by what was seen; the verdict takes at most {}, since {} of a machine may hide \
             more",
            figure(high),
            some(hidden, "stall", "stalls")
        );
    }
    Some((seen, words))
}

fn drawings(report: &Report) -> String {
    let card = |title: &str, drawing: String, key: &str| {
        format!(
            "<section class=\"card\"><h3>{title}</h3>{drawing}<p class=\"key\">{key}</p></section>"
        )
    };
    let quic = &report.quic;
    let twin = report.twin.as_ref().map_or("", |_| "<i class=\"twin\"></i>plain UDP");
    let cards = [
        card(
            "Round trip over time",
            timeline(quic),
            "<i class=\"up\"></i>shortest to longest in each interval<i \
             class=\"bad\"></i>outages, and \
             intervals with loss (ticks at the ground)<i class=\"route\"></i>the route changed",
        ),
        card(
            "How round trips are spread",
            histogram(&quic.rtt),
            "the last bar holds all beyond p99.9",
        ),
        card(
            "How rare long round trips are",
            tails(report),
            &format!(
                "<i class=\"up\"></i>in the session{twin}<i class=\"noise\"></i>p50 to p99.9 of \
                 this machine alone"
            ),
        ),
        card(
            "Jitter each way",
            jitter(quic),
            "<i class=\"up\"></i>to the robot<i class=\"down\"></i>to the surgeon; delay above \
             the least",
        ),
    ];
    format!("<div class=\"grid2\">{}</div>", cards.concat())
}

fn timeline(measures: &Measures) -> String {
    let points = &measures.timeline;
    let most = points.iter().filter_map(|point| point.rtt_max_ms).fold(0.0, f64::max);
    let axis = Axis::linear(0.0, (most * 1.05).max(0.1));
    let (unit_s, unit) = match measures.seconds {
        s if s < 300.0 => (1.0, "seconds from the beginning"),
        s if s < 10_800.0 => (60.0, "minutes from the beginning"),
        _ => (3_600.0, "hours from the beginning"),
    };
    let mut plot = Plot::new(Axis::linear(0.0, measures.seconds / unit_s), axis, unit, "ms");
    for outage in &measures.outages.list {
        let (from, to) = (outage.at_s, outage.at_s + outage.ms / 1e3);
        plot.bar("hole", from / unit_s, to / unit_s, most * 1.05);
    }
    for point in points {
        if let Some((low, high)) = point.rtt_min_ms.zip(point.rtt_max_ms) {
            plot.stroke("up", point.at_s / unit_s, low, high.max(low + most * 0.004));
        }
        if point.lost_up + point.lost_down + point.lost_unknown > 0 {
            plot.stroke("bad", point.at_s / unit_s, 0.0, most * 0.03);
        }
    }
    for step in &measures.routes {
        plot.stroke("route", step.at_s / unit_s, 0.0, most * 1.05);
    }
    plot.finish("Round trip over time, with outages and changes of the route")
}

fn histogram(spread: &Spread) -> String {
    let high = spread.bins.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let ends = spread.bins.first().zip(spread.bins.last());
    let Some((first, last)) = ends else { return String::new() };
    let wide = (last.0 - first.0) / real(len(&spread.bins)).max(2.0);
    let all = real(spread.count.max(1)) / 100.0;
    let axis = Axis::linear(0.0, real(high) / all);
    let mut plot =
        Plot::new(Axis::linear(first.0, last.0 + wide), axis, "round trip, ms", "% of probes");
    for (from, count) in &spread.bins {
        plot.bar("up", *from, from + wide, real(*count) / all);
    }
    plot.finish("Histogram of round trips")
}

fn tails(report: &Report) -> String {
    let rtt = &report.quic.rtt;
    let least = [report.noise.map(|noise| noise.rtt_ms.0), rtt.tail.first().map(|tail| tail.0)];
    let least = least.into_iter().flatten().fold(f64::INFINITY, f64::min).clamp(0.01, 1e4);
    let mut plot = Plot::new(
        Axis::log(least, rtt.max_ms.unwrap_or(0.0).max(least * 10.0)),
        Axis::log(1.0 / real(rtt.count.max(10)), 1.0),
        "round trip, ms (log)",
        "share that is longer",
    );
    if let Some(noise) = report.noise {
        let (p50, p99, p999, _) = noise.rtt_ms;
        plot.line("noise", [(p50, 0.5), (p99, 0.01), (p999, 0.001)].into_iter());
    }
    if let Some(twin) = &report.twin {
        plot.line("twin", twin.rtt.tail.iter().copied());
    }
    plot.line("up", rtt.tail.iter().copied());
    plot.finish("Share of round trips that are longer")
}

fn jitter(measures: &Measures) -> String {
    let (up, down) = (&measures.up.relative, &measures.down.relative);
    let most = [up.max_ms, down.max_ms].into_iter().flatten().fold(0.1, f64::max);
    let mut plot = Plot::new(
        Axis::log((most / 1e4).max(0.01), most),
        Axis::log(1.0 / real(up.count.max(10)), 1.0),
        "delay above the least, ms (log)",
        "share that is longer",
    );
    plot.line("up", up.tail.iter().copied());
    plot.line("down", down.tail.iter().copied());
    plot.finish("Jitter, each way")
}

fn quantiles(report: &Report) -> String {
    let quic = &report.quic;
    let mut head = String::new();
    for quantile in &quic.rtt.quantiles {
        let _ = write!(head, "<th class=\"n{}\">{}</th>", rare(&quantile.name), quantile.name);
    }
    let line = |name: &str, spread: &Spread| {
        let mut cells = String::new();
        for q in &spread.quantiles {
            let high = q.high_ms.map_or_else(|| "?".to_owned(), figure);
            let _ = write!(
                cells,
                "<td class=\"n{}\">{}<br><small>{} to {high}</small></td>",
                rare(&q.name),
                figure(q.ms),
                figure(q.low_ms)
            );
        }
        format!("<tr><td>{name}</td>{cells}<td class=\"n\">{}</td></tr>", known(spread.max_ms))
    };
    let absolute = |name: &str, way: &OneWay| {
        let mut cells = String::new();
        for q in &way.absolute.high {
            let text = way.absolute.bounds(&q.name).map_or_else(String::new, |(low, high)| {
                format!("{} to {}", figure(low), high.map_or_else(|| "?".to_owned(), figure))
            });
            let rare = rare(&q.name);
            let _ = write!(cells, "<td class=\"n{rare}\"><small>{text}</small></td>");
        }
        format!("<tr><td>{name}</td>{cells}<td></td></tr>")
    };
    let mut body = line("Round trip", &quic.rtt);
    if let Some(twin) = &report.twin {
        body.push_str(&line("Round trip, plain UDP", &twin.rtt));
    }
    body.push_str(&line("Jitter up (PDV)", &quic.up.relative));
    body.push_str(&line("Jitter down (PDV)", &quic.down.relative));
    body.push_str(&line("Change up (IPDV)", &quic.up.change));
    body.push_str(&line("Change down (IPDV)", &quic.down.change));
    body.push_str(&absolute("One-way up, lies between", &quic.up));
    body.push_str(&absolute("One-way down, lies between", &quic.down));
    let head = format!("<th>Delay</th>{head}<th class=\"n\">most</th>");
    format!(
        "<section class=\"card\"><h2>Delays, ms, with 95 % intervals</h2>{}\
         <p class=\"soft\">Delays come in good and bad spells, and the intervals know it. ?: \
         beyond everything seen, so a longer run must tell. <span class=\"phone\">The other \
         quantiles are on a wider screen and in print. </span>One-way: {}.</p>{}</section>",
        table("Delays", " wide", &head, &body),
        safe(&quic.up.absolute.cause),
        cost(report)
    )
}

/// Quantiles that a phone has no room for.
fn rare(name: &str) -> &'static str {
    if ["p50", "p99", "p99.9"].contains(&name) { "" } else { " rare" }
}

/// What QUIC adds to plain UDP.
fn cost(report: &Report) -> String {
    if report.quic_adds_ms.is_empty() {
        return String::new();
    }
    let mut list = String::new();
    for added in &report.quic_adds_ms {
        let high = added.high_ms.map_or_else(|| "?".to_owned(), figure);
        let told = if added.low_ms <= 0.0 && added.high_ms.is_none_or(|high| high >= 0.0) {
            ": it cannot be told from nothing"
        } else {
            ""
        };
        let _ = write!(
            list,
            "<li>{}: {} ms, may be {} to {high}{told}</li>",
            added.name,
            figure(added.ms),
            figure(added.low_ms),
        );
    }
    format!("<p>What QUIC adds to plain UDP on the same link at the same time:</p><ul>{list}</ul>")
}

fn watchdog(report: &Report) -> String {
    let Some(replay) = &report.quic.replay else {
        return "<section class=\"card\"><h2>Watchdog</h2><p>Not replayed: commands come at 1 kHz, \
            so \
                probe at 1 kHz to see what the watchdog would do.</p></section>"
            .to_owned();
    };
    let between = |ms: &u64| if [10, 20, 50, 100].contains(ms) { "" } else { " rare" };
    let head = replay.thresholds_ms.iter();
    let head: String = head.map(|t| format!("<th class=\"n{}\">{t} ms</th>", between(t))).collect();
    let mut body = String::new();
    for played in &replay.played {
        let cells: String = played
            .stops_per_hour
            .iter()
            .zip(&played.stops_per_hour_high)
            .zip(&replay.thresholds_ms)
            .map(|((seen, most), threshold)| {
                format!(
                    "<td class=\"n{}\">{}<br><small>&le;\u{a0}{}</small></td>",
                    between(threshold),
                    figure(*seen),
                    figure(*most)
                )
            })
            .collect();
        let _ = write!(
            body,
            "<tr><td>{} ms</td><td class=\"n\">{}</td><td class=\"n rare\">{}</td>{cells}</tr>",
            played.playout_ms,
            figure(played.added_mean_ms),
            figure(played.moving_s.first().copied().unwrap_or(0.0) / replay.hours.max(1e-9) / 36.0)
        );
    }
    let head = format!(
        "<th>Playout at most</th><th class=\"n\">adds, ms</th><th class=\"n rare\">moves, %</th>\
         {head}"
    );
    format!(
        "<section class=\"card\"><h2>What the watchdog would have done</h2>\
         <p>The measured arrivals, played through the playout buffer and the watchdog that ship. \
         Stops an hour of motion, and below it the most that the link's own rate may be (95 %); \
         across: how long a silence brakes (10 ms ships); down: how much delay the buffer may add, \
         how much it added on average, and how much of the time the arm could move at 10 ms.\
         <span class=\"phone\"> More thresholds are on a wider screen and in print.</span></p>{}\
         <p class=\"key\"><i class=\"up\"></i>20 ms playout<i class=\"down\"></i>100 ms playout, \
         each with <i class=\"most\"></i>the most that it may be (95 %)</p>{}{}</section>",
        watchdog_plot(replay),
        none_seen(replay),
        table("Safe stops an hour of motion", " wide", &head, &body)
    )
}

/// The playout buffers of the shipped profiles, ms, and how each is drawn.
const DRAWN: [(u64, &str); 2] = [(20, "up"), (100, "down")];

fn drawn(replay: &Replay) -> impl Iterator<Item = (&Played, &'static str)> {
    DRAWN.into_iter().filter_map(|(playout, class)| {
        let played = replay.played.iter().find(|played| played.playout_ms == playout)?;
        Some((played, class))
    })
}

fn watchdog_plot(replay: &Replay) -> String {
    let rates = drawn(replay)
        .flat_map(|(played, _)| played.stops_per_hour.iter().chain(&played.stops_per_hour_high));
    let (least, most) = rates
        .filter(|rate| **rate > 0.0)
        .fold((1.0_f64, 1.0_f64), |all, rate| (all.0.min(*rate), all.1.max(*rate)));
    let thresholds = || replay.thresholds_ms.iter().map(|threshold| real(*threshold));
    let mut plot = Plot::new(
        Axis::log(10.0, 500.0).marked_at(thresholds()),
        Axis::log(least, most).with_none("none"),
        "brakes after so many ms of silence (log)",
        "stops an hour (log)",
    );
    for (played, class) in drawn(replay) {
        let high = thresholds().zip(played.stops_per_hour_high.iter().copied());
        plot.line(&format!("{class} most"), high);
    }
    for (played, class) in drawn(replay) {
        let seen = || thresholds().zip(played.stops_per_hour.iter().copied());
        plot.line(class, seen());
        for (threshold, rate) in seen() {
            plot.dot(if rate > 0.0 { class } else { "none" }, threshold, rate);
        }
    }
    plot.finish("Safe stops an hour by threshold; the table below has the figures")
}

/// From which threshold on none were seen, and how many there may be nevertheless.
fn none_seen(replay: &Replay) -> String {
    let mut words = String::new();
    for (played, _) in drawn(replay) {
        let stops = || played.stops_per_hour.iter().zip(&replay.thresholds_ms);
        let above = stops().filter(|(rate, _)| **rate > 0.0).map(|(_, threshold)| *threshold).max();
        let mut rest = replay.thresholds_ms.iter().zip(&played.stops_per_hour_high);
        let none = rest.find(|(threshold, _)| above.is_none_or(|above| **threshold > above));
        let _ = match none {
            Some((threshold, most)) => write!(
                words,
                "<p>{} ms playout: none seen from a threshold of {threshold} ms on, at most {} an \
                 hour (95 %).</p>",
                played.playout_ms,
                figure(*most)
            ),
            None => {
                write!(words, "<p>{} ms playout: some at every threshold.</p>", played.playout_ms)
            }
        };
    }
    words
}

fn frames(outages: &Outages) -> String {
    let ((up, down), (up_s, down_s)) = (outages.frames_ms, outages.frames_s);
    if up.max(down) <= 0.0 {
        return String::new();
    }
    format!(
        "<p class=\"soft\">A radio on this link hands over in frames: what was held up to {} ms to \
         the robot and {} ms to the surgeon is usual here, and no outage. In all it was {} s and \
         {} s.</p>",
        figure(up),
        figure(down),
        figure(up_s),
        figure(down_s)
    )
}

/// What may have been an outage beside those that were seen.
fn not_seen(outages: &Outages) -> String {
    let Outages { possible, count, unknown, hidden, .. } = outages;
    let mut words = String::new();
    let alone = possible.saturating_sub(count + unknown);
    if alone > 0 {
        let _ = write!(
            words,
            " {} may have lasted 10 ms, where nobody looked between two probes.",
            some(alone, "more loss", "more losses")
        );
    }
    if *unknown > 0 {
        let stretches = some(*unknown, "stretch", "stretches");
        let _ = write!(words, " Of {stretches} nobody knows whether it was the link.");
    }
    if *hidden > 0 {
        let stalls = some(*hidden, "stall", "stalls");
        let _ = write!(words, " {stalls} of a machine may hide others.");
    }
    if words.is_empty() { words } else { format!("<p class=\"soft\">{}</p>", words.trim()) }
}

/// Loss, and the list of outages.
fn outages(measures: &Measures) -> String {
    let outages = &measures.outages;
    let lost = measures.lost_unknown.events;
    let way = |name: &str, way: &OneWay| {
        format!(
            "<tr><td>{name}</td><td class=\"n\">{} of {}</td><td class=\"n\">{}\u{a0}%</td>\
             <td class=\"n\">{} to {}\u{a0}%</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            way.loss.events,
            way.loss.of,
            figure(way.loss.share * 100.0),
            figure(way.loss.low * 100.0),
            figure(way.loss.high * 100.0),
            way.reordered,
            way.duplicates
        )
    };
    let body = way("To the robot", &measures.up) + &way("To the surgeon", &measures.down);
    let head = "<th>Way</th><th class=\"n\">lost</th><th class=\"n\">share</th>\
                <th class=\"n\">may be (95 %)</th><th class=\"n\">reordered</th>\
                <th class=\"n\">came twice</th>";
    let unknown = if lost == 1 {
        "1 more was lost nobody knows where, or found no session.".to_owned()
    } else {
        format!("{lost} more were lost nobody knows where, or found no session.")
    };
    format!(
        "<section class=\"card\"><h2>Loss and outages</h2>{}<p class=\"soft\">{unknown}</p>\
         {}{}{}</section>",
        table("Loss each way", "", head, &body),
        frames(outages),
        outage_list(outages),
        not_seen(outages)
    )
}

/// The outages, by their begin.
fn outage_list(outages: &Outages) -> String {
    let mut list: Vec<&Outage> = outages.list.iter().collect();
    list.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    let is_twice = |one: &Outage| {
        let ends = |outage: &Outage| outage.at_s + outage.ms / 1e3;
        let meets = |other: &&Outage| other.at_s < ends(one) && one.at_s < ends(other);
        list.iter().filter(|other| other.way == one.way && meets(other)).count() > 1
    };
    let (mut body, mut any_twice) = (String::new(), false);
    for outage in list.iter().take(LISTED) {
        let way = way_words(outage.way);
        let mode = match outage.mode {
            Mode::Dropped => "lost",
            Mode::Held => "held, then came at once",
        };
        let mark = if is_twice(outage) { " *" } else { "" };
        any_twice |= !mark.is_empty();
        let _ = write!(
            body,
            "<tr><td class=\"n\">{:.3}\u{a0}s</td><td class=\"n\">{:.0}\u{a0}ms</td>\
             <td class=\"n\">{} to {}\u{a0}ms</td><td>{way}</td><td>{mode}{mark}</td></tr>",
            outage.at_s,
            outage.ms,
            figure(outage.low_ms),
            figure(outage.high_ms)
        );
    }
    if body.is_empty() {
        return "<p>No outage of 10 ms or more.</p>".to_owned();
    }
    let head = "<th class=\"n\">Began at</th><th class=\"n\">lasted</th>\
                <th class=\"n\">may be</th><th>way</th><th>what was sent</th>";
    let twice = if any_twice {
        "<p class=\"soft\">* At the same time as another on the same way: it is one stretch, in \
         which what was held came in more than one go, or a part of it was lost. They are counted \
         one by one; where a requirement asks how many there surely were, as one.</p>"
    } else {
        ""
    };
    let count = outages.count + outages.unknown;
    let more = usize::try_from(count).unwrap_or(usize::MAX) > LISTED;
    let more = if more {
        format!("<p class=\"soft\">The first {LISTED} of {count}.</p>")
    } else {
        String::new()
    };
    table("Outages", "", head, &body) + twice + &more
}

pub(super) const fn way_words(way: Way) -> &'static str {
    match way {
        Way::Up => "to the robot",
        Way::Down => "to the surgeon",
        Way::Both => "both ways",
        Way::Unknown => "unknown",
    }
}

/// When the base delay changed.
fn routes(measures: &Measures) -> String {
    if measures.routes.is_empty() {
        return "<section class=\"card\"><h2>Changes of the route</h2><p>None seen: the shortest \
                delays stayed what they were.</p></section>"
            .to_owned();
    }
    let by = |ms: Option<f64>| {
        ms.map_or_else(|| "none seen".to_owned(), |ms| format!("{}{}", plus(ms), figure(ms)))
    };
    let mut body = String::new();
    for step in measures.routes.iter().take(LISTED) {
        let _ = write!(
            body,
            "<tr><td class=\"n\">{:.3}\u{a0}s</td><td>{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            step.at_s,
            way_words(step.way),
            by(step.up_ms),
            by(step.down_ms),
            by(Some(step.rtt_ms)),
        );
    }
    let count = measures.routes.len();
    let more = if count > LISTED {
        format!("<p class=\"soft\">The first {LISTED} of {count}.</p>")
    } else {
        String::new()
    };
    let head = "<th class=\"n\">At</th><th>way</th><th class=\"n\">to the robot</th>\
                <th class=\"n\">to the surgeon</th><th class=\"n\">round trip</th>";
    format!(
        "<section class=\"card\"><h2>Changes of the route</h2><p>When the shortest delay changed \
         and stayed changed, and by how many ms. None seen: no change that could be told from good \
         and bad spells.</p>{}{more}</section>",
        table("Changes of the route", "", head, &body)
    )
}

const fn plus(ms: f64) -> &'static str {
    if ms > 0.0 { "+" } else { "" }
}

fn clocks(measures: &Measures) -> String {
    let mut list = String::new();
    for stretch in &measures.clocks.stretches {
        let _ = write!(
            list,
            "<li>drift {:.1} ppm, known so well that the offset is off by at most {:.3} ms</li>",
            stretch.drift_ppm,
            stretch.slack_us / 1e3
        );
    }
    for step in &measures.clocks.steps {
        let _ = write!(
            list,
            "<li>a clock stepped by {:.1} ms near slot {}</li>",
            step.by_ms, step.slot
        );
    }
    format!("<section class=\"card\"><h2>The two clocks</h2><ul>{list}</ul></section>")
}

fn floor_words(noise: &Floor) -> String {
    let (p50, p99, p999, most) = noise.rtt_ms;
    format!(
        "round trip {} ms at p50, {} at p99, {} at p99.9, {} at most; {} % sent late, {} % not \
         sent",
        figure(p50),
        figure(p99),
        figure(p999),
        figure(most),
        figure(noise.late * 100.0),
        figure(noise.not_sent * 100.0)
    )
}

fn own(report: &Report) -> String {
    let own = &report.quic.own;
    let stolen = report.about.stolen_ms.map_or_else(String::new, |ms| {
        format!("The hypervisor took {ms} ms of processor time: late sends may be its doing.")
    });
    let robot = own.robot_stalls_words().map_or_else(String::new, |words| {
        format!(
            " Meanwhile {words}, as it says itself: what came then counts for the worst that may \
             be, and fails nothing."
        )
    });
    let noise = report.noise.map_or_else(
        || "<p>The noise floor was not measured.</p>".to_owned(),
        |noise| {
            let quic = report.noise_quic.map_or_else(String::new, |noise| {
                format!(" Inside a session: {}.", floor_words(&noise))
            });
            format!(
                "<p>Noise floor, the same schedule on plain UDP over loopback just before: {}.\
                 {quic} Nothing shorter than this can be told from the machine. It is of this \
                 machine's timers, threads and sockets.</p>",
                floor_words(&noise)
            )
        },
    );
    format!(
        "<section class=\"card\"><h2>How good the measurement is</h2><p>{} slots, {} sent, {} \
         left out by \
         this machine, {} without a session. Sent more than 0.2 ms late: {}; late at p50 {} ms, \
         p99 {} ms, \
         most {} ms. Delays count from the intended time, so a late send is not hidden. The robot \
         answered \
         within {} ms (p99), which is taken out.{robot}</p>\
         {noise}<p class=\"soft\">Sending thread: {}. \
         {stolen} Sessions: \
         {}.</p></section>",
        own.slots,
        own.sent,
        own.not_sent,
        own.no_session,
        own.late,
        known(own.late_ms.map(|late| late.0)),
        known(own.late_ms.map(|late| late.1)),
        known(own.late_ms.map(|late| late.2)),
        known(own.turn_ms_p99),
        safe(&report.about.real_time),
        report.about.sessions,
    )
}

fn proof(report: &Report, is_sealed: bool) -> String {
    let mut files = String::new();
    for file in &report.raw {
        let _ = write!(
            files,
            "<li>{}: <code>{}</code>, {} bytes, SHA-256 <code>{}</code></li>",
            safe(&file.what),
            safe(&file.name),
            file.bytes,
            safe(&file.sha256)
        );
    }
    let sealed = if is_sealed {
        "This page holds its report as JSON, signed. <code>longhand-console qualify verify \
         FILE</code> says by whom, and checks the signatures of the report and of this page, and \
         the files above where they lie beside it."
    } else {
        "<b>This page is not signed</b>: nobody can tell whether it was altered."
    };
    format!(
        "<section class=\"card\"><h2>Proof</h2>{}<ul>{files}</ul><p>{sealed}</p>\
         <p class=\"soft\">{}, {}.</p></section>",
        head::certificates(&report.about),
        safe(&report.schema),
        safe(&report.about.release),
    )
}

/// A figure that stays with its unit where the line is short; between two it may break.
fn joined(text: &str) -> String {
    let spans = text.split(" to ").map(|span| safe(span).replace(' ', "\u{a0}"));
    spans.collect::<Vec<_>>().join(" to ")
}

/// Text that cannot be taken for markup.
pub(crate) fn safe(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
