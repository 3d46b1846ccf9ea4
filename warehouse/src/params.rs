//! Query parameters: values travel beside the SQL and never become part of its text.

use std::fmt::Write;

use schemas::money::Decimal;
use schemas::time::Timestamp;

/// Values for the `{name:Type}` places of a statement.
///
/// ```
/// # use warehouse::Params;
/// let params = Params::new().with("customer", "c-1").with("offsets", vec![1_u64, 2]);
/// # let _ = params;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Value)>);

/// A value in ClickHouse's escaped text form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value for `{name:Type}`.
    ///
    /// Many long values are better sent in several statements: servers refuse one of more than 128 KiB
    /// (`http_max_field_value_size`), which is about 1,800 ids of 16 bytes.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The names and escaped texts.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.0.as_str()))
    }

    /// Adds a value that is in ClickHouse's escaped text form already, as clients send them.
    pub(crate) fn with_escaped(mut self, name: impl Into<String>, text: String) -> Self {
        self.0.push((name.into(), Value(text)));
        self
    }
}

/// Escapes as ClickHouse reads a top-level value: like one field of TabSeparated.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
}

/// Escapes and quotes, as ClickHouse reads strings inside arrays.
fn quote(out: &mut String, text: &str) {
    out.push('\'');
    for c in text.chars() {
        if c == '\'' {
            out.push_str("\\'");
        } else {
            escape(out, c.encode_utf8(&mut [0; 4]));
        }
    }
    out.push('\'');
}

fn quote_bytes(out: &mut String, bytes: &[u8]) {
    out.push('\'');
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
    out.push('\'');
}

fn list<T>(items: &[T], mut write_item: impl FnMut(&mut String, &T)) -> Value {
    let mut out = String::with_capacity(2 + items.len() * 8);
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_item(&mut out, item);
    }
    out.push(']');
    Value(out)
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        escape(&mut out, text);
        Value(out)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value(u8::from(value).to_string())
    }
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Self {
        Value(value.to_text(0))
    }
}

impl From<Timestamp> for Value {
    /// For `DateTime64(6, 'UTC')`.
    fn from(value: Timestamp) -> Self {
        let text = chrono::DateTime::from_timestamp_micros(value.micros())
            .map(|time| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
            .unwrap_or_default();
        Value(text)
    }
}

impl From<[u8; 16]> for Value {
    /// For `FixedString(16)`.
    fn from(bytes: [u8; 16]) -> Self {
        let mut out = String::with_capacity(64);
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
        Value(out)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// For `Nullable(…)`.
    fn from(value: Option<T>) -> Self {
        value.map_or_else(|| Value("\\N".to_owned()), Into::into)
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                Value(value.to_string())
            }
        }

        impl From<&[$ty]> for Value {
            /// For `Array(…)`.
            fn from(values: &[$ty]) -> Self {
                list(values, |out, value| { let _ = write!(out, "{value}"); })
            }
        }

        impl From<Vec<$ty>> for Value {
            /// For `Array(…)`.
            fn from(values: Vec<$ty>) -> Self {
                values.as_slice().into()
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! lists {
    ($($ty:ty => $write:expr),*) => {$(
        impl From<&[$ty]> for Value {
            /// For `Array(…)`.
            fn from(values: &[$ty]) -> Self {
                list(values, $write)
            }
        }

        impl From<Vec<$ty>> for Value {
            /// For `Array(…)`.
            fn from(values: Vec<$ty>) -> Self {
                values.as_slice().into()
            }
        }
    )*};
}
lists!(
    String => |out: &mut String, text: &String| quote(out, text),
    &str => |out: &mut String, text: &&str| quote(out, text),
    [u8; 16] => |out: &mut String, bytes: &[u8; 16]| quote_bytes(out, bytes)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_text() {
        let text = |value: Value| value.0;
        assert_eq!(text("it's \\ a\ttab\n".into()), "it's \\\\ a\\ttab\\n");
        assert_eq!(text(vec!["it's", "\\"].into()), "['it\\'s','\\\\']");
        assert_eq!(text(vec![1_u64, 2].into()), "[1,2]");
        assert_eq!(text(Value::from(None::<u64>)), "\\N");
        assert_eq!(
            text(Timestamp::EARLIEST.into()),
            "1900-01-01 00:00:00.000000"
        );
        assert_eq!(text(Vec::<String>::new().into()), "[]");
        assert!(text([0xab_u8; 16].into()).starts_with("\\xab\\xab"));
    }
}
