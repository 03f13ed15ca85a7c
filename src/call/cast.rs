//! Who hears, thinks and speaks: engines and brains of the box, and personas made of them for each call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use models::llm::Fallback;
use models::llm::remote::{ChatCompletions, Timeouts};
use models::{BoxStream, Delta, Generator, LlmError, Pcm, Prompt, Synthesizer, Transcriber, TurnJudge};

use super::actor::Persona;
use super::directory::Resolved;
use super::speaker::{Speaker, Unspoken};
use super::stock::Stock;
use super::turn_webhook::TurnWebhook;
use super::voice::Voice;
use super::{Manners, Mouth};
use crate::config::{Agent, TurnTaking};
use crate::domain::{BrainChoice, Call};
use crate::outside::Outside;

/// Shared by all calls.
pub struct Cast {
    transcriber: Arc<dyn Transcriber>,
    judge: Option<Arc<dyn TurnJudge>>,
    /// By the name of the brain; `None` is the local model.
    generators: HashMap<Option<String>, Arc<dyn Generator>>,
    synthesizer: Arc<dyn Synthesizer>,
    stock: Stock,
    speaker: Speaker,
    timing: TurnTaking,
    outside: Outside,
}

/// Why an agent cannot think.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoBrain {
    #[error(
        "the local model is not started, for no agent of the configuration thinks with it; name another brain"
    )]
    Local,
    #[error("there is no brain {0:?} in the configuration")]
    Unknown(String),
    /// Its URL is none that a client may have called.
    #[error("the webhook {0}")]
    Webhook(String),
    #[error("a turn webhook is told what is said in a call, and thinks of nothing else")]
    OnlyInCalls,
}

/// What an agent may take to its first word before its other brain is asked as well.
const PATIENCE: Duration = Duration::from_secs(3);

/// A brain that is none: what it is asked fails, and the caller hears the apology.
struct Mindless(NoBrain);

impl Generator for Mindless {
    fn generate(&self, _: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        let (url, reason) = (String::from("the agent's brain"), self.0.to_string());
        Box::pin(stream::once(std::future::ready(Err(LlmError::Connect { url, reason }))))
    }
}

impl Cast {
    pub fn new(
        (transcriber, judge): (Arc<dyn Transcriber>, Option<Arc<dyn TurnJudge>>),
        synthesizer: Arc<dyn Synthesizer>,
        generators: HashMap<Option<String>, Arc<dyn Generator>>,
        timing: TurnTaking,
        outside: Outside,
    ) -> Self {
        let speaker = Speaker::new(synthesizer.clone());
        let stock = Stock::start();
        Self { transcriber, judge, generators, synthesizer, stock, speaker, timing, outside }
    }

    /// Whoever speaks on a call with these settings. Ready at once: what is not synthesized yet is so when it is said.
    pub fn persona(&self, who: &Resolved) -> Result<Persona, NoBrain> {
        self.can_think(&who.agent.brain)?;
        let agent = who.agent.clone();
        let voice = self.voice(&agent);
        let diction = voice.diction().clone();
        let mut manners = Manners { diction, ..Manners::new(&agent, &self.timing, who.max_duration) };
        if who.record {
            manners = manners.recorded(&agent);
        }
        let mouth = self.stock.mouth(voice, &manners.stock());
        let (transcriber, judge) = (self.transcriber.clone(), self.judge.clone());
        Ok(Persona { agent, manners, transcriber, judge, mouth })
    }

    /// Synthesizes what an agent of the configuration is known to say, and returns when that is there.
    pub async fn rehearse(&self, agent: &Agent) -> Mouth {
        let manners = Manners::new(agent, &self.timing, std::time::Duration::ZERO).recorded(agent);
        self.stock.prepared(self.voice(agent), &manners.stock()).await
    }

    fn voice(&self, agent: &Agent) -> Voice {
        let (name, language) = (agent.voice.clone(), &agent.language);
        let words = agent.pronunciations.iter().map(|(written, said)| (written.as_str(), said.as_str()));
        Voice::new(self.synthesizer.clone(), name, agent.speed, language, agent.volume_db).saying(words)
    }

    /// Speaks a text outside of any call.
    pub async fn speak(&self, text: &str, voice: Option<&str>, speed: f32) -> Result<Pcm, Unspoken> {
        self.speaker.speak(text, voice, speed).await
    }

    /// The way to URLs that clients supplied.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// What thinks for an agent, outside of any call too.
    ///
    /// # Errors
    /// Also where it can only think in a call.
    pub fn generator(&self, brain: &BrainChoice) -> Result<Arc<dyn Generator>, NoBrain> {
        match brain {
            BrainChoice::Local => self.generators.get(&None).cloned().ok_or(NoBrain::Local),
            BrainChoice::Configured { name } => {
                let found = self.generators.get(&Some(name.clone()));
                found.cloned().ok_or_else(|| NoBrain::Unknown(name.clone()))
            }
            BrainChoice::Webhook { url } => {
                let (url, client) = self.way_to(url)?;
                let webhook = ChatCompletions::webhook(url, None, Timeouts::default());
                Ok(Arc::new(webhook.through(client)))
            }
            BrainChoice::TurnWebhook { url } => {
                self.way_to(url)?;
                Err(NoBrain::OnlyInCalls)
            }
        }
    }

    /// Whether an agent can think with it in a call.
    ///
    /// # Errors
    /// Says why not.
    pub fn can_think(&self, brain: &BrainChoice) -> Result<(), NoBrain> {
        match self.generator(brain) {
            Ok(_) | Err(NoBrain::OnlyInCalls) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What thinks for an agent in a call: its brain, and in its place the other one that it may have.
    pub(super) fn mind(&self, agent: &Agent, call: &Call) -> Arc<dyn Generator> {
        let first = self.in_call(&agent.brain, agent, call);
        let second = agent.fallback_brain.as_ref().map(|brain| self.in_call(brain, agent, call));
        match (first, second) {
            (Ok(first), Some(Ok(second))) => Arc::new(Fallback::new(first, second, PATIENCE)),
            (Ok(mind), _) | (Err(_), Some(Ok(mind))) => mind,
            (Err(error), _) => Arc::new(Mindless(error)),
        }
    }

    fn in_call(
        &self,
        brain: &BrainChoice,
        agent: &Agent,
        call: &Call,
    ) -> Result<Arc<dyn Generator>, NoBrain> {
        match brain {
            BrainChoice::TurnWebhook { url } => {
                let outside = self.outside.clone();
                Ok(Arc::new(TurnWebhook::new(outside, url.clone(), agent, call.clone())))
            }
            brain => self.generator(brain),
        }
    }

    fn way_to(&self, url: &str) -> Result<(url::Url, reqwest::Client), NoBrain> {
        self.outside.client(url).map_err(|refused| NoBrain::Webhook(refused.to_string()))
    }
}
