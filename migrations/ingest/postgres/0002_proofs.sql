-- Proofs of delivery, PINs and incidents. Times are microseconds since the epoch.

-- Names this installation where it shares a store of files with others: nobody sweeps what is not theirs.
CREATE TABLE ingest.installation (id text COLLATE "C" NOT NULL);
INSERT INTO ingest.installation VALUES (replace(gen_random_uuid()::text, '-', ''));

-- What is known of a picture; its bytes lie in the store of files. The row is written after them.
CREATE TABLE ingest.proofs (
    id text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    order_name text COLLATE "C" NOT NULL,
    order_uid text COLLATE "C" NOT NULL,
    driver text COLLATE "C" NOT NULL,
    -- photo or signature
    type text COLLATE "C" NOT NULL,
    client_event_id text COLLATE "C" NOT NULL,
    -- SHA-256 of the file as it was sent: the same again is the same proof.
    sent bytea NOT NULL,
    media_type text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL,
    created_at bigint NOT NULL
);
CREATE UNIQUE INDEX proofs_once ON ingest.proofs (namespace, driver, client_event_id);
CREATE INDEX proofs_order ON ingest.proofs (order_uid);
CREATE INDEX proofs_age ON ingest.proofs (created_at);

-- The recipient's PIN of an order, sealed, with how often it was guessed wrong.
CREATE TABLE ingest.pins (
    order_uid text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    order_name text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    wrong bigint NOT NULL,
    created_at bigint NOT NULL,
    -- Raised by each look at it, so that looks queue.
    looks bigint NOT NULL
);
CREATE INDEX pins_age ON ingest.pins (created_at);

-- Wrong PINs, so that a phone that sends the same report again does not use up another try.
CREATE TABLE ingest.pin_tries (
    order_uid text COLLATE "C" NOT NULL,
    client_event_id text COLLATE "C" NOT NULL,
    -- SHA-256 of order and PIN.
    tried bytea NOT NULL,
    PRIMARY KEY (order_uid, client_event_id, tried)
);

-- What went wrong, as a driver or the server tells it.
CREATE TABLE ingest.incidents (
    id text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    -- Empty if it is about no order.
    order_name text COLLATE "C" NOT NULL,
    order_uid text COLLATE "C" NOT NULL,
    driver text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    note text COLLATE "C" NOT NULL,
    photo_id text COLLATE "C",
    client_event_id text COLLATE "C" NOT NULL,
    -- SHA-256 of what was told: the same again is the same incident.
    sent bytea NOT NULL,
    -- Business time.
    at bigint NOT NULL,
    -- System time.
    created_at bigint NOT NULL,
    resolved_at bigint,
    resolved_by text COLLATE "C",
    -- Whether the order says so already.
    told bigint NOT NULL
);
CREATE UNIQUE INDEX incidents_once ON ingest.incidents (namespace, driver, client_event_id);
CREATE INDEX incidents_order ON ingest.incidents (order_uid);
CREATE INDEX incidents_list ON ingest.incidents (namespace, created_at, id);
CREATE INDEX incidents_untold ON ingest.incidents (created_at) WHERE told = 0;
CREATE INDEX incidents_age ON ingest.incidents (created_at);
