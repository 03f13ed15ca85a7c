//! A phone for text messages, on a bare socket.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::World;

/// What a test waits for, at most.
const FENCE: Duration = Duration::from_secs(30);

/// A phone that speaks nothing but MESSAGE, byte by byte.
pub(crate) struct Pager {
    socket: UdpSocket,
    sent: u32,
}

impl Pager {
    pub(crate) async fn new() -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), sent: 0 }
    }

    /// Sends, and gives the final answer.
    pub(crate) async fn page(
        &mut self,
        world: &World,
        user: &str,
        content_type: &str,
        body: &[u8],
    ) -> String {
        self.sent += 1;
        let (here, there) = (self.socket.local_addr().unwrap(), world.sip);
        let mut bytes = format!(
            "MESSAGE sip:{user}@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};rport;branch=z9hG4bK-{0}\r\nMax-Forwards: 70\r\n\
             From: <sip:+14155550123@{here}>;tag=p\r\nTo: <sip:{user}@{there}>\r\nCall-ID: {0}@{here}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Type: {content_type}\r\nContent-Length: {1}\r\n\r\n",
            self.sent,
            body.len(),
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.socket.send_to(&bytes, there).await.unwrap();
        self.receive().await
    }

    async fn receive(&self) -> String {
        let mut packet = vec![0; 65_535];
        let length = timeout(FENCE, self.socket.recv(&mut packet)).await.expect("a packet in time").unwrap();
        String::from_utf8_lossy(&packet[..length]).into_owned()
    }

    /// The next request for it, answered; not `seen` again, which is told apart by its Via.
    pub(crate) async fn answer(&self, world: &World, seen: &str, status: &str) -> String {
        loop {
            let request = self.receive().await;
            let header = |name: &str| {
                let line = request.lines().find(|line| line.starts_with(name));
                line.unwrap_or_else(|| panic!("no {name} in {request}")).to_owned()
            };
            let via = header("Via:");
            if via == seen {
                continue;
            }
            let answer = format!(
                "SIP/2.0 {status}\r\n{via}\r\n{}\r\n{};tag=q\r\n{}\r\n{}\r\nContent-Length: 0\r\n\r\n",
                header("From:"),
                header("To:"),
                header("Call-ID:"),
                header("CSeq:"),
            );
            self.socket.send_to(answer.as_bytes(), world.sip).await.unwrap();
            return via;
        }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:200@{}", self.socket.local_addr().unwrap())
    }

    /// Nobody has sent it anything.
    pub(crate) fn has_nothing(&self) -> bool {
        self.socket.try_recv(&mut [0; 16]).is_err()
    }
}
