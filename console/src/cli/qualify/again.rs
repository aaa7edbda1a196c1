//! From what lies in a run's folder to its report: behind a run, and any time later.
//!
//! Knows: the names of the files, and who signs. Does not know: how the report comes about
//! (`longhand_qualify::report::run`). Both ways go through here, so that a report which is made
//! again is the one that was made first.

use super::super::{Done, FAILED, Failed, USAGE, failed, wrong};
use super::check::{Found, Side, plain};
use super::tell::tell;
use super::{Kept, RELEASE, Speaker, code, required};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use longhand_console::qualify::{
    SESSION_SAMPLES, TWIN_SAMPLES, Written, has_samples, sha256_of_file,
};
use longhand_qualify::measure::{Given, rtt_histogram};
use longhand_qualify::report::run::{RUN_SCHEMA, Roads, report};
use longhand_qualify::report::{RawFile, Report, Seal, page_to_sign, to_html, to_json, to_sign};
use longhand_qualify::slot::Samples;
use longhand_qualify::trend::Reason;
use longhand_quic::trust::{Credentials, Role, SealError, authority_fingerprint, sha256};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All about a run but its samples.
const RUN: &str = "run.json";
/// What is signed, and the page that holds it.
pub(super) const REPORTS: [&str; 2] = ["report.json", "report.html"];
const HLOG: &str = "round-trip.hlog";
/// The folder of the loaded run, within the other's.
pub(super) const LOADED: &str = "loaded";
/// How a note begins that says why there is no loaded run.
pub(super) const NOT_LOADED: &str = "It was not loaded";

/// `qualify report`.
pub(super) struct Again {
    pub(super) folder: PathBuf,
    pub(super) identity: Option<PathBuf>,
    pub(super) require: Option<String>,
    pub(super) out: Option<PathBuf>,
    pub(super) json: bool,
}

impl Again {
    pub(super) fn run(&self) -> Done {
        let identity = self.identity.as_deref().map(who_signs).transpose()?;
        let mut kept = read_kept(&self.folder)?;
        if let Some(name) = &self.require {
            kept.requirements = required(name)?;
        }
        let (loaded, is_there) = (self.folder.join(LOADED), load_broke_off(&self.folder, &kept));
        if kept.ended.is_none() {
            kept.about.notes.extend(missing(&self.folder, ""));
        } else if is_there {
            kept.about.notes.extend(missing(&loaded, ", under load,"));
        } else if kept.loading.is_some() {
            let words = "the loaded run broke off before it had any samples";
            kept.about.notes.push(format!("{NOT_LOADED}: {words}."));
        }
        let again = format!("This report was made again from its samples, by {RELEASE}.");
        kept.about.notes.push(again);
        let into = self.out.as_ref().unwrap_or(&self.folder);
        refuse_place(into)?;
        let is_here = is_same(&self.folder, into);
        // What was signed stays what it was, and so does what nobody signs now.
        if !is_here || identity.is_none() {
            refuse_over(into, &REPORTS)?;
        }
        std::fs::create_dir_all(into).map_err(|error| cannot_write(into, &error))?;
        let made = make(&self.folder, &kept)?;
        made.bring(&self.folder, into)?;
        let (old, words) = Old::of(into, &made.report)?;
        let json = made.write(into, identity.as_ref()).inspect_err(|_| old.bring_back())?;
        let mut out = Speaker::new(self.json);
        if self.json {
            println!("{json}");
        } else {
            tell(&made.report, &mut out);
        }
        words.iter().for_each(|words| out.line(&plain(words)));
        out.line(&format!("wrote {}", into.join("report.html").display()));
        if identity.is_none() {
            out.line("it is not signed; the same command with --identity DIR signs it");
        }
        Ok(code(made.report.verdict))
    }
}

/// Who measures and signs: those who answer for a link.
///
/// Errors: the identity cannot be read, or is of somebody who may do neither.
pub(super) fn who_signs(folder: &Path) -> Result<Credentials, Failed> {
    let credentials = Credentials::load(folder).map_err(wrong)?;
    match credentials.who().role {
        Role::Engineer | Role::Surgeon => Ok(credentials),
        Role::Robot | Role::Observer | Role::Gateway => {
            let who = credentials.who();
            let what = format!(
                "--identity {}: {who} may neither measure a link nor sign a report",
                folder.display()
            );
            let advice = "use an engineer's or a surgeon's identity (`longhand-robot-agent trust \
                          issue --role engineer --name NAME` makes one)";
            Err(failed(USAGE, what, advice))
        }
    }
}

