//! How promising a lead is: 0 to 100, as the sum of what each factor adds.
//!
//! A factor has a weight, the most points it can add, and a value from 0 to 1 that says how much of them it
//! does. The weights are judgement and not fitted to anyone's sales; they sum to 100:
//!
//! | factor | weight | value |
//! |---|---|---|
//! | `email`, `phone`, `company` | 5 each | 1 where known |
//! | `customer_type` | 5 | enterprise 1, business 0.7, individual 0.4, unknown 0 |
//! | `recency` | 15 | 1 up to 7 days since the last contact, then falling evenly to 0 at 90 |
//! | `interactions` | 10 | n / (n + 2) for n in the last 30 days |
//! | `activities` | 10 | n / (n + 5) for n in the last 30 days |
//! | `open_quotes` | 15 | none 0, one 0.7, more 1 |
//! | `budget`, `authority`, `need`, `timeline` | 8, 7, 8, 7 | 1 where qualified |

use serde::Serialize;

/// Values are kept in thousandths, so that the sum is exact.
const WHOLE: u64 = 1_000;
/// Days since the last contact up to which recency counts in full.
const FRESH_DAYS: u64 = 7;
/// Days since the last contact from which it counts no more.
const STALE_DAYS: u64 = 90;

/// What kind of customer a lead would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerType {
    /// A person.
    Individual,
    /// A company.
    Business,
    /// A large company.
    Enterprise,
}

/// What has been found out of budget, authority, need and timeline; `None` where nobody asked, which counts
/// as not qualified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Qualification {
    /// There is a budget.
    pub budget: Option<bool>,
    /// The contact may decide.
    pub authority: Option<bool>,
    /// There is a need.
    pub need: Option<bool>,
    /// There is a time by which to buy.
    pub timeline: Option<bool>,
}

/// What a score is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// An e-mail address is known.
    pub email: bool,
    /// A telephone number is known.
    pub phone: bool,
    /// A company is known.
    pub company: bool,
    /// What kind of customer.
    pub customer_type: Option<CustomerType>,
    /// Whole days since the last contact; `None` where there was none.
    pub days_since_contact: Option<u64>,
    /// Interactions in the last 30 days.
    pub interactions: u64,
    /// Activities in the last 30 days.
    pub activities: u64,
    /// Quotes sent or viewed and not answered.
    pub open_quotes: u64,
    /// Budget, authority, need and timeline.
    pub qualification: Qualification,
}

/// One part of a score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Factor {
    /// What is looked at.
    pub factor: &'static str,
    /// The most points it can add.
    pub weight: u32,
    /// How much of the weight it adds, 0 to 1, three decimals.
    pub value: f64,
    /// Points it adds: weight times value, rounded so that all add up to the score.
    pub contribution: u32,
}

/// A score with its parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeadScore {
    /// 0 to 100: the sum of weight times value, half up, and of the contributions, exactly.
    pub score: u32,
    /// The parts, always all of them and in the same order.
    pub factors: Vec<Factor>,
}

/// The score of a lead. Each contribution is its share rounded down, and the points left go to the largest
/// remainders (Hamilton's method), at equal ones to the earlier factor.
pub fn lead_score(facts: &Facts) -> LeadScore {
    let parts = parts(facts);
    let points: Vec<u64> = parts
        .iter()
        .map(|(_, weight, value)| u64::from(*weight) * value)
        .collect();
    let score = (points.iter().sum::<u64>() + WHOLE / 2) / WHOLE;
    let mut contributions: Vec<u64> = points.iter().map(|points| points / WHOLE).collect();
    let mut by_remainder: Vec<usize> = (0..points.len()).collect();
    by_remainder.sort_by_key(|i| std::cmp::Reverse(points[*i] % WHOLE));
    let left = score.saturating_sub(contributions.iter().sum());
    for i in by_remainder.into_iter().take(left as usize) {
        contributions[i] += 1;
    }
    let factors =
        parts
            .iter()
            .zip(&contributions)
            .map(|((factor, weight, value), contribution)| Factor {
                factor: *factor,
                weight: *weight,
                value: *value as f64 / WHOLE as f64,
                contribution: *contribution as u32,
            });
    LeadScore {
        score: score as u32,
        factors: factors.collect(),
    }
}

