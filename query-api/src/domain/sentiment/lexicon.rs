//! The words of one language, ready to be looked up.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arabic::ARABIC;
use super::english::ENGLISH;
use super::french::FRENCH;
use super::russian::RUSSIAN;
use crate::domain::letters;

/// What a word of praise counts, and less of complaint.
const VALENCE: f64 = 2.0;
const STRONG: f64 = 3.0;
/// Letters that may follow a stem.
const ENDING: usize = 5;
/// Letters that are left of a word, at least, when clitics and endings are taken off.
const SHORTEST: usize = 3;

/// Words as they are written down here: separated by spaces, a `*` where any ending of up to five letters
/// may follow. They are folded when they are read.
pub(super) struct Source {
    /// ISO 639-1.
    pub(super) language: &'static str,
    pub(super) strong_positive: &'static str,
    pub(super) positive: &'static str,
    pub(super) negative: &'static str,
    pub(super) strong_negative: &'static str,
    /// Two or three words and what they count together; 0 where they only look like praise or complaint.
    pub(super) phrases: &'static [(&'static str, f64)],
    /// Words that turn the ones after them round.
    pub(super) negations: &'static str,
    pub(super) intensifiers: &'static str,
    pub(super) diminishers: &'static str,
    /// Words after which comes what is meant.
    pub(super) contrasts: &'static str,
    /// Those of the above that may stand behind their word too.
    pub(super) follows: &'static str,
    /// Frequent words, which tell languages of one script apart.
    pub(super) common: &'static str,
    /// Whether articles, prepositions and pronouns are written together with a word, as in Arabic.
    pub(super) clitics: bool,
    /// Whether an apostrophe parts two words.
    pub(super) apostrophe_parts: bool,
}

/// What a word does to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Negation,
    Intensifier,
    Diminisher,
    Contrast,
}

/// The words of one language.
pub(super) struct Lexicon {
    pub(super) source: &'static Source,
    words: HashMap<String, f64>,
    stems: HashMap<String, f64>,
    phrases: HashMap<String, f64>,
    roles: HashMap<String, Role>,
    follows: Vec<String>,
    common: Vec<String>,
}

/// The languages there are.
pub(super) static LEXICONS: LazyLock<[Lexicon; 4]> =
    LazyLock::new(|| [&ENGLISH, &FRENCH, &ARABIC, &RUSSIAN].map(Lexicon::read));

/// What stands in front of an Arabic word, longest first, and behind it.
const PROCLITICS: [&str; 10] = ["وال", "فال", "بال", "كال", "لل", "ال", "و", "ف", "ب", "ل"];
const ENCLITICS: [&str; 10] = ["هم", "ها", "نا", "كم", "ات", "ون", "ين", "ه", "ا", "ي"];

const PRAISE: &str = "😀😃😄😁😊🙂😍🥰😘😎🤩👍👏🙌❤💯🎉🌟🙏";
const COMPLAINT: &str = "😞😟😠😡🤬😢😭😒😤🤮🤢👎💔🙁☹😩😫";

impl Lexicon {
    fn read(source: &'static Source) -> Lexicon {
        let mut words = HashMap::new();
        let mut stems = HashMap::new();
        for (list, valence) in [
            (source.strong_positive, STRONG),
            (source.positive, VALENCE),
            (source.negative, -VALENCE),
            (source.strong_negative, -STRONG),
        ] {
            for word in list.split_whitespace() {
                match word.strip_suffix('*') {
                    Some(stem) => stems.insert(letters::folded(stem), valence),
                    None => words.insert(letters::folded(word), valence),
                };
            }
        }
        let folded = |list: &'static str| list.split_whitespace().map(letters::folded);
        let mut roles = HashMap::new();
        for (list, role) in [
            (source.negations, Role::Negation),
            (source.intensifiers, Role::Intensifier),
            (source.diminishers, Role::Diminisher),
            (source.contrasts, Role::Contrast),
        ] {
            roles.extend(folded(list).map(|word| (word, role)));
        }
        let phrases = source.phrases.iter();
        Lexicon {
            source,
            words,
            stems,
            phrases: phrases
                .map(|(phrase, valence)| (letters::folded(phrase), *valence))
                .collect(),
            roles,
            follows: folded(source.follows).collect(),
            common: folded(source.common).collect(),
        }
    }

    /// What a phrase counts.
    pub(super) fn phrase(&self, folded: &str) -> Option<f64> {
        self.phrases.get(folded).copied()
    }

    /// What a word does to others.
    pub(super) fn role(&self, folded: &str) -> Option<Role> {
        let and = ['و', 'ف'];
        let without = || folded.strip_prefix(and).filter(|_| self.source.clitics);
        let roles = &self.roles;
        roles.get(folded).or_else(|| roles.get(without()?)).copied()
    }

