//! A gateway of our own, as a child process: started, waited for, and always ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::gateway::Gateway;

/// Loading the models beside other work.
const PATIENCE: Duration = Duration::from_secs(120);
/// Its grace, and some.
const FAREWELL: Duration = Duration::from_secs(20);

pub(super) struct Child {
    process: tokio::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `offhook serve` of this same program. Its output goes to `log`.
    pub(super) fn start(config: &Path, log: &Path) -> anyhow::Result<Child> {
        let own = std::env::current_exe().context("cannot find this program's own file")?;
        // Added to, not replaced: should another gateway run in this folder, the file is still its log as well.
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let process = Command::new(own)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C is ours to handle: the gateway is to be told once, and in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the gateway")?;
        Ok(Child { process, log: log.to_owned() })
    }

    /// Waits until it takes calls. `tick` is called while it does not.
    pub(super) async fn ready(
        &mut self,
        url: &str,
        key: &Path,
        mut tick: impl FnMut(Duration),
    ) -> anyhow::Result<Gateway> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("the gateway ended with {status}:\n{}", self.tail());
            }
            if let Ok(gateway) = Gateway::with_key_file(url, key)
                && gateway.ready().await
            {
                return Ok(gateway);
            }
            if start.elapsed() > PATIENCE {
                bail!("the gateway is not ready after {} s:\n{}", PATIENCE.as_secs(), self.tail());
            }
            tick(start.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Processor time that it and its engines have used so far.
    pub(super) fn cpu(&self) -> Duration {
        self.process.id().map_or(Duration::ZERO, cpu_of)
    }

    /// Tells it to end, and waits; kills it only if it does not.
    pub(super) async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended by itself just now.
            let _ = kill_process(pid, Signal::INT);
        }
        match tokio::time::timeout(FAREWELL, self.process.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.process.kill().await?;
                bail!(
                    "the gateway did not end within {} s and was killed:\n{}",
                    FAREWELL.as_secs(),
                    self.tail()
                );
            }
        }
    }

    /// The last lines that it wrote.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Of a process and those that it has started, as `/proc` counts it. What has ended counts for nothing.
fn cpu_of(id: u32) -> Duration {
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let stat = read(format!("/proc/{id}/stat"));
    // The name, which may hold anything, ends with the last parenthesis; user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let mut all = Duration::from_millis(ticks * 1000 / per_second);
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else { return all };
    for thread in threads.flatten() {
        for child in read(thread.path().join("children").display().to_string()).split_whitespace() {
            all += child.parse().map_or(Duration::ZERO, cpu_of);
        }
    }
    all
}
