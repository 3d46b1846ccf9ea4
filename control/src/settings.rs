//! Settings of an organization: typed here, JSON in the database, defaults where nothing is stored.

use std::collections::HashSet;

use schemas::{Code, Currency, FieldError, OrganizationId, Tier, default_tiers};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::control::Control;
use crate::db::values;
use crate::edit::Note;
use crate::error::ControlError;
use crate::{model, validate};

const CURRENCY: &str = "currency";
const TIMEZONE: &str = "timezone";
const TIERS: &str = "tiers";
const POINTS_PER_UNIT: &str = "points_per_unit";
const NAME_UNIQUENESS: &str = "name_uniqueness";
const SERVICE_TYPES: &str = "service_types";
const QUOTE_PREFIX: &str = "quote_prefix";
const MAX_TYPES: usize = 100;
const MAX_TYPE: usize = 60;
const MAX_PREFIX: usize = 16;
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
    /// Which customers must have a name of their own.
    pub name_uniqueness: NameUniqueness,
    /// What feedback may be about; anything where empty.
    pub service_types: Vec<String>,
    /// What stands before the number of a quote.
    pub quote_prefix: String,
}

/// Which customers of an organization must have a name that no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameUniqueness {
    /// Every customer.
    All,
    /// Customers that are companies.
    Companies,
    /// None.
    Off,
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
    /// Any.
    NameUniqueness(NameUniqueness),
    /// At most 100 of 1 to 60 characters, different whatever their case.
    ServiceTypes(Vec<String>),
    /// At most 16 characters, exactly as given.
    QuotePrefix(String),
}

#[derive(sqlx::FromRow)]
struct SettingRow {
    name: String,
    value: String,
}

#[derive(sqlx::FromRow)]
struct BaseRow {
    currency: String,
    timezone: String,
}

const BASE: &str = "SELECT currency, timezone FROM organizations WHERE id = $1";
const ROWS: &str = "SELECT name, value FROM settings WHERE organization_id = $1";

impl Settings {
    fn read(base: Option<BaseRow>, rows: Vec<SettingRow>) -> Result<Self, ControlError> {
        let base = base.ok_or(ControlError::NotFound {
            what: "organization",
        })?;
        let mut settings = Settings {
            currency: model::currency(&base.currency)?,
            timezone: base.timezone,
            tiers: default_tiers(),
            points_per_unit: 1,
            name_uniqueness: NameUniqueness::All,
            service_types: Vec::new(),
            quote_prefix: "Q-".to_owned(),
        };
        for row in rows {
            match row.name.as_str() {
                TIERS => settings.tiers = read(&row)?,
                POINTS_PER_UNIT => settings.points_per_unit = read(&row)?,
                NAME_UNIQUENESS => settings.name_uniqueness = read(&row)?,
                SERVICE_TYPES => settings.service_types = read(&row)?,
                QUOTE_PREFIX => settings.quote_prefix = read(&row)?,
                // Of a later version of this program, which shares the database.
                _ => {}
            }
        }
        Ok(settings)
    }

    fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Currency(currency) => self.currency = currency,
            Setting::Timezone(timezone) => self.timezone = timezone,
            Setting::Tiers(tiers) => self.tiers = tiers,
            Setting::PointsPerUnit(points) => self.points_per_unit = points,
            Setting::NameUniqueness(which) => self.name_uniqueness = which,
            Setting::ServiceTypes(types) => self.service_types = types,
            Setting::QuotePrefix(prefix) => self.quote_prefix = prefix,
        }
    }

    /// One of them, as it is stored.
    fn json(&self, name: &str) -> Result<Json, ControlError> {
        let all = serde_json::to_value(self);
        let all = all.map_err(|error| ControlError::Corrupt(error.to_string()))?;
        Ok(all.get(name).cloned().unwrap_or_default())
    }
}

