//! CDR, as ROS 2 writes it: little endian, aligned from behind the four bytes of its head.
//!
//! Knows: how numbers and words are laid out. Does not know: messages.

/// A message as it grows.
#[derive(Debug)]
pub struct Cdr(Vec<u8>);

/// Version 1, plain, little endian. Source: DDS-XTypes 1.3, section 7.6.2.1.2.
const HEAD: [u8; 4] = [0, 1, 0, 0];

impl Default for Cdr {
    fn default() -> Self {
        Self(HEAD.to_vec())
    }
}

impl Cdr {
    /// The bytes.
    pub fn done(self) -> Vec<u8> {
        self.0
    }

    /// `uint8`, `byte` and `bool`.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// `uint32`, and the length of a sequence.
    pub fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    /// `float64`.
    pub fn f64(&mut self, value: f64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    /// `string`: its length counts the zero behind it.
    pub fn string(&mut self, words: &str) {
        self.u32(u32::try_from(words.len()).unwrap_or(0).saturating_add(1));
        self.0.extend(words.bytes());
        self.0.push(0);
    }

    /// `float64[]`.
    pub fn f64s(&mut self, values: &[f64]) {
        self.u32(u32::try_from(values.len()).unwrap_or(0));
        values.iter().for_each(|value| self.f64(*value));
    }

    fn align(&mut self, to: usize) {
        while !self.0.len().saturating_sub(HEAD.len()).is_multiple_of(to) {
            self.0.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_at_a_multiple_of_its_size_behind_the_head() {
        let mut cdr = Cdr::default();
        cdr.string("ab");
        cdr.u8(7);
        cdr.f64(1.0);
        cdr.u32(9);
        let expected = [
            &[0, 1, 0, 0][..],
            &[3, 0, 0, 0, b'a', b'b', 0],
            &[7],
            &1.0_f64.to_le_bytes(),
            &[9, 0, 0, 0],
        ]
        .concat();
        assert_eq!(cdr.done(), expected);
        let mut none = Cdr::default();
        none.f64s(&[]);
        assert_eq!(none.done().len(), 8, "nothing follows the length of an empty sequence");
    }
}
