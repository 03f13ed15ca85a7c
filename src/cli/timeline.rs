//! A call, drawn in the terminal: who sounded when, and under each turn what led to it.
//!
//! Two lanes over the whole call; then for each turn a chart of its own: the caller, the agent, and a line for each stage. A stage that
//! was begun before the caller's turn was over is drawn lighter, one that was thrown away lighter still. Without a terminal there are no
//! colours, and nothing but ASCII in the bars.

use std::io::IsTerminal;

use crate::domain::{
    Call, Dispute, DisputeReason, EndOfTurnReason, Explanation, StageKind, StageOutcome, StageSpan, Turn,
    Verdict,
};

/// Columns of the names at the left …
const NAMES: usize = 15;
/// … and of the words at the right.
const WORDS: usize = 27;
/// The narrowest chart.
const NARROWEST: usize = 16;
/// Where it cannot be asked how wide the terminal is.
const USUAL_WIDTH: usize = 100;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const AGENT: &str = "32";
const CALLER: &str = "36";

/// What is drawn on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    width: usize,
    is_terminal: bool,
}

impl Look {
    /// That of standard output.
    pub(super) fn of_stdout() -> Self {
        let out = std::io::stdout();
        let is_terminal = out.is_terminal();
        let asked = || rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        let width = is_terminal.then(asked).flatten().filter(|width| *width > 0).unwrap_or(USUAL_WIDTH);
        Self { width, is_terminal }
    }

    fn chart(self) -> usize {
        self.width.saturating_sub(NAMES + WORDS).max(NARROWEST)
    }

