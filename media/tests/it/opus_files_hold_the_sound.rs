//! Recordings as Ogg Opus: as long as the sound to the sample, each voice on its side, by decoders that are not ours.

use std::io::Cursor;
use std::process::Command;

use media::{OpusFile, wav};
use ogg::{Packet, PacketReader};

use crate::recordings_survive::Folder;
use crate::support::*;

/// What a player makes of a file of Opus, at 48 kHz.
struct Played {
    channels: usize,
    samples: Vec<i16>,
    /// Of the original.
    rate: u32,
}

/// In pieces of odd sizes.
fn made(pcm: &[i16], rate: u32, channels: u16) -> Vec<u8> {
    let mut file = OpusFile::new(rate, channels, 7).expect("an encoder");
    let mut bytes = Vec::new();
    for piece in pcm.chunks(usize::from(channels) * 1_777) {
        bytes.extend(file.push(piece).expect("coded"));
    }
    bytes.extend(file.finish().expect("coded"));
    bytes
}

fn packets(bytes: &[u8]) -> Vec<Packet> {
    let mut reader = PacketReader::new(Cursor::new(bytes));
    std::iter::from_fn(|| reader.read_packet().expect("pages with right sums")).collect()
}

/// As RFC 7845 has players do it.
fn play(bytes: &[u8]) -> Played {
    let packets = packets(bytes);
    let (head, tags) = (&packets[0].data, &packets[1].data);
    assert!(head.starts_with(b"OpusHead\x01") && head.len() == 19 && packets[0].first_in_stream());
    assert_eq!(head[18], 0, "mapping family");
    assert!(tags.starts_with(b"OpusTags"));
    let channels = usize::from(head[9]);
    let layout = if channels == 1 { opus::Channels::Mono } else { opus::Channels::Stereo };
    let mut decoder = opus::Decoder::new(48_000, layout).expect("a decoder");
    let mut samples = Vec::new();
    for packet in &packets[2..] {
        let mut pcm = [0; 2 * 5_760];
        let length = decoder.decode(&packet.data, &mut pcm, false).expect("a packet");
        samples.extend_from_slice(&pcm[..length * channels]);
        // Only the end of a page says where it is, and the last one may lie before what is decoded.
        let (at, decoded) = (packet.absgp_page(), (samples.len() / channels) as u64);
        if packet.last_in_stream() {
            assert!((1..=960).contains(&(960 - (decoded - at))), "only the last packet is cut");
            samples.truncate(at as usize * channels);
        } else if packet.last_in_page() {
            assert_eq!(at, decoded);
            assert_eq!(decoded % 48_000, 0, "a page is a second");
        }
    }
    assert!(packets.last().is_some_and(Packet::last_in_stream));
    let skip = usize::from(u16::from_le_bytes([head[10], head[11]]));
    samples.drain(..skip * channels);
    Played { channels, samples, rate: u32::from_le_bytes([head[12], head[13], head[14], head[15]]) }
}

fn side(samples: &[i16], index: usize, channels: usize) -> Vec<i16> {
    samples.iter().skip(index).step_by(channels).copied().collect()
}

/// Of two sounds of one length, 1 where they are the same but for loudness.
fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let sum =
        |x: &[i16], y: &[i16]| -> f64 { x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum() };
    sum(a, b) / (sum(a, a) * sum(b, b)).sqrt().max(1.0)
}

/// Two who take turns, and now and then talk at once.
fn talk(rate: u32, samples: usize) -> Vec<i16> {
    let (left, right) = (voice(rate, 12.0), tone(rate, 700.0, 12.0));
    let turn = rate as usize * 3 / 2;
    (0..samples)
        .flat_map(|n| {
            let speaks = |who| if (n / turn) % 3 == 2 || (n / turn) % 3 == who { 1 } else { 0 };
            [left[n + 500] * speaks(0), right[n] / 2 * speaks(1)]
        })
        .collect()
}

#[test]
fn every_sample_is_at_its_place_and_each_voice_on_its_side() {
    for (rate, length) in [(8_000, 80_000), (8_000, 79_999), (16_000, 159_873), (16_000, 1), (8_000, 0)] {
        let pcm = talk(rate, length);
        let played = play(&made(&pcm, rate, 2));
        assert_eq!((played.channels, played.rate), (2, rate));
        let scale = 48_000 / rate as usize;
        assert_eq!(played.samples.len(), length * 2 * scale, "{length} samples at {rate} Hz");
        if length < 1_000 {
            continue;
        }
        for index in [0, 1] {
            let was = side(&pcm, index, 2);
            let is = media::resample::convert(&side(&played.samples, index, 2), 48_000, rate);
            let same = correlation(&was, &is);
            let other = correlation(&side(&pcm, 1 - index, 2), &is);
            println!("{rate} Hz, side {index}: {same:.4}, of the other {other:.4}");
            assert!(same > 0.98 && other.abs() < 0.05, "{rate} Hz, side {index}: {same}, {other}");
        }
    }
}

#[test]
fn sound_of_any_rate_becomes_a_file() {
    for rate in [22_050, 44_100, 24_000, 96_000] {
        let pcm = voice(rate, 2.0);
        let played = play(&made(&pcm, rate, 1));
        let expected = pcm.len() as u64 * 48_000 / u64::from(rate);
        assert!(
            (played.samples.len() as u64).abs_diff(expected) <= 2,
            "{rate}: {} {expected}",
            played.samples.len()
        );
        let was = media::resample::convert(&pcm, rate, 48_000);
        let same = correlation(&was, &played.samples);
        assert!(same > 0.95, "{rate} Hz: {same}");
    }
    assert!(OpusFile::new(8_000, 3, 7).is_err());
}

/// Xiph's own player, which reads the container by its own code.
#[test]
fn opusdec_gives_back_what_was_pushed() {
    if Command::new("opusdec").arg("--version").output().is_err() {
        eprintln!("skipped: no opusdec here (scripts/setup-test.sh installs it)");
        return;
    }
    let folder = Folder::new("opusdec");
    for (rate, length) in [(8_000, 79_999), (16_000, 159_873)] {
        let pcm = talk(rate, length);
        let (coded, decoded) = (folder.0.join("call.opus"), folder.0.join("call.wav"));
        std::fs::write(&coded, made(&pcm, rate, 2)).expect("written");
        let output =
            Command::new("opusdec").arg("--quiet").args([&coded, &decoded]).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // It plays at the rate that the file names.
        let played = wav::read(&decoded).expect("a WAV");
        assert_eq!((played.rate, played.channels, played.samples.len()), (rate, 2, pcm.len()));
        for index in [0, 1] {
            let (was, is) = (side(&pcm, index.into(), 2), played.channel(index));
            assert!(correlation(&was, &is) > 0.98, "side {index}: {}", correlation(&was, &is));
        }
    }
}
