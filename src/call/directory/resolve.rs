//! What one call is like: the call's own request over the number over the agent over the account over the configuration.

use std::time::Duration;

use super::Directory;
use super::declared::usual_brain;
use crate::config::{self, Config};
use crate::domain::{AccountId, Agent, AgentId, Direction, Number, Settings};

/// Whose settings are asked for, the upper layers first.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub account: &'a AccountId,
    /// What the call itself says.
    pub own: &'a Settings,
    /// The number that is called, or called from, with its settings for that direction. Its agent speaks where no other is named.
    pub number: Option<&'a Number>,
    pub direction: Direction,
    pub agent: Option<&'a Agent>,
}

/// Settings that leave nothing open.
#[derive(Clone, PartialEq, Debug)]
pub struct Resolved {
    pub agent_id: Option<AgentId>,
    /// Its name is empty where no agent stands behind the settings.
    pub agent: config::Agent,
    /// Never longer than the box allows.
    pub max_duration: Duration,
    pub record: bool,
}

/// What the configuration says of every call.
pub(super) struct Limits {
    max_duration: Duration,
    record: bool,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        Self { max_duration: config.limits.max_duration, record: config.recording.enabled }
    }
}

/// The lowest layer: an agent as the configuration makes it when nothing is said.
pub(super) fn base(config: &Config) -> config::Agent {
    config::Agent { brain: usual_brain(config), ..config::Agent::default() }
}

impl Directory {
    /// Every setting of a call. Always possible: what nobody has said the configuration has.
    pub fn resolve(&self, wanted: &Wanted<'_>) -> Resolved {
        let now = self.shared.now.load();
        let of_number = wanted.number.and_then(|number| now.agents.get(number.agent_id.as_ref()?));
        let agent = wanted.agent.or(of_number.map(|agent| &**agent));
        let number = wanted.number.map(|number| match wanted.direction {
            Direction::Inbound => &number.inbound,
            Direction::Outbound => &number.outbound,
        });
        let account = now.accounts.get(wanted.account).map(|settings| &**settings);
        let layers = [number, agent.map(|agent| &agent.settings), account];
        let said = layers.into_iter().flatten().fold(wanted.own.clone(), |upper, below| upper.over(below));
        let limits = &self.shared.limits;
        let longest = said.max_duration_s.map(|s| Duration::from_secs(s.into()));
        let record = said.record.unwrap_or(limits.record);
        let mut resolved = Resolved {
            agent_id: agent.map(|agent| agent.id.clone()),
            agent: fill(said, &self.shared.base),
            max_duration: longest.map_or(limits.max_duration, |asked| asked.min(limits.max_duration)),
            record,
        };
        if let Some(agent) = agent {
            resolved.agent.name.clone_from(&agent.name);
            // Examples teach the tone of the prompt that they were written for, and no other.
            if let Some((prompt, examples)) = self.shared.examples.get(&agent.id)
                && *prompt == resolved.agent.prompt
            {
                resolved.agent.examples.clone_from(examples);
            }
        }
        resolved
    }
}

