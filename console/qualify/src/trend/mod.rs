//! Many runs: what changed where, over days.
//!
//! Knows: which runs are alike, what of a report an engineer watches, and how to say what its
//! course is. Does not know: files or seals; the console reads and verifies.
//!
//! Runs that are not alike (other requirements, robot, rate, distance, load, length) are never one
//! course: each kind is a group with a table of its own.

mod calendar;
pub mod chance;
pub mod course;
mod gauge;
mod page;

pub use gauge::{Gauge, Gauged, Run};
pub use page::{alike, is_page, page};

use serde::Serialize;

use self::course::{Course, Point, Reading, course, needs};
use crate::measure::long;
use crate::number::len;
use crate::report::figure;

/// The object's name. Another where a member comes, goes, or means something else.
pub const SCHEMA: &str = "longhand qualify trend v2";
/// Runs of a group that are looked at, the newest. Chosen: a year of daily runs.
pub const MOST_RUNS: usize = 365;
/// Runs of one length: none is shorter than this share of the longest. Source: as
/// `report::compare::differs`.
const ONE_LENGTH: f64 = 0.9;

/// Everything that many runs say.
#[derive(Clone, Debug, Serialize)]
pub struct Trend {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Tables without a change that show one, at most: [`course::RATE`].
    pub false_alarm_rate: f64,
    /// Each kind of run, the one with most runs first.
    pub groups: Vec<Group>,
    /// What was found and not counted, and why.
    pub left_out: Vec<LeftOut>,
    /// Whether any measure's newest change is for the worse, or it [stands out](Measure::newest).
    pub worse: bool,
    /// Whether every measure of the first group has runs enough.
    pub enough: bool,
}

/// A file that is not in any table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub file: String,
    /// Why, in words.
    pub why: String,
    /// Why.
    pub reason: Reason,
}

/// Why a file is in no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It, or a file that it names, is not what was signed.
    Altered,
    /// Nobody signed it, and it was asked under whose authority.
    Unsigned,
    /// It is signed under another authority than the one asked for.
    Foreign,
    /// It is no report, of another schema, or without a place in time.
    Unread,
    /// The same run is there already.
    Twice,
    /// There are too many newer ones.
    Old,
}

/// What runs of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alike {
    /// What.
    pub what: &'static str,
    /// What it is in all of them.
    pub is: String,
}

/// Runs that are alike.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// In what.
    pub alike: Vec<Alike>,
    /// The runs, by time.
    pub runs: Vec<Run>,
    /// The run that others are held against; `null`: none was named, or it is not alike.
    pub baseline: Option<Run>,
    /// What became of each measure; those that no run has are left out.
    pub measures: Vec<Measure>,
}

/// One measure of a group.
#[derive(Clone, Debug, Serialize)]
pub struct Measure {
    /// What it is, with its unit.
    pub gauge: Gauge,
    /// The run of each of the course's points, by its place in the group.
    pub of_run: Vec<usize>,
    /// Its course.
    pub course: Course,
    /// What changed where, for people.
    pub says: String,
    /// How many more runs it takes until it could be told; 0: it was looked for.
    pub lacks: Lacks,
    /// Runs whose interval does not meet the baseline's, by their place in the group.
    pub outside: Vec<Outside>,
    /// The newest so many runs are all worse than the baseline, and than every other run of the
    /// group: so many that luck alone does so within the table's rate. `null`: they are not.
    ///
    /// Not by the intervals alone: those are of one run each, and say nothing of how runs differ
    /// among themselves; without any change half of all runs may be outside.
    pub newest: Option<u64>,
    /// Whether the newest change is for the worse, or the newest runs are.
    pub worse: bool,
}

/// How many more runs each answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lacks {
    /// A trend.
    pub trend: u64,
    /// A change between two runs.
    pub change: u64,
}

/// A run outside the baseline's interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Outside {
    /// The run's place in the group.
    pub run: usize,
    /// Whether it is the worse of both.
    pub worse: bool,
}

/// Puts runs into groups and tells each measure's course. `baseline` is not counted as a run,
/// unless it is among them.
pub fn trend(runs: Vec<Run>, baseline: Option<&Run>, mut left_out: Vec<LeftOut>) -> Trend {
    let mut groups: Vec<Group> =
        grouped(runs, &mut left_out).into_iter().map(|runs| group(runs, baseline)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.runs.len()));
    left_out.sort();
    let measures = || groups.iter().flat_map(|group| &group.measures);
    let few = |measure: &Measure| measure.course.reads_as == Reading::TooFew;
    Trend {
        schema: SCHEMA,
        false_alarm_rate: course::RATE,
        worse: measures().any(|measure| measure.worse),
        enough: groups.first().is_some_and(|group| !group.measures.iter().any(few)),
        groups,
        left_out,
    }
}

