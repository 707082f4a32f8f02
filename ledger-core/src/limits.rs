//! Sizes beyond which a store refuses, checked before anything is written.

use std::collections::BTreeSet;

use crate::batch::Batch;
use crate::entry::{NewEntry, TextMap};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::name::StreamName;

/// The sizes beyond which a store refuses. Bytes are bytes of UTF-8, or of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Of a stream's or a checkpoint's name. Default: 512.
    pub name_bytes_max: usize,
    /// Of an order key, dedup key, kind, content type or single tag. Default: 512.
    pub key_bytes_max: usize,
    /// Of a payload. Default: 16 MiB.
    pub payload_bytes_max: usize,
    /// Of an entry's metadata, keys and values together; the same again for its tags, and for its annotations.
    /// Default: 64 KiB.
    pub metadata_bytes_max: usize,
    /// Of a checkpoint's value. Default: 1 MiB.
    pub checkpoint_bytes_max: usize,
    /// Entries in a batch, or in several batches appended as one. Default: 10,000.
    pub batch_entries_max: usize,
    /// Of everything in a batch, or in several batches appended as one. Default: 64 MiB.
    pub batch_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes_max: 512,
            key_bytes_max: 512,
            payload_bytes_max: 16 << 20,
            metadata_bytes_max: 64 << 10,
            checkpoint_bytes_max: 1 << 20,
            batch_entries_max: 10_000,
            batch_bytes_max: 64 << 20,
        }
    }
}

impl Limits {
    /// Checks everything about batches that are to be appended as one. For stores: the first thing an append does.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] or [`Error::InvalidInput`].
    pub fn check_batches<I>(&self, batches: &[Batch<I>]) -> Result<()> {
        self.check_streams(batches)?;
        let count = batches.iter().map(|batch| batch.entries.len()).sum();
        within("entries in a batch", count, self.batch_entries_max)?;
        let mut bytes = 0;
        for batch in batches {
            for entry in &batch.entries {
                bytes += self.check_entry(entry)?;
            }
            if let Some(condition) = &batch.condition {
                self.check_filter(&condition.filter)?;
            }
        }
        within("bytes in a batch", bytes, self.batch_bytes_max)
    }

    fn check_streams<I>(&self, batches: &[Batch<I>]) -> Result<()> {
        let mut seen = BTreeSet::new();
        for batch in batches {
            self.check_stream_name(&batch.stream)?;
            if batches.len() > 1 && !seen.insert(&batch.stream) {
                return Err(Error::InvalidInput {
                    reason: format!("stream {:?} is named twice", batch.stream),
                });
            }
        }
        Ok(())
    }

    /// Checks one entry and tells its size.
    fn check_entry(&self, entry: &NewEntry) -> Result<usize> {
        if entry.schema_version == 0 {
            return Err(Error::InvalidInput {
                reason: "schema versions start at 1".into(),
            });
        }
        let payload = entry.value.bytes.len();
        within("bytes in a payload", payload, self.payload_bytes_max)?;
        let content_type = self.check_key(
            "bytes in a content type",
            Some(entry.value.content_type.as_str()),
        )?;
        let kind = self.check_key("bytes in a kind", entry.kind.as_deref())?;
        let order_key = self.check_key("bytes in an order key", entry.order_key.as_deref())?;
        let dedup_key = self.check_key("bytes in a dedup key", entry.dedup_key.as_deref())?;
        let metadata = self.check_metadata(&entry.metadata)?;
        let tags = self.check_tags(&entry.tags)?;
        Ok(payload + content_type + kind + order_key + dedup_key + metadata + tags)
    }

    fn check_key(&self, what: &'static str, key: Option<&str>) -> Result<usize> {
        let bytes = key.map_or(0, str::len);
        within(what, bytes, self.key_bytes_max)?;
        Ok(bytes)
    }

    fn check_metadata(&self, metadata: &TextMap) -> Result<usize> {
        let bytes = text_bytes(metadata);
        within("bytes in metadata", bytes, self.metadata_bytes_max)?;
        Ok(bytes)
    }

    /// Checks a stream's name.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] or [`Error::InvalidInput`].
    pub fn check_stream_name(&self, name: &StreamName) -> Result<()> {
        self.check_name("stream", name.as_str())
    }

    /// Checks a checkpoint's name.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] or [`Error::InvalidInput`].
    pub fn check_checkpoint_name(&self, name: &str) -> Result<()> {
        self.check_name("checkpoint", name)
    }

    fn check_name(&self, whose: &'static str, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::InvalidInput {
                reason: format!("the name of the {whose} is empty"),
            });
        }
        within("bytes in a name", name.len(), self.name_bytes_max)
    }

    /// Checks tags that are to replace an entry's, and tells their size.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`].
    pub fn check_tags(&self, tags: &BTreeSet<String>) -> Result<usize> {
        let mut bytes = 0;
        for tag in tags {
            bytes += self.check_key("bytes in a tag", Some(tag))?;
        }
        within("bytes in tags", bytes, self.metadata_bytes_max)?;
        Ok(bytes)
    }

    /// Checks an entry's annotations as they would be after a merge.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`].
    pub fn check_annotations(&self, annotations: &TextMap) -> Result<()> {
        within(
            "bytes in annotations",
            text_bytes(annotations),
            self.metadata_bytes_max,
        )
    }

    /// Checks a checkpoint's value.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`].
    pub fn check_checkpoint_value(&self, value: &[u8]) -> Result<()> {
        within(
            "bytes in a checkpoint",
            value.len(),
            self.checkpoint_bytes_max,
        )
    }

    /// Checks the size of a filter: what no entry can hold need not be looked for.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`].
    pub fn check_filter(&self, filter: &Filter) -> Result<()> {
        for key in filter
            .order_keys
            .iter()
            .chain(&filter.kinds)
            .chain(&filter.tags)
        {
            self.check_key("bytes in a key of a filter", Some(key))?;
        }
        self.check_metadata(&filter.metadata)?;
        let count = filter.order_keys.len()
            + filter.kinds.len()
            + filter.tags.len()
            + filter.metadata.len();
        within("keys in a filter", count, FILTER_KEYS_MAX)
    }
}

/// The most order keys, kinds, tags and metadata pairs of a filter, together.
pub const FILTER_KEYS_MAX: usize = 1_000;

fn text_bytes(pairs: &TextMap) -> usize {
    pairs
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

fn within(limit: &'static str, size: usize, max: usize) -> Result<()> {
    if size > max {
        return Err(Error::LimitExceeded {
            limit,
            size: size as u64,
            max: max as u64,
        });
    }
    Ok(())
}
