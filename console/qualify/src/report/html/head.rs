//! The page's first screen: what came out, which requirement made it so, and whose link it is.
//!
//! Knows: how to say it to a surgeon. Does not know: any number that is not in the report.

use std::fmt::Write as _;

use super::{class, figure, safe, shown};
use crate::measure::long;
use crate::number::{len, some};
use crate::report::{About, Certificate, Report};
use crate::verdict::{Metric, Requirement, Row, Verdict};

/// Digits of a certificate's hash on the first screen; the whole stands with the proof.
const HASH_SHOWN: usize = 16;

/// The first card.
pub(super) fn first(report: &Report) -> String {
    let about = &report.about;
    let mut found = String::new();
    for verdict in [Verdict::Fail, Verdict::Insufficient] {
        for row in report.rows.iter().filter(|row| row.verdict == verdict) {
            let _ = write!(
                found,
                "<li><b class=\"{}\">{}</b> {}.</li>",
                class(verdict),
                word(verdict),
                safe(&finding(row))
            );
        }
    }
    let found = if found.is_empty() { found } else { format!("<ul class=\"why\">{found}</ul>") };
    let mut notes = String::new();
    for note in &about.notes {
        let _ = write!(notes, "<p class=\"soft\">{}</p>", safe(note));
    }
    format!(
        "<section class=\"card top {}\"><h1>Is this link good enough?</h1>\
         <div class=\"verdict\">{}</div>{found}<p>{}</p>\
         <p>Measured against <b>{}</b> ({}).</p>{}{notes}\
         <p class=\"soft\">Words that are not everyday ones are explained at the \
         <a href=\"#words\">end</a>.</p></section>",
        class(report.verdict),
        report.verdict.name(),
        plain(report),
        safe(&report.profile.title),
        safe(&report.profile.name),
        whose(report),
    )
}

/// A verdict as it stands before a sentence.
const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS:",
        Verdict::Fail => "FAIL:",
        Verdict::Insufficient => "NOT PROVEN:",
    }
}

/// What the verdict means.
fn plain(report: &Report) -> String {
    let is_open = report.rows.iter().any(|row| row.verdict != Verdict::Pass);
    let words = match report.verdict {
        Verdict::Pass => "Everything that was required was shown to hold.",
        Verdict::Fail => "At least one requirement is surely not met.",
        Verdict::Insufficient if is_open => {
            "Nothing is surely wrong, but this run cannot show that all requirements hold. The \
             table says what is missing, and how long a run would have to be."
        }
        Verdict::Insufficient => "What was measured holds, but it is not all that was asked for.",
    };
    let cut = if report.about.cut_short { " The run was ended before its time." } else { "" };
    format!("{words}{cut}")
}

/// Robot, hospital, measurer, time.
fn whose(report: &Report) -> String {
    let about = &report.about;
    let short = |certificate: &Certificate| {
        let shown: String = certificate.sha256.chars().take(HASH_SHOWN).collect();
        format!("<small>certificate <code>{}\u{2026}</code></small>", safe(&shown))
    };
    let robot = about.robot_certificate.as_ref().map_or_else(
        || "<small>what its certificate says is not known: the run broke off</small>".to_owned(),
        |robot| format!("\u{201c}{}\u{201d} {}", safe(&robot.name), short(robot)),
    );
    let hospital = about.authority.as_ref().map_or_else(
        || "not known".to_owned(),
        |authority| format!("{} {}", safe(&authority.name), short(authority)),
    );
    let by = about.by_certificate.as_ref().map_or_else(String::new, short);
    let pairs = [
        (
            "Robot",
            format!("number {} {robot}, reached at {}", about.robot_number, safe(&about.robot)),
        ),
        ("Hospital", hospital),
        ("Measured by", format!("{} {by}", safe(&about.by))),
        (
            "Measured",
            format!(
                "{}, for {}, {} probes a second",
                safe(&about.begun),
                long(report.quic.seconds),
                about.rate_hz
            ),
        ),
        ("Run", safe(&about.run)),
    ];
    let pairs = pairs.map(|(what, is)| format!("<div><dt>{what}</dt><dd>{is}</dd></div>"));
    format!("<dl class=\"whose\">{}</dl>", pairs.concat())
}

/// The whole hashes of the certificates, for the proof.
pub(super) fn certificates(about: &About) -> String {
    let all = [
        ("The robot's certificate", &about.robot_certificate),
        ("The certificate of who measured", &about.by_certificate),
        ("The authority that issued both", &about.authority),
    ];
    let line = |(what, certificate): (&str, &Option<Certificate>)| {
        let certificate = certificate.as_ref()?;
        Some(format!(
            "<li>{what}: {}, SHA-256 <code>{}</code></li>",
            safe(&certificate.name),
            safe(&certificate.sha256)
        ))
    };
    let all: String = all.into_iter().filter_map(line).collect();
    if all.is_empty() { all } else { format!("<ul>{all}</ul>") }
}

