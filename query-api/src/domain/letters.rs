//! One form of letters that are written with and without marks.

use super::points_of_contact::is_invisible;

/// Appends the folded form of one character: lower case, without accents and vowel marks, ligatures
/// spelled out. Latin letters by a table; of Cyrillic, Greek and Arabic those that are often written
/// without their marks. Invisible characters and combining marks give nothing.
pub(super) fn fold(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    for c in c.to_lowercase() {
        match plain(c) {
            Some(letters) => out.push_str(letters),
            None if is_mark(c) => {}
            None => out.push(c),
        }
    }
}

/// A text with every character folded.
pub(super) fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| fold(c, &mut out));
    out
}

/// Combining accents, Arabic vowel signs and the stretching tatweel, and what cannot be seen.
pub(super) fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{fe00}'..='\u{fe0f}')
        || is_invisible(c)
}

/// What is written for a lower-case letter where its marks are left out.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ǻ' | 'ȁ' | 'ȃ' | 'ạ' | 'ả'
        | 'ấ' | 'ầ' | 'ẩ' | 'ẫ' | 'ậ' | 'ắ' | 'ằ' | 'ẳ' | 'ẵ' | 'ặ' | 'ª' => {
            "a"
        }
        'æ' | 'ǽ' => "ae",
        'ḃ' | 'ƀ' => "b",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' | 'ḋ' | 'ḍ' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ȅ' | 'ȇ' | 'ə' | 'ẹ' | 'ẻ' | 'ẽ'
        | 'ế' | 'ề' | 'ể' | 'ễ' | 'ệ' => "e",
        'ḟ' => "f",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' | 'ǧ' => "g",
        'ĥ' | 'ħ' | 'ḥ' => "h",
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' | 'ȉ' | 'ȋ' | 'ị' | 'ỉ' => {
            "i"
        }
        'ĳ' => "ij",
        'ĵ' => "j",
        'ķ' | 'ǩ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ṁ' => "m",
        'ñ' | 'ń' | 'ņ' | 'ň' | 'ŉ' | 'ŋ' | 'ṇ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ǒ' | 'ǿ' | 'ȍ' | 'ȏ' | 'ọ'
        | 'ỏ' | 'ố' | 'ồ' | 'ổ' | 'ỗ' | 'ộ' | 'ớ' | 'ờ' | 'ở' | 'ỡ' | 'ợ' | 'º' => {
            "o"
        }
        'œ' => "oe",
        'ṗ' => "p",
        'ŕ' | 'ŗ' | 'ř' | 'ȑ' | 'ȓ' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' | 'ṡ' | 'ṣ' | 'ſ' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' | 'ṫ' | 'ṭ' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ǔ' | 'ǖ' | 'ǘ' | 'ǚ'
        | 'ǜ' | 'ȕ' | 'ȗ' | 'ụ' | 'ủ' | 'ứ' | 'ừ' | 'ử' | 'ữ' | 'ự' => "u",
        'ŵ' | 'ẁ' | 'ẃ' | 'ẅ' => "w",
        'ý' | 'ÿ' | 'ŷ' | 'ỳ' | 'ỵ' | 'ỷ' | 'ỹ' => "y",
        'ź' | 'ż' | 'ž' | 'ẓ' => "z",
        'ё' | 'ѐ' => "е",
        'й' | 'ѝ' => "и",
        'ї' => "і",
        'ґ' => "г",
        'ў' => "у",
        'ά' => "α",
        'έ' => "ε",
        'ή' => "η",
        'ί' | 'ϊ' | 'ΐ' => "ι",
        'ό' => "ο",
        'ύ' | 'ϋ' | 'ΰ' => "υ",
        'ώ' => "ω",
        'ς' => "σ",
        'أ' | 'إ' | 'آ' | 'ٱ' => "ا",
        'ى' | 'ئ' | 'ی' => "ي",
        'ؤ' => "و",
        'ة' | 'ۀ' => "ه",
        'ک' => "ك",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_left_out() {
        for (text, plain) in [
            ("Ÿvonne ÉTÉ Ångström", "yvonne ete angstrom"),
            (
                "Straße Łódź Øre Þór İzmir ışık",
                "strasse lodz ore thor izmir isik",
            ),
            ("Nguyễn Thị Hằng", "nguyen thi hang"),
            ("Cœur Æsir ĳs", "coeur aesir ijs"),
            ("e\u{301}te\u{301}", "ete"),
            ("Фёдор Юрій", "федор юріи"),
            ("Γιώργος", "γιωργοσ"),
            ("مُحَمَّد أحمـد هدى فاطمة", "محمد احمد هدي فاطمه"),
            ("a\u{200d}b\u{feff}", "ab"),
            ("株式会社", "株式会社"),
        ] {
            assert_eq!(folded(text), plain);
            assert_eq!(folded(plain), plain, "once is enough");
        }
    }

    #[test]
    fn every_entry_of_the_table_is_lower_case_and_ends_the_folding() {
        for c in ('\u{80}'..'\u{2000}').filter(|c| plain(*c).is_some()) {
            assert_eq!(c.to_lowercase().collect::<Vec<_>>(), [c], "{c}");
            let once = folded(&c.to_string());
            assert_eq!(folded(&once), once, "{c}");
        }
    }
}
