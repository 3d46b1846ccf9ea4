//! Staff: who may do what by role, teams, sessions, passwords and the review of access.

use schemas::customer_key;
use serde_json::{Value, json};
use warehouse::Params;

use crate::harness::{Answer, PASSWORD, Tenant, run};

const ROLES: [&str; 8] = [
    "owner", "admin", "manager", "sales", "support", "employee", "brand", "none",
];

/// A member of staff with a session.
struct Member {
    id: String,
    email: String,
    token: String,
}

impl Tenant {
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.as_member(&self.token, method, path, body).await
    }

    async fn as_member(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let path = format!("/api/v1{path}");
        self.at.send(method, &path, token, body).await
    }

    async fn login(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        self.as_member("", "POST", "/auth/login", Some(body)).await
    }

    async fn member(&self, name: &str, role: &str) -> Member {
        let email = format!("{name}-of-{}", self.email);
        let body = json!({"name": name, "email": email, "password": PASSWORD, "role": role});
        let made = self.post("/users", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let session = self.login(&email, PASSWORD).await;
        assert_eq!(session.status, 200, "{}", session.text);
        assert_eq!(session.body["user"]["role"], role);
        Member {
            id: made.body["id"].as_str().unwrap().to_owned(),
            email,
            token: session.body["token"].as_str().unwrap().to_owned(),
        }
    }

    async fn keep(&self, customer: &str, status: &str, assigned_to: &str, user_id: &str) {
        let fields = json!({"user_id": json!(user_id).to_string()});
        let state = json!({"profile": {"fields": fields}}).to_string();
        let sql = "INSERT INTO customer_state (organization, customer, version, customer_key, name, status, \
            assigned_to, user_id, state) SELECT {o:String}, {c:String}, 1, {k:String}, {c:String}, {s:String}, \
            {a:String}, {u:String}, {j:String}";
        let params = Params::new()
            .with("o", self.organization.as_str())
            .with("c", customer)
            .with("k", customer_key(&self.organization, customer))
            .with("s", status)
            .with("a", assigned_to)
            .with("u", user_id)
            .with("j", state);
        self.at.warehouse.execute(sql, &params).await.unwrap();
    }
}

