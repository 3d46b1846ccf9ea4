//! Pairs of customers that may be one, with reasons and a score.
//!
//! Records are compared only within blocks: those that share an e-mail address, an external id, the end
//! of a telephone number, or two words of a name as they are spelled at the beginning or as they sound.
//! A block above [`Options::most_in_block`] is cut: its records are sorted by name and each is compared
//! with the next few only (the sorted neighbourhood of Hernández and Stolfo, "The merge/purge problem for
//! large databases", 1995), and [`Candidates::cuts`] says so. So the work grows with the number of records
//! and not with its square.
//!
//! The score takes the reasons for independent evidence: 1 − Π(1 − weight), the noisy or, with the weights
//! of [`Reason::weight`]; of reasons from the name only the strongest counts. It is multiplied by 0.7 where
//! both names are known and have little in common, as in a family with one telephone.

mod blocks;

pub use blocks::{Block, Cut};

use std::collections::BTreeMap;

use blocks::{PHONE_END, Prepared};
use serde::Serialize;

/// Names and companies from this likeness on are similar.
const SIMILAR: f64 = 0.9;
/// Names up to this likeness have little in common.
const DIFFERENT: f64 = 0.5;
/// What a score is multiplied by where names have little in common.
const DIFFERENT_NAMES: f64 = 0.7;

/// What is compared of a customer.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// Identifies the customer; two records with the same one are never a pair.
    pub customer_id: &'a str,
    /// What the customer is called.
    pub name: Option<&'a str>,
    /// The company.
    pub company_name: Option<&'a str>,
    /// The e-mail address, in any spelling.
    pub email: Option<&'a str>,
    /// The telephone number, in any spelling.
    pub phone: Option<&'a str>,
    /// ISO 3166-1 alpha-2 of the country whose numbers are written without calling code.
    pub country: Option<&'a str>,
    /// Ids that other systems know the customer by, each with the system's name in front where ids of
    /// several could be equal.
    pub external_ids: Vec<&'a str>,
}

/// What to look for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pairs below this score are left out.
    pub least_score: f64,
    /// Records above which a block is cut.
    pub most_in_block: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            least_score: 0.5,
            most_in_block: 40,
        }
    }
}

/// Why two customers may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Another system knows both by one id.
    SameExternalId,
    /// One e-mail address, as [`email_matching`](super::points_of_contact::email_matching) compares.
    SameEmail,
    /// One telephone number.
    SamePhone,
    /// The numbers end alike, and of one the country is not known.
    SamePhoneEnding,
    /// Similar names at similar companies.
    SimilarNameAndCompany,
    /// The same words in the name, of which there are two or a legal form.
    SameName,
    /// Similar names.
    SimilarName,
}

impl Reason {
    /// How much this reason alone says, 0 to 1. Of similar names it is multiplied by their likeness.
    pub fn weight(self) -> f64 {
        match self {
            Reason::SameExternalId => 0.95,
            Reason::SameEmail => 0.9,
            Reason::SamePhone => 0.75,
            Reason::SamePhoneEnding => 0.5,
            Reason::SimilarNameAndCompany => 0.75,
            Reason::SameName => 0.55,
            Reason::SimilarName => 0.4,
        }
    }
}

/// Two customers that may be one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// The two, the lesser id first.
    pub customer_ids: [String; 2],
    /// 0 to 1, three decimals.
    pub score: f64,
    /// Why, the strongest kind first; never empty.
    pub reasons: Vec<Reason>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidates {
    /// The pairs, the highest score first, then by ids.
    pub pairs: Vec<Candidate>,
    /// Blocks that were cut, the largest first.
    pub cuts: Vec<Cut>,
    /// Pairs that were compared.
    pub compared: usize,
}

/// The pairs among `records` that may be one customer. The order of the records does not matter.
pub fn find(records: &[Record<'_>], options: &Options) -> Candidates {
    let mut prepared: Vec<Prepared<'_>> = records.iter().map(Prepared::new).collect();
    // By name, so that a block that is cut has its records in that order; by id for one answer always.
    prepared.sort_by(|a, b| {
        (&a.name_key, a.record.customer_id).cmp(&(&b.name_key, b.record.customer_id))
    });
    let (numbers, cuts) = blocks::pairs(&prepared, options.most_in_block);
    let mut pairs: Vec<Candidate> = numbers
        .iter()
        .filter_map(|(a, b)| compare(&prepared[*a as usize], &prepared[*b as usize]))
        .filter(|pair| pair.score >= options.least_score)
        .collect();
    pairs.sort_by(|a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score.then_with(|| a.customer_ids.cmp(&b.customer_ids))
    });
    Candidates {
        pairs,
        cuts,
        compared: numbers.len(),
    }
}

