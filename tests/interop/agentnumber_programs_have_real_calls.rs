//! A program written for AgentNumber, with real ears, a real mouth and a real phone: it knows nothing but that vocabulary, and a
//! server of its own, in Python, thinks for it.

use serde_json::{Value, json};

use crate::support::baresip::{Answer, Baresip};
use crate::support::gateway::{Gateway, Plan};
use crate::support::speech::{NOBODY_IN, assert_words};
use crate::support::{A_TURN, SOON, alone};
use crate::webhook::Webhook;

const BASE: &str = "/agentnumber/api/v0";
/// It says that the call is recorded; otherwise that would be said in front of it.
const GREETING: &str = "Hello, this call is recorded. How can I help you?";
const ANSWER: &str = "Good that you are back.";

/// One number that is free, and a network inside that webhooks may be in.
const POOL: &str = r#"
[outside]
allow = ["127.0.0.0/8"]
[[number]]
number = "+14155550101"
trunk = "carrier"
"#;

#[test]
fn its_number_is_called_and_its_server_answers_and_hears_of_it() {
    let _alone = alone();
    let server = Webhook::that_says(&[ANSWER]);
    let plan = Plan { allow: "192.0.2.0/24", extensions: &["201"], more: POOL, ..Plan::new() };
    let gateway = Gateway::start(&plan);
    let post = |path: &str, body: Value| gateway.post(&format!("{BASE}{path}"), &body)["data"].clone();
    let hook = post("/webhooks", json!({ "url": server.url("/events") }));
    server.trust(hook["secret"].as_str().expect("a secret, this once"));
    let number = json!({
        "system_prompt": "You are a helpful assistant.", "webhook_url": server.url("/voice"), "area_code": "415",
        "first_message": GREETING,
    });
    let number = post("/numbers", number);
    let dialled = number["phone_number"].as_str().expect("a number");

    let phone = Baresip::register_at("201", "201", gateway.sip, Answer::ByHand);
    let before = phone.now();
    phone.dial(&format!("sip:{dialled}@{}", gateway.sip));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    phone.say(&NOBODY_IN.wav());
    gateway.wait_turns(&call, 2, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);

    let seen = server.seen(1, 4);
    // What was asked before the caller had finished was thrown away.
    let asked = &seen["voice"].as_array().and_then(|asked| asked.last()).expect("a question")["body"];
    assert_eq!((&asked["model"], &asked["stream"]), (&json!("custom"), &json!(true)));
    let messages = asked["messages"].as_array().expect("messages");
    assert_eq!(messages[0], json!({ "role": "system", "content": "You are a helpful assistant." }));
    assert_eq!(messages[1], json!({ "role": "assistant", "content": GREETING }));
    assert_words(
        "what the server was asked",
        NOBODY_IN.text,
        messages[2]["content"].as_str().unwrap_or(""),
        0.25,
    );
    let events = seen["events"].as_array().expect("events");
    assert!(events.iter().all(|event| event["genuine"] == true), "{events:#?}");
    let names: Vec<_> = events.iter().map(|event| event["name"].as_str().unwrap_or("")).collect();
    assert_eq!(names, ["call.started", "call.ended", "call.transcript.ready", "call.recording.ready"]);

    let transcript = &gateway.get(&format!("{BASE}/calls/{call}/transcript"))["data"];
    let said = |n: usize| transcript["segments"][n]["content"].as_str().unwrap_or("").to_owned();
    assert_eq!((said(0).as_str(), said(2).as_str()), (GREETING, ANSWER));
    let details = &gateway.get(&format!("{BASE}/calls/{call}"))["data"];
    assert_eq!(
        (&details["status"], &details["ended_reason"]),
        (&json!("completed"), &json!("customer-ended-call"))
    );
    assert_eq!((&details["from"], &details["to"]), (&json!("201"), &json!(dialled)));
}
