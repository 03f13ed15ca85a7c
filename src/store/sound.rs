//! What was said in calls: recordings and transcripts, by account and call. They are reached through this file alone, so that whatever
//! has to be done with all of them has to be done here.
//!
//! While a call lasts its line writes into `recordings/open/`. At the end of the call the file is put under the call's account,
//! and only from then on it is a recording. What a killed process left there is put away at the next start.
//! A transcript is a value of its own beside the record, so that lists of calls stay light.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, decode, encode};
use crate::domain::{AccountId, Call, CallId, Fragment, Private, Recording, Turn};

/// Account and call.
pub(super) const WORDS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("words");

/// A file of sound no longer than this is a head without a body (WAV).
const EMPTY: u64 = 44;

/// Everything that was said or pressed in a call.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Words {
    pub transcript: Vec<Fragment>,
    pub turns: Vec<Turn>,
    pub digits: Private<String>,
}

/// Takes the words out of a record, and keeps them by themselves.
pub(super) fn put_words(transaction: &WriteTransaction, call: &Call) -> Result<Call, StoreError> {
    let mut bare = call.clone();
    let words = Words {
        transcript: std::mem::take(&mut bare.transcript),
        turns: std::mem::take(&mut bare.turns),
        digits: std::mem::take(&mut bare.digits),
    };
    let (place, bytes) = ((call.account.as_str(), call.id.as_str()), encode(&words)?);
    let mut table = transaction.open_table(WORDS)?;
    // Most changes of a record are none of its words.
    let is_kept = table.get(place)?.is_some_and(|kept| kept.value() == bytes);
    if !is_kept && words != Words::default() {
        table.insert(place, bytes.as_slice())?;
    }
    Ok(bare)
}

pub(super) fn words(
    transaction: &ReadTransaction,
    account: &AccountId,
    call: &CallId,
) -> Result<Words, StoreError> {
    let words = transaction.open_table(WORDS)?.get((account.as_str(), call.as_str()))?;
    Ok(words.map(|value| decode(value.value())).transpose()?.unwrap_or_default())
}

/// A recording while it is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tape {
    recordings: PathBuf,
    call: CallId,
    part: u32,
}

impl Tape {
    /// Where the line writes to.
    pub fn path(&self) -> PathBuf {
        open_folder(&self.recordings).join(name(&self.call, self.part))
    }

