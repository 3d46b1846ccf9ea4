//! Settings of an organization: typed here, JSON in the database, defaults where nothing is stored.

use std::collections::BTreeMap;

use schemas::definition::{NEW_TIER, VIP_TIER};
use schemas::{Code, Currency, OrganizationId, Tier, default_tiers};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::Control;
use crate::db::values;
use crate::error::ControlError;
use crate::validate;

const TIERS: &str = "tiers";
const POINTS_PER_UNIT: &str = "points_per_unit";
const POINTS_EXPIRE_DAYS: &str = "points_expire_days";
const MANUAL_TIERS: &str = "manual_tiers";
const BENEFITS: &str = "benefits";
const MAX_TIERS: usize = 20;
/// A hundred years.
const MAX_EXPIRE_DAYS: u32 = 36_500;
const MAX_BENEFITS: usize = 50;
const MAX_BENEFIT_CHARS: usize = 1_000;

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
    /// Whole days that points are kept; 0 for ever.
    pub points_expire_days: u32,
    /// Tiers above those that points reach: they are given by hand.
    pub manual_tiers: Vec<String>,
    /// What a tier brings with it, in words, by its name.
    pub benefits: BTreeMap<String, Vec<String>>,
}

/// Everything of a loyalty programme that is set together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoyaltySettings {
    /// 1 to 20 tiers with names of their own, the first from 0, each later one from more points.
    pub tiers: Vec<Tier>,
    /// Up to 20 tiers that are given by hand, with other names.
    pub manual_tiers: Vec<String>,
    /// Up to 50 texts of up to 1,000 characters for each tier.
    pub benefits: BTreeMap<String, Vec<String>>,
    /// 0 to 1,000,000.
    pub points_per_unit: i64,
    /// 0 to 36,500; 0 for ever.
    pub points_expire_days: u32,
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
            points_expire_days: 0,
            manual_tiers: vec![VIP_TIER.to_owned()],
            benefits: BTreeMap::new(),
        };
        for row in rows {
            match row.name.as_str() {
                TIERS => settings.tiers = read(&row)?,
                POINTS_PER_UNIT => settings.points_per_unit = read(&row)?,
                POINTS_EXPIRE_DAYS => settings.points_expire_days = read(&row)?,
                MANUAL_TIERS => settings.manual_tiers = read(&row)?,
                BENEFITS => settings.benefits = read(&row)?,
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
            Setting::PointsPerUnit(points) => {
                check_points(points)?;
                self.store(organization, POINTS_PER_UNIT, &points).await
            }
        }
    }

    /// Replaces the loyalty programme, all of it at once. Errors: `Invalid` names the setting, `NotFound` the organization.
    pub async fn set_loyalty(
        &self,
        organization: &OrganizationId,
        loyalty: &LoyaltySettings,
    ) -> Result<(), ControlError> {
        loyalty.check()?;
        let sql = "INSERT INTO settings (organization_id, name, value, updated_at) VALUES
                   ($1, $2, $3, $12), ($1, $4, $5, $12), ($1, $6, $7, $12), ($1, $8, $9, $12), ($1, $10, $11, $12)
                   ON CONFLICT (organization_id, name)
                   DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        let values = values![
            organization.as_str(),
            TIERS,
            json(&loyalty.tiers)?,
            POINTS_PER_UNIT,
            json(&loyalty.points_per_unit)?,
            POINTS_EXPIRE_DAYS,
            json(&loyalty.points_expire_days)?,
            MANUAL_TIERS,
            json(&loyalty.manual_tiers)?,
            BENEFITS,
            json(&loyalty.benefits)?,
            self.now(),
        ];
        stored(self.db().execute(sql, values).await)
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
        let json = json(value)?;
        let sql = "INSERT INTO settings (organization_id, name, value, updated_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (organization_id, name)
                   DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        let values = values![organization.as_str(), name, json, self.now()];
        stored(self.db().execute(sql, values).await)
    }
}

/// What became of storing settings, of which an organization must be there.
fn stored(outcome: Result<u64, sqlx::Error>) -> Result<(), ControlError> {
    match outcome {
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

fn json(value: &impl Serialize) -> Result<String, ControlError> {
    serde_json::to_string(value).map_err(|error| ControlError::Corrupt(error.to_string()))
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
        check_name(TIERS, &tier.name)?;
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

fn check_name(setting: &'static str, name: &str) -> Result<(), ControlError> {
    let usable = name.to_lowercase() == name;
    if !usable || validate::name(setting, name)? != name {
        return Err(ControlError::invalid(
            setting,
            Code::InvalidFormat,
            "name tiers in lower case, without outer spaces",
        ));
    }
    Ok(())
}

fn check_points(points: i64) -> Result<(), ControlError> {
    match points {
        0..=1_000_000 => Ok(()),
        _ => Err(ControlError::invalid(
            POINTS_PER_UNIT,
            Code::OutOfRange,
            "use a whole number from 0 to 1000000",
        )),
    }
}

impl LoyaltySettings {
    fn check(&self) -> Result<(), ControlError> {
        check_tiers(&self.tiers)?;
        check_points(self.points_per_unit)?;
        if self.points_expire_days > MAX_EXPIRE_DAYS {
            return Err(ControlError::invalid(
                POINTS_EXPIRE_DAYS,
                Code::OutOfRange,
                "use a whole number of days from 0, which is for ever, to 36500",
            ));
        }
        if self.manual_tiers.len() > MAX_TIERS {
            return Err(ControlError::invalid(
                TIERS,
                Code::InvalidLength,
                "give at most 20 tiers without points",
            ));
        }
        let mut names: Vec<&str> = self.tiers.iter().map(|tier| tier.name.as_str()).collect();
        for name in &self.manual_tiers {
            check_name(TIERS, name)?;
            names.push(name);
        }
        if names.contains(&NEW_TIER) {
            return Err(ControlError::invalid(
                TIERS,
                Code::InvalidValue,
                "new is the tier of those without points; use another name",
            ));
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ControlError::invalid(
                TIERS,
                Code::Conflict,
                "name every tier differently",
            ));
        }
        let fits = |texts: &Vec<String>| {
            let short = |text: &String| text.chars().count() <= MAX_BENEFIT_CHARS;
            texts.len() <= MAX_BENEFITS && texts.iter().all(short)
        };
        if !self.benefits.values().all(fits) {
            return Err(ControlError::invalid(
                BENEFITS,
                Code::InvalidLength,
                "give at most 50 texts of 1000 characters for each tier",
            ));
        }
        Ok(())
    }
}
