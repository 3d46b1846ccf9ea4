//! Sentiment of a comment: positive, neutral or negative, by counting words of praise and complaint.
//!
//! A word counts 2, a strong one 3, below 0 for complaint. After a negation within three words of its clause
//! it counts −0.74 times that, beside an intensifier 1.3 times, beside a diminisher 0.7 times; in a sentence
//! that turns with "but", what is before counts half and what is after one and a half times. With s the sum,
//! the score is s / √(s² + 15). Rules and constants follow VADER (Hutto and Gilbert, "VADER: a parsimonious
//! rule-based model for sentiment analysis of social media text", 2014); the words are our own.

mod arabic;
mod english;
mod french;
mod lexicon;
mod russian;
mod tokens;

use serde::Serialize;

use lexicon::{LEXICONS, Lexicon, Role};
use tokens::{Token, tokens};

/// The method and its version, as it is stored with a score.
pub const METHOD: &str = "lexicon-1";
/// The method where no lexicon has the comment's language.
pub const NO_METHOD: &str = "none";
/// Scores up to this far from 0 are neutral.
const NEUTRAL: f64 = 0.1;
/// Softens the score of few words.
const ALPHA: f64 = 15.0;
/// Words before one in which a negation is looked for.
const NEGATION_REACH: usize = 3;
/// Words before one in which an intensifier is looked for.
const INTENSIFIER_REACH: usize = 2;
const NEGATED: f64 = -0.74;
const INTENSIFIED: f64 = 1.3;
const DIMINISHED: f64 = 0.7;
const BEFORE_CONTRAST: f64 = 0.5;
const AFTER_CONTRAST: f64 = 1.5;
/// Words of the longest phrase.
const PHRASE: usize = 3;

/// The sense of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// More praise.
    Positive,
    /// Neither, or both alike.
    Neutral,
    /// More complaint.
    Negative,
}

/// A word or phrase that counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Word {
    /// As it is written in the comment.
    pub word: String,
    /// What it added to the sum, two decimals.
    pub weight: f64,
}

/// What a comment says, and why we think so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sentiment {
    /// The sense.
    pub label: Label,
    /// −1 to 1, four decimals; 0 where nothing counted.
    pub score: f64,
    /// [`METHOD`], or [`NO_METHOD`] where there is none for the language.
    pub method: &'static str,
    /// Primary subtag of the comment's language: en, fr, ar, ru, or what was given; `und` where it is not known.
    pub language: String,
    /// What counted, in the order of the comment.
    pub words: Vec<Word>,
}

/// The sentiment of `comment`, written in `language` (a BCP 47 tag). Without a tag, or with one whose script
/// the comment is not written in, the language is told by script and, of English and French, by frequent
/// words: a comment in another language of that script wants its tag.
pub fn sentiment(comment: &str, language: Option<&str>) -> Sentiment {
    let tag = language.and_then(|tag| tag.split(['-', '_']).next());
    let tag = tag
        .map(|tag| tag.trim().to_ascii_lowercase())
        .filter(|tag| !tag.is_empty());
    let Some(lexicon) = choose(comment, tag.as_deref()) else {
        return Sentiment {
            label: Label::Neutral,
            score: 0.0,
            method: NO_METHOD,
            language: tag.unwrap_or_else(|| "und".to_owned()),
            words: Vec::new(),
        };
    };
    let words = weigh(comment, lexicon);
    let sum: f64 = words.iter().map(|word| word.weight).sum();
    // Added to 0 so that −0 is 0.
    let score = (sum / (sum * sum + ALPHA).sqrt() * 1e4).round() / 1e4 + 0.0;
    Sentiment {
        label: match score {
            score if score > NEUTRAL => Label::Positive,
            score if score < -NEUTRAL => Label::Negative,
            _ => Label::Neutral,
        },
        score,
        method: METHOD,
        language: lexicon.source.language.to_owned(),
        words,
    }
}

/// The lexicon for a comment; none where its language has none.
fn choose(comment: &str, tag: Option<&str>) -> Option<&'static Lexicon> {
    let [english, french, arabic, russian] = &*LEXICONS;
    let (mut latin, mut cyrillic, mut arab, mut other) = (0, 0, 0, 0);
    for c in comment.chars().filter(|c| c.is_alphabetic()) {
        match c {
            'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => latin += 1,
            '\u{400}'..='\u{4ff}' => cyrillic += 1,
            '\u{600}'..='\u{6ff}' => arab += 1,
            _ => other += 1,
        }
    }
    let most = latin.max(cyrillic).max(arab).max(other);
    let of_script: &[&Lexicon] = match most {
        // Nothing but emoji, which every lexicon has.
        0 => &[english, french, arabic, russian],
        most if most == latin => &[english, french],
        most if most == cyrillic => &[russian],
        most if most == arab => &[arabic],
        _ => return None,
    };
    let tagged = |lexicon: &&&'static Lexicon| Some(lexicon.source.language) == tag;
    if let Some(lexicon) = of_script.iter().find(tagged) {
        return Some(lexicon);
    }
    if tag.is_some_and(|tag| {
        LEXICONS
            .iter()
            .all(|lexicon| lexicon.source.language != tag)
    }) {
        return None;
    }
    let signs = |lexicon: &Lexicon| {
        let tokens = tokens(comment, lexicon.source.apostrophe_parts);
        let common = tokens
            .iter()
            .filter(|token| lexicon.is_common(&token.folded))
            .count();
        common + parts(&tokens, lexicon).1.len()
    };
    match of_script {
        [only] => Some(only),
        _ if signs(french) > signs(english) => Some(french),
        _ if most == 0 || signs(english) > 0 => Some(english),
        _ => None,
    }
}

