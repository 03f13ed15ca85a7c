//! What a description says of RTCP: where it goes (RFC 3605), whether it shares RTP's port (RFC 5761), and whether extended reports on how a
//! call sounds are wished for (RFC 3611 §5).

use std::net::{IpAddr, SocketAddr};

use super::parse::{Medium, canonical};
use super::{Capabilities, Negotiated};

/// The extended report that we make, as its attribute names it.
const VOIP_METRICS: &str = "voip-metrics";

/// Behind the stream's other attributes: our wishes in an offer, and in an answer what both want.
pub(super) fn write(text: &mut String, mux: bool, extended: bool) {
    if mux {
        text.push_str("a=rtcp-mux\r\n");
    }
    if extended {
        text.push_str("a=rtcp-xr:");
        text.push_str(VOIP_METRICS);
        text.push_str("\r\n");
    }
}

/// `a=rtcp:53020` or `a=rtcp:53020 IN IP4 126.16.64.4` (RFC 3605), else the next port (RFC 3550 §11).
pub(super) fn address(medium: &Medium, address: IpAddr) -> SocketAddr {
    let next = SocketAddr::new(address, medium.port.checked_add(1).unwrap_or(medium.port));
    let Some(value) = medium.attribute("rtcp") else { return next };
    let mut words = value.split_ascii_whitespace();
    let Some(port) = words.next().and_then(|port| port.parse().ok()) else { return next };
    let stated = words.nth(2).and_then(|address| address.parse().ok()).map(canonical);
    SocketAddr::new(stated.unwrap_or(address), port)
}

/// Adds to an agreement what the peer says. Payload types that look like RTCP keep the two ports apart.
pub(super) fn agree(medium: &Medium, capabilities: &Capabilities, agreed: &mut Negotiated) {
    let says = |name: &str| medium.attributes.iter().any(|attribute| attribute.name == name);
    agreed.rtcp_mux = capabilities.rtcp_mux && says("rtcp-mux") && agreed.may_share_port();
    if agreed.rtcp_mux {
        agreed.remote_rtcp = agreed.remote;
    }
    let wishes = medium.attribute("rtcp-xr").unwrap_or_default();
    agreed.rtcp_xr = wishes.split_ascii_whitespace().any(|wish| wish.eq_ignore_ascii_case(VOIP_METRICS));
}
