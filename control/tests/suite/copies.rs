use control::{Authenticator, Control, ControlError, Role, Scope, UserChange};

use super::keys::key;
use super::{Backend, register};

/// A copy lets in whom the original lets in, on this database and by way of another.
pub(crate) async fn a_copy_is_put_back_on_either_database(backend: Backend<'_>) {
    let control = backend.open().await;
    let account = register(&control, "ada@example.com").await;
    register(&control, "grace@example.com").await;
    // Users come before the teams they are in.
    let organization = &account.organization.id;
    let team = control.create_team(organization, "North").await.unwrap();
    let joined = UserChange {
        team: Some(Some(team.id)),
        ..UserChange::default()
    };
    control
        .update_user(organization, Role::Owner, &account.user.id, joined)
        .await
        .unwrap();
    let made = control
        .create_key(&account.organization.id, key([Scope::Read]))
        .await
        .unwrap();
    let copy = control.export().await.unwrap();
    assert!(copy.len() > 500);

    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("other.db").display());
    let between = Control::open(&file).await.unwrap();
    assert!(between.is_empty().await.unwrap());
    between.import(&copy, false).await.unwrap();
    assert!(!between.is_empty().await.unwrap());

    let restored = backend.open().await;
    restored
        .import(&between.export().await.unwrap(), false)
        .await
        .unwrap();
    let lines = |copy: &[u8]| {
        let mut lines: Vec<String> = copy
            .split(|byte| *byte == b'\n')
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&restored.export().await.unwrap()), lines(&copy));
    let authenticator = Authenticator::new(restored.clone());
    assert!(authenticator.authenticate(&account.token).await.is_ok());
    assert!(authenticator.authenticate(&made.key).await.is_ok());

    let refused = restored.import(&copy, false).await.unwrap_err();
    assert!(matches!(refused, ControlError::Schema(_)), "{refused}");
    register(&restored, "late@example.com").await;
    restored.import(&copy, true).await.unwrap();
    assert_eq!(lines(&restored.export().await.unwrap()), lines(&copy));
}

/// What cannot be put back leaves everything as it was.
pub(crate) async fn a_broken_copy_changes_nothing(backend: Backend<'_>) {
    let control = backend.open().await;
    register(&control, "ada@example.com").await;
    let copy = control.export().await.unwrap();
    let text = String::from_utf8(copy.clone()).unwrap();
    for broken in [
        text.replace("\"version\":", "\"version\":9"),
        text.replace("\"users\"", "\"strangers\""),
        text[..text.len() - 20].to_owned(),
    ] {
        let refused = control.import(broken.as_bytes(), true).await.unwrap_err();
        assert!(matches!(refused, ControlError::Schema(_)), "{refused}");
        assert_eq!(control.export().await.unwrap(), copy);
    }
}
