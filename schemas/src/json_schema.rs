//! The published JSON Schemas (draft 2020-12), made from the field tables and those of criteria.

use serde_json::{Value, json};

pub use crate::criteria::json_schema as criteria;
use crate::event::{Kind, purchase::ITEM_TABLE};
use crate::field::{Field, Type};

fn value_schema(ty: Type) -> Value {
    match ty {
        Type::Id { max } => {
            json!({"type": "string", "minLength": 1, "maxLength": max, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"})
        }
        Type::Text { max } => json!({"type": "string", "maxLength": max}),
        Type::Choice(words) => json!({"type": "string", "enum": words}),
        Type::Decimal => json!({"oneOf": [
            {"type": "string", "pattern": "^-?[0-9]{1,15}(\\.[0-9]{1,6})?$"},
            {"type": "number"}
        ]}),
        Type::Currency => json!({"type": "string", "pattern": "^[A-Z]{3}$"}),
        Type::Time => {
            json!({"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]})
        }
        Type::Minutes => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        Type::Whole { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Texts => json!({"type": "array", "items": {"type": "string", "maxLength": 256}}),
        Type::Object => json!({"type": "object"}),
        Type::Objects => json!({"type": "array", "items": {"type": "object"}}),
        Type::Items => json!({"type": "array", "items": object(&ITEM_TABLE, None)}),
    }
}

fn object(table: &[Field], kind: Option<Kind>) -> Value {
    let mut properties = serde_json::Map::new();
    if let Some(kind) = kind {
        properties.insert(
            "type".into(),
            json!({"const": kind.as_str(), "description": "What it is; needed in batches."}),
        );
    }
    for field in table {
        let mut schema = value_schema(field.ty);
        if !field.required {
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        schema["description"] = json!(field.doc);
        properties.insert(field.name.into(), schema);
    }
    let required: Vec<&str> = table
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": true})
}

/// The schema of one kind of event.
pub fn event(kind: Kind) -> Value {
    let mut schema = object(kind.table(), Some(kind));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(format!("Millrace {kind} event"));
    schema
}

/// The schema of a form: every field required that is not optional, or, where only some may be sent, none.
pub fn form(table: &[Field], whole: bool) -> Value {
    let mut schema = object(table, None);
    if !whole && let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
    }
    schema["additionalProperties"] = json!(false);
    schema
}

/// The file name and text of each published schema.
pub fn published() -> Vec<(String, String)> {
    Kind::OF_CLIENTS
        .into_iter()
        .map(|kind| (format!("{kind}.json"), event(kind)))
        .chain([("criteria.json".to_owned(), criteria())])
        .map(|(name, schema)| {
            let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
            (name, text + "\n")
        })
        .collect()
}
