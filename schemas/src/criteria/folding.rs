//! Texts in lower case, character by character, so that the usual comparison allocates nothing.
//!
//! The same as `replaceAll(lowerUTF8(text), 'ς', 'σ')` in ClickHouse: Unicode's lower case of each character, with
//! both small sigmas as one, so that what a character becomes does not depend on its neighbours.

/// The characters of a text in lower case.
pub(super) fn folded(text: &str) -> impl Iterator<Item = char> + Clone {
    text.chars().flat_map(char::to_lowercase).map(|c| match c {
        'ς' => 'σ',
        other => other,
    })
}

/// A text in lower case.
pub(super) fn fold(text: &str) -> Box<str> {
    folded(text).collect::<String>().into()
}

/// Whether a text is `other`, which is in lower case already.
pub(super) fn is(text: &str, other: &str) -> bool {
    match text.is_ascii() {
        true => text.eq_ignore_ascii_case(other),
        false => folded(text).eq(other.chars()),
    }
}

/// Whether a text is one of `others`, which are in lower case and sorted.
pub(super) fn is_one_of(text: &str, others: &[Box<str>]) -> bool {
    // Characters sort as their UTF-8 does.
    others
        .binary_search_by(|other| other.chars().cmp(folded(text)))
        .is_ok()
}

/// Whether a text starts with `other`, which is in lower case already.
pub(super) fn starts_with(text: &str, other: &str) -> bool {
    match text.as_bytes().get(..other.len()) {
        Some(start) if start.is_ascii() => start.eq_ignore_ascii_case(other.as_bytes()),
        _ => begins(folded(text), other),
    }
}

/// Whether a text contains `other`, which is in lower case already and not empty.
pub(super) fn contains(text: &str, other: &str) -> bool {
    if text.is_ascii() {
        return text
            .as_bytes()
            .windows(other.len().max(1))
            .any(|part| part.eq_ignore_ascii_case(other.as_bytes()));
    }
    let mut rest = folded(text);
    loop {
        if begins(rest.clone(), other) {
            return true;
        }
        if rest.next().is_none() {
            return false;
        }
    }
}

fn begins(mut text: impl Iterator<Item = char>, other: &str) -> bool {
    other.chars().all(|c| text.next() == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_case_is_unicodes_and_stays() {
        for character in '\u{0}'..=char::MAX {
            let text = character.to_string();
            let once = fold(&text);
            assert_eq!(
                *once,
                text.to_lowercase().replace('ς', "σ"),
                "{character:?}"
            );
            assert_eq!(fold(&once), once, "{character:?}");
            assert!(is(&text, &once) && starts_with(&text, &once) && contains(&text, &once));
            assert!(is_one_of(&text, &[once]));
        }
    }

    #[test]
    fn parts_are_found_as_in_the_folded_text() {
        let texts = [
            "ÉVRY",
            "ΟΔΟΣ ΑΣ",
            "İzmir",
            "Köln",
            "STRASSE",
            "x",
            "",
            "Kk",
            "ааА",
        ];
        let parts = [
            "évry",
            "éVRY",
            "σ α",
            "οδοσ",
            "i\u{307}z",
            "\u{307}",
            "ö",
            "ss",
            "k",
            "kk",
            "ааа",
        ];
        for text in texts {
            let whole = fold(text);
            for part in parts.map(fold) {
                assert_eq!(
                    contains(text, &part),
                    whole.contains(&*part),
                    "{text} {part}"
                );
                assert_eq!(
                    starts_with(text, &part),
                    whole.starts_with(&*part),
                    "{text} {part}"
                );
                assert_eq!(is(text, &part), whole == part, "{text} {part}");
            }
        }
    }
}
