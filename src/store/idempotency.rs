//! Requests that are carried out once: by account and the `Idempotency-Key` that the client chose, for a day.
//!
//! The database decides who is first: of two that come at once, one transaction comes after the other and finds it there.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Duration, Utc};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, decode, encode};
use crate::domain::AccountId;

/// Account and the client's key, to what is known of the request.
pub(super) const ONCE: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("idempotency");
/// When it came (µs), account and key: the oldest first.
pub(super) const ONCE_BY_TIME: TableDefinition<(u64, &str, &str), ()> =
    TableDefinition::new("idempotency_by_time");

/// What is kept longer than a client repeats itself.
const KEPT: Duration = Duration::hours(24);
/// Old ones that one new one takes away: more than come in, so that they do not pile up.
const TAKEN_AWAY: usize = 16;

/// An answer, as it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptAnswer {
    pub status: u16,
    pub content_type: Option<String>,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// What the database says to a request with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// Carry it out, then [`Store::answer_once`] or [`Store::forget_once`].
    First,
    /// Another one carries it out just now.
    Running,
    /// A process that ended had begun it; nobody knows how far it came.
    Interrupted,
    /// The key was used for something else.
    Different,
    Answered(KeptAnswer),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    at: DateTime<Utc>,
    /// Of the process that began it.
    process: u64,
    /// SHA-256 of what was asked.
    fingerprint: String,
    answer: Option<Answer>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
    /// Base 64.
    body: String,
}

impl Store {
    /// Whether this request is to be carried out. `process` is another one after each start.
    pub fn begin_once(
        &self,
        account: &AccountId,
        key: &str,
        fingerprint: &str,
        process: u64,
        now: DateTime<Utc>,
    ) -> Result<Begun, StoreError> {
        let account = account.as_str();
        self.change(|tx| {
            take_away_old(tx, now)?;
            let found = tx.open_table(ONCE)?.get((account, key))?.map(|kept| decode::<Kept>(kept.value()));
            if let Some(kept) = found.transpose()?.filter(|kept| !is_old(kept.at, now)) {
                return Ok(judged(kept, fingerprint, process));
            }
            let kept = Kept { at: now, process, fingerprint: fingerprint.to_owned(), answer: None };
            tx.open_table(ONCE)?.insert((account, key), encode(&kept)?.as_slice())?;
            tx.open_table(ONCE_BY_TIME)?.insert((micros(now), account, key), ())?;
            Ok(Begun::First)
        })
    }

    /// What was answered, for whoever asks again.
    pub fn answer_once(&self, account: &AccountId, key: &str, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.change(|tx| {
            let mut table = tx.open_table(ONCE)?;
            let found = table.get((account.as_str(), key))?.map(|kept| decode::<Kept>(kept.value()));
            let Some(mut kept) = found.transpose()? else { return Ok(()) };
            let KeptAnswer { status, content_type, location, body } = answer.clone();
            kept.answer = Some(Answer { status, content_type, location, body: BASE64_STANDARD.encode(body) });
            table.insert((account.as_str(), key), encode(&kept)?.as_slice())?;
            Ok(())
        })
    }

    /// It came to nothing: whoever asks again is the first.
    pub fn forget_once(&self, account: &AccountId, key: &str) -> Result<(), StoreError> {
        self.change(|tx| take_away(tx, account.as_str(), key))
    }
}

fn judged(kept: Kept, fingerprint: &str, process: u64) -> Begun {
    match kept.answer {
        _ if kept.fingerprint != fingerprint => Begun::Different,
        Some(Answer { status, content_type, location, body }) => {
            let body = BASE64_STANDARD.decode(body).unwrap_or_default();
            Begun::Answered(KeptAnswer { status, content_type, location, body })
        }
        None if kept.process == process => Begun::Running,
        None => Begun::Interrupted,
    }
}

fn is_old(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - at >= KEPT
}

fn take_away_old(tx: &WriteTransaction, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut old = Vec::new();
    {
        let by_time = tx.open_table(ONCE_BY_TIME)?;
        for entry in by_time.range(..(micros(now - KEPT) + 1, "", ""))?.take(TAKEN_AWAY) {
            let (key, _) = entry?;
            let (_, account, key) = key.value();
            old.push((account.to_owned(), key.to_owned()));
        }
    }
    old.iter().try_for_each(|(account, key)| take_away(tx, account, key))
}

fn take_away(tx: &WriteTransaction, account: &str, key: &str) -> Result<(), StoreError> {
    let removed = tx.open_table(ONCE)?.remove((account, key))?.map(|kept| decode::<Kept>(kept.value()));
    if let Some(kept) = removed.transpose()? {
        tx.open_table(ONCE_BY_TIME)?.remove((micros(kept.at), account, key))?;
    }
    Ok(())
}

fn micros(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use redb::ReadableTableMetadata;

    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(9) + Duration::hours(hour)
    }

    fn answer() -> KeptAnswer {
        let (content_type, body) = (Some("application/json".to_owned()), b"{}".to_vec());
        KeptAnswer { status: 201, content_type, location: None, body }
    }

    #[test]
    fn the_first_is_carried_out_and_the_others_get_its_answer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let house = AccountId::house();
        let begin = |account: &AccountId, fingerprint: &str, process, hour| {
            store.begin_once(account, "k", fingerprint, process, at(hour)).unwrap()
        };
        assert_eq!(begin(&house, "a", 1, 0), Begun::First);
        assert_eq!(begin(&house, "a", 1, 0), Begun::Running);
        assert_eq!(begin(&house, "b", 1, 0), Begun::Different);
        assert_eq!(begin(&house, "a", 2, 0), Begun::Interrupted);
        assert_eq!(begin(&AccountId::from_random([1; 10]), "b", 1, 0), Begun::First);
        store.answer_once(&house, "k", &answer()).unwrap();
        assert_eq!(begin(&house, "a", 2, 23), Begun::Answered(answer()));
        assert_eq!(begin(&house, "b", 1, 24), Begun::First);
    }

    #[test]
    fn what_came_to_nothing_may_be_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let house = AccountId::house();
        assert_eq!(store.begin_once(&house, "k", "a", 1, at(0)).unwrap(), Begun::First);
        store.forget_once(&house, "k").unwrap();
        assert_eq!(store.begin_once(&house, "k", "b", 1, at(0)).unwrap(), Begun::First);
    }

    #[test]
    fn old_ones_are_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let house = AccountId::house();
        for n in 0..40 {
            store.begin_once(&house, &format!("k{n}"), "a", 1, at(0)).unwrap();
        }
        for n in 0..4 {
            store.begin_once(&house, &format!("new{n}"), "a", 1, at(25)).unwrap();
        }
        let read = store.begin_read().unwrap();
        assert_eq!(read.open_table(ONCE).unwrap().len().unwrap(), 4);
        assert_eq!(read.open_table(ONCE_BY_TIME).unwrap().len().unwrap(), 4);
    }

    #[test]
    fn of_many_at_once_one_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let begun: Vec<Begun> = std::thread::scope(|scope| {
            let begin = || store.begin_once(&AccountId::house(), "k", "a", 1, at(0)).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(begun.iter().filter(|begun| **begun == Begun::First).count(), 1, "{begun:?}");
    }
}
