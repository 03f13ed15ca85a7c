//! In steady state a session allocates nothing: not for a packet, not for a tick, not for what it tells. Counted by an allocator of its own,
//! which is why this is a test binary of its own.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use media::sdp::{Codec, Negotiated};
use media::srtp::{Keys, MasterKey, Suite};
use media::{Channel, Mark, MediaSession, Passed, PlayChunk, Rate, SessionConfig, Sound, Tap};

#[path = "support/counting.rs"]
mod counting;

use counting::ALLOCATIONS;

const SILENCE: Passed = Passed { pcm: Sound::silence(Rate::Narrow), digit: None };

/// Keys for both ends of a line.
fn keys(suite: Suite) -> (Keys, Keys) {
    let key = |fill: u8| {
        let bytes = vec![fill; suite.key_length() + suite.salt_length()];
        MasterKey::new(suite, &bytes).expect("the suite's length")
    };
    let ours = Keys { suite, tag: 1, ours: key(1), theirs: key(2) };
    (ours.clone(), Keys { ours: ours.theirs, theirs: ours.ours, ..ours })
}

/// One test: the allocator counts for the whole process.
#[test]
fn ten_minutes_of_call_allocate_nothing() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        call(codec);
    }
    for suite in Suite::ALL {
        sealed_call(suite);
    }
}

/// A peer seals what it sends, and it is opened; now and then something is forged, or comes twice.
#[allow(clippy::disallowed_methods)]
fn sealed_call(suite: Suite) {
    let mut now = Instant::now();
    let addresses: [SocketAddr; 2] =
        ["192.0.2.1:4000", "192.0.2.2:5000"].map(|of| of.parse().expect("an address"));
    let (ours, theirs) = keys(suite);
    let session = |ssrc_seed, keys, remote| {
        let mut session = MediaSession::new(SessionConfig { ssrc_seed, ..SessionConfig::default() }, now);
        session.configure(now, &Negotiated { srtp: Some(keys), ..Negotiated::plain(Codec::Pcma, remote) });
        session
    };
    let (mut a, mut b) = (session(1, ours, addresses[1]), session(2, theirs, addresses[0]));
    let mut packet = Vec::with_capacity(2_048);
    let mut before = 0;
    for tick in 0..3_000u32 {
        if tick == 500 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        now += Duration::from_millis(20);
        a.tick(now);
        b.tick(now);
        while let Some(sent) = a.poll_transmit() {
            packet.clear();
            packet.extend_from_slice(sent.bytes);
            match sent.channel {
                Channel::Rtcp => b.handle_rtcp(now, addresses[0], &packet),
                Channel::Rtp => {
                    packet[20] ^= 1;
                    b.handle_packet(now, addresses[0], &packet);
                    packet[20] ^= 1;
                    b.handle_packet(now, addresses[0], &packet);
                    if tick % 7 == 0 {
                        b.handle_packet(now, addresses[0], &packet);
                    }
                }
            }
        }
        while b.poll_transmit().is_some() {}
        while a.poll_event().is_some() || b.poll_event().is_some() {}
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{suite:?}");
    let stats = b.stats();
    assert_eq!((stats.received, stats.srtp_refused), (3_000, 3_000), "{stats:?}");
    assert!(stats.srtp_replayed > 400);
}

#[allow(clippy::disallowed_methods)]
fn call(codec: Codec) {
    let mut now = Instant::now();
    let peer = "192.0.2.1:4000".parse().expect("an address");
    let config = SessionConfig {
        record: true,
        max_queue: Duration::from_secs(3_600),
        // Then the sound is searched for keys.
        hide_digits: Some(Duration::from_secs(1)),
        ..SessionConfig::default()
    };
    let mut session = MediaSession::new(config, now);
    session.configure(now, &Negotiated { rtcp_xr: true, ..Negotiated::plain(codec, peer) });
    // A sender report of the peer, with a goodbye of somebody else behind it.
    let mut report = vec![0x80, 200, 0, 6, 0, 0, 0, 7];
    report.extend([0; 20]);
    report.extend([0x81, 203, 0, 1, 0, 0, 0, 9]);
    // Eleven minutes of speech at a synthesizer's rate.
    let second: std::sync::Arc<[i16]> = (0..22_050).map(|n| ((n * 37 % 8_000) - 4_000) as i16).collect();
    for _ in 0..660 {
        session
            .play(PlayChunk { mark: Mark(1), rate: 22_050, pcm: second.clone(), last: false })
            .expect("room");
    }
    // Bridged: another session feeds it, mostly in time, and takes what it hears.
    session.bridge(true);
    // Somebody listens in, and speaks now and then.
    session.join(1, Some(Tap::Both));
    let mut packet = vec![0x80, codec.payload_type(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    packet.extend((0..160).map(|n| (n * 7) as u8));
    let mut before = 0;
    for tick in 0..31_000u32 {
        if tick == 1_000 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        packet[2..4].copy_from_slice(&(tick as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(tick * codec.clock_rate() / 50).to_be_bytes());
        // Loud and silent seconds; one packet in fifty is lost, one in seventy comes twice.
        packet[12..].fill(if tick / 50 % 2 == 0 { 0xff } else { 0x98 });
        if tick % 50 != 3 {
            session.handle_packet(now + Duration::from_millis(u64::from(tick % 7)), peer, &packet);
        }
        if tick % 250 == 0 {
            session.handle_rtcp(now, peer, &report);
        }
        if tick % 70 == 0 {
            session.handle_packet(now, peer, &packet);
        }
        now += Duration::from_millis(20);
        session.tick(now);
        let passed = session.poll_passed();
        for _ in 0..[1, 1, 0, 2][tick as usize / 7 % 4] {
            session.feed(Passed { digit: (tick % 997 == 0).then_some('5'), ..passed.unwrap_or(SILENCE) });
        }
        if let Some(both) = session.poll_passed_by(1)
            && tick % 300 < 150
        {
            session.feed_by(1, both);
        }
        while session.poll_transmit().is_some() {}
        while session.poll_event().is_some() {}
        assert!(session.poll_recording().is_some());
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{codec:?}");
    let stats = session.stats();
    assert!(stats.rtcp_sent > 100 && stats.rtcp_received > 100 && stats.quality.heard.is_some(), "{stats:?}");
    assert!(
        stats.concealed_frames > 100 && stats.bridge_sent > 20_000 && stats.digits_sent > 10,
        "{stats:?}"
    );
}
