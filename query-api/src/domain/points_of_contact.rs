//! E-mail addresses and telephone numbers in one form each, so that entry is consistent, and a form to
//! compare them by, in which more spellings are one.

use super::calling_codes::{self, Plan};

/// Bytes of an address (RFC 5321, section 4.5.3.1, less the brackets of a path).
const EMAIL_BYTES: usize = 254;
/// Bytes before the `@`.
const LOCAL_BYTES: usize = 64;
/// Bytes between two points of a domain.
const LABEL_BYTES: usize = 63;
/// Digits of an international number: ITU-T E.164 allows 15, and the shortest in use have 7.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// A national number without its trunk prefix is taken for one from so many digits on: no country has
/// local numbers, without their area code, of this length.
const BEYOND_LOCAL: usize = 10;
/// Fewer digits say nothing about who is called.
const TELLING_DIGITS: usize = 6;

/// An e-mail address without surrounding blanks, in lower case.
///
/// # Errors
/// What to do, where the text is no address that mail on the internet can have. Quoted local parts and
/// addresses in brackets are refused, letters of any script are not.
pub fn email(text: &str) -> Result<String, &'static str> {
    let address = text.trim_matches(is_blank).to_lowercase();
    let (local, domain) = address
        .rsplit_once('@')
        .ok_or("write an address with an @, such as name@example.org")?;
    if address.len() > EMAIL_BYTES || local.len() > LOCAL_BYTES {
        return Err("use at most 254 bytes, and at most 64 before the @");
    }
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    if local.is_empty() || dots || !local.chars().all(in_local_part) {
        return Err("write letters, digits, points or one of !#$%&'*+-/=?^_`{|}~ before the @");
    }
    let mut labels = domain.split('.');
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if !labels.all(is_label)
        || !domain.contains('.')
        || domain.rsplit('.').next().is_none_or(numeric)
    {
        return Err("write a domain after the @, such as example.org");
    }
    Ok(address)
}

/// The form of an address by which two are compared: without what follows a `+` (a subaddress, RFC 5233),
/// and for Gmail without the points it ignores. `None` where the text is no address.
pub fn email_matching(text: &str) -> Option<String> {
    let address = email(text).ok()?;
    let (local, domain) = address.rsplit_once('@')?;
    let local = match local.split_once('+') {
        Some((name, _)) if !name.is_empty() => name,
        _ => local,
    };
    Some(match domain {
        "gmail.com" | "googlemail.com" => format!("{}@gmail.com", local.replace('.', "")),
        _ => format!("{local}@{domain}"),
    })
}

/// A telephone number as E.164 (`+33612345678`) where that can be told, else the text as it is without
/// surrounding blanks. See [`e164`].
pub fn phone(text: &str, country: Option<&str>) -> String {
    e164(text, country).unwrap_or_else(|| text.trim_matches(is_blank).to_owned())
}

/// A telephone number as E.164, or `None` where the text does not say which one it is.
///
/// What begins with `+`, or with `00` or the exit code of `country`, is taken with its separators removed;
/// a trunk prefix behind the calling code, as in `+44 (0)20`, is dropped. Anything else needs the ISO 3166
/// alpha-2 code of a `country` whose numbering plan is known and that the number's length fits.
/// Extensions, letters and service codes have no E.164 form.
pub fn e164(text: &str, country: Option<&str>) -> Option<String> {
    let written = Written::read(text)?;
    let digits = written.digits.as_str();
    if written.plus {
        return international(digits);
    }
    let plan = country.and_then(calling_codes::of_country);
    let exits = plan.and_then(Plan::exit_code).into_iter().chain(["00"]);
    let mut dialled = exits.filter_map(|exit| digits.strip_prefix(exit));
    // Where carriers have exit codes of their own, what is behind 00 may be a carrier: the plan tells.
    if let Some(number) = dialled.find_map(|digits| international(digits).filter(|n| fits(n))) {
        return Some(number);
    }
    let plan = plan.filter(|_| !digits.starts_with("00"))?;
    Some(format!("+{}{}", plan.code, national(digits, plan)?))
}

/// The form of a number by which two are compared: E.164 where that can be told, else its digits without
/// leading zeros and without `+`. `None` where it has fewer than 6 digits.
pub fn phone_matching(text: &str, country: Option<&str>) -> Option<String> {
    e164(text, country).or_else(|| {
        let digits: String = text.chars().filter_map(digit).collect();
        let digits = digits.trim_start_matches('0');
        (digits.len() >= TELLING_DIGITS).then(|| digits.to_owned())
    })
}

/// A number of digits and separators only.
struct Written {
    plus: bool,
    digits: String,
}

