//! Who is calling: the only way for a handler to an organization.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use control::{Actor, AuthError, Control, MissingPermission, Permission, Principal};
use schemas::{Problem, ProblemKind};

use crate::api::App;
use crate::http::writing::Client;
use crate::models::sight::Sight;

/// Anyone with a working key or session.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Arc<Principal>,
    /// As presented; only for ending the session it belongs to.
    pub(crate) token: Token,
}

/// A secret, kept out of every debug output.
pub(crate) struct Token(pub(crate) String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A caller who may see customers, and which.
#[derive(Debug)]
pub(crate) struct CustomerReader(pub(crate) Arc<Principal>, pub(crate) Sight);

/// A caller who may change some of the customers that it sees.
#[derive(Debug)]
pub(crate) struct Editor {
    pub(crate) principal: Arc<Principal>,
    /// The customers it sees.
    pub(crate) sees: Sight,
    /// Those it may change in this way.
    pub(crate) may: Sight,
}

impl Editor {
    /// A caller with a permission over customers.
    async fn with(
        parts: &mut Parts,
        app: &Arc<App>,
        permission: Permission,
    ) -> Result<Self, Problem> {
        let CustomerReader(principal, sees) =
            CustomerReader::from_request_parts(parts, app).await?;
        let may = Sight::under(&principal, permission).map_err(forbidden)?;
        Ok(Self {
            principal,
            sees,
            may,
        })
    }
}

macro_rules! editors {
    ($($(#[$doc:meta])* $name:ident: $permission:ident),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) struct $name(pub(crate) Editor);

            impl FromRequestParts<Arc<App>> for $name {
                type Rejection = Problem;

                async fn from_request_parts(
                    parts: &mut Parts,
                    app: &Arc<App>,
                ) -> Result<Self, Problem> {
                    let editor = Editor::with(parts, app, Permission::$permission).await;
                    editor.map(Self)
                }
            }
        )*
    };
}

editors! {
    /// A caller who may write customers and their contacts.
    CustomerEditor: WriteCustomers,
    /// A caller who may delete customers.
    CustomerRemover: DeleteCustomers,
    /// A caller who may work on interactions and feedback.
    ServiceEditor: WriteService,
    /// A caller who may work on quotes, points and qualification.
    DealEditor: WriteDeals,
}

/// A caller who may define segments, surveys and tiers.
#[derive(Debug)]
pub(crate) struct Definer(pub(crate) Arc<Principal>);

/// A caller who may see figures of the whole organization.
#[derive(Debug)]
pub(crate) struct ReportReader(pub(crate) Arc<Principal>);

/// A caller who may see colleagues.
#[derive(Debug)]
pub(crate) struct StaffReader(pub(crate) Arc<Principal>);

/// A caller who manages the organization.
#[derive(Debug)]
pub(crate) struct Administrator(pub(crate) Arc<Principal>);

/// The control database on behalf of the caller: what is changed by it, the audit knows to be theirs. It says who, and not
/// whether they may.
#[derive(Debug)]
pub(crate) struct Acting(pub(crate) Control);

/// A caller who runs the installation.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) Arc<Principal>);

/// Keys of the configuration have no id.
const CONFIGURED: &str = "configuration";

/// The token of a request: `Authorization: Bearer …`, or `X-Api-Key`. Never from the address, which is logged.
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let unauthorized = |detail: &'static str| Problem::new(ProblemKind::Unauthorized, detail);
    let text = |name: &str| -> Option<Result<&str, Problem>> {
        let value = headers.get(name)?;
        Some(
            value
                .to_str()
                .map_err(|_| unauthorized("the key or token holds characters that none has")),
        )
    };
    if let Some(value) = text(header::AUTHORIZATION.as_str()) {
        let (scheme, token) = value?.split_once(' ').unwrap_or_default();
        return match scheme.eq_ignore_ascii_case("bearer") {
            true => Ok(token.trim()),
            false => Err(unauthorized(
                "send the header Authorization: Bearer and your key or token",
            )),
        };
    }
    text("x-api-key").unwrap_or_else(|| {
        Err(unauthorized(
            "send the header Authorization: Bearer and your key or token",
        ))
    })
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = token(&parts.headers)?;
        let principal = app.api.authenticator.authenticate(token).await;
        let principal = principal.map_err(|error| match error {
            AuthError::Unknown => Problem::new(ProblemKind::Unauthorized, error.to_string()),
            AuthError::Unavailable => Problem::new(ProblemKind::Unavailable, error.to_string()),
        })?;
        Ok(Self {
            principal,
            token: Token(token.to_owned()),
        })
    }
}

impl FromRequestParts<Arc<App>> for Acting {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Ok(Client(client)) = Client::from_request_parts(parts, app).await;
        let name = match caller.principal.name() {
            name if name.is_empty() => CONFIGURED.to_owned(),
            name => name.into_owned(),
        };
        Ok(Self(app.api.control.on_behalf_of(Actor {
            name,
            origin: client.map(|address| address.to_string()),
        })))
    }
}

pub(crate) fn forbidden(missing: MissingPermission) -> Problem {
    Problem::new(ProblemKind::Forbidden, missing.to_string())
}

async fn with_permission(
    parts: &mut Parts,
    app: &Arc<App>,
    permission: Permission,
) -> Result<Arc<Principal>, Problem> {
    let caller = Caller::from_request_parts(parts, app).await?;
    caller.principal.reach(permission).map_err(forbidden)?;
    Ok(caller.principal)
}

impl FromRequestParts<Arc<App>> for CustomerReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let principal = Caller::from_request_parts(parts, app).await?.principal;
        let sight = Sight::of(&principal).map_err(forbidden)?;
        Ok(Self(principal, sight))
    }
}

impl FromRequestParts<Arc<App>> for ReportReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let principal = with_permission(parts, app, Permission::ReadReports).await;
        principal.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Definer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let principal = with_permission(parts, app, Permission::Define).await;
        principal.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for StaffReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let principal = with_permission(parts, app, Permission::ReadStaff).await;
        principal.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let principal = with_permission(parts, app, Permission::ManageOrganization).await;
        principal.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let principal = with_permission(parts, app, Permission::ManageOrganization).await?;
        match principal.operator {
            true => Ok(Self(principal)),
            false => Err(Problem::new(
                ProblemKind::Forbidden,
                "this is about the whole installation, and for its operator only",
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn tokens_come_from_two_headers() {
        assert_eq!(
            token(&headers(&[("authorization", "Bearer abc")])).unwrap(),
            "abc"
        );
        assert_eq!(
            token(&headers(&[("authorization", "bearer abc")])).unwrap(),
            "abc"
        );
        assert_eq!(token(&headers(&[("x-api-key", "abc")])).unwrap(), "abc");
        for bad in [
            &[][..],
            &[("authorization", "Basic abc")],
            &[("authorization", "abc")],
        ] {
            let problem = token(&headers(bad)).unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::Unauthorized);
        }
    }
}
