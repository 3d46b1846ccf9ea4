//! A strict JSON reader over text: finds where values end, keeps numbers as they were written, and
//! tells a text that is not JSON from JSON that breaks a rule of ours.
//!
//! The rules: no key twice in one object, nesting of 64 at most, no lone surrogates, no NUL, no NaN or infinities.

use std::borrow::Cow;

use crate::error::{Code, FieldError};

#[path = "json_keys.rs"]
mod keys;

pub use keys::{Keys, duplicate_key};

/// Objects and arrays within each other, at most.
pub const MAX_DEPTH: u32 = 64;

/// What stopped the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The text is not JSON: byte offset, and what was expected there.
    Syntax {
        /// Byte offset into the text.
        at: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// It is JSON and breaks a rule.
    Rule(Box<FieldError>),
}

impl ReadError {
    /// A broken rule at the value itself; parents add their names with [`ReadError::within`].
    pub fn rule(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Rule(Box::new(FieldError::new("", code, detail)))
    }

    /// The same error below a parent field.
    pub fn within(self, parent: &str) -> Self {
        match self {
            Self::Rule(error) => Self::Rule(Box::new(error.within(parent))),
            syntax => syntax,
        }
    }

    /// As an error of one event.
    pub fn into_field_error(self) -> FieldError {
        match self {
            Self::Rule(error) => *error,
            Self::Syntax { at, expected } => FieldError::new(
                "",
                Code::Malformed,
                format!("not JSON at byte {at}: expected {expected}"),
            ),
        }
    }
}

type Read<T> = Result<T, ReadError>;

/// The kind of value that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, also NaN and infinities (which are then refused by rule).
    Number,
    /// A string.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Peek {
    /// The type's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Peek::Null => "null",
            Peek::Bool => "a boolean",
            Peek::Number => "a number",
            Peek::Text => "a string",
            Peek::Array => "an array",
            Peek::Object => "an object",
        }
    }
}

