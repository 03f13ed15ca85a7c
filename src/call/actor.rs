//! One task per call. It owns the conversation, the ears and the record, carries what the line, the trunk and the
//! models tell into the conversation, and carries its decisions out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::net::Line;
use media::sdp::{self, LocalMedia, Negotiated};
use models::{Generator, Prompt, Transcriber};
use sip::{Body, LegId};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use super::ears::Ears;
use super::ledger::Ledger;
use super::prompt::prompt;
use super::turn::{Mouth, TurnTask};
use super::{Action, Conversation, Input, Manners};
use crate::config::Agent;
use crate::domain::{Direction, EndReason, EventKind, LineReport, Status};

/// What an agent thinks and speaks with.
#[derive(Clone)]
pub struct Persona {
    pub agent: Agent,
    pub transcriber: Arc<dyn Transcriber>,
    pub generator: Arc<dyn Generator>,
    pub mouth: Mouth,
}

/// What the switchboard, and through it the world, tells a call.
#[derive(Debug)]
pub(super) enum Command {
    /// The far end rings.
    Ringing,
    /// Of the places that were called, this one has taken the call. Then comes its answer.
    Taken { leg: LegId, trunk: String, local: LocalMedia },
    /// Our INVITE was answered.
    Answered { body: Option<Body> },
    /// Our 200 was acknowledged.
    Established { body: Option<Body> },
    /// The far end wants other media.
    Reoffer { body: Option<Body> },
    /// A key, by INFO.
    Digit(char, Duration),
    /// The leg is gone; `status` is what the far end said.
    Ended { reason: EndReason, status: Option<u16> },
    /// End it now.
    HangUp(EndReason),
    /// Say goodbye, then end it.
    Leave(EndReason),
}

/// A line with its two ends, as the actor gets it.
pub(super) struct Media {
    pub(super) line: Line,
    pub(super) events: mpsc::Receiver<media::Event>,
    pub(super) local: LocalMedia,
    pub(super) capabilities: sdp::Capabilities,
    /// `None` while the answer is still to come.
    pub(super) agreed: Option<Negotiated>,
    pub(super) recording: Option<std::path::PathBuf>,
    /// No packet for so long ends the call; zero: never.
    pub(super) timeout: Duration,
}

pub(super) struct Actor {
    pub(super) leg: LegId,
    pub(super) stack: sip::net::Stack,
    pub(super) ledger: Ledger,
    pub(super) persona: Persona,
    pub(super) manners: Manners,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) media: Media,
    /// Chosen at random per call: what a local model files its memory of the conversation under.
    pub(super) session: u64,
}

/// After the last word the far end's jitter buffer still holds some of it.
const LAST_WORD_TRAVELS: Duration = Duration::from_millis(200);
/// What the end of a call may wait for the words that the caller left with.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Reports of stages that may wait for the actor.
const REPORTS: usize = 64;

impl Actor {
    /// Runs the call to its end. The record is complete when this returns.
    pub(super) async fn run(self) {
        let (reports, inbox) = mpsc::channel(REPORTS);
        let ears =
            Ears::new(self.persona.transcriber.clone(), self.persona.agent.language.clone(), reports.clone());
        Running {
            conversation: Conversation::new(self.manners.clone()),
            line: Arc::new(self.media.line),
            media_events: self.media.events,
            local: self.media.local,
            capabilities: self.media.capabilities,
            agreed: self.media.agreed,
            recording: self.media.recording,
            media_timeout: self.media.timeout,
            leg: self.leg,
            stack: self.stack,
            ledger: self.ledger,
            persona: self.persona,
            commands: self.commands,
            session: self.session,
            ears,
            reports,
            inbox,
            turn: None,
            warming: None,
            answered_at: None,
            voicing: false,
            end: None,
            hang_up_at: None,
        }
        .run()
        .await;
    }
}

