//! The loyalty programme of an organization: settings that belong together and are changed together.

use std::collections::BTreeMap;

use schemas::definition::NEW_TIER;
use schemas::{Code, OrganizationId, Tier};

use crate::control::Control;
use crate::error::ControlError;
use crate::settings::{
    BENEFITS, MANUAL_TIERS, MAX_TIERS, POINTS_EXPIRE_DAYS, POINTS_PER_UNIT, TIERS, check_points,
    check_tier_name, check_tiers,
};

/// A hundred years.
const MAX_EXPIRE_DAYS: u32 = 36_500;
const MAX_BENEFITS: usize = 50;
const MAX_BENEFIT_CHARS: usize = 1_000;

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
            check_tier_name(TIERS, name)?;
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

impl Control {
    /// Replaces the loyalty programme, all of it at once. Errors: `Invalid` names the setting, `NotFound` the organization.
    pub async fn set_loyalty(
        &self,
        organization: &OrganizationId,
        loyalty: &LoyaltySettings,
    ) -> Result<(), ControlError> {
        loyalty.check()?;
        let names = [
            TIERS,
            POINTS_PER_UNIT,
            POINTS_EXPIRE_DAYS,
            MANUAL_TIERS,
            BENEFITS,
        ];
        let new = loyalty.clone();
        self.change_settings(organization, "loyalty", &names, move |settings| {
            settings.tiers = new.tiers;
            settings.points_per_unit = new.points_per_unit;
            settings.points_expire_days = new.points_expire_days;
            settings.manual_tiers = new.manual_tiers;
            settings.benefits = new.benefits;
        })
        .await
    }
}
