//! Who speaks first, what must be said first, and the word before the end.

use super::*;

const GREETING: &str = "Hello, how can I help you?";
const DISCLOSURE: &str = "This call is recorded.";
const WARNING: &str = "We have one minute left.";

fn outbound() -> Manners {
    Manners { is_outbound: true, ..manners() }
}

fn recorded(first_message: &str) -> Manners {
    let config = Config::parse(&format!("[[agent]]\nname='a'\nfirst_message='{first_message}'")).unwrap();
    let manners = Manners::new(&config.agents[0], &config.turn_taking, Duration::from_secs(600));
    manners.recorded(&config.agents[0])
}

fn has_said(stage: &Stage, sentence: &str) -> bool {
    stage.log.iter().any(|action| matches!(action, Action::Say { text, .. } if text == sentence))
}

#[test]
fn who_calls_us_is_greeted_at_once() {
    let mut stage = Stage::new();
    stage.tell(Input::Answered);
    stage.said(GREETING);
}

#[test]
fn who_is_called_and_says_nothing_is_greeted_after_a_moment() {
    let mut stage = Stage::with(outbound());
    stage.tell(Input::Answered);
    stage.wait(ms(1190));
    assert!(!has_said(&stage, GREETING), "too early");
    stage.wait(ms(20));
    stage.said(GREETING);
}

#[test]
fn a_hello_is_heard_out_and_answered_by_the_greeting() {
    let mut stage = Stage::with(outbound());
    stage.tell(Input::Answered);
    stage.wait(ms(600));
    stage.voice_start();
    stage.wait(ms(1100));
    assert!(!has_said(&stage, GREETING), "the callee speaks");
    stage.voice_end();
    let turn = stage.said(GREETING);
    // Its words come while the greeting is on its way.
    stage.hears("Hello?");
    stage.speak(turn, &[GREETING]);
    stage.play_out(turn, 1);
    stage.wait(ms(3000));
    assert_eq!(stage.history(), [(Speaker::Caller, "Hello?"), (Speaker::Agent, GREETING)]);
    assert!(
        !stage.log.iter().any(|action| matches!(action, Action::Reply { .. })),
        "it needs no other answer"
    );
}

#[test]
fn who_asks_something_right_away_is_answered_after_the_greeting() {
    let mut stage = Stage::with(outbound());
    stage.tell(Input::Answered);
    stage.voice(ms(900));
    let turn = stage.said(GREETING);
    stage.hears("Hello, who is this?");
    stage.speak(turn, &[GREETING]);
    stage.play_out(turn, 1);
    stage.wait(ms(1000));
    stage.reply_turn();
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, "Hello, who is this?")));
}

#[test]
fn what_sounds_before_the_answer_is_no_hello() {
    let mut stage = Stage::with(outbound());
    stage.voice(ms(2000));
    stage.wait(ms(5000));
    assert!(stage.log.iter().all(|action| !matches!(action, Action::Say { .. })), "{:#?}", stage.log);
    stage.tell(Input::Answered);
    stage.wait(ms(1190));
    assert!(!has_said(&stage, GREETING));
    stage.wait(ms(20));
    stage.said(GREETING);
    assert!(stage.history().is_empty());
}

#[test]
fn who_talks_on_without_an_end_is_greeted_all_the_same() {
    let mut stage = Stage::with(outbound());
    stage.tell(Input::Answered);
    stage.voice_start();
    stage.wait(ms(6100));
    stage.said(GREETING);
}

#[test]
fn an_agent_that_waits_to_be_spoken_to_does_so_outbound_too() {
    let mut stage = Stage::with(Manners { first_message: String::new(), ..outbound() });
    stage.tell(Input::Answered);
    stage.voice(ms(700));
    stage.hears("Hello?");
    stage.wait(ms(1000));
    stage.reply_turn();
}

#[test]
fn a_recorded_call_says_so_first_and_no_voice_stops_that() {
    let mut stage = Stage::with(recorded(GREETING));
    stage.tell(Input::Answered);
    let turn = stage.said(DISCLOSURE);
    assert!(!has_said(&stage, GREETING));
    stage.speak(turn, &[DISCLOSURE]);
    stage.voice_start();
    stage.wait(ms(950));
    assert!(!stage.did(&Action::Pause), "it is said whole");
    stage.tell(Input::Played { mark: u64::from(turn) * 100 });
    stage.said(GREETING);
    assert_eq!(stage.history(), [(Speaker::Agent, DISCLOSURE)]);
}

#[test]
fn a_greeting_that_tells_of_the_recording_needs_no_more() {
    let greeting = "Welcome. This call may be recorded. How can I help?";
    let mut stage = Stage::with(recorded(greeting));
    stage.tell(Input::Answered);
    stage.said(greeting);
    assert!(!has_said(&stage, DISCLOSURE));
}

