//! Who hears whom in a call of several legs: a state machine without IO, clock or task.
//!
//! A call has a *near* leg: whoever called, or was called. It talks with an agent, or is joined with a *far* leg. A *new* leg is
//! being called: to become the far one, or to take the place of another.
//!
//! # States
//!
//! | state | who hears whom | leaves it when |
//! |---|---|---|
//! | `Alone` | near and the agent | a transfer is asked for → `Referring` or `Calling`; near sends us on → `Swapping` |
//! | `Referring` | near, which was asked (REFER) to call the target itself, hears nothing | it did → over; it did not → `Calling` or `Alone` |
//! | `Calling` | near hears ringback or music, or what the new leg sends before its answer | answer → `Joined` or `Handing`; none → `Alone`, or over where there is no agent |
//! | `Joined` | near and far; while one of them holds and there is music, the other hears that | either hangs up → over; one of them sends us on → `Swapping` |
//! | `Handing` | near and far, while near is asked to call far itself in our place (Replaces) | it did → over; it did not → `Joined`; far is gone → `Parting` |
//! | `Parting` | nobody: far's new call has replaced ours, near has not yet said so | near tells, or hangs up, or 10 s → over |
//! | `Swapping` | the other side hears ringback or music, or what the new leg sends before its answer, while that is called in the place of one | answer → as before, with the new one; none → as before |
//! | `Over` | nobody | never |
//!
//! # Inputs
//!
//! | input | `Alone` | `Referring` | `Calling` | `Joined` | `Handing` | `Parting` | `Swapping` |
//! |---|---|---|---|---|---|---|---|
//! | transfer | begin | refused | refused | swap far | refused | refused | refused |
//! | REFER of near or far | swap it | refused | refused | swap it | refused | refused | refused |
//! | INVITE with Replaces | take over | refused | refused | take over | refused | refused | refused |
//! | progress, final 2xx | – | over: transferred | – | – | over: transferred | over: transferred | – |
//! | progress, final failure | – | call, or back to the agent | – | – | joined | over | – |
//! | new rings | – | – | pass it on | – | – | – | tell who asked |
//! | new is heard | – | – | join early | – | – | – | the other hears it |
//! | near or far holds, or no more | noted | noted | noted | music for the other, or joined again | likewise | noted | noted |
//! | new answers | – | – | join | – | – | – | swap |
//! | new fails | – | – | back to the agent, or over | – | – | – | as before, or over if who asked is gone |
//! | near ends | over | over: transferred, if it had accepted | over | over | over, likewise | over: transferred | it asked: go on; else over |
//! | far ends | – | – | – | over | parting | – | likewise |
//! | end | over | over | over | over | over | over | over |

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::domain::{EndReason, TransferMode};

/// Which leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Near,
    Far,
    New,
}

/// What the world tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input {
    /// The near leg is up.
    NearUp,
    /// How near fares, whom we sent on.
    Progress { status: u16, over: bool },
    /// The new leg rings; `sound`: and something is heard of it.
    Ringing { sound: bool },
    /// A leg wants to hear nothing for now, or to hear again.
    Holds(Role, bool),
    /// The new leg was answered.
    Answered,
    /// A leg is gone, or never came.
    Ended(Role, EndReason),
    /// The call shall end.
    End(EndReason),
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// The agent leaves the near leg …
    Away,
    /// … and has it again. `failed`: with an apology.
    Back {
        failed: bool,
    },
    /// REFER to near.
    Refer,
    /// Call the target: the new leg.
    Dial,
    /// Ringback, or music where there is some …
    Ring(Role),
    /// … music, for whom the other one holds …
    Comfort(Role),
    /// … and the end of either.
    Quiet,
    /// The new leg's ringing goes on to near, which has not been answered.
    PassRinging {
        sound: bool,
    },
    AnswerNear,
    /// Near and far hear each other; where there is no far leg yet, near and new.
    Join,
    /// This one hears the new leg, in the place of the one that is being swapped.
    Overhear(Role),
    Part,
    /// The new leg takes this place; who had it is hung up.
    Promote(Role),
    /// REFER with Replaces to near: far.
    Hand,
    /// NOTIFY to who sent us on.
    Tell(Role, u16),
    Note(Note),
    /// Hang up what is left.
    End(EndReason),
}

/// What the record of the call learns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Note {
    /// `bridged`: the call goes on through us.
    Transferred {
        bridged: bool,
    },
    Failed(EndReason),
}

