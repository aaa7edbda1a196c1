//! The vendors' own SDKs, installed by name from PyPI: they still say what the golden file has, and
//! they read what we write.
//!
//! Runs only when asked for, since it installs packages into a folder of its own;
//! `LONGHAND_TEST_PYTHON` names a Python that has them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::{GOLDEN, hex};
use longhand_bus::answer::{Complaint, FastAnswer, Status};
use longhand_bus::{Id, Protocol};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: [&str; 2] = ["dynamixel-sdk==4.1.0", "feetech-servo-sdk==1.0.0"];

fn python() -> PathBuf {
    if let Some(there) = std::env::var_os("LONGHAND_TEST_PYTHON") {
        return PathBuf::from(there);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vendors");
    let python = folder.join("bin/python");
    must(Command::new("python3").args(["-m", "venv"]).arg(&folder), "");
    must(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES), "");
    python
}

fn must(command: &mut Command, input: &str) -> String {
    let (input_end, output_end) = (Stdio::piped(), Stdio::piped());
    let mut child = command.stdin(input_end).stdout(output_end).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // Whoever does not read what is said to them closes the pipe: their exit code tells.
    let _ = writing.join().unwrap();
    assert!(output.status.success(), "{command:?}: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn sdks(python: &Path, word: &str, input: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vendors/bytes.py");
    serde_json::from_str(&must(Command::new(python).args([script, word]), input)).unwrap()
}

/// Whether ROBOTIS' SDK 4.1.0 itself reads this wrongly: once its `removeStuffing` has taken out a
/// byte, it looks for the next one among bytes that it has moved already, and takes out an FD of
/// the data where two follow FF.
fn misread(data: &[u8]) -> bool {
    let stuffed = data.windows(3).position(|window| window == [0xff, 0xff, 0xfd]);
    stuffed.is_some_and(|at| data[at + 2..].windows(2).any(|window| window == [0xfd, 0xfd]))
}

/// Data that needs stuffing more often than not.
fn answers(runner: &mut TestRunner, count: usize) -> Vec<(Value, Value)> {
    let byte = prop_oneof![3 => Just(0xff_u8), 2 => Just(0xfd), 2 => any::<u8>()];
    let data = prop::collection::vec(byte, 1..24);
    let mut drawn = || (0_u8..=252, 0_u8..0x80, &data).new_tree(runner).unwrap().current();
    let one = |index: usize| {
        let protocol = [Protocol::Dynamixel, Protocol::Feetech][index % 2];
        let readable = |data: &[u8]| protocol == Protocol::Feetech || !misread(data);
        let draws = std::iter::repeat_with(&mut drawn);
        let (id, error, data) = draws.take(1_000).find(|(_, _, data)| readable(data)).unwrap();
        let complaint = Complaint::of(protocol, error);
        let status = Status { id: Id::new(id).unwrap(), complaint, data: &data };
        let bytes = hex(status.encode().unwrap().as_slice());
        let name = ["dynamixel", "feetech"][index % 2];
        let sent = json!({ "protocol": name, "bytes": bytes, "id": id, "length": data.len() });
        (sent, json!({ "good": true, "data": data, "error": error }))
    };
    (0..count).map(one).collect()
}

#[test]
#[ignore = "installs packages from PyPI; .ci/run does it: cargo test -p longhand-bus \
            --test vendors -- --ignored"]
fn the_sdks_say_the_golden_bytes_and_read_our_answers() {
    let python = python();
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(sdks(&python, "say", ""), golden, "the golden file is not what the SDKs say");

    let (mut sent, mut expected): (Vec<Value>, Vec<Value>) =
        answers(&mut TestRunner::deterministic(), 2_000).into_iter().unzip();
    let mut fast = FastAnswer::begin(3, 4).unwrap();
    for (id, value) in [(1, 2048_u32), (7, 0xfdff_ffff), (252, u32::MAX)] {
        fast.add(0, Id::new(id).unwrap(), &value.to_le_bytes()).unwrap();
    }
    let bytes = hex(fast.packet().as_slice());
    sent.push(json!({ "protocol": "dynamixel", "bytes": bytes, "ids": [1, 7, 252], "length": 4 }));
    let parts = json!([[0, 8, 0, 0], [255, 255, 255, 253], [255, 255, 255, 255]]);
    expected.push(json!({ "good": true, "data": parts, "error": 0 }));
    let heard = sdks(&python, "hear", &json!(sent).to_string());
    for ((sent, expected), heard) in sent.iter().zip(&expected).zip(heard.as_array().unwrap()) {
        assert_eq!(heard, expected, "{sent}");
    }
    assert_eq!(heard.as_array().unwrap().len(), expected.len());
}
