//! What the agent does besides talking, on a virtual clock.

use super::*;

/// The caller has asked for something, and the brain is thinking.
fn asked() -> (Stage, u32) {
    let mut stage = Stage::greeted();
    stage.voice(ms(1500));
    stage.hears("Can you put me through to sales, please?");
    stage.wait(ms(400));
    let turn = stage.reply_turn();
    (stage, turn)
}

fn deed(name: &str, result: &str) -> Deed {
    Deed { id: "call_1".into(), name: name.into(), arguments: "{}".into(), result: result.into() }
}

fn begins(stage: &mut Stage, turn: u32, name: &str, within: Duration) {
    stage.tell(Input::ToolBegan { turn, name: name.into(), within });
}

fn is_over(stage: &mut Stage, turn: u32, name: &str, ok: bool) {
    stage.tell(Input::ToolOver { turn, deed: deed(name, "It is done."), ok, took: ms(70) });
}

fn apologies(stage: &Stage) -> usize {
    stage
        .log
        .iter()
        .filter(|a| matches!(a, Action::Say { text, .. } if text.starts_with("I am sorry, I had")))
        .count()
}

fn is_handed_on(stage: &Stage) -> bool {
    stage.log.iter().any(|action| matches!(action, Action::Transfer { .. }))
}

#[test]
fn what_was_done_is_in_the_record_and_in_the_history_before_the_words_about_it() {
    let (mut stage, turn) = asked();
    begins(&mut stage, turn, "find_slot", ms(5000));
    stage.wait(ms(70));
    is_over(&mut stage, turn, "find_slot", true);
    stage.speak(turn, &["At nine there is a place."]);
    stage.play_out(turn, 1);
    let history = stage.conversation.history();
    let [.., did, said] = history else { panic!("{history:?}") };
    assert_eq!((did.deeds[0].name.as_str(), did.deeds[0].result.as_str()), ("find_slot", "It is done."));
    assert_eq!(said.text, "At nine there is a place.");
    let notes = stage.notes();
    let tool = notes.iter().find_map(|note| if let Note::Tool(tool) = note { Some(tool) } else { None });
    let tool = tool.expect("it is told");
    assert_eq!((tool.turn, tool.name.as_str(), tool.ok, tool.ms), (turn, "find_slot", true, 70));
    let told = notes.iter().find_map(|note| match note {
        Note::Turn(of) if of.turn == turn => Some(&of.explanation.stages),
        _ => None,
    });
    let stage = told.unwrap().iter().find(|stage| stage.stage == StageKind::Tool).unwrap();
    assert_eq!((stage.detail.as_deref(), stage.outcome), (Some("find_slot"), StageOutcome::Used));
    assert_eq!(stage.ended_ms.unwrap() - stage.began_ms, 70);
}

#[test]
fn a_slow_tool_is_no_stuck_stage_and_a_lost_one_is() {
    let (mut stage, turn) = asked();
    begins(&mut stage, turn, "find_slot", ms(20_000));
    stage.wait(ms(19_000));
    assert_eq!(apologies(&stage), 0, "it may take so long");
    stage.wait(STAGE_DEADLINE + ms(2000));
    assert_eq!(apologies(&stage), 1, "it must have come back by now");
    assert!(stage.did(&Action::Cancel { turn }));
}

#[test]
fn one_moment_please_is_not_the_last_that_is_heard() {
    let (mut stage, turn) = asked();
    let mark = u64::from(turn) * 100;
    stage.tell(Input::Phrase { turn, mark, text: "One moment, please.".into() });
    stage.tell(Input::Measured { turn, mark, duration: ms(1000) });
    stage.tell(Input::Started { mark });
    begins(&mut stage, turn, "find_slot", ms(5000));
    is_over(&mut stage, turn, "find_slot", false);
    // The sound of the first words may come late.
    stage.tell(Input::Phrase { turn, mark: mark + 1, text: "I will look.".into() });
    stage.tell(Input::Measured { turn, mark: mark + 1, duration: ms(1000) });
    // The brain fails when it has been told.
    stage.tell(Input::ReplyOver { turn, failed: true });
    assert_eq!(apologies(&stage), 0);
    stage.wait(ms(1000));
    stage.tell(Input::Played { mark });
    stage.wait(ms(1000));
    stage.tell(Input::Played { mark: mark + 1 });
    assert_eq!(apologies(&stage), 1);
}

