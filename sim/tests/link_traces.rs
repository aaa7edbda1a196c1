//! Every trace that ships can be read, written back, and replayed; the foreign files are untouched.
//!
//! Knows: `sim/traces`. Does not know: what a good link is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::path::PathBuf;

use longhand_link::emulator::sample;
use longhand_link::trace::histogram::Histogram;
use longhand_link::{Direction, DropCause, LinkModel, Trace};
use longhand_protocol::units::Micros;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("traces")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

fn traces() -> Vec<(String, Trace)> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".csv") && !name.starts_with("det6g_"))
        .collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), Trace::parse(&read(&name)).unwrap())).collect()
}

#[test]
fn every_shipped_trace_reads_and_writes_back_to_the_same_bytes() {
    let all = traces();
    assert_eq!(all.len(), 5);
    for (name, trace) in all {
        assert_eq!(trace.to_csv(), read(&name), "{name}");
        let header = trace.header();
        assert!(!header.source.is_empty() && !header.licence.is_empty(), "{name}");
        assert_eq!(header.sha256_source.len(), 64, "{name}");
        assert!(header.loop_us.is_some(), "{name}");
    }
}

#[test]
fn every_shipped_trace_replays_both_ways_past_its_seam() {
    for (name, trace) in traces() {
        let twice = trace.length().saturating_mul(2);
        let millisecond = Micros::from_millis(1);
        let stats = sample(LinkModel::from(trace), 1, twice, millisecond, 256, |_| {});
        for direction in Direction::BOTH {
            let lane = stats.lane(direction);
            // The least kind of these loses under 1 % and none has a gap of more than a second.
            assert!(lane.delivered > lane.offered / 100 * 98, "{name}: {lane:?}");
            assert_eq!(lane.dropped(DropCause::TraceEnded), 0, "{name}");
        }
    }
}

/// PROVENANCE.md gives the RTT of the source; half of its p50 is what each direction must show.
#[test]
fn replayed_delays_have_the_median_of_the_source() {
    let wanted_ms = [
        ("cicv5g-urban-stationary.csv", 15.0 / 2.0),
        ("cicv5g-urban-v20.csv", 16.0 / 2.0),
        ("cicv5g-arterial-handover.csv", 16.0 / 2.0),
        ("leocc-starlink.csv", 11.0),
    ];
    for (name, wanted) in wanted_ms {
        let trace = Trace::parse(&read(name)).unwrap();
        let length = trace.length();
        let mut delays = Vec::new();
        sample(LinkModel::from(trace), 1, length, Micros::from_millis(1), 256, |packet| {
            if packet.direction == Direction::Up {
                delays.extend(packet.delay());
            }
        });
        delays.sort();
        let got = delays[delays.len() / 2].as_millis_f64();
        assert!((got - wanted).abs() <= 1.0, "{name}: p50 {got} ms, the source has {wanted} ms");
    }
}

/// The rural file: what was held 10 s is held 10 s, and thousands arrive in one flush.
#[test]
fn the_rural_outage_is_held_and_flushed() {
    let trace = Trace::parse(&read("cicv5g-rural-outage.csv")).unwrap();
    let length = trace.length();
    let (mut longest, mut arrivals) = (Micros::ZERO, Vec::new());
    sample(LinkModel::from(trace), 1, length, Micros::from_millis(1), 256, |packet| {
        longest = longest.max(packet.delay().unwrap_or_default());
        if packet.direction == Direction::Up {
            arrivals.extend(packet.delay().map(|delay| packet.sent.after(delay)));
        }
    });
    // The source's longest round trip is 10 241 ms; half of the last quiet one (62 ms) is the
    // answer.
    assert!(longest.abs_diff(Micros::from_millis(10_210)) < Micros::from_millis(2), "{longest}");
    let flush = arrivals.chunk_by(|a, b| b.since(*a) < Micros::from_micros(200)).map(<[_]>::len);
    assert!(flush.max() > Some(1_000));
}

/// CC BY-ND: unmodified. The sums are of the files handed to us; see README.md.
#[test]
fn the_histograms_are_the_originals_and_can_be_read() {
    let files = [
        (
            "det6g_ND_5G-midband-Downlink_PD-Wireless-5G-2a.csv",
            "af5abd823805b34bcc84e1e603cd5b6fc2c2e5a67c4120c1e19d1b9d587b4520",
            5.30,
        ),
        (
            "det6g_ND_5G-midband-Uplink_PD-Wireless-5G-2a.csv",
            "5b312a28a67718ecb4e7bd3bf62950d5c0d9d987be29938319156eaa458feee7",
            6.41,
        ),
    ];
    for (name, sum, median_ms) in files {
        let text = read(name);
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let got: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(got, sum, "{name} was changed; restore it");
        let histogram = Histogram::parse(&text).unwrap();
        assert!((histogram.quantile_ms(0.5) - median_ms).abs() < 0.05, "{name}");
    }
}

/// The page of `city-5g-sa` says how far the link is from what was measured: measured here again.
#[test]
fn the_distance_that_the_page_tells_is_the_one_that_is_measured() {
    let profile = longhand_link::Profile::by_name("city-5g-sa").unwrap();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let (span, every) = (Micros::from_secs(1_200), Micros::from_millis(1));
    // Set 2a is of 100 bytes: links.md section 4.
    sample(LinkModel::from(profile), 1, span, every, 100, |packet| {
        let delays = if packet.direction == Direction::Up { &mut up } else { &mut down };
        delays.extend(packet.delay().map(|delay| delay.as_millis_f64() - 1.3));
    });
    let told = profile.basis.iter().find(|basis| basis.text.contains("KS:")).unwrap().text;
    for (delays, name, way) in [(&mut up, "Uplink", "up"), (&mut down, "Downlink", "down")] {
        delays.sort_by(f64::total_cmp);
        let name = format!("det6g_ND_5G-midband-{name}_PD-Wireless-5G-2a.csv");
        let distance = Histogram::parse(&read(&name)).unwrap().distance(delays);
        assert!(told.contains(&format!("{distance:.2} {way}")), "{way}: {distance}, told: {told}");
    }
}
