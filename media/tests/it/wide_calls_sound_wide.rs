//! Codecs with more than the telephone's band: what they carry reaches ears, peers and recordings, and a call may change between them.

use std::time::Duration;

use media::sdp::{Codec, Negotiated};
use media::{Event, Rate};

use crate::support::*;

/// Two parties of one line, and the time.
struct Talk {
    a: Party,
    b: Party,
    ticks: u32,
    began: std::time::Instant,
    /// Of the packets that `a` sends, one of so many is lost; 0: none.
    lose: u32,
}

impl Talk {
    fn new(codec: Codec) -> Talk {
        let began = start();
        let mut talk = Talk { a: Party::new(began, 1), b: Party::new(began, 2), ticks: 0, began, lose: 0 };
        talk.agree(codec);
        talk
    }

    fn agree(&mut self, codec: Codec) {
        let now = self.began + TICK * self.ticks;
        self.a.session.configure(now, &Negotiated::plain(codec, address(2, 5_000)));
        self.b.session.configure(now, &Negotiated::plain(codec, address(1, 4_000)));
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            let now = self.began + TICK * self.ticks;
            let later = now + Duration::from_millis(1);
            self.a.tick(now);
            for (n, (_, bytes)) in self.a.sent.split_off(0).into_iter().enumerate() {
                if self.lose == 0 || (self.ticks + n as u32) % self.lose != 7 {
                    self.b.session.handle_packet(later, address(1, 4_000), &bytes);
                }
            }
            self.b.tick(now + Duration::from_millis(10));
            for (_, bytes) in self.b.sent.split_off(0) {
                self.a.session.handle_packet(now + Duration::from_millis(11), address(2, 5_000), &bytes);
            }
            self.ticks += 1;
        }
    }

    /// What `b`'s ears were given.
    fn ears(&self) -> Vec<i16> {
        let frames = self.b.events.iter().filter_map(|event| match event {
            Event::Frame { pcm, .. } => Some(pcm),
            _ => None,
        });
        frames.flatten().copied().collect()
    }
}

/// The share of the energy that a tone of this frequency has, at 16 kHz.
fn share(pcm: &[i16], frequency: f64) -> f64 {
    let step = std::f64::consts::TAU * frequency / 16_000.0;
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (n, &sample) in pcm.iter().enumerate() {
        let sample = f64::from(sample);
        re += sample * (step * n as f64).cos();
        im += sample * (step * n as f64).sin();
        energy += sample * sample;
    }
    (re * re + im * im) * 2.0 / (pcm.len() as f64 * energy.max(1.0))
}

#[test]
fn a_tone_above_the_telephones_band_reaches_the_ears_and_the_recording() {
    let mut talk = Talk::new(Codec::G722);
    talk.a.session.play(chunk(1, 48_000, tone(48_000, 5_000.0, 2.0), true)).expect("room");
    talk.run(110);
    let ears = talk.ears();
    assert!(share(&ears[16_000..24_000], 5_000.0) > 0.95);
    // The recording is of the same rate: both sides, and as loud.
    assert!(share(&talk.b.heard[16_000..24_000], 5_000.0) > 0.95);
    assert!(share(&talk.a.said[16_000..24_000], 5_000.0) > 0.99);
    let stats = talk.b.session.stats();
    assert_eq!((stats.lost, stats.late, stats.concealed_frames), (0, 0, 0), "{stats:?}");
    assert!(stats.delay_ms <= 60.0, "{stats:?}");
    let played = talk.a.events.iter().find_map(|event| match event {
        Event::Played { duration, .. } => Some(*duration),
        _ => None,
    });
    assert_eq!(played, Some(Duration::from_secs(2)), "a mark lasts as long as ever");
}

