//! `offhook models`: the catalogue, and models on their way into the cache.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use models::catalog::{self, Entry};
use models::fetch::{self, Progress, VerifyError};
use serde_json::json;

/// Show, fetch and verify models.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook models list
  offhook models pull starter                      enough for a first call, about 250 MB
  offhook models pull whisper-small.en qwen2.5-1.5b-instruct
  offhook models verify

A download that broke goes on where it stopped. A file gets its name only after its SHA-256 was compared.")]
pub(super) struct ModelsArgs {
    /// Where models lie; without it, the user's cache folder
    #[arg(long, value_name = "FOLDER", env = "OFFHOOK_MODELS", global = true)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show the catalogue: purpose, size, licence, source, and what is there already
    List {
        /// Print one JSON array, with SHA-256 sums
        #[arg(long)]
        json: bool,
    },
    /// Fetch models by name; `starter` means all that a first call needs
    Pull {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Compute the SHA-256 of what is there and compare
    ///
    /// Exit status: 0 when all that was asked for is there and right, 1 when not.
    Verify {
        /// Without names: all that is there, and the starter set
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

pub(super) async fn run(args: ModelsArgs) -> anyhow::Result<ExitCode> {
    let folder = args.folder.unwrap_or_else(fetch::models_dir);
    match args.verb {
        Verb::List { json } => {
            list(&folder, json);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Pull { names } => {
            for entry in entries(&names)? {
                let mut meter = Meter::new(entry.name);
                let installed = fetch::pull(entry, &folder, &mut meter).await?;
                meter.finish();
                println!("{}  {}", entry.name, installed.path().display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Verify { names } => verify(&folder, &names),
    }
}

fn entries(names: &[String]) -> anyhow::Result<Vec<&'static Entry>> {
    let mut found: Vec<&'static Entry> = Vec::new();
    for name in names {
        if name == "starter" {
            found.extend(catalog::starter());
        } else if let Some(entry) = catalog::find(name) {
            found.push(entry);
        } else {
            let known: Vec<_> = catalog::catalog().iter().map(|entry| entry.name).collect();
            bail!("no model is called {name}; there are starter, {}", known.join(", "));
        }
    }
    Ok(found)
}

fn list(folder: &std::path::Path, as_json: bool) {
    let there = |entry: &Entry| match fetch::installed(entry, folder) {
        Ok(_) => "there",
        Err(VerifyError::Missing { .. }) => "-",
        Err(_) => "corrupt",
    };
    if as_json {
        let list: Vec<_> = catalog::catalog()
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name, "purpose": entry.purpose.as_str(), "about": entry.about,
                    "bytes": entry.size(), "sha256": entry.sha256(), "licence": entry.licence,
                    "source": entry.source(), "starter": entry.starter, "state": there(entry),
                })
            })
            .collect();
        println!("{}", serde_json::Value::from(list));
        return;
    }
    let width = catalog::catalog().iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    for entry in catalog::catalog() {
        println!(
            "{:7}  {:width$}  {:7}  {:>9}  {}{}",
            there(entry),
            entry.name,
            entry.purpose.as_str(),
            HumanBytes(entry.size()).to_string(),
            entry.about,
            if entry.starter { "  [starter]" } else { "" },
        );
        let sum = entry.sha256().unwrap_or("the hub's own digest, pinned when it is pulled");
        println!("{:9}{:width$}  {}; {}; SHA-256 {sum}", "", "", entry.source(), entry.licence);
    }
    eprintln!("\nFolder: {}", folder.display());
}

fn verify(folder: &std::path::Path, names: &[String]) -> anyhow::Result<ExitCode> {
    let asked = entries(names)?;
    let chosen: Vec<&Entry> = if names.is_empty() { catalog::catalog().iter().collect() } else { asked };
    let mut wrong = false;
    for entry in chosen {
        match fetch::verify(entry, folder) {
            Ok(installed) => println!("right    {}  {}", entry.name, installed.path().display()),
            // Who asks for everything does not miss what was never wanted.
            Err(VerifyError::Missing { .. }) if names.is_empty() && !entry.starter => {}
            Err(error) => {
                wrong = true;
                println!("wrong    {}  {error}", entry.name);
            }
        }
    }
    Ok(ExitCode::from(u8::from(wrong)))
}

/// A progress bar; without a terminal, a line every few seconds.
struct Meter {
    name: &'static str,
    bar: ProgressBar,
    plain: bool,
    what: String,
    total: Option<u64>,
    told: Instant,
}

const EVERY: Duration = Duration::from_secs(5);

impl Meter {
    fn new(name: &'static str) -> Meter {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        Meter { name, bar, plain, what: String::new(), total: None, told: Instant::now() }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Meter {
    fn begin(&mut self, what: &str, total: Option<u64>) {
        what.clone_into(&mut self.what);
        self.total = total;
        self.told = Instant::now();
        let template = match total {
            Some(total) => {
                self.bar.set_length(total);
                "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
            }
            None => {
                self.bar.unset_length();
                "{msg} {spinner} {bytes}"
            }
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style.progress_chars("=> "));
        self.bar.reset();
        self.bar.set_message(format!("{}: {what}", self.name));
        if self.plain {
            eprintln!("{}: {what}", self.name);
        }
    }

    fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.plain && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            match self.total {
                Some(total) if total > 0 => {
                    eprintln!("{}: {} {} %", self.name, self.what, done * 100 / total)
                }
                _ => eprintln!("{}: {} {}", self.name, self.what, HumanBytes(done)),
            }
        }
    }

    fn note(&mut self, line: &str) {
        if self.plain {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_set_is_an_ear_a_mind_and_a_mouth() {
        let names: Vec<_> = entries(&["starter".into()]).unwrap().iter().map(|e| e.name).collect();
        assert!(names.contains(&catalog::STARTER_STT), "{names:?}");
        assert!(names.contains(&catalog::STARTER_LLM), "{names:?}");
        assert!(names.contains(&catalog::STARTER_TTS), "{names:?}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_that_exist() {
        let error = entries(&["whisper-enormous".into()]).unwrap_err().to_string();
        assert!(error.contains("whisper-enormous") && error.contains("whisper-tiny.en"), "{error}");
    }
}
