//! Many runs: what was planted is found where it was planted, what was not is not invented, runs
//! that are not alike are never one course.
//!
//! Everything is drawn from a seed; the rates asserted are those that the page states.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "a test: a panic is how it fails; values are compared that were copied"
)]

mod common;

use std::sync::LazyLock;

use common::{RobotClock, model, run};
use longhand_qualify::measure::load::{Loaded, Traffic};
use longhand_qualify::measure::quantile::poisson;
use longhand_qualify::number::{len, real};
use longhand_qualify::report::run::{RUN_SCHEMA, Roads, Run as Kept, report};
use longhand_qualify::report::{About, RawFile, Report};
use longhand_qualify::trend::chance::{
    Dice, newest_needed, ranks, resemblance, rise_chance, runs_for_change, runs_for_trend, slope,
    two_sided,
};
use longhand_qualify::trend::course::{Course, Point, RATE, Reading, course, needs};
use longhand_qualify::trend::{Gauge, Gauged, MOST_RUNS, Reason, Run, Trend, page, trend};
use longhand_qualify::verdict::Profile;

/// Measures of a table, all of which may change.
const TESTED: u64 = 13;

/// Numbers from a seed.
struct Luck(Dice);

impl Luck {
    fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    fn even(&mut self) -> f64 {
        real((self.0.roll() >> 12) + 1) / real(1 << 52)
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.even().ln()).sqrt() * (std::f64::consts::TAU * self.even()).cos()
    }
}

/// One run a day.
fn daily(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
    let days = (0_u32..).map(f64::from);
    days.zip(values).map(|(day, value)| Point { day, value }).collect()
}

fn told(values: impl IntoIterator<Item = f64>) -> Course {
    course(&daily(values), TESTED, needs(TESTED)).unwrap()
}

#[test]
fn a_planted_shift_is_found_at_its_place() {
    let (mut found, mut exact, mut strangers) = (0, 0, 0);
    for seed in 0..200 {
        let mut luck = Luck::new(seed);
        let place = 5 + usize::try_from(seed % 20).unwrap();
        let course =
            told((0..30).map(|n| 40.0 + luck.normal() + if n < place { 0.0 } else { 5.0 }));
        let near = |run: usize| run.abs_diff(place) <= 1;
        found += u32::from(course.steps.iter().any(|step| near(step.run)));
        exact += u32::from(course.steps.iter().any(|step| step.run == place));
        strangers += u32::from(course.steps.iter().any(|step| !near(step.run)));
        for step in course.steps.iter().filter(|step| step.run == place) {
            assert!((step.after - step.before - 5.0).abs() < 2.5, "seed {seed}: {step:?}");
            assert!(step.chance <= RATE, "seed {seed}: {step:?}");
            assert_eq!(course.reads_as, Reading::Steps, "seed {seed}: {course:?}");
        }
    }
    println!("of 200 planted shifts: {found} found, {exact} to the run, {strangers} others");
    assert!(found >= 170 && exact >= 165 && strangers <= 4);
}

/// A bad week, and good again: one change alone would never see it.
#[test]
fn a_bad_stretch_in_the_middle_is_found_at_both_ends() {
    let mut both = 0;
    for seed in 0..200 {
        let mut luck = Luck::new(seed);
        let is_bad = |n: u32| (14..24).contains(&n);
        let course = told((0..40).map(|n| luck.normal() + if is_bad(n) { 5.0 } else { 0.0 }));
        let places: Vec<usize> = course.steps.iter().map(|step| step.run).collect();
        let near = |place: usize| places.iter().any(|run| run.abs_diff(place) <= 1);
        both += u32::from(near(14) && near(24) && places.len() == 2);
    }
    println!("of 200 planted stretches: {both} found at both ends, and nothing else");
    assert!(both >= 180);
}

#[test]
fn a_planted_trend_is_found_and_its_slope_lies_in_the_interval() {
    let (mut found, mut within) = (0, 0);
    for seed in 0..200 {
        let mut luck = Luck::new(seed);
        let course = told((0..40_u32).map(|n| 40.0 - 0.2 * f64::from(n) + luck.normal()));
        let drift = course.drift.unwrap();
        found += u32::from(drift.is_sure && course.reads_as == Reading::Drift);
        within += u32::from(drift.low <= -0.2 && -0.2 <= drift.high);
        assert!(drift.low <= drift.per_day && drift.per_day <= drift.high);
    }
    println!("of 200 planted trends: {found} read as one, {within} within 95 %");
    assert!(found >= 190 && within >= 184);
}

