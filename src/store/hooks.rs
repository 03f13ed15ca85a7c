//! Webhooks and their deliveries: the outbox.
//!
//! A delivery is written in the transaction of the event that it tells. Pending ones stand in *lanes*, one for each endpoint and
//! subject, in the order of the events; only the first of a lane is tried, so what one call did arrives in that order. Of each lane
//! it is kept when it is due. Everything is on disk: a process that is killed forgets nothing.

use chrono::{DateTime, Utc};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::collection::{self, Kept, word};
use super::tables::Visitor;
use super::{Cursor, Page, Store, StoreError};
use crate::domain::{AccountId, Delivery, DeliveryId, DeliveryStatus, Event, Webhook, WebhookId};

/// Webhook, subject, number of the event; the delivery.
const PENDING: TableDefinition<(&str, &str, u64), &str> = TableDefinition::new("deliveries_pending");
/// Webhook and subject of what is pending; when (µs) it is due, 0: asked for by hand, and at once.
const LANES: TableDefinition<(&str, &str), u64> = TableDefinition::new("deliveries_lanes");
/// The same by time: webhook, when, subject.
const DUE: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("deliveries_due");
/// Webhooks that are gone and whose deliveries are not all removed yet.
const GONE: TableDefinition<&str, ()> = TableDefinition::new("webhooks_gone");

/// Endpoints that an account may have.
const MOST: usize = 100;

pub(super) fn visit(visitor: &mut impl Visitor) -> Result<(), StoreError> {
    visitor.table(PENDING)?;
    visitor.table(LANES)?;
    visitor.table(DUE)?;
    visitor.table(GONE)
}

impl Kept for Webhook {
    const TABLE: &'static str = "webhooks";
    const LISTS: &'static str = "webhooks_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        vec![self.account.to_string()]
    }
}

impl Kept for Delivery {
    const TABLE: &'static str = "deliveries";
    const LISTS: &'static str = "deliveries_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        vec![self.webhook.to_string(), of_status(&self.webhook, self.status)]
    }
}

fn of_status(webhook: &WebhookId, status: DeliveryStatus) -> String {
    format!("{webhook}/status={}", word(&status))
}

/// What is pending for one endpoint about one subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lane {
    pub subject: String,
    /// `None`: asked for by hand, and at once.
    pub due: Option<DateTime<Utc>>,
}

/// The first of a lane, with what is needed to tell it.
#[derive(Clone, Debug)]
pub struct Head {
    pub webhook: Webhook,
    pub delivery: Delivery,
    /// Absent for a test, and where it is no longer kept.
    pub event: Option<Event>,
}

/// What became of a try, to be written.
#[derive(Clone, Debug)]
pub struct Settled {
    /// As it now stands.
    pub delivery: Delivery,
    /// When its lane is due again. Of no meaning where it is not pending any more: the next of the lane is due at once.
    pub due: DateTime<Utc>,
    /// Deliveries of this endpoint that were asked for before this are given up along with it.
    pub give_up_before: Option<DateTime<Utc>>,
}

/// What came of a wish to have something sent.
#[derive(Clone, PartialEq, Debug)]
pub enum Asked {
    Queued(Box<Delivery>),
    /// It is on its way already.
    Pending,
    Missing,
}

/// Queues an event for every endpoint that wants it.
pub(super) fn enqueue(transaction: &WriteTransaction, event: &Event) -> Result<(), StoreError> {
    let endpoints = collection::oldest_to_change::<Webhook>(transaction, event.account.as_str(), MOST)?;
    for webhook in endpoints.iter().filter(|webhook| webhook.wants(event)) {
        queue(transaction, &Delivery::of(webhook, event), micros(event.at))?;
    }
    Ok(())
}

/// Puts a delivery into its lane. A lane that waits goes on waiting, but for what is asked for by hand (`due` 0).
fn queue(transaction: &WriteTransaction, delivery: &Delivery, due: u64) -> Result<(), StoreError> {
    let (webhook, subject) = (delivery.webhook.as_str(), delivery.subject.as_str());
    collection::put(transaction, delivery)?;
    let place = (webhook, subject, delivery.seq);
    transaction.open_table(PENDING)?.insert(place, delivery.id.as_str())?;
    let waits = transaction.open_table(LANES)?.get((webhook, subject))?.is_some();
    if waits && due > 0 { Ok(()) } else { set_due(transaction, webhook, subject, Some(due)) }
}

