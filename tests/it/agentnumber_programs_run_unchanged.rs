//! AgentNumber's vocabulary, spoken by a program of its own kind: golden requests and answers, and a call through it alone, with
//! a client's server in Python that thinks and hears of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use models::fake::FakeTranscriber;
use offhook::domain::AccountId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::golden::{self, differences, fill, filled};
use crate::support::{Api, Caller, Pager, Setting, World, prompt};
use crate::webhook::Webhook;

const BASE: &str = "/agentnumber/api/v0";
const ASKED: &str = "Hi, I'd like to schedule an appointment.";
const ANSWERED: &str = "Sure, I can help with that.";

/// The numbers 101 to 103 of the pool, free. Calls from them go to `phone`, messages from 104 to `pager`.
fn pool(phone: &str, pager: &str) -> String {
    let mut text = format!(
        "[outside]\nallow = ['127.0.0.0/8']\n\
         [credits]\nmode = 'count'\npurchase = true\n\
         [rates]\noutbound = '0.05'\nmessage_out = '0.02'\nmessage_in = '0.01'\n\
         [dialect.agentnumber]\nvoices = {{ 'mapped-voice' = 'piper-en_US-joe-medium' }}\n\
         [[trunk]]\nname = 'phones'\nservers = ['{phone}']\n[[trunk]]\nname = 'pagers'\nservers = ['{pager}']\n"
    );
    for (digits, trunk) in [("101", "phones"), ("102", "phones"), ("103", "phones")] {
        text += &format!("[[number]]\nnumber = '+14155550{digits}'\ntrunk = '{trunk}'\n");
    }
    text + "[[number]]\nnumber = '+12125550104'\ntrunk = 'pagers'\n"
}

