//! Chooses the models on the end of the data: trained on what lies before, judged on what the
//! customers bought after.

use super::catalog::{Catalog, best, by_popularity};
use super::history::{HALF_LIVES, History, Owned};
use super::models::{NEIGHBOURS, SHRINK, Weights, ease, item_knn, scores, together};
use super::{Discover, Options, Purchase};
use chrono::{Days, NaiveDate};
use ndarray::Array2;

/// Length of the lists that are judged.
const TOP: usize = 10;
/// Customers judged at most; every nth is taken where there are more.
const MOST_JUDGED: usize = 4_000;
/// With fewer customers than this the differences are noise, and the default stands.
const LEAST_JUDGED: usize = 30;
/// λs of EASE to try, as multiples of the mean number of buyers of an item.
const LAMBDAS: [f64; 3] = [0.5, 2.0, 8.0];

/// What was tried before the models were fitted to all data, and how it did.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Evidence {
    /// First day of the validation window; none when there was too little data for one.
    pub from: Option<NaiveDate>,
    /// Customers judged on products new to them.
    pub customers: usize,
    /// Recall@10 (hits over products bought in the window) of the model for `discover`.
    pub discover_recall: f64,
    /// Recall@10 of the popularity list on the same customers.
    pub popularity_recall: f64,
    /// Recall@10 of `replenish` over everything bought in the window, re-buys included.
    pub replenish_recall: f64,
    /// Recall@10 of popularity over everything bought, re-buys included.
    pub popularity_recall_with_rebuys: f64,
    /// Days after which a purchase counts half in `replenish`; none when all count the same.
    pub replenish_half_life_days: Option<f32>,
}

/// The choice made.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) discover: Discover,
    pub(super) half_life: usize,
    pub(super) evidence: Evidence,
}

/// Fits the weights of a model for `discover`; nothing for popularity, or where it cannot be.
pub(super) fn fit_weights(discover: Discover, pairs: &Array2<f64>) -> Option<Weights> {
    match discover {
        Discover::Popularity => None,
        Discover::ItemKnn => Some(item_knn(pairs, NEIGHBOURS, SHRINK)),
        Discover::Ease { lambda } => ease(pairs, lambda).ok(),
    }
}

pub(super) fn choose(
    purchases: &[Purchase],
    customers: usize,
    products: usize,
    options: &Options,
) -> Choice {
    let mut choice = Choice {
        discover: Discover::ItemKnn,
        half_life: 0,
        evidence: Evidence {
            from: None,
            customers: 0,
            discover_recall: 0.0,
            popularity_recall: 0.0,
            replenish_recall: 0.0,
            popularity_recall_with_rebuys: 0.0,
            replenish_half_life_days: None,
        },
    };
    let Some(cut) = cut(purchases) else {
        return choice;
    };
    let (before, after): (Vec<Purchase>, Vec<Purchase>) =
        purchases.iter().partition(|p| p.day < cut);
    let known = History::build(before, customers, cut);
    let later = History::build(after, customers, cut);
    let buyers = known.buyers(products);
    let catalog = Catalog::new(&buyers, options.min_buyers, options.max_items);
    let judged = Judged::new(&known, &later, &catalog);
    choice.evidence.customers = judged.fresh.len();
    if judged.fresh.len() < LEAST_JUDGED || catalog.len() == 0 {
        return choice;
    }
    choice.evidence.from = Some(cut);

    let popularity = judged.discover_recall(None);
    choice.evidence.popularity_recall = popularity;
    choice.evidence.discover_recall = popularity;
    choice.discover = Discover::Popularity;
    let pairs = together(judged.baskets.iter().map(Vec::as_slice), catalog.len());
    let models = match options.discover {
        Some(given) => vec![given],
        None => {
            let mean_buyers = pairs.diag().mean().unwrap_or(1.0);
            let lambdas = LAMBDAS.iter().map(|share| (share * mean_buyers).max(1.0));
            let mut models = vec![Discover::ItemKnn];
            models.extend(lambdas.map(|lambda| Discover::Ease { lambda }));
            models
        }
    };
    for model in models {
        let Some(weights) = fit_weights(model, &pairs) else {
            continue;
        };
        let recall = judged.discover_recall(Some(&weights));
        if recall > choice.evidence.discover_recall || options.discover.is_some() {
            choice.evidence.discover_recall = recall;
            choice.discover = model;
        }
    }

    let order = by_popularity(&buyers);
    choice.evidence.popularity_recall_with_rebuys = judged.popular_recall(&order);
    for half_life in 0..HALF_LIVES.len() {
        let recall = judged.replenish_recall(half_life, &buyers, &order);
        if recall > choice.evidence.replenish_recall {
            choice.evidence.replenish_recall = recall;
            choice.half_life = half_life;
        }
    }
    let half_life = HALF_LIVES[choice.half_life];
    choice.evidence.replenish_half_life_days = half_life.is_finite().then_some(half_life);
    choice
}

