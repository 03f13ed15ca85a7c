use proptest::prelude::*;

use super::*;

/// Pushes the text a few characters at a time.
fn phrases(text: &str, step: usize) -> Vec<String> {
    let mut phraser = Phraser::new();
    let chars: Vec<char> = text.chars().collect();
    let mut all: Vec<String> =
        chars.chunks(step).flat_map(|c| phraser.push(&c.iter().collect::<String>())).collect();
    all.extend(phraser.finish());
    all
}

#[test]
fn the_first_clause_comes_out_early_and_the_rest_by_sentences() {
    let text =
        "Sure, I can help with that. We open at eight in the morning, and we close at five. Anything else?";
    assert_eq!(
        phrases(text, 3),
        [
            "Sure, I can help with that.",
            "We open at eight in the morning, and we close at five.",
            "Anything else?"
        ]
    );
    assert_eq!(phrases("Of course I can, we are open until five today.", 4)[0], "Of course I can,");
    assert_eq!(phrases("Yes. I will do that.", 2), ["Yes.", "I will do that."]);
}

#[test]
fn a_long_first_clause_is_cut_where_a_speaker_may_draw_breath() {
    for (text, first) in [
        ("We're open every day from eight to six.", "We're open every day"),
        ("Yes, we take new patients and we speak French.", "Yes, we take new patients"),
        ("Wir haben morgen wieder bis 18 Uhr geöffnet.", "Wir haben morgen wieder"),
        // Too short, within a number, and only the first.
        ("We open at nine.", "We open at nine."),
        ("It takes us between 8 and 10 days.", "It takes us between 8 and 10 days."),
        ("Sure, I can help with that.", "Sure, I can help with that."),
        ("Of course, I can do that and much more for you today.", "Of course,"),
    ] {
        assert_eq!(phrases(text, 1)[0], first);
    }
}

#[test]
fn a_clause_comes_out_as_soon_as_what_follows_is_known() {
    let mut phraser = Phraser::new();
    assert_eq!(phraser.push("We open at 8.").count(), 0);
    assert_eq!(phraser.push(" ").collect::<Vec<_>>(), ["We open at 8."]);
}

#[test]
fn a_comma_behind_a_word_is_not_waited_for() {
    let mut phraser = Phraser::new();
    assert_eq!(phraser.push("I'm sorry,").collect::<Vec<_>>(), ["I'm sorry,"]);
    // Later ones are not in a hurry, and a number or an address may go on.
    assert_eq!(phraser.push(" I cannot tell you that, ").count(), 0);
    for text in ["It costs $1,", "Open at 10,", "See example.org/a,", "Really \"fine\","] {
        assert_eq!(Phraser::new().push(text).count(), 0, "{text}");
    }
}

#[test]
fn dots_and_marks_inside_words_are_spared() {
    for text in [
        "Dr. Smith sees you at 10:30 in room 3.14 today.",
        "Bring papers, e.g. a passport, i.e. something with a picture.",
        "Write to info@example.com or see https://www.example.com/a,b?c=d. Fine.",
        "It costs $1,000.50 at St. Mary's.",
        "J. R. Miller will call.",
        "We open at 8 a.m. and close at 5 p.m. every day.",
    ] {
        for part in phrases(text, 1) {
            let last = part.split(' ').next_back().unwrap();
            assert!(
                !["Dr.", "St.", "e.g.", "i.e.", "J.", "R.", "3.", "$1,"].contains(&last),
                "{part:?} of {text:?}"
            );
        }
    }
    assert_eq!(
        phrases("We close at 5 p.m. Then we go home now.", 1),
        ["We close at 5 p.m.", "Then we go home now."]
    );
}

#[test]
fn a_date_is_not_cut_at_its_comma() {
    for step in 1..5 {
        assert_eq!(
            phrases("It is on January 5, 2026, at noon.", step),
            ["It is on January 5, 2026,", "at noon."]
        );
    }
}

#[test]
fn an_ellipsis_is_one_pause() {
    assert_eq!(
        phrases("Well... let me see... It is on Monday.", 1),
        ["Well... let me see...", "It is on Monday."]
    );
}

#[test]
fn what_is_written_for_eyes_is_not_said() {
    assert_eq!(speakable("**Sure!** 😀 I'll _do_ that 👍🏽"), "Sure! I'll do that");
    assert_eq!(speakable("## Opening hours"), "Opening hours");
    assert_eq!(speakable("- call [our office](https://example.com/x_y) first"), "call our office first");
    assert_eq!(speakable("see `foo` at https://example.com"), "see foo at example.com");
    assert_eq!(speakable("🎉✨"), "");
    assert_eq!(speakable("room #5 is free"), "room #5 is free");
    assert_eq!(
        speakable("write to john_doe@example.com, ~~not~~ in ~5 days"),
        "write to john_doe@example.com, not in ~5 days"
    );
    assert_eq!(phrases("- one thing\n- another thing\n\n", 2), ["one thing", "another thing"]);
}

#[test]
fn a_reply_without_marks_is_cut_between_words() {
    let text = "word ".repeat(100);
    let all = phrases(&text, 7);
    assert!(all.len() > 2 && all[0].len() <= FIRST_MOST + 1, "{all:?}");
    assert_eq!(all.join(" "), text.trim());
}

#[test]
fn clauses_carry_their_marks() {
    let of = |text: &str| clauses(text).into_iter().map(|c| (c.text, c.mark)).collect::<Vec<_>>();
    assert_eq!(
        of("Hello, is it 10:30? \"Yes!\" Dr. Who"),
        [
            ("Hello".into(), Some(',')),
            ("is it 10:30".into(), Some('?')),
            ("\"Yes".into(), Some('!')),
            ("Dr. Who".into(), None)
        ]
    );
    assert_eq!(of("well... fine."), [("well".into(), Some('.')), ("fine".into(), Some('.'))]);
    assert_eq!(of(" ... "), []);
}

proptest! {
    #[test]
    fn nothing_panics_and_no_letter_is_lost(text in "\\PC{0,300}", step in 1usize..9) {
        let letters = |s: &str| s.chars().filter(|c| c.is_alphabetic() && !is_picture(*c)).collect::<String>();
        let parts = phrases(&text, step);
        // Links and addresses are the only letters that may go.
        if !text.contains("](") && !text.contains("http") {
            prop_assert_eq!(letters(&parts.concat()), letters(&text));
        }
        let _ = clauses(&text);
    }

    #[test]
    fn the_size_of_tokens_does_not_matter(text in "[a-zA-Z0-9 ,.!?:*-]{0,200}", step in 2usize..9) {
        prop_assert_eq!(phrases(&text, 1), phrases(&text, step));
    }

    #[test]
    fn clauses_are_short_enough_for_a_mouth(text in "[a-z ]{0,900}") {
        for part in phrases(&text, 5) {
            prop_assert!(part.chars().count() <= 900);
        }
    }
}
