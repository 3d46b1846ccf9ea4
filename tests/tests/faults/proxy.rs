//! A TCP proxy between a role and a server, which fails as networks and servers do.
//!
//! It understands as much of HTTP as it takes to tell requests apart: their first line, and where an answer begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const BUFFER: usize = 64 << 10;

/// What a proxy does with what passes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mode {
    /// Hands everything on.
    Pass,
    /// Closes every connection at once.
    Away,
    /// Takes connections and requests, and nothing ever comes back.
    Silent,
    /// Each request waits so long.
    Slow(Duration),
    /// Answers some requests `503`, without asking the server.
    Failing(Matching),
    /// Cuts the connection of some requests at a moment.
    Cut(Matching, Moment),
    /// Holds a request at a moment until the mode changes, and says so.
    Hold(Matching, Moment),
}

/// Which requests are meant: those whose first line, percent-decoded, holds all these words; and of them one in so many.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matching {
    words: Vec<String>,
    one_in: u64,
}

/// Where in a request something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the server has seen any of it.
    Before,
    /// When the server has seen a part.
    During,
    /// When the server has done it and answered that it has, before anybody hears of that.
    After,
}

impl Matching {
    /// All requests with these words.
    pub(crate) fn all(words: &[&str]) -> Self {
        Self::one_in(1, words)
    }

    /// One in so many of them.
    pub(crate) fn one_in(one_in: u64, words: &[&str]) -> Self {
        Self {
            words: words.iter().map(ToString::to_string).collect(),
            one_in,
        }
    }
}

/// A proxy on a loopback port.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: String,
    serving: JoinHandle<()>,
    held: mpsc::UnboundedReceiver<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    mode: watch::Sender<Mode>,
    /// How often it has failed somebody.
    acted: AtomicU64,
    /// Requests that matched, to take one in so many.
    matched: AtomicU64,
    held: mpsc::UnboundedSender<()>,
}

impl Proxy {
    /// A proxy before `HOST:PORT`.
    pub(crate) async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (hold, held) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            mode: watch::Sender::new(Mode::Pass),
            acted: AtomicU64::new(0),
            matched: AtomicU64::new(0),
            held: hold,
        });
        let served = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, Arc::clone(&served)));
            }
        });
        Self {
            shared,
            address,
            serving,
            held,
        }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on it does this, also to connections that are open.
    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// How often it has failed somebody so far.
    pub(crate) fn acted(&self) -> u64 {
        self.shared.acted.load(Ordering::Relaxed)
    }

    /// Waits until it holds a request.
    pub(crate) async fn holds(&mut self) {
        self.held.recv().await;
    }

    /// Lets go of what is held, so that nobody ever gets it, and of every connection.
    pub(crate) async fn drop_held(&self) {
        self.set(Mode::Away);
        // Every connection sees this before the next mode.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// Forgets requests that were held before.
    pub(crate) fn forget_held(&mut self) {
        while self.held.try_recv().is_ok() {}
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn act(&self) {
        self.acted.fetch_add(1, Ordering::Relaxed);
    }

    fn means(&self, matching: &Matching, line: &str) -> bool {
        matching.words.iter().all(|word| line.contains(word))
            && self
                .matched
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(matching.one_in)
    }

    /// What becomes of a request, decided when it begins.
    fn judge(&self, mode: &Mode, line: &str) -> Fate {
        match mode {
            Mode::Slow(pause) => {
                self.act();
                Fate::Wait(*pause)
            }
            Mode::Failing(matching) if self.means(matching, line) => Fate::Refuse,
            Mode::Cut(matching, moment) if self.means(matching, line) => Fate::Cut(*moment),
            Mode::Hold(matching, moment) if self.means(matching, line) => Fate::Hold(*moment),
            _ => Fate::Pass,
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Wait(Duration),
    Refuse,
    Cut(Moment),
    Hold(Moment),
}

/// One connection, until it ends or is cut: dropping both ends closes them.
async fn relay(mut client: TcpStream, shared: Arc<Shared>) {
    let mut mode = shared.mode.subscribe();
    if *mode.borrow() == Mode::Away {
        return shared.act();
    }
    let Ok(mut server) = TcpStream::connect(&shared.upstream).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut up, mut down) = (vec![0; BUFFER], vec![0; BUFFER]);
    // The next bytes of the client begin a request; and what becomes of the one under way.
    let (mut begins, mut fate) = (true, Fate::Pass);
    loop {
        let now = mode.borrow_and_update().clone();
        match now {
            Mode::Away => return shared.act(),
            Mode::Silent => {
                shared.act();
                let _ = mode.changed().await;
                return;
            }
            _ => {}
        }
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return },
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &up[..length];
                if begins {
                    begins = false;
                    fate = shared.judge(&now, &first_line(bytes));
                    match fate {
                        Fate::Wait(pause) => tokio::time::sleep(pause).await,
                        Fate::Refuse => {
                            shared.act();
                            let _ = client.write_all(REFUSAL).await;
                            return;
                        }
                        Fate::Cut(Moment::Before) => return shared.act(),
                        Fate::Hold(Moment::Before) if !hold(&shared, &mut mode).await => return,
                        _ => {}
                    }
                }
                let part = match fate {
                    Fate::Cut(Moment::During) | Fate::Hold(Moment::During) => part(bytes),
                    _ => None,
                };
                if let Some(part) = part {
                    if server.write_all(&bytes[..part]).await.is_err() { return };
                    if fate == Fate::Cut(Moment::During) {
                        return shared.act();
                    }
                    if !hold(&shared, &mut mode).await { return };
                    fate = Fate::Pass;
                    if server.write_all(&bytes[part..]).await.is_err() { return };
                } else if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &down[..length];
                begins = true;
                let done = bytes.starts_with(b"HTTP/1.1 2");
                match fate {
                    Fate::Cut(Moment::After) if done => return shared.act(),
                    Fate::Hold(Moment::After) if done && !hold(&shared, &mut mode).await => return,
                    _ => {}
                }
                fate = Fate::Pass;
                if client.write_all(bytes).await.is_err() { return };
            }
        }
    }
}

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Says that a request is held and waits until the mode changes; whether it goes on then.
async fn hold(shared: &Shared, mode: &mut watch::Receiver<Mode>) -> bool {
    // It was meant to be held when it began, and that may be over by the time of its answer.
    if !matches!(*mode.borrow_and_update(), Mode::Hold(..)) {
        return *mode.borrow() != Mode::Away;
    }
    shared.act();
    let _ = shared.held.send(());
    let _ = mode.changed().await;
    *mode.borrow() != Mode::Away
}

/// The first line of a request, percent-decoded.
fn first_line(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\r')
        .unwrap_or(bytes.len());
    let line = String::from_utf8_lossy(&bytes[..end]).replace('+', " ");
    percent_encoding::percent_decode_str(&line)
        .decode_utf8_lossy()
        .into_owned()
}

/// How much of these bytes to hand on so that the server has seen a part of the body: none while there is none of it.
fn part(bytes: &[u8]) -> Option<usize> {
    let body = match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(head) => head + 4,
        None => 0,
    };
    let of_body = bytes.len() - body;
    (of_body > 1).then_some(body + of_body / 2)
}
