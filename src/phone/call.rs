//! One call of a [`Phone`], out or in: sockets and time for the runner and the ear.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use media::sdp::{self, Capabilities, Direction, LocalMedia, Negotiated};
use media::srtp::{KeySeed, Suite};
use media::{Mark, PlayChunk, SessionConfig};
use sip::{Body, Cause, CauseKind, EndedBy, IncomingCall, Invite, LegId, Reject, Uri};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::clip::Clip;
use super::ear::{self, Ear};
use super::outcome::{Journal, Outcome};
use super::runner::{Act, Input, Runner};
use super::script::Script;
use super::{Event, Phone, PhoneError, Stop, Teller};
use crate::config::Srtp;
use crate::domain::millis;

/// A digit and the pause behind it, and what the network may add.
const KEY: Duration = Duration::from_millis(240);
const KEY_SLACK: Duration = Duration::from_millis(100);
/// The sound in one packet of ours.
const PACKET: Duration = Duration::from_millis(media::TICK_MS as u64);
/// After our hang-up: until the other side must have confirmed.
const FAREWELL: Duration = Duration::from_secs(2);

impl Phone {
    /// Places a call and goes through the script. `clips` are the script's lines, made ready by
    /// [`clip::prepare`](super::clip::prepare).
    pub async fn call(
        &mut self,
        to: &Uri,
        script: &Script,
        clips: Vec<Clip>,
        stop: &Stop,
    ) -> Result<Outcome, PhoneError> {
        let path = self.resolve(to).await?;
        let (line, sounds) = self.open()?;
        let local = local_media(path.local, &line)?;
        let capabilities = self.capabilities()?;
        let invite = Invite {
            to: to.clone(),
            from: self.identity(path.local)?,
            credentials: self.settings.account.as_ref().map(|a| a.credentials.clone()),
            path,
            route: Vec::new(),
            headers: Vec::new(),
            body: Some(Body::sdp(sdp::offer(&capabilities, &local, Direction::SendRecv))),
            redirects: 0,
        };
        let leg = self.stack.invite(invite).await?;
        self.teller.tell(Event::Calling { to: to.to_string() }).await;
        let call = Call::new(self, leg, line, local, capabilities, script, clips);
        call.run(&mut self.signals, sounds, stop).await
    }

    /// Waits for a call, answers it, and goes through the script.
    pub async fn answer(
        &mut self,
        patience: Duration,
        script: &Script,
        clips: Vec<Clip>,
        stop: &Stop,
    ) -> Result<Outcome, PhoneError> {
        let (leg, request) = tokio::select! {
            found = timeout(patience, self.next_call()) => found.map_err(|_| PhoneError::NobodyCalled(patience))??,
            () = stop.cancelled() => return Err(PhoneError::Stopped),
        };
        let event =
            Event::Incoming { from: request.from.uri.to_string(), to: request.request_uri.to_string() };
        self.teller.tell(event).await;
        self.stack.ring(leg, 180, None).await?;
        if !self.settings.ring_for.is_zero() {
            tokio::time::sleep(self.settings.ring_for).await;
        }
        let (line, sounds) = self.open()?;
        let local = local_media(request.path.local, &line)?;
        let mut call = Call::new(self, leg, line, local, self.capabilities()?, script, clips);
        let body = match &request.body {
            None => sdp::offer(&call.capabilities, &local, Direction::SendRecv),
            Some(offer) => match sdp::answer(&offer.bytes, &call.capabilities, &local) {
                Ok((answer, agreed)) => {
                    call.agree(agreed).await?;
                    answer
                }
                Err(error) => {
                    self.stack.reject(leg, Reject::new(error.status())).await?;
                    let cause = Cause {
                        by: EndedBy::Local,
                        kind: CauseKind::Rejected,
                        status: Some(error.status()),
                        reason: Some(error.to_string()),
                    };
                    return call.finish(cause).await;
                }
            },
        };
        self.stack.answer(leg, Body::sdp(body)).await?;
        call.run(&mut self.signals, sounds, stop).await
    }

