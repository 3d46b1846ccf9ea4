//! `/recommendations`: what to offer whom, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemas::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::analytics::recommend::{Discover, Reason, Suggestion};
use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::{CustomerReader, ReportReader};
use crate::http::cursor;
use crate::http::params::Params;
use crate::models::names::customer_names;
use crate::models::recommenders::Trained;
use crate::models::sight::Sight;
use crate::routes::customers::load;

/// A product to offer.
#[derive(Serialize, ToSchema)]
pub(crate) struct SuggestionJson {
    /// The product.
    product_id: String,
    /// The product's name, if one is known.
    name: Option<String>,
    /// Larger is better; comparable inside one list only.
    score: f64,
    /// Why, in English.
    reason: String,
    /// As many days have passed since the last purchase as usually lie between two.
    due: bool,
}

/// What to offer one customer.
#[derive(Serialize, ToSchema)]
pub(crate) struct CustomerRecommendations {
    as_of: AsOf,
    /// Whose they are.
    customer_id: String,
    /// Bought before.
    replenish: Vec<SuggestionJson>,
    /// Not bought before.
    discover: Vec<SuggestionJson>,
    /// What most customers bought, to compare with.
    popular: Vec<SuggestionJson>,
    model: ModelJson,
}

/// What to offer one customer of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecommendationItem {
    /// Whose they are.
    customer_id: String,
    /// The customer's name, if one is known.
    name: Option<String>,
    /// What the customer buys again and again and may need now, the most due first.
    replenish: Vec<SuggestionJson>,
    /// What the customer has not bought yet and may like, the best first.
    discover: Vec<SuggestionJson>,
}

/// Recommendations for customers with purchases, in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecommendationList {
    as_of: AsOf,
    /// This page of customers.
    items: Vec<RecommendationItem>,
    /// For the next page; absent on the last one.
    next_cursor: Option<String>,
    /// What most customers bought, to compare with.
    popular: Vec<SuggestionJson>,
    model: ModelJson,
}

/// How good the lists were on the last weeks of the data, before the models were trained on all of it: the share of what
/// customers went on to buy that the first ten suggestions held.
#[derive(Serialize, ToSchema)]
pub(crate) struct EvidenceJson {
    /// First day of those weeks; null where there is too little data for a test.
    #[schema(value_type = Option<String>, format = Date)]
    from: Option<chrono::NaiveDate>,
    /// Customers judged on products new to them.
    customers: usize,
    /// The same of what is offered as new.
    discover_recall: f64,
    /// The same of what sells best, without what the customer has bought before.
    popularity_recall: f64,
    /// The same of what is offered again.
    replenish_recall: f64,
    /// The same of what sells best, whatever the customer has bought before.
    popularity_recall_with_rebuys: f64,
    /// Days after which a purchase counts half in `replenish`; null when all count the same.
    replenish_half_life_days: Option<f32>,
}

/// The model behind `discover`, and the evidence.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelJson {
    /// `ease`, `item-knn` or `popularity`.
    discover: &'static str,
    /// Products it knows.
    items: usize,
    evidence: EvidenceJson,
}

fn model(trained: &Trained) -> ModelJson {
    let evidence = trained.recommender.evidence();
    ModelJson {
        discover: match trained.recommender.model() {
            Discover::Popularity => "popularity",
            Discover::ItemKnn => "item-knn",
            Discover::Ease { .. } => "ease",
        },
        items: trained.recommender.items(),
        evidence: EvidenceJson {
            from: evidence.from,
            customers: evidence.customers,
            discover_recall: evidence.discover_recall,
            popularity_recall: evidence.popularity_recall,
            replenish_recall: evidence.replenish_recall,
            popularity_recall_with_rebuys: evidence.popularity_recall_with_rebuys,
            replenish_half_life_days: evidence.replenish_half_life_days,
        },
    }
}

fn shown(trained: &Trained, suggestions: &[Suggestion]) -> Vec<SuggestionJson> {
    let name = |product: u32| -> Option<&str> {
        let (_, name) = trained.products.get(product as usize)?;
        Some(name.as_str()).filter(|name| !name.is_empty())
    };
    let id = |product: u32| {
        trained
            .products
            .get(product as usize)
            .map(|(id, _)| id.clone())
            .unwrap_or_default()
    };
    suggestions
        .iter()
        .map(|suggestion| SuggestionJson {
            product_id: id(suggestion.product),
            name: name(suggestion.product).map(str::to_owned),
            score: suggestion.score,
            reason: suggestion
                .reason
                .text(|product| name(product).map_or_else(|| id(product), str::to_owned)),
            due: Reason::is_due(&suggestion.reason),
        })
        .collect()
}

/// Recommend products to one customer.
#[utoipa::path(
    get, path = "/customers/{id}/recommendations", tag = "analytics",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("limit" = Option<usize>, Query, description = "products of each list, 1 to 100, by default 10"),
    ),
    responses((status = 200, description = "What to offer", body = CustomerRecommendations))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<CustomerRecommendations>, Problem> {
    let products = params.count("limit", 10, 100)?;
    params.finish()?;
    let customer_id = load(&app, &principal.organization, &sight, &id)
        .await?
        .customer
        .customer_id;
    let trained = app.recommenders.get(&app, &principal.organization).await?;
    let found = trained
        .recommender
        .recommend(trained.number(&customer_id), products);
    Ok(Json(CustomerRecommendations {
        as_of: trained.as_of(),
        customer_id,
        replenish: shown(&trained, &found.replenish),
        discover: shown(&trained, &found.discover),
        popular: shown(&trained, &found.popular),
        model: model(&trained),
    }))
}

/// Recommend products to customers, beside what is popular.
#[utoipa::path(
    get, path = "/recommendations", tag = "analytics",
    params(
        ("customer_id" = Option<String>, Query, description = "only this customer"),
        ("products" = Option<usize>, Query, description = "products of each list, 1 to 100, by default 10"),
        ("limit" = Option<usize>, Query, description = "customers, 1 to 200, by default 20"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "What to offer whom", body = RecommendationList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    mut params: Params,
) -> Result<Json<RecommendationList>, Problem> {
    let only = params.text("customer_id");
    let products = params.count("products", 10, 100)?;
    let limit = params.count("limit", 20, 200)?;
    let after: Option<String> = params
        .text("cursor")
        .map(|text| cursor::decode(&text))
        .transpose()?;
    params.finish()?;
    let organization = &principal.organization;
    let only = match only {
        Some(id) => {
            let found = load(&app, organization, &Sight::All, &id).await?;
            Some(found.customer.customer_id)
        }
        None => None,
    };
    let trained = app.recommenders.get(&app, organization).await?;
    let start = after.map_or(0, |after| {
        trained.customers.partition_point(|id| *id <= after)
    });
    let rest = &trained.customers[start.min(trained.customers.len())..];
    let page = match &only {
        Some(id) => std::slice::from_ref(id),
        None => &rest[..rest.len().min(limit)],
    };
    let more = only.is_none() && rest.len() > page.len();
    let mut names = customer_names(&app, organization, page).await?;
    let items = page
        .iter()
        .map(|id| {
            let found = trained.recommender.recommend(trained.number(id), products);
            RecommendationItem {
                customer_id: id.clone(),
                name: names.remove(id),
                replenish: shown(&trained, &found.replenish),
                discover: shown(&trained, &found.discover),
            }
        })
        .collect();
    Ok(Json(RecommendationList {
        as_of: trained.as_of(),
        items,
        next_cursor: page.last().filter(|_| more).map(cursor::encode),
        popular: shown(&trained, &trained.recommender.popular(products)),
        model: model(&trained),
    }))
}
