//! The field tables: what each kind of event may hold. The parser, the JSON Schemas and the Arrow
//! schema all read these, so that they cannot disagree.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::error::Code;
use crate::json::{Keys, Peek, ReadError, Reader, duplicate_key};
use crate::money::{Currency, Decimal, DecimalError};
use crate::time::Timestamp;

/// The type of a field as clients send it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// A string of 1 to `max` characters without control characters, compared byte for byte.
    Id {
        /// Characters at most.
        max: usize,
    },
    /// A string of up to `max` characters.
    Text {
        /// Characters at most.
        max: usize,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A decimal number, as a number or a string: 15 digits before the point and 6 after it.
    Decimal,
    /// A currency code.
    Currency,
    /// RFC 3339 with offset, or epoch milliseconds.
    Time,
    /// Whole minutes, 0 or more.
    Minutes,
    /// A whole number from `min` to `max`.
    Whole {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// true or false.
    Bool,
    /// A list of short strings.
    Texts,
    /// Any JSON object.
    Object,
    /// A list of JSON objects.
    Objects,
    /// The items of a purchase.
    Items,
}

/// One field of an event.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name in JSON.
    pub name: &'static str,
    /// What it may hold.
    pub ty: Type,
    /// Whether it must be there and not null.
    pub required: bool,
    /// One sentence for the published schema.
    pub doc: &'static str,
}

/// A field that may be left out.
pub const fn optional(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field {
        name,
        ty,
        required: false,
        doc,
    }
}

/// A field that must be there.
pub const fn required(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field {
        name,
        ty,
        required: true,
        doc,
    }
}

/// A value that was read and checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`: not there, or (in user events) clear it.
    Null,
    /// Id, text, choice or currency.
    Text(Cow<'a, str>),
    /// A decimal.
    Decimal(Decimal),
    /// A time.
    Time(Timestamp),
    /// A boolean, minutes, list or object: see the raw text.
    Raw,
    /// Items of a purchase.
    Items(Vec<crate::event::Item>),
}

/// A field's value and its JSON as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot<'a> {
    /// The checked value.
    pub value: Value<'a>,
    /// The JSON text of the value.
    pub raw: &'a str,
}

/// A field that no table knows, with its JSON as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra<'a> {
    /// The key; below `items` it is `items.N.key`.
    pub key: Cow<'a, str>,
    /// The JSON text of the value.
    pub raw: &'a str,
}

/// Reads an object: known fields into their slots, in the table's order, the rest into `extra`.
pub fn read_object<'a>(
    reader: &mut Reader<'a>,
    table: &'static [Field],
    slots: &mut [Option<Slot<'a>>],
    extra: &mut Vec<Extra<'a>>,
) -> Result<(), ReadError> {
    read_members(reader, table, slots, extra)?;
    for (field, slot) in table.iter().zip(slots.iter()) {
        let missing = slot.as_ref().is_none_or(|slot| slot.value == Value::Null);
        if field.required && missing {
            return Err(
                ReadError::rule(Code::Required, "this field is required; send a value")
                    .within(field.name),
            );
        }
    }
    Ok(())
}

