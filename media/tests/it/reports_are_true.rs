//! RTCP between two sessions: what one counts the other is told, and what both make of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::sdp::Negotiated;
use media::{Channel, MediaSession, SessionConfig, Stats};

use crate::support::*;

/// Two sessions and the wire between them, which takes its time and loses what it is told to.
struct Wire {
    now: Instant,
    ends: [MediaSession; 2],
    addresses: [SocketAddr; 2],
    delay: Duration,
    flying: BTreeMap<(Instant, u64), (usize, Channel, Vec<u8>)>,
    sent: u64,
    /// RTCP, as it left: by whom, and from which port.
    control: Vec<(usize, Channel, Vec<u8>)>,
}

impl Wire {
    fn new(delay_ms: u64, change: impl Fn(&mut Negotiated)) -> Self {
        let now = start();
        let addresses = [address(1, 4_000), address(2, 5_000)];
        let ends = [1, 2].map(|seed| {
            MediaSession::new(SessionConfig { ssrc_seed: seed, ..SessionConfig::default() }, now)
        });
        let delay = Duration::from_millis(delay_ms);
        let mut wire =
            Wire { now, ends, addresses, delay, flying: BTreeMap::new(), sent: 0, control: Vec::new() };
        for end in 0..2 {
            let mut agreed = agreed(addresses[1 - end]);
            change(&mut agreed);
            wire.ends[end].configure(now, &agreed);
        }
        wire
    }

    /// `loses`: whether this packet of this end's RTP, by its number, is lost.
    fn run(&mut self, seconds: u64, loses: impl Fn(usize, u64) -> bool) {
        for _ in 0..seconds * 50 {
            self.now += TICK;
            while let Some(due) = self.flying.first_entry().filter(|first| first.key().0 <= self.now) {
                let ((at, _), (to, channel, bytes)) = due.remove_entry();
                self.deliver(at, to, channel, &bytes);
            }
            for end in 0..2 {
                self.ends[end].tick(self.now);
                self.take(end, &loses);
                while self.ends[end].poll_event().is_some() {}
            }
        }
    }

    fn take(&mut self, end: usize, loses: impl Fn(usize, u64) -> bool) {
        while let Some(packet) = self.ends[end].poll_transmit() {
            let (channel, bytes) = (packet.channel, packet.bytes.to_vec());
            let is_control = (192..=223).contains(&bytes[1]);
            if is_control {
                self.control.push((end, channel, bytes.clone()));
            }
            self.sent += 1;
            let number = u64::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            if is_control || !loses(end, number) {
                self.flying.insert((self.now + self.delay, self.sent), (1 - end, channel, bytes));
            }
        }
    }

    fn deliver(&mut self, at: Instant, to: usize, channel: Channel, bytes: &[u8]) {
        let from = self.addresses[1 - to];
        match channel {
            Channel::Rtp => self.ends[to].handle_packet(at, from, bytes),
            Channel::Rtcp => {
                self.ends[to].handle_rtcp(at, SocketAddr::new(from.ip(), from.port() + 1), bytes)
            }
        }
    }

    fn stats(&self) -> [Stats; 2] {
        [self.ends[0].stats(), self.ends[1].stats()]
    }
}

fn all_is_well(_: usize, _: u64) -> bool {
    false
}

#[test]
fn the_round_trip_is_what_the_wire_takes() {
    let mut wire = Wire::new(35, |_| {});
    wire.run(30, all_is_well);
    for stats in wire.stats() {
        let round_trip = stats.round_trip_ms.expect("both report");
        assert!((round_trip - 70.0).abs() < 1.0, "{round_trip}");
        assert!(stats.rtcp_sent >= 5 && stats.rtcp_received >= 5, "{stats:?}");
        let (heard, peer) = (stats.quality.heard.expect("heard"), stats.quality.peer.expect("told"));
        // 35 ms, a packet of 20 and a jitter buffer of 20 to 40.
        assert!((75.0..=96.0).contains(&heard.delay_ms), "{heard:?}");
        assert!(heard.mos > 4.35 && peer.mos > 4.35 && heard.mos_worst > Some(4.35), "{stats:?}");
        assert_eq!((heard.loss, heard.discard, heard.burst_ratio), (0.0, 0.0, 1.0));
    }
}

