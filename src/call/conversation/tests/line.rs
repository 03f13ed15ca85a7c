//! Random calls over a simulated line: what is written down is what left, and nothing that is stale does anything.

use super::cells::inside;
use super::*;

/// A phrase on the line.
struct Sound {
    turn: u32,
    mark: u64,
    text: String,
    duration: Duration,
    /// Its length was told.
    is_measured: bool,
    is_filler: bool,
    is_started: bool,
    /// So much of it has left.
    left: Duration,
    /// Nothing more of it will.
    is_over: bool,
}

impl Sound {
    /// The words that were heard of it.
    fn heard(&self) -> &str {
        let estimated = words::estimated_duration(&self.text).max(self.left);
        match self.left {
            left if left.is_zero() => "",
            left if left >= self.duration => &self.text,
            left => words::heard_part(
                &self.text,
                &Diction::new("en", []),
                left,
                if self.is_measured { self.duration } else { estimated },
            ),
        }
    }
}

/// What the agent is working for, released.
struct Working {
    turn: u32,
    /// The sentence of ours that is being made; `None`: the brain talks.
    sentence: Option<String>,
}

/// A call: the conversation, and a world that counts what leaves.
struct World {
    conversation: Conversation,
    now: Instant,
    /// All there ever was, in the order of the queue.
    sounds: Vec<Sound>,
    is_paused: bool,
    working: Option<Working>,
    notes: Vec<Note>,
    hung_up: usize,
    jobs: u64,
    utterances: u64,
    marks: u64,
}

impl World {
    fn new(is_outbound: bool) -> Self {
        let voicemail =
            Voicemail { then: AtVoicemail::LeaveMessage, message: "Please call me back soon.".into() };
        let max_duration = Duration::from_secs(36_000);
        let disclosure = "This call is recorded.".to_owned();
        let manners = Manners { is_outbound, voicemail, max_duration, disclosure, ..manners() };
        Self {
            conversation: Conversation::new(manners),
            now: Instant::now(),
            sounds: Vec::new(),
            is_paused: false,
            working: None,
            notes: Vec::new(),
            hung_up: 0,
            jobs: 0,
            utterances: 0,
            marks: 0,
        }
    }

    fn tell(&mut self, input: Input) {
        self.conversation.handle(self.now, input);
        self.carry_out();
    }

