//! The products the item-to-item models know, and customers' histories in their terms.

use super::history::History;

/// The most widely bought products, numbered from 0 in order of popularity.
#[derive(Debug, Clone)]
pub(super) struct Catalog {
    /// Product of each item.
    pub(super) products: Vec<u32>,
    /// Item of each product.
    items: Vec<Option<u32>>,
}

impl Catalog {
    /// Products with at least `least` buyers, at most `most` of them, the most widely bought first.
    pub(super) fn new(buyers: &[u32], least: u32, most: usize) -> Catalog {
        let mut products = by_popularity(buyers);
        products.retain(|p| buyers[*p as usize] >= least.max(1));
        products.truncate(most);
        let mut items = vec![None; buyers.len()];
        for (item, product) in products.iter().enumerate() {
            items[*product as usize] = Some(item as u32);
        }
        Catalog { products, items }
    }

    pub(super) fn len(&self) -> usize {
        self.products.len()
    }

    pub(super) fn item(&self, product: u32) -> Option<u32> {
        self.items.get(product as usize).copied().flatten()
    }

    /// The items a customer has, leaving out products beyond the catalog.
    pub(super) fn owned(&self, history: &History, customer: u32) -> Vec<u32> {
        let owned = history.of(customer).iter();
        owned.filter_map(|o| self.item(o.product)).collect()
    }
}

/// All products with a buyer, the most widely bought first; ties by number.
pub(super) fn by_popularity(buyers: &[u32]) -> Vec<u32> {
    let mut products: Vec<u32> = (0..buyers.len() as u32)
        .filter(|p| buyers[*p as usize] > 0)
        .collect();
    products.sort_by_key(|p| (std::cmp::Reverse(buyers[*p as usize]), *p));
    products
}

/// The first `k` of `candidates` by descending score; ties keep the order given.
pub(super) fn best(mut candidates: Vec<(u32, f32)>, k: usize) -> Vec<(u32, f32)> {
    // Stable, so that equal scores stay in the order of popularity.
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
    candidates.truncate(k);
    candidates
}
