//! Many runs as one page that needs nothing else: no script, no font, no network.
//!
//! Knows: what somebody looks for first. Does not know: any number that is not in the object.

use std::fmt::Write as _;

use super::calendar::marks;
use super::course::{Point, Reading};
use super::{Group, Measure, Reason, Trend};
use crate::number::{len, signed, some, whole};
use crate::report::svg::{Axis, Plot};
use crate::report::{figure, rows_table, safe, table};
use crate::verdict::Verdict;

/// What this page has beyond a report's.
const STYLE: &str = "@page{@top-left{content:\"What changed on this link\"}}\
    svg circle{fill:var(--up);stroke:none}svg circle.out\
    {fill:#fff;stroke:var(--bad);stroke-width:2}\
    .key i.base{color:#667085;border-top-style:dashed}.worse{color:var(--bad)}";

/// What this page is called, and no other.
const TITLE: &str = "<title>What changed on this link</title>";

/// Whether a text is a page of many runs, of whichever release.
pub fn is_page(text: &str) -> bool {
    text.starts_with("<!DOCTYPE html>") && text.contains(TITLE)
}

/// The page of many runs.
pub fn page(trend: &Trend) -> String {
    let mut parts = vec![first(trend)];
    parts.extend(trend.groups.iter().map(group));
    parts.push(left_out(trend));
    parts.push(how(trend));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         {TITLE}<style>{}{STYLE}</style></head>\n\
         <body><main>\n{}\n\
         </main>\n</body></html>\n",
        include_str!("../report/page.css"),
        parts.join("\n")
    )
}

fn first(trend: &Trend) -> String {
    let (class, word) = match (trend.worse, trend.enough) {
        (true, _) => ("FAIL", "Something became worse"),
        (false, true) => ("PASS", "Nothing became worse"),
        (false, false) => ("INSUFFICIENT", "Too few runs to tell of everything"),
    };
    let runs = trend.groups.iter().map(|group| len(&group.runs)).sum();
    let mut found = String::new();
    for (group, measure) in trend.groups.iter().flat_map(|g| g.measures.iter().map(move |m| (g, m)))
    {
        if measure.worse || matches!(measure.course.reads_as, Reading::Drift | Reading::Steps) {
            let (class, word) = if measure.worse { ("worse", "WORSE: ") } else { ("", "") };
            let says = safe(&measure.says);
            let of = if trend.groups.len() > 1 { safe(&alike(group)) } else { String::new() };
            let _ = write!(found, "<li class=\"{class}\">{word}{says} <small>{of}</small></li>");
        }
    }
    let found = if found.is_empty() {
        "<p>No change was found that luck alone would not make.</p>".to_owned()
    } else {
        format!("<ul>{found}</ul>")
    };
    format!(
        "<section class=\"card top {class}\"><h1>What changed on this link?</h1>\
         <div class=\"verdict\">{word}</div>{found}<p class=\"soft\">Of {} in {} that are alike; \
         left out: {}.</p></section>",
        some(runs, "run", "runs"),
        some(len(&trend.groups), "group", "groups"),
        some(len(&trend.left_out), "file", "files")
    )
}