/// `None`: nothing is pending there any more.
fn set_due(
    transaction: &WriteTransaction,
    webhook: &str,
    subject: &str,
    due: Option<u64>,
) -> Result<(), StoreError> {
    let (mut lanes, mut by_time) = (transaction.open_table(LANES)?, transaction.open_table(DUE)?);
    let before = match due {
        Some(due) => lanes.insert((webhook, subject), due)?.map(|due| due.value()),
        None => lanes.remove((webhook, subject))?.map(|due| due.value()),
    };
    if let Some(before) = before {
        by_time.remove((webhook, before, subject))?;
    }
    if let Some(due) = due {
        by_time.insert((webhook, due, subject), ())?;
    }
    Ok(())
}

/// Takes a delivery out of its lane, which is due `next` if something is left in it.
fn leave(transaction: &WriteTransaction, delivery: &Delivery, next: u64) -> Result<(), StoreError> {
    let (webhook, subject) = (delivery.webhook.as_str(), delivery.subject.as_str());
    let goes_on = {
        let mut pending = transaction.open_table(PENDING)?;
        pending.remove((webhook, subject, delivery.seq))?;
        pending.range((webhook, subject, 0)..=(webhook, subject, u64::MAX))?.next().transpose()?.is_some()
    };
    set_due(transaction, webhook, subject, goes_on.then_some(next))
}

/// Webhooks, as clients see them.
impl Store {
    /// `false`: the account has as many as it may have.
    pub fn add_webhook(&self, webhook: &Webhook) -> Result<bool, StoreError> {
        self.change(|tx| {
            let has = collection::oldest_to_change::<Webhook>(tx, webhook.account.as_str(), MOST)?.len();
            if has < MOST {
                collection::put(tx, webhook)?;
            }
            Ok(has < MOST)
        })
    }

    pub fn webhook(&self, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
        collection::get(&self.begin_read()?, id.as_str())
    }

    pub fn webhooks_page(
        &self,
        account: &AccountId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Webhook>, StoreError> {
        collection::page(&self.begin_read()?, account.as_str(), after, limit, |_| true)
    }

    /// `None`: the account has none of this id.
    pub fn change_webhook(
        &self,
        account: &AccountId,
        id: &WebhookId,
        act: impl FnOnce(&mut Webhook),
    ) -> Result<Option<Webhook>, StoreError> {
        self.change(|tx| {
            let found = collection::get_to_change::<Webhook>(tx, id.as_str())?;
            let Some(mut webhook) = found.filter(|webhook| webhook.account == *account) else {
                return Ok(None);
            };
            act(&mut webhook);
            collection::put(tx, &webhook)?;
            Ok(Some(webhook))
        })
    }

    /// Its deliveries are removed later ([`Store::forget_gone_webhooks`]). `false`: the account has none of this id.
    pub fn remove_webhook(&self, account: &AccountId, id: &WebhookId) -> Result<bool, StoreError> {
        self.change(|tx| {
            let found = collection::get_to_change::<Webhook>(tx, id.as_str())?;
            if found.is_none_or(|webhook| webhook.account != *account) {
                return Ok(false);
            }
            collection::remove::<Webhook>(tx, id.as_str())?;
            tx.open_table(GONE)?.insert(id.as_str(), ())?;
            Ok(true)
        })
    }

    pub fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
        collection::get(&self.begin_read()?, id.as_str())
    }

