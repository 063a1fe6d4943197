-- Read by SQLite and PostgreSQL alike. Times are milliseconds since the epoch.

-- Agents as OAuth clients: what an operator says of them in `profile`, and what becomes of them.
CREATE TABLE agents (
    id         TEXT PRIMARY KEY,
    profile    TEXT NOT NULL,
    -- Salted SHA-256: secrets are random, not passwords.
    secret     TEXT,
    status     TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'retired')),
    created    BIGINT NOT NULL,
    changed    BIGINT NOT NULL,
    last_used  BIGINT
);

-- Audit records as they were written. The columns beside `record` repeat it for searching.
CREATE TABLE audit (
    seq        BIGINT PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    time       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    decision   TEXT,
    reason     TEXT,
    agent      TEXT,
    subject    TEXT,
    server     TEXT,
    tool       TEXT,
    request_id TEXT,
    record     TEXT NOT NULL
);

CREATE INDEX audit_agent ON audit (agent, seq);
CREATE INDEX audit_request ON audit (request_id);

-- Credentials that were asked for. A lease is `open` until its credential was handed out, `live` until it ends.
CREATE TABLE leases (
    id         TEXT PRIMARY KEY,
    credential TEXT NOT NULL,
    kind       TEXT NOT NULL,
    proxy      TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    agent      TEXT NOT NULL,
    subject    TEXT NOT NULL,
    -- The token's issuer, agent, subject, chain, `jti` and `kid`, for revocations.
    token      TEXT NOT NULL,
    server     TEXT NOT NULL,
    tool       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    issued     BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'live', 'ended')),
    -- Whether something lives on at the target that has to be ended.
    outlives   BIGINT NOT NULL,
    -- What ends it there, sealed.
    handle     BYTEA,
    ended      BIGINT,
    reason     TEXT,
    -- The replica that ends it now, until when others leave it alone, and how often it failed.
    claim      TEXT,
    claimed    BIGINT NOT NULL,
    failures   BIGINT NOT NULL
);

CREATE INDEX leases_state ON leases (state, expires);
CREATE INDEX leases_agent ON leases (agent, state);
CREATE INDEX leases_ended ON leases (ended) WHERE ended IS NOT NULL;
CREATE INDEX leases_begun ON leases (claimed) WHERE reason IS NOT NULL AND state <> 'ended';

-- What was taken back before its time; lifted ones stay, for those who follow by `seq`.
CREATE TABLE revocations (
    seq     BIGINT PRIMARY KEY,
    target  TEXT NOT NULL,
    before  BIGINT,
    lifts   BIGINT NOT NULL,
    -- When nothing is left that it could hit.
    until   BIGINT,
    created BIGINT NOT NULL,
    by_whom TEXT NOT NULL,
    why     TEXT
);

-- Identifiers that count once: `jti`s of assertions and proofs.
CREATE TABLE used (
    purpose TEXT NOT NULL,
    id      TEXT NOT NULL,
    until   BIGINT NOT NULL,
    PRIMARY KEY (purpose, id)
);

CREATE INDEX used_until ON used (until);

-- The keys with which proxies seal MCP sessions. A key seals from `not_before` until there is a later one, and opens until
-- `not_after`, both in seconds.
CREATE TABLE session_keys (
    not_before BIGINT PRIMARY KEY,
    not_after  BIGINT NOT NULL,
    key        BYTEA NOT NULL
);