    fn paint(self, colour: &str, text: &str) -> String {
        match self.is_terminal && !text.trim().is_empty() {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn bar(self, bar: Bar) -> char {
        match (bar, self.is_terminal) {
            (Bar::Sound, true) => '█',
            (Bar::Work, true) => '▒',
            (Bar::Ahead, true) => '░',
            (Bar::Lost, true) => '·',
            (Bar::Sound, false) => '#',
            (Bar::Work, false) => '=',
            (Bar::Ahead, false) => '-',
            (Bar::Lost, false) => '.',
        }
    }
}

#[derive(Clone, Copy)]
enum Bar {
    Sound,
    Work,
    /// Before the caller's turn was over.
    Ahead,
    /// Thrown away.
    Lost,
}

/// A stretch of time, in columns.
#[derive(Clone, Copy)]
struct Chart {
    from: u64,
    to: u64,
    columns: usize,
}

impl Chart {
    /// Of all these instants; `None` where there are none.
    fn over(instants: impl IntoIterator<Item = u64>, columns: usize) -> Option<Self> {
        let (from, to) = instants.into_iter().fold(None, |span: Option<(u64, u64)>, at| {
            Some(span.map_or((at, at), |(from, to)| (from.min(at), to.max(at))))
        })?;
        Some(Self { from, to: to.max(from.saturating_add(1)), columns })
    }

    /// With a margin on both sides, in which is seen what was before and what came after.
    fn with_margin(self) -> Self {
        let margin = ((self.to - self.from) / 8).max(20);
        Self { from: self.from.saturating_sub(margin), to: self.to.saturating_add(margin), ..self }
    }

    fn column(self, at: u64) -> usize {
        let (into, whole) =
            (u128::from(at.saturating_sub(self.from)), u128::from((self.to - self.from).max(1)));
        let column = into * self.columns as u128 / whole;
        usize::try_from(column).unwrap_or(self.columns).min(self.columns - 1)
    }

    fn draw(self, lane: &mut [char], began: u64, ended: u64, with: char) {
        let (first, last) = (self.column(began), self.column(ended.max(began)));
        // An end is where the next thing begins.
        let last = if last > first && last + 1 < self.columns { last - 1 } else { last };
        lane[first..=last].fill(with);
        if began < self.from {
            lane[0] = '<';
        }
        if ended > self.to {
            lane[self.columns - 1] = '>';
        }
    }
}

/// The whole picture, with a line feed at its end.
pub(super) fn draw(call: &Call, look: Look) -> String {
    let mut lines = vec![look.paint(BOLD, &cut(&head(call), look.width))];
    lines.extend(of_line(call).map(|line| cut(&line, look.width)));
    let unrecorded = call.recording_error.as_ref().map(|reason| format!("not all is recorded: {reason}"));
    lines.extend(unrecorded.map(|line| look.paint(RED, &cut(&line, look.width))));
    if call.turns.is_empty() {
        lines.push("No turns were kept of it.".into());
        return lines.join("\n") + "\n";
    }
    lines.extend(overview(call, look));
    for turn in &call.turns {
        lines.push(String::new());
        lines.extend(of_turn(turn, look));
    }
    lines.join("\n") + "\n"
}

fn head(call: &Call) -> String {
    let word = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => "not over".into(),
    };
    format!(
        "{}  {} > {}  {}, {}",
        call.id,
        call.from.reveal(),
        call.to.reveal(),
        clock(call.duration_ms),
        word(call.end_reason.and_then(|reason| serde_json::to_value(reason).ok())),
    )
}

/// How the line sounded, where that is known.
fn of_line(call: &Call) -> Option<String> {
    let line = call.line.as_ref()?;
    let quality = line.quality.as_ref()?;
    let mut words = vec![line.codec.clone()];
    for (place, sound) in [("here", &quality.here), ("there", &quality.there)] {
        let Some(sound) = sound else { continue };
        let mut word = format!("{place} MOS {:.1}", sound.mos);
        if let Some(worst) = sound.mos_worst.filter(|worst| sound.mos - worst >= 0.1) {
            word += &format!(" (worst {worst:.1})");
        }
        let missing = 100.0 * (sound.loss + sound.discard);
        if missing >= 0.05 {
            word += &format!(", {missing:.1} % missing");
        }
        words.push(word);
    }
    words.extend(quality.round_trip_ms.map(|ms| format!("round trip {ms:.0} ms")));
    Some(words.join("; "))
}

fn instants(explanation: &Explanation) -> impl Iterator<Item = u64> {
    let ends = [
        explanation.speech_began_ms,
        explanation.speech_ended_ms,
        explanation.sound_began_ms,
        explanation.sound_ended_ms,
        explanation.end_of_turn.as_ref().map(|end| end.at_ms),
    ];
    let stages = explanation.stages.iter().flat_map(|stage| [Some(stage.began_ms), stage.ended_ms]);
    ends.into_iter().chain(stages).flatten()
}

/// The instants between the caller's last sound and the agent's first, and of everything that was done for the turn. None where nothing was.
fn work(explanation: &Explanation) -> impl Iterator<Item = u64> {
    let Explanation { stages, speech_ended_ms, sound_began_ms, .. } = explanation;
    let sides = [*speech_ended_ms, *sound_began_ms].into_iter().filter(|_| !stages.is_empty());
    let stages = stages.iter().flat_map(|stage| [Some(stage.began_ms), stage.ended_ms]);
    stages.chain(sides).flatten()
}

/// Both lanes over the whole call, and the numbers of the turns where the agent begins to sound.
fn overview(call: &Call, look: Look) -> Vec<String> {
    let columns = look.width.saturating_sub(NAMES).max(NARROWEST);
    let all = call.turns.iter().flat_map(|turn| instants(&turn.explanation));
    let Some(chart) = Chart::over(all.chain([0, call.duration_ms]), columns) else { return Vec::new() };
    let blank = || vec![' '; columns];
    let (mut caller, mut agent, mut numbers) = (blank(), blank(), blank());
    for turn in &call.turns {
        let Explanation { speech_began_ms, speech_ended_ms, sound_began_ms, sound_ended_ms, .. } =
            &turn.explanation;
        if let Some((began, ended)) = speech_began_ms.zip(*speech_ended_ms) {
            chart.draw(&mut caller, began, ended, look.bar(Bar::Sound));
        }
        if let Some((began, ended)) = sound_began_ms.zip(sound_ended_ms.or(*sound_began_ms)) {
            chart.draw(&mut agent, began, ended, look.bar(Bar::Sound));
            write_at(&mut numbers, chart.column(began), &turn.turn.to_string());
        }
        marks(&turn.explanation.disputes, chart, &mut agent);
    }
    vec![
        row("", &scale(chart), ""),
        row("caller", &look.paint(CALLER, &text(&caller)), ""),
        row("agent", &look.paint(AGENT, &text(&agent)), ""),
        row("turn", &text(&numbers), ""),
    ]
}

/// Where the agent fell silent: `!` for good, `?` for a moment.
fn marks(disputes: &[Dispute], chart: Chart, lane: &mut [char]) {
    for dispute in disputes {
        lane[chart.column(dispute.paused_ms)] =
            if dispute.verdict == Verdict::Interrupted { '!' } else { '?' };
    }
}

fn of_turn(turn: &Turn, look: Look) -> Vec<String> {
    let told = &turn.explanation;
    let voice_to_voice = turn.voice_to_voice_ms.map(|ms| format!("  {ms} ms from voice to voice"));
    let title = format!(
        "Turn {}{}{}",
        turn.turn,
        voice_to_voice.unwrap_or_default(),
        if turn.interrupted { "  interrupted" } else { "" }
    );
    let mut lines = vec![look.paint(BOLD, &cut(&title, look.width))];
    for (who, words) in [("heard", turn.heard.reveal()), ("said", turn.said.reveal())] {
        if !words.is_empty() {
            let room = look.width.saturating_sub(NAMES).max(NARROWEST);
            lines.push(row(who, &cut(&plain(words), room), ""));
        }
    }
    // What led to the turn is a matter of milliseconds; what was heard and said goes beyond both ends of the chart.
    let closely = Chart::over(work(told), look.chart()).map(Chart::with_margin);
    let Some(chart) = closely.or_else(|| Chart::over(instants(told), look.chart())) else {
        lines.push(row("", "its times were not kept", ""));
        return lines;
    };
    lines.push(row("", &scale(chart), ""));
    if let Some(began) = told.speech_began_ms {
        let ended = told.speech_ended_ms.unwrap_or(began);
        lines.push(lane("caller", CALLER, Bar::Sound, (began, Some(ended)), chart, look, ""));
    }
    for stage in &told.stages {
        lines.push(of_stage(stage, chart, look));
    }
    if let Some(began) = told.sound_began_ms {
        let span = (began, told.sound_ended_ms);
        lines.push(lane("agent", AGENT, Bar::Sound, span, chart, look, ""));
    }
    if let Some(end) = &told.end_of_turn {
        let judged = end.probability.map(|p| format!(" ({p:.2} by its sound)")).unwrap_or_default();
        let why = format!("{} after {} ms of silence{judged}", reason(end.because), end.waited_ms);
        lines.push(row("turn over", &cut(&why, look.width.saturating_sub(NAMES)), ""));
    }
    lines.extend(told.disputes.iter().map(|dispute| {
        let line = row("quarrel", &cut(&quarrel(dispute), look.width.saturating_sub(NAMES)), "");
        if dispute.verdict == Verdict::Interrupted { look.paint(RED, &line) } else { line }
    }));
    lines
}

fn of_stage(stage: &StageSpan, chart: Chart, look: Look) -> String {
    let (bar, colour, came_to) = match stage.outcome {
        StageOutcome::ThrownAway => (Bar::Lost, DIM, " thrown away"),
        StageOutcome::Failed => (Bar::Work, RED, " failed"),
        StageOutcome::Used if stage.speculative => (Bar::Ahead, "", ""),
        StageOutcome::Used => (Bar::Work, "", ""),
    };
    let detail = stage.detail.as_ref().map(|detail| format!(" {}", plain(detail))).unwrap_or_default();
    let note = format!("{came_to}{detail}");
    lane(name(stage.stage), colour, bar, (stage.began_ms, stage.ended_ms), chart, look, &note)
}

fn lane(
    name: &str,
    colour: &str,
    bar: Bar,
    (began, ended): (u64, Option<u64>),
    chart: Chart,
    look: Look,
    note: &str,
) -> String {
    let mut lane = vec![' '; chart.columns];
    chart.draw(&mut lane, began, ended.unwrap_or(chart.to), look.bar(bar));
    let took = ended.map_or("no end".into(), |ended| format!("{} ms", ended.saturating_sub(began)));
    let words = cut(&format!("{took:>9}{note}"), WORDS - 1);
    let drawn = text(&lane);
    row(name, &if colour.is_empty() { drawn } else { look.paint(colour, &drawn) }, &words)
}

fn row(name: &str, middle: &str, end: &str) -> String {
    let end = if end.is_empty() { String::new() } else { format!(" {end}") };
    format!("{name:<NAMES$}{middle}{end}").trim_end().to_owned()
}

/// The first and the last instant, at the two ends.
fn scale(chart: Chart) -> String {
    let (from, to) = (clock(chart.from), clock(chart.to));
    let between = chart.columns.saturating_sub(from.len() + to.len());
    format!("{from}{}{to}", " ".repeat(between))
}

fn name(stage: StageKind) -> &'static str {
    match stage {
        StageKind::Partial => "partial",
        StageKind::Transcription => "transcription",
        StageKind::TurnModel => "turn model",
        StageKind::FirstToken => "first token",
        StageKind::FirstSound => "first sound",
        StageKind::Tool => "tool",
        StageKind::Filler => "filler",
        StageKind::Fallback => "fallback",
    }
}

