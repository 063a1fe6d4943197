-- What records are found by, beside the columns they have already. Read by SQLite and PostgreSQL alike.

-- The record's `time` in milliseconds since the epoch.
ALTER TABLE audit ADD COLUMN millis BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN issuer TEXT;
ALTER TABLE audit ADD COLUMN credential TEXT;
ALTER TABLE audit ADD COLUMN lease TEXT;
ALTER TABLE audit ADD COLUMN trace TEXT;
ALTER TABLE audit ADD COLUMN policy TEXT;
-- Scopes with spaces between them: those a call needed, and those of them that its token lacked.
ALTER TABLE audit ADD COLUMN needed TEXT;
ALTER TABLE audit ADD COLUMN lacked TEXT;

-- What has few values (kind, decision, server, issuer, policy) needs no index: a page of it is soon full.
CREATE INDEX audit_millis ON audit (millis, seq);
CREATE INDEX audit_subject ON audit (subject, seq);
CREATE INDEX audit_tool ON audit (tool, seq);
CREATE INDEX audit_reason ON audit (reason, seq) WHERE reason IS NOT NULL;
CREATE INDEX audit_credential ON audit (credential, seq) WHERE credential IS NOT NULL;
CREATE INDEX audit_lease ON audit (lease) WHERE lease IS NOT NULL;
CREATE INDEX audit_trace ON audit (trace) WHERE trace IS NOT NULL;

-- The chain of a record, a row for each actor; the current one has place 0. `giver` is whom it has the task from.
CREATE TABLE audit_actors (
    seq   BIGINT NOT NULL,
    place BIGINT NOT NULL,
    actor TEXT NOT NULL,
    giver TEXT,
    PRIMARY KEY (seq, place)
);

CREATE INDEX audit_actors_actor ON audit_actors (actor, seq);
