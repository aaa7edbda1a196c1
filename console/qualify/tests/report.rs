//! Reports: every number on the page is the object's and every row is there, an altered page or
//! another schema is noticed, two reports are compared, a report can be made again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use common::{RobotClock, Run, constant, model, run};
use longhand_link::Directions;
use longhand_qualify::measure::load::{Effect, Loaded, Traffic};
use longhand_qualify::measure::outage::{Mode, Outage, Outages, Way};
use longhand_qualify::measure::path::{Idle, Mark, Mtu, PathFound, Source};
use longhand_qualify::measure::{Given, Measures, measure};
use longhand_qualify::number::len;
use longhand_qualify::report::compare::{Change, compare, differs};
use longhand_qualify::report::run::{Ended, LoadedRun, RUN_SCHEMA, Roads, Run as Kept, report};
use longhand_qualify::report::{
    About, Certificate, Floor, RawFile, ReadError, Report, SCHEMA, Seal, adds, finding, needs,
    page_to_sign, read, shown, stops, to_html, to_json, to_sign, unknown_beside,
};
use longhand_qualify::slot::{Fate, Slot};
use longhand_qualify::verdict::{Profile, Row, Verdict, judge};
use serde_json::Value;

/// Two minutes of a city with holes each way, some losses that nobody knows, and a step of the
/// route: something in every table.
static CITY: LazyLock<(Run, Measures)> = LazyLock::new(|| {
    let holes = [(Directions::Up, 40_000_000, 300_000), (Directions::Down, 80_000_000, 200_000)];
    let mut run = run(model("city-5g-sa"), 9, 120, RobotClock::default(), &holes);
    for slot in run.slots.iter_mut().skip(10_000).take(40) {
        *slot = Slot::of(Fate::NoSession);
    }
    for slot in run.slots.iter_mut().skip(60_000) {
        if let Fate::Back { up_us, .. } = &mut slot.fate {
            *up_us += 30_000;
        }
    }
    let measures = measure(&run.slots, &run.given);
    (run, measures)
});

fn certificate(name: &str, byte: &str) -> Option<Certificate> {
    Some(Certificate { name: name.to_owned(), sha256: byte.repeat(32) })
}

fn kept() -> Kept {
    Kept {
        schema: RUN_SCHEMA.to_owned(),
        about: About {
            run: "2031-04-09-1200-UTC-qualify".to_owned(),
            robot: "<or3> & \"co\"".to_owned(),
            robot_number: 3,
            robot_certificate: certificate("or<3>", "3c"),
            by: "engineer \"ann\"".to_owned(),
            by_certificate: certificate("ann", "a1"),
            authority: certificate("St. Mary's \\ </style>", "c0"),
            begun: "2031-04-09 12:00 UTC".to_owned(),
            release: "longhand-console 0.0.0".to_owned(),
            rate_hz: 1_000,
            sessions: 3,
            stolen_ms: Some(17),
            ..About::default()
        },
        requirements: Profile::shipped("atis-laparoscopic").unwrap(),
        noise: Some(Floor { rtt_ms: (0.041, 0.085, 0.31, 2.45), late: 0.0123, not_sent: 0.0004 }),
        noise_quic: Some(Floor { rtt_ms: (0.102, 0.214, 0.56, 3.75), late: 0.02, not_sent: 0.001 }),
        loading: None,
        ended: None,
    }
}

/// A report in which nothing is left out.
fn full() -> Report {
    static FULL: LazyLock<Report> = LazyLock::new(made_in_full);
    FULL.clone()
}

fn made_in_full() -> Report {
    let (run, measures) = &*CITY;
    let traffic = Traffic {
        asked_bps: 20_000_000,
        offered_bps: 19_873_000,
        came_bps: 11_954_321,
        untold_s: 0.1,
    };
    let mark = Mark::of(Way::Up, 0xba, 20, &[Some(2); 17], true);
    let source = |at_s| Source { address: "10.0.0.7:4711".to_owned(), at_s, local_port: 4_711 };
    let path = PathFound {
        marks: vec![mark],
        mtu_up: Some(Mtu { passes: 1_391, fails: Some(1_392) }),
        mtu_down: Some(Mtu { passes: 9_000, fails: None }),
        sources: vec![source(0.0), source(61.5)],
        idle: Some(Idle { bears_s: 30.0, forgets_s: Some(45.0), tried: Vec::new() }),
    };
    let ended = Ended {
        session: run.given.clone(),
        twin: Some(run.given.clone()),
        path: Some(path),
        load: Some(LoadedRun {
            up: Some(traffic),
            down: Some(Traffic { came_bps: 9_000_001, ..traffic }),
            session: run.given.clone(),
            twin: Some(run.given.clone()),
            ..LoadedRun::default()
        }),
    };
    let roads = Roads { session: &run.slots, twin: Some(&run.slots) };
    let file = RawFile {
        name: "samples-quic.lhq".to_owned(),
        what: "samples".to_owned(),
        sha256: "ab".repeat(32),
        bytes: 1_440_256,
    };
    let made = report(&Kept { ended: Some(ended), ..kept() }, roads, Some(roads), &[file]);
    assert_eq!(made.quic, *measures);
    assert!(!made.quic.routes.is_empty() && made.quic.lost_unknown.events > 0);
    made
}

fn seal() -> Seal {
    let empty = String::new;
    Seal { signature: empty(), certificate: empty(), authority: empty(), page: Some(empty()) }
}

