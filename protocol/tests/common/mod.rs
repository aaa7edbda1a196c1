//! Messages to test with: fixed ones whose values survive `f32` exactly, and random ones.
//!
//! Knows: the typed messages. Does not know: bytes.
#![allow(dead_code, reason = "each test binary uses its own part")]

use longhand_protocol::geometry::*;
use longhand_protocol::message::*;
use longhand_protocol::probe::{PAGE_WORDS, PathAnswer, PathProbe, Probe, ProbeAnswer, SEEN_WORDS};
use longhand_protocol::units::*;
use nalgebra::{Quaternion, UnitQuaternion, Vector3};
use proptest::prelude::*;

pub fn sample_key() -> SessionKey {
    SessionKey {
        robot: RobotId::new(0x0102_0304_0506_0708),
        session: SessionId::from_halves(0x1112_1314_1516_1718, 0x2122_2324_2526_2728),
        epoch: Epoch::new(42),
        profile: ProfileHash::new(0xa1a2_a3a4_a5a6_a7a8),
    }
}

pub fn pose(p: [f64; 3], wxyz: [f64; 4]) -> Pose<RobotBase, Tip> {
    let [w, x, y, z] = wxyz;
    let unit = UnitQuaternion::new_unchecked(Quaternion::new(w, x, y, z));
    Pose::new(Vector3::from(p), unit)
}

pub fn sample_command() -> Command {
    let arm1 = ArmCommand {
        servo_cp: pose([0.125, -0.25, 0.5], [0.5, -0.5, 0.5, -0.5]),
        servo_cv: Twist {
            linear: Vector3::new(0.0625, -0.125, 2.5),
            angular: Vector3::new(-1.5, 0.75, 12.0),
        },
        jaw: 0.5,
    };
    let arm2 = ArmCommand {
        servo_cp: pose([-1.0, 1.0, -0.0625], [0.0, 0.0, -1.0, 0.0]),
        servo_cv: Twist {
            linear: Vector3::new(10.0, -10.0, 0.0),
            angular: Vector3::new(50.0, -50.0, 0.25),
        },
        jaw: -0.25,
    };
    Command {
        key: sample_key(),
        number: Seq::new(123_456),
        intent: Intent {
            hand_time: Instant::from_micros(9_876_543_210),
            echo_robot_time: Instant::from_micros(1_234_567_890),
            echo_state: Seq::new(120_001),
            valid_for: Micros::from_millis(50),
            levels: Levels {
                operator_present: true,
                clutch: false,
                engaged: true,
                energy: PerArm { psm1: false, psm2: true },
            },
            arms: PerArm { psm1: arm1, psm2: arm2 },
        },
    }
}

pub fn sample_state() -> StateReport {
    let arm1 = ArmState {
        measured_js: JointPositions([0.5, -0.25, 0.125, 1.5, -0.75, 0.0625]),
        measured_jaw: 0.375,
        measured_cp: pose([0.03125, 0.0625, -0.125], [1.0, 0.0, 0.0, 0.0]),
        setpoint_cp: pose([0.0625, 0.125, -0.25], [0.5, 0.5, 0.5, 0.5]),
        setpoint_jaw: 0.4375,
        energy: true,
        limited: false,
    };
    let arm2 = ArmState {
        measured_js: JointPositions([-100.0, 100.0, 0.25, -1.5, 0.75, -0.0625]),
        measured_jaw: -0.5,
        measured_cp: pose([-0.5, 0.5, -0.75], [0.0, 1.0, 0.0, 0.0]),
        setpoint_cp: pose([0.75, -0.875, 1.0], [-0.5, 0.5, -0.5, 0.5]),
        setpoint_jaw: 3.0,
        energy: false,
        limited: true,
    };
    StateReport {
        key: sample_key(),
        number: Seq::new(654_321),
        state: FollowerState {
            robot_time: Instant::from_micros(1_300_000_001),
            stage: Stage::Latched,
            reason: Reason::LoopAge,
            is_homed: true,
            age: Micros::from_micros(2_345),
            loop_age: Micros::MAX,
            playout_delay: Micros::from_millis(20),
            echo: Echo {
                number: Seq::new(123_450),
                hand_time: Instant::from_micros(9_876_500_000),
                received_at: Instant::from_micros(1_299_990_000),
                applied_at: Instant::from_micros(1_299_999_999),
                checksum: 0x4142_4344_4546_4748,
            },
            arms: PerArm { psm1: arm1, psm2: arm2 },
            counters: Counters {
                accepted: 123_400,
                rejected: 77,
                lost: 50,
                safe_stops: 3,
                late_ticks: 2,
                missed_ticks: 1,
            },
        },
    }
}

