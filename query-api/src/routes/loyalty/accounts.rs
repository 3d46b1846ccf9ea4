//! `/loyalty/accounts`: what customers have, and how they came to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemas::{OrganizationId, Problem, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::CustomerReader;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::models::customer_list::{Filter, Place, Sort, page};
use crate::models::customers::{Found, get_with_state};
use crate::models::loyalty::{self, KindTotal, Ledger, MovementJson, Programme};
use crate::models::sight::Sight;
use crate::routes::customers::load;

const KINDS: [(&str, &str); 5] = [
    ("earn", "earn"),
    ("redeem", "redeem"),
    ("adjust", "adjust"),
    ("refund", "refund"),
    ("expire", "expire"),
];

/// A loyalty account as lists show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountJson {
    /// Whose it is: the client's own id of the customer.
    customer_id: String,
    /// The customer's name.
    name: Option<String>,
    /// individual, business or enterprise.
    customer_type: Option<String>,
    /// The tier: the one given by hand, else the one that the balance reaches.
    tier: String,
    /// The tier given by hand.
    manual_tier: Option<String>,
    /// Points held: the sum of the ledger.
    points_balance: i64,
    /// Points of refunds that were spent already; the next purchases pay them.
    points_owed: i64,
    /// Points ever earned, less what refunds took back.
    total_earned: i64,
    /// Points ever redeemed.
    total_redeemed: i64,
    /// Points ever expired.
    total_expired: i64,
    /// Sum of all adjustments.
    total_adjusted: i64,
    /// When a purchase or staff last used the account; null if it was never used.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_activity: Option<Timestamp>,
}

impl AccountJson {
    /// The account of a customer whose tier is set.
    fn of(found: &Found) -> Self {
        let (customer, account) = (&found.customer, &found.state.loyalty);
        let moved = account
            .total_earned
            .saturating_sub(account.total_redeemed)
            .saturating_sub(account.total_expired);
        Self {
            customer_id: customer.customer_id.clone(),
            name: customer.name.clone(),
            customer_type: customer.customer_type.clone(),
            tier: customer.tier.clone(),
            manual_tier: account.manual_tier.clone(),
            points_balance: customer.points,
            points_owed: account.owed,
            total_earned: account.total_earned,
            total_redeemed: account.total_redeemed,
            total_expired: account.total_expired,
            total_adjusted: customer.points.saturating_sub(moved),
            last_activity: account.last_activity.map(Timestamp::from_micros),
        }
    }
}

/// The next tier.
#[derive(Serialize, ToSchema)]
pub(crate) struct NextTier {
    /// Its name.
    name: String,
    /// Points from which it is held.
    from: i64,
    /// Points still missing.
    points_to_go: i64,
}

/// Points that expire together.
#[derive(Serialize, ToSchema)]
pub(crate) struct Expiry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How many, if none are redeemed before.
    points: i64,
}

/// All that there ever was on an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lifetime {
    /// Time of the first movement.
    #[schema(value_type = Option<String>, format = DateTime)]
    first_movement: Option<Timestamp>,
    /// Movements and their points by kind.
    movements: BTreeMap<String, KindTotal>,
    /// Completed purchases of all currencies.
    total_orders: i64,
    /// Net revenue in `currency`, a decimal text.
    total_revenue: String,
    /// ISO 4217.
    currency: String,
}

/// A loyalty account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountDetail {
    as_of: AsOf,
    #[serde(flatten)]
    account: AccountJson,
    /// What the tier brings with it, in words.
    benefits: Vec<String>,
    /// The tier that more points reach; null at the top, and while the tier is given by hand.
    next_tier: Option<NextTier>,
    /// The points that expire next; null where none do.
    next_expiry: Option<Expiry>,
    lifetime: Lifetime,
}

/// The account of a customer, as it is now.
pub(crate) async fn detail(
    app: &App,
    organization: &OrganizationId,
    sight: &Sight,
    id: &str,
) -> Result<AccountDetail, Problem> {
    let cut = app.cut().await?;
    let programme = Programme::of(app, organization).await?;
    let mut found = load(app, organization, sight, id).await?;
    programme.set_tier(&mut found.customer);
    let customer = &found.customer;
    let ledger = Ledger::of(app, &cut, organization, &customer.customer_id);
    let totals = ledger.totals().await;
    let (movements, first_movement) = totals.map_err(|error| warehouse_problem(&error))?;
    let points = customer.points;
    let by_points = customer.manual_tier.is_empty();
    let next = programme.next(points).filter(|_| by_points);
    const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
    Ok(AccountDetail {
        as_of: cut.as_of(),
        benefits: programme.benefits(&customer.tier),
        next_tier: next.map(|tier| NextTier {
            name: tier.name.clone(),
            from: tier.from,
            points_to_go: tier.from.saturating_sub(points),
        }),
        next_expiry: found
            .state
            .loyalty
            .lots
            .first()
            .map(|(day, points)| Expiry {
                at: Timestamp::from_micros(i64::from(*day).saturating_mul(DAY_MICROS)),
                points: *points,
            }),
        lifetime: Lifetime {
            first_movement,
            movements,
            total_orders: customer.total_orders,
            total_revenue: customer.total_revenue.clone(),
            currency: customer.currency.clone(),
        },
        account: AccountJson::of(&found),
    })
}

