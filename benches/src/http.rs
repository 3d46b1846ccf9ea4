//! Just enough of an HTTP/1.1 client for a sender that must not take the CPU it measures: one connection kept alive,
//! requests written as they are prepared, answers read and set aside.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer: the status, and the body until the next request.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("the server takes no connection")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(64 << 10),
        })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let (status, head, length) = loop {
            if let Some(head) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let (status, length) = parse_head(&self.read[..head])?;
                break (status, head + 4, length);
            }
            self.fill().await?;
        };
        while self.read.len() < head + length {
            self.fill().await?;
        }
        Ok(Answer {
            status,
            body: &self.read[head..head + length],
        })
    }

    async fn fill(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => bail!("the server closed the connection in mid-answer"),
            _ => Ok(()),
        }
    }
}

/// The head of a POST with a body of so many bytes.
pub(crate) fn post_head(
    address: &str,
    path: &str,
    key: &str,
    content_type: &str,
    length: usize,
) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// Status and length of the body.
fn parse_head(head: &[u8]) -> Result<(u16, usize)> {
    let text = std::str::from_utf8(head).context("the head of the answer is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    match (status, length) {
        (Some(status), Some(length)) => Ok((status, length)),
        _ => bail!("an answer without status or length: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_understood() {
        let head = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nContent-Length: 17";
        assert_eq!(parse_head(head).expect("a sound head"), (202, 17));
        assert!(parse_head(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked").is_err());
    }
}
