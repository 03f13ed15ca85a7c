//! Carriers that are reached by HTTP: a message handed over, and what the answer means.
//!
//! The operator wrote the address, so it is called wherever it leads. Nothing is sent twice that may have been taken: tried again is
//! what never left (no connection), what was refused for now (429, 503), and the rest only where the carrier knows a message
//! again by our id.

mod inbound;
mod template;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::config::{Carrier, Config, Encoding, Method};
use crate::domain::Message;

pub use inbound::{NotTaken, Notice, read, verify};
use template::{Words, at, percent};

/// What is read of an answer.
const LONGEST_ANSWER: usize = 64 * 1024;
/// What is kept of a refusal's words.
const LONGEST_REASON: usize = 300;
const CONNECT: Duration = Duration::from_secs(5);

/// What came of handing a message over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Handed {
    Taken {
        status: u16,
        id: Option<String>,
    },
    Refused {
        status: u16,
        reason: String,
        retry_after: Option<Duration>,
    },
    /// Nothing left us.
    NotReached {
        reason: String,
    },
    /// It left, and nobody knows more.
    Unknown {
        status: Option<u16>,
        reason: String,
    },
}

/// The clients of all trunks that have one.
#[derive(Clone, Default)]
pub(super) struct Carriers(Arc<HashMap<String, Client>>);

struct Client {
    settings: Carrier,
    http: reqwest::Client,
    at_once: Semaphore,
}

impl Carriers {
    pub(super) fn new(config: &Config) -> Self {
        // Fails where one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clients = config.trunks.iter().filter_map(|trunk| {
            let settings = trunk.messages.clone()?;
            let http = reqwest::Client::builder()
                .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .timeout(settings.timeout)
                .no_proxy()
                .referer(false)
                // Whoever redirects a message has not taken it, and where it leads the operator has not said.
                .redirect(reqwest::redirect::Policy::none())
                .pool_idle_timeout(Duration::from_secs(5))
                .build()
                .inspect_err(|error| tracing::error!(%error, trunk = trunk.name, "no HTTP client"))
                .ok()?;
            let at_once = Semaphore::new(settings.max_at_once);
            Some((trunk.name.clone(), Client { settings, http, at_once }))
        });
        Self(Arc::new(clients.collect()))
    }

    pub(super) fn is_idempotent(&self, trunk: &str) -> bool {
        self.0.get(trunk).is_some_and(|client| client.settings.idempotent)
    }

    /// Hands a message over, when it is its turn.
    pub(super) async fn send(&self, trunk: &str, message: &Message) -> Handed {
        match self.0.get(trunk) {
            Some(client) => client.send(message).await,
            None => Handed::NotReached { reason: "the trunk has no messages in the configuration".into() },
        }
    }
}

impl Client {
    async fn send(&self, message: &Message) -> Handed {
        // Never closed.
        let Ok(_turn) = self.at_once.acquire().await else {
            return Handed::NotReached { reason: "the gateway is stopping".into() };
        };
        match self.request(message).send().await {
            Ok(answer) => self.answer(answer).await,
            // The text of the error holds the URL, and that may hold a number or a key.
            Err(error) if error.is_connect() => {
                Handed::NotReached { reason: "the carrier's HTTP interface cannot be reached".into() }
            }
            Err(error) if error.is_builder() => Handed::NotReached {
                reason: "the request that the configuration describes cannot be made".into(),
            },
            Err(error) => Handed::Unknown {
                status: None,
                reason: match error.is_timeout() {
                    true => "the carrier's HTTP interface did not answer in time".into(),
                    false => "the carrier's HTTP interface broke off".into(),
                },
            },
        }
    }

    fn request(&self, message: &Message) -> reqwest::RequestBuilder {
        let (settings, words) = (&self.settings, Words::of(message));
        let method = match settings.method {
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let mut request = self.http.request(method, words.fill(&settings.url, percent));
        let body = words.fill_json(&settings.body);
        request = match settings.encoding {
            Encoding::Json => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
            Encoding::Form => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                for (name, value) in body.as_object().into_iter().flatten() {
                    form.append_pair(name, value.as_str().unwrap_or_default());
                }
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
            }
        };
        for (name, value) in &settings.headers {
            // A text of several lines is no header; nothing of it gets further than its first.
            let value = words.fill(value.reveal(), |word| word.lines().next().unwrap_or_default().to_owned());
            request = request.header(name, value);
        }
        if let Some(login) = &settings.login {
            request = request.basic_auth(&login.username, Some(login.password.reveal()));
        }
        match &settings.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    async fn answer(&self, answer: reqwest::Response) -> Handed {
        let settings = &self.settings;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = body(answer).await;
        let found = |path: &Option<String>| at(body.as_ref()?, path.as_deref()?);
        let is_accepted = match settings.accepted.as_slice() {
            [] => (200..300).contains(&status),
            list => list.contains(&status),
        };
        let reason = || {
            let words = found(&settings.error).unwrap_or_else(|| format!("the carrier answered {status}"));
            words.chars().take(LONGEST_REASON).collect::<String>()
        };
        if is_accepted {
            let says = found(&settings.accepted_path);
            return match (&settings.accepted_path, says) {
                (None, _) => Handed::Taken { status, id: found(&settings.id) },
                (Some(_), Some(word)) if settings.accepted_values.contains(&word) => {
                    Handed::Taken { status, id: found(&settings.id) }
                }
                (Some(_), Some(_)) => Handed::Refused { status, reason: reason(), retry_after: None },
                (Some(_), None) => Handed::Unknown { status: Some(status), reason: reason() },
            };
        }
        match status {
            500..=599 if status != 503 && status != 501 => {
                Handed::Unknown { status: Some(status), reason: reason() }
            }
            _ => Handed::Refused {
                status,
                reason: reason(),
                retry_after: retry_after.map(Duration::from_secs),
            },
        }
    }
}

/// The answer, where it is JSON and not too long.
async fn body(answer: reqwest::Response) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.ok()?);
        if bytes.len() > LONGEST_ANSWER {
            return None;
        }
    }
    serde_json::from_slice(&bytes).ok()
}
