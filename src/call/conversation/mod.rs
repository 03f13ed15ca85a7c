//! Who may speak? The heart of a call: a state machine without IO, clock or task.
//!
//! [`Conversation::handle`] puts the world in, [`Conversation::poll_action`] takes decisions out,
//! [`Conversation::poll_timeout`] says when to call [`Conversation::handle_timeout`].
//!
//! # The floor
//!
//! | state | who has the floor | leaves it when |
//! |---|---|---|
//! | `Waiting` | nobody yet | the call is answered: the greeting is asked for |
//! | `Listening` | the caller, or nobody | an utterance is finished → `Thinking`; long silence → a prompt |
//! | `Thinking` | the agent, not sounding yet | first sample left → `Speaking`; the caller goes on → `Listening` |
//! | `Speaking` | the agent | all was said → `Listening`; voice over it → `Paused` |
//! | `Paused` | in dispute | words, or long voice → the agent is hushed, `Listening`; neither → `Speaking` from the same sample |
//! | `Over` | nobody | never |
//!
//! # Laws
//!
//! - A result of an earlier turn or of an earlier transcription fails a comparison and vanishes.
//! - The transcript and the brain's history hold what left the socket, cut between words where it was cut.
//! - No path is silent for ever: every state but `Over` has a deadline.
//!
//! The caller's side of the machine is in `hearing`, the agent's in `speech`; what words mean is in `words`.

mod hearing;
mod speech;
mod words;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hearing::Hearing;
use speech::{Kind, Speech};

use crate::config::{Agent, TurnTaking};
use crate::domain::{EndReason, Private, Speaker, Turn};

/// How this call is held.
#[derive(Clone, Debug)]
pub struct Manners {
    pub timing: TurnTaking,
    pub first_message: String,
    pub goodbye: String,
    pub apology: String,
    pub still_there: String,
    pub end_call_phrases: Vec<String>,
    pub max_duration: Duration,
}

impl Manners {
    pub fn new(agent: &Agent, timing: &TurnTaking, max_duration: Duration) -> Self {
        Self {
            timing: timing.clone(),
            first_message: agent.first_message.clone(),
            goodbye: agent.goodbye.clone(),
            apology: agent.apology.clone(),
            still_there: agent.still_there.clone(),
            end_call_phrases: agent.end_call_phrases.iter().map(|p| p.to_lowercase()).collect(),
            max_duration,
        }
    }

    /// The sentences known before the call: worth synthesizing ahead.
    pub fn stock(&self) -> [&str; 4] {
        [&self.first_message, &self.apology, &self.still_there, &self.goodbye]
    }
}

/// What the world tells.
#[derive(Clone, Debug)]
pub enum Input {
    /// Sound flows both ways.
    Answered,
    /// The ear has heard voice for long enough to call it voice; it began at `onset`.
    VoiceStart {
        onset: Instant,
    },
    /// … and silence for long enough; it began at `since`.
    VoiceEnd {
        since: Instant,
    },
    /// The words of the utterance up to now. `job` as in [`Action::Transcribe`].
    Heard {
        job: u64,
        text: String,
        stt: Duration,
    },
    /// The transcription failed.
    Deaf {
        job: u64,
    },
    /// A phrase of the agent has its first sound in the queue.
    Phrase {
        turn: u32,
        mark: u64,
        text: String,
    },
    /// All its sound is in the queue, and lasts so long.
    Measured {
        turn: u32,
        mark: u64,
        duration: Duration,
    },
    /// What a stage of the turn took.
    FirstToken {
        turn: u32,
        after: Duration,
    },
    FirstAudio {
        turn: u32,
        after: Duration,
    },
    /// The brain wants to hang up when all has been said.
    WantsHangUp {
        turn: u32,
    },
    /// No phrase will follow. `failed`: not because all was said.
    ReplyOver {
        turn: u32,
        failed: bool,
    },
    /// The first sample of a phrase left.
    Started {
        mark: u64,
    },
    /// Its last sample left.
    Played {
        mark: u64,
    },
    /// The answer to [`Action::Hush`]: the sound stopped so far into `mark`.
    Hushed {
        mark: Option<u64>,
        played: Duration,
    },
    Digit(char),
    /// The gateway wants the call to end, politely.
    Leave(EndReason),
    /// The other side is gone. Nothing more comes out but notes.
    Gone,
}

