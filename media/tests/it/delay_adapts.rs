//! How much the jitter buffer holds back, and what it does to the sound to get there: over a call, over a day, and on lines that change.

use std::collections::BinaryHeap;
use std::time::Duration;

use media::simulate::Listener;
use media::{Event, JitterConfig};

use crate::support::*;

/// What a [`simulate`]d listener did.
struct Course {
    /// The time between a sample's recording and its playing, beyond the line's least delay, in ms: for each tick in which there was any.
    delays: Vec<f64>,
    concealed: usize,
    stats: media::Stats,
}

impl Course {
    fn mean(&self) -> f64 {
        self.delays.iter().sum::<f64>() / self.delays.len().max(1) as f64
    }

    fn of(&self, share: f64) -> f64 {
        let mut sorted = self.delays.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len() as f64 * share) as usize).copied().unwrap_or(0.0)
    }
}

/// A stream of packets of `ptime_ms` through a link, without sessions: the sound is silent and only time counts.
fn simulate(link: Link, config: JitterConfig, ptime_ms: u64, seconds: u64) -> Course {
    let mut path = Path::new(link);
    let mut listener = Listener::new(config);
    let payload = vec![0xff; 8 * ptime_ms as usize];
    let mut flying: BinaryHeap<std::cmp::Reverse<(u64, u64)>> = BinaryHeap::new();
    let period_ns = ptime_ms as f64 * 1e6 / (1.0 + link.drift_ppm * 1e-6);
    let (mut sent, mut concealed, mut delays) = (0u64, 0, Vec::new());
    // Near the end of the numbers, so that they wrap early and often.
    let (first_sequence, first_timestamp) = (65_000u64, u64::from(u32::MAX) - 80_000);
    for tick in 0..seconds * 50 {
        let now_ns = tick * 20_000_000;
        while (sent + 1) as f64 * period_ns + 7e6 <= now_ns as f64 {
            // A packet leaves when its last sample was recorded.
            let at_ns = (sent + 1) as f64 * period_ns + 7e6;
            flying.extend(path.send(at_ns as u64).map(|arrival| std::cmp::Reverse((arrival, sent))));
            sent += 1;
        }
        while flying.peek().is_some_and(|next| next.0.0 <= now_ns) {
            let std::cmp::Reverse((arrival, number)) = flying.pop().expect("peeked");
            let timestamp = first_timestamp + number * 8 * ptime_ms;
            listener.packet(
                Duration::from_nanos(arrival),
                (first_sequence + number) as u16,
                timestamp as u32,
                &payload,
            );
        }
        let heard = listener.tick(Duration::from_nanos(now_ns));
        concealed += usize::from(heard.concealed);
        if let Some(until) = heard.until {
            // The sample behind this tick's 20 ms was recorded then, and will be played at the next tick.
            let samples = until - first_timestamp as i64;
            let recorded = samples as f64 / (8.0 * ptime_ms as f64) * period_ns + 7e6;
            delays.push((now_ns as f64 + 20e6 - recorded) / 1e6 - link.delay_ms - ptime_ms as f64);
        }
    }
    Course { delays, concealed, stats: listener.stats().clone() }
}

#[test]
fn a_day_with_a_wrong_clock_keeps_its_delay_and_loses_nothing() {
    for drift_ppm in [-200.0, 200.0] {
        let link = Link {
            seed: 24,
            delay_ms: 15.0,
            jitter_ms: 3.0,
            shape: Shape::Exponential,
            drift_ppm,
            ..Link::default()
        };
        let course = simulate(link, JitterConfig::default(), 20, 24 * 3_600);
        let stats = &course.stats;
        assert_eq!((stats.lost, stats.resyncs, stats.overflow), (0, 0, 0), "{drift_ppm} ppm: {stats:?}");
        // 4.3 million packets; a few in a thousand have waited for longer than it pays.
        assert!(stats.late < stats.received / 200, "{drift_ppm} ppm: {stats:?}");
        assert!(course.of(0.5) < 45.0 && course.of(0.999) < 70.0, "{} {}", course.of(0.5), course.of(0.999));
        // The sender's day is 17 s longer or shorter than ours, and all of that was cut or put in.
        let cut = stats.cut_samples as f64 / 8_000.0;
        let added = (stats.added_samples + 160 * stats.waited) as f64 / 8_000.0;
        let expected = 86_400.0 * drift_ppm * 1e-6;
        assert!((cut - added - expected).abs() < 2.0, "{drift_ppm} ppm: {cut} s − {added} s, {stats:?}");
    }
}

