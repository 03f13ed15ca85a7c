//! A phone made of the bare stack: it does what it is told, also REFER and Replaces, and hears which tone is on the line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use media::net::{Engine, EngineConfig, Line};
use media::sdp::{self, Capabilities, Direction, LocalMedia};
use media::{Mark, PlayChunk, SessionConfig};
use offhook::call::local_ip_towards;
use sip::{Body, Credentials, Event, Invite, LegId, NameAddr, Password, Register, RegistrationState, Uri};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::ports::free_ports;

/// What a test waits for, at most.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Peer {
    pub(crate) stack: sip::net::Stack,
    events: Receiver<Event>,
    /// Kept: the line lives on its threads.
    _engine: Engine,
    line: Line,
    sounds: Receiver<media::Event>,
    local: LocalMedia,
    capabilities: Capabilities,
    pub(crate) leg: Option<LegId>,
    name: &'static str,
    credentials: Option<Credentials>,
    seen: Vec<Event>,
}

impl Peer {
    pub(crate) async fn new(name: &'static str) -> Self {
        Self::at(name, Ipv4Addr::LOCALHOST.into()).await
    }

    pub(crate) async fn at(name: &'static str, ip: IpAddr) -> Self {
        let endpoint = sip::Config {
            contact_user: name.into(),
            take_refers: true,
            take_replaces: true,
            message_types: vec!["text/plain".into()],
            ..sip::Config::default()
        };
        let udp = vec![SocketAddr::new(ip, 0)];
        let config = sip::net::StackConfig { endpoint, udp, ..Default::default() };
        let (stack, events) = sip::net::bind(config).await.unwrap();
        let first = free_ports(ip, 4);
        let engine =
            Engine::start(EngineConfig { bind: ip, ports: first..=first + 3, ..Default::default() }).unwrap();
        let seed = u64::from(first);
        let (line, sounds) =
            engine.open(SessionConfig { ssrc_seed: seed, ..SessionConfig::default() }, None).unwrap();
        let ip = local_ip_towards(stack.local_addr()).unwrap();
        let local = LocalMedia { ip, port: line.local_port(), session_id: seed, version: 1 };
        Self {
            stack,
            events,
            _engine: engine,
            line,
            sounds,
            local,
            capabilities: Capabilities::default(),
            leg: None,
            name,
            credentials: None,
            seen: Vec::new(),
        }
    }

