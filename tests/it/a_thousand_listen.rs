//! A thousand clients follow the account at once.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Caller, NUMBER, Setting, World};

const CLIENTS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);
/// What a client may cost, both ends of it together.
const MEMORY: usize = 256 << 10;

struct Client {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    _write: OwnedWriteHalf,
}

impl Client {
    async fn connect(http: std::net::SocketAddr, key: &str) -> Self {
        let (read, mut write) = TcpStream::connect(http).await.unwrap().into_split();
        let request =
            format!("GET /v1/events HTTP/1.1\r\nHost: {http}\r\nAuthorization: Bearer {key}\r\n\r\n");
        write.write_all(request.as_bytes()).await.unwrap();
        let mut client = Self { lines: BufReader::with_capacity(1 << 10, read).lines(), _write: write };
        assert!(client.until("HTTP/1.1 ").await.ends_with("200 OK"));
        client.until(": listening").await;
        client
    }

    async fn until(&mut self, start: &str) -> String {
        loop {
            let line = self.lines.next_line().await.unwrap().expect("the stream goes on");
            if line.starts_with(start) {
                return line;
            }
        }
    }
}

/// Of this process, bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_them_hears_the_end_of_the_call() {
    let world = World::start(Setting::default()).await;
    let key = std::fs::read_to_string(world.data.path().join("admin.key")).unwrap().trim().to_owned();
    let before = resident();
    let mut clients = JoinSet::new();
    let (listening, mut are_listening) = tokio::sync::mpsc::channel(CLIENTS);
    for _ in 0..CLIENTS {
        let (http, key, listening) = (world.http, key.clone(), listening.clone());
        clients.spawn(async move {
            let mut client = Client::connect(http, &key).await;
            listening.send(()).await.unwrap();
            client.until("event: call.ended").await
        });
    }
    let all = async {
        for _ in 0..CLIENTS {
            are_listening.recv().await.unwrap();
        }
    };
    timeout(PATIENCE, all).await.expect("all are let in");
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, "listen\nhangup").await;
    assert!(outcome.answered);
    let told = async {
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    };
    timeout(PATIENCE, told).await.expect("each is told");
    let cost = resident().saturating_sub(before) / CLIENTS;
    assert!(cost < MEMORY, "a client costs {cost} bytes");
    world.stop().await;
}