    /// The line has written its last: makes a recording of it, on disk under its account when this returns. `None`: nothing was
    /// written. One that is kept already stays as it is.
    pub fn keep(&self, account: &AccountId) -> io::Result<Option<Recording>> {
        let (path, folder) = (self.path(), self.recordings.join(account.as_str()));
        let kept = folder.join(name(&self.call, self.part));
        let file = match File::open(&path).or_else(|_| File::open(&kept)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if path.exists() {
            file.sync_all()?;
            fs::create_dir_all(&folder)?;
            fs::rename(&path, &kept)?;
        }
        File::open(&folder)?.sync_all()?;
        Ok(Some(Recording { part: self.part, bytes: file.metadata()?.len() }))
    }

    /// There is nothing on it that matters.
    pub fn discard(&self) -> io::Result<()> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// A recording to be read, from wherever one likes.
#[derive(Debug)]
pub struct Reading {
    file: File,
    bytes: u64,
}

impl Reading {
    /// Of the whole.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// At most `length` bytes from `at` on; fewer at the end.
    pub fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl Store {
    pub fn words(&self, account: &AccountId, call: &CallId) -> Result<Words, StoreError> {
        words(&self.begin_read()?, account, call)
    }

    /// What a line records to: the first of a call is part 0. Made of the id alone, so that no client can name a path.
    pub fn tape(&self, call: &CallId, part: u32) -> Tape {
        Tape { recordings: self.recordings(), call: call.clone(), part }
    }

    /// `None`: there is none.
    pub fn recording(&self, account: &AccountId, call: &CallId, part: u32) -> io::Result<Option<Reading>> {
        match File::open(self.recordings().join(account.as_str()).join(name(call, part))) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(file) => Ok(Some(Reading { bytes: file.metadata()?.len(), file })),
        }
    }

    fn recordings(&self) -> PathBuf {
        recordings(&self.folder)
    }

    /// What calls of an earlier process have left open.
    pub(super) fn left_open(&self) -> io::Result<Vec<Tape>> {
        let recordings = self.recordings();
        let tapes = files(&open_folder(&recordings))?.into_iter();
        Ok(tapes.map(|(call, part)| Tape { recordings: recordings.clone(), call, part }).collect())
    }

    /// Everything that was or is being recorded of calls that are not over: a process may also be killed after it has put a recording
    /// away, and before it has said so.
    pub(super) fn tapes_of(&self, calls: &[Call]) -> io::Result<Vec<Tape>> {
        let recordings = self.recordings();
        let mut tapes = self.left_open()?;
        let accounts: BTreeSet<_> = calls.iter().map(|call| &call.account).collect();
        for account in accounts {
            let folder = recordings.join(account.as_str());
            if folder.exists() {
                let kept = files(&folder)?.into_iter();
                tapes.extend(kept.map(|(call, part)| Tape { recordings: recordings.clone(), call, part }));
            }
        }
        let calls: BTreeSet<_> = calls.iter().map(|call| &call.id).collect();
        tapes.retain(|tape| calls.contains(&tape.call));
        tapes.sort_unstable_by_key(|tape| tape.part);
        Ok(tapes)
    }
}

impl Tape {
    /// What [`Tape::keep`] would make of it.
    pub(super) fn measure(&self, account: &AccountId) -> Option<Recording> {
        let kept = self.recordings.join(account.as_str()).join(name(&self.call, self.part));
        let file = self.path().metadata().or_else(|_| kept.metadata()).ok()?;
        Some(Recording { part: self.part, bytes: file.len() })
    }

    /// Puts away what a call that is over has left open.
    pub(super) fn put_away(&self, call: &Call) {
        let done = match call.answered_at {
            Some(_) => self.keep(&call.account).map(drop),
            None => self.discard(),
        };
        if let Err(error) = done {
            tracing::error!(call = %call.id, %error, "a recording cannot be put away");
        }
    }

    pub(super) fn call(&self) -> &CallId {
        &self.call
    }

    pub(super) fn is_empty(&self) -> bool {
        self.path().metadata().is_ok_and(|file| file.len() <= EMPTY)
    }
}

/// Of a data folder.
pub(super) const FOLDER: &str = "recordings";

fn recordings(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

/// Where the first part of a recording lies, for programs beside the gateway that holds the folder.
pub fn recording_file(data: &Path, account: &AccountId, call: &CallId) -> PathBuf {
    recordings(data).join(account.as_str()).join(name(call, 0))
}

/// Makes the folders, where they are missing: for nobody but us to look into.
pub(super) fn make_folders(data: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(open_folder(&recordings(data)))
}

/// Every recording that is finished.
pub(super) fn kept(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(recordings(data))? {
        let folder = entry?.path();
        if folder.is_dir() && folder != open_folder(&recordings(data)) {
            found.extend(files(&folder)?.into_iter().map(|(call, part)| folder.join(name(&call, part))));
        }
    }
    Ok(found)
}

/// Puts recordings that lie side by side, as those of the first schema do, under an account. Done twice it does nothing.
pub(super) fn move_under(data: &Path, account: &AccountId) -> io::Result<()> {
    let (from, to) = (recordings(data), recordings(data).join(account.as_str()));
    fs::create_dir_all(&to)?;
    for (call, part) in files(&from)? {
        fs::rename(from.join(name(&call, part)), to.join(name(&call, part)))?;
    }
    File::open(&to)?.sync_all()
}

/// Every recording of an account, in the order of its calls and their parts.
pub(super) fn recordings_under(
    data: &Path,
    account: &AccountId,
) -> io::Result<BTreeMap<(CallId, u32), Recording>> {
    let folder = recordings(data).join(account.as_str());
    let mut found = BTreeMap::new();
    for (call, part) in files(&folder)? {
        let bytes = folder.join(name(&call, part)).metadata()?.len();
        found.insert((call, part), Recording { part, bytes });
    }
    Ok(found)
}

fn open_folder(recordings: &Path) -> PathBuf {
    recordings.join("open")
}

fn name(call: &CallId, part: u32) -> String {
    match part {
        0 => format!("{call}.wav"),
        part => format!("{call}-{part}.wav"),
    }
}

/// Call and part of each recording in a folder; what else lies there is none of ours.
fn files(folder: &Path) -> io::Result<Vec<(CallId, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        found.extend(file.to_str().and_then(call_and_part));
    }
    Ok(found)
}

/// Out of the name of a file.
pub(super) fn call_and_part(file: &str) -> Option<(CallId, u32)> {
    let stem = file.strip_suffix(".wav")?;
    let (call, part) = stem.split_once('-').unwrap_or((stem, "0"));
    Some((call.parse().ok()?, part.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Speaker, Status};
    use crate::store::calls::tests::{call, entry};
    use crate::store::{CallFilter, OpenError};

    fn id(n: u8) -> CallId {
        CallId::from_random([n; 10])
    }

    #[test]
    fn a_tape_becomes_a_recording_of_its_account_and_is_read_in_ranges() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (ours, other) = (AccountId::from_random([1; 10]), AccountId::house());
        let tape = store.tape(&id(1), 2);
        assert_eq!(tape.keep(&ours).unwrap(), None);
        fs::write(tape.path(), b"0123456789").unwrap();
        assert!(store.recording(&ours, &id(1), 2).unwrap().is_none(), "it is not one yet");
        assert_eq!(tape.keep(&ours).unwrap(), Some(Recording { part: 2, bytes: 10 }));
        assert!(!tape.path().exists());
        let reading = store.recording(&ours, &id(1), 2).unwrap().unwrap();
        assert_eq!(reading.bytes(), 10);
        for (at, length, expected) in [(0, 4, "0123"), (8, 4, "89"), (10, 4, ""), (99, 4, ""), (3, 0, "")] {
            assert_eq!(reading.read(at, length).unwrap(), expected.as_bytes());
        }
        for (account, call, part) in [(&other, 1, 2), (&ours, 2, 2), (&ours, 1, 0)] {
            assert!(store.recording(account, &id(call), part).unwrap().is_none());
        }
        let unwanted = store.tape(&id(2), 0);
        fs::write(unwanted.path(), b"x").unwrap();
        unwanted.discard().unwrap();
        unwanted.discard().unwrap();
        assert_eq!(unwanted.keep(&ours).unwrap(), None);
    }

    #[test]
    fn words_come_with_a_call_and_not_with_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let text = Private::new("Hello.".to_owned());
        let said = Fragment { speaker: Speaker::Agent, text, at_ms: 7, interrupted: false };
        let digits = Private::new("12".to_owned());
        let spoken = Call { transcript: vec![said], digits, ..call(1, Status::InProgress) };
        for _ in 0..2 {
            store.record(&[entry(spoken.clone())]).unwrap();
            assert_eq!(store.call(&spoken.id).unwrap().as_ref(), Some(&spoken));
        }
        let words = store.words(&spoken.account, &spoken.id).unwrap();
        assert_eq!((&words.transcript, &words.digits), (&spoken.transcript, &spoken.digits));
        assert_eq!(store.words(&AccountId::from_random([9; 10]), &spoken.id).unwrap(), Words::default());
        let listed = store.calls(&spoken.account, &CallFilter::default(), None, 9).unwrap().items;
        assert_eq!(listed, [Call { transcript: Vec::new(), digits: Private::default(), ..spoken }]);
    }

    #[test]
    fn what_a_killed_process_was_recording_is_put_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let answered = |n, status| Call { answered_at: Some(chrono::Utc::now()), ..call(n, status) };
        let calls =
            [answered(1, Status::InProgress), call(2, Status::Ringing), answered(3, Status::Completed)];
        for call in &calls {
            store.record(&[entry(call.clone())]).unwrap();
        }
        let sound = [7; 100];
        for (n, sound) in [(1, &sound[..]), (2, &sound), (3, &sound), (4, &sound[..44]), (5, &sound)] {
            fs::write(store.tape(&id(n), 0).path(), sound).unwrap();
        }
        assert_eq!(store.close_interrupted(chrono::Utc::now()).unwrap(), 2);
        for n in [1, 3] {
            let call = store.call(&id(n)).unwrap().unwrap();
            assert_eq!(call.recordings, [Recording { part: 0, bytes: 100 }], "{n}");
            assert_eq!(store.events(&call.id).unwrap().last().unwrap().kind.name(), "call.recording.ready");
            assert_eq!(store.recording(&call.account, &call.id, 0).unwrap().unwrap().bytes(), 100);
        }
        assert!(store.call(&id(2)).unwrap().unwrap().recordings.is_empty());
        // Sound of a call that nobody knows is left where it is; a head alone is nobody's loss.
        assert_eq!(store.left_open().unwrap(), [store.tape(&id(5), 0)]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Store::open(file.path()), Err(OpenError::Folder { .. })));
    }
}
