//! The time of one connection: to send headers, to idle, to take an answer.
//!
//! hyper counts the time for headers from the end of the request before: short enough against slow headers, it also
//! closes every client that keeps its connection for later. So the socket watches the time itself. A client that is
//! late gets no answer: it has not asked anything yet, or does not listen.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, futures::OwnedNotified};
use tokio::time::{Instant, Sleep};

/// Connections closed early, by reason.
pub(crate) const CLOSED: &str = "millrace_http_connections_closed_total";
/// After so long without a request a connection may be closed to make room.
const SPARE_AFTER: Duration = Duration::from_secs(1);
/// How every HTTP/2 connection begins.
const HTTP2: &[u8] = b"PRI";

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first byte of a request to the end of its headers; for the first request from the connection on.
    pub(crate) headers: Duration,
    /// Between requests, and for taking anything of an answer.
    pub(crate) idle: Duration,
}

/// Requests of one connection: how many are being answered, and how many there were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    begun: AtomicU64,
    /// Answers under way whose next piece waits for the client to take it.
    offered: AtomicU64,
    /// When a piece was last taken.
    taken: Mutex<Option<Instant>>,
}

/// A request that is being answered, until its answer is through.
#[derive(Debug)]
pub(crate) struct Underway(Arc<Counts>);

impl Requests {
    pub(crate) fn begin(&self) -> Underway {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        Underway(self.0.clone())
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Acquire)
    }

    fn busy(&self) -> bool {
        self.answering() > 0
    }

    fn answering(&self) -> u64 {
        let answered = self.0.answered.load(Ordering::Acquire);
        self.begun().saturating_sub(answered)
    }

    /// Whether all that is under way waits for the client, and has for this time.
    fn untaken(&self, time: Duration) -> bool {
        self.0.offered.load(Ordering::Acquire) >= self.answering()
            && (*self.0.taken.lock()).is_some_and(|taken| taken.elapsed() >= time)
    }
}

impl Underway {
    fn offer(&self) {
        *self.0.taken.lock() = Some(Instant::now());
        self.0.offered.fetch_add(1, Ordering::AcqRel);
    }

    fn taken(&self) {
        self.0.offered.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Ordering::AcqRel);
    }
}

/// The body of an answer, which keeps its request under way.
#[derive(Debug)]
pub(crate) struct Held<B> {
    body: B,
    underway: Underway,
    /// Whether the next piece waits for the client, and not the client for it.
    offered: bool,
}

impl<B> Held<B> {
    pub(crate) fn new(body: B, underway: Underway) -> Self {
        underway.offer();
        Self {
            body,
            underway,
            offered: true,
        }
    }
}

impl<B> Drop for Held<B> {
    fn drop(&mut self) {
        if self.offered {
            self.underway.taken();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Held<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if std::mem::take(&mut self.offered) {
            self.underway.taken();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.underway.offer();
        self.offered = true;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a connection waits for while nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The rest of a request's headers.
    Headers,
    /// Nothing: a request is being answered.
    Busy,
    /// The next request.
    Idle,
    /// The same, for long enough to be closed when others wait for room.
    Spare,
}

/// A socket that fails when its client is late.
pub(crate) struct Timed<S> {
    stream: S,
    patience: Patience,
    requests: Requests,
    /// Told once for each connection that should go.
    crowded: Arc<Notify>,
    phase: Phase,
    /// Requests begun when the phase was set.
    seen: u64,
    http2: Option<bool>,
    timer: Pin<Box<Sleep>>,
    idle_until: Instant,
    asked_to_go: Option<Pin<Box<OwnedNotified>>>,
    /// Since when the client takes nothing.
    untaken: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(crate) fn new(
        stream: S,
        patience: Patience,
        requests: Requests,
        crowded: Arc<Notify>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            patience,
            requests,
            crowded,
            phase: Phase::Headers,
            seen: 0,
            http2: None,
            timer: Box::pin(tokio::time::sleep_until(now + patience.headers)),
            idle_until: now,
            asked_to_go: None,
            untaken: None,
        }
    }

    fn enter(&mut self, phase: Phase, until: Instant) {
        self.phase = phase;
        self.timer.as_mut().reset(until);
        self.asked_to_go = match phase {
            Phase::Spare => Some(Box::pin(self.crowded.clone().notified_owned())),
            _ => None,
        };
    }

    /// Something came: between requests it is the beginning of headers. HTTP/2 also sends frames of its own.
    fn heard(&mut self, bytes: &[u8]) {
        let http2 = *self.http2.get_or_insert_with(|| bytes.starts_with(HTTP2));
        let resting = match self.phase {
            Phase::Idle | Phase::Spare => true,
            Phase::Headers | Phase::Busy => self.requests.begun() != self.seen,
        };
        if !http2 && resting && !self.requests.busy() {
            self.seen = self.requests.begun();
            self.enter(Phase::Headers, Instant::now() + self.patience.headers);
        }
    }

    /// Nothing comes: says when that has lasted too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let now = Instant::now();
            if self.requests.busy() {
                if self.phase != Phase::Busy {
                    self.enter(Phase::Busy, now + SPARE_AFTER);
                }
            } else if self.phase == Phase::Busy || self.requests.begun() != self.seen {
                self.seen = self.requests.begun();
                self.idle_until = now + self.patience.idle;
                self.enter(Phase::Idle, self.idle_until.min(now + SPARE_AFTER));
            }
            let asked = self.asked_to_go.as_mut();
            if asked.is_some_and(|asked| asked.as_mut().poll(context).is_ready()) {
                return Poll::Ready(late("crowded", "others wait for its place"));
            }
            ready!(self.timer.as_mut().poll(context));
            match self.phase {
                Phase::Headers => return Poll::Ready(late("headers", "headers came too slowly")),
                // A stream that its client gives no window blocks no socket.
                Phase::Busy
                    if self.http2 == Some(true) && self.requests.untaken(self.patience.idle) =>
                {
                    return Poll::Ready(late("untaken", "its answer was not read"));
                }
                // Looked at again: the end of an answer does not always wake the one who reads.
                Phase::Busy => self.enter(Phase::Busy, now + SPARE_AFTER),
                Phase::Idle if now < self.idle_until => {
                    self.enter(Phase::Spare, self.idle_until);
                }
                Phase::Idle | Phase::Spare => return Poll::Ready(late("idle", "no request came")),
            }
        }
    }

