-- Format 1. `@name` stands for the qualified, quoted name of a table, view or function of the store, `#name` for the
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
CREATE UNIQUE INDEX #entries_dedup_key ON @entries (stream_id, dedup_key) WHERE dedup_key <> '';
CREATE INDEX #entries_order_key ON @entries (stream_id, order_key, id) WHERE order_key IS NOT NULL;
CREATE INDEX #entries_expires_at ON @entries (stream_id, expires_at) WHERE expires_at IS NOT NULL;

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
    IF stream.head > 0 AND last_id <= stream.head AND NOT @is_visible(stream.stream_id, last_id, moment) THEN
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
    INSERT INTO @entries (stream_id, id, recorded_at, expires_at, schema_version, kind, order_key, dedup_key,
        content_type, payload, payload_bytes, metadata, tags)
    SELECT stream.stream_id, stream.head - entries_new + n.position, stream.recorded_at, n.expires_at,
        n.schema_version, n.kind, n.order_key, n.dedup_key, n.content_type, n.payload::json, n.payload_bytes,
        n.metadata::jsonb, n.tags::jsonb
    FROM unnest(expires_at, schema_version, kind, order_key, dedup_key, content_type, payload, payload_bytes, metadata,
        tags) WITH ORDINALITY AS n(expires_at, schema_version, kind, order_key, dedup_key, content_type, payload,
        payload_bytes, metadata, tags, position);
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
                WHERE e.stream_id = stream.stream_id AND e.dedup_key = {append_each}.dedup_key[i] AND e.dedup_key <> '';
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
