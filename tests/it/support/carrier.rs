//! A carrier without SIP MESSAGE: an HTTP server that takes messages as the test wants, and tells of them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::World;

/// What a test waits for, at most.
const FENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "0123456789abcdef";

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// What the carrier answers next.
#[derive(Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    /// Nothing, until the test is over.
    Silence,
}

#[derive(Clone)]
struct Desk {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: mpsc::Sender<Request>,
}

pub(crate) struct Carrier {
    pub(crate) address: SocketAddr,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: mpsc::Receiver<Request>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Carrier {
    /// With these answers, one after the other.
    pub(crate) async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let replies = Arc::new(Mutex::new(replies.into_iter().collect()));
        let (heard, requests) = mpsc::channel(64);
        let desk = Desk { replies: replies.clone(), requests: heard };
        let app = Router::new().fallback(take).with_state(desk);
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, replies, requests, server }
    }

    pub(crate) fn will(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    /// Lines for a trunk's table. Leaked: a setting's live as long as its test.
    pub(crate) fn trunk(&self, more: &str) -> &'static str {
        let text = format!(
            "[trunk.messages]\nurl = 'http://{}/accounts/7/messages?ref={{id}}'\ntoken = 'a-token'\n\
             headers = {{ 'X-Ref' = '{{id}}' }}\nbody = {{ from = '{{from}}', to = ['{{to}}'], text = '{{text}}' }}\n\
             id = 'data.id'\nerror = 'error'\ntimeout_s = 1\n{more}\n\
             [trunk.messages.inbound]\nsecret = '{SECRET}'\nprefix = 'sha256='\ntimestamp_header = 'X-Time'\n\
             from = 'from'\nto = 'to'\ntext = 'text'\nid = 'id'\n\
             [trunk.messages.inbound.receipt]\nid = 'id'\nstatus = 'status'\nreason = 'why'\n",
            self.address
        );
        text.leak()
    }

    /// The next message that it was handed.
    pub(crate) async fn next(&mut self) -> Request {
        timeout(FENCE, self.requests.recv()).await.expect("a request in time").unwrap()
    }

    pub(crate) fn has_nothing(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }

    /// Tells the gateway something, signed now; gives status and body of the answer.
    pub(crate) async fn tell(&self, world: &World, body: &Value) -> (u16, Value) {
        let now = chrono::Utc::now().timestamp();
        self.tell_signed(world, body, now, SECRET).await
    }

    pub(crate) async fn tell_signed(&self, world: &World, body: &Value, at: i64, key: &str) -> (u16, Value) {
        let text = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{at}.{text}").as_bytes());
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(format!("http://{}/carriers/lan/messages", world.http))
            .header("Content-Type", "application/json")
            .header("X-Signature", format!("sha256={digits}"))
            .header("X-Time", at.to_string())
            .body(text)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

async fn take(State(desk): State<Desk>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    desk.requests.send(Request { uri, headers, body }).await.unwrap();
    let reply = desk.replies.lock().unwrap().pop_front();
    match reply.expect("the test says what the carrier answers") {
        Reply::Json(status, value) => {
            (StatusCode::from_u16(status).unwrap(), axum::Json(value)).into_response()
        }
        Reply::Silence => std::future::pending().await,
    }
}
