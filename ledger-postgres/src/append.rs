//! Appends, as the functions `append` and `append_one` in the database take and answer them: one round trip, whatever is
//! in them.

use ledger_core::{Batch, Condition, Error, NewEntry, Outcome, Result, Timestamp};
use serde_json::{Map, Value};
use sqlx_core::arguments::Arguments as _;
use sqlx_core::executor::Executor;
use sqlx_core::query::query_with_result;
use sqlx_core::sql_str::SqlStr;
use sqlx_postgres::{PgArguments, PgConnection, PgRow, Postgres};

use crate::database::{Arguments, Database};
use crate::error::{Failure, Place};
use crate::row::{Columns, Incoming, clamped, get};
use crate::sql::Sql;
use crate::text::escaped;

/// What became of one batch.
pub(crate) type Outcomes = Vec<Outcome<u64>>;

/// How the batches of one call belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bond {
    /// All are appended or none.
    Together,
    /// Each on its own; all go to the same stream.
    Separate,
}

/// Batches for one call; none of them is empty.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) batches: Vec<Batch<u64>>,
    pub(crate) bond: Bond,
}

impl Call {
    /// Batches of which all are appended or none. One alone takes the shorter way.
    pub(crate) fn together(batches: Vec<Batch<u64>>) -> Self {
        let bond = if batches.len() == 1 {
            Bond::Separate
        } else {
            Bond::Together
        };
        Self { batches, bond }
    }

    /// The entry of a call that has no other and no condition, as most have. It goes without arrays.
    pub(crate) fn lone_entry(&self) -> Option<&NewEntry> {
        match self.batches.as_slice() {
            [batch] if batch.condition.is_none() && batch.entries.len() == 1 => {
                batch.entries.first()
            }
            _ => None,
        }
    }

    /// The statement that runs the call.
    pub(crate) fn statement(&self, sql: &Sql) -> SqlStr {
        match self.lone_entry() {
            Some(_) => sql.append_one.clone(),
            None => sql.append.clone(),
        }
    }

    /// What the statement is given; `now` is the program's time, if it brings one.
    pub(crate) fn arguments(&self, now: Option<Timestamp>) -> Arguments {
        let now = now.map(Timestamp::as_micros);
        let mut arguments = PgArguments::default();
        if let Some(entry) = self.lone_entry() {
            arguments.add(escaped(self.batches[0].stream.as_str()))?;
            arguments.add(now)?;
            arguments.add(clamped(entry.value.bytes.len()))?;
            Incoming::new(entry).add_to(&mut arguments)?;
            return Ok(arguments);
        }
        arguments.add(self.bond == Bond::Together)?;
        arguments.add(self.names())?;
        arguments.add(self.counts())?;
        arguments.add(self.conditions())?;
        arguments.add(now)?;
        let entries = || self.batches.iter().flat_map(|batch| &batch.entries);
        let sizes = entries().map(|entry| clamped(entry.value.bytes.len()));
        arguments.add(sizes.sum::<i64>())?;
        let mut columns = Columns::default();
        entries().for_each(|entry| columns.push(Incoming::new(entry)));
        columns.add_to(&mut arguments)?;
        Ok(arguments)
    }

