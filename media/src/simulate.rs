//! What listens within a session, without the session: jitter buffer, concealment and stretching on a virtual clock, for simulations of many hours
//! and for benches that ask what was played when. Not part of what the crate promises.

use std::time::Duration;

use crate::Stats;
use crate::jitter::JitterConfig;
use crate::rate::{Rate, Sound};
use crate::receive::Receiver;
use crate::rtp::Header;
use crate::sdp::Codec;

/// Hears one stream of µ-law.
pub struct Listener {
    receiver: Receiver,
    stats: Stats,
}

/// 20 ms as they were heard.
pub struct Heard {
    pub pcm: Sound,
    /// The RTP timestamp, extended beyond 32 bits, of what stands behind these; `None` between talk spurts.
    pub until: Option<i64>,
    /// A part was made up.
    pub concealed: bool,
}

impl Listener {
    pub fn new(config: JitterConfig) -> Self {
        Listener { receiver: Receiver::new(&config), stats: Stats::default() }
    }

    /// A packet arrives, `now` after the beginning.
    pub fn packet(&mut self, now: Duration, sequence: u16, timestamp: u32, payload: &[u8]) {
        let header = Header { payload_type: 0, marker: false, sequence, timestamp, ssrc: 1 };
        let now = samples(now);
        if let Some(sequence) = self.receiver.account(now, &header, &mut self.stats) {
            self.receiver.sound(now, &header, sequence, Codec::Pcmu, payload, &mut self.stats);
        }
    }

    /// Twenty milliseconds pass.
    pub fn tick(&mut self, now: Duration) -> Heard {
        let mut pcm = Sound::silence(Rate::Narrow);
        let concealed = self.receiver.pull(samples(now), &mut pcm, &mut self.stats);
        Heard { pcm, until: self.receiver.position(), concealed }
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

fn samples(time: Duration) -> i64 {
    (time.as_nanos() / 125_000) as i64
}