/// Every role at every door, with customers of its own, assigned, of somebody else, of nobody, and of another organization.
#[test]
fn every_role_reaches_as_far_as_the_matrix_says() {
    run(async {
        let tenant = Tenant::new("matrix").await;
        let foreign = Tenant::new("matrix-foreign").await;
        foreign.keep("theirs", "prospect", "", "").await;
        for role in ROLES {
            let member = tenant.member(role, role).await;
            // What only the one of this role is or has, beside what all of them find.
            tenant
                .keep(&format!("own-{role}"), "active", "usr_other", &member.id)
                .await;
            tenant
                .keep(&format!("assigned-{role}"), "active", &member.id, "")
                .await;
        }
        tenant.keep("of-another", "active", "usr_other", "").await;
        tenant
            .keep("lead-of-another", "lead", "usr_other", "")
            .await;
        tenant.keep("prospect", "prospect", "", "").await;
        tenant.keep("of-nobody", "active", "", "").await;
        let all = 2 * ROLES.len() + 4;

        let roles = tenant.get("/roles").await;
        for (at, role) in ROLES.into_iter().enumerate() {
            let stated = &roles["items"][at];
            assert_eq!(stated["role"], role);
            let member = tenant
                .login(&format!("{role}-of-{}", tenant.email), PASSWORD)
                .await;
            let token = member.body["token"].as_str().unwrap().to_owned();
            let asked = async |method: &str, path: &str, body: Option<Value>| {
                let answer = tenant.as_member(&token, method, path, body).await;
                assert!(
                    answer.status != 403 || answer.text.contains(role),
                    "it names the role: {}",
                    answer.text
                );
                answer.status.as_u16()
            };
            let reach = |permission: &str| stated["permissions"][permission].as_str().unwrap();
            let either = |permission: &str, yes: u16| match reach(permission) {
                "nothing" => 403,
                _ => yes,
            };

            // Customers, each by list, profile, summary and recommendations.
            let visible = |customer: &str| match reach("customers.read") {
                "all" => true,
                "assigned" => customer == format!("assigned-{role}") || customer == "prospect",
                "own" => customer == format!("own-{role}"),
                _ => false,
            };
            let list = tenant
                .as_member(&token, "GET", "/customers?limit=200", None)
                .await;
            assert_eq!(
                list.status.as_u16(),
                either("customers.read", 200),
                "{role}"
            );
            let mut seen: Vec<&str> = list.body["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|item| item["customer_id"].as_str().unwrap())
                .collect();
            seen.sort_unstable();
            let mut shown = 0;
            for customer in [
                format!("own-{role}").as_str(),
                format!("assigned-{role}").as_str(),
                "of-another",
                "lead-of-another",
                "prospect",
                "of-nobody",
                "theirs",
            ] {
                let is_visible = visible(customer) && customer != "theirs";
                assert_eq!(seen.contains(&customer), is_visible, "{role}: {customer}");
                shown += usize::from(is_visible);
                let status = match (reach("customers.read"), is_visible) {
                    ("nothing", _) => 403,
                    (_, true) => 200,
                    (_, false) => 404,
                };
                let key = customer_key(&tenant.organization, customer);
                for path in [
                    format!("/customers/{customer}"),
                    format!("/customers/{key}"),
                    format!("/customers/{customer}/summary"),
                    format!("/customers/{customer}/recommendations"),
                    format!("/customers/{customer}/value"),
                    format!("/customers/{customer}/qualification"),
                    format!("/customers/{customer}/lead-score"),
                    format!("/customers/{customer}/loyalty"),
                    format!("/loyalty/accounts/{customer}/ledger"),
                ] {
                    assert_eq!(asked("GET", &path, None).await, status, "{role}: {path}");
                }
            }
            match reach("customers.read") {
                "all" => assert_eq!(seen.len(), all, "{role}"),
                _ => assert_eq!(seen.len(), shown, "{role} sees others: {seen:?}"),
            }

            let reports = either("reports.read", 200);
            for path in [
                "/reports",
                "/reports/sales",
                "/recommendations",
                "/stats",
                "/customers/analytics/value",
                "/customers/analytics/leads",
            ] {
                assert_eq!(asked("GET", path, None).await, reports, "{role}: {path}");
            }
            let sql = json!({"sql": "SELECT count(*) FROM customers"});
            assert_eq!(asked("POST", "/sql", Some(sql)).await, reports, "{role}");
            // Too little history for any; the right to ask comes first.
            let forecast = asked("GET", "/forecasts", None).await;
            assert_eq!(forecast, either("reports.read", 422), "{role}");

            for path in ["/users", "/teams"] {
                let staff = either("staff.read", 200);
                assert_eq!(asked("GET", path, None).await, staff, "{role}: {path}");
            }
            let manage = either("organization.manage", 200);
            for path in ["/access-review", "/api-keys", "/rejections"] {
                assert_eq!(asked("GET", path, None).await, manage, "{role}: {path}");
            }
            let team = json!({"name": format!("Team {role}")});
            assert_eq!(
                asked("POST", "/teams", Some(team)).await,
                either("organization.manage", 201),
                "{role}"
            );
            for path in ["/auth/me", "/auth/sessions", "/roles"] {
                assert_eq!(asked("GET", path, None).await, 200, "{role}: {path}");
            }
            let whole = tenant
                .as_member(&token, "GET", "/admin/reconciliation", None)
                .await;
            assert_eq!(whole.status, 403, "{role}: of the whole installation");
        }
    });
}

#[test]
fn staff_is_made_changed_and_sent_away() {
    run(async {
        let tenant = Tenant::new("staff").await;
        let team = tenant.post("/teams", json!({"name": "North"})).await;
        let team_id = team.body["id"].as_str().unwrap().to_owned();
        let good = json!({"name": "Grace", "email": "grace@staff.example.org", "password": PASSWORD,
            "role": "sales", "team_id": team_id});
        for (field, value, status) in [
            ("name", json!(null), 400),
            ("email", json!("no address"), 400),
            ("email", json!(tenant.email.to_uppercase()), 409),
            ("password", json!("short"), 400),
            ("role", json!(null), 400),
            ("role", json!("king"), 400),
            ("team_id", json!("team_of_others"), 400),
            ("colour", json!("red"), 400),
        ] {
            let mut body = good.clone();
            body[field] = value;
            let answer = tenant.post("/users", body).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["field"]),
                (status, &json!(field)),
                "{}",
                answer.text
            );
        }
        let made = tenant.post("/users", good).await;
        assert_eq!(made.status, 201, "{}", made.text);
        assert!(!made.text.contains(PASSWORD) && made.body["is_active"] == true);
        let id = made.body["id"].as_str().unwrap().to_owned();
        let path = format!("/users/{id}");
        assert_eq!(tenant.get(&path).await["email"], "grace@staff.example.org");
        let session = tenant.login("grace@staff.example.org", PASSWORD).await;
        let token = session.body["token"].as_str().unwrap().to_owned();
        assert_eq!(
            tenant
                .as_member(&token, "GET", "/reports/sales", None)
                .await
                .status,
            403
        );

        // A new role holds for the session that is open.
        let change = json!({"role": "employee", "team_id": null, "name": "Grace H."});
        let changed = tenant.call("PATCH", &path, Some(change)).await;
        assert_eq!(
            (&changed.body["role"], &changed.body["team_id"]),
            (&json!("employee"), &json!(null)),
            "{}",
            changed.text
        );
        assert_eq!(
            tenant
                .as_member(&token, "GET", "/reports/sales", None)
                .await
                .status,
            200
        );

        assert_eq!(tenant.call("DELETE", &path, None).await.status, 200);
        assert_eq!(
            tenant
                .as_member(&token, "GET", "/auth/me", None)
                .await
                .status,
            401
        );
        let refused = tenant.login("grace@staff.example.org", PASSWORD).await;
        assert_eq!(refused.status, 401, "as a wrong password");
        let gone = tenant.get(&path).await;
        assert!(gone["is_active"] == false && gone["deactivated_at"].is_string());
        let back = json!({"is_active": true, "password": "another password"});
        let back = tenant.call("PATCH", &path, Some(back)).await;
        assert_eq!(back.body["is_active"], true, "{}", back.text);
        let session = tenant
            .login("grace@staff.example.org", "another password")
            .await;
        assert_eq!(session.status, 200, "{}", session.text);

        // Pages hold every one once.
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = tenant.get(&format!("/users?limit=1{cursor}")).await;
            ids.push(page["items"][0]["id"].as_str().unwrap().to_owned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((ids.len(), ids.contains(&id)), (2, true));
    });
}