fn fill(said: Settings, base: &config::Agent) -> config::Agent {
    // What is said without being told to is said in the language of the call.
    let language = said.language.as_ref().unwrap_or(&base.language);
    let base = config::Agent { brain: base.brain.clone(), ..config::Agent::speaking(language) };
    let filler = base.clone().filling(said.filler).filler;
    config::Agent {
        name: String::new(),
        prompt: said.prompt.unwrap_or(base.prompt),
        examples: Vec::new(),
        first_message: said.first_message.unwrap_or(base.first_message),
        goodbye: said.goodbye.unwrap_or(base.goodbye),
        apology: said.apology.unwrap_or(base.apology),
        still_there: said.still_there.unwrap_or(base.still_there),
        transfer_failed: said.transfer_failed.unwrap_or(base.transfer_failed),
        brain: said.brain.unwrap_or(base.brain),
        voice: said.voice.or(base.voice),
        speed: said.speed.unwrap_or(base.speed),
        language: base.language,
        end_call_phrases: said.end_call_phrases.unwrap_or(base.end_call_phrases),
        max_tokens: said.max_tokens.unwrap_or(base.max_tokens),
        temperature: said.temperature.unwrap_or(base.temperature),
        top_p: said.top_p.unwrap_or(base.top_p),
        repeat_penalty: said.repeat_penalty.unwrap_or(base.repeat_penalty),
        fallback_brain: said.fallback_brain.or(base.fallback_brain),
        tools: said.tools.unwrap_or(base.tools),
        vocabulary: said.vocabulary.unwrap_or(base.vocabulary),
        pronunciations: said.pronunciations.unwrap_or(base.pronunciations),
        patience: said.patience.unwrap_or(base.patience),
        volume_db: said.volume_db.unwrap_or(base.volume_db),
        filler,
        voicemail: said.voicemail.unwrap_or(base.voicemail),
        context_webhook: said.context_webhook.or(base.context_webhook),
        disclosure: said.disclosure.unwrap_or(base.disclosure),
        time_warning: said.time_warning.unwrap_or(base.time_warning),
        idle: said.idle_s.map(|s| Duration::from_secs(s.into())).or(base.idle),
        objective: said.objective.or(base.objective),
        report: said.report.unwrap_or(base.report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BrainChoice;

    const FILE: &str = "[limits]\nmax_duration_s = 600\n[[trunk]]\nname='t'\nallow=['192.0.2.0/24']\n\
        [[agent]]\nname='desk'\nprompt='File.'\n[[agent.examples]]\nuser='Hi.'\nagent='Good day.'\n\
        [[number]]\nnumber='+14155552671'\naliases=['100']\nagent='desk'\ntrunk='t'\n\
        [[number]]\nnumber='+14155552672'\ntrunk='t'";

    fn directory(more: &str) -> Directory {
        let config = Config::parse(&format!("{FILE}\n{more}")).unwrap_or_else(|list| panic!("{list:#?}"));
        Directory::of(&config)
    }

    fn said(prompt: &str) -> Settings {
        Settings { prompt: Some(prompt.into()), ..Settings::default() }
    }

    #[test]
    fn the_call_comes_before_the_number_the_agent_the_account_and_the_file() {
        let (directory, house) = (directory(""), AccountId::house());
        let mut number = (*directory.dialled("100").unwrap()).clone();
        let prompt = |own: &Settings, number: Option<&Number>, direction| {
            let wanted = Wanted { account: &house, own, number, direction, agent: None };
            directory.resolve(&wanted).agent.prompt
        };
        let nothing = Settings::default();
        assert_eq!(prompt(&nothing, None, Direction::Inbound), config::Agent::default().prompt);
        directory.put_account(&house, &said("Account."));
        assert_eq!(prompt(&nothing, None, Direction::Inbound), "Account.");
        assert_eq!(prompt(&nothing, Some(&number), Direction::Inbound), "File.");
        number.inbound = said("Number, in.");
        assert_eq!(prompt(&nothing, Some(&number), Direction::Inbound), "Number, in.");
        assert_eq!(prompt(&nothing, Some(&number), Direction::Outbound), "File.");
        assert_eq!(prompt(&said("Call."), Some(&number), Direction::Inbound), "Call.");
    }

    #[test]
    fn examples_go_with_their_prompt() {
        let (directory, house) = (directory(""), AccountId::house());
        let agent = directory.agent(&house, "desk").unwrap();
        let examples = |own: &Settings| {
            let direction = Direction::Outbound;
            let wanted = Wanted { account: &house, own, number: None, direction, agent: Some(&agent) };
            directory.resolve(&wanted).agent.examples.len()
        };
        assert_eq!((examples(&Settings::default()), examples(&said("Call."))), (1, 0));
    }

    #[test]
    fn what_nobody_has_said_is_said_in_the_language_of_the_call() {
        let (directory, house) = (directory(""), AccountId::house());
        let own: Settings = serde_json::from_value(serde_json::json!({
            "language": "de", "goodbye": "Tschüss.", "filler": { "after_ms": 900 },
        }))
        .unwrap();
        let direction = Direction::Inbound;
        let wanted = Wanted { account: &house, own: &own, number: None, direction, agent: None };
        let agent = directory.resolve(&wanted).agent;
        assert_eq!((agent.language.as_str(), agent.goodbye.as_str()), ("de", "Tschüss."));
        assert_eq!(agent.still_there.nth(0), "Sind Sie noch da?");
        assert_eq!((agent.filler.after_ms, agent.filler.phrases[0].as_str()), (900, "Einen Moment, bitte."));
    }

    #[test]
    fn nobody_talks_for_longer_than_the_box_allows() {
        let (directory, house) = (directory(""), AccountId::house());
        let longest = |seconds| {
            let own = Settings { max_duration_s: seconds, ..Settings::default() };
            let direction = Direction::Outbound;
            let wanted = Wanted { account: &house, own: &own, number: None, direction, agent: None };
            directory.resolve(&wanted).max_duration.as_secs()
        };
        assert_eq!((longest(None), longest(Some(60)), longest(Some(6000))), (600, 60, 600));
    }

    #[test]
    fn without_a_local_model_the_first_brain_thinks() {
        let brain = |more: &str, agent: &str| {
            let config = Config::parse(&format!("[[agent]]\nname='a'\n{agent}\n{more}")).unwrap();
            usual_brain(&config)
        };
        let crm = "[[brain]]\nname='crm'\nurl='http://127.0.0.1/'";
        assert_eq!(brain(crm, "brain='crm'"), BrainChoice::Configured { name: "crm".into() });
        assert_eq!(brain(crm, ""), BrainChoice::Local);
        assert_eq!(brain("", ""), BrainChoice::Local);
    }

    #[test]
    fn a_number_belongs_to_one_account() {
        let (directory, house) = (directory(""), AccountId::house());
        let number = directory.number(&house, "+14155552671").unwrap();
        assert_eq!(directory.number(&house, number.id.as_str()).unwrap(), number);
        assert_eq!(directory.dialled("14155552671").unwrap(), number);
        let other = AccountId::from_name("other");
        assert!(directory.number(&other, "+14155552671").is_err());
        assert!(directory.dialled("14155552672").is_none(), "a number of the pool has nobody");
        let error = directory.number(&house, "(415) 555-2671").unwrap_err().to_string();
        assert!(error.contains("+14155552671"), "{error}");
    }
}
