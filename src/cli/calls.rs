//! `offhook calls`: a client of the running gateway.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::gateway::{Door, Gateway, safe};
use super::timeline;
use crate::domain::Call;

/// Place, list, look at and end calls of a running gateway.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook calls place --from +15550100001 --to +15550100002
  offhook calls list
  offhook calls show call_0123456789 --timeline
  offhook calls say call_0123456789 'Please hold the line.'
  offhook calls pause-recording call_0123456789
  offhook calls hangup call_0123456789
  offhook calls recording call_0123456789 --format opus --out call.opus
  offhook calls --url http://10.0.0.5:8080 --key-file ./admin.key list --json")]
pub(super) struct CallsArgs {
    #[command(flatten)]
    door: Door,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Place a call: the agent speaks to whoever answers
    Place {
        /// Our number, as the configuration declares it
        #[arg(long)]
        from: String,
        /// Whom to call: an E.164 number, or a SIP URI where the trunk allows it
        #[arg(long)]
        to: String,
        /// Another agent than the number's own
        #[arg(long)]
        agent: Option<String>,
        /// Check everything, and place nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Calls, the newest first
    List {
        /// Print what the gateway answered
        #[arg(long)]
        json: bool,
    },
    /// All that is known of one call
    Show {
        id: String,
        /// Draw who spoke when, and why each turn went as it did
        #[arg(long)]
        timeline: bool,
    },
    /// What became of a call, as its agent wrote it down
    Report { id: String },
    /// End a call, or take it back while it waits
    Hangup { id: String },
    /// Have the agent say something
    Say {
        id: String,
        text: String,
        /// Instead of what it is saying
        #[arg(long)]
        interrupt: bool,
    },
    /// Press keys
    Digits {
        id: String,
        /// 0-9, A-D, *, #; a comma is a pause of a second
        digits: String,
    },
    /// Hand a call on
    Transfer {
        id: String,
        /// An E.164 number, a SIP URI, or the number of an extension
        to: String,
    },
    /// What was said
    Transcript { id: String },
    /// Record silence from here on, on both sides: for what must not be kept
    PauseRecording { id: String },
    /// Go on recording
    ResumeRecording { id: String },
    /// The recording of a call that is over: the other side left, we right
    Recording {
        id: String,
        /// As in `recordings` of the call; 0 is the call's own
        #[arg(long, default_value_t = 0)]
        part: u32,
        #[arg(long, value_enum, default_value_t = Format::Wav)]
        format: Format,
        /// The file to be written, which must not be there yet; `-` for standard output
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Wav,
    Mp3,
    /// In Ogg
    Opus,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Wav => "wav",
            Format::Mp3 => "mp3",
            Format::Opus => "opus",
        }
    }
}

pub(super) async fn run(args: CallsArgs) -> anyhow::Result<ExitCode> {
    let gateway = args.door.open()?;
    match args.verb {
        Verb::Place { from, to, agent, dry_run } => {
            let mut body = json!({ "from": from, "to": to, "dry_run": dry_run });
            if let Some(agent) = agent {
                body["agent"] = agent.into();
            }
            println!("{}", gateway.post("/v1/calls", &body).await?);
        }
        Verb::List { json: true } => println!("{}", gateway.get("/v1/calls").await?),
        Verb::List { json: false } => list(&gateway.get("/v1/calls").await?),
        Verb::Show { id, timeline: true } => {
            let call = gateway.get(&format!("/v1/calls/{}", safe(&id))).await?;
            let call: Call = serde_json::from_value(call).context("the gateway answered what is no call")?;
            print!("{}", timeline::draw(&call, timeline::Look::of_stdout()));
        }
        Verb::Report { id } => {
            let report = gateway.get(&format!("/v1/calls/{}/report", safe(&id))).await?;
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        Verb::Show { id, timeline: false } => {
            println!(
                "{}",
                serde_json::to_string_pretty(&gateway.get(&format!("/v1/calls/{}", safe(&id))).await?)?
            );
        }
        Verb::Hangup { id } => steer(&gateway, &id, "hangup", &json!({})).await?,
        Verb::Say { id, text, interrupt } => {
            steer(&gateway, &id, "say", &json!({ "text": text, "interrupt": interrupt })).await?;
        }
        Verb::Digits { id, digits } => {
            steer(&gateway, &id, "digits", &json!({ "digits": digits })).await?;
        }
        Verb::Transfer { id, to } => steer(&gateway, &id, "transfer", &json!({ "to": to })).await?,
        Verb::PauseRecording { id } => steer(&gateway, &id, "recording/pause", &json!({})).await?,
        Verb::ResumeRecording { id } => steer(&gateway, &id, "recording/resume", &json!({})).await?,
        Verb::Recording { id, part, format, out } => {
            let (id, format) = (safe(&id), format.name());
            let path = format!("/v1/calls/{id}/recording?part={part}&format={format}");
            fetch(&gateway, &path, &out).await?;
        }
        Verb::Transcript { id } => {
            let answer = gateway.get(&format!("/v1/calls/{}/transcript", safe(&id))).await?;
            for fragment in answer["fragments"].as_array().into_iter().flatten() {
                let text = |field: &str| fragment[field].as_str().unwrap_or_default().to_owned();
                println!("{:>7}: {}", text("speaker"), text("text"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn steer(gateway: &Gateway, id: &str, verb: &str, body: &Value) -> anyhow::Result<()> {
    let answer = gateway.post(&format!("/v1/calls/{}/{verb}", safe(id)), body).await?;
    if !answer.is_null() {
        println!("{answer}");
    }
    Ok(())
}

/// What a caller said is for the eyes of whoever asked for it alone (mode 600). What broke off is not left behind.
async fn fetch(gateway: &Gateway, path: &str, out: &Path) -> anyhow::Result<()> {
    if out == Path::new("-") {
        let mut out = io::stdout();
        if out.is_terminal() {
            bail!("a terminal cannot show sound; name a file, or pipe it on");
        }
        return gateway.download(Method::GET, path, &mut out).await;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let file = file.with_context(|| format!("cannot write {}", out.display()))?;
    let mut file = BufWriter::new(file);
    let fetched = gateway.download(Method::GET, path, &mut file).await;
    if fetched.is_err() {
        let _ = fs::remove_file(out);
    }
    fetched?;
    Ok(file.flush()?)
}

fn list(answer: &Value) {
    for call in answer["items"].as_array().into_iter().flatten() {
        let field = |name: &str| match &call[name] {
            Value::String(text) => text.clone(),
            Value::Null => "-".into(),
            other => other.to_string(),
        };
        println!(
            "{}  {:8}  {:11}  {} → {}  {} s  {}",
            field("id"),
            field("direction"),
            field("status"),
            field("from"),
            field("to"),
            call["duration_ms"].as_u64().unwrap_or(0) / 1000,
            field("end_reason"),
        );
    }
}