#[test]
fn an_agent_without_a_greeting_tells_of_the_recording_and_listens() {
    let mut stage = Stage::with(recorded(""));
    stage.tell(Input::Answered);
    let turn = stage.said(DISCLOSURE);
    stage.speak(turn, &[DISCLOSURE]);
    stage.play_out(turn, 1);
    stage.voice(ms(700));
    stage.hears("Do you open today?");
    stage.wait(ms(1000));
    stage.reply_turn();
}

#[test]
fn a_disclosure_that_cannot_be_said_holds_no_greeting_up() {
    let mut stage = Stage::with(recorded(GREETING));
    stage.tell(Input::Answered);
    let turn = stage.said(DISCLOSURE);
    stage.tell(Input::ReplyOver { turn, failed: true });
    stage.said(GREETING);
}

#[test]
fn a_disclosure_that_a_key_cuts_is_said_after_all() {
    let mut stage = Stage::with(recorded(GREETING));
    stage.tell(Input::Answered);
    let turn = stage.said(DISCLOSURE);
    stage.speak(turn, &[DISCLOSURE]);
    stage.wait(ms(300));
    stage.cut = (Some(u64::from(turn) * 100), ms(300));
    stage.tell(Input::Digit('#'));
    assert!(stage.did(&Action::Hush));
    stage.wait(ms(10));
    let answer = stage.reply_turn();
    stage.log.clear();
    stage.speak(answer, &["You pressed a key."]);
    stage.play_out(answer, 1);
    stage.said(DISCLOSURE);
}

#[test]
fn time_that_is_nearly_up_is_told_when_nobody_speaks() {
    let mut stage = Stage::greeted();
    // The caller has a question every now and then, so that silence ends nothing.
    let mut asked_at = stage.now;
    while !has_said(&stage, WARNING) {
        assert!(stage.now.duration_since(stage.start) < Duration::from_secs(560), "nothing was said");
        if stage.now >= asked_at + Duration::from_secs(10) {
            asked_at = stage.now;
            stage.voice(ms(500));
            stage.hears("");
        }
        stage.wait(ms(500));
    }
    let warned = stage.now.duration_since(stage.start);
    assert!((Duration::from_secs(538)..Duration::from_secs(545)).contains(&warned), "{warned:?}");
    let turn = stage.said(WARNING);
    stage.speak(turn, &[WARNING]);
    stage.play_out(turn, 1);
    assert_eq!(stage.history().last(), Some(&(Speaker::Agent, WARNING)));
}

#[test]
fn a_warning_that_comes_too_late_is_not_said() {
    let mut stage = Stage::greeted();
    // Somebody else has the caller until 20 s before the end.
    stage.tell(Input::Away);
    stage.wait(Duration::from_secs(579));
    stage.tell(Input::Back { say: String::new() });
    stage.wait(ms(10));
    stage.tell(Input::Digit('1'));
    stage.wait(ms(5000));
    assert!(!has_said(&stage, WARNING), "{:#?}", stage.log);
}

#[test]
fn a_short_call_is_not_warned() {
    let mut stage = Stage::with(Manners { max_duration: Duration::from_secs(90), ..manners() });
    stage.tell(Input::Answered);
    stage.wait(Duration::from_secs(89));
    assert!(!has_said(&stage, WARNING));
}

#[test]
fn an_agent_may_be_more_patient_with_silence_than_the_box() {
    let config = Config::parse("[[agent]]\nname='a'\nidle_s=30").unwrap();
    let manners = Manners::new(&config.agents[0], &config.turn_taking, Duration::from_secs(600));
    let mut stage = Stage::with(manners);
    stage.tell(Input::Answered);
    let turn = stage.said(GREETING);
    stage.speak(turn, &[GREETING]);
    stage.play_out(turn, 1);
    stage.wait(Duration::from_secs(29));
    assert!(!has_said(&stage, "Are you still there?"));
    stage.wait(Duration::from_secs(2));
    stage.said("Are you still there?");
}

#[test]
fn who_is_said_goodbye_to_before_their_hello_is_not_greeted_any_more() {
    let mut stage = Stage::with(outbound());
    stage.tell(Input::Answered);
    stage.tell(Input::Leave(EndReason::ApiHungUp));
    let goodbye = stage.said(&manners().goodbye);
    stage.voice(ms(300));
    stage.wait(ms(1500));
    assert!(!has_said(&stage, GREETING), "{:#?}", stage.log);
    stage.speak(goodbye, &[&manners().goodbye]);
    stage.play_out(goodbye, 1);
    assert!(stage.did(&Action::HangUp(EndReason::ApiHungUp)));
}

#[test]
fn noise_under_the_greeting_is_not_waited_for() {
    let mut stage = Stage::new();
    stage.tell(Input::Answered);
    let turn = stage.said(GREETING);
    stage.speak(turn, &[GREETING]);
    stage.voice(ms(100));
    stage.hears("[noise]");
    stage.play_out(turn, 1);
    stage.wait(Duration::from_secs(13));
    stage.said(manners().still_there.nth(0));
}
