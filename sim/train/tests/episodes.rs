//! Planted errors: each episode gives exactly the score that it has to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::Bench;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::Stage;
use longhand_train::contact::Tool;
use longhand_train::episode::{ArmSaid, Episode, Tick};
use longhand_train::score::{ByKind, ByStep, Kind, SubStep};
use longhand_train::task::{Goal, Task};
use nalgebra::{UnitQuaternion, Vector3};

const LEFT: ArmId = ArmId::Psm1;
const RIGHT: ArmId = ArmId::Psm2;

/// Peg transfer with so many rings, each exactly about its peg.
fn task(rings: usize, there_and_back: bool) -> Task {
    let mut task = Task::shipped("peg-transfer").unwrap();
    let Goal::Carry(carry) = &mut task.goal else { panic!("rings") };
    carry.from.truncate(rings);
    carry.to.truncate(rings);
    carry.there_and_back = there_and_back;
    carry.slack = 0.0;
    task
}

fn begin(task: Task) -> Bench<Episode> {
    let mut bench = Bench::new(Episode::new(task, 1));
    // What the rings take to settle, and one more: the clock runs from there.
    bench.wait(200);
    bench.ticks = 0;
    bench
}

/// The first ring, from hand to hand, to its peg on the other side.
fn bring_over(bench: &mut Bench<Episode>) {
    bench.pick(LEFT, 0);
    bench.pass(LEFT, RIGHT, 0);
    bench.put(RIGHT, 0, TO, LOW);
    assert_eq!(bench.world.score().moves, 1);
}

/// A ring that was brought over once, and lies about no peg, counts again without being passed.
fn put_again(bench: &mut Bench<Episode>) {
    bench.pick(RIGHT, 0);
    bench.put(RIGHT, 0, TO, LOW);
    let score = bench.world.score();
    assert_eq!((score.moves, score.errors.not_passed), (1, 0), "it was passed the first time");
}

const FROM: [f64; 2] = [-60e-3, 26e-3];
const TO: [f64; 2] = [30e-3, 26e-3];
/// How high a ring is let go above a peg's foot.
const LOW: f64 = 4e-3;

fn errors(bench: &Bench<Episode>) -> ByKind {
    bench.world.score().errors
}

#[test]
fn a_clean_transfer_over_and_back_costs_its_time_and_nothing_else() {
    let mut bench = begin(task(1, true));
    bench.pick(LEFT, 0);
    bench.pass(LEFT, RIGHT, 0);
    bench.put(RIGHT, 0, TO, LOW);
    let over = bench.world.score();
    assert_eq!((over.completed, over.moves, over.moves_in_all), (false, 1, 2));
    assert!(over.points.abs() < 1e-12, "what is not finished has no points");
    bench.pick(RIGHT, 0);
    bench.pass(RIGHT, LEFT, 0);
    bench.put(LEFT, 0, FROM, LOW);
    let score = bench.world.score();
    assert!(score.completed && bench.world.is_over());
    assert_eq!(score.mistakes, []);
    assert!((score.points - (300.0 - score.time_s)).abs() < 1e-9);
    assert_eq!(score.penalties_s.to_bits(), 0.0_f64.to_bits());
    // What the hands went, they are said to have gone; the last way is after the end.
    let (left, right) = (score.left.path_mm, score.right.path_mm);
    assert!((right - bench.path.get(RIGHT) * 1e3).abs() < 0.01, "{right}");
    assert!(left <= bench.path.get(LEFT) * 1e3 + 0.01 && left > 100.0, "{left}");
    let before = bench.world.hash();
    bench.wait(10);
    assert_eq!(bench.world.score(), score, "over is over");
    assert_ne!(bench.world.hash(), before, "the world goes on");
}

#[test]
fn what_comes_over_without_the_other_hand_is_done_but_costs() {
    let mut bench = begin(task(1, false));
    bench.pick(LEFT, 0);
    bench.put(LEFT, 0, TO, LOW);
    let score = bench.world.score();
    assert!(score.completed);
    assert_eq!(score.errors, ByKind { not_passed: 1, ..ByKind::default() });
    assert!((score.penalties_s - 20.0).abs() < 1e-12);
    assert!((score.points - (300.0 - score.time_s - 20.0)).abs() < 1e-9);
}

