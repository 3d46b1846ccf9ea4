//! The customer list, a customer and its summary, over rows as the state processor writes them.

use schemas::{OrganizationId, customer_key};
use serde_json::{Value, json};
use warehouse::Params;

use crate::harness::{Installation, Tenant, run};

/// A row of the live state.
struct State<'a> {
    customer: &'a str,
    version: u64,
    name: &'a str,
    email: &'a str,
    status: &'a str,
    country: &'a str,
    revenue: &'a str,
    currency: &'a str,
    state: Value,
}

impl Installation {
    async fn state(&self, organization: &OrganizationId, row: State<'_>) {
        let sql = "INSERT INTO customer_state (organization, customer, version, customer_key, name, email, status, country, \
                   tier, points, orders, revenue, currency, first_seen, last_seen, created_at, updated_at, tags, state) \
                   SELECT {organization:String}, {customer:String}, {version:UInt64}, {key:String}, {name:String}, \
                   {email:String}, {status:String}, {country:String}, 'bronze', 5, 2, {revenue:Decimal(38, 6)}, \
                   {currency:String}, fromUnixTimestamp64Micro(1000000), fromUnixTimestamp64Micro(2000000), \
                   fromUnixTimestamp64Micro({created:Int64}), fromUnixTimestamp64Micro(2000000), \
                   JSONExtract(JSONExtractString({state:String}, 'profile', 'fields', 'tags'), 'Array(String)'), {state:String}";
        let params = Params::new()
            .with("organization", organization.as_str())
            .with("customer", row.customer)
            .with("version", row.version)
            .with("key", customer_key(organization, row.customer))
            .with("name", row.name)
            .with("email", row.email)
            .with("status", row.status)
            .with("country", row.country)
            .with("revenue", row.revenue)
            .with("currency", row.currency)
            .with("created", 1_000_000_i64)
            .with("state", row.state.to_string());
        self.warehouse.execute(sql, &params).await.unwrap();
    }

    /// A customer with little to tell.
    pub(crate) async fn customer(
        &self,
        organization: &OrganizationId,
        customer: &str,
        name: &str,
        currency: &str,
        revenue: &str,
    ) {
        let money =
            json!([{"currency": currency, "revenue": revenue, "refunds": "0", "orders": 2}]);
        let state =
            json!({"money": money, "profile": {"fields": {"name": json!(name).to_string()}}});
        let row = State {
            customer,
            version: 1,
            name,
            email: "",
            status: "active",
            country: "",
            revenue,
            currency,
            state,
        };
        self.state(organization, row).await;
    }
}

fn ids(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["customer_id"].as_str().unwrap())
        .collect()
}

#[test]
fn filters_look_at_the_newest_version_only() {
    run(async {
        let tenant = Tenant::new("crm").await;
        let at = |version, customer, name, status, country, revenue, tags: Value| State {
            customer,
            version,
            name,
            email: "info@example.org",
            status,
            country,
            revenue,
            currency: "USD",
            state: json!({"profile": {"fields": {"tags": tags.to_string()}}}),
        };
        let o = &tenant.organization;
        tenant
            .at
            .state(o, at(1, "a", "Ada", "prospect", "FR", "1", json!(["vip"])))
            .await;
        tenant
            .at
            .state(
                o,
                at(9, "a", "Ada Byron", "active", "DE", "100.5", json!([])),
            )
            .await;
        tenant
            .at
            .state(
                o,
                at(3, "b", "Bob", "active", "de", "9", json!(["vip", "it's"])),
            )
            .await;
        tenant
            .at
            .state(o, at(4, "c'\\", "Çelik", "prospect", "FR", "50", json!([])))
            .await;
        for (query, expected) in [
            ("", &["a", "b", "c'\\"][..]),
            ("status=prospect", &["c'\\"]),
            ("status=active", &["a", "b"]),
            ("country=DE", &["a", "b"]),
            ("country=FR", &["c'\\"]),
            ("q=byron", &["a"]),
            ("q=%C3%87EL", &["c'\\"]),
            ("q=example.org", &["a", "b", "c'\\"]),
            ("q=100%25", &[]),
            ("tag=vip", &["b"]),
            ("tag=it's", &["b"]),
            ("tier=bronze&status=active&country=de", &["a", "b"]),
            ("tier=gold", &[]),
            ("sort=-total_revenue", &["a", "c'\\", "b"]),
            ("sort=total_revenue", &["b", "c'\\", "a"]),
            ("sort=name", &["a", "b", "c'\\"]),
            ("sort=-customer_id", &["c'\\", "b", "a"]),
            ("created_from=1970-01-01T00:00:01Z", &["a", "b", "c'\\"]),
            ("created_to=1970-01-01T00:00:01Z", &[]),
            ("created_from=1001", &[]),
            ("last_contact_from=2020-01-01T00:00:00Z", &[]),
            ("customer_type=business", &[]),
        ] {
            let list = tenant.get(&format!("/customers?{query}")).await;
            assert_eq!(ids(&list), expected, "{query}");
        }
        let list = tenant.get("/customers?q=byron").await;
        assert_eq!(list["items"][0]["total_revenue"], "100.50");
        assert_eq!(list["items"][0]["id"], customer_key(o, "a"));
        for (query, field) in [
            ("sort=colour", "sort"),
            ("limit=201", "limit"),
            ("created_from=x", "created_from"),
            ("x=1", "x"),
        ] {
            let answer = tenant.answer(&format!("/customers?{query}")).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["field"]),
                (400, &json!(field)),
                "{query}"
            );
        }
        // An id is percent-encoded in a path, and compared byte for byte.
        assert_eq!(tenant.get("/customers/c'%5C").await["name"], "Çelik");
        assert_eq!(tenant.answer("/customers/A").await.status, 404);
        tenant.at.customer(o, "x/y", "Slash", "USD", "1").await;
        assert_eq!(
            tenant.get("/customers/x%2Fy/summary").await["profile"]["customer_id"],
            "x/y"
        );
    });
}

