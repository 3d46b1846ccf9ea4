-- What the log holds beside events: definitions (currency, tiers, the fold's version) and ticks of the clock, by their place.
-- A partition's new owner reads the definitions before it folds; a replay reads both, whatever the log still keeps.
CREATE TABLE IF NOT EXISTS controls
(
    generation UInt32,
    partition UInt32,
    offset UInt64,
    kind LowCardinality(String),
    control String
)
ENGINE = @replacing()
ORDER BY (generation, partition, offset)
SETTINGS @durable;
