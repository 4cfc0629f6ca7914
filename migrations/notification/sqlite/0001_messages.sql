-- What is to be told to whom, and what became of it. Times are microseconds since the epoch (system time); absent texts
-- are empty.

-- How far each feed of the control plane has been planned; moved in the transaction that brings the messages. A feed that
-- was never read has the position -1.
CREATE TABLE progress (
    feed     TEXT    NOT NULL PRIMARY KEY,
    -- The history that the position is a number of.
    epoch    TEXT    NOT NULL,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO progress VALUES ('events', '', -1), ('mails', '', -1);

CREATE TABLE messages (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- msg_…, from the key: whoever plans it anew comes to the same.
    id          TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    namespace   TEXT    NOT NULL,
    order_name  TEXT    NOT NULL,
    order_uid   TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    rule        TEXT    NOT NULL,
    policy      TEXT    NOT NULL,
    audience    TEXT    NOT NULL,
    channel     TEXT    NOT NULL,
    recipient   TEXT    NOT NULL,
    locale      TEXT    NOT NULL,
    http        TEXT    NOT NULL,
    -- What is sent side by side, a few at a time: a provider, or an endpoint.
    queue       TEXT    NOT NULL,
    -- What is sent one after the other, by (not_before, seq).
    lane        TEXT    NOT NULL,
    -- What makes it old: see staleness.
    class       TEXT    NOT NULL,
    -- As it was written, with marks where link and PIN go.
    subject     TEXT,
    text        TEXT    NOT NULL,
    html        TEXT,
    payload     TEXT,
    -- The mail of identity that it is.
    mail        TEXT    NOT NULL,
    wants_link  INTEGER NOT NULL,
    wants_pin   INTEGER NOT NULL,
    -- planned, sending, sent, dead, suppressed
    state       TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    -- Attempts that were begun; and those since it was planned or replayed, by which the next wait goes.
    attempts    INTEGER NOT NULL,
    stage       INTEGER NOT NULL,
    not_before  INTEGER NOT NULL,
    -- When nobody wants to hear of it: hours and zone; empty: never.
    quiet       TEXT    NOT NULL,
    due_at      INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    claimed_by  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    provider    TEXT    NOT NULL,
    provider_id TEXT    NOT NULL,
    answer      TEXT    NOT NULL,
    -- 0 not finished, 1 finished, 2 finished and told (conditions, events, counts).
    told        INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_id ON messages (id);
CREATE INDEX messages_due ON messages (queue, due_at, seq) WHERE state = 'planned';
CREATE INDEX messages_open ON messages (lane, not_before, seq) WHERE state IN ('planned', 'sending');
CREATE INDEX messages_claimed ON messages (claimed_by) WHERE state = 'sending';
CREATE INDEX messages_untold ON messages (seq) WHERE told = 1;
CREATE INDEX messages_dead ON messages (namespace, seq) WHERE state = 'dead';
CREATE INDEX messages_endpoint ON messages (queue, created_at) WHERE channel = 'webhook';
CREATE INDEX messages_of_namespace ON messages (namespace, seq);
CREATE INDEX messages_of_order ON messages (namespace, order_name, seq);
CREATE INDEX messages_of_uid ON messages (order_uid, seq);
CREATE INDEX messages_age ON messages (created_at);
-- What still says something: cut after a month.
CREATE INDEX messages_content ON messages (created_at) WHERE text <> '' OR payload IS NOT NULL;

CREATE TABLE attempts (
    message     INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    sender      TEXT    NOT NULL,
    provider    TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    -- 0 while it is under way.
    finished_at INTEGER NOT NULL,
    -- sent, again, in_doubt, refused, gone; empty while it is under way.
    outcome     TEXT    NOT NULL,
    answer      TEXT    NOT NULL,
    -- 1 if the status of the endpoint has still to hear of it.
    untold      INTEGER NOT NULL,
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_untold ON attempts (message, number) WHERE untold = 1;

-- Messages of that class about that order are old if they are of an earlier revision.
CREATE TABLE staleness (
    order_uid TEXT    NOT NULL,
    class     TEXT    NOT NULL,
    revision  INTEGER NOT NULL,
    by_event  TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (order_uid, class)
) STRICT, WITHOUT ROWID;
CREATE INDEX staleness_age ON staleness (at);

-- When the next message of a recipient, or of a business, would come if they came evenly.
CREATE TABLE quotas (
    key     TEXT    NOT NULL PRIMARY KEY,
    next_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who wants nothing more over a channel, as the provider said.
CREATE TABLE opt_outs (
    namespace TEXT    NOT NULL,
    channel   TEXT    NOT NULL,
    recipient TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (namespace, channel, recipient)
) STRICT, WITHOUT ROWID;

-- Processes that send, and until when the others leave them what they have begun.
CREATE TABLE senders (
    name        TEXT    NOT NULL PRIMARY KEY,
    alive_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What became of the messages of each policy.
CREATE TABLE tallies (
    namespace TEXT    NOT NULL,
    policy    TEXT    NOT NULL,
    sent      INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    PRIMARY KEY (namespace, policy)
) STRICT, WITHOUT ROWID;
