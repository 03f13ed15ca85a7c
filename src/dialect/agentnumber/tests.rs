use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::golden::{Exchange, differences, fill, read};
use super::wire::{ListQuery, NewCall, NewNumber, NumberChange, Patch};
use super::*;
use crate::domain::{
    AccountId, BrainChoice, Call, CallId, Content, Direction, EndReason, Event, EventKind, Fragment, Message,
    MessageStatus, Metadata, Money, Number, NumberId, NumberKind, NumberStatus, Private, Settings, Source,
    Speaker, Status,
};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::Duration::seconds(second)
}

fn names() -> BTreeMap<String, String> {
    let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    BTreeMap::from([
        entry("voice_url", "https://agent.example/voice"),
        entry("full", number("+14155550103").id.as_str()),
        entry("managed", number("+14155550101").id.as_str()),
        entry("webhook", number("+14155550102").id.as_str()),
        entry("call", ended().id.as_str()),
    ])
}

fn exchange(file: &str, name: &str) -> Exchange {
    let mut found = read(file).into_iter().find(|one| one.name == name);
    let one = found.as_mut().unwrap_or_else(|| panic!("{file} has no {name:?}"));
    one.body = one.body.as_ref().map(|body| fill(body, &names()));
    one.answer = fill(&one.answer, &names());
    found.unwrap()
}

#[track_caller]
fn fits(one: &Exchange, found: &Value) {
    let differences = differences(&one.answer, found);
    assert!(differences.is_empty(), "{}: {differences:#?}", one.name);
}

fn number(text: &str) -> Number {
    Number {
        id: NumberId::from_name(text),
        account: AccountId::house(),
        number: text.parse().unwrap(),
        status: NumberStatus::Active,
        source: Source::Api,
        country: "US".into(),
        area_code: Some("415".into()),
        kind: NumberKind::Local,
        trunk: "lan".into(),
        label: None,
        agent_id: None,
        inbound: Settings::default(),
        outbound: Settings::default(),
        metadata: Metadata::new(),
        extra: Metadata::new(),
        created_at: at(0),
        updated_at: at(0),
        released_at: None,
    }
}

fn mapped() -> BTreeMap<String, String> {
    BTreeMap::from([(DEFAULT_VOICE.to_owned(), "joe".to_owned()), ("gone".to_owned(), "nobody".to_owned())])
}

/// What the handler does with a request, without a gateway.
fn provision(one: &Exchange, text: &str) -> (Number, Vec<String>) {
    let request: NewNumber = serde_json::from_value(one.body.clone().unwrap()).unwrap();
    let voiced = |id: &String| voice(id, &mapped(), |name| name == "joe");
    let voiced = request.voice_id.as_ref().map(voiced).unwrap_or_default();
    let (settings, notes) = provisioned(&request, voiced).unwrap();
    let number = Number {
        inbound: settings.clone(),
        outbound: settings,
        metadata: request.metadata.clone().unwrap_or_default(),
        extra: remembered(None, &given(request.voice_id.clone()), &given(request.inbound_mode.clone())),
        ..number(text)
    };
    (number, notes)
}

/// Its paths, in its order.
const DOCUMENT: &[(&str, &str)] = &[
    ("POST", "/numbers"),
    ("GET", "/numbers/:id"),
    ("PATCH", "/numbers/:id"),
    ("DELETE", "/numbers/:id"),
    ("POST", "/calls"),
    ("GET", "/calls/:id"),
    ("GET", "/calls/:id/transcript"),
    ("GET", "/calls/:id/recording"),
    ("POST", "/sms"),
    ("GET", "/sms/:id"),
    ("GET", "/credits/balance"),
    ("POST", "/credits/purchase"),
    ("POST", "/webhooks"),
    ("GET", "/webhooks"),
    ("PATCH", "/webhooks/:id"),
    ("DELETE", "/webhooks/:id"),
];

#[test]
fn every_path_of_the_document_has_its_golden_exchange() {
    let fits = |path: &str, golden: &str| {
        let (mut parts, mut others) = (path.split('/'), golden.split('/'));
        path.split('/').count() == golden.split('/').count()
            && parts.all(|part| others.next().is_some_and(|other| part == ":id" || part == other))
    };
    let files = ["numbers", "calls", "ended", "sms", "credits", "webhooks"];
    let all: Vec<_> = files.into_iter().flat_map(read).collect();
    for (method, path) in DOCUMENT {
        let of_it: Vec<_> = all.iter().filter(|one| one.method == *method && fits(path, &one.path)).collect();
        assert!(!of_it.is_empty(), "{method} {path}");
        for one in of_it {
            let says_success =
                one.answer["success"].as_bool().expect("every answer says whether it went well");
            assert_eq!(says_success, one.status < 300, "{}", one.name);
            assert!(one.save.values().all(|pointer| one.answer.pointer(pointer).is_some()), "{}", one.name);
        }
    }
}

