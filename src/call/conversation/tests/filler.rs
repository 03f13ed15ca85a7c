//! A short sentence where the brain takes long.

use super::*;

/// A question was asked; the brain has been at it since the caller fell silent.
fn asked() -> (Stage, u32, Instant) {
    let mut stage = Stage::greeted();
    stage.voice(ms(1500));
    let quiet = stage.now - ms(200);
    stage.hears("What time do you open?");
    stage.wait(ms(300));
    let turn = stage.reply_turn();
    (stage, turn, quiet)
}

fn fills(stage: &Stage) -> Vec<(u32, &str)> {
    let fill = |action| match action {
        &Action::Fill { turn, ref text } => Some((turn, text.as_str())),
        _ => None,
    };
    stage.log.iter().filter_map(fill).collect()
}

/// The filler that was asked for sounds, for half a second at most.
fn sounds(stage: &mut Stage, turn: u32, text: &str) -> u64 {
    let mark = u64::from(turn) * 100 + 99;
    stage.tell(Input::Filler { turn, mark, text: text.into() });
    stage.tell(Input::Measured { turn, mark, duration: ms(500) });
    stage.tell(Input::Started { mark });
    mark
}

#[test]
fn it_is_said_once_and_the_answer_follows() {
    let (mut stage, turn, quiet) = asked();
    stage.wait((quiet + ms(2499)) - stage.now);
    assert_eq!(fills(&stage), []);
    stage.wait(ms(1));
    assert_eq!(fills(&stage), [(turn, "One moment.")]);
    let mark = sounds(&mut stage, turn, "One moment.");
    stage.wait(ms(500));
    stage.tell(Input::Played { mark });
    stage.wait(ms(5000));
    assert_eq!(fills(&stage).len(), 1);
    stage.speak(turn, &["We open at nine."]);
    let answered = stage.now;
    stage.play_out(turn, 1);
    let notes = stage.notes();
    let turns: Vec<_> =
        notes.iter().filter_map(|n| if let Note::Turn(t) = n { Some(t) } else { None }).collect();
    assert_eq!(turns[0].said.reveal(), "One moment. We open at nine.");
    let waited = u64::try_from((answered - quiet).as_millis()).unwrap();
    assert_eq!(turns[0].voice_to_voice_ms, Some(waited), "a filler is no answer");
    assert!(turns[0].explanation.stages.iter().any(|stage| stage.stage == crate::domain::StageKind::Filler));
    // The brain does not read that it has played for time.
    assert_eq!(stage.history().last(), Some(&(Speaker::Agent, "We open at nine.")));
}

#[test]
fn each_turn_has_another_one() {
    let (mut stage, turn, _) = asked();
    stage.wait(ms(3000));
    stage.speak(turn, &["We open at nine."]);
    stage.play_out(turn, 1);
    stage.voice(ms(1500));
    stage.hears("And on Sunday?");
    stage.wait(ms(4000));
    let second = stage.reply_turn();
    assert_eq!(fills(&stage), [(turn, "One moment."), (second, "Let me see.")]);
}

#[test]
fn an_answer_in_time_needs_none() {
    let (mut stage, turn, _) = asked();
    stage.wait(ms(1000));
    stage.speak(turn, &["We open at nine.", "On Sundays at ten."]);
    stage.play_out(turn, 2);
    stage.wait(ms(5000));
    assert_eq!(fills(&stage), []);
}

#[test]
fn it_is_said_while_a_tool_works_in_the_middle_of_an_answer() {
    let (mut stage, turn, _) = asked();
    let mark = u64::from(turn) * 100;
    stage.tell(Input::Phrase { turn, mark, text: "I will look it up.".into() });
    stage.tell(Input::Measured { turn, mark, duration: ms(1000) });
    stage.tell(Input::Started { mark });
    stage.wait(ms(1000));
    stage.tell(Input::Played { mark });
    stage.wait(ms(2499));
    assert_eq!(fills(&stage), []);
    stage.wait(ms(1));
    assert_eq!(fills(&stage), [(turn, "One moment.")]);
}

#[test]
fn the_caller_may_speak_over_it() {
    let (mut stage, turn, _) = asked();
    stage.wait(ms(3000));
    let mark = sounds(&mut stage, turn, "One moment.");
    stage.wait(ms(200));
    stage.cut = (Some(mark), ms(300));
    stage.voice(ms(1500));
    stage.hears("I mean on Sunday.");
    stage.wait(ms(2000));
    assert!(stage.did(&Action::Cancel { turn }) && stage.did(&Action::Hush));
    assert!(stage.reply_turn() > turn);
    assert_eq!(
        stage.history()[1..],
        [(Speaker::Caller, "What time do you open?"), (Speaker::Caller, "I mean on Sunday.")]
    );
    let said = stage.notes().into_iter().find_map(|note| match note {
        Note::Said { text, interrupted: true, .. } => Some(text.clone()),
        _ => None,
    });
    assert_eq!(said.as_deref(), Some("One"), "what of it was heard stands in the transcript");
}

#[test]
fn a_brain_that_fails_after_it_is_apologized_for() {
    let (mut stage, turn, _) = asked();
    stage.wait(ms(3000));
    let mark = sounds(&mut stage, turn, "One moment.");
    stage.tell(Input::ReplyOver { turn, failed: true });
    stage.wait(ms(500));
    stage.tell(Input::Played { mark });
    stage.said("I am sorry, I had a problem there. Could you say that again?");
}

#[test]
fn nobody_wants_one() {
    let mut config = manners();
    config.filler.after_ms = 0;
    let (mut stage, _, _) = asked();
    stage.conversation.manners = config;
    stage.wait(ms(8000));
    assert_eq!(fills(&stage), []);
}
