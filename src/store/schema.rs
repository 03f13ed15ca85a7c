//! The schema's version, and the way from each older one to this.
//!
//! An older database is copied before it is changed (`offhook.redb.schema-1` beside it), and changed in one transaction: a
//! process that is killed meanwhile leaves the old one, and the next begins anew. A newer one is left alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use redb::{
    Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, TableHandle, WriteTransaction,
};
use serde_json::{Map, Value, json};

use super::collection::put;
use super::record::put_call;
use super::tables::{Make, visit};
use super::{OpenError, StoreError, decode, events, sound};
use crate::domain::{AccountId, Call, CallId, Event, Message, Recording};

/// Whole numbers about the database itself.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";

/// What this program writes.
pub(super) const CURRENT: u64 = 2;
/// The first had no [`META`].
const FIRST: u64 = 1;
type Step = fn(&WriteTransaction, &Path) -> Result<(), StoreError>;
/// `STEPS[0]` leads from 1 to 2, and so on.
const STEPS: [Step; CURRENT as usize - FIRST as usize] = [first_to_second];

/// Memory for pages of the database, bytes.
const CACHE: usize = 128 << 20;

/// As it is; made where there is none.
pub(super) fn open_as_it_is(path: &Path) -> Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(CACHE).create(path)
}

fn open_alone(path: &Path) -> Result<Database, OpenError> {
    open_as_it_is(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.to_owned()),
        other => OpenError::Database { path: path.to_owned(), reason: other.to_string() },
    })
}

/// Fails where there is no database, or one of another schema.
pub(super) fn expect_present(path: &Path) -> Result<(), OpenError> {
    let failed = |reason: String| OpenError::Database { path: path.to_owned(), reason };
    if !path.exists() {
        return Err(failed("it is not there".into()));
    }
    match version(&open_alone(path)?).map_err(|error| failed(error.to_string()))? {
        Some(found) if found < CURRENT => Err(failed(format!(
            "it is of schema {found}; `offhook serve` copies it and brings it to schema {CURRENT}"
        ))),
        _ => Ok(()),
    }
}

/// Opens a database, and brings it to the present schema.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    let failed = |reason: String| OpenError::Database { path: path.to_owned(), reason };
    let mut database = open_alone(path)?;
    let found = version(&database).map_err(|error| failed(error.to_string()))?;
    if let Some(found) = found.filter(|found| *found > CURRENT) {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: CURRENT });
    }
    if let Some(found) = found.filter(|found| *found < CURRENT) {
        // A file that is closed cleanly can be copied.
        database.close().map_err(|error| failed(error.to_string()))?;
        let copy = aside(path, found);
        copy_file(path, &copy).map_err(|error| {
            failed(format!("it has to be copied to {} before it is changed: {error}", copy.display()))
        })?;
        tracing::warn!(from = found, to = CURRENT, copy = %copy.display(), "the database is brought to the present schema");
        database = open_alone(path)?;
    }
    bring(&database, found, path.parent().unwrap_or(path)).map_err(|error| failed(error.to_string()))?;
    Ok(database)
}

/// `None`: nothing was ever written.
fn version(database: &Database) -> Result<Option<u64>, StoreError> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(meta) => Ok(meta.get(SCHEMA)?.map(|version| version.value())),
        Err(TableError::TableDoesNotExist(_)) => {
            Ok(transaction.list_tables()?.any(|table| table.name() == old::CALLS.name()).then_some(FIRST))
        }
        Err(error) => Err(error.into()),
    }
}

fn bring(database: &Database, found: Option<u64>, data: &Path) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    if let Some(found) = found {
        for step in &STEPS[usize::try_from(found - FIRST).unwrap_or(0)..] {
            step(&transaction, data)?;
        }
    }
    visit(&mut Make(&transaction))?;
    transaction.open_table(META)?.insert(SCHEMA, CURRENT)?;
    transaction.commit()?;
    Ok(())
}

/// The name of the copy of a database of this schema.
fn aside(path: &Path, version: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{version}"));
    name.into()
}

