//! How many calls may be up, and how fast they may begin. The queue asks before each.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Guards, Refusal};
use crate::domain::KeyId;

const MINUTE: Duration = Duration::from_secs(60);

/// Outbound calls that are up, being placed or just placed. `None` stands for the gateway itself, as a key among others.
#[derive(Default, Debug)]
pub struct Pacer {
    began: VecDeque<(Instant, Option<KeyId>)>,
    up: HashMap<Option<KeyId>, u32>,
}

impl Pacer {
    /// Whether one more call may begin now. `max_calls`: what the key itself is limited to; `lines`: those of the box.
    ///
    /// # Errors
    /// Says which limit is reached. Where only time is needed, [`Refusal::retry_after`] says how much; otherwise a call must end.
    pub fn room(
        &self,
        guards: &Guards,
        key: Option<&KeyId>,
        max_calls: Option<u32>,
        lines: usize,
        now: Instant,
    ) -> Result<(), Refusal> {
        let (of_box, of_key) = guards.max_calls(max_calls, lines);
        if self.up.values().sum::<u32>() >= of_box {
            return Err(Refusal::BoxCalls { most: of_box });
        }
        if self.up_with(key) >= of_key {
            return Err(Refusal::KeyCalls { most: of_key });
        }
        let (box_pace, key_pace) = guards.pace();
        let recent = || self.began.iter().filter(|(at, _)| now.saturating_duration_since(*at) < MINUTE);
        // When so many have begun within a minute, the next may begin when the oldest of the last `most` is a minute old.
        let wait = |times: Vec<Instant>, most: u32| {
            let over = times.len().checked_sub(usize::try_from(most).unwrap_or(usize::MAX))?;
            Some(MINUTE.saturating_sub(now.saturating_duration_since(times[over])))
        };
        let of_all = recent().map(|(at, _)| *at).collect();
        if let Some((most, wait)) = box_pace.and_then(|most| Some((most, wait(of_all, most)?))) {
            return Err(Refusal::BoxPace { most, wait });
        }
        let own = recent().filter(|(_, of)| of.as_ref() == key).map(|(at, _)| *at).collect();
        if let Some((most, wait)) = key_pace.and_then(|most| Some((most, wait(own, most)?))) {
            return Err(Refusal::KeyPace { most, wait });
        }
        Ok(())
    }

    /// A call begins: it is up until [`ended`](Self::ended).
    pub fn began(&mut self, key: Option<KeyId>, now: Instant) {
        while self.began.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= MINUTE) {
            self.began.pop_front();
        }
        *self.up.entry(key.clone()).or_default() += 1;
        self.began.push_back((now, key));
    }

    /// A call that had begun is over.
    pub fn ended(&mut self, key: Option<&KeyId>) {
        let key = key.cloned();
        if let Some(up) = self.up.get_mut(&key) {
            *up = up.saturating_sub(1);
            if *up == 0 {
                self.up.remove(&key);
            }
        }
    }

    /// Calls that are up with this key.
    pub fn up_with(&self, key: Option<&KeyId>) -> u32 {
        self.up.get(&key.cloned()).copied().unwrap_or(0)
    }
}