#[test]
fn pages_hold_every_customer_once() {
    run(async {
        let tenant = Tenant::new("many").await;
        for number in 0..23 {
            let revenue = format!("{}", number % 4);
            tenant
                .at
                .customer(
                    &tenant.organization,
                    &format!("k{number:02}"),
                    "Same",
                    "USD",
                    &revenue,
                )
                .await;
        }
        for sort in [
            "customer_id",
            "-customer_id",
            "name",
            "total_revenue",
            "-total_revenue",
            "last_contact",
            "-created_at",
        ] {
            for filter in ["", "&status=active"] {
                let (mut seen, mut cursor) = (Vec::new(), String::new());
                loop {
                    let page = tenant
                        .get(&format!("/customers?limit=5&sort={sort}{filter}{cursor}"))
                        .await;
                    seen.extend(ids(&page).into_iter().map(str::to_owned));
                    match page["next_cursor"].as_str() {
                        Some(next) => cursor = format!("&cursor={next}"),
                        None => break,
                    }
                }
                let mut unique = seen.clone();
                unique.sort();
                unique.dedup();
                assert_eq!((seen.len(), unique.len()), (23, 23), "{sort}{filter}");
            }
        }
        let page = tenant.get("/customers?limit=5&sort=name").await;
        let next = page["next_cursor"].as_str().unwrap();
        assert_eq!(
            tenant
                .answer(&format!("/customers?sort=points&cursor={next}"))
                .await
                .status,
            400
        );
    });
}

#[test]
fn a_summary_is_exact_in_every_currency() {
    run(async {
        let tenant = Tenant::with("summaries", json!({"currency": "JPY"})).await;
        let state = json!({
            "profile": {
                "fields": {"name": "\"Ada\"", "tags": "[\"vip\"]", "preferences": "{\"a\": 1.10}"},
                "attributes": {"shoe_size": "38.50"},
            },
            "status_reason": "converted",
            "refunds": 1,
            "money": [
                {"currency": "JPY", "revenue": "1001", "refunds": "0", "orders": 2},
                {"currency": "EUR", "revenue": "123456789012345678.9", "refunds": "0.1", "orders": 1},
            ],
            "a_field_of_later": true,
        });
        let row = State {
            customer: "a",
            version: 1,
            name: "Ada",
            email: "ada@example.org",
            status: "active",
            country: "GB",
            revenue: "1001",
            currency: "JPY",
            state,
        };
        // Clients state at most 15 digits; sums have more.
        let mut row = row;
        row.state["money"][1]["revenue"] = json!("123456789012345.9");
        tenant.at.state(&tenant.organization, row).await;
        let summary = tenant.get("/customers/a/summary").await;
        assert_eq!(summary["profile"]["name"], "Ada");
        assert_eq!(summary["profile"]["status_reason"], "converted");
        assert_eq!(summary["profile"]["tags"], json!(["vip"]));
        let value = &summary["value"];
        assert_eq!(
            (&value["total_revenue"], &value["average_order_value"]),
            (&json!("1001"), &json!("501"))
        );
        assert_eq!(value["total_orders"], 2);
        assert_eq!(
            value["by_currency"]["EUR"]["total_revenue"],
            "123456789012345.90"
        );
        assert_eq!(
            value["by_currency"]["EUR"]["average_order_value"],
            "123456789012346.00"
        );
        assert_eq!(summary["loyalty"], json!({"points": 5, "tier": "bronze"}));
        assert_eq!(summary["recent_days"], json!([]));
        let by_key = tenant
            .answer(&format!(
                "/customers/{}",
                customer_key(&tenant.organization, "a")
            ))
            .await;
        // Digits of what was stated are kept as they are.
        assert!(
            by_key.text.contains(r#""preferences":{"a": 1.10}"#),
            "{}",
            by_key.text
        );
        assert!(
            by_key.text.contains(r#""attributes":{"shoe_size":38.50}"#),
            "{}",
            by_key.text
        );
        assert_eq!(tenant.answer("/customers/nobody").await.status, 404);
        assert_eq!(tenant.answer("/customers/cus_0/summary").await.status, 404);
    });
}