/// How many of `tables` tables, in which nothing changes, show any change or trend.
fn alarms(tables: u64, runs: u32, draw: impl Fn(&mut Luck, f64) -> f64) -> u64 {
    let alarm = |seed: &u64| {
        (0..TESTED).any(|measure| {
            let mut luck = Luck::new(seed * 1_000 + measure);
            let mut last = 0.0;
            // What came before the first run is forgotten by then.
            let mut next = || {
                last = draw(&mut luck, last);
                last
            };
            for _ in 0..50 {
                let _before = next();
            }
            let course = told((0..runs).map(|_| next()).collect::<Vec<_>>());
            !matches!(course.reads_as, Reading::Steady | Reading::TooFew)
        })
    };
    len(&(0..tables).filter(alarm).collect::<Vec<_>>())
}

/// At most as many as are stated, whatever the numbers look like: even, with wild ones among them,
/// or zero nearly always, as losses of good links are.
#[test]
fn tables_without_a_change_show_one_no_oftener_than_is_stated() {
    let most = real(1_000) * RATE;
    let normal = [20, 45].map(|runs| alarms(1_000, runs, |luck, _| luck.normal()));
    let wild = alarms(1_000, 20, |luck, _| 1.0 / luck.even());
    let rare = alarms(1_000, 20, |luck, _| (luck.even() * 1.25).floor());
    println!("of 1000 tables: 20 and 45 even runs {normal:?}, wild {wild}, mostly zero {rare}");
    assert!(normal.into_iter().chain([wild, rare]).all(|alarms| real(alarms) <= most));
}

/// Where a figure comes from.
type Draw = fn(&mut Luck) -> f64;

/// A run of nothing but figures, each known far better than runs differ among themselves.
fn figures(day: u32, mut value: impl FnMut() -> f64) -> Run {
    let gauged = |value: f64| Gauged { value, low: Some(value), high: Some(value) };
    let mut run = of_day(day, 40.0, |_| ());
    run.figures = Gauge::ALL.into_iter().map(|_| Some(gauged(value()))).collect();
    run
}

/// Against a baseline, too: it lies outside the spread of runs as often as any of them, and they
/// outside its interval, in nearly every table.
#[test]
fn tables_without_a_change_show_none_against_a_baseline_either() {
    let blank: Vec<Run> = (0..21).map(|day| figures(day, || 0.0)).collect();
    let kinds: [(&str, Draw); 3] = [
        ("even", |luck| luck.normal()),
        ("wild", |luck| 1.0 / luck.even()),
        ("mostly zero", |luck| (luck.even() * 1.25).floor()),
    ];
    for (name, draw) in kinds {
        let (mut alarms, mut outside) = (0, 0);
        for seed in 0..1_000 {
            let mut luck = Luck::new(seed);
            let mut runs = blank.clone();
            for gauged in runs.iter_mut().flat_map(|run| run.figures.iter_mut().flatten()) {
                let value = draw(&mut luck);
                *gauged = Gauged { value, low: Some(value), high: Some(value) };
            }
            let base = runs.remove(0);
            let held = trend(runs, Some(&base), Vec::new());
            let measures = &held.groups[0].measures;
            outside += u32::from(measures.iter().any(|measure| !measure.outside.is_empty()));
            let shows = |reading| matches!(reading, Reading::Drift | Reading::Steps);
            let alarm = measures.iter().any(|one| one.worse || shows(one.course.reads_as));
            alarms += u64::from(alarm);
        }
        println!("of 1000 tables of {name} runs with a baseline: {alarms}; outside {outside}");
        assert!(outside > 990 && real(alarms) <= 1_000.0 * RATE, "{name}: {alarms} {outside}");
    }
}

