//! The steps of both ends link without a way to panic: style.md's LOOP.
//!
//! Knows: how to build `probe/guarded.rs`, which links only where the guarded call cannot unwind.
//! Does not know: what a debug build does (it checks every sum for overflow; release does not), or
//! `longhand-link`: it has a heap, and a heap that is full panics.
//!
//! The probe is a package of its own, made in the build folder out of the workspace's lock file: in
//! the workspace, its failure to link would be everybody's. Only crates that the workspace already
//! has are used, so it needs no network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not so must fail the test")]

mod rules;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// One build at a time: they share a folder.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn follower_step_cannot_panic() {
    assert_links("step", "Follower::step");
}

#[test]
fn judging_a_datagram_and_writing_a_state_cannot_panic() {
    assert_links("session", "RobotSession::handle_datagram or report");
}

#[test]
fn writing_and_reading_a_command_cannot_panic() {
    assert_links("wire", "encode_command or decode_command");
}

#[test]
fn leader_step_cannot_panic() {
    assert_links("leader", "Leader::step or begin_session");
}

#[test]
fn judging_a_state_and_numbering_a_command_cannot_panic() {
    assert_links("console", "ConsoleSession::handle_datagram or send");
}

#[test]
fn finding_a_servos_answer_and_writing_a_request_cannot_panic() {
    assert_links("bus", "Receiver::next_frame, give_up or Request::encode");
}

#[test]
fn a_call_that_may_panic_does_not_link() {
    let said = build("control").unwrap_err();
    assert!(said.contains("longhand_may_panic_here"), "it failed for another reason:\n{said}");
}

fn assert_links(feature: &str, what: &str) {
    if let Err(said) = build(feature) {
        assert!(said.contains("longhand_may_panic_here"), "the probe does not build:\n{said}");
        panic!(
            "{what} may panic in a release build. Look for an index, a slice, a division, an \
             `f64::clamp` with bounds that are no constants, or an unwrap on its way.",
        );
    }
}

/// Builds the probe with one call under guard. Errors: what cargo said.
fn build(feature: &str) -> Result<(), String> {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = set_up();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(&folder)
        .args(["build", "--release", "--offline", "--features", feature])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        // Coverage and sanitizers put calls of their own into everything.
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

fn set_up() -> PathBuf {
    let root = rules::root();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no_panic");
    std::fs::create_dir_all(&folder).unwrap();
    // One unit of code and full LTO let the optimiser see all of it at once. The product's own
    // profile cuts the same sources into pieces; what cannot happen in one cannot in the other.
    let manifest = format!(
        "[package]\nname = \"longhand-no-panic-probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [[bin]]\nname = \"probe\"\npath = {main:?}\n\
         [features]\nstep = []\nsession = []\nwire = []\nleader = []\nconsole = []\n\
         bus = []\ncontrol = []\n\
         [dependencies]\n\
         longhand-bus = {{ path = {bus:?} }}\n\
         longhand-follower = {{ path = {follower:?} }}\n\
         longhand-leader = {{ path = {leader:?} }}\n\
         longhand-protocol = {{ path = {protocol:?} }}\n\
         [profile.release]\nlto = \"fat\"\ncodegen-units = 1\n[workspace]\n",
        main = root.join("benches/tests/probe/guarded.rs"),
        bus = root.join("protocol/bus"),
        follower = root.join("robot-agent/follower"),
        leader = root.join("console/leader"),
        protocol = root.join("protocol"),
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}
