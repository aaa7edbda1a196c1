//! The arrows of design.md section 1: which crate may name which, read from the manifests.
//!
//! Knows: the table of arrows, and who alone may name a package of the outer world. Does not know:
//! what is done with a dependency (`tidy.rs` reads the sources).
//!
//! Held for what ships: normal, build and target dependencies. Dev-dependencies may differ, since a
//! test may stand on both sides of a wall. `protocol/fuzz` is a workspace of its own, for nightly
//! only, and ships nothing.

mod rules;

use rules::{Violation, none_of, root};
use toml::{Table, Value};

/// Each crate of ours, its folder, and those of ours that it may name. Source: design.md section 1.
const ARROWS: [(&str, &str, &[&str]); 15] = [
    ("longhand-protocol", "protocol", &[]),
    ("longhand-quic", "protocol/quic", &["longhand-protocol"]),
    // The black box of both ends, which may not name each other.
    ("longhand-record", "protocol/record", &["longhand-protocol", "longhand-quic"]),
    // Servo buses: an arm's driver, a leader arm's and the stand-in share it, and the first two may
    // not name each other.
    ("longhand-bus", "protocol/bus", &[]),
    ("longhand-leader", "console/leader", &["longhand-protocol"]),
    // The follower, too: its playout and watchdog are what measured arrivals are replayed through.
    ("longhand-qualify", "console/qualify", &["longhand-protocol", "longhand-follower"]),
    ("longhand-follower", "robot-agent/follower", &["longhand-protocol"]),
    ("longhand-link", "sim/link", &["longhand-protocol"]),
    ("longhand-train", "sim/train", &["longhand-protocol"]),
    ("longhand-gateway", "robot-agent/gateway", &["longhand-protocol"]),
    (
        "longhand-console",
        "console",
        &[
            "longhand-protocol",
            "longhand-bus",
            "longhand-leader",
            "longhand-qualify",
            "longhand-quic",
            "longhand-record",
        ],
    ),
    (
        "longhand-robot-agent",
        "robot-agent",
        &[
            "longhand-protocol",
            "longhand-bus",
            "longhand-follower",
            "longhand-quic",
            "longhand-record",
        ],
    ),
    (
        "longhand-sim",
        "sim",
        &[
            "longhand-protocol",
            "longhand-bus",
            "longhand-link",
            "longhand-train",
            "longhand-leader",
            "longhand-follower",
            "longhand-qualify",
            "longhand-quic",
            "longhand-record",
            "longhand-console",
            "longhand-robot-agent",
        ],
    ),
    (
        "longhand-benches",
        "benches",
        &[
            "longhand-protocol",
            "longhand-bus",
            "longhand-link",
            "longhand-leader",
            "longhand-follower",
            "longhand-qualify",
            "longhand-quic",
            "longhand-record",
            "longhand-console",
            "longhand-robot-agent",
            "longhand-sim",
        ],
    ),
    // Nothing stands in this line: nothing names the fuzz target, and it is not in the workspace.
    ("longhand-protocol-fuzz", "protocol/fuzz", &["longhand-protocol"]),
];

/// Packages of the outer world that one crate of ours alone may name. Source: design.md section 1
/// (quinn, rustls, zenoh) and section 4 (bincode); rapier and its maths are chosen.
const WARDENS: [(&str, &str); 13] = [
    ("quinn", "longhand-quic"),
    ("quinn-proto", "longhand-quic"),
    ("quinn-udp", "longhand-quic"),
    ("rustls", "longhand-quic"),
    ("rustls-pki-types", "longhand-quic"),
    ("tokio-rustls", "longhand-quic"),
    ("rcgen", "longhand-quic"),
    ("x509-parser", "longhand-quic"),
    ("bincode", "longhand-protocol"),
    ("zenoh", "longhand-gateway"),
    // Its public maths is glam: nothing of either leaves the crate that knows contact.
    ("rapier3d-f64", "longhand-train"),
    ("parry3d-f64", "longhand-train"),
    ("glam", "longhand-train"),
];

/// A manifest and where it lies.
struct Manifest {
    file: String,
    folder: String,
    text: String,
    table: Table,
}

#[test]
fn the_arrows_of_the_design_hold() {
    let (workspace, members) = the_workspace();
    assert!(members.len() >= 9, "the workspace lost its members");
    none_of(members.iter().flat_map(|member| broken_arrows(&workspace, member)).collect());
}

#[test]
fn every_crate_stands_where_the_design_puts_it() {
    let (_, members) = the_workspace();
    none_of(members.iter().filter_map(misplaced).collect());
}

#[test]
fn an_arrow_that_is_not_drawn_is_found() {
    let found = |name: &str, dependencies: &str| {
        let text = format!("[package]\nname = \"{name}\"\n\n{dependencies}");
        broken_arrows(&workspace_sample(), &manifest("x", text))
            .into_iter()
            .map(|v| (v.line, v.advice))
            .collect::<Vec<_>>()
    };
    let lines = |name, dependencies| {
        found(name, dependencies).into_iter().map(|(line, _)| line).collect::<Vec<_>>()
    };
    // Up instead of down, sideways, and into the gateway.
    assert_eq!(lines("longhand-protocol", "[dependencies]\nlonghand-link.workspace = true"), [5]);
    assert_eq!(lines("longhand-console", "[dependencies]\nlonghand-follower = \"1\""), [5]);
    assert_eq!(lines("longhand-benches", "[dependencies]\nlonghand-gateway.workspace = true"), [5]);
    // A warded package, by its own name, renamed here, renamed in the workspace, for one target,
    // and in a build script.
    assert_eq!(lines("longhand-sim", "[dependencies]\nquinn.workspace = true"), [5]);
    assert_eq!(lines("longhand-sim", "[dependencies]\ntls = { package = \"rustls\" }"), [5]);
    assert_eq!(lines("longhand-sim", "[dependencies]\nhidden.workspace = true"), [5]);
    assert_eq!(lines("longhand-sim", "[target.'cfg(unix)'.dependencies]\nrcgen = \"1\""), [5]);
    assert_eq!(lines("longhand-link", "[build-dependencies]\nbincode = \"1\""), [5]);
    assert_eq!(lines("longhand-robot-agent", "[dependencies.zenoh]\nversion = \"1\""), [4]);
    // A crate nobody drew.
    assert!(found("longhand-new", "")[0].1.contains("ARROWS"));
    // What is drawn, and a test that stands on both sides.
    let fine = "[dependencies]\nlonghand-protocol = \"1\"\n[dev-dependencies]\nquinn = \"1\"";
    assert_eq!(found("longhand-link", fine), []);
    assert_eq!(found("longhand-quic", "[dependencies]\nquinn.workspace = true"), []);
}