impl Written {
    fn read(text: &str) -> Option<Written> {
        let text = text.trim_matches(is_blank);
        let text = match text.get(..4) {
            Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
            _ => text,
        };
        let mut written = Written {
            plus: false,
            digits: String::with_capacity(text.len()),
        };
        for c in text.chars() {
            match c {
                '+' | '\u{ff0b}' if written.digits.is_empty() && !written.plus => {
                    written.plus = true;
                }
                '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
                c if is_blank(c) => {}
                c => written.digits.push(digit(c)?),
            }
        }
        Some(written)
    }
}

/// Digits behind a `+`, with the `+`.
fn international(digits: &str) -> Option<String> {
    if !digits.bytes().next().is_some_and(|first| first != b'0') {
        return None;
    }
    let rest = |plan: &'static Plan| (plan, &digits[plan.code.len()..]);
    let trunk = calling_codes::of_number(digits)
        .map(rest)
        .and_then(|(plan, rest)| {
            // Where 0 is a trunk prefix, no number begins with it.
            let zeros = plan.trunks().filter(|trunk| trunk.starts_with('0'));
            let mut behind = zeros.filter_map(|trunk| rest.strip_prefix(trunk));
            let shorter = behind.find(|rest| plan.fits(rest.len()))?;
            Some(format!("+{}{shorter}", plan.code))
        });
    let number = trunk.unwrap_or_else(|| format!("+{digits}"));
    DIGITS.contains(&(number.len() - 1)).then_some(number)
}

/// Whether a number with `+` has a length that its plan knows; one of an unknown plan may have any.
fn fits(number: &str) -> bool {
    let digits = number.trim_start_matches('+');
    calling_codes::of_number(digits).is_none_or(|plan| plan.fits(digits.len() - plan.code.len()))
}

/// The number without trunk prefix of digits dialled inside a country.
fn national<'a>(digits: &'a str, plan: &Plan) -> Option<&'a str> {
    let fitting = |rest: &&str| plan.fits(rest.len());
    let mut trunks = plan.trunks().peekable();
    if trunks.peek().is_none() {
        let with_code = || digits.strip_prefix(plan.code).filter(fitting);
        return Some(digits).filter(fitting).or_else(with_code);
    }
    let mut behind_trunk = trunks.filter_map(|trunk| digits.strip_prefix(trunk));
    if let Some(rest) = behind_trunk.find(fitting) {
        return Some(rest);
    }
    if digits.starts_with('0') {
        return None;
    }
    let whole = digits.len() == plan.most() || digits.len() >= BEYOND_LOCAL;
    let bare = Some(digits).filter(|digits| whole && fitting(digits));
    let with_code = digits.strip_prefix(plan.code).filter(fitting);
    match (bare, with_code) {
        (Some(_), Some(_)) => None,
        (bare, with_code) => bare.or(with_code),
    }
}

/// A decimal digit of the scripts in which telephone numbers are written, as ASCII.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => return Some(c),
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        '\u{9e6}'..='\u{9ef}' => 0x9e6,
        '\u{ff10}'..='\u{ff19}' => 0xff10,
        _ => return None,
    };
    char::from_digit(u32::from(c) - zero, 10)
}

/// White space, and what is copied along with texts and cannot be seen.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// Characters without a shape: joiners, directions, soft hyphens, byte order marks.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn in_local_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c) || is_letter_beyond_ascii(c)
}

fn is_letter_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !is_blank(c)
}

