//! Every route of this crate.

use axum::Router;
use axum::extract::Request;
use schemas::{Problem, ProblemKind};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Paths;
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use crate::api::{App, QueryApi};
use crate::http::alias;
use crate::metrics;
use crate::openapi;
use crate::routes::{
    access, audit, auth, contacts, customer_edits, customer_steps, customers, docs, figures,
    forecasts, interactions, keys, leads, loyalty, orders, performance, quote_steps, quotes,
    recommendations, rejections, replay, reports, segment_members, segment_trend, segments, sql,
    system, teams, timeline, users, value,
};

type State = std::sync::Arc<App>;
type Route = UtoipaMethodRouter<State>;

/// Where everything is. Routes of [`unprefixed`] answer there too.
pub(crate) const PREFIX: &str = "/api/v1";

fn table() -> Vec<Route> {
    vec![
        routes!(auth::register),
        routes!(auth::login),
        routes!(auth::logout),
        routes!(auth::me),
        routes!(auth::change_password),
        routes!(auth::sessions),
        routes!(auth::end_session),
        routes!(users::create, users::list),
        routes!(users::show, users::update, users::deactivate),
        routes!(users::sessions, users::end_sessions),
        routes!(performance::show),
        routes!(teams::create, teams::list),
        routes!(teams::show, teams::update, teams::delete),
        routes!(teams::roles),
        routes!(access::review),
        routes!(audit::list),
        routes!(keys::create, keys::list),
        routes!(keys::revoke, keys::update),
        routes!(keys::update_any),
        routes!(keys::rotate),
        routes!(customers::list, customer_edits::create),
        routes!(
            customers::show,
            customer_edits::replace,
            customer_edits::update,
            customer_steps::delete
        ),
        routes!(customer_steps::assign),
        routes!(customer_steps::step),
        routes!(contacts::list, contacts::create),
        routes!(
            contacts::show,
            contacts::replace,
            contacts::update,
            contacts::delete
        ),
        routes!(quotes::list, quotes::create),
        routes!(quotes::show, quotes::replace, quotes::update),
        routes!(quote_steps::send),
        routes!(quote_steps::viewed),
        routes!(quote_steps::accept),
        routes!(quote_steps::reject),
        routes!(quote_steps::convert),
        routes!(orders::list),
        routes!(orders::show),
        routes!(customers::summary),
        routes!(timeline::timeline),
        routes!(interactions::of_one_customer),
        routes!(interactions::list, interactions::create),
        routes!(interactions::stats),
        routes!(interactions::list_by_customer),
        routes!(
            interactions::show,
            interactions::replace,
            interactions::update,
            interactions::delete
        ),
        routes!(interactions::follow_ups),
        routes!(
            interactions::list_of_customer,
            interactions::create_of_customer
        ),
        routes!(
            interactions::show_of_customer,
            interactions::replace_of_customer
        ),
        routes!(value::show),
        routes!(leads::qualification, leads::qualify),
        routes!(leads::lead_score),
        routes!(figures::stats),
        routes!(figures::value),
        routes!(figures::leads),
        routes!(loyalty::accounts::of_customer),
        routes!(loyalty::tiers::show, loyalty::tiers::replace),
        routes!(loyalty::accounts::list),
        routes!(loyalty::accounts::show),
        routes!(loyalty::accounts::ledger),
        routes!(loyalty::movements::earn),
        routes!(loyalty::movements::redeem),
        routes!(loyalty::movements::adjust),
        routes!(loyalty::movements::tier),
        routes!(recommendations::show),
        routes!(segments::create, segments::list),
        routes!(segment_members::preview),
        routes!(segment_members::recalculate),
        routes!(segment_members::assign),
        routes!(
            segments::show,
            segments::replace,
            segments::update,
            segments::delete
        ),
        routes!(segment_members::list),
        routes!(segment_members::events),
        routes!(segment_members::of_customer),
        routes!(segment_trend::show),
        routes!(reports::list),
        routes!(reports::sales),
        routes!(sql::query),
        routes!(forecasts::show),
        routes!(recommendations::list),
        routes!(rejections::list),
        routes!(rejections::show),
        routes!(rejections::retry::one),
        routes!(rejections::retry::many),
        routes!(system::reconciliation),
        routes!(system::back_up, system::backup),
        routes!(replay::start, replay::show),
    ]
}

/// What also answers without the prefix, where probes and scrapers look.
fn unprefixed() -> Vec<Route> {
    vec![
        routes!(system::health),
        routes!(system::ready),
        routes!(system::metrics),
    ]
}

fn add(router: Router<State>, prefix: &str, (_, paths, methods): Route) -> Router<State> {
    paths.paths.keys().fold(router, |router, path| {
        router.route(&format!("{prefix}{path}"), methods.clone())
    })
}

/// The routes of one installation, below `/api/v1`; health, readiness, metrics and documentation also without prefix.
///
/// It has no fallback, so that it merges with other routers: give the whole one [`not_found`]. A slash at the end of a
/// path is the server's to take off, for all routers at once.
pub fn router(api: QueryApi) -> Router {
    metrics::describe();
    let document = openapi::openapi(&api.documents);
    let app = App::new(api);
    let mut router = Router::new();
    for route in table() {
        router = add(router, PREFIX, route);
    }
    for route in unprefixed() {
        router = add(router, PREFIX, route.clone());
        router = add(router, "", route);
    }
    let router = router
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app);
    let inner = router.clone().fallback(not_found);
    router
        .merge(alias::routes(inner))
        .merge(docs::routes(&document).method_not_allowed_fallback(method_not_allowed))
}

/// Paths and schemas of every route, for the document.
pub(crate) fn described() -> OpenApi {
    let mut document = OpenApi::default();
    let mut paths = Paths::new();
    let mut components = utoipa::openapi::Components::new();
    for (schemas, found, _) in table().into_iter().chain(unprefixed()) {
        components.schemas.extend(schemas);
        for (path, item) in found.paths {
            paths.paths.insert(format!("{PREFIX}{path}"), item);
        }
    }
    document.paths = paths;
    document.components = Some(components);
    document
}

/// The answer where a path has no such method.
pub async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!(
        "{} is not for this path; the header Allow names what is",
        request.method()
    );
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}

/// The answer where no route is.
pub async fn not_found(request: Request) -> Problem {
    let path = request.uri().path();
    let detail = format!(
        "there is nothing at {path}; /docs of a process that serves the API lists what there is"
    );
    Problem::new(ProblemKind::NotFound, detail)
}
