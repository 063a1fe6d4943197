-- The last removal of old records is looked for under the lock, and there may be none.
CREATE INDEX audit_cut ON audit (seq) WHERE kind = 'cut';

-- Checkpoints go with the records they cover.
CREATE INDEX checkpoints_seq ON checkpoints (seq);
