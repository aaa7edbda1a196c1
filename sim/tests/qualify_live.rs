//! The engineer's question, asked by real processes: agent, relay, `longhand-console qualify`.
//!
//! Nothing here judges how fast anything was, or whether the link is good: only that what was
//! measured is the link's, that the robot never stirred, and that the report can be believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    missing_docs,
    reason = "a test: a panic is how it fails"
)]

#[allow(dead_code, reason = "shared with processes.rs, which uses all of it")]
#[path = "processes/child.rs"]
mod child;
#[allow(dead_code, reason = "shared with processes.rs, which uses all of it")]
#[path = "processes/scene.rs"]
mod scene;

use child::{Ended, Process};
use longhand_link::Trace;
use scene::{CONSOLE, SIM, Scene};
use serde_json::Value;

const ANY: &str = "127.0.0.1:0";

/// The round trip of `national-dedicated` without jitter, ms. Source: links.md section 6, 16 + 16.
const BASE_MS: f64 = 32.0;

fn qualify(scene: &Scene, name: &str, robot: &str, more: &[&str]) -> Ended {
    let (identity, report) = (scene.path(&format!("trust/{name}")), scene.path("report"));
    let asked = ["qualify", "--robot", robot, "--identity", &identity, "--report", &report];
    Process::run(CONSOLE, &[&asked[..], &["--json"], more].concat())
}

fn real(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer}"))
}

/// The page and the object of the only run.
fn written(scene: &Scene) -> [String; 2] {
    let folder = std::fs::read_dir(scene.path("report")).unwrap().next().unwrap().unwrap().path();
    ["report.html", "report.json"].map(|name| folder.join(name).display().to_string())
}

#[test]
fn an_engineer_measures_a_link_while_the_robot_stays_disabled() {
    let scene = Scene::new();
    scene.issue("trust", "engineer", "ann");
    let agent = scene.agent(&["--probe-twin", ANY]);
    let (relay, through) = scene.relay(ANY, &agent.addr, "national-dedicated");
    let trace = scene.path("measured.csv");
    let more = ["--for", "5s", "--noise", "1s", "--trace", &trace, "--require", "xu-300"];
    let done = qualify(&scene, "ann", &through, &more);
    assert!(matches!(done.code, Some(0 | 1 | 3)), "{done:?}");
    let report = done.json();
    // What came through is the emulated link's: not faster than it can be, and most of it came.
    assert!(real(&report, "/quic/rtt/min_ms") >= BASE_MS, "{}", report["quic"]["rtt"]);
    assert!(real(&report, "/quic/rtt/count") > 1_000.0, "{}", report["quic"]["own"]);
    // The twin goes past the relay, straight to the robot.
    assert!(real(&report, "/twin/rtt/count") > 1_000.0);
    assert!(real(&report, "/twin/rtt/min_ms") < BASE_MS);
    let own = &report["quic"]["own"];
    let parts = ["sent", "not_sent", "no_session"].map(|part| own[part].as_u64().unwrap());
    assert_eq!((parts.iter().sum::<u64>(), own["slots"].as_u64()), (5_000, Some(5_000)), "{own}");
    assert!(report["quic"]["replay"]["played"].as_array().unwrap().len() > 3);
    // The trace is one that the simulator reads.
    let text = std::fs::read_to_string(&trace).unwrap();
    assert!(Trace::parse(&text).unwrap().length().as_secs_f64() > 3.0);
    // A surgeon may measure, too.
    let again = qualify(&scene, "dr-lee", &agent.addr, &["--for", "1s", "--noise", "0s"]);
    assert!(matches!(again.code, Some(0 | 1 | 3)), "{again:?}");
    assert_eq!(relay.stop().code.map(|code| code == 0 || code == 3), Some(true));
    let last = agent.moments().len() - 1;
    agent.must_stay("Disabled", 0, last);
    agent.must_stand(0, last);
    let robot = agent.stop();
    assert_eq!(robot["network"]["sessions"], 0, "{robot}");
    assert_eq!(robot["network"]["accepted"], 0, "{robot}");
}

/// Round trips of a trace, us, in rising order: each answer's row follows its probe's.
fn round_trips(text: &str) -> Vec<u64> {
    let cells = |row: &str| -> Option<(bool, u64)> {
        let mut cells = row.split(',').skip(1);
        let (way, owd, lost) = (cells.next()?, cells.next()?.parse().ok()?, cells.next()?);
        (lost == "0").then_some((way == "u", owd))
    };
    let rows: Vec<Option<(bool, u64)>> = text.lines().skip(2).map(cells).collect();
    let pairs = rows.windows(2).filter_map(|pair| match (pair[0], pair[1]) {
        (Some((true, up)), Some((false, down))) => Some(up + down),
        _ => None,
    });
    let mut all: Vec<u64> = pairs.collect();
    all.sort_unstable();
    all
}

/// The greatest difference between the shares below any delay (Kolmogorov and Smirnov's).
fn distance(a: &[u64], b: &[u64]) -> f64 {
    let share = |list: &[u64], at: u64| {
        let below = u32::try_from(list.partition_point(|x| *x <= at)).unwrap();
        f64::from(below) / f64::from(u32::try_from(list.len()).unwrap())
    };
    a.iter().map(|at| (share(a, *at) - share(b, *at)).abs()).fold(0.0, f64::max)
}

