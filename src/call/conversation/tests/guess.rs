//! Work on suspicion: begun early, released or thrown away, and never noticed by anybody before.

use super::*;
use crate::domain::StageOutcome;

impl Stage {
    /// The caller falls silent, and the ear tells of it after 80 ms.
    fn dip(&mut self) -> Instant {
        let since = self.now;
        self.wait(ms(80));
        self.tell(Input::VoiceDip { since });
        since
    }

    /// … and at last of the end. `told`: after how much of the silence this is called.
    fn ends(&mut self, since: Instant) {
        self.wait((since + ms(200)).saturating_duration_since(self.now));
        self.tell(Input::VoiceEnd { since });
    }

    fn heard_after(&mut self, after: Duration, text: &str) {
        let job = self.last_job();
        self.wait(after);
        self.tell(Input::Heard { job, text: text.into(), stt: after });
    }

    fn judged(&mut self, probability: f32) {
        let job = self.last_job();
        self.tell(Input::TurnJudged { job, probability });
    }

    fn guesses(&self) -> Vec<u32> {
        let turn = |action: &Action| if let Action::Reply { turn } = action { Some(*turn) } else { None };
        self.log.iter().filter_map(turn).collect()
    }

    fn released(&self) -> Vec<u32> {
        let turn = |action: &Action| if let Action::Release { turn } = action { Some(*turn) } else { None };
        self.log.iter().filter_map(turn).collect()
    }
}

#[test]
fn what_words_and_sound_call_finished_is_answered_at_once() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(1500));
    let since = stage.dip();
    stage.wait(ms(20));
    stage.judged(0.93);
    stage.heard_after(ms(60), "What time do you open?");
    // 160 ms of silence: the brain is at work, and nobody has heard of it.
    let turn = stage.guesses()[0];
    assert!(stage.released().is_empty());
    assert_eq!(stage.history().len(), 1);
    assert_eq!(stage.conversation.question(), Some("What time do you open?"));
    stage.tell(Input::FirstToken { turn, after: ms(30) });
    stage.ends(since);
    assert!(stage.released().is_empty());
    stage.wait(ms(60));
    assert_eq!(stage.released(), [turn], "after 260 ms");
    assert_eq!(stage.guesses(), [turn], "asked once");
    assert_eq!(stage.conversation.question(), None, "it is in the history now");
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, "What time do you open?")));
    stage.speak(turn, &["At nine."]);
    stage.play_out(turn, 1);
    let Some(Note::Turn(told)) = stage.notes().pop() else { panic!("{:#?}", stage.notes()) };
    assert_eq!((told.turn, told.llm_first_token_ms), (turn, Some(30)));
    let end = told.explanation.end_of_turn.as_ref().unwrap();
    assert_eq!((end.waited_ms, end.probability), (260, Some(0.93)));
    let first_token = told.explanation.stages.iter().find(|s| s.stage == StageKind::FirstToken).unwrap();
    assert!(first_token.speculative && first_token.outcome == StageOutcome::Used);
}

#[test]
fn who_goes_on_has_the_work_thrown_away_and_no_trace_left() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(1500));
    let since = stage.dip();
    stage.heard_after(ms(60), "I have a question.");
    let guess = stage.guesses()[0];
    stage.ends(since);
    // Released is it not: the sound has not said that this is the end.
    stage.wait(ms(100));
    stage.voice_start();
    assert!(!stage.did(&Action::Cancel { turn: guess }), "it may have been a breath");
    stage.wait(ms(250));
    assert!(stage.did(&Action::Cancel { turn: guess }));
    stage.wait(ms(600));
    let since = stage.dip();
    stage.judged(0.9);
    stage.heard_after(ms(60), "I have a question. Do you open on Saturday?");
    stage.ends(since);
    stage.wait(ms(250));
    let turn = stage.reply_turn();
    assert!(turn > guess && stage.released() == [turn]);
    assert_eq!(stage.history().len(), 2);
    // What still comes of the first one is of no turn.
    stage.tell(Input::Phrase { turn: guess, mark: 1, text: "Yes?".into() });
    stage.tell(Input::Started { mark: 1 });
    stage.tell(Input::ReplyOver { turn: guess, failed: true });
    stage.speak(turn, &["We do."]);
    stage.play_out(turn, 1);
    assert_eq!(stage.history().last(), Some(&(Speaker::Agent, "We do.")));
    let turns: Vec<_> = stage
        .notes()
        .into_iter()
        .filter_map(|n| if let Note::Turn(t) = n { Some(t) } else { None })
        .collect();
    assert_eq!(turns.len(), 1, "a guess is no turn");
    let thrown = |s: &&crate::domain::StageSpan| s.outcome == StageOutcome::ThrownAway;
    assert!(turns[0].explanation.stages.iter().any(|s| thrown(&s) && s.stage == StageKind::FirstToken));
}

