//! The voice detector behind each codec: how much of a person's speech it finds, what else it takes for one. `cargo bench -p media --bench voice`, on a virtual clock.
//!
//! Every fourth sentence of Debian's `asterisk-core-sounds-en-g722`, 16 kHz, a second of silence between, goes through two sessions and a line without
//! fault. What is speech is told by the level of what was heard of it clean: within 25 dB of a sentence's loudest frames but one of twenty, gaps of up to
//! 100 ms closed. So breath and room count as speech, and nobody reaches 100 %. The figures stand in `docs/decisions/vad.md`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use media::sdp::{Codec, Negotiated};
use media::{Channel, Event, Mark, MediaSession, PlayChunk, SessionConfig};

const FOLDER: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
const TICK: Duration = Duration::from_millis(20);
const RATE: usize = 16_000;
const CODECS: [(&str, Codec); 3] = [("PCMU", Codec::Pcmu), ("G.722", Codec::G722), ("Opus", Codec::Opus)];

/// A frame as the detector saw it.
#[derive(Clone, Copy)]
struct Frame {
    level: f32,
    raw: bool,
    debounced: bool,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 4_000))
}

fn session(codec: Codec, seed: u64, peer: u8, now: Instant) -> MediaSession {
    let config =
        SessionConfig { ssrc_seed: seed, max_queue: Duration::from_secs(1_200), ..SessionConfig::default() };
    let mut session = MediaSession::new(config, now);
    session.configure(now, &Negotiated::plain(codec, address(peer)));
    session
}

/// What one session hears of what another says, 16 kHz.
fn heard(codec: Codec, pcm: &[i16]) -> Vec<Frame> {
    #[allow(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
    let mut now = Instant::now();
    let (mut speaker, mut ear) = (session(codec, 1, 2, now), session(codec, 2, 1, now));
    let chunk = PlayChunk { mark: Mark(1), rate: RATE as u32, pcm: pcm.into(), last: true };
    speaker.play(chunk).expect("there is room");
    let mut frames = Vec::new();
    for _ in 0..pcm.len() / 320 {
        speaker.tick(now);
        while let Some(packet) = speaker.poll_transmit() {
            if packet.channel == Channel::Rtp {
                let bytes = packet.bytes.to_vec();
                ear.handle_packet(now, address(1), &bytes);
            }
        }
        ear.tick(now + TICK / 2);
        while speaker.poll_event().is_some() || ear.poll_transmit().is_some() {}
        while let Some(event) = ear.poll_event() {
            if let Event::Frame { voice, probability, level_dbfs, .. } = event {
                frames.push(Frame { level: level_dbfs, raw: probability >= 0.5, debounced: voice });
            }
        }
        now += TICK;
    }
    frames
}

/// A file of G.722 as it lies on the disk, 16 kHz.
fn sentence(path: &Path) -> std::io::Result<Vec<i16>> {
    #[allow(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
    let mut now = Instant::now();
    let mut ear = session(Codec::G722, 1, 1, now);
    let mut pcm = Vec::new();
    for (number, payload) in (0u16..).zip(std::fs::read(path)?.chunks(160)) {
        let mut packet = vec![0x80, Codec::G722.payload_type()];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend(7u32.to_be_bytes());
        packet.extend(payload);
        ear.handle_packet(now, address(1), &packet);
        ear.tick(now + TICK / 2);
        while ear.poll_transmit().is_some() {}
        while let Some(event) = ear.poll_event() {
            if let Event::Frame { pcm: frame, .. } = event {
                pcm.extend(frame);
            }
        }
        now += TICK;
    }
    Ok(pcm)
}

/// Every fourth sentence, in the order of their names.
fn sentences() -> std::io::Result<Vec<Vec<i16>>> {
    let mut paths: Vec<_> = std::fs::read_dir(FOLDER)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "g722"))
        .collect();
    paths.sort();
    paths
        .iter()
        .step_by(4)
        .map(|path| sentence(path))
        .filter(|pcm| pcm.as_ref().is_ok_and(|pcm| pcm.len() > RATE))
        .collect()
}