/// What the conversation decides.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Turn the utterance so far into words.
    Transcribe {
        job: u64,
    },
    /// The utterance is used up, or was none.
    Forget,
    /// Ask the brain, with everything that was said.
    Reply {
        turn: u32,
    },
    /// Say a sentence.
    Say {
        turn: u32,
        text: String,
    },
    /// Drop what works for this turn.
    Cancel {
        turn: u32,
    },
    /// Stop sounding, keep the place.
    Pause,
    Resume,
    /// Stop sounding and drop the rest; tell what left by [`Input::Hushed`].
    Hush,
    Note(Note),
    HangUp(EndReason),
}

/// What the record of the call learns.
#[derive(Clone, PartialEq, Debug)]
pub enum Note {
    /// Words of the caller, so far or for good.
    Heard { text: String, is_final: bool },
    /// What the caller's ear got of the agent.
    Said { text: String, interrupted: bool, started_at: Instant },
    /// An exchange is over.
    Turn(Turn),
    /// Voice over the agent: it fell silent `stop` after the onset.
    BargeIn { turn: u32, stop: Duration, resumed: bool },
}

/// One line of the history that the brain is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub speaker: Speaker,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Floor {
    Waiting,
    Listening {
        since: Instant,
    },
    Thinking,
    Speaking,
    /// Since the voice came over the agent.
    Paused {
        since: Instant,
    },
    Over,
}

/// Nothing sounded for so long after it was asked for: the stage hangs.
const STAGE_DEADLINE: Duration = Duration::from_secs(12);
/// Goodbye takes no longer than this, whatever becomes of it.
const LEAVE_DEADLINE: Duration = Duration::from_secs(15);
/// Voice without a pause for so long is turned into words as it stands: a transcriber hears no more at once.
const LONGEST_UTTERANCE: Duration = Duration::from_secs(28);
/// More digits may follow within this.
const DIGIT_PAUSE: Duration = Duration::from_secs(2);
/// Failures in a row before the call is given up.
const PATIENCE_WITH_FAILURE: u32 = 3;

pub struct Conversation {
    manners: Manners,
    floor: Floor,
    hearing: Hearing,
    /// What the agent says or is about to say.
    speech: Option<Speech>,
    /// Hushed, and their cuts not yet known: one for each `Action::Hush` that has no `Input::Hushed` yet.
    cut_off: VecDeque<Speech>,
    /// The rest of what noise cut off, to be said after all when no words come.
    unsaid: String,
    turn: u32,
    history: Vec<Line>,
    digits: String,
    digits_until: Option<Instant>,
    /// Answers in a row of which nothing came.
    failures: u32,
    /// Utterances in a row that could not be heard.
    deafness: u32,
    idle_prompts: u32,
    ends_at: Option<Instant>,
    leave_by: Option<(Instant, EndReason)>,
    actions: VecDeque<Action>,
}

