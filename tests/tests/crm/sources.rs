//! The interface by every path that client systems know it by: each answers, in the names and forms of that system.

use serde_json::{Value, json};
use tests::Caller;

use crate::office;

/// Calls a path as it is written, not below `/api/v1`.
async fn call(staff: &Caller, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = staff.at(method.parse().unwrap(), path);
    let request = match &body {
        Some(body) => request.json(body),
        None => request,
    };
    let answer = staff.send(request).await;
    (answer.status, answer.json)
}

/// Calls and asks for this status.
#[track_caller]
fn expect(status: u16, asked: (&str, &str), (found, json): (u16, Value)) -> Value {
    assert_eq!(found, status, "{} {}: {json}", asked.0, asked.1);
    json
}

macro_rules! ask {
    ($staff:expr, $status:expr, $method:expr, $path:expr) => {
        expect(
            $status,
            ($method, &$path),
            call($staff, $method, &$path, None).await,
        )
    };
    ($staff:expr, $status:expr, $method:expr, $path:expr, $body:expr) => {
        expect(
            $status,
            ($method, &$path),
            call($staff, $method, &$path, Some($body)).await,
        )
    };
}

#[tokio::test]
async fn a_retail_back_office_finds_its_paths() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    let crm = "/api/v1/admin/crm";
    let made = ask!(
        staff,
        201,
        "POST",
        format!("{crm}/customers"),
        json!({"customer_id": "c", "name": "A", "customer_type": "business"})
    );
    assert_eq!(made["name"], "A");
    let listed = ask!(
        staff,
        200,
        "GET",
        format!("{crm}/customers?status=prospect")
    );
    assert_eq!(listed["items"][0]["customer_id"], "c");
    ask!(staff, 200, "GET", format!("{crm}/customers/c"));
    ask!(
        staff,
        200,
        "PUT",
        format!("{crm}/customers/c/"),
        json!({"name": "B"})
    );
    assert_eq!(ask!(staff, 200, "GET", "/api/v1/customers/c/")["name"], "B");
    ask!(staff, 204, "DELETE", format!("{crm}/customers/c"));
    ask!(staff, 404, "GET", format!("{crm}/customers/none"));
    ask!(staff, 404, "GET", format!("{crm}/api-keys"));
}

#[tokio::test]
async fn a_camel_case_client_finds_its_paths_names_and_times() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    let body = json!({"orgId": "whatever", "name": "A", "type": "business", "companyName": "A Ltd", "value": 1.5,
        "address": {"street": "s", "city": "Lyon", "zipCode": "1", "country": "FR"}, "nextFollowUp": 1_893_456_000_000_u64, "isActive": true});
    let made = ask!(staff, 201, "POST", "/api/customers", body);
    let id = made["_id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["type"], &made["companyName"]),
        (&json!("business"), &json!("A Ltd"))
    );
    assert_eq!(made["address"]["zipCode"], "1");
    assert_eq!(made["value"].as_f64(), Some(1.5));
    assert!(
        made["createdAt"]
            .as_i64()
            .is_some_and(|millis| millis > 1_700_000_000_000)
    );
    let listed = ask!(
        staff,
        200,
        "GET",
        "/api/customers?companyName=a%20ltd&limit=1"
    );
    assert_eq!(listed["items"][0]["_id"], id.as_str());
    assert_eq!(listed["nextCursor"], Value::Null);
    let one = format!("/api/customers/{id}");
    assert_eq!(ask!(staff, 200, "GET", one)["name"], "A");
    let put = ask!(
        staff,
        200,
        "PUT",
        one,
        json!({"name": "B", "assignedTo": null})
    );
    assert_eq!(
        (&put["name"], put.get("companyName")),
        (&json!("B"), Some(&Value::Null))
    );
    let contacts = format!("{one}/contacts");
    let contact = ask!(
        staff,
        201,
        "POST",
        contacts,
        json!({"firstName": "F", "lastName": "L", "isPrimary": true})
    );
    assert_eq!(
        (&contact["firstName"], &contact["isPrimary"]),
        (&json!("F"), &json!(true))
    );
    let contact = format!("{contacts}/{}", contact["_id"].as_str().unwrap());
    ask!(
        staff,
        200,
        "PUT",
        contact,
        json!({"firstName": "G", "lastName": "L"})
    );
    assert_eq!(
        ask!(staff, 200, "GET", contacts)["items"][0]["firstName"],
        "G"
    );
    ask!(staff, 204, "DELETE", contact);
    let wrong = ask!(
        staff,
        400,
        "POST",
        "/api/customers",
        json!({"companyName": "x"})
    );
    assert_eq!(wrong["field"], "name");
    ask!(staff, 204, "DELETE", one);
    ask!(&staff.anonymous(), 401, "GET", "/api/customers");
}
