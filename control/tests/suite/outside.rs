//! Tokens of an outside service, made here by hand: nothing that checks them has made them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::{
    AuthError, Authenticator, Control, ControlError, NewUser, OutsideTokens, Permission, Principal,
    Reach, Registered, Role, UserChange,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Backend, register};

const SECRET: &str = "a secret of more than thirty-two bytes";
const PATIENCE: Duration = Duration::from_secs(60);

/// A key of the service.
enum Key {
    Shared(&'static str),
    Ec(EcdsaKeyPair),
    Rsa(Box<rsa::KeyPair>),
}

fn ec() -> Key {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    Key::Ec(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap())
}

fn rsa() -> Key {
    Key::Rsa(Box::new(
        rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
    ))
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    fn algorithm(&self) -> &'static str {
        match self {
            Key::Shared(_) => "HS256",
            Key::Ec(_) => "ES256",
            Key::Rsa(_) => "RS256",
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Key::Shared(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, text).as_ref().to_vec()
            }
            Key::Ec(key) => key.sign(&random, text).unwrap().as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.algorithm(), "kid": kid});
        self.token_with(&header, claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let text = format!(
            "{}.{}",
            encoded(header.to_string()),
            encoded(claims.to_string())
        );
        let signature = encoded(self.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    /// As it is published.
    fn published(&self, kid: &str) -> Value {
        match self {
            Key::Shared(secret) => json!({"kty": "oct", "kid": kid, "k": encoded(secret)}),
            Key::Ec(key) => {
                // 4, then both coordinates.
                let point = &key.public_key().as_ref()[1..];
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                    "x": encoded(&point[..32]), "y": encoded(&point[32..])})
            }
            Key::Rsa(key) => {
                let public = key.public_key();
                json!({"kty": "RSA", "use": "sig", "kid": kid,
                    "n": encoded(public.modulus().big_endian_without_leading_zero()),
                    "e": encoded(public.exponent().big_endian_without_leading_zero())})
            }
        }
    }
}

/// Publishes keys over HTTP, or fails to.
struct Service {
    answer: Arc<Mutex<Option<Value>>>,
    url: String,
    _task: tokio::task::JoinHandle<()>,
}

impl Service {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(None::<Value>));
        let shown = answer.clone();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let text = match shown.lock().clone() {
                    Some(keys) => {
                        let body = keys.to_string();
                        let length = body.len();
                        format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                        )
                    }
                    None => "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        .to_owned(),
                };
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Self {
            answer,
            url,
            _task: task,
        }
    }

    fn publish(&self, keys: &[Value]) {
        // Others may be in the set that nobody here knows.
        let mut all = vec![json!({"kty": "future", "kid": "x"})];
        all.extend_from_slice(keys);
        *self.answer.lock() = Some(json!({ "keys": all }));
    }
}

