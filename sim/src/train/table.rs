//! The same task over every link and every NetFI condition.
//!
//! Knows: rows, medians. Does not know: how an episode is run. Same seeds, same table.

use super::run::{Practice, Practised};
use super::{TrainError, finished, profile_over};
use crate::compare::netfi::CONDITIONS;
use crate::link_command::named;
use crate::measure::float;
use crate::share_out::share_out;
use crate::world::profile_for;
use longhand_link::PROFILES;
use longhand_train::task::Task;
use serde::Serialize;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// One row: medians over the seeds; mistakes and stops added up.
#[derive(Clone, Debug, Serialize)]
struct Row {
    link: &'static str,
    netfi: bool,
    profile: &'static str,
    runs: usize,
    finished: usize,
    completed: usize,
    time_s: f64,
    points: f64,
    moves: f64,
    move_s: f64,
    path_mm: f64,
    drops: u32,
    collisions: u32,
    empty_grasps: u32,
    safe_stops: u32,
    delay_learnt_ms: f64,
    loop_age_p50_ms: f64,
}

/// Runs every link and condition, so many seeds of each, and prints the table.
///
/// Errors: [`TrainError`].
pub fn run(
    task: &Task,
    seed: u64,
    seeds: u64,
    as_json: bool,
    stop: &AtomicBool,
) -> Result<ExitCode, TrainError> {
    let mut rows: Vec<(&'static str, &'static str, Practice)> = Vec::new();
    for link in PROFILES {
        let (name, profile) = profile_for(link.name);
        let (link_model, task) = (named(link.name)?, task.clone());
        let practice = Practice { task, link: link_model, netfi: None, profile, seed };
        rows.push((link.name, name, practice));
    }
    for condition in &CONDITIONS {
        let (name, profile) = profile_over(condition);
        let (link, task) = (named("ideal")?, task.clone());
        let practice = Practice { task, link, netfi: Some(condition), profile, seed };
        rows.push((condition.name, name, practice));
    }
    let each = usize::try_from(seeds).unwrap_or(1);
    let all = rows.len().saturating_mul(each);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let done = share_out(all, jobs, stop, |number| {
        let (_, _, practice) = rows.get(number / each)?;
        let mut practice = practice.clone();
        let nth = u64::try_from(number % each).unwrap_or(0);
        practice.seed = seed.saturating_add(nth);
        let done = practice.run(stop);
        (!done.stopped).then_some(done)
    });
    let made = done.iter().flatten().count();
    if made < all {
        return Err(TrainError::Incomplete { made, all });
    }
    let done: Vec<Practised> = done.into_iter().flatten().collect();
    let rows: Vec<Row> = rows
        .iter()
        .zip(done.chunks(each))
        .map(|((link, profile, practice), runs)| row(link, profile, practice, runs))
        .collect();
    let mut out = io::stdout().lock();
    if as_json {
        let all = json!({ "schema": "longhand practice table v1", "task": task.name, "seed": seed,
                          "seeds": seeds, "operator": "virtual trainee (a model, not a person)",
                          "time_limit_s": task.time_s, "rows": rows });
        writeln!(out, "{all}")?;
    } else {
        writeln!(out, "{HEAD}")?;
        for row in &rows {
            print(&mut out, row)?;
        }
        writeln!(out, "{FOOT}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(link: &'static str, profile: &'static str, practice: &Practice, runs: &[Practised]) -> Row {
    let middle = |of: fn(&Practised) -> f64| median(runs.iter().map(of).collect());
    let sum = |of: fn(&Practised) -> u32| runs.iter().map(of).fold(0, u32::saturating_add);
    Row {
        link,
        netfi: practice.netfi.is_some(),
        profile,
        runs: runs.len(),
        finished: runs.iter().filter(|one| finished(&practice.task, one)).count(),
        completed: runs.iter().filter(|one| one.score.completed).count(),
        time_s: middle(|one| one.score.time_s),
        points: middle(|one| one.score.points),
        moves: middle(|one| float(u64::from(one.score.moves))),
        move_s: middle(|one| one.score.time_s / float(u64::from(one.score.moves.max(1)))),
        path_mm: middle(|one| one.score.left.path_mm + one.score.right.path_mm),
        drops: sum(|one| {
            let errors = &one.score.errors;
            errors.dropped_on_board.saturating_add(errors.dropped_out_of_field)
        }),
        collisions: sum(|one| one.score.errors.collision),
        empty_grasps: sum(|one| one.score.errors.empty_grasp),
        safe_stops: sum(|one| one.score.safe_stops),
        delay_learnt_ms: middle(|one| one.delay_learnt_ms),
        loop_age_p50_ms: middle(|one| one.loop_age.p50_ms),
    }
}

impl Row {
    /// Whether the median time is that of a run that never ended: the real one is longer.
    const fn was_given_up(&self) -> bool {
        self.completed.saturating_mul(2) <= self.runs
    }
}

/// The middle value, or the mean of the middle two; of none, zero.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or(0.0);
    let lower = values.len().checked_sub(1).and_then(|last| values.get(last / 2)).copied();
    f64::midpoint(lower.unwrap_or(upper), upper)
}

const HEAD: &str = "\
link                     profile     done  in time  points  time s  s a move  path m  drops  \
bumps  empty  stops  delay ms";
const FOOT: &str = "\
The virtual trainee: a model, not a person. Medians; drops, bumps (collisions), empty grasps and
stops are added up over all runs. delay: from hand to picture, as the trainee learnt it. >: given
up, not finished; s a move is then said of none.";

fn print(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let (time, each) = if row.was_given_up() {
        (format!(">{:.1}", row.time_s), "-".to_owned())
    } else {
        (format!("{:.1}", row.time_s), format!("{:.1}", row.move_s))
    };
    writeln!(
        out,
        "{:<24} {:<10} {:>2}/{:<2} {:>5}/{:<2} {:>6.1} {:>7} {:>9} {:>7.2} {:>6} {:>6} {:>6} \
         {:>6} {:>9.0}",
        row.link,
        row.profile,
        row.completed,
        row.runs,
        row.finished,
        row.runs,
        row.points,
        time,
        each,
        row.path_mm * 1e-3,
        row.drops,
        row.collisions,
        row.empty_grasps,
        row.safe_stops,
        row.delay_learnt_ms
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]
mod tests {
    use super::*;

    /// `time s` and `s a move` of a row in which so many of so many runs were completed.
    fn printed(completed: usize, runs: usize) -> (String, String) {
        let row = Row {
            link: "comm-loss",
            netfi: true,
            profile: "public-5g",
            runs,
            finished: 0,
            completed,
            time_s: 1498.0,
            points: 0.0,
            moves: 9.0,
            move_s: 166.4,
            path_mm: 3040.0,
            drops: 0,
            collisions: 0,
            empty_grasps: 0,
            safe_stops: 0,
            delay_learnt_ms: 255.0,
            loop_age_p50_ms: 30.0,
        };
        let mut out = Vec::new();
        print(&mut out, &row).unwrap();
        let line = String::from_utf8(out).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[5].to_owned(), words[6].to_owned())
    }

    #[test]
    fn a_time_that_never_ended_is_marked_so() {
        let (marked, plain) = ((">1498.0", "-"), ("1498.0", "166.4"));
        let cases = [(0, 3, marked), (1, 3, marked), (2, 3, plain), (2, 4, marked), (3, 4, plain)];
        for (completed, runs, (time, each)) in cases {
            let told = printed(completed, runs);
            assert_eq!(told, (time.to_owned(), each.to_owned()), "{completed} of {runs}");
        }
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        let is = |values: &[f64], middle: f64| (median(values.to_vec()) - middle).abs() < 1e-12;
        assert!(is(&[], 0.0) && is(&[7.0], 7.0));
        assert!(is(&[9.0, 2.0], 5.5));
        assert!(is(&[9.0, 1.0, 2.0], 2.0));
        assert!(is(&[8.0, 1.0, 100.0, 4.0], 6.0));
    }
}
