//! Torture messages of our own, beside those of RFC 4475: files in `torture/`, byte for byte as they go over the wire, each with
//! its verdict in `torture/verdicts.tsv`. The heart reads each, and a stack gets each over UDP and over TCP. The two
//! transports differ where only a stream has to know how long a message is.
//!
//! The columns: name of the file, section of RFC 3261 (or of the RFC that is named), what a datagram gets, what a
//! connection gets, and what the message is. A verdict is `rings`, `silent` or a status; a connection has `same`, or
//! `closes` or `waits` with the verdict (see [`After`](support::wire::After)).

#![cfg(feature = "net")]

mod support;

use std::path::{Path, PathBuf};

use sip::Config;
use support::verdict::{Verdict, of_the_heart};
use support::wire::{After, Wire};

struct Case {
    name: String,
    bytes: Vec<u8>,
    datagram: Verdict,
    stream: (Verdict, After),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

fn cases() -> Vec<Case> {
    let table = std::fs::read_to_string(folder().join("verdicts.tsv")).expect("the table");
    let case = |line: &str| -> Option<Case> {
        let mut columns = line.split('\t');
        let (name, _section) = (columns.next()?.to_owned(), columns.next()?);
        let datagram = Verdict::read(columns.next()?)?;
        let stream = match columns.next()?.split_once(' ') {
            None => (datagram, After::Goes),
            Some(("closes", verdict)) => (Verdict::read(verdict)?, After::Closes),
            Some(("waits", verdict)) => (Verdict::read(verdict)?, After::Waits),
            Some(_) => return None,
        };
        let bytes = std::fs::read(folder().join(format!("{name}.dat"))).ok()?;
        Some(Case { name, bytes, datagram, stream })
    };
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| case(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// All of them, so that one run shows everything that is wrong.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_message_has_its_line_and_every_line_its_message() {
    let mut named: Vec<String> = cases().into_iter().map(|case| format!("{}.dat", case.name)).collect();
    named.push("verdicts.tsv".into());
    named.sort();
    let mut there: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    assert_eq!(named, there);
    assert!(named.len() > 200);
}

#[test]
fn the_heart_gives_the_verdict_and_keeps_nothing() {
    let mut wrong = Vec::new();
    for Case { name, bytes, datagram, .. } in cases() {
        let found = of_the_heart(Config::default(), &bytes);
        if found != Ok(datagram) {
            wrong.push(format!("{name}: {found:?}, not {datagram:?}"));
        }
    }
    assert_none(&wrong);
}

#[tokio::test]
async fn a_stack_gives_the_verdict_over_udp() {
    let mut wire = Wire::new(Config::default()).await;
    let mut wrong = Vec::new();
    for Case { name, bytes, datagram, .. } in cases() {
        let found = wire.udp(&bytes).await;
        if found != datagram {
            wrong.push(format!("{name}: {found:?}, not {datagram:?}"));
        }
    }
    wire.serves().await;
    wire.end().await;
    assert_none(&wrong);
}

#[tokio::test]
async fn a_stack_gives_the_verdict_over_tcp() {
    let mut wire = Wire::new(Config::default()).await;
    let mut wrong = Vec::new();
    for Case { name, bytes, stream: (verdict, after), .. } in cases() {
        let found = wire.tcp(&bytes, after).await;
        if found != Ok(verdict) {
            wrong.push(format!("{name}: {found:?}, not {verdict:?} ({after:?})"));
        }
        wire.serves().await;
    }
    wire.end().await;
    assert_none(&wrong);
}
