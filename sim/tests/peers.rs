//! Other people's tools: what is answered and what is not, what is made of a server's word, and
//! Debian's irtt and PyPI's scapy against ours, over loopback and through the relay.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use irtt_proto::{
    Clock, FLAG_CLOSE, FLAG_OPEN, OpenReply, Params, ReceivedStats, RequestToEncode, ServerFill,
    StampAt, decode_echo_reply, decode_open_reply, encode_request,
};
use longhand_link::{Disturb, Emulator, LinkModel, Profile, Trace};
use longhand_qualify::slot::Fate;
use longhand_sim::peers::client::{Answer, Book};
use longhand_sim::peers::guests::{BURST, FIRST, GUESTS_MAX, Guests, RATE, TOTAL};
use longhand_sim::peers::irtt::Irtt;
use longhand_sim::peers::stamp::{BASE, SESSIONS_MAX, Stamp, ntp};
use longhand_sim::peers::{Answers, Ignored, Now, serve};
use longhand_sim::relay::{Relay, RelayOptions};
use proptest::prelude::*;
use serde_json::Value;

/// What irtt's answer to an open has more than the question: the token.
const TOKEN: usize = 8;

fn from(port: u16) -> SocketAddr {
    ([192, 0, 2, 7], port).into()
}

fn at(ms: u64) -> Now {
    Now { monotonic: ms * 1_000_000, wall: 1_700_000_000_000_000_000 + ms * 1_000_000 }
}

fn asked() -> Params {
    Params {
        duration_ns: 60_000_000_000,
        interval_ns: 10_000_000,
        length: 200,
        received_stats: ReceivedStats::Both,
        stamp_at: StampAt::Both,
        clock: Clock::Both,
        ..Params::with_protocol_defaults()
    }
}

fn reflector(key: Option<&[u8]>) -> Irtt {
    let mut next = 0x1234_5678_9abc_def0;
    Irtt::new(key.map(<[u8]>::to_vec), move || {
        next += 1;
        NonZeroU64::new(next)
    })
}

/// One packet at a time; the answer goes out a millisecond later.
fn ask(
    peer: &mut dyn Answers,
    ms: u64,
    port: u16,
    packet: &[u8],
) -> Result<Option<Vec<u8>>, Ignored> {
    peer.answer(at(ms), from(port), packet, &mut || at(ms + 1))
}

fn open(peer: &mut Irtt, ms: u64, port: u16, params: &Params, key: Option<&[u8]>) -> OpenReply {
    let request = RequestToEncode::Open { params, no_test: false };
    let request = encode_request(request, key).unwrap();
    let reply = ask(peer, ms, port, &request).unwrap().unwrap();
    assert!(reply.len() <= request.len() + TOKEN);
    decode_open_reply(&reply, key).unwrap()
}

fn echo(reply: &OpenReply, sequence: u32, key: Option<&[u8]>) -> Vec<u8> {
    let (token, params) = (reply.token, &reply.params);
    encode_request(RequestToEncode::Echo { token, sequence, params, payload: &[7; 9] }, key)
        .unwrap()
}

#[test]
fn an_irtt_session_answers_its_probes_with_their_times_and_what_came() {
    for key in [None, Some(&b"secret"[..])] {
        let mut peer = reflector(key);
        let session = open(&mut peer, 0, 1, &asked(), key);
        assert_eq!(session.params, asked());
        let mut answered = |ms: u64, sequence: u32| {
            let probe = echo(&session, sequence, key);
            let reply = ask(&mut peer, ms, 1, &probe).unwrap().unwrap();
            assert_eq!(reply.len(), probe.len());
            decode_echo_reply(&reply, &session.params, key).unwrap()
        };
        let first = answered(10, 0);
        assert_eq!((first.recv_count, first.recv_window), (Some(1), Some(1)));
        let stamps = &first.timestamps;
        assert_eq!((stamps.recv_mono, stamps.send_mono), (Some(10_000_000), Some(11_000_000)));
        assert_eq!(stamps.recv_wall, Some(1_700_000_000_010_000_000));
        assert_eq!(first.payload[..9], [7; 9]);
        // 1 and 3 are lost on the way; 2 comes behind 4.
        assert_eq!(answered(40, 4).recv_window, Some(0b1_0001));
        let behind = answered(41, 2);
        assert_eq!((behind.recv_count, behind.recv_window), (Some(3), Some(0b101)));
        assert_eq!(answered(50, 5).recv_window, Some(0b10_1011));
        assert_eq!(answered(990, 80).recv_window, Some(1));
    }
}

