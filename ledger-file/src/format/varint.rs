//! Numbers in as few bytes as they need: LEB128, and zigzag for signed ones.
//!
//! Each number has one form only: a longer one is refused, so that equal values are equal bytes.

use super::input::Malformed;

/// The most bytes that a number takes.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` to `buf`.
#[inline]
pub(crate) fn put(buf: &mut Vec<u8>, value: u64) {
    match value {
        0..0x80 => buf.push(value as u8),
        0x80..WORD_MAX => put_word(buf, value),
        WORD_MAX.. => put_long(buf, value),
    }
}

/// From here on a number takes more than eight bytes.
const WORD_MAX: u64 = 1 << 56;

/// Spreads the number over a word, seven bits a byte, and takes as many bytes of that as it needs: without a loop.
fn put_word(buf: &mut Vec<u8>, value: u64) {
    let value = value & 0x0FFF_FFFF | (value & 0x00FF_FFFF_F000_0000) << 4;
    let value = value & 0x0000_3FFF_0000_3FFF | (value & 0x0FFF_C000_0FFF_C000) << 2;
    let value = value & 0x007F_007F_007F_007F | (value & 0x3F80_3F80_3F80_3F80) << 1;
    let last = value.ilog2() / 8;
    let others = (1 << (8 * last)) - 1;
    let len = buf.len() + last as usize + 1;
    buf.extend_from_slice(&(value | 0x8080_8080_8080_8080 & others).to_le_bytes());
    buf.truncate(len);
}

#[cold]
fn put_long(buf: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buf.push(value as u8 | 0x80);
        value >>= 7;
    }
    buf.push(value as u8);
}

/// Appends `value` to `buf`; small ones of either sign are short.
#[inline]
pub(crate) fn put_signed(buf: &mut Vec<u8>, value: i64) {
    put(buf, zigzag(value));
}

/// Reads the number at the front of `bytes`, and tells how many bytes it took.
///
/// # Errors
/// The bytes end within it, or it is longer than it need be, or larger than 64 bits.
#[inline]
pub(crate) fn get(bytes: &[u8]) -> Result<(u64, usize), Malformed> {
    match bytes.first() {
        Some(&byte) if byte < 0x80 => Ok((u64::from(byte), 1)),
        _ => get_long(bytes),
    }
}

fn get_long(bytes: &[u8]) -> Result<(u64, usize), Malformed> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            let is_too_large = index == VARINT_BYTES_MAX - 1 && byte > 1;
            let is_overlong = byte == 0 && index > 0;
            if is_too_large || is_overlong {
                return Err(Malformed("a number is not in its only form"));
            }
            return Ok((value, index + 1));
        }
    }
    Err(Malformed("a number does not end"))
}

/// The unsigned number that stands for `value`.
#[inline]
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The signed number that `value` stands for.
#[inline]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut buf = Vec::new();
        put(&mut buf, value);
        buf
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value: u64, shift in 0..64u32, behind: Vec<u8>) {
            let value = value >> shift;
            let mut bytes = encoded(value);
            let len = bytes.len();
            bytes.extend(behind);
            prop_assert_eq!(get(&bytes).unwrap(), (value, len));
        }

        #[test]
        fn every_signed_number_comes_back(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }

        #[test]
        fn whatever_is_read_is_in_its_only_form(bytes: Vec<u8>) {
            if let Ok((value, used)) = get(&bytes) {
                prop_assert_eq!(encoded(value), &bytes[..used]);
            }
        }
    }

    #[test]
    fn numbers_around_each_length_come_back_in_as_few_bytes_as_they_need() {
        for bytes in 1..VARINT_BYTES_MAX {
            let least = 1 << (7 * bytes);
            assert_eq!(encoded(least - 1).len(), bytes);
            assert_eq!(encoded(least).len(), bytes + 1);
            assert_eq!(get(&encoded(least - 1)).unwrap().0, least - 1);
            assert_eq!(get(&encoded(least)).unwrap().0, least);
        }
    }

    #[test]
    fn the_largest_takes_ten_bytes() {
        assert_eq!(encoded(u64::MAX).len(), VARINT_BYTES_MAX);
        assert_eq!(get(&encoded(u64::MAX)).unwrap().0, u64::MAX);
    }

    #[test]
    fn longer_forms_and_larger_numbers_are_refused() {
        assert!(get(&[0x80, 0x00]).is_err());
        assert!(get(&[0xFF; 9]).is_err(), "does not end");
        assert!(get(&[0x80; 11]).is_err(), "does not end in time");
        let mut too_large = [0xFF; 10];
        too_large[9] = 0x02;
        assert!(get(&too_large).is_err());
    }
}
