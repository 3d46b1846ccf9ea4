//! Definitions in force at a place in the log.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::segments::Rules;
use schemas::definition::FOLD_VERSION;
use schemas::{Currency, Define, OrganizationId, Tier, default_tiers};

/// The log asks for a fold this program does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log asks for fold version {asked}, this program knows {known}; run a version that knows it", known = FOLD_VERSION)]
pub struct UnknownFold {
    /// The version asked for.
    pub asked: u32,
}

/// What control records have defined so far in one partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    loyalty: HashMap<OrganizationId, Table>,
    currencies: HashMap<OrganizationId, Currency>,
    segments: HashMap<OrganizationId, Rules>,
}

#[derive(Debug, Clone, PartialEq)]
struct Table {
    tiers: Vec<Tier>,
    points_per_unit: i64,
    points_expire_days: u32,
}

static DEFAULT_TIERS: LazyLock<Vec<Tier>> = LazyLock::new(default_tiers);

impl Definitions {
    /// Takes a definition into force.
    ///
    /// # Errors
    /// When it asks for a fold this program does not know: go no further.
    pub fn define(&mut self, define: &Define) -> Result<(), UnknownFold> {
        match define {
            Define::Fold { version } if *version != FOLD_VERSION => {
                return Err(UnknownFold { asked: *version });
            }
            Define::Fold { .. } => {}
            Define::Loyalty {
                organization,
                tiers,
                points_per_unit,
                points_expire_days,
            } => {
                let table = Table {
                    tiers: tiers.clone(),
                    points_per_unit: *points_per_unit,
                    points_expire_days: *points_expire_days,
                };
                self.loyalty.insert(organization.clone(), table);
            }
            Define::Organization {
                organization,
                currency,
            } => {
                self.currencies.insert(organization.clone(), *currency);
            }
            Define::Segment {
                organization,
                id,
                version,
                criteria,
                is_active,
            } => {
                let rules = self.segments.entry(organization.clone()).or_default();
                rules.define(id, *version, criteria, *is_active);
            }
        }
        Ok(())
    }

    /// The organization's currency: USD until defined.
    pub fn currency(&self, organization: &OrganizationId) -> Currency {
        self.currencies
            .get(organization)
            .copied()
            .unwrap_or(Currency::USD)
    }

    /// The organization's segments; none where it never had any.
    pub fn segments(&self, organization: &OrganizationId) -> Option<&Rules> {
        match self.segments.is_empty() {
            true => None,
            false => self.segments.get(organization),
        }
    }

    /// The organization's tiers, lowest first.
    pub fn tiers(&self, organization: &OrganizationId) -> &[Tier] {
        self.loyalty
            .get(organization)
            .map_or(&DEFAULT_TIERS, |table| &table.tiers)
    }

    /// Points for one unit of the organization's currency: 1 until defined.
    pub fn points_per_unit(&self, organization: &OrganizationId) -> i64 {
        self.loyalty
            .get(organization)
            .map_or(1, |table| table.points_per_unit)
    }

    /// Days that points are kept: 0, which is for ever, until defined.
    pub fn points_expire_days(&self, organization: &OrganizationId) -> u32 {
        self.loyalty
            .get(organization)
            .map_or(0, |table| table.points_expire_days)
    }
}
