//! Contacts: a company keeps exactly one primary, whatever comes at once.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::Caller;

use crate::office;

async fn add(staff: &Caller, body: Value) -> Value {
    staff.post("/customers/c/contacts", &body).await.expect(201)
}

/// The first names of a customer's contacts and which of them is primary.
async fn contacts(staff: &Caller) -> (Vec<String>, Vec<String>) {
    let list = staff.get("/customers/c/contacts").await.expect(200);
    let items = list["items"].as_array().unwrap();
    let name = |item: &Value| item["first_name"].as_str().unwrap().to_owned();
    let primary = items.iter().filter(|item| item["is_primary"] == true);
    (
        items.iter().map(name).collect(),
        primary.map(name).collect(),
    )
}

#[tokio::test]
async fn a_company_has_one_primary_contact() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    let company = json!({"customer_id": "c", "name": "Company", "customer_type": "enterprise"});
    staff.post("/customers", &company).await.expect(201);
    let a = add(
        staff,
        json!({"first_name": "A", "last_name": "x", "email": "a@example.org"}),
    )
    .await;
    assert_eq!(
        (&a["is_primary"], &a["is_active"]),
        (&json!(true), &json!(true))
    );
    let b = add(
        staff,
        json!({"first_name": "B", "last_name": "x", "is_primary": true}),
    )
    .await;
    assert_eq!(
        contacts(staff).await,
        (vec!["B".into(), "A".into()], vec!["B".into()])
    );
    let path =
        |contact: &Value| format!("/customers/c/contacts/{}", contact["id"].as_str().unwrap());
    let no = staff.patch(&path(&b), &json!({"is_primary": false})).await;
    assert_eq!(no.problem(422, "unprocessable")["field"], "is_primary");
    staff
        .patch(&path(&a), &json!({"is_primary": true}))
        .await
        .expect(200);
    assert_eq!(contacts(staff).await.1, ["A"]);
    let put = staff
        .put(&path(&a), &json!({"first_name": "A2", "last_name": "y"}))
        .await
        .expect(200);
    assert_eq!((&put["first_name"], put.get("email")), (&json!("A2"), None));
    assert_eq!(
        (&put["is_primary"], &put["created_by"]),
        (&json!(true), &a["created_by"])
    );
    staff.delete(&path(&a)).await.expect(204);
    assert_eq!(contacts(staff).await, (vec!["B".into()], vec!["B".into()]));
    staff.get(&path(&a)).await.problem(404, "not-found");
    staff
        .patch(&path(&a), &json!({"title": "x"}))
        .await
        .problem(404, "not-found");

    // Ten that all want to be primary at once.
    let all = (0..10).map(|at| {
        add(
            staff,
            json!({"first_name": format!("P{at}"), "last_name": "x", "is_primary": true}),
        )
    });
    join_all(all).await;
    let (names, primary) = contacts(staff).await;
    assert_eq!((names.len(), primary.len()), (11, 1));
}

#[tokio::test]
async fn a_person_need_not_have_a_primary_contact_until_it_is_a_company() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    staff
        .post("/customers", &json!({"customer_id": "c", "name": "Person"}))
        .await
        .expect(201);
    for name in ["A", "B"] {
        add(staff, json!({"first_name": name, "last_name": "x"})).await;
    }
    assert_eq!(contacts(staff).await.1, Vec::<String>::new());
    staff
        .patch("/customers/c", &json!({"customer_type": "business"}))
        .await
        .expect(200);
    assert_eq!(contacts(staff).await.1, ["A"]);
}

#[tokio::test]
async fn contacts_are_checked_and_versioned() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    staff
        .post("/customers", &json!({"customer_id": "c", "name": "C"}))
        .await
        .expect(201);
    for (body, field) in [
        (json!({"last_name": "x"}), "first_name"),
        (json!({"first_name": "a", "last_name": null}), "last_name"),
        (
            json!({"first_name": "a", "last_name": "b", "is_primary": "yes"}),
            "is_primary",
        ),
        (
            json!({"first_name": "a", "last_name": "b", "age": 5}),
            "age",
        ),
    ] {
        let problem = staff
            .post("/customers/c/contacts", &body)
            .await
            .problem(400, "bad-request");
        assert_eq!(problem["field"], field, "{body}");
    }
    staff
        .post(
            "/customers/none/contacts",
            &json!({"first_name": "a", "last_name": "b"}),
        )
        .await
        .problem(404, "not-found");
    let made = staff
        .post(
            "/customers/c/contacts",
            &json!({"first_name": "a", "last_name": "b"}),
        )
        .await;
    let etag = made.headers["etag"].to_str().unwrap().to_owned();
    let location = made.headers["location"].to_str().unwrap().to_owned();
    made.expect(201);
    let path = location.strip_prefix("/api/v1").unwrap();
    let headers = [("if-match", etag.as_str())];
    staff
        .with_headers("PATCH", path, &json!({"title": "1"}), &headers)
        .await
        .expect(200);
    staff
        .with_headers("PATCH", path, &json!({"title": "2"}), &headers)
        .await
        .problem(412, "precondition-failed");
    assert_eq!(staff.get(path).await.expect(200)["title"], "1");
}
