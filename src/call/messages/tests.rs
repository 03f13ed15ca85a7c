//! The post between two real stacks on loopback, with a disk that can be broken.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use sip::{Body, NameAddr, Path, SendMessage, Timers, Transport, Uri};
use tokio::net::UdpSocket;
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::*;
use crate::domain::{AccountId, Content, Direction, Failure, Keyword, MessageStatus, Private};
use crate::store::{MessageFilter, Store};

const NUMBER: &str = "+15550100001";
/// What a test waits for, at most.
const FENCE: Duration = Duration::from_secs(30);

/// So fast that a transaction is over after 1.3 s: for those who wait for that.
fn quick() -> Timers {
    Timers { t1: Duration::from_millis(20), t2: Duration::from_millis(160), t4: Duration::from_millis(200) }
}

async fn stack(types: &[&str], timers: Timers) -> (Stack, mpsc::Receiver<sip::Event>) {
    let endpoint = sip::Config {
        timers,
        message_types: types.iter().map(|one| (*one).to_owned()).collect(),
        ..sip::Config::default()
    };
    let udp = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    sip::net::bind(sip::net::StackConfig { endpoint, udp, ..sip::net::StackConfig::default() }).await.unwrap()
}

fn destination(from: SocketAddr, n: usize, to: SocketAddr) -> Destination {
    let request = SendMessage {
        to: format!("sip:bob@{to}").parse().unwrap(),
        from: NameAddr::from(format!("sip:{NUMBER}@{from}").parse::<Uri>().unwrap()),
        credentials: None,
        path: Path { transport: Transport::Udp, local: from, remote: to },
        route: Vec::new(),
        headers: Vec::new(),
        call_id: None,
        body: Body { content_type: String::new(), bytes: Vec::new() },
    };
    Destination { trunk: format!("trunk {n}"), way: Way::Sip(Box::new(request)) }
}

struct World {
    stack: Stack,
    letters: mpsc::Sender<Letter>,
    events: broadcast::Receiver<Event>,
    store: Store,
    disk_is_broken: Arc<AtomicBool>,
    /// Where answers to words go.
    way_back: Arc<Mutex<Option<SocketAddr>>>,
    post: JoinHandle<()>,
}

impl World {
    async fn start() -> Self {
        Self::with("127.0.0.0/8", Timers::default()).await
    }

    async fn quick() -> Self {
        Self::with("127.0.0.0/8", quick()).await
    }

    async fn with(network: &str, timers: Timers) -> Self {
        let config = Config::parse(&format!(
            "[[trunk]]\nname='lan'\nallow=['{network}']\n[[agent]]\nname='a'\n\
             [[number]]\nnumber='{NUMBER}'\naliases=['100']\nagent='a'\ntrunk='lan'"
        ))
        .unwrap();
        let disk_is_broken = Arc::new(AtomicBool::new(false));
        let store = Store::on_a_bad_disk(disk_is_broken.clone());
        let (journal, _) = Journal::start(store.clone());
        let (stack, mut told) = stack(&["text/plain", "application/x-bytes"], timers).await;
        let ids = AtomicU8::new(1);
        let from = stack.local_addr();
        let way_back: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let back = way_back.clone();
        let post = Post {
            trunks: Trunks::new(&config),
            store: store.clone(),
            ways: Box::new(move |_, _| {
                let to = *back.lock().unwrap();
                Box::pin(async move { to.into_iter().map(|to| destination(from, 0, to)).collect() })
            }),
            directory: Directory::of(&config),
            config,
            stack: stack.clone(),
            journal: journal.clone(),
            new_id: Box::new(move || MessageId::from_random([ids.fetch_add(1, Ordering::Relaxed); 10])),
        };
        let patience = Patience {
            tries: 2,
            first_wait: Duration::from_millis(20),
            longest_wait: Duration::from_secs(5),
        };
        let (letters, post) = post.start_with(patience);
        let desk = letters.downgrade();
        tokio::spawn(async move {
            while let Some(event) = told.recv().await {
                let letter = match event {
                    sip::Event::Message { id, message } => {
                        Letter::Incoming { request: id, message, in_call: None }
                    }
                    sip::Event::MessageResult { id, status, reason, retry_after } => {
                        Letter::Outcome(id, Outcome { status, reason, retry_after })
                    }
                    _ => continue,
                };
                let Some(letters) = desk.upgrade() else { return };
                let _ = letters.send(letter).await;
            }
        });
        Self { stack, letters, events: journal.subscribe(), store, disk_is_broken, way_back, post }
    }

