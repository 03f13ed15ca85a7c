//! Who may speak? The heart of a call: a state machine without IO, clock or task.
//!
//! [`Conversation::handle`] puts the world in, [`Conversation::poll_action`] takes decisions out,
//! [`Conversation::poll_timeout`] says when to call [`Conversation::handle_timeout`].
//!
//! # The floor
//!
//! | state | who has the floor | leaves it when |
//! |---|---|---|
//! | `Waiting` | nobody yet | the call is answered: who has called is greeted, who was called is listened to for a "hello" first |
//! | `Listening` | the caller, or nobody | an utterance is finished → `Thinking`; long silence → a prompt |
//! | `Thinking` | the agent, not sounding yet | first sample left → `Speaking`; the caller goes on → `Listening` |
//! | `Speaking` | the agent | all was said → `Listening`; voice over it → `Paused` |
//! | `Paused` | in dispute | words, or long voice → the agent is hushed, `Listening`; neither → `Speaking` from the same sample |
//! | `Away` | none of us: the caller is being transferred | the agent is back → `Listening` |
//! | `Over` | nobody | never |
//!
//! # Laws
//!
//! - A result of an earlier turn or of an earlier transcription fails a comparison and vanishes.
//! - The transcript and the brain's history hold what left the socket, cut between words where it was cut.
//! - No path is silent for ever: every state but `Over` has a deadline; that of `Waiting` is the ringing's, which SIP holds.
//! - What is worked for before the caller's turn is over has no effect but an explanation.
//!
//! The caller's side is in `caller` (what is heard: `hearing`; has it ended: `completeness`, `ladder`; work on suspicion: `guess`), the agent's in `agent` (what is said: `speech`), the
//! quarrel between them in `floor`, why it all went so in `recorder`, what the agent does besides talking in `deeds`, what a client has
//! said in `prompted`, transfers in `away`; the beginning in `opening`, whether a machine has answered in `machine`, the end in `ending`;
//! what words mean is in `words`.
//!
#![doc = include_str!("states.md")]

mod agent;
mod away;
mod caller;
mod completeness;
mod deeds;
mod ending;
mod filler;
mod floor;
mod guess;
mod hearing;
mod ladder;
mod machine;
mod opening;
mod prompted;
mod recorder;
mod speech;
mod words;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use models::spoken::Diction;

use guess::Guess;
use hearing::Hearing;
use ladder::Habit;
use machine::Machine;
use opening::Opening;
pub use prompted::Unsaid;
use recorder::{Recorder, Scope};
use speech::{Kind, Speech};

use crate::config::{Agent, TurnTaking};
use crate::domain::{
    AnsweredBy, AtVoicemail, DisputeReason, EndReason, Filler, MachineClue, Sentences, Speaker, StageKind,
    StageOutcome, ToolUse, Turn, Verdict, Voicemail, millis,
};

/// How this call is held.
#[derive(Clone, Debug)]
pub struct Manners {
    pub timing: TurnTaking,
    /// Factor of the silences after which the agent answers.
    pub patience: f32,
    /// ISO 639-1, or "auto": of the caller's words.
    pub language: String,
    pub first_message: String,
    pub goodbye: String,
    pub apology: String,
    /// Into the caller's silence, one after another.
    pub still_there: Sentences,
    pub transfer_failed: String,
    pub end_call_phrases: Vec<String>,
    /// How the agent's words are said.
    pub diction: Diction,
    pub filler: Filler,
    pub max_duration: Duration,
    /// Whether we have called, and who answers may speak first, if it is anybody.
    pub is_outbound: bool,
    /// Said before anything else; empty: nothing.
    pub disclosure: String,
    /// Said when a minute is left; empty: nothing.
    pub time_warning: String,
    /// What a machine that answers gets.
    pub voicemail: Voicemail,
    /// Keys of the caller may stand in the transcript.
    pub keeps_digits: bool,
}

