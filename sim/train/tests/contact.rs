//! The contact world: rest, grasp, lift, pass, drop, slip, collide; and the same bits again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

mod common;

use common::{ABOVE, Bench, OPEN, RING, scene};
use longhand_protocol::geometry::ArmId;
use longhand_train::contact::ContactWorld;
use nalgebra::Vector3;

const PEG: [f64; 2] = [-0.03, 0.0];

fn bench(rings: &[[f64; 2]]) -> Bench<ContactWorld> {
    Bench::new(ContactWorld::new(scene(rings)))
}

#[test]
fn a_ring_comes_to_rest_on_the_board_about_its_peg() {
    let mut bench = bench(&[PEG, [0.03, 0.0]]);
    bench.wait(500);
    for number in [0, 1] {
        let ring = bench.ring(number);
        assert!((ring.z - RING.1).abs() < 0.1e-3, "{ring}");
        assert!((ring.y).abs() < 0.5e-3);
        assert!(bench.world.objects()[number].speed < 1e-4);
    }
}

#[test]
fn a_ring_is_grasped_lifted_and_dropped() {
    let mut bench = bench(&[PEG]);
    bench.wait(200);
    bench.pick(ArmId::Psm1, 0);
    assert_eq!(bench.world.felt(ArmId::Psm1).holds, Some(0));
    assert!(bench.world.felt(ArmId::Psm1).grip_n > 1.0);
    let ring = bench.ring(0);
    assert!(ring.z > 20e-3, "lifted: {ring}");
    // Away from the peg, and let go.
    let at = bench.tools.psm1.tip.translation.vector;
    bench.go(ArmId::Psm1, at + Vector3::new(0.03, 0.0, 0.0));
    bench.jaw(ArmId::Psm1, OPEN);
    assert_eq!(bench.world.felt(ArmId::Psm1).holds, None);
    bench.wait(700);
    assert!(bench.ring(0).z < 6e-3, "fallen: {}", bench.ring(0));
}

#[test]
fn a_ring_goes_from_hand_to_hand_in_the_air() {
    let mut bench = bench(&[PEG]);
    bench.wait(200);
    bench.pick(ArmId::Psm1, 0);
    bench.pass(ArmId::Psm1, ArmId::Psm2, 0);
    let holds = |bench: &Bench<ContactWorld>, arm| bench.world.felt(arm).holds;
    assert_eq!(holds(&bench, ArmId::Psm1), None);
    assert_eq!(holds(&bench, ArmId::Psm2), Some(0));
    assert!(bench.ring(0).z > 20e-3, "still in the air: {}", bench.ring(0));
}

#[test]
fn a_light_grip_slips_where_a_firm_one_holds() {
    // The ring about its peg cannot leave sideways: the peg pulls.
    let pulled = |beyond: f64| {
        let mut bench = bench(&[PEG]);
        bench.wait(200);
        let at = bench.ring(0) - Vector3::x() * RING.0;
        bench.go(ArmId::Psm1, at + Vector3::z() * 25e-3);
        bench.go(ArmId::Psm1, at + Vector3::z() * ABOVE);
        while bench.world.felt(ArmId::Psm1).holds.is_none() {
            bench.jaw(ArmId::Psm1, bench.tools.psm1.jaw - 2e-3);
        }
        bench.jaw(ArmId::Psm1, bench.tools.psm1.jaw - beyond);
        let grip_n = bench.world.felt(ArmId::Psm1).grip_n;
        let from = bench.tools.psm1.tip.translation.vector;
        let (mut slips, mut worst_n) = (0, 0.0_f64);
        for step in 0..300 {
            let to = from + Vector3::y() * 30e-6 * f64::from(step);
            bench.go(ArmId::Psm1, to);
            let felt = bench.world.felt(ArmId::Psm1);
            slips += u32::from(felt.slips);
            worst_n = worst_n.max(felt.force_n);
        }
        (grip_n, slips, worst_n)
    };
    let (light, slips, force) = pulled(0.02);
    let (firm, firm_slips, firm_force) = pulled(0.3);
    assert!(slips > 0 && firm_slips == 0, "{light} N: {slips} slips, {firm} N: {firm_slips}");
    assert!(force < firm_force, "friction bounds the pull: {force} N against {firm_force} N");
}

#[test]
fn an_instrument_against_board_peg_and_instrument_is_felt() {
    let mut bench = bench(&[PEG]);
    bench.wait(10);
    assert!(!bench.world.felt(ArmId::Psm1).bumps);
    // A millimetre into the board: 2 N.
    bench.jaw(ArmId::Psm1, 0.0);
    bench.go(ArmId::Psm1, Vector3::new(-0.055, 0.02, 8e-3 + 0.6e-3 - 1e-3));
    let felt = *bench.world.felt(ArmId::Psm1);
    assert!(felt.bumps && (felt.force_n - 2.0).abs() < 1e-6, "{felt:?}");
    bench.go(ArmId::Psm1, Vector3::new(-0.055, 0.02, 40e-3));
    assert!(!bench.world.felt(ArmId::Psm1).bumps, "and no longer");
    // Beside the other one.
    let at = bench.tools.psm2.tip.translation.vector;
    bench.go(ArmId::Psm1, at - Vector3::x() * 4e-3);
    assert!(bench.world.felt(ArmId::Psm1).bumps && bench.world.felt(ArmId::Psm2).bumps);
}

#[test]
fn same_input_same_bits_and_other_input_other_bits() {
    let run = |by: f64| {
        let mut bench = bench(&[PEG, [0.03, 0.0], [-0.06, 0.0]]);
        bench.wait(100);
        bench.pick(ArmId::Psm1, 0);
        let at = bench.tools.psm1.tip.translation.vector;
        bench.go(ArmId::Psm1, at + Vector3::new(0.02 + by, 0.0, 0.0));
        bench.jaw(ArmId::Psm1, OPEN);
        bench.wait(300);
        bench.world.hash()
    };
    assert_eq!(run(0.0), run(0.0));
    assert_ne!(run(0.0), run(1e-9));
    // The same in every build: this is what `cargo test --release` finds, too.
    assert_eq!(format!("{:016x}", run(0.0)), GOLDEN);
}

/// Of x86-64, debug and release alike. It changes where the world or rapier does.
const GOLDEN: &str = "5c7a3fa08e61a00b";
