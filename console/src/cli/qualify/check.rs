//! `qualify verify` and `qualify compare`: reports that somebody handed on.
//!
//! Knows: seals, and the files that a report names. Does not know: what its figures mean.

use super::super::{
    ANSWER_NO, CANNOT_TELL, Done, FAILED, Failed, failed, failure, say_object, wrong,
};
use super::again::REPORTS;
use longhand_console::qualify::sha256_of_file;
use longhand_qualify::measure::long;
use longhand_qualify::report::compare::{Change, Compared, compare, differs, noise_ms};
use longhand_qualify::report::run::RUN_SCHEMA;
use longhand_qualify::report::{RawFile, Read, ReadError, Report, Seal, read};
use longhand_qualify::trend::Reason;
use longhand_quic::trust::{self, Sealed, authority_fingerprint};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Component, Path};
use std::process::ExitCode;

/// A line on standard output. A reader that has gone away (`| head`) is no error.
macro_rules! say {
    ($($words:tt)*) => {{
        let _gone = writeln!(std::io::stdout().lock(), "{}", plain(&format!($($words)*)));
    }};
}

/// One line as a terminal may show it: reports are other people's, and need not be signed. What
/// would move its cursor, end the line or turn its direction is shown as U+FFFD.
pub(super) fn plain(line: &str) -> String {
    let marks = ['\u{200e}', '\u{200f}'];
    let turns = ['\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    let is_bad = |c: char| {
        c.is_control() || marks.contains(&c) || turns.iter().any(|turns| turns.contains(&c))
    };
    line.replace(is_bad, "\u{fffd}")
}

/// What is not believed, and why.
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) failed: Failed,
}

impl Refused {
    fn altered(what: String, advice: &str) -> Self {
        Self { reason: Reason::Altered, failed: failed(ANSWER_NO, what, advice) }
    }
}

/// What fails otherwise cannot be read.
impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        Self { reason: Reason::Unread, failed }
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        refused.failed
    }
}

/// Says whether a report, or all of a run's folder, is what was signed.
pub(super) fn verify(path: &Path, authority: Option<&Path>, as_json: bool) -> Done {
    let refused = match verified(path, authority) {
        Ok(found) => return Ok(tell(&found, authority.is_some(), as_json)),
        Err(refused) => refused,
    };
    if as_json {
        let holds = if refused.failed.code == CANNOT_TELL { Value::Null } else { false.into() };
        let failure = failure(&refused.failed);
        say_object(&json!({
            "schema": VERIFY_SCHEMA, "holds": holds, "signer": null, "signer_sha256": null,
            "authority_sha256": null, "authority_checked": authority.is_some(), "samples": null,
            "files": null, "verdict": null, "page": null, "why": failure.get("why"),
            "advice": failure.get("advice"), "reason": refused.reason,
            "exit_code": refused.failed.code,
        }));
    }
    Err(refused.failed)
}

/// The object's name. Another where a member comes, goes, or means something else.
const VERIFY_SCHEMA: &str = "longhand qualify verify v4";

/// What was verified, and holds.
struct Verified {
    report: Report,
    sealed: Sealed,
    /// Of the page, where one was looked at.
    drawn: Option<&'static str>,
    /// Each file that it names, and whether it is here.
    files: Vec<(String, bool)>,
}

fn verified(path: &Path, authority: Option<&Path>) -> Result<Verified, Refused> {
    let is_folder = path.is_dir();
    let object = path.join(REPORTS[0]);
    let base = if is_folder { path } else { path.parent().unwrap_or_else(|| Path::new("")) };
    let (read, report, sealed) =
        trusted(if is_folder { object.as_path() } else { path }, authority, base)?;
    let mut drawn = page_state(&read, &report)?;
    if is_folder {
        drawn = page_state(&page_beside(path, &read, authority)?, &report)?;
    }
    let files = files_beside(base, &report.raw, is_folder)?;
    Ok(Verified { report, sealed, drawn, files })
}

/// The page in a folder: it must be of the same report as the object there, and its seal hold where
/// that one has one.
fn page_beside(folder: &Path, object: &Read, authority: Option<&Path>) -> Result<Read, Refused> {
    let path = folder.join(REPORTS[1]);
    let page = load(&path)?;
    let not_genuine = |what: &str| {
        let what = format!("{}: {what}", path.display());
        Refused::altered(what, "ask whoever gave it to you for the original")
    };
    if object.seal.is_some() && page.seal.is_none() {
        return Err(not_genuine("it carries no signature, and report.json beside it does"));
    }
    if object.seal.is_some() {
        trusted(&path, authority, folder)?;
    }
    if (&page.signed, &page.seal) != (&object.signed, &object.seal) {
        return Err(not_genuine("it is of another run than report.json beside it"));
    }
    Ok(page)
}