#[test]
fn both_ends_agree_on_what_was_lost() {
    let mut wire = Wire::new(10, |agreed| agreed.rtcp_xr = true);
    // One in twenty, alone, of one direction.
    wire.run(60, |end, number| end == 0 && number % 20 == 3);
    let [a, b] = wire.stats();
    let (heard, told) = (b.quality.heard.expect("heard"), a.quality.peer.expect("told"));
    assert!((heard.loss - 0.05).abs() < 0.003, "{heard:?}");
    assert!((told.loss - 0.05).abs() < 0.01, "{told:?}");
    assert!((heard.mos - told.mos).abs() < 0.1 && (3.7..4.1).contains(&heard.mos), "{heard:?} {told:?}");
    // By the peer's own extended report, which knows more.
    assert!((told.mos_told.expect("told") - heard.mos).abs() < 0.1, "{told:?}");
    assert!(told.bursts.expect("told").gap_density > 0.04, "one packet alone is no burst: {told:?}");
    assert_eq!(heard.bursts.expect("counted").burst_ms, 0.0);
    let (clean, clean_told) = (a.quality.heard.expect("heard"), b.quality.peer.expect("told"));
    assert!(clean.mos > 4.35 && clean_told.mos > 4.35 && clean_told.loss == 0.0, "{clean:?} {clean_told:?}");
}

#[test]
fn a_bad_moment_is_remembered_and_forgiven() {
    let mut wire = Wire::new(10, |_| {});
    wire.run(30, all_is_well);
    // Six seconds in which one packet of four is lost, in pairs.
    wire.run(6, |end, number| end == 0 && number % 8 < 2);
    let bad = wire.stats()[1].quality.heard.expect("heard");
    wire.run(60, all_is_well);
    let [a, b] = wire.stats();
    let heard = b.quality.heard.expect("heard");
    assert!(heard.mos > 4.0, "{heard:?}");
    assert!(heard.mos_worst.expect("known") < 2.8 && heard.mos_now.expect("known") > 4.35, "{heard:?}");
    assert!(heard.mos_worst <= bad.mos_now && heard.burst_ratio > 1.5, "{heard:?}");
    let bursts = heard.bursts.expect("counted");
    assert!((5_000.0..6_500.0).contains(&bursts.burst_ms), "{bursts:?}");
    assert!((0.2..0.3).contains(&bursts.burst_density) && bursts.gap_density == 0.0, "{bursts:?}");
    let told = a.quality.peer.expect("told");
    assert!(told.mos_worst.expect("known") < 3.4 && told.mos_now.expect("known") > 4.35, "{told:?}");
}

#[test]
fn rtp_and_rtcp_share_a_port_where_that_was_agreed() {
    let mut wire = Wire::new(10, |agreed| {
        agreed.rtcp_mux = true;
        agreed.remote_rtcp = agreed.remote;
    });
    wire.run(20, all_is_well);
    assert!(wire.control.iter().all(|(_, channel, _)| *channel == Channel::Rtp));
    for stats in wire.stats() {
        assert!(stats.rtcp_received >= 3 && stats.round_trip_ms.is_some(), "{stats:?}");
        assert_eq!((stats.unknown_payload, stats.malformed, stats.strangers, stats.lost), (0, 0, 0, 0));
    }
}