#[test]
fn the_caller_is_handed_on_when_the_agent_has_been_heard_out() {
    let (mut stage, turn) = asked();
    begins(&mut stage, turn, "transfer", ms(5000));
    is_over(&mut stage, turn, "transfer", true);
    stage.tell(Input::WantsTransfer { turn });
    stage.speak(turn, &["I am putting you through."]);
    assert!(!is_handed_on(&stage));
    stage.play_out(turn, 1);
    assert!(stage.did(&Action::Transfer { turn }));
    // Nothing comes of it.
    stage.tell(Input::NotTransferred);
    stage.said("I am sorry, I could not put you through. Can I help you otherwise?");
}

#[test]
fn who_speaks_before_that_stays() {
    let (mut stage, turn) = asked();
    is_over(&mut stage, turn, "transfer", true);
    stage.tell(Input::WantsTransfer { turn });
    stage.speak(turn, &["I am putting you through."]);
    stage.wait(ms(300));
    stage.voice(ms(1500));
    stage.hears("No, wait, I have another question.");
    stage.wait(ms(5000));
    assert!(!is_handed_on(&stage));
    assert!(stage.reply_turn() > turn);
}

#[test]
fn a_deed_without_a_word_needs_no_apology() {
    for wish in [
        |turn| Input::WantsTransfer { turn },
        |turn| Input::WantsQuiet { turn, quiet: Duration::ZERO },
        |turn| Input::WantsHangUp { turn },
    ] {
        let (mut stage, turn) = asked();
        stage.tell(wish(turn));
        stage.tell(Input::ReplyOver { turn, failed: false });
        stage.wait(ms(2000));
        assert_eq!(apologies(&stage), 0, "{:?}", wish(turn));
    }
}

#[test]
fn a_promise_to_wait_is_kept_for_so_long_and_no_longer() {
    let still_there = |stage: &Stage| {
        stage.log.iter().any(|a| matches!(a, Action::Say { text, .. } if text == "Are you still there?"))
    };
    let (mut stage, turn) = asked();
    stage.tell(Input::WantsQuiet { turn, quiet: ms(60_000) });
    stage.speak(turn, &["Take your time."]);
    stage.play_out(turn, 1);
    stage.wait(ms(40_000));
    // A noise does not release it from its promise.
    stage.voice(ms(300));
    stage.hears("");
    stage.wait(ms(15_000));
    assert!(!still_there(&stage));
    stage.wait(ms(10_000));
    assert!(still_there(&stage));

    // Words do.
    let (mut stage, turn) = asked();
    stage.tell(Input::WantsQuiet { turn, quiet: ms(60_000) });
    stage.tell(Input::ReplyOver { turn, failed: false });
    stage.wait(ms(5000));
    stage.voice(ms(1500));
    stage.hears("I have it now.");
    stage.wait(ms(400));
    let next = stage.reply_turn();
    assert!(next > turn);
    stage.speak(next, &["Please read it to me."]);
    stage.play_out(next, 1);
    stage.wait(ms(15_000));
    assert!(still_there(&stage), "the usual patience is back");
}

#[test]
fn what_a_cut_turn_had_begun_is_known_to_the_next() {
    let (mut stage, turn) = asked();
    begins(&mut stage, turn, "book_slot", ms(5000));
    stage.voice(ms(900));
    assert!(stage.did(&Action::Cancel { turn }));
    is_over(&mut stage, turn, "book_slot", true);
    let known =
        stage.conversation.history().iter().flat_map(|line| &line.deeds).any(|deed| deed.name == "book_slot");
    assert!(known);
    // Also when nobody is there any more.
    stage.tell(Input::Gone);
    stage.log.clear();
    is_over(&mut stage, turn, "book_slot", true);
    assert!(matches!(stage.notes()[..], [Note::Tool(_)]));
}
