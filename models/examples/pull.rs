//! Pulls models into the cache folder, the starter set or those that are named:
//! `cargo run -p models --example pull -- starter`.

use models::catalog::{self, Entry};
use models::fetch::{self, Progress};

struct Lines(u64);

impl Progress for Lines {
    fn begin(&mut self, what: &str, total: Option<u64>) {
        self.0 = total.unwrap_or(0);
        println!("{what} ({} MB)", self.0 / 1_000_000);
    }

    fn at(&mut self, done: u64) {
        print!("\r{} %  ", done * 100 / self.0.max(1));
    }

    fn end(&mut self) {
        println!("\rdone");
    }

    fn note(&mut self, line: &str) {
        println!("{line}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = fetch::models_dir();
    let mut wanted: Vec<&Entry> = Vec::new();
    for name in std::env::args().skip(1) {
        match name.as_str() {
            "starter" => wanted.extend(catalog::starter()),
            name => wanted.push(catalog::find(name).ok_or_else(|| format!("no model is called {name}"))?),
        }
    }
    for entry in wanted {
        let installed = fetch::pull(entry, &dir, &mut Lines(0)).await?;
        println!("{}: {}", entry.name, installed.path().display());
    }
    Ok(())
}
