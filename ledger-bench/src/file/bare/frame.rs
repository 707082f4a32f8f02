//! Frames: `length u32, CRC-32C u32`, then records, each behind its length as a varint. A length of 0 is the end.

use ledger_lap::Result;

const HEAD: usize = 8;

/// Appends a frame of `records` to `out`.
pub(super) fn encode(records: &[&[u8]], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; HEAD]);
    for record in records {
        push_varint(record.len(), out);
        out.extend_from_slice(record);
    }
    seal(&mut out[start..]);
}

/// Writes length and checksum in front of what is in `frame`.
fn seal(frame: &mut [u8]) {
    let (head, body) = frame.split_at_mut(HEAD);
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
}

/// Shows all records of all frames.
///
/// # Errors
/// If a checksum is wrong.
pub(super) fn decode(mut bytes: &[u8], mut visit: impl FnMut(&[u8])) -> Result<()> {
    while let Some((body, rest)) = split_frame(bytes)? {
        let mut records = body;
        while !records.is_empty() {
            let (record, behind) = split_record(records).ok_or("a record is cut")?;
            visit(record);
            records = behind;
        }
        bytes = rest;
    }
    Ok(())
}

/// The first frame's records and what is behind it, unless this is the end.
fn split_frame(bytes: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let (length, checksum) = (
        u32::from_le_bytes([l0, l1, l2, l3]) as usize,
        u32::from_le_bytes([c0, c1, c2, c3]),
    );
    if length == 0 {
        return Ok(None);
    }
    let (body, rest) = rest.split_at_checked(length).ok_or("a frame is cut")?;
    match crc32c::crc32c(body) == checksum {
        true => Ok(Some((body, rest))),
        false => Err("a checksum is wrong".into()),
    }
}

/// The first record and what is behind it.
pub(super) fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut used) = (0, 0);
    loop {
        let byte = *bytes.get(used)?;
        length |= usize::from(byte & 0x7f) << (7 * used);
        used += 1;
        if byte < 0x80 {
            return bytes[used..].split_at_checked(length);
        }
    }
}

/// How many bytes the length of a record takes.
pub(super) fn varint_bytes(length: usize) -> usize {
    (length.max(1).ilog2() / 7 + 1) as usize
}

/// How far the first record of a frame is from its start.
pub(super) const FIRST_RECORD: usize = HEAD;

fn push_varint(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut records = Vec::new();
        decode(bytes, |record| records.push(record.to_vec()))?;
        Ok(records)
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let (long, mut bytes) = ([7; 1_000], Vec::new());
        encode(&[b"a", b"", &long], &mut bytes);
        encode(&[b"b"], &mut bytes);
        bytes.extend([0; 100]);
        assert_eq!(
            decoded(&bytes).unwrap(),
            [b"a".to_vec(), vec![], long.to_vec(), b"b".to_vec()]
        );
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut bytes = Vec::new();
        encode(&[b"record"], &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decoded(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
