//! The ear with a transcriber that answers by script and takes no time.

use models::fake::{FakeTranscriber, FakeTurnJudge};

use super::*;

const LOUD: (f32, f32) = (0.9, -20.0);
const QUIET: (f32, f32) = (0.0, -70.0);

struct Caller {
    ears: Ears,
    inbox: mpsc::Receiver<Input>,
}

impl Caller {
    fn new(transcriber: FakeTranscriber, agent: Agent) -> Self {
        Self::judged(transcriber, None, agent)
    }

    fn judged(transcriber: FakeTranscriber, judge: Option<FakeTurnJudge>, agent: Agent) -> Self {
        let (results, inbox) = mpsc::channel(64);
        let judge = judge.map(|judge| Arc::new(judge) as Arc<dyn TurnJudge>);
        Self { ears: Ears::new(Arc::new(transcriber), judge, &agent, results), inbox }
    }

    fn says(&mut self, ms: usize) {
        self.sounds(ms, LOUD);
    }

    fn pauses(&mut self, ms: usize) {
        self.sounds(ms, QUIET);
    }

    fn sounds(&mut self, ms: usize, (probability, level): (f32, f32)) {
        for _ in 0..ms / 20 {
            self.ears.frame(&[7; media::FRAME], probability, level);
        }
    }

    async fn hears(&mut self) -> Input {
        self.inbox.recv().await.unwrap()
    }

    async fn partial(&mut self) -> (u64, String) {
        match self.hears().await {
            Input::Partial { utterance, text, .. } => (utterance, text),
            other => panic!("{other:?}"),
        }
    }

    async fn heard(&mut self) -> (u64, String, Duration) {
        match self.hears().await {
            Input::Heard { job, text, stt } => (job, text, stt),
            other => panic!("{other:?}"),
        }
    }
}

fn transcriber(lines: &[&str]) -> FakeTranscriber {
    FakeTranscriber::says(lines.iter().copied()).looking()
}

#[tokio::test]
async fn words_come_while_the_caller_speaks_and_are_there_at_the_end() {
    let script = transcriber(&["Do you", "Do you open today?", "never asked for"]);
    let asked = script.asked.clone();
    let mut caller = Caller::new(script, Agent::default());
    caller.pauses(400);
    caller.ears.open();
    caller.says(1200);
    assert_eq!(caller.partial().await, (0, "Do you".into()));
    caller.says(500);
    caller.pauses(60);
    assert_eq!(caller.partial().await, (0, "Do you open today?".into()));
    caller.pauses(40);
    caller.ears.transcribe(1);
    assert_eq!(caller.heard().await, (1, "Do you open today?".into(), Duration::ZERO));
    let asked = asked.all();
    assert_eq!(asked.len(), 2);
    let priorities: Vec<_> = asked.iter().map(|utterance| utterance.priority).collect();
    assert_eq!(priorities, [Priority::Partial, Priority::Pause]);
    assert_eq!(asked[0].pcm.len(), RATE * 16 / 10, "with 0.4 s from before the voice");
}

#[tokio::test]
async fn a_look_under_way_at_the_end_is_waited_for() {
    let script = transcriber(&["Do you open today?", "never asked for"]);
    let asked = script.asked.clone();
    let mut caller = Caller::new(script, Agent::default());
    caller.ears.open();
    caller.says(500);
    caller.pauses(60);
    caller.ears.transcribe(1);
    let (job, text, _) = caller.heard().await;
    assert_eq!((job, text.as_str()), (1, "Do you open today?"));
    assert_eq!(asked.count(), 1);
}

#[tokio::test]
async fn a_look_that_came_too_early_is_dropped_for_the_end() {
    let script = transcriber(&["Do you", "Do you open today?"]);
    let asked = script.asked.clone();
    let mut caller = Caller::new(script, Agent::default());
    caller.ears.open();
    caller.says(800);
    caller.says(200);
    caller.ears.transcribe(4);
    let (job, text, _) = caller.heard().await;
    assert_eq!((job, text.as_str()), (4, "Do you"), "the dropped look never asked");
    assert_eq!(asked.all().last().unwrap().priority, Priority::Tail);
}

