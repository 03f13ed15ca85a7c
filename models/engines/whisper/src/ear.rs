//! Weights, lanes, and one utterance through whisper.cpp.
//!
//! Parameters as they were measured: the encoder's context is cut to the sound (a full one costs 30 s of work for 2 s
//! of speech), but not below 384 frames, where Whisper begins to hear wrongly (`docs/decisions/whisper.md`); one segment,
//! timestamps on, nothing carried over from earlier utterances, no second try at a higher temperature, and at most as many
//! tokens as a fast talker needs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use models::wire::{Failure, Span, Transcribe, Transcribed};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState};

use crate::guards;

const RATE: usize = 16_000;
/// Whisper skips anything shorter than a second; silence behind it is no work.
const SHORTEST: usize = RATE * 5 / 4;
/// Whisper hears 30 s; cut a little earlier, where it is quiet.
const LONGEST: usize = RATE * 29;
/// Frames of the encoder, 20 ms each: no fewer, and so many more than the sound has.
const LEAST_CONTEXT: f32 = 384.0;
const SPARE_CONTEXT: f32 = 128.0;
/// Sound that was cut while it faded away would end in a click, which costs words: so long it fades out.
const FADE: usize = RATE * 30 / 1000;
/// Where the cut of a longer utterance is looked for, before `LONGEST`.
const CUT_WINDOW: usize = RATE * 5;
/// A prompt takes room from the words; the model has 448 tokens for both.
const PROMPT_TOKENS: usize = 200;

pub(crate) struct Ear {
    context: Arc<WhisperContext>,
    about: String,
}

impl Ear {
    pub(crate) fn load(path: &Path) -> Result<Ear, Failure> {
        // Silences whisper.cpp's chatter: nothing is compiled in behind the hooks.
        whisper_rs::install_logging_hooks();
        let named = |e| {
            Failure::new("load", format!("{} is not a Whisper model in ggml's format ({e})", path.display()))
        };
        let context =
            WhisperContext::new_with_params(path, WhisperContextParameters::default()).map_err(named)?;
        let kind = if context.is_multilingual() { "multilingual" } else { "English" };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let about = format!("{name} ({kind}, {} tokens)", context.n_vocab());
        Ok(Ear { context: Arc::new(context), about })
    }

    pub(crate) fn about(&self) -> &str {
        &self.about
    }

    /// ISO 639-1 names.
    pub(crate) fn languages(&self) -> Vec<String> {
        if !self.context.is_multilingual() {
            return vec!["en".into()];
        }
        (0..=whisper_rs::get_lang_max_id()).filter_map(whisper_rs::get_lang_str).map(str::to_owned).collect()
    }

    /// A lane, warm: the first real utterance finds its buffers there.
    pub(crate) fn lane(&self) -> Result<Lane, Failure> {
        let state = self.context.create_state().map_err(|e| Failure::new("load", e))?;
        let mut lane = Lane { context: self.context.clone(), state, params: HashMap::new() };
        let hum: Vec<f32> = (0..SHORTEST).map(|i| (i as f32 * 0.05).sin() * 0.01).collect();
        let task = Transcribe { language: Some("en".into()), threads: 1, ..Transcribe::default() };
        lane.hear(&task, &hum, 1, &AtomicBool::new(false))?;
        Ok(lane)
    }
}

pub(crate) struct Lane {
    context: Arc<WhisperContext>,
    state: WhisperState,
    /// By language, because the crate's setter for it takes a copy of the name that is never freed.
    params: HashMap<&'static str, FullParams<'static, 'static>>,
}

/// What one pass gave.
struct Heard {
    spans: Vec<Span>,
    no_speech: f32,
    /// Sum of the tokens' log probabilities, and how many there were.
    log: (f32, usize),
    language: String,
}

