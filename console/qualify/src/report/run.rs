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
use crate::measure::{Given, Measures, measure};
use crate::number::real;
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
    /// The load that is being put on; `null` before, and when its run has ended.
    #[serde(default)]
    pub loading: Option<Loading>,
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

/// A loaded run that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loading {
    /// What carries the load.
    pub within: Within,
    /// Asked for, bit/s.
    pub bps: u64,
    /// To the robot.
    pub up: bool,
    /// To the surgeon.
    pub down: bool,
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
    let load = ended.load.clone().or_else(|| {
        let (roads, loading) = loaded.zip(run.loading)?;
        Some(load_broke_off(&mut about, roads, loading))
    });
    let with = |given: &Given| Given {
        distance_km: about.distance_km,
        common_clock_us: about.common_clock_us,
        ..given.clone()
    };
    let quic = measure(idle.session, &with(&ended.session));
    let twin = idle.twin.zip(ended.twin.as_ref());
    let twin = twin.map(|(samples, given)| measure(samples, &with(given)));
    let other_way = twin.as_ref().and_then(|twin| went_another_way(&quic, twin));
    let mut rows = judge(&run.requirements, &quic);
    let loaded = loaded.zip(load.as_ref()).map(|(roads, load)| {
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
    let beside = twin.as_ref().filter(|_| other_way.is_none());
    let quic_adds_ms = beside.map(|twin| adds(&quic.rtt, &twin.rtt)).unwrap_or_default();
    about.notes.extend(other_way);
    let profile = &run.requirements;
    Report {
        schema: SCHEMA.to_owned(),
        verdict: overall(&rows, about.cut_short),
        profile: Named { name: profile.name.clone(), title: profile.title.clone() },
        rows,
        noise: run.noise,
        noise_quic: run.noise_quic,
        quic_adds_ms,
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

/// Whether plain UDP went another way than the session, in words: through a relay or a forwarded
/// port only what was told of it goes, and the robot names its own port.
fn went_another_way(quic: &Measures, twin: &Measures) -> Option<String> {
    let sent = twin.own.sent;
    if sent > 0 && twin.rtt.count == 0 && quic.rtt.count > 0 {
        return Some(format!(
            "None of {sent} probes on plain UDP was answered, and those in the session were: \
             something on the way lets plain UDP not through, or it is a relay or a forwarded port \
             that knows nothing of it. {SAY_TWIN}"
        ));
    }
    let usual = |of: &Measures| of.rtt.quantile("p50").map(|quantile| quantile.ms);
    let is_shorter = |one: &Measures, other: &Measures| {
        let both = usual(one).zip(other.rtt.min_ms);
        both.filter(|(usual, least)| usual + APART_MS < *least)
    };
    let (what, (usual, least), other) = is_shorter(twin, quic)
        .map(|both| ("plain UDP", both, "in the session"))
        .or_else(|| is_shorter(quic, twin).map(|both| ("the session", both, "on plain UDP")))?;
    Some(format!(
        "Half of the round trips of {what} took {usual:.3} ms or less, and the shortest {other} \
         {least:.3} ms: they did not go the same way, so what QUIC adds is not told. {SAY_TWIN}"
    ))
}

/// What to do about that.
const SAY_TWIN: &str = "Behind a relay or a forwarded port say where plain UDP goes in: --twin \
                        HOST:PORT, on the same way as --robot.";
/// So much farther apart than a usual one of the quicker road and the least of the other, ms, they
/// went other ways. Chosen: far above what QUIC costs a packet (0.1 ms), far below what a relay is
/// put there for.
const APART_MS: f64 = 1.0;

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
    let given = |samples: &dyn Samples| as_written(about, samples);
    Ended { session: given(roads.session), twin: roads.twin.map(given), path: None, load: None }
}

/// Of a loaded run that never came to its end, the same; and nothing of what came of the load.
fn load_broke_off(about: &mut About, roads: Roads<'_>, loading: Loading) -> LoadedRun {
    about.cut_short = true;
    let (within, mbit) = (loading.within, real(loading.bps) / 1e6);
    let way = match (loading.up, loading.down) {
        (true, false) => "to the robot",
        (false, true) => "to the surgeon",
        (true, true) | (false, false) => "each way",
    };
    about.notes.push(format!(
        "The run under load broke off: delays and losses under it are of the samples that had been \
         written until then. {mbit:.1} Mbit/s {way} were to be put on; how much of that was, and \
         came, is missing."
    ));
    let given = |samples: &dyn Samples| as_written(about, samples);
    let (session, twin) = (given(roads.session), roads.twin.map(given));
    LoadedRun { within, up: None, down: None, session, twin }
}

fn as_written(about: &About, samples: &dyn Samples) -> Given {
    let period_us = 1_000_000_u64.checked_div(about.rate_hz).unwrap_or(1_000);
    let mut slots = 0;
    samples.visit(&mut |place, _| slots = place.saturating_add(1));
    Given { period_us, slots, ..Given::default() }
}
