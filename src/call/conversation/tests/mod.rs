//! Scripted dialogues on a virtual clock, and laws under random input.

mod cells;
mod deeds;
mod filler;
mod floor;
mod guess;
mod line;
mod machine;
mod opening;
mod partial;
mod recorder;
mod silence;

use proptest::prelude::*;

use super::*;
use crate::config::Config;

/// A conversation with a clock that only moves when told, and a world that answers at once unless told otherwise.
struct Stage {
    conversation: Conversation,
    now: Instant,
    start: Instant,
    log: Vec<Action>,
    /// How far the sounding phrase has come when it is hushed.
    cut: (Option<u64>, Duration),
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn manners() -> Manners {
    let config = Config::parse("[[agent]]\nname='a'\nend_call_phrases=['goodbye']").unwrap();
    Manners {
        max_duration: Duration::from_secs(600),
        ..Manners::new(&config.agents[0], &config.turn_taking, ms(0))
    }
}

impl Stage {
    fn new() -> Self {
        Self::with(manners())
    }

    fn with(manners: Manners) -> Self {
        let now = Instant::now();
        Self {
            conversation: Conversation::new(manners),
            now,
            start: now,
            log: Vec::new(),
            cut: (None, ms(0)),
        }
    }

    /// Answered, and the greeting said.
    fn greeted() -> Self {
        Self::greeted_with(manners())
    }

    fn greeted_with(manners: Manners) -> Self {
        let mut stage = Self::with(manners);
        stage.tell(Input::Answered);
        let turn = stage.said("Hello, how can I help you?");
        stage.speak(turn, &["Hello, how can I help you?"]);
        stage.play_out(turn, 1);
        stage.log.clear();
        stage
    }

    fn tell(&mut self, input: Input) {
        self.conversation.handle(self.now, input);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            if action == Action::Hush {
                let (mark, played) = std::mem::take(&mut self.cut);
                self.log.push(action);
                self.conversation.handle(self.now, Input::Hushed { mark, played });
            } else {
                self.log.push(action);
            }
        }
    }