pub fn sample_frames() -> [Frame; 8] {
    [
        Frame::Hello {
            version: PROTOCOL_VERSION,
            robot: sample_key().robot,
            half: 0x1112_1314_1516_1718,
            resume: 0x2122_2324_2526_2728,
        },
        Frame::Welcome {
            key: sample_key(),
            terms: Terms {
                tip_speed_max: 0.5,
                tip_rate_max: 3.5,
                blend_max: Mismatch { distance_m: 0.001, angle_rad: 0.035 },
                anchor_max: Mismatch { distance_m: 0.02, angle_rad: 0.0875 },
                loop_age_max: Micros::from_millis(300),
                loop_age_warn: Micros::from_millis(200),
                latch_after: Micros::from_millis(200),
            },
            resume: 0x3132_3334_3536_3738,
        },
        Frame::Refused(Refusal { why: RefusalKind::LeaseHeld, expected: 42, got: 41 }),
        Frame::Witness(Witness {
            alarm: RecordAlarm::Failed,
            case_id: *b"a random case id",
            part: 3,
            records: 1_044_000,
            chain: *b"sixteen bytes of a chain, twice.",
        }),
        Frame::StateCommand(StateCommand::Resume),
        Frame::StateAccepted(StateCommand::Pause),
        Frame::ProbeBegin { run: 0x3132_3334_3536_3738 },
        Frame::ProbeReady { run: 0x3132_3334_3536_3738, twin_port: 7_401 },
    ]
}

pub fn sample_probe() -> Probe {
    Probe {
        run: 0x3132_3334_3536_3738,
        number: 60_000,
        intended_at: Instant::from_micros(9_876_543_000),
        sent_at: Instant::from_micros(9_876_543_210),
    }
}

pub fn sample_probe_answer() -> ProbeAnswer {
    let mut seen = [u64::MAX; SEEN_WORDS];
    seen[1] = 0xffff_fff0_ffff_ffff;
    seen[13] = 0x1112_1314_1516_1718;
    let mut page = [u64::MAX; PAGE_WORDS];
    page[14] = 0x2122_2324_2526_2728;
    ProbeAnswer {
        probe: sample_probe(),
        received_at: Instant::from_micros(1_234_567_890),
        answered_at: Instant::from_micros(1_234_567_999),
        wall_offset_us: 1_700_000_000_000_000,
        received: 59_950,
        duplicates: 3,
        stalled: Micros::from_micros(31_415),
        newest: 60_002,
        reordered: 2,
        seen,
        page_from: 19_200,
        page,
    }
}

pub fn sample_path_probe() -> PathProbe {
    PathProbe {
        run: 0xcecd_cccb_cac9_c8c7,
        number: 77,
        sent_at: Instant::from_micros(9_876_543_210),
        answer_bytes: 1_472,
        answers: 3,
        answer_mark: 0xb9,
        after: Micros::from_secs(30),
    }
}

pub fn sample_path_answer() -> PathAnswer {
    let v4 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 17];
    PathAnswer {
        run: 0xcecd_cccb_cac9_c8c7,
        number: 77,
        sent_at: Instant::from_micros(9_876_543_210),
        received_at: Instant::from_micros(1_234_567_890),
        from_ip: v4,
        from_port: 50_123,
        mark_seen: Some(0xb8),
        bytes_seen: 1_472,
        came: 1_001,
        came_bytes: 1_201_200,
        index: 2,
    }
}

