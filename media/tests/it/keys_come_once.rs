//! Keys by RTP, by INFO and in the sound: one press is one digit, and each goes out in the way that was agreed.

use std::time::{Duration, Instant};

use media::dtmf::Mode;
use media::sdp::{self, Capabilities, Codec, LocalMedia, Negotiated};
use media::{Event, SessionConfig};

use crate::support::*;

fn agreement(port: u16, keys: Mode, events: bool) -> Negotiated {
    Negotiated { keys, dtmf_payload_type: events.then_some(101), ..agreed(address(1, port)) }
}

/// Two parties that agreed on this, A's mode and B's.
fn two(a: Mode, b: Mode, events: bool) -> (Instant, Party, Party) {
    let began = start();
    let (mut one, mut other) = (Party::new(began, 1), Party::new(began, 2));
    one.session.configure(began, &agreement(5_000, a, events));
    other.session.configure(began, &agreement(4_000, b, events));
    (began, one, other)
}

/// So many ticks of A to B.
fn talk(ticks: std::ops::Range<u32>, began: Instant, a: &mut Party, b: &mut Party) {
    for tick in ticks {
        let now = began + TICK * tick;
        a.tick(now);
        for (_, bytes) in a.sent.split_off(0) {
            b.session.handle_packet(now, address(1, 4_000), &bytes);
        }
        b.tick(now);
    }
}

#[test]
fn a_peer_without_events_is_heard_to_press_keys() {
    for law in [Codec::Pcmu, Codec::Pcma] {
        let (began, mut a, mut b) = two(Mode::Auto, Mode::Auto, false);
        for (party, port) in [(&mut a, 5_000), (&mut b, 4_000)] {
            let plain = Negotiated::plain(law, address(1, port));
            party.session.configure(began, &Negotiated { dtmf_payload_type: None, ..plain });
        }
        a.session.send_digits("0123456789*#ABCD,1122").expect("digits");
        talk(0..350, began, &mut a, &mut b);
        assert_eq!(b.digits(), "0123456789*#ABCD1122");
        assert_eq!(b.session.stats().digits_received, 20);
        for event in &b.events {
            if let Event::Digit { duration_ms, .. } = event {
                assert!((140..=170).contains(duration_ms), "{duration_ms} ms");
            }
        }
        let voices = b.events.iter().filter(|event| matches!(event, Event::VoiceStart { .. })).count();
        assert_eq!(voices, 0, "keys are no voice");
    }
}

#[test]
fn a_peer_with_events_is_not_searched_for_tones() {
    let (began, mut a, mut b) = two(Mode::Inband, Mode::Auto, true);
    a.session.send_digits("123").expect("digits");
    talk(0..60, began, &mut a, &mut b);
    assert_eq!(b.digits(), "");
    // Unless it is asked for.
    let (began, mut a, mut b) = two(Mode::Inband, Mode::Inband, true);
    a.session.send_digits("123").expect("digits");
    talk(0..60, began, &mut a, &mut b);
    assert_eq!(b.digits(), "123");
}

#[test]
fn events_and_tones_and_info_of_the_same_presses_are_told_once() {
    let (began, mut events, mut b) = two(Mode::Auto, Mode::Inband, true);
    // Whose tones go along with the events, as some gateways let them.
    let mut tones = Party::new(began, 1);
    tones.session.configure(began, &agreement(5_000, Mode::Inband, true));
    let digits = "5501*#77";
    events.session.send_digits(digits).expect("digits");
    tones.session.send_digits(digits).expect("digits");
    let mut told = digits.chars();
    let mut sequence = 0u16;
    for tick in 0..120 {
        let now = began + TICK * tick;
        events.tick(now);
        tones.tick(now);
        // One stream: the tones' numbers, and the events in between.
        for ((_, sound), (_, event)) in tones.sent.split_off(0).into_iter().zip(events.sent.split_off(0)) {
            for (half, mut bytes) in [sound, event].into_iter().enumerate() {
                if half == 1 && bytes[1] & 0x7f != 101 {
                    continue;
                }
                bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
                sequence += 1;
                bytes[8..12].copy_from_slice(&7u32.to_be_bytes());
                b.session.handle_packet(now, address(1, 4_000), &bytes);
            }
        }
        if tick % 12 == 6
            && let Some(digit) = told.next()
        {
            b.session.key_by_info(now, digit, Duration::from_millis(160));
        }
        b.tick(now);
    }
    assert_eq!(b.digits(), digits);
    let stats = b.session.stats();
    assert_eq!(stats.digits_received, 8);
    assert!(stats.digits_again >= 8, "{stats:?}");
}

#[test]
fn keys_that_go_by_info_are_told_to_the_owner_in_their_time_and_the_sound_goes_on() {
    let (began, mut a, _) = two(Mode::Info, Mode::Info, false);
    let said = tone(8_000, 300.0, 2.0);
    a.session.play(chunk(1, 8_000, said.clone(), true)).expect("room");
    a.session.send_digits("19,#").expect("digits");
    let mut pressed = Vec::new();
    for tick in 0..110 {
        a.tick(began + TICK * tick);
        for event in a.events.drain(..) {
            if let Event::Press { digit, duration_ms } = event {
                pressed.push((tick, digit, duration_ms));
            }
        }
    }
    assert_eq!(pressed, [(0, '1', 160), (12, '9', 160), (74, '#', 160)]);
    assert_eq!(a.said[..said.len()], said, "nothing was cut out for a key");
    assert!(a.sent.iter().all(|(_, bytes)| bytes[1] & 0x7f == 0));
}

