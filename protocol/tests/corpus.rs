//! What the fuzzer kept, through both sessions, where no fuzzer runs: each input that once reached
//! a new place in the code still breaks no rule.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

#[path = "../fuzz/knock.rs"]
mod knock;

use std::path::Path;

#[test]
fn every_input_of_the_fuzzers_corpus_breaks_no_rule() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let (mut folders, mut inputs) = (vec![corpus], 0_u32);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Shown where the test fails.
            println!("{}", path.display());
            knock::twice(&std::fs::read(&path).unwrap());
            inputs += 1;
        }
    }
    assert!(inputs > 0, "the corpus is committed");
}
