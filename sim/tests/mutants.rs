//! The seeded bugs of `sim/mutants`: each still fits the tree, and each has its row.
//!
//! Goal: whoever changes a line that a bug sits on moves the bug along. Whether each is caught is
//! `sim/mutants/run`'s to say; it builds the simulator once for each.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")
}

fn patches() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "patch")).collect();
    all.sort();
    assert!(all.len() >= 40, "{} bugs are too few", all.len());
    all
}

#[test]
fn every_patch_still_applies() {
    for patch in patches() {
        let mut git = Command::new("git");
        git.arg("apply").arg("--check").arg(&patch).current_dir(folder().join("../.."));
        match git.output() {
            Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: git is not on the path");
                return;
            }
            said => {
                let said = said.unwrap();
                let words = String::from_utf8_lossy(&said.stderr);
                assert!(said.status.success(), "{}\n{words}", patch.display());
            }
        }
    }
}

#[test]
fn every_bug_has_its_row_and_says_what_it_is() {
    let table = std::fs::read_to_string(folder().join("CAUGHT.md")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|row| row.len() == 7 && row[1].starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let patches = patches();
    for patch in &patches {
        let name = patch.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(patch).unwrap();
        let what = text.lines().next().unwrap();
        let row = rows.iter().find(|row| row[1] == name);
        let row = row.unwrap_or_else(|| panic!("{name} has no row: sim/mutants/run --write"));
        assert_eq!(row[2], what, "{name}: the patch says something else");
        // Caught by an invariant or an attack, or held by another wall, which is named.
        let caught = row[3].starts_with(['I', 'A']);
        assert!(caught != (row[3] == "-" && !row[5].is_empty()), "{row:?}");
    }
    assert_eq!(rows.len(), patches.len(), "a row without a bug");
}