/// No report goes where it would be mixed with keys, or where no folder can be.
fn refuse_place(into: &Path) -> Result<(), Failed> {
    let what = if into.exists() && !into.is_dir() {
        "is a file, and a report is a folder of them"
    } else if authority_fingerprint(into).is_ok() {
        "is the folder of an authority or an identity: a report is handed on, and keys never are"
    } else {
        return Ok(());
    };
    let what = format!("--out {} {what}", into.display());
    Err(failed(USAGE, what, "name a folder that is not there yet, or an empty one"))
}

fn is_same(a: &Path, b: &Path) -> bool {
    std::fs::canonicalize(a).ok() == std::fs::canonicalize(b).ok()
}

/// A report of the same samples that gives way to a signed one, and is kept under another name.
#[derive(Default)]
struct Old(Vec<(PathBuf, PathBuf)>);

impl Old {
    /// What lies there, put aside, and what is to be said of it. Nothing where nothing does.
    ///
    /// Errors: it must not give way. A whole report whose seals hold never does.
    fn of(folder: &Path, new: &Report) -> Result<(Self, Option<String>), Failed> {
        let [object, page] = REPORTS.map(|name| folder.join(name));
        let Some(there) = [&object, &page].into_iter().find(|path| path.exists()) else {
            return Ok((Self::default(), None));
        };
        let stays = |why: &str| {
            let what = format!("{} is there already: {why}", there.display());
            failed(FAILED, what, ELSEWHERE)
        };
        let found = Found::at(there)?;
        let of_samples = |files: &[RawFile]| {
            let mut hashes: Vec<String> = files
                .iter()
                .filter(|file| file.name.ends_with(".lhq"))
                .map(|file| format!("{} {}", file.name, file.sha256))
                .collect();
            hashes.sort();
            hashes
        };
        if of_samples(&found.files) != of_samples(&new.raw) {
            return Err(stays("it is of other samples than those here"));
        }
        let is = match Side::of(folder, None) {
            Ok(side) => match side.signer() {
                Some(who) if page.exists() => {
                    return Err(stays(&format!("it is signed by {who}, and its seals hold")));
                }
                Some(who) => format!("signed by {who}, without its page"),
                None => "not signed".to_owned(),
            },
            Err(refused) if refused.reason == Reason::Altered => {
                "not what was signed, or mixed of two".to_owned()
            }
            // Its page alone, or one of another release: whose is it?
            Err(_) if found.is_sealed => return Err(stays("it is signed")),
            Err(_) => "not signed".to_owned(),
        };
        let old = Self::put_aside(folder)?;
        let kept: Vec<String> = old.0.iter().map(|(_, to)| to.display().to_string()).collect();
        let words = format!("the report that was here ({is}) is kept: {}", kept.join(", "));
        Ok((old, Some(words)))
    }

    /// Each file of a report by another name, under which nobody takes it for one.
    fn put_aside(folder: &Path) -> Result<Self, Failed> {
        let mut old = Self::default();
        let there = [HLOG, REPORTS[0], REPORTS[1]].map(|name| folder.join(name));
        let number = (1_u32..)
            .find(|n| !there.iter().any(|path| replaced(path, *n).exists()))
            .unwrap_or(u32::MAX);
        for path in there.into_iter().filter(|path| path.exists()) {
            let to = replaced(&path, number);
            std::fs::rename(&path, &to).map_err(|error| {
                old.bring_back();
                cannot_write(&to, &error)
            })?;
            old.0.push((path, to));
        }
        Ok(old)
    }

    /// As it was: the new one was not written.
    fn bring_back(&self) {
        for (was, is) in &self.0 {
            let _as_well_as_can_be = std::fs::rename(is, was);
        }
    }
}

/// `report.json.replaced-1`.
fn replaced(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".replaced-{number}"));
    PathBuf::from(name)
}

/// What to do where something is in the way.
const ELSEWHERE: &str = "say --out DIR, a folder where nothing of a run lies, to have another";

/// Nothing is written over what is there.
fn refuse_over(into: &Path, names: &[&str]) -> Result<(), Failed> {
    let Some(there) = names.iter().map(|name| into.join(name)).find(|path| path.exists()) else {
        return Ok(());
    };
    let what = format!("{} is there already", there.display());
    let advice = format!("{ELSEWHERE}; an unsigned report in its run's folder: --identity DIR");
    Err(failed(FAILED, what, advice))
}

/// Puts what is known of a run beside its samples.
pub(super) fn keep(folder: &Path, kept: &Kept) -> Result<(), Failed> {
    let path = folder.join(RUN);
    let text = serde_json::to_string(kept).map_err(wrong)?;
    put_whole(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error))
}