impl Lane {
    pub(crate) fn transcribe(
        &mut self,
        task: &Transcribe,
        pcm: &[i16],
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Transcribed, Failure> {
        let begun = Instant::now();
        let mut all =
            Transcribed { language: task.language.clone().unwrap_or_default(), ..Transcribed::default() };
        let mut log = (0.0, 0);
        let mut at = 0;
        while at < pcm.len() && !guards::is_silence(&pcm[at..]) {
            let piece = &pcm[at..at + cut(&pcm[at..])];
            let mut sound: Vec<f32> = piece.iter().map(|s| f32::from(*s) / 32_768.0).collect();
            fade_out(&mut sound);
            let heard = self.hear(task, &sound, task.threads.max(1), cancelled)?;
            let offset = (at * 1000 / RATE) as u32;
            all.no_speech = if at == 0 { heard.no_speech } else { all.no_speech.min(heard.no_speech) };
            all.language = heard.language;
            log = (log.0 + heard.log.0, log.1 + heard.log.1);
            all.segments.extend(heard.spans.into_iter().map(|s| Span {
                start_ms: s.start_ms + offset,
                end_ms: s.end_ms + offset,
                ..s
            }));
            at += piece.len();
        }
        if at == 0 {
            all.no_speech = 1.0;
        }
        all.confidence = if log.1 == 0 { 0.0 } else { log.0 / log.1 as f32 };
        let text = all.segments.iter().map(|s| s.text.trim()).collect::<Vec<_>>().join(" ");
        let judged =
            guards::judge(text.trim(), all.no_speech, all.confidence, pcm.len() as f32 / RATE as f32);
        all.text = judged.kept;
        all.rejected = judged.rejected;
        if all.text.is_empty() {
            all.segments.clear();
        }
        all.elapsed_us = begun.elapsed().as_micros() as u64;
        Ok(all)
    }

    fn hear(
        &mut self,
        task: &Transcribe,
        sound: &[f32],
        threads: u32,
        cancelled: &AtomicBool,
    ) -> Result<Heard, Failure> {
        let mut padded;
        let sound = if sound.len() < SHORTEST {
            padded = sound.to_vec();
            padded.resize(SHORTEST, 0.0);
            &padded[..]
        } else {
            sound
        };
        let seconds = sound.len() as f32 / RATE as f32;
        let prompt = self.prompt(task)?;
        let mut params = self.params(task.language.as_deref())?;
        params.set_n_threads(threads as i32);
        params.set_audio_ctx((50.0 * seconds + SPARE_CONTEXT).clamp(LEAST_CONTEXT, 1500.0) as i32);
        params.set_max_tokens((6.0 * seconds + 12.0) as i32);
        if !prompt.is_empty() {
            params.set_tokens(&prompt);
        }
        // SAFETY: the callback only reads the flag, which outlives `full`. The crate's safe twin of this call hands the
        // callback a pointer of another type than it casts it to.
        unsafe {
            params.set_abort_callback(Some(asked_to_stop));
            params.set_abort_callback_user_data(std::ptr::from_ref(cancelled).cast_mut().cast());
        }
        if let Err(e) = self.state.full(params, sound) {
            let kind = if cancelled.load(Ordering::Relaxed) { "canceled" } else { "engine" };
            return Err(Failure::new(kind, e));
        }
        Ok(self.read(seconds))
    }

    fn params(&mut self, language: Option<&str>) -> Result<FullParams<'static, 'static>, Failure> {
        let name = match language {
            _ if !self.context.is_multilingual() => "en",
            None => "auto",
            Some(asked) => whisper_rs::get_lang_id(asked)
                .and_then(whisper_rs::get_lang_str)
                .ok_or_else(|| Failure::new("unsupported", format!("no language is called {asked:?}")))?,
        };
        let params = self.params.entry(name).or_insert_with(|| {
            let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
            params.set_language(Some(name));
            params.set_single_segment(true);
            params.set_no_context(true);
            params.set_temperature_inc(0.0);
            params.set_suppress_nst(true);
            params.set_print_progress(false);
            params.set_print_realtime(false);
            params.set_print_special(false);
            params.set_print_timestamps(false);
            params
        });
        Ok(params.clone())
    }

    /// By tokens, not by text: the crate's setter for a text never frees it.
    fn prompt(&self, task: &Transcribe) -> Result<Vec<i32>, Failure> {
        let Some(text) = task.prompt.as_deref().map(str::trim).filter(|t| !t.is_empty()) else {
            return Ok(Vec::new());
        };
        // The tokenizer takes a C string.
        let text: String = text.chars().filter(|c| *c != '\0').collect();
        let mut tokens = self
            .context
            .tokenize(&format!(" {text}"), 4 * text.len() + 16)
            .map_err(|e| Failure::new("engine", e))?;
        tokens.drain(..tokens.len().saturating_sub(PROMPT_TOKENS));
        Ok(tokens)
    }

    fn read(&self, seconds: f32) -> Heard {
        let text_ends = self.context.token_eot();
        let language =
            whisper_rs::get_lang_str(self.state.full_lang_id_from_state()).unwrap_or("en").to_owned();
        let mut heard = Heard { spans: Vec::new(), no_speech: 0.0, log: (0.0, 0), language };
        for segment in self.state.as_iter() {
            heard.no_speech = heard.no_speech.max(segment.no_speech_probability());
            for i in 0..segment.n_tokens() {
                if let Some(token) = segment.get_token(i).filter(|t| t.token_id() < text_ends) {
                    heard.log.0 += token.token_probability().max(1e-6).ln();
                    heard.log.1 += 1;
                }
            }
            // An utterance in one segment ends at 30 s, whatever its length.
            let ms = |hundredths: i64| ((hundredths.max(0) * 10) as u32).min((seconds * 1000.0) as u32);
            heard.spans.push(Span {
                start_ms: ms(segment.start_timestamp()),
                end_ms: ms(segment.end_timestamp()),
                text: segment.to_str_lossy().map(|t| t.trim().to_owned()).unwrap_or_default(),
            });
        }
        heard
    }
}

unsafe extern "C" fn asked_to_stop(flag: *mut std::ffi::c_void) -> bool {
    // SAFETY: set together with this callback in `hear`, to a flag that outlives the call.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

/// Half a cosine, nearly, over the last samples.
fn fade_out(sound: &mut [f32]) {
    let from = sound.len().saturating_sub(FADE);
    let last = &mut sound[from..];
    let step = 1.0 / last.len().max(1) as f32;
    for (index, sample) in last.iter_mut().enumerate() {
        let left = 1.0 - (index + 1) as f32 * step;
        *sample *= left * left * (3.0 - 2.0 * left);
    }
}

/// How much of the sound goes into the next pass: all of it, or up to the quietest tenth of a second near the end of
/// what fits.
fn cut(pcm: &[i16]) -> usize {
    if pcm.len() <= LONGEST {
        return pcm.len();
    }
    let step = RATE / 10;
    let loudness = |at: usize| pcm[at..at + step].iter().map(|s| i64::from(*s).pow(2)).sum::<i64>();
    let quietest = (LONGEST - CUT_WINDOW..LONGEST - step).step_by(step / 2).min_by_key(|at| loudness(*at));
    quietest.unwrap_or(LONGEST) + step / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_fades_out_at_its_end_and_only_there() {
        let mut sound = vec![1.0f32; RATE];
        fade_out(&mut sound);
        assert!(sound[..RATE - FADE].iter().all(|s| *s == 1.0));
        assert!(sound[RATE - FADE..].windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(sound[RATE - 1], 0.0);
        let mut short = [1.0f32; 3];
        fade_out(&mut short);
        assert_eq!(short[2], 0.0);
        fade_out(&mut []);
    }

    #[test]
    fn long_sound_is_cut_where_it_is_quiet() {
        let mut pcm = vec![5000i16; RATE * 40];
        assert_eq!(cut(&pcm[..LONGEST]), LONGEST);
        pcm[RATE * 27..RATE * 27 + RATE / 2].fill(0);
        let at = cut(&pcm);
        assert!((RATE * 27..=RATE * 27 + RATE / 2).contains(&at), "{at}");
    }
}
