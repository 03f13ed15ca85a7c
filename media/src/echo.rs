//! Is this our own voice that comes back? Lines, and telephones with their loudspeaker on, return a part of what is said to them,
//! 20 to 480 ms later. To a voice detector that is a voice.
//!
//! Nothing is learned and nothing can diverge: a frame that sounds like voice is compared, at that moment, with what was sent.
//!
//! 1. Both sides are brought to 4 kHz, where speech has its energy and G.711 little noise.
//! 2. The last 80 ms heard are whitened by linear prediction, and what was sent by the same filter. Where one is an echo of the
//!    other they stay so, for the line is linear too; where they are not, what made them alike (pitch apart) is gone.
//! 3. Their correlation is looked for at all delays, with the samples beside it, in which a hybrid spreads the echo. Its square is the
//!    share of the heard energy that what was sent explains.
//!
//! A caller who speaks over the echo adds energy that nothing explains. An echo that was found is looked for at its own delay first, which
//! costs next to nothing, and its loudness then excuses the frames in which whispered consonants leave too little to compare.

mod products;

use crate::LINE_FRAME;
use crate::rate::{Rate, Sound};
use crate::resample::round;
use crate::widest::{Width, dot, widest};
use products::Transforms;

/// Samples of one tick at 4 kHz.
const TICK: usize = LINE_FRAME / 2;
/// What is compared: 80 ms.
const WINDOW: usize = 4 * TICK;
/// The longest delay: 480 ms, in which the path's own 300 ms, packets and both jitter buffers have room.
const LONGEST: usize = 24 * TICK;
/// Terms of the prediction.
const ORDER: usize = 8;
const HEARD: usize = WINDOW + ORDER;
const SENT: usize = HEARD + LONGEST;
/// Places that share the energy by which their products are judged; and how many such there are at all delays and around one, with one beyond the end.
const GROUP: usize = 4;
const GROUPS: usize = (LONGEST + WINDOW) / GROUP + 1;
const GROUPS_AROUND: usize = (4 * BESIDE + WINDOW) / GROUP + 1;
/// Room for so many ticks more.
const SPARE: usize = 16 * TICK;
/// Samples beside the peak that belong to it: 2 ms.
const BESIDE: usize = 8;
/// Share of the energy that must be explained where nothing is known of an echo yet, where it must be beyond doubt, and where all else speaks
/// for an echo.
const UNKNOWN: f32 = 0.55;
const CERTAIN: f32 = 0.6;
const HINT: f32 = 0.08;
/// So much louder than the echo must be what is no echo although its delay fits badly: 4 dB.
const ABOVE: f32 = 2.5;
/// For so many ticks a path counts as known: 2 s of voice.
const MEMORY: u32 = 100;
/// Of the first frames of a voice one in so many is searched. After so many frames without a find it is somebody's voice, and one in so many more does: these searches are
/// most of what a tick takes while both speak.
const AT_FIRST: u32 = 2;
const SURE: u32 = 8;
const NOW_AND_THEN: u32 = 8;
/// A voice is another one after so many ticks without.
const NEW: u32 = 10;
/// Energy of a window below which nothing was sent: about −66 dBFS.
const SOUND: f32 = WINDOW as f32 * 16.0 * 16.0;

pub(crate) struct Echo {
    /// What was sent; the last [`SENT`] before `end` count. Whole numbers, for that is half as much to fetch from memory. It is moved to the front when the end is reached, and not before.
    sent: Box<[i16; SENT + SPARE]>,
    end: usize,
    heard: [f32; HEARD],
    halve_sent: Halve,
    halve_heard: Halve,
    /// Ticks for which something sent is still in view.
    sounding: u32,
    path: Option<Path>,
    /// Searches at all delays in a row that found nothing, those left out counted too; and ticks since it was asked last.
    misses: u32,
    unasked: u32,
    transforms: &'static Transforms,
}

/// An echo that was found.
#[derive(Clone, Copy, Debug)]
struct Path {
    /// In samples.
    delay: usize,
    /// Energy heard of energy sent.
    gain: f32,
    /// Ticks until it is forgotten.
    left: u32,
}

impl Echo {
    pub(crate) fn new() -> Self {
        Echo {
            sent: Box::new([0; SENT + SPARE]),
            end: SENT,
            heard: [0.0; HEARD],
            halve_sent: Halve::default(),
            halve_heard: Halve::default(),
            sounding: 0,
            path: None,
            misses: 0,
            unasked: 0,
            transforms: Transforms::get(),
        }
    }