fn tell(found: &Verified, is_authority_checked: bool, as_json: bool) -> ExitCode {
    let Verified { report, sealed, drawn, files } = found;
    let here = files.iter().filter(|(_, is_here)| *is_here).count();
    let samples = match here {
        0 => "not here",
        some if some == files.len() => "match",
        _ => "partly here",
    };
    let state = |is_here: &bool| if *is_here { "match" } else { "not here" };
    if as_json {
        let files: Vec<_> = files
            .iter()
            .map(|(name, is_here)| json!({"name": name, "state": state(is_here)}))
            .collect();
        let object = json!({
            "schema": VERIFY_SCHEMA, "holds": true, "signer": sealed.who.to_string(),
            "signer_sha256": sealed.who.fingerprint, "authority_sha256": sealed.authority,
            "authority_checked": is_authority_checked, "samples": samples, "files": files,
            "verdict": report.verdict.name(), "page": drawn, "why": null, "advice": null,
            "reason": null, "exit_code": 0,
        });
        say_object(&object);
    } else {
        say!("holds: {} by {}", report.verdict.name(), sealed.who);
        say!("signer's certificate  {}", sealed.who.fingerprint);
        say!("authority             {}", sealed.authority);
        if let Some(drawn) = drawn {
            say!("the page              {drawn}");
        }
        for (name, is_here) in files {
            say!("{name:<28} {}", state(is_here));
        }
        if !is_authority_checked {
            say!("compare the authority with your own, or say --authority DIR");
        }
    }
    ExitCode::SUCCESS
}

/// The files that a report names, and whether they are here. One that is another's is refused; in a
/// folder that is verified as a whole, one that is missing, too.
fn files_beside(
    base: &Path,
    named: &[RawFile],
    is_folder: bool,
) -> Result<Vec<(String, bool)>, Refused> {
    let mut found = Vec::new();
    for file in named {
        let name = Path::new(&file.name);
        // Signed or not, a report must not make anybody read elsewhere.
        if !name.components().all(|part| matches!(part, Component::Normal(_))) {
            let what = format!("the report names a file outside its folder: {}", plain(&file.name));
            return Err(Refused::altered(what, "do not believe it"));
        }
        let path = base.join(name);
        let is_here = path.is_file();
        if is_here && sha256_of_file(&path).map_err(wrong)?.0 != file.sha256 {
            let what = format!("{} is not the file that the report was made from", path.display());
            return Err(Refused::altered(what, "restore it from where the run was made"));
        }
        if is_folder && !is_here {
            let what = format!("{} is missing: the folder is not whole", path.display());
            let advice = "verify its report.json alone, or restore the file";
            return Err(failed(FAILED, what, advice).into());
        }
        found.push((file.name.clone(), is_here));
    }
    Ok(found)
}

/// A file of more bytes is no report: one of a day is below 1 MB. Chosen: thirty times that.
const LARGEST: u64 = 32 << 20;

/// What lies there, before its seal was looked at.
fn load(path: &Path) -> Result<Read, Failed> {
    let advice = "name a report.json, a report.html, or a run's folder, as `qualify` wrote it";
    let bad = |why: String| failed(FAILED, plain(&format!("{}: {why}", path.display())), advice);
    // A device or a pipe has no end, and a report has one soon.
    let found = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    if !found.is_file() {
        return Err(bad("it is no file".to_owned()));
    }
    if found.len() > LARGEST {
        return Err(bad(format!("{} bytes: no report is so long", found.len())));
    }
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let not_ours = |why: &str| bad(format!("this is no report of `qualify`: {why}"));
    let text = String::from_utf8(bytes).map_err(|_| not_ours("it is no text"))?;
    let read = read(&text).map_err(|error| bad(error.to_string()))?;
    // What has a seal and is another's is held against it first: a report that was altered may call
    // itself anything.
    match read.schema() {
        _ if read.seal.is_some() || read.is_called_report() => Ok(read),
        Some(RUN_SCHEMA) => {
            Err(not_ours("it is what was asked of a run, which lies beside the run's report.json"))
        }
        Some(is) => Err(not_ours(&format!("it is a \"{is}\""))),
        None => Err(not_ours("it does not say its name")),
    }
}

/// What a report that lies somewhere says it is of, believed or not.
pub(super) struct Found {
    /// The files that it names.
    pub(super) files: Vec<RawFile>,
    /// Whether it carries a seal.
    pub(super) is_sealed: bool,
}

impl Found {
    pub(super) fn at(path: &Path) -> Result<Self, Failed> {
        let read = load(path)?;
        Ok(Self { files: read.files(), is_sealed: read.seal.is_some() })
    }
}

