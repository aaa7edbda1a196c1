//! Goal: the true one-way delay lies inside the reported interval in every emulated case, whatever
//! two clocks do that nobody set: thousands of links and clocks drawn at random, each from a seed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test: a panic is how it fails, and it says what it measured"
)]

mod common;

use common::exact;
use longhand_qualify::measure::{FIBRE_US_PER_KM, Given, measure};
use longhand_qualify::number::real;
use longhand_qualify::slot::{Fate, Slot};

const PERIOD_US: u64 = 10_000;
const CASES: u64 = 3_000;

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From the one up to the other, both possible.
    fn within(&mut self, least: i64, most: i64) -> i64 {
        let span = u64::try_from(most - least).unwrap() + 1;
        least + i64::try_from(self.next() % span).unwrap()
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.next().is_multiple_of(many)
    }
}

/// One way: a base that changes, and weather that lasts.
struct Weather {
    base: i64,
    most: i64,
    /// How slowly it changes: of so many slots one draws anew.
    lasts: u64,
    now: i64,
    turns: Vec<(u64, i64)>,
}

impl Weather {
    fn draw(dice: &mut Dice, slots: u64) -> Self {
        let base = if dice.one_in(3) { dice.within(50, 3_000) } else { dice.within(50, 100_000) };
        let most = [0, 100, 3_000, 40_000][usize::try_from(dice.next() % 4).unwrap()];
        let lasts = [1, 10, 100][usize::try_from(dice.next() % 3).unwrap()];
        let turns = if dice.one_in(3) {
            vec![(dice.next() % slots, dice.within(0, 20_000))]
        } else {
            Vec::new()
        };
        Self { base, most, lasts, now: 0, turns }
    }

    fn delay(&mut self, dice: &mut Dice, slot: u64) -> i64 {
        if dice.one_in(self.lasts) {
            // Low values are rare, as behind a queue that hardly empties.
            self.now = dice.within(0, self.most).max(dice.within(0, self.most));
        }
        let turned = self.turns.iter().filter(|(at, _)| *at <= slot).map(|(_, by)| by);
        self.base + self.now + turned.sum::<i64>()
    }
}

/// Steps of the robot's clock: at which slot, by how much. No two within three seconds.
fn steps(dice: &mut Dice, slots: u64) -> Vec<(u64, i64)> {
    let mut all: Vec<(u64, i64)> = Vec::new();
    for _ in 0..dice.next() % 8 {
        let at = dice.next() % slots;
        let size = if dice.one_in(4) { dice.within(1, 900_000) } else { dice.within(200, 12_000) };
        let by = if dice.one_in(2) { size } else { -size };
        if all.iter().all(|(other, _)| other.abs_diff(at) * PERIOD_US > 3_000_000) {
            all.push((at, by));
        }
    }
    all
}

struct Case {
    slots: Vec<Slot>,
    up: Vec<u64>,
    down: Vec<u64>,
    given: Given,
    words: String,
}

fn case(seed: u64) -> Case {
    let mut dice = Dice(seed);
    let slots = 100 * u64::try_from(dice.within(8, 40)).unwrap();
    let mut ways = [Weather::draw(&mut dice, slots), Weather::draw(&mut dice, slots)];
    let (ppm, steps) = (dice.within(-200, 200), steps(&mut dice, slots));
    let loss = [u64::MAX, 100, 4][usize::try_from(dice.next() % 3).unwrap()];
    let hole = dice.next() % slots;
    let hole = hole..hole + dice.next() % 300;
    let least = ways[0].base.min(ways[1].base);
    // What is said of the distance is true: the way is no shorter.
    let distance_km = if dice.one_in(2) { real(u64::try_from(least).unwrap()) } else { 0.0 };
    let distance_km = distance_km / FIBRE_US_PER_KM;
    let words = format!(
        "seed {seed}: bases {} {} weather {} {}, {ppm} ppm, steps {steps:?}, {distance_km} km",
        ways[0].base, ways[1].base, ways[0].most, ways[1].most,
    );
    let ahead = |us: i64| {
        let stepped = steps.iter().filter(|(at, _)| i64::try_from(at * PERIOD_US).unwrap() <= us);
        us * ppm / 1_000_000 + stepped.map(|(_, by)| by).sum::<i64>()
    };
    let (mut all, mut up, mut down) = (Vec::new(), Vec::new(), Vec::new());
    for slot in 0..slots {
        let now = i64::try_from(slot * PERIOD_US).unwrap();
        let (to, back) = (ways[0].delay(&mut dice, slot), ways[1].delay(&mut dice, slot));
        if hole.contains(&slot) || loss < u64::MAX && dice.one_in(loss) {
            all.push(Slot::of(Fate::LostUp));
            continue;
        }
        let off = ahead(now + to);
        let fate = Fate::Back {
            up_us: i32::try_from(to + off).unwrap(),
            down_us: i32::try_from(back - off).unwrap(),
        };
        all.push(Slot::of(fate));
        up.push(u64::try_from(to).unwrap());
        down.push(u64::try_from(back).unwrap());
    }
    let given = Given { period_us: PERIOD_US, slots, distance_km, ..Given::default() };
    Case { slots: all, up, down, given, words }
}

#[test]
fn the_truth_lies_inside_in_thousands_of_random_cases() {
    let mut narrow = 0_u64;
    for seed in 1..=CASES {
        let Case { slots, mut up, mut down, given, words } = case(seed);
        let measures = measure(&slots, &given);
        for (way, truth) in [(&measures.up, &mut up), (&measures.down, &mut down)] {
            assert!(truth.len() > 50, "{words}");
            for quantile in &way.absolute.high {
                let is = exact(truth, quantile.above);
                let (low, high) = way.absolute.bounds(&quantile.name).unwrap();
                let inside = low <= is + 0.002 && high.is_none_or(|high| is <= high + 0.002);
                assert!(inside, "{} {low} <= {is} <= {high:?}: {words}", quantile.name);
            }
        }
        // An interval that is always right since it says nothing would be worth nothing: at the
        // median it is no wider than the round trip is long.
        let (low, high) = measures.up.absolute.bounds("p50").unwrap();
        let rtt = measures.rtt.quantile("p50").unwrap().ms;
        narrow += u64::from(high.is_some_and(|high| high - low < 0.95 * rtt));
    }
    eprintln!("{narrow} of {CASES} are narrower than the round trip");
    assert!(narrow * 3 > CASES, "{narrow}");
}
