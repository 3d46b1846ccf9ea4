//! Money end to end: what is sent is computed a second time here, and every place that shows it must agree.

mod expected;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use expected::{Figures, Group, Rows, report};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tests::{Caller, TestApp, average, micros, text};

const SEED: u64 = 20_260_301;
const CURRENCIES: [(&str, usize); 4] = [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3)];

fn places(currency: &str) -> usize {
    CURRENCIES
        .iter()
        .find(|(code, _)| *code == currency)
        .unwrap()
        .1
}

/// A line as it counts.
#[derive(Debug, Clone)]
struct Line {
    product: String,
    category: Option<&'static str>,
    quantity: i128,
    amount: i128,
}

/// A purchase as it counts.
#[derive(Debug, Clone)]
struct Purchase {
    customer: String,
    at: DateTime<Utc>,
    currency: &'static str,
    amount: i128,
    refund: bool,
    lines: Vec<Line>,
}

/// What was sent: the event, and what it counts as (nothing where cancelled).
struct Sent {
    event: Value,
    counts: Option<Purchase>,
}

/// A text of millionths, sometimes with more zeros than needed, sometimes as a JSON number.
fn stated(rng: &mut StdRng, amount: i128) -> Value {
    match rng.random_range(0..3) {
        0 => json!(text(amount, 0)),
        1 => json!(text(amount, 6)),
        // As a JSON number, digit for digit: see `line`.
        _ => json!(format!("#{}#", text(amount, 2))),
    }
}

/// The line of NDJSON of an event; numbers never pass through binary floating point here.
fn line(event: &Value) -> String {
    format!("{event}\n").replace("\"#", "").replace("#\"", "")
}

/// An amount of so many digits before the point, up to the most there may be.
fn some_amount(rng: &mut StdRng) -> i128 {
    let whole = 10_i128.pow(rng.random_range(0..=15)) - 1;
    let step: i128 = [1, 10_000, 1_000_000][rng.random_range(0..3)];
    let amount = rng.random_range(0..=whole * 1_000_000 + 999_999);
    amount / step * step
}

/// Times around midnight, month ends and changes of the clock in several zones.
fn some_time(rng: &mut StdRng) -> DateTime<Utc> {
    let days = [
        "2025-12-31",
        "2026-01-01",
        "2026-02-28",
        "2026-03-08",
        "2026-03-29",
        "2026-03-31",
        "2026-04-05",
    ];
    let day: NaiveDate = days[rng.random_range(0..days.len())].parse().unwrap();
    let second = rng.random_range(0..86_400);
    let micro = [0, 1, 999_999][rng.random_range(0..3)];
    let time =
        chrono::NaiveTime::from_num_seconds_from_midnight_opt(second, micro * 1_000).unwrap();
    day.and_time(time).and_utc()
}

fn one(rng: &mut StdRng, number: usize) -> Sent {
    let customer = format!("c-{}", rng.random_range(0..6));
    let (currency, _) = CURRENCIES[rng.random_range(0..CURRENCIES.len())];
    let at = some_time(rng);
    let mut event = json!({"type": "purchase", "event_id": format!("e-{number}"), "customer_id": customer,
        "currency": currency, "order_id": format!("o-{number}"), "occurred_at": at.to_rfc3339()});
    let mut lines = Vec::new();
    let amount = match rng.random_range(0..4) {
        // One product for the whole amount.
        0 => {
            let amount = some_amount(rng);
            event["product"] = "one".into();
            lines.push(Line {
                product: "one".into(),
                category: None,
                quantity: 1_000_000,
                amount,
            });
            amount
        }
        // No lines at all, 0.00 among them.
        1 => [some_amount(rng), 0][rng.random_range(0..2)],
        // Lines, and an amount that is their sum, or has more or less than that.
        _ => {
            let mut items = Vec::new();
            for _ in 0..rng.random_range(1..5) {
                let (line, item) = some_line(rng);
                lines.push(line);
                items.push(item);
            }
            event["items"] = items.into();
            let sum: i128 = lines.iter().map(|line| line.amount).sum();
            match rng.random_range(0..3) {
                0 => sum + 1_230_001,
                1 => sum / 2,
                _ => sum,
            }
        }
    };
    event["amount"] = stated(rng, amount);
    let mut refund = false;
    match rng.random_range(0..8) {
        // Given back, stated positive: read as negative.
        0 => {
            event["status"] = "refunded".into();
            event["refund_of"] = "an order that nobody knows".into();
            refund = true;
        }
        // Given back, stated negative with negative lines.
        1 if amount > 0 => {
            refund = true;
            event["amount"] = stated(rng, -amount);
            for (line, item) in lines
                .iter()
                .zip(event["items"].as_array_mut().into_iter().flatten())
            {
                item["amount"] = text(-line.amount, 0).into();
                item["quantity"] = text(-line.quantity, 0).into();
            }
            // A product is one piece even where its amount is negative.
            if event.get("product").is_some() {
                lines[0].quantity = -1_000_000;
            }
            if rng.random_range(0..2) == 0 {
                event["status"] = "refunded".into();
            }
        }
        2 => {
            event["status"] = "cancelled".into();
            return Sent {
                event,
                counts: None,
            };
        }
        3 => event["status"] = "completed".into(),
        _ => {}
    }
    // Nothing given back is nothing: only a positive amount is turned.
    let sign = if refund && amount > 0 { -1 } else { 1 };
    let product_refunded_negative =
        refund && event.get("product").is_some() && lines[0].quantity < 0;
    for line in &mut lines {
        line.amount *= sign;
        line.quantity *= if product_refunded_negative { -1 } else { sign };
    }
    Sent {
        event,
        counts: Some(Purchase {
            customer,
            at,
            currency,
            amount: amount * sign,
            refund,
            lines,
        }),
    }
}