#[test]
fn irtt_grants_what_it_can_and_answers_only_whom_it_should() {
    let mut peer = reflector(None);
    // Less is granted than is asked: the client decides.
    let fill = Some(ServerFill { value: "rand".to_owned() });
    let much =
        Params { interval_ns: 1_000, length: 65_000, dscp: 184, server_fill: fill, ..asked() };
    let granted = open(&mut peer, 0, 1, &much, None).params;
    assert_eq!((granted.interval_ns, granted.length, granted.dscp), (250_000, 1_472, 0));
    assert_eq!(granted.server_fill, None);
    let session = open(&mut peer, 1, 1, &asked(), None);
    let probe = echo(&session, 0, None);
    // From elsewhere, to a session that there is not, cut short, without its key.
    assert_eq!(ask(&mut peer, 2, 2, &probe), Err(Ignored::NoSession));
    let stranger = OpenReply { token: session.token + 1, ..session.clone() };
    assert_eq!(ask(&mut peer, 2, 1, &echo(&stranger, 0, None)), Err(Ignored::NoSession));
    assert_eq!(ask(&mut peer, 2, 1, &probe[..199]), Err(Ignored::Short));
    assert_eq!(ask(&mut peer, 2, 1, &echo(&session, 0, Some(b"k"))), Err(Ignored::Key));
    assert!(ask(&mut peer, 2, 1, &probe).unwrap().is_some());
    let close = encode_request(RequestToEncode::Close { token: session.token }, None).unwrap();
    assert_eq!(ask(&mut peer, 3, 2, &close), Err(Ignored::NoSession));
    assert_eq!(ask(&mut peer, 3, 1, &close), Ok(None));
    assert_eq!(ask(&mut peer, 4, 1, &probe), Err(Ignored::NoSession));
    // A key is asked of everything.
    let mut keyed = reflector(Some(b"right"));
    let request =
        |key| encode_request(RequestToEncode::Open { params: &asked(), no_test: true }, key);
    assert_eq!(ask(&mut keyed, 0, 1, &request(None).unwrap()), Err(Ignored::Key));
    assert_eq!(ask(&mut keyed, 0, 1, &request(Some(b"wrong")).unwrap()), Err(Ignored::Key));
    let none = ask(&mut keyed, 0, 1, &request(Some(b"right")).unwrap()).unwrap().unwrap();
    let none = decode_open_reply(&none, Some(b"right")).unwrap();
    assert_eq!((none.token, none.flags & (FLAG_OPEN | FLAG_CLOSE)), (0, FLAG_OPEN | FLAG_CLOSE));
    let other = Params { protocol_version: 2, ..asked() };
    let other =
        encode_request(RequestToEncode::Open { params: &other, no_test: false }, None).unwrap();
    assert_eq!(ask(&mut peer, 5, 1, &other), Err(Ignored::NotOurs));
    // Opens are the only answers that are longer than what asked for them: few are given.
    let mut peer = reflector(None);
    let request = request(None).unwrap();
    let asks = |n: &u16| peer.answer(at(0), (host(*n), 9).into(), &request, &mut || at(0)).is_ok();
    let given = (0..1_000).filter(asks).count();
    assert_eq!(given, 20);
    assert!(ask(&mut peer, 100, 1, &request).is_ok());
    assert_eq!(ask(&mut peer, 100, 1, &request), Err(Ignored::TooOften));
}

#[test]
fn without_randomness_nobody_opens_a_session() {
    let mut peer = Irtt::new(None, || None);
    let request = |no_test| {
        encode_request(RequestToEncode::Open { params: &asked(), no_test }, None).unwrap()
    };
    assert_eq!(ask(&mut peer, 0, 1, &request(false)), Err(Ignored::NoToken));
    // Which needs no token.
    assert!(ask(&mut peer, 0, 1, &request(true)).is_ok());
}

/// An open that came twice, or that somebody else sent in the client's name, ends no measurement.
#[test]
fn an_open_ends_no_session_that_is_measured_in() {
    let mut peer = reflector(None);
    let first = open(&mut peer, 0, 1, &asked(), None);
    // Asked again as long as a client waits, before a probe and behind one: the same session.
    assert_eq!(open(&mut peer, 1_000, 1, &asked(), None), first);
    assert!(ask(&mut peer, 2_000, 1, &echo(&first, 0, None)).unwrap().is_some());
    assert_eq!(open(&mut peer, 15_000, 1, &asked(), None), first);
    // Later, for other things, or of another address it is another one; the first goes on.
    let other = Params { length: 300, ..asked() };
    let others = [
        open(&mut peer, 15_001, 1, &asked(), None),
        open(&mut peer, 15_001, 1, &other, None),
        open(&mut peer, 15_001, 2, &asked(), None),
    ];
    assert!(others.iter().all(|session| session.token != first.token));
    assert!(ask(&mut peer, 15_002, 1, &echo(&first, 1, None)).unwrap().is_some());
    assert!(ask(&mut peer, 15_002, 1, &echo(&others[1], 0, None)).unwrap().is_some());
    // Where there is no place, those in which nobody measures give way, the oldest first.
    let count = u16::try_from(GUESTS_MAX).unwrap();
    let more: Vec<OpenReply> = (0..count)
        .map(|n| open(&mut peer, 15_100 + u64::from(n) * 200, 100 + n, &asked(), None))
        .collect();
    assert!(ask(&mut peer, 28_000, 1, &echo(&first, 2, None)).unwrap().is_some());
    assert!(ask(&mut peer, 28_000, 1, &echo(&others[1], 1, None)).unwrap().is_some());
    let gone = [(&others[0], 1), (&others[2], 2), (&more[0], 100), (&more[1], 101)];
    for (session, port) in gone {
        let answer = ask(&mut peer, 28_000, port, &echo(session, 0, None));
        assert_eq!(answer, Err(Ignored::NoSession));
    }
    for (n, session) in (0..count).zip(&more).skip(2) {
        assert!(ask(&mut peer, 28_000, 100 + n, &echo(session, 0, None)).is_ok());
    }
    let request = RequestToEncode::Open { params: &asked(), no_test: false };
    let request = encode_request(request, None).unwrap();
    assert_eq!(ask(&mut peer, 28_001, 999, &request), Err(Ignored::Full));
}

