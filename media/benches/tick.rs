//! What a call costs: microseconds per tick and call, alone and among many, and of the parts. `cargo bench -p media --bench tick`; words after `--` choose those
//! whose names contain one of them.

#![allow(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use media::resample::Resampler;
use media::sdp::{Codec, Negotiated};
use media::vad::Vad;
use media::{Channel, Mark, MediaSession, PlayChunk, SessionConfig, VadConfig};

#[path = "../../benches/media/speech.rs"]
mod person;

fn is_wanted(name: &str) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|arg| arg != "--bench").peekable();
    wanted.peek().is_none() || wanted.any(|part| name.contains(&part))
}

fn time(name: &str, rounds: u32, mut work: impl FnMut()) -> f64 {
    if !is_wanted(name) {
        return 0.0;
    }
    (0..rounds / 10).for_each(|_| work());
    let began = Instant::now();
    (0..rounds).for_each(|_| work());
    let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
    println!("{name:<58} {each:>8.2} µs");
    each
}

/// What a person says in so many seconds, from a second on: what both sides of a call say is not the same, or each were the other's echo.
fn speech(rate: u32, from: usize, seconds: usize) -> Vec<i16> {
    static PERSON: OnceLock<Vec<i16>> = OnceLock::new();
    let person = PERSON.get_or_init(person::person);
    media::resample::convert(&person[from * 8_000..(from + seconds) * 8_000], 8_000, rate)
}

struct Call {
    session: MediaSession,
    packet: Vec<u8>,
    /// Of the RTP clock in a packet.
    units: u32,
    /// The peer gives back what it hears.
    echoes: bool,
    returned: VecDeque<Vec<u8>>,
}

