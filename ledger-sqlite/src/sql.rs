//! Every statement of the crate, with the table prefix filled in once, when a store is opened.
//!
//! Nothing else is ever put into a statement: names, keys and values are always bound.

/// The columns of an entry, in the order in which `row` reads them.
const COLUMNS: &str = "position, recorded_at, updated_at, expires_at, schema_version, kind, \
     order_key, dedup_key, content_type, payload, metadata, tags, annotations";

/// What nulling makes a tombstone of an entry: only its position and time stay.
const TOMBSTONE: &str = "updated_at = NULL, expires_at = NULL, kind = NULL, order_key = NULL, \
     dedup_key = NULL, content_type = NULL, payload = NULL, metadata = NULL, tags = NULL, \
     annotations = NULL";

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        /// The statements on the tables of one prefix.
        #[derive(Debug)]
        pub(crate) struct Sql {
            $($(#[$doc])* pub(crate) $name: String,)*
        }

        impl Sql {
            /// Fills in `prefix`, which must be a valid one.
            pub(crate) fn new(prefix: &str) -> Self {
                Self { $($name: with_prefix($text, prefix),)* }
            }

            #[cfg(test)]
            fn all(&self) -> Vec<&str> {
                vec![$(&self.$name,)*]
            }
        }
    };
}

/// Replaces `{p}` by the prefix.
pub(crate) fn with_prefix(text: &str, prefix: &str) -> String {
    text.replace("{p}", prefix)
        .replace("{columns}", COLUMNS)
        .replace("{tombstone}", TOMBSTONE)
}

