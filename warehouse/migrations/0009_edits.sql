-- The audit of customers: who changed what, as it was and as it is. Never replaced, only repeated as it is. One tick edits
-- many customers, and counts `ordinal` for each of them.
CREATE TABLE IF NOT EXISTS edits
(
    generation UInt32,
    partition UInt32,
    offset UInt64,
    ordinal UInt32,
    organization String,
    customer String,
    at DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    author String,
    origin String,
    action LowCardinality(String),
    record LowCardinality(String),
    id String,
    before String CODEC(ZSTD),
    after String CODEC(ZSTD),
    INDEX by_customer (organization, customer) TYPE bloom_filter GRANULARITY 4
)
ENGINE = @replacing()
PARTITION BY toYYYYMM(at)
ORDER BY (organization, at, generation, partition, offset, customer, ordinal)
SETTINGS @durable, index_granularity = 1024;
