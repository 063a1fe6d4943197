-- The keys with which proxies seal MCP sessions. Times are seconds since the epoch: a key seals from the first until there
-- is a later one, and opens until the second.
CREATE TABLE session_keys (
    not_before INTEGER PRIMARY KEY,
    not_after  INTEGER NOT NULL,
    key        BLOB NOT NULL
);