    /// Takes what was sent in a tick, silence too.
    pub(crate) fn sent(&mut self, pcm: &Sound) {
        self.sounding = match pcm.iter().any(|sample| sample.unsigned_abs() > 16) {
            true => (SENT / TICK) as u32 + 1,
            false => self.sounding.saturating_sub(1),
        };
        if self.end == self.sent.len() {
            self.sent.copy_within(SPARE + TICK.., 0);
            self.end = SENT - TICK;
        }
        widest(
            #[inline(always)]
            |_| {
                let mut fresh = [0.0; TICK];
                self.halve_sent.push(pcm, &mut fresh);
                for (sent, fresh) in self.sent[self.end..].iter_mut().zip(&fresh) {
                    *sent = round(*fresh);
                }
            },
        );
        self.end += TICK;
    }

    /// Takes what was heard in a tick.
    pub(crate) fn heard(&mut self, pcm: &Sound) {
        self.unasked = self.unasked.saturating_add(1);
        self.heard.copy_within(TICK.., 0);
        widest(
            #[inline(always)]
            |_| self.halve_heard.push(pcm, &mut self.heard[HEARD - TICK..]),
        );
    }

    /// Whether what was heard last is what was sent before. Worth asking only where it sounds like voice.
    pub(crate) fn explains(&mut self) -> bool {
        widest(
            #[inline(always)]
            |width| self.search(width),
        )
    }

    #[inline(always)]
    fn search(&mut self, width: Width) -> bool {
        let is_new = std::mem::take(&mut self.unasked) > NEW;
        if is_new {
            self.misses = 0;
        }
        let every = if self.misses < SURE { AT_FIRST } else { NOW_AND_THEN };
        let is_left_out = !self.misses.is_multiple_of(every);
        if self.sounding == 0 {
            return false;
        }
        if is_left_out && self.path.is_none() {
            self.misses = self.misses.saturating_add(1);
            return false;
        }
        let filter = predictor(width, &self.heard);
        let mut heard = [0.0; WINDOW];
        whiten(&filter, &self.heard, &mut heard);
        let energy = width.dot(&heard, &heard);
        if energy <= 0.0 {
            return false;
        }
        let mut least = UNKNOWN;
        if let Some(path) = self.path {
            let found = self.search_around(width, path.delay, &filter, &heard, energy);
            if found.explained >= CERTAIN {
                self.found(found.delay);
                return true;
            }
            // Nobody who means to be heard is as soft as the echo; and who is louder is not taken for it in a hurry.
            if self.loudness() < self.expected(path) * ABOVE {
                if found.explained >= HINT {
                    return true;
                }
            } else {
                least = CERTAIN;
            }
        }
        // Not by `then`: what is in a closure that is called is compiled without AVX2.
        let found = if is_left_out { None } else { Some(self.search_all(&filter, &heard, energy)) };
        let echo = found.filter(|found| found.explained >= least);
        let is_echo = echo.is_some();
        self.misses = if is_echo { 0 } else { self.misses.saturating_add(1) };
        if let Some(echo) = echo {
            self.found(echo.delay);
        } else if let Some(path) = &mut self.path {
            path.left -= 1;
            self.path = Some(*path).filter(|path| path.left > 0);
        }
        is_echo
    }

    fn found(&mut self, delay: usize) {
        let sent = energy(&self.window(delay)).max(SOUND);
        let now = energy(&self.heard[ORDER..]) / sent;
        let gain = match self.path {
            Some(path) if path.delay.abs_diff(delay) <= BESIDE => path.gain + (now - path.gain) / 8.0,
            _ => now,
        };
        self.path = Some(Path { delay, gain, left: MEMORY });
    }

    /// Energy of the newest tick heard.
    fn loudness(&self) -> f32 {
        energy(&self.heard[HEARD - TICK..])
    }

    /// What of it the echo would be.
    fn expected(&self, path: Path) -> f32 {
        // A tick's worth around its end, for the path is spread and its delay drifts by some samples.
        let mut sent = [0.0; 2 * TICK];
        self.copy(self.end - path.delay - sent.len(), &mut sent);
        let (before, now) = sent.split_at(TICK);
        energy(now).max(energy(before) / 4.0) * path.gain
    }

    fn window(&self, delay: usize) -> [f32; WINDOW] {
        let mut window = [0.0; WINDOW];
        self.copy(self.end - delay - WINDOW, &mut window);
        window
    }

    /// What was sent, from a place on. All of it first, and only then is it looked at: what has just been written can only be read again in the same pieces.
    #[inline(always)]
    fn copy(&self, from: usize, to: &mut [f32]) {
        for (sample, sent) in to.iter_mut().zip(&self.sent[from..]) {
            *sample = f32::from(*sent);
        }
    }