    async fn next_call(&mut self) -> Result<(LegId, Box<IncomingCall>), PhoneError> {
        loop {
            match self.signals.recv().await {
                None => return Err(PhoneError::Closed("SIP stack")),
                Some(sip::Event::Incoming { leg, request }) => return Ok((leg, request)),
                Some(_) => {}
            }
        }
    }

    /// What one call may agree on, with keys of its own.
    fn capabilities(&self) -> Result<Capabilities, PhoneError> {
        let encryption = match self.settings.srtp {
            Srtp::Off => sdp::Encryption::Off,
            wanted @ (Srtp::Optional | Srtp::Required) => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|_| PhoneError::Chance)?;
                sdp::Encryption::on(wanted == Srtp::Required, Suite::ALL.to_vec(), KeySeed::new(seed))
            }
        };
        Ok(Capabilities { codecs: self.settings.codecs.clone(), encryption, ..Capabilities::default() })
    }

    fn open(&self) -> Result<(media::net::Line, mpsc::Receiver<media::Event>), PhoneError> {
        let echo = self.settings.echo;
        let config = SessionConfig { ssrc_seed: chance()?, returns: echo, ..SessionConfig::default() };
        let recording = self.settings.record.clone().map(|path| media::wav::Recording { path });
        Ok(self.engine.open(config, recording)?)
    }
}

struct Call {
    leg: LegId,
    stack: sip::net::Stack,
    line: media::net::Line,
    local: LocalMedia,
    capabilities: Capabilities,
    agreed: Option<Negotiated>,
    /// The far end has asked for our offer; its answer is read with these.
    offered: Option<Capabilities>,
    runner: Runner,
    ear: Ear,
    journal: Journal,
    clips: Vec<Clip>,
    /// Lines on their way, by their marks: which of them are interruptions.
    interrupting: BTreeMap<u64, bool>,
    /// When the keys will have been pressed.
    pressed: Option<(Instant, String)>,
    answered: bool,
    latest: Instant,
    hanging_up: bool,
    teller: Teller,
}

impl Call {
    fn new(
        phone: &Phone,
        leg: LegId,
        line: media::net::Line,
        local: LocalMedia,
        capabilities: Capabilities,
        script: &Script,
        clips: Vec<Clip>,
    ) -> Call {
        Call {
            leg,
            stack: phone.stack.clone(),
            line,
            local,
            capabilities,
            agreed: None,
            offered: None,
            runner: Runner::new(script.steps.clone()),
            ear: Ear::new(phone.settings.ear),
            journal: Journal::new(),
            clips,
            interrupting: BTreeMap::new(),
            pressed: None,
            answered: false,
            latest: Instant::now() + phone.settings.longest,
            hanging_up: false,
            teller: phone.teller.clone(),
        }
    }

    async fn run(
        mut self,
        signals: &mut mpsc::Receiver<sip::Event>,
        mut sounds: mpsc::Receiver<media::Event>,
        stop: &Stop,
    ) -> Result<Outcome, PhoneError> {
        let cause = loop {
            while let Some(act) = self.runner.poll_act() {
                self.act(act).await?;
            }
            let due = self.due();
            tokio::select! {
                signal = signals.recv() => match signal {
                    None => return Err(PhoneError::Closed("SIP stack")),
                    Some(signal) => if let Some(cause) = self.signal(signal).await? {
                        break cause;
                    },
                },
                Some(sound) = sounds.recv() => self.sound(sound).await,
                () = sleep_until(due.into()) => self.time().await?,
                () = stop.cancelled(), if !self.hanging_up => self.hang_up().await?,
            }
        };
        self.finish(cause).await
    }

    /// The earliest of everything that waits for the clock.
    fn due(&self) -> Instant {
        let pressed = self.pressed.as_ref().map(|(at, _)| *at);
        self.runner.poll_timeout().into_iter().chain(pressed).fold(self.latest, Instant::min)
    }

    async fn time(&mut self) -> Result<(), PhoneError> {
        let now = Instant::now();
        if now >= self.latest {
            // Once more after the hang-up, in case that nobody confirms it.
            self.latest = now + FAREWELL;
            return self.hang_up().await;
        }
        if let Some((_, digits)) = self.pressed.take_if(|(at, _)| *at <= now) {
            self.teller.tell(Event::Pressed { digits }).await;
            self.runner.handle(now, Input::Pressed);
        }
        self.runner.handle(now, Input::Timeout);
        Ok(())
    }

