//! What waits to be spoken: chunks with marks, taken 20 ms at a time, stopped and resumed at the very sample.
//!
//! Chunks keep the rate they came with until shortly before they are due: so a long chunk costs nothing when it comes, and dropping it
//! costs nothing at all. Everything is counted in samples, after conversion to the session's rate, so that for each mark what left, what was
//! dropped and what was given add up exactly.
//!
//! Sound that stops in the middle of a wave clicks. So `pause` and `hush` let the next 5 ms leave with a falling gain, and these count as
//! played; `resume` goes on with the sample after them under a rising gain. No sample is ever played twice, or lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::{Hushed, Mark, PlayChunk};
use crate::rate::{Rate, Sound};
use crate::resample::{RATES, Resampler, convert};
use crate::{Event, LINE_RATE, PlayError};

/// The fade at the highest rate: 5 ms.
const MAX_FADE: usize = 80;
/// Chunks that may wait, however short they are.
const MAX_CHUNKS: usize = 4_096;
/// Rates for which a resampler is kept.
const MAX_RATES: usize = 4;

pub(crate) struct Playout {
    rate: Rate,
    /// Samples of the fade.
    fade: usize,
    chunks: VecDeque<PlayChunk>,
    /// Samples of the first chunk that have been converted.
    offset: usize,
    /// Line time of all chunks but what has been converted, roughly (rounded per chunk). Bounds the queue.
    waiting: u64,
    limit: u64,
    current: Option<Current>,
    /// One for each rate met so far, and which of them holds the current mark.
    resamplers: Vec<(u32, Resampler)>,
    active: Option<usize>,
    /// Converted samples of the current mark.
    ready: Vec<i16>,
    taken: usize,
    paused: bool,
    /// The last frame ended in sound: to stop now needs a fade.
    sounding: bool,
    /// The next sound begins after a pause: it needs a rising gain.
    rising: bool,
    /// The fade of what was hushed, still to leave.
    tail: [i16; MAX_FADE],
    tail_left: usize,
}

struct Current {
    mark: Mark,
    /// What left, in half units of line time, which is a whole number at either rate.
    played: u64,
    /// Nothing more comes: when `ready` is empty the mark has been played.
    complete: bool,
}

impl Playout {
    pub(crate) fn new(max_queue: Duration) -> Self {
        Playout {
            rate: Rate::Narrow,
            fade: MAX_FADE / 2,
            chunks: VecDeque::with_capacity(32),
            offset: 0,
            waiting: 0,
            limit: max_queue.as_millis() as u64 * u64::from(LINE_RATE) / 1_000,
            current: None,
            resamplers: Vec::with_capacity(MAX_RATES),
            active: None,
            ready: Vec::with_capacity(4 * Rate::Narrow.frame()),
            taken: 0,
            paused: false,
            sounding: false,
            rising: false,
            tail: [0; MAX_FADE],
            tail_left: 0,
        }
    }

    /// The session's rate has become another one. What is ready is converted, so nothing of a mark is lost.
    pub(crate) fn set_rate(&mut self, rate: Rate) {
        if self.rate == rate {
            return;
        }
        self.finish();
        self.ready.drain(..self.taken);
        self.taken = 0;
        let ready = convert(&self.ready, self.rate.hz(), rate.hz());
        self.ready = Vec::with_capacity(4 * rate.frame());
        self.ready.extend(ready);
        self.resamplers.clear();
        self.rate = rate;
        self.fade = MAX_FADE * rate.scale() / 2;
        self.tail_left = 0;
    }

    pub(crate) fn play(&mut self, chunk: PlayChunk) -> Result<(), PlayError> {
        if !RATES.contains(&chunk.rate) {
            return Err(PlayError::UnsupportedRate(chunk.rate));
        }
        let length = samples_at(LINE_RATE, chunk.pcm.len(), chunk.rate);
        if self.chunks.len() >= MAX_CHUNKS || (self.waiting > 0 && self.waiting + length > self.limit) {
            return Err(PlayError::QueueFull);
        }
        self.waiting += length;
        self.chunks.push_back(chunk);
        Ok(())
    }

    /// How much waits, about.
    pub(crate) fn queued(&self) -> Duration {
        duration(2 * self.waiting + self.halves(self.ready.len() - self.taken))
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }

