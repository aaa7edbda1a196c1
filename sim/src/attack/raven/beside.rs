//! Six attacks against RAVEN II's receive rule: what each does there.
//!
//! Knows: the rule's model and the shipped peg transfer as the surgeon's path. Does not know: our
//! robot. Every attacker here needs no key: the rule looks at no sender and no checksum.

use super::{Itp, Packet, Raven, Took};
use crate::attack::in_world::trial::Dice;
use longhand_console::input::script::{Script, ScriptError};
use longhand_leader::DEFAULT_SCALE;
use longhand_protocol::units::Micros;

/// What an attack did to RAVEN's rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Damage {
    /// How far the tool ends from where the surgeon led it, millimetres.
    pub displaced_mm: f64,
    /// The longest stretch in which nothing the surgeon said moved the tool.
    pub muted_ms: u32,
    /// The robot took its own power.
    pub halted: bool,
    /// Forged packets whose increments moved the tool.
    pub believed: u32,
    /// Forged packets in all.
    pub forged: u32,
    /// The farthest that the tool was asked to go in one millisecond, millimetres.
    pub step_mm: f64,
}

impl Damage {
    /// It got through: the tool is displaced, the surgeon muted for longer than our Latched takes,
    /// or the robot halted. Chosen: 1 mm, what a hold may blend away; 200 ms.
    pub fn succeeds(&self) -> bool {
        self.displaced_mm > 1.0 || self.muted_ms >= 200 || self.halted
    }

    /// In words.
    pub fn words(&self) -> String {
        let Self { displaced_mm, muted_ms, halted, believed, forged, step_mm } = *self;
        let halted = if halted { ", power off" } else { "" };
        format!(
            "tool {displaced_mm:.1} mm off, {step_mm:.1} mm in one ms, surgeon muted \
             {muted_ms} ms, {believed} of {forged} forged packets moved it{halted}"
        )
    }
}

/// The surgeon and the robot, one millisecond after another.
struct Theatre {
    script: Script,
    itp: Itp,
    raven: Raven,
    ms: u64,
    mute: u32,
    damage: Damage,
}

/// How long each attack lasts. Chosen: five of the longest mutes.
const LENGTH_MS: u64 = 8_000;
/// When it begins: past the 1000 numbers below which nothing can be reset.
const BEGINS_MS: u64 = 2_000;

impl Theatre {
    fn new() -> Result<Self, ScriptError> {
        Ok(Self {
            script: Script::load("peg-transfer")?,
            itp: Itp::default(),
            raven: Raven::default(),
            ms: 0,
            mute: 0,
            damage: Damage::default(),
        })
    }

    /// Where the surgeon wants the tool, metres from where it began.
    fn wanted(&self) -> [f64; 3] {
        let at = |ms| self.script.at(Micros::from_millis(ms)).psm1.pose.position();
        let gone = (at(self.ms) - at(0)) * DEFAULT_SCALE;
        [gone.x, gone.y, gone.z]
    }

    /// The surgeon's packet of this millisecond.
    fn say(&mut self) -> Packet {
        self.ms = self.ms.saturating_add(1);
        self.itp.send(self.wanted(), true)
    }

    /// The surgeon's packet arrives.
    fn hear(&mut self, packet: &Packet) {
        match self.raven.receive(packet) {
            Took::Applied if !self.raven.is_stopped() => self.mute = 0,
            Took::Applied | Took::Skipped | Took::Reset | Took::Dropped => {
                self.mute = self.mute.saturating_add(1);
            }
        }
        self.damage.muted_ms = self.damage.muted_ms.max(self.mute);
    }

    /// An attacker's packet arrives.
    fn forged(&mut self, packet: &Packet) {
        self.damage.forged = self.damage.forged.saturating_add(1);
        let before = self.raven.place_m();
        if self.raven.receive(packet) == Took::Applied {
            self.damage.believed = self.damage.believed.saturating_add(1);
        }
        let step = apart_mm(before, self.raven.place_m());
        self.damage.step_mm = self.damage.step_mm.max(step);
    }

    fn end(mut self) -> Damage {
        self.damage.displaced_mm = apart_mm(self.wanted(), self.raven.place_m());
        self.damage.halted = self.raven.is_stopped();
        self.damage
    }
}

fn apart_mm(a: [f64; 3], b: [f64; 3]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>().sqrt() * 1e3
}

/// The attacks that have a like here.
pub const ATTACKS: [&str; 6] = ["A05", "A06", "A10", "A11", "A17", "A21"];

