//! Every statement of the crate, with schema and prefix filled in.
//!
//! Nothing else is ever put into a statement: names of streams, keys and values are always bound. This is the only room
//! that vouches for the safety of SQL text.

use ledger_core::{Direction, ReadOptions};
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// Fills the names of a store's tables, functions and indexes into SQL text.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    schema: String,
    prefix: String,
}

impl Names {
    /// Schema and prefix must be plain names; [`PostgresOptions::validate`](crate::PostgresOptions) sees to that.
    pub(crate) fn new(schema: &str, prefix: &str) -> Self {
        Self {
            schema: schema.into(),
            prefix: prefix.into(),
        }
    }

    /// The schema, quoted.
    pub(crate) fn schema(&self) -> String {
        format!("\"{}\"", self.schema)
    }

    /// Replaces `@name` by a qualified and `%name` by an unqualified name, both quoted and with the prefix.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len() * 2);
        let mut rest = text;
        while let Some(position) = rest.find(['@', '%']) {
            let (before, name) = rest.split_at(position);
            filled.push_str(before);
            rest = self.fill_one(name, &mut filled);
        }
        filled + rest
    }

    /// Replaces the marked name that `text` begins with, and gives what is behind it.
    fn fill_one<'a>(&self, text: &'a str, filled: &mut String) -> &'a str {
        let (mark, behind) = text.split_at(1);
        let end = behind
            .find(|c: char| !c.is_ascii_lowercase() && c != '_')
            .unwrap_or(behind.len());
        let (name, rest) = behind.split_at(end);
        match (mark, name) {
            (mark, "") => filled.push_str(mark),
            ("@", name) => filled.extend([&self.schema(), ".\"", &self.prefix, name, "\""]),
            (_, name) => filled.extend(["\"", &self.prefix, name, "\""]),
        }
        rest
    }

    /// As [`fill`](Self::fill), as a statement.
    pub(crate) fn statement(&self, text: &str) -> SqlStr {
        AssertSqlSafe(std::sync::Arc::<str>::from(self.fill(text))).into_sql_str()
    }
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        /// The statements on the tables of one store.
        #[derive(Debug)]
        pub(crate) struct Sql {
            pub(crate) names: Names,
            $($(#[$doc])* pub(crate) $name: SqlStr,)*
        }

        impl Sql {
            pub(crate) fn new(names: Names) -> Self {
                Self { $($name: names.statement($text),)* names }
            }
        }
    };
}

statements! {
    append = "SELECT * FROM @append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    /// Takes what `append_one` takes.
    append_plain = "WITH s AS (UPDATE @streams s SET head = s.head + 1, bytes = s.bytes + $3, \
        recorded_at = greatest(s.recorded_at, @clock($2)) WHERE s.name = $1 \
        RETURNING s.stream_id, s.head, s.recorded_at) \
        INSERT INTO @entries (stream_id, id, recorded_at, expires_at, schema_version, kind, order_key, dedup_key, \
        content_type, payload, payload_bytes, metadata, tags) \
        SELECT s.stream_id, s.head, s.recorded_at, $4, $5, $6, $7, $8, $9, $10::text::json, $11, $12::text::jsonb, \
        $13::text::jsonb FROM s RETURNING id, @notify($1)";
    append_one = "SELECT @append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::json, $11, $12::text::jsonb, \
        $13::text::jsonb)";
    trim = "SELECT @trim($1, $2)";
    retain = "SELECT @retain($1, $2, $3, $4, $5)";
    purge_expired = "SELECT @purge_expired($1, $2)";
    set_tags = "SELECT @set_tags($1, $2, $3, $4)";
    annotate = "SELECT * FROM @annotate($1, $2, $3, $4, $5, $6)";
    rename = "SELECT @rename($1, $2)";
    save_checkpoint = "SELECT * FROM @save_checkpoint($1, $2, $3, $4)";
    delete_checkpoint = "SELECT * FROM @delete_checkpoint($1, $2, $3)";

    stat = "SELECT first, head, bytes FROM @streams WHERE name = $1";
    list_streams = "SELECT name FROM @streams WHERE name > $1 AND first <= head ORDER BY name LIMIT $2";
    load_checkpoint = "SELECT c.value, c.revision FROM @checkpoints c JOIN @streams s USING (stream_id) \
        WHERE s.name = $1 AND c.name = $2";
    list_checkpoints = "SELECT c.name FROM @checkpoints c JOIN @streams s USING (stream_id) \
        WHERE s.name = $1 AND c.name > $2 ORDER BY c.name LIMIT $3";
    /// An empty notification, with which the listening connection proves that it hears.
    probe = "SELECT @notify('')";
    channel = "SELECT 'ledger_' || '@streams'::regclass::oid";

    health = "SELECT current_setting('server_version'), current_setting('synchronous_commit'), \
        current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery(), \
        (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_writer_delay'), (SELECT count(*) FROM @meta)";
}

