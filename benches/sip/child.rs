//! The process that is measured, seen from outside.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest that transactions may outlive the time that the RFC gives them.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Child {
    process: std::process::Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct Alive {
    pub(crate) legs: usize,
    pub(crate) transactions: usize,
    /// What is allocated and not freed.
    pub(crate) heap_kb: f64,
}

impl Child {
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("answer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take().ok_or("no pipe")?;
        let mut answers = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok(Self { addr: line.trim().parse()?, process, questions, answers })
    }

    pub(crate) fn alive(&mut self) -> Result<Alive, Box<dyn Error>> {
        writeln!(self.questions)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let numbers: Vec<usize> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [legs, transactions, heap] = numbers[..] else {
            return Err("the application has gone".into());
        };
        Ok(Alive { legs, transactions, heap_kb: heap as f64 / 1024.0 })
    }

    /// Until `at`, and then until nothing is alive in it.
    pub(crate) fn wait_until_idle(&mut self, at: Instant) -> Result<Alive, Box<dyn Error>> {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        loop {
            let alive = self.alive()?;
            if (alive.legs, alive.transactions) == (0, 0) {
                return Ok(alive);
            }
            if Instant::now() > at + PATIENCE {
                return Err(format!("something does not end: {alive:?}").into());
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// User and system time so far.
    pub(crate) fn cpu_ms(&self) -> Result<f64, Box<dyn Error>> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name of the program may hold blanks; what counts stands behind it: utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').ok_or("no stat")?.1;
        let ticks: Vec<u64> =
            fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        // USER_HZ, which is 100 on every Linux of today.
        Ok(ticks.iter().sum::<u64>() as f64 * 10.0)
    }

    pub(crate) fn rss_kb(&self) -> Result<i64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Gone already, perhaps.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where and on what this was measured.
pub(crate) fn conditions() -> Result<String, Box<dyn Error>> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown CPU");
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let sipp = Command::new("sipp").arg("-v").output().map_err(|error| format!("sipp: {error}"))?;
    let sipp = String::from_utf8_lossy(&[sipp.stdout, sipp.stderr].concat()).into_owned();
    let sipp = sipp.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned();
    Ok(format!(
        "bench-sip: {cores} cores of {}, Linux {}, load {load} before it began, {sipp}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    ))
}
