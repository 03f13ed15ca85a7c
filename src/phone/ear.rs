//! The phone's ear: when does the other side speak, and how long did we wait for it?
//!
//! Everything is computed from the instants at which samples passed the media clock, never from the moment at which a
//! task woke up to hear of them, so a busy machine does not lengthen what is measured:
//!
//! * *voice to voice*: from our last voiced sample sent to the first voiced sample received after it;
//! * *stop*: when we speak over the other side, from our first voiced sample sent to its last voiced sample received.
//!
//! The ear is a state machine without a clock. Feed it frames and the mouth's beginnings and ends in any order that
//! keeps each kind in time order; take what it concludes from [`Ear::poll_event`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Samples per second of the frames.
pub const RATE: u32 = 16_000;

#[derive(Clone, Copy, Debug)]
pub struct EarConfig {
    /// A sample louder than this is voiced. Digital silence and line noise stay below.
    pub threshold: i16,
    /// So much sound within one frame and its successor begins an utterance; a click does not.
    pub onset: Duration,
    /// So much silence ends an utterance.
    pub pause: Duration,
    /// So much silence after we have spoken over the other side means that it has given way.
    pub settle: Duration,
    /// An utterance's sound is kept up to this length.
    pub keep: Duration,
}

impl Default for EarConfig {
    fn default() -> EarConfig {
        EarConfig {
            threshold: 260,
            onset: Duration::from_millis(30),
            pause: Duration::from_millis(900),
            settle: Duration::from_millis(400),
            keep: Duration::from_secs(60),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The other side began to speak. Known as soon as it is certain; `at` is its first voiced sample.
    SpeechStart { at: Instant, voice_to_voice: Option<Duration> },
    /// The other side has finished. `at` is its last voiced sample; `pcm` is what was heard, with a margin.
    SpeechEnd { at: Instant, duration: Duration, pcm: Vec<i16> },
    /// The other side stopped because we spoke over it.
    Stopped { stop: Duration },
}

#[derive(Debug)]
pub struct Ear {
    config: EarConfig,
    speech: Speech,
    /// The last frame before speech, so that a soft first consonant is kept.
    margin: VecDeque<i16>,
    /// Our mouth: the last voiced sample that we sent and that has not been answered yet.
    unanswered: Option<Instant>,
    speaking: bool,
    overlap: Option<Overlap>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum Speech {
    None,
    /// Sound, but not yet enough of it.
    Maybe {
        first: Instant,
        last: Instant,
        frames: u32,
        pcm: Vec<i16>,
    },
    Some {
        first: Instant,
        last: Instant,
        pcm: Vec<i16>,
    },
}

/// We began to speak while the other side was speaking.
#[derive(Debug)]
struct Overlap {
    from: Instant,
    /// Our own utterance is over, so a silence now is an end and not a doubt.
    over: bool,
}

impl Ear {
    pub fn new(config: EarConfig) -> Ear {
        Ear {
            config,
            speech: Speech::None,
            margin: VecDeque::new(),
            unanswered: None,
            speaking: false,
            overlap: None,
            events: VecDeque::new(),
        }
    }

    /// One frame as it was sounded at the ear from `at` on.
    pub fn handle_frame(&mut self, at: Instant, pcm: &[i16]) {
        let voiced = voiced(pcm, self.config.threshold);
        let end = at + samples(pcm.len());
        let config = self.config;
        let state = std::mem::replace(&mut self.speech, Speech::None);
        self.speech = match (state, voiced) {
            (Speech::None, None) => {
                self.keep_margin(pcm);
                Speech::None
            }
            (Speech::None, Some((first, last))) => {
                let (first, last) = (at + samples(first), at + samples(last + 1));
                let mut sound: Vec<i16> = self.margin.drain(..).collect();
                sound.extend_from_slice(pcm);
                self.begin(Speech::Maybe { first, last, frames: 0, pcm: sound })
            }
            (Speech::Maybe { pcm: mut sound, frames, .. }, None) if frames >= MAYBE_FRAMES => {
                sound.extend_from_slice(pcm);
                self.margin = sound.into();
                self.keep_margin(&[]);
                Speech::None
            }
            (Speech::Maybe { first, last, frames, pcm: mut sound }, heard) => {
                sound.extend_from_slice(pcm);
                let last = heard.map_or(last, |(_, end)| at + samples(end + 1));
                self.begin(Speech::Maybe {
                    first,
                    last,
                    frames: frames + u32::from(heard.is_none()),
                    pcm: sound,
                })
            }
            (Speech::Some { first, last, pcm: mut sound }, heard) => {
                if sound.len() < (config.keep.as_secs_f64() * f64::from(RATE)) as usize {
                    sound.extend_from_slice(pcm);
                }
                let last = heard.map_or(last, |(_, end)| at + samples(end + 1));
                Speech::Some { first, last, pcm: sound }
            }
        };
        self.settle(end);
    }

    /// Our first voiced sample left at `at`.
    pub fn mouth_opened(&mut self, at: Instant) {
        self.speaking = true;
        self.unanswered = None;
        if let Speech::Some { last, .. } = self.speech
            && at.saturating_duration_since(last) < self.config.settle
        {
            self.overlap = Some(Overlap { from: at, over: false });
        }
    }

    /// Our last voiced sample left at `at`.
    pub fn mouth_closed(&mut self, at: Instant) {
        self.speaking = false;
        self.unanswered = Some(at);
        if let Some(overlap) = &mut self.overlap {
            overlap.over = true;
        }
    }

    /// The line is gone: what was being said ends here.
    pub fn finish(&mut self) {
        self.end_speech();
    }

    /// Does the other side speak (or pause for breath)?
    pub fn hears_speech(&self) -> bool {
        matches!(self.speech, Speech::Some { .. })
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Turns sound into speech once there is enough of it.
    fn begin(&mut self, speech: Speech) -> Speech {
        match speech {
            Speech::Maybe { first, last, pcm, .. } if last - first >= self.config.onset => {
                let voice_to_voice = match self.unanswered {
                    Some(ours) if !self.speaking && self.overlap.is_none() && first > ours => {
                        self.unanswered = None;
                        Some(first - ours)
                    }
                    _ => None,
                };
                self.events.push_back(Event::SpeechStart { at: first, voice_to_voice });
                Speech::Some { first, last, pcm }
            }
            other => other,
        }
    }

    /// Decides whether a silence is an end.
    fn settle(&mut self, now: Instant) {
        let Speech::Some { last, .. } = self.speech else { return };
        let silent = now.saturating_duration_since(last);
        if let Some(overlap) = &self.overlap {
            if overlap.over && silent >= self.config.settle {
                let stop = last.saturating_duration_since(overlap.from);
                self.overlap = None;
                self.end_speech();
                self.events.push_back(Event::Stopped { stop });
            }
        } else if silent >= self.config.pause {
            self.end_speech();
        }
    }

    fn end_speech(&mut self) {
        if let Speech::Some { first, last, mut pcm } = std::mem::replace(&mut self.speech, Speech::None) {
            // The silence that proved the end is no part of the utterance, but for a margin.
            let margin = MARGIN_SAMPLES.min(pcm.len());
            let end =
                pcm.iter().rposition(|s| s.saturating_abs() > self.config.threshold).map_or(0, |i| i + 1);
            pcm.truncate((end + margin).min(pcm.len()));
            self.events.push_back(Event::SpeechEnd { at: last, duration: last - first, pcm });
        }
        self.margin.clear();
    }

    fn keep_margin(&mut self, pcm: &[i16]) {
        self.margin.extend(pcm);
        let surplus = self.margin.len().saturating_sub(MARGIN_SAMPLES);
        self.margin.drain(..surplus);
    }
}

/// Index of the first and the last sample of `pcm` that are louder than `threshold`.
pub fn voiced(pcm: &[i16], threshold: i16) -> Option<(usize, usize)> {
    let loud = |s: &i16| s.saturating_abs() > threshold;
    Some((pcm.iter().position(loud)?, pcm.iter().rposition(loud)?))
}

/// Sound that hesitates for longer than this many frames was a click.
const MAYBE_FRAMES: u32 = 3;
const MARGIN_SAMPLES: usize = RATE as usize / 5;

fn samples(n: usize) -> Duration {
    Duration::from_nanos(n as u64 * 1_000_000_000 / u64::from(RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    /// A virtual line: one frame every 20 ms, nothing sleeps.
    struct World {
        ear: Ear,
        start: Instant,
        now: Instant,
        events: Vec<Event>,
    }

    impl World {
        fn new() -> World {
            let now = Instant::now();
            World { ear: Ear::new(EarConfig::default()), start: now, now, events: Vec::new() }
        }

        fn frame(&mut self, level: i16) {
            let pcm: Vec<i16> = (0..320).map(|i| if i % 2 == 0 { level } else { -level }).collect();
            self.ear.handle_frame(self.now, &pcm);
            self.now += FRAME;
            while let Some(event) = self.ear.poll_event() {
                self.events.push(event);
            }
        }

        fn speech(&mut self, ms: u64) {
            (0..ms / 20).for_each(|_| self.frame(4000));
        }

        fn silence(&mut self, ms: u64) {
            (0..ms / 20).for_each(|_| self.frame(0));
        }

        fn ms(&self, at: Instant) -> u128 {
            (at - self.start).as_millis()
        }
    }

    #[test]
    fn voice_to_voice_is_taken_from_last_sample_sent_to_first_sample_received() {
        let mut world = World::new();
        world.ear.mouth_opened(world.now);
        world.silence(1000);
        world.ear.mouth_closed(world.now);
        world.silence(640);
        world.speech(500);
        world.silence(1000);
        let [Event::SpeechStart { at, voice_to_voice }, Event::SpeechEnd { at: end, duration, pcm }] =
            &world.events[..]
        else {
            panic!("{:?}", world.events)
        };
        assert_eq!(world.ms(*at), 1640);
        assert_eq!(*voice_to_voice, Some(Duration::from_millis(640)));
        assert_eq!(world.ms(*end), 2140);
        assert_eq!(*duration, Duration::from_millis(500));
        assert_eq!(pcm.len(), 3200 + 8000 + 3200, "the utterance with a margin on either side");
    }

    #[test]
    fn the_first_loud_sample_counts_not_its_frame() {
        let mut world = World::new();
        world.ear.mouth_opened(world.now);
        world.ear.mouth_closed(world.now);
        let mut pcm = [0; 320];
        pcm[160..].fill(3000);
        world.silence(100);
        world.ear.handle_frame(world.now, &pcm);
        world.now += FRAME;
        world.speech(100);
        assert!(
            matches!(world.events[0], Event::SpeechStart { voice_to_voice: Some(v), .. } if v == Duration::from_millis(110))
        );
    }

    #[test]
    fn a_greeting_answers_nobody() {
        let mut world = World::new();
        world.silence(200);
        world.speech(400);
        assert!(
            matches!(world.events[..], [Event::SpeechStart { voice_to_voice: None, .. }]),
            "{:?}",
            world.events
        );
    }

    #[test]
    fn a_click_is_no_speech_and_a_breath_is_no_end() {
        let mut world = World::new();
        world.frame(4000);
        world.silence(1000);
        assert!(world.events.is_empty(), "{:?}", world.events);
        world.speech(300);
        world.silence(600);
        world.speech(300);
        world.silence(1000);
        assert_eq!(world.events.len(), 2, "{:?}", world.events);
        assert!(
            matches!(world.events[1], Event::SpeechEnd { duration, .. } if duration == Duration::from_millis(1200))
        );
    }

    #[test]
    fn stop_is_taken_from_our_onset_to_its_last_sample() {
        let mut world = World::new();
        world.speech(1000);
        world.ear.mouth_opened(world.now);
        world.speech(260);
        world.silence(740);
        world.ear.mouth_closed(world.now);
        world.silence(500);
        world.speech(400);
        let stops: Vec<_> = world.events.iter().filter(|e| matches!(e, Event::Stopped { .. })).collect();
        assert_eq!(stops, [&Event::Stopped { stop: Duration::from_millis(260) }]);
        // What follows is a new utterance, and it answers what we said.
        let Some(Event::SpeechStart { voice_to_voice, .. }) = world.events.last() else { panic!() };
        assert_eq!(*voice_to_voice, Some(Duration::from_millis(500)));
    }

    #[test]
    fn who_pauses_and_goes_on_has_not_stopped() {
        let mut world = World::new();
        world.speech(1000);
        world.ear.mouth_opened(world.now);
        world.speech(100);
        world.silence(500);
        world.speech(900);
        world.ear.mouth_closed(world.now);
        world.speech(300);
        world.silence(600);
        let stops: Vec<_> = world.events.iter().filter(|e| matches!(e, Event::Stopped { .. })).collect();
        assert_eq!(stops, [&Event::Stopped { stop: Duration::from_millis(1800) }]);
    }

    #[test]
    fn speaking_after_the_other_side_has_ended_is_no_interruption() {
        let mut world = World::new();
        world.speech(500);
        world.silence(600);
        world.ear.mouth_opened(world.now);
        world.silence(1000);
        world.ear.mouth_closed(world.now);
        world.silence(300);
        world.speech(300);
        assert!(!world.events.iter().any(|e| matches!(e, Event::Stopped { .. })), "{:?}", world.events);
        assert!(
            matches!(world.events.last(), Some(Event::SpeechStart { voice_to_voice: Some(v), .. }) if v.as_millis() == 300)
        );
    }

    #[test]
    fn a_lost_line_ends_the_utterance() {
        let mut world = World::new();
        world.speech(500);
        world.ear.finish();
        assert!(matches!(world.ear.poll_event(), Some(Event::SpeechEnd { .. })));
    }

    #[test]
    fn long_speech_is_kept_up_to_a_bound() {
        let mut world = World::new();
        world.ear.config.keep = Duration::from_secs(2);
        world.speech(5000);
        world.silence(1000);
        let Some(Event::SpeechEnd { pcm, duration, .. }) = world.events.last() else { panic!() };
        assert_eq!(*duration, Duration::from_secs(5));
        assert!(pcm.len() <= 32_320);
    }
}