/// The columns of a page; its rows are told from the row of bounds by their id.
const COLUMNS: &str = "e.id, e.recorded_at, e.updated_at, e.expires_at, e.schema_version, e.kind, e.order_key, \
    e.dedup_key, e.content_type, e.payload, e.payload_bytes, e.metadata::text AS metadata, e.tags::text AS tags, \
    e.annotations::text AS annotations";

/// The bounds of a stream, where a page has id and times.
const BOUNDS: &str = "NULL::bigint AS id, s.first, s.head, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL";

/// What reads return; `$5` is the program's time, if it brings one.
const VISIBLE: &str = "(e.schema_version IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > \
    coalesce($5, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)))";

impl Sql {
    /// The statement that reads the bounds of a stream and a page of it in one snapshot.
    ///
    /// Its parameters: name, after, before, limit, now, since, order keys, kinds, tags, metadata; of the last five,
    /// those that `options` name. The row of bounds is there if the stream is; its id is null.
    /// Where tombstones are asked for, the last column tells entries from them. The page is one range of an index, or
    /// one for each of several order keys, and its rows come in the order of that index.
    pub(crate) fn page(&self, options: &ReadOptions<u64>) -> SqlStr {
        let order = match options.direction {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        };
        let shape = Shape::new(options);
        let (no_answer, is_visible) = if options.tombstones {
            (", NULL", format!(", {VISIBLE} AS is_visible"))
        } else {
            ("", String::new())
        };
        let range = format!(
            "e.stream_id = (SELECT s.stream_id FROM @streams s WHERE s.name = $1) AND e.id > $2 AND e.id < $3{} AND {}",
            shape.since, shape.chosen
        );
        let source = match shape.key {
            Some(number) => format!(
                "unnest(${number}::text[]) AS k(key) CROSS JOIN LATERAL (SELECT e.* FROM @entries e \
                 WHERE e.order_key = k.key AND {range} ORDER BY e.id {order} LIMIT $4) e"
            ),
            None => format!("@entries e WHERE {range}"),
        };
        self.names.statement(&format!(
            "SELECT {BOUNDS}{no_answer} FROM @streams s WHERE s.name = $1 UNION ALL \
             (SELECT {COLUMNS}{is_visible} FROM {source} ORDER BY e.id {order} LIMIT $4)"
        ))
    }
}

/// What of a page's statement depends on what is asked for.
struct Shape {
    since: String,
    chosen: String,
    /// The number of the parameter with several order keys, each of which is a range of its own.
    key: Option<usize>,
}

impl Shape {
    fn new(options: &ReadOptions<u64>) -> Self {
        let filter = &options.filter;
        let mut last = 5;
        let mut next = |is_used: bool| {
            last += usize::from(is_used);
            is_used.then_some(last)
        };
        let since = next(options.since.is_some());
        let key = next(!filter.order_keys.is_empty());
        let by_key = key.is_some() && filter.order_keys.len() > 1 && !options.tombstones;
        let mut chosen = vec![VISIBLE.to_owned()];
        chosen.extend(
            key.filter(|_| !by_key)
                .map(|it| any("order_key", it, filter.order_keys.len())),
        );
        chosen.extend(next(!filter.kinds.is_empty()).map(|it| any("kind", it, filter.kinds.len())));
        chosen.extend(next(!filter.tags.is_empty()).map(|it| format!("e.tags @> ${it}::jsonb")));
        chosen.extend(
            next(!filter.metadata.is_empty()).map(|it| format!("e.metadata @> ${it}::jsonb")),
        );
        let chosen = chosen.join(" AND ");
        Self {
            since: since.map_or_else(String::new, |it| {
                format!(" AND e.id >= (SELECT @first_since(s.stream_id, s.first, s.head, ${it}) FROM @streams s WHERE s.name = $1)")
            }),
            chosen: if options.tombstones {
                format!("(NOT {VISIBLE} OR ({chosen}))")
            } else {
                chosen
            },
            key: key.filter(|_| by_key),
        }
    }
}

/// A single key is compared as such, so that its range of the index is in order.
fn any(column: &str, parameter: usize, keys: usize) -> String {
    match keys {
        1 => format!("e.{column} = (${parameter}::text[])[1]"),
        _ => format!("e.{column} = ANY (${parameter}::text[])"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_names_are_qualified_and_quoted() {
        let names = Names::new("s", "p_");
        assert_eq!(
            names.fill("SELECT * FROM @streams, %index WHERE a @> b AND c % d"),
            r#"SELECT * FROM "s"."p_streams", "p_index" WHERE a @> b AND c % d"#
        );
    }
}
