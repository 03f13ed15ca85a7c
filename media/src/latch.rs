//! Symmetric RTP (RFC 4961): where the peer's packets really come from, and so where ours must go.
//!
//! Behind a NAT, and with some phones even without, packets come from an address other than the announced one. The announced source is
//! taken with its first packet; any other must first send a few in a row with one SSRC, and is not heard until then, so that a stray
//! packet does not turn the call away. Once latched, nobody else gets in, until a new offer or answer opens the latch again; except the
//! announced source itself, whose word by SIP counts for more than having been quicker. What tries is counted.
//!
//! Nor does another stream from the source's own address take the place of the one that flows: an address can be forged. The old stream
//! must have stopped, or say nothing while the new one sends a few packets in a row.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Packets in a row that an unannounced source must send (RFC 3550 A.1 asks for two).
const PROBATION: u32 = 3;
/// Sources that are tried at a time; the first few places are kept for those on the announced host, so that a crowd cannot push them out.
const CANDIDATES: usize = 8;
const OF_THE_HOST: usize = 2;
/// A stream that has sent nothing for so long has stopped …
const STOPPED: Duration = Duration::from_millis(100);
/// … or for so long, while another sends.
const GIVES_WAY: Duration = Duration::from_millis(50);

pub(crate) struct Latch {
    announced: SocketAddr,
    /// Where our packets go.
    destination: SocketAddr,
    source: Option<SocketAddr>,
    /// The source before the latch was opened by a description that did not change the address.
    former: Option<SocketAddr>,
    /// The stream of the source, and when its last packet came.
    stream: Option<(u32, Instant)>,
    /// Another one from the same address.
    rival: Option<Candidate>,
    candidates: [Option<Candidate>; CANDIDATES],
    turn: usize,
    attempts: u64,
}

#[derive(Clone, Copy)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    sequence: u16,
    run: u32,
}

impl Candidate {
    fn new(from: SocketAddr, ssrc: u32, sequence: u16) -> Self {
        Candidate { from, ssrc, sequence, run: 1 }
    }

    /// Its next packet; gives how many in a row there have been.
    fn next(&mut self, ssrc: u32, sequence: u16) -> u32 {
        let step = sequence.wrapping_sub(self.sequence);
        let follows = self.ssrc == ssrc && (1..=PROBATION as u16).contains(&step);
        self.run = if follows { self.run.saturating_add(1) } else { 1 };
        self.ssrc = ssrc;
        self.sequence = sequence;
        self.run
    }
}

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Accept,
    /// Accept; from now on this is the source.
    Latched,
    /// Not yet known: it is not to be heard.
    Probation,
    Stranger,
}

