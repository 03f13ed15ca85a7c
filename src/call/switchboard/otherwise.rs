//! Encryption that may be and need not is offered as keys beside plain RTP (RFC 8643), which everybody may take or leave. But some phones that
//! insist on encryption take nothing but RTP/SAVP. So a place that refuses the description is called once more, with RTP/SAVP offered.
//! Never the other way round: what must be encrypted is never offered in clear.

use media::sdp::{self, Capabilities, LocalMedia};
use sip::{Body, Cause, CauseKind, EndedBy, Invite, LegId};
use tracing::info;

use super::Desk;
use super::outgoing::{Calling, Prospect};

/// A second INVITE to a place, with another offer.
pub(super) struct Otherwise {
    invite: Box<Invite>,
    capabilities: Capabilities,
}

impl Otherwise {
    /// `None` where there is one way only.
    pub(super) fn of(invite: &Invite, capabilities: &Capabilities, local: &LocalMedia) -> Option<Self> {
        let encryption = capabilities.encryption.insisting()?;
        let capabilities = Capabilities { encryption, ..capabilities.clone() };
        let offer = sdp::offer(&capabilities, local, sdp::Direction::SendRecv);
        let invite = Box::new(Invite { body: Some(Body::sdp(offer)), ..invite.clone() });
        Some(Self { invite, capabilities })
    }
}

impl Desk {
    /// Calls a place again that did not like what it was offered, where there is something else to offer. Gives the new leg.
    pub(super) async fn call_otherwise(
        &mut self,
        prospect: &mut Prospect,
        refused: Calling,
        cause: &Cause,
    ) -> Option<LegId> {
        let before = refused.leg;
        let Otherwise { invite, capabilities } =
            refused.otherwise.filter(|_| is_about_the_description(cause))?;
        let leg = self.exchange.stack.invite(*invite).await.ok()?;
        info!(call = %prospect.call, trunk = refused.trunk, status = cause.status, "what need not be encrypted was refused; RTP/SAVP is offered");
        prospect.hunt.is_called_again(before, leg);
        prospect.calling.push(Calling { leg, capabilities, otherwise: None, ..refused });
        Some(leg)
    }
}

/// RFC 3261 §21.4.7, §21.4.13, §21.4.26, §21.6.4: what phones and proxies say where a session description is not to their taste.
fn is_about_the_description(cause: &Cause) -> bool {
    cause.by == EndedBy::Remote
        && cause.kind == CauseKind::Rejected
        && matches!(cause.status, Some(406 | 415 | 488 | 606))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_dislikes_the_description_is_called_again() {
        let says = |status| Cause {
            by: EndedBy::Remote,
            kind: CauseKind::Rejected,
            status: Some(status),
            reason: None,
        };
        for status in [406, 415, 488, 606] {
            assert!(is_about_the_description(&says(status)), "{status}");
        }
        for status in [404, 408, 480, 486, 487, 500, 503, 600, 603] {
            assert!(!is_about_the_description(&says(status)), "{status}");
        }
        assert!(!is_about_the_description(&Cause { by: EndedBy::Local, ..says(488) }));
    }
}