    /// Nothing is taken: says when that has lasted too long.
    fn stuck(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let idle = self.patience.idle;
        let timer = self
            .untaken
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(late("untaken", "its answer was not read"))
    }
}

fn late(reason: &'static str, detail: &'static str) -> io::Error {
    metrics::counter!(CLOSED, "reason" => reason).increment(1);
    io::Error::new(io::ErrorKind::TimedOut, detail)
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.wait(context).map(Err),
            done => {
                let new = &buffer.filled()[before..];
                if !new.is_empty() {
                    self.heard(new);
                }
                done
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match write(Pin::new(&mut self.stream), context) {
            Poll::Pending => self.stuck(context).map(Err),
            done => {
                self.untaken = None;
                done
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watched(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watched(context, |stream, context| {
            stream.poll_write_vectored(context, pieces)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watched(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watched(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);
    const EVER: Duration = Duration::from_secs(3600);

    struct Client {
        stream: DuplexStream,
        requests: Requests,
        crowded: Arc<Notify>,
    }

    impl Client {
        /// A connection, and what ends it while it is read.
        fn connect(headers: Duration, idle: Duration) -> (Self, JoinHandle<String>) {
            let (stream, served) = tokio::io::duplex(1024);
            let (requests, crowded) = (Requests::default(), Arc::<Notify>::default());
            let patience = Patience { headers, idle };
            let mut timed = Timed::new(served, patience, requests.clone(), crowded.clone());
            let read = tokio::spawn(async move {
                let mut buffer = [0; 64];
                loop {
                    match timed.read(&mut buffer).await {
                        Ok(0) => return "the client has gone".to_owned(),
                        Ok(_) => {}
                        Err(error) => return error.to_string(),
                    }
                }
            });
            let client = Self {
                stream,
                requests,
                crowded,
            };
            (client, read)
        }
    }

    #[tokio::test]
    async fn headers_end_in_time_however_they_trickle() {
        let (mut client, read) = Client::connect(SHORT, EVER);
        let trickle = async {
            while client.stream.write_all(b"X").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        let (ended, ()) = tokio::join!(read, trickle);
        assert_eq!(ended.unwrap(), "headers came too slowly");
        let (_silent, read) = Client::connect(SHORT, EVER);
        assert_eq!(read.await.unwrap(), "headers came too slowly");
    }

    #[tokio::test]
    async fn the_time_of_headers_is_not_that_of_a_request_nor_of_the_pause_after_it() {
        let (mut client, read) = Client::connect(SHORT, EVER);
        let request = client.requests.begin();
        client.stream.write_all(b"GET / HTTP/1.1").await.unwrap();
        tokio::time::sleep(SHORT * 3).await;
        assert!(!read.is_finished(), "it is being answered");
        drop(request);
        tokio::time::sleep(SHORT * 3).await;
        assert!(!read.is_finished(), "it may be used again");
        client.stream.write_all(b"G").await.unwrap();
        assert_eq!(read.await.unwrap(), "headers came too slowly");
    }

    #[tokio::test]
    async fn a_pause_ends_too() {
        let (mut client, read) = Client::connect(EVER, SHORT);
        drop(client.requests.begin());
        client.stream.write_all(b"PRI").await.unwrap();
        assert_eq!(read.await.unwrap(), "no request came");
    }

    #[tokio::test]
    async fn only_who_idles_goes_when_others_wait() {
        let (idle, read) = Client::connect(EVER, EVER);
        drop(idle.requests.begin());
        idle.crowded.notify_one();
        assert_eq!(read.await.unwrap(), "others wait for its place");
        let (busy, read) = Client::connect(EVER, EVER);
        let request = busy.requests.begin();
        busy.crowded.notify_one();
        tokio::time::sleep(SPARE_AFTER * 2).await;
        assert!(!read.is_finished(), "a request is under way");
        drop(request);
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_ends_but_none_that_is_being_made() {
        let (mut client, read) = Client::connect(EVER, SHORT);
        client.stream.write_all(b"PRI * HTTP/2.0").await.unwrap();
        let making = client.requests.begin();
        let offered = Held::new(String::from("text"), client.requests.begin());
        tokio::time::sleep(SPARE_AFTER * 2 + SHORT).await;
        assert!(!read.is_finished(), "one is being made");
        drop(making);
        assert_eq!(read.await.unwrap(), "its answer was not read");
        drop(offered);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_ends() {
        let (_client, served) = tokio::io::duplex(16);
        let patience = Patience {
            headers: EVER,
            idle: SHORT,
        };
        let mut timed = Timed::new(served, patience, Requests::default(), Arc::default());
        let error = timed.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.to_string(), "its answer was not read");
    }
}
