//! What the tests of both ends' records share: a disk in memory, a file as its messages, and what
//! must be so of a file of either kind.
//!
//! Knows: files of any kind. Does not know: what is recorded. Included by path; no test is here.
#![allow(dead_code, reason = "not every test needs all of it")]

use longhand_record::file::{Disk, Message, RecordWriter, read};
use longhand_record::recorder::BLOCK_TICKS;
use longhand_record::schema::{Kind, when};
use longhand_record::seal::{Belief, Judged, Verdict, judge};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// A disk in memory; remembers where each block ended.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Kept>>);

#[derive(Clone, Default)]
pub struct Kept {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
    /// Full at so many bytes.
    pub room: Option<usize>,
}

impl Disk for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap();
        if kept.room.is_some_and(|room| kept.bytes.len() + bytes.len() > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.bytes.extend_from_slice(bytes);
        let end = kept.bytes.len();
        kept.ends.push(end);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    pub fn kept(&self) -> Kept {
        self.0.lock().unwrap().clone()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.kept().bytes
    }
}

/// Every message of a file, whatever it is worth.
pub fn messages<K: Kind>(bytes: &[u8]) -> Vec<Message<K>> {
    let mut found = Vec::new();
    let end = read(bytes, |message| {
        found.push(message);
        Ok::<(), io::Error>(())
    });
    end.unwrap();
    found
}

/// A file with these messages, a block behind each seal: what anybody can write without a key.
pub fn written<K: Kind>(messages: &[Message<K>]) -> Vec<u8> {
    let disk = Memory::default();
    let mut writer = RecordWriter::new(Box::new(disk.clone())).unwrap();
    for message in messages {
        writer.write(message).unwrap();
        if message.topic == K::SEAL {
            writer.end_block().unwrap();
        }
    }
    writer.finish().unwrap();
    disk.bytes()
}

/// What a file is worth, and everything in it that is proven.
pub fn judged<K: Kind>(bytes: &[u8], belief: Belief) -> (Judged, Vec<Message<K>>) {
    let mut proven = Vec::new();
    let judged = judge(bytes, belief, |_, block| {
        proven.extend_from_slice(block);
        Ok(())
    });
    (judged.unwrap(), proven)
}

/// The numbers of the ticks in it.
pub fn ticks<K: Kind>(messages: &[Message<K>]) -> Vec<u64> {
    let ticks = messages.iter().filter(|message| message.topic == K::TICK);
    ticks.map(|message| when::<K>(&message.data).unwrap().0).collect()
}

/// Whatever byte a file of so many ticks is cut at, 40 of them are lost at most, and nothing false
/// is accepted. What is found can be closed and read again.
pub fn cut_anywhere<K: Kind>(kept: &Kept, of: u64, belief: &Belief) {
    let all = messages::<K>(&kept.bytes);
    let mut accepted = 0;
    for cut in 0..kept.bytes.len() {
        let (judged, proven) = judged::<K>(&kept.bytes[..cut], Belief::Itself);
        assert_eq!(judged.verdict, Verdict::Cut, "byte {cut}");
        assert!(proven == all[..proven.len()], "byte {cut}: a false record was accepted");
        // The blocks of which every byte is there: the header's, the start's, then 40 ticks each.
        let blocks = kept.ends.iter().filter(|end| **end <= cut).count() as u64;
        let written = (blocks.saturating_sub(1) * u64::from(BLOCK_TICKS)).min(of);
        let found = ticks(&proven).len() as u64;
        assert!(found >= written, "byte {cut}: {found} of {written}");
        assert!(found <= written + u64::from(BLOCK_TICKS));
        accepted = accepted.max(found);
    }
    assert_eq!(accepted, of);
    let half = &kept.bytes[..kept.ends[1] + 99];
    let (_, copy) = judged::<K>(half, Belief::Itself);
    let (mended, _) = judged::<K>(&written(&copy), belief.clone());
    assert_eq!(mended.verdict, Verdict::Cut);
}

/// No flip of a bit leaves a file whole, and nothing false is accepted.
pub fn flipped_anywhere<K: Kind>(bytes: &[u8], belief: &Belief) {
    let all = messages::<K>(bytes);
    for place in (0..bytes.len()).step_by(5) {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << (place % 8);
        let (judged, proven) = judged::<K>(&flipped, belief.clone());
        assert_ne!(judged.verdict, Verdict::Whole, "byte {place}");
        assert!(proven == all[..proven.len()], "byte {place}: a false record was accepted");
    }
}

/// No word of these stands in a file, packed or not; nor in its name.
pub fn says_nothing_of<K: Kind>(file: &Path, words: &[&str]) {
    let raw = std::fs::read(file).unwrap();
    let mut all = vec![raw.clone(), file.file_name().unwrap().as_encoded_bytes().to_vec()];
    all.extend(messages::<K>(&raw).into_iter().map(|message| message.data));
    assert!(all.len() > 10);
    for bytes in &all {
        for word in words {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} stands in the record");
        }
    }
}

/// Moments to kill a process at, microseconds. Marsaglia's xorshift; the seed is fixed, so every
/// run tries these.
pub fn moments(count: usize) -> impl Iterator<Item = u64> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count).map(move |_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % 400_000
    })
}

/// The one file in a folder.
pub fn only_file(folder: &Path) -> PathBuf {
    let found = std::fs::read_dir(folder).unwrap();
    let found: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    let [one] = &found[..] else { panic!("{found:?}") };
    one.clone()
}

/// Programs that are not ours, installed by name into a folder of their own.
pub struct ForeignReaders(PathBuf);

impl ForeignReaders {
    /// Installs them.
    pub fn install(folder: &Path) -> Self {
        let python = folder.join("bin/python");
        must(Command::new("python3").args(["-m", "venv"]).arg(folder));
        let packages = ["mcap", "mcap-ros2-support", "rosbags"];
        must(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
        Self(python)
    }

    /// What they found in a record whose topics begin so.
    pub fn read(&self, file: &Path, topics: &str) -> serde_json::Value {
        let script = "../protocol/record/tests/common/read_record.py";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let read = must(Command::new(&self.0).arg(&script).arg(file).arg(topics));
        serde_json::from_slice(&read.stdout).unwrap()
    }
}

pub fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    output
}

/// What a command said on both streams, without its line breaks.
pub fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}
