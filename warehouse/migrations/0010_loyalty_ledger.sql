-- Every movement of points: a customer's balance is their sum. Never replaced, only repeated as it is. One record of the log
-- moves a customer's points once at most.
CREATE TABLE IF NOT EXISTS loyalty_ledger
(
    organization String,
    customer String,
    generation UInt32,
    partition UInt32,
    offset UInt64,
    at DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    kind LowCardinality(String),
    points Int64,
    balance Int64,
    reason String,
    reference String,
    author String
)
ENGINE = @replacing()
ORDER BY (organization, customer, generation, offset)
SETTINGS @durable, index_granularity = 1024;
