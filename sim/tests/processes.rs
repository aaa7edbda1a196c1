//! The real programs as processes on loopback, driven as people drive them, and killed as life
//! kills them. Shows what the robot does; how many milliseconds it takes is shown in virtual time
//! (`virtual_world.rs`), for a shared machine stalls.
//!
//! Every wait is for something seen: a line that the agent writes of the robot, a word that a
//! program says, its end. Spans are the robot's own time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    missing_docs,
    reason = "a test: a panic is how it fails"
)]

#[path = "processes/child.rs"]
mod child;
#[path = "processes/client.rs"]
mod client;
#[path = "processes/scene.rs"]
mod scene;
#[path = "processes/stranger.rs"]
mod stranger;

use child::{Process, until};
use client::Client;
use longhand_protocol::message::{Command, ProfileHash, RobotId, SessionKey};
use longhand_protocol::units::Epoch;
use longhand_protocol::wire::{self, COMMAND_LEN};
use longhand_record::file::{Message, read};
use longhand_record::schema::Kind;
use rustix::process::Signal;
use scene::{SIM, Scene};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read as _;

const ANY: &str = "127.0.0.1:0";

/// The file of that name among those that a report lists.
fn report_file(report: &Value, name: &str) -> String {
    let files = report["files"].as_array().unwrap();
    let found = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(name));
    found.unwrap_or_else(|| panic!("{name} in {report}")).to_owned()
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {value}"))
}

#[test]
fn the_whole_chain_follows_a_script_and_its_three_reports_agree() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let (relay, through) = scene.relay(ANY, &agent.addr, "ideal");
    let console = scene.console(&through);
    let moving = agent.until_in_motion(0, 3.0);

    let surgeon = console.stop();
    assert_eq!(surgeon.code, Some(0), "{surgeon:?}");
    let surgeon = surgeon.json();
    // A console that says goodbye is a console that is gone: held, and no lease to wait for.
    agent.until_stage(moving, "Latched");
    let link = relay.stop();
    // 3 says that the machine stalled too often for the relay's figures, which nobody uses here.
    assert!(matches!(link.code, Some(0 | 3)), "{link:?}");
    let link = link.json();
    let last = agent.moments().last().unwrap().stage.clone();
    let robot = agent.stop();

    assert_eq!(number(&surgeon, "/sessions"), 1);
    assert_eq!(number(&robot, "/network/sessions"), 1);
    let accepted = number(&robot, "/network/accepted");
    assert!(accepted > 0, "{robot}");
    // What the console heard of it is a little older; what it sent, a little more.
    assert!(number(&surgeon, "/commands/accepted") <= accepted, "{surgeon} {robot}");
    assert!(accepted <= number(&surgeon, "/commands_sent"), "{surgeon} {robot}");
    assert!(accepted <= number(&link, "/up/delivered"), "{link} {robot}");
    assert_eq!(robot["network"]["rejected"], serde_json::json!({}), "{robot}");
    assert!(number(&robot, "/servo/ticks") > 0);
    assert_eq!(robot["final_stage"], last.as_str());
    assert!(
        number(&surgeon, "/stages/Follow/entered") > 0 && number(&surgeon, "/round_trip/count") > 0
    );
    let files = surgeon["files"].as_array().unwrap();
    assert!(files.iter().all(|file| std::path::Path::new(file.as_str().unwrap()).exists()));
}

