//! What a phone shall do on a call, step by step.
//!
//! The same little language stands in a script file (one step a line, `#` begins a comment) and behind a repeated
//! `--do` flag. A step is a verb and its argument:
//!
//! ```text
//! listen            wait until the other side has spoken and finished
//! say Good morning  speak a sentence (synthesized before the call)
//! play hello.wav    play a WAV file
//! interrupt 900ms Wait, one thing    talk over the other side once it has spoken for so long
//! dtmf 12#          press keys
//! wait 500ms        do nothing
//! stay              wait until the other side hangs up
//! hangup
//! ```
//!
//! A [`Script`] that exists is right: durations are durations, digits are digits, and nothing is empty.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Steps in the order in which they are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait until the other side has begun and ended to speak; give up after the given time.
    Listen { patience: Duration },
    /// Say or play something and wait until its last sample has left.
    Speak(Line),
    /// Once the other side has spoken for `after`, speak over it.
    Interrupt { after: Duration, line: Line, patience: Duration },
    /// Press keys.
    Dtmf(String),
    /// Do nothing for a while.
    Wait(Duration),
    /// Wait for the other side to hang up.
    Stay { patience: Duration },
    /// Hang up.
    Hangup,
}

/// Something to be sounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Text(String),
    File(PathBuf),
}

/// A step that cannot be understood, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScriptError {
    #[error("line {line}: {source}")]
    Line { line: usize, source: Box<ScriptError> },
    #[error("`{0}` is no step; allowed are listen, say, play, interrupt, dtmf, wait, stay, hangup")]
    UnknownStep(String),
    #[error("`{step}` needs {needs}, as in `{example}`")]
    Incomplete { step: &'static str, needs: &'static str, example: &'static str },
    #[error("`{0}` is no duration; write 500ms, 2s or 1.5s")]
    Duration(String),
    #[error("`{0}` is no key of a phone; allowed are 0-9, *, #, A-D")]
    Digit(char),
    #[error("`hangup` takes nothing, but `{0}` follows it")]
    Surplus(String),
}

impl Script {
    /// Reads a script file: one step a line; blank lines and comments are passed over.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let mut steps = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let step: Step =
                line.parse().map_err(|e| ScriptError::Line { line: number + 1, source: Box::new(e) })?;
            steps.push(step);
        }
        Ok(Script { steps })
    }

    /// Everything that has to be synthesized or read before the call, in order.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.steps.iter().filter_map(|step| match step {
            Step::Speak(line) | Step::Interrupt { line, .. } => Some(line),
            _ => None,
        })
    }
}

impl FromStr for Step {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Step, ScriptError> {
        let text = text.trim();
        let (verb, rest) = match text.split_once(char::is_whitespace) {
            Some((verb, rest)) => (verb, rest.trim()),
            None => (text, ""),
        };
        match verb {
            "listen" => Ok(Step::Listen { patience: patience(rest, DEFAULT_PATIENCE)? }),
            "stay" => Ok(Step::Stay { patience: patience(rest, DEFAULT_STAY)? }),
            "wait" => match rest {
                "" => {
                    Err(ScriptError::Incomplete { step: "wait", needs: "a duration", example: "wait 500ms" })
                }
                _ => Ok(Step::Wait(duration(rest)?)),
            },
            "say" => match rest {
                "" => {
                    Err(ScriptError::Incomplete { step: "say", needs: "words", example: "say Good morning" })
                }
                _ => Ok(Step::Speak(Line::Text(rest.to_owned()))),
            },
            "play" => match rest {
                "" => Err(ScriptError::Incomplete {
                    step: "play",
                    needs: "a WAV file",
                    example: "play hello.wav",
                }),
                _ => Ok(Step::Speak(Line::File(rest.into()))),
            },
            "interrupt" => interrupt(rest),
            "dtmf" => digits(rest).map(Step::Dtmf),
            "hangup" if rest.is_empty() => Ok(Step::Hangup),
            "hangup" => Err(ScriptError::Surplus(rest.to_owned())),
            other => Err(ScriptError::UnknownStep(other.to_owned())),
        }
    }
}