/// The report there. `sealed`: whether its seal holds, which says more of one that is of another
/// schema.
fn report_of(path: &Path, read: &Read, sealed: Option<&Sealed>) -> Result<Report, Failed> {
    read.report().map_err(|error| {
        let what = plain(&format!("{}: {error}", path.display()));
        let of_another = matches!(error, ReadError::Schema { .. });
        let Some(sealed) = sealed.filter(|_| of_another) else {
            return failed(FAILED, what, "name a report as `qualify` wrote it");
        };
        let has_seal = read.seal.as_ref().is_some_and(|seal| seal.page.is_some());
        let (code, page) = match (&read.page_signed, has_seal) {
            (None, _) => (FAILED, ""),
            (Some(_), true) => (FAILED, ", and so does the page's"),
            // Its seal is over the report in it alone.
            (Some(_), false) => (
                CANNOT_TELL,
                " for the report in it; of the page around it, which has no seal of its own, \
                 nobody can tell whether it was altered",
            ),
        };
        let advice = format!(
            "its signature holds{page}: it is as {} signed it; files that it names and that lie \
             beside it are those it was made from",
            sealed.who
        );
        failed(code, what, advice)
    })
}

/// Who sealed it, the page too where that has a seal of its own.
fn sealed(path: &Path, seal: &Seal, read: &Read) -> Result<Sealed, Refused> {
    let with = |signature: &String| trust::Seal {
        signature: signature.clone(),
        certificate: seal.certificate.clone(),
        authority: seal.authority.clone(),
    };
    let not_genuine =
        |what: String| Refused::altered(what, "ask whoever gave it to you for the original");
    let who = with(&seal.signature).verify(read.signed.as_bytes());
    let who = who.map_err(|error| not_genuine(format!("{}: {error}", path.display())))?;
    if read.lost_its_page_seal() {
        let what = "the report in it holds, and the seal of the page around it was taken away";
        return Err(not_genuine(format!("{}: {what}", path.display())));
    }
    if let Some((signature, page)) = seal.page.as_ref().zip(read.page_signed.as_ref()) {
        with(signature).verify(page.as_bytes()).map_err(|error| {
            let what = "the report in it holds, and the page around it does not";
            not_genuine(format!("{}: {what}: {error}", path.display()))
        })?;
    }
    Ok(who)
}

/// What is known of a page whose seals hold, its report's and its own; `None`: it is no page.
fn page_state(read: &Read, report: &Report) -> Result<Option<&'static str>, Failed> {
    if read.page_signed.is_none() {
        return Ok(None);
    }
    Ok(Some(match read.is_as_drawn_here(report).map_err(wrong)? {
        true => "as signed",
        false => "as signed, and drawn by another release than this one",
    }))
}

fn unsigned(path: &Path) -> Refused {
    let what = format!("{}: the report carries no signature", path.display());
    let advice = "nobody can tell whether it was altered; ask for a signed one";
    Refused { reason: Reason::Unsigned, failed: failed(ANSWER_NO, what, advice) }
}

fn of_authority(path: &Path, sealed: &Sealed, authority: Option<&Path>) -> Result<(), Refused> {
    let Some(folder) = authority else { return Ok(()) };
    if authority_fingerprint(folder).map_err(wrong)? == sealed.authority {
        return Ok(());
    }
    let what = format!("{}: signed under another authority than yours", path.display());
    let failed = failed(ANSWER_NO, what, "ask who issued the signer's certificate");
    Err(Refused { reason: Reason::Foreign, failed })
}

/// A report whose seal holds.
///
/// Errors: it does not hold, or is of another schema: then what of it can be checked was.
fn trusted(
    path: &Path,
    authority: Option<&Path>,
    base: &Path,
) -> Result<(Read, Report, Sealed), Refused> {
    let read = load(path)?;
    let seal = read.seal.as_ref().ok_or_else(|| unsigned(path))?;
    let sealed = sealed(path, seal, &read)?;
    of_authority(path, &sealed, authority)?;
    let report = match report_of(path, &read, Some(&sealed)) {
        Ok(report) => report,
        Err(of_another) => {
            files_beside(base, &read.files(), false)?;
            return Err(of_another.into());
        }
    };
    Ok((read, report, sealed))
}

/// A report to be compared: one that was never signed will do where nobody asks whose it is.
pub(super) struct Side {
    pub(super) report: Report,
    sealed: Option<Sealed>,
}

