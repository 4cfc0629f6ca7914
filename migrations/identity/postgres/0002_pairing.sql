-- Phones of drivers. A row begins as a code that somebody was shown, and becomes a paired phone when it is used; then it
-- has a token that may only bring positions in, and a session of the user `system:driver:NAMESPACE:NAME`, whose uid is the
-- Driver's. Codes and tokens are kept as SHA-256 only.

CREATE TABLE identity.pairings (
    id              text   PRIMARY KEY,
    namespace       text   COLLATE "C" NOT NULL,
    driver          text   COLLATE "C" NOT NULL,
    -- A Driver that is made anew under the name is another one.
    driver_uid      text   NOT NULL,
    -- Until it is used.
    code_hash       bytea  UNIQUE,
    code_expires_at bigint NOT NULL,
    -- From then on.
    ingest_hash     bytea  UNIQUE,
    sid             text,
    paired_at       bigint,
    created_at      bigint NOT NULL
);
CREATE INDEX pairings_of_driver ON identity.pairings (namespace, driver);
