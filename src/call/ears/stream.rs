//! What of an utterance is turned into words, and when: the streaming half of the ear, without tasks.
//!
//! Whisper hears whole utterances only. So while the caller speaks, what there is so far is decoded again and again, in
//! *looks*, whenever enough new voice has come or the voice dips. Two things come of it. Where nothing voiced came after
//! the sound of a look, its words *are* the utterance's, and nothing is left to do at the end. And in a long utterance the
//! words up to a dip that two looks agree on are settled (LocalAgreement: Macháček et al., "Turning Whisper into Real-Time
//! Transcription System", 2023): their sound is dropped, and the rest stays short.

use std::sync::Arc;

/// Hz of the sound.
const RATE: usize = media::EAR_RATE as usize;
/// A transcriber hears no more at once; the oldest sound goes first.
const LONGEST: usize = RATE * 29;
/// New voice before the first look, and between two later ones. Rarely, because one that is under way when the caller ends
/// keeps a core from the last.
const FIRST_STRIDE: usize = RATE * 12 / 10;
const STRIDE: usize = RATE * 2;
/// Where the voice falls it may be the end, so a look in the middle of it waits so much longer.
const WAITS: usize = RATE * 2 / 10;
/// A dip is worth a look with less of it, and a longer one with little.
const STRIDE_AT_DIP: usize = RATE * 3 / 10;
const STRIDE_AT_PAUSE: usize = RATE / 10;
/// Quiet frames that make the longer one, 20 ms each. The line tells of a dip after 80 ms by the VAD's word; by then a
/// third of the decoding is done.
const PAUSE_FRAMES: u32 = 3;
/// Sound is settled only beyond this: what a transcriber hears in one piece it understands better.
const SETTLE_BEYOND: usize = RATE * 8;
/// … and so much of it stays.
const STAYS: usize = RATE * 2;
/// The silence that a look must have heard behind the last voice, so that no consonant is missing.
const TAIL: usize = RATE * 2 / 100;
/// A frame is quiet so many dB below the loudest of its utterance, or so near the least of it …
const BELOW_PEAK: f32 = 26.0;
const ABOVE_LEAST: f32 = 4.0;
/// … unless the VAD takes it for voice.
const VOICE: f32 = 0.4;
/// So many dB below the loudest it is silent, though the VAD says voice, which it goes on saying for some frames after the
/// end of one: the faintest consonants are 30 dB below the loudest vowels.
const SILENT: f32 = 36.0;
/// A single such frame is the closure of a consonant as easily as the end.
const SILENT_FRAMES: u32 = 2;
/// … and where the VAD says so for longer, somebody goes on more softly. Frames.
const MEMORY: u32 = 10;
/// The voice falls so many dB below the loudest.
const FALLING: f32 = 20.0;

/// 20 ms of the caller, as the line judges them.
#[derive(Clone, Copy)]
pub(super) struct Loudness {
    /// The VAD's raw word, 0 to 1.
    pub(super) probability: f32,
    pub(super) level_dbfs: f32,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// What is not settled.
    sound: Vec<i16>,
    /// Words whose sound was dropped.
    settled: String,
    /// How far `sound` may hold voice.
    voiced: usize,
    quiet_frames: u32,
    /// The last frame was well below the loudest.
    falling: bool,
    /// Silent frames since the last voice that the VAD takes for voice.
    disputed: u32,
    peak: f32,
    least: f32,
    /// The last look that was asked for: how much of `sound` it is about, and how much of that held voice.
    asked: Option<(usize, usize)>,
    /// How much voice there was so far, and how much when one was last asked for.
    voice: usize,
    looked_at: usize,
    /// The last one that came back, and the last whose sound ended in a dip.
    latest: Option<Look>,
    at_dip: Option<Look>,
}

#[derive(Clone, PartialEq, Debug)]
struct Look {
    upto: usize,
    voiced: usize,
    words: String,
}

/// What the sound so far asks for.
pub(super) struct Ask {
    pub(super) pcm: Arc<[i16]>,
    /// What was said before it.
    pub(super) before: String,
    /// The caller is silent, for this moment at least.
    pub(super) pause: bool,
}

/// How far the words at the end of an utterance are known.
#[derive(PartialEq, Debug)]
pub(super) enum Known {
    /// A look has them already.
    Words(String),
    /// One that is under way will.
    Coming,
    No,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            sound: Vec::new(),
            settled: String::new(),
            voiced: 0,
            quiet_frames: 0,
            falling: false,
            disputed: 0,
            peak: f32::MIN,
            least: f32::MAX,
            asked: None,
            voice: 0,
            looked_at: 0,
            latest: None,
            at_dip: None,
        }
    }
}

