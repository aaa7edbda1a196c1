//! Which command is in use, and how old that makes the arm's motion.
//!
//! Knows: what the session let through and what the robot says it uses. Does not know: playout.

use super::{Found, Invariant, rule};
use crate::world::watch::RobotTick;
use longhand_protocol::geometry::{PerArm, Pose, RobotBase, Tip};
use longhand_protocol::message::{Levels, SessionKey, Stage};
use longhand_protocol::session::Accepted;
use longhand_protocol::units::{Console, Epoch, Instant, Micros, Robot, Seq, TICK};

/// Commands remembered: more than playout can hold back and a window can reorder.
const KEPT: usize = 4_096;
/// Numbers looked at for the next command: more milliseconds than any buffer reaches. Chosen.
const LOOK_AHEAD: u64 = 256;
/// How much farther ahead than the buffer's cap a waiting command may lie and still vouch. Source:
/// the note to design.md section 6: beyond the buffer's reach plus 10 ms none does.
const REACH: Micros = Micros::from_millis(10);

/// How much playout's delay may grow in a tick. Source: design.md, "by stretching time a little";
/// 5 % is what the buffer's own document says.
const STRETCH_US: i64 = 50;
/// What Follow forgives: three missed commands (safety.md 4.3), and the ticks at either end.
const FORGIVEN: Micros = Micros::from_millis(5);

/// The command in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) number: Seq,
    pub(crate) levels: Levels,
    pub(crate) energy: PerArm<bool>,
    pub(crate) goal: PerArm<Pose<RobotBase, Tip>>,
    /// When the robot said what this command answers; robot clock.
    pub(crate) echo: Instant<Robot>,
    key: SessionKey,
    hand_time: Instant<Console>,
    received_at: Instant<Robot>,
}

impl Used {
    /// The session's epoch.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.key.epoch
    }
}

/// All commands that could be in use.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    kept: Vec<Option<Used>>,
    /// When the command in use came into use.
    in_use_since: Option<Instant<Robot>>,
    in_use: Seq,
    used: Option<Used>,
    epoch: Epoch,
    /// `None` before the first tick.
    fresh_at: Option<Instant<Robot>>,
    delay_max: Micros,
    /// The newest that was let through.
    newest: Option<Used>,
    absent_for: u32,
    behind: Behind,
}

/// How far what is in use lies behind the hand's own time, robot clock less hand clock,
/// microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    /// At most this much, by what was in use before; none while the arm stands.
    most_us: Option<i64>,
    last: Seq,
}

impl Commands {
    pub(crate) fn new(delay_max: Micros) -> Self {
        Self {
            kept: vec![None; KEPT],
            in_use_since: None,
            in_use: Seq::ZERO,
            used: None,
            epoch: Epoch::new(0),
            fresh_at: None,
            delay_max,
            newest: None,
            absent_for: 0,
            behind: Behind::default(),
        }
    }

    fn slot(number: Seq) -> usize {
        usize::try_from(number.get()).unwrap_or(0) % KEPT
    }

    pub(crate) fn accepted(&mut self, accepted: &Accepted) {
        let command = &accepted.command;
        let intent = &command.intent;
        let used = Used {
            number: command.number,
            levels: intent.levels,
            energy: intent.levels.energy,
            goal: PerArm::from_fn(|arm| intent.arms.get(arm).servo_cp),
            echo: intent.echo_robot_time,
            key: command.key,
            hand_time: intent.hand_time,
            received_at: accepted.received_at,
        };
        if accepted.newest {
            self.newest = Some(used);
        }
        if let Some(slot) = self.kept.get_mut(Self::slot(command.number)) {
            *slot = Some(used);
        }
    }

    fn find(&self, number: Seq) -> Option<Used> {
        let kept = self.kept.get(Self::slot(number))?.as_ref()?;
        (kept.number == number).then_some(*kept)
    }

    /// I01, by the hand's time: while an arm moves, commands keep their turns. Playout's delay only
    /// grows by stretching time, so a command that is used later than the ones before it, by more
    /// than that and what Follow forgives, is old, however lately it came.
    fn turn(&mut self, tick: &RobotTick<'_>, used: Option<&Used>) -> Found {
        let stage = tick.output.state.stage;
        let Some(used) = used.filter(|_| stage <= Stage::Brake) else {
            self.behind = Behind::default();
            return Ok(());
        };
        let us = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        let late = us(tick.now.as_micros()).saturating_sub(us(used.hand_time.as_micros()));
        let newer = used.number > self.behind.last && self.behind.last != Seq::ZERO;
        let grown = self.behind.most_us.map(|most| most.saturating_add(STRETCH_US));
        let most = if newer { Some(grown.unwrap_or(late).min(late)) } else { grown };
        self.behind = Behind { most_us: most, last: used.number };
        let Some(most) = grown.filter(|_| stage == Stage::Follow) else { return Ok(()) };
        let bound = most.saturating_add(us(FORGIVEN.as_micros()));
        // What comes next is here: the arm is between the two, and nothing is old.
        rule(late <= bound || self.next(used).is_some(), Invariant::I01, || {
            format!("Follow by a command {} us after its turn", late.saturating_sub(most))
        })
    }