/// So many newest runs as are needed, worse than the baseline and than all before: worse, where
/// neither a step nor a slope could be told yet. One fewer, or one that is not the worst: no.
#[test]
fn newest_runs_that_stand_out_from_the_baseline_and_the_group_are_worse() {
    let base = of_day(0, 40.0, |_| ());
    let held = |newest: &[f64]| {
        let mut luck = Luck::new(7);
        let usual = (newest.len()..16).map(|_| 40.0 + 0.5 * luck.normal()).collect::<Vec<_>>();
        let all = (1..).zip(usual.iter().chain(newest));
        let runs = all.map(|(day, rtt)| of_day(day, *rtt, |_| ())).collect();
        trend(runs, Some(&base), Vec::new())
    };
    let two = held(&[46.0, 47.0]);
    assert_eq!((p50(&two).newest, p50(&two).course.reads_as), (Some(2), Reading::Steady));
    assert!(two.worse && p50(&two).worse);
    let words = "The newest 2 runs are worse than the baseline, and than all others here.";
    assert!(p50(&two).says.contains(words) && page(&two).contains(words), "{}", p50(&two).says);
    for other in [&[46.0][..], &[46.0, 40.0, 46.0], &[30.0, 31.0]] {
        let other = held(other);
        assert!(!p50(&other).outside.is_empty() && !other.worse, "{:?}", p50(&other).says);
    }
    // One of all choices: of 20 runs 3, 1 in 1140.
    let share = RATE / 2.0 / 20.0;
    assert_eq!(newest_needed(20, share, 1.0), Some(3));
    assert_eq!((newest_needed(11, share, 1.0), newest_needed(12, share, 1.0)), (None, Some(6)));
    assert_eq!(newest_needed(40, share, 2.0), Some(6));
}

/// Weather: a run resembles the one before it, and nothing else changes. Oftener than is stated,
/// and the page says so; this is how often.
#[test]
fn tables_of_runs_that_resemble_each_other_alarm_seldom() {
    for (r, most) in [(0.3, 0.3), (0.5, 0.35)] {
        let counted = alarms(100, 40, |luck, last| r * last + luck.normal());
        println!("of 100 tables of runs with correlation {r}: {counted}");
        assert!(real(counted) <= 100.0 * most, "{r}: {counted}");
    }
    let mut luck = Luck::new(1);
    let alone: Vec<f64> = (0..400).map(|_| luck.normal()).collect();
    assert!(resemblance(&alone, 1) < 1.2);
    let mut last = 0.0;
    let alike = alone.iter().map(|more| {
        last = 0.6 * last + more;
        last
    });
    // (1 + r) / (1 - r) is 4.
    let fewer = resemblance(&alike.collect::<Vec<_>>(), 1);
    assert!((2.5..6.5).contains(&fewer), "{fewer}");
}

/// One run fewer than are needed: not even the clearest change is told. So many: it is.
#[test]
fn too_few_runs_say_that_they_are_too_few() {
    let needs = told([1.0]).needs;
    assert_eq!(needs, (runs_for_trend(RATE / 26.0), runs_for_change(RATE / 26.0)));
    let clear =
        |n: u64| told((0..n).map(|i| if i < n / 2 { 1.0 } else { 9.0 } + 0.01 * real(i % 3)));
    assert_eq!(clear(needs.0 - 1).reads_as, Reading::TooFew);
    assert!(clear(needs.0 - 1).drift.is_none());
    assert!(clear(needs.1 - 1).steps.is_empty());
    assert_eq!(clear(needs.1).steps.len(), 1, "{:?}", clear(needs.1));
    assert_eq!(clear(needs.1).reads_as, Reading::Steps);
    let rising = |n: u64| told((0..n).map(|i| real(i) + 0.3 * real(i % 2)));
    assert_eq!(rising(needs.0 - 1).reads_as, Reading::TooFew);
    assert_eq!(rising(needs.0).reads_as, Reading::Drift);
    assert!(course(&[], TESTED, needs).is_none());
    // All the same: steady, and no drift.
    let same = told([3.0; 40]);
    assert_eq!((same.reads_as, same.steps.len()), (Reading::Steady, 0));
    assert_eq!(same.drift.map(|d| (d.per_day, d.is_sure)), Some((0.0, false)));
}

/// Every order of a list.
fn orders(list: &mut Vec<f64>, from: usize, each: &mut dyn FnMut(&[f64])) {
    if from == list.len() {
        each(list);
    }
    for place in from..list.len() {
        list.swap(from, place);
        orders(list, from + 1, each);
        list.swap(from, place);
    }
}

fn s(values: &[f64]) -> i32 {
    let pairs =
        values.iter().enumerate().flat_map(|(n, a)| values[n + 1..].iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| i32::from(b > a) - i32::from(b < a)).sum::<i32>().abs()
}

