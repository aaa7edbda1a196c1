//! Mahimahi's packet-delivery traces, read and written.
//!
//! Knows: that each line is a millisecond at which 1500 bytes may leave, and that the file begins
//! again at its end. Does not know: delay or loss; Mahimahi keeps those in other tools.
//!
//! Source: `mm-link(1)`: "each line represents a packet delivery opportunity: the time at which an
//! MTU-sized packet (1500 bytes) will be delivered".

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use longhand_protocol::units::Micros;

use super::{ImportError, Provenance, header};
use crate::number::float;
use crate::profile::Direction;
use crate::trace::{Kind, Place, Trace};

/// What leaves at one opportunity, bits.
const MTU_BITS: u64 = 12_000;

/// Rates are read over this. Chosen: opportunities are whole milliseconds, so that one more or less
/// in 20 ms is 5 % of a link of 12 Mbit/s.
const WINDOW_MS: u64 = 20;

/// A Mahimahi file: a rate for each 20 ms, the same both ways; a window without any holds.
///
/// Errors: [`ImportError`] with the line.
pub fn mahimahi(text: &str, from: Provenance) -> Result<Trace, ImportError> {
    let want = "one whole number of milliseconds, not below the line before";
    let mut chances: Vec<u64> = Vec::new();
    let mut last_ms = 0_u64;
    for (n, row) in text.lines().enumerate() {
        let at: Option<u64> = row.trim().parse().ok();
        let Some(at) = at.filter(|at| *at >= last_ms && *at <= LONGEST_MS) else {
            return Err(ImportError::Line { line: n.saturating_add(1), want });
        };
        last_ms = at;
        // An opportunity at the very end of a window belongs to it.
        let window = usize::try_from(at.saturating_sub(1) / WINDOW_MS).unwrap_or(usize::MAX);
        if chances.len() <= window {
            chances.resize(window.saturating_add(1), 0);
        }
        if let Some(count) = chances.get_mut(window) {
            *count = count.saturating_add(1);
        }
    }
    if last_ms == 0 {
        return Err(ImportError::Empty);
    }
    let mut places: Vec<Place> = Vec::new();
    let mut start_ms = 0_u64;
    for count in chances {
        let lasts = last_ms.saturating_sub(start_ms).min(WINDOW_MS);
        let rate = count.saturating_mul(MTU_BITS).saturating_mul(1_000).checked_div(lasts);
        let known = places.last().and_then(|place| place.rate_bps);
        let place = Place {
            at: Micros::from_millis(start_ms),
            rate_bps: rate.filter(|bps| *bps > 0).or(known).or(Some(MTU_BITS)),
            outage_hold: count == 0,
            ..Place::default()
        };
        if places.last().is_none_or(|before| !before.says_the_same(&place)) {
            places.push(place);
        }
        start_ms = start_ms.saturating_add(WINDOW_MS);
    }
    let mut header = header(Micros::from_millis(WINDOW_MS), Micros::from_millis(last_ms), from);
    header.kind = Kind::Capacity;
    header.probe = String::from("udp");
    header.notes = String::from(
        "opportunities counted over 20 ms, used both ways; a window without any holds",
    );
    Trace::new(header, places.clone(), places).map_err(ImportError::Trace)
}

/// Chosen: a day, so that a wrong unit is told and not allocated.
const LONGEST_MS: u64 = 86_400_000;

/// A trace cannot become a Mahimahi file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRate {
    /// Where there is no rate.
    pub at: Micros,
}

impl core::fmt::Display for NoRate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "at {:.3} s the trace has no `rate_bps`; a Mahimahi file holds nothing but the rate",
            self.at.as_secs_f64()
        )
    }
}

impl core::error::Error for NoRate {}

/// One direction of a trace as a Mahimahi file: a line for each 1500 bytes that the rate carries.
/// Outages and gaps have none. Where the trace sets no limit, as one of delays alone, `otherwise`
/// (bit/s) is the rate. Delay, loss and routes are left out: see [`beside_mahimahi`].
///
/// Errors: [`NoRate`] where there is neither.
pub fn to_mahimahi(
    trace: &Trace,
    direction: Direction,
    otherwise: Option<u64>,
) -> Result<String, NoRate> {
    let lane = trace.lane(direction);
    let mut out = String::new();
    let mut bits_ms = 0_u64;
    let mut index = 0_usize;
    let end_ms = trace.length().as_micros() / 1_000;
    for ms in 0..end_ms {
        let now = Micros::from_millis(ms);
        while lane.get(index.saturating_add(1)).is_some_and(|next| next.at <= now) {
            index = index.saturating_add(1);
        }
        let Some(place) = lane.get(index).filter(|place| place.at <= now) else { continue };
        if place.gap || place.outage_hold || place.outage_drop {
            continue;
        }
        let rate = place.rate_bps.filter(|bps| *bps > 0).or(otherwise);
        let rate = rate.ok_or(NoRate { at: now })?;
        // Bits of a millisecond, times 1000.
        bits_ms = bits_ms.saturating_add(rate);
        while bits_ms >= MTU_BITS.saturating_mul(1_000) {
            bits_ms = bits_ms.saturating_sub(MTU_BITS.saturating_mul(1_000));
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}", ms.saturating_add(1));
        }
    }
    if out.is_empty() { Err(NoRate { at: Micros::ZERO }) } else { Ok(out) }
}

