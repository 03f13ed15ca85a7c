//! Who has taken a call that we placed: a person, an answering machine, a menu?
//!
//! Three clues, each beside the talk and none holding it up: words that only machines say, a talk without an answer's pause that
//! began with the call, and a beep after a talk. A machine is hung up on, or it is waited for its beep, or the
//! silence before it, and given the agent's message. In that time nothing that it says is answered.

use std::time::{Duration, Instant};

use super::speech::Kind;
use super::{Conversation, Floor, Input, Note, words};
use crate::domain::{AnsweredBy, AtVoicemail, EndReason, MachineClue};

/// People who take a call do not talk for so long before they let the other one speak.
const MONOLOGUE: Duration = Duration::from_secs(6);
/// A pause longer than this is one for an answer.
const BREATH: Duration = Duration::from_millis(1000);
/// A machine begins to talk within so long of the answer.
const BEGINS_WITHIN: Duration = Duration::from_secs(3);
/// What comes later in a call is no machine's greeting.
const LOOKED_FOR: Duration = Duration::from_secs(60);
/// A person's "hello" is shorter than what is said before a beep.
const ANNOUNCEMENT: Duration = Duration::from_millis(1500);
/// Silence in which a beep would have come.
const NO_BEEP: Duration = Duration::from_secs(4);
/// The message is left after so long whatever the machine does.
const LONGEST_WAIT: Duration = Duration::from_secs(45);
/// A beep within so long of the message's start was the one that it should have waited for.
const TOO_EARLY: Duration = Duration::from_secs(8);
/// A menu goes on after pauses that end a person's turn.
const MENU_PAUSE: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Stage {
    #[default]
    Off,
    /// For the beep; `quiet`: since when it says nothing.
    Waiting { since: Instant, quiet: Option<Instant> },
    /// The message sounds. `again`: for the second time.
    Leaving { since: Instant, again: bool },
}

/// What is known of who has answered.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// `None`: nobody asks, for they have called us.
    answered_at: Option<Instant>,
    /// Talk since the answer without a pause for an answer: its first voice, and since when it is quiet.
    talk: Option<(Instant, Option<Instant>)>,
    /// There was such a pause.
    is_broken: bool,
    /// What was last heard names keys to press.
    hears_menu: bool,
    turns: u32,
    verdict: Option<AnsweredBy>,
    stage: Stage,
}

impl Machine {
    pub(super) fn answered(&mut self, now: Instant, voicing: bool) {
        self.answered_at = Some(now);
        if voicing {
            self.voice_started(now);
        }
    }

    /// Whether an answering machine is dealt with, and nobody is talked with.
    pub(super) fn is_on(&self) -> bool {
        self.stage != Stage::Off
    }

    /// Who is put through to somebody else has been talked with: nothing tells of a machine any more.
    pub(super) fn close(&mut self) {
        (self.stage, self.is_broken, self.turns) = (Stage::Off, true, self.turns.max(2));
    }

    fn is_looked_for(&self, now: Instant) -> bool {
        let soon = self.answered_at.is_some_and(|at| now < at + LOOKED_FOR);
        soon && self.verdict.is_none() && self.turns < 2
    }

    fn voice_started(&mut self, onset: Instant) {
        let Some(answered) = self.answered_at else { return };
        match &mut self.talk {
            Some((_, quiet)) if quiet.is_none_or(|since| onset <= since + BREATH) => *quiet = None,
            None if onset <= answered + BEGINS_WITHIN => self.talk = Some((onset.max(answered), None)),
            _ => self.is_broken = true,
        }
        if let Stage::Waiting { quiet, .. } = &mut self.stage {
            *quiet = None;
        }
    }

    fn voice_ended(&mut self, since: Instant) {
        if let Some((_, quiet)) = self.talk.as_mut().filter(|_| !self.is_broken) {
            *quiet = Some(since);
        }
        if let Stage::Waiting { quiet, .. } = &mut self.stage {
            *quiet = Some(since);
        }
    }

    /// How long that talk has lasted.
    fn talked_for(&self, now: Instant) -> Duration {
        self.talk
            .map_or(Duration::ZERO, |(began, quiet)| quiet.unwrap_or(now).saturating_duration_since(began))
    }

    /// When it has been too long for a person.
    fn monologue_at(&self) -> Option<Instant> {
        let (began, quiet) = self.talk?;
        let goes_on = quiet.is_none() && !self.is_broken && !self.hears_menu;
        (goes_on && self.verdict.is_none() && self.turns < 2).then(|| began + MONOLOGUE)
    }

    /// Whether a beep now is a machine's.
    fn would_beep(&self, now: Instant) -> bool {
        let follows = self.talk.is_none_or(|_| !self.is_broken && self.talked_for(now) >= ANNOUNCEMENT);
        self.is_looked_for(now) && follows
    }

