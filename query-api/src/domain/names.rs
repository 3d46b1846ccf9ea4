//! Names of people and companies: folded for comparison, and how alike two are, whatever the order of
//! their words.

use super::{legal_forms, letters};

/// Words before a person's name.
const HONORIFICS: &str = "mr mrs ms miss mx dr prof professor sir madam mme mlle monsieur madame \
    mademoiselle herr frau sr sra srta господин госпожа السيد السيده الاستاذ الدكتور";
/// Words between the parts of a company's name that are often left out or written as `&`.
const CONJUNCTIONS: [&str; 7] = ["and", "et", "und", "y", "e", "и", "en"];
/// Letters of a word that are compared.
const LETTERS: usize = 64;
/// Words less alike than this are different words.
const WORD_LEAST: f64 = 0.85;
/// How alike an initial and a word that begins with it are.
const INITIAL: f64 = 0.85;

/// A name in the form in which names are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folded {
    /// Lower case, without accents, punctuation and legal forms, one space between words.
    pub text: String,
    /// Whether a legal form such as Ltd or GmbH was left out.
    pub legal_form: bool,
}

/// Lower case, without accents and punctuation, one space between words. Points between single letters and
/// apostrophes join (`S.A.R.L.` is `sarl`, `O'Neil` is `oneil`), other marks part.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters_of_word = 0;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let mut ahead = rest.clone();
        match c {
            '\'' | '\u{2019}' | '\u{2bc}' | '`' => continue,
            '.' if letters_of_word == 1
                && ahead.next().is_some_and(char::is_alphanumeric)
                && !ahead.next().is_some_and(char::is_alphanumeric) =>
            {
                letters_of_word = 0;
                continue;
            }
            _ => {}
        }
        let from = out.len();
        letters::fold(c, &mut out);
        if out.len() > from {
            if out[from..].chars().all(char::is_alphanumeric) {
                letters_of_word += 1;
            } else {
                out.truncate(from);
                letters_of_word = 0;
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// What a customer is called, a person or a company: [`fold`] without honorifics and those legal forms that
/// are no surnames.
pub fn fold_name(text: &str) -> Folded {
    let whole = fold(text);
    let mut name = whole.as_str();
    while let Some((first, rest)) = name.split_once(' ')
        && rest.contains(' ')
        && HONORIFICS.split(' ').any(|word| word == first)
    {
        name = rest;
    }
    let (name, legal_form) = legal_forms::without(name, false);
    Folded {
        text: name.to_owned(),
        legal_form,
    }
}

/// A company's name: [`fold`] without legal forms, `and` and a leading `the`.
pub fn fold_company(text: &str) -> Folded {
    let whole = fold(text);
    let words: Vec<&str> = whole
        .split(' ')
        .filter(|word| !CONJUNCTIONS.contains(word))
        .collect();
    let joined = if words.is_empty() {
        whole
    } else {
        words.join(" ")
    };
    let (name, legal_form) = legal_forms::without(&joined, true);
    Folded {
        text: name.strip_prefix("the ").unwrap_or(name).to_owned(),
        legal_form,
    }
}

/// The words of a folded name in alphabetical order: the same for every order of words.
pub fn key(folded: &str) -> String {
    let mut words: Vec<&str> = folded.split(' ').collect();
    words.sort_unstable();
    words.join(" ")
}

/// How alike two folded names are, 0 to 1, whatever the order of their words. See [`Words::similarity`].
pub fn similarity(a: &str, b: &str) -> f64 {
    Words::new(a).similarity(&Words::new(b))
}

/// The words of a folded name, ready to be compared with many others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words(Vec<Box<[char]>>);

impl Words {
    /// From a folded name.
    pub fn new(folded: &str) -> Words {
        let letters = |word: &str| word.chars().take(LETTERS).collect();
        Words(folded.split_whitespace().map(letters).collect())
    }

    /// The words, as letters.
    pub fn iter(&self) -> impl Iterator<Item = &[char]> {
        self.0.iter().map(|word| &**word)
    }

    /// How many words.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How alike two names are, 0 to 1: for each word the most similar word of the other name, averaged by
    /// the words' lengths, in both directions (the scheme of Monge and Elkan, "The field matching problem",
    /// 1996, with Jaro-Winkler inside). Words below 0.85 and numbers that differ count as 0, an initial
    /// as 0.85 of the words that begin with it.
    pub fn similarity(&self, other: &Words) -> f64 {
        (self.found_in(other) + other.found_in(self)) / 2.0
    }

    fn found_in(&self, other: &Words) -> f64 {
        let letters: usize = self.iter().map(<[char]>::len).sum();
        if letters == 0 {
            return 0.0;
        }
        let found = self.iter().map(|word| {
            let best = other
                .iter()
                .map(|o| word_similarity(word, o))
                .fold(0.0, f64::max);
            best * word.len() as f64
        });
        found.sum::<f64>() / letters as f64
    }
}

fn word_similarity(a: &[char], b: &[char]) -> f64 {
    if a == b {
        return 1.0;
    }
    if a.iter().chain(b).any(|c| c.is_numeric()) {
        return 0.0;
    }
    if (a.len() == 1 || b.len() == 1) && a.first() == b.first() {
        return INITIAL;
    }
    let alike = jaro_winkler(a, b);
    if alike < WORD_LEAST { 0.0 } else { alike }
}

/// The similarity of Jaro ("Advances in record-linkage methodology", 1989) as Winkler raises it for a common
/// beginning ("String comparator metrics", 1990): 0 to 1, with 0.1 for each of the first four letters where
/// Jaro's is above 0.7. Of each word the first 64 letters are compared.
pub fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    let (a, b) = (&a[..a.len().min(LETTERS)], &b[..b.len().min(LETTERS)]);
    let jaro = jaro(a, b);
    if jaro <= 0.7 {
        return jaro;
    }
    let common = a.iter().zip(b).take(4).take_while(|(a, b)| a == b).count();
    jaro + common as f64 * 0.1 * (1.0 - jaro)
}

fn jaro(a: &[char], b: &[char]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return f64::from(u8::from(a.len() == b.len()));
    }
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    // One bit a letter: both have 64 at most.
    let (mut taken_a, mut taken_b) = (0_u64, 0_u64);
    for (i, letter) in a.iter().enumerate() {
        let near = i.saturating_sub(reach)..b.len().min(i + reach + 1);
        let found = near
            .into_iter()
            .find(|j| taken_b >> j & 1 == 0 && b[*j] == *letter);
        if let Some(j) = found {
            taken_a |= 1 << i;
            taken_b |= 1 << j;
        }
    }
    let matches = f64::from(taken_a.count_ones());
    if taken_a == 0 {
        return 0.0;
    }
    let moved = taken_letters(a, taken_a)
        .zip(taken_letters(b, taken_b))
        .filter(|(a, b)| a != b)
        .count();
    let transpositions = (moved / 2) as f64;
    (matches / a.len() as f64 + matches / b.len() as f64 + (matches - transpositions) / matches)
        / 3.0
}

