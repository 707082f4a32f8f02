//! Eight bytes looked at as one number: keys and most texts are too short for anything wider.

/// A byte's place in every byte of a word.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// The bit that answers for its byte.
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Whether something in `text` must be escaped in JSON.
pub(crate) fn has_special(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return text.iter().any(|byte| is_special(*byte));
    };
    let (words, _in_last) = text.as_chunks();
    let before = words.iter().fold(0, |any, word| any | special_in(*word));
    before | special_in(*last) != 0
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Not zero if one of the bytes [is special](is_special).
fn special_in(word: [u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(word);
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, b' ') | is(b'"') | is(b'\\')
}

/// Where the first zero is.
#[inline]
pub(crate) fn first_zero(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (number, word) in words.iter().enumerate() {
        let zeros = below(u64::from_le_bytes(*word), 1);
        if zeros != 0 {
            return Some(number * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let place = rest.iter().position(|byte| *byte == 0)?;
    Some(words.len() * 8 + place)
}

/// Not zero if one of the bytes is below `bound`, which is 128 at the most; the lowest bit is that of the lowest such byte.
fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_in_every_place() {
        for length in 1..20 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    assert_eq!(has_special(&text), is_special(byte), "{byte} at {place}");
                    assert_eq!(first_zero(&text), (byte == 0).then_some(place));
                }
            }
        }
    }

    #[test]
    fn of_several_zeros_the_first_is_found_whatever_follows_it() {
        for place in 0..20 {
            for byte in 0..=u8::MAX {
                let text = [vec![1; place], vec![0, byte, 0, 1]].concat();
                assert_eq!(first_zero(&text), Some(place), "{byte}");
            }
        }
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert!(!has_special(b""));
        assert_eq!(first_zero(b""), None);
    }
}
