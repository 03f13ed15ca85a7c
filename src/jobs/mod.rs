//! Work that nobody waits for: what the store says is to be done, done in the background.

mod hooks;
mod reports;

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Webhooks;
use crate::outside::Outside;
use crate::store::Store;

pub use reports::Reports;

/// What jobs may take to put down what they hold.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub struct Jobs {
    stop: CancellationToken,
    hooks: JoinHandle<()>,
}

impl Jobs {
    /// `chance`: random bytes of the system.
    pub fn start(store: Store, outside: Outside, webhooks: Webhooks, chance: fn() -> [u8; 8]) -> Self {
        let stop = CancellationToken::new();
        let hooks = tokio::spawn(hooks::run(store, outside, webhooks, chance, stop.clone()));
        Self { stop, hooks }
    }

    /// Returns when nothing of them holds the store any more. What was on its way is sent again after the next start.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if timeout(LAST_WORDS, &mut self.hooks).await.is_err() {
            self.hooks.abort();
        }
    }
}
