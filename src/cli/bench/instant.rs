//! A brain that answers at once: what is left of a turn is the machine's own share.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What it says, whatever it is asked.
pub(super) const ANSWER: &str = "Of course, I can help you with that.";
/// For a request to come whole.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_REQUEST: usize = 1 << 20;

/// A chat-completions server on loopback, until it is dropped.
pub(super) struct Instant {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Instant {
    pub(super) async fn start() -> anyhow::Result<Self> {
        Self::saying(ANSWER).await
    }

    pub(super) async fn saying(text: &'static str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the instant brain")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // One request after the other would let a second call wait for the first.
                tokio::spawn(async move { timeout(PATIENCE, answer(stream, text)).await });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Instant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads a request and answers it as a stream of one piece.
async fn answer(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if request.len() > LONGEST_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let piece = serde_json::json!({ "choices": [{ "delta": { "content": text } }] });
    let body = format!("data: {piece}\n\ndata: [DONE]\n\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n";
    let whole = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(whole.as_bytes()).await?;
    stream.shutdown().await
}

/// Head and, by its length, body.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    request.len() >= end + 4 + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_to_its_end() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        assert!(is_whole(request));
        assert!(!is_whole(&request[..request.len() - 1]));
        assert!(!is_whole(b"POST / HTTP/1.1\r\n"));
    }
}