impl Manners {
    pub fn new(agent: &Agent, timing: &TurnTaking, max_duration: Duration) -> Self {
        Self {
            timing: TurnTaking { idle: agent.idle.unwrap_or(timing.idle), ..timing.clone() },
            patience: agent.patience,
            language: agent.language.clone(),
            first_message: agent.first_message.clone(),
            goodbye: agent.goodbye.clone(),
            apology: agent.apology.clone(),
            still_there: agent.still_there.clone(),
            transfer_failed: agent.transfer_failed.clone(),
            end_call_phrases: agent.end_call_phrases.iter().map(|p| p.to_lowercase()).collect(),
            diction: Diction::new(&agent.language, []),
            filler: agent.filler.clone(),
            max_duration,
            is_outbound: false,
            disclosure: String::new(),
            time_warning: agent.time_warning.clone(),
            voicemail: agent.voicemail.clone(),
            keeps_digits: true,
        }
    }

    /// The call is recorded: that is said first, unless the greeting says so.
    #[must_use]
    pub fn recorded(mut self, agent: &Agent) -> Self {
        if !words::tells_of_recording(&self.first_message) {
            self.disclosure.clone_from(&agent.disclosure);
        }
        self
    }

    /// The sentences known before the call: worth synthesizing ahead, those first that are said first.
    pub fn stock(&self) -> Vec<&str> {
        let leaves_message = self.voicemail.then == AtVoicemail::LeaveMessage;
        let message = Some(&self.voicemail.message).filter(|_| leaves_message);
        let said = [&self.disclosure, &self.first_message, &self.apology];
        let last = [&self.transfer_failed, &self.goodbye, &self.time_warning];
        let said = said.into_iter().chain(self.still_there.all());
        let sentences = said.chain(last).chain(message).chain(&self.filler.phrases);
        sentences.map(String::as_str).filter(|sentence| !sentence.is_empty()).collect()
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
    /// Within a voice there is silence for a moment; it began at `since`. It may be the end, or a stop within a word.
    VoiceDip {
        since: Instant,
    },
    /// It was not the end: the voice has been back since `onset`.
    VoiceBack {
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
    /// The words of an utterance that is still being spoken, as far as the ear has come. `utterance`: how many
    /// [`Action::Forget`] came before its sound.
    Partial {
        utterance: u64,
        text: String,
        /// What the ear needed for them.
        stt: Duration,
    },
    /// How likely the caller has finished, by the sound that `job` is about, 0 to 1. Never comes where nothing judges.
    TurnJudged {
        job: u64,
        probability: f32,
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
    /// So has the phrase that [`Action::Fill`] asked for.
    Filler {
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
    /// The brain failed or is late, and another has been asked.
    Fallback {
        turn: u32,
        because: String,
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
    /// … or to hand the caller on to the target that its tools hold for this turn.
    WantsTransfer {
        turn: u32,
    },
    /// … or to say no more, and to wait for the caller so long.
    WantsQuiet {
        turn: u32,
        quiet: Duration,
    },
    /// What the brain asked for is being done, and will be over within so long.
    ToolBegan {
        turn: u32,
        name: String,
        within: Duration,
    },
    /// It is done, or could not be. Never stale: what was done in the world was done.
    ToolOver {
        turn: u32,
        deed: Deed,
        ok: bool,
        took: Duration,
    },
    /// The answer to [`Action::Transfer`] where it could not begin.
    NotTransferred,
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
    /// A tone has ended that may be an answering machine's.
    Beep,
    /// A client wants this said: at once, or when whoever speaks has finished.
    Say {
        text: String,
        interrupt: bool,
    },
    /// Somebody else has the caller from here on, or nobody yet: a transfer.
    Away,
    /// The agent has the caller again, and says this first, if anything.
    Back {
        say: String,
    },
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
    /// Ask the brain, with everything that was said, and make the first of the sound; let nothing of it be heard, done or written
    /// before [`Action::Release`].
    Reply {
        turn: u32,
    },
    /// The caller is still speaking, with these words so far: a brain that can may read them.
    ReadAhead {
        text: String,
    },
    /// The turn that is being worked for is the agent's: what waits of it may go on.
    Release {
        turn: u32,
    },
    /// Say a sentence.
    Say {
        turn: u32,
        text: String,
    },
    /// Say this in front of what the turn will say next: it takes long.
    Fill {
        turn: u32,
        text: String,
    },
    /// Drop what works for this turn.
    Cancel {
        turn: u32,
    },
    /// Hand the caller on to the target that the tools hold for this turn.
    Transfer {
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
    Turn(Box<Turn>),
    /// Voice over the agent: it fell silent `stop` after the onset.
    BargeIn { turn: u32, stop: Duration, resumed: bool },
    /// Who has taken a call that we placed.
    AnsweredBy(AnsweredBy),
    /// An answering machine: what told, what it gets, and whether it has the message.
    Voicemail { clue: MachineClue, then: AtVoicemail, left: bool },
    /// The agent did something besides talking, or tried to.
    Tool(ToolUse),
}

/// One line of the history that the brain is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub speaker: Speaker,
    pub text: String,
    /// What the agent did after these words.
    pub deeds: Vec<Deed>,
}

impl Line {
    pub fn new(speaker: Speaker, text: impl Into<String>) -> Self {
        Self { speaker, text: text.into(), deeds: Vec::new() }
    }
}

/// Something that the brain wanted done, and what it was told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deed {
    /// As the brain named this call of the tool.
    pub id: String,
    pub name: String,
    /// A JSON object as text.
    pub arguments: String,
    pub result: String,
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
    Away,
    Over,
}

/// Nothing sounded for so long after it was asked for: the stage hangs.
const STAGE_DEADLINE: Duration = Duration::from_secs(12);
/// Goodbye takes no longer than this, whatever becomes of it.
const LEAVE_DEADLINE: Duration = Duration::from_secs(15);
/// Voice without a pause for so long is turned into words as it stands: a transcriber hears no more at once.
const LONGEST_UTTERANCE: Duration = Duration::from_secs(28);
/// An utterance with pauses that is older than this is turned into words piece by piece.
const SEAL_AFTER: Duration = Duration::from_secs(12);
/// More digits may follow within this.
const DIGIT_PAUSE: Duration = Duration::from_secs(2);
/// Failures in a row before the call is given up.
const PATIENCE_WITH_FAILURE: u32 = 3;

pub struct Conversation {
    manners: Manners,
    floor: Floor,
    hearing: Hearing,
    habit: Habit,
    /// What the agent says or is about to say.
    speech: Option<Speech>,
    /// What it may be about to say, if the caller has finished.
    guess: Option<Guess>,
    /// How many of these there were since the last turn.
    guesses: u32,
    /// Words of the utterance that a brain has read ahead.
    read: usize,
    /// Hushed, and their cuts not yet known: one for each `Action::Hush` that has no `Input::Hushed` yet.
    cut_off: VecDeque<Speech>,
    /// The rest of what noise cut off, to be said after all when no words come.
    unsaid: String,
    turn: u32,
    history: Vec<Line>,
    digits: String,
    digits_until: Option<Instant>,
    /// What a client wants said, and has not been said yet.
    prompted: VecDeque<String>,
    /// Answers in a row of which nothing came.
    failures: u32,
    /// Utterances in a row that could not be heard.
    deafness: u32,
    /// Fillers so far.
    fillers: usize,
    idle_prompts: u32,
    opening: Opening,
    machine: Machine,
    /// The agent has promised to wait until then.
    quiet_until: Option<Instant>,
    ends_at: Option<Instant>,
    leave_by: Option<(Instant, EndReason)>,
    recorder: Recorder,
    actions: VecDeque<Action>,
}

impl Conversation {
    pub fn new(manners: Manners) -> Self {
        Self {
            manners,
            floor: Floor::Waiting,
            hearing: Hearing::default(),
            habit: Habit::default(),
            speech: None,
            guess: None,
            guesses: 0,
            read: 0,
            cut_off: VecDeque::new(),
            unsaid: String::new(),
            turn: 0,
            history: Vec::new(),
            digits: String::new(),
            digits_until: None,
            prompted: VecDeque::new(),
            failures: 0,
            deafness: 0,
            fillers: 0,
            idle_prompts: 0,
            opening: Opening::default(),
            machine: Machine::default(),
            quiet_until: None,
            ends_at: None,
            leave_by: None,
            recorder: Recorder::default(),
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
        self.recorder.at_time(now);
        if self.floor == Floor::Over {
            return self.after_the_end(input);
        }
        if self.floor == Floor::Away {
            return self.while_away(now, input);
        }
        if !self.with_machine(now, &input) && !self.was_hello(&input) {
            self.take(now, input);
        }
        self.say_prompted(now);
        self.guess_ahead(now);
    }

    fn take(&mut self, now: Instant, input: Input) {
        match input {
            Input::Answered => self.answered(now),
            Input::VoiceStart { onset } => self.voice_start(now, onset),
            Input::VoiceDip { since } => self.voice_dip(now, since),
            Input::VoiceBack { onset } => self.voice_back(now, onset),
            Input::VoiceEnd { since } => {
                self.voice_end(now, since);
                self.hello_is_over(now);
            }
            Input::Heard { job, text, stt } => self.heard(now, job, &text, stt),
            Input::Partial { utterance, text, stt } => self.partial(now, utterance, &text, stt),
            Input::TurnJudged { job, probability } => self.judged(now, job, probability),
            Input::Deaf { job } => self.deaf(now, job),
            Input::Phrase { turn, mark, text } => self.of_turn(turn, |speech| speech.queue(now, mark, text)),
            Input::Filler { turn, mark, text } => {
                self.of_turn(turn, |speech| speech.queue_filler(now, mark, text));
            }
            Input::Measured { turn, mark, duration } => {
                self.of_turn(turn, |speech| speech.measured(now, mark, duration))
            }
            Input::WantsHangUp { turn } => self.of_turn(turn, |speech| speech.then_hang_up = true),
            Input::WantsTransfer { turn } => self.of_turn(turn, |speech| speech.then_transfer = true),
            Input::WantsQuiet { turn, quiet } => self.of_turn(turn, |speech| speech.then_quiet = Some(quiet)),
            Input::ToolBegan { turn, name, within } => self.tool_began(now, turn, &name, within),
            Input::ToolOver { turn, deed, ok, took } => self.tool_over(now, turn, deed, ok, took),
            Input::NotTransferred => self.not_transferred(now),
            Input::FirstToken { turn, after } => {
                self.of_any_turn(turn, |speech| speech.record.llm_first_token_ms = Some(millis(after)));
                let (scope, stage) = (Scope::Turn(turn), StageKind::FirstToken);
                self.recorder.stage_ended(scope, stage, 0, StageOutcome::Used);
                self.recorder.stage_ended(scope, StageKind::Fallback, 0, StageOutcome::Used);
            }
            Input::Fallback { turn, because } => {
                let (scope, stage) = (Scope::Turn(turn), StageKind::Fallback);
                self.recorder.stage_began(scope, stage, 0);
                self.recorder.stage_detail(scope, stage, 0, &because);
            }
            Input::FirstAudio { turn, after } => {
                self.of_any_turn(turn, |speech| speech.record.tts_first_audio_ms = Some(millis(after)));
                self.recorder.stage_took(Scope::Turn(turn), StageKind::FirstSound, after);
            }
            Input::ReplyOver { turn, failed } => self.reply_over(now, turn, failed),
            Input::Started { mark } => self.started(now, mark),
            Input::Played { mark } => self.played(now, mark),
            Input::Hushed { mark, played } => self.hushed(now, mark, played),
            Input::Digit(digit) => self.digit(now, digit),
            Input::Say { text, interrupt } => self.prompt(now, text, interrupt),
            Input::Away => self.away(),
            // Looked at before.
            Input::Beep | Input::Back { .. } => {}
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
            Floor::Waiting | Floor::Away | Floor::Over => None,
            Floor::Listening { .. } if self.opening.is_held() => self.held_until(),
            Floor::Listening { since } => self.decide_at().or_else(|| self.idle_at(since)),
            Floor::Thinking => [self.stuck_at(), self.filler_at()].into_iter().flatten().min(),
            Floor::Speaking => {
                [self.protected_until(), self.stuck_at(), self.filler_at()].into_iter().flatten().min()
            }
            Floor::Paused { since } => Some(self.dispute_ends_at(since)),
        };
        let hearing = [self.hearing.deaf_at(STAGE_DEADLINE), self.hearing.breathless_at(LONGEST_UTTERANCE)];
        let leave = self.leave_by.map(|(at, _)| at);
        let guess = [self.guess_at(), self.doubt_ends_at()];
        let manners = [self.warn_at(), self.machine.due_at().filter(|_| !self.is_leaving())];
        let others = [floor, self.digits_until, self.ends_at, leave];
        others.into_iter().chain(manners).chain(hearing).chain(guess).flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.recorder.at_time(now);
        self.time_out(now);
        self.say_prompted(now);
        self.guess_ahead(now);
    }

    fn time_out(&mut self, now: Instant) {
        if let Some((at, reason)) = self.leave_by
            && now >= at
        {
            return self.hang_up(reason);
        }
        if self.ends_at.is_some_and(|at| now >= at) {
            self.ends_at = None;
            self.leave(now, EndReason::MaxDuration);
        }
        if self.doubt_ends_at().is_some_and(|at| now >= at) {
            self.throw_away();
        }
        if self.warn_at().is_some_and(|at| now >= at) {
            self.warn();
        }
        if !self.is_leaving() {
            self.machine_timed_out(now);
        }
        if self.floor == Floor::Over {
            return;
        }
        if self.digits_until.is_some_and(|at| now >= at) {
            self.digits_until = None;
            self.take_turn(now);
        }
        if let Some(job) = self.hearing.overdue(now, STAGE_DEADLINE) {
            let (scope, stage) = (Scope::Utterance, StageKind::Transcription);
            self.recorder.stage_detail(scope, stage, job, "nothing came in time");
            self.deaf(now, job);
        }
        if self.hearing.breathless_at(LONGEST_UTTERANCE).is_some_and(|at| now >= at) {
            self.voice_end(now, now);
        }
        match self.floor {
            Floor::Listening { .. } if self.held_until().is_some_and(|at| now >= at) => self.open(now),
            Floor::Listening { since } => {
                if self.decide_at().is_some_and(|at| now >= at) {
                    self.take_turn(now);
                } else if self.idle_at(since).is_some_and(|at| now >= at) {
                    self.idle(now);
                }
            }
            Floor::Thinking | Floor::Speaking if self.stuck_at().is_some_and(|at| now >= at) => {
                let kind = self.speech.as_ref().map(|speech| speech.kind);
                if let Some(speech) = &self.speech {
                    self.recorder.failed(speech.turn);
                }
                self.break_off(now);
                self.unanswered(now, kind.unwrap_or(Kind::Stock));
            }
            Floor::Thinking | Floor::Speaking if self.filler_at().is_some_and(|at| now >= at) => self.fill(),
            Floor::Speaking if self.hearing.voicing() => self.pause(now),
            Floor::Paused { since } if now >= self.dispute_ends_at(since) => match self.hearing.voicing() {
                true => {
                    self.decided(Verdict::Interrupted, DisputeReason::Duration);
                    self.interrupt(now);
                }
                false if self.hearing.is_heard() => {
                    let text = self.hearing.words().to_owned();
                    self.go_on(now, self.no_interruption(&text).unwrap_or(DisputeReason::NoWords));
                }
                false => {
                    self.decided(Verdict::Resumed, DisputeReason::NoWords);
                    self.resume(now);
                }
            },
            _ => {}
        }
    }

    fn note(&mut self, note: Note) {
        let is_turn = matches!(&note, Note::Heard { is_final: true, .. });
        self.actions.push_back(Action::Note(note));
        if is_turn && self.machine.turn_taken() {
            self.is_answered_by(AnsweredBy::Human);
        }
    }
}
