-- The newest state of every customer: columns for lists, and the fold's own state. `version` is generation << 48 | offset.
CREATE TABLE IF NOT EXISTS customer_state
(
    organization String,
    customer String,
    version UInt64,
    bucket UInt16,
    customer_key String,
    name String,
    email String,
    phone String,
    company_name String,
    customer_type LowCardinality(String),
    status LowCardinality(String),
    city String,
    country String,
    tier LowCardinality(String),
    points Int64,
    orders UInt64,
    revenue Decimal(38, 6),
    currency LowCardinality(String),
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    last_contact Nullable(DateTime64(6, 'UTC')),
    last_order Nullable(DateTime64(6, 'UTC')),
    next_due Nullable(DateTime64(6, 'UTC')),
    created_at DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC'),
    activities UInt64,
    interactions UInt64,
    assigned_to String,
    user_id String,
    is_deleted Bool,
    tags Array(String),
    state String CODEC(ZSTD),
    INDEX by_key customer_key TYPE bloom_filter GRANULARITY 1
)
ENGINE = @replacing(version)
ORDER BY (organization, customer)
SETTINGS @durable, index_granularity = 1024;
