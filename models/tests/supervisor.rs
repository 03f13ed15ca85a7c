//! One engine's life: jobs in and out, death, restart, back-off, cancellation, the bounds of its queue.

use std::path::PathBuf;
use std::time::Duration;

use models::permits::Permits;
use models::process::{
    Command, Cores, EngineHandle, Event, JobStream, Limits, Order, StartError, Status, Supervisor,
};
use models::wire::{Generate, Message, Outcome, Task};
use models::{EngineError, Priority};

fn engine(args: &[&str]) -> Command {
    let exe = std::env::current_exe().unwrap();
    let program: PathBuf = exe.parent().unwrap().parent().unwrap().join("examples/scripted_engine");
    assert!(program.exists(), "{} is missing; build it: cargo build -p models --examples", program.display());
    Command { name: "scripted", program, args: args.iter().map(Into::into).collect(), cores: Cores::PerJob }
}

fn limits() -> Limits {
    Limits {
        queue: 4,
        start: Duration::from_secs(30),
        backoff: Duration::from_millis(10),
        backoff_most: Duration::from_millis(40),
        // Whoever obeys does so in no time; a busy machine may take a little longer.
        patience: Duration::from_secs(20),
        stop: Duration::from_millis(500),
        ..Limits::default()
    }
}

async fn start(args: &[&str]) -> Supervisor {
    Supervisor::start(engine(args), limits(), Permits::new(2)).await.unwrap()
}

fn order(said: &str, priority: Priority) -> Order {
    let message = Message { role: "user".into(), content: said.into() };
    let task = Task::Generate(Generate { messages: vec![message], ..Generate::default() });
    Order { task, pcm: [].into(), priority, threads: 1..=1 }
}

fn submit(handle: &EngineHandle, said: &str) -> JobStream {
    handle.submit(order(said, Priority::Reply)).unwrap()
}

/// The text of a job that ends well.
async fn text(mut job: JobStream) -> Result<String, EngineError> {
    let mut text = String::new();
    while let Some(event) = job.next().await {
        match event? {
            Event::Text(piece) => text += &piece,
            Event::Pcm { .. } => panic!("no sound was ordered"),
            Event::Done(_) => {}
        }
    }
    Ok(text)
}