#[test]
fn packets_of_all_lengths_carry_every_sample() {
    for ptime in [10, 20, 30, 40, 50, 60] {
        let mut talk = Talk::new(Codec::G722);
        for (party, remote) in [(&mut talk.a, address(2, 5_000)), (&mut talk.b, address(1, 4_000))] {
            let agreed = Negotiated { ptime_ms: ptime, ..Negotiated::plain(Codec::G722, remote) };
            party.session.configure(talk.began, &agreed);
        }
        talk.run(50);
        let said = voice(16_000, 3.0);
        talk.a.session.play(chunk(1, 16_000, said.clone(), true)).expect("room");
        talk.run(200);
        let stats = talk.b.session.stats();
        assert_eq!((stats.lost, stats.late), (0, 0), "{ptime}: {stats:?}");
        let (shift, snr) = best_fit_by(&said, &talk.b.heard[16_000..], 4_800);
        assert!(snr >= 17.0, "{ptime} ms: {snr:.1} dB");
        assert!(shift <= (usize::from(ptime).max(20) + 62) * 16, "{ptime} ms: {} ms", shift / 16);
    }
}

#[test]
fn lost_packets_are_concealed_at_the_wider_rate() {
    let mut talk = Talk::new(Codec::G722);
    talk.lose = 20;
    talk.a.session.play(chunk(1, 16_000, voice(16_000, 6.0), true)).expect("room");
    talk.run(300);
    let stats = talk.b.session.stats();
    assert!(stats.lost >= 13 && stats.concealed_frames >= 13, "{stats:?}");
    assert!(stats.delay_ms <= 60.0, "{stats:?}");
    // One packet in twenty is made up, and nothing clicks: no step is larger than speech itself makes.
    let steepest = |pcm: &[i16]| pcm.windows(2).map(|pair| i32::from(pair[1]) - i32::from(pair[0])).max();
    let (said, heard) = (steepest(&talk.a.said), steepest(&talk.b.heard));
    assert!(heard < said.map(|step| step * 3 / 2), "{heard:?} of {said:?}");
}

#[test]
fn a_call_changes_its_codec_in_the_middle_and_goes_on() {
    let mut talk = Talk::new(Codec::Pcmu);
    let seconds = |codec| match codec {
        Codec::Pcmu | Codec::Pcma => Rate::Narrow,
        _ => Rate::Wide,
    };
    talk.a.session.play(chunk(1, 22_050, tone(22_050, 1_000.0, 9.0), true)).expect("room");
    for codec in [Codec::Pcmu, Codec::G722, Codec::Pcma, Codec::G722, Codec::Pcmu] {
        talk.agree(codec);
        talk.b.heard.clear();
        talk.b.events.clear();
        talk.run(75);
        assert_eq!(codec.rate(), seconds(codec));
        let ears = talk.ears();
        assert!(share(&ears[8_000..20_000], 1_000.0) > 0.95, "{codec:?}");
        assert_eq!(talk.b.heard.len(), 75 * codec.rate().frame(), "{codec:?}");
    }
    let stats = talk.b.session.stats();
    assert_eq!((stats.lost, stats.unknown_payload), (0, 0), "{stats:?}");
    talk.run(130);
    let played = talk.a.events.iter().find_map(|event| match event {
        Event::Played { duration, .. } => Some(duration.as_millis()),
        _ => None,
    });
    assert!(played.is_some_and(|ms| (8_990..=9_010).contains(&ms)), "{played:?}");
}

#[test]
fn a_peer_that_falls_back_to_g711_is_understood() {
    let mut talk = Talk::new(Codec::G722);
    talk.run(25);
    // Only one side was told.
    let narrow = Negotiated::plain(Codec::Pcma, address(2, 5_000));
    talk.a.session.configure(talk.began + TICK * talk.ticks, &narrow);
    talk.a.session.play(chunk(1, 8_000, tone(8_000, 1_000.0, 2.0), true)).expect("room");
    talk.b.events.clear();
    talk.run(75);
    let ears = talk.ears();
    assert!(share(&ears[8_000..20_000], 1_000.0) > 0.95);
    assert_eq!(talk.b.session.stats().unknown_payload, 0);
}