    /// Lets time pass, waking the machine whenever it asks for it.
    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut steps = 0;
        while let Some(at) = self.conversation.poll_timeout().filter(|at| *at <= until) {
            steps += 1;
            assert!(steps < 1000, "the machine spins at {:?}", at.duration_since(self.start));
            self.now = self.now.max(at);
            self.conversation.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// The caller speaks for so long and falls silent; the ear says so 200 ms later.
    fn voice(&mut self, duration: Duration) {
        self.voice_start();
        self.wait(duration);
        self.voice_end();
    }

    fn voice_start(&mut self) {
        self.tell(Input::VoiceStart { onset: self.now - ms(60) });
    }

    fn voice_end(&mut self) {
        let since = self.now;
        self.wait(ms(200));
        self.tell(Input::VoiceEnd { since });
    }

    fn hears(&mut self, text: &str) {
        let job = self.last_job();
        self.wait(ms(150));
        self.tell(Input::Heard { job, text: text.into(), stt: ms(150) });
    }

    fn last_job(&self) -> u64 {
        let job = self.log.iter().rev().find_map(|action| match action {
            Action::Transcribe { job } => Some(*job),
            _ => None,
        });
        job.expect("a transcription was asked for")
    }

    /// The turn that was released last: an answer that may be heard.
    fn reply_turn(&self) -> u32 {
        let turn = self.log.iter().rev().find_map(|action| match action {
            Action::Release { turn } => Some(*turn),
            _ => None,
        });
        turn.expect("an answer was released")
    }

    /// The turn of a sentence of ours.
    fn said(&self, sentence: &str) -> u32 {
        let turn = self.log.iter().rev().find_map(|action| match action {
            Action::Say { turn, text } if text == sentence => Some(*turn),
            _ => None,
        });
        turn.unwrap_or_else(|| panic!("{sentence:?} was said, in {:#?}", self.log))
    }

    /// Phrases of one second each are queued, and the first begins to sound.
    fn speak(&mut self, turn: u32, phrases: &[&str]) {
        for (n, text) in phrases.iter().enumerate() {
            let mark = u64::from(turn) * 100 + n as u64;
            self.tell(Input::Phrase { turn, mark, text: (*text).into() });
            self.tell(Input::Measured { turn, mark, duration: ms(1000) });
        }
        self.tell(Input::ReplyOver { turn, failed: false });
        self.tell(Input::Started { mark: u64::from(turn) * 100 });
    }

    fn play_out(&mut self, turn: u32, phrases: u64) {
        for n in 0..phrases {
            self.wait(ms(1000));
            self.tell(Input::Played { mark: u64::from(turn) * 100 + n });
        }
    }

    fn did(&self, wanted: &Action) -> bool {
        self.log.contains(wanted)
    }

    fn notes(&self) -> Vec<&Note> {
        self.log
            .iter()
            .filter_map(|action| if let Action::Note(note) = action { Some(note) } else { None })
            .collect()
    }

    fn history(&self) -> Vec<(Speaker, &str)> {
        self.conversation.history().iter().map(|line| (line.speaker, line.text.as_str())).collect()
    }
}

#[test]
fn a_question_is_answered() {
    let mut stage = Stage::greeted();
    stage.voice(ms(1500));
    stage.hears("What time do you open?");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We open at nine."]);
    stage.play_out(turn, 1);
    assert_eq!(
        stage.history(),
        [
            (Speaker::Agent, "Hello, how can I help you?"),
            (Speaker::Caller, "What time do you open?"),
            (Speaker::Agent, "We open at nine."),
        ]
    );
    let turns: Vec<_> = stage
        .notes()
        .into_iter()
        .filter_map(|n| if let Note::Turn(t) = n { Some(t) } else { None })
        .collect();
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].heard.reveal(), "What time do you open?");
    assert_eq!(turns[0].said.reveal(), "We open at nine.");
    assert_eq!(turns[0].stt_ms, Some(150));
    // 200 ms of the ear, 150 of the transcriber, then the rest of the pause and of this test's wait.
    assert_eq!(turns[0].voice_to_voice_ms, Some(650));
}

#[test]
fn an_unfinished_sentence_is_waited_for_and_joined() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("I need an appointment and");
    stage.wait(ms(900));
    assert!(!stage.log.iter().any(|a| matches!(a, Action::Release { .. })), "too early");
    stage.voice(ms(800));
    stage.hears("I need an appointment and a parking space.");
    stage.wait(ms(300));
    stage.reply_turn();
    assert_eq!(
        stage.history().last(),
        Some(&(Speaker::Caller, "I need an appointment and a parking space."))
    );
}

#[test]
fn who_goes_on_while_the_agent_thinks_was_not_finished() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("I have a question.");
    stage.wait(ms(300));
    let first = stage.reply_turn();
    stage.voice(ms(800));
    assert!(stage.did(&Action::Cancel { turn: first }));
    stage.hears("Do you open on Saturday?");
    stage.wait(ms(300));
    assert!(stage.reply_turn() > first);
    assert_eq!(
        stage.history().last(),
        Some(&(Speaker::Caller, "I have a question. Do you open on Saturday?"))
    );
    assert_eq!(stage.history().len(), 2, "the withdrawn answer left no trace");
}

#[test]
fn an_interruption_pauses_at_once_and_cuts_what_was_not_heard() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We have ten spaces behind the house.", "They are free."]);
    stage.wait(ms(500));
    stage.voice_start();
    assert_eq!(stage.log.last(), Some(&Action::Pause));
    stage.cut = (Some(u64::from(turn) * 100), ms(500));
    stage.wait(ms(500));
    stage.voice_end();
    stage.hears("No, wait, stop.");
    assert!(stage.did(&Action::Hush) && stage.did(&Action::Cancel { turn }));
    stage.wait(ms(400));
    assert!(stage.reply_turn() > turn);
    assert_eq!(
        stage.history()[2..],
        [(Speaker::Agent, "We have ten spaces"), (Speaker::Caller, "No, wait, stop.")]
    );
    let barge = stage.notes().into_iter().find(|note| matches!(note, Note::BargeIn { .. })).unwrap();
    assert_eq!(barge, &Note::BargeIn { turn, stop: ms(60), resumed: false });
}

