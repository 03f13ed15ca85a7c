//! The recording thread: takes blocks of 20 ms out of a bounded ring and puts them into files.
//!
//! The tick only tries to put a block in. If the disk is so slow that the ring is full, that block is missing; its number tells the writer, which
//! puts silence there, so both sides stay aligned with the call's clock. The first block tells the file's rate; should the call go on at
//! another one, that is converted here. While a file cannot be written, what should stand there is lost, the
//! reason is left where the engine sees it, and the call goes on; so does the recording, behind a silence of that length, when there is room again.
//!
//! Where keys are not to be recorded, they and the 100 ms before are silenced: a key is known only when it has sounded for a while. So much is kept
//! back from the file for that.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::rate::{Block, Converter, Rate, Sound};
use crate::wav::Writer;
use crate::{Event, LINE_RATE, TICK_MS};

/// Blocks that the ring holds, of all recordings together: 82 s of one call, 0.8 s of a hundred.
const RING: usize = 4_096;
/// A file is flushed after so many bytes: one second of stereo, half a second of the wider.
const FLUSH_BYTES: usize = LINE_RATE as usize * 4;
/// And when nothing came for so long.
const FLUSH_IDLE: Duration = Duration::from_millis(500);
/// Silence is put in for at most so many missing blocks: 10 minutes. More is a mistake in the numbers.
const MAX_GAP: u64 = 30_000;

/// Blocks before a key that are silenced with it, where keys are not to be recorded.
const LOOK_BACK: usize = 5;

/// What the engine's threads see of a recording that cannot be written.
#[derive(Default)]
pub(super) struct Trouble {
    /// Why it could not be, the first time.
    reason: OnceLock<String>,
    /// It cannot be now.
    failing: AtomicBool,
    /// Blocks that were lost.
    lost: AtomicU64,
}

impl Trouble {
    pub(super) fn reason(&self) -> Option<&String> {
        self.reason.get()
    }

    pub(super) fn is_now(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }

    fn of(&self, error: &io::Error, blocks: u64) {
        let _ = self.reason.set(error.to_string());
        self.lost.fetch_add(blocks, Ordering::AcqRel);
        self.failing.store(true, Ordering::Release);
    }
}

/// Not boxed: the ring's slots are made once, and the tick must not allocate.
#[allow(clippy::large_enum_variant, reason = "a box per block would allocate in every tick")]
pub(super) enum Job {
    Open {
        id: u64,
        writer: Writer,
        trouble: Arc<Trouble>,
    },
    /// `hidden`: keys are on the peer's side, on ours, and are not to be recorded.
    Block {
        id: u64,
        number: u64,
        block: Block,
        hidden: [bool; 2],
    },
    Close {
        id: u64,
        done: oneshot::Sender<()>,
    },
}

/// The sender's side of the ring.
#[derive(Clone)]
pub(super) struct Recorder {
    jobs: SyncSender<Job>,
}

impl Recorder {
    pub(super) fn start() -> io::Result<(Recorder, JoinHandle<()>)> {
        let (sender, jobs) = sync_channel(RING);
        let thread = std::thread::Builder::new().name("media-record".into()).spawn(move || run(&jobs))?;
        Ok((Recorder { jobs: sender }, thread))
    }

    /// Gives the job back if the ring is full; drops it if the thread is gone.
    #[allow(clippy::result_large_err, reason = "the job is handed back to be offered again")]
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        match self.jobs.try_send(job) {
            Err(TrySendError::Full(job)) => Err(job),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

/// A recording as the engine's thread sees it.
pub(super) struct Tape {
    pub(super) id: u64,
    pub(super) recorder: Recorder,
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) gaps: u64,
    pub(super) trouble: Arc<Trouble>,
    /// The owner knows that there is trouble.
    pub(super) told: bool,
    /// Nothing is to be recorded for a while.
    pub(super) paused: bool,
    /// As in [`Job::Block`].
    pub(super) hidden: [bool; 2],
}

impl Tape {
    pub(super) fn block(&mut self, mut block: Block) {
        if self.paused {
            block.fill(0);
        }
        let job = Job::Block { id: self.id, number: self.number, block, hidden: self.hidden };
        if self.recorder.offer(job).is_err() {
            self.gaps += 1;
        }
        self.number += 1;
    }

    /// Blocks that the file lacks.
    pub(super) fn missing(&self) -> u64 {
        self.gaps + self.trouble.lost()
    }