#[test]
fn what_is_offered_follows_the_mode() {
    let local = LocalMedia { ip: [192, 0, 2, 9].into(), port: 4_000, session_id: 1, version: 1 };
    let full = sdp::offer(&Capabilities::default(), &local, sdp::Direction::SendRecv);
    for (mode, events) in
        [(Mode::Auto, true), (Mode::Rfc4733, true), (Mode::Info, false), (Mode::Inband, false)]
    {
        let ours = Capabilities::default().with_keys(mode);
        let offer = String::from_utf8(sdp::offer(&ours, &local, sdp::Direction::SendRecv)).expect("text");
        assert_eq!(offer.contains("telephone-event"), events, "{mode:?}");
        let (_, agreed) = sdp::answer(&full, &ours, &local).expect("agreed");
        assert_eq!((agreed.keys, agreed.dtmf_payload_type.is_some()), (mode, events));
    }
}

#[test]
fn a_key_is_as_loud_and_as_long_as_it_is_asked_to_be() {
    let began = start();
    let config = SessionConfig {
        digit_length: Duration::from_millis(9_000),
        digit_volume: 3,
        ..SessionConfig::default()
    };
    let mut a = Party::with(began, config);
    let mut b = Party::new(began, 2);
    a.session.configure(began, &agreement(5_000, Mode::Auto, true));
    b.session.configure(began, &agreement(4_000, Mode::Auto, true));
    a.session.send_digits("8").expect("a key");
    for tick in 0..500 {
        let now = began + TICK * tick;
        a.tick(now);
        for (_, bytes) in a.sent.split_off(0) {
            if bytes[1] & 0x7f == 101 {
                assert_eq!(bytes[13] & 0x3f, 3, "its volume");
            }
            b.session.handle_packet(now, address(1, 4_000), &bytes);
        }
        b.tick(now);
    }
    let lengths: Vec<u32> = b
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Digit { duration_ms, .. } => Some(*duration_ms),
            _ => None,
        })
        .collect();
    assert_eq!(lengths, [9_000], "one press, in two segments");
}

/// A recorded capture (libpcap, little-endian, Ethernet, IPv4, UDP): its RTP packets, with the time in ms at which each came.
fn capture(path: &std::path::Path) -> Vec<(u64, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("a capture");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let (mut at, mut packets) = (24, Vec::new());
    while at + 16 <= bytes.len() {
        let ms = u64::from(word(at)) * 1_000 + u64::from(word(at + 4)) / 1_000;
        let length = word(at + 8) as usize;
        packets.push((ms, bytes[at + 16 + 42..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    packets
}

#[test]
fn captures_of_another_implementation_are_understood() {
    let folder = std::path::Path::new("/usr/share/sip-tester");
    if !folder.exists() {
        return println!("skipped: there is no sip-tester");
    }
    let (began, _, mut b) = two(Mode::Auto, Mode::Auto, true);
    let mut now = began;
    // The last one begins anew: its numbers jump ahead, and its timestamps back.
    for key in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "pound", "0"] {
        let packets = capture(&folder.join(format!("dtmf_2833_{key}.pcap")));
        assert_eq!(packets.len(), 10);
        let first = packets[0].0;
        let start = now;
        for (ms, bytes) in packets {
            while now < start + Duration::from_millis(ms - first) {
                b.tick(now);
                now += TICK;
            }
            let mut bytes = bytes;
            assert_eq!(bytes[1] & 0x7f, 101);
            b.session.handle_packet(now, address(1, 4_000), &bytes);
            // And once more, as a network may.
            bytes[1] &= 0x7f;
            b.session.handle_packet(now, address(1, 4_000), &bytes);
        }
        for _ in 0..15 {
            b.tick(now);
            now += TICK;
        }
    }
    assert_eq!(b.digits(), "123456789*#0");
    let all_280 = b.events.iter().all(|event| match event {
        Event::Digit { duration_ms, .. } => *duration_ms == 280,
        _ => true,
    });
    assert!(all_280, "its sender counts from its first packet on, at which no time has passed");
}

#[test]
fn keys_are_hidden_on_their_side_however_they_travel() {
    for (how, events) in [(Mode::Auto, true), (Mode::Inband, true), (Mode::Inband, false)] {
        let began = start();
        let config = SessionConfig {
            ssrc_seed: 2,
            hide_digits: Some(Duration::from_secs(1)),
            ..SessionConfig::default()
        };
        let (mut a, mut b) = (Party::new(began, 1), Party::with(began, config));
        a.session.configure(began, &agreement(5_000, how, events));
        b.session.configure(began, &agreement(4_000, Mode::Auto, events));
        let mut hidden = [Vec::new(), Vec::new()];
        for tick in 0..250 {
            match tick {
                50 => a.session.send_digits("5").expect("a key"),
                150 => b.session.send_digits("6").expect("a key"),
                _ => {}
            }
            talk(tick..tick + 1, began, &mut a, &mut b);
            for (side, is_hidden) in b.session.hides().into_iter().enumerate() {
                if is_hidden {
                    hidden[side].push(tick);
                }
            }
        }
        let span = |side: usize| (hidden[side][0], hidden[side][hidden[side].len() - 1]);
        let ((first, last), (ours, ours_last)) = (span(0), span(1));
        // 100 ms before belong to it as well, which the recorder sees to.
        assert!((50..=55).contains(&first), "{how:?}: hidden from tick {first} on");
        assert!((105..=115).contains(&last), "{how:?}: hidden until tick {last}");
        assert_eq!((ours, hidden[0].len() as u32), (150, last - first + 1), "{how:?}");
        assert!((205..=220).contains(&ours_last), "{how:?}: ours until tick {ours_last}");
        assert_eq!(b.digits(), if how == Mode::Inband && events { "" } else { "5" });
    }
}
