//! Webhooks: endpoints of clients that are told of events, and what they were told.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::Utc;
use serde_json::json;

use super::registry::given;
use super::{Error, Gateway, Kind};
use crate::domain::{
    AgentId, Delivery, DeliveryId, DeliveryStatus, EventKind, Principal, Scope, SigningSecret, Vocabulary,
    Webhook, WebhookId,
};
use crate::outside::Refused;
use crate::store::{Asked, Cursor, Page};

/// An endpoint that a client asks to have told.
#[derive(Clone, Default, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "url": "https://hooks.example.com/offhook", "events": ["call.ended", "message.received"], "description": "CRM",
}))]
pub struct CreateWebhook {
    /// `https://…` or `http://…`. It may not lead inside, to this box or the operator's network, unless the operator allows that.
    #[schema(max_length = 2048)]
    pub url: String,
    /// Names of events. Absent or empty: all but `call.transcript.partial`, `call.turn`, `call.dtmf`, `call.barge_in` and `call.tool`,
    /// which come many times in a call and are told only where they are named.
    #[serde(default)]
    pub events: Vec<String>,
    /// Only what this agent is part of.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub description: Option<String>,
    /// Absent: true.
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(skip)]
    pub vocabulary: Vocabulary,
}

/// What is to change; what is absent stays as it is.
#[derive(Clone, Default, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "enabled": false }))]
pub struct PatchWebhook {
    /// As when it is made.
    #[serde(default)]
    #[schema(max_length = 2048)]
    pub url: Option<String>,
    /// As when it is made.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// `null`: of every agent.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<AgentId>)]
    pub agent_id: Option<Option<AgentId>>,
    /// `null`: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 200)]
    pub description: Option<Option<String>>,
    /// `false`: nothing is sent and nothing new is queued; what is pending waits.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// How long the old secret signs as well.
#[derive(Clone, Default, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "overlap_s": 3600 }))]
pub struct RotateSecret {
    /// Seconds; absent: a day. 0: the old one ends now.
    #[serde(default)]
    #[schema(maximum = 604_800)]
    pub overlap_s: Option<u32>,
}

/// Which deliveries.
#[derive(Clone, Default, Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveryFilter {
    /// Only those that stand so.
    pub status: Option<DeliveryStatus>,
    /// Only those of this event.
    #[param(example = "call.ended")]
    pub event: Option<String>,
}

/// The longest overlap of two secrets.
const LONGEST_OVERLAP: Duration = Duration::from_secs(7 * 86_400);
const USUAL_OVERLAP: Duration = Duration::from_secs(86_400);
/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 200;

impl Gateway {
    /// The answer holds the secret, this once.
    pub async fn create_webhook(&self, who: &Principal, new: CreateWebhook) -> Result<Webhook, Error> {
        who.require(Scope::WebhooksWrite)?;
        let (url, events) = (self.checked_url(&new.url).await?, checked_events(new.events)?);
        let description = new.description.map(checked_description).transpose()?;
        self.check_agent(who, new.agent_id.as_ref())?;
        let now = Utc::now();
        let webhook = Webhook {
            id: WebhookId::from_random(self.random()),
            account: who.account.clone(),
            url,
            events,
            agent_id: new.agent_id,
            description,
            enabled: new.enabled.unwrap_or(true),
            secret: SigningSecret::from_random(self.random()),
            old_secret: None,
            vocabulary: new.vocabulary,
            created_at: now,
            updated_at: now,
        };
        let made = webhook.clone();
        match self.read(move |store| store.add_webhook(&made)).await? {
            true => Ok(webhook),
            false => Err(Error::coded(
                Kind::Conflict,
                "too_many_webhooks",
                "an account has at most 100 webhooks; delete one that is not needed any more",
            )),
        }
    }

