//! The model hub: files by HTTP, resumed where they broke, checked against the digest that the hub publishes.
//!
//! Large files there are kept by content: the answer to `/<repo>/resolve/<revision>/<path>` names their SHA-256 in
//! `X-Linked-ETag`, their size in `X-Linked-Size`, and redirects to wherever the bytes lie. The digest is taken from
//! that first answer, never from the place that serves the bytes.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{CONTENT_RANGE, HeaderMap, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::io::AsyncWriteExt;

use super::{Digest, FetchError, Progress, Trust, at, net};
use crate::catalog::{Entry, File};

const USUAL: &str = "https://huggingface.co";
const REDIRECTS: usize = 6;
/// Tries without a single new byte before giving up.
const TRIES: u32 = 5;
const CONNECT: Duration = Duration::from_secs(15);
/// Without a byte for this long, a connection counts as broken.
const STALLED: Duration = Duration::from_secs(30);

/// A model hub, or a mirror that answers like one.
#[derive(Clone, Debug)]
pub struct Hub {
    base: String,
    token: Option<String>,
    /// Pause before the first new try; it doubles.
    pause: Duration,
    client: reqwest::Client,
}

impl Hub {
    /// `base`: "https://host", with or without a path in front of the repositories' names.
    pub fn new(base: impl Into<String>, token: Option<String>) -> Hub {
        let base = base.into().trim_end_matches('/').to_owned();
        Hub { base, token, pause: Duration::from_millis(500), client: net::client(CONNECT) }
    }

    /// `$OFFHOOK_HUB` or the usual one; `$OFFHOOK_HUB_TOKEN` for models that want an account.
    pub fn from_env() -> Hub {
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        Hub::new(set("OFFHOOK_HUB").unwrap_or_else(|| USUAL.into()), set("OFFHOOK_HUB_TOKEN"))
    }

    /// Another pause between tries.
    pub fn with_pause(self, pause: Duration) -> Hub {
        Hub { pause, ..self }
    }

    pub(super) async fn pull(
        &self,
        entry: &Entry,
        repo: &str,
        revision: &str,
        folder: &Path,
        progress: &mut (dyn Progress + Send),
    ) -> Result<Vec<(Digest, Trust)>, FetchError> {
        let mut trusts = Vec::new();
        for file in entry.files {
            let url = format!("{}/{repo}/resolve/{revision}/{}", self.base, file.from);
            trusts.push(self.file(&url, file, folder, progress).await?);
        }
        Ok(trusts)
    }

    async fn file(
        &self,
        url: &str,
        file: &File,
        folder: &Path,
        progress: &mut (dyn Progress + Send),
    ) -> Result<(Digest, Trust), FetchError> {
        let published = self.published(url).await?;
        let known = file.sha256.and_then(Digest::parse);
        let expected = known.or(published.sha256);
        let part = folder.join(format!("{}.part", file.name));
        let total = published.size.or(known.map(|_| file.size));
        progress.begin(&format!("downloading {}", file.name), total);
        let mut resumed = tokio::fs::metadata(&part).await.map_or(0, |m| m.len()) > 0;
        let found = loop {
            let found = self.download(url, &part, total, progress).await?;
            let Some(expected) = expected.filter(|e| *e != found) else { break found };
            // Kept, it would be wrong for ever; thrown away, the next try begins anew.
            tokio::fs::remove_file(&part).await.map_err(at(&part))?;
            if !std::mem::take(&mut resumed) {
                let (expected, found) = (expected.to_string(), found.to_string());
                return Err(FetchError::Corrupt { what: url.into(), expected, found });
            }
            progress.note("what was left of an earlier download does not fit; starting anew");
        };
        progress.end();
        let whole = folder.join(file.name);
        tokio::fs::rename(&part, &whole).await.map_err(at(&whole))?;
        let trust = match (known, published.sha256) {
            (Some(_), _) => Trust::Catalog,
            (None, Some(_)) => Trust::Hub,
            (None, None) => Trust::FirstUse,
        };
        Ok((found, trust))
    }

    /// Fills `part` up, however often the connection breaks, and hashes all of it.
    async fn download(
        &self,
        url: &str,
        part: &Path,
        total: Option<u64>,
        progress: &mut (dyn Progress + Send),
    ) -> Result<Digest, FetchError> {
        let mut tries = 0;
        loop {
            let before = tokio::fs::metadata(part).await.map_or(0, |m| m.len());
            match self.attempt(url, part, before, total, progress).await {
                Ok(()) => break,
                Err(e @ (FetchError::File { .. } | FetchError::Status { status: 400..=499, .. })) => {
                    return Err(e);
                }
                Err(e) => {
                    let after = tokio::fs::metadata(part).await.map_or(0, |m| m.len());
                    tries = if after > before { 1 } else { tries + 1 };
                    if tries > TRIES {
                        return Err(e);
                    }
                    let pause = self.pause * 2u32.pow(tries - 1);
                    progress.note(&format!("{e}; going on from byte {after} in {pause:?}"));
                    tokio::time::sleep(pause).await;
                }
            }
        }
        let owned = part.to_owned();
        match tokio::task::spawn_blocking(move || super::sha256_of(&owned)).await {
            Ok(digest) => digest.map_err(at(part)),
            Err(e) => Err(FetchError::File { path: part.into(), source: std::io::Error::other(e) }),
        }
    }

