//! Voices over the agent: who gives way, and that the agent never stays silent for ever.

use super::*;
use crate::domain::DisputeReason;

/// A question was asked, and the agent answers it in these phrases of a second each.
fn answering(phrases: &[&str]) -> (Stage, u32) {
    let mut stage = Stage::greeted();
    stage.voice(ms(800));
    stage.hears("Tell me about parking.");
    stage.wait(ms(1000));
    let turn = stage.reply_turn();
    stage.speak(turn, phrases);
    (stage, turn)
}

const LONG: [&str; 4] =
    ["We have ten spaces behind the house.", "They are free.", "Two are wide.", "Shall I keep one?"];

/// Lets the phrases after `from` be said.
fn say_the_rest(stage: &mut Stage, turn: u32, from: u64, phrases: u64) {
    for n in from..phrases {
        stage.wait(ms(1000));
        stage.tell(Input::Played { mark: u64::from(turn) * 100 + n });
    }
}

fn disputes(stage: &Stage) -> Vec<DisputeReason> {
    let turns = stage.notes().into_iter().filter_map(|note| match note {
        Note::Turn(turn) => Some(turn),
        _ => None,
    });
    turns.flat_map(|turn| turn.explanation.disputes.iter().map(|dispute| dispute.because)).collect()
}

#[test]
fn words_decide_a_dispute_while_the_voice_goes_on() {
    let (mut stage, turn) = answering(&LONG);
    stage.voice_start();
    assert_eq!(stage.log.last(), Some(&Action::Pause));
    stage.wait(ms(300));
    let utterance = stage.conversation.hearing.utterance();
    stage.tell(Input::Partial { utterance, text: "Mm-hm".into(), stt: Duration::ZERO });
    assert!(!stage.did(&Action::Hush), "a nod so far");
    stage.tell(Input::Partial { utterance, text: "Mm-hm, but wait".into(), stt: Duration::ZERO });
    assert!(stage.did(&Action::Hush) && stage.did(&Action::Cancel { turn }));
    assert_eq!(disputes(&stage), [DisputeReason::Words]);
}

#[test]
fn a_nod_in_the_middle_is_forgotten_and_at_the_end_of_a_question_it_is_the_answer() {
    let (mut stage, turn) = answering(&LONG);
    stage.voice(ms(300));
    stage.hears("Yes.");
    assert!(stage.did(&Action::Resume) && !stage.did(&Action::Hush));
    say_the_rest(&mut stage, turn, 0, 4);
    stage.wait(ms(1000));
    assert_eq!(stage.reply_turn(), turn, "nobody answers a nod");
    assert_eq!(disputes(&stage), [DisputeReason::BackChannel]);

    let (mut stage, turn) = answering(&LONG);
    say_the_rest(&mut stage, turn, 0, 3);
    stage.wait(ms(400));
    stage.voice(ms(300));
    stage.hears("Yes.");
    assert!(stage.did(&Action::Resume) && !stage.did(&Action::Hush));
    stage.wait(ms(600));
    stage.tell(Input::Played { mark: u64::from(turn) * 100 + 3 });
    stage.wait(ms(1500));
    assert!(stage.reply_turn() > turn, "{:#?}", stage.log);
    assert_eq!(stage.history().last(), Some(&(Speaker::Caller, "Yes.")));
}

#[test]
fn who_has_said_nothing_yet_is_given_a_moment_before_the_agent_goes_on() {
    for early in ["", "Mm-hm."] {
        let (mut stage, _) = answering(&LONG);
        stage.voice(ms(180));
        let job = stage.last_job();
        stage.tell(Input::Heard { job, text: early.into(), stt: ms(40) });
        stage.wait(ms(50));
        assert!(!stage.did(&Action::Resume), "250 ms of silence");
        stage.voice_start();
        assert!(!stage.did(&Action::Resume), "the pause lasts: they were in the middle of it");
        stage.voice_end();
        stage.hears("One question.");
        assert!(stage.did(&Action::Hush) && !stage.did(&Action::Resume));
        assert_eq!(disputes(&stage), [DisputeReason::Words]);

        let (mut stage, _) = answering(&LONG);
        stage.voice(ms(180));
        let job = stage.last_job();
        stage.tell(Input::Heard { job, text: early.into(), stt: ms(40) });
        stage.wait(ms(80));
        assert!(stage.did(&Action::Resume) && !stage.did(&Action::Hush));
    }
}

#[test]
fn our_own_words_come_back_and_are_no_interruption() {
    let (mut stage, turn) = answering(&LONG);
    stage.wait(ms(500));
    stage.voice(ms(300));
    stage.hears("ten spaces behind the house");
    assert!(stage.did(&Action::Resume) && !stage.did(&Action::Hush));
    say_the_rest(&mut stage, turn, 0, 4);
    assert_eq!(disputes(&stage), [DisputeReason::Echo]);
}

#[test]
fn a_noise_without_words_is_explained_as_such() {
    let (mut stage, turn) = answering(&LONG);
    stage.voice(ms(300));
    stage.hears("(coughs)");
    assert!(stage.did(&Action::Resume) && !stage.did(&Action::Hush));
    say_the_rest(&mut stage, turn, 0, 4);
    assert_eq!(disputes(&stage), [DisputeReason::NoWords]);
}

