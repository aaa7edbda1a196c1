//! The link emulator's speed in virtual time: goal P10, one hour of 1 kHz both ways.
//!
//! Knows: how to sample a profile, and how to send through a pipe. Does not know: what a link does.

use longhand_link::emulator::sample;
use longhand_link::{Direction, Emulator, LinkModel, Pipe, Profile};
use longhand_protocol::units::{Instant, Micros, TICK};

use crate::harness::{Bound, Goal, Quantile, Recorder, Subject, Unit, compare};
use crate::report::Table;

/// What is sampled.
const HOUR: Micros = Micros::from_secs(3_600);
/// A command with what QUIC, UDP and IP put round it, bytes.
const PACKET: usize = 204 + 59;
/// Every round draws the same link. Chosen: any number would do.
const SEED: u64 = 1;

/// The table of this module.
///
/// Errors: a sentence, where a profile is gone or the histogram could not be made.
pub fn measure(rounds: u32) -> Result<Table, String> {
    let sampled = [
        ("ideal, sampled", "ideal"),
        ("city-5g-sa, sampled", "city-5g-sa"),
        ("national-dedicated, sampled", "national-dedicated"),
        ("beijing-sanya-5g-public, sampled", "beijing-sanya-5g-public"),
    ];
    let mut subjects = Vec::new();
    for (name, profile) in sampled {
        let model = LinkModel::from(Profile::by_name(profile).map_err(|e| e.to_string())?);
        let round = move |recorder: &mut Recorder| recorder.time(|| sum_of_delays(model.clone()));
        subjects.push(subject(name, round));
    }
    let model = LinkModel::from(Profile::by_name("city-5g-sa").map_err(|e| e.to_string())?);
    let round = move |recorder: &mut Recorder| recorder.time(|| through_a_pipe(model.clone()));
    subjects.push(subject("city-5g-sa, through a pipe", round));
    compare("one hour of 1 kHz both ways, in virtual time", Unit::Millis, rounds, subjects)
        .map_err(|e| e.to_string())
}

fn subject<'a, T>(
    name: &'static str,
    mut round: impl FnMut(&mut Recorder) -> T + 'a,
) -> Subject<'a> {
    const GOALS: &[Goal] =
        &[Goal { of: Quantile::P50, at_most: Bound::Of(2_000.0), source: "P10" }];
    let round = move |recorder: &mut Recorder| {
        round(recorder);
    };
    Subject { name, batch: 1, goals: GOALS, round: Box::new(round) }
}

/// Uses every fate, so that none is left out of the work.
fn sum_of_delays(model: LinkModel) -> u64 {
    let mut sum = 0_u64;
    let stats = sample(model, SEED, HOUR, TICK, PACKET, |packet| {
        sum = sum.saturating_add(packet.delay().map_or(0, Micros::as_micros));
    });
    std::hint::black_box(stats);
    sum
}

/// The same packets as the virtual world and the relay send them: kept until they are due.
fn through_a_pipe(model: LinkModel) -> u64 {
    let mut pipe = Pipe::new(Emulator::new(model, SEED));
    let mut arrived = 0_u64;
    for n in 0..HOUR.as_micros() / TICK.as_micros() {
        let now = Instant::ORIGIN.after(TICK.saturating_mul(n));
        while let Some(packet) = pipe.poll(now) {
            arrived = arrived.saturating_add(std::hint::black_box(packet.payload));
        }
        for direction in Direction::BOTH {
            // What the link does to it is the link's to count.
            let _fate = pipe.offer(now, direction, PACKET, 1_u64);
        }
    }
    arrived
}