    /// Who can do this.
    pub(crate) fn that(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    pub(crate) fn uri(&self) -> Uri {
        format!("sip:{}@{}", self.name, self.stack.local_addr()).parse().unwrap()
    }

    /// A phone of the gateway's own: registered as its name, with its name as password.
    pub(crate) async fn registered(name: &'static str, sip: SocketAddr) -> Self {
        let mut peer = Self::new(name).await;
        let credentials = Credentials { username: name.into(), password: Password::new(name) };
        let registrar: Uri = format!("sip:{sip}").parse().unwrap();
        let register = Register {
            aor: format!("sip:{name}@{sip}").parse().unwrap(),
            contact_user: name.into(),
            credentials: credentials.clone(),
            expires: Duration::from_secs(300),
            path: peer.stack.resolve(&registrar).await.unwrap(),
            route: Vec::new(),
            registrar,
        };
        peer.credentials = Some(credentials);
        peer.stack.register(register).await.unwrap();
        peer.event("registration", |event| {
            let state = match event {
                Event::Registration { state, .. } => state,
                _ => return None,
            };
            matches!(state, RegistrationState::Registered { .. }).then_some(())
        })
        .await;
        peer
    }

    /// Who we say we are: of the far end's domain, where we have an account there.
    fn identity(&self, to: &Uri) -> Uri {
        match (&self.credentials, to.host()) {
            (Some(_), Some(host)) => Uri::sip(Some(self.name), host.clone(), to.port()),
            _ => self.uri(),
        }
    }

    fn leg(&self) -> LegId {
        self.leg.expect("a call")
    }

    /// Calls, and waits for nothing.
    pub(crate) async fn invite(&mut self, to: &Uri, headers: Vec<(String, String)>) {
        let path = self.stack.resolve(to).await.unwrap();
        let offer = sdp::offer(&self.capabilities, &self.local, Direction::SendRecv);
        let invite = Invite {
            to: to.clone(),
            from: NameAddr::new(None, self.identity(to)),
            credentials: self.credentials.clone(),
            path,
            route: Vec::new(),
            headers,
            body: Some(Body::sdp(offer)),
            redirects: 0,
        };
        self.leg = Some(self.stack.invite(invite).await.unwrap());
    }

    /// Calls `user` of the gateway.
    pub(crate) async fn dial(&mut self, sip: SocketAddr, user: &str) {
        let to = format!("sip:{user}@{sip}").parse().unwrap();
        self.invite(&to, Vec::new()).await;
    }

    /// … and waits for the answer.
    pub(crate) async fn call(&mut self, sip: SocketAddr, user: &str) {
        self.dial(sip, user).await;
        self.answered().await;
    }

    pub(crate) async fn answered(&mut self) {
        let ours = self.leg();
        let body = self
            .event("an answer", |event| match event {
                Event::Answered { leg, body, .. } if *leg == ours => Some(body.clone()),
                _ => None,
            })
            .await;
        let agreed = sdp::accept(&body.unwrap().bytes, &self.capabilities).unwrap();
        self.line.configure(agreed).await.unwrap();
    }

    /// Waits for a call, and lets it ring. Gives the offer.
    pub(crate) async fn rings(&mut self) -> Option<Body> {
        let (leg, offer) = self
            .event("a call", |event| match event {
                Event::Incoming { leg, request } => Some((*leg, request.body.clone())),
                _ => None,
            })
            .await;
        self.leg = Some(leg);
        self.stack.ring(leg, 180, None).await.unwrap();
        offer
    }

    pub(crate) async fn answer(&mut self) {
        let offer = self.rings().await.expect("an offer");
        self.take(&offer).await;
    }

    /// Answers every call and takes every message, as a carrier's server does. Never ends by itself.
    pub(crate) async fn serve(mut self) {
        while let Some(event) = self.events.recv().await {
            match event {
                Event::Incoming { leg, request } => {
                    self.leg = Some(leg);
                    self.stack.ring(leg, 180, None).await.unwrap();
                    self.take(request.body.as_ref().expect("an offer")).await;
                }
                Event::Message { id, .. } => self.stack.answer_message(id, 200).await.unwrap(),
                _ => {}
            }
        }
    }

    /// Says what will be heard before the answer; nothing is, yet. Gives what the line then takes.
    pub(crate) async fn describes(&mut self, offer: &Body) -> sdp::Negotiated {
        let (answer, agreed) = sdp::answer(&offer.bytes, &self.capabilities, &self.local).unwrap();
        self.stack.ring(self.leg(), 183, Some(Body::sdp(answer))).await.unwrap();
        agreed
    }

    /// Lets sound flow as agreed.
    pub(crate) async fn opens(&self, agreed: sdp::Negotiated) {
        self.line.configure(agreed).await.unwrap();
    }

    /// Answers what rings.
    pub(crate) async fn take(&mut self, offer: &Body) {
        let (answer, agreed) = sdp::answer(&offer.bytes, &self.capabilities, &self.local).unwrap();
        self.line.configure(agreed).await.unwrap();
        self.stack.answer(self.leg(), Body::sdp(answer)).await.unwrap();
    }

    /// Refuses a call. Gives the offer.
    pub(crate) async fn reject(&mut self, status: u16) -> Option<Body> {
        let offer = self.rings().await;
        self.stack.reject(self.leg(), status).await.unwrap();
        offer
    }

    pub(crate) async fn hang_up(&mut self) {
        self.stack.hangup(self.leg(), None).await.unwrap();
    }

    /// Puts the other side on hold, or takes it back.
    pub(crate) async fn hold(&mut self, direction: Direction) {
        self.local = self.local.bumped();
        let offer = sdp::offer(&self.capabilities, &self.local, direction);
        self.stack.reoffer(self.leg(), Body::sdp(offer)).await.unwrap();
        self.event("an answer to the new offer", |event| {
            matches!(event, Event::Reanswer { status: 200, .. }).then_some(())
        })
        .await;
    }

    /// The first thing that fits, of those not asked for so far or still to come.
    pub(crate) async fn event<T>(&mut self, what: &str, fits: impl Fn(&Event) -> Option<T>) -> T {
        if let Some((n, found)) =
            self.seen.iter().enumerate().find_map(|(n, e)| fits(e).map(|found| (n, found)))
        {
            self.seen.remove(n);
            return found;
        }
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await;
            let event =
                event.unwrap_or_else(|_| panic!("{}: no {what}; seen: {:#?}", self.name, self.seen)).unwrap();
            if let Some(found) = fits(&event) {
                return found;
            }
            self.seen.push(event);
        }
    }

