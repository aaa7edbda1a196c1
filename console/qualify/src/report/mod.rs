//! The report: one object, signed; as JSON and as a page that holds the same object.
//!
//! Knows: what a report says, in which bytes it is signed, and how a page is read back. Does not
//! know: keys or files; the console signs and writes.
//!
//! A report is of one schema, and each member of it is: what reads another schema says so. Its seal
//! is over the object whatever the schema, so a signature of an older release can still be
//! verified.
//!
//! The page is made from the object and from nothing else, so whoever has the page can take the
//! object out of it, make the page again, and compare byte by byte: that is what verifying does,
//! and why the page's numbers are the object's.

pub mod compare;
mod html;
mod road;
pub mod run;
pub(crate) mod svg;

pub use html::{figure, finding, needs, range, shown, stops, unknown_beside};
pub(crate) use html::{rows_table, safe, table};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::measure::Measures;
use crate::measure::load::Loaded;
use crate::measure::path::PathFound;
use crate::measure::quantile::Spread;
use crate::verdict::{Row, Verdict};

/// The object's name. Another where a member comes, goes, or means something else: a reader that
/// finds another says so, and never guesses. `tests/report.rs` holds the members of this one.
pub const SCHEMA: &str = "longhand qualify report v3";
/// Schemas whose pages may lack a seal of their own: releases before this one.
const UNSEALED_PAGES: [&str; 2] = ["longhand qualify report v1", "longhand qualify report v2"];
/// Stops at most so many an hour for the playout buffer that is recommended. Chosen: one.
pub const RARE_PER_HOUR: f64 = 1.0;

/// Everything that a qualification says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The worst row's.
    pub verdict: Verdict,
    /// Against which requirements.
    pub profile: Named,
    /// Row by row.
    pub rows: Vec<Row>,
    /// What was measured, when and by whom.
    pub about: About,
    /// The same schedule on plain UDP over loopback on this machine, just before: what the probe
    /// itself adds.
    pub noise: Option<Floor>,
    /// The same inside a session over loopback, at the same time: what `quic` is to be held
    /// against.
    pub noise_quic: Option<Floor>,
    /// Inside the QUIC session that commands use.
    pub quic: Measures,
    /// The same packets on plain UDP beside it; `null` where the robot offers none.
    pub twin: Option<Measures>,
    /// What QUIC adds to plain UDP at p50, p99 and p99.9; empty without the twin.
    pub quic_adds_ms: Vec<Added>,
    /// The least playout buffer with which safe stops are surely rarer than one an hour, ms;
    /// `null`: none of those tried, or nothing was replayed.
    pub playout_for_rare_stops_ms: Option<u64>,
    /// What the path does to marks, sizes, addresses and silence; `null` without the twin.
    pub path: Option<PathFound>,
    /// The same link under load; `null`: not asked (`--load`).
    pub load: Option<Loaded>,
    /// The files behind all of it, in the report's folder.
    pub raw: Vec<RawFile>,
}

/// A profile's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// `atis-laparoscopic`.
    pub name: String,
    /// What it is.
    pub title: String,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The run's folder, as it was made: its name for people.
    #[serde(default)]
    pub run: String,
    /// The robot's address, as it was given.
    pub robot: String,
    /// The robot's number, which its certificate carries.
    #[serde(default)]
    pub robot_number: u64,
    /// The robot's certificate; `null`: the run broke off.
    #[serde(default)]
    pub robot_certificate: Option<Certificate>,
    /// Who measured, as in the certificate.
    pub by: String,
    /// That certificate.
    #[serde(default)]
    pub by_certificate: Option<Certificate>,
    /// The authority's that issued both: the hospital's.
    #[serde(default)]
    pub authority: Option<Certificate>,
    /// When it began, `2031-04-09 12:00 UTC`.
    pub begun: String,
    /// The release that measured.
    pub release: String,
    /// Probes a second.
    pub rate_hz: u64,
    /// Length of the way between both ends as it was told, km; 0: nobody said.
    pub distance_km: f64,
    /// How far apart both wall clocks were declared to be at most, us; `null`: nobody said.
    pub common_clock_us: Option<u64>,
    /// It was ended before its time.
    pub cut_short: bool,
    /// Sessions that it took: more than one means that the link was gone for 3 s.
    pub sessions: u64,
    /// What the kernel granted the sending thread.
    pub real_time: String,
    /// Processor time that the hypervisor took meanwhile, all processors, ms; `null`: not told.
    pub stolen_ms: Option<u64>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// A certificate, so that it can be told from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The name in it: a robot's, a person's, a hospital's.
    pub name: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// The noise floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Round trip over loopback at p50, p99, p99.9 and at most, ms.
    pub rtt_ms: (f64, f64, f64, f64),
    /// Probes sent more than 200 us late, a share.
    pub late: f64,
    /// Slots left out, a share.
    pub not_sent: f64,
}

