//! Loyalty: an organization's programme, and the ledger of a customer's account.

use std::collections::BTreeMap;

use control::{ControlError, LoyaltySettings};
use schemas::definition::{NEW_TIER, VIP_TIER, reached};
use schemas::{OrganizationId, Position, Problem, Tier, Timestamp, bucket, default_tiers};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use super::customers::CustomerJson;
use crate::api::App;
use crate::http::problem::control_problem;
use crate::tables::CUSTOMER;
use crate::tables::cut::Cut;
use crate::tables::rows::Rows;

/// What an organization has defined of its loyalty programme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programme(pub(crate) LoyaltySettings);

impl Programme {
    /// The programme in force: the defaults where nothing is defined.
    pub(crate) async fn of(app: &App, organization: &OrganizationId) -> Result<Self, Problem> {
        match app.api.control.settings(organization).await {
            Ok(settings) => Ok(Self(LoyaltySettings {
                tiers: settings.tiers,
                manual_tiers: settings.manual_tiers,
                benefits: settings.benefits,
                points_per_unit: settings.points_per_unit,
                points_expire_days: settings.points_expire_days,
            })),
            // A key of the configuration may speak for no organization yet.
            Err(ControlError::NotFound { .. }) => Ok(Self(LoyaltySettings {
                tiers: default_tiers(),
                manual_tiers: vec![VIP_TIER.to_owned()],
                benefits: BTreeMap::new(),
                points_per_unit: 1,
                points_expire_days: 0,
            })),
            Err(error) => Err(control_problem(error)),
        }
    }

    /// Sets a customer's tier by the table as it is now: the stored one is of the table at its last event.
    pub(crate) fn set_tier(&self, customer: &mut CustomerJson) {
        if !customer.manual_tier.is_empty() {
            customer.tier.clone_from(&customer.manual_tier);
        } else if customer.tier != NEW_TIER {
            customer.tier = reached(&self.0.tiers, customer.points).to_owned();
        }
    }

    /// Whether a tier of this name can be given by hand.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut by_points = self.0.tiers.iter();
        self.0.manual_tiers.iter().any(|manual| manual == name)
            || by_points.any(|tier| tier.name == name)
    }

    /// Every name of a tier, lowest first.
    pub(crate) fn names(&self) -> Vec<&str> {
        let by_points = self.0.tiers.iter().map(|tier| tier.name.as_str());
        let by_hand = self.0.manual_tiers.iter().map(String::as_str);
        by_points.chain(by_hand).collect()
    }

    /// What a tier brings with it.
    pub(crate) fn benefits(&self, tier: &str) -> Vec<String> {
        self.0.benefits.get(tier).cloned().unwrap_or_default()
    }

    /// The first tier that more points than these reach.
    pub(crate) fn next(&self, points: i64) -> Option<&Tier> {
        self.0.tiers.iter().find(|tier| tier.from > points)
    }
}

/// One movement of points.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovementJson {
    /// Where it stands in the log: `generation:partition:offset`.
    #[schema(value_type = String)]
    pub(crate) id: Position,
    /// When it was booked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
    /// earn, redeem, adjust, refund (points that a refund took back) or expire.
    pub(crate) kind: String,
    /// What it added to the balance; negative where it took from it.
    pub(crate) points: i64,
    /// The balance after it.
    pub(crate) balance: i64,
    /// Why, in words.
    pub(crate) reason: Option<String>,
    /// What it belongs to: of purchases the order's id, of refunds what they refund.
    pub(crate) reference: Option<String>,
    /// Who made it: a user, or the key of a client; null where time did.
    pub(crate) author: Option<String>,
}

/// Movements of one kind together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KindTotal {
    /// How many there were.
    pub(crate) movements: i64,
    /// Their sum.
    pub(crate) points: i64,
}

/// Where a page of the ledger begins, newest first: the place of the last movement before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    generation: u32,
    offset: u64,
}

/// The ledger of one customer, as far as it is applied.
pub(crate) struct Ledger<'a> {
    warehouse: &'a dyn Warehouse,
    params: Params,
}

/// All conditions on rows of a ledger: what is beyond the cut was written and is not committed yet.
fn conditions() -> String {
    format!(
        "organization = {{organization:String}} AND {CUSTOMER} = {{customer:String}} \
         AND (generation < {{generation:UInt32}} OR offset < {{next:UInt64}})"
    )
}