#[test]
fn a_clean_line_costs_little_delay_whatever_the_phase() {
    let mut mean = 0.0;
    for phase in 0..20 {
        let link = Link {
            seed: phase,
            delay_ms: 5.0 + phase as f64,
            jitter_ms: 1.0,
            shape: Shape::Normal,
            ..Link::default()
        };
        let course = simulate(link, JitterConfig::default(), 20, 60);
        let stats = &course.stats;
        let late = stats.late as f64 / stats.received as f64;
        assert!(late < 0.001, "phase {phase}: {stats:?}");
        let settled = &course.delays[20 * 50..];
        let delay = settled.iter().sum::<f64>() / settled.len() as f64;
        assert!(delay < 36.0, "phase {phase}: {delay} ms, {stats:?}");
        mean += delay / 20.0;
    }
    assert!(mean < 26.0, "{mean} ms");
}

#[test]
fn a_spread_of_delays_is_waited_for_to_its_end() {
    for (jitter_ms, most_delay) in [(20.0, 50.0), (40.0, 70.0), (80.0, 110.0), (120.0, 150.0)] {
        let link = Link { seed: 3, delay_ms: 20.0, jitter_ms, ..Link::default() };
        let course = simulate(link, JitterConfig::default(), 20, 60);
        let stats = &course.stats;
        let late = stats.late as f64 / stats.received as f64;
        assert!(late < 0.01, "{jitter_ms} ms: {late}, {stats:?}");
        assert!(course.mean() < most_delay, "{jitter_ms} ms: {}", course.mean());
        assert!(course.concealed < 60, "{jitter_ms} ms: {stats:?}");
    }
}

#[test]
fn a_queue_that_fills_and_empties_is_followed() {
    let link = Link {
        seed: 4,
        delay_ms: 20.0,
        jitter_ms: 25.0,
        shape: Shape::Wander,
        ordered: true,
        ..Link::default()
    };
    let course = simulate(link, JitterConfig::default(), 20, 120);
    let stats = &course.stats;
    assert_eq!((stats.lost, stats.reordered, stats.resyncs), (0, 0, 0), "{stats:?}");
    assert!(stats.late < stats.received / 100 && course.mean() < 80.0, "{} ms, {stats:?}", course.mean());
}

#[test]
fn packets_of_any_length_are_played_without_a_hole() {
    for ptime_ms in [10, 20, 30, 40, 50, 60] {
        let link = Link { seed: ptime_ms, delay_ms: 20.0, jitter_ms: 5.0, ..Link::default() };
        let course = simulate(link, JitterConfig::default(), ptime_ms, 60);
        let stats = &course.stats;
        assert_eq!((stats.lost, stats.overflow), (0, 0), "{ptime_ms} ms: {stats:?}");
        assert!(course.concealed <= 10 && stats.late <= 10, "{ptime_ms} ms: {stats:?}");
        assert!(course.mean() < 45.0, "{ptime_ms} ms: {}", course.mean());
    }
}

#[test]
fn the_length_of_packets_may_change_at_any_time() {
    let began = start();
    let here = address(1, 4_000);
    let mut receiver = Party::new(began, 2);
    receiver.session.configure(began, &agreed(here));
    let said = voice(8_000, 60.0);
    let (mut place, mut sequence) = (0usize, 0u16);
    for tick in 0..2_900u32 {
        let now = began + TICK * tick;
        // Another length each five seconds.
        let length = [20, 60, 10, 40, 30, 20, 50][tick as usize / 250 % 7] * 8;
        while place + length <= tick as usize * 160 {
            let mut bytes = vec![0x80, 0];
            bytes.extend(sequence.to_be_bytes());
            bytes.extend((place as u32).to_be_bytes());
            bytes.extend([0, 0, 0, 7]);
            bytes.extend(said[place..place + length].iter().map(|&sample| media::g711::encode_ulaw(sample)));
            receiver.session.handle_packet(now, here, &bytes);
            place += length;
            sequence = sequence.wrapping_add(1);
        }
        receiver.tick(now + TICK / 4);
    }
    let stats = receiver.session.stats();
    assert_eq!((stats.lost, stats.late, stats.resyncs), (0, 0, 0), "{stats:?}");
    // A longer packet is a hole once, when it begins to be.
    assert!(stats.concealed_frames < 40, "{stats:?}");
    assert!(stats.delay_ms < 60.0, "{stats:?}");
}