impl Floor {
    /// Of a run over loopback.
    pub fn of(measures: &Measures) -> Self {
        let at = |name| measures.rtt.quantile(name).map_or(0.0, |quantile| quantile.ms);
        let slots = crate::number::real(measures.own.slots.max(1));
        Self {
            rtt_ms: (at("p50"), at("p99"), at("p99.9"), measures.rtt.max_ms.unwrap_or(0.0)),
            late: crate::number::real(measures.own.late) / slots,
            not_sent: crate::number::real(measures.own.not_sent) / slots,
        }
    }
}

/// A file behind the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawFile {
    /// Its name, from the report's folder on: `loaded/samples-quic.lhq`.
    pub name: String,
    /// What is in it, for people.
    pub what: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// What QUIC adds at one quantile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// `p99`.
    pub name: String,
    /// The difference of both quantiles, ms.
    pub ms: f64,
    /// The least that it may be: both intervals at their nearest.
    pub low_ms: f64,
    /// The most; `null`: without bound.
    pub high_ms: Option<f64>,
}

/// What QUIC adds, from both spreads.
pub fn adds(quic: &Spread, twin: &Spread) -> Vec<Added> {
    let at = |name: &str| {
        let (quic, twin) = quic.quantile(name).zip(twin.quantile(name))?;
        Some(Added {
            name: name.to_owned(),
            ms: quic.ms - twin.ms,
            low_ms: quic.low_ms - twin.high_ms.unwrap_or(twin.ms),
            high_ms: quic.high_ms.map(|high| high - twin.low_ms),
        })
    };
    ["p50", "p99", "p99.9"].into_iter().filter_map(at).collect()
}

/// A signature as it stands in a report: hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// ECDSA over P-256 with SHA-256, ASN.1, over the object without this member, its keys sorted
    /// and no space between.
    pub signature: String,
    /// The signer's certificate, DER.
    pub certificate: String,
    /// The authority's certificate, DER.
    pub authority: String,
    /// The same over the page, [`page_to_sign`]: whichever release looks at it, and would draw it
    /// otherwise, can tell whether it was altered. Releases that sealed the object alone had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// A report that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No JSON, or not of the form that its schema says.
    #[error("this is no report: {0}")]
    Json(#[from] serde_json::Error),
    /// A page without an object in it.
    #[error("there is no report in this page")]
    NoObject,
    /// Another schema's.
    #[error(
        "this is a \"{found}\", written by {release}; this release reads \"{SCHEMA}\". What \
         it says can be read with the release that wrote it"
    )]
    Schema {
        /// What it calls itself.
        found: String,
        /// What wrote it.
        release: String,
    },
}

/// An object as it was read: its seal can be looked at whatever its schema.
#[derive(Debug)]
pub struct Read {
    /// Its seal; `None`: it was never signed.
    pub seal: Option<Seal>,
    /// What the seal is over.
    pub signed: String,
    /// What the page's seal is over; `None`: it is no page.
    pub page_signed: Option<String>,
    object: Value,
    page: Option<String>,
}

