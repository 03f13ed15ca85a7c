//! Things of one kind: by id, and in the lists that the API shows, the newest first.
//!
//! A thing names the lists in which it stands (`acct_…`, `acct_…/agent=agt_…`), and each is one stretch of an index ordered by
//! the time of creation and the id. So a page costs the same however long the list is, and a cursor is a place in that
//! order, which stays what it is while things are added, changed and removed.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tables::Visitor;
use super::{Store, StoreError, decode, encode};

/// Things that one page may look at to fill itself where a filter has no list of its own.
const LOOKED_AT: usize = 2_000;

/// A kind of thing.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// Of the table: id to value.
    const TABLE: &'static str;
    /// Of the index: list, creation (µs), id.
    const LISTS: &'static str;

    fn id(&self) -> &str;
    /// What it is listed by: the time of its creation, or of its last change for what moves to the top then.
    fn created_at(&self) -> DateTime<Utc>;
    /// The lists in which it now stands.
    fn lists(&self) -> Vec<String>;
}

type Index<'a> = TableDefinition<'a, (&'static str, u64, &'static str), ()>;

fn table<T: Kept>() -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(T::TABLE)
}

fn index<T: Kept>() -> Index<'static> {
    TableDefinition::new(T::LISTS)
}

/// Where in a list a page ended. Opaque to clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    at: u64,
    id: String,
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Cursor {
    /// For lists that do not lie here, whose places are numbered otherwise.
    pub fn new(at: u64, id: impl Into<String>) -> Self {
        Self { at, id: id.into() }
    }

    /// As given to [`new`](Self::new).
    pub fn place(&self) -> u64 {
        self.at
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(format!("{:x}.{}", self.at, self.id)))
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
            let (at, id) = str::from_utf8(&bytes).ok()?.split_once('.')?;
            Some(Self { at: u64::from_str_radix(at, 16).ok()?, id: id.to_owned() })
        };
        read().ok_or_else(|| "is no cursor that a page of this list ended with".to_owned())
    }
}

/// Part of a list, the newest first.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last. A page may be short, even empty, and still have a next one: a filter without
    /// a list of its own looks at no more than so many things at a time.
    pub next: Option<Cursor>,
}

/// Names the two tables of a kind.
pub(super) fn visit<T: Kept>(visitor: &mut impl Visitor) -> Result<(), StoreError> {
    visitor.table(table::<T>())?;
    visitor.table(index::<T>())
}

/// A value of few as it stands in the name of a list: as on the wire.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("{other:?} is no word"),
    }
}

/// Writes a thing, and gives back what stood there before.
pub(super) fn put<T: Kept>(transaction: &WriteTransaction, thing: &T) -> Result<Option<T>, StoreError> {
    let mut things = transaction.open_table(table::<T>())?;
    let before: Option<T> = match things.insert(thing.id(), encode(thing)?.as_slice())? {
        Some(old) => Some(decode(old.value())?),
        None => None,
    };
    let (old, new) = (before.as_ref().map(T::lists).unwrap_or_default(), thing.lists());
    let mut index = transaction.open_table(index::<T>())?;
    // What is listed by its last change stands elsewhere in each list now.
    let has_moved = before.as_ref().is_some_and(|before| before.created_at() != thing.created_at());
    if let Some(before) = &before {
        for list in old.iter().filter(|list| has_moved || !new.contains(list)) {
            index.remove((list.as_str(), micros(before.created_at()), before.id()))?;
        }
    }
    for list in new.iter().filter(|list| has_moved || !old.contains(list)) {
        index.insert((list.as_str(), micros(thing.created_at()), thing.id()), ())?;
    }
    Ok(before)
}

pub(super) fn remove<T: Kept>(transaction: &WriteTransaction, id: &str) -> Result<Option<T>, StoreError> {
    let mut things = transaction.open_table(table::<T>())?;
    let Some(thing) = things.remove(id)?.map(|old| decode::<T>(old.value())).transpose()? else {
        return Ok(None);
    };
    let mut index = transaction.open_table(index::<T>())?;
    for list in thing.lists() {
        index.remove((list.as_str(), micros(thing.created_at()), thing.id()))?;
    }
    Ok(Some(thing))
}

/// Inside a transaction that writes.
pub(super) fn get_to_change<T: Kept>(
    transaction: &WriteTransaction,
    id: &str,
) -> Result<Option<T>, StoreError> {
    let value = transaction.open_table(table::<T>())?.get(id)?.map(|value| value.value().to_vec());
    value.map(|bytes| decode(&bytes)).transpose()
}

pub(super) fn get<T: Kept>(transaction: &ReadTransaction, id: &str) -> Result<Option<T>, StoreError> {
    let things = match transaction.open_table(table::<T>()) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    things.get(id)?.map(|value| decode(value.value())).transpose()
}

