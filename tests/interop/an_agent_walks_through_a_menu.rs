//! Outbound to a machine with a menu: recorded prompts name keys, the brain chooses one by a tool, and the other end gets it by RFC 4733.

use crate::support::baresip::{Answer as Pickup, Baresip};
use crate::support::brain::{Answer, Brain};
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::{Challenge, DID, Kamailio, PHONE_NUMBER, Target};
use crate::support::speech::{DIRECTORY_MENU, OPERATOR_MENU, PLEASE_HOLD, assert_words};
use crate::support::{A_TURN, SOON, alone};

const AT_LAST: &str = "Good morning, I am calling about the invoice.";

/// What a caller does who wants to talk to somebody.
fn choose(heard: &str) -> Answer {
    let heard = heard.to_lowercase();
    match () {
        () if heard.contains("directory") => Answer::Presses("2"),
        () if heard.contains("operator") => Answer::Presses("0#"),
        () => Answer::Says(AT_LAST),
    }
}

#[test]
fn each_choice_arrives_as_keys_and_a_person_is_spoken_to() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_answers(choose);
    let plan = Plan { agent: "tools = { press_digits = true }", ..Plan::new() };
    // Who calls a menu listens first.
    let gateway = Gateway::start(&plan.behind(&carrier).thinking_with(brain.url()).greeting(""));
    carrier.wait_registered("gw", 1, SOON);
    let menu = Baresip::start("phone", "phone-pw", &carrier, Pickup::AtOnce);

    let call = gateway.place_call(DID, PHONE_NUMBER);
    menu.wait_established(SOON);
    menu.say(&DIRECTORY_MENU.wav());
    menu.wait_heard_digit('2', A_TURN);
    menu.say(&OPERATOR_MENU.wav());
    menu.wait_heard_digit('0', A_TURN);
    menu.wait_heard_digit('#', A_TURN);
    let before = menu.now();
    menu.say(&PLEASE_HOLD.wav());
    menu.wait_sound_and_quiet(before, A_TURN);
    gateway.wait("the answer to a person", A_TURN, |events| {
        let said = events.iter().any(|event| {
            event["type"] == "call.turn" && event["call_id"] == *call && event["data"]["said"] == AT_LAST
        });
        said.then_some(())
    });
    menu.hang_up();
    menu.wait_closed(SOON);

    let record = gateway.record(&call, SOON);
    assert_eq!(record.text("direction"), "outbound");
    assert_words("the agent", AT_LAST, &record.words_of("agent"), 0.0);
    let heard = record.words_of("caller").to_lowercase();
    for word in ["extension", "directory", "operator", "hold"] {
        assert!(heard.contains(word), "{word:?} is not in {heard:?}");
    }
    let tools = gateway.events_of("call.tool", &call);
    let pressed: Vec<_> = tools.iter().map(|event| (&event["data"]["name"], &event["data"]["ok"])).collect();
    assert_eq!(pressed.len(), 2, "{tools:?}");
    assert!(pressed.iter().all(|(name, ok)| **name == "press_digits" && **ok == true), "{tools:?}");
}
