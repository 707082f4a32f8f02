//! Numbers that nobody can foresee.

use mongodb::bson::Uuid;

/// The bits of a random UUID that are random, next to each other.
const BITS: u32 = 62;

/// A positive number, as good as unique: the number of a new stream.
pub(crate) fn number() -> i64 {
    let [.., a, b, c, d, e, f, g, h] = Uuid::new().bytes();
    let number = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    number & ((1 << BITS) - 1)
}

/// A number from zero to one.
#[expect(
    clippy::cast_precision_loss,
    reason = "a few bits of it are more than enough"
)]
pub(crate) fn fraction() -> f64 {
    number() as f64 / (1_i64 << BITS) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positive_and_differ() {
        let numbers: std::collections::HashSet<_> = (0..1_000).map(|_| number()).collect();
        assert!(numbers.len() == 1_000 && numbers.iter().all(|number| *number >= 0));
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&fraction())));
    }
}
