-- Who there is, what they hold, and what has ended. Times are microseconds since the epoch, of system time.
-- Tokens and codes are kept as SHA-256 only; what must be read again (keys, secrets, TOTP) is sealed.

CREATE TABLE users (
    uid         TEXT   PRIMARY KEY,
    -- In lower case.
    email       TEXT   NOT NULL UNIQUE,
    name        TEXT   NOT NULL,
    -- Argon2id in the PHC form; none until it is set.
    password    TEXT,
    -- Since when the address is known to be the user's; an invitation alone does not show that.
    verified_at INTEGER,
    disabled_at INTEGER,
    totp        BLOB,
    created_at  INTEGER NOT NULL
) STRICT;

-- A login, with the family of refresh tokens that descend from it.
CREATE TABLE sessions (
    sid        TEXT   PRIMARY KEY,
    user_uid   TEXT   NOT NULL REFERENCES users (uid) ON DELETE CASCADE,
    client     TEXT   NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER,
    end_reason TEXT
) STRICT;
CREATE INDEX sessions_of_user ON sessions (user_uid);

CREATE TABLE refresh_tokens (
    hash       BLOB   PRIMARY KEY,
    sid        TEXT   NOT NULL REFERENCES sessions (sid) ON DELETE CASCADE,
    issued_at  INTEGER NOT NULL,
    rotated_at INTEGER,
    -- The token it was issued for; of two that were issued for one, only one may go on.
    parent     BLOB
) STRICT;
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (sid);
CREATE INDEX refresh_tokens_of_parent ON refresh_tokens (parent);

-- Links that are good once: invitations and resets.
CREATE TABLE one_time (
    purpose    TEXT    NOT NULL,
    -- `NAMESPACE/MEMBER` of an invitation, the address of a reset: a new link takes the place of the one before.
    subject    TEXT    NOT NULL,
    hash       BLOB    NOT NULL UNIQUE,
    email      TEXT    NOT NULL,
    -- The Member that an invitation is for.
    namespace  TEXT,
    member     TEXT,
    member_uid TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    PRIMARY KEY (purpose, subject)
) STRICT;

CREATE TABLE keys (
    kid            TEXT   PRIMARY KEY,
    private        BLOB   NOT NULL,
    public_jwk     TEXT   NOT NULL,
    created_at     INTEGER NOT NULL,
    -- It is published before it signs, so that whoever keeps a copy of the set knows it by then.
    signs_from     INTEGER NOT NULL,
    -- Then it is taken out of the set; until then it verifies what it signed.
    verifies_until INTEGER
) STRICT;

-- Tokens of a subject (`sid:…`, `user:…`, `serviceaccount:NS/NAME/UID`, `jti:…`) that were issued at or before a time.
CREATE TABLE revoked (
    subject       TEXT   PRIMARY KEY,
    issued_before INTEGER NOT NULL,
    -- By then all of them have expired anyway.
    until         INTEGER NOT NULL
) STRICT;

-- One row. `version` rises with every change that other replicas must hear of; they look every second.
CREATE TABLE state (
    id      INTEGER  PRIMARY KEY CHECK (id = 1),
    version INTEGER   NOT NULL
) STRICT;
INSERT INTO state (id, version) VALUES (1, 1);

CREATE TABLE secrets (
    namespace  TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    sealed     BLOB   NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT   NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT;
