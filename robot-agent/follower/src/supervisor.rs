//! The supervisor: may the arms move in this tick?
//!
//! Knows: the stages, what moves between them, and who may ask for what. Does not know: ages in
//! milliseconds (`watchdog` says how fresh), poses, or joints.
//!
//! It alone makes a [`Permit`], without which nothing passes [`crate::limits::Limits::check`].
//! The stage is both arms' stage: they hold together. The table of stages and events is printed
//! from [`next`] into `STAGES.md` and compared by a test.

use crate::fault::Fault;
use crate::kinematics::Joint;
use crate::profile::Profile;
use crate::shaper::Motion;
use crate::watchdog::{Freshness, Verdict};
use longhand_protocol::geometry::{ArmId, Mismatch, PerArm};
use longhand_protocol::message::{Levels, Reason, Stage, Terms};
use longhand_protocol::units::{Micros, TICK};

/// What can happen to the stage in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The newest command is fresh.
    Fresh,
    /// The newest command is late.
    Late,
    /// No command for so long that the arm must brake, or blind motion has gone far enough.
    Silent,
    /// The arm stands, or no command for so long that it must.
    Stop,
    /// From Hold: the link is good again and the goal lies at the tool.
    Rejoin,
    /// Motion needs the surgeon's explicit word again.
    Latch,
    /// From Latched: good link, pedal released then pressed, aligned.
    Engage,
    /// No command for so long that the lease ends.
    Expire,
    /// The bedside takes the robot.
    Release,
    /// The bedside gives the robot to the console.
    HandOver,
    /// Power on: the arms are enabled where they stand.
    Enable,
    /// Power off, by the bedside.
    Disable,
    /// After a fault: the bedside has seen to it and restarts the robot.
    Restart,
    /// The robot is not well.
    Fault,
}

impl Event {
    /// Every event, in the table's order.
    pub const ALL: [Self; 14] = [
        Self::Fresh,
        Self::Late,
        Self::Silent,
        Self::Stop,
        Self::Rejoin,
        Self::Latch,
        Self::Engage,
        Self::Expire,
        Self::Release,
        Self::HandOver,
        Self::Enable,
        Self::Disable,
        Self::Restart,
        Self::Fault,
    ];
}

/// A pedal counts as released after this long. Source: F35, bounce of 1 to 50 ms; twice that.
const RELEASED_FOR: Micros = Micros::from_millis(100);

/// What an event does to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing changes.
    Stay,
    /// The stage becomes this one.
    To(Stage),
    /// It was asked for, and is not allowed now.
    Refuse,
}

