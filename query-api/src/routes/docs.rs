//! `/openapi.json` and `/docs`: the interface, for machines and for people. Everything is served from here.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use schemas::{Kind, Problem, ProblemKind, json_schema};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, serve};

use crate::http::params::Params;

/// The routes of the documentation, below a prefix.
pub(crate) fn routes(document: &OpenApi) -> Router {
    let json = Bytes::from(complete(document).to_string());
    let mut router = Router::new();
    for prefix in ["", "/api/v1"] {
        let page = format!("{prefix}/docs");
        let config = Arc::new(Config::from(format!("{prefix}/openapi.json")));
        let json = json.clone();
        let document = get(move |params: Params| async move {
            params.finish()?;
            Ok::<_, Problem>(([(header::CONTENT_TYPE, "application/json")], json))
        });
        let files: Router = Router::new()
            .route(&page, get(index))
            .route(&format!("{page}/"), get(index))
            .route(&format!("{page}/{{file}}"), get(file))
            .layer(Extension(Page { base: page, config }));
        router = router
            .route(&format!("{prefix}/openapi.json"), document)
            .merge(files);
    }
    router
}

/// The document with the published schemas of the events, which say more than its own model of schemas can hold.
fn complete(document: &OpenApi) -> Value {
    // A document of plain data always serialises.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let schemas = &mut document["components"]["schemas"];
    let mut events = Vec::new();
    for (kind, name) in [
        (Kind::User, "UserEvent"),
        (Kind::Purchase, "PurchaseEvent"),
        (Kind::Activity, "ActivityEvent"),
        (Kind::Interaction, "InteractionEvent"),
    ] {
        schemas[name] = json_schema::event(kind);
        events.push(json!({"$ref": format!("#/components/schemas/{name}")}));
    }
    let events =
        json!({"type": "array", "items": {"anyOf": events}, "minItems": 1, "maxItems": 10_000});
    schemas["Batch"] = json!({
        "description": "Events of any kind, each with its type; as NDJSON, one a line.",
        "anyOf": [events, {"type": "object", "properties": {"events": events}, "required": ["events"]}],
    });
    document
}

#[derive(Clone)]
struct Page {
    base: String,
    config: Arc<Config<'static>>,
}

impl Page {
    fn file(&self, name: &str) -> Response {
        match serve(name, self.config.clone()) {
            Ok(Some(file)) => {
                let mut bytes = file.bytes.into_owned();
                if name == "index.html" {
                    // Its links are relative, and a page may be asked for with a slash at the end or without.
                    let html = String::from_utf8_lossy(&bytes)
                        .replace("\"./", &format!("\"{}/", self.base));
                    bytes = html
                        .replace(
                            "href=\"index.css\"",
                            &format!("href=\"{}/index.css\"", self.base),
                        )
                        .into_bytes();
                }
                ([(header::CONTENT_TYPE, file.content_type)], bytes).into_response()
            }
            Ok(None) => Problem::new(
                ProblemKind::NotFound,
                "there is no such page of the documentation",
            )
            .into_response(),
            Err(error) => {
                crate::api::internal("the documentation cannot be served", &error).into_response()
            }
        }
    }
}

async fn index(Extension(page): Extension<Page>, params: Params) -> Result<Response, Problem> {
    params.finish()?;
    Ok(page.file("index.html"))
}

async fn file(Extension(page): Extension<Page>, Path(name): Path<String>) -> Response {
    page.file(&name)
}