/// A person's name at the console, and no patient's: safety.md A37.
#[test]
fn the_record_of_the_whole_chain_is_whole_replays_bit_for_bit_and_names_nobody() {
    const CANARY: &str = "ZZTESTPATIENT-424242";
    let scene = Scene::new();
    scene.issue("trust", "surgeon", CANARY);
    let folder = scene.path("black-box");
    let agent = scene.agent(&["--hand-over", "--record", &folder]);
    let (relay, through) = scene.relay(ANY, &agent.addr, "city-5g-sa");
    let console = scene.console_of(CANARY, &through);
    let moving = agent.until_in_motion(0, 3.0);
    relay.signal(Signal::STOP);
    let latched = agent.until_stage(moving, "Latched");
    relay.signal(Signal::CONT);
    agent.until_stage(latched, "Follow");
    let surgeon = console.stop();
    assert_eq!(surgeon.code, Some(0), "{surgeon:?}");
    let surgeon = surgeon.json();
    let report = agent.stop();
    assert_eq!(number(&report, "/record/lost_ticks"), 0, "{report}");

    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let (file, trust) = (files[0].display().to_string(), scene.path("trust"));
    let verdict = Process::run(scene::AGENT, &["record", "verify", "--trust", &trust, &file]);
    assert_eq!(verdict.code, Some(0), "{verdict:?}");
    let info = Process::run(scene::AGENT, &["record", "info", "--json", &file]).json();
    assert!(
        number(&info, "/commands") > 1_000 && number(&info, "/ticks_in/Follow") > 500,
        "{info}"
    );
    assert_eq!(number(&info, "/ticks"), number(&report, "/servo/ticks"));

    // What the console kept of it agrees; of a copy that somebody cut and closed well it does not.
    let kept = report_file(&surgeon, "record-witness.csv");
    let more = ["record", "verify", "--trust", &trust, "--witness", &kept];
    let agrees = Process::run(scene::AGENT, &[&more[..], &[&file]].concat());
    assert_eq!(agrees.code, Some(0), "{agrees:?}");
    let (half, closed) = (scene.path("half.mcap"), scene.path("closed.mcap"));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&half, &bytes[..bytes.len() / 3]).unwrap();
    let mended = Process::run(scene::AGENT, &["record", "recover", &half, "--out", &closed]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    let less = Process::run(scene::AGENT, &[&more[..], &["--json", &closed]].concat()).json();
    assert_eq!((&less["verdict"], &less["first_bad"]), (&"bad".into(), &less["proven"]), "{less}");

    let replayed = Process::run(SIM, &["replay", "--trust", &trust, &file]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let (ticks, commands) = (number(&info, "/ticks"), number(&info, "/commands"));
    let words = format!("{ticks} ticks with {commands} commands came out as they were recorded\n");
    assert_eq!(replayed.out, words);

    let table = Process::run(scene::AGENT, &["record", "export", "--csv", &file]);
    let raw = std::fs::read(&file).unwrap();
    for text in [raw.as_slice(), table.out.as_bytes(), info.to_string().as_bytes()] {
        let found = text.windows(6).any(|window| window == b"ZZTEST");
        assert!(!found, "a name stands in the record");
    }
}

/// Two records of one session, by two keys: what the robot received, the console sent.
#[test]
fn every_command_in_the_robots_record_stands_in_the_consoles_byte_for_byte() {
    let scene = Scene::new();
    let robots = scene.path("black-box");
    let agent = scene.agent(&["--hand-over", "--record", &robots]);
    let console = scene.console(&agent.addr);
    agent.until_in_motion(0, 3.0);
    let surgeon = console.stop();
    assert_eq!(surgeon.code, Some(0), "{surgeon:?}");
    let surgeon = surgeon.json();
    agent.stop();
    assert_eq!(number(&surgeon, "/record/lost_ticks"), 0, "{surgeon}");
    let consoles = only_file(&scene.path("report/record"));
    let trust = scene.path("trust");
    let verify = ["record", "verify", "--trust", &trust, &consoles];
    let verdict = Process::run(scene::CONSOLE, &verify);
    assert_eq!(verdict.code, Some(0), "{verdict:?}");
    // Neither end's command takes the other's record for its own.
    assert_eq!(Process::run(scene::AGENT, &verify).code, Some(1));

    let sent = commands::<longhand_console::record::schema::Topic>(&consoles);
    assert_eq!(u64::try_from(sent.len()).unwrap(), number(&surgeon, "/commands_sent"));
    let received = commands::<longhand_robot_agent::record::schema::Topic>(&only_file(&robots));
    assert!(received.len() > 1_000, "{}", received.len());
    let unknown = received.iter().filter(|command| !sent.contains(*command)).count();
    assert_eq!(unknown, 0, "the robot received what the console did not send");
}

fn only_file(folder: &str) -> String {
    let found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].display().to_string()
}

/// The datagrams in a record: the last field of a command, whichever end's.
fn commands<K: Kind>(file: &str) -> BTreeSet<[u8; COMMAND_LEN]> {
    let mut found = BTreeSet::new();
    let end = read(std::fs::File::open(file).unwrap(), |message: Message<K>| {
        if message.topic == K::COMMAND {
            found.extend(message.data.last_chunk().copied());
        }
        Ok::<(), std::io::Error>(())
    });
    end.unwrap();
    found
}

