//! RFC 8760: a registrar that offers nothing but SHA-256.

use crate::support::baresip::{Answer, Baresip};
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::{Challenge, DID, Kamailio, PHONE_NUMBER, Target};
use crate::support::{A_TURN, SOON, alone};

#[test]
fn registration_and_calls_are_let_in() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Sha256, Target::Number);
    let gateway = Gateway::start(&Plan::new().behind(&carrier));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::AtOnce);

    let before = phone.now();
    let call = gateway.place_call(DID, PHONE_NUMBER);
    phone.wait_established(SOON);
    assert_eq!(carrier.challenged("INVITE"), 1, "the gateway was asked for its password");
    phone.wait_sound_and_quiet(before, A_TURN);
    gateway.hang_up(&call);
    phone.wait_closed(SOON);
    gateway.wait_event("call.ended", &call, SOON);

    gateway.interrupt();
    carrier.wait_unregistered("gw", SOON);
    let (status, _) = gateway.left(SOON);
    assert!(status.success(), "{status}");
}
