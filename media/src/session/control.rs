//! The session's RTCP: when it reports, what it makes of the peer's reports, and the goodbye.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{Channel, MediaSession};
use crate::rtcp::{self, Cname, Compound, Heard, Sent};
use crate::sdp::Negotiated;
use crate::send::mix;

/// How often we report, give or take (RFC 3550 §6.2).
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// A longer round trip is a peer that cannot count, 1/65,536 s.
const LONGEST_ROUND_TRIP: u32 = 10 << 16;

pub(super) struct Control {
    cname: Cname,
    next: Instant,
    /// The peer's last sender report: the middle of its NTP timestamp, and when it came.
    heard: Option<(u32, Instant)>,
    /// Where the peer's reports really come from, and so where ours go (RFC 4961).
    source: Option<SocketAddr>,
    /// Who has used our SSRC: what carries the next one too is our own stream, come back.
    conflict: Option<IpAddr>,
    /// The longest that the jitter buffer holds, which the extended reports say.
    most: Duration,
}

impl Control {
    pub(super) fn new(seed: u64, now: Instant, most: Duration) -> Self {
        let high = mix(seed ^ 0x0063_6e61_6d65);
        Control {
            cname: Cname::new(high, mix(high)),
            next: now,
            heard: None,
            source: None,
            conflict: None,
            most,
        }
    }

    /// A description is in force.
    pub(super) fn agreed(&mut self, now: Instant, first: bool) {
        self.source = None;
        if first {
            self.next = now + REPORT_EVERY / 2;
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    fn heard(&self, now: Instant) -> Heard {
        self.heard.map_or_else(Heard::default, |(last, at)| Heard {
            last,
            since: (now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000) as u32,
        })
    }
}

impl MediaSession {
    /// Takes what came to the RTCP port, as it was before it was sealed.
    pub(super) fn handle_reports(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let before = self.stats.rtcp_received;
        let theirs = self.receiver.ssrc();
        if self.reported(now, from, bytes) == theirs && theirs.is_some() && self.stats.rtcp_received > before
        {
            self.control.source = Some(from);
        }
    }

    /// Says goodbye by RTCP (RFC 3550 §6.6), if anything has been said or heard: what [`poll_transmit`](Self::poll_transmit) gives then is the
    /// last of this session.
    pub fn goodbye(&mut self, now: Instant) {
        if self.stats.sent > 0 || self.stats.received > 0 {
            self.send_report(now, true);
        }
    }

    /// Takes a report, on whichever port it came; gives who made it.
    pub(super) fn reported(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Option<u32> {
        // The port may be another one than RTP's; the host must be the one that we talk to.
        let known = self.latch.source().or(self.latch.destination()).map(|source| source.ip());
        if self.agreed.is_none() || known != Some(from.ip()) {
            self.stats.strangers += 1;
            return None;
        }
        let Some(report) = rtcp::parse(bytes, self.sender.ssrc) else {
            self.stats.malformed += 1;
            return None;
        };
        self.stats.rtcp_received += 1;
        if report.ssrc == Some(self.sender.ssrc) {
            // Our own, come back; or somebody with our name.
            self.collide(now, from.ip());
            return None;
        }
        if report.gone.is_some() && report.gone == self.receiver.ssrc() {
            self.stats.byes += 1;
            self.latch.stream_ends();
        }
        if let Some(middle) = report.sender {
            self.control.heard = Some((middle, now));
        }
        if let Some(block) = &report.block {
            self.stats.peer_loss = Some(f32::from(block.fraction_lost) / 256.0);
            if block.last != 0 {
                // RFC 3550 §6.4.1: A − LSR − DLSR.
                let arrived = (self.ntp(now) >> 16) as u32;
                let round_trip = arrived.wrapping_sub(block.last).wrapping_sub(block.since);
                if round_trip < LONGEST_ROUND_TRIP {
                    let ms = round_trip as f32 / 65.536;
                    self.stats.round_trip_ms = Some(ms);
                    self.quality.round_trip(ms);
                }
            }
            self.quality.reported(block);
        }
        if let Some(voip) = report.voip {
            self.quality.told(voip);
        }
        report.ssrc
    }

    /// A packet carries our SSRC. One of the two must change, and we can (RFC 3550 §8.2); but if the next one comes from there as well, it is
    /// our own stream that comes back, and to change again would help nobody.
    pub(super) fn collide(&mut self, now: Instant, from: IpAddr) {
        if self.control.conflict == Some(from) {
            self.stats.looped += 1;
            return;
        }
        self.control.conflict = Some(from);
        self.stats.ssrc_collisions += 1;
        if self.stats.sent > 0 {
            self.send_report(now, true);
        }
        self.sender.change_ssrc();
    }

    /// An interval of reports is over.
    pub(super) fn report(&mut self, now: Instant, agreed: &Negotiated) {
        // Spread, so that many calls do not report at once; and not with the regularity that §6.2 warns of.
        let spread = u64::from(self.sender.ssrc.rotate_left(self.stats.sent as u32 % 32) % 2_000);
        self.control.next = now + REPORT_EVERY - Duration::from_secs(1) + Duration::from_millis(spread);
        if agreed.direction.receives() {
            self.quality.mark(self.stats.delay_ms);
        }
        if let Some(share) = self.stats.peer_loss {
            self.sender.expect_loss(share);
        }
        self.send_report(now, false);
    }

    fn send_report(&mut self, now: Instant, bye: bool) {
        let Some(agreed) = &self.agreed else { return };
        let (to, channel) = match self.latch.source() {
            Some(source) if agreed.rtcp_mux => (source, Channel::Rtp),
            None if agreed.rtcp_mux => (agreed.remote, Channel::Rtp),
            source => (self.control.source.unwrap_or_else(|| beside(source, agreed)), Channel::Rtcp),
        };
        if to.ip().is_unspecified() || to.port() == 0 {
            return;
        }
        let sent = Sent {
            ntp: self.ntp(now),
            timestamp: self.sender.timestamp(),
            packets: self.stats.sent as u32,
            bytes: self.stats.sent_bytes as u32,
        };
        let sends = agreed.direction.sends() && self.stats.sent > 0;
        let extended = agreed.rtcp_xr;
        let reception = self.receiver.report();
        let voip = reception
            .filter(|_| extended)
            .and_then(|of| self.quality.voip(of.ssrc, &self.stats, self.control.most));
        let packet = Compound {
            ssrc: self.sender.ssrc,
            cname: &self.control.cname,
            sent: sends.then_some(sent),
            reception,
            heard: self.control.heard(now),
            voip,
            bye,
        };
        self.stats.rtcp_sent += 1;
        rtcp::write(&packet, self.sender.control(to, channel));
    }

    /// Time since the session began as NTP fixed point. One second is added, so that its middle is never the 0 that means "none".
    fn ntp(&self, now: Instant) -> u64 {
        let time = now.saturating_duration_since(self.epoch) + Duration::from_secs(1);
        (time.as_secs() << 32) | ((u64::from(time.subsec_nanos()) << 32) / 1_000_000_000)
    }
}

/// Where a peer takes RTCP that has not said so itself: where it announced, but if it sends from another host than that, beside its RTP.
fn beside(source: Option<SocketAddr>, agreed: &Negotiated) -> SocketAddr {
    match source {
        Some(source) if source.ip() != agreed.remote_rtcp.ip() => {
            SocketAddr::new(source.ip(), source.port().saturating_add(1))
        }
        _ => agreed.remote_rtcp,
    }
}