#[test]
fn a_killed_console_leaves_the_robot_held_until_bedside_and_pedal_give_it_back() {
    let scene = Scene::new();
    let agent = scene.agent(&[]);
    scene.says("enable");
    let first = scene.console(&agent.addr);
    scene.says("hand-over");
    let moving = agent.until_in_motion(0, 3.0);
    let epoch = agent.epoch();

    first.kill();
    let latched = agent.until_stage(moving, "Latched");
    let bedside = agent.until_stage(latched, "Bedside");
    let moments = agent.moments();
    assert!(moments[latched].age_us.unwrap() >= 200_000, "{:?}", moments[latched]);
    assert!(moments[bedside].age_us.unwrap() >= 3_000_000, "{:?}", moments[bedside]);
    assert_eq!(moments[bedside].reason, "LeaseExpired");
    agent.must_stand(latched, bedside);

    let second = scene.console(&agent.addr);
    let heard = agent.until(bedside, "a new console", scene::Moment::has_fresh_commands);
    assert!(agent.epoch() > epoch, "{} after {epoch}", agent.epoch());
    let still = agent.until_later(heard, 1_500);
    agent.must_stay("Bedside", bedside, still);
    agent.must_stand(latched, still);

    scene.says("hand-over");
    let again = agent.until_stage(still, "Latched");
    let follows = agent.until_stage(again, "Follow");
    assert_eq!(agent.stages(bedside)[..2], ["Bedside", "Latched"]);
    // The way in is Latched, then Hold; nothing moves before Follow.
    assert_eq!(agent.moments()[follows - 1].stage, "Hold");
    agent.must_stand(latched, follows - 1);
    agent.until_in_motion(follows, 3.0);
    assert_eq!(second.stop().code, Some(0));
    assert!(number(&agent.stop(), "/network/sessions") >= 2);
}

#[test]
fn a_killed_relay_is_a_lost_link_and_comes_back_by_the_rule() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let (relay, through) = scene.relay(ANY, &agent.addr, "ideal");
    let console = scene.console(&through);
    let moving = agent.until_in_motion(0, 3.0);

    // Within the lease: the same session goes on.
    let epoch = agent.epoch();
    relay.kill();
    let latched = agent.until_stage(moving, "Latched");
    let (relay, _) = scene.relay(&through, &agent.addr, "ideal");
    let follows = agent.until_stage(latched, "Follow");
    assert_eq!(agent.moments()[follows - 1].stage, "Hold", "{:?}", agent.stages(latched));
    agent.must_stand(latched, follows - 1);
    assert_eq!(agent.epoch(), epoch, "the lease had not ended: {:?}", agent.stages(latched));

    // After the lease: a new session, and the bedside's word.
    let moving = agent.until_in_motion(follows, 3.0);
    relay.kill();
    let latched = agent.until_stage(moving, "Latched");
    let bedside = agent.until_stage(latched, "Bedside");
    let (_relay, _) = scene.relay(&through, &agent.addr, "ideal");
    let heard = agent.until(bedside, "a new session", scene::Moment::has_fresh_commands);
    assert!(agent.epoch() > epoch);
    let still = agent.until_later(heard, 1_000);
    agent.must_stay("Bedside", bedside, still);
    scene.says("hand-over");
    let again = agent.until_stage(still, "Latched");
    let follows = agent.until_stage(again, "Follow");
    agent.must_stand(latched, follows - 1);
    assert_eq!(console.stop().code, Some(0));
    agent.stop();
}

#[test]
fn a_black_hole_latches_and_the_operators_release_and_press_ends_it() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let (relay, through) = scene.relay(ANY, &agent.addr, "ideal");
    let console = scene.console(&through);
    let moving = agent.until_in_motion(0, 3.0);
    relay.signal(Signal::STOP);
    let latched = agent.until_stage(moving, "Latched");
    // What waited in the relay's sockets now arrives late and in a burst.
    relay.signal(Signal::CONT);
    let follows = agent.until_stage(latched, "Follow");
    let between = &agent.moments()[latched..follows];
    assert!(between.iter().all(|m| m.stage == "Latched" || m.stage == "Hold"), "{between:?}");
    assert_eq!(agent.moments()[follows - 1].stage, "Hold");
    agent.must_stand(latched, follows - 1);
    assert_eq!(console.stop().code, Some(0));
    let robot = agent.stop();
    assert_eq!(number(&robot, "/network/sessions"), 1, "{robot}");
}