// ---- random messages; every number survives `f32` ----

fn real(max: f32) -> impl Strategy<Value = f64> {
    (-max..=max).prop_map(f64::from)
}

fn vector(max: f32) -> impl Strategy<Value = Vector3<f64>> {
    [real(max), real(max), real(max)].prop_map(Vector3::from)
}

fn any_pose() -> impl Strategy<Value = Pose<RobotBase, Tip>> {
    let quaternion = [-1.0..1.0_f64, -1.0..1.0_f64, -1.0..1.0_f64, -1.0..1.0_f64]
        .prop_filter("a direction", |q| q.iter().map(|x| x * x).sum::<f64>() > 1e-3)
        .prop_map(|[w, x, y, z]| UnitQuaternion::new_normalize(Quaternion::new(w, x, y, z)));
    (vector(1.0), quaternion).prop_map(|(p, q)| Pose::new(p, q))
}

pub fn any_key() -> impl Strategy<Value = SessionKey> {
    (any::<u64>(), any::<[u8; 16]>(), any::<u64>(), any::<u64>()).prop_map(|(r, s, e, p)| {
        SessionKey {
            robot: RobotId::new(r),
            session: SessionId::from_bytes(s),
            epoch: Epoch::new(e),
            profile: ProfileHash::new(p),
        }
    })
}

fn any_arm_command() -> impl Strategy<Value = ArmCommand> {
    (any_pose(), vector(10.0), vector(50.0), real(core::f32::consts::PI)).prop_map(
        |(servo_cp, linear, angular, jaw)| ArmCommand {
            servo_cp,
            servo_cv: Twist { linear, angular },
            jaw,
        },
    )
}

fn any_levels() -> impl Strategy<Value = Levels> {
    any::<[bool; 5]>().prop_map(|[operator_present, clutch, engaged, psm1, psm2]| Levels {
        operator_present,
        clutch,
        engaged,
        energy: PerArm { psm1, psm2 },
    })
}

pub fn any_command() -> impl Strategy<Value = Command> {
    let times = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    (any_key(), any::<u64>(), times, any_levels(), any_arm_command(), any_arm_command()).prop_map(
        |(key, number, (hand, echo, state, valid), levels, psm1, psm2)| Command {
            key,
            number: Seq::new(number),
            intent: Intent {
                hand_time: Instant::from_micros(hand),
                echo_robot_time: Instant::from_micros(echo),
                echo_state: Seq::new(state),
                valid_for: Micros::from_micros(valid.into()),
                levels,
                arms: PerArm { psm1, psm2 },
            },
        },
    )
}

fn any_arm_state() -> impl Strategy<Value = ArmState> {
    let joints = [real(100.0), real(100.0), real(100.0), real(100.0), real(100.0), real(100.0)];
    let jaw = || real(core::f32::consts::PI);
    (joints, jaw(), any_pose(), any_pose(), jaw(), any::<bool>(), any::<bool>()).prop_map(
        |(js, measured_jaw, measured_cp, setpoint_cp, setpoint_jaw, energy, limited)| ArmState {
            measured_js: JointPositions(js),
            measured_jaw,
            measured_cp,
            setpoint_cp,
            setpoint_jaw,
            energy,
            limited,
        },
    )
}

fn any_span() -> impl Strategy<Value = Micros> {
    // The largest u32 stands for "never".
    prop_oneof![(0..u32::MAX).prop_map(|us| Micros::from_micros(us.into())), Just(Micros::MAX)]
}

