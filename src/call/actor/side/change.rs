//! What a peer changes of a session that is up (RFC 3264 §8): by an offer of its own, or by asking for ours.
//!
//! A re-INVITE without an offer gets ours in the 200, and the ACK brings the answer (RFC 3261 §14.2). Until then the session is what it was. What
//! the ACK then says:
//!
//! | answer | what becomes of the call |
//! |---|---|
//! | one that fits | sound goes as it says: where to, which way, by which codec, with which keys |
//! | none | it goes on as it was. The peer ought to have answered (§13.2.1), but has changed nothing; most who do so only wished to know whether we are still here |
//! | one that does not fit | it ends. The peer has left what was agreed, so what we went on to send would go nowhere, or to where nobody holds its key; a peer that finds nothing in our offer is to answer and then send BYE itself (§14.2) |

use media::sdp::{self, Capabilities, NegotiateError, Negotiated};
use sip::Body;
use tracing::{debug, warn};

use super::Side;

impl Side {
    /// Media follows only what we agreed to; hold and resume are part of it, and the other leg of a bridge just hears nothing meanwhile.
    /// False where the line is gone.
    pub(in crate::call::actor) async fn reoffer(&mut self, body: Option<Body>) -> bool {
        let Some(body) = body else {
            self.offer().await;
            return true;
        };
        let local = self.local.bumped();
        match sdp::answer(&body.bytes, &self.in_session(), &local) {
            Ok((answer, agreed)) => {
                self.local = local;
                self.agreed = Some(agreed);
                let alive = self.configure().await;
                let _ = self.stack.accept_offer(self.leg, Body::sdp(answer)).await;
                alive
            }
            Err(error) => {
                debug!(leg = ?self.leg, %error, "a new offer is refused; the session stays as it was");
                let _ = self.stack.refuse_offer(self.leg, 488).await;
                true
            }
        }
    }

    /// The peer has asked for it.
    async fn offer(&mut self) {
        self.local = self.local.bumped();
        let both = sdp::Direction::SendRecv;
        let (offer, capabilities) = match &self.agreed {
            Some(agreed) => sdp::offer_again(&self.capabilities, &self.local, both, agreed),
            None => (sdp::offer(&self.capabilities, &self.local, both), self.capabilities.clone()),
        };
        self.offered = Some(capabilities);
        let _ = self.stack.accept_offer(self.leg, Body::sdp(offer)).await;
    }

    /// The peer's answer inside the call: to the offer that it asked for, or to a description that was only said again to refresh the session
    /// (RFC 4028 §7.4). False where the call cannot go on with it.
    pub(in crate::call::actor) async fn reanswer(&mut self, status: u16, body: Option<Body>) -> bool {
        let asked = self.offered.take();
        let body = body.filter(|_| (200..300).contains(&status));
        let (capabilities, was_asked) = (asked.clone().unwrap_or_else(|| self.in_session()), asked.is_some());
        match read(body.as_ref(), &capabilities, was_asked, self.agreed.as_ref()) {
            Answer::AsBefore => true,
            Answer::Unusable(error) => {
                warn!(leg = ?self.leg, %error, "the answer to the offer that was asked for cannot be used");
                false
            }
            Answer::New(agreed) => {
                self.agreed = Some(*agreed);
                self.configure().await
            }
        }
    }

    /// What we can do, when so much is agreed already.
    fn in_session(&self) -> Capabilities {
        match &self.agreed {
            Some(agreed) => self.capabilities.keeping(agreed),
            None => self.capabilities.clone(),
        }
    }
}

/// What an answer inside the call comes to.
#[derive(Debug, PartialEq)]
enum Answer {
    AsBefore,
    New(Box<Negotiated>),
    Unusable(NegotiateError),
}

/// `was_asked`: for the offer that this answers. Else it answers what was only said again, and matters where it says something new.
fn read(
    body: Option<&Body>,
    capabilities: &Capabilities,
    was_asked: bool,
    before: Option<&Negotiated>,
) -> Answer {
    let Some(body) = body else { return Answer::AsBefore };
    match sdp::accept(&body.bytes, capabilities) {
        // Who is heard stays so.
        Ok(agreed) if !was_asked && before == Some(&agreed) => Answer::AsBefore,
        Ok(agreed) => Answer::New(Box::new(agreed)),
        Err(error) if was_asked => Answer::Unusable(error),
        Err(error) => {
            debug!(%error, "the answer to a refresh says nothing; the session stays as it was");
            Answer::AsBefore
        }
    }
}