#[test]
fn the_page_holds_its_object_and_an_altered_page_is_noticed() {
    let report = full();
    for seal in [Some(seal()), None] {
        let seal = seal.as_ref();
        let (page, json) = (to_html(&report, seal).unwrap(), to_json(&report, seal).unwrap());
        for text in [&page, &json] {
            let back = read(text).unwrap();
            assert_eq!(back.report().unwrap(), report);
            assert!(back.is_as_drawn_here(&report).unwrap());
            assert_eq!(back.signed, to_sign(&report).unwrap());
            assert_eq!(back.seal.as_ref(), seal);
        }
        // What a name says is text, not markup; and nothing is fetched from anywhere.
        assert!(!page.contains("<or3>"));
        for fetched in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(fetched), "{fetched}");
        }
        assert_eq!(page.contains("is not signed"), seal.is_none());
        let altered = read(&page.replacen("Round trip", "Round trips", 1)).unwrap();
        assert!(!altered.is_as_drawn_here(&report).unwrap());
        // What the page's seal is over is the page, every letter of it, but for the seal.
        let signed = read(&page).unwrap().page_signed.unwrap();
        assert_eq!(signed == page_to_sign(&report).unwrap(), seal.is_some());
        assert_ne!(altered.page_signed.unwrap(), signed);
        assert_eq!(read(&json).unwrap().page_signed, None);
    }
    assert!(read("{}").unwrap().seal.is_none());
    assert!(matches!(read("<html></html>"), Err(ReadError::NoObject)));
}

/// One of another schema says which it is and what wrote it; its seal can still be looked at.
#[test]
fn a_report_of_another_schema_is_told_as_that() {
    let json = to_json(&full(), Some(&seal())).unwrap();
    let old = json.replace(SCHEMA, "longhand qualify report v1").replace("\"moving_s\"", "\"m\"");
    let read = read(&old).unwrap();
    assert!(read.seal.is_some());
    let said = read.report().unwrap_err().to_string();
    for word in ["report v1", SCHEMA, "longhand-console 0.0.0"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// Behind a relay nobody told of, plain UDP goes round it, or nowhere: that is no cost of QUIC's.
#[test]
fn what_plain_udp_did_on_another_way_is_not_taken_for_what_quic_adds() {
    let link = |up_us, down_us| run(constant(up_us, down_us), 1, 5, RobotClock::default(), &[]);
    let (through, round, near) = (link(20_000, 20_000), link(100, 100), link(19_900, 19_900));
    let hole = [(Directions::Both, 0, 9_000_000)];
    let nowhere = run(constant(20_000, 20_000), 1, 5, RobotClock::default(), &hole);
    let beside = |session: &Run, twin: &Run| {
        let ended = Ended {
            session: session.given.clone(),
            twin: Some(twin.given.clone()),
            ..Ended::default()
        };
        let roads = Roads { session: &session.slots, twin: Some(&twin.slots) };
        let made = report(&Kept { ended: Some(ended), ..kept() }, roads, None, &[]);
        let told = made.about.notes.iter().find(|note| note.contains("--twin HOST:PORT")).cloned();
        (made.quic_adds_ms.len(), told.unwrap_or_default())
    };
    let (count, words) = beside(&through, &near);
    assert_eq!((count, words.as_str()), (3, ""));
    let (count, words) = beside(&through, &round);
    assert_eq!(count, 0);
    assert!(words.contains("of plain UDP took 0.200 ms or less") && words.contains("40.000 ms"));
    assert!(beside(&round, &through).1.contains("of the session took 0.200 ms or less"));
    let (count, words) = beside(&through, &nowhere);
    assert_eq!(count, 0);
    assert!(words.starts_with("None of 5000 probes on plain UDP was answered"), "{words}");
}

/// Every member of the object by its path; of a list the first.
fn members(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                members(value, &format!("{path}/{key}"), all);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for value in list {
                members(value, &format!("{path}[]"), all);
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            all.insert(path.to_owned());
        }
    }
}

/// The members of schema v3. One that comes, goes or changes its name makes another schema: raise
/// the number in [`SCHEMA`], and then write the new list (`WRITE_MEMBERS=1`).
#[test]
fn the_members_of_this_schema_are_those_that_were_agreed() {
    let object: Value = serde_json::from_str(&to_json(&full(), None).unwrap()).unwrap();
    let mut all = BTreeSet::new();
    members(&object, "", &mut all);
    let text: String = all.into_iter().map(|path| path + "\n").collect();
    let agreed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/report-v3.txt");
    if std::env::var_os("WRITE_MEMBERS").is_some() {
        std::fs::write(agreed, &text).unwrap();
    }
    assert!(SCHEMA.ends_with(" v3"));
    assert_eq!(text, std::fs::read_to_string(agreed).unwrap());
}

/// What a reader sees, tags as spaces.
fn plain(html: &str) -> String {
    let parts = html.split('<').map(|part| part.split_once('>').unwrap_or(("", part)).1);
    // A figure and its unit are held together by a space that does not break.
    parts.fold(String::new(), |text, part| text + " " + part).replace('\u{a0}', " ")
}

/// Everything on a page that is a number.
fn numbers(html: &str) -> Vec<String> {
    numbers_in(&plain(html))
}

/// Everything in a text that is one.
fn numbers_in(text: &str) -> Vec<String> {
    let words = text.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.', ':']));
    words.filter(|word| word.parse::<f64>().is_ok()).map(str::to_owned).collect()
}

/// What is shown is the object's number, rounded to the digits that are shown.
fn fits(shown: &str, is: f64) -> bool {
    let (mantissa, power) = shown.split_once('e').unwrap_or((shown, "0"));
    let decimals = mantissa.split_once('.').map_or(0, |(_, behind)| behind.len());
    let power: i32 = power.parse().unwrap();
    let unit = 10_f64.powi(power - i32::try_from(decimals).unwrap());
    let value: f64 = shown.parse().unwrap();
    (value - is).abs() <= unit * 0.500_1
}

fn rounds(name: &str, shown: &[String], is: &[f64]) {
    assert_eq!(shown.len(), is.len(), "{name}: {shown:?} {is:?}");
    for (shown, is) in shown.iter().zip(is) {
        assert!(fits(shown, *is), "{name}: {shown} is {is}");
    }
}

/// A table of the page, by the heading of its card: the text of each row's first cell, and the
/// numbers behind it.
fn table(page: &str, heading: &str, nth: usize) -> Vec<(String, Vec<String>)> {
    let (_, card) = page.split_once(&format!(">{heading}")).unwrap_or_else(|| panic!("{heading}"));
    let body = card.split("<tbody").nth(nth + 1).unwrap().split_once("</tbody>").unwrap().0;
    let rows = body.split("<tr").skip(1).map(|row| {
        let (first, rest) = row.split_once("</th>").unwrap();
        (plain(&format!("<tr{first}")).trim().to_owned(), numbers(rest))
    });
    rows.collect()
}

/// The object of a full report, and its page.
struct Both {
    page: String,
    object: Value,
}

impl Both {
    fn real(&self, path: &str) -> f64 {
        let value = self.object.pointer(path).unwrap_or_else(|| panic!("no {path}"));
        value.as_f64().unwrap_or_else(|| panic!("{path} is {value}"))
    }

    fn list(&self, path: &str) -> &Vec<Value> {
        self.object.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("no {path}"))
    }

    fn spread(&self, path: &str) -> Vec<f64> {
        let quantiles = self.list(&format!("{path}/quantiles")).iter();
        let parts =
            quantiles.flat_map(|q| ["ms", "low_ms", "high_ms"].map(|part| q[part].as_f64()));
        parts.flatten().chain([self.real(&format!("{path}/max_ms"))]).collect()
    }

    /// The bounds of an absolute delay: the least of the low end, the most of the high one.
    fn absolute(&self, path: &str) -> Vec<f64> {
        let (low, high) = (self.list(&format!("{path}/low")), self.list(&format!("{path}/high")));
        let both = low.iter().zip(high);
        both.flat_map(|(low, high)| [low["low_ms"].as_f64(), high["high_ms"].as_f64()])
            .flatten()
            .collect()
    }

    /// A table has these rows, in this order, with these numbers, and no other.
    fn has(&self, heading: &str, nth: usize, rows: &[(String, Vec<f64>)]) {
        let found = table(&self.page, heading, nth);
        let names = |list: Vec<&String>| list.into_iter().cloned().collect::<Vec<_>>();
        let (shown, expected) =
            (found.iter().map(|row| &row.0).collect(), rows.iter().map(|row| &row.0).collect());
        assert_eq!(names(shown), names(expected), "{heading}");
        for ((name, shown), (_, is)) in found.iter().zip(rows) {
            rounds(&format!("{heading}: {name}"), shown, is);
        }
    }
}

