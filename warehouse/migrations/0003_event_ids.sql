-- One row a claim: which position holds an event id. `id` hashes (organization, event_id, attempt), `who` the customer.
-- A replacing table without a version keeps any of several rows: read the smallest position.
CREATE TABLE IF NOT EXISTS event_ids
(
    id FixedString(16) CODEC(NONE),
    who UInt64 CODEC(NONE),
    bucket UInt16,
    generation UInt32 CODEC(Delta, LZ4),
    partition UInt32 CODEC(Delta, LZ4),
    offset UInt64 CODEC(Delta, LZ4),
    received_at DateTime64(6, 'UTC') CODEC(Delta, LZ4)
)
ENGINE = @replacing()
PARTITION BY toMonday(received_at)
ORDER BY (id, who)
SETTINGS @durable, index_granularity = 1024;
