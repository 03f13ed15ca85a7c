//! Pulling from a hub that breaks, lies and redirects, as they do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use models::catalog::{Entry, File, Made, Purpose, Source};
use models::fetch::{self, Digest, FetchError, Hub, Progress, Quiet, Trust, VerifyError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A hub of one file, on raw sockets: a server library would not break a connection in the middle of a body.
#[derive(Clone)]
struct Server {
    body: Arc<Vec<u8>>,
    /// What it says that the digest is.
    published: Option<Digest>,
    /// Bytes after which each body is cut off.
    breaks_after: Option<usize>,
    ranges: bool,
    asked: Arc<Mutex<Vec<String>>>,
    bodies: Arc<AtomicUsize>,
}

impl Server {
    fn new(body: Vec<u8>) -> Server {
        Server {
            published: Some(Digest::of(&body)),
            body: Arc::new(body),
            breaks_after: None,
            ranges: true,
            asked: Arc::default(),
            bodies: Arc::default(),
        }
    }

    async fn start(&self) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().answer(stream, addr));
            }
        });
        Hub::new(format!("http://{addr}/mirror/"), Some("secret".into())).with_pause(Duration::from_millis(1))
    }

    async fn answer(self, mut stream: TcpStream, addr: SocketAddr) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte).await {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        self.asked.lock().unwrap().push(head.clone());
        let path = head.split(' ').nth(1).unwrap();
        let header = |name: &str| {
            head.lines().find_map(|l| l.to_lowercase().strip_prefix(&format!("{name}: ")).map(str::to_owned))
        };
        let mut answer =
            String::from("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let mut body: &[u8] = &[];
        if path == "/mirror/some/repo/resolve/main/deep/model.bin" {
            assert_eq!(header("authorization").as_deref(), Some("bearer secret"));
            let digest = self.published.map(|d| format!("x-linked-etag: \"{d}\"\r\n")).unwrap_or_default();
            answer = format!(
                "HTTP/1.1 302 Found\r\n{digest}x-linked-size: {}\r\nlocation: http://localhost:{}/store/0123\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n",
                self.body.len(),
                addr.port()
            );
        } else if path == "/store/0123" {
            assert_eq!(header("authorization"), None, "the token is the hub's alone");
            let from =
                header("range").and_then(|r| r.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok());
            let from = from.filter(|_| self.ranges).unwrap_or(0usize);
            body = &self.body[from.min(self.body.len())..];
            let status = if from > 0 {
                format!(
                    "206 Partial Content\r\ncontent-range: bytes {from}-{}/{}",
                    self.body.len() - 1,
                    self.body.len()
                )
            } else {
                "200 OK".into()
            };
            answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        }
        let _ = stream.write_all(answer.as_bytes()).await;
        if head.starts_with("GET") && !body.is_empty() {
            self.bodies.fetch_add(1, Ordering::SeqCst);
            let sent = self.breaks_after.map_or(body, |n| &body[..n.min(body.len())]);
            let _ = stream.write_all(sent).await;
        }
        let _ = stream.shutdown().await;
    }
}

