//! Offers inside a session (RFC 3264 §8), which a peer may ask for by a re-INVITE without one (RFC 3261 §14.2): what is agreed already stands
//! first, so that who likes things as they are changes nothing.

use super::negotiate::{Format, Meaning, usual, write_offer, write_rejected};
use super::parse::Description;
use super::{Capabilities, Direction, LocalMedia, Negotiated};

/// Where our stream stands among the session's, which stay the same in number and order (RFC 3264 §8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// As the `m=` line says it. It is what the peer can do, so it is offered again (RFC 3261 §14.2).
    pub(super) profile: &'static str,
    /// `m=` lines of rejected streams.
    pub(super) before: String,
    pub(super) after: String,
}

impl Default for Place {
    fn default() -> Self {
        Place { profile: "RTP/AVP", before: String::new(), after: String::new() }
    }
}

impl Place {
    /// Of the `index`-th stream.
    pub(super) fn of(description: &Description, index: usize) -> Place {
        let (mut place, mut others) = (Place::default(), String::new());
        for (position, medium) in description.media.iter().enumerate() {
            if position == index {
                place.before = std::mem::take(&mut others);
                place.profile = match medium.protocol.as_str() {
                    "RTP/AVPF" => "RTP/AVPF",
                    "RTP/SAVP" => "RTP/SAVP",
                    "RTP/SAVPF" => "RTP/SAVPF",
                    _ => "RTP/AVP",
                };
            } else {
                write_rejected(&mut others, medium);
            }
        }
        Place { after: others, ..place }
    }
}

/// Describes what we want in a session in which that much is `agreed`: its codec first and then our others, by the numbers they have (RFC 3264
/// §8.3.2), as the same one of as many streams, and sealed with the key that we have. The answer is for [`accept`](super::accept), with the
/// capabilities that are given back.
pub fn offer_again(
    capabilities: &Capabilities,
    local: &LocalMedia,
    direction: Direction,
    agreed: &Negotiated,
) -> (Vec<u8>, Capabilities) {
    let mut capabilities = capabilities.keeping(agreed);
    // Stable: the others keep their order.
    capabilities.codecs.sort_by_key(|codec| *codec != agreed.codec);
    let known = known(agreed);
    let mut formats: Vec<Format> = Vec::new();
    for Format { payload_type: wanted, meaning } in usual(&capabilities) {
        let has = known.iter().find(|known| known.meaning == meaning).map(|known| known.payload_type);
        let is_free = |number: &u8| known.iter().chain(&formats).all(|other| other.payload_type != *number);
        // 96 to 127 are for whoever needs one (RFC 3551 §3).
        if let Some(payload_type) = has.or_else(|| std::iter::once(wanted).chain(96..=127).find(is_free)) {
            formats.push(Format { payload_type, meaning });
        }
    }
    (write_offer(&agreed.place, &formats, &capabilities, local, direction), capabilities)
}