/// Reads one JSON text from front to back.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a text.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// A reader at a byte of the text.
    pub fn at(text: &'a str, at: usize) -> Self {
        Self { text, at, depth: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes on at another byte of the text, where a value that another reader has read ends.
    pub fn move_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The text from `start` to here.
    pub fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn syntax<T>(&self, expected: &'static str) -> Read<T> {
        Err(ReadError::Syntax {
            at: self.at,
            expected,
        })
    }

    /// Skips white space and shows the next byte, 0 at the end.
    fn next_byte(&mut self) -> u8 {
        let bytes = self.bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Whether only white space is left.
    pub fn at_end(&mut self) -> bool {
        self.next_byte() == 0 && self.at >= self.text.len()
    }

    /// Requires that only white space is left.
    pub fn finish(&mut self) -> Read<()> {
        match self.at_end() {
            true => Ok(()),
            false => self.syntax("the end"),
        }
    }

    /// The kind of the next value, which starts at [`Reader::position`] afterwards.
    pub fn peek(&mut self) -> Read<Peek> {
        match self.next_byte() {
            b'"' => Ok(Peek::Text),
            b'{' => Ok(Peek::Object),
            b'[' => Ok(Peek::Array),
            b'-' | b'0'..=b'9' | b'N' | b'I' => Ok(Peek::Number),
            b't' | b'f' => Ok(Peek::Bool),
            b'n' => Ok(Peek::Null),
            _ => self.syntax("a value"),
        }
    }

    fn literal(&mut self, word: &'static str) -> bool {
        let found = self.bytes()[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// Reads `null`.
    pub fn null(&mut self) -> Read<()> {
        self.next_byte();
        match self.literal("null") {
            true => Ok(()),
            false => self.syntax("null"),
        }
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Read<bool> {
        self.next_byte();
        if self.literal("true") {
            Ok(true)
        } else if self.literal("false") {
            Ok(false)
        } else {
            self.syntax("true or false")
        }
    }

    /// Reads a number and returns it as it was written.
    pub fn number(&mut self) -> Read<&'a str> {
        self.next_byte();
        let bytes = self.bytes();
        let start = self.at;
        if ["NaN", "Infinity", "-Infinity", "-NaN"]
            .into_iter()
            .any(|word| self.literal(word))
        {
            return Err(ReadError::rule(
                Code::NotANumber,
                "send a finite number, or leave the field out",
            ));
        }
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
        let whole = at;
        at = digits(at);
        let leading_zero = at - whole > 1 && bytes[whole] == b'0';
        if at == whole || leading_zero {
            self.at = at;
            return self.syntax("a digit, and no leading zero");
        }
        if bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = digits(fraction);
            if at == fraction {
                self.at = at;
                return self.syntax("a digit after the point");
            }
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let exponent = at;
            at = digits(exponent);
            if at == exponent {
                self.at = at;
                return self.syntax("a digit of the exponent");
            }
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    /// Reads a string; borrowed where it has no escapes.
    pub fn string(&mut self) -> Read<Cow<'a, str>> {
        if self.next_byte() != b'"' {
            return self.syntax("a string");
        }
        let start = self.at + 1;
        self.at = plain_until(self.bytes(), start);
        if self.bytes().get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut broken = None;
        let mut unescaped = String::new();
        let mut from = start;
        loop {
            match self.bytes().get(self.at) {
                Some(b'"') => {
                    unescaped.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    // The whole string is read before a rule speaks, so that the text after it can be read on.
                    return match broken {
                        None => Ok(Cow::Owned(unescaped)),
                        Some(error) => Err(error),
                    };
                }
                Some(b'\\') => {
                    unescaped.push_str(&self.text[from..self.at]);
                    match self.escape()? {
                        Ok(character) => unescaped.push(character),
                        Err(error) => broken = Some(error),
                    }
                    from = self.at;
                    self.at = plain_until(self.bytes(), from);
                }
                Some(_) => return self.syntax("no raw control character in a string (escape it)"),
                None => return self.syntax("the end of the string"),
            }
        }
    }

    /// Reads one escape; the inner error is a broken rule.
    fn escape(&mut self) -> Read<Result<char, ReadError>> {
        self.at += 1;
        let byte = self.bytes().get(self.at).copied().unwrap_or(0);
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.syntax("an escape: one of \" \\ / b f n r t u"),
        };
        self.at += 1;
        Ok(Ok(character))
    }

    fn unicode_escape(&mut self) -> Read<Result<char, ReadError>> {
        let lone = || {
            ReadError::rule(
                Code::LoneSurrogate,
                "send both halves of a surrogate pair, or none",
            )
        };
        let first = self.hex4()?;
        let code = match first {
            0xD800..=0xDBFF => {
                let bytes = self.bytes();
                if bytes.get(self.at) != Some(&b'\\') || bytes.get(self.at + 1) != Some(&b'u') {
                    return Ok(Err(lone()));
                }
                let resume = self.at;
                self.at += 1;
                let second = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    self.at = resume;
                    return Ok(Err(lone()));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            other => other,
        };
        Ok(match char::from_u32(code) {
            Some('\0') => Err(ReadError::rule(
                Code::NulCharacter,
                "leave the character NUL out",
            )),
            Some(character) => Ok(character),
            None => Err(lone()),
        })
    }

    /// Reads the `uXXXX` of an escape.
    fn hex4(&mut self) -> Read<u32> {
        let start = self.at + 1;
        let Some(digits) = self.bytes().get(start..start + 4) else {
            return self.syntax("four hexadecimal digits");
        };
        let mut value = 0;
        for digit in digits {
            match char::from(*digit).to_digit(16) {
                Some(digit) => value = value * 16 + digit,
                None => return self.syntax("four hexadecimal digits"),
            }
        }
        self.at = start + 4;
        Ok(value)
    }

    fn deeper(&mut self) -> Read<()> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(ReadError::rule(
                Code::TooDeep,
                "nest objects and arrays at most 64 deep",
            )),
            false => Ok(()),
        }
    }

    /// Enters an object; then [`Reader::key`] gives its keys until it answers `None`.
    pub fn enter_object(&mut self) -> Read<()> {
        if self.next_byte() != b'{' {
            return self.syntax("an object");
        }
        self.at += 1;
        self.deeper()
    }

    /// The next key of the object entered last, with the colon read; `None` at its end. `first` on the first call.
    pub fn key(&mut self, first: bool) -> Read<Option<Cow<'a, str>>> {
        match self.next_byte() {
            b'}' if first => return self.leave(),
            b'}' if !first => return self.leave(),
            b',' if !first => self.at += 1,
            b'"' if first => {}
            _ => return self.syntax(if first { "a key or }" } else { ", or }" }),
        }
        if self.next_byte() != b'"' {
            return self.syntax("a key");
        }
        let key = self.string()?;
        if self.next_byte() != b':' {
            return self.syntax(": after the key");
        }
        self.at += 1;
        Ok(Some(key))
    }

    fn leave<T>(&mut self) -> Read<Option<T>> {
        self.at += 1;
        self.depth -= 1;
        Ok(None)
    }

    /// Enters an array; then [`Reader::element`] says whether another value follows.
    pub fn enter_array(&mut self) -> Read<()> {
        if self.next_byte() != b'[' {
            return self.syntax("an array");
        }
        self.at += 1;
        self.deeper()
    }

    /// Whether another element follows in the array entered last. `first` on the first call.
    pub fn element(&mut self, first: bool) -> Read<bool> {
        match self.next_byte() {
            b']' => self.leave::<()>().map(|_| false),
            b',' if !first => {
                self.at += 1;
                Ok(true)
            }
            _ if first => Ok(true),
            _ => self.syntax(", or ]"),
        }
    }

    /// Reads any value, checks every rule inside it, and returns it as it was written.
    pub fn checked_value(&mut self) -> Read<&'a str> {
        let kind = self.peek()?;
        let start = self.at;
        match kind {
            Peek::Null => self.null()?,
            Peek::Bool => self.boolean().map(drop)?,
            Peek::Number => self.number().map(drop)?,
            Peek::Text => self.string().map(drop)?,
            Peek::Array => {
                self.enter_array()?;
                let mut first = true;
                while self.element(first)? {
                    first = false;
                    self.checked_value()?;
                }
            }
            Peek::Object => {
                self.enter_object()?;
                let mut keys = Keys::default();
                let mut first = true;
                while let Some(key) = self.key(first)? {
                    first = false;
                    keys.insert(&key)?;
                    self.checked_value().map_err(|error| error.within(&key))?;
                }
            }
        }
        Ok(self.since(start))
    }

    /// Reads over any value, however deep, checking only that it is JSON (NaN and infinities pass: a rule
    /// refuses them elsewhere). This finds the end of an event that broke a rule.
    pub fn skip_value(&mut self) -> Read<()> {
        // One bit a level, true for objects: a million levels cost no stack.
        let mut levels: Vec<bool> = Vec::new();
        loop {
            let opened = match self.peek()? {
                Peek::Null => self.null().map(|()| false)?,
                Peek::Bool => self.boolean().map(|_| false)?,
                Peek::Number => self
                    .number()
                    .map(drop)
                    .or_else(rule_passes)
                    .map(|()| false)?,
                Peek::Text => self
                    .string()
                    .map(drop)
                    .or_else(rule_passes)
                    .map(|()| false)?,
                Peek::Array => {
                    self.at += 1;
                    levels.push(false);
                    true
                }
                Peek::Object => {
                    self.at += 1;
                    levels.push(true);
                    true
                }
            };
            if !self.skip_to_next(&mut levels, opened)? {
                return Ok(());
            }
        }
    }

    /// After a value or an opening bracket: moves to the next value; false when the outermost value has ended.
    fn skip_to_next(&mut self, levels: &mut Vec<bool>, mut opened: bool) -> Read<bool> {
        loop {
            let Some(&in_object) = levels.last() else {
                return Ok(false);
            };
            match (self.next_byte(), in_object) {
                (b'}', true) | (b']', false) => {
                    self.at += 1;
                    levels.pop();
                    opened = false;
                    continue;
                }
                (b',', _) if !opened => self.at += 1,
                _ if opened => {}
                _ => return self.syntax(", or the end of the object or array"),
            }
            if in_object {
                self.string().map(drop).or_else(rule_passes)?;
                if self.next_byte() != b':' {
                    return self.syntax(": after the key");
                }
                self.at += 1;
            }
            return Ok(true);
        }
    }
}

fn rule_passes(error: ReadError) -> Read<()> {
    match error {
        ReadError::Rule(_) => Ok(()),
        syntax => Err(syntax),
    }
}

/// The end of plain string content: the next `"`, `\` or control byte at or after `at`.
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at a time: a byte is zero in `x` exactly where the classic borrow trick sets its high bit.
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes([
            chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
        ]);
        let quote = word ^ (ONES * u64::from(b'"'));
        let slash = word ^ (ONES * u64::from(b'\\'));
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes
        .get(at)
        .is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
    {
        at += 1;
    }
    at
}

/// Appends a text as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    if text
        .bytes()
        .any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
    {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
