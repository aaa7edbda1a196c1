//! What a measurement says: a table for people, one JSON object for programs.
//!
//! Knows: columns, ratios, goals, and when a run says nothing. Does not know: how it was measured.

use std::fmt;

use serde_json::{Value, json};

use crate::harness::{Bound, Goal, Quantile, Unit, Watch};
use crate::machine::{self, Noise, float};

/// The name of the JSON object's layout.
pub const SCHEMA: &str = "longhand benches v1";

/// More of the time taken away than this, and the run says nothing. Chosen: a quiet hour of a
/// shared virtual machine may lose 1 to 2 %.
const LOST_SHARE_MAX: f64 = 0.05;
/// Rounds' medians farther apart than this, and the row says nothing. Chosen: a goal is missed or
/// met by more.
const SPREAD_MAX: f64 = 0.20;

/// One subject's figures, in the table's unit.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// How many pieces of work one sample held.
    pub batch: u64,
    /// Median.
    pub p50: f64,
    /// 9 in 10 are shorter.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1000.
    pub p999: f64,
    /// The longest of all rounds.
    pub max: f64,
    /// Samples of all rounds.
    pub samples: u64,
    /// Samples too long for the histogram.
    pub out_of_range: u64,
    /// How far the rounds' medians lie apart, over the median.
    pub spread: f64,
    /// What is to be reached.
    pub goals: &'static [Goal],
}

impl Row {
    fn figure(&self, of: Quantile) -> f64 {
        match of {
            Quantile::P50 => self.p50,
            Quantile::P90 => self.p90,
            Quantile::P99 => self.p99,
            Quantile::P999 => self.p999,
        }
    }
}

/// One comparison. Ratios are to the first row.
#[derive(Clone, Debug)]
pub struct Table {
    /// What is compared.
    pub title: &'static str,
    /// The unit of every figure.
    pub unit: Unit,
    /// Rounds per subject.
    pub rounds: u32,
    /// The machine.
    pub machine: String,
    /// What the gap detector saw between the rounds.
    pub noise: Noise,
    /// What the hypervisor says it took, share of all processors, 0 to 1.
    pub steal_share: f64,
    /// Rounds' medians farther apart than this, and the table says nothing.
    pub spread_max: f64,
    /// What a reader must know beside the figures.
    pub notes: Vec<String>,
    /// The subjects.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table of what `watch` watched over.
    pub fn new(
        title: &'static str,
        unit: Unit,
        rounds: u32,
        watch: &Watch,
        rows: Vec<Row>,
    ) -> Self {
        let (noise, steal_share) = watch.seen();
        let (machine, notes) = (machine::name(), Vec::new());
        let spread_max = SPREAD_MAX;
        Self { title, unit, rounds, machine, noise, steal_share, spread_max, notes, rows }
    }

    /// Why the run says nothing, if it does.
    pub fn invalid(&self) -> Option<String> {
        let lost = self.noise.lost_share();
        if lost > LOST_SHARE_MAX {
            return Some(format!("the machine took {:.1} % of the time", lost * 100.0));
        }
        let wide = self.rows.iter().find(|row| row.spread > self.spread_max)?;
        Some(format!("the rounds of `{}` lie {:.0} % apart", wide.name, wide.spread * 100.0))
    }

    /// Whether every goal is met.
    pub fn meets_goals(&self) -> bool {
        self.rows.iter().all(|row| row.goals.iter().all(|goal| self.meets(row, goal)))
    }

    fn meets(&self, row: &Row, goal: &Goal) -> bool {
        row.figure(goal.of) <= self.bound(goal)
    }

    /// The most that the goal allows, in the table's unit.
    fn bound(&self, goal: &Goal) -> f64 {
        match goal.at_most {
            Bound::Of(figure) => figure,
            Bound::TimesFirst(times) => {
                self.rows.first().map_or(0.0, |first| first.figure(goal.of)) * times
            }
        }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let [x50, x99, x999] = self.ratios(row);
            json!({
                "name": row.name, "p50": row.p50, "p90": row.p90, "p99": row.p99,
                "p999": row.p999, "max": row.max,
                "ratio_p50": x50, "ratio_p99": x99, "ratio_p999": x999,
                "samples": row.samples, "batch": row.batch,
                "out_of_range": row.out_of_range, "spread": row.spread,
                "goals": row.goals.iter().map(|goal| json!({
                    "of": quantile_name(goal.of), "at_most": self.bound(goal),
                    "source": goal.source, "met": self.meets(row, goal),
                })).collect::<Vec<_>>(),
            })
        });
        json!({
            "title": self.title, "unit": self.unit.name(), "rounds": self.rounds,
            "machine": self.machine, "notes": self.notes, "rows": rows.collect::<Vec<_>>(),
            "noise": {
                "clock_read_ns": self.noise.clock_ns, "gaps": self.noise.gaps,
                "gap_worst_us": float(self.noise.worst_ns) / 1e3,
                "lost_share": self.noise.lost_share(), "steal_share": self.steal_share,
            },
            "invalid": self.invalid(), "goals_met": self.meets_goals(),
        })
    }

    /// To the first row: p50, p99, p99.9.
    fn ratios(&self, row: &Row) -> [f64; 3] {
        [Quantile::P50, Quantile::P99, Quantile::P999].map(|of| {
            let base = self.rows.first().unwrap_or(row).figure(of);
            row.figure(of) / base.max(f64::MIN_POSITIVE)
        })
    }
}

/// Both tables and their verdicts as one JSON object.
pub fn to_json(tables: &[Table]) -> Value {
    json!({ "schema": SCHEMA, "tables": tables.iter().map(Table::to_json).collect::<Vec<_>>() })
}

