#![allow(clippy::unwrap_used)]

use super::*;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

fn item(quantity: &str, unit_price: &str) -> QuoteItem {
    QuoteItem {
        quantity: d(quantity),
        unit_price: d(unit_price),
        total: None,
    }
}

fn quote(items: &[(&str, &str)]) -> Quote {
    Quote {
        items: items
            .iter()
            .map(|(quantity, price)| item(quantity, price))
            .collect(),
        ..Quote::default()
    }
}

fn wrong(quote: &Quote) -> String {
    totals(quote, Currency::USD).unwrap_err().field
}

#[test]
fn a_quote_adds_up() {
    let quote = Quote {
        discount_rate: Some(d("10")),
        tax_rate: Some(d("20")),
        ..quote(&[("3", "19.99"), ("0.5", "7.25"), ("1", "-5")])
    };
    let totals = totals(&quote, Currency::USD).unwrap();
    // 59.97 + 3.63 (3.625) − 5 = 58.60; 5.86 off; 20% of 52.74 is 10.548.
    assert_eq!(totals.items, [d("59.97"), d("3.63"), d("-5")]);
    assert_eq!(totals.subtotal, d("58.6"));
    assert_eq!(totals.discount, d("5.86"));
    assert_eq!(totals.tax, d("10.55"));
    assert_eq!(totals.total, d("63.29"));
}

#[test]
fn rounding_is_half_up_once_and_in_the_currency() {
    let of = |code: &str, quantity: &str, price: &str| {
        totals(&quote(&[(quantity, price)]), currency(code))
            .unwrap()
            .total
            .to_string()
    };
    assert_eq!(of("USD", "1", "0.005"), "0.01");
    assert_eq!(of("USD", "1", "0.004999"), "0");
    // To the sixth place first it would be 0.005, and then 0.01.
    assert_eq!(of("USD", "0.5", "0.009999"), "0");
    assert_eq!(of("JPY", "1.5", "1"), "2");
    assert_eq!(of("KWD", "1", "0.0005"), "0.001");
    let taken = totals(&quote(&[("1", "10"), ("1", "-0.005")]), Currency::USD).unwrap();
    assert_eq!(taken.items[1], d("-0.01"), "away from zero");
}

#[test]
fn what_is_stated_must_be_what_is_made() {
    let right = Quote {
        items: vec![QuoteItem {
            total: Some(d("20")),
            ..item("2", "10")
        }],
        subtotal: Some(d("20.00")),
        discount: Some(d("5")),
        tax_rate: Some(d("7.5")),
        tax: Some(d("1.13")),
        total: Some(d("16.13")),
        ..Quote::default()
    };
    assert_eq!(totals(&right, Currency::USD).unwrap().total, d("16.13"));
    let mut one = right.clone();
    one.items[0].total = Some(d("20.000001"));
    assert_eq!(wrong(&one), "items[0].total");
    assert_eq!(
        wrong(&Quote {
            subtotal: Some(d("20.01")),
            ..right.clone()
        }),
        "subtotal"
    );
    assert_eq!(
        wrong(&Quote {
            discount_rate: Some(d("5")),
            ..right.clone()
        }),
        "discount"
    );
    assert_eq!(
        wrong(&Quote {
            tax: Some(d("1.12")),
            ..right.clone()
        }),
        "tax"
    );
    let error = totals(
        &Quote {
            total: Some(d("16.12")),
            ..right
        },
        Currency::USD,
    )
    .unwrap_err();
    assert_eq!(
        (error.field.as_str(), error.code),
        ("total", Code::Conflict)
    );
    assert!(
        error.detail.contains("make 16.13, not 16.12"),
        "{}",
        error.detail
    );
}

#[test]
fn what_is_out_of_range_is_named() {
    assert_eq!(
        wrong(&quote(&[("1", "1"), ("0", "1")])),
        "items[1].quantity"
    );
    assert_eq!(wrong(&quote(&[("-1", "1")])), "items[0].quantity");
    assert_eq!(wrong(&quote(&[("1", "-1")])), "subtotal");
    let ten = quote(&[("1", "10")]);
    let with = |change: fn(&mut Quote)| {
        let mut changed = ten.clone();
        change(&mut changed);
        wrong(&changed)
    };
    assert_eq!(
        with(|q| q.discount = Some(Decimal::from_whole(11))),
        "discount"
    );
    assert_eq!(
        with(|q| q.discount = Some(Decimal::from_whole(-1))),
        "discount"
    );
    assert_eq!(
        with(|q| q.discount_rate = Some(Decimal::from_whole(101))),
        "discount_rate"
    );
    assert_eq!(
        with(|q| q.tax = Some(Decimal::from_micros(1_001_000))),
        "tax"
    );
    assert_eq!(
        with(|q| q.tax_rate = Some(Decimal::from_whole(-1))),
        "tax_rate"
    );
    assert_eq!(
        with(|q| q.items = vec![q.items[0]; MOST_ITEMS + 1]),
        "items"
    );
    assert_eq!(
        totals(&Quote::default(), Currency::USD).unwrap().total,
        Decimal::ZERO
    );
}

#[test]
fn nothing_overflows() {
    let most = "999999999999999.999999";
    assert_eq!(wrong(&quote(&[(most, most)])), "items[0].total");
    assert_eq!(
        wrong(&quote(&[("1000000", "1000000000")])),
        "items[0].total"
    );
    assert_eq!(
        wrong(&quote(&[("1", "999999999999999"), ("1", "1")])),
        "subtotal"
    );
    let taxed = Quote {
        tax_rate: Some(d("1000")),
        ..quote(&[("1", "999999999999999")])
    };
    assert_eq!(wrong(&taxed), "tax");
    let beyond = Decimal::from_micros(i128::MAX);
    let mut one = quote(&[("1", "1")]);
    one.items[0].unit_price = beyond;
    assert_eq!(wrong(&one), "items[0].unit_price");
    let stated = Quote {
        tax: Some(Decimal::from_micros(i128::MIN)),
        ..quote(&[("1", "1")])
    };
    assert_eq!(wrong(&stated), "tax");
}

#[test]
fn numbers_have_six_digits_at_least() {
    assert_eq!(quote_number(NUMBER_PREFIX, 42), "Q-000042");
    assert_eq!(quote_number("2026/", 1_234_567), "2026/1234567");
    assert_eq!(quote_number("", u64::MAX), u64::MAX.to_string());
}
