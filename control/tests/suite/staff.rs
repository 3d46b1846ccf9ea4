use std::time::Duration;

use control::{
    AuthError, Authenticator, Control, ControlError, NewUser, Permission, Reach, Registered, Role,
    UserChange,
};
use schemas::{TeamId, UserId};

use super::{Backend, register};

fn new(email: &str, role: Role) -> NewUser {
    NewUser {
        name: "Grace".into(),
        email: email.into(),
        password: "correct horse".into(),
        role,
        team: None,
    }
}

async fn started(backend: &Backend<'_>) -> (Control, Registered) {
    let control = backend.open().await;
    let account = register(&control, "ada@example.com").await;
    (control, account)
}

pub(crate) async fn staff_logs_in_and_has_its_role(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let organization = &account.organization.id;
    let authenticator = Authenticator::new(control.clone());
    for role in Role::ALL {
        let email = format!("{role}@example.com");
        let made = control
            .create_user(organization, Role::Owner, new(&email, role))
            .await
            .unwrap();
        let session = control.login(&email, "correct horse").await.unwrap();
        assert_eq!(session.user.id, made.id);
        assert_eq!(
            (session.user.role, &session.user.organization),
            (role, organization)
        );
        let principal = authenticator.authenticate(&session.token).await.unwrap();
        assert_eq!(
            (principal.role, principal.scopes, principal.operator),
            (
                role,
                role.scopes(),
                matches!(role, Role::Owner | Role::Admin)
            )
        );
        for permission in Permission::ALL {
            let reach = principal.reach(permission).unwrap_or(Reach::Nothing);
            assert_eq!(reach, role.reach(permission), "{role}: {permission:?}");
        }
    }
    let error = control
        .create_user(
            organization,
            Role::Owner,
            new("ADA@example.com", Role::None),
        )
        .await
        .unwrap_err();
    assert!(
        matches!(error, ControlError::Conflict { field: "email" }),
        "{error}"
    );

    // Pages in the order they were made.
    let all = control.users(organization).await.unwrap();
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|user: &control::User| user.id.clone());
        let page = control.users_after(organization, after.as_ref(), 4).await;
        let page = page.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!((paged.len(), &paged), (9, &all));
}

pub(crate) async fn a_deactivated_user_is_out_at_once(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let organization = &account.organization.id;
    let user = control
        .create_user(
            organization,
            Role::Admin,
            new("grace@example.com", Role::Sales),
        )
        .await
        .unwrap();
    let authenticator = Authenticator::new(control.clone());
    let session = control
        .login("grace@example.com", "correct horse")
        .await
        .unwrap();
    assert!(authenticator.authenticate(&session.token).await.is_ok());
    let change = |active| UserChange {
        active: Some(active),
        ..UserChange::default()
    };
    let gone = control
        .update_user(organization, Role::Admin, &user.id, change(false))
        .await
        .unwrap();
    assert!(!gone.is_active() && gone.deactivated_at.is_some());
    assert_eq!(
        authenticator.authenticate(&session.token).await,
        Err(AuthError::Unknown)
    );
    let refused = control.login("grace@example.com", "correct horse").await;
    assert!(matches!(refused, Err(ControlError::Credentials)));
    let again = control
        .update_user(organization, Role::Admin, &user.id, change(false))
        .await
        .unwrap();
    assert_eq!(
        again.deactivated_at, gone.deactivated_at,
        "since the first time"
    );
    control
        .update_user(organization, Role::Admin, &user.id, change(true))
        .await
        .unwrap();
    assert_eq!(
        authenticator.authenticate(&session.token).await,
        Err(AuthError::Unknown),
        "the sessions have ended for good"
    );
    let session = control.login("grace@example.com", "correct horse").await;
    assert!(session.is_ok());

    // Another organization's administrator finds nobody.
    let other = register(&control, "eve@example.com").await;
    let foreign = control
        .update_user(&other.organization.id, Role::Owner, &user.id, change(false))
        .await;
    assert!(matches!(
        foreign,
        Err(ControlError::NotFound { what: "user" })
    ));
}