#[test]
fn a_line_that_gets_worse_is_given_delay_and_one_that_gets_better_gives_it_back() {
    let mut listener = Listener::new(JitterConfig::default());
    let mut chance = Chance::new(8);
    let payload = [0xff; 160];
    let mut arrivals: BinaryHeap<std::cmp::Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut targets = Vec::new();
    for tick in 0..9_000u32 {
        let now = u64::from(tick) * 20_000;
        // A minute each: clean, 90 ms of jitter, clean.
        let jitter = if (3_000..6_000).contains(&tick) { 90_000.0 } else { 1_000.0 };
        arrivals.push(std::cmp::Reverse((now + 3_000 + (jitter * chance.share()) as u64, tick)));
        while arrivals.peek().is_some_and(|next| next.0.0 <= now) {
            let std::cmp::Reverse((at, number)) = arrivals.pop().expect("peeked");
            listener.packet(Duration::from_micros(at), number as u16, number * 160, &payload);
        }
        listener.tick(Duration::from_micros(now));
        if tick % 1_500 == 1_499 {
            targets.push((listener.stats().target_ms, listener.stats().delay_ms, listener.stats().late));
        }
    }
    let stats = listener.stats();
    assert!(targets[1].0 == 10.0 && targets[1].1 < 36.0, "clean: {targets:?}");
    assert!((80.0..105.0).contains(&targets[3].0), "jittery: {targets:?}");
    assert!(targets[3].2 < 60, "few are late: {targets:?}");
    assert!(targets[5].0 == 10.0 && targets[5].1 < 40.0, "clean again: {targets:?}");
    assert!(stats.lengthened > 0 && stats.accelerated > 0, "{stats:?}");
}

#[test]
fn bursts_of_loss_are_counted_and_hardly_heard() {
    for (seed, loss, burst) in [(1, 0.03, 3), (2, 0.05, 2), (3, 0.1, 4)] {
        let link =
            Link { seed, loss, burst, spared: 0.1, delay_ms: 10.0, jitter_ms: 10.0, ..Link::default() };
        let course = simulate(link, JitterConfig::default(), 20, 600);
        let stats = &course.stats;
        let share = stats.lost as f64 / (stats.lost + stats.received) as f64;
        assert!((share - loss).abs() < loss / 3.0, "{loss} in bursts of {burst}: {share}");
        // What is lost is made up, and hardly anything else.
        assert!((course.concealed as f64) < stats.lost as f64 * 1.5, "{} for {stats:?}", course.concealed);
        assert!(course.mean() < 50.0, "{}", course.mean());
    }
}

#[test]
fn a_line_that_loses_packets_is_given_one_more_until_it_is_clean_again() {
    let mut listener = Listener::new(JitterConfig::default());
    let mut chance = Chance::new(5);
    let mut targets = Vec::new();
    for tick in 0..6_000u32 {
        let at = Duration::from_millis(u64::from(tick) * 20);
        let lossy = (1_000..2_000).contains(&tick);
        if !(lossy && chance.share() < 0.03) {
            listener.packet(at, tick as u16, tick * 160, &[0xff; 160]);
        }
        listener.tick(at + Duration::from_millis(5));
        if [999, 1_999, 5_999].contains(&tick) {
            targets.push(listener.stats().target_ms);
        }
    }
    assert_eq!(targets, [10.0, 30.0, 10.0]);
    // What is lost after the first few finds the next packet here, and media time need not wait.
    assert!(listener.stats().waited <= 5, "{:?}", listener.stats());
}

/// A packet: payload type, sequence number, timestamp, payload.
fn packet(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend([0, 0, 0, 7]);
    bytes.extend(payload);
    bytes
}