/// What stands at the head and the foot of each sheet.
pub(super) fn sheets(report: &Report) -> String {
    let about = &report.about;
    let name = about.robot_certificate.as_ref();
    let name = name.map_or_else(String::new, |robot| format!(" \"{}\"", robot.name));
    let left = format!("Robot {}{name}, {}", about.robot_number, about.robot);
    let right = format!("{} - {}", report.verdict.name(), about.begun);
    format!(
        "@page{{@top-left{{content:\"{}\"}}@top-right{{content:\"{}\"}}\
         @bottom-left{{content:\"{}\"}}}}",
        in_style(&left),
        in_style(&right),
        in_style(&about.run)
    )
}

/// Text within a string of a style sheet: nothing in it ends the string or the sheet.
fn in_style(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || " .,:-_".contains(c) {
            safe.push(c);
        } else {
            let _ = write!(safe, "\\{:x} ", u32::from(c));
        }
    }
    safe
}

/// What was found against what is required, as a sentence without its end.
pub fn finding(row: &Row) -> String {
    let r = &row.requirement;
    let Some(low) = row.low else {
        return format!("{}: not measured; {}", r.what, row.reason);
    };
    let required = required(r);
    let Some(measured) = row.measured else {
        // An interval alone: its best end is what fails, both are what is open.
        let value = match (row.verdict, row.high) {
            (Verdict::Fail, _) => format!("{} at the very least", shown(Some(low), r)),
            (_, Some(high)) => {
                format!("something from {} to {}", shown(Some(low), r), shown(Some(high), r))
            }
            (_, None) => format!("{} or more", shown(Some(low), r)),
        };
        return format!("{}; {required}", sentence(r, low, &value));
    };
    let is = sentence(r, measured, &shown(Some(measured), r));
    if row.verdict == Verdict::Fail {
        return format!("{is}; {required}");
    }
    let (best, worst) =
        if r.at_least.is_some() { (row.high, Some(low)) } else { (Some(low), row.high) };
    let holds = |value: f64| {
        r.at_most.is_none_or(|bound| value <= bound)
            && r.at_least.is_none_or(|bound| value >= bound)
    };
    let open = match (holds(measured), worst, best) {
        (true, Some(worst), _) if !holds(worst) => {
            format!("but this run cannot rule out {}", shown(Some(worst), r))
        }
        (true, None, _) => "but this run cannot rule out worse".to_owned(),
        (false, _, Some(best)) if holds(best) => {
            format!("but it may have been {}", shown(Some(best), r))
        }
        // Not its interval leaves it open.
        _ => format!("but {}", row.reason),
    };
    format!("{is}, {open}; {required}")
}

/// What a value of a row's means.
fn sentence(r: &Requirement, value: f64, shown: &str) -> String {
    let quantile = r.quantile.as_deref().unwrap_or("p99").trim_start_matches('p');
    let number = figure(value);
    match r.metric {
        Metric::Rtt if r.adds > 0.0 => format!(
            "with {} ms for what the link does not cause, {quantile} % of round trips took up to \
             {shown}",
            plainly(r.adds)
        ),
        Metric::Rtt => format!("{quantile} % of round trips took up to {shown}"),
        Metric::OneWay => {
            format!("on the slower way {quantile} % of packets took up to {shown}")
        }
        Metric::Jitter => format!(
            "on the worse way {quantile} % of packets came up to {shown} later than the fastest"
        ),
        Metric::Loss => format!("{shown} of packets were lost on the worse way"),
        Metric::Availability => format!("the link carried packets {shown} of the time"),
        Metric::OutageLongest => format!("the longest outage lasted {shown}"),
        Metric::OutagesPerHour => format!("there were {number} outages an hour"),
        Metric::SafeStops => format!(
            "with a playout buffer of {} ms the arm would have stopped {number} times an hour of \
             motion",
            r.playout_ms.unwrap_or(super::PLAYOUT_MS)
        ),
        Metric::ThroughputUp => format!("{shown} came through to the robot"),
        Metric::ThroughputDown => format!("{shown} came through to the surgeon"),
        Metric::NotMeasured => r.what.clone(),
    }
}

/// The bound, in words.
fn required(r: &Requirement) -> String {
    let is_share = matches!(r.metric, Metric::Loss | Metric::Availability);
    let unit = match r.metric {
        Metric::Loss | Metric::Availability => " %",
        Metric::OutagesPerHour | Metric::SafeStops => " an hour",
        Metric::ThroughputUp | Metric::ThroughputDown => " Mbit/s",
        Metric::Rtt | Metric::OneWay | Metric::Jitter | Metric::OutageLongest => " ms",
        Metric::NotMeasured => "",
    };
    let said = |bound: f64| plainly(if is_share { bound * 100.0 } else { bound }) + unit;
    match (r.at_most, r.at_least) {
        (Some(bound), _) => format!("at most {} is required", said(bound)),
        (None, Some(bound)) => format!("at least {} is required", said(bound)),
        (None, None) => format!("required: {}", r.what),
    }
}

/// A bound as somebody wrote it: no digit more.
fn plainly(value: f64) -> String {
    let text = format!("{value:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How many requirements came out how, in words.
pub(super) fn tally(rows: &[Row]) -> String {
    let of = |verdict| len(&rows.iter().filter(|row| row.verdict == verdict).collect::<Vec<_>>());
    format!(
        "{}: {} shown to hold, {} surely not met, {} not proven.",
        some(len(rows), "requirement", "requirements"),
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Insufficient)
    )
}