/// What Mahimahi keeps in tools of their own, of one direction: the delay in whole milliseconds
/// that half of the time is not exceeded (`mm-delay`), and the share of the time in which packets
/// are lost (`mm-loss`). Outages and gaps are in neither.
pub fn beside_mahimahi(trace: &Trace, direction: Direction) -> (u64, f64) {
    let lane = trace.lane(direction);
    let ends = lane.iter().skip(1).map(|next| next.at).chain([trace.length()]);
    let mut delays: Vec<(Micros, u64)> = Vec::new();
    let (mut all, mut lost) = (0_u64, 0_u64);
    for (place, end) in lane.iter().zip(ends) {
        if place.gap || place.outage_hold || place.outage_drop {
            continue;
        }
        let lasts = end.saturating_sub(place.at).as_micros();
        all = all.saturating_add(lasts);
        if place.lost {
            lost = lost.saturating_add(lasts);
        } else {
            delays.push((place.owd, lasts));
        }
    }
    delays.sort_unstable();
    let (mut seen, half) = (0_u64, all.saturating_sub(lost) / 2);
    let median = delays.iter().find(|(_, lasts)| {
        seen = seen.saturating_add(*lasts);
        seen >= half
    });
    let ms = median.map_or(0, |(owd, _)| owd.as_micros().saturating_add(500) / 1_000);
    (ms, float(lost) / float(all).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn opportunities_become_rates_and_come_back() {
        // 24 Mbit/s for 20 ms, nothing for 40 ms, then 12 Mbit/s for 20 ms.
        let mut text = String::new();
        for ms in 1..=20 {
            let _ = write!(text, "{ms}\n{ms}\n");
        }
        for ms in 61..=80 {
            let _ = writeln!(text, "{ms}");
        }
        let trace = mahimahi(&text, Provenance::default()).unwrap();
        for direction in Direction::BOTH {
            let places = trace.lane(direction).iter();
            let rows: Vec<(u64, Option<u64>, bool)> =
                places.map(|p| (p.at.as_micros(), p.rate_bps, p.outage_hold)).collect();
            let rate = Some(24_000_000);
            let last = (60_000, Some(12_000_000), false);
            assert_eq!(rows, [(0, rate, false), (20_000, rate, true), last]);
            assert_eq!(to_mahimahi(&trace, direction, None).unwrap(), text);
        }
        assert_eq!(trace.header().loop_us, Some(80_000));
    }

    #[test]
    fn nonsense_names_its_line_and_a_trace_without_rate_its_time() {
        let said = |text| mahimahi(text, Provenance::default()).unwrap_err().to_string();
        assert!(said("1\n2\nx\n").starts_with("line 3"));
        assert!(said("5\n4\n").starts_with("line 2"));
        assert!(said("").contains("no"));
        let row = "{\"format\":\"longhand-link-trace-1\",\"kind\":\"owd\",\"time_base\":\
            \"relative_us\",\"dirs\":\"ud\",\"sampling_us\":1000,\"loss_semantics\":\"none\",\
            \"interpolation\":\"step\",\"probe\":\"\",\"source\":\"\",\"licence\":\"\"}";
        let trace = Trace::parse(&alloc::format!("#{row}\n0,b,5\n1000,b,7\n")).unwrap();
        let refused = to_mahimahi(&trace, Direction::Up, None).unwrap_err();
        assert_eq!(refused, NoRate { at: Micros::ZERO });
        assert!(refused.to_string().contains("rate_bps"));
    }

    /// A trace of delays alone, as `qualify --trace` writes it: a declared rate, none in the
    /// outage.
    #[test]
    fn a_trace_of_delays_has_a_declared_rate_and_its_delay_and_loss_are_told_apart() {
        let row = "{\"format\":\"longhand-link-trace-1\",\"kind\":\"owd\",\"time_base\":\
            \"relative_us\",\"dirs\":\"ud\",\"sampling_us\":1000,\"loss_semantics\":\"explicit\",\
            \"interpolation\":\"step\",\"probe\":\"\",\"source\":\"\",\"licence\":\"\",\
            \"loop_us\":100000}";
        // 40 ms of 30 ms, 10 ms of loss, 20 ms of 55 ms, and 30 ms of outage.
        let rows = "0,b,30000\n40000,b,30000,1\n50000,b,55000,0\n70000,b,,,,,,,outage_drop\n";
        let trace = Trace::parse(&alloc::format!("#{row}\n{rows}")).unwrap();
        // 12 Mbit/s: one opportunity a millisecond, none behind 70.
        let text = to_mahimahi(&trace, Direction::Down, Some(12_000_000)).unwrap();
        let expected: String = (1..=70).map(|ms| alloc::format!("{ms}\n")).collect();
        assert_eq!(text, expected);
        let (ms, loss) = beside_mahimahi(&trace, Direction::Down);
        assert_eq!(ms, 30);
        assert!((loss - 10.0 / 70.0).abs() < 1e-9, "{loss}");
    }
}
