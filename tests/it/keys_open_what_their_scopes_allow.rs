//! Accounts and keys, made by the command line, and what they open.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::support::{Api, Setting, World};

/// The command line itself; what it printed on standard output.
async fn offhook(data: &Path, url: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(arguments)
        .args(["--url", url, "--data"])
        .arg(data)
        .arg("--key-file")
        .arg(data.join("admin.key"))
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_its_scopes_allow_until_it_is_revoked() {
    let world = World::start(Setting::default()).await;
    let url = format!("http://{}", world.http);
    let made =
        offhook(world.data.path(), &url, &["keys", "create", "--name", "reader", "--scope", "calls:read"]);
    let reader = Api::with_key(&world, &made.await);
    assert_eq!(reader.get("/v1/calls").await.0, 200);
    let (status, problem) = reader.get("/v1/admin/keys").await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("missing_scope")));
    let admin = Api::admin(&world);
    let (_, listed) = admin.get("/v1/admin/keys").await;
    let key = &listed["items"][0];
    assert_eq!((&key["name"], &key["scopes"]), (&json!("reader"), &json!(["calls:read"])));
    assert!(key["hash"].is_null() && !key["last_used_at"].is_null(), "{key}");
    offhook(world.data.path(), &url, &["keys", "revoke", key["id"].as_str().unwrap()]).await;
    assert_eq!(reader.get("/v1/calls").await.0, 401);
    let list = offhook(world.data.path(), &url, &["keys", "list"]).await;
    assert!(list.lines().next().unwrap().ends_with("calls:read  revoked"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_needs_no_gateway_that_runs() {
    let data = World::start(Setting::default()).await.stop().await;
    // Nobody listens at port 1, which is told at once.
    let nobody = "http://127.0.0.1:1";
    let account = offhook(data.path(), nobody, &["accounts", "create", "--name", "Clinic"]).await;
    let listed = offhook(data.path(), nobody, &["accounts", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["id"], &listed[1]["name"]), (&json!(account), &json!("house")));
    let key = offhook(data.path(), nobody, &["keys", "create", "--name", "c", "--account", &account]).await;
    assert!(key.starts_with("offhook_"), "{key}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_keys_are_made_changed_and_ended() {
    let world = World::start(Setting::default()).await;
    let admin = Api::admin(&world);
    let (status, account) = admin.post("/v1/admin/accounts", &json!({ "name": "Clinic" })).await;
    assert_eq!(status, 201);
    let path = format!("/v1/admin/accounts/{}", account["id"].as_str().unwrap());
    let (status, patched) = admin.patch(&path, &json!({ "monthly_limit": "12.50" })).await;
    assert_eq!(
        (status, &patched["name"], &patched["monthly_limit"]),
        (200, &json!("Clinic"), &json!("12.50"))
    );
    assert_eq!(admin.get(&path).await.1, patched);
    let new = json!({ "account_id": account["id"], "name": "k", "scopes": ["calls:read"] });
    let (status, key) = admin.post("/v1/admin/keys", &new).await;
    assert_eq!(status, 201);
    let theirs = Api::with_key(&world, key["key"].as_str().unwrap());
    assert_eq!(theirs.get("/v1/calls").await.0, 200);
    let of_one = format!("/v1/admin/keys?account_id={}", account["id"].as_str().unwrap());
    assert_eq!(admin.get(&of_one).await.1["items"].as_array().unwrap().len(), 1);
    let path = format!("/v1/admin/keys/{}", key["id"].as_str().unwrap());
    assert_eq!(admin.delete(&path).await.0, 200);
    assert!(!admin.get(&path).await.1["revoked_at"].is_null());
    let wrong = json!({ "name": "k", "scopes": ["calls:listen"] });
    let (status, problem) = admin.post("/v1/admin/keys", &wrong).await;
    assert_eq!((status, problem["field"].as_str()), (422, Some("scopes[0]")), "{problem}");
    let first =
        admin.get("/v1/admin/keys").await.1["items"].as_array().unwrap().last().unwrap()["id"].clone();
    let (status, problem) = admin.delete(&format!("/v1/admin/keys/{}", first.as_str().unwrap())).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("last_admin_key")));
}