/// The address 10.0.x.y of this number.
fn host(n: u16) -> IpAddr {
    let [x, y] = n.to_be_bytes();
    [10, 0, x, y].into()
}

/// How many of 10,000 questions of this address are answered at this moment.
fn given(guests: &mut Guests, from: IpAddr, ms: u64, shows: bool) -> u64 {
    let admits = |_: &u64| guests.admit(from, ms * 1_000_000, shows).is_ok();
    u64::try_from((0..10_000).filter(admits).count()).unwrap()
}

#[test]
fn an_address_is_answered_so_often_whatever_its_port() {
    let mut guests = Guests::default();
    // Few until it has shown that its address is its own, then as many as are saved up.
    assert_eq!(given(&mut guests, host(1), 0, false), FIRST);
    assert_eq!(given(&mut guests, host(1), 1_000, false), FIRST);
    assert_eq!(given(&mut guests, host(1), 1_000, true), BURST);
    assert_eq!(given(&mut guests, host(1), 2_000, true), BURST);
    assert_eq!(given(&mut guests, host(1), 2_001, true), RATE / 1_000);
    // A house of IPv6 is one guest, however it writes its addresses; so is IPv4 within IPv6.
    let house = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(given(&mut guests, house("2001:db8:1:2::1"), 3_000, false), FIRST);
    assert_eq!(given(&mut guests, house("2001:db8:1:2:ffff::9"), 3_000, false), 0);
    assert_eq!(given(&mut guests, house("2001:db8:1:3::1"), 3_000, false), FIRST);
    assert_eq!(given(&mut guests, house("::ffff:10.0.0.1"), 3_000, true), BURST);
    assert_eq!(given(&mut guests, host(1), 3_000, true), 0);
    // Ports of one address, as whoever writes another's address into packets invents them.
    let mut peer = Stamp::new(false);
    let ports = 1_000..11_000_u16;
    let answered = ports.filter(|port| ask(&mut peer, 0, *port, &stamp_probe(&[])).is_ok()).count();
    assert_eq!(u64::try_from(answered).unwrap(), FIRST);
}

#[test]
fn all_addresses_together_are_answered_so_often() {
    let mut guests = Guests::default();
    let mut all = |ms: u64, shows: bool| -> u64 {
        (0..5_000).map(|n| u64::from(guests.admit(host(n), ms * 1_000_000, shows).is_ok())).sum()
    };
    let (rate, burst) = TOTAL;
    assert_eq!(all(0, false), burst);
    assert_eq!(all(10, false), rate / 100);
    // One that asks too often takes nothing from the others.
    assert_eq!(given(&mut guests, host(1), 1_000, false), FIRST);
    assert_eq!(given(&mut guests, host(2), 1_000, true), BURST);
    assert_eq!(given(&mut guests, host(3), 1_000, true), burst - BURST - FIRST);
}

#[test]
fn a_newcomer_takes_the_place_of_one_that_has_shown_nothing() {
    let mut guests = Guests::default();
    let mut admit = |n: u16, ms: u64, shows| guests.admit(host(n), ms * 1_000_000, shows);
    assert_eq!(admit(0, 0, true), Ok(()));
    // However many come: the first goes on, and has what it saved up; nobody is refused.
    for n in 1..1_000 {
        assert_eq!(admit(n, u64::from(n), false), Ok(()));
    }
    assert_eq!(given(&mut guests, host(0), 1_000, true), BURST);
    // Whoever was forgotten and comes back begins with few.
    assert_eq!(given(&mut guests, host(1), 1_000, false), FIRST);
    // Where all measure, nobody is added, until one was silent long enough.
    let mut admit = |n: u16, ms: u64, shows| guests.admit(host(n), ms * 1_000_000, shows);
    for n in (1..).take(GUESTS_MAX - 1) {
        assert_eq!(admit(n, 2_000, true), Ok(()));
    }
    assert_eq!(admit(0, 2_001, true), Ok(()));
    assert_eq!(admit(999, 12_000 - 1, true), Err(Ignored::Full));
    assert_eq!(admit(999, 12_000, false), Ok(()));
    assert_eq!(admit(0, 12_000, true), Ok(()));
}

/// Stateful STAMP: strangers that come once take no place of one that goes on.
#[test]
fn a_stamp_session_that_goes_on_keeps_its_count() {
    let mut peer = Stamp::new(true);
    let number = |peer: &mut Stamp, ms: u64, from: SocketAddr| {
        let answer = peer.answer(at(ms), from, &stamp_probe(&[]), &mut || at(ms)).unwrap().unwrap();
        u32::from_be_bytes(*answer.first_chunk().unwrap())
    };
    assert_eq!([0, 1].map(|ms| number(&mut peer, ms, from(1))), [0, 1]);
    for n in (0..).take(2 * SESSIONS_MAX) {
        assert_eq!(number(&mut peer, 2 + u64::from(n), (host(n), 9).into()), 0);
    }
    assert_eq!(number(&mut peer, 2_000, from(1)), 2);
}

