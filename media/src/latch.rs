//! Symmetric RTP (RFC 4961): where the peer's packets really come from, and so where ours must go.
//!
//! Behind a NAT, and with some phones even without, packets come from an address other than the announced one. The announced source is
//! taken with its first packet; any other must first send a few in a row with one SSRC, so that a stray packet does not
//! turn the call away. Once latched, nobody else gets in, until a new offer or answer opens the latch again.

use std::net::SocketAddr;

/// Packets in a row that an unannounced source must send (RFC 3550 A.1 asks for two).
const PROBATION: u32 = 3;
/// Sources that are tried at a time.
const CANDIDATES: usize = 4;

pub(crate) struct Latch {
    announced: SocketAddr,
    /// Where our packets go.
    destination: SocketAddr,
    source: Option<SocketAddr>,
    /// The source before the latch was opened by a description that did not change the address.
    former: Option<SocketAddr>,
    candidates: [Option<Candidate>; CANDIDATES],
    turn: usize,
}

#[derive(Clone, Copy)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    sequence: u16,
    run: u32,
}

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Accept,
    /// Accept; from now on this is the source.
    Latched,
    /// Not yet known.
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
            candidates: [None; CANDIDATES],
            turn: 0,
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

    /// Judges a packet.
    pub(crate) fn judge(&mut self, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        if let Some(source) = self.source {
            return if from == source { Verdict::Accept } else { Verdict::Stranger };
        }
        if from == self.announced || Some(from) == self.former {
            return self.latch(from);
        }
        let known = self.candidates.iter_mut().flatten().find(|candidate| candidate.from == from);
        if let Some(candidate) = known {
            let step = sequence.wrapping_sub(candidate.sequence);
            let follows = candidate.ssrc == ssrc && (1..=PROBATION as u16).contains(&step);
            candidate.run = if follows { candidate.run + 1 } else { 1 };
            candidate.ssrc = ssrc;
            candidate.sequence = sequence;
            return if candidate.run >= PROBATION { self.latch(from) } else { Verdict::Probation };
        }
        self.candidates[self.turn] = Some(Candidate { from, ssrc, sequence, run: 1 });
        self.turn = (self.turn + 1) % CANDIDATES;
        Verdict::Probation
    }

    fn latch(&mut self, from: SocketAddr) -> Verdict {
        self.source = Some(from);
        self.destination = from;
        self.former = None;
        Verdict::Latched
    }
}
