//! The tables of `states.md`, cell by cell: what each input does in each situation.

use super::*;

/// The tables that the documentation of the module holds: they are the expectation.
const TABLES: &str = include_str!("../states.md");

const ROWS: &[&str] = &[
    "Waiting",
    "Held",
    "Listening",
    "Guessing",
    "Thinking",
    "Asked",
    "Speaking",
    "Protected",
    "Paused",
    "Leaving",
    "Machine",
    "Away",
    "Over",
];

macro_rules! named {
    ($all:ident, $name:ident, $of:ident: $($variant:ident),+ $(,)?) => {
        const $all: &[&str] = &[$(stringify!($variant)),+];

        /// One that is new does not compile until it stands in the list, and then its cells are asked for.
        fn $name(of: &$of) -> &'static str {
            match of {
                $($of::$variant { .. } => stringify!($variant),)+
            }
        }
    };
}

named!(FLOORS, floor_name, Floor: Waiting, Listening, Thinking, Speaking, Paused, Away, Over);
named!(INPUTS, input_name, Input:
    Answered, VoiceStart, VoiceDip, VoiceBack, VoiceEnd, Heard, Partial, TurnJudged, Deaf, Phrase, Filler, Measured,
    Fallback, FirstToken, FirstAudio, WantsHangUp, WantsTransfer, WantsQuiet, ToolBegan, ToolOver, NotTransferred,
    ReplyOver, Started, Played, Hushed, Digit, Beep, Say, Away, Back, Leave, Gone,
);

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Transcribe { .. } => "transcribe",
        Action::Forget => "forget",
        Action::Reply { .. } => "reply",
        Action::ReadAhead { .. } => "read ahead",
        Action::Release { .. } => "release",
        Action::Say { .. } => "say",
        Action::Fill { .. } => "fill",
        Action::Cancel { .. } => "cancel",
        Action::Transfer { .. } => "transfer",
        Action::Pause => "pause",
        Action::Resume => "resume",
        Action::Hush => "hush",
        Action::HangUp(_) => "hang up",
        Action::Note(Note::Heard { is_final: false, .. }) => "*partial*",
        Action::Note(Note::Heard { is_final: true, .. }) => "*words*",
        Action::Note(Note::Said { .. }) => "*said*",
        Action::Note(Note::Turn(_)) => "*turn*",
        Action::Note(Note::BargeIn { .. }) => "*barge-in*",
        Action::Note(Note::AnsweredBy(_)) => "*who*",
        Action::Note(Note::Voicemail { .. }) => "*machine*",
        Action::Note(Note::Tool(_)) => "*tool*",
    }
}

/// What the ear has of the caller.
#[derive(Clone, Copy, PartialEq)]
enum Ear {
    Quiet,
    Voice,
    Dip,
    /// A transcription is under way.
    Asked,
}

/// The ear that an input needs to be news.
fn ear_for(column: &str, row: &str) -> Ear {
    match column.split_whitespace().collect::<Vec<_>>()[..] {
        ["VoiceDip" | "VoiceEnd" | "Partial", ..] | ["timeout", "voice"] => Ear::Voice,
        ["VoiceBack", ..] => Ear::Dip,
        // The words of the guess are known; what is judged is their sound.
        ["TurnJudged", ..] if row == "Guessing" => Ear::Quiet,
        ["Heard" | "TurnJudged" | "Deaf", ..] | ["timeout", "asked"] => Ear::Asked,
        _ => Ear::Quiet,
    }
}

/// Everything that an input may change, but the explanation of a turn.
pub(super) fn inside(conversation: &Conversation) -> String {
    let c = conversation;
    let talk =
        (&c.floor, &c.hearing, &c.habit, &c.speech, &c.guess, &c.cut_off, &c.unsaid, c.turn, &c.history);
    let rest = (
        &c.digits,
        c.digits_until,
        &c.prompted,
        c.failures,
        c.deafness,
        c.fillers,
        c.idle_prompts,
        c.quiet_until,
    );
    let ends = (&c.opening, &c.machine, c.ends_at, c.leave_by);
    format!("{talk:?} {rest:?} {ends:?}")
}

/// The conversation, and the job, turn and mark that are news to it.
struct Situation {
    stage: Stage,
    job: u64,
    turn: u32,
}

impl Stage {
    fn ear(&mut self, ear: Ear) {
        if ear == Ear::Quiet {
            return;
        }
        if !self.conversation.hearing.voicing() {
            self.voice_start();
        }
        if ear == Ear::Voice {
            return;
        }
        self.wait(ms(40));
        let since = self.now;
        match ear {
            Ear::Dip => {
                self.wait(ms(100));
                self.tell(Input::VoiceDip { since });
            }
            _ => {
                self.wait(ms(200));
                self.tell(Input::VoiceEnd { since });
                // What is said over the agent counts for nothing after a little more silence only.
                if matches!(self.conversation.floor, Floor::Paused { .. }) {
                    self.wait(ms(120));
                }
            }
        }
    }