fn some_line(rng: &mut StdRng) -> (Line, Value) {
    let number = rng.random_range(0..6);
    let category = [Some("food"), Some("toys"), None][number % 3];
    let mut item =
        json!({"product_id": format!("p-{number}"), "name": format!("Product {number}")});
    if let Some(category) = category {
        item["category"] = category.into();
    }
    let quantity = [1_000_000, 3_000_000, 1_500_000, 250_000][rng.random_range(0..4)];
    let price = rng.random_range(0..1_000_000) * 10_000;
    let amount = match rng.random_range(0..3) {
        // Stated, or quantity times price, or nothing.
        0 => {
            let amount = rng.random_range(0..1_000_000_000);
            item["amount"] = text(amount, 0).into();
            amount
        }
        1 => {
            item["unit_price"] = text(price, 2).into();
            quantity * price / 1_000_000
        }
        _ => 0,
    };
    if quantity != 1_000_000 || rng.random_range(0..2) == 0 {
        item["quantity"] = stated(rng, quantity);
    }
    let line = Line {
        product: format!("p-{number}"),
        category,
        quantity,
        amount,
    };
    (line, item)
}

/// Compares a report with what it must be, row for row.
async fn assert_report(
    key: &Caller,
    path: &str,
    expected: (Rows, Figures),
    currency: &str,
    group: Group,
) {
    let places = places(currency);
    let answer = key.get(path).await.expect(200);
    assert_eq!(answer["currency"], currency, "{path}");
    let mut found = BTreeMap::new();
    for row in answer["rows"].as_array().unwrap() {
        let period: NaiveDate = row["period"].as_str().unwrap().parse().unwrap();
        let name = row["group"].as_str().map(str::to_owned);
        assert_eq!(
            row.get("group").is_some(),
            group != Group::None,
            "{path}: {row}"
        );
        let mut figures = row.clone();
        let members = figures.as_object_mut().unwrap();
        members.retain(|name, _| !["period", "group", "name"].contains(&name.as_str()));
        assert!(
            found.insert((period, name), figures).is_none(),
            "{path}: a row comes twice: {row}"
        );
    }
    let (rows, totals) = expected;
    let keys = |rows: &mut dyn Iterator<Item = &(NaiveDate, Option<String>)>| {
        rows.cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&mut found.keys()),
        keys(&mut rows.keys()),
        "{path}: rows"
    );
    for (key, figures) in &rows {
        let (mut expected, mut shown) = (figures.json(places), found[key].clone());
        if key.1.is_none() && group != Group::None {
            // What is beyond the items has no orders of its own to speak of: its money and units count.
            for value in [&mut expected, &mut shown] {
                value
                    .as_object_mut()
                    .unwrap()
                    .retain(|name, _| ["revenue", "units"].contains(&name.as_str()));
            }
        }
        assert_eq!(shown, expected, "{path}: {key:?}");
    }
    assert_eq!(answer["totals"], totals.json(places), "{path}: totals");
}