impl Setting {
    /// As it is stored, and called in [`Settings`].
    fn name(&self) -> &'static str {
        match self {
            Setting::Currency(_) => CURRENCY,
            Setting::Timezone(_) => TIMEZONE,
            Setting::Tiers(_) => TIERS,
            Setting::PointsPerUnit(_) => POINTS_PER_UNIT,
            Setting::NameUniqueness(_) => NAME_UNIQUENESS,
            Setting::ServiceTypes(_) => SERVICE_TYPES,
            Setting::QuotePrefix(_) => QUOTE_PREFIX,
        }
    }

    fn checked(self) -> Result<Self, ControlError> {
        match self {
            Setting::Currency(_) => Ok(self),
            Setting::Timezone(timezone) => validate::timezone(&timezone).map(Setting::Timezone),
            Setting::Tiers(tiers) => check_tiers(&tiers).map(|()| Setting::Tiers(tiers)),
            Setting::PointsPerUnit(points) if !(0..=1_000_000).contains(&points) => {
                Err(ControlError::invalid(
                    POINTS_PER_UNIT,
                    Code::OutOfRange,
                    "use a whole number from 0 to 1000000",
                ))
            }
            Setting::PointsPerUnit(_) | Setting::NameUniqueness(_) => Ok(self),
            Setting::ServiceTypes(types) => check_types(&types).map(Setting::ServiceTypes),
            Setting::QuotePrefix(prefix) => check_prefix(prefix).map(Setting::QuotePrefix),
        }
    }
}

impl Control {
    /// The settings in force.
    pub async fn settings(&self, organization: &OrganizationId) -> Result<Settings, ControlError> {
        let base = self.db().one(BASE, values![organization.as_str()]).await?;
        let rows = self.db().all(ROWS, values![organization.as_str()]).await?;
        Settings::read(base, rows)
    }

    /// Changes one setting. Errors: `Invalid` names the setting, `NotFound` the organization.
    pub async fn set_setting(
        &self,
        organization: &OrganizationId,
        setting: Setting,
    ) -> Result<(), ControlError> {
        let setting = setting.checked()?;
        let name = setting.name();
        let id = organization.as_str();
        let mut edit = self.edit(organization).await?;
        let transaction = &mut edit.transaction;
        let base: Vec<BaseRow> = transaction.all(BASE, values![id]).await?;
        let rows = transaction.all(ROWS, values![id]).await?;
        let before = Settings::read(base.into_iter().next(), rows)?;
        let mut after = before.clone();
        after.set(setting);
        let (old, new) = (before.json(name)?, after.json(name)?);
        match name {
            CURRENCY => {
                let sql = "UPDATE organizations SET currency = $2 WHERE id = $1";
                let row = values![id, after.currency.as_str()];
                transaction.execute(sql, row).await?;
            }
            TIMEZONE => {
                let sql = "UPDATE organizations SET timezone = $2 WHERE id = $1";
                let row = values![id, after.timezone.as_str()];
                transaction.execute(sql, row).await?;
            }
            _ => {
                let sql = "INSERT INTO settings (organization_id, name, value, updated_at) VALUES ($1, $2, $3, $4)
                           ON CONFLICT (organization_id, name)
                           DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
                let row = values![id, name, new.to_string(), self.now()];
                transaction.execute(sql, row).await?;
            }
        }
        edit.finish(Note::changed("updated", "setting", name, &old, &new))
            .await?;
        // Principals carry currency and zone.
        self.forget_cached();
        Ok(())
    }
}

fn read<T: DeserializeOwned>(row: &SettingRow) -> Result<T, ControlError> {
    serde_json::from_str(&row.value)
        .map_err(|error| ControlError::Corrupt(format!("setting {}: {error}", row.name)))
}

fn check_types(types: &[String]) -> Result<Vec<String>, ControlError> {
    if types.len() > MAX_TYPES {
        let detail = "give at most 100 types";
        return Err(ControlError::invalid(
            SERVICE_TYPES,
            Code::InvalidLength,
            detail,
        ));
    }
    let (mut kept, mut keys) = (Vec::with_capacity(types.len()), HashSet::new());
    for (at, text) in types.iter().enumerate() {
        let field = format!("{SERVICE_TYPES}[{at}]");
        let text = validate::line(&field, text, MAX_TYPE)?;
        if !keys.insert(validate::folded(&text)) {
            let detail = "name every type differently";
            return Err(FieldError::new(field, Code::Conflict, detail).into());
        }
        kept.push(text);
    }
    Ok(kept)
}

fn check_prefix(prefix: String) -> Result<String, ControlError> {
    let refuse = |code, detail| Err(ControlError::invalid(QUOTE_PREFIX, code, detail));
    if prefix.chars().count() > MAX_PREFIX {
        return refuse(Code::InvalidLength, "use at most 16 characters");
    }
    match prefix.chars().any(char::is_control) {
        true => refuse(Code::InvalidCharacter, "leave out control characters"),
        false => Ok(prefix),
    }
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