#[test]
fn numbers_are_provisioned_and_changed_as_the_document_says() {
    for (name, text) in
        [("managed", "+14155550101"), ("webhook", "+14155550102"), ("every field", "+14155550103")]
    {
        let one = exchange("numbers", name);
        let (number, notes) = provision(&one, text);
        fits(&one, &success(NumberView::new(&number, notes)));
    }
    let (mut number, _) = provision(&exchange("numbers", "every field"), "+14155550103");
    assert_eq!(
        number.inbound.brain,
        Some(BrainChoice::Webhook { url: "https://agent.example/voice".into() })
    );
    for name in ["a mapped voice", "from webhook to managed"] {
        let one = exchange("numbers", name);
        let change: NumberChange = serde_json::from_value(one.body.clone().unwrap()).unwrap();
        let voiced = match &change.voice_id {
            Patch::Set(id) => voice(id, &mapped(), |name| name == "joe"),
            _ => Voiced::default(),
        };
        let (settings, notes) = changed(&number.inbound, &change, voiced);
        number.extra = remembered(Some(&number), &change.voice_id, &change.inbound_mode);
        let mut metadata = Some(number.metadata.clone());
        change.metadata.clone().apply(&mut metadata);
        number.metadata = metadata.unwrap_or_default();
        number.inbound = settings;
        fits(&one, &success(NumberView::new(&number, notes)));
    }
    assert_eq!((number.inbound.voice.as_deref(), number.inbound.brain), (Some("joe"), None));
    fits(&exchange("numbers", "released"), &deleted(number.id.as_str()));
}

#[test]
fn a_number_needs_a_mind_and_keeps_what_only_they_know() {
    let request: NewNumber = serde_json::from_value(json!({ "area_code": 415, "surplus": [] })).unwrap();
    assert_eq!(request.area_code.as_deref(), Some("415"));
    assert!(provisioned(&request, Voiced::default()).is_err());
    let request = NewNumber { webhook_url: Some("https://a.example".into()), ..request };
    let (settings, _) = provisioned(&request, Voiced::default()).unwrap();
    assert_eq!(settings.prompt.as_deref(), Some(""), "no system message");
    let change: NumberChange = serde_json::from_value(json!({ "webhook_url": null })).unwrap();
    assert_eq!(changed(&settings, &change, Voiced::default()).0, Settings::default());
    let other = NewNumber { inbound_mode: Some("voicemail".into()), ..request };
    assert_eq!(provisioned(&other, Voiced::default()).unwrap().1.len(), 1, "said, not refused");
    assert!(NumberChange::default().is_empty());
}

#[test]
fn a_voice_is_never_an_error() {
    let is_ours = |name: &str| name == "joe";
    for (id, name, noted) in [
        (DEFAULT_VOICE, Some("joe"), false),
        ("joe", Some("joe"), false),
        ("x", None, true),
        ("gone", None, true),
    ] {
        let voiced = voice(id, &mapped(), is_ours);
        assert_eq!((voiced.voice.as_deref(), voiced.note.is_some()), (name, noted), "{id}");
    }
    assert_eq!(voice(DEFAULT_VOICE, &BTreeMap::new(), is_ours), Voiced::default());
}

fn ended() -> Call {
    let id = CallId::from_random([7; 10]);
    let mut call = Call::new(id, Direction::Outbound, "+14155550102".into(), "+15551234567".into(), at(0));
    call.number_id = Some(number("+14155550102").id);
    call.metadata = serde_json::from_value(json!({ "order": 7 })).unwrap();
    call.answered_at = Some(at(10));
    let said = |speaker, text: &str, at_ms| Fragment {
        speaker,
        text: Private::new(text.to_owned()),
        at_ms,
        interrupted: false,
    };
    call.transcript = vec![
        said(Speaker::Agent, "Hello!", 0),
        said(Speaker::Caller, "Hi, I'd like to schedule an appointment.", 1500),
        said(Speaker::Agent, "Sure, I can help with that.", 3250),
    ];
    call.end(EndReason::CalleeHungUp, None, at(72));
    call.cost = Some("0.052".parse().unwrap());
    call
}

