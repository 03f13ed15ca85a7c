//! Keys of a session: what the peer presses, by whichever way, and what we press.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::MediaSession;
use crate::dtmf::event::Payload;
use crate::dtmf::{Dialling, Mode, digit_of, tone};
use crate::rtp::Header;
use crate::sdp::Negotiated;
use crate::{DigitsError, Event, LINE_RATE};

/// What the keys that are being sent leave of a tick.
pub(super) enum Dialled {
    /// No key, or none that takes the place of sound: speak on.
    Nothing,
    /// The tick's sound is written: a tone, or the silence after one.
    Tones,
    /// An event took the place of sound.
    Events,
}

/// Keys that are not to be recorded.
pub(super) struct Hiding {
    after: Option<Duration>,
    /// On the peer's side, and on ours.
    until: [Instant; 2],
    now: [bool; 2],
    /// Reports of keys so far.
    reports: u64,
}

impl Hiding {
    pub(super) fn new(after: Option<Duration>, now: Instant) -> Self {
        Hiding { after, until: [now; 2], now: [false; 2], reports: 0 }
    }

    pub(super) fn is_on(&self) -> bool {
        self.after.is_some()
    }
}

impl MediaSession {
    /// Whether the last tick belongs to keys that are not to be recorded ([`hide_digits`](super::SessionConfig::hide_digits)): on the peer's side,
    /// on ours. A key in the sound is known after 50 ms; so the 100 ms before belong to it as well.
    pub fn hides(&self) -> [bool; 2] {
        self.hiding.now
    }

    pub(super) fn hide(&mut self, now: Instant) {
        let Some(after) = self.hiding.after else { return };
        let reports = self.stats.digits_received + self.stats.digits_again;
        let theirs = self.keys.held() || reports != self.hiding.reports;
        self.hiding.reports = reports;
        for (side, is_on) in [theirs, !self.dialler.is_idle()].into_iter().enumerate() {
            if is_on {
                self.hiding.until[side] = now + after;
            }
            self.hiding.now[side] = is_on || now < self.hiding.until[side];
        }
    }

    /// Sends keys, after those that wait: `0`–`9`, `*`, `#`, `A`–`D`; `,` is a pause of one second. They go out as the agreed
    /// [`Mode`] says. What is being played waits meanwhile, unless they go by INFO.
    ///
    /// # Errors
    /// Something else is in `digits`, or too many wait; then none is taken.
    pub fn send_digits(&mut self, digits: &str) -> Result<(), DigitsError> {
        self.dialler.dial(digits)
    }

    /// Takes a key that came by SIP INFO. It is told like any other, unless the peer has reported the same press in its RTP or in its sound.
    pub fn key_by_info(&mut self, now: Instant, digit: char, duration: Duration) {
        let clock = self.clock(now);
        if self.keys.info(clock, digit, duration) {
            self.tell_keys();
        }
    }

    /// A packet of telephone-event.
    pub(super) fn key_packet(
        &mut self,
        clock: i64,
        header: &Header,
        sequence: i64,
        payload: &[u8],
        rate: u32,
    ) {
        let Some(event) = Payload::parse(payload) else {
            self.stats.malformed += 1;
            return;
        };
        self.keys.packet(clock, header.timestamp, header.marker, event, rate);
        self.tell_keys();
        self.receiver.mute(sequence);
    }

    /// Tells of what was pressed, and lets it cross a bridge.
    pub(super) fn tell_keys(&mut self) {
        while let Some(pressed) = self.keys.poll() {
            self.stats.digits_received += 1;
            self.legs.key(pressed.digit);
            self.events.push_back(Event::Digit { digit: pressed.digit, duration_ms: pressed.duration_ms });
        }
        self.stats.digits_again = self.keys.again();
    }

    /// The keys that are to be sent move on by a tick.
    pub(super) fn dial(
        &mut self,
        to: SocketAddr,
        agreed: &Negotiated,
        ours: &mut [i16],
        rate: u32,
    ) -> Dialled {
        let dialling = self.dialler.tick();
        if let Dialling::Key { last: true, .. } = dialling {
            self.stats.digits_sent += 1;
        }
        let is_on = matches!(dialling, Dialling::Key { .. } | Dialling::Released { .. });
        match (agreed.keys, agreed.dtmf_payload_type, dialling) {
            (_, _, Dialling::Idle) => Dialled::Nothing,
            (Mode::Info, _, Dialling::Key { code, length, first: true, .. }) => {
                if let Some(digit) = digit_of(code) {
                    let duration_ms = length / (LINE_RATE / 1_000);
                    self.events.push_back(Event::Press { digit, duration_ms });
                }
                Dialled::Nothing
            }
            (Mode::Info, ..) => Dialled::Nothing,
            (Mode::Auto | Mode::Rfc4733, Some(payload_type), _) if is_on => {
                let (now, clock) = (self.sender.timestamp(), agreed.event_clock());
                let packets = self.said.tick(dialling, now, clock, self.digit_volume);
                for (marker, timestamp, payload) in packets.into_iter().flatten() {
                    let bytes = payload.bytes();
                    self.sender.event(to, payload_type, marker, timestamp, &bytes, &mut self.stats);
                }
                Dialled::Events
            }
            (_, _, Dialling::Key { code, held, length, .. }) => {
                let tick = LINE_RATE / 50;
                let from = (held - 1) / tick * tick;
                let per_unit = rate / LINE_RATE;
                tone::write(code, from * per_unit, length * per_unit, rate, self.digit_volume, ours);
                Dialled::Tones
            }
            (_, _, Dialling::Gap | Dialling::Released { .. }) => Dialled::Tones,
        }
    }
}
