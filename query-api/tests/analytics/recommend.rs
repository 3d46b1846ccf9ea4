//! Recommendations with answers worked out by hand.

use crate::forecast::date;
use crate::noise::Noise;
use chrono::Days;
use ndarray::{Array2, array};
use query_api::analytics::recommend::models::{ease, item_knn, scores, together};
use query_api::analytics::recommend::{Discover, Options, Purchase, Reason, Recommender};

fn bought(customer: u32, product: u32, day: u64) -> Purchase {
    Purchase {
        customer,
        product,
        day: date(2026, 3, 1) + Days::new(day),
    }
}

fn small(discover: Discover) -> Options {
    Options {
        min_buyers: 1,
        discover: Some(discover),
        ..Options::default()
    }
}

#[test]
fn pairs_are_counted_and_cosines_shrunk_by_hand() {
    let baskets: [&[u32]; 4] = [&[0, 1], &[0, 1, 2], &[0], &[2]];
    let counts = together(baskets.into_iter(), 3);
    assert_eq!(counts, array![[3., 2., 1.], [2., 2., 1.], [1., 1., 2.]]);
    let weights = item_knn(&counts, 100, 50.0);
    let expected = 2.0 / (6.0f64.sqrt() + 50.0);
    assert!((f64::from(weights[(0, 1)]) - expected).abs() < 1e-7);
    assert_eq!(weights[(1, 0)], weights[(0, 1)]);
    assert_eq!(weights[(1, 1)], 0.0);

    // One neighbour: the closest of 2 is 1 (1/√4 against 1/√6), of 0 it is 1.
    let nearest = item_knn(&counts, 1, 0.0);
    assert_eq!(nearest[(0, 2)], 0.0);
    assert!((nearest[(1, 2)] - 0.5).abs() < 1e-6);
    assert_eq!(nearest[(2, 0)], 0.0);
    assert_eq!(scores(&nearest, &[1]), vec![nearest[(1, 0)], 0.0, 0.5]);
}

#[test]
fn ease_is_its_formula() {
    // X'X + λI = [[3, 1], [1, 2]]: P = 1/5·[[2, −1], [−1, 3]], B_01 = 1/3, B_10 = 1/2.
    let weights = ease(&array![[2., 1.], [1., 1.]], 1.0).unwrap();
    assert!((weights[(0, 1)] - 1.0 / 3.0).abs() < 1e-7);
    assert!((weights[(1, 0)] - 0.5).abs() < 1e-7);
    assert_eq!((weights[(0, 0)], weights[(1, 1)]), (0.0, 0.0));
}

/// EASE is the ridge regression of every item on all others: its column j minimizes
/// ‖x_j − X·b‖² + λ‖b‖² with b_j = 0, so the gradient in every other coordinate is zero.
#[test]
fn ease_solves_the_regression_it_is_derived_from() {
    let mut noise = Noise(11);
    let x = Array2::from_shape_fn((60, 12), |_| f64::from(u8::from(noise.uniform() < 0.3)));
    let (gram, lambda) = (x.t().dot(&x), 4.0);
    let b = ease(&gram, lambda).unwrap().mapv(f64::from);
    let gradient = gram.dot(&b) + &b * lambda - &gram;
    for ((i, j), slope) in gradient.indexed_iter() {
        assert!(i == j || slope.abs() < 1e-4, "{i} {j} {slope}");
    }
}

#[test]
fn replenish_counts_and_names_the_cadence() {
    let mut purchases = vec![bought(0, 3, 40), bought(1, 4, 0), bought(1, 3, 0)];
    purchases.extend((0..9).map(|i| bought(0, 1, 12 * i)));
    purchases.extend([bought(0, 2, 5), bought(0, 2, 6), bought(0, 4, 7)]);
    let today = date(2026, 3, 1) + Days::new(111);
    let recommender = Recommender::fit(&purchases, 2, 5, today, &small(Discover::ItemKnn));
    let list = recommender.recommend(0, 10).replenish;
    let products: Vec<u32> = list.iter().map(|s| s.product).collect();
    // 3 and 4 were bought once each by two customers: the number decides.
    assert_eq!(products, [1, 2, 3, 4]);
    assert_eq!(list[0].score, 9.0);
    let text = |i: usize| list[i].reason.text(|_| unreachable!());
    assert_eq!(
        text(0),
        "bought 9 times, about every 12 days, last 15 days ago: due again"
    );
    assert!(list[0].reason.is_due());
    assert_eq!(
        text(1),
        "bought twice, about every day, last 105 days ago: due again"
    );
    assert_eq!(text(2), "bought once, last 71 days ago");
    assert_eq!(recommender.recommend(0, 2).replenish.len(), 2);
}

#[test]
fn popularity_breaks_ties_of_replenish() {
    let mut purchases = vec![bought(0, 0, 1), bought(0, 1, 1)];
    purchases.extend((1..4).map(|c| bought(c, 1, 2)));
    let today = date(2026, 3, 4);
    let recommender = Recommender::fit(&purchases, 4, 2, today, &small(Discover::ItemKnn));
    let list = recommender.recommend(0, 5).replenish;
    assert_eq!((list[0].product, list[1].product), (1, 0));
}

