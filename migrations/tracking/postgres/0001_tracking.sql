-- What tracking keeps: where drivers were, and what happened to orders. Times are microseconds since the epoch.

-- Up to which number of the ingest's sequence the positions are here; raised in the transaction that brings them.
CREATE TABLE tracking.progress (seq bigint NOT NULL);
INSERT INTO tracking.progress VALUES (0);

-- By days of business time, as positions_YYYYMMDD: made when the first position of a day comes, dropped a month later.
CREATE TABLE tracking.positions (
    namespace   text COLLATE "C" NOT NULL,
    driver      text COLLATE "C" NOT NULL,
    -- When the phone was there, by the phone (business time), and when it was told (system time).
    at          bigint NOT NULL,
    recorded_at bigint NOT NULL,
    -- Degrees times ten million: a centimetre, and the same place is the same number.
    latitude    bigint NOT NULL,
    longitude   bigint NOT NULL,
    -- {speedMetersPerSecond?, bearing?, accuracyMeters?, altitudeMeters?, battery?, source?}
    detail      text   NOT NULL,
    PRIMARY KEY (namespace, driver, at, latitude, longitude)
) PARTITION BY RANGE (at);

CREATE TABLE tracking.timeline (
    order_uid   text COLLATE "C" NOT NULL,
    -- What makes the entry this one among those of the order.
    key         text COLLATE "C" NOT NULL,
    namespace   text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    -- When it happened (business time).
    at          bigint NOT NULL,
    what        text   NOT NULL,
    detail      text   NOT NULL,
    -- 1 if a later look that says something else is right.
    corrected   bigint NOT NULL,
    -- How often it was written; 1 is new.
    version     bigint NOT NULL,
    recorded_at bigint NOT NULL,
    PRIMARY KEY (order_uid, key)
);
CREATE INDEX timeline_of_name ON tracking.timeline (namespace, name, recorded_at);
CREATE INDEX timeline_age ON tracking.timeline (recorded_at);
