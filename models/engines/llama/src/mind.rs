//! One context, several conversations: each has a slot (a sequence of the KV cache), and all that are being answered
//! advance together, one batch per step.
//!
//! A slot remembers the tokens that its cache holds. A prompt keeps the part of them with which it begins, so a
//! conversation's next turn costs only what is new, and a new call with the same system prompt copies what another slot
//! has read already.

use std::io::Read;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use models::engine::{Inbox, Job};
use models::wire::{Failure, Generated, Grammar, Outcome, Task};

use crate::chat::Chat;
use crate::choice::Choice;
use crate::pieces::{Pieces, Said};

/// Prompt tokens per step: between two steps a cancellation is seen and the other conversations advance.
const CHUNK: usize = if cfg!(any(feature = "cuda", feature = "vulkan")) { 512 } else { 64 };
/// Tokens that a reply which calls a tool may have for that.
const CALL: u32 = 256;
/// How long nothing is done when all conversations rest.
const NAP: Duration = Duration::from_millis(2);
/// A copy of another slot's cache costs about as much as reading this many tokens.
const WORTH_COPYING: usize = 24;

pub(crate) struct Options {
    /// Tokens per conversation.
    pub(crate) context: u32,
    pub(crate) slots: u32,
    pub(crate) threads: u32,
    pub(crate) gpu_layers: u32,
}

pub(crate) struct Mind {
    /// Lives as long as the process.
    model: &'static LlamaModel,
    context: LlamaContext<'static>,
    chat: Chat,
    batch: LlamaBatch<'static>,
    slots: Vec<Slot>,
    /// Tokens that one slot can hold.
    room: usize,
    clock: u64,
    about: String,
}

#[derive(Default)]
struct Slot {
    /// What its part of the cache holds.
    cached: Vec<LlamaToken>,
    session: u64,
    last_used: u64,
    work: Option<Work>,
}

struct Work {
    job: Job,
    prompt: Vec<LlamaToken>,
    /// Chosen, not yet in the cache.
    next: Option<LlamaToken>,
    /// Where in the batch this slot's result will stand.
    result_at: Option<i32>,
    choice: Choice,
    pieces: Pieces,
    /// 0: only read the prompt.
    max_tokens: u32,
    /// What is written in the place of the trigger, and the rules for what follows it.
    awaited: Option<(String, String)>,
    /// What was written so far, said or not, where a trigger is awaited.
    written: String,
    /// What has been written since.
    called: Option<Vec<u8>>,
    background: bool,
    made: Generated,
    begun: Instant,
}

