-- What is written to find out whether writing is possible.
CREATE TABLE probe (at BIGINT NOT NULL);

INSERT INTO probe (at) VALUES (0);
