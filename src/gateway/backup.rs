//! Backups of the whole box, for the operator.

use super::{Error, Gateway};
use crate::domain::{Principal, Scope};
use crate::store::Snapshot;

impl Gateway {
    /// Everything that the data folder holds, as of one moment.
    pub async fn snapshot(&self, who: &Principal) -> Result<Snapshot, Error> {
        who.require(Scope::Admin)?;
        self.read(|store| store.snapshot()).await
    }
}