/// The bytes that are signed: keys sorted, no space.
pub fn to_sign(report: &Report) -> Result<String, ReadError> {
    Ok(canonical(&serde_json::to_value(report)?))
}

/// The page as it is signed: without the seal in its object.
pub fn page_to_sign(report: &Report) -> Result<String, ReadError> {
    Ok(html::page(report, true, &to_sign(report)?))
}

/// The report as JSON, with its seal where it has one.
pub fn to_json(report: &Report, seal: Option<&Seal>) -> Result<String, ReadError> {
    let mut object = serde_json::to_value(report)?;
    if let Some((members, seal)) = object.as_object_mut().zip(seal) {
        members.insert("seal".to_owned(), serde_json::to_value(seal)?);
    }
    Ok(canonical(&object))
}

/// The report as a page.
pub fn to_html(report: &Report, seal: Option<&Seal>) -> Result<String, ReadError> {
    Ok(html::page(report, seal.is_some(), &to_json(report, seal)?))
}

/// Reads JSON or a page.
///
/// Errors: [`ReadError`]. The seal's signature is the caller's to verify, over [`Read::signed`].
pub fn read(text: &str) -> Result<Read, ReadError> {
    let is_page = text.trim_start().starts_with('<');
    let json =
        if is_page { html::object_in(text).ok_or(ReadError::NoObject)? } else { text.to_owned() };
    let mut object: Value = serde_json::from_str(&json)?;
    let seal = object.as_object_mut().and_then(|members| members.remove("seal"));
    let seal = seal.map(serde_json::from_value).transpose()?;
    let signed = canonical(&object);
    let page_signed = if is_page { html::with_object(text, &signed) } else { None };
    Ok(Read { seal, signed, page_signed, object, page: is_page.then(|| text.to_owned()) })
}

impl Read {
    /// What it calls itself; `None`: it does not say.
    pub fn schema(&self) -> Option<&str> {
        self.object.get("schema").and_then(Value::as_str)
    }

    /// Whether it calls itself a report, of whichever release.
    pub fn is_called_report(&self) -> bool {
        self.schema().is_some_and(|schema| schema.starts_with("longhand qualify report v"))
    }

    /// Whether this release would make the same page of its report; of an object there is none to
    /// differ. One that differs was altered, or made by another release: its own seal says which.
    ///
    /// Errors: [`ReadError`].
    pub fn is_as_drawn_here(&self, report: &Report) -> Result<bool, ReadError> {
        let Some(page) = &self.page else { return Ok(true) };
        Ok(to_html(report, self.seal.as_ref())? == *page)
    }

    /// Whether it is a page whose own seal is gone: of an object that the seal holds for, and of a
    /// schema whose pages always have one. The schema is under the seal.
    pub fn lost_its_page_seal(&self) -> bool {
        let has_none = self.seal.as_ref().is_some_and(|seal| seal.page.is_none());
        let is_old = self.schema().is_some_and(|is| UNSEALED_PAGES.contains(&is));
        self.page.is_some() && has_none && !is_old
    }

    /// The files that it names, whatever its schema: as far as they can be read.
    pub fn files(&self) -> Vec<RawFile> {
        let files = self.object.get("raw").cloned();
        files.and_then(|files| serde_json::from_value(files).ok()).unwrap_or_default()
    }

    /// The report in it.
    ///
    /// Errors: [`ReadError`].
    pub fn report(&self) -> Result<Report, ReadError> {
        let word = |pointer: &str| {
            let value = self.object.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or("something that does not say its name").to_owned()
        };
        if word("/schema") != SCHEMA {
            let (found, release) = (word("/schema"), word("/about/release"));
            return Err(ReadError::Schema { found, release });
        }
        Ok(serde_json::from_value(self.object.clone())?)
    }
}

/// Keys sorted, no space: one object has one text, whoever writes it.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            let member = |(key, value): (&String, &Value)| {
                format!("{}:{}", Value::String(key.clone()), canonical(value))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
