//! Loyalty: accounts whose balance is the sum of their ledger, whatever comes at once.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Caller, TestApp};

use crate::{member, office};

/// Buys for an amount of the organization's currency, or gives back.
async fn buy(key: &Caller, customer: &str, event: &str, amount: &str) {
    let bought =
        json!({"customer_id": customer, "event_id": event, "order_id": event, "amount": amount});
    key.ingest("/ingest/purchases", bought.to_string())
        .await
        .expect(202);
}

/// Every movement of an account, newest first, page by page.
async fn ledger(staff: &Caller, customer: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut path = format!("/loyalty/accounts/{customer}/ledger?limit=3");
    loop {
        let page = staff.get(&path).await.expect(200);
        items.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => {
                path = format!("/loyalty/accounts/{customer}/ledger?limit=3&cursor={cursor}")
            }
            None => return items,
        }
    }
}

/// The account, of which the ledger must sum to the balance.
async fn account(staff: &Caller, customer: &str) -> Value {
    let (mut account, mut rows, mut sum) = (Value::Null, Vec::new(), 0);
    // The account is live, and the ledger is cut at what is applied: for a moment it may lack the last rows.
    for _ in 0..50 {
        account = staff
            .get(&format!("/loyalty/accounts/{customer}"))
            .await
            .expect(200);
        rows = ledger(staff, customer).await;
        sum = rows
            .iter()
            .map(|row| row["points"].as_i64().unwrap())
            .sum::<i64>();
        if account["points_balance"] == sum {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let ledger = rows;
    assert_eq!(account["points_balance"], sum, "{ledger:?}");
    let mut balance = sum;
    for row in &ledger {
        assert_eq!(row["balance"], balance, "{ledger:?}");
        balance -= row["points"].as_i64().unwrap();
    }
    account
}

async fn moved(staff: &Caller, customer: &str, how: &str, points: i64) -> tests::Answer {
    let body = json!({"points": points, "reason": "why", "reference": "r-1"});
    staff
        .post(&format!("/loyalty/accounts/{customer}/{how}"), &body)
        .await
}

async fn with_customer() -> (TestApp, tests::Account, Caller) {
    let (app, office) = office().await;
    let key = office.key(&["ingest"]).await;
    let made = json!({"customer_id": "c", "name": "C"});
    office.owner.post("/customers", &made).await.expect(201);
    (app, office, key)
}

#[tokio::test]
async fn of_fifty_redemptions_ten_are_covered() {
    let (app, office, key) = with_customer().await;
    let staff = &office.owner;
    buy(&key, "c", "p1", "100.90").await;
    app.wait_settled().await;
    let answers = join_all((0..50).map(|_| moved(staff, "c", "redeem", 10))).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(done, 10);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        let problem = answer.problem(422, "unprocessable");
        assert_eq!(
            (&problem["code"], &problem["field"]),
            (&json!("overdraft"), &json!("points"))
        );
    }
    let account = account(staff, "c").await;
    assert_eq!(
        (&account["points_balance"], &account["total_redeemed"]),
        (&json!(0), &json!(100))
    );
    assert_eq!(
        account["lifetime"]["movements"]["redeem"],
        json!({"movements": 10, "points": -100})
    );
    assert_eq!(app.reconciliation().await["balanced"], true);
}

#[tokio::test]
async fn the_ledger_sums_to_the_balance() {
    let (app, office, key) = with_customer().await;
    let staff = &office.owner;
    let new = account(staff, "c").await;
    assert_eq!(
        (&new["tier"], &new["last_activity"]),
        (&json!("new"), &Value::Null)
    );
    buy(&key, "c", "p1", "1200.50").await;
    buy(&key, "c", "p2", "-100").await;
    app.wait_settled().await;
    let now = account(staff, "c").await;
    assert_eq!(
        (&now["points_balance"], &now["total_earned"]),
        (&json!(1100), &json!(1100))
    );
    assert_eq!(now["tier"], "silver");
    assert_eq!(
        now["next_tier"],
        json!({"name": "gold", "from": 5000, "points_to_go": 3900})
    );
    moved(staff, "c", "redeem", 1000).await.expect(200);
    moved(staff, "c", "earn", 7).await.expect(200);
    moved(staff, "c", "adjust", -2).await.expect(200);
    let rest = moved(staff, "c", "adjust", -200)
        .await
        .problem(422, "unprocessable");
    assert_eq!(rest["code"], "overdraft");
    // What was redeemed and is given back is owed, and the next purchase pays it.
    buy(&key, "c", "p3", "-1100.50").await;
    app.wait_settled().await;
    let owing = account(staff, "c").await;
    assert_eq!(
        (&owing["points_balance"], &owing["points_owed"]),
        (&json!(0), &json!(995))
    );
    buy(&key, "c", "p4", "1000").await;
    app.wait_settled().await;
    let paid = account(staff, "c").await;
    assert_eq!(
        (&paid["points_balance"], &paid["points_owed"]),
        (&json!(5), &json!(0))
    );
    assert_eq!(
        (&paid["total_adjusted"], &paid["total_redeemed"]),
        (&json!(-2), &json!(1000))
    );
    let rows = ledger(staff, "c").await;
    let kinds: Vec<&str> = rows
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "earn", "refund", "adjust", "earn", "redeem", "refund", "earn"
        ]
    );
    assert_eq!(
        (&rows[0]["reference"], &rows[0]["reason"]),
        (&json!("p4"), &Value::Null)
    );
    assert_eq!(
        (&rows[2]["reason"], &rows[2]["reference"]),
        (&json!("why"), &json!("r-1"))
    );
    let me = staff.get("/auth/me").await.expect(200)["user"]["id"].clone();
    assert_eq!(rows[2]["author"], me);
    let redeemed = staff
        .get("/loyalty/accounts/c/ledger?kind=redeem")
        .await
        .expect(200);
    assert_eq!(redeemed["items"].as_array().unwrap().len(), 1);
    let other = staff.get("/customers/c/loyalty").await.expect(200);
    assert_eq!(other["points_balance"], 5);

    // Under one key it is done once, and what cannot be is refused by its field.
    let key = [("idempotency-key", "k1")];
    let body = json!({"points": 1});
    for _ in 0..2 {
        let path = "/loyalty/accounts/c/redeem";
        staff
            .with_headers("POST", path, &body, &key)
            .await
            .expect(200);
    }
    assert_eq!(account(staff, "c").await["points_balance"], 4);
    for (how, body, field) in [
        ("earn", json!({}), "points"),
        ("earn", json!({"points": 0}), "points"),
        ("redeem", json!({"points": -1}), "points"),
        ("redeem", json!({"points": 1.5}), "points"),
        ("adjust", json!({"points": 1}), "reason"),
        (
            "adjust",
            json!({"points": 1, "reason": "x", "why": 1}),
            "why",
        ),
    ] {
        let path = format!("/loyalty/accounts/c/{how}");
        let problem = staff.post(&path, &body).await.problem(400, "bad-request");
        assert_eq!(problem["field"], field, "{how} {body}");
    }
    moved(staff, "nobody", "earn", 1)
        .await
        .problem(404, "not-found");

    // A customer that is deleted has nothing left, and neither has its ledger.
    staff.delete("/customers/c?mode=delete").await.expect(204);
    staff
        .get("/loyalty/accounts/c")
        .await
        .problem(404, "not-found");
    staff
        .post("/customers", &json!({"customer_id": "c", "name": "Again"}))
        .await
        .expect(201);
    assert_eq!(account(staff, "c").await["points_balance"], 0);
}

