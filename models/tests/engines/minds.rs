//! The local mind with the starter model: tools, schemas, conversations that are too long, several calls at once.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use models::local::LocalConfig;
use models::{ChatMessage, Delta, Pace, Priority, Prompt, Role, Sampling, ToolCall, ToolSpec};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support;

fn greedy(messages: Vec<ChatMessage>) -> Prompt {
    Prompt { sampling: Sampling { temperature: 0.0, ..Sampling::default() }, ..Prompt::new(messages) }
}

fn stock() -> ToolSpec {
    let item = json!({ "enum": ["rye bread", "baguette", "roll"] });
    let parameters = json!({ "type": "object", "properties": { "item": item, "urgent": { "type": "boolean" } },
        "required": ["item"] });
    ToolSpec { name: "stock".into(), description: "Says how many are left.".into(), parameters }
}

/// A conversation in which the model has seen how a tool is called: it is too small to do so by itself.
fn with_a_tool() -> Prompt {
    let mut messages = vec![ChatMessage::new(Role::System, "You sell bread. Look up what is left.")];
    for (n, item) in ["rye bread", "roll"].iter().enumerate() {
        let arguments = json!({ "item": item }).to_string();
        let call = ToolCall { id: format!("call_{}", n + 1), name: "stock".into(), arguments };
        let mut asked = ChatMessage::new(Role::Assistant, "");
        asked.tool_calls.push(call.clone());
        messages.extend([
            ChatMessage::new(Role::User, format!("Have you any {item} left?")),
            asked,
            ChatMessage::result(&call, "two are left"),
            ChatMessage::new(Role::Assistant, "Two are left."),
        ]);
    }
    messages.push(ChatMessage::new(Role::User, "Have you any baguette left?"));
    Prompt { tools: vec![stock()], max_tokens: 30, ..greedy(messages) }
}

#[tokio::test]
async fn llama_calls_a_tool_and_nothing_of_the_call_is_text() {
    let _alone = support::alone().await;
    let local = support::start(support::mind()).await;
    let mind = local.llm.unwrap();
    let (mut text, mut calls) = (String::new(), Vec::new());
    let mut deltas = mind.generate(with_a_tool());
    while let Some(delta) = deltas.next().await {
        match delta.unwrap() {
            Delta::Text(more) => text += &more,
            Delta::ToolCall(call) => calls.push(call),
            Delta::Done { usage, .. } => println!("{usage:?}"),
            Delta::Fallback { because } => panic!("{because}"),
        }
    }
    println!("said {text:?}, called {calls:?}");
    assert!(!text.contains("tool_") && !text.contains('{'), "{text}");
    let call = calls.first().expect("a call");
    assert_eq!((call.id.as_str(), call.name.as_str()), ("call_3", "stock"));
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
    assert!(["rye bread", "baguette", "roll"].contains(&arguments["item"].as_str().unwrap()), "{arguments}");

    // Without a tool to call the same model talks.
    let talk = Prompt {
        max_tokens: 20,
        ..greedy(vec![ChatMessage::new(Role::User, "What is the capital of France?")])
    };
    let free = Prompt { tools: vec![stock()], ..talk };
    let said: Vec<_> = mind.generate(free).collect().await;
    assert!(matches!(said.first(), Some(Ok(Delta::Text(_)))), "{said:?}");
    local.supervisors.shutdown().await;
}

#[tokio::test]
async fn llama_obeys_a_schema_whatever_it_would_rather_write() {
    let _alone = support::alone().await;
    let local = support::start(support::mind()).await;
    let mind = local.llm.unwrap();
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["summary", "intent", "spam", "caller", "count"],
        "properties": {
            "summary": { "type": "string", "maxLength": 120 },
            "intent": { "enum": ["order", "question", "complaint"] },
            "spam": { "type": "boolean" },
            "count": { "type": "integer" },
            "caller": {
                "type": "object",
                "required": ["name"],
                "properties": { "name": { "type": ["string", "null"], "maxLength": 40 } },
            },
        },
    });
    for temperature in [0.0, 0.8, 1.5] {
        let said =
            "Report on this call as JSON.\nCaller: Hello, Tom here, three rolls please.\nAgent: Of course.";
        let prompt = Prompt {
            schema: Some(schema.clone()),
            max_tokens: 400,
            sampling: Sampling { temperature, ..Sampling::default() },
            priority: Priority::Background,
            ..Prompt::new(vec![ChatMessage::new(Role::User, said)])
        };
        let (text, usage) = support::reply(&*mind, prompt).await.unwrap();
        println!("{text} in {:?}", usage.elapsed);
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(["order", "question", "complaint"].contains(&report["intent"].as_str().unwrap()));
        assert!(
            report["spam"].is_boolean()
                && report["count"].is_i64()
                && report["caller"]["name"] != Value::Bool(true)
        );
        assert!(report["summary"].as_str().unwrap().chars().count() <= 120);
    }
    let wrong = Prompt { schema: Some(json!({ "type": "text" })), ..Prompt::new(Vec::new()) };
    assert!(support::reply(&*mind, wrong).await.unwrap_err().to_string().contains("no type"));
    local.supervisors.shutdown().await;
}

