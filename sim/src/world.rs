//! The virtual world: console, link and robot under one virtual clock.
//!
//! Knows: the shipped cores and how they hang together. Does not know: real time, sockets, threads.
//! It runs the leader, both sessions, the link emulator, the follower and the arm plant exactly as
//! they ship; bytes cross the link. Same seed, same bytes.
//!
//! Everything that happens is an event at a world time: bytes come, the servo loop turns, the
//! leader thread turns. Equal times happen in that order. The loops wake by their own clocks and by
//! the rule of the real threads ([`longhand_quic::pace::judge`]). Who only looks is a [`Watcher`];
//! who interferes is a [`Meddler`].

pub mod carrier;
pub mod clock;
mod console_end;
pub mod plant;
pub mod quic;
mod robot_end;
pub mod watch;

pub use console_end::ConsoleEnd;
pub use robot_end::RobotEnd;

use crate::world::carrier::{Arrival, Came, Carrier, Plain, Road};
use crate::world::watch::{ConsoleTick, Judged, Meddler, RobotTick, Verdict, Watcher};
use longhand_console::input::Hand;
use longhand_follower::profile::Profile;
use longhand_follower::supervisor::Request;
use longhand_leader::LeaderOutput;
use longhand_leader::hand::HandSample;
use longhand_link::{Direction, Disturb, Emulator, LinkModel};
use longhand_protocol::message::{FollowerState, SessionKey};
use longhand_protocol::session::RobotSession;
use longhand_protocol::units::{Micros, TICK};
use longhand_robot_agent::servo::Servo;
use plant::WorldArm;

/// What a world is made of.
pub struct WorldConfig {
    /// The link between.
    pub link: LinkModel,
    /// What is laid over the link.
    pub disturb: Disturb,
    /// The seed of everything random.
    pub seed: u64,
    /// The robot's profile.
    pub profile: Profile,
    /// Hand metres to tip metres.
    pub scale: f64,
    /// Whose hand moves.
    pub hand: Box<dyn Hand>,
}

/// What one millisecond of the world brought.
#[derive(Clone, Copy, Debug)]
pub struct WorldTick {
    /// World time.
    pub at: Micros,
    /// What the robot said of itself last.
    pub state: FollowerState,
    /// What the hand did last.
    pub hand: HandSample,
    /// What the leader decided last.
    pub leader: LeaderOutput,
}

impl WorldTick {
    /// The delay of the command in use from hand sample to first use by the servo loop, where both
    /// clocks run true: in the world, both are known. `None` while no command is in use.
    pub fn hand_to_joint(&self) -> Option<Micros> {
        let echo = &self.state.echo;
        let applied = echo.applied_at.as_micros().checked_sub(robot_end::ZERO.as_micros())?;
        let sampled = echo.hand_time.as_micros().checked_sub(console_end::ZERO.as_micros())?;
        Some(Micros::from_micros(applied.saturating_sub(sampled)))
    }
}

/// The world.
pub struct World {
    at: Micros,
    carrier: Box<dyn Carrier>,
    robot: RobotEnd,
    console: ConsoleEnd,
    meddlers: Vec<Box<dyn Meddler>>,
    watchers: Vec<Box<dyn Watcher>>,
    /// Where bytes stand while meddlers have them.
    desk: Vec<u8>,
}

impl World {
    /// A world over the plain link, in which a session has begun and the bedside enables the robot
    /// and hands it over in the first two turns. The surgeon still has to engage.
    pub fn new(config: WorldConfig) -> Self {
        let link = Emulator::new(config.link.clone(), config.seed).with_disturb(config.disturb);
        Self::over(Box::new(Plain::new([link])), config)
    }

    /// The same world over any carrier; `config.link` and `config.disturb` are not looked at. Over
    /// one that has connections nothing has begun: the console connects and asks for a session.
    pub fn over(carrier: Box<dyn Carrier>, config: WorldConfig) -> Self {
        let terms = config.profile.terms();
        let begun = !carrier.has_connections();
        let mut robot = RobotEnd::new(config.profile, config.seed, begun);
        for request in [Request::Enable, Request::HandOver] {
            robot.ask(request);
        }
        let key = begun.then(|| robot.first_welcome());
        let console = ConsoleEnd::new(config.hand, terms, config.scale, config.seed, key);
        Self {
            at: Micros::ZERO,
            carrier,
            robot,
            console,
            meddlers: Vec::new(),
            watchers: Vec::new(),
            desk: Vec::new(),
        }
    }

    /// Lets somebody look at everything from now on.
    pub fn watch(&mut self, watcher: Box<dyn Watcher>) {
        self.watchers.push(watcher);
    }

    /// Lets somebody interfere from now on.
    pub fn meddle(&mut self, meddler: Box<dyn Meddler>) {
        self.meddlers.push(meddler);
    }

