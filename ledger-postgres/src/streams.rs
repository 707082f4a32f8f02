//! Streams as such: what they hold, their names.

use ledger_core::{Error, Result, Stat, StreamName};
use sqlx_core::arguments::Arguments as _;
use sqlx_postgres::{PgArguments, PgRow};

use crate::error::Place;
use crate::row::{clamped, get, unsigned};
use crate::store::Opening;
use crate::text::{escaped, unescaped};

impl Opening {
    /// The stream in numbers.
    pub(crate) async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        let durability = self.capabilities.durability;
        let place = &self.database.place;
        self.database
            .ask(
                self.sql.stat.clone(),
                || {
                    let mut arguments = PgArguments::default();
                    arguments.add(escaped(stream.as_str()))?;
                    Ok(arguments)
                },
                || Stat::empty(durability),
                |stat, row| read_stat(stat, &row, place),
            )
            .await
    }

    /// The names behind `after` of streams that hold entries.
    pub(crate) async fn list(
        &self,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>> {
        let place = &self.database.place;
        self.database
            .ask(
                self.sql.list_streams.clone(),
                || {
                    // Every name is greater than the empty text, because none is empty.
                    let mut arguments = PgArguments::default();
                    arguments.add(escaped(after.map_or("", StreamName::as_str)))?;
                    arguments.add(clamped(limit))?;
                    Ok(arguments)
                },
                Vec::new,
                |names, row| {
                    names.push(StreamName::from(&*unescaped(get(&row, 0, place)?)));
                    Ok(())
                },
            )
            .await
    }

    /// Gives the stream another name, if it was ever appended to and the name is free.
    pub(crate) async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        let (old_name, new_name) = (from.clone(), to.clone());
        let row = self.change(&self.sql.rename, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(old_name.as_str()))?;
            arguments.add(escaped(new_name.as_str()))?;
            Ok(arguments)
        });
        let row = row.await?;
        match get(&row, 0, &self.database.place)? {
            "renamed" => Ok(()),
            "missing" => Err(Error::StreamNotFound {
                stream: from.clone(),
            }),
            _ => Err(Error::StreamExists { stream: to.clone() }),
        }
    }
}

fn read_stat(stat: &mut Stat<u64>, row: &PgRow, place: &Place) -> Result<()> {
    let [first, head, bytes] = [0, 1, 2].map(|column| unsigned(row, column, place));
    let (first, head) = (first?, head?);
    stat.first = (first <= head).then_some(first);
    stat.head = (head > 0).then_some(head);
    stat.count = (head + 1).saturating_sub(first);
    stat.bytes = bytes?;
    Ok(())
}
