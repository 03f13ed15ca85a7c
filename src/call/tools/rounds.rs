//! The rounds of one answer: the model thinks, asks for tools, is told what came of them, and thinks again.

use models::{ChatMessage, Prompt, Role, ToolCall};

use super::{Outcome, Then};

/// How often a model may ask for tools in one answer; then it has to talk.
const MOST_ROUNDS: u32 = 4;
/// Tools that it may ask for at once.
const MOST_AT_ONCE: usize = 8;

/// What the model said and wanted done in one round.
#[derive(Default)]
pub(in crate::call) struct Asked {
    pub(in crate::call) text: String,
    pub(in crate::call) calls: Vec<ToolCall>,
}

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::call) enum Thought {
    Whole,
    /// The model was told what came of its tools, and has said nothing to it.
    Silent,
}

/// Where an answer stands.
pub(in crate::call) struct Round {
    n: u32,
    pub(in crate::call) prompt: Prompt,
    told: Vec<ChatMessage>,
    thinks_again: bool,
    ends: bool,
}

impl Round {
    pub(in crate::call) fn first(prompt: Prompt) -> Self {
        Self { n: 0, prompt, told: Vec::new(), thinks_again: false, ends: false }
    }

    /// Whether the model has to talk now, whatever it asks for.
    pub(in crate::call) fn is_the_last(&self) -> bool {
        self.n >= MOST_ROUNDS
    }

    /// How the answer ends with what was said in the last round.
    pub(in crate::call) fn conclude(&self, asked: &Asked) -> Thought {
        let is_silent = self.n > 0 && asked.text.trim().is_empty();
        if is_silent { Thought::Silent } else { Thought::Whole }
    }

    /// What of this is done, in this order. The rest was too much.
    pub(in crate::call) fn begin(&mut self, asked: Asked) -> Vec<ToolCall> {
        let Asked { text, mut calls } = asked;
        calls.truncate(MOST_AT_ONCE);
        let message = ChatMessage { tool_calls: calls.clone(), ..ChatMessage::new(Role::Assistant, text) };
        self.told = vec![message];
        (self.thinks_again, self.ends) = (false, false);
        calls
    }

    /// Takes down what came of a tool. False: the call is handed on or over, and nothing follows.
    pub(in crate::call) fn told(&mut self, call: &ToolCall, outcome: &Outcome) -> bool {
        self.told.push(ChatMessage::result(call, outcome.result.clone()));
        match outcome.then {
            Then::Think => self.thinks_again = true,
            Then::HangUp | Then::Transfer => self.ends = true,
            Then::Quiet(_) => {}
        }
        !self.ends
    }

    /// Goes on to the next round. False: there is none, for all was said and done.
    pub(in crate::call) fn next(&mut self) -> bool {
        if self.ends || !self.thinks_again {
            return false;
        }
        self.n += 1;
        self.prompt.messages.append(&mut self.told);
        if self.is_the_last() {
            self.prompt.tools.clear();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "find_slot".into(), arguments: "{}".into() }
    }

    fn asked(ids: &[&str]) -> Asked {
        Asked { text: "One moment.".into(), calls: ids.iter().map(|id| call(id)).collect() }
    }

    fn outcome(then: Then) -> Outcome {
        Outcome::done("ok", then)
    }

    fn round() -> Round {
        let spec = models::ToolSpec { name: "a".into(), description: "a".into(), parameters: true.into() };
        let prompt = Prompt { tools: vec![spec], ..Prompt::new(vec![ChatMessage::new(Role::User, "Hi.")]) };
        Round::first(prompt)
    }

    #[test]
    fn the_model_is_told_what_came_of_what_it_asked_for() {
        let mut round = round();
        for call in round.begin(asked(&["1", "2"])) {
            assert!(round.told(&call, &outcome(Then::Think)));
        }
        assert!(round.next());
        let roles: Vec<_> = round.prompt.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Tool]);
        assert_eq!(round.prompt.messages[1].tool_calls.len(), 2);
        assert_eq!(round.prompt.messages[3].tool_call_id.as_deref(), Some("2"));
    }

    #[test]
    fn who_asks_for_ever_has_to_talk_at_last() {
        let mut round = round();
        for n in 1..=4 {
            let call = round.begin(asked(&["1"])).remove(0);
            round.told(&call, &outcome(Then::Think));
            assert!(round.next());
            assert_eq!(round.conclude(&Asked::default()), Thought::Silent);
            assert_eq!((round.prompt.tools.is_empty(), round.is_the_last()), (n == 4, n == 4), "round {n}");
        }
    }

    #[test]
    fn a_deed_that_needs_no_words_ends_the_answer() {
        let mut round = round();
        let calls = round.begin(asked(&["1", "2", "3"]));
        assert!(round.told(&calls[0], &outcome(Then::Quiet(Duration::ZERO))));
        assert!(!round.next());
        let calls = round.begin(asked(&["1", "2"]));
        assert!(!round.told(&calls[0], &outcome(Then::Transfer)), "the second is not done any more");
        assert!(!round.next());
        assert_eq!(round.begin(asked(&["x"; 20])).len(), MOST_AT_ONCE);
        assert_eq!(round.conclude(&asked(&[])), Thought::Whole);
    }
}
