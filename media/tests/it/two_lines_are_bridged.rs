//! Two calls joined by us: peer A ⇄ session A ⇄ session B ⇄ peer B, on one virtual clock.

use std::time::{Duration, Instant};

use media::sdp::{Codec, Direction};
use media::{Event, LINE_FRAME, MediaSession};

use crate::support::*;

const A: u8 = 1;
const B: u8 = 2;
const US: u8 = 9;

struct Bridge {
    began: Instant,
    ticks: u32,
    /// The peers, and our sessions towards them.
    peers: [Party; 2],
    ours: [Party; 2],
    /// One of so many packets of peer A is lost on its way to us; 0: none.
    lose: u32,
    /// Our sessions tick in this order.
    b_first: bool,
}

impl Bridge {
    fn new(codecs: [Codec; 2]) -> Self {
        let began = start();
        let mut bridge = Bridge {
            began,
            ticks: 0,
            peers: [Party::new(began, 1), Party::new(began, 2)],
            ours: [Party::new(began, 3), Party::new(began, 4)],
            lose: 0,
            b_first: false,
        };
        for (n, host) in [A, B].into_iter().enumerate() {
            for (party, remote) in [
                (&mut bridge.peers[n], address(US, 6_000 + 10 * u16::from(host))),
                (&mut bridge.ours[n], address(host, 4_000)),
            ] {
                let mut agreed = agreed(remote);
                agreed.codec = codecs[n];
                agreed.payload_type = codecs[n].payload_type();
                party.session.configure(began, &agreed);
            }
            bridge.ours[n].session.bridge(true);
        }
        bridge
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            let now = self.began + TICK * self.ticks;
            for (n, host) in [A, B].into_iter().enumerate() {
                self.peers[n].tick(now);
                for (_, bytes) in self.peers[n].sent.split_off(0) {
                    if n == 1 || self.lose == 0 || !self.ticks.is_multiple_of(self.lose) {
                        let at = now + Duration::from_millis(1);
                        self.ours[n].session.handle_packet(at, address(host, 4_000), &bytes);
                    }
                }
            }
            let [a, b] = &mut self.ours;
            let at = now + Duration::from_millis(10);
            let order = if self.b_first { [b, a] } else { [a, b] };
            let [first, second] = order;
            first.tick(at);
            pass(&mut first.session, &mut second.session);
            second.tick(at);
            pass(&mut second.session, &mut first.session);
            for (n, host) in [A, B].into_iter().enumerate() {
                for (to, bytes) in self.ours[n].sent.split_off(0) {
                    assert_eq!(to, address(host, 4_000));
                    let from = address(US, 6_000 + 10 * u16::from(host));
                    self.peers[n].session.handle_packet(at + Duration::from_millis(1), from, &bytes);
                }
            }
            self.ticks += 1;
        }
    }
}

fn pass(from: &mut MediaSession, to: &mut MediaSession) {
    if let Some(passed) = from.poll_passed() {
        to.feed(passed);
    }
}

#[test]
fn a_wide_line_and_a_narrow_one_hear_each_other() {
    for codecs in [
        [Codec::G722, Codec::Pcmu],
        [Codec::Pcma, Codec::G722],
        [Codec::G722, Codec::G722],
        [Codec::Opus, Codec::Pcmu],
        [Codec::G722, Codec::Opus],
    ] {
        let mut bridge = Bridge::new(codecs);
        bridge.run(50);
        let said = voice(8_000, 3.0);
        for peer in &mut bridge.peers {
            peer.session.play(chunk(1, 8_000, said.clone(), true)).expect("room");
        }
        bridge.run(220);
        for n in 0..2 {
            let rate = codecs[1 - n].rate();
            let heard = media::resample::convert(&bridge.peers[1 - n].heard, rate.hz(), 8_000);
            let (shift, snr) = best_fit(&said, &heard[8_000..]);
            // Opus keeps what is heard, not the wave.
            let least = if codecs.contains(&Codec::Opus) { 3.0 } else { 12.0 };
            assert!(snr >= least, "{codecs:?} from {n}: {snr:.1} dB");
            assert!(shift <= 2 * 90 * 8 + LINE_FRAME, "{codecs:?} from {n}: {} ms", shift / 8);
            let stats = bridge.ours[n].session.stats();
            assert_eq!((stats.bridge_missed, stats.bridge_dropped), (0, 0), "{stats:?}");
        }
    }
}

