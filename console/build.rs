//! Bundles the page's picture (`src/page/web/scene`) into one file, with Node where there is one.
//!
//! Knows: which files go in, where the one comes out, and what to leave in its place where there is
//! no Node or no network: a file that tells the page, and through it people, what is missing. Does
//! not know: what the picture shows. Never fails a build: a console without a picture still shows
//! both plain views.
//!
//! Packages are those of the lock file, hashes checked, and none of their scripts runs. Everything
//! happens in Cargo's own folder; nothing is written beside the sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What the bundle is made from.
const SOURCES: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "scene.js"];

fn main() {
    let folder = Path::new("src/page/web/scene");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LONGHAND_NO_NODE");
    for name in SOURCES {
        println!("cargo::rerun-if-changed={}", folder.join(name).display());
    }
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    let bundle = out.join("scene.js");
    if let Err(why) = build(folder, &out.join("scene"), &bundle) {
        // Asked anew at the next build: Node may have been installed by then.
        println!("cargo::rerun-if-changed={}", out.join("scene-is-missing").display());
        println!("cargo::warning=the console is built without its 3D picture: {why}");
        let said = format!("Longhand.sceneMissing = {why:?};\n");
        assert!(fs::write(&bundle, said).is_ok(), "{} cannot be written", bundle.display());
    }
}

/// Makes the bundle in `work`.
///
/// Errors: what is missing and what to do, in words.
fn build(folder: &Path, work: &Path, bundle: &Path) -> Result<(), String> {
    if env::var_os("LONGHAND_NO_NODE").is_some() {
        return Err("LONGHAND_NO_NODE is set; unset it and build again".to_owned());
    }
    let words = |what: &str| format!("{what}; see `npm` and the disk, and build again");
    fs::create_dir_all(work).map_err(|error| words(&error.to_string()))?;
    let lock = fs::read(folder.join("package-lock.json")).map_err(|e| words(&e.to_string()))?;
    let installed = work.join("installed-lock.json");
    let is_installed = fs::read(&installed).is_ok_and(|had| had == lock);
    for name in SOURCES {
        fs::copy(folder.join(name), work.join(name)).map_err(|error| words(&error.to_string()))?;
    }
    if !is_installed {
        // Few and short tries: without a network the build goes on soon.
        let args = ["ci", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=30000"];
        run("npm", &args, work)?;
        fs::write(&installed, lock).map_err(|error| words(&error.to_string()))?;
    }
    run("npm", &["run", "--silent", "build"], work)?;
    let made = work.join("out").join("scene.js");
    fs::copy(&made, bundle).map(drop).map_err(|error| words(&error.to_string()))
}

fn run(program: &str, args: &[&str], work: &Path) -> Result<(), String> {
    let done = Command::new(program).args(args).current_dir(work).output();
    let done = done.map_err(|error| {
        format!("{program} cannot be run ({error}); install Node 20 or newer and build again")
    })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let what = args.join(" ");
    Err(format!("{program} {what} failed ({}); see the network, and build again", last.trim()))
}
