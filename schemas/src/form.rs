//! Forms: what staff fill in of a record, read by the same tables and rules as events.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::error::{Code, FieldError};
use crate::field::{Extra, Field, Slot, Value, read_members};
use crate::json::{ReadError, Reader};

/// JSON members by name, each as it was stated, digit for digit.
pub type Members = BTreeMap<String, Box<RawValue>>;

/// What may be filled in of a kind of record.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Its fields.
    pub table: &'static [Field],
    /// Whether fields that it does not know are kept as further attributes. Others are refused.
    pub open: bool,
}

/// One table after another.
pub(crate) const fn joined<const A: usize, const B: usize, const ALL: usize>(
    first: [Field; A],
    then: [Field; B],
) -> [Field; ALL] {
    let mut all = [first[0]; ALL];
    let mut index = 0;
    while index < ALL {
        all[index] = if index < A {
            first[index]
        } else {
            then[index - A]
        };
        index += 1;
    }
    all
}

/// What was filled in.
#[derive(Debug, Default)]
pub struct Filled {
    /// Fields of the form that were stated, an explicit null among them.
    pub fields: Members,
    /// Fields that the form does not know, and the members of `attributes`.
    pub attributes: Members,
}

impl Form {
    /// Reads a whole record: what is required must be there.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn read(&self, text: &str) -> Result<Filled, FieldError> {
        let filled = self.read_part(text)?;
        let missing = |field: &&Field| {
            let stated = filled.fields.get(field.name);
            field.required && stated.is_none_or(|json| json.get() == "null")
        };
        match self.table.iter().find(missing) {
            Some(field) => Err(FieldError::new(
                field.name,
                Code::Required,
                "this field is required; send a value",
            )),
            None => Ok(filled),
        }
    }

    /// Reads some fields of a record. What is required may be absent, but not null.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn read_part(&self, text: &str) -> Result<Filled, FieldError> {
        self.parts(text).map_err(ReadError::into_field_error)
    }

    fn parts(&self, text: &str) -> Result<Filled, ReadError> {
        let mut reader = Reader::new(text);
        let mut slots: Vec<Option<Slot<'_>>> = self.table.iter().map(|_| None).collect();
        let mut extra: Vec<Extra<'_>> = Vec::new();
        read_members(&mut reader, self.table, &mut slots, &mut extra)?;
        reader.finish()?;
        let mut filled = Filled::default();
        for (field, slot) in self.table.iter().zip(&slots) {
            let Some(slot) = slot else { continue };
            if field.required && slot.value == Value::Null {
                let detail = "this field is required; send a value";
                return Err(ReadError::rule(Code::Required, detail).within(field.name));
            }
            filled.fields.insert(field.name.to_owned(), raw(slot.raw)?);
        }
        for extra in &extra {
            if !self.open {
                let known: Vec<&str> = self.table.iter().map(|field| field.name).collect();
                let detail = format!("an unknown field; known here: {}", known.join(", "));
                return Err(ReadError::rule(Code::InvalidValue, detail).within(&extra.key));
            }
            filled
                .attributes
                .insert(extra.key.to_string(), raw(extra.raw)?);
        }
        if self.open
            && let Some(stated) = filled.fields.remove("attributes")
            && stated.get() != "null"
        {
            let stated: Members = serde_json::from_str(stated.get())
                .map_err(|error| ReadError::rule(Code::Malformed, error.to_string()))?;
            filled.attributes.extend(stated);
        }
        Ok(filled)
    }
}

fn raw(json: &str) -> Result<Box<RawValue>, ReadError> {
    // The reader has found it to be one JSON value.
    RawValue::from_string(json.to_owned())
        .map_err(|error| ReadError::rule(Code::Malformed, error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::field::{Type, optional, required};

    static TABLE: [Field; 3] = [
        required("name", Type::Text { max: 5 }, "Name."),
        optional("rating", Type::Whole { min: 1, max: 5 }, "Rating."),
        optional("attributes", Type::Object, "More."),
    ];
    const OPEN: Form = Form {
        table: &TABLE,
        open: true,
    };

    #[test]
    fn a_form_is_read_whole_or_in_part() {
        let filled = OPEN
            .read(r#"{"name":"a","rate":1.50,"attributes":{"more":2.0}}"#)
            .unwrap();
        assert_eq!(filled.fields["name"].get(), r#""a""#);
        assert_eq!(filled.attributes["rate"].get(), "1.50");
        assert_eq!(filled.attributes["more"].get(), "2.0");
        assert_eq!(OPEN.read(r#"{"rating":2}"#).unwrap_err().field, "name");
        assert!(OPEN.read_part(r#"{"rating":null}"#).is_ok());
        assert_eq!(
            OPEN.read_part(r#"{"name":null}"#).unwrap_err().field,
            "name"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let closed = Form {
            table: &TABLE,
            open: false,
        };
        for (text, field) in [
            (r#"{"name":"a","rating":6}"#, "rating"),
            (r#"{"name":"a","rating":1.5}"#, "rating"),
            (r#"{"name":"a","rating":"1"}"#, "rating"),
            (r#"{"name":"too long"}"#, "name"),
            (r#"{"name":"a","more":1}"#, "more"),
            (r#"[]"#, ""),
            (r#"{"name":"a"} x"#, ""),
        ] {
            assert_eq!(closed.read(text).unwrap_err().field, field, "{text}");
        }
    }
}
