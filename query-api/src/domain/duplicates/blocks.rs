//! Which records are compared with which: those that share a block.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::Record;
use crate::domain::names::{self, Words};
use crate::domain::points_of_contact::{email_matching, phone_matching};

/// Digits at the end of a telephone number that make a block, and that must be equal at least.
pub(super) const PHONE_END: usize = 8;
/// Records after it that each is compared with in a block that is cut.
const NEIGHBOURS: usize = 10;
/// Words of a name that blocks are made from, the longest.
const WORDS_IN_KEYS: usize = 4;

/// What blocks are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// One external id.
    ExternalId,
    /// One e-mail address.
    Email,
    /// The last digits of a telephone number.
    Phone,
    /// Two words of a name that begin alike.
    NameSpelling,
    /// Two words of a name with the same consonants.
    NameSound,
}

/// A block so large that not all of its pairs were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// What its records share.
    pub block: Block,
    /// How many they are.
    pub records: usize,
    /// One of them.
    pub customer_id: String,
}

/// A record in the forms that are compared.
pub(super) struct Prepared<'a> {
    pub(super) record: &'a Record<'a>,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) name: Words,
    pub(super) name_key: String,
    /// Whether an equal name says something: two words, or a legal form.
    pub(super) telling: bool,
    pub(super) company: Words,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(record: &'a Record<'a>) -> Prepared<'a> {
        let company = record
            .company_name
            .map(names::fold_company)
            .unwrap_or_default();
        let name = match record.name {
            Some(name) => names::fold_name(name),
            None => company.clone(),
        };
        let words = Words::new(&name.text);
        Prepared {
            record,
            email: record.email.and_then(email_matching),
            phone: record
                .phone
                .and_then(|phone| phone_matching(phone, record.country)),
            name_key: names::key(&name.text),
            telling: words.len() > 1 || name.legal_form,
            name: words,
            company: Words::new(&company.text),
        }
    }

    fn keys(&self, mut put: impl FnMut(Block, &str)) {
        for id in &self.record.external_ids {
            put(Block::ExternalId, id);
        }
        if let Some(email) = &self.email {
            put(Block::Email, email);
        }
        if let Some(phone) = &self.phone {
            put(
                Block::Phone,
                &phone[phone.len().saturating_sub(PHONE_END)..],
            );
        }
        let mut words: Vec<&[char]> = self.name.iter().collect();
        words.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        words.truncate(WORDS_IN_KEYS);
        let spelled: Vec<String> = words
            .iter()
            .map(|word| word.iter().take(3).collect())
            .collect();
        let sounded: Vec<String> = words.iter().map(|word| consonants(word)).collect();
        for (block, parts) in [(Block::NameSpelling, spelled), (Block::NameSound, sounded)] {
            if let [only] = &parts[..] {
                put(block, only);
            }
            for (i, a) in parts.iter().enumerate() {
                for b in &parts[i + 1..] {
                    put(block, &format!("{} {}", a.min(b), a.max(b)));
                }
            }
        }
    }
}

/// The first letter and the consonants after it, without h and w and each run once, as in Soundex.
fn consonants(word: &[char]) -> String {
    let silent = |c: &char| "aeiouyhwаеиоуыэюяьъіαεηιουωاوي".contains(*c);
    let mut out = String::new();
    for (i, c) in word.iter().enumerate() {
        if i == 0 || !silent(c) && !out.ends_with(*c) {
            out.push(*c);
        }
    }
    out
}

/// The numbers of the records to compare, each pair once, and the blocks that were cut.
pub(super) fn pairs(records: &[Prepared<'_>], most: usize) -> (Vec<(u32, u32)>, Vec<Cut>) {
    let mut keys: Vec<(Block, u64, u32)> = Vec::with_capacity(records.len() * 6);
    for (number, record) in records.iter().enumerate() {
        record.keys(|block, key| keys.push((block, xxh3_64(key.as_bytes()), number as u32)));
    }
    keys.sort_unstable();
    keys.dedup();
    let mut pairs = Vec::new();
    let mut cuts = Vec::new();
    // What two keys of one hash bring together is compared and found different.
    for block in keys.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let reach = if block.len() > most {
            cuts.push(Cut {
                block: block[0].0,
                records: block.len(),
                customer_id: records[block[0].2 as usize].record.customer_id.to_owned(),
            });
            NEIGHBOURS
        } else {
            block.len()
        };
        for (i, (_, _, a)) in block.iter().enumerate() {
            let others = block[i + 1..].iter().take(reach);
            pairs.extend(others.map(|(_, _, b)| (*a, *b)));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    cuts.sort_by(|a, b| {
        let by_size = b.records.cmp(&a.records);
        by_size.then_with(|| (a.block, &a.customer_id).cmp(&(b.block, &b.customer_id)))
    });
    (pairs, cuts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::duplicates::{Options, find};

    fn records<'a>(ids: &'a [String], names: &'a [String]) -> Vec<Record<'a>> {
        let record = |(id, name): (&'a String, &'a String)| Record {
            customer_id: id,
            name: Some(name),
            ..Record::default()
        };
        ids.iter().zip(names).map(record).collect()
    }

    #[test]
    fn a_large_block_is_cut_and_says_so() {
        let ids: Vec<String> = (0..500).map(|i| format!("c{i:03}")).collect();
        let names: Vec<String> = (0..500)
            .map(|i| format!("Name{i:03} Number{i:03}"))
            .collect();
        let mut records = records(&ids, &names);
        for record in &mut records {
            record.email = Some("none@example.org");
        }
        // Neighbours by name, and nothing else in common but what all have.
        records[499].name = Some("Name000 Number000");
        let found = find(&records, &Options::default());
        assert!(
            found
                .cuts
                .iter()
                .any(|cut| cut.block == Block::Email && cut.records == 500)
        );
        assert!(found.compared <= 500 * NEIGHBOURS * 3, "{}", found.compared);
        assert_eq!(found.pairs[0].customer_ids, ["c000", "c499"]);
    }

    #[test]
    fn work_grows_with_the_records_and_not_their_square() {
        let syllables = [
            "ba", "ko", "ri", "ten", "lu", "mar", "so", "vi", "dan", "pe", "gor", "hi",
        ];
        let word = |mut seed: usize| {
            let mut word = String::new();
            for _ in 0..4 {
                word += syllables[seed % syllables.len()];
                seed /= syllables.len();
            }
            word
        };
        let compared = |count: usize| {
            let ids: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let names: Vec<String> = (0..count)
                .map(|i| format!("{} {}", word(i * 7919), word(i * 104_729 + 5)))
                .collect();
            find(&records(&ids, &names), &Options::default()).compared
        };
        let most = Options::default().most_in_block;
        assert!(compared(2_000) <= 2_000 * most);
        assert!(compared(8_000) <= 8_000 * most);
    }

    #[test]
    fn consonants_are_those_that_are_heard() {
        let heard = |word: &str| consonants(&word.chars().collect::<Vec<_>>());
        assert_eq!(heard("smith"), heard("smyth"));
        assert_eq!(heard("john"), heard("jon"));
        assert_eq!(heard("anna"), heard("ana"));
        assert_ne!(heard("anna"), heard("hanna"));
        assert_eq!(heard(""), "");
    }
}
