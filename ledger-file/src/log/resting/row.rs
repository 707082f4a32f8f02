//! A stream at rest, in as few bytes as its numbers need.

use ledger_core::Timestamp;

use crate::format::{Input, Malformed, StreamNumber, put_signed_varint, put_varint};
use crate::log::streams::StreamState;

/// Whether entries were trimmed or purged, and whether something says so.
const HAS_FIRST: u8 = 1;
const HAS_REMOVALS: u8 = 2;

/// The other bits of that byte are those of the hash, the lowest, which do not say which bucket it is.
const FLAGS: u8 = HAS_FIRST | HAS_REMOVALS;

/// Writes a row: flags, the name, the state. The time is told as its distance from `epoch`, which is shorter.
pub(super) fn encode(hash: u64, name: &str, state: &StreamState, epoch: i64, row: &mut Vec<u8>) {
    let has_first = state.first != 1 || state.bytes_removed != 0;
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let flags = flag(has_first, HAS_FIRST) | flag(state.has_removals, HAS_REMOVALS);
    row.push(hash as u8 & !FLAGS | flags);
    put_varint(row, name.len() as u64);
    row.extend_from_slice(name.as_bytes());
    for number in [state.number.0, state.head, state.bytes_appended] {
        put_varint(row, number);
    }
    put_signed_varint(row, state.recorded_at.as_micros().wrapping_sub(epoch));
    if has_first {
        put_varint(row, state.first);
        put_varint(row, state.bytes_removed);
    }
}

/// The state in a row, if it is that of the stream. A row that makes no sense is that of none.
pub(super) fn decode(row: &[u8], hash: u64, name: &str, epoch: i64) -> Option<StreamState> {
    if row.first()? & !FLAGS != hash as u8 & !FLAGS {
        return None;
    }
    let (found, rest) = split(row).ok()?;
    match found == name.as_bytes() {
        true => decode_state(row[0], rest, epoch).ok(),
        false => None,
    }
}

/// The name and the state in a row.
pub(super) fn decode_all(row: &[u8], epoch: i64) -> Option<(&str, StreamState)> {
    let (name, rest) = split(row).ok()?;
    let state = decode_state(*row.first()?, rest, epoch).ok()?;
    Some((std::str::from_utf8(name).ok()?, state))
}

/// The name in a row.
pub(super) fn name_of(row: &[u8]) -> Result<&[u8], Malformed> {
    split(row).map(|(name, _)| name)
}

/// The name, and what is behind it.
fn split(row: &[u8]) -> Result<(&[u8], Input<'_>), Malformed> {
    let mut row = Input::new(row);
    let _flags = row.u8()?;
    Ok((row.prefixed()?, row))
}

fn decode_state(flags: u8, mut row: Input<'_>, epoch: i64) -> Result<StreamState, Malformed> {
    let mut state = StreamState::new(StreamNumber(row.varint()?));
    state.head = row.varint()?;
    state.bytes_appended = row.varint()?;
    state.recorded_at = Timestamp::from_micros(row.signed()?.wrapping_add(epoch));
    state.has_removals = flags & HAS_REMOVALS != 0;
    if flags & HAS_FIRST != 0 {
        state.first = row.varint()?;
        state.bytes_removed = row.varint()?;
    }
    Ok(state)
}
