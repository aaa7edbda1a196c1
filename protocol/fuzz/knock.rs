//! Every door of `longhand-protocol`, knocked at with any bytes: no panic, nothing taken twice,
//! nothing taken that is not finite.
//!
//! Knows: the doors, and what must hold whatever comes. Does not know: where the bytes are from:
//! the fuzzer (`fuzz_targets/datagram.rs`) makes them, `tests/corpus.rs` replays what it kept.

use crc::{CRC_64_XZ, Crc};
use longhand_protocol::message::{Frame, Intent, PROTOCOL_VERSION, SessionKey};
use longhand_protocol::probe::Receipts;
use longhand_protocol::session::{ConsoleSession, RobotSession};
use longhand_protocol::units::Instant;
use longhand_protocol::wire::{
    FRAME_MAX, decode_command, decode_frame, decode_path_answer, decode_path_probe, decode_probe,
    decode_probe_answer, decode_state, encode_command, encode_frame, encode_path_answer,
    encode_path_probe, encode_probe, encode_probe_answer, encode_state,
};

static CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

/// Knocks with the input as it is, and once more with its checksum made right, because no fuzzer
/// finds a CRC-64.
pub fn twice(input: &[u8]) {
    once(input);
    let mut mended = input.to_vec();
    if let Some((body, crc)) = mended.split_last_chunk_mut::<8>() {
        *crc = CRC.checksum(body).to_le_bytes();
        once(&mended);
    }
}

/// Every door, once.
fn once(bytes: &[u8]) {
    if let Ok(command) = decode_command(bytes) {
        for arm in command.intent.arms.iter() {
            assert!(arm.servo_cp.is_finite() && arm.servo_cv.is_finite() && arm.jaw.is_finite());
            assert!((arm.servo_cp.rotation().norm() - 1.0).abs() < 1e-9);
        }
        assert!(decode_command(&encode_command(&command)).is_ok());
        robot(command.key, bytes);
    }
    if let Ok(report) = decode_state(bytes) {
        for arm in report.state.arms.iter() {
            assert!(arm.measured_js.is_finite() && arm.measured_cp.is_finite());
        }
        assert!(decode_state(&encode_state(&report)).is_ok());
        console(report.key, bytes);
    }
    if let Ok(probe) = decode_probe(bytes) {
        assert_eq!(encode_probe(&probe).as_slice(), bytes, "a probe has one way to be written");
        let mut receipts = Receipts::new();
        let now = Instant::from_micros(1);
        let answers = [(); 2].map(|()| receipts.take(&probe, now));
        assert!(answers[1].is_none(), "a copy is not answered");
    }
    if let Ok(probe) = decode_path_probe(bytes) {
        assert!(
            bytes.starts_with(&encode_path_probe(&probe)),
            "its head has one way to be written"
        );
    }
    if let Ok(answer) = decode_path_answer(bytes) {
        assert!(bytes.starts_with(&encode_path_answer(&answer)));
    }
    if let Ok(answer) = decode_probe_answer(bytes) {
        assert_eq!(encode_probe_answer(&answer).as_slice(), bytes);
        let _ = (answer.has_come(answer.newest), answer.has_come(0));
    }
    if let Ok(frame) = decode_frame(bytes) {
        let mut out = [0; FRAME_MAX];
        let len = encode_frame(&frame, &mut out);
        // A refusal of another version is read, but written as our own version.
        let foreign = matches!(frame, Frame::Refused(_)) && bytes.get(2) != Some(&PROTOCOL_VERSION);
        if !foreign {
            assert_eq!(out.get(..len), Some(bytes), "a frame has one way to be written");
        }
    }
    robot(SessionKey::default(), bytes);
    console(SessionKey::default(), bytes);
}

/// A robot that hears the input twice, the second time later: accepted at most once.
fn robot(key: SessionKey, bytes: &[u8]) {
    let mut session = RobotSession::new(key);
    let first = session.handle_datagram(Instant::from_micros(u64::MAX / 2), bytes);
    let second = session.handle_datagram(Instant::from_micros(u64::MAX), bytes);
    assert!(first.is_err() || second.is_err());
    let taken = u64::from(first.is_ok()) + u64::from(second.is_ok());
    assert_eq!((session.accepted(), session.rejects().total()), (taken, 2 - taken));
}

fn console(key: SessionKey, bytes: &[u8]) {
    let mut session = ConsoleSession::new(key);
    let _sent = session.send(&Intent::default());
    let first = session.handle_datagram(Instant::from_micros(u64::MAX / 2), bytes);
    let second = session.handle_datagram(Instant::from_micros(u64::MAX), bytes);
    assert!(first.is_err() || second.is_err());
    let _ = session.clock().offset(Instant::from_micros(0));
}
