//! What lies in an entry's folder, what it must weigh and hash to, and who said so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{Digest, FetchError, VerifyError, at, sha256_of};
use crate::catalog::Entry;

const NAME: &str = "manifest.json";

/// Whose word a digest is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// It stands in our catalogue.
    Catalog,
    /// The hub published it, and the bytes fit.
    Hub,
    /// Nobody published one: it is what came when it was first pulled.
    FirstUse,
}

/// An entry that lies whole in its folder.
#[derive(Clone, Debug)]
pub struct Installed {
    pub name: &'static str,
    pub folder: PathBuf,
    /// In the order of the catalogue: the first is the one that is loaded.
    pub files: Vec<InstalledFile>,
}

#[derive(Clone, Debug)]
pub struct InstalledFile {
    pub path: PathBuf,
    pub size: u64,
    pub sha256: Digest,
    pub trust: Trust,
}

impl Installed {
    /// The file that is loaded.
    pub fn path(&self) -> &Path {
        &self.files[0].path
    }
}

/// How hard to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Every byte.
    All,
    /// Every byte of files that are not as they were when they were last verified.
    Changed,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    entry: String,
    source: String,
    files: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    name: String,
    size: u64,
    sha256: String,
    trust: Trust,
    /// Modification time when it was last verified, ns since 1970.
    verified: Option<u64>,
}

pub(super) fn check(entry: &Entry, dir: &Path, depth: Depth) -> Result<Installed, VerifyError> {
    let folder = dir.join(entry.name);
    let at = folder.join(NAME);
    let missing = |path: &Path| VerifyError::Missing { name: entry.name.into(), path: path.into() };
    let corrupt = |path: &Path, reason: String| VerifyError::Corrupt {
        name: entry.name.into(),
        path: path.into(),
        reason,
    };

    let text = fs::read(&at).map_err(|_| missing(&folder))?;
    let mut manifest: Manifest = serde_json::from_slice(&text).map_err(|e| corrupt(&at, e.to_string()))?;
    let mut files = Vec::new();
    let mut news = false;
    for file in entry.files {
        let path = folder.join(file.name);
        let line = manifest.files.iter_mut().find(|l| l.name == file.name);
        let line = line.ok_or_else(|| corrupt(&at, format!("{} is not in it", file.name)))?;
        let expected =
            Digest::parse(&line.sha256).ok_or_else(|| corrupt(&at, "a digest is malformed".into()))?;
        // The catalogue outranks the manifest: an entry that was renewed since is not whole any more.
        if file.sha256.is_some_and(|known| known != line.sha256) {
            return Err(corrupt(&path, "it is of an older catalogue".into()));
        }
        let meta = fs::metadata(&path).map_err(|_| missing(&path))?;
        if meta.len() != line.size {
            return Err(corrupt(&path, format!("it has {} bytes, not {}", meta.len(), line.size)));
        }
        let stamp = stamp(&meta);
        if depth == Depth::All || line.verified.is_none() || line.verified != stamp {
            let found = sha256_of(&path).map_err(|e| corrupt(&path, e.to_string()))?;
            if found != expected {
                return Err(corrupt(&path, format!("SHA-256 {found}, not {expected}")));
            }
            news |= line.verified != stamp;
            line.verified = stamp;
        }
        files.push(InstalledFile { path, size: line.size, sha256: expected, trust: line.trust });
    }
    if news {
        // The folder may belong to somebody else; then the next look takes as long as this one.
        let _ = save(&at, &manifest);
    }
    Ok(Installed { name: entry.name, folder, files })
}

/// Writes the manifest of files that have just been verified.
pub(super) fn write(entry: &Entry, folder: &Path, files: Vec<(Digest, Trust)>) -> Result<(), FetchError> {
    let mut lines = Vec::new();
    for (file, (sha256, trust)) in entry.files.iter().zip(files) {
        let path = folder.join(file.name);
        let meta = fs::metadata(&path).map_err(at(&path))?;
        lines.push(Line {
            name: file.name.into(),
            size: meta.len(),
            sha256: sha256.to_string(),
            trust,
            verified: stamp(&meta),
        });
    }
    let manifest = Manifest { entry: entry.name.into(), source: entry.source(), files: lines };
    let path = folder.join(NAME);
    save(&path, &manifest).map_err(at(&path))
}

fn save(path: &Path, manifest: &Manifest) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(manifest)?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, text)?;
    fs::rename(part, path)
}

fn stamp(meta: &fs::Metadata) -> Option<u64> {
    meta.modified().ok()?.duration_since(UNIX_EPOCH).ok().map(|d| d.as_nanos() as u64)
}
