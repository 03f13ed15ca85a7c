//! After a call its agent's brain writes a report: checked, told, and written by the next process where this one ends before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::stream::{self, StreamExt};
use models::fake::{FakeGenerator, FakeTranscriber};
use models::{BoxStream, Delta, FinishReason, Generator, LlmError, Priority, Prompt, Usage};
use offhook::domain::{Achievement, Call, CallId, EventKind, Principal, ReportStatus};
use serde_json::json;

use crate::support::{Api, Caller, NUMBER, Setting, World, prompt};

const AGENT: &str = "report = true\nobjective = 'Find out when the caller comes.'\n";

/// Talks as told in calls; writes reports as told after them.
struct Scribe {
    talks: FakeGenerator,
    writes: FakeGenerator,
    /// While true a report makes no progress.
    dawdles: AtomicBool,
    asked: AtomicUsize,
}

impl Scribe {
    fn new<T: AsRef<str>>(reports: impl IntoIterator<Item = T>) -> Arc<Self> {
        Arc::new(Self {
            talks: FakeGenerator::says(["Until then."]),
            writes: FakeGenerator::says(reports),
            dawdles: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Generator for Scribe {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        if prompt.schema.is_none() {
            return self.talks.generate(prompt);
        }
        assert_eq!(prompt.priority, Priority::Background);
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.dawdles.load(Ordering::SeqCst) {
            true => stream::pending().boxed(),
            false => {
                let usage = Usage { prompt_tokens: 300, completion_tokens: 60, ..Usage::default() };
                let done = Delta::Done { reason: FinishReason::Stop, usage };
                let words = self.writes.generate(prompt).filter(|delta| {
                    let is_text = matches!(delta, Ok(Delta::Text(_)));
                    async move { is_text }
                });
                words.chain(stream::iter([Ok(done)])).boxed()
            }
        }
    }
}

fn report() -> String {
    json!({
        "summary": "Ann Miller comes on Friday.", "intent": "to say when she comes", "urgency": "normal", "spam": false,
        "caller_name": "Ann Miller", "call_back": true, "call_back_when": "Friday", "call_back_number": "555 0100",
        "outcome": "achieved", "outcome_details": "On Friday.",
    })
    .to_string()
}

fn setting(generator: Arc<dyn Generator>, agent: &'static str) -> Setting {
    let transcriber = FakeTranscriber::says(["This is Ann Miller, I come on Friday."]);
    Setting { transcriber: Arc::new(transcriber), generator, agent, ..Setting::default() }
}

async fn have_a_call(world: &mut World) -> Call {
    let script = format!("listen\nplay {}\nlisten\nhangup", prompt("check-number-dial-again").display());
    Caller::new().await.call(world, NUMBER, &script).await;
    world.until_ended().await.0
}

/// The report as it is told.
async fn told(world: &mut World, id: &CallId) -> offhook::domain::CallReport {
    let is_it = |event: &offhook::domain::Event| {
        event.call() == Some(id) && matches!(event.kind, EventKind::ReportReady(_))
    };
    let EventKind::ReportReady(report) = world.event("call.report.ready", is_it).await.kind else {
        unreachable!()
    };
    *report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_followed_by_its_report() {
    let mut world = World::start(setting(Scribe::new([report()]), AGENT)).await;
    let call = have_a_call(&mut world).await;
    let id = call.id.clone();
    let report = told(&mut world, &id).await;
    assert_eq!(report.status, ReportStatus::Ready);
    assert_eq!(report.caller_name.as_ref().unwrap().reveal(), "Ann Miller");
    let back = report.call_back.clone().unwrap();
    assert_eq!(back.when.unwrap().reveal(), "Friday");
    assert_eq!(back.number, None, "a number that nobody said");
    assert_eq!(report.outcome.as_ref().unwrap().result, Achievement::Achieved);
    assert_eq!(report.tokens, 360);
    // The record has it, and the events of the call go on in order.
    let call = world.call(&id).await;
    assert_eq!(call.report.as_deref(), Some(&report));
    let api = Api::admin(&world);
    let (status, body) = api.get(&format!("/v1/calls/{id}/report")).await;
    assert_eq!((status, &body["status"], &body["urgency"]), (200, &json!("ready"), &json!("normal")));
    let tokens = call.usage.tokens;
    assert!(tokens < 300, "{tokens}: a report is nobody's expense");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brain_that_writes_nonsense_is_told_so_once_and_then_given_up() {
    let scribe = Scribe::new(["I would rather not.".to_owned(), report()]);
    let mut world = World::start(setting(scribe.clone(), AGENT)).await;
    let id = have_a_call(&mut world).await.id;
    assert_eq!(told(&mut world, &id).await.status, ReportStatus::Ready);
    assert_eq!(scribe.asked.load(Ordering::SeqCst), 2);
    let again = scribe.writes.asked.all().pop().unwrap();
    assert!(again.messages.last().unwrap().content.contains("no JSON object"));
    world.stop().await;

    let mut world = World::start(setting(Scribe::new(["I would rather not."]), AGENT)).await;
    let id = have_a_call(&mut world).await.id;
    let report = told(&mut world, &id).await;
    assert_eq!(report.status, ReportStatus::Failed);
    assert!(report.reason.is_some() && report.summary.is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_not_finished_is_written_after_the_next_start() {
    let scribe = Scribe::new([report()]);
    scribe.dawdles.store(true, Ordering::SeqCst);
    let mut world = World::start(setting(scribe.clone(), AGENT)).await;
    let id = have_a_call(&mut world).await.id;
    assert_eq!(world.call(&id).await.report.unwrap().status, ReportStatus::Pending);
    while scribe.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let data = world.stop().await;
    scribe.dawdles.store(false, Ordering::SeqCst);
    let mut world = World::start_in(data, setting(scribe, AGENT)).await;
    let call = loop {
        let call = world.call(&id).await;
        if !call.awaits_report() {
            break call;
        }
        world.named("call.report.ready").await;
    };
    assert_eq!(call.report.unwrap().status, ReportStatus::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pen_is_put_down_when_somebody_calls() {
    let scribe = Scribe::new([report()]);
    scribe.dawdles.store(true, Ordering::SeqCst);
    let mut world = World::start(setting(scribe.clone(), AGENT)).await;
    let id = have_a_call(&mut world).await.id;
    while scribe.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // The brain would write now, but the second call comes first: the report is asked for anew when it is over.
    let second = Caller::new().await;
    second.call(&world, NUMBER, "listen\nwait 700ms\nhangup").await;
    assert_eq!(scribe.asked.load(Ordering::SeqCst), 1);
    scribe.dawdles.store(false, Ordering::SeqCst);
    assert_eq!(told(&mut world, &id).await.status, ReportStatus::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_writes_none_has_none() {
    let scribe = Scribe::new([report()]);
    let mut world = World::start(setting(scribe.clone(), "report = false\n")).await;
    let call = have_a_call(&mut world).await;
    assert_eq!(call.report, None);
    let refused = world.gateway.call_report(&Principal::operator(), call.id.clone()).await.unwrap_err();
    assert_eq!(refused.code, "no_report");
    world.named("call.recording.ready").await;
    assert_eq!(scribe.asked.load(Ordering::SeqCst), 0);
    world.stop().await;
}
