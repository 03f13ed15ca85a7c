//! Every state against its inputs, on a virtual clock; and laws under random input.

use proptest::prelude::*;

use super::*;

struct Stage {
    bridge: Bridge,
    now: Instant,
}

impl Stage {
    /// With an agent, and up.
    fn up() -> Self {
        let mut stage = Self { bridge: Bridge::with_agent(), now: Instant::now() };
        assert_eq!(stage.tell(Input::NearUp), []);
        stage
    }

    fn take(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.bridge.poll_action()).collect()
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.bridge.handle(self.now, input);
        self.take()
    }

    fn transfer(&mut self, mode: TransferMode) -> Vec<Action> {
        self.bridge.transfer(mode).expect("it can be transferred");
        self.take()
    }

    fn progress(&mut self, status: u16, over: bool) -> Vec<Action> {
        self.tell(Input::Progress { status, over })
    }

    fn ended(&mut self, role: Role, reason: EndReason) -> Vec<Action> {
        self.tell(Input::Ended(role, reason))
    }

    /// Near and far hear each other.
    fn joined() -> Self {
        let mut stage = Self::up();
        stage.transfer(TransferMode::Bridge);
        stage.tell(Input::Answered);
        assert!(stage.bridge.is_joined());
        stage
    }

    fn refuses_everything(&mut self) {
        for mode in [TransferMode::Refer, TransferMode::Bridge, TransferMode::Auto, TransferMode::Attended] {
            assert_eq!(self.bridge.transfer(mode), Err(NotNow));
        }
        for role in [Role::Near, Role::Far, Role::New] {
            assert_eq!(self.bridge.refer(role), Err(NotNow));
            assert_eq!(self.bridge.take_over(role), Err(NotNow));
        }
        assert_eq!(self.take(), []);
    }
}

const GONE: EndReason = EndReason::CallerHungUp;
const PUT_THROUGH: Action = Action::Note(Note::Transferred { bridged: true });
const HANDED_ON: Action = Action::Note(Note::Transferred { bridged: false });

fn over(reason: EndReason) -> [Action; 2] {
    [Action::Quiet, Action::End(reason)]
}

#[test]
fn refer_that_succeeds_ends_the_call_as_transferred() {
    let mut stage = Stage::up();
    assert_eq!(stage.transfer(TransferMode::Refer), [Action::Away, Action::Refer]);
    stage.refuses_everything();
    for status in [202, 100, 180] {
        assert_eq!(stage.progress(status, false), []);
    }
    assert_eq!(stage.progress(200, true), [HANDED_ON, Action::Quiet, Action::End(EndReason::Transferred)]);
    assert_eq!(stage.ended(Role::Near, GONE), [], "nothing more comes out");
    stage.refuses_everything();
}

#[test]
fn refer_that_fails_gives_the_caller_back_or_calls_the_target() {
    for (status, reason) in [
        (603, EndReason::Declined),
        (486, EndReason::Busy),
        (408, EndReason::NoAnswer),
        (405, EndReason::TrunkFailed),
    ] {
        let mut stage = Stage::up();
        stage.transfer(TransferMode::Refer);
        let failed = Action::Note(Note::Failed(reason));
        assert_eq!(stage.progress(status, true), [failed, Action::Back { failed: true }]);
        assert_eq!(stage.transfer(TransferMode::Refer), [Action::Away, Action::Refer], "once more");
    }
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Auto);
    assert_eq!(stage.progress(405, true), [Action::Ring(Role::Near), Action::Dial]);
    let joined = [Action::Quiet, Action::Promote(Role::Far), Action::Join, PUT_THROUGH];
    assert_eq!(stage.tell(Input::Answered), joined);
}

#[test]
fn who_hangs_up_after_taking_the_refer_was_transferred() {
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Refer);
    stage.progress(202, false);
    assert_eq!(
        stage.ended(Role::Near, GONE),
        [HANDED_ON, Action::Quiet, Action::End(EndReason::Transferred)]
    );
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Refer);
    assert_eq!(stage.ended(Role::Near, GONE), over(GONE));
}

