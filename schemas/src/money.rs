//! Exact decimals and currencies: money never passes through binary floating point.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use iso_currency::Currency as Iso;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Decimal places kept.
pub const SCALE: u32 = 6;
const UNIT: i128 = 1_000_000;
/// Digits allowed before the point in what clients state.
const WHOLE_DIGITS: usize = 15;
/// The first value that has 16 digits before the point.
const BOUND: i128 = 1_000_000_000_000_000 * UNIT;

/// A decimal number with 6 places: amounts, prices and quantities. Sums are exact up to 32 digits before the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Decimal(i128);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with at most one point.
    #[error("write a decimal number such as 12.50, without exponent, sign + or separators")]
    Malformed,
    /// More digits than are kept.
    #[error("at most 15 digits before the point and 6 after it")]
    OutOfRange,
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Decimal = Decimal(0);
    /// One whole.
    pub const ONE: Decimal = Decimal(UNIT);

    /// From millionths.
    pub const fn from_micros(micros: i128) -> Self {
        Self(micros)
    }

    /// From a whole number.
    pub const fn from_whole(whole: i64) -> Self {
        Self(whole as i128 * UNIT)
    }

    /// In millionths: the integer behind Arrow's `decimal128(38, 6)`.
    pub const fn micros(self) -> i128 {
        self.0
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Reads digits as stated: an optional `-`, 1 to 15 digits, optionally a point and 1 to 6 digits.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (negative, digits) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            _ => (false, text),
        };
        let mut value: i128 = 0;
        let mut whole = 0;
        let mut places: Option<usize> = None;
        for &byte in digits {
            match (byte, &mut places) {
                (b'0'..=b'9', None) => whole += 1,
                (b'0'..=b'9', Some(places)) => *places += 1,
                (b'.', None) if whole > 0 => {
                    places = Some(0);
                    continue;
                }
                _ => return Err(DecimalError::Malformed),
            }
            if whole > WHOLE_DIGITS || places.is_some_and(|places| places > SCALE as usize) {
                return if digits.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
                    Err(DecimalError::OutOfRange)
                } else {
                    Err(DecimalError::Malformed)
                };
            }
            value = value * 10 + i128::from(byte - b'0');
        }
        if whole == 0 || places == Some(0) {
            return Err(DecimalError::Malformed);
        }
        for _ in places.unwrap_or(0)..SCALE as usize {
            value *= 10;
        }
        Ok(Self(if negative { -value } else { value }))
    }

    /// The product, half away from zero at the sixth place; `None` beyond 15 digits before the point.
    pub fn checked_mul(self, other: Decimal) -> Option<Decimal> {
        let product = self.0.checked_mul(other.0)?;
        let rounded = product.checked_add(product.signum() * (UNIT / 2))? / UNIT;
        (rounded.abs() < BOUND).then_some(Decimal(rounded))
    }

    /// This amount shared by `count`, half up to `places` decimals (away from zero at the half).
    pub fn divided(self, count: u64, places: u32) -> Option<Decimal> {
        let count = i128::from(count);
        if count == 0 {
            return None;
        }
        let step = 10_i128.pow(SCALE - places.min(SCALE));
        let half = count * step / 2;
        let quotient = (self.0.abs() + half) / (count * step) * step;
        Some(Decimal(if self.0 < 0 { -quotient } else { quotient }))
    }

    /// As a text with at least `places` decimals, and more only where digits need them.
    pub fn to_text(self, places: u32) -> String {
        let magnitude = self.0.unsigned_abs();
        let (whole, mut fraction) = (magnitude / UNIT as u128, magnitude % UNIT as u128);
        let mut width = SCALE;
        while width > places && fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        match width {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{fraction:0width$}", width = width as usize),
        }
    }

    /// The nearest binary number, for statistics only.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / UNIT as f64
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(0))
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    /// Reads what `Serialize` writes: sums too, which have more digits before the point than a client may state.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = [whole, fraction]
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        if !plain || whole.is_empty() || fraction.len() > SCALE as usize {
            return Err(serde::de::Error::custom(DecimalError::Malformed));
        }
        let magnitude: i128 = format!("{whole}{fraction:0<6}")
            .parse()
            .map_err(|_| serde::de::Error::custom(DecimalError::OutOfRange))?;
        Ok(Self(if text.starts_with('-') {
            -magnitude
        } else {
            magnitude
        }))
    }
}

impl Add for Decimal {
    type Output = Decimal;
    fn add(self, other: Decimal) -> Decimal {
        Decimal(self.0 + other.0)
    }
}

impl Sub for Decimal {
    type Output = Decimal;
    fn sub(self, other: Decimal) -> Decimal {
        Decimal(self.0 - other.0)
    }
}

impl AddAssign for Decimal {
    fn add_assign(&mut self, other: Decimal) {
        self.0 += other.0;
    }
}

