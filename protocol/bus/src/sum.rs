//! The two checksums.
//!
//! Knows: how to sum bytes. Does not know: which bytes of a frame are summed.

/// CRC-16/UMTS: polynomial 0x8005, first value 0, nothing reflected, nothing added.
/// Source: ROBOTIS e-manual, "CRC"; `updateCRC` of its SDK. Goes on from `register`.
pub(crate) fn crc16(mut register: u16, bytes: &[u8]) -> u16 {
    for byte in bytes {
        register ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            let carry = register & 0x8000 != 0;
            register = (register << 1) ^ if carry { 0x8005 } else { 0 };
        }
    }
    register
}

/// Feetech's: every byte from the number on, summed, and each bit turned over.
/// Source: `txPacket` of its SDK.
pub(crate) fn inverted_sum(bytes: &[u8]) -> u8 {
    !bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc::{CRC_16_UMTS, Crc};
    use proptest::prelude::*;

    #[test]
    fn nine_digits_give_the_catalogue_check_value() {
        assert_eq!(crc16(0, b"123456789"), 0xfee8);
    }

    proptest! {
        #[test]
        fn any_bytes_sum_as_the_crc_crate_sums_them_in_one_go_or_in_two(
            bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200,
        ) {
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            let whole = Crc::<u16>::new(&CRC_16_UMTS).checksum(&bytes);
            prop_assert_eq!(crc16(0, &bytes), whole);
            prop_assert_eq!(crc16(crc16(0, front), back), whole);
        }
    }
}