    /// World time.
    pub const fn now(&self) -> Micros {
        self.at
    }

    /// What carries the bytes.
    pub fn carrier(&mut self) -> &mut dyn Carrier {
        self.carrier.as_mut()
    }

    /// The first path, to cut it.
    ///
    /// # Panics
    /// Never: every carrier has a path.
    #[allow(clippy::unwrap_used, reason = "every carrier has a first path")]
    pub fn link(&mut self) -> &mut Emulator {
        self.carrier.path(0).unwrap()
    }

    /// The robot's end: clock, servo, session, network side.
    pub const fn robot(&mut self) -> &mut RobotEnd {
        &mut self.robot
    }

    /// The console's end: clock, leader, session, hand.
    pub const fn console(&mut self) -> &mut ConsoleEnd {
        &mut self.console
    }

    /// The hand.
    pub fn hand(&mut self) -> &mut dyn Hand {
        self.console.hand()
    }

    /// The robot's session: what was accepted, lost and rejected. `None` while nobody holds one.
    pub const fn robot_session(&self) -> Option<&RobotSession> {
        self.robot.session()
    }

    /// The servo, to make an arm fail.
    pub const fn servo(&mut self) -> &mut Servo<WorldArm> {
        self.robot.servo()
    }

    /// What every message of the session that the robot granted last carries.
    pub const fn key(&self) -> SessionKey {
        self.robot.key()
    }

    /// One millisecond in which the bedside asks for something.
    pub fn bedside(&mut self, request: Request) -> WorldTick {
        self.robot.ask(request);
        self.tick()
    }

    /// One millisecond with the emergency stop pressed.
    pub fn emergency_stop(&mut self) -> WorldTick {
        self.robot.press_emergency_stop(true);
        let tick = self.tick();
        self.robot.press_emergency_stop(false);
        tick
    }

    /// Bytes come out of the link now, as if the other end had sent them: an attack, a stray.
    pub fn inject(&mut self, direction: Direction, road: Road, bytes: Vec<u8>) {
        let came = Came::Bytes { road, bytes };
        self.arrived(Arrival { due: self.at, direction, came });
    }

    /// The console's process dies now, and another begins after `down`.
    pub fn kill_console(&mut self, down: Micros) {
        let back_at = self.at.saturating_add(down);
        self.console.die(back_at);
        self.carrier.died(self.at, Direction::Down, back_at);
    }

    /// The robot's network side dies now, and begins again after `down`.
    pub fn kill_network(&mut self, down: Micros) {
        let back_at = self.at.saturating_add(down);
        self.robot.network_dies(back_at);
        self.carrier.died(self.at, Direction::Up, back_at);
    }

    /// One millisecond: everything that happens in it.
    pub fn tick(&mut self) -> WorldTick {
        self.tick_looking(Micros::ZERO, |_robot| {})
    }

    /// The same; `look` is shown the robot's end as it is so far into this millisecond.
    pub fn tick_looking(&mut self, phase: Micros, look: impl FnOnce(&RobotEnd)) -> WorldTick {
        self.at = self.at.saturating_add(TICK);
        self.let_meddle();
        self.let_leave(self.at);
        self.happen_before(self.at.saturating_add(phase.min(TICK)));
        look(&self.robot);
        self.happen_before(self.at.saturating_add(TICK));
        WorldTick {
            at: self.at,
            state: *self.robot.state(),
            hand: *self.console.sample(),
            leader: *self.console.output(),
        }
    }

    fn happen_before(&mut self, end: Micros) {
        while let Some((at, next)) = self.next_event().filter(|(at, _)| *at < end) {
            match next {
                Event::Arrival => self.deliver(at),
                Event::Robot => self.turn_robot(at),
                Event::Console => self.turn_console(at),
            }
            self.let_leave(at);
        }
    }

    /// The earliest event, in the order of the variants where times are equal.
    fn next_event(&self) -> Option<(Micros, Event)> {
        let arrival = self.carrier.next_due().map(|due| (due, Event::Arrival));
        let robot = (self.robot.wakes_at(), Event::Robot);
        let console = (self.console.wakes_at(), Event::Console);
        [arrival, Some(robot), Some(console)].into_iter().flatten().min()
    }

    fn let_meddle(&mut self) {
        if self.meddlers.is_empty() {
            return;
        }
        let mut meddlers = std::mem::take(&mut self.meddlers);
        for meddler in &mut meddlers {
            meddler.tick(self.at, self);
        }
        // One that was added meanwhile stays.
        meddlers.append(&mut self.meddlers);
        self.meddlers = meddlers;
    }

