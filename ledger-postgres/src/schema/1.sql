-- Format 1. `@name` stands for the qualified, quoted name of a table, view or function of the store, `%name` for the
-- quoted name of an index. `docs/FORMAT.md` says what the columns hold.

CREATE TABLE @meta (key text PRIMARY KEY, value bigint NOT NULL);

CREATE TABLE @streams (
    stream_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    head bigint NOT NULL DEFAULT 0,
    first bigint NOT NULL DEFAULT 1,
    bytes bigint NOT NULL DEFAULT 0,
    recorded_at bigint,
    name text COLLATE "C" NOT NULL UNIQUE
) WITH (fillfactor = 50);

CREATE TABLE @entries (
    stream_id bigint NOT NULL,
    id bigint NOT NULL,
    recorded_at bigint NOT NULL,
    updated_at bigint,
    expires_at bigint,
    schema_version bigint,
    kind text COLLATE "C",
    order_key text COLLATE "C",
    dedup_key text COLLATE "C",
    content_type text COLLATE "C",
    payload json,
    payload_bytes bytea,
    metadata jsonb,
    tags jsonb,
    annotations jsonb,
    PRIMARY KEY (stream_id, id)
){partition_by};
CREATE UNIQUE INDEX %entries_dedup_key ON @entries (stream_id, dedup_key) WHERE dedup_key <> '';
CREATE INDEX %entries_order_key ON @entries (stream_id, order_key, id) WHERE order_key IS NOT NULL;
CREATE INDEX %entries_expires_at ON @entries (stream_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE @checkpoints (
    stream_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (stream_id, name)
);
CREATE SEQUENCE @revisions;

-- The server's time in microseconds, unless the program brings its own.
CREATE FUNCTION @clock(given bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(given, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
$$;

-- A time as analysts want it; what no calendar holds is infinitely far away.
CREATE FUNCTION @calendar(micros bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN micros < -62135596800000000 THEN '-infinity'::timestamptz
        WHEN micros >= 253402300800000000 THEN 'infinity'::timestamptz
        ELSE '1970-01-01 00:00:00+00'::timestamptz + micros * interval '1 microsecond'
    END
$$;

CREATE FUNCTION @size(payload json, payload_bytes bytea) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(octet_length(payload::text), octet_length(payload_bytes), 0)::bigint
$$;

CREATE VIEW @log AS
    SELECT s.name AS stream, e.id, @calendar(e.recorded_at) AS recorded_at, e.kind, e.order_key, e.dedup_key,
        e.schema_version, coalesce(e.content_type, 'application/json') AS content_type, e.payload, e.payload_bytes,
        coalesce(e.metadata, '{}') AS metadata, coalesce(e.tags, '[]') AS tags,
        coalesce(e.annotations, '{}') AS annotations,
        @calendar(e.updated_at) AS updated_at, @calendar(e.expires_at) AS expires_at
    FROM @entries e JOIN @streams s USING (stream_id)
    WHERE e.schema_version IS NOT NULL
        AND (e.expires_at IS NULL OR @calendar(e.expires_at) > statement_timestamp());

-- The head of a stream, locked until the transaction ends. Every append takes it first.
CREATE FUNCTION @lock_stream(wanted text) RETURNS @streams LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    stream @streams;
BEGIN
    LOOP
        SELECT * INTO stream FROM @streams s WHERE s.name = wanted FOR NO KEY UPDATE;
        IF FOUND THEN
            RETURN stream;
        END IF;
        INSERT INTO @streams (name) VALUES (wanted) ON CONFLICT (name) DO NOTHING;
    END LOOP;
END $$;

CREATE FUNCTION @notify(stream_name text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('ledger_' || '@streams'::regclass::oid, stream_name)
$$;

-- The first id recorded at a time or later; one beyond the head if there is none. Every id from first to head has a
-- row, and time never steps back along them.
CREATE FUNCTION @first_since(stream bigint, first_id bigint, head_id bigint, since bigint)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    low bigint := first_id;
    high bigint := head_id + 1;
    middle bigint;
BEGIN
    WHILE low < high LOOP
        middle := low + (high - low) / 2;
        IF (SELECT e.recorded_at FROM @entries e WHERE e.stream_id = stream AND e.id = middle) < since THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END $$;

-- Takes everything from an entry but its id and time.
CREATE FUNCTION @erase(stream bigint, erased_id bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE @entries SET updated_at = NULL, expires_at = NULL, schema_version = NULL, kind = NULL, order_key = NULL,
        dedup_key = NULL, content_type = NULL, payload = NULL, payload_bytes = NULL, metadata = NULL, tags = NULL,
        annotations = NULL
    WHERE stream_id = stream AND id = erased_id
$$;

CREATE FUNCTION @is_visible(stream bigint, wanted bigint, moment bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM @entries e WHERE e.stream_id = stream AND e.id = wanted
        AND e.schema_version IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > moment));
END $$;

-- The visible entry that holds a dedup key.
CREATE FUNCTION @holder(stream bigint, wanted text, moment bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT e.id FROM @entries e WHERE e.stream_id = stream AND e.dedup_key = wanted AND e.dedup_key <> ''
        AND (e.expires_at IS NULL OR e.expires_at > moment));
END $$;

-- The newest visible entry behind an id that a filter chooses.
CREATE FUNCTION @newest(stream bigint, filter jsonb, behind bigint, moment bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    keys text[];
    kinds text[];
    found_id bigint;
BEGIN
    IF filter ? 'kinds' THEN
        kinds := ARRAY(SELECT jsonb_array_elements_text(filter -> 'kinds'));
    END IF;
    IF filter ? 'order_keys' THEN
        keys := ARRAY(SELECT DISTINCT jsonb_array_elements_text(filter -> 'order_keys'));
        SELECT max(n.id) INTO found_id FROM unnest(keys) AS k(key) CROSS JOIN LATERAL (
            SELECT e.id FROM @entries e WHERE e.stream_id = stream AND e.order_key = k.key AND e.id > behind
                AND e.schema_version IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > moment)
                AND (kinds IS NULL OR e.kind = ANY (kinds))
                AND (filter -> 'tags' IS NULL OR e.tags @> (filter -> 'tags'))
                AND (filter -> 'metadata' IS NULL OR e.metadata @> (filter -> 'metadata'))
            ORDER BY e.id DESC LIMIT 1) n;
    ELSE
        SELECT e.id INTO found_id FROM @entries e WHERE e.stream_id = stream AND e.id > behind
            AND e.schema_version IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > moment)
            AND (kinds IS NULL OR e.kind = ANY (kinds))
            AND (filter -> 'tags' IS NULL OR e.tags @> (filter -> 'tags'))
            AND (filter -> 'metadata' IS NULL OR e.metadata @> (filter -> 'metadata'))
        ORDER BY e.id DESC LIMIT 1;
    END IF;
    RETURN found_id;
END $$;

-- What is in the way of a condition: null if it holds, 0 if it fails although no entry matches.
CREATE FUNCTION @conflict(stream @streams, condition jsonb, moment bigint) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    is_exact boolean := (condition ->> 'exact')::boolean;
    last_id bigint := (condition ->> 'after')::bigint;
    newest bigint;
BEGIN
    IF is_exact AND NOT condition ?| ARRAY['order_keys', 'kinds', 'tags', 'metadata'] THEN
        RETURN CASE WHEN nullif(stream.head, 0) IS DISTINCT FROM last_id THEN stream.head END;
    END IF;
    newest := @newest(stream.stream_id, condition, CASE WHEN is_exact THEN 0 ELSE coalesce(last_id, 0) END, moment);
    IF newest > coalesce(last_id, 0) THEN
        RETURN newest;
    END IF;
    IF NOT is_exact OR newest IS NOT DISTINCT FROM last_id THEN
        RETURN NULL;
    END IF;
    -- An entry that was given out and is gone is taken at its word.
    IF last_id BETWEEN 1 AND stream.head AND NOT @is_visible(stream.stream_id, last_id, moment) THEN
        RETURN NULL;
    END IF;
    RETURN coalesce(newest, 0);
END $$;

-- As `@conflict`, for the entries low to high of a call: what is there already needs no condition.
CREATE FUNCTION @obstacle(
    stream @streams, condition jsonb, moment bigint, dedup_key text[], low integer, high integer
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF condition IS NULL THEN
        RETURN NULL;
    END IF;
    FOR i IN low..high LOOP
        IF @holder(stream.stream_id, dedup_key[i], moment) IS NULL THEN
            RETURN @conflict(stream, condition, moment);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Appends everything to one stream, and answers the id before the first; null, and nothing is done, if a dedup key is
-- taken. The insert finds that out by itself: looking first would cost as much as inserting.
CREATE FUNCTION @append_new(
    stream_name text, moment bigint, entries_new integer, bytes_new bigint,
    expires_at bigint[], schema_version bigint[], kind text[], order_key text[], dedup_key text[],
    content_type text[], payload text[], payload_bytes bytea[], metadata text[], tags text[]
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    stream @streams;
BEGIN
    UPDATE @streams s SET head = s.head + entries_new, bytes = s.bytes + bytes_new,
        recorded_at = greatest(s.recorded_at, @clock(moment))
    WHERE s.name = stream_name RETURNING * INTO stream;
    IF NOT FOUND THEN
        PERFORM @lock_stream(stream_name);
        UPDATE @streams s SET head = s.head + entries_new, bytes = s.bytes + bytes_new,
            recorded_at = greatest(s.recorded_at, @clock(moment))
        WHERE s.name = stream_name RETURNING * INTO stream;
    END IF;
    -- One entry alone is the common case, and quicker without a table made of arrays.
    IF entries_new = 1 THEN
        INSERT INTO @entries (stream_id, id, recorded_at, expires_at, schema_version, kind, order_key, dedup_key,
            content_type, payload, payload_bytes, metadata, tags)
        VALUES (stream.stream_id, stream.head, stream.recorded_at, expires_at[1], schema_version[1], kind[1],
            order_key[1], dedup_key[1], content_type[1], payload[1]::json, payload_bytes[1], metadata[1]::jsonb,
            tags[1]::jsonb);
        PERFORM @notify(stream_name);
        RETURN stream.head - 1;
    END IF;
    INSERT INTO @entries (stream_id, id, recorded_at, expires_at, schema_version, kind, order_key, dedup_key,
        content_type, payload, payload_bytes, metadata, tags)
    SELECT stream.stream_id, stream.head - entries_new + n.place, stream.recorded_at, n.expires_at,
        n.schema_version, n.kind, n.order_key, n.dedup_key, n.content_type, n.payload::json, n.payload_bytes,
        n.metadata::jsonb, n.tags::jsonb
    FROM unnest(expires_at, schema_version, kind, order_key, dedup_key, content_type, payload, payload_bytes, metadata,
        tags) WITH ORDINALITY AS n(expires_at, schema_version, kind, order_key, dedup_key, content_type, payload,
        payload_bytes, metadata, tags, place);
    PERFORM @notify(stream_name);
    RETURN stream.head - entries_new;
EXCEPTION WHEN unique_violation THEN
    RETURN NULL;
END $$;

-- Appends batches to one stream, one after the other and entry by entry. The first entry is number `low` of the call.
-- Answers an id for each entry: negative if it is a duplicate, 0 if its batch was refused.
CREATE FUNCTION @append_each(
    stream_name text, low integer, counts integer[], conditions text[], moment bigint,
    expires_at bigint[], schema_version bigint[], kind text[], order_key text[], dedup_key text[],
    content_type text[], payload text[], payload_bytes bytea[], metadata text[], tags text[],
    OUT ids bigint[], OUT conflicts bigint[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    stream @streams := @lock_stream(stream_name);
    time_of_append bigint := @clock(moment);
    stamp bigint := greatest(stream.recorded_at, time_of_append);
    old_head bigint := stream.head;
    next_entry integer := low;
    holder record;
BEGIN
    ids := '{}';
    conflicts := array_fill(NULL::bigint, ARRAY[cardinality(counts)]);
    FOR b IN 1..cardinality(counts) LOOP
        conflicts[b] := @obstacle(
            stream, conditions[b]::jsonb, time_of_append, dedup_key, next_entry, next_entry + counts[b] - 1);
        FOR i IN next_entry..next_entry + counts[b] - 1 LOOP
            IF conflicts[b] IS NOT NULL THEN
                ids[i - low + 1] := 0;
                CONTINUE;
            END IF;
            IF dedup_key[i] <> '' THEN
                SELECT e.id, e.expires_at <= time_of_append AS is_expired, e.payload, e.payload_bytes INTO holder
                FROM @entries e
                WHERE e.stream_id = stream.stream_id AND e.dedup_key = dedup_key[i] AND e.dedup_key <> '';
                IF FOUND AND holder.is_expired THEN
                    PERFORM @erase(stream.stream_id, holder.id);
                    stream.bytes := stream.bytes - @size(holder.payload, holder.payload_bytes);
                ELSIF FOUND THEN
                    ids[i - low + 1] := -holder.id;
                    CONTINUE;
                END IF;
            END IF;
            stream.head := stream.head + 1;
            stream.bytes := stream.bytes + coalesce(octet_length(payload[i]), octet_length(payload_bytes[i]));
            INSERT INTO @entries (stream_id, id, recorded_at, expires_at, schema_version, kind, order_key, dedup_key,
                content_type, payload, payload_bytes, metadata, tags)
            VALUES (stream.stream_id, stream.head, stamp, expires_at[i], schema_version[i], kind[i], order_key[i],
                dedup_key[i], content_type[i], payload[i]::json, payload_bytes[i], metadata[i]::jsonb, tags[i]::jsonb);
            ids[i - low + 1] := stream.head;
        END LOOP;
        next_entry := next_entry + counts[b];
    END LOOP;
    IF stream.head > old_head THEN
        UPDATE @streams s SET head = stream.head, bytes = stream.bytes, recorded_at = stamp
        WHERE s.stream_id = stream.stream_id;
        PERFORM @notify(stream_name);
    END IF;
END $$;

-- Appends batches, each on its own if they are `together` = false: then all go to the one stream named. If they belong
-- together, there is a name for each of them, in any order, and all are appended or none is.
-- Answers the id before the first if all was appended in order, or else the ids and conflicts of `@append_each`.
CREATE FUNCTION @append(
    together boolean, names text[], counts integer[], conditions text[], moment bigint, bytes_new bigint,
    expires_at bigint[], schema_version bigint[], kind text[], order_key text[], dedup_key text[],
    content_type text[], payload text[], payload_bytes bytea[], metadata text[], tags text[],
    OUT base bigint, OUT ids bigint[], OUT conflicts bigint[]
) LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_variable
DECLARE
    low integer := 1;
    part record;
    stream_name text;
    obstacle bigint;
BEGIN
    IF NOT together THEN
        IF conditions IS NULL THEN
            base := @append_new(names[1], moment, cardinality(kind), bytes_new, expires_at, schema_version, kind,
                order_key, dedup_key, content_type, payload, payload_bytes, metadata, tags);
        END IF;
        IF base IS NULL THEN
            SELECT a.ids, a.conflicts INTO ids, conflicts FROM @append_each(
                names[1], 1, counts, conditions, moment, expires_at, schema_version, kind, order_key, dedup_key,
                content_type, payload, payload_bytes, metadata, tags) AS a;
        END IF;
        RETURN;
    END IF;

    -- Everybody locks in the order of the names, so nobody waits for somebody who waits for him.
    FOR stream_name IN SELECT n.name FROM unnest(names) AS n(name) ORDER BY n.name COLLATE "C" LOOP
        PERFORM @lock_stream(stream_name);
    END LOOP;
    moment := @clock(moment);
    conflicts := array_fill(NULL::bigint, ARRAY[cardinality(counts)]);
    FOR b IN 1..cardinality(counts) LOOP
        obstacle := @obstacle(
            @lock_stream(names[b]), conditions[b]::jsonb, moment, dedup_key, low, low + counts[b] - 1);
        IF obstacle IS NOT NULL THEN
            conflicts[b] := obstacle;
            RETURN;
        END IF;
        low := low + counts[b];
    END LOOP;
    ids := '{}';
    low := 1;
    FOR b IN 1..cardinality(counts) LOOP
        SELECT a.ids INTO part FROM @append_each(
            names[b], low, ARRAY[counts[b]], NULL, moment, expires_at, schema_version, kind, order_key, dedup_key,
            content_type, payload, payload_bytes, metadata, tags) AS a;
        ids := ids || part.ids;
        low := low + counts[b];
    END LOOP;
END $$;

CREATE FUNCTION @trim(stream_name text, through bigint) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    stream @streams;
    last_id bigint;
    bytes_gone bigint;
BEGIN
    SELECT * INTO stream FROM @streams s WHERE s.name = stream_name FOR NO KEY UPDATE;
    last_id := least(through, stream.head);
    IF NOT FOUND OR last_id < stream.first THEN
        RETURN 0;
    END IF;
    WITH gone AS (
        DELETE FROM @entries e WHERE e.stream_id = stream.stream_id AND e.id BETWEEN stream.first AND last_id
        RETURNING @size(e.payload, e.payload_bytes) AS size
    ) SELECT sum(g.size) INTO bytes_gone FROM gone g;
    UPDATE @streams s SET first = last_id + 1, bytes = s.bytes - bytes_gone WHERE s.stream_id = stream.stream_id;
    RETURN last_id + 1 - stream.first;
END $$;

CREATE FUNCTION @retain(stream_name text, moment bigint, age_max bigint, entries_max bigint, bytes_max bigint)
RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    stream @streams;
    first_kept bigint;
    first_within bigint;
    bytes_left bigint;
    size bigint;
BEGIN
    SELECT * INTO stream FROM @streams s WHERE s.name = stream_name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    first_kept := greatest(
        stream.first,
        @first_since(stream.stream_id, stream.first, stream.head, @clock(moment) - age_max),
        stream.head + 1 - entries_max);
    first_within := stream.first;
    bytes_left := stream.bytes;
    IF bytes_left > bytes_max THEN
        FOR size IN SELECT @size(e.payload, e.payload_bytes) FROM @entries e
            WHERE e.stream_id = stream.stream_id AND e.id >= stream.first ORDER BY e.id
        LOOP
            EXIT WHEN bytes_left <= bytes_max;
            bytes_left := bytes_left - size;
            first_within := first_within + 1;
        END LOOP;
    END IF;
    RETURN @trim(stream_name, greatest(first_kept, first_within) - 1);
END $$;

CREATE FUNCTION @purge_expired(stream_name text, moment bigint) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    stream @streams;
    entry record;
    purged bigint := 0;
    bytes_gone bigint := 0;
    time_of_purge bigint;
BEGIN
    SELECT * INTO stream FROM @streams s WHERE s.name = stream_name FOR NO KEY UPDATE;
    time_of_purge := @clock(moment);
    FOR entry IN SELECT e.id, @size(e.payload, e.payload_bytes) AS size FROM @entries e
        WHERE e.stream_id = stream.stream_id AND e.expires_at <= time_of_purge
    LOOP
        PERFORM @erase(stream.stream_id, entry.id);
        purged := purged + 1;
        bytes_gone := bytes_gone + entry.size;
    END LOOP;
    IF purged > 0 THEN
        UPDATE @streams s SET bytes = s.bytes - bytes_gone WHERE s.stream_id = stream.stream_id;
    END IF;
    RETURN purged;
END $$;

-- Tells whether there was such an entry.
CREATE FUNCTION @set_tags(stream_name text, entry bigint, moment bigint, new_tags text)
RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    time_of_change bigint := @clock(moment);
BEGIN
    UPDATE @entries e SET tags = new_tags::jsonb, updated_at = time_of_change
    WHERE e.stream_id = (SELECT s.stream_id FROM @streams s WHERE s.name = stream_name) AND e.id = entry
        AND e.schema_version IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > time_of_change);
    RETURN FOUND;
END $$;

-- Adds pairs to an entry's annotations and removes keys. If the result is too large, nothing is done, and the answer is
-- what it would have been.
CREATE FUNCTION @annotate(
    stream_name text, entry bigint, moment bigint, added text, removed text[], bytes_max bigint,
    OUT is_found boolean, OUT too_large text
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    time_of_change bigint := @clock(moment);
    stream bigint := (SELECT s.stream_id FROM @streams s WHERE s.name = stream_name);
    merged jsonb;
    bytes bigint;
BEGIN
    SELECT (coalesce(e.annotations, '{}') || added::jsonb) - removed INTO merged FROM @entries e
    WHERE e.stream_id = stream AND e.id = entry AND e.schema_version IS NOT NULL
        AND (e.expires_at IS NULL OR e.expires_at > time_of_change)
    FOR NO KEY UPDATE;
    is_found := FOUND;
    IF NOT is_found THEN
        RETURN;
    END IF;
    -- Each U+0001 is the first half of an escape.
    SELECT sum(octet_length(replace(p.key || p.value, U&'\0001', ''))) INTO bytes FROM jsonb_each_text(merged) p;
    IF bytes > bytes_max THEN
        too_large := merged::text;
        RETURN;
    END IF;
    UPDATE @entries e SET annotations = nullif(merged, '{}'), updated_at = time_of_change
    WHERE e.stream_id = stream AND e.id = entry;
END $$;

-- Answers `renamed`, `missing` or `exists`.
CREATE FUNCTION @rename(old_name text, new_name text) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    stream @streams;
    old_stream @streams;
    new_stream @streams;
BEGIN
    FOR stream IN SELECT * FROM @streams s WHERE s.name IN (old_name, new_name) ORDER BY s.name FOR UPDATE LOOP
        IF stream.name = old_name THEN
            old_stream := stream;
        ELSE
            new_stream := stream;
        END IF;
    END LOOP;
    IF old_stream.head IS NULL OR old_stream.head = 0 THEN
        RETURN 'missing';
    ELSIF old_name = new_name THEN
        RETURN 'renamed';
    ELSIF new_stream.head > 0
        OR EXISTS (SELECT 1 FROM @checkpoints c WHERE c.stream_id = new_stream.stream_id) THEN
        RETURN 'exists';
    END IF;
    DELETE FROM @streams s WHERE s.stream_id = new_stream.stream_id;
    UPDATE @streams s SET name = new_name WHERE s.stream_id = old_stream.stream_id;
    PERFORM @notify(new_name);
    RETURN 'renamed';
EXCEPTION WHEN unique_violation THEN
    RETURN 'exists';
END $$;

-- Answers the new revision, or none and the one that was found instead. Revisions are counted for the whole store, so
-- that none is used twice for one name, whatever is deleted or renamed.
CREATE FUNCTION @save_checkpoint(
    stream_name text, checkpoint text, content bytea, expected bigint, OUT saved bigint, OUT found_instead bigint
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    stream bigint;
BEGIN
    LOOP
        SELECT s.stream_id INTO stream FROM @streams s WHERE s.name = stream_name FOR KEY SHARE;
        EXIT WHEN FOUND OR expected IS NOT NULL;
        INSERT INTO @streams (name) VALUES (stream_name) ON CONFLICT (name) DO NOTHING;
    END LOOP;
    IF expected IS NULL THEN
        INSERT INTO @checkpoints AS c (stream_id, name, revision, value)
        VALUES (stream, checkpoint, nextval('@revisions'), content)
        ON CONFLICT (stream_id, name) DO NOTHING RETURNING c.revision INTO saved;
    ELSE
        UPDATE @checkpoints c SET revision = nextval('@revisions'), value = content
        WHERE c.stream_id = stream AND c.name = checkpoint AND c.revision = expected RETURNING c.revision INTO saved;
    END IF;
    IF saved IS NULL THEN
        SELECT c.revision INTO found_instead FROM @checkpoints c WHERE c.stream_id = stream AND c.name = checkpoint;
    END IF;
END $$;

CREATE FUNCTION @delete_checkpoint(
    stream_name text, checkpoint text, expected bigint, OUT deleted bigint, OUT found_instead bigint
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    stream bigint := (SELECT s.stream_id FROM @streams s WHERE s.name = stream_name);
BEGIN
    DELETE FROM @checkpoints c WHERE c.stream_id = stream AND c.name = checkpoint AND c.revision = expected
    RETURNING c.revision INTO deleted;
    IF deleted IS NULL THEN
        SELECT c.revision INTO found_instead FROM @checkpoints c WHERE c.stream_id = stream AND c.name = checkpoint;
    END IF;
END $$;
