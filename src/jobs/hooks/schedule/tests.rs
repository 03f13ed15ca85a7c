//! A world of endpoints, lanes and a store, on a virtual clock.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// What a try takes.
const TRY: TimeDelta = TimeDelta::milliseconds(100);
/// What a try takes where nobody answers.
const SILENCE: TimeDelta = TimeDelta::seconds(10);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Well,
    /// Nobody answers until then.
    DownUntil(i64),
    /// It refuses events of this number, and takes all else.
    Refuses(u64),
}

struct Pending {
    seq: u64,
    asked_at: Time,
    tries: u32,
}

struct World {
    now: Time,
    schedule: Schedule,
    endpoints: Vec<Kind>,
    /// The store: lanes with when they are due.
    lanes: BTreeMap<(usize, String), (Time, VecDeque<Pending>)>,
    /// Ends, and of whom.
    flying: Vec<(Time, usize, String)>,
    taken: Vec<(Time, usize, String, u64)>,
    given_up: Vec<(Time, usize, u64)>,
    tries: Vec<usize>,
    most_at_once: usize,
}

fn at(seconds: i64) -> Time {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + seconds)
}

fn id(n: usize) -> WebhookId {
    WebhookId::from_random([u8::try_from(n).unwrap(); 10])
}

impl World {
    fn new(endpoints: Vec<Kind>) -> Self {
        let tries = vec![0; endpoints.len()];
        Self {
            now: at(0),
            schedule: Schedule::new(Webhooks::default()),
            endpoints,
            lanes: BTreeMap::new(),
            flying: Vec::new(),
            taken: Vec::new(),
            given_up: Vec::new(),
            tries,
            most_at_once: 0,
        }
    }

    fn tell(&mut self, endpoint: usize, subject: &str, seq: u64) {
        let now = self.now;
        let lane = self.lanes.entry((endpoint, subject.to_owned())).or_insert((now, VecDeque::new()));
        lane.1.push_back(Pending { seq, asked_at: now, tries: 0 });
    }

    fn look(&mut self) {
        let mut shown: BTreeMap<WebhookId, Vec<Lane>> = BTreeMap::new();
        for ((endpoint, subject), (due, _)) in &self.lanes {
            shown.entry(id(*endpoint)).or_default().push(Lane { subject: subject.clone(), due: Some(*due) });
        }
        let window = self.schedule.window();
        for lanes in shown.values_mut() {
            lanes.sort_by_key(|lane| lane.due);
            lanes.truncate(window);
        }
        self.schedule.handle_lanes(shown.into_iter().collect());
    }

    fn answers(&self, endpoint: usize, seq: u64) -> (bool, TimeDelta) {
        match self.endpoints[endpoint] {
            Kind::Well => (true, TRY),
            Kind::DownUntil(second) => {
                if self.now >= at(second) {
                    (true, TRY)
                } else {
                    (false, SILENCE)
                }
            }
            Kind::Refuses(refused) => (seq != refused, TRY),
        }
    }

    /// Until then, or until nothing is left to do.
    fn run(&mut self, until: Time) {
        loop {
            self.look();
            while let Some((webhook, subject)) = self.schedule.poll_try(self.now) {
                let endpoint = (0..self.endpoints.len()).find(|n| id(*n) == webhook).unwrap();
                assert!(!self.flying.iter().any(|(_, e, s)| (*e, s) == (endpoint, &subject)), "two at once");
                let seq = self.lanes[&(endpoint, subject.clone())].1[0].seq;
                self.flying.push((self.now + self.answers(endpoint, seq).1, endpoint, subject));
                self.tries[endpoint] += 1;
                self.most_at_once = self.most_at_once.max(self.flying.len());
                let of_it = self.flying.iter().filter(|(_, e, _)| *e == endpoint).count();
                assert!(of_it <= self.schedule.settings.at_once_each);
            }
            let landing = self.flying.iter().map(|(end, ..)| *end).min();
            let due = self.schedule.poll_timeout(self.now);
            let Some(next) = landing.into_iter().chain(due).min().filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            assert!(next >= self.now, "time does not go back");
            self.now = next;
            while let Some(n) = self.flying.iter().position(|(end, ..)| *end <= self.now) {
                let (_, endpoint, subject) = self.flying.remove(n);
                self.land(endpoint, subject);
            }
        }
    }