#[test]
fn long_voice_is_an_interruption_before_its_words_are_known() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We have ten spaces behind the house."]);
    stage.voice_start();
    stage.wait(manners().timing.interrupt_after);
    assert!(stage.did(&Action::Hush));
}

#[test]
fn a_nod_does_not_take_the_floor() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We have ten spaces behind the house."]);
    stage.voice(ms(300));
    assert!(stage.did(&Action::Pause));
    stage.hears("Mm-hmm.");
    assert!(stage.did(&Action::Resume) && !stage.did(&Action::Hush));
    stage.play_out(turn, 1);
    assert_eq!(stage.history().last(), Some(&(Speaker::Agent, "We have ten spaces behind the house.")));
}

#[test]
fn a_cough_that_never_becomes_words_lets_the_agent_go_on() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We have ten spaces behind the house."]);
    stage.voice(ms(200));
    let job = stage.last_job();
    stage.wait(ms(1100));
    assert!(stage.did(&Action::Resume));
    // The words come late after all: an interruption just the same.
    stage.tell(Input::Heard { job, text: "No, not parking.".into(), stt: ms(1300) });
    assert!(stage.did(&Action::Hush));
}

#[test]
fn noise_that_cut_an_answer_gets_the_rest_said() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We have ten spaces.", "They are free."]);
    stage.tell(Input::Played { mark: u64::from(turn) * 100 });
    stage.cut = (Some(u64::from(turn) * 100 + 1), ms(0));
    stage.voice(manners().timing.interrupt_after);
    assert!(stage.did(&Action::Hush));
    stage.hears("[noise]");
    stage.said("They are free.");
}

#[test]
fn the_start_of_the_greeting_is_protected() {
    let mut stage = Stage::new();
    stage.tell(Input::Answered);
    let turn = stage.said("Hello, how can I help you?");
    stage.speak(turn, &["Hello, how can I help you?"]);
    stage.wait(ms(300));
    stage.voice_start();
    assert!(!stage.did(&Action::Pause));
    // A voice that lasts gets the floor when the protection ends.
    stage.wait(ms(600));
    assert!(stage.did(&Action::Pause));
}

#[test]
fn what_was_said_under_the_greeting_is_answered_after_it() {
    let mut stage = Stage::new();
    stage.tell(Input::Answered);
    let turn = stage.said("Hello, how can I help you?");
    stage.speak(turn, &["Hello, how can I help you?"]);
    stage.voice(ms(300));
    stage.hears("Do you open today?");
    assert!(!stage.did(&Action::Pause));
    stage.wait(ms(350));
    stage.tell(Input::Played { mark: u64::from(turn) * 100 });
    stage.reply_turn();
}

#[test]
fn a_brain_that_fails_is_heard_as_a_sentence_and_at_last_as_goodbye() {
    let mut stage = Stage::greeted();
    let (apology, goodbye) = (manners().apology, manners().goodbye);
    for failure in 1..=PATIENCE_WITH_FAILURE {
        stage.log.clear();
        stage.voice(ms(800));
        stage.hears("Do you open today?");
        stage.wait(ms(300));
        let turn = stage.reply_turn();
        stage.tell(Input::ReplyOver { turn, failed: true });
        let sentence = if failure < PATIENCE_WITH_FAILURE { &apology } else { &goodbye };
        let turn = stage.said(sentence);
        stage.speak(turn, &[sentence]);
        stage.play_out(turn, 1);
    }
    assert!(stage.did(&Action::HangUp(EndReason::BrainFailed)));
}

