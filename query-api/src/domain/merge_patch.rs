//! JSON merge patch, RFC 7396, on JSON text: what a patch does not touch keeps every digit, escape and space.
//!
//! Only objects are taken apart, so numbers never become binary ones. Members of a merged object stand in
//! the order of their names. Where a name comes twice in one object, the last one counts.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of an object, each as its JSON text.
pub type Members = BTreeMap<String, Box<RawValue>>;

/// Objects within objects that a patch may have: as deep as events may be nested.
pub const MAX_DEPTH: usize = schemas::json::MAX_DEPTH as usize;

/// Why a patch cannot be applied. Nothing has been changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The patch has objects within objects beyond [`MAX_DEPTH`].
    #[error("nest objects at most {MAX_DEPTH} deep")]
    TooDeep,
    /// A member's name has half of a surrogate pair, so it is no text.
    #[error("write the names of members without lone surrogates")]
    Unreadable,
}

/// What `patch` makes of `current`; `None` where it removes it.
///
/// An object is merged member by member, and one that is null is removed; anything else replaces what was
/// there. What is absent, or no object, is patched as if it were `{}`.
///
/// # Errors
/// [`MergeError`], of the patch or of an object in `current` that the patch goes into.
pub fn merge(
    current: Option<&RawValue>,
    patch: &RawValue,
) -> Result<Option<Box<RawValue>>, MergeError> {
    merge_at(current, patch, MAX_DEPTH)
}

/// Applies the members of a patch to those of a record. On an error the record is as it was.
///
/// # Errors
/// As for [`merge`].
pub fn merge_members(current: &mut Members, patch: &Members) -> Result<(), MergeError> {
    let merged = merged(current, patch, MAX_DEPTH)?;
    for (name, value) in merged {
        set(current, name, value);
    }
    Ok(())
}

/// The members of an object; `None` of anything else.
///
/// # Errors
/// [`MergeError::Unreadable`].
pub fn members(value: &RawValue) -> Result<Option<Members>, MergeError> {
    match value.get().trim_start().starts_with('{') {
        true => serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| MergeError::Unreadable),
        false => Ok(None),
    }
}

/// Members as the text of an object.
pub fn object(members: &Members) -> Box<RawValue> {
    // Names are texts and values are JSON, so there is nothing that could fail.
    serde_json::value::to_raw_value(members).unwrap_or_default()
}

fn merge_at(
    current: Option<&RawValue>,
    patch: &RawValue,
    depth: usize,
) -> Result<Option<Box<RawValue>>, MergeError> {
    let Some(patch_members) = members(patch)? else {
        return Ok(Some(patch.to_owned()).filter(|patch| patch.get().trim() != "null"));
    };
    let depth = depth.checked_sub(1).ok_or(MergeError::TooDeep)?;
    let mut target = current
        .map(members)
        .transpose()?
        .flatten()
        .unwrap_or_default();
    for (name, value) in merged(&target, &patch_members, depth)? {
        set(&mut target, name, value);
    }
    Ok(Some(object(&target)))
}

/// What becomes of each member that the patch names.
fn merged<'a>(
    current: &Members,
    patch: &'a Members,
    depth: usize,
) -> Result<Vec<(&'a String, Option<Box<RawValue>>)>, MergeError> {
    let merge = |(name, patch): (&'a String, &Box<RawValue>)| {
        let current = current.get(name).map(|value| &**value);
        Ok((name, merge_at(current, patch, depth)?))
    };
    patch.iter().map(merge).collect()
}

