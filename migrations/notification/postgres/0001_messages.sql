-- What is to be told to whom, and what became of it. Times are microseconds since the epoch (system time); absent texts
-- are empty.

-- How far each feed of the control plane has been planned; moved in the transaction that brings the messages. A feed that
-- was never read has the position -1.
CREATE TABLE notification.progress (
    feed     text COLLATE "C" NOT NULL PRIMARY KEY,
    -- The history that the position is a number of.
    epoch    text COLLATE "C" NOT NULL,
    position bigint NOT NULL
);
INSERT INTO notification.progress VALUES ('events', '', -1), ('mails', '', -1);

CREATE TABLE notification.messages (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- msg_…, from the key: whoever plans it anew comes to the same.
    id          text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    namespace   text COLLATE "C" NOT NULL,
    order_name  text COLLATE "C" NOT NULL,
    order_uid   text COLLATE "C" NOT NULL,
    event       text COLLATE "C" NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    revision    bigint NOT NULL,
    rule        text COLLATE "C" NOT NULL,
    policy      text COLLATE "C" NOT NULL,
    audience    text COLLATE "C" NOT NULL,
    channel     text COLLATE "C" NOT NULL,
    recipient   text COLLATE "C" NOT NULL,
    locale      text COLLATE "C" NOT NULL,
    http        text COLLATE "C" NOT NULL,
    -- What is sent side by side, a few at a time: a provider, or an endpoint.
    queue       text COLLATE "C" NOT NULL,
    -- What is sent one after the other, by (not_before, seq).
    lane        text COLLATE "C" NOT NULL,
    -- What makes it old: see staleness.
    class       text COLLATE "C" NOT NULL,
    -- As it was written, with marks where link and PIN go.
    subject     text,
    text        text NOT NULL,
    html        text,
    payload     text,
    -- The mail of identity that it is.
    mail        text COLLATE "C" NOT NULL,
    wants_link  bigint NOT NULL,
    wants_pin   bigint NOT NULL,
    -- planned, sending, sent, dead, suppressed
    state       text COLLATE "C" NOT NULL,
    reason      text COLLATE "C" NOT NULL,
    -- Attempts that were begun; and those since it was planned or replayed, by which the next wait goes.
    attempts    bigint NOT NULL,
    stage       bigint NOT NULL,
    not_before  bigint NOT NULL,
    -- When nobody wants to hear of it: hours and zone; empty: never.
    quiet       text COLLATE "C" NOT NULL,
    due_at      bigint NOT NULL,
    expires_at  bigint NOT NULL,
    claimed_by  text COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    finished_at bigint NOT NULL,
    provider    text COLLATE "C" NOT NULL,
    provider_id text COLLATE "C" NOT NULL,
    answer      text NOT NULL,
    -- 0 not finished, 1 finished, 2 finished and told (conditions, events, counts).
    told        bigint NOT NULL
);
CREATE UNIQUE INDEX messages_id ON notification.messages (id);
CREATE INDEX messages_due ON notification.messages (queue, due_at, seq) WHERE state = 'planned';
CREATE INDEX messages_open ON notification.messages (lane, not_before, seq) WHERE state IN ('planned', 'sending');
CREATE INDEX messages_claimed ON notification.messages (claimed_by) WHERE state = 'sending';
CREATE INDEX messages_untold ON notification.messages (seq) WHERE told = 1;
CREATE INDEX messages_dead ON notification.messages (namespace, seq) WHERE state = 'dead';
CREATE INDEX messages_endpoint ON notification.messages (queue, created_at) WHERE channel = 'webhook';
CREATE INDEX messages_of_namespace ON notification.messages (namespace, seq);
CREATE INDEX messages_of_order ON notification.messages (namespace, order_name, seq);
CREATE INDEX messages_of_uid ON notification.messages (order_uid, seq);
CREATE INDEX messages_age ON notification.messages (created_at);
-- What still says something: cut after a month.
CREATE INDEX messages_content ON notification.messages (created_at) WHERE text <> '' OR payload IS NOT NULL;

CREATE TABLE notification.attempts (
    message     bigint NOT NULL,
    number      bigint NOT NULL,
    sender      text COLLATE "C" NOT NULL,
    provider    text COLLATE "C" NOT NULL,
    started_at  bigint NOT NULL,
    -- 0 while it is under way.
    finished_at bigint NOT NULL,
    -- sent, again, in_doubt, refused, gone; empty while it is under way.
    outcome     text COLLATE "C" NOT NULL,
    answer      text NOT NULL,
    -- 1 if the status of the endpoint has still to hear of it.
    untold      bigint NOT NULL,
    PRIMARY KEY (message, number)
);
CREATE INDEX attempts_untold ON notification.attempts (message, number) WHERE untold = 1;

-- Messages of that class about that order are old if they are of an earlier revision.
CREATE TABLE notification.staleness (
    order_uid text COLLATE "C" NOT NULL,
    class     text COLLATE "C" NOT NULL,
    revision  bigint NOT NULL,
    by_event  text COLLATE "C" NOT NULL,
    at        bigint NOT NULL,
    PRIMARY KEY (order_uid, class)
);
CREATE INDEX staleness_age ON notification.staleness (at);

-- When the next message of a recipient, or of a business, would come if they came evenly.
CREATE TABLE notification.quotas (
    key     text COLLATE "C" NOT NULL PRIMARY KEY,
    next_at bigint NOT NULL
);

-- Who wants nothing more over a channel, as the provider said.
CREATE TABLE notification.opt_outs (
    namespace text COLLATE "C" NOT NULL,
    channel   text COLLATE "C" NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    since     bigint NOT NULL,
    PRIMARY KEY (namespace, channel, recipient)
);

-- Processes that send, and until when the others leave them what they have begun.
CREATE TABLE notification.senders (
    name        text COLLATE "C" NOT NULL PRIMARY KEY,
    alive_until bigint NOT NULL
);

-- What became of the messages of each policy.
CREATE TABLE notification.tallies (
    namespace text COLLATE "C" NOT NULL,
    policy    text COLLATE "C" NOT NULL,
    sent      bigint NOT NULL,
    failed    bigint NOT NULL,
    PRIMARY KEY (namespace, policy)
);