#[test]
fn a_pedal_held_through_a_black_hole_does_not_reengage() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let (relay, through) = scene.relay(ANY, &agent.addr, "ideal");
    let client = Client::start_with(&through, &scene.identity("dr-lee"), true, 0);
    let heard = agent.until(0, "commands", scene::Moment::has_fresh_commands);
    // Pressed before the robot was there to be held: that is no press.
    let still = agent.until_later(heard, 1_500);
    agent.must_stay("Latched", heard, still);
    client.engage();
    let moving = agent.until_in_motion(still, 2.0);

    relay.signal(Signal::STOP);
    let latched = agent.until_stage(moving, "Latched");
    relay.signal(Signal::CONT);
    let good = agent.until(latched, "a good link", scene::Moment::has_fresh_commands);
    let still = agent.until_later(good, 2_000);
    agent.must_stay("Latched", latched, still);
    agent.must_stand(latched, still);

    client.engage();
    agent.until_in_motion(still, 2.0);
}

#[test]
fn nobody_without_the_right_certificate_moves_anything() {
    let scene = Scene::new();
    scene.issue("trust", "observer", "eve");
    scene.issue("trust", "surgeon", "dr-two");
    scene.init("elsewhere");
    scene.issue("elsewhere", "surgeon", "mallory");
    // It knows our robot's authority, as anybody may: the refusal must be the robot's.
    let mallory = std::path::PathBuf::from(scene.path("elsewhere/mallory"));
    std::fs::copy(scene.path("trust/ca.pem"), mallory.join("ca.pem")).unwrap();
    std::fs::copy(scene.path("trust/ca.crl"), mallory.join("ca.crl")).unwrap();
    let agent = scene.agent(&["--hand-over"]);
    let holder = Client::start(&agent.addr, &scene.identity("dr-lee"));
    holder.key(0);
    let from = agent.until(0, "commands", scene::Moment::has_fresh_commands);

    let close = stranger::knock(&agent.addr, &scene.path("trust/ca.pem"));
    assert!(close.contains("certificate"), "{close}");
    let other = Client::start(&agent.addr, &mallory).refusal();
    assert!(other.contains("certificate"), "{other}");
    let eve = scene.console_of("eve", &agent.addr).ended();
    assert_eq!(eve.code, Some(1), "{eve:?}");
    assert!(eve.words().contains("role may not command; use a surgeon's"), "{}", eve.words());
    let second = Client::start(&agent.addr, &scene.identity("dr-two")).refusal();
    assert!(second.contains("another console holds the robot"), "{second}");

    let after = agent.until_later(agent.moments().len() - 1, 500);
    agent.must_stay("Latched", from, after);
    agent.must_stand(from, after);
    assert_eq!(holder.refusals(), [""; 0], "the holder must not notice");
    drop(holder);
    let robot = agent.stop();
    assert_eq!(number(&robot, "/network/sessions"), 1, "{robot}");
    let refused = |list: &str, words: &str| {
        let list = robot["network"][list].as_object().unwrap();
        let counts = list.iter().filter(|(why, _)| why.contains(words));
        counts.filter_map(|(_, count)| count.as_u64()).sum::<u64>()
    };
    let at_least = |list: &str, words: &str, count: u64| {
        assert!(refused(list, words) >= count, "{list} {words}: {robot}");
    };
    at_least("handshakes_refused", "certificate", 2);
    at_least("handshakes_refused", "no certificate", 1);
    at_least("handshakes_refused", "role may not command", 1);
    at_least("refused", "role observer may not command", 1);
    at_least("refused", "another console holds the robot", 1);
}

/// `command` in another session.
fn under(key: SessionKey, command: &Command) -> Vec<u8> {
    wire::encode_command(&Command { key, ..*command }).to_vec()
}

/// One of each, by the name under which the robot is to count it.
fn garbage(old: &Command, command: &Command) -> Vec<(&'static str, Vec<u8>)> {
    let key = command.key;
    let mut flipped = under(key, command);
    flipped[COMMAND_LEN / 2] ^= 1;
    let mut not_finite = *command;
    not_finite.intent.arms.psm1.jaw = f64::NAN;
    vec![
        ("Length", vec![0x4c; 1]),
        ("Length", vec![0x4c; COMMAND_LEN + 1]),
        ("Magic", vec![0xa5; COMMAND_LEN]),
        ("Corrupt", flipped),
        ("NotFinite", wire::encode_command(&not_finite).to_vec()),
        ("WrongSession", wire::encode_command(old).to_vec()),
        ("WrongRobot", under(SessionKey { robot: RobotId::new(2), ..key }, command)),
        ("StaleEpoch", under(SessionKey { epoch: Epoch::ZERO, ..key }, command)),
        ("WrongEpoch", under(SessionKey { epoch: key.epoch.next(), ..key }, command)),
        ("WrongProfile", under(SessionKey { profile: ProfileHash::new(0), ..key }, command)),
        ("Duplicate", under(key, command)),
    ]
}

