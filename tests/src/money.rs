//! Decimals in millionths, written a second time: what the program says is compared with this.

/// Millionths of a decimal text such as `-12.5`.
pub fn micros(text: &str) -> i128 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 6, "{text} has more than six decimals");
    let padded = format!("{whole}{fraction:0<6}");
    sign * padded
        .parse::<i128>()
        .unwrap_or_else(|_| panic!("{text} is no decimal"))
}

/// The text of millionths with at least `places` decimals.
pub fn text(micros: i128, places: usize) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let digits = format!("{:07}", micros.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - 6);
    let kept = fraction.trim_end_matches('0').len().max(places);
    match kept {
        0 => format!("{sign}{whole}"),
        kept => format!("{sign}{whole}.{}", &fraction[..kept]),
    }
}

/// A positive sum shared by `count`, half up to `places` decimals.
pub fn average(micros: i128, count: i128, places: usize) -> Option<String> {
    assert!(
        micros >= 0,
        "the average order of the tests is never negative"
    );
    if count == 0 {
        return None;
    }
    let step = 10_i128.pow(6 - places as u32);
    let rounded = (2 * micros + count * step) / (2 * count * step) * step;
    Some(text(rounded, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_written_and_shared() {
        assert_eq!(micros("-12.5"), -12_500_000);
        assert_eq!(
            micros("999999999999999.999999"),
            999_999_999_999_999_999_999
        );
        assert_eq!(text(-12_500_000, 2), "-12.50");
        assert_eq!(text(1, 2), "0.000001");
        assert_eq!(text(5_000_000, 0), "5");
        assert_eq!(average(10_010_000, 2, 2).as_deref(), Some("5.01"));
        assert_eq!(average(10_000_000, 3, 2).as_deref(), Some("3.33"));
        assert_eq!(average(10_000_000, 0, 2), None);
    }
}
