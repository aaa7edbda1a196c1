//! `qualify trend`: all reports below a folder, and what changed where.
//!
//! Knows: where reports lie, whose seals hold, and what is printed. Does not know: what makes runs
//! alike or a change one (`longhand_qualify::trend`).

use super::super::{ANSWER_NO, CANNOT_TELL, Done, FAILED, Failed, failed, wrong};
use super::Speaker;
use super::again::{REPORTS, put_whole};
use super::check::{Side, plain};
use longhand_qualify::number::len;
use longhand_qualify::report::figure;
use longhand_qualify::trend::chance::middle;
use longhand_qualify::trend::course::Reading;
use longhand_qualify::trend::{
    Group, LeftOut, Measure, Reason, Run, Trend, alike, count_of, is_page, page, trend,
};
use longhand_qualify::verdict::Verdict;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Folders within folders that are looked into. Chosen: deeper than anybody files reports.
const DEEPEST: u32 = 12;
/// Signs of a line that shows a course. Chosen: what fits beside its figures.
const SIGNS: usize = 40;
/// From low to high.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `qualify trend`.
#[derive(Debug, clap::Args)]
pub(super) struct Course {
    /// Where reports are filed: every report.json, every other report, every page without its
    /// report.json beside it, in this folder and all below it.
    folder: PathBuf,
    /// A run's folder or report: which runs lie outside its intervals.
    #[arg(long, value_name = "RUN")]
    baseline: Option<PathBuf>,
    /// An identity's or authority's folder: what is not signed under its authority is left out.
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
    /// Write one page, with plots.
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Print one JSON object, and nothing else, on standard output.
    #[arg(long)]
    pub(super) json: bool,
}

impl Course {
    pub(super) fn run(&self) -> Done {
        if !self.folder.is_dir() {
            let what = format!("{} is no folder", self.folder.display());
            let advice = "name the folder in which runs are filed; for two reports there is \
                          `qualify compare A B`";
            return Err(failed(FAILED, what, advice));
        }
        if let Some(path) = &self.out {
            refuse_over(path)?;
        }
        let baseline = self.baseline.as_deref().map(|path| self.baseline(path)).transpose()?;
        let (mut runs, mut left_out) = (Vec::new(), Vec::new());
        for found in self.find(&mut left_out) {
            match self.read(&found) {
                Ok(run) => runs.push(run),
                Err(out) => left_out.push(out),
            }
        }
        if runs.is_empty() {
            let why: Vec<String> = left_out.iter().map(line_of).collect();
            let what = format!(
                "no report can be read below {}\n{}",
                self.folder.display(),
                why.join("\n")
            );
            let advice = "each `longhand-console qualify` run files one; name the folder above \
                          them \
                          (longhand-report)";
            let code = if any_altered(&left_out) { ANSWER_NO } else { FAILED };
            return Err(failed(code, what.trim_end(), advice));
        }
        let told = trend(runs, baseline.as_ref(), left_out);
        if let Some(path) = &self.out {
            write(path, &page(&told))?;
        }
        self.tell(&told, baseline.as_ref())?;
        if let Some(path) = &self.out {
            Speaker::new(self.json).line(&plain(&format!("wrote {}", path.display())));
        }
        let altered = any_altered(&told.left_out);
        Ok(match (told.worse || altered, told.enough) {
            (true, _) => ExitCode::from(ANSWER_NO),
            (false, false) => ExitCode::from(CANNOT_TELL),
            (false, true) => ExitCode::SUCCESS,
        })
    }

    fn baseline(&self, path: &Path) -> Result<Run, Failed> {
        let side = Side::of(path, self.authority.as_deref())?;
        let name = path.display().to_string();
        Run::of(name, side.signer(), &side.report)
            .map_err(|why| plain(&format!("{}: {why}", path.display())))
            .map_err(|why| failed(FAILED, why, "name another run"))
    }