/// Goal V16: measured, exported, replayed by the relay, measured again. The trace is looped at its
/// end, so that the second run meets all of it whenever it begins.
#[test]
fn a_measured_link_replayed_is_measured_the_same() {
    let scene = Scene::new();
    scene.issue("trust", "engineer", "ann");
    let agent = scene.agent(&[]);
    let (first, played) = (scene.path("first.csv"), scene.path("played.csv"));
    let second = scene.path("second.csv");
    let measure = |robot: &str, trace: &str, lasts: &str| {
        let done =
            qualify(&scene, "ann", robot, &["--for", lasts, "--noise", "0s", "--trace", trace]);
        assert!(matches!(done.code, Some(0 | 1 | 3)), "{done:?}");
        std::fs::read_to_string(trace).unwrap()
    };
    let (relay, through) = scene.relay(ANY, &agent.addr, "beijing-sanya-5g-public");
    let measured = measure(&through, &first, "15s");
    let judged_first = relay.stop().code;
    let rows = measured.lines().filter(|row| {
        row.split(',').next().and_then(|at| at.parse().ok()).is_none_or(|at: u64| at < SEAM_US)
    });
    let text = rows.collect::<Vec<_>>().join("\n") + "\n";
    let seam = format!("{{\"loop_us\":{SEAM_US},");
    std::fs::write(&played, text.replacen('{', &seam, 1)).unwrap();
    let asked = ["link", "run", "--listen", ANY, "--to", &agent.addr, "--trace", &played];
    let mut relay = Process::start(SIM, &asked);
    let through = relay.word_after("relay ");
    let again = measure(&through, &second, "15s");
    let judged_second = relay.stop().code;
    // Programs and sockets take their time in each run; the replayed link brings that of the first.
    let (relay, through) = scene.relay(ANY, &agent.addr, "ideal");
    let machine = round_trips(&measure(&through, &scene.path("ideal.csv"), "3s"));
    assert!(relay.stop().code.is_some());
    let own = machine[machine.len() / 2].saturating_sub(IDEAL_US);
    let was = round_trips(&measured);
    let is: Vec<u64> = round_trips(&again).iter().map(|rtt| rtt.saturating_sub(own)).collect();
    let apart = distance(&was, &is);
    let (n, m) = (was.len(), is.len());
    eprintln!("KS {apart:.4} of {n} and {m} round trips; {own} us are the machine's own");
    assert!(n > 10_000 && m > 10_000, "{n} {m}");
    // 3: the machine stalled, and the delays are its own.
    if (judged_first, judged_second) == (Some(0), Some(0)) {
        assert!(apart <= 0.02, "KS {apart}");
    }
}

/// The round trip of `ideal`, us. Source: links.md section 6, 0.05 + 0.05 ms.
const IDEAL_US: u64 = 100;
/// The length of the replayed run, us.
const SEAM_US: u64 = 15_000_000;

#[test]
fn a_report_can_be_verified_and_an_altered_one_cannot() {
    let scene = Scene::new();
    scene.issue("trust", "engineer", "ann");
    let agent = scene.agent(&[]);
    let done = qualify(&scene, "ann", &agent.addr, &["--for", "2s", "--noise", "0s"]);
    assert!(matches!(done.code, Some(0 | 1 | 3)), "{done:?}");
    let trust = scene.path("trust");
    let verify = |file: &str| {
        Process::run(CONSOLE, &["qualify", "verify", file, "--authority", &trust, "--json"])
    };
    for file in written(&scene) {
        let held = verify(&file);
        assert_eq!(held.code, Some(0), "{held:?}");
        let held = held.json();
        assert_eq!(
            (&held["signer"], &held["samples"]),
            (&"engineer \"ann\"".into(), &"match".into())
        );
        let text = std::fs::read_to_string(&file).unwrap();
        // The page shows it, and the object holds it: either alone must be noticed.
        let altered = text.replacen("sessions\":1", "sessions\":2", 1);
        assert_ne!(altered, text);
        std::fs::write(&file, altered).unwrap();
        assert_eq!(verify(&file).code, Some(1));
        if file.ends_with("html") {
            let altered = text.replacen("<h1>Is this link", "<h1>This is a link", 1);
            std::fs::write(&file, altered).unwrap();
            let told = verify(&file);
            assert!(told.code == Some(1) && told.err.contains("altered"), "{told:?}");
        }
        std::fs::write(&file, text).unwrap();
    }
    let [_, json] = written(&scene);
    let same = Process::run(CONSOLE, &["qualify", "compare", &json, &json]);
    assert_eq!(same.code, Some(0), "{same:?}");
    scene.init("elsewhere");
    let other = scene.path("elsewhere");
    let stranger = Process::run(CONSOLE, &["qualify", "verify", &json, "--authority", &other]);
    assert!(stranger.code == Some(1) && stranger.err.contains("another authority"), "{stranger:?}");
}

#[test]
fn nobody_measures_while_a_surgeon_holds_the_robot() {
    let scene = Scene::new();
    scene.issue("trust", "engineer", "ann");
    scene.issue("trust", "observer", "eve");
    let agent = scene.agent(&["--hand-over"]);
    let console = scene.console(&agent.addr);
    let moving = agent.until_in_motion(0, 1.0);
    for (name, words) in [("ann", "another console holds"), ("eve", "role may not command")] {
        let refused = qualify(&scene, name, &agent.addr, &["--for", "1s", "--noise", "0s"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let said = refused.words();
        assert!(said.contains(words), "{said}");
    }
    // The surgeon did not notice.
    agent.must_stay("Follow", moving, moving);
    let surgeon = console.stop();
    assert_eq!(surgeon.code, Some(0), "{surgeon:?}");
    assert_eq!(agent.stop()["network"]["sessions"], 1);
}
