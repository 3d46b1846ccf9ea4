-- One row a record that was not counted, by its position: the dead letters. `first_*` is the earlier claim of a duplicate, 0 otherwise.
CREATE TABLE IF NOT EXISTS rejections
(
    generation UInt32 CODEC(Delta, LZ4),
    partition UInt32 CODEC(Delta, LZ4),
    offset UInt64 CODEC(Delta, LZ4),
    organization String,
    customer String,
    event_id String,
    kind LowCardinality(String),
    attempt UInt32,
    received_at DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    reason LowCardinality(String),
    field String,
    detail String,
    first_generation UInt32,
    first_partition UInt32,
    first_offset UInt64,
    payload String CODEC(ZSTD),
    INDEX by_event (organization, event_id) TYPE bloom_filter GRANULARITY 4
)
ENGINE = @replacing()
PARTITION BY toYYYYMM(received_at)
ORDER BY (generation, partition, offset)
SETTINGS @durable;
