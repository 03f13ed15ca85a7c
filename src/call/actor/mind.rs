//! The agent in a call: the conversation, its ears, and the tasks that think and speak for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::net::Line;
use models::{Generator, Prompt, Transcriber, TurnJudge};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use crate::call::ears::Ears;
use crate::call::gate::{Gate, Key};
use crate::call::ledger::Ledger;
use crate::call::prompt::prompt;
use crate::call::tools::{Kit, Toolbox};
use crate::call::turn::{Meter, Mouth, TurnTask};
use crate::call::{Action, Conversation, Input, Manners};
use crate::config::Agent;
use crate::domain::{Call, CallUsage, EndReason};

/// What an agent thinks and speaks with.
#[derive(Clone)]
pub struct Persona {
    pub agent: Agent,
    pub manners: Manners,
    pub transcriber: Arc<dyn Transcriber>,
    pub judge: Option<Arc<dyn TurnJudge>>,
    pub generator: Arc<dyn Generator>,
    pub mouth: Mouth,
}

/// Reports of stages that may wait for the actor.
const REPORTS: usize = 64;
/// What the end of a call may wait for the words that the caller left with.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// … and for what its tools are doing.
const LAST_DEEDS: Duration = Duration::from_secs(2);

pub(super) struct Mind {
    pub(super) conversation: Conversation,
    pub(super) persona: Persona,
    pub(super) inbox: mpsc::Receiver<Input>,
    ears: Ears,
    reports: mpsc::Sender<Input>,
    turn: Option<Working>,
    /// Reads the prompt ahead.
    warming: Option<JoinHandle<()>>,
    voicing: bool,
    /// Chosen at random per call: what a local model files its memory of the conversation under.
    session: u64,
    meter: Arc<Meter>,
    pub(super) toolbox: Arc<Toolbox>,
}

/// The turn that is worked for.
struct Working {
    turn: u32,
    task: JoinHandle<()>,
    key: Key,
}

/// What a decision of the conversation asks of the rest of the call.
pub(super) enum Wish {
    /// Stop sounding, and tell what left.
    Hush,
    HangUp(EndReason),
    /// Hand the caller on as this turn has prepared it.
    Transfer(u32),
}

