//! RAVEN II's receive rule, as a yardstick: what becomes of the same attacks there.
//!
//! Knows: the rule as it stands in the public source, and a sender for it. Does not know: our own.
//!
//! Source of every rule: uw-biorobotics/raven2@d2307c5, `src/raven/network_layer.cpp`,
//! `local_io.cpp`, `include/raven/defines.h` (read 2023-05-15 version):
//! - the checksum's comparison is commented out; the sender is not looked at (`recvfrom` without
//!   an address), so whoever reaches the port is the surgeon;
//! - sequence 0 is only logged; `last` again is dropped; `last + 1` is applied; more than that
//!   becomes the new `last` and its own increment is **not** applied; more than 1000 below `last`
//!   (where `last` is above 1000) becomes the new `last`, not applied; anything else is dropped;
//! - motion is incremental: `xd += del`, micrometres;
//! - link loss is noticed after `MASTER_CONN_TIMEOUT`, 5000 ticks of 1 ms.

pub mod beside;

/// Ticks without a packet until the surgeon counts as gone. Source: defines.h:392.
pub const MASTER_CONN_TIMEOUT: u32 = 5_000;
/// A jump back of more than this is taken for a new start. Source: network_layer.cpp:235-310.
const RESET_BEYOND: u32 = 1_000;
/// An increment above this in one packet drives the motors over their torque bound, and the robot
/// stops itself: power off, until somebody beside it presses start. That it happens is Bonaci et
/// al. 2015 (arXiv 1504.04339, one packet). The length is chosen: the real bound is on torque.
pub const OVERDRIVE_UM: i64 = 10_000;

/// What of ITP's `u_struct` the rule looks at, for one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Rises by one with every packet.
    pub sequence: u32,
    /// How far the tool goes, micrometres.
    pub del: [i32; 3],
    /// The surgeon's foot is on the pedal.
    pub surgeon_mode: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// Its increment moved the tool.
    Applied,
    /// Its number was taken over, its increment thrown away.
    Skipped,
    /// It was taken for a new start: its number was taken over.
    Reset,
    /// It changed nothing.
    Dropped,
}

/// The robot's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raven {
    last: u32,
    place_um: [i64; 3],
    engaged: bool,
    silent: u32,
    stopped: bool,
}

impl Raven {
    /// Takes a packet, whoever sent it.
    pub fn receive(&mut self, packet: &Packet) -> Took {
        self.silent = 0;
        let Packet { sequence, del, surgeon_mode } = *packet;
        let next = self.last.saturating_add(1);
        if sequence == 0 || sequence == self.last {
            return Took::Dropped;
        }
        if sequence > next {
            self.last = sequence;
            return Took::Skipped;
        }
        if sequence < next {
            let resets = self.last > RESET_BEYOND && sequence < self.last - RESET_BEYOND;
            if resets {
                self.last = sequence;
                return Took::Reset;
            }
            return Took::Dropped;
        }
        self.last = sequence;
        self.engaged = surgeon_mode;
        if self.stopped || !surgeon_mode {
            return Took::Applied;
        }
        for (place, step) in self.place_um.iter_mut().zip(del) {
            *place = place.saturating_add(i64::from(step));
        }
        self.stopped = del.iter().any(|step| i64::from(*step).abs() > OVERDRIVE_UM);
        Took::Applied
    }

    /// One millisecond goes by.
    pub const fn tick(&mut self) {
        self.silent = self.silent.saturating_add(1);
        if self.silent >= MASTER_CONN_TIMEOUT {
            self.engaged = false;
        }
    }

    /// Where the tool is asked to be, metres from where it began.
    pub fn place_m(&self) -> [f64; 3] {
        self.place_um.map(metres)
    }

    /// Whether it stopped itself: power off.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the surgeon counts as there.
    pub const fn is_engaged(&self) -> bool {
        self.engaged
    }
}

#[expect(clippy::as_conversions, reason = "micrometres far below 2^53")]
const fn metres(um: i64) -> f64 {
    um as f64 * 1e-6
}

/// The surgeon's end: turns a path into increments, and keeps what a whole micrometre leaves over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Itp {
    sequence: u32,
    said_um: [i64; 3],
}

impl Itp {
    /// The packet that leads to `place`, metres from where the path began.
    pub fn send(&mut self, place: [f64; 3], surgeon_mode: bool) -> Packet {
        self.sequence = self.sequence.saturating_add(1);
        let mut del = [0; 3];
        for ((step, said), is) in del.iter_mut().zip(&mut self.said_um).zip(place) {
            let wanted = micrometres(is);
            *step = i32::try_from(wanted - *said).unwrap_or(0);
            *said = wanted;
        }
        Packet { sequence: self.sequence, del, surgeon_mode }
    }
}

#[expect(clippy::as_conversions, reason = "clamped to ten metres")]
const fn micrometres(m: f64) -> i64 {
    (m.clamp(-10.0, 10.0) * 1e6).round() as i64
}

#[cfg(test)]
mod tests {
    use super::{Itp, MASTER_CONN_TIMEOUT, Packet, Raven, Took};

    fn packet(sequence: u32) -> Packet {
        Packet { sequence, del: [1, 0, 0], surgeon_mode: true }
    }

    fn at(last: u32) -> Raven {
        Raven { last, ..Raven::default() }
    }

    /// The rule, a number before, on and after each of its edges.
    #[test]
    fn every_edge_of_the_sequence_rule() {
        for (last, sequence, took) in [
            (5, 0, Took::Dropped),
            (5, 5, Took::Dropped),
            (5, 4, Took::Dropped),
            (5, 6, Took::Applied),
            (5, 7, Took::Skipped),
            (5, u32::MAX, Took::Skipped),
            (1_000, 1, Took::Dropped),
            (1_001, 1, Took::Dropped),
            (1_002, 1, Took::Reset),
            (5_000, 4_000, Took::Dropped),
            (5_000, 3_999, Took::Reset),
        ] {
            assert_eq!(at(last).receive(&packet(sequence)), took, "{sequence} after {last}");
        }
    }

    #[test]
    fn a_gap_loses_its_increment_for_good() {
        let (mut itp, mut raven) = (Itp::default(), Raven::default());
        for n in 1..=10_u32 {
            let sent = itp.send([f64::from(n) * 1e-3, 0.0, 0.0], true);
            if n != 5 {
                raven.receive(&sent);
            }
        }
        // The fifth was lost, and the sixth was not applied.
        assert!((raven.place_m()[0] - 8e-3).abs() < 1e-9);
    }

    #[test]
    fn silence_is_noticed_after_five_seconds() {
        let mut raven = at(0);
        raven.receive(&packet(1));
        (1..MASTER_CONN_TIMEOUT).for_each(|_| raven.tick());
        assert!(raven.is_engaged());
        raven.tick();
        assert!(!raven.is_engaged());
    }
}