#[test]
fn who_goes_says_so() {
    let mut wire = Wire::new(10, |_| {});
    wire.run(2, all_is_well);
    let now = wire.now;
    wire.ends[0].goodbye(now);
    wire.take(0, all_is_well);
    let (end, channel, last) = wire.control.last().expect("a goodbye").clone();
    assert_eq!(
        (end, channel, &last[last.len() - 8..last.len() - 4]),
        (0, Channel::Rtcp, &[0x81, 203, 0, 1][..])
    );
    assert_eq!(last[last.len() - 4..], last[4..8], "of the stream that reports");
    wire.run(1, |end, _| end == 0);
    assert_eq!(wire.stats().map(|stats| stats.byes), [0, 1]);
    // Where nothing was ever said, nobody need be told.
    let mut silent = MediaSession::new(SessionConfig::default(), now);
    silent.configure(now, &agreed(address(3, 4_000)));
    silent.goodbye(now);
    assert!(silent.poll_transmit().is_none());
}

#[test]
fn a_peer_that_sends_everything_back_is_heard_and_changes_our_name_once() {
    let began = start();
    let peer = address(9, 6_000);
    let mut party = Party::new(began, 4);
    party.session.configure(began, &agreed(peer));
    party.session.play(chunk(1, 8_000, voice(8_000, 8.0), true)).expect("room");
    let mut names = Vec::new();
    for tick in 0..400u32 {
        let now = began + TICK * tick;
        party.session.tick(now);
        let mut back = Vec::new();
        while let Some(packet) = party.session.poll_transmit() {
            back.push((packet.channel, packet.bytes.to_vec()));
        }
        for (channel, bytes) in back {
            match channel {
                Channel::Rtp => {
                    names.push(bytes[8..12].to_vec());
                    party.session.handle_packet(now + TICK / 2, peer, &bytes);
                }
                Channel::Rtcp => {
                    let from = SocketAddr::new(peer.ip(), peer.port() + 1);
                    party.session.handle_rtcp(now + TICK / 2, from, &bytes);
                }
            }
        }
        party.listen();
        let block = party.session.poll_recording().expect("recorded");
        party.heard.extend(block.iter().step_by(2));
        party.said.extend(block.iter().skip(1).step_by(2));
    }
    names.dedup();
    assert_eq!(names.len(), 2, "once, and never again");
    let stats = party.session.stats();
    assert_eq!((stats.ssrc_collisions, stats.resyncs), (1, 1), "{stats:?}");
    assert!(stats.looped > 350 && stats.received > 390, "{stats:?}");
    let (_, snr) = best_fit(&party.said[8_000..24_000], &party.heard[8_000..32_000]);
    assert!(snr > 30.0, "our own voice, come back: {snr:.1} dB");
}

#[test]
fn our_name_outlives_our_number() {
    let mut wire = Wire::new(10, |_| {});
    wire.run(8, all_is_well);
    let first = wire.control.iter().find(|(end, ..)| *end == 0).expect("a report").2.clone();
    // Somebody has chosen our SSRC.
    let mut packet = vec![0x80, 0, 0, 9, 0, 0, 0, 0];
    packet.extend(&first[4..8]);
    packet.extend([0xff; 160]);
    let (now, peer) = (wire.now + Duration::from_millis(200), wire.addresses[1]);
    wire.ends[0].handle_packet(now, peer, &packet);
    wire.control.clear();
    wire.take(0, all_is_well);
    let goodbye = wire.control.pop().expect("the old number says goodbye").2;
    assert_eq!((&goodbye[4..8], &goodbye[goodbye.len() - 4..]), (&first[4..8], &first[4..8]));
    wire.run(8, all_is_well);
    let second = wire.control.iter().find(|(end, ..)| *end == 0).expect("a report").2.clone();
    assert_ne!(first[4..8], second[4..8]);
    // The CNAME stands last: its kind, its length, sixteen letters, two zeroes.
    let name = |bytes: &[u8]| bytes[bytes.len() - 20..].to_vec();
    assert_eq!((&name(&first)[..2], name(&first)), (&[1, 16][..], name(&second)));
}