#[test]
fn a_stage_that_hangs_is_given_up() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Do you open today?");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.wait(STAGE_DEADLINE + ms(100));
    assert!(stage.did(&Action::Cancel { turn }));
    stage.said(&manners().apology);
}

#[test]
fn an_ear_that_hangs_or_fails_is_heard_as_a_sentence() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    let job = stage.last_job();
    stage.tell(Input::Deaf { job });
    stage.said(&manners().apology);

    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.wait(STAGE_DEADLINE + ms(100));
    stage.said(&manners().apology);
}

#[test]
fn a_call_has_an_end() {
    let mut stage = Stage::greeted();
    // The caller answers each prompt, so that silence does not end it before.
    for _ in 0..55 {
        stage.wait(Duration::from_secs(11));
        stage.tell(Input::VoiceStart { onset: stage.now });
        let since = stage.now;
        stage.tell(Input::VoiceEnd { since });
        let job = stage.last_job();
        stage.tell(Input::Heard { job, text: String::new(), stt: ms(1) });
        if stage.log.iter().any(|a| matches!(a, Action::Say { text, .. } if *text == manners().goodbye)) {
            break;
        }
    }
    stage.said(&manners().goodbye);
    // Even where goodbye never sounds.
    stage.wait(LEAVE_DEADLINE + ms(10));
    assert!(stage.did(&Action::HangUp(EndReason::MaxDuration)));
}

#[test]
fn the_agent_hangs_up_when_it_has_said_so() {
    for by_phrase in [true, false] {
        let mut stage = Stage::greeted();
        stage.voice(ms(800));
        stage.hears("That is all, thank you.");
        stage.wait(ms(300));
        let turn = stage.reply_turn();
        if !by_phrase {
            stage.tell(Input::WantsHangUp { turn });
        }
        stage.speak(turn, &[if by_phrase { "Goodbye!" } else { "See you." }]);
        assert!(!stage.did(&Action::HangUp(EndReason::AgentHungUp)), "not before it was said");
        stage.play_out(turn, 1);
        assert!(stage.did(&Action::HangUp(EndReason::AgentHungUp)));
    }
}

#[test]
fn keys_interrupt_and_become_a_turn() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["Press one for the garage."]);
    stage.tell(Input::Digit('1'));
    assert!(stage.did(&Action::Hush));
    stage.tell(Input::Digit('#'));
    stage.wait(ms(1));
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, "(The caller pressed 1 # on the keypad.)")));
}

#[test]
fn a_voice_without_pause_is_turned_into_words_as_it_stands() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(LONGEST_UTTERANCE + ms(10));
    stage.last_job();
}

#[test]
fn a_long_story_with_pauses_is_kept_from_its_first_word() {
    let mut stage = Stage::greeted();
    stage.voice(ms(12_500));
    stage.hears("First I came to the office and");
    stage.wait(ms(500));
    stage.log.clear();
    stage.voice_start();
    assert_eq!(stage.log.first(), Some(&Action::Forget), "the sound of the first part is dropped");
    stage.wait(ms(2000));
    stage.voice_end();
    stage.hears("then I went home.");
    stage.wait(ms(400));
    stage.reply_turn();
    let story = "First I came to the office and then I went home.";
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, story)));
}

#[test]
fn results_of_earlier_turns_vanish() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    let stale = stage.last_job();
    stage.voice(ms(400));
    stage.tell(Input::Heard { job: stale, text: "Half.".into(), stt: ms(1) });
    stage.wait(ms(3000));
    assert!(!stage.log.iter().any(|a| matches!(a, Action::Release { .. })));
    stage.tell(Input::Phrase { turn: 99, mark: 9900, text: "x".into() });
    stage.tell(Input::Started { mark: 9900 });
    stage.tell(Input::ReplyOver { turn: 99, failed: true });
    assert_eq!(stage.history().len(), 1);
}