#[test]
fn a_bridge_rings_joins_and_ends_with_either_side() {
    let mut stage = Stage::up();
    assert_eq!(stage.transfer(TransferMode::Bridge), [Action::Away, Action::Ring(Role::Near), Action::Dial]);
    stage.refuses_everything();
    assert_eq!(stage.tell(Input::Ringing { sound: false }), [], "near hears our tone");
    stage.tell(Input::Answered);
    assert_eq!(stage.ended(Role::Far, EndReason::CalleeHungUp), over(EndReason::TargetHungUp));
    assert_eq!(Stage::joined().ended(Role::Near, GONE), over(GONE));
    assert_eq!(Stage::joined().tell(Input::End(EndReason::ApiHungUp)), over(EndReason::ApiHungUp));
}

#[test]
fn a_target_that_does_not_answer_gives_the_caller_back() {
    for reason in [EndReason::Busy, EndReason::NoAnswer, EndReason::NoCapacity] {
        let mut stage = Stage::up();
        stage.transfer(TransferMode::Bridge);
        let failed = Action::Note(Note::Failed(reason));
        assert_eq!(stage.ended(Role::New, reason), [Action::Quiet, failed, Action::Back { failed: true }]);
    }
    // The caller does not wait.
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Bridge);
    assert_eq!(stage.ended(Role::Near, GONE), over(GONE));
}

#[test]
fn what_the_target_lets_hear_before_the_answer_goes_to_the_caller() {
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Bridge);
    assert_eq!(stage.tell(Input::Ringing { sound: true }), [Action::Quiet, Action::Join]);
    assert_eq!(stage.tell(Input::Ringing { sound: true }), []);
    assert_eq!(stage.tell(Input::Answered), [Action::Quiet, Action::Promote(Role::Far), PUT_THROUGH]);
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Bridge);
    stage.tell(Input::Ringing { sound: true });
    assert!(stage.ended(Role::New, EndReason::Busy).contains(&Action::Part));
}

#[test]
fn an_attended_transfer_joins_first_and_then_leaves() {
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Attended);
    assert_eq!(stage.tell(Input::Answered).last(), Some(&Action::Hand));
    stage.progress(202, false);
    assert_eq!(stage.ended(Role::Far, EndReason::CalleeHungUp), [], "its new call has replaced ours");
    assert_eq!(stage.progress(200, true), [HANDED_ON, Action::Quiet, Action::End(EndReason::Transferred)]);

    let mut stage = Stage::up();
    stage.transfer(TransferMode::Attended);
    stage.tell(Input::Answered);
    assert_eq!(stage.progress(603, true), [], "refused: the bridge stays");
    assert_eq!(stage.ended(Role::Far, EndReason::CalleeHungUp), over(EndReason::TargetHungUp));

    // Far is gone and near never says what came of it.
    let mut stage = Stage::up();
    stage.transfer(TransferMode::Attended);
    stage.tell(Input::Answered);
    stage.ended(Role::Far, EndReason::CalleeHungUp);
    stage.now = stage.bridge.poll_timeout().expect("a deadline");
    stage.bridge.handle_timeout(stage.now);
    assert_eq!(stage.take(), over(EndReason::TargetHungUp));
}

