-- The customers' links to their orders, and what customers say when it is over. Times are microseconds since the epoch, of
-- system time.

CREATE TABLE tracking_links (
    -- SHA-256 of the token.
    hash       BLOB    PRIMARY KEY,
    namespace  TEXT    NOT NULL,
    order_name TEXT    NOT NULL,
    order_uid  TEXT    NOT NULL,
    -- The token: every message about the order carries the same one.
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE UNIQUE INDEX tracking_links_good ON tracking_links (order_uid) WHERE revoked_at IS NULL;
CREATE INDEX tracking_links_revoked ON tracking_links (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX tracking_links_age ON tracking_links (created_at);

-- What recipients thought of a delivery; each says it once.
CREATE TABLE ratings (
    order_uid  TEXT    PRIMARY KEY,
    namespace  TEXT    NOT NULL,
    order_name TEXT    NOT NULL,
    -- Who brought it.
    driver     TEXT    NOT NULL,
    stars      INTEGER NOT NULL,
    comment    TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX ratings_list ON ratings (namespace, created_at, order_uid);
CREATE INDEX ratings_age ON ratings (created_at);