/// A sender's packet: number 9, session 0x0102, and what else there is.
fn stamp_probe(more: &[u8]) -> Vec<u8> {
    let head = [0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 1, 1, 2];
    [&head[..], &[0; 28], more].concat()
}

#[test]
fn stamp_answers_with_both_numbers_both_times_and_the_same_length() {
    let [mut stateless, mut stateful] = [false, true].map(Stamp::new);
    for (peer, numbers) in [(&mut stateless, [9, 9]), (&mut stateful, [0, 1])] {
        for (ms, number) in (0..).zip(numbers) {
            let reply = ask(peer, ms, 1, &stamp_probe(&[])).unwrap().unwrap();
            assert_eq!(reply.len(), BASE);
            assert_eq!(reply[..4], u32::to_be_bytes(number));
            assert_eq!(reply[4..12], ntp(at(ms + 1).wall).to_be_bytes());
            // A clock that is not synchronised, its error the largest there is.
            assert_eq!((&reply[12..14], &reply[14..16]), (&[0x3f, 0xff][..], &[1, 2][..]));
            assert_eq!(reply[16..24], ntp(at(ms).wall).to_be_bytes());
            // The sender's own, as it came.
            assert_eq!(reply[24..38], stamp_probe(&[])[..14]);
            assert_eq!(reply[38..], [0, 0, 255, 0, 0, 0]);
            // Another reflector's answer is not answered: two would do it for ever.
            assert_eq!(ask(peer, ms, 1, &reply), Err(Ignored::NotOurs));
        }
        assert_eq!(ask(peer, 0, 1, &stamp_probe(&[])[..43]), Err(Ignored::NotOurs));
    }
    // Each session counts by itself.
    assert_eq!(ask(&mut stateful, 0, 2, &stamp_probe(&[])).unwrap().unwrap()[..4], [0; 4]);
    // Extensions come back as not known; one that is cut short as malformed; padding as it is.
    let tail = |more: &[u8]| {
        ask(&mut Stamp::new(false), 0, 1, &stamp_probe(more)).unwrap().unwrap()[BASE..].to_vec()
    };
    assert_eq!(tail(&[0, 1, 0, 2, 8, 9, 0, 3, 0, 0]), [0x80, 1, 0, 2, 8, 9, 0x80, 3, 0, 0]);
    assert_eq!(tail(&[0, 1, 0, 9, 8]), [0x40, 1, 0, 9, 8]);
    assert_eq!(tail(&[0; 7]), [0; 7]);
    // Half a second past 1970.
    assert_eq!(ntp(500_000_000), (2_208_988_800 << 32) | (1 << 31));
}

proptest! {
    /// Whatever comes: nothing panics, nothing is answered by more than came, and what does not
    /// begin as the protocol does is not answered at all.
    #[test]
    fn no_packet_is_answered_by_a_longer_one(
        bytes in proptest::collection::vec(any::<u8>(), 0..1_600),
        begins in 0..4_u8,
        flags in 0..16_u8,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in 0..40_usize,
        keyed in any::<bool>(),
    ) {
        let key = keyed.then_some(&b"key"[..]);
        let mut peer = reflector(key);
        let session = open(&mut peer, 0, 1, &asked(), key);
        let mut packet = match begins {
            0 => bytes,
            1 => [&[0x14, 0xa7, 0x5b, flags], &bytes[..]].concat(),
            2 => echo(&session, 3, key),
            _ => stamp_probe(&bytes),
        };
        packet.truncate(packet.len().saturating_sub(cut));
        for (place, byte) in flips {
            if !packet.is_empty() {
                let place = place.index(packet.len());
                packet[place] ^= byte;
            }
        }
        let is_irtt = packet.starts_with(&[0x14, 0xa7, 0x5b]);
        if let Ok(Some(answer)) = ask(&mut peer, 5, 1, &packet) {
            let more = if packet[3] & FLAG_OPEN == 0 { 0 } else { TOKEN };
            prop_assert!(is_irtt && answer.len() <= packet.len() + more);
        }
        for is_stateful in [false, true] {
            match ask(&mut Stamp::new(is_stateful), 5, 1, &packet) {
                Ok(answer) => prop_assert_eq!(answer.unwrap().len(), packet.len()),
                Err(why) => prop_assert_eq!(why, Ignored::NotOurs),
            }
        }
    }
}