/// The law of the stages: every pair of stage and event, spelled out.
#[expect(clippy::too_many_lines, reason = "one table, every pair spelled; it is not a procedure")]
pub const fn next(stage: Stage, event: Event) -> Transition {
    use Event as E;
    use Stage as S;
    use Transition::{Refuse, Stay, To};
    match (stage, event) {
        // What the link does.
        (S::Coast, E::Fresh) => To(S::Follow),
        (S::Brake, E::Fresh) => To(S::Coast),
        (S::Follow, E::Late) => To(S::Coast),
        (S::Follow | S::Coast, E::Silent) => To(S::Brake),
        (S::Follow | S::Coast | S::Brake, E::Stop) => To(S::Hold),
        (S::Hold, E::Rejoin) => To(S::Follow),
        (S::Follow | S::Coast | S::Brake | S::Hold, E::Latch) => To(S::Latched),
        (S::Latched, E::Engage) => To(S::Hold),
        (S::Follow | S::Coast | S::Brake | S::Hold | S::Latched, E::Expire | E::Release) => {
            To(S::Bedside)
        }
        // What the bedside does.
        (S::Bedside, E::HandOver) => To(S::Latched),
        (S::Disabled, E::Enable) => To(S::Bedside),
        (S::Follow | S::Coast | S::Brake | S::Hold | S::Latched | S::Bedside, E::Disable) => {
            To(S::Disabled)
        }
        (S::SafeOff, E::Restart) => To(S::Disabled),
        // What the robot does.
        (
            S::Follow | S::Coast | S::Brake | S::Hold | S::Latched | S::Bedside | S::Disabled,
            E::Fault,
        ) => To(S::SafeOff),
        // Asked for in vain.
        (S::SafeOff | S::Disabled, E::Release | E::HandOver) => Refuse,
        (S::Latched | S::Bedside | S::SafeOff, E::Enable) => Refuse,
        (S::SafeOff, E::Disable) => Refuse,
        (
            S::Follow | S::Coast | S::Brake | S::Hold | S::Latched | S::Bedside | S::Disabled,
            E::Restart,
        ) => Refuse,
        // What changes nothing.
        (S::Follow, E::Fresh)
        | (S::Coast, E::Late)
        | (S::Brake, E::Late | E::Silent)
        | (S::Hold, E::Fresh | E::Late | E::Silent | E::Stop)
        | (S::Follow | S::Coast | S::Brake, E::Rejoin)
        | (S::Follow | S::Coast | S::Brake | S::Hold, E::Engage | E::HandOver | E::Enable)
        | (
            S::Latched,
            E::Fresh | E::Late | E::Silent | E::Stop | E::Rejoin | E::Latch | E::HandOver,
        )
        | (
            S::Bedside,
            E::Fresh
            | E::Late
            | E::Silent
            | E::Stop
            | E::Rejoin
            | E::Latch
            | E::Engage
            | E::Expire
            | E::Release,
        )
        | (
            S::SafeOff,
            E::Fresh
            | E::Late
            | E::Silent
            | E::Stop
            | E::Rejoin
            | E::Latch
            | E::Engage
            | E::Expire
            | E::Fault,
        )
        | (
            S::Disabled,
            E::Fresh
            | E::Late
            | E::Silent
            | E::Stop
            | E::Rejoin
            | E::Latch
            | E::Engage
            | E::Expire
            | E::Disable,
        ) => Stay,
    }
}

/// What somebody asks of the stage. The bedside may ask for all of it, the console only for a pause
/// and its end: a network event may hold the robot, never take its power (A21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Power on: the arms are enabled where they stand.
    Enable,
    /// Power off.
    Disable,
    /// Hold until the bedside resumes.
    Pause,
    /// End every pause, the console's too; the surgeon still has to engage.
    Resume,
    /// The console asks for a hold until it resumes.
    ConsolePause,
    /// End the console's pause; refused while the bedside's stands.
    ConsoleResume,
    /// The bedside takes the robot.
    Release,
    /// The bedside gives the robot to the console.
    HandOver,
    /// The bedside has seen to the fault and restarts the robot.
    Restart,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is so now; or nothing was asked.
    Done,
    /// It was refused.
    Refused(Denial),
}

/// Why a request was refused. Each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Not in the present stage: see the table in `STAGES.md`. For the console's resume: the
    /// bedside has paused the robot and must resume it.
    Stage,
    /// Enable: this arm's position cannot be read. See to its encoders.
    Unreadable(ArmId),
    /// Enable: this joint of this arm stands outside its range. Move it inside by hand.
    Outside(ArmId, Joint),
}

/// All that the supervisor looks at in one tick.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// How fresh the newest command is.
    pub verdict: Verdict,
    /// The surgeon's levels; all off while there is no command.
    pub levels: Levels,
    /// Goal against setpoint, the worse of both arms; `None` without a goal.
    pub mismatch: Option<Mismatch>,
    /// Both setpoints stand.
    pub at_rest: bool,
    /// Blind motion would pass its bound in this tick.
    pub coast_spent: bool,
    /// The loop lost so many ticks that the arms stand already.
    pub stalled: bool,
    /// The first command of a new session has come.
    pub new_session: bool,
    /// The session reports commands that no sound peer sends.
    pub integrity: bool,
    /// What is wrong with the robot, the worst of this tick.
    pub fault: Option<Fault>,
    /// Why the arms cannot be enabled where they stand, if they cannot.
    pub unfit: Option<Denial>,
    /// What somebody asks.
    pub request: Option<Request>,
}

