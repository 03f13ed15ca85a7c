//! Calls attended: somebody of the house listens, whispers, or speaks with both; and the agent is told something.

use super::calls::{MOST_SAID, not_up};
use super::{Error, Gateway, Kind};
use crate::call::{Errand, Supervise, Unattended, Unsaid};
use crate::domain::{CallId, Principal, Private, Scope, SupervisionMode};

/// How somebody is to attend a call.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "to": "201", "mode": "listen" }))]
pub struct SuperviseCall {
    /// The number of an extension, or a SIP URI. Absent: who attends already, in another mode.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub to: Option<Private<String>>,
    #[serde(default)]
    pub mode: SupervisionMode,
}

/// What the agent shall know or do.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "text": "Offer them a refund." }))]
pub struct Instruct {
    /// At most 2,000 characters.
    #[schema(value_type = String, min_length = 1, max_length = 2000)]
    pub text: Private<String>,
}

impl Gateway {
    /// Has somebody attend a call, or changes how they do. Returns when they are being called.
    ///
    /// # Errors
    /// Also where they would be called over a trunk by number: that costs, and is on no meter.
    pub async fn supervise(&self, who: &Principal, id: CallId, request: SuperviseCall) -> Result<(), Error> {
        who.require(Scope::CallsRead)?;
        let call = self.call_to_steer(who, &id).await?;
        let to = match request.to {
            None => None,
            Some(to) => {
                let is_here = self.exchange.config.extension(to.reveal()).is_some();
                let is_address = to.reveal().parse::<sip::Uri>().is_ok_and(|uri| uri.as_sip().is_some());
                if !is_here && !is_address {
                    return Err(Error::field("to", "must be the number of an extension, or a SIP URI"));
                }
                self.guard(who, Errand::Transfer, to.reveal()).await?;
                let waves = self.exchange.route_beside(&call, to.reveal()).await.map_err(Error::route)?;
                Some((to, waves))
            }
        };
        let order = Supervise { to, mode: request.mode };
        self.switchboard.supervise(id, order).await.map_err(unattended)
    }

    /// Has whoever attends the call leave it.
    pub async fn unsupervise(&self, who: &Principal, id: CallId) -> Result<(), Error> {
        self.call_to_steer(who, &id).await?;
        self.switchboard.unsupervise(id).await.map_err(unattended)
    }

    /// Tells the agent something that the other side does not hear. It knows from its next answer on.
    pub async fn instruct(&self, who: &Principal, id: CallId, request: Instruct) -> Result<(), Error> {
        self.call_to_steer(who, &id).await?;
        let length = request.text.reveal().chars().count();
        if request.text.reveal().trim().is_empty() {
            return Err(Error::field("text", "is empty; it must hold what the agent shall know"));
        }
        if length > MOST_SAID {
            return Err(Error::field(
                "text",
                format!("has {length} characters; at most {MOST_SAID} are told at once"),
            ));
        }
        self.switchboard.instruct(id, request.text).await.map_err(|error| match error {
            Unsaid::NotUp => not_up(),
            Unsaid::Away => {
                Error::coded(Kind::Conflict, "no_agent", "two people talk; no agent has the call")
            }
            Unsaid::TooMany => Error::coded(
                Kind::TooMany,
                "too_many_instructions",
                "the agent has been told as much as it can keep in mind",
            ),
        })
    }
}

fn unattended(error: Unattended) -> Error {
    let code = match error {
        Unattended::NotUp => return not_up(),
        Unattended::NoLine => return Error::new(Kind::Busy, error.to_string()),
        Unattended::Nobody => "not_supervised",
        Unattended::Taken => "supervised",
        Unattended::NoEar => "agent_has_no_ear",
    };
    Error::coded(Kind::Conflict, code, error.to_string())
}