    /// The call is over, from the other side.
    pub(crate) async fn ended(&mut self) -> sip::Cause {
        let leg = self.leg();
        self.event("end", |event| match event {
            Event::Ended { leg: ended, cause } if *ended == leg => Some(cause.clone()),
            _ => None,
        })
        .await
    }

    /// The final word about a REFER of ours.
    pub(crate) async fn referred(&mut self) -> u16 {
        self.event("outcome of the REFER", |event| match event {
            Event::ReferProgress { status, over: true, .. } => Some(*status),
            _ => None,
        })
        .await
    }

    /// Sounds a tone for a minute.
    pub(crate) async fn sing(&self, hz: f32) {
        let pcm: Vec<i16> = (0..8_000 * 8)
            .map(|n| (6_000.0 * (std::f32::consts::TAU * hz * n as f32 / 8_000.0).sin()) as i16)
            .collect();
        self.line.play(PlayChunk { mark: Mark(1), rate: 8_000, pcm: pcm.into(), last: false }).await.unwrap();
    }

    /// Sounds a tone for as long as a test may take.
    pub(crate) async fn sings_on(&self, hz: f32) {
        for _ in 0..5 {
            self.sing(hz).await;
        }
    }

    /// Falls silent.
    pub(crate) async fn hush(&self) {
        self.line.hush().await.unwrap();
    }

    pub(crate) async fn press(&self, keys: &str) {
        self.line.send_digits(keys).await.unwrap();
    }

    /// Waits until that tone is on the line, and louder than all else together.
    pub(crate) async fn hears(&mut self, hz: f32) {
        self.listen(&format!("{hz} Hz"), |pcm| share_of(hz, pcm) > 0.5).await;
    }

    /// Waits until nothing is on the line, for a quarter of a second.
    pub(crate) async fn hears_nothing(&mut self) {
        let mut quiet = 0;
        self.listen("silence", |pcm| {
            quiet = if pcm.iter().all(|sample| sample.abs() < 40) { quiet + 1 } else { 0 };
            quiet > 12
        })
        .await;
    }

    pub(crate) async fn hears_key(&mut self, key: char) {
        let found = async {
            while let Some(sound) = self.sounds.recv().await {
                if matches!(sound, media::Event::Digit { digit, .. } if digit == key) {
                    return;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{}: no key {key}", self.name));
    }

    async fn listen(&mut self, what: &str, mut fits: impl FnMut(&[i16]) -> bool) {
        let found = async {
            while let Some(sound) = self.sounds.recv().await {
                if matches!(&sound, media::Event::Frame { pcm, .. } if fits(pcm)) {
                    return;
                }
            }
            panic!("{}: the line ended", self.name);
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{}: no {what}", self.name));
    }
}

/// How much of a frame's energy lies at a frequency (Goertzel), for frames that are no silence.
pub(crate) fn share_of(hz: f32, pcm: &[i16]) -> f32 {
    let step = std::f32::consts::TAU * hz / media::EAR_RATE as f32;
    let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let sample = f32::from(*sample);
        sine += sample * (step * n as f32).sin();
        cosine += sample * (step * n as f32).cos();
        energy += sample * sample;
    }
    if energy < 100_000.0 * pcm.len() as f32 {
        return 0.0;
    }
    2.0 * (sine * sine + cosine * cosine) / (energy * pcm.len() as f32)
}
