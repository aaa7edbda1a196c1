//! The attackers' tools: to say, to change, to hold back, to hold the hand.
//!
//! Knows: where the world lets one lay hands on it. Does not know: to what end.

use super::trial::{Shared, Witness, say};
use crate::world::World;
use crate::world::carrier::Road;
use crate::world::watch::Meddler;
use longhand_leader::hand::HandSample;
use longhand_link::Direction;
use longhand_protocol::message::Command;
use longhand_protocol::units::Micros;
use longhand_protocol::wire;
use std::collections::BTreeMap;

/// Says what it makes of everything it has heard, beside the true console, in every millisecond.
pub struct Beside<F> {
    witness: Shared<Witness>,
    heard: Vec<Vec<u8>>,
    newest: Option<Command>,
    make: F,
}

/// What an attacker beside the console has to work with.
pub struct Heard<'a> {
    /// World time.
    pub at: Micros,
    /// The newest command that the robot was handed.
    pub newest: &'a Command,
    /// All datagrams that the robot was handed since the attack began, in order.
    pub all: &'a [Vec<u8>],
}

impl<F: FnMut(&Heard<'_>) -> Vec<Vec<u8>>> Beside<F> {
    /// An attacker who says what `make` gives.
    pub const fn new(witness: Shared<Witness>, make: F) -> Self {
        Self { witness, heard: Vec::new(), newest: None, make }
    }
}

impl<F: FnMut(&Heard<'_>) -> Vec<Vec<u8>>> Meddler for Beside<F> {
    fn tick(&mut self, at: Micros, world: &mut World) {
        let Some(newest) = &self.newest else { return };
        for bytes in (self.make)(&Heard { at, newest, all: &self.heard }) {
            say(&self.witness, world, bytes);
        }
    }

    fn received(&mut self, _at: Micros, to: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        if (to, road) == (Direction::Up, Road::Datagram) {
            self.heard.push(bytes.clone());
            if let Ok(command) = wire::decode_command(bytes)
                && self.newest.is_none_or(|newest| newest.number < command.number)
            {
                self.newest = Some(command);
            }
        }
        true
    }
}

/// Changes commands on their way, between the cipher and the robot's core.
pub struct Change<F> {
    witness: Shared<Witness>,
    change: F,
}

impl<F: FnMut(Micros, &mut Vec<u8>) -> bool> Change<F> {
    /// An attacker who does `change`, which says whether it did anything.
    pub const fn new(witness: Shared<Witness>, change: F) -> Self {
        Self { witness, change }
    }
}

impl<F: FnMut(Micros, &mut Vec<u8>) -> bool> Meddler for Change<F> {
    fn received(&mut self, at: Micros, to: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        if (to, road) == (Direction::Up, Road::Datagram) && (self.change)(at, bytes) {
            self.witness.borrow_mut().forging = true;
        }
        true
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Goes on.
    Pass,
    /// Is gone.
    Drop,
    /// Goes on so much later.
    Later(Micros),
}

/// Holds packets back before the link, or drops them. It cannot read them.
pub struct OnPath<F> {
    rule: F,
    held: BTreeMap<(Micros, u64), (Direction, Road, Vec<u8>)>,
    serial: u64,
}

impl<F: FnMut(Micros, Direction) -> Fate> OnPath<F> {
    /// An attacker on the path who keeps to `rule`.
    pub const fn new(rule: F) -> Self {
        Self { rule, held: BTreeMap::new(), serial: 0 }
    }
}

impl<F: FnMut(Micros, Direction) -> Fate> Meddler for OnPath<F> {
    fn tick(&mut self, at: Micros, world: &mut World) {
        while let Some(entry) = self.held.first_entry().filter(|entry| entry.key().0 <= at) {
            let (direction, road, bytes) = entry.remove();
            world.carrier().send(at, direction, road, &bytes);
        }
    }

    fn sent(&mut self, at: Micros, to: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        match (self.rule)(at, to) {
            Fate::Pass | Fate::Later(Micros::ZERO) => true,
            Fate::Drop => false,
            Fate::Later(by) => {
                self.serial = self.serial.saturating_add(1);
                let key = (at.saturating_add(by), self.serial);
                self.held.insert(key, (to, road, std::mem::take(bytes)));
                false
            }
        }
    }
}

/// Holds the surgeon's hand and foot.
pub struct AtHand<F>(pub F);

impl<F: FnMut(Micros, &mut HandSample)> Meddler for AtHand<F> {
    fn hand(&mut self, at: Micros, sample: &mut HandSample) {
        (self.0)(at, sample);
    }
}

/// Does something to the world in every millisecond.
pub struct Behind<F>(pub F);

impl<F: FnMut(Micros, &mut World)> Meddler for Behind<F> {
    fn tick(&mut self, at: Micros, world: &mut World) {
        (self.0)(at, world);
    }
}

/// The bytes of a command, its checksum right: what only somebody inside the cipher can make.
pub fn sealed(command: &Command) -> Vec<u8> {
    wire::encode_command(command).to_vec()
}

/// Changes the bytes of a command and makes the checksum right again, whatever they say.
pub fn resealed(bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let body = bytes.len().saturating_sub(8);
    let (body, crc) = bytes.split_at_mut(body);
    change(body);
    crc.copy_from_slice(&crc64_xz(body).to_le_bytes());
    bytes
}

/// CRC-64/XZ as WIRE.md section 3 gives it: an attacker reads the contract, not our code.
fn crc64_xz(bytes: &[u8]) -> u64 {
    let step = |crc: u64, byte: &u8| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xc96c_5795_d787_0f42 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(u64::MAX, step)
}

/// Writes a 32-bit number into a message at an offset of WIRE.md; beyond its end nothing happens.
pub fn put_f32(bytes: &mut [u8], offset: usize, value: f32) {
    let end = offset.saturating_add(4);
    if let Some(slot) = bytes.get_mut(offset..end) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
}

/// Reads one; zero beyond the end.
pub fn get_f32(bytes: &[u8], offset: usize) -> f32 {
    let bytes = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0.0, |four| f32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::{resealed, sealed};
    use longhand_protocol::message::Command;

    #[test]
    fn an_unchanged_command_keeps_its_checksum() {
        let bytes = sealed(&Command::default());
        assert_eq!(resealed(&bytes, |_| {}), bytes);
        assert_ne!(resealed(&bytes, |body| body.fill(7)), bytes);
    }
}
