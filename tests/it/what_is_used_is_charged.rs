//! Rates, usage and credits, from a call to the ledger.

use offhook::domain::{AccountId, EndReason, Principal, Private};
use offhook::gateway::{Kind, PlaceCall};
use serde_json::{Value, json};

use crate::support::{Api, Caller, NUMBER, Setting, World};

async fn get(world: &World, path: &str) -> Value {
    let (status, body) = Api::admin(world).get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn post(world: &World, path: &str, body: Value) -> (u16, Value) {
    Api::admin(world).post(path, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_in_the_usage_and_in_the_ledger_with_its_record() {
    let mut world = World::start(Setting {
        more: "[rates]\ninbound = '0.60'\n[credits]\nmode = 'count'\npurchase = true\nmost = '20'\n".into(),
        ..Setting::default()
    })
    .await;
    let (status, granted) =
        post(&world, "/v1/admin/credits", json!({ "amount": "5", "note": "Invoice 7" })).await;
    assert_eq!(
        (status, granted["balance"].as_str(), granted["kind"].as_str()),
        (201, Some("5.00"), Some("grant"))
    );
    let (status, bought) = post(&world, "/v1/credits/purchase", json!({})).await;
    assert_eq!(
        (status, bought["amount"].as_str(), bought["balance"].as_str()),
        (201, Some("10.00"), Some("15.00"))
    );
    let (status, refused) = post(&world, "/v1/credits/purchase", json!({ "amount": "20.01" })).await;
    assert_eq!((status, refused["field"].as_str()), (422, Some("amount")));
    let nobody = json!({ "account_id": AccountId::from_random([7; 10]), "amount": "1" });
    assert_eq!(post(&world, "/v1/admin/credits", nobody).await.0, 404);

    Caller::new().await.call(&world, NUMBER, "listen\nhangup").await;
    let (call, _) = world.until_ended().await;
    let cost = call.cost.unwrap();
    assert!(cost > offhook::domain::Money::ZERO, "{cost}");
    let usage = get(&world, "/v1/usage").await;
    assert_eq!(
        (&usage["total"]["calls_in"], usage["total"]["cost"].as_str()),
        (&json!(1), Some(cost.to_string().as_str()))
    );
    assert_eq!(usage["days"].as_array().unwrap().len(), 1);
    assert_eq!(usage["total"]["recordings"], 1);
    assert!(usage["total"]["recording_bytes"].as_u64().unwrap() > 1000);
    let entries = get(&world, "/v1/credits/entries?kind=charge").await;
    let entry = &entries["items"][0];
    assert_eq!(
        (entry["subject"].as_str(), entry["amount"].as_str()),
        (Some(call.id.as_str()), Some((-cost).to_string().as_str()))
    );
    let balance = get(&world, "/v1/credits/balance").await;
    assert_eq!((balance["balance"].clone(), &balance["enforced"]), (entry["balance"].clone(), &json!(false)));
    for (path, field) in [("/v1/usage?period=soon", "period"), ("/v1/credits/entries?kind=gift", "kind")] {
        let (status, body) = Api::admin(&world).get(path).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(field)), "{path}: {body}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_credits_left_cannot_call_and_a_call_that_uses_them_up_ends() {
    let mut world = World::start(Setting {
        more: "[rates]\noutbound = '12'\n[credits]\nmode = 'enforce'\n".into(),
        ..Setting::default()
    })
    .await;
    let who = Principal::operator();
    let callee = Caller::new().await;
    let to = format!("sip:200@{}", callee.address());
    let order = || PlaceCall {
        from: Private::new(NUMBER.into()),
        to: Private::new(to.clone()),
        ..PlaceCall::default()
    };
    let error = world.gateway.place(&who, order()).await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Unpaid, "insufficient_credits"));
    let (status, refused) = post(&world, "/v1/credits/purchase", json!({})).await;
    assert_eq!((status, refused["code"].as_str()), (403, Some("purchase_not_allowed")));
    // Six seconds' worth: the goodbye begins when there is enough left for it.
    let (status, _) = post(&world, "/v1/admin/credits", json!({ "amount": "1.2" })).await;
    assert_eq!(status, 201);
    let placed = async { world.gateway.place(&who, order()).await.unwrap() };
    let ((outcome, _), _) =
        tokio::join!(callee.answer("listen\nlisten\nlisten\nlisten\nlisten\nlisten\nhangup"), placed);
    assert!(outcome.answered);
    let (call, _) = world.until_ended().await;
    assert_eq!(call.end_reason, Some(EndReason::OutOfCredits));
    let cost = call.cost.unwrap();
    assert!(cost <= "1.4".parse().unwrap(), "the call cost {cost} of 1.20");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_reads_what_became_of_calls() {
    let mut world = World::start(Setting::default()).await;
    Caller::new().await.call(&world, NUMBER, "listen\nhangup").await;
    world.until_ended().await;
    let counted =
        "offhook_calls_ended_total{direction=\"inbound\",status=\"completed\",reason=\"caller_hung_up\"} 1";
    let text = loop {
        let text = get(&world, "/metrics").await;
        let text = text.as_str().unwrap().to_owned();
        // The counters hear of the end as this test does, a moment sooner or later.
        if text.contains(counted) {
            break text;
        }
        tokio::task::yield_now().await;
    };
    for part in
        ["offhook_calls{state=\"limit\"} 10.0", "offhook_webhook_backlog 0.0", "offhook_store_size_bytes "]
    {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && !text.contains("+1"), "{text}");
    let made =
        Api::admin(&world).post("/v1/admin/keys", &json!({ "name": "crm", "scopes": ["usage:read"] })).await;
    let tenant = Api::with_key(&world, made.1["key"].as_str().unwrap());
    assert_eq!(tenant.get("/metrics").await.0, 403);
    assert_eq!(Api::with_key(&world, "nobody's").get("/metrics").await.0, 401);
    world.stop().await;
}
