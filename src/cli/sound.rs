//! `offhook transcribe` and `offhook speak`: one ear, one mouth, no call.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use media::wav::{self, Wav};
use models::{Priority, Transcriber, Utterance};
use serde_json::json;

use super::local::{self, EarArgs, VoiceArgs};
use crate::phone::clip;

/// Write down what is said in a WAV file.
///
/// Any rate; of a stereo file one channel or both mixed. A recording of any length is cut at its pauses.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook transcribe hello.wav
  offhook transcribe data/recordings/acct_0000000000000000/call_x.wav --channel left     the caller
  offhook transcribe data/recordings/acct_0000000000000000/call_x.wav --channel right    the agent
  offhook transcribe hello.wav --json | jq -r '.segments[].text'")]
pub(super) struct TranscribeArgs {
    /// 16-bit PCM
    file: PathBuf,
    /// Which channel of a stereo file
    #[arg(long, value_enum, default_value_t = Channel::Mix)]
    channel: Channel,
    /// Print one JSON object, with the times of each segment
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ear: EarArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Channel {
    Left,
    Right,
    Mix,
}

/// Speak a text into a WAV file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook speak 'Thank you for calling.' -o thanks.wav
  offhook speak 'Guten Tag.' -o tag.wav --voice piper-de_DE-thorsten-medium")]
pub(super) struct SpeakArgs {
    text: String,
    /// The file to be written: mono, 16 bits
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Samples per second; without it, the voice's own
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(4_000..=192_000))]
    rate: Option<u32>,
    #[command(flatten)]
    voice: VoiceArgs,
}

/// What the ear takes.
pub(super) const EAR_RATE: u32 = 16_000;

