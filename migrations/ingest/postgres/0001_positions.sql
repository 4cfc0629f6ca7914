-- What phones report about where they are, until the tracking agent has it. Times are microseconds since the epoch.

-- The number of the newest position; raised in the transaction that writes, so that whoever reads on from a number misses
-- nothing.
CREATE TABLE ingest.counter (value bigint NOT NULL);
INSERT INTO ingest.counter VALUES (0);

CREATE TABLE ingest.positions (
    seq         bigint PRIMARY KEY,
    namespace   text COLLATE "C" NOT NULL,
    driver      text COLLATE "C" NOT NULL,
    -- When the phone was there, by the phone, and when it was told.
    at          bigint  NOT NULL,
    recorded_at bigint  NOT NULL,
    -- Degrees times ten million: a centimetre, and the same place is the same number.
    latitude    bigint  NOT NULL,
    longitude   bigint  NOT NULL,
    -- {speedMetersPerSecond?, bearing?, accuracyMeters?, altitudeMeters?, battery?, source}
    detail      text    NOT NULL
);
CREATE UNIQUE INDEX positions_once ON ingest.positions (namespace, driver, at, latitude, longitude);
CREATE INDEX positions_age ON ingest.positions (recorded_at);
