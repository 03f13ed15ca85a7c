//! The directory over a store that outlives it.

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::domain::{Event, NumberKind};
use crate::store::{Entry, Record};

const POOL: &str = "[numbers]\nquarantine_days = 2\n[[trunk]]\nname='a'\nallow=['192.0.2.0/24']\n\
    [[trunk]]\nname='b'\nallow=['198.51.100.0/24']\n[[agent]]\nname='desk'\n\
    [[number]]\nnumber='+14155550101'\ntrunk='a'\n\
    [[number]]\nnumber='+14155550102'\ntrunk='a'\ncountry='CA'\narea_code='99'\nkind='mobile'\n";

fn config(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|list| panic!("{list:#?}"))
}

fn day(n: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(n)
}

fn keep(store: &Store, directory: &Directory, number: &Number, event: Event) {
    store.record(&[Entry { record: Record::Number(Box::new(number.clone())), events: vec![event] }]).unwrap();
    directory.put_number(number);
}

fn free(directory: &Directory, now: DateTime<Utc>) -> Vec<&str> {
    directory.available(now).map(|(_, one)| one.number.as_str()).collect()
}

#[test]
fn a_provisioned_number_outlives_the_process_and_follows_its_trunk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let clinic = AccountId::from_name("clinic");
    let directory = Directory::open(&config(POOL), &store, day(0)).unwrap();
    let (_, one) = directory.available(day(0)).next().unwrap();
    let number = one.of(clinic.clone(), NumberId::from_random([1; 10]), day(0));
    keep(&store, &directory, &number, number.provisioned());
    let moved = POOL.replacen("trunk='a'", "trunk='b'", 1);
    let directory = Directory::open(&config(&moved), &store, day(1)).unwrap();
    let found = directory.dialled("+14155550101").unwrap();
    assert_eq!((&found.id, &found.account, found.trunk.as_str()), (&number.id, &clinic, "b"));
    assert_eq!(free(&directory, day(1)), ["+14155550102"]);
}

#[test]
fn nobody_gets_a_number_before_its_quarantine_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let directory = Directory::open(&config(POOL), &store, day(0)).unwrap();
    let (_, one) = directory.available(day(0)).next().unwrap();
    let mut number = one.of(AccountId::house(), NumberId::from_random([1; 10]), day(0));
    keep(&store, &directory, &number, number.provisioned());
    let released = number.release(day(3));
    keep(&store, &directory, &number, released);
    let again = Directory::open(&config(POOL), &store, day(4)).unwrap();
    for directory in [&directory, &again] {
        assert!(directory.dialled("+14155550101").is_none());
        assert_eq!(free(directory, day(5) - TimeDelta::seconds(1)), ["+14155550102"]);
        assert_eq!(free(directory, day(5)), ["+14155550101", "+14155550102"]);
        // A clock that was set back does not set it free.
        assert_eq!(free(directory, day(1)), ["+14155550102"]);
    }
}

#[test]
fn what_the_operator_says_of_a_number_counts() {
    let directory = Directory::of(&config(POOL));
    let pool: Vec<_> = directory.available(day(0)).map(|(_, one)| one.clone()).collect();
    assert_eq!((pool[0].country.as_str(), pool[0].area_code.as_deref()), ("US", Some("415")));
    let (country, area) = (pool[1].country.as_str(), pool[1].area_code.as_deref());
    assert_eq!((country, area, pool[1].kind), ("CA", Some("99"), NumberKind::Mobile));
}

#[test]
fn an_agent_of_the_file_comes_before_a_clients_of_the_same_name() {
    let directory = Directory::of(&config(POOL));
    let house = AccountId::house();
    let of_file = directory.agent(&house, "desk").unwrap();
    let id = AgentId::from_random([7; 10]);
    directory.put_agent(&Agent { id: id.clone(), source: Source::Api, ..(*of_file).clone() });
    assert_eq!(directory.agent(&house, "desk").unwrap().id, of_file.id);
    assert_eq!(directory.agent(&house, id.as_str()).unwrap().id, id);
    assert!(directory.agent(&AccountId::from_name("clinic"), id.as_str()).is_none());
    directory.remove_agent(&id);
    assert!(directory.agent_of(&id).is_none());
}