/// On disk under its name when this returns, or not there at all.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let half = to.with_extension("half");
    std::fs::copy(from, &half)?;
    File::open(&half)?.sync_all()?;
    std::fs::rename(&half, to)?;
    match to.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Tables of the first schema.
mod old {
    use redb::TableDefinition;

    type Things = TableDefinition<'static, &'static str, &'static [u8]>;

    pub(super) const CALLS: Things = TableDefinition::new("calls");
    pub(super) const CALLS_ASIDE: Things = TableDefinition::new("calls_of_schema_1");
    pub(super) const CALLS_BY_TIME: TableDefinition<(u64, &str), ()> = TableDefinition::new("calls_by_time");
    pub(super) const MESSAGES: Things = TableDefinition::new("messages");
    pub(super) const MESSAGES_ASIDE: Things = TableDefinition::new("messages_of_schema_1");
    pub(super) const MESSAGES_BY_TIME: TableDefinition<(u64, &str), ()> =
        TableDefinition::new("messages_by_time");
    pub(super) const MESSAGES_BY_NUMBER: TableDefinition<(&str, u64, &str), ()> =
        TableDefinition::new("messages_by_number");
    pub(super) const MESSAGES_QUEUED: TableDefinition<&str, ()> = TableDefinition::new("messages_queued");
    /// Whose data stood beside the head.
    pub(super) const EVENTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("events");
}

/// Recordings and words apart from the record, by account; lists for every filter; events that hold their data apart, and are found by account.
fn first_to_second(transaction: &WriteTransaction, data: &Path) -> Result<(), StoreError> {
    sound::move_under(data, &AccountId::house())?;
    let kept = sound::recordings_under(data, &AccountId::house())?;
    transaction.open_table(old::CALLS)?;
    transaction.rename_table(old::CALLS, old::CALLS_ASIDE)?;
    for entry in transaction.open_table(old::CALLS_ASIDE)?.iter()? {
        let mut call: Call = decode(entry?.1.value())?;
        let parts = (call.id.clone(), 0)..=(call.id.clone(), u32::MAX);
        call.recordings = kept.range(parts).map(|(_, recording)| *recording).collect();
        put_call(transaction, &call)?;
    }
    transaction.open_table(old::MESSAGES)?;
    transaction.rename_table(old::MESSAGES, old::MESSAGES_ASIDE)?;
    for entry in transaction.open_table(old::MESSAGES_ASIDE)?.iter()? {
        put::<Message>(transaction, &decode(entry?.1.value())?)?;
    }
    {
        let events = transaction.open_table(old::EVENTS)?;
        let mut places = Vec::new();
        for entry in events.iter()? {
            let (key, value) = entry?;
            let event = with_data_apart(decode(value.value())?, &kept)?;
            places.push((event.at, key.value().0.to_owned(), key.value().1));
        }
        // As they happened.
        places.sort_unstable();
        for (_, subject, seq) in places {
            if let Some(value) = events.get((subject.as_str(), seq))? {
                events::tell(transaction, &[with_data_apart(decode(value.value())?, &kept)?])?;
            }
        }
    }
    transaction.delete_table(old::CALLS_ASIDE)?;
    transaction.delete_table(old::CALLS_BY_TIME)?;
    transaction.delete_table(old::MESSAGES_ASIDE)?;
    transaction.delete_table(old::MESSAGES_BY_TIME)?;
    transaction.delete_table(old::MESSAGES_BY_NUMBER)?;
    transaction.delete_table(old::MESSAGES_QUEUED)?;
    transaction.delete_table(old::EVENTS)?;
    Ok(())
}

