//! Forecasts and recommendations over the tables.

use chrono::NaiveDate;
use serde_json::json;

use crate::data::{Dice, Item, Purchase, decimal, micros};
use crate::harness::{Tenant, run};

const DAY: i64 = 86_400_000_000;

/// Customers who buy one of two pairs of products again and again, more of them on weekends.
fn habits(days: i64) -> Vec<Purchase> {
    let mut dice = Dice(1);
    let mut purchases = Vec::new();
    for day in 0..days {
        let busy = if day % 7 >= 5 { 6 } else { 3 };
        for number in 0..busy {
            let customer = dice.roll(20);
            let pair = if customer.is_multiple_of(2) {
                ["tea", "cup"]
            } else {
                ["bread", "butter"]
            };
            let some = if dice.roll(3) == 0 {
                &pair[..1]
            } else {
                &pair[..]
            };
            let items: Vec<Item> = some
                .iter()
                .map(|product| Item {
                    product: (*product).to_owned(),
                    name: format!("The {product}"),
                    category: pair[0].to_owned(),
                    quantity: decimal("1"),
                    amount: decimal("5.00"),
                })
                .collect();
            purchases.push(Purchase {
                customer: format!("h{customer}"),
                event_id: format!("{day}-{number}"),
                at: micros("2025-01-06T00:00:00Z") + day * DAY + i64::from(number) * 3_600_000_000,
                amount: items.iter().map(|item| item.amount).sum(),
                currency: "USD".to_owned(),
                status: "completed",
                items,
            });
        }
    }
    purchases
}

#[test]
fn a_forecast_begins_after_the_last_day_and_shows_its_evidence() {
    run(async {
        let tenant = Tenant::new("forecasts").await;
        tenant.at.lay_out(&tenant.organization, &habits(120)).await;
        let forecast = tenant.get("/forecasts").await;
        assert_eq!(forecast["as_of"]["last_period"], "2025-05-05");
        let rows = forecast["rows"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["period"]), (28, &json!("2025-05-06")));
        for row in rows {
            let value = |name: &str| row[name].as_f64().unwrap();
            assert!(
                value("lower_95") <= value("lower_80") && value("lower_80") <= value("value"),
                "{row}"
            );
            assert!(
                value("value") <= value("upper_80") && value("upper_80") <= value("upper_95"),
                "{row}"
            );
            let date: NaiveDate = row["period"].as_str().unwrap().parse().unwrap();
            let weekend = chrono::Datelike::weekday(&date).num_days_from_monday() >= 5;
            assert_eq!(value("value") > 35.0, weekend, "{row}");
        }
        for name in [
            "mase",
            "wape",
            "bias",
            "coverage_80",
            "coverage_95",
            "baseline_mase",
        ] {
            assert!(forecast["backtest"][name].is_number(), "{name}");
        }
        assert!(forecast["model"].is_string() && forecast["baseline"] == "seasonal-naive");
        let short = tenant
            .get("/forecasts?horizon=3&tz=Pacific/Auckland&measure=revenue&period=day")
            .await;
        assert_eq!(short["rows"].as_array().unwrap().len(), 3);

        // Four months are no two years, and there are no sales in pounds.
        for query in ["period=month", "currency=GBP"] {
            let answer = tenant.answer(&format!("/forecasts?{query}")).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["code"]),
                (422, &json!("history_too_short")),
                "{}",
                answer.text
            );
        }
        for query in [
            "measure=orders",
            "period=week",
            "horizon=0",
            "horizon=367",
            "tz=x",
            "currency=x",
            "a=b",
        ] {
            assert_eq!(
                tenant.answer(&format!("/forecasts?{query}")).await.status,
                400,
                "{query}"
            );
        }
    });
}

#[test]
fn recommendations_have_reasons_and_are_trained_once() {
    run(async {
        let tenant = Tenant::new("recommendations").await;
        let mut purchases = habits(120);
        // Somebody new, who bought tea once, and somebody who only gave something back.
        let mut once = purchases[0].clone();
        once.customer = "new".to_owned();
        once.items.truncate(1);
        once.items[0].product = "tea".to_owned();
        once.items[0].name = "The tea".to_owned();
        purchases.push(once.clone());
        once.customer = "refunder".to_owned();
        once.status = "refunded";
        once.amount = decimal("-5.00");
        purchases.push(once);
        tenant.at.lay_out(&tenant.organization, &purchases).await;
        for id in ["new", "refunder", "h2"] {
            tenant
                .at
                .customer(&tenant.organization, id, "Somebody", "USD", "1.00")
                .await;
        }
        let new = tenant.get("/customers/new/recommendations").await;
        assert_eq!(new["replenish"][0]["product_id"], "tea");
        assert_eq!(new["replenish"][0]["name"], "The tea");
        assert!(
            new["replenish"][0]["reason"]
                .as_str()
                .unwrap()
                .contains("bought once"),
            "{new}"
        );
        assert_eq!(new["discover"][0]["product_id"], "cup", "{new}");
        assert!(
            new["discover"][0]["score"].is_number() && new["discover"][0]["reason"].is_string()
        );
        let refunder = tenant.get("/customers/refunder/recommendations").await;
        assert_eq!(refunder["replenish"], json!([]));
        assert!(!refunder["discover"].as_array().unwrap().is_empty());
        assert_eq!(
            tenant
                .answer("/customers/nobody/recommendations")
                .await
                .status,
            404
        );

        let one = tenant
            .get("/recommendations?customer_id=h2&products=1")
            .await;
        assert_eq!(one["items"][0]["customer_id"], "h2");
        assert_eq!(one["items"][0]["name"], "Somebody");
        assert_eq!(one["popular"].as_array().unwrap().len(), 1);
        assert_eq!(
            one["as_of"], new["as_of"],
            "one training serves all for a while"
        );
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = tenant
                .get(&format!("/recommendations?limit=8{cursor}"))
                .await;
            seen.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["customer_id"].clone()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        // Twenty with habits and the new one.
        assert_eq!(seen.len(), 21, "{seen:?}");
    });
}

#[test]
fn without_purchases_there_is_nothing_to_recommend() {
    run(async {
        let tenant = Tenant::new("empty").await;
        let list = tenant.get("/recommendations").await;
        assert_eq!((&list["items"], &list["popular"]), (&json!([]), &json!([])));
        assert_eq!(tenant.answer("/forecasts").await.status, 422);
    });
}