fn taken_letters(letters: &[char], taken: u64) -> impl Iterator<Item = &char> {
    let numbered = letters.iter().enumerate();
    numbered.filter_map(move |(i, letter)| (taken >> i & 1 == 1).then_some(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jw(a: &str, b: &str) -> f64 {
        let letters = |word: &str| word.chars().collect::<Vec<char>>();
        jaro_winkler(&letters(a), &letters(b))
    }

    #[test]
    fn punctuation_and_accents_are_left_out() {
        for (text, folded) in [
            ("  O'Neil,  Seán ", "oneil sean"),
            ("S.A.R.L. Dupont", "sarl dupont"),
            ("J. P. Lee / J.P. Lee", "j p lee jp lee"),
            ("A.Smith St.John", "a smith st john"),
            ("Müller-Meier & Söhne", "muller meier sohne"),
            ("ООО «Ромашка»", "ооо ромашка"),
            ("***", ""),
        ] {
            assert_eq!(fold(text), folded);
            assert_eq!(fold(folded), folded, "once is enough");
        }
    }

    #[test]
    fn companies_are_compared_without_their_legal_forms() {
        for (text, name) in [
            ("Example Ltd.", "example"),
            ("EXAMPLE GmbH & Co. KG", "example"),
            ("The Example Company, Inc.", "example"),
            ("Example Pty. Ltd.", "example"),
            ("Éxample S.A.R.L.", "example"),
            ("Example Sp. z o.o.", "example"),
            ("Example S.A. de C.V.", "example"),
            ("ООО «Пример»", "пример"),
            ("شركة المثال ذ.م.م", "المثال"),
            ("Smith and Sons", "smith sons"),
            ("Smith & Sons Limited", "smith sons"),
            ("Ltd", "ltd"),
            ("And", "and"),
        ] {
            assert_eq!(fold_company(text).text, name, "{text}");
        }
        assert!(fold_company("Example Ltd.").legal_form);
        assert!(!fold_company("The Example").legal_form);
    }

    #[test]
    fn names_keep_surnames_that_look_like_legal_forms() {
        assert_eq!(fold_name("Maria Sá").text, "maria sa");
        assert_eq!(fold_name("Dr. Prof. Ann Lee").text, "ann lee");
        assert_eq!(
            fold_name("Mrs Lee").text,
            "mrs lee",
            "or Mr Lee would be her"
        );
        let company = fold_name("Example Limited");
        assert_eq!(
            (company.text.as_str(), company.legal_form),
            ("example", true)
        );
    }

    #[test]
    fn jaro_winkler_gives_the_published_values() {
        for (a, b, value) in [
            ("martha", "marhta", 0.9611),
            ("dixon", "dicksonx", 0.8133),
            ("dwayne", "duane", 0.8400),
            ("jones", "johnson", 0.8324),
            ("abc", "xyz", 0.0),
            ("same", "same", 1.0),
            ("", "", 1.0),
            ("", "a", 0.0),
        ] {
            assert!((jw(a, b) - value).abs() < 5e-5, "{a} {b} {}", jw(a, b));
            assert!((jw(b, a) - value).abs() < 5e-5, "{b} {a}");
        }
        let long = "a".repeat(200);
        assert!((jw(&long, &long) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn likeness_ignores_the_order_of_words() {
        assert!((similarity("ann lee", "lee ann") - 1.0).abs() < 1e-12);
        assert_eq!(key("lee ann"), key("ann lee"));
        assert!(similarity("john smith", "jon smith") > 0.95);
        assert!(similarity("john smith", "j smith") > 0.9);
        assert!(similarity("john smith", "john smart") < 0.5);
        assert!(similarity("store 101", "store 102") < 0.7);
        let part = similarity("john smith", "john william smith");
        assert!((0.7..0.95).contains(&part), "{part}");
        assert_eq!(similarity("", "john"), 0.0);
        assert_eq!(similarity("", ""), 0.0, "nothing is not alike");
    }

    #[test]
    fn likeness_is_symmetric_and_within_bounds() {
        let names = [
            "ann lee",
            "anne lee",
            "lee",
            "a",
            "store 9",
            "john smith jr",
            "",
            "пример",
            "мария",
        ];
        for a in names {
            for b in names {
                let value = similarity(a, b);
                assert!((0.0..=1.0 + 1e-12).contains(&value), "{a} {b}");
                assert!((value - similarity(b, a)).abs() < 1e-12, "{a} {b}");
            }
        }
    }
}
