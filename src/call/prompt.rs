//! What the brain is given: the agent's persona, its examples, and what was said so far.

use models::{ChatMessage, Prompt, Role, Sampling, ToolCall};

use super::{Deed, Line};
use crate::config::Agent;
use crate::domain::Speaker;

/// Lines of history that the brain is given at most; a whole conversation of ordinary length.
const HISTORY: usize = 40;
/// Beyond that so many lines are left out at once: a prompt that begins otherwise each time has to be read anew each time.
const LEFT_OUT: usize = 16;
/// What a caller seems to say before a greeting.
const CALL_BEGINS: &str = "Hello?";

/// `session`: one number per call, under which a local model keeps what it has read.
pub(super) fn prompt(agent: &Agent, history: &[Line], session: u64) -> Prompt {
    let mut messages = Vec::new();
    // Who keeps its own prompt, as a webhook may, is sent none.
    if !agent.prompt.is_empty() {
        messages.push(ChatMessage::new(Role::System, agent.prompt.clone()));
    }
    for example in &agent.examples {
        messages.push(ChatMessage::new(Role::User, example.user.clone()));
        messages.push(ChatMessage::new(Role::Assistant, example.agent.clone()));
    }
    let pinned = messages.len();
    let lines = &history[history.len().saturating_sub(HISTORY).next_multiple_of(LEFT_OUT)..];
    // After examples a greeting would read as the end of the last one.
    if !agent.examples.is_empty() && lines.first().is_some_and(|line| line.speaker == Speaker::Agent) {
        messages.push(ChatMessage::new(Role::User, CALL_BEGINS));
    }
    for line in lines {
        if !line.deeds.is_empty() {
            messages.extend(done(line));
            continue;
        }
        let role = match line.speaker {
            Speaker::Caller => Role::User,
            Speaker::Agent => Role::Assistant,
        };
        match messages.last_mut() {
            Some(last) if last.role == role && last.tool_calls.is_empty() => {
                last.content = format!("{} {}", last.content, line.text)
            }
            _ => messages.push(ChatMessage::new(role, line.text.clone())),
        }
    }
    Prompt {
        max_tokens: agent.max_tokens,
        sampling: Sampling {
            temperature: agent.temperature,
            top_p: agent.top_p,
            repeat_penalty: agent.repeat_penalty,
            ..Sampling::default()
        },
        session,
        pinned,
        ..Prompt::new(messages)
    }
}

/// What the agent did, as the brain asked for it, and what it was told.
fn done(line: &Line) -> Vec<ChatMessage> {
    let call = |deed: &Deed| ToolCall {
        id: deed.id.clone(),
        name: deed.name.clone(),
        arguments: deed.arguments.clone(),
    };
    let asked = ChatMessage {
        tool_calls: line.deeds.iter().map(call).collect(),
        ..ChatMessage::new(Role::Assistant, line.text.clone())
    };
    let told = line.deeds.iter().map(|deed| ChatMessage::result(&call(deed), deed.result.clone()));
    std::iter::once(asked).chain(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn roles(examples: &str, history: &[(Speaker, &str)]) -> Vec<(Role, String)> {
        let config = Config::parse(&format!("[[agent]]\nname='a'\nprompt='Be brief.'\n{examples}")).unwrap();
        let history: Vec<_> = history.iter().map(|(speaker, text)| Line::new(*speaker, *text)).collect();
        let prompt = prompt(&config.agents[0], &history, 1);
        prompt.messages.into_iter().map(|message| (message.role, message.content)).collect()
    }

    #[test]
    fn without_examples_it_is_the_persona_and_what_was_said() {
        let said =
            [(Speaker::Agent, "Hello."), (Speaker::Caller, "Do you"), (Speaker::Caller, "open today?")];
        assert_eq!(
            roles("", &said),
            [
                (Role::System, "Be brief.".to_owned()),
                (Role::Assistant, "Hello.".to_owned()),
                (Role::User, "Do you open today?".to_owned()),
            ]
        );
    }

    #[test]
    fn an_empty_persona_is_no_message() {
        let mut config = Config::parse("[[agent]]\nname='a'\nprompt='x'").unwrap();
        config.agents[0].prompt.clear();
        let said = [Line::new(Speaker::Caller, "Hi.")];
        let messages = prompt(&config.agents[0], &said, 1).messages;
        assert_eq!((messages.len(), messages[0].role), (1, Role::User));
    }

    #[test]
    fn examples_stay_apart_from_the_call() {
        let said = [(Speaker::Agent, "Hello.")];
        let found = roles("[[agent.examples]]\nuser='Hi.'\nagent='Good day.'", &said);
        let contents: Vec<_> = found.iter().map(|(_, content)| content.as_str()).collect();
        assert_eq!(contents, ["Be brief.", "Hi.", "Good day.", CALL_BEGINS, "Hello."]);
    }

    #[test]
    fn an_endless_call_keeps_its_latest_lines_and_begins_alike_for_some_turns() {
        let said: Vec<_> = (0..200)
            .map(|n| if n % 2 == 0 { (Speaker::Caller, "And now?") } else { (Speaker::Agent, "Now this.") })
            .collect();
        let lines: Vec<_> = (0..=said.len()).map(|n| roles("", &said[..n]).len() - 1).collect();
        assert!(lines.iter().all(|lines| *lines <= HISTORY), "{lines:?}");
        assert!(lines[HISTORY..].iter().all(|lines| *lines > HISTORY - LEFT_OUT), "{lines:?}");
        let slides = lines.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(slides, (200 - HISTORY) / LEFT_OUT);
    }
}
