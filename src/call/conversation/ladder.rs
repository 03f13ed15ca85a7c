//! How long a silence must last before the agent takes the floor: rungs by what words and sound say of the end, stretched by
//! the patience of the agent and by the caller's own habit.

use std::time::{Duration, Instant};

use super::completeness::Completeness;
use crate::config::TurnTaking;
use crate::domain::EndOfTurnReason;

/// From this probability on, the sound says that the caller has finished.
const FINISHED: f32 = 0.5;
/// The habit stretches no wait by more than this.
const MOST_STRETCH: Duration = Duration::from_millis(600);
/// What is waited beyond a pause that the caller was seen to make.
const MARGIN: Duration = Duration::from_millis(100);

/// The rung for an utterance. `sound`: how likely the caller has finished by the sound alone; `None` while nobody has said so.
pub(super) fn rung(
    timing: &TurnTaking,
    text: Completeness,
    sound: Option<f32>,
) -> (Duration, EndOfTurnReason) {
    use EndOfTurnReason::{Complete, Dictation, HoldOn, Trailing, Unsure};
    let finished = sound.is_some_and(|probability| probability >= FINISHED);
    match (text, finished) {
        (Completeness::Complete, true) => (timing.pause_agreed, Complete),
        (Completeness::Complete, false) | (Completeness::Unsure, true) => (timing.pause_complete, Complete),
        // A sentence that ends in "and" by a voice that falls: one of the two is wrong.
        (Completeness::Unsure, false) | (Completeness::Trailing, true) => (timing.pause_unsure, Unsure),
        (Completeness::Trailing, false) => (timing.pause_trailing, Trailing),
        // Numbers are read out in groups, and the voice falls at the end of each.
        (Completeness::Dictating, true) => (timing.pause_trailing.min(timing.pause_dictation), Dictation),
        (Completeness::Dictating, false) => (timing.pause_dictation, Dictation),
        (Completeness::HoldOn, _) => (timing.pause_longest, HoldOn),
    }
}

/// How this caller pauses: whoever goes on after the agent thought they had finished is waited for longer from then on.
#[derive(Debug, Default)]
pub(super) struct Habit {
    /// Added to each wait that a sentence is given which may have ended.
    stretch: Duration,
    /// What would have been waited in the pause that lasts, without the stretch.
    waited: Option<Duration>,
}

impl Habit {
    /// The silence after which the caller's turn is over, and why.
    pub(super) fn wait(
        &self,
        timing: &TurnTaking,
        patience: f32,
        text: Completeness,
        sound: Option<f32>,
    ) -> (Duration, EndOfTurnReason) {
        let longest = times(timing.pause_longest, patience);
        let (rung, because) = rung(timing, text, sound);
        let stretch = if may_have_ended(text) { self.stretch } else { Duration::ZERO };
        let wait = times(rung, patience) + stretch;
        match wait > longest && because != EndOfTurnReason::HoldOn {
            true => (longest, EndOfTurnReason::LongestPause),
            false => (wait.min(longest), because),
        }
    }

    /// The words of a pause are known, and so long is waited. Who asks for more is expected to go on: nothing is learned from that.
    pub(super) fn paused(&mut self, text: Completeness, wait: Duration) {
        self.waited = may_have_ended(text).then(|| wait.saturating_sub(self.stretch));
    }

    /// The caller has gone on after a pause of this length.
    pub(super) fn went_on(&mut self, pause: Duration) {
        let Some(waited) = self.waited.take() else { return };
        let wanted = (pause + MARGIN).saturating_sub(waited).min(MOST_STRETCH);
        if wanted > self.stretch {
            self.stretch = (self.stretch + wanted) / 2;
        }
    }

    /// What is said now is something new.
    pub(super) fn begins(&mut self) {
        self.waited = None;
    }

    /// A turn was over when the agent thought so.
    pub(super) fn held(&mut self) {
        self.waited = None;
        self.stretch = self.stretch * 4 / 5;
    }
}

fn may_have_ended(text: Completeness) -> bool {
    matches!(text, Completeness::Complete | Completeness::Unsure)
}

/// To the millisecond.
fn times(pause: Duration, factor: f32) -> Duration {
    let ms = pause.as_secs_f64() * 1000.0 * f64::from(factor);
    Duration::try_from_secs_f64(ms.round() / 1000.0).unwrap_or(pause)
}

/// Between two instants; nothing where they stand the other way round.
pub(super) fn between(from: Option<Instant>, to: Instant) -> Duration {
    from.map_or(Duration::ZERO, |from| to.saturating_duration_since(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn timing() -> TurnTaking {
        Config::default().turn_taking
    }

    #[test]
    fn words_and_sound_find_the_rung() {
        use Completeness::{Complete, Dictating, HoldOn, Trailing, Unsure};
        for (text, sound, wait, because) in [
            (Complete, Some(0.9), 260, EndOfTurnReason::Complete),
            (Complete, None, 400, EndOfTurnReason::Complete),
            (Complete, Some(0.2), 400, EndOfTurnReason::Complete),
            (Unsure, Some(0.9), 400, EndOfTurnReason::Complete),
            (Unsure, None, 600, EndOfTurnReason::Unsure),
            (Trailing, Some(0.9), 600, EndOfTurnReason::Unsure),
            (Trailing, Some(0.1), 1500, EndOfTurnReason::Trailing),
            (Dictating, Some(0.9), 1500, EndOfTurnReason::Dictation),
            (Dictating, None, 2000, EndOfTurnReason::Dictation),
            (HoldOn, Some(0.9), 2500, EndOfTurnReason::HoldOn),
        ] {
            assert_eq!(
                Habit::default().wait(&timing(), 1.0, text, sound),
                (ms(wait), because),
                "{text:?} {sound:?}"
            );
        }
    }

    #[test]
    fn patience_is_a_factor_and_the_longest_pause_a_bound() {
        let habit = Habit { stretch: MOST_STRETCH, waited: None };
        let wait = |patience, text| habit.wait(&timing(), patience, text, None);
        assert_eq!(wait(2.0, Completeness::Complete), (ms(1400), EndOfTurnReason::Complete));
        assert_eq!(wait(0.5, Completeness::Trailing), (ms(750), EndOfTurnReason::Trailing));
        assert_eq!(wait(0.25, Completeness::Complete), (ms(625), EndOfTurnReason::LongestPause));
        assert_eq!(wait(2.0, Completeness::HoldOn), (ms(5000), EndOfTurnReason::HoldOn));
    }

    #[test]
    fn a_caller_who_thinks_aloud_is_waited_for_and_forgotten_about() {
        let mut habit = Habit::default();
        let wait = |habit: &Habit| habit.wait(&timing(), 1.0, Completeness::Complete, Some(0.9)).0;
        for _ in 0..8 {
            let waited = wait(&habit);
            habit.paused(Completeness::Complete, waited);
            habit.went_on(ms(600));
        }
        let slow = wait(&habit);
        assert!((ms(600)..=ms(720)).contains(&slow), "{slow:?}");
        for _ in 0..12 {
            habit.held();
        }
        assert!(wait(&habit) < ms(300), "{:?}", wait(&habit));
        // Nothing is learned from a pause whose words were not known.
        habit.went_on(ms(5000));
        assert!(wait(&habit) < ms(300));
        habit.paused(Completeness::Complete, ms(260));
        habit.went_on(ms(60_000));
        assert!(wait(&habit) <= ms(260) + MOST_STRETCH);
    }
}