impl Latch {
    pub(crate) fn new() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Latch {
            announced: nowhere,
            destination: nowhere,
            source: None,
            former: None,
            stream: None,
            rival: None,
            candidates: [None; CANDIDATES],
            turn: 0,
            attempts: 0,
        }
    }

    /// Opens the latch for what a description announces. If that is what it was, we go on sending where we did until
    /// somebody is latched.
    pub(crate) fn open(&mut self, announced: SocketAddr) {
        // Hold by an address of zeroes says nothing about where the peer is.
        if announced.ip().is_unspecified() || announced.port() == 0 {
            return;
        }
        if announced == self.announced {
            self.former = self.source.or(self.former);
        } else {
            self.former = None;
            self.destination = announced;
        }
        self.announced = announced;
        self.source = None;
        self.stream = None;
        self.rival = None;
        self.candidates = [None; CANDIDATES];
    }

    /// Where our packets go; `None` while nothing is known.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        (self.destination.port() != 0).then_some(self.destination)
    }

    /// The source, once it is known.
    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// Streams, not packets, that came from elsewhere while a source was latched.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// The source's stream has said goodbye: the next one may begin at once.
    pub(crate) fn stream_ends(&mut self) {
        self.stream = None;
    }

    /// Judges a packet.
    pub(crate) fn judge(&mut self, now: Instant, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        if Some(from) == self.source {
            return self.of_the_source(now, from, ssrc, sequence);
        }
        if self.source.is_none() && (from == self.announced || Some(from) == self.former) {
            return self.latch(now, from, ssrc);
        }
        let run = self.try_out(from, ssrc, sequence);
        let Some(_) = self.source else {
            return if run >= PROBATION { self.latch(now, from, ssrc) } else { Verdict::Probation };
        };
        if from == self.announced && run >= PROBATION {
            return self.latch(now, from, ssrc);
        }
        self.attempts += u64::from(run == PROBATION);
        Verdict::Stranger
    }

    fn of_the_source(&mut self, now: Instant, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        if let Some((known, last)) = self.stream
            && known != ssrc
        {
            let run = match &mut self.rival {
                Some(rival) => rival.next(ssrc, sequence),
                none => none.insert(Candidate::new(from, ssrc, sequence)).run,
            };
            let quiet = now.saturating_duration_since(last);
            if quiet < STOPPED && (run < PROBATION || quiet < GIVES_WAY) {
                return Verdict::Probation;
            }
        }
        self.rival = None;
        self.stream = Some((ssrc, now));
        Verdict::Accept
    }

    /// A packet of a source that nobody has announced, or not in this place; gives how many in a row it has sent.
    fn try_out(&mut self, from: SocketAddr, ssrc: u32, sequence: u16) -> u32 {
        if let Some(known) = self.candidates.iter_mut().flatten().find(|one| one.from == from) {
            return known.next(ssrc, sequence);
        }
        let (first, places) = match from.ip() == self.announced.ip() {
            true => (0, OF_THE_HOST),
            false => (OF_THE_HOST, CANDIDATES - OF_THE_HOST),
        };
        self.candidates[first + self.turn % places] = Some(Candidate::new(from, ssrc, sequence));
        self.turn = self.turn.wrapping_add(1);
        1
    }

    fn latch(&mut self, now: Instant, from: SocketAddr, ssrc: u32) -> Verdict {
        self.source = Some(from);
        self.destination = from;
        self.former = None;
        self.stream = Some((ssrc, now));
        self.rival = None;
        self.candidates = [None; CANDIDATES];
        Verdict::Latched
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], port))
    }

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_stream_gives_way_when_it_has_stopped_and_to_nobody_before() {
        let (began, peer) = (start(), address(1, 4_000));
        let at = |ms| began + Duration::from_millis(ms);
        let mut latch = Latch::new();
        latch.open(peer);
        assert_eq!(latch.judge(at(0), peer, 7, 1), Verdict::Latched);
        // Somebody who forges the source's address sends ten times as many packets as it does.
        for n in 1..50 {
            assert_eq!(latch.judge(at(20 * n), peer, 7, n as u16 + 1), Verdict::Accept);
            for more in 0..10 {
                assert_eq!(
                    latch.judge(at(20 * n + more), peer, 66, (10 * n + more) as u16),
                    Verdict::Probation
                );
            }
        }
        // The peer itself goes over to another stream: 40 ms of it are not heard.
        latch.open(peer);
        assert_eq!(latch.judge(at(1_000), peer, 7, 60), Verdict::Latched);
        let verdicts: Vec<_> = (0..4).map(|n| latch.judge(at(1_020 + 20 * n), peer, 8, n as u16)).collect();
        assert_eq!(verdicts, [Verdict::Probation, Verdict::Probation, Verdict::Accept, Verdict::Accept]);
        // After a pause, or a goodbye, nothing is lost of the next one.
        assert_eq!(latch.judge(at(1_200), peer, 9, 5), Verdict::Accept);
        latch.stream_ends();
        assert_eq!(latch.judge(at(1_201), peer, 10, 5), Verdict::Accept);
    }

    #[test]
    fn who_was_announced_comes_into_its_own() {
        let (now, announced, quick) = (start(), address(1, 4_000), address(66, 4_000));
        let mut latch = Latch::new();
        latch.open(announced);
        let verdicts: Vec<_> = (0..4).map(|n| latch.judge(now, quick, 6, n)).collect();
        assert_eq!(verdicts, [Verdict::Probation, Verdict::Probation, Verdict::Latched, Verdict::Accept]);
        assert_eq!(latch.destination(), Some(quick));
        let verdicts: Vec<_> = (0..4).map(|n| latch.judge(now, announced, 7, n)).collect();
        assert_eq!(verdicts, [Verdict::Stranger, Verdict::Stranger, Verdict::Latched, Verdict::Accept]);
        assert_eq!(latch.destination(), Some(announced));
        assert_eq!(latch.judge(now, quick, 6, 4), Verdict::Stranger);
    }

    #[test]
    fn a_crowd_of_strangers_does_not_push_out_who_is_on_the_right_host() {
        let (now, announced, real) = (start(), address(1, 4_000), address(1, 9_999));
        let mut latch = Latch::new();
        latch.open(announced);
        let mut verdicts = Vec::new();
        for n in 0..3 {
            for port in 0..1_000 {
                assert_eq!(latch.judge(now, address(66, port), 6, n * 77), Verdict::Probation);
            }
            verdicts.push(latch.judge(now, real, 7, n));
        }
        assert_eq!(verdicts[2], Verdict::Latched);
    }

    proptest! {
        /// Once the announced source is latched, no packets of anybody else, in whatever order, turn the call away.
        #[test]
        fn nobody_takes_a_call_over(
            packets in proptest::collection::vec((0u8..4, 0u32..3, 0u16..8, 0u64..30), 1..400),
        ) {
            let (began, peer) = (start(), address(1, 4_000));
            let mut latch = Latch::new();
            latch.open(peer);
            prop_assert_eq!(latch.judge(began, peer, 7, 0), Verdict::Latched);
            let mut now = began;
            for (who, ssrc, sequence, wait) in packets {
                now += Duration::from_millis(wait);
                let from = address(60 + who, 4_000);
                prop_assert_eq!(latch.judge(now, from, ssrc, sequence), Verdict::Stranger);
                prop_assert_eq!(latch.source(), Some(peer));
                prop_assert_eq!(latch.destination(), Some(peer));
            }
            prop_assert_eq!(latch.judge(now, peer, 7, 1), Verdict::Accept);
        }
    }
}
