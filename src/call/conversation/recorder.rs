//! Why each turn went as it did: the instants of its stages are collected here, and closed with the turn.
//!
//! Two things are sketched at a time. The *utterance* is what the caller is saying and no turn has used: its looks, its
//! transcriptions, what the model of turn ends made of it. A *turn* is the agent's side of an exchange: from the request to
//! the brain to the last sample. [`Recorder::end_of_turn`] hands the utterance to the turn that answers it, whenever that turn
//! was begun; [`Recorder::withdrawn`] hands a turn that never sounded back to the utterance that goes on.
//!
//! Nothing here decides anything. What is not known (a stage that was never begun, a turn that is gone) is ignored, as a stale
//! result is. Which stages were speculative nobody needs to say: those begun before the caller's turn was over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Conversation, Floor};
use crate::domain::{
    Dispute, DisputeReason, EndOfTurn, EndOfTurnReason, Explanation, StageKind, StageOutcome, StageSpan,
    Verdict, millis,
};

/// Turns that may be open at once: one that sounds, those whose cut is not known yet, a speculative one.
const MOST_TURNS: usize = 8;
/// Stages kept of a turn; beyond it the least telling are dropped.
const MOST_STAGES: usize = 32;
const MOST_DISPUTES: usize = 16;

/// What a stage belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// What the caller is saying.
    Utterance,
    Turn(u32),
}

#[derive(Debug, Default)]
struct Sketch {
    explanation: Explanation,
    /// Of the stages, one each: which job it is, where several of a kind run.
    keys: Vec<u64>,
    /// Stages before this one led to words that are kept, whatever the caller says now.
    sealed: usize,
}

impl Sketch {
    fn push(&mut self, key: u64, span: StageSpan) {
        if self.keys.len() >= MOST_STAGES {
            let stages = &self.explanation.stages;
            let thrown_away = stages.iter().position(|stage| stage.outcome == StageOutcome::ThrownAway);
            let partial = || stages.iter().position(|stage| stage.stage == StageKind::Partial);
            let least_telling = thrown_away.or_else(partial).unwrap_or(0);
            self.explanation.stages.remove(least_telling);
            self.keys.remove(least_telling);
            self.sealed -= usize::from(least_telling < self.sealed);
        }
        self.keys.push(key);
        self.explanation.stages.push(span);
    }

    /// The latest stage of this kind and job.
    fn stage(&mut self, kind: StageKind, key: u64) -> Option<&mut StageSpan> {
        let at = (0..self.keys.len())
            .rev()
            .find(|&n| self.keys[n] == key && self.explanation.stages[n].stage == kind)?;
        self.explanation.stages.get_mut(at)
    }

    /// Puts what came before in front of it.
    fn continues(&mut self, mut before: Sketch) {
        before.sealed += if before.sealed == before.keys.len() { self.sealed } else { 0 };
        for (key, span) in self.keys.drain(..).zip(self.explanation.stages.drain(..)) {
            before.push(key, span);
        }
        let explanation = &mut before.explanation;
        explanation.speech_began_ms = explanation.speech_began_ms.or(self.explanation.speech_began_ms);
        explanation.speech_ended_ms = self.explanation.speech_ended_ms.or(explanation.speech_ended_ms);
        *self = before;
    }
}

#[derive(Debug)]
struct OpenDispute {
    turn: u32,
    onset_ms: u64,
    paused_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    answered: Option<Instant>,
    now: Option<Instant>,
    utterance: Sketch,
    turns: VecDeque<(u32, Sketch)>,
    dispute: Option<OpenDispute>,
}

impl Recorder {
    /// Whatever is told from here on happens now.
    pub(super) fn at_time(&mut self, now: Instant) {
        self.now = Some(now);
    }

    pub(super) fn answered(&mut self) {
        self.answered = self.now;
    }

    fn now_ms(&self) -> u64 {
        self.now.map_or(0, |now| self.at(now))
    }

    /// In ms from the answer.
    fn at(&self, instant: Instant) -> u64 {
        self.answered.map_or(0, |answered| millis(instant.saturating_duration_since(answered)))
    }

    fn sketch(&mut self, scope: Scope) -> Option<&mut Sketch> {
        match scope {
            Scope::Utterance => Some(&mut self.utterance),
            Scope::Turn(wanted) => {
                self.turns.iter_mut().find(|(turn, _)| *turn == wanted).map(|(_, sketch)| sketch)
            }
        }
    }

