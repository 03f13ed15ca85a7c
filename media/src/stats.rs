//! Counters of one session. They only grow, except where a doc says otherwise, and are cheap to copy.

use crate::quality::Quality;
use crate::srtp::Refused;

/// What a session has seen and done since it was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// RTP packets from the latched source, telephone-events included.
    pub received: u64,
    /// Payload bytes of those.
    pub received_bytes: u64,
    /// RTP packets sent.
    pub sent: u64,
    /// Payload bytes of those.
    pub sent_bytes: u64,
    /// Packets that never came, by sequence number (RFC 3550 A.3). May shrink when a late one arrives after all.
    pub lost: u64,
    /// Packets that came after their turn to be played.
    pub late: u64,
    pub duplicate: u64,
    /// Packets that came after one with a higher sequence number.
    pub reordered: u64,
    /// Packets from a source other than the latched one.
    pub strangers: u64,
    /// Of these, streams: three packets in a row from one source with one SSRC. What would have been the source, had it come in time.
    pub hijacks: u64,
    /// Times that the peer had chosen our SSRC, and ours changed (RFC 3550 §8.2).
    pub ssrc_collisions: u64,
    /// Packets of ours that came back, after that.
    pub looped: u64,
    /// Datagrams that are no RTP.
    pub malformed: u64,
    /// Packets whose SRTP tag was wrong: forged, damaged, or in clear where that was not agreed to. Nothing of them was heard.
    pub srtp_refused: u64,
    /// Packets with an SRTP number that had come before, or that is too old to know; their tags are not looked at.
    pub srtp_replayed: u64,
    /// Packets with a payload type that was not negotiated.
    pub unknown_payload: u64,
    /// Packets that found the jitter buffer full.
    pub overflow: u64,
    /// Times that the stream started anew: another SSRC, or a jump of the timestamp.
    pub resyncs: u64,
    /// Interarrival jitter now (RFC 3550 §6.4.1).
    pub jitter_ms: f32,
    /// What the jitter buffer aims at now.
    pub target_ms: f32,
    /// What it really holds back now.
    pub delay_ms: f32,
    /// Ticks in which at least a part was made up.
    pub concealed_frames: u64,
    /// Times that buffered audio was shortened to lose delay.
    pub accelerated: u64,
    /// Samples of 1/8,000 s that this took out.
    pub cut_samples: u64,
    /// Times that sound was lengthened to gain delay before a hole would.
    pub lengthened: u64,
    /// Samples of 1/8,000 s that this put in.
    pub added_samples: u64,
    /// Ticks in which nothing was here that should have been, and media time waited.
    pub waited: u64,
    /// Packets of comfort noise (RFC 3389).
    pub comfort_packets: u64,
    /// Ticks that were filled with it.
    pub comfort_frames: u64,
    /// Ticks.
    pub ticks: u64,
    /// Frames handed to the owner.
    pub frames: u64,
    /// Frames dropped because the owner was slow.
    pub frames_dropped: u64,
    /// Control events lost because the owner had not listened for very long.
    pub events_lost: u64,
    /// DTMF digits received.
    pub digits_received: u64,
    /// Reports of DTMF digits that had come by another way already.
    pub digits_again: u64,
    /// DTMF digits sent.
    pub digits_sent: u64,
    /// Chunks that were refused because of their rate.
    pub chunks_refused: u64,
    /// 20 ms of sound handed to the line that this one is bridged with.
    pub bridge_passed: u64,
    /// 20 ms of sound sent on behalf of that line.
    pub bridge_sent: u64,
    /// Ticks in which nothing was there to be sent on its behalf, and something was made up.
    pub bridge_missed: u64,
    /// 20 ms of sound of that line that were left out: too many waited.
    pub bridge_dropped: u64,
    /// Round-trip time by RTCP, if the peer reports.
    pub round_trip_ms: Option<f32>,
    /// Share of our packets that the peer lost lately, by its RTCP reports, 0 to 1.
    pub peer_loss: Option<f32>,
    /// RTCP packets, compound ones counted once.
    pub rtcp_received: u64,
    pub rtcp_sent: u64,
    /// Streams of the peer that said goodbye by RTCP.
    pub byes: u64,
    /// How both directions sound.
    pub quality: Quality,
    /// 20 ms blocks recorded.
    pub recorded_blocks: u64,
    /// 20 ms blocks that the recording lacks (they are silence there), because the disk was slow.
    pub recording_gaps: u64,
    /// Frames that sounded like voice and were what we had sent, come back.
    pub echo_frames: u64,
    /// Why the recording is incomplete, if it is.
    pub recording_error: Option<String>,
}

impl Stats {
    pub(crate) fn refused(&mut self, why: Refused) {
        match why {
            Refused::Forged => self.srtp_refused += 1,
            Refused::Replayed => self.srtp_replayed += 1,
        }
    }
}
