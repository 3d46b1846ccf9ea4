//! Memory for bodies: bounded over all requests, taken while a body comes, and given back at the end of its statement.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::HttpError;

/// Bytes are counted in units of this.
pub(super) const UNIT: usize = 1 << 16;

/// What one request has taken.
#[derive(Debug)]
pub(super) struct Room {
    of_all: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Room {
    pub(super) fn new(of_all: Arc<Semaphore>) -> Self {
        Self {
            of_all,
            taken: None,
            bytes: 0,
        }
    }

    /// Takes room for more bytes. Nobody waits for room while holding some: all would wait for each other.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), HttpError> {
        self.bytes += bytes;
        let have = self
            .taken
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = self.bytes.div_ceil(UNIT).saturating_sub(have);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let Ok(more) = self.of_all.clone().try_acquire_many_owned(missing) else {
            // MEMORY_LIMIT_EXCEEDED
            return Err(HttpError::new(
                241,
                "Memory limit for request bodies exceeded: too many large inserts at once, send it again. (MEMORY_LIMIT_EXCEEDED)",
            ));
        };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_are_bounded_and_their_room_comes_back() {
        let of_all = Arc::new(Semaphore::new(4));
        let mut first = Room::new(of_all.clone());
        for _ in 0..6 {
            first.take(UNIT / 2).unwrap();
        }
        assert_eq!(of_all.available_permits(), 1);
        let mut second = Room::new(of_all.clone());
        second.take(UNIT).unwrap();
        assert_eq!(second.take(1).unwrap_err().code, 241);
        drop(first);
        second.take(1).unwrap();
        drop(second);
        assert_eq!(of_all.available_permits(), 4);
    }
}
