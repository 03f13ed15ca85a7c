//! A guess has no hands: what an answer wants done waits until the ladder has decided that the caller has finished, and is never
//! done when they go on. The machine that decides and the task that works ahead together, on a virtual clock.

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use media::SessionConfig;
use media::net::{Engine, EngineConfig};
use models::fake::calling;
use models::{Phrase, Synthesizer, ToolCall};
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[path = "../../../tests/support/ports.rs"]
mod ports;

use super::*;
use crate::call::gate::Key;
use crate::call::{Action, Conversation, Manners};
use crate::config::Config;
use crate::domain::EndReason;

/// Longer than any pause and any deadline of a stage.
const FOR_EVER: u64 = 60_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Does nothing but write down what it was asked to do: the turn, and the arguments.
#[derive(Default)]
struct Done(Mutex<Vec<(u32, String)>>);

impl Hands for Done {
    fn run<'a>(self: Arc<Self>, turn: u32, _: &'a Line, call: &'a ToolCall) -> BoxFuture<'a, Outcome> {
        self.0.lock().unwrap().push((turn, call.arguments.clone()));
        Box::pin(async { Outcome { ok: true, result: "{}".into(), say: None, then: Then::Quiet(ms(0)) } })
    }
}

impl Done {
    fn all(&self) -> Vec<(u32, String)> {
        self.0.lock().unwrap().clone()
    }
}

/// Books a table with every answer: the first at 1, the second at 2, and so on. It takes no time, so that no clock but ours runs.
#[derive(Default)]
struct Brain {
    asked: AtomicU64,
    pace: Mutex<Option<watch::Receiver<Pace>>>,
    /// How urgent the rest of its answer was when the voice began with a clause.
    paces: Mutex<Vec<Pace>>,
}

impl Brain {
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn pace(&self) -> Pace {
        *self.pace.lock().unwrap().as_ref().unwrap().borrow()
    }
}

impl Generator for Brain {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        let at = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        *self.pace.lock().unwrap() = prompt.pace;
        stream::iter(calling("I am booking it, it is done in a moment.", &[("book", json!({ "at": at }))]))
            .boxed()
    }
}

/// A tenth of a second of anything.
struct Tone(Arc<Brain>);

impl Synthesizer for Tone {
    fn synthesize(&self, _: Phrase) -> BoxStream<'static, Result<Pcm, TtsError>> {
        self.0.paces.lock().unwrap().push(self.0.pace());
        stream::iter([Ok(Pcm { rate: self.rate(), samples: vec![1000; 800] })]).boxed()
    }

    fn rate(&self) -> u32 {
        8_000
    }
}

/// A call with an agent that books tables.
struct Desk {
    conversation: Conversation,
    now: Instant,
    brain: Arc<Brain>,
    done: Arc<Done>,
    line: Arc<Line>,
    _engine: Engine,
    reports: mpsc::Sender<Input>,
    inbox: mpsc::Receiver<Input>,
    working: Option<(u32, JoinHandle<()>, Key)>,
    job: u64,
    released: Vec<u32>,
}

impl Desk {
    fn open() -> Self {
        let config = Config::parse("[[agent]]\nname = 'desk'\nfirst_message = ''").unwrap();
        let manners = Manners::new(&config.agents[0], &config.turn_taking, ms(600_000));
        let bind = [127, 0, 0, 1].into();
        let first = ports::free_ports(bind, 2);
        let engine = EngineConfig { bind, ports: first..=first + 1, ..EngineConfig::default() };
        let engine = Engine::start(engine).unwrap();
        let (line, _) = engine.open(SessionConfig::default(), None).unwrap();
        let (reports, inbox) = mpsc::channel(64);
        let mut desk = Desk {
            conversation: Conversation::new(manners),
            now: Instant::now(),
            brain: Arc::default(),
            done: Arc::default(),
            line: Arc::new(line),
            _engine: engine,
            reports,
            inbox,
            working: None,
            job: 0,
            released: Vec::new(),
        };
        desk.conversation.handle(desk.now, Input::Answered);
        desk
    }

    async fn tell(&mut self, input: Input) {
        self.conversation.handle(self.now, input);
        self.settle().await;
    }

    /// Everybody does what there is to do at this moment.
    async fn settle(&mut self) {
        for _ in 0..64 {
            while let Some(action) = self.conversation.poll_action() {
                self.act(action).await;
            }
            tokio::task::yield_now().await;
            while let Ok(input) = self.inbox.try_recv() {
                self.conversation.handle(self.now, input);
            }
        }
        for (turn, what) in self.done.all() {
            assert!(self.released.contains(&turn), "{what} was done for turn {turn}, which is a guess");
        }
    }

    /// As the mind of a call does it.
    async fn act(&mut self, action: Action) {
        match action {
            Action::Transcribe { job } => self.job = job,
            Action::Reply { turn } => {
                let (key, gate) = Gate::closed();
                let task = self.task(turn, gate).reply(self.brain.clone(), Prompt::new(Vec::new()));
                self.working = Some((turn, tokio::spawn(task), key));
            }
            Action::Release { turn } => {
                self.released.push(turn);
                if let Some((_, _, key)) = self.working.as_ref().filter(|(of, _, _)| *of == turn) {
                    key.open();
                }
            }
            Action::Cancel { turn } => {
                if let Some((_, task, _)) = self.working.take_if(|(of, _, _)| *of == turn) {
                    task.abort();
                    let _ = task.await;
                }
            }
            Action::Hush => self.conversation.handle(self.now, Input::Hushed { mark: None, played: ms(0) }),
            _ => {}
        }
    }

