//! Round trips, and that nothing damaged or foreign is ever taken.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests; clippy's own exemption does not reach their helper functions"
)]

mod common;

use common::*;
use longhand_protocol::geometry::{Mismatch, Pose, RobotBase, Tip};
use longhand_protocol::message::*;
use longhand_protocol::units::*;
use longhand_protocol::wire::*;
use proptest::prelude::*;

/// A rotation loses `f32` digits: 1e-7 rad. Everything else must come back exactly.
const ROUNDING: Mismatch = Mismatch { distance_m: 0.0, angle_rad: 5e-7 };

/// Whether the rounding is all that happened; then takes `sent`'s pose over, to compare the rest.
fn settle(sent: &Pose<RobotBase, Tip>, got: &mut Pose<RobotBase, Tip>) {
    assert!(sent.mismatch(got).within(ROUNDING), "{sent:?} came back as {got:?}");
    *got = *sent;
}

fn crc_again(bytes: &mut [u8]) {
    let (body, crc) = bytes.split_last_chunk_mut::<8>().unwrap();
    *crc = crc::Crc::<u64>::new(&crc::CRC_64_XZ).checksum(body).to_le_bytes();
}

proptest! {
    #[test]
    fn command_comes_back(command in any_command()) {
        let mut got = decode_command(&encode_command(&command)).unwrap();
        settle(&command.intent.arms.psm1.servo_cp, &mut got.intent.arms.psm1.servo_cp);
        settle(&command.intent.arms.psm2.servo_cp, &mut got.intent.arms.psm2.servo_cp);
        prop_assert_eq!(got, command);
    }

    #[test]
    fn state_comes_back(report in any_state()) {
        let mut got = decode_state(&encode_state(&report)).unwrap();
        for (sent, got) in [
            (&report.state.arms.psm1, &mut got.state.arms.psm1),
            (&report.state.arms.psm2, &mut got.state.arms.psm2),
        ] {
            settle(&sent.measured_cp, &mut got.measured_cp);
            settle(&sent.setpoint_cp, &mut got.setpoint_cp);
        }
        prop_assert_eq!(got, report);
    }

    #[test]
    fn frame_comes_back(frame in any_frame()) {
        let mut out = [0; FRAME_MAX];
        let len = encode_frame(&frame, &mut out);
        prop_assert_eq!(decode_frame(&out[..len]), Ok(frame));
    }

    #[test]
    fn random_bytes_are_never_taken(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode_command(&bytes).is_err());
        prop_assert!(decode_state(&bytes).is_err());
        prop_assert!(decode_frame(&bytes).is_err());
    }

    #[test]
    fn a_burst_of_damage_is_never_taken(
        command in any_command(),
        from in 0..COMMAND_LEN,
        burst in proptest::collection::vec(any::<u8>(), 1..COMMAND_LEN),
    ) {
        let clean = encode_command(&command);
        let mut bytes = clean;
        for (byte, noise) in bytes[from..].iter_mut().zip(burst) {
            *byte = noise;
        }
        prop_assume!(bytes != clean);
        prop_assert!(decode_command(&bytes).is_err());
    }

    /// Damage with a checksum made anew: what comes out, if anything, is finite and in bounds.
    #[test]
    fn what_is_taken_is_sane(at in 4..COMMAND_LEN - 8, noise in any::<[u8; 4]>()) {
        let mut bytes = encode_command(&sample_command());
        for (byte, noise) in bytes[at..COMMAND_LEN - 8].iter_mut().zip(noise) {
            *byte = noise;
        }
        crc_again(&mut bytes);
        if let Ok(command) = decode_command(&bytes) {
            for arm in command.intent.arms.iter() {
                prop_assert!(arm.servo_cp.is_finite() && arm.servo_cv.is_finite());
                prop_assert!(arm.servo_cp.position().amax() <= 1.0);
                prop_assert!((arm.servo_cp.rotation().norm() - 1.0).abs() < 1e-12);
                prop_assert!(arm.jaw.abs() <= 3.15);
            }
        }
    }
}

