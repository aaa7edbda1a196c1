//! Many runs: to find out what we got wrong before a patient would.
//!
//! Knows: how runs are drawn, shared out and counted. Does not know: what happens in one.

use crate::check::{Transitions, Violation};
use crate::fault::{CATALOGUE, Lives};
use crate::measure::float;
use crate::scenario::{Engagements, Outcome, Scenario, ScenarioError, Transport};
use indicatif::{ProgressBar, ProgressStyle};
use longhand_quic::clock::thread_us;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A run of a campaign lasts so long. Chosen: a session begins, works, fails and comes back in it.
pub const RUN_SECONDS: u64 = 30;

/// What a campaign found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What carried the bytes.
    pub transport: Transport,
    /// Runs that came to an end.
    pub runs: u64,
    /// Virtual milliseconds.
    pub ticks: u64,
    /// Microseconds that cores worked on the runs, summed over them: not those that something else
    /// had.
    pub busy_us: u64,
    /// How often each kind of fault was in a run and did something.
    pub faults: BTreeMap<String, u64>,
    /// Pairs of kinds that did something in the same run.
    pub pairs: BTreeSet<(String, String)>,
    /// Which stage followed which.
    pub transitions: Transitions,
    /// Which engagement followed which.
    pub engagements: Engagements,
    /// What must not have been: the run's seed, and what was seen.
    pub violations: Vec<(u64, Violation)>,
    /// The lowest-numbered run that failed: its number, counted from 0, and what was seen. The
    /// same for any number of threads.
    pub first: Option<(u64, Violation)>,
    /// Runs by hand and by link.
    pub by: BTreeMap<String, u64>,
}

impl Report {
    /// Virtual hours.
    pub fn hours(&self) -> f64 {
        float(self.ticks) / 3.6e6
    }

    /// Virtual seconds in a second of one core.
    pub fn times_real(&self) -> f64 {
        float(self.ticks) * 1e3 / float(self.busy_us.max(1))
    }

    /// With no violation in so many hours, the rate is below this with 95 % confidence: three
    /// divided by the hours (the rule of three). `None` where there was one, or no time.
    pub fn bound_per_hour(&self) -> Option<f64> {
        (self.violations.is_empty() && self.ticks > 0).then(|| 3.0 / self.hours())
    }

    /// Virtual seconds to the first violation, had the runs come one after the other.
    pub fn seconds_to_first(&self) -> Option<f64> {
        let (number, violation) = self.first.as_ref()?;
        // Every run before it held, so each lasted its whole time.
        Some(float(number.saturating_mul(RUN_SECONDS)) + violation.at.as_secs_f64())
    }

    /// Kinds of the catalogue that such a campaign can have.
    pub fn possible(&self) -> impl Iterator<Item = &'static str> + use<> {
        let quic = self.transport == Transport::Quic;
        let can = move |lives| match lives {
            Lives::World | Lives::TwoPaths => true,
            Lives::Quic => quic,
            Lives::Elsewhere(_) => false,
        };
        CATALOGUE.iter().filter(move |kind| can(kind.lives)).map(|kind| kind.id)
    }

    fn add(&mut self, number: u64, seed: u64, scenario: &Scenario, outcome: &Outcome) {
        self.runs = self.runs.saturating_add(1);
        self.ticks = self.ticks.saturating_add(outcome.ticks);
        let acted = scenario.faults.iter().zip(&outcome.fired).filter(|(_, fired)| **fired > 0);
        let kinds: BTreeSet<&String> = acted.map(|(fault, _)| &fault.kind).collect();
        for kind in &kinds {
            let count = self.faults.entry((*kind).clone()).or_default();
            *count = count.saturating_add(1);
            let later = kinds.iter().filter(|other| *other > kind);
            self.pairs.extend(later.map(|other| ((*kind).clone(), (*other).clone())));
        }
        self.transitions.add(&outcome.transitions);
        self.engagements.add(&outcome.engagements);
        for name in [&scenario.hand, &scenario.link] {
            let count = self.by.entry(name.clone()).or_default();
            *count = count.saturating_add(1);
        }
        if let Some((violation, _)) = &outcome.violation {
            self.violations.push((seed, violation.clone()));
            if self.first.as_ref().is_none_or(|(first, _)| number < *first) {
                self.first = Some((number, violation.clone()));
            }
        }
    }
}

/// The seed of the `n`th run of a campaign: what `replay` takes.
pub fn run_seed(campaign: u64, n: u64) -> u64 {
    // A full-period mixer (SplitMix64), cut to what fits a file name and every JSON reader.
    let mut z = campaign.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(n);
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 16
}

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of the campaign; [`run_seed`] gives each run's.
    pub seed: u64,
    /// How many.
    pub runs: u64,
    /// What carries the bytes.
    pub transport: Transport,
    /// Threads.
    pub jobs: usize,
    /// No run after the first that fails, but every one before it.
    pub until_violation: bool,
}

