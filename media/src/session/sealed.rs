//! The session's outermost skin: what comes in is opened before anything looks at it, what goes out is sealed as the last thing.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Channel, MediaSession, Transmit};
use crate::rtcp;
use crate::srtp::{Keys, Srtp};

impl MediaSession {
    /// Takes a datagram that came to the RTP port.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Some(mut srtp) = self.srtp.take() else { return self.handle_rtp(now, from, bytes) };
        let shares = self.agreed.as_ref().is_some_and(|agreed| agreed.may_share_port());
        // The heads stand in clear, so the two are told apart as ever (RFC 5761 §4).
        let opened = match rtcp::is_rtcp(bytes) && shares {
            true => srtp.open_rtcp(bytes).map(|packet| (packet, false)),
            false => srtp.open_rtp(bytes),
        };
        match opened {
            Ok((packet, is_first)) => {
                if is_first {
                    // Nobody but the peer could have begun another stream.
                    self.latch.stream_ends();
                }
                self.handle_rtp(now, from, packet);
            }
            Err(refused) => self.stats.refused(refused),
        }
        self.srtp = Some(srtp);
    }

    /// Takes a datagram that came to the RTCP port.
    pub fn handle_rtcp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Some(mut srtp) = self.srtp.take() else { return self.handle_reports(now, from, bytes) };
        match srtp.open_rtcp(bytes) {
            Ok(packet) => self.handle_reports(now, from, packet),
            Err(refused) => self.stats.refused(refused),
        }
        self.srtp = Some(srtp);
    }

    /// The next packet to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        let (to, channel, packet) = self.sender.poll()?;
        if let Some(srtp) = &mut self.srtp {
            let muxed = self.agreed.as_ref().is_some_and(|agreed| agreed.rtcp_mux);
            match channel == Channel::Rtcp || muxed && rtcp::is_rtcp(packet) {
                true => srtp.seal_rtcp(packet),
                false => srtp.seal_rtp(packet),
            }
        }
        Some(Transmit { to, channel, bytes: packet })
    }

    /// Packets are sealed and opened with these keys from here on.
    pub(super) fn secure(&mut self, keys: Option<&Keys>) {
        let counts_anew = match (keys, &mut self.srtp) {
            (Some(keys), Some(srtp)) => srtp.agree(keys),
            (Some(keys), none) => {
                *none = Some(Box::new(Srtp::new(keys)));
                self.agreed.is_some()
            }
            (None, srtp) => {
                *srtp = None;
                false
            }
        };
        if counts_anew {
            // Never two packets under one key with one number.
            self.sender.change_ssrc();
        }
    }
}
