//! What an agent does besides talking, in whole calls: its brain asks for tools, and they are done; or the guards forbid it.

use std::sync::Arc;

use models::fake::{Asked, calling};
use models::{BoxStream, ChatMessage, Delta, Generator, LlmError, Prompt, Role};
use offhook::domain::{Call, EndReason, Event, EventKind, MessageStatus, Principal, Private, ToolUse};
use offhook::gateway::PlaceCall;
use serde_json::{Value, json};

use crate::support::{Endpoint, NUMBER, Pager, Peer, Setting, World};

const AGENT: f32 = 300.0;
const CAROL: f32 = 1_100.0;

/// A brain that judges by the last message: it asks for tools, and when it has been told, it talks.
struct Brain<F>(F, Asked<Prompt>);

type Reply = Vec<Result<Delta, LlmError>>;

impl<F: Fn(&ChatMessage) -> Reply + Send + Sync> Generator for Brain<F> {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        let reply = (self.0)(prompt.messages.last().expect("a message"));
        self.1.push(prompt);
        Box::pin(futures_util::stream::iter(reply))
    }
}

/// Asks for a tool whenever the caller has done something, and repeats what it is told.
fn wanting(name: &'static str, arguments: Value) -> (Arc<dyn Generator>, Asked<Prompt>) {
    let asked = Asked::default();
    let brain = move |last: &ChatMessage| match last.role {
        Role::User => calling("", &[(name, arguments.clone())]),
        _ => calling("This is what I was told.", &[]),
    };
    (Arc::new(Brain(brain, asked.clone())), asked)
}

fn setting(generator: Arc<dyn Generator>, tools: &str) -> Setting {
    let agent = format!("tools = {{ {tools} }}\n").leak();
    Setting { generator, agent, ..Setting::default() }
}

/// Alice calls, hears the greeting, and presses a key: that is a turn of hers.
async fn alice_presses(world: &mut World, name: &'static str) -> Peer {
    let mut alice = Peer::new(name).await;
    alice.call(world.sip, NUMBER).await;
    alice.hears(AGENT).await;
    alice.hears_nothing().await;
    alice.press("5#").await;
    alice
}

async fn tool(world: &mut World) -> ToolUse {
    match world.named("call.tool").await.kind {
        EventKind::Tool(tool) => tool,
        _ => unreachable!("by its name"),
    }
}

async fn says(world: &mut World, words: &str) -> Event {
    let is =
        |event: &Event| matches!(&event.kind, EventKind::Transcript { text, .. } if text.reveal() == words);
    world.event(words, is).await
}