#[tokio::test]
async fn llama_answers_however_long_the_conversation_is() {
    let _alone = support::alone().await;
    let local = support::start(LocalConfig { llm_context: 512, ..support::mind() }).await;
    let mind = local.llm.unwrap();
    let mut messages = vec![
        ChatMessage::new(Role::System, "You are a helpful assistant. Answer in one short sentence."),
        ChatMessage::new(Role::User, "Hello."),
        ChatMessage::new(Role::Assistant, "Good day."),
    ];
    for n in 0..20 {
        let line = format!("Line {n}: we talked of bread and of the weather at length.");
        messages.push(ChatMessage::new(Role::User, line));
        messages.push(ChatMessage::new(Role::Assistant, "Yes, we did, and it was a good talk about bread."));
    }
    let mut read = Vec::new();
    for _ in 0..5 {
        messages.push(ChatMessage::new(Role::User, "What is the capital of France?"));
        let prompt = Prompt { pinned: 3, session: 1, max_tokens: 8, ..greedy(messages.clone()) };
        let (text, usage) = support::reply(&*mind, prompt).await.unwrap();
        assert!(!text.is_empty() && usage.prompt_tokens <= 512, "{text:?} {usage:?}");
        messages.push(ChatMessage::new(Role::Assistant, text));
        read.push(usage.prompt_tokens - usage.cached_tokens);
    }
    println!("tokens read for five turns of a conversation that is too long: {read:?}");
    let anew = read.iter().filter(|tokens| **tokens > 100).count();
    assert!(anew <= 2, "what was read is kept for some turns: {read:?}");
    // One message alone, and a persona alone, that have no room: cut, not refused.
    let long = "please ".repeat(4000) + "What is the capital of France?";
    for messages in [
        vec![ChatMessage::new(Role::User, long.clone())],
        vec![ChatMessage::new(Role::System, long.clone()), ChatMessage::new(Role::User, "Hello?")],
        vec![ChatMessage::new(Role::System, long.clone()), ChatMessage::new(Role::User, long)],
    ] {
        let (text, usage) =
            support::reply(&*mind, Prompt { max_tokens: 20, ..greedy(messages) }).await.unwrap();
        assert!(usage.prompt_tokens <= 512, "{text:?} {usage:?}");
    }
    local.supervisors.shutdown().await;
}

/// A story of so many tokens.
fn story(session: u64, tokens: u32) -> Prompt {
    let ask = "Tell me a long story about a baker.";
    Prompt { session, max_tokens: tokens, ..greedy(vec![ChatMessage::new(Role::User, ask)]) }
}

#[tokio::test]
async fn four_calls_at_once_are_one_batch() {
    let _alone = support::alone().await;
    let local = support::start(support::mind()).await;
    let mind = local.llm.unwrap();
    support::reply(&*mind, story(9, 4)).await.unwrap();
    let begun = Instant::now();
    support::reply(&*mind, story(1, 48)).await.unwrap();
    let one = begun.elapsed();
    // Whose piece came, in the order in which they came.
    let order = RefCell::new(Vec::new());
    let tell = async |index: u64| {
        let mut stream = mind.generate(story(2 + index, 48));
        while let Some(delta) = stream.next().await {
            if let Delta::Text(_) = delta.unwrap() {
                order.borrow_mut().push(index as usize);
            }
        }
    };
    let begun = Instant::now();
    futures_util::future::join_all((0..4).map(tell)).await;
    println!("one call {one:?}, four at once {:?}", begun.elapsed());
    let mut counts = [0usize; 4];
    let order = order.take();
    let all = order.iter().filter(|&&index| index == 0).count();
    assert!(all > 8, "the first said {all} pieces");
    for index in order {
        counts[index] += 1;
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        // Once all have begun, each step has a token for each. One after the other, the first would have ended by then.
        assert!(*least == 0 || most - least <= all / 4, "{counts:?} of {all}");
        assert!(*least > 0 || *most < all, "one has ended before another began: {counts:?}");
    }
    assert_eq!(counts, [all; 4], "each says all of it");
    local.supervisors.shutdown().await;
}

