//! What every verb asks that rings somebody or writes to them.

use std::time::Duration;

use chrono::Utc;

use super::{Error, Gateway, Kind};
use crate::call::{Errand, Funds, Refusal};
use crate::config::CreditMode;
use crate::domain::Principal;

impl Gateway {
    /// Whether `who` may do this at `to` now: the number, the hour, the money. How many and how fast is for the queue to ask.
    ///
    /// # Errors
    /// The guards' refusal, with its own code and, where it is the number that is refused, the field `to`.
    pub async fn guard(&self, who: &Principal, errand: Errand, to: &str) -> Result<(), Error> {
        let guards = &self.exchange.guards;
        guards.destination(to).map_err(Error::refused)?;
        let funds = self.funds(who).await?;
        guards.occasion(errand, Utc::now(), &funds).map_err(Error::refused)
    }

    /// Whether `who` may spend anything at all, for what rings nobody.
    ///
    /// # Errors
    /// As [`guard`](Self::guard), for the money alone.
    pub async fn afford(&self, who: &Principal) -> Result<(), Error> {
        let funds = self.funds(who).await?;
        self.exchange.guards.money(Utc::now(), &funds).map_err(Error::refused)
    }

    /// How the money stands: what has been charged, and what the calls that are up have cost so far.
    async fn funds(&self, who: &Principal) -> Result<Funds, Error> {
        let (account, key) = (who.account.clone(), who.key.clone());
        let enforced = self.exchange.config.credits.mode == CreditMode::Enforce;
        let meter = self.journal.meter().clone();
        self.read(move |store| Funds::read(store, &meter, &account, key.as_ref(), enforced, Duration::ZERO))
            .await
    }
}

impl Error {
    /// As the guards say it.
    pub fn refused(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::Credits => Kind::Unpaid,
            _ => Kind::Forbidden,
        };
        let field = refusal.is_of_the_number().then_some("to");
        let retry_after = refusal.retry_after();
        Self { field, retry_after, ..Error::coded(kind, refusal.code(), refusal.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_says_when_to_ask_again() {
        let error = Error::refused(Refusal::Emergency);
        assert_eq!((error.kind, error.code, error.field), (Kind::Forbidden, "emergency_number", Some("to")));
        let wait = Duration::from_secs(7);
        let error = Error::refused(Refusal::Hours { opens: wait });
        assert_eq!((error.kind, error.retry_after, error.field), (Kind::Forbidden, Some(wait), None));
        assert_eq!(Error::refused(Refusal::Credits).kind, Kind::Unpaid);
    }
}
