//! Which packets are meant by 16 bits of number, and which have come already (RFC 3711 §3.3.1, §3.3.2).
//!
//! The index of a packet is its sequence number with the count of wraps, the *rollover counter*, in front: 48 bits that are never sent and
//! that both sides keep. Sealing with the wrong one gives a wrong tag.

/// Packets behind the newest that are still told apart.
const WINDOW: u64 = 128;
/// Streams of a peer that are remembered; it makes a new one only when the call is set up anew.
const STREAMS: usize = 8;

/// Of the stream that we send.
#[derive(Default)]
pub(super) struct Sent {
    ssrc: Option<u32>,
    last: u64,
}

impl Sent {
    /// The index of the next packet. A new SSRC is a new stream, counted from its first number.
    pub(super) fn index(&mut self, ssrc: u32, sequence: u16) -> u64 {
        if self.ssrc != Some(ssrc) {
            self.ssrc = Some(ssrc);
            self.last = u64::from(sequence);
            return self.last;
        }
        let index = nearest(self.last, sequence).unwrap_or(u64::from(sequence));
        self.last = self.last.max(index);
        index
    }
}

/// Of the streams that come.
#[derive(Default)]
pub(super) struct Received {
    streams: [Option<Stream>; STREAMS],
    /// Packets so far: says which stream has been silent for longest.
    count: u64,
}

struct Stream {
    ssrc: u32,
    highest: u64,
    /// Bit n: `highest − n` came.
    came: u128,
    used: u64,
}

impl Received {
    pub(super) fn knows(&self, ssrc: u32) -> bool {
        self.find(ssrc).is_some()
    }

    /// The index that is meant. `None`: one before the first.
    pub(super) fn guess(&self, ssrc: u32, sequence: u16) -> Option<u64> {
        match self.find(ssrc) {
            Some(stream) => nearest(stream.highest, sequence),
            None => Some(u64::from(sequence)),
        }
    }

    /// Whether it has not come yet.
    pub(super) fn is_new(&self, ssrc: u32, index: u64) -> bool {
        let Some(stream) = self.find(ssrc) else { return true };
        match stream.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && stream.came >> behind & 1 == 0,
        }
    }

    /// Its tag was right.
    pub(super) fn came(&mut self, ssrc: u32, index: u64) {
        self.count += 1;
        let used = self.count;
        if let Some(stream) = self.streams.iter_mut().flatten().find(|stream| stream.ssrc == ssrc) {
            stream.used = used;
            if index > stream.highest {
                let ahead = u32::try_from(index - stream.highest).unwrap_or(u32::MAX);
                stream.came = stream.came.checked_shl(ahead).unwrap_or(0) | 1;
                stream.highest = index;
            } else {
                let behind = u32::try_from(stream.highest - index).unwrap_or(u32::MAX);
                stream.came |= 1u128.checked_shl(behind).unwrap_or(0);
            }
            return;
        }
        let longest_silent =
            self.streams.iter_mut().min_by_key(|place| place.as_ref().map_or(0, |of| of.used));
        if let Some(place) = longest_silent {
            *place = Some(Stream { ssrc, highest: index, came: 1, used });
        }
    }

    fn find(&self, ssrc: u32) -> Option<&Stream> {
        self.streams.iter().flatten().find(|stream| stream.ssrc == ssrc)
    }
}

/// The index nearest to `highest` that ends in `sequence`.
fn nearest(highest: u64, sequence: u16) -> Option<u64> {
    let step = sequence.wrapping_sub(highest as u16) as i16;
    highest.checked_add_signed(i64::from(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_upwards_and_late_ones_are_of_before() {
        let mut received = Received::default();
        assert_eq!(received.guess(1, 65_534), Some(65_534));
        received.came(1, 65_534);
        for (sequence, index) in [(65_535, 65_535), (0, 65_536), (5, 65_541)] {
            assert_eq!(received.guess(1, sequence), Some(index));
            assert!(received.is_new(1, index));
            received.came(1, index);
            assert!(!received.is_new(1, index));
        }
        assert_eq!(received.guess(1, 65_533), Some(65_533));
        assert!(received.is_new(1, 65_533));
        // Another stream of the same peer begins anew.
        assert_eq!(received.guess(2, 3), Some(3));
        received.came(2, 3);
        assert_eq!(received.guess(2, 65_000), None, "before the first");
    }

    #[test]
    fn what_is_older_than_the_window_counts_as_come() {
        let mut received = Received::default();
        received.came(1, 10);
        received.came(1, 1_000);
        assert!(received.is_new(1, 1_000 - 127));
        assert!(!received.is_new(1, 1_000 - 128));
        assert!(!received.is_new(1, 10));
        received.came(1, 1_000 - 127);
        assert!(!received.is_new(1, 1_000 - 127));
        assert!(received.is_new(1, 1_000 - 126));
    }

    #[test]
    fn the_stream_that_was_silent_for_longest_gives_way() {
        let mut received = Received::default();
        (0..8).for_each(|ssrc| received.came(ssrc, 7));
        received.came(0, 8);
        received.came(9, 1);
        assert!(received.knows(0) && received.knows(9) && !received.knows(1));
    }

    #[test]
    fn what_we_send_is_counted_across_the_wrap_and_anew_with_another_ssrc() {
        let mut sent = Sent::default();
        assert_eq!(sent.index(1, 65_535), 65_535);
        assert_eq!(sent.index(1, 0), 65_536);
        assert_eq!(sent.index(2, 1), 1);
    }
}
