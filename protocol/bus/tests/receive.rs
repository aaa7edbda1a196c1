//! The receiver survives any bytes and finds every answer among them; what is written is read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test: a panic is how it fails"
)]

use longhand_bus::answer::{Complaint, FastAnswer, Status, Trouble};
use longhand_bus::budget::Load;
use longhand_bus::packet::Packet;
use longhand_bus::receive::{Frame, Receiver};
use longhand_bus::request::Request;
use longhand_bus::{Id, Protocol, Span, Target};
use proptest::prelude::*;

const BOTH: [Protocol; 2] = [Protocol::Dynamixel, Protocol::Feetech];

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Dynamixel), Just(Protocol::Feetech)]
}

/// Bytes with many headers and stuffing in them.
fn nasty(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0xff), 2 => Just(0xfd), 1 => Just(0x00), 2 => any::<u8>()];
    prop::collection::vec(byte, 0..most)
}

fn answer(protocol: Protocol, id: u8, error: u8, data: &[u8]) -> Packet {
    let complaint = Complaint::of(protocol, error);
    Status { id: Id::new(id).unwrap(), complaint, data }.encode().unwrap()
}

fn all(receiver: &mut Receiver) -> Vec<Frame> {
    std::iter::from_fn(|| receiver.next_frame()).collect()
}

