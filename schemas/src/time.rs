//! Points in time, in microseconds since 1970 UTC, and their RFC 3339 form.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A text that is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write an RFC 3339 time with its offset, such as 2026-03-01T12:30:00Z, or epoch milliseconds"
)]
pub struct ParseTimeError;

impl Timestamp {
    /// 1900-01-01T00:00:00Z, the earliest an event may have happened.
    pub const EARLIEST: Timestamp = Timestamp(-2_208_988_800 * SECOND);
    /// 2299-12-31T23:59:59.999999Z, the latest time a table keeps.
    pub const LATEST: Timestamp = Timestamp(10_413_792_000 * SECOND - 1);

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since 1970; `None` on overflow.
    pub fn from_millis(millis: i64) -> Option<Self> {
        millis.checked_mul(1000).map(Self)
    }

    /// This time, or the nearest that a table keeps.
    pub fn kept(self) -> Self {
        self.clamp(Self::EARLIEST, Self::LATEST)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This time moved by so many microseconds.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Midnight, UTC, with which a day since 1970 begins.
    pub const fn of_day(day: i32) -> Self {
        Self(day as i64 * DAY)
    }

    /// Whole days since 1970, UTC, rounded down.
    pub const fn day(self) -> i32 {
        self.0.div_euclid(DAY) as i32
    }

    /// Reads RFC 3339 with `Z` or an offset, digits below the microsecond cut.
    pub fn parse(text: &str) -> Result<Self, ParseTimeError> {
        let bytes = text.as_bytes();
        if bytes.len() < 20
            || bytes[4] != b'-'
            || bytes[7] != b'-'
            || bytes[13] != b':'
            || bytes[16] != b':'
        {
            return Err(ParseTimeError);
        }
        if !matches!(bytes[10], b'T' | b't' | b' ') {
            return Err(ParseTimeError);
        }
        let number = |range: std::ops::Range<usize>| -> Result<i64, ParseTimeError> {
            bytes[range].iter().try_fold(0, |value, byte| match byte {
                b'0'..=b'9' => Ok(value * 10 + i64::from(byte - b'0')),
                _ => Err(ParseTimeError),
            })
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        // A leap second counts as the start of the next one.
        if hour > 23 || minute > 59 || second > 60 {
            return Err(ParseTimeError);
        }
        let date =
            NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32).ok_or(ParseTimeError)?;
        let mut at = 19;
        let mut micros = 0;
        if bytes[at] == b'.' {
            let start = at + 1;
            at = start;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at == start {
                return Err(ParseTimeError);
            }
            let kept = (at - start).min(6);
            micros = number(start..start + kept)? * 10_i64.pow(6 - kept as u32);
        }
        let offset = match &bytes[at..] {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
                if hours > 23 || minutes > 59 {
                    return Err(ParseTimeError);
                }
                let seconds = hours * 3600 + minutes * 60;
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return Err(ParseTimeError),
        };
        let days = i64::from(date.to_epoch_days());
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Ok(Self(seconds * SECOND + micros))
    }

    fn date_time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }

    /// The UTC calendar month, `YYYY-MM`.
    pub fn month(self) -> String {
        self.date_time()
            .map_or_else(|| "0000-00".into(), |time| time.format("%Y-%m").to_string())
    }

    /// The UTC calendar date.
    pub fn date(self) -> NaiveDate {
        self.date_time()
            .map_or(NaiveDate::MIN, |time| time.date_naive())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(time) = self.date_time() else {
            return write!(f, "{}us", self.0);
        };
        let form = match self.0.rem_euclid(SECOND) {
            0 => "%Y-%m-%dT%H:%M:%SZ",
            micros if micros % 1000 == 0 => "%Y-%m-%dT%H:%M:%S%.3fZ",
            _ => "%Y-%m-%dT%H:%M:%S%.6fZ",
        };
        write!(f, "{}", time.format(form))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_and_written() {
        for (text, shown) in [
            ("2026-03-01T12:30:00Z", "2026-03-01T12:30:00Z"),
            ("2026-03-01t12:30:00+02:00", "2026-03-01T10:30:00Z"),
            ("1900-01-01T00:00:00Z", "1900-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            (
                "2026-03-01T12:30:00.1234567Z",
                "2026-03-01T12:30:00.123456Z",
            ),
            ("1969-12-31T23:59:59.5-00:00", "1969-12-31T23:59:59.500Z"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(
            Timestamp::parse("1900-01-01T00:00:00Z").unwrap(),
            Timestamp::EARLIEST
        );
    }

    #[test]
    fn a_time_needs_its_offset_and_a_real_date() {
        for text in [
            "2026-03-01T12:30:00",
            "2026-02-30T00:00:00Z",
            "2026-03-01",
            "2026-03-01T24:00:00Z",
            "2026-03-01T12:30:00.Z",
            "2026-03-01T12:30:00+0200",
            "20260301T123000Z",
            "2026-03-01T12:30:00Zx",
            "",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_and_months_are_utc() {
        let time = Timestamp::parse("1969-12-31T23:00:00Z").unwrap();
        assert_eq!((time.day(), time.month().as_str()), (-1, "1969-12"));
    }
}