fn compare(a: &Prepared<'_>, b: &Prepared<'_>) -> Option<Candidate> {
    let (id_a, id_b) = (a.record.customer_id, b.record.customer_id);
    if id_a == id_b {
        return None;
    }
    // By reason, so that the strongest stands first.
    let mut found: BTreeMap<Reason, f64> = BTreeMap::new();
    if a.record
        .external_ids
        .iter()
        .any(|id| b.record.external_ids.contains(id))
    {
        found.insert(Reason::SameExternalId, 1.0);
    }
    if a.email.is_some() && a.email == b.email {
        found.insert(Reason::SameEmail, 1.0);
    }
    if let (Some(a), Some(b)) = (&a.phone, &b.phone)
        && let Some(reason) = compare_phones(a, b)
    {
        found.insert(reason, 1.0);
    }
    let known = !a.name.is_empty() && !b.name.is_empty();
    let likeness = a.name.similarity(&b.name);
    if likeness >= SIMILAR {
        let company = a.company.similarity(&b.company);
        let (reason, likeness) = if company >= SIMILAR {
            (Reason::SimilarNameAndCompany, (likeness + company) / 2.0)
        } else if a.name_key == b.name_key && (a.telling || b.telling) {
            (Reason::SameName, 1.0)
        } else {
            (Reason::SimilarName, likeness)
        };
        found.insert(reason, likeness);
    }
    if found.is_empty() {
        return None;
    }
    let doubt: f64 = found
        .iter()
        .map(|(reason, likeness)| 1.0 - reason.weight() * likeness)
        .product();
    let different = known && likeness <= DIFFERENT;
    let score = (1.0 - doubt) * if different { DIFFERENT_NAMES } else { 1.0 };
    Some(Candidate {
        customer_ids: [id_a.min(id_b).to_owned(), id_a.max(id_b).to_owned()],
        score: (score * 1000.0).round() / 1000.0,
        reasons: found.into_keys().collect(),
    })
}

fn compare_phones(a: &str, b: &str) -> Option<Reason> {
    if a == b {
        return Some(Reason::SamePhone);
    }
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let national = !short.starts_with('+') && short.len() >= PHONE_END;
    (national && long.ends_with(short)).then_some(Reason::SamePhoneEnding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(customer_id: &'a str, name: &'a str) -> Record<'a> {
        Record {
            customer_id,
            name: Some(name).filter(|name| !name.is_empty()),
            ..Record::default()
        }
    }

    fn all(records: &[Record<'_>]) -> Vec<Candidate> {
        find(
            records,
            &Options {
                least_score: 0.0,
                ..Options::default()
            },
        )
        .pairs
    }

    #[test]
    fn each_reason_is_found_and_named() {
        let b = |record: Record<'static>| Record {
            customer_id: "b",
            ..record
        };
        let a = Record {
            customer_id: "a",
            name: Some("Ann Lee"),
            company_name: Some("Example Ltd"),
            email: Some("Ann@example.org"),
            phone: Some("06 12 34 56 78"),
            country: Some("FR"),
            external_ids: vec!["shop:7", "till:1"],
        };
        for (other, reason) in [
            (
                b(Record {
                    external_ids: vec!["till:1"],
                    ..Record::default()
                }),
                Reason::SameExternalId,
            ),
            (
                b(Record {
                    email: Some(" ann+x@EXAMPLE.org"),
                    ..Record::default()
                }),
                Reason::SameEmail,
            ),
            (
                b(Record {
                    phone: Some("+33 612345678"),
                    ..Record::default()
                }),
                Reason::SamePhone,
            ),
            (
                b(Record {
                    phone: Some("0612345678"),
                    ..Record::default()
                }),
                Reason::SamePhoneEnding,
            ),
            (b(record("", "Lee, Ann")), Reason::SameName),
            (b(record("", "Anne Lee")), Reason::SimilarName),
            (
                b(Record {
                    company_name: Some("EXAMPLE Limited"),
                    ..record("", "Anne Lee")
                }),
                Reason::SimilarNameAndCompany,
            ),
        ] {
            let pairs = all(&[a.clone(), other]);
            assert_eq!(pairs.len(), 1, "{reason:?}");
            assert_eq!(pairs[0].reasons, [reason]);
            assert_eq!(pairs[0].customer_ids, ["a", "b"]);
            assert!(pairs[0].score > 0.3 && pairs[0].score <= reason.weight());
        }
        assert!(all(&[a, b(record("", "Bob Ray"))]).is_empty());
    }

    #[test]
    fn reasons_add_up_and_different_names_take_away() {
        let with = |customer_id, name| Record {
            email: Some("info@example.org"),
            ..record(customer_id, name)
        };
        let score = |a, b| all(&[a, b])[0].score;
        let alone = score(with("a", ""), with("b", "Ann Lee"));
        assert_eq!(alone, 0.9);
        assert_eq!(score(with("a", "Ann Lee"), with("b", "Ann Lee")), 0.955);
        assert_eq!(score(with("a", "Ann Lee"), with("b", "Bob Ray")), 0.63);
    }

    #[test]
    fn one_word_is_telling_only_of_a_company() {
        let reasons = |a, b| all(&[record("a", a), record("b", b)])[0].reasons.clone();
        assert_eq!(reasons("Example Ltd", "EXAMPLE GmbH"), [Reason::SameName]);
        assert_eq!(reasons("Ann", "ann"), [Reason::SimilarName]);
    }

    #[test]
    fn the_order_of_records_changes_nothing() {
        let names = [
            "Ann Lee", "Lee Ann", "Anne Lee", "Bob Ray", "Bob Rae", "Ann Lee",
        ];
        let ids = ["c1", "c2", "c3", "c4", "c5", "c6"];
        let mut records: Vec<Record<'_>> = ids
            .iter()
            .zip(names)
            .map(|(id, name)| record(id, name))
            .collect();
        let first = find(&records, &Options::default());
        assert!(!first.pairs.is_empty());
        for _ in 0..records.len() {
            records.rotate_left(1);
            assert_eq!(find(&records, &Options::default()), first);
        }
        records.push(records[0].clone());
        let twice = find(&records, &Options::default()).pairs;
        assert!(
            twice
                .iter()
                .all(|pair| pair.customer_ids[0] < pair.customer_ids[1])
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(all(&[]).is_empty());
        assert!(all(&[Record::default(), Record::default()]).is_empty());
        assert!(all(&[record("a", "***"), record("b", "***")]).is_empty());
    }
}
