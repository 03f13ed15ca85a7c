//! What an agent says where its settings do not: the stock sentences in the languages that we speak.

use super::agent::Agent;
use crate::domain::{Filler, Sentences};

struct Usual {
    first_message: &'static str,
    goodbye: &'static str,
    apology: &'static str,
    /// The second tells what the caller can do, and what will come.
    still_there: [&'static str; 2],
    transfer_failed: &'static str,
    disclosure: &'static str,
    time_warning: &'static str,
    fillers: [&'static str; 2],
}

const ENGLISH: Usual = Usual {
    first_message: "Hello, how can I help you?",
    goodbye: "Thank you for calling. Goodbye.",
    apology: "I am sorry, I had a problem there. Could you say that again?",
    still_there: [
        "Are you still there?",
        "I cannot hear you. If you need a moment, just say so. Otherwise I will end the call soon.",
    ],
    transfer_failed: "I am sorry, I could not put you through. Can I help you otherwise?",
    disclosure: "This call is recorded.",
    time_warning: "We have one minute left.",
    fillers: ["One moment.", "Let me see."],
};

const GERMAN: Usual = Usual {
    first_message: "Guten Tag, wie kann ich Ihnen helfen?",
    goodbye: "Vielen Dank für Ihren Anruf. Auf Wiederhören.",
    apology: "Entschuldigung, da gab es gerade ein Problem. Können Sie das bitte wiederholen?",
    still_there: [
        "Sind Sie noch da?",
        "Ich kann Sie nicht hören. Wenn Sie einen Moment brauchen, sagen Sie es einfach. Sonst beende ich gleich das Gespräch.",
    ],
    transfer_failed: "Es tut mir leid, ich konnte Sie nicht verbinden. Kann ich Ihnen anders helfen?",
    disclosure: "Dieses Gespräch wird aufgezeichnet.",
    time_warning: "Wir haben noch eine Minute.",
    fillers: ["Einen Moment, bitte.", "Ich sehe nach."],
};

const SPANISH: Usual = Usual {
    first_message: "Hola, ¿en qué puedo ayudarle?",
    goodbye: "Gracias por llamar. Adiós.",
    apology: "Perdone, he tenido un problema. ¿Puede repetirlo, por favor?",
    still_there: [
        "¿Sigue ahí?",
        "No le oigo. Si necesita un momento, dígamelo. Si no, terminaré la llamada en breve.",
    ],
    transfer_failed: "Lo siento, no he podido pasarle la llamada. ¿Puedo ayudarle de otra forma?",
    disclosure: "Esta llamada está siendo grabada.",
    time_warning: "Nos queda un minuto.",
    fillers: ["Un momento, por favor.", "Déjeme ver."],
};

const FRENCH: Usual = Usual {
    first_message: "Bonjour, comment puis-je vous aider ?",
    goodbye: "Merci de votre appel. Au revoir.",
    apology: "Excusez-moi, j'ai eu un problème. Pouvez-vous répéter, s'il vous plaît ?",
    still_there: [
        "Êtes-vous toujours là ?",
        "Je ne vous entends pas. Si vous avez besoin d'un moment, dites-le-moi. Sinon, je vais bientôt mettre fin à l'appel.",
    ],
    transfer_failed: "Je suis désolé, je n'ai pas pu transférer votre appel. Puis-je vous aider autrement ?",
    disclosure: "Cet appel est enregistré.",
    time_warning: "Il nous reste une minute.",
    fillers: ["Un instant, s'il vous plaît.", "Voyons voir."],
};

/// English where we have none of that language, and for "auto".
fn usual(language: &str) -> &'static Usual {
    match language {
        "de" => &GERMAN,
        "es" => &SPANISH,
        "fr" => &FRENCH,
        _ => &ENGLISH,
    }
}

fn texts(of: [&str; 2]) -> Vec<String> {
    of.map(str::to_owned).into()
}

impl Agent {
    /// An agent of which nothing is said but its language (ISO 639-1).
    #[must_use]
    pub fn speaking(language: &str) -> Self {
        let usual = usual(language);
        Self {
            first_message: usual.first_message.into(),
            goodbye: usual.goodbye.into(),
            apology: usual.apology.into(),
            still_there: Sentences::More(texts(usual.still_there)),
            transfer_failed: usual.transfer_failed.into(),
            disclosure: usual.disclosure.into(),
            time_warning: usual.time_warning.into(),
            filler: Filler { phrases: texts(usual.fillers), ..Filler::default() },
            language: language.to_owned(),
            ..Self::silent()
        }
    }

    /// Fillers whose settings name no phrases are those of the agent's language. The English ones stand for none.
    #[must_use]
    pub fn filling(self, filler: Option<Filler>) -> Self {
        let is_named = |filler: &Filler| filler.phrases != Filler::default().phrases;
        let filler = match filler {
            Some(filler) if is_named(&filler) => filler,
            Some(filler) => Filler { phrases: self.filler.phrases.clone(), ..filler },
            None => return self,
        };
        Self { filler, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_all_of_them_and_no_two_are_alike() {
        let all = |language: &str| {
            let agent = Agent::speaking(language);
            let single = [
                agent.first_message,
                agent.goodbye,
                agent.apology,
                agent.transfer_failed,
                agent.disclosure,
                agent.time_warning,
            ];
            [&single[..], agent.still_there.all(), &agent.filler.phrases].concat()
        };
        let mut seen = std::collections::HashSet::new();
        for language in ["en", "de", "es", "fr"] {
            for sentence in all(language) {
                assert!(sentence.chars().count() <= models::tts::MAX_CHARS && !sentence.trim().is_empty());
                assert!(seen.insert(sentence.clone()), "{sentence:?} is there twice");
            }
        }
        assert_eq!((all("auto"), all("it")), (all("en"), all("en")));
        assert_eq!(Agent::speaking("en"), Agent::default());
        assert_eq!(Agent::default().filler, Filler::default(), "what stands for no phrases at all");
    }

    #[test]
    fn fillers_without_phrases_are_those_of_the_language() {
        let filler = |filler| Agent::speaking("de").filling(filler).filler;
        let own = Filler { after_ms: 700, phrases: vec!["Moment.".into()] };
        assert_eq!(filler(Some(own.clone())), own);
        let late = filler(Some(Filler { after_ms: 700, ..Filler::default() }));
        assert_eq!((late.after_ms, late.phrases[0].as_str()), (700, "Einen Moment, bitte."));
        assert_eq!(filler(None).phrases[1], "Ich sehe nach.");
    }
}