    async fn act(&mut self, act: Act) -> Result<(), PhoneError> {
        match act {
            Act::Speak { line, interrupting } => {
                let Some(clip) = self.clips.get(line) else { return Ok(()) };
                let (rate, pcm) = (clip.rate, clip.pcm.clone());
                self.interrupting.insert(line as u64, interrupting);
                self.line.play(PlayChunk { mark: Mark(line as u64), rate, pcm, last: true }).await?;
            }
            Act::Press(digits) => {
                let length = KEY * u32::try_from(digits.len()).unwrap_or(1) + KEY_SLACK;
                // Keys that cannot be sent on this line are passed over like an unanswered question.
                let _ = self.line.send_digits(&digits).await;
                self.pressed = Some((Instant::now() + length, digits));
            }
            Act::GaveUp { step } => self.teller.tell(Event::GaveUp { step }).await,
            Act::Missed { step } => self.teller.tell(Event::NothingToInterrupt { step }).await,
            Act::Hangup => self.hang_up().await?,
        }
        Ok(())
    }

    async fn hang_up(&mut self) -> Result<(), PhoneError> {
        self.hanging_up = true;
        Ok(self.stack.hangup(self.leg, None).await?)
    }

    async fn signal(&mut self, signal: sip::Event) -> Result<Option<Cause>, PhoneError> {
        match signal {
            sip::Event::Progress { leg, status, body } if leg == self.leg => {
                self.accept(body).await?;
                self.teller.tell(Event::Ringing { status }).await;
            }
            sip::Event::Answered { leg, body, .. } if leg == self.leg => {
                self.accept(body).await?;
                self.connected().await;
            }
            sip::Event::Established { leg, body } if leg == self.leg => {
                self.accept(body).await?;
                self.connected().await;
            }
            sip::Event::Reoffer { leg, body } if leg == self.leg => self.reoffer(body).await?,
            sip::Event::Reanswer { leg, body, .. } if leg == self.leg => self.accept(body).await?,
            sip::Event::Dtmf { leg, digit, .. } if leg == self.leg => {
                self.teller.tell(Event::Digit { digit }).await;
            }
            sip::Event::Ended { leg, cause } if leg == self.leg => return Ok(Some(cause)),
            // One call at a time.
            sip::Event::Incoming { leg, .. } => self.stack.reject(leg, 486).await?,
            _ => {}
        }
        Ok(None)
    }

    async fn connected(&mut self) {
        if !self.answered {
            self.answered = true;
            let codec = self.agreed.as_ref().map_or("none", |agreed| agreed.codec.name()).to_owned();
            self.teller.tell(Event::Answered { codec }).await;
            self.runner.handle(Instant::now(), Input::Connected);
        }
    }

    /// The answer to our offer. One that cannot be understood leaves the line silent, and the script's patience ends it.
    async fn accept(&mut self, body: Option<Body>) -> Result<(), PhoneError> {
        let capabilities = self.offered.take().unwrap_or_else(|| self.in_session());
        if let Some(agreed) = body.and_then(|body| sdp::accept(&body.bytes, &capabilities).ok()) {
            self.agree(agreed).await?;
        }
        Ok(())
    }

    async fn reoffer(&mut self, body: Option<Body>) -> Result<(), PhoneError> {
        self.local = self.local.bumped();
        let Some(body) = body else {
            let (offer, capabilities) = match &self.agreed {
                Some(agreed) => {
                    sdp::offer_again(&self.capabilities, &self.local, Direction::SendRecv, agreed)
                }
                None => {
                    let offer = sdp::offer(&self.capabilities, &self.local, Direction::SendRecv);
                    (offer, self.capabilities.clone())
                }
            };
            self.offered = Some(capabilities);
            return Ok(self.stack.accept_offer(self.leg, Body::sdp(offer)).await?);
        };
        match sdp::answer(&body.bytes, &self.in_session(), &self.local) {
            Ok((answer, agreed)) => {
                self.agree(agreed).await?;
                Ok(self.stack.accept_offer(self.leg, Body::sdp(answer)).await?)
            }
            Err(error) => Ok(self.stack.refuse_offer(self.leg, error.status()).await?),
        }
    }