/// An open of these parameters, each a tag and a value, with none of the others.
fn small_open(no_test: bool, params: &[(u8, i64)]) -> Vec<u8> {
    let flags = if no_test { FLAG_OPEN | FLAG_CLOSE } else { FLAG_OPEN };
    let mut packet = vec![0x14, 0xa7, 0x5b, flags, 1, 2];
    for (tag, value) in params {
        packet.push(*tag);
        let mut zigzag = u64::from_ne_bytes(((value << 1) ^ (value >> 63)).to_ne_bytes());
        while zigzag >= 0x80 {
            packet.push(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
            zigzag >>= 7;
        }
        packet.push(u8::try_from(zigzag).unwrap());
    }
    packet
}

/// An open that leaves out what its answer says, or asks in few bytes for what is granted in more.
#[test]
fn an_open_that_is_shorter_than_its_answer_is_not_answered() {
    for no_test in [false, true] {
        let mut peer = reflector(None);
        let open = small_open(no_test, &[]);
        assert_eq!((open.len(), ask(&mut peer, 0, 1, &open)), (6, Err(Ignored::Short)));
        // An interval in two bytes, where the one that is granted needs three.
        let all = |interval_ns| small_open(no_test, &[(2, 9), (3, interval_ns), (7, 1)]);
        assert_eq!(ask(&mut peer, 0, 1, &all(8_191)), Err(Ignored::Short));
        let open = all(8_192);
        assert_eq!(ask(&mut peer, 0, 1, &open).unwrap().unwrap().len(), open.len() + TOKEN);
    }
}

proptest! {
    /// Valid opens, of any of the parameters: none is answered by more than a token's bytes more.
    #[test]
    fn no_open_is_answered_by_more_than_its_token(
        no_test in any::<bool>(),
        bits in proptest::collection::vec((2..9_u8, any::<i64>(), 0..64_u32), 0..10),
    ) {
        let known = |(tag, value, shift): (u8, i64, u32)| match tag {
            5 | 6 => (tag, value & 3),
            7 => (tag, (value & 1) + 1),
            _ => (tag, value >> shift),
        };
        let params: Vec<(u8, i64)> = bits.into_iter().map(known).collect();
        let packet = small_open(no_test, &params);
        match ask(&mut reflector(None), 5, 1, &packet) {
            Ok(answer) => prop_assert!(answer.unwrap().len() <= packet.len() + TOKEN),
            Err(why) => prop_assert_eq!(why, Ignored::Short),
        }
    }
}

/// What the server's word makes of each probe: came and lost behind it, never came, nobody knows.
#[test]
fn a_probes_fate_is_what_the_server_tells_and_no_more() {
    let mut book = Book::new(10_000, 200);
    // The server's clock is 5 s ahead; 20 ms there, 20 ms back, 1 ms in between.
    let answer = |sequence: u32, window: Option<u64>| {
        let due = i64::from(sequence) * 10_000;
        let server_us = Some((due + 5_020_000, due + 5_021_000));
        let came_us = u64::try_from(due).unwrap() + 41_000;
        Answer { sequence, came_us, server_us, window, count: None }
    };
    book.answer(&answer(0, Some(1)));
    // 1 never came, 2 did.
    book.answer(&answer(3, Some(0b1011)));
    // Of 4 to 75 only the last 63 are told of.
    book.answer(&answer(76, Some(1)));
    // Late, behind a later one: its window is not looked at, but it came.
    book.answer(&answer(74, Some(u64::MAX)));
    book.answer(&answer(74, None));
    // Of another run, or with a window in which it is not itself.
    book.answer(&answer(4_000_000, Some(1)));
    book.answer(&answer(80, Some(0b1110)));
    let mut late = vec![Some(3); 90];
    late[81] = None;
    let (slots, offset) = book.finish(&late);
    assert_eq!(offset, 5_000_000);
    assert_eq!(slots.len(), 200);
    let back = Fate::Back { up_us: 20_000, down_us: 20_000 };
    assert_eq!((slots[0].fate, slots[0].turn_16us, slots[0].late_us), (back, 62, 3));
    assert_eq!((slots[1].fate, slots[2].fate, slots[3].fate), (Fate::LostUp, Fate::LostDown, back));
    assert!(
        slots[4..13].iter().all(|slot| slot.fate == Fate::LostSomewhere),
        "{:?}",
        &slots[4..14]
    );
    assert!(slots[13..74].iter().all(|slot| slot.fate == Fate::LostUp));
    assert_eq!(
        (slots[74].fate, slots[74].reordered_down, slots[74].duplicate_down),
        (back, true, true)
    );
    assert!(slots[77..80].iter().all(|slot| slot.fate == Fate::LostSomewhere));
    assert_eq!(
        (slots[80].fate, slots[81].fate, slots[150].fate),
        (back, Fate::NotSent, Fate::NotSent)
    );
    // Without stamps: halves, and the sum is exact.
    let mut book = Book::new(10_000, 1);
    let (server_us, window, count) = (None, None, None);
    book.answer(&Answer { sequence: 0, came_us: 41_001, server_us, window, count });
    let (slots, _) = book.finish(&[Some(0)]);
    assert_eq!(slots[0].rtt_us(), Some(41_001));
}

/// Holes longer than a window: how many came tells which way they were, where it can only be one.
#[test]
fn a_hole_longer_than_the_window_has_its_way_by_the_servers_count() {
    let fates = |copies: bool, answers: &[(u32, Option<u64>, u32)]| {
        let mut book = Book::new(1_000, 1_001);
        for (sequence, window, count) in answers {
            let (window, count) = (*window, Some(*count));
            let came_us = u64::from(*sequence) * 1_000 + 9_000;
            let answer = Answer { sequence: *sequence, came_us, server_us: None, window, count };
            book.answer(&answer);
            if copies {
                book.answer(&answer);
            }
        }
        let (slots, _) = book.finish(&[Some(0); 1_001]);
        let count = |fate| slots.iter().filter(|slot| slot.fate == fate).count();
        [Fate::LostUp, Fate::LostDown, Fate::LostSomewhere].map(count)
    };
    let full = Some(u64::MAX);
    // 1 to 999 never came; all came and their answers were lost; 10 of those before the window did.
    assert_eq!(fates(false, &[(0, Some(1), 1), (1_000, Some(1), 2)]), [999, 0, 0]);
    assert_eq!(fates(false, &[(0, Some(1), 1), (1_000, full, 1_001)]), [0, 999, 0]);
    assert_eq!(fates(false, &[(0, Some(1), 1), (1_000, Some(1), 12)]), [63, 0, 936]);
    // The window's came are not counted twice, and a hole at the begin is one as any other.
    assert_eq!(fates(false, &[(1_000, Some(0b11), 2)]), [999, 1, 0]);
    // A server that only counts.
    assert_eq!(fates(false, &[(0, None, 1), (1_000, None, 1_001)]), [0, 999, 0]);
    // Where there are copies one may stand for a probe that never came.
    assert_eq!(fates(true, &[(0, Some(1), 1), (1_000, full, 1_001)]), [0, 63, 936]);
    assert_eq!(fates(true, &[(0, Some(1), 1), (1_000, Some(1), 2)]), [999, 0, 0]);
    // A server that began anew counts fewer than before: nothing is learnt.
    assert_eq!(fates(false, &[(0, Some(1), 700), (1_000, Some(1), 3)]), [63, 0, 936]);
}

/// Ends the serving with the first packet.
struct Once(Arc<AtomicBool>);

impl Answers for Once {
    fn answer(
        &mut self,
        _came: Now,
        _from: SocketAddr,
        packet: &[u8],
        _sends: &mut dyn FnMut() -> Now,
    ) -> Result<Option<Vec<u8>>, Ignored> {
        self.0.store(true, Ordering::Release);
        Ok(Some(packet.to_vec()))
    }
}

#[test]
fn a_read_that_fails_is_counted_and_the_next_packet_is_answered() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (at, gone) = (socket.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let there = gone.local_addr().unwrap();
    drop(gone);
    // Nobody there: the system says so at the next read.
    socket.connect(there).unwrap();
    socket.send(&[1]).unwrap();
    let asker = UdpSocket::bind(there).unwrap();
    asker.send_to(&[7], at).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let counts = serve(&socket, Box::new(Once(Arc::clone(&stop))), &stop).unwrap();
    assert_eq!((counts.not_read, counts.came), (1, 1));
    assert_eq!(counts.answered + counts.not_sent, 1);
}

/// `longhand-sim link ...`, ended when dropped.
struct Running(Child, BufReader<std::process::ChildStderr>);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-sim"));
        command.arg("link").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        Self(child, err)
    }

    /// Where it listens, as it says: `irtt 127.0.0.1:4711; ...`.
    fn address(&mut self) -> SocketAddr {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        let word = line.split_whitespace().nth(1).unwrap_or_else(|| panic!("{line}"));
        word.trim_end_matches(';').parse().unwrap()
    }

    fn json(mut self) -> Value {
        let mut out = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// How the threads of a process are scheduled. Source: proc_pid_stat(5), field 41; what stands
/// behind the name's closing bracket begins with field 3.
fn policies(process: u32) -> BTreeSet<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stat = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat")).unwrap();
    let policy = |stat: String| {
        stat.rsplit(')').next().unwrap().split_whitespace().nth(38).unwrap().to_owned()
    };
    tasks.map(|task| policy(stat(task.unwrap()))).collect()
}

