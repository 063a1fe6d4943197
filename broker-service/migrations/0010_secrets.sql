-- Times are milliseconds since the epoch unless said otherwise. What is `sealed` opens in its row only.

-- The keys that seal, each wrapped by a key that is not here. The last one made seals; none is ever thrown away.
CREATE TABLE data_keys (
    id      TEXT PRIMARY KEY,
    -- Which key wraps it.
    wrapper TEXT NOT NULL,
    wrapped BYTEA NOT NULL,
    created BIGINT NOT NULL
);

-- Secrets of operators. Of versions that are not current only the row stays, so that no version comes twice.
CREATE TABLE secrets (
    name       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    sealed     BYTEA,
    created    BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    current    BIGINT NOT NULL CHECK (current IN (0, 1)),
    PRIMARY KEY (name, version)
);

CREATE UNIQUE INDEX secrets_current ON secrets (name) WHERE current = 1;

-- Handles that lay here in clear are sealed from now on; the few that have one are found by it.
CREATE INDEX leases_handle ON leases (id) WHERE handle IS NOT NULL;

-- The keys of sessions, sealed: those that lay here in clear are forgotten. Both times are seconds.
DROP TABLE session_keys;

CREATE TABLE session_keys (
    id         TEXT PRIMARY KEY,
    not_before BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    sealed     BYTEA NOT NULL
);
