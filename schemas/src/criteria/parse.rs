//! Reads criteria: the tree, strictly, and the flat form, into the same nodes.

use std::borrow::Cow;

use super::fields::{ATTRIBUTE, FIELDS, Of, Op};
use super::leaf;
use super::node::{Leaf, Node, Numbers, Test, Texts};
use super::values;
use crate::error::Code;
use crate::json::{Keys, Peek, ReadError, Reader};

/// Conditions within each other, at most.
pub const MAX_DEPTH: usize = 16;
/// Conditions without others inside, at most.
pub const MAX_LEAVES: usize = 100;
/// Bytes of criteria, at most.
pub const MAX_BYTES: usize = 256 * 1024;

/// What begins a leaf, and the other keys it may have.
pub(super) const FORMS: [(&str, &[&str]); 5] = [
    ("field", &["field", "op", "value"]),
    ("recency", &["recency", "op", "days", "missing"]),
    ("count", &["count", "days", "op", "value"]),
    ("sum", &["sum", "days", "op", "value", "currency"]),
    ("segment", &["segment"]),
];

const KINDS: &str = "all, any, not, field, recency, count, sum, segment";

/// The keys of an object that are not read yet, each with its JSON.
pub(super) struct Stated<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Stated<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, json)| *json)
    }

    /// A value that must be there.
    pub(super) fn need(&self, key: &str) -> Result<&'a str, ReadError> {
        self.get(key).ok_or_else(|| {
            ReadError::rule(Code::Required, "this is required here; send a value").within(key)
        })
    }
}

/// Reads one text that holds criteria and nothing else.
pub(super) fn criteria(json: &str) -> Result<Node, ReadError> {
    if json.len() > MAX_BYTES {
        return Err(ReadError::rule(
            Code::TooLarge,
            format!("criteria may have {MAX_BYTES} bytes at most"),
        ));
    }
    let mut reader = Reader::new(json);
    let node = Parser { leaves: 0 }.node(&mut reader, 1)?;
    reader.finish()?;
    Ok(node)
}

struct Parser {
    leaves: usize,
}

