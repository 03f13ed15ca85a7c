//! What was used, and what it cost.

use chrono::{Days, Months, NaiveDate, Utc};

use super::{Error, Gateway};
use crate::domain::{AccountId, KeyId, Money, Principal, Scope, Usage};

/// What an account used in a while.
#[derive(Clone, PartialEq, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "account_id": "acct_0000000000000000", "from": "2026-11-01", "to": "2026-11-30",
    "total": {
        "calls_in": 12, "calls_out": 3, "seconds_in": 1480, "seconds_out": 310, "seconds_transferred": 0,
        "messages_in": 4, "messages_out": 2, "tokens": 18234, "characters": 5210, "recordings": 15,
        "recording_seconds": 1790, "recording_bytes": 57280000, "cost": "0.942",
    },
    "days": [],
}))]
pub struct UsageReport {
    pub account_id: AccountId,
    /// The first day and the last (UTC).
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub total: Usage,
    /// Those on which something was used, the earliest first.
    pub days: Vec<DayOfUsage>,
}

#[derive(Clone, PartialEq, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct DayOfUsage {
    pub day: NaiveDate,
    #[serde(flatten)]
    pub usage: Usage,
}

/// The first and the last day of a period: a day, a month, a year.
fn period(text: &str) -> Option<(NaiveDate, NaiveDate)> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_whole =
        |part: &str, digits: usize| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
    let (year, rest) = parts.split_first().filter(|(year, _)| is_whole(year, 4))?;
    if !rest.iter().all(|part| is_whole(part, 2)) {
        return None;
    }
    let year: i32 = year.parse().ok()?;
    let number = |at: usize| rest.get(at).map_or(Some(1), |part| part.parse().ok());
    let first = NaiveDate::from_ymd_opt(year, number(0)?, number(1)?)?;
    let next = match rest.len() {
        0 => first.checked_add_months(Months::new(12)),
        1 => first.checked_add_months(Months::new(1)),
        2 => first.checked_add_days(Days::new(1)),
        _ => None,
    };
    Some((first, next?.pred_opt()?))
}

impl Gateway {
    /// The account that is meant: one's own, or, for an operator, any.
    pub(super) async fn whose(
        &self,
        who: &Principal,
        account: Option<AccountId>,
    ) -> Result<AccountId, Error> {
        match account {
            None => Ok(who.account.clone()),
            Some(account) if account == who.account => Ok(account),
            Some(account) if who.may(Scope::Admin) => {
                let id = account.clone();
                let known = self.read(move |store| store.account(&id)).await?.is_some();
                if known { Ok(account) } else { Err(Error::missing("account", account)) }
            }
            Some(account) => Err(Error::missing("account", account)),
        }
    }

    /// `period` is a day, a month or a year, as in `2026-11`; absent: the present month.
    pub async fn usage(
        &self,
        who: &Principal,
        account: Option<AccountId>,
        asked: Option<&str>,
    ) -> Result<UsageReport, Error> {
        who.require(Scope::UsageRead)?;
        let account_id = self.whose(who, account).await?;
        let asked = asked.map_or_else(|| Utc::now().format("%Y-%m").to_string(), str::to_owned);
        let (from, to) = period(&asked).ok_or_else(|| {
            let reason =
                "must be a day, a month or a year of UTC, as in \"2026-11-22\", \"2026-11\" or \"2026\"";
            Error::field("period", reason)
        })?;
        let account = account_id.clone();
        let days = self.read(move |store| store.usage(&account, from, to)).await?;
        let mut total = Usage::default();
        for (_, usage) in &days {
            total += *usage;
        }
        let days = days.into_iter().map(|(day, usage)| DayOfUsage { day, usage }).collect();
        Ok(UsageReport { account_id, from, to, total, days })
    }

    /// Charges for speech that was asked for by itself, once it is made.
    pub async fn charge_speech(&self, who: &Principal, characters: usize) -> Result<Money, Error> {
        let (account, key): (AccountId, Option<KeyId>) = (who.account.clone(), who.key.clone());
        let characters = u64::try_from(characters).unwrap_or(u64::MAX);
        self.read(move |store| store.charge_speech(&account, key.as_ref(), characters, Utc::now())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_day_a_month_or_a_year() {
        for (text, expected) in [
            ("2026-11-22", Some(("2026-11-22", "2026-11-22"))),
            ("2026-02", Some(("2026-02-01", "2026-02-28"))),
            ("2024", Some(("2024-01-01", "2024-12-31"))),
            ("2026-13", None),
            ("2026-02-30", None),
            ("2026-2", None),
            ("26-02", None),
            ("", None),
            ("2026-01-01-01", None),
            ("-2026", None),
        ] {
            let found = period(text).map(|(from, to)| (from.to_string(), to.to_string()));
            assert_eq!(found, expected.map(|(from, to)| (from.to_owned(), to.to_owned())), "{text}");
        }
    }
}