/// What is in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A path that cannot be written is told before anybody is asked, what is no file is written as it
/// is, and a link stays one.
#[test]
fn measure_replaces_a_file_only_by_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut peer = Running::start(&["reflect", "--irtt", "127.0.0.1:0", "--for", "60s"]);
    let irtt = peer.address().to_string();
    let ask = |out: &str| sim(&["measure", "--irtt", &irtt, "--for", "0.1s", "-o", out]);
    let none = ask(&path("no/link.csv"));
    assert_eq!((none.status.code(), none.stdout.as_slice()), (Some(1), &b""[..]));
    let device = ask("/dev/stdout");
    assert_eq!(device.status.code(), Some(0), "{device:?}");
    assert!(String::from_utf8(device.stdout).unwrap().contains("\"probe\":\"udp\""));
    assert_eq!(names(folder.path()), Vec::<String>::new());
    std::os::unix::fs::symlink(path("link.csv"), path("latest.csv")).unwrap();
    std::fs::write(path("link.csv"), "of before").unwrap();
    let told = ask(&path("latest.csv"));
    assert_eq!(told.status.code(), Some(0));
    let words = String::from_utf8(told.stderr).unwrap();
    assert!(words.contains("wrote ") && words.contains("link.csv: a link trace of"), "{words}");
    assert!(std::fs::read_link(path("latest.csv")).is_ok());
    assert!(std::fs::read_to_string(path("link.csv")).unwrap().contains("link measure"));
    assert_eq!(names(folder.path()), ["latest.csv", "link.csv"]);
}

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-sim"));
    command.arg("link").args(arguments).output().unwrap()
}

