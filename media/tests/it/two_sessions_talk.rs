use std::time::Duration;

use media::sdp::{Codec, Direction};
use media::{Event, Mark};

use crate::support::*;

/// Both sides tick at once and hand over everything.
fn talk(a: &mut Party, b: &mut Party, began: std::time::Instant, from: u32, ticks: u32) {
    let (here, there) = (address(1, 4_000), address(2, 5_000));
    for tick in from..from + ticks {
        let now = began + TICK * tick;
        a.tick(now);
        b.tick(now);
        for (to, bytes) in a.sent.split_off(0) {
            assert_eq!(to, there);
            b.session.handle_packet(now + Duration::from_millis(1), here, &bytes);
        }
        for (to, bytes) in b.sent.split_off(0) {
            assert_eq!(to, here);
            a.session.handle_packet(now + Duration::from_millis(1), there, &bytes);
        }
    }
}

fn pair(codec: Codec, ptime_ms: u8) -> (Party, Party, std::time::Instant) {
    let began = start();
    let (mut a, mut b) = (Party::new(began, 1), Party::new(began, 2));
    for (party, remote) in [(&mut a, address(2, 5_000)), (&mut b, address(1, 4_000))] {
        let mut agreed = agreed(remote);
        agreed.codec = codec;
        agreed.payload_type = codec.payload_type();
        agreed.ptime_ms = ptime_ms;
        party.session.configure(began, &agreed);
    }
    (a, b, began)
}

#[test]
fn a_clean_line_carries_every_sample_at_every_ptime() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        for ptime in [10, 20, 30, 40, 50, 60] {
            let (mut a, mut b, began) = pair(codec, ptime);
            let said = voice(8_000, 3.0);
            // A sender with a 20 ms clock sends 30 ms packets unevenly; a second of silence lets the buffer find its place.
            talk(&mut a, &mut b, began, 0, 50);
            a.session.play(chunk(1, 8_000, said.clone(), true)).expect("room");
            talk(&mut a, &mut b, began, 50, 250);
            let stats = b.session.stats();
            assert_eq!((stats.lost, stats.late), (0, 0), "{codec:?} {ptime}: {stats:?}");
            assert!(stats.accelerated <= u64::from(ptime % 20 != 0), "{codec:?} {ptime}: {stats:?}");
            let (shift, snr) = best_fit(&said, &b.heard[8_000..]);
            assert!(snr >= 37.0, "{codec:?} {ptime} ms: {snr:.1} dB, {stats:?}");
            // Mouth to ear: one packet, one tick, and at most 40 ms in the buffer.
            assert!(shift <= (usize::from(ptime).max(20) + 60) * 8, "{codec:?} {ptime} ms: {} ms", shift / 8);
        }
    }
}

#[test]
fn the_voice_of_a_synthesizer_comes_through_at_its_own_pitch() {
    let (mut a, mut b, began) = pair(Codec::Pcmu, 20);
    let said = voice(22_050, 2.0);
    for (index, piece) in said.chunks(3_001).enumerate() {
        a.session.play(chunk(7, 22_050, piece.to_vec(), index == said.len() / 3_001)).expect("room");
    }
    talk(&mut a, &mut b, began, 0, 150);
    // What the law leaves of it, to the sample: so nothing else has changed it, and there is no seam.
    let at_line_rate: Vec<i16> = media::resample::convert(&said, 22_050, 8_000)
        .into_iter()
        .map(|sample| media::g711::decode_ulaw(media::g711::encode_ulaw(sample)))
        .collect();
    let (_, snr) = best_fit(&at_line_rate, &b.heard);
    assert!(snr >= 80.0, "{snr:.1} dB: there are seams");
    let played: Vec<_> = a
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Started { mark, .. } => Some((*mark, None)),
            Event::Played { mark, duration, .. } => Some((*mark, Some(*duration))),
            _ => None,
        })
        .collect();
    assert_eq!(played, [(Mark(7), None), (Mark(7), Some(Duration::from_secs(2)))]);
}

