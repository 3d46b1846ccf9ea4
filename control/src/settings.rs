//! Settings of an organization: typed here, JSON in the database, defaults where nothing is stored.

use schemas::{Code, Currency, OrganizationId, Tier, default_tiers};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::Control;
use crate::db::values;
use crate::error::ControlError;
use crate::validate;

const TIERS: &str = "tiers";
const POINTS_PER_UNIT: &str = "points_per_unit";
const MAX_TIERS: usize = 20;

/// Everything an organization can set, as it holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// ISO 4217.
    pub currency: Currency,
    /// IANA name.
    pub timezone: String,
    /// Loyalty tiers, lowest first.
    pub tiers: Vec<Tier>,
    /// Loyalty points for one unit of the currency.
    pub points_per_unit: i64,
}

/// One setting and its new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// ISO 4217.
    Currency(Currency),
    /// IANA name.
    Timezone(String),
    /// 1 to 20 tiers with names of their own, the first from 0, each later one from more points.
    Tiers(Vec<Tier>),
    /// 0 to 1,000,000.
    PointsPerUnit(i64),
}

#[derive(sqlx::FromRow)]
struct SettingRow {
    name: String,
    value: String,
}

impl Control {
    /// The settings in force.
    pub async fn settings(&self, organization: &OrganizationId) -> Result<Settings, ControlError> {
        let base = self.organization(organization).await?;
        let sql = "SELECT name, value FROM settings WHERE organization_id = $1";
        let rows: Vec<SettingRow> = self.db().all(sql, values![organization.as_str()]).await?;
        let mut settings = Settings {
            currency: base.currency,
            timezone: base.timezone,
            tiers: default_tiers(),
            points_per_unit: 1,
        };
        for row in rows {
            match row.name.as_str() {
                TIERS => settings.tiers = read(&row)?,
                POINTS_PER_UNIT => settings.points_per_unit = read(&row)?,
                // Of a later version of this program, which shares the database.
                _ => {}
            }
        }
        Ok(settings)
    }

    /// Changes one setting. Errors: `Invalid` names the setting, `NotFound` the organization.
    pub async fn set_setting(
        &self,
        organization: &OrganizationId,
        setting: Setting,
    ) -> Result<(), ControlError> {
        let id = organization.as_str();
        match setting {
            Setting::Currency(currency) => {
                let sql = "UPDATE organizations SET currency = $2 WHERE id = $1";
                self.update_organization(sql, id, currency.as_str()).await
            }
            Setting::Timezone(timezone) => {
                let timezone = validate::timezone(&timezone)?;
                self.update_organization(
                    "UPDATE organizations SET timezone = $2 WHERE id = $1",
                    id,
                    &timezone,
                )
                .await
            }
            Setting::Tiers(tiers) => {
                check_tiers(&tiers)?;
                self.store(organization, TIERS, &tiers).await
            }
            Setting::PointsPerUnit(points) if !(0..=1_000_000).contains(&points) => {
                Err(ControlError::invalid(
                    POINTS_PER_UNIT,
                    Code::OutOfRange,
                    "use a whole number from 0 to 1000000",
                ))
            }
            Setting::PointsPerUnit(points) => {
                self.store(organization, POINTS_PER_UNIT, &points).await
            }
        }
    }

    async fn update_organization(
        &self,
        sql: &'static str,
        id: &str,
        value: &str,
    ) -> Result<(), ControlError> {
        let changed = self.db().execute(sql, values![id, value]).await?;
        // Principals carry currency and zone.
        self.forget_cached();
        match changed {
            0 => Err(ControlError::NotFound {
                what: "organization",
            }),
            _ => Ok(()),
        }
    }

    async fn store(
        &self,
        organization: &OrganizationId,
        name: &'static str,
        value: &impl Serialize,
    ) -> Result<(), ControlError> {
        let json = serde_json::to_string(value)
            .map_err(|error| ControlError::Corrupt(error.to_string()))?;
        let sql = "INSERT INTO settings (organization_id, name, value, updated_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (organization_id, name)
                   DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        match self
            .db()
            .execute(sql, values![organization.as_str(), name, json, self.now()])
            .await
        {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_database_error()
                    .is_some_and(|inner| inner.is_foreign_key_violation()) =>
            {
                Err(ControlError::NotFound {
                    what: "organization",
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn read<T: DeserializeOwned>(row: &SettingRow) -> Result<T, ControlError> {
    serde_json::from_str(&row.value)
        .map_err(|error| ControlError::Corrupt(format!("setting {}: {error}", row.name)))
}

fn check_tiers(tiers: &[Tier]) -> Result<(), ControlError> {
    if tiers.is_empty() || tiers.len() > MAX_TIERS {
        return Err(ControlError::invalid(
            TIERS,
            Code::InvalidLength,
            "give 1 to 20 tiers",
        ));
    }
    for tier in tiers {
        let usable = tier.name.to_lowercase() == tier.name;
        if !usable || validate::name(TIERS, &tier.name)? != tier.name {
            return Err(ControlError::invalid(
                TIERS,
                Code::InvalidFormat,
                "name tiers in lower case, without outer spaces",
            ));
        }
    }
    if tiers[0].from != 0 || tiers.windows(2).any(|pair| pair[0].from >= pair[1].from) {
        return Err(ControlError::invalid(
            TIERS,
            Code::InvalidValue,
            "start the first tier at 0 and each later one higher",
        ));
    }
    let mut names: Vec<&str> = tiers.iter().map(|tier| tier.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ControlError::invalid(
            TIERS,
            Code::Conflict,
            "name every tier differently",
        ));
    }
    Ok(())
}