#[test]
fn a_call_is_initiated_until_it_is_over() {
    let call = ended();
    let begun = Call {
        status: Status::Queued,
        answered_at: None,
        ended_at: None,
        end_reason: None,
        cost: None,
        transcript: Vec::new(),
        ..call.clone()
    };
    fits(&exchange("calls", "placed"), &success(CallView::new(&begun)));
    for status in [Status::Queued, Status::Dialing, Status::Ringing, Status::InProgress] {
        let call = Call { status, ..begun.clone() };
        assert_eq!((CallView::new(&call).status, Transcript::new(&call)), ("initiated", None));
    }
    fits(&exchange("ended", "details"), &success(CallDetail::new(&call)));
    fits(&exchange("ended", "transcript"), &success(Transcript::new(&call).unwrap()));
    let view = CallView::new(&call);
    assert_eq!((view.duration, view.cost_cents), (Some(62), Some(5)));
    let call = Call { direction: Direction::Inbound, ..call };
    assert_eq!(CallView::new(&call).customer_number.reveal(), "+14155550102");
}

#[test]
fn what_a_call_changes_of_its_number_goes_with_it_alone() {
    let text = json!({ "from": "num_1", "to": "+15551234567", "system_prompt": "Be brief.", "max_duration": 300, "record": true });
    let request: NewCall = serde_json::from_value(text).unwrap();
    let settings = placing_settings(&request, Some("joe".into()), HOUR);
    let endless = NewCall { max_duration: Some(1 << 40), ..NewCall::default() };
    assert_eq!(placing_settings(&endless, None, HOUR).max_duration_s, Some(3600));
    assert_eq!((settings.max_duration_s, settings.record), (Some(300), Some(true)));
    assert_eq!((settings.prompt.as_deref(), settings.voice.as_deref()), (Some("Be brief."), Some("joe")));
    assert_eq!(placing_settings(&NewCall::default(), None, HOUR), Settings::default());
}

fn message(status: MessageStatus) -> Message {
    let mut message = crate::domain::received(3, "+14155550102");
    message.number_id = Some(number("+14155550102").id);
    message.cost = Some(Money::from_cents(2));
    message.status = status;
    if status == MessageStatus::Received {
        message.from = Private::new("+15551234567".into());
        message.content = Content::Text(Private::new("Hello back!".into()));
    } else {
        message.direction = Direction::Outbound;
        (message.from, message.to) =
            (Private::new("+14155550102".into()), Private::new("+15551234567".into()));
        message.metadata = serde_json::from_value(json!({ "order": 7 })).unwrap();
        message.content = Content::Text(Private::new("Hello from my agent!".into()));
    }
    message
}

#[test]
fn a_message_is_an_sms() {
    let queued = Message { cost: None, ..message(MessageStatus::Queued) };
    fits(&exchange("sms", "sent"), &success(SmsView::new(&queued)));
    let words = [
        (MessageStatus::Received, "received"),
        (MessageStatus::Sent, "sent"),
        (MessageStatus::Accepted, "sent"),
        (MessageStatus::Failed, "failed"),
    ];
    for (status, word) in words {
        assert_eq!(SmsView::new(&message(status)).status, word);
    }
}

#[test]
fn the_six_events_are_told_in_their_words() {
    let call = ended();
    let kinds = [
        EventKind::started(&call),
        EventKind::ended(&call, EndReason::CalleeHungUp),
        EventKind::TranscriptReady { fragments: 3 },
        EventKind::RecordingReady { part: 0, bytes: 992_044, duration_ms: 62_000 },
    ];
    let mut told: Vec<_> = kinds
        .into_iter()
        .map(|kind| telling(&Event::of_call(&call, 1, at(72), kind), Some(&call)).unwrap())
        .collect();
    for status in [MessageStatus::Sent, MessageStatus::Received] {
        let message = message(status);
        let event = Event::of_message(&message, 1, at(72), EventKind::of_message(&message).unwrap());
        told.push(telling(&event, None).unwrap());
    }
    assert_eq!(told.len(), EVENTS.len());
    for (telling, (name, _)) in told.iter().zip(EVENTS) {
        assert_eq!(telling.name, name);
        fits(&exchange("events", name), &serde_json::from_str(&telling.body).unwrap());
    }
    let queued = Event::of_call(&call, 1, at(0), EventKind::queued(&call));
    assert_eq!(telling(&queued, Some(&call)), None);
    let failed = message(MessageStatus::Failed);
    let event = Event::of_message(&failed, 1, at(72), EventKind::of_message(&failed).unwrap());
    assert_eq!(telling(&event, None), None, "they have no such event");
    // A call whose record is gone is still told of.
    let lonely =
        telling(&Event::of_call(&call, 1, at(72), EventKind::TranscriptReady { fragments: 0 }), None);
    assert!(lonely.unwrap().body.contains(call.id.as_str()));
}

