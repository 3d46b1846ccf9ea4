//! Customer records as staff work with them: written over HTTP, through the log, and read back at once.

#![allow(clippy::unwrap_used)]

mod audit;
mod circles;
mod contacts;
mod customers;
mod dealings;
mod interactions;
mod leads;
mod loyalty;
mod quotes;
mod segments;
mod sources;

use serde_json::json;
use tests::{Account, Caller, TestApp};

/// A user with this role: its id, and a caller with its session.
async fn member(app: &TestApp, account: &Account, role: &str) -> (String, Caller) {
    let email = format!("{role}-{}", account.email);
    let password = "correct horse staff";
    let new = json!({"name": role, "email": email, "password": password, "role": role});
    let made = account.owner.post("/users", &new).await.expect(201);
    let login = json!({"email": email, "password": password});
    let session = app.nobody().post("/auth/login", &login).await.expect(200);
    let caller = app.nobody().with_token(session["token"].as_str().unwrap());
    (made["id"].as_str().unwrap().to_owned(), caller)
}

/// An installation with an organization that does not operate it.
async fn office() -> (TestApp, Account) {
    let app = TestApp::start().await;
    let _operator = app.register("operator").await;
    let account = app.register("office").await;
    (app, account)
}
