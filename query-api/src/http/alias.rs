//! Other spellings of the same interface, as thin views of the same handlers.
//!
//! `/api/v1/admin/crm/…` is `/api/v1/…` for customers, interactions and statistics. `/api/customers…` speaks camelCase and
//! epoch milliseconds: names are translated on the way in and out, values stay as they were written, digit for digit.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Uri, header, uri::PathAndQuery};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use schemas::form::Members;
use schemas::{Problem, ProblemKind, Timestamp};
use serde_json::value::RawValue;
use tower::ServiceExt as _;

use crate::router::PREFIX;

/// Longest body that is translated: no longer than the handlers take.
const MOST_BYTES: usize = 1 << 20;
/// Longest answer that is translated.
const MOST_ANSWER: usize = 64 << 20;

/// What a path is about, as far as its names differ from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Customer,
    Contact,
    Interaction,
    Quote,
}

impl Resource {
    fn of(path: &str) -> Self {
        let has = |word: &str| path.split('/').any(|part| part == word);
        match () {
            () if has("contacts") => Self::Contact,
            () if has("interactions") => Self::Interaction,
            () if has("quotes") => Self::Quote,
            () => Self::Customer,
        }
    }

    /// Names that are not ours in camelCase: theirs and ours.
    fn names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Customer => &[
                ("type", "customer_type"),
                ("value", "value_override"),
                ("_id", "customer_id"),
            ],
            Self::Contact => &[("_id", "id")],
            Self::Interaction => &[
                ("_id", "id"),
                ("type", "kind"),
                ("interactionDate", "occurred_at"),
                ("followUpDate", "follow_up_at"),
            ],
            Self::Quote => &[
                ("_id", "id"),
                ("quoteNumber", "number"),
                ("taxAmount", "tax"),
                ("totalAmount", "total"),
            ],
        }
    }

    fn ours(self, theirs: &str) -> String {
        let named = self.names().iter().find(|(name, _)| *name == theirs);
        named.map_or_else(|| snake(theirs), |(_, ours)| (*ours).to_owned())
    }

    fn theirs(self, ours: &str) -> String {
        let named = self.names().iter().find(|(_, name)| *name == ours);
        named.map_or_else(|| camel(ours), |(theirs, _)| (*theirs).to_owned())
    }
}

fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for c in name.chars() {
        match c {
            '_' if !out.is_empty() => raise = true,
            c if raise => {
                out.push(c.to_ascii_uppercase());
                raise = false;
            }
            c => out.push(c),
        }
    }
    out
}

fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}

fn members(json: &RawValue) -> Option<Members> {
    serde_json::from_str(json.get()).ok()
}

fn elements(json: &RawValue) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(json.get()).ok()
}

fn text<T: serde::Serialize>(value: &T) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}

/// A body in our names. What is no object goes on as it is, to be refused where it belongs.
fn inward(resource: Resource, body: &str) -> Option<String> {
    let stated: Members = serde_json::from_str(body).ok()?;
    let mut ours = Members::new();
    for (name, value) in stated {
        match name.as_str() {
            // Whose it is says the key or session.
            "orgId" => {}
            "address" => {
                let address = match members(&value) {
                    Some(address) => renamed(address, |name| match name {
                        "zipCode" => "postal_code".to_owned(),
                        name => snake(name),
                    })?,
                    None => value,
                };
                let list = match address.get() {
                    "null" => "null".to_owned(),
                    address => format!("[{address}]"),
                };
                ours.insert("addresses".to_owned(), raw(list)?);
            }
            "items" => {
                let items = elements(&value).unwrap_or_default().into_iter();
                let items = items.map(|item| match members(&item) {
                    Some(item) => renamed(item, |name| match name {
                        "totalPrice" => "total".to_owned(),
                        name => snake(name),
                    }),
                    None => Some(item),
                });
                ours.insert(name, text(&items.collect::<Option<Vec<_>>>()?)?);
            }
            theirs => {
                ours.insert(resource.ours(theirs), value);
            }
        }
    }
    serde_json::to_string(&ours).ok()
}

fn renamed(members: Members, rename: impl Fn(&str) -> String) -> Option<Box<RawValue>> {
    let renamed: BTreeMap<String, Box<RawValue>> = members
        .into_iter()
        .map(|(name, value)| (rename(&name), value))
        .collect();
    text(&renamed)
}

