//! What a phone tells of a call while it happens: one JSON object a line.

use std::path::PathBuf;

use serde::Serialize;

/// An event and its time, in milliseconds since the phone was switched on.
///
/// The time is that of what happened (a sample that was sent, a sample that was heard), which for speech lies before
/// the moment at which it became certain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stamped {
    pub at_ms: u64,
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    Registered {
        expires_s: u64,
    },
    RegistrationFailed {
        status: u16,
        /// Tried again by itself after this time; absent: refused for good.
        retry_in_ms: Option<u64>,
    },
    Calling {
        to: String,
    },
    Incoming {
        from: String,
        to: String,
    },
    Ringing {
        status: u16,
    },
    Answered {
        codec: String,
    },
    /// The other side began to speak.
    AgentSpeechStart {
        /// Since our last voiced sample; absent where it answers nothing that we said.
        #[serde(skip_serializing_if = "Option::is_none")]
        voice_to_voice_ms: Option<u64>,
    },
    /// The other side's last voiced sample.
    AgentSpeechEnd {
        duration_ms: u64,
    },
    /// The other side gave way to what we said over it.
    Stopped {
        /// From our first voiced sample sent to its last voiced sample received.
        stop_ms: u64,
    },
    /// We begin to speak or play.
    Playing {
        line: usize,
        text: String,
        interrupting: bool,
    },
    /// Our last voiced sample of that line has left.
    Played {
        line: usize,
    },
    /// A key that the other side pressed.
    Digit {
        digit: char,
    },
    /// Keys that we pressed.
    Pressed {
        digits: String,
    },
    /// A step waited in vain.
    GaveUp {
        step: usize,
    },
    /// There was nothing left to be interrupted.
    NothingToInterrupt {
        step: usize,
    },
    Ended {
        /// `remote`, `local` or `network`.
        by: &'static str,
        cause: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Recording {
        path: PathBuf,
    },
}

impl Event {
    pub(super) fn ended(cause: &sip::Cause) -> Event {
        Event::Ended {
            by: match cause.by {
                sip::EndedBy::Remote => "remote",
                sip::EndedBy::Local => "local",
                sip::EndedBy::Network => "network",
            },
            cause: snake(&format!("{:?}", cause.kind)),
            status: cause.status,
            reason: cause.reason.clone(),
        }
    }
}

/// `TransportError` as `transport_error`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_json_objects() {
        let json = |event| serde_json::to_string(&Stamped { at_ms: 7, event }).unwrap();
        assert_eq!(json(Event::Ringing { status: 180 }), r#"{"at_ms":7,"event":"ringing","status":180}"#);
        assert_eq!(
            json(Event::AgentSpeechStart { voice_to_voice_ms: Some(640) }),
            r#"{"at_ms":7,"event":"agent_speech_start","voice_to_voice_ms":640}"#
        );
        let cause = sip::Cause {
            by: sip::EndedBy::Network,
            kind: sip::CauseKind::TransportError,
            status: None,
            reason: None,
        };
        assert_eq!(
            json(Event::ended(&cause)),
            r#"{"at_ms":7,"event":"ended","by":"network","cause":"transport_error"}"#
        );
    }
}
