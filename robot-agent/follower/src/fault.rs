//! What can be wrong with the robot itself, and the assertion that becomes such a fault.
//!
//! Knows: the faults and their order. Does not know: what follows from one (`supervisor`).
//!
//! Terms: a `Fault` says the robot is not well; it is not a `WireError` (the peer spoke nonsense)
//! nor a `Refusal` (well said, not now). The worst of a tick wins.

use core::panic::Location;
use longhand_protocol::message::Reason;

/// The robot is not well. Later variants are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A joint, speed or workspace limit would have been broken. The tick's setpoint is refused and
    /// both arms come to rest. Clears by engaging anew.
    Limit,
    /// An arm is not where it was told, for longer than a drive takes. It is held where it is told
    /// to be; if it is not there at rest either, that is a [`Fault::HoldError`]. Clears by the arm
    /// being where it is told, then engaging anew.
    Tracking,
    /// The arm left the pose it should hold. Clears by local restart.
    HoldError,
    /// The servo loop missed more ticks in a row than the profile allows. Clears by restart.
    MissedTicks,
    /// A drive reported a fault. Clears by local restart.
    Drive,
    /// A drive says that it was told something else than what passed the check. Clears by local
    /// restart, once the drive says what it is told.
    ReadBack,
    /// A rule that must always hold did not: a defect in the software. Clears by restart.
    Broken,
    /// The emergency stop is pressed. Clears by releasing it, then local restart.
    EmergencyStop,
}

impl Fault {
    /// The word that the state report carries for it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Limit => Reason::Limit,
            // "... or did not do what it was told".
            Self::Tracking | Self::Drive | Self::ReadBack => Reason::Drive,
            Self::HoldError => Reason::HoldError,
            Self::MissedTicks => Reason::MissedTicks,
            Self::Broken => Reason::Broken,
            Self::EmergencyStop => Reason::EmergencyStop,
        }
    }
}

/// A broken rule and where it stands in the source. We fail the motion, not the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static Location<'static>);

impl From<Broken> for Fault {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

/// Holds one fact to be true.
///
/// Errors: [`Broken`] with the caller's place, which becomes the worst fault but one.
#[track_caller]
pub const fn ensure(fact: bool) -> Result<(), Broken> {
    if fact { Ok(()) } else { Err(Broken(Location::caller())) }
}