fn body(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn entry(sha256: Option<&'static str>) -> Entry {
    let file = File { name: "model.bin", from: "deep/model.bin", size: 1, sha256, made: Made::AsIs };
    Entry {
        name: "test-model",
        purpose: Purpose::Llm,
        about: "for a test",
        licence: "CC0-1.0",
        source: Source::Hub { repo: "some/repo", revision: "main" },
        files: Box::leak(Box::new([file])),
        starter: false,
    }
}

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("offhook-fetch-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

#[tokio::test]
async fn a_file_arrives_whole_and_is_pinned_by_the_hubs_digest() {
    let server = Server::new(body(300_000));
    let (hub, dir, entry) = (server.start().await, folder("whole"), entry(None));
    assert!(matches!(fetch::verify(&entry, &dir), Err(VerifyError::Missing { .. })));
    let installed = fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap();
    assert_eq!(std::fs::read(installed.path()).unwrap(), *server.body);
    assert_eq!(installed.files[0].trust, Trust::Hub);
    assert_eq!(installed.files[0].sha256, Digest::of(&server.body));
    assert!(!dir.join("test-model/model.bin.part").exists());
    fetch::verify(&entry, &dir).unwrap();

    // Again: nothing is asked for.
    let asked = server.asked.lock().unwrap().len();
    fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap();
    assert_eq!(server.asked.lock().unwrap().len(), asked);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let server = Server { breaks_after: Some(70_000), ..Server::new(body(300_000)) };
    let (hub, dir, entry) = (server.start().await, folder("broken"), entry(None));
    struct Seen(Vec<u64>, usize);
    impl Progress for Seen {
        fn at(&mut self, done: u64) {
            self.0.push(done);
        }
        fn note(&mut self, _: &str) {
            self.1 += 1;
        }
    }
    let mut seen = Seen(Vec::new(), 0);
    let installed = fetch::pull_from(&hub, &entry, &dir, &mut seen).await.unwrap();
    assert_eq!(std::fs::read(installed.path()).unwrap(), *server.body);
    assert_eq!(server.bodies.load(Ordering::SeqCst), 5, "70 + 70 + 70 + 70 + 20");
    assert!(seen.0.is_sorted() && seen.0.last() == Some(&300_000), "progress never goes back");
    assert_eq!(seen.1, 4, "each break is told");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn what_an_earlier_run_left_is_used() {
    let server = Server::new(body(100_000));
    let (hub, dir, entry) = (server.start().await, folder("left"), entry(None));
    std::fs::create_dir_all(dir.join("test-model")).unwrap();
    std::fs::write(dir.join("test-model/model.bin.part"), &server.body[..60_000]).unwrap();
    fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap();
    assert!(
        server.asked.lock().unwrap().iter().any(|head| head.to_lowercase().contains("range: bytes=60000-"))
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn what_an_earlier_run_left_wrong_is_thrown_away() {
    let server = Server::new(body(100_000));
    let (hub, dir, entry) = (server.start().await, folder("left-wrong"), entry(None));
    std::fs::create_dir_all(dir.join("test-model")).unwrap();
    std::fs::write(dir.join("test-model/model.bin.part"), vec![9; 60_000]).unwrap();
    let installed = fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap();
    assert_eq!(std::fs::read(installed.path()).unwrap(), *server.body);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_from_the_beginning() {
    let server = Server { ranges: false, ..Server::new(body(50_000)) };
    let (hub, dir, entry) = (server.start().await, folder("no-ranges"), entry(None));
    std::fs::create_dir_all(dir.join("test-model")).unwrap();
    std::fs::write(dir.join("test-model/model.bin.part"), vec![1; 10]).unwrap();
    let installed = fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap();
    assert_eq!(std::fs::read(installed.path()).unwrap(), *server.body);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_corrupt_file_is_refused_and_not_kept() {
    let wrong = Digest::of(b"something else");
    let server = Server { published: Some(wrong), ..Server::new(body(50_000)) };
    let (hub, dir) = (server.start().await, folder("corrupt"));
    let refused = fetch::pull_from(&hub, &entry(None), &dir, &mut Quiet).await.unwrap_err();
    assert!(matches!(refused, FetchError::Corrupt { .. }), "{refused}");
    assert!(!dir.join("test-model/model.bin").exists() && !dir.join("test-model/model.bin.part").exists());

    // The catalogue's word counts more than the hub's.
    let known: &'static str = Box::leak(Digest::of(b"what we know").to_string().into_boxed_str());
    let server = Server::new(body(50_000));
    let hub = server.start().await;
    let refused = fetch::pull_from(&hub, &entry(Some(known)), &dir, &mut Quiet).await.unwrap_err();
    assert!(matches!(refused, FetchError::Corrupt { .. }), "{refused}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn without_a_published_digest_the_first_use_is_pinned() {
    let server = Server { published: None, ..Server::new(body(5_000)) };
    let (hub, dir, entry) = (server.start().await, folder("first-use"), entry(None));
    let installed = fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap();
    assert_eq!(installed.files[0].trust, Trust::FirstUse);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn verify_sees_a_changed_byte_and_pull_repairs_it() {
    let server = Server::new(body(50_000));
    let (hub, dir, entry) = (server.start().await, folder("verify"), entry(None));
    let path = fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap().path().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4_321] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for seen in [fetch::verify(&entry, &dir), fetch::installed(&entry, &dir)] {
        let error = seen.unwrap_err();
        assert!(error.to_string().contains("offhook models pull test-model"), "{error}");
    }
    fetch::pull_from(&hub, &entry, &dir, &mut Quiet).await.unwrap();
    fetch::verify(&entry, &dir).unwrap();
    std::fs::write(&path, "short").unwrap();
    assert!(matches!(fetch::installed(&entry, &dir), Err(VerifyError::Corrupt { .. })));
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn what_is_not_there_and_who_is_not_there_are_told() {
    let server = Server::new(body(10));
    let hub = server.start().await;
    let gone = Entry { source: Source::Hub { repo: "other/repo", revision: "main" }, ..entry(None) };
    let refused = fetch::pull_from(&hub, &gone, &folder("gone"), &mut Quiet).await.unwrap_err();
    assert!(matches!(refused, FetchError::Status { status: 404, .. }), "{refused}");
    let nobody = Hub::new("http://127.0.0.1:9", None).with_pause(Duration::from_millis(1));
    let refused = fetch::pull_from(&nobody, &entry(None), &folder("nobody"), &mut Quiet).await.unwrap_err();
    assert!(matches!(refused, FetchError::Http { .. }), "{refused}");
}
