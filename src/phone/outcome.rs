//! What came of a call, exchange by exchange.

use std::time::{Duration, Instant};

/// A whole call, seen from the phone.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub cause: sip::Cause,
    pub answered: bool,
    pub exchanges: Vec<Exchange>,
    pub media: media::Stats,
}

/// What we said, and what the other side said until we spoke again. The first holds the greeting: nothing was said yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    pub said: Option<String>,
    pub interrupting: bool,
    /// Our first voiced sample; absent for the greeting.
    pub opened: Option<Instant>,
    /// Our last voiced sample.
    pub closed: Option<Instant>,
    /// When the other side began to speak, each time.
    pub starts: Vec<Instant>,
    /// All that was heard, 16 kHz; pauses shortened to the ear's margin.
    pub heard: Vec<i16>,
    pub heard_for: Duration,
    pub voice_to_voice: Option<Duration>,
    /// For an interruption: how long the other side went on.
    pub stop: Option<Duration>,
}

impl Exchange {
    /// The other side began while we were still speaking.
    pub fn is_cut_in(&self) -> bool {
        let (Some(opened), Some(closed)) = (self.opened, self.closed) else { return false };
        self.starts.iter().any(|start| (opened..closed).contains(start))
    }
}

/// Keeps the exchanges while the call goes on.
#[derive(Debug)]
pub(super) struct Journal {
    exchanges: Vec<Exchange>,
}

impl Journal {
    pub(super) fn new() -> Journal {
        Journal { exchanges: vec![Exchange::default()] }
    }

    pub(super) fn said(&mut self, at: Instant, text: &str, interrupting: bool) {
        let said = Some(text.to_owned());
        self.exchanges.push(Exchange { said, interrupting, opened: Some(at), ..Exchange::default() });
    }

    pub(super) fn closed(&mut self, at: Instant) {
        self.last().closed = Some(at);
    }

    pub(super) fn answered(&mut self, at: Instant, voice_to_voice: Option<Duration>) {
        let exchange = self.last();
        exchange.starts.push(at);
        exchange.voice_to_voice = exchange.voice_to_voice.or(voice_to_voice);
    }

    /// An utterance belongs to the exchange in which it began, although its end may be noticed in the next.
    pub(super) fn heard(&mut self, began: Instant, duration: Duration, pcm: &[i16]) {
        let place =
            self.exchanges.iter().rposition(|e| e.opened.is_none_or(|opened| opened <= began)).unwrap_or(0);
        let exchange = &mut self.exchanges[place];
        exchange.heard.extend_from_slice(pcm);
        exchange.heard_for += duration;
    }

    pub(super) fn stopped(&mut self, stop: Duration) {
        self.last().stop = Some(stop);
    }

    pub(super) fn finish(self) -> Vec<Exchange> {
        self.exchanges
    }

    fn last(&mut self) -> &mut Exchange {
        self.exchanges.last_mut().expect("the greeting's exchange is always there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_utterance_stays_where_it_began() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut journal = Journal::new();
        journal.heard(at(0), Duration::from_secs(1), &[1]);
        journal.said(at(2000), "how late is it", false);
        journal.answered(at(2600), Some(Duration::from_millis(600)));
        journal.said(at(4000), "stop", true);
        journal.heard(at(3000), Duration::from_secs(1), &[2]);
        journal.stopped(Duration::from_millis(240));
        journal.heard(at(6000), Duration::from_secs(1), &[3]);
        let exchanges = journal.finish();
        let heard: Vec<_> = exchanges.iter().map(|e| e.heard.clone()).collect();
        assert_eq!(heard, [[1], [2], [3]]);
        assert_eq!(exchanges[1].voice_to_voice, Some(Duration::from_millis(600)));
        assert_eq!(exchanges[2].stop, Some(Duration::from_millis(240)));
    }
}
