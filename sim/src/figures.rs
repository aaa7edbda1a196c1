//! Figures that are promised of a robot, found by running the virtual world very often.
//!
//! Knows: which links, what a world over one is, how progress is shown. Does not know:
//! what is measured.

pub mod cuts;
pub mod outages;
pub mod table;

use crate::world::{World, WorldConfig, profile_for};
use indicatif::{ProgressBar, ProgressStyle};
use longhand_console::input::Hand;
use longhand_link::{Disturb, LinkModel, PROFILES, Profile, UnknownProfile};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;
use std::io::{self, Write};

/// The link of this name, or all.
///
/// Errors: [`UnknownProfile`].
fn links(name: Option<&str>) -> Result<Vec<&'static Profile>, UnknownProfile> {
    Ok(match name {
        Some(name) => vec![Profile::by_name(name)?],
        None => PROFILES.iter().collect(),
    })
}

/// A world over this link as it ships, with the robot's profile for it; and that profile's name.
fn world_over(link: &'static Profile, seed: u64, hand: Box<dyn Hand>) -> (World, &'static str) {
    let (name, profile) = profile_for(link.name);
    let world = World::new(WorldConfig {
        link: LinkModel::from(link),
        disturb: Disturb::default(),
        seed,
        profile,
        scale: longhand_leader::DEFAULT_SCALE,
        hand,
    });
    (world, name)
}

/// A bar of so many of `what` on each link.
fn bar(links: usize, each: u64, what: &str) -> ProgressBar {
    let all = u64::try_from(links).unwrap_or(1).saturating_mul(each);
    let template = format!("{{bar:30}} {{human_pos}}/{{human_len}} {what}, {{eta}} left");
    ProgressBar::new(all).with_style(
        ProgressStyle::with_template(&template)
            .unwrap_or_else(|_constant| ProgressStyle::default_bar()),
    )
}

/// One JSON object on a line of its own.
fn print_json(object: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, object)?;
    writeln!(out)
}

/// Whole numbers and shares, drawn from a seed.
struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One of `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        let many = high.saturating_sub(low).saturating_add(1);
        low.saturating_add(self.0.next_u64().checked_rem(many).unwrap_or(0))
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / f64::from(u32::MAX)
    }
}