/// `500ms`, `2s`, `1.5s`; a bare number means milliseconds.
pub fn duration(text: &str) -> Result<Duration, ScriptError> {
    let wrong = || ScriptError::Duration(text.to_owned());
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit() && c != '.') {
        Some(end) => text.split_at(end),
        None => (text, "ms"),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit.trim() {
        "ms" => number,
        "s" => number * 1000.0,
        "m" | "min" => number * 60_000.0,
        _ => return Err(wrong()),
    };
    if !millis.is_finite() || millis > LONGEST.as_millis() as f64 {
        return Err(wrong());
    }
    Ok(Duration::from_micros((millis * 1000.0) as u64))
}

const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);
const DEFAULT_STAY: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

fn patience(text: &str, default: Duration) -> Result<Duration, ScriptError> {
    if text.is_empty() { Ok(default) } else { duration(text) }
}

fn interrupt(rest: &str) -> Result<Step, ScriptError> {
    let incomplete = ScriptError::Incomplete {
        step: "interrupt",
        needs: "a time and words",
        example: "interrupt 900ms Wait, one question",
    };
    let Some((after, words)) = rest.split_once(char::is_whitespace) else { return Err(incomplete) };
    let line = match words.trim().split_once(char::is_whitespace) {
        Some(("play", file)) if file.trim().ends_with(".wav") => Line::File(file.trim().into()),
        _ => Line::Text(words.trim().to_owned()),
    };
    Ok(Step::Interrupt { after: duration(after)?, line, patience: DEFAULT_PATIENCE })
}

fn digits(text: &str) -> Result<String, ScriptError> {
    if text.is_empty() {
        return Err(ScriptError::Incomplete { step: "dtmf", needs: "keys", example: "dtmf 12#" });
    }
    let text: String = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect();
    match text.chars().find(|c| !matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')) {
        Some(stranger) => Err(ScriptError::Digit(stranger)),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_the_language_is_read() {
        let script = Script::parse(
            "# a first call\nlisten\nsay  Good morning, is anybody there?\n\nplay hello.wav\ndtmf 1 2#a\nwait 1.5s\n\
             interrupt 900 Wait, one question\ninterrupt 1s play stop.wav\nlisten 5s\nstay\nhangup\n",
        )
        .unwrap();
        assert_eq!(
            script.steps,
            [
                Step::Listen { patience: DEFAULT_PATIENCE },
                Step::Speak(Line::Text("Good morning, is anybody there?".into())),
                Step::Speak(Line::File("hello.wav".into())),
                Step::Dtmf("12#A".into()),
                Step::Wait(Duration::from_millis(1500)),
                Step::Interrupt {
                    after: Duration::from_millis(900),
                    line: Line::Text("Wait, one question".into()),
                    patience: DEFAULT_PATIENCE
                },
                Step::Interrupt {
                    after: Duration::from_secs(1),
                    line: Line::File("stop.wav".into()),
                    patience: DEFAULT_PATIENCE
                },
                Step::Listen { patience: Duration::from_secs(5) },
                Step::Stay { patience: DEFAULT_STAY },
                Step::Hangup,
            ]
        );
        assert_eq!(script.lines().count(), 4);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_is_allowed() {
        let error = Script::parse("listen\n\nshout hello\n").unwrap_err().to_string();
        assert!(error.starts_with("line 3: `shout` is no step"), "{error}");
        assert!(error.contains("interrupt"), "{error}");
    }

    #[test]
    fn incomplete_steps_say_what_they_need() {
        for text in ["say", "play ", "wait", "dtmf", "interrupt", "interrupt 500ms"] {
            let error = text.parse::<Step>().unwrap_err();
            assert!(matches!(error, ScriptError::Incomplete { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn durations_have_units_and_a_bound() {
        assert_eq!(duration("250"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "1.2.3s", "-5ms", "5 parsecs", "1e9s", "99999999999s", "NaN"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_keys_of_a_phone_are_pressed() {
        assert_eq!("dtmf 12x".parse::<Step>(), Err(ScriptError::Digit('X')));
        assert_eq!("hangup now".parse::<Step>(), Err(ScriptError::Surplus("now".into())));
    }
}