#[test]
fn an_organization_keeps_an_owner_and_only_owners_decide_about_owners() {
    run(async {
        let tenant = Tenant::new("owners").await;
        let me = tenant.answer("/auth/me").await.body;
        let own = format!("/users/{}", me["user"]["id"].as_str().unwrap());
        for change in [json!({"role": "admin"}), json!({"is_active": false})] {
            let refused = tenant.call("PATCH", &own, Some(change)).await;
            assert_eq!(refused.status, 422, "{}", refused.text);
        }
        let admin = tenant.member("admin", "admin").await;
        let promoted = json!({"role": "owner"});
        let new = json!({"name": "n", "email": "second@owners.example.org", "password": PASSWORD, "role": "owner"});
        for (method, path, body) in [
            ("PATCH", own.as_str(), json!({"name": "Mine"})),
            ("PATCH", &format!("/users/{}", admin.id), promoted.clone()),
            ("POST", "/users", new),
        ] {
            let refused = tenant
                .as_member(&admin.token, method, path, Some(body.clone()))
                .await;
            assert_eq!(refused.status, 403, "{method} {path}: {}", refused.text);
            let key = json!({"name": "k", "scopes": ["admin"]});
            let key = tenant.post("/api-keys", key).await;
            let key = key.body["key"].as_str().unwrap();
            let refused = tenant.as_member(key, method, path, Some(body)).await;
            assert_eq!(refused.status, 403, "a key owns nothing: {}", refused.text);
        }
        let path = format!("/users/{}", admin.id);
        let promoted = tenant.call("PATCH", &path, Some(promoted)).await;
        assert_eq!(promoted.body["role"], "owner", "{}", promoted.text);
        // Two owners who send each other away at the same time: one stays.
        let away = || Some(json!({"is_active": false}));
        let (first, second) = tokio::join!(
            tenant.call("PATCH", &path, away()),
            tenant.as_member(&admin.token, "PATCH", &own, away()),
        );
        let done = [&first, &second]
            .iter()
            .filter(|answer| answer.status == 200)
            .count();
        assert_eq!(done, 1, "{} and {}", first.text, second.text);
    });
}