/// As it does while a voice makes the first clause audible; what it says is the same.
#[tokio::test]
async fn a_reply_rests_when_it_is_asked_to() {
    const TOKENS: u32 = 60;
    let _alone = support::alone().await;
    let local = support::start(support::mind()).await;
    let mind = local.llm.unwrap();
    let (whole, _) = support::reply(&*mind, story(1, TOKENS)).await.unwrap();
    let pace = watch::Sender::new(Pace::Begin);
    let prompt = Prompt { pace: Some(pace.subscribe()), ..story(2, TOKENS) };
    let mut deltas = mind.generate(prompt);
    let Some(Ok(Delta::Text(mut text))) = deltas.next().await else { panic!("no text") };
    pace.send_replace(Pace::Rest);
    let mut came = 0;
    // What was on its way comes yet; then nothing for a quarter of a second, and it rests for half a second at most.
    while let Ok(delta) = timeout(Duration::from_millis(250), deltas.next()).await {
        let Some(Ok(Delta::Text(more))) = delta else { panic!("it did not rest: {delta:?}") };
        text += &more;
        came += 1;
    }
    pace.send_replace(Pace::GoOn);
    while let Some(delta) = deltas.next().await {
        if let Delta::Text(more) = delta.unwrap() {
            text += &more;
        }
    }
    println!("{came} tokens came while it was told to rest");
    assert_eq!(text, whole);
    // Nobody says any more when it may go on: it does so by itself, and can be cancelled meanwhile.
    let prompt = Prompt { pace: Some(pace.subscribe()), ..story(3, 8) };
    let mut deltas = mind.generate(prompt);
    pace.send_replace(Pace::Rest);
    drop(pace);
    while let Some(delta) = deltas.next().await {
        delta.unwrap();
    }
    local.supervisors.shutdown().await;
}

#[tokio::test]
async fn a_new_call_finds_its_agents_prompt_read() {
    let _alone = support::alone().await;
    let local = support::start(support::mind()).await;
    let mind = local.llm.unwrap();
    let persona = |name: &str| {
        format!("You answer the phone of {name}'s bakery. ")
            + &"It opens at seven and closes at six. ".repeat(16)
    };
    let ask = |name: &str, session| {
        let system = ChatMessage::new(Role::System, persona(name));
        let question = ChatMessage::new(Role::User, "When do you open?");
        Prompt { session, max_tokens: 4, ..greedy(vec![system, question]) }
    };
    let (_, cold) = support::reply(&*mind, ask("Tom", 1)).await.unwrap();
    let (_, warm) = support::reply(&*mind, ask("Tom", 2)).await.unwrap();
    let (_, own) = support::reply(&*mind, ask("Tom", 2)).await.unwrap();
    let (_, other) = support::reply(&*mind, ask("Ann", 3)).await.unwrap();
    println!(
        "first token of {} prompt tokens: cold {:?}, copied {:?}, own {:?}, another agent's {:?}",
        cold.prompt_tokens, cold.first_token, warm.first_token, own.first_token, other.first_token
    );
    assert!(warm.cached_tokens * 10 > warm.prompt_tokens * 9, "{warm:?}");
    assert!(own.cached_tokens + 1 == own.prompt_tokens && other.cached_tokens < other.prompt_tokens / 2);
    assert!(warm.first_token.unwrap() * 2 < cold.first_token.unwrap(), "{cold:?} {warm:?}");
    local.supervisors.shutdown().await;
}

#[tokio::test]
async fn a_report_rests_while_a_call_is_answered() {
    let _alone = support::alone().await;
    let local = support::start(support::mind()).await;
    let mind = local.llm.unwrap();
    let report = Prompt { priority: Priority::Background, ..story(1, 300) };
    let mut writing = mind.generate(report);
    assert!(matches!(writing.next().await, Some(Ok(Delta::Text(_)))));
    let (_, alone) = support::reply(&*mind, story(2, 40)).await.unwrap();
    let mut meanwhile = 0;
    // What had been written before stands in the stream; a batch of two would have put forty more beside it.
    while let Some(Some(Ok(Delta::Text(_)))) = futures_util::FutureExt::now_or_never(writing.next()) {
        meanwhile += 1;
    }
    println!("40 tokens of a call in {:?}, {meanwhile} of the report beside it", alone.elapsed);
    assert!(meanwhile < 25, "{meanwhile}");
    drop(writing);
    local.supervisors.shutdown().await;
}
