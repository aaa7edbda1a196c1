//! The rules of the house that a reader of the sources can check: words, lines, files, folders.
//!
//! Knows: which words may stand where, and each exception with its reason. Does not know: what a
//! crate may depend on (`arrows.rs`), or whether a tick allocates (`no_alloc.rs` runs it).
//!
//! A violation prints its file, its line and what to do. The tests at the end show that each rule
//! can fail.

mod rules;

use rules::{Source, Violation, files, lines_with, none_of, root, without_tests, without_words};

/// The pure crates, by folder, and whether they may use `alloc`. Source: design.md section 1.
const PURE: [(&str, bool); 5] = [
    ("protocol/src/", false),
    ("protocol/bus/src/", false),
    ("console/leader/src/", false),
    ("robot-agent/follower/src/", false),
    ("sim/link/src/", true),
];

/// What a pure crate never says.
const IMPURE: [(&str, &str); 17] = [
    ("Instant::now", "take `now` from the caller"),
    ("SystemTime", "take `now` from the caller; wall time is for records"),
    ("std::", "a pure crate has no std: take it from core, or move the code to a shell"),
    ("extern crate std", "a pure crate has no std outside its tests"),
    ("unsafe", "a pure crate is safe: find another way"),
    ("unwrap()", "match, or `get` and `?`: a pure crate does not panic"),
    ("unwrap_unchecked", "match: a pure crate is safe"),
    (".expect(", "match, or `get` and `?`: a pure crate does not panic"),
    ("panic!", "return a Fault: we fail the motion, not the process"),
    ("unreachable!", "return a Fault, or make the type say it"),
    ("unimplemented!", "build it, or leave it away"),
    ("todo!", "build it, or leave it away"),
    ("println!", "a pure crate does not talk: put it into the output"),
    ("eprintln!", "a pure crate does not talk: put it into the output"),
    ("print!", "a pure crate does not talk: put it into the output"),
    ("tracing", "a pure crate does not log: count it"),
    ("static mut", "keep state in a value"),
];

/// What the servo thread passes through in every tick. Source: style.md, LOOP.
const SERVO_PATH: [&str; 10] = [
    "robot-agent/src/servo.rs",
    "robot-agent/src/record/tap.rs",
    "robot-agent/src/record/tick.rs",
    "protocol/record/src/ring.rs",
    "console/src/record/tap.rs",
    "console/src/record/tick.rs",
    "robot-agent/src/arm/",
    "robot-agent/follower/src/",
    "protocol/src/",
    "protocol/quic/src/mailbox.rs",
];

/// What may not stand there: heap, lock, log, await.
const SLOW: [(&str, &str); 20] = [
    ("Box::new", "allocate before the loop"),
    ("Arc::new", "allocate before the loop"),
    ("Vec", "use an array with a const size"),
    ("vec!", "use an array with a const size"),
    ("String", "use a word of an enum"),
    ("to_owned()", "copy into what is there"),
    ("to_vec()", "copy into what is there"),
    ("format!", "count it, or hand out a value"),
    ("HashMap", "use an array with a const size"),
    ("Mutex", "use the mailbox: the servo thread never waits"),
    ("RwLock", "use the mailbox: the servo thread never waits"),
    ("Condvar", "use the mailbox: the servo thread never waits"),
    ("mpsc", "use the mailbox: the servo thread never waits"),
    ("println!", "count it, or put it into the output"),
    ("eprintln!", "count it, or put it into the output"),
    ("tracing", "count it, or put it into the output"),
    ("log::", "count it, or put it into the output"),
    ("await", "the servo thread is no task"),
    ("async", "the servo thread is no task"),
    ("sleep", "only the loop sleeps, on its absolute timer"),
];

/// A word that may stand in a file so many times, and why.
struct Exception {
    file: &'static str,
    word: &'static str,
    times: usize,
    /// For the reader of this list; no test looks at it.
    _why: &'static str,
}

const SERVO_EXCEPTIONS: [Exception; 3] = [
    Exception {
        file: "robot-agent/src/servo.rs",
        word: "Box::new",
        times: 1,
        _why: "Servo::new: the playout ring is large; no turn allocates (no_alloc.rs)",
    },
    Exception {
        file: "protocol/quic/src/mailbox.rs",
        word: "Arc::new",
        times: 1,
        _why: "the constructor, which makes both ends of the ring",
    },
    Exception {
        file: "protocol/record/src/ring.rs",
        word: "Vec",
        times: 1,
        _why: "RingReader::next: the recorder's end, whose thread may use the heap",
    },
];