/// The chance is the share of all orders: counted one by one.
#[test]
fn the_chance_of_a_trend_is_what_all_orders_say() {
    for values in [vec![1.0, 2.0, 3.0, 4.0], vec![2.0, 1.0, 1.0, 3.0, 3.0, 3.0, 9.0], vec![5.0; 4]]
    {
        let (mut all, mut as_far) = (0_u32, 0_u32);
        orders(&mut values.clone(), 0, &mut |order| {
            all += 1;
            as_far += u32::from(s(order) >= s(&values));
        });
        let chance = rise_chance(&values, 1.0);
        assert!((chance - f64::from(as_far) / f64::from(all)).abs() < 1e-9, "{values:?}: {chance}");
    }
    // Where the exact distribution ends, the normal one says nearly the same.
    let mut luck = Luck::new(3);
    let values: Vec<f64> = (0..30).map(|n| luck.normal() + 0.05 * f64::from(n)).collect();
    let (exact, normal) = (rise_chance(&values, 1.0), rise_chance(&values, 1.000_001));
    assert!((exact - normal).abs() < 0.1 * exact, "{exact} {normal}");
    // Tables of the normal distribution.
    for (z, p) in [(0.0, 1.0), (1.0, 0.317_310_5), (1.96, 0.049_995_8), (3.0, 0.002_699_8)] {
        assert!((two_sided(z) - p).abs() < 1e-6, "{z}");
    }
    assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    // One wild value moves a slope nothing; runs of one minute have none.
    let line = slope(&[0.0, 1.0, 2.0, 3.0, 4.0], &[0.0, 2.0, 4.0, 6.0, 999.0], 1.0).unwrap();
    assert_eq!(line.0, 2.0);
    assert_eq!(slope(&[1.0, 1.0], &[1.0, 2.0], 1.0), None);
}

/// A report of ten seconds, from which others are made.
static ONE: LazyLock<Report> = LazyLock::new(|| {
    let run = run(model("city-5g-sa"), 9, 10, RobotClock::default(), &[]);
    let kept = Kept {
        schema: RUN_SCHEMA.to_owned(),
        about: About {
            robot: "<or3>:7400".to_owned(),
            begun: "2031-04-01 12:00 UTC".to_owned(),
            rate_hz: 1_000,
            ..About::default()
        },
        requirements: Profile::shipped("atis-laparoscopic").unwrap(),
        noise: None,
        noise_quic: None,
        loading: None,
        ended: None,
    };
    report(&kept, Roads { session: &run.slots, twin: None }, None, &[])
});

/// A run of that day, whose usual round trip is so long.
fn of_day(day: u32, rtt_ms: f64, change: impl FnOnce(&mut Report)) -> Run {
    let mut report = ONE.clone();
    report.about.begun = format!("2031-{:02}-{:02} 12:00 UTC", 4 + day / 28, 1 + day % 28);
    for quantile in report.quic.rtt.quantiles.iter_mut().take(1) {
        (quantile.ms, quantile.low_ms) = (rtt_ms, rtt_ms - 0.2);
        quantile.high_ms = Some(rtt_ms + 0.2);
    }
    report.raw = vec![RawFile {
        name: "samples-quic.lhq".to_owned(),
        sha256: format!("{day:064}"),
        ..RawFile::default()
    }];
    change(&mut report);
    Run::of(format!("run-{day:02}"), None, &report).unwrap()
}

fn p50(trend: &Trend) -> &longhand_qualify::trend::Measure {
    trend.groups[0].measures.iter().find(|measure| measure.gauge == Gauge::RttP50).unwrap()
}

