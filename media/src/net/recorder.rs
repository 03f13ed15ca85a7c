//! The recording thread: takes blocks of 20 ms out of a bounded ring and puts them into files.
//!
//! The tick only tries to put a block in. If the disk is so slow that the ring is full, that block is missing; its number tells the writer, which
//! puts silence there, so both sides stay aligned with the call's clock. The first block tells the file's rate; should the call go on at another
//! one, that is converted here. A file that cannot be written is given up, the
//! reason is left where the engine sees it, and the call goes on.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::LINE_RATE;
use crate::rate::{Block, Converter, Rate, Sound};
use crate::wav::Writer;

/// Blocks that the ring holds, of all recordings together: 82 s of one call, 0.8 s of a hundred.
const RING: usize = 4_096;
/// A file is flushed after so many bytes: one second of stereo, half a second of the wider.
const FLUSH_BYTES: usize = LINE_RATE as usize * 4;
/// And when nothing came for so long.
const FLUSH_IDLE: Duration = Duration::from_millis(500);
/// Silence is put in for at most so many missing blocks: 10 minutes. More is a mistake in the numbers.
const MAX_GAP: u64 = 30_000;

/// Not boxed: the ring's slots are made once, and the tick must not allocate.
#[allow(clippy::large_enum_variant, reason = "a box per block would allocate in every tick")]
pub(super) enum Job {
    Open { id: u64, writer: Writer, trouble: Arc<OnceLock<String>> },
    Block { id: u64, number: u64, block: Block },
    Close { id: u64, done: oneshot::Sender<()> },
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
    pub(super) trouble: Arc<OnceLock<String>>,
    pub(super) told: bool,
}

impl Tape {
    pub(super) fn block(&mut self, block: Block) {
        if self.trouble.get().is_some() {
            return;
        }
        if self.recorder.offer(Job::Block { id: self.id, number: self.number, block }).is_err() {
            self.gaps += 1;
        }
        self.number += 1;
    }
}

struct Open {
    writer: Writer,
    next: u64,
    /// Of the file: that of its first block.
    rate: Option<Rate>,
    /// For blocks of the other rate, one for each side.
    converters: Option<Box<[Converter; 2]>>,
    trouble: Arc<OnceLock<String>>,
}

impl Open {
    /// Puts a block in its place. An error is one of the disk, at the first block.
    fn put(&mut self, number: u64, block: &Block) -> io::Result<()> {
        let rate = match self.rate {
            Some(rate) => rate,
            None => {
                self.writer.set_rate(block.rate().hz())?;
                *self.rate.insert(block.rate())
            }
        };
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
        Ok(())
    }
}

fn run(jobs: &Receiver<Job>) {
    let mut open: HashMap<u64, Open> = HashMap::new();
    loop {
        match jobs.recv_timeout(FLUSH_IDLE) {
            Ok(Job::Open { id, writer, trouble }) => {
                open.insert(id, Open { writer, next: 0, rate: None, converters: None, trouble });
            }
            Ok(Job::Block { id, number, block }) => {
                let Some(file) = open.get_mut(&id) else { continue };
                if let Err(error) = file.put(number, &block) {
                    let _ = file.trouble.set(error.to_string());
                    open.remove(&id);
                    continue;
                }
                if file.writer.pending() >= FLUSH_BYTES {
                    flush(&mut open, id);
                }
            }
            Ok(Job::Close { id, done }) => {
                if let Some(file) = open.remove(&id) {
                    finish(file);
                }
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                let waiting = open.iter().filter(|(_, file)| file.writer.pending() > 0).map(|(id, _)| *id);
                for id in waiting.collect::<Vec<_>>() {
                    flush(&mut open, id);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                open.into_values().for_each(finish);
                return;
            }
        }
    }
}

fn flush(open: &mut HashMap<u64, Open>, id: u64) {
    if let Some(file) = open.get_mut(&id)
        && let Err(error) = file.writer.flush()
    {
        let _ = file.trouble.set(error.to_string());
        open.remove(&id);
    }
}

fn finish(file: Open) {
    if let Err(error) = file.writer.finish() {
        let _ = file.trouble.set(error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(rate: Rate) -> Block {
        let side = Sound::new(rate, &[7; 320]);
        Block::new(&side, &side)
    }

    fn record(writer: Writer, blocks: &[(u64, Rate)]) -> Option<String> {
        let (recorder, thread) = Recorder::start().expect("a thread");
        let trouble = Arc::new(OnceLock::new());
        let offer = |job| assert!(recorder.offer(job).is_ok(), "the ring has room");
        offer(Job::Open { id: 1, writer, trouble: Arc::clone(&trouble) });
        for &(number, rate) in blocks {
            offer(Job::Block { id: 1, number, block: block(rate) });
        }
        let (done, wait) = oneshot::channel();
        offer(Job::Close { id: 1, done });
        wait.blocking_recv().expect("closed");
        drop(recorder);
        thread.join().expect("no panic");
        trouble.get().cloned()
    }

    #[test]
    fn a_disk_that_fills_up_ends_the_recording_with_a_reason() {
        let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
            eprintln!("skipped: no /dev/full here");
            return;
        };
        let reason =
            record(Writer::over(full), &(0..60).map(|number| (number, Rate::Narrow)).collect::<Vec<_>>())
                .expect("a reason");
        assert!(reason.contains("space"), "{reason}");
    }

    #[test]
    fn blocks_that_are_missing_are_silence_in_the_file() {
        let path = std::env::temp_dir().join(format!("offhook-gaps-{}.wav", std::process::id()));
        let writer = Writer::create(&path, LINE_RATE, 2).expect("created");
        assert_eq!(record(writer, &[0, 1, 5, 6].map(|number| (number, Rate::Narrow))), None);
        let wav = crate::wav::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        let blocks: Vec<i16> = wav.samples.chunks(320).map(|block| block[0]).collect();
        assert_eq!(blocks, [7, 7, 0, 0, 0, 7, 7]);
    }

    #[test]
    fn the_first_block_gives_the_file_its_rate_and_others_are_brought_to_it() {
        let path = std::env::temp_dir().join(format!("offhook-rates-{}.wav", std::process::id()));
        let writer = Writer::create(&path, LINE_RATE, 2).expect("created");
        let blocks: Vec<(u64, Rate)> =
            (0..20).map(|number| (number, if number < 10 { Rate::Wide } else { Rate::Narrow })).collect();
        assert_eq!(record(writer, &blocks), None);
        let wav = crate::wav::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!((wav.rate, wav.samples.len()), (16_000, 20 * 640));
        assert_eq!(wav.samples[19 * 640], 7);
    }
}
