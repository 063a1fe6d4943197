-- PostgreSQL alone: the audit in partitions by `seq`, so that what is old goes as a whole. Those that follow are made by the
-- broker. No index over all of them can be unique without `seq`: `id`, and `chain` with `position`, are so within each
-- partition, and over all of them by the lock under which records are written.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '60s';

-- The lock under which records are written, and one for who does not know it: what comes during the copy would be lost.
SELECT pg_advisory_xact_lock(8317987319222330741);
LOCK TABLE audit, audit_actors IN ACCESS EXCLUSIVE MODE;

CREATE TABLE audit_parted (LIKE audit INCLUDING DEFAULTS) PARTITION BY RANGE (seq);
CREATE TABLE audit_actors_parted (LIKE audit_actors INCLUDING DEFAULTS) PARTITION BY RANGE (seq);

DO $$
DECLARE
    past BIGINT := (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit);
BEGIN
    EXECUTE format('CREATE TABLE audit_0 PARTITION OF audit_parted FOR VALUES FROM (MINVALUE) TO (%s)', past);
    EXECUTE format('CREATE TABLE audit_actors_0 PARTITION OF audit_actors_parted FOR VALUES FROM (MINVALUE) TO (%s)', past);
END $$;

INSERT INTO audit_parted SELECT * FROM audit;
INSERT INTO audit_actors_parted SELECT * FROM audit_actors WHERE seq IN (SELECT seq FROM audit);
DROP TABLE audit, audit_actors;
ALTER TABLE audit_parted RENAME TO audit;
ALTER TABLE audit_actors_parted RENAME TO audit_actors;

ALTER TABLE audit ADD PRIMARY KEY (seq);
ALTER TABLE audit_actors ADD PRIMARY KEY (seq, place);
CREATE UNIQUE INDEX audit_0_id ON audit_0 (id);
CREATE UNIQUE INDEX audit_0_chain ON audit_0 (chain, position);

CREATE INDEX audit_agent ON audit (agent, seq);
CREATE INDEX audit_request ON audit (request_id);
CREATE INDEX audit_millis ON audit (millis, seq);
CREATE INDEX audit_subject ON audit (subject, seq);
CREATE INDEX audit_tool ON audit (tool, seq);
CREATE INDEX audit_reason ON audit (reason, seq) WHERE reason IS NOT NULL;
CREATE INDEX audit_credential ON audit (credential, seq) WHERE credential IS NOT NULL;
CREATE INDEX audit_lease ON audit (lease) WHERE lease IS NOT NULL;
CREATE INDEX audit_trace ON audit (trace) WHERE trace IS NOT NULL;
CREATE INDEX audit_cut ON audit (seq) WHERE kind = 'cut';
CREATE INDEX audit_actors_actor ON audit_actors (actor, seq);
