//! How far the log is applied: read first, then everything else is cut at it.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::{UInt32Type, UInt64Type};
use schemas::Timestamp;
use stream::Log;
use warehouse::{Params, Warehouse, WarehouseError};

use crate::api::now;
use crate::http::as_of::AsOf;

/// For every log partition the next offset: all before it is applied.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Cut {
    #[serde(with = "triples")]
    pub(crate) next: BTreeMap<(u32, u32), u64>,
    pub(crate) time: Timestamp,
}

const PROGRESS: &str =
    "SELECT toUInt32(generation) AS generation, toUInt32(partition) AS partition,
    toUInt64(max(offset)) AS next
    FROM progress GROUP BY generation, partition";

impl Cut {
    /// Reads the commit points of all partitions. Partitions of the present log without one are at 0.
    pub(crate) async fn read(
        warehouse: &dyn Warehouse,
        log: &dyn Log,
    ) -> Result<Self, WarehouseError> {
        let mut next: BTreeMap<(u32, u32), u64> = (0..log.partitions())
            .map(|partition| ((log.generation(), partition), 0))
            .collect();
        let time = now();
        for batch in warehouse.query(PROGRESS, &Params::new()).await? {
            let generations = batch.column(0).as_primitive::<UInt32Type>();
            let partitions = batch.column(1).as_primitive::<UInt32Type>();
            let offsets = batch.column(2).as_primitive::<UInt64Type>();
            for row in 0..batch.num_rows() {
                let key = (generations.value(row), partitions.value(row));
                next.insert(key, offsets.value(row));
            }
        }
        Ok(Self { next, time })
    }

    /// This cut, and nowhere beyond another one: for one that has been out of our hands.
    pub(crate) fn within(&self, other: &Self) -> Self {
        let next = other.next.iter().map(|(&key, &next)| {
            let (generation, partition) = key;
            (key, next.min(self.next(generation, partition)))
        });
        Self {
            next: next.collect(),
            time: self.time.min(other.time),
        }
    }

    /// The next offset of a partition; 0 for one that nothing is known of.
    pub(crate) fn next(&self, generation: u32, partition: u32) -> u64 {
        self.next
            .get(&(generation, partition))
            .copied()
            .unwrap_or(0)
    }

    /// Records applied in all, for telling how far two cuts are apart.
    pub(crate) fn records(&self) -> u64 {
        self.next.values().sum()
    }

    /// A condition on a positioned table that holds for what is applied, and the parameters it needs.
    pub(crate) fn condition(&self, params: Params) -> (String, Params) {
        let (keys, ends): (Vec<u64>, Vec<u64>) = self
            .next
            .iter()
            .map(|((generation, partition), next)| {
                (u64::from(*generation) << 32 | u64::from(*partition), *next)
            })
            .unzip();
        let applied = "offset < transform(bitShiftLeft(toUInt64(generation), 32) + partition, \
             {cut_keys:Array(UInt64)}, {cut_ends:Array(UInt64)}, toUInt64(0))";
        let params = params.with("cut_keys", keys).with("cut_ends", ends);
        (applied.to_owned(), params)
    }

    /// As it is written in answers.
    pub(crate) fn as_of(&self) -> AsOf {
        AsOf {
            positions: self
                .next
                .iter()
                .map(|((generation, partition), next)| (format!("{generation}:{partition}"), *next))
                .collect(),
            time: self.time,
        }
    }
}

/// Keys that are no texts, as JSON takes them.
mod triples {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Next = BTreeMap<(u32, u32), u64>;

    pub(super) fn serialize<S: Serializer>(next: &Next, to: S) -> Result<S::Ok, S::Error> {
        let triples: Vec<_> = next
            .iter()
            .map(|(key, next)| (key.0, key.1, next))
            .collect();
        triples.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Next, D::Error> {
        let triples = Vec::<(u32, u32, u64)>::deserialize(from)?;
        let pairs = triples.into_iter();
        Ok(pairs
            .map(|(generation, partition, next)| ((generation, partition), next))
            .collect())
    }
}