struct Running {
    conversation: Conversation,
    line: Arc<Line>,
    media_events: mpsc::Receiver<media::Event>,
    local: LocalMedia,
    capabilities: sdp::Capabilities,
    agreed: Option<Negotiated>,
    recording: Option<std::path::PathBuf>,
    media_timeout: Duration,
    leg: LegId,
    stack: sip::net::Stack,
    ledger: Ledger,
    persona: Persona,
    commands: mpsc::Receiver<Command>,
    session: u64,
    ears: Ears,
    reports: mpsc::Sender<Input>,
    inbox: mpsc::Receiver<Input>,
    turn: Option<(u32, JoinHandle<()>)>,
    /// Reads the prompt ahead.
    warming: Option<JoinHandle<()>>,
    answered_at: Option<Instant>,
    voicing: bool,
    end: Option<(EndReason, Option<u16>)>,
    /// The BYE waits for the last word to arrive.
    hang_up_at: Option<(Instant, EndReason)>,
}

impl Running {
    async fn run(mut self) {
        let begun = match self.ledger.call.direction {
            Direction::Inbound => EventKind::ringing(&self.ledger.call),
            Direction::Outbound => EventKind::queued(&self.ledger.call),
        };
        self.ledger.record([begun]).await;
        if let Some(agreed) = self.agreed.clone() {
            self.configure(agreed).await;
        }
        while self.end.is_none() {
            let deadline = [self.conversation.poll_timeout(), self.hang_up_at.map(|(at, _)| at)]
                .into_iter()
                .flatten()
                .min();
            tokio::select! {
                biased;
                Some(event) = self.media_events.recv() => self.media_event(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    // The switchboard is gone, and with it the trunk.
                    None => self.end = Some((EndReason::Interrupted, None)),
                },
                Some(input) = self.inbox.recv() => self.conversation.handle(Instant::now(), input),
                () = sleep_until(deadline.unwrap_or_else(far_future).into()), if deadline.is_some() => {
                    let now = Instant::now();
                    match self.hang_up_at {
                        Some((at, reason)) if now >= at => self.hang_up(reason).await,
                        _ => self.conversation.handle_timeout(now),
                    }
                }
            }
            self.act().await;
        }
        self.finish().await;
    }

    fn media_event(&mut self, event: media::Event) {
        let now = Instant::now();
        match event {
            media::Event::Frame { pcm, .. } => self.ears.frame(&pcm),
            media::Event::VoiceStart { at } => {
                self.voicing = true;
                self.ears.open();
                self.conversation.handle(now, Input::VoiceStart { onset: at });
            }
            media::Event::VoiceEnd { at } => {
                self.voicing = false;
                self.conversation.handle(now, Input::VoiceEnd { since: at });
            }
            media::Event::Digit { digit, duration_ms } => self.digit(now, digit, duration_ms),
            media::Event::Started { mark, at } => {
                self.catch_up_with_reports();
                self.conversation.handle(at, Input::Started { mark: mark.0 });
            }
            media::Event::Played { mark, at, .. } => {
                self.catch_up_with_reports();
                self.conversation.handle(at, Input::Played { mark: mark.0 });
            }
            media::Event::Silence { for_ms } => {
                let silent = Duration::from_millis(for_ms.into());
                if !self.media_timeout.is_zero() && silent >= self.media_timeout {
                    info!(call = %self.ledger.call.id, for_ms, "no sound from the far end; the call ends");
                    self.hang_up_at = Some((now, EndReason::MediaLost));
                }
            }
            media::Event::Latched { remote } => debug!(call = %self.ledger.call.id, %remote, "sound flows"),
            media::Event::RecordingFailed { reason } => {
                warn!(call = %self.ledger.call.id, reason, "the recording stopped; the call goes on");
            }
            _ => {}
        }
    }

    /// A phrase is reported before it can sound; so the conversation must have the report before the sound.
    fn catch_up_with_reports(&mut self) {
        while let Ok(input) = self.inbox.try_recv() {
            self.conversation.handle(Instant::now(), input);
        }
    }

