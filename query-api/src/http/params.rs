//! Query parameters: each is taken by name, and one that nobody took is refused.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::NaiveDate;
use chrono_tz::Tz;
use percent_encoding::percent_decode_str;
use schemas::{Currency, Problem, ProblemKind, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::cursor;

/// The query parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    broken: Option<Problem>,
    question: Question,
}

/// Tells one question from another, whichever page of it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Question(u64);

impl Question {
    /// The cursor of its page that begins after `place`.
    pub(crate) fn cursor<T: Serialize>(self, place: &T) -> String {
        cursor::encode(&(self, place))
    }
}

/// A part of a path, percent-encoded.
pub(crate) fn encoded(part: &str) -> String {
    percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A refusal that names the parameter.
pub(crate) fn refuse(name: &str, detail: impl Into<String>) -> Problem {
    Problem::new(
        ProblemKind::BadRequest,
        format!("{name}: {}", detail.into()),
    )
    .field(name)
}

impl Params {
    fn read(query: &str) -> Self {
        let mut params = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                let detail =
                    format!("{pair}: percent-encode the UTF-8 of what is no letter or digit");
                params.broken = Some(Problem::new(ProblemKind::BadRequest, detail));
                continue;
            };
            if params.pairs.iter().any(|(other, _)| *other == name) {
                params.broken = Some(refuse(&name, "give it once"));
            }
            params.pairs.push((name, value));
        }
        let mut question: Vec<_> = params
            .pairs
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "cursor" | "limit"))
            .collect();
        question.sort_unstable();
        params.question = Question(xxh3_64(format!("{question:?}").as_bytes()));
        params
    }

    /// Takes the place where the page before this one ended.
    pub(crate) fn place<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Problem> {
        let Some(text) = self.text("cursor") else {
            return Ok(None);
        };
        let (question, place): (Question, T) = cursor::decode(&text)?;
        match question == self.question {
            true => Ok(Some(place)),
            false => Err(cursor::foreign()),
        }
    }

    /// Takes a parameter as text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.pairs.iter().position(|(other, _)| other == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    /// Takes a parameter and parses it; `form` says what it must be.
    pub(crate) fn parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        form: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| refuse(name, form))
    }

    /// Takes one of several words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                Err(refuse(name, format!("use one of {}", words.join(", "))))
            }
        }
    }

    /// Takes a whole number from 1 to `most`.
    pub(crate) fn count(
        &mut self,
        name: &'static str,
        default: usize,
        most: usize,
    ) -> Result<usize, Problem> {
        let form = format!("a whole number from 1 to {most}");
        match self.parsed(name, &form)? {
            None => Ok(default),
            Some(count) if (1..=most).contains(&count) => Ok(count),
            Some(_) => Err(refuse(name, form)),
        }
    }

    /// Takes a calendar date.
    pub(crate) fn date(&mut self, name: &'static str) -> Result<Option<NaiveDate>, Problem> {
        let form = "a date such as 2026-03-01";
        let date: Option<NaiveDate> = self.parsed(name, form)?;
        // Beyond what a time stamp in microseconds holds nothing can have happened.
        let (first, last) = (
            NaiveDate::from_ymd_opt(1, 1, 1),
            NaiveDate::from_ymd_opt(9999, 12, 31),
        );
        match date {
            Some(date) if Some(date) < first || Some(date) > last => Err(refuse(name, form)),
            date => Ok(date),
        }
    }

    /// Takes a point in time.
    pub(crate) fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let millis = text.parse().ok().and_then(Timestamp::from_millis);
        match millis.map_or_else(|| Timestamp::parse(&text), Ok) {
            Ok(time) => Ok(Some(time)),
            Err(error) => Err(refuse(name, error.to_string())),
        }
    }

    /// Takes an ISO 4217 code.
    pub(crate) fn currency(&mut self, default: Currency) -> Result<Currency, Problem> {
        let form = "an ISO 4217 code in upper case, such as USD";
        Ok(self.parsed("currency", form)?.unwrap_or(default))
    }

    /// Takes an IANA time zone.
    pub(crate) fn timezone(&mut self, default: &str) -> Result<Tz, Problem> {
        let form = "an IANA time zone such as Europe/Berlin";
        match self.parsed("tz", form)? {
            Some(zone) => Ok(zone),
            None => Ok(default.parse().unwrap_or(Tz::UTC)),
        }
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<Question, Problem> {
        if let Some(problem) = self.broken {
            return Err(problem);
        }
        let Some((name, _)) = self.pairs.first() else {
            return Ok(self.question);
        };
        let known = match self.known.is_empty() {
            true => "none".to_owned(),
            false => self.known.join(", "),
        };
        Err(refuse(
            name,
            format!("an unknown parameter; known here: {known}"),
        ))
    }
}

fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let whole = bytes.iter().enumerate().all(|(at, byte)| {
        let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        *byte != b'%' || (hex(at + 1) && hex(at + 2))
    });
    let spaced = text.replace('+', " ");
    match whole {
        true => percent_decode_str(&spaced)
            .decode_utf8()
            .ok()
            .map(Into::into),
        false => None,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_once_and_the_rest_is_refused() {
        let mut params = Params::read("q=a%2Bb+c&limit=5&tz=Europe%2FBerlin");
        assert_eq!(params.text("q").unwrap(), "a+b c");
        assert_eq!(params.count("limit", 50, 200).unwrap(), 5);
        assert_eq!(params.timezone("UTC").unwrap(), Tz::Europe__Berlin);
        params.finish().unwrap();

        let mut params = Params::read("limit=5&colour=red");
        params.count("limit", 50, 200).unwrap();
        let problem = params.finish().unwrap_err();
        assert_eq!(problem.more["field"], "colour");
    }

    #[test]
    fn what_is_malformed_is_named() {
        for query in ["limit=0", "limit=201", "limit=x", "limit=", "limit=-1"] {
            let problem = Params::read(query).count("limit", 50, 200).unwrap_err();
            assert_eq!(problem.more["field"], "limit", "{query}");
        }
        assert!(Params::read("a=%zz").finish().is_err());
        assert!(Params::read("a=%ff").finish().is_err());
        let mut twice = Params::read("q=1&q=2");
        twice.text("q");
        assert_eq!(twice.finish().unwrap_err().more["field"], "q");
        assert!(Params::read("from=2026-02-30").date("from").is_err());
        assert!(
            Params::read("currency=usd")
                .currency(Currency::USD)
                .is_err()
        );
        assert!(Params::read("tz=Mars").timezone("UTC").is_err());
        assert_eq!(
            Params::read("since=1500").time("since").unwrap(),
            Timestamp::from_millis(1500)
        );
    }
}
