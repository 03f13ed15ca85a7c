//! Whether the box may ring somebody: a phone line costs money, and rings at real people.
//!
//! | asked | of | by whom |
//! |---|---|---|
//! | [`Guards::destination`] | the number alone | [`Exchange::route`](super::Exchange::route), so that no way out leads around it |
//! | [`Guards::occasion`] | the hour, the money | what begins: a call, a message |
//!
//! All are tables and comparisons: the time, what has been spent and what is up are arguments.

mod plan;
mod refusal;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeZone, Utc};

use plan::Danger;
pub use refusal::{Period, Purse, Refusal};

use crate::config::{self, Config, Hours};
use crate::domain::{E164, Money, Spent};

/// What is to be done at a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errand {
    Call,
    Message,
    /// A further leg of a call that is up. It is not held to the hours: the people are on the line.
    Transfer,
}

/// How the money stands when somebody asks, with what the calls that are up have cost so far.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Funds {
    pub key: Spent,
    pub account: Spent,
    pub on_the_box: Spent,
    /// [`crate::domain::Account::monthly_limit`].
    pub monthly_limit: Option<Money>,
    /// The account's credits, where they are enforced.
    pub credits: Option<Money>,
}

/// The rules of the configuration, made ready.
pub struct Guards {
    rules: config::Guards,
    /// Whose short numbers are meant, where somebody dials without a country code.
    regions: Vec<&'static str>,
    /// Phones and numbers of the house: a call there costs nothing and stays here.
    ours: Vec<String>,
}

impl Guards {
    pub fn new(config: &Config) -> Self {
        let rules = config.guards.clone();
        let own = config.numbers.iter().flat_map(|number| plan::regions_of(&number.number));
        let mut regions: Vec<_> = own.chain(plan::regions_named(&rules.countries)).collect();
        regions.sort_unstable();
        regions.dedup();
        let numbers = config.numbers.iter().map(|number| number.number.to_string());
        let ours =
            config.extensions.iter().map(|extension| extension.number.clone()).chain(numbers).collect();
        Self { rules, regions, ours }
    }

    /// Whether this may be rung at all, whoever asks: `to` is what is dialled, a number in its international form, the number
    /// of an extension, an address, or the user part of one.
    ///
    /// # Errors
    /// Says what is wrong with it. What cannot be read as a number or an address is none of the guards' business.
    pub fn destination(&self, to: &str) -> Result<(), Refusal> {
        if self.ours.iter().any(|ours| ours == to) {
            return Ok(());
        }
        let (number, user) = match to.parse::<E164>() {
            Ok(number) => (Some(number), None),
            Err(_) => (None, Some(user_of(to))),
        };
        let danger = match (&number, &user) {
            (Some(number), _) => plan::of_number(number),
            (None, Some(user)) => plan::of_dialled(user, &self.regions),
            (None, None) => None,
        };
        let dialled = number.as_ref().map_or(user.as_deref().unwrap_or_default(), E164::as_str);
        match danger {
            Some(Danger::Emergency) if !self.opens_emergency(dialled) => return Err(Refusal::Emergency),
            Some(Danger::Crisis) if !self.opens(dialled) => return Err(Refusal::Crisis),
            Some(Danger::Service) if !self.opens(dialled) => return Err(Refusal::Service),
            Some(Danger::Premium) if !self.opens(dialled) => return Err(Refusal::Premium),
            Some(Danger::Unassigned) if !self.rules.unassigned && !self.opens(dialled) => {
                return Err(Refusal::Unassigned);
            }
            _ => {}
        }
        // A number may be written in many ways where an address holds it, and none leads around a prohibition.
        let forms = || {
            let readings = user.iter().flat_map(|user| plan::readings(user)).flat_map(|reading| {
                let digits = reading.trim_start_matches(['+', '0']).to_owned();
                [format!("+{digits}"), format!("+{}", digits.strip_prefix("11").unwrap_or(&digits)), reading]
            });
            readings.chain([to.to_owned(), dialled.to_owned()])
        };
        let begins = |form: &str, list: &[String]| list.iter().any(|head| form.starts_with(head.as_str()));
        if forms().any(|form| begins(&form, &self.rules.deny)) {
            return Err(Refusal::Denied);
        }
        if !self.rules.allow.is_empty() && !begins(to, &self.rules.allow) {
            return Err(Refusal::NotAllowed);
        }
        Ok(())
    }

    /// Whether this is an emergency number where the box is, as it is dialled.
    pub fn is_emergency(&self, dialled: &str) -> bool {
        plan::of_dialled(dialled, &self.regions) == Some(Danger::Emergency)
    }

