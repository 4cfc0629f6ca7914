-- Tickets that open one live stream each, within half a minute.
CREATE TABLE tickets (
    hash       BLOB    PRIMARY KEY,
    -- The token of whoever asked for it: what the ticket stands for.
    sealed     BLOB    NOT NULL,
    -- The Origin from which it was asked for; empty outside browsers.
    origin     TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
