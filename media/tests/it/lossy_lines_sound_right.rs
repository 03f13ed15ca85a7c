use media::Event;

use crate::support::*;

/// Share of the spoken energy that is heard at the right place, second by second, whatever the delay does: 1 is perfect.
fn likeness(outcome: &Outcome) -> f64 {
    let heard = &outcome.receiver.heard;
    let (mut sum, mut count) = (0.0, 0.0);
    for (index, said) in outcome.spoken.chunks_exact(2_000).enumerate().skip(4) {
        let at = index * 2_000;
        let energy: f64 = said.iter().map(|&s| f64::from(s).powi(2)).sum();
        if energy < 1e9 || at + 2_000 + 4_000 > heard.len() {
            continue;
        }
        let likeness_at = |shift: usize, step: usize| {
            let window = &heard[at + shift..at + shift + 2_000];
            let pairs = said.iter().zip(window).step_by(step);
            let (product, ours, theirs) = pairs.fold((0.0, 0.0, 0.0), |(p, a, b), (&said, &heard)| {
                let (said, heard) = (f64::from(said), f64::from(heard));
                (p + said * heard, a + said * said, b + heard * heard)
            });
            product / f64::sqrt(ours * theirs).max(1.0)
        };
        let place = (0..4_000).max_by(|&a, &b| likeness_at(a, 13).total_cmp(&likeness_at(b, 13)));
        let best = likeness_at(place.unwrap_or(0), 1);
        sum += best;
        count += 1.0;
    }
    sum / f64::max(count, 1.0)
}

#[test]
fn jitter_alone_loses_nothing_that_matters() {
    let pcm = voice(8_000, 7.0);
    for (seed, jitter_ms, most_delay, least) in
        [(1, 5.0, 45.0, 0.99), (2, 30.0, 75.0, 0.97), (3, 60.0, 105.0, 0.95), (4, 120.0, 190.0, 0.93)]
    {
        let outcome = run(Link { seed, delay_ms: 20.0, jitter_ms, ..Link::default() }, &pcm, 20);
        let stats = outcome.receiver.session.stats();
        // The last may be on their way.
        assert!(stats.lost <= 3, "{stats:?}");
        assert!(stats.delay_ms <= most_delay, "{jitter_ms} ms jitter: {} ms", stats.delay_ms);
        let late = stats.late as f64 / stats.received as f64;
        assert!(late < 0.04, "{jitter_ms} ms jitter: {late:.3} late, {stats:?}");
        let likeness = likeness(&outcome);
        assert!(likeness > least, "{jitter_ms} ms jitter: {likeness:.3}, {stats:?}");
    }
}

#[test]
fn loss_is_counted_and_concealed() {
    let pcm = voice(8_000, 7.0);
    for (seed, loss, burst, least) in
        [(1, 0.01, 1, 0.98), (2, 0.05, 1, 0.96), (3, 0.1, 1, 0.92), (4, 0.05, 3, 0.93), (5, 0.2, 2, 0.8)]
    {
        let link = Link { seed, loss, burst, delay_ms: 10.0, jitter_ms: 8.0, ..Link::default() };
        let outcome = run(link, &pcm, 20);
        let stats = outcome.receiver.session.stats();
        // The last packets may still be missed by nobody.
        assert!(stats.lost.abs_diff(outcome.dropped) <= 3, "{} of {}", stats.lost, outcome.dropped);
        assert!(stats.concealed_frames >= stats.lost / 2);
        let likeness = likeness(&outcome);
        assert!(likeness > least, "{loss} in bursts of {burst}: {likeness:.3}, {stats:?}");
    }
}

#[test]
fn duplicates_and_reordering_change_nothing() {
    let pcm = voice(8_000, 7.0);
    let link = Link { seed: 9, duplicate: 0.3, delay_ms: 10.0, jitter_ms: 50.0, ..Link::default() };
    let outcome = run(link, &pcm, 20);
    let stats = outcome.receiver.session.stats();
    assert_eq!(stats.lost, 0);
    assert!(stats.duplicate > 200 && stats.reordered > 100, "{stats:?}");
    assert!(likeness(&outcome) > 0.95);
}

#[test]
fn single_packets_that_come_very_late_do_not_add_delay() {
    let pcm = voice(8_000, 7.0);
    let link = Link { seed: 5, delay_ms: 10.0, jitter_ms: 4.0, spike_ms: 150.0, ..Link::default() };
    let outcome = run(link, &pcm, 60);
    let stats = outcome.receiver.session.stats();
    assert!(stats.delay_ms < 50.0, "{stats:?}");
    assert!(likeness(&outcome) > 0.97, "{:.3}", likeness(&outcome));
}

#[test]
fn a_stall_loses_no_words_and_its_delay_is_given_back() {
    let pcm = voice(8_000, 7.0);
    let link = Link { seed: 5, delay_ms: 10.0, jitter_ms: 4.0, stall_ms: 180.0, ..Link::default() };
    let outcome = run(link, &pcm, 59);
    let stats = outcome.receiver.session.stats();
    assert_eq!((stats.lost, stats.overflow), (0, 0), "{stats:?}");
    assert!(stats.late <= 2, "{stats:?}");
    assert!(stats.accelerated >= 11, "{stats:?}");
    // The last stall was four seconds ago.
    assert!(stats.delay_ms < 60.0, "{stats:?}");
    assert!(likeness(&outcome) > 0.9, "{:.3}", likeness(&outcome));
}