#[test]
fn a_voice_that_comes_with_the_last_sample_leaves_no_line_paused() {
    let (mut stage, turn) = answering(&["We have ten spaces."]);
    stage.wait(ms(1000));
    // In one tick: the voice, and the end of what is said. The pause finds nothing to pause.
    stage.voice_start();
    assert_eq!(stage.log.last(), Some(&Action::Pause));
    stage.tell(Input::Played { mark: u64::from(turn) * 100 });
    assert!(stage.did(&Action::Resume), "{:#?}", stage.log);
    stage.wait(ms(500));
    stage.voice_end();
    stage.hears("And how much are they?");
    stage.wait(ms(1000));
    assert!(stage.reply_turn() > turn);
}

#[test]
fn keys_interrupt_the_protected_greeting_and_what_has_not_sounded_yet() {
    let mut stage = Stage::new();
    stage.tell(Input::Answered);
    let turn = stage.said("Hello, how can I help you?");
    stage.speak(turn, &["Hello, how can I help you?"]);
    stage.wait(ms(100));
    stage.tell(Input::Digit('1'));
    assert!(stage.did(&Action::Hush) && stage.did(&Action::Cancel { turn }));

    let mut stage = Stage::new();
    stage.tell(Input::Answered);
    let turn = stage.said("Hello, how can I help you?");
    stage.tell(Input::Digit('1'));
    assert!(stage.did(&Action::Cancel { turn }));
    stage.tell(Input::Digit('#'));
    stage.wait(ms(10));
    assert_eq!(stage.history(), [(Speaker::Caller, "(The caller pressed 1 # on the keypad.)")]);
    stage.reply_turn();
}

#[test]
fn a_pause_delays_the_watchdog_but_does_not_silence_it() {
    let (mut stage, turn) = answering(&LONG);
    for _ in 0..3 {
        stage.voice(ms(200));
        stage.hears("");
        stage.wait(ms(100));
    }
    assert!(!stage.did(&Action::Hush));
    // The line never plays the rest.
    stage.wait(STAGE_DEADLINE + Duration::from_secs(6));
    assert!(stage.did(&Action::Cancel { turn }));
    stage.said(&manners().apology);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// However a voice comes and goes over the agent, and whatever the ear makes of it: no dispute lasts, and for each pause the line is
    /// told to go on or to drop the rest.
    #[test]
    fn no_dispute_leaves_the_agent_silent(
        voices in prop::collection::vec((1u64..1500, 1u64..1500, 0usize..6), 1..8),
        tail in any::<bool>(),
    ) {
        let (mut stage, turn) = answering(&LONG);
        for (voice, quiet, words) in voices {
            stage.voice_start();
            stage.wait(ms(voice));
            if words == 5 {
                let utterance = stage.conversation.hearing.utterance();
                stage.tell(Input::Partial { utterance, text: "and then".into(), stt: Duration::ZERO });
            }
            stage.voice_end();
            let job = stage.conversation.hearing.pending().unwrap_or(0);
            match words {
                0 => stage.tell(Input::Heard { job, text: String::new(), stt: ms(1) }),
                1 => stage.tell(Input::Heard { job, text: "Yeah.".into(), stt: ms(1) }),
                2 => stage.tell(Input::Heard { job, text: "No, wait.".into(), stt: ms(1) }),
                3 => stage.tell(Input::Deaf { job }),
                _ => {}
            }
            stage.wait(ms(quiet));
        }
        if tail {
            stage.tell(Input::Played { mark: u64::from(turn) * 100 + 3 });
        }
        let timing = manners().timing;
        stage.wait(timing.interrupt_after + timing.resume_after + ms(10));
        let disputed = matches!(stage.conversation.floor, Floor::Paused { .. });
        prop_assert!(!disputed, "{:#?}", stage.log);
        let paused = stage.log.iter().rposition(|action| *action == Action::Pause);
        let freed = stage.log.iter().rposition(|action| matches!(action, Action::Resume | Action::Hush));
        prop_assert!(freed >= paused, "{:#?}", stage.log);
    }
}

fn barge_ins(stage: &Stage) -> Vec<Duration> {
    let stops = stage.notes().into_iter().filter_map(|note| match note {
        Note::BargeIn { stop, resumed: false, .. } => Some(*stop),
        _ => None,
    });
    stops.collect()
}

#[test]
fn nobody_has_interrupted_what_ends_by_itself_and_a_key_does_so_at_once() {
    let (mut stage, _) = answering(&["We are open from nine to five."]);
    stage.tell(Input::Leave(EndReason::ApiHungUp));
    assert!(stage.did(&Action::Hush));
    assert_eq!(barge_ins(&stage), []);
    let (mut stuck, _) = answering(&["We are open from nine to five."]);
    stuck.wait(Duration::from_secs(20));
    assert!(stuck.did(&Action::Hush));
    assert_eq!(barge_ins(&stuck), []);
    let (mut pressed, _) = answering(&["We are open from nine to five."]);
    pressed.tell(Input::Digit('1'));
    assert_eq!(barge_ins(&pressed), [ms(0)]);
}