impl Mind {
    /// `call`: as it stands now.
    pub(super) fn new(persona: Persona, session: u64, kit: Kit, call: Call) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS);
        let (transcriber, judge) = (persona.transcriber.clone(), persona.judge.clone());
        let ears = Ears::new(transcriber, judge, persona.agent.language.clone(), reports.clone());
        let toolbox = Arc::new(Toolbox::new(kit, &persona.agent.tools, call, reports.clone()));
        Self {
            conversation: Conversation::new(persona.manners.clone()),
            persona,
            inbox,
            ears,
            reports,
            turn: None,
            warming: None,
            voicing: false,
            session,
            meter: Arc::default(),
            toolbox,
        }
    }

    /// Sets what thinking and speaking has used so far.
    pub(super) fn read_meter(&self, usage: &mut CallUsage) {
        self.meter.read(usage);
    }

    /// What the near line tells, as far as it is for the agent.
    pub(super) fn heard(&mut self, now: Instant, event: media::Event) {
        // What the caller says to somebody else is not listened to.
        let away = self.conversation.is_away();
        match event {
            media::Event::Frame { pcm, .. } if !away => self.ears.frame(&pcm),
            media::Event::VoiceStart { at } if !away => {
                self.voicing = true;
                self.ears.open();
                self.conversation.handle(now, Input::VoiceStart { onset: at });
            }
            media::Event::VoiceEnd { at } => {
                self.voicing = false;
                self.conversation.handle(now, Input::VoiceEnd { since: at });
            }
            media::Event::Started { mark, at } => {
                self.catch_up_with_reports();
                self.conversation.handle(at, Input::Started { mark: mark.0 });
            }
            media::Event::Played { mark, at, .. } => {
                self.catch_up_with_reports();
                self.conversation.handle(at, Input::Played { mark: mark.0 });
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

    fn prompt(&self) -> Prompt {
        let tools = self.toolbox.specs().to_vec();
        Prompt { tools, ..prompt(&self.persona.agent, self.conversation.history(), self.session) }
    }

    /// Lets a local model read the agent's prompt while the greeting sounds.
    pub(super) fn warm_up(&mut self) {
        let (generator, prompt) = (self.persona.generator.clone(), self.prompt());
        self.warming = Some(tokio::spawn(async move {
            if let Err(error) = generator.prefill(prompt).await {
                debug!(%error, "the prompt could not be read ahead");
            }
        }));
    }

    /// Carries out what the conversation decided, up to what is not the mind's to do.
    pub(super) async fn act(&mut self, line: &Arc<Line>, ledger: &mut Ledger) -> Option<Wish> {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Transcribe { job } => self.ears.transcribe(job),
                Action::Forget => self.ears.forget(self.voicing),
                Action::Reply { turn } => {
                    let (generator, prompt) = (self.persona.generator.clone(), self.prompt());
                    let (task, key) = self.turn_task(turn, line);
                    let task = tokio::spawn(task.reply(generator, prompt));
                    self.turn = Some(Working { turn, task, key });
                }
                Action::Release { turn } => {
                    if let Some(working) = self.turn.as_ref().filter(|working| working.turn == turn) {
                        working.key.open();
                    }
                }
                Action::Say { turn, text } => {
                    let (task, key) = self.turn_task(turn, line);
                    key.open();
                    self.turn = Some(Working { turn, task: tokio::spawn(task.say(text)), key });
                }
                Action::Cancel { turn } => self.cancel(turn).await,
                Action::Transfer { turn } => return Some(Wish::Transfer(turn)),
                Action::Pause => line.pause(),
                Action::Resume => line.resume(),
                Action::Hush => return Some(Wish::Hush),
                Action::Note(note) => ledger.note(note, Instant::now()),
                Action::HangUp(reason) => return Some(Wish::HangUp(reason)),
            }
        }
        None
    }

    fn turn_task(&self, turn: u32, line: &Arc<Line>) -> (TurnTask, Key) {
        let (key, gate) = Gate::closed();
        let task = TurnTask {
            turn,
            mouth: self.persona.mouth.clone(),
            line: line.clone(),
            reports: self.reports.clone(),
            meter: self.meter.clone(),
            toolbox: self.toolbox.clone(),
            spent: Meter::default(),
            gate,
        };
        (task, key)
    }

    /// Ends the task of a turn, and returns when it can put no more sound on the line.
    async fn cancel(&mut self, turn: u32) {
        if let Some(working) = self.turn.take_if(|working| working.turn == turn) {
            working.task.abort();
            // It may be waiting to report to us; the abort does not let it.
            let _ = working.task.await;
        }
    }

    /// Waits for what the agent's tools are still doing, so that the record has it.
    pub(super) async fn last_deeds(&mut self) {
        let deadline = tokio::time::Instant::now() + LAST_DEEDS;
        while self.toolbox.is_at_work() {
            match tokio::time::timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(input)) => self.conversation.handle(Instant::now(), input),
                Ok(None) | Err(_) => return,
            }
        }
        self.catch_up_with_reports();
    }

    /// Waits for the words that the caller left with.
    pub(super) async fn last_words(&mut self) {
        if let Some(job) = self.conversation.last_words(Instant::now()) {
            self.ears.transcribe(job);
            if let Ok(Some(input)) = timeout(LAST_WORDS, self.last_report()).await {
                self.conversation.handle(Instant::now(), input);
            }
        }
    }

    async fn last_report(&mut self) -> Option<Input> {
        loop {
            let input = self.inbox.recv().await?;
            if matches!(input, Input::Heard { .. } | Input::Deaf { .. }) {
                return Some(input);
            }
        }
    }

    /// Ends what is under way, and waits for it.
    pub(super) async fn close(mut self) {
        if let Some(turn) = self.turn.as_ref().map(|working| working.turn) {
            self.cancel(turn).await;
        }
        if let Some(warming) = self.warming {
            warming.abort();
            let _ = warming.await;
        }
        self.toolbox.close().await;
        self.ears.close().await;
    }
}

/// The next report of a stage; never, where there is no mind.
pub(super) async fn report(mind: Option<&mut Mind>) -> Input {
    match mind {
        Some(mind) => match mind.inbox.recv().await {
            Some(input) => input,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