fn reason(because: EndOfTurnReason) -> &'static str {
    match because {
        EndOfTurnReason::Complete => "complete",
        EndOfTurnReason::Unsure => "perhaps complete",
        EndOfTurnReason::Trailing => "ended in mid-sentence",
        EndOfTurnReason::Dictation => "dictated something",
        EndOfTurnReason::HoldOn => "asked for a moment",
        EndOfTurnReason::LongestPause => "the longest pause of all",
        EndOfTurnReason::Digits => "keys were pressed",
    }
}

fn quarrel(dispute: &Dispute) -> String {
    let because = match dispute.because {
        DisputeReason::Words => "words",
        DisputeReason::Duration => "a voice that lasted",
        DisputeReason::Digit => "a key",
        DisputeReason::BackChannel => "no more than a nod",
        DisputeReason::NoWords => "no words came",
        DisputeReason::Echo => "the agent's own echo",
        DisputeReason::Deaf => "the ear was not there",
    };
    let verdict = match dispute.verdict {
        Verdict::Interrupted => "the caller has the floor",
        Verdict::Resumed => "the agent goes on",
    };
    format!(
        "{verdict}: {because} (at {}, silent after {} ms, {} ms more)",
        clock(dispute.onset_ms),
        dispute.paused_ms.saturating_sub(dispute.onset_ms),
        dispute.decided_ms.saturating_sub(dispute.paused_ms),
    )
}