    pub(crate) fn hush(&mut self) -> Hushed {
        let mut hushed = Hushed::default();
        if self.sounding && self.tail_left == 0 {
            let mut tail = [0; MAX_FADE];
            self.tail_left = self.take(&mut tail[..self.fade]);
            fall(&mut tail[..self.tail_left]);
            self.tail = tail;
        }
        let mut dropped = (self.ready.len() - self.taken) as u64;
        let mut last = None;
        if let Some(current) = self.current.take() {
            last = Some(current.mark);
            dropped += self.drop_rest_of(current.mark);
            if current.played > 0 {
                hushed.mark = Some(current.mark);
                hushed.played = duration(current.played);
            } else {
                hushed.unplayed_marks.push(current.mark);
            }
        }
        while let Some(chunk) = self.chunks.front() {
            let mark = chunk.mark;
            // A mark that is named again later, after another, is a new one.
            if last != Some(mark) || hushed.unplayed_marks.last() != Some(&mark) {
                hushed.unplayed_marks.push(mark);
            }
            last = Some(mark);
            dropped += self.drop_rest_of(mark);
        }
        hushed.dropped = duration(self.halves(dropped as usize));
        self.ready.clear();
        self.taken = 0;
        self.waiting = 0;
        self.paused = false;
        self.sounding = false;
        self.rising = false;
        hushed
    }

    /// Fills a frame, with silence where nothing is to be played, and tells what began and ended in it. Gives how many of its samples
    /// belong to marks.
    pub(crate) fn pull(&mut self, now: Instant, frame: &mut Sound, events: &mut VecDeque<Event>) -> usize {
        let fade = self.fade;
        frame.fill(0);
        let start = self.tail_left;
        frame[..start].copy_from_slice(&self.tail[..start]);
        self.tail_left = 0;
        if self.paused {
            if self.sounding {
                let faded = self.take_telling(now, &mut frame[start..start + fade], events);
                fall(&mut frame[start..start + faded]);
                self.sounding = false;
                self.rising = true;
                return start + faded;
            }
            return start;
        }
        let taken = self.take_telling(now, &mut frame[start..], events);
        if taken > 0 && self.rising {
            let steps = fade.min(taken);
            for (index, sample) in frame[start..start + steps].iter_mut().enumerate() {
                *sample = (i32::from(*sample) * (index as i32 + 1) / (fade as i32 + 1)) as i16;
            }
            self.rising = false;
        }
        self.sounding = start + taken == frame.len();
        start + taken
    }

    /// Takes samples of as many marks as it needs, telling of each that begins or ends.
    fn take_telling(&mut self, now: Instant, out: &mut [i16], events: &mut VecDeque<Event>) -> usize {
        let mut filled = 0;
        loop {
            let before = self.current.as_ref().map(|current| (current.mark, current.played));
            let taken = self.take(&mut out[filled..]);
            filled += taken;
            let Some(current) = &self.current else { return filled };
            let began = match before {
                Some((mark, played)) => mark == current.mark && played == 0,
                None => true,
            };
            if taken > 0 && began {
                events.push_back(Event::Started { mark: current.mark, at: now });
            }
            if current.complete && self.taken == self.ready.len() {
                let (mark, duration) = (current.mark, duration(current.played));
                events.push_back(Event::Played { mark, duration, at: now });
                self.current = None;
                // The end of a mark may fall on the end of the frame; the next one then begins with the next frame.
                if filled < out.len() {
                    continue;
                }
            }
            return filled;
        }
    }

    /// Takes samples of the current mark, or of the first that waits.
    fn take(&mut self, out: &mut [i16]) -> usize {
        if self.current.is_none() {
            let Some(chunk) = self.chunks.front() else { return 0 };
            self.current = Some(Current { mark: chunk.mark, played: 0, complete: false });
        }
        // One sample more than needed tells whether the mark ends here.
        self.convert(out.len() + 1);
        let taken = out.len().min(self.ready.len() - self.taken);
        out[..taken].copy_from_slice(&self.ready[self.taken..self.taken + taken]);
        self.taken += taken;
        let halves = self.halves(taken);
        if let Some(current) = &mut self.current {
            current.played += halves;
        }
        taken
    }

