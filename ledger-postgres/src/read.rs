//! Reading pages: one statement, which tells the head of the stream too, so that both are of one snapshot.

use ledger_core::{Direction, Entry, Filter, Page, ReadOptions, Result, StreamName, Timestamp};
use sqlx_core::arguments::Arguments as _;
use sqlx_core::error::{BoxDynError, Error as SqlxError};
use sqlx_postgres::PgArguments;

use crate::database::{Arguments, Database};
use crate::errand;
use crate::error::Failure;
use crate::row::{PageRow, clamped, stored_map, stored_tags};
use crate::sql::Sql;
use crate::text::escaped;

/// Entries are made room for in advance, but no more than this.
const ROOM_MAX: usize = 1_000;

/// Reads the page of `name` that `options` ask for: an errand, because whoever walks reads ahead.
pub(crate) async fn page(
    database: &Database,
    sql: &Sql,
    name: &StreamName,
    options: &ReadOptions<u64>,
    now: Option<Timestamp>,
) -> Result<Page<u64>> {
    let statement = sql.page(options);
    let (here, name, options) = (database.clone(), name.clone(), options.clone());
    let page = errand::run(async move {
        let collected = here
            .ask(
                statement,
                || arguments(&name, &options, now),
                || Collected::with_room(options.limit.min(ROOM_MAX)),
                |collected, row| collected.take(&PageRow::new(&row, &here.place), &name, &options),
            )
            .await?;
        Ok(collected.into_page(&options))
    });
    page.await.unwrap_or_else(|_| {
        let lost = Failure::statement(SqlxError::WorkerCrashed);
        Err(database.place.read_error(lost))
    })
}

/// What the statement is given, in the order that [`Sql::page`] names.
pub(crate) fn arguments(
    name: &StreamName,
    options: &ReadOptions<u64>,
    now: Option<Timestamp>,
) -> Arguments {
    let mut arguments = PgArguments::default();
    arguments.add(escaped(name.as_str()))?;
    arguments.add(options.after.map_or(0, clamped))?;
    arguments.add(options.before.map_or(i64::MAX, clamped))?;
    arguments.add(clamped(options.limit))?;
    arguments.add(now.map(Timestamp::as_micros))?;
    if let Some(since) = options.since {
        arguments.add(since.as_micros())?;
    }
    add_filter(&options.filter, &mut arguments)?;
    Ok(arguments)
}

fn add_filter(filter: &Filter, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
    for keys in [&filter.order_keys, &filter.kinds] {
        if !keys.is_empty() {
            arguments.add(distinct(keys))?;
        }
    }
    if let Some(tags) = stored_tags(filter.tags.iter()) {
        arguments.add(tags)?;
    }
    if let Some(metadata) = stored_map(&filter.metadata) {
        arguments.add(metadata)?;
    }
    Ok(())
}

/// A key named twice must not bring its entries twice.
fn distinct(keys: &[String]) -> Vec<std::borrow::Cow<'_, str>> {
    let mut keys: Vec<_> = keys.iter().map(|key| escaped(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A page in the making.
struct Collected {
    entries: Vec<Entry<u64>>,
    tombstones: Vec<u64>,
    first: Option<u64>,
    head: Option<u64>,
}

impl Collected {
    fn with_room(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            tombstones: Vec::new(),
            first: None,
            head: None,
        }
    }

    fn take(
        &mut self,
        row: &PageRow<'_>,
        name: &StreamName,
        options: &ReadOptions<u64>,
    ) -> Result<()> {
        let Some(id) = row.id()? else {
            (self.first, self.head) = row.bounds()?;
            return Ok(());
        };
        if !options.tombstones || row.is_visible()? {
            self.entries.push(row.entry(id, name)?);
        } else {
            self.tombstones.push(id);
        }
        Ok(())
    }

    fn into_page(self, options: &ReadOptions<u64>) -> Page<u64> {
        debug_assert!(
            is_in_order(&self.entries, options.direction),
            "a page came out of order"
        );
        Page::new(
            options,
            self.entries,
            self.tombstones,
            self.first,
            self.head,
        )
    }
}

fn is_in_order(entries: &[Entry<u64>], direction: Direction) -> bool {
    match direction {
        Direction::Ascending => entries.is_sorted_by(|a, b| a.id < b.id),
        Direction::Descending => entries.is_sorted_by(|a, b| a.id > b.id),
    }
}