/// How a clock is read.
const CLOCK_READS: [&str; 6] = [
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "OffsetDateTime::now_utc",
    "clock_gettime",
    ".elapsed()",
];

/// Who may read one. Source: design.md section 3.
const CLOCK_EXCEPTIONS: [(&str, &str); 7] = [
    ("protocol/quic/src/clock.rs", "the clock"),
    ("protocol/quic/src/pace.rs", "the two thread loops: one absolute sleep serves both"),
    ("protocol/quic/src/trust/authority.rs", "certificates begin and end in wall time"),
    ("console/src/status/books.rs", "an .hlog file says when it began: wall time"),
    ("console/src/cli/doctor.rs", "tells when a certificate ends: wall time"),
    ("robot-agent/src/doctor.rs", "tells when a certificate ends: wall time"),
    ("robot-agent/gateway/src/clock.rs", "a process that may not name longhand-quic: silence"),
];

/// What may lie at the repository's root. Source: design.md section 1.
const TOP_LEVEL: [&str; 12] = [
    "Cargo.toml",
    "console",
    "robot-agent",
    "protocol",
    "sim",
    "benches",
    "README.md",
    "Cargo.lock",
    ".ci",
    "LICENSE",
    "deny.toml",
    "rust-toolchain.toml",
];

/// Plumbing that its tool looks for at the root and nowhere else.
const TOP_PLUMBING: [&str; 4] = [".git", ".gitignore", ".rustfmt.toml", ".clippy.toml"];

/// The longest line. Source: style.md, FILES.
const COLUMNS_MAX: usize = 100;

#[test]
fn pure_crates_are_pure() {
    let sources = files("rs");
    for (folder, _) in PURE {
        let lib = format!("{folder}lib.rs");
        assert!(sources.iter().any(|s| s.file == lib), "{lib} is gone: correct PURE");
    }
    none_of(sources.iter().flat_map(impurities).collect());
}

#[test]
fn bincode_is_named_in_one_file_and_its_manifests() {
    let sources = files("rs").into_iter().chain(files("toml"));
    none_of(sources.flat_map(|source| codec_names(&source)).collect());
}

#[test]
fn the_contact_solver_is_named_in_one_file() {
    let sources = files("rs").into_iter().filter(|s| s.file != "sim/train/src/contact.rs");
    let advice =
        "only sim/train/src/contact.rs names rapier and its maths: ask it for what is needed";
    let named = sources.flat_map(|source| {
        let code = without_words(&source.text);
        let words = ["rapier3d_f64", "parry3d_f64", "glam", "glamx"];
        let lines = words.into_iter().flat_map(|word| lines_with(&code, word)).collect::<Vec<_>>();
        lines.into_iter().map(|n| at(&source, n, advice.to_owned())).collect::<Vec<_>>()
    });
    none_of(named.collect());
}

#[test]
fn clocks_are_read_where_the_design_says() {
    none_of(files("rs").iter().flat_map(clock_reads).collect());
}

#[test]
fn no_line_is_longer_than_100_columns() {
    none_of(files("rs").iter().flat_map(long_lines).collect());
}

#[test]
fn every_file_opens_with_what_it_knows() {
    none_of(files("rs").iter().filter_map(silent_opening).collect());
}

#[test]
fn the_servo_path_does_not_wait_allocate_or_talk() {
    let sources = files("rs");
    for path in SERVO_PATH {
        assert!(sources.iter().any(|s| s.file.starts_with(path)), "{path} is gone: correct it");
    }
    none_of(sources.iter().flat_map(slow_words).collect());
}

