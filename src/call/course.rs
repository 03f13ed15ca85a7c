//! How far the speaking of a turn has come: what sounds already, and what is asked to be said before the rest.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// Sound that may wait on the line when the next clause is begun: an interruption wastes no more than this and one clause.
const AHEAD: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct Course {
    /// Fillers that are asked for.
    fills: Option<mpsc::Receiver<String>>,
    /// When what is on the line will have sounded, if nobody pauses it.
    until: Option<Instant>,
}

impl Course {
    pub(super) fn new(fills: mpsc::Receiver<String>) -> Self {
        Self { fills: Some(fills), until: None }
    }

    /// The next filler; never, where none is asked for.
    pub(super) async fn asked(&mut self) -> String {
        let asked = match &mut self.fills {
            Some(fills) => fills.recv().await,
            None => None,
        };
        match asked {
            Some(text) => text,
            None => std::future::pending().await,
        }
    }

    /// So much was put on the line.
    pub(super) fn put(&mut self, now: Instant, sound: Duration) {
        self.until = Some(self.until.map_or(now, |until| until.max(now)) + sound);
    }

    /// When more may be synthesized.
    pub(super) fn next_at(&self, now: Instant) -> Instant {
        self.until.and_then(|until| until.checked_sub(AHEAD)).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn speech_is_made_ahead_but_not_too_far() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut course = Course::default();
        assert_eq!(course.next_at(start), start);
        course.put(start, Duration::from_secs(2));
        assert_eq!(course.next_at(start), start, "two seconds are not too much");
        course.put(at(100), Duration::from_secs(4));
        assert_eq!(course.next_at(at(100)), at(3000), "six seconds from the start, three before that");
        // All has sounded, and then there was silence: the new sound begins now.
        course.put(at(10_000), Duration::from_secs(5));
        assert_eq!(course.next_at(at(10_000)), at(12_000));
    }

    #[test]
    fn a_filler_is_waited_for_and_nothing_else() {
        let (ask, asked) = mpsc::channel(1);
        let mut course = Course::new(asked);
        ask.try_send("One moment.".into()).unwrap();
        assert_eq!(course.asked().now_or_never().as_deref(), Some("One moment."));
        drop(ask);
        assert_eq!(course.asked().now_or_never(), None, "nobody asks any more");
        assert_eq!(Course::default().asked().now_or_never(), None);
    }
}
