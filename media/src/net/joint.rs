//! Lines joined: between each two, a ring of frames each way, made ahead, so that neither thread waits or allocates.
//!
//! When one end is dropped, however that comes, the other end sees it at its next tick.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};

use super::worker::CATCH_UP;
use crate::session::MediaSession;
use crate::{LEGS, Passed, Tap};

/// Frames in one direction: what a thread makes up for after a stall, and a bit.
const ROOM: usize = CATCH_UP as usize + 2;

/// One end between two lines.
pub(super) struct Joint {
    to: SyncSender<Passed>,
    from: Receiver<Passed>,
    /// What may change while it lasts; none of a bridge.
    terms: Option<Arc<Terms>>,
    end: End,
    /// What the session was last told to give.
    tap: Tap,
}

#[derive(Clone, Copy)]
enum End {
    First,
    Second,
}

/// What each of two lines gives the other, as their owner has last said.
#[derive(Debug, Default)]
struct Terms {
    first: AtomicU8,
    second: AtomicU8,
    over: AtomicBool,
}

/// Keeps one line attending another; made by [`Line::attend`](super::Line::attend). Dropped, they part.
#[derive(Debug)]
pub struct Attendance {
    terms: Arc<Terms>,
}

impl Attendance {
    /// From the next tick on: what the line that attends gives the other, and what it takes from it.
    pub fn set(&self, gives: Tap, takes: Tap) {
        self.terms.first.store(code(gives), Ordering::Release);
        self.terms.second.store(code(takes), Ordering::Release);
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.terms.over.store(true, Ordering::Release);
    }
}

impl Joint {
    /// The two ends of a bridge: either peer's voice goes to the other.
    pub(super) fn bridge() -> (Joint, Joint) {
        pair(None, Tap::Voice)
    }

    /// The two ends of an attendance, the end of who attends first.
    pub(super) fn attendance(gives: Tap, takes: Tap) -> (Attendance, Joint, Joint) {
        let attendance = Attendance { terms: Arc::default() };
        attendance.set(gives, takes);
        let (first, second) = pair(Some(&attendance.terms), Tap::Nothing);
        (attendance, first, second)
    }

    fn agreed(&self) -> Option<Tap> {
        let Some(terms) = &self.terms else { return Some(self.tap) };
        let ours = match self.end {
            End::First => &terms.first,
            End::Second => &terms.second,
        };
        (!terms.over.load(Ordering::Acquire)).then(|| tap(ours.load(Ordering::Acquire)))
    }
}

fn pair(terms: Option<&Arc<Terms>>, tap: Tap) -> (Joint, Joint) {
    let (to_second, from_first) = sync_channel(ROOM);
    let (to_first, from_second) = sync_channel(ROOM);
    let terms = || terms.cloned();
    let first = Joint { to: to_second, from: from_second, terms: terms(), end: End::First, tap };
    let second = Joint { to: to_first, from: from_first, terms: terms(), end: End::Second, tap };
    (first, second)
}

fn code(tap: Tap) -> u8 {
    match tap {
        Tap::Nothing => 0,
        Tap::Voice => 1,
        Tap::Both => 2,
    }
}

fn tap(code: u8) -> Tap {
    match code {
        1 => Tap::Voice,
        2 => Tap::Both,
        _ => Tap::Nothing,
    }
}

/// What a seat is joined with: by the first leg its bridge, by the others who attends.
#[derive(Default)]
pub(super) struct Joints {
    legs: [Option<Joint>; LEGS],
    /// Frames that the ring of the other side had no room for.
    pub(super) full: u64,
}

impl Joints {
    /// Bridges the seat, or parts it.
    pub(super) fn bridge(&mut self, session: &mut MediaSession, joint: Option<Joint>) {
        session.bridge(joint.is_some());
        self.legs[0] = joint;
    }

    /// False where as many attend as can.
    pub(super) fn attend(&mut self, session: &mut MediaSession, joint: Joint) -> bool {
        let Some(leg) = (1..LEGS).find(|leg| self.legs[*leg].is_none()) else { return false };
        session.join(leg, Some(joint.tap));
        self.legs[leg] = Some(joint);
        true
    }

    /// Gives the session what the others have passed since the last tick. True where the bridge has ended.
    pub(super) fn take(&mut self, session: &mut MediaSession) -> bool {
        let mut parted = false;
        for (leg, place) in self.legs.iter_mut().enumerate() {
            let Some(joint) = place else { continue };
            let agreed = joint.agreed();
            let is_there = loop {
                match joint.from.try_recv() {
                    Ok(passed) => session.feed_by(leg, passed),
                    Err(TryRecvError::Empty) => break true,
                    Err(TryRecvError::Disconnected) => break false,
                }
            };
            match agreed.filter(|_| is_there) {
                Some(tap) if tap == joint.tap => {}
                Some(tap) => {
                    joint.tap = tap;
                    session.tap(leg, tap);
                }
                None => {
                    *place = None;
                    session.join(leg, None);
                    parted |= leg == 0;
                }
            }
        }
        parted
    }

    /// Passes on what the tick has made.
    pub(super) fn pass(&mut self, session: &mut MediaSession) {
        for (leg, joint) in self.legs.iter().enumerate() {
            if let (Some(joint), Some(passed)) = (joint, session.poll_passed_by(leg))
                && let Err(TrySendError::Full(_)) = joint.to.try_send(passed)
            {
                self.full += 1;
            }
        }
    }
}