#[test]
fn every_single_bit_flip_is_refused() {
    let command = encode_command(&sample_command());
    for bit in 0..COMMAND_LEN * 8 {
        let mut bytes = command;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0 | 1 => WireError::Magic,
            2 => WireError::Version,
            3 => WireError::Kind,
            _ => WireError::Corrupt,
        };
        assert_eq!(decode_command(&bytes), Err(expected), "bit {bit}");
    }
    let state = encode_state(&sample_state());
    for bit in 0..STATE_LEN * 8 {
        let mut bytes = state;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_state(&bytes).is_err(), "bit {bit}");
    }
    for frame in sample_frames() {
        let mut clean = [0; FRAME_MAX];
        let len = encode_frame(&frame, &mut clean);
        for bit in 0..len * 8 {
            let mut bytes = clean;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_frame(&bytes[..len]).is_err(), "{frame:?} bit {bit}");
        }
    }
}

#[test]
fn every_other_length_is_refused() {
    let mut long = [0; COMMAND_LEN + 40];
    long[..COMMAND_LEN].copy_from_slice(&encode_command(&sample_command()));
    for len in (0..long.len()).filter(|len| *len != COMMAND_LEN) {
        assert_eq!(decode_command(&long[..len]), Err(WireError::Length), "{len}");
    }
    for frame in sample_frames() {
        let mut out = [0; FRAME_MAX + 8];
        let len = encode_frame(&frame, out.first_chunk_mut().unwrap());
        for cut in (0..out.len()).filter(|cut| *cut != len) {
            assert_eq!(decode_frame(&out[..cut]), Err(WireError::Length), "{frame:?} {cut}");
        }
    }
}

#[test]
fn each_message_on_the_wrong_road_is_refused() {
    let mut padded = [0; STATE_LEN];
    padded[..COMMAND_LEN].copy_from_slice(&encode_command(&sample_command()));
    assert_eq!(decode_state(&padded), Err(WireError::Kind));
    assert_eq!(decode_frame(&padded[..COMMAND_LEN]), Err(WireError::Kind));
    assert_eq!(decode_command(&encode_state(&sample_state())), Err(WireError::Length));
}

/// One bad value in a command that is otherwise good, and its reason.
fn refused(change: impl FnOnce(&mut Command)) -> WireError {
    let mut command = sample_command();
    change(&mut command);
    decode_command(&encode_command(&command)).unwrap_err()
}

#[test]
fn bad_values_are_written_and_refused_by_name() {
    use nalgebra::{Quaternion, UnitQuaternion, Vector3};
    let turn = |w, x| UnitQuaternion::new_unchecked(Quaternion::new(w, x, 0.0, 0.0));
    let at = |x| Pose::new(Vector3::new(x, 0.0, 0.0), UnitQuaternion::identity());
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        assert_eq!(refused(|c| c.intent.arms.psm1.jaw = bad), WireError::NotFinite);
        assert_eq!(refused(|c| c.intent.arms.psm2.servo_cv.linear.y = bad), WireError::NotFinite);
        assert_eq!(refused(|c| c.intent.arms.psm2.servo_cv.angular.z = bad), WireError::NotFinite);
        assert_eq!(refused(|c| c.intent.arms.psm1.servo_cp = at(bad)), WireError::NotFinite);
        let pose = Pose::new(Vector3::zeros(), turn(bad, 0.0));
        assert_eq!(refused(|c| c.intent.arms.psm2.servo_cp = pose), WireError::NotFinite);
    }
    for norm in [0.0, 0.998, 1.002, 1e30] {
        let pose = Pose::new(Vector3::zeros(), turn(norm, 0.0));
        assert_eq!(refused(|c| c.intent.arms.psm1.servo_cp = pose), WireError::NotUnit);
    }
    assert_eq!(refused(|c| c.intent.arms.psm1.servo_cp = at(1.000_001)), WireError::OutOfRange);
    assert_eq!(refused(|c| c.intent.arms.psm1.servo_cp = at(-1.1)), WireError::OutOfRange);
    assert_eq!(refused(|c| c.intent.arms.psm1.servo_cv.linear.x = 10.1), WireError::OutOfRange);
    assert_eq!(refused(|c| c.intent.arms.psm1.servo_cv.angular.x = -51.0), WireError::OutOfRange);
    assert_eq!(refused(|c| c.intent.arms.psm2.jaw = 3.2), WireError::OutOfRange);
}

