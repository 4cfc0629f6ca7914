-- What phones report about where they are, until the tracking agent has it. Times are microseconds since the epoch.

-- The number of the newest position; raised in the transaction that writes, so that whoever reads on from a number misses
-- nothing.
CREATE TABLE counter (value INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (0);

CREATE TABLE positions (
    seq         INTEGER PRIMARY KEY,
    namespace   TEXT    NOT NULL,
    driver      TEXT    NOT NULL,
    -- When the phone was there, by the phone, and when it was told.
    at          INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    -- Degrees times ten million: a centimetre, and the same place is the same number.
    latitude    INTEGER NOT NULL,
    longitude   INTEGER NOT NULL,
    -- {speedMetersPerSecond?, bearing?, accuracyMeters?, altitudeMeters?, battery?, source}
    detail      TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX positions_once ON positions (namespace, driver, at, latitude, longitude);
CREATE INDEX positions_age ON positions (recorded_at);