/// What a token is, beside a word that says nothing.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Plain,
    /// Of a word or phrase that is looked up.
    Taken,
    Acting(Role),
}

/// A word or phrase found: its tokens and what it counts by itself.
struct Hit {
    first: usize,
    end: usize,
    valence: f64,
}

fn weigh(comment: &str, lexicon: &Lexicon) -> Vec<Word> {
    let tokens = tokens(comment, lexicon.source.apostrophe_parts);
    let (parts, hits) = parts(&tokens, lexicon);
    let mut words = Vec::with_capacity(hits.len());
    // Of the sentence at hand: its number, its first hit and its last contrast.
    let mut sentence: Option<(usize, usize, Option<usize>)> = None;
    for hit in &hits {
        let number = tokens[hit.first].sentence;
        if sentence.is_none_or(|(current, ..)| current != number) {
            let to_end = tokens[hit.end..]
                .iter()
                .take_while(|token| token.sentence == number)
                .count();
            let mut rest = (hit.end..hit.end + to_end).rev();
            let contrast = rest.find(|i| parts[*i] == Part::Acting(Role::Contrast));
            sentence = Some((number, hit.first, contrast));
        }
        let contrast = match sentence {
            Some((_, _, Some(contrast))) if hit.first < contrast => BEFORE_CONTRAST,
            Some((_, _, Some(_))) => AFTER_CONTRAST,
            _ => 1.0,
        };
        let weight = hit.valence * acted_on(hit, &tokens, &parts, lexicon) * contrast;
        words.push(Word {
            word: comment[tokens[hit.first].at.start..tokens[hit.end - 1].at.end].to_owned(),
            weight: (weight * 100.0).round() / 100.0,
        });
    }
    words
}

fn parts(tokens: &[Token], lexicon: &Lexicon) -> (Vec<Part>, Vec<Hit>) {
    let mut parts = Vec::with_capacity(tokens.len());
    let mut hits = Vec::new();
    while parts.len() < tokens.len() {
        let first = parts.len();
        let phrase = (2..=PHRASE).rev().find_map(|words| {
            let part = tokens.get(first..first + words)?;
            let together = part.iter().all(|token| token.clause == part[0].clause);
            let folded: Vec<&str> = part.iter().map(|token| token.folded.as_str()).collect();
            let valence = lexicon.phrase(&folded.join(" ")).filter(|_| together)?;
            Some((words, valence))
        });
        let token = &tokens[first].folded;
        let found = match (phrase, lexicon.role(token)) {
            (Some(phrase), _) => Some(phrase),
            (None, Some(role)) => {
                parts.push(Part::Acting(role));
                continue;
            }
            (None, None) => lexicon.valence(token).map(|valence| (1, valence)),
        };
        let Some((words, valence)) = found else {
            parts.push(Part::Plain);
            continue;
        };
        parts.extend(std::iter::repeat_n(Part::Taken, words));
        if valence != 0.0 {
            let end = first + words;
            hits.push(Hit {
                first,
                end,
                valence,
            });
        }
    }
    (parts, hits)
}

/// What the words around a hit make of it: a factor.
fn acted_on(hit: &Hit, tokens: &[Token], parts: &[Part], lexicon: &Lexicon) -> f64 {
    let clause = tokens[hit.first].clause;
    let before = (0..hit.first).rev().take(NEGATION_REACH);
    let near = before.take_while(|i| {
        let apart = matches!(parts[*i], Part::Taken | Part::Acting(Role::Contrast));
        tokens[*i].clause == clause && !apart
    });
    let mut negated = false;
    let mut strength = None;
    for (distance, i) in near.enumerate() {
        match parts[i] {
            Part::Acting(Role::Negation) => negated = true,
            Part::Acting(role) if distance < INTENSIFIER_REACH => {
                strength.get_or_insert(role);
            }
            _ => {}
        }
    }
    let next = tokens
        .get(hit.end)
        .filter(|next| next.clause == clause && lexicon.follows(&next.folded));
    match parts.get(hit.end).filter(|_| next.is_some()) {
        Some(Part::Acting(Role::Negation)) => negated = true,
        Some(Part::Acting(role)) => {
            strength.get_or_insert(*role);
        }
        _ => {}
    }
    // A phrase such as "pas mal" has its negation in it.
    let phrase = &tokens[hit.first..hit.end];
    let denies = |token: &Token| lexicon.role(&token.folded) == Some(Role::Negation);
    let negated = negated && !phrase.iter().any(denies);
    let strength = match strength {
        Some(Role::Intensifier) => INTENSIFIED,
        Some(Role::Diminisher) => DIMINISHED,
        _ => 1.0,
    };
    strength * if negated { NEGATED } else { 1.0 }
}

#[cfg(test)]
mod tests;
