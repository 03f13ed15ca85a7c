//! A client of a world's HTTP interface: what it is told is the status, the headers and the JSON.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::World;

pub(crate) struct Api {
    url: String,
    key: String,
    http: reqwest::Client,
}

impl Api {
    /// With the first key of the box.
    pub(crate) fn admin(world: &World) -> Self {
        let key = std::fs::read_to_string(world.data.path().join("admin.key")).unwrap();
        Self::with_key(world, key.trim())
    }

    pub(crate) fn with_key(world: &World, key: &str) -> Self {
        // Fails when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: format!("http://{}", world.http), key: key.to_owned(), http }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.ask(Method::DELETE, path, None).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (status, _, body) = self.full(method, path, &[], body).await;
        (status, body)
    }

    /// With a body that need not be JSON.
    pub(crate) async fn raw(&self, method: Method, path: &str, kind: &str, body: String) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        let answer = request.header("Content-Type", kind).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// With further headers, and the headers of the answer. A body that is no JSON comes as text, an empty one as `null`.
    pub(crate) async fn full(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (u16, HeaderMap, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        };
        (status, headers, body)
    }
}