#[test]
fn passwords_and_sessions_are_ones_own() {
    run(async {
        let tenant = Tenant::new("sessions").await;
        let member = tenant.member("ada", "support").await;
        let other = tenant.login(&member.email, PASSWORD).await;
        let other = other.body["token"].as_str().unwrap().to_owned();
        let list = tenant
            .as_member(&member.token, "GET", "/auth/sessions", None)
            .await;
        let sessions = list.body["items"].as_array().unwrap();
        assert_eq!((list.status.as_u16(), sessions.len()), (200, 2));
        assert!(!list.text.contains(&member.token));
        let (current, others): (Vec<&Value>, Vec<&Value>) = sessions
            .iter()
            .partition(|session| session["is_current"] == true);
        assert_eq!((current.len(), others.len()), (1, 1));

        // Nobody ends a session of somebody else by its id, but an administrator all of a user's.
        let path = format!("/auth/sessions/{}", others[0]["id"].as_str().unwrap());
        assert_eq!(tenant.call("DELETE", &path, None).await.status, 404);
        let ended = tenant.as_member(&member.token, "DELETE", &path, None).await;
        assert_eq!(ended.status, 204, "{}", ended.text);
        assert_eq!(
            tenant
                .as_member(&other, "GET", "/auth/me", None)
                .await
                .status,
            401
        );

        let third = tenant.login(&member.email, PASSWORD).await;
        let third = third.body["token"].as_str().unwrap().to_owned();
        let change = |current: &str, new: &str| {
            let body = json!({"current_password": current, "new_password": new});
            let (tenant, token) = (&tenant, &member.token);
            async move {
                tenant
                    .as_member(token, "POST", "/auth/password", Some(body))
                    .await
            }
        };
        let short = change(PASSWORD, "short").await;
        assert_eq!(
            (short.status.as_u16(), &short.body["field"]),
            (400, &json!("new_password")),
            "{}",
            short.text
        );
        let wrong = change("wrong", "quite another one").await;
        assert_eq!(
            (wrong.status.as_u16(), &wrong.body["field"]),
            (403, &json!("current_password")),
            "{}",
            wrong.text
        );
        // Not past the current password, by being an administrator.
        let me = tenant.answer("/auth/me").await.body;
        let own = format!("/users/{}", me["user"]["id"].as_str().unwrap());
        for body in [
            json!({"password": "a new password"}),
            json!({"email": "new@sessions.example.org"}),
        ] {
            let refused = tenant.call("PATCH", &own, Some(body)).await;
            assert_eq!(refused.status, 403, "{}", refused.text);
        }
        let done = change(PASSWORD, "quite another one").await;
        assert_eq!(done.status, 204, "{}", done.text);
        assert_eq!(
            tenant
                .as_member(&third, "GET", "/auth/me", None)
                .await
                .status,
            401,
            "the others have ended"
        );
        assert_eq!(
            tenant
                .as_member(&member.token, "GET", "/auth/me", None)
                .await
                .status,
            200
        );
        assert_eq!(tenant.login(&member.email, PASSWORD).await.status, 401);
        for _ in 0..3 {
            change("wrong", "and one more").await;
        }
        let throttled = change("quite another one", "and one more").await;
        assert_eq!(throttled.status, 429, "{}", throttled.text);
        assert!(throttled.headers.contains_key("retry-after"));

        let path = format!("/users/{}/sessions", member.id);
        assert_eq!(
            tenant.get(&path).await["items"].as_array().unwrap().len(),
            1
        );
        assert_eq!(tenant.call("DELETE", &path, None).await.status, 204);
        assert_eq!(
            tenant
                .as_member(&member.token, "GET", "/auth/me", None)
                .await
                .status,
            401
        );
    });
}