    /// The age of what is in use, and what it is.
    pub(crate) fn look(
        &mut self,
        tick: &RobotTick<'_>,
    ) -> Result<(Micros, Option<Used>), (Invariant, String)> {
        let state = &tick.output.state;
        let number = state.echo.number;
        // One that stays in use, as where a robot stands for long, is not forgotten.
        let stays = self.used.filter(|used| used.number == number);
        let used = self.find(number).or(stays);
        self.used = used;
        self.same_holder(tick, number, used.as_ref())?;
        if number != self.in_use || self.in_use_since.is_none() {
            self.fresh_at = Some(tick.now);
            self.in_use_since = Some(tick.now);
        } else if used.as_ref().is_some_and(|used| self.something_waits(used, tick.now)) {
            self.fresh_at = Some(tick.now);
        }
        self.in_use = number;
        if let Some(used) = &used {
            self.epoch = used.key.epoch;
        }
        self.operator(tick.output.state.stage, used.as_ref())?;
        self.view(tick, used.as_ref())?;
        self.turn(tick, used.as_ref())?;
        let fresh_at = *self.fresh_at.get_or_insert(tick.now);
        Ok((tick.now.since(fresh_at), used))
    }

    /// Whether the next newer command waits for its turn on the hand's time grid, near enough to
    /// vouch: the hole before it is no longer than what has passed since plus the buffer's reach,
    /// and what has passed is no longer than the hole plus that reach.
    fn something_waits(&self, used: &Used, now: Instant<Robot>) -> bool {
        let since = self.in_use_since.map_or(Micros::ZERO, |since| now.since(since));
        let reach = self.delay_max.saturating_add(REACH);
        self.next(used).is_some_and(|next| {
            let hole = next.hand_time.since(used.hand_time);
            hole <= since.saturating_add(reach) && since <= hole.saturating_add(reach)
        })
    }

    /// The next newer command of the same session that is here. After a console's stall it may be
    /// the newest, however many numbers were skipped.
    fn next(&self, used: &Used) -> Option<Used> {
        let later = (1..=LOOK_AHEAD).map(|n| Seq::new(used.number.get().saturating_add(n)));
        let near = later.filter_map(|number| self.find(number));
        let newest = self.newest.filter(|newest| newest.number > used.number);
        near.chain(newest).find(|next| next.key == used.key)
    }

    /// I02, I03, I04, I16, I18: what is in use was let through, is no older than what was, and is
    /// of the one session that holds the robot.
    fn same_holder(&self, tick: &RobotTick<'_>, number: Seq, used: Option<&Used>) -> Found {
        if number == Seq::ZERO {
            return Ok(());
        }
        let Some(used) = used else {
            let words = || format!("command {} is in use and was never let through", number.get());
            return rule(false, Invariant::I16, words);
        };
        let same = used.key.epoch == self.epoch;
        rule(!same || number >= self.in_use, Invariant::I02, || {
            format!("command {} after {}", number.get(), self.in_use.get())
        })?;
        rule(used.key.epoch >= self.epoch, Invariant::I03, || {
            format!("epoch {} after {}", used.key.epoch.get(), self.epoch.get())
        })?;
        let moves = matches!(tick.output.state.stage, Stage::Follow | Stage::Coast);
        // A session that was granted since the last tick has not been heard yet.
        let holds = used.key.epoch == tick.key.epoch && used.key.session == tick.key.session;
        let fresh = used.received_at >= tick.now.before(TICK);
        rule(!moves || holds || !fresh, Invariant::I04, || {
            format!("epoch {} moves, {} holds", used.key.epoch.get(), tick.key.epoch.get())
        })?;
        rule(used.key.profile == tick.key.profile, Invariant::I18, || {
            "a command made for another profile is in use".to_owned()
        })
    }

    /// I17: a pedal seen released ends Follow within two ticks, whether it is that command's turn
    /// or not.
    fn operator(&mut self, stage: Stage, used: Option<&Used>) -> Found {
        let mut heard = used.into_iter().chain(self.newest.as_ref());
        let absent = used.is_some_and(|used| {
            heard.any(|one| one.key == used.key && !one.levels.operator_present)
        });
        self.absent_for = if absent { self.absent_for.saturating_add(1) } else { 0 };
        rule(self.absent_for <= 2 || stage != Stage::Follow, Invariant::I17, || {
            format!("pedal up for {} ticks", self.absent_for)
        })
    }

    /// I01, its second half: nobody follows on a view that is too old.
    fn view(&self, tick: &RobotTick<'_>, used: Option<&Used>) -> Found {
        let state = &tick.output.state;
        let Some(used) = used.filter(|_| state.stage == Stage::Follow) else { return Ok(()) };
        let loop_age = tick.now.since(used.echo);
        // What is in use may lie between two commands, one tick apart on the hand's grid.
        let slack = Micros::from_millis(2);
        let bound = tick.output.state.loop_age.saturating_add(slack);
        rule(loop_age <= bound, Invariant::I01, || {
            format!("the robot says its loop age is {}, and it is {loop_age}", state.loop_age)
        })
    }
}
