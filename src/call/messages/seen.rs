//! Which messages have come already. A sender whose answer was lost tries again, and must not be read twice.
//!
//! The SIP stack knows a request for as long as its transaction lives, some 32 s; this remembers longer, in a room of fixed
//! size: when it is full the oldest is forgotten.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use sip::IncomingMessage;

use crate::domain::MessageId;

/// How many are remembered.
const ROOM: usize = 4096;

/// A message, as its sender would repeat it. The hash is keyed anew at each start, so nobody can aim at another's.
pub(super) type Key = u64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// Never, or too long ago.
    New,
    /// It is being written.
    Pending,
    Stored,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    hasher: RandomState,
    /// `true`: stored.
    known: HashMap<Key, bool>,
    order: VecDeque<Key>,
}

impl Memory {
    /// Call-ID, CSeq and the tag in From are what a repetition keeps (RFC 3261 §8.2.2.2); `sender` keeps the trunks apart.
    pub(super) fn key(&self, sender: &str, message: &IncomingMessage) -> Key {
        self.hasher.hash_one((sender, &message.call_id, message.from.tag(), message.header("CSeq")))
    }

    /// Of one that has an id of its own, by which it is told again.
    pub(super) fn key_of(&self, id: &MessageId) -> Key {
        self.hasher.hash_one(id)
    }

    /// What is known of it; from now on, that it came.
    pub(super) fn note(&mut self, key: Key) -> Seen {
        match self.known.get(&key) {
            Some(true) => return Seen::Stored,
            Some(false) => return Seen::Pending,
            None => {}
        }
        if self.order.len() >= ROOM
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key);
        self.known.insert(key, false);
        Seen::New
    }

    pub(super) fn stored(&mut self, key: Key) {
        if let Some(stored) = self.known.get_mut(&key) {
            *stored = true;
        }
    }

    /// It could not be kept: the next try is a first one.
    pub(super) fn forget(&mut self, key: Key) {
        self.known.remove(&key);
        self.order.retain(|one| *one != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_known_until_the_room_is_needed() {
        let mut memory = Memory::default();
        assert_eq!((memory.note(7), memory.note(7)), (Seen::New, Seen::Pending));
        memory.stored(7);
        assert_eq!(memory.note(7), Seen::Stored);
        memory.forget(7);
        assert_eq!(memory.note(7), Seen::New);
        for key in 100..100 + ROOM as u64 {
            assert_eq!(memory.note(key), Seen::New);
        }
        assert_eq!((memory.known.len(), memory.order.len()), (ROOM, ROOM));
        assert_eq!(memory.note(7), Seen::New, "the oldest is forgotten");
    }
}