/// Leave to move in one tick. Made by [`Supervisor::next`] alone.
///
/// Neither `Copy` nor `Clone`: it is lent to one tick and ends with it.
///
/// ```compile_fail
/// fn keep(lent: &longhand_follower::supervisor::Permit) -> longhand_follower::supervisor::Permit {
///     *lent
/// }
/// ```
/// ```compile_fail
/// fn is_clone<T: Clone>() {}
/// is_clone::<longhand_follower::supervisor::Permit>();
/// ```
#[derive(Debug, PartialEq)]
pub struct Permit {
    motion: Motion,
    drive: bool,
    energy: PerArm<bool>,
    jaw_may_open: bool,
}

impl Permit {
    /// How the setpoints may move.
    pub const fn motion(&self) -> Motion {
        self.motion
    }

    /// Whether the drives may be told positions at all; else they brake, powerless.
    pub const fn may_drive(&self) -> bool {
        self.drive
    }

    /// Whether each arm's energy may be on.
    pub const fn energy(&self) -> PerArm<bool> {
        self.energy
    }

    /// Whether a jaw may open: it never does so by itself (I13), so only while following. What it
    /// holds is held until a fresh command says otherwise.
    pub const fn jaw_may_open(&self) -> bool {
        self.jaw_may_open
    }
}

#[cfg(test)]
impl Permit {
    /// A permit for the tests of what stands behind it.
    pub(crate) fn of_a_test(drive: bool) -> Self {
        Self { motion: Motion::Toward(1.0), drive, energy: PerArm::default(), jaw_may_open: true }
    }
}

/// The stage and what it takes to leave it.
#[derive(Clone, Copy, Debug)]
pub struct Supervisor {
    profile: Profile,
    terms: Terms,
    stage: Stage,
    reason: Reason,
    /// How long the link has been good without a break.
    good_for: Micros,
    /// The pedal was seen released since Latched began. A held pedal never re-engages.
    released_seen: bool,
    /// How long the pedal has been released without a break.
    released_for: Micros,
    /// How long the arms have been held: since Hold or worse began.
    held_for: Micros,
    /// The bedside has paused the robot.
    paused: bool,
    /// The console has paused the robot. It ends with the session that asked for it: whoever comes
    /// next has to engage in any case, and must not wait for a word that nobody will say.
    console_paused: bool,
    /// Times that Follow or Coast was left because of the link.
    safe_stops: u32,
}

impl Supervisor {
    /// A robot that has just been switched on.
    pub const fn new(profile: Profile) -> Self {
        Self {
            profile,
            terms: profile.terms(),
            stage: Stage::Disabled,
            reason: Reason::None,
            good_for: Micros::ZERO,
            released_seen: false,
            released_for: Micros::ZERO,
            held_for: Micros::ZERO,
            paused: false,
            console_paused: false,
            safe_stops: 0,
        }
    }

    /// The stage.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Why the robot is not following.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Times that the link alone stopped the motion.
    pub const fn safe_stops(&self) -> u32 {
        self.safe_stops
    }

    /// Decides one tick. What somebody asks comes first, then what the robot and the link say, so a
    /// request cannot mask a fault. What became of the request comes back beside the permit.
    pub fn next(&mut self, seen: &Observation) -> (Permit, Outcome) {
        self.note(seen);
        if seen.new_session {
            // A release that another session's pedal was seen to make is no release of this one's.
            self.released_seen = false;
            self.released_for = Micros::ZERO;
        }
        let answer = seen.request.map_or(Outcome::Done, |asked| self.ask(asked, seen.unfit));
        let (event, why) = self.event(seen);
        self.apply(event, why);
        (self.permit(seen), answer)
    }

    /// A fault found after the permit was given, in the same tick.
    pub fn fault(&mut self, fault: Fault) {
        let event = match fault {
            Fault::Limit | Fault::Tracking => Event::Latch,
            Fault::HoldError
            | Fault::MissedTicks
            | Fault::Drive
            | Fault::ReadBack
            | Fault::Broken
            | Fault::EmergencyStop => Event::Fault,
        };
        self.apply(event, fault.reason());
    }