/// Runs a plan, until `stop`; with a bar on the terminal where it is to be shown.
///
/// Errors: [`ScenarioError`]; none that a drawn scenario can have.
pub fn run(plan: &Plan, stop: &AtomicBool, show: bool) -> Result<Report, ScenarioError> {
    let Plan { seed, runs, transport, jobs, until_violation } = *plan;
    let next = AtomicU64::new(0);
    let failing = AtomicU64::new(u64::MAX);
    let report = Mutex::new(Report { transport, ..Report::default() });
    let failed = Mutex::new(None);
    let bar = if show { ProgressBar::new(runs) } else { ProgressBar::hidden() };
    let style = "{bar:30} {pos}/{len} runs of 30 virtual seconds, {eta} left {msg}";
    bar.set_style(
        ProgressStyle::with_template(style)
            .unwrap_or_else(|_constant| ProgressStyle::default_bar()),
    );
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            // Numbers are handed out in order: whatever comes before a run that failed is taken.
            let last = if until_violation { failing.load(Ordering::Relaxed) } else { u64::MAX };
            if n >= runs || n > last || stop.load(Ordering::Relaxed) {
                return;
            }
            let seed = run_seed(seed, n);
            let scenario = Scenario::drawn(seed, RUN_SECONDS, transport);
            let before = thread_us();
            let outcome = scenario.run(stop, None);
            let busy = thread_us().saturating_sub(before);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(outcome) if outcome.stopped => return,
                Ok(outcome) => {
                    report.busy_us = report.busy_us.saturating_add(busy);
                    report.add(n, seed, &scenario, &outcome);
                    if outcome.violation.is_some() {
                        failing.fetch_min(n, Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return;
                }
            }
            bar.set_message(match report.violations.len() {
                0 => String::new(),
                many => format!("({many} violations)"),
            });
            drop(report);
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Threads end in any order; what is printed does not.
    report.violations.sort_by_key(|(seed, _)| *seed);
    Ok(report)
}

/// Finds a shorter scenario with fewer faults in which the same invariant is violated.
///
/// Errors: [`ScenarioError`]. `Ok(None)` where the scenario violates nothing.
pub fn shrink(
    scenario: &Scenario,
    stop: &AtomicBool,
    mut tried: impl FnMut(u64),
) -> Result<Option<(Scenario, Violation)>, ScenarioError> {
    let mut tries = 0;
    let mut fails = |candidate: &Scenario| -> Result<Option<Violation>, ScenarioError> {
        tries += 1;
        tried(tries);
        Ok(candidate.run(stop, None)?.violation.map(|(violation, _)| violation))
    };
    let Some(mut violation) = fails(scenario)? else { return Ok(None) };
    let mut best = scenario.clone();
    let invariant = violation.invariant;
    let mut progress = true;
    while progress && !stop.load(Ordering::Relaxed) {
        progress = false;
        for candidate in simpler(&best, &violation) {
            if let Some(found) = fails(&candidate)?.filter(|found| found.invariant == invariant) {
                best = candidate;
                violation = found;
                progress = true;
                break;
            }
        }
    }
    Ok(Some((best, violation)))
}

/// Everything that is a little simpler than this, the largest steps first.
fn simpler(scenario: &Scenario, violation: &Violation) -> Vec<Scenario> {
    let mut all = Vec::new();
    let seconds = violation.at.as_micros().div_ceil(1_000_000).max(1);
    if seconds < scenario.seconds {
        all.push(Scenario { seconds, ..scenario.clone() });
    }
    let many = scenario.faults.len();
    for keep in [0, many / 2] {
        if keep < many {
            let halves = [scenario.faults.get(..keep), scenario.faults.get(keep..)];
            for faults in halves.into_iter().flatten().filter(|half| half.len() < many) {
                all.push(Scenario { faults: faults.to_vec(), ..scenario.clone() });
            }
        }
    }
    for index in 0..many {
        let mut fewer = scenario.clone();
        fewer.faults.remove(index);
        all.push(fewer);
    }
    if scenario.emergency_stop_ms.is_some() {
        all.push(Scenario { emergency_stop_ms: None, ..scenario.clone() });
    }
    if scenario.paths > 1 {
        all.push(Scenario { paths: 1, ..scenario.clone() });
    }
    if scenario.transport == Transport::Quic {
        all.push(Scenario { transport: Transport::Plain, ..scenario.clone() });
    }
    for index in 0..many {
        let mut shorter = scenario.clone();
        if let Some(fault) = shorter.faults.get_mut(index).filter(|fault| fault.for_ms > 1) {
            fault.for_ms /= 2;
            all.push(shorter);
        }
    }
    // A fault may need what was taken away.
    all.retain(|candidate| candidate.check().is_ok());
    all
}
