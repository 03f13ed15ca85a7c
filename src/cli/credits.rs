//! `offhook credits`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::operator::{Operator, Where};
use crate::domain::{AccountId, Money};
use crate::gateway::GrantCredits;

/// Give accounts credits, and see what became of them.
///
/// Asks the gateway that runs; where none does, the data folder itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook credits grant 25.00 --account acct_0123456789abcdef --note 'Invoice 1047'
  offhook credits grant -5.00
  offhook credits list --account acct_0123456789abcdef")]
pub(super) struct CreditsArgs {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Give credits; a sum that is less than nothing takes some back
    Grant {
        /// As in 25.00
        #[arg(allow_hyphen_values = true)]
        amount: Money,
        /// Whose; without one: the box's own account
        #[arg(long, value_name = "ID")]
        account: Option<AccountId>,
        /// What a person should know of it
        #[arg(long)]
        note: Option<String>,
    },
    /// What changed an account's credits, the newest first
    List {
        /// Whose; without one: the box's own account
        #[arg(long, value_name = "ID")]
        account: Option<AccountId>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: CreditsArgs) -> anyhow::Result<ExitCode> {
    let operator = Operator::at(&args.place).await?;
    match args.verb {
        Verb::Grant { amount, account, note } => {
            let entry = operator.grant(GrantCredits { account_id: account, amount, note }).await?;
            eprintln!("{} now has", text(&entry["account_id"]));
            println!("{}", text(&entry["balance"]));
        }
        Verb::List { account, json: true } => {
            println!("{}", Value::from(operator.credits(account.as_ref()).await?));
        }
        Verb::List { account, json: false } => {
            for entry in operator.credits(account.as_ref()).await? {
                println!(
                    "{}  {:8}  {:>12}  {:>12}  {}",
                    text(&entry["created_at"]),
                    text(&entry["kind"]),
                    text(&entry["amount"]),
                    text(&entry["balance"]),
                    ["subject", "note"].iter().find_map(|key| entry[*key].as_str()).unwrap_or(""),
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
