-- Proofs of delivery, PINs and incidents. Times are microseconds since the epoch.

-- Names this installation where it shares a store of files with others: nobody sweeps what is not theirs.
CREATE TABLE installation (id TEXT NOT NULL) STRICT;
INSERT INTO installation VALUES (lower(hex(randomblob(16))));

-- What is known of a picture; its bytes lie in the store of files. The row is written after them.
CREATE TABLE proofs (
    id              TEXT    PRIMARY KEY,
    namespace       TEXT    NOT NULL,
    order_name      TEXT    NOT NULL,
    order_uid       TEXT    NOT NULL,
    driver          TEXT    NOT NULL,
    -- photo or signature
    type            TEXT    NOT NULL,
    client_event_id TEXT    NOT NULL,
    -- SHA-256 of the file as it was sent: the same again is the same proof.
    sent            BLOB    NOT NULL,
    media_type      TEXT    NOT NULL,
    bytes           INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX proofs_once ON proofs (namespace, driver, client_event_id);
CREATE INDEX proofs_order ON proofs (order_uid);
CREATE INDEX proofs_age ON proofs (created_at);

-- The recipient's PIN of an order, sealed, with how often it was guessed wrong.
CREATE TABLE pins (
    order_uid  TEXT    PRIMARY KEY,
    namespace  TEXT    NOT NULL,
    order_name TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    wrong      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- Raised by each look at it, so that looks queue.
    looks      INTEGER NOT NULL
) STRICT;
CREATE INDEX pins_age ON pins (created_at);

-- Wrong PINs, so that a phone that sends the same report again does not use up another try.
CREATE TABLE pin_tries (
    order_uid       TEXT NOT NULL,
    client_event_id TEXT NOT NULL,
    -- SHA-256 of order and PIN.
    tried           BLOB NOT NULL,
    PRIMARY KEY (order_uid, client_event_id, tried)
) STRICT, WITHOUT ROWID;

-- What went wrong, as a driver or the server tells it.
CREATE TABLE incidents (
    id              TEXT    PRIMARY KEY,
    namespace       TEXT    NOT NULL,
    -- Empty if it is about no order.
    order_name      TEXT    NOT NULL,
    order_uid       TEXT    NOT NULL,
    driver          TEXT    NOT NULL,
    category        TEXT    NOT NULL,
    note            TEXT    NOT NULL,
    photo_id        TEXT,
    client_event_id TEXT    NOT NULL,
    -- SHA-256 of what was told: the same again is the same incident.
    sent            BLOB    NOT NULL,
    -- Business time.
    at              INTEGER NOT NULL,
    -- System time.
    created_at      INTEGER NOT NULL,
    resolved_at     INTEGER,
    resolved_by     TEXT,
    -- Whether the order says so already.
    told            INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX incidents_once ON incidents (namespace, driver, client_event_id);
CREATE INDEX incidents_order ON incidents (order_uid);
CREATE INDEX incidents_list ON incidents (namespace, created_at, id);
CREATE INDEX incidents_untold ON incidents (created_at) WHERE told = 0;
CREATE INDEX incidents_age ON incidents (created_at);