#[tokio::test]
async fn every_place_shows_the_same_money_to_the_last_digit() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    let mut rng = StdRng::seed_from_u64(SEED);
    let sent: Vec<Sent> = (0..600).map(|number| one(&mut rng, number)).collect();
    for chunk in sent.chunks(50) {
        let body: String = chunk.iter().map(|sent| line(&sent.event)).collect();
        let answer = key.ingest_lines(body).await.expect(202);
        assert_eq!(
            answer["accepted"].as_u64(),
            Some(chunk.len() as u64),
            "{answer:#}"
        );
    }
    let settled = app.wait_settled().await;
    assert_eq!(
        settled["totals"]["events"].as_u64(),
        Some(sent.len() as u64)
    );
    let all: Vec<Purchase> = sent.iter().filter_map(|sent| sent.counts.clone()).collect();
    let of = |currency: &str| -> Vec<Purchase> {
        all.iter()
            .filter(|sale| sale.currency == currency)
            .cloned()
            .collect()
    };

    for (currency, _) in CURRENCIES {
        let sales = of(currency);
        assert!(
            sales.iter().filter(|sale| sale.refund).count() > 5,
            "the seed gives refunds in {currency}"
        );
        for zone in ["UTC", "America/New_York", "Asia/Kathmandu"] {
            let parsed: Tz = zone.parse().unwrap();
            let tz = tests::encoded(zone);
            for period in ["day", "week", "month"] {
                for (group, name) in [
                    (Group::None, ""),
                    (Group::Product, "&group_by=product"),
                    (Group::Category, "&group_by=category"),
                    (Group::Customer, "&group_by=customer"),
                ] {
                    let path =
                        format!("/reports/sales?period={period}&currency={currency}&tz={tz}{name}");
                    assert_report(
                        &key,
                        &path,
                        report(&sales, parsed, period, group, None),
                        currency,
                        group,
                    )
                    .await;
                }
            }
            let range: (NaiveDate, NaiveDate) =
                ("2026-01-01".parse().unwrap(), "2026-03-29".parse().unwrap());
            let path = format!(
                "/reports/sales?period=month&currency={currency}&tz={tz}&from={}&to={}",
                range.0, range.1
            );
            let expected = report(&sales, parsed, "month", Group::None, Some(range));
            assert!(expected.1.orders > 0);
            assert_report(&key, &path, expected, currency, Group::None).await;
        }
    }
    assert_customers(&key, &all).await;
    assert_query(&key, &all).await;
}

/// The summaries and the list against the purchases.
async fn assert_customers(key: &Caller, all: &[Purchase]) {
    let list = key.get("/customers").await.expect(200);
    let listed = list["items"].as_array().unwrap();
    let customers: BTreeSet<&str> = all.iter().map(|sale| sale.customer.as_str()).collect();
    assert_eq!(listed.len(), customers.len());
    for (item, customer) in listed.iter().zip(&customers) {
        let own: Vec<&Purchase> = all
            .iter()
            .filter(|sale| sale.customer == *customer)
            .collect();
        let orders = own.iter().filter(|sale| !sale.refund).count();
        let last = own
            .iter()
            .filter(|sale| !sale.refund)
            .map(|sale| sale.at)
            .max()
            .unwrap();
        let mut by_currency = BTreeMap::new();
        for sale in &own {
            by_currency
                .entry(sale.currency)
                .or_insert_with(Figures::default)
                .add(sale, sale.amount, 0);
        }
        let summary = key
            .get(&format!("/customers/{customer}/summary"))
            .await
            .expect(200);
        let value = &summary["value"];
        let shown = value["by_currency"].as_object().unwrap();
        assert_eq!(shown.len(), by_currency.len());
        for (currency, figures) in &by_currency {
            let places = places(currency);
            let of = &shown[*currency];
            assert_eq!(
                of["total_revenue"],
                text(figures.revenue, places),
                "{customer} in {currency}"
            );
            assert_eq!(
                of["total_orders"],
                json!(figures.orders),
                "{customer} in {currency}"
            );
            let average = average(figures.revenue + figures.refunds, figures.orders, places);
            assert_eq!(
                of["average_order_value"],
                json!(average),
                "{customer} in {currency}"
            );
        }
        let own_currency = by_currency.get("USD").cloned().unwrap_or_default();
        assert_eq!(
            value["total_revenue"],
            text(own_currency.revenue, 2),
            "{customer}"
        );
        assert_eq!(value["total_orders"], json!(orders), "{customer}");
        let shown_last =
            DateTime::parse_from_rfc3339(value["last_order_date"].as_str().unwrap()).unwrap();
        assert_eq!(shown_last, last, "{customer}");
        assert_eq!(item["customer_id"], *customer);
        assert_eq!(item["total_revenue"], text(own_currency.revenue, 2));
        assert_eq!(item["total_orders"], json!(orders));
    }
}