#[test]
fn two_consoles_of_one_surgeon_do_not_take_the_robot_from_each_other() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let first = scene.console(&agent.addr);
    let moving = agent.until_in_motion(0, 3.0);
    // It waits at the door: the robot is in a live hand.
    let second = scene.console(&agent.addr);
    until("the second to be refused", || second.log().contains("another console").then_some(()));
    first.signal(Signal::STOP);
    let latched = agent.until_stage(moving, "Latched");
    // It may be a copy: it is let in when the lease has run out, and moves nothing before the
    // bedside hands the robot over.
    let bedside = agent.until_stage(latched, "Bedside");
    until("the second to be let in", || second.log().contains("link=in session").then_some(()));
    agent.must_stay("Bedside", bedside, agent.until_later(bedside, 200));
    scene.says("hand-over");
    let moving = agent.until_in_motion(bedside, 3.0);
    first.signal(Signal::CONT);
    until("the first to be told", || first.log().contains("ask to resume").then_some(()));

    // The second falls silent in its turn, shorter than its lease: the first leaves it alone.
    second.signal(Signal::STOP);
    let latched = agent.until_stage(moving, "Latched");
    let still = agent.until_later(latched, 1_500);
    agent.must_stay("Latched", latched, still);
    second.signal(Signal::CONT);
    agent.until_in_motion(still, 3.0);
    assert_eq!(second.stop().code, Some(0));
    assert_eq!(first.stop().code, Some(0));
    let robot = agent.stop();
    // The first's and the second's; and one between, where the first's lease was renewed sooner
    // than the second had asked.
    assert!((2..=3).contains(&number(&robot, "/network/sessions")), "{robot}");
}

#[test]
fn garbage_and_old_sessions_move_nothing_and_each_is_counted_by_name() {
    let scene = Scene::new();
    let agent = scene.agent(&["--hand-over"]);
    let first = Client::start(&agent.addr, &scene.identity("dr-lee"));
    let old_key = first.key(0);
    let old = first.said();
    // A copy of the same certificate takes the robot neither out of a live hand, nor out of a
    // silent one: it does not know what the welcome said.
    let copy = Client::start(&agent.addr, &scene.identity("dr-lee"));
    assert!(copy.refusal().contains("another console holds the robot"), "{}", copy.refusal());
    // The holder falls silent: the same console may come again, and the session is a new one.
    first.hush(true);
    let client = Client::start_with(&agent.addr, &scene.identity("dr-lee"), false, first.word());
    let key = client.key(0);
    assert_eq!(copy.sessions(), 0);
    drop(copy);
    first.hush(false);
    assert!(key.epoch > old_key.epoch && key.session != old_key.session);
    client.engage();
    let moving = agent.until_in_motion(0, 2.0);
    client.pedal(false);
    let latched = agent.until_stage(moving, "Latched");
    let latched = agent.until_later(latched, 300);

    // The old console has been told, and does not come back to take the robot in its turn.
    let told = first.refusal();
    assert!(told.starts_with("your lease was taken over from 127.0.0.1:"), "{told}");
    let strange = garbage(&old, &client.said());
    let bytes: Vec<Vec<u8>> = strange.iter().map(|(_, bytes)| bytes.clone()).collect();
    client.say_strange(&bytes);
    let after = agent.until_later(agent.moments().len() - 1, 500);
    agent.must_stay("Latched", latched, after);
    agent.must_stand(latched, after);

    // Two corrupted commands are more than chance: with the foot on the pedal, motion ends.
    client.engage();
    let moving = agent.until_in_motion(after, 2.0);
    let (_, flipped) = strange.iter().find(|(name, _)| *name == "Corrupt").unwrap();
    client.say_strange(&[flipped.clone(), flipped.clone()]);
    let latched = agent.until(moving, "Latched for integrity", |m| m.reason == "Integrity");
    assert_eq!(agent.moments()[latched].stage, "Latched");
    drop(client);
    drop(first);

    let robot = agent.stop();
    assert_eq!(number(&robot, "/network/sessions"), 2, "{robot}");
    let rejected = &robot["network"]["rejected"];
    for (name, _) in &strange {
        assert!(number(rejected, &format!("/{name}")) >= 1, "{name}: {robot}");
    }
    assert!(number(rejected, "/Corrupt") >= 3, "{robot}");
}

