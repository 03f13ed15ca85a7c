//! `offhook backup` and `offhook restore`.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::Method;

use super::gateway::Door;
use super::operator::Where;
use crate::config::Config;
use crate::store::{Store, check_backup, restore};

/// Write everything that the data folder holds into one file: calls, messages, recordings, keys.
///
/// A gateway that runs goes on taking calls meanwhile, and is asked for it; where none does, the folder itself is read. The file holds
/// what callers said, and the keys: it is yours alone (mode 600), and should stay so.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook backup --out /mnt/nas/offhook-2026-11-22.tar --config /etc/offhook/offhook.toml
  offhook backup --out - | ssh nas 'cat > offhook.tar'")]
pub(super) struct BackupArgs {
    /// The file to be written, which must not be there yet; `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// The gateway's configuration, which says where it is: in place of --url, --key-file and --data
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// Make a data folder of a backup.
///
/// The folder must be empty, or not be there: nothing is ever overwritten. A backup that is damaged or was cut off is refused, and
/// leaves the folder empty. Calls that were up when the backup was made are closed at the next start.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  offhook restore /mnt/nas/offhook-2026-11-22.tar --data /var/lib/offhook")]
pub(super) struct RestoreArgs {
    /// What `offhook backup` has written
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// The data folder to be made
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
}

pub(super) async fn backup(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let place = match &args.config {
        None => args.place,
        Some(path) => place(&Config::load(path).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?),
    };
    if args.out == Path::new("-") {
        write(&place, &mut std::io::stdout().lock()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.out.exists() {
        bail!("{} is there already; name another file", args.out.display());
    }
    // Under another name until it is whole.
    let mut half = args.out.clone().into_os_string();
    half.push(".part");
    let half = PathBuf::from(half);
    let written = to_file(&place, &half).await;
    let extent = match written {
        Ok(extent) => extent,
        Err(error) => {
            // What there is of it is of no use; it may not even be there.
            let _ = std::fs::remove_file(&half);
            return Err(error);
        }
    };
    std::fs::rename(&half, &args.out)?;
    eprintln!("{}: {} files, {} bytes", args.out.display(), extent.files, extent.bytes);
    Ok(ExitCode::SUCCESS)
}

async fn to_file(place: &Where, path: &Path) -> anyhow::Result<crate::store::Extent> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    write(place, &mut out).await?;
    out.into_inner()?.sync_all()?;
    // As whoever restores it will read it.
    Ok(check_backup(BufReader::new(File::open(path)?))?)
}

async fn write(place: &Where, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(gateway) = place.running().await {
        return gateway.download(Method::POST, "/v1/admin/backup", out).await;
    }
    eprintln!("no gateway answers; reading the folder {}", place.data.display());
    let store = Store::open_present(&place.data)?;
    store.snapshot()?.write(out)?;
    Ok(())
}

/// Where the gateway of a configuration is.
fn place(config: &Config) -> Where {
    let listen = config.http.listen;
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if config.http.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", SocketAddr::new(ip, listen.port()));
    let door = Door { url, key_file: config.data.join("admin.key") };
    Where { door, data: config.data.clone() }
}

pub(super) fn run_restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let file = File::open(&args.backup).with_context(|| format!("cannot read {}", args.backup.display()))?;
    let extent = restore(BufReader::new(file), &args.data)?;
    eprintln!("{}: {} files, {} bytes", args.data.display(), extent.files, extent.bytes);
    Ok(ExitCode::SUCCESS)
}