    /// The caller speaks, or goes on. What was made of the sound before counts no longer, unless it was [sealed](Self::sealed).
    pub(super) fn voice_began(&mut self, onset: Instant) {
        let (onset, now) = (self.at(onset), self.now_ms());
        let utterance = &mut self.utterance;
        utterance.explanation.speech_began_ms.get_or_insert(onset);
        for stage in utterance.explanation.stages.iter_mut().skip(utterance.sealed) {
            if matches!(stage.stage, StageKind::Transcription | StageKind::TurnModel) {
                throw_away(stage, now);
            }
        }
    }

    pub(super) fn voice_ended(&mut self, since: Instant) {
        self.utterance.explanation.speech_ended_ms = Some(self.at(since));
    }

    /// The words so far stand, whatever follows.
    pub(super) fn sealed(&mut self) {
        self.utterance.sealed = self.utterance.keys.len();
    }

    /// The utterance was none, or is used up. `onset`: of the voice that lasts.
    pub(super) fn forget(&mut self, onset: Option<Instant>) {
        let speech_began_ms = onset.map(|onset| self.at(onset));
        self.utterance = Sketch {
            explanation: Explanation { speech_began_ms, ..Explanation::default() },
            ..Sketch::default()
        };
    }

    /// The agent will have something to say; nobody has heard of it yet.
    pub(super) fn turn_began(&mut self, turn: u32) {
        if self.turns.len() >= MOST_TURNS {
            self.turns.pop_front();
        }
        self.turns.push_back((turn, Sketch::default()));
    }

    /// The caller's turn is over, and `turn` answers it. `quiet_since`: their last voiced sample.
    pub(super) fn end_of_turn(
        &mut self,
        turn: u32,
        quiet_since: Option<Instant>,
        because: EndOfTurnReason,
        probability: Option<f32>,
    ) {
        let at_ms = self.now_ms();
        let waited_ms = quiet_since.map_or(0, |since| at_ms.saturating_sub(self.at(since)));
        let utterance = std::mem::take(&mut self.utterance);
        if let Some(sketch) = self.sketch(Scope::Turn(turn)) {
            sketch.continues(utterance);
            sketch.explanation.end_of_turn = Some(EndOfTurn { at_ms, because, waited_ms, probability });
        }
    }

    /// `key` tells stages of one kind apart; zero where there is only one.
    pub(super) fn stage_began(&mut self, scope: Scope, stage: StageKind, key: u64) {
        let began_ms = self.now_ms();
        if let Some(sketch) = self.sketch(scope) {
            sketch.push(key, span(stage, began_ms));
        }
    }

    /// Nothing where it has ended before.
    pub(super) fn stage_ended(&mut self, scope: Scope, kind: StageKind, key: u64, outcome: StageOutcome) {
        let now = self.now_ms();
        let open = self.sketch(scope).and_then(|sketch| sketch.stage(kind, key));
        if let Some(stage) = open.filter(|stage| stage.ended_ms.is_none()) {
            stage.ended_ms = Some(now);
            stage.outcome = outcome;
        }
    }

    /// A stage that is told of when it is over.
    pub(super) fn stage_took(&mut self, scope: Scope, kind: StageKind, after: Duration) {
        let ended_ms = self.now_ms();
        let began_ms = ended_ms.saturating_sub(millis(after));
        if let Some(sketch) = self.sketch(scope) {
            sketch.push(0, StageSpan { ended_ms: Some(ended_ms), ..span(kind, began_ms) });
        }
    }

    /// The name of a tool; what went wrong. Never what was said.
    pub(super) fn stage_detail(&mut self, scope: Scope, kind: StageKind, key: u64, detail: &str) {
        if let Some(stage) = self.sketch(scope).and_then(|sketch| sketch.stage(kind, key)) {
            stage.detail = Some(detail.to_owned());
        }
    }

    /// Whatever of the turn is still under way has come to nothing.
    pub(super) fn failed(&mut self, turn: u32) {
        let now = self.now_ms();
        let Some(sketch) = self.sketch(Scope::Turn(turn)) else { return };
        for stage in sketch.explanation.stages.iter_mut().filter(|stage| stage.ended_ms.is_none()) {
            stage.ended_ms = Some(now);
            stage.outcome = StageOutcome::Failed;
        }
    }

    /// The caller went on before it sounded: the turn was none, and what was heard belongs to what comes now.
    pub(super) fn withdrawn(&mut self, turn: u32) {
        let now = self.now_ms();
        let Some(at) = self.turns.iter().position(|(open, _)| *open == turn) else { return };
        let Some((_, mut sketch)) = self.turns.remove(at) else { return };
        for stage in &mut sketch.explanation.stages {
            let of_the_turn =
                !matches!(stage.stage, StageKind::Partial | StageKind::Transcription | StageKind::TurnModel);
            if of_the_turn {
                throw_away(stage, now);
            }
        }
        sketch.explanation.end_of_turn = None;
        sketch.sealed = sketch.keys.len();
        self.utterance.continues(sketch);
    }