    fn land(&mut self, endpoint: usize, subject: String) {
        let key = (endpoint, subject.clone());
        let seq = self.lanes[&key].1[0].seq;
        let is_taken = self.answers(endpoint, seq).0;
        let head = &mut self.lanes.get_mut(&key).unwrap().1[0];
        head.tries += 1;
        let outcome = if is_taken { Outcome::Taken } else { Outcome::Refused { later: None } };
        let told = (head.tries, head.asked_at);
        let lane_due = match self.schedule.handle_tried(self.now, &id(endpoint), outcome, told, 0.5) {
            Verdict::Again { lane, next } => {
                assert!(next >= self.now && lane <= next);
                lane
            }
            verdict => {
                let (now, head) = (self.now, self.lanes.get_mut(&key).unwrap().1.pop_front().unwrap());
                match verdict {
                    Verdict::Delivered => self.taken.push((now, endpoint, subject.clone(), head.seq)),
                    _ => self.given_up.push((now, endpoint, head.seq)),
                }
                now
            }
        };
        let lane = self.lanes.get_mut(&key).unwrap();
        lane.0 = lane_due;
        if lane.1.is_empty() {
            self.lanes.remove(&key);
        }
        if let Some(before) = self.schedule.give_up_before(self.now, &id(endpoint)) {
            let now = self.now;
            for ((of, _), (_, pending)) in &mut self.lanes {
                while *of == endpoint && pending.front().is_some_and(|one| one.asked_at < before) {
                    self.given_up.push((now, endpoint, pending.pop_front().unwrap().seq));
                }
            }
            self.lanes.retain(|_, (_, pending)| !pending.is_empty());
        }
        self.schedule.handle_written(self.now, &id(endpoint), &subject, true);
    }

    fn order_holds(&self) {
        let mut last: BTreeMap<(usize, &str), u64> = BTreeMap::new();
        for (_, endpoint, subject, seq) in &self.taken {
            let before = last.insert((*endpoint, subject), *seq);
            assert!(before.is_none_or(|before| before < *seq), "{subject}: {seq} after {before:?}");
        }
    }
}

#[test]
fn a_dead_endpoint_delays_no_other_and_costs_little() {
    let mut world = World::new(vec![Kind::DownUntil(i64::MAX / 2_000_000), Kind::Well]);
    for call in 0..500 {
        world.tell(0, &format!("dead-{call}"), 1);
    }
    for minute in 0..60 {
        world.tell(1, &format!("well-{minute}"), 1);
        world.run(at(60 * (minute + 1)));
        assert_eq!(world.taken.len(), usize::try_from(minute + 1).unwrap());
        let (taken, ..) = world.taken.last().unwrap();
        assert!(*taken - at(60 * minute) <= TRY, "at once, whatever the other does");
    }
    assert!(world.tries[0] < 20, "{} tries in an hour", world.tries[0]);
}

#[test]
fn when_an_endpoint_comes_back_everything_arrives_in_order_and_soon() {
    let mut world = World::new(vec![Kind::DownUntil(7200)]);
    for seq in 1..=5 {
        (0..100).for_each(|call| world.tell(0, &format!("call-{call}"), seq));
        world.run(at(i64::try_from(seq).unwrap() * 600));
    }
    world.run(at(7200 + 3600 * 12 / 10 + 60));
    assert_eq!((world.taken.len(), world.lanes.len()), (500, 0));
    world.order_holds();
    // The wait that was running when it came back, and no lane's own.
    let (first, last) = (world.taken[0].0, world.taken[499].0);
    assert!(last - first < TimeDelta::seconds(30), "{}", last - first);
}

#[test]
fn what_is_refused_again_and_again_holds_up_its_own_lane_alone_and_not_for_ever() {
    let mut world = World::new(vec![Kind::Refuses(2)]);
    for seq in 1..=3 {
        world.tell(0, "poisoned", seq);
    }
    for hour in 0..30 {
        world.tell(0, &format!("other-{hour}"), 1);
        world.run(at(3600 * (hour + 1)));
    }
    world.order_holds();
    assert_eq!(world.given_up.iter().map(|(_, _, seq)| *seq).collect::<Vec<_>>(), [2]);
    let (given_up, ..) = world.given_up[0];
    assert!((at(24 * 3600)..at(26 * 3600)).contains(&given_up), "{given_up}");
    assert!(world.taken.iter().any(|(_, _, subject, seq)| subject == "poisoned" && *seq == 3));
    assert_eq!(world.taken.len(), 30 + 2);
    // 5 s, 15 s, 45 s, … up to an hour.
    assert!((25..40).contains(&(world.tries[0] - 32)), "{} tries", world.tries[0] - 32);
}

#[test]
fn what_a_dead_endpoint_never_took_is_given_up_after_a_day() {
    let mut world = World::new(vec![Kind::DownUntil(i64::MAX / 2_000_000)]);
    (0..200).for_each(|call| world.tell(0, &format!("call-{call}"), 1));
    world.run(at(26 * 3600));
    assert_eq!((world.given_up.len(), world.lanes.len()), (200, 0));
    assert!(world.given_up.iter().all(|(when, ..)| *when >= at(24 * 3600)));
}

