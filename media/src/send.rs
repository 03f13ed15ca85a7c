//! The outgoing stream: numbers, packets of the negotiated length, and the buffers that they wait in.
//!
//! Media time never stops: each tick adds 20 ms to the timestamp whether something is sent or not, so the receiver's clock stays in step
//! through holds, digits and silence (RFC 3550 §5.1). It is counted in line time; on the wire it is told by the codec's clock. Where that
//! changes, so does the SSRC, as timestamps of two clocks in one stream confuse many (RFC 7160 §4.1).

use std::net::SocketAddr;

use crate::codec::Encoder;
use crate::rtp::{self, Header};
use crate::sdp::{Codec, OpusSettings};
use crate::session::Channel;
use crate::{LINE_FRAME, Stats};

/// Packets that may wait to be polled; a tick makes three at most.
const CAPACITY: usize = 8;

pub(crate) struct Sender {
    pub(crate) ssrc: u32,
    sequence: u16,
    encoder: Encoder,
    codec: Codec,
    settings: OpusSettings,
    /// Of the first sample of the next tick, in line time.
    timestamp: u32,
    /// The next sound begins a talk spurt (RFC 3551 §4.1).
    marker: bool,
    /// Of what waits in the encoder for the rest of a packet.
    pending_timestamp: u32,
    packets: [Outgoing; CAPACITY],
    first: usize,
    count: usize,
}

struct Outgoing {
    to: SocketAddr,
    channel: Channel,
    bytes: Vec<u8>,
}

impl Sender {
    pub(crate) fn new(seed: u64) -> Self {
        let first = mix(seed);
        let second = mix(first);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Sender {
            ssrc: first as u32,
            // The upper half is left to the first eleven minutes, so that a receiver that misses the first packets does not miscount the
            // wraps, which SRTP's keystream hangs on (RFC 3711 §3.3.1).
            sequence: (first >> 32) as u16 & 0x7fff,
            encoder: Encoder::new(Codec::Pcmu, &OpusSettings::default()),
            codec: Codec::Pcmu,
            settings: OpusSettings::default(),
            timestamp: second as u32,
            marker: true,
            pending_timestamp: 0,
            packets: std::array::from_fn(|_| Outgoing {
                to: nowhere,
                channel: Channel::Rtp,
                bytes: Vec::with_capacity(512),
            }),
            first: 0,
            count: 0,
        }
    }

    /// The timestamp of what is being sent now, by the clock of the wire. That wraps where line time does, too, as both are counted
    /// modulo 2³².
    pub(crate) fn timestamp(&self) -> u32 {
        self.timestamp.wrapping_mul(self.codec.clock_divisor())
    }

    /// Another codec was agreed.
    pub(crate) fn set_codec(&mut self, codec: Codec, settings: OpusSettings) {
        if self.codec == codec && self.settings == settings {
            return;
        }
        if self.codec.clock_rate() != codec.clock_rate() {
            self.change_ssrc();
        }
        self.silence();
        (self.codec, self.settings) = (codec, settings);
        self.encoder = Encoder::new(codec, &settings);
    }

    /// The peer loses this share of what we send.
    pub(crate) fn expect_loss(&mut self, share: f32) {
        self.encoder.expect_loss(share);
    }

    /// A new SSRC, because the peer has chosen ours (RFC 3550 §8.2).
    pub(crate) fn change_ssrc(&mut self) {
        self.ssrc = mix(u64::from(self.ssrc)) as u32;
        self.sequence &= 0x7fff;
        self.marker = true;
    }

    /// One tick of sound.
    pub(crate) fn sound(
        &mut self,
        to: SocketAddr,
        payload_type: u8,
        ptime_ms: u8,
        pcm: &[i16],
        stats: &mut Stats,
    ) {
        if self.encoder.is_empty() {
            self.pending_timestamp = self.timestamp;
        }
        let divisor = self.codec.clock_divisor();
        let Sender { encoder, packets, first, count, sequence, marker, pending_timestamp, ssrc, .. } = self;
        encoder.encode(pcm, usize::from(ptime_ms) * 8, |units, payload| {
            let timestamp = pending_timestamp.wrapping_mul(divisor);
            *pending_timestamp = pending_timestamp.wrapping_add(units as u32);
            if payload.is_empty() {
                // Silence that the peer makes up; what follows it begins a spurt.
                *marker = true;
                return;
            }
            let header =
                Header { payload_type, marker: *marker, sequence: *sequence, timestamp, ssrc: *ssrc };
            *sequence = sequence.wrapping_add(1);
            *marker = false;
            rtp::write(&header, payload, take_buffer(packets, first, count, to, Channel::Rtp));
            stats.sent += 1;
            stats.sent_bytes += payload.len() as u64;
        });
    }

    /// One packet of another kind, with its own timestamp.
    pub(crate) fn event(
        &mut self,
        to: SocketAddr,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        stats: &mut Stats,
    ) {
        // What is left of a packet of sound would come out of order.
        self.encoder.clear();
        let mut header = self.header(payload_type, timestamp);
        header.marker = marker;
        // Sound that follows begins a new spurt.
        self.marker = true;
        let bytes = take_buffer(&mut self.packets, &mut self.first, &mut self.count, to, Channel::Rtp);
        rtp::write(&header, payload, bytes);
        stats.sent += 1;
        stats.sent_bytes += payload.len() as u64;
    }

    /// A buffer for an RTCP packet.
    pub(crate) fn control(&mut self, to: SocketAddr, channel: Channel) -> &mut Vec<u8> {
        let bytes = take_buffer(&mut self.packets, &mut self.first, &mut self.count, to, channel);
        bytes.clear();
        bytes
    }

    /// Nothing is sent in this tick.
    pub(crate) fn silence(&mut self) {
        self.encoder.clear();
        self.marker = true;
    }

    /// The tick is over.
    pub(crate) fn advance(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(LINE_FRAME as u32);
    }

    /// Ticks pass in which nothing could be sent.
    pub(crate) fn skip(&mut self, ticks: u32) {
        self.silence();
        self.timestamp = self.timestamp.wrapping_add(ticks.wrapping_mul(LINE_FRAME as u32));
    }

    /// The next packet, to be sealed where it lies.
    pub(crate) fn poll(&mut self) -> Option<(SocketAddr, Channel, &mut Vec<u8>)> {
        if self.count == 0 {
            return None;
        }
        let packet = &mut self.packets[self.first];
        self.first = (self.first + 1) % CAPACITY;
        self.count -= 1;
        if self.count == 0 {
            // The next one takes the buffer that is in the cache.
            self.first = 0;
        }
        Some((packet.to, packet.channel, &mut packet.bytes))
    }

    fn header(&mut self, payload_type: u8, timestamp: u32) -> Header {
        let header =
            Header { payload_type, marker: self.marker, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.wrapping_add(1);
        header
    }
}

/// The next free buffer; if nobody polls, the oldest packet gives way.
fn take_buffer<'a>(
    packets: &'a mut [Outgoing; CAPACITY],
    first: &mut usize,
    count: &mut usize,
    to: SocketAddr,
    channel: Channel,
) -> &'a mut Vec<u8> {
    if *count == CAPACITY {
        *first = (*first + 1) % CAPACITY;
        *count -= 1;
    }
    let packet = &mut packets[(*first + *count) % CAPACITY];
    *count += 1;
    packet.to = to;
    packet.channel = channel;
    &mut packet.bytes
}

/// Spreads a seed over 64 bits.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
