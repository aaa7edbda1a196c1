//! `script`: what hand scripts there are, and whether one of yours can be played.
//!
//! Knows: how to say it. Does not know: the format (`input::script`).

use super::{Done, wrong};
use clap::Subcommand;
use longhand_console::input::script::{SHIPPED, Script as HandScript};
use std::process::ExitCode;

/// The two questions.
#[derive(Debug, Subcommand)]
pub enum Script {
    /// Read a script and say whether it can be played, or which row is wrong.
    Check {
        /// A CSV file, or the name of one that ships.
        file: String,
    },
    /// The scripts that ship.
    List,
}

impl Script {
    /// Answers on standard output.
    pub fn run(self) -> Done {
        match self {
            Self::Check { file } => {
                let script = HandScript::load(&file).map_err(wrong)?;
                println!("{file}: good, {:.1} s long", script.length().as_secs_f64());
            }
            Self::List => {
                for (name, _) in SHIPPED {
                    let script = HandScript::load(name).map_err(wrong)?;
                    println!("{name:<14} {:.1} s", script.length().as_secs_f64());
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
