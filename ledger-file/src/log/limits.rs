//! Sizes beyond which records that borrow are refused: the same rules that `Limits` has for owned batches.

use ledger_core::{Condition, Error, Limits, Result, StreamName, TextMap};

use crate::format::NewRecord;

/// Checks everything about records that are to be appended as one.
#[inline]
pub(super) fn check_records(
    limits: &Limits,
    stream: &StreamName,
    records: &[NewRecord<'_>],
    condition: Option<&Condition<u64>>,
) -> Result<()> {
    limits.check_stream_name(stream)?;
    let count = records.len();
    within("entries in a batch", count, limits.batch_entries_max)?;
    let mut bytes = 0;
    for record in records {
        bytes += check_record(limits, record)?;
    }
    if let Some(condition) = condition {
        limits.check_filter(&condition.filter)?;
    }
    within("bytes in a batch", bytes, limits.batch_bytes_max)
}

/// Checks one record and tells its size.
#[inline]
fn check_record(limits: &Limits, record: &NewRecord<'_>) -> Result<usize> {
    if record.schema_version == 0 {
        return Err(Error::InvalidInput {
            reason: "schema versions start at 1".into(),
        });
    }
    let payload = record.payload.len();
    within("bytes in a payload", payload, limits.payload_bytes_max)?;
    let len = |text: Option<&str>| text.map_or(0, str::len);
    let texts = [
        ("bytes in a content type", record.content_type.len()),
        ("bytes in a kind", len(record.kind)),
        ("bytes in an order key", len(record.order_key)),
        ("bytes in a dedup key", len(record.dedup_key)),
    ];
    let bytes = texts.iter().map(|(_, len)| len).sum::<usize>();
    if bytes > limits.key_bytes_max {
        // Together: so one of them may be too long.
        for (what, len) in texts {
            within(what, len, limits.key_bytes_max)?;
        }
    }
    let bytes = payload + bytes;
    if record.metadata.is_empty() && record.tags.is_empty() {
        return Ok(bytes);
    }
    let metadata = text_bytes(record.metadata);
    within("bytes in metadata", metadata, limits.metadata_bytes_max)?;
    Ok(bytes + metadata + limits.check_tags(record.tags)?)
}

fn text_bytes(pairs: &TextMap) -> usize {
    let sizes = pairs.iter().map(|(key, value)| key.len() + value.len());
    sizes.sum()
}

#[inline]
fn within(limit: &'static str, size: usize, max: usize) -> Result<()> {
    if size <= max {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        limit,
        size: size as u64,
        max: max as u64,
    })
}

#[cfg(test)]
mod tests {
    use ledger_core::{Batch, NewEntry, Payload};

    use super::*;

    fn entries() -> Vec<NewEntry> {
        let plain = |bytes: usize| NewEntry::new(Payload::octets(vec![7; bytes]));
        let long = "k".repeat(20);
        vec![
            plain(0),
            plain(100),
            plain(101),
            plain(1).kind(&long),
            plain(1).order_key(&long),
            plain(1).dedup_key(&long),
            plain(1).tag(&long),
            plain(1).metadata("a", &long).metadata("b", &long),
            plain(1).schema_version(0),
        ]
    }

    /// Errors have no equality, and their text says everything.
    fn told(result: Result<()>) -> Option<String> {
        result.err().map(|error| error.to_string())
    }

    #[test]
    fn records_are_refused_exactly_as_owned_entries_are() {
        let mut limits = Limits::default();
        limits.payload_bytes_max = 100;
        limits.key_bytes_max = 30;
        limits.metadata_bytes_max = 30;
        limits.batch_bytes_max = 150;
        limits.batch_entries_max = 3;
        for key_bytes_max in [10, 30] {
            limits.key_bytes_max = key_bytes_max;
            for entry in entries() {
                for count in 1..5 {
                    let batch = Batch::<u64>::new("s", vec![entry.clone(); count]);
                    let records: Vec<_> = batch.entries.iter().map(NewRecord::from).collect();
                    let checked = check_records(&limits, &batch.stream, &records, None);
                    assert_eq!(
                        told(checked),
                        told(limits.check_batches(std::slice::from_ref(&batch)))
                    );
                }
            }
        }
    }
}