impl Call {
    fn new(now: Instant, seed: u64, codec: Codec, speaks: bool, record: bool) -> Call {
        let config = SessionConfig {
            ssrc_seed: seed,
            record,
            max_queue: Duration::from_secs(36_000),
            ..SessionConfig::default()
        };
        let mut session = MediaSession::new(config, now);
        let remote = "192.0.2.1:4000".parse().expect("an address");
        session.configure(now, &Negotiated::plain(codec, remote));
        if speaks {
            static SAID: OnceLock<Arc<[i16]>> = OnceLock::new();
            let said = SAID.get_or_init(|| speech(22_050, 60, 10).into());
            for _ in 0..100 {
                let chunk = PlayChunk { mark: Mark(1), rate: 22_050, pcm: Arc::clone(said), last: false };
                session.play(chunk).expect("room");
            }
        }
        let packet = vec![0x80, codec.payload_type(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        let units = codec.clock_rate() / 50;
        Call { session, packet, units, echoes: false, returned: VecDeque::new() }
    }

    fn step(&mut self, now: Instant, tick: u32, heard: &[u8]) {
        self.packet.truncate(12);
        self.packet[2..4].copy_from_slice(&(tick as u16).to_be_bytes());
        self.packet[4..8].copy_from_slice(&(tick * self.units).to_be_bytes());
        match self.returned.len() {
            // What was sent a quarter of a second ago.
            13.. => self.packet.extend(self.returned.pop_front().expect("13 at least")),
            _ => self.packet.extend_from_slice(heard),
        }
        let from = "192.0.2.1:4000".parse().expect("an address");
        self.session.handle_packet(now, from, &self.packet);
        self.session.tick(now + Duration::from_millis(10));
        while let Some(packet) = self.session.poll_transmit() {
            if self.echoes {
                self.returned.push_back(packet.bytes[12..].to_vec());
            }
            black_box(packet.bytes);
        }
        while let Some(event) = self.session.poll_event() {
            black_box(&event);
        }
        black_box(self.session.poll_recording());
    }
}

fn calls(name: &str, count: u64, (codec, heard): &(Codec, Vec<Vec<u8>>), speaks: bool, record: bool) {
    if !is_wanted(name) {
        return;
    }
    let began = Instant::now();
    let mut calls: Vec<Call> =
        (0..count).map(|seed| Call::new(began, seed, *codec, speaks, record)).collect();
    for call in &mut calls {
        call.echoes = name.contains("echo");
    }
    let mut tick = 0;
    let each = time(name, if count == 1 { 3_000 } else { 600 }, || {
        let now = began + Duration::from_millis(20) * tick;
        for call in &mut calls {
            call.step(now, tick, &heard[tick as usize % heard.len()]);
        }
        tick += 1;
    }) / count as f64;
    println!("{:<58} {each:>8.2} µs per call = {:.3} % of a core", "", each / 200.0);
}

/// What a session sends that plays this, packet by packet.
fn packets(codec: Codec, rate: u32, pcm: Vec<i16>) -> (Codec, Vec<Vec<u8>>) {
    let mut now = Instant::now();
    let mut session = MediaSession::new(SessionConfig::default(), now);
    let remote = "192.0.2.1:4000".parse().expect("an address");
    session.configure(now, &Negotiated::plain(codec, remote));
    let ticks = pcm.len() / (rate as usize / 50);
    let chunk = PlayChunk { mark: Mark(1), rate, pcm: pcm.into(), last: true };
    session.play(chunk).expect("room");
    let mut packets = Vec::new();
    for _ in 0..ticks {
        session.tick(now);
        while let Some(packet) = session.poll_transmit() {
            if packet.channel == Channel::Rtp {
                packets.push(packet.bytes[12..].to_vec());
            }
        }
        while session.poll_event().is_some() {}
        now += Duration::from_millis(20);
    }
    (codec, packets)
}

fn main() {
    println!("{}", if person::is_a_person() { "a person's prompts" } else { "made of syllables" });
    let spoken = packets(Codec::Pcmu, 8_000, speech(8_000, 0, 30));
    let silent = packets(Codec::Pcmu, 8_000, vec![0; 240_000]);
    calls("one call, both sides silent", 1, &silent, false, false);
    calls("one call, the peer speaks", 1, &spoken, false, false);
    calls("one call, both speak (22,050 Hz)", 1, &spoken, true, false);
    calls("one call, we speak and hear our echo", 1, &silent, true, false);
    calls("one call, both speak, recorded", 1, &spoken, true, true);
    calls("100 calls, the peer speaks", 100, &spoken, false, false);
    calls("100 calls, both speak", 100, &spoken, true, false);
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        let name = |what: &str| format!("100 calls, both speak, {}{what}", codec.name());
        if is_wanted(&name(", recorded")) {
            let spoken = packets(codec, 16_000, speech(16_000, 0, 30));
            calls(&name(""), 100, &spoken, true, false);
            calls(&name(", recorded"), 100, &spoken, true, true);
        }
    }

    for (from, to) in
        [(8_000u32, 16_000u32), (16_000, 8_000), (22_050, 8_000), (24_000, 8_000), (44_100, 8_000)]
    {
        let frame = speech(from, 0, 1)[..from as usize / 50].to_vec();
        let mut out = Vec::with_capacity(4_096);
        let mut resampler = Resampler::new(from, to);
        time(&format!("resampler {from} → {to}, 20 ms"), 20_000, || {
            out.clear();
            resampler.push(&frame, &mut out);
            black_box(&out);
        });
    }
    time("resampler 22,050 → 8,000, made", 200, || {
        black_box(Resampler::new(22_050, 8_000));
    });
    let now = Instant::now();
    let wide = media::resample::convert(&speech(8_000, 0, 10), 8_000, 16_000);
    let mut vad = Vad::new(VadConfig::default());
    let mut at = 0;
    time("voice detector, 20 ms of speech", 20_000, || {
        let frame = <&[i16; 320]>::try_from(&wide[at..at + 320]).expect("320");
        black_box(vad.judge(now, frame, || false));
        at = (at + 320) % (wide.len() - 320);
    });
    println!(
        "session: {} bytes, voice detector: {} bytes beside it",
        size_of::<MediaSession>(),
        size_of::<Vad>()
    );
}