async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let turn = async {
        while !is() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), turn).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn lives(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_job_goes_in_and_its_result_comes_out() {
    let supervisor = start(&[]).await;
    assert_eq!(text(submit(&supervisor.handle(), "hello")).await.unwrap(), "hello");
    let failed = text(submit(&supervisor.handle(), "fail")).await.unwrap_err();
    assert!(matches!(&failed, EngineError::Failed { message, .. } if message == "as told"), "{failed}");
    let dropped = text(submit(&supervisor.handle(), "drop")).await.unwrap_err();
    assert!(matches!(dropped, EngineError::Failed { .. }));
    let pid = supervisor.pid().unwrap();
    supervisor.shutdown().await;
    assert!(!lives(pid), "shut down and reaped");
}

#[tokio::test]
async fn a_death_fails_the_job_and_the_next_one_succeeds() {
    let supervisor = start(&["--lanes", "2"]).await;
    let handle = supervisor.handle();
    let first = supervisor.pid().unwrap();
    let mut bystander = submit(&handle, "sleep");
    assert_eq!(bystander.next().await, Some(Ok(Event::Text("asleep".into()))));
    let died = text(submit(&handle, "die")).await.unwrap_err();
    assert!(died.is_retryable() && died.to_string().contains("dying as told"), "{died}");
    assert!(matches!(bystander.next().await, Some(Err(EngineError::EngineDied { .. }))));
    assert_eq!(bystander.next().await, None);
    assert_eq!(text(submit(&handle, "again")).await.unwrap(), "again");
    assert_ne!(supervisor.pid().unwrap(), first);
    supervisor.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_is_killed_is_started_again() {
    let supervisor = start(&[]).await;
    for _ in 0..3 {
        let pid = supervisor.pid().unwrap();
        let mut job = submit(&supervisor.handle(), "sleep");
        job.next().await;
        let kill = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(kill.success());
        assert!(matches!(job.next().await, Some(Err(EngineError::EngineDied { .. }))));
        eventually("a new process", || supervisor.pid().is_some_and(|p| p != pid)).await;
        assert_eq!(text(submit(&supervisor.handle(), "alive")).await.unwrap(), "alive");
    }
    supervisor.shutdown().await;
}

#[tokio::test]
async fn dropping_a_job_frees_its_lane() {
    let supervisor = start(&[]).await;
    let handle = supervisor.handle();
    let mut sleeping = submit(&handle, "sleep");
    sleeping.next().await;
    let waiting = submit(&handle, "never sent");
    drop(waiting);
    drop(sleeping);
    assert_eq!(text(submit(&handle, "next")).await.unwrap(), "next");
    eventually("an empty queue", || handle.waiting() == 0).await;
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_says_busy_and_a_better_job_goes_first() {
    let supervisor = start(&[]).await;
    let handle = supervisor.handle();
    let mut sleeping = submit(&handle, "sleep");
    sleeping.next().await;
    let mut waiting: Vec<JobStream> = Vec::new();
    for priority in [Priority::Background, Priority::Partial, Priority::Reply, Priority::Tail] {
        waiting.push(handle.submit(order(&format!("{priority:?}"), priority)).unwrap());
    }
    let refused = handle.submit(order("one more", Priority::Tail)).unwrap_err();
    assert_eq!(refused, EngineError::Busy { engine: "scripted", queued: 4 });
    drop(sleeping);
    let mut ended = Vec::new();
    let (done, mut order) = tokio::sync::mpsc::channel(4);
    for job in waiting {
        let done = done.clone();
        tokio::spawn(async move { done.send(text(job).await.unwrap()).await });
    }
    for _ in 0..4 {
        ended.push(order.recv().await.unwrap());
    }
    assert_eq!(ended, ["Tail", "Reply", "Partial", "Background"]);
    supervisor.shutdown().await;
}

fn preempted() -> EngineError {
    EngineError::Failed { engine: "scripted", kind: "preempted".into(), message: "a caller waits".into() }
}

#[tokio::test]
async fn a_look_gives_its_lane_to_whom_a_caller_waits_for() {
    let supervisor = start(&[]).await;
    let handle = supervisor.handle();
    let mut look = handle.submit(order("sleep", Priority::Partial)).unwrap();
    look.next().await;
    let tail = handle.submit(order("tail", Priority::Tail)).unwrap();
    assert_eq!(text(tail).await.unwrap(), "tail");
    assert_eq!(text(look).await.unwrap_err(), preempted());
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_look_gives_its_core_to_another_engine_that_a_caller_waits_for() {
    let permits = Permits::new(1);
    let supervisor = Supervisor::start(engine(&[]), limits(), permits.clone()).await.unwrap();
    let mut look = supervisor.handle().submit(order("sleep", Priority::Partial)).unwrap();
    look.next().await;
    let permit = permits.acquire(Priority::Reply, 1..=1).await;
    assert_eq!(text(look).await.unwrap_err(), preempted());
    drop(permit);
    supervisor.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_does_not_obey_is_replaced() {
    let impatient = Limits { patience: Duration::from_millis(100), ..limits() };
    let supervisor = Supervisor::start(engine(&[]), impatient, Permits::new(2)).await.unwrap();
    let pid = supervisor.pid().unwrap();
    let mut job = submit(&supervisor.handle(), "hang");
    // Dropped while it waited it would never reach the engine.
    assert_eq!(job.next().await, Some(Ok(Event::Text("hanging".into()))));
    drop(job);
    eventually("a new process", || supervisor.pid().is_some_and(|p| p != pid)).await;
    assert!(!lives(pid));
    assert_eq!(text(submit(&supervisor.handle(), "fresh")).await.unwrap(), "fresh");
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_reader_that_sleeps_loses_its_job_and_nobody_elses() {
    let supervisor = start(&[]).await;
    let flooded = submit(&supervisor.handle(), "flood");
    assert_eq!(text(submit(&supervisor.handle(), "other")).await.unwrap(), "other");
    assert_eq!(text(flooded).await, Err(EngineError::Overrun { engine: "scripted" }));
    supervisor.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_cannot_start_says_why() {
    for (how, why) in
        [("refuse", "made of cheese"), ("die", "out of cheese"), ("babble", "protocol"), ("late", "within")]
    {
        let short =
            Limits { start: Duration::from_millis(if how == "late" { 200 } else { 30_000 }), ..limits() };
        let failed = Supervisor::start(engine(&["--start", how]), short, Permits::new(1)).await.unwrap_err();
        assert!(matches!(&failed, StartError::Failed { .. }));
        assert!(failed.to_string().contains(why), "{how}: {failed}");
    }
    let nowhere = Command { program: "/nowhere/engine".into(), ..engine(&[]) };
    let failed = Supervisor::start(nowhere, limits(), Permits::new(1)).await.unwrap_err();
    assert!(failed.to_string().contains("/nowhere/engine"), "{failed}");
}

#[tokio::test]
async fn an_engine_that_does_not_come_back_lets_nobody_wait() {
    let once = std::env::temp_dir().join(format!("offhook-once-{}", std::process::id()));
    let _ = std::fs::remove_file(&once);
    let supervisor = start(&["--once", once.to_str().unwrap()]).await;
    let mut handle = supervisor.handle();
    assert!(text(submit(&handle, "die")).await.unwrap_err().is_retryable());
    let down = text(submit(&handle, "anybody there?")).await.unwrap_err();
    assert!(
        matches!(&down, EngineError::EngineDown { detail, .. } if detail.contains("not a second time")),
        "{down}"
    );
    std::fs::remove_file(&once).unwrap();
    let back = tokio::time::timeout(Duration::from_secs(30), handle.ready()).await;
    assert_eq!(back, Ok(true), "it comes back");
    assert_eq!(text(submit(&handle, "back")).await.unwrap(), "back");
    supervisor.shutdown().await;
    std::fs::remove_file(&once).unwrap();
}

#[tokio::test]
async fn a_job_gets_as_many_threads_as_it_holds_permits() {
    let permits = Permits::new(3);
    let supervisor = Supervisor::start(engine(&[]), limits(), permits.clone()).await.unwrap();
    let mut job =
        supervisor.handle().submit(Order { threads: 1..=8, ..order("hi", Priority::Tail) }).unwrap();
    let mut threads = None;
    while let Some(event) = job.next().await {
        if let Event::Done(Outcome::Generated(g)) = event.unwrap() {
            threads = Some(g.prompt_tokens);
        }
    }
    assert_eq!(threads, Some(3));
    let all = tokio::time::timeout(Duration::from_secs(30), permits.acquire(Priority::Tail, 3..=3)).await;
    assert_eq!(all.expect("all permits are back").cores(), 3);
    supervisor.shutdown().await;
}

#[tokio::test]
async fn nothing_is_left_when_a_supervisor_is_dropped() {
    let supervisor = start(&[]).await;
    let pid = supervisor.pid().unwrap();
    let mut job = submit(&supervisor.handle(), "sleep");
    job.next().await;
    let mut handle = supervisor.handle();
    drop(supervisor);
    assert!(matches!(job.next().await, Some(Err(EngineError::Stopped { .. }))));
    eventually("the process is gone", || !lives(pid)).await;
    let ready = tokio::time::timeout(Duration::from_secs(30), handle.ready()).await;
    assert_eq!((ready, handle.status()), (Ok(false), Status::Stopped));
    assert_eq!(
        handle.submit(order("x", Priority::Tail)).unwrap_err(),
        EngineError::Stopped { engine: "scripted" }
    );
}
