//! The bound of the append queue, in bytes.

use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in units of this many.
const UNIT: usize = 1024;

/// So many bytes may wait; who finds no room waits too.
pub(crate) struct Rooms {
    free: Arc<Semaphore>,
    units: usize,
    taken: Gauge,
}

/// The room of one append, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    permit: OwnedSemaphorePermit,
    taken: Gauge,
}

impl Rooms {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT);
        Self {
            free: Arc::new(Semaphore::new(units)),
            units,
            taken: crate::metrics::queue_bytes(),
        }
    }

    /// Waits for room for so many bytes. An append larger than the whole takes all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Room, AcquireError> {
        let units = bytes.div_ceil(UNIT).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.free).acquire_many_owned(units).await?;
        let room = Room {
            permit,
            taken: self.taken.clone(),
        };
        room.taken.increment(room.bytes());
        Ok(room)
    }

    /// Whoever waits and whoever comes is turned away.
    pub(crate) fn close(&self) {
        self.free.close();
    }
}

impl Room {
    fn bytes(&self) -> f64 {
        (self.permit.num_permits() * UNIT) as f64
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.decrement(self.bytes());
    }
}