    /// The delay at which what was sent explains the most of `heard`.
    #[inline(always)]
    fn search_all(&self, filter: &[f32; ORDER], heard: &[f32; WINDOW], energy_heard: f32) -> Found {
        let mut sent = [0.0; SENT];
        self.copy(self.end - SENT, &mut sent);
        let mut white = [0.0; LONGEST + WINDOW];
        whiten(filter, &sent, &mut white);
        let mut shares = [0.0; LONGEST + 1];
        self.transforms.products(heard, &white, &mut shares);
        explained::<GROUPS>(&white, energy_heard, &mut shares, LONGEST)
    }

    /// The same for delays within 4 ms of one.
    #[inline(always)]
    fn search_around(
        &self,
        width: Width,
        delay: usize,
        filter: &[f32; ORDER],
        heard: &[f32; WINDOW],
        energy_heard: f32,
    ) -> Found {
        let from = delay.saturating_sub(2 * BESIDE);
        let to = (delay + 2 * BESIDE).min(LONGEST);
        let mut white = [0.0; 4 * BESIDE + WINDOW];
        let white = &mut white[..to - from + WINDOW];
        let mut sent = [0.0; 4 * BESIDE + HEARD];
        let sent = &mut sent[..white.len() + ORDER];
        self.copy(self.end - from - sent.len(), sent);
        whiten(filter, sent, white);
        let mut shares = [0.0; 4 * BESIDE + 1];
        let shares = &mut shares[..=to - from];
        for (share, window) in shares.iter_mut().zip(white.windows(WINDOW)) {
            *share = width.dot(heard, window);
        }
        explained::<GROUPS_AROUND>(white, energy_heard, shares, to)
    }
}

/// Makes of the products of what was heard with what was sent (white) the shares that it explains, place by place, and finds the most of them. The
/// first place is the longest delay.
#[inline(always)]
fn explained<const GROUPS: usize>(
    white: &[f32],
    energy_heard: f32,
    products: &mut [f32],
    longest: usize,
) -> Found {
    let mut weights = energies::<GROUPS>(white);
    for weight in &mut weights {
        // Silence explains nothing, and dividing by it explains everything. Dividing comes first, so that there is no branch.
        let one_of = 1.0 / (weight.max(1.0) * energy_heard);
        *weight = if *weight > SOUND / 64.0 { one_of } else { 0.0 };
    }
    let (fours, last) = products.as_chunks_mut::<GROUP>();
    for (four, weight) in fours.iter_mut().zip(&weights) {
        for share in four {
            *share = *share * *share * weight;
        }
    }
    for share in last {
        *share = *share * *share * weights[fours.len()];
    }
    let shares = products;
    let most = largest(shares);
    let place = first_of(shares, most);
    let around = &shares[place.saturating_sub(BESIDE)..=(place + BESIDE).min(shares.len() - 1)];
    // What chance alone would explain is taken off.
    let chance = around.len() as f32 / WINDOW as f32;
    Found { delay: longest - place, explained: around.iter().sum::<f32>() - chance }
}

/// The energy of the windows that begin in each group of places: of all that they have together, which is a group more than each has, and never less. Not each from the
/// one before, for that would be a chain in which every sum waits for the last; but those of 4 samples give those of 16, and so on.
#[inline(always)]
fn energies<const GROUPS: usize>(white: &[f32]) -> [f32; GROUPS] {
    const { assert!(WINDOW == 256 + 64 && GROUP == 4) };
    let (mut of_4, mut of_16, mut of_64, mut all) =
        ([0.0; GROUPS], [0.0; GROUPS], [0.0; GROUPS], [0.0; GROUPS]);
    let (groups, last) = white.as_chunks::<GROUP>();
    for (sum, [a, b, c, d]) in of_4.iter_mut().zip(groups) {
        *sum = (a * a + b * b) + (c * c + d * d);
    }
    if let Some(sum) = of_4.get_mut(groups.len()) {
        *sum = last.iter().map(|sample| sample * sample).sum();
    }
    fours(&of_4, 1, &mut of_16);
    fours(&of_16, 4, &mut of_64);
    fours(&of_64, 16, &mut all);
    for ((all, rest), beyond) in all.iter_mut().zip(&of_64[256 / GROUP..]).zip(&of_4[WINDOW / GROUP..]) {
        *all += rest + beyond;
    }
    all
}

/// Of numbers that are not below zero.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let rows = values.chunks_exact(16);
    let rest = rows.remainder().iter();
    for row in rows {
        for lane in 0..16 {
            lanes[lane] = if row[lane] > lanes[lane] { row[lane] } else { lanes[lane] };
        }
    }
    rest.chain(&lanes).fold(0.0, |most, &value| if value > most { value } else { most })
}

/// Where the first of them stands that is as large; where none is, the last.
#[inline(always)]
fn first_of(values: &[f32], most: f32) -> usize {
    // By rows, as a whole row is compared at once.
    const ROW: usize = 16;
    let has = |row: &&[f32]| row.iter().fold(false, |has, value| has | (*value >= most));
    let before = values.chunks(ROW).take_while(|row| !has(row)).count() * ROW;
    let within = values.iter().skip(before).position(|value| *value >= most).unwrap_or(0);
    (before + within).min(values.len() - 1)
}