/// The archive, as a query sees it.
async fn assert_query(key: &Caller, all: &[Purchase]) {
    let rows = key
        .sql(
            "SELECT currency, sum(amount), count(*) FROM events WHERE kind = 'purchase' AND status <> 'cancelled' \
             GROUP BY currency ORDER BY currency",
        )
        .await;
    let mut expected: BTreeMap<&str, (i128, u64)> = BTreeMap::new();
    for sale in all {
        let sum = expected.entry(sale.currency).or_default();
        sum.0 += sale.amount;
        sum.1 += 1;
    }
    assert_eq!(rows.len(), expected.len());
    for (row, (currency, (sum, count))) in rows.iter().zip(expected) {
        assert_eq!(row[0], currency);
        assert_eq!(micros(row[1].as_str().unwrap()), sum, "{currency}");
        assert_eq!(row[2], count, "{currency}");
    }
    let rows = key
        .sql("SELECT sum(amount), sum(quantity) FROM items WHERE status <> 'cancelled'")
        .await;
    let lines = || all.iter().flat_map(|sale| &sale.lines);
    assert_eq!(
        micros(rows[0][0].as_str().unwrap()),
        lines().map(|line| line.amount).sum::<i128>()
    );
    assert_eq!(
        micros(rows[0][1].as_str().unwrap()),
        lines().map(|line| line.quantity).sum::<i128>()
    );
}

#[tokio::test]
async fn the_largest_sums_stay_exact() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    let most = "999999999999999.999999";
    let body: String = (0..10_000)
        .map(|n| {
            format!(
                "{}\n",
                json!({"type": "purchase", "event_id": format!("e-{n}"), "customer_id": "c",
            "amount": most, "occurred_at": "2026-03-01T10:00:00Z"})
            )
        })
        .collect();
    assert_eq!(key.ingest_lines(body).await.expect(202)["accepted"], 10_000);
    let back =
        json!({"event_id": "back", "customer_id": "c", "amount": "-0.000001", "refund_of": "e-1"});
    key.ingest("/ingest/purchases", back.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let sum = text(10_000 * micros(most) - 1, 2);
    let value = key.get("/customers/c/summary").await.expect(200)["value"].take();
    assert_eq!(value["total_revenue"], sum.as_str());
    assert_eq!(value["average_order_value"], "1000000000000000.00");
    let sales = key.get("/reports/sales").await.expect(200);
    assert_eq!(sales["totals"]["revenue"], sum.as_str());
    assert_eq!(sales["totals"]["refunds"], "0.000001");
    let queried = key.sql_cell("SELECT sum(amount) FROM events").await;
    assert_eq!(micros(queried.as_str().unwrap()), micros(&sum));
}

#[tokio::test]
async fn nothing_and_cancelled_and_given_back_count_as_the_wire_forms_say() {
    let app = TestApp::start().await;
    let acme = app
        .register_with(
            "acme",
            json!({"currency": "EUR", "timezone": "Europe/Berlin"}),
        )
        .await;
    let key = acme.key(&["ingest", "read"]).await;
    let at = |time: &str, rest: Value| {
        let mut event = json!({"customer_id": "c", "occurred_at": time});
        event
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        event.to_string()
    };
    for event in [
        // Free of charge is an order.
        at("2026-03-01T12:00:00Z", json!({"amount": "0.00"})),
        // Late in the evening in UTC is the next day in Berlin.
        at(
            "2026-03-01T23:30:00Z",
            json!({"amount": 10, "product": "tea"}),
        ),
        at(
            "2026-03-02T12:00:00Z",
            json!({"amount": "4.00", "status": "refunded", "product": "tea"}),
        ),
        at("2026-03-02T12:00:00Z", json!({"amount": "-1.00"})),
        at(
            "2026-03-02T12:00:00Z",
            json!({"amount": "77.00", "status": "cancelled", "product": "tea"}),
        ),
        at(
            "2026-03-02T12:00:00Z",
            json!({"amount": "5.00", "currency": "USD"}),
        ),
    ] {
        key.ingest("/ingest/purchases", event).await.expect(202);
    }
    app.wait_settled().await;
    let sales = key.get("/reports/sales?period=day").await.expect(200);
    assert_eq!(sales["currency"], "EUR");
    assert_eq!(
        sales["rows"],
        json!([
            {"period": "2026-03-01", "revenue": "0.00", "refunds": "0.00", "orders": 1, "units": "0", "customers": 1,
             "average_order": "0.00"},
            {"period": "2026-03-02", "revenue": "5.00", "refunds": "5.00", "orders": 1, "units": "0", "customers": 1,
             "average_order": "10.00"},
        ])
    );
    assert_eq!(sales["totals"]["average_order"], "5.00");
    let value = key.get("/customers/c/summary").await.expect(200)["value"].take();
    assert_eq!(value["total_revenue"], "5.00");
    assert_eq!(value["average_order_value"], "5.00");
    assert_eq!(value["total_orders"], 3, "orders of every currency");
    assert_eq!(value["by_currency"]["USD"]["total_revenue"], "5.00");
    let back = key
        .sql("SELECT amount, status FROM events WHERE amount < 0 ORDER BY amount")
        .await;
    assert_eq!(
        json!(back),
        json!([["-4.000000", "refunded"], ["-1.000000", "completed"]])
    );
}
