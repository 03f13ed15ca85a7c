//! [`MediaSession`]: one call's sound as a state machine. It owns no socket, clock, thread or lock.
//!
//! Outputs wait in queues, so the order in which the owner calls does not matter; but after each [`tick`](MediaSession::tick) it
//! should take everything out. Nothing that comes from the network makes an error: it is counted in [`Stats`].
//!
//! A tick does not allocate. What may: [`configure`](MediaSession::configure), [`play`](MediaSession::play), and the first
//! chunk of a rate.

mod control;
mod keys;
mod sealed;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::bridge::{Legs, Passed, Tap};
use crate::dtmf::Dialler;
use crate::dtmf::keys::Keys;
use crate::dtmf::said::Said;
use crate::echo::Echo;
use crate::jitter::JitterConfig;
use crate::latch::{Latch, Verdict};
use crate::playout::Playout;
use crate::quality::Gauge;
use crate::rate::{Block, Converter, Rate, Sound};
use crate::receive::Receiver;
use crate::resample::Resampler;
use crate::returns::{Returning, Returns};
use crate::sdp::{Codec, Negotiated};
use crate::send::Sender;
use crate::srtp::Srtp;
use crate::vad::{Change, Vad, VadConfig};
use crate::{Event, FRAME, Hushed, PlayChunk, PlayError, Stats, rtcp, rtp};
use control::Control;
use keys::{Dialled, Hiding};

/// Control events that wait for an owner who does not listen; beyond, they are lost and counted. Hours of an ordinary call.
const MAX_EVENTS: usize = 1_024;
/// Frames that wait for an owner who does not listen: 320 ms.
const MAX_FRAMES: usize = 16;
/// The static number of comfort noise (RFC 3389 §4); taken whether it was agreed or not, as it means the same to everybody.
const COMFORT: u8 = 13;

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Seeds SSRC, first sequence number and first timestamp, which must be unpredictable (RFC 3550 §5.1).
    pub ssrc_seed: u64,
    pub jitter: JitterConfig,
    pub vad: VadConfig,
    /// Whether [`MediaSession::poll_recording`] gives both sides of every tick. [`crate::net::Engine::open`] sets it.
    pub record: bool,
    /// How much audio may be queued; beyond it [`MediaSession::play`] says `QueueFull`.
    pub max_queue: Duration,
    /// [`Event::Silence`] comes after so long without a packet, and again whenever that has doubled.
    pub silence_after: Duration,
    /// How long each digit that we send is held.
    pub digit_length: Duration,
    /// The pause between two digits.
    pub digit_gap: Duration,
    /// How loud our keys are, as tones and as events say it: dB below 0 dBm0, at most 63 (RFC 4733 §2.3).
    pub digit_volume: u8,
    /// Keys are not to be recorded, nor what comes within so long after; see [`MediaSession::hides`].
    pub hide_digits: Option<Duration>,
    /// An echo of what is heard, put on the line beside what is said; a recording holds none of it.
    pub returns: Option<Returns>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            ssrc_seed: 0,
            jitter: JitterConfig::default(),
            vad: VadConfig::default(),
            record: false,
            max_queue: Duration::from_secs(60),
            silence_after: Duration::from_secs(1),
            digit_length: Duration::from_millis(160),
            digit_gap: Duration::from_millis(80),
            digit_volume: 10,
            hide_digits: None,
            returns: None,
        }
    }
}

/// Which of our two ports a packet leaves from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    Rtp,
    Rtcp,
}

/// A packet for the wire, in a buffer that is used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit<'a> {
    pub to: SocketAddr,
    pub channel: Channel,
    pub bytes: &'a [u8],
}

/// One call's sound. See the [crate's essay](crate).
pub struct MediaSession {
    epoch: Instant,
    agreed: Option<Negotiated>,
    latch: Latch,
    receiver: Receiver,
    keys: Keys,
    lift: Converter,
    vad: Vad,
    echo: Echo,
    playout: Playout,
    dialler: Dialler,
    said: Said,
    digit_volume: u8,
    hiding: Hiding,
    sender: Sender,
    srtp: Option<Box<Srtp>>,
    events: VecDeque<Event>,
    frames_waiting: usize,
    frame_seq: u64,
    /// A packet has been taken: from here on there are frames.
    heard: bool,
    last_packet: Instant,
    silence_after: Duration,
    next_silence: Duration,
    record: bool,
    recording: Option<Block>,
    control: Control,
    quality: Gauge,
    /// To other sessions, and from them.
    legs: Legs,
    returning: Option<Returning>,
    stats: Stats,
}