#[test]
fn clocks_that_differ_do_not_build_up_delay_or_gaps() {
    let pcm = voice(8_000, 7.0);
    for drift_ppm in [-200.0, 200.0] {
        let link = Link { seed: 6, delay_ms: 15.0, jitter_ms: 6.0, drift_ppm, ..Link::default() };
        let minutes = 10;
        let outcome = run(link, &pcm, minutes * 60);
        let stats = outcome.receiver.session.stats();
        assert!(stats.delay_ms < 60.0, "{drift_ppm} ppm: {stats:?}");
        // 200 ppm are 120 ms in ten minutes: a handful of repairs, not a constant struggle.
        assert!(stats.concealed_frames + stats.accelerated < 40, "{drift_ppm} ppm: {stats:?}");
        assert!(stats.late < 10, "{drift_ppm} ppm: {stats:?}");
    }
}

#[test]
fn suppressed_silence_and_spurts_without_marker_are_no_loss() {
    let began = start();
    let here = address(1, 4_000);
    let (mut speaker, mut receiver) = (Party::new(began, 1), Party::new(began, 2));
    speaker.session.configure(began, &agreed(address(2, 5_000)));
    receiver.session.configure(began, &agreed(here));
    let pcm = voice(8_000, 10.0);
    speaker.session.play(chunk(1, 8_000, pcm, true)).expect("room");
    let mut sequence = 0u16;
    for tick in 0..500u32 {
        let now = began + TICK * tick;
        speaker.tick(now);
        for (_, mut bytes) in speaker.sent.split_off(0) {
            // A sender with silence suppression: a second of speech, a second of nothing, and numbers without gaps.
            if tick / 50 % 2 == 0 {
                bytes[1] &= 0x7f;
                bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
                sequence += 1;
                receiver.session.handle_packet(now + TICK / 4, here, &bytes);
            }
        }
        receiver.tick(now);
    }
    let stats = receiver.session.stats();
    assert_eq!((stats.lost, stats.late, stats.resyncs), (0, 0, 0), "{stats:?}");
    // Each end of a spurt fades for a moment.
    assert!(stats.concealed_frames <= 5 * 11, "{stats:?}");
    assert_eq!(receiver.frames(), 500, "frames go on in the silence");
    for (index, pair) in speaker.said.chunks_exact(8_000).step_by(2).enumerate() {
        let at = index * 16_000;
        let (shift, snr) =
            best_fit(&pair[800..7_200], &receiver.heard[at..(at + 9_600).min(receiver.heard.len())]);
        assert!(snr > 35.0, "spurt {index}: {snr:.1} dB at {shift}");
    }
}

#[test]
fn a_sender_that_starts_anew_is_followed() {
    let began = start();
    let here = address(1, 4_000);
    let mut receiver = Party::new(began, 9);
    receiver.session.configure(began, &agreed(here));
    let said = voice(8_000, 2.0);
    let mut tick = 0u32;
    // Each time another SSRC, or the same with another clock: forwards, backwards, by little and by much.
    let changes: [(u32, i64, u16); 6] =
        [(1, 0, 0), (2, 0, 0), (2, 4_000_000, 0), (2, -900_000, 0), (2, -8_000, 0), (2, 0, 20_000)];
    let (mut timestamp, mut sequence) = (u32::MAX - 5_000, 65_500u16);
    for (ssrc, step, jump) in changes {
        timestamp = timestamp.wrapping_add(step as u32);
        sequence = sequence.wrapping_add(jump);
        let from = receiver.heard.len();
        for frame in said.chunks_exact(160) {
            let mut bytes = vec![0x80, 0];
            bytes.extend(sequence.to_be_bytes());
            bytes.extend(timestamp.to_be_bytes());
            bytes.extend(u32::to_be_bytes(ssrc));
            bytes.extend(frame.iter().map(|&sample| media::g711::encode_ulaw(sample)));
            let now = began + TICK * tick;
            receiver.session.handle_packet(now, here, &bytes);
            receiver.tick(now + TICK / 4);
            tick += 1;
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(160);
        }
        let heard = &receiver.heard[from..];
        let (_, snr) = best_fit(&said[2_000..14_000], heard);
        assert!(snr > 35.0, "after {step} and {jump}: {snr:.1} dB, {:?}", receiver.session.stats());
    }
    let latched = receiver.events.iter().filter(|event| matches!(event, Event::Latched { .. })).count();
    assert_eq!(latched, 1);
}

#[test]
fn a_peer_whose_clock_stood_still_is_not_cut_to_pieces() {
    let began = start();
    let here = address(1, 4_000);
    let mut receiver = Party::new(began, 2);
    receiver.session.configure(began, &agreed(here));
    let said = voice(8_000, 10.0);
    let mut late = std::time::Duration::ZERO;
    for (index, frame) in said.chunks_exact(160).enumerate() {
        // Each second everything comes 100 ms later than before, for good: the path, or the sender's clock, changed.
        if index % 50 == 49 && index < 300 {
            late += TICK * 5;
            (0..5).for_each(|step| receiver.tick(began + TICK * index as u32 + late - TICK * (5 - step)));
        }
        let mut bytes = vec![0x80, 0];
        bytes.extend((index as u16).to_be_bytes());
        bytes.extend((index as u32 * 160).to_be_bytes());
        bytes.extend([0, 0, 0, 7]);
        bytes.extend(frame.iter().map(|&sample| media::g711::encode_ulaw(sample)));
        let now = began + TICK * index as u32 + late;
        receiver.session.handle_packet(now, here, &bytes);
        receiver.tick(now + TICK / 4);
    }
    let stats = receiver.session.stats();
    assert_eq!((stats.lost, stats.late), (0, 0), "{stats:?}");
    // Five ticks are missing at each of the six changes; to cut the sound would only make more gaps.
    assert!(stats.concealed_frames <= 6 * 5 + 6, "{stats:?}");
    assert!(stats.delay_ms < 60.0, "{stats:?}");
}
