//! A process that writes and delivers is killed (SIGKILL) again and again: whatever it had acknowledged arrives, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::Utc;
use offhook::config;
use offhook::domain::{
    AccountId, Call, CallId, Direction, Event, EventKind, SigningSecret, Vocabulary, Webhook, WebhookId,
};
use offhook::jobs::Jobs;
use offhook::outside::Outside;
use offhook::store::{Entry, Record, Store};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{Endpoint, Received};

/// The data folder of a process that is to be killed.
const FOLDER: &str = "OFFHOOK_TEST_KILLED";
const KILLS: usize = 25;
/// Calls that tell at the same time.
const CALLS: usize = 8;

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn jobs(store: &Store) -> Jobs {
    let outside = config::Outside { allow: vec!["127.0.0.1/32".parse().unwrap()] };
    let webhooks = config::Webhooks {
        first_retry: Duration::from_millis(20),
        longest_retry: Duration::from_millis(200),
        ..config::Webhooks::default()
    };
    Jobs::start(store.clone(), Outside::new(&outside), webhooks, random::<8>)
}

/// Writes the events of some calls as fast as the disk allows, delivers them meanwhile, and says of each when it is on disk.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by the other test, to be killed by it"]
async fn a_writer_that_is_to_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = Store::open(Path::new(&folder)).unwrap();
    let _jobs = jobs(&store);
    let written = tokio::task::spawn_blocking(move || {
        let new = |_| {
            let (from, to) = ("+14155550123".into(), "+15550100001".into());
            Call::new(CallId::from_random(random()), Direction::Inbound, from, to, Utc::now())
        };
        let calls: Vec<Call> = (0..CALLS).map(new).collect();
        for seq in 1.. {
            for call in &calls {
                let kind = EventKind::TranscriptReady { fragments: 1 };
                let event = Event::of_call(call, seq, Utc::now(), kind);
                let id = event.id();
                let record = Record::Call(Box::new(call.clone()));
                store.record(&[Entry { record, events: vec![event] }]).unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "\nacknowledged {id}").and_then(|()| out.flush()).unwrap();
            }
        }
    });
    written.await.unwrap();
}

/// Starts a writer, and kills it when it has acknowledged so much; gives what it acknowledged.
async fn killed_after(events: usize, folder: &Path) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "deliveries_survive_a_kill::a_writer_that_is_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
        if acknowledged.len() == events {
            child.start_kill().unwrap();
        }
    }
    child.wait().await.unwrap();
    acknowledged
}

fn taken(received: &[Received]) -> BTreeSet<&str> {
    received.iter().filter(|one| one.status == 200).map(|one| one.header("offhook-event-id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_arrives_in_order_after_any_number_of_kills() {
    let (folder, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::up());
    let now = Utc::now();
    let webhook = Webhook {
        id: WebhookId::from_name("killed"),
        account: AccountId::house(),
        url: endpoint.url(),
        events: Vec::new(),
        agent_id: None,
        description: None,
        enabled: true,
        secret: SigningSecret::from_random(random()),
        old_secret: None,
        vocabulary: Vocabulary::Offhook,
        created_at: now,
        updated_at: now,
    };
    Store::open(folder.path()).unwrap().add_webhook(&webhook).unwrap();
    let mut acknowledged = Vec::new();
    for run in 0..KILLS {
        // Now and then all that it hears is no.
        endpoint.answer(if run % 3 == 1 { 500 } else { 200 });
        let [chance] = random::<1>();
        acknowledged.extend(killed_after(1 + usize::from(chance) % 100, folder.path()).await);
    }
    endpoint.answer(200);
    let store = Store::open(folder.path()).unwrap();
    let jobs = jobs(&store);
    let all = |received: &[Received]| {
        let taken = taken(received);
        acknowledged.iter().all(|id| taken.contains(id.as_str()))
    };
    let received = endpoint.until("everything that was acknowledged", all).await;
    jobs.stop().await;
    assert!(acknowledged.len() >= KILLS, "{}", acknowledged.len());

    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for event in received.iter().filter(|one| one.status == 200).map(Received::json) {
        let (call, seq) = (event["call_id"].as_str().unwrap(), event["seq"].as_u64().unwrap());
        let before = last.insert(call.to_owned(), seq).unwrap_or(0);
        // The same once more, where the kill came between the answer and its writing; nothing is left out.
        assert!(seq == before || seq == before + 1, "{call}: {seq} after {before}");
    }
}
