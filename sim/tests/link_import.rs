//! `longhand-sim link import` and `link export` on what other tools really wrote.
//!
//! Knows: the recordings beside this file: of irtt 0.9.0 and of iputils 20221126 over this relay's
//! `national-dedicated` and over loopback. Does not know: what a good link is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::path::PathBuf;
use std::process::{Command, Output};

use longhand_link::emulator::sample;
use longhand_link::{Direction, DropCause, LinkModel, Trace};
use longhand_protocol::units::Micros;

fn recording(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recordings")
        .join(name)
        .display()
        .to_string()
}

fn link(asked: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_longhand-sim");
    let Output { status, stdout, stderr } =
        Command::new(program).arg("link").args(asked).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn imported(format: &str, name: &str) -> Trace {
    let (code, out, err) = link(&["import", "--format", format, &recording(name)]);
    assert_eq!(code, Some(0), "{err}");
    let trace = Trace::parse(&out).unwrap();
    assert_eq!((trace.header().sha256_source.len(), &*trace.header().source), (64, name));
    trace
}

/// Two seconds at 50 ms with 8 % loss each way: irtt's own statistics are in the file.
#[test]
fn irtt_tells_each_round_trip_and_on_which_way_a_packet_was_lost() {
    let trace = imported("irtt", "irtt.json");
    let told: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(recording("irtt.json")).unwrap()).unwrap();
    let trips = told["round_trips"].as_array().unwrap();
    let lost = |way: &str| trips.iter().filter(|trip| trip["lost"] == way).count();
    assert!(lost("true_up") > 0 && lost("true_down") > 0, "the recording must show both");
    for (direction, way) in [(Direction::Up, "true_up"), (Direction::Down, "true_down")] {
        let places = trace.lane(direction);
        assert_eq!(places.len(), trips.len());
        assert_eq!(places.iter().filter(|place| place.lost).count(), lost(way), "{way}");
        for (place, trip) in places.iter().zip(trips) {
            let Some(rtt_ns) = trip["delay"]["rtt"].as_u64() else { continue };
            assert_eq!(place.owd, Micros::from_micros(rtt_ns / 1_000 / 2), "{trip}");
        }
    }
    // Replayed, what irtt lost up is lost up.
    let stats = sample(
        LinkModel::from(trace),
        1,
        Micros::from_millis(2_000),
        Micros::from_millis(50),
        64,
        |_| {},
    );
    assert!(stats.up.dropped(DropCause::Loss) > 0 && stats.up.dropped_total() < 20);
}

#[test]
fn ping_tells_round_trips_and_what_never_came() {
    let trace = imported("ping", "ping.txt");
    let places = trace.lane(Direction::Up);
    let text = std::fs::read_to_string(recording("ping.txt")).unwrap();
    let answers = text.lines().filter(|line| line.contains("time=")).count();
    let lost = places.iter().filter(|place| place.lost).count();
    assert_eq!(places.len() - lost, answers);
    assert_eq!(trace.lane(Direction::Down).len(), places.len());
    let sampling = trace.header().sampling_us;
    assert!((195_000..220_000).contains(&sampling), "{sampling}");
}

#[test]
fn mahimahi_goes_in_and_comes_out_as_it_was() {
    let (name, folder) = ("mahimahi.up", tempfile::tempdir().unwrap());
    let trace = folder.path().join("trace.csv");
    let trace = trace.display().to_string();
    let (code, _, err) = link(&["import", "--format", "mahimahi", &recording(name), "-o", &trace]);
    assert_eq!(code, Some(0), "{err}");
    // What was written where is said.
    assert!(err.contains(&format!("wrote {trace}: a link trace, ")), "{err}");
    let (code, out, err) = link(&["export", "--format", "mahimahi", &trace]);
    assert_eq!(code, Some(0), "{err}");
    assert!(!err.contains("wrote"), "{err}");
    let count = |text: &str, from: u64, to: u64| {
        let at = text.lines().map(|line| line.parse::<u64>().unwrap());
        at.filter(|at| (from..to).contains(at)).count()
    };
    let source = std::fs::read_to_string(recording(name)).unwrap();
    assert_eq!(out.lines().count(), source.lines().count());
    // Where in its 20 ms an opportunity lies is not kept.
    for window in 0..10 {
        let (from, to) = (window * 100 + 1, window * 100 + 101);
        let (was, is) = (count(&source, from, to), count(&out, from, to));
        assert!(was.abs_diff(is) <= 1, "{from} ms: {was} became {is}");
    }
}

#[test]
fn a_file_that_is_another_says_where_and_what_to_do() {
    let ping = recording("ping.txt");
    for (format, file, want) in [
        ("irtt", &ping, "line 1"),
        ("mahimahi", &ping, "line 1 must be one whole number"),
        ("leocc", &ping, "line 1 must be one delay"),
        ("ping", &recording("irtt.json"), "no answer"),
    ] {
        let (code, out, err) = link(&["import", "--format", format, file]);
        assert!(code == Some(1) && out.is_empty(), "{format}: {err}");
        let words = err.split_whitespace().filter(|word| *word != "│");
        let said = words.collect::<Vec<_>>().join(" ");
        assert!(said.contains(want) && said.contains("--format"), "{format}: {said}");
    }
    let shipped = format!("{}/traces/leocc-starlink.csv", env!("CARGO_MANIFEST_DIR"));
    let (code, _, err) = link(&["export", "--format", "mahimahi", &shipped]);
    assert!(code == Some(1) && err.contains("rate_bps") && err.contains("--rate"), "{err}");
    // A trace of delays goes out, too, where its rate is declared.
    let (code, out, err) = link(&["export", "--format", "mahimahi", &shipped, "--rate", "12"]);
    assert_eq!((code, out.lines().count()), (Some(0), 119_990), "{err}");
    assert!(err.contains("mm-delay 11 mm-loss uplink 0.000000"), "{err}");
    assert_eq!(link(&["import", "--format", "pcap", &ping]).0, Some(2));
}
