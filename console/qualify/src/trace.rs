//! A measured link as a link trace, which the simulator plays again.
//!
//! Knows: the format of links.md section 7. Does not know: who plays it.
//!
//! A trace needs one-way delays, and without a common clock nobody has them: each way gets its own
//! relative delay above half of the shortest round trip. Their sum, which is what was measured, is
//! exact; how far each may be off stands in the header as `clock_uncertainty_us`.

use serde_json::json;

use crate::measure::clocks::Clocks;
use crate::measure::{Given, Measures};
use crate::number::count;
use crate::slot::{Fate, Samples};

/// Where a trace is from, for its header.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// What was sent: `quic` or `udp`.
    pub probe: &'a str,
    /// Which link, for people.
    pub source: &'a str,
    /// SHA-256 of the samples, hexadecimal; empty: they were not kept.
    pub sha256: &'a str,
    /// What measured, and how its figures are to be taken.
    pub notes: &'a str,
}

/// Writes a run as a trace, line by line.
pub fn write(
    samples: &dyn Samples,
    given: &Given,
    measures: &Measures,
    from: &Origin<'_>,
    each: &mut dyn FnMut(&str),
) {
    let header = json!({
        "format": "longhand-link-trace-1",
        "kind": "owd",
        "time_base": "relative_us",
        "dirs": "ud",
        "sampling_us": given.period_us,
        "loss_semantics": "explicit",
        "interpolation": "step",
        "clock_uncertainty_us": count(measures.up.absolute.width_ms.unwrap_or(0.0) * 500.0),
        "probe": from.probe,
        "source": from.source,
        "licence": "as its owner says",
        "sha256_source": from.sha256,
        "notes": from.notes,
    });
    each(&format!("#{header}\nt_us,dir,owd_us,lost,dup,rate_bps,queue_bytes,route_id,flags\n"));
    let (clocks, mut hint): (&Clocks, usize) = (&measures.clocks, 0);
    // The way down is read by when the answer left, which rises: a backlog leaves all at once.
    let (mut left, mut late) = (0_u64, 0_u64);
    let mut is_gap = false;
    samples.visit(&mut |place, slot| {
        // What came where the robot stalled is no more the link's than what was not sent.
        if slot.robot_stalled {
            return;
        }
        let at = place.saturating_mul(given.period_us);
        let is_dark = matches!(slot.fate, Fate::NoSession | Fate::LostSomewhere);
        if is_dark != is_gap && slot.fate != Fate::NotSent {
            is_gap = is_dark;
            let flag = if is_gap { "gap" } else { "none" };
            left = (at + late).max(left + 1);
            // Of the slot itself follows a row with the same time: this one stands just before it.
            let before = at.saturating_sub(1);
            each(&format!("{before},u,,,,,,,{flag}\n{left},d,,,,,,,{flag}\n"));
        }
        match slot.fate {
            Fate::Back { up_us, .. } => {
                let Some(stretch) = clocks.at(place, &mut hint) else { return };
                let drift = stretch.drift_us(place, given.period_us);
                let half = (stretch.up_min_us + stretch.down_min_us).max(0) / 2;
                let up = (i64::from(up_us) - drift - stretch.up_min_us).max(0) + half;
                late = u64::try_from(up).unwrap_or(0);
                left = (at + late).max(left + 1);
                // It comes to the robot when its answer's row begins, or another's row would be
                // its fate: a microsecond up is taken off the way down.
                let up = left - at;
                let down = u64::try_from(slot.rtt_us().unwrap_or(0)).unwrap_or(0);
                each(&format!("{at},u,{up},0\n{left},d,{},0\n", down.saturating_sub(up)));
            }
            Fate::LostUp => each(&format!("{at},u,,1\n")),
            Fate::LostDown => {
                left = (at + late).max(left + 1);
                each(&format!("{at},u,,0\n{left},d,,1\n"));
            }
            // What this machine left out: as the slot before. What nobody knows lies in a gap,
            // which no replay bridges.
            Fate::LostSomewhere | Fate::NotSent | Fate::NoSession => {}
        }
    });
}