/// Does one of [`ATTACKS`] to RAVEN's rule; `None` for any other.
///
/// Errors: [`ScriptError`]; none, while the script ships.
pub fn attack(id: &str, seed: u64) -> Result<Option<Damage>, ScriptError> {
    let mut dice = Dice::new(seed, 0x4a7e);
    let theatre = Theatre::new()?;
    Ok(Some(match id {
        "A05" => replay(theatre, &mut dice),
        "A06" => reorder(theatre, &mut dice),
        "A10" => lead(theatre, &mut dice),
        "A11" => reset(theatre, &mut dice),
        "A17" => step(theatre, &mut dice, 50_000),
        "A21" => halt(theatre, &mut dice),
        _ => return Ok(None),
    }))
}

/// A recorded stretch said again, byte for byte, between two packets of the surgeon's. What lies
/// more than 1000 back is taken for a new start, and what follows it is applied.
fn replay(mut theatre: Theatre, dice: &mut Dice) -> Damage {
    let mut recorded = Vec::new();
    let again = BEGINS_MS.saturating_add(dice.below(1_000));
    while theatre.ms < LENGTH_MS {
        let packet = theatre.say();
        recorded.push(packet);
        theatre.hear(&packet);
        theatre.raven.tick();
        if theatre.ms == again {
            let many = recorded.len().saturating_sub(1_002).min(900);
            for old in recorded.clone().iter().skip(recorded.len() - 1_002 - many).take(many) {
                theatre.forged(old);
            }
        }
    }
    theatre.end()
}

/// Some packets come later than the ones behind them.
fn reorder(mut theatre: Theatre, dice: &mut Dice) -> Damage {
    let mut late: Vec<(u64, Packet)> = Vec::new();
    while theatre.ms < LENGTH_MS {
        let packet = theatre.say();
        let now = theatre.ms;
        if now > BEGINS_MS && dice.chance(0.1) {
            late.push((now.saturating_add(dice.below(500)).saturating_add(1), packet));
        } else {
            theatre.hear(&packet);
        }
        let (due, waits): (Vec<_>, Vec<_>) = late.into_iter().partition(|(at, _)| *at <= now);
        late = waits;
        due.iter().for_each(|(_, packet)| theatre.hear(packet));
        theatre.raven.tick();
    }
    theatre.end()
}

/// One packet a second whose number lies up to 1000 ahead.
fn lead(mut theatre: Theatre, dice: &mut Dice) -> Damage {
    let ahead = u32::try_from(dice.below(200)).unwrap_or(0).saturating_add(800);
    while theatre.ms < LENGTH_MS {
        let packet = theatre.say();
        if theatre.ms >= BEGINS_MS && theatre.ms.is_multiple_of(1_000) {
            let sequence = packet.sequence.saturating_add(ahead);
            theatre.forged(&Packet { sequence, ..packet });
        }
        theatre.hear(&packet);
        theatre.raven.tick();
    }
    theatre.end()
}

/// One packet more than 1000 back, and then the attacker's own, number after number.
fn reset(mut theatre: Theatre, dice: &mut Dice) -> Damage {
    let back = u32::try_from(dice.below(400)).unwrap_or(0).saturating_add(1_002);
    while theatre.ms < LENGTH_MS {
        let packet = theatre.say();
        theatre.hear(&packet);
        theatre.raven.tick();
        if theatre.ms == BEGINS_MS {
            let mut sequence = packet.sequence.saturating_sub(back);
            theatre.forged(&Packet { sequence, ..packet });
            for _ in 0..500 {
                sequence = sequence.saturating_add(1);
                theatre.forged(&Packet { sequence, del: [50, 0, 0], surgeon_mode: true });
            }
        }
    }
    theatre.end()
}

/// One step of 50 mm in one packet, under the next number.
fn step(mut theatre: Theatre, dice: &mut Dice, um: i32) -> Damage {
    let when = BEGINS_MS.saturating_add(dice.below(1_000));
    while theatre.ms < LENGTH_MS {
        if theatre.ms == when {
            let sequence = theatre.raven.last.saturating_add(1);
            theatre.forged(&Packet { sequence, del: [um, 0, 0], surgeon_mode: true });
        }
        let packet = theatre.say();
        theatre.hear(&packet);
        theatre.raven.tick();
    }
    theatre.end()
}

/// One packet that makes the robot take its own power. Source: Bonaci et al. 2015.
fn halt(theatre: Theatre, dice: &mut Dice) -> Damage {
    step(theatre, dice, 11_000)
}