    fn deliver(&mut self, at: Micros) {
        // A carrier may have had something to do that brings nothing out.
        if let Some(arrival) = self.carrier.poll(at) {
            self.arrived(arrival);
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        let Arrival { due, direction, came } = arrival;
        let Came::Bytes { road, mut bytes } = came else {
            return match direction {
                Direction::Up => self.robot.connection_changed(due, &came),
                Direction::Down => self.console.connection_changed(due, &came),
            };
        };
        let passes = self.meddlers.iter_mut().all(|m| m.received(due, direction, road, &mut bytes));
        if !passes {
            return self.carrier.recycle(bytes);
        }
        match (direction, road) {
            (Direction::Up, Road::Datagram) => {
                let verdict = self.robot.datagram(due, &bytes);
                let verdict = verdict.as_ref().map(Verdict::Command);
                self.tell_judged(due, direction, &bytes, verdict);
            }
            (Direction::Up, Road::Frame) => {
                if let Some(answer) = self.robot.frame(due, &bytes) {
                    self.send(due, Direction::Down, Road::Frame, answer);
                }
            }
            (Direction::Down, Road::Datagram) => {
                let verdict = self.console.datagram(due, &bytes);
                let verdict = verdict.as_ref().map(Verdict::State);
                self.tell_judged(due, direction, &bytes, verdict);
            }
            (Direction::Down, Road::Frame) => self.console.frame(due, &bytes),
            // What an end reads is deciphered.
            (_, Road::Packet(_)) => {}
        }
        self.carrier.recycle(bytes);
    }

    fn tell_judged(
        &mut self,
        at: Micros,
        direction: Direction,
        bytes: &[u8],
        verdict: Option<Verdict<'_>>,
    ) {
        let Some(verdict) = verdict else { return };
        for watcher in &mut self.watchers {
            watcher.judged(&Judged { at, direction, bytes, verdict });
        }
    }

    fn turn_robot(&mut self, at: Micros) {
        let turned = self.robot.turn(at);
        if !self.watchers.is_empty() {
            let tick: RobotTick<'_> = self.robot.describe(at, &turned);
            for watcher in &mut self.watchers {
                watcher.robot_tick(&tick);
            }
        }
        self.robot.after_turn(at, &turned);
        if let Some(welcome) = self.robot.welcome(at) {
            self.send(at, Direction::Down, Road::Frame, welcome);
        }
        if let Some(report) = self.robot.report() {
            self.send(at, Direction::Down, Road::Datagram, report);
        }
    }

    fn turn_console(&mut self, at: Micros) {
        let wants = self.console.wants(at);
        if wants.connection {
            self.carrier.connect(at);
        }
        if let Some(hello) = wants.hello {
            self.send(at, Direction::Up, Road::Frame, hello);
        }
        self.console.turn(at, &mut self.meddlers);
        let tick: ConsoleTick<'_> = self.console.describe(at);
        for watcher in &mut self.watchers {
            watcher.console_tick(&tick);
        }
        if let Some(command) = self.console.command() {
            self.send(at, Direction::Up, Road::Datagram, command);
        }
    }

    /// Bytes set out. Where the link sees them as they are, past everybody who would stop, change
    /// or copy them; where they are ciphered first, those wait at [`World::let_leave`].
    fn send(&mut self, at: Micros, direction: Direction, road: Road, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if self.meddlers.is_empty() || self.carrier.has_connections() {
            return self.carrier.send(at, direction, road, bytes);
        }
        let mut desk = std::mem::take(&mut self.desk);
        desk.clear();
        desk.extend_from_slice(bytes);
        if self.may_enter(at, direction, road, &mut desk) {
            self.carrier.send(at, direction, road, &desk);
        }
        self.desk = desk;
    }

    /// Packets of a carrier that ciphers enter the link.
    fn let_leave(&mut self, at: Micros) {
        while let Some((direction, port, mut bytes)) = self.carrier.leaving() {
            if self.may_enter(at, direction, Road::Packet(port), &mut bytes) {
                self.carrier.enter(at, direction, port, bytes);
            }
        }
    }

    /// Asks everybody who would stop, change or copy what enters the link.
    fn may_enter(
        &mut self,
        at: Micros,
        direction: Direction,
        road: Road,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let mut meddlers = std::mem::take(&mut self.meddlers);
        let passes = meddlers.iter_mut().all(|m| m.sent(at, direction, road, bytes));
        meddlers.append(&mut self.meddlers);
        self.meddlers = meddlers;
        passes
    }
}

/// What may happen next; equal times in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Robot,
    Console,
}

/// The robot profile that suits a shipped link, and its name: what the demo starts the agent with.
pub fn profile_for(link: &str) -> (&'static str, Profile) {
    match link {
        "ideal" | "metro-fibre" | "campus-5g-urllc" | "city-5g-sa" | "national-dedicated" => {
            ("default", Profile::DEFAULT)
        }
        "geo" => ("satellite", Profile::SATELLITE),
        _ => ("public-5g", Profile::PUBLIC_5G),
    }
}
