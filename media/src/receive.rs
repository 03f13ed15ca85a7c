//! The incoming stream of one peer: RTP in, 20 ms of sound out per tick.
//!
//! Keeps the account of numbers (what was lost, late, doubled), follows the sender when it starts anew, and puts together decoding,
//! concealment and the jitter buffer's decisions.

use crate::codec::{self, Decoder};
use crate::comfort::Comfort;
use crate::conceal::{BETWEEN, Concealer, HISTORY};
use crate::jitter::{Inserted, Jitter, JitterConfig, Next, Packet};
use crate::rate::Sound;
use crate::rtp::{Arrival, Header, Sequence, Timeline};
use crate::sdp::Codec;
use crate::stretch::{CUT_MIN, accelerate, is_quiet};
use crate::{LINE_FRAME, LINE_RATE, Stats};

/// A transit that differs so much from the base is no delay: the sender's timestamps jumped.
const JUMP: i64 = 2 * LINE_RATE as i64;
/// So many packets in a row that are late although they are the newest: the timestamps stepped back.
const LATE_RUN: u32 = 3;
/// Ticks for which there must be a little too much delay before some is taken away; fewer if it is more.
const PATIENCE: u32 = 25;
/// The same for less than a tick's worth, where a cut is in a voice: it costs nothing but a little delay, and a pause comes sooner than that.
const PATIENCE_IN_VOICE: u32 = 100;
/// Ticks after which a seam is accepted even where the sound does not repeat.
const IMPATIENCE: u32 = 200;
/// So much less delay than needed is gained by lengthening sound even where it does not repeat.
const URGENT: i64 = 320;
/// The longest payload that is taken: 200 ms.
const MAX_UNITS: usize = 1_600;

/// What is lost beyond this is not followed: 120 ms, at the end of which what is made up is silent.
const LONGEST_LOSS: i64 = 960;

pub(crate) struct Receiver {
    stream: Option<Stream>,
    codec: Codec,
    decoder: Decoder,
    jitter: Jitter,
    concealer: Concealer,
    comfort: Comfort,
    /// The peer has said how its silence sounds, and has not spoken since.
    comforted: bool,
    /// Line time that is lost, and is made up when what follows it is decoded.
    gap: usize,
    /// Decoded, not yet played, at the codec's rate.
    pcm: Vec<i16>,
    scratch: Vec<i16>,
    /// Where what was decoded last ends, and its number; `None` before anything was.
    decoded: Option<(i64, i64)>,
    /// What may have been lost, for a decoder that must follow it.
    guess: Vec<i16>,
    late_run: u32,
    excess_ticks: u32,
    /// The least that was held while there was too much delay: what can be taken away without running dry.
    spare: i64,
    /// The least that was left over behind a tick's 20 ms, and for how many ticks that has been observed.
    rest: usize,
    rest_ticks: u32,
    /// While a key is held there is no sound, and nothing to conceal (RFC 4733 §2.1).
    muted: u32,
    /// Losses of streams that ended.
    lost_before: u64,
    /// Packets expected and lost when the last report was made (RFC 3550 A.3).
    reported: (u64, u64),
}

struct Stream {
    ssrc: u32,
    sequence: Sequence,
    timeline: Timeline,
    /// Transit of the packet before, and the running jitter (RFC 3550 A.8), in line time.
    transit: i64,
    jitter: f32,
}

/// What a report block says of the incoming stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reception {
    pub(crate) ssrc: u32,
    /// Of 256.
    pub(crate) fraction_lost: u8,
    pub(crate) lost: u32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
}

impl Receiver {
    pub(crate) fn new(config: &JitterConfig) -> Self {
        Receiver {
            stream: None,
            codec: Codec::Pcmu,
            decoder: Decoder::new(Codec::Pcmu),
            jitter: Jitter::new(config),
            concealer: Concealer::new(LINE_RATE),
            comfort: Comfort::new(),
            comforted: false,
            gap: 0,
            pcm: Vec::with_capacity(2 * MAX_UNITS),
            scratch: Vec::with_capacity(MAX_UNITS),
            decoded: None,
            guess: Vec::new(),
            late_run: 0,
            excess_ticks: 0,
            spare: 0,
            rest: 0,
            rest_ticks: 0,
            muted: 0,
            lost_before: 0,
            reported: (0, 0),
        }
    }