/// An answer in their names.
fn outward(resource: Resource, body: &str) -> Option<String> {
    let stated: Members = serde_json::from_str(body).ok()?;
    let answer = match (
        stated.contains_key("next_cursor"),
        stated.contains_key("as_of"),
    ) {
        (true, true) => {
            let mut list = Members::new();
            for (name, value) in stated {
                let value = match name.as_str() {
                    "items" => {
                        let items = elements(&value)?.into_iter();
                        let items = items.map(|item| match members(&item) {
                            Some(item) => object(resource, item),
                            None => Some(item),
                        });
                        text(&items.collect::<Option<Vec<_>>>()?)?
                    }
                    _ => value,
                };
                list.insert(camel(&name), value);
            }
            text(&list)?
        }
        _ => object(resource, stated)?,
    };
    Some(answer.get().to_owned())
}

/// One record in their names: times as epoch milliseconds, money as numbers with the same digits.
fn object(resource: Resource, ours: Members) -> Option<Box<RawValue>> {
    let mut theirs = Members::new();
    if resource == Resource::Customer
        && let Some(revenue) = ours.get("total_revenue")
        && !ours.contains_key("value_override")
    {
        theirs.insert("value".to_owned(), number(revenue)?);
    }
    for (name, value) in ours {
        let value = match name.as_str() {
            "addresses" => {
                let first = elements(&value)?.into_iter().next();
                if let Some(first) = first.as_deref().and_then(members) {
                    let address = renamed(first, |name| match name {
                        "postal_code" => "zipCode".to_owned(),
                        name => camel(name),
                    });
                    theirs.insert("address".to_owned(), address?);
                }
                continue;
            }
            "items" => {
                let items = elements(&value)?.into_iter();
                let items = items.map(|item| match members(&item) {
                    Some(mut item) => {
                        for name in ["unit_price", "total", "quantity"] {
                            if let Some(amount) = item.get(name) {
                                item.insert(name.to_owned(), number(amount)?);
                            }
                        }
                        renamed(item, |name| match name {
                            "total" => "totalPrice".to_owned(),
                            name => camel(name),
                        })
                    }
                    None => Some(item),
                });
                text(&items.collect::<Option<Vec<_>>>()?)?
            }
            "subtotal" | "tax" | "total" | "value_override" | "discount" => number(&value)?,
            // Other people's names and values.
            "attributes" | "preferences" | "tags" | "as_of" => value,
            _ => milliseconds(&value).unwrap_or(value),
        };
        theirs.insert(resource.theirs(&name), value);
    }
    text(&theirs)
}

/// Decimal text as a number of the same digits.
fn number(json: &RawValue) -> Option<Box<RawValue>> {
    let digits = json.get().trim_matches('"');
    let plain = !digits.is_empty()
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
    match plain {
        true => raw(digits.to_owned()),
        false => raw(json.get().to_owned()),
    }
}

/// A point in time as epoch milliseconds.
fn milliseconds(json: &RawValue) -> Option<Box<RawValue>> {
    let time: String = serde_json::from_str(json.get()).ok()?;
    // A date alone, or a text that happens to begin with one, is none.
    let is_time = time.len() >= 20 && time.as_bytes().get(10) == Some(&b'T');
    let time = is_time.then(|| Timestamp::parse(&time).ok())??;
    raw(time.micros().div_euclid(1_000).to_string())
}

/// The same request at another path of ours.
fn readdress(uri: &Uri, path: &str, query: Option<String>) -> Result<Uri, Problem> {
    let target = match query.as_deref().filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let target: PathAndQuery = target
        .parse()
        .map_err(|_| Problem::new(ProblemKind::BadRequest, "the address cannot be read"))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts)
        .map_err(|_| Problem::new(ProblemKind::BadRequest, "the address cannot be read"))
}

async fn pass(inner: Router, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut again = Request::new(body);
    *again.method_mut() = parts.method;
    *again.uri_mut() = parts.uri;
    *again.version_mut() = parts.version;
    *again.headers_mut() = parts.headers;
    // What the outer router noted of the path would be taken for the inner one's.
    if let Some(client) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        again.extensions_mut().insert(*client);
    }
    match inner.oneshot(again).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn crm(State(inner): State<Router>, mut request: Request) -> Result<Response, Problem> {
    let path = request.uri().path().replacen("/admin/crm", "", 1);
    let query = request.uri().query().map(str::to_owned);
    *request.uri_mut() = readdress(request.uri(), &path, query)?;
    Ok(pass(inner, request).await)
}

