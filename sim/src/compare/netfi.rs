//! The link models of NetFI, UVA's network fault injector for telesurgery.
//!
//! Knows: when a packet arrives, if it does. Does not know: what it says.
//!
//! Source: UVA-DSA/telesurgery-qos-analysis@b47a9fe and arXiv 2603.06824, as read:
//! - delay: a lower bound, and a mixture of two exponentials above it, weights and rates per
//!   millisecond given (means 100, 300, 500 ms);
//! - loss of 10, 30, 50 %: two states with Pareto dwell times, 0.95/0.05 and 0.9/0.1;
//!   alpha 3.8 to 5, scale 0.27 to 6 ms;
//! - loss of communication: every 8500, 1000, 1000 ms, of U(0, 3000), U(0, 1000), U(0, 2000) ms.
//!
//! Every packet draws its own delay, so packets overtake one another; the source as read keeps no
//! order. Where it leaves a parameter open, ours is marked "chosen".

use crate::attack::in_world::trial::Dice;
use longhand_protocol::units::Micros;

/// What a condition does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Nothing.
    Normal,
    /// Loses this share of packets, in bursts.
    Loss {
        /// The share.
        share: f64,
    },
    /// Delays every packet by a bound and a draw above it.
    Delay {
        /// The least, ms.
        least_ms: f64,
        /// How probable each exponential is.
        weights: [f64; 2],
        /// The rate of each, per ms.
        rates: [f64; 2],
    },
    /// Is gone for up to `most_ms`, then there for `between_ms`.
    Outage {
        /// The longest outage, ms.
        most_ms: f64,
        /// From the end of one to the beginning of the next, ms.
        between_ms: f64,
    },
}

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// NetFI's name for it.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// So far away that only a satellite profile allows it.
    pub is_far: bool,
}

const fn condition(name: &'static str, kind: Kind, is_far: bool) -> Condition {
    Condition { name, kind, is_far }
}

const fn delay(least_ms: f64, weights: [f64; 2], rates: [f64; 2]) -> Kind {
    Kind::Delay { least_ms, weights, rates }
}

const fn outage(most_ms: f64, between_ms: f64) -> Kind {
    Kind::Outage { most_ms, between_ms }
}

/// NetFI's conditions.
pub const CONDITIONS: [Condition; 10] = [
    condition("normal", Kind::Normal, false),
    condition("loss 10 %", Kind::Loss { share: 0.1 }, false),
    condition("loss 30 %", Kind::Loss { share: 0.3 }, false),
    condition("loss 50 %", Kind::Loss { share: 0.5 }, false),
    condition("delay 100 ms", delay(70.0, [0.72645, 0.27355], [0.02711, 0.08529]), false),
    condition("delay 300 ms", delay(210.0, [0.89258, 0.10742], [0.01081, 0.01624]), true),
    condition("delay 500 ms", delay(406.0, [0.89574, 0.10426], [0.01025, 0.01551]), true),
    condition("comm loss 10 %", outage(3_000.0, 8_500.0), false),
    condition("comm loss 30 %", outage(1_000.0, 1_000.0), false),
    condition("comm loss 50 %", outage(2_000.0, 1_000.0), false),
];

/// The shape of both dwell times. Source: alpha 3.8 to 5; chosen: its middle.
const ALPHA: f64 = 4.4;
/// The scale of the lossy state's dwell time, ms. Source: 0.27 to 6; chosen: 3, so that bursts are
/// of several packets at 1 kHz.
const SCALE_MS: f64 = 3.0;

/// A condition at work.
pub struct Netfi {
    kind: Kind,
    dice: Dice,
    bad: bool,
    until: Micros,
}

impl Netfi {
    /// The condition, its weather by the seed.
    pub fn new(condition: &Condition, seed: u64) -> Self {
        Self {
            kind: condition.kind,
            dice: Dice::new(seed, 0x4e7f),
            bad: false,
            until: Micros::ZERO,
        }
    }

    /// When a packet that sets out at `at` arrives; `None` where it is lost. Times must not fall.
    pub fn fate(&mut self, at: Micros) -> Option<Micros> {
        match self.kind {
            Kind::Normal => Some(at),
            Kind::Loss { share } => {
                let stay = self.pareto();
                // Mean dwell times stand to each other as loss to delivery does.
                let good = stay * (1.0 - share) / share;
                self.turn(at, stay, good);
                (!self.bad).then_some(at)
            }
            Kind::Outage { most_ms, between_ms } => {
                let gone = self.dice.between(0.0, most_ms);
                self.turn(at, gone, between_ms);
                (!self.bad).then_some(at)
            }
            Kind::Delay { least_ms, weights: [first, _], rates: [quick, slow] } => {
                let rate = if self.dice.chance(first) { quick } else { slow };
                let above = -libm::log(1.0 - self.dice.unit()) / rate;
                Some(at.saturating_add(Micros::from_secs_f64((least_ms + above) * 1e-3)))
            }
        }
    }

    /// From good to bad and back, whenever the time in a state is over. It begins good.
    fn turn(&mut self, at: Micros, bad_ms: f64, good_ms: f64) {
        if self.until == Micros::ZERO {
            self.until = at.saturating_add(Micros::from_secs_f64(good_ms * 1e-3));
        } else if at >= self.until {
            self.bad = !self.bad;
            let ms = if self.bad { bad_ms } else { good_ms };
            self.until = self.until.saturating_add(Micros::from_secs_f64(ms * 1e-3));
        }
    }

    fn pareto(&mut self) -> f64 {
        SCALE_MS / libm::pow(1.0 - self.dice.unit(), 1.0 / ALPHA)
    }
}

#[cfg(test)]
mod tests {
    use super::{CONDITIONS, Kind, Netfi};
    use longhand_protocol::units::Micros;

    /// The means that the source gives come out of the parameters that it gives.
    #[test]
    fn shares_and_means_are_the_sources() {
        for condition in &CONDITIONS {
            let mut link = Netfi::new(condition, 7);
            let (mut lost, mut delay_ms) = (0.0, 0.0);
            let many = 300_000_u32;
            for ms in 0..many {
                let at = Micros::from_millis(u64::from(ms));
                match link.fate(at) {
                    None => lost += 1.0,
                    Some(due) => delay_ms += due.saturating_sub(at).as_millis_f64(),
                }
            }
            let (lost, delay_ms) = (lost / f64::from(many), delay_ms / f64::from(many));
            match condition.kind {
                Kind::Normal => assert!(lost <= 0.0 && delay_ms <= 0.0),
                Kind::Loss { share } => {
                    assert!((lost - share).abs() < 0.02, "{}: {lost}", condition.name);
                }
                Kind::Delay { least_ms, .. } => {
                    let mean = if least_ms < 100.0 {
                        100.0
                    } else if least_ms < 300.0 {
                        300.0
                    } else {
                        500.0
                    };
                    assert!((delay_ms - mean).abs() < 5.0, "{}: {delay_ms}", condition.name);
                }
                Kind::Outage { most_ms, between_ms } => {
                    let share = most_ms / 2.0 / (most_ms / 2.0 + between_ms);
                    assert!((lost - share).abs() < 0.05, "{}: {lost}", condition.name);
                }
            }
        }
    }
}
