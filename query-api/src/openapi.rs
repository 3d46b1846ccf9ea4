//! The OpenAPI document: made of the handlers, with what all of them share.

use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, InfoBuilder, OpenApi, Ref, ResponseBuilder, path::Operation};
use utoipa::{PartialSchema as _, ToSchema};

use crate::http::as_of::AsOf;
use crate::router;

/// An error, as RFC 9457 has it.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes the body")]
struct ProblemJson {
    /// Names the kind of problem; stable.
    #[schema(rename = "type", example = "/problems/bad-request")]
    type_uri: String,
    /// The kind, for a person.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened, and what to do.
    detail: String,
    /// The field or parameter it is about.
    field: Option<String>,
    /// What is wrong with the field; stable.
    code: Option<String>,
}

/// Problems any operation may answer with.
const PROBLEMS: [(&str, &str); 6] = [
    ("400", "Malformed, missing or unknown input"),
    ("401", "No working key or session"),
    ("403", "Not allowed"),
    (
        "422",
        "A rule forbids it, or it takes too much time or memory",
    ),
    ("429", "Over quota; see Retry-After"),
    ("503", "Not now; see Retry-After"),
];

/// Problems of operations that name a thing, and of those that take a body.
const WITH_ID: [(&str, &str); 1] = [("404", "There is no such thing")];
const WITH_BODY: [(&str, &str); 4] = [
    ("408", "The body took too long to arrive"),
    ("409", "It conflicts with what is there"),
    ("413", "The body is too large"),
    ("415", "The content type or coding is not understood"),
];

/// The document of this crate's routes and of those that others describe.
pub fn openapi(others: &[OpenApi]) -> OpenApi {
    let mut document = router::described();
    for other in others {
        document.merge(other.clone());
    }
    document.info = InfoBuilder::new()
        .title("Millrace")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Customer data: sent as events, computed within a second. Keys and session tokens travel as \
             `Authorization: Bearer …`, keys also as `X-Api-Key`. Money is decimal text, times are RFC 3339.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    let mut schemas = Vec::new();
    for (name, schema) in [
        (AsOf::name(), AsOf::schema()),
        (ProblemJson::name(), ProblemJson::schema()),
    ] {
        schemas.push((name.to_string(), schema));
    }
    AsOf::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components
        .security_schemes
        .insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    let header = ApiKey::Header(ApiKeyValue::new("X-Api-Key"));
    components
        .security_schemes
        .insert("key".to_owned(), SecurityScheme::ApiKey(header).into());
    document.security = Some(vec![
        SecurityRequirement::new("bearer", Vec::<String>::new()),
        SecurityRequirement::new("key", Vec::<String>::new()),
    ]);
    for (path, item) in &mut document.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            add_problems(operation, path);
        }
    }
    document
}

fn add_problems(operation: &mut Operation, path: &str) {
    let mut problems = PROBLEMS.to_vec();
    if path.contains('{') {
        problems.extend(WITH_ID);
    }
    if operation.request_body.is_some() {
        problems.extend(WITH_BODY);
    }
    for (status, description) in problems {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content)
            .build();
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert(response.into());
    }
}
