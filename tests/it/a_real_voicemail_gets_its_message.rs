//! With the real models: an answering machine, played from recordings, is known by what it says and given the message.

use offhook::domain::{AnsweredBy, EndReason, Principal, Private};
use offhook::gateway::PlaceCall;
use offhook::phone::wer::word_error_rate;

use crate::real_engines::{start_with, words};
use crate::support::{Caller, NUMBER, prompt};

const MESSAGE: &str = "This is the bakery. Your cake is ready. Please call us back.";
const AGENT: &str = "max_tokens = 40\ntemperature = 0.0\n[agent.voicemail]\nthen = 'leave_message'\n\
                     message = 'This is the bakery. Your cake is ready. Please call us back.'\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_voicemail_gets_its_message_after_the_beep() {
    let (mut world, supervisors, ear) = start_with(AGENT).await;
    let callee = Caller::new().await;
    let order = PlaceCall {
        from: Private::new(NUMBER.into()),
        to: Private::new(format!("sip:200@{}", callee.address())),
        ..PlaceCall::default()
    };
    world.gateway.place(&Principal::operator(), order).await.unwrap();
    let parts = ["vm-nobodyavail", "vm-intro", "beep"].map(|name| format!("play {}", prompt(name).display()));
    let script = format!("{}\nlisten 40s\nstay 20s", parts.join("\n"));
    let (outcome, _) = callee.answer(&script).await;
    let (call, events) = world.until_ended().await;
    let clue = events.iter().find(|event| event.kind.name() == "call.voicemail");
    println!("clue: {:?}", clue.map(|event| &event.kind));
    assert_eq!((call.answered_by, call.voicemail_left), (Some(AnsweredBy::Machine), true));
    assert_eq!(call.end_reason, Some(EndReason::AgentHungUp));
    assert_eq!(call.transcript.last().unwrap().text.reveal(), MESSAGE);

    // What the machine recorded after its beep is the message, whole.
    let recorded = outcome.exchanges.iter().rfind(|exchange| !exchange.heard.is_empty()).expect("a message");
    let heard = words(&*ear, &recorded.heard).await;
    let errors = word_error_rate(MESSAGE, &heard);
    println!("left {MESSAGE:?}, recorded {heard:?}: word error rate {errors:.2}");
    assert!(errors <= 0.35, "{heard:?}");
    world.stop().await;
    supervisors.shutdown().await;
}