#[test]
fn the_top_level_is_the_designs() {
    let entries = std::fs::read_dir(root()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    none_of(names.filter_map(|name| stranger(&name, &ignored)).collect());
}

fn at(source: &Source, line: usize, advice: String) -> Violation {
    Violation { file: source.file.clone(), line, advice }
}

/// Each word of `words` in what ships of a source.
fn said(source: &Source, words: &[(&str, &str)]) -> Vec<Violation> {
    let code = source.shipped();
    let find = |(word, advice): &(&str, &str)| {
        let tell = format!("`{word}` may not stand here: {advice}");
        lines_with(&code, word).into_iter().map(|n| at(source, n, tell.clone())).collect::<Vec<_>>()
    };
    words.iter().flat_map(find).collect()
}

fn impurities(source: &Source) -> Vec<Violation> {
    let Some((folder, may_alloc)) = PURE.into_iter().find(|(f, _)| source.file.starts_with(f))
    else {
        return Vec::new();
    };
    let mut found = said(source, &IMPURE);
    if !may_alloc {
        found.extend(said(source, &[("alloc", "no heap in a pure crate: size is a const")]));
    }
    if source.file == format!("{folder}lib.rs") {
        let missing = ["#![no_std]", "#![forbid(unsafe_code)]"];
        let missing = missing.iter().filter(|line| !source.text.lines().any(|l| l == **line));
        let advice = |line| format!("a pure crate says {line}: add it");
        found.extend(missing.map(|line| at(source, 0, advice(line))));
    }
    found
}

fn codec_names(source: &Source) -> Vec<Violation> {
    let allowed = ["protocol/src/wire.rs", "protocol/Cargo.toml", "Cargo.toml"];
    // The licence checker must name the crate whose advisory it is told to pass over: in a comment
    // and by the advisory's number, which are not looked at.
    if allowed.contains(&source.file.as_str()) {
        return Vec::new();
    }
    let code = if source.file.ends_with(".toml") {
        let uncommented = |line: &str| line.split('#').next().unwrap_or("").to_owned();
        source.text.lines().map(uncommented).collect::<Vec<_>>().join("\n")
    } else {
        without_words(&source.text)
    };
    let advice = "only protocol/src/wire.rs names bincode, so that it can be replaced in a line";
    lines_with(&code, "bincode").into_iter().map(|n| at(source, n, advice.to_owned())).collect()
}

fn clock_reads(source: &Source) -> Vec<Violation> {
    if CLOCK_EXCEPTIONS.iter().any(|(file, _)| *file == source.file) {
        return Vec::new();
    }
    let advice = "take `now` from the caller, or read longhand_quic::clock in a thread loop";
    said(source, &CLOCK_READS.map(|read| (read, advice)))
}

fn long_lines(source: &Source) -> Vec<Violation> {
    let lines = source.text.lines().zip(1..).map(|(line, n)| (line.chars().count(), n));
    lines
        .filter(|(columns, _)| *columns > COLUMNS_MAX)
        .map(|(columns, n)| at(source, n, format!("{columns} columns: break it at {COLUMNS_MAX}")))
        .collect()
}

fn silent_opening(source: &Source) -> Option<Violation> {
    let advice = "open with `//!`: what it knows, what it does not, its terms";
    (!source.text.starts_with("//!")).then(|| at(source, 0, advice.to_owned()))
}

fn slow_words(source: &Source) -> Vec<Violation> {
    if !SERVO_PATH.iter().any(|path| source.file.starts_with(path)) {
        return Vec::new();
    }
    let excused = |word: &str| {
        let mine = SERVO_EXCEPTIONS.iter().find(|e| e.file == source.file && e.word == word);
        mine.map_or(0, |e| e.times)
    };
    // The first occurrences are the excused ones: one more than allowed is a violation.
    SLOW.iter().flat_map(|slow| said(source, &[*slow]).into_iter().skip(excused(slow.0))).collect()
}

fn stranger(name: &str, ignored: &str) -> Option<Violation> {
    let is_ignored = ignored.lines().any(|line| {
        let pattern = line.trim_matches('/');
        pattern == name || pattern.strip_prefix('*').is_some_and(|end| name.ends_with(end))
    });
    let known = TOP_LEVEL.contains(&name) || TOP_PLUMBING.contains(&name) || is_ignored;
    let advice = "design.md 1 fixes the top level: move it into one of the folders".to_owned();
    (!known).then(|| Violation { file: name.to_owned(), line: 0, advice })
}

// ---- each rule can fail ----

fn sample(file: &str, text: &str) -> Source {
    Source { file: file.to_owned(), text: text.to_owned() }
}

fn lines(found: &[Violation]) -> Vec<usize> {
    found.iter().map(|v| v.line).collect()
}

#[test]
fn an_impure_word_is_found_and_a_test_may_say_it() {
    let lib = "//! x\n#![no_std]\n#![forbid(unsafe_code)]\n";
    let bad = format!("{lib}fn f() {{\n    x.unwrap();\n}}\nuse std::thread;\n");
    assert_eq!(lines(&impurities(&sample("protocol/src/lib.rs", &bad))), [7, 5]);
    let fine = format!("{lib}// x.unwrap()\n#[cfg(test)]\nmod t {{ fn f() {{ x.unwrap() }} }}\n");
    assert_eq!(impurities(&sample("protocol/src/lib.rs", &fine)), []);
    assert_eq!(impurities(&sample("console/src/lib.rs", &bad)), []);
}

#[test]
fn a_pure_crate_without_its_attributes_is_found() {
    let found = impurities(&sample("sim/link/src/lib.rs", "//! x\n#![no_std]\n"));
    assert!(found.len() == 1 && found[0].advice.contains("forbid(unsafe_code)"), "{found:?}");
}

#[test]
fn alloc_is_for_link_alone() {
    let text = "//! x\nuse alloc::vec::Vec;\n";
    assert_eq!(lines(&impurities(&sample("robot-agent/follower/src/x.rs", text))), [2]);
    assert_eq!(impurities(&sample("sim/link/src/x.rs", text)), []);
}

#[test]
fn a_second_name_of_the_codec_is_found() {
    let text = "//! bincode\nuse bincode::Decode;\n";
    assert_eq!(lines(&codec_names(&sample("protocol/src/session.rs", text))), [2]);
    assert_eq!(codec_names(&sample("protocol/src/wire.rs", text)), []);
    let manifest = "[dependencies]\nbincode.workspace = true\n# bincode\n";
    assert_eq!(lines(&codec_names(&sample("sim/Cargo.toml", manifest))), [2]);
}

#[test]
fn a_clock_read_elsewhere_is_found() {
    let text = "//! Instant::now\nfn f() {\n    let t = Instant::now();\n}\n";
    assert_eq!(lines(&clock_reads(&sample("sim/src/world.rs", text))), [3]);
    assert_eq!(clock_reads(&sample("sim/tests/world.rs", text)), []);
    assert_eq!(clock_reads(&sample("protocol/quic/src/clock.rs", text)), []);
}

#[test]
fn a_line_of_101_columns_is_found() {
    let text = format!("{}\n{}\n{}\n", "x".repeat(99), "ü".repeat(100), "x".repeat(101));
    assert_eq!(lines(&long_lines(&sample("a.rs", &text))), [3]);
}

#[test]
fn a_file_that_does_not_say_what_it_knows_is_found() {
    assert!(silent_opening(&sample("a.rs", "use x;\n")).is_some());
    assert!(silent_opening(&sample("a.rs", "//! Knows: x.\n")).is_none());
}

#[test]
fn a_slow_word_is_found_and_an_exception_counts() {
    let once = "//! x\nfn new() { Box::new(1) }\n";
    let twice = format!("{once}fn turn() {{ Box::new(2) }}\n");
    assert_eq!(slow_words(&sample("robot-agent/src/servo.rs", once)), []);
    assert_eq!(lines(&slow_words(&sample("robot-agent/src/servo.rs", &twice))), [3]);
    assert_eq!(lines(&slow_words(&sample("robot-agent/src/arm/mod.rs", once))), [2]);
    let lock = "//! x\nuse std::sync::Mutex;\n";
    assert_eq!(lines(&slow_words(&sample("robot-agent/follower/src/x.rs", lock))), [2]);
    assert_eq!(slow_words(&sample("console/src/lib.rs", lock)), []);
}

#[test]
fn a_stranger_at_the_top_is_found() {
    assert!(stranger("scripts", "/target\n").is_some());
    for fine in ["benches", ".git", "target", "run.hlog"] {
        assert_eq!(stranger(fine, "/target\n*.hlog\n"), None);
    }
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let text = "a /* b /* c */ d */ e\n'\"' 'x' f<'a>(\"g\\\"\") r#\"h\"\"# i // j\n";
    let words: Vec<String> = without_words(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "e", "f<'a>(", ")", "i"]);
    let code = "a\n#[cfg(test)]\nmod t {\n    fn f() { [0; 2] }\n}\nb\n#[test]\nfn c() {}\nd\n";
    let left = without_tests(code);
    assert_eq!(left.lines().count(), code.lines().count());
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["a", "b", "d"]);
}

#[test]
fn a_word_inside_an_identifier_is_another_word() {
    assert_eq!(lines_with("Vector3\nVec<u8>\nmy_Vec\n", "Vec"), [2]);
    assert_eq!(lines_with("awaiting\nx.await?\n", "await"), [2]);
}