    /// Every file that may be a report, by name.
    fn find(&self, left_out: &mut Vec<LeftOut>) -> Vec<PathBuf> {
        let (mut found, mut open) = (Vec::new(), vec![(self.folder.clone(), 0)]);
        // However it is called this time.
        let own = self.out.as_ref().and_then(|path| path.canonicalize().ok());
        let is_own = |path: &Path| own.is_some() && path.canonicalize().ok() == own;
        while let Some((folder, depth)) = open.pop() {
            let mut out = |why: String| left_out.push(self.out(&folder, why, Reason::Unread));
            let entries = match std::fs::read_dir(&folder) {
                Ok(_) if depth > DEEPEST => {
                    out(format!("more than {DEEPEST} folders deep: not looked into"));
                    continue;
                }
                Ok(entries) => entries.flatten().collect::<Vec<_>>(),
                Err(error) => {
                    out(format!("cannot be looked into: {error}"));
                    continue;
                }
            };
            // Links are not followed: they may lead back to where they stand.
            let is = |path: &Path, kind: &str| path.extension().is_some_and(|ext| ext == kind);
            let mut files: Vec<PathBuf> = Vec::new();
            for entry in entries {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push((entry.path(), depth + 1)),
                    Ok(kind) if kind.is_file() => files.push(entry.path()),
                    Ok(_) | Err(_) => {}
                }
            }
            files.sort();
            let is_object = |path: &Path| is(path, "json") && !path.ends_with("run.json");
            let is_page =
                |path: &Path| is(path, "html") && !files.contains(&path.with_extension("json"));
            let before = found.len();
            let all = files.iter().filter(|path| is_object(path) || is_page(path));
            found.extend(all.filter(|path| !is_own(path)).cloned());
            let has_run = files.iter().any(|path| path.ends_with("run.json"));
            if has_run && found.len() == before {
                out("a run without a report: `qualify report` makes it".to_owned());
            }
        }
        found.sort();
        found
    }

    fn read(&self, path: &Path) -> Result<Run, LeftOut> {
        // Of a run's folder the page, too.
        let folder = path.parent().filter(|_| path.ends_with(REPORTS[0]));
        let what = folder.unwrap_or(path);
        let side = Side::of(what, self.authority.as_deref()).map_err(|refused| {
            let said = refused.failed.report.to_string();
            let within = folder.map(|folder| format!("{}/", folder.display()));
            let of = [Some(format!("{}: ", path.display())), within];
            let why = of.iter().flatten().find_map(|name| said.strip_prefix(name));
            self.out(path, why.unwrap_or(&said).to_owned(), refused.reason)
        })?;
        let out = |why| self.out(path, why, Reason::Unread);
        Run::of(self.name(path), side.signer(), &side.report).map_err(out)
    }

    fn out(&self, path: &Path, why: String, reason: Reason) -> LeftOut {
        LeftOut { file: self.name(path), why, reason }
    }

    /// A file's name from the folder on; of a run's report the run's.
    fn name(&self, path: &Path) -> String {
        let within = path.strip_prefix(&self.folder).unwrap_or(path);
        let is_report = REPORTS.iter().any(|name| within.ends_with(name));
        let name = within.parent().filter(|_| is_report).unwrap_or(within).display().to_string();
        if name.is_empty() { path.display().to_string() } else { name }
    }

    fn tell(&self, told: &Trend, baseline: Option<&Run>) -> Result<(), Failed> {
        let text = if self.json {
            let mut object = serde_json::to_value(told).map_err(wrong)?;
            if let Some(members) = object.as_object_mut() {
                members.insert("authority_checked".to_owned(), self.authority.is_some().into());
            }
            format!("{object}\n")
        } else {
            self.words(told, baseline)
        };
        // A reader that has gone away (`| head`) is no error.
        let _gone = std::io::stdout().lock().write_all(text.as_bytes());
        Ok(())
    }

    fn words(&self, told: &Trend, baseline: Option<&Run>) -> String {
        let mut lines: Vec<String> = Vec::new();
        let altered = any_altered(&told.left_out);
        for group in &told.groups {
            lines.extend(table(group, baseline));
        }
        if self.authority.is_none() {
            lines.push("whose authority signed is not checked; say --authority DIR".to_owned());
        }
        lines.extend(told.left_out.iter().map(line_of));
        // The same as the exit code says.
        lines.push(match (told.worse, told.enough) {
            (true, _) => "something became worse".to_owned(),
            (false, true) => "nothing became worse".to_owned(),
            (false, false) => "nothing became worse that so few runs can tell".to_owned(),
        });
        if altered {
            lines.push("a report is not what was signed: see LEFT OUT".to_owned());
        }
        lines.iter().map(|line| plain(line) + "\n").collect()
    }
}

/// What is only unsigned, or another's, is left out and no more: it would be so for ever.
fn any_altered(left_out: &[LeftOut]) -> bool {
    left_out.iter().any(|out| out.reason == Reason::Altered)
}

fn line_of(out: &LeftOut) -> String {
    plain(&format!("LEFT OUT  {}: {}", out.file, out.why))
}

