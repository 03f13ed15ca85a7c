//! Credits: what an account may still spend, and what has changed it.

use chrono::Utc;

use super::{Error, Gateway, Kind, Registry};
use crate::config::CreditMode;
use crate::domain::{AccountId, CreditEntry, CreditKind, Money, Principal, Scope};
use crate::store::{Cursor, Page};

/// Letters of a note.
const LONGEST_NOTE: usize = 500;

/// What an account may still spend.
#[derive(Clone, PartialEq, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(example = json!({ "account_id": "acct_0000000000000000", "balance": "9.925", "enforced": true }))]
pub struct Balance {
    pub account_id: AccountId,
    /// May be less than nothing, where credits are only counted, or the last call cost more than there was.
    pub balance: Money,
    /// Whether calls and messages are refused when there is none left.
    pub enforced: bool,
}

/// Credits for an account, from its operator.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "account_id": "acct_0000000000000000", "amount": "25.00", "note": "Invoice 1047" }))]
pub struct GrantCredits {
    /// Absent: the box's own.
    #[serde(default)]
    pub account_id: Option<AccountId>,
    /// Less than nothing takes credits back.
    pub amount: Money,
    /// For people; at most 500 letters.
    #[serde(default)]
    pub note: Option<String>,
}

/// Credits that an account adds for itself.
#[derive(Clone, Default, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "amount": "10.00" }))]
pub struct PurchaseCredits {
    /// Absent: what the operator's configuration says (credits.pack).
    #[serde(default)]
    pub amount: Option<Money>,
}

impl Registry {
    /// Gives an account credits, or takes some back. Blocks on the disk.
    pub fn grant(&self, by: &Principal, request: GrantCredits) -> Result<CreditEntry, Error> {
        let account = request.account_id.unwrap_or_default();
        self.account(&account)?;
        if request.amount == Money::ZERO {
            return Err(Error::field("amount", "is nothing; it must be a sum, as in \"25.00\""));
        }
        let note = request.note.map(|note| note.trim().to_owned()).filter(|note| !note.is_empty());
        if note.as_ref().is_some_and(|note| note.chars().count() > LONGEST_NOTE) {
            return Err(Error::field("note", format!("must be at most {LONGEST_NOTE} letters")));
        }
        let (random, now) = (self.random_id(), Utc::now());
        let key = by.key.clone();
        Ok(self.store.add_credits(CreditKind::Grant, &account, request.amount, random, key, note, now)?)
    }

    /// What has changed an account's credits, the newest first. Blocks on the disk.
    pub fn credits(&self, account: &AccountId, limit: usize) -> Result<Page<CreditEntry>, Error> {
        Ok(self.store.credit_entries(account, None, None, limit)?)
    }
}

impl Gateway {
    pub async fn balance(&self, who: &Principal, account: Option<AccountId>) -> Result<Balance, Error> {
        who.require(Scope::UsageRead)?;
        let account_id = self.whose(who, account).await?;
        let account = account_id.clone();
        let balance = self.read(move |store| store.balance(&account)).await?;
        let enforced = self.exchange.config.credits.mode == CreditMode::Enforce;
        Ok(Balance { account_id, balance, enforced })
    }

    /// The newest first.
    pub async fn credit_entries(
        &self,
        who: &Principal,
        account: Option<AccountId>,
        kind: Option<CreditKind>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<CreditEntry>, Error> {
        who.require(Scope::UsageRead)?;
        let account = self.whose(who, account).await?;
        self.read(move |store| store.credit_entries(&account, kind, after.as_ref(), limit)).await
    }

    /// Adds to one's own credits, where the operator allows that.
    pub async fn purchase(&self, who: &Principal, request: PurchaseCredits) -> Result<CreditEntry, Error> {
        who.require(Scope::CreditsWrite)?;
        let rules = &self.exchange.config.credits;
        if rules.mode == CreditMode::Off {
            return Err(Error::coded(
                Kind::Conflict,
                "credits_off",
                "there are no credits on this box (credits.mode)",
            ));
        }
        if !rules.purchase {
            return Err(Error::coded(
                Kind::Forbidden,
                "purchase_not_allowed",
                "the operator grants credits; clients cannot add to their own (credits.purchase)",
            ));
        }
        let amount = request.amount.unwrap_or(rules.pack);
        if amount <= Money::ZERO || amount > rules.most {
            return Err(Error::field(
                "amount",
                format!("must be more than nothing, and at most {}", rules.most),
            ));
        }
        let random = (self.exchange.chance)();
        let random = std::array::from_fn(|n| random[n]);
        let (account, key) = (who.account.clone(), who.key.clone());
        self.read(move |store| {
            store.add_credits(CreditKind::Purchase, &account, amount, random, key, None, Utc::now())
        })
        .await
    }
}
