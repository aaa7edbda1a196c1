//! The practice room: the episode follows the robot's states, the picture is as late as they are,
//! and the page reads what is in it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use longhand_console::PracticeTask;
use longhand_protocol::geometry::{ArmId, Pose};
use longhand_protocol::message::{FollowerState, Stage};
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_sim::train::hand::said;
use longhand_sim::train::room::Room;
use longhand_train::episode::Episode;
use longhand_train::picture::Picture;
use longhand_train::task::Task;
use nalgebra::{UnitQuaternion, Vector3};
use std::sync::Arc;
use std::thread::yield_now;

const BEGAN: Instant<Robot> = Instant::from_micros(77_000_000);

fn at(ms: u64) -> Instant<Robot> {
    BEGAN.after(Micros::from_millis(ms))
}

/// Both tips come down on their rings, slowly, with open jaws.
fn state(ms: u64) -> FollowerState {
    let mut state =
        FollowerState { robot_time: at(ms), stage: Stage::Follow, ..FollowerState::default() };
    for arm in ArmId::ALL {
        let deep = -0.110 - 0.03 * Micros::from_millis(ms).as_secs_f64();
        let arm = state.arms.get_mut(arm);
        // The tip points down: the tip's z is the base's -z.
        let turn = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), core::f64::consts::PI);
        arm.measured_cp = Pose::new(Vector3::new(0.01, 0.0, deep), turn);
        arm.measured_jaw = 1.0;
    }
    state
}

/// The picture of this moment, once the room has come so far.
fn picture(room: &Room, ms: u64) -> Arc<serde_json::Value> {
    loop {
        if let Some(picture) = room.picture(at(ms)) {
            return picture;
        }
        yield_now();
    }
}

fn task() -> Task {
    Task::shipped("peg-transfer").unwrap()
}

#[test]
fn the_same_states_give_the_same_world_as_in_virtual_time() {
    let (room, episodes) = Room::open(task(), 5).unwrap();
    let mut alone = Episode::new(task(), 5);
    for ms in 0..1_500 {
        room.see(&state(ms));
        alone.tick(&said(&state(ms), false));
    }
    drop(room);
    let attempts = episodes.end();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].world_hash, format!("{:016x}", alone.hash()));
    assert_eq!((attempts[0].seed, attempts[0].missing_ms), (5, 0));
    assert_eq!(attempts[0].score, alone.score());
    assert!(attempts[0].score.left.path_mm > 10.0, "{:?}", attempts[0].score);
}

#[test]
fn what_no_state_told_of_is_lived_through_and_counted() {
    let (room, episodes) = Room::open(task(), 1).unwrap();
    for ms in (0..1_000).filter(|ms| !(400..430).contains(ms)) {
        room.see(&state(ms));
    }
    drop(room);
    let attempts = episodes.end();
    assert_eq!(attempts[0].missing_ms, 30);
    // The clock of the task is the robot's, whatever was missed.
    let all = Micros::from_millis(1_000 - 200).as_secs_f64();
    assert!((attempts[0].score.time_s - all).abs() < 0.002, "{}", attempts[0].score.time_s);
}

#[test]
fn a_picture_is_as_old_as_the_state_that_it_is_asked_with() {
    let (room, episodes) = Room::open(task(), 1).unwrap();
    (0..=1_000).for_each(|ms| room.see(&state(ms)));
    let last = picture(&room, 1_000)["score"]["time_s"].as_f64().unwrap();
    while picture(&room, 1_000)["score"]["time_s"].as_f64().unwrap() < 0.78 {
        yield_now();
    }
    let early = picture(&room, 700);
    let seconds = early["score"]["time_s"].as_f64().unwrap();
    assert!((0.48..=0.501).contains(&seconds), "{seconds} of {last}");
    assert!(room.picture(Instant::from_micros(76_000_000)).is_none(), "nothing was there yet");
    drop(room);
    episodes.end();
}

#[test]
fn begun_anew_the_rings_lie_elsewhere_and_both_attempts_are_told() {
    let (room, episodes) = Room::open(task(), 8).unwrap();
    (0..600).for_each(|ms| room.see(&state(ms)));
    // The wish is heard with a state; the room has to have lived through those before it.
    while picture(&room, 599)["score"]["time_s"].as_f64().unwrap() < 0.38 {
        yield_now();
    }
    room.again();
    (600..1_200).for_each(|ms| room.see(&state(ms)));
    drop(room);
    let attempts = episodes.end();
    let seeds: Vec<u64> = attempts.iter().map(|attempt| attempt.seed).collect();
    assert_eq!(seeds, [8, 9]);
    assert_ne!(attempts[0].world_hash, attempts[1].world_hash);
    assert!(attempts.iter().all(|attempt| attempt.score.time_s < 0.45), "{attempts:?}");
}

#[test]
fn a_robot_that_never_followed_leaves_no_attempt() {
    let (room, episodes) = Room::open(task(), 1).unwrap();
    for ms in 0..600 {
        room.see(&FollowerState { stage: Stage::Latched, ..state(ms) });
    }
    drop(room);
    assert_eq!(episodes.end(), []);
}

/// What page.js and scene.js read of a picture is in it, under that name.
#[test]
fn the_page_reads_names_that_a_picture_has() {
    let web = concat!(env!("CARGO_MANIFEST_DIR"), "/../console/src/page/web/");
    let scene = std::fs::read_to_string(format!("{web}scene/scene.js")).unwrap();
    let page = std::fs::read_to_string(format!("{web}page.js")).unwrap();
    for task in ["peg-transfer", "stereotactic-insertion"] {
        let mut episode = Episode::new(Task::shipped(task).unwrap(), 1);
        (0..300).for_each(|ms| episode.tick(&said(&state(ms), false)));
        let picture = serde_json::to_value(Picture::of(&episode)).unwrap();
        let ring = &picture["rings"][0];
        let read = [
            ("picture", &picture, &scene),
            ("picture", &picture, &page),
            ("score", &picture["score"], &page),
            ("score.errors", &picture["score"]["errors"], &page),
            ("score.inserted", &picture["score"]["inserted"], &page),
            ("ring", ring, &scene),
        ];
        let mut found = 0;
        for (of, json, text) in read.into_iter().filter(|(_, json, _)| !json.is_null()) {
            for member in members(text, of) {
                assert!(json.get(&member).is_some(), "{task}: no {of}.{member} in {json}");
                found += 1;
            }
        }
        assert!(found > 20, "{found} names");
    }
}

/// Every `of.NAME` in a script, where NAME is no call.
fn members(text: &str, of: &str) -> Vec<String> {
    let dotted = format!("{of}.");
    let starts = text.match_indices(&dotted).filter(|(place, _)| {
        let before = text[..*place].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '.' && c != '_')
    });
    let name = |place: usize| -> String {
        let is_name = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
        text[place + dotted.len()..].chars().take_while(is_name).collect()
    };
    starts.map(|(place, _)| name(place)).filter(|name| !name.is_empty()).collect()
}