/// Sums of four that stand so far apart.
#[inline(always)]
fn fours(from: &[f32], apart: usize, to: &mut [f32]) {
    let (second, third, fourth) = (&from[apart..], &from[2 * apart..], &from[3 * apart..]);
    for ((((to, a), b), c), d) in to.iter_mut().zip(from).zip(second).zip(third).zip(fourth) {
        *to = (a + b) + (c + d);
    }
}

struct Found {
    delay: usize,
    explained: f32,
}

/// The linear prediction of `pcm` from its own past (autocorrelation, Levinson and Durbin).
#[inline(always)]
fn predictor(width: Width, pcm: &[f32; HEARD]) -> [f32; ORDER] {
    let mut correlation = [0.0f32; ORDER + 1];
    for (lag, value) in correlation.iter_mut().enumerate() {
        *value = width.dot(&pcm[lag..], &pcm[..HEARD - lag]);
    }
    // A little white noise, 30 dB below: what is far under the loud parts of the spectrum is not blown up.
    let mut left = correlation[0] * 1.001 + 1.0;
    let mut filter = [0.0f32; ORDER];
    for order in 0..ORDER {
        let mut rest = correlation[order + 1];
        for (index, value) in filter[..order].iter().enumerate() {
            rest -= value * correlation[order - index];
        }
        let reflection = rest / left;
        let before = filter;
        filter[order] = reflection;
        for index in 0..order {
            filter[index] = before[index] - reflection * before[order - 1 - index];
        }
        left *= (1.0 - reflection * reflection).max(1e-4);
    }
    filter
}

/// What the prediction does not foresee of `pcm[ORDER..]`.
#[inline(always)]
fn whiten(filter: &[f32; ORDER], pcm: &[f32], out: &mut [f32]) {
    const ROW: usize = 16;
    let (mut rows, mut windows) = (out.chunks_exact_mut(ROW), pcm.windows(ORDER + ROW).step_by(ROW));
    for (row, window) in rows.by_ref().zip(windows.by_ref()) {
        // A term for all of a row, then the next: sixteen sums that do not wait for one another.
        let mut left = [0.0f32; ROW];
        left.copy_from_slice(&window[ORDER..]);
        for (index, value) in filter.iter().enumerate() {
            let past = &window[ORDER - 1 - index..ORDER - 1 - index + ROW];
            for lane in 0..ROW {
                left[lane] -= value * past[lane];
            }
        }
        row.copy_from_slice(&left);
    }
    let rest = rows.into_remainder();
    let start = pcm.len() - rest.len() - ORDER;
    for (out, window) in rest.iter_mut().zip(pcm[start..].windows(ORDER + 1)) {
        let foreseen: f32 = filter.iter().zip(window[..ORDER].iter().rev()).map(|(a, b)| a * b).sum();
        *out = window[ORDER] - foreseen;
    }
}

fn energy(pcm: &[f32]) -> f32 {
    dot(pcm, pcm)
}

/// The past of a half-band filter of seven taps.
const PAST: usize = 6;

/// To 4 kHz, from 8 kHz in one step or from 16 kHz in two.
#[derive(Default)]
struct Halve {
    before: [f32; PAST],
    before_wide: [f32; PAST],
}

impl Halve {
    #[inline(always)]
    fn push(&mut self, pcm: &Sound, out: &mut [f32]) {
        let mut line = [0.0f32; LINE_FRAME + PAST];
        match pcm.rate() {
            Rate::Narrow => {
                for (sample, value) in line[PAST..].iter_mut().zip(pcm.iter()) {
                    *sample = f32::from(*value);
                }
            }
            Rate::Wide => {
                let mut wide = [0.0f32; 2 * LINE_FRAME + PAST];
                for (sample, value) in wide[PAST..].iter_mut().zip(pcm.iter()) {
                    *sample = f32::from(*value);
                }
                halve(&mut wide, &mut self.before_wide, &mut line[PAST..]);
            }
        }
        halve(&mut line, &mut self.before, out);
    }
}

/// Halves the rate of `line[PAST..]`; what comes before it is put in, and what will come before the next is kept.
#[inline(always)]
fn halve(line: &mut [f32], before: &mut [f32; PAST], out: &mut [f32]) {
    line[..PAST].copy_from_slice(before);
    before.copy_from_slice(&line[line.len() - PAST..]);
    for (index, out) in out.iter_mut().enumerate() {
        let at = &line[2 * index..2 * index + PAST + 1];
        *out = at[3] * 0.5 + (at[2] + at[4]) * 0.281_25 - (at[0] + at[6]) * 0.031_25;
    }
}