#[test]
fn handed_over_on_the_board_and_lifted_afterwards_was_not_passed_in_mid_air() {
    let mut bench = begin(task(1, false));
    bench.pick(LEFT, 0);
    let up = bench.tools.get(LEFT).tip.translation.vector.z;
    bench.go(LEFT, Vector3::new(-common::RING.0, 0.0, up));
    // Down to the board, from hand to hand there, and up again.
    let ring = bench.ring(0);
    bench.by(LEFT, [0.0, 0.0, 4e-3 - ring.z]);
    let at = bench.ring(0) + Vector3::x() * common::RING.0;
    bench.go(RIGHT, at + Vector3::z() * 20e-3);
    bench.go(RIGHT, at + Vector3::z() * common::ABOVE);
    bench.jaw(RIGHT, common::SHUT);
    let held = bench.world.view().rings[0].held;
    assert!(held.psm1 && held.psm2, "both hold it on the board");
    bench.jaw(LEFT, common::OPEN);
    bench.by(LEFT, [-25e-3, 0.0, 20e-3]);
    bench.by(RIGHT, [0.0, 0.0, 26e-3]);
    assert!(bench.ring(0).z > 20e-3, "the other hand lifts it");
    bench.put(RIGHT, 0, TO, LOW);
    let score = bench.world.score();
    assert!(score.completed);
    assert_eq!(score.errors, ByKind { not_passed: 1, ..ByKind::default() });
}

#[test]
fn dropped_on_the_board_is_one_drop_in_the_carry_and_can_be_had_again() {
    let mut bench = begin(task(1, false));
    bench.pick(LEFT, 0);
    bench.put(LEFT, 0, [-15e-3, 0.0], 5e-3);
    assert_eq!(errors(&bench), ByKind { dropped_on_board: 1, ..ByKind::default() });
    let mistake = bench.world.score().mistakes[0];
    assert_eq!((mistake.kind, mistake.step), (Kind::DroppedOnBoard, SubStep::Carry));
    assert_eq!((mistake.hand, mistake.object), (Some("left"), Some(0)));
    bench.pick(LEFT, 0);
    bench.pass(LEFT, RIGHT, 0);
    bench.put(RIGHT, 0, TO, LOW);
    let score = bench.world.score();
    assert!(score.completed);
    assert_eq!(score.errors_by_step, ByStep { carry: 1, ..ByStep::default() });
    assert!((score.points - (300.0 - score.time_s - 5.0)).abs() < 1e-9);
}

#[test]
fn who_holds_it_last_is_who_drops_it() {
    let mut bench = begin(task(1, false));
    bench.pick(LEFT, 0);
    bench.pass(LEFT, RIGHT, 0);
    bench.pass(RIGHT, LEFT, 0);
    bench.put(LEFT, 0, [-15e-3, 0.0], 5e-3);
    let mistakes = bench.world.score().mistakes;
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert_eq!((mistakes[0].kind, mistakes[0].hand), (Kind::DroppedOnBoard, Some("left")));
}

#[test]
fn dropped_out_of_the_field_is_lost_and_nothing_is_completed_by_losing_all() {
    let mut bench = begin(task(1, false));
    bench.pick(LEFT, 0);
    bench.put(LEFT, 0, [-60e-3, 54e-3], 20e-3);
    let score = bench.world.score();
    assert!(bench.world.is_over() && !score.completed);
    let lost = ByKind { dropped_out_of_field: 1, ..ByKind::default() };
    assert_eq!(score.errors, lost);
    assert!((score.penalties_s - 50.0).abs() < 1e-12 && score.points.abs() < 1e-12);
}

/// Takes hold of a ring without a grip: the closed jaw comes down into its hole.
fn hook(bench: &mut Bench<Episode>, arm: ArmId, number: usize) {
    bench.jaw(arm, 0.0);
    let at = bench.ring(number);
    bench.go(arm, at + Vector3::z() * 30e-3);
    bench.go(arm, at + Vector3::z() * 7e-3);
}

#[test]
fn a_ring_at_rest_that_is_pushed_off_the_board_is_lost_and_ends_the_task() {
    let mut bench = begin(task(1, false));
    bench.pick(LEFT, 0);
    bench.put(LEFT, 0, [-15e-3, 30e-3], 5e-3);
    let dropped = ByKind { dropped_on_board: 1, ..ByKind::default() };
    assert_eq!((errors(&bench), bench.world.is_over()), (dropped, false));
    hook(&mut bench, LEFT, 0);
    bench.by(LEFT, [0.0, 35e-3, 0.0]);
    bench.wait(500);
    let score = bench.world.score();
    assert!(bench.world.is_over() && !score.completed, "{:?} {score:?}", bench.ring(0));
    let (board, field) = (score.errors.dropped_on_board, score.errors.dropped_out_of_field);
    assert_eq!((board, field), (1, 1));
    let lost = score.mistakes.iter().find(|m| m.kind == Kind::DroppedOutOfField).unwrap();
    assert_eq!((lost.step, lost.hand, lost.object), (SubStep::Reach, None, Some(0)));
    let forced = f64::from(score.errors.excessive_force) * 5.0;
    assert!((score.penalties_s - 55.0 - forced).abs() < 1e-12, "{score:?}");
}

