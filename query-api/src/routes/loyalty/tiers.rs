//! `/loyalty/tiers`: what an organization's loyalty programme gives, and for how many points.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::LoyaltySettings;
use schemas::{Define, Problem, ProblemKind, Tier};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::body::{Fields, refuse};
use crate::http::caller::{CustomerReader, Definer};
use crate::http::params::Params;
use crate::http::problem::control_problem;
use crate::models::defining::define;
use crate::models::loyalty::Programme;

/// How often a programme is written to the log again because somebody else has changed it meanwhile.
const MOST_REPEATS: usize = 5;

/// A tier.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TierJson {
    /// Its name, in lower case.
    name: String,
    /// Points from which it is held; null for a tier that is given by hand.
    #[serde(default)]
    from: Option<i64>,
    /// What it brings with it, in words.
    #[serde(default)]
    benefits: Vec<String>,
}

/// A loyalty programme.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProgrammeJson {
    as_of: AsOf,
    /// The tiers, lowest first; those given by hand are above all others. Customers whose account was never used have the
    /// tier `new`.
    tiers: Vec<TierJson>,
    /// Points for one unit of the organization's currency.
    points_per_unit: i64,
    /// Whole days after the one they were earned on that points are kept; 0 for ever.
    points_expire_days: u32,
}

/// A loyalty programme to be defined.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct ProgrammeBody {
    /// 1 to 20 tiers from rising points, the first from 0, then up to 20 that are given by hand.
    tiers: Vec<TierJson>,
    /// 0 to 1,000,000 points for one unit of the organization's currency; 1 where absent.
    points_per_unit: Option<i64>,
    /// 0 to 36,500 whole days; where absent 0, which is for ever.
    points_expire_days: Option<u32>,
}

async fn shown(app: &App, programme: Programme) -> Result<Json<ProgrammeJson>, Problem> {
    let as_of = app.cut().await?.as_of();
    let by_points = programme.0.tiers.iter();
    let by_points = by_points.map(|tier| (tier.name.clone(), Some(tier.from)));
    let by_hand = programme.0.manual_tiers.iter();
    let by_hand = by_hand.map(|name| (name.clone(), None));
    let tiers = by_points.chain(by_hand).map(|(name, from)| TierJson {
        benefits: programme.benefits(&name),
        name,
        from,
    });
    Ok(Json(ProgrammeJson {
        as_of,
        tiers: tiers.collect(),
        points_per_unit: programme.0.points_per_unit,
        points_expire_days: programme.0.points_expire_days,
    }))
}

/// The loyalty programme: tiers, their benefits, and how points come and go.
#[utoipa::path(
    get, path = "/loyalty/tiers", tag = "loyalty",
    responses((status = 200, description = "The programme", body = ProgrammeJson))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, _): CustomerReader,
    params: Params,
) -> Result<Json<ProgrammeJson>, Problem> {
    params.finish()?;
    let programme = Programme::of(&app, &principal.organization).await?;
    shown(&app, programme).await
}

/// Takes a whole number that may be absent.
fn whole(body: &mut Fields, name: &'static str, default: i64) -> Result<i64, Problem> {
    match body.value(name) {
        None => Ok(default),
        Some(value) => value
            .as_i64()
            .ok_or_else(|| refuse(name, "invalid_type", "must be a whole number")),
    }
}

fn read(body: &mut Fields) -> Result<LoyaltySettings, Problem> {
    let tiers = body
        .value("tiers")
        .ok_or_else(|| refuse("tiers", "required", "must be there"))?;
    let tiers: Vec<TierJson> =
        serde_json::from_value(tiers).map_err(|error| refuse("tiers", "invalid_type", error))?;
    let mut settings = LoyaltySettings {
        tiers: Vec::new(),
        manual_tiers: Vec::new(),
        benefits: BTreeMap::new(),
        points_per_unit: whole(body, "points_per_unit", 1)?,
        points_expire_days: u32::try_from(whole(body, "points_expire_days", 0)?)
            .map_err(|_| refuse("points_expire_days", "out_of_range", "must be 0 to 36500"))?,
    };
    for tier in tiers {
        if !tier.benefits.is_empty() {
            settings.benefits.insert(tier.name.clone(), tier.benefits);
        }
        match tier.from {
            Some(_) if !settings.manual_tiers.is_empty() => {
                let detail = "tiers without points are above all others; put them last";
                return Err(refuse("tiers", "invalid_value", detail));
            }
            Some(from) => settings.tiers.push(Tier {
                name: tier.name,
                from,
            }),
            None => settings.manual_tiers.push(tier.name),
        }
    }
    Ok(settings)
}

/// Define the loyalty programme: tiers, benefits, points per unit of the currency, and how long points last.
///
/// It holds for what happens from now on: points that were earned stay, with the term they were earned with. Whoever reads
/// a tier reads that of the new table at once; events that carry a tier do so from the customer's next event on. Points of
/// before anything expired begin to count their days with the customer's next event.
#[utoipa::path(
    put, path = "/loyalty/tiers", tag = "loyalty", request_body = ProgrammeBody,
    responses((status = 200, description = "The programme as it is now", body = ProgrammeJson))
)]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    Definer(principal): Definer,
    params: Params,
    mut body: Fields,
) -> Result<Json<ProgrammeJson>, Problem> {
    params.finish()?;
    let settings = read(&mut body)?;
    body.finish()?;
    let organization = &principal.organization;
    let stored = app.api.control.set_loyalty(organization, &settings).await;
    stored.map_err(control_problem)?;
    let mut programme = Programme::of(&app, organization).await?;
    // Of several who define at once the one that was stored last is also the last in the log: whoever comes late repeats it.
    for _ in 0..MOST_REPEATS {
        let definition = Define::Loyalty {
            organization: organization.clone(),
            tiers: programme.0.tiers.clone(),
            points_per_unit: programme.0.points_per_unit,
            points_expire_days: programme.0.points_expire_days,
        };
        define(&app, definition).await.map_err(|error| {
            tracing::warn!(%error, "the log did not take a loyalty programme");
            let detail = "the log takes no records now, and the programme does not hold for all customers yet; send it again";
            Problem::new(ProblemKind::Unavailable, detail)
        })?;
        let now = Programme::of(&app, organization).await?;
        if now == programme {
            break;
        }
        programme = now;
    }
    shown(&app, programme).await
}
