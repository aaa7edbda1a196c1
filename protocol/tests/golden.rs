//! WIRE.md, the golden vectors and the code say the same bytes.
//!
//! Goal: a peer written from WIRE.md alone talks to us. So this test is one: it reads the tables of
//! WIRE.md, fills them with the values of `golden/wire_v1.json`, adds its own bitwise CRC, and must
//! get the bytes that the code writes. It never calls the code's own layout.
//!
//! To write the vectors anew after a deliberate change of the wire (which needs a new version):
//! `LONGHAND_BLESS=1 cargo test -p longhand-protocol --test golden`.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests; clippy's own exemption does not reach their helper functions"
)]

mod common;

use common::{
    sample_command, sample_frames, sample_path_answer, sample_path_probe, sample_probe,
    sample_probe_answer, sample_state,
};
use longhand_protocol::geometry::{Pose, RobotBase, Tip};
use longhand_protocol::message::*;
use longhand_protocol::probe::{PathAnswer, PathProbe, Probe, ProbeAnswer};
use longhand_protocol::wire::*;
use nalgebra::Vector3;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const WIRE_MD: &str = include_str!("../WIRE.md");

// ---- WIRE.md, read by a program ----

struct Row {
    offset: usize,
    size: usize,
    kind: String,
    field: String,
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The body rows of the table behind `marker`.
fn table(marker: &str) -> Vec<Vec<&'static str>> {
    let marker = format!("<!-- {marker} -->");
    let (_, rest) = WIRE_MD.split_once(&marker).unwrap_or_else(|| panic!("no {marker}"));
    rest.lines().skip(3).take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn layout(name: &str) -> Vec<Row> {
    let rows = table(&format!("table: {name}"));
    let parse = |cells: Vec<&str>| Row {
        offset: cells[0].parse().unwrap(),
        size: cells[1].parse().unwrap(),
        kind: cells[2].into(),
        field: cells[3].into(),
    };
    rows.into_iter().map(parse).collect()
}

/// CRC-64/XZ, a bit at a time, from the words of WIRE.md.
fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = u64::MAX;
    for byte in bytes {
        crc ^= u64::from(*byte);
        for _ in 0..8 {
            let out = crc & 1;
            crc >>= 1;
            if out == 1 {
                crc ^= 0x42f0_e1eb_a9ea_3693_u64.reverse_bits();
            }
        }
    }
    !crc
}

fn number(value: &Value) -> u64 {
    let text = value.as_str();
    text.map_or_else(
        || value.as_u64().unwrap(),
        |hex| u64::from_str_radix(hex.strip_prefix("0x").unwrap(), 16).unwrap(),
    )
}

fn reals(value: &Value) -> Vec<f64> {
    value.as_array().map_or_else(
        || vec![value.as_f64().unwrap()],
        |list| list.iter().map(|x| x.as_f64().unwrap()).collect(),
    )
}

#[expect(clippy::as_conversions, reason = "the page says f32")]
fn f32_bytes(x: f64) -> [u8; 4] {
    (x as f32).to_le_bytes()
}

/// One field's bytes from its type and its value.
fn field_bytes(kind: &str, value: &Value) -> Vec<u8> {
    match kind {
        "u8" => vec![u8::try_from(number(value)).unwrap()],
        "u16" => u16::try_from(number(value)).unwrap().to_le_bytes().into(),
        "u32" => u32::try_from(number(value)).unwrap().to_le_bytes().into(),
        "u64" => number(value).to_le_bytes().into(),
        "bytes16" | "bytes160" => unhex(value.as_str().unwrap()),
        "14xu64" | "15xu64" => {
            value.as_array().unwrap().iter().flat_map(|word| number(word).to_le_bytes()).collect()
        }
        "f64" => value.as_f64().unwrap().to_le_bytes().into(),
        kind if kind.ends_with("f32") => reals(value).into_iter().flat_map(f32_bytes).collect(),
        other => panic!("WIRE.md names the type {other}"),
    }
}