    fn opens(&self, dialled: &str) -> bool {
        self.rules.open.iter().any(|open| match open.starts_with('+') {
            true => dialled.starts_with(open),
            false => dialled == open,
        })
    }

    fn opens_emergency(&self, dialled: &str) -> bool {
        self.rules.open_emergency.iter().any(|open| dialled == open)
    }

    /// Whether this is the time, and whether there is money for it.
    ///
    /// # Errors
    /// Says which limit is reached, and when it will no longer be.
    pub fn occasion(&self, errand: Errand, now: DateTime<Utc>, funds: &Funds) -> Result<(), Refusal> {
        if let Some(hours) = &self.rules.hours
            && errand != Errand::Transfer
            && !is_open(hours, now)
        {
            return Err(Refusal::Hours { opens: next_opening(hours, now) });
        }
        self.money(now, funds)
    }

    /// The part of [`occasion`](Self::occasion) that a call is held to as long as it lasts.
    ///
    /// # Errors
    /// Says which purse is empty.
    pub fn money(&self, now: DateTime<Utc>, funds: &Funds) -> Result<(), Refusal> {
        let spend = &self.rules.spend;
        let monthly = funds.monthly_limit.or(spend.account_per_month);
        let tomorrow = start_of(now.date_naive().checked_add_days(Days::new(1)));
        let next_month = start_of(first_of_next_month(now.date_naive()));
        for (purse, spent, per_day, per_month) in [
            (Purse::Key, funds.key, spend.key_per_day, spend.key_per_month),
            (Purse::Account, funds.account, spend.account_per_day, monthly),
            (Purse::Box, funds.on_the_box, spend.per_day, spend.per_month),
        ] {
            for (period, spent, limit, ends) in [
                (Period::Day, spent.today, per_day, tomorrow),
                (Period::Month, spent.this_month, per_month, next_month),
            ] {
                if let Some(limit) = limit.filter(|limit| spent >= *limit) {
                    let wait = ends
                        .map_or(std::time::Duration::ZERO, |ends| (ends - now).to_std().unwrap_or_default());
                    return Err(Refusal::Spend { purse, period, limit, wait });
                }
            }
        }
        match funds.credits {
            Some(credits) if credits <= Money::ZERO => Err(Refusal::Credits),
            _ => Ok(()),
        }
    }
}

/// What would be dialled: the user part of an address, or the text itself.
fn user_of(to: &str) -> String {
    match to.parse::<sip::Uri>() {
        Ok(uri) => uri.user().unwrap_or_default(),
        Err(_) => to.to_owned(),
    }
}

fn is_open(hours: &Hours, now: DateTime<Utc>) -> bool {
    let local = now.with_timezone(&hours.zone).naive_local();
    let (today, time) = (local.date(), local.time());
    let begins_on = |day: Option<NaiveDate>| day.is_some_and(|day| hours.days.contains(&day.weekday()));
    if hours.from < hours.to {
        return begins_on(Some(today)) && (hours.from..hours.to).contains(&time);
    }
    // Over midnight: the evening of a day, and the morning after it.
    (begins_on(Some(today)) && time >= hours.from) || (begins_on(today.pred_opt()) && time < hours.to)
}

/// How long until calls may go out again; at most a week from now.
fn next_opening(hours: &Hours, now: DateTime<Utc>) -> std::time::Duration {
    let today = now.with_timezone(&hours.zone).date_naive();
    let openings = (0..=7).filter_map(|days| {
        let day =
            today.checked_add_days(Days::new(days)).filter(|day| hours.days.contains(&day.weekday()))?;
        // A time that the clocks skip in spring opens with the next that there is.
        let local = day.and_time(hours.from);
        let at = hours.zone.from_local_datetime(&local).earliest();
        at.or_else(|| hours.zone.from_local_datetime(&(local + chrono::Duration::hours(1))).earliest())
    });
    let next = openings.map(|at| at.with_timezone(&Utc)).find(|at| *at > now);
    next.map_or(std::time::Duration::from_secs(7 * 86_400), |at| (at - now).to_std().unwrap_or_default())
}

fn start_of(day: Option<NaiveDate>) -> Option<DateTime<Utc>> {
    day.and_then(|day| day.and_hms_opt(0, 0, 0)).map(|at| at.and_utc())
}

fn first_of_next_month(day: NaiveDate) -> Option<NaiveDate> {
    day.with_day(1)?.checked_add_months(chrono::Months::new(1))
}