fn is_label(label: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || is_letter_beyond_ascii(c);
    let hyphen = label.starts_with('-') || label.ends_with('-');
    (1..=LABEL_BYTES).contains(&label.len()) && !hyphen && label.chars().all(inside)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_lower_case() {
        for (text, address) in [
            (" Ann.Lee@Example.ORG\u{a0}", "ann.lee@example.org"),
            (
                "\u{feff}o'neil+news@mail.example.co.uk",
                "o'neil+news@mail.example.co.uk",
            ),
            ("ЮЛИЯ@ПОЧТА.РФ", "юлия@почта.рф"),
            ("a@b-c.example", "a@b-c.example"),
        ] {
            assert_eq!(email(text).unwrap(), address);
            assert_eq!(email(address).unwrap(), address, "once is enough");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}org", "example.".repeat(40));
        for text in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann@example",
            "ann@@example.org",
            "ann lee@example.org",
            "Ann <ann@example.org>",
            "mailto:ann@example.org",
            ".ann@example.org",
            "ann.@example.org",
            "an..n@example.org",
            "ann@-example.org",
            "ann@example-.org",
            "ann@example..org",
            "ann@example.org.",
            "ann@192.0.2.1",
            "ann@exam_ple.org",
            "a\u{200b}nn@example.org",
            "ann@example.org, lee@example.org",
            &long,
            &longer,
        ] {
            assert!(email(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_match_without_subaddress_and_gmail_points() {
        let same = |a: &str, b: &str| email_matching(a).unwrap() == email_matching(b).unwrap();
        assert!(same("Ann+shop@example.org", "ann@example.org"));
        assert!(same("a.nn+x@googlemail.com", "ann@gmail.com"));
        assert!(!same("a.nn@example.org", "ann@example.org"));
        assert!(!same("+1@example.org", "+2@example.org"));
        assert_eq!(email_matching("ann"), None);
    }

    #[test]
    fn international_numbers_need_no_country() {
        for (text, number) in [
            ("+33 6 12 34 56 78", "+33612345678"),
            ("0033 6-12-34-56-78", "+33612345678"),
            ("+44 (0)20 7946 0958", "+442079460958"),
            ("+44 020 7946 0958", "+442079460958"),
            ("+39 06 698 12345", "+390669812345"),
            ("+36 06 20 123 4567", "+36201234567"),
            ("(+1) 212.555.0123", "+12125550123"),
            ("tel:+7-495-123-45-67", "+74951234567"),
            ("\u{200e}+٩٧١ ٥٠ ١٢٣ ٤٥٦٧", "+971501234567"),
            ("＋81 3 1234 5678", "+81312345678"),
            ("+683 4000", "+6834000"),
            ("00 683 4000", "+6834000"),
        ] {
            assert_eq!(phone(text, None), number, "{text}");
            assert_eq!(phone(number, Some("DE")), number, "once is enough");
        }
    }

    #[test]
    fn national_numbers_need_their_country() {
        for (text, country, number) in [
            ("06 12 34 56 78", "FR", "+33612345678"),
            ("6 12 34 56 78", "fr", "+33612345678"),
            ("020 7946 0958", "GB", "+442079460958"),
            ("030 / 123456", "DE", "+4930123456"),
            ("(212) 555-0123", "US", "+12125550123"),
            ("1 212 555 0123", "CA", "+12125550123"),
            ("011 44 20 7946 0958", "US", "+442079460958"),
            ("0011 44 20 7946 0958", "AU", "+442079460958"),
            ("8~10 33 6 12 34 56 78", "RU", ""),
            ("8 10 33 6 12 34 56 78", "RU", "+33612345678"),
            ("8 (495) 123-45-67", "RU", "+74951234567"),
            ("79161234567", "RU", "+79161234567"),
            ("8 029 123-45-67", "BY", "+375291234567"),
            ("06 698 12345", "IT", "+390669812345"),
            ("391 234 5678", "IT", "+393912345678"),
            ("06 20 123 4567", "HU", "+36201234567"),
            ("٠٥٠١٢٣٤٥٦٧", "AE", "+971501234567"),
            ("0501234567", "SA", "+966501234567"),
            ("138 0013 8000", "CN", "+8613800138000"),
            ("86 138 0013 8000", "CN", "+8613800138000"),
            ("11 91234-5678", "BR", "+5511912345678"),
            ("01 55 1234 5678", "MX", "+525512345678"),
            ("90-123-45-67", "UZ", "+998901234567"),
            ("07 01 02 03 04", "CI", "+2250701020304"),
        ] {
            match number {
                "" => assert_eq!(e164(text, Some(country)), None, "{text}"),
                number => assert_eq!(phone(text, Some(country)), number, "{text}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_told_stays_as_it_is() {
        for (text, country) in [
            ("06 12 34 56 78", None),
            ("06 12 34 56 78", Some("ZZ")),
            ("555-0123", Some("US")),
            ("123456", Some("DE")),
            ("+44 20 7946 0958 ext. 12", None),
            ("1-800-FLOWERS", Some("US")),
            ("+123456", None),
            ("+1234567890123456", None),
            ("+0 12 34 56 78", None),
            ("001 852 2123 4567", Some("HK")),
            ("0612345678 / 0698765432", Some("FR")),
            ("62 812 3456 7890", None),
            ("628123456789", Some("ID")),
            ("*100#", Some("FR")),
            ("", Some("FR")),
        ] {
            assert_eq!(e164(text, country), None, "{text}");
            assert_eq!(phone(&format!(" {text}\n"), country), text);
        }
    }

    #[test]
    fn numbers_match_in_their_e164_form_or_by_their_digits() {
        assert_eq!(
            phone_matching("06 12 34 56 78", Some("FR")),
            phone_matching("0033612345678", None)
        );
        assert_eq!(phone_matching("06-12 34", None), None, "five digits");
        assert_eq!(
            phone_matching("06 12 34 56", None).as_deref(),
            Some("6123456")
        );
        assert_ne!(
            phone_matching("33612345678", None),
            phone_matching("+33612345678", None)
        );
        assert_eq!(phone_matching("none", None), None);
    }
}
