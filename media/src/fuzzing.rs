//! What must hold whatever bytes come. Called by the fuzzer's targets and, with fixed seeds, by the tests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::sdp::{self, Capabilities, Codec, Encryption, LocalMedia, Negotiated};
use crate::srtp::{KeySeed, Keys, Suite};
use crate::{Channel, MediaSession, SessionConfig, rtcp, rtp, wav};

/// A description is refused with a reason, or what we answer can be read again and means the same.
pub fn description(bytes: &[u8]) {
    let capabilities = Capabilities::default();
    let local = LocalMedia { ip: [192, 0, 2, 9].into(), port: 4_000, session_id: 1, version: 1 };
    let _ = sdp::parse(bytes);
    let _ = sdp::accept(bytes, &capabilities);
    let Ok((answer, agreed)) = sdp::answer(bytes, &capabilities, &local) else { return };
    assert!((10..=60).contains(&agreed.ptime_ms) && agreed.ptime_ms.is_multiple_of(10));
    assert!(agreed.payload_type < 128 && agreed.dtmf_payload_type != Some(agreed.payload_type));
    let Ok(theirs) = sdp::accept(&answer, &capabilities) else { panic!("our answer cannot be read") };
    assert_eq!((theirs.codec, theirs.payload_type), (agreed.codec, agreed.payload_type));
    assert_eq!(theirs.direction, agreed.direction.reversed());
}

/// A session lives through any packets at any times. The bytes are a script: how long to wait, from whom and to which port the next
/// packet comes, how long it is, and the packet.
pub fn session(began: Instant, bytes: &[u8]) {
    let peer = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let mut session = MediaSession::new(SessionConfig { record: true, ..SessionConfig::default() }, began);
    // The length chooses the codec, so that what was found before still means the same script.
    let codec = [Codec::Pcma, Codec::G722, Codec::Opus][bytes.len() % 3];
    let agreed = Negotiated::plain(codec, peer);
    session.configure(began, &agreed);
    let mut now = began;
    let mut rest = bytes;
    let mut ticks = 0u64;
    while let [wait, route, length, script @ ..] = rest {
        now += Duration::from_millis(u64::from(*wait));
        let (packet, later) = script.split_at(usize::from(*length).min(script.len()));
        rest = later;
        let from = SocketAddr::new(peer.ip(), 4_000 + u16::from(route >> 6));
        match route & 7 {
            0 => session.handle_rtcp(now, from, packet),
            1 => {
                // A packet whose header is in order.
                let mut whole = vec![0x80, [agreed.payload_type, 101, 13, 0][usize::from(route >> 3 & 3)]];
                whole.extend(packet);
                session.handle_packet(now, from, &whole);
            }
            _ => session.handle_packet(now, from, packet),
        }
        session.tick(now);
        ticks += 1;
        while session.poll_transmit().is_some() {}
        while session.poll_event().is_some() {}
        assert!(session.poll_recording().is_some());
    }
    let stats = session.stats();
    assert_eq!(stats.ticks, ticks);
    assert!(stats.received + stats.strangers + stats.malformed + stats.unknown_payload <= ticks * 2);
}

/// A session with keys lives through any packets, hears none of them, and hears the peer all the same. The bytes are split into packets
/// of whatever lengths they say.
pub fn sealed_session(began: Instant, bytes: &[u8]) {
    let addresses = [4_000, 5_000].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
    let suite = Suite::ALL[usize::from(bytes.first().copied().unwrap_or(0) % 4)];
    let (one, other) = (KeySeed::new([1; 32]).offered(suite), KeySeed::new([2; 32]).offered(suite));
    let mut sessions = [(one.clone(), other.clone()), (other, one)].map(|(ours, theirs)| {
        let mut session = MediaSession::new(SessionConfig::default(), began);
        let keys = Keys { suite, tag: 1, ours, theirs };
        session.configure(
            began,
            &Negotiated { srtp: Some(keys), ..Negotiated::plain(Codec::Pcmu, addresses[0]) },
        );
        session
    });
    let mut now = began;
    let mut rest = bytes;
    let (mut sent, mut forged) = (0, 0);
    while let [route, length, script @ ..] = rest {
        now += Duration::from_millis(20);
        let (packet, later) = script.split_at(usize::from(*length).min(script.len()));
        rest = later;
        let [speaker, listener] = &mut sessions;
        speaker.tick(now);
        while let Some(sealed) = speaker.poll_transmit() {
            if sealed.channel == Channel::Rtcp {
                continue;
            }
            // Something that is nearly right.
            let mut near = sealed.bytes.to_vec();
            near.iter_mut().zip(packet).for_each(|(near, byte)| *near ^= byte);
            if near != sealed.bytes {
                listener.handle_packet(now, addresses[0], &near);
                forged += 1;
            }
            listener.handle_packet(now, addresses[0], sealed.bytes);
            sent += 1;
        }
        match route & 1 {
            0 => listener.handle_packet(now, addresses[0], packet),
            _ => listener.handle_rtcp(now, addresses[0], packet),
        }
        forged += 1;
        listener.tick(now);
        while listener.poll_transmit().is_some() {}
        while speaker.poll_event().is_some() || listener.poll_event().is_some() {}
    }
    let stats = sessions[1].stats();
    assert_eq!((stats.received, stats.srtp_refused + stats.srtp_replayed), (sent, forged));
}

