//! Cuts what a client sent into a statement, its data and its format, the way ClickHouse's parser does.

use super::error::HttpError;

/// A statement, understood as far as HTTP needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// `INSERT INTO …` whose data follows in a format.
    Insert {
        /// Up to FORMAT or VALUES.
        head: String,
        /// The data's format.
        format: String,
        /// Where the data starts.
        data: usize,
    },
    /// Anything else.
    Other {
        /// Without a closing semicolon.
        sql: String,
        /// Of its FORMAT clause.
        format: Option<String>,
        /// What its first word says.
        verb: Verb,
    },
}

/// Statements that are treated apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// A SELECT, whose answer can be streamed.
    Select,
    /// Ends other users' queries, and is not covered by `readonly`.
    Kill,
    /// Anything else.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a [u8]),
    Semicolon,
    Open,
    Close,
    /// A literal, a quoted name, a number or an operator.
    Something,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Passes whitespace and comments.
    fn skip(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let passed = match rest {
                [b, ..] if b.is_ascii_whitespace() => 1,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len()),
                [b'/', b'*', ..] => {
                    let end = rest.windows(2).skip(2).position(|pair| pair == b"*/");
                    end.map_or(rest.len(), |end| end + 4)
                }
                _ => return,
            };
            self.at += passed;
        }
    }

    /// Passes a quoted text from its opening quote: backslash escapes, and a doubled quote is one.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == b'\\' {
                self.at += 1;
            } else if byte == quote {
                if self.text.get(self.at) != Some(&quote) {
                    break;
                }
                self.at += 1;
            }
        }
        self.at = self.at.min(self.text.len());
    }

    /// Passes `$tag$ … $tag$`; false where none starts here.
    fn heredoc(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(length) = rest[1..].iter().position(|byte| *byte == b'$') else {
            return false;
        };
        let tag = &rest[..length + 2];
        if !tag[1..=length]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        {
            return false;
        }
        let body = &rest[tag.len()..];
        let end = body.windows(tag.len()).position(|window| window == tag);
        self.at += end.map_or(rest.len(), |end| end + 2 * tag.len());
        true
    }

    /// The next token and where it starts.
    fn next(&mut self) -> Option<(usize, Token<'a>)> {
        self.skip();
        let start = self.at;
        let byte = *self.text.get(start)?;
        let token = match byte {
            b'\'' | b'"' | b'`' => {
                self.quoted(byte);
                Token::Something
            }
            b'$' if self.heredoc() => Token::Something,
            b'(' | b'[' | b'{' => {
                self.at += 1;
                Token::Open
            }
            b')' | b']' | b'}' => {
                self.at += 1;
                Token::Close
            }
            b';' => {
                self.at += 1;
                Token::Semicolon
            }
            _ if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 => {
                let rest = &self.text[start..];
                let end = rest.iter().position(|byte| {
                    !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
                });
                self.at += end.unwrap_or(rest.len());
                Token::Word(&self.text[start..self.at])
            }
            _ => {
                self.at += 1;
                Token::Something
            }
        };
        Some((start, token))
    }
}

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

fn utf8(bytes: &[u8]) -> Result<String, HttpError> {
    std::str::from_utf8(bytes)
        .map(|text| text.trim().to_owned())
        .map_err(|_| HttpError::new(62, "Syntax error: the query is not UTF-8"))
}

impl Statement {
    /// Reads one statement.
    pub(super) fn parse(text: &[u8]) -> Result<Self, HttpError> {
        let mut lexer = Lexer { text, at: 0 };
        let first = loop {
            match lexer.next() {
                Some((_, Token::Open)) => {}
                Some((_, Token::Word(word))) => break word,
                _ => break &[],
            }
        };
        if first.is_empty() {
            return Err(HttpError::new(62, "Syntax error: Empty query"));
        }
        if is(first, "INSERT")
            && let Some(insert) = Self::insert(text, Lexer { text, at: lexer.at })?
        {
            return Ok(insert);
        }
        let verb = if is(first, "SELECT") || is(first, "WITH") {
            Verb::Select
        } else if is(first, "KILL") {
            Verb::Kill
        } else {
            Verb::Other
        };
        Self::other(text, verb)
    }

    /// An INSERT with data behind it, or none if the rows come from elsewhere.
    fn insert(text: &[u8], mut lexer: Lexer<'_>) -> Result<Option<Self>, HttpError> {
        while let Some((start, token)) = lexer.next() {
            let Token::Word(word) = token else { continue };
            if is(word, "SELECT") || is(word, "WITH") || is(word, "WATCH") || is(word, "INFILE") {
                return Ok(None);
            }
            if is(word, "VALUES") {
                return Ok(Some(Self::Insert {
                    head: utf8(&text[..start])?,
                    format: "Values".to_owned(),
                    data: lexer.at,
                }));
            }
            if is(word, "FORMAT")
                && let Some((_, Token::Word(format))) = lexer.next()
            {
                return Ok(Some(Self::Insert {
                    head: utf8(&text[..start])?,
                    format: utf8(format)?,
                    data: lexer.at + gap(&text[lexer.at..]),
                }));
            }
        }
        Ok(None)
    }

