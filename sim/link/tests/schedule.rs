//! What the link does to packets, as a caller sees it: order, outages, rate, live events, and the
//! same bytes for the same seed.
//!
//! Knows: only the public face. Does not know: distributions (`conformance.rs`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use longhand_link::emulator::sample;
use longhand_link::profile::{
    Jitter, Loss, Outage, OutageMode, Path, Radio, Rate, Rebase, When, quantiles,
};
use longhand_link::{
    Direction, Directions, Disturb, DropCause, Emulator, Fate, LinkModel, PROFILES, Profile,
};
use longhand_protocol::units::{Instant, Link, Micros};

const SEED: u64 = 42;
const MS: Micros = Micros::from_millis(1);

fn at_ms(ms: u64) -> Instant<Link> {
    Instant::from_micros(ms * 1_000)
}

fn named(name: &str) -> &'static Profile {
    Profile::by_name(name).unwrap()
}

fn leaked(profile: Profile) -> LinkModel {
    LinkModel::Profile(Box::leak(Box::new(profile)))
}

fn arrival(fate: Fate) -> Option<Instant<Link>> {
    match fate {
        Fate::Deliver(arrival) => Some(arrival.at),
        Fate::Drop(_) => None,
    }
}

/// FNV-1a over every fate of two minutes at 1 kHz both ways. A change of one of these is a change
/// of what every seed means: say so in the commit.
const GOLDEN: &[(&str, u64)] = &[
    ("ideal", 0xacf5_96c8_075f_dd6d),
    ("metro-fibre", 0x9dcc_2be2_085c_c552),
    ("campus-5g-urllc", 0x2d0c_3957_3af4_50d8),
    ("city-5g-sa", 0x776a_f863_c158_c204),
    ("national-dedicated", 0xe700_9729_0430_1a5e),
    ("beijing-sanya-5g-public", 0xe1db_c1a6_468c_b718),
    ("rome-beijing", 0x8346_ad7f_2577_76d3),
    ("rural-5g-nsa-handover", 0x7c27_cd08_373b_e3ba),
    ("leo-starlink", 0x4545_6662_33dc_fc57),
    ("leo-isl", 0x14c2_dc4c_90a2_6351),
    ("geo", 0xcefb_bf29_2709_63c6),
    ("hospital-wifi", 0x2b9f_23c0_f1e2_bd6b),
    ("hospital-wifi-congested", 0x8af2_766a_a70f_0a18),
    ("fail-safe-drill", 0x177c_0989_dabe_94a9),
];

