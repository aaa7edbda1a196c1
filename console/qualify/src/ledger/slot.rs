//! What became of one slot of the schedule, in twelve bytes.
//!
//! Knows: fates, the two spans of a round trip, and their bytes on disk. Does not know: how they
//! were measured (`ledger`), or what follows from them.
//!
//! Terms: a *slot* is one moment of the schedule at which a probe was due, whether or not it left.
//! A *raw* span is the difference of two clocks whose offset nobody knows; the two raw spans of
//! one slot add up to its round trip, which is exact.

/// Bytes of one slot.
pub const SLOT_LEN: usize = 12;

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came, and its answer came back.
    Back {
        /// From the intended time (console clock) to its arrival (robot clock), less the run's
        /// offset, us.
        up_us: i32,
        /// From the answer's departure (robot clock) to its arrival (console clock), plus the run's
        /// offset, us.
        down_us: i32,
    },
    /// It never came to the robot.
    LostUp,
    /// It came to the robot, and the answer was lost.
    LostDown,
    /// Lost, and nothing says on which way: the run ended, or the session, before anything did.
    LostSomewhere,
    /// This machine did not send it: it stalled. The link is not to blame.
    NotSent,
    /// There was no session to send it in.
    NoSession,
}

/// One slot of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What became of it.
    pub fate: Fate,
    /// How long after its intended time it was handed to the network, us, up to 65535.
    pub late_us: u16,
    /// How long the robot took to answer, in 16 us, up to 255.
    pub turn_16us: u8,
    /// It came to the robot behind a later one.
    pub reordered_up: bool,
    /// Its answer came behind a later one's.
    pub reordered_down: bool,
    /// Its answer came more than once.
    pub duplicate_down: bool,
    /// The robot's machine stalled when it came there, or would have: what the link did with it
    /// nobody knows. The robot's own word, so it makes nothing better than it was measured.
    pub robot_stalled: bool,
    /// This machine stalled when its answer came: when that was nobody knows.
    pub read_late: bool,
}

/// A probe that was sent so late shows that this machine stalled, us. Chosen: as the robot's own
/// (`robot-agent`), three ticks.
pub const STALL_US: u16 = 3_000;

impl Slot {
    /// A slot of this fate and nothing else.
    pub const fn of(fate: Fate) -> Self {
        Self {
            fate,
            late_us: 0,
            turn_16us: 0,
            reordered_up: false,
            reordered_down: false,
            duplicate_down: false,
            robot_stalled: false,
            read_late: false,
        }
    }

    /// Whether a machine at either end is known to have stalled in its way: it was no slower than
    /// it was measured, and nobody knows how much less.
    pub const fn is_doubted(&self) -> bool {
        self.robot_stalled || self.read_late || self.late_us >= STALL_US
    }

    /// The slot as it may be held against the link: what was lost where the robot stalled may have
    /// been lost by the robot.
    #[must_use]
    pub const fn of_the_link(mut self) -> Self {
        if self.robot_stalled && matches!(self.fate, Fate::LostUp | Fate::LostDown) {
            self.fate = Fate::LostSomewhere;
        }
        self
    }

    /// Both spans, where both are known, us.
    pub fn spans(&self) -> Option<(i64, i64)> {
        match self.fate {
            Fate::Back { up_us, down_us } => Some((up_us.into(), down_us.into())),
            Fate::LostUp
            | Fate::LostDown
            | Fate::LostSomewhere
            | Fate::NotSent
            | Fate::NoSession => None,
        }
    }

    /// The round trip without the robot's own time, from the intended time, us.
    pub fn rtt_us(&self) -> Option<i64> {
        self.spans().map(|(up, down)| up.saturating_add(down).max(0))
    }

    /// Whether it was handed to the network.
    pub const fn was_sent(&self) -> bool {
        !matches!(self.fate, Fate::NotSent | Fate::NoSession)
    }

    /// As it lies on disk: fate and flags, turn, lateness, both spans; little endian.
    pub fn bytes(&self) -> [u8; SLOT_LEN] {
        let (fate, up, down) = match self.fate {
            Fate::Back { up_us, down_us } => (0_u8, up_us, down_us),
            Fate::LostUp => (1, 0, 0),
            Fate::LostDown => (2, 0, 0),
            Fate::LostSomewhere => (3, 0, 0),
            Fate::NotSent => (4, 0, 0),
            Fate::NoSession => (5, 0, 0),
        };
        let order = [self.reordered_up, self.reordered_down, self.duplicate_down];
        let flags = [self.read_late].into_iter().chain(order).chain([self.robot_stalled]);
        let flags = flags.zip([8, 16, 32, 64, 128]);
        let first = flags.fold(fate, |byte, (set, bit)| if set { byte | bit } else { byte });
        let [l0, l1] = self.late_us.to_le_bytes();
        let [u0, u1, u2, u3] = up.to_le_bytes();
        let [d0, d1, d2, d3] = down.to_le_bytes();
        [first, self.turn_16us, l0, l1, u0, u1, u2, u3, d0, d1, d2, d3]
    }

    /// Reads it back; `None` for a fate that there is not.
    pub fn from_bytes(bytes: [u8; SLOT_LEN]) -> Option<Self> {
        let [first, turn_16us, l0, l1, u0, u1, u2, u3, d0, d1, d2, d3] = bytes;
        let fate = match first & 7 {
            0 => Fate::Back {
                up_us: i32::from_le_bytes([u0, u1, u2, u3]),
                down_us: i32::from_le_bytes([d0, d1, d2, d3]),
            },
            1 => Fate::LostUp,
            2 => Fate::LostDown,
            3 => Fate::LostSomewhere,
            4 => Fate::NotSent,
            5 => Fate::NoSession,
            _ => return None,
        };
        Some(Self {
            fate,
            late_us: u16::from_le_bytes([l0, l1]),
            turn_16us,
            reordered_up: first & 16 != 0,
            reordered_down: first & 32 != 0,
            duplicate_down: first & 64 != 0,
            robot_stalled: first & 128 != 0,
            read_late: first & 8 != 0,
        })
    }
}

/// The slots of a run, as often as they are looked at: in memory, or on disk.
pub trait Samples {
    /// Hands out every slot in order, with its place from 0.
    fn visit(&self, each: &mut dyn FnMut(u64, &Slot));
}

impl Samples for Vec<Slot> {
    fn visit(&self, each: &mut dyn FnMut(u64, &Slot)) {
        for (place, slot) in (0..).zip(self) {
            each(place, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_survives_its_bytes() {
        let back = Fate::Back { up_us: -5, down_us: i32::MAX };
        let fates = [back, Fate::LostUp, Fate::LostDown, Fate::LostSomewhere];
        for fate in fates.into_iter().chain([Fate::NotSent, Fate::NoSession]) {
            for (late_us, flags) in [(0, 0), (65_535, 5), (7, 10), (8, 16)] {
                let slot = Slot {
                    late_us,
                    turn_16us: 9,
                    reordered_up: flags & 1 != 0,
                    reordered_down: flags & 2 != 0,
                    duplicate_down: flags & 4 != 0,
                    robot_stalled: flags & 8 != 0,
                    read_late: flags & 16 != 0,
                    ..Slot::of(fate)
                };
                assert_eq!(Slot::from_bytes(slot.bytes()), Some(slot));
            }
        }
        assert_eq!(Slot::from_bytes([15; SLOT_LEN]), None);
    }
}