impl Side {
    pub(super) fn of(path: &Path, authority: Option<&Path>) -> Result<Self, Refused> {
        let folder = path.is_dir().then_some(path);
        let object = folder.map(|folder| folder.join(REPORTS[0]));
        let path = object.as_deref().unwrap_or(path);
        let read = load(path)?;
        let side = if read.seal.is_none() && authority.is_none() {
            Self { report: report_of(path, &read, None)?, sealed: None }
        } else {
            let base = path.parent().unwrap_or_else(|| Path::new(""));
            let (_, report, sealed) = trusted(path, authority, base)?;
            Self { report, sealed: Some(sealed) }
        };
        // A folder's page is what people look at: one that was altered makes the folder so, as
        // where it is verified. A report that was handed on without its page has none.
        if let Some(folder) = folder.filter(|folder| folder.join(REPORTS[1]).exists()) {
            page_beside(folder, &read, authority)?;
        }
        Ok(side)
    }

    /// Whose seal holds; `None`: it was never signed.
    pub(super) fn signer(&self) -> Option<String> {
        self.sealed.as_ref().map(|sealed| sealed.who.to_string())
    }

    fn signed_by(&self) -> String {
        let by = self.sealed.as_ref().map(|sealed| format!("signed by {}", sealed.who));
        by.unwrap_or_else(|| "NOT SIGNED".to_owned())
    }

    fn line(&self, name: &str, path: &Path) -> String {
        let report = &self.report;
        format!(
            "{name}  {}: {} against {}; {} from {}, {}; {}",
            path.display(),
            report.verdict.name(),
            report.profile.name,
            report.about.robot,
            report.about.begun,
            long(report.quic.seconds),
            self.signed_by(),
        )
    }
}

/// Two reports beside each other.
pub(super) fn beside(before: &Path, after: &Path, authority: Option<&Path>, as_json: bool) -> Done {
    let (a, b) = (Side::of(before, authority)?, Side::of(after, authority)?);
    let rows = compare(&a.report, &b.report);
    let differs = differs(&a.report, &b.report);
    let worse = rows.iter().any(|row| row.change == Change::Worse);
    let code = if worse { ExitCode::from(ANSWER_NO) } else { ExitCode::SUCCESS };
    if as_json {
        let side = |side: &Side, path: &Path| {
            json!({
                "file": path.display().to_string(), "begun": side.report.about.begun,
                "verdict": side.report.verdict.name(), "signer":
                side.sealed.as_ref().map(|sealed| sealed.who.to_string()), "authority_sha256":
                side.sealed.as_ref().map(|sealed| sealed.authority.clone()),
            })
        };
        let object = json!({
            "schema": "longhand qualify compare v3", "before": side(&a, before),
            "after": side(&b, after), "authority_checked": authority.is_some(),
            "differs": differs, "worse": worse, "rows": rows,
        });
        say_object(&object);
        return Ok(code);
    }
    say!("{}", a.line("A", before));
    say!("{}", b.line("B", after));
    if authority.is_none() {
        say!("whose authority signed is not checked; say --authority DIR");
    }
    for one in &differs {
        say!("NOT ALIKE: {}: A {}, B {}", one.what, one.before, one.after);
    }
    for (name, side) in [("A", &a), ("B", &b)] {
        say!("{}", noise_words(name, &side.report));
    }
    say!("");
    say!("{:<36} {:>12} {:>12}", "", "A", "B");
    rows.iter().for_each(|row| say!("{}", line_of(row)));
    say!("");
    let untold = |row: &&Compared| matches!(row.change, Change::Unclear | Change::Unjudged);
    let untold = rows.iter().filter(untold).count();
    say!(
        "{}{}",
        if worse { "something became worse" } else { "nothing is known to have become worse" },
        match untold {
            0 => String::new(),
            some => format!("; of {some} figures of {} these runs cannot tell", rows.len()),
        }
    );
    Ok(code)
}

/// What a machine adds by itself, beside which no smaller difference is the link's.
fn noise_words(name: &str, report: &Report) -> String {
    let at = |quantile| noise_ms(report, quantile).map(|ms| format!("{quantile} {ms:.3}"));
    let all: Vec<String> = ["p50", "p99", "p99.9"].into_iter().filter_map(at).collect();
    if all.is_empty() {
        return format!(
            "{name}'s machine: its own noise was not measured, so a small difference may be its own"
        );
    }
    format!("{name}'s machine adds by itself, round trip over loopback: {} ms", all.join(" "))
}

fn line_of(row: &Compared) -> String {
    let change = match row.change {
        Change::Better => "better",
        Change::Same => "same",
        Change::Unclear => "cannot tell",
        Change::WithinNoise => "within noise",
        Change::Worse => "WORSE",
        Change::Unjudged => "not judged",
    };
    let figure = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
    let why = row.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{:<36} {:>12} {:>12}  {change}{why}", row.what, figure(row.before), figure(row.after))
}
