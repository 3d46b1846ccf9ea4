//! The JSON Schema of criteria, made from the same tables that the parser reads.

use serde_json::{Map, Value, json};

use super::fields::{FIELDS, Measure, ORDER_OPS, Of, Op, TimeField, WINDOW_OPS};
use super::leaf::{MAX_RECENCY_DAYS, MAX_WINDOW_DAYS};
use super::parse::{MAX_DEPTH, MAX_LEAVES};
use super::values::{MAX_TEXT, MAX_VALUES};

/// The schema (draft 2020-12) of a segment's criteria.
pub fn json_schema() -> Value {
    let several = |doc: &str| {
        json!({
            "type": "array", "description": doc, "items": the("condition"),
            "minItems": 1, "maxItems": MAX_LEAVES
        })
    };
    let mut conditions = vec![
        object(json!({"all": several("Every one of these.")}), &["all"]),
        object(json!({"any": several("At least one of these.")}), &["any"]),
        object(json!({"not": the("condition")}), &["not"]),
    ];
    for group in groups() {
        let field = json!({"enum": group.fields});
        conditions.extend(field_leaves(&field, group.ops, group.value));
    }
    let attribute = json!({"type": "string", "pattern": ATTRIBUTE_NAME});
    for (ops, value) in [
        (
            &[Op::Contains, Op::StartsWith, Op::Exists, Op::Absent][..],
            "text",
        ),
        (&[Op::Eq, Op::Ne, Op::In, Op::NotIn], "attribute"),
        (ORDER_OPS, "number"),
    ] {
        conditions.extend(field_leaves(&attribute, ops, value));
    }
    conditions.push(recency());
    conditions.push(window("count", &Measure::COUNTED));
    conditions.push(window("sum", &Measure::SUMMED));
    conditions.push(object(
        json!({"segment": {
            "type": "string", "description": "Members of another segment.", "minLength": 1, "maxLength": 128
        }}),
        &["segment"],
    ));
    let mut definitions = values();
    definitions.insert(
        "condition".to_owned(),
        json!({
            "description": format!("At most {MAX_LEAVES} that hold no others, nested at most {MAX_DEPTH} deep."),
            "anyOf": conditions
        }),
    );
    definitions.insert("flat".to_owned(), flat());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Millrace segment criteria",
        "anyOf": [the("condition"), the("flat")],
        "$defs": definitions
    })
}

const ATTRIBUTE_NAME: &str = "^attributes\\..{1,256}$";

/// A definition by its name.
fn the(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// What values may be: one of a name, and a list of them.
fn values() -> Map<String, Value> {
    let mut values = Map::new();
    for (name, schema) in [
        (
            "text",
            json!({"type": "string", "minLength": 1, "maxLength": MAX_TEXT}),
        ),
        (
            "number",
            json!({"anyOf": [
                {"type": "number"},
                {"type": "string", "pattern": "^-?[0-9]{1,15}(\\.[0-9]{1,6})?$"}
            ]}),
        ),
        (
            "attribute",
            json!({"type": ["string", "number", "boolean"], "maxLength": MAX_TEXT}),
        ),
        (
            "time",
            json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]}),
        ),
    ] {
        values.insert(name.to_owned(), schema);
    }
    for field in FIELDS {
        if let Of::Text(field) = field
            && let Some(words) = field.words()
        {
            let doc = format!("{}; in any case.", words.join(", "));
            let schema = json!({"type": "string", "description": doc});
            values.insert(field.name().to_owned(), schema);
        }
    }
    let names: Vec<String> = values.keys().cloned().collect();
    for name in names {
        let list = json!({
            "type": "array", "items": the(&name), "minItems": 1, "maxItems": MAX_VALUES
        });
        values.insert(list_of(&name), list);
    }
    values
}

/// The definition of a list of these.
fn list_of(name: &str) -> String {
    format!("{name}_list")
}

