//! Inserts entries: as few commands as they fit in, each of them one buffer.

use ledger_core::{NewEntry, Result, Timestamp};
use mongodb::ClientSession;
use mongodb::bson::{Document, RawDocumentBuf, deserialize_from_document};
use mongodb::error::{Error as DriverError, ErrorKind, WriteError, WriteFailure};

use crate::database::Database;
use crate::document::Writer;
use crate::error::{DOCUMENT_BYTES_MAX, Failure, too_large};
use crate::row;

/// A command ends behind the entry with which it becomes larger than this, or before one that does not fit any more.
/// MongoDB takes 16 MiB, and a little more for what is around an entry of that size.
const COMMAND_BYTES: usize = 4 << 20;
const COMMAND_BYTES_MAX: usize = (16 << 20) + (8 << 10);

/// MongoDB takes so many documents in one command.
const COMMAND_ENTRIES_MAX: usize = 100_000;

/// Entries smaller than this fit into a document, whatever is around their payloads.
const SURELY_FITS: usize = 1 << 20;

/// What fields and lengths add to an entry, about.
const OVERHEAD: usize = 256;

/// Commands in the making.
pub(crate) struct Insert {
    collection: String,
    done: Vec<RawDocumentBuf>,
    command: Option<(Writer, usize)>,
}

impl Insert {
    pub(crate) fn new(database: &Database) -> Self {
        Self {
            collection: database.entries.name().to_owned(),
            done: Vec::new(),
            command: None,
        }
    }

    /// Adds an entry.
    pub(crate) fn entry(&mut self, at: (i64, u64), recorded_at: Timestamp, entry: &NewEntry) {
        self.document(size_of(entry), |writer| {
            row::write(writer, at, recorded_at, entry)
        });
    }

    /// Adds what is left of an entry that expired before it was written.
    pub(crate) fn tombstone(&mut self, at: (i64, u64), recorded_at: Timestamp) {
        self.document(OVERHEAD, |writer| {
            row::write_tombstone(writer, at, recorded_at)
        });
    }

    fn document(&mut self, size: usize, write: impl FnOnce(&mut Writer)) {
        let is_full = |(writer, entries): &(Writer, usize)| {
            writer.len() > COMMAND_BYTES
                || writer.len() + size > COMMAND_BYTES_MAX
                || *entries == COMMAND_ENTRIES_MAX
        };
        if self.command.as_ref().is_some_and(is_full) {
            self.finish();
        }
        let (writer, entries) = self
            .command
            .get_or_insert_with(|| (begin(&self.collection), 0));
        writer.open_document(&entries.to_string());
        write(writer);
        writer.close();
        *entries += 1;
    }

    fn finish(&mut self) {
        if let Some((mut writer, _)) = self.command.take() {
            writer.close();
            self.done.push(writer.finish());
        }
    }

    /// Inserts all that was added.
    pub(crate) async fn run(
        mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<(), Failure> {
        self.finish();
        for command in self.done {
            let answer = database
                .handle
                .run_raw_command(command)
                .session(&mut *session)
                .await?;
            check(&answer)?;
        }
        Ok(())
    }
}

fn begin(collection: &str) -> Writer {
    let mut writer = Writer::with_capacity(16 << 10);
    writer.text("insert", collection);
    writer.open_array("documents");
    writer
}

/// A command that ran may still have failed for one of its documents.
fn check(answer: &Document) -> Result<(), Failure> {
    let Ok(errors) = answer.get_array("writeErrors") else {
        return Ok(());
    };
    let first = errors.first().and_then(|error| error.as_document());
    let first = first.cloned().unwrap_or_default();
    let error: WriteError = deserialize_from_document(first).map_err(row::damaged)?;
    let error = ErrorKind::Write(WriteFailure::WriteError(error));
    Err(DriverError::from(error).into())
}

/// Refuses an entry that no document can hold.
pub(crate) fn check_size(entry: &NewEntry) -> Result<()> {
    if size_of(entry) < SURELY_FITS {
        return Ok(());
    }
    let mut writer = Writer::with_capacity(size_of(entry));
    row::write(&mut writer, (0, 0), Timestamp::from_micros(0), entry);
    let bytes = writer.finish().as_bytes().len();
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(too_large(bytes));
    }
    Ok(())
}

/// About as large as the entry's document; larger if it is bytes, perhaps smaller if it is JSON.
fn size_of(entry: &NewEntry) -> usize {
    let pairs = entry
        .metadata
        .iter()
        .map(|(key, value)| key.len() + value.len() + 40);
    let tags = entry.tags.iter().map(|tag| tag.len() + 16);
    let texts = [&entry.kind, &entry.order_key, &entry.dedup_key];
    let texts = texts.into_iter().flatten().map(String::len);
    entry.value.bytes.len() + OVERHEAD + pairs.chain(tags).chain(texts).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use ledger_core::Payload;

    use super::*;

    fn of_size(bytes: usize) -> NewEntry {
        NewEntry::new(Payload::octets(vec![7; bytes]))
    }

    #[test]
    fn only_what_a_document_holds_is_let_through() {
        assert!(check_size(&of_size(DOCUMENT_BYTES_MAX - 1_000)).is_ok());
        let many = (0..60_000).fold(of_size(15 << 20), |entry, n| {
            entry.metadata(n.to_string(), "")
        });
        assert!(check_size(&many).is_err());
    }

    #[test]
    fn a_command_is_begun_when_one_is_full() {
        let mut insert = Insert {
            collection: "c".into(),
            done: Vec::new(),
            command: None,
        };
        for id in 1..=5 {
            insert.entry((1, id), Timestamp::from_micros(0), &of_size(7 << 20));
        }
        insert.finish();
        assert_eq!(insert.done.len(), 5);
        assert!(
            insert
                .done
                .iter()
                .all(|command| command.as_bytes().len() <= COMMAND_BYTES_MAX)
        );
    }
}
