-- Agents as OAuth clients. The secret is kept as salted SHA-256: it is random, not a password.
CREATE TABLE agents (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    owner          TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'retired')),
    secret_salt    BLOB NOT NULL,
    secret_sha256  BLOB NOT NULL,
    scopes         TEXT NOT NULL,
    resources      TEXT NOT NULL,
    token_lifetime INTEGER NOT NULL,
    created        TEXT NOT NULL
);

-- Audit records, as they were written. The columns beside `record` repeat it for searching.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
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