fn options() -> OutsideTokens {
    OutsideTokens {
        issuer: "https://auth.example.com".into(),
        audience: "millrace".into(),
        organization_claim: "org".into(),
        user_claim: "sub".into(),
        role_claim: "roles".into(),
        ..OutsideTokens::default()
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

fn claims(account: &Registered) -> Value {
    json!({"iss": "https://auth.example.com", "aud": ["other", "millrace"], "sub": "user-7",
        "org": account.organization.id.as_str(), "roles": ["unheard-of", "sales"], "exp": now() + 600})
}

/// The answer, asked for again while database or service are too slow for it.
async fn told(authenticator: &Authenticator, token: &str) -> Result<Arc<Principal>, AuthError> {
    let begun = Instant::now();
    loop {
        match authenticator.authenticate(token).await {
            Err(error) if error.is_retryable() && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            answer => return answer,
        }
    }
}

async fn started(
    backend: &Backend<'_>,
    options: OutsideTokens,
) -> (Control, Registered, Authenticator) {
    let control = backend.open().await;
    // The first operates the installation.
    register(&control, "operator@example.com").await;
    let account = register(&control, "ada@example.com").await;
    let authenticator = Authenticator::new(control.clone())
        .with_outside_tokens(options)
        .unwrap();
    (control, account, authenticator)
}

pub(crate) async fn a_shared_secret_lets_in_who_the_claims_name(backend: Backend<'_>) {
    let shared = OutsideTokens {
        secret: SECRET.into(),
        ..options()
    };
    let (control, account, authenticator) = started(&backend, shared.clone()).await;
    let key = Key::Shared(SECRET);
    let good = claims(&account);
    let principal = told(&authenticator, &key.token("any", &good))
        .await
        .unwrap();
    assert_eq!(principal.organization, account.organization.id);
    assert_eq!(principal.user.as_ref().unwrap().as_str(), "user-7");
    assert_eq!(
        (principal.role, principal.reach(Permission::ReadCustomers)),
        (Role::Sales, Ok(Reach::Assigned))
    );
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let owner = key.token("any", &with("roles", json!("owner")));
    let owner = told(&authenticator, &owner).await.unwrap();
    assert_eq!((owner.role, owner.operator), (Role::Owner, false));
    // It cannot make what operates the installation either.
    let operator = control.operator().await.unwrap().unwrap();
    for claimed in ["owner", "admin"] {
        let mut claims = with("roles", json!(claimed));
        claims["org"] = json!(operator.id.as_str());
        let token = key.token("any", &claims);
        let there = told(&authenticator, &token).await.unwrap();
        assert_eq!((there.role, there.operator), (Role::Manager, false));
        assert!(there.reach(Permission::ManageOrganization).is_err());
    }
    for unknown in [json!("king"), json!([]), json!(7), json!(null)] {
        let token = key.token("any", &with("roles", unknown));
        let nothing = told(&authenticator, &token).await.unwrap();
        assert_eq!(
            (nothing.role, nothing.scopes.is_empty()),
            (Role::None, true)
        );
    }

    let (name, value) = ("exp", json!(now() - 3_600));
    for claims in [
        with(name, value),
        with("exp", json!(null)),
        with("nbf", json!(now() + 3_600)),
        with("iss", json!("https://elsewhere.example.com")),
        with("iss", json!(null)),
        with("aud", json!("other")),
        with("aud", json!(null)),
        with("org", json!("org_unknown")),
        with("org", json!(["a list"])),
        with("sub", json!("")),
        with("sub", json!("nul\0")),
    ] {
        let refused = told(&authenticator, &key.token("any", &claims)).await;
        assert_eq!(refused.err(), Some(AuthError::Unknown), "{claims}");
    }
    let stranger = Key::Shared("another secret of more than thirty-two bytes");
    let none = json!({"alg": "none"});
    let text = format!(
        "{}.{}.",
        encoded(none.to_string()),
        encoded(good.to_string())
    );
    let promised = json!({"alg": "RS256", "kid": "any"});
    for token in [
        stranger.token("any", &good),
        text,
        key.token_with(&promised, &good),
        "a.b.c".to_owned(),
        "..".to_owned(),
        format!("{}.", "x".repeat(9_000)),
    ] {
        let refused = told(&authenticator, &token).await;
        assert_eq!(refused.err(), Some(AuthError::Unknown), "{token}");
    }
    // Without the setting no such token is anything.
    let closed = Authenticator::new(control.clone());
    let refused = closed.authenticate(&key.token("any", &good)).await;
    assert_eq!(refused.err(), Some(AuthError::Unknown));
    for (field, options) in [
        (
            "tokens.secret",
            OutsideTokens {
                secret: "short".into(),
                ..shared
            },
        ),
        (
            "tokens.jwks",
            OutsideTokens {
                jwks: "http://auth.example.com/keys".into(),
                ..options()
            },
        ),
        (
            "tokens.audience",
            OutsideTokens {
                jwks: "https://auth.example.com/keys".into(),
                audience: String::new(),
                ..options()
            },
        ),
    ] {
        let refused = Authenticator::new(control.clone()).with_outside_tokens(options);
        assert!(
            matches!(&refused, Err(ControlError::Invalid(error)) if error.field == field),
            "{refused:?}"
        );
    }
}

pub(crate) async fn somebody_sent_away_does_not_come_back_by_it(backend: Backend<'_>) {
    let shared = OutsideTokens {
        secret: SECRET.into(),
        ..options()
    };
    let (control, account, authenticator) = started(&backend, shared).await;
    let organization = &account.organization.id;
    let new = NewUser {
        name: "Grace".into(),
        email: "grace@example.com".into(),
        password: "correct horse".into(),
        role: Role::Support,
        team: None,
    };
    let user = control
        .create_user(organization, Role::Owner, new)
        .await
        .unwrap();
    let mut claims = claims(&account);
    claims["sub"] = json!(user.id.as_str());
    let token = Key::Shared(SECRET).token("any", &claims);
    assert!(told(&authenticator, &token).await.is_ok());
    let away = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    control
        .update_user(organization, Role::Owner, &user.id, away)
        .await
        .unwrap();
    let refused = told(&authenticator, &token).await;
    assert_eq!(refused.err(), Some(AuthError::Unknown));
    // Nor does it name somebody of another organization.
    let other = register(&control, "eve@example.com").await;
    claims["org"] = json!(other.organization.id.as_str());
    claims["sub"] = json!(account.user.id.as_str());
    let refused = told(&authenticator, &Key::Shared(SECRET).token("any", &claims)).await;
    assert_eq!(refused.err(), Some(AuthError::Unknown));
}

pub(crate) async fn published_keys_are_followed_when_they_change(backend: Backend<'_>) {
    let service = Service::start().await;
    let published = OutsideTokens {
        jwks: service.url.clone(),
        ..options()
    };
    let (_control, account, authenticator) = started(&backend, published).await;
    let good = claims(&account);
    let (first, second, third) = (ec(), rsa(), ec());
    let away = first.token("1", &good);
    assert_eq!(
        authenticator.authenticate(&away).await.err(),
        Some(AuthError::Unavailable),
        "nothing is known of its key"
    );
    service.publish(&[first.published("1"), second.published("2")]);
    for token in [&away, &second.token("2", &good)] {
        let principal = told(&authenticator, token).await.unwrap();
        assert_eq!(principal.role, Role::Sales);
    }
    // The name of another key, no key of that name, the public key as a shared secret.
    let confused = {
        let public = second.published("2")["n"].as_str().unwrap().to_owned();
        let key = Key::Shared(Box::leak(public.into_boxed_str()));
        key.token("2", &good)
    };
    for token in [
        first.token("2", &good),
        third.token("3", &good),
        third.token("1", &good),
        confused,
    ] {
        let refused = told(&authenticator, &token).await;
        assert_eq!(refused.err(), Some(AuthError::Unknown), "{token}");
    }

    // A new key counts soon, and the one that is gone does not any more.
    service.publish(&[third.published("3")]);
    let mut fresh = good.clone();
    fresh["jti"] = json!("after the change");
    let (begun, token) = (Instant::now(), third.token("3", &fresh));
    while authenticator.authenticate(&token).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the new key is not found");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let refused = told(&authenticator, &first.token("1", &fresh)).await;
    assert_eq!(refused.err(), Some(AuthError::Unknown));
    // The only key of its kind need not be named.
    let unnamed = third.token_with(&json!({"alg": "ES256"}), &fresh);
    assert!(told(&authenticator, &unnamed).await.is_ok());

    // While the service is away, what is known goes on to count.
    *service.answer.lock() = None;
    fresh["jti"] = json!("while it is away");
    assert!(
        told(&authenticator, &third.token("3", &fresh))
            .await
            .is_ok()
    );
}
