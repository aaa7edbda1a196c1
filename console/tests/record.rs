//! The console's black box: what its record holds, who may sign one, and that the machinery which
//! both ends share does for this kind what it does for the robot's.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

#[path = "record/rig.rs"]
mod rig;

use longhand_console::record::Message;
use longhand_console::record::schema::Topic;
use longhand_console::record::tick::{Known, TICK_WORDS};
use longhand_leader::engagement::Engagement;
use longhand_protocol::message::{RecordAlarm, Stage};
use longhand_quic::trust::Role;
use longhand_record::schema::{Uncdr, longs_of_cdr};
use longhand_record::seal::{Belief, Flaw, Verdict};
use rig::{
    BEGINS, Hospital, Memory, ROBOT, Rig, cut_anywhere, flipped_anywhere, judged, record, ticks,
};
use std::path::Path;

fn of(proven: &[Message], topic: Topic) -> Vec<&Message> {
    proven.iter().filter(|message| message.topic == topic).collect()
}

/// The strings at the end of a message that begins with so many numbers.
fn strings(message: &Message, longs: usize, count: usize) -> Vec<String> {
    let mut cdr = Uncdr::new(&message.data).unwrap();
    for _ in 0..longs {
        cdr.long().unwrap();
    }
    (0..count).map(|_| cdr.string().unwrap()).collect()
}

#[test]
fn a_record_is_whole_and_holds_every_tick_command_alarm_and_change_of_engagement() {
    let hospital = Hospital::new();
    let (disk, sent) = record(&hospital.surgeon, 1_000);
    let (judged, proven) = judged::<Topic>(&disk.bytes(), hospital.believes());
    assert_eq!(judged.verdict, Verdict::Whole);
    let start = judged.start.unwrap();
    assert_eq!((start.robot, start.first_tick), (ROBOT.get(), 0));
    assert_eq!(start.settings, "scale = 0.2\n");
    assert_eq!(ticks(&proven), (0..1_000).collect::<Vec<_>>());

    // Every command, as it went out, before its tick.
    let commands = of(&proven, Topic::Command);
    assert_eq!(commands.len(), usize::try_from(1_000 - BEGINS).unwrap());
    for (command, sent) in commands.iter().zip(&sent) {
        assert!(command.data.ends_with(sent));
    }
    let first = proven.iter().position(|message| message.topic == Topic::Command).unwrap();
    let words = |message: &Message| longs_of_cdr::<TICK_WORDS>(&message.data).unwrap();
    let carrier = words(&proven[first + 1]);
    assert_eq!((carrier[0], carrier[7]), (BEGINS, 1), "tick, number of its command");

    // From one tick to the next the same, or a transition behind the tick says otherwise.
    let known = |message: &Message| Known::of(&words(message)).unwrap();
    let all: Vec<Known> = of(&proven, Topic::Tick).into_iter().map(known).collect();
    let what = |known: &Known| (known.engagement, known.robot.map(|(stage, _)| stage));
    let changes = all.windows(2).filter(|pair| what(&pair[0]) != what(&pair[1])).count();
    let transitions = of(&proven, Topic::Transition);
    assert_eq!(transitions.len(), 1 + changes);
    let told: Vec<_> = transitions.iter().map(|message| strings(message, 2, 5)).collect();
    assert_eq!(told[0], ["", "Disconnected", "NoLink", "", ""]);
    assert_eq!((&told[1][0], &told[1][1]), (&"Disconnected".to_owned(), &"Held".to_owned()));
    let held = told[1..3].iter().map(|told| (told[1].as_str(), told[3].as_str()));
    assert_eq!(held.collect::<Vec<_>>(), [("Held", "Hold"), ("Held", "Latched")]);
    assert!(all.iter().any(|known| what(known) == (Engagement::Following, Some(Stage::Follow))));

    let alarms: Vec<_> =
        of(&proven, Topic::Alarm).into_iter().map(|alarm| strings(alarm, 3, 3)).collect();
    assert_eq!(alarms, [["NoLink", "medium", "raised"], ["NoLink", "medium", "gone"]]);
}

#[test]
fn a_surgeon_of_this_hospital_signs_it_and_nobody_else() {
    let (hospital, other) = (Hospital::new(), Hospital::new());
    let (disk, _) = record(&hospital.surgeon, 50);
    assert_eq!(judged::<Topic>(&disk.bytes(), hospital.believes()).0.verdict, Verdict::Whole);
    for stranger in [&other.surgeon, &hospital.of(Role::Robot), &hospital.of(Role::Engineer)] {
        let (disk, _) = record(stranger, 50);
        let (judged, proven) = judged::<Topic>(&disk.bytes(), hospital.believes());
        let Verdict::Bad(bad) = judged.verdict else { panic!("{:?}", judged.verdict) };
        assert!(bad.record == 0 && matches!(bad.flaw, Flaw::Signer(_)), "{bad:?}");
        assert!(proven.is_empty());
    }
}

/// A robot's record is none of a console's, whoever signed it.
#[test]
fn a_robots_record_is_not_read_as_a_consoles() {
    let golden = "../robot-agent/tests/record/golden/robot.mcap";
    let robots = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(golden)).unwrap();
    let (judged, proven) = judged::<Topic>(&robots, Belief::Itself);
    assert!(matches!(judged.verdict, Verdict::Bad(_)), "{:?}", judged.verdict);
    assert!(judged.proven == 0 && proven.is_empty());
}

#[test]
fn a_cut_at_any_byte_loses_40_ticks_at_most_and_accepts_nothing_false() {
    let hospital = Hospital::new();
    cut_anywhere::<Topic>(&record(&hospital.surgeon, 60).0.kept(), 60, &hospital.believes());
}

#[test]
fn no_flip_of_any_byte_of_the_file_leaves_it_whole() {
    let hospital = Hospital::new();
    flipped_anywhere::<Topic>(&record(&hospital.surgeon, 90).0.bytes(), &hospital.believes());
}

#[test]
fn a_full_disk_is_an_alarm_and_the_next_one_goes_on_with_the_record() {
    let hospital = Hospital::new();
    let (small, large) = (Memory::default(), Memory::default());
    small.0.lock().unwrap().room = Some(30_000);
    let mut rig = Rig::new(&hospital.surgeon, vec![small.clone(), large.clone()], 1 << 16);
    let mut alarms = Vec::new();
    for _ in 0..4_000 {
        rig.run(1);
        alarms.push(rig.health.alarm(rig.now()));
    }
    alarms.dedup();
    assert_eq!(alarms, [RecordAlarm::None, RecordAlarm::Failed, RecordAlarm::None]);
    let now = rig.now();
    rig.recorder.finish(now);
    let (first, one) = judged::<Topic>(&small.bytes(), hospital.believes());
    let (second, two) = judged::<Topic>(&large.bytes(), hospital.believes());
    assert_eq!((first.verdict, second.verdict), (Verdict::Cut, Verdict::Whole));
    let kept = (ticks(&one).len() + ticks(&two).len()) as u64;
    assert_eq!(kept + rig.health.lost(), 4_000);
}
