-- The commit point of each partition: `offset` is the next record to apply, the counts are of all records before it.
CREATE TABLE IF NOT EXISTS progress
(
    generation UInt32,
    partition UInt32,
    offset UInt64,
    records UInt64,
    events UInt64,
    rejections UInt64,
    duplicates UInt64,
    internal UInt64,
    erased UInt64,
    record_hash UInt64,
    tick Nullable(DateTime64(6, 'UTC')),
    owner String,
    committed_at DateTime64(6, 'UTC')
)
ENGINE = @replacing(offset)
ORDER BY (generation, partition)
SETTINGS @durable;
