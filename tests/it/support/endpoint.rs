//! A client's endpoint for webhooks: an address on loopback that can be down, refuse, and take.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What a test waits for, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) status: u16,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    came: Notify,
    answer: AtomicU16,
    location: Mutex<Option<String>>,
    says: Mutex<String>,
}

pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    /// Bound, and not listening: who connects is refused, and nobody else can have the address.
    down: Option<TcpSocket>,
    task: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Down: connections are refused.
    pub(crate) fn down() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let shared = Arc::new(Shared { answer: AtomicU16::new(200), ..Shared::default() });
        Self { address: socket.local_addr().unwrap(), shared, down: Some(socket), task: None }
    }

    pub(crate) fn up() -> Self {
        let mut endpoint = Self::down();
        endpoint.rise();
        endpoint
    }

    /// Takes connections from now on.
    pub(crate) fn rise(&mut self) {
        let listener = self.down.take().unwrap().listen(64).unwrap();
        let router = axum::Router::new().fallback(take).with_state(self.shared.clone());
        self.task = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    /// What it answers from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.shared.answer.store(status, Ordering::SeqCst);
    }

    /// The body of its answers from now on.
    pub(crate) fn says(&self, body: &str) {
        body.clone_into(&mut self.shared.says.lock().unwrap());
    }

    /// Sends on from now on.
    pub(crate) fn redirect(&self, status: u16, location: &str) {
        *self.shared.location.lock().unwrap() = Some(location.to_owned());
        self.answer(status);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// All that came, once they are as the test wants them.
    pub(crate) async fn until(&self, what: &str, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let wait = async {
            loop {
                let came = self.shared.came.notified();
                if enough(&self.shared.received.lock().unwrap()) {
                    return self.received();
                }
                came.await;
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{what} did not come; received: {:#?}", self.received()))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let status = shared.answer.load(Ordering::SeqCst);
    let body = String::from_utf8(body.to_vec()).unwrap();
    shared.received.lock().unwrap().push(Received { headers, body, status });
    shared.came.notify_waiters();
    let location = shared.location.lock().unwrap().clone();
    let location =
        location.map(|to| (HeaderName::from_static("location"), HeaderValue::from_str(&to).unwrap()));
    let close = (HeaderName::from_static("connection"), HeaderValue::from_static("close"));
    let headers = HeaderMap::from_iter(location.into_iter().chain([close]));
    (StatusCode::from_u16(status).unwrap(), headers, shared.says.lock().unwrap().clone())
}
