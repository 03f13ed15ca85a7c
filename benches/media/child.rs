//! Another process of this program, and what the system says of it.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Child {
    process: std::process::Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(args: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(args)
            // As the service unit starts it.
            .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Child { process, orders, answers })
    }

    pub(crate) fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the measured process has gone".into());
        }
        Ok(line.trim().to_owned())
    }

    pub(crate) fn ask(&mut self, order: &str) -> Result<String, Box<dyn Error>> {
        writeln!(self.orders.as_mut().ok_or("no pipe")?, "{order}")?;
        self.line()
    }

    /// Milliseconds that its threads have run, each thread's name with it.
    pub(crate) fn cpu_ms(&self) -> Result<Vec<(String, f64)>, Box<dyn Error>> {
        let mut threads = Vec::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let path = task?.path();
            // A thread may end while we look.
            let (Ok(name), Ok(times)) =
                (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("schedstat")))
            else {
                continue;
            };
            let ran: f64 = times.split_whitespace().next().unwrap_or("0").parse()?;
            threads.push((name.trim().to_owned(), ran / 1e6));
        }
        Ok(threads)
    }

    pub(crate) fn rss_kb(&self) -> Result<f64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    pub(crate) fn descriptors(&self) -> Result<usize, Box<dyn Error>> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.count())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Its orders end, so it ends; a reflector has none.
        if self.orders.take().is_none() || self.process.try_wait().is_err() {
            return;
        }
        for _ in 0..40 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where and on what this was measured.
pub(crate) fn conditions() -> Result<String, Box<dyn Error>> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown CPU");
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    Ok(format!(
        "{cores} cores of {}, Linux {}, load {load} before it began",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    ))
}