    pub fn deliveries_page(
        &self,
        webhook: &WebhookId,
        status: Option<DeliveryStatus>,
        event: Option<&str>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Delivery>, StoreError> {
        let list = status.map_or_else(|| webhook.to_string(), |status| of_status(webhook, status));
        let fits = |delivery: &Delivery| event.is_none_or(|event| delivery.event == event);
        collection::page(&self.begin_read()?, &list, after, limit, fits)
    }

    /// Queues a test, ahead of whatever its endpoint waits for.
    pub fn queue_test(&self, delivery: &Delivery) -> Result<(), StoreError> {
        self.change(|tx| queue(tx, delivery, 0))
    }

    /// Queues a delivery that is over once more, in its old place among those of its subject.
    pub fn deliver_again(
        &self,
        webhook: &WebhookId,
        id: &DeliveryId,
        now: DateTime<Utc>,
    ) -> Result<Asked, StoreError> {
        self.change(|tx| {
            let found = collection::get_to_change::<Delivery>(tx, id.as_str())?;
            let Some(mut delivery) = found.filter(|delivery| delivery.webhook == *webhook) else {
                return Ok(Asked::Missing);
            };
            if delivery.status == DeliveryStatus::Pending {
                return Ok(Asked::Pending);
            }
            delivery.status = DeliveryStatus::Pending;
            (delivery.asked_again_at, delivery.next_try_at, delivery.tries) = (Some(now), Some(now), 0);
            queue(tx, &delivery, 0)?;
            Ok(Asked::Queued(Box::new(delivery)))
        })
    }
}

/// The outbox, as the deliverer sees it.
impl Store {
    /// Returns when something has changed since the last time. For one listener.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Of each endpoint that is enabled and for which something is pending, the lanes that are due first, at most so many.
    pub fn lanes(&self, of_each: usize) -> Result<Vec<(WebhookId, Vec<Lane>)>, StoreError> {
        let transaction = self.begin_read()?;
        let by_time = transaction.open_table(DUE)?;
        let (mut found, mut from) = (Vec::new(), String::new());
        loop {
            // The next endpoint, whatever is pending for the one before.
            let Some(first) = by_time.range((from.as_str(), 0, "")..)?.next().transpose()? else { break };
            let name = first.0.value().0.to_owned();
            let mut lanes = Vec::new();
            for entry in by_time.range((name.as_str(), 0, "")..=(name.as_str(), u64::MAX, ""))?.take(of_each)
            {
                let (key, _) = entry?;
                let (_, due, subject) = key.value();
                lanes.push(Lane { subject: subject.to_owned(), due: time(due) });
            }
            from = format!("{name}\0");
            if let Some(webhook) = collection::get::<Webhook>(&transaction, &name)?.filter(|one| one.enabled)
            {
                found.push((webhook.id, lanes));
            }
        }
        Ok(found)
    }

    /// `None`: nothing is pending there, or the webhook is gone.
    pub fn head(&self, webhook: &WebhookId, subject: &str) -> Result<Option<Head>, StoreError> {
        let transaction = self.begin_read()?;
        let pending = transaction.open_table(PENDING)?;
        let webhook = webhook.as_str();
        let first =
            pending.range((webhook, subject, 0)..=(webhook, subject, u64::MAX))?.next().transpose()?;
        let Some(id) = first.map(|(_, id)| id.value().to_owned()) else { return Ok(None) };
        let delivery = collection::get::<Delivery>(&transaction, &id)?;
        let (Some(webhook), Some(delivery)) = (collection::get(&transaction, webhook)?, delivery) else {
            return Ok(None);
        };
        let before = delivery.seq.saturating_sub(1);
        let event = self.events_after(&delivery.subject, before, 1)?.into_iter().next();
        let event = event.filter(|event| event.id() == delivery.event_id);
        Ok(Some(Head { webhook, delivery, event }))
    }

    /// Takes away a lane in which nothing stands.
    pub fn mend_lane(&self, webhook: &WebhookId, subject: &str) -> Result<(), StoreError> {
        self.change(|tx| {
            let webhook = webhook.as_str();
            let pending = tx.open_table(PENDING)?;
            match pending.range((webhook, subject, 0)..=(webhook, subject, u64::MAX))?.next() {
                None => set_due(tx, webhook, subject, None),
                Some(_) => Ok(()),
            }
        })
    }

    /// Writes what became of tries, together or not at all.
    pub fn settle(&self, settled: &[Settled]) -> Result<(), StoreError> {
        self.change(|tx| settled.iter().try_for_each(|one| settle(tx, one)))
    }