#[test]
fn a_crate_in_the_wrong_folder_is_found() {
    let text = "[package]\nname = \"longhand-link\"".to_owned();
    assert!(misplaced(&manifest("console/link", text.clone())).is_some());
    assert!(misplaced(&manifest("sim/link", text)).is_none());
}

/// Each dependency of `member` that no arrow allows.
fn broken_arrows(workspace: &Table, member: &Manifest) -> Vec<Violation> {
    let name = package_name(&member.table);
    let at = |line: usize, advice: String| Violation { file: member.file.clone(), line, advice };
    let Some((_, _, allowed)) = ARROWS.into_iter().find(|(known, ..)| *known == name) else {
        let advice = format!("{name} is in no arrow: draw it in design.md 1 and in ARROWS");
        return vec![at(0, advice)];
    };
    let judge = |(key, package): (String, String)| {
        let warden = WARDENS.into_iter().find(|(warded, _)| *warded == package);
        let advice = if package.starts_with("longhand-") && !allowed.contains(&package.as_str()) {
            format!("{name} may not name {package}: only {allowed:?}; move the code, not the wall")
        } else if let Some((_, warden)) = warden.filter(|(_, warden)| *warden != name) {
            format!("only {warden} may name {package}: ask {warden} for what is needed")
        } else {
            return None;
        };
        Some(at(line_of(&member.text, &key), advice))
    };
    shipped_dependencies(workspace, &member.table).into_iter().filter_map(judge).collect()
}

/// The violation of a crate that does not lie in the folder the design gives it.
fn misplaced(member: &Manifest) -> Option<Violation> {
    let name = package_name(&member.table);
    let (_, folder, _) = ARROWS.into_iter().find(|(known, ..)| *known == name)?;
    let advice = format!("design.md 1 puts {name} into {folder}/");
    (folder != member.folder).then_some(Violation { file: member.file.clone(), line: 0, advice })
}

/// Each dependency that ships: its key in the manifest and the package it stands for.
fn shipped_dependencies(workspace: &Table, manifest: &Table) -> Vec<(String, String)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let places = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]);
    let tables = places.flat_map(|place| {
        ["dependencies", "build-dependencies"]
            .into_iter()
            .filter_map(|kind| place.get(kind).and_then(Value::as_table))
    });
    let entries = tables.flatten();
    entries.map(|(key, entry)| (key.clone(), package_of(workspace, key, entry))).collect()
}

/// The package behind a key: keys may rename, here or in the workspace's own table.
fn package_of(workspace: &Table, key: &str, entry: &Value) -> String {
    let renamed = |entry: &Value| entry.get("package")?.as_str().map(str::to_owned);
    let inherits = entry.get("workspace").and_then(Value::as_bool) == Some(true);
    let inherited = if inherits { workspace.get(key).and_then(renamed) } else { None };
    renamed(entry).or(inherited).unwrap_or_else(|| key.to_owned())
}

fn package_name(manifest: &Table) -> String {
    let name = manifest.get("package").and_then(|p| p.get("name")).and_then(Value::as_str);
    name.unwrap_or("a package without a name").to_owned()
}

/// The first line that gives this key, outside the tables for tests.
fn line_of(text: &str, key: &str) -> usize {
    let mut in_tests = false;
    let mut lines = text.lines().zip(1..).filter(|(line, _)| {
        if line.starts_with('[') {
            in_tests = line.contains("dev-dependencies");
        }
        let named = line.starts_with('[') && line.trim_end().ends_with(&format!(".{key}]"));
        let keyed = line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
        !in_tests && (named || keyed)
    });
    lines.next().map_or(0, |(_, number)| number)
}

/// The workspace's dependency table, and every member's manifest.
fn the_workspace() -> (Table, Vec<Manifest>) {
    let top = read("");
    let workspace = top.table.get("workspace").and_then(Value::as_table).cloned();
    let workspace = workspace.unwrap_or_default();
    let members = workspace.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    let members = members.iter().filter_map(Value::as_str).map(read).collect();
    let table = workspace.get("dependencies").and_then(Value::as_table).cloned();
    (table.unwrap_or_default(), members)
}

fn read(folder: &str) -> Manifest {
    let path = root().join(folder).join("Cargo.toml");
    manifest(folder, std::fs::read_to_string(path).unwrap_or_default())
}

fn manifest(folder: &str, text: String) -> Manifest {
    let file = format!("{folder}/Cargo.toml").trim_start_matches('/').to_owned();
    let table = text.parse::<Table>().unwrap_or_default();
    Manifest { file, folder: folder.to_owned(), text, table }
}

fn workspace_sample() -> Table {
    "hidden = { package = \"quinn\", version = \"1\" }".parse().unwrap_or_default()
}