/// A whole message, from the page and the values alone.
fn build(rows: &[Row], fields: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        assert_eq!(row.offset, out.len(), "offset of {}", row.field);
        let bytes = match row.field.as_str() {
            "crc" => crc64(&out).to_le_bytes().to_vec(),
            field => field_bytes(&row.kind, fields.get(field).unwrap_or_else(|| panic!("{field}"))),
        };
        assert_eq!(row.size, bytes.len(), "size of {}", row.field);
        out.extend(bytes);
    }
    let named = rows.iter().filter(|row| row.field != "crc").count();
    assert_eq!(named, fields.len(), "a value that the page does not name");
    out
}

// ---- the values of a message, by the page's names ----

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..][..2], 16).unwrap()).collect()
}

fn big(n: u64) -> Value {
    json!(format!("{n:#x}"))
}

fn list(v: Vector3<f64>) -> Value {
    json!([v.x, v.y, v.z])
}

fn header(fields: &mut Map<String, Value>, kind: u8) {
    fields.insert("magic".into(), json!(0x484c));
    fields.insert("version".into(), json!(PROTOCOL_VERSION));
    fields.insert("kind".into(), json!(kind));
}

fn key_fields(fields: &mut Map<String, Value>, key: &SessionKey) {
    fields.insert("robot".into(), big(key.robot.get()));
    fields.insert("session".into(), json!(hex(&key.session.bytes())));
    fields.insert("epoch".into(), json!(key.epoch.get()));
    fields.insert("profile".into(), big(key.profile.get()));
}

fn pose_fields(fields: &mut Map<String, Value>, name: &str, pose: &Pose<RobotBase, Tip>) {
    let q = pose.rotation();
    fields.insert(format!("{name}.position"), list(pose.position()));
    fields.insert(format!("{name}.wxyz"), json!([q.w, q.i, q.j, q.k]));
}

fn command_fields(command: &Command) -> Map<String, Value> {
    let (mut f, intent) = (Map::new(), &command.intent);
    header(&mut f, 1);
    key_fields(&mut f, &command.key);
    f.insert("number".into(), json!(command.number.get()));
    f.insert("hand_time".into(), json!(intent.hand_time.as_micros()));
    f.insert("echo_robot_time".into(), json!(intent.echo_robot_time.as_micros()));
    f.insert("echo_state".into(), json!(intent.echo_state.get()));
    f.insert("valid_for".into(), json!(intent.valid_for.as_micros()));
    let levels = &intent.levels;
    let bits = u32::from(levels.operator_present)
        + 2 * u32::from(levels.clutch)
        + 4 * u32::from(levels.engaged)
        + 8 * u32::from(levels.energy.psm1)
        + 16 * u32::from(levels.energy.psm2);
    f.insert("levels".into(), json!(bits));
    for (name, arm) in [("psm1", &intent.arms.psm1), ("psm2", &intent.arms.psm2)] {
        pose_fields(&mut f, name, &arm.servo_cp);
        f.insert(format!("{name}.linear"), list(arm.servo_cv.linear));
        f.insert(format!("{name}.angular"), list(arm.servo_cv.angular));
        f.insert(format!("{name}.jaw"), json!(arm.jaw));
    }
    f
}

fn span32(span: longhand_protocol::units::Micros) -> Value {
    json!(u32::try_from(span.as_micros()).unwrap_or(u32::MAX))
}