#[test]
fn who_hangs_up_while_the_agent_speaks_has_heard_only_so_much() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["We have ten spaces behind the house."]);
    stage.wait(ms(400));
    stage.cut = (Some(u64::from(turn) * 100), ms(400));
    stage.tell(Input::Gone);
    assert_eq!(stage.history().last(), Some(&(Speaker::Agent, "We have ten")));
    assert_eq!(stage.conversation.poll_timeout(), None);
}

#[test]
fn the_words_that_the_caller_left_with_are_kept() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(600));
    stage.tell(Input::Gone);
    let job = stage.conversation.last_words(stage.now).unwrap();
    stage.tell(Input::Heard { job, text: "Never mind.".into(), stt: ms(100) });
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, "Never mind.")));
}

#[test]
fn a_transfer_cuts_the_agent_and_nothing_that_is_said_meanwhile_is_for_it() {
    let mut stage = Stage::greeted();
    stage.voice(ms(900));
    stage.hears("Can I speak to somebody?");
    stage.wait(ms(500));
    let turn = stage.reply_turn();
    stage.speak(turn, &["I will", "put you through."]);
    stage.wait(ms(300));
    stage.cut = (Some(u64::from(turn) * 100), ms(300));
    stage.log.clear();
    stage.tell(Input::Away);
    assert!(stage.did(&Action::Cancel { turn }) && stage.did(&Action::Hush), "{:#?}", stage.log);
    assert!(stage.conversation.is_away() && !stage.conversation.may_step_aside());
    stage.log.clear();
    // The caller and the other one talk for minutes.
    for _ in 0..20 {
        stage.voice(ms(4000));
        stage.tell(Input::Digit('5'));
        stage.wait(ms(5000));
    }
    assert!(stage.log.is_empty(), "{:#?}", stage.log);
    // Nothing came of it: the agent says so and listens again.
    stage.tell(Input::Back { say: "Nobody is there.".into() });
    let turn = stage.said("Nobody is there.");
    stage.speak(turn, &["Nobody is there."]);
    stage.play_out(turn, 1);
    stage.voice(ms(900));
    stage.hears("Then take a message.");
    stage.wait(ms(500));
    stage.reply_turn();
    let said: Vec<_> = stage.history().into_iter().map(|(_, text)| text).collect();
    assert_eq!(said[said.len() - 2..], ["Nobody is there.", "Then take a message."]);
    assert!(!said.iter().any(|text| text.contains("put you through")), "{said:?}");
}

#[test]
fn a_call_that_is_away_ends_without_a_goodbye() {
    let mut stage = Stage::greeted();
    stage.tell(Input::Away);
    stage.wait(Duration::from_secs(700));
    assert!(stage.did(&Action::HangUp(EndReason::MaxDuration)));
    assert!(!stage.log.iter().any(|action| matches!(action, Action::Say { .. })));
    let mut stage = Stage::greeted();
    stage.tell(Input::Away);
    stage.tell(Input::Gone);
    assert_eq!(stage.conversation.poll_timeout(), None);
}

fn say(text: &str, interrupt: bool) -> Input {
    Input::Say { text: text.into(), interrupt }
}

#[test]
fn what_a_client_wants_said_waits_for_whoever_speaks() {
    let mut stage = Stage::greeted();
    stage.voice_start();
    stage.wait(ms(500));
    stage.tell(say("The line closes soon.", false));
    stage.tell(say("Thank you.", false));
    stage.voice_end();
    stage.hears("Do you open today?");
    stage.wait(ms(500));
    let turn = stage.reply_turn();
    stage.speak(turn, &["Yes."]);
    assert!(!stage.log.iter().any(|action| matches!(action, Action::Say { .. })), "{:#?}", stage.log);
    stage.play_out(turn, 1);
    let turn = stage.said("The line closes soon.");
    stage.speak(turn, &["The line closes soon."]);
    stage.play_out(turn, 1);
    let turn = stage.said("Thank you.");
    stage.speak(turn, &["Thank you."]);
    stage.play_out(turn, 1);
    let said: Vec<_> = stage.history().into_iter().map(|(_, text)| text).collect();
    assert_eq!(said[1..], ["Do you open today?", "Yes.", "The line closes soon.", "Thank you."]);
}

