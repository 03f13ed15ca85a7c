//! A configuration file read by somebody who wants to hear of every mistake at once.
//!
//! A [`Section`] hands out values by key and notes what is wrong or unknown on the way; the reader goes on with the
//! default, and [`Mistakes`] tells the operator all of them, each with its key and with what would be right.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use toml::{Table, Value};

use crate::domain::Sentences;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// As in `trunk[0].registrar`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

/// Everything that is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Mistakes {
    pub path: PathBuf,
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.list {
            match mistake.key.as_str() {
                "" => writeln!(f, "{}: {}", self.path.display(), mistake.reason)?,
                key => writeln!(f, "{}: {key}: {}", self.path.display(), mistake.reason)?,
            }
        }
        Ok(())
    }
}

type Notes = Rc<RefCell<Vec<Mistake>>>;

/// A table of the file, with the keys that were asked for.
pub(super) struct Section {
    name: String,
    table: Table,
    asked: RefCell<BTreeSet<&'static str>>,
    notes: Notes,
}

impl Section {
    /// The whole file.
    pub(super) fn parse(text: &str) -> (Self, Notes) {
        let notes = Notes::default();
        let table = text.parse::<Table>().unwrap_or_else(|error| {
            let line =
                error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            notes.borrow_mut().push(Mistake {
                key: String::new(),
                reason: format!("line {line} is no TOML: {}", error.message()),
            });
            Table::new()
        });
        let section = Self { name: String::new(), table, asked: RefCell::default(), notes: notes.clone() };
        (section, notes)
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Notes a mistake at one of this section's keys.
    pub(super) fn wrong(&self, key: &str, reason: impl Into<String>) {
        self.notes.borrow_mut().push(Mistake { key: self.key(key), reason: reason.into() });
    }

    fn take(&self, key: &'static str) -> Option<&Value> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// Whether the key stands there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A sub-table whose keys are the operator's own, each with a text.
    pub(super) fn table(&self, key: &'static str) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        match self.take(key) {
            None => {}
            Some(Value::Table(table)) => {
                for (name, value) in table {
                    match value.as_str() {
                        Some(text) => entries.push((name.clone(), text.to_owned())),
                        None => self
                            .wrong(&format!("{key}.{name}"), format!("is {}, and must be text", kind(value))),
                    }
                }
            }
            Some(other) => {
                self.wrong(key, format!("is {}, and must be a table: [{}]", kind(other), self.key(key)))
            }
        }
        entries
    }

    /// A sub-table of any shape, as JSON; empty where it is absent.
    pub(super) fn json(&self, key: &'static str) -> serde_json::Value {
        let empty = || serde_json::Value::Object(serde_json::Map::new());
        match self.take(key) {
            None => empty(),
            Some(table @ Value::Table(_)) => serde_json::to_value(table).unwrap_or_else(|_| empty()),
            Some(other) => {
                self.wrong(key, format!("is {}, and must be a table: [{}]", kind(other), self.key(key)));
                empty()
            }
        }
    }

    /// A sub-table that is read as the API reads the same object; `None` where it is absent or wrong.
    pub(super) fn group<T: serde::de::DeserializeOwned>(&self, key: &'static str) -> Option<T> {
        if !self.has(key) {
            return None;
        }
        match serde_path_to_error::deserialize(self.json(key)) {
            Ok(group) => Some(group),
            Err(error) => {
                let inner = error.path().to_string();
                let whole = if inner == "." { key.to_owned() } else { format!("{key}.{inner}") };
                self.wrong(&whole, error.into_inner().to_string());
                None
            }
        }
    }

    /// A sub-table; empty where it is absent.
    pub(super) fn section(&self, key: &'static str) -> Section {
        let table = match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table.clone(),
            Some(other) => {
                self.wrong(key, format!("is {}, and must be a table: [{}]", kind(other), self.key(key)));
                Table::new()
            }
        };
        Section { name: self.key(key), table, asked: RefCell::default(), notes: self.notes.clone() }
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong(
                    key,
                    format!("is {}, and must be a list of tables: [[{}]]", kind(other), self.key(key)),
                );
                return Vec::new();
            }
        };
        let mut sections = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let name = format!("{}[{i}]", self.key(key));
            match item {
                Value::Table(table) => sections.push(Section {
                    name,
                    table: table.clone(),
                    asked: RefCell::default(),
                    notes: self.notes.clone(),
                }),
                other => self
                    .notes
                    .borrow_mut()
                    .push(Mistake { key: name, reason: format!("is {}, and must be a table", kind(other)) }),
            }
        }
        sections
    }

    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text.clone()),
            other => {
                self.wrong(key, format!("is {}, and must be text in quotes", kind(other)));
                None
            }
        }
    }

    /// A text, or a list of texts.
    pub(super) fn sentences(&self, key: &'static str) -> Option<Sentences> {
        let value = self.take(key)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let list = || value.as_array()?.iter().map(text).collect::<Option<Vec<_>>>();
        let read = text(value).map(Sentences::One).or_else(|| list().map(Sentences::More));
        if read.is_none() {
            self.wrong(key, format!("is {}, and must be text in quotes, or a list of texts", kind(value)));
        }
        read
    }

    pub(super) fn required(&self, key: &'static str, allowed: &str) -> String {
        if !self.table.contains_key(key) {
            self.wrong(key, format!("is missing; it must be {allowed}"));
        }
        self.text(key).unwrap_or_default()
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Boolean(flag)) => *flag,
            Some(other) => {
                self.wrong(key, format!("is {}, and must be true or false", kind(other)));
                default
            }
        }
    }

    /// A whole number between two bounds, both included.
    pub(super) fn count(&self, key: &'static str, default: u64, least: u64, most: u64) -> u64 {
        let Some(value) = self.take(key) else { return default };
        match value.as_integer().and_then(|n| u64::try_from(n).ok()) {
            Some(n) if (least..=most).contains(&n) => n,
            _ => {
                self.wrong(key, format!("is {value}, and must be a whole number from {least} to {most}"));
                default
            }
        }
    }

    /// A number between two bounds, both included.
    pub(super) fn number(&self, key: &'static str, default: f32, least: f32, most: f32) -> f32 {
        let Some(value) = self.take(key) else { return default };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "settings are small"
        )]
        let number = value.as_float().map(|n| n as f32).or(value.as_integer().map(|n| n as f32));
        match number {
            Some(n) if (least..=most).contains(&n) => n,
            _ => {
                self.wrong(key, format!("is {value}, and must be a number from {least} to {most}"));
                default
            }
        }
    }

    pub(super) fn millis(&self, key: &'static str, default: Duration, least: u64, most: u64) -> Duration {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.count(key, default, least, most))
    }

    pub(super) fn seconds(&self, key: &'static str, default: Duration, least: u64, most: u64) -> Duration {
        Duration::from_secs(self.count(key, default.as_secs(), least, most))
    }

    /// Text that must parse. `allowed` says what would.
    pub(super) fn parsed<T: FromStr>(&self, key: &'static str, default: T, allowed: &str) -> T {
        self.maybe(key, allowed).unwrap_or(default)
    }

    /// As [`Section::parsed`], where absence is allowed.
    pub(super) fn maybe<T: FromStr>(&self, key: &'static str, allowed: &str) -> Option<T> {
        let text = self.text(key)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.wrong(key, format!("is {text:?}, and must be {allowed}"));
        }
        value
    }

    /// One text that must parse, or a list of them; none where the key is absent or wrong.
    pub(super) fn one_or_more<T: FromStr>(&self, key: &'static str, allowed: &str) -> Vec<T> {
        match self.take(key) {
            Some(Value::Array(items)) if items.is_empty() => {
                self.wrong(key, format!("is an empty list, and must be {allowed}, or several"));
                Vec::new()
            }
            Some(Value::Array(_)) => self.all_parsed(key, &[], allowed),
            _ => self.maybe(key, allowed).into_iter().collect(),
        }
    }

    pub(super) fn texts(&self, key: &'static str, default: &[&str]) -> Vec<String> {
        let Some(value) = self.take(key) else { return default.iter().map(|s| (*s).to_owned()).collect() };
        let texts = value.as_array().and_then(|items| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        texts.unwrap_or_else(|| {
            self.wrong(key, format!("is {}, and must be a list of texts, as in [\"a\", \"b\"]", kind(value)));
            Vec::new()
        })
    }

    /// A list of texts that must each parse.
    pub(super) fn all_parsed<T: FromStr>(
        &self,
        key: &'static str,
        default: &[&str],
        allowed: &str,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for text in self.texts(key, default) {
            match text.parse() {
                Ok(value) => values.push(value),
                Err(_) => self.wrong(key, format!("holds {text:?}, and each must be {allowed}")),
            }
        }
        values
    }

    /// Notes every key that nobody asked for. Last, when all has been read.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|key| !asked.contains(key.as_str())) {
            let known: Vec<_> = asked.iter().copied().collect();
            self.wrong(key, format!("is no key that offhook knows; here it knows {}", known.join(", ")));
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