    /// Whether a word acts on the one before it.
    pub(super) fn follows(&self, folded: &str) -> bool {
        self.follows.iter().any(|word| word == folded)
    }

    /// Whether it is a frequent word.
    pub(super) fn is_common(&self, folded: &str) -> bool {
        self.common.iter().any(|word| word == folded)
    }

    /// What a word or an emoji counts, above 0 of praise and below of complaint.
    pub(super) fn valence(&self, folded: &str) -> Option<f64> {
        let whole = self.form(folded);
        if whole.is_some() || !self.source.clitics {
            return whole.or_else(|| emoji(folded));
        }
        let fronts = PROCLITICS
            .iter()
            .filter_map(|clitic| folded.strip_prefix(clitic));
        let cores = std::iter::once(folded).chain(fronts);
        let mut forms = cores.flat_map(|core| {
            let backs = ENCLITICS
                .iter()
                .filter_map(move |ending| core.strip_suffix(ending));
            std::iter::once(core).chain(backs)
        });
        // What is left of ة before an ending is ت, so the word stands without it.
        let found = forms.find_map(|form| {
            let feminine = form.strip_suffix('ت').map(|stem| format!("{stem}ه"));
            let long = form.chars().count() >= SHORTEST;
            let found = || self.form(form).or_else(|| self.form(&feminine?));
            if long { found() } else { None }
        });
        found.or_else(|| emoji(folded))
    }

    fn form(&self, word: &str) -> Option<f64> {
        let stem = || {
            let ends = word.char_indices().rev().map(|(end, _)| &word[..end]);
            ends.take(ENDING).find_map(|stem| self.stems.get(stem))
        };
        let whole = self.words.get(word).or_else(|| self.stems.get(word));
        whole.or_else(stem).copied()
    }
}

fn emoji(folded: &str) -> Option<f64> {
    let mut letters = folded.chars();
    let (only, None) = (letters.next()?, letters.next()) else {
        return None;
    };
    match (PRAISE.contains(only), COMPLAINT.contains(only)) {
        (true, _) => Some(VALENCE),
        (_, true) => Some(-VALENCE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn entries(list: &'static str) -> Vec<String> {
        list.split_whitespace().map(letters::folded).collect()
    }

    #[test]
    fn each_side_has_words_enough() {
        for lexicon in LEXICONS.iter() {
            let source = lexicon.source;
            let least = if source.language == "en" { 120 } else { 70 };
            for (strong, plain) in [
                (source.strong_positive, source.positive),
                (source.strong_negative, source.negative),
            ] {
                let words: HashSet<String> =
                    entries(strong).into_iter().chain(entries(plain)).collect();
                assert!(words.len() >= least, "{} {}", source.language, words.len());
            }
        }
    }

    #[test]
    fn no_word_is_on_two_lists() {
        for lexicon in LEXICONS.iter() {
            let source = lexicon.source;
            let mut seen = HashSet::new();
            for list in [
                source.strong_positive,
                source.positive,
                source.negative,
                source.strong_negative,
                source.negations,
                source.intensifiers,
                source.diminishers,
                source.contrasts,
            ] {
                for word in entries(list) {
                    assert!(
                        seen.insert(word.trim_end_matches('*').to_owned()),
                        "{} {word}",
                        source.language
                    );
                }
            }
        }
    }

    #[test]
    fn what_acts_on_the_word_before_it_has_a_role() {
        for lexicon in LEXICONS.iter() {
            assert!(
                lexicon
                    .follows
                    .iter()
                    .all(|word| lexicon.role(word).is_some())
            );
        }
    }

    #[test]
    fn forms_of_a_word_are_found() {
        let [english, french, arabic, russian] = &*LEXICONS;
        assert_eq!(english.valence("good"), Some(2.0));
        assert_eq!(english.valence("goodbye"), None, "only a stem has endings");
        assert_eq!(french.valence("parfaitement"), Some(3.0));
        assert_eq!(russian.valence(&letters::folded("вежливыми")), Some(2.0));
        assert_eq!(russian.valence(&letters::folded("недовольна")), Some(-2.0));
        for word in [
            "جيد",
            "الجيدة",
            "والجيد",
            "جيدا",
            "مشكلتهم",
            "المشكلة",
            "مشاكلها",
        ] {
            assert!(arabic.valence(&letters::folded(word)).is_some(), "{word}");
        }
        assert_eq!(arabic.role(&letters::folded("وليس")), Some(Role::Negation));
        for lexicon in LEXICONS.iter() {
            assert_eq!(lexicon.valence("👍"), Some(2.0));
            assert_eq!(lexicon.valence("👎"), Some(-2.0));
            assert_eq!(lexicon.valence(""), None);
            assert_eq!(lexicon.valence("🍕"), None);
        }
    }
}
