//! What an agent does in a call besides talking: its model asks for tools, here they are done.
//!
//! The arguments that a model writes are held to the tool's schema before anything is done with them, and whom it wants rung or
//! written to goes through the guards as if a client had asked. What is refused or fails is told to the model, in a sentence that
//! says what would be right, so that it can talk about it.
//!
//! A tool of a client's, or a text, that has begun is brought to its end also where the caller interrupts meanwhile: it has been
//! done in the world, and later turns have to know. It runs in a task of the toolbox then; a turn that asks for the same again waits
//! for that one.

mod action;
mod beside;
mod rounds;
mod specs;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use media::net::Line;
use models::{ToolCall, ToolSpec};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(super) use rounds::{Asked, Round, Thought};

use super::exchange::Exchange;
use super::route::Waves;
use super::switchboard::Switchboard;
use super::{Deed, Input};
use crate::domain::{Call, Private, Tools, conforms};

/// Bytes of arguments that are read.
const LONGEST_ARGUMENTS: usize = 8 << 10;
/// What looking a target up and asking the guards may take.
const LOOKING_UP: Duration = Duration::from_secs(5);
/// How long the agent keeps silent where the model does not say.
const USUAL_WAIT: u64 = 30;
/// Tools at work at once that no turn waits for any more.
const AT_WORK: usize = 8;

/// Whom the caller is handed on to when the agent has been heard out.
pub(super) struct Handover {
    pub(super) to: Private<String>,
    pub(super) waves: Waves,
}

/// What came of a tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    pub(super) ok: bool,
    /// Told to the model.
    pub(super) result: String,
    /// To be said before it is done.
    pub(super) say: Option<String>,
    pub(super) then: Then,
}

/// How the turn goes on after a tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// The model is told the result, and goes on.
    Think,
    HangUp,
    Transfer,
    /// Nothing more has to be said, and the caller may be silent for so long.
    Quiet(Duration),
}

impl Outcome {
    fn done(result: impl Into<String>, then: Then) -> Self {
        Self { ok: true, result: result.into(), say: None, then }
    }

    /// The model is told why.
    fn refused(reason: impl Into<String>) -> Self {
        let result = json!({ "error": reason.into() }).to_string();
        Self { ok: false, result, say: None, then: Then::Think }
    }
}

/// What the world outside of the call does for a toolbox.
#[derive(Clone)]
pub(super) struct Kit {
    pub(super) exchange: Arc<Exchange>,
    pub(super) switchboard: Switchboard,
}

/// Does what a turn is asked for by its model: in a call, its toolbox.
pub(super) trait Hands: Send + Sync {
    /// Whoever calls this has been released: the turn is the agent's.
    fn run<'a>(self: Arc<Self>, turn: u32, line: &'a Line, call: &'a ToolCall) -> BoxFuture<'a, Outcome>;
}

impl Hands for Toolbox {
    fn run<'a>(self: Arc<Self>, turn: u32, line: &'a Line, call: &'a ToolCall) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.use_tool(turn, line, call).await })
    }
}

/// The tools of one call.
pub(super) struct Toolbox {
    tools: Tools,
    specs: Vec<ToolSpec>,
    kit: Kit,
    /// As it stood when the agent took it up.
    call: Call,
    reports: mpsc::Sender<Input>,
    handover: Mutex<Option<(u32, Handover)>>,
    at_work: Mutex<AtWork>,
    /// How many were begun in this call.
    texts: Mutex<u32>,
    actions: Mutex<u64>,
}

#[derive(Default)]
struct AtWork {
    tasks: JoinSet<()>,
    running: Vec<(Key, Awaited)>,
}

/// The tool and its arguments.
type Key = (String, String);
type Awaited = watch::Receiver<Option<Outcome>>;

impl Toolbox {
    /// `reports`: where the conversation is told what was done.
    pub(super) fn new(kit: Kit, tools: &Tools, call: Call, reports: mpsc::Sender<Input>) -> Self {
        let (specs, tools) = (specs::offered(tools), tools.clone());
        Self {
            tools,
            specs,
            kit,
            call,
            reports,
            handover: Mutex::default(),
            at_work: Mutex::default(),
            texts: Mutex::default(),
            actions: Mutex::default(),
        }
    }

    /// What the model is offered.
    pub(super) fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Whom this turn hands the caller on to.
    pub(super) fn take_handover(&self, turn: u32) -> Option<Handover> {
        lock(&self.handover).take_if(|(of, _)| *of == turn).map(|(_, handover)| handover)
    }

    /// Does what the model asks for. The conversation is told, also where nobody waits for it any more.
    async fn use_tool(self: &Arc<Self>, turn: u32, line: &Line, call: &ToolCall) -> Outcome {
        let arguments = match self.arguments(call) {
            Ok(arguments) => arguments,
            Err(reason) => {
                let began = Instant::now();
                let outcome = Outcome::refused(reason);
                self.report(turn, call, &outcome, began.elapsed()).await;
                return outcome;
            }
        };
        let within = self.within(&call.name);
        let began = Input::ToolBegan { turn, name: call.name.clone(), within };
        let _ = self.reports.send(began).await;
        let key = (call.name.clone(), Value::Object(arguments.clone()).to_string());
        let at = Instant::now();
        match call.name.as_str() {
            specs::HANG_UP | specs::TRANSFER | specs::PRESS_DIGITS | specs::WAIT => {
                let outcome = self.on_the_line(turn, line, &call.name, &arguments).await;
                self.report(turn, call, &outcome, at.elapsed()).await;
                outcome
            }
            _ => {
                let (toolbox, call) = (self.clone(), call.clone());
                self.to_the_end(key, async move {
                    let outcome = toolbox.beyond_the_line(turn, &call.name, &arguments).await;
                    toolbox.report(turn, &call, &outcome, at.elapsed()).await;
                    outcome
                })
                .await
            }
        }
    }

