//! Credits.

use axum::extract::State;

use super::{Answer, Said, ok};
use crate::config::CreditMode;
use crate::dialect::agentnumber::wire::Purchase;
use crate::dialect::agentnumber::{PACK_CENTS, balance, free, purchased};
use crate::domain::Money;
use crate::gateway::PurchaseCredits;
use crate::http::App;
use crate::http::auth::Who;
use crate::http::problem::Problem;

pub(super) async fn show(State(app): State<App>, Who(who): Who) -> Answer {
    ok(balance(app.gateway.balance(&who, None).await?.balance))
}

/// Where a box has no credits there is nothing to buy, which is no reason for a program to give up.
pub(super) async fn purchase(State(app): State<App>, Who(who): Who, Said(order): Said<Purchase>) -> Answer {
    let cents = order.amount_cents.unwrap_or(PACK_CENTS);
    if cents <= 0 {
        return Err(Problem::field("amount_cents", format!("is {cents}, and must be more than nothing")));
    }
    if app.gateway.config().credits.mode == CreditMode::Off {
        return ok(free());
    }
    let amount = Some(Money::from_cents(cents));
    let entry = app.gateway.purchase(&who, PurchaseCredits { amount }).await?;
    ok(purchased(entry.amount, entry.balance))
}
