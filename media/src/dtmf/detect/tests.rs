use super::*;
use crate::dtmf::tone;
use crate::g711;

const KEYS: &str = "0123456789*#ABCD";

/// A pair of tones, each with its frequency and amplitude.
fn pair(rate: u32, ms: u32, row: (f64, f64), column: (f64, f64)) -> Vec<i16> {
    let wave = |(frequency, loudness): (f64, f64), n: u32| {
        loudness * (std::f64::consts::TAU * frequency * f64::from(n) / f64::from(rate)).sin()
    };
    (0..rate * ms / 1_000).map(|n| (wave(row, n) + wave(column, n)) as i16).collect()
}

fn silence(rate: u32, ms: u32) -> Vec<i16> {
    vec![0; (rate * ms / 1_000) as usize]
}

/// What is heard of this, taken from its `skip`th sample on.
fn heard(rate: u32, pcm: &[i16], skip: usize) -> Vec<Pressed> {
    let mut detector = Detector::new(8_000);
    let mut found = Vec::new();
    for frame in pcm[skip..].chunks((rate / 50) as usize) {
        detector.heard(frame, rate, &mut |pressed| found.push(pressed));
    }
    detector.end(&mut |pressed| found.push(pressed));
    found
}

fn keys(rate: u32, pcm: &[i16], skip: usize) -> String {
    heard(rate, pcm, skip).iter().map(|pressed| pressed.digit).collect()
}

/// Noise of this amplitude on top, by a small generator.
fn with_noise(pcm: &[i16], loudness: f64) -> Vec<i16> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    pcm.iter().map(|&sample| (f64::from(sample) + loudness * next()) as i16).collect()
}

/// As it comes out of a telephone.
fn through_g711(pcm: &[i16]) -> Vec<i16> {
    pcm.iter().map(|&sample| g711::decode_ulaw(g711::encode_ulaw(sample))).collect()
}

#[test]
fn every_key_is_heard_at_either_rate_with_its_length() {
    for rate in [8_000, 16_000] {
        for volume in [5, 10, 20, 33] {
            let mut sound = silence(rate, 50);
            for code in 0..16 {
                let mut key = silence(rate, 100);
                let length = key.len() as u32;
                tone::write(code, 0, length, rate, volume, &mut key);
                sound.extend(key);
                sound.extend(silence(rate, 60));
            }
            let found = heard(rate, &through_g711(&sound), 0);
            let digits: String = found.iter().map(|pressed| pressed.digit).collect();
            assert_eq!(digits, KEYS, "{rate} Hz, -{volume} dBm0");
            assert!(found.iter().all(|pressed| (80..=110).contains(&pressed.duration_ms)), "{found:?}");
        }
    }
}

#[test]
fn forty_milliseconds_are_a_key_and_twenty_three_are_none() {
    for (ms, expected) in [(23, ""), (40, "5"), (45, "5"), (2_000, "5")] {
        let key = pair(8_000, ms, (770.0, 6_000.0), (1_336.0, 6_000.0));
        let sound = [silence(8_000, 60), key, silence(8_000, 60)].concat();
        for skip in 0..160 {
            assert_eq!(keys(8_000, &sound, skip), expected, "{ms} ms, from {skip} on");
        }
    }
}

#[test]
fn a_short_break_is_none_and_a_pause_is_one() {
    let key = || pair(8_000, 60, (852.0, 6_000.0), (1_477.0, 6_000.0));
    for (ms, expected) in [(10, "9"), (40, "99")] {
        let sound = [silence(8_000, 60), key(), silence(8_000, ms), key(), silence(8_000, 60)].concat();
        for skip in 0..160 {
            assert_eq!(keys(8_000, &sound, skip), expected, "{ms} ms, from {skip} on");
        }
    }
    // One key right after the other.
    let other = pair(8_000, 60, (697.0, 6_000.0), (1_209.0, 6_000.0));
    assert_eq!(keys(8_000, &[silence(8_000, 60), key(), other, key()].concat(), 0), "919");
}

