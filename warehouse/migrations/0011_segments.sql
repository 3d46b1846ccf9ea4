-- Who is in which segment, as of the newest version; a row where somebody entered or left. `since` is when, `rule_version` the
-- segment's version by which.
CREATE TABLE IF NOT EXISTS segment_members
(
    organization String,
    segment String,
    customer String,
    version UInt64,
    bucket UInt16,
    is_member Bool,
    since DateTime64(6, 'UTC'),
    rule_version UInt64
)
ENGINE = @replacing(version)
ORDER BY (organization, segment, customer)
SETTINGS @durable, index_granularity = 1024;

-- Who entered and left which segment, and why. Never replaced, only repeated as it is.
CREATE TABLE IF NOT EXISTS segment_events
(
    generation UInt32,
    partition UInt32,
    offset UInt64,
    ordinal UInt32,
    organization String,
    segment String,
    customer String,
    change LowCardinality(String),
    cause LowCardinality(String),
    event_id String,
    rule_version UInt64,
    at DateTime64(6, 'UTC') CODEC(Delta, LZ4)
)
ENGINE = @replacing()
PARTITION BY toYYYYMM(at)
ORDER BY (organization, segment, at, generation, partition, offset, customer)
SETTINGS @durable, index_granularity = 1024;
