//! `offhook keys` and `offhook accounts`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::operator::{Operator, Where};
use crate::domain::{AccountId, Scope};
use crate::gateway::NewKey;

/// Make, list and revoke API keys.
///
/// Asks the gateway that runs; where none does, the data folder itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook keys create --name CRM --scope calls:read --scope calls:write
  offhook keys create --name 'Clinic front desk' --account acct_0123456789abcdef
  offhook keys list
  offhook keys revoke key_0123456789abcdef")]
pub(super) struct KeysArgs {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Make a key. It is printed once, on standard output, and kept nowhere
    Create {
        /// What a person knows it by
        #[arg(long)]
        name: String,
        /// What it allows, as often as needed; without one: everything that an account needs
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<Scope>,
        /// Whose it is; without one: the box's own account
        #[arg(long, value_name = "ID")]
        account: Option<AccountId>,
        /// Outbound calls at once with it; without one: as the configuration says
        #[arg(long, value_name = "COUNT")]
        max_calls: Option<u32>,
    },
    /// Keys, the newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a key: it opens nothing from now on
    Revoke { id: String },
}

/// Make and list accounts, the tenants of the box.
///
/// Asks the gateway that runs; where none does, the data folder itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook accounts create --name Clinic
  offhook accounts list")]
pub(super) struct AccountsArgs {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    verb: AccountVerb,
}

#[derive(Subcommand, Debug)]
enum AccountVerb {
    /// Make an account
    Create {
        /// What a person knows it by
        #[arg(long)]
        name: String,
    },
    /// Accounts, the newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn keys(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let operator = Operator::at(&args.place).await?;
    match args.verb {
        Verb::Create { name, mut scope, account, max_calls } => {
            if scope.is_empty() {
                scope = Scope::ALL
                    .iter()
                    .copied()
                    .filter(|scope| !matches!(scope, Scope::Admin | Scope::MetricsRead))
                    .collect();
            }
            let made =
                operator.create_key(NewKey { account_id: account, name, scopes: scope, max_calls }).await?;
            eprintln!("{} was made; this is the only time that it is shown:", text(&made["id"]));
            println!("{}", text(&made["key"]));
        }
        Verb::List { json: true } => println!("{}", Value::from(operator.keys().await?)),
        Verb::List { json: false } => {
            for key in operator.keys().await? {
                let state = if key["revoked_at"].is_null() { "" } else { "  revoked" };
                let scopes: Vec<_> = key["scopes"].as_array().into_iter().flatten().map(text).collect();
                println!(
                    "{}  {}  {}…  {}  used {}  {}{state}",
                    text(&key["id"]),
                    text(&key["account_id"]),
                    text(&key["hint"]),
                    text(&key["name"]),
                    text(&key["last_used_at"]),
                    scopes.join(","),
                );
            }
        }
        Verb::Revoke { id } => {
            let revoked = operator.revoke_key(&id).await?;
            println!("{}  revoked {}", text(&revoked["id"]), text(&revoked["revoked_at"]));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn accounts(args: AccountsArgs) -> anyhow::Result<ExitCode> {
    let operator = Operator::at(&args.place).await?;
    match args.verb {
        AccountVerb::Create { name } => println!("{}", text(&operator.create_account(name).await?["id"])),
        AccountVerb::List { json: true } => println!("{}", Value::from(operator.accounts().await?)),
        AccountVerb::List { json: false } => {
            for account in operator.accounts().await? {
                println!(
                    "{}  {}  {}",
                    text(&account["id"]),
                    text(&account["created_at"]),
                    text(&account["name"])
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Of a text its letters, so that no quotes are printed.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}
