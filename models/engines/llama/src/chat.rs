//! Messages to tokens: the model's own chat template, and room for the reply.

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use models::wire::{Failure, Message};

/// For models that bring no template, or one that llama.cpp does not know.
const CHATML: &str = "chatml";

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

    /// The prompt's tokens, at most `room`. Where the conversation is longer, its oldest turns go first; what the system
    /// says, and the last turn, stay.
    pub(crate) fn tokens(
        &self,
        model: &LlamaModel,
        messages: &[Message],
        reply: bool,
        room: usize,
    ) -> Result<Vec<LlamaToken>, Failure> {
        let mut kept: Vec<&Message> = messages.iter().collect();
        loop {
            let chat = kept.iter().map(|m| message(&m.role, &m.content)).collect::<Result<Vec<_>, _>>()?;
            let text = model
                .apply_chat_template(&self.template, &chat, reply)
                .map_err(|e| Failure::new("engine", e))?;
            let tokens = model.vocab().tokenize(text.as_bytes(), true, true);
            if tokens.len() <= room {
                return Ok(tokens);
            }
            let oldest = kept.iter().position(|m| m.role != "system").filter(|i| i + 1 < kept.len());
            let Some(oldest) = oldest else {
                let message = format!("the prompt has {} tokens, and there is room for {room}", tokens.len());
                return Err(Failure::new("too-long", message));
            };
            kept.remove(oldest);
        }
    }
}

/// What people say is text: a control token written in it must not become one.
fn message(role: &str, content: &str) -> Result<LlamaChatMessage, Failure> {
    let tame: String =
        content.replace("<|", "< |").replace("[INST]", "[ INST]").replace("[/INST]", "[ /INST]");
    let tame = tame.replace("<start_of_turn>", "< start_of_turn>").replace("<end_of_turn>", "< end_of_turn>");
    let clean = |text: &str| text.chars().filter(|c| *c != '\0').collect::<String>();
    LlamaChatMessage::new(clean(role), clean(&tame)).map_err(|e| Failure::new("malformed", e))
}
