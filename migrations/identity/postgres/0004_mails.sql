-- Mails to people about their account: invitations, resets, verifications. The notification agent reads on from a number
-- and sends them. Times are microseconds since the epoch, of system time.

-- The number of the newest mail; raised in the transaction that writes, so that whoever reads on from a number misses
-- nothing.
CREATE TABLE identity.mail_counter (value bigint NOT NULL);
INSERT INTO identity.mail_counter VALUES (0);

CREATE TABLE identity.mails (
    seq        bigint PRIMARY KEY,
    id         text   NOT NULL UNIQUE,
    -- What its link is for, as in one_time.
    kind       text   NOT NULL,
    -- The link in one_time, as long as no newer one took its place.
    hash       bytea  NOT NULL,
    -- The link's token.
    sealed     bytea  NOT NULL,
    email      text   NOT NULL,
    locale     text,
    -- Of an invitation: where, as what, and by whom.
    namespace  text,
    role       text,
    invited_by text,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX mails_to ON identity.mails (kind, email, created_at);
CREATE INDEX mails_age ON identity.mails (expires_at);

-- Whether nobody but the owner of the mailbox can have the link: then using it shows that the address is theirs.
ALTER TABLE identity.one_time ADD COLUMN mailed_only bigint NOT NULL DEFAULT 0;
