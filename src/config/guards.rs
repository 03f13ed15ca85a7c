//! `[guards]`: whom the box may ring, when, how often, and for how much.

use chrono::{NaiveTime, Weekday};
use chrono_tz::Tz;

use super::Config;
use super::file::Section;
use crate::domain::Money;

#[derive(Clone, PartialEq, Debug)]
pub struct Guards {
    /// Services, crisis lines and premium numbers that may be rung all the same: short numbers as they are dialled, or the
    /// beginnings of international ones.
    pub open: Vec<String>,
    /// Emergency numbers that may be rung, each as it is dialled, and nothing that begins with it.
    pub open_emergency: Vec<String>,
    /// Whether numbers may be rung that no numbering plan has given out.
    pub unassigned: bool,
    /// Beginnings of what may be rung; empty: everything. An address is allowed by `sip:` or its beginning.
    pub allow: Vec<String>,
    /// Beginnings of what may not.
    pub deny: Vec<String>,
    /// Countries whose short numbers are meant, besides those of the box's numbers (ISO 3166-1 alpha-2).
    pub countries: Vec<String>,
    /// Outbound calls at once of the whole box; absent: as limits.max_calls says.
    pub max_calls: Option<u32>,
    /// Outbound calls at once with one key; absent: as for the box. A key may have its own.
    pub max_calls_per_key: Option<u32>,
    /// Outbound calls that begin within any minute; zero: any number.
    pub calls_per_minute: u32,
    pub calls_per_minute_per_key: u32,
    /// When calls and messages may go out; absent: always.
    pub hours: Option<Hours>,
    pub spend: Spend,
}

/// A stretch of the day, which may go over midnight.
#[derive(Clone, PartialEq, Debug)]
pub struct Hours {
    pub from: NaiveTime,
    pub to: NaiveTime,
    pub zone: Tz,
    /// Those on which the stretch begins.
    pub days: Vec<Weekday>,
}

/// What may be spent, in the operator's currency at the operator's rates; absent: any sum. Days and months are those of UTC.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Spend {
    pub per_day: Option<Money>,
    pub per_month: Option<Money>,
    pub account_per_day: Option<Money>,
    /// An account may have its own.
    pub account_per_month: Option<Money>,
    pub key_per_day: Option<Money>,
    pub key_per_month: Option<Money>,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            open_emergency: Vec::new(),
            unassigned: false,
            allow: Vec::new(),
            deny: Vec::new(),
            countries: Vec::new(),
            max_calls: None,
            max_calls_per_key: None,
            calls_per_minute: 60,
            calls_per_minute_per_key: 30,
            hours: None,
            spend: Spend::default(),
        }
    }
}

