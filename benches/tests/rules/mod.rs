//! What the rule tests share: where the sources are, and how to read them without being fooled.
//!
//! Knows: the repository's files, and Rust's comments, strings and test blocks well enough to blank
//! them out. Does not know: any rule (`arrows.rs`, `tidy.rs`), or Rust's grammar.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fmt;
use std::path::{Path, PathBuf};

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The file, from the repository's root.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub advice: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line.max(1), self.advice)
    }
}

/// Fails the test with every violation, one a line, sorted.
#[track_caller]
pub fn none_of(mut found: Vec<Violation>) {
    found.sort();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} broken:\n{}\n", lines.len(), lines.join("\n"));
}

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// One source file.
pub struct Source {
    /// Its name from the repository's root, with forward slashes.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Whether the whole file is test code: it is built for tests, examples or fuzzing alone.
    pub fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.file.split('/').collect();
        parts.iter().any(|p| ["tests", "examples", "fuzz"].contains(p))
            || self.file.ends_with("/tests.rs")
    }

    /// The code that ships: comments, strings and test blocks blank, lines where they were.
    pub fn shipped(&self) -> String {
        if self.is_test() { String::new() } else { without_tests(&without_words(&self.text)) }
    }
}

/// Every file below the root whose name ends in `.{ext}`, without build output and hidden folders.
pub fn files(ext: &str) -> Vec<Source> {
    let (mut found, mut open) = (Vec::new(), vec![root()]);
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == ext) {
                let short = path.strip_prefix(root()).unwrap_or(&path);
                let file = short.to_string_lossy().replace('\\', "/");
                // A file that another program removed just now is no longer ours to judge.
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                found.push(Source { file, text });
            }
        }
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(!found.is_empty(), "no .{ext} file found: the rules would hold of nothing");
    found
}

/// Where `word` stands in `code`, as line numbers from 1. A word that begins or ends with a letter
/// must not go on as another identifier there.
pub fn lines_with(code: &str, word: &str) -> Vec<usize> {
    code.lines().zip(1..).filter(|(line, _)| holds(line, word)).map(|(_, n)| n).collect()
}

fn holds(line: &str, word: &str) -> bool {
    let joins = |a: Option<char>, b: Option<char>| {
        let ident = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        ident(a) && ident(b)
    };
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.get(word.len()..).unwrap_or("");
        !joins(before.chars().next_back(), word.chars().next())
            && !joins(word.chars().next_back(), after.chars().next())
    })
}

/// The text with comments and the insides of string and character literals blank.
pub fn without_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut last = ' ';
    while let Some(c) = rest.chars().next() {
        let skip = literal_or_comment(rest, last);
        let len = if skip == 0 { c.len_utf8() } else { skip };
        let (taken, later) = rest.split_at(len);
        if skip == 0 {
            out.push(c);
        } else {
            out.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        last = if skip == 0 { c } else { ' ' };
        rest = later;
    }
    out
}

/// How many bytes of comment or literal `rest` begins with; 0 where it begins with code.
fn literal_or_comment(rest: &str, last: char) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    let ident = last.is_alphanumeric() || last == '_';
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| !ident);
    if let Some(quoted) = raw {
        let hashes = quoted.len() - quoted.trim_start_matches('#').len();
        let body = quoted.get(hashes..).unwrap_or("");
        if body.starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let inside = body.get(1..).unwrap_or("");
            let end = inside.find(&close).map_or(inside.len(), |at| at + close.len());
            return rest.len() - inside.len() + end;
        }
    }
    match rest.chars().next() {
        Some('"') => quoted(rest, '"'),
        Some('\'') => {
            // A lifetime has no closing quote right after its first letter.
            let mut ahead = rest.chars().skip(1);
            let (first, second) = (ahead.next(), ahead.next());
            if first == Some('\\') || second == Some('\'') { quoted(rest, '\'') } else { 0 }
        }
        _ => 0,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(ahead) = rest.get(at..).filter(|ahead| !ahead.is_empty()) {
        if ahead.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if ahead.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += ahead.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == mark && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// Code (already without words) with every item under `#[cfg(test)]` or `#[test]` blank.
pub fn without_tests(code: &str) -> String {
    const MARKS: [&str; 3] = ["#[cfg(test)]", "#[cfg(all(test", "#[test]"];
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = MARKS.iter().filter_map(|mark| rest.find(mark)).min() {
        let (kept, marked) = rest.split_at(at);
        let (item, later) = marked.split_at(item_len(marked));
        out.push_str(kept);
        out.extend(item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = later;
    }
    out.push_str(rest);
    out
}

/// The length of the item that `code` begins with: up to its closing brace, or its semicolon.
fn item_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}
