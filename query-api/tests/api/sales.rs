//! The sales report against a plain computation over the same purchases.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate, TimeZone};
use chrono_tz::Tz;
use schemas::{Currency, Decimal};
use serde_json::{Value, json};

use crate::data::{Item, Purchase, archive_rows, decimal, hot_rows, micros, mixed};
use crate::harness::{Tenant, run};

#[derive(Default, Clone)]
struct Sums {
    revenue: Decimal,
    refunds: Decimal,
    orders: BTreeSet<usize>,
    units: Decimal,
    customers: BTreeSet<String>,
}

impl Sums {
    fn json(&self, currency: Currency) -> Value {
        let places = currency.decimals();
        let orders = self.orders.len();
        let average = (self.revenue + self.refunds).divided(orders as u64, places);
        json!({
            "revenue": self.revenue.to_text(places),
            "refunds": self.refunds.to_text(places),
            "orders": orders,
            "units": self.units.to_text(0),
            "customers": self.customers.len(),
            "average_order": average.map(|average| average.to_text(places)),
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum By {
    Period,
    Product,
    Category,
    Customer,
}

struct Ask {
    period: &'static str,
    by: By,
    currency: &'static str,
    zone: Tz,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

type Rows = BTreeMap<(NaiveDate, Option<String>), Sums>;

/// The report as wire.md describes it, one purchase after the other.
fn expected(purchases: &[Purchase], ask: &Ask) -> (Rows, Sums) {
    let mut rows = Rows::new();
    let mut totals = Sums::default();
    for (number, purchase) in purchases.iter().enumerate() {
        let utc = chrono::DateTime::from_timestamp_micros(purchase.at)
            .unwrap()
            .naive_utc();
        let day = ask.zone.from_utc_datetime(&utc).date_naive();
        let inside = ask.from.is_none_or(|from| day >= from) && ask.to.is_none_or(|to| day < to);
        if purchase.currency != ask.currency || purchase.status == "cancelled" || !inside {
            continue;
        }
        let period = match ask.period {
            "day" => day,
            "week" => day - chrono::Days::new(u64::from(day.weekday().num_days_from_monday())),
            _ => day.with_day(1).unwrap(),
        };
        let refund = purchase.status == "refunded" || purchase.amount.is_negative();
        let add = |sums: &mut Sums, amount: Decimal, units: Decimal| {
            sums.revenue += amount;
            sums.units += units;
            if refund {
                sums.refunds += -amount;
            } else {
                sums.orders.insert(number);
                sums.customers.insert(purchase.customer.clone());
            }
        };
        let units: Decimal = purchase.items.iter().map(|item| item.quantity).sum();
        add(&mut totals, purchase.amount, units);
        match ask.by {
            By::Period => add(
                rows.entry((period, None)).or_default(),
                purchase.amount,
                units,
            ),
            By::Customer => {
                let group = Some(purchase.customer.clone());
                add(
                    rows.entry((period, group)).or_default(),
                    purchase.amount,
                    units,
                );
            }
            By::Product | By::Category => {
                let mut rest = purchase.amount;
                for item in &purchase.items {
                    rest += -item.amount;
                    let group = match ask.by {
                        By::Product => &item.product,
                        _ => &item.category,
                    };
                    let group = Some(group.clone()).filter(|group| !group.is_empty());
                    add(
                        rows.entry((period, group)).or_default(),
                        item.amount,
                        item.quantity,
                    );
                }
                if rest != Decimal::ZERO || purchase.items.is_empty() {
                    add(rows.entry((period, None)).or_default(), rest, Decimal::ZERO);
                }
            }
        }
    }
    (rows, totals)
}

fn check(report: &Value, purchases: &[Purchase], ask: &Ask, what: &str) {
    let currency = Currency::parse(ask.currency).unwrap();
    let (rows, totals) = expected(purchases, ask);
    let found = report["rows"].as_array().unwrap();
    assert_eq!(found.len(), rows.len(), "{what}");
    for row in found {
        let period: NaiveDate = row["period"].as_str().unwrap().parse().unwrap();
        let group = row.get("group").and_then(Value::as_str).map(str::to_owned);
        assert_eq!(
            row.get("group").is_some(),
            ask.by != By::Period,
            "{what}: {row}"
        );
        let sums = rows
            .get(&(period, group))
            .unwrap_or_else(|| panic!("{what}: unexpected {row}"));
        for (name, value) in sums.json(currency).as_object().unwrap() {
            assert_eq!(&row[name], value, "{what}: {name} of {row}");
        }
    }
    assert_eq!(report["totals"], totals.json(currency), "{what}");
    assert_eq!(report["currency"], ask.currency);
}

#[test]
fn the_report_is_the_plain_computation() {
    run(async {
        let tenant = Tenant::with(
            "sales",
            json!({"currency": "EUR", "timezone": "Europe/Berlin"}),
        )
        .await;
        let purchases = mixed(1_200, 7);
        tenant.at.lay_out(&tenant.organization, &purchases).await;
        let date = |text: &str| -> Option<NaiveDate> { Some(text.parse().unwrap()) };
        for period in ["day", "week", "month"] {
            for (name, by) in [
                ("", By::Period),
                ("product", By::Product),
                ("category", By::Category),
                ("customer", By::Customer),
            ] {
                for (currency, zone, from, to) in [
                    ("EUR", Tz::Europe__Berlin, None, None),
                    ("JPY", Tz::Pacific__Auckland, None, None),
                    (
                        "EUR",
                        Tz::America__St_Johns,
                        date("2026-03-28"),
                        date("2026-10-25"),
                    ),
                    ("EUR", Tz::Europe__Berlin, date("2026-10-25"), None),
                ] {
                    let mut path =
                        format!("/reports/sales?period={period}&currency={currency}&tz={zone}");
                    for (name, value) in [("from", from), ("to", to)] {
                        if let Some(value) = value {
                            path.push_str(&format!("&{name}={value}"));
                        }
                    }
                    if !name.is_empty() {
                        path.push_str(&format!("&group_by={name}"));
                    }
                    let report = tenant.get(&path).await;
                    let ask = Ask {
                        period,
                        by,
                        currency,
                        zone,
                        from,
                        to,
                    };
                    check(&report, &purchases, &ask, &path);
                }
            }
        }
        // The organization's currency and zone are the default, and a day the period.
        let ask = Ask {
            period: "day",
            by: By::Period,
            currency: "EUR",
            zone: Tz::Europe__Berlin,
            from: None,
            to: None,
        };
        check(
            &tenant.get("/reports/sales").await,
            &purchases,
            &ask,
            "defaults",
        );
    });
}

fn purchase(
    customer: &str,
    at: &str,
    amount: &str,
    status: &'static str,
    items: &[(&str, &str, &str)],
) -> Purchase {
    Purchase {
        customer: customer.to_owned(),
        event_id: format!("{customer}-{at}"),
        at: micros(at),
        amount: decimal(amount),
        currency: "USD".to_owned(),
        status,
        items: items
            .iter()
            .map(|(product, quantity, amount)| Item {
                product: (*product).to_owned(),
                name: format!("The {product}"),
                category: "all".to_owned(),
                quantity: decimal(quantity),
                amount: decimal(amount),
            })
            .collect(),
    }
}

/// Written out by hand, so that an error shared with the other computation shows.
#[test]
fn a_report_written_out_by_hand() {
    run(async {
        let tenant = Tenant::new("golden").await;
        let purchases = [
            purchase(
                "a",
                "2026-03-02T10:00:00Z",
                "10.00",
                "completed",
                &[("tea", "2", "6.00"), ("cup", "1", "3.00")],
            ),
            purchase("a", "2026-03-02T11:00:00Z", "0.00", "completed", &[]),
            purchase(
                "b",
                "2026-03-03T10:00:00Z",
                "5.01",
                "completed",
                &[("tea", "1.5", "4.50"), ("tea", "1", "0.51")],
            ),
            purchase(
                "b",
                "2026-03-04T10:00:00Z",
                "-5.01",
                "refunded",
                &[("tea", "-2.5", "-5.01")],
            ),
            purchase(
                "c",
                "2026-03-05T10:00:00Z",
                "99.00",
                "cancelled",
                &[("tea", "9", "99.00")],
            ),
            purchase(
                "c",
                "2026-03-09T00:00:00Z",
                "0.005",
                "completed",
                &[("cup", "1", "0.005")],
            ),
        ];
        tenant.at.lay_out(&tenant.organization, &purchases).await;
        let weeks = tenant.get("/reports/sales?period=week").await;
        assert_eq!(
            weeks["rows"],
            json!([
                {"period": "2026-03-02", "revenue": "10.00", "refunds": "5.01", "orders": 3, "units": "3", "customers": 2, "average_order": "5.00"},
                {"period": "2026-03-09", "revenue": "0.005", "refunds": "0.00", "orders": 1, "units": "1", "customers": 1, "average_order": "0.01"},
            ])
        );
        let products = tenant
            .get("/reports/sales?group_by=product&to=2026-03-09")
            .await;
        assert_eq!(
            products["rows"],
            json!([
                {"period": "2026-03-02", "group": "tea", "name": "The tea", "revenue": "6.00", "refunds": "5.01", "orders": 2, "units": "2", "customers": 2, "average_order": "5.51"},
                {"period": "2026-03-02", "group": "cup", "name": "The cup", "revenue": "3.00", "refunds": "0.00", "orders": 1, "units": "1", "customers": 1, "average_order": "3.00"},
                {"period": "2026-03-02", "group": null, "revenue": "1.00", "refunds": "0.00", "orders": 2, "units": "0", "customers": 1, "average_order": "0.50"},
            ])
        );
        assert_eq!(
            products["totals"],
            json!({"revenue": "10.00", "refunds": "5.01", "orders": 3, "units": "3", "customers": 2, "average_order": "5.00"})
        );
        let nothing = tenant.get("/reports/sales?currency=JPY&period=month").await;
        assert_eq!(nothing["rows"], json!([]));
        assert_eq!(
            nothing["totals"],
            json!({"revenue": "0", "refunds": "0", "orders": 0, "units": "0", "customers": 0, "average_order": null})
        );
    });
}

#[test]
fn pages_follow_each_other_and_totals_stay_those_of_everything() {
    run(async {
        let tenant = Tenant::with("pages", json!({"currency": "EUR"})).await;
        tenant
            .at
            .lay_out(&tenant.organization, &mixed(400, 3))
            .await;
        let path = "/reports/sales?period=day&group_by=product";
        let whole = tenant.get(path).await;
        let (mut rows, mut cursor) = (Vec::new(), None);
        loop {
            let after = cursor
                .as_ref()
                .map(|cursor: &String| format!("&cursor={cursor}"))
                .unwrap_or_default();
            let page = tenant.get(&format!("{path}&limit=17{after}")).await;
            assert_eq!(page["totals"], whole["totals"]);
            rows.extend(page["rows"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            // What comes meanwhile is in none of the pages.
            if cursor.is_none() {
                let more = mixed(100, 7);
                tenant.at.lay_out(&tenant.organization, &more).await;
                for other in ["period=day", "period=week&group_by=product"] {
                    let other = format!("/reports/sales?{other}&cursor={next}");
                    let answer = tenant.answer(&other).await;
                    assert_eq!(
                        (answer.status.as_u16(), &answer.body["field"]),
                        (400, &json!("cursor"))
                    );
                }
            }
            cursor = Some(next.to_owned());
        }
        assert_eq!(&Value::Array(rows), &whole["rows"]);
        assert!(whole["next_cursor"].is_null());
    });
}

#[test]
fn an_answer_is_cut_at_the_positions_it_states() {
    run(async {
        let tenant = Tenant::with("cut", json!({"currency": "EUR"})).await;
        let purchases = mixed(100, 11);
        let (at, organization) = (&tenant.at, &tenant.organization);
        // Everything lies in both places, and the archive is ahead of what had been applied when the answer began.
        let partition = at.partition();
        at.archive(
            partition,
            100,
            &[archive_rows(organization, partition, 0, &purchases)],
        )
        .await;
        at.warehouse
            .insert("events", hot_rows(organization, partition, 0, &purchases))
            .await
            .unwrap();
        let ask = Ask {
            period: "month",
            by: By::Product,
            currency: "EUR",
            zone: Tz::UTC,
            from: None,
            to: None,
        };
        for next in [0_usize, 1, 60, 100] {
            if next > 0 {
                at.progress(partition, next as u64).await;
            }
            let report = tenant
                .get("/reports/sales?period=month&group_by=product")
                .await;
            assert_eq!(report["as_of"]["positions"][format!("1:{partition}")], next);
            check(&report, &purchases[..next], &ask, &format!("cut at {next}"));
        }
    });
}

#[test]
fn what_is_wrong_is_named() {
    run(async {
        let tenant = Tenant::new("wrong-sales").await;
        for (query, field) in [
            ("period=year", "period"),
            ("group_by=colour", "group_by"),
            ("tz=Mars/Olympus", "tz"),
            ("currency=EURO", "currency"),
            ("from=yesterday", "from"),
            ("to=2026-02-30", "to"),
            ("from=2026-03-02&to=2026-03-01", "to"),
            ("limit=0", "limit"),
            ("cursor=zz", "cursor"),
            ("colour=red", "colour"),
            ("period=day&period=week", "period"),
        ] {
            let answer = tenant.answer(&format!("/reports/sales?{query}")).await;
            assert_eq!(answer.status, 400, "{query}: {}", answer.text);
            assert_eq!(answer.body["field"], field, "{query}: {}", answer.text);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
        }
    });
}
