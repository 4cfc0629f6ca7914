-- The customers' links to their orders, and what customers say when it is over. Times are microseconds since the epoch, of
-- system time.

CREATE TABLE ingest.tracking_links (
    -- SHA-256 of the token.
    hash bytea PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    order_name text COLLATE "C" NOT NULL,
    order_uid text COLLATE "C" NOT NULL,
    -- The token: every message about the order carries the same one.
    sealed bytea NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint
);
CREATE UNIQUE INDEX tracking_links_good ON ingest.tracking_links (order_uid) WHERE revoked_at IS NULL;
CREATE INDEX tracking_links_revoked ON ingest.tracking_links (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX tracking_links_age ON ingest.tracking_links (created_at);

-- What recipients thought of a delivery; each says it once.
CREATE TABLE ingest.ratings (
    order_uid text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    order_name text COLLATE "C" NOT NULL,
    -- Who brought it.
    driver text COLLATE "C" NOT NULL,
    stars bigint NOT NULL,
    comment text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX ratings_list ON ingest.ratings (namespace, created_at, order_uid);
CREATE INDEX ratings_age ON ingest.ratings (created_at);
