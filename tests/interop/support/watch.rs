//! A value that one thread changes and another waits for, always with a deadline.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Watch<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watch<T> {
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result =
            change(&mut self.value.lock().expect("a thread of the test died while it held the value"));
        self.changed.notify_all();
        result
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.value.lock().expect("a thread of the test died while it held the value"))
    }

    /// The first answer that `look` finds, or `None` when `within` has passed without one.
    pub(crate) fn wait<R>(&self, within: Duration, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + within;
        let mut value = self.value.lock().expect("a thread of the test died while it held the value");
        loop {
            if let Some(found) = look(&value) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            value = self.changed.wait_timeout(value, left).expect("as above").0;
        }
    }
}