    /// Keeps the clocks of the way back.
    fn note(&mut self, seen: &Observation) {
        let good = seen.verdict.freshness == Freshness::Fresh
            && !seen.verdict.loop_too_old
            && !seen.new_session
            && !seen.integrity
            && !seen.stalled;
        self.good_for = if good { self.good_for.saturating_add(TICK) } else { Micros::ZERO };
        let released = good && !seen.levels.operator_present && self.stage == Stage::Latched;
        let longer = self.released_for.saturating_add(TICK);
        self.released_for = if released { longer } else { Micros::ZERO };
        self.released_seen |= self.released_for >= RELEASED_FOR;
        let moving = matches!(self.stage, Stage::Follow | Stage::Coast | Stage::Brake);
        self.console_paused &= !seen.new_session;
        self.held_for = if moving { Micros::ZERO } else { self.held_for.saturating_add(TICK) };
    }

    fn ask(&mut self, asked: Request, unfit: Option<Denial>) -> Outcome {
        let (event, why) = match asked {
            Request::Enable => (Event::Enable, Reason::BedsideOwns),
            Request::Disable => (Event::Disable, Reason::None),
            Request::Release => (Event::Release, Reason::BedsideOwns),
            Request::HandOver => (Event::HandOver, Reason::NewSession),
            Request::Restart => (Event::Restart, Reason::None),
            Request::Pause => {
                self.paused = true;
                (Event::Latch, Reason::Paused)
            }
            Request::ConsolePause => {
                self.console_paused = true;
                (Event::Latch, Reason::Paused)
            }
            Request::Resume => {
                self.paused = false;
                self.console_paused = false;
                return Outcome::Done;
            }
            Request::ConsoleResume => {
                self.console_paused = false;
                if self.paused {
                    return Outcome::Refused(Denial::Stage);
                }
                return Outcome::Done;
            }
        };
        match (next(self.stage, event), unfit) {
            (Transition::Refuse, _) => Outcome::Refused(Denial::Stage),
            // An arm that no setpoint fits would be a fault in the tick that enables it.
            (Transition::To(_), Some(unfit)) if event == Event::Enable => Outcome::Refused(unfit),
            (Transition::Stay | Transition::To(_), _) => {
                self.apply(event, why);
                Outcome::Done
            }
        }
    }

    /// The worst thing that happens in this tick, and why.
    fn event(&self, seen: &Observation) -> (Event, Reason) {
        let latches = |fault: &Fault| matches!(fault, Fault::Limit | Fault::Tracking);
        if let Some(fault) = seen.fault.filter(|fault| !latches(fault)) {
            return (Event::Fault, fault.reason());
        }
        let fresh = seen.verdict.freshness;
        if fresh == Freshness::Expired && self.stage != Stage::Bedside {
            // Worse than what latches: an arm that strays all the while must not keep the lease.
            return (Event::Expire, Reason::LeaseExpired);
        }
        if let Some(fault) = seen.fault {
            return (Event::Latch, fault.reason());
        }
        if self.stage == Stage::Latched {
            return if self.may_engage(seen) {
                (Event::Engage, Reason::None)
            } else {
                (Event::Latch, self.latch_reason(seen).unwrap_or(self.reason))
            };
        }
        if let Some(why) = self.latch_reason(seen) {
            return (Event::Latch, why);
        }
        if self.stage == Stage::Hold {
            let rejoin = self.may_rejoin(seen);
            return (if rejoin { Event::Rejoin } else { Event::Stop }, self.reason);
        }
        if seen.stalled {
            return (Event::Stop, Reason::MissedTicks);
        }
        let braking = self.stage == Stage::Brake;
        let event = match fresh {
            Freshness::Fresh => Event::Fresh,
            Freshness::Late if seen.coast_spent => Event::Silent,
            Freshness::Late => Event::Late,
            Freshness::Silent if braking && seen.at_rest => Event::Stop,
            Freshness::Silent => Event::Silent,
            Freshness::Lost | Freshness::Gone | Freshness::Expired => Event::Stop,
        };
        (event, if event == Event::Fresh { Reason::None } else { Reason::LinkSilent })
    }

