//! Clients' endpoints are told of what happens: signed, in order, at least once, whatever fails meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use offhook::config;
use offhook::domain::{AccountId, Delivery, DeliveryStatus, SigningSecret, Vocabulary, Webhook, WebhookId};
use offhook::jobs::Jobs;
use offhook::outside::Outside;
use offhook::store::Store;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Api, Caller, Endpoint, NUMBER, Pager, Received, Setting, World, prompt};

/// Loopback is open, and nobody waits long.
fn setting() -> Setting {
    let more = "[outside]\nallow = ['127.0.0.1/32']\n[webhooks]\nfirst_retry_ms = 50\nlongest_retry_s = 1\ntimeout_s = 1\n";
    Setting { more: more.into(), ..Setting::default() }
}

/// Makes a webhook; its path and its secret.
async fn webhook(api: &Api, url: &str) -> (String, String) {
    let (status, made) = api.post("/v1/webhooks", &json!({ "url": url })).await;
    assert_eq!(status, 201, "{made}");
    (format!("/v1/webhooks/{}", made["id"].as_str().unwrap()), made["secret"].as_str().unwrap().to_owned())
}

/// What a client's program does with `Offhook-Signature`.
fn is_signed(received: &Received, secret: &str) -> bool {
    let (time, proofs) = received.header("offhook-signature").split_once(',').unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", received.body).as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    proofs.split(',').any(|proof| proof.strip_prefix("v1=") == Some(&expected))
}

/// What the program in `docs/webhooks.md` says of a signature, some seconds after it was made.
async fn documented(received: &Received, secret: &str, later: i64) -> String {
    let page = include_str!("../../docs/webhooks.md");
    let program = page.split("```python").nth(1).unwrap().split("```").next().unwrap();
    let signature = received.header("offhook-signature");
    let time: i64 = signature[2..].split(',').next().unwrap().parse().unwrap();
    let given = json!([secret, signature, received.body, time + later]).to_string();
    let call = "secret, header, body, now = json.loads(sys.argv[1])\nprint(is_ours(secret, header, body.encode(), now))";
    let program = format!("import hashlib, hmac, json, sys\n{program}\n{call}");
    let output =
        tokio::process::Command::new("python3").args(["-c", &program, &given]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn of_type<'a>(received: &'a [Received], name: &str) -> Vec<&'a Received> {
    received.iter().filter(|one| one.json()["type"] == name).collect()
}

/// What was taken stands in the order of the events of each call and message.
fn assert_order(received: &[Received]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for event in received.iter().filter(|one| one.status == 200).map(Received::json) {
        let subject = ["call_id", "message_id"].iter().find_map(|name| event[name].as_str()).unwrap();
        let seq = event["seq"].as_u64().unwrap();
        let before = last.insert(subject.to_owned(), seq);
        assert!(before.is_none_or(|before| before <= seq), "{subject}: {seq} after {before:?}");
    }
}

fn ids(received: &[Received]) -> BTreeSet<String> {
    let taken = received.iter().filter(|one| one.status == 200);
    taken.map(|one| one.header("offhook-event-id").to_owned()).collect()
}

