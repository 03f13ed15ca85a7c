//! `[messages]`: what is done of its own accord with text messages, by whichever way they come.

use super::file::Section;

#[derive(Clone, PartialEq, Debug)]
pub struct Messages {
    /// Whether STOP, START and HELP are answered. They are honoured in any case.
    pub confirmations: bool,
    /// What the answers say; `{number}` is ours.
    pub stopped: String,
    pub started: String,
    pub help: String,
    /// Words that mean STOP, besides those that it knows.
    pub stop_words: Vec<String>,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            confirmations: true,
            stopped: "You will get no more messages from {number}. Reply START to get them again.".into(),
            started: "You will get messages from {number} again. Reply STOP to end them.".into(),
            help: "You get messages from {number}. Reply STOP to end them.".into(),
            stop_words: Vec::new(),
        }
    }
}

pub(super) fn messages(s: Section, default: Messages) -> Messages {
    let messages = Messages {
        confirmations: s.flag("confirmations", default.confirmations),
        stopped: s.text("stopped").unwrap_or(default.stopped),
        started: s.text("started").unwrap_or(default.started),
        help: s.text("help").unwrap_or(default.help),
        stop_words: s.texts("stop_words", &[]),
    };
    for (key, text) in
        [("stopped", &messages.stopped), ("started", &messages.started), ("help", &messages.help)]
    {
        if text.trim().is_empty() {
            s.wrong(key, "is empty; set confirmations = false to have no answers sent");
        }
        if text.replace("{number}", "").contains(['{', '}']) {
            s.wrong(key, format!("is {text:?}; in braces it may hold {{number}}"));
        }
        // An answer that is itself such a word would have two gateways talk to one another for ever.
        if crate::domain::Keyword::of(text, &messages.stop_words).is_some() {
            s.wrong(key, "is a word that is answered itself; say more than that");
        }
    }
    s.finish();
    messages
}