impl Stream {
    /// An utterance begins; `before` is the sound from before the voice was noticed.
    pub(super) fn begin(&mut self, before: impl Iterator<Item = i16>) {
        *self = Self::default();
        self.sound.extend(before);
        self.voiced = self.sound.len();
    }

    pub(super) fn push(&mut self, pcm: &[i16], loudness: Loudness) {
        self.sound.extend_from_slice(pcm);
        let Loudness { probability, level_dbfs } = loudness;
        self.peak = self.peak.max(level_dbfs);
        self.least = self.least.min(level_dbfs);
        let low = level_dbfs < self.peak - BELOW_PEAK || level_dbfs < self.least + ABOVE_LEAST;
        let voice = probability >= VOICE;
        self.falling = level_dbfs < self.peak - FALLING;
        let disputed = voice && level_dbfs < self.peak - SILENT;
        self.disputed += u32::from(disputed);
        if (low && !voice) || (disputed && self.disputed <= MEMORY) {
            self.quiet_frames += 1;
        } else {
            self.quiet_frames = 0;
            if !disputed {
                self.disputed = 0;
            }
            self.voice += pcm.len();
            self.voiced = self.sound.len();
        }
        let excess = self.sound.len().saturating_sub(LONGEST);
        self.drop_sound(excess);
    }

    /// Whether it is time for a look. It counts as asked for from here on.
    pub(super) fn look(&mut self) -> Option<Ask> {
        let news = self.voice - self.looked_at;
        let dips = self.quiet_frames >= if self.disputed > 0 { SILENT_FRAMES } else { 1 };
        let stride = if self.looked_at == 0 { FIRST_STRIDE } else { STRIDE };
        let enough = match self.quiet_frames {
            _ if !dips && self.falling => stride + WAITS,
            _ if !dips => stride,
            ..PAUSE_FRAMES => STRIDE_AT_DIP,
            _ => STRIDE_AT_PAUSE,
        };
        if news < enough {
            return None;
        }
        // One that is under way is finished first: what an encoder has begun it does not give up.
        if self.asked.is_some() {
            return None;
        }
        Some(Ask { pause: dips, ..self.ask() })
    }

    /// All the sound, for the end of the utterance.
    pub(super) fn ask(&mut self) -> Ask {
        self.asked = Some((self.sound.len(), self.voiced));
        self.looked_at = self.voice;
        Ask { pcm: Arc::from(self.sound.as_slice()), before: self.settled.clone(), pause: false }
    }

    /// The look that was asked for came to nothing.
    pub(super) fn missed(&mut self) {
        self.asked = None;
    }

    /// The words of the look that was asked for. What is returned are those of the whole utterance so far.
    pub(super) fn looked(&mut self, words: &str) -> String {
        let Some((upto, voiced)) = self.asked.take() else { return self.settled.clone() };
        let look = Look { upto, voiced, words: words.trim().to_owned() };
        let text = join(&self.settled, &look.words);
        if let Some(first) = self.at_dip.take() {
            let far = upto > SETTLE_BEYOND && upto - first.upto >= STAYS;
            match rest_after(&first.words, &look.words).filter(|_| far) {
                Some(rest) => {
                    let rest = rest.to_owned();
                    self.settle(&first, look, &rest);
                    return text;
                }
                None => self.at_dip = Some(first),
            }
        }
        // Its sound ends in silence: no word is cut there. An older one is kept until it is far enough behind.
        let due = |old: &Look| upto > old.upto + STAYS;
        if upto >= voiced + TAIL && !look.words.is_empty() && self.at_dip.as_ref().is_none_or(due) {
            self.at_dip = Some(look.clone());
        }
        self.latest = Some(look);
        text
    }

    /// Both looks agree on the words up to the dip: they stay as the later one, which knows what follows, writes them.
    fn settle(&mut self, first: &Look, later: Look, rest: &str) {
        let head = &later.words[..later.words.len() - rest.len()];
        self.settled = join(&self.settled, head);
        self.latest = Some(Look { words: rest.trim().to_owned(), ..later });
        self.drop_sound(first.upto);
    }

    fn drop_sound(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.sound.drain(..count.min(self.sound.len()));
        let less = |at: usize| at.saturating_sub(count);
        self.voiced = less(self.voiced);
        self.asked = self.asked.map(|(upto, voiced)| (less(upto), less(voiced)));
        self.at_dip = self.at_dip.take().filter(|look| look.upto > count);
        for look in [&mut self.latest, &mut self.at_dip].into_iter().flatten() {
            look.upto = less(look.upto);
            look.voiced = less(look.voiced);
        }
    }

    /// Whether the words up to here are known, because nothing voiced came after the sound of a look.
    pub(super) fn known(&self) -> Known {
        if self.asked.is_some_and(|(upto, _)| upto >= self.voiced + TAIL) {
            return Known::Coming;
        }
        match &self.latest {
            Some(look) if look.upto >= self.voiced + TAIL => Known::Words(join(&self.settled, &look.words)),
            _ => Known::No,
        }
    }

