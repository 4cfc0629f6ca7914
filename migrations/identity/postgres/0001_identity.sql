-- Who there is, what they hold, and what has ended. Times are microseconds since the epoch, of system time.
-- Tokens and codes are kept as SHA-256 only; what must be read again (keys, secrets, TOTP) is sealed.

CREATE TABLE identity.users (
    uid         text   PRIMARY KEY,
    -- In lower case; in the same order as in SQLite.
    email       text   COLLATE "C" NOT NULL UNIQUE,
    name        text   NOT NULL,
    -- Argon2id in the PHC form; none until it is set.
    password    text,
    -- Since when the address is known to be the user's; an invitation alone does not show that.
    verified_at bigint,
    disabled_at bigint,
    totp        bytea,
    created_at  bigint NOT NULL
);

-- A login, with the family of refresh tokens that descend from it.
CREATE TABLE identity.sessions (
    sid        text   PRIMARY KEY,
    user_uid   text   NOT NULL REFERENCES identity.users (uid) ON DELETE CASCADE,
    client     text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ended_at   bigint,
    end_reason text
);
CREATE INDEX sessions_of_user ON identity.sessions (user_uid);

CREATE TABLE identity.refresh_tokens (
    hash       bytea  PRIMARY KEY,
    sid        text   NOT NULL REFERENCES identity.sessions (sid) ON DELETE CASCADE,
    issued_at  bigint NOT NULL,
    rotated_at bigint,
    -- The token it was issued for; of two that were issued for one, only one may go on.
    parent     bytea
);
CREATE INDEX refresh_tokens_of_session ON identity.refresh_tokens (sid);
CREATE INDEX refresh_tokens_of_parent ON identity.refresh_tokens (parent);

-- Links that are good once: invitations and resets.
CREATE TABLE identity.one_time (
    purpose    text   NOT NULL,
    -- `NAMESPACE/MEMBER` of an invitation, the address of a reset: a new link takes the place of the one before.
    subject    text   NOT NULL,
    hash       bytea  NOT NULL UNIQUE,
    email      text   NOT NULL,
    -- The Member that an invitation is for.
    namespace  text,
    member     text,
    member_uid text,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at    bigint,
    PRIMARY KEY (purpose, subject)
);

CREATE TABLE identity.keys (
    kid            text   PRIMARY KEY,
    private        bytea  NOT NULL,
    public_jwk     text   NOT NULL,
    created_at     bigint NOT NULL,
    -- It is published before it signs, so that whoever keeps a copy of the set knows it by then.
    signs_from     bigint NOT NULL,
    -- Then it is taken out of the set; until then it verifies what it signed.
    verifies_until bigint
);

-- Tokens of a subject (`sid:…`, `user:…`, `serviceaccount:NS/NAME/UID`, `jti:…`) that were issued at or before a time.
CREATE TABLE identity.revoked (
    subject       text   PRIMARY KEY,
    issued_before bigint NOT NULL,
    -- By then all of them have expired anyway.
    until         bigint NOT NULL
);

-- One row. `version` rises with every change that other replicas must hear of; they look every second.
CREATE TABLE identity.state (
    id      integer PRIMARY KEY CHECK (id = 1),
    version bigint   NOT NULL
);
INSERT INTO identity.state (id, version) VALUES (1, 1);

CREATE TABLE identity.secrets (
    namespace  text   NOT NULL,
    name       text   NOT NULL,
    sealed     bytea  NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    updated_by text   NOT NULL,
    PRIMARY KEY (namespace, name)
);