    fn uri(&self, user: &str) -> Uri {
        format!("sip:{user}@{}", self.stack.local_addr()).parse().unwrap()
    }

    async fn next(&mut self) -> Event {
        timeout(FENCE, self.events.recv()).await.expect("an event in time").unwrap()
    }

    async fn send(&self, to: SocketAddr, text: &str) -> Result<Message, SendError> {
        self.send_to_one_of(&[to], text).await
    }

    async fn send_to_one_of(&self, places: &[SocketAddr], text: &str) -> Result<Message, SendError> {
        self.send_to("sip:bob@example.net", places, text).await
    }

    async fn send_to(&self, contact: &str, places: &[SocketAddr], text: &str) -> Result<Message, SendError> {
        let from = self.stack.local_addr();
        let destinations = places.iter().enumerate().map(|(n, to)| destination(from, n, *to)).collect();
        let draft = Draft { record: self.draft(contact, text), destinations };
        let (answer, answered) = oneshot::channel();
        self.letters.send(Letter::Send(Box::new(draft), answer)).await.unwrap();
        timeout(FENCE, answered).await.expect("an answer in time").unwrap()
    }

    fn draft(&self, to: &str, text: &str) -> Message {
        static DRAFTS: AtomicU8 = AtomicU8::new(100);
        let id = MessageId::from_random([DRAFTS.fetch_add(1, Ordering::Relaxed); 10]);
        let (to, content) = (Private::new(to.to_owned()), Content::Text(Private::new(text.to_owned())));
        let number = NUMBER.parse().unwrap();
        let record = Message::new(id, Direction::Outbound, number, to.clone(), content, Utc::now());
        record.in_thread(&contact_of(to.reveal()))
    }

    fn stored(&self) -> Vec<Message> {
        let all = self.store.messages(&AccountId::house(), &MessageFilter::default(), None, 100);
        all.unwrap().items
    }
}

/// A carrier, or a phone.
struct Peer {
    stack: Stack,
    events: mpsc::Receiver<sip::Event>,
}

impl Peer {
    async fn new() -> Self {
        let (stack, events) = stack(&["text/plain"], Timers::default()).await;
        Self { stack, events }
    }

    fn address(&self) -> SocketAddr {
        self.stack.local_addr()
    }

    /// Sends, and waits for what comes of it.
    async fn send(&mut self, world: &World, user: &str, content_type: &str, bytes: &[u8]) -> Outcome {
        let message = SendMessage {
            to: world.uri(user),
            from: NameAddr::from(format!("sip:+14155550123@{}", self.address()).parse::<Uri>().unwrap()),
            credentials: None,
            path: Path { transport: Transport::Udp, local: self.address(), remote: world.stack.local_addr() },
            route: Vec::new(),
            headers: Vec::new(),
            call_id: None,
            body: Body { content_type: content_type.into(), bytes: bytes.to_vec() },
        };
        self.stack.message(message).await.unwrap();
        loop {
            match timeout(FENCE, self.events.recv()).await.expect("a result in time").unwrap() {
                sip::Event::MessageResult { status, reason, retry_after, .. } => {
                    return Outcome { status, reason, retry_after };
                }
                _ => continue,
            }
        }
    }

    /// The next message for it.
    async fn receive(&mut self) -> (RequestId, IncomingMessage) {
        loop {
            match timeout(FENCE, self.events.recv()).await.expect("a message in time").unwrap() {
                sip::Event::Message { id, message } => return (id, *message),
                _ => continue,
            }
        }
    }
}

#[tokio::test]
async fn a_message_is_kept_announced_and_then_accepted() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    let outcome = peer.send(&world, "100", "text/plain; charset=iso-8859-1", b"Gr\xfc\xdfe").await;
    assert_eq!(outcome.status, 202);
    let event = world.events.try_recv().expect("told before the sender was");
    assert_eq!((event.kind.name(), event.seq), ("message.received", 1));
    let kept = world.stored();
    assert_eq!(event.message(), kept.first());
    assert_eq!(kept[0].number.as_str(), NUMBER);
    assert_eq!(kept[0].content, Content::Text(Private::new("Grüße".into())));
    assert_eq!((kept[0].from.reveal().as_str(), kept[0].trunk.as_str()), ("+14155550123", "lan"));
    assert_eq!(world.store.events(&kept[0].id).unwrap(), [event]);
    let outcome = peer.send(&world, &NUMBER[1..], "application/x-bytes", b"\x00\xff").await;
    assert_eq!(outcome.status, 202);
    assert_eq!(world.next().await.message().unwrap().content, Content::Data(Private::new("AP8=".into())));
}