    /// As the actor does: in order, and the answer to a hush before what follows it.
    fn carry_out(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Transcribe { job } => self.jobs = job,
                Action::Forget => self.utterances += 1,
                Action::Release { turn } => self.working = Some(Working { turn, sentence: None }),
                Action::Say { turn, text } => self.working = Some(Working { turn, sentence: Some(text) }),
                Action::Fill { turn, text } => {
                    if self.working.as_ref().is_some_and(|working| working.turn == turn) {
                        self.queue(turn, text, ms(700), true, true);
                    }
                }
                Action::Cancel { turn } => drop(self.working.take_if(|working| working.turn == turn)),
                Action::Transfer { .. } => self.conversation.handle(self.now, Input::NotTransferred),
                Action::Pause => self.is_paused = true,
                Action::Resume => self.is_paused = false,
                Action::Hush => {
                    let (mark, played) = self.hush();
                    self.conversation.handle(self.now, Input::Hushed { mark, played });
                }
                Action::HangUp(_) => self.hung_up += 1,
                Action::Note(note) => self.notes.push(note),
                Action::Reply { .. } | Action::ReadAhead { .. } => {}
            }
        }
    }

    fn queue(&mut self, turn: u32, text: String, duration: Duration, is_measured: bool, is_filler: bool) {
        self.marks += 1;
        let (mark, queued) = (self.marks, text.clone());
        self.sounds.push(Sound {
            turn,
            mark,
            text: queued,
            duration,
            is_measured,
            is_filler,
            is_started: false,
            left: Duration::ZERO,
            is_over: false,
        });
        self.tell(match is_filler {
            true => Input::Filler { turn, mark, text },
            false => Input::Phrase { turn, mark, text },
        });
        if is_measured {
            self.tell(Input::Measured { turn, mark, duration });
        }
    }

    /// The line falls silent; as the line itself, it names what was sounding only where some of it has left.
    fn hush(&mut self) -> (Option<u64>, Duration) {
        self.is_paused = false;
        let sounding = self.sounds.iter().find(|sound| !sound.is_over && !sound.left.is_zero());
        let cut = sounding.map_or((None, Duration::ZERO), |sound| (Some(sound.mark), sound.left));
        self.sounds.iter_mut().for_each(|sound| sound.is_over = true);
        cut
    }

    fn sounding(&mut self) -> Option<&mut Sound> {
        self.sounds.iter_mut().find(|sound| !sound.is_over)
    }

    /// Time passes, for the line and for the machine.
    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        for step in 0.. {
            assert!(step < 5000, "the machine spins in {:?}", self.conversation.floor);
            let is_paused = self.is_paused;
            let next_mark = self.sounding().filter(|_| !is_paused).map(|sound| match sound.is_started {
                false => Duration::ZERO,
                true => sound.duration.saturating_sub(sound.left),
            });
            let line = next_mark.map(|in_| self.now + in_);
            let timeout = self.conversation.poll_timeout().map(|at| at.max(self.now));
            let Some(at) = line.into_iter().chain(timeout).min().filter(|at| *at <= until) else { break };
            self.play_until(at);
            match line {
                Some(due) if due == at => self.mark_passed(),
                _ => {
                    self.conversation.handle_timeout(at);
                    self.carry_out();
                }
            }
        }
        self.play_until(until);
    }

    fn play_until(&mut self, at: Instant) {
        let passed = at.saturating_duration_since(self.now);
        self.now = at;
        let is_paused = self.is_paused;
        if let Some(sound) = self.sounding().filter(|sound| sound.is_started && !is_paused) {
            sound.left = (sound.left + passed).min(sound.duration);
        }
    }

    /// A sound has begun or ended.
    fn mark_passed(&mut self) {
        let Some(sound) = self.sounding() else { return };
        let (turn, mark, duration) = (sound.turn, sound.mark, sound.duration);
        if !std::mem::replace(&mut sound.is_started, true) {
            return self.tell(Input::Started { mark });
        }
        sound.is_over = true;
        if !std::mem::replace(&mut sound.is_measured, true) {
            self.tell(Input::Measured { turn, mark, duration });
        }
        self.tell(Input::Played { mark });
    }

    /// What left of a turn; `own`: without fillers.
    fn left(&self, turn: u32, own: bool) -> String {
        let sounds = self.sounds.iter().filter(|sound| sound.turn == turn && !(own && sound.is_filler));
        sounds.fold(String::new(), |text, sound| words::join(&text, sound.heard()))
    }

    fn happens(&mut self, happening: &Event) {
        let now = self.now;
        match *happening {
            Event::Wait(n) => self.wait(ms(n)),
            Event::VoiceStart => self.tell(Input::VoiceStart { onset: now - ms(60) }),
            Event::VoiceDip => self.tell(Input::VoiceDip { since: now - ms(80) }),
            Event::VoiceBack => self.tell(Input::VoiceBack { onset: now - ms(20) }),
            Event::VoiceEnd => self.tell(Input::VoiceEnd { since: now - ms(200) }),
            Event::Heard(text) => self.tell(Input::Heard { job: self.jobs, text: text.into(), stt: ms(100) }),
            Event::Partial(text) => self.tell(Input::Partial {
                utterance: self.utterances,
                text: text.into(),
                stt: Duration::ZERO,
            }),
            Event::Judged(probability) => self.tell(Input::TurnJudged { job: self.jobs, probability }),
            Event::Deaf => self.tell(Input::Deaf { job: self.jobs }),
            Event::Phrase { length, is_measured } => self.phrase(length, is_measured),
            Event::ReplyOver { failed } => {
                if let Some(working) = self.working.take() {
                    self.tell(Input::ReplyOver { turn: working.turn, failed });
                }
            }
            Event::Wants(n) => {
                // Only a brain wants anything.
                let brain = self.working.as_ref().filter(|working| working.sentence.is_none());
                let Some(turn) = brain.map(|working| working.turn) else { return };
                self.tell(match n {
                    0 => Input::WantsHangUp { turn },
                    1 => Input::WantsTransfer { turn },
                    2 => Input::WantsQuiet { turn, quiet: ms(20_000) },
                    _ => Input::ToolBegan { turn, name: "book".into(), within: ms(5000) },
                });
            }
            Event::Digit(digit) => self.tell(Input::Digit(digit)),
            Event::Beep => self.tell(Input::Beep),
            Event::Say { interrupt } => self.tell(say("By the way, it has begun to rain.", interrupt)),
            Event::Away => self.tell(Input::Away),
            Event::Back => self.tell(Input::Back { say: "I could not reach them just now.".into() }),
            Event::Leave => self.tell(Input::Leave(EndReason::ShuttingDown)),
            Event::Gone => self.tell(Input::Gone),
            Event::Stale(n, back) => self.stale(n, back),
        }
    }

    /// The next phrase of what is being worked for.
    fn phrase(&mut self, length: u64, is_measured: bool) {
        let Some(working) = &mut self.working else { return };
        let turn = working.turn;
        if let Some(sentence) = working.sentence.clone() {
            self.queue(turn, sentence, ms(length), is_measured, false);
            self.working = None;
            return self.tell(Input::ReplyOver { turn, failed: false });
        }
        let n = self.marks + 1;
        self.queue(
            turn,
            format!("Phrase {n} costs $3.50 on a good day, they say."),
            ms(length),
            is_measured,
            false,
        );
    }

    /// Something comes late that was asked for long ago.
    fn stale(&mut self, n: usize, back: u32) {
        let conversation = &self.conversation;
        let turn = conversation.turn.saturating_sub(back);
        let speech = conversation.speech.iter().chain(conversation.guess.iter().map(|guess| &guess.speech));
        if speech.into_iter().any(|speech| speech.turn == turn) {
            return;
        }
        let job = self.jobs.saturating_sub(u64::from(back));
        let is_pending = conversation.hearing.pending() == Some(job);
        let mark = self.sounds.iter().find(|sound| sound.turn == turn).map_or(0, |sound| sound.mark);
        let utterance = self.utterances.wrapping_sub(u64::from(back) + 1);
        let text = || "Please leave a message after the tone.".to_owned();
        let input = match n {
            0 if !is_pending => Input::Heard { job, text: text(), stt: ms(100) },
            1 => Input::Partial { utterance, text: text(), stt: Duration::ZERO },
            2 if job < self.jobs => Input::TurnJudged { job, probability: 0.9 },
            3 if !is_pending => Input::Deaf { job },
            4 => Input::Phrase { turn, mark, text: text() },
            5 => Input::Filler { turn, mark, text: text() },
            6 => Input::Measured { turn, mark, duration: ms(900) },
            7 => Input::FirstToken { turn, after: ms(100) },
            8 => Input::FirstAudio { turn, after: ms(100) },
            9 => Input::WantsHangUp { turn },
            10 => Input::WantsTransfer { turn },
            11 => Input::WantsQuiet { turn, quiet: ms(20_000) },
            12 => Input::ToolBegan { turn, name: "book".into(), within: ms(5000) },
            13 => Input::ReplyOver { turn, failed: back.is_multiple_of(2) },
            14 => Input::Started { mark },
            15 => Input::Played { mark },
            _ => return,
        };
        let before = inside(&self.conversation);
        let name = format!("{input:?}");
        self.conversation.handle(self.now, input);
        assert_eq!(self.conversation.poll_action(), None, "{name}");
        assert_eq!(inside(&self.conversation), before, "{name}");
    }

    /// It listens, speaks, waits with a deadline, or is over; and the line does what the floor says.
    fn check(&self) {
        let conversation = &self.conversation;
        let floor = conversation.floor;
        let has_speech = conversation.speech.is_some();
        match floor {
            Floor::Waiting => {}
            Floor::Listening { .. } | Floor::Away | Floor::Over => assert!(!has_speech, "{floor:?}"),
            Floor::Thinking | Floor::Speaking | Floor::Paused { .. } => assert!(has_speech, "{floor:?}"),
        }
        assert!(conversation.cut_off.is_empty(), "a cut that nobody told");
        assert_eq!(self.is_paused, matches!(floor, Floor::Paused { .. }), "{floor:?}");
        let is_guessing = conversation.guess.is_some();
        assert!(!is_guessing || matches!(floor, Floor::Listening { .. }), "a guess in {floor:?}");
        let due = conversation.poll_timeout();
        match floor {
            Floor::Waiting => {}
            Floor::Over => assert_eq!(due, None),
            Floor::Away => assert!(due.is_some()),
            _ => {
                let within = due.map(|at| at.saturating_duration_since(self.now));
                assert!(
                    within.is_some_and(|within| within <= Duration::from_secs(200)),
                    "{floor:?}: {within:?}"
                );
            }
        }
    }

    /// Transcript, record and history hold what left.
    fn check_words(&self) {
        let mut said = Vec::new();
        let mut turns = Vec::new();
        for note in &self.notes {
            match note {
                Note::Said { text, .. } => said.push(text.clone()),
                Note::Turn(turn) => {
                    assert_eq!(*turn.said.reveal(), self.left(turn.turn, false), "turn {}", turn.turn);
                    turns.push(turn.turn);
                }
                _ => {}
            }
        }
        let heard: Vec<_> =
            turns.iter().map(|turn| self.left(*turn, false)).filter(|text| !text.is_empty()).collect();
        assert_eq!(said, heard);
        let own: Vec<_> =
            turns.iter().map(|turn| self.left(*turn, true)).filter(|text| !text.is_empty()).collect();
        let history = self.conversation.history().iter().filter(|line| line.speaker == Speaker::Agent);
        assert_eq!(history.map(|line| line.text.clone()).collect::<Vec<_>>(), own);
        // Nothing that was heard is missing, and nothing is there twice.
        for sound in self.sounds.iter().filter(|sound| !sound.heard().is_empty()) {
            assert_eq!(turns.iter().filter(|turn| **turn == sound.turn).count(), 1, "turn {}", sound.turn);
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    VoiceStart,
    VoiceDip,
    VoiceBack,
    VoiceEnd,
    Heard(&'static str),
    Partial(&'static str),
    Judged(f32),
    Deaf,
    Phrase { length: u64, is_measured: bool },
    ReplyOver { failed: bool },
    Wants(u8),
    Digit(char),
    Beep,
    Say { interrupt: bool },
    Away,
    Back,
    Leave,
    Gone,
    Stale(usize, u32),
}

fn event() -> impl Strategy<Value = Event> {
    let words = prop::sample::select(vec![
        "What time do you open?",
        "",
        "mm-hm",
        "and then",
        "My number is 555 1234",
        "Please leave a message after the tone.",
    ]);
    let phrase = (100u64..4000, any::<bool>());
    prop_oneof![
        8 => (1u64..2500).prop_map(Event::Wait),
        4 => Just(Event::VoiceStart),
        2 => Just(Event::VoiceDip),
        1 => Just(Event::VoiceBack),
        4 => Just(Event::VoiceEnd),
        5 => words.clone().prop_map(Event::Heard),
        1 => words.prop_map(Event::Partial),
        2 => (0.0f32..=1.0).prop_map(Event::Judged),
        1 => Just(Event::Deaf),
        8 => phrase.prop_map(|(length, is_measured)| Event::Phrase { length, is_measured }),
        3 => any::<bool>().prop_map(|failed| Event::ReplyOver { failed }),
        1 => (0u8..4).prop_map(Event::Wants),
        1 => prop::sample::select(vec!['1', '#']).prop_map(Event::Digit),
        1 => Just(Event::Beep),
        1 => any::<bool>().prop_map(|interrupt| Event::Say { interrupt }),
        1 => prop::sample::select(vec![Event::Away, Event::Back, Event::Back, Event::Leave, Event::Gone]),
        6 => (0usize..16, 0u32..5).prop_map(|(n, back)| Event::Stale(n, back)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_left_and_nothing_stale_acts(
        is_outbound in any::<bool>(),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut world = World::new(is_outbound);
        world.tell(Input::Answered);
        for event in events {
            world.happens(&event);
            world.check();
            if world.conversation.floor != Floor::Over {
                continue;
            }
            break;
        }
        // Left alone it ends by itself, at the latest when the call has lasted its time.
        world.wait(Duration::from_secs(36_100));
        world.check();
        prop_assert_eq!(world.conversation.floor, Floor::Over);
        prop_assert!(world.hung_up <= 1);
        world.check_words();
    }
}
