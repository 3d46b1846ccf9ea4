-- Records of customers (contacts, interactions, …) as they are now: a later version replaces an earlier one. `edit` is the
-- number of the edit among the customer's, 0 for what clients sent; `at` is what lists are ordered by.
CREATE TABLE IF NOT EXISTS customer_records
(
    organization String,
    record LowCardinality(String),
    customer String,
    id String,
    version UInt64,
    bucket UInt16,
    edit UInt64,
    is_deleted Bool,
    at DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC'),
    updated_by String,
    fields String CODEC(ZSTD),
    INDEX by_id id TYPE bloom_filter GRANULARITY 1,
    INDEX by_time at TYPE minmax GRANULARITY 1
)
ENGINE = @replacing(version)
ORDER BY (organization, record, customer, id)
SETTINGS @durable, index_granularity = 1024;
