//! What we say comes back, weaker and later: it is told from a caller who speaks.

use std::path::PathBuf;
use std::time::Duration;

use media::{Event, SessionConfig};

use crate::support::*;

/// Recorded speech of a person where the Debian package asterisk-core-sounds-en-wav is installed, else something like it.
fn speech(name: &str, like: f64) -> Vec<i16> {
    let path = PathBuf::from(format!("/usr/share/asterisk/sounds/en_US_f_Allison/{name}.wav"));
    match media::wav::read(&path) {
        Ok(wav) => wav.samples.into_iter().take((like * 8_000.0) as usize).collect(),
        Err(_) => voice(8_000, like),
    }
}

/// How an echo comes about.
#[derive(Clone, Copy, Debug)]
struct Path {
    delay_ms: usize,
    decibels: f64,
    /// A hybrid spreads the echo over some milliseconds.
    spread: bool,
    /// From the third second on it takes so long.
    then_ms: Option<usize>,
}

impl Path {
    fn taps(&self) -> Vec<f64> {
        let taps = match self.spread {
            true => vec![0.15, 0.6, 1.0, -0.35, -0.5, 0.2, 0.3, -0.1, -0.2, 0.1, 0.1, -0.05],
            false => vec![1.0],
        };
        let energy: f64 = taps.iter().map(|tap| tap * tap).sum();
        let gain = 10f64.powf(self.decibels / 20.0) / energy.sqrt();
        taps.into_iter().map(|tap| tap * gain).collect()
    }
}

#[derive(Debug)]
struct Heard {
    /// When voice began and ended, in ms of the call.
    starts: Vec<u64>,
    ends: Vec<u64>,
    echo_frames: u64,
    /// Frames that reached the ears as silence, without even the line's hiss.
    silent_frames: u64,
}

/// We say `said`; the peer's line gives it back by `path`, and the peer says `theirs` from `at_ms` on.
fn call(said: &[i16], path: Option<Path>, theirs: &[i16], at_ms: usize) -> Heard {
    let began = start();
    let mut party = Party::with(began, SessionConfig { record: true, ..SessionConfig::default() });
    let peer = address(2, 5_000);
    party.session.configure(began, &agreed(peer));
    party.session.play(chunk(1, 8_000, said.to_vec(), true)).expect("room");
    let taps = path.map(|path| path.taps()).unwrap_or_default();
    let ticks = said.len().max(at_ms * 8 + theirs.len()) / 160 + 40;
    let mut chance = Chance::new(7);
    let mut times = Heard { starts: Vec::new(), ends: Vec::new(), echo_frames: 0, silent_frames: 0 };
    for tick in 0..ticks as u32 {
        let mut packet = vec![0x80, 0];
        packet.extend((tick as u16).to_be_bytes());
        packet.extend((tick * 160).to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        let moved = path.and_then(|path| path.then_ms).filter(|_| tick >= 150);
        let delay = moved.or(path.map(|path| path.delay_ms)).unwrap_or(0) * 8;
        for n in tick as usize * 160..(tick as usize + 1) * 160 {
            let echo: f64 = taps
                .iter()
                .enumerate()
                .filter_map(|(k, tap)| Some(tap * f64::from(*party.said.get(n.checked_sub(delay + k)?)?)))
                .sum();
            let near = n.checked_sub(at_ms * 8).and_then(|n| theirs.get(n)).map_or(0.0, |s| f64::from(*s));
            let hiss = (chance.share() - 0.5) * 12.0;
            packet.push(media::g711::encode_ulaw((echo + near + hiss) as i16));
        }
        let now = began + TICK * tick;
        party.session.handle_packet(now, peer, &packet);
        party.tick(now + Duration::from_millis(10));
    }
    let ms = |at: std::time::Instant| at.duration_since(began).as_millis() as u64;
    for event in &party.events {
        match event {
            Event::VoiceStart { at } => times.starts.push(ms(*at)),
            Event::VoiceEnd { at } => times.ends.push(ms(*at)),
            Event::Frame { pcm, .. } if pcm.iter().all(|sample| *sample == 0) => times.silent_frames += 1,
            _ => {}
        }
    }
    times.echo_frames = party.session.stats().echo_frames;
    times
}

/// What we say, and what a caller says over it: of a person where it is installed, and made up.
fn sounds() -> Vec<(Vec<i16>, Vec<i16>)> {
    let mut sounds = vec![(voice(8_000, 4.0), speech("hello-world", 1.2))];
    for name in ["agent-incorrect", "conf-adminmenu", "demo-instruct", "vm-intro"] {
        sounds.push((speech(name, 4.0), speech("hello-world", 1.2)));
    }
    sounds
}

fn quieter(pcm: &[i16], decibels: f64) -> Vec<i16> {
    let gain = 10f64.powf(-decibels / 20.0);
    pcm.iter().map(|sample| (f64::from(*sample) * gain) as i16).collect()
}

#[test]
fn our_own_voice_is_never_taken_for_the_callers() {
    for (said, _) in &sounds()[1..] {
        for decibels in [-30.0, -20.0, -10.0] {
            for (delay_ms, spread) in [(50, true), (120, false), (210, true), (300, true)] {
                let path = Path { delay_ms, decibels, spread, then_ms: None };
                let heard = call(said, Some(path), &[], 0);
                assert!(heard.starts.is_empty(), "{path:?}: {heard:?}");
                assert!(heard.echo_frames > 50, "{path:?}: {heard:?}");
                // What no voice detector takes for a voice no transcriber is to take for words.
                assert!(heard.silent_frames >= heard.echo_frames, "{path:?}: {heard:?}");
            }
        }
    }
}

#[test]
fn who_speaks_over_the_echo_is_heard() {
    for (said, theirs) in &sounds()[1..] {
        for at_ms in [1_000, 1_700] {
            let alone = call(said, None, theirs, at_ms).starts[0];
            for (decibels, louder) in [(-20.0, 0.0), (-25.0, 6.0)] {
                for delay_ms in [50, 200] {
                    let path = Path { delay_ms, decibels, spread: true, then_ms: None };
                    let heard = call(said, Some(path), &quieter(theirs, louder), at_ms);
                    let first = heard.starts.first().copied().unwrap_or(u64::MAX);
                    assert!(first <= alone + 200, "{path:?}: {heard:?}, without it {alone}");
                    assert!(first >= at_ms as u64, "{path:?}: {heard:?}, not before {at_ms}");
                }
            }
        }
    }
}

#[test]
fn without_an_echo_nobody_is_kept_from_speaking() {
    for (said, theirs) in &sounds() {
        for at_ms in [600, 1_300, 2_100] {
            let alone = call(&vec![0; said.len()], None, theirs, at_ms);
            let over = call(said, None, theirs, at_ms);
            assert!(over.starts[0] <= alone.starts[0] + 60, "{over:?}, in silence {alone:?}");
            assert_eq!(over.starts.len(), over.ends.len(), "{over:?}");
        }
    }
}

#[test]
fn an_echo_that_moves_is_found_again() {
    // As after a hand-over, or when a jitter buffer somewhere grows: half of the call at one delay, half at another.
    let said = speech("demo-instruct", 6.0);
    for (delay_ms, then_ms) in [(60, Some(260)), (300, Some(90))] {
        let path = Path { delay_ms, decibels: -20.0, spread: true, then_ms };
        let heard = call(&said, Some(path), &[], 0);
        assert!(heard.starts.is_empty(), "{path:?}: {heard:?}");
    }
}