#[test]
fn a_placed_ring_that_is_knocked_off_its_peg_is_dropped_and_counts_no_longer() {
    let mut low = task(2, false);
    let Goal::Carry(carry) = &mut low.goal else { panic!("rings") };
    // Over a peg so flat a ring can be pushed without a grip.
    carry.peg_height = 3.0e-3;
    carry.peg_radius = 3.0e-3;
    let mut bench = begin(low);
    bring_over(&mut bench);
    bench.jaw(RIGHT, 0.0);
    // Laid flat, the closed blades go under the tube's side and push.
    let at = Vector3::new(bench.ring(0).x + 22e-3, bench.ring(0).y, 0.7e-3);
    bench.go(RIGHT, at + Vector3::z() * 40e-3);
    bench.tools.get_mut(RIGHT).tip.rotation =
        UnitQuaternion::from_axis_angle(&Vector3::y_axis(), -1.5);
    bench.go(RIGHT, at);
    bench.by(RIGHT, [-22e-3, 0.0, 0.0]);
    bench.by(RIGHT, [22e-3, 0.0, 0.0]);
    bench.by(RIGHT, [0.0, 0.0, 25e-3]);
    bench.tools.get_mut(RIGHT).tip.rotation = common::down();
    bench.wait(1_500);
    let score = bench.world.score();
    assert_eq!(score.errors.dropped_on_board, 1, "{score:?}");
    assert_eq!((score.mistakes.last().unwrap().hand, score.moves), (None, 0));
    bench.jaw(RIGHT, common::OPEN);
    put_again(&mut bench);
}

#[test]
fn a_placed_ring_taken_up_too_early_and_dropped_counts_no_longer() {
    let mut bench = begin(task(2, true));
    bring_over(&mut bench);
    bench.pick(RIGHT, 0);
    bench.put(RIGHT, 0, [10e-3, 0.0], LOW);
    let score = bench.world.score();
    assert_eq!(score.errors, ByKind { dropped_on_board: 1, ..ByKind::default() });
    assert_eq!(score.moves, 0);
    put_again(&mut bench);
}

#[test]
fn the_wrong_peg_is_told_and_the_way_back_waits_for_the_last_ring() {
    let mut bench = begin(task(2, true));
    bring_over(&mut bench);
    // Back, before the other ring has been over.
    bench.pick(RIGHT, 0);
    bench.pass(RIGHT, LEFT, 0);
    bench.put(LEFT, 0, FROM, LOW);
    let score = bench.world.score();
    assert_eq!(score.errors, ByKind { wrong_peg: 1, ..ByKind::default() });
    assert_eq!((score.moves, score.completed), (0, false));
    assert_eq!(score.errors_by_step, ByStep { place: 1, ..ByStep::default() });
}

#[test]
fn a_jaw_that_closes_beside_the_ring_is_an_empty_grasp() {
    let mut bench = begin(task(1, false));
    let at = bench.ring(0);
    bench.go(LEFT, at + Vector3::new(0.0, -16e-3, 10e-3));
    bench.jaw(LEFT, common::SHUT);
    bench.wait(300);
    assert_eq!(errors(&bench), ByKind { empty_grasp: 1, ..ByKind::default() });
    bench.jaw(LEFT, common::OPEN);
    // Far from every ring a closed jaw is nothing.
    bench.go(LEFT, Vector3::new(-10e-3, 0.0, 60e-3));
    bench.jaw(LEFT, common::SHUT);
    bench.wait(300);
    assert_eq!(errors(&bench), ByKind { empty_grasp: 1, ..ByKind::default() });
}