/// A file whole, or as it was: neither a crash in the middle, nor a power cut, nor a full disk
/// takes the last one away or leaves half of one.
pub(super) fn put_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let put = File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    });
    put.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Of a run that broke off, what had come due and lies not in its files.
fn missing(folder: &Path, which: &str) -> Vec<String> {
    let roads = [(SESSION_SAMPLES, "in the session"), (TWIN_SAMPLES, "on plain UDP")];
    let words = roads.into_iter().filter_map(|(name, what)| {
        let found = Written::open(&folder.join(name)).ok()?;
        let (slots, due) = (found.slots(), found.due());
        let open = due.saturating_sub(slots);
        Some(format!(
            "Of {due} probes {what}{which} that had come due when it was last put on disk, {slots} \
             are here; of the last {open} nothing was known yet."
        ))
    });
    words.collect()
}

/// Whether it is a run that ended, and whose loaded run broke off with samples.
fn load_broke_off(folder: &Path, kept: &Kept) -> bool {
    let is_there = || has_samples(&folder.join(LOADED).join(SESSION_SAMPLES));
    kept.ended.as_ref().is_some_and(|ended| ended.load.is_none())
        && kept.loading.is_some()
        && is_there()
}

fn read_kept(folder: &Path) -> Result<Kept, Failed> {
    let path = folder.join(RUN);
    let advice = "name the folder of a run, as `qualify` made it";
    let bad = |why: String| failed(FAILED, format!("{}: {why}", path.display()), advice);
    let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
    let object: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let schema = object.get("schema").and_then(serde_json::Value::as_str).unwrap_or("nothing");
    if schema != RUN_SCHEMA {
        return Err(bad(format!("it is \"{schema}\", and this release reads \"{RUN_SCHEMA}\"")));
    }
    serde_json::from_value(object).map_err(|error| bad(error.to_string()))
}

/// A report, and what is written beside it.
pub(super) struct Made {
    pub(super) report: Report,
    hlog: Vec<u8>,
}

/// Makes the report of what lies in a run's folder.
pub(super) fn make(folder: &Path, kept: &Kept) -> Result<Made, Failed> {
    let mut files = vec![file(folder, RUN, "how it was asked, and how it ended")?];
    let mut samples = |name: String, what: &str, given: Option<&Given>| {
        let found = Written::open(&folder.join(&name)).map_err(wrong)?;
        whole(&found, given)?;
        let (sha256, bytes) = (found.sha256().to_owned(), found.bytes());
        files.push(RawFile { name, what: what.to_owned(), sha256, bytes });
        Ok::<_, Failed>(found)
    };
    let ended = kept.ended.as_ref();
    let given = ended.map(|ended| &ended.session);
    let session = samples(SESSION_SAMPLES.to_owned(), "samples in the session", given)?;
    // Of a run that broke off nothing says whether there was one but its samples.
    let given = ended.and_then(|ended| ended.twin.as_ref());
    let is_there = ended.is_none() && has_samples(&folder.join(TWIN_SAMPLES));
    let twin = (given.is_some() || is_there)
        .then(|| samples(TWIN_SAMPLES.to_owned(), "samples on plain UDP", given));
    let twin = twin.transpose()?;
    let load = ended.and_then(|ended| ended.load.as_ref());
    let broke_off = load_broke_off(folder, kept);
    let loaded = (load.is_some() || broke_off).then(|| {
        let mut within = |name: &str, what: &str, given: Option<&Given>| {
            samples(format!("{LOADED}/{name}"), what, given)
        };
        let given = load.map(|load| &load.session);
        let session = within(SESSION_SAMPLES, "samples in the session, loaded", given)?;
        let given = load.and_then(|load| load.twin.as_ref());
        let is_there = broke_off && has_samples(&folder.join(LOADED).join(TWIN_SAMPLES));
        let twin = (given.is_some() || is_there)
            .then(|| within(TWIN_SAMPLES, "samples on plain UDP, loaded", given));
        Ok::<_, Failed>((session, twin.transpose()?))
    });
    let loaded = loaded.transpose()?;
    let hlog = hlog(&session, session.slots().saturating_mul(period_us(kept))).map_err(|why| {
        failed(FAILED, format!("the histogram cannot be written: {why}"), "this is a bug")
    })?;
    files.push(RawFile {
        name: HLOG.to_owned(),
        what: "histogram of round trips".to_owned(),
        sha256: sha256(&hlog),
        bytes: u64::try_from(hlog.len()).unwrap_or(u64::MAX),
    });
    let idle = roads(&session, twin.as_ref());
    let under_load = loaded.as_ref().map(|(session, twin)| roads(session, twin.as_ref()));
    let report = report(kept, idle, under_load, &files);
    // Reckoned from a part of the samples it would be the report of another run.
    let loaded = loaded.iter().flat_map(|(session, twin)| [Some(session), twin.as_ref()]);
    for looked_at in [Some(&session), twin.as_ref()].into_iter().chain(loaded).flatten() {
        looked_at.intact().map_err(wrong)?;
    }
    Ok(Made { report, hlog })
}

