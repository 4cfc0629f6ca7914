-- What has left the log as history, whole, with who did it: what the audit tells beyond a day.
CREATE TABLE audit (
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
    -- The same, of the end of this state: what counts for how long it is kept, since the change that ended it is told
    -- with the difference to it.
    until      INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_key ON audit (resource, namespace, name, revision);
CREATE INDEX audit_by_namespace ON audit (namespace, revision);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_end ON audit (until);

-- Requests that changed no object and still are told: refused ones, reads of what is sensitive, changes to users.
CREATE TABLE audit_access (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    client     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    verb       TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    -- `read`, `done`, `denied`.
    outcome    TEXT    NOT NULL,
    -- The HTTP status.
    code       INTEGER NOT NULL,
    -- How often, where like ones are told together.
    count      INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_access_by_namespace ON audit_access (namespace, id);
