//! Passwords as argon2id, off the async threads, and as slow for an unknown address as for a known one.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::error::ControlError;
use crate::token::{self, TokenKind};

/// 19 MiB, two passes, one lane: OWASP's recommendation for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A flood of log-ins is turned away after this long instead of being queued without end.
const PATIENCE: Duration = Duration::from_secs(5);

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("the constants are within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(password: &str) -> Result<String, ControlError> {
    match argon2().hash_password(password.as_bytes()) {
        Ok(hash) => Ok(hash.to_string()),
        Err(error) => Err(ControlError::Corrupt(format!(
            "a password could not be hashed: {error}"
        ))),
    }
}

/// Hashes and verifies, a bounded number at once: each takes 19 MiB and a core.
#[derive(Debug)]
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
    /// The hash of a password nobody has, with the same parameters: verified where there is no account.
    dummy: String,
}

impl Passwords {
    pub(crate) async fn new() -> Result<Self, ControlError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let slots = Arc::new(Semaphore::new(cores));
        let dummy = blocking(&slots, || hash_now(&token::generate(TokenKind::Session))).await??;
        Ok(Self { slots, dummy })
    }

    /// The PHC string to store.
    pub(crate) async fn hash(&self, password: String) -> Result<String, ControlError> {
        blocking(&self.slots, move || hash_now(&password)).await?
    }

    /// Whether the password is the one of the stored hash; without one, takes as long and says no.
    pub(crate) async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, ControlError> {
        let known = stored.is_some();
        let hash = stored.unwrap_or_else(|| self.dummy.clone());
        let matches = blocking(&self.slots, move || match PasswordHash::new(&hash) {
            Ok(parsed) => Ok(argon2()
                .verify_password(password.as_bytes(), &parsed)
                .is_ok()),
            Err(error) => Err(ControlError::Corrupt(format!("a password hash: {error}"))),
        })
        .await??;
        Ok(known && matches)
    }
}

async fn blocking<T: Send + 'static>(
    slots: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ControlError> {
    let waited = tokio::time::timeout(PATIENCE, Arc::clone(slots).acquire_owned()).await;
    let Ok(Ok(slot)) = waited else {
        return Err(ControlError::Busy);
    };
    let done = tokio::task::spawn_blocking(move || {
        // Held by the work, not by the caller: a caller that hangs up must not free the slot early.
        let _slot = slot;
        work()
    });
    done.await
        .map_err(|error| ControlError::Corrupt(format!("hashing a password stopped: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_are_salted_argon2id_and_verify() {
        let passwords = Passwords::new().await.unwrap();
        let first = passwords.hash("correct horse".into()).await.unwrap();
        let second = passwords.hash("correct horse".into()).await.unwrap();
        assert_ne!(
            first, second,
            "two hashes of one password must differ by their salt"
        );
        assert!(
            first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{first}"
        );
        assert!(
            passwords
                .verify("correct horse".into(), Some(first.clone()))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify("correct hors".into(), Some(first))
                .await
                .unwrap()
        );
        assert!(
            passwords
                .verify("x".into(), Some("plain".into()))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn an_unknown_account_costs_the_same_hash() {
        let passwords = Passwords::new().await.unwrap();
        let parameters = |hash: &str| {
            hash.split('$')
                .take(4)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let real = passwords.hash("correct horse".into()).await.unwrap();
        assert_eq!(parameters(&passwords.dummy), parameters(&real));
        assert!(!passwords.verify("anything".into(), None).await.unwrap());
    }
}