    fn other(text: &[u8], verb: Verb) -> Result<Self, HttpError> {
        let mut lexer = Lexer { text, at: 0 };
        let (mut depth, mut end) = (0_usize, None);
        let (mut format, mut previous): (Option<&[u8]>, &[u8]) = (None, b"");
        while let Some((start, token)) = lexer.next() {
            if end.is_some() && token != Token::Semicolon {
                return Err(HttpError::new(
                    62,
                    "Syntax error (Multi-statements are not allowed)",
                ));
            }
            let mut word_here: &[u8] = b"";
            match token {
                Token::Semicolon => end = end.or(Some(start)),
                Token::Open => depth += 1,
                Token::Close => depth = depth.saturating_sub(1),
                Token::Word(word) if depth == 0 => {
                    if is(word, "OUTFILE") || is(word, "INFILE") {
                        return Err(HttpError::new(
                            344,
                            "files of the server cannot be read or written over HTTP",
                        ));
                    }
                    if is(previous, "FORMAT") {
                        format = Some(word);
                    }
                    word_here = word;
                }
                Token::Word(_) | Token::Something => {}
            }
            previous = word_here;
        }
        Ok(Self::Other {
            sql: utf8(&text[..end.unwrap_or(text.len())])?,
            format: format.map(utf8).transpose()?,
            verb,
        })
    }
}

/// The blanks and the one line break between FORMAT and the data.
fn gap(rest: &[u8]) -> usize {
    let blanks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    match &rest[blanks..] {
        [b'\r', b'\n', ..] => blanks + 2,
        [b'\n', ..] => blanks + 1,
        _ => blanks,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn insert(text: &str) -> (String, String, String) {
        match Statement::parse(text.as_bytes()).unwrap() {
            Statement::Insert { head, format, data } => (head, format, text[data..].to_owned()),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn other(text: &str) -> (String, Option<String>, Verb) {
        match Statement::parse(text.as_bytes()).unwrap() {
            Statement::Other { sql, format, verb } => (sql, format, verb),
            insert => panic!("{text}: {insert:?}"),
        }
    }

    #[test]
    fn inserts_are_cut_before_their_data() {
        let cut = |head: &str, format: &str, data: &str| {
            (head.to_owned(), format.to_owned(), data.to_owned())
        };
        assert_eq!(
            insert("INSERT INTO t (a, b) FORMAT CSV\n1,'FORMAT x'\n"),
            cut("INSERT INTO t (a, b)", "CSV", "1,'FORMAT x'\n")
        );
        assert_eq!(
            insert("insert into t values (1)"),
            cut("insert into t", "Values", " (1)")
        );
        assert_eq!(
            insert(
                "/* FORMAT a */ INSERT INTO `FORMAT x` SETTINGS a='VALUES' FORMAT  Native \r\n\n"
            ),
            cut(
                "/* FORMAT a */ INSERT INTO `FORMAT x` SETTINGS a='VALUES'",
                "Native",
                "\n"
            )
        );
        assert_eq!(
            insert("INSERT INTO t FORMAT JSONEachRow {\"a\":1}").2,
            "{\"a\":1}"
        );
    }

    #[test]
    fn other_statements_keep_their_text() {
        let text = "INSERT INTO t SELECT 1 FORMAT x";
        assert_eq!(
            other(text),
            (text.to_owned(), Some("x".to_owned()), Verb::Other)
        );
        assert_eq!(
            other("SELECT 'a;b', $$;$$ -- ; FORMAT y\n FROM t FORMAT JSON ; "),
            (
                "SELECT 'a;b', $$;$$ -- ; FORMAT y\n FROM t FORMAT JSON".to_owned(),
                Some("JSON".to_owned()),
                Verb::Select
            )
        );
        assert_eq!(other("(SELECT format('{}', 'x'))").1, None);
        assert_eq!(other("SELECT '\\'; DROP', 'it''s; x'").2, Verb::Select);
        assert_eq!(other("SHOW TABLES").2, Verb::Other);
        assert_eq!(other("/* x */ kill QUERY WHERE 1").2, Verb::Kill);
    }

    #[test]
    fn more_than_one_statement_and_files_are_refused() {
        for (text, code) in [
            ("SELECT 1; DROP TABLE t", 62),
            ("SELECT 1;;SELECT 2", 62),
            ("  -- nothing\n", 62),
            ("SELECT 1 INTO OUTFILE '/tmp/x'", 344),
            ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", 344),
        ] {
            assert_eq!(
                Statement::parse(text.as_bytes()).unwrap_err().code,
                code,
                "{text}"
            );
        }
        assert!(Statement::parse(b"SELECT '\xff'").is_err());
        for cut_short in ["SELECT 'a", "SELECT /* ", "SELECT $a$", "SELECT `a\\", "$"] {
            let _ = Statement::parse(cut_short.as_bytes());
        }
    }
}