pub(crate) async fn an_organization_keeps_an_owner(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let (organization, owner) = (&account.organization.id, &account.user.id);
    let role = |role| UserChange {
        role: Some(role),
        ..UserChange::default()
    };
    let away = || UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    for change in [role(Role::Admin), away()] {
        let refused = control
            .update_user(organization, Role::Owner, owner, change)
            .await;
        assert!(matches!(refused, Err(ControlError::Rule(_))), "{refused:?}");
    }
    assert_eq!(control.user(owner).await.unwrap().role, Role::Owner);

    // An administrator neither makes owners nor touches them.
    let refused = control
        .create_user(organization, Role::Admin, new("o@example.com", Role::Owner))
        .await;
    assert!(matches!(refused, Err(ControlError::Forbidden(_))));
    for change in [role(Role::Sales), away(), UserChange::default()] {
        let refused = control
            .update_user(organization, Role::Admin, owner, change)
            .await;
        assert!(matches!(refused, Err(ControlError::Forbidden(_))));
    }

    // Of owners who all send the next one away at the same time, one is left.
    let mut owners: Vec<UserId> = vec![owner.clone()];
    for number in 0..3 {
        let email = format!("owner{number}@example.com");
        let made = control
            .create_user(organization, Role::Owner, new(&email, Role::Owner))
            .await
            .unwrap();
        owners.push(made.id);
    }
    let tasks: Vec<_> = owners
        .iter()
        .cloned()
        .map(|id| {
            let (control, organization) = (control.clone(), organization.clone());
            tokio::spawn(async move {
                control
                    .update_user(&organization, Role::Owner, &id, away())
                    .await
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => {}
            Err(ControlError::Rule(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let users = control.users(organization).await.unwrap();
    let active = users.iter().filter(|user| user.is_active()).count();
    assert_eq!((refused, active), (1, 1));
}

pub(crate) async fn teams_have_names_of_their_own(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let organization = &account.organization.id;
    let team = control.create_team(organization, " Köln ").await.unwrap();
    assert_eq!(team.name, "Köln");
    let taken = control.create_team(organization, "KÖLN").await;
    assert!(matches!(
        taken,
        Err(ControlError::Conflict { field: "name" })
    ));
    let south = control.create_team(organization, "South").await.unwrap();
    let taken = control.rename_team(organization, &south.id, "köln").await;
    assert!(matches!(
        taken,
        Err(ControlError::Conflict { field: "name" })
    ));
    let renamed = control.rename_team(organization, &team.id, "KÖLN").await;
    assert_eq!(renamed.unwrap().name, "KÖLN", "its own name is free to it");

    let mut member = new("grace@example.com", Role::Sales);
    member.team = Some(team.id.clone());
    let user = control
        .create_user(organization, Role::Owner, member)
        .await
        .unwrap();
    assert_eq!(user.team.as_ref(), Some(&team.id));
    let other = register(&control, "eve@example.com").await;
    for (organization, team, members) in [
        (organization, &team.id, 1),
        (organization, &south.id, 0),
        (&other.organization.id, &team.id, 0),
    ] {
        let found = control.users_of_team(organization, team).await.unwrap();
        assert_eq!(found.len(), members);
    }
    for id in [team.id.clone(), TeamId::from_text("team_\0")] {
        let mut foreign = new("mallory@example.com", Role::Sales);
        foreign.team = Some(id);
        let refused = control
            .create_user(&other.organization.id, Role::Owner, foreign)
            .await;
        assert!(
            matches!(&refused, Err(ControlError::Invalid(error)) if error.field == "team_id"),
            "{refused:?}"
        );
    }
    let foreign = control.delete_team(&other.organization.id, &team.id).await;
    assert!(matches!(
        foreign,
        Err(ControlError::NotFound { what: "team" })
    ));
    control.delete_team(organization, &team.id).await.unwrap();
    assert_eq!(control.user(&user.id).await.unwrap().team, None);
    assert_eq!(
        control.teams_after(organization, None, 10).await.unwrap(),
        [south]
    );
}

pub(crate) async fn a_changed_password_ends_the_other_sessions(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let authenticator = Authenticator::new(control.clone());
    let kept = authenticator.authenticate(&account.token).await.unwrap();
    let other = control
        .login("ada@example.com", "correct horse")
        .await
        .unwrap();
    let change = |current: &str, new: &str| {
        let (control, user, session) = (
            control.clone(),
            account.user.id.clone(),
            kept.session.clone(),
        );
        let (current, new) = (current.to_owned(), new.to_owned());
        async move {
            control
                .change_password(&user, current, new, session.as_ref())
                .await
        }
    };
    assert!(matches!(
        change("wrong", "battery staple").await,
        Err(ControlError::Credentials)
    ));
    assert!(matches!(
        change("correct horse", "short").await,
        Err(ControlError::Invalid(_))
    ));
    // Of two at once from the same password, one is.
    let (first, second) = tokio::join!(
        change("correct horse", "battery staple"),
        change("correct horse", "battery staple")
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?}, {second:?}");
    assert!(authenticator.authenticate(&account.token).await.is_ok());
    assert_eq!(
        authenticator.authenticate(&other.token).await,
        Err(AuthError::Unknown)
    );
    assert!(
        control
            .login("ada@example.com", "correct horse")
            .await
            .is_err()
    );
    assert!(
        control
            .login("ada@example.com", "battery staple")
            .await
            .is_ok()
    );
}

pub(crate) async fn sessions_are_listed_with_their_last_use(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let user = &account.user.id;
    let authenticator = Authenticator::new(control.clone());
    let principal = authenticator.authenticate(&account.token).await.unwrap();
    control
        .login("ada@example.com", "correct horse")
        .await
        .unwrap();
    authenticator.flush().await.unwrap();
    let sessions = control.sessions(user).await.unwrap();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        let used = Some(&session.id) == principal.session.as_ref();
        assert_eq!(session.last_used_at.is_some(), used, "{session:?}");
        assert!(session.expires_at > session.created_at);
    }
    let uses = control
        .session_uses(&account.organization.id)
        .await
        .unwrap();
    assert_eq!((uses.len(), uses[0].sessions), (1, 2));
    assert!(&uses[0].user == user && uses[0].last_used_at.is_some());

    let id = principal.session.clone().unwrap();
    let other = register(&control, "eve@example.com").await;
    let foreign = control.end_session(&other.user.id, &id).await;
    assert!(matches!(
        foreign,
        Err(ControlError::NotFound { what: "session" })
    ));
    control.end_session(user, &id).await.unwrap();
    let ended = tokio::time::timeout(
        Duration::from_secs(60),
        authenticator.authenticate(&account.token),
    );
    assert_eq!(ended.await.unwrap(), Err(AuthError::Unknown));
    assert_eq!(control.sessions(user).await.unwrap().len(), 1);
}