#[test]
fn every_table_of_the_page_has_every_row_and_its_numbers_are_the_objects() {
    let report = full();
    let page = to_html(&report, Some(&seal())).unwrap();
    let object = serde_json::from_str(&to_json(&report, Some(&seal())).unwrap()).unwrap();
    let both = Both { page, object };
    delays(&both);
    losses_and_outages(&both);
    watchdog_and_routes(&both);
    load_and_path(&both);
    rows_of_the_verdict(&both, &report);
    words_with_numbers(&both);
    the_first_screen(&both, &report);
    // Nothing else on the page is a table.
    assert_eq!(both.page.matches("<tbody").count(), 8);
}

fn delays(both: &Both) {
    let named = |name: &str, numbers: Vec<f64>| (name.to_owned(), numbers);
    both.has(
        "Delays, ms",
        0,
        &[
            named("Round trip", both.spread("/quic/rtt")),
            named("Round trip, plain UDP", both.spread("/twin/rtt")),
            named("Jitter up (PDV)", both.spread("/quic/up/relative")),
            named("Jitter down (PDV)", both.spread("/quic/down/relative")),
            named("Change up (IPDV)", both.spread("/quic/up/change")),
            named("Change down (IPDV)", both.spread("/quic/down/change")),
            named("One-way up, lies between", both.absolute("/quic/up/absolute")),
            named("One-way down, lies between", both.absolute("/quic/down/absolute")),
        ],
    );
}

fn losses_and_outages(both: &Both) {
    let named = |name: &str, numbers: Vec<f64>| (name.to_owned(), numbers);
    let ways = [("To the robot", "up"), ("To the surgeon", "down")].map(|(name, way)| {
        let of = |field: &str| both.real(&format!("/quic/{way}/{field}"));
        let shares = ["loss/share", "loss/low", "loss/high"].map(|field| 100.0 * of(field));
        let counts = [of("loss/events"), of("loss/of")];
        named(name, [&counts[..], &shares[..], &[of("reordered"), of("duplicates")]].concat())
    });
    both.has("Loss and outages", 0, &ways);
    let mut outages: Vec<&Value> = both.list("/quic/outages/list").iter().collect();
    outages.sort_by(|a, b| a["at_s"].as_f64().unwrap().total_cmp(&b["at_s"].as_f64().unwrap()));
    let outages: Vec<_> = outages
        .into_iter()
        .take(40)
        .map(|outage| {
            let at = format!("{:.3} s", outage["at_s"].as_f64().unwrap());
            let of = |part: &str| outage[part].as_f64().unwrap();
            (at, vec![of("ms"), of("low_ms"), of("high_ms")])
        })
        .collect();
    assert!(outages.len() >= 2, "{outages:?}");
    both.has("Loss and outages", 1, &outages);
}

fn watchdog_and_routes(both: &Both) {
    let played: Vec<_> = both
        .list("/quic/replay/played")
        .iter()
        .map(|played| {
            let each =
                |what: &str| played[what].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
            let moves = each("moving_s").next().unwrap() / both.real("/quic/replay/hours") / 36.0;
            let stops = each("stops_per_hour").zip(each("stops_per_hour_high"));
            let stops = stops.flat_map(|(seen, most)| [seen, most]);
            let head = [played["added_mean_ms"].as_f64().unwrap(), moves];
            (format!("{} ms", played["playout_ms"]), head.into_iter().chain(stops).collect())
        })
        .collect();
    assert_eq!(len(&played), 9);
    both.has("What the watchdog would", 0, &played);
    let steps: Vec<_> = both
        .list("/quic/routes")
        .iter()
        .map(|step| {
            let by = ["up_ms", "down_ms", "rtt_ms"].map(|way| step[way].as_f64());
            (format!("{:.3} s", step["at_s"].as_f64().unwrap()), by.into_iter().flatten().collect())
        })
        .collect();
    both.has("Changes of the route", 0, &steps);
}

