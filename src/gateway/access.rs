//! Who asks.

use std::sync::Arc;

use chrono::Utc;

use super::Gateway;
use crate::domain::Principal;

impl Gateway {
    /// Whose key this is; `None`: nobody's.
    pub fn authenticate(&self, secret: &str) -> Option<Arc<Principal>> {
        let now = Utc::now();
        let (who, note) = self.keys.who(secret, now)?;
        if let Some(id) = note {
            let store = self.store.clone();
            // Nobody waits for it: at worst a use is told a minute late.
            tokio::task::spawn_blocking(move || {
                if let Err(error) = store.note_key_uses(&[(id, now)]) {
                    tracing::warn!(%error, "the use of a key could not be noted");
                }
            });
        }
        Some(who)
    }
}
