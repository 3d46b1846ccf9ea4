//! What to offer whom: products to buy again (*replenish*) and products to try (*discover*), each
//! with its reason, beside the popularity list.
//!
//! [`Recommender::fit`] trains once on a snapshot of all purchases; [`Recommender::recommend`] then
//! answers for any customer without training. `replenish` ranks a customer's own products by how
//! often they bought them, popularity breaking ties. `discover` is item-kNN or EASE^R, whichever
//! found more of what customers went on to buy in the last weeks of the data ([`Evidence`]).

mod catalog;
mod history;
pub mod models;
mod reason;
mod validation;

pub use reason::Reason;
pub use validation::Evidence;

use catalog::{Catalog, by_popularity};
use chrono::NaiveDate;
use history::{History, Owned};
use models::Weights;

/// A product in one order of a customer. Customers and products are numbered by the caller. A
/// product that is twice in an order is one purchase; refunds are left out by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purchase {
    /// The customer's number.
    pub customer: u32,
    /// The product's number.
    pub product: u32,
    /// The day of the order.
    pub day: NaiveDate,
}

/// How to train.
#[derive(Debug, Clone)]
pub struct Options {
    /// Buyers below which a product is not suggested to others.
    pub min_buyers: u32,
    /// The most products the item-to-item model knows: the most widely bought. Its memory grows
    /// with the square, the time of EASE with the cube.
    pub max_items: usize,
    /// The model for `discover`; chosen by validation when not given.
    pub discover: Option<Discover>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            min_buyers: 5,
            max_items: 2_000,
            discover: None,
        }
    }
}

/// A model for `discover`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "model")]
pub enum Discover {
    /// What most customers bought.
    Popularity,
    /// Cosine neighbours of what the customer bought.
    ItemKnn,
    /// EASE^R.
    Ease {
        /// λ, what is added to the diagonal of X'X.
        lambda: f64,
    },
}

/// A product to offer.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// The product's number.
    pub product: u32,
    /// Larger is better; comparable inside one list only.
    pub score: f64,
    /// Why.
    pub reason: Reason,
}

/// What to offer one customer, the best first in each list.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendations {
    /// Bought before.
    pub replenish: Vec<Suggestion>,
    /// Not bought before.
    pub discover: Vec<Suggestion>,
    /// What most customers bought, the baseline of both.
    pub popular: Vec<Suggestion>,
}

/// Trained models on a snapshot of purchases.
#[derive(Debug, Clone)]
pub struct Recommender {
    today: NaiveDate,
    history: History,
    buyers: Vec<u32>,
    popular: Vec<u32>,
    catalog: Catalog,
    weights: Option<Weights>,
    discover: Discover,
    half_life: usize,
    evidence: Evidence,
}

impl Recommender {
    /// Trains on `purchases` of customers numbered below `customers` and products below
    /// `products`; purchases beyond either are left out. `today` is the day the reasons count from.
    pub fn fit(
        purchases: &[Purchase],
        customers: usize,
        products: usize,
        today: NaiveDate,
        options: &Options,
    ) -> Recommender {
        let known =
            |p: &&Purchase| (p.customer as usize) < customers && (p.product as usize) < products;
        let purchases: Vec<Purchase> = purchases.iter().filter(known).copied().collect();
        let choice = validation::choose(&purchases, customers, products, options);
        let history = History::build(purchases, customers, today);
        let buyers = history.buyers(products);
        let catalog = Catalog::new(&buyers, options.min_buyers, options.max_items);
        let discover = options.discover.unwrap_or(choice.discover);
        let weights = if discover == Discover::Popularity {
            None
        } else {
            let baskets: Vec<Vec<u32>> = (0..customers as u32)
                .map(|c| catalog.owned(&history, c))
                .collect();
            let pairs = models::together(baskets.iter().map(Vec::as_slice), catalog.len());
            validation::fit_weights(discover, &pairs)
        };
        Recommender {
            today,
            popular: by_popularity(&buyers),
            history,
            buyers,
            catalog,
            weights,
            discover,
            half_life: choice.half_life,
            evidence: choice.evidence,
        }
    }

    /// The lists for `customer`, `k` products each at most. A customer without purchases gets
    /// popular products to discover, and nothing to replenish.
    pub fn recommend(&self, customer: u32, k: usize) -> Recommendations {
        let owned = self.history.of(customer);
        Recommendations {
            replenish: self.replenish(owned, k),
            discover: self.discover(customer, owned, k),
            popular: self.popular(k),
        }
    }

    /// The `k` products most customers bought.
    pub fn popular(&self, k: usize) -> Vec<Suggestion> {
        let top = self.popular.iter().take(k);
        top.map(|product| self.popularity(*product)).collect()
    }

    /// The model behind `discover`.
    pub fn model(&self) -> Discover {
        self.discover
    }

    /// Products the model of `discover` knows: at most [`Options::max_items`] of those with
    /// [`Options::min_buyers`] buyers.
    pub fn items(&self) -> usize {
        self.catalog.len()
    }

    /// How the models did on the end of the data before they were trained on all of it.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    fn replenish(&self, owned: &[Owned], k: usize) -> Vec<Suggestion> {
        validation::replenish(owned, self.half_life, &self.buyers, k)
            .into_iter()
            .map(|o| Suggestion {
                product: o.product,
                score: f64::from(o.decayed[self.half_life]),
                reason: Reason::BoughtBefore {
                    times: o.times,
                    every_days: o.gap_days,
                    days_ago: (self.today - o.last).num_days().max(0),
                },
            })
            .collect()
    }

    fn discover(&self, customer: u32, owned: &[Owned], k: usize) -> Vec<Suggestion> {
        let had = self.catalog.owned(&self.history, customer);
        let mut list = Vec::with_capacity(k);
        if let Some(weights) = &self.weights {
            for (item, score) in validation::discover(Some(weights), &had, self.items(), k) {
                let because = self.contributors(weights, &had, item);
                if score <= 0.0 || because.is_empty() {
                    break;
                }
                list.push(Suggestion {
                    product: self.catalog.products[item as usize],
                    score: f64::from(score),
                    reason: Reason::GoesWith { owned: because },
                });
            }
        }
        let modelled = list.len();
        for product in &self.popular {
            if list.len() >= k {
                break;
            }
            let has = owned.binary_search_by_key(product, |o| o.product).is_ok();
            if !has && list.iter().all(|s| s.product != *product) {
                let mut filler = self.popularity(*product);
                if modelled > 0 {
                    // Filling up: below every score of the model.
                    filler.score = 0.0;
                }
                list.push(filler);
            }
        }
        list
    }

    /// The one or two products owned that speak most for `item`.
    fn contributors(&self, weights: &Weights, had: &[u32], item: u32) -> Vec<u32> {
        let column = weights.column(item as usize);
        let parts = had.iter().map(|i| (*i, column[*i as usize]));
        catalog::best(parts.filter(|(_, weight)| *weight > 0.0).collect(), 2)
            .into_iter()
            .map(|(i, _)| self.catalog.products[i as usize])
            .collect()
    }

    fn popularity(&self, product: u32) -> Suggestion {
        let customers = self.buyers[product as usize];
        Suggestion {
            product,
            score: f64::from(customers),
            reason: Reason::Popular { customers },
        }
    }
}
