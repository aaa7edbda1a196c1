//! A run as it lies beside its samples, and the report that both make together.
//!
//! Knows: what a report needs beyond the samples themselves. Does not know: files; the console
//! reads and writes them.
//!
//! One road leads from a run to its report, whether the run has just ended or its report is made
//! again much later: what a crash in the last step takes away can be had again from what lies
//! there.

use serde::{Deserialize, Serialize};

use super::{About, Floor, Named, RARE_PER_HOUR, RawFile, Report, SCHEMA, adds};
use crate::measure::load::{Effect, Loaded, Traffic, Within};
use crate::measure::path::PathFound;
use crate::measure::{Given, measure};
use crate::slot::Samples;
use crate::verdict::{Profile, judge, judge_load, overall};

/// The object's name. Another where a member comes, goes, or means something else.
pub const RUN_SCHEMA: &str = "longhand qualify run v1";

/// Everything about a run but its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`RUN_SCHEMA`].
    pub schema: String,
    /// What was measured, when and by whom.
    pub about: About,
    /// What is required.
    pub requirements: Profile,
    /// The same schedule on plain UDP over loopback, just before.
    pub noise: Option<Floor>,
    /// The same inside a session.
    pub noise_quic: Option<Floor>,
    /// What came of it; `null` until the run has ended: what lies there then broke off.
    pub ended: Option<Ended>,
}

/// What is known of a run at its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Of the session's samples.
    pub session: Given,
    /// Of the twin's, where there is one.
    pub twin: Option<Given>,
    /// What the path does.
    pub path: Option<PathFound>,
    /// The loaded run behind it.
    pub load: Option<LoadedRun>,
}

/// The same of a loaded run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadedRun {
    /// What carried the load.
    pub within: Within,
    /// Load to the robot.
    pub up: Option<Traffic>,
    /// Load to the surgeon.
    pub down: Option<Traffic>,
    /// Of the session's samples.
    pub session: Given,
    /// Of the twin's.
    pub twin: Option<Given>,
}

/// Where a run's samples are to be had.
#[derive(Clone, Copy)]
pub struct Roads<'a> {
    /// The session's.
    pub session: &'a dyn Samples,
    /// The twin's.
    pub twin: Option<&'a dyn Samples>,
}

/// The report of a run: `idle` are its samples, `loaded` those of the loaded run, `files` what the
/// report is to name with hash and size.
pub fn report(run: &Run, idle: Roads<'_>, loaded: Option<Roads<'_>>, files: &[RawFile]) -> Report {
    let mut about = run.about.clone();
    let ended = run.ended.clone().unwrap_or_else(|| broke_off(&mut about, idle));
    let with = |given: &Given| Given {
        distance_km: about.distance_km,
        common_clock_us: about.common_clock_us,
        ..given.clone()
    };
    let quic = measure(idle.session, &with(&ended.session));
    let twin = idle.twin.zip(ended.twin.as_ref());
    let twin = twin.map(|(samples, given)| measure(samples, &with(given)));
    let mut rows = judge(&run.requirements, &quic);
    let loaded = loaded.zip(ended.load.as_ref()).map(|(roads, load)| {
        let in_session = measure(roads.session, &with(&load.session));
        let beside = roads.twin.zip(load.twin.as_ref());
        let beside = beside.map(|(samples, given)| measure(samples, &with(given)));
        Loaded {
            seconds: in_session.seconds,
            within: load.within,
            up: load.up,
            down: load.down,
            quic: Effect::of(&quic, &in_session),
            twin: twin.as_ref().zip(beside.as_ref()).map(|(idle, load)| Effect::of(idle, load)),
        }
    });
    if let Some(loaded) = &loaded {
        judge_load(&mut rows, loaded);
    }
    let profile = &run.requirements;
    Report {
        schema: SCHEMA.to_owned(),
        verdict: overall(&rows, about.cut_short),
        profile: Named { name: profile.name.clone(), title: profile.title.clone() },
        rows,
        noise: run.noise,
        noise_quic: run.noise_quic,
        quic_adds_ms: twin.as_ref().map(|twin| adds(&quic.rtt, &twin.rtt)).unwrap_or_default(),
        playout_for_rare_stops_ms: quic
            .replay
            .as_ref()
            .and_then(|replay| replay.enough_ms(RARE_PER_HOUR)),
        path: ended.path,
        load: loaded,
        raw: files.to_vec(),
        about,
        quic,
        twin,
    }
}

/// Of a run that never came to its end only the schedule is known, and how much of it was written.
fn broke_off(about: &mut About, roads: Roads<'_>) -> Ended {
    about.cut_short = true;
    // The offset between the clocks went with the run.
    let clock = if about.common_clock_us.take().is_some() {
        " The common clock that was declared cannot be used: what it is held against is lost."
    } else {
        ""
    };
    about.notes.push(format!(
        "The run broke off: this is of the samples that had been written until then. What was not \
         known yet is missing: the path, the load, and how the machine itself did.{clock}"
    ));
    let period_us = 1_000_000_u64.checked_div(about.rate_hz).unwrap_or(1_000);
    let given = |samples: &dyn Samples| {
        let mut slots = 0;
        samples.visit(&mut |place, _| slots = place.saturating_add(1));
        Given { period_us, slots, ..Given::default() }
    };
    Ended { session: given(roads.session), twin: roads.twin.map(given), path: None, load: None }
}