impl MediaSession {
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        MediaSession {
            epoch: now,
            agreed: None,
            latch: Latch::new(),
            receiver: Receiver::new(&config.jitter),
            keys: Keys::new(),
            lift: Converter::new(),
            vad: Vad::new(config.vad),
            echo: Echo::new(),
            playout: Playout::new(config.max_queue),
            dialler: Dialler::new(config.digit_length, config.digit_gap),
            said: Said::default(),
            digit_volume: config.digit_volume.min(63),
            hiding: Hiding::new(config.hide_digits, now),
            sender: Sender::new(config.ssrc_seed),
            srtp: None,
            events: VecDeque::with_capacity(8),
            frames_waiting: 0,
            frame_seq: 0,
            heard: false,
            last_packet: now,
            silence_after: config.silence_after,
            next_silence: config.silence_after,
            record: config.record,
            recording: None,
            control: Control::new(config.ssrc_seed, now, config.jitter.max),
            quality: Gauge::new(),
            legs: Legs::new(),
            returning: config.returns.map(Returning::new),
            stats: Stats::default(),
        }
    }

    /// Takes what was agreed, at first or anew (re-INVITE). Media flows from here on; the latch is open again.
    pub fn configure(&mut self, now: Instant, agreed: &Negotiated) {
        if self.agreed.is_none() {
            self.last_packet = now;
        }
        let held = self.agreed.as_ref().is_some_and(|before| !before.direction.receives());
        if held && agreed.direction.receives() {
            // What a peer sent while we did not listen is neither lost nor late.
            self.receiver.restart();
        }
        self.keys.configure(agreed.keys, agreed.dtmf_payload_type.is_some(), self.hiding.is_on());
        self.latch.open(agreed.remote);
        self.secure(agreed.srtp.as_ref());
        self.set_codec(agreed);
        self.control.agreed(now, self.agreed.is_none());
        self.quality.agreed(agreed.codec);
        // The keys are where they are used, and nowhere else.
        self.agreed = Some(Negotiated { srtp: None, ..agreed.clone() });
    }

    /// Makes what codes and decodes, and brings everything to the codec's rate.
    fn set_codec(&mut self, agreed: &Negotiated) {
        let (codec, rate) = (agreed.codec, agreed.codec.rate());
        let before = self.rate();
        self.receiver.set_codec(codec);
        self.sender.set_codec(codec, agreed.opus);
        self.playout.set_rate(rate);
        self.legs.set_rate(rate);
        if let Some(returning) = self.returning.as_mut().filter(|_| before != rate) {
            returning.set_rate(rate);
        }
    }

    /// The rate of what is agreed.
    fn rate(&self) -> Rate {
        self.agreed.as_ref().map_or(Rate::Narrow, |agreed| agreed.codec.rate())
    }

    /// Takes an RTP packet, or RTCP beside it, as it was before it was sealed.
    fn handle_rtp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Some(agreed) = &self.agreed else {
            self.stats.strangers += 1;
            return;
        };
        if rtcp::is_rtcp(bytes) && agreed.may_share_port() {
            self.reported(now, from, bytes);
            return;
        }
        let Some((header, payload)) = rtp::parse(bytes) else {
            self.stats.malformed += 1;
            return;
        };
        let is_event = Some(header.payload_type) == agreed.dtmf_payload_type;
        let event_clock = agreed.event_clock();
        let codec = match header.payload_type {
            number if number == agreed.payload_type => Some(agreed.codec),
            // Static numbers mean the same to everybody, and some peers change between what they listed.
            0 if !is_event => Some(Codec::Pcmu),
            8 if !is_event => Some(Codec::Pcma),
            _ => None,
        };
        let is_comfort = codec.is_none() && !is_event && header.payload_type == COMFORT;
        if codec.is_none() && !is_event && !is_comfort {
            self.stats.unknown_payload += 1;
            return;
        }
        match self.latch.judge(now, from, header.ssrc, header.sequence) {
            Verdict::Stranger => {
                self.stats.strangers += 1;
                return;
            }
            Verdict::Probation => return,
            Verdict::Latched => self.events.push_back(Event::Latched { remote: from }),
            Verdict::Accept => {}
        }
        if !agreed_receives(&self.agreed) {
            return;
        }
        self.heard = true;
        self.last_packet = now;
        self.next_silence = self.silence_after;
        if header.ssrc == self.sender.ssrc {
            self.collide(now, from.ip());
        }
        let clock = self.clock(now);
        let (ssrc, resyncs) = (self.receiver.ssrc(), self.stats.resyncs);
        let Some(sequence) = self.receiver.account(clock, &header, &mut self.stats) else { return };
        if ssrc != Some(header.ssrc) || self.stats.resyncs > resyncs {
            self.keys.restart(clock);
        }
        if self.stats.resyncs != resyncs {
            self.quality.restart();
        }
        self.quality.arrived(sequence, header.timestamp);
        self.stats.received_bytes += payload.len() as u64;
        if let Some(codec) = codec {
            let useless = self.stats.late + self.stats.overflow;
            self.receiver.sound(clock, &header, sequence, codec, payload, &mut self.stats);
            if self.stats.late + self.stats.overflow > useless {
                self.quality.discarded(sequence);
            }
        } else if is_comfort {
            self.receiver.comfort(clock, &header, sequence, payload, &mut self.stats);
        } else {
            self.key_packet(clock, &header, sequence, payload, event_clock);
        }
    }

    /// Twenty milliseconds pass.
    pub fn tick(&mut self, now: Instant) {
        self.stats.ticks += 1;
        self.recording = None;
        self.legs.pull(&mut self.stats);
        let Some(agreed) = self.agreed.clone() else { return };
        let rate = agreed.codec.rate();
        let mut theirs = Sound::silence(rate);
        let mut ours = Sound::silence(rate);
        let is_heard = agreed.direction.receives() && self.listen(now, &mut theirs);
        self.speak(now, &agreed, &theirs, &mut ours);
        self.hide(now);
        // A key that is heard crosses by its name, and not as a sound as well.
        let crossing = if self.keys.sounds() { Sound::silence(rate) } else { theirs };
        self.legs.pass(is_heard.then_some(&crossing), &ours, &mut self.stats);
        self.echo.sent(&ours);
        self.sender.advance();
        if self.control.is_due(now) {
            self.report(now, &agreed);
        }
        if self.record {
            self.recording = Some(Block::new(&theirs, &ours));
        }
        // An owner who never polls must not cost memory without end.
        while self.events.len() > MAX_EVENTS + MAX_FRAMES {
            self.poll_event();
            self.stats.events_lost += 1;
        }
    }

    /// So many ticks could not be made: the clock stood still for longer than can be made up for. Media time goes on without them, so that
    /// the peer's clock and ours stay in step.
    pub fn skip(&mut self, ticks: u32) {
        self.sender.skip(ticks);
    }

    /// The next thing to be told.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if self.events.is_empty() {
            // The next one goes where this one was, which is in the cache, and not to the place after it.
            self.events.clear();
        }
        if event.is_frame() {
            self.frames_waiting -= 1;
        }
        Some(event)
    }

    /// Both sides of the last tick, the peer left, we right, at the session's rate; once per tick, if recording was asked for.
    pub fn poll_recording(&mut self) -> Option<Block> {
        self.recording.take()
    }

    /// Queues audio.
    ///
    /// # Errors
    /// The queue is full, or the rate is out of range.
    pub fn play(&mut self, chunk: PlayChunk) -> Result<(), PlayError> {
        let result = self.playout.play(chunk);
        if matches!(result, Err(PlayError::UnsupportedRate(_))) {
            self.stats.chunks_refused += 1;
        }
        result
    }

    /// Hands over a resampler from this rate to the session's, which is that of the agreed codec; to another rate it is of no use and dropped. To make one takes about a millisecond: whoever has other threads than
    /// the one that ticks may do it there, before the first chunk of a rate.
    pub fn prepare(&mut self, rate: u32, resampler: Resampler) {
        self.playout.prepare(rate, resampler);
    }

    /// Stops speaking: drops everything queued and says exactly what left. The next 5 ms leave with a falling gain and count as played.
    pub fn hush(&mut self) -> Hushed {
        self.playout.hush()
    }

    /// Holds the queue at the very sample, after a fade of 5 ms. The line goes on with silence.
    pub fn pause(&mut self) {
        self.playout.pause();
    }

    /// Goes on with the sample after the last that left.
    pub fn resume(&mut self) {
        self.playout.resume();
    }

    /// Joins this session with another one, or parts them: while joined, each tick gives what was heard by [`poll_passed`](Self::poll_passed), and
    /// sends what came by [`feed`](Self::feed), besides what is being played. Frames go on being told.
    pub fn bridge(&mut self, joined: bool) {
        self.join(0, joined.then_some(Tap::Voice));
    }

    /// What the last tick has for the other session. `None` while the peer is not heard, or does not send (hold).
    pub fn poll_passed(&mut self) -> Option<Passed> {
        self.poll_passed_by(0)
    }

    /// Takes what the other session has passed, for the next tick to send. At most 160 ms wait; then the oldest is dropped and counted.
    pub fn feed(&mut self, passed: Passed) {
        self.feed_by(0, passed);
    }

    /// The same by one of [`crate::LEGS`]: 0 is the bridge, the rest are for others who attend. Each has its own [`Tap`]; `None` takes the leg away.
    pub fn join(&mut self, leg: usize, tap: Option<Tap>) {
        self.legs.set(leg, tap);
    }

    /// Changes what a leg passes on.
    pub fn tap(&mut self, leg: usize, tap: Tap) {
        self.legs.tap(leg, tap);
    }

    /// As [`poll_passed`](Self::poll_passed), by a leg.
    pub fn poll_passed_by(&mut self, leg: usize) -> Option<Passed> {
        self.legs.take_passed(leg)
    }

    /// As [`feed`](Self::feed), by a leg. Keys are pressed only where they come over the bridge.
    pub fn feed_by(&mut self, leg: usize, passed: Passed) {
        let taken = self.legs.feed(leg, &passed, &mut self.stats);
        if let (true, 0, Some(digit)) = (taken, leg, passed.digit) {
            // A key is none too many for the dialler in half a minute of pressing; and it is a key.
            let _ = self.dialler.dial(digit.encode_utf8(&mut [0; 4]));
        }
    }

    /// How much audio waits to be played.
    pub fn queued(&self) -> Duration {
        self.playout.queued()
    }

    pub fn stats(&self) -> Stats {
        let ptime_ms = self.agreed.as_ref().map_or(20.0, |agreed| f32::from(agreed.ptime_ms));
        Stats {
            quality: self.quality.quality(&self.stats, ptime_ms),
            hijacks: self.latch.attempts(),
            ..self.stats.clone()
        }
    }

    /// Whether the peer is heard.
    fn listen(&mut self, now: Instant, theirs: &mut Sound) -> bool {
        let silent = now.saturating_duration_since(self.last_packet);
        if silent >= self.next_silence {
            self.next_silence = self.next_silence.saturating_mul(2).max(Duration::from_millis(20));
            self.events
                .push_back(Event::Silence { for_ms: u32::try_from(silent.as_millis()).unwrap_or(u32::MAX) });
        }
        if !self.heard {
            return false;
        }
        let clock = self.clock(now);
        let concealed = self.receiver.pull(clock, theirs, &mut self.stats);
        self.keys.tick(clock);
        self.keys.heard(clock, theirs, theirs.rate().hz());
        self.tell_keys();
        let sounds = self.keys.sounds();
        let mut pcm = [0; FRAME];
        pcm.copy_from_slice(&self.lift.convert(theirs, Rate::Wide));
        self.echo.heard(theirs);
        let (held, is_bridged, echo) = (self.keys.held(), self.legs.are_bridged(), &mut self.echo);
        let mut echoes = false;
        let judgement = self.vad.judge(now, &pcm, || {
            // Two people who talk with one another may do so over their own echo.
            echoes = !held && !is_bridged && echo.explains();
            held || echoes
        });
        self.stats.echo_frames += u64::from(echoes);
        if echoes || sounds {
            // Nor are our own words to be written down as the caller's, or a key as a word.
            pcm.fill(0);
        }
        match judgement.change {
            Some((Change::Start, at)) => self.events.push_back(Event::VoiceStart { at }),
            Some((Change::Dip, at)) => self.events.push_back(Event::VoiceDip { at }),
            Some((Change::Back, at)) => self.events.push_back(Event::VoiceBack { at }),
            Some((Change::End, at)) => self.events.push_back(Event::VoiceEnd { at }),
            None => {}
        }
        let frame = Event::Frame {
            seq: self.frame_seq,
            at: now,
            pcm,
            voice: judgement.speaking,
            probability: judgement.probability,
            level_dbfs: judgement.level_dbfs,
            concealed,
        };
        self.frame_seq += 1;
        if self.frames_waiting < MAX_FRAMES {
            self.frames_waiting += 1;
            self.stats.frames += 1;
            self.events.push_back(frame);
        } else {
            self.stats.frames_dropped += 1;
        }
        true
    }

    fn speak(&mut self, now: Instant, agreed: &Negotiated, theirs: &Sound, ours: &mut Sound) {
        let Some(to) = self.latch.destination().filter(|_| agreed.direction.sends()) else {
            self.sender.silence();
            return;
        };
        let rate = ours.rate().hz();
        match self.dial(to, agreed, ours, rate) {
            Dialled::Events => return,
            Dialled::Tones => {}
            Dialled::Nothing => {
                self.playout.pull(now, ours, &mut self.events);
                self.legs.mix(ours);
            }
        }
        let mut sent = *ours;
        if let Some(returning) = &mut self.returning {
            returning.tick(theirs, &mut sent);
        }
        self.sender.sound(to, agreed.payload_type, agreed.ptime_ms, &sent, &mut self.stats);
    }

    /// Line time since the session began.
    fn clock(&self, now: Instant) -> i64 {
        (now.saturating_duration_since(self.epoch).as_nanos() / 125_000) as i64
    }
}

fn agreed_receives(agreed: &Option<Negotiated>) -> bool {
    agreed.as_ref().is_some_and(|agreed| agreed.direction.receives())
}