#[test]
fn edges_of_the_ranges_are_good() {
    use nalgebra::{Quaternion, UnitQuaternion, Vector3};
    let mut command = sample_command();
    command.intent.arms.psm1.jaw = core::f64::consts::PI;
    command.intent.arms.psm2.jaw = -core::f64::consts::PI;
    command.intent.arms.psm1.servo_cv.linear.x = 1e-45;
    // Within a thousandth: taken, and made unit. The sign is left alone: it is the same rotation.
    let near = UnitQuaternion::new_unchecked(Quaternion::new(-0.9995, 0.0, 0.0, 0.0));
    command.intent.arms.psm1.servo_cp = Pose::new(Vector3::new(1.0, -1.0, 0.0), near);
    let got = decode_command(&encode_command(&command)).unwrap();
    let q = got.intent.arms.psm1.servo_cp.rotation();
    assert!((q.w + 1.0).abs() < 1e-12, "{q:?}");
    assert!(q.angle_to(&UnitQuaternion::identity()) < 1e-7);
}

#[test]
fn a_validity_saturates_down_and_an_age_up() {
    let mut command = sample_command();
    command.intent.valid_for = Micros::MAX;
    let got = decode_command(&encode_command(&command)).unwrap();
    assert_eq!(got.intent.valid_for, Micros::from_micros(u32::MAX.into()));
    let mut report = sample_state();
    report.state.age = Micros::from_secs(3 * 3600);
    let got = decode_state(&encode_state(&report)).unwrap();
    assert_eq!(got.state.age, Micros::MAX);
}

#[test]
fn unknown_bits_and_words_are_refused() {
    // Offsets from WIRE.md, which golden.rs holds true.
    for bit in 5..32_u8 {
        let mut bytes = encode_command(&sample_command());
        bytes[72 + usize::from(bit / 8)] |= 1 << (bit % 8);
        crc_again(&mut bytes);
        assert_eq!(decode_command(&bytes), Err(WireError::UnknownLevel), "bit {bit}");
    }
    for (offset, value, error) in [
        (52, 8, WireError::BadWord),
        (52, 255, WireError::BadWord),
        (53, 16, WireError::BadWord),
        (54, 0x21, WireError::UnknownLevel),
        (55, 0x80, WireError::UnknownLevel),
    ] {
        let mut bytes = encode_state(&sample_state());
        bytes[offset] = value;
        crc_again(&mut bytes);
        assert_eq!(decode_state(&bytes), Err(error), "offset {offset}");
    }
    for frame in [Frame::StateCommand(StateCommand::Pause), sample_frames()[2]] {
        let mut out = [0; FRAME_MAX];
        let len = encode_frame(&frame, &mut out);
        out[4] = 8;
        crc_again(&mut out[..len]);
        assert_eq!(decode_frame(&out[..len]), Err(WireError::BadWord));
    }
}

#[test]
fn a_peer_of_another_version_can_ask_and_be_told() {
    for frame in sample_frames() {
        let mut out = [0; FRAME_MAX];
        let len = encode_frame(&frame, &mut out);
        out[2] = 9;
        crc_again(&mut out[..len]);
        let got = decode_frame(&out[..len]);
        match frame {
            Frame::Hello { robot, half, resume, .. } => {
                assert_eq!(got, Ok(Frame::Hello { version: 9, robot, half, resume }));
            }
            Frame::Refused(refusal) => assert_eq!(got, Ok(Frame::Refused(refusal))),
            Frame::Welcome { .. }
            | Frame::Witness(_)
            | Frame::StateCommand(_)
            | Frame::StateAccepted(_)
            | Frame::ProbeBegin { .. }
            | Frame::ProbeReady { .. } => {
                assert_eq!(got, Err(WireError::Version));
            }
        }
    }
}

#[test]
fn terms_that_cannot_be_meant_are_refused() {
    let Frame::Welcome { key, terms, resume } = sample_frames()[1] else { panic!("the welcome") };
    for (speed, error) in [
        (f64::NAN, WireError::NotFinite),
        (f64::INFINITY, WireError::NotFinite),
        (-0.1, WireError::OutOfRange),
        (10.1, WireError::OutOfRange),
    ] {
        let terms = Terms { tip_speed_max: speed, ..terms };
        let mut out = [0; FRAME_MAX];
        let len = encode_frame(&Frame::Welcome { key, terms, resume }, &mut out);
        assert_eq!(decode_frame(&out[..len]), Err(error));
    }
}