/// Minutes, seconds, tenths.
fn clock(ms: u64) -> String {
    format!("{}:{:02}.{}", ms / 60_000, ms / 1000 % 60, ms / 100 % 10)
}

/// What came over a telephone may hold anything; a terminal obeys some of it.
fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut(words: &str, most: usize) -> String {
    if words.chars().count() <= most {
        return words.to_owned();
    }
    words.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn text(lane: &[char]) -> String {
    lane.iter().collect()
}

fn write_at(lane: &mut [char], at: usize, word: &str) {
    for (place, c) in lane[at..].iter_mut().zip(word.chars()) {
        *place = c;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{CallId, Direction, EndOfTurn, EndReason, Private, Status};

    const ON_PAPER: Look = Look { width: 80, is_terminal: false };

    fn stage(stage: StageKind, began_ms: u64, ended_ms: u64) -> StageSpan {
        let (speculative, outcome) = (false, StageOutcome::Used);
        StageSpan { stage, began_ms, ended_ms: Some(ended_ms), speculative, outcome, detail: None }
    }

    fn turn(turn: u32, heard: &str, said: &str, explanation: Explanation) -> Turn {
        let (heard, said) = (Private::new(heard.to_owned()), Private::new(said.to_owned()));
        Turn { turn, heard, said, explanation, ..Turn::default() }
    }

    fn call(turns: Vec<Turn>) -> Call {
        let (from, to) = ("+14155550123".into(), "+15550100001".into());
        let begun = Call::new(
            CallId::from_random([7; 10]),
            Direction::Inbound,
            from,
            to,
            chrono::DateTime::UNIX_EPOCH,
        );
        Call {
            turns,
            status: Status::Completed,
            duration_ms: 12_400,
            end_reason: Some(EndReason::CallerHungUp),
            ..begun
        }
    }

    fn of_everything() -> Call {
        let greeting = Explanation {
            stages: vec![stage(StageKind::FirstSound, 4, 25)],
            sound_began_ms: Some(30),
            sound_ended_ms: Some(1600),
            ..Explanation::default()
        };
        let question = Explanation {
            speech_began_ms: Some(2000),
            speech_ended_ms: Some(4100),
            end_of_turn: Some(EndOfTurn {
                at_ms: 4320,
                because: EndOfTurnReason::Complete,
                waited_ms: 260,
                probability: Some(0.97),
            }),
            stages: vec![
                StageSpan { speculative: true, ..stage(StageKind::Partial, 3000, 3240) },
                StageSpan {
                    speculative: true,
                    outcome: StageOutcome::ThrownAway,
                    ..stage(StageKind::FirstToken, 3300, 3480)
                },
                StageSpan { speculative: true, ..stage(StageKind::Transcription, 4190, 4260) },
                StageSpan { speculative: true, ..stage(StageKind::TurnModel, 4190, 4220) },
                stage(StageKind::FirstToken, 4330, 4450),
                StageSpan { detail: Some("book_table".into()), ..stage(StageKind::Tool, 4450, 4600) },
                stage(StageKind::FirstSound, 4610, 4690),
            ],
            sound_began_ms: Some(4700),
            sound_ended_ms: Some(8060),
            disputes: vec![
                Dispute {
                    onset_ms: 5600,
                    paused_ms: 5680,
                    decided_ms: 6300,
                    verdict: Verdict::Resumed,
                    because: DisputeReason::BackChannel,
                },
                Dispute {
                    onset_ms: 8000,
                    paused_ms: 8060,
                    decided_ms: 8310,
                    verdict: Verdict::Interrupted,
                    because: DisputeReason::Words,
                },
            ],
        };
        let asked = Turn {
            interrupted: true,
            voice_to_voice_ms: Some(600),
            ..turn(2, "Do you have a table for four tonight?", "We have one at eight, and", question)
        };
        let old = turn(
            3,
            "Eight is fine, and could we have it by the window, away from the door, please?",
            "Yes.",
            Explanation::default(),
        );
        call(vec![turn(1, "", "Good evening, this is the inn.", greeting), asked, old])
    }

    #[test]
    fn a_call_looks_like_this_on_paper() {
        let drawn = draw(&of_everything(), ON_PAPER);
        let golden = include_str!("../../tests/golden/timeline.txt");
        assert_eq!(drawn, golden, "\n{drawn}");
    }

    #[test]
    fn a_terminal_gets_colours_and_the_same_picture() {
        let drawn = draw(&of_everything(), Look { is_terminal: true, ..ON_PAPER });
        assert!(drawn.contains("\x1b[36m") && drawn.contains('█'));
        let mut bare = String::new();
        let mut rest = drawn.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            bare += before;
            rest = after.split_once('m').unwrap().1;
        }
        bare += rest;
        let as_paper: String = bare
            .chars()
            .map(|c| match c {
                '█' => '#',
                '▒' => '=',
                '░' => '-',
                '·' => '.',
                other => other,
            })
            .collect();
        let trimmed: Vec<_> = as_paper.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, draw(&of_everything(), ON_PAPER).lines().collect::<Vec<_>>());
    }

    #[test]
    fn what_a_caller_says_gives_a_terminal_no_orders() {
        let hostile = turn(1, "\x1b[2Jgone\nfor good", "", Explanation::default());
        let drawn = draw(&call(vec![hostile]), ON_PAPER);
        assert!(!drawn.contains('\x1b') && drawn.contains("gone for good"));
    }

    #[test]
    fn a_call_without_turns_is_said_to_be_one() {
        assert!(draw(&call(Vec::new()), ON_PAPER).contains("No turns"));
    }

    proptest! {
        /// Whatever times a record holds, the picture is as wide as it may be and no wider.
        #[test]
        fn it_fits(times in prop::collection::vec(0u64..u64::MAX, 9), width in 60usize..200, nth in 0usize..3) {
            let explanation = Explanation {
                speech_began_ms: Some(times[0]),
                speech_ended_ms: (nth > 0).then_some(times[1]),
                stages: vec![stage(StageKind::Tool, times[2], times[3])],
                sound_began_ms: Some(times[4]),
                sound_ended_ms: (nth > 1).then_some(times[5]),
                disputes: vec![Dispute {
                    onset_ms: times[6],
                    paused_ms: times[7],
                    decided_ms: times[8],
                    verdict: Verdict::Interrupted,
                    because: DisputeReason::Digit,
                }],
                ..Explanation::default()
            };
            let long = "word ".repeat(60);
            let drawn = draw(&call(vec![turn(1, &long, &long, explanation)]), Look { width, is_terminal: false });
            for line in drawn.lines() {
                prop_assert!(line.chars().count() <= width, "{} > {width}: {line:?}", line.chars().count());
            }
        }
    }
}