    /// What the owner is to be told, if the disk has become full or has room again.
    pub(super) fn news(&mut self) -> Option<Event> {
        let failing = self.trouble.is_now();
        if failing == std::mem::replace(&mut self.told, failing) {
            return None;
        }
        let reason = self.trouble.reason().map_or("", String::as_str);
        Some(match failing {
            true => Event::RecordingFailed { reason: format!("{}: {reason}", self.path.display()) },
            false => Event::RecordingResumed { lost_ms: self.trouble.lost() * u64::from(TICK_MS) },
        })
    }
}

struct Open {
    writer: Writer,
    next: u64,
    trouble: Arc<Trouble>,
    /// Bytes of the last block.
    block: usize,
    /// Of the file: that of its first block.
    rate: Option<Rate>,
    /// For blocks of the other rate, one for each side.
    converters: Option<Box<[Converter; 2]>>,
}

impl Open {
    fn new(writer: Writer, trouble: Arc<Trouble>) -> Self {
        Open { writer, next: 0, trouble, block: 0, rate: None, converters: None }
    }

    /// Puts a block in its place, with silence for those that are missing before it.
    fn put(&mut self, number: u64, block: &Block) {
        let rate = *self.rate.get_or_insert_with(|| {
            self.writer.set_rate(block.rate().hz());
            block.rate()
        });
        let missing = Block::new(&Sound::silence(rate), &Sound::silence(rate));
        for _ in 0..number.saturating_sub(self.next).min(MAX_GAP) {
            self.writer.push(&missing);
        }
        if block.rate() == rate {
            self.writer.push(block);
        } else {
            let converters =
                self.converters.get_or_insert_with(|| Box::new([Converter::new(), Converter::new()]));
            let [left, right] = block.sides();
            let [theirs, ours] = &mut **converters;
            self.writer.push(&Block::new(&theirs.convert(&left, rate), &ours.convert(&right, rate)));
        }
        self.next = number + 1;
        self.block = 2 * missing.len();
    }

    /// Silences the block that came last on these sides, and what is kept back before it.
    fn hide(&mut self, sides: [bool; 2]) {
        if sides == [false; 2] {
            return;
        }
        let hidden = self.block * (1 + LOOK_BACK);
        let unwritten = self.writer.unwritten();
        let start = unwritten.len().saturating_sub(hidden);
        for pair in unwritten[start..].chunks_exact_mut(4) {
            let (left, right) = pair.split_at_mut(2);
            for (side, is_hidden) in [left, right].into_iter().zip(sides) {
                if is_hidden {
                    side.fill(0);
                }
            }
        }
    }