pub(super) async fn transcribe(args: TranscribeArgs) -> anyhow::Result<ExitCode> {
    let wav = wav::read(&args.file)?;
    let pcm = match args.channel {
        Channel::Left => clip::channel(&wav, 0),
        Channel::Right => clip::channel(&wav, 1),
        Channel::Mix => mix(&wav),
    };
    let pcm = media::resample::convert(&pcm, wav.rate, EAR_RATE);
    let engines = local::start_ear(&args.ear).await?;
    let segments = hear(&*engines.ear()?, &pcm).await;
    engines.shut_down().await;
    let segments = segments?;
    if args.json {
        let text: Vec<_> = segments.iter().map(|s| s.text.as_str()).collect();
        let list: Vec<_> = segments
            .iter()
            .map(|s| json!({ "start_ms": ms(s.range.start), "end_ms": ms(s.range.end), "text": s.text }))
            .collect();
        println!("{}", json!({ "text": text.join(" "), "segments": list }));
    } else {
        for segment in &segments {
            println!("{}", segment.text);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn speak(args: SpeakArgs) -> anyhow::Result<ExitCode> {
    let engines = local::start_voice(&args.voice).await?;
    let spoken = clip::speak(&args.text, &*engines.voice()?, None).await;
    engines.shut_down().await;
    let spoken = spoken?;
    let rate = args.rate.unwrap_or(spoken.rate);
    let samples = if rate == spoken.rate {
        spoken.pcm.to_vec()
    } else {
        media::resample::convert(&spoken.pcm, spoken.rate, rate)
    };
    wav::write(&args.output, &Wav { rate, channels: 1, samples })
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    println!("{}", args.output.display());
    Ok(ExitCode::SUCCESS)
}

/// One stretch of speech and its words.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Segment {
    /// Samples at [`EAR_RATE`].
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// Words of a recording of any length, at [`EAR_RATE`].
pub(super) async fn hear(ear: &dyn Transcriber, pcm: &[i16]) -> anyhow::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for range in stretches(pcm) {
        let utterance = Utterance {
            pcm: Arc::from(&pcm[range.clone()]),
            language: None,
            prompt: None,
            priority: Priority::Background,
        };
        let text = ear.transcribe(utterance).await?.text;
        if !text.is_empty() {
            segments.push(Segment { range, text });
        }
    }
    Ok(segments)
}

/// A window of 20 ms.
const WINDOW: usize = EAR_RATE as usize / 50;
/// Windows that are louder than this (RMS) hold speech.
const QUIET: f64 = 120.0;
/// So many quiet windows are a pause between sentences.
const PAUSE: usize = 35;
/// So many are kept around a stretch of speech.
const MARGIN: usize = 12;
/// No stretch is longer than this: Whisper hears 30 s at a time.
const LONGEST: usize = 28 * 50;

/// Where somebody speaks, cut at pauses.
fn stretches(pcm: &[i16]) -> Vec<Range<usize>> {
    let levels: Vec<f64> = pcm.chunks(WINDOW).map(level).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    for (i, _) in levels.iter().enumerate().filter(|(_, level)| **level > QUIET) {
        match found.last_mut() {
            Some(last) if i - last.end <= PAUSE => last.end = i + 1,
            _ => found.push(i..i + 1),
        }
    }
    let mut cut = Vec::new();
    for mut range in found {
        range = range.start.saturating_sub(MARGIN)..(range.end + MARGIN).min(levels.len());
        while range.len() > LONGEST {
            // At the quietest moment of the second half.
            let from = range.start + LONGEST / 2;
            let quietest = (from..range.start + LONGEST).min_by(|a, b| levels[*a].total_cmp(&levels[*b]));
            let middle = quietest.unwrap_or(from);
            cut.push(range.start..middle);
            range.start = middle;
        }
        cut.push(range);
    }
    cut.into_iter().map(|r| r.start * WINDOW..(r.end * WINDOW).min(pcm.len())).collect()
}

fn level(pcm: &[i16]) -> f64 {
    let sum: f64 = pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
    (sum / pcm.len().max(1) as f64).sqrt()
}

fn mix(wav: &Wav) -> Vec<i16> {
    let channels = usize::from(wav.channels.max(1));
    let mean = |frame: &[i16]| {
        let sum: i32 = frame.iter().map(|s| i32::from(*s)).sum();
        (sum / channels as i32) as i16
    };
    wav.samples.chunks_exact(channels).map(mean).collect()
}

fn ms(samples: usize) -> u64 {
    samples as u64 * 1000 / u64::from(EAR_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(seconds: f64) -> Vec<i16> {
        vec![3000; (seconds * f64::from(EAR_RATE)) as usize]
    }

    fn silence(seconds: f64) -> Vec<i16> {
        vec![0; (seconds * f64::from(EAR_RATE)) as usize]
    }

    #[test]
    fn speech_is_cut_at_pauses_and_silence_is_left_out() {
        let pcm = [silence(2.0), tone(3.0), silence(0.3), tone(1.0), silence(5.0), tone(2.0), silence(1.0)]
            .concat();
        let found: Vec<_> = stretches(&pcm).iter().map(|r| (ms(r.start), ms(r.end))).collect();
        assert_eq!(found, [(1760, 6540), (11060, 13540)]);
    }

    #[test]
    fn whoever_never_pauses_is_cut_at_the_quietest_moment() {
        let mut pcm = tone(40.0);
        pcm[20 * EAR_RATE as usize..][..WINDOW].fill(500);
        let found = stretches(&pcm);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].end, 20 * EAR_RATE as usize);
        assert!(found.iter().all(|r| r.len() <= LONGEST * WINDOW));
    }

    #[test]
    fn silence_and_nothing_have_no_speech() {
        assert!(stretches(&[]).is_empty());
        assert!(stretches(&silence(3.0)).is_empty());
    }

    #[test]
    fn both_sides_of_a_stereo_file_are_mixed() {
        assert_eq!(mix(&Wav { rate: 8000, channels: 2, samples: vec![100, 300, -5, -7] }), [200, -6]);
    }
}
