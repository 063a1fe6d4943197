-- What tells a change from another one of the same number: proxies go on after a change they were told, which after a
-- restored backup can be another one.
ALTER TABLE revocations ADD COLUMN mark TEXT NOT NULL DEFAULT '';

CREATE INDEX revocations_until ON revocations (until) WHERE until IS NOT NULL;
CREATE INDEX revocations_own ON revocations (by_whom, until) WHERE until IS NOT NULL;
