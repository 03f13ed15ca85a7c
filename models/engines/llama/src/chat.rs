//! Messages to tokens: the model's own chat template, and room for the reply however long the conversation is.

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use models::wire::{Failure, Message};

/// For models that bring no template, or one that llama.cpp does not know.
const CHATML: &str = "chatml";
/// Messages that are left out at once.
const BLOCK: usize = 8;
/// Messages of the caller that a note of what was left out tells of, and words of each.
const NOTED: usize = 6;
const NOTED_WORDS: usize = 8;
/// Each leaves nine tenths at most of what has no room.
const CUTS: usize = 60;

pub(crate) struct Chat {
    template: LlamaChatTemplate,
}

impl Chat {
    pub(crate) fn new(model: &LlamaModel) -> Result<Chat, Failure> {
        let usual = || LlamaChatTemplate::new(CHATML).map_err(|e| Failure::new("load", e));
        let template = match model.chat_template(None) {
            Ok(template) => template,
            Err(_) => usual()?,
        };
        let probe = [message("user", "hello")?];
        let known = model.apply_chat_template(&template, &probe, true).is_ok();
        Ok(Chat { template: if known { template } else { usual()? } })
    }

    /// The prompt's tokens, at most `room`, whatever the conversation is. Where it is longer, its oldest messages go first,
    /// with a note of what the caller said in them; then the pinned ones but what the system says; then what is longest is
    /// cut. Messages go by eights, so that the beginning stays the same for some turns, and what was read of it is kept.
    pub(crate) fn fit(
        &self,
        model: &LlamaModel,
        messages: &[Message],
        pinned: usize,
        reply: bool,
        room: usize,
    ) -> Result<Fitted, Failure> {
        let system = messages.iter().take_while(|m| m.role == "system").count();
        let newest = messages.len().saturating_sub(1);
        let pinned = pinned.max(system).min(newest);
        let mut left_out = 0;
        loop {
            let mut kept = messages[..pinned].to_vec();
            kept.extend_from_slice(&messages[pinned + left_out..]);
            note(&mut kept[pinned..], &messages[pinned..pinned + left_out]);
            let tokens = self.tokens(model, &kept, reply)?;
            if tokens.len() <= room {
                return Ok(Fitted { tokens, left_out, cut: false });
            }
            if pinned + left_out == newest {
                break;
            }
            left_out = (left_out + BLOCK).min(newest - pinned);
        }
        let mut kept = messages[..system.min(newest)].to_vec();
        kept.extend_from_slice(&messages[newest..]);
        let left_out = messages.len() - kept.len();
        for _ in 0..CUTS {
            let tokens = self.tokens(model, &kept, reply)?;
            if tokens.len() <= room {
                return Ok(Fitted { tokens, left_out, cut: true });
            }
            let keep = 0.9 * room as f32 / tokens.len() as f32;
            let Some(longest) = kept.iter_mut().max_by_key(|m| m.content.len()) else { break };
            cut(longest, keep);
        }
        Err(Failure::new("too-long", format!("there is room for {room} tokens")))
    }

    fn tokens(
        &self,
        model: &LlamaModel,
        messages: &[Message],
        reply: bool,
    ) -> Result<Vec<LlamaToken>, Failure> {
        let chat = messages.iter().map(|m| message(&m.role, &m.content)).collect::<Result<Vec<_>, _>>()?;
        let text =
            model.apply_chat_template(&self.template, &chat, reply).map_err(|e| Failure::new("engine", e))?;
        Ok(model.vocab().tokenize(text.as_bytes(), true, true))
    }
}

/// A prompt that the context has room for.
pub(crate) struct Fitted {
    pub(crate) tokens: Vec<LlamaToken>,
    /// Messages.
    pub(crate) left_out: usize,
    /// Whether what was left had to be cut.
    pub(crate) cut: bool,
}

/// Puts in front of the first words of the caller that are kept what they said in the messages that are not.
fn note(kept: &mut [Message], left_out: &[Message]) {
    let said: Vec<&str> = left_out.iter().filter(|m| m.role == "user").map(|m| m.content.as_str()).collect();
    let first = kept.iter_mut().find(|m| m.role == "user");
    if let (Some(first), false) = (first, said.is_empty()) {
        // Names come at the beginning, and what matters now at the end.
        let skipped = said.len().saturating_sub(NOTED);
        let kept = said.iter().take(NOTED / 2).chain(said.iter().skip(skipped + NOTED / 2));
        let parts: Vec<_> = kept.map(|text| beginning(text)).collect();
        first.content = format!("(earlier: {})\n{}", parts.join(" / "), first.content);
    }
}

/// Some words of a message.
fn beginning(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().take(NOTED_WORDS).collect();
    words.join(" ").chars().take(NOTED_WORDS * 8).collect()
}

/// Of the system's words the beginning stays, of others' the end.
fn cut(message: &mut Message, keep: f32) {
    let chars = message.content.chars().count();
    let keep = (chars as f32 * keep.clamp(0.0, 0.9)) as usize;
    message.content = match message.role.as_str() {
        "system" => message.content.chars().take(keep).collect(),
        _ => message.content.chars().skip(chars - keep).collect(),
    };
}

/// What people say is text: a control token written in it must not become one.
fn message(role: &str, content: &str) -> Result<LlamaChatMessage, Failure> {
    let tame: String =
        content.replace("<|", "< |").replace("[INST]", "[ INST]").replace("[/INST]", "[ /INST]");
    let tame = tame.replace("<start_of_turn>", "< start_of_turn>").replace("<end_of_turn>", "< end_of_turn>");
    let clean = |text: &str| text.chars().filter(|c| *c != '\0').collect::<String>();
    LlamaChatMessage::new(clean(role), clean(&tame)).map_err(|e| Failure::new("malformed", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: &str, content: &str) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    #[test]
    fn a_note_tells_what_the_caller_said_first_and_last() {
        let left_out: Vec<_> =
            (0..20).map(|i| said(["user", "assistant"][i % 2], &format!("line {i}"))).collect();
        let mut kept = [said("assistant", "Yes."), said("user", "And now?")];
        note(&mut kept, &left_out);
        assert_eq!(
            kept[1].content,
            "(earlier: line 0 / line 2 / line 4 / line 14 / line 16 / line 18)\nAnd now?"
        );
        assert_eq!(kept[0].content, "Yes.");
        let mut kept = [said("user", "Hi.")];
        note(&mut kept, &[]);
        assert_eq!(kept[0].content, "Hi.");
    }

    #[test]
    fn a_cut_keeps_what_matters() {
        let (mut system, mut user) = (said("system", "äbcd efghi"), said("user", "äbcd efghi"));
        cut(&mut system, 0.5);
        cut(&mut user, 0.5);
        assert_eq!((system.content.as_str(), user.content.as_str()), ("äbcd ", "efghi"));
    }
}
