//! The engine's side of the protocol, spoken to by hand: it answers nonsense, obeys a cancellation, and dies with its
//! input.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use models::wire::{self, Frame, Generate, Hello, JobId, Message, Task};

struct Engine {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Engine {
    fn start() -> Engine {
        let exe = std::env::current_exe().unwrap();
        let program: PathBuf = exe.parent().unwrap().parent().unwrap().join("examples/scripted_engine");
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("{}: {e}; build it: cargo build -p models --examples", program.display())
            });
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut engine = Engine { child, input, output };
        assert!(matches!(engine.next(), Frame::Hello(hello) if hello.protocol == wire::VERSION));
        engine
    }

    fn greeted() -> Engine {
        let mut engine = Engine::start();
        engine.send(&Frame::Hello(Hello { protocol: wire::VERSION, ..Hello::default() }));
        engine
    }

    fn send(&mut self, frame: &Frame) {
        self.raw(&frame.encode().unwrap());
    }

    fn raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).and_then(|()| input.flush()).unwrap();
    }

    fn next(&mut self) -> Frame {
        wire::read(&mut self.output).unwrap().expect("it has not ended")
    }

    fn complaint(&mut self) -> (JobId, String) {
        match self.next() {
            Frame::Failed { job, failure } => (job, failure.kind),
            other => panic!("{other:?}"),
        }
    }

    fn job(number: u32, said: &str) -> Frame {
        let messages = vec![Message { role: "user".into(), content: said.into() }];
        Frame::Job {
            job: JobId(number),
            task: Task::Generate(Generate { messages, ..Generate::default() }),
            pcm: vec![],
        }
    }

    /// Whether it ends by itself: its output does with it.
    fn ends(&mut self) -> bool {
        let mut output = std::fs::File::from(self.output.as_fd().try_clone_to_owned().unwrap());
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || ended.send(std::io::copy(&mut output, &mut std::io::sink())));
        end.recv_timeout(Duration::from_secs(30)).is_ok() && self.child.wait().is_ok()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nonsense_is_answered_and_the_next_frame_is_read() {
    let mut engine = Engine::greeted();
    // A kind that is not known; a task that is no JSON; half a sample; a frame that only an engine sends.
    engine.raw(&[5, 0, 0, 0, 99, 7, 0, 0, 0]);
    assert_eq!(engine.complaint(), (JobId(7), "malformed".into()));
    engine.raw(&[12, 0, 0, 0, 2, 8, 0, 0, 0, 3, 0, 0, 0, b'{', b'x', b'}']);
    assert_eq!(engine.complaint(), (JobId(8), "malformed".into()));
    let mut odd = Engine::job(9, "hello").encode().unwrap();
    odd.push(1);
    let len = (odd.len() - 4) as u32;
    odd[..4].copy_from_slice(&len.to_le_bytes());
    engine.raw(&odd);
    assert_eq!(engine.complaint(), (JobId(9), "malformed".into()));
    engine.send(&Frame::Text { job: JobId(1), text: "no".into() });
    assert_eq!(engine.complaint().1, "malformed");
    engine.send(&Frame::Ping(42));
    assert_eq!(engine.next(), Frame::Pong(42));
    engine.send(&Engine::job(10, "still here"));
    assert_eq!(engine.next(), Frame::Text { job: JobId(10), text: "still here".into() });
}

#[test]
fn a_length_that_cannot_be_ends_it_with_a_word() {
    let mut engine = Engine::greeted();
    engine.raw(&[0xff; 9]);
    assert_eq!(engine.complaint(), (JobId(0), "malformed".into()));
    assert!(engine.ends());
}

#[test]
fn who_speaks_another_version_or_does_not_greet_is_refused() {
    let mut engine = Engine::start();
    engine.send(&Engine::job(1, "hello"));
    assert_eq!(engine.complaint(), (JobId(1), "protocol".into()));
    engine.send(&Frame::Hello(Hello { protocol: 99, ..Hello::default() }));
    assert_eq!(engine.complaint(), (JobId(0), "protocol".into()));
}

#[test]
fn a_cancellation_is_obeyed_while_the_job_runs() {
    let mut engine = Engine::greeted();
    engine.send(&Engine::job(1, "sleep"));
    assert!(matches!(engine.next(), Frame::Text { .. }));
    // Somebody else's, and one that is not there.
    engine.send(&Frame::Cancel(JobId(99)));
    engine.send(&Frame::Cancel(JobId(1)));
    assert_eq!(engine.complaint(), (JobId(1), "canceled".into()));
}

#[test]
fn it_ends_with_its_input_however_busy_it_is() {
    let mut engine = Engine::greeted();
    engine.send(&Engine::job(1, "hang"));
    assert!(matches!(engine.next(), Frame::Text { .. }));
    engine.send(&Frame::Ping(1));
    assert_eq!(engine.next(), Frame::Pong(1), "busy, and yet awake");
    engine.input = None;
    assert!(engine.ends(), "an orphan");
    let mut rest = Vec::new();
    engine.output.read_to_end(&mut rest).unwrap();
}