/// Factor, weight and value in thousandths.
fn parts(facts: &Facts) -> [(&'static str, u32, u64); 12] {
    let yes = |known: bool| if known { WHOLE } else { 0 };
    let qualified = |answer: Option<bool>| yes(answer == Some(true));
    let customer_type = match facts.customer_type {
        None => 0,
        Some(CustomerType::Individual) => 400,
        Some(CustomerType::Business) => 700,
        Some(CustomerType::Enterprise) => WHOLE,
    };
    let recency = facts.days_since_contact.map_or(0, |days| {
        STALE_DAYS.saturating_sub(days.max(FRESH_DAYS)) * WHOLE / (STALE_DAYS - FRESH_DAYS)
    });
    let open_quotes = match facts.open_quotes {
        0 => 0,
        1 => 700,
        _ => WHOLE,
    };
    [
        ("email", 5, yes(facts.email)),
        ("phone", 5, yes(facts.phone)),
        ("company", 5, yes(facts.company)),
        ("customer_type", 5, customer_type),
        ("recency", 15, recency),
        ("interactions", 10, saturating(facts.interactions, 2)),
        ("activities", 10, saturating(facts.activities, 5)),
        ("open_quotes", 15, open_quotes),
        ("budget", 8, qualified(facts.qualification.budget)),
        ("authority", 7, qualified(facts.qualification.authority)),
        ("need", 8, qualified(facts.qualification.need)),
        ("timeline", 7, qualified(facts.qualification.timeline)),
    ]
}

/// n / (n + half) in thousandths: half of the weight at `half`, nearly all of it at many.
fn saturating(count: u64, half: u64) -> u64 {
    // A million is as good as more, and the product stays within bounds.
    let count = count.min(1_000_000);
    count * WHOLE / (count + half)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEST: Facts = Facts {
        email: true,
        phone: true,
        company: true,
        customer_type: Some(CustomerType::Enterprise),
        days_since_contact: Some(0),
        interactions: u64::MAX,
        activities: u64::MAX,
        open_quotes: u64::MAX,
        qualification: Qualification {
            budget: Some(true),
            authority: Some(true),
            need: Some(true),
            timeline: Some(true),
        },
    };

    fn value(facts: &Facts, factor: &str) -> f64 {
        let found = lead_score(facts)
            .factors
            .into_iter()
            .find(|f| f.factor == factor);
        found.map_or(f64::NAN, |factor| factor.value)
    }

    #[test]
    fn weights_sum_to_a_hundred_and_scores_lie_between() {
        let weights: u32 = parts(&BEST).iter().map(|(_, weight, _)| weight).sum();
        assert_eq!(weights, 100);
        assert_eq!(lead_score(&Facts::default()).score, 0);
        assert_eq!(lead_score(&BEST).score, 100);
    }

    #[test]
    fn contributions_sum_to_the_score_whatever_the_facts() {
        let mut seed = 1_u64;
        let mut next = |below: u64| {
            // Knuth's MMIX generator.
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..5_000 {
            let answers = [None, Some(false), Some(true)];
            let kinds = [
                None,
                Some(CustomerType::Individual),
                Some(CustomerType::Business),
            ];
            let facts = Facts {
                email: next(2) == 1,
                phone: next(2) == 1,
                company: next(2) == 1,
                customer_type: kinds[next(3) as usize],
                days_since_contact: Some(next(120)).filter(|days| *days < 110),
                interactions: next(20),
                activities: next(50),
                open_quotes: next(4),
                qualification: Qualification {
                    budget: answers[next(3) as usize],
                    authority: answers[next(3) as usize],
                    need: answers[next(3) as usize],
                    timeline: answers[next(3) as usize],
                },
            };
            let scored = lead_score(&facts);
            let sum: u32 = scored
                .factors
                .iter()
                .map(|factor| factor.contribution)
                .sum();
            assert_eq!(sum, scored.score, "{facts:?}");
            let exact: f64 = scored
                .factors
                .iter()
                .map(|f| f64::from(f.weight) * f.value)
                .sum();
            assert!(
                (exact - f64::from(scored.score)).abs() < 0.5 + 1e-9,
                "{facts:?}"
            );
            for factor in &scored.factors {
                assert!(factor.contribution <= factor.weight, "{factor:?}");
                let share = f64::from(factor.weight) * factor.value;
                assert!(
                    (share - f64::from(factor.contribution)).abs() < 1.0,
                    "{factor:?}"
                );
            }
        }
    }

    #[test]
    fn recency_falls_from_a_week_to_ninety_days() {
        let at = |days| {
            value(
                &Facts {
                    days_since_contact: days,
                    ..BEST
                },
                "recency",
            )
        };
        assert_eq!(
            [
                at(Some(0)),
                at(Some(7)),
                at(Some(90)),
                at(Some(u64::MAX)),
                at(None)
            ],
            [1.0, 1.0, 0.0, 0.0, 0.0]
        );
        let falling: Vec<f64> = (7..=90).map(|days| at(Some(days))).collect();
        assert!(falling.windows(2).all(|w| w[0] > w[1]));
    }

    #[test]
    fn counts_add_less_and_less() {
        let at = |interactions| {
            value(
                &Facts {
                    interactions,
                    ..BEST
                },
                "interactions",
            )
        };
        assert_eq!([at(0), at(2), at(6)], [0.0, 0.5, 0.75]);
        assert!(at(u64::MAX) <= 1.0);
        let quotes = |open_quotes| {
            value(
                &Facts {
                    open_quotes,
                    ..BEST
                },
                "open_quotes",
            )
        };
        assert_eq!(
            [quotes(0), quotes(1), quotes(2), quotes(9)],
            [0.0, 0.7, 1.0, 1.0]
        );
    }

    #[test]
    fn points_left_go_to_the_largest_remainders() {
        // 15 · 0.7 = 10.5, 5 · 0.7 = 3.5 and 10 · 0.333 = 3.33: 17.33, so one point for the first half.
        let facts = Facts {
            customer_type: Some(CustomerType::Business),
            open_quotes: 1,
            interactions: 1,
            ..Facts::default()
        };
        let scored = lead_score(&facts);
        let parts: Vec<(&str, u32)> = scored
            .factors
            .iter()
            .filter(|factor| factor.contribution > 0)
            .map(|factor| (factor.factor, factor.contribution))
            .collect();
        assert_eq!(scored.score, 17);
        assert_eq!(
            parts,
            [
                ("customer_type", 4),
                ("interactions", 3),
                ("open_quotes", 10)
            ]
        );
    }
}
