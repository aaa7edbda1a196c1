//! The invariants, by name.
//!
//! Knows: what each says and where it is checked. Does not know: how.
//! Source: safety.md section 5.

/// One invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "`sentence` says each")]
pub enum Invariant {
    I01,
    I02,
    I03,
    I04,
    I05,
    I06,
    I07,
    I08,
    I09,
    I10,
    I11,
    I12,
    I13,
    I14,
    I15,
    I16,
    I17,
    I18,
    I19,
    I20,
    I21,
    I22,
    I23,
    I24,
    I25,
    I26,
    I27,
    I28,
}

/// Where an invariant is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// At every tick, by the checker.
    EveryTick,
    /// By comparing whole runs: the test's file.
    Runs(&'static str),
    /// Where the thing lives: the test's file.
    Lives(&'static str),
}

impl Invariant {
    /// Every invariant.
    pub const ALL: [Self; 28] = [
        Self::I01,
        Self::I02,
        Self::I03,
        Self::I04,
        Self::I05,
        Self::I06,
        Self::I07,
        Self::I08,
        Self::I09,
        Self::I10,
        Self::I11,
        Self::I12,
        Self::I13,
        Self::I14,
        Self::I15,
        Self::I16,
        Self::I17,
        Self::I18,
        Self::I19,
        Self::I20,
        Self::I21,
        Self::I22,
        Self::I23,
        Self::I24,
        Self::I25,
        Self::I26,
        Self::I27,
        Self::I28,
    ];

    /// Its number, as in safety.md.
    pub fn name(self) -> String {
        let place = Self::ALL.iter().position(|one| *one == self).unwrap_or(0);
        format!("I{:02}", place.saturating_add(1))
    }

    /// What it says.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::I01 => "Follow needs a fresh command and a fresh view",
            Self::I02 => "an older command never follows a newer one",
            Self::I03 => "the epoch in use is the one held, and never falls",
            Self::I04 => "exactly one session moves the arms",
            Self::I05 => "the tip keeps its speed limit",
            Self::I06 => "the tip keeps its acceleration and jerk limits, braking included",
            Self::I07 => "joints keep their ranges and speeds, and everything is a number",
            Self::I08 => "the tip stays in its work volume",
            Self::I09 => "blind motion is bounded",
            Self::I10 => "silence slows the arm down, then stops it",
            Self::I11 => "energy needs a pedal, a person and a fresh command",
            Self::I12 => "what is held stays where it is held",
            Self::I13 => "a jaw never opens by itself",
            Self::I14 => "motion comes back only after good link, pedal and alignment",
            Self::I15 => "stages rise at once and fall one step at a time",
            Self::I16 => "a rejected command changes nothing",
            Self::I17 => "a released pedal ends Follow within two ticks",
            Self::I18 => "commands carry the hash of the profile in force",
            Self::I19 => "no tick is skipped silently; too many end in SafeOff",
            Self::I20 => "the control path neither allocates nor locks nor waits",
            Self::I21 => "the drive was told what the follower decided",
            Self::I22 => "the record of a tick exists before its setpoint",
            Self::I23 => "two integrity faults within ten hours latch",
            Self::I24 => "an arm that does not do what the surgeon asks is noticed",
            Self::I25 => "an alarm is signalled within 100 ms and stays until acknowledged",
            Self::I26 => "whoever only looks changes nothing",
            Self::I27 => "the same seed gives the same bits",
            Self::I28 => "the emergency stop takes the power in the same tick",
        }
    }

    /// Where it is checked.
    pub const fn checked(self) -> Where {
        match self {
            Self::I20 => Where::Lives("benches/tests/no_alloc.rs, tidy.rs, no_panic.rs"),
            Self::I22 => Where::Lives("robot-agent/tests/record.rs"),
            Self::I25 => Where::Lives("console/src/alarms.rs"),
            Self::I16 | Self::I26 | Self::I27 => Where::Runs("sim/tests/world_runs.rs"),
            Self::I01
            | Self::I02
            | Self::I03
            | Self::I04
            | Self::I05
            | Self::I06
            | Self::I07
            | Self::I08
            | Self::I09
            | Self::I10
            | Self::I11
            | Self::I12
            | Self::I13
            | Self::I14
            | Self::I15
            | Self::I17
            | Self::I18
            | Self::I19
            | Self::I21
            | Self::I23
            | Self::I24
            | Self::I28 => Where::EveryTick,
        }
    }
}