/// What a group's runs have in common, in a line.
pub fn alike(group: &Group) -> String {
    let one = |alike: &super::Alike| format!("{} {}", alike.what, alike.is);
    group.alike.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn group(group: &Group) -> String {
    let mut rows = String::new();
    for measure in &group.measures {
        let course = &measure.course;
        let (class, word) = if measure.worse { ("worse", "WORSE: ") } else { ("", "") };
        let outside = outside(group, measure);
        let _ = write!(
            rows,
            "<tr><td><b>{}</b></td><td class=\"n\" data-l=\"Least\">{}</td>\
             <td class=\"n\" data-l=\"Median\">{}</td><td class=\"n\" data-l=\"Newest\">{}</td>\
             <td class=\"{class}\">{word}{}{outside}</td></tr>",
            measure.gauge.name(),
            figure(course.min),
            figure(course.median),
            figure(course.last),
            safe(&measure.says),
        );
    }
    let drawings: String = group
        .measures
        .iter()
        .filter(|m| m.course.points.len() > 1)
        .map(|m| drawing(group, m))
        .collect();
    let base = group.baseline.as_ref().map_or_else(String::new, |run| {
        format!("<p class=\"soft\">Baseline: {} ({})</p>", safe(&run.name), safe(&run.begun))
    });
    let head = "<th>Measure</th><th class=\"n\">Least</th><th class=\"n\">Median</th>\
                <th class=\"n\">Newest</th><th>What changed</th>";
    format!(
        "<section class=\"card\"><h2>{} alike: {}</h2>{base}{}</section>\
         <div class=\"grid2\">{drawings}</div>{}",
        some(len(&group.runs), "run", "runs"),
        safe(&alike(group)),
        rows_table("Measures", head, &rows),
        runs(group)
    )
}

/// Runs outside the baseline's interval, in words.
fn outside(group: &Group, measure: &Measure) -> String {
    if group.baseline.is_none() || measure.outside.is_empty() {
        return String::new();
    }
    let worse = measure.outside.iter().filter(|outside| outside.worse).count();
    let newest = measure.outside.last().and_then(|outside| group.runs.get(outside.run));
    let newest = newest.map_or("", |run| run.begun.as_str());
    format!(
        " <small>Outside the baseline's interval: {worse} worse, {} better; the newest of them of \
         {}.</small>",
        measure.outside.len() - worse,
        safe(newest)
    )
}

fn drawing(group: &Group, measure: &Measure) -> String {
    let points = &measure.course.points;
    let figures: Vec<_> = measure
        .of_run
        .iter()
        .map(|run| group.runs.get(*run).and_then(|run| run.gauged(measure.gauge)))
        .collect();
    let base = group.baseline.as_ref().and_then(|run| run.gauged(measure.gauge));
    let values = || points.iter().map(|point| point.value);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    // An interval without an upper end must not take the drawing for itself; what is longer than
    // the values' own span is drawn to the edge.
    let ends = || figures.iter().flatten().chain(&base);
    let reach = if most > 0.0 {
        most + (most - least).max(0.05 * most)
    } else {
        ends().filter_map(|gauged| gauged.high).fold(0.0, f64::max)
    };
    let high = ends().filter_map(|g| g.high).fold(most, f64::max).min(reach).max(1e-6);
    let low = ends().filter_map(|g| g.low).fold(least, f64::min).max(least - (reach - most));
    // From zero, unless that would leave the course no room.
    let from = if low < 0.5 * high || low >= high { 0.0 } else { low - 0.1 * (high - low) };
    let days = points.last().map_or(1.0, |point| point.day).max(1e-3);
    let (start, end) = (-0.02 * days, 1.02 * days);
    let mut plot = Plot::new(
        Axis::linear(start, end).marked(times(group, start, end)),
        Axis::linear(from, high + 0.05 * (high - from)),
        &format!("time, from {}", safe(points_begin(group))),
        measure.gauge.name(),
    );
    for bound in base.iter().flat_map(|base| [base.low, base.high]).flatten() {
        plot.line("noise", [(start, bound), (end, bound)].into_iter());
    }
    for (point, gauged) in points.iter().zip(&figures) {
        if let Some((low, high)) = gauged.and_then(|g| Some((g.low?, g.high.unwrap_or(reach)))) {
            plot.stroke("up", point.day, low.max(from), high.min(reach));
        }
    }
    for (point, run) in points.iter().zip(&measure.of_run) {
        let is_out = measure.outside.iter().any(|outside| outside.run == *run && outside.worse);
        plot.dot(if is_out { "out" } else { "in" }, point.day, point.value);
    }
    course(&mut plot, measure, points);
    let runs = some(len(points), "run", "runs");
    let label = format!("{} of {runs}. {}", measure.gauge.name(), measure.says);
    let base = if base.is_some() {
        "<i class=\"base\"></i>baseline's interval; a ring: worse than it"
    } else {
        ""
    };
    format!(
        "<section class=\"card\"><h3>{}</h3>{}<p class=\"key\"><i class=\"up\"></i>a run, with its \
         interval<i class=\"down\"></i>its course{base}</p></section>",
        measure.gauge.name(),
        plot.finish(&safe(&label))
    )
}

/// The marks of the time axis, days from the group's first run.
fn times(group: &Group, start: f64, end: f64) -> Vec<(f64, String)> {
    let since = group.runs.first().map_or(0, |run| run.minute);
    let minute = |day: f64| since.saturating_add(whole(day * 1_440.0));
    let marks = marks(minute(start), minute(end)).into_iter();
    marks.map(|(at, word)| (signed(at.saturating_sub(since)) / 1_440.0, word)).collect()
}

fn points_begin(group: &Group) -> &str {
    group.runs.first().map_or("", |run| run.begun.as_str())
}

/// The line that the course reads as: medians between steps, a slope, or one median.
fn course(plot: &mut Plot, measure: &Measure, points: &[Point]) {
    let course = &measure.course;
    let Some((first, last)) = points.first().zip(points.last()) else { return };
    match (course.reads_as, course.drift) {
        (Reading::TooFew, _) => {}
        (Reading::Drift, Some(drift)) => {
            let mut starts: Vec<f64> =
                points.iter().map(|point| point.value - drift.per_day * point.day).collect();
            let start = super::chance::middle(&mut starts).unwrap_or(0.0);
            let line = [first, last].map(|point| (point.day, start + drift.per_day * point.day));
            plot.line("down", line.into_iter());
        }
        (Reading::Drift | Reading::Steady, _) => {
            let line = [first, last].map(|point| (point.day, course.median));
            plot.line("down", line.into_iter());
        }
        (Reading::Steps, _) => {
            let mut line = Vec::new();
            let mut height = course.steps.first().map_or(course.median, |step| step.before);
            line.push((first.day, height));
            for step in &course.steps {
                let around = points.get(step.run - 1..=step.run).unwrap_or(&[]);
                let days: f64 = around.iter().map(|point| point.day / 2.0).sum();
                line.push((days, height));
                height = step.after;
                line.push((days, height));
            }
            line.push((last.day, height));
            plot.line("down", line.into_iter());
        }
    }
}

fn runs(group: &Group) -> String {
    let mut rows = String::new();
    for run in &group.runs {
        let class = match run.verdict {
            Verdict::Pass => "PASS",
            Verdict::Insufficient => "INSUFFICIENT",
            Verdict::Fail => "FAIL",
        };
        let by = run.signed_by.as_deref().unwrap_or("NOT SIGNED");
        let cut = if run.cut_short { ", ended before its time" } else { "" };
        let _ = write!(
            rows,
            "<tr><td>{}</td><td><b class=\"{class}\">{}</b></td><td>{}{cut}</td><td>{}</td></tr>",
            safe(&run.begun),
            run.verdict.name(),
            safe(by),
            safe(&run.name)
        );
    }
    let head = "<th>Begun</th><th>Verdict</th><th>Signed by</th><th>File</th>";
    let table = table("The runs", "", head, &rows);
    format!("<section class=\"card\"><h2>The runs</h2>{table}</section>")
}

fn left_out(trend: &Trend) -> String {
    if trend.left_out.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for file in &trend.left_out {
        let class = if file.reason == Reason::Altered { "worse" } else { "" };
        let (name, why) = (safe(&file.file), safe(&file.why));
        let _ = write!(rows, "<tr><td>{name}</td><td class=\"{class}\">{why}</td></tr>");
    }
    let table = table("Left out", "", "<th>File</th><th>Why</th>", &rows);
    format!("<section class=\"card\"><h2>Left out</h2>{table}</section>")
}

fn how(trend: &Trend) -> String {
    format!(
        "<section class=\"card\"><h2>How this is told</h2><p>Of a table in which nothing changed, \
         at most {:.0} in 100 show any change or trend at all. A trend is Theil's and Sen's slope \
         with Mann's and Kendall's test; a change is where the ranks of a stretch differ most from \
         the rest (circular binary segmentation), against the same runs shuffled. Runs that \
         resemble their neighbours count as fewer; among such runs, as of every hour of a day, \
         there are nevertheless more false alarms than that. A run is outside the baseline where \
         its interval (of counts 90 %, else 95 %) and the baseline's do not meet; \
         the baseline is one run, and says nothing of how runs differ among themselves, so \
         that alone makes nothing worse: the newest runs must be \
         worse than the baseline and than every other run here, as many of them (three of twenty, \
         with few measures two) as luck alone puts there no oftener than the rate above \
         allows.</p></section>",
        trend.false_alarm_rate * 100.0
    )
}
