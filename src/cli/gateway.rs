//! A client of a running gateway's HTTP interface.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// The way to a running gateway, as commands take it.
#[derive(Args, Debug)]
pub(super) struct Door {
    /// Where the gateway's HTTP interface is
    #[arg(long, env = "OFFHOOK_URL", default_value = "http://127.0.0.1:8080", global = true)]
    pub(super) url: String,
    /// A key that may do what is asked for; the first one, which may do everything, lies in the data folder
    #[arg(
        long,
        env = "OFFHOOK_KEY_FILE",
        default_value = "data/admin.key",
        value_name = "FILE",
        global = true
    )]
    pub(super) key_file: PathBuf,
}

impl Door {
    pub(super) fn open(&self) -> anyhow::Result<Gateway> {
        Gateway::with_key_file(&self.url, &self.key_file)
    }
}

/// Where a gateway is, and the key that it lets us in with.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    url: String,
    key: String,
    http: reqwest::Client,
}

impl Gateway {
    pub(super) fn new(url: &str, key: &str) -> anyhow::Result<Gateway> {
        // Fails when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The gateway is on this machine or on the LAN: a proxy for the Internet has no part in it.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Gateway { url: url.trim_end_matches('/').to_owned(), key: key.trim().to_owned(), http })
    }

    /// With the key out of a file, as `serve` leaves it in its data folder.
    pub(super) fn with_key_file(url: &str, file: &Path) -> anyhow::Result<Gateway> {
        let key = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the key {} (does the gateway run?)", file.display()))?;
        Gateway::new(url, &key)
    }

    /// Is it ready to take calls?
    pub(super) async fn ready(&self) -> bool {
        let request = self.request(Method::GET, "/ready").timeout(Duration::from_secs(2));
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Is there one at all?
    pub(super) async fn answers(&self) -> bool {
        let request = self.request(Method::GET, "/health").timeout(Duration::from_secs(2));
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.json(self.request(Method::GET, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Asks with nothing in the body, and writes the answer down, however long it is.
    pub(super) async fn download(
        &self,
        method: Method,
        path: &str,
        out: &mut impl std::io::Write,
    ) -> anyhow::Result<()> {
        let request = self.request(method, path).send();
        let answer = request.await.with_context(|| format!("no gateway answers at {}", self.url))?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the gateway answered {status}: {}", answer.text().await?);
        }
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.try_next().await.context("the gateway broke off")? {
            out.write_all(&piece)?;
        }
        Ok(out.flush()?)
    }

    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.json(self.request(Method::DELETE, path)).await
    }

    /// Every item of a list, page after page. `path` has a query.
    pub(super) async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut page = self.get(path).await?;
        loop {
            if let Value::Array(more) = page["items"].take() {
                items.extend(more);
            }
            let Some(cursor) = page["next_cursor"].as_str() else { return Ok(items) };
            page = self.get(&format!("{path}&cursor={}", safe(cursor))).await?;
        }
    }

    /// Everything that happens from now on, one JSON object at a time. Connected when this returns.
    pub(super) async fn events(&self) -> anyhow::Result<impl Stream<Item = anyhow::Result<Value>> + use<>> {
        let request = self.request(Method::GET, "/v1/events").header("accept", "text/event-stream");
        let answer = request.send().await.with_context(|| format!("no event stream at {}", self.url))?;
        if !answer.status().is_success() {
            bail!("{}/v1/events answered {}", self.url, answer.status());
        }
        let bytes = answer.bytes_stream().map_err(anyhow::Error::from).boxed();
        Ok(stream::try_unfold((bytes, Lines::default()), |(mut bytes, mut lines)| async move {
            loop {
                if let Some(event) = lines.event() {
                    let event = serde_json::from_str(&event).context("an event is no JSON")?;
                    return Ok(Some((event, (bytes, lines))));
                }
                match bytes.try_next().await? {
                    Some(piece) => lines.push(&piece),
                    None => return Ok(None),
                }
            }
        }))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = request
            .timeout(Duration::from_secs(30))
            .send()
            .await
            .with_context(|| format!("no gateway answers at {}", self.url))?;
        let status = answer.status();
        let text = answer.text().await?;
        if status == StatusCode::UNAUTHORIZED {
            bail!("the gateway at {} does not take this key", self.url);
        }
        if !status.is_success() {
            bail!("the gateway answered {status}: {text}");
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("the gateway's answer is no JSON: {text}"))
    }
}

/// An id is letters, digits and underscores; anything else would be another path.
pub(super) fn safe(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect()
}

/// Server-sent events out of bytes that are cut anywhere (HTML standard, section 9.2).
#[derive(Debug, Default)]
struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    fn push(&mut self, piece: &[u8]) {
        self.buffer.extend(piece.iter().filter(|byte| **byte != b'\r'));
    }

    /// The data of the next whole event; comments and events without data are passed over.
    fn event(&mut self) -> Option<String> {
        loop {
            let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&block);
            let data: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| data.strip_prefix(' ').unwrap_or(data))
                .collect();
            if !data.is_empty() {
                return Some(data.join("\n"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = ": hello\n\nid: 1\ndata: {\"a\":1}\n\nevent: x\r\ndata: {\"b\":\r\ndata: 2}\r\n\r\n:keep-alive\n\n";
        for cut in 1..text.len() {
            let mut lines = Lines::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                lines.push(piece);
                events.extend(std::iter::from_fn(|| lines.event()));
            }
            assert_eq!(events, ["{\"a\":1}", "{\"b\":\n2}"], "cut into {cut}");
        }
    }
}