#[test]
fn comfort_noise_sounds_as_loud_as_the_peer_says_until_it_speaks_again() {
    let began = start();
    let here = address(1, 4_000);
    let mut receiver = Party::new(began, 2);
    receiver.session.configure(began, &agreed(here));
    let said = voice(8_000, 10.0);
    let mut sequence = 0u16;
    for tick in 0..500u32 {
        let now = began + TICK * tick;
        let timestamp = tick * 160;
        let at = tick as usize * 160;
        let speech: Vec<u8> =
            said[at..at + 160].iter().map(|&sample| media::g711::encode_ulaw(sample)).collect();
        // A second of speech, a second of silence; the noise is described at its beginning and again after 400 ms, louder.
        let bytes = match tick % 100 {
            0..50 => packet(0, sequence, timestamp, &speech),
            50 => packet(13, sequence, timestamp, &[60, 100]),
            70 => packet(13, sequence, timestamp, &[45]),
            _ => {
                receiver.tick(now + TICK / 2);
                continue;
            }
        };
        sequence += 1;
        receiver.session.handle_packet(now, here, &bytes);
        receiver.tick(now + TICK / 2);
    }
    let stats = receiver.session.stats();
    assert_eq!((stats.lost, stats.late, stats.resyncs, stats.unknown_payload), (0, 0, 0, 0), "{stats:?}");
    assert_eq!((stats.comfort_packets, stats.concealed_frames), (10, 0), "{stats:?}");
    assert!(stats.comfort_frames > 230, "{stats:?}");
    let level = |from: usize| {
        let pcm = &receiver.heard[from * 160..from * 160 + 2_400];
        let energy = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / 2_400.0;
        10.0 * (energy / 32_124f64.powi(2)).log10()
    };
    for second in [0, 100, 200] {
        assert!((level(second + 54) + 60.0).abs() < 2.0, "quiet: {}", level(second + 54));
        assert!((level(second + 78) + 45.0).abs() < 2.0, "louder: {}", level(second + 78));
    }
    for spurt in 0..4 {
        let at = spurt * 16_000;
        let (_, snr) = best_fit(&said[at..at + 7_800], &receiver.heard[at..at + 10_400]);
        assert!(snr > 35.0, "spurt {spurt} from its first sample: {snr:.1} dB");
    }
    assert!(!receiver.events.iter().any(|event| matches!(event, Event::Digit { .. })));
}

#[test]
fn what_stands_around_the_sound_in_a_packet_is_not_heard() {
    let began = start();
    let here = address(1, 4_000);
    let mut receiver = Party::new(began, 2);
    receiver.session.configure(began, &agreed(here));
    let said = voice(8_000, 3.0);
    for (tick, frame) in said.chunks_exact(160).enumerate() {
        let now = began + TICK * tick as u32;
        // By turns: plain, padded, with two contributors, with a header extension, with all of that.
        let (padded, contributors, extended) =
            [(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 1), (1, 2, 1)][tick % 5];
        let mut bytes = vec![0x80 | padded << 5 | extended << 4 | contributors, 0];
        bytes.extend((tick as u16).to_be_bytes());
        bytes.extend((tick as u32 * 160).to_be_bytes());
        bytes.extend([0, 0, 0, 7]);
        bytes.extend(vec![9; 4 * usize::from(contributors)]);
        if extended == 1 {
            bytes.extend([0xbe, 0xde, 0, 2, 0x10, 1, 2, 3, 4, 5, 6, 7]);
        }
        bytes.extend(frame.iter().map(|&sample| media::g711::encode_ulaw(sample)));
        if padded == 1 {
            bytes.extend([0, 0, 0, 0, 5]);
        }
        receiver.session.handle_packet(now, here, &bytes);
        receiver.tick(now + TICK / 2);
    }
    let stats = receiver.session.stats();
    assert_eq!((stats.malformed, stats.lost, stats.concealed_frames), (0, 0, 0), "{stats:?}");
    let (_, snr) = best_fit(&said[..20_000], &receiver.heard);
    assert!(snr > 36.0, "{snr:.1} dB");
}

