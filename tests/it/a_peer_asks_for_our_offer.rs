//! A re-INVITE without an offer (RFC 3261 §14.1): ours is in the 200, and the caller's answer in the ACK moves the sound to another port, in clear
//! and encrypted. Our own stack asks for no offers, so the caller's SIP is written by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use media::net::{Engine, EngineConfig, Line};
use media::sdp::{self, Capabilities, Direction, Encryption, LocalMedia, Negotiated};
use media::srtp::{KeySeed, Suite};
use media::{Mark, PlayChunk, SessionConfig};
use offhook::domain::{CallId, EndReason, Principal, Private, TransferMode};
use offhook::gateway::TransferCall;
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::ports::free_ports;
use crate::support::{Api, NUMBER, Peer, Setting, World, share_of};

const AGENT: f32 = 300.0;
const CALLER: f32 = 700.0;
const CAROL: f32 = 1_100.0;
/// What a test waits for, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A line of the caller's, with what was agreed for it.
struct Ear {
    line: Line,
    sounds: Receiver<media::Event>,
    local: LocalMedia,
}

impl Ear {
    async fn hears(&mut self, hz: f32) {
        let found = async {
            while let Some(sound) = self.sounds.recv().await {
                if matches!(&sound, media::Event::Frame { pcm, .. } if share_of(hz, pcm) > 0.5) {
                    return;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {hz} Hz"));
    }

    async fn sings(&self, hz: f32) {
        let sample = |n: u32| (6_000.0 * (std::f32::consts::TAU * hz * n as f32 / 8_000.0).sin()) as i16;
        let pcm: Vec<i16> = (0..80_000).map(sample).collect();
        self.line.play(PlayChunk { mark: Mark(1), rate: 8_000, pcm: pcm.into(), last: false }).await.unwrap();
    }
}

struct Asker {
    socket: UdpSocket,
    to: SocketAddr,
    to_tag: String,
    engine: Engine,
    capabilities: Capabilities,
}

impl Asker {
    async fn new(world: &World, capabilities: Capabilities) -> Asker {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let first = free_ports(Ipv4Addr::LOCALHOST.into(), 8);
        let config =
            EngineConfig { bind: Ipv4Addr::LOCALHOST.into(), ports: first..=first + 7, ..Default::default() };
        let engine = Engine::start(config).unwrap();
        Asker { socket, to: world.sip, to_tag: String::new(), engine, capabilities }
    }

    fn ear(&self) -> Ear {
        let (line, sounds) =
            self.engine.open(SessionConfig { ssrc_seed: 9, ..Default::default() }, None).unwrap();
        let ip = Ipv4Addr::LOCALHOST.into();
        let local = LocalMedia { ip, port: line.local_port(), session_id: 1, version: 1 };
        Ear { line, sounds, local }
    }

    async fn say(&self, method: &str, cseq: u32, body: &[u8]) {
        let (to, me, tag) = (self.to, self.socket.local_addr().unwrap(), &self.to_tag);
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let head = format!(
            "{method} sip:{NUMBER}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-{method}-{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:asker@{me}>;tag=asker\r\nTo: <sip:{NUMBER}@{to}>{tag}\r\nCall-ID: asker@{me}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:asker@{me}>\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.socket.send_to(&[head.as_bytes(), body].concat(), to).await.unwrap();
    }

    /// The next message with this beginning whose CSeq is that.
    async fn hear(&self, begins: &str, cseq: &str) -> String {
        let mut buffer = vec![0; 65_536];
        let found = async {
            loop {
                let length = self.socket.recv(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.starts_with(begins) && text.contains(&format!(" {cseq}\r\n")) {
                    return text;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {begins} ({cseq})"))
    }

    /// The description of a 200 to an INVITE.
    async fn described(&mut self, cseq: u32) -> Vec<u8> {
        let ok = self.hear("SIP/2.0 200 ", &format!("{cseq} INVITE")).await;
        let (head, body) = ok.split_once("\r\n\r\n").unwrap();
        let to = head.lines().find(|line| line.starts_with("To:")).unwrap();
        self.to_tag = format!(";tag={}", to.split_once(";tag=").unwrap().1);
        body.as_bytes().to_vec()
    }

    /// Calls the number, and hears the greeting.
    async fn call(&mut self) -> (Ear, Negotiated) {
        let mut ear = self.ear();
        self.say("INVITE", 1, &sdp::offer(&self.capabilities, &ear.local, Direction::SendRecv)).await;
        let answer = self.described(1).await;
        let agreed = sdp::accept(&answer, &self.capabilities).unwrap();
        ear.line.configure(agreed.clone()).await.unwrap();
        self.say("ACK", 1, b"").await;
        ear.hears(AGENT).await;
        (ear, agreed)
    }

    /// Asks for an offer.
    async fn ask(&mut self) -> Vec<u8> {
        self.say("INVITE", 2, b"").await;
        self.described(2).await
    }
}

fn sealed(required: bool) -> Capabilities {
    let encryption = Encryption::on(required, Suite::ALL.to_vec(), KeySeed::new([5; 32]));
    Capabilities { encryption, ..Capabilities::default() }
}

async fn hand_on(world: &World, id: CallId, to: &Peer) {
    let order = TransferCall { to: Private::new(to.uri().to_string()), mode: Some(TransferMode::Bridge) };
    world.gateway.transfer(&Principal::operator(), id, order).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sound_goes_where_the_ack_says() {
    for (trunk, capabilities) in [
        ("srtp = 'off'", Capabilities::default()),
        ("srtp = 'required'", sealed(true)),
        ("srtp = 'optional'", sealed(false)),
        ("srtp = 'optional'", sealed(true)),
    ] {
        // Whoever is called beside is on the same trunk, and takes what comes.
        let mut carol = Peer::new("carol").await.that(sealed(false));
        let mut world = World::start(Setting { trunk, ..Setting::default() }).await;
        let mut asker = Asker::new(&world, capabilities.clone()).await;
        let (_, agreed) = asker.call().await;
        let id = world.call_id("call.started").await;

        let offer = asker.ask().await;
        let text = String::from_utf8(offer.clone()).unwrap();
        assert_eq!(text.matches("a=crypto:").count() > 0, agreed.srtp.is_some(), "{text}");
        let mut other = asker.ear();
        let (answer, anew) = sdp::answer(&offer, &capabilities.keeping(&agreed), &other.local).unwrap();
        assert_eq!(anew.srtp, agreed.srtp, "the keys stay");
        other.line.configure(anew).await.unwrap();
        asker.say("ACK", 2, &answer).await;

        hand_on(&world, id.clone(), &carol).await;
        carol.answer().await;
        world.named("call.transferred").await;
        carol.sing(CAROL).await;
        other.hears(CAROL).await;
        other.sings(CALLER).await;
        carol.hears(CALLER).await;
        asker.say("BYE", 3, b"").await;
        let (call, _) = world.until_ended().await;
        assert_eq!(call.line.unwrap().encryption.is_some(), agreed.srtp.is_some());
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_answers_nothing_goes_on_as_before() {
    let mut world = World::start(Setting { trunk: "srtp = 'required'", ..Setting::default() }).await;
    let mut asker = Asker::new(&world, sealed(true)).await;
    let (mut ear, _) = asker.call().await;
    let id = world.call_id("call.started").await;
    asker.ask().await;
    asker.say("ACK", 2, b"").await;
    let path = format!("/v1/calls/{}/say", id.as_str());
    // What the greeting left is passed over: what is said now is louder than all that comes before it is told.
    world.named("call.turn").await;
    while ear.sounds.try_recv().is_ok() {}
    assert_eq!(Api::admin(&world).post(&path, &json!({ "text": "Still here." })).await.0, 202);
    ear.hears(AGENT).await;
    asker.say("BYE", 3, b"").await;
    assert_eq!(world.until_ended().await.0.end_reason, Some(EndReason::CallerHungUp));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_ends_the_call() {
    let mut world = World::start(Setting { trunk: "srtp = 'required'", ..Setting::default() }).await;
    let mut asker = Asker::new(&world, sealed(true)).await;
    asker.call().await;
    let offer = String::from_utf8(asker.ask().await).unwrap();
    // In clear, on a line that must be encrypted.
    asker.say("ACK", 2, offer.replace("RTP/SAVP", "RTP/AVP").replace("a=crypto", "a=x").as_bytes()).await;
    asker.hear("BYE ", "BYE").await;
    assert_eq!(world.until_ended().await.0.end_reason, Some(EndReason::NoCommonCodec));
    world.stop().await;
}