impl Conversation {
    pub fn new(manners: Manners) -> Self {
        Self {
            manners,
            floor: Floor::Waiting,
            hearing: Hearing::default(),
            speech: None,
            cut_off: VecDeque::new(),
            unsaid: String::new(),
            turn: 0,
            history: Vec::new(),
            digits: String::new(),
            digits_until: None,
            failures: 0,
            deafness: 0,
            idle_prompts: 0,
            ends_at: None,
            leave_by: None,
            actions: VecDeque::new(),
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What was said so far, as the caller's ear got it.
    pub fn history(&self) -> &[Line] {
        &self.history
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.floor == Floor::Over {
            return self.after_the_end(input);
        }
        match input {
            Input::Answered => self.answered(now),
            Input::VoiceStart { onset } => self.voice_start(now, onset),
            Input::VoiceEnd { since } => self.voice_end(now, since),
            Input::Heard { job, text, stt } => self.heard(now, job, &text, stt),
            Input::Deaf { job } => self.deaf(now, job),
            Input::Phrase { turn, mark, text } => self.of_turn(turn, |speech| speech.queue(now, mark, text)),
            Input::Measured { turn, mark, duration } => {
                self.of_turn(turn, |speech| speech.measured(now, mark, duration))
            }
            Input::WantsHangUp { turn } => self.of_turn(turn, |speech| speech.then_hang_up = true),
            Input::FirstToken { turn, after } => {
                self.of_turn(turn, |speech| speech.record.llm_first_token_ms = Some(millis(after)));
            }
            Input::FirstAudio { turn, after } => {
                self.of_turn(turn, |speech| speech.record.tts_first_audio_ms = Some(millis(after)));
            }
            Input::ReplyOver { turn, failed } => self.reply_over(now, turn, failed),
            Input::Started { mark } => self.started(now, mark),
            Input::Played { mark } => self.played(now, mark),
            Input::Hushed { mark, played } => self.hushed(now, mark, played),
            Input::Digit(digit) => self.digit(now, digit),
            Input::Leave(reason) => self.leave(now, reason),
            Input::Gone => self.over(),
        }
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.floor == Floor::Over {
            return None;
        }
        let floor = match self.floor {
            Floor::Waiting | Floor::Over => None,
            Floor::Listening { since } => self.decide_at().or_else(|| self.idle_at(since)),
            Floor::Thinking => self.stuck_at(),
            Floor::Speaking => [self.protected_until(), self.stuck_at()].into_iter().flatten().min(),
            Floor::Paused { since } => Some(self.dispute_ends_at(since)),
        };
        let hearing = [self.hearing.deaf_at(STAGE_DEADLINE), self.hearing.breathless_at(LONGEST_UTTERANCE)];
        let leave = self.leave_by.map(|(at, _)| at);
        [floor, self.digits_until, self.ends_at, leave].into_iter().chain(hearing).flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((at, reason)) = self.leave_by
            && now >= at
        {
            return self.hang_up(reason);
        }
        if self.ends_at.is_some_and(|at| now >= at) {
            self.ends_at = None;
            self.leave(now, EndReason::MaxDuration);
        }
        if self.digits_until.is_some_and(|at| now >= at) {
            self.digits_until = None;
            self.take_turn(now);
        }
        if let Some(job) = self.hearing.overdue(now, STAGE_DEADLINE) {
            self.deaf(now, job);
        }
        if self.hearing.breathless_at(LONGEST_UTTERANCE).is_some_and(|at| now >= at) {
            self.voice_end(now, now);
        }
        match self.floor {
            Floor::Listening { since } => {
                if self.decide_at().is_some_and(|at| now >= at) {
                    self.take_turn(now);
                } else if self.idle_at(since).is_some_and(|at| now >= at) {
                    self.idle(now);
                }
            }
            Floor::Thinking | Floor::Speaking if self.stuck_at().is_some_and(|at| now >= at) => {
                let kind = self.speech.as_ref().map(|speech| speech.kind);
                self.interrupt(now);
                self.unanswered(now, kind.unwrap_or(Kind::Stock));
            }
            Floor::Speaking if self.hearing.voicing() => self.pause(now),
            Floor::Paused { since } if now >= self.dispute_ends_at(since) => match self.hearing.voicing() {
                true => self.interrupt(now),
                false => self.resume(now),
            },
            _ => {}
        }
    }

    fn answered(&mut self, now: Instant) {
        if self.floor != Floor::Waiting {
            return;
        }
        self.ends_at = Some(now + self.manners.max_duration);
        if self.manners.first_message.is_empty() {
            self.floor = Floor::Listening { since: now };
        } else {
            let text = self.manners.first_message.clone();
            self.say(now, Kind::Greeting, text);
        }
    }

    // --- the caller's side ---------------------------------------------------------------------------------------

    fn voice_start(&mut self, now: Instant, onset: Instant) {
        self.hearing.voice_started(onset);
        self.idle_prompts = 0;
        match self.floor {
            Floor::Thinking => self.caller_goes_on(now),
            Floor::Speaking => self.pause(now),
            _ => {}
        }
    }

    /// The caller was not finished: the answer in the making is dropped, its question becomes the beginning of the next.
    fn caller_goes_on(&mut self, now: Instant) {
        let Some(mut speech) = self.speech.take_if(|speech| speech.kind == Kind::Answer) else { return };
        speech.withdrawn = true;
        self.cut(speech);
        if self.history.last().is_some_and(|line| line.speaker == Speaker::Caller)
            && let Some(line) = self.history.pop()
        {
            self.hearing.goes_on_from(line.text);
        }
        self.floor = Floor::Listening { since: now };
    }

    /// Drops what works for a speech and what still sounds of it. Its end is written when the cut is known.
    fn cut(&mut self, speech: Speech) {
        self.actions.push_back(Action::Cancel { turn: speech.turn });
        self.actions.push_back(Action::Hush);
        self.cut_off.push_back(speech);
    }

    fn voice_end(&mut self, now: Instant, since: Instant) {
        if let Some(job) = self.hearing.voice_ended(now, since) {
            self.actions.push_back(Action::Transcribe { job });
        }
    }

    fn heard(&mut self, now: Instant, job: u64, text: &str, stt: Duration) {
        let text = words::spoken(text);
        if !self.hearing.heard(job, &text, stt) {
            return;
        }
        self.deafness = 0;
        match self.floor {
            Floor::Paused { .. } if words::is_back_channel(&text) => {
                self.forget();
                return self.resume(now);
            }
            Floor::Paused { .. } => self.interrupt(now),
            // The words came after the pause was given up: an interruption all the same.
            Floor::Speaking if !words::is_back_channel(&text) && self.may_be_paused(now) => {
                self.interrupt(now)
            }
            // What was said over the goodbye or in the protected start of the greeting stays for later.
            Floor::Speaking | Floor::Thinking | Floor::Waiting | Floor::Over => return,
            Floor::Listening { .. } => {}
        }
        if text.is_empty() && self.hearing.text().is_empty() {
            return self.nothing_was_said(now);
        }
        self.note(Note::Heard { text: self.hearing.text(), is_final: false });
        if self.decide_at().is_some_and(|at| now >= at) {
            self.take_turn(now);
        }
    }

    fn nothing_was_said(&mut self, now: Instant) {
        self.forget();
        self.floor = Floor::Listening { since: now };
        let rest = std::mem::take(&mut self.unsaid);
        if !rest.is_empty() {
            self.say(now, Kind::Stock, rest);
        }
    }

    fn deaf(&mut self, now: Instant, job: u64) {
        if !self.hearing.failed(job) {
            return;
        }
        match self.floor {
            Floor::Paused { .. } => self.resume(now),
            Floor::Listening { .. } => {
                self.deafness += 1;
                self.apologize(now, self.deafness, EndReason::EngineFailed);
            }
            _ => {}
        }
    }

    fn digit(&mut self, now: Instant, digit: char) {
        self.digits.push(digit);
        self.idle_prompts = 0;
        match self.floor {
            Floor::Speaking | Floor::Paused { .. } if !self.is_leaving() => self.interrupt(now),
            Floor::Thinking => self.caller_goes_on(now),
            _ => {}
        }
        self.digits_until = Some(if digit == '#' { now } else { now + DIGIT_PAUSE });
    }

    /// The caller's turn is over: what was heard and pressed goes to the brain.
    fn take_turn(&mut self, now: Instant) {
        // A cut comes first, so that the history is in order; `hushed` comes back here.
        if !matches!(self.floor, Floor::Listening { .. }) || self.is_leaving() || !self.cut_off.is_empty() {
            return;
        }
        let (spoken, stt) = (self.hearing.text(), self.hearing.stt());
        let pressed = std::mem::take(&mut self.digits);
        self.digits_until = None;
        let keypad = match pressed.as_str() {
            "" => String::new(),
            digits => format!("(The caller pressed {} on the keypad.)", spaced(digits)),
        };
        let text = words::join(&spoken, &keypad);
        let quiet_since = self.hearing.quiet_since();
        self.forget();
        if text.is_empty() {
            return;
        }
        self.unsaid.clear();
        self.note(Note::Heard { text: text.clone(), is_final: true });
        self.history.push(Line { speaker: Speaker::Caller, text: text.clone() });
        let speech = self.begin(now, Kind::Answer);
        speech.record.heard = Private::new(text);
        speech.record.stt_ms = stt.map(millis);
        speech.answers = quiet_since;
        self.actions.push_back(Action::Reply { turn: self.turn });
    }

    fn forget(&mut self) {
        self.hearing.forget();
        self.actions.push_back(Action::Forget);
    }

    // --- the agent's side ----------------------------------------------------------------------------------------

    fn begin(&mut self, now: Instant, kind: Kind) -> &mut Speech {
        self.turn += 1;
        self.floor = Floor::Thinking;
        self.speech.insert(Speech::new(self.turn, kind, now))
    }

    fn say(&mut self, now: Instant, kind: Kind, text: String) {
        self.begin(now, kind);
        self.actions.push_back(Action::Say { turn: self.turn, text });
    }

    fn of_turn(&mut self, turn: u32, act: impl FnOnce(&mut Speech)) {
        if let Some(speech) = self.speech.as_mut().filter(|speech| speech.turn == turn) {
            act(speech);
        }
    }

    fn started(&mut self, now: Instant, mark: u64) {
        let Some(speech) = self.speech.as_mut().filter(|speech| speech.has(mark)) else { return };
        if speech.started_at.is_some() {
            return;
        }
        speech.started(now);
        if self.floor == Floor::Thinking {
            self.floor = Floor::Speaking;
            // Voice that began before the first sample left is over it just the same.
            if self.hearing.voicing() {
                self.pause(now);
            }
        }
    }

    fn played(&mut self, now: Instant, mark: u64) {
        for speech in self.speech.iter_mut().chain(&mut self.cut_off) {
            speech.played(now, mark);
        }
        self.finish_if_done(now);
    }

    fn reply_over(&mut self, now: Instant, turn: u32, failed: bool) {
        let Some(speech) = self.speech.as_mut().filter(|speech| speech.turn == turn) else { return };
        speech.over = true;
        if !speech.is_empty() {
            return self.finish_if_done(now);
        }
        // Nothing to say is a failure too, unless the brain wants to leave without a word.
        let (kind, leaves) = (speech.kind, speech.then_hang_up && !failed);
        self.speech = None;
        self.floor = Floor::Listening { since: now };
        if leaves { self.leave(now, EndReason::AgentHungUp) } else { self.unanswered(now, kind) }
    }

    /// Nothing came of a speech.
    fn unanswered(&mut self, now: Instant, kind: Kind) {
        match kind {
            Kind::Goodbye(reason) => self.hang_up(reason),
            Kind::Answer => {
                self.failures += 1;
                self.apologize(now, self.failures, EndReason::BrainFailed);
            }
            // Not even a sentence of ours could be said.
            Kind::Greeting | Kind::Stock => {
                self.failures += 1;
                if self.failures >= PATIENCE_WITH_FAILURE {
                    self.leave(now, EndReason::EngineFailed);
                }
            }
        }
    }

    /// The brain or the ear failed: say so, and after some more in a row give up.
    fn apologize(&mut self, now: Instant, in_a_row: u32, reason: EndReason) {
        self.forget();
        if in_a_row >= PATIENCE_WITH_FAILURE {
            self.leave(now, reason);
        } else {
            let apology = self.manners.apology.clone();
            self.say(now, Kind::Stock, apology);
        }
    }

    fn finish_if_done(&mut self, now: Instant) {
        let Some(speech) = self.speech.take_if(|speech| speech.is_done()) else { return };
        let (text, kind, then_hang_up) = (speech.text(), speech.kind, speech.then_hang_up);
        self.close(speech, text.clone(), false);
        self.floor = Floor::Listening { since: now };
        if kind == Kind::Answer {
            self.failures = 0;
        }
        let lower = text.to_lowercase();
        let parting = kind == Kind::Answer && self.manners.end_call_phrases.iter().any(|p| lower.contains(p));
        match kind {
            Kind::Goodbye(reason) => self.hang_up(reason),
            _ if then_hang_up || parting => self.hang_up(EndReason::AgentHungUp),
            _ => self.catch_up(now),
        }
    }

    /// What the caller said or pressed meanwhile, in the protected start or under a nod, is the next turn.
    fn catch_up(&mut self, now: Instant) {
        let pressed = !self.digits.is_empty() && self.digits_until.is_none_or(|at| now >= at);
        if pressed || self.decide_at().is_some_and(|at| now >= at) {
            self.take_turn(now);
        }
    }

    /// Writes a speech into history, transcript and timings.
    fn close(&mut self, speech: Speech, heard: String, interrupted: bool) {
        if speech.withdrawn && heard.is_empty() {
            return;
        }
        if !heard.is_empty() {
            self.history.push(Line { speaker: Speaker::Agent, text: heard.clone() });
            let started_at = speech.started_at.unwrap_or(speech.asked_at);
            self.note(Note::Said { text: heard.clone(), interrupted, started_at });
        }
        self.note(Note::Turn(Turn { said: Private::new(heard), interrupted, ..speech.record }));
    }

    // --- the floor in dispute ------------------------------------------------------------------------------------

    /// When voice over the protected start of the greeting may pause it after all.
    fn protected_until(&self) -> Option<Instant> {
        let speech = self.speech.as_ref().filter(|speech| speech.kind == Kind::Greeting)?;
        let until = speech.started_at? + self.manners.timing.protect_greeting;
        (self.hearing.voicing() && !self.is_leaving()).then_some(until)
    }

    /// When what is asked for or sounding must have moved on.
    fn stuck_at(&self) -> Option<Instant> {
        self.speech.as_ref().map(|speech| speech.stuck_at(STAGE_DEADLINE))
    }

    /// When the caller's turn counts as over; `None` while that may not be decided.
    fn decide_at(&self) -> Option<Instant> {
        let free = !self.is_leaving() && self.cut_off.is_empty();
        self.hearing.decide_at(&self.manners.timing).filter(|_| free)
    }

    fn may_be_paused(&self, now: Instant) -> bool {
        let started =
            self.speech.as_ref().filter(|speech| speech.kind == Kind::Greeting).and_then(|s| s.started_at);
        !self.is_leaving() && started.is_none_or(|at| now >= at + self.manners.timing.protect_greeting)
    }

    fn pause(&mut self, now: Instant) {
        if !self.may_be_paused(now) {
            return;
        }
        self.floor = Floor::Paused { since: now };
        self.actions.push_back(Action::Pause);
    }

    /// Long voice decides for the caller; silence without words decides for the agent.
    fn dispute_ends_at(&self, since: Instant) -> Instant {
        let timing = &self.manners.timing;
        match self.hearing.voicing() {
            true => since + timing.interrupt_after,
            false => self.hearing.quiet_since().map_or(since, |quiet| quiet.max(since)) + timing.resume_after,
        }
    }

    fn resume(&mut self, now: Instant) {
        if let Floor::Paused { since } = self.floor {
            self.floor = Floor::Speaking;
            self.note(Note::BargeIn { turn: self.turn, stop: Duration::ZERO, resumed: true });
            tracing::debug!(paused_ms = millis(now - since), "a false interruption");
        }
        self.actions.push_back(Action::Resume);
        self.finish_if_done(now);
    }

    fn interrupt(&mut self, now: Instant) {
        let since = if let Floor::Paused { since } = self.floor { since } else { now };
        self.floor = Floor::Listening { since: now };
        let Some(speech) = self.speech.take() else { return };
        if speech.started_at.is_some() {
            self.note(Note::BargeIn {
                turn: speech.turn,
                stop: self.hearing.onset_before(since),
                resumed: false,
            });
        }
        self.cut(speech);
    }

    fn hushed(&mut self, now: Instant, mark: Option<u64>, played: Duration) {
        self.close_cut(mark, played);
        self.catch_up(now);
    }

    fn close_cut(&mut self, mark: Option<u64>, played: Duration) {
        let Some(speech) = self.cut_off.pop_front() else { return };
        let (heard, unheard) = speech.split_at(mark, played);
        if !matches!(speech.kind, Kind::Goodbye(_)) && !speech.withdrawn {
            self.unsaid = unheard;
        }
        self.close(speech, heard, true);
    }

    // --- silence and the end -------------------------------------------------------------------------------------

    fn idle_at(&self, since: Instant) -> Option<Instant> {
        let waiting = !self.hearing.is_open() && self.digits_until.is_none() && !self.is_leaving();
        waiting.then(|| since + self.manners.timing.idle)
    }

    fn idle(&mut self, now: Instant) {
        if self.idle_prompts >= self.manners.timing.idle_prompts {
            return self.leave(now, EndReason::CallerSilent);
        }
        self.idle_prompts += 1;
        let text = self.manners.still_there.clone();
        self.say(now, Kind::Stock, text);
    }

    fn is_leaving(&self) -> bool {
        self.leave_by.is_some()
    }

    /// Says goodbye, then hangs up. Whatever was being said is cut.
    fn leave(&mut self, now: Instant, reason: EndReason) {
        if self.is_leaving() {
            return;
        }
        if self.speech.is_some() {
            self.interrupt(now);
        }
        self.leave_by = Some((now + LEAVE_DEADLINE, reason));
        if self.floor == Floor::Waiting || self.manners.goodbye.is_empty() {
            return self.hang_up(reason);
        }
        let text = self.manners.goodbye.clone();
        self.say(now, Kind::Goodbye(reason), text);
    }

    fn hang_up(&mut self, reason: EndReason) {
        self.actions.push_back(Action::HangUp(reason));
        self.over();
    }

    fn over(&mut self) {
        if let Some(speech) = self.speech.take() {
            self.cut(speech);
        }
        self.floor = Floor::Over;
    }

    /// The last truths: where the sound was cut, and the words that the caller left with.
    fn after_the_end(&mut self, input: Input) {
        match input {
            Input::Hushed { mark, played } => self.close_cut(mark, played),
            Input::Heard { job, text, stt } => {
                let text = words::spoken(&text);
                if self.hearing.heard(job, &text, stt) && !self.hearing.text().is_empty() {
                    let text = self.hearing.text();
                    self.note(Note::Heard { text: text.clone(), is_final: true });
                    self.history.push(Line { speaker: Speaker::Caller, text });
                    self.hearing.forget();
                }
            }
            _ => {}
        }
    }

    /// After the end: a last utterance that was not yet turned into words. `None` where there is none.
    pub fn last_words(&mut self, now: Instant) -> Option<u64> {
        if self.hearing.voicing() { self.hearing.voice_ended(now, now) } else { self.hearing.pending() }
    }

    fn note(&mut self, note: Note) {
        self.actions.push_back(Action::Note(note));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn spaced(digits: &str) -> String {
    digits.chars().map(String::from).collect::<Vec<_>>().join(" ")
}
