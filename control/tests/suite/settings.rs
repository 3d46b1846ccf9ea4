use control::{Authenticator, ControlError, NameUniqueness, Setting};
use schemas::{Currency, OrganizationId, Tier, default_tiers};

use super::{Backend, register};

fn tier(name: &str, from: i64) -> Tier {
    Tier {
        name: name.into(),
        from,
    }
}

pub(crate) async fn settings_have_defaults_and_keep_what_is_set(backend: Backend<'_>) {
    let control = backend.open().await;
    let account = register(&control, "ada@example.com").await;
    let id = account.organization.id;
    let authenticator = Authenticator::new(control.clone());
    assert_eq!(
        authenticator
            .authenticate(&account.token)
            .await
            .unwrap()
            .currency,
        Currency::USD
    );
    let settings = control.settings(&id).await.unwrap();
    assert_eq!(
        (settings.currency, settings.timezone.as_str()),
        (Currency::USD, "UTC")
    );
    assert_eq!(
        (settings.tiers, settings.points_per_unit),
        (default_tiers(), 1)
    );

    let yen = Currency::parse("JPY").unwrap();
    let tiers = vec![tier("básico", 0), tier("ouro", 10)];
    for setting in [
        Setting::Currency(yen),
        Setting::Timezone("Asia/Tokyo".into()),
        Setting::Tiers(vec![tier("first", 0)]),
        Setting::Tiers(tiers.clone()),
        Setting::PointsPerUnit(3),
    ] {
        control.set_setting(&id, setting).await.unwrap();
    }
    let settings = control.settings(&id).await.unwrap();
    assert_eq!(
        (settings.currency, settings.timezone.as_str()),
        (yen, "Asia/Tokyo")
    );
    assert_eq!((settings.tiers, settings.points_per_unit), (tiers, 3));
    let principal = authenticator.authenticate(&account.token).await.unwrap();
    assert_eq!(
        (principal.currency, principal.timezone.as_str()),
        (yen, "Asia/Tokyo"),
        "principals follow at once"
    );
}

pub(crate) async fn settings_belong_to_one_organization(backend: Backend<'_>) {
    let control = backend.open().await;
    let mine = register(&control, "ada@example.com").await.organization.id;
    let theirs = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    control
        .set_setting(&mine, Setting::PointsPerUnit(7))
        .await
        .unwrap();
    control
        .set_setting(&mine, Setting::Timezone("Asia/Tokyo".into()))
        .await
        .unwrap();
    let other = control.settings(&theirs).await.unwrap();
    assert_eq!((other.points_per_unit, other.timezone.as_str()), (1, "UTC"));
    let nowhere = OrganizationId::from_text("org_x");
    for setting in [Setting::PointsPerUnit(2), Setting::Currency(Currency::USD)] {
        let refused = control.set_setting(&nowhere, setting).await;
        assert!(
            matches!(
                refused,
                Err(ControlError::NotFound {
                    what: "organization"
                })
            ),
            "{refused:?}"
        );
    }
    assert!(control.settings(&nowhere).await.is_err());
}

fn types(types: &[&str]) -> Setting {
    Setting::ServiceTypes(types.iter().map(|text| (*text).to_owned()).collect())
}

pub(crate) async fn customers_feedback_and_quotes_have_settings(backend: Backend<'_>) {
    let control = backend.open().await;
    let id = register(&control, "ada@example.com").await.organization.id;
    let settings = control.settings(&id).await.unwrap();
    assert_eq!(settings.name_uniqueness, NameUniqueness::All);
    assert_eq!(
        (settings.service_types, settings.quote_prefix.as_str()),
        (Vec::new(), "Q-")
    );
    for setting in [
        Setting::NameUniqueness(NameUniqueness::Companies),
        types(&[" Repair ", "Advice"]),
        Setting::QuotePrefix("Angebot Nr. ".into()),
    ] {
        control.set_setting(&id, setting).await.unwrap();
    }
    let settings = control.settings(&id).await.unwrap();
    assert_eq!(settings.name_uniqueness, NameUniqueness::Companies);
    assert_eq!(settings.service_types, ["Repair", "Advice"]);
    assert_eq!(settings.quote_prefix, "Angebot Nr. ");
    let most: Vec<String> = (0..100).map(|number| format!("type {number}")).collect();
    for setting in [
        Setting::NameUniqueness(NameUniqueness::Off),
        Setting::ServiceTypes(most.clone()),
        Setting::QuotePrefix(String::new()),
    ] {
        control.set_setting(&id, setting).await.unwrap();
    }
    let settings = control.settings(&id).await.unwrap();
    assert_eq!(settings.name_uniqueness, NameUniqueness::Off);
    assert_eq!(
        (settings.service_types, settings.quote_prefix.as_str()),
        (most, "")
    );
}

pub(crate) async fn bad_settings_are_refused(backend: Backend<'_>) {
    let control = backend.open().await;
    let id = register(&control, "ada@example.com").await.organization.id;
    let before = control.settings(&id).await.unwrap();
    for (field, setting) in [
        ("timezone", Setting::Timezone("Mars/Olympus".into())),
        ("points_per_unit", Setting::PointsPerUnit(-1)),
        ("points_per_unit", Setting::PointsPerUnit(1_000_001)),
        ("tiers", Setting::Tiers(vec![])),
        ("tiers", Setting::Tiers(vec![tier("low", 1)])),
        (
            "tiers",
            Setting::Tiers(vec![tier("low", 0), tier("high", 0)]),
        ),
        (
            "tiers",
            Setting::Tiers(vec![tier("low", 0), tier("low", 5)]),
        ),
        ("tiers", Setting::Tiers(vec![tier("Low", 0)])),
        ("tiers", Setting::Tiers(vec![tier(" low", 0)])),
        ("service_types", types(&["x"; 101])),
        ("service_types[1]", types(&["Repair", " "])),
        ("service_types[1]", types(&["Repair", "a\0"])),
        ("service_types[0]", types(&[&"x".repeat(61)])),
        ("service_types[2]", types(&["Repair", "Advice", "REPAIR "])),
        ("quote_prefix", Setting::QuotePrefix("x".repeat(17))),
        ("quote_prefix", Setting::QuotePrefix("Q\n".into())),
    ] {
        match control.set_setting(&id, setting.clone()).await {
            Err(ControlError::Invalid(error)) => assert_eq!(error.field, field),
            other => panic!("{setting:?}: {other:?}"),
        }
    }
    assert_eq!(control.settings(&id).await.unwrap(), before);
}
