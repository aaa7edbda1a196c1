//! A program that only links where the shipped step cannot panic. Built by `no_panic.rs`.
//!
//! Knows: the calls under guard, one per feature. Does not know: how it is built or judged.
//!
//! How: a guard whose destructor calls a function that nobody defines lives across the call. The
//! destructor runs only where the call unwinds. Where the optimiser proves that it cannot, it
//! throws the destructor away, and with it the missing function; where it cannot, linking fails.
//! Source: the idea is that of the crate `no-panic` (D. Tolnay).

use std::hint::black_box;

use longhand_bus::receive::Receiver;
use longhand_bus::request::Request;
use longhand_bus::{Id, Protocol, Span};
use longhand_follower::profile::Profile;
use longhand_follower::{Follower, TickInput};
use longhand_leader::hand::HandSample;
use longhand_leader::{DEFAULT_SCALE, Leader};
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{Command, FollowerState, Intent, SessionKey, StateReport, Terms};
use longhand_protocol::session::{ConsoleSession, RobotSession};
use longhand_protocol::units::Instant;
use longhand_protocol::wire::{decode_command, encode_command};

unsafe extern "C" {
    /// Nobody defines it.
    fn longhand_may_panic_here() -> !;
}

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: never runs: a program that holds this call does not link.
        unsafe { longhand_may_panic_here() }
    }
}

#[inline(never)]
fn guarded<T>(work: impl FnOnce() -> T) -> T {
    let guard = Guard;
    let made = work();
    std::mem::forget(guard);
    made
}

fn main() {
    let now = Instant::from_micros(black_box(1_000));
    if cfg!(feature = "step") {
        let mut follower = black_box(Box::new(Follower::new(Profile::DEFAULT)));
        let input = black_box(TickInput {
            now,
            scheduled_at: now,
            inbox: &[],
            measured: PerArm::default(),
            emergency_stop: false,
            peer_faults: Default::default(),
            request: None,
        });
        black_box(guarded(|| follower.step(&input)));
    }
    if cfg!(feature = "session") {
        let mut session = black_box(RobotSession::new(SessionKey::default()));
        let bytes = black_box([0_u8; 300]);
        let len = black_box(204);
        let datagram = bytes.get(..len).unwrap_or_default();
        black_box(guarded(|| session.handle_datagram(now, datagram).is_ok()));
        let state = black_box(FollowerState::default());
        black_box(guarded(|| session.report(state)));
    }
    if cfg!(feature = "wire") {
        let command = black_box(Command::default());
        let bytes = guarded(|| encode_command(&command));
        black_box(guarded(|| decode_command(black_box(&bytes)).is_ok()));
    }
    if cfg!(feature = "leader") {
        let mut leader = black_box(Leader::new(black_box(Terms::default()), DEFAULT_SCALE));
        let (hand, report) = (black_box(HandSample::default()), black_box(StateReport::default()));
        let at = Instant::from_micros(black_box(1_000));
        black_box(guarded(|| leader.step(at, &hand, black_box(Some(&report)))));
        guarded(|| leader.begin_session(black_box(Terms::default())));
    }
    if cfg!(feature = "bus") {
        let protocol = if black_box(true) { Protocol::Dynamixel } else { Protocol::Feetech };
        let bytes = black_box([0_u8; 64]);
        let mut receiver = black_box(Receiver::new(protocol));
        guarded(|| receiver.push(&bytes));
        black_box(guarded(|| receiver.next_frame().is_some() || receiver.give_up().is_some()));
        let ids = bytes.get(..black_box(6)).unwrap_or_default();
        let span = black_box(Span { address: 132, bytes: 4 });
        black_box(guarded(|| Request::FastSyncRead(span, ids).encode(protocol).is_ok()));
        let id = black_box(Id::MAX);
        black_box(guarded(|| Request::Read(id, span).encode(protocol).is_ok()));
    }
    if cfg!(feature = "console") {
        let mut session = black_box(ConsoleSession::new(SessionKey::default()));
        let bytes = black_box([0_u8; 1_000]);
        let len = black_box(804);
        let datagram = bytes.get(..len).unwrap_or_default();
        let at = Instant::from_micros(black_box(1_000));
        black_box(guarded(|| session.handle_datagram(at, datagram).is_ok()));
        let intent = black_box(Intent::default());
        black_box(guarded(|| session.send(&intent)));
    }
    if cfg!(feature = "control") {
        let (bytes, at) = (black_box([0_u8; 4]), black_box(9));
        black_box(guarded(|| bytes[at]));
    }
}