    /// One phrase of the turn begins to sound, and more may follow.
    fn begins_to_speak(&mut self, text: &str) {
        let turn = self.conversation.turn;
        let mark = u64::from(turn) * 100;
        self.tell(Input::Phrase { turn, mark, text: text.into() });
        self.tell(Input::Measured { turn, mark, duration: ms(1000) });
        self.tell(Input::Started { mark });
    }

    /// The agent answers.
    fn answering(ear: Ear) -> Self {
        let mut stage = Self::greeted();
        stage.voice(ms(800));
        stage.hears("What time do you open?");
        stage.wait(ms(300));
        if ear != Ear::Quiet {
            stage.begins_to_speak("We open at nine in the morning.");
            stage.wait(ms(100));
        }
        stage
    }

    /// Takes what was decided, and answers nothing of it.
    fn decided(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.conversation.poll_action()).collect()
    }
}

fn situation(row: &str, ear: Ear) -> Situation {
    let mut stage = match row {
        "Waiting" => Stage::new(),
        "Held" => Stage::with(Manners { is_outbound: true, ..manners() }),
        "Asked" | "Protected" => Stage::new(),
        "Thinking" => Stage::answering(Ear::Quiet),
        "Speaking" | "Paused" => Stage::answering(Ear::Voice),
        "Machine" => {
            let voicemail =
                Voicemail { then: AtVoicemail::LeaveMessage, message: "Please call back.".into() };
            Stage::with(Manners { is_outbound: true, voicemail, ..manners() })
        }
        _ => Stage::greeted(),
    };
    match row {
        "Held" | "Asked" => stage.tell(Input::Answered),
        "Guessing" => {
            stage.voice(ms(800));
            stage.hears("What time do you open?");
        }
        "Protected" => {
            stage.tell(Input::Answered);
            stage.begins_to_speak("Hello, how can I help you?");
        }
        "Paused" => stage.voice_start(),
        "Leaving" => {
            stage.tell(Input::Leave(EndReason::ApiHungUp));
            stage.begins_to_speak("Goodbye.");
        }
        "Machine" => {
            stage.tell(Input::Answered);
            stage.wait(ms(400));
            stage.voice(ms(3000));
            stage.hears("Please leave a message after the tone.");
        }
        "Away" => stage.tell(Input::Away),
        _ => {}
    }
    match (row, ear) {
        // No voice can last beside these: it makes another situation of them.
        ("Thinking", _) | ("Speaking", Ear::Voice | Ear::Dip) => {}
        // Its end would end the situation.
        ("Held", Ear::Asked) => stage.ear(Ear::Dip),
        // The words are late, and the agent has gone on.
        ("Speaking", Ear::Asked) => {
            stage.ear(ear);
            stage.wait(ms(650));
        }
        _ => stage.ear(ear),
    }
    let mut job = stage.conversation.hearing.pending();
    if row == "Over" {
        stage.tell(Input::Gone);
        job = (ear == Ear::Asked).then(|| stage.conversation.last_words(stage.now)).flatten();
    }
    let last = stage.log.iter().rev().find_map(|action| match action {
        Action::Transcribe { job } => Some(*job),
        _ => None,
    });
    let job = job.or(last).unwrap_or(1);
    let turn = stage.conversation.turn;
    Situation { stage, job, turn }
}

/// Something has been hushed, and how much of it was heard is about to be told.
fn cut(row: &str) -> Situation {
    let mut stage = Stage::answering(Ear::Voice);
    let input = match row {
        "Listening" => Input::Digit('5'),
        "Leaving" => Input::Leave(EndReason::ApiHungUp),
        "Away" => Input::Away,
        "Over" => Input::Gone,
        _ => return situation(row, Ear::Quiet),
    };
    let turn = stage.conversation.turn;
    stage.conversation.handle(stage.now, input);
    stage.decided();
    Situation { stage, job: 1, turn }
}

