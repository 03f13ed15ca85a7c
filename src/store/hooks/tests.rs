use super::*;
use crate::domain::{CallId, EventKind, Private, endpoint};

/// Subject, and when it is due.
type Due = (String, Option<DateTime<Utc>>);

struct Box {
    store: Store,
    _folder: tempfile::TempDir,
}

fn with(endpoints: &[Webhook]) -> Box {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for webhook in endpoints {
        assert!(store.add_webhook(webhook).unwrap());
    }
    Box { store, _folder: folder }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::Duration::seconds(second)
}

fn event(call: u8, seq: u64) -> Event {
    let (subject, account) = (CallId::from_random([call; 10]).into(), AccountId::house());
    let second = i64::from(call) * 100 + i64::try_from(seq).unwrap();
    let kind = EventKind::TranscriptReady { fragments: 1 };
    Event { subject, account, agent_id: None, seq, at: at(second), kind }
}

impl Box {
    fn tell(&self, events: &[Event]) {
        self.store.change(|tx| super::super::events::tell(tx, events)).unwrap();
    }

    fn lanes(&self) -> Vec<(u8, Vec<Due>)> {
        let name = |id: &WebhookId| (1..9).find(|n| endpoint(*n).id == *id).unwrap();
        let flat = |lanes: Vec<Lane>| lanes.into_iter().map(|lane| (lane.subject, lane.due)).collect();
        let lanes = self.store.lanes(3).unwrap();
        lanes.into_iter().map(|(webhook, lanes)| (name(&webhook), flat(lanes))).collect()
    }

    fn head(&self, webhook: u8, call: u8) -> Option<Head> {
        self.store.head(&endpoint(webhook).id, event(call, 1).subject.as_str()).unwrap()
    }

    fn settle(&self, delivery: Delivery, status: DeliveryStatus, due: DateTime<Utc>) {
        let delivery = Delivery { status, tries: delivery.tries + 1, ..delivery };
        self.store.settle(&[Settled { delivery, due, give_up_before: None }]).unwrap();
    }
}

fn subject(call: u8) -> String {
    event(call, 1).subject.as_str().to_owned()
}

#[test]
fn an_event_is_queued_once_for_each_endpoint_that_wants_it_and_lanes_keep_its_order() {
    let digits = Webhook { events: vec!["call.dtmf".into()], ..endpoint(2) };
    let off = Webhook { enabled: false, ..endpoint(3) };
    let house = with(&[endpoint(1), digits, off, endpoint(4)]);
    house.tell(&[event(1, 1), event(1, 2)]);
    house.tell(&[event(2, 1), event(1, 2)]);
    let both = vec![(subject(1), Some(at(101))), (subject(2), Some(at(201)))];
    assert_eq!(house.lanes(), [(1, both.clone()), (4, both)]);
    assert_eq!(house.store.deliveries_pending().unwrap(), 6);

    // A failed try puts the lane off, whatever comes behind it meanwhile.
    let first = house.head(1, 1).unwrap();
    assert_eq!((first.delivery.seq, first.event), (1, Some(event(1, 1))));
    house.settle(first.delivery, DeliveryStatus::Pending, at(900));
    house.tell(&[event(1, 3)]);
    assert_eq!(house.lanes()[0].1, [(subject(2), Some(at(201))), (subject(1), Some(at(900)))]);
    assert_eq!(house.head(1, 1).unwrap().delivery.tries, 1);
    // What is over makes room for the next of its lane.
    for seq in 1..=3 {
        let head = house.head(1, 1).unwrap();
        assert_eq!(head.delivery.seq, seq);
        house.settle(head.delivery, DeliveryStatus::Delivered, at(901));
    }
    assert!(house.head(1, 1).is_none());
    assert_eq!(house.lanes()[0], (1, vec![(subject(2), Some(at(201)))]));
    // Told again, it is not queued again.
    house.tell(&[event(1, 3)]);
    assert!(house.head(1, 1).is_none());
}

#[test]
fn what_is_over_can_be_asked_for_again_and_goes_first() {
    let house = with(&[endpoint(1)]);
    house.tell(&[event(1, 1), event(1, 2)]);
    let id = house.head(1, 1).unwrap().delivery.id;
    let again = |now| house.store.deliver_again(&endpoint(1).id, &id, now).unwrap();
    assert_eq!(again(at(300)), Asked::Pending);
    house.settle(house.head(1, 1).unwrap().delivery, DeliveryStatus::Failed, at(300));
    house.settle(house.head(1, 1).unwrap().delivery, DeliveryStatus::Pending, at(9000));
    assert!(matches!(again(at(400)), Asked::Queued(delivery) if delivery.asked_again_at == Some(at(400))));
    assert_eq!(house.lanes(), [(1, vec![(subject(1), None)])]);
    assert_eq!(house.head(1, 1).unwrap().delivery.seq, 1);
    assert_eq!(house.store.deliver_again(&endpoint(2).id, &id, at(1)).unwrap(), Asked::Missing);
    let test = Delivery::test(&endpoint(1), [9; 10], at(500));
    house.store.queue_test(&test).unwrap();
    assert_eq!(house.lanes()[0].1.len(), 2);
    let head = house.store.head(&endpoint(1).id, endpoint(1).id.as_str()).unwrap().unwrap();
    assert_eq!((head.delivery, head.event), (test, None));
}