#[test]
fn a_peer_that_sends_us_on_is_replaced_and_told_how_it_goes() {
    // It talked with the agent; the agent then talks with the new one.
    let mut stage = Stage::up();
    stage.bridge.refer(Role::Near).expect("it may");
    assert_eq!(stage.take(), [Action::Away, Action::Dial]);
    assert!(stage.bridge.survives_near());
    assert_eq!(stage.tell(Input::Ringing { sound: false }), [Action::Tell(Role::Near, 180)]);
    assert_eq!(stage.tell(Input::Ringing { sound: true }), [], "the agent has no ear for it");
    let done = [
        Action::Tell(Role::Near, 200),
        Action::Quiet,
        Action::Promote(Role::Near),
        PUT_THROUGH,
        Action::Back { failed: false },
    ];
    assert_eq!(stage.tell(Input::Answered), done);
    assert!(!stage.bridge.survives_near());

    // It talked with far, who hears ringback meanwhile.
    let mut stage = Stage::joined();
    stage.bridge.refer(Role::Near).expect("it may");
    assert_eq!(stage.take(), [Action::Part, Action::Ring(Role::Far), Action::Dial]);
    let failed = [
        Action::Quiet,
        Action::Note(Note::Failed(EndReason::Busy)),
        Action::Tell(Role::Near, 486),
        Action::Join,
    ];
    assert_eq!(stage.ended(Role::New, EndReason::Busy), failed);
    assert!(stage.bridge.is_joined());
    stage.bridge.refer(Role::Far).expect("it may as well");
    assert_eq!(stage.take(), [Action::Part, Action::Ring(Role::Near), Action::Dial]);
    let done =
        [Action::Tell(Role::Far, 200), Action::Quiet, Action::Promote(Role::Far), PUT_THROUGH, Action::Join];
    assert_eq!(stage.tell(Input::Answered), done);
}

#[test]
fn who_asked_may_leave_before_it_is_done() {
    let mut stage = Stage::joined();
    stage.bridge.refer(Role::Near).expect("it may");
    stage.take();
    assert_eq!(stage.ended(Role::Near, GONE), []);
    assert_eq!(stage.tell(Input::Ringing { sound: false }), [], "nobody is there to be told");
    assert_eq!(
        stage.tell(Input::Answered),
        [Action::Quiet, Action::Promote(Role::Near), PUT_THROUGH, Action::Join]
    );
    // And then nobody answers.
    let mut stage = Stage::joined();
    stage.bridge.refer(Role::Near).expect("it may");
    stage.take();
    stage.ended(Role::Near, GONE);
    let failed = Action::Note(Note::Failed(EndReason::Busy));
    assert_eq!(
        stage.ended(Role::New, EndReason::Busy),
        [Action::Quiet, failed, Action::Quiet, Action::End(EndReason::Busy)]
    );
    // The other one does not wait.
    let mut stage = Stage::joined();
    stage.bridge.refer(Role::Near).expect("it may");
    stage.take();
    assert_eq!(stage.ended(Role::Far, EndReason::CalleeHungUp), over(EndReason::TargetHungUp));
}

#[test]
fn who_is_on_the_line_already_takes_over_at_once() {
    let mut stage = Stage::up();
    stage.bridge.take_over(Role::Near).expect("it may");
    assert_eq!(stage.take(), [Action::Away, Action::Promote(Role::Near), Action::Back { failed: false }]);
    let mut stage = Stage::joined();
    stage.bridge.take_over(Role::Far).expect("it may");
    assert_eq!(stage.take(), [Action::Promote(Role::Far), Action::Join]);
}

#[test]
fn a_joined_call_can_be_put_through_to_another() {
    let mut stage = Stage::joined();
    assert_eq!(stage.bridge.transfer(TransferMode::Refer), Err(NotNow));
    let begun = [Action::Part, Action::Ring(Role::Near), Action::Dial];
    assert_eq!(stage.transfer(TransferMode::Bridge), begun);
    let done = [Action::Quiet, Action::Promote(Role::Far), PUT_THROUGH, Action::Join];
    assert_eq!(stage.tell(Input::Answered), done);
}

