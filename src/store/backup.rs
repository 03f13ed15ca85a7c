//! Backups: everything that a data folder holds, as one tar file, taken while the gateway works.
//!
//! The database is copied table by table out of one read transaction into a new file, so that the copy is of one moment, is whole
//! without any repair, and holds up no writer. Recordings only ever come into being, each under its name once and for all; those
//! that are being made are taken as far as they are. The first entry says what the file is, the last one how much there must be
//! before it: a file that was cut off is told from a whole one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableTable, TableDefinition, Value, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::tables::{Visitor, visit};
use super::{DATABASE, Store, StoreError, schema, sound};

/// What the first entry is called, and what it says.
const HEAD: &str = "backup.json";
const END: &str = "end.json";
/// Of the tar file.
const FORMAT: u32 = 1;
/// Copies of the database that were not finished are called so, and are nobody's.
const COPY: &str = "offhook.redb.copy-";
/// Memory that the making of a copy may take, bytes.
const CACHE: usize = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    /// Of the database.
    schema: u64,
    /// Which offhook made it.
    offhook: String,
}

/// What lies between the first entry and the last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extent {
    pub files: u64,
    pub bytes: u64,
    /// Of all of them, one after the other, in hexadecimal.
    pub sha256: String,
}

/// Counts and hashes what is read through it.
struct Tally<R> {
    from: R,
    hash: Sha256,
    files: u64,
    bytes: u64,
}

impl<R> Tally<R> {
    fn new(from: R) -> Self {
        Self { from, hash: Sha256::new(), files: 0, bytes: 0 }
    }

    /// Of another file what comes next.
    fn turn_to<Next>(self, next: Next) -> Tally<Next> {
        let Tally { hash, files, bytes, .. } = self;
        Tally { from: next, hash, files: files + 1, bytes }
    }

    /// The file is over.
    fn rest(self) -> Tally<()> {
        let Tally { hash, files, bytes, .. } = self;
        Tally { from: (), hash, files, bytes }
    }

    fn extent(&self) -> Extent {
        let digest = self.hash.clone().finalize();
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Extent { files: self.files, bytes: self.bytes, sha256 }
    }
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the folder {0} is not empty; name one that is, or that is not there yet")]
    NotEmpty(PathBuf),
    #[error("this is no backup of offhook")]
    NoBackup,
    #[error("the backup was made by a newer offhook ({0}); restore it with that one")]
    Newer(String),
    #[error("the backup is cut off: {0}")]
    CutOff(String),
    #[error("the backup holds {0:?}, which has no place in a data folder")]
    Stray(PathBuf),
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A data folder as it was at one moment.
pub struct Snapshot {
    folder: PathBuf,
    database: File,
    /// Recordings that were being made.
    open: Vec<(PathBuf, File)>,
}

struct Copy<'a> {
    from: &'a ReadTransaction,
    to: &'a WriteTransaction,
}

impl Visitor for Copy<'_> {
    fn table<K: redb::Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), StoreError> {
        let (from, mut to) = (self.from.open_table(table)?, self.to.open_table(table)?);
        for entry in from.iter()? {
            let (key, value) = entry?;
            to.insert(key.value(), value.value())?;
        }
        Ok(())
    }
}

impl Store {
    /// Blocks for as long as it takes to copy the database, and stops nobody meanwhile.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let nth = COPIES.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{COPY}{nth}"));
        let copied = self.copy_database(&path).and_then(|()| Ok(File::open(&path)?));
        // Whoever has it open still has it.
        let removed = fs::remove_file(&path);
        let database = copied?;
        removed?;
        // Those that end from now on lie where they belong before anybody looks there.
        let mut open = Vec::new();
        for tape in self.left_open()? {
            match File::open(tape.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => open.push((tape.path(), opened?)),
            }
        }
        Ok(Snapshot { folder: self.folder.clone(), database, open })
    }

    fn copy_database(&self, path: &Path) -> Result<(), StoreError> {
        let from = self.begin_read()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let copy = Database::builder()
            .set_cache_size(CACHE)
            .create_with_backend(FileBackend::new(file).map_err(StoreError::Reopen)?)
            .map_err(StoreError::Reopen)?;
        let to = copy.begin_write()?;
        visit(&mut Copy { from: &from, to: &to })?;
        to.commit()?;
        copy.close().map_err(StoreError::Reopen)
    }
}

