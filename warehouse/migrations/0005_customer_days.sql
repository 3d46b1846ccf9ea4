-- What a customer did on a day (UTC, of occurred_at) in a currency; only touched days are written.
CREATE TABLE IF NOT EXISTS customer_days
(
    organization String,
    customer String,
    day Date32,
    currency LowCardinality(String),
    version UInt64,
    bucket UInt16,
    orders UInt64,
    revenue Decimal(38, 6),
    refunds Decimal(38, 6),
    activities UInt64,
    interactions UInt64
)
ENGINE = @replacing(version)
ORDER BY (organization, customer, day, currency)
SETTINGS @durable;