async fn camel_case(State(inner): State<Router>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let resource = Resource::of(&path);
    let target = path.replacen("/api", PREFIX, 1);
    let query = parts.uri.query().map(|query| {
        let renamed = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) => format!("{}={value}", resource.ours(name)),
            None => resource.ours(pair),
        });
        renamed.collect::<Vec<_>>().join("&")
    });
    parts.uri = readdress(&parts.uri, &target, query)?;
    let too_large = |_| {
        Problem::new(
            ProblemKind::TooLarge,
            format!("send at most {MOST_BYTES} bytes"),
        )
    };
    let stated = axum::body::to_bytes(body, MOST_BYTES)
        .await
        .map_err(too_large)?;
    let ours = std::str::from_utf8(&stated)
        .ok()
        .and_then(|stated| inward(resource, stated));
    let body = ours.map_or(stated, Bytes::from);
    if parts.headers.contains_key(header::CONTENT_LENGTH) {
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let response = pass(inner, Request::from_parts(parts, Body::from(body))).await;
    let (mut parts, body) = response.into_parts();
    let is_json = parts.headers.get(header::CONTENT_TYPE)
        == Some(&HeaderValue::from_static("application/json"));
    if !is_json {
        return Ok(Response::from_parts(parts, body));
    }
    let failed = |error: axum::Error| crate::api::internal("an answer broke off", &error);
    let ours = axum::body::to_bytes(body, MOST_ANSWER)
        .await
        .map_err(failed)?;
    let theirs = std::str::from_utf8(&ours)
        .ok()
        .and_then(|ours| outward(resource, ours));
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok((parts, theirs.map_or(ours, Bytes::from)).into_response())
}

/// The other spellings of a router's paths.
pub(crate) fn routes(inner: Router) -> Router {
    let crm_paths = [
        "/customers",
        "/customers/{*rest}",
        "/interactions",
        "/interactions/{*rest}",
        "/stats",
    ];
    let crm_routes = crm_paths.into_iter().fold(Router::new(), |router, path| {
        router.route(&format!("{PREFIX}/admin/crm{path}"), any(crm))
    });
    crm_routes
        .route("/api/customers", any(camel_case))
        .route("/api/customers/{*rest}", any(camel_case))
        .with_state(inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in ["assigned_to", "next_follow_up", "name", "related_order_id"] {
            assert_eq!(snake(&camel(name)), name);
        }
        assert_eq!(camel("last_contact"), "lastContact");
        for resource in [Resource::Customer, Resource::Interaction, Resource::Quote] {
            for (theirs, ours) in resource.names() {
                assert_eq!(resource.ours(theirs), *ours);
                assert_eq!(resource.theirs(ours), *theirs);
            }
        }
    }

    #[test]
    fn a_body_comes_in_our_names_with_its_digits() {
        let theirs = r#"{"orgId":"x","name":"A","type":"business","value":1.50,"assignedTo":"u","nextFollowUp":1772323200000,
            "address":{"street":"s","zipCode":"1","country":"FR"},"attributes":{"someKey":1.10}}"#;
        let ours = inward(Resource::Customer, theirs).unwrap();
        assert_eq!(
            ours,
            r#"{"addresses":[{"country":"FR","postal_code":"1","street":"s"}],"assigned_to":"u","attributes":{"someKey":1.10},"customer_type":"business","name":"A","next_follow_up":1772323200000,"value_override":1.50}"#
        );
        assert_eq!(inward(Resource::Customer, "[1]"), None);
        let quote =
            r#"{"totalAmount":5.0,"items":[{"sku":"a","unitPrice":2.50,"totalPrice":5.0}]}"#;
        assert_eq!(
            inward(Resource::Quote, quote).unwrap(),
            r#"{"items":[{"sku":"a","total":5.0,"unit_price":2.50}],"total":5.0}"#
        );
    }

    #[test]
    fn an_answer_goes_out_in_theirs() {
        let ours = r#"{"as_of":{"positions":{"1:0":5},"time":"2026-03-01T00:00:00Z"},"next_cursor":null,"items":[
            {"id":"cus_1","customer_id":"c","customer_type":"business","total_revenue":"12.50","created_at":"2026-03-01T00:00:00.5Z",
             "name":"2026-03-01","addresses":[{"postal_code":"1"}],"attributes":{"some_key":"2026-03-01T00:00:00Z"},"assigned_to":null}]}"#;
        assert_eq!(
            outward(Resource::Customer, ours).unwrap(),
            r#"{"asOf":{"positions":{"1:0":5},"time":"2026-03-01T00:00:00Z"},"items":[{"_id":"c","address":{"zipCode":"1"},"assignedTo":null,"attributes":{"some_key":"2026-03-01T00:00:00Z"},"createdAt":1772323200500,"id":"cus_1","name":"2026-03-01","totalRevenue":"12.50","type":"business","value":12.50}],"nextCursor":null}"#
        );
    }
}
