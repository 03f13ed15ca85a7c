//! `offhook backup` and `offhook restore`, with calls that are up and without a gateway.

use std::path::Path;
use std::process::Output;

use chrono::Utc;
use offhook::domain::{AccountId, EndReason, Status};
use offhook::store::{CallFilter, Store};
use tokio::process::Command;

use crate::support::{Caller, NUMBER, Setting, World};

async fn offhook(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offhook")).args(arguments).output().await.unwrap()
}

/// Of the gateway at `url`, or of the folder where there is none.
async fn backup(url: &str, data: &Path, out: &Path) -> Output {
    let (key, data) = (data.join("admin.key"), data.display().to_string());
    let (key, out) = (key.display().to_string(), out.display().to_string());
    offhook(&["backup", "--out", &out, "--url", url, "--key-file", &key, "--data", &data]).await
}

async fn restore(backup: &Path, data: &Path) -> Output {
    offhook(&["restore", &backup.display().to_string(), "--data", &data.display().to_string()]).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_the_box_is_backed_up() {
    let mut world = World::start(Setting::default()).await;
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, "listen\nhangup").await;
    assert!(outcome.answered);
    let (over, _) = world.until_ended().await;
    assert_eq!(over.recordings.len(), 1);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("box.tar");
    let (caller, url) = (Caller::new().await, format!("http://{}", world.http));
    let mut events = world.gateway.subscribe();
    let during = async {
        while events.recv().await.unwrap().kind.name() != "call.turn" {}
        let made = backup(&url, world.data.path(), &file).await;
        assert!(made.status.success(), "{}", said(&made));
    };
    let ((outcome, _), ()) = tokio::join!(caller.call(&world, NUMBER, "listen\nstay 4s\nhangup"), during);
    assert!(outcome.answered);
    loop {
        let event = events.recv().await.unwrap();
        if event.kind.name() == "call.ended" {
            let ended = world.call(event.call().unwrap()).await;
            assert_eq!(ended.end_reason, Some(EndReason::CallerHungUp), "nobody noticed");
            break;
        }
    }
    // Nothing is ever overwritten.
    assert!(!backup(&url, world.data.path(), &file).await.status.success());

    let data = folder.path().join("restored");
    let restored = restore(&file, &data).await;
    assert!(restored.status.success(), "{}", said(&restored));
    assert!(!restore(&file, &data).await.status.success(), "the folder is not empty");
    let [before, after] =
        [world.data.path(), &data].map(|data| std::fs::read(data.join("admin.key")).unwrap());
    assert_eq!(before, after, "the key opens the new box as well");
    let store = Store::open(&data).unwrap();
    assert_eq!(store.call(&over.id).unwrap().as_ref(), Some(&over));
    let sound =
        |data: &Path| std::fs::read(offhook::store::recording_file(data, &over.account, &over.id)).unwrap();
    assert_eq!(sound(&data), sound(world.data.path()));
    // The call that was up then is one that a lost process has left.
    assert_eq!(store.close_interrupted(Utc::now()).unwrap(), 1);
    let calls = store.calls(&AccountId::house(), &CallFilter::default(), None, 9).unwrap().items;
    assert_eq!((calls.len(), &calls[1].id), (2, &over.id));
    assert_eq!((calls[0].status, calls[0].end_reason), (Status::Failed, Some(EndReason::Interrupted)));
    // A line writes once a second.
    assert!(calls[0].recordings[0].bytes >= 44, "what was recorded by then is there");
    drop(store);

    // The same without a gateway, out of the folder itself; a folder that somebody has open is not read.
    let cold = folder.path().join("cold.tar");
    let made = backup("http://127.0.0.1:9", world.data.path(), &cold).await;
    assert!(said(&made).contains("in use"), "{}", said(&made));
    assert!(!cold.exists());
    let data = world.stop().await;
    let made = backup("http://127.0.0.1:9", data.path(), &cold).await;
    assert!(made.status.success(), "{}", said(&made));
    let again = folder.path().join("again");
    assert!(restore(&cold, &again).await.status.success());
    assert_eq!(Store::open(&again).unwrap().call(&over.id).unwrap(), Some(over));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_none_is_not_made_by_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("box.tar"));
    let made = backup("http://127.0.0.1:9", &data, &out).await;
    assert!(said(&made).contains("it is not there"), "{}", said(&made));
    assert!(!data.exists() && !out.exists() && !folder.path().join("box.tar.part").exists());
    std::fs::write(&out, "no backup").unwrap();
    let refused = restore(&out, &data).await;
    assert!(said(&refused).contains("no backup of offhook"), "{}", said(&refused));
}
