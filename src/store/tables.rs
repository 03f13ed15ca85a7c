//! Every table of the database, named once: what is made at the start, and what a backup copies.

use redb::{TableDefinition, Value, WriteTransaction};

use super::{StoreError, collection, credits, events, hooks, idempotency, schema, secrets, sound, usage};
use crate::domain::{Account, Agent, Call, Delivery, Key, Message, Number, Thread, Webhook};

/// Something to be done with each table.
pub(super) trait Visitor {
    fn table<K: redb::Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), StoreError>;
}

/// A table that is not named here is in no backup, and `Store::open` does not make it.
pub(super) fn visit(visitor: &mut impl Visitor) -> Result<(), StoreError> {
    visitor.table(schema::META)?;
    visitor.table(events::EVENTS)?;
    visitor.table(events::ORDER)?;
    visitor.table(sound::WORDS)?;
    visitor.table(secrets::SECRETS)?;
    visitor.table(idempotency::ONCE)?;
    visitor.table(idempotency::ONCE_BY_TIME)?;
    hooks::visit(visitor)?;
    usage::visit(visitor)?;
    credits::visit(visitor)?;
    collection::visit::<Webhook>(visitor)?;
    collection::visit::<Delivery>(visitor)?;
    collection::visit::<Account>(visitor)?;
    collection::visit::<Key>(visitor)?;
    collection::visit::<Agent>(visitor)?;
    collection::visit::<Number>(visitor)?;
    collection::visit::<Call>(visitor)?;
    collection::visit::<Message>(visitor)?;
    collection::visit::<Thread>(visitor)
}

/// Makes those that are missing, so that reading finds them.
pub(super) struct Make<'a>(pub(super) &'a WriteTransaction);

impl Visitor for Make<'_> {
    fn table<K: redb::Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), StoreError> {
        self.0.open_table(table)?;
        Ok(())
    }
}