pub fn any_state() -> impl Strategy<Value = StateReport> {
    let words = (0..Stage::ALL.len(), 0..Reason::ALL.len(), any::<bool>());
    let spans = (any_span(), any_span(), any_span());
    let counters = (any::<[u64; 3]>(), any::<[u32; 3]>());
    let arms = (any_arm_state(), any_arm_state());
    (any_key(), any::<[u64; 7]>(), words, spans, counters, arms).prop_map(
        |(
            key,
            [n, time, echo, hand, got, used, checksum],
            words,
            spans,
            (big, small),
            (psm1, psm2),
        )| {
            let state = FollowerState {
                robot_time: Instant::from_micros(time),
                stage: Stage::ALL[words.0],
                reason: Reason::ALL[words.1],
                is_homed: words.2,
                age: spans.0,
                loop_age: spans.1,
                playout_delay: spans.2,
                echo: Echo {
                    number: Seq::new(echo),
                    hand_time: Instant::from_micros(hand),
                    received_at: Instant::from_micros(got),
                    applied_at: Instant::from_micros(used),
                    checksum,
                },
                arms: PerArm { psm1, psm2 },
                counters: Counters {
                    accepted: big[0],
                    rejected: big[1],
                    lost: big[2],
                    safe_stops: small[0],
                    late_ticks: small[1],
                    missed_ticks: small[2],
                },
            };
            StateReport { key, number: Seq::new(n), state }
        },
    )
}

pub fn any_frame() -> impl Strategy<Value = Frame> {
    let word = || (0..StateCommand::ALL.len()).prop_map(|i| StateCommand::ALL[i]);
    let span = || any::<u64>().prop_map(Micros::from_micros);
    let mismatch = || {
        (0.0..=1.0_f64, 0.0..=3.0_f64)
            .prop_map(|(distance_m, angle_rad)| Mismatch { distance_m, angle_rad })
    };
    let terms = (0.0..=10.0_f64, 0.0..=50.0_f64, mismatch(), mismatch(), span(), span(), span())
        .prop_map(|(speed, rate, blend_max, anchor_max, age, warn, gap)| Terms {
            tip_speed_max: speed,
            tip_rate_max: rate,
            blend_max,
            anchor_max,
            loop_age_max: age,
            loop_age_warn: warn,
            latch_after: gap,
        });
    prop_oneof![
        (any::<u8>(), any::<[u64; 3]>()).prop_map(|(version, [robot, half, resume])| {
            Frame::Hello { version, robot: RobotId::new(robot), half, resume }
        }),
        (any_key(), terms, any::<u64>()).prop_map(|(key, terms, resume)| Frame::Welcome {
            key,
            terms,
            resume
        }),
        (0..RefusalKind::ALL.len(), any::<u64>(), any::<u64>()).prop_map(|(i, expected, got)| {
            Frame::Refused(Refusal { why: RefusalKind::ALL[i], expected, got })
        }),
        (0..RecordAlarm::ALL.len(), any::<[u8; 16]>(), any::<[u64; 2]>(), any::<[u8; 32]>())
            .prop_map(|(i, case_id, [part, records], chain)| {
                let alarm = RecordAlarm::ALL[i];
                Frame::Witness(Witness { alarm, case_id, part, records, chain })
            }),
        word().prop_map(Frame::StateCommand),
        word().prop_map(Frame::StateAccepted),
        any::<u64>().prop_map(|run| Frame::ProbeBegin { run }),
        (any::<u64>(), any::<u16>())
            .prop_map(|(run, twin_port)| Frame::ProbeReady { run, twin_port }),
    ]
}

pub fn any_probe() -> impl Strategy<Value = Probe> {
    any::<[u64; 4]>().prop_map(|[run, number, intended, sent]| Probe {
        run,
        number,
        intended_at: Instant::from_micros(intended),
        sent_at: Instant::from_micros(sent),
    })
}

pub fn any_probe_answer() -> impl Strategy<Value = ProbeAnswer> {
    let bits = (any::<[u64; SEEN_WORDS]>(), any::<[u64; PAGE_WORDS]>());
    (any_probe(), any::<[u64; 6]>(), any::<[u32; 3]>(), bits).prop_map(
        |(probe, [came, left, wall, received, newest, from], [reordered, copies, us], bits)| {
            ProbeAnswer {
                probe,
                received_at: Instant::from_micros(came),
                answered_at: Instant::from_micros(left),
                wall_offset_us: wall,
                received,
                duplicates: copies,
                stalled: Micros::from_micros(us.into()),
                newest,
                reordered,
                seen: bits.0,
                page_from: from,
                page: bits.1,
            }
        },
    )
}