/// [`read_object`] without asking for the fields that are required.
pub(crate) fn read_members<'a>(
    reader: &mut Reader<'a>,
    table: &'static [Field],
    slots: &mut [Option<Slot<'a>>],
    extra: &mut Vec<Extra<'a>>,
) -> Result<(), ReadError> {
    expect(reader, Peek::Object)?;
    reader.enter_object()?;
    let first_extra = extra.len();
    // Of items: named `items.N.key`, and no keys of this object.
    let mut nested = Vec::new();
    let mut keys: Option<Keys> = None;
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        match table.iter().position(|field| field.name == key) {
            Some(index) if slots[index].is_some() => return Err(duplicate_key(&key)),
            Some(index) => {
                let slot = read_value(reader, table[index].ty, &mut nested)
                    .map_err(|error| error.within(&key))?;
                slots[index] = Some(slot);
            }
            None => {
                // Few unknown fields are the rule: compare; many are hashed.
                if extra.len() - first_extra >= 16 || keys.is_some() {
                    let keys = match &mut keys {
                        Some(keys) => keys,
                        none => {
                            let known = none.insert(Keys::default());
                            for other in &extra[first_extra..] {
                                known.insert(&other.key)?;
                            }
                            known
                        }
                    };
                    keys.insert(&key)?;
                } else if extra[first_extra..].iter().any(|other| other.key == key) {
                    return Err(duplicate_key(&key));
                }
                let raw = reader.checked_value().map_err(|error| error.within(&key))?;
                extra.push(Extra { key, raw });
            }
        }
    }
    if !nested.is_empty() {
        let taken: HashSet<_> = extra[first_extra..]
            .iter()
            .filter(|extra| extra.key.starts_with("items."))
            .map(|extra| extra.key.clone())
            .collect();
        nested.retain(|extra: &Extra<'_>| !taken.contains(&extra.key));
        extra.append(&mut nested);
    }
    Ok(())
}

fn expect(reader: &mut Reader<'_>, wanted: Peek) -> Result<(), ReadError> {
    match reader.peek()? {
        found if found == wanted => Ok(()),
        found => Err(wrong_type(reader, wanted.name(), found)),
    }
}

fn wrong_type(reader: &mut Reader<'_>, wanted: &str, found: Peek) -> ReadError {
    // NaN where a text belongs is first of all not JSON.
    if found == Peek::Number
        && let Err(error) = reader.number()
    {
        return error;
    }
    ReadError::rule(
        Code::InvalidType,
        format!("must be {wanted}, not {}", found.name()),
    )
}

fn read_value<'a>(
    reader: &mut Reader<'a>,
    ty: Type,
    extra: &mut Vec<Extra<'a>>,
) -> Result<Slot<'a>, ReadError> {
    let found = reader.peek()?;
    let start = reader.position();
    let value = match (ty, found) {
        (_, Peek::Null) => {
            reader.null()?;
            Value::Null
        }
        (Type::Decimal, Peek::Number) => Value::Decimal(decimal(reader.number()?)?),
        (Type::Decimal, Peek::Text) => Value::Decimal(decimal(&reader.string()?)?),
        (Type::Decimal, found) => {
            return Err(wrong_type(reader, "a number or a decimal string", found));
        }
        (Type::Time, Peek::Text) => Value::Time(time(&reader.string()?)?),
        (Type::Time, Peek::Number) => Value::Time(epoch_millis(reader.number()?)?),
        (Type::Time, found) => {
            return Err(wrong_type(
                reader,
                "an RFC 3339 string or epoch milliseconds",
                found,
            ));
        }
        (Type::Bool, Peek::Bool) => {
            reader.boolean()?;
            Value::Raw
        }
        (Type::Bool, found) => return Err(wrong_type(reader, "true or false", found)),
        (Type::Minutes, Peek::Number) => {
            let number = reader.number()?;
            number.parse::<u32>().map_err(|_| {
                ReadError::rule(
                    Code::OutOfRange,
                    "must be a whole number of minutes, 0 or more",
                )
            })?;
            Value::Raw
        }
        (Type::Minutes, found) => {
            return Err(wrong_type(reader, "a whole number of minutes", found));
        }
        (Type::Whole { min, max }, Peek::Number) => {
            let number = reader.number()?.parse::<u32>();
            if !number.is_ok_and(|number| (min..=max).contains(&number)) {
                let detail = format!("must be a whole number from {min} to {max}");
                return Err(ReadError::rule(Code::OutOfRange, detail));
            }
            Value::Raw
        }
        (Type::Whole { .. }, found) => return Err(wrong_type(reader, "a whole number", found)),
        (Type::Object, Peek::Object) => {
            reader.checked_value()?;
            Value::Raw
        }
        (Type::Object, found) => return Err(wrong_type(reader, "an object", found)),
        (Type::Texts, Peek::Array) => {
            each(reader, |reader, _| {
                expect(reader, Peek::Text)?;
                reader.string().and_then(|text| length(&text, 0, 256))
            })?;
            Value::Raw
        }
        (Type::Objects, Peek::Array) => {
            each(reader, |reader, _| {
                expect(reader, Peek::Object)?;
                reader.checked_value().map(drop)
            })?;
            Value::Raw
        }
        (Type::Items, Peek::Array) => {
            let mut items = Vec::new();
            each(reader, |reader, index| {
                let item = crate::event::purchase::read_item(reader, index, extra)?;
                items.push(item);
                Ok(())
            })?;
            Value::Items(items)
        }
        (Type::Texts | Type::Objects | Type::Items, found) => {
            return Err(wrong_type(reader, "an array", found));
        }
        (_, Peek::Text) => Value::Text(text(ty, reader.string()?)?),
        (_, found) => return Err(wrong_type(reader, "a string", found)),
    };
    Ok(Slot {
        value,
        raw: reader.since(start),
    })
}

