//! The box's one key: made at first start, kept in the data folder, asked for by all of `/v1`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::App;
use super::problem::Problem;

/// `Debug` is not derived, so that it cannot reach a log.
pub struct AdminKey(String);

impl AdminKey {
    /// Where it lies.
    pub fn path(data: &Path) -> PathBuf {
        data.join("admin.key")
    }

    /// Reads the key, or makes one of 256 random bits that only the owner of the folder can read.
    pub fn open(data: &Path, chance: impl FnOnce() -> [u8; 32]) -> std::io::Result<Self> {
        let path = Self::path(data);
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().len() >= 32 => return Ok(Self(text.trim().to_owned())),
            Ok(_) => std::fs::remove_file(&path)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut key = String::from("offhook_");
        for byte in chance() {
            key.push_str(&format!("{byte:02x}"));
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(key.as_bytes())?;
        file.sync_all()?;
        Ok(Self(key))
    }

    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

pub(super) async fn require_key(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(given) if app.key.is(given.trim()) => Ok(next.run(request).await),
        Some(_) => {
            Err(Problem::unauthorized("the key is not this box's; it lies in the data folder, in admin.key"))
        }
        None => Err(Problem::unauthorized(
            "send `Authorization: Bearer KEY`; the key lies in the data folder, in admin.key",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let made = AdminKey::open(folder.path(), || [7; 32]).unwrap();
        let read = AdminKey::open(folder.path(), || [8; 32]).unwrap();
        assert!(made.is(&read.0));
        assert!(!made.is("offhook_"));
        let mode = std::fs::metadata(AdminKey::path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