/// xorshift64*, −1 to 1.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Noise of this RMS, in samples' units; a pink one has as much in each octave (Kellet's filter).
fn noise(length: usize, rms: f64, pink: bool) -> Vec<f64> {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut past = [0.0f64; 3];
    let raw: Vec<f64> = (0..length)
        .map(|_| {
            let white = chance.next();
            for (past, (keep, take)) in
                past.iter_mut().zip([(0.99765, 0.0990460), (0.96300, 0.2965164), (0.57000, 1.0526913)])
            {
                *past = keep * *past + take * white;
            }
            if pink { past.iter().sum::<f64>() + 0.1848 * white } else { white }
        })
        .collect();
    let gain = rms / loudness(&raw);
    raw.into_iter().map(|sample| sample * gain).collect()
}

fn loudness(pcm: &[f64]) -> f64 {
    (pcm.iter().map(|sample| sample * sample).sum::<f64>() / pcm.len().max(1) as f64).sqrt()
}

fn rounded(pcm: impl Iterator<Item = f64>) -> Vec<i16> {
    pcm.map(|sample| sample.clamp(-32_000.0, 32_000.0) as i16).collect()
}

/// Which frames hold speech: for each sentence's frames by its own loudness.
fn truth(clean: &[Frame], spans: &[std::ops::Range<usize>]) -> Vec<bool> {
    let mut speech = vec![false; clean.len()];
    for span in spans {
        let span = span.start..span.end.min(clean.len());
        let mut levels: Vec<f32> = clean[span.clone()].iter().map(|frame| frame.level).collect();
        levels.sort_by(f32::total_cmp);
        let Some(loud) = levels.get(levels.len() * 95 / 100) else { continue };
        for index in span {
            speech[index] = clean[index].level > loud - 25.0;
        }
    }
    // Gaps of up to 100 ms are a part of it.
    let mut last = None::<usize>;
    for index in 0..speech.len() {
        if speech[index] {
            if let Some(last) = last.filter(|last| index - last <= 6) {
                speech[last..index].fill(true);
            }
            last = Some(index);
        }
    }
    speech
}

/// One line of the table.
fn judge(frames: &[Frame], speech: &[bool]) -> String {
    let near: Vec<bool> = (0..speech.len())
        .map(|index| speech[index.saturating_sub(15)..(index + 11).min(speech.len())].contains(&true))
        .collect();
    let share = |of: &dyn Fn(usize) -> bool, hit: &dyn Fn(usize) -> bool| {
        let all: Vec<usize> = (0..frames.len().min(speech.len())).filter(|index| of(*index)).collect();
        100.0 * all.iter().filter(|index| hit(**index)).count() as f64 / all.len().max(1) as f64
    };
    let hit = |debounced: bool, wanted: bool| {
        let said = |index: usize| if debounced { frames[index].debounced } else { frames[index].raw };
        if wanted { share(&|index| speech[index], &said) } else { share(&|index| !near[index], &said) }
    };
    // A beginning: speech after half a second without.
    let (mut delays, mut missed) = (Vec::new(), 0);
    for index in 25..speech.len() {
        if speech[index] && !speech[index - 25..index].contains(&true) && !frames[index - 1].debounced {
            // The tick that told it is a part of the time.
            match frames[index..].iter().take(50).position(|frame| frame.debounced) {
                Some(later) => delays.push(20 * (later + 1)),
                None => missed += 1,
            }
        }
    }
    delays.sort_unstable();
    let at = |percent: usize| delays.get(delays.len() * percent / 100).copied().unwrap_or_default();
    format!(
        "{:.1} % | {:.1} % | {:.1} % | {:.1} % | {} / {} | {missed} of {}",
        hit(false, true),
        hit(false, false),
        hit(true, true),
        hit(true, false),
        at(50),
        at(95),
        delays.len() + missed
    )
}

