use std::collections::HashSet;
use std::time::{Duration, Instant};

use control::{AuthError, Authenticator, ControlError, Role, Scope, Scopes};
use schemas::{Currency, OrganizationId};

use super::{Backend, register, registration};

pub(crate) async fn registering_gives_an_owner_who_is_let_in(backend: Backend<'_>) {
    let control = backend.open().await;
    let mut request = registration(" Ada@Example.COM ");
    request.currency = Some(Currency::parse("EUR").unwrap());
    request.timezone = Some("Europe/Berlin".into());
    let first = control.register(request).await.unwrap();
    assert!(
        first.organization.id.as_str().starts_with("org_")
            && first.user.id.as_str().starts_with("usr_")
    );
    assert_eq!(
        (first.user.email.as_str(), first.user.role),
        ("ada@example.com", Role::Owner)
    );
    assert_eq!(control.user(&first.user.id).await.unwrap(), first.user);
    assert_eq!(
        control.organization(&first.organization.id).await.unwrap(),
        first.organization
    );

    let authenticator = Authenticator::new(control.clone());
    let principal = authenticator.authenticate(&first.token).await.unwrap();
    assert_eq!(principal.organization, first.organization.id);
    assert_eq!(principal.user.as_ref(), Some(&first.user.id));
    assert_eq!(
        (principal.scopes, principal.role, principal.operator),
        (Scopes::ALL, Role::Owner, true)
    );
    assert_eq!(
        (principal.currency.as_str(), principal.timezone.as_str()),
        ("EUR", "Europe/Berlin")
    );
    assert_eq!(principal.require(Scope::Admin), Ok(()));

    let mut request = registration("grace@example.com");
    request.organization = None;
    let second = control.register(request).await.unwrap();
    assert_eq!(
        second.organization.name, "Ada",
        "without a name the organization has its owner's"
    );
    assert_eq!(
        (
            second.organization.currency,
            second.organization.timezone.as_str()
        ),
        (Currency::USD, "UTC")
    );
    assert!(
        !authenticator
            .authenticate(&second.token)
            .await
            .unwrap()
            .operator
    );
    let logged_in = control
        .login("ADA@example.com ", "correct horse")
        .await
        .unwrap();
    assert!(logged_in.user.last_login_at > first.user.last_login_at);
    let mut user = first.user.clone();
    user.last_login_at = logged_in.user.last_login_at;
    assert_eq!(
        (&logged_in.user, &logged_in.organization),
        (&user, &first.organization)
    );
    assert!(
        authenticator
            .authenticate(&logged_in.token)
            .await
            .unwrap()
            .operator
    );
    assert_eq!(
        control.organizations().await.unwrap(),
        [first.organization.clone(), second.organization]
    );
    assert_eq!(control.users(&first.organization.id).await.unwrap(), [user]);
    assert_eq!(control.operator().await.unwrap(), Some(first.organization));
}

pub(crate) async fn an_address_has_one_account_whatever_its_case(backend: Backend<'_>) {
    let control = backend.open().await;
    register(&control, "ada@example.com").await;
    let error = control
        .register(registration(" ADA@example.com"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ControlError::Conflict { field: "email" }),
        "{error}"
    );
    assert!(!error.is_retryable());
    assert_eq!(
        control.organizations().await.unwrap().len(),
        1,
        "a refused registration left an organization"
    );
}

pub(crate) async fn exactly_one_of_many_at_once_is_the_operator(backend: Backend<'_>) {
    let url = (backend.fresh)();
    // Two handles with pools of their own stand for two processes.
    let (one, two) = (
        control::Control::open(&url).await.unwrap(),
        control::Control::open(&url).await.unwrap(),
    );
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let control = if number % 2 == 0 {
                one.clone()
            } else {
                two.clone()
            };
            tokio::spawn(
                async move { register(&control, &format!("user{number}@example.com")).await },
            )
        })
        .collect();
    let mut operators = 0;
    for task in tasks {
        operators += usize::from(task.await.unwrap().organization.operator);
    }
    assert_eq!(operators, 1);
    let stored = one.organizations().await.unwrap();
    assert_eq!(
        (
            stored.len(),
            stored.iter().filter(|found| found.operator).count()
        ),
        (12, 1)
    );
}

pub(crate) async fn of_many_with_one_address_one_gets_it_and_nothing_is_left_of_the_others(
    backend: Backend<'_>,
) {
    let control = backend.open().await;
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let control = control.clone();
            tokio::spawn(async move { control.register(registration("same@example.com")).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert!(
                matches!(error, ControlError::Conflict { field: "email" }),
                "{error}"
            ),
        }
    }
    assert_eq!((made, control.organizations().await.unwrap().len()), (1, 1));
}

pub(crate) async fn a_failed_first_registration_does_not_take_the_operators_place(
    backend: Backend<'_>,
) {
    let control = backend.open().await;
    let mut request = registration("ada@example.com");
    request.password = "short".into();
    assert!(control.register(request).await.is_err());
    assert_eq!(control.operator().await.unwrap(), None);
    assert!(
        register(&control, "ada@example.com")
            .await
            .organization
            .operator
    );
}