#[test]
fn teams_and_access_are_the_organizations_own() {
    run(async {
        let (tenant, foreign) = (
            Tenant::new("teams").await,
            Tenant::new("teams-foreign").await,
        );
        let made = tenant.post("/teams", json!({"name": "North"})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let path = format!("/teams/{}", made.body["id"].as_str().unwrap());
        let taken = tenant.post("/teams", json!({"name": " NORTH "})).await;
        assert_eq!(
            (taken.status.as_u16(), &taken.body["field"]),
            (409, &json!("name")),
            "{}",
            taken.text
        );
        let theirs = foreign.post("/teams", json!({"name": "North"})).await;
        assert_eq!(theirs.status, 201, "a name is one organization's");
        let renamed = tenant
            .call("PATCH", &path, Some(json!({"name": "South"})))
            .await;
        assert_eq!(renamed.body["name"], "South", "{}", renamed.text);
        assert_eq!(tenant.get(&path).await["name"], "South");

        let member = tenant.member("ada", "sales").await;
        let user = format!("/users/{}", member.id);
        let joined = json!({"team_id": made.body["id"]});
        let joined = tenant.call("PATCH", &user, Some(joined)).await;
        assert_eq!(joined.body["team_id"], made.body["id"], "{}", joined.text);

        // Another organization's administrator finds none of it, by any door.
        for (method, path, body) in [
            ("GET", path.as_str(), None),
            ("PATCH", &path, Some(json!({"name": "Mine"}))),
            ("DELETE", &path, None),
            ("GET", &user, None),
            ("PATCH", &user, Some(json!({"role": "none"}))),
            ("DELETE", &user, None),
            ("GET", &format!("{user}/sessions"), None),
            ("DELETE", &format!("{user}/sessions"), None),
        ] {
            let answer = foreign.call(method, path, body).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        }
        let body = json!({"name": "n", "email": "n@teams-foreign.example.org", "password": PASSWORD,
            "role": "none", "team_id": made.body["id"]});
        assert_eq!(foreign.post("/users", body).await.status, 400);

        let review = tenant.get("/access-review").await;
        let users = review["users"].as_array().unwrap();
        assert_eq!(users.len(), 2);
        let ada = &users[1];
        assert_eq!(
            (&ada["email"], &ada["role"], &ada["sessions"]),
            (&json!(member.email), &json!("sales"), &json!(1))
        );
        assert!(ada["last_login_at"].is_string());
        assert_eq!(review["keys"], json!([]));
        assert!(
            !foreign
                .get("/access-review")
                .await
                .to_string()
                .contains("ada-of")
        );

        assert_eq!(tenant.call("DELETE", &path, None).await.status, 204);
        assert_eq!(tenant.get(&user).await["team_id"], json!(null));
        assert_eq!(tenant.get("/teams").await["items"], json!([]));
    });
}
