//! The agent in a call: the conversation, its ears, and the tasks that think and speak for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::net::Line;
use models::{Generator, Priority, Prompt, Transcriber, TurnJudge};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use crate::call::context::{self, Asking};
use crate::call::course::Course;
use crate::call::ears::Ears;
use crate::call::gate::{Gate, Key};
use crate::call::ledger::Ledger;
use crate::call::prompt::prompt;
use crate::call::tools::{Kit, Toolbox};
use crate::call::turn::{Meter, Mouth, TurnTask};
use crate::call::{Action, Conversation, Input, Manners, Unsaid};
use crate::config::Agent;
use crate::domain::{Call, CallUsage, EndReason, Speaker};
use crate::outside::Outside;

/// What an agent thinks and speaks with.
#[derive(Clone)]
pub struct Persona {
    pub agent: Agent,
    pub manners: Manners,
    pub transcriber: Arc<dyn Transcriber>,
    pub judge: Option<Arc<dyn TurnJudge>>,
    pub mouth: Mouth,
}

/// Reports of stages that may wait for the actor.
const REPORTS: usize = 64;
/// What the end of a call may wait for the words that the caller left with.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// … and for what its tools are doing.
const LAST_DEEDS: Duration = Duration::from_secs(2);
/// What an agent may be told in one call: a prompt has an end.
const INSTRUCTIONS: usize = 16;

pub(super) struct Mind {
    pub(super) conversation: Conversation,
    pub(super) persona: Persona,
    generator: Arc<dyn Generator>,
    pub(super) inbox: mpsc::Receiver<Input>,
    ears: Ears,
    reports: mpsc::Sender<Input>,
    turn: Option<Working>,
    /// Reads the prompt ahead.
    warming: Option<JoinHandle<()>>,
    /// Asks a client what is known of the call.
    asking: Option<Asking>,
    voicing: bool,
    beeps: media::BeepDetector,
    /// Chosen at random per call: what a local model files its memory of the conversation under.
    session: u64,
    meter: Arc<Meter>,
    pub(super) toolbox: Arc<Toolbox>,
    /// Told so far.
    instructions: usize,
}