#[test]
fn what_changed_where_is_said_in_words_and_better_is_told_from_worse() {
    let runs = |by: f64| {
        let mut luck = Luck::new(5);
        let mut rtt = |day| 40.0 + 0.1 * luck.normal() + if day < 14 { 0.0 } else { by };
        let mut runs: Vec<Run> = (0..24).map(|day| of_day(day, rtt(day), |_| ())).collect();
        runs.reverse();
        runs
    };
    let worse = trend(runs(14.0), None, Vec::new());
    let measure = p50(&worse);
    assert_eq!(
        measure.says,
        "The usual round trip rose from 40.0 ms to 54.0 ms between the runs of 2031-04-14 12:00 \
         UTC and 2031-04-15 12:00 UTC. Luck alone shows as much in fewer than 1 of 1000 tables."
    );
    assert!(worse.worse && measure.worse && worse.enough);
    // By time, however they were handed in.
    assert!(worse.groups[0].runs.is_sorted_by_key(|run| run.minute));
    let better = trend(runs(-14.0), None, Vec::new());
    assert!(p50(&better).says.contains("fell from 40.0 ms to 26.0 ms"), "{}", p50(&better).says);
    assert!(!better.worse);
    let steady = trend(runs(0.0), None, Vec::new());
    assert!(!steady.worse && steady.enough);
    assert_eq!(p50(&steady).says, "No change that luck alone would not make.");
    let page = page(&worse);
    for word in ["Something became worse", "rose from 40.0 ms", "round trip p50, ms", "&lt;or3&gt;"]
    {
        assert!(page.contains(word), "{word}");
    }
    for fetched in ["http://", "https://", "src=", "@import", "url(", "<or3>", "NaN", "inf"] {
        assert!(!page.replace("-family:inherit", "").contains(fetched), "{fetched}");
    }
    // The same runs, the same bytes.
    let json = |trend: &Trend| serde_json::to_string(trend).unwrap();
    assert_eq!(json(&worse), json(&trend(runs(14.0), None, Vec::new())));
    assert!(json(&worse).contains("\"schema\":\"longhand qualify trend v2\""));
}

/// Text, object and exit code say one thing, and how many runs more each answer takes: the same in
/// all, whichever measures begin to move meanwhile.
#[test]
fn so_few_runs_say_how_many_more_each_answer_takes() {
    let gauges = of_day(0, 40.0, |_| ()).figures.iter().flatten().count();
    let (for_trend, for_change) = needs(u64::try_from(gauges).unwrap());
    assert_eq!((for_trend, for_change), (7, 16), "{gauges}");
    for (n, trend_words, change_words) in [
        (1, "A trend cannot be told yet: 6 more are needed, 7 in all", "15 more are needed"),
        (5, "A trend cannot be told yet: 2 more are needed, 7 in all", "11 more are needed"),
        (6, "A trend cannot be told yet: 1 more is needed, 7 in all", "10 more are needed"),
        (7, "No trend that luck alone would not make", "9 more are needed, 16 in all"),
        (15, "No trend that luck alone would not make", "1 more is needed, 16 in all"),
        (16, "No change that luck alone would not make.", ""),
    ] {
        let rtt = |day: u32| 40.0 + 0.01 * f64::from(day * 7 % 5);
        let all = trend((0..n).map(|day| of_day(day, rtt(day), |_| ())).collect(), None, vec![]);
        let measure = p50(&all);
        let says = &measure.says;
        let more = |needed: u64| needed.saturating_sub(u64::from(n));
        assert_eq!((measure.lacks.trend, measure.lacks.change), (more(7), more(16)));
        assert_eq!((all.enough, all.worse), (n >= 16, false), "{n}");
        assert_eq!(measure.course.reads_as == Reading::TooFew, n < 16, "{n}");
        assert!(says.contains(trend_words) && says.contains(change_words), "{n}: {says}");
        let there = if n == 1 { "there is 1 run" } else { &format!("there are {n} runs") };
        assert_eq!(says.contains(there), n < 16, "{n}: {says}");
        assert!(!says.contains("run(s)") && !says.contains("1 runs"), "{says}");
    }
}

