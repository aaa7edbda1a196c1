//! bincode's bytes are wincode's bytes, so that the frozen codec can be replaced in a line.
//!
//! Why: bincode is no longer maintained (RUSTSEC-2025-0141) and wincode is what its authors
//! recommend. The mirrors stand here and not in `wire.rs`, because wincode's derive writes unsafe
//! code and the crate forbids it.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests; clippy's own exemption does not reach their helper functions"
)]

mod common;

use common::*;
use longhand_protocol::message::*;
use longhand_protocol::wire::*;
use proptest::prelude::*;
use wincode::{SchemaRead, SchemaWrite};

type Header = (u16, u8, u8);
type Key = (u64, [u8; 16], u64);

#[derive(SchemaRead, SchemaWrite)]
struct ArmCommand {
    pose: ([f32; 3], [f32; 4]),
    linear: [f32; 3],
    angular: [f32; 3],
    jaw: f32,
}

#[derive(SchemaRead, SchemaWrite)]
struct CommandBody {
    header: Header,
    key: Key,
    number: u64,
    times: [u64; 3],
    valid_for: u32,
    levels: u32,
    arms: [ArmCommand; 2],
    profile: u64,
}

#[derive(SchemaRead, SchemaWrite)]
struct ArmState {
    measured_js: [f32; 6],
    measured_jaw: f32,
    measured_cp: ([f32; 3], [f32; 4]),
    setpoint_cp: ([f32; 3], [f32; 4]),
    setpoint_jaw: f32,
}

#[derive(SchemaRead, SchemaWrite)]
struct StateBody {
    header: Header,
    key: Key,
    number: u64,
    robot_time: u64,
    stage: u8,
    reason: u8,
    flags: u16,
    ages: [u32; 3],
    echo: [u64; 5],
    arms: [ArmState; 2],
    counters: ([u64; 3], [u32; 3]),
    profile: u64,
}

#[derive(SchemaRead, SchemaWrite)]
struct WelcomeBody {
    header: Header,
    key: Key,
    profile: u64,
    terms: [f64; 6],
    spans: [u64; 3],
    resume: u64,
}

type Said = (u64, u64, u64, u64);

#[derive(SchemaRead, SchemaWrite)]
struct ProbeBody {
    header: Header,
    said: Said,
    fill: [u8; 160],
}

#[derive(SchemaRead, SchemaWrite)]
struct ProbeAnswerBody {
    header: Header,
    said: Said,
    times: [u64; 3],
    counts: [u64; 3],
    reordered: u32,
    seen: [u64; 14],
    page_from: u64,
    page: [u64; 15],
}

/// Read by wincode and written by wincode, the body is what it was.
fn same<T>(message: &[u8]) -> T
where
    T: for<'a> SchemaRead<'a, wincode::config::DefaultConfig, Dst = T>
        + SchemaWrite<wincode::config::DefaultConfig, Src = T>,
{
    let body = &message[..message.len() - 8];
    let raw: T = wincode::deserialize_exact(body).unwrap();
    assert_eq!(wincode::serialize(&raw).unwrap(), body);
    raw
}

proptest! {
    #[test]
    fn commands_are_the_same(command in any_command()) {
        let raw = same::<CommandBody>(&encode_command(&command));
        prop_assert_eq!(raw.header, (MAGIC, PROTOCOL_VERSION, 1));
        prop_assert_eq!(raw.number, command.number.get());
        prop_assert_eq!(f64::from(raw.arms[1].jaw), command.intent.arms.psm2.jaw);
        prop_assert_eq!(raw.profile, command.key.profile.get());
    }

    #[test]
    fn states_are_the_same(report in any_state()) {
        let raw = same::<StateBody>(&encode_state(&report));
        prop_assert_eq!(raw.robot_time, report.state.robot_time.as_micros());
        prop_assert_eq!(raw.counters.1[2], report.state.counters.missed_ticks);
        prop_assert_eq!(raw.profile, report.key.profile.get());
    }

    #[test]
    fn probes_are_the_same(probe in any_probe()) {
        let raw = same::<ProbeBody>(&encode_probe(&probe));
        prop_assert_eq!((raw.header.2, raw.said.1, raw.fill[159]), (3, probe.number, 0));
        prop_assert_eq!(decode_probe(&encode_probe(&probe)), Ok(probe));
    }

    #[test]
    fn probe_answers_are_the_same(answer in any_probe_answer()) {
        let raw = same::<ProbeAnswerBody>(&encode_probe_answer(&answer));
        prop_assert_eq!((raw.header.2, raw.counts[2], raw.seen), (4, answer.newest, answer.seen));
        prop_assert_eq!(raw.times[1], answer.answered_at.as_micros());
        prop_assert_eq!(raw.reordered, answer.reordered);
        prop_assert_eq!((raw.page_from, raw.page), (answer.page_from, answer.page));
        prop_assert_eq!(decode_probe_answer(&encode_probe_answer(&answer)), Ok(answer));
    }

    #[test]
    fn frames_are_the_same(frame in any_frame()) {
        let mut out = [0; FRAME_MAX];
        let len = encode_frame(&frame, &mut out);
        match frame {
            Frame::Hello { half, resume, .. } => {
                let raw = same::<(Header, u64, u64, u64)>(&out[..len]);
                prop_assert_eq!((raw.2, raw.3), (half, resume));
            }
            Frame::Welcome { terms, resume, .. } => {
                let raw = same::<WelcomeBody>(&out[..len]);
                prop_assert_eq!(raw.resume, resume);
                prop_assert_eq!(raw.terms[5], terms.anchor_max.angle_rad);
            }
            Frame::Refused(refusal) => {
                prop_assert_eq!(same::<(Header, u8, u64, u64)>(&out[..len]).3, refusal.got);
            }
            Frame::Witness(witness) => {
                let raw = same::<(Header, u8, [u8; 16], u64, u64, [u8; 32])>(&out[..len]);
                prop_assert_eq!((raw.4, raw.5), (witness.records, witness.chain));
            }
            Frame::StateCommand(_) | Frame::StateAccepted(_) => {
                let (header, _) = same::<(Header, u8)>(&out[..len]);
                let kind = if matches!(frame, Frame::StateCommand(_)) { 19 } else { 20 };
                prop_assert_eq!(header.2, kind);
            }
            Frame::ProbeBegin { run } => {
                prop_assert_eq!(same::<(Header, u64)>(&out[..len]).1, run);
            }
            Frame::ProbeReady { twin_port, .. } => {
                prop_assert_eq!(same::<(Header, u64, u16)>(&out[..len]).2, twin_port);
            }
        }
    }
}
