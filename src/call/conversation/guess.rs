//! Work on suspicion: the caller has paused, and their words are known. Before it is known whether they have finished, the brain is asked
//! and the first phrase made, behind a gate. [`Action::Release`] opens that; [`Action::Cancel`] throws all away, and no trace is left but
//! in the explanation of the turn that comes.

use std::time::{Duration, Instant};

use super::completeness::Completeness;
use super::speech::{Kind, Speech};
use super::{Action, Conversation, Floor, Scope};
use crate::domain::StageKind;

/// Guesses for one turn of the caller's: whoever tells a long story costs no more.
const MOST_GUESSES: u32 = 4;
/// A voice of less than this may be a breath or a click: what was worked is kept until it has become more, or other words.
const DOUBT: Duration = Duration::from_millis(250);
/// An ear that takes so long has too much to do: nothing is worked for on suspicion then.
const OVERLOADED: Duration = Duration::from_millis(800);
/// Where more is expected from the caller, work begins so long before it would be too late.
const HEAD_START: Duration = Duration::from_millis(500);
/// So many new words in an utterance that goes on are worth being read ahead.
const WORTH_READING: usize = 2;

/// An answer in the making that nobody has heard of.
#[derive(Debug)]
pub(super) struct Guess {
    pub(super) speech: Speech,
    /// The caller's words that it answers, …
    pub(super) text: String,
    /// … without what does not matter for an answer.
    key: String,
    /// The voice that may make it worthless.
    doubted_since: Option<Instant>,
}

/// Words without case and marks.
fn key(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()) {
        key.extend(word.chars().flat_map(char::to_lowercase));
        key.push(' ');
    }
    key
}

impl Conversation {
    /// What the brain is to answer besides the history: the words that are not yet the caller's turn, but may become it.
    pub fn question(&self) -> Option<&str> {
        self.guess.as_ref().map(|guess| guess.text.as_str())
    }

    /// Begins to work, where that is worth it; throws away what no longer is.
    pub(super) fn guess_ahead(&mut self, now: Instant) {
        let Some(text) = self.hearing.paused_text() else { return };
        if let Some(guess) = &mut self.guess {
            if guess.key == key(&text) {
                guess.doubted_since = None;
                return;
            }
            self.throw_away();
        }
        if self.guess_at().is_none_or(|at| now < at) {
            return;
        }
        self.guesses += 1;
        self.turn += 1;
        let (turn, key) = (self.turn, key(&text));
        self.recorder.turn_began(turn);
        self.recorder.stage_began(Scope::Turn(turn), StageKind::FirstToken, 0);
        let speech = Speech::new(turn, Kind::Answer, now);
        self.guess = Some(Guess { speech, key, text, doubted_since: None });
        self.actions.push_back(Action::Reply { turn });
    }

    /// When work begins for the words of the pause that lasts: at once, or later, where they ask for more. `None`: not at all.
    pub(super) fn guess_at(&self) -> Option<Instant> {
        let free = matches!(self.floor, Floor::Listening { .. })
            && self.hearing.paused_text().is_some()
            && !self.is_leaving()
            && self.cut_off.is_empty()
            && self.digits.is_empty()
            && !self.opening.is_held()
            && !self.machine.is_on()
            && self.guess.is_none()
            && self.guesses < MOST_GUESSES
            && self.hearing.stt().is_none_or(|stt| stt < OVERLOADED);
        let since = self.hearing.quiet_since().filter(|_| free)?;
        match self.hearing.completeness()? {
            Completeness::Complete | Completeness::Unsure => Some(since),
            _ => Some(self.decide_at()?.max(since + HEAD_START) - HEAD_START),
        }
    }

    /// When a voice has lasted for too long to be a breath.
    pub(super) fn doubt_ends_at(&self) -> Option<Instant> {
        self.guess.as_ref()?.doubted_since.map(|since| since + DOUBT)
    }

    /// There is a voice again.
    pub(super) fn doubt(&mut self, now: Instant) {
        if let Some(guess) = &mut self.guess {
            guess.doubted_since.get_or_insert(now);
        }
    }

    /// The caller goes on, or something else comes first.
    pub(super) fn throw_away(&mut self) {
        if let Some(guess) = self.guess.take() {
            self.recorder.withdrawn(guess.speech.turn);
            self.actions.push_back(Action::Cancel { turn: guess.speech.turn });
        }
    }

    /// The caller's turn is over, with these words: what was worked for them is the agent's turn; else it begins now.
    pub(super) fn answer(&mut self, now: Instant, text: &str) -> &mut Speech {
        self.guesses = 0;
        if let Some(Guess { mut speech, .. }) = self.guess.take_if(|guess| guess.key == key(text)) {
            speech.released(now);
            self.floor = Floor::Thinking;
            self.actions.push_back(Action::Release { turn: speech.turn });
            return self.speech.insert(speech);
        }
        self.throw_away();
        let turn = self.turn + 1;
        self.actions.extend([Action::Reply { turn }, Action::Release { turn }]);
        self.begin(now, Kind::Answer);
        self.recorder.stage_began(Scope::Turn(turn), StageKind::FirstToken, 0);
        self.speech.get_or_insert_with(|| Speech::new(turn, Kind::Answer, now))
    }

    /// For what is told of a turn whether it was released or not.
    pub(super) fn of_any_turn(&mut self, turn: u32, act: impl FnOnce(&mut Speech)) {
        let guess = self.guess.as_mut().map(|guess| &mut guess.speech);
        if let Some(speech) = guess.into_iter().chain(&mut self.speech).find(|speech| speech.turn == turn) {
            act(speech);
        }
    }

    /// The caller is still speaking: a local model may read what there is.
    pub(super) fn read_ahead(&mut self) {
        let text = self.hearing.text_so_far();
        let words = text.split_whitespace().count();
        let idle = matches!(self.floor, Floor::Listening { .. }) && self.guess.is_none();
        if idle && words >= self.read + WORTH_READING {
            self.read = words;
            self.actions.push_back(Action::ReadAhead { text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_case_make_no_other_question() {
        assert_eq!(key("What time do you open?"), key("what time, do you open"));
        assert_ne!(key("What time do you open?"), key("What time do you open on Saturday?"));
        assert_ne!(key("It's nine."), key("It is nine."));
        assert_eq!(key("¿Qué hora es?"), key("qué hora es"));
    }
}