/// It cannot be done in this state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the call is being set up, transferred already, or ending")]
pub struct NotNow;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Alone,
    Referring {
        bridge_next: bool,
        accepted: bool,
    },
    Calling {
        attended: bool,
        /// Near hears the new leg already.
        sounding: bool,
    },
    Joined,
    Handing {
        accepted: bool,
    },
    Parting {
        until: Instant,
    },
    Swapping {
        place: Role,
        /// Who had the place hung up after asking.
        gone: bool,
        /// Near and far were joined before; else near was with the agent.
        joined: bool,
        /// Who has the place asked for it, and wants to know.
        tell: bool,
        /// The other one hears the new leg already.
        sounding: bool,
    },
    Over,
}

/// What near may take to say that it has called far in our place.
const PARTING: Duration = Duration::from_secs(10);

pub(super) struct Bridge {
    state: State,
    has_agent: bool,
    near_up: bool,
    /// There is music for who waits.
    has_music: bool,
    near_holds: bool,
    far_holds: bool,
    /// Who hears music because the other one holds.
    comforted: Option<Role>,
    /// Without an agent nobody else watches the clock.
    longest: Duration,
    ends_at: Option<Instant>,
    actions: VecDeque<Action>,
}

impl Bridge {
    /// For a call with an agent.
    pub(super) fn with_agent() -> Self {
        Self {
            state: State::Alone,
            has_agent: true,
            near_up: false,
            has_music: false,
            near_holds: false,
            far_holds: false,
            comforted: None,
            longest: Duration::MAX,
            ends_at: None,
            actions: VecDeque::new(),
        }
    }

    /// For a call that is put through at once, before it is answered.
    pub(super) fn put_through(longest: Duration) -> Self {
        let mut bridge = Self { has_agent: false, longest, ..Self::with_agent() };
        bridge.call(false);
        bridge
    }

    /// There is music for who waits.
    pub(super) fn with_music(mut self, has_music: bool) -> Self {
        self.has_music = has_music;
        self
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            State::Parting { until } => Some(self.ends_at.map_or(until, |at| at.min(until))),
            _ => self.ends_at,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Over {
            return;
        }
        if self.ends_at.is_some_and(|at| now >= at) {
            return self.over(EndReason::MaxDuration);
        }
        if let State::Parting { until } = self.state
            && now >= until
        {
            self.over(EndReason::TargetHungUp);
        }
    }

