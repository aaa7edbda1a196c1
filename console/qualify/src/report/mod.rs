//! The report: one object, signed; as JSON and as a page that holds the same object.
//!
//! Knows: what a report says, in which bytes it is signed, and how a page is read back. Does not
//! know: keys or files; the console signs and writes.
//!
//! The page is made from the object and from nothing else, so whoever has the page can take the
//! object out of it, make the page again, and compare byte by byte: that is what verifying does,
//! and why the page's numbers are the object's.

pub mod compare;
mod html;
mod road;
mod svg;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::measure::Measures;
use crate::measure::load::Loaded;
use crate::measure::path::PathFound;
use crate::measure::quantile::Spread;
use crate::verdict::{Row, Verdict};

/// The object's name.
pub const SCHEMA: &str = "longhand qualify report v1";
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
    /// The same schedule over loopback on this machine, just before: what the probe itself adds.
    pub noise: Option<Floor>,
    /// Inside the QUIC session that commands use.
    pub quic: Measures,
    /// The same packets on plain UDP beside it; `null` where the robot offers none.
    pub twin: Option<Measures>,
    /// What QUIC adds to plain UDP, ms, at p50, p99 and p99.9; `null` without the twin.
    pub quic_adds_ms: Option<(f64, f64, f64)>,
    /// The least playout buffer with which safe stops are surely rarer than one an hour, ms;
    /// `null`: none of those tried, or nothing was replayed.
    pub playout_for_rare_stops_ms: Option<u64>,
    /// What the path does to marks, sizes, addresses and silence; `null` without the twin.
    pub path: Option<PathFound>,
    /// The same link under load; `null`: not asked (`--load`).
    pub load: Option<Loaded>,
    /// The raw samples behind all of it.
    pub raw: Raw,
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
    /// The robot's address, as it was given.
    pub robot: String,
    /// Who measured, as in the certificate.
    pub by: String,
    /// When it began, `2031-04-09 12:00 UTC`.
    pub begun: String,
    /// The release that measured.
    pub release: String,
    /// Probes a second.
    pub rate_hz: u64,
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

/// The raw samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    /// The file's name.
    pub file: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The twin's, where there is one.
    pub twin_sha256: Option<String>,
}

/// What QUIC adds, from both spreads.
pub fn adds(quic: &Spread, twin: &Spread) -> Option<(f64, f64, f64)> {
    let at = |name| Some(quic.quantile(name)?.ms - twin.quantile(name)?.ms);
    Some((at("p50")?, at("p99")?, at("p99.9")?))
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
}

/// A report that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No JSON of this form.
    #[error("this is not a report of this release: {0}")]
    Json(#[from] serde_json::Error),
    /// A page without an object in it.
    #[error("there is no report in this page")]
    NoObject,
    /// The seal is missing.
    #[error("the report carries no signature")]
    Unsealed,
    /// The page does not say what its object says.
    #[error("the page is not the one made from the report in it; it was altered")]
    Page,
}

/// A report as it was read, with the bytes that its seal is over.
#[derive(Debug)]
pub struct Read {
    /// The report.
    pub report: Report,
    /// Its seal.
    pub seal: Seal,
    /// What was signed.
    pub signed: String,
}

/// The bytes that are signed: keys sorted, no space.
pub fn to_sign(report: &Report) -> Result<String, ReadError> {
    Ok(canonical(&serde_json::to_value(report)?))
}

/// The report as JSON, seal and all.
pub fn to_json(report: &Report, seal: &Seal) -> Result<String, ReadError> {
    let mut object = serde_json::to_value(report)?;
    if let Some(members) = object.as_object_mut() {
        members.insert("seal".to_owned(), serde_json::to_value(seal)?);
    }
    Ok(canonical(&object))
}

/// The report as a page.
pub fn to_html(report: &Report, seal: &Seal) -> Result<String, ReadError> {
    Ok(html::page(report, &to_json(report, seal)?))
}

/// Reads JSON or a page. A page must be the one that its object makes.
///
/// Errors: [`ReadError`]. The seal's signature is the caller's to verify, over [`Read::signed`].
pub fn read(text: &str) -> Result<Read, ReadError> {
    let is_page = text.trim_start().starts_with('<');
    let json =
        if is_page { html::object_in(text).ok_or(ReadError::NoObject)? } else { text.to_owned() };
    let mut object: Value = serde_json::from_str(&json)?;
    let seal = object.as_object_mut().and_then(|members| members.remove("seal"));
    let seal: Seal = serde_json::from_value(seal.ok_or(ReadError::Unsealed)?)?;
    let signed = canonical(&object);
    let report: Report = serde_json::from_value(object)?;
    if is_page && to_html(&report, &seal)? != text {
        return Err(ReadError::Page);
    }
    Ok(Read { report, seal, signed })
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
