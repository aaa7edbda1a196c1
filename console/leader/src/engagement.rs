//! Engagement: does the tool follow the hand, and if not, why not?
//!
//! Knows: the leader's five states. Does not know: poses (`teleop`), or words for the surgeon
//! (`advisory`). The robot's own stage decides whether it moves; this decides whether the goal
//! does. The table is printed from [`Engagement::next`] into `ENGAGEMENT.md` and compared by a
//! test.

/// Whether the goal follows the hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Engagement {
    /// No state has come from the robot for too long: the goal stands.
    #[default]
    Disconnected,
    /// The robot holds: the goal lies pinned on the held tool, as if clutched.
    Held,
    /// The robot would follow, but the hand's orientation is too far from the tool's.
    Aligning,
    /// The clutch is pressed: the hand moves, the goal stands.
    Clutched,
    /// The goal follows the hand.
    Following,
}

/// What one tick brings, the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// No state for too long.
    StateLost,
    /// The robot's stage is Hold or worse.
    RobotHolds,
    /// The robot follows and the clutch is pressed.
    ClutchPressed,
    /// The robot follows, the clutch is free, the hand is not aligned.
    Misaligned,
    /// The robot follows, the clutch is free, the hand is aligned.
    Aligned,
}

impl Event {
    /// Every event, in the table's order.
    pub const ALL: [Self; 5] =
        [Self::StateLost, Self::RobotHolds, Self::ClutchPressed, Self::Misaligned, Self::Aligned];
}

impl Engagement {
    /// Every state, in the table's order.
    pub const ALL: [Self; 5] =
        [Self::Disconnected, Self::Held, Self::Aligning, Self::Clutched, Self::Following];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "Disconnected",
            Self::Held => "Held",
            Self::Aligning => "Aligning",
            Self::Clutched => "Clutched",
            Self::Following => "Following",
        }
    }

    /// The law: every pair spelled out. A hand that follows already does not lose the tool by
    /// turning: alignment is asked for only on the way in.
    #[must_use]
    pub const fn next(self, event: Event) -> Self {
        use Engagement as S;
        use Event as E;
        match (self, event) {
            (_, E::StateLost) => S::Disconnected,
            (_, E::RobotHolds) => S::Held,
            (_, E::ClutchPressed) => S::Clutched,
            (_, E::Aligned) | (S::Following, E::Misaligned) => S::Following,
            (S::Disconnected | S::Held | S::Aligning | S::Clutched, E::Misaligned) => S::Aligning,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::fmt::Write as _;
    use std::string::String;

    #[test]
    fn the_table_in_the_docs_is_the_law() {
        let mut table = String::from("| engagement |");
        for event in Event::ALL {
            write!(table, " {event:?} |").unwrap();
        }
        table.push_str("\n|---|---|---|---|---|---|");
        for state in Engagement::ALL {
            write!(table, "\n| **{state:?}** |").unwrap();
            for event in Event::ALL {
                write!(table, " {:?} |", state.next(event)).unwrap();
            }
        }
        let doc = include_str!("../ENGAGEMENT.md");
        assert!(doc.contains(&table), "ENGAGEMENT.md must hold this table:\n{table}\n");
    }
}