    /// Why motion needs the surgeon's explicit word, if it does; the worst reason wins.
    fn latch_reason(&self, seen: &Observation) -> Option<Reason> {
        let has_link = seen.verdict.freshness <= Freshness::Late;
        let far = |m: Mismatch| has_link && !m.within(self.profile.motion.anchor_max);
        [
            (seen.integrity, Reason::Integrity),
            (seen.new_session, Reason::NewSession),
            (seen.verdict.loop_too_old, Reason::LoopAge),
            (seen.mismatch.is_some_and(far), Reason::Mismatch),
            (self.paused || self.console_paused, Reason::Paused),
            (has_link && !seen.levels.operator_present, Reason::OperatorAbsent),
            (seen.verdict.freshness >= Freshness::Gone, Reason::LinkSilent),
        ]
        .into_iter()
        .find_map(|(holds, why)| holds.then_some(why))
    }

    fn may_rejoin(&self, seen: &Observation) -> bool {
        let near = |m: Mismatch| m.within(self.profile.motion.blend_max);
        self.good_for >= self.profile.stages.rejoin_good
            && seen.at_rest
            && seen.levels.operator_present
            && self.leader_knows(seen)
            && seen.mismatch.is_some_and(near)
    }

    /// The command in use was made by a leader that has seen this hold: the state that it echoes is
    /// not older than the hold. Else its goal would still run on from before, and when it heard of
    /// the hold at last it would pull the tool back.
    fn leader_knows(&self, seen: &Observation) -> bool {
        seen.verdict.loop_age <= self.held_for && !seen.levels.engaged
    }

    fn may_engage(&self, seen: &Observation) -> bool {
        let near = |m: Mismatch| m.within(self.profile.motion.align_max);
        self.good_for >= self.profile.stages.reengage_good
            && self.latch_reason(seen).is_none()
            && self.released_seen
            && seen.levels.operator_present
            && self.leader_knows(seen)
            && seen.at_rest
            && seen.mismatch.is_some_and(near)
    }

    fn apply(&mut self, event: Event, why: Reason) {
        let Transition::To(stage) = next(self.stage, event) else {
            // The reason of a standing Latched may get worse, so that the surgeon is told.
            if self.stage == Stage::Latched && event == Event::Latch {
                self.reason = self.reason.max(why);
            }
            return;
        };
        let moving = matches!(self.stage, Stage::Follow | Stage::Coast);
        let by_link = matches!(why, Reason::LinkSilent | Reason::LoopAge);
        if moving && by_link && !matches!(stage, Stage::Follow | Stage::Coast) {
            self.safe_stops = self.safe_stops.saturating_add(1);
        }
        if stage == Stage::Latched {
            // Half a second of good link, and a release, both from now on.
            self.released_seen = false;
            self.released_for = Micros::ZERO;
            self.good_for = Micros::ZERO;
        }
        if stage == Stage::Bedside {
            // The lease is over, and what its session asked.
            self.console_paused = false;
        }
        self.reason = if stage == Stage::Follow { Reason::None } else { why };
        self.stage = stage;
    }

