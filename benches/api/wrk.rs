//! The load, and what `wrk` says of it.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::Failure;

/// Of one run.
const SECONDS: u32 = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Reads these, one after the other and again.
pub(super) async fn get(url: &str, key: &str, paths: &[String], clients: u32) -> Result<Load, Failure> {
    let paths: Vec<_> = paths.iter().map(|path| format!("{path:?}")).collect();
    let script = format!(
        "local paths, n = {{{}}}, 0\n\
         request = function() n = n % #paths + 1; return wrk.format('GET', paths[n]) end\n",
        paths.join(", ")
    );
    run(url, key, &script, clients).await
}

pub(super) async fn post(
    url: &str,
    key: &str,
    path: &str,
    body: &Value,
    clients: u32,
) -> Result<Load, Failure> {
    let script = format!(
        "wrk.method = 'POST'; wrk.path = '{path}'; wrk.headers['Content-Type'] = 'application/json'\n\
         wrk.body = [==[{body}]==]\n"
    );
    run(url, key, &script, clients).await
}

async fn run(url: &str, key: &str, script: &str, clients: u32) -> Result<Load, Failure> {
    // The key is in the file, not among the arguments, where everybody on the machine could read it.
    let mut file = tempfile::NamedTempFile::new()?;
    write!(file, "wrk.headers['Authorization'] = 'Bearer {key}'\n{script}")?;
    let output = Command::new("wrk")
        .args(["--latency", "-t", "1", "-c", &clients.to_string(), "-d", &format!("{SECONDS}s"), "-s"])
        .arg(file.path())
        .arg(url)
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(|error| format!("wrk: {error} (make setup-test installs it)"))?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("wrk was not served:\n{text}").into());
    }
    let value = |name: &str| -> Result<&str, Failure> {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        found.ok_or_else(|| format!("{name} is missing:\n{text}").into())
    };
    Ok(Load {
        per_second: value("Requests/sec:")?.parse()?,
        p50_ms: milliseconds(value("50%")?)?,
        p99_ms: milliseconds(value("99%")?)?,
    })
}

fn milliseconds(text: &str) -> Result<f64, Failure> {
    for (unit, factor) in [("us", 1e-3), ("ms", 1.0), ("s", 1e3)] {
        if let Some(number) = text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok()) {
            return Ok((number * factor * 100.0).round() / 100.0);
        }
    }
    Err(format!("{text:?} is no time").into())
}