/// A customer's loyalty account: balance, tier and benefits, what is missing to the next tier, and lifetime statistics.
#[utoipa::path(
    get, path = "/loyalty/accounts/{customer}", tag = "loyalty",
    params(("customer" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "The account", body = AccountDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(customer): Path<String>,
    params: Params,
) -> Result<Json<AccountDetail>, Problem> {
    params.finish()?;
    let account = detail(&app, &principal.organization, &sight, &customer).await?;
    Ok(Json(account))
}

/// A customer's loyalty account, as at `/loyalty/accounts/{customer}`.
#[utoipa::path(
    get, path = "/customers/{id}/loyalty", tag = "loyalty",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "The account", body = AccountDetail))
)]
pub(crate) async fn of_customer(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<AccountDetail>, Problem> {
    params.finish()?;
    let account = detail(&app, &principal.organization, &sight, &id).await?;
    Ok(Json(account))
}

/// A page of a ledger.
#[derive(Serialize, ToSchema)]
pub(crate) struct MovementList {
    as_of: AsOf,
    /// Movements, the newest first.
    items: Vec<MovementJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// Every movement on a customer's loyalty account. All of them sum to the balance.
#[utoipa::path(
    get, path = "/loyalty/accounts/{customer}/ledger", tag = "loyalty",
    params(
        ("customer" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("kind" = Option<String>, Query, description = "earn, redeem, adjust, refund or expire"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of movements", body = MovementList))
)]
pub(crate) async fn ledger(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(customer): Path<String>,
    mut params: Params,
) -> Result<Json<MovementList>, Problem> {
    let kind = params.choice("kind", &KINDS)?;
    let limit = params.count("limit", 50, 200)?;
    let after: Option<loyalty::Place> = params.place()?;
    let question = params.finish()?;
    let cut = app.cut().await?;
    let organization = &principal.organization;
    let found = load(&app, organization, &sight, &customer).await?;
    let ledger = Ledger::of(&app, &cut, organization, &found.customer.customer_id);
    let movements = ledger.page(kind, after.as_ref(), limit + 1).await;
    let mut items = movements.map_err(|error| warehouse_problem(&error))?;
    let next = loyalty::cut(&mut items, limit);
    Ok(Json(MovementList {
        as_of: cut.as_of(),
        items,
        next_cursor: next.map(|place| question.cursor(&place)),
    }))
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountList {
    as_of: AsOf,
    /// This page, in the order asked for.
    items: Vec<AccountJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// List loyalty accounts that were used, or whose tier was given by hand.
#[utoipa::path(
    get, path = "/loyalty/accounts", tag = "loyalty",
    params(
        ("tier" = Option<String>, Query, description = "the tier, whether given by hand or reached by points"),
        ("customer_type" = Option<String>, Query, description = "individual, business or enterprise: companies have accounts like persons"),
        ("sort" = Option<String>, Query, description = "-points (default), customer_id, name, total_revenue, total_orders, points, created_at, last_seen, last_contact or last_order_date; with - before it the largest first"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of accounts", body = AccountList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    mut params: Params,
) -> Result<Json<AccountList>, Problem> {
    let tier = params.text("tier");
    let mut filter = Filter::default();
    filter.has_account();
    let types = [
        ("individual", "individual"),
        ("business", "business"),
        ("corporate", "business"),
        ("enterprise", "enterprise"),
    ];
    if let Some(kind) = params.choice("customer_type", &types)? {
        filter.equals("customer_type", kind);
    }
    let sort = params.text("sort").unwrap_or_else(|| "-points".to_owned());
    let sort = Sort::parse(&sort)?;
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    sight.narrow(&mut filter);
    let as_of = app.cut().await?.as_of();
    let (warehouse, organization) = (&*app.api.warehouse, &principal.organization);
    let programme = Programme::of(&app, organization).await?;
    if let Some(tier) = tier {
        filter.tier(&programme.0.tiers, &tier);
    }
    let failed = |error| warehouse_problem(&error);
    let ids = page(
        warehouse,
        organization,
        filter,
        sort,
        after.as_ref(),
        limit + 1,
    )
    .await;
    let mut ids = ids.map_err(failed)?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next_cursor = ids.last().filter(|_| more).map(|(customer, key)| {
        let (key, customer) = (key.clone(), customer.clone());
        question.cursor(&Place { key, customer })
    });
    let ids: Vec<String> = ids.into_iter().map(|(customer, _)| customer).collect();
    let found = get_with_state(warehouse, organization, &ids).await;
    let items = found.map_err(failed)?.into_iter().map(|mut found| {
        programme.set_tier(&mut found.customer);
        AccountJson::of(&found)
    });
    Ok(Json(AccountList {
        as_of,
        items: items.collect(),
        next_cursor,
    }))
}