#[tokio::test]
async fn where_nobody_has_time_for_looks_the_whole_is_heard_at_the_end() {
    let script = FakeTranscriber::says(["Do you open today?"]);
    let asked = script.asked.clone();
    let mut caller = Caller::new(script, Agent::default());
    caller.ears.open();
    caller.says(2000);
    tokio::task::yield_now().await;
    caller.says(500);
    caller.pauses(60);
    // Wanted before it was refused, and after.
    caller.ears.transcribe(1);
    assert_eq!(caller.heard().await.1, "Do you open today?");
    assert_eq!(asked.count(), 1);
    assert_eq!(asked.all()[0].priority, Priority::Tail);
}

#[tokio::test]
async fn nothing_comes_of_an_utterance_that_was_used_up() {
    let mut caller = Caller::new(transcriber(&["Do you"]), Agent::default());
    caller.ears.open();
    caller.says(800);
    tokio::task::yield_now().await;
    caller.ears.forget(true);
    caller.says(780);
    caller.pauses(60);
    assert_eq!(caller.partial().await.0, 1, "of the second utterance");
}

#[tokio::test]
async fn a_language_is_found_out_once_and_kept() {
    let line = |text: &str, language: &str| {
        Ok(Transcript { text: text.into(), language: language.into(), ..Transcript::default() })
    };
    let script =
        FakeTranscriber::script([line("Ja.", "nl"), line("Guten Tag zusammen.", "de"), line("Hello.", "en")]);
    let asked = script.asked.clone();
    let agent = Agent { language: ANY_LANGUAGE.into(), ..Agent::default() };
    let mut caller = Caller::new(script, agent);
    for (job, ms) in [(1, 600), (2, 2000), (3, 2000)] {
        caller.ears.open();
        caller.says(ms);
        caller.ears.transcribe(job);
        caller.heard().await;
        caller.ears.forget(false);
    }
    let languages: Vec<_> = asked.all().into_iter().map(|utterance| utterance.language).collect();
    assert_eq!(languages, [None, None, Some("de".into())], "a short sound does not tell");
}

#[tokio::test]
async fn expected_words_are_told_and_not_taken_for_heard() {
    let script = FakeTranscriber::says(["Yealink, Snom, Grandstream, Polycom."]);
    let asked = script.asked.clone();
    let vocabulary = ["Yealink", "Snom", "Grandstream", "Polycom"].map(str::to_owned).to_vec();
    let mut caller = Caller::new(script, Agent { vocabulary, ..Agent::default() });
    caller.ears.open();
    caller.says(600);
    caller.ears.transcribe(1);
    assert_eq!(caller.heard().await.1, "");
    assert_eq!(asked.all()[0].prompt.as_deref(), Some("Yealink, Snom, Grandstream, Polycom."));
}

#[tokio::test]
async fn whoever_judges_hears_what_is_turned_into_words() {
    let judge = FakeTurnJudge::says([0.25]);
    let asked = judge.asked.clone();
    let mut caller = Caller::judged(FakeTranscriber::says(["Well,"]), Some(judge), Agent::default());
    caller.ears.open();
    caller.says(600);
    caller.pauses(80);
    caller.ears.transcribe(9);
    let (mut heard, mut judged) = (None, None);
    for _ in 0..2 {
        match caller.hears().await {
            Input::TurnJudged { job, probability } => judged = Some((job, probability)),
            other => heard = Some(other),
        }
    }
    assert_eq!(judged, Some((9, 0.25)));
    assert!(matches!(heard, Some(Input::Heard { job: 9, .. })));
    assert_eq!(asked.all()[0].len(), RATE * 68 / 100, "with the silence behind it");
}

#[tokio::test]
async fn an_ear_that_fails_says_so() {
    let down = EngineError::Failed { engine: "fake", kind: "engine".into(), message: "no".into() };
    let mut caller = Caller::new(FakeTranscriber::script([Err(down.into())]), Agent::default());
    caller.ears.open();
    caller.says(600);
    caller.ears.transcribe(2);
    assert!(matches!(caller.hears().await, Input::Deaf { job: 2 }));
}

#[test]
fn of_what_was_said_before_whole_words_are_told() {
    assert_eq!(last("one two three", 100), "one two three");
    assert_eq!(last("one two three", 7), "three");
    assert_eq!(last("äöü äöü", 8), "äöü");
    assert_eq!(last("", 8), "");
}
