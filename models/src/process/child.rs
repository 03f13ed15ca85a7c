//! One life of one engine: the process, its three pipes, and what it said last.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Command, Limits, StartError};
use crate::wire::{self, Decoder, Frame, Hello, WireError};

/// Frames on their way in; full: the pipe fills and the engine waits.
const FRAMES_IN: usize = 256;
/// Frames on their way out; full: the engine has stopped reading, and the job is refused.
const FRAMES_OUT: usize = 64;
/// Lines of its log that are kept to explain a death.
const LAST_WORDS: usize = 4;
const LINE: usize = 2000;

#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: u32,
    pub(super) hello: Hello,
    pub(super) frames: mpsc::Receiver<Result<Frame, WireError>>,
    out: Option<mpsc::Sender<Vec<u8>>>,
    process: tokio::process::Child,
    pipes: JoinSet<()>,
    words: Arc<Mutex<VecDeque<String>>>,
    last_heard: Instant,
    pinged: Option<Instant>,
}

impl Child {
    /// Starts the process and waits for its hello.
    pub(super) async fn start(command: &Command, limits: &Limits) -> Result<Child, StartError> {
        let engine = command.name;
        let mut child = Child::spawn(command)?;
        let hello = Hello {
            protocol: wire::VERSION,
            name: "offhook".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..Hello::default()
        };
        let detail = match child.send(&Frame::Hello(hello)) {
            Err(e) => e,
            Ok(()) => match timeout(limits.start, child.frames.recv()).await {
                Err(_) => format!("its model was not loaded within {:?}", limits.start),
                Ok(Some(Ok(Frame::Hello(hello)))) if hello.protocol == wire::VERSION => {
                    tracing::info!(engine, pid = child.pid, model = %hello.model, load_ms = hello.load_ms, "engine ready");
                    child.hello = hello;
                    child.heard();
                    return Ok(child);
                }
                Ok(Some(Ok(Frame::Hello(hello)))) => {
                    format!("it speaks protocol {}, we speak {}", hello.protocol, wire::VERSION)
                }
                Ok(Some(Ok(Frame::Failed { failure, .. }))) => failure.message,
                Ok(Some(Ok(_))) => "its first words were not hello".into(),
                Ok(Some(Err(e))) => format!("it does not keep the protocol: {e}"),
                Ok(None) => child.obituary().await,
            },
        };
        child.end(Duration::ZERO, false).await;
        Err(StartError::Failed { engine, detail })
    }

    fn spawn(command: &Command) -> Result<Child, StartError> {
        let engine = command.name;
        let failed = |source| StartError::Spawn { program: command.program.clone(), source };
        let mut process = tokio::process::Command::new(&command.program)
            .args(&command.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C in a terminal reaches the whole group; when the engine ends is ours to say.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let gone = || failed(std::io::Error::other("a pipe is missing"));
        let mut stdin = process.stdin.take().ok_or_else(gone)?;
        let mut stdout = process.stdout.take().ok_or_else(gone)?;
        let stderr = process.stderr.take().ok_or_else(gone)?;
        let pid = process.id().ok_or_else(gone)?;

        let (out, mut outgoing) = mpsc::channel::<Vec<u8>>(FRAMES_OUT);
        let (incoming, frames) = mpsc::channel(FRAMES_IN);
        let words = Arc::new(Mutex::new(VecDeque::with_capacity(LAST_WORDS)));
        let mut pipes = JoinSet::new();
        pipes.spawn(async move {
            while let Some(bytes) = outgoing.recv().await {
                // A broken pipe is a dead engine, which the reader sees too.
                if stdin.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        pipes.spawn(async move {
            let mut decoder = Decoder::new();
            let mut bytes = vec![0; 64 * 1024];
            loop {
                match stdout.read(&mut bytes).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => decoder.push(&bytes[..n]),
                }
                loop {
                    let frame = match decoder.poll() {
                        Ok(None) => break,
                        Ok(Some(frame)) => Ok(frame),
                        Err(e) => Err(e),
                    };
                    if incoming.send(frame).await.is_err() {
                        return;
                    }
                }
            }
        });
        let kept = words.clone();
        pipes.spawn(async move {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            loop {
                line.clear();
                match (&mut lines).take(LINE as u64).read_until(b'\n', &mut line).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if text.is_empty() {
                    continue;
                }
                tracing::debug!(target: "models::engine", engine, pid, "{text}");
                let mut words = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() == LAST_WORDS {
                    words.pop_front();
                }
                words.push_back(text);
            }
        });
        Ok(Child {
            pid,
            hello: Hello::default(),
            frames,
            out: Some(out),
            process,
            pipes,
            words,
            last_heard: Instant::now(),
            pinged: None,
        })
    }

    pub(super) fn send(&self, frame: &Frame) -> Result<(), String> {
        let bytes = frame.encode().map_err(|e| e.to_string())?;
        let out = self.out.as_ref().ok_or("its input is closed")?;
        out.try_send(bytes).map_err(|_| "it does not read its input".into())
    }

    pub(super) fn heard(&mut self) {
        self.last_heard = Instant::now();
        self.pinged = None;
    }

    /// Pings an engine that has been quiet; says what is wrong with one that does not answer.
    pub(super) fn watch(&mut self, limits: &Limits) -> Result<(), String> {
        match self.pinged {
            Some(at) if at.elapsed() > limits.patience => Err("it does not answer".into()),
            Some(_) => Ok(()),
            None if self.last_heard.elapsed() > limits.patience / 2 => {
                self.pinged = Some(Instant::now());
                self.send(&Frame::Ping(0))
            }
            None => Ok(()),
        }
    }

    /// How it died, once its output has ended.
    pub(super) async fn obituary(&mut self) -> String {
        let how = match timeout(Duration::from_secs(1), self.process.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(e)) => e.to_string(),
            Err(_) => "it closed its output".into(),
        };
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        match words.iter().map(String::as_str).collect::<Vec<_>>().join(" | ") {
            last if last.is_empty() => how,
            last => format!("{how}; its last words: {last}"),
        }
    }

    /// Ends the process, gently if there is reason to, and reaps it.
    pub(super) async fn end(&mut self, grace: Duration, gently: bool) {
        self.out = None;
        self.frames.close();
        if !(gently && timeout(grace, self.process.wait()).await.is_ok()) {
            // Fails only if it has ended already.
            let _ = self.process.start_kill();
            let _ = self.process.wait().await;
        }
        self.pipes.shutdown().await;
    }
}