#[test]
fn what_one_says_the_other_hears_both_ways_at_once() {
    for (codecs, least) in [
        ([Codec::Pcmu, Codec::Pcmu], 37.0),
        ([Codec::Pcma, Codec::Pcma], 37.0),
        // Transcoded: the noise of both laws.
        ([Codec::Pcmu, Codec::Pcma], 34.0),
    ] {
        let mut bridge = Bridge::new(codecs);
        bridge.run(50);
        let said = [voice(8_000, 3.0), tone(8_000, 700.0, 3.0)];
        for (peer, said) in bridge.peers.iter_mut().zip(&said) {
            peer.session.play(chunk(1, 8_000, said.clone(), true)).expect("room");
        }
        bridge.run(220);
        for (n, said) in said.iter().enumerate() {
            let (shift, snr) = best_fit(said, &bridge.peers[1 - n].heard[8_000..]);
            assert!(snr >= least, "{codecs:?} from {n}: {snr:.1} dB");
            // Two lines, each a packet and at most 60 ms, and a frame for the bridge.
            assert!(shift <= 2 * 80 * 8 + LINE_FRAME, "{codecs:?} from {n}: {} ms", shift / 8);
            // The bridge itself: from the jitter buffer of one side to the wire of the other.
            let heard = &bridge.ours[n].heard[8_000..40_000];
            let (shift, snr) = best_fit(heard, &bridge.ours[1 - n].said[8_000..]);
            assert!(shift <= LINE_FRAME && snr > 90.0, "from {n}: {} ms, {snr:.1} dB", shift / 8);
            let stats = bridge.ours[n].session.stats();
            assert_eq!((stats.bridge_missed, stats.bridge_dropped), (0, 0), "{stats:?}");
            assert!(stats.bridge_passed > 260 && stats.bridge_sent > 260, "{stats:?}");
        }
    }
}

#[test]
fn keys_go_across_and_are_pressed_anew() {
    let mut bridge = Bridge::new([Codec::Pcmu, Codec::Pcma]);
    // B speaks another number for telephone-event; A's keys are events of its own.
    bridge.run(50);
    bridge.peers[0].session.send_digits("147*2580#").expect("digits");
    bridge.peers[1].session.send_digits("93").expect("digits");
    bridge.run(250);
    assert_eq!((bridge.peers[1].digits().as_str(), bridge.peers[0].digits().as_str()), ("147*2580#", "93"));
    assert_eq!(bridge.ours[0].digits(), "147*2580#", "and our side of the call knows of them");
}

#[test]
fn keys_become_tones_where_the_other_side_speaks_no_events() {
    let mut bridge = Bridge::new([Codec::Pcmu, Codec::Pcmu]);
    let mut deaf = agreed(address(B, 4_000));
    deaf.dtmf_payload_type = None;
    bridge.ours[1].session.configure(bridge.began, &deaf);
    bridge.run(50);
    bridge.peers[0].session.send_digits("5").expect("digits");
    bridge.run(100);
    let loud = bridge.peers[1].heard[8_000..].iter().filter(|sample| sample.abs() > 1_000).count();
    assert!((800..2_400).contains(&loud), "{loud} samples of a tone");
}

#[test]
fn a_lossy_side_is_mended_once_and_the_clean_side_stays_clean() {
    let mut bridge = Bridge::new([Codec::Pcmu, Codec::Pcmu]);
    bridge.lose = 20;
    bridge.run(50);
    let said = voice(8_000, 4.0);
    for peer in &mut bridge.peers {
        peer.session.play(chunk(1, 8_000, said.clone(), true)).expect("room");
    }
    bridge.run(260);
    let (_, clean) = best_fit(&said, &bridge.peers[0].heard[8_000..]);
    let (_, lossy) = best_fit(&said, &bridge.peers[1].heard[8_000..]);
    assert!(clean >= 37.0, "{clean:.1} dB");
    assert!(lossy >= 8.0, "{lossy:.1} dB");
    assert_eq!(bridge.peers[1].session.stats().lost, 0, "what goes out is whole");
    assert!(bridge.ours[0].session.stats().concealed_frames > 5);
    assert_eq!(bridge.ours[1].session.stats().bridge_missed, 0);
}