#[test]
fn comfort_noise_that_is_out_of_place_does_no_harm() {
    let began = start();
    let here = address(1, 4_000);
    let mut receiver = Party::new(began, 2);
    receiver.session.configure(began, &agreed(here));
    let said = voice(8_000, 6.0);
    let mut sequence = 0u16;
    for (tick, frame) in said.chunks_exact(160).enumerate() {
        let now = began + TICK * tick as u32;
        let speech: Vec<u8> = frame.iter().map(|&sample| media::g711::encode_ulaw(sample)).collect();
        let timestamp = tick as u32 * 160;
        receiver.session.handle_packet(now, here, &packet(0, sequence, timestamp, &speech));
        sequence = sequence.wrapping_add(1);
        // Beside speech, from the past, from the future, with nothing in it.
        if tick % 20 == 10 {
            for (stamp, payload) in
                [(0u32, &[20u8][..]), (timestamp - 800, &[10]), (timestamp + 900_000, &[5]), (timestamp, &[])]
            {
                receiver.session.handle_packet(now, here, &packet(13, sequence, stamp, payload));
                sequence = sequence.wrapping_add(1);
            }
        }
        receiver.tick(now + TICK / 2);
    }
    let stats = receiver.session.stats();
    assert_eq!((stats.lost, stats.late, stats.concealed_frames), (0, 0, 0), "{stats:?}");
    let (_, snr) = best_fit(&said[2_000..40_000], &receiver.heard);
    assert!(snr > 35.0, "{snr:.1} dB, {stats:?}");
}

#[test]
fn numbers_that_events_took_are_no_lost_sound() {
    let began = start();
    let here = address(1, 4_000);
    let mut receiver = Party::new(began, 2);
    receiver.session.configure(began, &agreed(here));
    let mut sequence = 0u16;
    for tick in 0..300u32 {
        let now = began + TICK * tick;
        // Speech, a key of 160 ms that takes its place, a pause of 60 ms, speech: as phones do it.
        let bytes = match tick % 50 {
            0..30 => Some(packet(0, sequence, tick * 160, &[0x90; 160])),
            30..38 => Some(packet(
                101,
                sequence,
                (tick - tick % 50 + 30) * 160,
                &[5, 10, 0, (tick % 50 - 29) as u8 * 20],
            )),
            38..41 => Some(packet(101, sequence, (tick - tick % 50 + 30) * 160, &[5, 0x8a, 5, 0])),
            41..44 => None,
            _ => Some(packet(0, sequence, tick * 160, &[0x90; 160])),
        };
        if let Some(bytes) = bytes {
            sequence += 1;
            receiver.session.handle_packet(now, here, &bytes);
        }
        receiver.tick(now + TICK / 2);
    }
    let stats = receiver.session.stats();
    assert_eq!((stats.lost, stats.late, stats.resyncs), (0, 0, 0), "{stats:?}");
    // The end of each key may be made up for a moment, until the spurt counts as ended.
    assert!(stats.concealed_frames <= 6 * 10, "{stats:?}");
    assert_eq!(receiver.digits(), "555555");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]

    /// Whatever came before, a sender that sends properly is heard without a hole three seconds later.
    #[test]
    fn any_mess_is_recovered_from(
        mess in proptest::collection::vec((0u64..120, 0u16..400, proptest::num::u32::ANY, 0usize..700, 0u8..4), 0..80),
        sequence in proptest::num::u16::ANY,
        timestamp in proptest::num::u32::ANY,
    ) {
        let mut listener = Listener::new(JitterConfig::default());
        let (mut now_ms, mut number, mut stamp) = (0u64, 0u16, 0u32);
        let mut ticked = 0u64;
        let mut until = |listener: &mut Listener, now_ms: u64| {
            let mut concealed = 0;
            while ticked + 20 <= now_ms {
                ticked += 20;
                concealed += usize::from(listener.tick(Duration::from_millis(ticked)).concealed);
            }
            concealed
        };
        for (wait, step, jump, length, kind) in mess {
            now_ms += wait;
            until(&mut listener, now_ms);
            number = number.wrapping_add(if kind == 0 { step.wrapping_mul(167) } else { step % 4 });
            stamp = if kind == 1 { jump } else { stamp.wrapping_add(jump % 2_000) };
            listener.packet(Duration::from_millis(now_ms), number, stamp, &vec![0x90; length]);
        }
        let mut concealed = 0;
        for packet in 0..200u32 {
            now_ms += 20;
            let count = until(&mut listener, now_ms);
            concealed = if packet < 150 { 0 } else { concealed + count };
            let at = Duration::from_millis(now_ms + 3);
            listener.packet(at, sequence.wrapping_add(packet as u16), timestamp.wrapping_add(packet * 160), &[0x90; 160]);
        }
        let stats = listener.stats();
        proptest::prop_assert_eq!(concealed, 0, "{:?}", stats);
        proptest::prop_assert!(stats.delay_ms < 300.0, "{:?}", stats);
    }
}
