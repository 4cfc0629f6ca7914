-- Tickets that open one live stream each, within half a minute.
CREATE TABLE identity.tickets (
    hash       bytea  PRIMARY KEY,
    -- The token of whoever asked for it: what the ticket stands for.
    sealed     bytea  NOT NULL,
    -- The Origin from which it was asked for; empty outside browsers.
    origin     text   NOT NULL,
    expires_at bigint NOT NULL
);
