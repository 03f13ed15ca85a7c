//! SIGKILL at two hundred random moments, under load: every write that was acknowledged is there, nothing is there by half, and
//! whatever was going on is closed at the next start.
//!
//! The process that is killed is this same program: with [`FOLDER`] in its environment the test is not the one who kills but the one
//! who writes.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use offhook::domain::{
    AccountId, Call, CallId, Direction, EndReason, Event, EventKind, Fragment, MessageId, MessageStatus,
    Private, SigningSecret, Speaker, Status, Vocabulary, Webhook, WebhookId,
};
use offhook::store::{CallFilter, Cursor, Entry, Record, Store};

const FOLDER: &str = "OFFHOOK_TEST_WRITES_TO";
const KILLS: u32 = 200;
/// A folder is used for so many of them; there are several at once.
const KILLS_EACH: u32 = 50;
const WRITERS: u8 = 3;

/// Whoever is killed: writes calls and messages, and says so when it is told that they are written.
fn write_until_killed(folder: &Path) {
    let store = Store::open(folder).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let mut bytes = [0; 10];
                    getrandom::fill(&mut bytes).unwrap();
                    write_call(&store, CallId::from_random(bytes));
                    write_message(&store, MessageId::from_random(bytes));
                }
            });
        }
    });
}

fn acknowledge(id: &str, stage: usize) {
    // A line is one write: half of one is told by its missing end.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("ack {id} {stage}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A whole life, of four stages.
fn write_call(store: &Store, id: CallId) {
    let (ours, theirs) = ("+15550100001".to_owned(), "+14155550123".to_owned());
    let mut call = Call::new(id.clone(), Direction::Inbound, theirs, ours, Utc::now());
    let tape = store.tape(&id, 0);
    let mut seq = 0;
    let mut record = |call: &Call, stage: usize, kinds: Vec<EventKind>| {
        let event = |kind| {
            seq += 1;
            Event::of_call(call, seq, Utc::now(), kind)
        };
        let events = kinds.into_iter().map(event).collect();
        store.record(&[Entry { record: Record::Call(Box::new(call.clone())), events }]).unwrap();
        acknowledge(id.as_str(), stage);
    };
    call.status = Status::Queued;
    record(&call, 1, vec![EventKind::queued(&call)]);
    call.status = Status::Ringing;
    record(&call, 2, vec![EventKind::ringing(&call)]);
    call.status = Status::InProgress;
    call.answered_at = Some(Utc::now());
    let text = Private::new("Hello.".to_owned());
    call.transcript.push(Fragment { speaker: Speaker::Agent, text, at_ms: 0, interrupted: false });
    std::fs::write(tape.path(), [1; 100]).unwrap();
    record(&call, 3, vec![EventKind::started(&call)]);
    call.end(EndReason::CallerHungUp, None, Utc::now());
    let recording = tape.keep(&call.account).unwrap().unwrap();
    call.recordings.push(recording);
    let ended = EventKind::ended(&call, EndReason::CallerHungUp);
    record(&call, 4, vec![ended, EventKind::recording_ready(&call, recording)]);
}

fn write_message(store: &Store, id: MessageId) {
    let at = Utc::now();
    let mut message: offhook::domain::Message = serde_json::from_value(serde_json::json!({
        "id": id, "number": "+15550100001", "direction": "outbound", "status": "queued", "from": "+15550100001",
        "to": "+14155550123", "content_type": "text/plain", "text": "hello", "trunk": "lan", "in_call": null,
        "created_at": at, "settled_at": null, "tries": 0, "sip_status": null, "reason": null,
    }))
    .unwrap();
    let record = |message: &offhook::domain::Message| {
        let kind = EventKind::of_message(message);
        let events = kind.map(|kind| Event::of_message(message, 1, at, kind)).into_iter().collect();
        store.record(&[Entry { record: Record::Message(Box::new(message.clone())), events }]).unwrap();
    };
    record(&message);
    acknowledge(id.as_str(), 1);
    message.settle(200, None, Utc::now());
    record(&message);
    acknowledge(id.as_str(), 2);
}

/// How far a call is, and how many events it has told by then.
fn stage(call: &Call) -> (usize, usize) {
    match call.status {
        Status::Queued => (1, 1),
        Status::Ringing => (2, 2),
        Status::InProgress => (3, 3),
        Status::Completed => (4, 5),
        other => panic!("{} is {other:?}, which nobody wrote", call.id),
    }
}

/// What is known of a folder from the kills before.
#[derive(Default)]
struct Seen {
    calls: HashSet<CallId>,
    answered: u64,
    events: u64,
}

impl Seen {
    /// Looks at everything that is new.
    fn check(&mut self, store: &Store, acknowledged: &HashMap<String, usize>) {
        let house = AccountId::house();
        let new = self.new_calls(store);
        let found: HashMap<&str, &Call> = new.iter().map(|call| (call.id.as_str(), call)).collect();
        for (id, wanted) in acknowledged.iter().filter(|(id, _)| id.starts_with("call_")) {
            let call = found.get(id.as_str()).unwrap_or_else(|| panic!("{id} was acknowledged, and is lost"));
            assert!(stage(call).0 >= *wanted, "{id} was acknowledged at {wanted}: {call:?}");
        }
        for (id, wanted) in acknowledged.iter().filter(|(id, _)| id.starts_with("msg_")) {
            let message = store.message(&id.parse().unwrap()).unwrap();
            let message = message.unwrap_or_else(|| panic!("{id} was acknowledged, and is lost"));
            assert!(*wanted < 2 || message.status == MessageStatus::Sent, "{id}: {message:?}");
        }
        let open: Vec<_> =
            new.iter().filter(|call| !call.status.is_over()).map(|call| call.id.clone()).collect();
        for call in &new {
            let whole = store.call(&call.id).unwrap().unwrap();
            let (stage, events) = stage(call);
            assert_eq!(store.events(&call.id).unwrap().len(), events, "a record and its events: {call:?}");
            assert_eq!(whole.transcript.len(), usize::from(stage >= 3), "a record and its words: {call:?}");
            if let [recording] = call.recordings[..] {
                let reading = store.recording(&house, &call.id, 0).unwrap().unwrap();
                assert_eq!((reading.bytes(), recording.bytes), (100, 100));
            }
        }
        let now = Utc::now();
        assert_eq!(store.close_interrupted(now).unwrap(), open.len());
        store.settle_interrupted(now).unwrap();
        for id in &open {
            let closed = store.call(id).unwrap().unwrap();
            assert_eq!((closed.status, closed.end_reason), (Status::Failed, Some(EndReason::Interrupted)));
            let was_up = closed.answered_at.is_some();
            assert_eq!(closed.recordings.len(), usize::from(was_up), "{closed:?}");
            let names: Vec<_> = store.events(id).unwrap().iter().map(|event| event.kind.name()).collect();
            let expected: &[_] =
                if was_up { &["call.ended", "call.recording.ready"] } else { &["call.ended"] };
            assert!(names.ends_with(expected), "{names:?}");
        }
        assert_eq!(store.close_interrupted(now).unwrap(), 0);
        for call in new {
            self.answered += u64::from(call.answered_at.is_some());
            self.events += store.events(&call.id).unwrap().len() as u64;
            self.calls.insert(call.id);
        }
    }

    /// Newest first: until one that was there before.
    fn new_calls(&self, store: &Store) -> Vec<Call> {
        let (mut new, mut after): (Vec<Call>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page = store.calls(&AccountId::house(), &CallFilter::default(), after.as_ref(), 50).unwrap();
            for call in page.items {
                if self.calls.contains(&call.id) {
                    return new;
                }
                new.push(call);
            }
            after = page.next;
            if after.is_none() {
                return new;
            }
        }
    }
}

fn endpoint() -> Webhook {
    Webhook {
        id: WebhookId::from_random([1; 10]),
        account: AccountId::house(),
        url: "https://crm.example/hooks".into(),
        events: ["call.queued", "call.ringing", "call.started", "call.ended", "call.recording.ready"]
            .map(String::from)
            .to_vec(),
        agent_id: None,
        description: None,
        enabled: true,
        secret: SigningSecret::from_random([7; 32]),
        old_secret: None,
        vocabulary: Vocabulary::default(),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

/// Writes `folder` from a process of its own, and kills that after so many acknowledgements and a moment more.
fn run_and_kill(folder: &Path, acknowledgements: u64, moment: u128) -> HashMap<String, usize> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_loses_nothing::of_what_was_acknowledged", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = HashMap::new();
    let mut count = 0;
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        // Of the last one there may be half.
        if let (true, Some(("ack", rest))) = (line.ends_with('\n'), line.trim_end().split_once(' ')) {
            let (id, stage) = rest.split_once(' ').unwrap();
            acknowledged.insert(id.to_owned(), stage.parse().unwrap());
            count += 1;
            if count == acknowledgements {
                let now = Instant::now();
                while now.elapsed().as_micros() < moment {
                    std::hint::spin_loop();
                }
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    assert!(!child.wait().unwrap().success(), "it was to be killed");
    assert!(count >= acknowledgements, "it ended by itself");
    acknowledged
}

#[test]
fn of_what_was_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    println!("seed {seed}");
    let mut state = seed as u64 | 1;
    let mut chance = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let start = Instant::now();
    let counts: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let folders: Vec<_> = (0..KILLS / KILLS_EACH)
            .map(|_| {
                let moments: Vec<_> =
                    (0..KILLS_EACH).map(|_| (1 + chance() % 24, u128::from(chance() % 8000))).collect();
                scope.spawn(move || one_folder(&moments))
            })
            .collect();
        folders.into_iter().map(|folder| folder.join().unwrap()).collect()
    });
    let sum = |of: fn(&(usize, usize)) -> usize| counts.iter().map(of).sum::<usize>();
    let (acknowledged, calls) = (sum(|one| one.0), sum(|one| one.1));
    println!(
        "{KILLS} kills, {acknowledged} calls and messages acknowledged, {calls} calls found, {:?}",
        start.elapsed()
    );
}

/// Kills at these moments, each so many acknowledgements and microseconds after a start. Gives how many things were acknowledged, and how many
/// calls were found.
fn one_folder(moments: &[(u64, u128)]) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap().add_webhook(&endpoint()).unwrap();
    let (mut seen, mut things) = (Seen::default(), 0);
    for (acknowledgements, moment) in moments {
        let acknowledged = run_and_kill(folder.path(), *acknowledgements, *moment);
        things += acknowledged.len();
        let store = Store::open(folder.path()).unwrap();
        seen.check(&store, &acknowledged);
        // What follows from a change was written with it.
        assert_eq!(store.deliveries_pending().unwrap(), seen.events, "deliveries");
        let today = Utc::now().date_naive();
        let usage = store.usage(&AccountId::house(), today - chrono::Days::new(1), today).unwrap();
        assert_eq!(usage.iter().map(|(_, day)| day.calls_in).sum::<u64>(), seen.answered, "usage");
    }
    (things, seen.calls.len())
}