fn each<'a>(
    reader: &mut Reader<'a>,
    mut element: impl FnMut(&mut Reader<'a>, usize) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    reader.enter_array()?;
    let mut index = 0;
    while reader.element(index == 0)? {
        element(reader, index).map_err(|error| match error {
            ReadError::Rule(error) => {
                // `items` + `[2]` + `.quantity`: the parent's name is put in front later.
                let inner = match error.field.as_str() {
                    "" => format!("[{index}]"),
                    field => format!("[{index}].{field}"),
                };
                ReadError::Rule(Box::new(crate::FieldError {
                    field: inner,
                    ..*error
                }))
            }
            syntax => syntax,
        })?;
        index += 1;
    }
    Ok(())
}

fn text(ty: Type, text: Cow<'_, str>) -> Result<Cow<'_, str>, ReadError> {
    match ty {
        Type::Id { max } => {
            length(&text, 1, max)?;
            if text.chars().any(char::is_control) {
                return Err(ReadError::rule(
                    Code::InvalidCharacter,
                    "must not hold control characters",
                ));
            }
        }
        Type::Text { max } => length(&text, 0, max)?,
        Type::Choice(words) if !words.contains(&text.as_ref()) => {
            return Err(ReadError::rule(
                Code::InvalidValue,
                format!("must be one of {}", words.join(", ")),
            ));
        }
        Type::Currency => {
            Currency::parse(&text)
                .map_err(|error| ReadError::rule(Code::UnknownCurrency, error.to_string()))?;
        }
        _ => {}
    }
    Ok(text)
}

fn length(text: &str, min: usize, max: usize) -> Result<(), ReadError> {
    // Bytes bound characters from above, so that the usual text is not counted.
    let fits = text.len() >= min && (text.len() <= max || text.chars().count() <= max);
    match fits {
        true => Ok(()),
        false => Err(ReadError::rule(
            Code::InvalidLength,
            format!("must have {min} to {max} characters"),
        )),
    }
}

fn decimal(text: &str) -> Result<Decimal, ReadError> {
    Decimal::parse(text.as_bytes()).map_err(|error| {
        let code = match error {
            DecimalError::Malformed => Code::InvalidFormat,
            DecimalError::OutOfRange => Code::OutOfRange,
        };
        ReadError::rule(code, error.to_string())
    })
}

fn time(text: &str) -> Result<Timestamp, ReadError> {
    Timestamp::parse(text).map_err(|error| ReadError::rule(Code::InvalidFormat, error.to_string()))
}

fn epoch_millis(number: &str) -> Result<Timestamp, ReadError> {
    let whole = number.parse::<i64>().map_err(|_| {
        let digits = number.strip_prefix('-').unwrap_or(number);
        match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => ReadError::rule(Code::OutOfRange, "this time is too far away"),
            false => ReadError::rule(Code::InvalidFormat, "epoch milliseconds are a whole number"),
        }
    })?;
    Timestamp::from_millis(whole)
        .ok_or_else(|| ReadError::rule(Code::OutOfRange, "this time is too far away"))
}
