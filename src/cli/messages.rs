//! `offhook messages`: the inboxes of a running gateway.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::gateway::{Door, safe};

/// List, look at and send text messages of a running gateway.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook messages list --number +15550100001
  offhook messages show msg_0123456789abcdef
  offhook messages send --from +15550100001 --to +14155550123 'We are open until six.'")]
pub(super) struct MessagesArgs {
    #[command(flatten)]
    door: Door,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Messages, the newest first
    List {
        /// Of this number of ours only
        #[arg(long)]
        number: Option<String>,
        /// Print what the gateway answered
        #[arg(long)]
        json: bool,
    },
    /// All that is known of one message
    Show { id: String },
    /// Send a text; what becomes of it is told by `show`
    Send {
        /// Our number, as the configuration declares it
        #[arg(long)]
        from: String,
        /// An E.164 number, or a SIP URI where the trunk allows it
        #[arg(long)]
        to: String,
        text: String,
    },
}

pub(super) async fn run(args: MessagesArgs) -> anyhow::Result<ExitCode> {
    let gateway = args.door.open()?;
    match args.verb {
        Verb::List { number, json } => {
            // Digits alone: a `+` in a query would mean a blank.
            let number = number.map(|number| format!("?number={}", safe(&number)));
            let answer = gateway.get(&format!("/v1/messages{}", number.unwrap_or_default())).await?;
            if json { println!("{answer}") } else { list(&answer) }
        }
        Verb::Show { id } => {
            let answer = gateway.get(&format!("/v1/messages/{}", safe(&id))).await?;
            println!("{}", serde_json::to_string_pretty(&answer)?);
        }
        Verb::Send { from, to, text } => {
            let body = json!({ "from": from, "to": to, "text": text });
            println!("{}", gateway.post("/v1/messages", &body).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(answer: &Value) {
    for message in answer["items"].as_array().into_iter().flatten() {
        let field = |name: &str| message[name].as_str().unwrap_or("-");
        println!(
            "{}  {:8}  {} → {}  {}",
            field("id"),
            field("status"),
            field("from"),
            field("to"),
            // A text of several lines stays one line here.
            field("text").replace(['\r', '\n'], " "),
        );
    }
}