#[test]
fn unbridged_there_is_silence_and_the_line_lives() {
    let mut bridge = Bridge::new([Codec::Pcmu, Codec::Pcmu]);
    bridge.run(50);
    bridge.peers[0].session.play(chunk(1, 8_000, tone(8_000, 500.0, 10.0), true)).expect("room");
    bridge.run(100);
    assert!(bridge.peers[1].heard[20_000..].iter().any(|sample| sample.abs() > 5_000));
    for ours in &mut bridge.ours {
        ours.session.bridge(false);
    }
    bridge.run(20);
    let from = bridge.peers[1].heard.len();
    bridge.run(50);
    assert!(bridge.peers[1].heard[from..].iter().all(|sample| sample.abs() < 16));
    assert_eq!(bridge.ours[1].session.stats().sent, u64::from(bridge.ticks));
    // Something can be said again.
    bridge.ours[1].session.play(chunk(2, 8_000, tone(8_000, 500.0, 0.5), true)).expect("room");
    bridge.run(50);
    assert!(bridge.peers[1].heard[from + 8_000..].iter().any(|sample| sample.abs() > 5_000));
}

#[test]
fn a_side_on_hold_is_silence_for_the_other_and_nothing_piles_up() {
    let mut bridge = Bridge::new([Codec::Pcmu, Codec::Pcmu]);
    bridge.run(50);
    for peer in &mut bridge.peers {
        peer.session.play(chunk(1, 8_000, tone(8_000, 500.0, 20.0), false)).expect("room");
    }
    let mut held = agreed(address(A, 4_000));
    held.direction = Direction::Inactive;
    bridge.ours[0].session.configure(bridge.began + TICK * bridge.ticks, &held);
    let sent = bridge.ours[0].session.stats().sent;
    bridge.run(100);
    let heard = &bridge.peers[1].heard;
    assert!(heard[heard.len() - 4_000..].iter().all(|sample| sample.abs() < 16));
    assert_eq!(bridge.ours[0].session.stats().sent, sent);
    bridge.ours[0].session.configure(bridge.began + TICK * bridge.ticks, &agreed(address(A, 4_000)));
    bridge.run(50);
    for (n, peer) in bridge.peers.iter().enumerate() {
        assert!(peer.heard[peer.heard.len() - 800..].iter().any(|sample| sample.abs() > 5_000), "{n}");
    }
    let stats = bridge.ours[0].session.stats();
    assert!(stats.bridge_dropped <= 1, "what was held is not sent later: {stats:?}");
}

#[test]
fn the_order_of_ticks_may_change() {
    let mut bridge = Bridge::new([Codec::Pcmu, Codec::Pcmu]);
    bridge.run(50);
    for peer in &mut bridge.peers {
        peer.session.play(chunk(1, 8_000, tone(8_000, 500.0, 30.0), false)).expect("room");
    }
    for _ in 0..10 {
        bridge.run(60);
        bridge.b_first = !bridge.b_first;
    }
    for ours in &bridge.ours {
        let stats = ours.session.stats();
        assert!(stats.bridge_missed <= 1 && stats.bridge_dropped == 0, "{stats:?}");
    }
}

#[test]
fn what_is_played_sounds_besides_and_both_sides_are_recorded() {
    let mut bridge = Bridge::new([Codec::Pcmu, Codec::Pcmu]);
    bridge.run(50);
    bridge.peers[1].session.play(chunk(1, 8_000, tone(8_000, 500.0, 3.0), true)).expect("room");
    bridge.ours[0].session.play(chunk(2, 8_000, tone(8_000, 1_100.0, 1.0), true)).expect("room");
    bridge.run(100);
    let played = |event: &Event| matches!(event, Event::Played { mark: media::Mark(2), .. });
    assert!(bridge.ours[0].events.iter().any(played));
    let loudest = |pcm: &[i16]| pcm.iter().map(|sample| sample.unsigned_abs()).max();
    let (both, one) = (&bridge.ours[0].said[9_600..14_400], &bridge.ours[0].said[19_200..24_000]);
    assert!(
        loudest(both) > Some(14_000) && loudest(one) < Some(10_000),
        "{:?} {:?}",
        loudest(both),
        loudest(one)
    );
}