#[cfg(test)]
mod tests {
    use media::sdp::{Codec, Direction, Encryption, LocalMedia};
    use media::srtp::{KeySeed, Suite};

    use super::*;

    fn local(port: u16) -> LocalMedia {
        LocalMedia { ip: [192, 0, 2, 1].into(), port, session_id: 1, version: 1 }
    }

    fn sealed(seed: u8, required: bool) -> Capabilities {
        let encryption = Encryption::on(required, Suite::ALL.to_vec(), KeySeed::new([seed; 32]));
        Capabilities { encryption, ..Capabilities::default() }
    }

    /// A session that the peer has begun, and the offer that it asks for then.
    fn asked(ours: &Capabilities, theirs: &Capabilities) -> (Negotiated, Vec<u8>, Capabilities) {
        let offer = sdp::offer(theirs, &local(4_000), Direction::SendRecv);
        let (_, agreed) = sdp::answer(&offer, ours, &local(5_000)).unwrap();
        let (offer, asked) = sdp::offer_again(ours, &local(5_000).bumped(), Direction::SendRecv, &agreed);
        (agreed, offer, asked)
    }

    #[test]
    fn an_answer_that_fits_moves_the_sound_holds_it_and_changes_codec_and_keys() {
        let (ours, theirs) = (sealed(1, true), sealed(2, true));
        let (agreed, offer, asked) = asked(&ours, &theirs);
        let elsewhere = Capabilities { codecs: vec![Codec::G722], ..sealed(3, true) };
        let (answer, _) = sdp::answer(&offer, &elsewhere, &local(4_444)).unwrap();
        let answer = String::from_utf8(answer).unwrap().replace("a=sendrecv", "a=sendonly");
        let Answer::New(now) = read(Some(&Body::sdp(answer)), &asked, true, Some(&agreed)) else {
            panic!("it fits")
        };
        assert_eq!((now.codec, now.remote.port(), now.direction), (Codec::G722, 4_444, Direction::RecvOnly));
        let (now, before) = (now.srtp.unwrap(), agreed.srtp.unwrap());
        assert!(now.theirs != before.theirs && now.ours == before.ours);
    }

    #[test]
    fn no_answer_changes_nothing_and_one_that_does_not_fit_is_the_end() {
        let (agreed, offer, asked) = asked(&sealed(1, true), &sealed(2, true));
        let read = |body: Option<&str>| read(body.map(Body::sdp).as_ref(), &asked, true, Some(&agreed));
        assert_eq!(read(None), Answer::AsBefore);
        let offer = String::from_utf8(offer).unwrap();
        let rejected = offer.replace("m=audio 5000", "m=audio 0");
        let in_clear = offer.replace("RTP/SAVP", "RTP/AVP").replace("a=crypto", "a=x");
        for body in [rejected.as_str(), in_clear.as_str(), offer.as_str(), "v=1\r\n", ""] {
            assert!(matches!(read(Some(body)), Answer::Unusable(_)), "{body}");
        }
    }

    #[test]
    fn the_answer_to_a_refresh_matters_where_it_says_something_new() {
        let (ours, theirs) = (sealed(1, false), sealed(2, false));
        let offer = sdp::offer(&ours, &local(5_000), Direction::SendRecv);
        let (answer, _) = sdp::answer(&offer, &theirs, &local(4_000)).unwrap();
        let agreed = sdp::accept(&answer, &ours).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let read = |body: &str| read(Some(&Body::sdp(body)), &ours.keeping(&agreed), false, Some(&agreed));
        assert_eq!(read(&answer), Answer::AsBefore);
        assert_eq!(read("nonsense"), Answer::AsBefore);
        let moved = answer.replace("m=audio 4000", "m=audio 4444");
        assert!(matches!(read(&moved), Answer::New(now) if now.remote.port() == 4_444));
    }
}