#[tokio::test]
async fn what_is_not_for_us_is_refused_and_leaves_nothing() {
    let (world, mut peer) = (World::start().await, Peer::new().await);
    assert_eq!(peer.send(&world, "+15550109999", "text/plain", b"x").await.status, 404);
    assert_eq!(peer.send(&world, "100", "text/html", b"x").await.status, 415);
    assert_eq!(peer.send(&world, "100", "message/imdn+xml", b"<imdn/>").await.status, 415);
    let outcome = peer.send(&world, "100", "text/plain;charset=utf-16", b"\0x").await;
    assert_eq!((outcome.status, outcome.reason.as_deref()), (415, Some("Unsupported Charset")));
    assert_eq!(peer.send(&world, "100", "text/plain;charset=utf-8", b"\xff").await.status, 400);
    let elsewhere = World::with("192.0.2.0/24", Timers::default()).await;
    assert_eq!(peer.send(&elsewhere, "100", "text/plain", b"x").await.status, 403);
    for mut world in [world, elsewhere] {
        assert!(world.events.try_recv().is_err() && world.stored().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_put_off_and_told_to_nobody() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    world.disk_is_broken.store(true, Ordering::SeqCst);
    let outcome = peer.send(&world, "100", "text/plain", b"x").await;
    assert_eq!((outcome.status, outcome.retry_after), (503, Some(RETRY_AFTER)));
    assert!(matches!(world.send(peer.address(), "y").await, Err(SendError::NotStored)));
    assert!(world.events.try_recv().is_err());
    assert!(peer.events.try_recv().is_err(), "what is not written down is not sent");
    // The disk comes back, and nothing has to be started again.
    world.disk_is_broken.store(false, Ordering::SeqCst);
    assert_eq!(peer.send(&world, "100", "text/plain", b"again").await.status, 202);
    assert_eq!(world.next().await.message().unwrap().content, Content::Text(Private::new("again".into())));
    assert_eq!(world.stored().len(), 1);
}

#[tokio::test]
async fn a_message_that_comes_again_is_accepted_again_and_kept_once() {
    let world = World::quick().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let mut statuses = Vec::new();
    // While its transaction lives, 1.3 s here, the stack itself knows it: 482. Afterwards it is ours to know.
    for n in 0.. {
        let text = format!(
            "MESSAGE {} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK-{n}\r\nFrom: <sip:h@{at}>;tag=h\r\nTo: <{}>\r\n\
             Call-ID: again\r\nCSeq: 7 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
            world.uri("100"),
            world.uri("100"),
        );
        socket.send_to(text.as_bytes(), world.stack.local_addr()).await.unwrap();
        let mut answer = [0; 2048];
        let length = timeout(FENCE, socket.recv(&mut answer)).await.expect("an answer in time").unwrap();
        let status = String::from_utf8_lossy(&answer[8..length.min(11)]).into_owned();
        statuses.push(status);
        match &statuses.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["202"] | [.., "482"] => {}
            ["202", .., "202"] => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.stored().len(), 1);
}

#[tokio::test]
async fn an_answer_settles_the_record() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    let answers = [(202, MessageStatus::Accepted), (200, MessageStatus::Sent), (404, MessageStatus::Failed)];
    for (status, expected) in answers {
        let queued = world.send(peer.address(), "Grüße").await.unwrap();
        assert_eq!((queued.status, queued.tries), (MessageStatus::Queued, 0));
        let (id, message) = peer.receive().await;
        assert_eq!(String::from_utf8_lossy(&message.body.bytes), "Grüße");
        assert_eq!(message.body.content_type, "text/plain;charset=utf-8");
        assert_eq!(message.call_id, queued.id.as_str());
        peer.stack.answer_message(id, status).await.unwrap();
        let event = world.next().await;
        let settled = event.message().unwrap();
        assert_eq!((settled.status, settled.sip_status, settled.tries), (expected, Some(status), 1));
        assert_eq!(event.kind.name(), if status == 404 { "message.failed" } else { "message.sent" });
        assert_eq!(world.store.message(&queued.id).unwrap().as_ref(), Some(settled));
        // Nothing is left on its way for a next start to find.
        assert_eq!(world.store.settle_interrupted(Utc::now()).unwrap(), 0);
    }
}

#[tokio::test]
async fn a_busy_server_gets_it_again() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    world.send(peer.address(), "x").await.unwrap();
    let (id, first) = peer.receive().await;
    peer.stack.answer_message(id, 503).await.unwrap();
    let (id, second) = peer.receive().await;
    peer.stack.answer_message(id, 202).await.unwrap();
    // The same request again would be merged with the first (RFC 3261 §8.2.2.2), which has its answer.
    assert_ne!(first.call_id, second.call_id);
    assert_eq!(first.body, second.body);
    let event = world.next().await;
    let settled = event.message().unwrap();
    assert_eq!((settled.status, settled.tries), (MessageStatus::Accepted, 2));
    assert!(peer.events.try_recv().is_err());
}