#[test]
fn a_breath_costs_nothing_and_other_marks_neither() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(1500));
    let since = stage.dip();
    stage.heard_after(ms(40), "what time do you open");
    stage.ends(since);
    let guess = stage.guesses()[0];
    stage.wait(ms(60));
    stage.voice_start();
    stage.wait(ms(60));
    let since = stage.dip();
    stage.heard_after(ms(60), "What time do you open?");
    stage.judged(0.9);
    stage.ends(since);
    stage.wait(ms(400));
    assert_eq!((stage.guesses(), stage.released()), (vec![guess], vec![guess]));
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, "What time do you open?")));
}

#[test]
fn a_stop_within_a_word_is_no_end() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(700));
    stage.dip();
    let stale = stage.last_job();
    stage.wait(ms(30));
    stage.tell(Input::VoiceBack { onset: stage.now });
    stage.tell(Input::Heard { job: stale, text: "What time.".into(), stt: ms(1) });
    stage.tell(Input::TurnJudged { job: stale, probability: 1.0 });
    stage.wait(ms(500));
    let since = stage.dip();
    assert!(stage.last_job() > stale);
    stage.ends(since);
    stage.wait(ms(1000));
    assert_eq!((stage.guesses(), stage.released()), (vec![], vec![]), "the words are not known");
    stage.heard_after(ms(10), "What time do you open?");
    assert_eq!(stage.released().len(), 1);
}

#[test]
fn a_long_story_is_not_guessed_at_for_ever() {
    let mut stage = Stage::greeted();
    let mut story = String::new();
    for n in 0..9 {
        story.push_str(&format!("Then came number {n} of my dogs. "));
        stage.voice_start();
        stage.wait(ms(900));
        let since = stage.dip();
        stage.heard_after(ms(60), &story);
        stage.ends(since);
        stage.wait(ms(50));
    }
    assert_eq!(stage.guesses().len(), 4);
    stage.wait(ms(2500));
    assert_eq!(stage.released().len(), 1, "and is answered all the same");
}

#[test]
fn engines_that_are_busy_are_not_asked_on_suspicion() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(900));
    let since = stage.dip();
    stage.ends(since);
    let job = stage.last_job();
    stage.tell(Input::Heard { job, text: "What time do you open?".into(), stt: ms(900) });
    assert!(stage.guesses().is_empty());
    stage.wait(ms(400));
    assert_eq!((stage.guesses().len(), stage.released().len()), (1, 1));
}

#[test]
fn where_more_is_expected_work_begins_later() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(900));
    let since = stage.dip();
    stage.heard_after(ms(60), "I would like an appointment and");
    stage.ends(since);
    stage.wait(ms(790));
    assert!(stage.guesses().is_empty(), "990 ms of silence");
    stage.wait(ms(20));
    assert_eq!(stage.guesses().len(), 1);
    assert!(stage.released().is_empty());
    stage.wait(ms(500));
    assert_eq!(stage.released(), stage.guesses());
}

#[test]
fn keys_and_goodbyes_come_before_a_guess() {
    for input in [Input::Digit('1'), Input::Leave(EndReason::ShuttingDown), Input::Away, Input::Gone] {
        let mut stage = Stage::greeted();
        stage.voice_start();
        stage.wait(ms(900));
        stage.dip();
        stage.heard_after(ms(60), "What time do you open?");
        let guess = stage.guesses()[0];
        stage.tell(input.clone());
        assert!(stage.did(&Action::Cancel { turn: guess }), "{input:?}");
        stage.wait(ms(100));
        assert!(!stage.released().contains(&guess), "{input:?}");
    }
}

#[test]
fn a_caller_who_pauses_long_is_waited_for_the_next_time() {
    let mut stage = Stage::greeted();
    let pauses = |stage: &mut Stage, pause: u64| {
        stage.voice_start();
        stage.wait(ms(900));
        let since = stage.dip();
        stage.heard_after(ms(40), "I am calling about my car.");
        stage.judged(0.9);
        stage.ends(since);
        stage.wait(ms(pause - 200));
        !stage.released().is_empty()
    };
    assert!(pauses(&mut stage, 500), "the first time it is answered, too early");
    for _ in 0..3 {
        // The caller goes on while the agent thinks.
        stage.log.clear();
        let _ = pauses(&mut stage, 500);
    }
    stage.log.clear();
    assert!(!pauses(&mut stage, 500), "now it is waited for");
}

#[test]
fn words_that_a_caller_left_with_before_an_answer_are_kept() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(900));
    let since = stage.dip();
    stage.heard_after(ms(40), "Forget it.");
    stage.ends(since);
    stage.tell(Input::Gone);
    assert_eq!(stage.conversation.last_words(stage.now), None);
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, "Forget it.")));
}

#[test]
fn a_nod_that_goes_on_is_no_nod() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We have ten spaces behind the house."]);
    stage.voice_start();
    stage.wait(ms(150));
    stage.dip();
    stage.heard_after(ms(40), "Yeah,");
    assert!(!stage.did(&Action::Resume), "more may come");
    stage.tell(Input::VoiceBack { onset: stage.now });
    stage.wait(ms(200));
    stage.dip();
    stage.heard_after(ms(40), "Yeah, but where?");
    assert!(stage.did(&Action::Hush));
}
