//! What each customer bought, how often and when, in one flat table.

use super::Purchase;
use chrono::NaiveDate;

/// One product in a customer's history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Owned {
    pub(super) product: u32,
    pub(super) times: u32,
    pub(super) last: NaiveDate,
    /// Median days between two purchases on different days; none after one day of purchases.
    pub(super) gap_days: Option<f32>,
    /// Purchases, each halved for every half-life since, for each of [`HALF_LIVES`].
    pub(super) decayed: [f32; HALF_LIVES.len()],
}

/// Days after which a purchase counts half. The first never fades: the plain count.
pub(super) const HALF_LIVES: [f32; 4] = [f32::INFINITY, 180.0, 90.0, 45.0];

/// All customers' products, customer by customer.
#[derive(Debug, Clone)]
pub(super) struct History {
    offsets: Vec<usize>,
    owned: Vec<Owned>,
}

impl History {
    /// Gathers `purchases` as seen at the end of `today`.
    pub(super) fn build(mut purchases: Vec<Purchase>, customers: usize, today: NaiveDate) -> Self {
        purchases.sort_unstable_by_key(|p| (p.customer, p.product, p.day));
        let mut offsets = vec![0; customers + 1];
        let mut owned = Vec::new();
        let same = |a: &Purchase, b: &Purchase| (a.customer, a.product) == (b.customer, b.product);
        for group in purchases.chunk_by(same) {
            owned.push(summarize(group, today));
            offsets[group[0].customer as usize + 1] += 1;
        }
        for i in 0..customers {
            offsets[i + 1] += offsets[i];
        }
        History { offsets, owned }
    }

    pub(super) fn customers(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The products of a customer, by product; empty for one never seen.
    pub(super) fn of(&self, customer: u32) -> &[Owned] {
        let customer = customer as usize;
        if customer >= self.customers() {
            return &[];
        }
        &self.owned[self.offsets[customer]..self.offsets[customer + 1]]
    }

    /// How many customers bought each product.
    pub(super) fn buyers(&self, products: usize) -> Vec<u32> {
        let mut buyers = vec![0; products];
        for owned in &self.owned {
            buyers[owned.product as usize] += 1;
        }
        buyers
    }
}

fn summarize(group: &[Purchase], today: NaiveDate) -> Owned {
    let last = group[group.len() - 1].day;
    let mut gaps: Vec<f32> = group
        .windows(2)
        .map(|pair| (pair[1].day - pair[0].day).num_days() as f32)
        .filter(|days| *days > 0.0)
        .collect();
    gaps.sort_unstable_by(f32::total_cmp);
    let middle = gaps.len() / 2;
    let gap_days = match gaps.len() {
        0 => None,
        n if n % 2 == 1 => Some(gaps[middle]),
        _ => Some((gaps[middle - 1] + gaps[middle]) / 2.0),
    };
    let decayed = HALF_LIVES.map(|half| {
        let weight = |p: &Purchase| {
            let age = (today - p.day).num_days().max(0) as f32;
            (-age / half).exp2()
        };
        group.iter().map(weight).sum()
    });
    Owned {
        product: group[0].product,
        times: u32::try_from(group.len()).unwrap_or(u32::MAX),
        last,
        gap_days,
        decayed,
    }
}