/// Ours against ours, as processes: a trace that can be played comes out, a wrong key and nobody
/// there are told in words.
#[test]
fn our_client_measures_our_reflector_and_writes_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("key"), "secret\n").unwrap();
    let keyed = ["--hmac-key-file", &path("key")];
    let reflect =
        ["reflect", "--irtt", "127.0.0.1:0", "--stamp", "127.0.0.1:0", "--json", "--for", "40s"];
    let mut peer = Running::start(&[&reflect[..], &keyed].concat());
    let (irtt, _stamp) = (peer.address().to_string(), peer.address());
    let trace = path("link.csv");
    std::fs::write(&trace, "of before\n".repeat(100_000)).unwrap();
    let ask = ["measure", "--irtt", &irtt, "--for", "1s", "--json", "-o", &trace];
    let told = sim(&[&ask[..], &keyed].concat());
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert_eq!(policies(peer.0.id()), BTreeSet::from(["0".to_owned()]), "SCHED_OTHER");
    let object: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        (&object["schema"], &object["bytes"]),
        (&"longhand link measure v1".into(), &250.into())
    );
    assert_eq!((&object["stamped"], &object["tells_way"]), (&true.into(), &true.into()));
    let measures = &object["measures"];
    assert_eq!((&measures["own"]["slots"], &measures["rtt"]["count"]), (&100.into(), &100.into()));
    let text = std::fs::read_to_string(&trace).unwrap();
    assert!(
        text.contains("\"probe\":\"udp\"") && text.contains("link measure"),
        "{}",
        &text[..600]
    );
    let _playable = Emulator::new(LinkModel::from(Trace::parse(&text).unwrap()), 1);
    // Nobody is answered without the key; nobody is there at all.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut silent = Running::start(&["measure", "--irtt", &irtt, "--for", "1s", "-o", &trace]);
    let mut gone = Running::start(&["measure", "--irtt", &free, "--for", "1s"]);
    for running in [&mut silent, &mut gone] {
        assert_eq!(running.0.wait().unwrap().code(), Some(1));
        let mut words = String::new();
        running.1.read_to_string(&mut words).unwrap();
        assert!(words.contains("no irtt server answers"), "{words}");
    }
    // What was measured before is still there, whole, and nothing beside it.
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), text);
    assert_eq!(names(folder.path()), ["key", "link.csv"]);
    let counts = peer.json();
    assert_eq!(counts["schema"], "longhand link reflect v1");
    // An open, a hundred probes, a close that needs no answer; four opens without the key.
    assert_eq!((&counts["irtt"]["came"], &counts["irtt"]["answered"]), (&106.into(), &101.into()));
    assert_eq!(counts["irtt"]["ignored"], serde_json::json!({"key": 4}));
}

/// Somebody else's process, ended when dropped.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn is_installed() -> bool {
    let mut asked = Command::new("irtt");
    let found = asked.arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("irtt is not installed: `apt-get install irtt`, or see github.com/heistp/irtt");
    }
    found
}

/// A relay over a link whose loss is known, packet by packet, in its log.
fn relay(to: SocketAddr, log: &Path) -> longhand_sim::relay::RelayHandle {
    let model = LinkModel::from(Profile::by_name("national-dedicated").unwrap());
    let options = RelayOptions {
        disturb: Disturb { loss: Some(0.03), ..Disturb::default() },
        log: Some(log.to_owned()),
        ..RelayOptions::new(model, 7)
    };
    Relay::start_with("127.0.0.1:0".parse().unwrap(), to, options).unwrap()
}

/// What the relay did to packets of this length: lost up, lost down, and the median delay of each
/// way together, ms.
fn truth(log: &Path, bytes: &str) -> (u64, u64, f64) {
    let text = std::fs::read_to_string(log).unwrap();
    let rows: Vec<Vec<&str>> =
        text.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>()).collect();
    let of = |way: &str| {
        let rows: Vec<&Vec<&str>> =
            rows.iter().filter(|row| row[1] == way && row[2] == bytes).collect();
        let lost = rows.iter().filter(|row| row[3] != "delivered").count();
        let mut delays: Vec<u64> = rows
            .iter()
            .filter(|row| row[3] == "delivered")
            .map(|row| row[5].parse::<u64>().unwrap() - row[0].parse::<u64>().unwrap())
            .collect();
        delays.sort_unstable();
        let median = f64::from(u32::try_from(delays[delays.len() / 2]).unwrap()) / 1e3;
        (u64::try_from(lost).unwrap(), median)
    };
    let ((up, there), (down, back)) = (of("up"), of("down"));
    (up, down, there + back)
}

#[test]
#[ignore = "needs irtt; .ci/run does it: cargo test -p longhand-sim --test peers foreign -- \
            --ignored"]
