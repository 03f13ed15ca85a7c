//! Every end of a call is somebody's doing, and the record says whose.

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::speech::Wav;
use crate::support::{A_TURN, SOON, alone};

#[test]
fn the_phone_or_a_client_of_the_api() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_says(&["Thank you."]);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).thinking_with(brain.url()));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);

    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);
    let ended = gateway.wait_event("call.ended", &call, SOON);
    assert_eq!(
        (&ended["data"]["status"], &ended["data"]["end_reason"]),
        (&"completed".into(), &"caller_hung_up".into()),
        "{ended}"
    );
    let record = gateway.record(&call, SOON);
    assert_eq!((record.text("end_reason"), record.text("fault")), ("caller_hung_up", "none"));
    assert_eq!(record.text("from"), "phone", "who called, as the carrier said it");
    assert!(record.recording(gateway.data()).is_file(), "the recording lies where the record says");

    // The same phone again; this time a client of the API ends it, and the phone gets a BYE.
    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_event("CALL_ESTABLISHED", 2, SOON);
    let call = gateway.wait_call(2, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    gateway.hang_up(&call);
    phone.wait_event("CALL_CLOSED", 2, SOON);
    let record = gateway.record(&call, SOON);
    assert_eq!((record.text("status"), record.text("end_reason")), ("completed", "api_hung_up"));
    assert!(!Wav::read(&phone.heard()).sounding().is_zero());
}