    fn task(&self, turn: u32, gate: Gate) -> TurnTask {
        let voice = Voice::new(Arc::new(Tone(self.brain.clone())), None, 1.0, "en", 0.0);
        TurnTask {
            turn,
            mouth: Mouth::new(voice, HashMap::new()),
            line: self.line.clone(),
            reports: self.reports.clone(),
            meter: Arc::default(),
            hands: self.done.clone(),
            spent: Meter::default(),
            gate,
            course: Course::default(),
            pace: watch::Sender::default(),
        }
    }

    async fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.conversation.poll_timeout().filter(|at| *at <= until) {
            let at = at.max(self.now);
            self.now = at;
            self.conversation.handle_timeout(at);
            self.settle().await;
        }
        self.now = until;
        self.settle().await;
    }

    /// The caller says this for a second and a half and falls silent; after 150 ms of silence its words are known. Gives when it fell silent.
    async fn hears(&mut self, words: &str) -> Instant {
        self.tell(Input::VoiceStart { onset: self.now }).await;
        self.wait(ms(1500)).await;
        self.falls_silent(words).await
    }

    async fn falls_silent(&mut self, words: &str) -> Instant {
        let since = self.now;
        self.wait(ms(80)).await;
        self.tell(Input::VoiceDip { since }).await;
        self.wait(ms(70)).await;
        self.tell(Input::Heard { job: self.job, text: words.into(), stt: ms(70) }).await;
        since
    }

    async fn ends(&mut self, since: Instant) {
        self.wait((since + ms(200)).saturating_duration_since(self.now)).await;
        self.tell(Input::VoiceEnd { since }).await;
    }
}

#[tokio::test]
async fn what_an_answer_wants_done_waits_for_the_rung_of_the_ladder() {
    for (words, rung) in [
        ("Please book a table for four.", 400),
        ("Please book a table for four", 600),
        ("Please book a table for four and", 1500),
        ("Please hold on.", 2500),
    ] {
        let mut desk = Desk::open();
        let since = desk.hears(words).await;
        desk.ends(since).await;
        // The longest time ahead: the brain has answered, and its answer has been turned into sound.
        desk.wait(since + ms(rung - 1) - desk.now).await;
        assert_eq!(desk.brain.asked(), 1, "{words:?}: asked ahead");
        assert_eq!((desk.released.len(), desk.done.all()), (0, vec![]), "{words:?}");
        desk.wait(ms(1)).await;
        assert_eq!(desk.done.all(), [(desk.released[0], json!({ "at": 1 }).to_string())], "{words:?}");
    }
}

#[tokio::test]
async fn the_brain_rests_until_its_first_clause_sounds() {
    let mut desk = Desk::open();
    let since = desk.hears("Please book a table for four.").await;
    desk.ends(since).await;
    assert_eq!((desk.brain.paces.lock().unwrap().clone(), desk.brain.pace()), (vec![Pace::Rest], Pace::GoOn));
    desk.wait(ms(FOR_EVER)).await;
    assert_eq!(
        *desk.brain.paces.lock().unwrap(),
        [Pace::Rest, Pace::GoOn],
        "later clauses are not in a hurry"
    );
}

#[tokio::test]
async fn who_goes_on_has_had_nothing_done() {
    for after in [160, 250, 390] {
        let mut desk = Desk::open();
        let since = desk.hears("Please book a table for tonight.").await;
        if after > 200 {
            desk.ends(since).await;
        }
        desk.wait((since + ms(after)).saturating_duration_since(desk.now)).await;
        assert_eq!(desk.brain.asked(), 1, "asked ahead");
        let onset = desk.now;
        match after > 200 {
            true => desk.tell(Input::VoiceStart { onset }).await,
            false => desk.tell(Input::VoiceBack { onset }).await,
        }
        desk.wait(ms(1500)).await;
        let since = desk.falls_silent("Please book a table for tonight. No, for tomorrow.").await;
        desk.ends(since).await;
        desk.wait(ms(3000)).await;
        let done = desk.done.all();
        assert_eq!(done.len(), 1, "after {after} ms: {done:?}");
        assert_eq!(done[0].1, json!({ "at": desk.brain.asked() }).to_string(), "not what was thrown away");
        assert!(desk.brain.asked() > 1);
    }
}

#[tokio::test]
async fn who_hangs_up_in_the_pause_has_had_nothing_done() {
    for end in [Input::Gone, Input::Leave(EndReason::ApiHungUp), Input::Away, Input::Digit('1')] {
        let mut desk = Desk::open();
        let since = desk.hears("Please book a table for tonight.").await;
        desk.ends(since).await;
        // With a key the words are another turn, which is answered anew.
        let is_a_turn = matches!(end, Input::Digit(_));
        desk.tell(end).await;
        desk.wait(ms(FOR_EVER)).await;
        let guessed = json!({ "at": 1 }).to_string();
        let done = desk.done.all();
        assert!(done.iter().all(|(_, what)| *what != guessed), "{done:?}");
        assert_eq!((done.len(), desk.brain.asked()), if is_a_turn { (1, 2) } else { (0, 1) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// `Desk::settle` has the law: whoever acts was released. Here the caller stops and goes on as they like.
    #[test]
    fn no_stammer_has_anything_done_twice(pauses in prop::collection::vec((1u64..2600, 0usize..4), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut desk = Desk::open();
            let mut said = String::new();
            for (pause, more) in pauses {
                said.push_str(["Book it.", "Book it and", "Please book", "One two three"][more]);
                said.push(' ');
                let since = desk.hears(&said).await;
                desk.ends(since).await;
                desk.wait(ms(pause)).await;
            }
            desk.wait(ms(4000)).await;
            let done = desk.done.all();
            prop_assert!(done.len() <= desk.released.len(), "{done:?}, released {:?}", desk.released);
            Ok(())
        })?;
    }
}