    pub(super) fn sound_began(&mut self, turn: u32) {
        let at = self.now_ms();
        if let Some(sketch) = self.sketch(Scope::Turn(turn)) {
            sketch.explanation.sound_began_ms.get_or_insert(at);
        }
    }

    /// So far: the last one counts.
    pub(super) fn sound_ended(&mut self, turn: u32) {
        let now = self.now_ms();
        if let Some(sketch) = self.sketch(Scope::Turn(turn)) {
            let explanation = &mut sketch.explanation;
            explanation.sound_ended_ms = explanation.sound_began_ms.and(Some(now));
        }
    }

    /// What still sounded of it was cut: now, or when it was paused for good.
    pub(super) fn sound_cut(&mut self, turn: u32) {
        let now = self.now_ms();
        let paused = self.dispute.as_ref().filter(|open| open.turn == turn).map(|open| open.paused_ms);
        let Some(Sketch { explanation, .. }) = self.sketch(Scope::Turn(turn)) else { return };
        let lost = explanation.disputes.last().filter(|dispute| dispute.verdict == Verdict::Interrupted);
        let silent = paused.or(lost.map(|dispute| dispute.paused_ms)).unwrap_or(now);
        explanation.sound_ended_ms = explanation.sound_began_ms.and(Some(silent));
    }

    /// The agent fell silent because of a voice.
    pub(super) fn disputed(&mut self, turn: u32, onset: Option<Instant>) {
        let paused_ms = self.now_ms();
        let onset_ms = onset.map_or(paused_ms, |onset| self.at(onset));
        self.dispute = Some(OpenDispute { turn, onset_ms, paused_ms });
    }

    /// … and this came of it. Also where it came to nothing before: then the agent fell silent, if at all, just now.
    pub(super) fn decided(
        &mut self,
        turn: u32,
        onset: Option<Instant>,
        verdict: Verdict,
        because: DisputeReason,
    ) {
        let decided_ms = self.now_ms();
        let open = self.dispute.take().filter(|open| open.turn == turn);
        let (onset_ms, paused_ms) = open
            .map_or((onset.map_or(decided_ms, |at| self.at(at)), decided_ms), |open| {
                (open.onset_ms, open.paused_ms)
            });
        let Some(sketch) = self.sketch(Scope::Turn(turn)) else { return };
        let disputes = &mut sketch.explanation.disputes;
        if disputes.len() >= MOST_DISPUTES {
            disputes.remove(0);
        }
        disputes.push(Dispute { onset_ms, paused_ms, decided_ms, verdict, because });
    }

    /// What is known of a turn that is over.
    pub(super) fn close(&mut self, turn: u32) -> Explanation {
        let Some(at) = self.turns.iter().position(|(open, _)| *open == turn) else {
            return Explanation::default();
        };
        let Some((_, mut sketch)) = self.turns.remove(at) else { return Explanation::default() };
        self.dispute.take_if(|open| open.turn == turn);
        let explanation = &mut sketch.explanation;
        let over = explanation.end_of_turn.as_ref().map_or(0, |end| end.at_ms);
        for stage in &mut explanation.stages {
            stage.speculative = stage.began_ms < over;
            // It was still under way when the turn was cut.
            if stage.ended_ms.is_none() {
                stage.outcome = StageOutcome::ThrownAway;
            }
        }
        explanation.stages.sort_by_key(|stage| stage.began_ms);
        sketch.explanation
    }
}

fn span(stage: StageKind, began_ms: u64) -> StageSpan {
    StageSpan {
        stage,
        began_ms,
        ended_ms: None,
        speculative: false,
        outcome: StageOutcome::Used,
        detail: None,
    }
}

fn throw_away(stage: &mut StageSpan, now: u64) {
    // What a tool did cannot be undone, and what failed has failed.
    let stands = stage.stage == StageKind::Tool && stage.ended_ms.is_some();
    if !stands && stage.outcome != StageOutcome::Failed {
        stage.outcome = StageOutcome::ThrownAway;
    }
    stage.ended_ms.get_or_insert(now);
}

impl Conversation {
    /// Writes down how the quarrel over what the agent says came out.
    pub(super) fn decided(&mut self, verdict: Verdict, because: DisputeReason) {
        let Some(speech) = self.speech.as_ref().filter(|speech| speech.started_at.is_some()) else { return };
        let onset = match (because, self.floor) {
            (DisputeReason::Digit, Floor::Speaking) => None,
            _ => self.hearing.onset(),
        };
        self.recorder.decided(speech.turn, onset, verdict, because);
    }
}
