//! Batched look-ups of single claims, states and buckets.

use std::collections::BTreeMap;

use arrow::datatypes::{UInt32Type, UInt64Type};
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashMap;
use schemas::{OrganizationId, Position};
use warehouse::Params;

use super::StoreError;
use super::clickhouse::{WarehouseStore, read_states};
use super::columns::{hashes, numbers};
use super::windows::{DAY, read_days};
use crate::claims::Claim;
use crate::engine::{Needs, StoredBucket, StoredState};

/// Keys in one statement: servers refuse parameters of more than 128 KiB.
const CLAIMS_AT_ONCE: usize = 1_500;
pub(super) const CUSTOMERS_AT_ONCE: usize = 200;
/// Statements at the same time.
const AT_ONCE: usize = 2;

impl WarehouseStore {
    /// The first position that holds each claim.
    pub(super) async fn find_claims(
        &self,
        needs: &Needs,
    ) -> Result<HashMap<Claim, Position>, StoreError> {
        let sql = "SELECT id, who, tupleElement(min((generation, offset, partition)) AS first, 1) AS first_generation, \
            tupleElement(first, 2) AS first_offset, tupleElement(first, 3) AS first_partition \
            FROM event_ids@ WHERE id IN {ids:Array(FixedString(16))} GROUP BY id, who";
        let chunks: Vec<Vec<Claim>> = needs
            .claims
            .chunks(CLAIMS_AT_ONCE)
            .map(<[Claim]>::to_vec)
            .collect();
        let queries = chunks.into_iter().map(|claims| async move {
            let ids: Vec<[u8; 16]> = claims.iter().map(|claim| claim.id.to_be_bytes()).collect();
            let mut found = Vec::new();
            for batch in self.query(sql, &Params::new().with("ids", ids)).await? {
                let (ids, whos) = (hashes(&batch, "id")?, numbers::<UInt64Type>(&batch, "who")?);
                let generations = numbers::<UInt32Type>(&batch, "first_generation")?;
                let partitions = numbers::<UInt32Type>(&batch, "first_partition")?;
                let offsets = numbers::<UInt64Type>(&batch, "first_offset")?;
                found.extend(ids.iter().enumerate().map(|(row, id)| {
                    let position = Position {
                        generation: generations.value(row),
                        partition: partitions.value(row),
                        offset: offsets.value(row),
                    };
                    (
                        Claim {
                            id: *id,
                            who: whos.value(row),
                        },
                        position,
                    )
                }));
            }
            Ok::<_, StoreError>(found)
        });
        let found: Vec<Vec<_>> = futures::stream::iter(queries)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The latest states.
    pub(super) async fn find_states(&self, needs: &Needs) -> Result<Vec<StoredState>, StoreError> {
        let sql = "SELECT bucket, organization, customer, state FROM customer_state@ \
            WHERE organization = {organization:String} AND customer IN {customers:Array(String)} \
            ORDER BY version DESC LIMIT 1 BY customer";
        let mut asked: BTreeMap<&OrganizationId, Vec<&str>> = BTreeMap::new();
        for (_, customer) in &needs.customers {
            asked
                .entry(&customer.organization)
                .or_default()
                .push(&customer.customer_id);
        }
        let mut found = Vec::with_capacity(needs.customers.len());
        for (organization, customers) in asked {
            for customers in customers.chunks(CUSTOMERS_AT_ONCE) {
                let params = Params::new()
                    .with("organization", organization.as_str())
                    .with("customers", customers);
                for batch in self.query(sql, &params).await? {
                    found.extend(read_states(&batch)?.into_iter().map(|(_, state)| state));
                }
            }
        }
        Ok(found)
    }

    /// The latest buckets.
    pub(super) async fn find_buckets(
        &self,
        needs: &Needs,
    ) -> Result<Vec<StoredBucket>, StoreError> {
        let sql = format!(
            "SELECT {DAY} FROM customer_days@ WHERE organization = {{organization:String}} \
             AND customer IN {{customers:Array(String)}} AND toInt32(day) IN {{days:Array(Int32)}} \
             ORDER BY version DESC LIMIT 1 BY customer, day, currency"
        );
        let mut asked: BTreeMap<&OrganizationId, Vec<(&str, i32)>> = BTreeMap::new();
        for (_, customer, key) in &needs.buckets {
            asked
                .entry(&customer.organization)
                .or_default()
                .push((&customer.customer_id, key.day));
        }
        let mut found = Vec::with_capacity(needs.buckets.len());
        for (organization, pairs) in asked {
            for pairs in pairs.chunks(CUSTOMERS_AT_ONCE) {
                let (customers, days): (Vec<&str>, Vec<i32>) = pairs.iter().copied().unzip();
                let params = Params::new()
                    .with("organization", organization.as_str())
                    .with("customers", customers)
                    .with("days", days);
                for batch in self.query(&sql, &params).await? {
                    found.extend(read_days(organization, &batch)?);
                }
            }
        }
        Ok(found)
    }
}
