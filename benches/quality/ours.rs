//! Our end of the line: a session on a virtual clock, fed with what is left of another one's packets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::sdp::{Codec, Negotiated};
use media::{Channel, Mark, MediaSession, PlayChunk, SessionConfig};

use crate::link::Arrival;
use crate::speech::Speech;

const TICK: Duration = Duration::from_millis(20);
/// Where our clock's beat falls between two of the sender's: in the middle.
const PHASE: Duration = Duration::from_millis(10);
/// What is heard after the last packet.
const TAIL: Duration = Duration::from_secs(1);

/// What was heard, and when its first sample sounded after the first packet was sent.
pub(crate) struct Heard {
    pub(crate) rate: u32,
    pub(crate) pcm: Vec<i16>,
    pub(crate) begins: Duration,
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000))
}

/// The speech as RTP, a packet every 20 ms.
pub(crate) fn packets(speech: &Speech, codec: Codec) -> Vec<Vec<u8>> {
    let mut now = Instant::now();
    let config =
        SessionConfig { ssrc_seed: 1, max_queue: Duration::from_secs(600), ..SessionConfig::default() };
    let mut session = MediaSession::new(config, now);
    session.configure(now, &Negotiated::plain(codec, peer()));
    let pcm = speech.pcm.clone().into();
    session.play(PlayChunk { mark: Mark(1), rate: speech.rate, pcm, last: true }).expect("there is room");
    let ticks = speech.pcm.len().div_ceil(speech.rate as usize / 50);
    let mut packets = Vec::with_capacity(ticks);
    for _ in 0..ticks {
        session.tick(now);
        while let Some(packet) = session.poll_transmit() {
            if packet.channel == Channel::Rtp {
                packets.push(packet.bytes.to_vec());
            }
        }
        while session.poll_event().is_some() {}
        now += TICK;
    }
    packets
}

pub(crate) fn listen(codec: Codec, packets: &[Vec<u8>], journey: &[Arrival]) -> Heard {
    let began = Instant::now();
    let config = SessionConfig { ssrc_seed: 2, record: true, ..SessionConfig::default() };
    let mut session = MediaSession::new(config, began);
    session.configure(began, &Negotiated::plain(codec, peer()));
    let mut coming = journey.iter().peekable();
    let mut pcm = Vec::new();
    let rate = codec.rate().hz();
    let mut at = PHASE;
    while at < TICK * packets.len() as u32 + TAIL {
        while let Some(arrival) = coming.next_if(|arrival| arrival.at <= at) {
            session.handle_packet(began + arrival.at, peer(), &packets[arrival.sent]);
        }
        session.tick(began + at);
        while session.poll_transmit().is_some() || session.poll_event().is_some() {}
        let both = session.poll_recording().expect("it was asked to record");
        pcm.extend(both.iter().step_by(2));
        at += TICK;
    }
    Heard { rate, pcm, begins: PHASE }
}

/// G.722 as it lies in a file, at 16 kHz: a call without a fault.
pub(crate) fn decoded(bytes: &[u8]) -> Vec<i16> {
    let packets: Vec<Vec<u8>> = (0u16..)
        .zip(bytes.chunks(160))
        .map(|(number, payload)| {
            let mut packet = vec![0x80, Codec::G722.payload_type()];
            packet.extend(number.to_be_bytes());
            packet.extend((u32::from(number) * 160).to_be_bytes());
            packet.extend(7u32.to_be_bytes());
            packet.extend(payload);
            packet
        })
        .collect();
    let journey: Vec<Arrival> =
        (0..packets.len()).map(|sent| Arrival { at: TICK * sent as u32, sent }).collect();
    let mut pcm = listen(Codec::G722, &packets, &journey).pcm;
    // What came after the last packet is made up.
    pcm.truncate(bytes.len() * 2);
    pcm
}
