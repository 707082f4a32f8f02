//! Payloads that are stored compressed.

use super::input::Malformed;

/// LZ4 cannot say more than this with one byte. A stored length beyond it is a lie, found before space is made for it.
const EXPANSION_MAX: u64 = 255;

/// A payload as an LZ4 block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) block: Vec<u8>,
    pub(crate) payload_bytes: u64,
}

impl Compressed {
    /// Compresses `payload`; none if that does not make it smaller.
    pub(crate) fn lz4(payload: &[u8]) -> Option<Self> {
        let block = lz4_flex::block::compress(payload);
        (block.len() < payload.len()).then_some(Self {
            block,
            payload_bytes: payload.len() as u64,
        })
    }
}

/// Gives back the payload of `payload_bytes` that `block` was made from.
///
/// # Errors
/// The block is damaged, or does not hold that many bytes.
pub(crate) fn decompress(block: &[u8], payload_bytes: u64) -> Result<Vec<u8>, Malformed> {
    let is_possible = payload_bytes <= EXPANSION_MAX * block.len() as u64;
    let size = usize::try_from(payload_bytes).ok().filter(|_| is_possible);
    let size = size.ok_or(Malformed(
        "a compressed payload is too short for its length",
    ))?;
    let payload = lz4_flex::block::decompress(block, size)
        .map_err(|_| Malformed("a compressed payload is damaged"))?;
    if payload.len() != size {
        return Err(Malformed("a compressed payload has another length"));
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_payload_comes_back(part: Vec<u8>, repeat in 0..2_000usize) {
            let payload = part.repeat(repeat);
            if let Some(compressed) = Compressed::lz4(&payload) {
                prop_assert_eq!(decompress(&compressed.block, compressed.payload_bytes).unwrap(), payload);
            }
        }

        #[test]
        fn any_block_is_a_payload_or_an_error(block: Vec<u8>, payload_bytes in 0..100_000u64) {
            if let Ok(payload) = decompress(&block, payload_bytes) {
                prop_assert_eq!(payload.len() as u64, payload_bytes);
            }
        }
    }

    #[test]
    fn zeroes_compress_as_far_as_anything_can() {
        let payload = vec![0; 16 << 20];
        let compressed = Compressed::lz4(&payload).unwrap();
        assert_eq!(decompress(&compressed.block, 16 << 20).unwrap(), payload);
    }

    #[test]
    fn noise_stays_as_it_is() {
        let noise: Vec<u8> = (0..100u32).map(|i| (i * i * 31 + i * 7) as u8).collect();
        assert_eq!(Compressed::lz4(&noise), None);
    }

    #[test]
    fn an_impossible_length_is_refused_before_space_is_made() {
        assert!(decompress(&[0; 10], u64::MAX).is_err());
        assert!(decompress(&[0; 10], 1 << 40).is_err());
    }
}