#[test]
fn frames_come_with_every_tick_and_speech_has_a_beginning_and_an_end() {
    let (mut a, mut b, began) = pair(Codec::Pcmu, 20);
    talk(&mut a, &mut b, began, 0, 50);
    a.session.play(chunk(1, 8_000, voice(8_000, 0.6), true)).expect("room");
    talk(&mut a, &mut b, began, 50, 100);
    assert!(b.frames() >= 147, "{}", b.frames());
    let sequence: Vec<u64> = b
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Frame { seq, .. } => Some(*seq),
            _ => None,
        })
        .collect();
    assert!(sequence.iter().enumerate().all(|(index, seq)| *seq == index as u64));
    assert!(a.frames() >= 147, "the other side sends silence, and that is heard too");
}

#[test]
fn hold_stops_what_it_says_and_resume_brings_it_back() {
    let (mut a, mut b, began) = pair(Codec::Pcmu, 20);
    talk(&mut a, &mut b, began, 0, 10);
    // B puts A on hold: A may not send, and hears music.
    let mut held = agreed(address(2, 5_000));
    held.direction = Direction::RecvOnly;
    a.session.configure(began + TICK * 10, &held);
    a.session.play(chunk(1, 8_000, tone(8_000, 500.0, 0.2), true)).expect("room");
    let before = (a.session.stats().sent, a.frames());
    talk(&mut a, &mut b, began, 10, 50);
    assert_eq!(a.session.stats().sent, before.0);
    assert_eq!(a.frames(), before.1 + 50);
    a.session.configure(began + TICK * 60, &agreed(address(2, 5_000)));
    talk(&mut a, &mut b, began, 60, 50);
    // What was queued during hold was kept.
    assert!(a.events.iter().any(|event| matches!(event, Event::Played { mark: Mark(1), .. })));
    assert_eq!(a.session.stats().sent, before.0 + 50);
    // Held both ways: nothing goes, nothing comes, and that is no failure.
    held.direction = Direction::Inactive;
    a.session.configure(began + TICK * 110, &held);
    let before = (a.session.stats().sent, a.frames());
    talk(&mut a, &mut b, began, 110, 20);
    assert_eq!((a.session.stats().sent, a.frames()), before);
}

#[test]
fn silence_on_the_line_is_told_again_and_again() {
    let (mut a, _, began) = pair(Codec::Pcmu, 20);
    for tick in 0..450 {
        a.tick(began + TICK * tick);
    }
    let told: Vec<u32> = a
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Silence { for_ms } => Some(*for_ms),
            _ => None,
        })
        .collect();
    assert_eq!(told, [1_000, 2_000, 4_000, 8_000]);
    assert_eq!(a.frames(), 0, "nobody has been heard yet");
}

#[test]
fn reports_give_the_round_trip_time() {
    let (mut a, mut b, began) = pair(Codec::Pcmu, 20);
    let delay = Duration::from_millis(30);
    let mut flying: Vec<(std::time::Instant, bool, bool, Vec<u8>)> = Vec::new();
    for tick in 0..900u32 {
        let now = began + TICK * tick;
        let (arrived, later) = flying.into_iter().partition(|packet| packet.0 <= now);
        flying = later;
        for (at, to_a, rtcp, bytes) in arrived {
            let (party, port) = if to_a { (&mut a, 5_000) } else { (&mut b, 4_000) };
            let from = address(if to_a { 2 } else { 1 }, port + u16::from(rtcp));
            if rtcp {
                party.session.handle_rtcp(at, from, &bytes);
            } else {
                party.session.handle_packet(at, from, &bytes);
            }
        }
        for (party, to_a) in [(&mut a, false), (&mut b, true)] {
            party.session.tick(now);
            while let Some(packet) = party.session.poll_transmit() {
                let rtcp = packet.channel == media::Channel::Rtcp;
                flying.push((now + delay, to_a, rtcp, packet.bytes.to_vec()));
            }
        }
    }
    let round_trip = a.session.stats().round_trip_ms.expect("reports were exchanged");
    assert!((55.0..=65.0).contains(&round_trip), "{round_trip} ms");
    assert_eq!(a.session.stats().peer_loss, Some(0.0));
}