    fn digit(&mut self, now: Instant, digit: char, duration_ms: u32) {
        self.ledger.digit(digit, duration_ms);
        self.conversation.handle(now, Input::Digit(digit));
    }

    async fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Ringing if self.ledger.call.status == Status::Dialing => {
                self.ledger.call.status = Status::Ringing;
                let event = EventKind::ringing(&self.ledger.call);
                self.ledger.record([event]).await;
            }
            Command::Ringing => {}
            Command::Taken { leg, trunk, local } => {
                (self.leg, self.local) = (leg, local);
                self.ledger.call.trunk = trunk;
            }
            Command::Answered { body } | Command::Established { body } => self.answered(now, body).await,
            Command::Reoffer { body } => self.reoffer(body).await,
            Command::Digit(digit, duration) => {
                self.digit(now, digit, u32::try_from(duration.as_millis()).unwrap_or(u32::MAX));
            }
            Command::Ended { reason, status } => {
                self.conversation.handle(now, Input::Gone);
                self.end = Some((reason, status));
            }
            Command::HangUp(reason) => self.hang_up(reason).await,
            Command::Leave(reason) => match self.answered_at {
                Some(_) => self.conversation.handle(now, Input::Leave(reason)),
                None => self.hang_up(reason).await,
            },
        }
    }

    async fn answered(&mut self, now: Instant, body: Option<Body>) {
        if self.answered_at.is_some() {
            return;
        }
        if self.agreed.is_none() {
            let answer = body.as_ref().map(|body| sdp::accept(&body.bytes, &self.capabilities));
            match answer {
                Some(Ok(agreed)) => self.configure(agreed).await,
                Some(Err(error)) => {
                    warn!(call = %self.ledger.call.id, %error, "the far end's media cannot be used");
                    return self.hang_up(EndReason::NoCommonCodec).await;
                }
                None => {
                    warn!(call = %self.ledger.call.id, "the far end answered without saying where its media goes");
                    return self.hang_up(EndReason::NoCommonCodec).await;
                }
            }
        }
        self.answered_at = Some(now);
        self.ledger.answered(now);
        let event = EventKind::started(&self.ledger.call);
        self.ledger.record([event]).await;
        self.conversation.handle(now, Input::Answered);
        self.warm_up();
    }

    fn prompt(&self) -> Prompt {
        prompt(&self.persona.agent, self.conversation.history(), self.session)
    }

    /// Lets a local model read the agent's prompt while the greeting sounds.
    fn warm_up(&mut self) {
        let (generator, prompt) = (self.persona.generator.clone(), self.prompt());
        self.warming = Some(tokio::spawn(async move {
            if let Err(error) = generator.prefill(prompt).await {
                debug!(%error, "the prompt could not be read ahead");
            }
        }));
    }

    async fn configure(&mut self, agreed: Negotiated) {
        self.ledger.call.line =
            Some(LineReport { codec: agreed.codec.name().to_owned(), ..LineReport::default() });
        if self.line.configure(agreed.clone()).await.is_err() {
            self.end = Some((EndReason::Internal, None));
        }
        self.agreed = Some(agreed);
    }

    /// RFC 3264 §8: the far end changes the session. Media follows only what we agreed to.
    async fn reoffer(&mut self, body: Option<Body>) {
        let local = self.local.bumped();
        let outcome = match &body {
            Some(body) => sdp::answer(&body.bytes, &self.capabilities, &local),
            // It wants our offer; its answer comes in the ACK and changes nothing that we do not offer.
            None => {
                let offer = sdp::offer(&self.capabilities, &local, sdp::Direction::SendRecv);
                self.local = local;
                let _ = self.stack.accept_offer(self.leg, Body::sdp(offer)).await;
                return;
            }
        };
        match outcome {
            Ok((answer, agreed)) => {
                self.local = local;
                self.configure(agreed).await;
                let _ = self.stack.accept_offer(self.leg, Body::sdp(answer)).await;
            }
            Err(error) => {
                debug!(call = %self.ledger.call.id, %error, "a new offer is refused; the session stays as it was");
                let _ = self.stack.refuse_offer(self.leg, 488).await;
            }
        }
    }

    /// Carries out what the conversation decided.
    async fn act(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Transcribe { job } => self.ears.transcribe(job),
                Action::Forget => self.ears.forget(self.voicing),
                Action::Reply { turn } => {
                    let (generator, prompt) = (self.persona.generator.clone(), self.prompt());
                    let task = self.turn_task(turn);
                    self.turn = Some((turn, tokio::spawn(task.reply(generator, prompt))));
                }
                Action::Say { turn, text } => {
                    let task = self.turn_task(turn);
                    self.turn = Some((turn, tokio::spawn(task.say(text))));
                }
                Action::Cancel { turn } => self.cancel(turn).await,
                Action::Pause => self.line.pause(),
                Action::Resume => self.line.resume(),
                Action::Hush => {
                    let hushed = self.line.hush().await.unwrap_or_default();
                    // What was played before the cut is told before the cut.
                    while let Ok(event) = self.media_events.try_recv() {
                        self.media_event(event);
                    }
                    let input = Input::Hushed { mark: hushed.mark.map(|mark| mark.0), played: hushed.played };
                    self.conversation.handle(Instant::now(), input);
                }
                Action::Note(note) => self.ledger.note(note, Instant::now()),
                Action::HangUp(reason) => {
                    self.hang_up_at = Some((Instant::now() + LAST_WORD_TRAVELS, reason));
                }
            }
        }
        self.ledger.flush().await;
    }

    fn turn_task(&self, turn: u32) -> TurnTask {
        TurnTask {
            turn,
            mouth: self.persona.mouth.clone(),
            line: self.line.clone(),
            reports: self.reports.clone(),
        }
    }

    /// Ends the task of a turn, and returns when it can put no more sound on the line.
    async fn cancel(&mut self, turn: u32) {
        if let Some((_, task)) = self.turn.take_if(|(running, _)| *running == turn) {
            task.abort();
            // It may be waiting to report to us; the abort does not let it.
            let _ = task.await;
        }
    }

    /// Ends the leg from our side: BYE, CANCEL or a refusal, whichever the stack finds right.
    async fn hang_up(&mut self, reason: EndReason) {
        if self.answered_at.is_none() && self.ledger.call.direction == Direction::Inbound {
            let _ = self.stack.reject(self.leg, reason.sip_status()).await;
        } else {
            let _ = self.stack.hangup(self.leg, None).await;
        }
        self.conversation.handle(Instant::now(), Input::Gone);
        self.end = Some((reason, None));
    }

    /// Writes the last truths: where the sound was cut, what the caller still said, how the line was.
    async fn finish(mut self) {
        self.act().await;
        if self.answered_at.is_some()
            && let Some(job) = self.conversation.last_words(Instant::now())
        {
            self.ears.transcribe(job);
            if let Ok(Some(input)) = timeout(LAST_WORDS, self.last_report()).await {
                self.conversation.handle(Instant::now(), input);
                self.act().await;
            }
        }
        if let Some((turn, _)) = self.turn {
            self.cancel(turn).await;
        }
        if let Some(warming) = self.warming {
            warming.abort();
            let _ = warming.await;
        }
        self.ears.close().await;
        let (reason, status) = self.end.unwrap_or((EndReason::Internal, None));
        let recording = self.recording.filter(|_| self.answered_at.is_some());
        if let Ok(line) = Arc::try_unwrap(self.line) {
            self.ledger.line(&line.close().await);
        }
        self.ledger.close(reason, status, recording).await;
    }

    async fn last_report(&mut self) -> Option<Input> {
        loop {
            let input = self.inbox.recv().await?;
            if matches!(input, Input::Heard { .. } | Input::Deaf { .. }) {
                return Some(input);
            }
        }
    }
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
