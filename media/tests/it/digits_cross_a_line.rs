use std::time::Duration;

use media::{DigitsError, Event, SessionConfig};

use crate::support::*;

fn dial(digits: &str, ticks: u32) -> Party {
    let began = start();
    let mut party = Party::new(began, 3);
    party.session.configure(began, &agreed(address(2, 5_000)));
    party.session.send_digits(digits).expect("digits");
    (0..ticks).for_each(|tick| party.tick(began + TICK * tick));
    party
}

/// Header and payload of a packet: marker, payload type, sequence, timestamp, payload.
fn read(bytes: &[u8]) -> (bool, u8, u16, u32, &[u8]) {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (bytes[1] & 0x80 != 0, bytes[1] & 0x7f, word(0) as u16, word(4), &bytes[12..])
}

#[test]
fn a_key_is_sent_as_the_standard_has_it() {
    let party = dial("5", 16);
    let packets: Vec<_> = party.sent.iter().map(|(_, bytes)| read(bytes)).collect();
    assert_eq!(packets.len(), 16, "one packet per tick, event or sound");
    // 160 ms: eight packets, the duration growing by 20 ms; the last is the end, and is sent three times (RFC 4733 §2.5.1.4).
    let golden: [[u8; 4]; 10] = [
        [5, 10, 0x00, 0xa0],
        [5, 10, 0x01, 0x40],
        [5, 10, 0x01, 0xe0],
        [5, 10, 0x02, 0x80],
        [5, 10, 0x03, 0x20],
        [5, 10, 0x03, 0xc0],
        [5, 10, 0x04, 0x60],
        [5, 0x8a, 0x05, 0x00],
        [5, 0x8a, 0x05, 0x00],
        [5, 0x8a, 0x05, 0x00],
    ];
    let first = packets[0];
    for (index, packet) in packets.iter().enumerate() {
        assert_eq!(packet.2, first.2.wrapping_add(index as u16), "no number is left out");
        if index < 10 {
            assert_eq!(
                (packet.0, packet.1, packet.3, packet.4),
                (index == 0, 101, first.3, &golden[index][..])
            );
        } else {
            // Media time went on underneath (RFC 4733 §2.1); the sound after the key begins a spurt.
            let timestamp = first.3.wrapping_add(160 * index as u32);
            assert_eq!((packet.0, packet.1, packet.3, packet.4.len()), (index == 10, 0, timestamp, 160));
        }
    }
}

#[test]
fn digits_arrive_once_each_also_on_a_bad_line() {
    for (seed, loss) in [(1u64, 0.0), (2, 0.1), (3, 0.3)] {
        let began = start();
        let mut chance = Chance::new(seed);
        let (mut a, mut b) = (Party::new(began, 1), Party::new(began, 2));
        a.session.configure(began, &agreed(address(2, 5_000)));
        b.session.configure(began, &agreed(address(1, 4_000)));
        let digits = "0123456789*#ABCD,1122";
        a.session.send_digits(digits).expect("digits");
        for tick in 0..400 {
            let now = began + TICK * tick;
            a.tick(now);
            for (_, bytes) in a.sent.split_off(0) {
                let copies = 1 + usize::from(chance.share() < 0.2);
                if chance.share() >= loss {
                    (0..copies).for_each(|_| b.session.handle_packet(now, address(1, 4_000), &bytes));
                }
            }
            b.tick(now);
        }
        assert_eq!(b.digits(), digits.replace(',', ""), "loss {loss}");
        assert_eq!(a.session.stats().digits_sent, 20);
        assert_eq!(b.session.stats().digits_received, 20);
        if loss == 0.0 {
            let all_160 = b.events.iter().all(|event| match event {
                Event::Digit { duration_ms, .. } => *duration_ms == 160,
                _ => true,
            });
            assert!(all_160);
            assert_eq!(b.session.stats().concealed_frames, 0, "a key leaves no gap to conceal");
        }
    }
}

#[test]
fn what_is_being_said_waits_for_the_keys() {
    let began = start();
    let mut party = Party::new(began, 3);
    party.session.configure(began, &agreed(address(2, 5_000)));
    let stairs: Vec<i16> = (0..3_200).map(|n| 100 + n as i16).collect();
    party.session.play(chunk(1, 8_000, stairs.clone(), true)).expect("room");
    for tick in 0..60 {
        if tick == 5 {
            party.session.send_digits("12").expect("digits");
        }
        party.tick(began + TICK * tick);
    }
    let spoken: Vec<i16> = party.said.iter().copied().filter(|&sample| sample != 0).collect();
    assert_eq!(spoken, stairs);
}

#[test]
fn a_peer_without_events_gets_tones() {
    let began = start();
    let mut party = Party::new(began, 3);
    let mut plain = agreed(address(2, 5_000));
    plain.dtmf_payload_type = None;
    party.session.configure(began, &plain);
    party.session.send_digits("1").expect("digits");
    (0..20).for_each(|tick| party.tick(began + TICK * tick));
    assert!(party.sent.iter().all(|(_, bytes)| read(bytes).1 == 0));
    let power = |frequency: f64| {
        let step = std::f64::consts::TAU * frequency / 8_000.0;
        let key = &party.said[..1_280];
        let (re, im) = key.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, &s)| {
            (re + f64::from(s) * (step * n as f64).cos(), im + f64::from(s) * (step * n as f64).sin())
        });
        f64::hypot(re, im) * 2.0 / key.len() as f64
    };
    assert!(power(697.0) > 4_000.0 && power(1_209.0) > 4_000.0 && power(852.0) < 200.0);
    assert!(party.said[1_280..].iter().all(|&sample| sample == 0));
}

#[test]
fn lengths_are_kept_within_what_receivers_can_hear() {
    let began = start();
    for (length, packets) in [(1, 2), (95, 5), (100, 5), (5_000, 250)] {
        let config = SessionConfig {
            digit_length: Duration::from_millis(length),
            digit_gap: Duration::ZERO,
            ..SessionConfig::default()
        };
        let mut party = Party::with(began, config);
        party.session.configure(began, &agreed(address(2, 5_000)));
        party.session.send_digits("77").expect("digits");
        (0..900).for_each(|tick| party.tick(began + TICK * tick));
        let events = party.sent.iter().filter(|(_, bytes)| read(bytes).1 == 101).count();
        assert_eq!(events, 2 * (packets + 2), "{length} ms");
    }
}

#[test]
fn what_is_no_digit_is_refused_as_a_whole() {
    let mut party = dial("", 1);
    assert_eq!(party.session.send_digits("12x4"), Err(DigitsError::NotADigit('x')));
    assert_eq!(party.session.send_digits(&"1".repeat(129)), Err(DigitsError::QueueFull));
    assert_eq!(party.session.send_digits("a,d"), Ok(()));
}