    /// When something is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Off => self.monologue_at(),
            Stage::Waiting { since, quiet } => {
                let silence = quiet.map(|quiet| quiet.max(since) + NO_BEEP);
                silence.into_iter().chain([since + LONGEST_WAIT]).min()
            }
            Stage::Leaving { .. } => None,
        }
    }

    /// A turn of the callee was taken. True where that makes a person of them.
    pub(super) fn turn_taken(&mut self) -> bool {
        self.turns += 1;
        self.hears_menu = false;
        self.answered_at.is_some() && self.verdict.is_none() && self.turns == 2
    }

    /// How long a silence must last, at least, to be the end of what a menu says.
    pub(super) fn pause(&self) -> Duration {
        if self.hears_menu { MENU_PAUSE } else { Duration::ZERO }
    }

    /// What becomes of words that were just heard.
    fn read(&mut self, now: Instant, text: &str) -> bool {
        if self.answered_at.is_none() {
            return false;
        }
        let is_greeting = self.talked_for(now) >= ANNOUNCEMENT && !self.is_broken;
        let is_machine = self.is_looked_for(now) && words::is_voicemail(text, is_greeting);
        self.hears_menu = !is_machine && words::is_menu(text);
        is_machine
    }
}

impl Conversation {
    /// Whether a beep would mean something.
    pub fn listens_for_beep(&self, now: Instant) -> bool {
        self.machine.is_on() || self.machine.is_looked_for(now)
    }

    /// Looks at everything that tells of a machine. True where it was for the machine alone.
    pub(super) fn with_machine(&mut self, now: Instant, input: &Input) -> bool {
        match input {
            Input::VoiceStart { onset } => self.machine.voice_started(*onset),
            Input::VoiceEnd { since } => self.machine.voice_ended(*since),
            Input::Heard { text, .. } | Input::Partial { text, .. }
                if !self.machine.is_on() && self.hearing.waits_for(input) && self.machine.read(now, text) =>
            {
                self.is_machine(now, MachineClue::Words);
            }
            Input::Beep => self.beep(now),
            // Machines press no keys: somebody has picked up.
            Input::Digit(_) if self.machine.is_on() => {
                self.machine.stage = Stage::Off;
                self.is_answered_by(AnsweredBy::Human);
            }
            _ => {}
        }
        let is_for_machine = matches!(
            input,
            Input::VoiceStart { .. }
                | Input::VoiceDip { .. }
                | Input::VoiceBack { .. }
                | Input::VoiceEnd { .. }
                | Input::Heard { .. }
                | Input::Partial { .. }
                | Input::TurnJudged { .. }
                | Input::Deaf { .. }
                | Input::Say { .. }
        );
        is_for_machine && self.machine.is_on()
    }

    pub(super) fn machine_timed_out(&mut self, now: Instant) {
        if self.machine.due_at().is_none_or(|at| now < at) {
            return;
        }
        match self.machine.stage {
            Stage::Off => self.is_machine(now, MachineClue::Cadence),
            Stage::Waiting { .. } => self.leave_message(now, false),
            Stage::Leaving { .. } => {}
        }
    }

    fn beep(&mut self, now: Instant) {
        match self.machine.stage {
            Stage::Off if self.machine.would_beep(now) => self.is_machine(now, MachineClue::Beep),
            Stage::Off => {}
            Stage::Waiting { .. } => self.leave_message(now, false),
            Stage::Leaving { since, again: false } if now < since + TOO_EARLY => {
                self.leave_message(now, true)
            }
            Stage::Leaving { .. } => {}
        }
    }

    pub(super) fn is_answered_by(&mut self, by: AnsweredBy) {
        self.machine.verdict = Some(by);
        self.note(Note::AnsweredBy(by));
    }

    fn is_machine(&mut self, now: Instant, clue: MachineClue) {
        if self.is_leaving() {
            return;
        }
        self.is_answered_by(AnsweredBy::Machine);
        let then = self.manners.voicemail.then;
        self.note(Note::Voicemail { clue, then, left: false });
        match then {
            AtVoicemail::Ignore => {}
            AtVoicemail::HangUp => self.hang_up(EndReason::AgentHungUp),
            AtVoicemail::LeaveMessage => {
                if let Some(speech) = self.speech.take() {
                    self.cut(speech);
                }
                self.opening.close();
                self.prompted.clear();
                self.forget();
                self.hearing.close();
                self.floor = Floor::Listening { since: now };
                let quiet = self.machine.talk.and_then(|(_, quiet)| quiet);
                self.machine.stage = Stage::Waiting { since: now, quiet };
                if clue == MachineClue::Beep {
                    self.leave_message(now, false);
                }
            }
        }
    }

    fn leave_message(&mut self, now: Instant, again: bool) {
        let message = self.manners.voicemail.message.clone();
        if message.is_empty() {
            return self.hang_up(EndReason::AgentHungUp);
        }
        if let Some(speech) = self.speech.take() {
            self.cut(speech);
        }
        self.machine.stage = Stage::Leaving { since: now, again };
        self.say(now, Kind::Voicemail, message);
    }

    /// The message was said to its end.
    pub(super) fn message_left(&mut self) {
        let then = self.manners.voicemail.then;
        self.note(Note::Voicemail { clue: MachineClue::Beep, then, left: true });
        self.hang_up(EndReason::AgentHungUp);
    }

    /// The call is over: who was it, where nothing had told?
    pub(super) fn close_machine(&mut self) {
        if self.machine.answered_at.is_some() && self.machine.verdict.is_none() {
            let by = if self.machine.turns > 0 { AnsweredBy::Human } else { AnsweredBy::Unknown };
            self.is_answered_by(by);
        }
        self.machine.stage = Stage::Off;
    }
}