#[test]
fn the_bedside_speaks_over_its_socket_and_is_told_what_came_of_it() {
    let scene = Scene::new();
    let agent = scene.agent(&[]);
    let mut at = agent.until_stage(0, "Disabled");
    for (word, stage) in [
        ("enable", "Bedside"),
        ("hand-over", "Latched"),
        ("release", "Bedside"),
        ("hand-over", "Latched"),
    ] {
        scene.says(word);
        at = agent.until_stage(at, stage);
    }
    let pressed = scene.bedside("estop");
    assert_eq!((pressed.code, pressed.out.as_str()), (Some(0), "ok: emergency stop pressed\n"));
    at = agent.until_stage(at, "SafeOff");
    assert_eq!(agent.moments()[at].reason, "EmergencyStop");
    for word in ["hand-over", "enable", "release", "disable"] {
        let said = scene.bedside(word);
        assert_eq!(said.code, Some(1), "{word}: {said:?}");
        assert!(said.out.starts_with("refused:") && said.out.contains(word), "{said:?}");
    }
    let wrong = scene.bedside("handover");
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.out.contains("\"handover\"") && wrong.out.contains("hand-over"), "{wrong:?}");
    scene.says("restart");
    at = agent.until_stage(at, "Disabled");
    scene.says("enable");
    agent.until_stage(at, "Bedside");
    assert!(
        until("a stage in the log", || {
            let log = agent.log();
            log.contains("stage: Latched to SafeOff (FAULT), because").then_some(log)
        })
        .contains("the emergency stop was pressed")
    );
    assert_eq!(agent.stop()["final_stage"], "Bedside");
    let nobody = scene.bedside("estop");
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.words().contains("is the agent running with it?"), "{}", nobody.words());
}

#[test]
fn the_epoch_rises_over_restarts_of_the_agent() {
    let scene = Scene::new();
    let mut last = Epoch::ZERO;
    for is_killed in [false, true, false] {
        let agent = scene.agent(&["--hand-over"]);
        let client = Client::start(&agent.addr, &scene.identity("dr-lee"));
        let epoch = client.key(0).epoch;
        assert!(epoch > last, "{epoch:?} after {last:?}");
        assert_eq!(agent.epoch(), epoch.get());
        assert!(scene.reserved() >= epoch.get(), "not on disk before it was given");
        last = epoch;
        drop(client);
        if is_killed {
            agent.kill();
        } else {
            agent.stop();
        }
    }
}

/// The keys of the demo's report, as the README's table of them says.
fn documented_keys() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("\"longhand demo report v1\"").unwrap();
    let rows = after.lines().skip_while(|line| !line.starts_with("| ---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap().to_owned());
    // `one`, `two` and `three` of one cell: every second piece stands between two ticks.
    let mut keys: Vec<String> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    keys.push("schema".to_owned());
    keys.sort();
    keys
}

#[test]
fn the_demo_prints_one_json_object_with_the_keys_of_the_readme() {
    let scene = Scene::new();
    let report = scene.path("report");
    let asked = ["demo", "--headless", "--for", "5", "--link", "city-5g-sa", "--seed", "1"];
    let more = ["--input", "peg-transfer", "--json", "--report", &report];
    let demo = Process::run(SIM, &[&asked[..], &more[..]].concat());
    assert_eq!(demo.code, Some(0), "{demo:?}");
    assert_eq!(demo.out.lines().count(), 1, "{}", demo.out);
    let said = demo.json();
    let mut keys: Vec<String> = said.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, documented_keys(), "the report and the README's table of it part");
    assert_eq!(said["schema"], "longhand demo report v1");
    assert_eq!((said["link"].as_str(), said["seed"].as_u64()), (Some("city-5g-sa"), Some(1)));
    assert!(number(&said, "/network/accepted") > 0, "{said}");
    for quantile in ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"] {
        assert!(said["hand_to_joint"][quantile].is_number(), "{quantile}: {said}");
        assert!(said["round_trip"][quantile].is_number(), "{quantile}: {said}");
    }
    let files = said["files"].as_array().unwrap();
    let written = |name: &str| files.iter().any(|file| file.as_str().unwrap().ends_with(name));
    assert!(written("/round-trip.hlog") && written("/hand-to-joint.hlog"), "{said}");
    assert!(files.iter().all(|file| std::path::Path::new(file.as_str().unwrap()).exists()));
}