#[test]
fn a_call_without_an_agent_is_put_through_before_it_is_answered() {
    let mut stage = Stage { bridge: Bridge::put_through(Duration::from_secs(60)), now: Instant::now() };
    assert_eq!(stage.take(), [Action::Dial]);
    assert_eq!(stage.tell(Input::Ringing { sound: false }), [Action::PassRinging { sound: false }]);
    let early = [Action::PassRinging { sound: true }, Action::Quiet, Action::Join];
    assert_eq!(stage.tell(Input::Ringing { sound: true }), early);
    assert_eq!(stage.tell(Input::Answered), [Action::Quiet, Action::Promote(Role::Far), Action::AnswerNear]);
    assert_eq!(stage.tell(Input::NearUp), []);
    let ends = stage.bridge.poll_timeout().expect("nobody else watches the clock");
    assert_eq!(ends, stage.now + Duration::from_secs(60));
    assert_eq!(stage.ended(Role::Far, EndReason::CalleeHungUp), over(EndReason::CalleeHungUp));

    // What becomes of the callee becomes of the caller.
    for reason in [EndReason::Busy, EndReason::NoAnswer, EndReason::Unreachable] {
        let mut stage = Stage { bridge: Bridge::put_through(Duration::MAX), now: Instant::now() };
        stage.take();
        assert_eq!(stage.ended(Role::New, reason), [Action::Quiet, Action::Quiet, Action::End(reason)]);
    }
    let mut stage = Stage { bridge: Bridge::put_through(Duration::from_secs(60)), now: Instant::now() };
    stage.take();
    stage.tell(Input::Answered);
    stage.now += Duration::from_secs(60);
    stage.bridge.handle_timeout(stage.now);
    assert_eq!(stage.take(), over(EndReason::MaxDuration));
}

#[test]
fn before_the_answer_there_is_nothing_to_transfer() {
    let mut stage = Stage { bridge: Bridge::with_agent(), now: Instant::now() };
    stage.refuses_everything();
    assert_eq!(stage.ended(Role::Near, EndReason::Busy), over(EndReason::Busy));
}

/// Near and far hear each other, and there is music.
fn with_music() -> Stage {
    let mut stage = Stage { bridge: Bridge::with_agent().with_music(true), now: Instant::now() };
    stage.tell(Input::NearUp);
    stage.transfer(TransferMode::Bridge);
    stage.tell(Input::Answered);
    stage
}

#[test]
fn who_is_put_on_hold_hears_music_until_it_is_over() {
    for (holder, held) in [(Role::Near, Role::Far), (Role::Far, Role::Near)] {
        let mut stage = with_music();
        assert_eq!(stage.tell(Input::Holds(holder, true)), [Action::Part, Action::Comfort(held)]);
        assert_eq!(stage.tell(Input::Holds(holder, true)), [], "said twice");
        assert_eq!(stage.tell(Input::Holds(held, true)), [Action::Quiet, Action::Join], "nobody listens");
        assert_eq!(stage.tell(Input::Holds(held, false)), [Action::Part, Action::Comfort(held)]);
        assert_eq!(stage.tell(Input::Holds(holder, false)), [Action::Quiet, Action::Join]);
        assert_eq!(stage.tell(Input::Holds(Role::New, true)), []);
        stage.tell(Input::Holds(holder, true));
        assert_eq!(stage.tell(Input::End(EndReason::ApiHungUp)), over(EndReason::ApiHungUp));
    }
    // Without music the two stay joined: who holds may send some of its own.
    assert_eq!(Stage::joined().tell(Input::Holds(Role::Near, true)), []);
}

#[test]
fn a_hold_ends_with_whoever_has_held() {
    // A phone holds, asks somebody else, and hands the call over.
    let mut stage = with_music();
    stage.tell(Input::Holds(Role::Far, true));
    stage.bridge.refer(Role::Far).expect("it may");
    assert_eq!(stage.take(), [Action::Quiet, Action::Ring(Role::Near), Action::Dial]);
    let done = [Action::Tell(Role::Far, 200), Action::Quiet, Action::Promote(Role::Far), PUT_THROUGH];
    assert_eq!(stage.tell(Input::Answered), [&done[..], &[Action::Join]].concat());
    stage.tell(Input::Holds(Role::Far, true));
    stage.bridge.take_over(Role::Far).expect("it may");
    assert_eq!(stage.take(), [Action::Quiet, Action::Promote(Role::Far), Action::Join]);
    // It does not come to pass, and the hold goes on.
    stage.tell(Input::Holds(Role::Far, true));
    stage.bridge.refer(Role::Far).expect("it may");
    stage.take();
    let failed = stage.ended(Role::New, EndReason::Busy);
    assert_eq!(failed[failed.len() - 2..], [Action::Part, Action::Comfort(Role::Near)]);
    // One leaves for another call, and comes back.
    stage.bridge.give();
    assert_eq!(stage.take(), [Action::Quiet]);
    stage.bridge.take_back();
    assert_eq!(stage.take(), [Action::Part, Action::Comfort(Role::Near)]);
}