    fn flush(&mut self) {
        let kept_back = self.block * LOOK_BACK;
        if self.writer.pending() <= kept_back {
            return;
        }
        match self.writer.flush_but(kept_back) {
            Ok(()) => self.trouble.failing.store(false, Ordering::Release),
            Err(error) => {
                self.trouble.of(&error, (self.writer.pending() / self.block.max(1)) as u64);
                self.writer.skip();
            }
        }
    }
}

fn run(jobs: &Receiver<Job>) {
    let mut open: HashMap<u64, Open> = HashMap::new();
    loop {
        match jobs.recv_timeout(FLUSH_IDLE) {
            Ok(Job::Open { id, writer, trouble }) => {
                open.insert(id, Open::new(writer, trouble));
            }
            Ok(Job::Block { id, number, block, hidden }) => {
                let Some(file) = open.get_mut(&id) else { continue };
                file.put(number, &block);
                file.hide(hidden);
                if file.writer.pending() >= FLUSH_BYTES {
                    file.flush();
                }
            }
            Ok(Job::Close { id, done }) => {
                if let Some(file) = open.remove(&id) {
                    finish(file);
                }
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                for file in open.values_mut().filter(|file| file.writer.pending() > 0) {
                    file.flush();
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                open.into_values().for_each(finish);
                return;
            }
        }
    }
}

fn finish(file: Open) {
    let blocks = (file.writer.pending() / file.block.max(1)) as u64;
    if let Err(error) = file.writer.finish() {
        file.trouble.of(&error, blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of a block, both sides.
    const FRAME: usize = 320;

    fn block(rate: Rate) -> Block {
        let side = Sound::new(rate, &[7; 320]);
        Block::new(&side, &side)
    }

    fn record(writer: Writer, numbers: &[u64]) -> Option<String> {
        record_hiding(writer, numbers, |_| [false; 2])
    }

    fn record_hiding(writer: Writer, numbers: &[u64], hidden: impl Fn(u64) -> [bool; 2]) -> Option<String> {
        let (recorder, thread) = Recorder::start().expect("a thread");
        let trouble = Arc::new(Trouble::default());
        let offer = |job| assert!(recorder.offer(job).is_ok(), "the ring has room");
        offer(Job::Open { id: 1, writer, trouble: Arc::clone(&trouble) });
        for &number in numbers {
            offer(Job::Block { id: 1, number, block: block(Rate::Narrow), hidden: hidden(number) });
        }
        let (done, wait) = oneshot::channel();
        offer(Job::Close { id: 1, done });
        wait.blocking_recv().expect("closed");
        drop(recorder);
        thread.join().expect("no panic");
        trouble.reason().cloned()
    }

    #[test]
    fn a_disk_that_fills_up_ends_the_recording_with_a_reason() {
        let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
            eprintln!("skipped: no /dev/full here");
            return;
        };
        let reason = record(Writer::over(full), &(0..60).collect::<Vec<_>>()).expect("a reason");
        assert!(reason.contains("space"), "{reason}");
    }

    #[test]
    fn blocks_that_are_missing_are_silence_in_the_file() {
        let path = std::env::temp_dir().join(format!("offhook-gaps-{}.wav", std::process::id()));
        let writer = Writer::create(&path, LINE_RATE, 2).expect("created");
        assert_eq!(record(writer, &[0, 1, 5, 6]), None);
        let wav = crate::wav::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        let blocks: Vec<i16> = wav.samples.chunks(FRAME).map(|block| block[0]).collect();
        assert_eq!(blocks, [7, 7, 0, 0, 0, 7, 7]);
    }

    #[test]
    fn the_first_block_gives_the_file_its_rate_and_others_are_brought_to_it() {
        let path = std::env::temp_dir().join(format!("offhook-rates-{}.wav", std::process::id()));
        let writer = Writer::create(&path, LINE_RATE, 2).expect("created");
        let mut tape = Open::new(writer, Arc::default());
        for number in 0..20 {
            tape.put(number, &block(if number < 10 { Rate::Wide } else { Rate::Narrow }));
        }
        finish(tape);
        let wav = crate::wav::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!((wav.rate, wav.samples.len()), (16_000, 20 * 640));
        assert_eq!(wav.samples[19 * 640], 7);
    }

    #[test]
    fn hidden_keys_and_what_was_just_before_them_are_silence_on_their_side() {
        let path = std::env::temp_dir().join(format!("offhook-hidden-{}.wav", std::process::id()));
        // A key on their side whose beginning lies on either side of a flush, and one on ours.
        let keys = |number| [(48..=52).contains(&number) || number == 60, number == 70];
        let writer = Writer::create(&path, LINE_RATE, 2).expect("created");
        assert_eq!(record_hiding(writer, &(0..80).collect::<Vec<_>>(), keys), None);
        let wav = crate::wav::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        for (number, block) in wav.samples.chunks(FRAME).enumerate() {
            let sides =
                [(43..=52).contains(&number) || (55..=60).contains(&number), (65..=70).contains(&number)];
            for (side, is_hidden) in sides.into_iter().enumerate() {
                let expected = if is_hidden { 0 } else { 7 };
                assert!(
                    block.iter().skip(side).step_by(2).all(|&sample| sample == expected),
                    "{number}, {side}"
                );
            }
        }
    }

    #[test]
    fn a_recording_goes_on_where_there_is_room_again() {
        let path = std::env::temp_dir().join(format!("offhook-room-{}.wav", std::process::id()));
        let trouble = Arc::new(Trouble::default());
        let writer = Writer::create(&path, LINE_RATE, 2).expect("created");
        let mut tape = Open { block: 2 * FRAME, ..Open::new(writer, Arc::clone(&trouble)) };
        let block = |tape: &mut Open, sample| {
            tape.writer.push(&[sample; FRAME]);
            tape.flush();
        };
        (0..10).for_each(|_| block(&mut tape, 7));
        assert!(!trouble.is_now());
        // What is kept back meanwhile is lost as well.
        let room =
            tape.writer.replace_file(std::fs::File::open("/dev/null").expect("open for reading alone"));
        (0..10).for_each(|_| block(&mut tape, 8));
        assert!(trouble.is_now() && trouble.reason().is_some());
        tape.writer.replace_file(room);
        (0..10).for_each(|_| block(&mut tape, 9));
        assert!(!trouble.is_now());
        finish(tape);
        let wav = crate::wav::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        let blocks: Vec<i16> = wav.samples.chunks(FRAME).map(|block| block[0]).collect();
        assert_eq!(blocks.len(), 30, "each at its place");
        assert_eq!(blocks.iter().filter(|&&sample| sample == 0).count() as u64, trouble.lost());
        assert!(blocks.iter().filter(|&&sample| sample == 9).count() >= 8, "{blocks:?}");
        assert!(blocks[..5].iter().all(|&sample| sample == 7), "{blocks:?}");
    }
}
