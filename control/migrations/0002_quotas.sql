-- What a key may send. Absent is the installation's default, 0 is no limit.
ALTER TABLE api_keys ADD COLUMN events_per_second BIGINT;
ALTER TABLE api_keys ADD COLUMN burst BIGINT;
ALTER TABLE api_keys ADD COLUMN events_per_day BIGINT;

-- Events that were given out to ingest processes, by key (or user) and day, counted in days since 1970 UTC.
CREATE TABLE quota_use (
    subject TEXT NOT NULL,
    day BIGINT NOT NULL,
    given BIGINT NOT NULL,
    PRIMARY KEY (subject, day)
);
