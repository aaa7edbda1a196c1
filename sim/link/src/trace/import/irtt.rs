//! irtt's JSON made into a trace.
//!
//! Knows: the objects of `round_trips`, format 1. Does not know: its statistics.
//!
//! One-way delays of irtt are raw differences of two clocks; nobody knows how those are set. The
//! round trip is exact and is halved; the way of a loss is what irtt says of it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use longhand_protocol::units::Micros;
use serde::Deserialize;

use super::{ImportError, Provenance, Samples};
use crate::trace::Trace;

#[derive(Deserialize)]
struct Run {
    config: Config,
    round_trips: Vec<RoundTrip>,
}

#[derive(Deserialize)]
struct Config {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    /// Nanoseconds.
    interval: u64,
}

#[derive(Deserialize)]
struct RoundTrip {
    seqno: u64,
    lost: String,
    timestamps: Stamps,
    delay: Delay,
}

#[derive(Deserialize)]
struct Stamps {
    client: Client,
}

#[derive(Deserialize)]
struct Client {
    send: Clocks,
}

/// Nanoseconds; the monotonic clock counts from the beginning of the run.
#[derive(Deserialize)]
struct Clocks {
    monotonic: Option<u64>,
    wall: Option<u64>,
}

/// Nanoseconds.
#[derive(Deserialize)]
struct Delay {
    rtt: Option<u64>,
}

/// `irtt client -o FILE`: its round trips, halved.
///
/// Errors: [`ImportError`] with the line, or with the number of the round trip.
pub fn irtt(text: &str, from: Provenance) -> Result<Trace, ImportError> {
    let run: Run = serde_json::from_str(text)
        .map_err(|why| ImportError::Json { line: why.line(), why: why.to_string() })?;
    let us = |ns: u64| Micros::from_micros(ns / 1_000);
    let mut samples = Samples { every: us(run.config.params.interval), ..Samples::default() };
    let mut first = None;
    for trip in run.round_trips {
        let fail = |what| ImportError::RoundTrip { seqno: trip.seqno, what };
        let Clocks { monotonic, wall } = trip.timestamps.client.send;
        let Some(sent) = monotonic.or(wall) else {
            return Err(fail("no time of sending; run irtt without `--clock` and `--tstamp`"));
        };
        let at = us(sent.saturating_sub(*first.get_or_insert(sent)));
        match (trip.lost.as_str(), trip.delay.rtt) {
            ("false", Some(rtt)) => samples.answered(at, us(rtt)),
            ("false", None) => return Err(fail("not lost, but without `delay.rtt`")),
            ("true_up", _) => samples.lost(at, true, false),
            ("true_down", _) => samples.lost(at, false, true),
            ("true", _) => samples.lost(at, true, true),
            (_, _) => return Err(fail("`lost` must be false, true, true_up or true_down")),
        }
    }
    let notes = "RTT halved; the way of a loss is irtt's, which knows the last 64 packets; a loss \
                 without a way is one of both";
    samples.into_trace("udp", notes, from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn of(lost: &str, rest: &str) -> String {
        let stamps = format!("{{\"client\":{{\"send\":{{{rest}}}}}}}");
        let trip =
            format!("{{\"seqno\":7,\"lost\":\"{lost}\",\"timestamps\":{stamps},\"delay\":{{}}}}");
        format!("{{\"config\":{{\"params\":{{\"interval\":1000000}}}},\"round_trips\":[\n{trip}]}}")
    }

    #[test]
    fn every_mistake_says_where() {
        let said = |text: &str| irtt(text, Provenance::default()).unwrap_err().to_string();
        assert!(said("{\n\"config\": 3\n").starts_with("line 2"), "{}", said("{\n\"config\": 3\n"));
        assert!(said(&of("false", "\"wall\":1")).starts_with("round trip 7: not lost"));
        assert!(said(&of("false", "")).contains("no time of sending"));
        assert!(said(&of("perhaps", "\"wall\":1")).contains("true_up or true_down"));
        let empty = "{\"config\":{\"params\":{\"interval\":1}},\"round_trips\":[]}";
        assert!(said(empty).contains("no answer"));
    }
}
