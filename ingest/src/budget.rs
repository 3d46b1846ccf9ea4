//! The memory that all request bodies together may take.

use std::sync::Arc;

use metrics::Gauge;
use schemas::{Problem, ProblemKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const UNIT: usize = 1024;

/// A bound in bytes shared by all requests. A request that would exceed it is answered 503 instead of queueing.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    held: Gauge,
}

/// The share of one request, given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    spare: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(units)),
            held: metrics::gauge!(crate::metrics::HELD),
        }
    }

    /// A share of it, of nothing yet.
    pub fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            held: None,
            spare: 0,
        }
    }
}

impl Share {
    /// Takes `bytes` more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes <= self.spare {
            self.spare -= bytes;
            return Ok(());
        }
        let units = (bytes - self.spare).div_ceil(UNIT).max(64);
        let permits = u32::try_from(units)
            .ok()
            .and_then(|units| self.budget.free.clone().try_acquire_many_owned(units).ok());
        let Some(permits) = permits else {
            metrics::counter!(crate::metrics::OVERLOADED).increment(1);
            return Err(Problem::new(
                ProblemKind::Unavailable,
                "too many large requests are under way; send it again after the time in Retry-After",
            ));
        };
        self.budget.held.increment((units * UNIT) as f64);
        self.spare = self.spare + units * UNIT - bytes;
        match &mut self.held {
            Some(held) => held.merge(permits),
            none => *none = Some(permits),
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let units = self.held.as_ref().map_or(0, |held| held.num_permits());
        self.budget.held.decrement((units * UNIT) as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(1 << 20);
        let mut first = budget.share();
        assert!(first.grow(900_000).is_ok());
        let mut second = budget.share();
        assert!(second.grow(900_000).is_err());
        drop(first);
        assert!(second.grow(900_000).is_ok());
    }
}
