//! Whatever comes from the network is counted, and that is all. The same inputs each time: the seeds are fixed.

use media::sdp::{self, Capabilities, LocalMedia};

use crate::support::*;

/// Changes a few bytes: flips, cuts, doublings, splices, numbers at their edges.
fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..=chance.below(6) {
        let at = chance.below(bytes.len().max(1));
        match chance.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            1 if !bytes.is_empty() => {
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', b'=', b' ', b'/'][chance.below(10)]
            }
            2 => bytes.truncate(at),
            3 if !bytes.is_empty() => {
                let end = at + chance.below(bytes.len() - at + 1);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let length = chance.below(12);
                let random = chance.bytes(length);
                bytes.splice(at..at, random);
            }
            _ => {
                let number =
                    [b"65536".as_slice(), b"-1", b"99999999999999999999", b"0", b"127.0.0.1", b"::1"]
                        [chance.below(6)];
                bytes.splice(at..at, number.iter().copied());
            }
        }
    }
    bytes.truncate(2_048);
}

#[test]
fn descriptions() {
    let capabilities = Capabilities::default();
    let local = LocalMedia { ip: [192, 0, 2, 9].into(), port: 4_000, session_id: 1, version: 1 };
    let mut corpus: Vec<Vec<u8>> =
        crate::sdp_agrees::OFFERS.iter().map(|(_, offer)| offer.as_bytes().to_vec()).collect();
    corpus.push(Vec::new());
    let mut chance = Chance::new(20);
    let mut agreed = 0;
    for _ in 0..60_000 {
        let mut bytes = corpus[chance.below(corpus.len())].clone();
        mutate(&mut chance, &mut bytes);
        media::fuzzing::description(&bytes);
        if sdp::answer(&bytes, &capabilities, &local).is_ok() {
            agreed += 1;
        }
    }
    assert!(agreed > 10_000, "the mutations are too wild to mean anything: {agreed}");
}

#[test]
fn packets() {
    let began = start();
    let mut chance = Chance::new(21);
    for round in 0..40u64 {
        let mut party = Party::new(began, round);
        party.session.configure(began, &agreed(address(2, 5_000)));
        let mut sequence = 0u16;
        for step in 0..3_000u32 {
            let mut bytes = match chance.below(3) {
                // A packet that could be.
                0 | 1 => {
                    sequence = sequence.wrapping_add(chance.below(3) as u16);
                    let event = chance.below(8) == 0;
                    let mut bytes = vec![0x80, if event { 101 } else { 0 }];
                    bytes.extend(sequence.to_be_bytes());
                    bytes.extend((u32::from(sequence) * 160).to_be_bytes());
                    bytes.extend([0, 0, 0, 7]);
                    let length =
                        if event { 4 } else { [0, 1, 80, 160, 240, 480, 1_400, 1_900][chance.below(8)] };
                    bytes.extend(chance.bytes(length));
                    bytes
                }
                _ => {
                    let length = chance.below(64);
                    chance.bytes(length)
                }
            };
            if chance.below(4) == 0 {
                mutate(&mut chance, &mut bytes);
            }
            let now =
                began + std::time::Duration::from_millis(u64::from(step) * 3 + chance.below(400) as u64);
            match chance.below(12) {
                0 => party.session.handle_rtcp(now, address(2, 5_001), &bytes),
                _ => party.session.handle_packet(now, address(2, 5_000), &bytes),
            }
            if step % 7 == 0 {
                party.tick(now);
            }
        }
        assert!(party.session.stats().received > 100);
    }
}

#[test]
fn sealed_packets() {
    let began = start();
    let mut chance = Chance::new(24);
    for _ in 0..1_500 {
        let length = chance.below(600);
        // Many zeroes: what is sent is left nearly as it was.
        let mut script: Vec<u8> =
            (0..length).map(|_| if chance.below(8) == 0 { chance.next() as u8 } else { 0 }).collect();
        mutate(&mut chance, &mut script);
        media::fuzzing::sealed_session(began, &script);
    }
}

#[test]
fn keys_in_descriptions() {
    let line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 WSH=64 -X KDR=1\r\n";
    let corpus: Vec<Vec<u8>> = crate::sdp_agrees::OFFERS
        .iter()
        .flat_map(|(_, offer)| {
            [
                format!("{offer}{line}"),
                format!(
                    "{}{}",
                    offer.replace("RTP/AVP", "RTP/SAVP"),
                    line.replace("|2^20|1:4", "").replace(" KDR=1", "")
                ),
            ]
        })
        .map(String::into_bytes)
        .collect();
    let mut chance = Chance::new(25);
    for _ in 0..30_000 {
        let mut bytes = corpus[chance.below(corpus.len())].clone();
        mutate(&mut chance, &mut bytes);
        media::fuzzing::crypto(&bytes);
        let mut value = line.as_bytes()[9..].to_vec();
        mutate(&mut chance, &mut value);
        media::fuzzing::crypto(&value);
    }
}

#[test]
fn wav_files() {
    let folder = std::env::temp_dir().join(format!("offhook-wav-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("a.wav");
    let wav = media::wav::Wav { rate: 8_000, channels: 2, samples: (0..400).collect() };
    media::wav::write(&path, &wav).expect("written");
    let whole = std::fs::read(&path).expect("read");
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(media::wav::parse(&whole), Ok(wav));
    let mut chance = Chance::new(22);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        mutate(&mut chance, &mut bytes);
        media::fuzzing::wav_file(&bytes);
    }
}

#[test]
fn scripts() {
    let began = start();
    let mut chance = Chance::new(23);
    for _ in 0..3_000 {
        let length = chance.below(800);
        let mut script = chance.bytes(length);
        mutate(&mut chance, &mut script);
        media::fuzzing::session(began, &script);
    }
}

#[test]
fn reports() {
    let began = start();
    let mut chance = Chance::new(22);
    for _ in 0..400 {
        let length = chance.below(1_500);
        media::fuzzing::reports(began, &chance.bytes(length));
        let length = chance.below(60);
        media::fuzzing::packet(&[&[0x90 | chance.below(48) as u8, 0], &chance.bytes(length)[..]].concat());
    }
}