fn input(column: &str, at: &Situation) -> Input {
    let Situation { stage, job, turn } = at;
    let (job, now, turn) = (*job, stage.now, *turn);
    let mark = u64::from(turn) * 100;
    let deed = Deed { id: "1".into(), name: "book".into(), arguments: "{}".into(), result: "Done.".into() };
    match column {
        "Answered" => Input::Answered,
        "VoiceStart" => Input::VoiceStart { onset: now - ms(60) },
        "VoiceDip" => Input::VoiceDip { since: now - ms(80) },
        "VoiceBack" => Input::VoiceBack { onset: now - ms(20) },
        "VoiceEnd" => Input::VoiceEnd { since: now - ms(200) },
        "Heard" => Input::Heard { job, text: "And what about Saturday?".into(), stt: ms(150) },
        "Heard nothing" => Input::Heard { job, text: "[noise]".into(), stt: ms(150) },
        "Partial" => {
            let utterance = stage.conversation.hearing.utterance();
            Input::Partial { utterance, text: "And what about the".into(), stt: Duration::ZERO }
        }
        "TurnJudged" => Input::TurnJudged { job, probability: 0.9 },
        "Deaf" => Input::Deaf { job },
        "Phrase" => Input::Phrase { turn, mark: mark + 1, text: "And there is parking.".into() },
        "Filler" => Input::Filler { turn, mark: mark + 2, text: "One moment.".into() },
        "Measured" => Input::Measured { turn, mark, duration: ms(900) },
        "Fallback" => Input::Fallback { turn, because: "late".into() },
        "FirstToken" => Input::FirstToken { turn, after: ms(100) },
        "FirstAudio" => Input::FirstAudio { turn, after: ms(100) },
        "WantsHangUp" => Input::WantsHangUp { turn },
        "WantsTransfer" => Input::WantsTransfer { turn },
        "WantsQuiet" => Input::WantsQuiet { turn, quiet: ms(20_000) },
        "ToolBegan" => Input::ToolBegan { turn, name: "book".into(), within: ms(5000) },
        "ToolOver" => Input::ToolOver { turn, deed, ok: true, took: ms(70) },
        "NotTransferred" => Input::NotTransferred,
        "ReplyOver" => Input::ReplyOver { turn, failed: false },
        "ReplyOver failed" => Input::ReplyOver { turn, failed: true },
        "Started" => Input::Started { mark },
        "Played" | "Played last" => Input::Played { mark },
        "Hushed" => Input::Hushed { mark: Some(mark), played: ms(600) },
        "Digit" => Input::Digit('5'),
        "Beep" => Input::Beep,
        "Say" => say("By the way.", false),
        "Say at once" => say("By the way.", true),
        "Away" => Input::Away,
        "Back" => Input::Back { say: "I could not reach them.".into() },
        "Leave" => Input::Leave(EndReason::ApiHungUp),
        "Gone" => Input::Gone,
        _ => panic!("no input is called {column:?}"),
    }
}

/// What happens, in the words of the table.
fn happens(row: &str, column: &str) -> String {
    let mut at = if column == "Hushed" { cut(row) } else { situation(row, ear_for(column, row)) };
    let (turn, mark) = (at.stage.conversation.turn, u64::from(at.stage.conversation.turn) * 100);
    match column {
        "Started" | "Measured" if matches!(row, "Thinking" | "Asked") => {
            at.stage.tell(Input::Phrase { turn, mark, text: "We open at nine.".into() });
        }
        "Played last" => {
            if matches!(row, "Speaking" | "Protected" | "Paused" | "Leaving") {
                at.stage.tell(Input::ReplyOver { turn, failed: false });
            }
        }
        "timeout end" if row != "Waiting" && row != "Over" => {
            at.stage.conversation.ends_at = Some(at.stage.now)
        }
        _ => {}
    }
    let floor = floor_name(&at.stage.conversation.floor);
    let before = inside(&at.stage.conversation);
    if column.starts_with("timeout") {
        let Some(due) = at.stage.conversation.poll_timeout() else { return "never".into() };
        at.stage.conversation.handle_timeout(due.max(at.stage.now));
    } else {
        let input = input(column, &at);
        assert_eq!(column.split(' ').next(), Some(input_name(&input)));
        at.stage.conversation.handle(at.stage.now, input);
    }
    let after = floor_name(&at.stage.conversation.floor);
    let actions = at.stage.decided();
    let deeds = actions.iter().map(kind).collect::<Vec<_>>().join(", ");
    match (floor == after, deeds.is_empty()) {
        (true, true) if before == inside(&at.stage.conversation) => "·".into(),
        (true, true) => "kept".into(),
        (true, false) => deeds,
        (false, true) => format!("→ {after}"),
        (false, false) => format!("→ {after}: {deeds}"),
    }
}

/// The tables of the documentation, each a list of lines, each a list of cells.
fn tables() -> Vec<Vec<Vec<String>>> {
    let mut tables: Vec<Vec<Vec<String>>> = Vec::new();
    let mut inside = false;
    for line in TABLES.lines() {
        let Some(line) = line.strip_prefix("| ") else {
            inside = inside && line.starts_with("|-");
            continue;
        };
        if !std::mem::replace(&mut inside, true) {
            tables.push(Vec::new());
        }
        let cells = line.trim_end_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
        tables.last_mut().expect("one was begun").push(cells.collect());
    }
    tables.retain(|table| table[0][0] == "in");
    tables
}