/// Deliveries that stand so.
async fn listed(api: &Api, hook: &str, status: &str) -> Vec<Value> {
    let (code, page) = api.get(&format!("{hook}/deliveries?status={status}&limit=200")).await;
    assert_eq!(code, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

/// Waits until none is pending: what was answered is written a moment later.
async fn all_settled(api: &Api, hook: &str) {
    for _ in 0..2_000 {
        if listed(api, hook, "pending").await.is_empty() {
            return;
        }
    }
    panic!("{:#?}", listed(api, hook, "pending").await);
}

async fn call(world: &mut World) {
    let script = format!("listen\nplay {}\nlisten\nhangup", prompt("check-number-dial-again").display());
    Caller::new().await.call(world, NUMBER, &script).await;
    world.named("call.recording.ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_signed_and_in_its_order() {
    let mut world = World::start(setting()).await;
    let (api, endpoint) = (Api::admin(&world), Endpoint::up());
    let (hook, secret) = webhook(&api, &endpoint.url()).await;
    call(&mut world).await;
    let received = endpoint
        .until("the recording", |received| !of_type(received, "call.recording.ready").is_empty())
        .await;
    assert_order(&received);
    let names: Vec<_> = received.iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        ["call.ringing", "call.started", "call.ended", "call.transcript.ready", "call.recording.ready"]
    );
    for one in &received {
        assert!(is_signed(one, &secret) && !is_signed(one, "whsec_other"));
        let event = one.json();
        assert_eq!(
            (&event["id"], &event["type"]),
            (&json!(one.header("offhook-event-id")), &json!(one.header("offhook-event")))
        );
        assert_eq!(event["account_id"], "acct_0000000000000000");
    }
    all_settled(&api, &hook).await;
    let delivered = listed(&api, &hook, "delivered").await;
    assert_eq!(delivered.len(), 5);
    assert!(delivered.iter().all(|one| (&one["response_status"], &one["tries"]) == (&json!(200), &json!(1))));

    // Once more, with the same ids.
    let ended = delivered.iter().find(|one| one["event"] == "call.ended").unwrap();
    let path = format!("{hook}/deliveries/{}", ended["id"].as_str().unwrap());
    assert_eq!(api.post(&format!("{path}/redeliver"), &json!({})).await.0, 202);
    let again = endpoint.until("it again", |received| of_type(received, "call.ended").len() == 2).await;
    assert_eq!(again.last().unwrap().header("offhook-delivery-id"), ended["id"]);
    assert_eq!(again.last().unwrap().body, of_type(&received, "call.ended")[0].body);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_change_with_an_overlap_and_a_test_says_whether_it_works() {
    let world = World::start(setting()).await;
    let (api, endpoint) = (Api::admin(&world), Endpoint::up());
    let (hook, old) = webhook(&api, &endpoint.url()).await;
    let (status, rotated) = api.post(&format!("{hook}/rotate"), &json!({})).await;
    assert_eq!(status, 200, "{rotated}");
    let new = rotated["secret"].as_str().unwrap();
    assert!(rotated["old_secret_until"].is_string() && new != old);
    assert_eq!(api.post(&format!("{hook}/test"), &json!({})).await.0, 202);
    let received = endpoint.until("the test", |received| received.len() == 1).await;
    assert_eq!(received[0].json()["type"], "webhook.test");
    assert!(is_signed(&received[0], new) && is_signed(&received[0], &old));
    for (secret, later, says) in
        [(new, 1, "True"), (&old, 1, "True"), ("whsec_other", 1, "False"), (new, 900, "False")]
    {
        assert_eq!(documented(&received[0], secret, later).await, says, "{later}");
    }
    let (_, shown) = api.get(&hook).await;
    assert!(shown["secret"].is_null() && !shown.to_string().contains("whsec_"), "{shown}");

    api.post(&format!("{hook}/rotate"), &json!({ "overlap_s": 0 })).await;
    endpoint.answer(500);
    let (_, test) = api.post(&format!("{hook}/test"), &json!({})).await;
    let received = endpoint.until("the second test", |received| received.len() == 2).await;
    assert!(!is_signed(&received[1], new) && !is_signed(&received[1], &old));
    // It is tried again until it is taken.
    endpoint.answer(204);
    let path = format!("{hook}/deliveries/{}", test["id"].as_str().unwrap());
    endpoint.until("the second test again", |received| received.last().unwrap().status == 204).await;
    all_settled(&api, &hook).await;
    let (_, delivery) = api.get(&path).await;
    assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("delivered"), &json!(204)));
    assert!(delivery["tries"].as_u64() > Some(1) && delivery["error"].is_null(), "{delivery}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_for_days_loses_nothing_and_delays_nobody() {
    let mut world = World::start(setting()).await;
    let api = Api::admin(&world);
    let (mut down, well, refusing) = (Endpoint::down(), Endpoint::up(), Endpoint::up());
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (hook, secret) = webhook(&api, &down.url()).await;
    webhook(&api, &well.url()).await;
    webhook(&api, &refusing.url()).await;
    webhook(&api, &format!("http://{}/", silent.local_addr().unwrap())).await;
    refusing.answer(503);

    call(&mut world).await;
    let mut pager = Pager::new().await;
    for n in 0..20 {
        assert!(
            pager.page(&world, "100", "text/plain", format!("number {n}").as_bytes()).await.contains("202")
        );
    }
    let all = well.until("everything", |received| ids(received).len() == 25).await;
    assert_order(&all);
    assert_eq!(listed(&api, &hook, "pending").await.len(), 25);
    assert!(listed(&api, &hook, "delivered").await.is_empty());

    // The gateway ends and begins again; what the one knew the other knows.
    let data = world.stop().await;
    let world = World::start_in(data, setting()).await;
    let api = Api::admin(&world);
    assert_eq!(listed(&api, &hook, "pending").await.len(), 25);
    down.rise();
    refusing.answer(200);
    for endpoint in [&down, &refusing] {
        let late = endpoint.until("everything", |received| ids(received) == ids(&all)).await;
        assert_order(&late);
    }
    assert!(down.received().iter().all(|one| is_signed(one, &secret)));
    all_settled(&api, &hook).await;
    assert_eq!(well.received().len(), 25, "who was well is not told again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_inside_by_address_name_or_redirect() {
    let world = World::start(setting()).await;
    let api = Api::admin(&world);
    for (url, code) in [
        ("http://127.0.0.2:8080/", "url_not_allowed"),
        ("http://169.254.169.254/latest/meta-data/", "url_not_allowed"),
        ("http://[::ffff:10.0.0.1]/", "url_not_allowed"),
        ("ftp://example.com/", "url_invalid"),
        ("nonsense", "url_invalid"),
        ("http://user:word@127.0.0.1/", "url_invalid"),
    ] {
        let (status, problem) = api.post("/v1/webhooks", &json!({ "url": url })).await;
        assert_eq!(
            (status, &problem["code"], &problem["field"]),
            (422, &json!(code), &json!("url")),
            "{url}"
        );
    }
    let nobodys = json!({ "url": "http://127.0.0.1:9/", "agent_id": "agt_0123456789abcdef" });
    let (status, problem) = api.post("/v1/webhooks", &nobodys).await;
    assert_eq!((status, &problem["field"]), (422, &json!("agent_id")));
    let (inside, endpoint) = (Endpoint::up(), Endpoint::up());
    // The box's own HTTP, by an address that is not allowed.
    endpoint.redirect(307, &format!("http://127.0.0.2:{}/", inside.address.port()));
    let (hook, _) = webhook(&api, &endpoint.url()).await;
    let (_, test) = api.post(&format!("{hook}/test"), &json!({})).await;
    endpoint.until("the test, twice", |received| received.len() >= 2).await;
    let (_, delivery) = api.get(&format!("{hook}/deliveries/{}", test["id"].as_str().unwrap())).await;
    assert_eq!(delivery["status"], "pending");
    assert!(delivery["error"].as_str().unwrap().contains("leads inside"), "{delivery}");
    assert!(inside.received().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_has_moved_inside_is_not_called_any_more() {
    let (folder, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::up());
    let store = Store::open(folder.path()).unwrap();
    let now = Utc::now();
    let webhook = Webhook {
        id: WebhookId::from_name("moving"),
        account: AccountId::house(),
        url: format!("http://hooks.test:{}/", endpoint.address.port()),
        events: Vec::new(),
        agent_id: None,
        description: None,
        enabled: true,
        secret: SigningSecret::from_random([1; 32]),
        old_secret: None,
        vocabulary: Vocabulary::Offhook,
        created_at: now,
        updated_at: now,
    };
    store.add_webhook(&webhook).unwrap();
    // The address itself leads to the endpoint both times; what the name says is what counts.
    let lookups = AtomicUsize::new(0);
    let allowed = config::Outside { allow: vec!["127.0.0.1/32".parse().unwrap()] };
    let outside = Outside::with(&allowed, move |_| {
        let moved = lookups.fetch_add(1, Ordering::SeqCst) > 0;
        let answer: Vec<IpAddr> = if moved {
            vec![[127, 0, 0, 1].into(), [10, 0, 0, 1].into()]
        } else {
            vec![[127, 0, 0, 1].into()]
        };
        Box::pin(async move { Ok(answer) })
    });
    let jobs = Jobs::start(store.clone(), outside, config::Webhooks::default(), || [0; 8]);
    let [first, second] =
        [1, 2].map(|n| Delivery::test(&webhook, [n; 10], now + TimeDelta::seconds(n.into())));
    store.queue_test(&first).unwrap();
    endpoint.until("the first", |received| received.len() == 1).await;
    store.queue_test(&second).unwrap();
    let refused = loop {
        let delivery = store.delivery(&second.id).unwrap().unwrap();
        if delivery.tries > 0 {
            break delivery;
        }
        tokio::task::yield_now().await;
    };
    assert!(refused.error.as_deref().is_some_and(|why| why.contains("a private network")), "{refused:?}");
    assert_eq!(store.delivery(&first.id).unwrap().unwrap().status, DeliveryStatus::Delivered);
    assert_eq!(endpoint.received().len(), 1);
    jobs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_its_own_and_is_told_of_its_own() {
    let world = World::start(setting()).await;
    let (admin, endpoint) = (Api::admin(&world), Endpoint::up());
    let (_, account) = admin.post("/v1/admin/accounts", &json!({ "name": "Clinic" })).await;
    let key =
        json!({ "name": "c", "account_id": account["id"], "scopes": ["webhooks:read", "webhooks:write"] });
    let (_, key) = admin.post("/v1/admin/keys", &key).await;
    let clinic = Api::with_key(&world, key["key"].as_str().unwrap());
    let (theirs, _) = webhook(&clinic, &endpoint.url()).await;
    let (ours, _) = webhook(&admin, &endpoint.url()).await;
    for (api, hook) in [(&admin, &theirs), (&clinic, &ours)] {
        assert_eq!(api.get(hook).await.0, 404);
        assert_eq!(api.patch(hook, &json!({ "enabled": false })).await.0, 404);
        assert_eq!(api.get(&format!("{hook}/deliveries")).await.0, 404);
        for verb in ["test", "rotate"] {
            assert_eq!(api.post(&format!("{hook}/{verb}"), &json!({})).await.0, 404);
        }
        assert_eq!(api.delete(hook).await.0, 404);
    }
    assert!(Pager::new().await.page(&world, "100", "text/plain", b"hello").await.contains("202"));
    endpoint.until("the message", |received| received.len() == 1).await;
    all_settled(&admin, &ours).await;
    assert!(listed(&clinic, &theirs, "pending").await.is_empty());
    assert!(listed(&clinic, &theirs, "delivered").await.is_empty());

    // Switched off it is told nothing; deleted it is no more.
    let (_, off) = admin.patch(&ours, &json!({ "enabled": false, "description": "off" })).await;
    assert_eq!((&off["enabled"], &off["description"]), (&json!(false), &json!("off")));
    let (status, problem) = admin.post(&format!("{ours}/test"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("webhook_disabled")));
    assert_eq!(admin.delete(&ours).await.0, 204);
    assert_eq!(admin.get(&ours).await.0, 404);
    world.stop().await;
}