/// The numbers that mean something in this session.
fn known(agreed: &Negotiated) -> Vec<Format> {
    let of = |payload_type, meaning| Format { payload_type, meaning };
    let mut known = vec![of(agreed.payload_type, Meaning::Codec(agreed.codec))];
    known.extend(
        agreed.dtmf_payload_type.map(|number| of(number, Meaning::TelephoneEvent(agreed.dtmf_clock))),
    );
    known.extend(agreed.comfort_noise.map(|number| of(number, Meaning::ComfortNoise)));
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::{Encryption, accept, answer};
    use crate::srtp::{KeySeed, Suite};

    const VIDEO_FIRST: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 4100 RTP/AVP 99\r\n\
        m=audio 4000 RTP/AVP 96 111\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:111 telephone-event/48000\r\nm=image 4200 UDPTL t38\r\n";

    fn local(port: u16) -> LocalMedia {
        LocalMedia { ip: [192, 0, 2, 9].into(), port, session_id: 1, version: 1 }
    }

    fn again(capabilities: &Capabilities, agreed: &Negotiated) -> (String, Capabilities) {
        let (offer, capabilities) =
            offer_again(capabilities, &local(5_000).bumped(), Direction::SendRecv, agreed);
        (String::from_utf8(offer).expect("UTF-8"), capabilities)
    }

    #[test]
    fn streams_and_numbers_stay_what_they_were_and_the_codec_in_use_comes_first() {
        let ours = Capabilities::default();
        let (_, agreed) = answer(VIDEO_FIRST.as_bytes(), &ours, &local(5_000)).expect("Opus");
        let (offer, _) = again(&ours, &agreed);
        let media: Vec<_> = offer.lines().filter(|line| line.starts_with("m=")).collect();
        // 111, which we like for Opus, is theirs for keys; the keys of the narrow codecs have a number of their own.
        assert_eq!(
            media,
            ["m=video 0 RTP/AVP 99", "m=audio 5000 RTP/AVP 96 0 8 9 101 111", "m=image 0 UDPTL t38"]
        );
        for line in
            ["a=rtpmap:96 opus/48000/2", "a=rtpmap:111 telephone-event/48000", "o=- 1 2 IN IP4 192.0.2.9"]
        {
            assert!(offer.contains(&format!("{line}\r\n")), "{line}: {offer}");
        }
        let second =
            accept(answer(offer.as_bytes(), &ours, &local(4_000)).expect("taken").0.as_slice(), &ours);
        assert_eq!(second.expect("an answer").place, agreed.place);
    }

    #[test]
    fn a_number_that_the_peer_has_given_away_is_replaced() {
        let ours = Capabilities::default();
        let offer = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0 111\r\na=rtpmap:111 telephone-event/8000\r\n";
        let (_, agreed) = answer(offer.as_bytes(), &ours, &local(5_000)).expect("PCMU");
        let (offer, _) = again(&ours, &agreed);
        assert!(offer.contains("m=audio 5000 RTP/AVP 0 8 9 96 111 102\r\n"), "{offer}");
    }

    fn sealed(seed: u8, required: bool) -> Capabilities {
        let encryption = Encryption::on(required, Suite::ALL.to_vec(), KeySeed::new([seed; 32]));
        Capabilities { encryption, ..Capabilities::default() }
    }

    /// Whoever offered first, the key that we seal with stays as long as the peer's does, and goes with it.
    #[test]
    fn keys_stay_whoever_offers() {
        for (required, insists, profile) in
            [(true, false, "RTP/SAVP"), (false, false, "RTP/AVP"), (false, true, "RTP/SAVP")]
        {
            let (ours, mut theirs) = (sealed(1, required), sealed(2, required));
            if insists {
                theirs.encryption = theirs.encryption.insisting().expect("it need not be");
            }
            let first = super::super::offer(&theirs, &local(4_000), Direction::SendRecv);
            let (said, agreed) = answer(&first, &ours, &local(5_000)).expect("sealed");
            let peer = accept(&said, &theirs).expect("sealed");
            let (offer, accepting) = again(&ours, &agreed);
            assert!(offer.contains(&format!("m=audio 5000 {profile} ")), "{offer}");
            assert_eq!(offer.matches("a=crypto").count(), Suite::ALL.len());

            let (said, peer_again) =
                answer(offer.as_bytes(), &theirs.keeping(&peer), &local(4_000)).expect("sealed");
            assert_eq!(peer_again.srtp, peer.srtp, "nothing begins anew");
            assert_eq!(accept(&said, &accepting).expect("sealed").srtp, agreed.srtp);

            // A peer that takes another key: it is heard by it, and we go on with ours, which was offered.
            let (said, other) =
                answer(offer.as_bytes(), &sealed(3, required), &local(4_000)).expect("sealed");
            let (now, before) =
                (accept(&said, &accepting).expect("sealed").srtp, agreed.srtp.expect("sealed"));
            let (now, other) = (now.expect("sealed"), other.srtp.expect("sealed"));
            assert_eq!((&now.ours, &now.theirs), (&before.ours, &other.ours));
            assert_ne!(now.theirs, before.theirs);
        }
    }

    #[test]
    fn only_what_need_not_be_sealed_is_offered_in_two_ways() {
        let twice = |capabilities: &Capabilities| capabilities.encryption.insisting();
        assert!(twice(&Capabilities::default()).is_none() && twice(&sealed(1, true)).is_none());
        let other =
            Capabilities { encryption: twice(&sealed(1, false)).expect("another way"), ..sealed(1, false) };
        assert!(twice(&other).is_none(), "and in two only");
    }
}