    /// Removes what was pending and what was told, of webhooks that are gone, at most `limit` deliveries. Returns whether any is left.
    pub fn forget_gone_webhooks(&self, limit: usize) -> Result<bool, StoreError> {
        self.change(|tx| {
            let mut gone = tx.open_table(GONE)?;
            let Some(webhook) = gone.first()?.map(|(webhook, _)| webhook.value().to_owned()) else {
                return Ok(false);
            };
            let deliveries = collection::oldest_to_change::<Delivery>(tx, &webhook, limit)?;
            for delivery in &deliveries {
                leave(tx, delivery, 0)?;
                collection::remove::<Delivery>(tx, delivery.id.as_str())?;
            }
            if deliveries.len() < limit {
                gone.remove(webhook.as_str())?;
            }
            Ok(true)
        })
    }

    /// Removes deliveries that are over and were made before `before`, at most `limit`. Returns whether any is left.
    pub fn forget_deliveries(
        &self,
        webhook: &WebhookId,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<bool, StoreError> {
        self.change(|tx| {
            let mut removed = 0;
            for status in [DeliveryStatus::Delivered, DeliveryStatus::Failed] {
                let old = collection::oldest_to_change::<Delivery>(
                    tx,
                    &of_status(webhook, status),
                    limit - removed,
                )?;
                for delivery in old.iter().filter(|delivery| delivery.created_at < before) {
                    collection::remove::<Delivery>(tx, delivery.id.as_str())?;
                    removed += 1;
                }
            }
            Ok(removed == limit)
        })
    }

    /// All of them, whosesoever they are.
    pub fn all_webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        collection::all(&self.begin_read()?)
    }

    /// Deliveries that are pending, of all endpoints.
    pub fn deliveries_pending(&self) -> Result<u64, StoreError> {
        use redb::ReadableTableMetadata;
        Ok(self.begin_read()?.open_table(PENDING)?.len()?)
    }
}

fn settle(transaction: &WriteTransaction, settled: &Settled) -> Result<(), StoreError> {
    let Settled { delivery, due, give_up_before } = settled;
    // While it was tried it may have been removed with its endpoint, given up along with others, or asked for anew.
    let Some(stored) = collection::get_to_change::<Delivery>(transaction, delivery.id.as_str())? else {
        return Ok(());
    };
    let is_over = stored.status != DeliveryStatus::Pending;
    if stored.asked_again_at != delivery.asked_again_at
        || is_over && delivery.status != DeliveryStatus::Delivered
    {
        return Ok(());
    }
    collection::put(transaction, delivery)?;
    match delivery.status {
        DeliveryStatus::Pending => {
            set_due(transaction, delivery.webhook.as_str(), &delivery.subject, Some(micros(*due)))?;
        }
        DeliveryStatus::Delivered | DeliveryStatus::Failed => leave(transaction, delivery, micros(*due))?,
    }
    match give_up_before {
        Some(before) => give_up(transaction, &delivery.webhook, *before, micros(*due)),
        None => Ok(()),
    }
}

/// Deliveries that one transaction gives up at most.
const GIVEN_UP_AT_ONCE: usize = 500;

/// Gives up what an endpoint has not taken since `before`.
fn give_up(
    transaction: &WriteTransaction,
    webhook: &WebhookId,
    before: DateTime<Utc>,
    next: u64,
) -> Result<(), StoreError> {
    let list = of_status(webhook, DeliveryStatus::Pending);
    for mut delivery in collection::oldest_to_change::<Delivery>(transaction, &list, GIVEN_UP_AT_ONCE)? {
        if delivery.asked_again_at.unwrap_or(delivery.created_at) < before {
            (delivery.status, delivery.next_try_at) = (DeliveryStatus::Failed, None);
            delivery.error.get_or_insert_with(|| "the endpoint could not be reached in time".to_owned());
            collection::put(transaction, &delivery)?;
            leave(transaction, &delivery, next)?;
        }
    }
    Ok(())
}

fn micros(at: DateTime<Utc>) -> u64 {
    // 0 means by hand.
    u64::try_from(at.timestamp_micros()).unwrap_or(1).max(1)
}

fn time(micros: u64) -> Option<DateTime<Utc>> {
    let micros = i64::try_from(micros).ok().filter(|micros| *micros > 0)?;
    DateTime::from_timestamp_micros(micros)
}

#[cfg(test)]
mod tests;
