-- One row an accepted event, by its position in the log: the hot tail of the archive.
-- Columns of purchases hold '' and 0 for other kinds; `kind` tells them apart. An amount is as counted: negative for refunds.
CREATE TABLE IF NOT EXISTS events
(
    generation UInt32 CODEC(Delta, LZ4),
    partition UInt32 CODEC(Delta, LZ4),
    offset UInt64 CODEC(Delta, LZ4),
    organization String,
    customer String,
    event_id String,
    kind LowCardinality(String),
    schema_version UInt32,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    received_at DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    source LowCardinality(String),
    currency LowCardinality(String),
    amount Decimal(38, 6),
    status LowCardinality(String),
    order_id String,
    refund_of String,
    items Nested
    (
        product_id String,
        name String,
        category String,
        quantity Decimal(38, 6),
        unit_price Nullable(Decimal(38, 6)),
        amount Decimal(38, 6)
    ),
    fields String CODEC(ZSTD),
    attributes String CODEC(ZSTD),
    INDEX by_customer (organization, customer) TYPE bloom_filter GRANULARITY 4,
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = @replacing()
PARTITION BY toDate(received_at)
ORDER BY (generation, partition, offset)
-- Old days are dropped whole, so huge merges would only cost writing: they stop at 1 GB.
SETTINGS @durable, max_bytes_to_merge_at_max_space_in_pool = 1000000000;