    /// Another codec was agreed. What waits undecoded is still played if it is G.711, which is always understood.
    pub(crate) fn set_codec(&mut self, codec: Codec) {
        if self.codec == codec {
            return;
        }
        let rate = codec.rate();
        if self.codec.rate() != rate {
            self.concealer = Concealer::new(rate.hz());
            self.pcm = Vec::with_capacity(2 * MAX_UNITS * rate.scale());
            self.scratch = Vec::with_capacity(MAX_UNITS * rate.scale());
            self.guess = Vec::with_capacity((HISTORY + BETWEEN) * rate.scale() + codec::LAG);
        }
        self.decoded = None;
        self.codec = codec;
        self.decoder = Decoder::new(codec);
    }

    /// Samples per unit of line time.
    fn scale(&self) -> usize {
        self.codec.rate().scale()
    }

    /// How much line time has been decoded and not been played.
    fn pending(&self) -> usize {
        self.pcm.len() / self.scale()
    }

    /// The SSRC that is being received.
    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.stream.as_ref().map(|stream| stream.ssrc)
    }

    /// Forgets the stream, as when another source takes its place.
    pub(crate) fn restart(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.lost_before += stream.sequence.lost();
        }
        self.reported = (0, 0);
        self.late_run = 0;
        self.comforted = false;
        self.decoded = None;
        self.jitter.restart();
    }

    /// Accounts for a packet of whatever payload. Gives its extended sequence number, or `None` if it had come before.
    pub(crate) fn account(&mut self, now: i64, header: &Header, stats: &mut Stats) -> Option<i64> {
        stats.received += 1;
        let known = self.stream.as_ref().is_some_and(|stream| stream.ssrc == header.ssrc);
        if !known {
            if self.stream.is_some() {
                stats.resyncs += 1;
            }
            return Some(self.begin(now, header));
        }
        let stream = self.stream.as_mut()?;
        let (sequence, arrival) = stream.sequence.arrive(header.sequence);
        match arrival {
            Arrival::Jump => {
                stats.resyncs += 1;
                return Some(self.begin(now, header));
            }
            Arrival::Duplicate => {
                stats.duplicate += 1;
                return None;
            }
            Arrival::Reordered => stats.reordered += 1,
            Arrival::Newest => {}
        }
        stats.lost = self.lost_before + stream.sequence.lost();
        Some(sequence)
    }

    /// Takes the sound of a packet that [`account`](Self::account) let pass.
    pub(crate) fn sound(
        &mut self,
        now: i64,
        header: &Header,
        sequence: i64,
        codec: Codec,
        payload: &[u8],
        stats: &mut Stats,
    ) {
        let units = codec::units_in(codec, payload);
        let Some(stream) = self.stream.as_mut().filter(|_| (1..=MAX_UNITS).contains(&units)) else {
            return;
        };
        let newest = stream.sequence.highest() == (sequence - 65_536) as u32;
        let mut timestamp = stream.timeline.extend(header.timestamp);
        // Another clock's timestamps cannot be compared with those before (RFC 7160 §3.1).
        let jumped = stream.timeline.divisor() != codec.clock_divisor()
            || self.jitter.delay_of(now, timestamp).is_some_and(|delay| delay.abs() > JUMP);
        if newest && (jumped || self.late_run >= LATE_RUN) {
            stats.resyncs += 1;
            self.late_run = 0;
            self.jitter.restart();
            stream.timeline = Timeline::new(header.timestamp, codec.clock_divisor());
            timestamp = i64::from(header.timestamp);
            stream.transit = now - timestamp;
        }
        // RFC 3550 A.8.
        let transit = now - timestamp;
        let difference = (transit - stream.transit).abs().min(JUMP) as f32;
        stream.transit = transit;
        stream.jitter += (difference - stream.jitter) / 16.0;
        stats.jitter_ms = stream.jitter / 8.0;
        match self.jitter.insert(now, sequence, timestamp, codec, payload) {
            Inserted::Late => {
                stats.late += 1;
                self.late_run = if newest { self.late_run + 1 } else { 0 };
            }
            Inserted::Overflow => stats.overflow += 1,
            Inserted::Queued => self.late_run = 0,
        }
    }

    /// Takes comfort noise (RFC 3389) that [`account`](Self::account) let pass.
    pub(crate) fn comfort(
        &mut self,
        now: i64,
        header: &Header,
        sequence: i64,
        payload: &[u8],
        stats: &mut Stats,
    ) {
        let Some(stream) = self.stream.as_mut() else { return };
        let timestamp = stream.timeline.extend(header.timestamp);
        stats.comfort_packets += 1;
        // The timestamp of a sender that started anew says nothing yet; speech will tell.
        if self.jitter.delay_of(now, timestamp).is_some_and(|delay| delay.abs() <= JUMP) {
            self.jitter.insert_comfort(sequence, timestamp, payload);
        } else {
            self.comfort.describe(payload);
        }
    }

    /// A telephone-event takes the place of sound for this tick and the next few.
    pub(crate) fn mute(&mut self, sequence: i64) {
        self.muted = 4;
        self.jitter.other(sequence);
    }

    /// The next 20 ms; says whether a part was made up.
    pub(crate) fn pull(&mut self, now: i64, frame: &mut Sound, stats: &mut Stats) -> bool {
        let mut concealed = false;
        while self.pending() < LINE_FRAME {
            let wanted = LINE_FRAME - self.pending();
            match self.jitter.next(now, self.pending() + self.gap, wanted) {
                Next::Packet { packet, skip } => self.decode(packet, skip),
                Next::Comfort(packet) => {
                    self.fill_gap();
                    self.comfort.describe(&packet.payload);
                    if !self.comforted {
                        self.comfort.restart();
                    }
                    self.comforted = true;
                    self.jitter.recycle(packet);
                }
                Next::Lost { samples, .. } if self.muted > 0 => self.silence(samples),
                Next::Lost { samples, last: true } => {
                    self.gap = samples;
                    concealed = true;
                }
                Next::Lost { samples, last: false } => {
                    self.conceal(samples);
                    concealed = true;
                }
                Next::Starved if self.muted == 0 => {
                    self.conceal(wanted);
                    stats.waited += 1;
                    concealed = true;
                }
                Next::Idle if self.comforted && self.muted == 0 => {
                    self.noise(wanted);
                    stats.comfort_frames += 1;
                }
                Next::Idle if self.muted == 0 && self.decoder.comfort(wanted, &mut self.pcm) => {
                    stats.comfort_frames += 1;
                }
                Next::Starved | Next::Idle => self.silence(wanted),
            }
        }
        self.shorten(now, stats);
        self.lengthen(now, stats);
        *frame = Sound::new(self.codec.rate(), &self.pcm);
        self.pcm.drain(..frame.len());
        self.muted = self.muted.saturating_sub(1);
        stats.concealed_frames += u64::from(concealed);
        stats.target_ms = self.jitter.target() as f32 / 8.0;
        if let Some(delay) = self.jitter.delay(now, self.pending() + LINE_FRAME) {
            stats.delay_ms = delay as f32 / 8.0;
        }
        concealed
    }

    /// The timestamp of what stands behind the frame that was pulled last; `None` between spurts.
    pub(crate) fn position(&self) -> Option<i64> {
        self.jitter.position().map(|next| next - self.pending() as i64)
    }

    /// What the next report to the peer says; begins a new interval.
    pub(crate) fn report(&mut self) -> Option<Reception> {
        let stream = self.stream.as_ref()?;
        let (expected, lost) = (stream.sequence.expected(), stream.sequence.lost());
        let interval = expected.saturating_sub(self.reported.0);
        let lost_now = lost.saturating_sub(self.reported.1);
        self.reported = (expected, lost);
        Some(Reception {
            ssrc: stream.ssrc,
            fraction_lost: (lost_now * 256).checked_div(interval).unwrap_or(0).min(255) as u8,
            lost: lost.min(0x7f_ffff) as u32,
            highest: stream.sequence.highest(),
            jitter: (stream.jitter * stream.timeline.divisor() as f32) as u32,
        })
    }

    fn begin(&mut self, now: i64, header: &Header) -> i64 {
        self.restart();
        let sequence = Sequence::new(header.sequence);
        let extended = i64::from(header.sequence) + 65_536;
        self.stream = Some(Stream {
            ssrc: header.ssrc,
            sequence,
            timeline: Timeline::new(header.timestamp, self.codec.clock_divisor()),
            transit: now - i64::from(header.timestamp),
            jitter: 0.0,
        });
        extended
    }

    fn decode(&mut self, packet: Packet, skip: usize) {
        self.comforted = false;
        // Of a codec with a copy of each packet in the next one, this is where it lies.
        let next = Some((packet.codec, &packet.payload[..]));
        if self.gap > 0 && self.decoder.conceal(self.gap, next, &mut self.pcm) {
            self.gap = 0;
        }
        let skip = skip * self.scale();
        let missing = self.missing(&packet) * self.scale();
        // What is spoiled at the packet's beginning belongs to the gap.
        let spoiled = if missing > 0 && self.decoder.follows(packet.codec) {
            self.decode_behind_loss(&packet, missing, skip)
        } else {
            self.scratch.clear();
            self.decoder.decode(packet.codec, &packet.payload, &mut self.scratch);
            0
        };
        self.decoded = Some((packet.timestamp + packet.samples as i64, packet.sequence));
        self.jitter.recycle(packet);
        let fresh = self.scratch.len().min(skip + spoiled);
        let start = self.pcm.len();
        self.pcm.resize(start + std::mem::take(&mut self.gap) * self.scale() + spoiled, 0);
        if self.pcm.len() > start {
            self.concealer.between(&mut self.pcm[start..], &mut self.scratch[fresh..]);
        } else {
            self.concealer.received(&mut self.scratch[fresh..]);
        }
        self.pcm.extend_from_slice(&self.scratch[fresh..]);
    }

    /// How much line time was lost between what was decoded last and this packet.
    fn missing(&self, packet: &Packet) -> usize {
        let Some((end, sequence)) = self.decoded.filter(|_| self.muted == 0) else { return 0 };
        // Without a number missing it is silence that was not sent.
        if packet.sequence <= sequence + 1 {
            0
        } else {
            (packet.timestamp - end).clamp(0, LONGEST_LOSS) as usize
        }
    }

    /// Decodes the first packet behind a loss of `missing` samples, of a codec whose coder changed with what we did not get. The decoder is
    /// led through what was made up instead: first through what the past foretells. With what is decoded then the gap can be filled from
    /// both sides, and that is nearer to what was lost, so the decoder is led through it and decodes once more.
    ///
    /// Gives how many of the samples behind `skip` are of the loss yet, as the codec's filters have a delay.
    fn decode_behind_loss(&mut self, packet: &Packet, missing: usize, skip: usize) -> usize {
        let gap = self.gap * self.scale();
        self.guess.clear();
        self.concealer.guess(gap + codec::LAG, &mut self.guess);
        let filled = self.guess.len() - codec::LAG;
        // Where the packet begins. A part of its time may have been made up already.
        let begin = filled.saturating_sub(skip);
        // Whole pairs of samples, as they are coded.
        let start = if missing > begin { begin % 2 } else { begin - missing };
        self.decoder.mark();
        self.decode_behind_guess(packet, start, begin);
        let spoiled = codec::LAG.saturating_sub(skip).min(self.scratch.len());
        let known = self.scratch.len().min(skip + spoiled);
        if self.concealer.try_between(&mut self.guess[filled - gap..filled + spoiled], &self.scratch[known..])
        {
            self.decode_behind_guess(packet, start, begin);
        }
        spoiled
    }

    fn decode_behind_guess(&mut self, packet: &Packet, start: usize, begin: usize) {
        self.decoder.follow(&self.guess[start..begin + codec::LAG]);
        self.scratch.clear();
        self.decoder.decode(packet.codec, &packet.payload, &mut self.scratch);
    }

    fn conceal(&mut self, units: usize) {
        if self.decoder.conceal(units, None, &mut self.pcm) {
            return;
        }
        let start = self.pcm.len();
        self.pcm.resize(start + units * self.scale(), 0);
        self.concealer.lost(&mut self.pcm[start..]);
    }

    /// What follows the gap is no sound.
    fn fill_gap(&mut self) {
        let units = std::mem::take(&mut self.gap);
        self.conceal(units);
    }

    fn silence(&mut self, units: usize) {
        self.concealer.silence();
        self.pcm.resize(self.pcm.len() + units * self.scale(), 0);
    }

    fn noise(&mut self, units: usize) {
        let start = self.pcm.len();
        self.pcm.resize(start + units * self.scale(), 0);
        self.comfort.fill(&mut self.pcm[start..]);
        self.concealer.silence();
    }

    /// Gains delay that is needed, before a hole would.
    fn lengthen(&mut self, now: i64, stats: &mut Stats) {
        let deficit = self.jitter.deficit(now, self.pending() - LINE_FRAME);
        if deficit == 0 || self.muted > 0 {
            return;
        }
        let gained = self.concealer.lengthen(&mut self.pcm, deficit > URGENT);
        if gained > 0 {
            stats.lengthened += 1;
            stats.added_samples += (gained / self.scale()) as u64;
        }
    }

    /// Takes delay back that is no longer needed.
    fn shorten(&mut self, now: i64, stats: &mut Stats) {
        let pending = self.pending() - LINE_FRAME;
        let quiet = is_quiet(&self.pcm);
        let excess = self.jitter.excess(now, pending, quiet);
        if excess == 0 {
            self.excess_ticks = 0;
        } else if self.give_back(now, excess, pending, stats) {
            self.excess_ticks = 0;
            self.rest_ticks = 0;
            return;
        }
        self.align(now, self.pending() - LINE_FRAME, quiet, stats);
    }

    fn give_back(&mut self, now: i64, excess: i64, pending: usize, stats: &mut Stats) -> bool {
        let held = self.jitter.held() + pending as i64;
        self.spare = if self.excess_ticks == 0 { held } else { self.spare.min(held) };
        // Much too much delay is worse than a seam: the more there is, the sooner.
        self.excess_ticks += 1 + (excess / 64) as u32;
        if self.excess_ticks < PATIENCE {
            return false;
        }
        if self.spare < LINE_FRAME as i64 {
            self.excess_ticks = 0;
            return false;
        }
        while self.pending() < 2 * LINE_FRAME {
            if !self.jitter.has_next() {
                return false;
            }
            let Next::Packet { packet, skip } = self.jitter.next(now, self.pending(), LINE_FRAME) else {
                return false;
            };
            self.decode(packet, skip);
        }
        self.cut(LINE_FRAME, self.excess_ticks >= IMPATIENCE, stats)
    }

    /// What is left over behind every tick's 20 ms is delay that buys nothing, as the next packet must be here at the same tick with it or
    /// without: it goes where it can go unheard.
    fn align(&mut self, now: i64, pending: usize, quiet: bool, stats: &mut Stats) {
        if !self.jitter.suffices(now, pending) {
            self.rest_ticks = 0;
            return;
        }
        self.rest = if self.rest_ticks == 0 { pending } else { self.rest.min(pending) };
        self.rest_ticks += 1;
        let patience = if quiet { PATIENCE } else { PATIENCE_IN_VOICE };
        if self.rest_ticks < patience || self.rest < CUT_MIN {
            return;
        }
        if self.cut(self.rest.min(LINE_FRAME), false, stats) {
            self.rest_ticks = 0;
        }
    }

    fn cut(&mut self, most: usize, force: bool, stats: &mut Stats) -> bool {
        let scale = self.scale();
        let cut = accelerate(&mut self.pcm, scale, most * scale, force);
        stats.accelerated += u64::from(cut > 0);
        stats.cut_samples += (cut / scale) as u64;
        cut > 0
    }
}