fn foreign_irtt_client_measures_our_reflector_through_the_relay() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("relay.csv"), folder.path().join("irtt.json"));
    let key = folder.path().join("key");
    std::fs::write(&key, "secret").unwrap();
    let key = key.display().to_string();
    let mut peer = Running::start(&[
        "reflect",
        "--irtt",
        "127.0.0.1:0",
        "--hmac-key-file",
        &key,
        "--for",
        "60s",
    ]);
    let relay = relay(peer.address(), &log);
    let asked = ["client", "-i", "10ms", "-d", "20s", "-l", "250", "-Q", "--hmac=secret", "-o"];
    let at = relay.local_addr().to_string();
    let file = file.display().to_string();
    let mut irtt = Command::new("irtt");
    let done = irtt.args(asked).args([&file, &at]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    relay.stop().unwrap();
    let told: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let trips = told["round_trips"].as_array().unwrap();
    let count =
        |way: &str| u64::try_from(trips.iter().filter(|t| t["lost"] == way).count()).unwrap();
    let (up, down, rtt_ms) = truth(&log, "250");
    println!(
        "irtt says up {} down {} nobody {}; the relay {up} {down}",
        count("true_up"),
        count("true_down"),
        count("true")
    );
    assert!(up > 20 && down > 20, "{up} {down}");
    // Its way by the window that we send; what was lost last nobody tells it of.
    assert_eq!(count("true_up") + count("true_down") + count("true"), up + down);
    assert!(count("true_up").abs_diff(up) <= 2 && count("true_down").abs_diff(down) <= 2);
    let median = told["stats"]["rtt"]["median"].as_f64().unwrap() / 1e6;
    println!("irtt says {median:.2} ms; the relay {rtt_ms:.2} ms");
    assert!((median - rtt_ms).abs() < 0.05 * rtt_ms + 1.0, "{median} {rtt_ms}");
    let received = told["stats"]["server_packets_received"].as_u64().unwrap();
    assert_eq!(received, u64::try_from(trips.len()).unwrap() - up, "the count that we send");
}

#[test]
#[ignore = "needs irtt; .ci/run does it: cargo test -p longhand-sim --test peers foreign -- \
            --ignored"]
fn foreign_irtt_server_is_measured_by_our_client_through_the_relay() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (log, trace) = (folder.path().join("relay.csv"), folder.path().join("link.csv"));
    let key = folder.path().join("key");
    std::fs::write(&key, "secret").unwrap();
    // Free a moment ago; nobody else on this machine is asked for one meanwhile.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = Command::new("irtt");
    server.args(["server", "-b", &free.to_string(), "-i", "0", "--hmac=secret"]);
    let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _server = Foreign(server);
    let relay = relay(free, &log);
    let (at, key) = (relay.local_addr().to_string(), key.display().to_string());
    let trace = trace.display().to_string();
    let asked = ["measure", "--irtt", &at, "--for", "20s", "--rate", "100", "--bytes", "250"];
    let more = ["--hmac-key-file", &key, "--json", "-o", &trace];
    let told = sim(&[&asked[..], &more].concat());
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    relay.stop().unwrap();
    let object: Value = serde_json::from_slice(&told.stdout).unwrap();
    let whole = |pointer: &str| object.pointer(pointer).unwrap().as_u64().unwrap();
    let said = [
        whole("/measures/up/loss/events"),
        whole("/measures/down/loss/events"),
        whole("/measures/lost_unknown/events"),
    ];
    let (up, down, rtt_ms) = truth(&log, "250");
    println!("we say up, down, nobody {said:?}; the relay {up} {down}");
    assert!(up > 20 && down > 20, "{up} {down}");
    assert_eq!(said.iter().sum::<u64>(), up + down);
    assert!(said[0].abs_diff(up) <= 2 && said[1].abs_diff(down) <= 2 && said[2] <= 2);
    let median = object.pointer("/measures/rtt/quantiles/0/ms").unwrap().as_f64().unwrap();
    println!("we say {median:.2} ms; the relay {rtt_ms:.2} ms");
    assert!((median - rtt_ms).abs() < 0.05 * rtt_ms + 1.0, "{median} {rtt_ms}");
    let text = std::fs::read_to_string(&trace).unwrap();
    let _playable = Emulator::new(LinkModel::from(Trace::parse(&text).unwrap()), 1);
}

fn must(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scapy");
    let python = folder.join("bin/python");
    must(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    must(Command::new(&python).args(["-m", "pip", "install", "--quiet", "scapy==2.6.1"]));
    python
}

#[test]
#[ignore = "installs a package from PyPI; .ci/run does it: cargo test -p longhand-sim --test peers \
            foreign -- --ignored"]
fn foreign_stamp_sender_reads_our_answers() {
    let python = python();
    for mode in ["stateless", "stateful"] {
        let stamp = ["--stamp", "127.0.0.1:0", "--stamp-mode", mode, "--for", "60s"];
        let mut peer = Running::start(&[&["reflect"], &stamp[..]].concat());
        let at = peer.address();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/stamp.py");
        let mut sender = Command::new(&python);
        let told = must(sender.args([script, &at.port().to_string()]));
        let told: Value = serde_json::from_slice(&told).unwrap();
        let answers = told.as_array().unwrap();
        assert_eq!(answers.len(), 20, "{told}");
        for (n, answer) in answers.iter().enumerate() {
            let asked = 100 + n;
            let number = if mode == "stateless" { asked } else { n };
            assert_eq!(answer["seq"], number, "{answer}");
            assert_eq!(
                (&answer["seq_sender"], &answer["ttl_sender"]),
                (&asked.into(), &255.into())
            );
            assert_eq!((&answer["ssid"], &answer["bytes"]), (&7.into(), &44.into()));
            let s = |key: &str| answer[key].as_f64().unwrap();
            assert!((s("ts_sender") - s("sent")).abs() < 1e-3, "{answer}");
            // One machine, one wall clock: sent, had, answered, in that order.
            assert!(s("sent") - 0.001 <= s("ts_rx") && s("ts_rx") <= s("ts"), "{answer}");
            assert!(s("ts") <= s("came") + 0.001, "{answer}");
        }
    }
}
