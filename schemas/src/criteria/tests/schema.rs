//! The published schema and the parser agree on what criteria are.

use serde_json::{Value, json};

use crate::criteria::fields::{FIELDS, Of};
use crate::criteria::sample::Sampler;
use crate::criteria::{Criteria, json_schema};

/// Whether a value is of a schema, for the keywords that ours uses (of patterns: how attributes begin).
fn valid(schema: &Value, value: &Value, root: &Value) -> bool {
    let keywords = schema.as_object().unwrap();
    keywords.iter().all(|(keyword, of)| match keyword.as_str() {
        "$ref" => {
            let path = of.as_str().unwrap().trim_start_matches('#');
            valid(root.pointer(path).unwrap(), value, root)
        }
        "anyOf" => {
            let any = of.as_array().unwrap();
            any.iter().any(|schema| valid(schema, value, root))
        }
        "enum" => of.as_array().unwrap().contains(value),
        "type" => match of {
            Value::Array(types) => types.iter().any(|name| is(name.as_str().unwrap(), value)),
            name => is(name.as_str().unwrap(), value),
        },
        "required" => {
            let names = of.as_array().unwrap();
            names
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some())
        }
        "properties" => {
            let properties = of.as_object().unwrap();
            properties.iter().all(|(name, schema)| {
                value
                    .get(name)
                    .is_none_or(|value| valid(schema, value, root))
            })
        }
        "additionalProperties" => {
            let known = schema["properties"].as_object().unwrap();
            let patterns = schema.get("patternProperties").is_some();
            value.as_object().is_none_or(|object| {
                let mut names = object.keys();
                names.all(|name| {
                    known.contains_key(name) || (patterns && name.starts_with("attributes."))
                })
            })
        }
        "items" => value
            .as_array()
            .is_none_or(|items| items.iter().all(|item| valid(of, item, root))),
        "minItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 >= of.as_u64().unwrap()),
        "maxItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 <= of.as_u64().unwrap()),
        "minLength" => value
            .as_str()
            .is_none_or(|text| text.len() as u64 >= of.as_u64().unwrap()),
        "minimum" => value
            .as_f64()
            .is_none_or(|number| number >= of.as_f64().unwrap()),
        "maximum" => value
            .as_f64()
            .is_none_or(|number| number <= of.as_f64().unwrap()),
        "minProperties" => value.as_object().is_none_or(|object| !object.is_empty()),
        "pattern" if of.as_str().unwrap().starts_with("^attributes") => value
            .as_str()
            .is_none_or(|text| text.starts_with("attributes.")),
        "patternProperties" => value.as_object().is_none_or(|object| {
            let schema = &of.as_object().unwrap().values().next().unwrap();
            object
                .iter()
                .all(|(name, value)| !name.starts_with("attributes.") || valid(schema, value, root))
        }),
        "$schema" | "title" | "description" | "$defs" | "format" | "maxLength" | "pattern" => true,
        unknown => panic!("this test does not know {unknown}"),
    })
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        unknown => panic!("{unknown}"),
    }
}

#[test]
fn what_is_read_is_of_the_schema() {
    let schema = json_schema();
    for seed in 0..2_000 {
        let mut sampler = Sampler::new(seed);
        let json = sampler.criteria();
        let canonical = Criteria::parse(&json).unwrap().to_json();
        for text in [json, canonical, sampler.flat().0] {
            let value = serde_json::from_str(&text).unwrap();
            assert!(valid(&schema, &value, &schema), "{text}");
        }
    }
}

/// Every operator with every field, and every form with a part too many or too few.
#[test]
fn what_is_refused_is_not_of_the_schema() {
    let schema = json_schema();
    let mut tried = 0;
    let mut same = |value: Value| {
        let read = Criteria::parse(&value.to_string()).is_ok();
        assert_eq!(valid(&schema, &value, &schema), read, "{value}");
        tried += usize::from(!read);
    };
    let names = FIELDS.map(Of::name);
    for name in names
        .into_iter()
        .chain(["attributes.a", "loyalty_status", "nope"])
    {
        for op in [
            "eq",
            "ne",
            "in",
            "not_in",
            "contains",
            "starts_with",
            "lt",
            "lte",
            "gt",
            "gte",
            "exists",
            "absent",
            "nope",
        ] {
            let value = match name {
                "customer_type" => json!("business"),
                "status" => json!("lead"),
                _ if name.ends_with("_at") || name.starts_with("last") || name == "first_seen" => {
                    json!("2026-01-01T00:00:00Z")
                }
                _ => json!("10"),
            };
            same(json!({"field": name, "op": op}));
            same(json!({"field": name, "op": op, "value": value}));
            same(json!({"field": name, "op": op, "value": [value]}));
            same(json!({"field": name, "op": op, "value": []}));
            same(json!({"field": name, "op": op, "value": {}}));
        }
    }
    for value in [
        json!({}),
        json!({"all": []}),
        json!({"any": [], "all": []}),
        json!({"not": []}),
        json!({"not": {"tags": ["x"]}}),
        json!({"segment": ""}),
        json!({"segment": "a", "op": "eq"}),
        json!({"recency": "last_order", "op": "gt", "days": 36_501}),
        json!({"recency": "last_order", "op": "eq", "days": 1}),
        json!({"recency": "first_seen", "op": "gt", "days": 1}),
        json!({"count": "orders", "days": 0, "op": "gt", "value": 1}),
        json!({"count": "revenue", "days": 1, "op": "gt", "value": 1}),
        json!({"sum": "revenue", "days": 1, "op": "in", "value": 1}),
        json!({"sum": "revenue", "days": 1, "op": "ne", "value": 1, "currency": "EUR"}),
        json!({"count": "orders", "days": 1, "op": "ne", "value": 1, "currency": "EUR"}),
        json!({"last_seen": ["2026-01-01T00:00:00Z"]}),
        json!({"points": [1], "attributes.a": [true], "tags": "x"}),
    ] {
        same(value);
    }
    assert!(tried > 100);
}
