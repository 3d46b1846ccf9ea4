//! Tokens of an outside service (JWT, RFC 7519): what they claim is who the caller is, once their signature holds.
//!
//! A shared secret is for HS256 and its like only, and published keys (JWKS, RFC 7517) for signatures only: a token cannot
//! choose to be checked with the one as if it were the other.

use std::fmt;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use parking_lot::Mutex;
use schemas::{OrganizationId, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::control::Control;
use crate::error::ControlError;
use crate::principal::Principal;
use crate::quota::Quota;
use crate::roles::Role;

/// How far the clocks of the two services may be apart, in seconds.
const LEEWAY: u64 = 30;
/// Published keys are asked for again after this time …
const FRESH: Duration = Duration::from_secs(300);
/// … and for a key that is not among them no sooner than this.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the service may take to publish its keys.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Keys of a service are a few kilobytes.
const MOST_BYTES: usize = 1 << 20;
/// What HS256 asks of a secret, in bytes.
const SECRET_BYTES: usize = 32;

/// Whose tokens are let in, and what their claims are called.
#[derive(Clone, Default)]
pub struct OutsideTokens {
    /// The secret shared for HS256, HS384 and HS512; at least 32 bytes. Empty: none of these are let in.
    pub secret: String,
    /// Where keys for RS, PS, ES and EdDSA signatures are published, `https://…`. Empty: none of these are let in.
    pub jwks: String,
    /// What `iss` must be; empty: anything.
    pub issuer: String,
    /// What `aud` must hold; empty: anything.
    pub audience: String,
    /// The claim that names the organization, by its id.
    pub organization_claim: String,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim that names the role, or a list of which the first that is known counts.
    pub role_claim: String,
}

impl fmt::Debug for OutsideTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideTokens")
            .field("jwks", &self.jwks)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Checks tokens of an outside service.
pub(super) struct Outside {
    options: OutsideTokens,
    client: reqwest::Client,
    published: Mutex<Published>,
    /// Held by the one who reads the keys.
    reading: tokio::sync::Mutex<()>,
}

/// The service's keys as they were last read.
#[derive(Default)]
struct Published {
    keys: Vec<Jwk>,
    read: Option<Instant>,
    asked: Option<Instant>,
    /// Why they could not be read when they were last asked for.
    failed: Option<String>,
}

impl Published {
    fn may_ask(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= AGAIN)
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Outside {
    pub(super) fn new(options: OutsideTokens) -> Result<Self, ControlError> {
        let invalid = |field: &str, detail: &str| {
            let error = schemas::FieldError::new(
                format!("tokens.{field}"),
                schemas::Code::InvalidValue,
                detail.to_owned(),
            );
            Err(ControlError::Invalid(error))
        };
        if !options.secret.is_empty() && options.secret.len() < SECRET_BYTES {
            return invalid("secret", "use 32 bytes or more, as HS256 asks for");
        }
        if !options.jwks.is_empty() {
            let url = reqwest::Url::parse(&options.jwks).ok();
            let safe = url.is_some_and(|url| match (url.scheme(), url.host_str()) {
                ("https", Some(_)) => true,
                // Whoever is on the way could publish keys.
                ("http", Some(host)) => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
                _ => false,
            });
            if !safe {
                return invalid("jwks", "write https://HOST/PATH");
            }
            // A service signs for all its applications with the same keys.
            if options.issuer.is_empty() {
                return invalid("issuer", "name the service that signs, as in its claim iss");
            }
            if options.audience.is_empty() {
                return invalid("audience", "name this application, as in the claim aud");
            }
        }
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(Self {
            options,
            client: client.map_err(|error| ControlError::Unavailable(Box::new(error)))?,
            published: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        })
    }

    /// Whether anything is let in.
    pub(super) fn is_open(&self) -> bool {
        !self.options.secret.is_empty() || !self.options.jwks.is_empty()
    }

    /// Who a token says is calling; nobody where it is not good.
    pub(super) async fn find(
        &self,
        control: &Control,
        token: &str,
    ) -> Result<Option<Principal>, ControlError> {
        let Ok(header) = jsonwebtoken::decode_header(token) else {
            return Ok(None);
        };
        let key = match self.key(&header).await? {
            Some(key) => key,
            None => return Ok(None),
        };
        let decoded = jsonwebtoken::decode(token, &key, &self.validation(header.alg));
        let Ok(decoded) = decoded else {
            return Ok(None);
        };
        self.principal(control, decoded.claims).await
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        match self.options.audience.as_str() {
            "" => validation.validate_aud = false,
            audience => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
        }
        if !self.options.issuer.is_empty() {
            validation.set_issuer(&[&self.options.issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// The key that a token of this header must be signed with.
    async fn key(&self, header: &Header) -> Result<Option<DecodingKey>, ControlError> {
        let shared = AlgorithmFamily::Hmac.algorithms().contains(&header.alg);
        match (shared, self.options.secret.as_str()) {
            (true, "") => Ok(None),
            (true, secret) => Ok(Some(DecodingKey::from_secret(secret.as_bytes()))),
            (false, _) if self.options.jwks.is_empty() => Ok(None),
            (false, _) => self.published(header).await,
        }
    }

    async fn published(&self, header: &Header) -> Result<Option<DecodingKey>, ControlError> {
        if let (Some(found), true) = self.chosen(header) {
            return Ok(Some(found));
        }
        // One reads the keys, and who waited for that finds them.
        let reading = self.reading.lock().await;
        if self.published.lock().may_ask() {
            self.published.lock().asked = Some(Instant::now());
            let keys = self.read_keys().await;
            let mut published = self.published.lock();
            match keys {
                Ok(keys) => {
                    published.keys = keys;
                    published.read = Some(Instant::now());
                    published.failed = None;
                }
                Err(error) => {
                    let jwks = self.options.jwks.split('?').next();
                    tracing::warn!(%error, jwks, "the keys of the outside service cannot be read; those read before go on to count");
                    published.failed = Some(error);
                }
            }
        }
        drop(reading);
        let (found, _) = self.chosen(header);
        match (&found, self.published.lock().failed.clone()) {
            // It may be a new key: this says nothing about the token.
            (None, Some(error)) => Err(ControlError::Unavailable(error.into())),
            _ => Ok(found),
        }
    }

    /// The key for a header, and whether it has to do: the keys are fresh, or may not be asked for now.
    fn chosen(&self, header: &Header) -> (Option<DecodingKey>, bool) {
        let published = self.published.lock();
        let fresh = published.read.is_some_and(|read| read.elapsed() < FRESH);
        (
            choose(&published.keys, header),
            fresh || !published.may_ask(),
        )
    }

    async fn read_keys(&self) -> Result<Vec<Jwk>, String> {
        let text = |error: reqwest::Error| error.without_url().to_string();
        let answer = self.client.get(&self.options.jwks).send().await;
        let mut answer = answer
            .and_then(reqwest::Response::error_for_status)
            .map_err(text)?;
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(text)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MOST_BYTES {
                return Err("it answers with more than a megabyte".to_owned());
            }
        }
        let set: KeySet =
            serde_json::from_slice(&bytes).map_err(|error| format!("no key set: {error}"))?;
        // Keys of kinds that this program does not know are for others.
        let known = |key| serde_json::from_value(key).ok();
        Ok(set.keys.into_iter().filter_map(known).collect())
    }

    async fn principal(
        &self,
        control: &Control,
        claims: Map<String, Value>,
    ) -> Result<Option<Principal>, ControlError> {
        let text = |name: &str| {
            let text = claims.get(name).and_then(Value::as_str)?;
            Some(text).filter(|text| !text.is_empty() && !text.contains('\0'))
        };
        let (Some(organization), Some(user)) = (
            text(&self.options.organization_claim),
            text(&self.options.user_claim),
        ) else {
            return Ok(None);
        };
        let organization = OrganizationId::from_text(organization);
        let organization = match control.organization(&organization).await {
            Ok(organization) => organization,
            Err(ControlError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let user = UserId::from_text(user);
        match control.user(&user).await {
            // Of ours: the service says who is calling, and not that somebody who was sent away is back.
            Ok(ours) if !ours.is_active() || ours.organization != organization.id => {
                return Ok(None);
            }
            Ok(_) | Err(ControlError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let claimed = claims.get(&self.options.role_claim);
        let role = match claimed.map_or(Role::None, role) {
            // Who manages the organization that operates the installation can make keys and users that operate it, too:
            // that is for accounts of this installation.
            Role::Owner | Role::Admin if organization.operator => Role::Manager,
            role => role,
        };
        let expires_at = claims.get("exp").and_then(Value::as_f64);
        Ok(Some(Principal {
            organization: organization.id,
            user: Some(user),
            session: None,
            key: None,
            role,
            scopes: role.scopes(),
            // The installation is its operator's, whatever others claim.
            operator: false,
            currency: organization.currency,
            timezone: organization.timezone,
            quota: Quota::default(),
            expires_at: expires_at.map(|seconds| {
                // As long as it is taken: to the end of the leeway.
                Timestamp::from_micros(((seconds + LEEWAY as f64) * 1e6) as i64)
            }),
        }))
    }
}

/// The first role that is known; none where none is.
fn role(claim: &Value) -> Role {
    let one = |claim: &Value| claim.as_str().and_then(|text| text.parse().ok());
    match claim {
        Value::Array(list) => list.iter().find_map(one),
        claim => one(claim),
    }
    .unwrap_or(Role::None)
}

/// The key that a header names, or the only one of its kind where it names none.
fn choose(keys: &[Jwk], header: &Header) -> Option<DecodingKey> {
    let named = keys.iter().filter(|key| {
        let common = &key.common;
        let signs = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption));
        let named = header.kid.is_none() || header.kid == common.key_id;
        let stated = common.key_algorithm.as_ref().map(ToString::to_string);
        let agreed = stated.is_none_or(|stated| stated == format!("{:?}", header.alg));
        signs && named && agreed
    });
    let mut fitting = named
        .filter_map(|key| DecodingKey::from_jwk(key).ok())
        .filter(|key| key.family().algorithms().contains(&header.alg));
    let first = fitting.next()?;
    match header.kid.is_none() && fitting.next().is_some() {
        true => None,
        false => Some(first),
    }
}
