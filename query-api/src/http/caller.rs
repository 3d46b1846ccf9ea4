//! Who is calling: the only way for a handler to an organization.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use control::{Actor, AuthError, Control, MissingPermission, Permission, Principal};
use schemas::{Problem, ProblemKind};

use crate::api::App;
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

/// Where the connection comes from, where the server says so.
pub(crate) struct Client(pub(crate) Option<IpAddr>);

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

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(info.map(|ConnectInfo(address)| address.ip())))
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

fn forbidden(missing: MissingPermission) -> Problem {
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