fn load_and_path(both: &Both) {
    let effects = [("In the session", "quic"), ("Plain UDP", "twin")].into_iter();
    let effects = effects.flat_map(|(name, road)| {
        ["idle", "loaded"]
            .into_iter()
            .enumerate()
            .map(move |(place, when)| (name, road, place, when))
    });
    let effects: Vec<_> = effects
        .map(|(name, road, place, when)| {
            let spread = |what: &str| both.real(&format!("/load/{road}/{when}/{what}"));
            let quantile = |n: usize| spread(&format!("quantiles/{n}/ms"));
            let lost =
                |way: &str| 100.0 * both.real(&format!("/load/{road}/loss_{way}/{place}/share"));
            let numbers = vec![
                quantile(0),
                quantile(3),
                quantile(4),
                spread("max_ms"),
                lost("up"),
                lost("down"),
            ];
            (format!("{name}, {when}"), numbers)
        })
        .collect();
    both.has("Under load", 0, &effects);
    let mark = ["sent", "came"].map(|what| both.real(&format!("/path/marks/0/{what}")));
    // How it came: DSCP 0.
    both.has("The path", 0, &[("DSCP 46, ECT(0)".to_owned(), [&mark[..], &[0.0]].concat())]);
}

/// The first table: every requirement, in its unit.
fn rows_of_the_verdict(both: &Both, report: &Report) {
    let shown_rows = table(&both.page, "Requirement by requirement", 0);
    let rows = both.list("/rows");
    assert_eq!(shown_rows.len(), rows.len());
    for ((name, numbers), row) in shown_rows.iter().zip(rows) {
        assert!(name.starts_with(row["requirement"]["what"].as_str().unwrap()), "{name}");
        let scale = if row["requirement"]["metric"] == "availability" { 100.0 } else { 1.0 };
        let is: Vec<f64> =
            ["measured", "low", "high"].iter().filter_map(|part| row[part].as_f64()).collect();
        let is: Vec<f64> = is.into_iter().map(|value| value * scale).collect();
        rounds(name, &numbers[..is.len()], &is);
        assert!(plain(&both.page).contains(row["reason"].as_str().unwrap()), "{row}");
    }
    // Shown alike on the terminal, with its unit and without made-up digits.
    assert_eq!(shown(Some(147.455), &report.rows[1].requirement), "147 ms");
    assert_eq!(shown(Some(0.999_999_9), &report.rows[3].requirement), "99.999990 %");
    assert_eq!(shown(Some(0.999_999_999_9), &report.rows[3].requirement), "99.999999 %");
}