/// Only a page of an earlier look is written over: anything else may be somebody's signed report.
fn refuse_over(path: &Path) -> Result<(), Failed> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(bytes) if is_page(&String::from_utf8_lossy(&bytes)) => Ok(()),
        Ok(_) | Err(_) => {
            let what = format!("{} is there already, and no page of `trend`", path.display());
            Err(failed(FAILED, what, "name another file with --out"))
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failed> {
    put_whole(path, text.as_bytes()).map_err(|error| {
        let what = format!("cannot write {}: {error}", path.display());
        failed(FAILED, what, "see to the disk, or name a file that can be written")
    })
}

/// One group's runs and measures.
fn table(group: &Group, baseline: Option<&Run>) -> Vec<String> {
    let between = group
        .runs
        .first()
        .zip(group.runs.last())
        .map_or_else(String::new, |(a, b)| format!(", {} to {}", a.begun, b.begun));
    let runs = count_of(len(&group.runs), "run");
    let mut lines = vec![format!("{runs}{between}; {}", alike(group))];
    let count = |verdict| group.runs.iter().filter(|run| run.verdict == verdict).count();
    let verdicts = [Verdict::Pass, Verdict::Insufficient, Verdict::Fail]
        .map(|verdict| format!("{} {}", count(verdict), verdict.name()));
    let newest = group.runs.last().map_or("", |run| run.verdict.name());
    lines.push(format!("verdicts: {}; the newest {newest}", verdicts.join(", ")));
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for run in &group.runs {
        by.entry(run.signed_by.as_deref().unwrap_or("")).or_default().push(&run.name);
    }
    for (who, runs) in by {
        lines.push(match who {
            "" => format!("NOT SIGNED: {}", runs.join(", ")),
            who => format!("signed by {who}: {}", count_of(len(&runs), "run")),
        });
    }
    lines.push(match (&group.baseline, baseline) {
        (Some(run), _) => format!("baseline: {} of {}", run.name, run.begun),
        (None, Some(_)) => "baseline: not alike, so nothing is held against it".to_owned(),
        (None, None) => String::new(),
    });
    lines.retain(|line| !line.is_empty());
    lines.push(String::new());
    lines.push(format!("{:<30} {:>9} {:>9} {:>9}", "", "least", "median", "newest"));
    for measure in &group.measures {
        lines.extend(rows(group, measure));
    }
    lines.push(String::new());
    lines.extend(too_few(group));
    lines
}

/// What so few runs cannot tell yet, once for all measures of which it is the same.
fn too_few(group: &Group) -> Vec<String> {
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let few = group.measures.iter().filter(|measure| is_too_few(measure));
    for measure in few {
        by.entry(&measure.says).or_default().push(measure.gauge.name());
    }
    let lines = by.into_iter().map(|(says, measures)| match measures.len() {
        n if n == group.measures.len() => format!("TOO FEW RUNS  {says}"),
        _ => format!("TOO FEW RUNS  {}: {says}", measures.join(", ")),
    });
    let mut lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

fn is_too_few(measure: &Measure) -> bool {
    measure.course.reads_as == Reading::TooFew && !measure.worse
}

fn rows(group: &Group, measure: &Measure) -> Vec<String> {
    let course = &measure.course;
    let mark = if measure.worse { "  WORSE" } else { "" };
    let mut lines = vec![format!(
        "{:<30} {:>9} {:>9} {:>9}  {}{mark}",
        measure.gauge.name(),
        figure(course.min),
        figure(course.median),
        figure(course.last),
        signs(&course.points.iter().map(|point| point.value).collect::<Vec<_>>()),
    )];
    if !is_too_few(measure) && (course.reads_as != Reading::Steady || measure.worse) {
        lines.push(format!("{:6}{}", "", measure.says));
    }
    let outside = |worse: bool| -> Vec<&str> {
        let all = measure.outside.iter().filter(|outside| outside.worse == worse);
        all.filter_map(|outside| Some(group.runs.get(outside.run)?.name.as_str())).collect()
    };
    for (word, runs) in [("worse", outside(true)), ("better", outside(false))] {
        if !runs.is_empty() {
            lines.push(format!("{:6}{word} than the baseline: {}", "", runs.join(", ")));
        }
    }
    lines
}

/// A course as one line of signs, each the median of as many runs as it takes.
fn signs(values: &[f64]) -> String {
    let each = values.len().div_ceil(SIGNS).max(1);
    let heights: Vec<f64> =
        values.chunks(each).filter_map(|some| middle(&mut some.to_vec())).collect();
    let least = heights.iter().copied().fold(f64::INFINITY, f64::min);
    let span = heights.iter().copied().fold(0.0, f64::max) - least;
    let sign = |height: &f64| {
        let steps = if span > 0.0 { (height - least) / span * 7.0 } else { 0.0 };
        let place = usize::try_from(longhand_qualify::number::count(steps)).unwrap_or(0);
        HEIGHTS.get(place).copied().unwrap_or('█')
    };
    heights.iter().map(sign).collect()
}
