//! Encoding the values of a batch.
//!
//! All of a batch's values are encoded into one buffer, which its payloads then share: one allocation, not one or two
//! an entry.

use std::ops::Range;

use bytes::Bytes;

use super::Stream;
use crate::codec::Codec;
use crate::entry::NewEntry;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::payload::Payload;

/// What most events fit in.
const EVENT_BYTES: usize = 256;

/// Encodes entries, with the stream's schema version and, unless they have a kind, the kinds of their values.
pub(super) fn encode<I: Id, T, C: Codec<T>>(
    stream: &Stream<I, T, C>,
    entries: impl Iterator<Item = NewEntry<T>>,
) -> Result<Vec<NewEntry>> {
    let mut buffer = Vec::with_capacity(EVENT_BYTES);
    let encoded = entries.map(|entry| encode_one(stream, entry, &mut buffer));
    let encoded = encoded.collect::<Result<Vec<_>>>()?;
    let (bytes, content_type) = (Bytes::from(buffer), stream.codec.content_type());
    let payload = |range: Range<usize>| Payload::new(bytes.slice(range), content_type.clone());
    Ok(encoded
        .into_iter()
        .map(|entry| entry.map(payload))
        .collect())
}

/// Encodes an entry, and tells where in the buffer its value is.
fn encode_one<I: Id, T, C: Codec<T>>(
    stream: &Stream<I, T, C>,
    mut entry: NewEntry<T>,
    buffer: &mut Vec<u8>,
) -> Result<NewEntry<Range<usize>>> {
    if let (Some(kind_of), None) = (stream.kind_of, &entry.kind) {
        entry.kind = Some(kind_of(&entry.value).to_owned());
    }
    entry.schema_version = stream.chain.version();
    let start = buffer.len();
    let encoded = stream.codec.encode(&entry.value, buffer);
    encoded.map_err(|source| Error::Encode {
        stream: stream.name.clone(),
        source,
    })?;
    Ok(entry.map(|_value| start..buffer.len()))
}
