-- Read by SQLite and PostgreSQL alike. Times are milliseconds since the epoch.

-- Audit records, each a link in its writer's chain. `seq` has no gap over all chains, `position` none within one. What lay
-- here before stood in no chain, and could have been changed by anyone: it is forgotten.
DROP TABLE audit;

CREATE TABLE audit (
    seq        BIGINT PRIMARY KEY,
    chain      TEXT NOT NULL,
    position   BIGINT NOT NULL,
    hash       BYTEA NOT NULL,
    -- As it was written, and hashed.
    record     TEXT NOT NULL,
    -- The rest repeats the record for searching.
    id         TEXT NOT NULL UNIQUE,
    time       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    decision   TEXT,
    reason     TEXT,
    agent      TEXT,
    subject    TEXT,
    server     TEXT,
    tool       TEXT,
    request_id TEXT
);

CREATE UNIQUE INDEX audit_chain ON audit (chain, position);
CREATE INDEX audit_agent ON audit (agent, seq);
CREATE INDEX audit_request ON audit (request_id);

-- The chains there are, and up to which position a later one has named each when it began.
CREATE TABLE chains (
    id    TEXT PRIMARY KEY,
    named BIGINT NOT NULL
);

-- The key that signs checkpoints: its public half as signed notes write it, its private one sealed.
CREATE TABLE checkpoint_keys (
    id      TEXT PRIMARY KEY,
    vkey    TEXT NOT NULL,
    sealed  BYTEA NOT NULL,
    created BIGINT NOT NULL
);

-- What was signed of each chain, and whether the places outside have it: a file, a URL.
CREATE TABLE checkpoints (
    chain    TEXT NOT NULL,
    position BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    time     BIGINT NOT NULL,
    note     TEXT NOT NULL,
    filed    BIGINT NOT NULL,
    posted   BIGINT NOT NULL,
    PRIMARY KEY (chain, position)
);

CREATE INDEX checkpoints_time ON checkpoints (time);
CREATE INDEX checkpoints_filed ON checkpoints (seq) WHERE filed = 0;
CREATE INDEX checkpoints_posted ON checkpoints (seq) WHERE posted = 0;
