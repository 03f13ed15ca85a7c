//! Outbound calls through the API: queued, followed, steered, and what is left of them.

use std::time::Duration;

use offhook::domain::{EndReason, Event, Principal, Private, Status};
use offhook::gateway::PlaceCall;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Api, NUMBER, Peer, Setting, World};

const PATIENCE: Duration = Duration::from_secs(30);

fn order(to: &Peer) -> PlaceCall {
    let (from, to) = (Private::new(NUMBER.into()), Private::new(to.uri().to_string()));
    PlaceCall { from, to, ..PlaceCall::default() }
}

async fn of(world: &mut World, call: &offhook::domain::Call, name: &str) -> Event {
    let id = call.id.clone();
    world.event(name, move |event| event.call() == Some(&id) && event.kind.name() == name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_its_turn_and_one_that_is_taken_back_is_never_dialled() {
    let more = "[guards]\nmax_calls = 1\n".into();
    let mut world = World::start(Setting { more, ..Setting::default() }).await;
    let who = Principal::operator();
    let mut phones = [Peer::new("first").await, Peer::new("second").await, Peer::new("third").await];
    let mut calls = Vec::new();
    for phone in &phones {
        let call = world.gateway.place(&who, order(phone)).await.unwrap();
        assert_eq!(call.status, Status::Queued);
        calls.push(call);
    }
    phones[0].answer().await;
    of(&mut world, &calls[0], "call.started").await;
    assert_eq!(world.call(&calls[1].id).await.status, Status::Queued);
    world.gateway.hang_up(&who, calls[1].id.clone()).await.unwrap();
    of(&mut world, &calls[1], "call.ended").await;
    let second = world.call(&calls[1].id).await;
    assert_eq!(
        (second.status, second.end_reason, second.dialed_at),
        (Status::Canceled, Some(EndReason::ApiCanceled), None)
    );
    let impatient = PlaceCall { queue: false, ..order(&phones[1]) };
    assert_eq!(world.gateway.place(&who, impatient).await.unwrap_err().code, "box_calls_limit");
    phones[0].hang_up().await;
    phones[2].answer().await;
    of(&mut world, &calls[2], "call.started").await;
    phones[2].hang_up().await;
    of(&mut world, &calls[2], "call.ended").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_waits_at_the_stop_is_closed() {
    let more = "[guards]\nmax_calls = 1\n".into();
    let mut world = World::start(Setting { more, ..Setting::default() }).await;
    let who = Principal::operator();
    let (mut up, waits) = (Peer::new("up").await, Peer::new("waits").await);
    let first = world.gateway.place(&who, order(&up)).await.unwrap();
    let second = world.gateway.place(&who, order(&waits)).await.unwrap();
    up.answer().await;
    of(&mut world, &first, "call.started").await;
    world.drain().await;
    assert_eq!(world.gateway.place(&who, order(&waits)).await.unwrap_err().code, "stopping");
    let second = world.call(&second.id).await;
    assert_eq!((second.status, second.end_reason), (Status::Failed, Some(EndReason::ShuttingDown)));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_says_what_it_is_told_and_presses_keys() {
    let mut world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    let mut phone = Peer::new("phone").await;
    let body = json!({
        "from": NUMBER, "to": phone.uri().to_string(), "metadata": { "order": 17 },
        "settings": { "first_message": "This is about your order." },
    });
    let mut dry = body.clone();
    dry["dry_run"] = json!(true);
    let (status, run) = api.post("/v1/calls", &dry).await;
    assert_eq!((status, &run["dry_run"], &run["agent"]), (200, &json!(true), &json!("desk")), "{run}");
    let (status, call) = api.post("/v1/calls", &body).await;
    assert_eq!((status, &call["status"], &call["metadata"]["order"]), (201, &json!("queued"), &json!(17)));
    let path = format!("/v1/calls/{}", call["id"].as_str().unwrap());
    let (status, early) = api.post(&format!("{path}/digits"), &json!({ "digits": "5" })).await;
    assert_eq!((status, &early["code"]), (409, &json!("call_not_up")), "{early}");
    phone.answer().await;
    world.named("call.turn").await;
    let (status, _) = api.post(&format!("{path}/say"), &json!({ "text": "We close soon." })).await;
    assert_eq!(status, 202);
    world.event("the second turn", |event| said(event) == Some("We close soon.")).await;
    for wrong in [json!({ "digits": "x" }), json!({ "digits": "" }), json!({ "digits": "1".repeat(33) })] {
        let (status, problem) = api.post(&format!("{path}/digits"), &wrong).await;
        assert_eq!((status, &problem["field"]), (422, &json!("digits")), "{problem}");
    }
    let (status, _) = api.post(&format!("{path}/digits"), &json!({ "digits": "7#" })).await;
    assert_eq!(status, 202);
    phone.hears_key('7').await;
    phone.hears_key('#').await;
    phone.hang_up().await;
    let (record, _) = world.until_ended().await;
    assert!(record.usage.characters >= "We close soon.".len() as u64, "{:?}", record.usage);
    assert_eq!(record.transcript[0].text.reveal(), "This is about your order.");
    let (status, late) = api.post(&format!("{path}/say"), &json!({ "text": "Hello?" })).await;
    assert_eq!((status, &late["code"]), (409, &json!("call_over")));

    words_and_sound(&world, &api, &path).await;
    the_list(&api, &call).await;
    world.stop().await;
}

fn said(event: &Event) -> Option<&str> {
    match &event.kind {
        offhook::domain::EventKind::Turn(turn) => Some(turn.said.reveal()),
        _ => None,
    }
}

async fn words_and_sound(world: &World, api: &Api, path: &str) {
    let (status, transcript) = api.get(&format!("{path}/transcript")).await;
    assert_eq!((status, &transcript["complete"]), (200, &json!(true)));
    assert_eq!(transcript["fragments"][1]["text"], "We close soon.");
    let (_, headers, text) =
        api.full(Method::GET, &format!("{path}/transcript"), &[("Accept", "text/plain")], None).await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(text.as_str().unwrap().contains("Agent: We close soon."), "{text}");

    let url = format!("http://{}{path}/recording", world.http);
    let key = std::fs::read_to_string(world.data.path().join("admin.key")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |url: String| http.get(url).bearer_auth(key.trim());
    let whole = get(url.clone()).send().await.unwrap();
    assert_eq!((whole.status().as_u16(), kind(&whole)), (200, "audio/wav"));
    let whole = whole.bytes().await.unwrap();
    assert!(whole.starts_with(b"RIFF") && whole.len() > 44);
    let part = get(url.clone()).header("Range", "bytes=8-11").send().await.unwrap();
    assert_eq!(part.status().as_u16(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 8-11/{}", whole.len()));
    assert_eq!(&part.bytes().await.unwrap()[..], b"WAVE");
    let beyond = get(url.clone()).header("Range", "bytes=99999999-").send().await.unwrap();
    assert_eq!(beyond.status().as_u16(), 416);
    let mp3 = get(format!("{url}?format=mp3")).send().await.unwrap();
    assert_eq!((mp3.status().as_u16(), kind(&mp3)), (200, "audio/mpeg"));
    let mp3 = mp3.bytes().await.unwrap();
    assert!(mp3.len() > 100 && mp3.len() < whole.len(), "{} of {}", mp3.len(), whole.len());
    let opus = get(format!("{url}?format=opus")).send().await.unwrap();
    assert_eq!((opus.status().as_u16(), kind(&opus)), (200, "audio/ogg"));
    let opus = opus.bytes().await.unwrap();
    assert!(opus.starts_with(b"OggS") && opus.len() < whole.len(), "{} of {}", opus.len(), whole.len());
    // As long as the WAV to the sample, by a player that is not ours.
    let folder = tempfile::tempdir().unwrap();
    let (coded, decoded) = (folder.path().join("call.opus"), folder.path().join("call.wav"));
    std::fs::write(&coded, &opus).unwrap();
    let player = Command::new("opusdec").arg("--quiet").args([&coded, &decoded]).output().await;
    let player = player.expect("opusdec runs; scripts/setup-test.sh installs it");
    assert!(player.status.success(), "{player:?}");
    let (was, is) = (media::wav::parse(&whole).unwrap(), media::wav::read(&decoded).unwrap());
    assert_eq!((is.rate, is.channels, is.samples.len()), (was.rate, was.channels, was.samples.len()));
    assert_eq!(get(format!("{url}?part=9")).send().await.unwrap().status().as_u16(), 404);

    let (status, link) = api.post(&format!("{path}/recording/url"), &json!({ "expires_in_s": 60 })).await;
    assert_eq!(status, 201, "{link}");
    let linked = link["url"].as_str().unwrap();
    let heard = http.get(linked).send().await.unwrap();
    assert_eq!(heard.status().as_u16(), 200, "it needs no key");
    assert_eq!(heard.bytes().await.unwrap(), whole);
    let (_, link) = api.post(&format!("{path}/recording/url"), &json!({ "format": "opus" })).await;
    let heard = http.get(link["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(kind(&heard), "audio/ogg");
    assert_eq!(heard.bytes().await.unwrap(), opus, "the same each time");
    let forged = linked.replace(".0.wav.", ".1.wav.");
    assert_eq!(http.get(forged).send().await.unwrap().status().as_u16(), 404);
}

async fn the_list(api: &Api, call: &Value) {
    let (status, page) = api.get("/v1/calls?status=completed&direction=outbound&limit=1").await;
    assert_eq!((status, &page["items"][0]["id"], &page["next_cursor"]), (200, &call["id"], &Value::Null));
    assert!(page["items"][0].get("transcript").is_none(), "lists are light");
    let (_, none) = api.get("/v1/calls?status=busy").await;
    assert_eq!(none["items"], json!([]));
    let (status, problem) = api.get("/v1/calls?status=happy").await;
    assert_eq!(status, 422, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_followed_from_its_first_event_to_its_last() {
    let mut world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    let mut phone = Peer::new("phone").await;
    let call = world.gateway.place(&Principal::operator(), order(&phone)).await.unwrap();
    phone.answer().await;
    world.named("call.turn").await;
    let path = format!("/v1/calls/{}", call.id);
    let follow = {
        let path = format!("{path}/events");
        let api = Api::admin(&world);
        tokio::spawn(async move { api.get(&path).await })
    };
    let mut socket = Socket::open(&world, &format!("{path}/ws")).await;
    let first = socket.text().await.unwrap();
    assert_eq!(first["type"], "call.queued");
    phone.hang_up().await;
    let mut names = vec![first["type"].clone()];
    while let Some(told) = socket.text().await {
        assert_eq!(told["seq"], json!(names.len() + 1), "in order, each once");
        names.push(told["type"].clone());
    }
    assert_eq!(names[..4], ["call.queued", "call.dialing", "call.ringing", "call.started"].map(Value::from));
    assert_eq!(names.last().unwrap(), "call.recording.ready");
    // The same by server-sent events, which end by themselves.
    let (status, stream) = timeout(PATIENCE, follow).await.expect("the stream ends").unwrap();
    let stream = stream.as_str().unwrap().to_owned();
    assert_eq!(status, 200);
    let seen: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(seen, names.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>());
    let last = format!("evt_{}_{}", call.id, names.len() - 1);
    let (_, _, rest) =
        api.full(Method::GET, &format!("{path}/events"), &[("Last-Event-ID", &last)], None).await;
    let rest: Vec<_> = rest.as_str().unwrap().lines().filter(|line| line.starts_with("event: ")).collect();
    assert_eq!(rest, ["event: call.recording.ready"]);
    let (status, problem) = api.get(&format!("{path}/ws")).await;
    assert_eq!((status, &problem["code"]), (426, &json!("upgrade_required")), "{problem}");
    let (status, problem) = api.get(&format!("{path}/events?after=evt_other_1")).await;
    assert_eq!((status, &problem["field"]), (422, &json!("after")), "{problem}");
    world.stop().await;
}

/// A WebSocket, as bare as it can be (RFC 6455).
struct Socket(TcpStream);

impl Socket {
    async fn open(world: &World, path: &str) -> Self {
        let key = std::fs::read_to_string(world.data.path().join("admin.key")).unwrap();
        let mut stream = TcpStream::connect(world.http).await.unwrap();
        let request = format!(
            "GET {path}?access_token={} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            key.trim(),
            world.http
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer").unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self(stream)
    }

    /// The next text; `None`: closed.
    async fn text(&mut self) -> Option<Value> {
        loop {
            let first = timeout(PATIENCE, self.0.read_u8()).await.expect("a frame in time").ok()?;
            let length = match self.0.read_u8().await.unwrap() {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                127 => usize::try_from(self.0.read_u64().await.unwrap()).unwrap(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            match first & 0x0f {
                1 => return Some(serde_json::from_slice(&payload).unwrap()),
                8 => return None,
                _ => {}
            }
        }
    }
}

fn kind(response: &reqwest::Response) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}
