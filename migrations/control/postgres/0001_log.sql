-- The counter. Its one row is locked first in every commit, so that revisions become visible in their own order.
CREATE TABLE control.revision (
    id    integer PRIMARY KEY CHECK (id = 1),
    value bigint  NOT NULL,
    -- Bytes of all bodies ever appended to the log.
    bytes bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO control.revision (id, value, bytes) VALUES (1, 0, 0);

-- Everything that happened, in order. The only place of bodies: a live object's body is in the entry that wrote it,
-- which compaction keeps, so that no body is written twice.
CREATE TABLE control.log (
    revision   bigint PRIMARY KEY,
    resource   text   COLLATE "C" NOT NULL,
    namespace  text   COLLATE "C" NOT NULL,
    name       text   COLLATE "C" NOT NULL,
    uid        text   NOT NULL,
    deleted    boolean NOT NULL,
    -- The revision that this one replaced; 0 if it created the object.
    previous   bigint NOT NULL,
    actor      text   NOT NULL,
    client     text   NOT NULL,
    request_id text   NOT NULL,
    -- Microseconds since 1970, system time.
    at         bigint NOT NULL,
    -- Bytes of all bodies ever appended, this one included: how much history there is since any entry.
    total      bigint NOT NULL,
    -- Text, not jsonb, which would reorder and rewrite it.
    body       text   NOT NULL
);
CREATE INDEX log_by_key ON control.log (resource, namespace, name, revision);

-- Bodies of more than 2 KB are compressed; lz4 costs a fraction of the default, but not every server has it.
DO $$
BEGIN
    ALTER TABLE control.log ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    NULL;
END
$$;

-- Which entry of the log each live object is at: what expectations and guards are checked against.
CREATE TABLE control.objects (
    resource  text   COLLATE "C" NOT NULL,
    namespace text   COLLATE "C" NOT NULL,
    name      text   COLLATE "C" NOT NULL,
    uid       text   NOT NULL,
    revision  bigint NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITH (fillfactor = 70);

-- The oldest revision at which a resource's state can still be told.
CREATE TABLE control.floors (
    resource text   COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL
);

-- Last states of objects that have left memory for good (finished orders).
CREATE TABLE control.archive (
    -- Of the deletion.
    revision  bigint PRIMARY KEY,
    resource  text   COLLATE "C" NOT NULL,
    namespace text   COLLATE "C" NOT NULL,
    name      text   COLLATE "C" NOT NULL,
    uid       text   NOT NULL,
    -- Microseconds since 1970, system time, of the deletion.
    at        bigint NOT NULL,
    -- JSON text, gzip.
    body      bytea  NOT NULL
);
ALTER TABLE control.archive ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX archive_by_namespace ON control.archive (resource, namespace, revision);
CREATE INDEX archive_by_name ON control.archive (resource, namespace, name, revision);

-- A JSON text as jsonb, which knows no NUL in strings: it becomes U+0001 on both sides of a comparison.
CREATE FUNCTION control.as_jsonb(text text) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$ SELECT replace(text, '\u0000', '\u0001')::jsonb $$;

-- The value at a path of a body; null where there is none. A body that is not JSON has no value anywhere.
CREATE FUNCTION control.value_at(body text, path text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(control.as_jsonb(body) #> path, 'null');
EXCEPTION WHEN data_exception THEN
    RETURN 'null';
END
$$;

-- Commits a batch in one statement, so that the counter's lock is never held over a round trip. Returns the counter
-- before and after, and for each write 0 if it was written, -1 if its object exists, -2 if it is missing, -3 if it has
-- changed, else the number (from 1) of its guard that does not hold.
CREATE FUNCTION control.commit_v1(
    -- Who commits (told to listeners, so that they need not look at their own), and when.
    p_source text, p_at bigint,
    -- The writes. `expected` is null for an object that must be absent.
    p_resource text[], p_namespace text[], p_name text[], p_expected bigint[], p_uid text[], p_deleted boolean[],
    p_actor text[], p_client text[], p_request_id text[], p_body text[], p_archived bytea[],
    -- The distinct guards. `path` is a text array, or null if existence and uid are all that matters.
    g_resource text[], g_namespace text[], g_name text[], g_uid text[], g_path text[], g_equals text[],
    -- Which write has which guard, and as which of its own.
    u_write integer[], u_guard integer[], u_position integer[],
    OUT before bigint, OUT newest bigint, OUT outcomes integer[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    bytes_before bigint;
    bytes_after  bigint;
    guards_hold  boolean[];
    failed       record;
    -- The revision that each write replaces, 0 if there is none, and the uid that it leaves.
    held         bigint[];
    uids         text[];
BEGIN
    -- Everybody else's commits are done from here to ours, and each statement below sees all of them.
    SELECT r.value, r.bytes INTO before, bytes_before FROM control.revision r FOR UPDATE;

    SELECT array_agg(j.outcome), array_agg(j.held), array_agg(j.uid)
    INTO outcomes, held, uids
    FROM (
        SELECT CASE WHEN w.expected IS NULL AND o.revision IS NOT NULL THEN -1
                    WHEN w.expected IS NOT NULL AND o.revision IS NULL THEN -2
                    WHEN w.expected <> o.revision THEN -3
                    ELSE 0
               END AS outcome,
               coalesce(o.revision, 0) AS held, CASE WHEN w.deleted THEN o.uid ELSE w.uid END AS uid
        FROM unnest(p_resource, p_namespace, p_name, p_expected, p_uid, p_deleted)
             WITH ORDINALITY AS w(resource, namespace, name, expected, uid, deleted, number)
        LEFT JOIN control.objects o
             ON o.resource = w.resource AND o.namespace = w.namespace AND o.name = w.name
        ORDER BY w.number
    ) j;

    IF cardinality(g_resource) > 0 THEN
        SELECT array_agg(
                   o.revision IS NOT NULL
                   AND (g.uid IS NULL OR g.uid = o.uid)
                   AND (g.path IS NULL OR control.value_at(l.body, g.path::text[]) = control.as_jsonb(g.equals))
                   ORDER BY g.number)
        INTO guards_hold
        FROM unnest(g_resource, g_namespace, g_name, g_uid, g_path, g_equals)
             WITH ORDINALITY AS g(resource, namespace, name, uid, path, equals, number)
        LEFT JOIN control.objects o
             ON o.resource = g.resource AND o.namespace = g.namespace AND o.name = g.name
        LEFT JOIN control.log l ON l.revision = o.revision;

        IF NOT true = ALL (guards_hold) THEN
            FOR failed IN
                SELECT u.write, min(u.position) AS position
                FROM unnest(u_write, u_guard, u_position) AS u(write, guard, position)
                WHERE NOT guards_hold[u.guard]
                GROUP BY u.write
            LOOP
                IF outcomes[failed.write] = 0 THEN
                    outcomes[failed.write] := failed.position;
                END IF;
            END LOOP;
        END IF;
    END IF;

    IF NOT 0 = ANY (outcomes) THEN
        newest := before;
        RETURN;
    END IF;
    newest := before + cardinality(p_resource);

    -- Statements of their own, of which most batches need three: bodies pass through one only.
    WITH logged AS (
        INSERT INTO control.log (revision, resource, namespace, name, uid, deleted, previous, actor, client,
                                 request_id, at, total, body)
        SELECT before + w.number, w.resource, w.namespace, w.name, w.uid, w.deleted, w.held, w.actor, w.client,
               w.request_id, p_at, bytes_before + sum(octet_length(w.body)) OVER (ORDER BY w.number), w.body
        FROM unnest(p_resource, p_namespace, p_name, uids, p_deleted, held, p_actor, p_client, p_request_id, p_body,
                    outcomes)
             WITH ORDINALITY AS w(resource, namespace, name, uid, deleted, held, actor, client, request_id, body,
                                  outcome, number)
        WHERE w.outcome = 0
        RETURNING total
    )
    SELECT max(l.total) INTO bytes_after FROM logged l;

    IF 0 = ANY (held) THEN
        INSERT INTO control.objects (resource, namespace, name, uid, revision)
        SELECT w.resource, w.namespace, w.name, w.uid, before + w.number
        FROM unnest(p_resource, p_namespace, p_name, uids, held, outcomes)
             WITH ORDINALITY AS w(resource, namespace, name, uid, held, outcome, number)
        WHERE w.outcome = 0 AND w.held = 0;
    END IF;

    IF 0 < ANY (held) THEN
        UPDATE control.objects o SET uid = w.uid, revision = before + w.number
        FROM unnest(p_resource, p_namespace, p_name, uids, p_deleted, held, outcomes)
             WITH ORDINALITY AS w(resource, namespace, name, uid, deleted, held, outcome, number)
        WHERE w.outcome = 0 AND w.held > 0 AND NOT w.deleted
          AND o.resource = w.resource AND o.namespace = w.namespace AND o.name = w.name;
    END IF;

    IF true = ANY (p_deleted) THEN
        DELETE FROM control.objects o
        USING unnest(p_resource, p_namespace, p_name, p_deleted, outcomes) AS w(resource, namespace, name, deleted, outcome)
        WHERE w.outcome = 0 AND w.deleted
          AND o.resource = w.resource AND o.namespace = w.namespace AND o.name = w.name;

        INSERT INTO control.archive (revision, resource, namespace, name, uid, at, body)
        SELECT before + w.number, w.resource, w.namespace, w.name, w.uid, p_at, w.archived
        FROM unnest(p_resource, p_namespace, p_name, uids, p_archived, outcomes)
             WITH ORDINALITY AS w(resource, namespace, name, uid, archived, outcome, number)
        WHERE w.outcome = 0 AND w.archived IS NOT NULL;
    END IF;

    UPDATE control.revision SET value = newest, bytes = bytes_after;
    PERFORM pg_notify('dropmate_control', p_source);
END
$$;
