//! Did it really work? Claims against evidence.

use std::path::Path;
use std::time::Duration;

use super::super::rehearsal::{Held, Turn};
use crate::config::Config;
use crate::phone::{Exchange, wer};

/// More than this share of a line's words misunderstood: not understood.
const HEARD: f64 = 0.34;
/// The same for the agent's speech, which is longer and freer than the caller's lines.
const SPOKEN: f64 = 0.40;
/// A few words may always differ: the cut of an interruption falls within a word, and a small ear mishears names.
const SLACK: f64 = 2.0;
/// Longer than this, and it did not stop for us but came to its end.
const STOP: Duration = Duration::from_millis(1500);
const TURNS: usize = 3;

/// Everything that is wrong with a call. `spoken` is the agent's speech as written down from the phone's recording.
pub(super) fn judge(config: &Config, held: &Held, spoken: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let exchanges = &held.outcome.exchanges;
    if !held.outcome.answered {
        problems.push(format!("the call was not answered ({:?})", held.outcome.cause.kind));
        return problems;
    }
    if exchanges.len() <= TURNS {
        problems.push(format!("{} turns were held; {TURNS} are needed", exchanges.len().saturating_sub(1)));
    }
    for (i, exchange) in exchanges.iter().enumerate() {
        let turn = held.turns.get(i).cloned().unwrap_or_default();
        let spoken = spoken.get(i).map_or("", String::as_str);
        problems.extend(exchange_problems(i, exchange, &turn, spoken));
    }
    problems.extend(barge_in_problems(exchanges, &held.turns));
    if config.recording.enabled {
        problems.extend(recording_problems(held.recording.as_deref()));
    }
    problems
}

fn exchange_problems(i: usize, exchange: &Exchange, turn: &Turn, spoken: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let what = if i == 0 { "the greeting".to_owned() } else { format!("turn {i}") };
    if let Some(said) = &exchange.said {
        let rate = wer::word_error_rate(said, &turn.heard);
        if rate > HEARD {
            problems.push(format!(
                "{what}: not understood ({:.0} % of the words): the caller said {said:?}, the gateway heard {:?}",
                rate * 100.0,
                turn.heard
            ));
        }
    }
    if turn.said.trim().is_empty() {
        problems.push(format!("{what}: the agent said nothing"));
        return problems;
    }
    let words = wer::words(&turn.said).len() as f64;
    let rate = wer::word_error_rate(&turn.said, spoken);
    if rate > SPOKEN && rate * words > SLACK {
        problems.push(format!(
            "{what}: the recording does not hold what the transcript claims ({:.0} % of the words differ): claimed {:?}, \
             recorded {spoken:?}",
            rate * 100.0,
            turn.said
        ));
    }
    problems
}

fn barge_in_problems(exchanges: &[Exchange], turns: &[Turn]) -> Option<String> {
    let at = exchanges.iter().position(|exchange| exchange.interrupting);
    let Some(at) = at else { return Some("nobody was interrupted".into()) };
    match exchanges[at].stop {
        None => Some("the agent did not stop when it was interrupted".into()),
        Some(stop) if stop > STOP => {
            Some(format!("the agent went on for {} ms when it was interrupted", stop.as_millis()))
        }
        Some(_) if !turns[..at].iter().any(|turn| turn.interrupted) => {
            Some("the agent fell silent, but the gateway knows of no interruption".into())
        }
        Some(_) => None,
    }
}

fn recording_problems(path: Option<&Path>) -> Option<String> {
    let Some(path) = path else { return Some("the gateway announced no recording".into()) };
    let wav = match media::wav::read(path) {
        Ok(wav) => wav,
        Err(error) => return Some(format!("the recording cannot be read: {error}")),
    };
    if wav.channels != 2 {
        return Some(format!("the recording has {} channel(s), not 2", wav.channels));
    }
    let loud =
        |channel: usize| wav.samples.iter().skip(channel).step_by(2).any(|s| s.saturating_abs() > 1000);
    if !loud(0) || !loud(1) {
        return Some("one side of the recording is silent".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(heard: &str, said: &str) -> Turn {
        Turn { heard: heard.into(), said: said.into(), ..Turn::default() }
    }

    fn exchange(said: &str) -> Exchange {
        Exchange { said: Some(said.into()), ..Exchange::default() }
    }

    #[test]
    fn what_agrees_is_no_problem() {
        let problems = exchange_problems(
            1,
            &exchange("When do you open on Saturday?"),
            &turn("When do you open on Saturday?", "We open at 9 o'clock on Saturdays."),
            "We open at nine on Saturday.",
        );
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn what_was_not_understood_or_not_spoken_is_a_problem() {
        let asked = exchange("When do you open on Saturday?");
        let problems =
            exchange_problems(1, &asked, &turn("Thank you.", "We open at nine."), "We open at nine.");
        assert!(problems[0].contains("not understood"), "{problems:?}");
        let right = turn("When do you open on Saturday?", "We open at nine in the morning.");
        let problems = exchange_problems(1, &asked, &right, "");
        assert!(problems[0].contains("does not hold"), "{problems:?}");
        let problems = exchange_problems(1, &asked, &turn("When do you open on Saturday?", " "), "");
        assert!(problems[0].contains("said nothing"), "{problems:?}");
    }

    #[test]
    fn a_short_answer_may_differ_in_two_words() {
        let asked = exchange("Is it you?");
        let problems = exchange_problems(1, &asked, &turn("Is it you?", "Yes, speaking."), "Yes speak in.");
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn an_interruption_must_stop_the_agent_and_be_known() {
        let mut exchanges = vec![Exchange::default(), exchange("a"), exchange("b")];
        let mut turns = vec![Turn::default(); 3];
        assert!(barge_in_problems(&exchanges, &turns).is_some());
        exchanges[2].interrupting = true;
        assert!(barge_in_problems(&exchanges, &turns).unwrap().contains("did not stop"));
        exchanges[2].stop = Some(Duration::from_millis(300));
        assert!(barge_in_problems(&exchanges, &turns).unwrap().contains("knows of no"));
        turns[1].interrupted = true;
        assert_eq!(barge_in_problems(&exchanges, &turns), None);
        exchanges[2].stop = Some(Duration::from_secs(4));
        assert!(barge_in_problems(&exchanges, &turns).unwrap().contains("went on"));
    }

    #[test]
    fn a_recording_has_two_sides_and_both_can_be_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        assert!(recording_problems(None).is_some());
        assert!(recording_problems(Some(&path)).is_some());
        let write = |channels, samples| {
            media::wav::write(&path, &media::wav::Wav { rate: 8000, channels, samples }).unwrap();
            recording_problems(Some(&path))
        };
        assert!(write(1, vec![2000; 100]).unwrap().contains("channel"));
        assert!(write(2, [2000, 0].repeat(100)).unwrap().contains("silent"));
        assert_eq!(write(2, vec![2000; 100]), None);
    }
}