    /// What we can do, when so much is agreed already.
    fn in_session(&self) -> Capabilities {
        let agreed = self.agreed.as_ref();
        agreed.map_or_else(|| self.capabilities.clone(), |agreed| self.capabilities.keeping(agreed))
    }

    async fn agree(&mut self, agreed: Negotiated) -> Result<(), PhoneError> {
        self.line.configure(agreed.clone()).await?;
        self.agreed = Some(agreed);
        Ok(())
    }

    async fn sound(&mut self, sound: media::Event) {
        match sound {
            media::Event::Frame { at, pcm, .. } => {
                self.ear.handle_frame(at, &pcm);
                self.listen().await;
            }
            media::Event::Digit { digit, .. } => self.teller.tell(Event::Digit { digit }).await,
            media::Event::Started { mark, at } => {
                let interrupting = self.interrupting.get(&mark.0).copied().unwrap_or(false);
                if let Some(clip) = self.clips.get(index(mark)) {
                    // A phone sends a packet when its sound has been spoken: the first sample is a packet old.
                    let at = at.checked_sub(PACKET).unwrap_or(at) + clip.lead;
                    self.ear.mouth_opened(at);
                    self.journal.said(at, &clip.text, interrupting);
                    let event = Event::Playing { line: index(mark), text: clip.text.clone(), interrupting };
                    self.teller.tell_at(at, event).await;
                }
            }
            media::Event::Played { mark, at, .. } => {
                let trail = self.clips.get(index(mark)).map_or(Duration::ZERO, |clip| clip.trail);
                let at = at.checked_sub(trail).unwrap_or(at);
                self.ear.mouth_closed(at);
                self.journal.closed(at);
                self.teller.tell_at(at, Event::Played { line: index(mark) }).await;
                self.runner.handle(Instant::now(), Input::Spoken { at });
            }
            _ => {}
        }
    }

    /// What the ear has concluded.
    async fn listen(&mut self) {
        let now = Instant::now();
        while let Some(event) = self.ear.poll_event() {
            match event {
                ear::Event::SpeechStart { at, voice_to_voice } => {
                    self.journal.answered(at, voice_to_voice);
                    let event = Event::AgentSpeechStart { voice_to_voice_ms: voice_to_voice.map(millis) };
                    self.teller.tell_at(at, event).await;
                    self.runner.handle(now, Input::SpeechStart { at });
                }
                ear::Event::SpeechEnd { at, duration, pcm } => {
                    self.journal.heard(at.checked_sub(duration).unwrap_or(at), duration, &pcm);
                    let event = Event::AgentSpeechEnd { duration_ms: millis(duration) };
                    self.teller.tell_at(at, event).await;
                    self.runner.handle(now, Input::SpeechEnd { at });
                }
                ear::Event::Stopped { stop } => {
                    self.journal.stopped(stop);
                    self.teller.tell_at(now, Event::Stopped { stop_ms: millis(stop) }).await;
                }
            }
        }
    }

    async fn finish(mut self, cause: Cause) -> Result<Outcome, PhoneError> {
        self.runner.handle(Instant::now(), Input::Ended);
        self.ear.finish();
        self.listen().await;
        let media = self.line.close().await;
        self.teller.tell(Event::ended(&cause)).await;
        Ok(Outcome { cause, answered: self.answered, exchanges: self.journal.finish(), media })
    }
}

fn index(mark: Mark) -> usize {
    usize::try_from(mark.0).unwrap_or(usize::MAX)
}

fn local_media(local: std::net::SocketAddr, line: &media::net::Line) -> Result<LocalMedia, PhoneError> {
    Ok(LocalMedia { ip: local.ip(), port: line.local_port(), session_id: chance()?, version: 1 })
}

fn chance() -> Result<u64, PhoneError> {
    getrandom::u64().map_err(|_| PhoneError::Chance)
}