impl<'a> Ledger<'a> {
    pub(crate) fn of(
        app: &'a App,
        cut: &Cut,
        organization: &OrganizationId,
        customer: &str,
    ) -> Self {
        let log = &app.api.log;
        let partition = u32::from(bucket(organization, customer)) % log.partitions();
        let params = Params::new()
            .with("organization", organization.as_str())
            .with("customer", customer)
            .with("generation", log.generation())
            .with("next", cut.next(log.generation(), partition));
        Self {
            warehouse: &*app.api.warehouse,
            params,
        }
    }

    /// Movements, newest first, at most `limit`.
    pub(crate) async fn page(
        self,
        kind: Option<&str>,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<MovementJson>, WarehouseError> {
        let mut conditions = conditions();
        let mut params = self.params;
        if let Some(kind) = kind {
            conditions.push_str(" AND kind = {kind:String}");
            params = params.with("kind", kind);
        }
        if let Some(place) = after {
            conditions.push_str(
                " AND (generation, offset) < ({after_generation:UInt32}, {after_offset:UInt64})",
            );
            params = params
                .with("after_generation", place.generation)
                .with("after_offset", place.offset);
        }
        let sql = format!(
            "SELECT toInt64(generation) AS c_generation, toInt64(partition) AS c_partition, toInt64(offset) AS c_offset, \
             toUnixTimestamp64Micro(at) AS c_at, toString(kind) AS c_kind, points AS c_points, balance AS c_balance, \
             reason AS c_reason, reference AS c_reference, author AS c_author FROM loyalty_ledger FINAL \
             WHERE {conditions} ORDER BY generation DESC, offset DESC LIMIT {limit}"
        );
        let mut found = Vec::new();
        for batch in self.warehouse.query(&sql, &params).await? {
            let rows = Rows::new(&batch);
            let number = |name: &str| rows.numbers(name);
            let (generations, partitions) = (number("c_generation")?, number("c_partition")?);
            let (offsets, at) = (number("c_offset")?, rows.times("c_at")?);
            let (points, balances) = (number("c_points")?, number("c_balance")?);
            let (mut kinds, mut reasons) = (rows.texts("c_kind")?, rows.texts("c_reason")?);
            let (mut references, mut authors) =
                (rows.texts("c_reference")?, rows.texts("c_author")?);
            let stated =
                |text: &mut String| Some(std::mem::take(text)).filter(|text| !text.is_empty());
            for row in 0..batch.num_rows() {
                let small = |number: Option<i64>| u32::try_from(number.unwrap_or_default());
                let position = Position {
                    generation: small(generations[row]).unwrap_or_default(),
                    partition: small(partitions[row]).unwrap_or_default(),
                    offset: offsets[row].unwrap_or_default().unsigned_abs(),
                };
                found.push(MovementJson {
                    id: position,
                    at: at[row],
                    kind: std::mem::take(&mut kinds[row]),
                    points: points[row].unwrap_or_default(),
                    balance: balances[row].unwrap_or_default(),
                    reason: stated(&mut reasons[row]),
                    reference: stated(&mut references[row]),
                    author: stated(&mut authors[row]),
                });
            }
        }
        Ok(found)
    }

    /// All movements by kind, and when the first one was.
    pub(crate) async fn totals(
        self,
    ) -> Result<(BTreeMap<String, KindTotal>, Option<Timestamp>), WarehouseError> {
        let sql = format!(
            "SELECT toString(kind) AS c_kind, toInt64(count()) AS c_count, toInt64(sum(points)) AS c_points, \
             toUnixTimestamp64Micro(min(at)) AS c_first FROM loyalty_ledger FINAL WHERE {} GROUP BY kind",
            conditions()
        );
        let (mut totals, mut first) = (BTreeMap::new(), None);
        for batch in self.warehouse.query(&sql, &self.params).await? {
            let rows = Rows::new(&batch);
            let (counts, points) = (rows.numbers("c_count")?, rows.numbers("c_points")?);
            let firsts = rows.times("c_first")?;
            for (row, kind) in rows.texts("c_kind")?.into_iter().enumerate() {
                let total = KindTotal {
                    movements: counts[row].unwrap_or_default(),
                    points: points[row].unwrap_or_default(),
                };
                totals.insert(kind, total);
                first = [first, firsts[row]].into_iter().flatten().min();
            }
        }
        Ok((totals, first))
    }
}

/// Cuts a page that was read with one movement more than its limit, and tells where the next one begins.
pub(crate) fn cut(found: &mut Vec<MovementJson>, limit: usize) -> Option<Place> {
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more)?;
    Some(Place {
        generation: last.id.generation,
        offset: last.id.offset,
    })
}
