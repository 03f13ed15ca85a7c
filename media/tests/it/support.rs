//! A virtual clock, a line that loses and delays by a seed, and sounds whose quality can be measured.

use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::sdp::{Codec, Negotiated};
use media::{Event, LINE_FRAME, Mark, MediaSession, PlayChunk, SessionConfig};

pub use crate::link::{Chance, Link, Path, Shape};

pub const TICK: Duration = Duration::from_millis(20);

/// Any instant will do: only differences count.
#[allow(clippy::disallowed_methods)]
pub fn start() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

pub fn address(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], port))
}

pub fn agreed(remote: SocketAddr) -> Negotiated {
    Negotiated::plain(Codec::Pcmu, remote)
}

/// Something like speech: a gliding voice with formants, in syllables with pauses between.
pub fn voice(rate: u32, seconds: f64) -> Vec<i16> {
    let mut phase = 0.0f64;
    (0..(f64::from(rate) * seconds) as usize)
        .map(|n| {
            let time = n as f64 / f64::from(rate);
            let pitch = 120.0 + 30.0 * (time * 1.7).sin();
            phase += pitch / f64::from(rate);
            let syllable = (time * 3.1).fract();
            let loudness = if syllable < 0.7 { (syllable / 0.7 * std::f64::consts::PI).sin() } else { 0.0 };
            let formant = 500.0 + 200.0 * (time * 2.3).sin();
            let sound: f64 = (1..20)
                .map(|harmonic| {
                    let frequency = pitch * f64::from(harmonic);
                    let gain = 1.0 / (1.0 + ((frequency - formant) / 150.0).powi(2))
                        + 0.3 / (1.0 + ((frequency - 1_500.0) / 200.0).powi(2));
                    gain * (std::f64::consts::TAU * phase * f64::from(harmonic)).sin()
                })
                .sum();
            (7_000.0 * loudness * sound).clamp(-32_000.0, 32_000.0) as i16
        })
        .collect()
}

pub fn tone(rate: u32, frequency: f64, seconds: f64) -> Vec<i16> {
    let step = std::f64::consts::TAU * frequency / f64::from(rate);
    (0..(f64::from(rate) * seconds) as usize).map(|n| (9_000.0 * (step * n as f64).sin()) as i16).collect()
}

pub fn chunk(mark: u64, rate: u32, pcm: Vec<i16>, last: bool) -> PlayChunk {
    PlayChunk { mark: Mark(mark), rate, pcm: pcm.into(), last }
}

/// The place in `heard` where `said` fits best, within its first 300 ms at 8 kHz, and the signal-to-noise ratio there in dB.
pub fn best_fit(said: &[i16], heard: &[i16]) -> (usize, f64) {
    best_fit_by(said, heard, 2_400)
}

/// The same within so many samples.
pub fn best_fit_by(said: &[i16], heard: &[i16], most: usize) -> (usize, f64) {
    let noise_at = |shift: usize, step: usize| -> f64 {
        let pairs = said.iter().zip(&heard[shift..]).step_by(step);
        pairs.map(|(&said, &heard)| (f64::from(said) - f64::from(heard)).powi(2)).sum()
    };
    let shifts = 0..=(heard.len() - said.len()).min(most);
    let shift = shifts
        .min_by(|&a, &b| noise_at(a, 17).total_cmp(&noise_at(b, 17)))
        .expect("heard is longer than said");
    let energy: f64 = said.iter().map(|&s| f64::from(s).powi(2)).sum();
    (shift, 10.0 * (energy / noise_at(shift, 1).max(1.0)).log10())
}

/// A party on the line: its session, and what came out of it.
pub struct Party {
    pub session: MediaSession,
    pub events: Vec<Event>,
    /// What it decoded and what it sent, at the rate of its codec.
    pub heard: Vec<i16>,
    pub said: Vec<i16>,
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Party {
    pub fn new(now: Instant, seed: u64) -> Self {
        let config = SessionConfig { ssrc_seed: seed, record: true, ..SessionConfig::default() };
        Party::with(now, config)
    }

    pub fn with(now: Instant, config: SessionConfig) -> Self {
        Party {
            session: MediaSession::new(config, now),
            events: Vec::new(),
            heard: Vec::new(),
            said: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Ticks, and takes everything out. What was sent waits in `sent`.
    pub fn tick(&mut self, now: Instant) {
        self.session.tick(now);
        while let Some(packet) = self.session.poll_transmit() {
            if packet.channel == media::Channel::Rtp {
                self.sent.push((packet.to, packet.bytes.to_vec()));
            }
        }
        self.listen();
        if let Some(block) = self.session.poll_recording() {
            self.heard.extend(block.iter().step_by(2));
            self.said.extend(block.iter().skip(1).step_by(2));
        }
    }

    pub fn listen(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    pub fn frames(&self) -> usize {
        self.events.iter().filter(|event| event.is_frame()).count()
    }

    pub fn digits(&self) -> String {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Digit { digit, .. } => Some(*digit),
                _ => None,
            })
            .collect()
    }
}

/// What came of a [`run`].
pub struct Outcome {
    pub receiver: Party,
    pub spoken: Vec<i16>,
    pub dropped: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying(std::cmp::Reverse<(u64, usize)>, Vec<u8>);

/// One party speaks `pcm` (8 kHz, looped), the other listens, for so many seconds.
pub fn run(link: Link, pcm: &[i16], seconds: u64) -> Outcome {
    let began = start();
    let mut path = Path::new(link);
    let (here, there) = (address(1, 4_000), address(2, 5_000));
    let mut speaker = Party::new(began, link.seed);
    let mut receiver = Party::new(began, link.seed + 1);
    speaker.session.configure(began, &agreed(there));
    receiver.session.configure(began, &agreed(here));
    let mut flying: BinaryHeap<Flying> = BinaryHeap::new();
    let mut sent = 0;
    let mut speaker_ticks = 0u64;
    let mut spoken = Vec::new();
    let period_ns = 20e6 / (1.0 + link.drift_ppm * 1e-6);
    for tick in 0..seconds * 50 {
        let now = began + TICK * tick as u32;
        let now_ns = tick * 20_000_000;
        // The speaker's clock stands 7 ms off.
        while speaker_ticks as f64 * period_ns + 7e6 < (now_ns + 20_000_000) as f64 {
            let at_ns = speaker_ticks as f64 * period_ns + 7e6;
            if speaker.session.queued() < Duration::from_secs(1) {
                let start = spoken.len() % pcm.len();
                let piece: Vec<i16> = pcm[start..].iter().take(8_000).copied().collect();
                spoken.extend(&piece);
                speaker.session.play(chunk(1, 8_000, piece, false)).expect("room");
            }
            speaker.tick(began + Duration::from_nanos(at_ns as u64));
            speaker_ticks += 1;
            for (_, bytes) in speaker.sent.drain(..) {
                sent += 1;
                for arrival in path.send(at_ns as u64) {
                    flying.push(Flying(std::cmp::Reverse((arrival, sent)), bytes.clone()));
                }
            }
        }
        while flying.peek().is_some_and(|next| next.0.0.0 <= now_ns) {
            let packet = flying.pop().expect("peeked");
            let at = began + Duration::from_nanos(packet.0.0.0);
            receiver.session.handle_packet(at, here, &packet.1);
        }
        receiver.tick(now);
    }
    spoken.truncate(speaker_ticks as usize * LINE_FRAME);
    Outcome { receiver, spoken, dropped: path.dropped }
}