#[tokio::test]
async fn where_one_server_is_busy_the_next_is_asked() {
    let (mut world, mut first, mut second) = (World::start().await, Peer::new().await, Peer::new().await);
    world.send_to_one_of(&[first.address(), second.address()], "x").await.unwrap();
    let (id, _) = first.receive().await;
    first.stack.answer_message(id, 503).await.unwrap();
    let (id, _) = second.receive().await;
    second.stack.answer_message(id, 200).await.unwrap();
    let event = world.next().await;
    let settled = event.message().unwrap();
    assert_eq!((settled.status, settled.tries, settled.trunk.as_str()), (MessageStatus::Sent, 2, "trunk 1"));
    assert!(matches!(world.send_to_one_of(&[], "x").await, Err(SendError::Nowhere)));
}

#[tokio::test]
async fn where_nobody_answers_it_fails_after_the_last_try() {
    let mut world = World::quick().await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    world.send(silent.local_addr().unwrap(), "x").await.unwrap();
    let event = world.next().await;
    let settled = event.message().unwrap();
    assert_eq!((event.kind.name(), settled.sip_status, settled.tries), ("message.failed", Some(408), 2));
    // Whoever had it and could not make itself heard can tell that it was the same.
    let (mut vias, mut call_ids) = (BTreeSet::new(), BTreeSet::new());
    let mut datagram = [0; 2048];
    while let Ok(length) = silent.try_recv(&mut datagram) {
        let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
        let header = |name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        vias.insert(header("Via:").unwrap());
        call_ids.insert(header("Call-ID:").unwrap());
    }
    assert_eq!((vias.len(), call_ids.len()), (2, 1));
}

#[tokio::test]
async fn to_one_address_one_is_on_its_way_at_a_time() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    for text in ["one", "two", "three"] {
        world.send(peer.address(), text).await.unwrap();
    }
    for expected in ["one", "two", "three"] {
        let (id, message) = peer.receive().await;
        assert_eq!(String::from_utf8_lossy(&message.body.bytes), expected);
        assert!(peer.events.try_recv().is_err(), "the next waits for its turn");
        peer.stack.answer_message(id, 200).await.unwrap();
        assert_eq!(world.next().await.message().unwrap().status, MessageStatus::Sent);
    }
}

#[tokio::test]
async fn what_is_on_its_way_when_we_stop_is_failed() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    let queued = world.send(peer.address(), "x").await.unwrap();
    peer.receive().await;
    drop(world.letters);
    timeout(FENCE, world.post).await.expect("the post ends").unwrap();
    let event = timeout(FENCE, world.events.recv()).await.expect("it is told").unwrap();
    let settled = event.message().unwrap();
    assert_eq!((settled.status, settled.sip_status), (MessageStatus::Failed, None));
    assert_eq!(world.store.message(&queued.id).unwrap().unwrap().status, MessageStatus::Failed);
}