impl SubAssign for Decimal {
    fn sub_assign(&mut self, other: Decimal) {
        self.0 -= other.0;
    }
}

impl Decimal {
    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Decimal {
        Decimal(self.0.abs())
    }
}

impl Neg for Decimal {
    type Output = Decimal;
    fn neg(self) -> Decimal {
        Decimal(-self.0)
    }
}

impl Sum for Decimal {
    fn sum<I: Iterator<Item = Decimal>>(values: I) -> Decimal {
        values.fold(Decimal::ZERO, Add::add)
    }
}

/// An ISO 4217 currency in force, by its three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// A code that is not in ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use an ISO 4217 code in upper case, such as USD")]
pub struct UnknownCurrency;

impl Currency {
    /// The United States dollar, the default of a new organization.
    pub const USD: Currency = Currency(*b"USD");

    /// Three upper-case letters that ISO 4217 lists.
    pub fn parse(code: &str) -> Result<Self, UnknownCurrency> {
        let letters: [u8; 3] = code.as_bytes().try_into().map_err(|_| UnknownCurrency)?;
        match code == "USD"
            || (letters.iter().all(u8::is_ascii_uppercase) && Iso::from_code(code).is_some())
        {
            true => Ok(Self(letters)),
            false => Err(UnknownCurrency),
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Decimal places of the currency's minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn decimals(self) -> u32 {
        Iso::from_code(self.as_str())
            .and_then(|iso| iso.exponent())
            .map_or(2, u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::parse(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_kept_as_stated() {
        for (text, micros) in [
            ("0", 0),
            ("-0", 0),
            ("1.5", 1_500_000),
            ("-3.000001", -3_000_001),
            ("007", 7_000_000),
        ] {
            assert_eq!(
                Decimal::parse(text.as_bytes()).unwrap().micros(),
                micros,
                "{text}"
            );
        }
        let most = "999999999999999.999999";
        assert_eq!(most.parse::<Decimal>().unwrap().to_string(), most);
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in [
            "", "-", ".5", "5.", "1e3", "+1", "1,5", " 1", "NaN", "0x1", "1.2.3", "--1",
        ] {
            assert_eq!(
                text.parse::<Decimal>(),
                Err(DecimalError::Malformed),
                "{text}"
            );
        }
        for text in ["1000000000000000", "0.0000001"] {
            assert_eq!(
                text.parse::<Decimal>(),
                Err(DecimalError::OutOfRange),
                "{text}"
            );
        }
    }

    #[test]
    fn text_has_the_places_of_the_currency_and_no_idle_zeros() {
        assert_eq!(Decimal::from_whole(5).to_text(2), "5.00");
        assert_eq!(Decimal::from_micros(-1_250_000).to_text(2), "-1.25");
        assert_eq!(Decimal::from_micros(1_234_500).to_text(2), "1.2345");
        assert_eq!(Decimal::from_whole(5).to_text(0), "5");
    }

    #[test]
    fn averages_round_half_up() {
        assert_eq!(
            Decimal::from_micros(10_010_000)
                .divided(2, 2)
                .unwrap()
                .to_text(2),
            "5.01"
        );
        assert_eq!(
            Decimal::from_whole(10).divided(3, 2).unwrap().to_text(2),
            "3.33"
        );
        assert_eq!(Decimal::from_whole(1).divided(0, 2), None);
        assert_eq!(
            Decimal::from_whole(3).divided(2, 0).unwrap().to_text(0),
            "2"
        );
    }

    #[test]
    fn products_round_at_the_sixth_place_and_are_bounded() {
        let third: Decimal = "0.333333".parse().unwrap();
        assert_eq!(
            third
                .checked_mul("0.5".parse().unwrap())
                .unwrap()
                .to_string(),
            "0.166667"
        );
        let most: Decimal = "999999999999999".parse().unwrap();
        assert_eq!(most.checked_mul(most), None);
        assert_eq!(most.checked_mul(Decimal::from_whole(2)), None);
        // One below the largest number there is: rounding would go beyond it.
        let left: Decimal = "18446744073709.551614".parse().unwrap();
        let right: Decimal = "9223372036854.775809".parse().unwrap();
        assert_eq!(left.micros() * right.micros(), i128::MAX - 1);
        assert_eq!(left.checked_mul(right), None);
    }

    #[test]
    fn currencies_are_those_of_iso_4217() {
        assert_eq!(Currency::parse("USD").unwrap().decimals(), 2);
        assert_eq!(Currency::parse("JPY").unwrap().decimals(), 0);
        assert_eq!(Currency::parse("KWD").unwrap().decimals(), 3);
        for bad in ["usd", "US", "ZZZ", "USDT", ""] {
            assert!(Currency::parse(bad).is_err(), "{bad}");
        }
    }
}