/// The turn that is worked for.
struct Working {
    turn: u32,
    task: JoinHandle<()>,
    key: Key,
    /// Takes what is to be said while it takes long.
    fills: mpsc::Sender<String>,
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
        let ears = Ears::new(transcriber, judge, &persona.agent, reports.clone());
        let generator = kit.exchange.cast.mind(&persona.agent, &call);
        let toolbox = Arc::new(Toolbox::new(kit, &persona.agent.tools, call, reports.clone()));
        Self {
            conversation: Conversation::new(persona.manners.clone()),
            persona,
            generator,
            inbox,
            ears,
            reports,
            turn: None,
            warming: None,
            asking: None,
            voicing: false,
            beeps: media::BeepDetector::default(),
            session,
            meter: Arc::default(),
            toolbox,
            instructions: 0,
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
            media::Event::Frame { pcm, probability, level_dbfs, .. } if !away => {
                self.ears.frame(&pcm, probability, level_dbfs);
                if self.conversation.listens_for_beep(now) && self.beeps.judge(&pcm).is_some() {
                    self.conversation.handle(now, Input::Beep);
                }
            }
            media::Event::VoiceStart { at } if !away => {
                self.voicing = true;
                self.ears.open();
                self.conversation.handle(now, Input::VoiceStart { onset: at });
            }
            media::Event::VoiceDip { at } => self.conversation.handle(now, Input::VoiceDip { since: at }),
            media::Event::VoiceBack { at } => self.conversation.handle(now, Input::VoiceBack { onset: at }),
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

    /// `question`: what the caller says, where it is not in the history yet.
    fn prompt(&self, question: Option<&str>) -> Prompt {
        let tools = self.toolbox.specs().to_vec();
        let question = question.map(|text| crate::call::Line::new(Speaker::Caller, text.to_owned()));
        let lines: Vec<_> = self.conversation.history().iter().cloned().chain(question).collect();
        Prompt { tools, ..prompt(&self.persona.agent, &lines, self.session) }
    }

    /// Asks the agent's context webhook, if it has one, what is known of the call.
    pub(super) fn ask_for_context(&mut self, outside: &Outside, call: &Call) {
        let webhook = self.persona.agent.context_webhook.as_ref();
        self.asking = webhook.map(|webhook| context::ask(outside, call, webhook));
    }

    /// The next report of a stage. What a context webhook answers meanwhile is put into the prompt.
    async fn report(&mut self) -> Input {
        loop {
            tokio::select! {
                biased;
                known = context::known(self.asking.as_mut()) => {
                    self.asking = None;
                    self.knows(known);
                }
                input = self.inbox.recv() => match input {
                    Some(input) => return input,
                    None => std::future::pending().await,
                },
            }
        }
    }

    fn knows(&mut self, known: Option<String>) {
        let Some(known) = known else { return };
        self.persona.agent.prompt = context::merged(&self.persona.agent.prompt, &known);
        // What was read ahead is another prompt now.
        if let Some(warming) = self.warming.take() {
            warming.abort();
            self.warm_up();
        }
    }

    /// Somebody tells the agent what the caller does not hear: from its next answer on it knows.
    pub(super) fn instruct(&mut self, text: &str) -> Result<(), Unsaid> {
        if self.instructions == INSTRUCTIONS {
            return Err(Unsaid::TooMany);
        }
        self.instructions += 1;
        let prompt = &mut self.persona.agent.prompt;
        prompt.push_str("\n\nWhile you talk, your supervisor tells you: ");
        prompt.push_str(text);
        if let Some(warming) = self.warming.take() {
            warming.abort();
            self.warm_up();
        }
        Ok(())
    }

    /// Lets a local model read the agent's prompt while the greeting sounds.
    pub(super) fn warm_up(&mut self) {
        self.prefill(self.prompt(None));
    }

    /// … and what the caller has said so far, while they go on. One at a time, and none while an answer is in the making.
    fn read_ahead(&mut self, text: &str) {
        let busy = self.warming.as_ref().is_some_and(|warming| !warming.is_finished())
            || self.turn.as_ref().is_some_and(|working| !working.task.is_finished());
        if !busy {
            self.prefill(Prompt { priority: Priority::Partial, ..self.prompt(Some(text)) });
        }
    }

    fn prefill(&mut self, prompt: Prompt) {
        let generator = self.generator.clone();
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
                    let generator = self.generator.clone();
                    let prompt = self.prompt(self.conversation.question());
                    let (task, key, fills) = self.turn_task(turn, line);
                    let task = tokio::spawn(task.reply(generator, prompt));
                    self.turn = Some(Working { turn, task, key, fills });
                }
                Action::ReadAhead { text } => self.read_ahead(&text),
                Action::Release { turn } => {
                    if let Some(working) = self.turn.as_ref().filter(|working| working.turn == turn) {
                        working.key.open();
                    }
                }
                Action::Fill { turn, text } => {
                    if let Some(working) = self.turn.as_ref().filter(|working| working.turn == turn) {
                        // Where one waits already, another is too much.
                        let _ = working.fills.try_send(text);
                    }
                }
                Action::Say { turn, text } => {
                    let (task, key, fills) = self.turn_task(turn, line);
                    key.open();
                    self.turn = Some(Working { turn, task: tokio::spawn(task.say(text)), key, fills });
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

    fn turn_task(&self, turn: u32, line: &Arc<Line>) -> (TurnTask, Key, mpsc::Sender<String>) {
        let (key, gate) = Gate::closed();
        let (fills, asked) = mpsc::channel(1);
        let task = TurnTask {
            turn,
            mouth: self.persona.mouth.clone(),
            line: line.clone(),
            reports: self.reports.clone(),
            meter: self.meter.clone(),
            hands: self.toolbox.clone(),
            spent: Meter::default(),
            gate,
            course: Course::new(asked),
            pace: watch::Sender::default(),
        };
        (task, key, fills)
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
        let toolbox = self.toolbox.clone();
        let mut settled = std::pin::pin!(timeout(LAST_DEEDS, toolbox.settle()));
        loop {
            tokio::select! {
                _ = &mut settled => break,
                Some(input) = self.inbox.recv() => self.conversation.handle(Instant::now(), input),
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
        if let Some(asking) = self.asking {
            asking.abort();
            let _ = asking.await;
        }
        self.toolbox.close().await;
        self.ears.close().await;
    }
}

/// The next report of a stage; never, where there is no mind.
pub(super) async fn report(mind: Option<&mut Mind>) -> Input {
    match mind {
        Some(mind) => mind.report().await,
        None => std::future::pending().await,
    }
}
