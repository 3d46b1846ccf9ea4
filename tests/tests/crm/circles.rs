//! Who sees and changes which interactions: customers in sight, one's own, one's team's, and nobody else.

use serde_json::json;
use tests::{Account, Caller, TestApp};

use crate::interactions::{add, customer, in_minutes, path, subjects};
use crate::{member, office};

/// A user in a team: its id, and a caller with its session.
async fn in_team(
    app: &TestApp,
    office: &Account,
    name: &str,
    team: Option<&str>,
) -> (String, Caller) {
    let (email, password) = (
        format!("{name}@{}", office.email.replace('@', ".")),
        "correct horse staff",
    );
    let new = json!({"name": name, "email": email, "password": password, "role": "sales", "team_id": team});
    let made = office.owner.post("/users", &new).await.expect(201);
    let login = json!({"email": email, "password": password});
    let session = app.nobody().post("/auth/login", &login).await.expect(200);
    let caller = app.nobody().with_token(session["token"].as_str().unwrap());
    (made["id"].as_str().unwrap().to_owned(), caller)
}

#[tokio::test]
async fn whom_an_interaction_concerns_sees_it_and_nobody_else() {
    let (app, office) = office().await;
    let owner = &office.owner;
    let team = owner
        .post("/teams", &json!({"name": "North"}))
        .await
        .expect(201)["id"]
        .clone();
    let team = team.as_str().unwrap();
    let (ann, anns) = in_team(&app, &office, "ann", Some(team)).await;
    let (bob, bobs) = in_team(&app, &office, "bob", Some(team)).await;
    let (cyd, cyds) = in_team(&app, &office, "cyd", None).await;
    let (_, dans) = in_team(&app, &office, "dan", None).await;
    let (partner, brand) = member(&app, &office, "brand").await;
    let (_, nobody) = member(&app, &office, "none").await;
    customer(owner, "c", json!({"assigned_to": cyd})).await;
    customer(
        owner,
        "own",
        json!({"user_id": partner, "assigned_to": cyd}),
    )
    .await;
    let made = add(
        owner,
        "c",
        json!({"subject": "Of Ann", "assigned_to": ann, "follow_up_at": in_minutes(-5)}),
    )
    .await;
    let path = path(&made);

    // Ann is responsible, Bob is in her team, the customer is Cyd's.
    for (who, status) in [
        (&anns, 200),
        (&bobs, 200),
        (&cyds, 200),
        (&dans, 404),
        (&brand, 404),
    ] {
        who.get(&path).await.expect(status);
        let list = who.get("/interactions").await.expect(200);
        assert_eq!(subjects(&list).len(), usize::from(status == 200));
        let stats = who.get("/interactions/stats").await.expect(200);
        assert_eq!(stats["total"], u32::from(status == 200));
        let due = who
            .get("/customers/interactions/follow-up")
            .await
            .expect(200);
        assert_eq!(
            due["items"].as_array().unwrap().len(),
            usize::from(status == 200)
        );
        who.get("/customers/c/interactions").await.expect(status);
    }
    anns.get("/customers/c").await.problem(404, "not-found");
    anns.get("/customers/c/timeline")
        .await
        .problem(404, "not-found");
    nobody.get("/interactions").await.problem(403, "forbidden");
    nobody.get(&path).await.problem(403, "forbidden");

    anns.patch(&path, &json!({"summary": "by Ann"}))
        .await
        .expect(200);
    cyds.patch(&path, &json!({"summary": "by Cyd"}))
        .await
        .expect(200);
    bobs.patch(&path, &json!({"summary": "by Bob"}))
        .await
        .problem(403, "forbidden");
    bobs.delete(&path).await.problem(403, "forbidden");
    dans.patch(&path, &json!({"summary": "by Dan"}))
        .await
        .problem(404, "not-found");
    // She hands it to a colleague of hers, and to nobody else.
    anns.patch(&path, &json!({"assigned_to": cyd}))
        .await
        .problem(403, "forbidden");
    anns.patch(&path, &json!({"assigned_to": null}))
        .await
        .problem(403, "forbidden");
    let given = anns
        .patch(&path, &json!({"assigned_to": bob}))
        .await
        .expect(200);
    assert_eq!(given["assigned_to"], json!(bob));
    anns.patch(&path, &json!({"summary": "by Ann"}))
        .await
        .problem(403, "forbidden");
    bobs.patch(&path, &json!({"summary": "by Bob"}))
        .await
        .expect(200);
    let of_team = owner
        .get(&format!("/interactions?team_id={team}"))
        .await
        .expect(200);
    assert_eq!(subjects(&of_team), ["Of Ann"]);

    // A partner writes down what concerns itself, and is nobody's colleague.
    let own = add(&brand, "own", json!({"subject": "Ours"})).await;
    assert_eq!(own.get("assigned_to"), None);
    let body = json!({"customer_id": "c", "subject": "x"});
    brand
        .post("/interactions", &body)
        .await
        .problem(404, "not-found");
    assert_eq!(
        subjects(&brand.get("/interactions").await.expect(200)),
        ["Ours"]
    );

    // Another organization has none of it.
    let other = app.register("elsewhere").await;
    let id = made["id"].as_str().unwrap();
    other.owner.get(&path).await.problem(404, "not-found");
    other
        .owner
        .patch(&path, &json!({"summary": "x"}))
        .await
        .problem(404, "not-found");
    other.owner.delete(&path).await.problem(404, "not-found");
    customer(&other.owner, "c", json!({})).await;
    other
        .owner
        .get(&format!("/customers/c/interactions/{id}"))
        .await
        .problem(404, "not-found");
    for list in [
        "/interactions",
        "/customers/c/interactions",
        "/interactions/customer/c",
        "/customers/interactions/follow-up",
        &format!("/interactions?team_id={team}"),
    ] {
        let list = other.owner.get(list).await.expect(200);
        assert_eq!(list["items"], json!([]));
    }
    assert_eq!(
        other.owner.get("/interactions/stats").await.expect(200)["total"],
        0
    );
    let foreign = json!({"customer_id": "c", "subject": "x", "assigned_to": ann});
    let no = other.owner.post("/interactions", &foreign).await;
    assert_eq!(no.problem(422, "unprocessable")["field"], "assigned_to");
    other
        .owner
        .get(&format!("/users/{ann}/performance"))
        .await
        .problem(404, "not-found");
}