/// The first day of the window: the last sixth of the days, between two weeks and two months.
fn cut(purchases: &[Purchase]) -> Option<NaiveDate> {
    let first = purchases.iter().map(|p| p.day).min()?;
    let last = purchases.iter().map(|p| p.day).max()?;
    let days = (last - first).num_days() + 1;
    if days < 28 {
        return None;
    }
    let window = (days / 6).clamp(14, 61);
    last.checked_sub_days(Days::new(window.unsigned_abs() - 1))
}

/// The products of one customer's list that are wanted, over all wanted.
pub(super) fn recall(list: impl IntoIterator<Item = u32>, wanted: &[u32]) -> f64 {
    let hits = list.into_iter().filter(|p| wanted.contains(p)).count();
    hits as f64 / wanted.len() as f64
}

/// The customers whose later purchases judge the models.
struct Judged<'a> {
    known: &'a History,
    /// Every customer's items before the window.
    baskets: Vec<Vec<u32>>,
    items: usize,
    /// Customer and the items new to them that they bought in the window.
    fresh: Vec<(u32, Vec<u32>)>,
    /// Customer and all products of the models that they bought in the window.
    any: Vec<(u32, Vec<u32>)>,
}

impl<'a> Judged<'a> {
    fn new(known: &'a History, later: &History, catalog: &Catalog) -> Judged<'a> {
        let customers = known.customers() as u32;
        let baskets: Vec<Vec<u32>> = (0..customers).map(|c| catalog.owned(known, c)).collect();
        let active: Vec<u32> = (0..customers)
            .filter(|c| !known.of(*c).is_empty() && !later.of(*c).is_empty())
            .collect();
        let step = active.len().div_ceil(MOST_JUDGED).max(1);
        let (mut fresh, mut any) = (Vec::new(), Vec::new());
        for &customer in active.iter().step_by(step) {
            let bought: Vec<u32> = catalog.owned(later, customer);
            let had = &baskets[customer as usize];
            let new: Vec<u32> = bought
                .iter()
                .copied()
                .filter(|i| !had.contains(i))
                .collect();
            if !new.is_empty() {
                fresh.push((customer, new));
            }
            if !bought.is_empty() {
                let products = bought.iter().map(|i| catalog.products[*i as usize]);
                any.push((customer, products.collect()));
            }
        }
        Judged {
            known,
            baskets,
            items: catalog.len(),
            fresh,
            any,
        }
    }

    fn discover_recall(&self, weights: Option<&Weights>) -> f64 {
        average(self.fresh.iter().map(|(customer, wanted)| {
            let had = &self.baskets[*customer as usize];
            recall(
                discover(weights, had, self.items, TOP)
                    .into_iter()
                    .map(|s| s.0),
                wanted,
            )
        }))
    }

    fn replenish_recall(&self, half_life: usize, buyers: &[u32], order: &[u32]) -> f64 {
        average(self.any.iter().map(|(customer, wanted)| {
            let mut list: Vec<u32> = replenish(self.known.of(*customer), half_life, buyers, TOP)
                .into_iter()
                .map(|o| o.product)
                .collect();
            fill(&mut list, order, TOP);
            recall(list, wanted)
        }))
    }

    fn popular_recall(&self, order: &[u32]) -> f64 {
        let top = || order.iter().copied().take(TOP);
        average(self.any.iter().map(|(_, wanted)| recall(top(), wanted)))
    }
}

fn average(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
    if count == 0 { 0.0 } else { sum / count as f64 }
}

fn fill(list: &mut Vec<u32>, order: &[u32], k: usize) {
    for product in order {
        if list.len() >= k {
            break;
        }
        if !list.contains(product) {
            list.push(*product);
        }
    }
}

/// The `k` items a customer does not have that score best. Items are numbered by popularity, so
/// that without weights, and among equal scores, the popular come first.
pub(super) fn discover(
    weights: Option<&Weights>,
    had: &[u32],
    items: usize,
    k: usize,
) -> Vec<(u32, f32)> {
    let scores = weights.map_or_else(|| vec![0.0; items], |w| scores(w, had));
    let mut free = vec![true; items];
    for item in had {
        free[*item as usize] = false;
    }
    let candidates = (0..items as u32)
        .filter(|i| free[*i as usize])
        .map(|i| (i, scores[i as usize]));
    best(candidates.collect(), k)
}

/// The `k` products of a customer bought most, popularity breaking ties.
pub(super) fn replenish(owned: &[Owned], half_life: usize, buyers: &[u32], k: usize) -> Vec<Owned> {
    let mut list = owned.to_vec();
    list.sort_by(|a, b| {
        b.decayed[half_life]
            .total_cmp(&a.decayed[half_life])
            .then(buyers[b.product as usize].cmp(&buyers[a.product as usize]))
            .then(a.product.cmp(&b.product))
    });
    list.truncate(k);
    list
}
