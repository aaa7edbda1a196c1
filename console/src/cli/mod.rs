//! The command's parts, one file each.
//!
//! Knows: how a failure becomes words, an exit code and, with `--json`, an object. Does not know:
//! what the parts do.

pub mod doctor;
pub mod qualify;
pub mod run;
pub mod script;

use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

/// A command that did not succeed: the words, and the code to end with.
pub struct Failed {
    /// What, where, and what to do.
    pub report: miette::Report,
    /// How the process ends.
    pub code: u8,
}

/// A command's end.
pub type Done = Result<ExitCode, Failed>;

/// The thing itself failed, or can be done with limits only.
pub const FAILED: u8 = 1;
/// The command line is wrong; nothing was tried. clap's own code.
pub const USAGE: u8 = 2;
/// It ran, but what it measured cannot tell.
pub const CANNOT_TELL: u8 = 3;
/// It was done, and the answer is no: the link fails, a report is not genuine, a figure is worse.
/// Not 1: whoever calls this from a script must not take a typing error for a bad link.
pub const ANSWER_NO: u8 = 4;

/// Failed with these words and this advice.
pub fn failed(code: u8, what: impl Into<String>, advice: impl Into<String>) -> Failed {
    let advice: String = advice.into();
    let what: String = what.into();
    Failed { report: miette::miette!(help = advice, "{what}"), code }
}

/// Failed with an error of ours, whose words already say what to do.
pub fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> Failed {
    use miette::IntoDiagnostic as _;
    let result: Result<(), _> = Err(error).into_diagnostic();
    let report = result.err().unwrap_or_else(|| miette::miette!("no error"));
    Failed { report, code: FAILED }
}

/// What came of a command that answers in JSON where it was asked to: one object, however it ends.
/// Whoever reads its standard output never finds nothing.
pub fn answered(as_json: bool, done: Done) -> Done {
    done.inspect_err(|failed| {
        if as_json {
            say_object(&failure(failed));
        }
    })
}

/// A failure as an object.
pub fn failure(failed: &Failed) -> Value {
    let advice = failed.report.help().map(|advice| advice.to_string());
    json!({
        "schema": "longhand failure v1", "why": failed.report.to_string(), "advice": advice,
        "exit_code": failed.code,
    })
}

/// An object on standard output. A reader that has gone away (`| head`) is no error.
pub fn say_object(object: &Value) {
    let _gone = writeln!(std::io::stdout().lock(), "{object}");
}
