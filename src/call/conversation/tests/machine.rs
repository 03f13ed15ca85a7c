//! Who has answered: a person, an answering machine, a menu.

use super::*;

const GREETING: &str = "Hello, how can I help you?";
const MESSAGE: &str = "This is Ann. Please call me back.";

fn calling(then: AtVoicemail) -> Stage {
    let voicemail = Voicemail { then, message: MESSAGE.into() };
    let mut stage = Stage::with(Manners { is_outbound: true, voicemail, ..manners() });
    stage.tell(Input::Answered);
    stage.wait(ms(400));
    stage
}

fn clues(stage: &Stage) -> Vec<(MachineClue, bool)> {
    let told = stage.notes().into_iter().filter_map(|note| match note {
        Note::Voicemail { clue, left, .. } => Some((*clue, *left)),
        _ => None,
    });
    told.collect()
}

fn answered_by(stage: &Stage) -> Vec<AnsweredBy> {
    let told = stage.notes().into_iter().filter_map(|note| match note {
        Note::AnsweredBy(by) => Some(*by),
        _ => None,
    });
    told.collect()
}

fn has_said(stage: &Stage, sentence: &str) -> bool {
    stage.log.iter().any(|action| matches!(action, Action::Say { text, .. } if text == sentence))
}

/// The machine talks, and is known by its words.
fn announced(then: AtVoicemail) -> Stage {
    let mut stage = calling(then);
    stage.voice(ms(3000));
    stage.hears("You have reached Bob. Please leave a message after the tone.");
    stage
}

#[test]
fn a_machine_is_given_the_message_after_its_beep_and_hung_up_on() {
    let mut stage = announced(AtVoicemail::LeaveMessage);
    assert_eq!(
        (answered_by(&stage), clues(&stage)),
        (vec![AnsweredBy::Machine], vec![(MachineClue::Words, false)])
    );
    // The greeting was on its way; nothing of it is left.
    assert!(stage.did(&Action::Hush));
    stage.voice(ms(1000));
    assert!(!has_said(&stage, MESSAGE), "it still talks");
    stage.wait(ms(500));
    stage.tell(Input::Beep);
    let turn = stage.said(MESSAGE);
    stage.speak(turn, &[MESSAGE]);
    // Whatever sounds there is no interruption.
    stage.voice_start();
    stage.wait(ms(900));
    assert!(!stage.did(&Action::Pause));
    stage.tell(Input::Played { mark: u64::from(turn) * 100 });
    assert!(stage.did(&Action::HangUp(EndReason::AgentHungUp)));
    assert_eq!(clues(&stage).last(), Some(&(MachineClue::Beep, true)));
    assert_eq!(stage.history(), [(Speaker::Agent, MESSAGE)]);
}

#[test]
fn a_machine_without_a_beep_is_given_the_message_in_its_silence() {
    let mut stage = announced(AtVoicemail::LeaveMessage);
    stage.wait(ms(3000));
    assert!(!has_said(&stage, MESSAGE));
    stage.wait(ms(1500));
    let turn = stage.said(MESSAGE);
    stage.speak(turn, &[MESSAGE]);
    // The beep comes after all: what was said before it is lost, so it is said again; once.
    stage.wait(ms(300));
    stage.log.clear();
    stage.tell(Input::Beep);
    let turn = stage.said(MESSAGE);
    stage.speak(turn, &[MESSAGE]);
    stage.log.clear();
    stage.tell(Input::Beep);
    assert!(!has_said(&stage, MESSAGE));
    stage.play_out(turn, 1);
    assert!(stage.did(&Action::HangUp(EndReason::AgentHungUp)));
}

#[test]
fn a_machine_that_never_stops_is_given_the_message_all_the_same() {
    let mut stage = announced(AtVoicemail::LeaveMessage);
    stage.voice_start();
    stage.wait(Duration::from_secs(46));
    stage.said(MESSAGE);
}