    /// Whether two peers talk with each other, not one of them with the agent.
    pub(super) fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined | State::Handing { .. })
    }

    /// Whether near is with the agent, and nobody else in sight.
    pub(super) fn is_alone(&self) -> bool {
        self.state == State::Alone
    }

    /// Whether the far leg may leave for another call: it is joined, and nothing else is under way.
    pub(super) fn may_give(&self) -> bool {
        self.state == State::Joined
    }

    /// The far leg leaves for another call, if it [may](Self::may_give).
    pub(super) fn give(&mut self) {
        self.part();
    }

    /// The far leg that left has come back.
    pub(super) fn take_back(&mut self) {
        self.connect();
    }

    /// Whether the call goes on without near: it asked to be replaced, and is gone before it was.
    pub(super) fn survives_near(&self) -> bool {
        matches!(self.state, State::Swapping { place: Role::Near, tell: true, .. })
    }

    /// Sends the call on, or through, to a target that the owner knows.
    pub(super) fn transfer(&mut self, mode: TransferMode) -> Result<(), NotNow> {
        match (self.state, mode) {
            (State::Alone, _) if !self.near_up => return Err(NotNow),
            (State::Alone, TransferMode::Refer | TransferMode::Auto) => {
                self.act([Action::Away, Action::Refer]);
                let bridge_next = mode == TransferMode::Auto;
                self.state = State::Referring { bridge_next, accepted: false };
            }
            (State::Alone, TransferMode::Bridge | TransferMode::Attended) => {
                self.act([Action::Away]);
                self.call(mode == TransferMode::Attended);
            }
            (State::Joined, TransferMode::Bridge | TransferMode::Auto) => {
                self.swap(Role::Far, false);
            }
            _ => return Err(NotNow),
        }
        Ok(())
    }

    /// One of the legs asks that its place be given to somebody else.
    pub(super) fn refer(&mut self, by: Role) -> Result<(), NotNow> {
        match (self.state, by) {
            (State::Alone, Role::Near) if self.near_up => self.act([Action::Away]),
            (State::Joined, Role::Near | Role::Far) => {}
            _ => return Err(NotNow),
        }
        self.swap(by, true);
        Ok(())
    }

    /// Somebody who is on the line already takes the place of a leg.
    pub(super) fn take_over(&mut self, place: Role) -> Result<(), NotNow> {
        match (self.state, place) {
            (State::Alone, Role::Near) if self.near_up => {
                self.act([Action::Away, Action::Promote(place), Action::Back { failed: false }]);
            }
            (State::Joined, Role::Near | Role::Far) => {
                if self.comforted.take().is_some() {
                    self.act([Action::Quiet]);
                }
                self.act([Action::Promote(place)]);
                self.is_new(place);
                self.connect();
            }
            _ => return Err(NotNow),
        }
        Ok(())
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input) {
        match (self.state, input) {
            (State::Over, _) => {}
            (_, Input::End(reason)) => self.over(reason),
            (_, Input::NearUp) => self.near_up = true,
            (_, Input::Progress { status, over: false }) => self.progress(status),
            (_, Input::Progress { status, over: true }) => self.outcome(status),
            (State::Calling { attended, sounding }, Input::Ringing { sound }) => {
                if !self.near_up {
                    self.act([Action::PassRinging { sound }]);
                }
                if sound && !sounding {
                    self.act([Action::Quiet, Action::Join]);
                    self.state = State::Calling { attended, sounding: true };
                }
            }
            (State::Swapping { place, gone, joined, tell, sounding }, Input::Ringing { sound }) => {
                if tell && !gone && !sound {
                    self.act([Action::Tell(place, 180)]);
                }
                if joined && sound && !sounding {
                    self.act([Action::Quiet, Action::Overhear(other(place))]);
                    self.state = State::Swapping { place, gone, joined, tell, sounding: true };
                }
            }
            (State::Calling { attended, sounding }, Input::Answered) => self.join(now, attended, sounding),
            (State::Swapping { place, gone, joined, tell, .. }, Input::Answered) => {
                if tell && !gone {
                    self.act([Action::Tell(place, 200)]);
                }
                let note = Action::Note(Note::Transferred { bridged: true });
                self.act([Action::Quiet, Action::Promote(place), note]);
                self.is_new(place);
                self.settle(joined);
            }
            (_, Input::Holds(role, holds)) => self.holds(role, holds),
            (_, Input::Ended(role, reason)) => self.ended(now, role, reason),
            _ => {}
        }
    }

    fn ended(&mut self, now: Instant, role: Role, reason: EndReason) {
        match (self.state, role) {
            (State::Calling { sounding, .. }, Role::New) => {
                self.act([Action::Quiet]);
                if sounding {
                    self.act([Action::Part]);
                }
                self.came_to_nothing(reason);
            }
            (State::Swapping { place, gone, joined, tell, sounding }, Role::New) => {
                self.act([Action::Quiet]);
                if sounding {
                    self.act([Action::Part]);
                }
                self.act([Action::Note(Note::Failed(reason))]);
                if gone {
                    return self.over(reason);
                }
                if tell {
                    self.act([Action::Tell(place, reason.sip_status())]);
                }
                self.settle(joined);
            }
            // Some phones hang up as soon as their REFER was accepted; what they asked for is done all the same.
            (State::Swapping { place, joined, tell: true, sounding, .. }, _) if role == place => {
                self.state = State::Swapping { place, gone: true, joined, tell: true, sounding };
            }
            (
                State::Referring { accepted: true, .. }
                | State::Handing { accepted: true }
                | State::Parting { .. },
                Role::Near,
            ) => self.handed_on(),
            (State::Handing { .. }, Role::Far) => self.state = State::Parting { until: now + PARTING },
            (_, Role::Near) => self.over(reason),
            (_, Role::Far) if self.has_agent && reason == EndReason::CalleeHungUp => {
                self.over(EndReason::TargetHungUp);
            }
            (_, Role::Far) => self.over(reason),
            (_, Role::New) => {}
        }
    }

    fn progress(&mut self, status: u16) {
        // 100 to 199 come by NOTIFY, which says that the REFER was taken as much as its 202 does.
        if status >= 300 {
            return;
        }
        match &mut self.state {
            State::Referring { accepted, .. } | State::Handing { accepted } => *accepted = true,
            _ => {}
        }
    }

    fn outcome(&mut self, status: u16) {
        match (self.state, status) {
            (State::Referring { .. } | State::Handing { .. } | State::Parting { .. }, 200..=299) => {
                self.handed_on();
            }
            (State::Referring { bridge_next: true, .. }, _) => self.call(false),
            (State::Referring { bridge_next: false, .. }, _) => self.came_to_nothing(reason_of(status)),
            (State::Handing { .. }, _) => self.state = State::Joined,
            (State::Parting { .. }, _) => self.over(EndReason::TargetHungUp),
            _ => {}
        }
    }

    fn handed_on(&mut self) {
        self.act([Action::Note(Note::Transferred { bridged: false })]);
        self.over(EndReason::Transferred);
    }

    fn call(&mut self, attended: bool) {
        if self.near_up {
            self.act([Action::Ring(Role::Near)]);
        }
        self.act([Action::Dial]);
        self.state = State::Calling { attended, sounding: false };
    }

    fn join(&mut self, now: Instant, attended: bool, sounding: bool) {
        self.act([Action::Quiet, Action::Promote(Role::Far)]);
        if !self.near_up {
            self.near_up = true;
            self.act([Action::AnswerNear]);
        }
        self.is_new(Role::Far);
        if !sounding || self.held().is_some() {
            self.connect();
        }
        if self.has_agent {
            self.act([Action::Note(Note::Transferred { bridged: true })]);
        } else {
            self.ends_at = now.checked_add(self.longest);
        }
        self.state = State::Joined;
        if attended {
            self.act([Action::Hand]);
            self.state = State::Handing { accepted: false };
        }
    }

    fn swap(&mut self, place: Role, tell: bool) {
        let joined = self.state == State::Joined;
        if joined {
            self.part();
            self.act([Action::Ring(other(place))]);
        }
        self.act([Action::Dial]);
        self.state = State::Swapping { place, gone: false, joined, tell, sounding: false };
    }

    /// Near and far hear each other; where one holds and there is music, the other hears that.
    fn connect(&mut self) {
        self.comforted = self.held();
        match self.comforted {
            Some(role) => self.act([Action::Part, Action::Comfort(role)]),
            None => self.act([Action::Join]),
        }
    }

    fn part(&mut self) {
        match self.comforted.take() {
            Some(_) => self.act([Action::Quiet]),
            None => self.act([Action::Part]),
        }
    }

    /// Who is to hear music because the other one holds.
    fn held(&self) -> Option<Role> {
        match (self.near_holds, self.far_holds) {
            (true, false) if self.has_music => Some(Role::Far),
            (false, true) if self.has_music => Some(Role::Near),
            _ => None,
        }
    }

    fn holds(&mut self, role: Role, holds: bool) {
        match role {
            Role::Near => self.near_holds = holds,
            Role::Far => self.far_holds = holds,
            Role::New => {}
        }
        if !self.is_joined() || self.comforted == self.held() {
            return;
        }
        if self.comforted.is_some() {
            self.act([Action::Quiet]);
        }
        self.connect();
    }

    /// Somebody else has this place, who holds nobody yet.
    fn is_new(&mut self, place: Role) {
        match place {
            Role::Near => self.near_holds = false,
            Role::Far => self.far_holds = false,
            Role::New => {}
        }
    }

    /// After a swap, done or not.
    fn settle(&mut self, joined: bool) {
        if joined {
            self.connect();
            self.state = State::Joined;
        } else {
            self.act([Action::Back { failed: false }]);
            self.state = State::Alone;
        }
    }

    fn came_to_nothing(&mut self, reason: EndReason) {
        if !self.has_agent {
            return self.over(reason);
        }
        self.act([Action::Note(Note::Failed(reason)), Action::Back { failed: true }]);
        self.state = State::Alone;
    }

    fn over(&mut self, reason: EndReason) {
        self.act([Action::Quiet, Action::End(reason)]);
        self.state = State::Over;
    }

    fn act<const N: usize>(&mut self, actions: [Action; N]) {
        self.actions.extend(actions);
    }
}

fn other(place: Role) -> Role {
    if place == Role::Near { Role::Far } else { Role::Near }
}

/// What a refused REFER means.
fn reason_of(status: u16) -> EndReason {
    match status {
        486 | 600 => EndReason::Busy,
        408 | 480 | 487 => EndReason::NoAnswer,
        603 => EndReason::Declined,
        404 | 410 | 484 | 604 => EndReason::Unreachable,
        _ => EndReason::TrunkFailed,
    }
}

#[cfg(test)]
mod tests;
