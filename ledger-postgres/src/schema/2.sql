-- Format 2: an entry alone has a function of its own. In a batch, a column that no entry has a value in is null as a
-- whole, in place of an array of nulls; only `schema_version` is always there.

DROP FUNCTION @append_new(
    text, bigint, integer, bigint, bigint[], bigint[], text[], text[], text[], text[], text[], bytea[], text[], text[]);

-- Appends everything to one stream, and answers the id before the first; null, and nothing is done, if a dedup key is
-- taken. The insert finds that out by itself: looking first would cost as much as inserting.
CREATE FUNCTION @append_new(
    stream_name text, moment bigint, bytes_new bigint,
    expires_at bigint[], schema_version bigint[], kind text[], order_key text[], dedup_key text[],
    content_type text[], payload text[], payload_bytes bytea[], metadata text[], tags text[]
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    entries_new bigint := cardinality(schema_version);
    stream bigint;
    base bigint;
    stamp bigint;
BEGIN
    UPDATE @streams s SET head = s.head + entries_new, bytes = s.bytes + bytes_new,
        recorded_at = greatest(s.recorded_at, @clock(moment))
    WHERE s.name = stream_name RETURNING s.stream_id, s.head - entries_new, s.recorded_at INTO stream, base, stamp;
    IF NOT FOUND THEN
        PERFORM @lock_stream(stream_name);
        UPDATE @streams s SET head = s.head + entries_new, bytes = s.bytes + bytes_new,
            recorded_at = greatest(s.recorded_at, @clock(moment))
        WHERE s.name = stream_name RETURNING s.stream_id, s.head - entries_new, s.recorded_at INTO stream, base, stamp;
    END IF;
    INSERT INTO @entries (stream_id, id, recorded_at, expires_at, schema_version, kind, order_key, dedup_key,
        content_type, payload, payload_bytes, metadata, tags)
    SELECT stream, base + n.place, stamp, n.expires_at, n.schema_version, n.kind, n.order_key, n.dedup_key,
        n.content_type, n.payload::json, n.payload_bytes, n.metadata::jsonb, n.tags::jsonb
    FROM unnest(expires_at, schema_version, kind, order_key, dedup_key, content_type, payload, payload_bytes, metadata,
        tags) WITH ORDINALITY AS n(expires_at, schema_version, kind, order_key, dedup_key, content_type, payload,
        payload_bytes, metadata, tags, place);
    PERFORM @notify(stream_name);
    RETURN base;
EXCEPTION WHEN unique_violation THEN
    RETURN NULL;
END $$;

-- Appends batches, each on its own if they are `together` = false: then all go to the one stream named. If they belong
-- together, there is a name for each of them, in any order, and all are appended or none is.
-- Answers the id before the first if all was appended in order, or else the ids and conflicts of `@append_each`.
CREATE OR REPLACE FUNCTION @append(
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
            base := @append_new(names[1], moment, bytes_new, expires_at, schema_version, kind, order_key, dedup_key,
                content_type, payload, payload_bytes, metadata, tags);
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

-- Appends one entry without a condition. Answers its id, or that of the entry that has its dedup key, made negative.
-- It looks for nothing but the row of the stream, by its name, and so does without the settings of `@append`, which
-- would be a good part of its work. What is not plain is left to `@append`: a new stream, a dedup key that is taken.
CREATE FUNCTION @append_one(
    stream_name text, moment bigint, bytes_new bigint,
    expires_at bigint, schema_version bigint, kind text, order_key text, dedup_key text,
    content_type text, payload json, payload_bytes bytea, metadata jsonb, tags jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    stream bigint;
    new_id bigint;
    stamp bigint;
BEGIN
    BEGIN
        UPDATE @streams s SET head = s.head + 1, bytes = s.bytes + bytes_new,
            recorded_at = greatest(s.recorded_at, @clock(moment))
        WHERE s.name = stream_name RETURNING s.stream_id, s.head, s.recorded_at INTO stream, new_id, stamp;
        IF FOUND THEN
            INSERT INTO @entries (stream_id, id, recorded_at, expires_at, schema_version, kind, order_key, dedup_key,
                content_type, payload, payload_bytes, metadata, tags)
            VALUES (stream, new_id, stamp, expires_at, schema_version, kind, order_key, dedup_key, content_type,
                payload, payload_bytes, metadata, tags);
            PERFORM @notify(stream_name);
            RETURN new_id;
        END IF;
    EXCEPTION WHEN unique_violation THEN
        -- The head is back where it was.
    END;
    -- That there is a condition, though an empty one, says that the short way was tried.
    RETURN (SELECT a.ids[1] FROM @append(false, ARRAY[stream_name], ARRAY[1], ARRAY[NULL::text], moment, bytes_new,
        ARRAY[expires_at], ARRAY[schema_version], ARRAY[kind], ARRAY[order_key], ARRAY[dedup_key], ARRAY[content_type],
        ARRAY[payload::text], ARRAY[payload_bytes], ARRAY[metadata::text], ARRAY[tags::text]) AS a);
END $$;
