//! The published schemas are what the parser reads: the files, the tables and the Arrow schema agree.
#![allow(clippy::unwrap_used)]

use schemas::field::Type;
use schemas::{Currency, Draft, Kind, ParseContext, Timestamp, json_schema};

/// Writes the files when MILLRACE_WRITE_SCHEMAS is set, and compares them always.
#[test]
fn the_published_files_are_the_tables() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    for (name, text) in json_schema::published() {
        let path = folder.join(name);
        if std::env::var_os("MILLRACE_WRITE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            published,
            text,
            "{} is stale: run with MILLRACE_WRITE_SCHEMAS=1",
            path.display()
        );
    }
}

fn sample(ty: Type) -> serde_json::Value {
    use serde_json::json;
    match ty {
        Type::Id { .. } | Type::Text { .. } => json!("x"),
        Type::Choice(words) => json!(words[0]),
        Type::Decimal => json!("1.5"),
        Type::Currency => json!("EUR"),
        Type::Time => json!("2026-01-01T00:00:00Z"),
        Type::Minutes => json!(5),
        Type::Whole { min, .. } => json!(min),
        Type::Bool => json!(true),
        Type::Texts => json!(["x"]),
        Type::Object => json!({"a": 1}),
        Type::Objects => json!([{"a": 1}]),
        Type::Items => json!([{"product_id": "p"}]),
    }
}

#[test]
fn every_field_of_every_table_is_read_and_every_required_one_is_missed() {
    let received_at = Timestamp::parse("2026-01-02T00:00:00Z").unwrap();
    let context = ParseContext {
        received_at,
        currency: Currency::USD,
    };
    for kind in Kind::OF_CLIENTS {
        let required: serde_json::Map<_, _> = kind
            .table()
            .iter()
            .filter(|f| f.required)
            .map(|f| (f.name.to_owned(), sample(f.ty)))
            .collect();
        for field in kind.table() {
            let mut event = required.clone();
            event.insert(field.name.into(), sample(field.ty));
            let draft = Draft::parse(kind, &serde_json::to_string(&event).unwrap(), &context);
            let draft = draft.unwrap_or_else(|error| panic!("{kind} {}: {error}", field.name));
            assert!(
                field.name == "attributes" || draft.attributes.is_empty(),
                "{kind} {} became an attribute",
                field.name
            );
            event.insert(field.name.into(), serde_json::json!([[]]));
            assert!(
                Draft::parse(kind, &serde_json::to_string(&event).unwrap(), &context).is_err(),
                "{kind} {}",
                field.name
            );
            event.remove(field.name);
            let without = Draft::parse(kind, &serde_json::to_string(&event).unwrap(), &context);
            assert_eq!(without.is_err(), field.required, "{kind} {}", field.name);
        }
    }
}