    fn names(&self) -> Vec<std::borrow::Cow<'_, str>> {
        let names = match self.bond {
            Bond::Together => self.batches.len(),
            Bond::Separate => 1,
        };
        self.batches
            .iter()
            .take(names)
            .map(|batch| escaped(batch.stream.as_str()))
            .collect()
    }

    fn counts(&self) -> Vec<i32> {
        let counts = self.batches.iter().map(|batch| batch.entries.len());
        counts
            .map(|count| i32::try_from(count).unwrap_or(i32::MAX))
            .collect()
    }

    /// The conditions; none if there is not one.
    fn conditions(&self) -> Option<Vec<Option<String>>> {
        let has_any = self.batches.iter().any(|batch| batch.condition.is_some());
        let stored = |batch: &Batch<u64>| batch.condition.as_ref().map(stored_condition);
        (has_any || self.bond == Bond::Together).then(|| self.batches.iter().map(stored).collect())
    }

    /// What became of each batch.
    pub(crate) fn answers(&self, row: &PgRow, place: &Place) -> Result<Vec<Result<Outcomes>>> {
        if self.lone_entry().is_some() {
            return Ok(vec![Ok(vec![outcome(get(row, 0, place)?)])]);
        }
        let base: Option<i64> = get(row, 0, place)?;
        if let Some(base) = base {
            return Ok(self.appended_from(base.unsigned_abs()));
        }
        let ids: Option<Vec<i64>> = get(row, 1, place)?;
        let conflicts: Option<Vec<Option<i64>>> = get(row, 2, place)?;
        let mut ids = ids.unwrap_or_default().into_iter();
        let conflicts = conflicts
            .unwrap_or_default()
            .into_iter()
            .chain(std::iter::repeat(None));
        let answers = self.batches.iter().zip(conflicts).map(|(batch, conflict)| {
            let outcomes = ids
                .by_ref()
                .take(batch.entries.len())
                .map(outcome)
                .collect();
            conflict.map_or(Ok(outcomes), |found| Err(conflict_error(batch, found)))
        });
        Ok(answers.collect())
    }

    /// Everything was appended, in order, behind the id `base`.
    fn appended_from(&self, base: u64) -> Vec<Result<Outcomes>> {
        let mut ids = base + 1..;
        let outcomes = |batch: &Batch<u64>| {
            Ok(ids
                .by_ref()
                .take(batch.entries.len())
                .map(Outcome::Appended)
                .collect())
        };
        self.batches.iter().map(outcomes).collect()
    }

    /// Runs the call in a transaction of the caller's, on a connection to `database`.
    pub(crate) async fn run_in(
        &self,
        connection: &mut PgConnection,
        sql: &Sql,
        now: Option<Timestamp>,
        database: &Database,
    ) -> Result<Vec<Result<Outcomes>>> {
        let query = query_with_result::<Postgres, _>(self.statement(sql), self.arguments(now));
        let row = connection
            .fetch_one(query.persistent(!database.has_pooler))
            .await;
        let place = &database.place;
        // Nothing is committed here, so nothing can be unknown.
        let row = row.map_err(|error| place.read_error(Failure::statement(error)))?;
        self.answers(&row, place)
    }
}

/// Ids of duplicates are answered negative.
fn outcome(id: i64) -> Outcome<u64> {
    if id < 0 {
        Outcome::Duplicate(id.unsigned_abs())
    } else {
        Outcome::Appended(id.unsigned_abs())
    }
}

/// `found` is zero if the condition fails although no entry matches.
fn conflict_error(batch: &Batch<u64>, found: i64) -> Error {
    let after = batch
        .condition
        .as_ref()
        .and_then(|condition| condition.after);
    Error::Conflict {
        stream: batch.stream.clone(),
        expected: after.map(|id| id.to_string()),
        found: (found > 0).then(|| found.to_string()),
    }
}

/// The condition as JSON, with only those parts of its filter that say something.
fn stored_condition(condition: &Condition<u64>) -> String {
    let filter = &condition.filter;
    let mut stored = Map::new();
    stored.insert("exact".into(), condition.exact.into());
    stored.insert("after".into(), condition.after.map(clamped).into());
    let texts = |texts: &[String]| {
        texts
            .iter()
            .map(|text| Value::from(escaped(text)))
            .collect()
    };
    for (part, keys) in [
        ("order_keys", &filter.order_keys),
        ("kinds", &filter.kinds),
        ("tags", &filter.tags),
    ] {
        if !keys.is_empty() {
            stored.insert(part.into(), Value::Array(texts(keys)));
        }
    }
    if !filter.metadata.is_empty() {
        let pair =
            |(key, value): (&String, &String)| (escaped(key).into_owned(), escaped(value).into());
        stored.insert(
            "metadata".into(),
            Value::Object(filter.metadata.iter().map(pair).collect()),
        );
    }
    Value::Object(stored).to_string()
}

#[cfg(test)]
mod tests {
    use ledger_core::Filter;

    use super::*;

    #[test]
    fn a_condition_names_only_what_its_filter_names() {
        let condition = Condition::none_after(Filter::new().kind("a\0"), 7);
        assert_eq!(
            stored_condition(&condition),
            r#"{"after":7,"exact":false,"kinds":["a\u0001\u0002"]}"#
        );
    }

    #[test]
    fn an_id_beyond_all_ids_stays_beyond() {
        let condition = stored_condition(&Condition::head_is(u64::MAX));
        assert_eq!(
            condition,
            format!(r#"{{"after":{},"exact":true}}"#, i64::MAX)
        );
    }
}
