//! Goes through a script on a call: which step is due, and what does it wait for?
//!
//! A state machine without a clock or a task, in the same idiom as the rest: [`Runner::handle`] tells it what happened,
//! [`Runner::poll_act`] takes what shall be done, [`Runner::poll_timeout`] says when to come back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::script::Step;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// The call is answered: begin.
    Connected,
    /// The other side began to speak; its first voiced sample was at `at`.
    SpeechStart { at: Instant },
    /// The other side ended; its last voiced sample was at `at`.
    SpeechEnd { at: Instant },
    /// Our line has been spoken to its end.
    Spoken { at: Instant },
    /// Our keys have been pressed.
    Pressed,
    /// Time has passed.
    Timeout,
    /// The call is over.
    Ended,
}

/// What shall be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Speak the line with this index (lines are counted over the whole script).
    Speak {
        line: usize,
        interrupting: bool,
    },
    Press(String),
    /// Nobody spoke, or hung up, within a step's patience; the script goes on.
    GaveUp {
        step: usize,
    },
    /// There was nothing to be interrupted any more; the line is spoken nevertheless.
    Missed {
        step: usize,
    },
    Hangup,
}

#[derive(Debug)]
pub struct Runner {
    steps: Vec<Step>,
    at: usize,
    /// Lines spoken so far.
    line: usize,
    state: State,
    /// When a step stops waiting.
    deadline: Option<Instant>,
    /// The other side is speaking since.
    speech: Option<Instant>,
    /// An utterance of the other side has ended that no step has waited for yet.
    heard: bool,
    /// Our own last voiced sample.
    closed: Option<Instant>,
    acts: VecDeque<Act>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// In the step `at`, which waits for something.
    Waiting,
    /// A line or keys are on their way.
    Busy,
    Over,
}

impl Runner {
    pub fn new(steps: Vec<Step>) -> Runner {
        Runner {
            steps,
            at: 0,
            line: 0,
            state: State::Idle,
            deadline: None,
            speech: None,
            heard: false,
            closed: None,
            acts: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Connected if self.state == State::Idle => self.enter(now),
            Input::SpeechStart { at } => {
                self.speech = Some(at);
                self.look(now);
            }
            Input::SpeechEnd { at } => {
                self.speech = None;
                // The end of what we have talked down is no answer to it.
                if self.closed.is_none_or(|closed| at > closed) {
                    self.heard = true;
                }
                self.look(now);
            }
            Input::Spoken { at } if self.state == State::Busy => {
                self.closed = Some(at);
                // What ended before we had finished was talked down, and is no answer.
                self.heard = false;
                self.next(now);
            }
            Input::Pressed if self.state == State::Busy => self.next(now),
            Input::Timeout => self.look(now),
            Input::Ended => {
                self.state = State::Over;
                self.deadline = None;
                self.acts.clear();
            }
            _ => {}
        }
    }

