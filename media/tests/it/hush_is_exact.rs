//! What `hush` reports is what left, to the sample; and what is paused goes on with the very next sample.

use std::time::Duration;

use media::{Event, Mark};
use proptest::prelude::*;

use crate::support::*;

fn speaker() -> (Party, std::time::Instant) {
    let began = start();
    let mut party = Party::new(began, 3);
    party.session.configure(began, &agreed(address(2, 5_000)));
    (party, began)
}

fn samples(duration: Duration) -> usize {
    let micros = duration.as_micros();
    assert_eq!(micros % 125, 0, "not a whole number of samples");
    (micros / 125) as usize
}

/// A sound without a single zero, so that what left can be counted.
fn loud(length: usize) -> Vec<i16> {
    (0..length).map(|n| if n % 2 == 0 { 12_000 } else { 9_000 }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn played_and_dropped_add_up_to_what_was_given(
        lengths in prop::collection::vec((1usize..5_000, any::<bool>()), 1..8),
        rate in prop::sample::select(vec![8_000u32, 16_000, 22_050, 24_000, 44_100, 48_000]),
        ticks in 0u32..120,
        pause in prop::option::of((0u32..60, 1u32..30)),
    ) {
        let (mut party, began) = speaker();
        let mut given = 0usize;
        let mut mark = 0u64;
        let mut in_mark = 0usize;
        for (length, last) in &lengths {
            party.session.play(chunk(mark, rate, loud(*length), *last)).expect("room");
            in_mark += length;
            if *last {
                given += in_mark * 8_000 / rate as usize;
                in_mark = 0;
                mark += 1;
            }
        }
        given += in_mark * 8_000 / rate as usize;
        for tick in 0..ticks {
            if let Some((at, length)) = pause {
                if tick == at { party.session.pause(); }
                if tick == at + length { party.session.resume(); }
            }
            party.tick(began + TICK * tick);
        }
        let hushed = party.session.hush();
        for tick in ticks..ticks + 10 {
            party.tick(began + TICK * tick);
        }
        let mut played = samples(hushed.played);
        let mut whole: Vec<Mark> = hushed.mark.into_iter().collect();
        for event in &party.events {
            if let Event::Played { mark, duration, .. } = event {
                played += samples(*duration);
                whole.push(*mark);
            }
        }
        prop_assert_eq!(played + samples(hushed.dropped), given);
        // Each mark is in exactly one place.
        whole.extend(&hushed.unplayed_marks);
        whole.sort();
        let marks = mark + u64::from(in_mark > 0);
        prop_assert_eq!(whole, (0..marks).map(Mark).collect::<Vec<_>>());
        if rate == 8_000 {
            // Nothing was filtered, so every sample that left can be counted on the wire (the last of a fade may round to 0).
            let sounding = party.said.iter().filter(|&&sample| sample != 0).count();
            prop_assert!(played - sounding <= 2, "{played} reported, {sounding} left");
        }
        prop_assert!(party.session.queued() == Duration::ZERO);
    }
}

#[test]
fn hush_stops_within_five_milliseconds_and_says_so() {
    let (mut party, began) = speaker();
    party.session.play(chunk(1, 8_000, loud(16_000), false)).expect("room");
    party.session.play(chunk(2, 8_000, loud(8_000), true)).expect("room");
    party.session.play(chunk(3, 8_000, loud(800), true)).expect("room");
    (0..10).for_each(|tick| party.tick(began + TICK * tick));
    let hushed = party.session.hush();
    assert_eq!(hushed.mark, Some(Mark(1)));
    assert_eq!(samples(hushed.played), 1_600 + 40);
    assert_eq!(samples(hushed.dropped), 14_400 - 40 + 8_800);
    assert_eq!(hushed.unplayed_marks, [Mark(2), Mark(3)]);
    (10..20).for_each(|tick| party.tick(began + TICK * tick));
    assert_eq!(party.said[1_640..].iter().filter(|&&sample| sample != 0).count(), 0);
    // The fade falls all the way, so that it does not click.
    assert!(party.said[1_600..1_640].windows(4).all(|some| some[0] > some[2] && some[1] > some[3]));
    assert!(party.events.iter().all(|event| !matches!(event, Event::Played { .. })));
    // RTP goes on: 20 ticks, 20 packets.
    assert_eq!(party.sent.len(), 20);
    // A second hush finds nothing.
    assert_eq!(party.session.hush(), media::Hushed::default());
}

#[test]
fn pause_and_resume_lose_and_repeat_no_sample() {
    let (mut party, began) = speaker();
    // A staircase: each sample is its own number.
    let stairs: Vec<i16> = (0..8_000).map(|n| 2_000 + n as i16).collect();
    party.session.play(chunk(1, 8_000, stairs.clone(), true)).expect("room");
    for tick in 0..120 {
        match tick {
            7 | 30 => party.session.pause(),
            20 | 31 => party.session.resume(),
            // Changing one's mind between two ticks is nothing at all.
            25 => {
                party.session.pause();
                party.session.resume();
            }
            _ => {}
        }
        party.tick(began + TICK * tick);
    }
    // 5 ms leave falling after the pause; the rest of that tick and the next twelve are silent.
    let silent = 7 * 160 + 40..20 * 160;
    assert!(party.said[silent.clone()].iter().all(|&sample| sample == 0));
    assert_eq!(party.said[..7 * 160], stairs[..7 * 160]);
    // The rising fade is over after 5 ms, and then the stairs go on exactly where they stopped.
    assert_eq!(party.said[silent.end + 40..30 * 160], stairs[7 * 160 + 80..][..10 * 160 - 40]);
    let played = party.events.iter().find_map(|event| match event {
        Event::Played { duration, .. } => Some(*duration),
        _ => None,
    });
    assert_eq!(played, Some(Duration::from_secs(1)));
}

#[test]
fn a_hush_while_paused_and_speech_after_it() {
    let (mut party, began) = speaker();
    party.session.play(chunk(1, 22_050, loud(22_050), true)).expect("room");
    (0..5).for_each(|tick| party.tick(began + TICK * tick));
    party.session.pause();
    (5..10).for_each(|tick| party.tick(began + TICK * tick));
    let hushed = party.session.hush();
    assert_eq!((hushed.mark, samples(hushed.played)), (Some(Mark(1)), 5 * 160 + 40));
    assert_eq!(samples(hushed.dropped), 8_000 - 5 * 160 - 40);
    party.session.play(chunk(2, 8_000, loud(320), true)).expect("room");
    (10..15).for_each(|tick| party.tick(began + TICK * tick));
    let last = party.events.iter().rev().find_map(|event| match event {
        Event::Played { mark, duration, .. } => Some((*mark, samples(*duration))),
        _ => None,
    });
    assert_eq!(last, Some((Mark(2), 320)));
}

#[test]
fn a_mark_that_starves_waits_for_its_rest() {
    let (mut party, began) = speaker();
    party.session.play(chunk(1, 8_000, loud(100), false)).expect("room");
    (0..3).for_each(|tick| party.tick(began + TICK * tick));
    assert!(!party.events.iter().any(|event| matches!(event, Event::Played { .. })));
    party.session.play(chunk(1, 8_000, loud(100), false)).expect("room");
    party.session.play(chunk(1, 8_000, Vec::new(), true)).expect("room");
    (3..5).for_each(|tick| party.tick(began + TICK * tick));
    let played: Vec<_> = party
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Played { mark, duration, .. } => Some((*mark, samples(*duration))),
            _ => None,
        })
        .collect();
    assert_eq!(played, [(Mark(1), 200)]);
    // An empty mark is played at once.
    party.session.play(chunk(9, 8_000, Vec::new(), true)).expect("room");
    party.tick(began + TICK * 5);
    assert!(matches!(
        party.events.last(),
        Some(Event::Played { mark: Mark(9), duration: Duration::ZERO, .. })
    ));
}

#[test]
fn the_queue_has_an_end_and_odd_rates_are_refused() {
    let (mut party, _) = speaker();
    let minute = chunk(1, 8_000, vec![0; 480_000], false);
    assert_eq!(party.session.play(minute), Ok(()));
    assert_eq!(party.session.play(chunk(1, 8_000, vec![0; 8_000], false)), Err(media::PlayError::QueueFull));
    for rate in [0, 1, 3_999, 192_001, u32::MAX] {
        let odd = party.session.play(chunk(1, rate, vec![0; 8], false));
        assert_eq!(odd, Err(media::PlayError::UnsupportedRate(rate)));
    }
    assert_eq!(party.session.stats().chunks_refused, 5);
}