/// Fields that take the same operators and values.
struct Group {
    ops: &'static [Op],
    value: &'static str,
    fields: Vec<&'static str>,
}

fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for field in FIELDS {
        let (ops, value) = (field.ops(), value(field));
        match groups
            .iter_mut()
            .find(|group| group.ops == ops && group.value == value)
        {
            Some(group) => group.fields.push(field.name()),
            None => groups.push(Group {
                ops,
                value,
                fields: vec![field.name()],
            }),
        }
    }
    for group in &mut groups {
        if group.fields.contains(&"tier") {
            group.fields.push("loyalty_status");
        }
    }
    groups
}

/// What one value of a field is.
fn value(field: Of) -> &'static str {
    match field {
        Of::Text(text) if text.words().is_some() => text.name(),
        Of::Text(_) | Of::Tags => "text",
        Of::Number(_) => "number",
        Of::Time(_) => "time",
    }
}

fn names(ops: &[Op]) -> Vec<&'static str> {
    ops.iter().map(|op| op.name()).collect()
}

/// The leaves of a field: with one value, with a list, and with none.
fn field_leaves(field: &Value, ops: &[Op], value: &str) -> Vec<Value> {
    let (none, some): (Vec<Op>, Vec<Op>) = ops
        .iter()
        .copied()
        .partition(|op| matches!(op, Op::Exists | Op::Absent));
    let (lists, single): (Vec<Op>, Vec<Op>) = some
        .into_iter()
        .partition(|op| matches!(op, Op::In | Op::NotIn));
    let mut leaves = Vec::new();
    for (ops, value) in [
        (single, Some(value.to_owned())),
        (lists, Some(list_of(value))),
        (none, None),
    ] {
        if ops.is_empty() {
            continue;
        }
        let mut properties = json!({"field": field, "op": {"enum": names(&ops)}});
        leaves.push(match value {
            Some(value) => {
                properties["value"] = the(&value);
                object(properties, &["field", "op", "value"])
            }
            None => object(properties, &["field", "op"]),
        });
    }
    leaves
}

fn recency() -> Value {
    object(
        json!({
            "recency": {
                "enum": TimeField::RECENT.map(TimeField::name),
                "description": "Whole days of 86,400 seconds since that time."
            },
            "op": {"enum": names(ORDER_OPS)},
            "days": {"type": "integer", "minimum": 0, "maximum": MAX_RECENCY_DAYS},
            "missing": {
                "type": "boolean",
                "description": "Whether gt and gte hold of customers without that time; false by default."
            }
        }),
        &["recency", "op", "days"],
    )
}

fn window(form: &str, measures: &[Measure]) -> Value {
    let measures: Vec<&str> = measures.iter().map(|measure| measure.name()).collect();
    let mut properties = json!({
        form: {"enum": measures, "description": "Over the last days, UTC, today's included."},
        "days": {"type": "integer", "minimum": 1, "maximum": MAX_WINDOW_DAYS},
        "op": {"enum": names(WINDOW_OPS)},
        "value": the("number")
    });
    if form == "sum" {
        properties["currency"] = json!({
            "type": "string", "pattern": "^[A-Z]{3}$",
            "description": "ISO 4217; the organization's by default."
        });
    }
    object(properties, &[form, "days", "op", "value"])
}

fn flat() -> Value {
    let one_or_more = |value: &str| json!({"anyOf": [the(value), the(&list_of(value))]});
    let mut properties = Map::new();
    for field in FIELDS {
        if field.ops().contains(&Op::In) {
            properties.insert(field.name().to_owned(), one_or_more(value(field)));
        }
    }
    properties.insert("loyalty_status".to_owned(), one_or_more("text"));
    json!({
        "type": "object",
        "description": "All of the keys, each with any of its values.",
        "properties": properties,
        "patternProperties": {ATTRIBUTE_NAME: one_or_more("attribute")},
        "additionalProperties": false,
        "minProperties": 1
    })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}