fn all_to_the_end(receiver: &mut Receiver) -> Vec<Frame> {
    let mut frames = all(receiver);
    frames.extend(std::iter::from_fn(|| receiver.give_up()));
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Any bytes, in any pieces: no panic, an end, and nothing waits once given up.
    #[test]
    fn any_bytes_come_to_an_end(
        protocol in protocols(), pieces in prop::collection::vec(nasty(300), 0..12),
    ) {
        let mut receiver = Receiver::new(protocol);
        let mut bytes = 0_usize;
        for piece in &pieces {
            receiver.push(piece);
            bytes += piece.len();
            prop_assert!(all(&mut receiver).len() <= bytes);
        }
        all_to_the_end(&mut receiver);
        prop_assert_eq!(receiver.pending(), 0);
        let noise = receiver.noise();
        prop_assert!(noise.stray_bytes + noise.overflowed <= u64::try_from(bytes).unwrap());
    }

    /// What is written is read, whatever the data and however it is cut into pieces.
    #[test]
    fn an_answer_comes_back_as_it_was(
        protocol in protocols(), id in 0_u8..=252, error in any::<u8>(), data in nasty(120),
        cut in 1_usize..40,
    ) {
        let packet = answer(protocol, id, error, &data);
        let mut receiver = Receiver::new(protocol);
        let mut frames = Vec::new();
        for piece in packet.as_slice().chunks(cut) {
            receiver.push(piece);
            frames.extend(all(&mut receiver));
        }
        prop_assert_eq!(frames.len(), 1);
        let status = Status::of(&frames[0], protocol).unwrap();
        prop_assert_eq!(status.data, &data[..]);
        prop_assert_eq!((status.id.get(), status.complaint.byte()), (id, error));
        prop_assert_eq!(receiver.noise(), Default::default());
    }

    /// Noise before an answer, half an answer before it, the request come back before it: the
    /// answer is found, at the latest when whoever waits gives up.
    #[test]
    fn the_answer_is_found_behind_anything(
        protocol in protocols(), noise in prop::collection::vec(0_u8..=0xfc, 0..60),
        half in 1_usize..15, echo in any::<bool>(), data in nasty(8),
    ) {
        let id = Id::new(3).unwrap();
        let whole = answer(protocol, 3, 0, &data);
        let request = Request::Read(id, Span { address: 56, bytes: 9 }).encode(protocol).unwrap();
        let mut receiver = Receiver::new(protocol);
        receiver.push(&noise);
        if echo {
            receiver.push(request.as_slice());
        }
        let other = answer(protocol, 9, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        receiver.push(&other.as_slice()[..half.min(other.len() - 1)]);
        receiver.push(whole.as_slice());
        let found = all_to_the_end(&mut receiver).into_iter().any(|frame| {
            Status::of(&frame, protocol).is_some_and(|status| {
                status.answers(id, data.len()) && status.data == data
            })
        });
        prop_assert!(found, "{:?}", receiver);
    }

    /// One bit turned over is never taken for an answer: not as it was, and not as another.
    #[test]
    fn one_bit_turned_over_is_noticed(
        protocol in protocols(), data in nasty(20), bit in any::<prop::sample::Index>(),
    ) {
        let whole = answer(protocol, 3, 0, &data);
        let mut bytes = whole.as_slice().to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut receiver = Receiver::new(protocol);
        receiver.push(&bytes);
        for frame in all_to_the_end(&mut receiver) {
            let status = Status::of(&frame, protocol);
            prop_assert!(!status.is_some_and(|s| s.answers(Id::new(3).unwrap(), data.len())));
        }
    }

    /// Several in one frame: each part as it was.
    #[test]
    fn an_answer_of_several_comes_back_as_it_was(
        parts in prop::collection::vec((0_u8..=252, any::<u8>(), any::<u32>()), 1..24),
    ) {
        let mut fast = FastAnswer::begin(parts.len(), 4).unwrap();
        for (id, error, value) in &parts {
            fast.add(*error, Id::new(*id).unwrap(), &value.to_le_bytes()).unwrap();
        }
        let mut receiver = Receiver::new(Protocol::Dynamixel);
        receiver.push(fast.packet().as_slice());
        let frame = receiver.next_frame().unwrap();
        let heard: Vec<_> = FastAnswer::parts(&frame, 4)
            .map(|s| (s.id.get(), s.complaint.byte(), s.data.try_into().map(u32::from_le_bytes)))
            .map(|(id, error, value)| (id, error, value.unwrap()))
            .collect();
        prop_assert_eq!(heard, parts);
        prop_assert_eq!(Status::of(&frame, Protocol::Dynamixel), None);
    }
}

#[test]
fn the_second_half_of_a_packet_is_waited_for() {
    for protocol in BOTH {
        let whole = answer(protocol, 1, 0, &[1, 2]);
        for cut in 1..whole.len() {
            let mut receiver = Receiver::new(protocol);
            receiver.push(&whole.as_slice()[..cut]);
            assert_eq!(receiver.next_frame(), None, "{protocol:?} {cut}");
            receiver.push(&whole.as_slice()[cut..]);
            assert!(receiver.next_frame().is_some(), "{protocol:?} {cut}");
            assert_eq!(receiver.noise(), Default::default());
        }
    }
}

/// A header inside a packet says that the packet was cut: nobody need give up first.
#[test]
fn a_dynamixel_packet_that_is_cut_does_not_hide_the_next() {
    let long = answer(Protocol::Dynamixel, 1, 0, &[7; 100]);
    let next = answer(Protocol::Dynamixel, 2, 0, &[1, 2, 3, 4]);
    let mut receiver = Receiver::new(Protocol::Dynamixel);
    receiver.push(&long.as_slice()[..60]);
    receiver.push(next.as_slice());
    assert_eq!(receiver.next_frame().map(|frame| frame.id()), Some(2));
    assert_eq!(receiver.noise().cut_short, 1);
}

#[test]
fn a_receiver_that_nobody_empties_keeps_the_newest() {
    for protocol in BOTH {
        let mut receiver = Receiver::new(protocol);
        receiver.push(&[0xff; 3_000]);
        receiver.push(answer(protocol, 5, 0, &[1]).as_slice());
        assert!(receiver.noise().overflowed > 0);
        assert_eq!(all_to_the_end(&mut receiver).last().map(Frame::id), Some(5), "{protocol:?}");
    }
}

/// The answer to Feetech's ping may be the ping: that is why no driver of ours sends one.
#[test]
fn a_ping_of_feetechs_cannot_be_told_from_its_answer() {
    let one = Id::new(1).unwrap();
    let ping = Request::Ping(Target::One(one));
    let sick = answer(Protocol::Feetech, 1, 0x01, &[]);
    assert_eq!(ping.encode(Protocol::Feetech).unwrap(), sick);
    assert!(!ping.tells_itself_from_its_answer(Protocol::Feetech));
    let read = |bytes| Request::Read(one, Span { address: 0, bytes });
    assert!(read(5).tells_itself_from_its_answer(Protocol::Feetech));
    assert!(!read(2).tells_itself_from_its_answer(Protocol::Feetech));
    // A read's own echo is never taken for its answer, unless two bytes are asked for.
    for bytes in (1..=200).filter(|bytes| *bytes != 2) {
        let mut receiver = Receiver::new(Protocol::Feetech);
        receiver.push(read(bytes).encode(Protocol::Feetech).unwrap().as_slice());
        let frame = receiver.next_frame().unwrap();
        let echo = Status::of(&frame, Protocol::Feetech).unwrap();
        assert!(!echo.answers(one, usize::from(bytes)), "{bytes}");
    }
}

#[test]
fn complaints_are_told_in_words() {
    let said = |protocol, byte| Complaint::of(protocol, byte).troubles().collect::<Vec<_>>();
    use Protocol::{Dynamixel, Feetech};
    assert_eq!(said(Feetech, 0x25), [Trouble::Voltage, Trouble::Overheated, Trouble::Overloaded]);
    assert_eq!(said(Feetech, 0x40), [Trouble::Unknown]);
    assert_eq!(said(Dynamixel, 0x87), [Trouble::Hardware, Trouble::Access]);
    assert_eq!(said(Dynamixel, 0x7f), [Trouble::Unknown]);
    assert_eq!((said(Feetech, 0), said(Dynamixel, 0)), (vec![], vec![]));
    assert!(Complaint::of(Dynamixel, 0x04).refused() && !Complaint::of(Dynamixel, 0x80).refused());
    assert!(!Complaint::of(Feetech, 0x21).refused());
}

/// Six STS3215 at 1 Mbaud, by hand: a sync read asks 14 bytes and each answers 8; a sync write
/// says 26. Together 88 bytes, 880 us: no bus of this speed closes a loop of 1 kHz with the delays
/// of any adapter on top.
#[test]
fn the_budget_of_six_servos_is_what_a_pencil_says() {
    let ids = [1, 2, 3, 4, 5, 6];
    let read = Request::SyncRead(Span { address: 56, bytes: 2 }, &ids);
    let rows = [[1, 0, 8], [2, 0, 8], [3, 0, 8], [4, 0, 8], [5, 0, 8], [6, 0, 8]].concat();
    let write = Request::SyncWrite(Span { address: 42, bytes: 2 }, &rows);
    let load = |request: &Request<'_>| Load::of(request, Protocol::Feetech).unwrap();
    assert_eq!(load(&read), Load { asked: 14, answered: 48, answers: 6 });
    assert_eq!(load(&write), Load { asked: 26, answered: 0, answers: 0 });
    assert_eq!(load(&read).and(load(&write)).wire_us(1_000_000, 0), 880);
    assert_eq!(load(&read).and(load(&write)).wire_us(1_000_000, 500), 3_880);
    // Each figure is what the bytes themselves say.
    let fast = Request::FastSyncRead(Span { address: 132, bytes: 4 }, &ids);
    let mut whole = FastAnswer::begin(6, 4).unwrap();
    ids.iter().for_each(|id| whole.add(0, Id::new(*id).unwrap(), &[0; 4]).unwrap());
    let fast = Load::of(&fast, Protocol::Dynamixel).unwrap();
    assert_eq!((fast.answered, fast.answers), (whole.packet().len(), 1));
    for protocol in BOTH {
        let read = Request::Read(Id::new(1).unwrap(), Span { address: 7, bytes: 9 });
        let answered = Load::of(&read, protocol).unwrap().answered;
        assert_eq!(answered, answer(protocol, 1, 0, &[0; 9]).len());
    }
}
