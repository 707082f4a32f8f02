//! heed, that is LMDB: numbers as keys, a transaction for each append. Without `NO_SYNC` a commit is durable; with it, and
//! a writable map, what was committed survives the process.

use std::path::Path;

use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn};
use ledger_lap::{Engine, Promise, Result};

use crate::counter::Counter;

/// More than any lap needs: the file is sparse.
const MAP_BYTES: usize = 32 << 30;

type Records = Database<'static, U64<BE>, Bytes>;

pub(crate) struct Heed {
    env: Env,
    records: Records,
    keys: Counter,
}

impl Heed {
    fn show(
        &self,
        transaction: &RoTxn<'_>,
        first: u64,
        count: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<()> {
        for entry in self.records.range(transaction, &(first..))?.take(count) {
            visit(entry?.1);
        }
        Ok(())
    }
}

impl Engine for Heed {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES);
        let flags = match promise {
            Promise::Process => EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP,
            Promise::Disk => EnvFlags::empty(),
        };
        // SAFETY: the map is shared with no program that could change it; what power loss does to it is not raced.
        let env = unsafe { options.flags(flags).open(dir)? };
        let transaction = env.write_txn()?;
        let records = env
            .create_databases_and_commit(transaction, |databases, transaction| {
                databases
                    .create_database(transaction, None)
                    .map(CommitOrAbort::<_, ()>::Commit)
            })?
            .unwrap_commit();
        let keys = Counter::default();
        Ok(Self { env, records, keys })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            env: self.env.clone(),
            records: self.records,
            keys: self.keys.clone(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for record in records {
            // Within the transaction, which one thread has at a time: so keys only ever grow.
            let key = self.keys.next();
            self.records
                .put_with_flags(&mut transaction, PutFlags::APPEND, &key, record)?;
        }
        Ok(transaction.commit()?)
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        let transaction = self.env.read_txn()?;
        self.show(&transaction, 0, usize::MAX, visit)
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let transaction = self.env.read_txn()?;
        if count > 1 {
            return self.show(&transaction, first, count, visit);
        }
        let record = self.records.get(&transaction, &first)?;
        visit(record.ok_or("no such key")?);
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }
}