#[tokio::test]
async fn whoever_says_stop_gets_one_answer_and_nothing_more() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    *world.way_back.lock().unwrap() = Some(peer.address());
    assert_eq!(peer.send(&world, "100", "text/plain", b" Stop.\r\n").await.status, 202);
    let said = peer.receive().await;
    assert!(
        String::from_utf8_lossy(&said.1.body.bytes).starts_with("You will get no more messages from +1555")
    );
    peer.stack.answer_message(said.0, 200).await.unwrap();
    let told = world.next().await;
    let received = told.message().unwrap();
    assert_eq!((told.kind.name(), received.keyword), ("message.received", Some(Keyword::Stop)));
    let sent = world.next().await;
    assert!(sent.message().unwrap().automatic);
    assert_eq!(sent.message().unwrap().thread_id, received.thread_id);

    // Said again it is not answered again; and whoever writes to them is refused.
    assert_eq!(peer.send(&world, "100", "text/plain", b"UNSUBSCRIBE").await.status, 202);
    assert_eq!(world.next().await.kind.name(), "message.received");
    let refused = world.send_to("+14155550123", &[peer.address()], "Buy now!").await;
    assert!(matches!(refused, Err(SendError::RecipientStopped)), "{refused:?}");
    let other = world.send_to("+14155550199", &[peer.address()], "Hello").await.unwrap();
    let (id, message) = peer.receive().await;
    assert_eq!((message.call_id.as_str(), &message.body.bytes[..]), (other.id.as_str(), &b"Hello"[..]));
    peer.stack.answer_message(id, 200).await.unwrap();
    world.next().await;

    assert_eq!(peer.send(&world, "100", "text/plain", b"START").await.status, 202);
    let (id, said) = peer.receive().await;
    assert!(String::from_utf8_lossy(&said.body.bytes).starts_with("You will get messages"));
    peer.stack.answer_message(id, 200).await.unwrap();
    world.send_to("+14155550123", &[peer.address()], "Welcome back").await.unwrap();
    assert_eq!(peer.receive().await.1.body.bytes, b"Welcome back");
}

#[tokio::test]
async fn what_waits_for_a_contact_is_given_up_when_they_say_stop() {
    let (mut world, mut peer, mut busy) = (World::start().await, Peer::new().await, Peer::new().await);
    let contact = "+14155550123";
    let first = world.send_to(contact, &[busy.address()], "one").await.unwrap();
    let second = world.send_to(contact, &[busy.address()], "two").await.unwrap();
    let (id, _) = busy.receive().await;
    assert_eq!(peer.send(&world, "100", "text/plain", b"stop").await.status, 202);
    let mut failed = Vec::new();
    while failed.len() < 2 {
        let event = world.next().await;
        let message = event.message().unwrap();
        if event.kind.name() == "message.failed" {
            failed.push(message.id.clone());
        }
        if message.id == second.id {
            assert_eq!((message.failure, message.tries), (Some(Failure::RecipientStopped), 0));
            // The one that was on its way is not tried again, whatever its server says.
            busy.stack.answer_message(id, 503).await.unwrap();
        }
    }
    assert_eq!(failed, [second.id, first.id]);
    assert!(busy.events.try_recv().is_err());
    assert!(world.store.thread(&received_thread()).unwrap().unwrap().stopped_at.is_some());
}

fn received_thread() -> ThreadId {
    ThreadId::of(&AccountId::house(), &NUMBER.parse().unwrap(), "+14155550123")
}

#[tokio::test]
async fn help_is_answered_and_a_word_that_cannot_be_answered_is_honoured() {
    let (mut world, mut peer) = (World::start().await, Peer::new().await);
    *world.way_back.lock().unwrap() = Some(peer.address());
    assert_eq!(peer.send(&world, "100", "text/plain", b"HELP").await.status, 202);
    let (id, said) = peer.receive().await;
    assert!(String::from_utf8_lossy(&said.body.bytes).contains("Reply STOP"));
    peer.stack.answer_message(id, 200).await.unwrap();
    assert_eq!(world.next().await.message().unwrap().keyword, Some(Keyword::Help));
    assert!(world.next().await.message().unwrap().automatic);
    // Where nobody can be answered, the word is honoured all the same.
    *world.way_back.lock().unwrap() = None;
    assert_eq!(peer.send(&world, "100", "text/plain", b"quit").await.status, 202);
    assert!(matches!(
        world.send_to("+14155550123", &[peer.address()], "x").await,
        Err(SendError::RecipientStopped)
    ));
}