#[test]
fn the_same_seed_gives_the_same_schedule_everywhere() {
    let mut got = Vec::new();
    for profile in PROFILES {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |n: u64| {
            for byte in n.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        let two_minutes = Micros::from_secs(120);
        sample(LinkModel::from(profile), SEED, two_minutes, MS, 256, |packet| match packet.fate {
            Fate::Deliver(arrival) => {
                eat(arrival.at.as_micros());
                eat(arrival.copy_at.map_or(0, |at| at.as_micros()));
                eat(arrival.wrong_bit.unwrap_or(u64::MAX));
            }
            Fate::Drop(cause) => {
                let place = DropCause::ALL.iter().position(|known| *known == cause);
                eat(u64::try_from(place.unwrap()).unwrap());
            }
        });
        got.push((profile.name, hash));
    }
    let table: Vec<String> =
        got.iter().map(|(n, h)| format!("    (\"{n}\", {h:#018x}),")).collect();
    assert_eq!(got, GOLDEN, "seed {SEED}; the table would be:\n{}", table.join("\n"));
}

#[test]
fn another_seed_gives_another_schedule() {
    let sum = |seed| {
        let mut sum = Micros::ZERO;
        let model = LinkModel::from(named("city-5g-sa"));
        sample(model, seed, Micros::from_secs(5), MS, 256, |packet| {
            sum = sum.saturating_add(packet.delay().unwrap_or_default());
        });
        sum
    };
    assert_eq!(sum(1), sum(1));
    assert_ne!(sum(1), sum(2));
}

#[test]
fn every_profile_keeps_order_and_never_beats_light() {
    for profile in PROFILES {
        let mut last = [Instant::ORIGIN; 2];
        let model = LinkModel::from(profile);
        // Five milliseconds below the base: the most a new cell or a route step of 3 ms takes off;
        // rome-beijing's 20 ms step is rarer than this run is long.
        let least = |d: Direction| profile.path(d).base.saturating_sub(Micros::from_millis(5));
        sample(model, SEED, Micros::from_secs(300), MS, 256, |packet| {
            let Some(at) = arrival(packet.fate) else { return };
            let lane = &mut last[usize::from(packet.direction == Direction::Down)];
            assert!(at >= *lane, "{} seed {SEED}: {packet:?} before {lane:?}", profile.name);
            assert!(at.since(packet.sent) >= least(packet.direction), "{packet:?}");
            *lane = at;
        });
    }
}

#[test]
fn every_packet_offered_is_delivered_or_counted_as_lost() {
    for profile in PROFILES {
        let stats = sample(LinkModel::from(profile), 7, Micros::from_secs(60), MS, 256, |_| {});
        for direction in Direction::BOTH {
            let lane = stats.lane(direction);
            assert_eq!(lane.offered, 60_000);
            assert_eq!(lane.delivered + lane.dropped_total(), lane.offered, "{}", profile.name);
        }
    }
}

/// A link of 10 ms with one kind of outage, 100 ms long, about each second.
fn with_outage(mode: OutageMode, rate: Option<Rate>) -> LinkModel {
    let path = Path {
        base: Micros::from_millis(10),
        jitter: Jitter { target: &[], correlation: Micros::ZERO, drawn: None },
        loss: Loss::None,
        rate,
        radio: Radio::NONE,
    };
    let every = Micros::from_millis(900);
    let outage = Outage {
        name: "test",
        when: When::Between(every, every),
        p50: Micros::from_millis(100),
        p99: Micros::from_millis(100),
        mode,
        directions: Directions::Up,
        cell_shift: Micros::ZERO,
    };
    leaked(Profile {
        up: path,
        down: path,
        outages: Box::leak(Box::new([outage])),
        ..*named("ideal")
    })
}

#[test]
fn an_outage_that_drops_loses_exactly_its_length() {
    let mut link = Emulator::new(with_outage(OutageMode::Drop, None), SEED);
    for ms in 0..2_000 {
        let fate = link.offer(at_ms(ms), Direction::Up, 100);
        // Outages at 900 to 1000 and 1900 to 2000.
        if ms % 1_000 >= 900 {
            assert_eq!(fate, Fate::Drop(DropCause::Outage), "at {ms} ms");
        } else {
            assert_eq!(arrival(fate), Some(at_ms(ms + 10)));
        }
        assert_eq!(arrival(link.offer(at_ms(ms), Direction::Down, 100)), Some(at_ms(ms + 10)));
    }
}

#[test]
fn an_outage_that_holds_flushes_everything_at_line_rate() {
    // 100 bytes at 8 Mbit/s: 0.1 ms a packet. The queue limit (1 ms) does not touch held packets.
    let rate = Some(Rate { bits_per_s: 8_000_000, queue_max: MS });
    let mut link = Emulator::new(with_outage(OutageMode::HoldAndFlush, rate), SEED);
    for ms in 0..900 {
        link.offer(at_ms(ms), Direction::Up, 100);
    }
    for n in 0..100 {
        let at = arrival(link.offer(at_ms(900 + n), Direction::Up, 100));
        let want = Instant::from_micros(1_010_000 + 100 * (n + 1));
        assert_eq!(at, Some(want), "packet {n} of the hold");
    }
    assert_eq!(link.stats().up.held, 100);
    // One sent just after the hold waits behind the flush; a second later all is as before.
    let after = arrival(link.offer(at_ms(1_000), Direction::Up, 100));
    assert_eq!(after, Some(Instant::from_micros(1_020_100)));
    let later = arrival(link.offer(at_ms(1_500), Direction::Up, 100));
    assert_eq!(later, Some(Instant::from_micros(1_510_100)));
}

#[test]
fn a_stream_above_the_rate_is_cut_to_the_rate() {
    let rate = Some(Rate { bits_per_s: 8_000_000, queue_max: Micros::from_millis(20) });
    let path = Path { rate, ..named("ideal").up };
    let model = leaked(Profile { up: path, down: path, ..*named("ideal") });
    let mut last_delay = Micros::ZERO;
    // 2000 bytes each ms is 16 Mbit/s into 8: half gets through, the queue stays full.
    let stats = sample(model, SEED, Micros::from_secs(10), MS, 2_000, |packet| {
        if let Some(delay) = packet.delay() {
            last_delay = delay;
        }
    });
    assert!(stats.up.delivered.abs_diff(5_000) <= 12, "{}", stats.up.delivered);
    assert_eq!(stats.up.dropped(DropCause::QueueFull), 10_000 - stats.up.delivered);
    let full = Micros::from_micros(20_000 + 2_000 + 50);
    assert!(last_delay.abs_diff(full) <= Micros::from_millis(2), "{last_delay}");
}

#[test]
fn a_live_black_hole_begins_and_ends_on_time() {
    let mut link = Emulator::new(LinkModel::from(named("ideal")), SEED);
    link.black_hole(Directions::Up, at_ms(10), Micros::from_millis(5)).unwrap();
    for (us, gone) in [(9_999, false), (10_000, true), (14_999, true), (15_000, false)] {
        let now = Instant::from_micros(us);
        let up = link.offer(now, Direction::Up, 100);
        assert_eq!(up == Fate::Drop(DropCause::BlackHole), gone, "at {us} us");
        assert!(arrival(link.offer(now, Direction::Down, 100)).is_some());
    }
}

#[test]
fn too_many_black_holes_are_refused_until_one_is_over() {
    let mut link = Emulator::new(LinkModel::from(named("ideal")), SEED);
    let hole = |link: &mut Emulator| link.black_hole(Directions::Both, at_ms(0), MS);
    assert!((0..16).all(|_| hole(&mut link).is_ok()));
    assert!(hole(&mut link).is_err());
    link.advance(at_ms(1));
    assert!(hole(&mut link).is_ok());
}

#[test]
fn a_new_model_keeps_order_and_counts() {
    let mut link = Emulator::new(LinkModel::from(named("geo")), SEED);
    let slow = arrival(link.offer(at_ms(0), Direction::Up, 100)).unwrap();
    link.set_model(at_ms(1), LinkModel::from(named("ideal")));
    let behind = arrival(link.offer(at_ms(2), Direction::Up, 100)).unwrap();
    assert_eq!(behind, slow);
    let later = arrival(link.offer(at_ms(2_000), Direction::Up, 100)).unwrap();
    assert_eq!(later, Instant::from_micros(2_000_051));
    assert_eq!(link.stats().up.offered, 3);
}

#[test]
fn disturbances_have_their_shares() {
    for share in [0.01, 0.1, 0.5] {
        let disturb = Disturb {
            loss: Some(share),
            duplicate: share,
            corrupt: share,
            reorder: share,
            reorder_by: Micros::from_millis(5),
        };
        let mut link = Emulator::new(LinkModel::from(named("ideal")), SEED).with_disturb(disturb);
        let all = 200_000_u32;
        for n in 0..u64::from(all) {
            link.offer(at_ms(n), Direction::Up, 100);
        }
        let up = link.stats().up;
        let part = |n: u64, of: u64| {
            f64::from(u32::try_from(n).unwrap()) / f64::from(u32::try_from(of).unwrap())
        };
        // 200 000 packets at 1 %: one standard deviation is 2.2 % of the share.
        let near = |got: f64| assert!((got / share - 1.0).abs() < 0.08, "{got} for {share}");
        near(part(up.dropped(DropCause::Loss), u64::from(all)));
        near(part(up.duplicated, up.delivered));
        near(part(up.corrupted, up.delivered));
        near(part(up.reordered, up.delivered));
    }
}

#[test]
fn the_drill_does_what_it_says() {
    let mut link = Emulator::new(LinkModel::from(named("fail-safe-drill")), SEED);
    let mut cause = |ms, direction, len| match link.offer(at_ms(ms), direction, len) {
        Fate::Deliver(_) => None,
        Fate::Drop(cause) => Some(cause),
    };
    assert_eq!(cause(4_999, Direction::Up, 100), None);
    assert_eq!(cause(5_000, Direction::Up, 100), Some(DropCause::BlackHole));
    assert_eq!(cause(5_000, Direction::Down, 100), None);
    assert_eq!(cause(5_030, Direction::Up, 100), None);
    assert_eq!(cause(97_000, Direction::Up, 1_280), None);
    assert_eq!(cause(97_000, Direction::Up, 1_281), Some(DropCause::TooLong));
    assert_eq!(cause(125_000, Direction::Up, 100), Some(DropCause::BlackHole));
}

#[test]
fn a_clock_that_goes_back_is_taken_as_standing_still() {
    let mut link = Emulator::new(LinkModel::from(named("ideal")), SEED);
    let first = arrival(link.offer(at_ms(100), Direction::Up, 0));
    assert_eq!(arrival(link.offer(at_ms(50), Direction::Up, 0)), first);
}

#[test]
fn probabilities_out_of_range_are_brought_inside() {
    let disturb = Disturb { loss: Some(f64::NAN), duplicate: 7.0, ..Disturb::default() };
    let mut link = Emulator::new(LinkModel::from(named("ideal")), SEED).with_disturb(disturb);
    let Fate::Deliver(arrival) = link.offer(at_ms(0), Direction::Up, 10) else {
        panic!("NaN is no loss")
    };
    assert!(arrival.copy_at.is_some());
}

#[test]
fn a_year_long_silence_is_survived() {
    let mut link = Emulator::new(LinkModel::from(named("rural-5g-nsa-handover")), SEED);
    link.offer(at_ms(0), Direction::Up, 100);
    let year = at_ms(365 * 86_400_000);
    link.offer(year, Direction::Up, 100);
    assert_eq!(link.stats().up.offered, 2);
}

#[test]
fn a_rebase_moves_the_base_and_nothing_goes_back_in_time() {
    const KNOTS: [longhand_link::profile::Knot; 5] = quantiles(0.1, 0.2, 0.3, 0.4, 0.5);
    let jitter = Jitter { target: &KNOTS, correlation: Micros::from_millis(10), drawn: None };
    let path = Path { jitter, ..named("ideal").up };
    let rebase = Some(Rebase { p50_ms: 5.0, p90_ms: 20.0, max_ms: 50.0, span_ms: 25.0 });
    let model = leaked(Profile { up: path, down: path, rebase, ..*named("ideal") });
    let mut delays = Vec::new();
    sample(model, SEED, Micros::from_secs(600), Micros::from_millis(100), 64, |packet| {
        delays.push(packet.delay().unwrap());
    });
    let most = delays.iter().max().unwrap();
    assert!(*most > Micros::from_millis(5) && *most < Micros::from_millis(90), "{most}");
}