    pub(super) fn sound(&self) -> &[i16] {
        &self.sound
    }
}

fn join(a: &str, b: &str) -> String {
    let space = if a.is_empty() || b.is_empty() { "" } else { " " };
    format!("{a}{space}{b}")
}

/// What `later` has behind the words of `first`; `None` where it does not begin with them. Case and punctuation, which
/// Whisper changes with what follows, do not count.
fn rest_after<'a>(first: &str, later: &'a str) -> Option<&'a str> {
    let bare = |word: &str| -> String {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let mut rest = later;
    for word in first.split_whitespace() {
        rest = rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if end == 0 || bare(word) != bare(&rest[..end]) {
            return None;
        }
        rest = &rest[end..];
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: [i16; media::FRAME] = [1; media::FRAME];
    const LOUD: Loudness = Loudness { probability: 0.9, level_dbfs: -20.0 };
    /// The voice has ended, and the VAD remembers it.
    const FADED: Loudness = Loudness { probability: 0.7, level_dbfs: -60.0 };
    const QUIET: Loudness = Loudness { probability: 0.0, level_dbfs: -70.0 };

    fn hears(stream: &mut Stream, frames: usize, loudness: Loudness) {
        for _ in 0..frames {
            stream.push(&FRAME, loudness);
        }
    }

    fn begun() -> Stream {
        let mut stream = Stream::default();
        stream.begin(std::iter::repeat_n(0, RATE * 4 / 10));
        stream
    }

    #[test]
    fn a_look_is_due_after_enough_new_voice_and_at_a_dip() {
        let mut stream = begun();
        hears(&mut stream, 59, LOUD);
        assert!(stream.look().is_none());
        hears(&mut stream, 1, LOUD);
        assert!(stream.look().is_some_and(|ask| !ask.pause), "1.2 s");
        hears(&mut stream, 80, LOUD);
        hears(&mut stream, 1, QUIET);
        assert!(stream.look().is_none(), "one at a time");
        stream.looked("Hello.");
        hears(&mut stream, 1, QUIET);
        assert!(stream.look().is_some_and(|ask| ask.pause), "a dip may be the end");
        stream.looked("Hello.");
        hears(&mut stream, 100, QUIET);
        assert!(stream.look().is_none(), "nothing new in silence");
        hears(&mut stream, 4, LOUD);
        hears(&mut stream, 3, QUIET);
        assert!(stream.look().is_none(), "80 ms of voice are not worth it");
        hears(&mut stream, 6, LOUD);
        assert!(stream.look().is_none(), "0.2 s of voice are not worth it in the middle of it");
        hears(&mut stream, 1, QUIET);
        assert!(stream.look().is_none(), "nor for a short dip");
    }

    #[test]
    fn a_longer_dip_is_worth_a_look_with_little_new_voice() {
        let mut stream = begun();
        hears(&mut stream, 60, LOUD);
        assert!(stream.look().is_some());
        stream.looked("Hello");
        hears(&mut stream, 8, LOUD);
        hears(&mut stream, 2, QUIET);
        assert!(stream.look().is_none());
        hears(&mut stream, 1, QUIET);
        assert!(stream.look().is_some_and(|ask| ask.pause));
    }

    #[test]
    fn silence_counts_before_the_vad_has_forgotten_the_voice() {
        let mut stream = begun();
        hears(&mut stream, 50, LOUD);
        hears(&mut stream, 1, FADED);
        assert!(stream.look().is_none(), "a closure as easily as the end");
        hears(&mut stream, 1, FADED);
        assert!(stream.look().is_some_and(|ask| ask.pause));
        stream.looked("Do you open today?");
        hears(&mut stream, 3, FADED);
        hears(&mut stream, 3, QUIET);
        assert_eq!(stream.known(), Known::Words("Do you open today?".into()));
    }

    #[test]
    fn who_goes_on_more_softly_is_heard() {
        let mut stream = begun();
        hears(&mut stream, 50, LOUD);
        hears(&mut stream, 2, FADED);
        assert!(stream.look().is_some());
        stream.looked("Do you");
        hears(&mut stream, 12, FADED);
        assert_eq!(stream.known(), Known::No);
        assert_eq!(stream.voiced, stream.sound.len());
        hears(&mut stream, 1, LOUD);
        hears(&mut stream, 2, FADED);
        assert!(stream.voiced < stream.sound.len(), "their voice rose again");
    }

    #[test]
    fn a_look_in_the_middle_waits_where_the_voice_falls() {
        let falling = Loudness { probability: 0.9, level_dbfs: -45.0 };
        let mut stream = begun();
        hears(&mut stream, 59, LOUD);
        hears(&mut stream, 1, falling);
        assert!(stream.look().is_none(), "it may be the end");
        hears(&mut stream, 9, falling);
        assert!(stream.look().is_none());
        hears(&mut stream, 1, falling);
        assert!(stream.look().is_some_and(|ask| !ask.pause), "it was not");
    }

    #[test]
    fn words_are_known_at_the_end_where_nothing_voiced_came_after_a_look() {
        let mut stream = begun();
        hears(&mut stream, 50, LOUD);
        hears(&mut stream, 3, QUIET);
        assert_eq!(stream.known(), Known::No);
        assert!(stream.look().is_some());
        assert_eq!(stream.known(), Known::Coming);
        assert_eq!(stream.looked("Do you open today?"), "Do you open today?");
        assert_eq!(stream.known(), Known::Words("Do you open today?".into()));
        hears(&mut stream, 20, QUIET);
        assert_eq!(stream.known(), Known::Words("Do you open today?".into()));
        hears(&mut stream, 1, LOUD);
        assert_eq!(stream.known(), Known::No, "voice again");
    }

    #[test]
    fn a_look_that_ends_in_voice_is_not_the_end() {
        let mut stream = begun();
        hears(&mut stream, 60, LOUD);
        assert!(stream.look().is_some());
        stream.looked("Do you");
        hears(&mut stream, 5, QUIET);
        assert_eq!(stream.known(), Known::No, "a last consonant may be missing");
    }

    #[test]
    fn a_faint_consonant_is_voice_though_the_vad_does_not_take_it_for_some() {
        let mut stream = begun();
        hears(&mut stream, 50, LOUD);
        hears(&mut stream, 3, QUIET);
        assert!(stream.look().is_some());
        stream.looked("Plea");
        hears(&mut stream, 3, Loudness { probability: 0.1, level_dbfs: -40.0 });
        assert_eq!(stream.known(), Known::No);
    }

    #[test]
    fn what_two_looks_agree_on_is_settled_and_its_sound_dropped() {
        let mut stream = begun();
        hears(&mut stream, 200, LOUD);
        hears(&mut stream, 3, QUIET);
        stream.look().unwrap();
        stream.looked("I called you yesterday.");
        hears(&mut stream, 250, LOUD);
        let before = stream.sound.len();
        stream.look().unwrap();
        let text = stream.looked("I called you yesterday, and nobody answered");
        assert_eq!(text, "I called you yesterday, and nobody answered");
        assert_eq!(stream.settled, "I called you yesterday,");
        assert!(stream.sound.len() < before - RATE * 3, "its sound is gone");
        hears(&mut stream, 50, LOUD);
        let ask = stream.ask();
        assert_eq!(ask.before, "I called you yesterday,");
        assert_eq!(
            stream.looked("and nobody answered me."),
            "I called you yesterday, and nobody answered me."
        );
    }

    #[test]
    fn what_two_looks_differ_on_stays_open() {
        let mut stream = begun();
        hears(&mut stream, 200, LOUD);
        hears(&mut stream, 3, QUIET);
        stream.look().unwrap();
        stream.looked("I called you yes.");
        hears(&mut stream, 250, LOUD);
        stream.look().unwrap();
        stream.looked("I called you yesterday");
        assert_eq!(stream.settled, "");
    }

    #[test]
    fn the_rest_begins_behind_words_that_are_the_same_but_for_their_marks() {
        assert_eq!(rest_after("Hello.", "hello, there"), Some(" there"));
        assert_eq!(rest_after("", "hello"), Some("hello"));
        assert_eq!(rest_after("hello there", "hello"), None);
        assert_eq!(rest_after("yes", "yesterday"), None);
        assert_eq!(rest_after("ÄH so", "äh, so. ja"), Some(" ja"));
    }

    proptest! {
        /// Whatever comes in whatever order: never more sound than a transcriber hears, places within it, and every
        /// settled word stays.
        #[test]
        fn places_lie_within_the_sound(steps in proptest::collection::vec((0u8..6, 1usize..120), 1..80)) {
            let mut stream = begun();
            for (step, frames) in steps {
                let settled = stream.settled.clone();
                match step {
                    0 | 1 => hears(&mut stream, frames, LOUD),
                    2 => hears(&mut stream, frames % 8, QUIET),
                    3 => drop(stream.look()),
                    4 => drop(stream.looked("one two three four")),
                    _ => stream.missed(),
                }
                prop_assert!(stream.settled.starts_with(&settled));
                prop_assert!(stream.sound.len() <= LONGEST);
                prop_assert!(stream.voiced <= stream.sound.len());
                let looks = [&stream.latest, &stream.at_dip].into_iter().flatten();
                prop_assert!(looks.clone().all(|look| look.voiced <= look.upto));
                prop_assert!(looks.clone().all(|look| look.upto <= stream.sound.len()));
            }
        }
    }
}