pub(crate) async fn wrong_and_unknown_are_one_error_and_cost_one_hash(backend: Backend<'_>) {
    let control = backend.open().await;
    register(&control, "ada@example.com").await;
    let mut quickest = [Duration::MAX; 2];
    for _ in 0..5 {
        for (address, quickest) in ["ada@example.com", "nobody@example.com"]
            .iter()
            .zip(&mut quickest)
        {
            let start = Instant::now();
            let error = control.login(address, "wrong horse").await.unwrap_err();
            *quickest = start.elapsed().min(*quickest);
            assert!(matches!(error, ControlError::Credentials), "{error}");
        }
    }
    // Without the dummy hash an unknown address would be answered in a small part of the time.
    assert!(
        quickest[1] * 2 > quickest[0],
        "known {:?}, unknown {:?}",
        quickest[0],
        quickest[1]
    );
    for (address, password) in [
        ("", ""),
        ("a\0b", "x\0y"),
        ("ada@example.com", &*"x".repeat(100_000)),
    ] {
        assert!(matches!(
            control.login(address, password).await,
            Err(ControlError::Credentials)
        ));
    }
}

pub(crate) async fn sessions_expire_and_can_be_ended(backend: Backend<'_>) {
    let (control, clock) = backend.open_with_clock().await;
    let first = register(&control, "ada@example.com").await;
    let authenticator = Authenticator::new(control.clone());
    let second = control
        .login("ada@example.com", "correct horse")
        .await
        .unwrap();
    assert_eq!(
        second.expires_at,
        clock.now().plus_micros(30 * 86_400 * 1_000_000)
    );
    assert_ne!(first.token, second.token);
    assert!(authenticator.authenticate(&first.token).await.is_ok());
    assert!(control.logout(&first.token).await.unwrap());
    assert!(
        !control.logout(&first.token).await.unwrap(),
        "there is nothing left to end"
    );
    assert_eq!(
        authenticator.authenticate(&first.token).await,
        Err(AuthError::Unknown)
    );
    assert!(
        authenticator.authenticate(&second.token).await.is_ok(),
        "one session ends, the other goes on"
    );

    assert_eq!(control.end_sessions(&first.user.id).await.unwrap(), 1);
    assert_eq!(
        authenticator.authenticate(&second.token).await,
        Err(AuthError::Unknown)
    );

    let third = control
        .login("ada@example.com", "correct horse")
        .await
        .unwrap();
    clock.forward(30 * 86_400 - 1);
    let fresh = || Authenticator::new(control.clone());
    assert!(fresh().authenticate(&third.token).await.is_ok());
    clock.forward(1);
    assert_eq!(
        fresh().authenticate(&third.token).await,
        Err(AuthError::Unknown)
    );
}

pub(crate) async fn bad_values_name_their_field(backend: Backend<'_>) {
    let control = backend.open().await;
    let good = || registration("ada@example.com");
    let cases = [
        (
            "name",
            control::Register {
                name: " ".into(),
                ..good()
            },
        ),
        (
            "email",
            control::Register {
                email: "ada".into(),
                ..good()
            },
        ),
        (
            "password",
            control::Register {
                password: "1234567".into(),
                ..good()
            },
        ),
        (
            "password",
            control::Register {
                password: "x".repeat(1025),
                ..good()
            },
        ),
        (
            "organization",
            control::Register {
                organization: Some("a\0b".into()),
                ..good()
            },
        ),
        (
            "timezone",
            control::Register {
                timezone: Some("Mars/Olympus".into()),
                ..good()
            },
        ),
    ];
    for (field, request) in cases {
        match control.register(request).await {
            Err(ControlError::Invalid(error)) => assert_eq!(error.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    assert!(control.organizations().await.unwrap().is_empty());
    let missing = control
        .organization(&OrganizationId::from_text("org_x"))
        .await;
    assert!(matches!(
        missing,
        Err(ControlError::NotFound {
            what: "organization"
        })
    ));
}

pub(crate) async fn any_script_survives(backend: Backend<'_>) {
    let control = backend.open().await;
    let names = [
        "Ælfgifu Ünïcode",
        "محمد",
        "山田太郎",
        "👩🏽‍🚀 Ltd",
        "O'Brien; DROP TABLE users --",
    ];
    let mut seen = HashSet::new();
    for (number, name) in names.iter().enumerate() {
        let mut request = registration(&format!("Ünï{number}@bücher.example"));
        request.name = (*name).into();
        request.organization = Some((*name).into());
        request.password = "пароль密码🔑xx".into();
        let made = control.register(request).await.unwrap();
        let found = control
            .login(&format!("ünÏ{number}@BÜCHER.example"), "пароль密码🔑xx")
            .await
            .unwrap();
        assert_eq!(
            (found.user.name.as_str(), found.organization.name.as_str()),
            (*name, *name)
        );
        assert!(seen.insert(made.user.id));
    }
}
