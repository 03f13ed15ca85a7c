//! Tools that reach somebody beside the call: whom the caller is handed on to, and texts. The guards judge both.

use chrono::Utc;
use serde_json::json;
use tokio::time::timeout;

use super::{Handover, LOOKING_UP, Outcome, Then, Toolbox, lock};
use crate::call::guards::{Errand, Refusal};
use crate::call::messages::{Text, Undrafted};
use crate::call::meter::occasion;
use crate::call::route::RouteError;
use crate::domain::{Direction, Metadata, Private};

/// Texts that a model may send in one call.
const MOST_TEXTS: u32 = 3;

impl Toolbox {
    /// Finds out whether the caller can be handed on, and keeps the way until the agent has been heard out.
    pub(super) async fn prepare_handover(&self, turn: u32, name: &str) -> Outcome {
        let Some(to) = self.target(name) else {
            let names: Vec<_> = self.tools.transfer.keys().map(String::as_str).collect();
            return Outcome::refused(format!(
                "there is nobody called {name:?}; there are {}",
                names.join(", ")
            ));
        };
        let (exchange, call) = (&self.kit.exchange, &self.call);
        let way = async {
            exchange.guards.destination(&to).map_err(RouteError::Guarded)?;
            occasion(exchange, &call.account, call.key_id.as_ref(), Errand::Transfer).await?;
            exchange.route_beside(call, &to).await
        };
        match timeout(LOOKING_UP, way).await {
            Ok(Ok(waves)) => {
                let handover = Handover { to: Private::new(to), waves };
                *lock(&self.handover) = Some((turn, handover));
                Outcome::done(
                    "The caller is put through when you have been heard out, unless they speak first.",
                    Then::Transfer,
                )
            }
            Ok(Err(error)) => Outcome::refused(format!("the caller cannot be put through: {}", why(error))),
            Err(_) => Outcome::refused("the caller cannot be put through: the way was not found in time"),
        }
    }

    /// What a name stands for.
    fn target(&self, name: &str) -> Option<String> {
        let targets = &self.tools.transfer;
        let named = targets.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, to)| to);
        let named = named.or_else(|| targets.values().find(|to| *to == name));
        named.cloned().or_else(|| self.tools.transfer_anywhere.then(|| name.to_owned()))
    }

    /// Writes to the other side of the call.
    pub(super) async fn send_text(&self, text: &str) -> Outcome {
        let refused = |why: String| Outcome::refused(format!("the text was not sent: {why}"));
        {
            let mut sent = lock(&self.texts);
            if *sent >= MOST_TEXTS {
                return refused(format!("{MOST_TEXTS} were sent in this call already"));
            }
            *sent += 1;
        }
        let (exchange, call) = (&self.kit.exchange, &self.call);
        let Some(from) = exchange.number_of(call) else {
            return refused("there is no number to send it from".into());
        };
        let to = match call.direction {
            Direction::Inbound => call.from.clone(),
            Direction::Outbound => call.to.clone(),
        };
        let metadata: Metadata = [("call_id".to_owned(), json!(call.id))].into_iter().collect();
        let text = Text {
            account: &call.account,
            key: call.key_id.as_ref(),
            from: &from,
            to: &to,
            text: &Private::new(text.to_owned()),
            metadata,
            at: Utc::now(),
        };
        let draft = match exchange.draft(text).await {
            Ok(draft) => draft,
            Err(Undrafted::Route(error)) => return refused(why(error)),
            Err(error @ (Undrafted::Off | Undrafted::Store(_))) => return refused(error.to_string()),
            Err(error @ Undrafted::RecipientStopped) => return refused(format!("the person {error}")),
            Err(error) => return refused(format!("it {error}")),
        };
        match self.kit.switchboard.send(draft).await {
            Ok(_) => Outcome::done("The text is on its way.", Then::Think),
            Err(error) => refused(error.to_string()),
        }
    }
}

/// For the model: a sentence.
fn why(error: RouteError) -> String {
    match error {
        RouteError::Guarded(refusal) if refusal.is_of_the_number() => format!("the number {refusal}"),
        RouteError::Guarded(refusal @ (Refusal::Spend { .. } | Refusal::Credits | Refusal::Hours { .. })) => {
            refusal.to_string()
        }
        error => error.to_string(),
    }
}
