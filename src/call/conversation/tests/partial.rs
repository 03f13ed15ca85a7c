//! Words of a voice that goes on.

use super::*;

fn partial(utterance: u64, text: &str) -> Input {
    Input::Partial { utterance, text: text.into(), stt: Duration::ZERO }
}

fn heard(stage: &Stage) -> Vec<(String, bool)> {
    let notes = stage.log.iter().filter_map(|action| match action {
        Action::Note(Note::Heard { text, is_final }) => Some((text.clone(), *is_final)),
        _ => None,
    });
    notes.collect()
}

#[test]
fn are_told_and_decide_nothing() {
    let mut stage = Stage::greeted();
    let onset = stage.now;
    stage.tell(Input::VoiceStart { onset });
    stage.wait(ms(900));
    stage.tell(partial(0, "Do you"));
    stage.tell(partial(0, "Do you"));
    stage.tell(partial(0, "Do you open today"));
    assert_eq!(heard(&stage), [("Do you".into(), false), ("Do you open today".into(), false)]);
    assert!(!stage.log.iter().any(|action| matches!(action, Action::Reply { .. })));
    stage.wait(Duration::from_secs(5));
    assert!(!stage.log.iter().any(|action| matches!(action, Action::Reply { .. })), "the voice goes on");
}

#[test]
fn of_an_utterance_that_was_used_up_vanish() {
    let mut stage = Stage::greeted();
    let onset = stage.now;
    stage.tell(Input::VoiceStart { onset });
    stage.conversation.forget();
    stage.tell(partial(0, "Do you open"));
    assert_eq!(heard(&stage), []);
    stage.tell(partial(1, "Do you open"));
    assert_eq!(heard(&stage).len(), 1);
}