impl Mind {
    pub(crate) fn load(path: &Path, options: &Options) -> Result<Mind, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new("load", format!("{}: {e}", path.display()));
        let mut magic = [0; 4];
        let begins = std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut magic));
        if begins.is_err() || magic != *b"GGUF" {
            return Err(failed(&"not a GGUF file"));
        }
        let mut backend = LlamaBackend::init().map_err(|e| failed(&e))?;
        backend.void_logs();
        let backend: &'static LlamaBackend = Box::leak(Box::new(backend));
        let params = LlamaModelParams::default().with_n_gpu_layers(options.gpu_layers);
        let model = LlamaModel::load_from_file(backend, path, &params).map_err(|e| failed(&e))?;
        let model: &'static LlamaModel = Box::leak(Box::new(model));
        let per_slot = options.context.clamp(256, model.n_ctx_train().max(256));
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(per_slot * options.slots))
            .with_n_seq_max(options.slots)
            .with_kv_unified(false)
            .with_n_batch((CHUNK * options.slots as usize) as u32)
            .with_n_ubatch(CHUNK.max(options.slots as usize) as u32)
            .with_n_threads(options.threads as i32)
            .with_n_threads_batch(options.threads as i32);
        let context = model.new_context(backend, params).map_err(|e| failed(&e))?;
        let room = (context.n_ctx() / options.slots) as usize;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let about = format!("{name} ({} M parameters, {room} tokens each)", model.n_params() / 1_000_000);
        let batch = LlamaBatch::new(CHUNK * options.slots as usize, 1);
        let slots = (0..options.slots).map(|_| Slot::default()).collect();
        let chat = Chat::new(model)?;
        let mut mind = Mind { model, context, chat, batch, slots, room, clock: 0, about };
        mind.warm()?;
        Ok(mind)
    }

    pub(crate) fn about(&self) -> &str {
        &self.about
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Answers for ever.
    pub(crate) fn serve(mut self, inbox: &Inbox) {
        loop {
            if self.slots.iter().all(|s| s.work.is_none()) {
                self.admit(inbox.next());
            }
            while self.slots.iter().any(|s| s.work.is_none())
                && let Some(job) = inbox.try_next()
            {
                self.admit(job);
            }
            if !self.step() {
                // All rest. None says when it goes on or is cancelled: each is asked again.
                if let Some(job) = inbox.next_within(NAP) {
                    self.admit(job);
                }
            }
        }
    }

    /// The first decode finds its buffers made.
    fn warm(&mut self) -> Result<(), Failure> {
        let failed = |e: String| Failure::new("load", e);
        let tokens = self.model.vocab().tokenize(b"hello there", true, false);
        for (i, token) in tokens.iter().enumerate() {
            self.batch
                .add(*token, i as i32, &[0], i + 1 == tokens.len())
                .map_err(|e| failed(e.to_string()))?;
        }
        self.context.decode(&mut self.batch).map_err(|e| failed(e.to_string()))?;
        self.context.clear_kv_cache();
        Ok(())
    }

    fn admit(&mut self, mut job: Job) {
        let begun = Instant::now();
        let Some(Task::Generate(task)) = job.take_task() else {
            return job.fail(Failure::new("unsupported", "a mind generates, and nothing else"));
        };
        let reply = (task.max_tokens as usize).min(self.room / 2);
        let room = self.room - reply - 1;
        let fitted = self.chat.fit(self.model, &task.messages, task.pinned, task.max_tokens > 0, room);
        let fitted = match fitted {
            Ok(fitted) => fitted,
            Err(failure) => return job.fail(failure),
        };
        let prompt = fitted.tokens;
        let mut choice = Choice::new(self.model.n_vocab(), &task);
        let (mut awaited, mut trigger) = (None, None);
        // Reading ahead writes nothing.
        match task.grammar.filter(|_| task.max_tokens > 0) {
            None => {}
            Some(Grammar { rules, trigger: Some(text), begins }) => {
                awaited = Some((begins, rules));
                trigger = Some(text);
            }
            Some(Grammar { rules, trigger: None, .. }) => {
                if let Err(failure) = choice.obey(self.model, &rules) {
                    return job.fail(failure);
                }
            }
        }
        let Some(at) = self.choose(task.session, &prompt) else {
            return job.fail(Failure::new("busy", "no slot is free"));
        };
        let cached = self.keep_prefix(at, &prompt);
        self.clock += 1;
        let slot = &mut self.slots[at];
        slot.session = task.session;
        slot.last_used = self.clock;
        slot.work = Some(Work {
            job,
            made: Generated {
                prompt_tokens: prompt.len() as u32,
                cached_tokens: cached as u32,
                left_out: fitted.left_out as u32,
                cut: fitted.cut,
                ..Generated::default()
            },
            prompt,
            next: None,
            result_at: None,
            choice,
            pieces: Pieces::new(task.stop, trigger),
            max_tokens: task.max_tokens,
            awaited,
            written: String::new(),
            called: None,
            background: task.background,
            begun,
        });
    }

    /// The conversation's own slot; else the free one that knows most of the prompt by itself or is longest unused.
    fn choose(&self, session: u64, prompt: &[LlamaToken]) -> Option<usize> {
        let free = || (0..self.slots.len()).filter(|i| self.slots[*i].work.is_none());
        let own = free().find(|i| session != 0 && self.slots[*i].session == session);
        own.or_else(|| {
            free().max_by_key(|i| {
                let slot = &self.slots[*i];
                let shared = common(&slot.cached, prompt);
                // A slot that would lose much for little is better left to its own conversation.
                let whole = shared > 0 && shared == slot.cached.len();
                (whole, slot.cached.is_empty(), std::cmp::Reverse(slot.last_used))
            })
        })
    }

    /// Makes a slot's cache hold a beginning of the prompt, as long a one as any slot has read; returns its length.
    fn keep_prefix(&mut self, at: usize, prompt: &[LlamaToken]) -> usize {
        // The last token is read anew: its result is what the reply begins with.
        let wanted = &prompt[..prompt.len().saturating_sub(1)];
        let own = common(&self.slots[at].cached, wanted);
        let others =
            (0..self.slots.len()).filter(|i| *i != at).map(|i| (common(&self.slots[i].cached, wanted), i));
        if let Some((shared, from)) = others.max().filter(|(n, _)| *n >= own + WORTH_COPYING) {
            self.forget(at, 0);
            // Between two slots only the whole can be copied; the rest is cut off below.
            if self.context.kv_cache_seq_cp(from as i32, at as i32, None, None).is_ok() {
                self.slots[at].cached = self.slots[from].cached.clone();
                return self.forget(at, shared);
            }
        }
        self.forget(at, own)
    }

    /// Cuts a slot's cache to its first `keep` tokens, or to nothing where the model cannot do that.
    fn forget(&mut self, at: usize, keep: usize) -> usize {
        let cut = self.context.kv_cache_seq_rm(at as i32, Some(keep as u32), None);
        let keep = if cut.is_ok() {
            keep
        } else {
            // A model with a running state: there is no "first half" of it.
            let _ = self.context.kv_cache_seq_rm(at as i32, None, None);
            0
        };
        self.slots[at].cached.truncate(keep);
        keep
    }

    /// Advances every conversation that is being answered and does not rest; says whether there was one.
    fn step(&mut self) -> bool {
        self.batch.clear();
        let somebody_waits = self.slots.iter().any(|s| s.work.as_ref().is_some_and(|w| !w.background));
        for at in 0..self.slots.len() {
            if self.slots[at].work.as_ref().is_some_and(|w| w.job.is_cancelled()) {
                if let Some(work) = self.slots[at].work.take() {
                    work.job.give_up();
                }
                continue;
            }
            let stays = |w: &&mut Work| w.job.is_at_rest() || w.background && somebody_waits;
            if let Some(work) = self.slots[at].work.as_mut().filter(stays) {
                work.result_at = None;
                continue;
            }
            self.fill(at);
        }
        if self.batch.n_tokens() == 0 {
            return false;
        }
        if let Err(e) = self.context.decode(&mut self.batch) {
            // Which of them it was is not known, and what their caches hold neither.
            for at in 0..self.slots.len() {
                if let Some(work) = self.slots[at].work.take() {
                    work.job.fail(Failure::new("engine", &e));
                    self.forget(at, 0);
                }
            }
            return true;
        }
        for at in 0..self.slots.len() {
            if let Some(work) = self.slots[at].work.take() {
                self.slots[at].work = self.answer(at, work);
            }
        }
        true
    }

    /// Puts a slot's next tokens into the batch.
    fn fill(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let Some(work) = &mut slot.work else { return };
        work.result_at = None;
        let (tokens, last) = match work.next.take() {
            Some(token) => (vec![token], true),
            None => {
                let rest = &work.prompt[slot.cached.len()..];
                let now = rest.len().min(CHUNK);
                (rest[..now].to_vec(), now == rest.len())
            }
        };
        for (i, token) in tokens.iter().enumerate() {
            let result = last && i + 1 == tokens.len();
            if result {
                work.result_at = Some(self.batch.n_tokens());
            }
            // The batch holds a chunk for every slot.
            let added = self.batch.add(*token, slot.cached.len() as i32, &[at as i32], result);
            debug_assert!(added.is_ok());
            slot.cached.push(*token);
        }
    }

    /// Chooses the next token of a slot whose prompt has been read; gives the work back while it goes on.
    fn answer(&mut self, at: usize, mut work: Work) -> Option<Work> {
        let Some(result_at) = work.result_at else { return Some(work) };
        if work.max_tokens == 0 {
            end(work, "stop");
            return None;
        }
        let token = match work.choice.next(&self.context, result_at) {
            Ok(token) => token,
            Err(failure) => {
                work.job.fail(failure);
                return None;
            }
        };
        work.made.first_token_us.get_or_insert_with(|| work.begun.elapsed().as_micros() as u64);
        let vocab = self.model.vocab();
        if vocab.is_eog(token) {
            end(work, "stop");
            return None;
        }
        work.made.completion_tokens += 1;
        let piece = vocab.token_to_piece(token, false, None);
        if let Some(called) = &mut work.called {
            called.extend_from_slice(&piece);
        } else {
            match work.pieces.push(&piece) {
                Said::Text(text) => work.say(&text),
                Said::Stopped(text) => {
                    work.say(&text);
                    end(work, "stop");
                    return None;
                }
                Said::Triggered(text) => {
                    work.say(&text);
                    return self.begin_call(at, work);
                }
            }
        }
        if self.slots[at].cached.len() >= self.room || work.made.completion_tokens >= work.max_tokens {
            end(work, "length");
            return None;
        }
        work.next = Some(token);
        Some(work)
    }

    /// The token that ended the trigger may hold more than its end. So the reply is read anew as if it ended there, and
    /// under the rules it goes on.
    fn begin_call(&mut self, at: usize, mut work: Work) -> Option<Work> {
        let (begins, rules) = work.awaited.take()?;
        if let Err(failure) = work.choice.obey(self.model, &rules) {
            work.job.fail(failure);
            return None;
        }
        let vocab = self.model.vocab();
        work.prompt.extend(vocab.tokenize(work.written.as_bytes(), false, false));
        work.prompt.extend(vocab.tokenize(begins.as_bytes(), false, true));
        work.called = Some(Vec::new());
        work.max_tokens = work.made.completion_tokens + CALL;
        if work.prompt.len() >= self.room {
            end(work, "length");
            return None;
        }
        let keep = common(&self.slots[at].cached, &work.prompt[..work.prompt.len() - 1]);
        self.forget(at, keep);
        Some(work)
    }
}

impl Work {
    fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.job.text(text);
            if self.awaited.is_some() {
                self.written.push_str(text);
            }
        }
    }
}

fn end(mut work: Work, reason: &str) {
    let rest = work.pieces.finish();
    work.say(&rest);
    work.made.called = work.called.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    work.made.reason = reason.to_owned();
    work.made.elapsed_us = work.begun.elapsed().as_micros() as u64;
    work.job.done(Outcome::Generated(work.made));
}

/// How many tokens two sequences begin with alike.
fn common(a: &[LlamaToken], b: &[LlamaToken]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