    fn permit(&self, seen: &Observation) -> Permit {
        let scale = self.terms.speed_scale(seen.verdict.loop_age);
        let (motion, drive) = match self.stage {
            Stage::Follow | Stage::Coast => (Motion::Toward(scale), true),
            Stage::Brake | Stage::Hold | Stage::Latched | Stage::Bedside => (Motion::Stop, true),
            Stage::SafeOff | Stage::Disabled => (Motion::Stop, false),
        };
        let may_burn = matches!(self.stage, Stage::Follow | Stage::Coast)
            && seen.verdict.energy_fresh
            && seen.levels.operator_present;
        Permit {
            motion,
            drive,
            energy: seen.levels.energy.map(|asked| asked && may_burn),
            jaw_may_open: self.stage == Stage::Follow,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::fmt::Write as _;
    use std::string::String;

    /// The table in STAGES.md is printed from the code; a change of the law shows in the diff.
    #[test]
    fn the_table_in_the_docs_is_the_law() {
        let mut table = String::from("| stage |");
        for event in Event::ALL {
            write!(table, " {event:?} |").unwrap();
        }
        table.push_str("\n|---|");
        table.push_str(&"---|".repeat(Event::ALL.len()));
        for stage in Stage::ALL {
            write!(table, "\n| **{stage:?}** |").unwrap();
            for event in Event::ALL {
                match next(stage, event) {
                    Transition::Stay => table.push_str(" |"),
                    Transition::To(to) => write!(table, " {to:?} |").unwrap(),
                    Transition::Refuse => table.push_str(" refused |"),
                }
            }
        }
        table.push_str("\n\n| stage | operating state |\n|---|---|");
        for stage in Stage::ALL {
            write!(table, "\n| {stage:?} | {} |", stage.operating_state().name()).unwrap();
        }
        let doc = include_str!("../STAGES.md");
        assert!(doc.contains(&table), "STAGES.md must hold this table:\n{table}\n");
    }

    #[test]
    fn no_event_leads_from_fault_to_motion() {
        for event in Event::ALL {
            match next(Stage::SafeOff, event) {
                Transition::To(to) => assert_eq!((to, event), (Stage::Disabled, Event::Restart)),
                Transition::Stay | Transition::Refuse => {}
            }
        }
    }

    #[test]
    fn follow_is_entered_only_from_coast_and_hold() {
        for stage in Stage::ALL {
            for event in Event::ALL {
                if next(stage, event) == Transition::To(Stage::Follow) {
                    assert!(matches!(
                        (stage, event),
                        (Stage::Coast, Event::Fresh) | (Stage::Hold, Event::Rejoin)
                    ));
                }
            }
        }
    }

    fn good() -> Observation {
        Observation {
            verdict: Verdict {
                freshness: Freshness::Fresh,
                loop_too_old: false,
                energy_fresh: true,
                age: Micros::ZERO,
                loop_age: Micros::from_millis(50),
            },
            levels: Levels { operator_present: true, ..Levels::default() },
            mismatch: Some(Mismatch::default()),
            at_rest: true,
            coast_spent: false,
            stalled: false,
            new_session: false,
            integrity: false,
            fault: None,
            unfit: None,
            request: None,
        }
    }

    fn asking(request: Request) -> Observation {
        Observation { request: Some(request), ..good() }
    }

    fn released() -> Observation {
        Observation { levels: Levels::default(), ..good() }
    }

    fn run(s: &mut Supervisor, seen: &Observation, ticks: u32) -> Stage {
        for _ in 0..ticks {
            s.next(seen);
        }
        s.stage()
    }

    fn following() -> Supervisor {
        let mut s = Supervisor::new(Profile::DEFAULT);
        s.next(&asking(Request::Enable));
        s.next(&asking(Request::HandOver));
        run(&mut s, &released(), 600);
        assert_eq!(run(&mut s, &good(), 3), Stage::Follow);
        s
    }

    fn silent(freshness: Freshness) -> Observation {
        let mut seen = good();
        seen.verdict.freshness = freshness;
        seen.at_rest = freshness >= Freshness::Lost;
        seen
    }

    #[test]
    fn latched_held_pedal_stays_latched() {
        let mut s = Supervisor::new(Profile::DEFAULT);
        s.next(&asking(Request::Enable));
        s.next(&asking(Request::HandOver));
        assert_eq!(run(&mut s, &good(), 10_000), Stage::Latched);
        run(&mut s, &released(), 99);
        assert_eq!(run(&mut s, &good(), 1_000), Stage::Latched, "a bounce is no release");
        run(&mut s, &released(), 100);
        assert_eq!(run(&mut s, &good(), 3), Stage::Follow);
    }

    #[test]
    fn hold_leader_that_has_not_seen_it_waits() {
        let mut s = following();
        run(&mut s, &silent(Freshness::Lost), 1);
        let mut unaware = good();
        unaware.verdict.loop_age = Micros::from_millis(290);
        // The echo is older than the hold for 290 ticks, however good the link.
        assert_eq!(run(&mut s, &unaware, 289), Stage::Hold);
        assert_eq!(run(&mut s, &unaware, 2), Stage::Follow);
        run(&mut s, &silent(Freshness::Lost), 1);
        let mut engaged = good();
        engaged.levels.engaged = true;
        assert_eq!(run(&mut s, &engaged, 1_000), Stage::Hold, "its goal still follows the hand");
    }

    #[test]
    fn the_console_cannot_end_the_bedsides_pause_and_is_told_so() {
        let mut s = following();
        s.next(&asking(Request::ConsolePause));
        s.next(&asking(Request::Pause));
        let (_, answer) = s.next(&asking(Request::ConsoleResume));
        assert_eq!(answer, Outcome::Refused(Denial::Stage));
        run(&mut s, &released(), 600);
        assert_eq!(run(&mut s, &good(), 600), Stage::Latched);
        assert_eq!(s.next(&asking(Request::Resume)).1, Outcome::Done);
        assert_eq!(run(&mut s, &good(), 3), Stage::Follow);
    }

    #[test]
    fn the_bedsides_resume_ends_the_consoles_pause_too() {
        for pauses in [&[Request::ConsolePause][..], &[Request::Pause, Request::ConsolePause]] {
            let mut s = following();
            for pause in pauses {
                s.next(&asking(*pause));
            }
            run(&mut s, &released(), 600);
            assert_eq!(run(&mut s, &good(), 600), Stage::Latched);
            s.next(&asking(Request::Resume));
            assert_eq!(run(&mut s, &good(), 3), Stage::Follow);
        }
    }

    #[test]
    fn the_consoles_pause_ends_with_its_session_and_the_bedsides_does_not() {
        let ends: [fn(&mut Supervisor); 3] = [
            |s| {
                s.next(&Observation { new_session: true, ..good() });
            },
            |s| {
                run(s, &silent(Freshness::Expired), 1);
                s.next(&asking(Request::HandOver));
            },
            |s| {
                s.next(&asking(Request::Release));
                s.next(&asking(Request::HandOver));
            },
        ];
        for (pause, then) in
            [(Request::ConsolePause, Stage::Follow), (Request::Pause, Stage::Latched)]
        {
            for end in ends {
                let mut s = following();
                s.next(&asking(pause));
                end(&mut s);
                run(&mut s, &released(), 600);
                assert_eq!(run(&mut s, &good(), 3), then, "{pause:?}");
            }
        }
    }

    #[test]
    fn a_new_sessions_own_pause_stands() {
        let mut s = following();
        s.next(&Observation { new_session: true, ..asking(Request::ConsolePause) });
        run(&mut s, &released(), 600);
        assert_eq!(run(&mut s, &good(), 3), Stage::Latched);
    }

    #[test]
    fn latched_pressed_a_tick_before_half_a_second_waits() {
        let mut s = Supervisor::new(Profile::DEFAULT);
        s.next(&asking(Request::Enable));
        s.next(&asking(Request::HandOver));
        run(&mut s, &released(), 498);
        assert_eq!(run(&mut s, &good(), 1), Stage::Latched);
        assert_eq!(run(&mut s, &good(), 1), Stage::Hold);
        assert_eq!(run(&mut s, &good(), 1), Stage::Follow);
    }

    /// Found by a campaign of twenty hours, seed 12.
    #[test]
    fn an_arm_that_strays_all_the_while_does_not_keep_the_lease() {
        let mut s = following();
        let stray = |freshness| Observation { fault: Some(Fault::Tracking), ..silent(freshness) };
        assert_eq!(run(&mut s, &stray(Freshness::Gone), 1_000), Stage::Latched);
        assert_eq!(run(&mut s, &stray(Freshness::Expired), 1), Stage::Bedside);
        assert_eq!(run(&mut s, &stray(Freshness::Expired), 1_000), Stage::Bedside);
    }

    #[test]
    fn follow_silence_passes_every_stage_in_order() {
        let mut s = following();
        assert_eq!(run(&mut s, &silent(Freshness::Late), 1), Stage::Coast);
        assert_eq!(run(&mut s, &silent(Freshness::Silent), 1), Stage::Brake);
        assert_eq!(run(&mut s, &silent(Freshness::Lost), 1), Stage::Hold);
        assert_eq!(run(&mut s, &silent(Freshness::Gone), 1), Stage::Latched);
        assert_eq!(run(&mut s, &silent(Freshness::Expired), 1), Stage::Bedside);
        assert_eq!(s.safe_stops(), 1);
        // The link is back: nothing but the bedside changes that.
        assert_eq!(run(&mut s, &released(), 1_000), Stage::Bedside);
        assert_eq!(run(&mut s, &good(), 1_000), Stage::Bedside);
    }

    #[test]
    fn brake_fresh_in_time_returns_without_hold() {
        let mut s = following();
        run(&mut s, &silent(Freshness::Silent), 1);
        assert_eq!(run(&mut s, &good(), 1), Stage::Coast);
        assert_eq!(run(&mut s, &good(), 1), Stage::Follow);
    }

    #[test]
    fn hold_waits_for_100_ms_and_for_the_goal_at_the_tool() {
        let mut s = following();
        run(&mut s, &silent(Freshness::Lost), 1);
        let far = Mismatch { distance_m: 1.1e-3, angle_rad: 0.0 };
        let away = Observation { mismatch: Some(far), ..good() };
        assert_eq!(run(&mut s, &away, 1_000), Stage::Hold);
        run(&mut s, &silent(Freshness::Late), 1);
        assert_eq!(run(&mut s, &good(), 99), Stage::Hold);
        assert_eq!(run(&mut s, &good(), 1), Stage::Follow);
    }

    #[test]
    fn hold_goal_too_far_latches() {
        let mut s = following();
        run(&mut s, &silent(Freshness::Lost), 1);
        let far = Mismatch { distance_m: 21e-3, angle_rad: 0.0 };
        run(&mut s, &Observation { mismatch: Some(far), ..good() }, 1);
        assert_eq!((s.stage(), s.reason()), (Stage::Latched, Reason::Mismatch));
    }

    #[test]
    fn coast_spent_brakes_early() {
        let mut s = following();
        let seen = Observation { coast_spent: true, ..silent(Freshness::Late) };
        assert_eq!(run(&mut s, &seen, 1), Stage::Brake);
    }

    #[test]
    fn energy_needs_stage_level_and_operator_in_the_same_command() {
        let mut s = following();
        let mut seen = good();
        seen.levels.energy.psm1 = true;
        let (permit, _) = s.next(&seen);
        assert_eq!(permit.energy(), PerArm { psm1: true, psm2: false });
        seen.verdict.energy_fresh = false;
        assert_eq!(s.next(&seen).0.energy(), PerArm::default());
        seen.verdict.energy_fresh = true;
        seen.levels.operator_present = false;
        assert_eq!(s.next(&seen).0.energy(), PerArm::default());
        assert_eq!((s.stage(), s.reason()), (Stage::Latched, Reason::OperatorAbsent));
    }

    #[test]
    fn a_pause_needs_a_resume_and_the_pedal() {
        let mut s = following();
        s.next(&asking(Request::Pause));
        assert_eq!(s.stage(), Stage::Latched);
        run(&mut s, &released(), 600);
        assert_eq!(run(&mut s, &good(), 600), Stage::Latched);
        s.next(&asking(Request::Resume));
        assert_eq!(run(&mut s, &good(), 3), Stage::Follow);
    }

    #[test]
    fn an_emergency_stop_acts_in_its_tick_and_is_final_until_restart() {
        let mut s = following();
        let seen = Observation { fault: Some(Fault::EmergencyStop), ..asking(Request::HandOver) };
        let (permit, _) = s.next(&seen);
        assert_eq!(s.stage(), Stage::SafeOff);
        assert!(!permit.may_drive());
        for request in [Request::Enable, Request::HandOver, Request::Release, Request::Disable] {
            let (_, answer) = s.next(&asking(request));
            assert_eq!((s.stage(), answer), (Stage::SafeOff, Outcome::Refused(Denial::Stage)));
        }
        s.next(&asking(Request::Restart));
        assert_eq!(s.stage(), Stage::Disabled);
    }
}
