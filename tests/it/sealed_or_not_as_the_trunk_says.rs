//! What a trunk says of encryption, towards phones that insist on it, that cannot, and that change their mind.

use media::sdp::{Capabilities, Encryption};
use media::srtp::{KeySeed, Suite};
use offhook::domain::{EndReason, Principal, Private};
use offhook::gateway::PlaceCall;
use sip::Body;

use crate::support::{NUMBER, Peer, Setting, World};

const AGENT: f32 = 300.0;

fn order(to: &Peer) -> PlaceCall {
    let to = Private::new(to.uri().to_string());
    PlaceCall { from: Private::new(NUMBER.into()), to, ..PlaceCall::default() }
}

fn insists() -> Capabilities {
    let encryption = Encryption::on(true, Suite::ALL.to_vec(), KeySeed::new([7; 32]));
    Capabilities { encryption, ..Capabilities::default() }
}

fn text(offer: Option<Body>) -> String {
    String::from_utf8(offer.expect("an offer").bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_keys_beside_plain_rtp_is_offered_encryption_alone_and_once() {
    for status in [488, 415, 606, 406] {
        let mut world = World::start(Setting { trunk: "srtp = 'optional'", ..Setting::default() }).await;
        let mut phone = Peer::new("phone").await.that(insists());
        world.gateway.place(&Principal::operator(), order(&phone)).await.unwrap();
        let first = text(phone.reject(status).await);
        assert!(first.contains(" RTP/AVP ") && first.contains("a=crypto:"), "{first}");
        if status == 488 {
            let second = phone.rings().await.expect("an offer");
            assert!(text(Some(second.clone())).contains(" RTP/SAVP "));
            phone.take(&second).await;
            phone.hears(AGENT).await;
            phone.hang_up().await;
            let (call, _) = world.until_ended().await;
            let line = call.line.unwrap();
            assert!(line.encryption.is_some() && line.packets_refused == 0, "{line:?}");
        } else {
            assert!(text(phone.reject(status).await).contains(" RTP/SAVP "));
            let (call, events) = world.until_ended().await;
            assert_eq!(call.sip_status, Some(status), "{call:?}");
            let dialled = events.iter().filter(|event| event.kind.name() == "call.dialing").count();
            assert_eq!(dialled, 1, "it is one call all the same");
        }
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_busy_or_wants_no_encryption_where_it_must_be_is_not_asked_twice() {
    for (trunk, status, reason) in [
        ("srtp = 'optional'", 486, EndReason::Busy),
        ("srtp = 'required'", 488, EndReason::NoCommonCodec),
        ("srtp = 'off'", 488, EndReason::NoCommonCodec),
    ] {
        let mut world = World::start(Setting { trunk, ..Setting::default() }).await;
        let mut phone = Peer::new("phone").await;
        world.gateway.place(&Principal::operator(), order(&phone)).await.unwrap();
        let offer = text(phone.reject(status).await);
        assert_eq!(offer.contains(" RTP/SAVP "), trunk.contains("required"), "{offer}");
        assert_eq!(world.until_ended().await.0.end_reason, Some(reason), "{trunk}");
        world.stop().await;
    }
}

/// A phone that has nothing but SAVP calls in where it may be.
#[tokio::test(flavor = "multi_thread")]
async fn who_insists_is_answered_so() {
    let mut world = World::start(Setting { trunk: "srtp = 'optional'", ..Setting::default() }).await;
    let mut phone = Peer::new("phone").await.that(insists());
    phone.call(world.sip, NUMBER).await;
    phone.hears(AGENT).await;
    phone.hang_up().await;
    assert!(world.until_ended().await.0.line.unwrap().encryption.is_some());
    world.stop().await;
}