#[test]
fn what_is_asked_for_by_hand_goes_at_once_and_wakes_the_endpoint() {
    let mut schedule = Schedule::new(Webhooks::default());
    let lane = |subject: &str, due| Lane { subject: subject.into(), due };
    schedule.handle_lanes(vec![(id(0), vec![lane("a", Some(at(0)))])]);
    for _ in 0..5 {
        let now = schedule.poll_timeout(at(0)).unwrap().max(at(0));
        schedule.poll_try(now).unwrap();
        schedule.handle_tried(now, &id(0), Outcome::Refused { later: None }, (1, at(0)), 0.5);
        schedule.handle_written(now, &id(0), "a", true);
        schedule.handle_lanes(vec![(id(0), vec![lane("a", Some(now))])]);
    }
    assert_eq!(schedule.poll_try(at(1)), None);
    schedule.handle_lanes(vec![(id(0), vec![lane("b", None), lane("a", Some(at(0)))])]);
    assert_eq!(schedule.poll_try(at(1)), Some((id(0), "b".into())));
    assert_eq!(schedule.handle_tried(at(2), &id(0), Outcome::Taken, (1, at(1)), 0.5), Verdict::Delivered);
    schedule.handle_written(at(2), &id(0), "b", true);
    assert_eq!(schedule.poll_try(at(2)), Some((id(0), "a".into())));
}

#[test]
fn a_clock_that_is_set_back_or_forward_stops_nothing() {
    let mut schedule = Schedule::new(Webhooks::default());
    let day = 86_400;
    schedule.handle_lanes(vec![(id(0), vec![Lane { subject: "a".into(), due: Some(at(3 * day)) }])]);
    assert_eq!(schedule.poll_try(at(0)), Some((id(0), "a".into())));
    // Failing, with a wait that began three days ahead.
    for _ in 0..5 {
        schedule.handle_tried(at(3 * day), &id(0), Outcome::Refused { later: None }, (1, at(0)), 0.5);
    }
    schedule.handle_written(at(3 * day), &id(0), "a", false);
    schedule.handle_lanes(vec![(id(0), vec![Lane { subject: "a".into(), due: Some(at(0)) }])]);
    assert_eq!(schedule.poll_try(at(1)), Some((id(0), "a".into())));
}

#[test]
fn an_endpoint_that_asks_for_time_gets_it_within_bounds() {
    let mut schedule = Schedule::new(Webhooks::default());
    let mut refused = |seconds| {
        let later = Some(Duration::from_secs(seconds));
        schedule.handle_tried(at(0), &id(0), Outcome::Refused { later }, (1, at(0)), 0.5)
    };
    assert_eq!(refused(120), Verdict::Again { lane: at(120), next: at(120) });
    assert_eq!(refused(1_000_000), Verdict::Again { lane: at(3600), next: at(3600) });
}

#[test]
fn a_disk_that_refuses_is_left_alone_for_a_while() {
    let mut schedule = Schedule::new(Webhooks::default());
    let lanes = || vec![(id(0), vec![Lane { subject: "a".into(), due: Some(at(0)) }])];
    schedule.handle_lanes(lanes());
    schedule.poll_try(at(0)).unwrap();
    schedule.handle_written(at(0), &id(0), "a", false);
    schedule.handle_lanes(lanes());
    assert_eq!((schedule.poll_try(at(1)), schedule.poll_timeout(at(1))), (None, Some(at(5))));
    assert!(schedule.poll_try(at(5)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Endpoints that go down and come back, calls that tell at random times: everything arrives, in order, within the bounds.
    #[test]
    fn nothing_is_lost_and_nothing_overtakes(
        downs in prop::collection::vec(0..10_000i64, 1..4),
        told in prop::collection::vec((0..4usize, 0..6u8, 0..300i64), 1..200),
    ) {
        let mut world = World::new(downs.iter().map(|until| Kind::DownUntil(*until)).collect());
        let mut seqs: BTreeMap<(usize, u8), u64> = BTreeMap::new();
        let mut expected = 0;
        let mut second = 0;
        for (endpoint, call, pause) in told {
            let endpoint = endpoint % downs.len();
            let seq = seqs.entry((endpoint, call)).or_insert(0);
            *seq += 1;
            world.tell(endpoint, &format!("call-{call}"), *seq);
            expected += 1;
            second += pause % 60;
            world.run(at(second));
        }
        world.run(at(86_000));
        world.order_holds();
        prop_assert_eq!(world.taken.len(), expected);
        prop_assert!(world.given_up.is_empty() && world.lanes.is_empty());
        prop_assert!(world.most_at_once <= world.schedule.settings.at_once);
    }
}