#[test]
fn discover_names_the_products_that_speak_for_it() {
    // Who buys 0 buys 1; 2 and 3 go together; 4 is bought by everyone else.
    let mut purchases = Vec::new();
    for customer in 0..10 {
        purchases.extend([bought(customer, 0, 1), bought(customer, 1, 2)]);
    }
    for customer in 10..20 {
        purchases.extend([bought(customer, 2, 1), bought(customer, 3, 2)]);
    }
    purchases.extend((21..60).map(|c| bought(c, 4, 1)));
    purchases.push(bought(20, 0, 5));
    let today = date(2026, 4, 1);
    for model in [Discover::ItemKnn, Discover::Ease { lambda: 2.0 }] {
        let recommender = Recommender::fit(&purchases, 60, 5, today, &small(model));
        assert_eq!(recommender.model(), model);
        let list = recommender.recommend(20, 3).discover;
        assert_eq!(list[0].product, 1);
        assert_eq!(list[0].reason, Reason::GoesWith { owned: vec![0] });
        let text = list[0].reason.text(|p| format!("product {p}"));
        assert_eq!(text, "often bought by customers who buy product 0");
        // Nothing else goes with 0: what is popular fills the list up.
        assert_eq!(list[1].product, 4);
        assert_eq!(list[1].reason, Reason::Popular { customers: 39 });
        assert!(list.windows(2).all(|w| w[0].score >= w[1].score));
        assert!(list.iter().all(|s| s.product != 0));
    }
}

#[test]
fn a_customer_without_purchases_gets_what_is_popular() {
    let purchases = [bought(0, 2, 0), bought(1, 2, 0), bought(1, 1, 3)];
    let today = date(2026, 3, 9);
    let recommender = Recommender::fit(&purchases, 3, 4, today, &Options::default());
    for customer in [2, 77] {
        let lists = recommender.recommend(customer, 10);
        assert!(lists.replenish.is_empty());
        let products: Vec<u32> = lists.discover.iter().map(|s| s.product).collect();
        assert_eq!(products, [2, 1]);
        assert_eq!(lists.discover, lists.popular);
        let text = lists.discover[0].reason.text(|_| unreachable!());
        assert_eq!(text, "popular: bought by 2 customers");
        assert_eq!(lists.discover[1].reason, Reason::Popular { customers: 1 });
    }
}

#[test]
fn without_data_there_is_nothing_to_say() {
    let today = date(2026, 3, 1);
    let empty = Recommender::fit(&[], 0, 0, today, &Options::default());
    let lists = empty.recommend(0, 10);
    assert!(lists.replenish.is_empty() && lists.discover.is_empty() && lists.popular.is_empty());
    // Numbers beyond those announced are left out, not a panic.
    let stray = [bought(5, 0, 0), bought(0, 9, 0), bought(0, 0, 0)];
    let recommender = Recommender::fit(&stray, 1, 1, today, &Options::default());
    assert_eq!(recommender.popular(10).len(), 1);
}

/// Two tastes that never mix: the validation must find that an item-to-item model beats popularity,
/// and do so the same way every time.
#[test]
fn validation_prefers_a_model_that_helps() {
    let mut noise = Noise(12);
    let mut purchases = Vec::new();
    for customer in 0..200u32 {
        let taste = 20 * (customer % 2);
        for _ in 0..14 {
            let product = taste + (20.0 * noise.uniform()) as u32;
            purchases.push(bought(customer, product, (120.0 * noise.uniform()) as u64));
        }
    }
    let today = date(2026, 7, 1);
    let recommender = Recommender::fit(&purchases, 200, 40, today, &Options::default());
    let evidence = recommender.evidence();
    assert_ne!(recommender.model(), Discover::Popularity);
    assert!(evidence.customers >= 30);
    assert!(
        evidence.discover_recall > 1.3 * evidence.popularity_recall,
        "{evidence:?}"
    );
    for customer in 0..200 {
        let taste = 20 * (customer % 2);
        let first = &recommender.recommend(customer, 1).discover[0];
        assert!(
            (taste..taste + 20).contains(&first.product),
            "{customer}: {first:?}"
        );
    }
    let again = Recommender::fit(&purchases, 200, 40, today, &Options::default());
    assert_eq!(again.recommend(7, 10), recommender.recommend(7, 10));
    assert_eq!(again.evidence(), evidence);
}

#[test]
fn the_catalog_is_capped_to_the_most_widely_bought() {
    let mut purchases = Vec::new();
    for product in 0..50 {
        purchases.extend((0..=product).map(|c| bought(c, product, 0)));
    }
    let options = Options {
        max_items: 10,
        ..Options::default()
    };
    let today = date(2026, 3, 2);
    let recommender = Recommender::fit(&purchases, 50, 50, today, &options);
    assert_eq!(recommender.items(), 10);
    let capped = Options {
        min_buyers: 45,
        ..Options::default()
    };
    assert_eq!(
        Recommender::fit(&purchases, 50, 50, today, &capped).items(),
        6
    );
}