fn state_fields(report: &StateReport) -> Map<String, Value> {
    let (mut f, state) = (Map::new(), &report.state);
    header(&mut f, 2);
    key_fields(&mut f, &report.key);
    f.insert("number".into(), json!(report.number.get()));
    f.insert("robot_time".into(), json!(state.robot_time.as_micros()));
    let stage = Stage::ALL.iter().position(|s| *s == state.stage).unwrap();
    let reason = Reason::ALL.iter().position(|r| *r == state.reason).unwrap();
    f.insert("stage".into(), json!(stage));
    f.insert("reason".into(), json!(reason));
    let (one, two) = (&state.arms.psm1, &state.arms.psm2);
    let bits = [state.is_homed, one.energy, two.energy, one.limited, two.limited];
    let flags = bits.iter().zip(0..).map(|(bit, i)| u16::from(*bit) << i).sum::<u16>();
    f.insert("flags".into(), json!(flags));
    f.insert("age".into(), span32(state.age));
    f.insert("loop_age".into(), span32(state.loop_age));
    f.insert("playout_delay".into(), span32(state.playout_delay));
    f.insert("echo.number".into(), json!(state.echo.number.get()));
    f.insert("echo.hand_time".into(), json!(state.echo.hand_time.as_micros()));
    f.insert("echo.received_at".into(), json!(state.echo.received_at.as_micros()));
    f.insert("echo.applied_at".into(), json!(state.echo.applied_at.as_micros()));
    f.insert("echo.checksum".into(), big(state.echo.checksum));
    for (name, arm) in [("psm1", one), ("psm2", two)] {
        f.insert(format!("{name}.measured_js"), json!(arm.measured_js.0));
        f.insert(format!("{name}.measured_jaw"), json!(arm.measured_jaw));
        pose_fields(&mut f, &format!("{name}.measured_cp"), &arm.measured_cp);
        pose_fields(&mut f, &format!("{name}.setpoint_cp"), &arm.setpoint_cp);
        f.insert(format!("{name}.setpoint_jaw"), json!(arm.setpoint_jaw));
    }
    f.insert("accepted".into(), json!(state.counters.accepted));
    f.insert("rejected".into(), json!(state.counters.rejected));
    f.insert("lost".into(), json!(state.counters.lost));
    f.insert("safe_stops".into(), json!(state.counters.safe_stops));
    f.insert("late_ticks".into(), json!(state.counters.late_ticks));
    f.insert("missed_ticks".into(), json!(state.counters.missed_ticks));
    f
}

fn terms_fields(f: &mut Map<String, Value>, terms: &Terms) {
    f.insert("tip_speed_max".into(), json!(terms.tip_speed_max));
    f.insert("tip_rate_max".into(), json!(terms.tip_rate_max));
    f.insert("blend_max.distance".into(), json!(terms.blend_max.distance_m));
    f.insert("blend_max.angle".into(), json!(terms.blend_max.angle_rad));
    f.insert("anchor_max.distance".into(), json!(terms.anchor_max.distance_m));
    f.insert("anchor_max.angle".into(), json!(terms.anchor_max.angle_rad));
    f.insert("loop_age_max".into(), json!(terms.loop_age_max.as_micros()));
    f.insert("loop_age_warn".into(), json!(terms.loop_age_warn.as_micros()));
    f.insert("latch_after".into(), json!(terms.latch_after.as_micros()));
}

fn frame_fields(frame: &Frame) -> (&'static str, Map<String, Value>) {
    let mut f = Map::new();
    let place = |word| StateCommand::ALL.iter().position(|w| *w == word).unwrap();
    match *frame {
        Frame::Hello { version, robot, half, resume } => {
            header(&mut f, 16);
            f.insert("version".into(), json!(version));
            f.insert("robot".into(), big(robot.get()));
            f.insert("half".into(), big(half));
            f.insert("resume".into(), big(resume));
            ("hello", f)
        }
        Frame::Welcome { key, terms, resume } => {
            header(&mut f, 17);
            key_fields(&mut f, &key);
            terms_fields(&mut f, &terms);
            f.insert("resume".into(), big(resume));
            ("welcome", f)
        }
        Frame::Refused(refusal) => {
            header(&mut f, 18);
            let why = RefusalKind::ALL.iter().position(|w| *w == refusal.why).unwrap();
            f.insert("why".into(), json!(why));
            f.insert("expected".into(), json!(refusal.expected));
            f.insert("got".into(), json!(refusal.got));
            ("refused", f)
        }
        Frame::Witness(witness) => {
            header(&mut f, 32);
            let alarm = RecordAlarm::ALL.iter().position(|w| *w == witness.alarm).unwrap();
            f.insert("alarm".into(), json!(alarm));
            f.insert("case_id".into(), json!(hex(&witness.case_id)));
            f.insert("part".into(), json!(witness.part));
            f.insert("records".into(), json!(witness.records));
            f.insert("chain.first".into(), json!(hex(&witness.chain[..16])));
            f.insert("chain.second".into(), json!(hex(&witness.chain[16..])));
            ("witness", f)
        }
        Frame::StateCommand(word) => {
            header(&mut f, 19);
            f.insert("word".into(), json!(place(word)));
            ("state_command", f)
        }
        Frame::StateAccepted(word) => {
            header(&mut f, 20);
            f.insert("word".into(), json!(place(word)));
            ("state_accepted", f)
        }
        Frame::ProbeBegin { run } => {
            header(&mut f, 21);
            f.insert("run".into(), big(run));
            ("probe_begin", f)
        }
        Frame::ProbeReady { run, twin_port } => {
            header(&mut f, 22);
            f.insert("run".into(), big(run));
            f.insert("twin_port".into(), json!(twin_port));
            ("probe_ready", f)
        }
    }
}