statements! {
    find_stream = r#"SELECT stream_id, head, first, recorded_at, bytes FROM "{p}streams" WHERE name = ?1"#;
    insert_stream = r#"INSERT INTO "{p}streams" (name, head, first, bytes) VALUES (?1, 0, 1, 0) RETURNING stream_id"#;
    update_stream = r#"UPDATE "{p}streams" SET head = ?2, first = ?3, recorded_at = ?4, bytes = ?5 WHERE stream_id = ?1"#;
    rename_stream = r#"UPDATE "{p}streams" SET name = ?2 WHERE stream_id = ?1"#;
    delete_unused_stream = r#"DELETE FROM "{p}streams" WHERE stream_id = ?1 AND head = 0
        AND NOT EXISTS (SELECT 1 FROM "{p}checkpoints" WHERE stream_id = ?1)"#;
    list_streams = r#"SELECT name FROM "{p}streams" WHERE name > ?1 AND first <= head ORDER BY name LIMIT ?2"#;

    insert_entry = r#"INSERT INTO "{p}entries" (position, stream_id, recorded_at, expires_at,
        schema_version, kind, order_key, dedup_key, content_type, payload, metadata, tags)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        ON CONFLICT (stream_id, dedup_key) WHERE dedup_key <> '' DO NOTHING"#;
    find_dedup_key = r#"SELECT position, expires_at, octet_length(payload) FROM "{p}entries"
        WHERE stream_id = ?1 AND dedup_key = ?2 AND dedup_key <> ''"#;
    /// Whether there is such an entry that reads at time ?2 return.
    is_visible = r#"SELECT 1 FROM "{p}entries" WHERE position = ?1
        AND payload IS NOT NULL AND (expires_at IS NULL OR expires_at > ?2)"#;

    entry = r#"SELECT {columns} FROM "{p}entries" WHERE position = ?1"#;
    ascending = r#"SELECT {columns} FROM "{p}entries" WHERE position BETWEEN ?1 AND ?2 ORDER BY position"#;
    descending = r#"SELECT {columns} FROM "{p}entries" WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC"#;
    /// Of one order key, positions only: read from the index alone.
    ascending_of_key = r#"SELECT position FROM "{p}entries"
        WHERE stream_id = ?1 AND order_key = ?2 AND position BETWEEN ?3 AND ?4 ORDER BY position LIMIT ?5"#;
    descending_of_key = r#"SELECT position FROM "{p}entries"
        WHERE stream_id = ?1 AND order_key = ?2 AND position BETWEEN ?3 AND ?4 ORDER BY position DESC LIMIT ?5"#;
    recorded_at = r#"SELECT recorded_at FROM "{p}entries" WHERE position = ?1"#;

    purge_entry = r#"UPDATE "{p}entries" SET {tombstone} WHERE position = ?1"#;
    measure_expired = r#"SELECT count(*), ifnull(sum(octet_length(payload)), 0) FROM "{p}entries"
        WHERE stream_id = ?1 AND expires_at <= ?2"#;
    purge_expired = r#"UPDATE "{p}entries" SET {tombstone} WHERE stream_id = ?1 AND expires_at <= ?2"#;
    measure_range = r#"SELECT ifnull(sum(octet_length(payload)), 0) FROM "{p}entries" WHERE position BETWEEN ?1 AND ?2"#;
    /// The sizes of entries from the old end.
    sizes = r#"SELECT ifnull(octet_length(payload), 0) FROM "{p}entries" WHERE position BETWEEN ?1 AND ?2 ORDER BY position"#;
    delete_range = r#"DELETE FROM "{p}entries" WHERE position BETWEEN ?1 AND ?2"#;

    set_tags = r#"UPDATE "{p}entries" SET tags = ?3, updated_at = ?2 WHERE position = ?1
        AND payload IS NOT NULL AND (expires_at IS NULL OR expires_at > ?2)"#;
    find_annotations = r#"SELECT annotations FROM "{p}entries" WHERE position = ?1
        AND payload IS NOT NULL AND (expires_at IS NULL OR expires_at > ?2)"#;
    set_annotations = r#"UPDATE "{p}entries" SET annotations = ?3, updated_at = ?2 WHERE position = ?1"#;

    load_checkpoint = r#"SELECT value, revision FROM "{p}checkpoints" WHERE stream_id = ?1 AND name = ?2"#;
    next_revision = r#"UPDATE "{p}meta" SET value = value + 1 WHERE key = 'revision' RETURNING value"#;
    save_checkpoint = r#"INSERT INTO "{p}checkpoints" (stream_id, name, revision, value) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (stream_id, name) DO UPDATE SET revision = excluded.revision, value = excluded.value"#;
    delete_checkpoint = r#"DELETE FROM "{p}checkpoints" WHERE stream_id = ?1 AND name = ?2"#;
    list_checkpoints = r#"SELECT name FROM "{p}checkpoints" WHERE stream_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3"#;

    find_tables = r#"SELECT count(*) FROM sqlite_schema
        WHERE type = 'table' AND name IN ('{p}meta', '{p}streams', '{p}entries', '{p}checkpoints')"#;
    find_meta_columns = r#"SELECT group_concat(name) FROM pragma_table_info('{p}meta')"#;
    find_format = r#"SELECT value FROM "{p}meta" WHERE key = 'format'"#;
    set_format = r#"INSERT INTO "{p}meta" (key, value) VALUES ('format', ?1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value"#;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::Connection;

    use super::*;
    use crate::error::Place;
    use crate::schema;

    /// 40,000 entries of 40 streams, which nobody has analysed.
    fn fresh() -> (Connection, Sql) {
        let mut connection = Connection::open_in_memory().unwrap();
        let sql = Sql::new("p_");
        let place = Place {
            name: "test".into(),
            busy_timeout: Duration::ZERO,
        };
        schema::migrate(&mut connection, &sql, "p_", &place).unwrap();
        let fill = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39999)
            INSERT INTO p_entries (position, stream_id, recorded_at, schema_version, order_key, dedup_key, payload)
            SELECT (i % 40 + 1 << 36) + i / 40 + 1, i % 40 + 1, i, 1, 'o-' || (i % 7), 'd-' || i, '{}' FROM n";
        connection.execute(fill, []).unwrap();
        (connection, sql)
    }

    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let unbound = vec![None::<i64>; statement.parameter_count()];
        let rows = statement.query_map(rusqlite::params_from_iter(unbound), |row| row.get(3));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_look_at_entries_is_one_search_that_needs_no_sort() {
        let (connection, sql) = fresh();
        let by_position = "SEARCH p_entries USING INTEGER PRIMARY KEY (rowid";
        let by_order_key = "SEARCH p_entries USING COVERING INDEX p_entries_order_key \
             (stream_id=? AND order_key=? AND rowid";
        let by_dedup_key =
            "SEARCH p_entries USING INDEX p_entries_dedup_key (stream_id=? AND dedup_key=?";
        let by_expiry =
            "SEARCH p_entries USING INDEX p_entries_expires_at (stream_id=? AND expires_at<?";
        let cases = [
            (&sql.ascending, by_position),
            (&sql.descending, by_position),
            (&sql.entry, by_position),
            (&sql.recorded_at, by_position),
            (&sql.is_visible, by_position),
            (&sql.sizes, by_position),
            (&sql.measure_range, by_position),
            (&sql.delete_range, by_position),
            (&sql.ascending_of_key, by_order_key),
            (&sql.descending_of_key, by_order_key),
            (&sql.find_dedup_key, by_dedup_key),
            (&sql.measure_expired, by_expiry),
            (&sql.purge_expired, by_expiry),
        ];
        for (statement, expected) in cases {
            let plan = plan(&connection, statement);
            let [step] = plan.as_slice() else {
                panic!("{statement} takes {plan:?}");
            };
            assert!(step.starts_with(expected), "{statement} takes {step}");
        }
    }

    #[test]
    fn every_statement_suits_the_tables() {
        let (connection, sql) = fresh();
        for statement in sql.all() {
            connection.prepare(statement).unwrap();
        }
    }
}
