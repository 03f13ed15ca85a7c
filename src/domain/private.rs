//! Words that logs must be able to hide: phone numbers, transcripts, names.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

static SHOWN: AtomicBool = AtomicBool::new(false);

/// A value that belongs to a caller. `Debug` and `Display` hide it unless the operator asked to see it
/// (`log.private = true`); serialization, which goes to the store and to the API, shows it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Private<T>(T);

impl<T> Private<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for the wire, the store and the caller's own ear; never for a log line.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

/// Lets logs of this process show private values. Called once at start, from the configuration.
pub fn show_in_logs(shown: bool) {
    SHOWN.store(shown, Ordering::Relaxed);
}

impl<T: fmt::Display> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if SHOWN.load(Ordering::Relaxed) { self.0.fmt(f) } else { f.write_str("‹private›") }
    }
}

impl<T: fmt::Debug> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if SHOWN.load(Ordering::Relaxed) { self.0.fmt(f) } else { f.write_str("‹private›") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_does_not_show_it_but_the_wire_does() {
        let number = Private::new("+15550100001".to_owned());
        assert_eq!(format!("{number} {number:?}"), "‹private› ‹private›");
        assert_eq!(serde_json::to_string(&number).unwrap(), "\"+15550100001\"");
    }
}
