//! A run over the link emulator in virtual time, whose truth is known.
//!
//! Knows: what the emulator did to each packet. Does not know: what the statistics make of it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use longhand_link::trace::Trace;
use longhand_link::{Direction, Directions, Emulator, LinkModel, Pipe, Profile};
use longhand_protocol::probe::{Probe, ProbeAnswer, Receipts};
use longhand_protocol::units::{Instant, Link, Micros};
use longhand_qualify::ledger::Ledger;
use longhand_qualify::measure::Given;
use longhand_qualify::slot::{Fate, Slot};

/// What is sent over the emulated link.
#[derive(Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "a test's: a copy costs nothing that matters")]
enum Packet {
    Up(u64),
    Down(ProbeAnswer),
}

/// The robot's clock against true time.
#[derive(Clone, Copy, Debug, Default)]
pub struct RobotClock {
    pub ahead_us: i64,
    pub ppm: i64,
    /// At this time (us) it steps by so much (us).
    pub step: Option<(u64, i64)>,
}

impl RobotClock {
    fn at(&self, us: u64) -> u64 {
        let step = self.step.filter(|(at, _)| us >= *at).map_or(0, |(_, by)| by);
        let us = i64::try_from(us).unwrap();
        u64::try_from(us + self.ahead_us + us * self.ppm / 1_000_000 + step).unwrap()
    }
}

/// A hole in the link: which way, from when, how long, us.
pub type Hole = (Directions, u64, u64);

pub struct Run {
    pub slots: Vec<Slot>,
    pub given: Given,
    /// True one-way delays of what came back, us: up, down; by slot.
    pub truth: Vec<Option<(u64, u64)>>,
    /// What the emulator did: true fates, by slot: came to the robot, came back.
    pub came: Vec<(bool, bool)>,
}

pub fn model(name: &str) -> LinkModel {
    LinkModel::from(Profile::by_name(name).unwrap())
}

/// A link of constant delays, us.
pub fn constant(up_us: u64, down_us: u64) -> LinkModel {
    let header = r##"#{"format":"longhand-link-trace-1","kind":"owd","time_base":"relative_us","##;
    let more = r##""dirs":"ud","sampling_us":1000,"loss_semantics":"explicit","##;
    let end = r##""interpolation":"linear","probe":"udp","source":"test","licence":"none","##;
    let last = r##""sha256_source":"","notes":""}"##;
    let columns = "t_us,dir,owd_us,lost,dup,rate_bps,queue_bytes,route_id,flags";
    let row = |at: u64| format!("{at},u,{up_us}\n{at},d,{down_us}\n");
    let rows = format!("{columns}\n{}{}", row(0), row(3_600_000_000));
    let text = format!("{header}{more}{end}{last}\n{rows}");
    LinkModel::from(Trace::parse(&text).unwrap())
}

pub fn run(model: LinkModel, seed: u64, seconds: u64, clock: RobotClock, holes: &[Hole]) -> Run {
    let period = 1_000;
    let (begin, slots) = (5_000_000, seconds * 1_000);
    let mut link = Emulator::new(model, seed);
    for (directions, from, lasts) in holes {
        let from = Instant::<Link>::from_micros(begin + from);
        link.black_hole(*directions, from, Micros::from_micros(*lasts)).unwrap();
    }
    let count = usize::try_from(slots).unwrap();
    let mut world = World {
        pipe: Pipe::new(link),
        receipts: Receipts::new(),
        ledger: Ledger::new(begin, period, slots),
        clock,
        begin,
        truth: vec![(None, None); count],
        slots: Vec::with_capacity(count),
    };
    // Behind the run it goes on for three seconds, so that the last ones are told of, too.
    for number in 1..=slots + 3_000 {
        let now = begin + (number - 1) * period;
        world.until(now);
        let at = Instant::from_micros(now);
        world.ledger.sent(number, now);
        world.pipe.offer(at, Direction::Up, 250, Packet::Up(number));
    }
    world.until(begin + (slots + 3_000) * period + 60_000_000);
    let World { mut ledger, mut slots, truth, .. } = world;
    ledger.finish(|slot| slots.push(slot));
    let given = Given {
        period_us: period,
        slots: u64::try_from(slots.len()).unwrap(),
        offset_us: ledger.offset_us(),
        ..Given::default()
    };
    let came = truth.iter().map(|(up, down)| (up.is_some(), down.is_some())).collect();
    let truth = truth.into_iter().map(|(up, down)| up.zip(down)).collect();
    Run { slots, given, truth, came }
}

struct World {
    pipe: Pipe<Packet>,
    receipts: Receipts,
    ledger: Ledger,
    clock: RobotClock,
    begin: u64,
    truth: Vec<(Option<u64>, Option<u64>)>,
    slots: Vec<Slot>,
}

impl World {
    fn until(&mut self, end: u64) {
        while let Some(due) = self.pipe.next_due().filter(|due| due.as_micros() <= end) {
            let Some(delivery) = self.pipe.poll(due) else { break };
            let (now, robot) = (due.as_micros(), self.clock.at(due.as_micros()));
            match delivery.payload {
                Packet::Up(number) => {
                    let probe = Probe { run: 1, number, ..Probe::default() };
                    let came = self.receipts.take(&probe, Instant::from_micros(robot));
                    let Some(answer) = came else { continue };
                    let sent = self.begin + (number - 1) * 1_000;
                    if let Some(truth) = self.truth.get_mut(place(number)) {
                        truth.0 = Some(now - sent);
                    }
                    self.pipe.offer(due, Direction::Down, 370, Packet::Down(answer));
                }
                Packet::Down(answer) => {
                    let number = answer.probe.number;
                    self.ledger.answer(&answer, now);
                    let sent = self.begin + (number - 1) * 1_000;
                    if let Some((Some(up), down)) = self.truth.get_mut(place(number)) {
                        *down = Some(now - sent - *up);
                    }
                }
            }
        }
        self.ledger.close(end, |slot| self.slots.push(slot));
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number - 1).unwrap()
}

/// The exact quantile of a list, ms.
pub fn exact(values: &mut [u64], above: f64) -> f64 {
    values.sort_unstable();
    let n = longhand_qualify::number::real(u64::try_from(values.len()).unwrap());
    let rank = usize::try_from(longhand_qualify::number::count(n * (1.0 - above))).unwrap();
    let us = values[rank.clamp(1, values.len()) - 1];
    longhand_qualify::number::real(us) / 1_000.0
}

impl Run {
    pub fn count(&self, fate: Fate) -> usize {
        self.slots.iter().filter(|slot| slot.fate == fate).count()
    }
}