/// Removes what a process that was killed during a backup has left.
pub(super) fn tidy(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(COPY)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Snapshot {
    /// Writes the tar file. Blocks.
    pub fn write(self, out: impl Write) -> io::Result<Extent> {
        let mut out = Writer { tar: Builder::new(out), tally: Tally::new(()) };
        let head =
            Head { format: FORMAT, schema: schema::CURRENT, offhook: env!("CARGO_PKG_VERSION").to_owned() };
        out.words(HEAD, &head)?;
        out.file(Path::new(DATABASE), &self.database)?;
        for (path, file) in &self.open {
            out.file(self.inside(path)?, file)?;
        }
        for path in self.rest()? {
            out.file(self.inside(&path)?, &File::open(&path)?)?;
        }
        let extent = out.tally.extent();
        out.words(END, &extent)?;
        out.tar.into_inner()?.flush()?;
        Ok(extent)
    }

    fn inside<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        path.strip_prefix(&self.folder).map_err(io::Error::other)
    }

    /// Files of the folder itself (keys), and recordings of every account. Databases that were put aside are none of it.
    fn rest(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_database = entry.file_name().to_str().is_none_or(|name| name.starts_with(DATABASE));
            if entry.file_type()?.is_file() && !is_database {
                files.push(entry.path());
            }
        }
        files.extend(sound::kept(&self.folder)?);
        files.sort_unstable();
        Ok(files)
    }
}

struct Writer<W: Write> {
    tar: Builder<W>,
    tally: Tally<()>,
}

impl<W: Write> Writer<W> {
    fn words(&mut self, name: &str, words: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(words)?;
        let mut header = header(bytes.len() as u64, 0o600, SystemTime::now());
        self.tar.append_data(&mut header, name, bytes.as_slice())
    }

    /// As long as it is now; what is being written to it meanwhile is not in it.
    fn file(&mut self, name: &Path, file: &File) -> io::Result<()> {
        let about = file.metadata()?;
        let mut header = header(about.len(), about.permissions().mode() & 0o777, about.modified()?);
        let mut tally = std::mem::replace(&mut self.tally, Tally::new(())).turn_to(file.take(about.len()));
        let written = self.tar.append_data(&mut header, name, &mut tally);
        self.tally = tally.rest();
        written
    }
}

fn header(size: u64, mode: u32, modified: SystemTime) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    header
}

/// Reads a backup to its end, and hands each file over, with its place in the folder.
fn walk(
    backup: impl Read,
    mut each: impl FnMut(&Path, u32, &mut dyn Read) -> Result<(), RestoreError>,
) -> Result<Extent, RestoreError> {
    let mut backup = backup;
    let mut archive = tar::Archive::new(&mut backup as &mut dyn Read);
    let (mut tally, mut head, mut end) = (Tally::new(()), None, None);
    // A tar file that ends early is an error of reading, or has no last entry.
    let cut_off = |error: io::Error| RestoreError::CutOff(error.to_string());
    for entry in archive.entries()? {
        let mut entry =
            entry.map_err(|error| if head.is_none() { RestoreError::NoBackup } else { cut_off(error) })?;
        let path = entry.path()?.into_owned();
        if head.is_none() {
            if path != Path::new(HEAD) {
                return Err(RestoreError::NoBackup);
            }
            let found: Head = serde_json::from_reader(&mut entry).map_err(|_| RestoreError::NoBackup)?;
            if found.format > FORMAT || found.schema > schema::CURRENT {
                return Err(RestoreError::Newer(found.offhook));
            }
            head = Some(found);
        } else if path == Path::new(END) {
            end = serde_json::from_reader::<_, Extent>(&mut entry).ok();
        } else {
            if !is_ours(&path) || entry.header().entry_type() != EntryType::Regular {
                return Err(RestoreError::Stray(path));
            }
            let mode = entry.header().mode()? & 0o777;
            let mut file = tally.turn_to(&mut entry);
            each(&path, mode, &mut file)?;
            tally = file.rest();
        }
    }
    let extent = tally.extent();
    match end {
        Some(end) if end == extent => Ok(extent),
        Some(end) if end.files != extent.files => {
            Err(RestoreError::CutOff(format!("{} files of {} are there", extent.files, end.files)))
        }
        Some(_) => Err(RestoreError::Damaged("its bytes are not those that were written".into())),
        None if head.is_none() => Err(RestoreError::NoBackup),
        None => Err(RestoreError::CutOff("its end is missing".into())),
    }
}

