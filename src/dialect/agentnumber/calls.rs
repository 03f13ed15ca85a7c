//! Calls and messages as they see them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::wire::NewCall;
use crate::domain::{
    Call, CallId, Content, Direction, EndReason, Message, MessageId, MessageStatus, Metadata, Money,
    NumberId, Private, Settings, Speaker, Status,
};

/// One call of a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CallView {
    pub id: CallId,
    /// Who called: our number where the call went out.
    pub from: Private<String>,
    pub to: Private<String>,
    pub direction: Direction,
    pub status: &'static str,
    /// Whole seconds from the answer to the end; `null` while it lasts.
    pub duration: Option<u64>,
    /// `null` while it lasts.
    pub cost_cents: Option<i64>,
    pub metadata: Metadata,
    pub created_at: DateTime<Utc>,
    pub number_id: Option<NumberId>,
    /// The other side, whichever direction.
    pub customer_number: Private<String>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl CallView {
    pub fn new(call: &Call) -> Self {
        let is_over = call.status.is_over();
        Self {
            id: call.id.clone(),
            from: call.from.clone(),
            to: call.to.clone(),
            direction: call.direction,
            status: status(call.status),
            duration: is_over.then_some((call.duration_ms + 500) / 1000),
            cost_cents: call.cost.filter(|_| is_over).map(whole_cents),
            metadata: call.metadata.clone(),
            created_at: call.created_at,
            number_id: call.number_id.clone(),
            customer_number: customer(call).clone(),
            answered_at: call.answered_at,
            ended_at: call.ended_at,
        }
    }
}

/// One call by its id.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CallDetail {
    #[serde(flatten)]
    pub call: CallView,
    /// `AI: …` and `User: …`, a line each; `null` before the end.
    pub transcript: Option<Private<String>>,
    /// Nobody here summarizes calls.
    pub summary: Option<String>,
    pub ended_reason: Option<&'static str>,
}

impl CallDetail {
    pub fn new(call: &Call) -> Self {
        let is_over = call.status.is_over();
        Self {
            call: CallView::new(call),
            transcript: (is_over && !call.transcript.is_empty()).then(|| Private::new(lines(call))),
            summary: None,
            ended_reason: call.end_reason.map(ended),
        }
    }
}

/// The transcript of a call.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Transcript {
    pub segments: Vec<Segment>,
    pub transcript: Private<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Segment {
    /// `assistant` or `user`, as in chat completions.
    pub role: &'static str,
    pub content: Private<String>,
    /// Seconds from the answer.
    pub start: f64,
    /// The caller spoke over it; `content` ends where the sound ended.
    pub interrupted: bool,
}

impl Transcript {
    /// `None` while the call lasts: there is none yet.
    pub fn new(call: &Call) -> Option<Self> {
        let segment = |fragment: &crate::domain::Fragment| Segment {
            role: match fragment.speaker {
                Speaker::Caller => "user",
                Speaker::Agent => "assistant",
            },
            content: fragment.text.clone(),
            #[expect(clippy::cast_precision_loss, reason = "a call's milliseconds are few")]
            start: fragment.at_ms as f64 / 1000.0,
            interrupted: fragment.interrupted,
        };
        let segments = call.transcript.iter().map(segment).collect();
        call.status.is_over().then(|| Self { segments, transcript: Private::new(lines(call)) })
    }
}

fn lines(call: &Call) -> String {
    let line = |fragment: &crate::domain::Fragment| {
        let who = match fragment.speaker {
            Speaker::Caller => "User",
            Speaker::Agent => "AI",
        };
        format!("{who}: {}", fragment.text.reveal())
    };
    call.transcript.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The side of the line that is not ours.
pub(super) fn customer(call: &Call) -> &Private<String> {
    match call.direction {
        Direction::Inbound => &call.from,
        Direction::Outbound => &call.to,
    }
}

/// A call is `initiated` until it is over: the service knows no state between, and its programs wait until it is another.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Queued | Status::Dialing | Status::Ringing | Status::InProgress => "initiated",
        Status::Completed => "completed",
        Status::Busy => "busy",
        Status::NoAnswer => "no-answer",
        Status::Canceled => "canceled",
        Status::Failed => "failed",
    }
}

/// Their words where they have one, ours for the rest.
pub(super) fn ended(reason: EndReason) -> &'static str {
    match reason {
        EndReason::CallerHungUp | EndReason::CalleeHungUp => "customer-ended-call",
        EndReason::AgentHungUp | EndReason::ApiHungUp => "assistant-ended-call",
        EndReason::Busy | EndReason::Declined => "customer-busy",
        EndReason::NoAnswer => "customer-did-not-answer",
        EndReason::CallerSilent => "silence-timed-out",
        EndReason::MaxDuration => "exceeded-max-duration",
        EndReason::Transferred | EndReason::TargetHungUp => "assistant-forwarded-call",
        other => other.code(),
    }
}

/// The nearest.
pub(super) fn whole_cents(money: Money) -> i64 {
    (money + Money::from_micros(5_000)).cents()
}

/// What one call changes of its number's settings. `voice`: what its `voice_id` comes to; `longest`: what the box allows.
pub fn placing_settings(request: &NewCall, voice: Option<String>, longest: Duration) -> Settings {
    let most = u32::try_from(longest.as_secs()).unwrap_or(u32::MAX);
    let seconds = |asked: u64| u32::try_from(asked).unwrap_or(u32::MAX).clamp(1, most.max(1));
    Settings {
        prompt: request.system_prompt.clone(),
        first_message: request.first_message.clone(),
        voice,
        max_duration_s: request.max_duration.map(seconds),
        record: request.record,
        ..Settings::default()
    }
}

/// One message.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SmsView {
    pub id: MessageId,
    pub from: Private<String>,
    pub to: Private<String>,
    pub direction: Direction,
    /// `null` where it held no text.
    pub body: Option<Private<String>>,
    pub status: &'static str,
    pub cost_cents: Option<i64>,
    pub metadata: Metadata,
    pub created_at: DateTime<Utc>,
    pub number_id: Option<NumberId>,
}

impl SmsView {
    pub fn new(message: &Message) -> Self {
        Self {
            id: message.id.clone(),
            from: message.from.clone(),
            to: message.to.clone(),
            direction: message.direction,
            body: match &message.content {
                Content::Text(text) => Some(text.clone()),
                Content::Data(_) => None,
            },
            status: match message.status {
                MessageStatus::Received => "received",
                MessageStatus::Queued => "queued",
                MessageStatus::Sent | MessageStatus::Accepted | MessageStatus::Delivered => "sent",
                MessageStatus::Failed => "failed",
            },
            cost_cents: message.cost.map(whole_cents),
            metadata: message.metadata.clone(),
            created_at: message.created_at,
            number_id: message.number_id.clone(),
        }
    }
}
