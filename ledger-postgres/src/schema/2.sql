-- Format 2: an entry alone has a function of its own, and batches are inserted without asking the row of the stream
-- for each of their entries.

-- As in format 1, but for several entries: what is looked at for each of them is a plain variable.
CREATE OR REPLACE FUNCTION @append_new(
    stream_name text, moment bigint, entries_new integer, bytes_new bigint,
    expires_at bigint[], schema_version bigint[], kind text[], order_key text[], dedup_key text[],
    content_type text[], payload text[], payload_bytes bytea[], metadata text[], tags text[]
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
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
