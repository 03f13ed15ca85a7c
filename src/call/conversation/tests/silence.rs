//! A caller who says nothing: asked, asked in other words, and left with a goodbye.

use super::*;

impl Stage {
    /// A long silence: the agent says this, and nobody answers.
    fn goes_unanswered(&mut self, sentence: &str) {
        self.log.clear();
        self.wait(Duration::from_secs(12) + ms(10));
        let turn = self.said(sentence);
        self.speak(turn, &[sentence]);
        self.play_out(turn, 1);
    }
}

#[test]
fn silence_is_asked_about_and_then_ends_the_call() {
    let mut stage = Stage::greeted();
    stage.goes_unanswered("Are you still there?");
    stage.goes_unanswered(
        "I cannot hear you. If you need a moment, just say so. Otherwise I will end the call soon.",
    );
    stage.wait(Duration::from_secs(12) + ms(10));
    let goodbye = manners().goodbye;
    let turn = stage.said(&goodbye);
    stage.speak(turn, &[&goodbye]);
    stage.play_out(turn, 1);
    assert_eq!(stage.log.last(), Some(&Action::HangUp(EndReason::CallerSilent)));
}

#[test]
fn who_answers_a_prompt_begins_anew_and_one_sentence_serves_for_all() {
    let mut stage = Stage::greeted();
    stage.goes_unanswered("Are you still there?");
    stage.voice(ms(800));
    stage.hears("Yes, one moment.");
    stage.wait(ms(2600));
    let turn = stage.reply_turn();
    stage.speak(turn, &["Of course."]);
    stage.play_out(turn, 1);
    stage.goes_unanswered("Are you still there?");

    let one = Sentences::One("Hello?".into());
    let mut stage = Stage::greeted_with(Manners { still_there: one, ..manners() });
    stage.goes_unanswered("Hello?");
    stage.goes_unanswered("Hello?");
}

#[test]
fn a_german_agent_asks_into_the_silence_in_german() {
    let config = Config::parse("[[agent]]\nname='a'\nlanguage='de'\nfirst_message=''").unwrap();
    let manners = Manners::new(&config.agents[0], &config.turn_taking, Duration::from_secs(600));
    let said = manners.clone();
    let mut stage = Stage::with(manners);
    stage.tell(Input::Answered);
    stage.goes_unanswered("Sind Sie noch da?");
    stage.goes_unanswered(said.still_there.nth(1));
    stage.wait(Duration::from_secs(12) + ms(10));
    stage.said("Vielen Dank für Ihren Anruf. Auf Wiederhören.");
}
