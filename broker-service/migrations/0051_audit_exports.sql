-- How far each exporter has come: all records up to `after` are out.
CREATE TABLE audit_exports (
    name    TEXT PRIMARY KEY,
    after   BIGINT NOT NULL,
    -- Records that were refused for good, and are not out.
    refused BIGINT NOT NULL,
    -- The replica that exports now, and until when others leave it alone, in milliseconds since the epoch.
    claim   TEXT,
    claimed BIGINT NOT NULL
);