#[test]
fn who_holds_while_the_target_rings_is_known_to_hold_when_it_answers() {
    let mut stage = Stage { bridge: Bridge::with_agent().with_music(true), now: Instant::now() };
    stage.tell(Input::NearUp);
    stage.transfer(TransferMode::Bridge);
    assert_eq!(stage.tell(Input::Holds(Role::Near, true)), []);
    stage.tell(Input::Ringing { sound: true });
    let joined =
        [Action::Quiet, Action::Promote(Role::Far), Action::Part, Action::Comfort(Role::Far), PUT_THROUGH];
    assert_eq!(stage.tell(Input::Answered), joined);
}

#[test]
fn who_waits_for_a_swap_hears_what_the_new_leg_sends_before_its_answer() {
    let mut stage = Stage::joined();
    stage.bridge.refer(Role::Near).expect("it may");
    stage.take();
    assert_eq!(stage.tell(Input::Ringing { sound: false }), [Action::Tell(Role::Near, 180)]);
    assert_eq!(stage.tell(Input::Ringing { sound: true }), [Action::Quiet, Action::Overhear(Role::Far)]);
    assert_eq!(stage.tell(Input::Ringing { sound: true }), []);
    let failed = stage.ended(Role::New, EndReason::Busy);
    assert_eq!(failed[..2], [Action::Quiet, Action::Part]);
    assert_eq!(failed.last(), Some(&Action::Join));
}

fn input() -> impl Strategy<Value = Input> {
    let role = prop_oneof![Just(Role::Near), Just(Role::Far), Just(Role::New)];
    prop_oneof![
        Just(Input::NearUp),
        (prop_oneof![Just(100u16), Just(202), Just(200), Just(486)], any::<bool>())
            .prop_map(|(status, over)| Input::Progress { status, over }),
        any::<bool>().prop_map(|sound| Input::Ringing { sound }),
        Just(Input::Answered),
        (role.clone(), any::<bool>()).prop_map(|(role, holds)| Input::Holds(role, holds)),
        role.prop_map(|role| Input::Ended(role, EndReason::Busy)),
    ]
}

proptest! {
    /// It ends once and is silent afterwards; whoever rings is quieted before the end; the agent never has the call twice.
    #[test]
    fn whatever_happens_it_ends_once(
        agent in any::<bool>(),
        music in any::<bool>(),
        steps in prop::collection::vec((0u8..8, input()), 0..40),
    ) {
        let bridge = if agent { Bridge::with_agent() } else { Bridge::put_through(Duration::from_secs(9)) };
        let mut stage = Stage { bridge: bridge.with_music(music), now: Instant::now() };
        let mut log = stage.take();
        for (verb, input) in steps {
            // What is refused does nothing.
            let _ = match verb {
                0 => stage.bridge.transfer(TransferMode::Auto),
                1 => stage.bridge.transfer(TransferMode::Attended),
                2 => stage.bridge.refer(Role::Near),
                3 => stage.bridge.take_over(Role::Far),
                _ => Ok(()),
            };
            log.extend(stage.take());
            log.extend(stage.tell(input));
        }
        log.extend(stage.tell(Input::End(EndReason::ApiHungUp)));
        let ends = log.iter().filter(|action| matches!(action, Action::End(_))).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(matches!(log.last(), Some(Action::End(_))));
        prop_assert_eq!(stage.bridge.poll_timeout(), None);
        let mut away = false;
        let mut rings = false;
        for action in &log {
            match action {
                Action::Away => { prop_assert!(!away); away = true; }
                Action::Back { .. } => { prop_assert!(away); away = false; }
                Action::Ring(_) | Action::Comfort(_) => { prop_assert!(!rings); rings = true; }
                Action::Quiet => rings = false,
                _ => {}
            }
        }
        prop_assert!(!rings);
    }
}