/// Sounds that are no voice, ten seconds each, at −30 dBFS where they are noise.
fn others() -> Vec<(&'static str, Vec<i16>)> {
    let length = 10 * RATE;
    let rms = 32_768.0 * 10f64.powf(-30.0 / 20.0);
    let tones = |frequencies: &'static [f64], on: f64, off: f64| {
        rounded((0..length).map(move |n| {
            let time = n as f64 / RATE as f64;
            let sounds = time % (on + off) < on;
            let sum: f64 = frequencies.iter().map(|hz| (std::f64::consts::TAU * hz * time).sin()).sum();
            if sounds { 6_000.0 * sum / frequencies.len() as f64 } else { 0.0 }
        }))
    };
    let bursts = noise(length, rms, false);
    vec![
        ("white noise at −30 dBFS", rounded(noise(length, rms, false).into_iter())),
        ("pink noise at −30 dBFS", rounded(noise(length, rms, true).into_iter())),
        ("dial tone 350 + 440 Hz", tones(&[350.0, 440.0], 10.0, 0.0)),
        ("ring-back 440 + 480 Hz", tones(&[440.0, 480.0], 2.0, 4.0)),
        ("busy 480 + 620 Hz", tones(&[480.0, 620.0], 0.5, 0.5)),
        ("beep 1,000 Hz, 300 ms", tones(&[1_000.0], 0.3, 1.7)),
        ("beep 5,000 Hz, 300 ms", tones(&[5_000.0], 0.3, 1.7)),
        ("mains hum with harmonics", tones(&[50.0, 100.0, 150.0, 250.0], 10.0, 0.0)),
        (
            "bursts of noise, 250 ms (a cough)",
            rounded(
                bursts
                    .into_iter()
                    .enumerate()
                    .map(|(n, sample)| if n % (3 * RATE / 2) < RATE / 4 { 3.0 * sample } else { 0.0 }),
            ),
        ),
    ]
}

fn main() -> ExitCode {
    let sentences = match sentences() {
        Ok(sentences) if !sentences.is_empty() => sentences,
        _ => {
            eprintln!("{FOLDER} holds no G.722: `apt-get install asterisk-core-sounds-en-g722`");
            return ExitCode::FAILURE;
        }
    };
    let mut pcm = vec![0i16; RATE];
    let mut spans = Vec::new();
    for sentence in &sentences {
        let begin = pcm.len() / 320;
        pcm.extend(sentence);
        pcm.resize(pcm.len().next_multiple_of(320), 0);
        pcm.extend(vec![0; RATE]);
        spans.push(begin..pcm.len() / 320);
    }
    println!("{} sentences, {} s", sentences.len(), pcm.len() / RATE);
    let said: Vec<f64> = pcm.iter().map(|sample| f64::from(*sample)).collect();
    let voiced: Vec<f64> = said.iter().copied().filter(|sample| *sample != 0.0).collect();
    let rms = loudness(&voiced);
    let below = |decibels: f64| rms * 10f64.powf(-decibels / 20.0);
    let with = |noise: Vec<f64>| rounded(said.iter().zip(noise).map(|(sample, noise)| sample + noise));
    let conditions = [
        ("clean", pcm.clone()),
        ("white noise, 20 dB below", with(noise(pcm.len(), below(20.0), false))),
        ("pink noise, 10 dB below", with(noise(pcm.len(), below(10.0), true))),
        ("20 dB quieter", rounded(said.iter().map(|sample| sample / 10.0))),
    ];
    println!(
        "| condition | codec | frames hit | false | debounced hit | false | beginning ms | missed |\n|---|---|---|---|---|---|---|---|"
    );
    for (name, pcm) in &conditions {
        for (codec_name, codec) in CODECS {
            let speech = truth(&heard(codec, &conditions[0].1), &spans);
            println!("| {name} | {codec_name} | {} |", judge(&heard(codec, pcm), &speech));
        }
    }
    println!("\n| sound | {} |\n|---|---|---|---|", CODECS.map(|(name, _)| name).join(" | "));
    for (name, pcm) in others() {
        let shares = CODECS.map(|(_, codec)| {
            let frames = heard(codec, &pcm);
            let share = |said: &dyn Fn(&Frame) -> bool| {
                100.0 * frames.iter().filter(|frame| said(frame)).count() as f64 / frames.len().max(1) as f64
            };
            format!("{:.0} / {:.0}", share(&|frame| frame.raw), share(&|frame| frame.debounced))
        });
        println!("| {name} | {} |", shares.join(" | "));
    }
    ExitCode::SUCCESS
}
