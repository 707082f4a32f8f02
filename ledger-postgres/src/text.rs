//! Text as Postgres can hold it.
//!
//! Postgres refuses U+0000 in text, the contract does not. So U+0000 is stored as U+0001 U+0002, and U+0001 as
//! U+0001 U+0003; all other text is stored as it is. No two texts share a stored form, stored forms sort like the texts
//! they stand for, and each U+0001 in them stands for one byte that the text does not have.

use std::borrow::Cow;

const ESCAPE: char = '\u{1}';
const NUL: char = '\u{2}';
const ITSELF: char = '\u{3}';

/// The stored form of `text`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(0, ESCAPE as u8, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\0' => stored.extend([ESCAPE, NUL]),
            ESCAPE => stored.extend([ESCAPE, ITSELF]),
            other => stored.push(other),
        }
    }
    Cow::Owned(stored)
}

/// The text that `stored` stands for.
pub(crate) fn unescaped(stored: &str) -> Cow<'_, str> {
    if memchr::memchr(ESCAPE as u8, stored.as_bytes()).is_none() {
        return Cow::Borrowed(stored);
    }
    let mut text = String::with_capacity(stored.len());
    let mut chars = stored.chars();
    while let Some(char) = chars.next() {
        text.push(match char {
            ESCAPE if chars.next() == Some(NUL) => '\0',
            other => other,
        });
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 9] = [
        "",
        "\0",
        "\0\0",
        "\0\u{1}",
        "\u{1}",
        "\u{1}\u{2}",
        "\u{1}\u{3}",
        "\u{2}",
        "a\0b",
    ];

    #[test]
    fn every_text_comes_back() {
        for text in TEXTS {
            assert_eq!(unescaped(&escaped(text)), text);
            assert!(!escaped(text).contains('\0'));
        }
    }

    #[test]
    fn stored_forms_sort_like_their_texts() {
        for one in TEXTS {
            for other in TEXTS {
                assert_eq!(escaped(one).cmp(&escaped(other)), one.cmp(other));
            }
        }
    }

    #[test]
    fn each_escape_costs_one_byte() {
        for text in TEXTS {
            let stored = escaped(text);
            let escapes = stored.matches(ESCAPE).count();
            assert_eq!(stored.len() - escapes, text.len());
        }
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(escaped("ordinary"), Cow::Borrowed(_)));
        assert!(matches!(unescaped("ordinary"), Cow::Borrowed(_)));
    }
}