#[test]
fn runs_that_are_not_alike_are_groups_and_one_run_is_counted_once() {
    let mut runs: Vec<Run> = (0..5).map(|day| of_day(day, 40.0, |_| ())).collect();
    runs.push(of_day(5, 40.0, |report| report.about.rate_hz = 50));
    runs.push(of_day(6, 40.0, |report| report.about.robot = "or4:7400".to_owned()));
    runs.push(of_day(7, 40.0, |report| report.profile.name = "xu-200".to_owned()));
    runs.push(of_day(8, 40.0, |report| report.about.distance_km = 2_200.0));
    let traffic = Traffic {
        asked_bps: 20_000_000,
        offered_bps: 20_000_000,
        came_bps: 19_000_000,
        untold_s: 0.1,
    };
    let loaded = Loaded { up: Some(traffic), ..Loaded::default() };
    runs.push(of_day(9, 40.0, |report| report.load = Some(loaded)));
    runs.push(of_day(10, 40.0, |report| report.quic.seconds *= 0.89));
    runs.push(of_day(11, 40.0, |report| report.quic.seconds *= 0.91));
    let mut twice = of_day(3, 40.0, |_| ());
    twice.name = "copy/of/run-03".to_owned();
    runs.push(twice);
    let all = trend(runs, None, Vec::new());
    let sizes: Vec<usize> = all.groups.iter().map(|group| group.runs.len()).collect();
    assert_eq!(sizes, [6, 1, 1, 1, 1, 1, 1]);
    assert_eq!(all.left_out.len(), 1);
    assert!(all.left_out[0].why.contains("the same run as"), "{:?}", all.left_out);
    assert_eq!(all.left_out[0].reason, Reason::Twice);
    let up = all.groups.iter().flat_map(|group| &group.measures);
    let up = up.filter(|measure| measure.gauge == Gauge::ThroughputUp).collect::<Vec<_>>();
    assert_eq!(up.len(), 1);
    assert_eq!(up[0].course.last, 19.0);
    // Few as they are, nothing is invented, and it is said.
    assert!(!all.enough && !all.worse);
    assert!(p50(&all).says.contains("cannot be told yet"), "{}", p50(&all).says);
    let none = trend(Vec::new(), None, Vec::new());
    assert!(!none.enough && none.groups.is_empty());
    // More than a year of them: the oldest are left out by name.
    let year = (0..u32::try_from(MOST_RUNS).unwrap() + 2)
        .map(|n| of_day(0, 40.0, |report| report.raw[0].sha256 = n.to_string()));
    let year = trend(year.collect(), None, Vec::new());
    assert_eq!((year.groups[0].runs.len(), year.left_out.len()), (MOST_RUNS, 2));
}

#[test]
fn runs_outside_the_baselines_interval_are_named_and_only_where_they_are_alike() {
    let base = of_day(0, 40.0, |_| ());
    let rtt = [40.0, 40.3, 40.5, 39.5, 40.41, 46.0];
    let runs = || (1..).zip(rtt).map(|(day, rtt)| of_day(day, rtt, |_| ())).collect::<Vec<_>>();
    let held = trend(runs(), Some(&base), Vec::new());
    let outside: Vec<(usize, bool)> =
        p50(&held).outside.iter().map(|outside| (outside.run, outside.worse)).collect();
    // Both intervals are 0.2 wide each way: up to 0.4 apart they meet.
    assert_eq!(outside, [(2, true), (3, false), (4, true), (5, true)]);
    // The newest is one of them, and of so few runs that says nothing.
    assert!(!held.worse && p50(&held).newest.is_none());
    let other = of_day(0, 40.0, |report| report.about.rate_hz = 50);
    let held = trend(runs(), Some(&other), Vec::new());
    assert!(held.groups[0].baseline.is_none() && p50(&held).outside.is_empty() && !held.worse);
    let no_time = {
        let mut report = ONE.clone();
        report.about.begun = "yesterday".to_owned();
        Run::of("x".to_owned(), None, &report).unwrap_err()
    };
    assert!(no_time.contains("yesterday"), "{no_time}");
}

/// What nobody knows makes the interval wider, on its own side.
#[test]
fn a_counts_interval_is_from_what_surely_was_to_what_may_have_been() {
    let of = |seen: u64, sure: u64, possible: u64, hidden: u64| {
        let run = of_day(0, 40.0, |report| {
            report.quic.seconds = 3_600.0;
            let outages = &mut report.quic.outages;
            (outages.count, outages.sure) = (seen, sure);
            (outages.possible, outages.hidden) = (possible, hidden);
            let replay = report.quic.replay.as_mut().unwrap();
            let played = replay.played.iter_mut().find(|played| played.playout_ms == 20).unwrap();
            (played.stops, played.stops_sure) = (vec![seen], vec![sure]);
            (played.moving_s, played.moving_most_s) = (vec![1_800.0], vec![3_600.0]);
        });
        [Gauge::Outages, Gauge::SafeStops].map(|gauge| run.gauged(gauge).unwrap())
    };
    let (few, many) = (poisson(3).0, poisson(14).1);
    let [outages, stops] = of(8, 3, 12, 2);
    assert_eq!((outages.value, outages.low, outages.high), (8.0, Some(few), Some(many)));
    let most = Some(poisson(8).1 * 2.0);
    assert_eq!((stops.value, stops.low, stops.high), (16.0, Some(few), most));
    // Of nothing but unknown stretches: none may have been.
    let [outages, stops] = of(0, 0, 5, 0);
    assert_eq!((outages.low, outages.high, stops.low), (Some(0.0), Some(poisson(5).1), Some(0.0)));
}
