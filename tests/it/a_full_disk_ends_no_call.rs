//! A disk that takes nothing more: requests that need it are refused with 503, calls go on, and when there is room again all that
//! was kept back is written.
//!
//! The disk of a process is full when its files may not grow (RLIMIT_FSIZE). The limit holds for a whole process, so the test runs
//! itself again in one of its own, in which the signal that comes with it is ignored.

use std::time::Duration;

use offhook::domain::{AccountId, EndReason, MessageStatus};
use offhook::store::{CallFilter, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::process::Command;

use crate::support::{Api, Caller, NUMBER, Pager, Setting, World};

const INSIDE: &str = "OFFHOOK_TEST_DISK_IS_FULL";
/// Longer than the head of a recording, shorter than any database.
const LONGEST_FILE: u64 = 4096;

fn fill_the_disk(is_full: bool) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = if is_full { Some(LONGEST_FILE) } else { maximum };
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_and_nothing_is_lost() {
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    let again = ["--exact", "a_full_disk_ends_no_call::calls_go_on_and_nothing_is_lost", "--nocapture"];
    let program = std::env::current_exe().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program).args(again).env(INSIDE, "1");
    let output = tokio::time::timeout(Duration::from_secs(120), shell.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

async fn inside() {
    let (mut world, mut pager) = (World::start(Setting::default()).await, Pager::new().await);
    let api = Api::admin(&world);
    let account = json!({ "name": "Clinic" });
    assert_eq!(api.post("/v1/admin/accounts", &account).await.0, 201);

    fill_the_disk(true);
    let nobody = "sip:200@127.0.0.1:9";
    for (path, body) in [
        ("/v1/admin/accounts", account.clone()),
        ("/v1/calls", json!({ "from": NUMBER, "to": nobody })),
        ("/v1/messages", json!({ "from": NUMBER, "to": nobody, "text": "hello" })),
        ("/v1/agents", json!({ "name": "night" })),
    ] {
        let (status, problem) = api.post(path, &body).await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("store_unavailable")), "{path}: {problem}");
    }
    // What is there can be read.
    let (status, accounts) = api.get("/v1/admin/accounts").await;
    assert!(matches!(status, 200 | 503), "{accounts}");
    // Whoever can wait is told to.
    let answer = pager.page(&world, "100", "text/plain", b"hello").await;
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    assert!(answer.contains("Retry-After: "), "{answer}");
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, "listen\nhangup").await;
    assert!(outcome.answered && !outcome.exchanges.is_empty(), "the agent speaks as ever");
    let ended = world.named("call.ended").await;
    assert_eq!(api.get("/ready").await.1["store_healthy"], false);

    fill_the_disk(false);
    assert_eq!(api.post("/v1/admin/accounts", &account).await.0, 201);
    let answer = pager.page(&world, "100", "text/plain", b"hello again").await;
    assert!(answer.starts_with("SIP/2.0 202 "), "{answer}");
    assert_eq!(api.get("/ready").await.1["store_healthy"], true);
    let kept = world.call(ended.call().unwrap()).await;
    assert_eq!(
        kept.end_reason,
        Some(EndReason::CallerHungUp),
        "its record came with the next that was written"
    );
    // What could not be recorded is told with the reason, and without the path.
    let (status, record) = api.get(&format!("/v1/calls/{}", kept.id)).await;
    assert_eq!((status, record["recording_error"].as_str()), (200, Some("File too large (os error 27)")));

    // And the database is whole.
    let data = world.stop().await;
    let store = Store::open(data.path()).unwrap();
    let calls = store.calls(&AccountId::house(), &CallFilter::default(), None, 9).unwrap().items;
    assert_eq!(calls.len(), 1);
    assert_eq!(store.events(&calls[0].id).unwrap().first().unwrap().kind.name(), "call.ringing");
    let messages = store.messages(&AccountId::house(), &Default::default(), None, 9).unwrap().items;
    assert_eq!(messages.iter().map(|message| message.status).collect::<Vec<_>>(), [MessageStatus::Received]);
}