#[test]
fn every_input_has_a_cell_in_every_situation_and_does_what_it_says() {
    let (mut wrong, mut cells) = (Vec::new(), 0);
    let mut inputs: Vec<String> = Vec::new();
    let mut actual = String::new();
    for table in tables() {
        let (head, lines) = table.split_first().expect("a table has a head");
        inputs.extend(head[1..].iter().map(|column| column.split(' ').next().unwrap_or_default().to_owned()));
        actual += &format!(
            "| {} |\n|{}\n",
            head.iter()
                .map(|c| if c == "in" { c.clone() } else { format!("`{c}`") })
                .collect::<Vec<_>>()
                .join(" | "),
            "---|".repeat(head.len())
        );
        let rows: Vec<_> = lines.iter().map(|line| line[0].as_str()).collect();
        if rows != ROWS {
            wrong.push(format!("the rows under {head:?} are {rows:?}"));
        }
        for row in ROWS {
            let line = lines.iter().find(|line| line[0] == *row);
            actual += &format!("| `{row}`");
            for (n, column) in head.iter().enumerate().skip(1) {
                cells += 1;
                let told = line.and_then(|line| line.get(n)).map_or("", String::as_str);
                let happens = happens(row, column);
                actual += &format!(" | {happens}");
                if told != happens {
                    wrong.push(format!("{column} in {row}: {happens:?}, but the table says {told:?}"));
                }
            }
            actual += " |\n";
        }
        actual += "\n";
    }
    assert!(wrong.is_empty(), "{wrong:#?}\nThe tables would be:\n{actual}");
    for name in INPUTS.iter().chain(&["timeout"]) {
        assert!(inputs.iter().any(|input| input == name), "{name} has no column");
    }
    assert!(cells >= ROWS.len() * (INPUTS.len() + 1), "{cells} cells");
}

#[test]
fn every_floor_has_a_row() {
    let floors: Vec<_> =
        ROWS.iter().map(|row| floor_name(&situation(row, Ear::Quiet).stage.conversation.floor)).collect();
    for floor in FLOORS {
        assert!(floors.contains(floor), "{floor} has no row");
    }
    let named = |row| floor_name(&situation(row, Ear::Quiet).stage.conversation.floor);
    assert_eq!(
        ["Held", "Guessing", "Asked", "Protected", "Leaving", "Machine"].map(named),
        ["Listening", "Listening", "Thinking", "Speaking", "Speaking", "Listening"]
    );
}

/// Numbers of a turn, a job, an utterance or a sound that is no more.
fn stale() -> Vec<Input> {
    let (turn, job, mark) = (0, 0, 7);
    // Words that would act wherever they are taken for news.
    let machine = || "Please leave a message after the tone.".to_owned();
    vec![
        Input::Heard { job, text: machine(), stt: ms(150) },
        Input::Partial { utterance: u64::MAX, text: machine(), stt: Duration::ZERO },
        Input::TurnJudged { job, probability: 0.9 },
        Input::Deaf { job },
        Input::Phrase { turn, mark, text: "And there is parking.".into() },
        Input::Filler { turn, mark, text: "One moment.".into() },
        Input::Measured { turn, mark, duration: ms(900) },
        Input::Fallback { turn, because: "late".into() },
        Input::FirstToken { turn, after: ms(100) },
        Input::FirstAudio { turn, after: ms(100) },
        Input::WantsHangUp { turn },
        Input::WantsTransfer { turn },
        Input::WantsQuiet { turn, quiet: ms(20_000) },
        Input::ToolBegan { turn, name: "book".into(), within: ms(5000) },
        Input::ReplyOver { turn, failed: false },
        Input::ReplyOver { turn, failed: true },
        Input::Started { mark },
        Input::Played { mark },
        Input::Hushed { mark: Some(mark), played: ms(600) },
    ]
}

#[test]
fn what_is_stale_changes_nothing_in_any_situation() {
    for row in ROWS {
        for ear in [Ear::Quiet, Ear::Voice, Ear::Dip, Ear::Asked] {
            let mut stage = situation(row, ear).stage;
            let before = inside(&stage.conversation);
            for input in stale() {
                let name = format!("{input:?} in {row}");
                stage.conversation.handle(stage.now, input);
                assert_eq!(stage.decided(), [], "{name}");
                assert_eq!(inside(&stage.conversation), before, "{name}");
            }
        }
    }
}
