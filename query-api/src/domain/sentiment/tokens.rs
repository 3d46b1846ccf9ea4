//! A comment cut into words, with its clauses and sentences.

use std::ops::Range;

use crate::domain::letters;

/// A word or an emoji.
pub(super) struct Token {
    /// Where it stands in the text, in bytes.
    pub(super) at: Range<usize>,
    /// Folded as names are: lower case, without accents and apostrophes.
    pub(super) folded: String,
    /// Number of its clause: what is between commas and ends of sentences.
    pub(super) clause: usize,
    /// Number of its sentence.
    pub(super) sentence: usize,
}

/// The words of `text`. Apostrophes part words, as those of French do, or belong to them.
pub(super) fn tokens(text: &str, apostrophe_parts: bool) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let (mut clause, mut sentence) = (0, 0);
    let mut open = false;
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        let apostrophe = matches!(c, '\'' | '\u{2019}' | '\u{2bc}');
        let inside =
            c.is_alphanumeric() || open && (letters::is_mark(c) || apostrophe && !apostrophe_parts);
        if inside
            && open
            && let Some(word) = tokens.last_mut()
        {
            word.at.end = end;
            if !apostrophe {
                letters::fold(c, &mut word.folded);
            }
            continue;
        }
        open = c.is_alphanumeric();
        if open || is_emoji(c) {
            let mut folded = String::new();
            letters::fold(c, &mut folded);
            tokens.push(Token {
                at: start..end,
                folded,
                clause,
                sentence,
            });
            continue;
        }
        match c {
            '.' | '!' | '?' | ';' | '\n' | '…' | '؟' | '؛' | '۔' => {
                sentence += 1;
                clause += 1;
            }
            ',' | ':' | '(' | ')' | '،' | '–' | '—' => clause += 1,
            _ => {}
        }
    }
    tokens
}

/// Pictures that stand for themselves: symbols and pictographs of Unicode's emoji blocks.
fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f300}'..='\u{1faff}') && !is_skin_tone(c)
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, apostrophe_parts: bool) -> Vec<(String, usize)> {
        let found = tokens(text, apostrophe_parts);
        found
            .into_iter()
            .map(|token| (token.folded, token.clause))
            .collect()
    }

    fn pairs(of: &[(&str, usize)]) -> Vec<(String, usize)> {
        of.iter()
            .map(|(word, clause)| ((*word).to_owned(), *clause))
            .collect()
    }

    #[test]
    fn words_clauses_and_sentences() {
        assert_eq!(
            words("Don’t go, it's SLOW! Très bien👍🏽", false),
            pairs(&[
                ("dont", 0),
                ("go", 0),
                ("its", 1),
                ("slow", 1),
                ("tres", 2),
                ("bien", 2),
                ("👍", 2)
            ])
        );
        assert_eq!(words("n'est", true), pairs(&[("n", 0), ("est", 0)]));
        assert_eq!(words("' a-b", false), pairs(&[("a", 0), ("b", 0)]));
        assert_eq!(words("", false), []);
    }

    #[test]
    fn places_are_those_in_the_text() {
        let text = "Élan, l’été";
        let found: Vec<&str> = tokens(text, true)
            .iter()
            .map(|token| &text[token.at.clone()])
            .collect();
        assert_eq!(found, ["Élan", "l", "été"]);
    }
}
