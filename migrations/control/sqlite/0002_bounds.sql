-- Bytes of all bodies ever appended: how much history there is since any entry. What was there before counts as
-- nothing, and is the first to go.
ALTER TABLE revision ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN total INTEGER NOT NULL DEFAULT 0;

-- Last states of objects that have left memory for good (finished orders).
CREATE TABLE archive (
    -- Of the deletion.
    revision  INTEGER PRIMARY KEY,
    resource  TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    uid       TEXT    NOT NULL,
    -- Microseconds since 1970, system time, of the deletion.
    at        INTEGER NOT NULL,
    -- JSON text, gzip.
    body      BLOB    NOT NULL
) STRICT;
CREATE INDEX archive_by_namespace ON archive (resource, namespace, revision);
CREATE INDEX archive_by_name ON archive (resource, namespace, name, revision);