fn with_data_apart(
    mut flat: Map<String, Value>,
    kept: &BTreeMap<(CallId, u32), Recording>,
) -> Result<Event, StoreError> {
    let head = ["call_id", "message_id", "seq", "at", "type"];
    let mut event: Map<String, Value> = head.iter().filter_map(|name| flat.remove_entry(*name)).collect();
    if event.get("type") == Some(&json!("call.recording.ready")) {
        let path = flat.remove("path").unwrap_or_default();
        let file = path.as_str().and_then(|path| path.rsplit('/').next());
        let named = file.and_then(sound::call_and_part);
        let Recording { part, bytes } = named
            .and_then(|named| kept.get(&named).copied())
            // It was removed since.
            .unwrap_or(Recording { part: 0, bytes: 0 });
        flat.extend([("part".to_owned(), json!(part)), ("bytes".to_owned(), json!(bytes))]);
    }
    event.insert("account_id".into(), json!(AccountId::house()));
    event.insert("data".into(), Value::Object(flat));
    Ok(serde_json::from_value(Value::Object(event))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EndReason, EventKind, MessageId, MessageStatus, Status};
    use crate::store::{CallFilter, MessageFilter, Store, VERSION};

    fn value(json: &Value) -> Vec<u8> {
        [vec![VERSION], json.to_string().into_bytes()].concat()
    }

    /// As the first schema was written: a call and its events, a message that came and one on its way.
    fn write_first_schema(path: &Path) -> (CallId, [MessageId; 2]) {
        let call = CallId::from_random([1; 10]);
        let messages = [2, 3].map(|n| MessageId::from_random([n; 10]));
        let database = Database::create(path).unwrap();
        let tx = database.begin_write().unwrap();
        {
            let record = json!({
                "id": call, "direction": "inbound", "status": "completed", "from": "+14155550123", "to": "+15550100001",
                "agent": "desk", "trunk": "lan", "created_at": "2026-01-01T00:00:00Z", "answered_at": "2026-01-01T00:00:01Z",
                "ended_at": "2026-01-01T00:00:09Z", "duration_ms": 0, "end_reason": "caller_hung_up", "fault": "none",
                "sip_status": null, "turns": [], "digits": "5", "line": null, "recording": format!("data/recordings/{call}.wav"),
                "transcript": [{ "speaker": "agent", "text": "Hello.", "at_ms": 0 }],
            });
            let mut calls = tx.open_table(old::CALLS).unwrap();
            calls.insert(call.as_str(), value(&record).as_slice()).unwrap();
            tx.open_table(old::CALLS_BY_TIME).unwrap().insert((9, call.as_str()), ()).unwrap();
            let message = |id: &MessageId, status: &str, direction: &str| {
                json!({
                    "id": id, "number": "+15550100001", "direction": direction, "status": status, "from": "+14155550123",
                    "to": "+15550100001", "content_type": "text/plain", "text": "hello", "trunk": "lan", "in_call": null,
                    "created_at": "2026-01-01T00:00:03Z", "settled_at": null, "tries": 0, "sip_status": null, "reason": null,
                })
            };
            let [received, queued] =
                [message(&messages[0], "received", "inbound"), message(&messages[1], "queued", "outbound")];
            let mut table = tx.open_table(old::MESSAGES).unwrap();
            table.insert(messages[0].as_str(), value(&received).as_slice()).unwrap();
            table.insert(messages[1].as_str(), value(&queued).as_slice()).unwrap();
            tx.open_table(old::MESSAGES_BY_TIME).unwrap();
            tx.open_table(old::MESSAGES_BY_NUMBER).unwrap();
            tx.open_table(old::MESSAGES_QUEUED).unwrap().insert(messages[1].as_str(), ()).unwrap();
            let mut events = tx.open_table(old::EVENTS).unwrap();
            for (seq, at, mut event) in [
                (1, 1, json!({ "type": "call.dtmf", "digit": "5", "duration_ms": 80 })),
                (
                    2,
                    9,
                    json!({ "type": "call.ended", "status": "completed", "end_reason": "caller_hung_up",
                    "fault": "none", "sip_status": null, "duration_ms": 0 }),
                ),
                (
                    3,
                    9,
                    json!({ "type": "call.recording.ready", "path": format!("data/recordings/{call}.wav"),
                    "duration_ms": 8000 }),
                ),
            ] {
                event["call_id"] = json!(call);
                event["seq"] = json!(seq);
                event["at"] = json!(format!("2026-01-01T00:00:0{at}Z"));
                events.insert((call.as_str(), seq), value(&event).as_slice()).unwrap();
            }
            let mut event = received;
            event["type"] = json!("message.received");
            event["message_id"] = json!(messages[0]);
            event["seq"] = json!(1);
            event["at"] = json!("2026-01-01T00:00:03Z");
            events.insert((messages[0].as_str(), 1), value(&event).as_slice()).unwrap();
        }
        tx.commit().unwrap();
        (call, messages)
    }

    #[test]
    fn the_first_schema_is_copied_and_then_brought_to_the_present_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offhook.redb");
        let (call, messages) = write_first_schema(&path);
        let recordings = folder.path().join("recordings");
        std::fs::create_dir_all(&recordings).unwrap();
        std::fs::write(recordings.join(format!("{call}.wav")), [7; 60]).unwrap();
        std::fs::write(recordings.join("of the operator.wav"), "").unwrap();
        let store = Store::open(folder.path()).unwrap();
        let house = AccountId::house();
        let recording = Recording { part: 0, bytes: 60 };
        assert_eq!(store.recording(&house, &call, 0).unwrap().unwrap().bytes(), 60);
        let whole = store.call(&call).unwrap().unwrap();
        assert_eq!(
            (whole.recordings, whole.transcript.len(), whole.digits.reveal().as_str()),
            (vec![recording], 1, "5")
        );
        let calls = store.calls(&house, &CallFilter::default(), None, 9).unwrap().items;
        assert_eq!((calls.len(), calls[0].end_reason), (1, Some(EndReason::CallerHungUp)));
        let busy = CallFilter { status: Some(Status::Busy), ..CallFilter::default() };
        assert!(store.calls(&house, &busy, None, 9).unwrap().items.is_empty());
        let inbox = store.messages(&house, &MessageFilter::default(), None, 9).unwrap().items;
        assert_eq!(inbox.iter().map(|message| &message.id).collect::<Vec<_>>(), [&messages[1], &messages[0]]);
        let events = store.events(&call).unwrap();
        assert!(matches!(&events[0].kind, EventKind::Dtmf { digit, .. } if *digit.reveal() == '5'));
        // In the order of their times, whatever they tell of.
        let after = store.events_since(&house, &events[0].id(), 9).unwrap().unwrap();
        assert_eq!(
            after.iter().map(|event| event.kind.name()).collect::<Vec<_>>(),
            ["message.received", "call.ended", "call.recording.ready"]
        );
        assert_eq!(after[0].message(), Some(&inbox[1]));
        assert_eq!(after[2].kind, EventKind::RecordingReady { part: 0, bytes: 60, duration_ms: 8000 });
        assert_eq!(store.settle_interrupted(chrono::Utc::now()).unwrap(), 1);
        assert_eq!(store.message(&messages[1]).unwrap().unwrap().status, MessageStatus::Failed);
        drop(store);

        // What was before is still there, and a second start changes nothing.
        let before = Database::open(aside(&path, FIRST)).unwrap();
        assert_eq!(version(&before).unwrap(), Some(FIRST));
        drop(before);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.events(&call).unwrap(), events);
        assert_eq!(version(&Database::open(aside(&path, FIRST)).unwrap()).unwrap(), Some(FIRST));
    }

    #[test]
    fn an_old_value_that_cannot_be_read_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offhook.redb");
        let (call, _) = write_first_schema(&path);
        let database = Database::open(&path).unwrap();
        let tx = database.begin_write().unwrap();
        tx.open_table(old::EVENTS).unwrap().insert((call.as_str(), 4), value(&json!({})).as_slice()).unwrap();
        tx.commit().unwrap();
        drop(database);
        for _ in 0..2 {
            assert!(matches!(Store::open(folder.path()), Err(OpenError::Database { .. })));
        }
        assert_eq!(version(&Database::open(&path).unwrap()).unwrap(), Some(FIRST));
    }

    #[test]
    fn a_database_of_a_newer_offhook_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offhook.redb");
        drop(Store::open(folder.path()).unwrap());
        let database = Database::open(&path).unwrap();
        let tx = database.begin_write().unwrap();
        tx.open_table(META).unwrap().insert(SCHEMA, CURRENT + 1).unwrap();
        tx.commit().unwrap();
        drop(database);
        let refused = Store::open(folder.path()).err().unwrap();
        assert!(matches!(refused, OpenError::Newer { found, known, .. } if found == known + 1), "{refused}");
    }
}