async fn over(mut world: World) -> Call {
    let (call, _) = world.until_ended().await;
    world.stop().await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_hangs_up_when_its_last_words_were_heard() {
    let (brain, _) = wanting("hang_up", json!({ "say": "Have a nice day." }));
    let mut world = World::start(setting(brain, "hang_up = true")).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    assert!(tool(&mut world).await.ok);
    assert_eq!(alice.ended().await.by, sip::EndedBy::Remote);
    let call = over(world).await;
    assert_eq!(call.end_reason, Some(EndReason::AgentHungUp));
    assert_eq!(call.transcript.last().unwrap().text.reveal(), "Have a nice day.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_handed_on_after_the_words_that_announce_it() {
    let (brain, asked) = wanting("transfer", json!({ "to": "sales", "say": "I am putting you through." }));
    let mut carol = Peer::new("carol").await;
    let tools = format!("transfer = {{ sales = '{}' }}", carol.uri());
    let setting = Setting { trunk: "transfer = 'bridge'", ..setting(brain, &tools) };
    let mut world = World::start(setting).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    let offer = carol.rings().await.unwrap();
    let said = says(&mut world, "I am putting you through.").await;
    let begun = world.named("call.transferring").await;
    assert!(said.seq < begun.seq, "first the words, then the transfer");
    carol.take(&offer).await;
    world.named("call.transferred").await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    alice.hang_up().await;
    let call = over(world).await;
    assert_eq!(call.transferred_to.unwrap().reveal(), &carol.uri().to_string());
    assert_eq!(asked.all()[0].tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["transfer"]);
    assert_eq!(asked.count(), 1, "nothing is left to be thought about");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_handed_on_to_whom_the_guards_forbid() {
    for (tools, to) in [
        ("transfer = { help = 'sip:911@127.0.0.1:5999' }", "help"),
        ("transfer_anywhere = true", "+19005551234"),
        ("transfer_anywhere = true", "911"),
    ] {
        let (brain, asked) = wanting("transfer", json!({ "to": to, "say": "I am putting you through." }));
        let mut world = World::start(setting(brain, tools)).await;
        let alice = &mut alice_presses(&mut world, "alice").await;
        let tool = tool(&mut world).await;
        assert!(!tool.ok && tool.result.reveal().contains("the number is"), "{}", tool.result.reveal());
        says(&mut world, "This is what I was told.").await;
        let told = asked.all().last().unwrap().messages.last().unwrap().clone();
        assert_eq!((told.role, &told.content), (Role::Tool, tool.result.reveal()));
        alice.hang_up().await;
        let (call, events) = world.until_ended().await;
        world.stop().await;
        assert!(
            call.transferred_to.is_none() && !events.iter().any(|e| e.kind.name() == "call.transferring")
        );
        assert!(
            !call.transcript.iter().any(|f| f.text.reveal().contains("putting you")),
            "nothing is promised"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_pressed_and_then_the_agent_listens() {
    let (brain, asked) = wanting("press_digits", json!({ "digits": "7" }));
    let mut world = World::start(setting(brain, "press_digits = true")).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    alice.hears_key('7').await;
    assert!(tool(&mut world).await.ok);
    alice.hang_up().await;
    let call = over(world).await;
    assert_eq!(asked.count(), 1);
    assert_eq!(call.transcript.len(), 2, "the greeting and the key: {:?}", call.transcript);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_goes_to_the_other_side_of_the_call() {
    let (brain, _) = wanting("send_message", json!({ "text": "We are in Main Street 1." }));
    let mut world = World::start(setting(brain, "send_message = true")).await;
    let mut alice = Peer::new("alice").await;
    let order = PlaceCall {
        from: Private::new(NUMBER.into()),
        to: Private::new(alice.uri().to_string()),
        ..PlaceCall::default()
    };
    let placed = world.gateway.place(&Principal::operator(), order).await.unwrap();
    alice.answer().await;
    alice.hears(AGENT).await;
    alice.hears_nothing().await;
    alice.press("5#").await;
    let (id, text) = alice
        .event("a message", |event| match event {
            sip::Event::Message { id, message } => Some((*id, message.body.clone())),
            _ => None,
        })
        .await;
    assert_eq!(text.bytes, b"We are in Main Street 1.");
    alice.stack.answer_message(id, 200).await.unwrap();
    let sent = world.named("message.sent").await;
    let sent = sent.message().unwrap();
    assert_eq!((sent.status, &sent.metadata["call_id"]), (MessageStatus::Sent, &json!(placed.id)));
    assert!(tool(&mut world).await.ok);
    says(&mut world, "This is what I was told.").await;
    alice.hang_up().await;
    over(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_said_stop_is_sent_no_text() {
    let (brain, _) = wanting("send_message", json!({ "text": "Buy one." }));
    let mut world = World::start(setting(brain, "send_message = true")).await;
    let mut pager = Pager::new().await;
    let answer = pager.page(&world, "100", "text/plain", b"STOP").await;
    assert!(answer.starts_with("SIP/2.0 202 "), "{answer}");
    world.named("message.received").await;
    let mut alice = alice_presses(&mut world, "+14155550123").await;
    let tool = tool(&mut world).await;
    assert!(!tool.ok && tool.result.reveal().contains("has asked for no more"), "{}", tool.result.reveal());
    alice.hang_up().await;
    over(world).await;
}

/// A tool of a client's, in the configuration.
fn find_slot(endpoint: &Endpoint) -> String {
    format!(
        "actions = [{{ name = 'find_slot', description = 'Finds a free slot.', url = '{}', timeout_ms = 2000, \
         parameters = {{ type = 'object', properties = {{ day = {{ type = 'string' }} }}, required = ['day'] }} }}]",
        endpoint.url()
    )
}

fn with_endpoint(brain: Arc<dyn Generator>, endpoint: &Endpoint) -> Setting {
    Setting { more: "[outside]\nallow = ['127.0.0.1/32']\n".into(), ..setting(brain, &find_slot(endpoint)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_tool_is_asked_and_its_answer_is_thought_about() {
    let (brain, asked) = wanting("find_slot", json!({ "day": "monday" }));
    let endpoint = Endpoint::up();
    endpoint.says("{ \"slots\": [\"nine\"] }");
    let mut world = World::start(with_endpoint(brain, &endpoint)).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    says(&mut world, "This is what I was told.").await;
    alice.hang_up().await;
    let call = over(world).await;
    let [request] = &endpoint.received()[..] else { panic!("{:?}", endpoint.received()) };
    let body = request.json();
    assert_eq!((&body["type"], &body["tool"]), (&json!("call.tool"), &json!("find_slot")));
    assert_eq!((&body["arguments"], &body["call"]["id"]), (&json!({ "day": "monday" }), &json!(call.id)));
    assert_eq!((&body["call"]["to"], &body["call"]["agent"]), (&json!(NUMBER), &json!("desk")));
    assert_eq!(request.header("offhook-event-id"), body["id"]);
    assert!(request.header("offhook-signature").starts_with("t="));
    let last = asked.all().last().unwrap().messages.clone();
    let [.., wanted, told] = &last[..] else { panic!("{last:?}") };
    assert_eq!((wanted.role, wanted.tool_calls[0].name.as_str()), (Role::Assistant, "find_slot"));
    assert_eq!((told.role, told.content.as_str()), (Role::Tool, "{\"slots\":[\"nine\"]}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_tool_that_fails_is_talked_about_and_arguments_that_do_not_fit_never_leave() {
    let (brain, _) = wanting("find_slot", json!({ "day": "monday" }));
    let endpoint = Endpoint::up();
    endpoint.answer(503);
    let mut world = World::start(with_endpoint(brain, &endpoint)).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    let told = tool(&mut world).await;
    assert!(!told.ok && told.result.reveal().contains("the server answered 503"), "{}", told.result.reveal());
    says(&mut world, "This is what I was told.").await;
    alice.hang_up().await;
    over(world).await;

    let (brain, _) = wanting("find_slot", json!({ "day": 1 }));
    let mut world = World::start(with_endpoint(brain, &endpoint)).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    let told = tool(&mut world).await;
    assert!(!told.ok && told.result.reveal().contains("/day: must be a string"), "{}", told.result.reveal());
    alice.hang_up().await;
    over(world).await;
    assert_eq!(endpoint.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brain_that_cannot_say_what_came_of_it_is_apologised_for() {
    let brain = |last: &ChatMessage| match last.role {
        Role::User => calling("One moment, please.", &[("find_slot", json!({ "day": "monday" }))]),
        _ => vec![Err(LlmError::Connect { url: "http://127.0.0.1:1".into(), reason: "refused".into() })],
    };
    let endpoint = Endpoint::down();
    let mut world = World::start(with_endpoint(Arc::new(Brain(brain, Asked::default())), &endpoint)).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    says(&mut world, "One moment, please.").await;
    let told = tool(&mut world).await;
    assert!(!told.ok && told.result.reveal().contains("cannot be reached"), "{}", told.result.reveal());
    says(&mut world, "I am sorry, I had a problem there. Could you say that again?").await;
    alice.hang_up().await;
    over(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_tools_for_ever_has_to_talk_at_last() {
    let asked = Asked::default();
    let brain = |_: &ChatMessage| calling("", &[("nonsense", json!({}))]);
    let brain = Arc::new(Brain(brain, asked.clone()));
    let mut world = World::start(setting(brain, "wait = true")).await;
    let mut alice = alice_presses(&mut world, "alice").await;
    let told = tool(&mut world).await;
    assert!(
        told.result.reveal().contains("there is no tool \\\"nonsense\\\"; there are wait"),
        "{}",
        told.result.reveal()
    );
    says(&mut world, "I am sorry, I had a problem there. Could you say that again?").await;
    alice.hang_up().await;
    over(world).await;
    let offered: Vec<_> = asked.all().iter().map(|prompt| prompt.tools.len()).collect();
    assert_eq!(offered, [1, 1, 1, 1, 0]);
}
