//! The gate in front of a turn of the agent's: before it opens, the turn may think and synthesize, but nothing of it may be
//! heard, done or written. So work can begin before it is known whether the caller has finished, and be thrown away without a trace.

use tokio::sync::watch;

/// Opens a gate. One that is dropped without that leaves it closed for good: whoever waits there is to be aborted.
#[derive(Debug)]
pub(super) struct Key(watch::Sender<bool>);

/// Where a turn waits for its release.
#[derive(Clone, Debug)]
pub(super) struct Gate(watch::Receiver<bool>);

impl Gate {
    pub(super) fn closed() -> (Key, Gate) {
        let (key, gate) = watch::channel(false);
        (Key(key), Gate(gate))
    }

    pub(super) fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is open; at once if it is.
    pub(super) async fn opened(&self) {
        if self.0.clone().wait_for(|open| *open).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Key {
    pub(super) fn open(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn it_opens_once_and_for_all_who_wait() {
        let (key, gate) = Gate::closed();
        let other = gate.clone();
        assert!(!gate.is_open() && gate.opened().now_or_never().is_none());
        key.open();
        assert!(gate.is_open() && other.opened().now_or_never().is_some());
        drop(key);
        assert!(gate.opened().now_or_never().is_some());
    }

    #[test]
    fn without_its_key_it_stays_closed() {
        let (key, gate) = Gate::closed();
        drop(key);
        assert!(!gate.is_open() && gate.opened().now_or_never().is_none());
    }
}
