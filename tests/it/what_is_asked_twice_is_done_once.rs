//! `Idempotency-Key`, over HTTP.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::{Api, Setting, World};

async fn create(api: &Api, key: &str, name: &str) -> (u16, HeaderMap, Value) {
    let body = json!({ "name": name });
    api.full(Method::POST, "/v1/admin/accounts", &[("Idempotency-Key", key)], Some(&body)).await
}

async fn accounts(api: &Api) -> usize {
    api.get("/v1/admin/accounts").await.1["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_carried_out_once_and_answered_alike() {
    let world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    let (status, headers, first) = create(&api, "one", "Clinic").await;
    assert_eq!((status, headers.get("idempotency-replayed")), (201, None));
    let (status, headers, again) = create(&api, "one", "Clinic").await;
    assert_eq!((status, again), (201, first));
    assert_eq!(headers["idempotency-replayed"], "true");
    assert_eq!(headers["content-type"], "application/json");
    let (status, _, problem) = create(&api, "one", "Ward").await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("idempotency_conflict")));
    assert_eq!(accounts(&api).await, 2);
    let (status, _, problem) = create(&api, "with blank", "Ward").await;
    assert_eq!((status, problem["field"].as_str()), (422, Some("Idempotency-Key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_carried_out() {
    let world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    let all = (0..10).map(|_| create(&api, "one", "Clinic"));
    for (status, _, body) in futures_util::future::join_all(all).await {
        let code = body["code"].as_str();
        assert!(status == 201 || (status, code) == (409, Some("idempotency_in_progress")), "{status} {body}");
    }
    assert_eq!(accounts(&api).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_may_be_asked_again() {
    let world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    assert_eq!(create(&api, "one", "").await.0, 422);
    assert_eq!(create(&api, "one", "Clinic").await.0, 201);
}
