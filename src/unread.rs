//! What a handler has left unread of a request's body.
//!
//! A refusal often comes before the body is read. If the connection then closed, a client that sends everything before
//! it reads would see a broken pipe instead of the answer: so the rest is read and thrown away first, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// Bytes that are thrown away, at most.
const MOST: usize = 100_000_000;
/// How long a client may take to send them.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body that comes back when its reader is done with it.
#[derive(Debug)]
pub(crate) struct Lent<B: Body = Incoming> {
    body: Option<B>,
    back: Option<oneshot::Sender<B>>,
}

/// Lends a body; the receiver gets back what is not read to its end.
pub(crate) fn lend<B: Body>(body: B) -> (Lent<B>, oneshot::Receiver<B>) {
    let (back, rest) = oneshot::channel();
    let lent = Lent {
        body: Some(body),
        back: Some(back),
    };
    (lent, rest)
}

impl<B: Body> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // Nobody waits for it where the request went well.
            let _ = back.send(body);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// Reads the rest of a body that came back, as far as the bounds allow.
pub(crate) async fn discard<B: Body<Data = Bytes> + Unpin>(mut rest: oneshot::Receiver<B>) {
    let Ok(mut body) = rest.try_recv() else {
        return;
    };
    let reading = async {
        let mut read = 0;
        while read < MOST {
            match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                _ => break,
            }
        }
    };
    // Past its time the connection is closed on it.
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_left_comes_back_and_is_read_to_its_end() {
        let (lent, rest) = lend(axum::body::Body::from("left"));
        drop(lent);
        discard(rest).await;

        let (lent, mut rest) = lend(axum::body::Body::from("read"));
        let bytes = axum::body::to_bytes(axum::body::Body::new(lent), 100).await;
        assert!(bytes.is_ok_and(|bytes| bytes == "read"));
        assert!(
            rest.try_recv().is_err(),
            "a body that was read does not come back"
        );
    }
}