#[test]
fn a_bump_is_a_collision_and_a_hard_one_is_force_too() {
    let mut bench = begin(task(1, false));
    bench.jaw(LEFT, 0.0);
    // The closed blades' ends are at 8 mm and their radius below the pivot; 2 N a millimetre.
    let touch = 8e-3 + 0.6e-3;
    bench.go(LEFT, Vector3::new(-30e-3, 0.0, touch + 5e-3));
    bench.go(LEFT, Vector3::new(-30e-3, 0.0, touch - 1e-3));
    bench.go(LEFT, Vector3::new(-30e-3, 0.0, touch + 5e-3));
    assert_eq!(errors(&bench), ByKind { collision: 1, ..ByKind::default() });
    bench.go(LEFT, Vector3::new(-30e-3, 0.0, touch - 2e-3));
    bench.go(LEFT, Vector3::new(-30e-3, 0.0, touch + 5e-3));
    let score = bench.world.score();
    assert_eq!(score.errors, ByKind { collision: 2, excessive_force: 1, ..ByKind::default() });
    assert!((score.left.force_max_n - 4.0).abs() < 1e-6, "{}", score.left.force_max_n);
    // Deeper than 1.5 mm: in and out at 40 mm/s over the last half millimetre.
    assert!((score.left.excessive_force_s - 0.025).abs() < 2e-3);
    assert!((score.penalties_s - 5.0).abs() < 1e-12);
    assert!(score.right.force_max_n.abs() < 1e-12);
}

#[test]
fn out_of_the_workspace_and_idle_are_timed() {
    let mut bench = begin(task(1, false));
    bench.go(RIGHT, Vector3::new(94e-3, 0.0, 45e-3));
    bench.go(RIGHT, Vector3::new(97e-3, 0.0, 45e-3));
    bench.wait(500);
    bench.go(RIGHT, Vector3::new(94e-3, 0.0, 45e-3));
    let score = bench.world.score();
    assert_eq!(score.errors, ByKind { out_of_workspace: 1, ..ByKind::default() });
    assert!((score.right.out_of_workspace_s - 0.600).abs() < 3e-3, "500 ms and twice 2 mm");
    assert!((score.idle_s - 0.5).abs() < 3e-3, "{}", score.idle_s);
    assert!((score.time_s - f64::from(bench.ticks) * 1e-3).abs() < 1e-9);
}

#[test]
fn stops_and_clutches_are_counted_by_their_beginnings() {
    let mut episode = Episode::new(task(1, false), 1);
    let still = |tool: &Tool, rcm: Vector3<f64>| ArmSaid {
        tip: longhand_protocol::geometry::Pose::new(
            tool.tip.translation.vector - rcm,
            tool.tip.rotation,
        ),
        jaw: tool.jaw,
    };
    let [one, two] = episode.task().rcm;
    let tool = common::tool(Vector3::new(0.0, 0.0, 0.05), common::OPEN);
    let apart = common::tool(Vector3::new(0.05, 0.0, 0.05), common::OPEN);
    let arms = PerArm { psm1: still(&tool, one), psm2: still(&apart, two) };
    let mut play = |ms: u32, stage, clutch| {
        for _ in 0..ms {
            episode.tick(&Tick { arms, stage, clutch });
        }
        episode.score()
    };
    let before = play(500, Stage::Latched, false);
    assert_eq!((before.safe_stops, before.time_s.to_bits()), (0, 0.0_f64.to_bits()));
    play(100, Stage::Follow, true);
    play(50, Stage::Coast, true);
    play(30, Stage::Brake, false);
    play(200, Stage::Hold, true);
    play(100, Stage::Follow, false);
    let score = play(40, Stage::Brake, false);
    assert_eq!((score.safe_stops, score.clutches), (2, 2));
    assert!((score.held_s - 0.270).abs() < 1e-9 && (score.time_s - 0.520).abs() < 1e-9);
}

