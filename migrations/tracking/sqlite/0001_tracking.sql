-- What tracking keeps: where drivers were, and what happened to orders. Times are microseconds since the epoch.

-- Up to which number of the ingest's sequence the positions are here; raised in the transaction that brings them.
CREATE TABLE progress (seq INTEGER NOT NULL) STRICT;
INSERT INTO progress VALUES (0);

CREATE TABLE positions (
    namespace   TEXT    NOT NULL,
    driver      TEXT    NOT NULL,
    -- When the phone was there, by the phone (business time), and when it was told (system time).
    at          INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    -- Degrees times ten million: a centimetre, and the same place is the same number.
    latitude    INTEGER NOT NULL,
    longitude   INTEGER NOT NULL,
    -- {speedMetersPerSecond?, bearing?, accuracyMeters?, altitudeMeters?, battery?, source?}
    detail      TEXT    NOT NULL,
    PRIMARY KEY (namespace, driver, at, latitude, longitude)
) STRICT, WITHOUT ROWID;
CREATE INDEX positions_age ON positions (at);

CREATE TABLE timeline (
    order_uid   TEXT    NOT NULL,
    -- What makes the entry this one among those of the order.
    key         TEXT    NOT NULL,
    namespace   TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    -- When it happened (business time).
    at          INTEGER NOT NULL,
    what        TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    -- 1 if a later look that says something else is right.
    corrected   INTEGER NOT NULL,
    -- How often it was written; 1 is new.
    version     INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (order_uid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX timeline_of_name ON timeline (namespace, name, recorded_at);
CREATE INDEX timeline_age ON timeline (recorded_at);
