//! Bodies that trickle in: a client may keep a body waiting for so long, and longer the more it has sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How slow a body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// What every body may take, all pauses together.
    pub(crate) grace: Duration,
    /// So many bytes give one second more.
    pub(crate) bytes_per_second: u64,
}

impl Pace {
    fn allowed(&self, bytes: u64) -> Duration {
        let earned = bytes as f64 / self.bytes_per_second.max(1) as f64;
        self.grace + Duration::from_secs_f64(earned)
    }
}

/// Whether a body was given up because it was too slow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slow(Arc<AtomicBool>);

impl Slow {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that fails when its sender is slower than its pace. Only waiting for the sender counts.
#[derive(Debug)]
pub(crate) struct Paced<B> {
    body: B,
    pace: Pace,
    slow: Slow,
    bytes: u64,
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B, pace: Pace) -> (Self, Slow) {
        let slow = Slow::default();
        let paced = Self {
            body,
            pace,
            slow: slow.clone(),
            bytes: 0,
            waited: Duration::ZERO,
            waiting: None,
        };
        (paced, slow)
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                if let Some((since, _)) = this.waiting.take() {
                    this.waited += since.elapsed();
                }
                if let Some(Ok(frame)) = &frame {
                    this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let left = this.pace.allowed(this.bytes).saturating_sub(this.waited);
                let (_, timer) = this
                    .waiting
                    .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                this.slow.0.store(true, Ordering::Release);
                let late = io::Error::new(io::ErrorKind::TimedOut, "the body came too slowly");
                Poll::Ready(Some(Err(late.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::StreamExt;

    use super::*;

    /// Far longer than a pause, for a machine that stands still for a while lengthens those.
    const PACE: Pace = Pace {
        grace: Duration::from_secs(3),
        bytes_per_second: 1_000,
    };

    /// Reads pieces of so many bytes that come at a distance: how much arrived, and whether it was too slow.
    async fn read(pieces: usize, bytes: usize, pause: Duration) -> (usize, bool) {
        let pieces = futures::stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; bytes]))
        });
        let body = axum::body::Body::from_stream(Box::pin(pieces));
        let (paced, slow) = Paced::new(body, PACE);
        let mut stream = axum::body::Body::new(paced).into_data_stream();
        let mut read = 0;
        while let Some(Ok(piece)) = stream.next().await {
            read += piece.len();
        }
        (read, slow.is_set())
    }

    #[tokio::test]
    async fn pauses_add_up_and_who_sends_earns_time() {
        let (hour, step) = (Duration::from_secs(3600), Duration::from_millis(100));
        assert_eq!(read(1, 10, hour).await, (0, true), "nothing comes");
        let (trickled, slow) = read(40, 10, step).await;
        assert!(slow && trickled < 400, "{trickled}");
        assert_eq!(
            read(10, 10_000, step).await,
            (100_000, false),
            "each piece earns ten seconds"
        );
    }
}
