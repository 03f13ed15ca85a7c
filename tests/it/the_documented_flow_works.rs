//! `docs/api.md`: its commands are run as they stand there, one after the other in one shell, and print what stands there.
//!
//! A block of `sh` is run; a block of `json` or `text` right behind it is what it prints. In that, `…` stands for anything: alone for
//! a whole value, at the end of a text for its rest, as a field for further fields, at the end of a list for further items.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{Peer, Setting, World};

/// The page itself.
fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap()
}

/// What a block's output ends with; nothing prints it by chance.
const END: &str = "\u{1}end of block\u{1}";

struct Step {
    line: usize,
    script: String,
    /// The language of what it prints, and that.
    prints: Option<(String, String)>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let block = block.join("\n");
        match language {
            "sh" => steps.push(Step { line: n + 1, script: block, prints: None }),
            "json" | "text" => {
                let step = steps.last_mut().filter(|step| step.prints.is_none());
                let step = step.unwrap_or_else(|| panic!("line {}: nothing prints this", n + 1));
                step.prints = Some((language.to_owned(), block));
            }
            // A piece of the configuration, for instance.
            _ => {}
        }
    }
    steps
}

/// Where `found` is otherwise than it stands on the page.
fn compare(at: &str, page: &Value, found: &Value, list: &mut Vec<String>) {
    match (page, found) {
        (Value::String(text), _) if text == "…" => {}
        (Value::String(text), Value::String(found))
            if text.strip_suffix('…').is_some_and(|start| found.starts_with(start)) => {}
        (Value::Object(page), Value::Object(found)) => {
            for (key, value) in page.iter().filter(|(key, _)| *key != "…") {
                match found.get(key) {
                    Some(found) => compare(&format!("{at}/{key}"), value, found, list),
                    None => list.push(format!("{at}/{key} is missing")),
                }
            }
            let surplus = found.keys().filter(|key| !page.contains_key(*key) && !page.contains_key("…"));
            list.extend(surplus.map(|key| format!("{at}/{key} is not on the page")));
        }
        (Value::Array(page), Value::Array(found)) => {
            let (page, open) = match page.split_last() {
                Some((last, rest)) if last == "…" => (rest, true),
                _ => (page.as_slice(), false),
            };
            if found.len() < page.len() || (found.len() > page.len() && !open) {
                list.push(format!("{at} has {} items, and {} on the page", found.len(), page.len()));
            }
            for (n, (page, found)) in page.iter().zip(found).enumerate() {
                compare(&format!("{at}/{n}"), page, found, list);
            }
        }
        (page, found) if page == found => {}
        (page, found) => list.push(format!("{at} is {found}, and {page} on the page")),
    }
}

fn check(step: &Step, printed: &str) {
    let Some((language, page)) = &step.prints else { return };
    let mut list = Vec::new();
    if language == "json" {
        let read = |text: &str| {
            serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("line {}: {error} in\n{text}\nof\n{}", step.line, step.script))
        };
        compare("", &read(page), &read(printed), &mut list);
    } else {
        let (mut page, mut found) = (page.lines(), printed.lines());
        loop {
            match (page.next(), found.next()) {
                (Some("…"), _) | (None, None) => break,
                (Some(line), Some(found)) => {
                    let (line, found) = (Value::from(line), Value::from(found));
                    compare("line", &line, &found, &mut list);
                }
                (line, found) => {
                    list.push(format!("{found:?} is printed, and {line:?} on the page"));
                    break;
                }
            }
        }
    }
    assert!(list.is_empty(), "line {}: {list:#?}\n{}\nprinted\n{printed}", step.line, step.script);
}

/// The pool that the page tells of, and a carrier that answers.
fn configuration(page: &str, carrier: &str) -> String {
    let toml =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    // The page's carrier has a name in the DNS; here it is on loopback.
    toml.replace("sip:sip.example.net", carrier)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_page_prints_what_the_page_says() {
    let carrier = Peer::new("carrier").await;
    let address = carrier.stack.local_addr();
    let carrier = tokio::spawn(carrier.serve());
    let page = page();
    let more = configuration(&page, &format!("sip:{address}"));
    let world = World::start(Setting { more, ..Setting::default() }).await;

    let steps = steps(&page);
    assert!(steps.len() > 10, "the page is empty");
    let mut script = String::from("set -euo pipefail\n");
    for step in &steps {
        script += &format!("{}\nprintf '\\n%s' \"$END\"\n", step.script);
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("data")).unwrap();
    std::fs::copy(world.data.path().join("admin.key"), home.path().join("data/admin.key")).unwrap();
    let mut shell = Command::new("bash")
        .arg("-s")
        .current_dir(home.path())
        .env("END", END)
        .env("OFFHOOK", format!("http://{}", world.http))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    // Larger scripts than a pipe holds are read while they are run.
    let writing = tokio::spawn(async move { input.write_all(script.as_bytes()).await });
    let output = tokio::time::timeout(std::time::Duration::from_secs(180), shell.wait_with_output()).await;
    let output = output.expect("the page ends in time").unwrap();
    let _ = writing.await;
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed: Vec<_> = text.split(END).collect();
    for (step, printed) in steps.iter().zip(&printed) {
        if printed.is_empty() && !output.status.success() {
            break;
        }
        check(step, printed.trim());
    }
    let last = printed.len().saturating_sub(1).min(steps.len() - 1);
    assert!(
        output.status.success(),
        "line {} fails:\n{}\n{}\n{errors}",
        steps[last].line,
        steps[last].script,
        printed.last().unwrap_or(&"")
    );
    carrier.abort();
    world.stop().await;
}