/// A file of the folder itself, or something under `recordings/`; nothing that leads elsewhere.
fn is_ours(path: &Path) -> bool {
    let parts: Vec<_> = path.components().collect();
    let is_plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    is_plain && (parts.len() == 1 || (parts.len() == 3 && parts[0].as_os_str() == sound::FOLDER))
}

/// Whether a backup is whole, as far as that can be seen without restoring it.
pub fn check_backup(backup: impl Read) -> Result<Extent, RestoreError> {
    walk(backup, |_, _, file| {
        io::copy(file, &mut io::sink()).map(drop).map_err(|error| RestoreError::CutOff(error.to_string()))
    })
}

/// Makes a data folder of a backup. The folder is empty or not there; it is again when this fails. Blocks until all is on
/// disk.
pub fn restore(backup: impl Read, folder: &Path) -> Result<Extent, RestoreError> {
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Err(RestoreError::NotEmpty(folder.to_owned()));
    }
    let restored = unpack(backup, folder);
    if restored.is_err() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    restored
}

fn unpack(backup: impl Read, folder: &Path) -> Result<Extent, RestoreError> {
    // The database gets its name last: before that the folder is none that a gateway would take for whole.
    let half = folder.join("restoring");
    let extent = walk(backup, |path, mode, from| {
        let to = if path == Path::new(DATABASE) { half.clone() } else { folder.join(path) };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&to)?;
        io::copy(from, &mut file).map_err(|error| RestoreError::CutOff(error.to_string()))?;
        file.sync_all()?;
        Ok(())
    })?;
    let damaged = |error: redb::DatabaseError| RestoreError::Damaged(error.to_string());
    let database = Database::builder().set_check_integrity_on_open(true).open(&half).map_err(damaged)?;
    database.close().map_err(damaged)?;
    fs::rename(&half, folder.join(DATABASE))?;
    sound::make_folders(folder)?;
    File::open(folder)?.sync_all()?;
    Ok(extent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, CallId, Status};
    use crate::store::calls::tests::{call, entry};
    use crate::store::{CallFilter, OpenError};
    use redb::TableHandle;

    fn backup(store: &Store) -> Vec<u8> {
        let mut bytes = Vec::new();
        store.snapshot().unwrap().write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_there_is_there_again() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(from.path()).unwrap();
        let calls = [call(1, Status::Completed), call(2, Status::InProgress)];
        for one in &calls {
            store.record(&[entry(one.clone())]).unwrap();
        }
        fs::write(from.path().join("admin.key"), "secret").unwrap();
        fs::set_permissions(from.path().join("admin.key"), PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(from.path().join("offhook.redb.schema-1"), "of long ago").unwrap();
        let [kept, open] = [1, 2].map(|n| store.tape(&CallId::from_random([n; 10]), 0));
        fs::write(kept.path(), [1; 100]).unwrap();
        kept.keep(&AccountId::house()).unwrap();
        fs::write(open.path(), [2; 200]).unwrap();
        let bytes = backup(&store);
        let list =
            |store: &Store| store.calls(&AccountId::house(), &CallFilter::default(), None, 9).unwrap().items;
        let then = list(&store);
        // What comes afterwards is not in it.
        store.record(&[entry(call(3, Status::Completed))]).unwrap();

        let extent = check_backup(bytes.as_slice()).unwrap();
        assert_eq!(extent.files, 4);
        assert_eq!(restore(bytes.as_slice(), to.path()).unwrap(), extent);
        assert!(matches!(restore(bytes.as_slice(), to.path()), Err(RestoreError::NotEmpty(_))));
        let key = to.path().join("admin.key");
        assert_eq!(fs::read_to_string(&key).unwrap(), "secret");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!to.path().join("offhook.redb.schema-1").exists());
        let restored = Store::open(to.path()).unwrap();
        assert_eq!((then.len(), list(&restored)), (2, then));
        let reading = restored.recording(&AccountId::house(), &calls[0].id, 0).unwrap().unwrap();
        assert_eq!(reading.read(0, 1000).unwrap(), [1; 100]);
        assert_eq!(fs::read(restored.tape(&calls[1].id, 0).path()).unwrap(), [2; 200]);
        // Nothing is left of the copy.
        let copies = fs::read_dir(from.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(COPY));
        assert_eq!(copies.count(), 0);
    }

    #[test]
    fn every_table_is_copied() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(from.path()).unwrap();
        restore(backup(&store).as_slice(), to.path()).unwrap();
        let restored = Store::open(to.path()).unwrap();
        let tables = |store: &Store| {
            let transaction = store.begin_read().unwrap();
            let mut names: Vec<_> =
                transaction.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(tables(&store), tables(&restored));
        assert!(tables(&store).contains(&"calls".to_owned()));
    }

    #[test]
    fn what_is_cut_off_or_none_of_ours_is_refused_and_leaves_nothing() {
        let from = tempfile::tempdir().unwrap();
        let store = Store::open(from.path()).unwrap();
        let bytes = backup(&store);
        let foreign = |name: &str, kind: EntryType| {
            let mut out = Writer { tar: Builder::new(Vec::new()), tally: Tally::new(()) };
            out.words(HEAD, &Head { format: FORMAT, schema: 1, offhook: "0".into() }).unwrap();
            let mut header = header(1, 0o600, UNIX_EPOCH);
            header.set_entry_type(kind);
            // As no well-meaning program would write it.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            out.tar.append(&header, &b"x"[..]).unwrap();
            out.words(END, &Extent { files: 1, bytes: 1, sha256: String::new() }).unwrap();
            out.tar.into_inner().unwrap()
        };
        let newer = {
            let mut out = Writer { tar: Builder::new(Vec::new()), tally: Tally::new(()) };
            out.words(HEAD, &Head { format: FORMAT, schema: schema::CURRENT + 1, offhook: "9.9".into() })
                .unwrap();
            out.tar.into_inner().unwrap()
        };
        let mut flipped = bytes.clone();
        let middle = flipped.len() / 2;
        flipped[middle..middle + 4096].fill(0xff);
        let to = tempfile::tempdir().unwrap();
        for (what, backup, expected) in [
            ("nothing", Vec::new(), "NoBackup"),
            ("words", b"hello ".repeat(1000), "NoBackup"),
            ("half", bytes[..bytes.len() / 2].to_vec(), ""),
            ("all but the end", bytes[..bytes.len() - 2048].to_vec(), "CutOff"),
            ("newer", newer, "Newer"),
            ("above", foreign("../x", EntryType::Regular), "Stray"),
            ("absolute", foreign("/tmp/x", EntryType::Regular), "Stray"),
            ("deep", foreign("recordings/a/b/c", EntryType::Regular), "Stray"),
            ("elsewhere", foreign("etc/a/b", EntryType::Regular), "Stray"),
            ("a link", foreign("admin.key", EntryType::Symlink), "Stray"),
            ("damaged", flipped, "Damaged"),
        ] {
            let refused = restore(backup.as_slice(), to.path()).unwrap_err();
            assert!(format!("{refused:?}").starts_with(expected), "{what}: {refused:?}");
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0, "{what}");
        }
    }

    #[test]
    fn a_copy_that_was_not_finished_is_removed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join(format!("{COPY}7"));
        fs::write(&copy, "half").unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(!copy.exists());
        // One who is refused removes nothing.
        fs::write(&copy, "half").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(OpenError::InUse(_))));
        assert!(copy.exists());
        drop(store);
    }
}
