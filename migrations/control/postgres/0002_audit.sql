-- What has left the log as history, whole, with who did it: what the audit tells beyond a day.
CREATE TABLE control.audit (
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
    -- The same, of the end of this state: what counts for how long it is kept, since the change that ended it is told
    -- with the difference to it.
    until      bigint NOT NULL,
    body       text   NOT NULL
);
CREATE INDEX audit_by_key ON control.audit (resource, namespace, name, revision);
CREATE INDEX audit_by_namespace ON control.audit (namespace, revision);
CREATE INDEX audit_by_time ON control.audit (at);
CREATE INDEX audit_by_end ON control.audit (until);

-- Requests that changed no object and still are told: refused ones, reads of what is sensitive, changes to users.
CREATE TABLE control.audit_access (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at         bigint NOT NULL,
    actor      text   NOT NULL,
    address    text   NOT NULL,
    client     text   NOT NULL,
    request_id text   NOT NULL,
    verb       text   NOT NULL,
    resource   text   COLLATE "C" NOT NULL,
    namespace  text   COLLATE "C" NOT NULL,
    name       text   COLLATE "C" NOT NULL,
    -- `read`, `done`, `denied`.
    outcome    text   NOT NULL,
    -- The HTTP status.
    code       integer NOT NULL,
    -- How often, where like ones are told together.
    count      bigint NOT NULL
);
CREATE INDEX audit_access_by_namespace ON control.audit_access (namespace, id);