    async fn attempt(
        &self,
        url: &str,
        part: &Path,
        have: u64,
        total: Option<u64>,
        progress: &mut (dyn Progress + Send),
    ) -> Result<(), FetchError> {
        if total.is_some_and(|t| have == t) {
            return Ok(());
        }
        let (response, _) = self.follow(Method::GET, url, (have > 0).then_some(have)).await?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && starts_at(response.headers()).is_some_and(|start| start == have);
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .append(goes_on)
            .write(true)
            .truncate(!goes_on)
            .open(part)
            .await
            .map_err(at(part))?;
        let mut done = if goes_on { have } else { 0 };
        let mut body = response.bytes_stream();
        loop {
            let reason = match tokio::time::timeout(STALLED, body.next()).await {
                Ok(Some(Ok(bytes))) => {
                    file.write_all(&bytes).await.map_err(at(part))?;
                    done += bytes.len() as u64;
                    progress.at(done);
                    continue;
                }
                Ok(None) if total.is_none_or(|t| done == t) => None,
                Ok(None) => Some("the connection ended early".to_owned()),
                Ok(Some(Err(e))) => Some(e.to_string()),
                Err(_) => Some(format!("nothing came for {STALLED:?}")),
            };
            file.flush().await.map_err(at(part))?;
            file.sync_all().await.map_err(at(part))?;
            return match reason {
                None => Ok(()),
                Some(reason) => Err(FetchError::Http { url: url.into(), reason }),
            };
        }
    }

    async fn published(&self, url: &str) -> Result<Published, FetchError> {
        let mut tries = 0;
        loop {
            match self.follow(Method::HEAD, url, None).await {
                Ok((_, published)) => return Ok(published),
                Err(FetchError::Http { .. } | FetchError::Status { status: 500.., .. }) if tries < TRIES => {
                    tokio::time::sleep(self.pause * 2u32.pow(tries)).await;
                    tries += 1;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends a request and follows it to where the bytes lie. The token goes to the hub alone.
    async fn follow(
        &self,
        method: Method,
        url: &str,
        from: Option<u64>,
    ) -> Result<(Response, Published), FetchError> {
        let failed =
            |e: reqwest::Error| FetchError::Http { url: url.into(), reason: e.without_url().to_string() };
        let mut published = Published::default();
        let mut next = reqwest::Url::parse(url)
            .map_err(|e| FetchError::Http { url: url.into(), reason: e.to_string() })?;
        let home = next.origin();
        for _ in 0..REDIRECTS {
            let mut request = self.client.request(method.clone(), next.clone());
            // Packed on the way, a range would count other bytes.
            request = request.header("accept-encoding", "identity");
            if let Some(token) = self.token.as_ref().filter(|_| next.origin() == home) {
                request = request.bearer_auth(token);
            }
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = request.send().await.map_err(failed)?;
            if next.origin() == home {
                published.read(response.headers());
            }
            let status = response.status();
            if status.is_success() {
                if published.size.is_none() && method == Method::HEAD {
                    published.size = number(response.headers(), "content-length");
                }
                return Ok((response, published));
            }
            let there = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            match there.filter(|_| status.is_redirection()).and_then(|l| next.join(l).ok()) {
                Some(there) => next = there,
                None => return Err(FetchError::Status { url: url.into(), status: status.as_u16() }),
            }
        }
        Err(FetchError::Http { url: url.into(), reason: "it redirects without end".into() })
    }
}

/// What the hub says of a file.
#[derive(Default)]
struct Published {
    sha256: Option<Digest>,
    size: Option<u64>,
}

impl Published {
    fn read(&mut self, headers: &HeaderMap) {
        let etag = headers.get("x-linked-etag").and_then(|v| v.to_str().ok());
        let digest = etag.and_then(|v| Digest::parse(v.trim_start_matches("W/").trim_matches('"')));
        self.sha256 = self.sha256.or(digest);
        self.size = self.size.or_else(|| number(headers, "x-linked-size"));
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The first byte of `Content-Range: bytes 5-9/10`.
fn starts_at(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