    pub fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.state, self.steps.get(self.at)) {
            (State::Waiting, Some(Step::Interrupt { after, .. })) => {
                let due = self.speech.map(|since| since + *after);
                due.into_iter().chain(self.deadline).min()
            }
            (State::Waiting, _) => self.deadline,
            _ => None,
        }
    }

    /// Begins the step `at`.
    fn enter(&mut self, now: Instant) {
        self.deadline = None;
        match self.steps.get(self.at) {
            None | Some(Step::Hangup) => {
                self.state = State::Over;
                self.acts.push_back(Act::Hangup);
            }
            Some(Step::Speak(_)) => self.speak(false),
            Some(Step::Dtmf(keys)) => {
                self.state = State::Busy;
                self.acts.push_back(Act::Press(keys.clone()));
            }
            Some(Step::Wait(time)) => self.wait_until(now, *time),
            Some(Step::Listen { patience } | Step::Stay { patience } | Step::Interrupt { patience, .. }) => {
                self.wait_until(now, *patience);
            }
        }
    }

    fn wait_until(&mut self, now: Instant, time: Duration) {
        self.deadline = Some(now + time);
        self.state = State::Waiting;
        self.look(now);
    }

    /// Is what the step waits for here?
    fn look(&mut self, now: Instant) {
        if self.state != State::Waiting {
            return;
        }
        let expired = self.deadline.is_some_and(|deadline| now >= deadline);
        match &self.steps[self.at] {
            Step::Listen { .. } if self.heard => {
                self.heard = false;
                self.next(now);
            }
            // Who is still speaking is listened to; only silence exhausts our patience.
            Step::Listen { patience } if expired && self.speech.is_some() => {
                self.deadline = Some(now + *patience);
            }
            Step::Listen { .. } | Step::Stay { .. } if expired => {
                self.acts.push_back(Act::GaveUp { step: self.at });
                self.next(now);
            }
            Step::Wait(_) if expired => self.next(now),
            Step::Interrupt { after, .. } => match self.speech {
                Some(since) if now >= since + *after => self.speak(true),
                None if self.heard || expired => {
                    self.heard = false;
                    self.acts.push_back(Act::Missed { step: self.at });
                    self.speak(false);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn speak(&mut self, interrupting: bool) {
        self.acts.push_back(Act::Speak { line: self.line, interrupting });
        self.line += 1;
        self.state = State::Busy;
        self.heard = false;
    }

    fn next(&mut self, now: Instant) {
        self.at += 1;
        self.enter(now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    struct World {
        runner: Runner,
        start: Instant,
    }

    impl World {
        fn new(script: &str) -> World {
            let start = Instant::now();
            let mut runner = Runner::new(Script::parse(script).unwrap().steps);
            runner.handle(start, Input::Connected);
            World { runner, start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn start(&mut self, ms: u64) -> Vec<Act> {
            let at = self.at(ms);
            self.tell(ms, Input::SpeechStart { at })
        }

        /// An end becomes known after the pause that proves it.
        fn end(&mut self, ms: u64) -> Vec<Act> {
            let at = self.at(ms);
            self.tell(ms + 900, Input::SpeechEnd { at })
        }

        fn spoken(&mut self, ms: u64) -> Vec<Act> {
            let at = self.at(ms);
            self.tell(ms, Input::Spoken { at })
        }

        fn tell(&mut self, ms: u64, input: Input) -> Vec<Act> {
            self.runner.handle(self.at(ms), input);
            std::iter::from_fn(|| self.runner.poll_act()).collect()
        }
    }

    fn speak(line: usize, interrupting: bool) -> Vec<Act> {
        vec![Act::Speak { line, interrupting }]
    }

    #[test]
    fn a_conversation_goes_to_and_fro() {
        let mut world = World::new("listen\nsay one\nlisten\nsay two\nlisten\nhangup");
        assert!(world.start(100).is_empty());
        assert_eq!(world.end(2000), speak(0, false));
        assert!(world.spoken(4000).is_empty());
        assert!(world.start(5000).is_empty());
        assert_eq!(world.end(6000), speak(1, false));
        assert!(world.spoken(8000).is_empty());
        world.start(9000);
        assert_eq!(world.end(9500), [Act::Hangup]);
    }

    #[test]
    fn an_interruption_comes_after_so_much_speech() {
        let mut world = World::new("interrupt 700ms Wait\nlisten");
        assert!(world.start(1000).is_empty());
        assert_eq!(world.runner.poll_timeout(), Some(world.at(1700)));
        assert!(world.tell(1600, Input::Timeout).is_empty());
        assert_eq!(world.tell(1700, Input::Timeout), speak(0, true));
        // The end of the interrupted speech is not the answer.
        assert!(world.end(1900).is_empty());
        assert!(world.spoken(3000).is_empty());
        world.start(3600);
        assert_eq!(world.end(4600), [Act::Hangup]);
    }

    #[test]
    fn a_late_report_of_the_interrupted_end_is_no_answer_either() {
        let mut world = World::new("interrupt 700ms Wait\nlisten");
        world.start(1000);
        world.tell(1700, Input::Timeout);
        world.spoken(2500);
        assert!(world.end(1950).is_empty());
        world.start(3600);
        assert_eq!(world.end(4600), [Act::Hangup]);
    }

    #[test]
    fn who_ended_too_early_is_spoken_to_nevertheless() {
        let mut world = World::new("interrupt 5s Wait\nhangup");
        world.start(1000);
        assert_eq!(world.end(2000), [Act::Missed { step: 0 }, Act::Speak { line: 0, interrupting: false }]);
    }

    #[test]
    fn patience_ends_but_not_while_somebody_speaks() {
        let mut world = World::new("listen 2s\nlisten 2s");
        world.start(1900);
        assert!(world.tell(2000, Input::Timeout).is_empty());
        assert!(world.end(5000).is_empty());
        assert_eq!(world.tell(8000, Input::Timeout), [Act::GaveUp { step: 1 }, Act::Hangup]);
    }

    #[test]
    fn what_was_said_during_a_wait_counts_as_heard() {
        let mut world = World::new("say hello\nwait 5s\nlisten\nhangup");
        assert_eq!(world.runner.poll_act(), Some(Act::Speak { line: 0, interrupting: false }));
        assert!(world.spoken(1000).is_empty());
        world.start(1500);
        world.end(2500);
        assert_eq!(world.tell(6000, Input::Timeout), [Act::Hangup]);
    }

    #[test]
    fn keys_are_pressed_and_an_empty_script_hangs_up() {
        let mut world = World::new("dtmf 12#");
        assert_eq!(world.runner.poll_act(), Some(Act::Press("12#".into())));
        assert_eq!(world.tell(500, Input::Pressed), [Act::Hangup]);
        assert_eq!(World::new("").runner.poll_act(), Some(Act::Hangup));
    }

    #[test]
    fn nothing_is_done_after_the_end() {
        let mut world = World::new("listen\nsay one");
        world.tell(10, Input::Ended);
        world.start(100);
        assert!(world.end(1000).is_empty());
        assert_eq!(world.runner.poll_timeout(), None);
    }
}
