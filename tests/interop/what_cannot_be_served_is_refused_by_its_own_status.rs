//! 404, 488, 503: each refusal says what it is about.

use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::line::Line;
use crate::support::{SOON, alone};

const PCMU: &str = "a=rtpmap:0 PCMU/8000\r\n";

#[test]
fn a_number_that_is_none_of_ours_is_404() {
    let _alone = alone();
    let gateway = Gateway::start(&Plan::new());
    let line = Line::to(gateway.sip);
    line.invite("+15550109999", &line.offer(4_000, "0", PCMU));
    assert_eq!(line.final_answer("+15550109999", SOON).status, 404);
}

#[test]
fn a_codec_that_we_do_not_know_is_488() {
    let _alone = alone();
    let gateway = Gateway::start(&Plan::new());
    let line = Line::to(gateway.sip);
    line.invite(DID, &line.offer(4_000, "96", "a=rtpmap:96 VMR-WB/16000\r\n"));
    assert_eq!(line.final_answer(DID, SOON).status, 488);
}

#[test]
fn a_call_too_many_is_503_with_retry_after_and_room_comes_back() {
    let _alone = alone();
    let gateway = Gateway::start(&Plan::new().at_most(1));
    let first = Line::to(gateway.sip);
    first.invite(DID, &first.offer(4_000, "0", PCMU));
    let answered = first.final_answer(DID, SOON);
    assert_eq!(answered.status, 200);
    let call = gateway.wait_call(1, SOON);

    let second = Line::to(gateway.sip);
    second.invite(DID, &second.offer(4_002, "0", PCMU));
    let refused = second.final_answer(DID, SOON);
    assert_eq!(refused.status, 503);
    let after = refused.header("Retry-After").expect("a 503 says when to come back (RFC 3261 §21.5.4)");
    assert!(
        after.split([' ', ';', '(']).next().and_then(|s| s.parse::<u32>().ok()).is_some(),
        "Retry-After: {after}"
    );

    assert_eq!(first.bye(DID, &answered, SOON).status, 200);
    gateway.wait_event("call.ended", &call, SOON);
    let third = Line::to(gateway.sip);
    third.invite(DID, &third.offer(4_004, "0", PCMU));
    let answered = third.final_answer(DID, SOON);
    assert_eq!(answered.status, 200);
    assert_eq!(third.bye(DID, &answered, SOON).status, 200);
}

#[test]
fn a_source_outside_every_trunk_gets_nothing() {
    let _alone = alone();
    let mut plan = Plan::new();
    plan.allow = "127.0.0.2/32";
    let gateway = Gateway::start(&plan);
    let line = Line::to(gateway.sip);
    line.invite(DID, &line.offer(4_000, "0", PCMU));
    let answer = line.answer(SOON, |answer| answer.status >= 200);
    assert_eq!(answer.status, 403);
    assert_eq!(gateway.count_events("call.started"), 0);
}
