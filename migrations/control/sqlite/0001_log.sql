-- The counter. Its one row is changed first in every commit.
CREATE TABLE revision (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO revision (id, value) VALUES (1, 0);

-- Everything that happened, in order. The only place of bodies: a live object's body is in the entry that wrote it,
-- which compaction keeps, so that no body is written twice. The body stands last: a scan that does not need it never
-- reads its overflow pages.
CREATE TABLE log (
    revision   INTEGER PRIMARY KEY,
    resource   TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    deleted    INTEGER NOT NULL,
    -- The revision that this one replaced; 0 if it created the object.
    previous   INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    client     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    -- Microseconds since 1970, system time.
    at         INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
CREATE INDEX log_by_key ON log (resource, namespace, name, revision);

-- Which entry of the log each live object is at: what expectations and guards are checked against.
CREATE TABLE objects (
    resource  TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    uid       TEXT    NOT NULL,
    revision  INTEGER NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) STRICT, WITHOUT ROWID;

-- The oldest revision at which a resource's state can still be told.
CREATE TABLE floors (
    resource TEXT    PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