#[test]
fn the_seed_lays_the_rings_and_nothing_else() {
    let run = |seed| {
        let mut bench = Bench::new(Episode::new(Task::shipped("peg-transfer").unwrap(), seed));
        bench.wait(300);
        (bench.world.hash(), bench.ring(0))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
    assert!((run(1).1 - Vector3::new(-60e-3, 26e-3, 2.5e-3)).norm() < 1.1e-3);
}

/// The right hand's lead: 32 mm below its tip, to the target 20 mm below the entry.
fn lead_at(x_off: f64, depth: f64) -> Vector3<f64> {
    Vector3::new(30e-3 + x_off, 5e-3, 32e-3 - depth)
}

fn insertion() -> Bench<Episode> {
    let mut bench = begin(Task::shipped("stereotactic-insertion").unwrap());
    bench.jaw(RIGHT, 0.0);
    bench
}

#[test]
fn a_lead_put_exactly_on_its_target_costs_its_time_alone() {
    let mut bench = insertion();
    bench.go(RIGHT, lead_at(0.0, -5e-3));
    bench.go(RIGHT, lead_at(0.0, 20e-3));
    bench.wait(1_900);
    assert!(!bench.world.is_over(), "it has to stand for two seconds");
    bench.wait(200);
    let score = bench.world.score();
    let lead = score.inserted.unwrap();
    assert!(score.completed && score.mistakes.is_empty(), "{score:?}");
    assert!(lead.lateral_mm < 1e-6 && lead.angle_deg < 1e-5 && lead.depth_error_mm.abs() < 1e-6);
    assert!((lead.force_max_n - 0.2).abs() < 1e-6, "20 mm at 0.01 N: {}", lead.force_max_n);
    assert!((score.points - (120.0 - score.time_s)).abs() < 1e-4, "{score:?}");
}

#[test]
fn a_lead_that_overshoots_beside_its_line_costs_exactly_that() {
    let mut bench = insertion();
    bench.go(RIGHT, lead_at(1e-3, -5e-3));
    bench.go(RIGHT, lead_at(1e-3, 21.5e-3));
    bench.go(RIGHT, lead_at(1e-3, 20e-3));
    bench.wait(2_100);
    let score = bench.world.score();
    let lead = score.inserted.unwrap();
    assert_eq!(score.errors, ByKind { overshoot: 1, ..ByKind::default() });
    assert_eq!(score.errors_by_step, ByStep { insert: 1, ..ByStep::default() });
    assert!((lead.overshoot_mm - 1.5).abs() < 1e-6 && (lead.lateral_mm - 1.0).abs() < 1e-6);
    // 20 s for the overshoot, 10 s for the millimetre beside.
    assert!((score.penalties_s - 30.0).abs() < 1e-4, "{}", score.penalties_s);
}

#[test]
fn a_lead_beside_its_hole_misses_the_entry_and_feels_the_bone() {
    let mut bench = insertion();
    bench.go(RIGHT, lead_at(3e-3, -5e-3));
    bench.go(RIGHT, lead_at(3e-3, 10e-3));
    bench.go(RIGHT, lead_at(3e-3, -5e-3));
    let score = bench.world.score();
    let errors = ByKind { missed_entry: 1, excessive_force: 1, ..ByKind::default() };
    assert_eq!(score.errors, errors);
    // A millimetre into the edge at 1 N, and 10 mm of friction.
    assert!((score.inserted.unwrap().force_max_n - 1.1).abs() < 1e-3, "{score:?}");
    assert!(!score.completed && score.points.abs() < 1e-12);
}

#[test]
fn a_lead_at_its_depth_but_beside_its_hole_is_not_there() {
    let mut bench = insertion();
    bench.go(RIGHT, lead_at(2.1e-3, -5e-3));
    bench.go(RIGHT, lead_at(2.1e-3, 20e-3));
    bench.wait(2_500);
    assert!(!bench.world.is_over() && !bench.world.score().completed);
    // As far beside as the hole is wide, it is.
    bench.go(RIGHT, lead_at(1.9e-3, 20e-3));
    bench.wait(2_100);
    let score = bench.world.score();
    assert!(score.completed, "{score:?}");
    assert_eq!(score.errors.missed_entry, 1);
}

#[test]
fn a_tremor_at_the_bone_and_at_the_target_is_one_crossing_each() {
    let mut bench = insertion();
    let tremble = |bench: &mut Bench<Episode>, beside: f64, depth: f64| {
        bench.go(RIGHT, lead_at(beside, depth - 0.2e-3));
        for _ in 0..10 {
            bench.go(RIGHT, lead_at(beside, depth + 0.2e-3));
            bench.go(RIGHT, lead_at(beside, depth - 0.2e-3));
        }
    };
    bench.go(RIGHT, lead_at(2.3e-3, -5e-3));
    tremble(&mut bench, 2.3e-3, 0.0);
    assert_eq!(errors(&bench), ByKind { missed_entry: 1, ..ByKind::default() });
    bench.go(RIGHT, lead_at(0.0, -5e-3));
    bench.wait(200);
    tremble(&mut bench, 0.0, 20.5e-3);
    assert_eq!(errors(&bench), ByKind { missed_entry: 1, overshoot: 1, ..ByKind::default() });
    // Back for longer than a tremor, and beyond again: a second one.
    bench.go(RIGHT, lead_at(0.0, 20e-3));
    bench.wait(200);
    bench.go(RIGHT, lead_at(0.0, 20.7e-3));
    assert_eq!(errors(&bench).overshoot, 2);
}
