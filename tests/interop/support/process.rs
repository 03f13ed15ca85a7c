//! A child process that cannot outlive its test.
//!
//! It runs in a process group of its own, asks the kernel for a SIGTERM should the test's thread die, and is ended by
//! its id when the value is dropped: SIGTERM first, so that it can say goodbye, then SIGKILL for whatever of its group
//! is left. What it prints is kept line by line, to be waited for and to be shown when a test fails.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::watch::Watch;

/// How long a peer may take to leave after SIGTERM before it is killed.
const GOODBYE: Duration = Duration::from_secs(20);

pub(crate) struct Process {
    name: String,
    pid: Pid,
    exit: Arc<Watch<Option<ExitStatus>>>,
    log: Arc<Watch<Log>>,
}

/// What came out of both pipes, and how many of them are still open.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    /// When each of them came.
    moments: Vec<Instant>,
    open: u8,
}

impl Process {
    pub(crate) fn spawn(
        name: &str,
        program: impl AsRef<Path>,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Process {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program.as_ref()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        change(&mut command);
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{name} did not start: {error} (is it installed? scripts/setup-test.sh does it)")
        });
        let pid = Pid::from_child(&child);
        let log = Arc::new(Watch::<Log>::default());
        collect(child.stdout.take().expect("piped above"), Arc::clone(&log));
        collect(child.stderr.take().expect("piped above"), Arc::clone(&log));
        let exit = Arc::new(Watch::<Option<ExitStatus>>::default());
        let reaped = Arc::clone(&exit);
        thread::spawn(move || {
            let status = child.wait().expect("a child can be waited for once");
            reaped.change(|exit| *exit = Some(status));
        });
        Process { name: name.to_owned(), pid, exit, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.exit.read(Option::is_none)
    }

    /// The first line that contains `text`. Panics with the log when it does not come.
    pub(crate) fn wait_for_line(&self, text: &str, within: Duration) -> String {
        self.wait_for_lines(text, 1, within)
    }

    /// As above, for the line that is the `count`-th of its kind.
    pub(crate) fn wait_for_lines(&self, text: &str, count: usize, within: Duration) -> String {
        let found = self.log.wait(within, |log| {
            let line = log.lines.iter().filter(|line| line.contains(text)).nth(count - 1);
            match line {
                Some(line) => Some(Some(line.clone())),
                None => (log.open == 0).then_some(None),
            }
        });
        match found {
            Some(Some(line)) => line,
            Some(None) => panic!("{} ended before it said {text:?}.\n{}", self.name, self.tail()),
            None => panic!("{} did not say {text:?} within {within:?}.\n{}", self.name, self.tail()),
        }
    }

    /// When the first line that contains `text` came.
    pub(crate) fn moment_of_line(&self, text: &str, within: Duration) -> Instant {
        self.wait_for_line(text, within);
        let found = self.log.read(|log| {
            let index = log.lines.iter().position(|line| line.contains(text))?;
            log.moments.get(index).copied()
        });
        found.unwrap_or_else(|| panic!("{} has taken {text:?} back", self.name))
    }

    pub(crate) fn count_lines(&self, text: &str) -> usize {
        self.log.read(|log| log.lines.iter().filter(|line| line.contains(text)).count())
    }

    /// Everything it printed, once it has closed its pipes.
    pub(crate) fn output(&self, within: Duration) -> String {
        let all = self.log.wait(within, |log| (log.open == 0).then(|| log.lines.join("\n")));
        all.unwrap_or_else(|| panic!("somebody keeps the pipes of {} open.\n{}", self.name, self.tail()))
    }

    /// The end of what it printed, for a failing test's message.
    pub(crate) fn tail(&self) -> String {
        let lines = self.log.read(|log| log.lines[log.lines.len().saturating_sub(60)..].join("\n"));
        format!("---- {} (the last lines it printed) ----\n{lines}\n----", self.name)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            kill_process(self.pid, signal).expect("a living child of ours takes a signal");
        }
    }

    /// How it ended. Panics with the log when it does not end in time.
    pub(crate) fn wait(&self, within: Duration) -> ExitStatus {
        self.exit
            .wait(within, |exit| *exit)
            .unwrap_or_else(|| panic!("{} did not end within {within:?}.\n{}", self.name, self.tail()))
    }

    /// It and everybody that it started, by id and name.
    pub(crate) fn family(&self) -> Vec<(u32, String)> {
        family_of(self.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if self.exit.wait(GOODBYE, |exit| *exit).is_none() {
            eprintln!("{} did not leave within {GOODBYE:?} of SIGTERM and is killed", self.name);
        }
        // Workers that the main process left behind; an empty group is no error.
        let _ = kill_process_group(self.pid, Signal::KILL);
        if thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}

fn collect(from: impl Read + Send + 'static, log: Arc<Watch<Log>>) {
    log.change(|log| log.open += 1);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while matches!(from.read_until(b'\n', &mut bytes), Ok(1..)) {
            // A status line that overwrites itself is no news.
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
            log.change(|log| {
                log.lines.push(line);
                log.moments.push(Instant::now());
            });
            bytes.clear();
        }
        log.change(|log| log.open -= 1);
    });
}

/// A process and its children, and theirs. A zombie has already given everything back and is not counted.
pub(crate) fn family_of(head: u32) -> Vec<(u32, String)> {
    let all = processes();
    let mut family: Vec<u32> = vec![head];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|(_, _, of)| *of == parent).map(|(pid, _, _)| *pid));
        next += 1;
    }
    let alive = all.into_iter().filter(|(pid, _, _)| family.contains(pid));
    alive.map(|(pid, name, _)| (pid, name)).collect()
}

/// Those of them who are still alive, whoever looks after them now.
pub(crate) fn survivors(family: &[(u32, String)]) -> Vec<(u32, String)> {
    let alive: Vec<(u32, String)> = processes().into_iter().map(|(pid, name, _)| (pid, name)).collect();
    family.iter().filter(|member| alive.contains(member)).cloned().collect()
}

/// Id, name and parent of all.
fn processes() -> Vec<(u32, String, u32)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (comm) state ppid …; comm may contain anything, so cut at the last bracket.
        let Some((head, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next(), fields.next().and_then(|parent| parent.parse().ok()));
        if let (Some(parent), true) = (parent, state != Some("Z")) {
            all.push((pid, head.split_once('(').map_or("", |(_, name)| name).to_owned(), parent));
        }
    }
    all
}

/// Resident memory in KiB, from /proc.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is alive");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has a VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Open file descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is alive").count()
}