/// Runs that are alike, by time; of one that is there twice the first.
fn grouped(mut runs: Vec<Run>, left_out: &mut Vec<LeftOut>) -> Vec<Vec<Run>> {
    // Of one kind the longest first, so that each group begins with its longest.
    runs.sort_by(|a, b| {
        (&a.alike, &b.seconds.total_cmp(&a.seconds)).cmp(&(&b.alike, &std::cmp::Ordering::Equal))
    });
    let mut groups: Vec<Vec<Run>> = Vec::new();
    for run in runs {
        let last = groups.last_mut().filter(|group| {
            group.first().is_some_and(|first| {
                first.alike == run.alike && run.seconds >= ONE_LENGTH * first.seconds
            })
        });
        match last {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    for group in &mut groups {
        group.sort_by(|a, b| (a.minute, &a.name).cmp(&(b.minute, &b.name)));
        let mut out = |run: &Run, why: String, reason: Reason| {
            left_out.push(LeftOut { file: run.name.clone(), why, reason });
        };
        let mut kept: Vec<Run> = Vec::new();
        for run in std::mem::take(group) {
            let same = |other: &&Run| run.samples.is_some() && other.samples == run.samples;
            match kept.iter().find(same) {
                Some(other) => {
                    let why = format!("the same run as {}, counted once", other.name);
                    out(&run, why, Reason::Twice);
                }
                None => kept.push(run),
            }
        }
        let old = kept.len().saturating_sub(MOST_RUNS);
        for run in kept.drain(..old) {
            let why = format!("only the newest {MOST_RUNS} runs of a kind are looked at");
            out(&run, why, Reason::Old);
        }
        *group = kept;
    }
    groups
}

fn group(runs: Vec<Run>, baseline: Option<&Run>) -> Group {
    let mut alike: Vec<Alike> = Vec::new();
    if let Some(first) = runs.first() {
        alike.extend(first.alike.iter().map(|(what, is)| Alike { what, is: is.clone() }));
        let lengths = || runs.iter().map(|run| run.seconds);
        let (least, most) =
            (lengths().fold(first.seconds, f64::min), lengths().fold(0.0, f64::max));
        let is = match (long(least), long(most)) {
            (least, most) if least == most => most,
            (least, most) => format!("{least} to {most}"),
        };
        alike.push(Alike { what: "length", is });
    }
    let is_alike = |base: &&Run| {
        let one = |run: &Run| {
            let (short, long) = (run.seconds.min(base.seconds), run.seconds.max(base.seconds));
            run.alike == base.alike && short >= ONE_LENGTH * long
        };
        runs.iter().any(one)
    };
    let baseline = baseline.filter(is_alike).cloned();
    let changes = |gauge: &Gauge| {
        let mut all = runs.iter().filter_map(|run| run.gauged(*gauge)).map(|gauged| gauged.value);
        let first = all.next();
        all.any(|value| Some(value) != first)
    };
    // What is the same in every run can show nothing, and takes no part of the table's rate.
    let tested = len(&Gauge::ALL.into_iter().filter(changes).collect::<Vec<_>>());
    // Against a baseline each measure has a third test, which takes its part of the same rate.
    let tested = if baseline.is_some() { (tested * 3).div_ceil(2) } else { tested };
    // What some run has: it may begin to change.
    let has = |gauge: &Gauge| runs.iter().any(|run| run.gauged(*gauge).is_some());
    let needs = needs(len(&Gauge::ALL.into_iter().filter(has).collect::<Vec<_>>()));
    let measure = |gauge| measure(gauge, &runs, baseline.as_ref(), tested, needs);
    let measures = Gauge::ALL.into_iter().filter_map(measure).collect();
    Group { alike, measures, baseline, runs }
}

fn measure(
    gauge: Gauge,
    runs: &[Run],
    baseline: Option<&Run>,
    tested: u64,
    needs: (u64, u64),
) -> Option<Measure> {
    let since = runs.first()?.minute;
    let all: Vec<(usize, Gauged)> =
        runs.iter().zip(0..).filter_map(|(run, place)| Some((place, run.gauged(gauge)?))).collect();
    let points: Vec<Point> = all
        .iter()
        .filter_map(|(place, gauged)| {
            let minutes = runs.get(*place)?.minute.saturating_sub(since);
            Some(Point { day: crate::number::signed(minutes) / 1_440.0, value: gauged.value })
        })
        .collect();
    let course = course(&points, tested, needs)?;
    let more = |needed: u64| needed.saturating_sub(len(&points));
    let lacks = Lacks { trend: more(needs.0), change: more(needs.1) };
    let of_run: Vec<usize> = all.iter().map(|(place, _)| *place).collect();
    let base = baseline.and_then(|run| run.gauged(gauge));
    let outside: Vec<Outside> = all
        .iter()
        .filter_map(|(run, gauged)| {
            let is_higher = gauged.beyond(&base?)?;
            Some(Outside { run: *run, worse: is_higher == gauge.less_is_better() })
        })
        .collect();
    let newest = newest(gauge, &course, &of_run, &outside, course::share(tested));
    let worse = newest.is_some() || rises(&course).is_some_and(|up| up == gauge.less_is_better());
    let mut says = says(gauge, &course, lacks, runs, &of_run);
    if let Some(newest) = newest {
        // First what is known, then what is not.
        let are = if newest == 1 { "run is".to_owned() } else { format!("{newest} runs are") };
        let told = format!("The newest {are} worse than the baseline, and than all others here.");
        says = match course.reads_as {
            Reading::TooFew | Reading::Steady => {
                format!("{told} Without the baseline nothing could be said yet: {says}")
            }
            Reading::Drift | Reading::Steps => format!("{told} {says}"),
        };
    }
    Some(Measure { gauge, of_run, course, says, lacks, outside, newest, worse })
}

/// How many of the newest runs stand out for the worse, [`Measure::newest`].
fn newest(
    gauge: Gauge,
    course: &Course,
    of_run: &[usize],
    outside: &[Outside],
    share: f64,
) -> Option<u64> {
    let runs = len(&course.points);
    let needed = chance::newest_needed(runs, share, course.resemblance)?;
    let others = usize::try_from(runs.checked_sub(needed)?).ok()?;
    let is_worse = |run: &usize| outside.iter().any(|out| out.worse && out.run == *run);
    let (old, new) = course.points.split_at_checked(others)?;
    let height = |point: &Point| if gauge.less_is_better() { point.value } else { -point.value };
    let most = old.iter().map(height).fold(f64::NEG_INFINITY, f64::max);
    let stand_out = new.iter().all(|point| height(point) > most);
    (stand_out && of_run.get(others..)?.iter().all(is_worse)).then_some(needed)
}

/// Whether the newest change goes up; `None`: there is none.
fn rises(course: &Course) -> Option<bool> {
    match course.reads_as {
        Reading::TooFew | Reading::Steady => None,
        Reading::Drift => course.drift.map(|drift| drift.per_day > 0.0),
        Reading::Steps => course.steps.last().map(|step| step.after > step.before),
    }
}

/// What changed where, in words.
fn says(gauge: Gauge, course: &Course, lacks: Lacks, runs: &[Run], of_run: &[usize]) -> String {
    let with = |value: f64| format!("{}{}", figure(value), gauge.unit());
    let begun = |point: usize| {
        let run = of_run.get(point).and_then(|place| runs.get(*place));
        run.map_or("?", |run| run.begun.as_str())
    };
    let what = gauge.plain();
    match course.reads_as {
        Reading::TooFew => {
            let (trend, change) = course.needs;
            let more = |lacks: u64| {
                let are = if lacks == 1 { "is" } else { "are" };
                format!("{lacks} more {are} needed")
            };
            // Each of both answers by itself: one can be given before the other.
            let of_trend = match lacks.trend {
                0 => "No trend that luck alone would not make".to_owned(),
                n => format!("A trend cannot be told yet: {}, {trend} in all", more(n)),
            };
            let of_change = match lacks.change {
                0 => "no sudden change that luck alone would not make".to_owned(),
                n => format!("a sudden change cannot be told yet: {}, {change} in all", more(n)),
            };
            let have = len(&course.points);
            let are = if have == 1 { "is" } else { "are" };
            format!("{of_trend}; {of_change} (there {are} {}).", count_of(have, "run"))
        }
        Reading::Steady => "No change that luck alone would not make.".to_owned(),
        Reading::Drift => course.drift.map_or_else(String::new, |drift| {
            let way = if drift.per_day > 0.0 { "rises" } else { "falls" };
            format!(
                "{what} {way} steadily: by {} a day ({} to {}) since {}. {}",
                with(drift.per_day.abs()),
                with(drift.low.abs().min(drift.high.abs())),
                with(drift.low.abs().max(drift.high.abs())),
                begun(0),
                luck(drift.chance)
            )
        }),
        Reading::Steps => {
            let step = |step: &course::Step| {
                let way = if step.after > step.before { "rose" } else { "fell" };
                format!(
                    "{what} {way} from {} to {} between the runs of {} and {}. {}",
                    with(step.before),
                    with(step.after),
                    begun(step.run.saturating_sub(1)),
                    begun(step.run),
                    luck(step.chance)
                )
            };
            course.steps.iter().map(step).collect::<Vec<_>>().join(" ")
        }
    }
}

/// "1 run", "7 runs".
pub fn count_of(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// How often luck does as much, in words.
fn luck(chance: f64) -> String {
    // Never surer than the shuffles are.
    match crate::number::count(1.0 / chance.max(1e-4)) {
        n if n >= 1_000 => "Luck alone shows as much in fewer than 1 of 1000 tables.".to_owned(),
        n => format!("Luck alone shows as much in 1 of {n} tables."),
    }
}