/// A part of a run's samples is not the run. Of one that broke off nobody knows how many it had.
fn whole(found: &Written, given: Option<&Given>) -> Result<(), Failed> {
    let Some(slots) = given.map(|given| given.slots).filter(|slots| *slots != found.slots()) else {
        return Ok(());
    };
    let path = found.path().display();
    let what = format!("{path} holds {} samples, and the run had {slots}", found.slots());
    Err(failed(FAILED, what, "find the whole file: of a part no report can be made"))
}

fn roads<'a>(session: &'a Written, twin: Option<&'a Written>) -> Roads<'a> {
    fn samples(written: &Written) -> &dyn Samples {
        written
    }
    Roads { session, twin: twin.map(samples) }
}

fn period_us(kept: &Kept) -> u64 {
    1_000_000_u64.checked_div(kept.about.rate_hz).unwrap_or(0)
}

fn file(folder: &Path, name: &str, what: &str) -> Result<RawFile, Failed> {
    let path = folder.join(name);
    let (sha256, bytes) = sha256_of_file(&path).map_err(wrong)?;
    Ok(RawFile { name: name.to_owned(), what: what.to_owned(), sha256, bytes })
}

impl Made {
    /// Copies the files that it was made from to where it goes, if that is elsewhere: a report
    /// whose samples nobody has beside it proves less.
    fn bring(&self, from: &Path, into: &Path) -> Result<(), Failed> {
        if is_same(from, into) {
            return Ok(());
        }
        let files: Vec<&RawFile> =
            self.report.raw.iter().filter(|file| file.name != HLOG).collect();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        refuse_over(into, &names)?;
        for file in files {
            let copy = into.join(&file.name);
            let folder = copy.parent().unwrap_or(into);
            std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
            std::fs::copy(from.join(&file.name), &copy)
                .map_err(|error| cannot_write(&copy, &error))?;
            if sha256_of_file(&copy).map_err(wrong)?.0 != file.sha256 {
                let what = format!("{} is not what was copied", copy.display());
                return Err(failed(FAILED, what, "somebody altered it meanwhile: begin again"));
            }
        }
        Ok(())
    }

    /// Writes it, signed where somebody signs. Gives the object.
    pub(super) fn write(&self, into: &Path, who: Option<&Credentials>) -> Result<String, Failed> {
        let signed = to_sign(&self.report).map_err(wrong)?;
        let page = page_to_sign(&self.report).map_err(wrong)?;
        let seal = who.map(|who| {
            let (object, page) = (who.seal(signed.as_bytes())?, who.seal(page.as_bytes())?);
            Ok::<_, SealError>(Seal {
                signature: object.signature,
                certificate: object.certificate,
                authority: object.authority,
                page: Some(page.signature),
            })
        });
        let seal = seal.transpose().map_err(wrong)?;
        let json = to_json(&self.report, seal.as_ref()).map_err(wrong)?;
        let html = to_html(&self.report, seal.as_ref()).map_err(wrong)?;
        let [object, page] = REPORTS;
        let all = [(HLOG, &self.hlog[..]), (object, json.as_bytes()), (page, html.as_bytes())];
        for (place, (name, bytes)) in all.into_iter().enumerate() {
            let path = into.join(name);
            put_whole(&path, bytes).map_err(|error| {
                // Half a report would stand in the way of a whole one.
                all.iter()
                    .take(place)
                    .for_each(|(name, _)| drop(std::fs::remove_file(into.join(name))));
                cannot_write(&path, &error)
            })?;
        }
        Ok(json)
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failed {
    let what = format!("cannot write {}: {error}", path.display());
    failed(FAILED, what, "see to the disk, or name a folder that can be written")
}

/// The round trips as a log that other tools open (V2).
fn hlog(session: &Written, lasts_us: u64) -> Result<Vec<u8>, String> {
    let series = rtt_histogram(session);
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("Longhand qualify: round trip, microseconds")
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| error.to_string())?;
    let length = Duration::from_micros(lasts_us);
    log.write_histogram(series.histogram(), Duration::ZERO, length, None)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}