pub(super) fn guards(s: Section, default: Guards) -> Guards {
    let beginning =
        "the beginning of a number, as in \"+1900\", a short number, as in \"411\", or \"sip:\" and more";
    let list = |key| {
        let entries = s.texts(key, &[]);
        for entry in entries.iter().filter(|entry| !is_beginning(entry)) {
            s.wrong(key, format!("holds {entry:?}, and each must be {beginning}"));
        }
        entries
    };
    let count = |key, default: Option<u32>| {
        let some = s.count(key, default.unwrap_or(0).into(), 1, 10_000);
        s.has(key).then(|| u32::try_from(some).unwrap_or(u32::MAX)).or(default)
    };
    let pace = |key, default: u32| u32::try_from(s.count(key, default.into(), 0, 10_000)).unwrap_or(default);
    let guards = Guards {
        open: list("open"),
        open_emergency: s.texts("open_emergency", &[]),
        unassigned: s.flag("unassigned", default.unassigned),
        allow: list("allow"),
        deny: list("deny"),
        countries: s.texts("countries", &[]),
        max_calls: count("max_calls", default.max_calls),
        max_calls_per_key: count("max_calls_per_key", default.max_calls_per_key),
        calls_per_minute: pace("calls_per_minute", default.calls_per_minute),
        calls_per_minute_per_key: pace("calls_per_minute_per_key", default.calls_per_minute_per_key),
        hours: hours(&s),
        spend: spend(s.section("spend")),
    };
    let is_short =
        |text: &String| (2..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    for entry in guards.open_emergency.iter().filter(|entry| !is_short(entry)) {
        s.wrong(
            "open_emergency",
            format!("holds {entry:?}, and each must be the digits as they are dialled, as in \"112\""),
        );
    }
    let is_country = |text: &String| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    for entry in guards.countries.iter().filter(|entry| !is_country(entry)) {
        s.wrong("countries", format!("holds {entry:?}, and each must be two capital letters, as in \"US\""));
    }
    s.finish();
    guards
}

/// Emergency numbers that everybody knows.
const EVERYWHERE: [&str; 4] = ["112", "911", "999", "000"];

/// Nobody here is called by an emergency number: whoever dials it would wait for help on the line with an agent.
pub(super) fn agree(root: &Section, config: &Config) {
    let emergency = |name: &str| EVERYWHERE.contains(&name);
    let reason = |name: &str| {
        format!("is {name:?}, an emergency number; whoever dials it needs help, and not this box")
    };
    for (i, extension) in config.extensions.iter().enumerate().filter(|(_, one)| emergency(&one.number)) {
        root.wrong(&format!("extension[{i}].number"), reason(&extension.number));
    }
    for (i, number) in config.numbers.iter().enumerate() {
        for alias in number.aliases.iter().filter(|alias| emergency(alias)) {
            root.wrong(&format!("number[{i}].aliases"), reason(alias));
        }
    }
}

fn is_beginning(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    text.starts_with("sip:")
        || text.starts_with("sips:")
        || (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn hours(s: &Section) -> Option<Hours> {
    let is_there = s.has("hours");
    let s = s.section("hours");
    let time = |key, default: NaiveTime| {
        let Some(text) = s.text(key) else { return default };
        NaiveTime::parse_from_str(&text, "%H:%M").unwrap_or_else(|_| {
            s.wrong(key, format!("is {text:?}, and must be a time of the day, as in \"08:30\""));
            default
        })
    };
    let nine = NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default();
    let twenty = NaiveTime::from_hms_opt(20, 0, 0).unwrap_or_default();
    let every = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let hours = Hours {
        from: time("from", nine),
        to: time("to", twenty),
        zone: s.parsed("zone", Tz::UTC, "a time zone, as in \"America/New_York\""),
        days: s.all_parsed("days", &every, "a day of the week, as in \"mon\""),
    };
    if hours.from == hours.to {
        s.wrong("to", "is the same as from: leave the whole table out where calls may go out at any time");
    }
    s.finish();
    is_there.then_some(hours)
}

fn spend(s: Section) -> Spend {
    let sum = |key| {
        let sum: Option<Money> = s.maybe(key, "a sum of money as text, as in \"25.00\"");
        if sum.is_some_and(|sum| sum < Money::ZERO) {
            s.wrong(key, "is less than nothing; leave it out where any sum may be spent");
        }
        sum
    };
    let spend = Spend {
        per_day: sum("per_day"),
        per_month: sum("per_month"),
        account_per_day: sum("account_per_day"),
        account_per_month: sum("account_per_month"),
        key_per_day: sum("key_per_day"),
        key_per_month: sum("key_per_month"),
    };
    s.finish();
    spend
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn hours_and_sums_are_read() {
        let text = "[guards]\nopen = ['411', '+1900']\nmax_calls = 3\n[guards.hours]\nfrom = '22:00'\nto = '06:30'\n\
                    zone = 'Europe/Berlin'\ndays = ['mon', 'fri']\n[guards.spend]\nper_day = '12.50'";
        let guards = Config::parse(text).unwrap().guards;
        let hours = guards.hours.unwrap();
        assert_eq!((hours.zone, hours.days.len()), (chrono_tz::Europe::Berlin, 2));
        assert_eq!((guards.spend.per_day.unwrap().cents(), guards.max_calls), (1250, Some(3)));
        assert_eq!(Config::parse("").unwrap().guards.hours, None);
    }

    #[test]
    fn nobody_is_called_by_an_emergency_number() {
        let text = "[[extension]]\nnumber='911'\npassword='p'\n[[trunk]]\nname='t'\nallow=['10.0.0.0/8']\n\
                    [[agent]]\nname='a'\n[[number]]\nnumber='+14155550123'\naliases=['100', '112']\nagent='a'\ntrunk='t'";
        let mistakes = Config::parse(text).unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["extension[0].number", "number[0].aliases"]);
    }

    #[test]
    fn what_cannot_be_meant_is_a_mistake() {
        for (text, part) in [
            ("allow = ['+1 415']", "guards.allow: holds \"+1 415\""),
            ("deny = ['']", "guards.deny: holds \"\""),
            ("open_emergency = ['+49112']", "guards.open_emergency: holds"),
            ("countries = ['de']", "guards.countries: holds"),
            ("max_calls = 0", "guards.max_calls: is 0"),
            ("hours = { from = '25:00' }", "guards.hours.from: is \"25:00\""),
            ("hours = { zone = 'Berlin' }", "guards.hours.zone: is \"Berlin\""),
            ("hours = { from = '08:00', to = '08:00' }", "guards.hours.to: is the same"),
            ("spend = { per_day = '-1' }", "guards.spend.per_day: is less than nothing"),
        ] {
            let mistakes = Config::parse(&format!("[guards]\n{text}")).unwrap_err();
            let lines: Vec<_> = mistakes.iter().map(|m| format!("{}: {}", m.key, m.reason)).collect();
            assert!(lines.iter().any(|line| line.starts_with(part)), "{text}: {lines:?}");
        }
    }
}
