//! What the record says of why a turn went as it did.

use super::*;
use crate::domain::{EndOfTurnReason, Explanation};

fn turns(stage: &Stage) -> Vec<&Turn> {
    stage
        .notes()
        .into_iter()
        .filter_map(|note| if let Note::Turn(turn) = note { Some(&**turn) } else { None })
        .collect()
}

fn stages(explanation: &Explanation) -> Vec<(StageKind, u64, Option<u64>, bool, StageOutcome)> {
    let told = |s: &crate::domain::StageSpan| (s.stage, s.began_ms, s.ended_ms, s.speculative, s.outcome);
    explanation.stages.iter().map(told).collect()
}

/// A question, two seconds after the answer of the call; the turn that answers it has not sounded yet.
fn asked() -> (Stage, u32) {
    let mut stage = Stage::greeted();
    stage.wait(ms(1000));
    stage.voice(ms(1500));
    stage.hears("Tell me about parking.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    (stage, turn)
}

#[test]
fn an_answered_question_is_explained_from_voice_to_voice() {
    let (mut stage, turn) = asked();
    stage.tell(Input::FirstToken { turn, after: ms(90) });
    stage.wait(ms(80));
    stage.tell(Input::FirstAudio { turn, after: ms(60) });
    stage.speak(turn, &["We have ten spaces."]);
    stage.play_out(turn, 1);
    let turns = turns(&stage);
    let found = &turns[0].explanation;
    // The greeting took a second. The ear tells of a voice after 60 ms, of a pause after 200.
    assert_eq!((found.speech_began_ms, found.speech_ended_ms), (Some(1940), Some(3500)));
    let end = found.end_of_turn.as_ref().unwrap();
    assert_eq!((end.because, end.waited_ms, end.at_ms), (EndOfTurnReason::Complete, 400, 3900));
    assert_eq!(
        stages(found),
        [
            (StageKind::Transcription, 3700, Some(3850), true, StageOutcome::Used),
            (StageKind::FirstToken, 3850, Some(4150), true, StageOutcome::Used),
            (StageKind::FirstSound, 4170, Some(4230), false, StageOutcome::Used),
        ]
    );
    assert_eq!((found.sound_began_ms, found.sound_ended_ms), (Some(4230), Some(5230)));
    assert!(found.disputes.is_empty());
}

#[test]
fn a_greeting_has_sound_and_nothing_that_it_answers() {
    let mut stage = Stage::new();
    stage.tell(Input::Answered);
    let turn = stage.said("Hello, how can I help you?");
    stage.wait(ms(20));
    stage.tell(Input::FirstAudio { turn, after: ms(20) });
    stage.speak(turn, &["Hello, how can I help you?"]);
    stage.play_out(turn, 1);
    let found = &turns(&stage)[0].explanation;
    assert_eq!((found.end_of_turn.as_ref(), found.speech_began_ms), (None, None));
    assert_eq!((found.sound_began_ms, found.sound_ended_ms), (Some(20), Some(1020)));
}

#[test]
fn who_goes_on_leaves_work_that_was_thrown_away() {
    let (mut stage, _) = asked();
    stage.wait(ms(50));
    stage.voice(ms(800));
    stage.hears("And about the garden.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.tell(Input::FirstToken { turn, after: ms(50) });
    stage.speak(turn, &["It is behind the house."]);
    stage.play_out(turn, 1);
    let turns = turns(&stage);
    assert_eq!(turns.len(), 1);
    let found = &turns[0].explanation;
    assert_eq!(found.speech_began_ms, Some(1940));
    let outcomes: Vec<_> = stages(found).into_iter().map(|(kind, .., outcome)| (kind, outcome)).collect();
    assert_eq!(
        outcomes,
        [
            (StageKind::Transcription, StageOutcome::Used),
            (StageKind::FirstToken, StageOutcome::ThrownAway),
            (StageKind::Transcription, StageOutcome::Used),
            (StageKind::FirstToken, StageOutcome::Used),
        ]
    );
    assert!(found.stages[1].speculative, "the caller had not finished");
}

#[test]
fn every_quarrel_is_told_with_its_reason() {
    let (mut stage, turn) = asked();
    stage.speak(turn, &["We have ten spaces behind the house."]);
    stage.voice(ms(200));
    stage.hears("Mm-hm.");
    stage.voice(ms(200));
    stage.wait(ms(1200));
    stage.voice_start();
    let paused = stage.now;
    let long = manners().timing.interrupt_after;
    stage.wait(long + ms(100));
    stage.voice_end();
    stage.hears("");
    let found = &turns(&stage)[0].explanation;
    let because: Vec<_> = found.disputes.iter().map(|d| (d.verdict, d.because)).collect();
    assert_eq!(
        because,
        [
            (Verdict::Resumed, DisputeReason::BackChannel),
            (Verdict::Resumed, DisputeReason::NoWords),
            (Verdict::Interrupted, DisputeReason::Duration),
        ]
    );
    let last = &found.disputes[2];
    assert_eq!((last.paused_ms - last.onset_ms, last.decided_ms - last.paused_ms), (60, millis(long)));
    assert_eq!(last.paused_ms, millis(paused.duration_since(stage.start)));
    assert_eq!(found.sound_ended_ms, Some(last.paused_ms), "the caller's ear got no more");
}

#[test]
fn a_key_needs_no_pause_to_interrupt() {
    let (mut stage, turn) = asked();
    stage.speak(turn, &["Press one for the garage."]);
    stage.wait(ms(500));
    stage.tell(Input::Digit('1'));
    stage.wait(ms(3000));
    let turn = stage.reply_turn();
    stage.speak(turn, &["The garage."]);
    stage.play_out(turn, 1);
    let turns = turns(&stage);
    let dispute = &turns[0].explanation.disputes[0];
    assert_eq!((dispute.because, dispute.onset_ms), (DisputeReason::Digit, dispute.decided_ms));
    let end = turns[1].explanation.end_of_turn.as_ref().unwrap();
    assert_eq!(end.because, EndOfTurnReason::Digits);
}

#[test]
fn a_brain_that_fails_is_in_the_record() {
    let (mut stage, turn) = asked();
    stage.wait(ms(200));
    stage.tell(Input::ReplyOver { turn, failed: true });
    let turns = turns(&stage);
    assert_eq!((turns[0].turn, turns[0].said.reveal().as_str()), (turn, ""));
    let last = turns[0].explanation.stages.last().unwrap();
    assert_eq!((last.stage, last.outcome), (StageKind::FirstToken, StageOutcome::Failed));
}

#[test]
fn a_transcription_of_half_an_utterance_does_not_count() {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.voice(ms(800));
    stage.hears("Do you open on Saturday?");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.speak(turn, &["Yes."]);
    stage.play_out(turn, 1);
    let turns = turns(&stage);
    let outcomes: Vec<_> = stages(&turns[0].explanation).into_iter().map(|(.., outcome)| outcome).collect();
    assert_eq!(outcomes[..2], [StageOutcome::ThrownAway, StageOutcome::Used]);
}

#[test]
fn an_explanation_has_an_end() {
    let mut stage = Stage::greeted();
    for _ in 0..200 {
        stage.voice(ms(100));
    }
    stage.hears("At last.");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    stage.tell(Input::FirstToken { turn, after: ms(50) });
    stage.speak(turn, &["Yes."]);
    for _ in 0..100 {
        stage.voice(ms(100));
        stage.hears("Mm-hm.");
    }
    stage.play_out(turn, 1);
    let turns = turns(&stage);
    let found = &turns[0].explanation;
    assert!(found.stages.len() <= 40 && found.disputes.len() <= 20, "{found:#?}");
    let used = found.stages.iter().filter(|stage| stage.outcome == StageOutcome::Used).count();
    assert_eq!(used, 2, "what counted is kept");
}
