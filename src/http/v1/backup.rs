//! `/v1/admin/backup`.

use std::io::{self, BufWriter, Write};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;
use crate::http::auth::Who;
use crate::http::problem::Problem;

/// Pieces that may wait for a slow client, and how long each is, bytes.
const PIECES: usize = 8;
const PIECE: usize = 64 << 10;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(make_backup))
}

/// Back up the box
///
/// A tar file with a consistent copy of the database, every recording and the keys in the data folder. Calls go on meanwhile.
/// `offhook restore` makes a data folder of it, and refuses one that was cut off.
#[utoipa::path(
    post,
    path = "/admin/backup",
    tag = "admin",
    security(("key" = ["admin"])),
    responses((
        status = 200,
        description = "The backup",
        body = Vec<u8>,
        content_type = "application/x-tar",
    )),
)]
async fn make_backup(State(app): State<App>, Who(who): Who) -> Result<impl IntoResponse, Problem> {
    let snapshot = app.gateway.snapshot(&who).await?;
    let (pieces, mut written) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe(pieces);
        let out = BufWriter::with_capacity(PIECE, &mut pipe);
        if let Err(error) = snapshot.write(out) {
            tracing::error!(%error, "a backup was not finished");
            // Without an end the client would take what it has for the whole. It may be gone.
            let _ = pipe.0.blocking_send(Err(error));
        }
    });
    let body = Body::from_stream(async_stream::stream! {
        while let Some(piece) = written.recv().await {
            yield piece;
        }
    });
    let head = [
        (CONTENT_TYPE, "application/x-tar"),
        (CONTENT_DISPOSITION, "attachment; filename=\"offhook-backup.tar\""),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((head, body))
}

/// From whoever blocks to whoever does not.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