/// Goes through a file of golden exchanges; `names` are filled in, and grow by what is saved.
async fn go_through(api: &Api, file: &str, names: &mut BTreeMap<String, String>) {
    for one in golden::read(file) {
        let path = format!("{BASE}{}", filled(&one.path, names));
        let body = one.body.as_ref().map(|body| fill(body, names));
        let method: Method = one.method.parse().unwrap();
        let (status, answer) = api.ask(method, &path, body.as_ref()).await;
        let differences = differences(&fill(&one.answer, names), &answer);
        assert!(
            status == one.status && differences.is_empty(),
            "{file}, {}: {status} {answer:#}\n{differences:#?}",
            one.name
        );
        for (name, pointer) in &one.save {
            names.insert(name.clone(), answer.pointer(pointer).and_then(Value::as_str).unwrap().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_get_the_answers_that_their_programs_read() {
    // Nobody answers there: what is asked here is what the API says meanwhile.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let there = format!("sip:{}", silent.local_addr().unwrap());
    let world = World::start(Setting { more: pool(&there, &there), ..Setting::default() }).await;
    let api = Api::admin(&world);
    let mut names = BTreeMap::from([
        ("voice_url".to_owned(), "http://127.0.0.1:9/voice".to_owned()),
        ("events_url".to_owned(), "http://127.0.0.1:9/events".to_owned()),
    ]);
    for file in ["credits", "numbers", "calls", "sms", "webhooks"] {
        go_through(&api, file, &mut names).await;
    }
    let nobody = Api::with_key(&world, "an_live_nobodys");
    let (status, answer) = nobody.get(&format!("{BASE}/numbers")).await;
    assert_eq!((status, &answer["success"]), (401, &json!(false)));
    assert_eq!(answer["error"]["code"], "unauthorized");
    for path in ["/nothing", "/numbers/num_1/nothing"] {
        let (status, answer) = api.get(&format!("{BASE}{path}")).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    }
    let (status, answer) =
        api.raw(Method::POST, &format!("{BASE}/calls"), "application/json", "{".into()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("validation_error")));

    let voiced = json!({ "voice_id": "mapped-voice" });
    let (_, number) = api.patch(&format!("{BASE}/numbers/{}", names["managed"]), &voiced).await;
    assert_eq!(
        (&number["data"]["voice_id"], &number["data"]["notes"]),
        (&json!("mapped-voice"), &Value::Null)
    );
    let (_, ours) = api.get(&format!("/v1/numbers/{}", names["managed"])).await;
    assert_eq!(
        (&ours["inbound"]["voice"], &ours["outbound"]["voice"]),
        (&json!("piper-en_US-joe-medium"), &ours["inbound"]["voice"])
    );

    let ids = |answer: &Value| -> Vec<String> {
        answer["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let (_, numbers) = api.get(&format!("{BASE}/numbers")).await;
    assert!(
        ids(&numbers).contains(&names["managed"]) && !ids(&numbers).contains(&names["full"]),
        "{numbers}"
    );
    let sms = |query: &str| {
        let (api, path) = (&api, format!("{BASE}/sms{query}"));
        async move { api.get(&path).await.1 }
    };
    let first = names["sms"].clone();
    let body = json!({ "from": names["webhook"], "to": "+15551234567", "body": "And another." });
    let (_, second) = api.post(&format!("{BASE}/sms"), &body).await;
    let second = second["data"]["id"].as_str().unwrap().to_owned();
    let page = sms("?limit=1").await;
    assert_eq!(
        (ids(&page), &page["pagination"]),
        (vec![second.clone()], &json!({ "total": 2, "offset": 0, "limit": 1 }))
    );
    let page = sms("?limit=1&offset=1").await;
    assert_eq!((ids(&page), &page["pagination"]["total"]), (vec![first.clone()], &json!(2)));
    assert_eq!(ids(&sms(&format!("?number_id={}", names["managed"])).await), Vec::<String>::new());
    assert_eq!(ids(&sms("?direction=outbound&status=queued").await).len(), 2);
    assert_eq!(ids(&sms("?status=received").await).len(), 0);
    assert_eq!(ids(&sms("?since=2100-01-01T00:00:00Z").await).len(), 0);
    let (_, calls) = api.get(&format!("{BASE}/calls?number_id={}", names["webhook"])).await;
    assert_eq!(ids(&calls), [names["call"].clone()]);
    world.stop().await;
}

/// Their service tells nobody of a recording; here the account must want that.
async fn tell_nothing_of_recordings(api: &Api) {
    let house = format!("/v1/admin/accounts/{}", AccountId::house().as_str());
    let patch = json!({ "settings": { "disclosure": "" } });
    let (status, account) = api.ask(Method::PATCH, &house, Some(&patch)).await;
    assert_eq!(status, 200, "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_this_vocabulary_alone() {
    let server = tokio::task::block_in_place(|| Webhook::that_says(&[ANSWERED]));
    let (phone, mut pager) = (Caller::new().await, Pager::new().await);
    let more = pool(&format!("sip:{}", phone.address()), &format!("sip:{}", pager.address()));
    let transcriber = Arc::new(FakeTranscriber::says([ASKED]));
    let mut world = World::start(Setting { more, transcriber, ..Setting::default() }).await;
    let api = Api::admin(&world);
    tell_nothing_of_recordings(&api).await;
    let ask = async |method: Method, path: &str, body: Value| {
        let body = (!body.is_null()).then_some(&body);
        let (status, answer) = api.ask(method, &format!("{BASE}{path}"), body).await;
        assert!(answer["success"] == true && status < 300, "{path}: {status} {answer}");
        answer["data"].clone()
    };
    let hook = ask(Method::POST, "/webhooks", json!({ "url": server.url("/events") })).await;
    tokio::task::block_in_place(|| server.trust(hook["secret"].as_str().unwrap()));
    assert_eq!(hook["events"].as_array().unwrap().len(), 6);
    let number = json!({
        "system_prompt": "You are a helpful assistant.", "webhook_url": server.url("/voice"), "area_code": "415",
        "first_message": "Hello!", "metadata": { "team": "sales" },
    });
    let number = ask(Method::POST, "/numbers", number).await;
    let order = json!({ "from": number["id"], "to": "+15551234567", "metadata": { "order": 7 } });
    let placed = ask(Method::POST, "/calls", order);
    let script = format!("listen\nplay {}\nlisten 20s\nhangup", prompt("check-number-dial-again").display());
    let ((outcome, _), placed) = tokio::join!(phone.answer(&script), placed);
    assert!(outcome.answered);
    assert!(
        outcome.exchanges.iter().filter(|exchange| !exchange.heard_for.is_zero()).count() >= 2,
        "it was spoken"
    );
    let id = placed["id"].as_str().unwrap().to_owned();
    world.named("call.ended").await;

    // Two messages, one in each direction.
    let text = json!({ "system_prompt": "x", "area_code": "212" });
    let other = ask(Method::POST, "/numbers", text).await;
    let text = json!({ "from": other["id"], "to": "+15551234567", "body": "Hello from my agent!", "metadata": { "order": 7 } });
    let sent = ask(Method::POST, "/sms", text).await;
    pager.answer(&world, "", "200 OK").await;
    let user = other["phone_number"].as_str().unwrap().to_owned();
    let taken = pager.page(&world, &user, "text/plain", b"Hello back!").await;
    assert!(taken.starts_with("SIP/2.0 202 "), "{taken}");

    let seen = tokio::task::block_in_place(|| server.seen(1, 6));
    let asked = &seen["voice"][0];
    let expected = json!({
        "model": "custom",
        "messages": [
            { "role": "system", "content": "You are a helpful assistant." },
            { "role": "assistant", "content": "Hello!" },
            { "role": "user", "content": ASKED },
        ],
        "stream": true,
    });
    assert_eq!(asked["body"], expected);
    assert!(asked["headers"]["authorization"].is_null(), "no key of ours leaves the box");
    let events = seen["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["genuine"] == true), "{events:#?}");
    let of_call: Vec<_> =
        events.iter().filter(|event| event["body"]["data"]["call_id"] == id.as_str()).collect();
    let names: Vec<_> = of_call.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["call.started", "call.ended"]);
    for golden in golden::read("events") {
        let event = events.iter().find(|event| event["name"] == golden.name.as_str());
        let body = &event.unwrap_or_else(|| panic!("no {}: {events:#?}", golden.name))["body"];
        let expected = fill_parties(&golden.answer, &number, &other);
        assert!(
            differences(&expected, body).is_empty(),
            "{}: {:#?}",
            golden.name,
            differences(&expected, body)
        );
    }

    let call = ask(Method::GET, &format!("/calls/{id}"), Value::Null).await;
    assert_eq!(
        (&call["status"], &call["ended_reason"]),
        (&json!("completed"), &json!("customer-ended-call"))
    );
    assert_eq!(call["transcript"], format!("AI: Hello!\nUser: {ASKED}\nAI: {ANSWERED}"));
    assert!(call["duration"].as_u64().is_some() && call["cost_cents"].as_u64().is_some(), "{call}");
    let transcript = ask(Method::GET, &format!("/calls/{id}/transcript"), Value::Null).await;
    let roles: Vec<_> = transcript["segments"].as_array().unwrap().iter().map(|one| &one["role"]).collect();
    assert_eq!(roles, ["assistant", "user", "assistant"]);
    let recording = ask(Method::GET, &format!("/calls/{id}/recording"), Value::Null).await;
    let sound = reqwest::get(recording["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(sound.status(), 200, "the URL needs no key");
    assert!(sound.bytes().await.unwrap().starts_with(b"RIFF"));
    let sms = ask(Method::GET, &format!("/sms/{}", sent["id"].as_str().unwrap()), Value::Null).await;
    assert_eq!((&sms["status"], &sms["cost_cents"]), (&json!("sent"), &json!(2)));
    world.stop().await;
}

/// The golden events are of one number and one contact; here there are two of each.
fn fill_parties(golden: &Value, number: &Value, other: &Value) -> Value {
    let text = golden.to_string();
    let ours = if text.contains("message_id") { other } else { number };
    let text = text.replace("+14155550102", ours["phone_number"].as_str().unwrap());
    // Whom the pager says that it is.
    let is_received = golden["event"] == "sms.received";
    let contact = if is_received { "+14155550123" } else { "+15551234567" };
    serde_json::from_str(&text.replace("+15551234567", contact)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_in_webhook_mode_is_called_and_the_webhook_answers() {
    let server = tokio::task::block_in_place(|| Webhook::that_says(&[ANSWERED]));
    let transcriber = Arc::new(FakeTranscriber::says([ASKED]));
    let more = pool("sip:127.0.0.1:9", "sip:127.0.0.1:9");
    let mut world = World::start(Setting { more, transcriber, ..Setting::default() }).await;
    let api = Api::admin(&world);
    tell_nothing_of_recordings(&api).await;
    let body = json!({ "webhook_url": server.url("/voice"), "area_code": 415, "first_message": "Hello!" });
    let (status, number) = api.post(&format!("{BASE}/numbers"), &body).await;
    assert_eq!(status, 201, "{number}");
    let user = number["data"]["phone_number"].as_str().unwrap().to_owned();
    let script = format!("listen\nplay {}\nlisten 20s\nhangup", prompt("check-number-dial-again").display());
    let (outcome, _) = Caller::new().await.call(&world, &user, &script).await;
    assert!(outcome.answered);
    let seen = tokio::task::block_in_place(|| server.seen(1, 0));
    let expected =
        json!([{ "role": "assistant", "content": "Hello!" }, { "role": "user", "content": ASKED }]);
    assert_eq!(seen["voice"][0]["body"]["messages"], expected, "without a prompt there is no system message");
    let (call, _) = world.until_ended().await;
    let (_, listed) = api.get(&format!("{BASE}/calls")).await;
    let listed = &listed["data"][0];
    assert_eq!((&listed["id"], &listed["direction"]), (&json!(call.id), &json!("inbound")));
    assert_eq!((&listed["to"], &listed["number_id"]), (&json!(user), &number["data"]["id"]));
    world.stop().await;
}