impl Parser {
    /// Reads a condition; the outermost one has depth 1.
    fn node(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Node, ReadError> {
        let found = reader.peek()?;
        if found != Peek::Object {
            return Err(ReadError::rule(
                Code::InvalidType,
                format!(
                    "must be an object with one of {KINDS}, not {}",
                    found.name()
                ),
            ));
        }
        if depth > MAX_DEPTH {
            return Err(ReadError::rule(
                Code::TooDeep,
                format!("nest conditions at most {MAX_DEPTH} deep"),
            ));
        }
        reader.enter_object()?;
        let mut keys = Keys::default();
        let mut stated = Vec::new();
        let mut branch = None;
        let mut first = true;
        while let Some(key) = reader.key(first)? {
            keys.insert(&key)?;
            let branches = matches!(key.as_ref(), "all" | "any" | "not");
            if branch.is_some() || (branches && !first) {
                return Err(ReadError::rule(
                    Code::Conflict,
                    "all, any and not stand alone in their object; put the rest in an object of its own",
                )
                .within(&key));
            }
            first = false;
            match key.as_ref() {
                "all" => branch = Some(Node::All(self.nodes(reader, depth, "all")?)),
                "any" => branch = Some(Node::Any(self.nodes(reader, depth, "any")?)),
                "not" => {
                    let node = self.node(reader, depth + 1);
                    let node = node.map_err(|error| error.within("not"))?;
                    branch = Some(Node::Not(Box::new(node)));
                }
                _ => {
                    let json = reader.checked_value().map_err(|error| error.within(&key))?;
                    stated.push((key, json));
                }
            }
        }
        match branch {
            Some(node) => Ok(node),
            None => self.without_branches(&Stated(stated), depth),
        }
    }

    fn nodes(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
        name: &str,
    ) -> Result<Vec<Node>, ReadError> {
        let mut read = || {
            let found = reader.peek()?;
            if found != Peek::Array {
                return Err(ReadError::rule(
                    Code::InvalidType,
                    format!("must be an array of conditions, not {}", found.name()),
                ));
            }
            reader.enter_array()?;
            let mut nodes = Vec::new();
            while reader.element(nodes.is_empty())? {
                let node = self.node(reader, depth + 1);
                nodes.push(node.map_err(|error| error.within(&format!("[{}]", nodes.len())))?);
            }
            match nodes.is_empty() {
                true => Err(ReadError::rule(
                    Code::InvalidLength,
                    "must have one condition at least",
                )),
                false => Ok(nodes),
            }
        };
        read().map_err(|error| error.within(name))
    }

    /// A leaf, or the flat form where that may stand: outermost.
    fn without_branches(&mut self, stated: &Stated<'_>, depth: usize) -> Result<Node, ReadError> {
        let mut forms = FORMS.iter().filter(|(name, _)| stated.get(name).is_some());
        let Some((form, allowed)) = forms.next() else {
            return match depth {
                1 if !stated.0.is_empty() => self.flat(stated),
                _ => Err(ReadError::rule(
                    Code::Required,
                    format!("must have one of {KINDS}"),
                )),
            };
        };
        let unknown = stated
            .0
            .iter()
            .find(|(key, _)| !allowed.contains(&key.as_ref()));
        if let Some((key, _)) = unknown {
            return Err(ReadError::rule(
                Code::InvalidValue,
                format!("is not known beside {form}; use {}", allowed.join(", ")),
            )
            .within(key));
        }
        self.count()?;
        leaf::read(form, stated).map(Node::Leaf)
    }

    fn count(&mut self) -> Result<(), ReadError> {
        self.leaves += 1;
        match self.leaves > MAX_LEAVES {
            true => Err(ReadError::rule(
                Code::InvalidLength,
                format!(
                    "criteria may have {MAX_LEAVES} conditions at most, not counting all, any and not"
                ),
            )),
            false => Ok(()),
        }
    }

    /// Every key, any of its values.
    fn flat(&mut self, stated: &Stated<'_>) -> Result<Node, ReadError> {
        let mut nodes = Vec::new();
        for (name, json) in &stated.0 {
            let read = self.count().and_then(|()| flat_test(name, json));
            let test = read.map_err(|error| error.within(name))?;
            nodes.push(Node::Leaf(Leaf {
                negated: false,
                test,
            }));
        }
        Ok(Node::All(nodes))
    }
}

/// A key of the flat form with its value or list of values.
fn flat_test(name: &str, json: &str) -> Result<Test, ReadError> {
    if let Some(key) = name.strip_prefix(ATTRIBUTE) {
        leaf::check_key(key)?;
    }
    let list = match json.starts_with('[') {
        true => Cow::Borrowed(json),
        false => Cow::Owned(format!("[{json}]")),
    };
    let test = match Of::from_name(name) {
        Some(Of::Text(field)) => values::texts(&list, values::rule(field))
            .map(|texts| Test::Text(field, Texts::OneOf(texts))),
        Some(Of::Tags) => {
            values::texts(&list, values::TAG).map(|texts| Test::Tags(Texts::OneOf(texts)))
        }
        Some(Of::Number(field)) => values::numbers(&list, field.is_money())
            .map(|numbers| Test::Number(field, Numbers::OneOf(numbers))),
        Some(Of::Time(_)) => Err(ReadError::rule(
            Code::InvalidValue,
            "a time has no list of values; write {\"field\": …, \"op\": \"gte\", \"value\": …} within all",
        )),
        None if name.starts_with(ATTRIBUTE) => {
            leaf::attribute(&name[ATTRIBUTE.len()..], Op::In, Some(&list))
        }
        None => Err(ReadError::rule(
            Code::InvalidValue,
            format!("is none of {KINDS}, and no field; {}", known_fields()),
        )),
    };
    // A value that stood alone has no index.
    test.map_err(|error| match (&list, error) {
        (Cow::Owned(_), ReadError::Rule(error)) if error.field.starts_with("[0]") => {
            ReadError::Rule(Box::new(crate::FieldError {
                field: String::new(),
                ..*error
            }))
        }
        (_, error) => error,
    })
}

/// The names of the fields, for messages.
pub(super) fn known_fields() -> String {
    let names: Vec<&str> = FIELDS.iter().map(|field| field.name()).collect();
    format!("fields are {}, {ATTRIBUTE}KEY", names.join(", "))
}
