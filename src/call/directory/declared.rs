//! What the configuration declares, as the directory has it.

use chrono::{DateTime, Utc};

use crate::config::{self, Config};
use crate::domain::{
    AccountId, Agent, AgentId, BrainChoice, E164, Metadata, Number, NumberId, NumberKind, NumberStatus,
    Settings, Source,
};

/// A number that an account can have.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = AvailableNumber, example = json!({ "number": "+14155550123", "country": "US", "area_code": "415", "kind": "local" }))]
pub struct Available {
    #[schema(value_type = String, example = "+14155550123", pattern = r"^\+[1-9]\d{6,14}$")]
    pub number: E164,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    pub area_code: Option<String>,
    pub kind: NumberKind,
    #[serde(skip)]
    pub trunk: String,
}

impl Available {
    pub(super) fn new(number: &config::Number) -> Self {
        let plan = number.number.plan();
        Self {
            number: number.number.clone(),
            country: number.country.clone().unwrap_or(plan.country),
            area_code: number.area_code.clone().or(plan.area_code),
            kind: number.kind.unwrap_or(plan.kind),
            trunk: number.trunk.clone(),
        }
    }

    /// As an account has it.
    pub fn of(&self, account: AccountId, id: NumberId, now: DateTime<Utc>) -> Number {
        let Self { number, country, area_code, kind, trunk } = self.clone();
        Number {
            id,
            account,
            number,
            status: NumberStatus::Active,
            source: Source::Api,
            country,
            area_code,
            kind,
            trunk,
            label: None,
            agent_id: None,
            inbound: Settings::default(),
            outbound: Settings::default(),
            metadata: Metadata::new(),
            extra: Metadata::new(),
            created_at: now,
            updated_at: now,
            released_at: None,
        }
    }
}

/// An agent of the configuration as the API shows it.
pub(super) fn agent(agent: &config::Agent, now: DateTime<Utc>) -> Agent {
    Agent {
        id: AgentId::from_name(&agent.name),
        account: AccountId::house(),
        name: agent.name.clone(),
        source: Source::Configuration,
        settings: Settings {
            brain: Some(agent.brain.clone()),
            prompt: Some(agent.prompt.clone()),
            first_message: Some(agent.first_message.clone()),
            goodbye: Some(agent.goodbye.clone()),
            apology: Some(agent.apology.clone()),
            still_there: Some(agent.still_there.clone()),
            transfer_failed: Some(agent.transfer_failed.clone()),
            voice: agent.voice.clone(),
            speed: Some(agent.speed),
            language: Some(agent.language.clone()),
            end_call_phrases: Some(agent.end_call_phrases.clone()),
            max_tokens: Some(agent.max_tokens),
            temperature: Some(agent.temperature),
            top_p: Some(agent.top_p),
            repeat_penalty: Some(agent.repeat_penalty),
            fallback_brain: agent.fallback_brain.clone(),
            tools: Some(agent.tools.clone()),
            vocabulary: Some(agent.vocabulary.clone()),
            pronunciations: Some(agent.pronunciations.clone()),
            patience: Some(agent.patience),
            volume_db: Some(agent.volume_db),
            filler: Some(agent.filler.clone()),
            voicemail: Some(agent.voicemail.clone()),
            context_webhook: agent.context_webhook.clone(),
            disclosure: Some(agent.disclosure.clone()),
            time_warning: Some(agent.time_warning.clone()),
            idle_s: agent.idle.map(|idle| u32::try_from(idle.as_secs()).unwrap_or(u32::MAX)),
            objective: agent.objective.clone(),
            report: Some(agent.report),
            max_duration_s: None,
            record: None,
        },
        metadata: Metadata::new(),
        created_at: now,
        updated_at: now,
    }
}

/// A number that the configuration gives to an agent, if it does.
pub(super) fn assigned(number: &config::Number, now: DateTime<Utc>) -> Option<Number> {
    let agent = number.agent.as_deref()?;
    let id = NumberId::from_name(number.number.as_str());
    let agent_id = Some(AgentId::from_name(agent));
    let number = Available::new(number).of(AccountId::house(), id, now);
    Some(Number { source: Source::Configuration, agent_id, ..number })
}

/// The brain of the configuration that stands for what says nothing of its brain.
pub(super) fn usual_brain(config: &Config) -> BrainChoice {
    let first = config.brains.first().filter(|_| !config.thinks_here());
    first.map_or(BrainChoice::Local, |brain| BrainChoice::Configured { name: brain.name.clone() })
}
