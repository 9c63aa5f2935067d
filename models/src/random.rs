//! Random numbers that are the same with every version of every library.

/// SplitMix64 (Steele, Lea and Flood 2014): the state only counts on, so any later number can be computed at once.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(pub(crate) u64);

/// What the state grows by with each number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator as it is after `numbers` more.
    pub(crate) fn ahead(&self, numbers: u64) -> Self {
        Self(self.0.wrapping_add(STEP.wrapping_mul(numbers)))
    }

    fn bits(&mut self) -> u64 {
        *self = self.ahead(1);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in −1..1.
    pub(crate) fn symmetric(&mut self) -> f32 {
        2.0 * self.unit() - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumping_ahead_equals_drawing() {
        let mut drawn = SplitMix64(7);
        (0..1000).for_each(|_| _ = drawn.bits());
        assert_eq!(SplitMix64(7).ahead(1000).bits(), drawn.bits());
    }

    #[test]
    fn numbers_fill_their_range() {
        let mut random = SplitMix64(1);
        let numbers: Vec<f32> = (0..10_000).map(|_| random.symmetric()).collect();
        assert!(numbers.iter().all(|number| (-1.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
        let variance = numbers.iter().map(|number| number * number).sum::<f32>() / numbers.len() as f32;
        assert!(mean.abs() < 0.03 && (variance - 1. / 3.).abs() < 0.02, "{mean}, {variance}");
    }
}