/// Nothing comes through: no share of loss can be told, and no figure made up.
#[test]
fn a_demo_without_a_session_ends_with_1_and_null_where_nothing_was_measured() {
    let scene = Scene::new();
    let report = scene.path("report");
    let asked = ["demo", "--headless", "--for", "1", "--link", "ideal", "--loss", "1", "--json"];
    let demo = Process::run(SIM, &[&asked[..], &["--report", &report]].concat());
    assert_eq!(demo.code, Some(1), "{demo:?}");
    assert!(demo.words().contains("never in session"), "{}", demo.words());
    let said = demo.json();
    assert!(said["commands"]["lost_percent"].is_null(), "{said}");
    assert!(said["round_trip"]["p50_ms"].is_null(), "{said}");
    assert!(said["relay"]["valid"].is_null() && said["sessions"] == 0, "{said}");
    assert!(!std::path::Path::new(&report).exists(), "nothing measured, nothing written");
}

#[test]
fn a_demo_that_cannot_write_its_report_or_has_a_link_too_far_says_so_at_the_start() {
    let asked = ["demo", "--headless", "--for", "1", "--link", "geo", "--profile", "default"];
    let nowhere = Process::run(SIM, &[&asked[..], &["--report", "/dev/null/x"]].concat());
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.words().contains("cannot write /dev/null/x"), "{}", nowhere.words());
    assert!(!nowhere.words().contains("Ctrl-C"), "it must not have run: {}", nowhere.words());
    let scene = Scene::new();
    let far = Process::run(SIM, &[&asked[..], &["--report", &scene.path("report")]].concat());
    assert!(far.words().contains("use --profile satellite"), "{}", far.words());
    for wrong in [["--scale", "7"], ["--scale", "-1"], ["--for", "0"], ["--loss", "-1"]] {
        let refused = Process::run(SIM, &[&["demo", "--headless"], &wrong[..]].concat());
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
    let nan = Process::run(SIM, &["link", "show", "ideal", "--minus-ms", "NaN"]);
    assert_eq!(nan.code, Some(2), "{nan:?}");
}

/// Whoever connects is handed the memory: one byte, and a descriptor beside it.
#[test]
fn the_demos_robot_is_shown_to_gateways_through_its_tap() {
    let scene = Scene::new();
    let (tap, report) = (scene.path("tap"), scene.path("report"));
    let asked = ["demo", "--headless", "--for", "600", "--link", "ideal", "--report", &report];
    let demo = Process::start(SIM, &[&asked[..], &["--tap", &tap]].concat());
    let mut gateway = until("a tap", || std::os::unix::net::UnixStream::connect(&tap).ok());
    let mut byte = [0];
    gateway.read_exact(&mut byte).unwrap();
    demo.stop();
}

#[test]
fn the_demo_says_what_is_wrong_with_a_link_or_a_script() {
    let scene = Scene::new();
    let short = ["demo", "--headless", "--for", "1"];
    let run = |more: &[&str]| Process::run(SIM, &[&short[..], more].concat());
    let link = run(&["--link", "city-5g"]);
    assert_eq!(link.code, Some(2), "{link:?}");
    assert!(link.words().contains("did you mean `city-5g-sa`"), "{}", link.words());
    assert_eq!(link.out, "");
    let shown = Process::run(SIM, &["link", "show", "idael"]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.words().contains("did you mean `ideal`"), "{}", shown.words());

    let script = scene.path("hand.csv");
    let head = r#"# {"format":"longhand hand script v1","interpolation":"linear","#;
    let rest = r#""orientation":"relative","repeat":false,"source":"a test"}"#;
    let names = "t_s,hand,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg,jaw_deg";
    let rows = "0,left,0,0,0,0,0,0,0\n0,right,0,0,0,0,0,0,0\n1,left,far,0,0,0,0,0,0\n";
    std::fs::write(&script, format!("{head}{rest}\n{names}\n{rows}")).unwrap();
    let bad = run(&["--link", "ideal", "--input", &script]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.words().contains("hand.csv, row 3"), "{}", bad.words());
}
