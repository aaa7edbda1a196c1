//! Loss in time: a good and a bad state, each for as long as it lasts.
//!
//! Knows: dwell times and the chance of loss in each state. Does not know: outages.
//!
//! The states live in milliseconds, not in packets, so a burst is as long at 50 Hz as at 1 kHz.
//! Their timeline is drawn apart from the fate of single packets, which alone depends on who sends.

use longhand_protocol::units::Micros;

use super::STEP_MAX;
use crate::number::{Chance, probability};
use crate::profile::Loss;

/// The loss of one direction.
#[derive(Clone, Debug)]
pub(crate) struct LossProcess {
    model: Loss,
    states: Chance,
    packets: Chance,
    bad: bool,
    until: Micros,
}

impl LossProcess {
    /// `states` draws the timeline, `packets` the fate of each packet.
    pub(crate) fn new(model: Loss, mut states: Chance, packets: Chance) -> Self {
        let bad = match model {
            Loss::None | Loss::Random { .. } => false,
            Loss::Bursts { good, bad, .. } => {
                let both = good.saturating_add(bad).as_secs_f64();
                both > 0.0 && states.happens(bad.as_secs_f64() / both)
            }
        };
        let mut process = Self { model, states, packets, bad, until: Micros::ZERO };
        process.until = process.dwell();
        process
    }

    /// True where a packet sent at `since` the start is lost. Times must not go back.
    pub(crate) fn loses(&mut self, since: Micros) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Random { p } => self.packets.happens(probability(p)),
            Loss::Bursts { loss_in_bad, .. } => {
                self.advance(since);
                self.bad && self.packets.happens(probability(loss_in_bad))
            }
        }
    }

    fn advance(&mut self, since: Micros) {
        if since.saturating_sub(self.until) > STEP_MAX {
            self.until = since;
        }
        while self.until <= since {
            self.bad = !self.bad;
            self.until = self.until.saturating_add(self.dwell());
        }
    }

    /// How long the present state lasts; at least one microsecond, so that time moves on.
    fn dwell(&mut self) -> Micros {
        let mean = match self.model {
            Loss::None | Loss::Random { .. } => Micros::MAX,
            Loss::Bursts { good, bad, .. } => {
                if self.bad {
                    bad
                } else {
                    good
                }
            }
        };
        let drawn = Micros::from_secs_f64(self.states.exponential(mean.as_secs_f64()));
        drawn.max(Micros::from_micros(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::float;

    /// 6 h at 1 kHz of the Beijing-Sanya figures: about 14 000 bad spells, so 1 % of sampling
    /// error.
    #[test]
    fn dwell_times_and_loss_have_the_means_asked_for() {
        let model = Loss::Bursts {
            good: Micros::from_millis(1_500),
            bad: Micros::from_millis(40),
            loss_in_bad: 0.45,
        };
        let mut process = LossProcess::new(model, Chance::new(3, 1), Chance::new(3, 2));
        let (mut lost, mut bad_ms, mut spells, mut was_bad) = (0_u64, 0_u64, 0_u64, process.bad);
        for ms in 0..21_600_000 {
            lost += u64::from(process.loses(Micros::from_millis(ms)));
            bad_ms += u64::from(process.bad);
            spells += u64::from(process.bad && !was_bad);
            was_bad = process.bad;
        }
        let share = float(lost) / 21_600_000.0;
        assert!((share / model.mean() - 1.0).abs() < 0.03, "loss {share} wants {}", model.mean());
        // Spells shorter than 1 ms can fall between two questions: 40 ms of mean loses 1 in 80.
        let dwell = float(bad_ms) / float(spells);
        assert!((dwell / 40.0 - 1.0).abs() < 0.04, "mean bad dwell {dwell} ms");
    }

    #[test]
    fn random_loss_has_its_share_at_every_rate() {
        for p in [0.01, 0.1, 0.5] {
            let mut process =
                LossProcess::new(Loss::Random { p }, Chance::new(5, 1), Chance::new(5, 2));
            let lost: u64 = (0..1_000_000).map(|_| u64::from(process.loses(Micros::ZERO))).sum();
            assert!((float(lost) / 1e6 / p - 1.0).abs() < 0.03, "p {p} gave {lost}");
        }
    }
}