#[test]
fn what_is_said_at_once_cuts_the_agent_and_is_not_followed_by_the_rest() {
    let mut stage = Stage::greeted();
    stage.voice(ms(900));
    stage.hears("Tell me a story.");
    stage.wait(ms(500));
    let turn = stage.reply_turn();
    stage.speak(turn, &["Once upon a time", "there was a king."]);
    stage.wait(ms(500));
    stage.cut = (Some(u64::from(turn) * 100), ms(500));
    stage.tell(say("One moment.", true));
    assert!(stage.did(&Action::Cancel { turn }) && stage.did(&Action::Hush), "{:#?}", stage.log);
    let turn = stage.said("One moment.");
    stage.speak(turn, &["One moment."]);
    stage.play_out(turn, 1);
    let said: Vec<_> = stage.history().into_iter().map(|(_, text)| text).collect();
    assert_eq!(said[2..], ["Once", "One moment."]);
    // Noise brings nothing of the story back.
    stage.log.clear();
    stage.voice(ms(300));
    stage.hears("");
    stage.wait(ms(1000));
    assert!(!stage.log.iter().any(|action| matches!(action, Action::Say { .. })), "{:#?}", stage.log);
}

#[test]
fn nothing_is_said_where_nobody_would_hear_it() {
    let mut stage = Stage::new();
    assert_eq!(stage.conversation.may_say(), Err(Unsaid::NotUp));
    let mut greeted = Stage::greeted();
    greeted.tell(Input::Away);
    assert_eq!(greeted.conversation.may_say(), Err(Unsaid::Away));
    stage.tell(Input::Answered);
    for _ in 0..8 {
        assert_eq!(stage.conversation.may_say(), Ok(()));
        stage.tell(say("Again.", false));
    }
    assert_eq!(stage.conversation.may_say(), Err(Unsaid::TooMany));
    stage.tell(Input::Leave(EndReason::ApiHungUp));
    assert_eq!(stage.conversation.may_say(), Err(Unsaid::NotUp));
}

