//! Requests that a call makes to a client's URL while somebody waits on the line: signed like the deliveries of webhooks, with a
//! deadline, and with a bound on what is read of the answer.

use std::time::Duration;

use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::time::{Instant, timeout_at};

use super::{Outside, Refused};
use crate::domain::{AccountId, SigningSecret};

/// One request.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Whose secret signs it.
    pub account: &'a AccountId,
    pub url: &'a str,
    /// What it tells of or asks for: the header `Offhook-Event`.
    pub event: &'a str,
    /// The same whenever the same is asked again: the header `Offhook-Event-Id`.
    pub id: &'a str,
    /// JSON.
    pub body: String,
    /// From now to the answer's last byte.
    pub deadline: Duration,
    /// Bytes that the answer may have.
    pub most: usize,
}

/// What came back, whatever its status says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PostError {
    #[error("the URL {0}")]
    Refused(#[from] Refused),
    #[error("there was no answer within {0:?}")]
    Late(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl PostError {
    /// Whether the other side has certainly not acted on it, so that it may be asked again whatever the request does.
    pub fn may_repeat(&self) -> bool {
        matches!(self, PostError::Unreachable(_))
    }
}

impl Outside {
    /// Signs what it posts, each account with a secret of its own that is made of `seal`.
    #[must_use]
    pub fn signing(mut self, seal: [u8; 32]) -> Self {
        self.seal = Some(seal);
        self
    }

    /// What requests of this account's calls are signed with. The same for ever, and of no use to find another account's.
    pub fn secret_of(&self, account: &AccountId) -> Option<SigningSecret> {
        let mut mac = keyed(&self.seal?);
        mac.update(account.to_string().as_bytes());
        Some(SigningSecret::from_random(mac.finalize().into_bytes().into()))
    }

    /// Posts JSON and reads the answer.
    ///
    /// # Errors
    /// Where there is none. A status that is no success is an answer.
    pub async fn post(&self, post: Post<'_>) -> Result<Answer, PostError> {
        let begun = Instant::now();
        let late = || PostError::Late(post.deadline);
        let mut response = self.begin(&post, &[]).await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        loop {
            let chunk = timeout_at(begun + post.deadline, response.chunk()).await.map_err(|_| late())?;
            match chunk {
                Ok(Some(bytes)) if body.len() + bytes.len() > post.most => {
                    return Err(PostError::TooLong(post.most));
                }
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) => return Ok(Answer { status, body }),
                Err(error) => return Err(PostError::Broken(deepest(&error))),
            }
        }
    }

    /// Posts JSON, and returns when the answer begins, whose body is the caller's to bound. `headers`: further ones.
    ///
    /// # Errors
    /// Where no answer begins within the deadline. A status that is no success is an answer.
    pub async fn begin(
        &self,
        post: &Post<'_>,
        headers: &[(&'static str, String)],
    ) -> Result<reqwest::Response, PostError> {
        let begun = Instant::now();
        let (url, client) = self.client(post.url)?;
        let mut request = client
            .post(url)
            .header("content-type", "application/json")
            .header("offhook-event", post.event)
            .header("offhook-event-id", post.id);
        if let Some(secret) = self.secret_of(post.account) {
            let signed = signature(&[&secret], Utc::now().timestamp(), &post.body);
            request = request.header("offhook-signature", signed);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let sent = timeout_at(begun + post.deadline, request.body(post.body.clone()).send()).await;
        sent.map_err(|_| PostError::Late(post.deadline))?.map_err(|error| match Refused::within(&error) {
            Some(refused) => PostError::Refused(refused.clone()),
            None if error.is_connect() => PostError::Unreachable(deepest(&error)),
            None => PostError::Broken(deepest(&error)),
        })
    }
}

/// The HMAC-SHA-256 of a text, in hexadecimal.
pub fn proof(secret: &SigningSecret, text: &str) -> String {
    let mut mac = keyed(secret.reveal().as_bytes());
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `t=…,v1=…`: seconds since 1970, and for each secret the HMAC-SHA-256 (in hexadecimal) of them, a full stop and the body. The
/// time is signed too, so that a receiver can refuse what was overheard and is sent again later.
pub fn signature(secrets: &[&SigningSecret], at: i64, body: &str) -> String {
    let mut text = format!("t={at}");
    for secret in secrets {
        text += ",v1=";
        text += &proof(secret, &format!("{at}.{body}"));
    }
    text
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length (RFC 2104 §2).
    Hmac::new_from_slice(key).expect("any length is a key")
}

/// The chain's end says what happened; its beginning repeats the address.
fn deepest(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config;

    /// By another program: `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_0101…01`.
    #[test]
    fn a_signature_is_what_other_programs_compute() {
        let secret = SigningSecret::from_random([1; 32]);
        let signed = signature(&[&secret], 1_700_000_000, "{\"a\":1}");
        assert_eq!(
            signed,
            "t=1700000000,v1=a1575eceb7f5341efe144e6400968e5878d554b6876f4214d5b22937bc206dd7"
        );
    }

    fn outside() -> Outside {
        let allow = vec!["127.0.0.0/8".parse().unwrap()];
        Outside::new(&config::Outside { allow }).signing([7; 32])
    }

    /// A server that answers once, and gives what it was sent.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with("{\"a\":1}") {
                let mut bytes = [0; 4096];
                let n = stream.read(&mut bytes).await.unwrap();
                request += std::str::from_utf8(&bytes[..n]).unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            request
        });
        (url, task)
    }

    fn post<'a>(url: &'a str, account: &'a AccountId) -> Post<'a> {
        let (deadline, body) = (Duration::from_secs(20), "{\"a\":1}".to_owned());
        Post { account, url, event: "agent.message", id: "turn_1", body, deadline, most: 10 }
    }

    #[tokio::test]
    async fn a_request_is_signed_by_its_account_and_its_answer_is_bounded() {
        let (outside, account) = (outside(), AccountId::house());
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
        let (url, task) = server(answer).await;
        let answered = outside.post(post(&url, &account)).await.unwrap();
        assert_eq!(answered, Answer { status: 404, body: b"no".to_vec() });
        let request = task.await.unwrap();
        let header = |name: &str| {
            let line = request.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len() + 2..].to_owned()
        };
        assert_eq!(
            (header("offhook-event"), header("offhook-event-id")),
            ("agent.message".into(), "turn_1".into())
        );
        let signed = header("offhook-signature");
        let at = signed[2..].split(',').next().unwrap().parse().unwrap();
        assert_eq!(signed, signature(&[&outside.secret_of(&account).unwrap()], at, "{\"a\":1}"));

        let (url, task) = server("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello there").await;
        assert_eq!(outside.post(post(&url, &account)).await, Err(PostError::TooLong(10)));
        task.await.unwrap();
    }

    #[tokio::test]
    async fn only_what_was_never_connected_may_be_repeated_for_certain() {
        let (outside, account) = (outside(), AccountId::house());
        let nobody = outside.post(post("http://127.0.0.1:9/", &account)).await.unwrap_err();
        assert!(nobody.may_repeat(), "{nobody}");
        let (url, task) = server("").await;
        let broken = outside.post(post(&url, &account)).await.unwrap_err();
        task.await.unwrap();
        assert!(matches!(broken, PostError::Broken(_)) && !broken.may_repeat(), "{broken}");
        let inside = outside.post(post("http://10.0.0.1/", &account)).await.unwrap_err();
        assert!(matches!(inside, PostError::Refused(_)), "{inside}");
        // It takes the connection and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let deadline = Duration::from_millis(50);
        let late = outside.post(Post { deadline, ..post(&url, &account) }).await;
        assert_eq!(late, Err(PostError::Late(deadline)));
    }

    #[test]
    fn accounts_have_secrets_of_their_own() {
        let (one, other) = (AccountId::house(), AccountId::from_random([2; 10]));
        let outside = outside();
        assert_ne!(outside.secret_of(&one), outside.secret_of(&other));
        assert_eq!(outside.secret_of(&one), outside.clone().secret_of(&one));
    }
}
