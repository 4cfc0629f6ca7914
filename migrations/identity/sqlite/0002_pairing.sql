-- Phones of drivers. A row begins as a code that somebody was shown, and becomes a paired phone when it is used; then it
-- has a token that may only bring positions in, and a session of the user `system:driver:NAMESPACE:NAME`, whose uid is the
-- Driver's. Codes and tokens are kept as SHA-256 only.

CREATE TABLE pairings (
    id              TEXT    PRIMARY KEY,
    namespace       TEXT    NOT NULL,
    driver          TEXT    NOT NULL,
    -- A Driver that is made anew under the name is another one.
    driver_uid      TEXT    NOT NULL,
    -- Until it is used.
    code_hash       BLOB    UNIQUE,
    code_expires_at INTEGER NOT NULL,
    -- From then on.
    ingest_hash     BLOB    UNIQUE,
    sid             TEXT,
    paired_at       INTEGER,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX pairings_of_driver ON pairings (namespace, driver);
