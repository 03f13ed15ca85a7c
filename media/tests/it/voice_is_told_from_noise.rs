//! The VAD on sounds whose nature is known. Figures on real speech are in `docs/decisions/vad.md`.

use media::VadConfig;
use media::vad::{Change, Vad};

use crate::support::*;

/// Share of frames in which somebody is said to speak, after the line has been through G.711.
fn speaking(pcm: &[i16]) -> f64 {
    let line: Vec<i16> =
        pcm.iter().map(|&sample| media::g711::decode_ulaw(media::g711::encode_ulaw(sample))).collect();
    let wide = media::resample::convert(&line, 8_000, 16_000);
    let mut vad = Vad::new(VadConfig::default());
    let began = start();
    let frames = wide.chunks_exact(320);
    let count = frames.len();
    let speaking = frames
        .enumerate()
        .filter(|(index, frame)| {
            let frame = <&[i16; 320]>::try_from(*frame).expect("320 samples");
            vad.judge(began + TICK * *index as u32, frame, || false).speaking
        })
        .count();
    speaking as f64 / count as f64
}

fn keys() -> Vec<i16> {
    let rows = [697.0, 770.0, 852.0, 941.0];
    let columns = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
    (0..40)
        .flat_map(|key| {
            let (low, high) = (tone(8_000, rows[key % 4], 0.16), tone(8_000, columns[key / 4 % 4], 0.16));
            let sum = low.iter().zip(high).map(|(a, b)| a / 2 + b / 2).collect::<Vec<_>>();
            sum.into_iter().chain(vec![0; 640])
        })
        .collect()
}

#[test]
fn tones_keys_and_steady_noise_are_no_voice() {
    assert_eq!(speaking(&vec![0; 80_000]), 0.0);
    for frequency in [350.0, 425.0, 440.0, 1_000.0, 1_400.0, 2_100.0] {
        let share = speaking(&tone(8_000, frequency, 10.0));
        assert!(share < 0.01, "{frequency} Hz: {share:.2}");
    }
    let dial: Vec<i16> =
        tone(8_000, 350.0, 10.0).iter().zip(tone(8_000, 440.0, 10.0)).map(|(a, b)| a / 2 + b / 2).collect();
    assert!(speaking(&dial) < 0.01);
    assert!(speaking(&keys()) < 0.05, "{}", speaking(&keys()));
    let mut chance = Chance::new(4);
    for loudness in [50.0, 300.0, 1_500.0] {
        let noise: Vec<i16> = (0..80_000).map(|_| ((chance.share() * 2.0 - 1.0) * loudness) as i16).collect();
        let share = speaking(&noise);
        // Until two seconds of it were heard, nobody can know that it does not pause.
        assert!(share < 0.25, "noise of {loudness}: {share:.2}");
    }
}

#[test]
fn a_voice_is_a_voice() {
    let share = speaking(&voice(8_000, 10.0));
    assert!(share > 0.5, "{share:.2}");
}

/// What becomes of the voice in `pcm` (16 kHz), and in which tick that is told.
fn changes(pcm: &[i16]) -> Vec<(Change, u32)> {
    let mut vad = Vad::new(VadConfig::default());
    let began = start();
    let mut found = Vec::new();
    for (tick, frame) in (0..).zip(pcm.chunks_exact(320)) {
        let frame = <&[i16; 320]>::try_from(frame).expect("320 samples");
        let now = began + TICK * tick;
        if let Some((change, since)) = vad.judge(now, frame, || false).change {
            assert!(since <= now);
            if matches!(change, Change::Dip | Change::End) {
                let config = VadConfig::default();
                let waited = if change == Change::Dip { config.dip } else { config.hangover };
                assert_eq!(now + TICK - since, waited, "{change:?} in tick {tick}");
            }
            found.push((change, tick));
        }
    }
    found
}

#[test]
fn each_end_is_announced_by_a_dip_and_each_pause_by_one() {
    let part = voice(16_000, 1.2);
    let mut pcm = Vec::new();
    for pause in [60, 120, 160, 300, 1_000] {
        pcm.extend(&part);
        pcm.extend(std::iter::repeat_n(0, 16 * pause));
    }
    let found = changes(&pcm);
    let mut before = Change::End;
    for (change, tick) in &found {
        let allowed: &[Change] = match before {
            Change::End => &[Change::Start],
            Change::Start | Change::Back => &[Change::Dip],
            Change::Dip => &[Change::Back, Change::End],
        };
        assert!(allowed.contains(change), "{change:?} after {before:?} in tick {tick}: {found:?}");
        before = *change;
    }
    assert_eq!(before, Change::End);
    let count = |wanted| found.iter().filter(|(change, _)| *change == wanted).count();
    assert_eq!((count(Change::Start), count(Change::End)), (2, 2), "{found:?}");
    assert!(count(Change::Back) >= 2, "{found:?}");
}
