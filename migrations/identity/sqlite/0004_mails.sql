-- Mails to people about their account: invitations, resets, verifications. The notification agent reads on from a number
-- and sends them. Times are microseconds since the epoch, of system time.

-- The number of the newest mail; raised in the transaction that writes, so that whoever reads on from a number misses
-- nothing.
CREATE TABLE mail_counter (value INTEGER NOT NULL) STRICT;
INSERT INTO mail_counter VALUES (0);

CREATE TABLE mails (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    -- What its link is for, as in one_time.
    kind       TEXT    NOT NULL,
    -- The link in one_time, as long as no newer one took its place.
    hash       BLOB    NOT NULL,
    -- The link's token.
    sealed     BLOB    NOT NULL,
    email      TEXT    NOT NULL,
    locale     TEXT,
    -- Of an invitation: where, as what, and by whom.
    namespace  TEXT,
    role       TEXT,
    invited_by TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX mails_to ON mails (kind, email, created_at);
CREATE INDEX mails_age ON mails (expires_at);

-- Whether nobody but the owner of the mailbox can have the link: then using it shows that the address is theirs.
ALTER TABLE one_time ADD COLUMN mailed_only INTEGER NOT NULL DEFAULT 0;