#[test]
fn a_message_that_cannot_be_said_ends_the_call_and_is_not_told_as_left() {
    let mut stage = announced(AtVoicemail::LeaveMessage);
    stage.tell(Input::Beep);
    let turn = stage.said(MESSAGE);
    stage.tell(Input::ReplyOver { turn, failed: true });
    assert!(stage.did(&Action::HangUp(EndReason::AgentHungUp)));
    assert_eq!(clues(&stage), [(MachineClue::Words, false)]);
}

#[test]
fn a_machine_may_be_hung_up_on_at_once() {
    let stage = announced(AtVoicemail::HangUp);
    assert!(stage.did(&Action::HangUp(EndReason::AgentHungUp)));
    assert!(!has_said(&stage, MESSAGE) && !has_said(&stage, &manners().goodbye));
}

#[test]
fn a_machine_may_be_told_and_talked_to() {
    let mut stage = announced(AtVoicemail::Ignore);
    assert_eq!(answered_by(&stage), [AnsweredBy::Machine]);
    let turn = stage.said(GREETING);
    stage.speak(turn, &[GREETING]);
    stage.play_out(turn, 1);
    stage.wait(ms(2000));
    stage.reply_turn();
}

#[test]
fn a_talk_without_a_pause_for_an_answer_is_a_machines() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.voice(ms(2500));
    // It takes a breath, no more.
    stage.wait(ms(500));
    stage.voice_start();
    stage.wait(ms(2600));
    assert!(clues(&stage).is_empty());
    stage.wait(ms(400));
    assert_eq!(clues(&stage), [(MachineClue::Cadence, false)]);
}

#[test]
fn a_person_who_waits_for_an_answer_and_then_talks_long_is_none() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.voice(ms(700));
    stage.hears("Smith?");
    let turn = stage.said(GREETING);
    stage.speak(turn, &[GREETING]);
    stage.play_out(turn, 1);
    stage.voice_start();
    stage.wait(ms(9000));
    stage.voice_end();
    stage.hears("Oh, good that you call, I wanted to talk to you about the delivery, for it never came.");
    stage.wait(ms(2000));
    stage.reply_turn();
    assert!(clues(&stage).is_empty());
    stage.tell(Input::Gone);
    assert_eq!(answered_by(&stage), [AnsweredBy::Human]);
}

#[test]
fn words_of_an_unfinished_announcement_are_enough() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.voice_start();
    stage.wait(ms(2500));
    stage.tell(Input::Partial {
        utterance: 1,
        text: "Nobody is available to take".into(),
        stt: Duration::ZERO,
    });
    assert_eq!(clues(&stage), [(MachineClue::Words, false)]);
}

#[test]
fn a_beep_after_a_short_announcement_is_enough() {
    let mut stage = calling(AtVoicemail::LeaveMessage);
    stage.voice(ms(1800));
    stage.wait(ms(600));
    stage.tell(Input::Beep);
    assert_eq!(clues(&stage), [(MachineClue::Beep, false)]);
    stage.said(MESSAGE);
}

#[test]
fn a_beep_in_a_talk_of_people_is_none() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.voice(ms(700));
    stage.hears("Hello?");
    stage.tell(Input::Beep);
    assert!(clues(&stage).is_empty(), "a hello is no announcement");
    let mut stage = Stage::greeted();
    stage.tell(Input::Beep);
    assert!(clues(&stage).is_empty(), "who calls us is no machine of this kind");
}

#[test]
fn a_key_in_the_middle_of_it_means_that_somebody_has_picked_up() {
    let mut stage = announced(AtVoicemail::LeaveMessage);
    stage.tell(Input::Digit('1'));
    stage.wait(ms(2500));
    stage.reply_turn();
    assert_eq!(answered_by(&stage), [AnsweredBy::Machine, AnsweredBy::Human]);
    stage.tell(Input::Beep);
    assert!(!has_said(&stage, MESSAGE));
}