/// `a=crypto`: refused, or read; and what was read is read the same when written. Whoever must be sealed is, or there is no agreement.
pub fn crypto(bytes: &[u8]) {
    sdp::fuzz_crypto(&String::from_utf8_lossy(bytes));
    let local = LocalMedia { ip: [192, 0, 2, 9].into(), port: 4_000, session_id: 1, version: 1 };
    for required in [false, true] {
        let encryption = Encryption::on(required, Suite::ALL.to_vec(), KeySeed::new([1; 32]));
        let capabilities = Capabilities { encryption, ..Capabilities::default() };
        for agreed in [
            sdp::answer(bytes, &capabilities, &local).map(|(_, agreed)| agreed),
            sdp::accept(bytes, &capabilities),
        ]
        .into_iter()
        .flatten()
        {
            assert!(agreed.srtp.is_some() || !required);
            assert!(agreed.srtp.as_ref().is_none_or(|keys| keys.ours != keys.theirs));
            // What is offered next is an offer, unless the peer has made it too long; and each of its numbers means one thing.
            let (again, _) = sdp::offer_again(&capabilities, &local, sdp::Direction::SendRecv, &agreed);
            let Ok(again) = sdp::parse(&again) else { continue };
            let stream = again.media.iter().find(|medium| medium.port == local.port).expect("our stream");
            let numbers: std::collections::HashSet<_> = stream.formats.iter().collect();
            assert_eq!(numbers.len(), stream.formats.len());
            let keys = stream.attributes.iter().filter(|attribute| attribute.name == "crypto");
            assert_eq!(keys.count(), Suite::ALL.len());
        }
    }
}

/// A packet is refused, or what was read of it is read again when it is written.
pub fn packet(bytes: &[u8]) {
    let Some((header, payload)) = rtp::parse(bytes) else { return };
    let mut again = Vec::new();
    rtp::write(&header, payload, &mut again);
    assert_eq!(rtp::parse(&again), Some((header, payload)));
}

/// Reports are refused or read, and whatever they say, the quality that comes of it is one. The bytes are a script: how long to wait, which
/// packet and on which port, how long, and what stands in it. Between them a peer talks, so that there is something to report on.
pub fn reports(began: Instant, bytes: &[u8]) {
    const KINDS: [u8; 8] = [200, 201, 202, 203, 204, 205, 207, 207];
    let peer = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let mut session = MediaSession::new(SessionConfig::default(), began);
    let mut agreed = Negotiated::plain(Codec::Pcmu, peer);
    agreed.rtcp_xr = true;
    agreed.rtcp_mux = bytes.len().is_multiple_of(2);
    session.configure(began, &agreed);
    let mut now = began;
    let mut ours = [0; 4];
    let mut sound = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    sound.extend([0xff; 160]);
    let mut number = 0u16;
    let mut rest = bytes;
    while let [wait, kind, length, script @ ..] = rest {
        now += Duration::from_millis(u64::from(*wait));
        let (body, later) = script.split_at(usize::from(*length).min(script.len()) / 4 * 4);
        rest = later;
        number = number.wrapping_add(1 + u16::from(kind >> 6));
        sound[2..4].copy_from_slice(&number.to_be_bytes());
        sound[4..8].copy_from_slice(&(u32::from(number) * 160).to_be_bytes());
        session.handle_packet(now, peer, &sound);
        let mut report = vec![0x80 | (kind >> 3 & 3), KINDS[usize::from(kind & 7)]];
        report.extend((body.len() as u16 / 4).to_be_bytes());
        report.extend(body);
        // Now and then it is our stream that is told of.
        for place in [8, 12, 28] {
            if kind & 32 != 0 && report.len() >= place + 4 {
                report[place..place + 4].copy_from_slice(&ours);
            }
        }
        assert!(rtcp::is_rtcp(&report) && rtcp::parse(&report, 7).is_some());
        if kind & 8 == 0 {
            session.handle_rtcp(now, SocketAddr::new(peer.ip(), 4_001), &report);
        } else {
            session.handle_packet(now, peer, &report);
        }
        let _ = rtcp::parse(body, 7);
        session.tick(now);
        while let Some(packet) = session.poll_transmit() {
            if packet.channel == Channel::Rtp && !rtcp::is_rtcp(packet.bytes) {
                ours.copy_from_slice(&packet.bytes[8..12]);
            }
        }
        while session.poll_event().is_some() {}
    }
    session.goodbye(now);
    let quality = session.stats().quality;
    for way in [quality.heard, quality.peer].into_iter().flatten() {
        let shares = [way.loss, way.discard];
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{way:?}");
        assert!((1.0..=4.5).contains(&way.mos) && (0.0..=93.2).contains(&way.r), "{way:?}");
        assert!(way.burst_ratio >= 1.0 && way.delay_ms.is_finite() && way.jitter_ms.is_finite(), "{way:?}");
    }
    assert!(quality.round_trip_ms.is_none_or(|ms| (0.0..=10_000.0).contains(&ms)), "{quality:?}");
}

/// A WAV file is refused, or read; and what was read is read the same when written.
pub fn wav_file(bytes: &[u8]) {
    if let Ok(wav) = wav::parse(bytes) {
        assert!(wav.channels > 0 && wav.rate > 0);
        let _ = (wav.mono(), wav.channel(0));
    }
}