/// The first screen: which requirement made the verdict, as a sentence with its numbers, before
/// anything else; whose link it is.
fn the_first_screen(both: &Both, report: &Report) {
    let (first, rest) = both.page.split_once("Requirement by requirement").unwrap();
    let (verdict, whose) = first.split_once("Measured against").unwrap();
    let told: Vec<&str> = verdict.split("<li>").skip(1).collect();
    let order = [("FAIL", "FAIL:"), ("INSUFFICIENT EVIDENCE", "NOT PROVEN:")];
    let rows = order.into_iter().flat_map(|(verdict, word)| {
        let rows = both.list("/rows").iter().filter(move |row| row["verdict"] == verdict);
        rows.map(move |row| (word, row))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() >= 3 && told.len() == rows.len(), "{rows:?} {told:?}");
    for ((word, row), told) in rows.iter().zip(told) {
        let told = plain(told);
        assert!(told.trim().starts_with(word), "{told}");
        let (found, required) = told.rsplit_once(';').unwrap();
        let requirement = &row["requirement"];
        let scale = |x: f64| if requirement["unit"] == "" { x * 100.0 } else { x };
        let bound = ["at_most", "at_least"].map(|which| requirement[which].as_f64());
        let is_there = |value: f64| numbers_in(found).iter().any(|shown| fits(shown, scale(value)));
        if let Some(measured) = row["measured"].as_f64() {
            assert!(is_there(measured), "{told}: {row}");
            let worst = if requirement["at_least"].is_null() { "high" } else { "low" };
            let open = found.contains("cannot rule out") && !row[worst].is_null();
            assert!(!open || is_there(row[worst].as_f64().unwrap()), "{told}: {row}");
        }
        if !row["low"].is_null() {
            rounds(
                &told,
                &numbers_in(required),
                &[scale(bound.into_iter().flatten().next().unwrap())],
            );
        }
    }
    let whose = plain(whose);
    for word in [
        "number 3",
        "or&lt;3&gt;",
        "3c3c3c3c",
        "&lt;or3&gt;",
        "St. Mary",
        "c0c0c0c0",
        "engineer &quot;ann&quot;",
        "a1a1a1a1",
        "2031-04-09 12:00 UTC, for 2 min, 1000 probes",
        "2031-04-09-1200-UTC-qualify",
    ] {
        assert!(whose.contains(word), "{word}: {whose}");
    }
    let proof = plain(rest.split_once(">Proof<").unwrap().1);
    for byte in ["3c", "a1", "c0"] {
        assert!(proof.contains(&byte.repeat(32)), "{proof}");
    }
    // At the head of each sheet: nothing that a name says ends the string or the style.
    let style = both.page.split_once("@page").unwrap().1.split_once("</style>").unwrap().0;
    assert!(style.contains("Robot 3") && style.contains("2031-04-09-1200-UTC-qualify"), "{style}");
    assert!(style.contains("or\\3c 3\\3e ") && both.page.contains("counter(pages)"), "{style}");
    assert_eq!(report.about.robot_number, 3);
}

/// The numbers that stand in sentences.
fn words_with_numbers(both: &Both) {
    let text = plain(&both.page);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let has = |before: &str, is: &[f64]| {
        let (_, behind) = words.split_once(before).unwrap_or_else(|| panic!("{before}: {words}"));
        let found = numbers_in(behind);
        rounds(before, &found[..is.len()], is);
    };
    let mbit = |way: &str| {
        ["asked", "offered", "came"].map(|what| both.real(&format!("/load/{way}/{what}_bps")) / 1e6)
    };
    let [asked, offered, came] = mbit("up");
    has("Under load", &[asked, both.real("/load/seconds"), offered, came]);
    for (place, name) in ["p50:", "p99:", "p99.9:"].into_iter().enumerate() {
        let of = |what: &str| both.object["quic_adds_ms"][place][what].as_f64();
        let is: Vec<f64> = ["ms", "low_ms", "high_ms"].into_iter().filter_map(of).collect();
        let (_, card) = words.split_once("What QUIC adds to plain UDP").unwrap();
        let (_, line) = card.split_once(name).unwrap();
        rounds(name, &numbers_in(line)[..is.len()], &is);
    }
    let noise = ["0", "1", "2", "3"].map(|n| both.real(&format!("/noise/rtt_ms/{n}")));
    has("just before: round trip", &noise);
    let noise = ["0", "1", "2", "3"].map(|n| both.real(&format!("/noise_quic/rtt_ms/{n}")));
    has("Inside a session: round trip", &noise);
    has(
        "How good the measurement is",
        &["slots", "sent", "not_sent", "no_session", "late"]
            .map(|what| both.real(&format!("/quic/own/{what}")))[..2],
    );
    has("The hypervisor took", &[both.real("/about/stolen_ms")]);
    has("An answer still came behind", &[30.0]);
    assert!(words.contains("1440256 bytes"), "{words}");
    assert!(words.contains("to the robot: 1391 bytes") && words.contains("DSCP is taken off"));
}

/// What each kind of row says in a sentence.
#[test]
fn what_made_the_verdict_is_said_in_a_sentence_with_its_bound() {
    let of = |metric: &str, bound: &str, verdict, (measured, low, high)| {
        let text = format!(
            "name = \"t\"\ntitle = \"t\"\n[[requirement]]\nwhat = \"it\"\nmetric = \"{metric}\"\n\
             {bound}\nsource = \"s\"\n"
        );
        let requirement = Profile::parse(&text).unwrap().requirement.remove(0);
        let reason = "why".to_owned();
        finding(&Row { requirement, verdict, measured, low, high, reason, needs_s: None })
    };
    use Verdict::{Fail, Insufficient};
    let is = |value| Some(value);
    for (said, sentence) in [
        (
            of("loss", "at_most = 0.001", Fail, (is(0.004), is(0.003), is(0.005))),
            "0.400 % of packets were lost on the worse way; at most 0.1 % is required",
        ),
        (
            of("loss", "at_most = 0.001", Insufficient, (is(0.0), is(0.0), is(0.005))),
            "0 % of packets were lost on the worse way, but this run cannot rule out 0.500 %; at \
             most 0.1 % is required",
        ),
        (
            of("loss", "at_most = 0.001", Insufficient, (is(0.002), is(0.0005), is(0.005))),
            "0.200 % of packets were lost on the worse way, but it may have been 0.050 %; at most \
             0.1 % is required",
        ),
        (
            of("availability", "at_least = 0.999999", Insufficient, (is(1.0), is(0.9), is(1.0))),
            "the link carried packets 100 % of the time, but this run cannot rule out 90.0 %; at \
             least 99.9999 % is required",
        ),
        (
            of(
                "rtt",
                "quantile = \"p99.9\"\nat_most = 100\nadds = 100",
                Fail,
                (is(247.0), is(240.0), None),
            ),
            "with 100 ms for what the link does not cause, 99.9 % of round trips took up to 247 \
             ms; at most 100 ms is required",
        ),
        (
            of("one_way", "quantile = \"p99\"\nat_most = 50", Insufficient, (None, is(30.0), None)),
            "on the slower way 99 % of packets took up to 30.0 ms or more; at most 50 ms is \
             required",
        ),
        (
            of("outages_per_hour", "at_most = 1", Insufficient, (is(0.0), is(0.0), is(36.0))),
            "there were 0 outages an hour, but this run cannot rule out 36.0 an hour; at most 1 an \
             hour is required",
        ),
        (
            of("safe_stops", "at_most = 1\nplayout_ms = 50", Fail, (is(9.0), is(5.0), is(20.0))),
            "with a playout buffer of 50 ms the arm would have stopped 9.00 times an hour of \
             motion; at most 1 an hour is required",
        ),
        (
            of("throughput_down", "at_least = 30", Insufficient, (None, None, None)),
            "it: not measured; why",
        ),
    ] {
        assert_eq!(said, sentence);
    }
}

/// One way at one time: told why it is there twice. A lost one is `1`, not "1 losses".
#[test]
fn outages_that_overlap_say_why_and_one_of_a_thing_is_one() {
    let note = "it is one stretch";
    let at = |list: &[(f64, f64, Way)]| {
        let mut report = dark_at(3_600.0, &[]);
        let one = |(at_s, ms, way): &(f64, f64, Way)| Outage {
            at_s: *at_s,
            ms: *ms,
            low_ms: *ms,
            high_ms: *ms,
            way: *way,
            mode: Mode::Held,
        };
        report.quic.outages.list = list.iter().map(one).collect();
        (report.quic.outages.count, report.quic.outages.possible) = (len(list), len(list) + 1);
        report.quic.outages.hidden = 1;
        to_html(&report, None).unwrap()
    };
    let apart = at(&[(10.0, 500.0, Way::Up), (10.1, 50.0, Way::Down), (10.5, 20.0, Way::Up)]);
    assert!(!apart.contains(note));
    let within = at(&[(10.1, 50.0, Way::Up), (10.0, 500.0, Way::Up)]);
    assert!(within.contains(note) && within.matches("came at once *").count() == 2);
    // By their begin, however they ended.
    let began: Vec<String> =
        table(&within, "Loss and outages", 1).into_iter().map(|row| row.0).collect();
    assert_eq!(began, ["10.000 s", "10.100 s"]);
    for words in ["1 more loss may", "1 stall of a machine may hide"] {
        assert!(within.contains(words), "{words}");
    }
}

/// Two bounds of one figure: which of them the verdict takes, and why.
#[test]
fn safe_stops_say_which_bound_the_verdict_takes() {
    let mut report = full();
    let text = "name = \"t\"\ntitle = \"t\"\n[[requirement]]\nwhat = \"s\"\nmetric = \
                \"safe_stops\"\nat_most = 1.0\nplayout_ms = 100\nsource = \"s\"\n";
    let profile = Profile::parse(text).unwrap();
    report.quic.outages.hidden = 0;
    report.rows = judge(&profile, &report.quic);
    assert!(!stops(&report, 100).unwrap().1.contains("the verdict takes"));
    report.quic.outages.hidden = 2;
    report.rows = judge(&profile, &report.quic);
    let (_, most) = stops(&report, 100).unwrap();
    let high = report.rows[0].high.unwrap();
    rounds(&most, &numbers_in(&most)[1..2], &[high]);
    assert!(most.contains("2 stalls of a machine"), "{most}");
    assert!(!stops(&report, 20).unwrap().1.contains("the verdict takes"));
}

/// Whoever hears the page is told which column and row a cell is of, and nothing is said by colour
/// alone.
#[test]
fn every_table_has_a_name_and_heads() {
    let page = to_html(&full(), None).unwrap();
    for table in page.split("<table").skip(1) {
        let table = table.split_once("</table>").unwrap().0;
        assert!(table.split_once('>').unwrap().0.contains("aria-label=\""), "{table}");
        let rows = table.matches("<tr").count();
        assert_eq!(table.matches("scope=\"row\"").count(), rows - 1, "{table}");
        assert_eq!(table.matches("<th ").count(), table.matches("scope=").count(), "{table}");
    }
}

/// Goal: a claim that a shorter run than this one would show is no advice; what has no known place
/// stands beside the loss.
#[test]
fn advice_on_the_length_is_longer_than_the_run_and_unknown_loss_is_told() {
    let mut report = full();
    let text = "name = \"t\"\ntitle = \"t\"\n[[requirement]]\nwhat = \"l\"\nmetric = \"loss\"\n\
                at_most = 0.05\nsource = \"s\"\n";
    report.rows = longhand_qualify::verdict::judge(&Profile::parse(text).unwrap(), &report.quic);
    let mut row = report.rows[0].clone();
    assert!(unknown_beside(&report, &row).unwrap().contains("nobody knows where"));
    for (needs_s, told) in [(0.2, false), (131.0, false), (133.0, true)] {
        row.needs_s = Some(needs_s);
        assert_eq!(needs(&report, &row).is_some(), told, "{needs_s}");
        report.rows[0] = row.clone();
        let page = to_html(&report, None).unwrap();
        assert_eq!(page.contains("A clean run of about"), told, "{needs_s}");
    }
    let page = to_html(&report, None).unwrap();
    assert!(page.contains("nobody knows where</small>"), "{page}");
}

#[test]
fn what_quic_adds_has_an_interval_and_says_where_it_is_nothing() {
    let (_, measures) = &*CITY;
    // Against itself: nothing can be told.
    let same = adds(&measures.rtt, &measures.rtt);
    assert_eq!(same.len(), 3);
    assert!(same.iter().all(|one| one.low_ms <= 0.0 && one.high_ms.is_none_or(|h| h >= 0.0)));
    let mut faster = measures.rtt.clone();
    for quantile in &mut faster.quantiles {
        let half = |ms: &mut f64| *ms /= 4.0;
        half(&mut quantile.ms);
        half(&mut quantile.low_ms);
        quantile.high_ms.iter_mut().for_each(half);
    }
    let more = adds(&measures.rtt, &faster);
    assert!(more[0].low_ms > 0.0 && more[0].low_ms <= more[0].ms, "{more:?}");
    assert!(full().quic_adds_ms.len() == 3);
    assert!(to_html(&full(), None).unwrap().contains("it cannot be told from nothing"));
}

/// The same samples and the same `run.json` make the same report, and a run that broke off one of
/// what had been written.
#[test]
fn a_report_is_made_again_from_its_samples_and_a_broken_run_says_so() {
    let (run, measures) = &*CITY;
    let ended = Ended { session: run.given.clone(), ..Ended::default() };
    let whole = Kept { ended: Some(ended), ..kept() };
    let text = serde_json::to_string(&whole).unwrap();
    let again: Kept = serde_json::from_str(&text).unwrap();
    assert_eq!(again, whole);
    let roads = Roads { session: &run.slots, twin: None };
    let of = |kept: &Kept| report(kept, roads, None, &[]);
    assert_eq!(to_sign(&of(&whole)).unwrap(), to_sign(&of(&again)).unwrap());
    assert!(of(&whole).twin.is_none() && of(&whole).load.is_none());
    // It broke off after half: no end is known, and a common clock cannot be held against anything.
    let half = run.slots[..60_000].to_vec();
    let mut broken = kept();
    broken.about.common_clock_us = Some(100);
    let told = report(&broken, Roads { session: &half, twin: None }, None, &[]);
    assert!(told.about.cut_short && told.about.common_clock_us.is_none());
    assert!(told.about.notes.iter().any(|note| note.contains("broke off")), "{:?}", told.about);
    assert!((told.quic.seconds - 60.0).abs() < 1e-9 && told.verdict != Verdict::Pass);
    assert!(told.quic.rtt.count > 50_000 && measures.rtt.count > told.quic.rtt.count);
}

/// What is not known is `null`, and shown as nothing.
#[test]
fn a_robot_that_never_answered_is_read_back_and_shown_without_figures() {
    let slots = vec![Slot { late_us: 30, ..Slot::of(Fate::LostSomewhere) }; 5_000];
    let given = Given { period_us: 1_000, slots: 5_000, ..Given::default() };
    let dead = Report { quic: measure(&slots, &given), ..full() };
    let json = to_json(&dead, Some(&seal())).unwrap();
    assert_eq!(read(&json).unwrap().report().unwrap(), dead);
    let page = to_html(&dead, Some(&seal())).unwrap();
    let rows = table(&page, "Delays", 0);
    let trip = rows.iter().find(|(name, _)| name == "Round trip");
    assert!(trip.is_none_or(|(_, figures)| figures.is_empty()), "{rows:?}");
}

fn short(measures: &Measures, change: impl FnOnce(&mut Report)) -> Report {
    let mut report = full();
    report.quic = measures.clone();
    change(&mut report);
    report
}

#[test]
fn comparing_tells_a_worse_link_from_the_same_one() {
    let of = |seed, link: &str, holes: &[common::Hole]| {
        let run = run(model(link), seed, 120, RobotClock::default(), holes);
        short(&measure(&run.slots, &run.given), |_| ())
    };
    let hole = [(Directions::Up, 60_000_000, 800_000)];
    let (before, same) = (of(9, "city-5g-sa", &[]), of(10, "city-5g-sa", &[]));
    let worse = of(9, "beijing-sanya-5g-public", &hole);
    let changes = |after: &Report| {
        let rows = compare(&before, after);
        rows.into_iter().filter(|row| row.change == Change::Worse).map(|row| row.what).collect()
    };
    let (none, some): (Vec<String>, Vec<String>) = (changes(&same), changes(&worse));
    assert_eq!(none, [""; 0]);
    for what in ["round trip p50, ms", "jitter up p99, ms", "loss up, %"] {
        assert!(some.iter().any(|found| found == what), "{what}: {some:?}");
    }
    // Nothing is left out that a link may become worse in.
    let rows = compare(&before, &worse);
    let row = |what: &str| {
        rows.iter().find(|row| row.what == what).unwrap_or_else(|| panic!("{what}: {rows:?}"))
    };
    for what in ["lost nobody knows where, %", "outages an hour", "time dark, %"] {
        assert!(row(what).before.unwrap() >= 0.0);
    }
    let longest = row("longest outage, ms");
    assert!(longest.change == Change::Unjudged && longest.after >= Some(800.0), "{longest:?}");
    let unknown = short(&CITY.1, |_| ());
    let all_known = short(&before.quic, |_| ());
    let rows = compare(&all_known, &unknown);
    let row = rows.iter().find(|row| row.what == "lost nobody knows where, %").unwrap();
    assert!((row.after.unwrap() - 100.0 * 40.0 / 120_000.0).abs() < 1e-6, "{row:?}");
}

/// What a scheduler moves is not the link's: neither machine's own noise makes a change.
#[test]
fn a_sure_difference_within_either_machines_noise_is_no_change() {
    let of = |more_ms: f64, (noise, noise_quic): (Option<Floor>, Option<Floor>)| {
        let mut report = full();
        (report.noise, report.noise_quic) = (noise, noise_quic);
        for quantile in &mut report.quic.rtt.quantiles {
            quantile.ms = 1.0 + more_ms;
            (quantile.low_ms, quantile.high_ms) = (0.999 + more_ms, Some(1.001 + more_ms));
        }
        report
    };
    let floor = |ms: f64| Some(Floor { rtt_ms: (ms, ms, ms, 9.0), ..Floor::default() });
    let p50 = |before: &Report, after: &Report| {
        let rows = compare(before, after);
        rows.into_iter().find(|row| row.what == "round trip p50, ms").unwrap().change
    };
    use Change::{Better, WithinNoise, Worse};
    let none = (None, None);
    // Of plain UDP, or of the session: the louder counts.
    let (quiet, loud) = ((floor(0.01), floor(0.02)), (floor(0.01), floor(0.05)));
    for (before, after, is) in [
        ((0.0, none), (0.04, none), Worse),
        ((0.0, none), (0.04, (floor(0.05), None)), WithinNoise),
        ((0.0, quiet), (0.04, quiet), Worse),
        ((0.0, loud), (0.04, quiet), WithinNoise),
        ((0.0, quiet), (0.04, loud), WithinNoise),
        ((0.04, loud), (0.0, none), WithinNoise),
        ((0.0, loud), (0.06, loud), Worse),
        ((0.06, loud), (0.0, loud), Better),
    ] {
        let told = p50(&of(before.0, before.1), &of(after.0, after.1));
        assert_eq!(told, is, "{before:?} {after:?}");
    }
}

/// Nought against much, of a run too short to tell, is not the same.
#[test]
fn a_large_difference_that_chance_may_make_is_told_as_that() {
    let of = |share: f64, high: f64| {
        let mut report = full();
        let loss = &mut report.quic.up.loss;
        (loss.share, loss.low, loss.high) = (share, 0.0, high);
        report
    };
    let change = |before: &Report, after: &Report| {
        let rows = compare(before, after);
        rows.into_iter().find(|row| row.what == "loss up, %").unwrap().change
    };
    let none = of(0.0, 0.2);
    assert_eq!(change(&none, &of(0.15, 0.4)), Change::Unclear);
    assert_eq!(change(&of(0.15, 0.4), &none), Change::Unclear);
    assert_eq!(change(&none, &none), Change::Same);
    assert_eq!(change(&of(0.15, 0.4), &of(0.16, 0.4)), Change::Same);
}

/// "The same" is a word; what nobody can say is another, with its reason.
#[test]
fn what_cannot_be_compared_says_why() {
    let (a, mut b) = (full(), full());
    b.quic.replay = None;
    b.quic.up.relative.quantiles.clear();
    b.quic.rtt.quantiles[0].ms -= 5.0;
    b.quic.rtt.quantiles[0].high_ms = None;
    let rows = compare(&a, &b);
    for (what, why) in [
        ("round trip p50, ms", "upper end"),
        ("jitter up p99, ms", "one of them alone"),
        ("safe stops an hour", "one of them alone"),
        ("longest outage, ms", "nothing of a trend"),
    ] {
        let row = rows.iter().find(|row| row.what == what).unwrap();
        assert_eq!(row.change, Change::Unjudged, "{row:?}");
        assert!(row.why.as_ref().unwrap().contains(why), "{row:?}");
    }
    assert!(rows.iter().all(|row| (row.change == Change::Unjudged) == row.why.is_some()));
}

/// A run of so many seconds with outages of these lengths, ms, one a minute.
fn dark_for(seconds: f64, lengths_ms: &[f64]) -> Report {
    let minutes = (0..).map(|minute| 60.0 * longhand_qualify::number::real(minute));
    dark_at(seconds, &minutes.zip(lengths_ms.iter().copied()).collect::<Vec<_>>())
}

/// The same, each with its time, s.
fn dark_at(seconds: f64, outages: &[(f64, f64)]) -> Report {
    let mut report = full();
    let one = |(at_s, ms): &(f64, f64)| Outage {
        at_s: *at_s,
        ms: *ms,
        low_ms: ms - 1.0,
        high_ms: ms + 1.0,
        way: Way::Up,
        mode: Mode::Dropped,
    };
    report.quic.seconds = seconds;
    report.quic.outages = Outages {
        list: outages.iter().map(one).collect(),
        count: len(outages),
        sure: len(outages),
        possible: len(outages),
        longest_ms: outages.iter().map(|(_, ms)| *ms).fold(0.0, f64::max),
        dark_s: outages.iter().map(|(_, ms)| ms / 1e3).sum(),
        ..Outages::default()
    };
    report
}

/// How often, and how long.
fn dark_changes(before: &Report, after: &Report) -> (Change, Change) {
    let rows = compare(before, after);
    // What chance alone may make is no change here, however large.
    let of = |what: &str| {
        let change = rows.iter().find(|row| row.what == what).unwrap().change;
        if change == Change::Unclear { Change::Same } else { change }
    };
    (of("outages an hour"), of("time dark, %"))
}

#[test]
fn an_outage_against_none_is_no_trend_and_eight_are() {
    use Change::{Better, Same, Worse};
    let hour = |lengths: &[f64]| dark_for(3_600.0, lengths);
    let none = hour(&[]);
    // If they fell by chance, 7 of 7 are in one run once in 128 times, 8 of 8 once in 256.
    for (lengths, changed) in [
        (vec![5_000.0], false),
        (vec![50.0; 7], false),
        (vec![50.0; 8], true),
        // One hole of a minute among 8 short ones: how long says no more than how often.
        ([vec![60_000.0], vec![50.0; 8]].concat(), true),
    ] {
        let some = hour(&lengths);
        let (worse, better) = if changed { (Worse, Better) } else { (Same, Same) };
        assert_eq!(dark_changes(&none, &some), (worse, worse), "{lengths:?}");
        assert_eq!(dark_changes(&some, &none), (better, better), "{lengths:?}");
    }
    // As often, and much longer each: that is more dark, and not more often.
    let (short, long) = (hour(&[20.0; 30]), hour(&[400.0; 30]));
    assert_eq!(dark_changes(&short, &long), (Same, Worse));
    assert_eq!(dark_changes(&long, &short), (Same, Better));
    // As often, and one of them much longer: by chance.
    assert_eq!(
        dark_changes(&short, &hour(&[vec![20.0; 29], vec![9_000.0]].concat())),
        (Same, Same)
    );
    // Eight in a day are as many as none in an hour.
    assert_eq!(dark_changes(&none, &dark_for(86_400.0, &[50.0; 8])), (Same, Same));
    assert_eq!(dark_changes(&dark_for(86_400.0, &[50.0; 8]), &hour(&[50.0; 8])), (Worse, Worse));
    // Both ways at once are one event.
    let mut both = hour(&[50.0; 7]);
    let down = both.quic.outages.list.iter().map(|outage| Outage { way: Way::Down, ..*outage });
    let down: Vec<Outage> = down.collect();
    both.quic.outages.list.extend(down);
    both.quic.outages.count = 14;
    assert_eq!(dark_changes(&none, &both), (Same, Same));
    // What nobody saw may have been as many.
    let mut blind = none;
    blind.quic.outages.hidden = 4;
    blind.quic.outages.hidden_s = 2.0;
    assert_eq!(dark_changes(&blind, &hour(&[50.0; 8])), (Same, Same));
}

/// Pairs of runs of one link: a change is told in one of a hundred at most.
#[test]
fn two_runs_of_one_link_are_seldom_told_apart() {
    let mut state = 7_u64;
    let mut dice = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        longhand_qualify::number::real(state >> 11) / 2_f64.powi(53)
    };
    // Gaps and lengths are exponential: about ten an hour, of 200 ms on average; every other is a
    // link that goes on and off for a while.
    let mut outages = || {
        let (mut at_s, mut all) = (0.0, Vec::new());
        loop {
            at_s -= 360.0 * (1.0 - dice()).ln();
            if at_s > 3_600.0 {
                return all;
            }
            all.push((at_s, 10.0 - 200.0 * (1.0 - dice()).ln()));
            while all.len() % 2 == 0 && dice() < 0.8 {
                at_s += 0.4 + 0.5 * dice();
                all.push((at_s, 15.0));
            }
        }
    };
    let (mut often, mut long) = (0, 0);
    let mut before = dark_at(3_600.0, &outages());
    for _ in 0..1_000 {
        let after = dark_at(3_600.0, &outages());
        let (by_count, by_length) = dark_changes(&before, &after);
        often += u64::from(by_count != Change::Same);
        long += u64::from(by_length != Change::Same);
        before = after;
    }
    eprintln!("of 1000 pairs {often} by how often, {long} by how long");
    // Twice by chance at most: a hundredth, and what a thousand pairs scatter by.
    assert!(often <= 20 && long <= 20, "{often} {long}");
}

#[test]
fn reports_that_are_not_alike_say_in_what() {
    let (a, b) = (full(), full());
    assert_eq!(differs(&a, &b), []);
    let mut b = b;
    b.profile.name = "geo".to_owned();
    b.about.robot = "or4".to_owned();
    b.about.rate_hz = 50;
    b.about.distance_km = 12.0;
    b.load = None;
    b.quic.seconds = 3_600.0;
    let what: Vec<&str> = differs(&a, &b).iter().map(|one| one.what).collect();
    assert_eq!(what, ["requirements", "robot", "rate", "distance", "load", "length"]);
    let effect = Effect::of(&a.quic, &a.quic);
    a.load.clone_into(&mut b.load);
    b.load = Some(Loaded { quic: effect, ..b.load.unwrap() });
    assert!(!differs(&a, &b).iter().any(|one| one.what == "load"));
}