/// Those of `list` that fit, behind `after`, at most `limit`.
pub(super) fn page<T: Kept>(
    transaction: &ReadTransaction,
    list: &str,
    after: Option<&Cursor>,
    limit: usize,
    fits: impl Fn(&T) -> bool,
) -> Result<Page<T>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    let (index, things) = (transaction.open_table(index::<T>())?, transaction.open_table(table::<T>())?);
    let (at, id) = after.map_or((u64::MAX, ""), |cursor| (cursor.at, cursor.id.as_str()));
    let mut last = None;
    for (looked_at, entry) in index.range((list, 0, "")..(list, at, id))?.rev().enumerate() {
        if page.items.len() == limit || looked_at == LOOKED_AT.max(limit) {
            page.next = last;
            break;
        }
        let (key, _) = entry?;
        let (_, at, id) = key.value();
        if let Some(thing) =
            things.get(id)?.map(|value| decode::<T>(value.value())).transpose()?.filter(&fits)
        {
            page.items.push(thing);
        }
        last = Some(Cursor { at, id: id.to_owned() });
    }
    Ok(page)
}

/// Those of `list` inside a transaction that writes, the oldest first, at most `limit`.
pub(super) fn oldest_to_change<T: Kept>(
    transaction: &WriteTransaction,
    list: &str,
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let (index, things) = (transaction.open_table(index::<T>())?, transaction.open_table(table::<T>())?);
    let mut found = Vec::new();
    for entry in index.range((list, 0, "")..(list, u64::MAX, ""))?.take(limit) {
        let (key, _) = entry?;
        if let Some(value) = things.get(key.value().2)? {
            found.push(decode(value.value())?);
        }
    }
    Ok(found)
}

/// Every one, in no order: for what the memory holds as a whole.
pub(super) fn all<T: Kept>(transaction: &ReadTransaction) -> Result<Vec<T>, StoreError> {
    transaction.open_table(table::<T>())?.iter()?.map(|entry| decode(entry?.1.value())).collect()
}

/// Every one, inside a transaction that writes.
pub(super) fn all_to_change<T: Kept>(transaction: &WriteTransaction) -> Result<Vec<T>, StoreError> {
    transaction.open_table(table::<T>())?.iter()?.map(|entry| decode(entry?.1.value())).collect()
}

impl Store {
    /// Several changes, together or not at all. Blocks until it is on disk.
    pub(super) fn change<T>(
        &self,
        act: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = self.shelf.change(act)?;
        self.changed.notify_one();
        Ok(outcome)
    }
}

fn micros(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::Make;

    #[derive(serde::Serialize, serde::Deserialize, Clone, PartialEq, Debug)]
    struct Pebble {
        id: String,
        second: i64,
        colour: String,
    }

    impl Kept for Pebble {
        const TABLE: &'static str = "pebbles";
        const LISTS: &'static str = "pebbles_lists";
        fn id(&self) -> &str {
            &self.id
        }
        fn created_at(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH + chrono::Duration::seconds(self.second)
        }
        fn lists(&self) -> Vec<String> {
            vec!["all".into(), format!("all/colour={}", self.colour)]
        }
    }

    fn pebble(n: i64, colour: &str) -> Pebble {
        Pebble { id: format!("p{n}"), second: n / 2, colour: colour.into() }
    }

    fn listed(
        store: &Store,
        list: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> (Vec<String>, Option<Cursor>) {
        let page = page::<Pebble>(&store.begin_read().unwrap(), list, after, limit, |_| true).unwrap();
        (page.items.into_iter().map(|pebble| pebble.id).collect(), page.next)
    }

    #[test]
    fn pages_follow_one_another_while_things_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.change(|tx| visit::<Pebble>(&mut Make(tx))).unwrap();
        store.change(|tx| (1..=6).try_for_each(|n| put(tx, &pebble(n, "red")).map(drop))).unwrap();
        let (first, cursor) = listed(&store, "all", None, 2);
        assert_eq!(first, ["p6", "p5"]);
        let cursor: Cursor = cursor.unwrap().to_string().parse().unwrap();
        store.change(|tx| put(tx, &pebble(9, "red")).and_then(|_| remove::<Pebble>(tx, "p5"))).unwrap();
        let (second, cursor) = listed(&store, "all", Some(&cursor), 3);
        assert_eq!(second, ["p4", "p3", "p2"]);
        assert_eq!(listed(&store, "all", cursor.as_ref(), 3), (vec!["p1".into()], None));
        assert!("nonsense".parse::<Cursor>().is_err());
    }

    #[test]
    fn a_thing_whose_time_changes_moves_to_the_top() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.change(|tx| visit::<Pebble>(&mut Make(tx))).unwrap();
        store.change(|tx| (1..=4).try_for_each(|n| put(tx, &pebble(n, "red")).map(drop))).unwrap();
        store.change(|tx| put(tx, &Pebble { second: 9, ..pebble(1, "red") })).unwrap();
        assert_eq!(listed(&store, "all", None, 9).0, ["p1", "p4", "p3", "p2"]);
    }

    #[test]
    fn a_thing_moves_between_its_lists() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.change(|tx| visit::<Pebble>(&mut Make(tx))).unwrap();
        store.change(|tx| put(tx, &pebble(1, "red"))).unwrap();
        let before = store.change(|tx| put(tx, &pebble(1, "blue"))).unwrap();
        assert_eq!(before, Some(pebble(1, "red")));
        assert_eq!(listed(&store, "all/colour=red", None, 9).0, Vec::<String>::new());
        assert_eq!(listed(&store, "all/colour=blue", None, 9).0, ["p1"]);
    }
}
