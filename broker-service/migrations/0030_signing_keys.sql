-- Read by SQLite and PostgreSQL alike. Times are milliseconds since the epoch.

-- The keys that sign tokens, by their RFC 7638 thumbprint. A key signs from `signs_from` until a later one does, and is
-- published until `retired_at`, which is known once there is a later one.
CREATE TABLE signing_keys (
    id         TEXT PRIMARY KEY,
    -- The private key in PKCS#8, sealed.
    sealed     BYTEA NOT NULL,
    created    BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    retired_at BIGINT
);