fn said_fields(f: &mut Map<String, Value>, probe: &Probe) {
    f.insert("run".into(), big(probe.run));
    f.insert("number".into(), json!(probe.number));
    f.insert("intended_at".into(), json!(probe.intended_at.as_micros()));
    f.insert("sent_at".into(), json!(probe.sent_at.as_micros()));
}

fn probe_fields(probe: &Probe) -> Map<String, Value> {
    let mut f = Map::new();
    header(&mut f, 3);
    said_fields(&mut f, probe);
    f.insert("fill".into(), json!("00".repeat(160)));
    f
}

fn probe_answer_fields(answer: &ProbeAnswer) -> Map<String, Value> {
    let mut f = Map::new();
    header(&mut f, 4);
    said_fields(&mut f, &answer.probe);
    f.insert("received_at".into(), json!(answer.received_at.as_micros()));
    f.insert("answered_at".into(), json!(answer.answered_at.as_micros()));
    f.insert("wall_offset".into(), json!(answer.wall_offset_us));
    f.insert("received".into(), json!(answer.received));
    f.insert("duplicates".into(), json!(answer.duplicates));
    f.insert("stalled".into(), json!(answer.stalled.as_micros()));
    f.insert("newest".into(), json!(answer.newest));
    f.insert("reordered".into(), json!(answer.reordered));
    f.insert("seen".into(), answer.seen.iter().map(|word| big(*word)).collect());
    f.insert("page_from".into(), json!(answer.page_from));
    f.insert("page".into(), answer.page.iter().map(|word| big(*word)).collect());
    f
}

fn path_probe_fields(probe: &PathProbe) -> Map<String, Value> {
    let mut f = Map::new();
    header(&mut f, 5);
    f.insert("run".into(), big(probe.run));
    f.insert("number".into(), json!(probe.number));
    f.insert("sent_at".into(), json!(probe.sent_at.as_micros()));
    f.insert("answer_bytes".into(), json!(probe.answer_bytes));
    f.insert("answers".into(), json!(probe.answers));
    f.insert("answer_mark".into(), json!(probe.answer_mark));
    f.insert("after".into(), json!(probe.after.as_micros() / 1_000));
    f
}

fn path_answer_fields(answer: &PathAnswer) -> Map<String, Value> {
    let mut f = Map::new();
    header(&mut f, 6);
    f.insert("run".into(), big(answer.run));
    f.insert("number".into(), json!(answer.number));
    f.insert("sent_at".into(), json!(answer.sent_at.as_micros()));
    f.insert("received_at".into(), json!(answer.received_at.as_micros()));
    f.insert("from_ip".into(), json!(hex(&answer.from_ip)));
    f.insert("from_port".into(), json!(answer.from_port));
    f.insert("mark_seen".into(), json!(answer.mark_seen.map_or(65_535, u16::from)));
    f.insert("bytes_seen".into(), json!(answer.bytes_seen));
    f.insert("came".into(), json!(answer.came));
    f.insert("came_bytes".into(), json!(answer.came_bytes));
    f.insert("index".into(), json!(answer.index));
    f
}

// ---- the tests ----

/// Every sample: the page's table, its values, and the bytes that the code writes.
fn vectors() -> Vec<(&'static str, Map<String, Value>, Vec<u8>)> {
    let (command, state) = (sample_command(), sample_state());
    let mut all = vec![
        ("command", command_fields(&command), encode_command(&command).to_vec()),
        ("state", state_fields(&state), encode_state(&state).to_vec()),
    ];
    for frame in sample_frames() {
        let mut out = [0; FRAME_MAX];
        let len = encode_frame(&frame, &mut out);
        let (name, fields) = frame_fields(&frame);
        all.push((name, fields, out[..len].to_vec()));
    }
    // Behind the frames, so that the places of what was there first stay.
    let (probe, answer) = (sample_probe(), sample_probe_answer());
    all.push(("probe", probe_fields(&probe), encode_probe(&probe).to_vec()));
    let bytes = encode_probe_answer(&answer).to_vec();
    all.push(("probe_answer", probe_answer_fields(&answer), bytes));
    let (probe, answer) = (sample_path_probe(), sample_path_answer());
    let bytes = encode_path_probe(&probe).to_vec();
    all.push(("path_probe", path_probe_fields(&probe), bytes));
    let bytes = encode_path_answer(&answer).to_vec();
    all.push(("path_answer", path_answer_fields(&answer), bytes));
    all
}

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire_v1.json")
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden_path()).unwrap()).unwrap()
}