const fn quantile_name(of: Quantile) -> &'static str {
    match of {
        Quantile::P50 => "p50",
        Quantile::P90 => "p90",
        Quantile::P99 => "p99",
        Quantile::P999 => "p99.9",
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_rows(f)?;
        self.write_goals(f)?;
        self.write_noise(f)?;
        match self.invalid() {
            Some(why) => writeln!(f, "  INVALID: {why}; run it again on a quieter machine"),
            None => Ok(()),
        }
    }
}

impl Table {
    fn write_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.name();
        write!(f, "{} ({unit}, medians of {} interleaved rounds", self.title, self.rounds)?;
        match self.rows.first().map_or(1, |row| row.batch) {
            0 | 1 => writeln!(f, ")")?,
            batch => writeln!(f, "; each sample is the mean of {batch})")?,
        }
        write!(f, "  {:<38}", "")?;
        for column in ["p50", "p90", "p99", "p99.9", "max"] {
            write!(f, "{:>10}", format!("{column} {unit}"))?;
        }
        write!(f, "{:>7}{:>7}{:>8}", "x p50", "x p99", "x p99.9")?;
        writeln!(f, "{:>9}{:>7}{:>9}", "samples", "beyond", "spread")?;
        for row in &self.rows {
            let [x50, x99, x999] = self.ratios(row);
            let digits = if row.p50 < 100.0 { 1 } else { 0 };
            write!(f, "  {:<38}", row.name)?;
            for figure in [row.p50, row.p90, row.p99, row.p999, row.max] {
                write!(f, "{figure:>10.digits$}")?;
            }
            write!(f, "{x50:>7.2}{x99:>7.2}{x999:>8.2}")?;
            write!(f, "{:>9}{:>7}", row.samples, row.out_of_range)?;
            writeln!(f, "{:>7.1} %", row.spread * 100.0)?;
        }
        Ok(())
    }

    fn write_goals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.name();
        let goals = self.rows.iter().flat_map(|row| row.goals.iter().map(move |g| (row, g)));
        for (row, goal) in goals {
            let word = if self.meets(row, goal) { "met" } else { "MISSED" };
            let (of, is, bound) = (quantile_name(goal.of), row.figure(goal.of), self.bound(goal));
            let digits = if bound < 100.0 { 1 } else { 0 };
            write!(f, "  goal {} {word}: {}: {of} {is:.digits$} {unit}, ", goal.source, row.name)?;
            write!(f, "at most {bound:.digits$} {unit}")?;
            match goal.at_most {
                Bound::Of(_) => writeln!(f)?,
                Bound::TimesFirst(times) => {
                    let is = is * times / bound.max(f64::MIN_POSITIVE);
                    writeln!(f, ": {is:.2}x, at most {times:.2}x")?;
                }
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }

    fn write_noise(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noise = &self.noise;
        let (spun_ms, worst_us) = (float(noise.spun_ns) / 1e6, float(noise.worst_ns) / 1e3);
        let (lost, steal) = (noise.lost_share() * 100.0, self.steal_share * 100.0);
        write!(f, "  noise floor: {} gaps in {spun_ms:.0} ms of spinning, ", noise.gaps)?;
        write!(f, "worst {worst_us:.0} us, {lost:.2} % of the time lost; steal {steal:.2} %; ")?;
        writeln!(f, "a clock read costs {} ns", noise.clock_ns)?;
        writeln!(f, "  machine: {}", self.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lost_ns: u64, spread: f64, p50: f64) -> Table {
        const GOALS: &[Goal] = &[
            Goal { of: Quantile::P50, at_most: Bound::Of(3_000.0), source: "test" },
            Goal { of: Quantile::P99, at_most: Bound::TimesFirst(3.0), source: "test" },
        ];
        let row = Row {
            name: "row",
            batch: 1,
            p50,
            p90: p50,
            p99: p50,
            p999: p50,
            max: p50,
            samples: 1,
            out_of_range: 0,
            spread,
            goals: GOALS,
        };
        Table {
            title: "title",
            unit: Unit::Nanos,
            rounds: 1,
            machine: String::new(),
            noise: Noise { spun_ns: 1_000, lost_ns, ..Noise::default() },
            steal_share: 0.0,
            spread_max: SPREAD_MAX,
            notes: Vec::new(),
            rows: vec![
                Row { name: "base", p50: 1_000.0, p99: 1_000.0, goals: &[], ..row.clone() },
                row,
            ],
        }
    }

    #[test]
    fn a_noisy_run_says_that_it_says_nothing() {
        assert!(table(0, 0.0, 1.0).invalid().is_none());
        assert!(table(60, 0.0, 1.0).invalid().is_some());
        assert!(table(0, 0.3, 1.0).invalid().is_some());
        assert!(table(0, 0.3, 1.0).to_string().contains("INVALID"));
    }

    #[test]
    fn a_goal_is_met_at_its_bound_and_missed_past_it() {
        assert!(table(0, 0.0, 3_000.0).meets_goals());
        assert!(!table(0, 0.0, 3_000.1).meets_goals());
        assert!(table(0, 0.0, 3_001.0).to_string().contains("MISSED"));
    }

    #[test]
    fn ratios_are_to_the_first_row() {
        let json = table(0, 0.0, 2_500.0).to_json();
        let ratio = json.pointer("/rows/1/ratio_p50").and_then(Value::as_f64).unwrap();
        assert!((ratio - 2.5).abs() < 1e-9);
    }
}