#[test]
fn an_endpoint_that_is_off_waits_and_one_that_is_gone_takes_its_deliveries_along() {
    let house = with(&[endpoint(1), endpoint(2)]);
    house.tell(&[event(1, 1), event(2, 1), event(3, 1)]);
    let account = AccountId::house();
    let switch = |enabled| {
        let act = |webhook: &mut Webhook| webhook.enabled = enabled;
        house.store.change_webhook(&account, &endpoint(1).id, act).unwrap().unwrap();
    };
    switch(false);
    assert_eq!(house.lanes().len(), 1);
    switch(true);
    assert_eq!(house.lanes().len(), 2);
    house.settle(house.head(1, 2).unwrap().delivery, DeliveryStatus::Delivered, at(999));

    let other = AccountId::from_name("other");
    assert!(!house.store.remove_webhook(&other, &endpoint(1).id).unwrap());
    assert!(house.store.remove_webhook(&account, &endpoint(1).id).unwrap());
    assert_eq!((house.lanes().len(), house.store.deliveries_pending().unwrap()), (1, 5));
    while house.store.forget_gone_webhooks(2).unwrap() {}
    assert_eq!(house.store.deliveries_pending().unwrap(), 3);
    let left = house.store.deliveries_page(&endpoint(1).id, None, None, None, 9).unwrap();
    assert!(left.items.is_empty());
    assert_eq!(house.lanes()[0].1.len(), 3);
}

#[test]
fn what_nobody_took_in_time_is_given_up_together_and_what_is_old_is_forgotten() {
    let house = with(&[endpoint(1), endpoint(2)]);
    house.tell(&[event(1, 1), event(1, 2), event(2, 1), event(9, 1)]);
    let delivery = house.head(1, 1).unwrap().delivery;
    let settled = Settled { delivery, due: at(950), give_up_before: Some(at(900)) };
    house.store.settle(&[settled]).unwrap();
    let failed = |n| {
        let status = Some(DeliveryStatus::Failed);
        house.store.deliveries_page(&endpoint(n).id, status, None, None, 9).unwrap().items.len()
    };
    assert_eq!((failed(1), failed(2)), (3, 0));
    assert_eq!(house.lanes()[0], (1, vec![(subject(9), Some(at(901)))]));
    assert!(!house.store.forget_deliveries(&endpoint(1).id, at(102), 9).unwrap());
    assert_eq!(failed(1), 2);
    assert!(house.store.forget_deliveries(&endpoint(1).id, at(902), 2).unwrap());
    assert_eq!((failed(1), house.store.deliveries_pending().unwrap()), (0, 5));
}

#[test]
fn what_is_given_up_or_asked_for_anew_while_it_is_tried_stays_so() {
    let house = with(&[endpoint(1)]);
    house.tell(&[event(1, 1), event(2, 1)]);
    let [first, second] = [1, 2].map(|call| house.head(1, call).unwrap().delivery);
    let settled = |delivery: &Delivery, status, give_up_before| {
        let delivery = Delivery { status, tries: 1, ..delivery.clone() };
        Settled { delivery, due: at(950), give_up_before }
    };
    let again = settled(&first, DeliveryStatus::Pending, Some(at(900)));
    let late = settled(&second, DeliveryStatus::Pending, None);
    house.store.settle(&[again, late]).unwrap();
    let stored = |of: &Delivery| house.store.delivery(&of.id).unwrap().unwrap();
    assert_eq!(
        (stored(&first).status, stored(&second).status),
        (DeliveryStatus::Failed, DeliveryStatus::Failed)
    );
    assert_eq!((house.lanes(), house.store.deliveries_pending().unwrap()), (vec![], 0));
    // An answer that comes after all is an answer.
    house.store.settle(&[settled(&second, DeliveryStatus::Delivered, None)]).unwrap();
    assert_eq!((stored(&second).status, house.lanes()), (DeliveryStatus::Delivered, vec![]));
    house.store.deliver_again(&endpoint(1).id, &first.id, at(960)).unwrap();
    house.store.settle(&[settled(&first, DeliveryStatus::Delivered, None)]).unwrap();
    assert_eq!((stored(&first).status, house.lanes().len()), (DeliveryStatus::Pending, 1));
}

#[test]
fn an_account_has_no_more_than_so_many_endpoints() {
    let house = with(&[]);
    for n in 0..100 {
        assert!(house.store.add_webhook(&endpoint(n)).unwrap());
    }
    assert!(!house.store.add_webhook(&endpoint(100)).unwrap());
    let other = Webhook { account: AccountId::from_name("other"), ..endpoint(101) };
    assert!(house.store.add_webhook(&other).unwrap());
}

#[test]
fn digits_are_told_only_to_who_asks() {
    let house = with(&[endpoint(1), Webhook { events: vec!["call.dtmf".into()], ..endpoint(2) }]);
    house
        .tell(&[Event { kind: EventKind::Dtmf { digit: Private::new('1'), duration_ms: 1 }, ..event(1, 1) }]);
    assert_eq!(house.lanes().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2]);
}