#[test]
fn the_page_and_the_code_write_the_same_bytes() {
    for (name, fields, bytes) in vectors() {
        assert_eq!(hex(&build(&layout(name), &fields)), hex(&bytes), "{name}");
    }
}

#[test]
fn the_golden_file_and_the_code_write_the_same_bytes() {
    let now: Vec<Value> = vectors()
        .into_iter()
        .map(|(name, fields, bytes)| json!({"message": name, "hex": hex(&bytes), "fields": fields}))
        .collect();
    if std::env::var_os("LONGHAND_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&json!({"version": 1, "vectors": now})).unwrap();
        std::fs::write(golden_path(), text + "\n").unwrap();
    }
    let golden = golden();
    for (was, is) in golden["vectors"].as_array().unwrap().iter().zip(&now) {
        assert_eq!(was, is);
    }
    assert_eq!(golden["vectors"].as_array().unwrap().len(), now.len());
}

#[test]
fn the_golden_bytes_read_back_as_the_samples() {
    let golden = golden();
    let bytes = |i: usize| unhex(golden["vectors"][i]["hex"].as_str().unwrap());
    assert_eq!(decode_command(&bytes(0)), Ok(sample_command()));
    assert_eq!(decode_state(&bytes(1)), Ok(sample_state()));
    for (i, frame) in sample_frames().into_iter().enumerate() {
        assert_eq!(decode_frame(&bytes(i + 2)), Ok(frame));
    }
    let behind = sample_frames().len() + 2;
    assert_eq!(decode_probe(&bytes(behind)), Ok(sample_probe()));
    assert_eq!(decode_probe_answer(&bytes(behind + 1)), Ok(sample_probe_answer()));
    // What is behind the head of these two is fill, and no part of what they say.
    let filled = |i: usize| [bytes(i), vec![7; 1_200]].concat();
    assert_eq!(decode_path_probe(&filled(behind + 2)), Ok(sample_path_probe()));
    assert_eq!(decode_path_answer(&filled(behind + 3)), Ok(sample_path_answer()));
    let greedy = PathProbe { answers: 9, ..sample_path_probe() };
    assert_eq!(decode_path_probe(&encode_path_probe(&greedy)), Err(WireError::OutOfRange));
}

#[test]
fn the_page_says_the_lengths_and_the_words() {
    let end = |name| layout(name).iter().map(|row| row.size).sum::<usize>();
    assert_eq!(end("command"), COMMAND_LEN);
    assert_eq!(end("state"), STATE_LEN);
    assert_eq!(end("probe"), PROBE_LEN);
    assert_eq!(end("probe_answer"), PROBE_ANSWER_LEN);
    assert_eq!(end("path_probe"), PATH_PROBE_LEN);
    assert_eq!(end("path_answer"), PATH_ANSWER_LEN);
    assert_eq!(end("welcome"), FRAME_MAX);
    let words = |name: &str| -> Vec<String> {
        let rows = table(&format!("words: {name}"));
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(row[0], i.to_string(), "{name}");
        }
        rows.into_iter().map(|row| row[1].into()).collect()
    };
    assert_eq!(words("stage"), Stage::ALL.map(Stage::name));
    assert_eq!(words("reason"), Reason::ALL.map(Reason::name));
    assert_eq!(words("state_command"), StateCommand::ALL.map(|w| format!("{w:?}")));
    assert_eq!(words("record_alarm"), RecordAlarm::ALL.map(|w| format!("{w:?}")));
    assert_eq!(words("refusal"), RefusalKind::ALL.map(|w| format!("{w:?}")));
}