#[test]
fn a_menu_is_listened_to_and_not_taken_for_a_voicemail() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.voice_start();
    stage.wait(ms(3000));
    stage.tell(Input::Partial {
        utterance: 1,
        text: "Welcome. For sales, press one.".into(),
        stt: Duration::ZERO,
    });
    stage.wait(ms(6000));
    assert!(clues(&stage).is_empty(), "menus are long");
    stage.voice_end();
    stage.hears("Welcome. For sales, press one. For anything else, press two.");
    // The greeting began when the talk would not end; a menu does not hear it, and may go on.
    let turn = stage.said(GREETING);
    stage.speak(turn, &[GREETING]);
    stage.play_out(turn, 1);
    stage.wait(ms(2000));
    stage.reply_turn();
}

#[test]
fn a_menu_is_not_answered_in_its_pauses() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.wait(ms(900));
    let turn = stage.said(GREETING);
    stage.speak(turn, &[GREETING]);
    stage.play_out(turn, 1);
    stage.voice(ms(1500));
    stage.hears("For sales, press one.");
    stage.wait(ms(900));
    assert!(!stage.log.iter().any(|action| matches!(action, Action::Release { .. })), "it goes on");
    stage.wait(ms(500));
    stage.reply_turn();
}

#[test]
fn who_is_put_through_is_no_machine_however_long_they_talk() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.voice_start();
    stage.wait(ms(2000));
    stage.tell(Input::Away);
    stage.wait(ms(10_000));
    assert!(clues(&stage).is_empty());
    assert!(!stage.log.iter().any(|action| matches!(action, Action::HangUp(_))), "{:#?}", stage.log);
}

#[test]
fn silence_tells_nothing() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.wait(ms(3000));
    stage.tell(Input::Gone);
    assert_eq!(answered_by(&stage), [AnsweredBy::Unknown]);
}

proptest! {
    /// Whatever a machine does, the call ends by itself, and the message is told as left at most once.
    #[test]
    fn every_machine_is_left_in_the_end(
        then in prop_oneof![Just(AtVoicemail::Ignore), Just(AtVoicemail::HangUp), Just(AtVoicemail::LeaveMessage)],
        steps in prop::collection::vec((0u8..9, 1u64..4000), 0..40),
    ) {
        let mut stage = calling(then);
        for (step, time) in steps {
            let turn = stage.conversation.turn;
            match step {
                0 => stage.voice_start(),
                1 => { let since = stage.now; stage.tell(Input::VoiceEnd { since }) }
                2 => {
                    let job = stage.conversation.hearing.pending().unwrap_or(0);
                    stage.tell(Input::Heard { job, text: "Leave a message after the beep.".into(), stt: ms(1) });
                }
                3 => stage.tell(Input::Beep),
                4 => stage.speak(turn, &["Some words."]),
                5 => stage.tell(Input::Played { mark: u64::from(turn) * 100 }),
                6 => stage.tell(Input::ReplyOver { turn, failed: true }),
                7 => stage.tell(Input::Digit('1')),
                _ => stage.wait(ms(time)),
            }
            let over = stage.conversation.floor == Floor::Over;
            prop_assert!(over || stage.conversation.poll_timeout().is_some());
        }
        stage.wait(Duration::from_secs(700));
        prop_assert!(stage.conversation.floor == Floor::Over);
        let ends = stage.log.iter().filter(|action| matches!(action, Action::HangUp(_))).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(clues(&stage).iter().filter(|(_, left)| *left).count() <= 1);
    }
}

#[test]
fn words_of_something_earlier_make_nobody_a_machine() {
    let mut stage = calling(AtVoicemail::HangUp);
    stage.voice(ms(3000));
    let job = stage.last_job();
    stage.hears("Hello, this is Bob.");
    stage.tell(Input::Heard { job, text: "Please leave a message after the tone.".into(), stt: ms(900) });
    stage.tell(Input::Partial {
        utterance: 77,
        text: "Please leave a message after the tone.".into(),
        stt: Duration::ZERO,
    });
    assert_eq!(clues(&stage), []);
}
