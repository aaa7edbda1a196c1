//! The black box: what a record proves, what each tampering of it is called, what a cut leaves, and
//! what a disk that does not take it does to the servo loop: nothing. safety.md A32, F31, F32, I22.
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

use longhand_follower::Follower;
use longhand_follower::profile::Profile;
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{RecordAlarm, Stage};
use longhand_protocol::units::{Instant, Robot};
use longhand_quic::trust::Believed;
use longhand_record::file::Disk;
use longhand_record::schema::{Start, longs_of_cdr};
use longhand_record::seal::{Belief, Flaw, Last, Seal, Sealer, Verdict};
use longhand_robot_agent::arm::{Arm, ArmDrive, ArmReading};
use longhand_robot_agent::record::schema::{Topic, tick_of_cdr, tick_to_cdr};
use longhand_robot_agent::record::tap::tap;
use longhand_robot_agent::record::tick::{TICK_WORDS, stage_of, when};
use longhand_robot_agent::record::{Health, Message};
use longhand_robot_agent::servo::{Servo, Turn};
use rig::{
    Hospital, Memory, Rig, at, cut_anywhere, flipped_anywhere, judged, messages, record, ticks,
    written,
};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

#[test]
fn a_record_is_whole_and_holds_every_tick_command_and_change_of_stage() {
    let hospital = Hospital::new();
    let bytes = record(&hospital, 1_000).bytes();
    let (judged, proven) = judged(&bytes, hospital.believes());
    assert_eq!(judged.verdict, Verdict::Whole);
    assert_eq!(judged.proven, proven.len() as u64);
    assert_eq!(ticks(&proven), (0..1_000).collect::<Vec<_>>());
    let count = |topic| proven.iter().filter(|message| message.topic == topic).count();
    assert_eq!((count(Topic::Start), count(Topic::Command), count(Topic::Gap)), (1, 500, 0));
    assert_eq!(count(Topic::Seal), 1 + 25 + 1, "the start's, each block's, the last");
    let stages: Vec<_> = proven
        .iter()
        .filter(|message| message.topic == Topic::Tick)
        .map(|message| stage_of(&tick_of_cdr(&message.data).unwrap()).unwrap())
        .collect();
    let changes = stages.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(count(Topic::Transition), 1 + changes);
    assert!(changes >= 3 && stages.iter().any(|(stage, _)| *stage == Stage::Follow));
    // A command stands before its tick.
    let second = proven.iter().position(|message| message.topic == Topic::Command).unwrap();
    assert_eq!(when(&tick_of_cdr(&proven[second + 1].data).unwrap()).0, 1);
}

/// Of a release in which the black box was the robot's alone: `golden/` is its file, and the
/// authority that vouches for it.
#[test]
fn a_record_written_before_still_verifies_and_is_the_same_to_the_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record/golden");
    let bytes = std::fs::read(folder.join("robot.mcap")).unwrap();
    let believes = Belief::Hospital(Box::new(Believed::load(&folder).unwrap()));
    let (judged, proven) = judged(&bytes, believes);
    assert_eq!((judged.verdict, judged.proven), (Verdict::Whole, 273));
    assert_eq!(ticks(&proven), (0..262).collect::<Vec<_>>());
    assert!(written(&proven) == bytes, "packed otherwise: `record verify` would say so of it");
    for message in &proven {
        let again = match message.topic {
            Topic::Start => Start::of_cdr(&message.data).unwrap().to_cdr(),
            Topic::Seal => Seal::of_cdr(&message.data).unwrap().to_cdr(),
            Topic::Tick => tick_to_cdr(&tick_of_cdr(&message.data).unwrap()),
            Topic::Command | Topic::Transition | Topic::Gap | Topic::Link => continue,
        };
        assert!(again == message.data, "{:?}", message.topic);
    }
}

/// An arm that notes how many ticks lay in the ring when it was told something.
struct Noting(Arc<AtomicU64>, Vec<u64>);

impl Arm for Noting {
    fn read(&mut self, _now: Instant<Robot>) -> ArmReading {
        ArmReading::default()
    }