    pub async fn webhooks(
        &self,
        who: &Principal,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Webhook>, Error> {
        who.require(Scope::WebhooksRead)?;
        let account = who.account.clone();
        self.read(move |store| store.webhooks_page(&account, after.as_ref(), limit)).await
    }

    pub async fn webhook(&self, who: &Principal, id: WebhookId) -> Result<Webhook, Error> {
        who.require(Scope::WebhooksRead)?;
        self.own_webhook(who, id).await
    }

    pub async fn patch_webhook(
        &self,
        who: &Principal,
        id: WebhookId,
        patch: PatchWebhook,
    ) -> Result<Webhook, Error> {
        who.require(Scope::WebhooksWrite)?;
        let url = match &patch.url {
            Some(url) => Some(self.checked_url(url).await?),
            None => None,
        };
        let events = patch.events.map(checked_events).transpose()?;
        let description =
            patch.description.map(|text| text.map(checked_description).transpose()).transpose()?;
        self.check_agent(who, patch.agent_id.as_ref().and_then(Option::as_ref))?;
        let change = move |webhook: &mut Webhook| {
            webhook.url = url.unwrap_or_else(|| webhook.url.clone());
            webhook.events = events.unwrap_or_else(|| webhook.events.clone());
            webhook.agent_id = patch.agent_id.unwrap_or_else(|| webhook.agent_id.clone());
            webhook.description = description.unwrap_or_else(|| webhook.description.clone());
            webhook.enabled = patch.enabled.unwrap_or(webhook.enabled);
            webhook.updated_at = Utc::now();
        };
        self.change_webhook(who, id, change).await
    }

    /// What was queued for it is not sent any more.
    pub async fn delete_webhook(&self, who: &Principal, id: WebhookId) -> Result<(), Error> {
        who.require(Scope::WebhooksWrite)?;
        let (account, wanted) = (who.account.clone(), id.clone());
        match self.read(move |store| store.remove_webhook(&account, &wanted)).await? {
            true => Ok(()),
            false => Err(Error::missing("webhook", id)),
        }
    }

    /// The answer holds the new secret, this once.
    pub async fn rotate_webhook_secret(
        &self,
        who: &Principal,
        id: WebhookId,
        request: RotateSecret,
    ) -> Result<Webhook, Error> {
        who.require(Scope::WebhooksWrite)?;
        let overlap = request.overlap_s.map_or(USUAL_OVERLAP, |seconds| Duration::from_secs(seconds.into()));
        if overlap > LONGEST_OVERLAP {
            let reason =
                format!("is {}, and must be at most {}", overlap.as_secs(), LONGEST_OVERLAP.as_secs());
            return Err(Error::field("overlap_s", reason));
        }
        let secret = SigningSecret::from_random(self.random());
        let change = move |webhook: &mut Webhook| {
            let now = Utc::now();
            let old = std::mem::replace(&mut webhook.secret, secret);
            webhook.old_secret = (!overlap.is_zero()).then(|| (old, now + overlap));
            webhook.updated_at = now;
        };
        self.change_webhook(who, id, change).await
    }

    /// What the requests of the account's calls are signed with.
    pub fn signing_secret(&self, who: &Principal) -> Result<SigningSecret, Error> {
        who.require(Scope::WebhooksWrite)?;
        let secret = self.exchange.outside.secret_of(&who.account);
        secret.ok_or_else(|| Error::new(Kind::Internal, "this box signs no requests"))
    }

    /// Queues an event that tells of nothing, ahead of all else that waits for the endpoint.
    pub async fn test_webhook(&self, who: &Principal, id: WebhookId) -> Result<Delivery, Error> {
        who.require(Scope::WebhooksWrite)?;
        let webhook = self.enabled_webhook(who, id).await?;
        let delivery = Delivery::test(&webhook, self.random(), Utc::now());
        let queued = delivery.clone();
        self.read(move |store| store.queue_test(&queued)).await?;
        Ok(delivery)
    }

    pub async fn deliveries(
        &self,
        who: &Principal,
        id: WebhookId,
        filter: DeliveryFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Delivery>, Error> {
        who.require(Scope::WebhooksRead)?;
        let id = self.own_webhook(who, id).await?.id;
        let DeliveryFilter { status, event } = filter;
        self.read(move |store| store.deliveries_page(&id, status, event.as_deref(), after.as_ref(), limit))
            .await
    }

    pub async fn delivery(
        &self,
        who: &Principal,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Delivery, Error> {
        who.require(Scope::WebhooksRead)?;
        let webhook = self.own_webhook(who, webhook).await?.id;
        let missing = Error::missing("delivery", &id);
        let found = self.read(move |store| store.delivery(&id)).await?;
        found.filter(|delivery| delivery.webhook == webhook).ok_or(missing)
    }

    /// Sends what is over once more, with the same ids.
    pub async fn redeliver(
        &self,
        who: &Principal,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Delivery, Error> {
        who.require(Scope::WebhooksWrite)?;
        let webhook = self.enabled_webhook(who, webhook).await?.id;
        let missing = Error::missing("delivery", &id);
        match self.read(move |store| store.deliver_again(&webhook, &id, Utc::now())).await? {
            Asked::Queued(delivery) => Ok(*delivery),
            Asked::Missing => Err(missing),
            Asked::Pending => Err(Error::coded(
                Kind::Conflict,
                "delivery_pending",
                "this delivery is on its way already; `next_try_at` says when it is tried",
            )),
        }
    }

    async fn own_webhook(&self, who: &Principal, id: WebhookId) -> Result<Webhook, Error> {
        let missing = Error::missing("webhook", &id);
        let found = self.read(move |store| store.webhook(&id)).await?;
        found.filter(|webhook| webhook.account == who.account).ok_or(missing)
    }

    async fn enabled_webhook(&self, who: &Principal, id: WebhookId) -> Result<Webhook, Error> {
        let webhook = self.own_webhook(who, id).await?;
        if webhook.enabled {
            return Ok(webhook);
        }
        let reason = "this webhook is off, and nothing is sent to it; enable it first";
        Err(Error::coded(Kind::Conflict, "webhook_disabled", reason))
    }

    async fn change_webhook(
        &self,
        who: &Principal,
        id: WebhookId,
        change: impl FnOnce(&mut Webhook) + Send + 'static,
    ) -> Result<Webhook, Error> {
        let missing = Error::missing("webhook", &id);
        let account = who.account.clone();
        self.read(move |store| store.change_webhook(&account, &id, change)).await?.ok_or(missing)
    }

    fn check_agent(&self, who: &Principal, id: Option<&AgentId>) -> Result<(), Error> {
        let missing = |_| Error::field("agent_id", "is no agent of this account; GET /v1/agents lists them");
        id.map_or(Ok(()), |id| self.own_agent(&who.account, id).map(drop).map_err(missing))
    }

    async fn checked_url(&self, url: &str) -> Result<String, Error> {
        self.exchange
            .outside
            .check(url)
            .await
            .map(String::from)
            .map_err(|refused| refused_url("url", &refused))
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(16) {
            chunk.copy_from_slice(&(self.exchange.chance)()[..chunk.len()]);
        }
        bytes
    }
}

/// What a client is told of a URL that it may not name.
pub(super) fn refused_url(field: &'static str, refused: &Refused) -> Error {
    Error { code: refused.code(), ..Error::field(field, refused.to_string()) }
}

/// Each once, and each of those that there are.
fn checked_events(names: Vec<String>) -> Result<Vec<String>, Error> {
    if let Some(unknown) = names.iter().find(|name| !EventKind::NAMES.contains(&name.as_str())) {
        let known = EventKind::NAMES.join(", ");
        return Err(Error::field("events", format!("holds {}, and there are {known}", json!(unknown))));
    }
    Ok(names.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}

fn checked_description(text: String) -> Result<String, Error> {
    let length = text.chars().count();
    if length <= LONGEST_DESCRIPTION {
        return Ok(text);
    }
    let reason = format!("has {length} characters; at most {LONGEST_DESCRIPTION} are kept");
    Err(Error::field("description", reason))
}
