//! A small seeded generator: where a ring lies on its peg, how far a hand misses.
//!
//! Knows: numbers. Does not know: what they are for. Every draw is integer work and one division,
//! so that it is the same on every machine. Source: Steele, Lea, Flood, "Fast splittable
//! pseudorandom number generators", OOPSLA 2014 (SplitMix64).

/// A generator.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The generator of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in -1 to 1.
    pub fn draw(&mut self) -> f64 {
        let word = u32::try_from(self.bits() >> 32).unwrap_or(u32::MAX);
        f64::from(word) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    /// About normal, of deviation one, never beyond three and a half: twelve draws added. Chosen:
    /// no logarithm, and no tail, which no hand has either.
    pub fn about_normal(&mut self) -> f64 {
        // Each draw has variance 1/3; twelve have 4.
        (0..12).map(|_| self.draw()).sum::<f64>() / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn draws_have_the_deviation_they_say() {
        let mut dice = Dice::new(7);
        let many = 20_000;
        let draws: Vec<f64> = (0..many).map(|_| dice.about_normal()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(many);
        let var = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(many);
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "{mean} {var}");
        assert_ne!(Dice::new(1).bits(), Dice::new(2).bits());
    }
}