#[test]
fn tones_may_be_a_little_off_but_not_much() {
    for (&(row, column), key) in PLACES.iter().zip(KEYS.chars()) {
        let (row, column) = (f64::from(ROWS[row]), f64::from(COLUMNS[column]));
        let key = key.to_string();
        for sign in [-1.0, 1.0] {
            for (row_off, column_off, expected) in
                [(0.015, 0.015, key.as_str()), (0.015, -0.015, &key), (0.035, 0.0, ""), (0.0, 0.035, "")]
            {
                let (row, column) = (row * (1.0 + sign * row_off), column * (1.0 + sign * column_off));
                // Twisted as much as it may be, which makes the weaker one harder to hear.
                for (row_loud, column_loud) in [(8_000.0, 8_000.0), (8_000.0, 3_600.0), (5_500.0, 8_000.0)] {
                    let sound = pair(8_000, 100, (row, row_loud), (column, column_loud));
                    assert_eq!(
                        keys(8_000, &sound, 0),
                        expected,
                        "{key}: {row} Hz {row_loud}, {column} Hz {column_loud}"
                    );
                }
            }
        }
    }
}

#[test]
fn two_tones_that_are_not_about_as_loud_as_each_other_are_no_key() {
    for (row, column, expected) in
        [(8_000.0, 3_400.0, "1"), (5_300.0, 8_000.0, "1"), (8_000.0, 2_500.0, ""), (4_000.0, 8_000.0, "")]
    {
        let sound = pair(8_000, 100, (697.0, row), (1_209.0, column));
        assert_eq!(keys(8_000, &sound, 0), expected, "{row} {column}");
    }
}

#[test]
fn noise_hides_no_key_and_makes_none() {
    let mut sound = silence(8_000, 100);
    for code in 0..16 {
        let mut key = silence(8_000, 80);
        tone::write(code, 0, 640, 8_000, 10, &mut key);
        sound.extend(key);
        sound.extend(silence(8_000, 80));
    }
    // 12 dB between the two tones and the noise.
    assert_eq!(keys(8_000, &with_noise(&sound, 2_400.0), 0), KEYS);
    for loudness in [300.0, 3_000.0, 30_000.0] {
        assert_eq!(keys(8_000, &with_noise(&silence(8_000, 120_000), loudness), 0), "");
    }
}

#[test]
fn other_tones_are_no_keys() {
    // Dialling tone, busy, ringing of two countries, a modem's answer, a beep; and each tone of a key alone.
    for (a, b) in [
        (350.0, 440.0),
        (480.0, 620.0),
        (440.0, 480.0),
        (400.0, 450.0),
        (425.0, 425.0),
        (2_100.0, 2_100.0),
        (1_004.0, 1_004.0),
    ] {
        assert_eq!(keys(8_000, &pair(8_000, 3_000, (a, 6_000.0), (b, 6_000.0)), 0), "", "{a} {b}");
    }
    for frequency in ROWS.iter().chain(&COLUMNS) {
        let sound = pair(8_000, 1_000, (f64::from(*frequency), 12_000.0), (100.0, 0.0));
        assert_eq!(keys(8_000, &sound, 0), "", "{frequency}");
    }
}

#[test]
fn speech_is_no_key() {
    let folder = std::path::Path::new("/usr/share/asterisk/sounds/en_US_f_Allison");
    if !folder.exists() {
        return println!("skipped: there is no asterisk-core-sounds-en-wav");
    }
    let mut folders = vec![folder.to_owned()];
    let (mut files, mut seconds) = (0, 0.0);
    let mut mistakes = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(wav) = crate::wav::read(&path) else { continue };
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if wav.rate != 8_000 {
                continue;
            }
            files += 1;
            seconds += wav.samples.len() as f64 / 8_000.0;
            let louder: Vec<i16> = wav.samples.iter().map(|sample| sample.saturating_mul(4)).collect();
            for (how, sound) in [("as it is", &wav.samples), ("clipped", &louder)] {
                let found = keys(8_000, &through_g711(sound), 0);
                if !found.is_empty() {
                    mistakes.push(format!("{name} {how}: {found}"));
                }
            }
        }
    }
    println!("{files} prompts, {seconds:.0} s, each twice: {mistakes:?}");
    assert!(files > 100);
    assert_eq!(mistakes, Vec::<String>::new());
}