    /// Converts until so many samples of the current mark are ready, or there are no more.
    fn convert(&mut self, wanted: usize) {
        if self.taken > 0 {
            self.ready.drain(..self.taken);
            self.taken = 0;
        }
        let Some(Current { mark, mut complete, .. }) = self.current else { return };
        while self.ready.len() < wanted && !complete {
            let Some(chunk) = self.chunks.front() else { break };
            let rate = chunk.rate;
            if chunk.mark != mark {
                // Another mark ends this one.
                complete = true;
                self.finish();
                break;
            }
            if self.active.is_none_or(|active| self.resamplers[active].0 != rate) {
                self.finish();
                self.activate(rate);
            }
            let (Some(active), Some(chunk)) = (self.active, self.chunks.front()) else { break };
            // About one frame at a time.
            let end = chunk.pcm.len().min(self.offset + rate as usize / 50);
            self.resamplers[active].1.push(&chunk.pcm[self.offset..end], &mut self.ready);
            self.offset = end;
            if end == chunk.pcm.len() {
                complete = chunk.last;
                self.waiting = self.waiting.saturating_sub(samples_at(LINE_RATE, end, rate));
                self.chunks.pop_front();
                self.offset = 0;
                if complete {
                    self.finish();
                }
            }
        }
        if let Some(current) = &mut self.current {
            current.complete = complete;
        }
    }

    /// Drops the chunks of this mark at the head of the queue. Gives how many samples would still have come of them.
    fn drop_rest_of(&mut self, mark: Mark) -> u64 {
        let mut samples = 0;
        // What follows at one rate counts together, and with what the resampler holds of it.
        let mut rate = self.active.map_or(self.rate.hz(), |active| self.resamplers[active].0);
        let mut more = 0;
        let mut ended = false;
        while self.chunks.front().is_some_and(|chunk| chunk.mark == mark && !ended) {
            let Some(chunk) = self.chunks.pop_front() else { break };
            if chunk.rate != rate {
                samples += self.discard(rate, more);
                rate = chunk.rate;
                more = 0;
            }
            more += chunk.pcm.len() - self.offset;
            ended = chunk.last;
            self.offset = 0;
        }
        samples + self.discard(rate, more)
    }

    /// How many samples would still have come of `more` at this rate and of what the resampler holds; forgets them.
    fn discard(&mut self, rate: u32, more: usize) -> u64 {
        match self.active.take() {
            Some(active) => {
                let resampler = &mut self.resamplers[active].1;
                let samples = resampler.pending(more as u64);
                resampler.reset();
                samples
            }
            None => samples_at(self.rate.hz(), more, rate),
        }
    }

    /// Takes the tail out of the resampler in use.
    fn finish(&mut self) {
        if let Some(active) = self.active.take() {
            self.resamplers[active].1.finish(&mut self.ready);
        }
    }

    /// Puts the resampler of this rate to use; makes it if it is not there.
    fn activate(&mut self, rate: u32) {
        let known = self.resamplers.iter().position(|(known, _)| *known == rate);
        self.active = Some(known.unwrap_or_else(|| {
            self.prepare(rate, Resampler::new(rate, self.rate.hz()));
            self.resamplers.len() - 1
        }));
    }

    /// How many half units of line time so many samples last.
    fn halves(&self, samples: usize) -> u64 {
        samples as u64 * 2 / self.rate.scale() as u64
    }

    /// Keeps a resampler that was made elsewhere, so that none has to be made in a tick.
    pub(crate) fn prepare(&mut self, rate: u32, resampler: Resampler) {
        // One for another rate of the line was made before that changed.
        if resampler.rates() != (rate, self.rate.hz())
            || self.resamplers.iter().any(|(known, _)| *known == rate)
        {
            return;
        }
        if self.resamplers.len() == MAX_RATES {
            // The one in use must stay.
            let oldest = usize::from(self.active == Some(0));
            self.resamplers.remove(oldest);
            self.active = self.active.map(|active| active - usize::from(active > oldest));
        }
        self.resamplers.push((rate, resampler));
    }
}

fn fall(pcm: &mut [i16]) {
    let steps = pcm.len() as i32 + 1;
    for (index, sample) in pcm.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (steps - 1 - index as i32) / steps) as i16;
    }
}

/// Samples at `to` that so many samples at `rate` become.
fn samples_at(to: u32, samples: usize, rate: u32) -> u64 {
    samples as u64 * u64::from(to) / u64::from(rate)
}

/// Exact: half a unit of line time lasts 62.5 µs.
fn duration(halves: u64) -> Duration {
    Duration::from_nanos(halves * 62_500)
}