fn set(members: &mut Members, name: &str, value: Option<Box<RawValue>>) {
    match value {
        Some(value) => {
            members.insert(name.to_owned(), value);
        }
        None => {
            members.remove(name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    fn merged_text(current: &str, patch: &str) -> Option<String> {
        let merged = merge(Some(&raw(current)), &raw(patch)).unwrap();
        merged.map(|value| value.get().to_owned())
    }

    /// The pseudocode of section 2 of the RFC, on trees.
    fn reference(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut target = match target {
            Value::Object(members) => members,
            _ => serde_json::Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                let current = target.remove(name).unwrap_or(Value::Null);
                target.insert(name.clone(), reference(current, value));
            }
        }
        Value::Object(target)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // Appendix A.
        for (original, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let merged = merged_text(original, patch);
            assert_eq!(
                merged.as_deref().unwrap_or("null"),
                result,
                "{original} {patch}"
            );
        }
    }

    #[test]
    fn what_is_not_touched_keeps_its_text() {
        let current =
            r#"{"a":1.50,"b":{ "x" : 1e400, "y":"\u00e9" },"big":123456789012345678901234567890}"#;
        assert_eq!(
            merged_text(current, r#"{"c":0.10}"#).unwrap(),
            r#"{"a":1.50,"b":{ "x" : 1e400, "y":"\u00e9" },"big":123456789012345678901234567890,"c":0.10}"#
        );
        assert_eq!(
            merged_text(current, r#"{"a":null,"b":{"z":-0.0},"big":1}"#).unwrap(),
            r#"{"b":{"x":1e400,"y":"\u00e9","z":-0.0},"big":1}"#
        );
    }

    #[test]
    fn what_is_absent_is_patched_as_an_empty_object() {
        assert!(merge(None, &raw("null")).unwrap().is_none());
        let made = merge(None, &raw(r#"{"a":{"b":null,"c":1}}"#))
            .unwrap()
            .unwrap();
        assert_eq!(made.get(), r#"{"a":{"c":1}}"#);
        let list = r#"[null,{"a":null}]"#;
        assert_eq!(merge(None, &raw(list)).unwrap().unwrap().get(), list);
    }

    #[test]
    fn records_are_patched_by_members_or_not_at_all() {
        let patch = |text: &str| members(&raw(text)).unwrap().unwrap();
        let mut record = patch(r#"{"name":"Ann","tags":["x"],"attributes":{"n":1.0}}"#);
        merge_members(
            &mut record,
            &patch(r#"{"tags":null,"attributes":{"m":2.00}}"#),
        )
        .unwrap();
        let expected = r#"{"attributes":{"m":2.00,"n":1.0},"name":"Ann"}"#;
        assert_eq!(object(&record).get(), expected);
        let broken = patch(r#"{"name":"Bob","other":{"\ud800":1}}"#);
        assert_eq!(
            merge_members(&mut record, &broken),
            Err(MergeError::Unreadable)
        );
        assert_eq!(object(&record).get(), expected, "as it was");
        assert!(members(&raw("[1]")).unwrap().is_none());
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| {
            raw(&format!(
                "{}1{}",
                r#"{"a":"#.repeat(depth),
                "}".repeat(depth)
            ))
        };
        assert!(merge(None, &nested(MAX_DEPTH)).is_ok());
        let deeper = merge(None, &nested(MAX_DEPTH + 1));
        assert_eq!(deeper.unwrap_err(), MergeError::TooDeep);
        // The depth of what is not gone into does not matter.
        let deep = nested(10_000);
        assert!(merge(Some(&deep), &raw(r#"{"a":1}"#)).is_ok());
        let mut record = Members::new();
        let patch = Members::from([("a".to_owned(), nested(MAX_DEPTH + 1))]);
        assert_eq!(merge_members(&mut record, &patch), Err(MergeError::TooDeep));
    }

    /// A tree of JSON from a seed: few names, so that target and patch meet.
    fn grown(seed: &mut u64, depth: u32) -> Value {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let draw = *seed >> 40;
        match draw % if depth == 0 { 4 } else { 8 } {
            0 => Value::Null,
            1 => Value::from(draw % 10),
            2 => Value::from(["x", "\"", "é\n"][(draw / 8 % 3) as usize]),
            3 => Value::from(vec![Value::Null, Value::from(1)]),
            _ => {
                let name = |i: u64| ["a", "b", "ключ", ""][((draw / 64 + i) % 4) as usize];
                let members = 0..draw / 8 % 4;
                members.map(|i| (name(i), grown(seed, depth - 1))).collect()
            }
        }
    }

    #[test]
    fn any_patch_does_what_the_rfc_says() {
        let mut seed = 7;
        for _ in 0..3_000 {
            let (target, patch) = (grown(&mut seed, 3), grown(&mut seed, 3));
            let merged = merged_text(&target.to_string(), &patch.to_string());
            let merged: Value = serde_json::from_str(merged.as_deref().unwrap_or("null")).unwrap();
            assert_eq!(
                merged,
                reference(target.clone(), &patch),
                "{target} {patch}"
            );
            // Twice is once.
            let again = merged_text(&merged.to_string(), &patch.to_string());
            let again: Value = serde_json::from_str(again.as_deref().unwrap_or("null")).unwrap();
            assert_eq!(again, merged, "{target} {patch}");
        }
    }
}