/// One random happening of the world.
#[derive(Clone, Debug)]
enum Happening {
    Wait(u64),
    VoiceStart,
    VoiceEnd,
    VoiceDip,
    VoiceBack,
    Judged(f32),
    Partial(&'static str),
    Heard(&'static str),
    Deaf,
    Phrase,
    Started,
    Played,
    Over(bool),
    WantsHangUp,
    Digit(char),
    Say(bool),
    Away,
    Back,
    Leave,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1u64..3000).prop_map(Happening::Wait),
        3 => Just(Happening::VoiceStart),
        3 => Just(Happening::VoiceEnd),
        3 => Just(Happening::VoiceDip),
        2 => Just(Happening::VoiceBack),
        2 => (0.0f32..=1.0).prop_map(Happening::Judged),
        1 => prop_oneof![Just("I would like to make"), Just("mm-hm")].prop_map(Happening::Partial),
        3 => prop_oneof![Just("Hello there."), Just(""), Just("mm-hm"), Just("and then"), Just("555 1234")].prop_map(Happening::Heard),
        1 => Just(Happening::Deaf),
        3 => Just(Happening::Phrase),
        3 => Just(Happening::Started),
        3 => Just(Happening::Played),
        2 => any::<bool>().prop_map(Happening::Over),
        1 => Just(Happening::WantsHangUp),
        1 => prop_oneof![Just('1'), Just('#')].prop_map(Happening::Digit),
        1 => any::<bool>().prop_map(Happening::Say),
        1 => Just(Happening::Away),
        1 => Just(Happening::Back),
        1 => Just(Happening::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Whatever happens, the machine never spins, never rests without a deadline, and ends when nobody does anything.
    #[test]
    fn it_always_listens_speaks_or_ends(happenings in prop::collection::vec(happening(), 0..60)) {
        let mut stage = Stage::new();
        stage.tell(Input::Answered);
        let mut phrases: Vec<u64> = Vec::new();
        let mut next = 0;
        for happening in happenings {
            let turn = stage.conversation.turn;
            match happening {
                Happening::Wait(n) => stage.wait(ms(n)),
                Happening::VoiceStart => stage.voice_start(),
                Happening::VoiceDip => { let since = stage.now; stage.tell(Input::VoiceDip { since }) }
                Happening::VoiceBack => { let onset = stage.now; stage.tell(Input::VoiceBack { onset }) }
                Happening::Judged(probability) => {
                    let job = stage.conversation.hearing.pending().unwrap_or(0);
                    stage.tell(Input::TurnJudged { job, probability });
                }
                Happening::Partial(text) => {
                    let utterance = stage.log.iter().filter(|action| **action == Action::Forget).count() as u64;
                    stage.tell(Input::Partial { utterance, text: text.into(), stt: Duration::ZERO });
                }
                Happening::VoiceEnd => { let since = stage.now; stage.tell(Input::VoiceEnd { since }) }
                Happening::Heard(text) => {
                    let job = stage.conversation.hearing.pending().unwrap_or(0);
                    stage.tell(Input::Heard { job, text: text.into(), stt: ms(1) });
                }
                Happening::Deaf => { let job = stage.conversation.hearing.pending().unwrap_or(0); stage.tell(Input::Deaf { job }) }
                Happening::Phrase => {
                    next += 1;
                    phrases.push(next);
                    stage.tell(Input::Phrase { turn, mark: next, text: "Some words to say.".into() });
                    stage.tell(Input::Measured { turn, mark: next, duration: ms(900) });
                }
                Happening::Started => if let Some(mark) = phrases.first() { stage.tell(Input::Started { mark: *mark }) },
                Happening::Played => if !phrases.is_empty() { let mark = phrases.remove(0); stage.tell(Input::Played { mark }) },
                Happening::Over(failed) => stage.tell(Input::ReplyOver { turn, failed }),
                Happening::WantsHangUp => stage.tell(Input::WantsHangUp { turn }),
                Happening::Digit(digit) => stage.tell(Input::Digit(digit)),
                Happening::Say(interrupt) => stage.tell(Input::Say { text: "By the way.".into(), interrupt }),
                Happening::Away => stage.tell(Input::Away),
                Happening::Back => stage.tell(Input::Back { say: "I could not reach them.".into() }),
                Happening::Leave => stage.tell(Input::Leave(EndReason::ShuttingDown)),
            }
            let over = stage.conversation.floor == Floor::Over;
            prop_assert!(over || stage.conversation.poll_timeout().is_some(), "no deadline in {:?}", stage.conversation.floor);
        }
        // Left alone it ends by itself, at the latest when the call has lasted its time.
        stage.wait(Duration::from_secs(700));
        prop_assert!(stage.conversation.floor == Floor::Over);
        let ends = stage.log.iter().filter(|action| matches!(action, Action::HangUp(_))).count();
        prop_assert_eq!(ends, 1);
        // Only what is being worked for is released, and only once; at most one answer is worked for at a time.
        let mut working = None;
        for action in &stage.log {
            match action {
                Action::Reply { turn } => {
                    prop_assert!(working.is_none_or(|(_, released)| released), "{:#?}", stage.log);
                    working = Some((*turn, false));
                }
                Action::Release { turn } => {
                    prop_assert_eq!(working, Some((*turn, false)));
                    working = Some((*turn, true));
                }
                Action::Cancel { turn } => { working.take_if(|(current, _)| current == turn); }
                _ => {}
            }
        }
    }
}