    fn write(&mut self, _now: Instant<Robot>, _drive: &ArmDrive) {
        self.1.push(self.0.load(Ordering::Relaxed));
    }
}

/// I22.
#[test]
fn a_tick_lies_in_the_ring_before_any_arm_is_told() {
    let seen = Arc::new(AtomicU64::new(0));
    let health = Arc::new(Health::default());
    let (mut tap, mut tapped) = tap(10_000, &health);
    let arm = || Noting(Arc::clone(&seen), Vec::new());
    let arms = PerArm { psm1: arm(), psm2: arm() };
    let mut servo = Servo::new(Follower::new(Profile::DEFAULT), arms);
    for tick in 0..50 {
        let turn = Turn { now: at(tick), scheduled_at: at(tick), ..Turn::default() };
        servo.turn_seen(&turn, |input, output| {
            tap.see(input, output, &[]);
            if tapped.next(&mut Vec::new()) {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let PerArm { psm1, psm2 } = servo.arms_mut();
    assert_eq!(psm1.1, (1..=50).collect::<Vec<_>>());
    assert_eq!(psm1.1, psm2.1);
}

/// The first message that is not as it was, and why.
fn first_bad(hospital: &Hospital, tampered: &[Message]) -> (u64, Flaw) {
    let (judged, proven) = judged(&written(tampered), hospital.believes());
    match judged.verdict {
        Verdict::Bad(bad) => {
            assert!(judged.proven <= bad.record, "{bad:?}");
            assert!(tampered[..proven.len()] == proven[..]);
            (bad.record, bad.flaw)
        }
        well @ (Verdict::Whole | Verdict::Part | Verdict::Cut) => panic!("{well:?}"),
    }
}

#[test]
fn what_was_edited_deleted_moved_or_put_in_is_named_at_the_message() {
    let hospital = Hospital::new();
    let whole = messages(&record(&hospital, 120).bytes());
    let is_seal = |place: usize| whole[place].topic == Topic::Seal;
    for place in 0..whole.len() {
        if is_seal(place) {
            // Its own number and time, too.
            let mut tampered = whole.clone();
            tampered[place].log_time += 1;
            assert_eq!(first_bad(&hospital, &tampered), (place as u64, Flaw::Other));
            continue;
        }
        let changed = |change: &dyn Fn(&mut Vec<Message>)| {
            let mut tampered = whole.clone();
            change(&mut tampered);
            first_bad(&hospital, &tampered)
        };
        let last_byte = changed(&|all| *all[place].data.last_mut().unwrap() ^= 1);
        let named = (place as u64, Flaw::Other);
        if place == 0 {
            // Of the start the last byte is its certificate's signature.
            assert!(matches!(last_byte, (0, Flaw::Signer(_))), "{last_byte:?}");
            continue;
        }
        assert_eq!(last_byte, named, "edited");
        assert_eq!(changed(&|all| all[place].log_time += 1), named, "another time");
        assert_eq!(changed(&|all| all[place].sequence += 1), named, "another number");
        assert_eq!(changed(&|all| all.insert(place, all[place - 1].clone())).0, place as u64);
        let deleted = changed(&|all| drop(all.remove(place)));
        let gone = if is_seal(place + 1) { Flaw::Missing } else { Flaw::Other };
        assert_eq!(deleted, (place as u64, gone), "deleted");
        if !is_seal(place + 1) {
            assert_eq!(changed(&|all| all.swap(place, place + 1)), named, "moved");
        }
    }
}

/// Where each block begins: behind a seal.
fn blocks(all: &[Message]) -> Vec<usize> {
    let seals = all.iter().enumerate().filter(|(_, message)| message.topic == Topic::Seal);
    seals.map(|(place, _)| place + 1).filter(|place| *place < all.len()).collect()
}

#[test]
fn whole_blocks_deleted_repeated_or_of_another_record_are_named_at_their_first() {
    let hospital = Hospital::new();
    let (one, two) =
        (messages(&record(&hospital, 200).bytes()), messages(&record(&hospital, 200).bytes()));
    let begins = blocks(&one);
    let (second, third) = (begins[1], begins[2]);
    let mut deleted = one.clone();
    deleted.drain(second..third);
    assert_eq!(first_bad(&hospital, &deleted), (second as u64, Flaw::Other));
    let repeated = [&one[..third], &one[second..]].concat();
    assert_eq!(first_bad(&hospital, &repeated), (third as u64, Flaw::Other));
    // One robot, one key, another case.
    let spliced = [&one[..third], &two[blocks(&two)[2]..]].concat();
    assert_eq!(first_bad(&hospital, &spliced), (third as u64, Flaw::Seal));
    // Behind the end, and twice a start.
    let more = [&one[..], &one[second..third]].concat();
    assert_eq!(first_bad(&hospital, &more), (one.len() as u64, Flaw::AfterEnd));
    let twice = [&one[..third], &two[..]].concat();
    assert_eq!(first_bad(&hospital, &twice), (third as u64, Flaw::Start));
    assert_eq!(first_bad(&hospital, &one[1..]), (0, Flaw::Start));
}

/// Seals anew with another key, from a block on: what somebody does who can compute but has not the
/// robot's key.
fn resealed(all: &[Message], from: usize, forger: &Hospital) -> Vec<Message> {
    let start = Start::of_cdr(&all[0].data).unwrap();
    let signer = forger.robot.signer().unwrap();
    let mut sealer = Sealer::new(start.case_id);
    let mut done = Vec::new();
    for (place, message) in all.iter().enumerate() {
        let mut message = message.clone();
        if message.topic == Topic::Seal && place >= from {
            let last = if place + 1 == all.len() { Last::Yes } else { Last::No };
            let was = Seal::of_cdr(&message.data).unwrap();
            let when = (was.at_us, was.wall_ns);
            message.data = sealer.seal(&signer, when, last).unwrap().to_cdr();
        }
        sealer.written(&message);
        done.push(message);
    }
    done
}

#[test]
fn what_is_sealed_anew_with_another_key_is_named() {
    let (hospital, forger) = (Hospital::new(), Hospital::new());
    let mut all = messages(&record(&hospital, 200).bytes());
    let third = blocks(&all)[2];
    // Honest, but for the key.
    assert_eq!(first_bad(&hospital, &resealed(&all, 0, &forger)), (0, Flaw::Seal));
    assert_eq!(first_bad(&hospital, &resealed(&all, third, &forger)), (third as u64, Flaw::Seal));
    // An edit, and a chain, tags and seals that go with it.
    all[third + 7].data[20] ^= 1;
    assert_eq!(first_bad(&hospital, &resealed(&all, third, &forger)), (third as u64, Flaw::Seal));
    // The forger's own certificate in the start: whole to whoever believes the file itself.
    let mut start = Start::of_cdr(&all[0].data).unwrap();
    start.certificate = forger.robot.signer().unwrap().certificate().to_vec();
    all[0].data = start.to_cdr();
    let forged = resealed(&all, 0, &forger);
    assert_eq!(judged(&written(&forged), Belief::Itself).0.verdict, Verdict::Whole);
    assert_eq!(judged(&written(&forged), forger.believes()).0.verdict, Verdict::Whole);
    let (record, flaw) = first_bad(&hospital, &forged);
    assert!(record == 0 && matches!(flaw, Flaw::Signer(_)), "{flaw:?}");
}

#[test]
fn a_record_that_somebody_ended_early_and_closed_well_is_cut_and_not_whole() {
    let hospital = Hospital::new();
    let all = messages(&record(&hospital, 200).bytes());
    for begin in blocks(&all) {
        let (judged, proven) = judged(&written(&all[..begin]), hospital.believes());
        assert_eq!((judged.verdict, judged.proven), (Verdict::Cut, begin as u64));
        assert!(proven == all[..begin]);
        // What is added without a seal is named.
        if begin + 2 < all.len() {
            let open = first_bad(&hospital, &all[..begin + 2]);
            assert_eq!(open, (begin as u64, Flaw::Seal));
        }
    }
}

#[test]
fn no_flip_of_any_byte_of_the_file_leaves_it_whole() {
    let hospital = Hospital::new();
    flipped_anywhere::<Topic>(&record(&hospital, 90).bytes(), &hospital.believes());
}

#[test]
fn a_cut_at_any_byte_loses_40_ticks_at_most_and_accepts_nothing_false() {
    let hospital = Hospital::new();
    cut_anywhere::<Topic>(&record(&hospital, 100).kept(), 100, &hospital.believes());
}

#[test]
fn a_full_disk_is_an_alarm_and_the_next_one_goes_on_with_the_record() {
    let hospital = Hospital::new();
    let (small, large) = (Memory::default(), Memory::default());
    small.0.lock().unwrap().room = Some(30_000);
    let mut rig = Rig::new(&hospital, vec![small.clone(), large.clone()], 1 << 16);
    let mut alarms = Vec::new();
    for _ in 0..4_000 {
        rig.run(1);
        alarms.push(rig.health.alarm(rig.now()));
    }
    alarms.dedup();
    assert_eq!(alarms, [RecordAlarm::None, RecordAlarm::Failed, RecordAlarm::None]);
    let now = rig.now();
    rig.recorder.finish(now);
    let (first, one) = judged(&small.bytes(), hospital.believes());
    let (second, two) = judged(&large.bytes(), hospital.believes());
    assert_eq!((first.verdict, second.verdict), (Verdict::Cut, Verdict::Whole));
    let start = second.start.unwrap();
    assert_eq!((start.part, start.first_tick), (1, ticks(&two)[0]));
    let kept = (ticks(&one).len() + ticks(&two).len()) as u64;
    assert_eq!(kept + rig.health.lost(), 4_000);
    assert!(rig.health.lost() >= 1_000, "a second without a disk: {}", rig.health.lost());
}

/// A disk that takes nothing until it is told to.
struct Stuck(mpsc::Receiver<()>, Memory);

impl Disk for Stuck {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Told once, it goes on; told nothing any more, too.
        let _told = self.0.recv();
        self.1.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_stands_still_holds_up_nobody_and_what_is_missing_is_said() {
    const RING_TICKS: u64 = 500;
    let hospital = Hospital::new();
    let (go, told) = mpsc::channel();
    let memory = Memory::default();
    let mut stuck = Some(Stuck(told, memory.clone()));
    // The header and the start: the recorder begins. Then nothing.
    go.send(()).unwrap();
    let ring = usize::try_from(RING_TICKS).unwrap() * (1 + TICK_WORDS + 14);
    let new_disk = Box::new(move |_: &[u8; 16], _| {
        stuck.take().map(|stuck| Box::new(stuck) as Box<dyn Disk>).ok_or(io::Error::other("one"))
    });
    let mut rig = Rig::on(&hospital, new_disk, ring);
    // Declared behind the rig, so that a test that fails lets go of the disk first, and ends.
    let go = go;
    // The servo loop runs on, whoever waits for the disk: here the recorder does not even run.
    for _ in 0..2_000 {
        rig.tick();
    }
    let lost = rig.health.lost();
    assert!((1_000..2_000).contains(&lost), "{lost}");
    assert_eq!(rig.health.alarm(at(400)), RecordAlarm::None);
    assert_eq!(rig.health.alarm(at(2_000)), RecordAlarm::Behind);
    assert_eq!(rig.health.alarm(at(20_000)), RecordAlarm::Failed);
    drop(go);
    let now = rig.now();
    rig.recorder.turn(now);
    rig.run(100);
    let now = rig.now();
    rig.recorder.finish(now);
    assert_eq!(rig.health.alarm(now), RecordAlarm::None);
    let (judged, proven) = judged(&memory.bytes(), hospital.believes());
    assert_eq!(judged.verdict, Verdict::Whole);
    let gap = proven.iter().find(|message| message.topic == Topic::Gap).unwrap();
    let [first, missing] = longs_of_cdr(&gap.data).unwrap();
    assert_eq!(missing, lost);
    let found = ticks(&proven);
    assert_eq!(found.len() as u64 + lost, 2_100);
    assert!(!found.contains(&first) && found.contains(&(first + missing)));
}
