//! Laws of `docs/architecture.md` that a reader of the source can check: rooms, channels, sizes.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Modules of the appliance in dependency order: each may use those before it.
const ORDER: &[&str] = &[
    "domain",
    "config",
    "outside",
    "store",
    "call",
    "gateway",
    "dialect",
    "jobs",
    "http",
    "telemetry",
    "app",
    "phone",
    "doctor",
    "cli",
];
const LONGEST_FILE: usize = 800;

fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&Path::new(ROOT).join(folder), &mut found);
    }
    assert!(!found.is_empty());
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

fn offenders(folders: &[&str], offends: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut list = Vec::new();
    for (path, text) in sources(folders) {
        for (n, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") && offends(&path, line) {
                list.push(format!("{}:{}: {}", path.display(), n + 1, line.trim()));
            }
        }
    }
    list
}

#[test]
fn no_module_imports_from_above() {
    for (path, text) in sources(&["src"]) {
        let inside = path.strip_prefix(Path::new(ROOT).join("src")).unwrap();
        let module =
            inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some(level) = ORDER.iter().position(|name| *name == module) else { continue };
        for above in &ORDER[level + 1..] {
            assert!(!text.contains(&format!("crate::{above}")), "{} uses crate::{above}", path.display());
        }
    }
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let lib = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let declared: Vec<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, ORDER);
}

#[test]
fn the_crates_do_not_know_one_another() {
    for (name, others) in
        [("sip", ["media", "models"]), ("media", ["sip", "models"]), ("models", ["sip", "media"])]
    {
        let manifest = fs::read_to_string(Path::new(ROOT).join(name).join("Cargo.toml")).unwrap();
        for other in others.iter().chain(&["offhook"]) {
            let depends = manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(other));
            assert!(!depends, "{name} depends on {other}");
        }
    }
}

#[test]
fn no_channel_is_unbounded() {
    let found = offenders(&["src", "sip/src", "media/src", "models/src"], |_, line| {
        line.contains("unbounded_channel(") || line.contains("unbounded(") || line.contains("mpsc::channel()")
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn hearts_have_no_clock_and_no_dice() {
    let found = offenders(
        &["sip/src", "media/src", "src/call/conversation", "src/jobs/hooks/schedule"],
        |path, line| {
            // The path of the repository may hold anything; what counts stands below its root.
            let path = path.strip_prefix(ROOT).unwrap_or(path);
            let is_in = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
            let heart = !is_in("net") && !is_in("tests") && !path.ends_with("tests.rs");
            heart
                && ["Instant::now()", "SystemTime::now()", "Utc::now()", "rand::rng()", "thread_rng"]
                    .iter()
                    .any(|word| line.contains(word))
        },
    );
    // Tests at the end of a file may start their clock from the machine's.
    let found: Vec<_> = found.into_iter().filter(|line| !in_tests(line)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Whether a found line stands behind the `mod tests` of its file.
fn in_tests(found: &str) -> bool {
    let mut parts = found.splitn(3, ':');
    let (path, line) = (parts.next().unwrap(), parts.next().unwrap().parse::<usize>().unwrap());
    let text = fs::read_to_string(path).unwrap();
    text.lines().position(|line| line.trim() == "#[cfg(test)]").is_some_and(|tests| line > tests)
}

#[test]
fn no_file_is_too_long() {
    for (path, text) in sources(&["src", "sip", "media", "models", "tests"]) {
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
    }
}

#[test]
fn only_the_store_knows_the_database_and_only_http_knows_axum() {
    let found = offenders(&["src"], |path, line| {
        let store = path.components().any(|part| part.as_os_str() == "store");
        let http = path.components().any(|part| part.as_os_str() == "http");
        (line.contains("redb::") && !store) || (line.contains("axum::") && !http)
    });
    assert!(found.is_empty(), "{found:#?}");
}