#[tokio::test]
async fn tiers_are_the_organizations_and_change_at_once() {
    let (app, office, key) = with_customer().await;
    let staff = &office.owner;
    let standard = staff.get("/loyalty/tiers").await.expect(200);
    let names: Vec<&str> = standard["tiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tier| tier["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["bronze", "silver", "gold", "platinum", "vip"]);
    buy(&key, "c", "p1", "600").await;
    app.wait_settled().await;
    assert_eq!(account(staff, "c").await["tier"], "bronze");
    let table = json!({
        "tiers": [
            {"name": "member", "from": 0},
            {"name": "friend", "from": 500, "benefits": ["Free delivery", "A card on birthdays"]},
            {"name": "patron", "from": 2000},
            {"name": "founder", "from": null, "benefits": ["A chair"]},
        ],
        "points_per_unit": 3,
    });
    staff.put("/loyalty/tiers", &table).await.expect(200);
    let read = staff.get("/loyalty/tiers").await.expect(200);
    assert_eq!(read["tiers"][1], table["tiers"][1]);
    assert_eq!(
        (&read["points_per_unit"], &read["points_expire_days"]),
        (&json!(3), &json!(0))
    );

    // At once, although nothing has happened to the customer since.
    let now = account(staff, "c").await;
    assert_eq!(
        (&now["tier"], &now["benefits"]),
        (&json!("friend"), &table["tiers"][1]["benefits"])
    );
    assert_eq!(now["next_tier"]["points_to_go"], 1400);
    assert_eq!(
        staff.get("/customers/c").await.expect(200)["tier"],
        "friend"
    );
    let listed = async |path: &str| -> usize {
        let list = staff.get(path).await.expect(200);
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(listed("/loyalty/accounts?tier=friend").await, 1);
    assert_eq!(listed("/customers?tier=friend").await, 1);
    assert_eq!(listed("/loyalty/accounts?tier=bronze").await, 0);

    buy(&key, "c", "p2", "500").await;
    app.wait_settled().await;
    let now = account(staff, "c").await;
    assert_eq!(
        (&now["points_balance"], &now["tier"]),
        (&json!(2100), &json!("patron"))
    );
    assert_eq!(now["next_tier"], Value::Null);
    let given = staff
        .post("/loyalty/accounts/c/tier", &json!({"tier": "founder"}))
        .await
        .expect(200);
    assert_eq!(
        (&given["tier"], &given["benefits"]),
        (&json!("founder"), &json!(["A chair"]))
    );
    moved(staff, "c", "redeem", 2000).await.expect(200);
    assert_eq!(account(staff, "c").await["tier"], "founder");
    assert_eq!(listed("/loyalty/accounts?tier=founder").await, 1);
    assert_eq!(listed("/loyalty/accounts?tier=member").await, 0);
    let unknown = staff
        .post("/loyalty/accounts/c/tier", &json!({"tier": "vip"}))
        .await;
    assert_eq!(
        unknown.problem(422, "unprocessable")["code"],
        "unknown_tier"
    );
    let taken = staff
        .post("/loyalty/accounts/c/tier", &json!({"tier": null}))
        .await
        .expect(200);
    assert_eq!(taken["tier"], "member");

    // A company has an account like a person, and is listed apart.
    let company = json!({"customer_id": "firm", "name": "Firm", "customer_type": "business"});
    staff.post("/customers", &company).await.expect(201);
    moved(staff, "firm", "earn", 9).await.expect(200);
    assert_eq!(listed("/loyalty/accounts").await, 2);
    let companies = staff
        .get("/loyalty/accounts?customer_type=business")
        .await
        .expect(200);
    assert_eq!(companies["items"][0]["customer_id"], "firm");
    assert_eq!(companies["items"][0]["points_balance"], 9);

    for (body, field) in [
        (json!({}), "tiers"),
        (json!({"tiers": []}), "tiers"),
        (json!({"tiers": [{"name": "a", "from": 5}]}), "tiers"),
        (
            json!({"tiers": [{"name": "a", "from": 0}, {"name": "a", "from": null}]}),
            "tiers",
        ),
        (
            json!({"tiers": [{"name": "vip"}, {"name": "a", "from": 0}]}),
            "tiers",
        ),
        (json!({"tiers": [{"name": "new", "from": 0}]}), "tiers"),
        (
            json!({"tiers": [{"name": "a", "from": 0}], "points_per_unit": -1}),
            "points_per_unit",
        ),
        (
            json!({"tiers": [{"name": "a", "from": 0}], "points_expire_days": 40_000}),
            "points_expire_days",
        ),
        (
            json!({"tiers": [{"name": "a", "from": 0, "perks": []}]}),
            "tiers",
        ),
    ] {
        let problem = staff.put("/loyalty/tiers", &body).await;
        let problem = problem.json.clone();
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    assert_eq!(
        staff.get("/loyalty/tiers").await.expect(200)["tiers"],
        read["tiers"]
    );
}

#[tokio::test]
async fn points_expire_oldest_first() {
    let (app, office, key) = with_customer().await;
    let staff = &office.owner;
    let table = json!({"tiers": [{"name": "bronze", "from": 0}], "points_expire_days": 30});
    staff.put("/loyalty/tiers", &table).await.expect(200);
    let now = chrono::Utc::now();
    for (event, days, amount) in [("old", 40, 10), ("recent", 10, 5), ("new", 0, 1)] {
        let at = (now - chrono::Duration::days(days)).to_rfc3339();
        let bought =
            json!({"customer_id": "c", "event_id": event, "amount": amount, "occurred_at": at});
        key.ingest("/ingest/purchases", bought.to_string())
            .await
            .expect(202);
    }
    // The clock looks every second.
    let mut found = Value::Null;
    for _ in 0..120 {
        found = account(staff, "c").await;
        if found["total_expired"] != 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    assert_eq!(
        (&found["points_balance"], &found["total_expired"]),
        (&json!(6), &json!(10))
    );
    assert_eq!(
        (&found["total_earned"], &found["next_expiry"]["points"]),
        (&json!(16), &json!(5))
    );
    let expired = staff
        .get("/loyalty/accounts/c/ledger?kind=expire")
        .await
        .expect(200);
    assert_eq!(
        (
            &expired["items"][0]["points"],
            &expired["items"][0]["author"]
        ),
        (&json!(-10), &Value::Null)
    );
    moved(staff, "c", "redeem", 5).await.expect(200);
    assert_eq!(account(staff, "c").await["next_expiry"]["points"], 1);
    assert_eq!(app.wait_settled().await["balanced"], true);
}

#[tokio::test]
async fn accounts_are_their_organizations_and_roles_reach_as_far_as_they_do() {
    let (app, office, _key) = with_customer().await;
    moved(&office.owner, "c", "earn", 5).await.expect(200);
    let stranger = app.register("stranger").await;
    let theirs = &stranger.owner;
    for path in [
        "/loyalty/accounts/c",
        "/loyalty/accounts/c/ledger",
        "/customers/c/loyalty",
        "/customers/c/value",
        "/customers/c/lead-score",
        "/customers/c/qualification",
    ] {
        theirs.get(path).await.problem(404, "not-found");
    }
    moved(theirs, "c", "redeem", 1)
        .await
        .problem(404, "not-found");
    theirs
        .put("/customers/c/qualification", &json!({}))
        .await
        .problem(404, "not-found");
    theirs
        .post("/customers", &json!({"customer_id": "c", "name": "Theirs"}))
        .await
        .expect(201);
    let table = json!({"tiers": [{"name": "theirs", "from": 0}], "points_per_unit": 9});
    theirs.put("/loyalty/tiers", &table).await.expect(200);
    assert_eq!(account(theirs, "c").await["points_balance"], 0);
    let ours = account(&office.owner, "c").await;
    assert_eq!(
        (&ours["points_balance"], &ours["tier"]),
        (&json!(5), &json!("bronze"))
    );
    let list = theirs.get("/loyalty/accounts").await.expect(200);
    assert_eq!(list["items"], json!([]));

    let (_, support) = member(&app, &office, "support").await;
    support.get("/loyalty/accounts/c").await.expect(200);
    moved(&support, "c", "earn", 1)
        .await
        .problem(403, "forbidden");
    support
        .put("/loyalty/tiers", &table)
        .await
        .problem(403, "forbidden");
    support.get("/stats").await.problem(403, "forbidden");
    let (_, employee) = member(&app, &office, "employee").await;
    moved(&employee, "c", "earn", 1).await.expect(200);
}