    /// What the model wrote, if the tool can be asked for so.
    fn arguments(&self, call: &ToolCall) -> Result<Map<String, Value>, String> {
        let Some(spec) = self.specs.iter().find(|spec| spec.name == call.name) else {
            let names: Vec<_> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
            return Err(format!("there is no tool {:?}; there are {}", call.name, names.join(", ")));
        };
        if call.arguments.len() > LONGEST_ARGUMENTS {
            return Err(format!("the arguments are longer than {LONGEST_ARGUMENTS} bytes"));
        }
        let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        let arguments: Value =
            serde_json::from_str(text).map_err(|error| format!("the arguments are no JSON: {error}"))?;
        conforms(&arguments, &spec.parameters)
            .map_err(|wrong| format!("the arguments do not fit; {wrong}"))?;
        match arguments {
            Value::Object(arguments) => Ok(arguments),
            _ => Err("the arguments must be a JSON object".into()),
        }
    }

    fn within(&self, name: &str) -> Duration {
        let action = self.tools.actions.iter().find(|action| action.name == name);
        action.map_or(LOOKING_UP, |action| Duration::from_millis(action.timeout_ms.into()))
    }

    /// What happens in this call alone.
    async fn on_the_line(
        &self,
        turn: u32,
        line: &Line,
        name: &str,
        arguments: &Map<String, Value>,
    ) -> Outcome {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().trim();
        let say = Some(text("say").to_owned()).filter(|say| !say.is_empty());
        let outcome = match name {
            specs::HANG_UP => Outcome::done("The call ends when you have been heard out.", Then::HangUp),
            specs::PRESS_DIGITS => match line.send_digits(text("digits")).await {
                Ok(()) => Outcome::done("Pressed. Listen to what comes.", Then::Quiet(Duration::ZERO)),
                Err(error) => Outcome::refused(error.to_string()),
            },
            specs::WAIT => {
                let seconds = arguments.get("seconds").and_then(Value::as_u64).unwrap_or(USUAL_WAIT);
                Outcome::done(
                    "You keep silent until the caller speaks.",
                    Then::Quiet(Duration::from_secs(seconds)),
                )
            }
            _ => self.prepare_handover(turn, text("to")).await,
        };
        Outcome { say: say.filter(|_| outcome.ok), ..outcome }
    }

    /// What stays done, whatever becomes of the turn.
    async fn beyond_the_line(&self, turn: u32, name: &str, arguments: &Map<String, Value>) -> Outcome {
        let Some(action) = self.tools.actions.iter().find(|action| action.name == name) else {
            let text = arguments.get("text").and_then(Value::as_str).unwrap_or_default();
            return self.send_text(text).await;
        };
        let n = {
            let mut actions = lock(&self.actions);
            *actions += 1;
            *actions
        };
        self.act(action, turn, n, arguments).await
    }

    /// Has it done in a task of the toolbox, so that it comes to its end whatever becomes of the turn.
    async fn to_the_end(&self, key: Key, work: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
        let gone = || Outcome::refused("it could not be done");
        let Some(mut outcome) = self.begin(key, work) else {
            return Outcome::refused("too much is being done already; try again later");
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }

    /// `None`: too much is at work.
    fn begin(&self, key: Key, work: impl Future<Output = Outcome> + Send + 'static) -> Option<Awaited> {
        let mut at_work = lock(&self.at_work);
        while at_work.tasks.try_join_next().is_some() {}
        at_work.running.retain(|(_, outcome)| outcome.has_changed().is_ok());
        if let Some((_, outcome)) = at_work.running.iter().find(|(running, _)| *running == key) {
            return Some(outcome.clone());
        }
        if at_work.tasks.len() >= AT_WORK {
            return None;
        }
        let (told, outcome) = watch::channel(None);
        at_work.tasks.spawn(async move {
            // Whoever asked may be gone.
            let _ = told.send(Some(work.await));
        });
        at_work.running.push((key, outcome.clone()));
        Some(outcome)
    }

    async fn report(&self, turn: u32, call: &ToolCall, outcome: &Outcome, took: Duration) {
        let deed = Deed {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            result: outcome.result.clone(),
        };
        // A conversation that is gone has no history any more.
        let _ = self.reports.send(Input::ToolOver { turn, deed, ok: outcome.ok, took }).await;
    }

    /// Returns when all that is being done has been reported. What is not when this is dropped is ended.
    pub(super) async fn settle(&self) {
        let mut tasks = std::mem::take(&mut lock(&self.at_work).tasks);
        while tasks.join_next().await.is_some() {}
    }

    /// Ends what is under way, and waits for it.
    pub(super) async fn close(&self) {
        let mut tasks = std::mem::take(&mut lock(&self.at_work).tasks);
        tasks.shutdown().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
