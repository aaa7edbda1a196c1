//! The bytes: writing and reading a command and a state, beside a copy of as many bytes.
//!
//! Knows: the wire's functions. Does not know: sessions, sockets.

use longhand_protocol::message::{Command, FollowerState, StateReport};
use longhand_protocol::units::Seq;
use longhand_protocol::wire::{decode_command, decode_state, encode_command, encode_state};

use crate::hand::{SteadyHand, robot_time, session_key};
use crate::harness::{Recorder, Subject, Unit, compare};
use crate::report::Table;

/// Times the work is done in one sample: one alone is near the cost of reading the clock.
const BATCH: u64 = 100;
/// Samples in one round.
const SAMPLES: u64 = 2_000;

/// The tables of this module: command and state.
///
/// Errors: a sentence, where a message cannot be read back or the histogram could not be made.
pub fn measure(rounds: u32) -> Result<Vec<Table>, String> {
    let state = FollowerState { robot_time: robot_time(1), ..FollowerState::default() };
    let intent = SteadyHand::default().intent(1, &state);
    let command = Command { key: session_key(1), number: Seq::new(1), intent };
    let report = StateReport { key: session_key(1), number: Seq::new(1), state };
    let (up, down) = (encode_command(&command), encode_state(&report));
    decode_command(&up).map_err(|e| e.to_string())?;
    decode_state(&down).map_err(|e| e.to_string())?;
    let made = [
        compare(
            "a command on the wire, 204 bytes",
            Unit::Nanos,
            rounds,
            vec![
                subject("copy of as many bytes", move || *hidden(&up)),
                subject("encode", move || encode_command(hidden(&command))),
                subject("decode, checksum and checks", move || decode_command(hidden(&up))),
                subject("encode + decode", move || {
                    decode_command(hidden(&encode_command(hidden(&command))))
                }),
            ],
        ),
        compare(
            "a state on the wire, 336 bytes",
            Unit::Nanos,
            rounds,
            vec![
                subject("copy of as many bytes", move || *hidden(&down)),
                subject("encode", move || encode_state(hidden(&report))),
                subject("decode, checksum and checks", move || decode_state(hidden(&down))),
                subject("encode + decode", move || {
                    decode_state(hidden(&encode_state(hidden(&report))))
                }),
            ],
        ),
    ];
    made.into_iter().map(|table| table.map_err(|e| e.to_string())).collect()
}

/// The value, so that the compiler cannot know it.
fn hidden<T: ?Sized>(value: &T) -> &T {
    std::hint::black_box(value)
}

fn subject<'a, T>(name: &'static str, work: impl Fn() -> T + 'a) -> Subject<'a> {
    let round = move |recorder: &mut Recorder| {
        for _ in 0..SAMPLES {
            recorder.time(|| {
                for _ in 0..BATCH {
                    std::hint::black_box(work());
                }
            });
        }
    };
    Subject { name, batch: BATCH, goals: &[], round: Box::new(round) }
}
