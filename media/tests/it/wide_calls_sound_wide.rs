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
fn opus_carries_the_wider_band_in_half_of_the_bits() {
    let mut talk = Talk::new(Codec::Opus);
    // The filters of the codec need a moment to open.
    talk.a.session.play(chunk(1, 48_000, tone(48_000, 5_000.0, 3.0), true)).expect("room");
    talk.run(160);
    let ears = talk.ears();
    assert!(share(&ears[24_000..40_000], 5_000.0) > 0.9);
    let stats = talk.b.session.stats();
    assert_eq!((stats.lost, stats.late, stats.concealed_frames), (0, 0, 0), "{stats:?}");
    assert!(stats.delay_ms <= 60.0 && stats.jitter_ms < 2.0, "the clock of 48 kHz is understood: {stats:?}");
    let bits = talk.a.session.stats().sent_bytes * 8 / 3;
    assert!((8_000..36_000).contains(&bits), "{bits} bits a second");
}

#[test]
fn opus_goes_in_packets_of_its_own_lengths() {
    for (ptime, sent) in [(10, 10), (20, 20), (30, 20), (40, 40), (50, 40), (60, 60)] {
        let mut talk = Talk::new(Codec::Opus);
        for (party, remote) in [(&mut talk.a, address(2, 5_000)), (&mut talk.b, address(1, 4_000))] {
            let agreed = Negotiated { ptime_ms: ptime, ..Negotiated::plain(Codec::Opus, remote) };
            party.session.configure(talk.began, &agreed);
        }
        talk.run(50);
        talk.a.session.play(chunk(1, 16_000, voice(16_000, 3.0), true)).expect("room");
        talk.run(200);
        assert_eq!(talk.a.session.stats().sent, 250 * 20 / sent, "{ptime}");
        let stats = talk.b.session.stats();
        assert_eq!((stats.lost, stats.late, stats.resyncs), (0, 0, 0), "{ptime}: {stats:?}");
        let loudness = |pcm: &[i16]| pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>().sqrt();
        let (said, heard) = (loudness(&talk.a.said), loudness(&talk.b.heard));
        assert!((heard / said - 1.0).abs() < 0.2, "{ptime} ms: {heard:.0} of {said:.0}");
    }
}

/// How far the spectrum of what was heard strays from that of what was said, in dB, by bands of 250 Hz and frames of 20 ms. Waves
/// need not match.
fn distance(said: &[i16], heard: &[i16]) -> f64 {
    let bands = |pcm: &[i16]| -> Vec<f64> {
        (1..16)
            .map(|band| {
                let step = std::f64::consts::TAU * 250.0 * f64::from(band) / 16_000.0;
                let (re, im) = pcm.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, &sample)| {
                    let window = (std::f64::consts::PI * (n as f64 + 0.5) / pcm.len() as f64).sin();
                    let sample = f64::from(sample) * window;
                    (re + sample * (step * n as f64).cos(), im + sample * (step * n as f64).sin())
                });
                10.0 * (re * re + im * im + 1e8).log10()
            })
            .collect()
    };
    let pairs: Vec<f64> = said
        .chunks_exact(320)
        .zip(heard.chunks_exact(320))
        .map(|(said, heard)| {
            let pairs = bands(said).into_iter().zip(bands(heard));
            pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / 15.0
        })
        .collect();
    pairs.iter().sum::<f64>() / pairs.len() as f64
}

#[test]
fn a_lost_packet_is_taken_out_of_the_next_one() {
    let with = |fec: bool, lose: u32| {
        let mut talk = Talk::new(Codec::Opus);
        for (party, remote) in [(&mut talk.a, address(2, 5_000)), (&mut talk.b, address(1, 4_000))] {
            let mut agreed = Negotiated::plain(Codec::Opus, remote);
            agreed.opus.fec = fec;
            party.session.configure(talk.began, &agreed);
        }
        talk.lose = lose;
        talk.a.session.play(chunk(1, 16_000, voice(16_000, 8.0), true)).expect("room");
        talk.run(420);
        let stats = talk.b.session.stats();
        assert!((lose > 0) == (stats.lost > 20), "{stats:?}");
        talk.b.heard
    };
    // Against what is heard when nothing is lost; one packet in ten is.
    let (whole, copied, made_up) = (with(true, 0), with(true, 10), with(false, 10));
    let plain = with(false, 0);
    let (copied, made_up) = (distance(&whole, &copied), distance(&plain, &made_up));
    assert!(copied < 0.8 * made_up, "{copied:.2} dB with the copy, {made_up:.2} without");
}

#[test]
fn a_peer_that_sends_nothing_while_it_is_silent_is_neither_lost_nor_dead() {
    let mut talk = Talk::new(Codec::Opus);
    for (party, remote) in [(&mut talk.a, address(2, 5_000)), (&mut talk.b, address(1, 4_000))] {
        let mut agreed = Negotiated::plain(Codec::Opus, remote);
        agreed.opus.dtx = true;
        party.session.configure(talk.began, &agreed);
    }
    talk.a.session.play(chunk(1, 16_000, voice(16_000, 2.0), true)).expect("room");
    talk.run(100);
    let before = talk.a.session.stats().sent;
    talk.run(250);
    let quiet = talk.a.session.stats().sent - before;
    assert!(quiet < 60, "{quiet} packets in five seconds of silence");
    talk.a.session.play(chunk(2, 16_000, voice(16_000, 2.0), true)).expect("room");
    talk.b.heard.clear();
    talk.run(110);
    let stats = talk.b.session.stats();
    assert_eq!((stats.lost, stats.resyncs), (0, 0), "{stats:?}");
    assert!(share(&talk.b.heard[..16_000], 500.0) < 1.0 && stats.delay_ms <= 80.0, "{stats:?}");
    let loud = talk.b.heard.chunks(320).filter(|frame| frame.iter().any(|sample| sample.abs() > 500)).count();
    assert!(loud > 50, "the second sentence is heard: {loud} frames");
}

#[test]
fn no_bytes_that_claim_to_be_opus_do_harm() {
    let mut talk = Talk::new(Codec::Opus);
    talk.run(10);
    let mut chance = Chance::new(5);
    for sequence in 0..3_000u32 {
        let now = talk.began + TICK * (talk.ticks + sequence);
        let mut packet = vec![0x80, 111];
        packet.extend((1_000 + sequence as u16).to_be_bytes());
        packet.extend((sequence * 960).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        let length = chance.below(80);
        packet.extend(chance.bytes(length));
        talk.b.session.handle_packet(now, address(1, 4_000), &packet);
        talk.b.tick(now);
    }
    assert_eq!(talk.b.session.stats().frames_dropped, 0);
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
    talk.a.session.play(chunk(1, 22_050, tone(22_050, 1_000.0, 10.0), true)).expect("room");
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::Pcma, Codec::Opus, Codec::Pcmu] {
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
    assert!(played.is_some_and(|ms| (9_990..=10_010).contains(&ms)), "{played:?}");
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