#[test]
fn names_of_events_go_both_ways() {
    let all = to_ours(&[]).unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(theirs(&all), EVENTS.map(|(name, _)| name));
    let some = to_ours(&["sms.received".into()]).unwrap();
    assert_eq!(
        (some.as_slice(), theirs(&some)),
        (&["message.received".to_owned()][..], vec!["sms.received"])
    );
    assert!(to_ours(&["call.exploded".into()]).unwrap_err().contains("call.recording.ready"));
}

/// Worked out with `openssl dgst -sha256 -hmac`.
#[test]
fn a_delivery_is_signed_over_its_body() {
    let found = headers("call.ended", "secret", r#"{"event":"call.ended"}"#);
    assert_eq!(found[0], ("X-AgentNumber-Event", "call.ended".to_owned()));
    assert_eq!(found[1].0, "X-AgentNumber-Signature");
    assert_eq!(found[1].1, "b0c5245e2b139684a927fb714ae8faaa50d1e8766c82aa240a49a5de2ad14112");
}

#[test]
fn refusals_have_their_statuses_and_their_form() {
    let insufficient = refusal(402, "insufficient_credits", None, "Insufficient credits.");
    let documented = json!({ "success": false, "error": { "message": "Insufficient credits.", "code": "insufficient_credits" } });
    assert_eq!((insufficient.0, serde_json::to_value(&insufficient.1).unwrap()), (402, documented));
    for (status, code, theirs, named) in [
        (401, "unauthorized", 401, "unauthorized"),
        (422, "invalid", 400, "validation_error"),
        (400, "invalid_json", 400, "validation_error"),
        (403, "emergency_number", 400, "emergency_number"),
        (403, "missing_scope", 401, "unauthorized"),
        (404, "not_found", 404, "not_found"),
        (404, "not_ready", 404, "not_ready"),
        (409, "no_number_available", 400, "provisioning_error"),
        (409, "number_released", 404, "not_found"),
        (405, "method_not_allowed", 404, "not_found"),
        (429, "rate_limited", 429, "rate_limit"),
        (429, "too_many_calls", 429, "too_many_calls"),
        (500, "internal_error", 500, "internal_error"),
        (503, "store_unavailable", 503, "store_unavailable"),
    ] {
        let (found, refusal) = refusal(status, code, None, "x");
        assert_eq!((found, refusal.code()), (theirs, named), "{status} {code}");
    }
    let (_, refusal) = refusal(422, "invalid", Some("text"), "is empty");
    assert!(serde_json::to_string(&refusal).unwrap().contains("body: is empty"));
    let (_, refusal) = super::refusal(422, "invalid", Some("inbound.brain"), "x");
    assert!(serde_json::to_string(&refusal).unwrap().contains("webhook_url: "));
}

#[test]
fn lists_have_pages() {
    let query: ListQuery = serde_json::from_value(json!({ "limit": "500", "offset": "x" })).unwrap();
    assert_eq!((query.limit(), query.offset()), (MAX_LIMIT, 0));
    assert_eq!(ListQuery::default().limit(), DEFAULT_LIMIT);
    let page = listed(&[1, 2], 4, 2, true);
    assert_eq!(
        page,
        json!({ "success": true, "data": [1, 2], "pagination": { "total": 7, "offset": 4, "limit": 2 } })
    );
}

#[test]
fn money_is_told_in_cents_and_dollars() {
    let cents = Money::from_cents;
    assert_eq!(balance(cents(-123)), success(json!({ "balance_cents": -123, "balance_dollars": "-1.23" })));
    fits(&exchange("credits", "a pack"), &purchased(cents(PACK_CENTS), cents(PACK_CENTS)));
    fits(&exchange("credits", "balance after it"), &balance(cents(1000)));
    assert_eq!((&free()["success"], &free()["data"]["deposited"]), (&json!(true), &json!("$0.00")));
}
